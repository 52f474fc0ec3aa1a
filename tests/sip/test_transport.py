import asyncio
import contextlib
import socket
import struct
from collections import Counter

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from sip.errors import FlowFailed
from sip.flow import Flow
from sip.transport import (
    WRITE_LIMIT,
    TcpConnection,
    TcpTransport,
    UdpTransport,
    is_wildcard,
    parse_address,
    routed_host,
)


class Taker:
    """Takes what a transport brings, and wakes who waits for it."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.reasons: list[str] = []
        self.taken: asyncio.Queue[tuple[Flow, bytes]] = asyncio.Queue(100)
        self.gone: asyncio.Queue[Flow] = asyncio.Queue(100)

    def received(self, flow: Flow, data: bytes) -> None:
        self.taken.put_nowait((flow, data))

    def accepted(self, flow: Flow) -> None:
        pass

    def lost(self, flow: Flow) -> None:
        self.gone.put_nowait(flow)

    def broken(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("udp://0.0.0.0:5060", ("udp", ("0.0.0.0", 5060))),
        ("tcp://:5060", ("tcp", ("", 5060))),
        ("TCP://[::1]:0", ("tcp", ("::1", 0))),
        ("tls://nvr.example:5061", ("tls", ("nvr.example", 5061))),
        ("udp://nvr.example:5060", ("udp", ("nvr.example", 5060))),
    ],
)
def test_listen_strings_are_read(text: str, read: tuple[str, tuple[str, int]]) -> None:
    assert parse_address(text) == read


@pytest.mark.parametrize("text", ["", "5060", "udp://host", "sctp://h:1", "udp://h:70000"])
def test_other_strings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        parse_address(text)


async def test_datagrams_carry_their_flow_in_both_directions() -> None:
    loop = asyncio.get_running_loop()
    one, two = Taker(), Taker()
    first = await UdpTransport.open(loop, one, ("127.0.0.1", 0))  # type: ignore[arg-type]  # a loop's overloads
    second = await UdpTransport.open(loop, two, ("127.0.0.1", 0))  # type: ignore[arg-type]  # a loop's overloads
    large = bytes(60_000)
    assert first.send(Flow("udp", first.local, second.local), large)
    flow, data = await two.taken.get()
    assert (flow, data) == (Flow("udp", second.local, first.local), large)
    second.send(flow, b"answer")
    assert (await one.taken.get())[1] == b"answer"
    await first.aclose()
    await second.aclose()
    assert not first.send(flow, b"too late")


async def test_connection_is_used_in_both_directions_and_opened_once() -> None:
    loop = asyncio.get_running_loop()
    one, two = Taker(), Taker()
    server = TcpTransport(loop, one)  # type: ignore[arg-type]  # a loop's overloads
    client = TcpTransport(loop, two)  # type: ignore[arg-type]  # a loop's overloads
    address = await server.listen(("127.0.0.1", 0))
    async with asyncio.TaskGroup() as group:
        opening = [group.create_task(client.connect(address)) for _ in range(5)]
    flows = {task.result() for task in opening}
    assert len(flows) == 1
    (flow,) = flows
    client.send(flow, b"hello")
    back, data = await one.taken.get()
    assert data == b"hello"
    assert await server.connect(back.remote) == back
    server.send(back, b"answer")
    assert await two.taken.get() == (flow, b"answer")
    server.close_flow(back)
    assert await two.gone.get() == flow
    assert not client.send(flow, b"too late")
    await client.aclose()
    await server.aclose()
    assert len(client) == len(server) == 0


async def test_one_address_does_not_take_the_room_of_all_others() -> None:
    loop = asyncio.get_running_loop()
    taker = Taker()
    server = TcpTransport(loop, taker, connections=9, connections_per_source=2)  # type: ignore[arg-type]  # a loop's overloads
    address = await server.listen(("127.0.0.1", 0))
    writers = [(await asyncio.open_connection(*address))[1] for _ in range(2)]
    reader, third = await asyncio.open_connection(*address)
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    assert taker.counters["tcp_refused"] == 1
    for writer in (*writers, third):
        writer.close()
    for _ in writers:
        await taker.gone.get()
    _, writer = await asyncio.open_connection(*address)
    writer.write(b"hello")
    assert (await taker.taken.get())[1] == b"hello"
    writer.close()
    await taker.gone.get()
    assert len(server) == 0
    assert not server._by_source
    await server.aclose()


async def test_connect_after_the_end_and_to_nobody_fails() -> None:
    taker = Taker()
    transport = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    address = await transport.listen(("127.0.0.1", 0))
    await transport.aclose()
    with pytest.raises(FlowFailed, match="closed"):
        await transport.connect(address)
    other = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    with pytest.raises(FlowFailed, match="tcp connection to"):
        await other.connect(address)
    await other.aclose()


async def test_way_to_a_host_is_known_without_a_packet() -> None:
    loop = asyncio.get_running_loop()
    assert routed_host(loop, "127.0.0.1") == "127.0.0.1"  # type: ignore[arg-type]  # a loop's overloads
    assert routed_host(loop, "nvr.example") == "127.0.0.1"  # type: ignore[arg-type]  # a loop's overloads
    assert routed_host(loop, "255.255.255.255") == "127.0.0.1"  # type: ignore[arg-type]  # a loop's overloads
    assert is_wildcard("0.0.0.0")
    assert not is_wildcard("127.0.0.1")


async def test_death_of_a_udp_socket_is_told_and_its_end_is_not() -> None:
    taker = Taker()
    udp = await UdpTransport.open(asyncio.get_running_loop(), taker, ("127.0.0.1", 0))  # type: ignore[arg-type]  # a loop's overloads
    udp.error_received(ConnectionRefusedError())
    await udp.aclose()
    assert taker.reasons == []
    udp.connection_lost(OSError("no such device"))
    assert taker.reasons == [f"udp port {udp.local[1]} on 127.0.0.1: no such device"]


async def test_name_is_a_place_to_listen_at() -> None:
    loop = asyncio.get_running_loop()
    taker = Taker()
    named = await UdpTransport.open(loop, taker, ("localhost", 0))  # type: ignore[arg-type]  # a loop's overloads
    flow = Flow("udp", named.local, named.local)
    large = bytes(60_000)
    assert named.send(flow, large)
    assert await taker.taken.get() == (flow, large)
    await named.aclose()


async def test_datagrams_that_find_no_room_are_dropped_and_counted() -> None:
    taker = Taker()
    udp = await UdpTransport.open(asyncio.get_running_loop(), taker, ("127.0.0.1", 0))  # type: ignore[arg-type]  # a loop's overloads
    flow = Flow("udp", udp.local, ("127.0.0.1", 9))
    for _ in range(80):  # within one turn of the loop: nothing leaves meanwhile
        assert udp.send(flow, bytes(60_000))
    assert taker.counters["udp_send_dropped"] == 80 - WRITE_LIMIT // 60_000 - 1
    await udp.aclose()


async def test_peer_that_does_not_read_loses_its_connection() -> None:
    taker = Taker()
    server = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    address = await server.listen(("127.0.0.1", 0))
    with socket.create_connection(address) as silent:
        silent.sendall(b"hello")
        flow, _ = await taker.taken.get()
        sent = 0
        while server.send(flow, bytes(65_536)):
            sent += 1
            assert sent < 1000
        assert taker.counters["tcp_too_slow"] == 1
        assert await taker.gone.get() == flow
    await server.aclose()


async def test_end_does_not_wait_for_a_peer_that_does_not_read() -> None:
    taker = Taker()
    server = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    address = await server.listen(("127.0.0.1", 0))
    with socket.create_connection(address) as silent:
        silent.sendall(b"hello")
        flow, _ = await taker.taken.get()
        assert server.send(flow, bytes(WRITE_LIMIT))
        assert server.send(flow, bytes(WRITE_LIMIT // 2)) or taker.counters["tcp_too_slow"]
        await server.aclose(linger=0.01)
    assert len(server) == 0
    assert taker.gone.qsize() == 1


async def test_connection_that_was_reset_before_it_was_accepted_is_none() -> None:
    taker = Taker()
    server = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    address = await server.listen(("127.0.0.1", 0))
    hasty = socket.create_connection(address)
    hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    hasty.close()
    with socket.create_connection(address) as patient:
        patient.sendall(b"hello")
        flow, data = await taker.taken.get()
        assert data == b"hello"
        assert len(server) == 1
        assert flow.remote == patient.getsockname()
    await taker.gone.get()
    assert taker.gone.empty()
    await server.aclose()


async def test_end_fails_who_waits_for_a_connection() -> None:
    net = SimulatedNetwork(seed=1)
    with VirtualClock():
        client = TcpTransport(net.host("10.0.0.1"), Taker())
        net.host("10.0.0.5")
        net.link("10.0.0.1", "10.0.0.5", loss=1.0)
        waiting = [asyncio.ensure_future(client.connect(("10.0.0.5", 5060))) for _ in range(2)]
        await asyncio.sleep(1)
        await client.aclose()
        for one in waiting:
            with pytest.raises(FlowFailed, match="closed"):
                await one
    assert net.leaks() == []


async def test_caller_that_gives_up_leaves_the_connection_to_the_others() -> None:
    taker = Taker()
    loop = asyncio.get_running_loop()
    server, client = TcpTransport(loop, taker), TcpTransport(loop, taker)  # type: ignore[arg-type]  # a loop's overloads
    address = await server.listen(("127.0.0.1", 0))
    first, second = (asyncio.ensure_future(client.connect(address)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    flow = await second
    assert client.find(address) == flow
    await client.aclose()
    await server.aclose()


async def test_what_is_not_there_is_not_closed_and_shows_no_certificate() -> None:
    taker = Taker()
    server = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    nobody = Flow("tcp", ("127.0.0.1", 5060), ("127.0.0.1", 9))
    server.close_flow(nobody)
    assert server.certificate(nobody) is None
    assert not server.send(nobody, b"hello")
    address = await server.listen(("127.0.0.1", 0))
    with socket.create_connection(address) as peer:
        peer.sendall(b"hello")
        flow, _ = await taker.taken.get()
        assert server.certificate(flow) is None
    await server.aclose()


async def test_connection_that_comes_back_on_its_old_ports_counts_once() -> None:
    taker = Taker()
    server = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    flow = Flow("tcp", ("127.0.0.1", 5060), ("127.0.0.1", 40_000))
    old, new = TcpConnection(server), TcpConnection(server)
    old.flow = new.flow = flow
    assert server.add(old)
    assert server.add(new)
    server.remove(old)  # its end was seen later than the new one
    assert len(server) == 1
    assert server.find(flow.remote) == flow
    assert taker.gone.empty()
    server.remove(new)
    assert len(server) == 0
    assert not server._by_source
    assert taker.gone.qsize() == 1


class Reset(asyncio.Transport):
    """A connection that was reset before its addresses were asked for."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 5060)})
        self.is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


async def test_connection_that_has_no_address_any_more_is_aborted() -> None:
    taker = Taker()
    server = TcpTransport(asyncio.get_running_loop(), taker)  # type: ignore[arg-type]  # a loop's overloads
    connection, transport = TcpConnection(server), Reset()
    connection.connection_made(transport)
    assert transport.is_aborted
    connection.data_received(b"what it brought before")
    connection.connection_lost(ConnectionResetError())
    assert len(server) == 0
    assert taker.taken.empty()
    assert taker.gone.empty()
    await server.aclose()
