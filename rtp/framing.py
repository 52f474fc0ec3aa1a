"""RTP over TCP: the two length bytes before each packet."""

from __future__ import annotations

import struct
from typing import Final

from .errors import FramingLost, LocalProtocolError

_LENGTH: Final = struct.Struct("!H")
_SMALLEST: Final = 8  # an RTCP receiver report without blocks
_EHOME_PREFIX: Final = 256
_TRUSTED: Final = 3  # frames after which the SSRC of the first is believed
_UNKNOWN: Final = 0  # styles: the bytes before each packet
_PLAIN: Final = 2
_INTERLEAVED: Final = 4
_MANY: Final = 4  # frames of one length that are worth looking at together


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
        self.rest = b""
        """What is left of the last call: the beginning of a frame."""
        self.stride = 0
        """How far the first packets of the last call are apart, where that is always the same."""
        self.even = 0
        """How many packets that holds for."""
        self._ssrc: bytes | None = None
        self._style = _UNKNOWN
        self._searched = 0
        self._frames = 0
        self._prefix = ""
        self._next_even = 0

    @property
    def oddity(self) -> str:
        """What is unusual about the frames: ``ehome``, ``interleaved``, or empty."""
        return "interleaved" if self._style == _INTERLEAVED else self._prefix

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
        buffer = bytearray(self.rest)
        buffer += data
        return buffer, self.cut_buffer(buffer, len(buffer))

    def cut_buffer(self, buffer: bytearray, end: int) -> list[tuple[int, int]]:
        """Cut the first ``end`` bytes of a buffer, which begin with ``rest``.

        Returns:
            Offset and length of each packet.

        Raises:
            FramingLost: As in ``push``; packets before the loss in the same call are dropped.
        """
        bounds: list[tuple[int, int]] = []
        place = self.stride = self.even = 0
        if self._style == _UNKNOWN:
            place = self._detect(buffer, end)
        if self._style != _UNKNOWN:
            is_bounded = not self._searched
            while True:
                if is_bounded:
                    place, is_bounded = self._walk(buffer, place, end, bounds)
                    if is_bounded:
                        if bounds and place == end:
                            self._frames = _TRUSTED  # it ended where a frame did: no chance
                        break
                if self._frames + len(bounds) < _TRUSTED:
                    self._ssrc = None  # what looked like a frame was none: it began in a packet
                place, is_bounded = self._search(buffer, place, end)
                if not is_bounded:
                    break
        self._frames += len(bounds)
        self.rest = bytes(memoryview(buffer)[place:end]) if place < end else b""
        return bounds

    def _detect(self, buffer: bytearray, end: int) -> int:
        """Choose the style by the first bytes, once they are enough to tell."""
        if end < 6:
            return 0
        place = 0
        if buffer[:2] == b"\x01\x00" and buffer[2] and buffer[2] >> 6 != 2:
            if end < _EHOME_PREFIX + 6:
                return 0
            place = _EHOME_PREFIX
            self._prefix = "ehome"
        # 0x24xx is also a length that RFC 4571 allows: the version decides.
        if buffer[place] == 0x24 and buffer[place + 2] >> 6 != 2 and buffer[place + 4] >> 6 == 2:
            self._style = _INTERLEAVED
        else:
            self._style = _PLAIN
        return place

    def _walk(
        self, buffer: bytearray, place: int, end: int, bounds: list[tuple[int, int]]
    ) -> tuple[int, bool]:
        """Collect whole frames; return where it ended and whether that is a boundary."""
        prefix = self._style
        while place + prefix < end:
            start = place + prefix
            length = buffer[start - 2] << 8 | buffer[start - 1]
            if length == 0:
                place = start
                continue
            first = buffer[start]
            if length < _SMALLEST or first >> 6 != 2 or (prefix > 2 and buffer[place] != 0x24):
                return place, False
            if start + length > end:
                break
            if self._ssrc is None and length >= 12 and not 200 <= buffer[start + 1] <= 204:
                self._ssrc = bytes(buffer[start + 8 : start + 12])
            if first == 0x80 and end - place > _MANY * length:
                place = self._walk_equal(buffer, place, end, length, bounds)
                continue
            bounds.append((start, length))
            if self.even and len(bounds) == self.even + 1 and start == self._next_even:
                self.even += 1  # the last of a frame is shorter, but where it is to be expected
            place = start + length
        return place, True

    def _walk_equal(
        self, buffer: bytearray, place: int, end: int, length: int, bounds: list[tuple[int, int]]
    ) -> int:
        """Collect the frames of one length that begin at ``place``; return where they end."""
        prefix = self._style
        stride = prefix + length
        count = (end - place) // stride
        stop = place + count * stride
        # What every frame begins with, column by column: the length, and a plain RTP header.
        at = place + prefix
        count = _leading(buffer[at - 2 : stop : stride], length >> 8, count)
        count = _leading(buffer[at - 1 : stop : stride], length & 0xFF, count)
        count = _leading(buffer[at:stop:stride], 0x80, count)
        if prefix > 2:
            count = _leading(buffer[place:stop:stride], 0x24, count)
        if not bounds:
            self.stride, self.even, self._next_even = stride, count, at + count * stride
        bounds += [(start, length) for start in range(at, at + count * stride, stride)]
        return place + count * stride

    def _search(self, buffer: bytearray, place: int, end: int) -> tuple[int, bool]:
        """Look for a boundary; return where it ended and whether it was found.

        A frame counts when it looks like RTP of our source and another follows it; without the
        bytes to see that, the search goes on at the same place with the next ones.
        """
        prefix, begin = self._style, place
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
        start = place + self._style
        if buffer[start] >> 6 != 2 or buffer[start - 2] << 8 | buffer[start - 1] < 12:
            return False
        if self._style == _INTERLEAVED and buffer[place] != 0x24:
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


def _leading(column: bytearray, value: int, count: int) -> int:
    """Count the entries at the front that have this value, ``count`` at most."""
    front = column[:count]  # what lies behind may have the value by chance
    if front.count(value) == count:
        return count
    return len(front) - len(front.lstrip(bytes((value,))))
