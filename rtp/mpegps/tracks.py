"""Puts the payloads of PES packets together to access units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from .. import nal
from ..access_unit import AccessUnit, Codec
from .clock import Clock
from .syntax import PesHeader

_SNIFF: Final = 4096  # parameter sets stand at the front
_NAL_CODECS: Final = (Codec.H264, Codec.H265)
_ADTS_RATES: Final = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050,
    16_000, 12_000, 11_025, 8_000, 7_350,
)  # fmt: skip
_MAX_ADTS_REST: Final = 8191


@dataclass(slots=True, kw_only=True)
class Shared:
    """What the tracks of one stream have in common."""

    clock: Clock = field(default_factory=Clock)
    repairs: Counter[str] = field(default_factory=Counter)


class VideoTrack:
    """Collects one picture and decides where it ends."""

    def __init__(self, shared: Shared) -> None:
        self.codec: Codec | None = None
        self._shared = shared
        self._declared: Codec | None = None
        self._is_verified = False
        self._parts: list[bytes] = []
        self._size = 0
        self._is_open = False
        self._first: PesHeader | None = None
        self._timestamp = 0
        self._has_headers = False
        self._is_damaged = False
        self._is_discontinuous = False
        self._must_begin = True
        self._trusts_marker = True
        self._ended: tuple[int | None, int] | None = None
        self._broken: tuple[int | None, int] | None = None

    def __len__(self) -> int:
        return self._size

    @property
    def trusts_marker(self) -> bool:
        """Whether the marker was right so far."""
        return self._trusts_marker

    def declare(self, codec: Codec | None) -> None:
        """Take what a stream map says; it is checked against the next parameter sets."""
        self._is_verified = False
        if codec is not None and codec is not self._declared:
            self._declared = self.codec = codec

    def add(
        self,
        header: PesHeader,
        payload: bytes,
        timestamp: int,
        *,
        begins_pack: bool,
        has_headers: bool,
    ) -> list[AccessUnit]:
        """Take one PES payload; return the picture that it shows to be complete."""
        units: list[AccessUnit] = []
        if self._is_open and self._is_next(header, payload, timestamp, begins_pack):
            units = self.finish()
            if self._is_open:  # parameter sets alone: they belong to this picture
                self._first, self._timestamp = header, timestamp
        if not self._is_open:
            self._start(header, payload, timestamp)
        self._has_headers |= has_headers
        self._parts.append(payload)
        self._size += len(payload)
        return units

    def extend(self, data: bytes | bytearray) -> None:
        """Append bytes that belong to the open picture whatever the lengths say."""
        if self._is_open and data:
            self._parts.append(bytes(data))
            self._size += len(data)

    def end_by_marker(self) -> list[AccessUnit]:
        """Return the open picture: the sender says that it is complete."""
        if not self._trusts_marker or not self._is_open:
            return []
        first, timestamp = self._first, self._timestamp
        units = self.finish()
        if units and first is not None:
            self._ended = (first.pts, timestamp)
        return units

    def damage(self) -> None:
        """Note that a part of the open picture is missing."""
        if self._is_open and self._first is not None:
            self._is_damaged = True
            self._broken = (self._first.pts, self._timestamp)

    def interrupt(self) -> None:
        """Note that something between the pictures is missing."""
        self._is_discontinuous = True
        self._must_begin = True
        self._ended = None

    def drop(self) -> None:
        """Forget the open picture."""
        if self._is_open:
            self._is_discontinuous = True
        self._close()

    def finish(self, *, is_last: bool = False) -> list[AccessUnit]:
        """Return the open picture.

        One without picture data stays open, to go before the next; with ``is_last`` it is
        dropped, as a damaged one is.
        """
        if not self._is_open:
            return []
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._settle_codec(data)
        codec, first = self.codec, self._first
        if codec is None or first is None:
            self._shared.repairs["codec_unknown"] += 1
            self.drop()
            return []
        is_key = self._has_headers
        if codec in _NAL_CODECS:
            kind = nal.first_picture_type(codec, data)
            if kind < 0:
                if is_last or self._is_damaged:
                    self.drop()
                return []
            is_key = nal.is_key_type(codec, kind)
            if self._must_begin and not nal.begins_picture(codec, data):
                self._is_damaged = True
        pts, dts, repair = self._shared.clock.resolve(0, first.pts, first.dts, self._timestamp)
        if repair is not None:
            self._shared.repairs[repair] += 1
        unit = AccessUnit(
            codec=codec,
            data=data,
            pts=pts,
            dts=dts,
            is_key=is_key,
            is_discontinuous=self._is_discontinuous,
            is_damaged=self._is_damaged,
        )
        self._is_discontinuous = self._must_begin = False
        self._close()
        return [unit]

    def _start(self, header: PesHeader, payload: bytes, timestamp: int) -> None:
        self._is_open = True
        self._first, self._timestamp = header, timestamp
        if self._ended is not None and self._goes_on(self._ended, header, payload, timestamp):
            # The picture was handed out too early: the marker does not mean its end here.
            self._shared.repairs["marker"] += 1
            self._trusts_marker = False
            self._is_damaged = True
        elif self._broken is not None and self._goes_on(self._broken, header, payload, timestamp):
            self._is_damaged = True
        else:
            self._broken = None
        self._ended = None

    def _goes_on(
        self, old: tuple[int | None, int], header: PesHeader, payload: bytes, timestamp: int
    ) -> bool:
        """Whether a PES packet belongs to a picture that was handed out already."""
        if timestamp != old[1] or (header.pts is not None and header.pts != old[0]):
            return False
        codec = self.codec
        if codec not in _NAL_CODECS or codec is None:
            return False
        if payload.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
            kind = nal.first_picture_type(codec, payload)
            return kind >= 0 and not nal.begins_picture(codec, payload)
        return True

    def _is_next(
        self, header: PesHeader, payload: bytes, timestamp: int, begins_pack: bool
    ) -> bool:
        """Decide whether a PES packet begins a new picture: by PTS, else by the other signs."""
        assert self._first is not None
        old, new = self._first.pts, header.pts
        if old is not None and new is not None and old != new:
            return True
        if not begins_pack and timestamp == self._timestamp:
            return False
        codec = self.codec
        begins = codec is not None and nal.begins_picture(codec, payload)
        if timestamp == self._timestamp:
            return begins
        if new is None or old is None:
            return begins or begins_pack
        return begins or (begins_pack and codec not in _NAL_CODECS)

    def _settle_codec(self, data: bytes) -> None:
        """Check the declared codec against the parameter sets, which are right."""
        if self._is_verified or (self.codec is not None and self.codec not in _NAL_CODECS):
            return
        found = nal.sniff(data[:_SNIFF])
        if found is None:
            return
        self._is_verified = True
        if found is not self.codec:
            self._shared.repairs["codec" if self.codec else "codec_guessed"] += 1
            self.codec = found

    def _close(self) -> None:
        self._parts, self._size = [], 0
        self._first = None
        self._is_open = self._has_headers = self._is_damaged = False


class AudioTrack:
    """Turns PES payloads into audio units: one each, one per ADTS frame for AAC."""

    def __init__(self, shared: Shared, hint: Codec | None) -> None:
        self.codec: Codec | None = None
        self._shared = shared
        self._hint = hint
        self._is_discontinuous = False
        self._rest = b""
        self._ticks = 0

    def declare(self, codec: Codec | None) -> None:
        """Take what a stream map says."""
        if codec is not None and codec is not self.codec:
            self.codec = codec
            self._rest = b""

    def interrupt(self) -> None:
        """Note that something is missing before the next unit."""
        self._is_discontinuous = True
        self._rest = b""

    def add(self, header: PesHeader, payload: bytes, timestamp: int) -> list[AccessUnit]:
        """Take one PES payload; return its units."""
        if not payload:
            return []
        if self.codec is None:
            self.codec = self._guess(payload)
            if self.codec is None:
                self._shared.repairs["codec_unknown"] += 1
                return []
            self._shared.repairs["codec_guessed"] += 1
        clock, time = self._shared.clock, None
        if header.pts is None and not self._is_discontinuous:
            time = clock.follow(1, self._ticks)
        if time is None:
            pts, dts, repair = clock.resolve(1, header.pts, header.dts, timestamp)
            if repair is not None:
                self._shared.repairs[repair] += 1
            time = (pts, dts)
        if self.codec is Codec.AAC:
            return self._adts_units(payload, time[0])
        self._ticks = _ticks(self.codec, len(payload))
        return [self._unit(payload, time[0])]

    def _adts_units(self, payload: bytes, pts: int) -> list[AccessUnit]:
        data, place, passed = self._rest + payload, 0, 0
        units = []
        if not _is_adts(data, 0):
            self._rest, self._ticks = b"", 0
            return [self._unit(payload, pts)]
        while _is_adts(data, place):
            size = (data[place + 3] & 3) << 11 | data[place + 4] << 3 | data[place + 5] >> 5
            if size < 7 or place + size > len(data):
                break
            rate = _ADTS_RATES[min(data[place + 2] >> 2 & 0x0F, len(_ADTS_RATES) - 1)]
            units.append(self._unit(data[place : place + size], pts + passed))
            passed += 1024 * ((data[place + 6] & 3) + 1) * 90_000 // rate
            place += size
        self._ticks = passed
        self._rest = data[place:] if len(data) - place <= _MAX_ADTS_REST else b""
        return units

    def _unit(self, data: bytes, pts: int) -> AccessUnit:
        assert self.codec is not None
        unit = AccessUnit(
            codec=self.codec,
            data=data,
            pts=pts,
            dts=pts,
            is_key=True,
            is_discontinuous=self._is_discontinuous,
        )
        self._is_discontinuous = False
        return unit

    def _guess(self, payload: bytes) -> Codec | None:
        """Guess without a stream map: what SDP said, ADTS, else G.711 A by its even length."""
        if self._hint is not None:
            return self._hint
        if _is_adts(payload, 0):
            return Codec.AAC
        return Codec.PCMA if len(payload) % 80 == 0 and len(payload) <= 4800 else None


def _is_adts(data: bytes, place: int) -> bool:
    return len(data) - place >= 7 and data[place] == 0xFF and data[place + 1] & 0xF6 == 0xF0


def _ticks(codec: Codec, size: int) -> int:
    """Return how long a block of audio lasts, for the codecs of which the size tells it."""
    if codec in (Codec.PCMA, Codec.PCMU):
        return size * 90_000 // 8_000
    return size // 10 * 900 if codec is Codec.G729 else 0
