"""A UDP socket that is read until it is dry at each wake-up of the loop, or now and then."""

import asyncio
import errno
import socket
from collections import deque
from typing import Any, Final

from .flow import Address

BATCH: Final = 64
"""Datagrams that are read before other work has its turn."""
READ_SIZE: Final = 65_536
PAUSE: Final = 0.004
"""Seconds between two looks at a busy socket. RFC 3261's shortest timer is 500 ms."""
BUSY_AFTER: Final = 16
"""Wake-ups in a row, each within ``PAUSE`` of the one before, that make a socket busy."""
_DEAD: Final = frozenset({errno.EBADF, errno.ENOTSOCK, errno.ENODEV})


class DrainedSocket:
    """The transport of a datagram protocol, with less between the socket and the protocol.

    asyncio's own reads one datagram for each turn of the loop, into a buffer that it allocates for
    each. What is to be sent leaves together after what was read, else at the end of the turn: each
    datagram may wake its reader in our place, which costs least then. When the socket is full it
    waits.

    To be woken costs more than to answer. A socket that wakes the loop hundreds of times a second
    is therefore watched no more, but looked at every few milliseconds until a look finds nothing:
    network cards do the same.
    """

    __slots__ = (
        "_is_blocked",
        "_is_closing",
        "_is_reading",
        "_loop",
        "_protocol",
        "_quick",
        "_read_at",
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
        self._read_at = 0.0
        self._quick = 0  # wake-ups in quick succession
        loop.add_reader(bound.fileno(), self._wake)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the socket or its own address."""
        if name == "sockname":
            return self._socket.getsockname()
        return self._socket if name == "socket" else default

    @property
    def is_busy(self) -> bool:
        """Tell whether the socket is looked at now and then, and not watched."""
        return self._quick >= BUSY_AFTER

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

    def _wake(self) -> None:
        now = self._loop.time()
        self._quick = self._quick + 1 if now - self._read_at < PAUSE else 0
        self._read_at = now
        self._read()
        if self.is_busy and not self._is_closing:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.call_later(PAUSE, self._look)

    def _look(self) -> None:
        if self._is_closing:
            return
        taken = self._read()
        if self._is_closing:
            return
        if taken == BATCH:
            self._loop.call_soon(self._look)
        elif taken:
            self._loop.call_later(PAUSE, self._look)
        else:
            self._quick = 0
            self._loop.add_reader(self._socket.fileno(), self._wake)

    def _read(self) -> int:
        """Take what has come; return how many datagrams it was, ``BATCH`` at most."""
        self._is_reading = True
        try:
            return self._receive()
        finally:
            self._is_reading = False
            if self._waiting:
                self._flush()

    def _receive(self) -> int:
        receive, take = self._socket.recvfrom, self._protocol.datagram_received
        for taken in range(BATCH):
            try:
                data, address = receive(READ_SIZE)
            except (BlockingIOError, InterruptedError):
                return taken
            except OSError as exc:
                self._fail(exc)
                return taken + 1  # a refused datagram of ours is no silence
            take(data, address)
            if self._is_closing:
                break
        return BATCH

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
