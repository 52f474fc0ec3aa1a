"""The datagram transport of a simulated host."""

import asyncio
import errno
from collections.abc import Callable
from typing import Any

from sip.flow import Address

from .sockets import SocketStandIn

LARGEST_DATAGRAM = 65507


class SimulatedDatagramTransport(asyncio.DatagramTransport):
    """Stands for asyncio's own; sends through the network that made it."""

    def __init__(
        self,
        protocol: asyncio.DatagramProtocol,
        local: Address,
        remote: Address | None,
        *,
        send: Callable[[Address, Address, bytes], None],
        forget: Callable[["SimulatedDatagramTransport"], None],
    ) -> None:
        super().__init__(
            {"sockname": local, "peername": remote, "socket": SocketStandIn(local, remote)}
        )
        self.local = local
        self._remote = remote
        self._protocol = protocol
        self._send = send
        self._forget = forget
        self._is_closing = False
        self._is_dead = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram; what is too long is reported to the protocol, as by the kernel."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        if self._remote is not None and addr not in (None, self._remote):
            raise ValueError(f"Invalid address: must be None or {self._remote}")
        target = self._remote or addr
        if target is None:
            raise ValueError("a datagram without a destination")
        if self._is_closing or self._is_dead or not data:
            return
        if len(data) > LARGEST_DATAGRAM:
            self._protocol.error_received(OSError(errno.EMSGSIZE, "Message too long"))
            return
        self._send(self.local, (str(target[0]), int(target[1])), bytes(data))

    def receive(self, data: bytes, source: Address) -> None:
        """Take a datagram that arrived at this port."""
        if self._is_closing or self._is_dead:
            return
        if self._remote is not None and source != self._remote:
            return  # the kernel gives a connected socket only what its peer sent
        self._protocol.datagram_received(data, source)

    def close(self) -> None:
        """Free the port; ``connection_lost(None)`` follows."""
        if self._is_closing:
            return
        self._is_closing = True
        self._forget(self)
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Close; nothing is ever waiting to be sent."""
        self.close()

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self._is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in use."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what arrives to another protocol."""
        assert isinstance(protocol, asyncio.DatagramProtocol)
        self._protocol = protocol

    def get_write_buffer_size(self) -> int:
        """Return 0: a datagram leaves at once."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return zeros: there is no buffer."""
        return 0, 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: there is no buffer."""

    def die(self) -> None:
        """Hear and say nothing from now on."""
        self._is_dead = True
        self._forget(self)

    def describe(self) -> str:
        """Say what it is, for the list of leaks."""
        return f"udp {self.local[0]}:{self.local[1]} open"
