"""TCP of the simulated network, under any conditions: in order, whole, and ended once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.testing.clock import VirtualClock
from gb28181.testing.link import Conditions
from gb28181.testing.network import SimulatedNetwork
from gb28181.testing.streams import SimulatedStreamTransport

CLIENT, SERVER = "10.0.0.5", "10.0.0.1"
T = TypeVar("T")

conditions = st.builds(
    Conditions,
    latency=st.floats(0.0, 2.0),
    jitter=st.floats(0.0, 0.5),
    loss=st.floats(0.0, 0.4),
    segment=st.integers(200, 3000),
    chop=st.booleans(),
)
chunks = st.lists(st.integers(1, 60_000), max_size=6)


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    """Run a scenario in a loop of its own, on a virtual clock."""

    async def main() -> T:
        with VirtualClock():
            return await scenario()

    with asyncio.Runner() as runner:
        return runner.run(main())


class Peer(asyncio.Protocol):
    transport: SimulatedStreamTransport

    def __init__(self) -> None:
        self.data = bytearray()
        self.ends = 0
        self.paused: list[bool] = []
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, SimulatedStreamTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data
        assert not self.lost
        self.data += data

    def eof_received(self) -> None:
        self.ends += 1

    def pause_writing(self) -> None:
        self.paused.append(True)

    def resume_writing(self) -> None:
        self.paused.append(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


async def join(net: SimulatedNetwork) -> tuple[Peer, Peer]:
    accepted: list[Peer] = []

    def accept() -> Peer:
        accepted.append(Peer())
        return accepted[0]

    server = await net.host(SERVER).create_server(accept, "", 5060)
    _, client = await net.host(CLIENT).create_connection(Peer, SERVER, 5060)
    await asyncio.sleep(300)
    server.close()
    assert isinstance(client, Peer)
    return client, accepted[0]


def numbered(sizes: list[int]) -> list[bytes]:
    """Chunks whose bytes tell their place, so that any disorder shows."""
    whole = b"".join(number.to_bytes(4, "big") for number in range(sum(sizes) // 4 + 1))
    found, place = [], 0
    for size in sizes:
        found.append(whole[place : place + size])
        place += size
    return found


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 1000),
    link=conditions,
    sizes=chunks,
    cuts=st.lists(st.floats(0.01, 30.0), max_size=3),
    pauses=st.lists(st.floats(0.01, 30.0), max_size=3),
)
def test_what_is_written_arrives_whole_and_in_order_whatever_happens_on_the_way(
    seed: int, link: Conditions, sizes: list[int], cuts: list[float], pauses: list[float]
) -> None:
    async def scenario() -> None:
        net = SimulatedNetwork(seed, conditions=link)
        client, server = await join(net)
        loop = asyncio.get_running_loop()
        start = 0.0
        for cut in cuts:
            loop.call_later(start, net.partition, CLIENT, SERVER)
            loop.call_later(start + cut, net.heal)
            start += 2 * cut
        start = 0.0
        for pause in pauses:
            loop.call_later(start, server.transport.pause_reading)
            loop.call_later(start + pause, server.transport.resume_reading)
            start += 2 * pause
        for chunk in numbered(sizes):
            client.transport.write(chunk)
            await asyncio.sleep(0.5)
        client.transport.close()
        await asyncio.sleep(3000)
        assert bytes(server.data) == b"".join(numbered(sizes))
        assert server.ends == 1
        assert client.lost == server.lost == [None]
        for paused in (client.paused, server.paused):  # strictly in turns
            assert paused == [number % 2 == 0 for number in range(len(paused))]
        assert net.leaks() == []

    run(scenario)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), link=conditions, sizes=chunks)
def test_the_same_seed_gives_the_same_packets_at_the_same_times(
    seed: int, link: Conditions, sizes: list[int]
) -> None:
    async def scenario() -> list[Any]:
        net = SimulatedNetwork(seed, conditions=link)
        client, server = await join(net)
        for chunk in numbered(sizes):
            client.transport.write(chunk)
            server.transport.write(chunk[::-1])
        await asyncio.sleep(1000)
        client.transport.abort()
        return [*net.trace, bytes(server.data)]

    assert run(scenario) == run(scenario)


STEPS = (
    *("write", "answer", "close", "finish", "abort", "eof", "pause", "resume"),
    *("cut", "heal", "vanish", "reappear", "crash", "move", "wait"),
)


@settings(max_examples=120, deadline=None)
@given(link=conditions, steps=st.lists(st.sampled_from(STEPS), max_size=12))
def test_whatever_befalls_a_connection_both_ends_can_close_and_nothing_is_left(
    link: Conditions, steps: list[str]
) -> None:
    async def scenario() -> None:
        net = SimulatedNetwork(1, conditions=link)
        client, server = await join(net)
        host = net.host(CLIENT)
        actions: dict[str, Callable[[], Any]] = {
            "write": lambda: client.transport.write(bytes(100_000)),
            "answer": lambda: server.transport.write(bytes(100_000)),
            "close": lambda: client.transport.close(),
            "finish": lambda: server.transport.close(),
            "abort": lambda: client.transport.abort(),
            "eof": lambda: server.transport.write_eof(),
            "pause": lambda: server.transport.pause_reading(),
            "resume": lambda: server.transport.resume_reading(),
            "cut": lambda: net.partition(host, SERVER),
            "heal": lambda: net.heal(),
            "vanish": host.vanish,
            "reappear": host.reappear,
            "crash": host.crash,
            "move": lambda: host.move("10.0.0.6" if host.address != "10.0.0.6" else "10.0.0.7"),
            "wait": lambda: None,
        }
        for name in steps:
            with suppress(RuntimeError):  # write() after write_eof()
                actions[name]()
            await asyncio.sleep(1.0)
        client.transport.abort()
        server.transport.abort()
        await asyncio.sleep(3000)
        assert len(client.lost) == len(server.lost) == 1
        assert net.leaks() == []

    run(scenario)


def test_marks_of_the_write_buffer_are_checked() -> None:
    async def scenario() -> None:
        client, _ = await join(SimulatedNetwork())
        transport = client.transport
        assert transport.get_write_buffer_limits() == (16384, 65536)
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        transport.set_write_buffer_limits(high=400)
        assert transport.get_write_buffer_limits() == (100, 400)
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(high=1, low=2)
        with pytest.raises(TypeError, match="bytes-like"):
            transport.write("text")  # type: ignore[arg-type]  # what is tested
        transport.abort()

    run(scenario)


def test_a_transport_can_change_its_protocol() -> None:
    async def scenario() -> None:
        client, server = await join(SimulatedNetwork())
        other = Peer()
        server.transport.set_protocol(other)
        assert server.transport.get_protocol() is other
        client.transport.writelines([b"a", b"b"])
        client.transport.close()
        await asyncio.sleep(1)
        assert bytes(other.data) == b"ab"
        assert (server.lost, other.lost) == ([], [None])

    run(scenario)


def test_a_connection_that_the_server_gave_up_listening_for_is_reset() -> None:
    async def scenario() -> None:
        net = SimulatedNetwork()
        server = await net.host(SERVER).create_server(Peer, "", 5060)
        _, client = await net.host(CLIENT).create_connection(Peer, SERVER, 5060)
        server.close()  # before the last packet of the handshake arrives
        await asyncio.sleep(1)
        assert [type(lost) for lost in client.lost] == [ConnectionResetError]

    run(scenario)
