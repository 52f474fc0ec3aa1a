"""Download: a recording on a camera's disk as one MP4 file here, resumed after every break."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Cause, Gb28181Error, SessionLost
from ..media.join import Joiner, missing_of
from ..media.moments import Span, end_of_span, next_span
from ..media.plan import SessionKind
from ..media.stages import Reason
from .live import Backoff
from .playback import check_times, is_normal
from .recorded import NEAR, Recorded, Wanted, open_recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtp.access_unit import AccessUnit

    from ..media.record import Mp4Recorder, Recording
    from .recorded import RecordingHost

logger = logging.getLogger("gb28181.download")

OVERLAP = 6
"""Seconds that a resumed part begins before the last picture taken."""
_PERIOD = 0.25
_BATCH = 200
_POLL = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress:
    """How far a download has come."""

    position: datetime
    """Up to which moment of the recording it has been written."""
    fraction: float
    """0 to 1, by the time of the recording."""
    frames: int
    received: int
    """Bytes of media."""
    size: int | None
    """Bytes that the device announced, when it did."""
    speed: float
    """Seconds of recording in a second, over the whole of the present part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """What came of a download."""

    paths: tuple[Path, ...]
    """The files in order: one, unless the coding changes, or it is longer than two hours."""
    frames: int
    duration: float
    """Seconds of all files together."""
    missing: tuple[tuple[datetime, datetime], ...]
    """What was asked for, is on the disk as far as known, and is not in the file."""
    parts: int
    """Sessions that it took."""
    cause: Cause
    """How the last one ended."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


class Download:
    """One download that runs; made and awaited by ``Channel.download``."""

    def __init__(
        self,
        host: RecordingHost,
        channel_id: str,
        start: datetime,
        end: datetime,
        *,
        to: Path | str,
        speed: int = 4,
        progress: Callable[[DownloadProgress], object] | None = None,
        patience: float = 600.0,
    ) -> None:
        """Take what is wanted; see ``Channel.download``."""
        check_times(start, end)
        self.channel_id = channel_id
        self._host = host
        self._zone = start.tzinfo
        self._start, self._end = start.timestamp(), end.timestamp()
        self._path = Path(to)
        self._speed = speed
        self._progress = progress
        self._patience = patience
        self._spans: list[Span] | None = None
        self._joiner = Joiner(self._start, self._end)
        self._parts = 0
        self._received = 0
        self._retry = Backoff(1.0, 30.0)

    async def run(self) -> Downloaded:
        """Download all of it.

        Raises:
            SessionLost: Nothing at all could be had.
            OSError: The file cannot be written.
        """
        from ..media.record import Mp4Recorder  # only with the extra "media"

        self._host.check()
        recorder = Mp4Recorder(self._path)
        recording: Recording | None = None
        try:
            async with self._host.sessions.download_slot(self.channel_id):
                cause = await self._parts_until_done(recorder)
        finally:
            recording = await asyncio.shield(asyncio.to_thread(recorder.close))
        if not recording.paths:
            raise SessionLost(cause)
        missing = await self._missing()
        return Downloaded(
            paths=recording.paths,
            frames=recording.frames,
            duration=recording.duration,
            missing=tuple((self._datetime(a), self._datetime(b)) for a, b in missing),
            parts=self._parts,
            cause=cause,
        )

    async def _missing(self) -> list[Span]:
        covered = self._joiner.covered
        missing = missing_of(covered, self._start, self._end, self._spans or ())
        if missing and self._spans is None:
            # What is not on the disk is not missing: the device is asked, now that it matters.
            await self._learn_spans()
            missing = missing_of(covered, self._start, self._end, self._spans or ())
        return missing

    async def _learn_spans(self) -> None:
        self._spans = await self._host.sessions.spans(self.channel_id, self._start, self._end)
        self._joiner.spans = self._spans

    async def _parts_until_done(self, recorder: Mp4Recorder) -> Cause:
        loop = asyncio.get_running_loop()
        origin, moved_at, attempt = self._start, loop.time(), 0
        while True:
            before = self._joiner.position
            cause = await self._part(origin, recorder)
            has_moved = self._joiner.position > before + 0.001
            if has_moved:
                moved_at, attempt = loop.time(), 0
            following = await self._following(cause, has_moved=has_moved)
            if following is None:
                return cause
            if not is_normal(cause):
                if loop.time() - moved_at > self._patience:
                    return cause
                attempt += 1
                logger.info("%s: resuming at %s: %s", self.channel_id,
                            self._datetime(following), cause.sentence)  # fmt: skip
                await self._until_online(attempt, cause, moved_at + self._patience)
            origin = following

    async def _part(self, origin: float, recorder: Mp4Recorder) -> Cause:
        """Take one session from a moment on to its end; return how it ended."""
        wanted = Wanted(
            channel_id=self.channel_id,
            start=int(origin),
            end=-int(-self._end // 1),
            kind=SessionKind.DOWNLOAD,
            speed=self._speed,
        )
        try:
            tape = await open_recording(
                self._host.sessions, wanted, spans=self._spans or (), loses_nothing=True
            )
        except SessionLost as lost:
            return lost.cause
        self._parts += 1
        self._joiner.begin(float(wanted.start))
        try:
            await self._take(tape, recorder)
            return await asyncio.shield(tape.session.ended)
        finally:
            tape.reader.close()
            if not tape.session.ended.done():
                sentence = f"{self.channel_id}: the download was given up"
                await tape.session.close(Cause(code=Reason.CANCELLED, sentence=sentence))

    async def _take(self, tape: Recorded, recorder: Mp4Recorder) -> None:
        loop = asyncio.get_running_loop()
        began, begun_at = loop.time(), self._joiner.position
        batch: list[AccessUnit] = []
        written_at = loop.time()
        try:
            async for unit in tape.reader:
                batch += self._joiner.push(unit)
                now = loop.time()
                if len(batch) >= _BATCH or now - written_at >= _PERIOD:
                    await _write(recorder, batch)
                    batch, written_at = [], now
                    passed = self._joiner.position - begun_at
                    self._tell(tape, passed / (now - began) if now > began else 0.0)
        except (Gb28181Error, OSError) as error:
            logger.debug("%s: %s", self.channel_id, error)
        finally:
            await _write(recorder, batch)
            self._received += tape.session.receiver.statistics.bytes
            self._tell(tape, 0.0)

    async def _following(self, cause: Cause, *, has_moved: bool) -> float | None:
        """Where to go on; None when there is nothing more, or it is useless."""
        position = self._joiner.position
        if position >= self._end - NEAR:
            return None
        again = max(self._start, float(int(position) - OVERLAP))
        if not is_normal(cause):
            return None if cause.permanent else again
        if self._spans is None:
            await self._learn_spans()
        if not self._spans:
            # Nobody knows whether that was all: what brings nothing new is the end.
            return again if has_moved else None
        until = end_of_span(self._spans, position)
        if until is not None and until - position > NEAR:
            return again if has_moved else None
        following = next_span(self._spans, position)
        return None if following is None else following[0]

    async def _until_online(self, attempt: int, cause: Cause, until: float) -> None:
        wait = max(cause.retry_after or 0.0, self._retry.delay(attempt))
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(wait)
            if self._host.channel_online(self.channel_id) or loop.time() >= until:
                return
            wait = _POLL

    def _tell(self, tape: Recorded, speed: float) -> None:
        if self._progress is None:
            return
        position, whole = self._joiner.position, self._end - self._start
        size = tape.session.announced_size
        is_over = tape.session.ended.done()
        self._progress(
            DownloadProgress(
                position=self._datetime(min(position, self._end)),
                fraction=min(1.0, max(0.0, (position - self._start) / whole)),
                frames=self._joiner.taken,
                received=self._received
                + (0 if is_over else tape.session.receiver.statistics.bytes),
                size=size,
                speed=speed,
            )
        )

    def _datetime(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, self._zone)


async def _write(recorder: Mp4Recorder, units: list[AccessUnit]) -> None:
    if units:
        await asyncio.to_thread(_push_all, recorder, units)


def _push_all(recorder: Mp4Recorder, units: list[Any]) -> None:
    for unit in units:
        recorder.push(unit)
