"""Depacketizer: packets of one stream into access units."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import Enum
from typing import Final

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.batch import PACK_START, PacketBatch
from rtp.elementary import (
    PAYLOAD_TYPES,
    AacDepacketizer,
    G711Depacketizer,
    NalDepacketizer,
    sniff,
)
from rtp.errors import RtpError
from rtp.mpegps.demuxer import PsDemuxer
from rtp.mpegts import TsDemuxer, is_transport
from rtp.nal import nal_type, parameter_sets, picture_size
from rtp.packet import HEADER_SIZE, RtpPacket, parse
from rtp.reorder import ReorderBuffer

_AAC_TYPE: Final = 102
"""The payload type of AAC in the standard (2022 C.2)."""
_OTHER_TYPES: Final = frozenset(
    kind | marker for kind in (*PAYLOAD_TYPES, _AAC_TYPE) for marker in (0, 0x80)
)
_PRIVATE: Final = {
    b"IMKH": "Hikvision's private stream (IMKH)",
    b"DHAV": "Dahua's private stream (DHAV)",
}
_FOURTH: Final = HEADER_SIZE + 3
_PACK: Final = PACK_START[3]
_UNKNOWN_AFTER: Final = 500
"""Packets after which a payload that nothing tells is called unknown."""
_SETS_WITHIN: Final = 4096  # bytes; parameter sets come first
_SEQUENCE_SET: Final = {Codec.H264: 7, Codec.H265: 33}
_RATE_OVER: Final = 51
"""Video units over which the frame rate is taken."""


class Form(Enum):
    """What the payload is; the value is its name for people."""

    UNKNOWN = ""
    PS = "MPEG-PS"
    TS = "MPEG-TS"
    H264 = "H.264 without PS"
    H265 = "H.265 without PS"


class Depacketizer:
    """Turns admitted packets into access units: order first, then what the payload is. Pure.

    The payload is told by its content, not by its type, which is often wrong: a pack header, the
    sync bytes of a transport stream, or a sequence parameter set. Until then it is walked as a
    program stream and nothing is kept of it. G.711 and AAC of payload types of their own stand
    beside, or instead of, video.
    """

    def __init__(self, *, ordered: bool, may_jump: bool = False) -> None:
        self.gaps = 0
        self.malformed = 0
        self.form = Form.UNKNOWN
        self._reorder = ReorderBuffer(wait=0.0) if ordered else ReorderBuffer()
        self._demuxer: PsDemuxer | TsDemuxer | NalDepacketizer = PsDemuxer(may_jump=may_jump)
        self._audio: dict[int, G711Depacketizer | AacDepacketizer] = {}
        self._is_first = True
        self._untold = 0
        self._head = b""

    @property
    def repairs(self) -> dict[str, int]:
        """What the demultiplexer had to mend, by kind."""
        return {} if isinstance(self._demuxer, NalDepacketizer) else self._demuxer.repairs

    @property
    def payload(self) -> str:
        """What the payload is, in words; empty as long as that is open."""
        if self.form is not Form.UNKNOWN:
            return str(self.form.value)
        if self._head in _PRIVATE:
            return _PRIVATE[self._head]
        if self._untold < _UNKNOWN_AFTER:
            return ""
        return f"an unknown payload that begins with {self._head.hex(' ')}"

    def push(self, batch: PacketBatch, now: float) -> list[AccessUnit]:
        """Take admitted packets; return the units they complete."""
        heads = batch.heads
        if (
            batch.bounds
            and batch.is_plain
            and self.form is Form.PS
            and _OTHER_TYPES.isdisjoint(heads.seconds)
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
            while (
                seconds[end] < 0x80
                and end + 1 < count
                and ticks[end + 1] == timestamp
                and data[bounds[end + 1][0] + _FOURTH] != _PACK  # a pack is to be seen as one
            ):
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
            if packet.payload_type in PAYLOAD_TYPES or packet.payload_type == _AAC_TYPE:
                units += self._other_audio(packet, missing)
                continue
            if self.form is Form.UNKNOWN:
                self._tell(bytes(packet.payload))
            units += self._demuxer.push(
                packet.payload,
                timestamp=packet.timestamp,
                marker=packet.marker,
                missing=missing,
            )
        return units

    def _tell(self, payload: bytes) -> None:
        """Look what the payload is."""
        if payload[:3] == b"\x00\x00\x01" and payload[3:4] >= b"\xba":
            self.form = Form.PS
        elif is_transport(payload):
            self.form, self._demuxer = Form.TS, TsDemuxer()
        else:
            codec = sniff(payload)
            if codec is not None:
                self.form = Form.H264 if codec is Codec.H264 else Form.H265
                self._demuxer = NalDepacketizer(codec)
            elif self._untold < _UNKNOWN_AFTER:
                self._untold += 1
                if self._head not in _PRIVATE:
                    self._head = payload[:4]

    def _other_audio(self, packet: RtpPacket, missing: int) -> list[AccessUnit]:
        kind = packet.payload_type
        if kind not in self._audio:
            codec = PAYLOAD_TYPES.get(kind)
            self._audio[kind] = AacDepacketizer() if codec is None else G711Depacketizer(codec)
        return self._audio[kind].push(packet.payload, timestamp=packet.timestamp, missing=missing)

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
