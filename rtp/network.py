"""What media needs of a network, real or simulated."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from .batch import PacketBatch

Address = tuple[str, int]
OnBatch = Callable[[PacketBatch, Address], None]
OnRtcp = Callable[[bytes, Address], None]

RECEIVE_BUFFER = 4 * 1024 * 1024


class MediaSocket(Protocol):
    """A UDP socket for media, real or simulated."""

    counters: Counter[str]
    on_error: Callable[[BaseException], None] | None
    on_rtcp: OnRtcp | None

    @property
    def local(self) -> Address:
        """Where it is bound."""
        ...

    def send(self, data: bytes, remote: Address) -> bool:
        """Send one datagram; false when it was dropped."""
        ...

    def send_batch(self, batch: PacketBatch, remote: Address) -> int:
        """Send every packet; return how many were taken."""
        ...

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped for want of buffer."""
        ...

    def close(self) -> None:
        """Close it; no callback comes afterwards."""
        ...


class MediaNetwork(Protocol):
    """What media needs of a network: the loop's two TCP calls and UDP media sockets."""

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **kw: Any
    ) -> Any:
        """Listen, as ``loop.create_server``."""
        ...

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
        **kw: Any,
    ) -> tuple[Any, Any]:
        """Connect, as ``loop.create_connection``."""
        ...

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> MediaSocket:
        """Open a UDP media socket.

        Raises:
            OSError: The address cannot be bound.
        """
        ...
