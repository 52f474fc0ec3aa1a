"""TCP connections that a media poller reads, against plain sockets."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from rtp.connection import PolledConnection, PolledServer
from rtp.network import StreamProtocol
from rtp.poller import READ_SIZE
from rtp.transport import SocketNetwork

LOCAL = ("127.0.0.1", 0)


class Ours(StreamProtocol):
    """Keeps what comes; leaves the last odd byte for the next read."""

    def __init__(self) -> None:
        self.data = b""
        self.rest = b""
        self.transport: PolledConnection | None = None
        self.made = asyncio.Event()
        self.changed = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, PolledConnection)
        self.transport = transport
        self.made.set()

    def unfinished(self) -> bytes:
        return self.rest

    def buffer_received(self, buffer: bytearray, size: int, now: float) -> None:
        even = size - size % 2
        self.data += buffer[:even]
        self.rest = bytes(buffer[even:size])
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.fixture(params=[0.0, 0.005], ids=["no tick", "tick"])
async def network(request: pytest.FixtureRequest) -> AsyncIterator[SocketNetwork]:
    made = SocketNetwork(tick=request.param)
    yield made
    made.close()


async def pair(network: SocketNetwork) -> tuple[Ours, PolledConnection, socket.socket]:
    """Our end of a connection, and the blocking socket of a peer."""
    ours = Ours()
    server = await network.create_server(lambda: ours, *LOCAL)
    assert isinstance(server, PolledServer)
    peer = socket.create_connection(server.sockets[0].getsockname())
    async with asyncio.timeout(5):
        await ours.made.wait()
    server.close()
    assert ours.transport is not None
    return ours, ours.transport, peer


async def until_came(ours: Ours, count: int) -> bytes:
    async with asyncio.timeout(5):
        while len(ours.data) + len(ours.rest) < count:
            ours.changed.clear()
            await ours.changed.wait()
    return ours.data + ours.rest


async def test_what_was_left_over_comes_before_the_next_read(network: SocketNetwork) -> None:
    ours, _, peer = await pair(network)
    with peer:
        sent = bytes(range(251)) * 3
        for begin, end in ((0, 101), (101, 102), (102, len(sent))):
            peer.sendall(sent[begin:end])
            assert await until_came(ours, end) == sent[:end]


async def test_more_than_one_read_takes_is_read_whole(network: SocketNetwork) -> None:
    ours, _, peer = await pair(network)
    sent = bytes(range(256)) * (3 * READ_SIZE // 256)
    with peer:
        peer.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(peer, sent)
        assert await until_came(ours, len(sent)) == sent


async def test_what_the_kernel_does_not_take_is_sent_later_and_before_the_end(
    network: SocketNetwork,
) -> None:
    ours, transport, peer = await pair(network)
    sent = bytes(range(256)) * 40_000
    transport.write(sent[:5_000_000])
    transport.write(sent[5_000_000:])
    assert 0 < transport.get_write_buffer_size() < len(sent)
    transport.close()
    assert transport.is_closing()
    with peer:
        peer.setblocking(False)
        got = bytearray()
        async with asyncio.timeout(10):
            while piece := await asyncio.get_running_loop().sock_recv(peer, 1 << 20):
                got += piece
            assert await ours.lost is None
    assert got == sent
    assert transport.fileno() == -1


async def test_a_peer_that_closes_ends_the_connection(network: SocketNetwork) -> None:
    ours, _, peer = await pair(network)
    peer.close()
    async with asyncio.timeout(5):
        assert await ours.lost is None
    assert len(network.poller) == 0


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_reset_ends_the_connection_also_while_it_is_paused(
    network: SocketNetwork, is_paused: bool
) -> None:
    ours, transport, peer = await pair(network)
    if is_paused:
        transport.pause_reading()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    async with asyncio.timeout(5):
        assert isinstance(await ours.lost, ConnectionResetError)


async def test_a_paused_connection_reads_nothing_until_it_goes_on(network: SocketNetwork) -> None:
    ours, transport, peer = await pair(network)
    with peer:
        transport.pause_reading()
        peer.sendall(b"late")
        await asyncio.sleep(0.02)
        assert ours.data == b""
        transport.resume_reading()
        assert await until_came(ours, 4) == b"late"


async def test_closing_the_network_aborts_what_is_unsent(network: SocketNetwork) -> None:
    ours, transport, peer = await pair(network)
    transport.write(bytes(10_000_000))
    network.close()
    async with asyncio.timeout(5):
        assert await ours.lost is None
    transport.write(b"nothing happens")
    transport.close()
    peer.close()


async def test_nobody_at_the_address_is_an_error(network: SocketNetwork) -> None:
    with socket.socket() as unused:
        unused.bind(LOCAL)
        with pytest.raises(ConnectionRefusedError):
            await network.create_connection(Ours, *unused.getsockname())
