"""Many RTP packets in one buffer: what one turn read from a socket."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from sys import byteorder
from typing import NamedTuple

from .errors import RemoteProtocolError
from .nal import starts_with_key
from .packet import HEADER_SIZE, payload_bounds

PACK_START = b"\x00\x00\x01\xba"
_FIELDS = struct.Struct("!HII")
_LENGTH = struct.Struct("!H")
_STRIDED_FROM = 4  # below this many packets the slices cost more than they save


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
    """RTP packets in one buffer, with where each lies. No object per packet."""

    __slots__ = ("bounds", "data", "received")

    def __init__(
        self, data: bytearray, bounds: list[tuple[int, int]], received: float = 0.0
    ) -> None:
        self.data = data
        self.bounds = bounds
        self.received = received

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def size(self) -> int:
        """Bytes of all packets together."""
        return sum(length for _, length in self.bounds)

    def packets(self) -> list[memoryview]:
        """Return a view of each packet; none may outlive a rewrite."""
        view = memoryview(self.data)
        return [view[offset : offset + length] for offset, length in self.bounds]

    def copy(self) -> PacketBatch:
        """Return a batch of its own buffer, for a further target."""
        return PacketBatch(bytearray(self.data), list(self.bounds), self.received)

    def select(self, keep: list[bool]) -> PacketBatch:
        """Return a batch over the same buffer with only the packets marked in ``keep``."""
        bounds = [bound for bound, kept in zip(self.bounds, keep, strict=True) if kept]
        return PacketBatch(self.data, bounds, self.received)

    def from_index(self, index: int) -> PacketBatch:
        """Return a batch over the same buffer without the first ``index`` packets."""
        return PacketBatch(self.data, self.bounds[index:], self.received)

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
        if payload_type is not None:
            data = self.data
            for offset, _ in self.bounds:
                data[offset + 1] = data[offset + 1] & 0x80 | payload_type
        for offset, stride, count in self._strides():
            if count < _STRIDED_FROM or not self._rewrite_strided(
                offset, stride, count, ssrc, sequence_offset, timestamp_offset
            ):
                self._rewrite_each(offset, stride, count, ssrc, sequence_offset, timestamp_offset)

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
        data = self.data
        for index, (offset, length) in enumerate(self.bounds):
            start = offset + HEADER_SIZE
            if data[offset] & 0x3F:
                try:
                    start, _ = payload_bounds(data, offset, length)
                except RemoteProtocolError:
                    continue
            if data[start : start + 4] == PACK_START and _is_group(data, start, offset + length):
                return index
        return None

    def to_frames(self) -> bytes:
        """Return the packets with their two length bytes, ready for one TCP write.

        Source: RFC 4571 section 2.
        """
        view = memoryview(self.data)
        pieces: list[bytes | memoryview] = []
        for offset, length in self.bounds:
            pieces.append(_LENGTH.pack(length))
            pieces.append(view[offset : offset + length])
        return b"".join(pieces)

    def segments(self, *, most: int = 46, most_bytes: int = 65_000) -> Iterator[Segment]:
        """Group the packets, in order, for sends with ``UDP_SEGMENT``."""
        bounds, index = self.bounds, 0
        while index < len(bounds):
            first, size = index, bounds[index][1]
            total, contiguous = size, True
            end = bounds[index][0] + size
            index += 1
            while index < len(bounds) and index - first < most:
                offset, length = bounds[index]
                if length > size or total + length > most_bytes:
                    break
                contiguous = contiguous and offset == end
                total, end = total + length, offset + length
                index += 1
                if length < size:
                    break
            yield Segment(first, index - first, size, contiguous)

    def _strides(self) -> Iterator[tuple[int, int, int]]:
        """Runs of packets at equal distances: first offset, distance, count."""
        bounds, index = self.bounds, 0
        while index < len(bounds):
            first, stride, count = bounds[index][0], HEADER_SIZE, 1
            if index + 1 < len(bounds):
                stride = bounds[index + 1][0] - first
                place = first + stride
                while index + count < len(bounds) and bounds[index + count][0] == place:
                    count += 1
                    place += stride
            yield first, stride, count
            index += count

    def _rewrite_each(
        self, offset: int, stride: int, count: int, ssrc: int, sequence: int, timestamp: int
    ) -> None:
        data = self.data
        for place in range(offset + 2, offset + 2 + stride * count, stride):
            number, ticks, _ = _FIELDS.unpack_from(data, place)
            _FIELDS.pack_into(
                data, place, number + sequence & 0xFFFF, ticks + timestamp & 0xFFFF_FFFF, ssrc
            )

    def _rewrite_strided(
        self, offset: int, stride: int, count: int, ssrc: int, sequence: int, timestamp: int
    ) -> bool:
        """Rewrite a run by slices; False when its timestamps differ and nothing was done."""
        data, span = self.data, stride * (count - 1) + 1
        where = [slice(offset + at, offset + at + span, stride) for at in range(12)]
        for at in range(4, 8):
            column = data[where[at]]
            if column.count(column[0]) != count:
                return False
        if timestamp:
            ticks = int.from_bytes(data[offset + 4 : offset + 8], "big") + timestamp & 0xFFFF_FFFF
            for at, value in enumerate(ticks.to_bytes(4, "big"), 4):
                data[where[at]] = bytes((value,)) * count
        if sequence:
            numbers = array(
                "H",
                [
                    (high << 8 | low) + sequence & 0xFFFF
                    for high, low in zip(data[where[2]], data[where[3]], strict=True)
                ],
            )
            if byteorder == "little":
                numbers.byteswap()
            raw = numbers.tobytes()
            data[where[2]], data[where[3]] = raw[::2], raw[1::2]
        for at, value in enumerate(ssrc.to_bytes(4, "big"), 8):
            data[where[at]] = bytes((value,)) * count
        return True


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
