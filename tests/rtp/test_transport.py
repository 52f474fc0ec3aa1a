from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from rtp.batch import PacketBatch
from rtp.errors import FramingLost
from rtp.framing import frame
from rtp.packetizer import Packetizer
from rtp.transport import (
    Address,
    SocketNetwork,
    TcpMediaConnection,
    connect_tcp,
    listen_tcp,
    open_network,
)

LOCAL = ("127.0.0.1", 0)


@pytest_asyncio.fixture
async def network() -> AsyncIterator[SocketNetwork]:
    made = open_network()
    yield made
    made.close()


class Sink:
    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.sources: list[Address] = []
        self.changed = asyncio.Event()

    def take(self, batch: PacketBatch, source: Address) -> None:
        self.packets += [bytes(packet) for packet in batch.packets()]
        self.sources.append(source)
        self.changed.set()

    async def wait(self, count: int) -> list[bytes]:
        async with asyncio.timeout(5):
            while len(self.packets) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.packets


def make_batch(packets: list[bytes], gap: int = 0) -> PacketBatch:
    data, bounds = bytearray(), []
    for packet in packets:
        data += bytes(gap)
        bounds.append((len(data), len(packet)))
        data += packet
    return PacketBatch(data, bounds, 0.0)


@pytest.mark.parametrize("gap", [0, 2])
async def test_a_batch_arrives_whole_and_in_order(network: SocketNetwork, gap: int) -> None:
    sink = Sink()
    sender = network.open_udp(LOCAL, Sink().take)
    receiver = network.open_udp(LOCAL, sink.take)
    packets = Packetizer(ssrc=1).push(bytes(200_000), 0)
    assert sender.send_batch(make_batch(packets, gap), receiver.local) == len(packets)
    assert await sink.wait(len(packets)) == packets
    assert set(sink.sources) == {sender.local}
    assert receiver.kernel_drops() == 0
    assert sender.counters["sent"] == receiver.counters["packets"] == len(packets)


async def test_each_source_gets_its_own_batches(network: SocketNetwork) -> None:
    sink = Sink()
    receiver = network.open_udp(LOCAL, sink.take)
    senders = [network.open_udp(LOCAL, Sink().take) for _ in range(2)]
    packet = Packetizer(ssrc=1).push(b"x", 0)[0]
    for at in (0, 1, 1, 0):
        assert senders[at].send(packet, receiver.local)
    await sink.wait(4)
    assert [senders.index(next(s for s in senders if s.local == a)) for a in sink.sources] == [
        0,
        1,
        0,
    ]


async def test_garbage_is_counted_and_rtcp_goes_its_own_way(network: SocketNetwork) -> None:
    sink, reports = Sink(), []
    receiver = network.open_udp(LOCAL, sink.take)
    receiver.on_rtcp = lambda data, source: reports.append((data, source))
    sender = network.open_udp(LOCAL, Sink().take)
    report = bytes.fromhex("80c9000100000001")
    packet = Packetizer(ssrc=1).push(b"x", 0)[0]
    for data in (b"", b"\x80" * 5, bytes(20), report, packet):
        sender.send(data, receiver.local)
    assert await sink.wait(1) == [packet]
    assert reports == [(report, sender.local)]
    assert receiver.counters["garbage"] == 3


async def test_a_failing_callback_ends_its_own_socket_only(network: SocketNetwork) -> None:
    def fail(batch: PacketBatch, source: Address) -> None:
        raise ValueError("no")

    errors: list[BaseException] = []
    sink = Sink()
    broken, sound = network.open_udp(LOCAL, fail), network.open_udp(LOCAL, sink.take)
    broken.on_error = errors.append
    sender = network.open_udp(LOCAL, Sink().take)
    packet = Packetizer(ssrc=1).push(b"x", 0)[0]
    sender.send(packet, broken.local)
    sender.send(packet, sound.local)
    await sink.wait(1)
    assert [type(error) for error in errors] == [ValueError]
    assert broken.is_closed
    assert not sound.is_closed
    assert len(network.poller) == 2


async def test_without_segmentation_packets_are_sent_singly(network: SocketNetwork) -> None:
    sink = Sink()
    receiver = network.open_udp(LOCAL, sink.take)
    sender = network.open_udp(LOCAL, Sink().take)
    sender._can_segment = False
    packets = Packetizer(ssrc=1).push(bytes(5000), 0)
    assert sender.send_batch(make_batch(packets), receiver.local) == 4
    assert await sink.wait(4) == packets


async def test_a_closed_socket_counts_what_it_cannot_send(network: SocketNetwork) -> None:
    sender = network.open_udp(LOCAL, Sink().take)
    sender.close()
    sender.close()
    assert not sender.send(bytes(12), ("127.0.0.1", 9))
    assert sender.counters["send_errors"] == 1
    assert sender.kernel_drops() == 0


async def test_a_port_in_use_is_an_os_error(network: SocketNetwork) -> None:
    first = network.open_udp(LOCAL, Sink().take)
    with pytest.raises(OSError, match="in use"):
        network.open_udp(first.local, Sink().take)


async def connected(
    network: SocketNetwork, **options: Any
) -> tuple[TcpMediaConnection, TcpMediaConnection, Any]:
    accepted: asyncio.Future[TcpMediaConnection] = asyncio.get_running_loop().create_future()
    server = await listen_tcp(network, LOCAL, accepted.set_result)
    address = server.sockets[0].getsockname()[:2]
    client = await connect_tcp(network, address, **options)
    return client, await accepted, server


async def test_packets_go_both_ways_over_tcp(network: SocketNetwork) -> None:
    client, peer, server = await connected(network)
    there, back, reports = Sink(), Sink(), []
    peer.on_batch, client.on_batch = there.take, back.take
    peer.on_rtcp = lambda data, source: reports.append(data)
    packets = Packetizer(ssrc=1).push(bytes(200_000), 0)
    assert client.send(bytes.fromhex("80c9000100000001"))
    assert client.send_batch(make_batch(packets))
    assert peer.send(packets[0])
    assert await there.wait(len(packets)) == packets
    assert await back.wait(1) == packets[:1]
    assert len(reports) == 1
    lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    peer.on_lost = lost.set_result
    client.close()
    assert await lost is None
    assert not peer.send(packets[0])
    server.close()


async def test_a_full_write_buffer_drops_and_says_so(network: SocketNetwork) -> None:
    client, peer, server = await connected(network, write_limit=1000)
    assert not client.send_batch(make_batch(Packetizer(ssrc=1).push(bytes(5000), 0)))
    assert client.counters["dropped"] == 4
    client.abort()
    peer.abort()
    server.close()


async def test_a_lost_boundary_ends_the_connection_with_its_cause(network: SocketNetwork) -> None:
    client, peer, server = await connected(network)
    sink = Sink()
    peer.on_batch = sink.take
    lost: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    peer.on_lost = lost.set_result
    packet = Packetizer(ssrc=1).push(bytes(50), 0)[0]
    assert client._transport is not None
    client._transport.write(frame(packet) + struct.pack("!HI", 64, 0) * 100_000)
    async with asyncio.timeout(5):
        assert isinstance(await lost, FramingLost)
    assert sink.packets == [packet]
    client.abort()
    server.close()


async def test_connecting_is_tried_again_and_then_given_up(network: SocketNetwork) -> None:
    server = await listen_tcp(network, LOCAL, lambda connection: None)
    address = server.sockets[0].getsockname()[:2]
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await connect_tcp(network, address, attempts=3, pause=0.0)


@pytest.mark.parametrize("is_rtcp", [True, False])
async def test_a_callback_may_close_its_socket_while_more_is_waiting(
    network: SocketNetwork, is_rtcp: bool
) -> None:
    errors: list[BaseException] = []
    calls: list[object] = []
    closed = asyncio.Event()

    def close(data: object, source: Address) -> None:
        calls.append(data)
        receiver.close()
        closed.set()

    receiver = network.open_udp(LOCAL, close)
    receiver.on_error, receiver.on_rtcp = errors.append, close
    senders = [network.open_udp(LOCAL, Sink().take) for _ in range(2)]
    data = bytes.fromhex("80c9000100000001") if is_rtcp else bytes.fromhex("8060") + bytes(20)
    for sender in (*senders, *senders):
        sender.send(data, receiver.local)
    async with asyncio.timeout(5):
        await closed.wait()
    assert len(calls) == 1
    assert errors == []
