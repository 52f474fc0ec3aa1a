"""The real network of media: UDP sockets of one poller, and TCP on the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .network import RECEIVE_BUFFER as RECEIVE_BUFFER
from .network import Address as Address
from .network import MediaNetwork as MediaNetwork
from .network import MediaSocket as MediaSocket
from .network import OnBatch as OnBatch
from .network import OnRtcp as OnRtcp
from .tcp import WRITE_LIMIT as WRITE_LIMIT
from .tcp import TcpMediaConnection as TcpMediaConnection
from .tcp import connect_tcp as connect_tcp
from .tcp import listen_tcp as listen_tcp
from .udp import UdpMediaPoller as UdpMediaPoller
from .udp import UdpMediaSocket as UdpMediaSocket


class SocketNetwork:
    """The real network: the running loop, and a poller for UDP media."""

    def __init__(
        self, *, tick: float = 0.005, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self.poller = UdpMediaPoller(tick=tick, loop=self._loop)

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **kw: Any
    ) -> asyncio.Server:
        """Listen, as ``loop.create_server``."""
        return await self._loop.create_server(protocol_factory, host, port, **kw)

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
        **kw: Any,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect, as ``loop.create_connection``."""
        return await self._loop.create_connection(
            protocol_factory, host, port, local_addr=local_addr, **kw
        )

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> UdpMediaSocket:
        """Open a UDP media socket.

        Raises:
            OSError: The address cannot be bound.
        """
        return self.poller.open_udp(local, on_batch, receive_buffer=receive_buffer)

    def close(self) -> None:
        """Close the poller and its sockets; TCP belongs to its owners."""
        self.poller.close()


def open_network(loop: asyncio.AbstractEventLoop | None = None) -> SocketNetwork:
    """Return the real network on ``loop``, by default the running one."""
    return SocketNetwork(loop=loop)
