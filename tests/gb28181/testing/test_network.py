"""The simulated network: plain asyncio protocols run over it unchanged."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.host import SimulatedHost
from gb28181.testing.network import SimulatedNetwork
from rtp.batch import PacketBatch
from rtp.packet import RtpPacket
from rtp.transport import MediaNetwork, connect_tcp, listen_tcp

CAMERA, PLATFORM = "10.0.0.5", "10.0.0.1"


@pytest.fixture(autouse=True)
async def clock() -> AsyncIterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


@pytest.fixture
def net(clock: VirtualClock) -> SimulatedNetwork:
    return SimulatedNetwork(seed=7)


class Inbox(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.got: list[tuple[bytes, tuple[str, int]]] = []
        self.errors: list[Exception] = []
        self.lost: list[Exception | None] = []

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.got.append((data, addr))

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Peer(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.events: list[str] = []
        self.lost = asyncio.get_running_loop().create_future()

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def eof_received(self) -> None:
        self.events.append("eof")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def bind(host: SimulatedHost, port: int) -> tuple[asyncio.DatagramTransport, Inbox]:
    transport, inbox = await host.create_datagram_endpoint(Inbox, ("0.0.0.0", port))
    return transport, inbox


async def join(net: SimulatedNetwork, a: str = CAMERA, b: str = PLATFORM) -> tuple[Peer, Peer]:
    """Connect a to port 5060 of b; return both protocols."""
    accepted: list[Peer] = []

    def accept() -> Peer:
        accepted.append(Peer())
        return accepted[-1]

    server = await net.host(b).create_server(accept, "0.0.0.0", 5060)
    _, client = await net.host(a).create_connection(Peer, b, 5060)
    await asyncio.sleep(0.01)
    server.close()
    await server.wait_closed()
    return client, accepted[0]


# Datagrams


async def test_a_datagram_arrives_after_the_latency(
    net: SimulatedNetwork, clock: VirtualClock
) -> None:
    here, _ = await bind(net.host(CAMERA), 5061)
    _, inbox = await bind(net.host(PLATFORM), 5060)
    here.sendto(b"hello", (PLATFORM, 5060))
    await asyncio.sleep(0.0005)
    assert inbox.got == []
    await asyncio.sleep(0.001)
    assert inbox.got == [(b"hello", (CAMERA, 5061))]


async def test_an_unbound_port_drops_and_counts(net: SimulatedNetwork) -> None:
    here, _ = await bind(net.host(CAMERA), 5061)
    net.host(PLATFORM)
    here.sendto(b"x", (PLATFORM, 9))
    here.sendto(b"x", ("10.9.9.9", 9))
    await asyncio.sleep(1)
    assert net.counters["no port"] == 1
    assert net.counters["no host"] == 1
    assert [packet.fate for packet in net.trace] == ["sent", "no host", "no port"]


async def test_a_port_in_use_and_a_foreign_address_are_refused(net: SimulatedNetwork) -> None:
    host = net.host(CAMERA)
    transport, _ = await bind(host, 5060)
    with pytest.raises(OSError, match=r"in use: udp 0\.0\.0\.0:5060 of 10\.0\.0\.5"):
        await bind(host, 5060)
    with pytest.raises(OSError, match=r"Cannot assign 10.0.0.77"):
        host.open_udp(("10.0.0.77", 0), lambda batch, source: None)
    transport.close()
    await bind(host, 5060)


async def test_a_connected_endpoint_knows_its_own_address_and_hears_only_its_peer(
    net: SimulatedNetwork,
) -> None:
    camera = net.host(CAMERA)
    transport, inbox = await camera.create_datagram_endpoint(Inbox, remote_addr=(PLATFORM, 5060))
    host, port = transport.get_extra_info("sockname")
    assert (host, transport.get_extra_info("peername")) == (CAMERA, (PLATFORM, 5060))
    right, _ = await bind(net.host(PLATFORM), 5060)
    wrong, _ = await bind(net.host(PLATFORM), 5070)
    wrong.sendto(b"wrong", (CAMERA, port))
    right.sendto(b"right", (CAMERA, port))
    await asyncio.sleep(1)
    assert inbox.got == [(b"right", (PLATFORM, 5060))]
    with pytest.raises(ValueError, match="Invalid address"):
        transport.sendto(b"x", (PLATFORM, 1))


async def test_too_long_a_datagram_is_reported_to_the_protocol(net: SimulatedNetwork) -> None:
    here, inbox = await bind(net.host(CAMERA), 5061)
    here.sendto(bytes(65508), (PLATFORM, 5060))
    assert [type(error) for error in inbox.errors] == [OSError]


async def test_a_protocol_that_raises_harms_no_other(net: SimulatedNetwork) -> None:
    class Broken(Inbox):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            raise RuntimeError("broken")

    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    await net.host(PLATFORM).create_datagram_endpoint(Broken, ("0.0.0.0", 1))
    _, inbox = await bind(net.host(PLATFORM), 2)
    here, _ = await bind(net.host(CAMERA), 5061)
    here.sendto(b"a", (PLATFORM, 1))
    here.sendto(b"b", (PLATFORM, 2))
    await asyncio.sleep(1)
    assert [data for data, _ in inbox.got] == [b"b"]
    assert len(contexts) == 1


async def send_numbered(net: SimulatedNetwork, count: int, pause: float = 0.0) -> list[int]:
    here, _ = await bind(net.host(CAMERA), 0)
    there, inbox = await bind(net.host(PLATFORM), 5060)
    for number in range(count):
        here.sendto(number.to_bytes(4, "big"), (PLATFORM, 5060))
        if pause:
            await asyncio.sleep(pause)
    await asyncio.sleep(10)
    here.close()
    there.close()
    return [int.from_bytes(data, "big") for data, _ in inbox.got]


async def test_without_faults_order_is_kept(net: SimulatedNetwork) -> None:
    assert await send_numbered(net, 500) == list(range(500))


async def test_loss_and_duplication_have_their_share_and_follow_the_seed() -> None:
    runs = []
    for seed in (1, 1, 2):
        net = SimulatedNetwork(seed)
        net.link(net.host(CAMERA), net.host(PLATFORM), loss=0.2, duplication=0.1)
        got = await send_numbered(net, 5000)
        assert 0.17 < 1 - len(set(got)) / 5000 < 0.23
        assert 0.08 < (len(got) - len(set(got))) / len(set(got)) < 0.12
        assert net.counters["lost"] == 5000 - len(set(got))
        assert net.counters["duplicated"] == len(got) - len(set(got))
        runs.append(got)
    assert runs[0] == runs[1] != runs[2]


async def test_held_datagrams_are_overtaken() -> None:
    net = SimulatedNetwork(3)
    net.link(net.host(CAMERA), net.host(PLATFORM), reordering=0.05)
    got = await send_numbered(net, 2000, pause=0.001)
    late = sum(later < earlier for earlier, later in itertools.pairwise(got))
    assert sorted(got) == list(range(2000))
    assert 50 < late < 150


async def test_traffic_elsewhere_does_not_change_what_is_lost() -> None:
    alone, busy = SimulatedNetwork(5), SimulatedNetwork(5)
    for net in (alone, busy):
        net.link(net.host(CAMERA), net.host(PLATFORM), loss=0.3)
    noise, _ = await bind(busy.host("10.0.0.99"), 1)
    busy.link("10.0.0.99", PLATFORM, loss=0.5)
    for _ in range(100):
        noise.sendto(b"noise", (PLATFORM, 9))
    assert await send_numbered(alone, 300) == await send_numbered(busy, 300)


async def test_a_filter_drops_what_it_refuses(net: SimulatedNetwork) -> None:
    remove = net.filter(lambda packet: packet.data[3] % 2 == 0)
    assert await send_numbered(net, 6) == [0, 2, 4]
    remove()
    assert await send_numbered(net, 3) == [0, 1, 2]
    assert net.counters["filtered"] == 3


# Streams


async def test_tcp_carries_both_ways_and_closes_in_order(net: SimulatedNetwork) -> None:
    client, server = await join(net)
    assert server.transport.get_extra_info("peername") == client.transport.get_extra_info(
        "sockname"
    )
    client.transport.write(b"ping")
    server.transport.write(b"pong")
    server.transport.write(b"!")
    client.transport.close()
    assert await server.lost is None
    assert await client.lost is None
    assert (server.data, server.events) == (b"ping", ["eof"])
    assert net.leaks() == []


async def test_a_closed_port_refuses(net: SimulatedNetwork, clock: VirtualClock) -> None:
    net.host(PLATFORM)
    with pytest.raises(ConnectionRefusedError):
        await net.host(CAMERA).create_connection(Peer, PLATFORM, 5060)
    assert clock.time() == pytest.approx(0.002)


async def test_connecting_to_nobody_times_out_as_linux_does(
    net: SimulatedNetwork, clock: VirtualClock
) -> None:
    with pytest.raises(TimeoutError):
        await net.host(CAMERA).create_connection(Peer, "10.9.9.9", 5060)
    assert clock.time() == pytest.approx(127)


async def test_a_connect_survives_a_short_partition(
    net: SimulatedNetwork, clock: VirtualClock
) -> None:
    net.partition(net.host(CAMERA), net.host(PLATFORM))
    asyncio.get_running_loop().call_later(2, net.heal)
    client, _ = await join(net)
    assert 3 < clock.time() < 3.1  # the attempts are at 0, 1 and 3 s
    client.transport.abort()


@pytest.mark.parametrize("chop", [False, True])
async def test_data_arrive_in_segments_in_order(net: SimulatedNetwork, chop: bool) -> None:
    net.link(net.host(CAMERA), net.host(PLATFORM), chop=chop, jitter=0.01, loss=0.05)
    client, server = await join(net)
    data = bytes(range(256)) * 400
    client.transport.write(data)
    await asyncio.sleep(60)
    assert server.data == data
    assert max(map(len, server.pieces)) <= 1460
    assert (len(set(map(len, server.pieces))) > 20) is chop


async def test_a_reader_that_pauses_stops_the_writer(net: SimulatedNetwork) -> None:
    client, server = await join(net)
    server.transport.pause_reading()
    client.transport.write(bytes(300_000))
    await asyncio.sleep(10)
    assert client.events == ["pause"]
    assert server.pieces == []
    assert client.transport.get_write_buffer_size() == 300_000 - 65536
    server.transport.resume_reading()
    await asyncio.sleep(10)
    assert len(server.data) == 300_000
    assert client.events == ["pause", "resume"]


async def test_close_sends_what_is_buffered_and_abort_does_not(net: SimulatedNetwork) -> None:
    client, server = await join(net)
    client.transport.write(bytes(200_000))
    client.transport.close()
    assert client.transport.is_closing()
    assert await server.lost is None
    assert len(server.data) == 200_000
    client, server = await join(net)
    client.transport.write(bytes(200_000))
    client.transport.abort()
    await server.lost
    assert len(server.data) == 65536


async def test_half_close_lets_the_other_half_go_on(net: SimulatedNetwork) -> None:
    class HalfOpen(Peer):
        def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows it
            self.transport.write(b"answer after the end")
            self.transport.close()
            return True

    await net.host(PLATFORM).create_server(HalfOpen, "", 5060)
    transport, client = await net.host(CAMERA).create_connection(Peer, PLATFORM, 5060)
    transport.write(b"question")
    transport.write_eof()
    with pytest.raises(RuntimeError):
        transport.write(b"more")
    await client.lost
    assert client.data == b"answer after the end"


async def test_writing_to_a_peer_that_closed_is_reset(net: SimulatedNetwork) -> None:
    class KeepsOpen(Peer):
        def eof_received(self) -> bool:  # type: ignore[override]  # asyncio allows it
            return True

    accepted: list[Peer] = []
    await net.host(PLATFORM).create_server(
        lambda: accepted.append(KeepsOpen()) or accepted[-1],  # type: ignore[func-returns-value]
        "",
        5060,
    )
    transport, _ = await net.host(CAMERA).create_connection(Peer, PLATFORM, 5060)
    transport.close()
    await asyncio.sleep(1)
    accepted[0].transport.write(b"too late")
    assert isinstance(await accepted[0].lost, ConnectionResetError)


async def test_a_buffered_protocol_is_filled(net: SimulatedNetwork) -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(100)
            self.data = bytearray()

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data += self.buffer[:nbytes]

    buffered = Buffered()
    await net.host(PLATFORM).create_server(lambda: buffered, "", 5060)
    transport, _ = await net.host(CAMERA).create_connection(Peer, PLATFORM, 5060)
    transport.write(bytes(range(256)) * 4)
    await asyncio.sleep(1)
    assert buffered.data == bytes(range(256)) * 4


async def test_a_protocol_that_raises_loses_its_connection(net: SimulatedNetwork) -> None:
    contexts: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: contexts.append(context))
    client, server = await join(net)
    fault = RuntimeError("broken")

    def broken(data: bytes) -> None:
        raise fault

    server.data_received = broken  # type: ignore[method-assign]
    client.transport.write(b"x")
    assert await server.lost is fault
    assert isinstance(await client.lost, ConnectionResetError)
    assert contexts[0]["exception"] is fault


async def test_streams_of_asyncio_work_over_it(net: SimulatedNetwork) -> None:
    loop = asyncio.get_running_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readuntil(b"\n"))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def accept() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), echo)

    await net.host(PLATFORM).create_server(accept, "", 80)
    reader = asyncio.StreamReader()
    transport, protocol = await net.host(CAMERA).create_connection(
        lambda: asyncio.StreamReaderProtocol(reader), PLATFORM, 80
    )
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    writer.write(b"line\n")
    assert await reader.read() == b"line\n"
    writer.close()
    await writer.wait_closed()


# Faults


async def test_a_vanished_host_gets_and_sends_nothing_and_tcp_is_not_told(
    net: SimulatedNetwork, clock: VirtualClock
) -> None:
    camera = net.host(CAMERA)
    here, inbox = await bind(camera, 5061)
    there, _ = await bind(net.host(PLATFORM), 5070)
    client, server = await join(net)
    camera.vanish()
    here.sendto(b"x", (PLATFORM, 5070))
    there.sendto(b"x", (CAMERA, 5061))
    client.transport.write(b"never")
    await asyncio.sleep(800)
    assert not inbox.got
    assert not server.pieces
    assert not server.lost.done()
    assert not client.lost.done()
    assert isinstance(await client.lost, TimeoutError)
    assert 920 < clock.time() < 1100
    assert not server.lost.done()


async def test_what_was_written_during_a_partition_arrives_after_it(
    net: SimulatedNetwork,
) -> None:
    client, server = await join(net)
    net.partition(CAMERA, PLATFORM)
    for number in range(10):
        client.transport.write(b"%d" % number)
        await asyncio.sleep(1)
    assert server.pieces == []
    net.heal(CAMERA, PLATFORM)
    await asyncio.sleep(20)
    assert server.data == b"0123456789"


async def test_a_crash_resets_connections_and_frees_ports(net: SimulatedNetwork) -> None:
    camera = net.host(CAMERA)
    _, inbox = await bind(camera, 5061)
    there, _ = await bind(net.host(PLATFORM), 5070)
    client, server = await join(net)
    camera.crash()
    assert isinstance(await server.lost, ConnectionResetError)
    there.sendto(b"x", (CAMERA, 5061))
    client.transport.write(b"x")
    await asyncio.sleep(1)
    assert inbox.got == []
    assert not client.lost.done()
    assert not any(line.startswith(CAMERA) for line in net.leaks())
    client.transport.close()
    assert await client.lost is None
    await bind(camera, 5061)


async def test_writing_to_a_crashed_host_is_reset_even_when_its_own_reset_got_lost(
    net: SimulatedNetwork,
) -> None:
    _, server = await join(net)
    net.partition(CAMERA, PLATFORM)
    net.host(CAMERA).crash()
    await asyncio.sleep(10)
    assert not server.lost.done()
    net.heal()
    server.transport.write(b"anybody there?")
    assert isinstance(await server.lost, ConnectionResetError)


async def test_a_host_tells_the_address_it_is_reached_by(net: SimulatedNetwork) -> None:
    camera = net.host(CAMERA)
    assert camera.address_towards(PLATFORM) == CAMERA
    assert camera.address_towards("127.0.0.1") == "127.0.0.1"
    camera.move("10.0.0.9")
    assert camera.address_towards(PLATFORM) == "10.0.0.9"


async def test_loopback_and_host_names_reach_a_host(net: SimulatedNetwork) -> None:
    camera = net.host(CAMERA, name="camera.example")
    here, inbox = await bind(camera, 5060)
    there, _ = await bind(net.host(PLATFORM), 5060)
    here.sendto(b"self", ("127.0.0.1", 5060))
    there.sendto(b"name", ("camera.example", 5060))
    await asyncio.sleep(1)
    assert inbox.got == [(b"self", ("127.0.0.1", 5060)), (b"name", (PLATFORM, 5060))]


async def test_a_host_that_moves_speaks_from_its_new_address(net: SimulatedNetwork) -> None:
    camera = net.host(CAMERA)
    here, inbox = await bind(camera, 5061)
    there, heard = await bind(net.host(PLATFORM), 5070)
    client, server = await join(net)
    camera.move("10.0.0.9")
    here.sendto(b"x", (PLATFORM, 5070))
    there.sendto(b"old", (CAMERA, 5061))
    there.sendto(b"new", ("10.0.0.9", 5061))
    client.transport.write(b"x")
    await asyncio.sleep(10)
    assert heard.got == [(b"x", ("10.0.0.9", 5061))]
    assert [data for data, _ in inbox.got] == [b"new"]
    assert server.pieces == []
    assert net.host("10.0.0.9") is camera
    assert net.host(CAMERA) is not camera
    with pytest.raises(ValueError, match="taken"):
        camera.move(PLATFORM)


async def test_a_translator_shows_one_address_and_lets_only_answers_in(
    net: SimulatedNetwork,
) -> None:
    camera, stranger = net.host("192.168.1.10"), net.host("10.0.0.66")
    nat = net.nat(camera, public="203.0.113.1")
    here, inbox = await bind(camera, 5060)
    there, heard = await bind(net.host(PLATFORM), 5060)
    other, _ = await bind(stranger, 5060)
    here.sendto(b"register", (PLATFORM, 5060))
    await asyncio.sleep(1)
    seen = heard.got[0][1]
    assert seen[0] == "203.0.113.1"
    there.sendto(b"ok", seen)
    there.sendto(b"private", ("192.168.1.10", 5060))
    other.sendto(b"stranger", seen)
    await asyncio.sleep(1)
    assert inbox.got == [(b"ok", (PLATFORM, 5060))]
    nat.rebind()
    there.sendto(b"lost", seen)
    here.sendto(b"keepalive", (PLATFORM, 5060))
    await asyncio.sleep(1)
    assert len(inbox.got) == 1
    assert heard.got[1][1][0] == seen[0]
    assert heard.got[1][1] != seen


async def test_a_mapping_without_traffic_is_forgotten(net: SimulatedNetwork) -> None:
    camera = net.host("192.168.1.10")
    net.nat(camera, public="203.0.113.1", lifetime=60)
    here, inbox = await bind(camera, 5060)
    there, heard = await bind(net.host(PLATFORM), 5060)
    here.sendto(b"x", (PLATFORM, 5060))
    await asyncio.sleep(50)
    there.sendto(b"in time", heard.got[0][1])
    await asyncio.sleep(61)
    there.sendto(b"too late", heard.got[0][1])
    await asyncio.sleep(1)
    assert [data for data, _ in inbox.got] == [b"in time"]


async def test_rebinding_kills_connections_through_the_translator(net: SimulatedNetwork) -> None:
    nat = net.nat(net.host("192.168.1.10"), public="203.0.113.1")
    client, server = await join(net, a="192.168.1.10")
    assert server.transport.get_extra_info("peername")[0] == "203.0.113.1"
    client.transport.write(b"before")
    await asyncio.sleep(1)
    nat.rebind()
    client.transport.write(b"after")
    await asyncio.sleep(100)
    assert server.data == b"before"
    assert not server.lost.done()


# Media


def packet(number: int, size: int = 1000) -> bytes:
    return RtpPacket(
        payload_type=96,
        marker=False,
        sequence_number=number & 0xFFFF,
        timestamp=0,
        ssrc=1,
        payload=bytes(size),
    ).to_bytes()


async def test_media_sockets_gather_packets_into_batches(
    net: SimulatedNetwork, clock: VirtualClock
) -> None:
    batches: list[tuple[float, int, tuple[str, int]]] = []
    camera: MediaNetwork = net.host(CAMERA)
    out = camera.open_udp(("0.0.0.0", 30000), lambda batch, source: None)

    def take(batch: PacketBatch, source: tuple[str, int]) -> None:
        batches.append((round(clock.time(), 4), len(batch), source))

    receiver = net.host(PLATFORM).open_udp(("0.0.0.0", 0), take)
    target = (PLATFORM, receiver.local[1])
    for number in range(60):
        assert out.send(packet(number), target)
    await asyncio.sleep(0.002)
    out.send(packet(60), target)
    out.send(packet(61), target)
    await asyncio.sleep(1)
    source = (CAMERA, 30000)
    assert batches == [(0.001, 46, source), (0.001, 14, source), (0.006, 2, source)]
    assert receiver.counters["packets"] == 62
    assert out.counters["sent"] == 62
    receiver.close()
    out.close()
    assert net.leaks() == []


async def test_a_batch_is_sent_packet_by_packet_and_arrives_whole(net: SimulatedNetwork) -> None:
    got: list[bytes] = []
    other: list[bytes] = []
    receiver = net.host(PLATFORM).open_udp(
        ("0.0.0.0", 30002), lambda batch, source: got.extend(map(bytes, batch.packets()))
    )
    receiver.on_rtcp = lambda data, source: other.append(data)
    out = net.host(CAMERA).open_udp((CAMERA, 30000), lambda batch, source: None)
    packets = [packet(number, 100 + number) for number in range(10)]
    bounds, place = [], 0
    for one in packets:
        bounds.append((place, len(one)))
        place += len(one)
    batch = PacketBatch(bytearray(b"".join(packets)), bounds)
    assert out.send_batch(batch, (PLATFORM, 30002)) == 10
    out.send(bytes([0x80, 201]) + bytes(10), (PLATFORM, 30002))
    out.send(b"garbage that is long", (PLATFORM, 30002))
    await asyncio.sleep(1)
    assert got == packets
    assert len(other) == 1
    assert receiver.counters["garbage"] == 1


async def test_a_full_receive_buffer_drops(net: SimulatedNetwork) -> None:
    receiver = net.host(PLATFORM).open_udp(
        ("0.0.0.0", 30002), lambda batch, source: None, receive_buffer=10_000
    )
    out = net.host(CAMERA).open_udp(("", 0), lambda batch, source: None)
    for number in range(20):
        out.send(packet(number), (PLATFORM, 30002))
    await asyncio.sleep(1)
    assert receiver.kernel_drops() == 11
    assert receiver.counters["packets"] == 9


async def test_a_media_callback_that_raises_closes_its_socket(net: SimulatedNetwork) -> None:
    errors: list[BaseException] = []

    def take(batch: PacketBatch, source: tuple[str, int]) -> None:
        raise RuntimeError("broken")

    receiver = net.host(PLATFORM).open_udp(("0.0.0.0", 30002), take)
    receiver.on_error = errors.append
    out = net.host(CAMERA).open_udp(("", 0), lambda batch, source: None)
    out.send(packet(1), (PLATFORM, 30002))
    await asyncio.sleep(1)
    assert [str(error) for error in errors] == ["broken"]
    assert receiver.is_closed


async def test_framed_media_over_tcp_runs_unchanged(net: SimulatedNetwork) -> None:
    got: list[int] = []
    camera, platform = net.host(CAMERA), net.host(PLATFORM)

    def accept(connection: Any) -> None:
        connection.on_batch = lambda batch, source: got.append(len(batch))

    server = await listen_tcp(platform, ("0.0.0.0", 30000), accept)
    host, port = server.sockets[0].getsockname()
    assert (host, port) == ("0.0.0.0", 30000)
    connection = await connect_tcp(camera, (PLATFORM, port))
    for number in range(100):
        assert connection.send(packet(number))
    await asyncio.sleep(1)
    assert sum(got) == 100
    connection.close()
    server.close()
    await asyncio.sleep(1)
    assert net.leaks() == []


async def test_leaks_names_what_is_open(net: SimulatedNetwork) -> None:
    await bind(net.host(CAMERA), 5060)
    await net.host(PLATFORM).create_server(Peer, "", 5060)
    net.host(PLATFORM).open_udp(("", 30000), lambda batch, source: None)
    await net.host(CAMERA).create_connection(Peer, PLATFORM, 5060)
    await asyncio.sleep(1)
    assert net.leaks() == [
        "10.0.0.5: udp 0.0.0.0:5060 open",
        "10.0.0.5: tcp 10.0.0.5:49152 connected to 10.0.0.1:5060",
        "10.0.0.1: udp media 0.0.0.0:30000 open",
        "10.0.0.1: tcp 0.0.0.0:5060 listening",
        "10.0.0.1: tcp 10.0.0.1:5060 connected to 10.0.0.5:49152",
    ]
