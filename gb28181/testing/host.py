"""A simulated host: what a role binds and connects with, and what can befall it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from rtp.transport import RECEIVE_BUFFER, OnBatch

from .connection import connect
from .datagrams import SimulatedDatagramTransport
from .media_socket import SimulatedMediaSocket
from .sockets import LOOPBACKS, WILDCARDS, Bound
from .streams import SimulatedServer, SimulatedStreamTransport

if TYPE_CHECKING:
    from sip.flow import Address

    from .nat import Nat
    from .network import SimulatedNetwork

_FIRST_EPHEMERAL, _LAST_EPHEMERAL = 49152, 65535

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)


class SimulatedHost:
    """One machine of a `SimulatedNetwork`; serves as ``sip`` and as ``rtp`` network.

    Attributes:
        name: Its first address, which stays its name when it moves.
        address: Its present address.
        nat: The translator it stands behind, if any.
        has_vanished: Whether nothing reaches it and nothing leaves it.
    """

    def __init__(self, network: SimulatedNetwork, address: str) -> None:
        self.name = self.address = address
        self.nat: Nat | None = None
        self.has_vanished = False
        self._network = network
        self._next_port = _FIRST_EPHEMERAL
        self._datagrams: dict[int, list[SimulatedDatagramTransport | SimulatedMediaSocket]] = {}
        self._servers: dict[int, list[SimulatedServer]] = {}
        self._streams: dict[int, SimulatedStreamTransport] = {}

    def __repr__(self) -> str:
        return f"SimulatedHost({self.address!r})"

    # -- what roles call

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Address | None = None,
        remote_addr: Address | None = None,
        **kw: Any,
    ) -> tuple[Any, Any]:
        """Bind a UDP port, as the method of the loop does.

        Raises:
            OSError: The port is in use, or the address is not of this host.
        """
        _refuse(kw, "sock")
        await asyncio.sleep(0)
        local = self._free(self._datagrams, "udp", local_addr or ("0.0.0.0", 0))
        if remote_addr is not None:
            own = remote_addr[0] if remote_addr[0] in LOOPBACKS else self.address
            local = (own if local[0] in WILDCARDS else local[0], local[1])
        protocol = protocol_factory()
        transport = SimulatedDatagramTransport(
            protocol,
            local,
            remote_addr,
            send=partial(self._network.send_datagram, self),
            forget=self.forget,
        )
        self._datagrams.setdefault(local[1], []).append(transport)
        protocol.connection_made(transport)
        return transport, protocol

    async def create_server(
        self, protocol_factory: Callable[[], Any], host: str | None, port: int, **kw: Any
    ) -> SimulatedServer:
        """Listen on a TCP port, as the method of the loop does.

        Raises:
            OSError: The port is in use, or the address is not of this host.
        """
        _refuse(kw, "ssl", "sock")
        await asyncio.sleep(0)
        local = self._free(self._servers, "tcp", (host or "0.0.0.0", port))
        server = SimulatedServer(protocol_factory, local, forget=self.forget)
        self._servers.setdefault(local[1], []).append(server)
        return server

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
        **kw: Any,
    ) -> tuple[Any, Any]:
        """Connect over TCP, as the method of the loop does.

        Raises:
            OSError: Refused, no answer in 127 s, or the local address is not of this host.
        """
        _refuse(kw, "ssl", "sock")
        own, own_port = local_addr or ("0.0.0.0", 0)
        self._check_own(own)
        local = (host if host in LOOPBACKS else own, own_port or self._ephemeral())
        return await connect(self._network, self, local, (host, port), protocol_factory)

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> SimulatedMediaSocket:
        """Open a UDP media socket, as ``rtp.transport.SocketNetwork`` does.

        Raises:
            OSError: The port is in use, or the address is not of this host.
        """
        local = self._free(self._datagrams, "udp", local)
        media = SimulatedMediaSocket(
            local,
            on_batch,
            tick=self._network.tick,
            receive_buffer=receive_buffer,
            send=partial(self._network.send_datagram, self),
            forget=self.forget,
        )
        self._datagrams.setdefault(local[1], []).append(media)
        return media

    def address_towards(self, remote: str) -> str:
        """Return the local address that packets to ``remote`` leave by."""
        return remote if remote in LOOPBACKS else self.address

    def close(self) -> None:
        """Close every media socket, as ``rtp.transport.SocketNetwork`` does."""
        for sockets in list(self._datagrams.values()):
            for socket in list(sockets):
                if isinstance(socket, SimulatedMediaSocket):
                    socket.close()

    # -- what befalls it

    def vanish(self) -> None:
        """Die silently, as without power: nothing comes in or goes out, nobody is told."""
        self.has_vanished = True

    def reappear(self) -> None:
        """Undo `vanish`."""
        self.has_vanished = False

    def crash(self) -> None:
        """Lose the process: peers get a TCP reset, every port is free again.

        What had the sockets hears nothing any more; it can be closed as usual. New sockets can be
        opened at once.
        """
        for stream in list(self._streams.values()):
            stream.reset_peer()
        for bound in self.bound():
            bound.die()

    def move(self, address: str) -> None:
        """Get another address, as from DHCP or a mobile network.

        Sockets bound to any address go on under the new one. Connections and sockets bound to the
        old address are dead, and nobody is told.
        """
        before, self.address = self.address, address
        try:
            self._network.changed_address(self, before)
        except ValueError:
            self.address = before
            raise

    # -- between the host and the network

    def source_address(self, bound: str) -> str | None:
        """Return the address that packets of a socket bound so carry; None when it is not ours."""
        if bound in WILDCARDS or bound == self.address:
            return self.address
        return bound if bound in LOOPBACKS else None

    def take_datagram(self, destination: Address, data: bytes, source: Address) -> str | None:
        """Give a datagram to whoever is bound; a word says why nobody got it."""
        host, port = destination
        candidates = [
            bound
            for bound in self._datagrams.get(port, ())
            if bound.local[0] in WILDCARDS or bound.local[0] == host
        ]
        if not candidates:
            return "no port"
        candidates[-1].receive(data, source)
        return None

    def server_at(self, destination: Address) -> SimulatedServer | None:
        """Return who listens there."""
        for server in self._servers.get(destination[1], ()):
            if server.local[0] in WILDCARDS or server.local[0] == destination[0]:
                return server
        return None

    def bound(self) -> list[Bound]:
        """Return everything open: datagram sockets, servers, connections."""
        found: list[Bound] = [one for many in self._datagrams.values() for one in many]
        found += [one for many in self._servers.values() for one in many]
        return found + list(self._streams.values())

    def keep(self, stream: SimulatedStreamTransport) -> None:
        """Know an established connection."""
        self._streams[id(stream)] = stream

    def forget(self, bound: Bound) -> None:
        """Free what was closed; unknown things are ignored."""
        self._streams.pop(id(bound), None)
        for table in (self._datagrams, self._servers):
            _remove(table, bound)

    def _free(self, table: Any, kind: str, local: Address) -> Address:
        host, port = local[0], local[1]
        host = "127.0.0.1" if host == "localhost" else host or "0.0.0.0"
        self._check_own(host)
        if port == 0:
            port = self._ephemeral(table)
        for bound in table.get(port, ()):
            if host in WILDCARDS or bound.local[0] in WILDCARDS or bound.local[0] == host:
                where = f"{kind} {host}:{port} of {self.address}"
                raise OSError(errno.EADDRINUSE, f"Address already in use: {where}")
        return host, port

    def _check_own(self, host: str) -> None:
        if self.source_address(host) is None:
            raise OSError(errno.EADDRNOTAVAIL, f"Cannot assign {host}: the host is {self.address}")

    def _ephemeral(self, table: Any = ()) -> int:
        for _ in range(_FIRST_EPHEMERAL, _LAST_EPHEMERAL + 1):
            port = self._next_port
            self._next_port = port + 1 if port < _LAST_EPHEMERAL else _FIRST_EPHEMERAL
            if port not in table:
                return port
        raise OSError(errno.EADDRINUSE, f"no ephemeral port left on {self.address}")


def _remove(table: Any, bound: Bound) -> None:
    # After a move the port still is the key; only the host part of an address can change.
    some = table.get(bound.local[1], [])
    if bound in some:
        some.remove(bound)
        if not some:
            del table[bound.local[1]]


def _refuse(arguments: dict[str, Any], *names: str) -> None:
    for name in names:
        if arguments.get(name) is not None:
            raise ValueError(f"the simulated network does not support {name}=")
