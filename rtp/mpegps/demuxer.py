"""Reads a program stream that came in RTP payloads."""

from __future__ import annotations

import re
from typing import Final

from ..access_unit import AccessUnit, Codec, MediaKind
from . import syntax
from .clock import Clock
from .tracks import AudioTrack, Shared, VideoTrack

MAX_FRAME: Final = 8 * 1024 * 1024
# How the open picture goes on without regard to lengths.
_NOT: Final = 0
_UNBOUNDED: Final = 1
_WRAPPED: Final = 2
# No NAL unit header has its first bit set, so these never stand inside H.264 or H.265.
_LONGEST_HEADER: Final = 1100  # a map has 1024 bytes at most (ISO/IEC 13818-1 clause 2.5.4.2)
_ANY_START: Final = re.compile(rb"\x00\x00\x01[\xba-\xef]")


class PsDemuxer:
    """Turns the ordered RTP payloads of one stream into access units.

    A picture is handed out when its sender marks the end and the PES lengths are satisfied, and
    otherwise when the next one begins. Nothing the peer sends raises an error: what is wrong is
    repaired and counted, or skipped. Holds at most one picture and one PES packet.

    Source: ISO/IEC 13818-1 clause 2.5 in the profile of GB/T 28181-2016 and 2022 Annex C.1.
    """

    def __init__(self, *, audio_hint: Codec | None = None, may_jump: bool = False) -> None:
        self._shared = Shared(clock=Clock(may_jump=may_jump))
        self._video = VideoTrack(self._shared)
        self._audio = AudioTrack(self._shared, audio_hint)
        self._buffer = bytearray()
        self._need = 0
        self._is_synced = False
        self._unit_timestamp = 0
        self._timestamp = 0
        self._map: dict[int, int] = {}
        self._ids: dict[MediaKind, int] = {}
        self._seen: set[int] = set()
        self._begins_pack = False
        self._has_headers = False
        self._runs_on = _NOT
        self._extra = 0
        self._is_foreign = False
        self._after_video = False

    @property
    def video_codec(self) -> Codec | None:
        """The codec of the video, once known."""
        return self._video.codec

    @property
    def audio_codec(self) -> Codec | None:
        """The codec of the audio, once known."""
        return self._audio.codec

    @property
    def repairs(self) -> dict[str, int]:
        """What was wrong in the stream and how often."""
        return self._shared.repairs

    def push(
        self,
        payload: bytes | memoryview,
        *,
        timestamp: int,
        marker: bool = False,
        missing: int = 0,
    ) -> list[AccessUnit]:
        """Take one RTP payload, in order; return the units it completes.

        Args:
            payload: Any cut of the stream.
            timestamp: Of its RTP packet.
            marker: Of its RTP packet.
            missing: How many packets before this one are lost.
        """
        units: list[AccessUnit] = []
        if missing:
            units += self._break()
        buffer = self._buffer
        if buffer or self._runs_on:
            is_pack = payload[:4] == syntax.PACK_START
            if is_pack and (timestamp != self._timestamp or self._is_in_video()):
                # A PES packet without a length, or one that claims more than its pack holds.
                if not self._runs_on and self._is_synced:
                    self._count("padding" if _is_padding(buffer) else "pes_too_long")
                units += self._end_early()
        self._timestamp = timestamp
        units += self._append(payload, timestamp)
        if marker and self._video.trusts_marker and self._is_synced:
            if self._runs_on:
                self._video.extend(self._buffer)
                self._extra += len(self._buffer)
                self._buffer = bytearray()
                self._stop_running_on()
            if not self._buffer:
                units += self._video.end_by_marker()
        return units

    def _is_in_video(self) -> bool:
        """Whether the unfinished unit is video of a codec in which no pack start can stand."""
        buffer = self._buffer
        if self._runs_on or not self._is_synced or len(buffer) < 9:
            return False
        is_video = buffer.startswith(syntax.START) and syntax.VIDEO <= buffer[3] <= 0xEF
        return is_video and self._video.codec in _WITHOUT_PACKS

    def flush(self) -> list[AccessUnit]:
        """Return what is left, at the end of the stream; a part of a PES packet is damaged."""
        units = self._end_early(is_damage=True) if self._buffer else []
        return units + self._video.finish(is_last=True)

    def _break(self) -> list[AccessUnit]:
        """Packets are missing here: hand out what there is of the picture, seek the next pack."""
        is_whole = not self._buffer and not self._runs_on and self._is_synced
        units = self._end_early()
        if is_whole:
            self._video.lose()
        else:
            self._video.damage()
        units += self._video.finish(is_last=True)
        self._lose_sync()
        return units

    def _lose_sync(self) -> None:
        self._is_synced = False
        self._runs_on = _NOT
        self._need = 0
        self._begins_pack = self._has_headers = self._after_video = False
        self._video.interrupt()
        self._audio.interrupt()

    def _end_early(self, *, is_damage: bool = False) -> list[AccessUnit]:
        """Take the unfinished unit in the buffer as far as it came; empty the buffer."""
        buffer, self._buffer, self._need = self._buffer, bytearray(), 0
        units: list[AccessUnit] = []
        if self._runs_on:
            self._video.extend(buffer)
            self._extra += len(buffer)
            self._stop_running_on()
            return units
        if self._is_synced and len(buffer) >= 9 and buffer.startswith(syntax.START):
            is_video = self._kind_of(buffer[3]) is MediaKind.VIDEO
            if is_video and syntax.read_pes_header(buffer, 0, len(buffer)).is_sound:
                units = self._take_pes(buffer, 0, len(buffer), self._unit_timestamp)
        if is_damage and not _is_padding(buffer):
            self._video.damage()
        return units

    def _walk(self, held: int, timestamp: int) -> list[AccessUnit]:
        """Parse what the buffer holds; keep the unfinished rest.

        Args:
            held: How many bytes were there before this payload; what begins in them has the
                timestamp of an earlier one.
            timestamp: Of this payload.
        """
        units: list[AccessUnit] = []
        buffer, place, size = self._buffer, 0, len(self._buffer)
        self._need = 0
        while place < size:
            place, is_at_unit = self._approach(place)
            if not is_at_unit:
                break
            end = self._unit_end(place)
            if end > size:
                self._need = end - place
                break
            if end == place:
                place, is_decided = self._recover(place)
                if not is_decided:
                    break
                continue
            stamp = timestamp if place >= held else self._unit_timestamp
            units += self._take(buffer, place, end, stamp)
            place = end
            if len(self._video) > MAX_FRAME:
                self._drop_oversize()
        if place >= held:
            self._unit_timestamp = timestamp
        del buffer[:place]
        if len(self._video) > MAX_FRAME:
            self._drop_oversize()
        return units

    def _append(self, payload: bytes | memoryview, timestamp: int) -> list[AccessUnit]:
        """Parse a payload, and what was left before it, as far as it goes; keep the rest."""
        units: list[AccessUnit] = []
        if self._is_synced and not self._buffer and not self._runs_on:
            taken = self._walk_whole(payload, timestamp, units)
            payload = payload[taken:] if taken else payload
        if payload:
            held = len(self._buffer)
            self._buffer += payload
            if len(self._buffer) >= self._need:
                units += self._walk(held, timestamp)
        return units

    def _walk_whole(
        self, payload: bytes | memoryview, timestamp: int, units: list[AccessUnit]
    ) -> int:
        """Take the whole units at the front of a payload, as long as nothing needs a repair.

        Returns:
            Where the first unit begins that is not whole, or not as it should be.
        """
        data = payload if isinstance(payload, bytes) else bytes(payload)
        place, size = 0, len(data)
        while place + 14 <= size and data[place : place + 3] == syntax.START:
            code = data[place + 3]
            if code == syntax.PACK:
                if data[place + 4] >> 6 != 0b01:
                    break
                end = place + 14 + (data[place + 13] & 7)
            else:
                length = data[place + 4] << 8 | data[place + 5]
                if code <= syntax.PACK or not length:
                    break
                end = place + 6 + length
                if code in _HEADERS and data[end : end + 3] != syntax.START:
                    break
            if end > size:
                break
            units += self._take(data, place, end, timestamp)
            place = end
            if len(self._video) > MAX_FRAME:
                self._drop_oversize()
                break
        self._unit_timestamp = timestamp
        return place

    def _approach(self, place: int) -> tuple[int, bool]:
        """Go on to where a unit may begin; return that place and whether it can be looked at."""
        if self._runs_on:
            place = self._run_on(place)
            if self._runs_on:
                return place, False
        elif not self._is_synced:
            place = self._seek(place)
            if not self._is_synced:
                return place, False
        return place, len(self._buffer) - place >= 6 or self._is_short(place)

    def _drop_oversize(self) -> None:
        self._count("oversize")
        self._video.drop()
        self._lose_sync()

    def _is_short(self, place: int) -> bool:
        """Whether fewer than six bytes are enough: an end code, a pack start, or no start code."""
        buffer = self._buffer
        if len(buffer) - place < 4:
            return False
        return buffer[place + 3] <= syntax.PACK or buffer[place : place + 3] != syntax.START

    def _unit_end(self, place: int) -> int:
        """Return where the unit ends; ``place`` itself when there is no unit.

        Past the buffer when bytes are missing.
        """
        buffer = self._buffer
        if buffer[place : place + 3] != syntax.START:
            return place
        code = buffer[place + 3]
        if code == syntax.PACK:
            size = syntax.pack_header_size(buffer, place)
            return place + (14 if size is None else size)
        if code == syntax.END:
            return place + 4
        if code < syntax.END:
            return place
        length = buffer[place + 4] << 8 | buffer[place + 5]
        if length == 0 and syntax.VIDEO <= code <= 0xEF:
            return place + 9 + (buffer[place + 8] if len(buffer) - place > 8 else 0)
        end = place + 6 + length
        return self._header_end(place, end) if code in _HEADERS else end

    def _header_end(self, place: int, end: int) -> int:
        """Return where a system header or map ends: its length, unless no start code is there."""
        buffer = self._buffer
        if buffer[end : end + 3] == syntax.START[: max(0, len(buffer) - end)]:
            return end
        found = _ANY_START.search(buffer, place + 6, place + _LONGEST_HEADER)
        if found is None or (end > len(buffer) and found.start() + 9 > len(buffer)):
            return end
        self._count("header_length")
        return found.start()

    def _seek(self, place: int) -> int:
        """Look for a pack header; bytes before it are dropped."""
        buffer = self._buffer
        found = buffer.find(syntax.PACK_START, place)
        if found < 0:
            kept = max(place, len(buffer) - 3)
            if kept > place:
                self._video.interrupt()
            return kept
        if found > place:
            self._count("resync")
            self._video.interrupt()
        self._is_synced = True
        return found

    def _recover(self, place: int) -> tuple[int, bool]:
        """There is no start code where one should be.

        Returns:
            Where to go on, and whether the bytes there are enough to do so now.
        """
        buffer, size = self._buffer, len(self._buffer)
        zeros = place
        while zeros < size and buffer[zeros] == 0:
            zeros += 1
        if zeros == size:
            return max(place, size - 3), False
        if zeros - place > 2 and buffer[zeros] == 1:
            if zeros + 1 == size:
                return place, False
            if buffer[zeros + 1] >= syntax.END:
                self._count("padding")
                return zeros - 2, True
        if buffer[place] == 0xFF:
            behind = size - len(buffer[place:].lstrip(b"\xff"))
            if behind + 4 > size and buffer[behind:] == syntax.START[: size - behind]:
                return place, False
            if buffer[behind : behind + 3] == syntax.START and buffer[behind + 3] >= syntax.END:
                self._count("padding")
                return behind, True
        if self._after_video:
            # The length was wrong, perhaps for want of a 17th bit: go on to the next start code.
            # Where nearly one stands, that is what is wrong, and what follows is no picture; where
            # one stands in what was taken, the length was too long.
            there = zip(buffer[place : place + 3], syntax.START, strict=False)
            is_near = sum(one == other for one, other in there) > 1
            self._is_foreign = (
                is_near and buffer[place + 3 : place + 4] >= b"\xb9"
            ) or _ANY_START.search(self._video.last_part) is not None
            self._runs_on, self._extra = _WRAPPED, 0
        else:
            self._video.damage()
            self._is_synced = False
            self._audio.interrupt()
        return place, True

    def _run_on(self, place: int) -> int:
        """Append to the open picture up to the next start code of the program stream."""
        buffer = self._buffer
        found = _ANY_START.search(buffer, place)
        end = found.start() if found else max(place, len(buffer) - 3)
        self._video.extend(buffer[place:end])
        self._extra += end - place
        if found:
            self._stop_running_on()
        return end

    def _stop_running_on(self) -> None:
        if self._runs_on == _WRAPPED:
            if self._extra % 65_536 == 0:
                self._count("pes_length_wrapped")
            else:
                self._count("pes_length")
                if self._is_foreign:
                    self._video.damage()
        self._runs_on, self._after_video = _NOT, False

    def _take(
        self, buffer: bytes | bytearray, place: int, end: int, timestamp: int
    ) -> list[AccessUnit]:
        """Take one whole unit."""
        code = buffer[place + 3]
        self._after_video = False
        if code == syntax.PACK:
            if end - place == 4:
                self._count("bare_pack")
            self._begins_pack, self._has_headers = True, False
        elif code == syntax.SYSTEM:
            self._has_headers = True
        elif code == syntax.MAP:
            self._has_headers = True
            return self._take_map(buffer, place, end)
        elif code != syntax.END:
            return self._take_pes(buffer, place, end, timestamp)
        return []

    def _take_map(self, buffer: bytes | bytearray, place: int, end: int) -> list[AccessUnit]:
        streams, is_sound = syntax.read_map(buffer, place, end)
        if not is_sound:
            self._count("map")
        units: list[AccessUnit] = []
        if not streams:
            return units
        self._map = streams
        for kind, track in ((MediaKind.VIDEO, self._video), (MediaKind.AUDIO, self._audio)):
            for stream_id, stream_type in streams.items():
                codec = syntax.STREAM_TYPES.get(stream_type)
                if codec is not None and codec.kind is kind:
                    self._ids[kind] = stream_id
                    units += track.declare(codec)
                    break
        return units

    def _take_pes(
        self, buffer: bytes | bytearray, place: int, end: int, timestamp: int
    ) -> list[AccessUnit]:
        kind = self._kind_of(buffer[place + 3])
        if kind is None:
            if buffer[place + 3] in _PRIVATE:
                self._count("private")
            return []
        header = syntax.read_pes_header(buffer, place, end)
        if not header.is_sound:
            self._count("pes_header")
        if isinstance(buffer, bytes):
            payload = buffer[place + header.size : end]
        else:
            with memoryview(buffer) as view:  # released: the buffer must be free to shrink
                payload = bytes(view[place + header.size : end])
        if kind is MediaKind.AUDIO:
            return self._audio.add(header, payload, timestamp)
        units = self._video.add(
            header,
            payload,
            timestamp,
            begins_pack=self._begins_pack,
            has_headers=self._has_headers,
        )
        self._begins_pack = self._has_headers = False
        self._after_video = True
        if not (buffer[place + 4] or buffer[place + 5]):
            self._count("pes_unbounded")
            self._runs_on = _UNBOUNDED
        return units

    def _kind_of(self, stream_id: int) -> MediaKind | None:
        """Choose the track of a stream: by the map, else by the range of its id."""
        codec = syntax.STREAM_TYPES.get(self._map.get(stream_id, -1))
        if codec is not None:
            kind = codec.kind
        elif syntax.AUDIO <= stream_id < syntax.VIDEO:
            kind = MediaKind.AUDIO
        elif syntax.VIDEO <= stream_id <= 0xEF:
            kind = MediaKind.VIDEO
        else:
            return None
        # One stream of a kind: a declared one, else the first that comes.
        chosen = self._ids.get(kind)
        if chosen != stream_id and (chosen is None or chosen not in self._seen):
            self._ids[kind] = chosen = stream_id
        self._seen.add(stream_id)
        return kind if chosen == stream_id else None

    def _count(self, repair: str) -> None:
        self._shared.repairs[repair] += 1


# No pack start code stands in these.
_WITHOUT_PACKS: Final = frozenset({Codec.H264, Codec.H265, Codec.MPEG4})
_HEADERS: Final = frozenset({syntax.SYSTEM, syntax.MAP})
_PRIVATE: Final = frozenset({0xBD, 0xBF})  # private streams 1 and 2


def _is_padding(data: bytearray) -> bool:
    """Whether there are only zeros or ones, as some senders put between packs."""
    return not data.strip(b"\0") or not data.strip(b"\xff")
