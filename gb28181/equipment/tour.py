"""A tour: the stops that a cruise or a scan leads a head to, over and over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

SHORTEST_LEG = 0.1
"""Seconds: stops at one and the same place are not left sooner."""
MAX_CATCH_UP = 100
"""Legs that are gone through at once when nobody looked for long; what is over is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """One stop."""

    pan: float
    tilt: float | None = None
    """None: whatever it is."""
    zoom: float | None = None
    stay: float = 0.0
    """Seconds."""
    speed: float = 1.0
    """The share of the highest speed, up to 1."""


class Tour:
    """Goes from stop to stop; the caller moves the head and says when it arrives."""

    def __init__(self, stops: Sequence[Stop], *, kind: str, number: int) -> None:
        """Take at least one stop.

        Args:
            stops: In order.
            kind: ``cruise``, ``scan`` or ``track``.
            number: Of the cruise or the scan.
        """
        self.kind = kind
        self.number = number
        self._stops = tuple(stops)
        self._next = 0
        self._leave_at = 0.0

    def begin(self, now: float, go: Callable[[Stop, float], float]) -> None:
        """Set out for the first stop. ``go`` moves the head and returns when it arrives."""
        self._next = 0
        self._depart(now, go)

    def advance(self, now: float, go: Callable[[Stop, float], float]) -> None:
        """Make every departure that has come due by now."""
        for _ in range(MAX_CATCH_UP):
            if now < self._leave_at:
                return
            self._depart(self._leave_at, go)
        self._depart(now, go)

    def _depart(self, now: float, go: Callable[[Stop, float], float]) -> None:
        stop = self._stops[self._next]
        self._next = (self._next + 1) % len(self._stops)
        self._leave_at = max(go(stop, now), now + SHORTEST_LEG) + stop.stay
