"""Cuts video into pictures where PES packets do not begin with one."""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from ..access_unit import Codec
from .syntax import PesHeader

_START: Final = b"\x00\x00\x01"
_MOST_MARKS: Final = 4096
_H264_BEFORE: Final = frozenset({6, 7, 8, 9, 13, 14, 15, 16, 17, 18})
_H265_BEFORE: Final = frozenset({32, 33, 34, 35, 39, *range(41, 45), *range(48, 56)})


class Part(Enum):
    """What a unit of the video means for where pictures begin."""

    BEGINS = "begins"
    """Picture data, the first of a picture."""
    BEFORE = "before"
    """No picture data; stands before that of the picture it belongs to."""
    OTHER = "other"
    """Everything else: it belongs to the picture it comes after."""


class Cut:
    """A picture, and the header of the PES packet that it is the first to begin in."""

    __slots__ = ("data", "header", "timestamp")

    def __init__(self, data: bytes, header: PesHeader | None, timestamp: int) -> None:
        self.data = data
        self.header = header
        self.timestamp = timestamp


class PictureCutter:
    """Cuts the payloads of video PES packets into pictures, wherever these begin.

    For streams of general multiplexers: a PES packet holds the end of one picture and the beginning
    of the next, or several pictures. Its time stamp is that of the first picture that begins in it.

    Source: ISO/IEC 13818-1 clause 2.4.3.7 (PTS); ITU-T H.264 clause 7.4.1.2.3, ITU-T H.265 clause
    7.4.2.4.4, ISO/IEC 14496-2 clause 6.2.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._data = bytearray()
        self._place = 0
        self._first = -1  # where the picture begins; -1 before one does
        self._has_picture = False
        self._marks: deque[tuple[int, PesHeader, int]] = deque(maxlen=_MOST_MARKS)

    def __len__(self) -> int:
        return len(self._data)

    def push(self, data: bytes, header: PesHeader | None, timestamp: int) -> list[Cut]:
        """Take the payload of a PES packet; return the pictures that it shows to be complete."""
        if header is not None:
            self._marks.append((len(self._data), header, timestamp))
        self._data += data
        cuts: list[Cut] = []
        while True:
            found = self._data.find(_START, self._place)
            if found < 0:
                self._place = max(self._place, len(self._data) - 2)
                return cuts
            if found + 6 > len(self._data):  # what follows is needed to tell
                self._place = found
                return cuts
            self._place = found + 3
            part = part_of(self.codec, self._data, found + 3)
            if part is Part.OTHER:
                continue
            if self._has_picture or self._first < 0:
                cut = self._cut(found)
                if cut is not None:
                    cuts.append(cut)
            self._has_picture = part is Part.BEGINS

    def flush(self) -> Cut | None:
        """Return what there is of the last picture; None when it has no picture data."""
        has_picture = self._has_picture
        cut = self._cut(len(self._data))
        self.clear()
        return cut if has_picture else None

    def clear(self) -> None:
        """Forget everything: what comes next is looked through for where a picture begins."""
        self._data.clear()
        self._marks.clear()
        self._place, self._first, self._has_picture = 0, -1, False

    def _cut(self, end: int) -> Cut | None:
        """End the picture before the start code at ``end``; the next begins there."""
        if self._data[end - 1 : end] == b"\0" and end < len(self._data):
            end -= 1
        cut = None
        if self._first >= 0:
            header, timestamp = self._mark_of(self._first)
            cut = Cut(bytes(self._data[self._first : end]), header, timestamp)
        del self._data[:end]
        self._place -= end
        self._first = 0
        self._marks = deque(
            ((place - end, header, ticks) for place, header, ticks in self._marks), _MOST_MARKS
        )
        return cut

    def _mark_of(self, place: int) -> tuple[PesHeader | None, int]:
        """The PES header that stamps the picture at ``place``: no other began in that packet."""
        header, timestamp = None, 0
        while self._marks and self._marks[0][0] <= place:
            _, header, timestamp = self._marks.popleft()
        if header is not None:  # for the pictures after it only the time of the packet is left
            bare = PesHeader(stream_id=header.stream_id, size=header.size)
            self._marks.appendleft((place, bare, timestamp))
        return header, timestamp


def part_of(codec: Codec, data: bytes | bytearray, place: int) -> Part:
    """Tell what begins behind the start code that ends at ``place``; three bytes must be there."""
    first = data[place]
    if codec is Codec.MPEG4:
        if first == 0xB6:
            return Part.BEGINS
        return Part.BEFORE if first < 0x30 or first in (0xB0, 0xB3, 0xB5) else Part.OTHER
    if codec is Codec.H265:
        kind, is_base = first >> 1 & 0x3F, not first & 1 and data[place + 1] < 8
        if kind <= 31:
            return Part.BEGINS if is_base and data[place + 2] > 0x7F else Part.OTHER
        return Part.BEFORE if kind in _H265_BEFORE else Part.OTHER
    kind = first & 0x1F
    if kind in (1, 2, 5):
        return Part.BEGINS if data[place + 1] > 0x7F else Part.OTHER
    return Part.BEFORE if kind in _H264_BEFORE else Part.OTHER


def holds_several(codec: Codec, data: bytes) -> bool:
    """Whether more than one picture, or field of one, begins in ``data``."""
    seen, place = 0, data.find(_START)
    while 0 <= place < len(data) - 5:
        seen += part_of(codec, data, place + 3) is Part.BEGINS
        if seen > 1:
            return True
        place = data.find(_START, place + 3)
    return False
