"""Taping: one channel's live stream into file after file, for as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rtp.access_unit import AccessUnit, MediaKind

from ..errors import Cause, SessionLost
from ..manscdp.values import BEIJING
from ..media.reading import describe_file
from ..media.record import Mp4Recorder
from ..sessions.live import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..channel import Channel
    from ..sessions.live import Live
    from .index import Index

logger = logging.getLogger("gb28181.archive")

_TICKS = 90_000
_JUMP = 2.0
"""Seconds between pictures from which on a new file is begun: nothing was recorded between."""
_PERIOD = 0.5
"""Seconds between two hand-overs to the disk: what a crash costs besides the last fragment."""
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TapingStatus:
    """How a channel's recording stands."""

    channel: str
    running: bool
    """Whether pictures are being written."""
    since: float | None
    """When that began, in Unix seconds."""
    cause: Cause | None
    """Why it last stopped, or could not begin."""
    attempts: int
    """Tries since the last picture."""


class Taping:
    """Records one channel while it is wanted; every loss ends in another try.

    A file holds up to ``length`` seconds and begins at a key frame. It is noted in the index when
    it is begun, so that nothing is lost of it when the process dies.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        folder: Path,
        index: Index,
        clock: Callable[[], float],
        length: float = 600.0,
    ) -> None:
        """Prepare to record.

        Args:
            channel: The camera.
            folder: The archive's.
            index: Notes the files.
            clock: Unix seconds.
            length: Seconds of a file.
        """
        self.kind = "time"
        """What the files are noted as from the next one on: ``time`` or ``alarm``."""
        self._channel = channel
        self._folder = folder
        self._index = index
        self._clock = clock
        self._length = length
        self._retry = Backoff(1.0, 15.0)
        self._soon = asyncio.Event()
        self._running_since: float | None = None
        self._cause: Cause | None = None
        self._attempts = 0

    @property
    def status(self) -> TapingStatus:
        """How it stands now."""
        return TapingStatus(
            channel=self._channel.id,
            running=self._running_since is not None,
            since=self._running_since,
            cause=self._cause,
            attempts=self._attempts,
        )

    def try_now(self) -> None:
        """Do not wait for the next try: the device is back."""
        self._soon.set()

    async def run(self) -> None:
        """Record until cancelled; what was begun is finished then."""
        while True:
            self._soon.clear()
            try:
                live = await self._channel.play().open()
            except SessionLost as lost:
                self._note(lost.cause)
            else:
                try:
                    await self._tape(live)
                except SessionLost as lost:
                    self._note(lost.cause)
                except OSError as error:
                    sentence = f"{self._channel.id}: cannot be written: {error}"
                    self._note(Cause(code="disk", sentence=sentence))
                finally:
                    self._running_since = None
                    live.close()
            try:
                async with asyncio.timeout(self._retry.delay(max(1, self._attempts))):
                    await self._soon.wait()
            except TimeoutError:
                continue

    def _note(self, cause: Cause) -> None:
        self._attempts += 1
        if self._cause is None or self._cause.code != cause.code:
            logger.warning("not recording %s: %s", self._channel.id, cause.sentence)
        self._cause = cause

    async def _tape(self, live: Live) -> None:
        writer = _Writer(self)
        batch: list[AccessUnit] = []
        loop = asyncio.get_running_loop()
        written_at = loop.time()
        units = live.units()
        try:
            async for unit in units:
                writer.observe(unit, self._clock())
                batch.append(unit)
                if loop.time() - written_at >= _PERIOD or len(batch) >= _BATCH:
                    full, batch, written_at = batch, [], loop.time()
                    await writer.write(full)
                    if writer.is_writing:
                        self._began()
        finally:
            await units.aclose()
            await asyncio.shield(asyncio.ensure_future(writer.finish(batch)))

    def _began(self) -> None:
        if self._running_since is None:
            self._running_since = self._clock()
            if self._cause is not None:
                logger.info("recording %s again", self._channel.id)
        self._cause, self._attempts = None, 0

    def new_path(self, moment: float) -> str:
        """Where a file that begins at a moment goes, relative to the folder."""
        local = datetime.fromtimestamp(moment, BEIJING)
        name = f"{local:%Y%m%d-%H%M%S}-{int(moment * 1000) % 1000:03d}.mp4"
        return f"{self._channel.id}/{local:%Y-%m-%d}/{name}"

    def begin(self, moment: float) -> _File:
        """Open the next file. Blocks."""
        path = self.new_path(moment)
        (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
        number = self._index.begin(self._channel.id, moment, path, kind=self.kind)
        return _File(self._channel.id, self._folder / path, path, number, self._index)

    @property
    def length(self) -> float:
        """Seconds of a file."""
        return self._length

    def now(self) -> float:
        """Unix seconds."""
        return self._clock()


class _File:
    """One file that is being written. Everything blocks."""

    def __init__(self, channel: str, path: Path, name: str, number: int, index: Index) -> None:
        self.name = name
        self._channel = channel
        self.first: int | None = None
        self.last = 0
        """Ticks of the first and the last picture."""
        self._recorder = Mp4Recorder(path)
        self._path = path
        self._number = number
        self._index = index

    def push(self, unit: AccessUnit) -> None:
        if unit.kind is MediaKind.VIDEO:
            if self.first is None:
                self.first = unit.dts
            self.last = unit.dts
        self._recorder.push(unit)

    def close(self, start: float, end: float) -> None:
        recording = self._recorder.close()
        if not recording.paths:
            self._index.drop(self.name)
            return
        self._index.finish(self._number, start, end, self._path.stat().st_size)
        self._note_others(recording.paths[1:], start, end)

    def _note_others(self, paths: Sequence[Path], start: float, end: float) -> None:
        """A change of codec within the time has begun files of its own: they take the rest."""
        at, before = start, self._path
        for path in paths:
            at += describe_file(before)[2] or 0.0
            self._index.finish(self._number, start, at, before.stat().st_size)
            name = str(Path(self.name).with_name(path.name))
            start, before = at, path
            self._number = self._index.begin(self._channel, start, name)
            self._index.finish(self._number, start, max(end, start), path.stat().st_size)


class _Writer:
    """Cuts one session's units into files and keeps the times."""

    def __init__(self, taping: Taping) -> None:
        self._taping = taping
        self._job: asyncio.Future[None] | None = None
        self._file: _File | None = None
        self._offset: float | None = None  # Unix seconds of tick 0: the smallest delay seen
        self._step = 3600
        self._last: int | None = None
        self._reached: float | None = None  # where the file before ended, when this one follows it

    @property
    def is_writing(self) -> bool:
        """Whether a file is open: from the first key frame on."""
        return self._file is not None

    def observe(self, unit: AccessUnit, now: float) -> None:
        """Learn the time of a unit as it arrives: the quickest of them tell it best."""
        offset = now - unit.dts / _TICKS
        if self._offset is None or offset < self._offset:
            self._offset = offset

    async def write(self, units: list[AccessUnit]) -> None:
        # Shielded: who is cancelled here has given the units away, and finish() waits for them.
        self._job = asyncio.ensure_future(asyncio.to_thread(self._write, units))
        await asyncio.shield(self._job)

    async def finish(self, units: list[AccessUnit]) -> None:
        if self._job is not None and not self._job.done():
            await asyncio.wait([self._job])
        await asyncio.to_thread(self._finish, units)

    def _write(self, units: list[AccessUnit]) -> None:
        for unit in units:
            if unit.kind is MediaKind.VIDEO:
                self._look(unit)
            if self._file is not None:
                self._file.push(unit)

    def _finish(self, units: list[AccessUnit]) -> None:
        try:
            self._write(units)
        finally:
            self._cut(None)

    def _look(self, unit: AccessUnit) -> None:
        """Begin a file with the first key frame, after a hole, and when one is long enough."""
        if self._last is not None and not -_TICKS < unit.dts - self._last < _JUMP * _TICKS:
            self._cut(None)
            if unit.dts < self._last:
                self._offset = self._taping.now() - unit.dts / _TICKS  # the clock started anew
        elif self._last is not None and unit.dts > self._last:
            self._step = unit.dts - self._last
        self._last = unit.dts
        if not unit.is_key or unit.is_damaged:
            return
        if self._file is not None and self._file.first is not None:
            if unit.dts - self._file.first < self._taping.length * _TICKS:
                return
            self._cut(unit.dts)
        if self._file is None:
            self._file = self._taping.begin(self._moment(unit.dts))

    def _cut(self, following: int | None) -> None:
        """Finish the file; ``following`` is the picture that goes on without a hole."""
        file, self._file = self._file, None
        if file is None or file.first is None:
            self._reached = None
            return
        start = self._moment(file.first)
        if self._reached is not None and abs(start - self._reached) < _JUMP:
            start = self._reached
        end = self._moment(file.last + self._step if following is None else following)
        end = max(end, start + 0.001)
        self._reached = None if following is None else end
        file.close(start, end)

    def _moment(self, ticks: int) -> float:
        assert self._offset is not None, "a unit is observed before it is written"
        return self._offset + ticks / _TICKS
