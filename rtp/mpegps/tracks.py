"""Puts the payloads of PES packets together to access units."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from .. import nal
from ..access_unit import AccessUnit, Codec
from .clock import Clock
from .cutter import Cut, PictureCutter, holds_several
from .syntax import PesHeader

_SNIFF: Final = 4096  # parameter sets stand at the front
_NAL_CODECS: Final = (Codec.H264, Codec.H265)
_CUT_CODECS: Final = (Codec.H264, Codec.H265, Codec.MPEG4)
_LOOK_AT_FIRST: Final = 8  # pictures that are looked through for a second one
_LOOK_EACH: Final = 32  # of the pictures after them
_MOST_PES: Final = 60_000
_USUAL_STEP: Final = 3600
_LONGEST_STEP: Final = 90_000
_H264_SEQUENCE: Final = 7
_H264_BEGINNINGS: Final = frozenset({7, 9})  # sequence set, delimiter
_H265_BEGINNINGS: Final = frozenset({0x40, 0x42, 0x46})  # video and sequence set, delimiter
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
    """Collects one picture and decides where it ends.

    As long as PES packets begin with pictures, as the standard wants it, only their headers are
    looked at. Once they are seen not to, all data is walked through.
    """

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
        self._has_marker = False
        self._least_continued, self._greatest_last = _MOST_PES, -1  # bytes of PES packets
        self._cutter: PictureCutter | None = None
        self._ready: list[AccessUnit] = []
        self._looked = 0
        self._is_interlaced = False
        self._last_dts: int | None = None
        self._step, self._since = _USUAL_STEP, 0

    def __len__(self) -> int:
        return self._size if self._cutter is None else len(self._cutter)

    @property
    def trusts_marker(self) -> bool:
        """Whether the marker was right so far."""
        return self._trusts_marker

    @property
    def last_part(self) -> bytes:
        """What the last PES packet of the open picture held; empty when that is not kept."""
        return self._parts[-1] if self._parts else b""

    def declare(self, codec: Codec) -> list[AccessUnit]:
        """Take what a stream map says; it is checked against the next parameter sets.

        Returns:
            The open picture, when it is of another codec.
        """
        self._is_verified = False
        if codec is self._declared:
            return []
        is_other = self.codec is not None and codec is not self.codec
        units = self.finish(is_last=True) if is_other else []
        self._declared = self.codec = codec
        return units

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
        if self._is_cutting():
            return self._cut(payload, header, timestamp)
        units: list[AccessUnit] = []
        if self._is_open and self._is_next(header, payload, timestamp, begins_pack):
            units = self._begin_cutting() if self._runs_over(header, payload) else self.finish()
            if self._is_cutting():
                return units + self._cut(payload, header, timestamp)
            if self._is_open:  # parameter sets alone: they belong to this picture
                self._first, self._timestamp = header, timestamp
        if not self._is_open:
            self._start(header, payload, timestamp)
        elif self._parts:
            self._least_continued = min(self._least_continued, len(self._parts[-1]))
        self._has_headers |= has_headers
        self._parts.append(payload)
        self._size += len(payload)
        return units

    def extend(self, data: bytes | bytearray) -> None:
        """Append bytes that belong to the open picture whatever the lengths say."""
        if self._cutter is not None:
            self._ready = self._cut(bytes(data), None, self._timestamp)
        elif self._is_open and data:
            self._parts.append(bytes(data))
            self._size += len(data)

    def end_by_marker(self) -> list[AccessUnit]:
        """Return the open picture: the sender says that it is complete."""
        if not self._trusts_marker or not self._is_open:
            return []
        first, timestamp = self._first, self._timestamp
        self._has_marker = True
        units = self.finish()
        if units and first is not None:
            self._ended = (first.pts, timestamp)
        return units

    def lose(self) -> None:
        """Note that packets after what came are missing; PES lengths are satisfied.

        Where no marker tells, the open picture is taken for whole when its last PES packet is
        smaller than any that was ever gone on with, and no larger than others that were the last.
        """
        last = len(self.last_part)
        is_whole = last < self._least_continued and last <= self._greatest_last
        if self._has_marker or not self._is_open or self._is_damaged or not is_whole:
            self.damage()

    def damage(self) -> None:
        """Note that a part of the open picture is missing."""
        if self._cutter is not None:
            self._is_damaged = True
        elif self._is_open and self._first is not None:
            self._is_damaged = True
            self._broken = (self._first.pts, self._timestamp)

    def interrupt(self) -> None:
        """Note that something between the pictures is missing."""
        self._is_discontinuous = True
        self._must_begin = True
        self._ended = None

    def drop(self) -> None:
        """Forget the open picture."""
        if self._is_open or self._cutter is not None:
            self._is_discontinuous = True
        if self._cutter is not None:
            self._cutter.clear()
        self._close()

    def finish(self, *, is_last: bool = False) -> list[AccessUnit]:
        """Return the open picture.

        One without picture data stays open, to go before the next; with ``is_last`` it is
        dropped, as a damaged one is.
        """
        if self._cutter is not None:
            return self._last_cut()
        if not self._is_open:
            return []
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._settle_codec(data)
        if not is_last and not self._is_damaged and self._holds_several(data):
            self._parts = [data]
            return self._begin_cutting()
        codec, first = self.codec, self._first
        if codec is None or first is None:
            self._shared.repairs["codec_unknown"] += 1
            self.drop()
            return []
        is_key = self._is_key(codec, data)
        if is_key is None:
            if is_last or self._is_damaged:
                self.drop()
            return []
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
        if not self._is_damaged:
            self._greatest_last = max(self._greatest_last, len(self.last_part))
        self._close()
        return [unit]

    def _is_key(self, codec: Codec, data: bytes) -> bool | None:
        """Whether the open picture is a key picture; None when it is none at all."""
        if codec not in _NAL_CODECS:
            if self._must_begin and not _is_start(data):
                self._is_damaged = True
            return nal.is_key(codec, data) if codec is Codec.MPEG4 else self._has_headers
        kind = nal.first_picture_type(codec, data)
        if kind < 0:
            return None
        if self._must_begin and not nal.begins_picture(codec, data):
            self._is_damaged = True
        return nal.is_key_kind(codec, data, kind)

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
            return not _is_start(payload)
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
        if new is None:
            # No picture of these codecs begins in the middle of a unit.
            is_unit = _is_start(payload) or (codec is not None and codec not in _CUT_CODECS)
            return begins or (begins_pack and is_unit)
        if old is None:
            return begins or begins_pack
        return begins or (begins_pack and codec not in _NAL_CODECS)

    def _settle_codec(self, data: bytes) -> None:
        """Check the declared codec against the parameter sets, which are right.

        Once it is settled, only a picture that begins as those of another codec do is looked at.
        """
        codec = self.codec
        if codec is not None and codec not in _CUT_CODECS:
            return
        if self._is_verified and codec is not None and not _seems_other(codec, data):
            return
        found = nal.sniff(data[:_SNIFF])
        if found is None and nal.is_mpeg4(data):
            found = Codec.MPEG4
        if found is None:
            return
        self._is_verified = True
        if found is not codec:
            self._shared.repairs["codec" if codec else "codec_guessed"] += 1
            self.codec = found

    # ---- where PES packets do not begin with pictures ----

    def _is_cutting(self) -> bool:
        """Whether pictures are cut out; asked by a call, for it may change within one."""
        return self._cutter is not None

    def _runs_over(self, header: PesHeader, payload: bytes) -> bool:
        """Whether the open picture goes on in a PES packet that is stamped for the next one."""
        if header.pts is None or self._is_damaged or _is_start(payload):
            return False
        self._settle_codec(b"".join(self._parts))
        return self.codec in _CUT_CODECS

    def _holds_several(self, data: bytes) -> bool:
        """Look through a picture, now and then, for another behind it."""
        codec = self.codec
        self._looked += 1
        if codec is None or codec not in _CUT_CODECS:
            return False
        if self._looked > _LOOK_AT_FIRST and self._looked % _LOOK_EACH:
            return False
        if codec is Codec.H264:
            for unit in nal.parameter_sets(codec, data[:_SNIFF]):
                if unit[0] & 0x1F == _H264_SEQUENCE:
                    self._is_interlaced = nal.is_interlaced(unit)
        # The two fields of a picture are no two pictures.
        return not self._is_interlaced and holds_several(codec, data)

    def _begin_cutting(self) -> list[AccessUnit]:
        """From now on look for the pictures in what PES packets hold."""
        assert self.codec is not None
        self._shared.repairs["pictures_unaligned"] += 1
        self._cutter, self._trusts_marker = PictureCutter(self.codec), False
        self._ended = self._broken = None
        data, header, timestamp = b"".join(self._parts), self._first, self._timestamp
        self._close()
        return self._cut(data, header, timestamp)

    def _cut(self, data: bytes, header: PesHeader | None, timestamp: int) -> list[AccessUnit]:
        assert self._cutter is not None
        units, self._ready = self._ready, []
        self._timestamp = timestamp
        for cut in self._cutter.push(data, header, timestamp):
            units += self._unit_of(cut)
        return units

    def _last_cut(self) -> list[AccessUnit]:
        assert self._cutter is not None
        units, self._ready = self._ready, []
        cut = self._cutter.flush()
        return units if cut is None else units + self._unit_of(cut)

    def _unit_of(self, cut: Cut) -> list[AccessUnit]:
        assert self._cutter is not None
        self._settle_codec(cut.data)
        codec = self.codec
        if codec is None:
            return []
        self._cutter.codec = codec
        pts, dts = self._time_of(cut)
        unit = AccessUnit(
            codec=codec,
            data=cut.data,
            pts=pts,
            dts=dts,
            is_key=nal.is_key(codec, cut.data),
            is_discontinuous=self._is_discontinuous,
            is_damaged=self._is_damaged,
        )
        self._is_discontinuous = self._must_begin = self._is_damaged = False
        return [unit]

    def _time_of(self, cut: Cut) -> tuple[int, int]:
        """The stamps of its PES packet; of a further picture in that one, by the usual step."""
        header = cut.header
        if self._last_dts is not None and (header is None or header.pts is None):
            self._since += 1
            self._last_dts += self._step
            return self._last_dts, self._last_dts
        stamps = (None, None) if header is None else (header.pts, header.dts)
        pts, dts, repair = self._shared.clock.resolve(0, *stamps, cut.timestamp)
        if repair is not None:
            self._shared.repairs[repair] += 1
        if self._last_dts is not None:
            begin = self._last_dts - self._since * self._step
            step = (dts - begin) // (self._since + 1)
            if 0 < step < _LONGEST_STEP:
                self._step = step
        self._last_dts, self._since = dts, 0
        return pts, dts

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
        self._rest_at = 0
        self._ticks = 0

    def declare(self, codec: Codec) -> list[AccessUnit]:
        """Take what a stream map says; nothing waits for a change."""
        if codec is not self.codec:
            self.codec = codec
            self._rest = b""
        return []

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
            return self._adts_units(payload, time[0], is_stamped=header.pts is not None)
        self._ticks = _ticks(self.codec, len(payload))
        return [self._unit(payload, time[0])]

    def _adts_units(self, payload: bytes, pts: int, *, is_stamped: bool) -> list[AccessUnit]:
        """Cut ADTS frames; the stamp is that of the first that begins in this payload."""
        data, place, at = self._rest + payload, 0, pts
        units = []
        if not _is_adts(data, 0):
            self._rest, self._ticks = b"", 0
            return [self._unit(payload, pts)]
        is_begun = bool(self._rest)
        if is_begun:
            at = self._rest_at
        while _is_adts(data, place):
            size = (data[place + 3] & 3) << 11 | data[place + 4] << 3 | data[place + 5] >> 5
            if size < 7 or place + size > len(data):
                break
            rate = _ADTS_RATES[min(data[place + 2] >> 2 & 0x0F, len(_ADTS_RATES) - 1)]
            units.append(self._unit(data[place : place + size], at))
            at += 1024 * ((data[place + 6] & 3) + 1) * 90_000 // rate
            if is_begun and is_stamped:
                at = pts
            is_begun = False
            place += size
        self._rest = data[place:] if len(data) - place <= _MAX_ADTS_REST else b""
        self._rest_at, self._ticks = at, at - pts
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


def _seems_other(codec: Codec, data: bytes) -> bool:
    """Whether the first NAL unit is one that pictures of another codec begin with."""
    place = 3 if data[2:3] == b"\1" else 4
    head = data[place : place + 2]
    if len(head) < 2 or head[0] == 0xB0:
        return codec is not Codec.MPEG4 and len(head) == 2
    is_h265 = head[1] == 1 and head[0] in _H265_BEGINNINGS
    if is_h265 or codec is Codec.H264:
        return is_h265 and codec is not Codec.H265
    return head[0] < 0x80 and head[0] & 0x1F in _H264_BEGINNINGS


def _is_start(data: bytes) -> bool:
    """Whether the data begins with a start code, or is too short to tell."""
    front = data[:32].lstrip(b"\0")
    return not front or (front[0] == 1 and data[:2] == b"\0\0")


def _is_adts(data: bytes, place: int) -> bool:
    return len(data) - place >= 7 and data[place] == 0xFF and data[place + 1] & 0xF6 == 0xF0


def _ticks(codec: Codec, size: int) -> int:
    """Return how long a block of audio lasts, for the codecs of which the size tells it."""
    if codec in (Codec.PCMA, Codec.PCMU):
        return size * 90_000 // 8_000
    return size // 10 * 900 if codec is Codec.G729 else 0
