"""What media needs of a network, real or simulated."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Protocol

from .batch import PacketBatch

Address = tuple[str, int]
OnBatch = Callable[[PacketBatch, Address], None]
OnRtcp = Callable[[bytes, Address], None]

RECEIVE_BUFFER: Final = 4 * 1024 * 1024


class MediaSocket(Protocol):
    """A UDP socket for media, real or simulated."""

    on_error: Callable[[BaseException], None] | None
    on_rtcp: OnRtcp | None

    @property
    def counters(self) -> Counter[str]:
        """What came and left so far."""
        ...

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


class StreamProtocol(asyncio.Protocol):
    """A protocol that can also take what was read from the buffer of the poller."""

    def connection_made(self, transport: Any) -> None:
        """Take the transport: of asyncio, or one that looks like it."""

    def unfinished(self) -> bytes:
        """Return what is left of the read before: it goes before the next."""
        return b""

    def buffer_received(self, buffer: bytearray, size: int, now: float) -> None:
        """Take ``size`` bytes at the front of ``buffer``, for the length of this call."""


class MediaNetwork(Protocol):
    """What media needs of a network: the loop's two TCP calls and UDP media sockets."""

    async def create_server(
        self, protocol_factory: Callable[[], StreamProtocol], host: str, port: int
    ) -> Any:
        """Listen; what is returned can be closed.

        Raises:
            OSError: The address cannot be bound.
        """
        ...

    async def create_connection(
        self,
        protocol_factory: Callable[[], StreamProtocol],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
    ) -> tuple[Any, Any]:
        """Connect; return transport and protocol.

        Raises:
            OSError: Nobody could be reached.
        """
        ...

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> MediaSocket:
        """Open a UDP media socket.

        Raises:
            OSError: The address cannot be bound.
        """
        ...
