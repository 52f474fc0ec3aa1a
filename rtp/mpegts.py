"""MPEG transport streams, which some senders put into RTP in place of a program stream."""

from __future__ import annotations

from collections import Counter
from typing import Final

from .access_unit import AccessUnit, MediaKind
from .mpegps import syntax
from .mpegps.demuxer import MAX_FRAME
from .mpegps.tracks import AudioTrack, Shared, VideoTrack

SIZE: Final = 188
_SYNC: Final = 0x47
_MOST_PROGRAMS: Final = 16


class TsDemuxer:
    """Turns ordered RTP payloads of transport stream packets into access units.

    Takes the first video and the first audio stream of the first program map. A picture is handed
    out when the next one begins. Nothing the peer sends raises an error.

    Source: ISO/IEC 13818-1 clauses 2.4.3 and 2.4.4; RFC 2250 section 2.
    """

    def __init__(self) -> None:
        self._shared = Shared()
        self._video = VideoTrack(self._shared)
        self._audio = AudioTrack(self._shared, None)
        self._maps: set[int] = set()
        self._kinds: dict[int, MediaKind] = {}
        self._open: dict[int, bytearray] = {}
        self._counts: dict[int, int] = {}
        self._ready: list[AccessUnit] = []  # what a new map ended, for the next payload

    @property
    def repairs(self) -> Counter[str]:
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
        """Take one RTP payload: whole transport packets.

        Args:
            payload: Some times 188 bytes; what does not begin with the sync byte is skipped.
            timestamp: Of its RTP packet.
            marker: Of its RTP packet; says nothing here.
            missing: How many packets before this one are lost.
        """
        if missing:
            self._lose()
        data, units, self._ready = bytes(payload), self._ready, list[AccessUnit]()
        for place in range(0, len(data) - SIZE + 1, SIZE):
            if data[place] != _SYNC:
                self._shared.repairs["sync"] += 1
                continue
            units += self._take(data[place : place + SIZE], timestamp)
        return units

    def flush(self) -> list[AccessUnit]:
        """Return what is still open, at the end."""
        units, self._ready = self._ready, []
        for pid in list(self._open):
            units += self._finish(pid, 0)
        return units + self._video.finish(is_last=True)

    def _take(self, packet: bytes, timestamp: int) -> list[AccessUnit]:
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        control = packet[3] >> 4 & 3
        start = 4 + (1 + packet[4] if control & 2 else 0)
        if not control & 1 or start >= SIZE or packet[1] & 0x80:
            return []
        begins, body = bool(packet[1] & 0x40), packet[start:]
        if pid == 0 or pid in self._maps:
            if begins:
                self._read_table(pid, body)
            return []
        if pid not in self._kinds:
            return []
        self._check(pid, packet[3] & 0x0F)
        units = self._finish(pid, timestamp) if begins else []
        if begins:
            self._open[pid] = bytearray(body)
        elif pid in self._open:
            self._open[pid] += body
            if len(self._open[pid]) > MAX_FRAME:
                self._shared.repairs["oversize"] += 1
                del self._open[pid]
        return units

    def _check(self, pid: int, count: int) -> None:
        before = self._counts.get(pid)
        self._counts[pid] = count
        if before is not None and count not in (before, before + 1 & 0x0F):
            self._shared.repairs["continuity"] += 1
            self._lose()

    def _lose(self) -> None:
        self._open.clear()
        self._counts.clear()
        self._video.damage()
        self._video.interrupt()
        self._audio.interrupt()

    def _finish(self, pid: int, timestamp: int) -> list[AccessUnit]:
        """Hand on the PES packet of a stream."""
        data = self._open.pop(pid, b"")
        if len(data) < 9 or data[:3] != syntax.START:
            return []
        header = syntax.read_pes_header(data, 0, len(data))
        payload = bytes(data[header.size :])
        if self._kinds[pid] is MediaKind.AUDIO:
            return self._audio.add(header, payload, timestamp)
        return self._video.add(header, payload, timestamp, begins_pack=True, has_headers=False)

    def _read_table(self, pid: int, body: bytes) -> None:
        """Read a program association or a program map that fits one packet."""
        table = body[1 + body[0] :]
        if len(table) < 12:
            return
        end = min(3 + ((table[1] & 0x0F) << 8 | table[2]), len(table)) - 4
        if pid == 0 and table[0] == 0:
            for place in range(8, end - 3, 4):
                number = table[place] << 8 | table[place + 1]
                if number and len(self._maps) < _MOST_PROGRAMS:
                    self._maps.add((table[place + 2] & 0x1F) << 8 | table[place + 3])
        elif table[0] == 2:
            self._read_map(table, end)

    def _read_map(self, table: bytes, end: int) -> None:
        place = 12 + ((table[10] & 0x0F) << 8 | table[11])
        kinds: dict[int, MediaKind] = {}
        while place + 5 <= end:
            codec = syntax.STREAM_TYPES.get(table[place])
            pid = (table[place + 1] & 0x1F) << 8 | table[place + 2]
            if codec is not None and codec.kind not in kinds.values():
                kinds[pid] = codec.kind
                track = self._video if codec.kind is MediaKind.VIDEO else self._audio
                self._ready += track.declare(codec)
            place += 5 + ((table[place + 3] & 0x0F) << 8 | table[place + 4])
        if kinds and kinds != self._kinds:
            self._kinds = kinds
            self._open.clear()


def is_transport(payload: bytes) -> bool:
    """Whether a payload is whole transport packets."""
    return (
        len(payload) >= SIZE
        and len(payload) % SIZE == 0
        and payload[0::SIZE].count(_SYNC) == len(payload) // SIZE
    )
