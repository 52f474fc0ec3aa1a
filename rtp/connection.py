"""TCP connections of a media poller: transports that are read in its turns."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from .network import Address, StreamProtocol
from .poller import READ_SIZE, MediaPoller, Polled

_BACKLOG: Final = 16
_KEPT: Final = 1024 * 1024


class PolledConnection(Polled):
    """One TCP connection that a poller reads."""

    def __init__(self, poller: MediaPoller, sock: socket.socket, protocol: StreamProtocol) -> None:
        self._poller = poller
        self._socket = sock
        self._protocol = protocol
        self._unsent = bytearray()  # bounded by who writes: it asks for the size first
        self._sent = 0
        self._is_paused = self._is_closing = self._is_lost = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._names = {"sockname": sock.getsockname(), "peername": _peer(sock), "socket": sock}
        protocol.connection_made(self)
        if not self._is_lost:
            poller.watch(self)

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._socket.fileno()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``sockname``, ``peername`` or ``socket``."""
        return self._names.get(name, default)

    def is_closing(self) -> bool:
        """Whether it is closed or closing."""
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self._unsent) - self._sent

    def drain(self, now: float) -> bool:
        """Read once, as far as reading is asked for; return whether there may be more."""
        if self._is_paused or self._is_closing:  # asked for nothing: it has broken down
            self._lose(None if self._is_closing else ConnectionResetError("lost while paused"))
            return False
        buffer, rest = self._poller.stream, self._protocol.unfinished()
        held = len(rest)
        buffer[:held] = rest
        try:
            size = self._socket.recv_into(memoryview(buffer)[held : held + READ_SIZE])
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as exc:
            self._lose(exc)
            return False
        if not size:
            self.close()
            return False
        self._protocol.buffer_received(buffer, held + size, now)
        return size == READ_SIZE

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep what the kernel does not take now."""
        if self._is_lost:
            return
        taken = 0
        if not self._unsent:
            try:
                taken = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                taken = 0
            except OSError as exc:
                self._lose(exc)
                return
            if taken == len(data):
                return
            self._await_room(True)
        self._unsent += memoryview(data)[taken:]

    def flush(self) -> None:
        """Write on: there is room again."""
        if self._is_lost:
            return
        try:
            with memoryview(self._unsent) as view:
                self._sent += self._socket.send(view[self._sent : self._sent + _KEPT])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._lose(exc)
            return
        if self._sent == len(self._unsent):
            self._unsent, self._sent = bytearray(), 0
            self._await_room(False)
            if self._is_closing:
                self._lose(None)
        elif self._sent > _KEPT:
            del self._unsent[: self._sent]
            self._sent = 0

    def pause_reading(self) -> None:
        """Let the peer wait."""
        self._is_paused = True
        self._await_room(bool(self._unsent))

    def resume_reading(self) -> None:
        """Read on."""
        self._is_paused = False
        self._await_room(bool(self._unsent))

    def close(self) -> None:
        """Close it once what is unsent has left."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._unsent and not self._poller.is_closing:
            self._await_room(True)
        else:
            self._lose(None)

    def abort(self) -> None:
        """Close it at once."""
        self._lose(None)

    def _await_room(self, writes: bool) -> None:
        if not self._is_lost:
            reads = not self._is_paused and not self._is_closing
            self._poller.change(self, reads=reads, writes=writes)

    def _lose(self, error: OSError | None) -> None:
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        self._unsent, self._sent = bytearray(), 0
        self._poller.forget(self)
        self._socket.close()
        self._poller.loop.call_soon(self._protocol.connection_lost, error)


class PolledServer(Polled):
    """Listens for connections of a poller."""

    def __init__(
        self, poller: MediaPoller, local: Address, protocol_factory: Callable[[], StreamProtocol]
    ) -> None:
        """Bind and listen.

        Raises:
            OSError: The address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        self._poller = poller
        self._factory = protocol_factory
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setblocking(False)
            self._socket.bind(local)
            self._socket.listen(_BACKLOG)
            poller.watch(self)
        except BaseException:
            self._socket.close()
            raise

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket."""
        return () if self._socket.fileno() < 0 else (self._socket,)

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._socket.fileno()

    def drain(self, now: float) -> bool:
        """Accept who is there."""
        for _ in range(_BACKLOG):
            try:
                sock, _ = self._socket.accept()
            except OSError:  # nobody is left, or who was there has gone again
                break
            PolledConnection(self._poller, sock, self._factory())
        return False

    def flush(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        """Listen no longer; connections stay."""
        if self._socket.fileno() >= 0:
            self._poller.forget(self)
            self._socket.close()

    async def wait_closed(self) -> None:
        """Return at once: closing waits for nothing."""


async def connect(
    poller: MediaPoller,
    protocol_factory: Callable[[], StreamProtocol],
    remote: Address,
    local: Address | None,
) -> tuple[PolledConnection, StreamProtocol]:
    """Connect.

    Raises:
        OSError: No address of the host could be reached.
    """
    loop, failed = poller.loop, OSError(f"no address of {remote[0]}")
    for family, kind, _, _, address in await loop.getaddrinfo(*remote, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind)
        try:
            sock.setblocking(False)
            if local is not None:
                sock.bind(local)
            await loop.sock_connect(sock, address)
        except OSError as exc:
            sock.close()
            failed = exc
        except BaseException:
            sock.close()
            raise
        else:
            protocol = protocol_factory()
            return PolledConnection(poller, sock, protocol), protocol
    raise failed


def _peer(sock: socket.socket) -> Any:
    try:
        return sock.getpeername()
    except OSError:  # gone already
        return None
