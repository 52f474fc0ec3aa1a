"""UDP, TCP and TLS under SIP: bytes and flows, connection reuse; nothing is parsed here."""

import asyncio
import ipaddress
import re
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, cast

from .datagrams import READ_SIZE, DrainedSocket
from .errors import FlowFailed
from .flow import Address, Flow
from .tls import TlsContexts, TlsSession

WRITE_LIMIT = 4 * 1024 * 1024
"""Bytes that may wait for one peer; a slower one loses datagrams, or its connection."""
CONNECTION_LIMIT = 16_384
CONNECT_TIMEOUT = 10.0
_ADDRESS = re.compile(r"(udp|tcp|tls)://(?:\[([^\]]*)\]|([^:\[\]/]*)):(\d{1,5})/?\Z", re.IGNORECASE)


class Server(Protocol):
    """The part of ``asyncio.Server`` that is used."""

    @property
    def sockets(self) -> Any:
        """The listening sockets."""

    def close(self) -> None:
        """Stop listening."""

    async def wait_closed(self) -> None:
        """Wait until it is closed."""


class Network(Protocol):
    """The methods of an event loop that open sockets; the running loop is one."""

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Any = None,
        remote_addr: Any = None,
        **kw: Any,
    ) -> tuple[Any, Any]:
        """Open a UDP socket."""

    async def create_server(
        self, protocol_factory: Callable[[], Any], host: Any, port: Any, **kw: Any
    ) -> Any:
        """Listen for TCP connections."""

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: Any, port: Any, **kw: Any
    ) -> tuple[Any, Any]:
        """Open a TCP connection."""


class Owner(Protocol):
    """Who takes what the transports bring. No method may raise."""

    counters: Counter[str]

    def received(self, flow: Flow, data: bytes) -> None:
        """Take a datagram or a piece of a stream."""

    def accepted(self, flow: Flow) -> None:
        """Take a connection that a peer has opened; nothing has come over it yet."""

    def lost(self, flow: Flow) -> None:
        """Take the end of a connection."""

    def broken(self, reason: str) -> None:
        """Take the death of a socket that everybody is served by."""


class UdpTransport(asyncio.DatagramProtocol):
    """One UDP socket."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.DatagramTransport | None = None
        self._buffered: Callable[[], int] = int
        self._closed = asyncio.get_running_loop().create_future()
        self.local: Address = ("", 0)

    @classmethod
    async def open(cls, network: Network, owner: Owner, local: Address) -> "UdpTransport":
        """Bind a socket.

        Raises:
            OSError: The port is in use, or the address is not ours.
        """
        try:
            if isinstance(network, asyncio.AbstractEventLoop) and is_literal(local[0]):
                drained = cls(owner)
                drained.connection_made(DrainedSocket(network, drained, _udp_socket(local)))
                return drained
            _, protocol = await network.create_datagram_endpoint(
                lambda: cls(owner), local_addr=local
            )
        except OSError as exc:
            raise OSError(exc.errno, f"udp port {local[1]} on {local[0]}: {exc.strerror}") from exc
        assert isinstance(protocol, cls)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport | DrainedSocket) -> None:
        """Take the socket."""
        # CPython's own is no subclass of DatagramTransport before 3.12, uvloop's never.
        self._transport = cast("asyncio.DatagramTransport", transport)
        self._buffered = getattr(transport, "get_write_buffer_size", int)
        self.local = transport.get_extra_info("sockname")[:2]
        if hasattr(transport, "max_size"):
            # asyncio allocates this much for each datagram; 256 KiB cost four times as much.
            transport.max_size = READ_SIZE

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """Hand a datagram on."""
        self._owner.received(Flow("udp", self.local, addr[:2]), bytes(data))

    def error_received(self, exc: Exception) -> None:
        """Count what ICMP said: the transaction's own timers decide."""
        self._owner.counters["udp_error"] += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end of the socket; one that nobody asked for is reported."""
        if not self._closed.done():
            self._closed.set_result(None)
        if exc is not None:
            host, port = self.local
            self._owner.broken(f"udp port {port} on {host}: {exc}")

    def send(self, flow: Flow, data: bytes) -> bool:
        """Send a datagram; false when the socket is closed."""
        if self._transport is None or self._transport.is_closing():
            return False
        if self._buffered() > WRITE_LIMIT:
            self._owner.counters["udp_send_dropped"] += 1
        else:
            self._transport.sendto(data, flow.remote)
        return True

    async def aclose(self) -> None:
        """Close the socket."""
        assert self._transport is not None
        self._transport.abort()
        await asyncio.wait([self._closed])


class TcpConnection(asyncio.Protocol):
    """One TCP or TLS connection, whoever opened it."""

    def __init__(
        self,
        transport: "TcpTransport",
        *,
        is_ours: bool = False,
        tls: TlsSession | None = None,
    ) -> None:
        self._of = transport
        self._transport: asyncio.Transport | None = None
        self.is_ours = is_ours
        """We have opened it."""
        self.flow: Flow | None = None
        self.asked: Address | None = None
        """What it was opened as, when that is a name."""
        self.tls = tls
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[str] = loop.create_future()
        """Done when it can be written to, with empty text, or with what went wrong."""
        self.closed: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket; one too many is closed at once."""
        self._transport = cast("asyncio.Transport", transport)
        local, remote = (transport.get_extra_info(end) for end in ("sockname", "peername"))
        if local is None or remote is None:  # reset before we got here
            self._transport.abort()
            return
        self.flow = Flow(self._of.name, (local[0], local[1]), (remote[0], remote[1]))
        if not self._of.add(self):
            self._transport.abort()
            return
        if not self.is_ours:
            self.tls = None if self._of.tls is None else self._of.tls.accept()
            self._of.owner.accepted(self.flow)
        if self.tls is None:
            self._be_ready("")
            return
        self.tls.start()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Hand bytes on."""
        if self.flow is None:
            return
        plain = bytes(data) if self.tls is None else self._decrypted(self.tls, bytes(data))
        if plain:
            self._of.owner.received(self.flow, plain)
        if self.tls is not None and self.tls.is_closed:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end of the connection."""
        self._be_ready("closed at once")
        self._of.remove(self)
        self.closed.set_result(None)

    def send(self, data: bytes) -> bool:
        """Write; false when the connection is closed or the peer does not read."""
        transport = self._transport
        if transport is None or transport.is_closing() or not self.ready.done():
            return False
        if transport.get_write_buffer_size() > WRITE_LIMIT:
            self._of.owner.counters["tcp_too_slow"] += 1
            transport.abort()
            return False
        if self.tls is None:
            transport.write(data)
            return True
        try:
            self.tls.send(data)
        except ssl.SSLError:  # the session broke; what came in will tell as well
            self._of.owner.counters["tls_failed"] += 1
            transport.abort()
            return False
        self._flush()
        return True

    def close(self, *, at_once: bool = False) -> None:
        """Close after what was written, or at once."""
        if self._transport is None:
            return
        if at_once:
            self._transport.abort()
            return
        if self.tls is not None and not self._transport.is_closing():
            self.tls.close()
            self._flush()
        self._transport.close()

    def _decrypted(self, tls: TlsSession, data: bytes) -> bytes:
        try:
            plain = tls.receive(data)
        except ssl.SSLError as exc:
            self._of.owner.counters["tls_failed"] += 1
            self._be_ready(f"TLS: {exc.reason or exc}")
            self._flush()  # the alert
            assert self._transport is not None
            self._transport.close()
            return b""
        self._flush()
        if tls.is_ready:
            self._be_ready("")
        return plain

    def _flush(self) -> None:
        assert self.tls is not None
        assert self._transport is not None
        data = self.tls.outgoing()
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def _be_ready(self, fault: str) -> None:
        if not self.ready.done():
            self.ready.set_result(fault)


class TcpTransport:
    """All TCP connections, or all TLS ones, of one endpoint and its listening sockets.

    A connection is used in both directions, and found again by the address of its other end.
    """

    def __init__(
        self,
        network: Network,
        owner: Owner,
        *,
        tls: TlsContexts | None = None,
        connections: int = CONNECTION_LIMIT,
        connections_per_source: int = CONNECTION_LIMIT,
    ) -> None:
        self.owner = owner
        self.tls = tls
        """Contexts of the connections to come; None for plain TCP."""
        self.name = "tcp" if tls is None else "tls"
        self._most = connections
        self._most_per_source = connections_per_source
        self._by_source: Counter[str] = Counter()
        self._network = network
        self._servers: list[Server] = []
        self._connections: dict[Flow, TcpConnection] = {}
        self._by_remote: dict[Address, TcpConnection] = {}
        self._opening: dict[Address, asyncio.Task[Flow]] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._connections)

    @property
    def is_listening(self) -> bool:
        """Tell whether peers can connect."""
        return bool(self._servers)

    async def listen(self, local: Address) -> Address:
        """Listen; return the actual address.

        Raises:
            OSError: The port is in use, or the address is not ours.
        """
        try:
            server = await self._network.create_server(
                lambda: TcpConnection(self), local[0], local[1]
            )
        except OSError as exc:
            raise OSError(
                exc.errno, f"{self.name} port {local[1]} on {local[0]}: {exc.strerror}"
            ) from exc
        self._servers.append(server)
        host, port = server.sockets[0].getsockname()[:2]
        return (host, port)

    async def connect(self, remote: Address) -> Flow:
        """Return the connection to an address; it is opened when there is none.

        Raises:
            FlowFailed: It cannot be opened.
        """
        known = self.find(remote)
        if known is not None:
            return known
        if self._is_closed:
            raise FlowFailed("the endpoint is closed")
        opening = self._opening.get(remote)
        if opening is None:
            # A task, so that a cancelled caller does not take the connection from the others.
            opening = asyncio.get_running_loop().create_task(self._open(remote))
            self._opening[remote] = opening
            opening.add_done_callback(lambda task: self._opened(remote, task))
        await asyncio.wait([opening])
        if opening.cancelled():
            raise FlowFailed("the endpoint was closed")
        return opening.result()

    def find(self, remote: Address) -> Flow | None:
        """Return the connection to an address that requests may use; None when there is none."""
        known = self._by_remote.get(remote)
        # Who connected to us over TLS has not shown that he is whom that address belongs to.
        if known is None or not (self.tls is None or known.is_ours):
            return None
        return known.flow

    def send(self, flow: Flow, data: bytes) -> bool:
        """Write to a connection; false when it is gone."""
        connection = self._connections.get(flow)
        return connection is not None and connection.send(data)

    def close_flow(self, flow: Flow, *, at_once: bool = False) -> None:
        """Close one connection after what was written, or at once."""
        connection = self._connections.get(flow)
        if connection is not None:
            connection.close(at_once=at_once)

    def certificate(self, flow: Flow) -> bytes | None:
        """Return the certificate (DER) that the peer of a connection has shown."""
        connection = self._connections.get(flow)
        if connection is None or connection.tls is None:
            return None
        return connection.tls.peer_certificate

    def add(self, connection: TcpConnection) -> bool:
        """Register a new connection; false when there are too many."""
        flow = connection.flow
        if flow is None or self._is_closed or self._is_full(flow):
            self.owner.counters["tcp_refused"] += 1
            return False
        if flow not in self._connections:
            self._by_source[flow.remote[0]] += 1
        self._connections[flow] = self._by_remote[flow.remote] = connection
        return True

    def remove(self, connection: TcpConnection) -> None:
        """Forget a connection that ended."""
        flow = connection.flow
        if flow is None or self._connections.get(flow) is not connection:
            return
        del self._connections[flow]
        self._by_source[flow.remote[0]] -= 1
        if not self._by_source[flow.remote[0]]:
            del self._by_source[flow.remote[0]]
        for address in (flow.remote, connection.asked):
            if address is not None and self._by_remote.get(address) is connection:
                del self._by_remote[address]
        self.owner.lost(flow)

    def _is_full(self, flow: Flow) -> bool:
        return (
            len(self._connections) >= self._most
            or self._by_source[flow.remote[0]] >= self._most_per_source
        )

    async def aclose(self, *, linger: float = 1.0) -> None:
        """Close everything; what is written has ``linger`` seconds to leave."""
        self._is_closed = True
        for server in self._servers:
            server.close()
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        connections = list(self._connections.values())
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([c.closed for c in connections], timeout=linger)
            for connection in connections:
                if not connection.closed.done():
                    connection.close(at_once=True)
            await asyncio.wait([c.closed for c in connections])
        for server in self._servers:
            await server.wait_closed()

    async def _open(self, remote: Address) -> Flow:
        where = f"{self.name} connection to {remote[0]}:{remote[1]}"
        try:
            tls = None if self.tls is None else self.tls.connect(remote[0])
        except ValueError as exc:  # no name that a certificate could be for
            raise FlowFailed(f"{where}: {exc}") from exc
        connection = TcpConnection(self, is_ours=True, tls=tls)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._network.create_connection(lambda: connection, remote[0], remote[1])
                fault = await connection.ready
        except TimeoutError as exc:
            raise FlowFailed(f"{where}: no answer") from exc
        except (OSError, UnicodeError) as exc:  # the latter for a name such as ``a..b``
            raise FlowFailed(f"{where}: {exc}") from exc
        finally:
            if not connection.ready.done():
                connection.close(at_once=True)
        if fault or connection.flow is None or connection.flow not in self._connections:
            raise FlowFailed(f"{where}: {fault or 'closed at once'}")
        if remote not in self._by_remote:
            connection.asked = remote
            self._by_remote[remote] = connection
        return connection.flow

    def _opened(self, remote: Address, task: asyncio.Task[Flow]) -> None:
        self._opening.pop(remote, None)
        if not task.cancelled():
            task.exception()  # every waiter may be gone: nobody is to be told then


def parse_address(text: str) -> tuple[str, Address]:
    """Read ``udp://``, ``tcp://`` or ``tls://host:port``; an empty host comes back empty.

    Raises:
        ValueError: It is neither.
    """
    matched = _ADDRESS.match(text.strip())
    if matched is None or int(matched[4]) > 65535:
        raise ValueError(
            f"{text!r} is neither udp://host:port, tcp://host:port nor tls://host:port"
        )
    return matched[1].lower(), (matched[2] or matched[3] or "", int(matched[4]))


def is_wildcard(host: str) -> bool:
    """Tell whether a host stands for every address of this machine."""
    return host in ("", "0.0.0.0", "::")


def is_literal(host: str) -> bool:
    """Tell whether a host is an IP address."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def routed_host(network: Network, remote: str) -> str:
    """Return our address on the way to a host; no packet is sent.

    A network that is not the system's is asked by ``address_towards(remote)``.
    """
    towards = getattr(network, "address_towards", None)
    if towards is not None:
        return str(towards(remote))
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    fallback = "::1" if ":" in remote else "127.0.0.1"
    if not is_literal(remote):
        return fallback
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return fallback


def _udp_socket(local: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            # An IPv6 wildcard takes IPv4 as well otherwise, and IPv4 has its own socket.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(local)
    except OSError:
        bound.close()
        raise
    return bound
