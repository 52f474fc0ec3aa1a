"""Recorded: one session with a camera's disk, and how its end is noticed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rtp.access_unit import MediaKind

from ..errors import Cause, SessionLost
from ..media.diagnosis import of_both
from ..media.moments import RecordingClock, Span
from ..media.plan import SessionKind
from ..media.stages import Reason, Stage
from ..media.stream import Overflow

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from rtp.access_unit import AccessUnit
    from rtp.batch import PacketBatch

    from ..media.session import MediaSession
    from ..media.stream import Reader

SILENCE_AT_END = 10.0
"""Seconds without a packet, after the end was reached, that say it is over (05 section 6)."""
NEAR = 1.5
"""Seconds before the end that count as the end: the last picture is shown for some time, too."""
_BEYOND = 2.0
_LOOK = 0.5
_PAST_END = "the end time"
_QUEUE = 4000
_PAUSED_QUEUE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a camera's disk."""

    channel_id: str
    start: int
    """Unix seconds."""
    end: int
    kind: SessionKind = SessionKind.PLAYBACK
    speed: int = 1
    """Of a download."""


class RecordingSessions(Protocol):
    """Who opens sessions with disks; ``Sessions`` of a platform."""

    async def open_recorded(self, wanted: Wanted) -> MediaSession:
        """Ask for a recording; returns as soon as the answer is acknowledged."""

    def try_another_way(self, channel_id: str, cause: Cause) -> bool:
        """Whether a session that ended for ``cause`` is worth another try over other transport."""

    async def spans(self, channel_id: str, start: float, end: float) -> list[Span]:
        """What is on the disk; empty when the device does not say."""

    def download_slot(self, channel_id: str) -> asyncio.Semaphore:
        """What limits the downloads of the device that a channel belongs to."""

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something in the platform's group; its fault is logged and ends it alone."""


class RecordingHost(Protocol):
    """What playback and download need of their platform."""

    @property
    def sessions(self) -> RecordingSessions:
        """Its sessions."""

    def channel_online(self, channel_id: str) -> bool:
        """Whether its device is registered and lists it as ON."""

    def check(self) -> None:
        """Raise when the platform is not running."""


class Recorded:
    """One session with a disk: its pictures with their moments, and a watch for its end.

    The end is what comes first: MediaStatus 121 (noticed by the platform), BYE, the end time
    passed, or silence after it was reached. Source: 9.8.2.1 q; spec 05 section 6.
    """

    def __init__(
        self,
        session: MediaSession,
        wanted: Wanted,
        sessions: RecordingSessions,
        *,
        spans: Sequence[Span] = (),
        on_picture: Callable[[Recorded, AccessUnit, float], None] | None = None,
        loses_nothing: bool = False,
    ) -> None:
        """Begin to watch a session that has just been acknowledged.

        Args:
            session: The session.
            wanted: What it was asked for.
            sessions: Hosts the watch.
            spans: What is on the disk, when that is known.
            on_picture: Is called with each picture and its moment.
            loses_nothing: Whether a slow reader slows the device, over TCP, instead of skipping.
        """
        self.session = session
        self.wanted = wanted
        self.clock = RecordingClock(float(wanted.start), spans=spans)
        self.is_reverse = False
        self.last_packet_at = asyncio.get_running_loop().time()
        self._loop = asyncio.get_running_loop()
        self._on_picture = on_picture
        pauses = loses_nothing and session.plan.mode != "udp"
        self.reader: Reader[AccessUnit] = session.receiver.units.reader(
            size=_PAUSED_QUEUE if pauses else _QUEUE,
            overflow=Overflow.PAUSE if pauses else Overflow.SKIP_TO_KEY,
        )
        """Everything from the first unit on."""
        self._detach = (
            session.receiver.batches.attach(self._packet),
            session.receiver.units.attach(self._unit),
        )
        sessions.spawn(self._watch(), name=f"end of recording {wanted.channel_id}")

    @property
    def position(self) -> float | None:
        """The moment of the last picture, in Unix seconds."""
        return self.clock.position

    @property
    def is_at_end(self) -> bool:
        """Whether the last picture is the last that was asked for, about."""
        position = self.clock.position
        if position is None:
            return False
        if self.is_reverse:
            return position <= self.wanted.start + NEAR
        return position + self.clock.step >= self.wanted.end - NEAR

    def _packet(self, batch: PacketBatch) -> None:
        self.last_packet_at = self._loop.time()

    def _unit(self, unit: AccessUnit) -> None:
        if unit.kind is MediaKind.VIDEO and not unit.is_damaged:
            moment = self.clock.note(unit)
            if self._on_picture is not None:
                self._on_picture(self, unit, moment)

    async def _watch(self) -> None:
        try:
            while not self.session.ended.done():
                await asyncio.wait({self.session.ended}, timeout=_LOOK)
                told = self._end_seen()
                if told:
                    await self.session.finish(told, drains=told != _PAST_END)
        finally:
            for detach in self._detach:
                detach()

    def _end_seen(self) -> str:
        position = self.clock.position
        if position is None or self.session.stage is Stage.PAUSED or self.session.ended.done():
            return ""
        if not self.is_reverse and position > self.wanted.end + _BEYOND:
            return _PAST_END
        silent = self._loop.time() - self.last_packet_at
        return "silence at the end" if self.is_at_end and silent >= SILENCE_AT_END else ""


async def open_recording(
    sessions: RecordingSessions,
    wanted: Wanted,
    *,
    spans: Sequence[Span] = (),
    on_picture: Callable[[Recorded, AccessUnit, float], None] | None = None,
    loses_nothing: bool = False,
) -> Recorded:
    """Ask for a recording and wait for its first packet; over the other transport if need be.

    Raises:
        SessionLost: With the cause of the first try. Nothing is left behind.
    """

    async def tried() -> Recorded:
        session = await sessions.open_recorded(wanted)
        tape = Recorded(
            session, wanted, sessions,
            spans=spans, on_picture=on_picture, loses_nothing=loses_nothing,
        )  # fmt: skip
        try:
            await session.flowing()
        except asyncio.CancelledError:
            await session.close(Cause(code=Reason.CANCELLED, sentence="no longer wanted"))
            raise
        return tape

    try:
        return await tried()
    except SessionLost as first:
        if not sessions.try_another_way(wanted.channel_id, first.cause):
            raise
        try:
            return await tried()
        except SessionLost as second:
            raise SessionLost(of_both(first.cause, second.cause)) from second
