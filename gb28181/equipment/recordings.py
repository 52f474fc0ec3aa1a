"""Recordings: the disk of a recorder, drawn or made of files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil, floor
from typing import Protocol

from ..media.source import Group, PatternStyle, RecordedSource, pattern_second

KINDS = ("time", "alarm", "manual")
"""Why something was recorded. Source: 2022 A.2.1.10."""

_TICKS = 90_000
_BYTES_A_SECOND = 13_000
"""About what one second of a drawn recording takes as a program stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedFile:
    """One entry of a recorder's index."""

    start: datetime
    """Aware."""
    end: datetime
    """Aware; later than ``start``."""
    name: str
    path: str
    size: int
    """Bytes, about."""
    kind: str = "time"
    """``time``, ``alarm`` or ``manual``."""


class Recordings(Protocol):
    """What a channel has on its disk. Every time is aware."""

    def find(self, start: datetime, end: datetime, *, kind: str = "all") -> list[RecordedFile]:
        """Return what overlaps a time, whole and in order; ``kind`` all takes every kind."""

    def source(self, start: datetime, end: datetime, *, kind: str = "all") -> RecordedSource:
        """Return the media of a time; its positions count from ``start``."""


class PatternRecordings:
    """A disk of drawn pictures, each second a group of its own, encoded when it is asked for.

    The counter and the clock in the picture tell the moment of the recording, so that a test reads
    from a decoded picture where a jump has landed: ``counter_at`` and ``moment_of`` translate. The
    clock shows the time of day of the first segment's zone, and goes on beyond 24 hours on later
    days. The same segments give the same bytes.
    """

    def __init__(
        self,
        segments: Sequence[tuple[datetime, datetime]],
        *,
        kinds: Sequence[str] = (),
        style: PatternStyle | None = None,
    ) -> None:
        """Describe the disk; fractions of a second are cut off.

        Args:
            segments: Start and end of each piece, aware, in any order; they may overlap.
            kinds: Of each segment, ``time`` where nothing is said.
            style: How the pictures look; see ``PatternStyle``.

        Raises:
            ValueError: A time has no zone, or a segment ends before it begins.
        """
        self.style = style or PatternStyle()
        self._files: list[RecordedFile] = []
        for place, (start, end) in enumerate(segments):
            kind = kinds[place] if place < len(kinds) else "time"
            self._files.append(_drawn_file(_second(start), _second(end), kind))
        self._files.sort(key=lambda one: (one.start, one.end))
        first = self._files[0].start if self._files else datetime.now(UTC)
        self._midnight = int(first.replace(hour=0, minute=0, second=0).timestamp())

    def find(self, start: datetime, end: datetime, *, kind: str = "all") -> list[RecordedFile]:
        """See ``Recordings``."""
        return [
            one
            for one in self._files
            if one.start < end and one.end > start and kind in ("all", one.kind)
        ]

    def source(self, start: datetime, end: datetime, *, kind: str = "all") -> RecordedSource:
        """See ``Recordings``."""
        spans = [
            range(floor(max(one.start, start).timestamp()), ceil(min(one.end, end).timestamp()))
            for one in self.find(start, end, kind=kind)
        ]
        return _PatternSource(self.style, _joined(spans), floor(start.timestamp()), self._midnight)

    def counter_at(self, moment: datetime) -> int:
        """Return what the counter in the picture of a moment reads."""
        return int((moment.timestamp() - self._midnight) * self.style.fps) % _COUNTER_LIMIT

    def moment_of(self, counter: int, *, near: datetime) -> datetime:
        """Return the moment that a counter tells: of those possible the one nearest to ``near``."""
        fps = self.style.fps
        expected = (near.timestamp() - self._midnight) * fps
        laps = round((expected - counter) / _COUNTER_LIMIT)
        seconds = (counter + laps * _COUNTER_LIMIT) / fps
        return datetime.fromtimestamp(self._midnight, near.tzinfo) + timedelta(seconds=seconds)


_COUNTER_LIMIT = 1 << 16  # that of the block code in the picture


class _PatternSource:
    """Some seconds of a drawn disk."""

    def __init__(self, style: PatternStyle, spans: list[range], start: int, midnight: int) -> None:
        self.video = style.video
        self.audio = style.audio
        self.duration = float(spans[-1].stop - start) if spans else 0.0
        self.size = sum(map(len, spans)) * _BYTES_A_SECOND
        self._style = style
        self._spans = spans
        self._start = start
        self._midnight = midnight

    async def groups(
        self, position: float, *, reverse: bool = False
    ) -> AsyncGenerator[Group, None]:
        """See ``RecordedSource``."""
        at = self._start + floor(position)
        for second in _backward(self._spans, at) if reverse else _forward(self._spans, at):
            units = await asyncio.to_thread(pattern_second, self._style, second - self._midnight)
            start = (second - self._start) * _TICKS
            yield Group(
                start=start,
                duration=_TICKS,
                units=tuple(
                    replace(unit, pts=unit.pts + start, dts=unit.dts + start) for unit in units
                ),
            )


def _forward(spans: Sequence[range], at: int) -> Iterator[int]:
    for span in spans:
        yield from range(max(span.start, at), span.stop)


def _backward(spans: Sequence[range], at: int) -> Iterator[int]:
    for span in reversed(spans):
        yield from range(min(span.stop - 1, at), span.start - 1, -1)


def _joined(spans: Sequence[range]) -> list[range]:
    """Put together what overlaps or touches."""
    joined: list[range] = []
    for span in sorted(spans, key=lambda one: one.start):
        if joined and span.start <= joined[-1].stop:
            joined[-1] = range(joined[-1].start, max(joined[-1].stop, span.stop))
        elif span:
            joined.append(span)
    return joined


def _second(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.replace(microsecond=0)


def _drawn_file(start: datetime, end: datetime, kind: str) -> RecordedFile:
    if end <= start or kind not in KINDS:
        raise ValueError(f"no recording of the kind {kind!r} lasts from {start} to {end}")
    name = f"{start:%Y%m%d%H%M%S}-{end:%Y%m%d%H%M%S}"
    return RecordedFile(
        start=start,
        end=end,
        name=name,
        path=f"/record/{name}.ps",
        size=int((end - start).total_seconds()) * _BYTES_A_SECOND,
        kind=kind,
    )
