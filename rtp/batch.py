"""Many RTP packets in one buffer: what one turn read from a socket."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from .errors import RemoteProtocolError
from .nal import starts_with_key
from .packet import HEADER_SIZE, RTCP_TYPES, payload_bounds

PACK_START: Final = b"\x00\x00\x01\xba"
_HEAD: Final = struct.Struct("!BBHII")
_REST: Final = struct.Struct("!BHII")
_LENGTH: Final = struct.Struct("!H")
_STRIDED_FROM: Final = 6  # below this many packets the slices cost more than they save
_UNKNOWN: Final = -2
_FIELDS: Final = 5
_RTCP_FIRST: Final = min(RTCP_TYPES)
_RTCP_LAST: Final = max(RTCP_TYPES)
_AUDIO_TYPES: Final = frozenset({0, 4, 8, 9, 18, 20})
"""Static payload types of audio (GB/T 28181-2016 and 2022 C.2)."""
_MOST: Final = 256
"""Packets of a batch that slices rewrite."""
_COUNTING: Final = bytes(range(256)) * (_MOST // 256 + 1)
_SAME: Final = [bytes((value,)) * _MOST for value in range(256)]


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
        size: Bytes of all packets together, where they were added up; else -1.
        fields: The five fields of every fixed header, one after the other, where they were read.
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

    def __init__(
        self,
        data: bytearray,
        bounds: list[tuple[int, int]] | None,
        received: float = 0.0,
        stride: int = 0,
        lengths: list[int] | None = None,
        even: int | None = None,
        size: int = -1,
        fields: tuple[int, ...] = (),
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
        self.size = sum(lengths) if size < 0 else size
        """Bytes of all packets together."""
        self.even = (len(lengths) if even is None else even) if stride else 0
        """How many packets from the first on are ``stride`` apart."""
        self._bounds = bounds
        self._fields = fields

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
        """The fixed headers by field, for whoever looks at each packet."""
        if self._heads is None:
            fields = self.fields
            self._heads = Heads(*(fields[field::_FIELDS] for field in range(_FIELDS)))
        return self._heads

    @property
    def fields(self) -> tuple[int, ...]:
        """The five fields of every fixed header, one after the other, read once."""
        if not self._is_read:
            self._read()
        return self._fields

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
    def first_number(self) -> int:
        """The sequence number of the first packet, which must be there."""
        return self.fields[2]

    @property
    def last_number(self) -> int:
        """The sequence number of the last packet, which must be there."""
        return self.fields[_FIELDS * len(self.lengths) - 3]

    def _read(self) -> None:
        """Read the fixed headers, and see in one go what holds for all of them."""
        self._is_read = True
        count = len(self.lengths)
        if not count:
            return
        fields = self._fields or self._read_fields(count)
        self._fields = fields
        first, ticks, source = fields[2], fields[3], fields[4]
        is_rtp = is_plain = is_run = True
        place = 0
        for number in range(first, first + count):
            version, kind = fields[place], fields[place + 1]
            if version != 0x80:
                is_plain = False
                if version >> 6 != 2:
                    is_rtp = False
            if _RTCP_FIRST <= kind <= _RTCP_LAST:
                is_rtp = False
            if fields[place + 2] != number:
                is_run = False
            if fields[place + 3] != ticks:
                ticks = -1
            if fields[place + 4] != source:
                source = -1
            place += _FIELDS
        self._is_rtp, self._is_plain, self._is_run = is_rtp, is_plain, is_run
        self._timestamp, self._ssrc = ticks, source

    def _read_fields(self, count: int) -> tuple[int, ...]:
        even = self.even
        fields: tuple[int, ...] = ()
        if even:
            fields = header_rows(self.stride, even).unpack_from(self.data, self.start)
        if even < count:
            read, data = _HEAD.unpack_from, self.data
            fields += tuple(
                [field for offset, _ in self.bounds[even:] for field in read(data, offset)]
            )
        return fields

    def packets(self) -> list[memoryview]:
        """Return a view of each packet; none may outlive a rewrite."""
        view = memoryview(self.data)
        return [view[offset : offset + length] for offset, length in self.bounds]

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
        kept._heads, kept._fields, kept._is_read = None, (), False  # few are looked at again
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
        other = PacketBatch(
            data, bounds, self.received, self.stride, self.lengths, self.even, self.size
        )
        other.start = self.start - by
        other.is_framed, other._group = self.is_framed, self._group
        if self._is_read:
            other._heads, other._fields, other._is_read = self._heads, self._fields, True
            other._is_rtp, other._is_plain = self._is_rtp, self._is_plain
            other._is_run, other._ssrc = self._is_run, self._ssrc
            other._timestamp = self._timestamp
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
        fields, even, index = self.fields, self.even, 0
        if _STRIDED_FROM <= even <= _MOST and self._is_run:
            self._rewrite_strided(ssrc, sequence_offset, timestamp_offset, payload_type)
            index = even
        count, place = len(self.lengths), index * _FIELDS
        bounds = self.bounds if even < count else None
        data, offset = self.data, self.start
        while index < count:
            second = fields[place + 1]
            if payload_type is not None and second & 0x7F != payload_type:
                second = _typed(second, payload_type)
            _REST.pack_into(
                data,
                (offset + index * self.stride if bounds is None else bounds[index][0]) + 1,
                second,
                fields[place + 2] + sequence_offset & 0xFFFF,
                fields[place + 3] + timestamp_offset & 0xFFFF_FFFF,
                ssrc,
            )
            index += 1
            place += _FIELDS
        self._heads, self._fields, self._is_read = None, (), False

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

    def _rewrite_strided(
        self, ssrc: int, sequence: int, timestamp: int, payload_type: int | None
    ) -> None:
        """Rewrite packets whose numbers follow each other by slices."""
        data, stride, fields = self.data, self.stride, self._fields
        count, start = self.even, self.start
        end = start + stride * (count - 1) + HEADER_SIZE
        if payload_type is not None:
            kind = payload_type
            seconds = fields[1::_FIELDS]
            if seconds.count(kind) + seconds.count(kind | 0x80) != len(seconds):
                kinds = bytes([_typed(second, kind) for second in seconds[:count]])
                data[start + 1 : end : stride] = kinds
        if sequence & 0xFFFF:
            first = fields[2] + sequence & 0xFFFF
            low = first & 0xFF
            data[start + 3 : end : stride] = _COUNTING[low : low + count]
            if low + count <= 256:
                data[start + 2 : end : stride] = _SAME[first >> 8][:count]
            else:
                numbers = range(first, first + count)
                data[start + 2 : end : stride] = bytes([n >> 8 & 0xFF for n in numbers])
        if timestamp & 0xFFFF_FFFF:
            stamps = [
                ticks + timestamp & 0xFFFF_FFFF
                for ticks in fields[3 : 3 + _FIELDS * count : _FIELDS]
            ]
            raw = struct.pack(f"!{count}I", *stamps)
            data[start + 4 : end : stride] = raw[0::4]
            data[start + 5 : end : stride] = raw[1::4]
            data[start + 6 : end : stride] = raw[2::4]
            data[start + 7 : end : stride] = raw[3::4]
        data[start + 8 : end : stride] = _SAME[ssrc >> 24][:count]
        data[start + 9 : end : stride] = _SAME[ssrc >> 16 & 0xFF][:count]
        data[start + 10 : end : stride] = _SAME[ssrc >> 8 & 0xFF][:count]
        data[start + 11 : end : stride] = _SAME[ssrc & 0xFF][:count]


@lru_cache(maxsize=512)
def header_rows(stride: int, count: int) -> struct.Struct:
    """The fixed headers of ``count`` packets, ``stride`` bytes apart."""
    return struct.Struct("!" + f"BBHII{stride - HEADER_SIZE}x" * (count - 1) + "BBHII")


def _typed(second: int, payload_type: int) -> int:
    """Put another payload type into the second byte of a header, unless it is audio."""
    return second if second & 0x7F in _AUDIO_TYPES else second & 0x80 | payload_type


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
