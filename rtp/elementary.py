"""Payloads that are not a program stream: video and audio straight in RTP."""

from __future__ import annotations

from typing import Final

from . import nal
from .access_unit import AccessUnit, Codec
from .sequence import Unwrapper

PAYLOAD_TYPES: dict[int, Codec] = {
    0: Codec.PCMU,
    4: Codec.G7231,
    8: Codec.PCMA,
    9: Codec.G7221,
    18: Codec.G729,
    20: Codec.SVAC_AUDIO,
}
"""Static payload types of audio; 9 is G.722.1 here, and 20 is not of RFC 3551.

Source: GB/T 28181-2016 and 2022 Annex C.2; RFC 3551 table 4.
"""
MAX_PICTURE: Final = 8 * 1024 * 1024
_START: Final = b"\x00\x00\x00\x01"
_H264_AGGREGATE, _H264_FRAGMENT = 24, 28
_H265_AGGREGATE, _H265_FRAGMENT = 48, 49
_ADTS_8000: Final = 11  # the sampling frequency index of 8000 Hz


class SoundDepacketizer:
    """Turns payloads of G.711 and its like into audio units: one each.

    Source: RFC 3551 section 4.5; the RTP clock is 8 kHz.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._unwrapper = Unwrapper(32)

    def push(
        self, payload: bytes | memoryview, *, timestamp: int, missing: int = 0
    ) -> list[AccessUnit]:
        """Take one payload; return its unit, none when it is empty.

        Args:
            payload: Blocks of the codec; for G.711 one byte for each sample.
            timestamp: Of the RTP packet, in samples.
            missing: How many packets before this one are lost.
        """
        samples = self._unwrapper.unwrap(timestamp)
        if not payload:
            return []
        return [_sound(self.codec, bytes(payload), samples, missing > 0)]


class AacDepacketizer:
    """Turns AAC-hbr payloads into audio units with ADTS headers.

    The configuration is the one that the standard writes: AAC-LC, 8 kHz, mono.

    Source: RFC 3640 section 3.3.6; GB/T 28181-2022 Annex C.2 (config 1588).
    """

    def __init__(self) -> None:
        self._unwrapper = Unwrapper(32)

    def push(
        self, payload: bytes | memoryview, *, timestamp: int, missing: int = 0
    ) -> list[AccessUnit]:
        """Take one payload; return its units. What is cut off or fragmented is left out."""
        data, samples = bytes(payload), self._unwrapper.unwrap(timestamp)
        if len(data) < 2:
            return []
        place = 2 + ((data[0] << 8 | data[1]) + 7) // 8
        units: list[AccessUnit] = []
        for at in range(2, min(place, len(data)) - 1, 2):
            size = (data[at] << 8 | data[at + 1]) >> 3
            if not size or place + size > len(data):
                break
            frame = _adts(size) + data[place : place + size]
            units.append(_sound(Codec.AAC, frame, samples + 1024 * len(units), missing > 0))
            place, missing = place + size, 0
        return units


class NalDepacketizer:
    """Turns H.264 or H.265 payloads into pictures.

    A picture ends with the marker, or when the timestamp changes. One with a part missing is
    handed out as damaged. Some senders write start codes into the payload; they are left as
    they are.

    Source: RFC 6184 sections 5.6 to 5.8 (without interleaving), RFC 7798 section 4.4.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._is_h265 = codec is Codec.H265
        self._unwrapper = Unwrapper(32)
        self._parts: list[bytes] = []
        self._size = 0
        self._timestamp: int | None = None
        self._in_fragment = False
        self._is_damaged = self._is_discontinuous = False

    def push(
        self,
        payload: bytes | memoryview,
        *,
        timestamp: int,
        marker: bool = False,
        missing: int = 0,
    ) -> list[AccessUnit]:
        """Take one payload, in order; return the picture that it completes.

        Args:
            payload: A NAL unit, several, or a part of one.
            timestamp: Of its RTP packet.
            marker: Of its RTP packet.
            missing: How many packets before this one are lost.
        """
        units: list[AccessUnit] = []
        if missing:
            self._is_damaged = self._is_damaged or bool(self._parts)
            self._is_discontinuous, self._in_fragment = True, False
        if timestamp != self._timestamp:
            units = self.flush()
            self._timestamp = timestamp
        if missing and not self._begins(bytes(payload[:3])):
            self._is_damaged = True
        self._take(bytes(payload))
        if self._size > MAX_PICTURE:
            self._parts, self._size, self._is_discontinuous = [], 0, True
        return units + self.flush() if marker else units

    def flush(self) -> list[AccessUnit]:
        """Return the open picture; parameter sets alone wait for theirs."""
        data = b"".join(self._parts)
        kind = nal.first_picture_type(self.codec, data)
        if kind < 0 or self._timestamp is None:
            return []
        pts = self._unwrapper.unwrap(self._timestamp)
        unit = AccessUnit(
            codec=self.codec,
            data=data,
            pts=pts,
            dts=pts,
            is_key=nal.is_key_kind(self.codec, data, kind),
            is_discontinuous=self._is_discontinuous,
            is_damaged=self._is_damaged or self._in_fragment,
        )
        self._parts, self._size, self._in_fragment = [], 0, False
        self._is_damaged = self._is_discontinuous = False
        return [unit]

    def _begins(self, head: bytes) -> bool:
        """Whether a NAL unit begins with this payload."""
        fragment = _H265_FRAGMENT if self._is_h265 else _H264_FRAGMENT
        at = 2 if self._is_h265 else 1
        return nal.nal_type(self.codec, head) != fragment or (len(head) > at and head[at] > 0x7F)

    def _take(self, payload: bytes) -> None:
        if payload[:3] == b"\x00\x00\x01" or payload[:4] == _START:
            self._add(payload)
            return
        kind = nal.nal_type(self.codec, payload)
        header = 2 if self._is_h265 else 1
        if len(payload) <= header:
            return
        if kind == (_H265_AGGREGATE if self._is_h265 else _H264_AGGREGATE):
            self._take_aggregate(payload, header)
        elif kind == (_H265_FRAGMENT if self._is_h265 else _H264_FRAGMENT):
            self._take_fragment(payload, header)
        else:
            self._add(_START + payload)

    def _take_aggregate(self, payload: bytes, place: int) -> None:
        while place + 2 < len(payload):
            size = payload[place] << 8 | payload[place + 1]
            place += 2
            if not size or place + size > len(payload):
                self._is_damaged = True
                return
            self._add(_START + payload[place : place + size])
            place += size

    def _take_fragment(self, payload: bytes, header: int) -> None:
        flags = payload[header]
        if flags & 0x80:
            if self._is_h265:
                head = bytes((payload[0] & 0x81 | (flags & 0x3F) << 1, payload[1]))
            else:
                head = bytes((payload[0] & 0xE0 | flags & 0x1F,))
            self._add(_START + head + payload[header + 1 :])
            self._in_fragment = True
        elif self._in_fragment:
            self._add(payload[header + 1 :])
        else:
            self._is_damaged = True  # its beginning is missing
        if flags & 0x40:
            self._in_fragment = False

    def _add(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)


def sniff(payload: bytes) -> Codec | None:
    """Tell H.264 from H.265 by a sequence parameter set at the front of a payload, else None.

    Nothing else is sure: what lies in the middle of any other stream looks like some NAL unit.
    """
    data = payload[4:] if payload.startswith(_START) else payload
    for codec, aggregate, header, wanted in (
        (Codec.H264, _H264_AGGREGATE, 1, 7),
        (Codec.H265, _H265_AGGREGATE, 2, 33),
    ):
        for unit in _units(codec, data, aggregate, header):
            if nal.nal_type(codec, unit) == wanted and len(unit) <= 512 and _is_plain(codec, unit):
                size = nal.picture_size(codec, unit)
                if size is not None and min(size) >= 16:
                    return codec
    return None


def _is_plain(codec: Codec, unit: bytes) -> bool:
    """Whether the first bytes of a sequence parameter set are such as encoders write them."""
    if codec is Codec.H265:
        return unit[:2] == b"\x42\x01"
    is_header = unit[0] < 0x80 and unit[0] & 0x60 != 0
    return is_header and len(unit) > 3 and unit[1] in nal.H264_PROFILES and not unit[2] & 3


def _units(codec: Codec, data: bytes, aggregate: int, header: int) -> list[bytes]:
    """The NAL units in a payload that is one or an aggregate."""
    if nal.nal_type(codec, data) != aggregate:
        return [unit for unit in nal.split(_START + data) if unit]
    units, place = [], header
    while place + 2 < len(data):
        size = data[place] << 8 | data[place + 1]
        units.append(data[place + 2 : place + 2 + size])
        place += 2 + size
    return [unit for unit in units if unit]


def _sound(codec: Codec, data: bytes, samples: int, is_discontinuous: bool) -> AccessUnit:
    pts = samples * 90 // 8
    return AccessUnit(
        codec=codec, data=data, pts=pts, dts=pts, is_key=True, is_discontinuous=is_discontinuous
    )


def _adts(size: int) -> bytes:
    """The ADTS header of an AAC-LC frame, 8 kHz, mono. Source: ISO/IEC 13818-7 clause 6.2."""
    whole = size + 7
    return bytes(
        (
            *(0xFF, 0xF1),
            0x40 | _ADTS_8000 << 2,
            0x40 | whole >> 11,
            whole >> 3 & 0xFF,
            (whole & 7) << 5 | 0x1F,
            0xFC,
        )
    )
