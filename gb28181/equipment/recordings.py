"""Recordings: the disk of a recorder, drawn or made of files."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import ConfigError
from ..manscdp.values import BEIJING
from ..media.files import FileTape, TapeFile
from ..media.reading import describe_file
from ..media.source import Group, PatternStyle, RecordedSource, pattern_second

if TYPE_CHECKING:
    from rtp.access_unit import Codec

logger = logging.getLogger("gb28181.equipment")

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


class FileRecordings:
    """A folder of media files whose names say when they begin, and perhaps when they end.

    Any date and time of day in a name is understood, such as ``20260101080000-20260101090000.mp4``
    or ``gate_2026-01-01_08-00-00.mkv``; without one a file ends at its time of change. What cannot
    be read is left out.
    """

    def __init__(self, folder: Path, *, zone: tzinfo = BEIJING) -> None:
        """Look through the folder. Blocks while each file is opened.

        Args:
            folder: Is not searched below its first level.
            zone: Of the times in the names.
        """
        self._folder = folder
        self._zone = zone
        self._known: dict[tuple[str, int, int], _File] = {}
        self._files: list[_File] = []
        self.refresh()

    def refresh(self) -> None:
        """Look again; only files that are new or changed are opened. Blocks."""
        known: dict[tuple[str, int, int], _File] = {}
        for path in sorted(self._folder.iterdir()):
            if path.suffix.lower() not in _SUFFIXES or not path.is_file():
                continue
            status = path.stat()
            key = (path.name, status.st_mtime_ns, status.st_size)
            file = self._known.get(key) or _look_into(path, self._zone)
            if file is not None:
                known[key] = file
        self._known = known
        self._files = sorted(known.values(), key=lambda one: one.entry.start)

    def find(self, start: datetime, end: datetime, *, kind: str = "all") -> list[RecordedFile]:
        """See ``Recordings``; every file is of the kind ``time``."""
        return [one.entry for one in self._found(start, end, kind)]

    def source(self, start: datetime, end: datetime, *, kind: str = "all") -> RecordedSource:
        """See ``Recordings``."""
        found = self._found(start, end, kind)
        return FileTape(
            [
                TapeFile(
                    path=Path(one.entry.path),
                    start=(one.entry.start - start).total_seconds(),
                    end=(one.entry.end - start).total_seconds(),
                    size=one.entry.size,
                )
                for one in found
            ],
            end=(end - start).total_seconds(),
            video=found[0].video if found else None,
            audio=found[0].audio if found else None,
        )

    def _found(self, start: datetime, end: datetime, kind: str) -> list[_File]:
        if kind not in ("all", "time"):
            return []
        return [one for one in self._files if one.entry.start < end and one.entry.end > start]


_SUFFIXES = frozenset({".mp4", ".mkv", ".mov", ".avi", ".flv", ".ts", ".ps", ".mpg", ".mpeg"})
_TIME = re.compile(
    r"(?<!\d)(\d{4})[-_.]?(\d\d)[-_.]?(\d\d)[-_ T.]?(\d\d)[-_:.]?(\d\d)[-_:.]?(\d\d)(?!\d)"
)


@dataclass(frozen=True, slots=True)
class _File:
    entry: RecordedFile
    video: Codec | None
    audio: Codec | None


def _look_into(path: Path, zone: tzinfo) -> _File | None:
    try:
        video, audio, length = describe_file(path)
    except ConfigError as error:
        logger.warning("recording left out: %s", error)
        return None
    if not length:
        return None
    named = _times_in(path.stem, zone)
    status = path.stat()
    if named:
        start = named[0]
    else:
        start = datetime.fromtimestamp(status.st_mtime, zone) - timedelta(seconds=length)
    end = start + timedelta(seconds=length)
    if len(named) > 1 and named[1] > start:
        end = min(named[1], end)
    entry = RecordedFile(start=start, end=end, name=path.stem, path=str(path), size=status.st_size)
    return _File(entry, video, audio)


def _times_in(name: str, zone: tzinfo) -> list[datetime]:
    times = []
    for match in _TIME.finditer(name):
        with suppress(ValueError):
            times.append(datetime(*map(int, match.groups()), tzinfo=zone))  # type: ignore[misc, arg-type]
    return times


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
