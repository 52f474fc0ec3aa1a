"""A vehicle: where it is on its round at a given time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

EARTH_RADIUS = 6_371_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a vehicle is and where it goes."""

    longitude: float
    latitude: float
    speed: float
    """Kilometres per hour."""
    direction: float
    """Degrees from 0 up to 360, clockwise from north."""
    altitude: float


class Route:
    """A round along some points, again and again, at one speed; a single point is a standstill."""

    def __init__(
        self,
        points: Sequence[tuple[float, float]] = (
            (118.3700, 31.3300),
            (118.3800, 31.3300),
            (118.3800, 31.3380),
            (118.3700, 31.3380),
        ),
        *,
        speed: float = 36.0,
        altitude: float = 20.0,
    ) -> None:
        """Take at least one point.

        Args:
            points: Longitude and latitude in degrees.
            speed: Kilometres per hour.
            altitude: Metres.
        """
        corners = [*points, points[0]]
        self._legs = [
            (first, second, _metres(first, second))
            for first, second in pairwise(corners)
            if first != second
        ]
        self._start = points[0]
        self._length = sum(leg[2] for leg in self._legs)
        self._speed = speed if self._length else 0.0
        self._altitude = altitude

    def at(self, elapsed: float) -> Place:
        """Where it is after so many seconds of driving."""
        if not self._speed:
            longitude, latitude = self._start
            return self._place(longitude, latitude, 0.0)
        way = elapsed * self._speed / 3.6 % self._length
        legs = iter(self._legs)
        first, second, length = next(legs)
        for following in legs:
            if way < length:
                break
            way -= length
            first, second, length = following
        share = min(way / length, 1.0)
        return self._place(
            first[0] + (second[0] - first[0]) * share,
            first[1] + (second[1] - first[1]) * share,
            _bearing(first, second),
        )

    def _place(self, longitude: float, latitude: float, direction: float) -> Place:
        return Place(
            longitude=round(longitude, 6),
            latitude=round(latitude, 6),
            speed=self._speed,
            direction=round(direction, 1) % 360,
            altitude=self._altitude,
        )


def _metres(first: tuple[float, float], second: tuple[float, float]) -> float:
    east, north = _way(first, second)
    return math.hypot(east, north)


def _bearing(first: tuple[float, float], second: tuple[float, float]) -> float:
    east, north = _way(first, second)
    return math.degrees(math.atan2(east, north)) % 360


def _way(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Metres to the east and to the north; good for a town, which is all it is for."""
    middle = math.radians((first[1] + second[1]) / 2)
    east = math.radians(second[0] - first[0]) * math.cos(middle) * EARTH_RADIUS
    return east, math.radians(second[1] - first[1]) * EARTH_RADIUS
