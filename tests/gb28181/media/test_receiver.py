from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gb28181.errors import MediaTimeout
from gb28181.media.plane import LocalMediaPlane
from gb28181.media.receiver import Receiver
from gb28181.media.stream import Overflow
from gb28181.sdp import MediaTransport
from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from rtp.access_unit import AccessUnit, Codec
from rtp.framing import frame
from rtp.mpegps.muxer import PsMuxer
from rtp.packetizer import Packetizer
from rtp.transport import SocketNetwork

HOST = "127.0.0.1"
SSRC = 100000001
CAMERA, SERVER = "10.0.0.5", "10.0.0.1"
PORTS = range(41000, 41400)


def bits(text: str) -> bytes:
    text = text.replace(" ", "")
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


# Baseline, level 3.0, 640 x 368 cropped to 360 (ITU-T H.264 clause 7.3.2.1.1).
SPS = b"\x67\x42\x00\x1e" + bits("1 1 011 010 0 00000101000 000010111 1 1 1 1 1 1 00101 0 1")
KEY = b"\x00\x00\x00\x01" + SPS + b"\x00\x00\x00\x01\x68\xee\x3c\xb0\x00\x00\x00\x01\x65\x88\x84"


def unit(number: int, *, size: int = 3000) -> AccessUnit:
    is_key = number % 10 == 0
    data = (KEY if is_key else b"\x00\x00\x00\x01\x41\x9a") + bytes([0x55 + number % 100]) * size
    return AccessUnit(
        codec=Codec.H264, data=data, pts=number * 3600, dts=number * 3600, is_key=is_key
    )


def packets(units: list[AccessUnit], *, ssrc: int = SSRC, first: int = 65530) -> list[bytes]:
    muxer = PsMuxer(Codec.H264, None)
    packetizer = Packetizer(ssrc=ssrc, sequence_number=first)
    return [data for each in units for data in packetizer.push(muxer.push(each), each.dts)]


async def collect(receiver: Receiver, count: int) -> list[AccessUnit]:
    got = []
    async with asyncio.timeout(5), receiver.units.reader() as reader:
        async for each in reader:
            got.append(each)
            if len(got) == count:
                break
    return got


def as_sent(units: list[AccessUnit]) -> list[AccessUnit]:
    """The first unit after a start follows what was not seen."""
    return [replace(units[0], is_discontinuous=True), *units[1:]]


@pytest.fixture
async def plane() -> AsyncIterator[LocalMediaPlane]:
    network = SocketNetwork(tick=0.0)
    plane = LocalMediaPlane(network, ports=PORTS, quarantine=0.0)
    yield plane
    await plane.close()
    network.close()


class World:
    """A camera's host and a server's plane on a simulated network."""

    def __init__(self, clock: VirtualClock, silence: float) -> None:
        self.clock = clock
        self.network = SimulatedNetwork()
        self.camera = self.network.host(CAMERA)
        self.server = self.network.host(SERVER)
        self.plane = LocalMediaPlane(self.server, ports=range(30000, 30100), silence=silence)
        self.socket = self.camera.open_udp((CAMERA, 6000), lambda _batch, _source: None)

    async def receiver(self, mode: str = "udp") -> Receiver:
        return await self.plane.open_receiver(mode, host=SERVER)

    def send(self, receiver: Receiver, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self.socket.send(datagram, receiver.local)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with VirtualClock() as clock:
        world = World(clock, silence=30.0)
        yield world
        await world.plane.close()
        assert world.plane.counts()["leased_ports"] == 0
        world.socket.close()
        assert world.network.leaks() == []


# ---- real sockets ----


async def test_units_from_a_udp_socket_equal_those_sent(plane: LocalMediaPlane) -> None:
    receiver = await plane.open_receiver("udp", host=HOST)
    receiver.expect(ssrc=SSRC, host=HOST)
    units = [unit(number) for number in range(30)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        async with asyncio.TaskGroup() as group:
            collecting = group.create_task(collect(receiver, 30))
            await asyncio.sleep(0)
            for datagram in packets(units):
                sender.sendto(datagram, receiver.local)
        assert receiver.statistics.source == (HOST, sender.getsockname()[1])
    assert collecting.result() == as_sent(units)
    assert receiver.transport is MediaTransport.UDP
    seen = receiver.statistics
    assert (seen.packets, seen.lost, seen.damaged) == (len(packets(units)), 0, 0)
    assert (seen.video, seen.frames, seen.frame_rate) == (Codec.H264, 30, 25.0)
    assert (seen.width, seen.height) == (640, 360)


async def test_units_from_a_connection_that_the_camera_makes(plane: LocalMediaPlane) -> None:
    receiver = await plane.open_receiver("tcp-passive", host=HOST)
    receiver.expect(ssrc=SSRC, host=HOST)
    units = [unit(number) for number in range(30)]
    _, writer = await asyncio.open_connection(*receiver.local)
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(collect(receiver, 30))
        writer.write(b"".join(map(frame, packets(units))))
    assert collecting.result() == as_sent(units)
    assert receiver.transport is MediaTransport.TCP
    writer.close()
    await writer.wait_closed()


async def test_units_from_a_connection_that_we_make(plane: LocalMediaPlane) -> None:
    units = [unit(number) for number in range(30)]

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(map(frame, packets(units))))
        await writer.drain()

        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    receiver = await plane.open_receiver("tcp-active", host=HOST)
    receiver.expect(ssrc=SSRC, host=HOST)
    async with asyncio.TaskGroup() as group:
        collecting = group.create_task(collect(receiver, 30))
        await asyncio.sleep(0)
        await receiver.connect(server.sockets[0].getsockname())
    assert collecting.result() == as_sent(units)
    server.close()


# ---- who is let in ----


async def test_loss_is_counted_and_what_follows_is_marked(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader()
    units = [unit(number) for number in range(20)]
    sent = packets(units)
    world.send(receiver, sent[:16] + sent[17:])
    await asyncio.sleep(1.0)
    receiver.close()
    got = [each async for each in reader]
    assert receiver.statistics.lost == 1
    assert receiver.statistics.gaps == 1
    hurt = [each for each in got[1:] if each.is_damaged or each.is_discontinuous]
    assert hurt
    whole = [each for each in got if not each.is_damaged]
    by_pts = {each.pts: each.data for each in units}
    assert all(by_pts[each.pts] == each.data for each in whole)
    assert len(whole) >= 18


async def test_reordered_packets_give_the_same_units(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader()
    units = [unit(number) for number in range(20)]
    sent = packets(units)
    sent[10], sent[13] = sent[13], sent[10]
    world.send(receiver, [*sent[:30], sent[29], *sent[30:]])
    await asyncio.sleep(1.0)
    receiver.close()
    assert [each async for each in reader] == as_sent(units)
    assert (receiver.statistics.lost, receiver.statistics.duplicates) == (0, 1)


async def test_a_foreign_ssrc_is_counted_and_not_let_in(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA, adopt=False)
    world.send(receiver, packets([unit(0)], ssrc=7))
    await asyncio.sleep(0.1)
    seen = receiver.statistics
    assert (seen.packets, seen.foreign_ssrc) == (0, 3)
    with pytest.raises(MediaTimeout, match=r"RTP packet within 2 s: 3 .* SSRC 0000000007 from"):
        await receiver.first_packet(2.0)
    world.send(receiver, packets([unit(0)]))
    await receiver.first_packet(1.0)
    assert receiver.statistics.packets == 3


async def test_a_foreign_source_is_counted_and_not_let_in(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    world.send(receiver, packets([unit(0)]))
    await asyncio.sleep(0.1)
    stranger = world.network.host("10.0.0.66").open_udp((("10.0.0.66"), 6000), lambda _b, _s: None)
    for datagram in packets([unit(1)]):
        stranger.send(datagram, receiver.local)
    await asyncio.sleep(0.1)
    seen = receiver.statistics
    assert (seen.packets, seen.foreign_source) == (3, 3)
    assert seen.last_foreign == "from 10.0.0.66:6000"
    stranger.close()


async def test_another_ssrc_from_the_right_host_is_adopted(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA, adopt=True)
    world.send(receiver, packets([unit(0)], ssrc=7))
    await receiver.first_packet(1.0)
    seen = receiver.statistics
    assert (seen.packets, seen.ssrc, seen.adopted_ssrc) == (3, 7, 1)


async def test_the_right_ssrc_is_let_in_from_behind_a_nat(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host="192.168.1.64", adopt=True)
    world.send(receiver, packets([unit(0)], ssrc=7))
    await asyncio.sleep(0.1)
    assert receiver.statistics.foreign_source == 3
    world.send(receiver, packets([unit(0)]))
    await receiver.first_packet(1.0)
    assert receiver.statistics.source == (CAMERA, 6000)


async def test_the_right_ssrc_takes_over_from_an_adopted_one(world: World) -> None:
    receiver = await world.receiver()
    world.send(receiver, packets([unit(0)], ssrc=7))  # a stray of the session before
    await receiver.first_packet(1.0)
    receiver.expect(ssrc=SSRC, host=CAMERA, adopt=True)
    world.send(receiver, packets([unit(0)]))
    await asyncio.sleep(0.1)
    seen = receiver.statistics
    assert (seen.ssrc, seen.restarts, seen.packets) == (SSRC, 1, 6)


async def test_media_before_the_answer_is_kept_when_it_fits(world: World) -> None:
    receiver = await world.receiver()
    units = [unit(number) for number in range(5)]
    reader = receiver.units.reader()
    world.send(receiver, packets(units[:2]))
    await receiver.first_packet(1.0)
    receiver.expect(ssrc=SSRC, host=CAMERA, adopt=False)
    world.send(receiver, packets(units)[6:])
    await asyncio.sleep(1.0)
    receiver.close()
    assert [each async for each in reader] == as_sent(units)


async def test_media_before_the_answer_is_dropped_when_it_does_not_fit(world: World) -> None:
    receiver = await world.receiver()
    world.send(receiver, packets([unit(0)], ssrc=7))
    await receiver.first_packet(1.0)
    receiver.expect(ssrc=SSRC, host=CAMERA, adopt=False)
    world.send(receiver, packets([unit(1)], ssrc=7))
    await asyncio.sleep(0.1)
    assert receiver.statistics.foreign_ssrc == 3


async def test_a_change_of_ssrc_is_followed_after_sixteen_packets(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader()
    world.send(receiver, packets([unit(0)]))
    await asyncio.sleep(0.1)
    changed = packets([unit(number) for number in range(10, 25)], ssrc=9, first=5)
    for start in range(0, len(changed), 3):
        world.send(receiver, changed[start : start + 3])
        await asyncio.sleep(0.04)
    seen = receiver.statistics
    assert (seen.ssrc, seen.restarts) == (9, 1)
    assert seen.foreign_ssrc == 0
    receiver.close()
    got = [each async for each in reader]
    # Not even the key picture is lost that the new sender began with.
    assert [each.data for each in got] == [unit(n).data for n in (0, *range(10, 25))]
    assert [each.is_discontinuous for each in got] == [True, True] + [False] * 14
    assert not any(each.is_damaged for each in got)


async def test_a_new_port_of_a_nat_is_followed_once_the_old_is_quiet(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    sent = packets([unit(0), unit(1)])
    world.send(receiver, sent[:3])
    other = world.camera.open_udp((CAMERA, 6002), lambda _b, _s: None)
    await asyncio.sleep(0.1)
    other.send(sent[3], receiver.local)
    await asyncio.sleep(1.5)
    other.send(sent[4], receiver.local)
    await asyncio.sleep(0.1)
    seen = receiver.statistics
    assert (seen.packets, seen.foreign_source, seen.source) == (4, 1, (CAMERA, 6002))
    assert (seen.restarts, seen.lost) == (0, 1)
    other.close()


# ---- time ----


async def test_silence_ends_the_stream_and_every_reader_hears_it(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader()
    world.send(receiver, packets([unit(0)]))
    start = world.clock.time()
    await asyncio.wait([receiver.closed])
    assert world.clock.time() - start == pytest.approx(30.0, abs=0.1)
    with pytest.raises(MediaTimeout, match=r"no RTP for 30 s: 3 packets from 10\.0\.0\.5:6000"):
        receiver.closed.result()
    with pytest.raises(MediaTimeout):
        _ = [each async for each in reader]
    assert world.plane.counts()["receivers"] == 0


async def test_a_stream_that_goes_on_is_not_ended(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    for number in range(10):
        world.send(receiver, packets([unit(number)], first=number * 3))
        await asyncio.sleep(20.0)
    assert not receiver.closed.done()


async def test_a_paused_watch_does_not_end_the_stream(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    receiver.pause_watch(True)
    await asyncio.sleep(1000.0)
    assert not receiver.closed.done()
    receiver.pause_watch(False)
    await asyncio.sleep(29.0)
    assert not receiver.closed.done()
    await asyncio.sleep(2.0)
    assert isinstance(receiver.closed.exception(), MediaTimeout)


async def test_waiting_for_the_first_packet_says_that_nothing_came(world: World) -> None:
    receiver = await world.receiver()
    with pytest.raises(MediaTimeout, match="no RTP packet within 10 s: nothing arrived at"):
        await receiver.first_packet(10.0)
    passive = await world.receiver("tcp-passive")
    with pytest.raises(MediaTimeout, match=r"nobody connected at .* \(tcp-passive\)"):
        await passive.first_packet(10.0)


async def test_the_first_key_is_seen_without_any_reader(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(receiver.first_key(10.0))
        for number in range(5, 13):
            world.send(receiver, packets([unit(number)], first=number * 3))
            await asyncio.sleep(0.04)
            assert waiting.done() == (number >= 10)
    assert receiver.statistics.first_key_at is not None
    assert not receiver.units.is_used


async def test_no_key_in_time_is_told_with_what_was_seen(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    world.send(receiver, packets([unit(1)]))
    with pytest.raises(MediaTimeout, match=r"no key frame within 3 s: 3 packets from"):
        await receiver.first_key(3.0)


async def test_a_late_reader_of_units_gets_the_group_that_was_not_demultiplexed(
    world: World,
) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    units = [unit(number) for number in range(15)]
    sent = packets(units)
    world.send(receiver, sent[:-3])
    await asyncio.sleep(0.1)
    reader = receiver.units.reader()
    world.send(receiver, sent[-3:])
    await asyncio.sleep(0.1)
    receiver.close()
    assert [each async for each in reader] == as_sent(units[10:])


async def test_a_late_reader_of_units_gets_the_picture_without_waiting_for_a_packet(
    world: World,
) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    units = [unit(number) for number in range(13)]
    world.send(receiver, packets(units))
    await asyncio.sleep(0.1)
    reader = receiver.units.reader()
    assert reader.waiting == 3
    assert [await anext(reader) for _ in range(3)] == as_sent(units[10:])


async def test_receiver_reports_go_to_the_port_above_every_five_seconds(world: World) -> None:
    heard: list[bytes] = []
    above = world.camera.open_udp((CAMERA, 6001), lambda _b, _s: None)
    above.on_rtcp = lambda data, _source: heard.append(data)
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    world.send(receiver, packets([unit(0)]))
    await asyncio.sleep(11.0)
    assert len(heard) == 2
    assert (heard[0][1], int.from_bytes(heard[0][8:12], "big")) == (201, SSRC)
    above.send(b"\x81\xcb\x00\x01" + SSRC.to_bytes(4, "big"), (SERVER, receiver.local[1] + 1))
    await asyncio.sleep(0.1)
    assert receiver.statistics.rtcp_byes == 1
    assert not receiver.closed.done()
    above.close()


async def test_a_sender_that_reports_from_its_media_port_hears_reports_there(world: World) -> None:
    heard: list[bytes] = []
    world.socket.on_rtcp = lambda data, _source: heard.append(data)
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    world.send(receiver, packets([unit(0)]))
    await asyncio.sleep(5.5)
    assert heard == []
    world.socket.send(b"\x80\xc9\x00\x01" + SSRC.to_bytes(4, "big"), receiver.local)
    await asyncio.sleep(5.0)
    assert [(data[1], int.from_bytes(data[8:12], "big")) for data in heard] == [(201, SSRC)]


# ---- TCP ----


async def connect(world: World, receiver: Receiver) -> asyncio.Transport:
    transport, _ = await world.camera.create_connection(asyncio.Protocol, *receiver.local)
    assert isinstance(transport, asyncio.Transport)
    return transport


async def test_a_connection_may_break_and_be_made_again(world: World) -> None:
    receiver = await world.receiver("tcp-passive")
    receiver.expect(ssrc=SSRC, host=CAMERA)
    first = await connect(world, receiver)
    first.write(b"".join(map(frame, packets([unit(0)]))))
    await asyncio.sleep(0.1)
    first.close()
    await asyncio.sleep(3.0)
    second = await connect(world, receiver)
    second.write(b"".join(map(frame, packets([unit(1)]))))
    await asyncio.sleep(10.0)
    assert (receiver.statistics.packets, receiver.closed.done()) == (6, False)
    second.close()
    await asyncio.sleep(6.0)
    with pytest.raises(MediaTimeout, match="lost: closed by peer, and not made again in 5 s"):
        receiver.closed.result()


async def test_a_connection_of_a_stranger_does_not_keep_the_camera_out(world: World) -> None:
    receiver = await world.receiver("tcp-passive")
    receiver.expect(ssrc=SSRC, host=CAMERA, adopt=False)
    stranger = await connect(world, receiver)
    stranger.write(b"".join(map(frame, packets([unit(0)], ssrc=7))))
    camera = await connect(world, receiver)
    camera.write(b"".join(map(frame, packets([unit(0)]))))
    await receiver.first_packet(1.0)
    assert (receiver.statistics.packets, receiver.statistics.foreign_ssrc) == (3, 3)
    stranger.close()
    await asyncio.sleep(10.0)
    assert not receiver.closed.done()
    camera.close()


async def test_a_port_that_refuses_is_tried_four_times(world: World) -> None:
    receiver = await world.receiver("tcp-active")
    start = world.clock.time()
    with pytest.raises(MediaTimeout, match=r"no TCP media connection to 10\.0\.0\.5:9"):
        await receiver.connect((CAMERA, 9))
    assert world.clock.time() - start >= 3.0


async def test_a_pausing_reader_holds_back_the_connection_and_loses_nothing(world: World) -> None:
    receiver = await world.receiver("tcp-passive")
    receiver.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader(size=10, overflow=Overflow.PAUSE)
    camera = await connect(world, receiver)
    units = [unit(number) for number in range(400)]
    sent = packets(units)
    for start in range(0, len(sent), 30):
        camera.write(b"".join(map(frame, sent[start : start + 30])))
    await asyncio.sleep(100.0)  # the watch for silence rests meanwhile
    assert reader.waiting < 100
    got = []
    async with asyncio.timeout(10.0):
        async for each in reader:
            got.append(each)
            if len(got) == 399:
                break
    assert got == as_sent(units)[:399]
    camera.close()


async def test_udp_cannot_be_paused(world: World) -> None:
    receiver = await world.receiver()
    with pytest.raises(ValueError, match="TCP"):
        receiver.units.reader(overflow=Overflow.PAUSE)


# ---- faults ----


async def test_a_fault_ends_this_receiver_only(world: World) -> None:
    receiver, other = await world.receiver(), await world.receiver()
    for each in (receiver, other):
        each.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader()
    receiver._arrived.set_result(None)  # a fault of ours: it is set a second time
    world.send(receiver, packets([unit(0)]))
    world.send(other, packets([unit(0)]))
    await asyncio.sleep(0.1)
    with pytest.raises(asyncio.InvalidStateError):
        receiver.closed.result()
    with pytest.raises(asyncio.InvalidStateError):
        await anext(reader)
    assert other.statistics.packets == 3
    assert world.plane.counts()["receivers"] == 1


async def test_garbage_is_counted(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader()
    world.send(receiver, [b"hello", bytes(100)])
    # A header extension that is longer than its packet.
    world.send(
        receiver, [bytes.fromhex("90600001 00000000") + SSRC.to_bytes(4, "big") + b"\0\0\xff\xff"]
    )
    await asyncio.sleep(0.5)
    receiver.close()
    assert receiver.statistics.garbage == 3
    assert [each async for each in reader] == []


async def test_raw_audio_beside_a_program_stream_becomes_units(world: World) -> None:
    receiver = await world.receiver()
    receiver.expect(ssrc=SSRC, host=CAMERA)
    reader = receiver.units.reader()
    packetizer = Packetizer(ssrc=SSRC, payload_type=8)
    world.send(receiver, [data for n in range(3) for data in packetizer.push(bytes(160), n * 160)])
    await asyncio.sleep(0.1)
    receiver.close()
    got = [each async for each in reader]
    assert [(each.codec, each.pts, len(each.data)) for each in got] == [
        (Codec.PCMA, number * 1800, 160) for number in range(3)
    ]
    assert receiver.statistics.audio is Codec.PCMA


async def test_closing_twice_is_closing_once(world: World) -> None:
    receiver = await world.receiver()
    receiver.close()
    receiver.close(OSError("late"))
    assert receiver.closed.result() is None
    with pytest.raises(MediaTimeout, match="closed"):
        await receiver.first_packet(1.0)


async def test_a_cancelled_waiter_does_not_keep_the_port(world: World) -> None:
    receiver = await world.receiver()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await receiver.closed
    assert not receiver.is_closed
    receiver.close()
    assert world.plane.counts()["leased_ports"] == 0


async def test_a_stranger_that_comes_and_goes_does_not_end_the_wait(world: World) -> None:
    receiver = await world.receiver("tcp-passive")
    stranger = await connect(world, receiver)
    stranger.close()
    await asyncio.sleep(20.0)
    camera = await connect(world, receiver)
    camera.write(b"".join(map(frame, packets([unit(0)]))))
    await receiver.first_packet(1.0)
    camera.close()
