"""UDP media sockets, without asyncio's transports."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
import struct
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from .batch import PacketBatch, Segment
from .datagrams import PACKETS_A_READ, Readers
from .network import RECEIVE_BUFFER, Address, OnBatch, OnRtcp
from .packet import HEADER_SIZE, RTCP_TYPES, is_rtcp

logger = logging.getLogger("gb28181.rtp")

_UDP_SEGMENT = 103  # linux/udp.h
_SO_MEMINFO = 55  # asm-generic/socket.h
_MEMINFO_DROPS = 8  # linux/sock_diag.h: SK_MEMINFO_DROPS
_SEGMENT_SIZE = struct.Struct("=H")
_REFUSED_SEGMENT = {errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EMSGSIZE, errno.EOPNOTSUPP}
_FULL = {errno.EAGAIN, errno.ENOBUFS}


class UdpMediaSocket:
    """One UDP socket of a ``UdpMediaPoller``.

    Counters: ``packets``, ``bytes``, ``garbage``, ``rtcp`` in; ``sent``, ``dropped``,
    ``send_errors`` out.
    """

    def __init__(self, poller: UdpMediaPoller, sock: socket.socket, on_batch: OnBatch) -> None:
        self.counters: Counter[str] = Counter()
        self.on_error: Callable[[BaseException], None] | None = None
        self.on_rtcp: OnRtcp | None = None
        self._poller = poller
        self._socket = sock
        self._on_batch = on_batch
        self._can_segment = True
        self._reader = poller.readers.first(sock.family)
        name = sock.getsockname()
        self._local = (str(name[0]), int(name[1]))

    @property
    def local(self) -> Address:
        """Where it is bound."""
        return self._local

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
        self.counters["sent"] += 1
        return True

    def send_batch(self, batch: PacketBatch, remote: Address) -> int:
        """Send every packet, runs of one size in one call; return how many were taken.

        What a full socket refuses is dropped and counted: media does not wait. While the poller
        reads, the batch is sent once all sockets are read, and counted then; it must stay as
        it is until that turn ends.
        """
        if self._poller.is_reading:
            self._poller.waiting.append((self, batch, remote))
            return len(batch)
        return self.send_now(batch, remote)

    def send_now(self, batch: PacketBatch, remote: Address) -> int:
        """Send every packet; return how many the kernel took."""
        if self.is_closed:
            return 0
        taken = 0
        for segment in batch.segments():
            taken += self._send_segment(batch, segment, remote)
        return taken

    def _send_segment(self, batch: PacketBatch, segment: Segment, remote: Address) -> int:
        first, number, size, contiguous = segment
        view, bounds = memoryview(batch.data), batch.bounds
        if number == 1 or not self._can_segment:
            return self._send_each(view, bounds[first : first + number], remote)
        if contiguous:
            last, length = bounds[first + number - 1]
            pieces = [view[bounds[first][0] : last + length]]
        else:
            run = bounds[first : first + number]
            pieces = [view[offset : offset + length] for offset, length in run]
        try:
            self._socket.sendmsg(pieces, _segmented(size), 0, remote)
        except OSError as exc:
            if exc.errno not in _REFUSED_SEGMENT:
                self._count_unsent(exc, number)
                return 0
            # An old kernel, a device without checksum offload, or a smaller MTU.
            self._can_segment = False
            return self._send_each(view, bounds[first : first + number], remote)
        self.counters["sent"] += number
        return number

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped on this socket since it was opened."""
        if self.is_closed:
            return 0
        raw = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
        return int(struct.unpack_from("=I", raw, 4 * _MEMINFO_DROPS)[0])

    def close(self) -> None:
        """Close it; no callback comes afterwards."""
        if not self.is_closed:
            self._poller.send_waiting()
            self._poller.forget(self)
            self._socket.close()

    def drain(self, now: float) -> bool:
        """Read what is there; return whether there may be more.

        Called by the poller. Every exception of a callback ends this socket only.
        """
        try:
            return self._drain(now)
        except Exception as exc:
            on_error = self.on_error
            self.close()
            if on_error is not None:
                on_error(exc)
            else:
                logger.exception("media socket %s:%d closed", *self._local, exc_info=exc)
            return False

    def _drain(self, now: float) -> bool:
        reader = self._reader
        count = reader.read(self._socket)
        if not count:
            return False
        lengths, stride = reader.lengths(count), reader.stride
        longest = max(lengths)
        if longest > stride or min(lengths) < HEADER_SIZE:
            self._sort_out(reader.datagrams(count), now)
        else:
            data = reader.copy(count, lengths[-1])
            bounds = list(zip(range(0, count * stride, stride), lengths, strict=True))
            batch = PacketBatch(data, bounds, now, stride, lengths)
            heads, source = batch.heads, reader.source(count)
            is_rtp = batch.is_plain or (min(heads.firsts) >= 0x80 and max(heads.firsts) < 0xC0)
            if source is None or not is_rtp or not RTCP_TYPES.isdisjoint(heads.seconds):
                self._sort_out(reader.datagrams(count), now)
            else:
                counters = self.counters
                counters["packets"] += count
                counters["bytes"] += sum(lengths)
                self._on_batch(batch, source)
        if longest != stride:
            self._reader = self._poller.readers.choose(self._socket.family, reader, lengths)
        return count == PACKETS_A_READ and not self.is_closed

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
        self.counters["packets"] += len(packets)
        self.counters["bytes"] += place
        self._on_batch(PacketBatch(bytearray().join(packets), bounds, now), source)

    def _take_other(self, data: bytes, sender: Address) -> None:
        """Count what is not RTP; hand RTCP on."""
        if len(data) >= 8 and is_rtcp(data):
            self.counters["rtcp"] += 1
            if self.on_rtcp is not None:
                self.on_rtcp(data, sender)
        else:
            self.counters["garbage"] += 1

    def _send_each(self, view: memoryview, run: list[tuple[int, int]], remote: Address) -> int:
        send, taken = self._socket.sendto, 0
        for offset, length in run:
            try:
                send(view[offset : offset + length], remote)
            except OSError as exc:
                self._count_unsent(exc, 1)
            else:
                taken += 1
        self.counters["sent"] += taken
        return taken

    def _count_unsent(self, error: OSError, packets: int) -> None:
        if error.errno in _FULL:
            self.counters["dropped"] += packets
        else:
            self.counters["send_errors"] += packets


class UdpMediaPoller:
    """Reads all UDP media sockets of a process: one epoll object, watched by the loop.

    With a gather tick the epoll object leaves the loop for ``tick`` seconds after each turn, so
    that packets spread over a frame interval are read together: half the cost, for at most that
    much latency. 0 switches it off.
    """

    def __init__(
        self, *, tick: float = 0.005, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._tick = tick
        self._loop = loop or asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._sockets: dict[int, UdpMediaSocket] = {}
        self.is_reading = False
        """Whether a turn is going on, in which batches to be sent are put by."""
        self.waiting: list[tuple[UdpMediaSocket, PacketBatch, Address]] = []
        """What is to be sent when the turn ends; no more than what it read, for each target."""
        self.readers = Readers()
        """What the sockets read with; they share the buffers."""
        self._pause: asyncio.TimerHandle | None = None
        self._has_warned = False
        self._is_dry = True
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def __len__(self) -> int:
        return len(self._sockets)

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
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
            self._check_granted(sock, receive_buffer)
            sock.bind(local)
            media = UdpMediaSocket(self, sock, on_batch)
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        except BaseException:
            sock.close()
            raise
        self._sockets[sock.fileno()] = media
        return media

    def forget(self, media: UdpMediaSocket) -> None:
        """Stop watching a socket that is about to close."""
        if self._sockets.pop(media.fileno(), None) is not None:
            self._epoll.unregister(media.fileno())

    def close(self) -> None:
        """Close every socket."""
        if self._epoll.closed:
            return
        for media in list(self._sockets.values()):
            media.close()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _check_granted(self, sock: socket.socket, wanted: int) -> None:
        # The kernel doubles what it grants, for its own accounting.
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        if granted < wanted and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "receive buffer of %d bytes granted, %d wanted: raise net.core.rmem_max",
                granted,
                wanted,
            )

    def _turn(self) -> None:
        self._drain()
        if self._is_dry and self._tick and not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._pause = self._loop.call_later(self._tick, self._resume)

    def _resume(self) -> None:
        """The tick is over: read on, or, when nothing came, have the loop watch again."""
        self._pause = None
        came = self._drain()
        if self._epoll.closed:
            return
        if came and self._is_dry:
            self._pause = self._loop.call_later(self._tick, self._resume)
        else:
            self._loop.add_reader(self._epoll.fileno(), self._turn)

    def _drain(self) -> int:
        """Read every socket that is ready; return how many were."""
        now, sockets, self._is_dry = self._loop.time(), self._sockets, True
        ready = self._epoll.poll(0, max(1, len(sockets)))
        self.is_reading = True
        try:
            for descriptor, _ in ready:
                media = sockets.get(descriptor)
                if media is not None and media.drain(now):
                    self._is_dry = False
        finally:
            self.is_reading = False
        # One after the other: sent in between, each would wake its receiver anew.
        self.send_waiting()
        return len(ready)

    def send_waiting(self) -> None:
        """Send what was put by."""
        waiting, self.waiting = self.waiting, []
        for media, batch, remote in waiting:
            media.send_now(batch, remote)


@lru_cache(maxsize=64)
def _segmented(size: int) -> list[tuple[int, int, bytes]]:
    """The ancillary data of a send in segments of ``size`` bytes."""
    return [(socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]
