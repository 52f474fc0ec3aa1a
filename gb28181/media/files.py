"""FileTape: media files, one after the other, as one recording."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .source import Group

if TYPE_CHECKING:
    from collections.abc import Generator

    from rtp.access_unit import AccessUnit, Codec

    from .reading import Timed

_TICKS = 90_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeFile:
    """A file, and where in the recording it lies."""

    path: Path
    start: float
    """Seconds from the start of what was asked for; negative when the file began before."""
    end: float
    size: int
    """Bytes."""


class FileTape:
    """A ``RecordedSource`` of files; each is opened when its time comes and read in threads.

    To play in reverse, a file is read through once to find its key frames.
    """

    def __init__(
        self,
        files: Sequence[TapeFile],
        *,
        end: float,
        video: Codec | None,
        audio: Codec | None,
    ) -> None:
        """Take the files in order, and the second at which what was asked for ends."""
        self.video = video
        self.audio = audio
        self._files = files
        self._end = end
        self._keys: dict[Path, list[float]] = {}

    @property
    def duration(self) -> float:
        """See ``RecordedSource``."""
        return min(self._end, max((file.end for file in self._files), default=0.0))

    @property
    def size(self) -> int:
        """See ``RecordedSource``: the share of the files that is asked for."""
        total = 0.0
        for file in self._files:
            within = min(file.end, self._end) - max(file.start, 0.0)
            total += file.size * within / (file.end - file.start)
        return int(total)

    async def groups(
        self, position: float, *, reverse: bool = False
    ) -> AsyncGenerator[Group, None]:
        """See ``RecordedSource``."""
        if reverse:
            async for group in self._backward(position):
                yield group
            return
        for file in self._files:
            if file.end <= position:
                continue
            async for group in self._read(file, max(position - file.start, 0.0)):
                if group.start >= self._end * _TICKS:
                    return
                yield group

    async def _read(self, file: TapeFile, offset: float) -> AsyncGenerator[Group, None]:
        from .reading import read_groups

        reader = read_groups(file.path, offset)
        try:
            while (units := await asyncio.to_thread(next, reader, None)) is not None:
                group = _group(units, round(file.start * _TICKS))
                if group is not None:
                    yield group
        finally:
            await asyncio.shield(asyncio.to_thread(_close, reader))

    async def _backward(self, position: float) -> AsyncGenerator[Group, None]:
        from .reading import key_times

        for file in reversed(self._files):
            if file.start > position:
                continue
            if file.path not in self._keys:
                self._keys[file.path] = await asyncio.to_thread(key_times, file.path)
            for key in reversed(self._keys[file.path]):
                at = file.start + key
                if at > position or at >= self._end:
                    continue
                group = await self._group_at(file, key)
                if group is not None:
                    yield group
                if at <= 0:
                    return

    async def _group_at(self, file: TapeFile, key: float) -> Group | None:
        """The group that begins at a key frame; a container may seek to the one before it."""
        groups = self._read(file, key)
        wanted = round((file.start + key) * _TICKS)
        try:
            async for group in groups:
                if group.start >= max(wanted, 0):
                    return group
        finally:
            await groups.aclose()
        return None


def _group(units: list[Timed], offset: int) -> Group | None:
    """Move a group of a file to its place; what lies before the start keeps its order there."""
    moved: list[AccessUnit] = []
    for place, (unit, _) in enumerate(units):
        dts, pts = unit.dts + offset, unit.pts + offset
        if dts < 0:
            # The pictures before the start are needed to decode, but take no time.
            dts = pts = place
        moved.append(replace(unit, dts=dts, pts=max(pts, dts)))
    last, duration = units[-1]
    end = last.dts + duration + offset
    if end <= 0:
        return None
    return Group(start=moved[0].dts, duration=max(end - moved[0].dts, 1), units=tuple(moved))


def _close(reader: Generator[list[Timed], None, None]) -> None:
    reader.close()
