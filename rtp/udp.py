"""UDP media sockets, without asyncio's transports."""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

from .batch import PacketBatch, Segment
from .datagrams import PACKETS_A_READ, Reader
from .network import Address, OnBatch, OnRtcp
from .packet import HEADER_SIZE, RTCP_TYPES, is_rtcp
from .poller import MediaPoller, Polled

try:  # the compiled build
    from . import _native
except ImportError:
    _native = None  # type: ignore[assignment]  # a plain install has none

logger = logging.getLogger("gb28181.rtp")

_UDP_SEGMENT: Final = 103  # linux/udp.h
_SO_MEMINFO: Final = 55  # asm-generic/socket.h
_MEMINFO_DROPS: Final = 8  # linux/sock_diag.h: SK_MEMINFO_DROPS
_SEGMENT_SIZE: Final = struct.Struct("=H")
_REFUSED_SEGMENT: Final = {
    errno.EINVAL,
    errno.EIO,
    errno.ENOPROTOOPT,
    errno.EMSGSIZE,
    errno.EOPNOTSUPP,
}
_MOST_BYTES: Final = 65_000  # what one send may hold
_FULL: Final = {errno.EAGAIN, errno.ENOBUFS}


class UdpMediaSocket(Polled):
    """One UDP socket of a poller.

    Counters: ``packets``, ``bytes``, ``garbage``, ``rtcp`` in; ``sent``, ``dropped``,
    ``send_errors`` out.
    """

    def __init__(self, poller: MediaPoller, sock: socket.socket, on_batch: OnBatch) -> None:
        self.on_error: Callable[[BaseException], None] | None = None
        self.on_rtcp: OnRtcp | None = None
        self._counters: Counter[str] = Counter()
        self._packets = self._bytes = self._sent = 0
        self._names = b""  # the address that packets came from last, once for each of a read
        self._source: Address = ("", 0)
        self._poller = poller
        self._socket = sock
        self._on_batch = on_batch
        self._can_segment = True
        self._remote: Address = ("", 0)
        self._remote_name = b""  # as the kernel wants it, where that is known
        self._segment, self._most = 0, 0  # the size in ``control``, and how many may go at once
        self._control = _segmented(0)
        self._reader: Reader = poller.readers.first(sock.family)
        name = sock.getsockname()
        self._local = (str(name[0]), int(name[1]))

    @property
    def local(self) -> Address:
        """Where it is bound."""
        return self._local

    @property
    def counters(self) -> Counter[str]:
        """What came and left so far."""
        counters = self._counters.copy()
        counters.update(packets=self._packets, bytes=self._bytes, sent=self._sent)
        return counters

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by the owner or after an error."""
        return self._socket.fileno() < 0

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._socket.fileno()

    def send(self, data: bytes, remote: Address) -> bool:
        """Send one datagram; false when it was dropped and counted."""
        try:
            self._socket.sendto(data, remote)
        except OSError as exc:
            self._count_unsent(exc, 1)
            return False
        self._sent += 1
        return True

    def send_batch(self, batch: PacketBatch, remote: Address) -> int:
        """Send every packet, runs of one size in one call; return how many were taken.

        What a full socket refuses is dropped and counted: media does not wait.
        """
        lengths, stride = batch.lengths, batch.stride
        count = len(lengths)
        if not self._can_segment or batch.even < count:
            return self._send_any(batch, remote)
        if count > 1 and lengths[0] != stride and stride not in lengths:
            return self._send_any(batch, remote)
        if remote != self._remote:
            self._remote, self._remote_name = remote, _name(self._socket, remote)
        start, index, sent = batch.start, 0, 0
        while index < count:
            first, size = index, lengths[index]
            index = self._end_of_run(lengths, index) if size == stride else index + 1
            begin, end = start + first * stride, start + (index - 1) * stride + lengths[index - 1]
            try:
                self._send_run(batch.data, begin, end, size if index - first > 1 else 0)
            except OSError as exc:
                segment = Segment(first, index - first, size, True)
                sent += self._not_sent(exc, batch, segment, remote)
            else:
                sent += index - first
        self._sent += sent
        return sent

    def _send_run(self, data: bytearray, begin: int, end: int, segment: int) -> None:
        """Send packets that lie without a byte between to the last remote, 0 for one packet.

        Raises:
            OSError: They were not sent.
        """
        if _native is not None and self._remote_name:
            failed = _native.send(
                self._socket.fileno(), data, begin, end, segment, self._remote_name
            )
            if failed:
                raise OSError(failed, os.strerror(failed))
        elif segment:
            view = memoryview(data)[begin:end]
            self._socket.sendmsg((view,), self._control, 0, self._remote)
        else:
            self._socket.sendto(memoryview(data)[begin:end], self._remote)

    def _end_of_run(self, lengths: list[int], index: int) -> int:
        """Return where the packets end that one send can carry; they lie without a byte between."""
        size = lengths[index]
        if size != self._segment:
            self._segment, self._control = size, _segmented(size)
            self._most = min(PACKETS_A_READ, _MOST_BYTES // size)
        limit = min(len(lengths), index + self._most)
        while index < limit and lengths[index] == size:
            index += 1
        if index < limit and lengths[index] < size:
            index += 1
        return index

    def _send_any(self, batch: PacketBatch, remote: Address) -> int:
        """Send packets that lie anywhere in the buffer."""
        if self.is_closed:
            return 0
        view, sent = memoryview(batch.data), 0
        for segment in batch.segments():
            sent += self._send_pieces(batch, segment, view, remote)
        self._sent += sent
        return sent

    def _send_pieces(
        self, batch: PacketBatch, segment: Segment, view: memoryview, remote: Address
    ) -> int:
        """Send one segment."""
        if segment.packets == 1 or not self._can_segment:
            return self._send_each(batch, segment, remote)
        run = batch.bounds[segment.first : segment.first + segment.packets]
        pieces = [view[offset : offset + length] for offset, length in run]
        try:
            self._socket.sendmsg(pieces, _segmented(segment.size), 0, remote)
        except OSError as exc:
            return self._not_sent(exc, batch, segment, remote)
        return segment.packets

    def _not_sent(
        self, error: OSError, batch: PacketBatch, segment: Segment, remote: Address
    ) -> int:
        if self.is_closed:
            return 0
        if segment.packets == 1 or error.errno not in _REFUSED_SEGMENT:
            self._count_unsent(error, segment.packets)
            return 0
        # An old kernel, a device without checksum offload, or a smaller MTU.
        self._can_segment = False
        return self._send_each(batch, segment, remote)

    def flush(self) -> None:
        """Nothing is kept to be written later."""

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped on this socket since it was opened."""
        if self.is_closed:
            return 0
        raw = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
        return int(struct.unpack_from("=I", raw, 4 * _MEMINFO_DROPS)[0])

    def close(self) -> None:
        """Close it; no callback comes afterwards."""
        if not self.is_closed:
            self._poller.forget(self)
            self._socket.close()

    def drain(self, now: float) -> bool:
        """Read what is there; return whether there may be more.

        Called by the poller. Every exception of a callback ends this socket only.
        """
        try:
            reader = self._reader
            count = reader.read(self._socket)
            if not count:
                return False
            batch = reader.batch(count, self._names, now)
            if batch is None:
                batch = self._from_elsewhere(reader, count, now)
            if reader.is_first or batch is None:
                lengths = reader.lengths(count)
                self._reader = self._poller.readers.choose(self._socket.family, reader, lengths)
            if batch is not None and batch.is_rtp:
                self._packets += count
                self._bytes += batch.size
                self._on_batch(batch, self._source)
            else:
                self._sort_out(reader.datagrams(count), now)
            return count == PACKETS_A_READ and not self.is_closed
        except Exception as exc:
            on_error = self.on_error
            self.close()
            if on_error is not None:
                on_error(exc)
            else:
                logger.exception("media socket %s:%d closed", *self._local, exc_info=exc)
            return False

    def _from_elsewhere(self, reader: Reader, count: int, now: float) -> PacketBatch | None:
        """Try another address for what came: that of the first packet, if it is that of all."""
        name = reader.name(count)
        if not name or self._names.startswith(name):
            return None
        self._names, self._source = name * PACKETS_A_READ, reader.decode(name)
        return reader.batch(count, self._names, now)

    def _sort_out(self, datagrams: list[tuple[bytes, Address]], now: float) -> None:
        """Hand on the RTP packets among datagrams of any kind, once for each run of one source."""
        packets: list[bytes] = []
        source: Address | None = None
        for data, sender in datagrams:
            if self.is_closed:  # by a callback
                return
            if len(data) < HEADER_SIZE or data[0] >> 6 != 2 or data[1] in RTCP_TYPES:
                self._take_other(data, sender)
                continue
            if sender != source:
                self._hand_out(packets, source, now)
                packets, source = [], sender
            packets.append(data)
        self._hand_out(packets, source, now)

    def _hand_out(self, packets: list[bytes], source: Address | None, now: float) -> None:
        if source is None or not packets or self.is_closed:
            return
        bounds, place = [], 0
        for packet in packets:
            bounds.append((place, len(packet)))
            place += len(packet)
        self._packets += len(packets)
        self._bytes += place
        self._on_batch(PacketBatch(bytearray().join(packets), bounds, now), source)

    def _take_other(self, data: bytes, sender: Address) -> None:
        """Count what is not RTP; hand RTCP on."""
        if len(data) >= 8 and is_rtcp(data):
            self._counters["rtcp"] += 1
            if self.on_rtcp is not None:
                self.on_rtcp(data, sender)
        else:
            self._counters["garbage"] += 1

    def _send_each(self, batch: PacketBatch, segment: Segment, remote: Address) -> int:
        send, view, taken = self._socket.sendto, memoryview(batch.data), 0
        for offset, length in batch.bounds[segment.first : segment.first + segment.packets]:
            try:
                send(view[offset : offset + length], remote)
            except OSError as exc:
                self._count_unsent(exc, 1)
            else:
                taken += 1
        return taken

    def _count_unsent(self, error: OSError, packets: int) -> None:
        if error.errno in _FULL:
            self._counters["dropped"] += packets
        else:
            self._counters["send_errors"] += packets


def open_udp(
    poller: MediaPoller, local: Address, on_batch: OnBatch, *, receive_buffer: int
) -> UdpMediaSocket:
    """Open a socket whose packets go to ``on_batch``, once for each run of one source.

    Raises:
        OSError: The address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        _check_granted(poller, sock, receive_buffer)
        sock.bind(local)
        media = UdpMediaSocket(poller, sock, on_batch)
        poller.watch(media)
    except BaseException:
        sock.close()
        raise
    return media


def _name(sock: socket.socket, remote: Address) -> bytes:
    """Write an address as the kernel wants it; empty where that takes more than its digits."""
    if sock.family != socket.AF_INET:
        return b""
    try:
        host = socket.inet_pton(socket.AF_INET, remote[0])
    except OSError:
        return b""
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", remote[1], host)


def _check_granted(poller: MediaPoller, sock: socket.socket, wanted: int) -> None:
    # The kernel doubles what it grants, for its own accounting.
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted < wanted and not poller.has_warned:
        poller.has_warned = True
        logger.warning(
            "receive buffer of %d bytes granted, %d wanted: raise net.core.rmem_max",
            granted,
            wanted,
        )


def _segmented(size: int) -> list[tuple[int, int, bytes]]:
    """The ancillary data of a send in segments of ``size`` bytes."""
    return [(socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]
