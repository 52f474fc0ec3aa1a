"""Sightings: what a device was seen doing otherwise than the standard, with count and time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT = 128
"""Names of one device; the one that was not seen for longest goes first."""
_COUNT = re.compile(r" \(x(\d+)\)\Z")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.){16,}'|\"(?:[^\"\\]|\\.){16,}\"")


@dataclass(slots=True)
class _Sighting:
    count: int
    last: float


class Sightings:
    """Names of habits, how often each was seen, and when last. Reads like a mapping to counts."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, _Sighting] = {}

    def __getitem__(self, name: str) -> int:
        """How often it was seen; 0 when never, as in a Counter."""
        found = self._seen.get(name)
        return 0 if found is None else found.count

    def __contains__(self, name: object) -> bool:
        return name in self._seen

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._seen))

    def __len__(self) -> int:
        return len(self._seen)

    def __repr__(self) -> str:
        return f"Sightings({dict(self.items())})"

    def items(self) -> list[tuple[str, int]]:
        """Names and counts, the latest last."""
        return [(name, one.count) for name, one in self._seen.items()]

    def last(self, name: str) -> float | None:
        """The loop's time when it was last seen."""
        found = self._seen.get(name)
        return None if found is None else found.last

    def note(self, name: str, now: float, count: int = 1) -> None:
        """Note that it was seen."""
        found = self._seen.get(name)
        if found is None:
            self._seen[name] = _Sighting(count, now)
            if len(self._seen) > _KEPT:
                del self._seen[next(iter(self._seen))]
            return
        found.count += count
        found.last = now
        self._seen[name] = self._seen.pop(name)  # the latest last

    def note_repairs(self, repairs: tuple[str, ...], now: float) -> None:
        """Note what the codec had to bend, without long quotations of the body."""
        for sentence in repairs:
            times = _COUNT.search(sentence)
            count = int(times[1]) if times else 1
            name = sentence[: times.start()] if times else sentence
            self.note(_QUOTED.sub("'...'", name)[:200], now, count)
