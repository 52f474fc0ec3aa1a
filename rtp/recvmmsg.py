"""What ``recvmmsg`` of Linux reads and writes: layouts of C."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable
from functools import lru_cache, partial

try:  # the compiled build
    from . import _native
except ImportError:
    _native = None  # type: ignore[assignment]  # a plain install has none


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("header", _Msghdr), ("size", ctypes.c_uint32))


class Slots:
    """Places for datagrams and for the addresses they are from.

    Args:
        near: Takes the first ``stride`` bytes of each datagram, one after the other.
        far: Takes what a datagram has beyond them, at the next multiple of ``beyond``.
        names: Takes the addresses, each at the next multiple of ``name_room``.
        packets: How many.
        stride: Of ``near``.
        beyond: Of ``far``.
        name_size: Bytes of an address.
        name_room: Of ``names``.
    """

    def __init__(
        self,
        near: bytearray,
        far: bytearray,
        names: bytearray,
        *,
        packets: int,
        stride: int,
        beyond: int,
        name_size: int,
        name_room: int,
    ) -> None:
        first, rest, addresses = (
            ctypes.addressof(ctypes.c_char.from_buffer(buffer)) for buffer in (near, far, names)
        )
        self._iovecs = (_Iovec * (2 * packets))()
        raw = bytearray(packets * ctypes.sizeof(_Mmsghdr))
        self._headers = (_Mmsghdr * packets).from_buffer(raw)
        for index in range(packets):
            self._iovecs[2 * index] = _Iovec(first + index * stride, stride)
            self._iovecs[2 * index + 1] = _Iovec(rest + index * beyond, beyond - stride)
            header = self._headers[index].header
            header.name, header.name_size = addresses + index * name_room, name_size
            header.iov = ctypes.addressof(self._iovecs) + 2 * index * ctypes.sizeof(_Iovec)
            header.iov_count = 2
        self._raw = raw
        self.receive: Callable[[int], int] = self._receiver(packets)
        """Read from a descriptor without waiting; return how many came, or -1."""
        self.lengths: Callable[[int, int, int], list[int] | None] = self._lengths
        """Return the bytes of each of so many datagrams; None when one has fewer than the second
        argument or more than the third.
        """
        if _native is not None:
            self.receive = partial(_native.receive, raw, packets)
            self.lengths = partial(_native.lengths, raw)

    def _receiver(self, packets: int) -> Callable[[int], int]:
        # It never waits, so the lock of the interpreter need not be given up for it.
        call, flags = ctypes.PyDLL(None).recvmmsg, int(socket.MSG_DONTWAIT)
        address = ctypes.c_void_p(ctypes.addressof(self._headers))
        return lambda descriptor: int(call(descriptor, address, packets, flags, None))

    def _lengths(self, count: int, shortest: int, longest: int) -> list[int] | None:
        lengths = list(_sizes(count).unpack_from(self._raw))
        return lengths if shortest <= min(lengths) and max(lengths) <= longest else None


@lru_cache(maxsize=64)
def _sizes(packets: int) -> struct.Struct:
    """What reads the sizes of that many datagrams."""
    before = _Mmsghdr.size.offset
    after = ctypes.sizeof(_Mmsghdr) - before - 4
    return struct.Struct("=" + f"{before}xI{after}x" * packets)


def has_recvmmsg() -> bool:
    """Whether it is there, with the layouts of this module: those of 64-bit Linux."""
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    try:
        return hasattr(ctypes.CDLL(None), "recvmmsg")
    except OSError:
        return False
