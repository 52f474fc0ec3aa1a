"""Archive: records what is wanted for ever, fills what is missing, deletes what is too old."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Gb28181Error, RoleFailed
from ..events import Alarm, CatalogChanged, DeviceOnline
from ..identifiers import IdKind, kind_of
from ..media.reading import describe_file
from .filling import LEAST, Filling
from .index import Index, Piece, without
from .plan import Plan, plan_for
from .shelf import Shelf
from .taping import Taping, TapingStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from ..media.moments import Span
    from ..platform import Platform

logger = logging.getLogger("gb28181.archive")

INDEX = "index.db"
_WITHOUT_PICTURES = frozenset(
    {
        IdKind.AREA, IdKind.SYSTEM, IdKind.GROUP, IdKind.ORGANISATION, IdKind.ALARM_OUTPUT,
        IdKind.VOICE_INPUT, IdKind.VOICE_OUTPUT, IdKind.SERVER, IdKind.USER,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """How an archive works."""

    length: float = 600.0
    """Seconds of a file."""
    look: float = 5.0
    """Seconds between two comparisons of what is wanted with what is running."""
    fill_every: float = 300.0
    """Seconds between two looks for what is missing."""
    fill_after: float = 60.0
    """Seconds that a stretch must be old before it counts as missing."""
    fill_days: float = 7.0
    """Days back in which something is looked for."""
    fills_at_once: int = 2
    """Channels that are filled at a time."""
    speed: int = 4
    """How many times faster than real time a camera is asked to send what is missing."""
    max_bytes: int | None = None
    """Of all files; the oldest go first."""
    min_free: int = 1 << 30
    """Bytes that stay free on the disk; the oldest files go first."""


class Archive:
    """The recordings of one platform: ``async with`` beside it.

    What is wanted and what is running are compared every few seconds, and so for ever: a recording
    that ended for whatever reason is begun again. The index is the truth of what is there.
    """

    def __init__(
        self,
        platform: Platform,
        folder: Path,
        plans: Sequence[Plan],
        *,
        settings: ArchiveSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take what is wanted; nothing is opened yet.

        Args:
            platform: Whose channels are recorded; it must run when the archive is entered.
            folder: Where the files and their index lie; it is made.
            plans: The first that is about a channel counts.
            settings: How.
            clock: Unix seconds.
        """
        self.folder = folder
        self.plans = tuple(plans)
        self.settings = settings or ArchiveSettings()
        self.deleted = 0
        """Files that were deleted by age or size."""
        self.disk_errors = 0
        """How often the disk or the index refused."""
        self._platform = platform
        self._clock = clock
        self._index: Index | None = None
        self._filling: Filling | None = None
        self._tapings: dict[str, tuple[Taping, asyncio.Task[None]]] = {}
        self._alarm_until: dict[str, float] = {}
        self._work: list[asyncio.Task[None]] = []
        self._filling_now: set[str] = set()
        self._fill_soon = asyncio.Event()
        self._look_soon = asyncio.Event()

    # Life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the index, mend what a crash left, and begin.

        Raises:
            OSError: The folder or the index cannot be used.
            PlatformFailed: The platform is not running.
        """
        self._platform.check()
        self._index = await asyncio.to_thread(self._open)
        self._filling = Filling(
            folder=self.folder, index=self._index, clock=self._clock, speed=self.settings.speed
        )
        spawn = self._platform.station.supervisor.spawn
        for work, name in (
            (self._reconcile(), "recordings"),
            (self._listen(), "recordings on events"),
            (self._fill_all(), "filling recordings"),
            (self._sweep_all(), "retention of recordings"),
        ):
            self._work.append(spawn(work, name=name))

    async def stop(self) -> None:
        """End every recording, finish the files, close the index. Idempotent."""
        tasks = [*self._work, *(task for _, task in self._tapings.values())]
        self._work, self._tapings = [], {}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        index, self._index = self._index, None
        if index is not None:
            await asyncio.to_thread(index.close)

    async def __aenter__(self) -> Archive:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # What a user asks -----------------------------------------------------------------------

    @property
    def index(self) -> Index:
        """What is there; its calls block, so ``await asyncio.to_thread(...)``."""
        if self._index is None:
            raise RoleFailed("the archive is not running: enter it with 'async with' first")
        return self._index

    @property
    def filled(self) -> float:
        """Seconds that were fetched from cameras' disks since the start."""
        return self._filling.filled if self._filling else 0.0

    def status(self) -> list[TapingStatus]:
        """How each wanted recording stands."""
        return [taping.status for taping, _ in self._tapings.values()]

    def missing(self, channel_id: str, start: float, end: float) -> list[Span]:
        """What was wanted within a time and is not there. Blocks.

        Args:
            channel_id: The channel.
            start: Unix seconds.
            end: Unix seconds.
        """
        plan = plan_for(self.plans, channel_id)
        if plan is None:
            return []
        start = max(start, self.index.since(channel_id, self._clock()))
        wanted = [*plan.spans(start, end), *self.index.alarms(channel_id, start, end)]
        return without(_merged(wanted), self.index.covered(channel_id, start, end), least=LEAST)

    def shelf(self, channel_id: str, start: float, end: float) -> Shelf:
        """What there is of a channel's time, to be served as recordings. Blocks.

        Args:
            channel_id: The channel.
            start: Unix seconds.
            end: Unix seconds.

        Raises:
            OSError: The index or a file cannot be read.
        """
        span = (start, end)
        return Shelf.of(self.index, self.folder, channel_id, span, now=self._clock())

    # What is wanted, and what is running ----------------------------------------------------

    async def _reconcile(self) -> None:
        while True:
            with self._disk_trouble("recordings cannot be begun"):
                await self._compare(self._wanted())
            self._look_soon.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.look):
                    await self._look_soon.wait()

    async def _compare(self, wanted: dict[str, str]) -> None:
        for channel_id in list(self._tapings):
            task = self._tapings[channel_id][1]
            if channel_id not in wanted:
                task.cancel()
                del self._tapings[channel_id]
            elif task.done():
                logger.error("the recording of %s had stopped; it is begun again", channel_id)
                del self._tapings[channel_id]
        for channel_id, kind in wanted.items():
            if channel_id not in self._tapings:
                await asyncio.to_thread(self.index.since, channel_id, self._clock())
                self._tapings[channel_id] = self._begin(channel_id)
            self._tapings[channel_id][0].kind = kind

    def _wanted(self) -> dict[str, str]:
        """The channels to be recorded now, each with its kind."""
        now = self._clock()
        wanted: dict[str, str] = {}
        known = {item.device_id for _, item in self._platform.channels()}
        for channel_id in sorted(known | self._tapings.keys() | self._alarm_until.keys()):
            plan = plan_for(self.plans, channel_id)
            if plan is None or not (has_pictures(channel_id) or channel_id in plan.channels):
                continue
            if self._alarm_until.get(channel_id, 0.0) > now:
                wanted[channel_id] = "alarm"
            elif plan.wants(now):
                wanted[channel_id] = "time"
        return wanted

    def _begin(self, channel_id: str) -> tuple[Taping, asyncio.Task[None]]:
        taping = Taping(
            self._platform.channel(channel_id),
            folder=self.folder,
            index=self.index,
            clock=self._clock,
            length=self.settings.length,
        )
        task = self._platform.station.supervisor.spawn(
            taping.run(), name=f"record {channel_id}", on_fault=lambda _: None
        )
        return taping, task

    async def _listen(self) -> None:
        async with self._platform.events(snapshot=True) as events:
            async for event in events:
                match event:
                    case Alarm():
                        with self._disk_trouble("a recording on an alarm is not noted"):
                            await self._alarmed(event.notify.device_id)
                    case DeviceOnline():
                        for item in event.device.channels:
                            if item.device_id in self._tapings:
                                self._tapings[item.device_id][0].try_now()
                        self._fill_soon.set()
                    case CatalogChanged():
                        self._look_soon.set()

    async def _alarmed(self, channel_id: str) -> None:
        plan = plan_for(self.plans, channel_id)
        if plan is None or plan.on_alarm <= 0:
            return
        now = self._clock()
        self._alarm_until[channel_id] = now + plan.on_alarm
        await asyncio.to_thread(self.index.note_alarm, channel_id, now, now + plan.on_alarm)
        self._look_soon.set()

    # What is missing ------------------------------------------------------------------------

    async def _fill_all(self) -> None:
        slots = asyncio.Semaphore(self.settings.fills_at_once)
        spawn = self._platform.station.supervisor.spawn
        while True:
            self._fill_soon.clear()
            known: list[str] = []
            with self._disk_trouble("nothing is filled"):
                known = await asyncio.to_thread(self.index.channels)
            for channel_id in known:
                plan = plan_for(self.plans, channel_id)
                if plan is None or not plan.fills or channel_id in self._filling_now:
                    continue
                self._filling_now.add(channel_id)
                spawn(
                    self._fill(channel_id, slots), name=f"fill {channel_id}",
                    on_fault=lambda _, one=channel_id: self._filling_now.discard(one),  # type: ignore[misc]
                )  # fmt: skip
            try:
                async with asyncio.timeout(self.settings.fill_every):
                    await self._fill_soon.wait()
                # What has just come back is given time to be recorded first.
                await asyncio.sleep(self.settings.fill_after)
            except TimeoutError:
                continue

    async def _fill(self, channel_id: str, slots: asyncio.Semaphore) -> None:
        assert self._filling is not None
        try:
            async with slots:
                now = self._clock()
                start = now - self.settings.fill_days * 86_400
                end = now - self.settings.fill_after
                missing = await asyncio.to_thread(self.missing, channel_id, start, end)
                if missing and self._platform.channel_online(channel_id):
                    await self._filling.fill(self._platform.channel(channel_id), missing)
        except (Gb28181Error, OSError) as error:
            logger.info("%s: not filled now: %s", channel_id, error)
        finally:
            self._filling_now.discard(channel_id)

    @contextmanager
    def _disk_trouble(self, what: str) -> Iterator[None]:
        """A full or broken disk stops a step, and no more: the next look tries again."""
        try:
            yield
        except OSError as error:
            self.disk_errors += 1
            logger.error("%s: %s", what, error)

    # What is too old ------------------------------------------------------------------------

    async def _sweep_all(self) -> None:
        while True:
            with self._disk_trouble("old recordings cannot be deleted"):
                await asyncio.to_thread(self._sweep)
            await asyncio.sleep(self.settings.fill_every)

    def _sweep(self) -> None:
        now = self._clock()
        for channel_id in self.index.channels():
            plan = plan_for(self.plans, channel_id)
            if plan is None:
                continue  # what nobody plans for any more is kept until room is needed
            limit = now - plan.keep_days * 86_400
            for piece in self.index.before(channel_id, limit):
                self._delete(piece)
            self.index.forget(channel_id, limit)
        while self._is_too_large():
            oldest = self.index.oldest(10)
            if not oldest:
                return
            for piece in oldest:
                self._delete(piece)

    def _is_too_large(self) -> bool:
        limit = self.settings.max_bytes
        if limit is not None and self.index.size() > limit:
            return True
        return shutil.disk_usage(self.folder).free < self.settings.min_free

    def _delete(self, piece: Piece) -> None:
        for path in self._parts(piece.path):
            path.unlink(missing_ok=True)
        self.index.drop(piece.path)
        self.deleted += 1
        folder = (self.folder / piece.path).parent
        if not any(folder.iterdir()):
            folder.rmdir()

    def _parts(self, name: str) -> list[Path]:
        return [self.folder / name]

    # After a crash --------------------------------------------------------------------------

    def _open(self) -> Index:
        self.folder.mkdir(parents=True, exist_ok=True)
        index = Index(self.folder / INDEX)
        for piece in index.unfinished():
            self._mend(index, piece)
        return index

    def _mend(self, index: Index, piece: Piece) -> None:
        """A file that was being written is as long as what it holds."""
        path = self.folder / piece.path
        try:
            length = describe_file(path)[2]
        except Gb28181Error:
            length = None
        if not length:
            logger.warning("%s: nothing of it can be read; it is dropped", piece.path)
            index.drop(piece.path)
            return
        index.finish(piece.id, piece.start, piece.start + length, path.stat().st_size)


def has_pictures(channel_id: str) -> bool:
    """Whether a line of a catalogue may be a camera: not an area, a group, a loudspeaker, ...

    Cameras come with types 131, 132 and sometimes 134, and with codes that say nothing.
    """
    return kind_of(channel_id) not in _WITHOUT_PICTURES


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
