"""Many RTP packets in one buffer: what one turn read from a socket."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from functools import lru_cache
from sys import byteorder
from typing import NamedTuple

from .errors import RemoteProtocolError
from .nal import starts_with_key
from .packet import HEADER_SIZE, payload_bounds

PACK_START = b"\x00\x00\x01\xba"
_HEAD = struct.Struct("!BBHII")
_REST = struct.Struct("!BHII")
_LENGTH = struct.Struct("!H")
_STRIDED_FROM = 6  # below this many packets the slices cost more than they save
_UNKNOWN = -2


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
        stride: The distance between the beginnings of two packets where it is always the same;
            0 when it is not, or not known.
        lengths: The lengths in ``bounds``, where they are at hand.
    """

    __slots__ = (
        "_group", "_heads", "_is_plain", "_is_run", "_lengths", "bounds", "data", "is_framed",
        "received", "stride",
    )  # fmt: skip

    def __init__(
        self,
        data: bytearray,
        bounds: list[tuple[int, int]],
        received: float = 0.0,
        stride: int = 0,
        lengths: list[int] | None = None,
    ) -> None:
        self.data = data
        self.bounds = bounds
        self.received = received
        self.stride = stride
        self.is_framed = False
        """Whether the two length bytes of RFC 4571 stand before each packet, and nothing else
        between the packets."""
        self._heads: Heads | None = None
        self._lengths = lengths
        self._group = _UNKNOWN
        self._is_run = self._is_plain = False

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def lengths(self) -> list[int]:
        """Bytes of each packet."""
        if self._lengths is None:
            self._lengths = [length for _, length in self.bounds]
        return self._lengths

    @property
    def size(self) -> int:
        """Bytes of all packets together."""
        return sum(self._lengths or self.lengths)

    @property
    def heads(self) -> Heads:
        """The fixed headers, read once."""
        return self._heads or self._read_heads()

    @property
    def is_plain(self) -> bool:
        """Whether the payload of every packet is what follows its twelve bytes of header."""
        return self._is_plain if self._heads else self._read_heads() is not None and self._is_plain

    @property
    def is_run(self) -> bool:
        """Whether the sequence numbers follow each other; false for a run that wraps."""
        return self._is_run if self._heads else self._read_heads() is not None and self._is_run

    def _read_heads(self) -> Heads:
        data, bounds, stride = self.data, self.bounds, self.stride
        if not bounds:
            return Heads((), (), (), (), ())
        if stride and len(bounds) > 1:
            begin, end = bounds[0][0], bounds[-1][0]
            rows = list(_row(stride).iter_unpack(memoryview(data)[begin:end]))
            rows.append(_HEAD.unpack_from(data, end))
        else:
            read = _HEAD.unpack_from
            rows = [read(data, offset) for offset, _ in bounds]
        heads = self._heads = Heads._make(zip(*rows, strict=True))
        count, numbers = len(rows), heads[2]
        self._is_plain = heads[0].count(0x80) == count
        first = numbers[0]
        self._is_run = numbers[-1] == first + count - 1 and (
            count < 3 or numbers == tuple(range(first, first + count))
        )
        return heads

    def packets(self) -> list[memoryview]:
        """Return a view of each packet; none may outlive a rewrite."""
        view = memoryview(self.data)
        return [view[offset : offset + length] for offset, length in self.bounds]

    def copy(self) -> PacketBatch:
        """Return a batch of its own buffer, for a further target."""
        other = PacketBatch(
            bytearray(self.data), self.bounds, self.received, self.stride, self._lengths
        )
        other.is_framed, other._group = self.is_framed, self._group
        other._heads, other._is_run, other._is_plain = self._heads, self._is_run, self._is_plain
        return other

    def select(self, keep: list[bool]) -> PacketBatch:
        """Return a batch over the same buffer with only the packets marked in ``keep``."""
        bounds = [bound for bound, kept in zip(self.bounds, keep, strict=True) if kept]
        return PacketBatch(self.data, bounds, self.received)

    def from_index(self, index: int) -> PacketBatch:
        """Return a batch over the same buffer without the first ``index`` packets."""
        bounds = self.bounds[index:]
        rest = PacketBatch(self.data, bounds, self.received, self.stride)
        rest.is_framed = self.is_framed
        return rest

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
            payload_type: The new one; None keeps it.
        """
        heads, count = self.heads, len(self.bounds)
        is_even = count >= _STRIDED_FROM and self.stride > 0 and self.is_run
        if is_even and heads.ticks.count(heads.ticks[0]) == count:
            self._rewrite_strided(ssrc, sequence_offset, timestamp_offset, payload_type)
        else:
            write, data = _REST.pack_into, self.data
            keep, kind = (0xFF, 0) if payload_type is None else (0x80, payload_type)
            for (offset, _), second, number, ticks in zip(
                self.bounds, heads.seconds, heads.numbers, heads.ticks, strict=True
            ):
                write(
                    data,
                    offset + 1,
                    second & keep | kind,
                    number + sequence_offset & 0xFFFF,
                    ticks + timestamp_offset & 0xFFFF_FFFF,
                    ssrc,
                )
        self._heads = None

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
        data, bounds = self.data, self.bounds
        if self.stride and self.is_plain:
            # Only a payload whose fourth byte is that of a pack header can begin a group.
            place = bounds[0][0] + HEADER_SIZE + 3
            column = data[place : bounds[-1][0] + HEADER_SIZE + 4 : self.stride]
            index = column.find(0xBA)
            while index >= 0:
                offset, length = bounds[index]
                if self._begins_group(offset + HEADER_SIZE, offset + length):
                    return index
                index = column.find(0xBA, index + 1)
            return -1
        for index, (offset, length) in enumerate(bounds):
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

    def to_frames(self) -> bytes:
        """Return the packets with their two length bytes, ready for one TCP write.

        Source: RFC 4571 section 2.
        """
        view = memoryview(self.data)
        if self.is_framed and self.bounds:
            offset, length = self.bounds[-1]
            return bytes(view[self.bounds[0][0] - _LENGTH.size : offset + length])
        pieces: list[bytes | memoryview] = []
        for offset, length in self.bounds:
            pieces.append(_LENGTH.pack(length))
            pieces.append(view[offset : offset + length])
        return b"".join(pieces)

    def segments(self, *, most: int = 46, most_bytes: int = 65_000) -> Iterator[Segment]:
        """Group the packets, in order, for sends with ``UDP_SEGMENT``."""
        bounds, lengths, stride = self.bounds, self.lengths, self.stride
        count, index = len(lengths), 0
        found: list[Segment] = []
        while index < count:
            first, size = index, lengths[index]
            if stride == size and stride * most <= most_bytes:
                # Packets of the usual size lie without a byte between.
                limit = min(count, first + most)
                while index < limit and lengths[index] == size:
                    index += 1
                if index < limit and lengths[index] < size:
                    index += 1
                found.append(Segment(first, index - first, size, True))
                continue
            total, contiguous = size, True
            end = bounds[index][0] + size
            index += 1
            while index < count and index - first < most:
                offset, length = bounds[index]
                if length > size or total + length > most_bytes:
                    break
                contiguous = contiguous and offset == end
                total, end = total + length, offset + length
                index += 1
                if length < size:
                    break
            found.append(Segment(first, index - first, size, contiguous))
        return iter(found)

    def _rewrite_strided(
        self, ssrc: int, sequence: int, timestamp: int, payload_type: int | None
    ) -> None:
        """Rewrite a run of one timestamp by slices."""
        data, stride, heads = self.data, self.stride, self.heads
        count, offset = len(self.bounds), self.bounds[0][0]
        span = stride * (count - 1) + 1
        where = [slice(offset + at, offset + at + span, stride) for at in range(12)]
        if payload_type is not None:
            kind = payload_type
            if heads.seconds.count(kind) + heads.seconds.count(kind | 0x80) != count:
                data[where[1]] = bytes([second & 0x80 | kind for second in heads.seconds])
        if sequence & 0xFFFF:
            first = heads.numbers[0] + sequence & 0xFFFF
            if first + count <= 0x1_0000:
                numbers = array("H", range(first, first + count))
            else:
                numbers = array("H", [first + at & 0xFFFF for at in range(count)])
            if byteorder == "little":
                numbers.byteswap()
            raw = numbers.tobytes()
            data[where[2]], data[where[3]] = raw[::2], raw[1::2]
        if timestamp & 0xFFFF_FFFF:
            ticks = heads.ticks[0] + timestamp & 0xFFFF_FFFF
            for at, value in enumerate(ticks.to_bytes(4, "big"), 4):
                data[where[at]] = bytes((value,)) * count
        for at, value in enumerate(ssrc.to_bytes(4, "big"), 8):
            data[where[at]] = bytes((value,)) * count


@lru_cache(maxsize=64)
def _row(stride: int) -> struct.Struct:
    """The fixed header and what follows it up to the next packet."""
    return struct.Struct(f"!BBHII{stride - HEADER_SIZE}x")


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
