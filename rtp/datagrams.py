"""Reads many datagrams of a UDP socket in one call."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from typing import Any, Final

from .batch import PacketBatch
from .network import Address
from .packet import HEADER_SIZE
from .recvmmsg import Slots, has_recvmmsg

PACKETS_A_READ: Final = 46  # what one UDP_SEGMENT send can carry at 1412 bytes
_LARGEST_DATAGRAM: Final = 65_536
_SLOT: Final = 2048  # until the usual size of a socket's packets is known
_NAME: Final = 32  # a sockaddr_in6 has 28 bytes
_MOST_SIZES: Final = 16
_SHRINK_FROM: Final = 4
_DONTWAIT: Final = int(socket.MSG_DONTWAIT)
_PORT: Final = struct.Struct("!H")
_SCOPE: Final = struct.Struct("=I")


class Reader:
    """Reads datagrams into one buffer, each at the next multiple of ``stride``.

    What ``read`` brought stays until the next ``read`` of any reader of the same poller.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.is_first = stride == _SLOT
        """Whether the usual size of the packets is not known yet."""

    def read(self, sock: socket.socket) -> int:
        """Read without waiting; return how many datagrams came.

        Raises:
            OSError: The socket is broken.
        """
        raise NotImplementedError

    def lengths(self, count: int) -> list[int]:
        """Return the length of each; one longer than ``stride`` is not whole in the buffer."""
        raise NotImplementedError

    def batch(self, count: int, names: bytes, now: float) -> PacketBatch | None:
        """Return what came as one batch over the buffer, which the next read writes over.

        Args:
            count: How many came.
            names: The one address they may be from, as ``name`` returned it, 46 times.
            now: When they came.

        Returns:
            None when one is from elsewhere, or too short or too long for the buffer.
        """
        raise NotImplementedError

    def name(self, count: int) -> bytes:
        """Return the address they are from as the kernel wrote it; empty when not all are from
        the same.
        """
        raise NotImplementedError

    def decode(self, name: bytes) -> Address:
        """Read what ``name`` returned."""
        raise NotImplementedError

    def datagrams(self, count: int) -> list[tuple[bytes, Address]]:
        """Return each datagram whole, with where it is from: the slow way."""
        raise NotImplementedError


class _Buffers:
    """What the readers of one poller share; only touched pages take memory."""

    def __init__(self) -> None:
        self.near = bytearray(PACKETS_A_READ * _SLOT)
        self.far = bytearray(PACKETS_A_READ * _LARGEST_DATAGRAM)
        # One for each family: what a longer address leaves behind would mix up shorter ones.
        self.names = {
            family: bytearray(PACKETS_A_READ * _NAME)
            for family in (socket.AF_INET, socket.AF_INET6)
        }


class ManyReader(Reader):
    """Reads with ``recvmmsg``: one system call for what one turn finds.

    The packets of a stream are of one size but for the last of a frame. With that size as
    ``stride`` they come to lie without a byte between, as ``UDP_SEGMENT`` wants them.
    """

    def __init__(self, family: int, stride: int, buffers: _Buffers) -> None:
        super().__init__(stride)
        self._family = family
        self._buffers = buffers
        self._near = memoryview(buffers.near)
        self._names = buffers.names[socket.AddressFamily(family)]
        name_size = 28 if family == socket.AF_INET6 else 16
        self._slots = Slots(
            buffers.near, buffers.far, buffers.names[socket.AddressFamily(family)],
            packets=PACKETS_A_READ, stride=stride, beyond=_LARGEST_DATAGRAM,
            name_size=name_size, name_room=_NAME,
        )  # fmt: skip
        self._receive: Any = self._slots.receive
        self._lengths: Any = self._slots.lengths

    def read(self, sock: socket.socket) -> int:
        """Read without waiting; return how many datagrams came."""
        count: int = self._receive(sock.fileno())
        return count if count >= 0 else self._read_on(sock)

    def _read_on(self, sock: socket.socket) -> int:
        """Find out why nothing was read; read behind errors of what was sent before."""
        for _ in range(PACKETS_A_READ):
            try:
                sock.recv(1, socket.MSG_PEEK | _DONTWAIT)
            except BlockingIOError:
                return 0
            except OSError as exc:
                if exc.errno not in _PASSING:
                    raise
            count: int = self._receive(sock.fileno())
            if count >= 0:
                return count
        return 0

    def lengths(self, count: int) -> list[int]:
        """Return the length of each."""
        return self._lengths(count, 0, _LARGEST_DATAGRAM) or []

    def batch(self, count: int, names: bytes, now: float) -> PacketBatch | None:
        """Return what came as one batch over the buffer."""
        if not names or not self._names.startswith(names[: count * _NAME]):
            return None
        lengths: list[int] | None = self._lengths(count, HEADER_SIZE, self.stride)
        if lengths is None:
            return None
        batch = PacketBatch(self._buffers.near, None, now, self.stride, lengths)
        batch.is_borrowed = True
        return batch

    def name(self, count: int) -> bytes:
        """Return the address they are from; empty when not all are from the same."""
        names = bytes(self._names[: count * _NAME])
        name = names[:_NAME]
        return name if count == 1 or names == name * count else b""

    def datagrams(self, count: int) -> list[tuple[bytes, Address]]:
        """Return each datagram whole, with where it is from."""
        stride, far, found = self.stride, memoryview(self._buffers.far), []
        for index, size in enumerate(self.lengths(count)):
            begin, beyond = index * stride, index * _LARGEST_DATAGRAM
            data = bytes(self._near[begin : begin + min(size, stride)])
            if size > stride:
                data += far[beyond : beyond + size - stride]
            name = bytes(self._names[index * _NAME : (index + 1) * _NAME])
            found.append((data, self.decode(name)))
        return found

    def decode(self, name: bytes) -> Address:
        """Read a sockaddr_in or sockaddr_in6."""
        port = int(_PORT.unpack_from(name, 2)[0])
        if self._family != socket.AF_INET6:
            return socket.inet_ntop(socket.AF_INET, name[4:8]), port
        host, scope = socket.inet_ntop(socket.AF_INET6, name[8:24]), _SCOPE.unpack_from(name, 24)[0]
        if scope:
            with contextlib.suppress(OSError):
                return f"{host}%{socket.if_indextoname(scope)}", port
        return host, port


class SingleReader(Reader):
    """Reads one datagram a call, where ``recvmmsg`` is not to be had."""

    def __init__(self) -> None:
        super().__init__(_SLOT)
        self._buffer = bytearray(_LARGEST_DATAGRAM)
        self._found: list[tuple[bytes, Address]] = []

    def read(self, sock: socket.socket) -> int:
        """Read without waiting; return how many datagrams came."""
        view = memoryview(self._buffer)
        self._found = []
        for _ in range(PACKETS_A_READ):
            try:
                size, sender = sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                break
            except ConnectionError:  # an ICMP error of something sent before
                continue
            self._found.append((bytes(view[:size]), sender[:2]))
        return len(self._found)

    def lengths(self, count: int) -> list[int]:
        """Return the length of each."""
        return [len(data) for data, _ in self._found[:count]]

    def batch(self, count: int, names: bytes, now: float) -> PacketBatch | None:
        """Return what came as one batch over a buffer of its own."""
        lengths, name = self.lengths(count), self.name(count)
        if not name or not names.startswith(name):
            return None
        if min(lengths) < HEADER_SIZE or max(lengths) > self.stride:
            return None
        data = bytearray().join(data.ljust(self.stride, b"\0") for data, _ in self._found[:count])
        return PacketBatch(data, None, now, self.stride, lengths)

    def name(self, count: int) -> bytes:
        """Return the address they are from; empty when not all are from the same."""
        sources = {source for _, source in self._found[:count]}
        return repr(sources.pop()).encode() if len(sources) == 1 else b""

    def decode(self, name: bytes) -> Address:
        """Read what ``name`` returned."""
        return self._found[0][1]

    def datagrams(self, count: int) -> list[tuple[bytes, Address]]:
        """Return each datagram whole, with where it is from."""
        return self._found[:count]


class Readers:
    """The readers of one poller: one for each usual size of packets."""

    def __init__(self, *, many: bool = True) -> None:
        self._buffers = _Buffers()
        self._made: dict[tuple[int, int], ManyReader] = {}
        self._single = None if many and has_recvmmsg() else SingleReader()

    def first(self, family: int) -> Reader:
        """Return the reader for a socket of which nothing is known."""
        return self._single or self._of(family, _SLOT)

    def choose(self, family: int, reader: Reader, lengths: list[int]) -> Reader:
        """Return the reader for a socket after a read with ``reader`` brought ``lengths``."""
        if self._single is not None:
            return reader
        longest = max(lengths)
        if longest > reader.stride:
            return self._of(family, min(longest, _SLOT))
        if reader.stride == _SLOT and lengths.count(longest) >= _SHRINK_FROM:
            return self._of(family, max(longest, HEADER_SIZE))
        return reader

    def _of(self, family: int, stride: int) -> ManyReader:
        key = (family, stride)
        if key not in self._made:
            if len(self._made) >= _MOST_SIZES and stride != _SLOT:
                return self._of(family, _SLOT)
            self._made[key] = ManyReader(family, stride, self._buffers)
        return self._made[key]


_PASSING: Final = {
    errno.EINTR,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
}
