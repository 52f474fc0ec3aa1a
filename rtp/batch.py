"""Many RTP packets in one buffer: what one turn read from a socket."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from .errors import RemoteProtocolError
from .nal import starts_with_key
from .packet import HEADER_SIZE, payload_bounds
from .strides import FIELDS, rows

try:  # the compiled build
    from ._native import join, rewrite, scan
except ImportError:
    from .strides import join, rewrite, scan

PACK_START: Final = b"\x00\x00\x01\xba"
_HEAD: Final = struct.Struct("!BBHII")
_LENGTH: Final = struct.Struct("!H")
_UNKNOWN: Final = -2


class Heads(NamedTuple):
    """The fixed headers of a batch, field by field: one entry for each packet."""

    firsts: tuple[int, ...]
    """Version, padding, extension and the count of contributing sources."""
    seconds: tuple[int, ...]
    """Marker and payload type."""
    numbers: tuple[int, ...]
    """Sequence numbers."""
    ticks: tuple[int, ...]
    """Timestamps."""
    sources: tuple[int, ...]
    """SSRCs."""


class Segment(NamedTuple):
    """Packets of a batch that one ``UDP_SEGMENT`` send can carry: all of one size, the last
    may be shorter.
    """

    first: int
    """Index into ``PacketBatch.bounds``."""
    packets: int
    """How many packets."""
    size: int
    """Bytes of each packet but the last."""
    contiguous: bool
    """Whether they follow each other in the buffer without a byte between."""


class PacketBatch:
    """RTP packets in one buffer, with where each lies. No object per packet.

    Args:
        data: The buffer.
        bounds: Offset and length of each packet; every one has its 12 bytes of header at least.
        received: When they came.
        stride: The distance between the beginnings of two packets, where it is the same for the
            first of them at least; 0 when it is not, or not known.
        lengths: The lengths in ``bounds``, where they are at hand.
        even: How many packets from the first on are ``stride`` apart; by default all.
    """

    is_framed = False
    """Whether the two length bytes of RFC 4571 stand before each packet, and nothing else
    between the packets."""
    is_borrowed = False
    """Whether the buffer is used again for the next read: valid during the call only."""
    is_spare = False
    """Whether nobody else looks at the buffer any more: it may be rewritten in place."""
    _heads: Heads | None = None
    _group: int = _UNKNOWN
    _is_read = False
    _is_rtp = False
    _is_plain = False
    _is_run = False
    _ssrc = -1
    _timestamp = -1
    _first_number = 0
    _last_number = 0
    _first_ticks = 0
    _last_ticks = 0
    _payload_type = -1

    def __init__(
        self,
        data: bytearray,
        bounds: list[tuple[int, int]] | None,
        received: float = 0.0,
        stride: int = 0,
        lengths: list[int] | None = None,
        even: int | None = None,
    ) -> None:
        self.data = data
        self.received = received
        self.stride = stride
        self.start = bounds[0][0] if bounds else 0
        """Where the first packet begins."""
        if lengths is None:
            lengths = [length for _, length in bounds or ()]
        self.lengths = lengths
        """Bytes of each packet."""
        self.size = 0
        """Bytes of all packets together."""
        for length in lengths:
            self.size += length
        self.even = (len(lengths) if even is None else even) if stride else 0
        """How many packets from the first on are ``stride`` apart."""
        self._bounds = bounds

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Offset and length of each packet."""
        if self._bounds is None:
            end = self.start + len(self.lengths) * self.stride
            self._bounds = list(zip(range(self.start, end, self.stride), self.lengths, strict=True))
        return self._bounds

    @property
    def heads(self) -> Heads:
        """The fixed headers by field, for whoever looks at each packet; read once."""
        if self._heads is None:
            fields: tuple[int, ...] = ()
            if self.even:
                fields = rows(self.stride, self.even).unpack_from(self.data, self.start)
            if self.even < len(self.lengths):
                read, data = _HEAD.unpack_from, self.data
                rest = [read(data, offset) for offset, _ in self.bounds[self.even :]]
                fields += tuple([field for head in rest for field in head])
            self._heads = Heads(*[fields[field::FIELDS] for field in range(FIELDS)])
        return self._heads

    @property
    def is_plain(self) -> bool:
        """Whether the payload of every packet is what follows its twelve bytes of header."""
        if not self._is_read:
            self._read()
        return self._is_plain

    @property
    def is_rtp(self) -> bool:
        """Whether every packet is RTP of version 2, and none RTCP."""
        if not self._is_read:
            self._read()
        return self._is_rtp

    @property
    def is_run(self) -> bool:
        """Whether the sequence numbers follow each other; false for a run that wraps."""
        if not self._is_read:
            self._read()
        return self._is_run

    @property
    def ssrc(self) -> int:
        """The source of all packets; -1 when they are of several, or there is none."""
        if not self._is_read:
            self._read()
        return self._ssrc

    @property
    def timestamp(self) -> int:
        """The timestamp of all packets; -1 when they have several, or there is none."""
        if not self._is_read:
            self._read()
        return self._timestamp

    @property
    def payload_type(self) -> int:
        """The payload type of all packets; -1 when they have several, or there is none."""
        if not self._is_read:
            self._read()
        return self._payload_type

    @property
    def first_number(self) -> int:
        """The sequence number of the first packet."""
        if not self._is_read:
            self._read()
        return self._first_number

    @property
    def last_number(self) -> int:
        """The sequence number of the last packet."""
        if not self._is_read:
            self._read()
        return self._last_number

    @property
    def first_ticks(self) -> int:
        """The timestamp of the first packet."""
        if not self._is_read:
            self._read()
        return self._first_ticks

    @property
    def last_ticks(self) -> int:
        """The timestamp of the last packet."""
        if not self._is_read:
            self._read()
        return self._last_ticks

    def _read(self) -> None:
        """Read the fixed headers, and see in one go what holds for all of them."""
        self._is_read = True
        count, even = len(self.lengths), self.even
        if not count:
            return
        (
            self._is_rtp, self._is_plain, self._is_run, self._ssrc, self._timestamp,
            self._first_number, self._last_number, self._first_ticks, self._last_ticks,
            self._payload_type,
        ) = scan(self.data, self.start, self.stride or HEADER_SIZE, even or 1)  # fmt: skip
        for index in range(even or 1, count):
            is_rtp, is_plain, _, ssrc, ticks, number, _, _, _, kind = scan(
                self.data, self.bounds[index][0], HEADER_SIZE, 1
            )
            self._is_rtp = self._is_rtp and is_rtp
            self._is_plain = self._is_plain and is_plain
            self._is_run = self._is_run and number == self._last_number + 1
            if ssrc != self._ssrc:
                self._ssrc = -1
            if ticks != self._timestamp:
                self._timestamp = -1
            if kind != self._payload_type:
                self._payload_type = -1
            self._last_number, self._last_ticks = number, ticks

    def packets(self) -> list[memoryview]:
        """Return a view of each packet; none may outlive a rewrite."""
        view = memoryview(self.data)
        return [view[offset : offset + length] for offset, length in self.bounds]

    def join(self, first: int) -> tuple[bytes, int, int, bool]:
        """Put the payloads of one frame's packets together, from packet ``first`` on.

        They have one timestamp, and none but the last a marker. A pack header behind a packet of
        another size than the first begins a part of its own. For a batch that ``is_plain``.

        Returns:
            The bytes, the index behind the last packet taken, its timestamp, and its marker.
        """
        return join(self.data, self.start, self.stride, self.lengths, self._bounds, first)

    def copy(self) -> PacketBatch:
        """Return a batch of its own buffer, for a further target or for later."""
        begin = max(0, self.start - _LENGTH.size)
        offset, length = self._last()
        return self._moved(self.data[begin : offset + length], begin)

    def own(self) -> PacketBatch:
        """Return a batch that stays as it is after the call: itself unless it is borrowed."""
        if not self.is_borrowed:
            return self
        kept = self.copy()
        kept._heads = None  # many may be kept, few are looked at again
        return kept

    def select(self, keep: list[bool]) -> PacketBatch:
        """Return a batch over the same buffer with only the packets marked in ``keep``."""
        bounds = [bound for bound, kept in zip(self.bounds, keep, strict=True) if kept]
        part = PacketBatch(self.data, bounds, self.received)
        part.is_borrowed = self.is_borrowed
        return part

    def from_index(self, index: int) -> PacketBatch:
        """Return a batch over the same buffer without the first ``index`` packets."""
        bounds = self.bounds[index:]
        even = max(0, self.even - index)
        rest = PacketBatch(self.data, bounds, self.received, self.stride if even else 0, even=even)
        rest.is_framed, rest.is_borrowed = self.is_framed, self.is_borrowed
        return rest

    def _last(self) -> tuple[int, int]:
        """Return the bound of the last packet."""
        if self._bounds is not None:
            return self._bounds[-1] if self._bounds else (0, 0)
        count = len(self.lengths)
        return self.start + (count - 1) * self.stride, self.lengths[-1]

    def _moved(self, data: bytearray, by: int) -> PacketBatch:
        """Return the same packets over ``data``, where they lie ``by`` bytes earlier."""
        bounds = self._bounds
        if by and bounds is not None:
            bounds = [(offset - by, length) for offset, length in bounds]
        other = PacketBatch(data, bounds, self.received, self.stride, self.lengths, self.even)
        other.start = self.start - by
        other.is_framed, other._group = self.is_framed, self._group
        if self._is_read:
            other._heads, other._is_read = self._heads, True
            other._is_rtp, other._is_plain = self._is_rtp, self._is_plain
            other._is_run, other._ssrc = self._is_run, self._ssrc
            other._timestamp, other._payload_type = self._timestamp, self._payload_type
            other._first_number, other._last_number = self._first_number, self._last_number
            other._first_ticks, other._last_ticks = self._first_ticks, self._last_ticks
        return other

    def rewrite(
        self,
        *,
        ssrc: int,
        sequence_offset: int,
        timestamp_offset: int,
        payload_type: int | None = None,
    ) -> None:
        """Write a new header into every packet in place; payload and marker stay.

        Args:
            ssrc: The source of every packet afterwards.
            sequence_offset: Added to each sequence number, modulo 2^16.
            timestamp_offset: Added to each timestamp, modulo 2^32.
            payload_type: The new one; None keeps it. Audio of a static type stands beside the
                stream and keeps its own.
        """
        kind = -1 if payload_type is None else payload_type
        if self.even:
            rewrite(
                self.data, self.start, self.stride, self.even,
                ssrc, sequence_offset, timestamp_offset, kind,
            )  # fmt: skip
        for index in range(self.even, len(self.lengths)):
            rewrite(
                self.data, self.bounds[index][0], HEADER_SIZE, 1,
                ssrc, sequence_offset, timestamp_offset, kind,
            )  # fmt: skip
        self._heads, self._is_read = None, False

    @property
    def starts_group(self) -> bool:
        """Whether a group of pictures begins in this batch."""
        return self.group_start() is not None

    def group_start(self) -> int | None:
        """Return the index of the first packet that begins a group of pictures.

        That is a payload that starts with a pack header followed by a system header or a stream
        map, or, in streams without those, by video that starts with parameter sets or a key
        picture.
        """
        if self._group == _UNKNOWN:
            self._group = self._find_group()
        return self._group if self._group >= 0 else None

    def _find_group(self) -> int:
        data = self.data
        even = self.even if self.is_plain else 0
        if even:
            # Only a payload whose fourth byte is that of a pack header can begin a group.
            place = self.start + HEADER_SIZE + 3
            column = data[place : place + even * self.stride : self.stride]
            index = column.find(0xBA)
            while index >= 0:
                offset = self.start + index * self.stride
                if self._begins_group(offset + HEADER_SIZE, offset + self.lengths[index]):
                    return index
                index = column.find(0xBA, index + 1)
            if even == len(self.lengths):
                return -1
        for index in range(even, len(self.bounds)):
            offset, length = self.bounds[index]
            start = offset + HEADER_SIZE
            if data[offset] & 0x3F:
                try:
                    start, _ = payload_bounds(data, offset, length)
                except RemoteProtocolError:
                    continue
            if self._begins_group(start, offset + length):
                return index
        return -1

    def _begins_group(self, start: int, end: int) -> bool:
        data = self.data
        is_pack = start + 4 <= end and data[start : start + 4] == PACK_START
        return is_pack and _is_group(data, start, end)

    def to_frames(self) -> bytes | memoryview:
        """Return the packets with their two length bytes, ready for one TCP write.

        Source: RFC 4571 section 2.
        """
        view = memoryview(self.data)
        if self.is_framed and self.lengths:
            offset, length = self._last()
            return view[self.start - _LENGTH.size : offset + length]
        pieces: list[bytes | memoryview] = []
        for offset, length in self.bounds:
            pieces.append(_LENGTH.pack(length))
            pieces.append(view[offset : offset + length])
        return b"".join(pieces)

    def segments(self, *, most: int = 46, most_bytes: int = 65_000) -> list[Segment]:
        """Group the packets, in order, for sends with ``UDP_SEGMENT``."""
        lengths, stride = self.lengths, self.stride
        bounds = [] if stride and self.even == len(lengths) else self.bounds
        count, index = len(lengths), 0
        found: list[Segment] = []
        while index < count:
            first, size = index, lengths[index]
            index += 1
            limit = min(count, first + most)
            if stride == size and stride * most <= most_bytes and not bounds:
                # Packets of the usual size lie without a byte between.
                while index < limit and lengths[index] == size:
                    index += 1
                if index < limit and lengths[index] < size:
                    index += 1
                found.append(Segment(first, index - first, size, True))
                continue
            if index == count or lengths[index] > size:
                found.append(Segment(first, 1, size, True))
                continue
            bounds = bounds or self.bounds
            total, contiguous = size, True
            end = bounds[first][0] + size
            while index < limit:
                offset, length = bounds[index]
                if length > size or total + length > most_bytes:
                    break
                contiguous = contiguous and offset == end
                total, end = total + length, offset + length
                index += 1
                if length < size:
                    break
            found.append(Segment(first, index - first, size, contiguous))
        return found


def _is_group(data: bytearray, start: int, end: int) -> bool:
    """Look behind the pack header at ``start``: system header, map, or a key picture."""
    place = start + 4
    if data[place : place + 3] != b"\x00\x00\x01":  # else a bare marker, seen in the field
        if end - start < 14:
            return False
        place = start + (14 + (data[start + 13] & 7) if data[place] >> 6 == 1 else 12)
    if place + 4 > end or data[place : place + 3] != b"\x00\x00\x01":
        return False
    code = data[place + 3]
    if code in (0xBB, 0xBC):
        return True
    if not 0xE0 <= code <= 0xEF or place + 9 > end:
        return False
    begin = place + 9 + data[place + 8]
    return starts_with_key(bytes(data[begin : min(end, begin + 256)]))
