"""A UDP socket that is read with few calls."""

import asyncio
import errno
import socket
from collections import deque
from typing import Any, Final

from .flow import Address

BATCH: Final = 64
"""Most datagrams that are read before other work has its turn."""
PATIENCE: Final = 8
"""After so many turns that left the socket unread to its end, twice as many are read in one."""
READ_SIZE: Final = 65_536
_DEAD = frozenset({errno.EBADF, errno.ENOTSOCK, errno.ENODEV})


class DrainedSocket:
    """The transport of a datagram protocol, with less between the socket and the protocol.

    asyncio's own reads one datagram for each turn of the loop, into a buffer that it allocates for
    each. What is to be sent leaves together after what was read, else at the end of the turn: each
    datagram may wake its reader in our place, which costs least then. When the socket is full it
    waits.
    """

    __slots__ = (
        "_batch",
        "_full",
        "_is_blocked",
        "_is_closing",
        "_is_reading",
        "_loop",
        "_protocol",
        "_socket",
        "_waiting",
        "_waiting_size",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.DatagramProtocol,
        bound: socket.socket,
    ) -> None:
        """Take a bound socket and begin to read."""
        self._loop = loop
        self._protocol = protocol
        self._socket = bound
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._waiting_size = 0
        self._is_blocked = False  # the loop watches for room
        self._is_closing = False
        self._is_reading = False
        self._batch = 1
        self._full = 0
        loop.add_reader(bound.fileno(), self._read)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the socket or its own address."""
        if name == "sockname":
            return self._socket.getsockname()
        return self._socket if name == "socket" else default

    def is_closing(self) -> bool:
        """Tell whether the socket is closed."""
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait for the socket."""
        return self._waiting_size

    def sendto(self, data: bytes, address: Address) -> None:
        """Send a datagram soon within this turn, or when the socket has room."""
        if not self._waiting and not self._is_reading:
            self._loop.call_soon(self._flush)
        self._waiting.append((data, address))
        self._waiting_size += len(data)

    def abort(self) -> None:
        """Close the socket; what has no room in it is dropped."""
        if not self._is_closing:
            self._write()
        self._close(None)

    def _read(self) -> None:
        self._is_reading = True
        try:
            self._receive()
        finally:
            self._is_reading = False
            if self._waiting:
                self._flush()

    def _receive(self) -> None:
        receive, take = self._socket.recvfrom, self._protocol.datagram_received
        # To find the socket empty costs half a datagram, and the loop tells when more is there: so
        # no more are read than the last turns have found.
        for count in range(self._batch):
            try:
                data, address = receive(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                self._batch, self._full = max(1, count), 0
                return
            except OSError as exc:
                self._fail(exc)
                return
            take(data, address)
            if self._is_closing:
                return
        self._full += 1
        if self._full == PATIENCE:
            self._batch, self._full = min(BATCH, 2 * self._batch), 0

    def _flush(self) -> None:
        if self._is_closing:
            return
        self._write()
        if self._waiting and not self._is_blocked:
            self._is_blocked = True
            self._loop.add_writer(self._socket.fileno(), self._resume)

    def _resume(self) -> None:
        self._write()
        if not self._waiting and not self._is_closing:
            self._is_blocked = False
            self._loop.remove_writer(self._socket.fileno())

    def _write(self) -> None:
        while self._waiting:
            data, address = self._waiting[0]
            try:
                self._socket.sendto(data, address)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                self._fail(exc)
                if self._is_closing:
                    return
            self._waiting.popleft()
            self._waiting_size -= len(data)

    def _fail(self, exc: OSError) -> None:
        if exc.errno in _DEAD:
            self._close(exc)
        else:
            self._protocol.error_received(exc)

    def _close(self, exc: OSError | None) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        number = self._socket.fileno()
        if number >= 0:
            self._loop.remove_reader(number)
            self._loop.remove_writer(number)
        self._socket.close()
        self._waiting.clear()
        self._loop.call_soon(self._protocol.connection_lost, exc)
