"""The sockets of one endpoint: which of them reaches a target, and what address a peer sees."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from .conversation import CLOSED
from .errors import FlowFailed
from .flow import Address, Flow
from .overload import OverloadLimits
from .tls import TlsContexts, TlsSettings
from .transport import (
    Network,
    Owner,
    TcpTransport,
    UdpTransport,
    is_literal,
    is_wildcard,
    parse_address,
    routed_host,
)
from .uri import SipUri

UDP_LIMIT = 1300
"""Bytes above which a request goes over TCP where the peer takes it so. RFC 3261 18.1.1."""
TCP_ATTEMPT = 4.0
"""Seconds that such a connection may take to open."""
TCP_REFUSED = 60.0
"""Seconds for which a peer that refused TCP is not asked again."""
TCP_REFUSALS = 4096


class Sockets:
    """Opens, finds and closes the sockets of an endpoint."""

    def __init__(
        self,
        owner: Owner,
        *,
        listen: Sequence[str],
        network: Network | None,
        local_host: Callable[[str], str | None] | None,
        limits: OverloadLimits,
        tls: TlsSettings | None = None,
        prefers_tcp: Callable[[Flow], bool] | None = None,
    ) -> None:
        self.listening: list[tuple[str, Address]] = []
        self.udp: dict[Address, UdpTransport] = {}
        self.streams: dict[str, TcpTransport] = {}
        self._owner = owner
        self._listen = [parse_address(text) for text in listen]
        self._network = network
        self._local_host = local_host
        self._limits = limits
        self._tls = tls or TlsSettings()
        self._prefers_tcp = prefers_tcp
        self._no_tcp: dict[Address, float] = {}
        self._opening_udp = asyncio.Lock()
        self._is_closed = False

    async def start(self) -> None:
        """Open what is to listen.

        Raises:
            OSError: A port is in use, or a certificate is missing or cannot be read; what was
                opened before stays open.
        """
        for transport, (host, port) in self._listen:
            local = (host or "0.0.0.0", port)
            if transport == "udp":
                actual = await self._bind(local)
            else:
                streams = self._stream(transport)
                if streams.tls is not None and streams.tls.server is None:
                    raise OSError(f"tls port {port} on {local[0]}: no certificate is given")
                actual = await streams.listen(local)
            self.listening.append((transport, actual))

    def bar(self) -> None:
        """Open nothing any more."""
        self._is_closed = True

    async def aclose(self) -> None:
        """Close everything."""
        self.bar()
        for streams in list(self.streams.values()):
            await streams.aclose()
        for udp in list(self.udp.values()):
            await udp.aclose()
        self.udp.clear()

    async def reach(self, target: Flow | str) -> Flow:
        """Return the flow to a target; a connection is opened when there is none.

        Raises:
            FlowFailed: It cannot be opened, or the endpoint is closed.
        """
        if self._is_closed:
            raise FlowFailed(CLOSED)
        if isinstance(target, Flow):
            return target
        transport, (host, port) = parse_address(target)
        if transport != "udp":
            try:
                return await self._stream(transport).connect((host, port))
            except (OSError, UnicodeError) as exc:
                raise FlowFailed(f"{transport}: {exc}") from exc
        host = await self._resolve(host)
        local = next((local for local in self.udp if (":" in local[0]) == (":" in host)), None)
        if local is None:
            local = await self._open_client_udp("::" if ":" in host else "0.0.0.0")
        return Flow("udp", local, (host, port))

    def send(self, flow: Flow, data: bytes) -> bool:
        """Write; false when the socket or connection of the flow is gone."""
        if flow.transport == "udp":
            udp = self.udp.get(flow.local)
            return udp is not None and udp.send(flow, data)
        streams = self.streams.get(flow.transport)
        return streams is not None and streams.send(flow, data)

    @property
    def may_move(self) -> bool:
        """Tell whether any peer takes large requests over TCP."""
        return self._prefers_tcp is not None

    async def roomy(self, flow: Flow, size: int) -> Flow:
        """Return the flow for a request of this size: TCP for a large one when the peer takes it.

        Source: RFC 3261 section 18.1.1.
        """
        if flow.transport != "udp" or size <= UDP_LIMIT or self._prefers_tcp is None:
            return flow
        now = asyncio.get_running_loop().time()
        if self._no_tcp.get(flow.remote, now) > now or not self._prefers_tcp(flow):
            return flow
        try:
            async with asyncio.timeout(TCP_ATTEMPT):
                return await self.reach(f"tcp://{_bracketed(flow.remote[0])}:{flow.remote[1]}")
        except (FlowFailed, TimeoutError):
            if self._is_closed:
                raise
            self._owner.counters["tcp_fallback"] += 1
            self._no_tcp.pop(flow.remote, None)
            self._no_tcp[flow.remote] = now + TCP_REFUSED
            if len(self._no_tcp) > TCP_REFUSALS:
                del self._no_tcp[next(iter(self._no_tcp))]
            return flow

    def reload_tls(self, settings: TlsSettings | None) -> None:
        """Read the certificates anew; see ``SipEndpoint.reload_tls``."""
        settings = settings or self._tls
        streams = self.streams.get("tls")
        if streams is not None:
            fresh = TlsContexts(settings)
            if streams.is_listening and fresh.server is None:
                raise OSError("no certificate is given for the TLS ports that are open")
            streams.tls = fresh
        self._tls = settings

    def certificate(self, flow: Flow) -> bytes | None:
        """Return the certificate (DER) that the peer of a TLS flow has shown."""
        streams = self.streams.get(flow.transport)
        return None if streams is None else streams.certificate(flow)

    def close_flow(self, flow: Flow, *, at_once: bool = False) -> None:
        """Close one connection after what was written, or at once."""
        streams = self.streams.get(flow.transport)
        if streams is not None:
            streams.close_flow(flow, at_once=at_once)

    def sent_by(self, flow: Flow) -> Address:
        """Return our address as the peer of a flow should see it."""
        host, port = flow.local
        serving = [b for t, b in self.listening if t == flow.transport and _serves(b, flow)]
        if serving and flow.local not in serving:
            host, port = host or serving[0][0], serving[0][1]
        if not port and flow.transport == "udp" and self.udp:
            port = next(iter(self.udp))[1]
        chosen = self._local_host(flow.remote[0]) if self._local_host is not None else None
        if chosen:
            return chosen, port
        if is_wildcard(host):
            host = routed_host(self._net(), flow.remote[0])
        return host, port

    def contact(self, user: str, target: Flow | str) -> str:
        """Return our Contact value as the peer at the other end should see it."""
        if isinstance(target, Flow):
            transport, (host, port) = target.transport, self.sent_by(target)
        else:
            transport, remote = parse_address(target)
            streams = self.streams.get(transport)
            there = None if streams is None else streams.find(remote)
            host, port = self.sent_by(there or Flow(transport, ("", 0), remote))
        parameters: dict[str, str | None] = {} if transport == "udp" else {"transport": transport}
        return f"<{SipUri('sip', user, host, port or None, parameters)}>"

    async def _resolve(self, host: str) -> str:
        if is_literal(host):
            return host
        resolve = getattr(self._net(), "getaddrinfo", None)
        if resolve is None:
            return host
        try:
            return str((await resolve(host, None))[0][4][0])
        except (OSError, UnicodeError) as exc:  # the latter for ``a..b``
            raise FlowFailed(f"{host} is not known: {exc}") from exc

    async def _open_client_udp(self, host: str) -> Address:
        async with self._opening_udp:
            for local in self.udp:
                if (":" in local[0]) == (":" in host):
                    return local
            try:
                return await self._bind((host, 0))
            except OSError as exc:
                raise FlowFailed(str(exc)) from exc

    async def _bind(self, local: Address) -> Address:
        udp = await UdpTransport.open(self._net(), self._owner, local)
        if self._is_closed:
            await udp.aclose()
            raise FlowFailed(CLOSED)
        self.udp[udp.local] = udp
        return udp.local

    def _net(self) -> Network:
        # A loop has these methods, with overloads that a Protocol cannot match.
        return self._network or cast("Network", asyncio.get_running_loop())

    def _stream(self, name: str) -> TcpTransport:
        streams = self.streams.get(name)
        if streams is None:
            streams = self.streams[name] = TcpTransport(
                self._net(),
                self._owner,
                tls=TlsContexts(self._tls) if name == "tls" else None,
                connections=self._limits.connections,
                connections_per_source=self._limits.connections_per_source,
            )
        return streams


def _serves(bound: Address, flow: Flow) -> bool:
    host = flow.local[0]
    if bound[0] == host:
        return flow.transport != "udp" or bound[1] == flow.local[1]
    same_family = (":" in bound[0]) == (":" in (host or flow.remote[0]))
    return same_family and (is_wildcard(bound[0]) or not host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
