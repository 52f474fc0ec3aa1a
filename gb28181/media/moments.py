"""RecordingClock: which moment of a recording a picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rtp.access_unit import AccessUnit

Span = tuple[float, float]
"""Start and end of a stretch of recording, in Unix seconds."""

_TICKS = 90_000
_STEP = 1.5
"""Seconds from picture to picture that are no jump."""
_TOLERANCE = 1.0
_USUAL = 0.04


class RecordingClock:
    """Maps the time stamps of one session to moments of the recording, in Unix seconds.

    The first picture shows the start that was asked for, or the next piece of recording when
    nothing lies there. From then on time stamps count, whichever of these a device does at a gap:
    it jumps by the length of the gap, it goes on as if there were none, or it starts anew. Decoding
    times count, as they are in order also where pictures are not.
    """

    def __init__(self, start: float, *, spans: Sequence[Span] = ()) -> None:
        self.start = start
        self.spans: Sequence[Span] = spans
        """What is on the disk, sorted; empty when that is not known."""
        self.position: float | None = None
        """Of the last picture."""
        self.step = _USUAL
        """Seconds of recording from picture to picture, as last seen."""
        self.factor = 1.0
        """Seconds of recording in a second of time stamps: 1 unless a device plays fast by them."""
        self.jumped = False
        """Whether the last picture did not follow the one before."""
        self._anchor = (0, self.recorded(start))
        self._last: int | None = None

    def note(self, unit: AccessUnit) -> float:
        """Take the next picture; return its moment."""
        if self._last is None:
            self._anchor = (unit.dts, self._anchor[1])
        moment = self.moment(unit.dts)
        before, self.position = self.position, moment
        self._last = unit.dts
        if before is None:
            self.jumped = False
            return moment
        self.jumped = not 0.0 <= moment - before <= _STEP * max(1.0, abs(self.factor))
        if 0.0 < moment - before <= _STEP:
            self.step = moment - before
        real = self.recorded(moment)
        if real - moment > _TOLERANCE and not self.jumped:
            # Time stamps run on into a gap: this device passes over gaps without a word.
            self.anchor(unit.dts, real)
            self.position = real
        return self.position

    def moment(self, ticks: int) -> float:
        """The moment that a time stamp stands for now."""
        return self._anchor[1] + (ticks - self._anchor[0]) / _TICKS * self.factor

    def anchor(self, ticks: int, moment: float) -> None:
        """Say what a time stamp stands for: those of the device start anew."""
        self._anchor = (ticks, moment)

    def stretch(self, factor: float) -> None:
        """From the last picture on a second of time stamps holds so much recording."""
        if self._last is not None and self.position is not None:
            self._anchor = (self._last, self.position)
        self.factor = factor

    def recorded(self, moment: float) -> float:
        """The moment itself, or where the recording goes on when nothing lies there."""
        for start, end in self.spans:
            if moment < start:
                return start
            if moment < end:
                return moment
        return moment


def next_span(spans: Sequence[Span], moment: float) -> Span | None:
    """The first stretch that begins after a moment, or None."""
    return next((span for span in spans if span[0] > moment), None)


def end_of_span(spans: Sequence[Span], moment: float) -> float | None:
    """Where the stretch that holds a moment ends; None in a gap, or when nothing is known."""
    return next((end for start, end in spans if start <= moment <= end), None)


def joined(spans: Sequence[Span], start: float, end: float) -> list[Span]:
    """Sorted stretches within a time; what touches is one."""
    found: list[Span] = []
    for first, last in sorted(spans):
        first, last = max(first, start), min(last, end)
        if last <= first:
            continue
        if found and first - found[-1][1] <= _TOLERANCE:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
