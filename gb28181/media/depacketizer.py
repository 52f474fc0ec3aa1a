"""Depacketizer: packets of one stream into access units."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Final

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.batch import PACK_START, PacketBatch
from rtp.elementary import (
    PAYLOAD_TYPES,
    AacDepacketizer,
    NalDepacketizer,
    SoundDepacketizer,
    sniff,
)
from rtp.errors import RtpError
from rtp.mpegps.demuxer import PsDemuxer
from rtp.mpegts import TsDemuxer, is_transport
from rtp.nal import nal_type, parameter_sets, picture_size
from rtp.packet import RtpPacket, parse
from rtp.reorder import ReorderBuffer

_AAC_TYPE: Final = 102
"""The payload type of AAC in the standard (2022 C.2)."""
_SOUND_TYPES: Final = frozenset({*PAYLOAD_TYPES, _AAC_TYPE})
_PRIVATE: Final = {
    b"IMKH": "Hikvision's private stream (IMKH)",
    b"DHAV": "Dahua's private stream (DHAV)",
}
_EARLY: Final = 8
"""Packets kept until the form is known: what comes before the sequence set belongs to it."""
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
    program stream and nothing is kept of it. Audio of payload types of its own stands beside, or
    instead of, video; it may have sequence numbers of its own, too. What comes with any other
    payload type than the stream's is left out and counted.
    """

    def __init__(self, *, ordered: bool, may_jump: bool = False) -> None:
        self.gaps = 0
        self.malformed = 0
        self.form = Form.UNKNOWN
        self._may_jump = may_jump
        self._reorder = ReorderBuffer(wait=0.0) if ordered else ReorderBuffer()
        self._demuxer: PsDemuxer | TsDemuxer | NalDepacketizer = PsDemuxer(may_jump=may_jump)
        self._audio: dict[int, SoundDepacketizer | AacDepacketizer] = {}
        self._types: frozenset[int] = frozenset()  # payload types of the stream
        self._beside: dict[int, _Numbers] = {}
        self._others: Counter[str] = Counter()
        self._make_order = partial(ReorderBuffer, wait=0.0) if ordered else ReorderBuffer
        self._is_first = True
        self._untold = 0
        self._head = b""
        self._early: deque[RtpPacket] = deque(maxlen=_EARLY)

    @property
    def repairs(self) -> dict[str, int]:
        """What the demultiplexer had to mend, by kind."""
        demuxer = self._demuxer
        mended = {} if isinstance(demuxer, NalDepacketizer) else demuxer.repairs
        return {**mended, **self._others}

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
        if (  # the usual case
            batch.is_run
            and batch.is_plain
            and self.form is Form.PS
            and batch.payload_type in self._types
            and self._reorder.pass_run(batch.first_number, len(batch.lengths))
        ):
            units = self._push_run(batch)
            return self._marked(units) if self._is_first else units
        units = []
        for data in batch.packets():
            try:
                packet = parse(data)
            except RtpError:
                self.malformed += 1
                continue
            if packet.payload_type in _SOUND_TYPES and packet.payload_type not in self._types:
                units += self._push_beside(packet, now)
            else:
                units += self._demultiplex(self._reorder.push(packet, now))
        return self._marked(units)

    def _push_beside(self, packet: RtpPacket, now: float) -> list[AccessUnit]:
        """Take audio of its own payload type: its numbers are those of the stream, or its own."""
        numbers = self._beside.setdefault(packet.payload_type, _Numbers())
        if numbers.order is None and self._types and self._reorder.is_far(packet.sequence_number):
            held, numbers.held = numbers.held, packet
            if held is None:
                return []  # the next one tells: numbers of its own follow each other
            if packet.sequence_number == held.sequence_number + 1 & 0xFFFF:
                numbers.order, numbers.held = self._make_order(), None
                return self._demultiplex(
                    numbers.order.push(held, now) + numbers.order.push(packet, now)
                )
        order = self._reorder if numbers.order is None else numbers.order
        return self._demultiplex(order.push(packet, now))

    def _orders(self) -> list[ReorderBuffer]:
        beside = [numbers.order for numbers in self._beside.values() if numbers.order is not None]
        return [self._reorder, *beside]

    def _push_run(self, batch: PacketBatch) -> list[AccessUnit]:
        """Take packets in order without a gap: those of a frame at once."""
        demuxer = self._demuxer
        assert isinstance(demuxer, PsDemuxer)
        units: list[AccessUnit] = []
        end, count = 0, len(batch.lengths)
        while end < count:
            payload, end, ticks, is_last = batch.join(end)
            units += demuxer.push(payload, timestamp=ticks, marker=is_last)
        return units

    def poll(self, now: float) -> list[AccessUnit]:
        """Give up what has been waited for too long; return what that sets free."""
        packets = [entry for order in self._orders() for entry in order.poll(now)]
        return self._marked(self._demultiplex(packets))

    def next_timeout(self) -> float | None:
        """When ``poll`` is due, or None."""
        if not self._beside:
            return self._reorder.next_timeout()
        due = [order.next_timeout() for order in self._orders()]
        return min((time for time in due if time is not None), default=None)

    def flush(self) -> list[AccessUnit]:
        """Return the unit that is still open, at the end."""
        packets = [entry for order in self._orders() for entry in order.flush()]
        return self._marked(self._demultiplex(packets) + self._demuxer.flush())

    def _demultiplex(self, packets: list[tuple[RtpPacket, int]]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        for packet, missing in packets:
            self.gaps += missing > 0
            kind = packet.payload_type
            is_known = kind in self._types and self.form is Form.PS
            if not is_known and not self._is_of_stream(packet):
                if kind in _SOUND_TYPES:
                    units += self._sound(packet, missing)
                else:
                    self._others["other_payload_type"] += 1
                continue
            found = self._demuxer.push(
                packet.payload,
                timestamp=packet.timestamp,
                marker=packet.marker,
                missing=missing,
            )
            if found and self.form is Form.UNKNOWN:  # no pack ever began with a packet
                self._settle(Form.PS, kind)
            units += found
        return units

    def _is_of_stream(self, packet: RtpPacket) -> bool:
        """Look what a payload is as long as that, or its type, is not known for sure."""
        kind, head = packet.payload_type, bytes(packet.payload[:4])
        if head == PACK_START and self.form is not Form.PS:
            # Sure enough to undo what was found before.
            self._demuxer = PsDemuxer(may_jump=self._may_jump)
            self._settle(Form.PS, kind)
        elif head == PACK_START:
            self._types |= {kind}
        elif kind in _SOUND_TYPES:
            return False
        elif self.form is Form.UNKNOWN:
            self._tell(packet)
            return self.form is Form.UNKNOWN or kind in self._types
        return kind in self._types

    def _settle(self, form: Form, kind: int) -> None:
        self.form = form
        if form is not Form.H265 and form is not Form.H264:
            self._early.clear()
        self._types = frozenset((kind,))

    def _tell(self, packet: RtpPacket) -> None:
        """Look what the payload is."""
        payload, kind = bytes(packet.payload), packet.payload_type
        if payload[:3] == b"\x00\x00\x01" and payload[3:4] >= b"\xba":
            self._settle(Form.PS, kind)
        elif is_transport(payload):
            self._settle(Form.TS, kind)
            self._demuxer = TsDemuxer()
        else:
            codec = sniff(payload)
            if codec is not None:
                self._settle(Form.H264 if codec is Codec.H264 else Form.H265, kind)
                self._begin_video(codec, packet.timestamp)
                return
            self._early.append(replace(packet, payload=payload))
            if self._untold < _UNKNOWN_AFTER:
                self._untold += 1
                if self._head not in _PRIVATE:
                    self._head = payload[:4]

    def _begin_video(self, codec: Codec, timestamp: int) -> None:
        """Take what came before the sequence set of a picture: a video set, a delimiter."""
        self._demuxer = NalDepacketizer(codec)
        for early in self._early:
            if early.timestamp == timestamp:
                self._demuxer.push(early.payload, timestamp=timestamp)
        self._early.clear()

    def _sound(self, packet: RtpPacket, missing: int) -> list[AccessUnit]:
        kind = packet.payload_type
        if kind not in self._audio:
            codec = PAYLOAD_TYPES.get(kind)
            self._audio[kind] = AacDepacketizer() if codec is None else SoundDepacketizer(codec)
        return self._audio[kind].push(packet.payload, timestamp=packet.timestamp, missing=missing)

    def _marked(self, units: list[AccessUnit]) -> list[AccessUnit]:
        if self._is_first and units:
            self._is_first = False
            units[0] = replace(units[0], is_discontinuous=True)
        return units


@dataclass(slots=True)
class _Numbers:
    """The sequence numbers of audio beside the stream."""

    order: ReorderBuffer | None = None
    """Its own order; None as long as its numbers are taken for those of the stream."""
    held: RtpPacket | None = None


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
