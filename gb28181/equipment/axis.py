"""One axis of a camera's head or lens: where it is at any time, without a motor running."""

from __future__ import annotations

import math


class Axis:
    """Moves between two ends, or round and round, and knows where it is at a given time."""

    __slots__ = ("_since", "_speed", "_start", "_until", "high", "low", "turns")

    def __init__(self, low: float, high: float, *, at: float, turns: bool = False) -> None:
        """Stand still.

        Args:
            low: One end.
            high: The other end; the same place as ``low`` when it turns.
            at: Where it stands.
            turns: It has no ends and goes on from ``high`` at ``low``.
        """
        self.low = low
        self.high = high
        self.turns = turns
        self._start = at
        self._since = 0.0
        self._speed = 0.0
        self._until = math.inf

    def at(self, now: float) -> float:
        """Where it is."""
        elapsed = max(0.0, min(now, self._until) - self._since)
        return self.within(self._start + self._speed * elapsed)

    def drive(self, speed: float, now: float, *, longest: float = math.inf) -> None:
        """Move with that many units per second, until told otherwise or ``longest`` is over."""
        self._start, self._since = self.at(now), now
        self._speed, self._until = speed, now + longest

    def go(self, target: float, speed: float, now: float) -> float:
        """Move to a place, the shorter way round; return when it arrives."""
        here = self.at(now)
        way = self.within(target) - here
        if self.turns and abs(way) > (self.high - self.low) / 2:
            way -= math.copysign(self.high - self.low, way)
        arrival = now + abs(way) / max(speed, 1e-3)
        self._start, self._since, self._until = here, now, arrival
        self._speed = math.copysign(max(speed, 1e-3), way) if way else 0.0
        return arrival

    def stop(self, now: float) -> None:
        """Stay where it is."""
        self.drive(0.0, now)

    def is_moving(self, now: float) -> bool:
        """Whether it will be elsewhere soon."""
        if not self._speed or now >= self._until:
            return False
        here = self.at(now)
        end = self.high if self._speed > 0 else self.low
        return self.turns or here != end

    def within(self, value: float) -> float:
        """The nearest place that it can reach."""
        if self.turns:
            return self.low + (value - self.low) % (self.high - self.low)
        return min(max(value, self.low), self.high)
