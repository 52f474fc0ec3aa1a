"""PaceMeter: how fast a recording really runs, by its time stamps and the clock on the wall."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rtp.access_unit import AccessUnit

_WINDOW = 3.0
"""Seconds of wall time that are measured."""
_LONGEST = 30.0
_SETTLE = 0.5
"""Seconds after the answer for which pictures of the old speed may still come."""
_WITHIN = 0.15


class Verdict(Enum):
    """Whether a device did what it was told, as the stream shows it."""

    VERIFIED = "verified"
    """The pictures show it."""
    ACCEPTED = "accepted"
    """The device said yes and did something; the stream does not tell just what."""
    ELSEWHERE = "elsewhere"
    """It did something else."""
    IGNORED = "ignored"
    """It said yes, and went on as before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What became of a wish for another speed."""

    asked: float
    taken: float | None = None
    """What the device said that it took; None when it did not say."""
    measured: float | None = None
    """Seconds of recording in a second; None until it has been measured."""
    verdict: Verdict | None = None
    """None until it has been measured."""


class PaceMeter:
    """Measures the pace from one wish for another speed on."""

    def __init__(self, asked: float, step_before: float, now: float) -> None:
        """Begin at the device's yes.

        Args:
            asked: The speed, negative in reverse.
            step_before: Seconds of recording from picture to picture at the speed before.
            now: The time.
        """
        self.asked = asked
        self._step_before = step_before
        self._begin = now + _SETTLE
        self._first: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None
        self._count = 0

    def push(self, unit: AccessUnit, moment: float, now: float) -> bool:
        """Take a picture with its moment; return whether the measure is complete.

        In reverse only key frames count: within a group pictures run forward.
        """
        if now < self._begin or (self.asked < 0 and not unit.is_key):
            return False
        if self._first is None:
            self._first = (now, moment)
        self._last = (now, moment)
        self._count += 1
        lasted = now - self._first[0]
        return (lasted >= _WINDOW and self._count >= 4) or lasted >= _LONGEST

    def result(self) -> tuple[float | None, Verdict, float]:
        """The measured pace, the verdict, and by what time stamps are to be multiplied."""
        if self._first is None or self._last is None or self._last[0] <= self._first[0]:
            return None, Verdict.ACCEPTED, 1.0
        lasted = self._last[0] - self._first[0]
        measured = (self._last[1] - self._first[1]) / lasted
        if self._is_near(measured):
            return measured, Verdict.VERIFIED, 1.0
        step = abs(self._last[1] - self._first[1]) / max(1, self._count - 1)
        if self.asked > 0 and self._is_near(self._step_before / step if step else 0.0):
            # Time stamps follow the wall: nearer to each other by just what was asked for.
            return measured * self.asked, Verdict.VERIFIED, self.asked
        return measured, Verdict.IGNORED, 1.0

    def _is_near(self, measured: float) -> bool:
        return abs(measured - self.asked) <= _WITHIN * abs(self.asked)
