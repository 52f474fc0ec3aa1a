"""Joiner: the parts of a download as one stream, without a picture twice."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from rtp.access_unit import AccessUnit, MediaKind

from .moments import RecordingClock, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICKS = 90_000
_KEPT = 2048
"""Pictures that are remembered by their bytes, to find the place where a part goes on."""
_MOST_WAITING = 4096
"""Units that wait for that place, at most."""
_SURE = 2.0
"""Seconds after the last picture that a new part may have come without having met one it knows."""
_GAP = 1.0


class Joiner:
    """Puts the pictures of several sessions on one time line, which begins at 0.

    A later part is asked to begin a little before the end of the one before. Where its pictures are
    those that were taken already, byte for byte, the two are laid over each other, and everything
    up to the last one taken is left out: a new part goes on even in the middle of a group, as what
    it depends on is there. A damaged picture, and what depends on it, is left out.

    Where no picture is known again, time stamps alone say what is new, from a key frame on.
    """

    def __init__(self, start: float, end: float, *, spans: Sequence[Span] = ()) -> None:
        """Begin a time line.

        Args:
            start: Its zero, in Unix seconds.
            end: Where it ends: what lies behind is left out.
            spans: What is on the disk, when that is known.
        """
        self.spans: Sequence[Span] = spans
        self.taken = 0
        """Pictures given out."""
        self.covered: list[Span] = []
        """The stretches of the recording that were given out, in Unix seconds."""
        self._start = start
        self._length = round((end - start) * _TICKS)
        self._clock = RecordingClock(start, spans=spans)
        self._known: deque[tuple[int, int, int]] = deque(maxlen=_KEPT)
        self._last_video: int | None = None
        self._last_audio: int | None = None
        self._waiting: list[AccessUnit] = []
        self._is_aligned = True
        self._needs_key = True

    @property
    def position(self) -> float:
        """The moment up to which everything has been taken, in Unix seconds."""
        if self._last_video is None:
            return self._start
        return self._start + self._last_video / _TICKS + self._clock.step

    def begin(self, moment: float) -> None:
        """Say that a new part comes, which was asked to begin at a moment."""
        step = self._clock.step
        self._clock = RecordingClock(moment, spans=self.spans)
        self._clock.step = step
        self._waiting = []
        self._is_aligned = self._last_video is None
        self._needs_key = self._last_video is None or self._needs_key

    def push(self, unit: AccessUnit) -> list[AccessUnit]:
        """Take the next unit of the part; return what is to be written, on the time line."""
        if unit.kind is MediaKind.VIDEO and not unit.is_damaged:
            self._clock.note(unit)
        if self._is_aligned:
            return self._placed(unit)
        self._waiting.append(unit)
        if unit.kind is not MediaKind.VIDEO or unit.is_damaged:
            return []
        known = self._recognised(unit)
        if known is not None:
            self._clock.anchor(unit.dts, self._start + known / _TICKS)
            self._needs_key = False
        elif not self._is_past(unit) and len(self._waiting) < _MOST_WAITING:
            return []
        else:
            self._needs_key = True
        self._is_aligned = True
        waiting, self._waiting = self._waiting, []
        return [placed for one in waiting for placed in self._placed(one)]

    def _placed(self, unit: AccessUnit) -> list[AccessUnit]:
        at = round((self._clock.moment(unit.dts) - self._start) * _TICKS)
        if at >= self._length:
            return []
        if unit.kind is not MediaKind.VIDEO:
            if self._needs_key or (self._last_audio is not None and at <= self._last_audio):
                return []
            self._last_audio = at
            return [self._moved(unit, at)]
        if self._last_video is not None and at <= self._last_video:
            return []  # taken before
        if unit.is_damaged or (unit.is_discontinuous and not unit.is_key):
            self._needs_key = True
        if unit.is_damaged or (self._needs_key and not unit.is_key):
            return []
        is_new = self._needs_key
        self._needs_key = False
        self._note(unit, at)
        return [self._moved(unit, at, is_discontinuous=is_new and self.taken > 1)]

    def _note(self, unit: AccessUnit, at: int) -> None:
        moment, length = self._start + at / _TICKS, self._clock.step
        if self.covered and moment - self.covered[-1][1] <= _GAP:
            self.covered[-1] = (self.covered[-1][0], moment + length)
        else:
            self.covered.append((moment, moment + length))
        self._last_video = at
        self.taken += 1
        self._known.append((len(unit.data), hash(unit.data), at))

    def _recognised(self, unit: AccessUnit) -> int | None:
        """Where this picture is on the time line already; of several places the nearest."""
        size, digest = len(unit.data), hash(unit.data)
        expected = round((self._clock.moment(unit.dts) - self._start) * _TICKS)
        places = [at for length, other, at in self._known if (length, other) == (size, digest)]
        return min(places, key=lambda at: abs(at - expected), default=None)

    def _is_past(self, unit: AccessUnit) -> bool:
        return self._clock.moment(unit.dts) > self.position + _SURE

    @staticmethod
    def _moved(unit: AccessUnit, at: int, *, is_discontinuous: bool = False) -> AccessUnit:
        return replace(
            unit, pts=at + unit.pts - unit.dts, dts=at, is_discontinuous=is_discontinuous
        )


def missing_of(
    covered: Sequence[Span], start: float, end: float, spans: Sequence[Span]
) -> list[Span]:
    """What of a time was not taken; where the disk's stretches are known, only within these."""
    missing: list[Span] = []
    for first, last in spans or [(start, end)]:
        at = max(first, start)
        for begin, until in covered:
            if until <= at or begin >= last:
                continue
            if begin - at > _GAP:
                missing.append((at, begin))
            at = max(at, until)
        if min(last, end) - at > _GAP:
            missing.append((at, min(last, end)))
    return missing
