"""The sockets of one endpoint: which of them reaches a target, and what address a peer sees."""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from .conversation import CLOSED
from .errors import FlowFailed
from .flow import Address, Flow
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


class Sockets:
    """Opens, finds and closes the sockets of an endpoint."""

    def __init__(
        self,
        owner: Owner,
        *,
        listen: Sequence[str],
        network: Network | None,
        local_host: Callable[[str], str | None] | None,
    ) -> None:
        self.listening: list[tuple[str, Address]] = []
        self.udp: dict[Address, UdpTransport] = {}
        self.tcp: TcpTransport | None = None
        self._owner = owner
        self._listen = [parse_address(text) for text in listen]
        self._network = network
        self._local_host = local_host
        self._opening_udp = asyncio.Lock()
        self._is_closed = False

    async def start(self) -> None:
        """Open what is to listen.

        Raises:
            OSError: A port is in use; what was opened before it stays open.
        """
        self._open_tcp()
        for transport, (host, port) in self._listen:
            local = (host or "0.0.0.0", port)
            if transport == "udp":
                actual = await self._bind(local)
            else:
                actual = await self._open_tcp().listen(local)
            self.listening.append((transport, actual))

    async def aclose(self) -> None:
        """Close everything."""
        self._is_closed = True
        if self.tcp is not None:
            await self.tcp.aclose()
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
        if transport == "tcp":
            return await self._open_tcp().connect((host, port))
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
        return self.tcp is not None and self.tcp.send(flow, data)

    def close_flow(self, flow: Flow) -> None:
        """Close one connection after what was written."""
        if self.tcp is not None:
            self.tcp.close_flow(flow)

    def sent_by(self, flow: Flow) -> Address:
        """Return our address as the peer of a flow should see it."""
        host, port = flow.local
        for transport, (bound, number) in self.listening:
            if transport == flow.transport and (bound == host or is_wildcard(bound) or not host):
                port = number
                host = host or bound
                break
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
            host, port = self.sent_by(Flow(transport, ("", 0), remote))
        parameters: dict[str, str | None] = {"transport": "tcp"} if transport == "tcp" else {}
        return f"<{SipUri('sip', user, host, port or None, parameters)}>"

    async def _resolve(self, host: str) -> str:
        if is_literal(host):
            return host
        resolve = getattr(self._net(), "getaddrinfo", None)
        if resolve is None:
            return host
        try:
            return str((await resolve(host, None))[0][4][0])
        except OSError as exc:
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

    def _open_tcp(self) -> TcpTransport:
        if self.tcp is None:
            self.tcp = TcpTransport(self._net(), self._owner)
        return self.tcp
