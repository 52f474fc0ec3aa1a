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
                        if bounds and place == end and bounds[-1][0] > len(self.rest):
                            # What was read at once is a whole frame at its end: no chance.
                            self._frames = _TRUSTED
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
            if not self._is_ours(buffer, start, length, end):
                return place, False
            if first == 0x80 and end - place > _MANY * length:
                place = self._walk_equal(buffer, place, end, length, bounds)
                continue
            bounds.append((start, length))
            if self.even and len(bounds) == self.even + 1 and start == self._next_even:
                self.even += 1  # the last of a frame is shorter, but where it is to be expected
            place = start + length
        return place, True

    def _is_ours(self, buffer: bytearray, start: int, length: int, end: int) -> bool:
        """Whether a frame is of our source; the first one says which that is.

        Another source is believed when the frame behind this one is of it, too, or of ours.
        """
        if length < 12 or 200 <= buffer[start + 1] <= 204:
            return True
        if self._ssrc is not None and buffer.startswith(self._ssrc, start + 8):
            return True
        source = bytes(buffer[start + 8 : start + 12])
        if self._ssrc is not None:
            following = start + length + self._style
            if not self._is_confirmed(buffer, start, following, end):
                return False
            if not buffer.startswith(source, following + 8):
                return True  # one between ours
        self._ssrc = source
        return True

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
        bytes to see that, the search goes on at the same place with the next ones. As long as
        nothing is sure, it looks for both styles: the connection began within a packet.
        """
        begin = place
        is_found = False
        if not self._searched:
            self.resyncs += 1
        is_open = self._frames < _TRUSTED and self._ssrc is None
        styles = (_INTERLEAVED, _PLAIN) if is_open else (self._style,)
        while place + styles[0] + 12 <= end and not is_found:
            is_boundary = place == begin and self._searched <= 1
            verdicts = [self._judge(buffer, place, end, style, is_boundary) for style in styles]
            if True in verdicts:
                is_found, self._style = True, styles[verdicts.index(True)]
            elif None in verdicts:
                break
            else:
                place += 1
        self.skipped += place - begin
        self._searched += place - begin
        if is_found:
            self._searched = 0
        elif self._searched > self._max_resync:
            raise FramingLost(f"no RTP frame in {self._searched} bytes of the TCP stream")
        else:
            self._searched = self._searched or 1
        return place, is_found

    def _is_confirmed(self, buffer: bytearray, start: int, following: int, end: int) -> bool:
        """Whether what lies behind a frame is one of our source, or of the frame's own."""
        if following + 12 > end or buffer[following] >> 6 != 2:
            return False
        at = following + (4 if 200 <= buffer[following + 1] <= 204 else 8)
        source = bytes(buffer[at : at + 4])
        return source == self._ssrc or buffer.startswith(source, start + 8)

    def _judge(
        self, buffer: bytearray, place: int, end: int, style: int, is_boundary: bool
    ) -> bool | None:
        """Say whether a frame begins here; None when the bytes to tell have yet to come.

        Args:
            buffer: What was read.
            place: Where the frame would begin, with its length.
            end: Of what was read.
            style: The bytes before the packet.
            is_boundary: Whether the frame before ended here: it may be of another source then.
        """
        if not self._is_frame(buffer, place, style):
            return False
        start = place + style
        following = start + (buffer[start - 2] << 8 | buffer[start - 1]) + style
        is_ours = self._ssrc is not None and buffer.startswith(self._ssrc, start + 8)
        if following + 12 > end:
            return None if is_ours or is_boundary or self._ssrc is None else False
        if is_ours:
            return buffer[following] >> 6 == 2
        may_be = is_boundary or self._ssrc is None
        return may_be and self._is_confirmed(buffer, start, following, end)

    def _is_frame(self, buffer: bytearray, place: int, style: int) -> bool:
        start = place + style
        if buffer[start] >> 6 != 2 or buffer[start - 2] << 8 | buffer[start - 1] < 12:
            return False
        return style != _INTERLEAVED or buffer[place] == 0x24


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
