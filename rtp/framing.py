"""RTP over TCP: the two length bytes before each packet."""

from __future__ import annotations

import struct
from enum import Enum

from .errors import FramingLost, LocalProtocolError

_LENGTH = struct.Struct("!H")
_SMALLEST = 8  # an RTCP receiver report without blocks
_EHOME_PREFIX = 256
_TRUSTED = 3  # frames after which the SSRC of the first is believed
_MANY = 4  # frames of one length that are worth looking at together


class Deframer:
    """Cuts a TCP byte stream into RTP and RTCP packets.

    Also reads the ``$ channel length`` frames of RTSP and skips the 256 bytes that some devices
    put before the first frame; both are told by the first bytes of the connection.

    Source: RFC 4571 section 2.
    """

    def __init__(self, *, max_resync: int = 262_144) -> None:
        self.resyncs = 0
        """How often the frame boundary was lost and searched for."""
        self.skipped = 0
        """Bytes dropped in those searches."""
        self._max_resync = max_resync
        self._rest = b""
        self._ssrc: bytes | None = None
        self._style = _Style.UNKNOWN
        self._searched = 0
        self._frames = 0
        self._prefix = ""

    @property
    def oddity(self) -> str:
        """What is unusual about the frames: ``ehome``, ``interleaved``, or empty."""
        return "interleaved" if self._style is _Style.INTERLEAVED else self._prefix

    def push(self, data: bytes) -> list[bytes]:
        """Take bytes as they came from the socket; return the packets they complete.

        Args:
            data: Any number of bytes, from any point of the stream.

        Returns:
            Packets without their length prefix, in order. Zero-length frames are dropped.

        Raises:
            FramingLost: The frame boundary was lost and not found again within ``max_resync``
                bytes. Shorter losses are resynchronised and counted.
        """
        buffer, bounds = self.cut(data)
        return [bytes(buffer[offset : offset + length]) for offset, length in bounds]

    def cut(self, data: bytes) -> tuple[bytearray, list[tuple[int, int]]]:
        """Do as ``push``, but return one buffer and where in it the packets lie.

        Raises:
            FramingLost: As in ``push``; packets before the loss in the same call are dropped.
        """
        buffer = bytearray(self._rest)
        buffer += data
        bounds: list[tuple[int, int]] = []
        place = 0
        if self._style is _Style.UNKNOWN:
            place = self._detect(buffer)
        if self._style is not _Style.UNKNOWN:
            is_bounded = not self._searched
            while True:
                if is_bounded:
                    place, is_bounded = self._walk(buffer, place, bounds)
                    if is_bounded:
                        if bounds and place == len(buffer):
                            self._frames = _TRUSTED  # it ended where a frame did: no chance
                        break
                if self._frames + len(bounds) < _TRUSTED:
                    self._ssrc = None  # what looked like a frame was none: it began in a packet
                place, is_bounded = self._search(buffer, place)
                if not is_bounded:
                    break
        self._frames += len(bounds)
        self._rest = bytes(memoryview(buffer)[place:])
        return buffer, bounds

    def _detect(self, buffer: bytearray) -> int:
        """Choose the style by the first bytes, once they are enough to tell."""
        if len(buffer) < 6:
            return 0
        place = 0
        if buffer[:2] == b"\x01\x00" and buffer[2] and buffer[2] >> 6 != 2:
            if len(buffer) < _EHOME_PREFIX + 6:
                return 0
            place = _EHOME_PREFIX
            self._prefix = "ehome"
        # 0x24xx is also a length that RFC 4571 allows: the version decides.
        if buffer[place] == 0x24 and buffer[place + 2] >> 6 != 2 and buffer[place + 4] >> 6 == 2:
            self._style = _Style.INTERLEAVED
        else:
            self._style = _Style.PLAIN
        return place

    def _walk(
        self, buffer: bytearray, place: int, bounds: list[tuple[int, int]]
    ) -> tuple[int, bool]:
        """Collect whole frames; return where it ended and whether that is a boundary."""
        prefix, end = self._style.value, len(buffer)
        head = prefix - 2
        size = 0
        while place + prefix < end:
            start = place + prefix
            length = buffer[start - 2] << 8 | buffer[start - 1]
            if length == 0:
                place = start
                continue
            if length < _SMALLEST or buffer[start] >> 6 != 2 or (head and buffer[place] != 0x24):
                return place, False
            if start + length > end:
                break
            bounds.append((start, length))
            if self._ssrc is None and length >= 12 and not 200 <= buffer[start + 1] <= 204:
                self._ssrc = bytes(buffer[start + 8 : start + 12])
            place = start + length
            if length == size and end - place > _MANY * length:
                place = self._walk_equal(buffer, place, length, bounds)
            size = length
        return place, True

    def _walk_equal(
        self, buffer: bytearray, place: int, length: int, bounds: list[tuple[int, int]]
    ) -> int:
        """Collect the frames of one length that follow at ``place``; return where they end."""
        prefix = self._style.value
        stride = prefix + length
        count = (len(buffer) - place) // stride
        # What every frame begins with, column by column: the length, and a plain RTP header.
        columns = [(prefix - 2, length >> 8), (prefix - 1, length & 0xFF), (prefix, 0x80)]
        if prefix > 2:
            columns.append((0, 0x24))
        stop = place + count * stride
        for at, value in columns:
            column = buffer[place + at : stop : stride]
            count = min(count, len(column) - len(column.lstrip(bytes((value,)))))
        first = place + prefix
        bounds += [(first + index * stride, length) for index in range(count)]
        return place + count * stride

    def _search(self, buffer: bytearray, place: int) -> tuple[int, bool]:
        """Look for a boundary; return where it ended and whether it was found.

        A frame counts when it looks like RTP of our source and another follows it; without the
        bytes to see that, the search goes on at the same place with the next ones.
        """
        prefix, end, begin = self._style.value, len(buffer), place
        is_found = False
        if not self._searched:
            self.resyncs += 1
            place += 1
        while place + prefix + 12 <= end:
            if self._is_frame(buffer, place):
                start = place + prefix
                following = start + (buffer[start - 2] << 8 | buffer[start - 1]) + prefix
                if following >= end or (self._ssrc is None and following + 12 > end):
                    break
                if buffer[following] >> 6 == 2 and self._is_same(buffer, start, following):
                    is_found = True
                    break
            place += 1
        self.skipped += place - begin
        self._searched += place - begin
        if is_found:
            self._searched = 0
        elif self._searched > self._max_resync:
            raise FramingLost(f"no RTP frame in {self._searched} bytes of the TCP stream")
        return place, is_found

    def _is_same(self, buffer: bytearray, start: int, following: int) -> bool:
        """Whether two packets are of one source, as long as ours is not known."""
        if self._ssrc is not None:
            return True
        return buffer[start + 8 : start + 12] == buffer[following + 8 : following + 12]

    def _is_frame(self, buffer: bytearray, place: int) -> bool:
        start = place + self._style.value
        if buffer[start] >> 6 != 2 or buffer[start - 2] << 8 | buffer[start - 1] < 12:
            return False
        if self._style is _Style.INTERLEAVED and buffer[place] != 0x24:
            return False
        return self._ssrc is None or buffer[start + 8 : start + 12] == self._ssrc


def frame(packet: bytes) -> bytes:
    """Put the two length bytes before a packet.

    Raises:
        LocalProtocolError: The packet is longer than 65 535 bytes.
    """
    if len(packet) > 0xFFFF:
        raise LocalProtocolError(f"packet of {len(packet)} bytes does not fit a frame")
    return _LENGTH.pack(len(packet)) + packet


class _Style(Enum):
    """How frames begin; the value is the number of bytes before the packet."""

    UNKNOWN = 0
    PLAIN = 2
    INTERLEAVED = 4
