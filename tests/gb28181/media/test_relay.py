from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest

from gb28181.errors import MediaTimeout
from gb28181.media.plane import LocalMediaPlane
from gb28181.media.receiver import Receiver
from gb28181.media.relay import BACKLOG_BYTES, GROUP_PATIENCE, MediaSink, Relay, join
from gb28181.media.stream import Stream, batch_stream
from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from rtp.access_unit import AccessUnit, Codec
from rtp.batch import PacketBatch
from rtp.framing import Deframer, frame
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import RtpPacket, parse
from rtp.packetizer import Packetizer

CAMERA, SERVER, UPPER = "10.0.0.5", "10.0.0.1", "10.0.0.9"
KEY = bytes.fromhex("0000000167640028acd90000000168ee3cb00000000165888400")


def pack(number: int, muxer: PsMuxer, *, group: int = 10, size: int = 3000) -> bytes:
    is_key = number % group == 0
    data = (KEY if is_key else b"\x00\x00\x00\x01\x41\x9a") + bytes([0x55 + number % 100]) * size
    ticks = number * 3600
    return muxer.push(AccessUnit(codec=Codec.H264, data=data, pts=ticks, dts=ticks, is_key=is_key))


def frames(
    count: int, *, first: int = 0, ssrc: int = 1, sequence: int = 65530, size: int = 3000
) -> Iterator[list[bytes]]:
    """The packets of each frame; every tenth from frame 0 begins a group."""
    muxer = PsMuxer(Codec.H264, None)
    packetizer = Packetizer(ssrc=ssrc, sequence_number=sequence)
    for number in range(first, first + count):
        yield packetizer.push(pack(number, muxer, size=size), number * 3600)


class World:
    """Camera, our server and an upper platform."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.network = SimulatedNetwork()
        self.camera, self.server, self.upper = map(self.network.host, (CAMERA, SERVER, UPPER))
        self.plane = LocalMediaPlane(self.server, ports=range(30000, 30100))
        self.above = LocalMediaPlane(self.upper, ports=range(40000, 40100))
        self.socket = self.camera.open_udp((CAMERA, 6000), lambda _batch, _source: None)

    async def target(self, mode: str, *, ssrc: int) -> tuple[list[bytes], MediaSink, Receiver]:
        """An upper platform's receiver for our sink of ``mode``; and what it gets."""
        got: list[bytes] = []
        theirs = {"udp": "udp", "tcp-active": "tcp-passive", "tcp-passive": "tcp-active"}[mode]
        receiver = await self.above.open_receiver(theirs, host=UPPER)
        receiver.expect(ssrc=ssrc, host=SERVER, adopt=False)
        receiver.batches.attach(lambda batch: got.extend(map(bytes, batch.packets())))
        sink = await self.plane.open_sink(mode, host=SERVER, remote=receiver.local)
        sink.start()
        if mode == "tcp-passive":
            await receiver.connect(sink.local)
        await sink.ready
        return got, sink, receiver

    async def source(self, mode: str) -> Receiver:
        receiver = await self.plane.open_receiver(mode, host=SERVER)
        receiver.expect(ssrc=1, host=CAMERA)
        return receiver

    async def send(self, receiver: Receiver, sent: list[list[bytes]]) -> None:
        for packets in sent:
            for packet in packets:
                self.socket.send(packet, receiver.local)
            await asyncio.sleep(0.04)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with VirtualClock() as clock:
        world = World(clock)
        yield world
        await world.plane.close()
        await world.above.close()
        assert world.plane.counts() == {**world.plane.counts(), "leased_ports": 0, "sinks": 0}
        world.socket.close()
        await asyncio.sleep(0.1)
        assert world.network.leaks() == []


class Sink:
    """Keeps what a relay sends."""

    def __init__(self, *, is_ready: bool = True) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        if is_ready:
            self.ready.set_result(None)
        self.sent: list[tuple[float, RtpPacket]] = []

    def send_batch(self, batch: PacketBatch) -> bool:
        now = asyncio.get_running_loop().time()
        self.sent += [(now, parse(bytes(packet))) for packet in batch.packets()]
        return True

    @property
    def packets(self) -> list[RtpPacket]:
        return [packet for _, packet in self.sent]


def publish(stream: Stream[PacketBatch], packets: list[bytes]) -> None:
    stream.publish(join(packets, asyncio.get_running_loop().time()))


def flat(sent: list[list[bytes]]) -> list[RtpPacket]:
    return [parse(packet) for packets in sent for packet in packets]


# ---- through sockets ----


@pytest.mark.parametrize("mode", ["udp", "tcp-active", "tcp-passive"])
async def test_a_udp_stream_is_relayed_with_its_payload_as_it_came(world: World, mode: str) -> None:
    source = await world.source("udp")
    got, sink, upper = await world.target(mode, ssrc=200)
    relay = Relay(
        source.batches, sink, ssrc=200, payload_type=98, sequence_number=7, timestamp=1000
    )
    sent = list(frames(20))
    await world.send(source, sent)
    before, after = flat(sent), [parse(packet) for packet in got]
    assert [p.payload for p in after] == [p.payload for p in before]
    assert [p.marker for p in after] == [p.marker for p in before]
    assert [p.sequence_number for p in after] == list(range(7, 7 + len(before)))
    assert [p.timestamp for p in after] == [p.timestamp + 1000 for p in before]
    assert {(p.ssrc, p.payload_type) for p in after} == {(200, 98)}
    assert (relay.statistics.packets, relay.statistics.dropped) == (len(before), 0)
    assert upper.statistics.lost == 0


@pytest.mark.parametrize("mode", ["udp", "tcp-active", "tcp-passive"])
async def test_both_ends_report_to_each_other(world: World, mode: str) -> None:
    source = await world.source("udp")
    _, sink, upper = await world.target(mode, ssrc=200)
    Relay(source.batches, sink, ssrc=200)
    await world.send(source, list(frames(300)))  # 12 s
    assert upper.statistics.rtcp >= 2
    assert sink.statistics.reported_lost == 0
    assert source.statistics.lost == upper.statistics.lost == 0


async def test_sound_beside_the_program_stream_keeps_its_payload_type(world: World) -> None:
    source = await world.source("udp")
    got, sink, _ = await world.target("udp", ssrc=200)
    Relay(source.batches, sink, ssrc=200, payload_type=98)
    video = list(frames(10))
    number = parse(video[-1][-1]).sequence_number + 1
    sound = Packetizer(ssrc=1, payload_type=8, sequence_number=number).push(bytes(160), 5)
    await world.send(source, [*video, sound])
    assert [parse(packet).payload_type for packet in got] == [98] * (len(got) - 1) + [8]


async def test_a_tcp_stream_is_relayed_over_udp(world: World) -> None:
    source = await world.source("tcp-passive")
    got, sink, _ = await world.target("udp", ssrc=200)
    Relay(source.batches, sink, ssrc=200)
    camera, _ = await world.camera.create_connection(asyncio.Protocol, *source.local)
    sent = list(frames(20))
    for packets in sent:
        camera.write(b"".join(map(frame, packets)))
        await asyncio.sleep(0.04)
    assert [parse(packet).payload for packet in got] == [p.payload for p in flat(sent)]
    camera.close()


async def test_one_receiver_feeds_three_relays_and_a_reader(world: World) -> None:
    source = await world.source("udp")
    targets = [
        await world.target(mode, ssrc=200 + number)
        for number, mode in enumerate(["udp", "tcp-active", "udp"])
    ]
    for number, (_, sink, _) in enumerate(targets):
        Relay(source.batches, sink, ssrc=200 + number, sequence_number=number * 1000)
    reader = source.units.reader()
    sent = list(frames(20))
    await world.send(source, sent)
    before = flat(sent)
    for number, (got, _, _) in enumerate(targets):
        after = [parse(packet) for packet in got]
        assert [p.payload for p in after] == [p.payload for p in before]
        assert {p.ssrc for p in after} == {200 + number}
        assert after[0].sequence_number == number * 1000
    assert reader.waiting == 20


async def test_the_end_of_the_source_ends_the_relay_but_not_the_sink(world: World) -> None:
    source = await world.source("udp")
    _, sink, _ = await world.target("udp", ssrc=200)
    relay = Relay(source.batches, sink, ssrc=200)
    source.close(MediaTimeout("no RTP"))
    assert isinstance(relay.closed.exception(), MediaTimeout)
    assert not sink.closed.done()


async def test_a_lost_connection_ends_sink_and_relay_with_the_reason(world: World) -> None:
    source = await world.source("udp")
    _, sink, upper = await world.target("tcp-active", ssrc=200)
    relay = Relay(source.batches, sink, ssrc=200)
    upper.close()
    await asyncio.sleep(0.1)
    assert "lost" in str(sink.closed.exception())
    assert relay.closed.exception() is sink.closed.exception()
    assert not source.batches.is_used


async def test_a_target_that_refuses_closes_the_sink_after_four_attempts(world: World) -> None:
    sink = await world.plane.open_sink("tcp-active", host=SERVER, remote=(UPPER, 9))
    start = world.clock.time()
    sink.start()
    await asyncio.wait([sink.closed])
    assert world.clock.time() - start >= 3.0
    with pytest.raises(MediaTimeout, match=r"no TCP media connection to 10\.0\.0\.9:9"):
        sink.closed.result()
    with pytest.raises(MediaTimeout):
        await sink.start()


async def test_closing_a_sink_ends_its_attempts_to_connect(world: World) -> None:
    sink = await world.plane.open_sink("tcp-active", host=SERVER, remote=(UPPER, 9))
    sink.start()
    await asyncio.sleep(0.5)
    sink.close()
    await asyncio.sleep(10.0)
    assert sink.closed.result() is None
    assert world.plane.counts()["sinks"] == 0


async def test_only_the_first_connection_to_a_passive_sink_counts(world: World) -> None:
    sink = await world.plane.open_sink("tcp-passive", host=SERVER)
    sink.start()
    assert not sink.ready.done()
    heard: list[bytes] = []

    class Hearing(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            heard.append(data)

    first, _ = await world.upper.create_connection(Hearing, *sink.local)
    await sink.ready
    second, _ = await world.camera.create_connection(asyncio.Protocol, *sink.local)
    await asyncio.sleep(0.1)
    assert second.is_closing()
    packets = next(frames(1))
    assert sink.send_packets(packets)
    await asyncio.sleep(0.1)
    assert Deframer().push(b"".join(heard)) == packets
    first.close()


async def test_a_slow_tcp_target_loses_whole_groups_and_the_source_goes_on(world: World) -> None:
    source = await world.source("udp")
    sink = await world.plane.open_sink("tcp-passive", host=SERVER)
    stuck, _ = await world.upper.create_connection(asyncio.Protocol, *sink.local)
    await sink.ready
    stuck.pause_reading()
    Relay(source.batches, sink, ssrc=200)
    other, udp, _ = await world.target("udp", ssrc=201)
    Relay(source.batches, udp, ssrc=201)
    sent = list(frames(100, size=100_000))
    await world.send(source, sent)
    assert len(other) == len(flat(sent))
    seen = sink.statistics
    assert seen.dropped > 0
    assert seen.packets + seen.dropped == len(other)
    assert not sink.closed.done()
    stuck.close()


async def test_a_slow_tcp_target_goes_on_with_nothing_but_a_group(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sink = await world.plane.open_sink("tcp-passive", host=SERVER)
    got = bytearray()

    class Peer(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.extend(data)

    peer, _ = await world.upper.create_connection(Peer, *sink.local)
    await sink.ready
    peer.pause_reading()
    large = [packet for packets in frames(100, size=100_000) for packet in packets]
    while sink.send_packets(large[:400]):
        pass
    peer.resume_reading()
    await asyncio.sleep(1.0)
    del got[:]
    small = list(frames(13))
    assert not sink.send_packets(small[8])
    # The end of a group and the beginning of the next come in one turn.
    assert sink.send_packets([*small[9], *small[10], *small[11]])
    await asyncio.sleep(0.1)
    assert Deframer().push(bytes(got)) == [*small[10], *small[11]]
    assert sink.statistics.dropped == 400 + len(small[8]) + len(small[9])
    (said,) = [record.message for record in caplog.records if "too slowly" in record.message]
    assert said.endswith(f"{sink.statistics.dropped} packets dropped, up to a key frame")
    peer.close()


async def test_a_passive_sink_does_not_wait_for_ever(world: World) -> None:
    sink = await world.plane.open_sink("tcp-passive", host=SERVER)
    start = world.clock.time()
    with pytest.raises(MediaTimeout, match=r"nobody connected for media to 10\.0\.0\.1:30000"):
        await sink.start()
    assert world.clock.time() - start == pytest.approx(30.0)
    assert world.plane.counts()["sinks"] == 0


async def test_a_cancelled_wait_for_a_connection_leaves_the_sink_as_it_is(world: World) -> None:
    sink = await world.plane.open_sink("tcp-passive", host=SERVER)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await sink.start((UPPER, 9))
    assert not sink.ready.done()
    peer, _ = await world.upper.create_connection(asyncio.Protocol, *sink.local)
    await sink.ready
    peer.close()


# ---- starting, restarting, faults ----


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


async def test_a_relay_starts_at_a_group_start_inside_a_batch(clock: VirtualClock) -> None:
    stream, sink = batch_stream(), Sink()
    relay = Relay(stream, sink, ssrc=9)
    sent = list(frames(8, first=5))
    publish(stream, [packet for packets in sent for packet in packets])
    assert [p.payload for p in sink.packets] == [p.payload for p in flat(sent[5:])]
    assert sink.packets[0].sequence_number == 0
    assert relay.statistics.dropped == 15


async def test_a_late_relay_starts_with_the_kept_group(clock: VirtualClock) -> None:
    stream, sink = batch_stream(), Sink()
    sent = list(frames(15))
    for packets in sent:
        publish(stream, packets)
    Relay(stream, sink, ssrc=9)
    await asyncio.sleep(0)
    publish(stream, last := next(frames(1, first=15, sequence=65530 + 45)))
    await asyncio.sleep(1.0)
    expected = [*flat(sent[10:]), *flat([last])]
    assert [p.payload for p in sink.packets] == [p.payload for p in expected]
    numbers = [p.sequence_number for p in sink.packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_a_kept_group_does_not_leave_all_at_once(clock: VirtualClock) -> None:
    stream, sink = batch_stream(), Sink()
    sent = list(frames(10, size=100_000))
    for packets in sent:
        publish(stream, packets)
    Relay(stream, sink, ssrc=9)
    await asyncio.sleep(1.0)
    assert len(sink.packets) == len(flat(sent))
    times = sorted({at for at, _ in sink.sent})
    assert len(times) == 10
    assert times[-1] - times[0] == pytest.approx(0.045)


async def test_an_overlong_backlog_is_dropped_up_to_the_next_group(clock: VirtualClock) -> None:
    stream, sink = batch_stream(), Sink()
    for packets in frames(9, size=300_000):
        publish(stream, packets)
    relay = Relay(stream, sink, ssrc=9)
    await asyncio.sleep(0)
    live = list(frames(41, first=9, size=300_000, sequence=0))
    for packets in live:
        publish(stream, packets)
    await asyncio.sleep(10.0)
    assert relay.statistics.dropped > 0
    assert relay.statistics.packets * 1400 < BACKLOG_BYTES + 30 * 300_000
    publish(stream, key := next(frames(1, first=50, sequence=0)))
    assert [p.payload for p in sink.packets[-3:]] == [p.payload for p in flat([key])]


async def test_a_stream_without_group_starts_is_relayed_after_a_while(clock: VirtualClock) -> None:
    stream, sink = batch_stream(), Sink()
    relay = Relay(stream, sink, ssrc=9)
    packetizer = Packetizer(ssrc=1)
    for number in range(20):
        publish(stream, packetizer.push(b"\x01" * 100, number))
        assert bool(sink.sent) == (clock.time() >= GROUP_PATIENCE)
        await asyncio.sleep(0.5)
    assert relay.statistics.started_without_group


async def test_nothing_is_forwarded_before_the_sink_is_ready(clock: VirtualClock) -> None:
    stream, sink = batch_stream(keep_group=False), Sink(is_ready=False)
    relay = Relay(stream, sink, ssrc=9)
    sent = list(frames(20))
    for packets in sent[:5]:
        publish(stream, packets)
    sink.ready.set_result(None)
    await asyncio.sleep(0)
    for packets in sent[5:]:
        publish(stream, packets)
    assert [p.payload for p in sink.packets] == [p.payload for p in flat(sent[10:])]
    assert relay.statistics.dropped == 30


async def test_the_outgoing_numbering_goes_on_when_the_source_begins_anew(
    clock: VirtualClock,
) -> None:
    stream, sink = batch_stream(), Sink()
    relay = Relay(stream, sink, ssrc=9, timestamp=0xFFFFFF00)
    for packets in frames(3):
        publish(stream, packets)
    await asyncio.sleep(2.0)
    for packets in frames(3, first=1000, ssrc=2, sequence=40000):
        publish(stream, packets)
    numbers = [p.sequence_number for p in sink.packets]
    assert numbers == list(range(len(numbers)))
    ticks = sorted({p.timestamp for p in sink.packets}, key=lambda t: (t + 0x100) & 0xFFFFFFFF)
    assert [(b - a) & 0xFFFFFFFF for a, b in pairwise(ticks)] == [
        3600, 3600, 180_000, 3600, 3600,
    ]  # fmt: skip
    assert {p.ssrc for p in sink.packets} == {9}
    assert relay.statistics.restarts == 1


async def test_what_the_source_lost_stays_a_gap(clock: VirtualClock) -> None:
    stream, sink = batch_stream(), Sink()
    Relay(stream, sink, ssrc=9)
    sent = [packet for packets in frames(3) for packet in packets]
    publish(stream, sent[:4])
    publish(stream, sent[5:])
    assert [p.sequence_number for p in sink.packets] == [0, 1, 2, 3, 5, 6, 7, 8]


async def test_a_fault_ends_one_relay_and_no_other(clock: VirtualClock) -> None:
    class Broken(Sink):
        def send_batch(self, batch: PacketBatch) -> bool:
            raise RuntimeError("a fault of ours")

    stream, broken, sound = batch_stream(), Broken(), Sink()
    relay = Relay(stream, broken, ssrc=9)
    Relay(stream, sound, ssrc=10)
    for packets in frames(2):
        publish(stream, packets)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        relay.closed.result()
    assert len(sound.packets) == 6


async def test_a_closed_relay_forwards_nothing(clock: VirtualClock) -> None:
    stream, sink = batch_stream(), Sink()
    relay = Relay(stream, sink, ssrc=9)
    relay.close()
    relay.close()
    publish(stream, next(frames(1)))
    assert (sink.sent, stream.is_used) == ([], False)
