"""Depacketizer: packets of one stream into access units."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.batch import PacketBatch
from rtp.errors import RtpError
from rtp.mpegps.demuxer import PsDemuxer
from rtp.nal import nal_type, parameter_sets, picture_size
from rtp.packet import HEADER_SIZE, RtpPacket, parse
from rtp.reorder import ReorderBuffer
from rtp.sequence import Unwrapper

_RAW_AUDIO = {0: Codec.PCMU, 8: Codec.PCMA}
"""Static payload types (RFC 3551 table 4) that stand beside, or instead of, a program stream."""
_RAW_TYPES = frozenset(kind | marker for kind in _RAW_AUDIO for marker in (0, 0x80))
_SETS_WITHIN = 4096  # bytes; parameter sets come first
_SEQUENCE_SET = {Codec.H264: 7, Codec.H265: 33}
_RATE_OVER = 51
"""Video units over which the frame rate is taken."""


class Depacketizer:
    """Turns admitted packets into access units: order first, then the program stream. Pure."""

    def __init__(self, *, ordered: bool, may_jump: bool = False) -> None:
        self.gaps = 0
        self.malformed = 0
        self._reorder = ReorderBuffer(wait=0.0) if ordered else ReorderBuffer()
        self._demuxer = PsDemuxer(may_jump=may_jump)
        self._audio_clock = Unwrapper(32)
        self._is_first = True

    @property
    def repairs(self) -> dict[str, int]:
        """What the demultiplexer had to mend, by kind."""
        return self._demuxer.repairs

    def push(self, batch: PacketBatch, now: float) -> list[AccessUnit]:
        """Take admitted packets; return the units they complete."""
        heads = batch.heads
        if (
            batch.bounds
            and batch.is_plain
            and _RAW_TYPES.isdisjoint(heads.seconds)
            and batch.is_run
            and self._reorder.pass_run(heads.numbers[0], len(heads.numbers))
        ):
            return self._marked(self._push_run(batch))
        units: list[AccessUnit] = []
        for data in batch.packets():
            try:
                packet = parse(data)
            except RtpError:
                self.malformed += 1
                continue
            units += self._demultiplex(self._reorder.push(packet, now))
        return self._marked(units)

    def _push_run(self, batch: PacketBatch) -> list[AccessUnit]:
        """Take packets in order without a gap: those of a frame at once."""
        heads, data = batch.heads, memoryview(batch.data)
        bounds, seconds, ticks = batch.bounds, heads.seconds, heads.ticks
        units: list[AccessUnit] = []
        first, count = 0, len(bounds)
        push = self._demuxer.push
        while first < count:
            timestamp, end = ticks[first], first
            while seconds[end] < 0x80 and end + 1 < count and ticks[end + 1] == timestamp:
                end += 1
            end += 1
            payload = b"".join(
                [
                    data[offset + HEADER_SIZE : offset + length]
                    for offset, length in bounds[first:end]
                ]
            )
            units += push(payload, timestamp=timestamp, marker=seconds[end - 1] >= 0x80)
            first = end
        return units

    def poll(self, now: float) -> list[AccessUnit]:
        """Give up what has been waited for too long; return what that sets free."""
        return self._marked(self._demultiplex(self._reorder.poll(now)))

    def next_timeout(self) -> float | None:
        """When ``poll`` is due, or None."""
        return self._reorder.next_timeout()

    def flush(self) -> list[AccessUnit]:
        """Return the unit that is still open, at the end."""
        return self._marked(self._demultiplex(self._reorder.flush()) + self._demuxer.flush())

    def _demultiplex(self, packets: list[tuple[RtpPacket, int]]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        for packet, missing in packets:
            self.gaps += missing > 0
            if packet.payload_type in _RAW_AUDIO:
                units.append(self._raw_audio(packet))
                continue
            units += self._demuxer.push(
                packet.payload,
                timestamp=packet.timestamp,
                marker=packet.marker,
                missing=missing,
            )
        return units

    def _raw_audio(self, packet: RtpPacket) -> AccessUnit:
        at = self._audio_clock.unwrap(packet.timestamp) * 90_000 // 8_000
        codec = _RAW_AUDIO[packet.payload_type]
        data = bytes(packet.payload)
        return AccessUnit(codec=codec, data=data, pts=at, dts=at, is_key=True)

    def _marked(self, units: list[AccessUnit]) -> list[AccessUnit]:
        if self._is_first and units:
            self._is_first = False
            units[0] = replace(units[0], is_discontinuous=True)
        return units


class Picture:
    """What the units show."""

    def __init__(self) -> None:
        self.video: Codec | None = None
        self.audio: Codec | None = None
        self.frames = 0
        self.damaged = 0
        self.size: tuple[int, int] | None = None
        self._sets: list[bytes] = []
        self._times: deque[int] = deque(maxlen=_RATE_OVER)  # older ones fall out

    @property
    def rate(self) -> float | None:
        """Pictures a second, over the last two seconds or so."""
        if len(self._times) < 2 or self._times[-1] <= self._times[0]:
            return None
        return (len(self._times) - 1) * 90000 / (self._times[-1] - self._times[0])

    def note(self, unit: AccessUnit) -> None:
        """Take one unit into account."""
        self.damaged += unit.is_damaged
        if unit.kind is MediaKind.AUDIO:
            self.audio = unit.codec
            return
        self.frames += 1
        self.video = unit.codec
        if unit.is_discontinuous:
            self._times.clear()
        self._times.append(unit.dts)
        if unit.is_key and not unit.is_damaged:
            self._note_size(unit)

    def _note_size(self, unit: AccessUnit) -> None:
        sets = parameter_sets(unit.codec, unit.data[:_SETS_WITHIN])
        if sets == self._sets:
            return
        self._sets = sets
        for unit_of_sets in sets:
            if nal_type(unit.codec, unit_of_sets) == _SEQUENCE_SET.get(unit.codec):
                self.size = picture_size(unit.codec, unit_of_sets) or self.size
