"""The real network of media: the UDP sockets and TCP connections of one poller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .connection import PolledConnection as PolledConnection
from .connection import PolledServer as PolledServer
from .connection import connect
from .network import RECEIVE_BUFFER as RECEIVE_BUFFER
from .network import Address as Address
from .network import MediaNetwork as MediaNetwork
from .network import MediaSocket as MediaSocket
from .network import OnBatch as OnBatch
from .network import OnRtcp as OnRtcp
from .network import StreamProtocol as StreamProtocol
from .poller import MediaPoller as MediaPoller
from .tcp import WRITE_LIMIT as WRITE_LIMIT
from .tcp import TcpMediaConnection as TcpMediaConnection
from .tcp import connect_tcp as connect_tcp
from .tcp import listen_tcp as listen_tcp
from .udp import UdpMediaSocket as UdpMediaSocket
from .udp import open_udp


class SocketNetwork:
    """The real network: one poller on the running loop, for UDP and for TCP."""

    def __init__(
        self, *, tick: float = 0.005, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.poller = MediaPoller(tick=tick, loop=loop)

    async def create_server(
        self, protocol_factory: Callable[[], StreamProtocol], host: str, port: int
    ) -> PolledServer:
        """Listen.

        Raises:
            OSError: The address cannot be bound.
        """
        return PolledServer(self.poller, (host, port), protocol_factory)

    async def create_connection(
        self,
        protocol_factory: Callable[[], StreamProtocol],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
    ) -> tuple[PolledConnection, StreamProtocol]:
        """Connect.

        Raises:
            OSError: No address of the host could be reached.
        """
        return await connect(self.poller, protocol_factory, (host, port), local_addr)

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> UdpMediaSocket:
        """Open a UDP media socket.

        Raises:
            OSError: The address cannot be bound.
        """
        return open_udp(self.poller, local, on_batch, receive_buffer=receive_buffer)

    def close(self) -> None:
        """Close the poller and its sockets."""
        self.poller.close()


def open_network(loop: asyncio.AbstractEventLoop | None = None) -> SocketNetwork:
    """Return the real network on ``loop``, by default the running one."""
    return SocketNetwork(loop=loop)
