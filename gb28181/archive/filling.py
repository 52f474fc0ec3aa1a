"""Filling: fetches from the cameras' own disks what is missing in the archive."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Gb28181Error
from ..manscdp.values import BEIJING
from .index import Index, Piece, without

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..channel import Channel
    from ..media.moments import Span
    from ..sessions.download import Downloaded

logger = logging.getLogger("gb28181.archive")

LEAST = 1.0
"""Seconds that are worth a download."""
LONGEST = 3600.0
"""Seconds of one download: what a broken one has brought is kept, and little is asked twice."""
PAUSES = (300.0, 3600.0, 6 * 3600.0)
"""Seconds until what a disk did not have is asked for again; then never more."""


class Filling:
    """Fetches what is missing of one channel, piece by piece.

    Source: 9.9 (download), 9.7 (search).
    """

    def __init__(
        self,
        *,
        folder: Path,
        index: Index,
        clock: Callable[[], float],
        speed: int = 4,
    ) -> None:
        """Prepare to fetch.

        Args:
            folder: The archive's.
            index: Notes the files.
            clock: Unix seconds.
            speed: How many times faster than real time a device is asked to send.
        """
        self.filled = 0.0
        """Seconds that were fetched."""
        self._folder = folder
        self._index = index
        self._clock = clock
        self._speed = speed

    async def fill(self, channel: Channel, missing: list[Span]) -> None:
        """Fetch what the camera's disk has of the missing stretches.

        Raises:
            Gb28181Error: The device cannot be asked now.
            OSError: A file cannot be written.
        """
        now = self._clock()
        hopeless = await asyncio.to_thread(self._index.absent, channel.id, now, PAUSES)
        for span in without(missing, hopeless, least=LEAST):
            held = await self._held(channel, span)
            for absent in without([span], held, least=LEAST):
                await asyncio.to_thread(self._index.note_absent, channel.id, absent, now)
            for start, end in held:
                await self._fetch_all(channel, start, end)

    async def _held(self, channel: Channel, span: Span) -> list[Span]:
        """What the disk says it has of a stretch."""
        found = await channel.records(_time(span[0]), _time(span[1]))
        held = [(one.start.timestamp(), one.end.timestamp()) for one in found.items]
        lacking = without([span], held)
        return without([span], lacking, least=LEAST)

    async def _fetch_all(self, channel: Channel, start: float, end: float) -> None:
        while end - start >= LEAST:
            until = min(end, start + LONGEST)
            if end - until < LEAST:
                until = end
            await self._fetch(channel, start, until)
            start = until

    async def _fetch(self, channel: Channel, start: float, end: float) -> None:
        begin = float(int(start))  # the standard asks by whole seconds
        local = datetime.fromtimestamp(begin, BEIJING)
        name = f"{channel.id}/{local:%Y-%m-%d}/{local:%Y%m%d-%H%M%S}-disk.mp4"
        path = await asyncio.to_thread(self._free, name)
        logger.info("%s: fetching %s to %s from its disk", channel.id, _time(begin), _time(end))
        try:
            done = await channel.download(
                _time(begin), _time(end), to=self._folder / path, speed=self._speed
            )
        except Gb28181Error:
            await asyncio.to_thread((self._folder / path).unlink, missing_ok=True)
            raise
        await asyncio.to_thread(self._note, channel.id, (begin, start, end), path, done)

    def _free(self, name: str) -> str:
        """A name that no file has yet."""
        path, number = Path(name), 1
        while (self._folder / path).exists():
            number += 1
            path = Path(name).with_stem(f"{Path(name).stem}-{number}")
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        return str(path)

    def _note(
        self, channel: str, asked: tuple[float, float, float], path: str, done: Downloaded
    ) -> None:
        begin, start, end = asked
        absent = [(a.timestamp(), b.timestamp()) for a, b in done.missing]
        there = without([(start, end)], absent, least=0.5)
        size = sum(one.stat().st_size for one in done.paths)
        self._index.add(
            Piece(
                id=0, channel=channel, start=a, end=b,
                path=path, offset=a - begin, size=size,
            )
            for a, b in there
        )  # fmt: skip
        for span in without(absent, [], least=LEAST):
            self._index.note_absent(channel, span, self._clock())
        self.filled += sum(b - a for a, b in there)


def _time(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, BEIJING)
