"""Making a TCP connection between two simulated hosts, and what stands between its two ends."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .streams import SimulatedStreamTransport

if TYPE_CHECKING:
    from sip.flow import Address

    from .host import SimulatedHost
    from .network import Route, SimulatedNetwork

# Linux with tcp_syn_retries 6: attempts after 0, 1, 3, 7, 15, 31 and 63 s, failure after 127 s.
_SYN_PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


async def connect(
    network: SimulatedNetwork,
    host: SimulatedHost,
    local: Address,
    remote: Address,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
) -> tuple[SimulatedStreamTransport, asyncio.BaseProtocol]:
    """Shake hands with whoever listens at ``remote``.

    Raises:
        ConnectionRefusedError: Nobody does.
        TimeoutError: No answer came in 127 s.
    """
    loop = asyncio.get_running_loop()
    for pause in _SYN_PAUSES:
        answer: asyncio.Future[bool] = loop.create_future()
        route = network.route("tcp", host, local, remote)
        if isinstance(route, str):
            network.note("syn", (host.address, local[1]), remote, b"", route)
        else:
            _send_syn(network, host, route, remote, answer)
        await asyncio.wait([answer], timeout=pause)
        if isinstance(route, str) or not answer.done():
            continue
        if not answer.result():
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"Connect call failed {remote!r}: connection refused"
            )
        return _establish(network, host, route, local, remote, protocol_factory)
    raise TimeoutError(errno.ETIMEDOUT, f"Connect call failed {remote!r}: timed out")


def _send_syn(
    network: SimulatedNetwork,
    host: SimulatedHost,
    route: Route,
    remote: Address,
    answer: asyncio.Future[bool],
) -> None:
    loop, target = asyncio.get_running_loop(), route.target

    def arrive() -> None:
        if network.obstacle(host, target) is None:
            is_listening = target.server_at(route.destination) is not None
            if not is_listening:
                network.note("rst", route.destination, route.source, b"", "sent")
            delay = network.path(target, host).segment_delay()
            network.wire.arrive_at(loop.time() + delay, partial(come_back, is_listening))

    def come_back(is_listening: bool) -> None:
        if network.obstacle(host, target) is None and not answer.done():
            answer.set_result(is_listening)

    fate = network.obstacle(host, target) or "sent"
    if network.note("syn", route.source, remote, b"", fate):
        network.wire.arrive_at(loop.time() + route.path.segment_delay(), arrive)


def _establish(
    network: SimulatedNetwork,
    host: SimulatedHost,
    route: Route,
    local: Address,
    remote: Address,
    protocol_factory: Callable[[], asyncio.BaseProtocol],
) -> tuple[SimulatedStreamTransport, asyncio.BaseProtocol]:
    connection = _Connection(network, host, route)
    protocol = protocol_factory()
    client = SimulatedStreamTransport(
        protocol,
        (host.source_address(local[0]) or local[0], local[1]),
        remote,
        carrier=_Way(connection, host, route.target, route.source, remote),
        forget=host.forget,
        is_server=False,
    )
    host.keep(client)

    def accept() -> SimulatedStreamTransport | None:
        """The last step of the handshake has reached the server."""
        server = route.target.server_at(route.destination)
        if server is None:
            return None
        accepted = server.protocol_factory()
        transport = SimulatedStreamTransport(
            accepted,
            route.destination,
            route.source,
            carrier=_Way(connection, route.target, host, remote, route.source),
            forget=route.target.forget,
            is_server=True,
        )
        transport.peer = client
        route.target.keep(transport)
        accepted.connection_made(transport)
        return transport

    protocol.connection_made(client)
    client.open(accept)
    return client, protocol


class _Connection:
    """What must hold for packets of one connection to pass."""

    def __init__(self, network: SimulatedNetwork, client: SimulatedHost, route: Route) -> None:
        self.network = network
        self._client = client
        self._server = route.target
        self._nat = route.nat
        self._generation = self._now()

    def obstacle(self) -> str | None:
        """Say why packets do not pass; None when they do."""
        if self._now() != self._generation:
            return "nat" if self._nat is not None else "no host"
        return self.network.obstacle(self._client, self._server)

    def _now(self) -> tuple[int, str, str]:
        # A moved host and a translator that has forgotten both end a connection for good.
        generation = self._nat.generation if self._nat is not None else 0
        if self._client is self._server:
            return generation, "", ""
        return generation, self._client.address, self._server.address


class _Way:
    """One direction of a connection; the carrier of the end that sends into it."""

    def __init__(
        self,
        connection: _Connection,
        source: SimulatedHost,
        target: SimulatedHost,
        seen: Address,
        destination: Address,
    ) -> None:
        self._connection = connection
        self._path = connection.network.path(source, target)
        self._seen = seen
        self._destination = destination
        self._last_arrival = 0.0

    def is_open(self) -> bool:
        return self._connection.obstacle() is None

    def segment_size(self) -> int:
        return self._path.segment_size()

    def carry(self, kind: str, data: bytes, arrive: Callable[[], None]) -> bool:
        network = self._connection.network
        if not network.note(kind, self._seen, self._destination, data, "sent"):
            return False
        when = asyncio.get_running_loop().time() + self._path.segment_delay()
        self._last_arrival = max(self._last_arrival, when)
        network.wire.arrive_at(self._last_arrival, arrive)
        return True

    def note(self, kind: str, data: bytes) -> None:
        fate = self._connection.obstacle()
        if fate is not None:
            self._connection.network.note(kind, self._seen, self._destination, data, fate)
