"""Playback: a recording on a camera's disk, seen and steered as a tape."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING

from sip.errors import SipError

from ..errors import Cause, CommandFailed, ConfigError, Gb28181Error, RequestRejected, SessionLost
from ..mansrtsp import (
    BAD_REQUEST,
    CONTENT_TYPE,
    NOW,
    Answer,
    MalformedMansrtsp,
    Pause,
    Play,
    parse_answer,
)
from ..media.moments import Span, end_of_span, next_span
from ..media.stages import Reason, Stage
from .live import frames_of, packets_of
from .pace import Pace, PaceMeter, Verdict
from .recorded import NEAR, Wanted, open_recording

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
    from types import TracebackType
    from typing import Any

    import av
    import av.stream
    import numpy as np

    from rtp.access_unit import AccessUnit

    from ..mansrtsp import Control
    from ..media.moments import RecordingClock
    from ..media.receiver import ReceiverStatistics
    from ..media.session import MediaSession
    from .recorded import Recorded, RecordingHost

    Make = Callable[[int, str], Control]

logger = logging.getLogger("gb28181.playback")

SLOWEST, FASTEST = 0.25, 8.0
_LANDING = 8.0
"""Seconds after the device's yes within which a jump shows."""
_BEFORE, _AFTER = 12.0, 1.5
"""How far from the asked moment the key frame may be that a jump lands on."""
_INFO_TIMEOUT = 8.0
_OLD_VERSION = "MANSRTSP/1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What became of a jump."""

    asked: datetime
    seen: datetime
    """What the first picture after it shows; with ``ACCEPTED`` an assumption."""
    outcome: Verdict


class Playback:
    """A recording that runs: pictures with their moments, and the buttons of a recorder.

    Made by ``Channel.play_back``. One reader at a time; two playbacks are two calls of the device.
    """

    def __init__(
        self,
        host: RecordingHost,
        channel_id: str,
        start: datetime,
        end: datetime,
        *,
        records: Sequence[tuple[datetime, datetime]] | None = None,
    ) -> None:
        """Take what is wanted; ``open`` sends the INVITE."""
        check_times(start, end)
        self.channel_id = channel_id
        self.start = start
        self.end = end
        self.pace = Pace(asked=1.0)
        """The speed that was asked for, and what was measured of it."""
        self.can: dict[str, Verdict] = {}
        """What this device was seen to do with ``seek``, ``speed`` and ``reverse``."""
        self._host = host
        self._spans: list[Span] = sorted(
            (one.timestamp(), other.timestamp()) for one, other in records or ()
        )
        self._has_spans = records is not None
        self._tape: Recorded | None = None
        self._changed = asyncio.Event()
        self._meter: PaceMeter | None = None
        self._jump: _Jump | None = None
        self._landed_on: AccessUnit | None = None
        self._cseq = count(1)
        self._version: str | None = None
        self._control = asyncio.Lock()
        self._is_closed = False

    # ---- opening and closing ----

    async def open(self) -> Playback:
        """Send the INVITE and wait for the first packet.

        Raises:
            SessionLost: With the cause, the stage and the evidence.
        """
        self._host.check()
        await self._begin(self.start.timestamp())
        if not self._has_spans:
            self._host.sessions.spawn(self._learn_spans(), f"records of {self.channel_id}")
        return self

    async def close(self) -> None:
        """End it with BYE. Idempotent."""
        self._is_closed = True
        self._changed.set()
        if self._tape is not None:
            cause = Cause(code=Reason.NO_READER, sentence=f"{self.channel_id}: its viewer left")
            await self._tape.session.close(cause)

    async def __aenter__(self) -> Playback:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # ---- what it shows ----

    @property
    def session(self) -> MediaSession:
        """The session with the device; another after a gap that had to be bridged."""
        return self._now.session

    @property
    def statistics(self) -> ReceiverStatistics:
        """What the receiver has counted so far."""
        return self.session.receiver.statistics

    @property
    def position(self) -> datetime:
        """The moment that the last picture received shows, in the zone of ``start``."""
        position = self._now.position
        return self.start if position is None else self._datetime(position)

    @property
    def is_paused(self) -> bool:
        """Whether it was paused."""
        return self.session.stage is Stage.PAUSED

    def moment_of(self, unit: AccessUnit) -> datetime:
        """The moment that a unit which was just read shows."""
        return self._datetime(self._now.clock.moment(unit.dts))

    async def units(self) -> AsyncGenerator[AccessUnit, None]:
        """Access units as they come, up to the end of the recording. Needs no PyAV.

        After a jump the first unit is the key frame that it landed on. Where the device ends at a
        gap in the recording, the next piece is asked for, and its first unit is marked as
        discontinuous by its time stamps.

        Raises:
            SessionLost: It ended before the recording did.
        """
        while True:
            tape = self._now
            async with aclosing(self._units_of(tape)) as units:
                async for unit in units:
                    yield unit
            if self._is_closed:
                return
            if tape is not self._tape:
                continue  # a jump took another session
            cause = await asyncio.shield(tape.session.ended)
            following = await self._following(tape, cause)
            if following is None:
                if cause.code == Reason.END_OF_RECORDING or is_end(tape, cause):
                    return
                raise SessionLost(cause)
            logger.info("%s: bridging a gap up to %s", self.channel_id, following)
            await self._begin(following)

    async def packets(self) -> AsyncIterator[av.Packet[av.stream.Stream]]:
        """``av.Packet`` objects with a time base of 1/90000. Needs the extra ``media``."""
        async for packet in packets_of(self.units()):
            yield packet

    async def frames(self) -> AsyncIterator[np.ndarray[Any, Any]]:
        """Decoded pictures as numpy arrays; see ``Live.frames``."""
        async for frame in frames_of(self.units()):
            yield frame

    # ---- the buttons ----

    async def pause(self) -> None:
        """Stop the tape and keep the place; the watch for silence rests meanwhile.

        Raises:
            RequestRejected: The device refused the INFO.
            CommandFailed: The device says that it cannot.
            SessionLost: The session has ended.
        """
        async with self._control:
            if not self.is_paused:
                await self._tell(lambda cseq, version: Pause(cseq=cseq, version=version))
                self.session.pause(True)

    async def resume(self) -> None:
        """Go on where it was paused, at the speed before. Raises as ``pause`` does."""
        async with self._control:
            await self._tell(
                lambda cseq, version: Play(range_start=NOW, cseq=cseq, version=version)
            )
            self.session.pause(False)
            self._now.last_packet_at = asyncio.get_running_loop().time()

    async def seek(self, moment: datetime) -> Landed:
        """Jump, and say where the pictures show that it landed. Raises as ``pause`` does.

        Raises:
            ConfigError: The moment is not within the recording that was asked for.
        """
        if moment.tzinfo is None or not self.start <= moment < self.end:
            raise ConfigError(f"{moment} is not between {self.start} and {self.end}")
        async with self._control:
            asked = moment.timestamp()
            tape = self._now
            if tape.session.ended.done() or asked < tape.wanted.start:
                return await self._begin_at(moment)
            jump = self._jump = _Jump(tape.clock.recorded(asked), tape.position)
            try:
                answer = await self._tell(
                    lambda cseq, version: Play(
                        range_start=round(asked - tape.wanted.start, 3), cseq=cseq, version=version
                    )
                )
                if self.is_paused:
                    self.session.pause(False)
                if answer is not None and isinstance(answer.range_start, float):
                    jump.answered = tape.wanted.start + answer.range_start
                return await self._land(moment, jump)
            finally:
                self._jump = None

    async def set_speed(self, speed: float) -> None:
        """Play faster, slower, or in reverse; ``pace`` says some seconds later whether it did.

        Args:
            speed: 0.25 to 8, or -0.25 to -8 for reverse (2022). Raises as ``pause`` does.
        """
        if not SLOWEST <= abs(speed) <= FASTEST:
            raise ConfigError(f"a speed of {speed:g} is not within 0.25 to 8, either way")
        async with self._control:
            step = self._now.clock.step * self._now.clock.factor
            answer = await self._tell(
                lambda cseq, version: Play(scale=speed, cseq=cseq, version=version)
            )
            if self.is_paused:
                self.session.pause(False)
            taken = answer.scale if answer is not None else None
            self.pace = Pace(asked=speed, taken=taken)
            self._now.is_reverse = speed < 0
            self._now.clock.stretch(1.0)
            self._meter = PaceMeter(speed, step, asyncio.get_running_loop().time())

    async def paced(self) -> Pace:
        """Wait until the speed has been measured; something must read the units meanwhile."""
        while self._meter is not None and not self._now.session.ended.done():
            await self._wait_change(1.0)
        return self.pace

    # ---- within ----

    @property
    def _now(self) -> Recorded:
        if self._tape is None:
            raise ConfigError("enter the playback with 'async with' first")
        return self._tape

    async def _begin(self, start: float) -> None:
        """Take a session that begins at a moment, in place of the one before."""
        old, sessions = self._tape, self._host.sessions
        if old is not None:
            self._tape = None
            cause = Cause(code=Reason.NO_READER, sentence=f"{self.channel_id}: jumped elsewhere")
            await old.session.close(cause)
            self._tape = old
        wanted = Wanted(
            channel_id=self.channel_id, start=int(start), end=-int(-self.end.timestamp() // 1)
        )
        self._tape = await open_recording(
            sessions, wanted, spans=self._spans, on_picture=self._picture
        )
        self._landed_on = None
        self._changed.set()

    async def _units_of(self, tape: Recorded) -> AsyncGenerator[AccessUnit, None]:
        try:
            async for unit in tape.reader:
                if self._landed_on is not None:
                    if unit.data is not self._landed_on.data:
                        continue  # received before the jump
                    self._landed_on = None
                yield unit
        except (Gb28181Error, OSError) as error:
            logger.debug("%s: %s", self.channel_id, error)
        finally:
            if tape is not self._tape or tape.session.ended.done():
                tape.reader.close()

    async def _following(self, tape: Recorded, cause: Cause) -> float | None:
        """Where to go on after a session that came to its end before the end of the whole."""
        if tape.is_reverse or not is_normal(cause):
            return None
        position = tape.position if tape.position is not None else float(tape.wanted.start)
        if position >= self.end.timestamp() - NEAR:
            return None
        if not self._spans and not self._has_spans:
            await self._learn_spans()
        end = end_of_span(self._spans, position)
        if end is not None and end - position > 2 * NEAR:
            return None  # it ended within a piece: that is no gap
        following = next_span(self._spans, position + NEAR)
        return None if following is None else following[0]

    async def _learn_spans(self) -> None:
        start, end = self.start.timestamp(), self.end.timestamp()
        self._spans = await self._host.sessions.spans(self.channel_id, start, end)
        self._has_spans = True
        if self._tape is not None:
            self._tape.clock.spans = self._spans

    def _picture(self, tape: Recorded, unit: AccessUnit, moment: float) -> None:
        """Every picture that comes, read or not."""
        now = asyncio.get_running_loop().time()
        if tape is not self._tape:
            return  # the first pictures of a session that is about to be the one
        jump, meter, clock = self._jump, self._meter, tape.clock
        if jump is not None and not jump.done and jump.is_sent and jump.is_it(unit, moment, clock):
            self._landed_on = unit
            self._changed.set()
        if meter is not None and meter.push(unit, moment, now):
            self._measured(meter)

    def _measured(self, meter: PaceMeter) -> None:
        measured, verdict, factor = meter.result()
        self._meter = None
        self.pace = Pace(
            asked=meter.asked, taken=self.pace.taken, measured=measured, verdict=verdict
        )
        self.can["reverse" if meter.asked < 0 else "speed"] = verdict
        if factor != 1.0:
            self._now.clock.stretch(factor)
        if verdict is Verdict.IGNORED:
            self._now.is_reverse = self._now.is_reverse and (measured or 0.0) < 0
            logger.warning(
                "%s said yes to a speed of %g and plays at %.2f",
                self.channel_id, meter.asked, measured or 0.0,
            )  # fmt: skip
        self._changed.set()

    async def _land(self, asked: datetime, jump: _Jump) -> Landed:
        loop = asyncio.get_running_loop()
        until = loop.time() + _LANDING
        while not jump.done and loop.time() < until:
            if self._now.session.ended.done():
                raise SessionLost(self._now.session.ended.result())
            await self._wait_change(until - loop.time())
        verdict, seen = jump.verdict, jump.seen
        if verdict is None or seen is None:
            verdict, seen = Verdict.IGNORED, self._now.position or jump.target
        self.can["seek"] = verdict
        if verdict in (Verdict.IGNORED, Verdict.ELSEWHERE):
            logger.warning("%s said yes to a jump to %s: %s", self.channel_id, asked, verdict.value)
        self._meter = None  # a measure across a jump is none
        return Landed(asked=asked, seen=self._datetime(seen), outcome=verdict)

    async def _begin_at(self, moment: datetime) -> Landed:
        """Jump by another INVITE: the device has ended, or began after the moment."""
        await self._begin(moment.timestamp())
        await self.session.key_frame()
        self.can["seek"] = Verdict.ACCEPTED
        return Landed(asked=moment, seen=self.position, outcome=Verdict.ACCEPTED)

    async def _wait_change(self, timeout: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _tell(self, make: Make) -> Answer | None:
        """Send a control in INFO; return the answer in its 200, if there is one.

        A device that does not understand ``RTSP/1.0`` is spoken to in the older way, once and from
        then on.
        """
        version = self._version or "RTSP/1.0"
        try:
            answer = await self._send(make(next(self._cseq), version))
        except (RequestRejected, CommandFailed) as error:
            status = getattr(error, "status", BAD_REQUEST)
            if self._version is not None or status not in (BAD_REQUEST, 415, 505):
                raise
            answer = await self._send(make(next(self._cseq), _OLD_VERSION))
            version = _OLD_VERSION
        self._version = version
        return answer

    async def _send(self, control: Control) -> Answer | None:
        session = self.session
        if session.ended.done():
            raise SessionLost(session.ended.result())
        assert session.call is not None
        what = type(control).__name__.upper()
        if self._jump is not None:
            self._jump.is_sent = True
        try:
            response = await session.call.request(
                "INFO",
                body=control.to_bytes(),
                content_type=CONTENT_TYPE,
                timeout=_INFO_TIMEOUT,
            )
        except SipError as error:
            raise SessionLost(session.why(error)) from error
        sentence = f"{what} at {self.channel_id}"
        if response.status >= 300:
            raise RequestRejected(sentence, status=response.status, reason=response.reason)
        try:
            answer = parse_answer(response.body) if response.body else None
        except MalformedMansrtsp as error:
            logger.info("%s: its answer to %s: %s", self.channel_id, what, error)
            return None
        if answer is not None and answer.status >= 300:
            raise CommandFailed(sentence, result=f"{answer.status} {answer.reason}".strip())
        return answer

    def _datetime(self, moment: float) -> datetime:
        return datetime.fromtimestamp(moment, self.start.tzinfo)


class _Jump:
    """A jump that was asked for, and the picture that shows where it went."""

    def __init__(self, target: float, before: float | None) -> None:
        self.target = target
        self.answered: float | None = None
        self.is_sent = False
        self.verdict: Verdict | None = None
        self.seen: float | None = None
        self._before = before

    @property
    def done(self) -> bool:
        return self.verdict is not None

    def is_it(self, unit: AccessUnit, moment: float, clock: RecordingClock) -> bool:
        """Whether this picture is the landing."""
        if not unit.is_key:
            return False
        is_near = self.target - _BEFORE <= moment <= self.target + _AFTER
        if clock.jumped or self._before is None:
            if is_near:
                self.verdict, self.seen = Verdict.VERIFIED, moment
            elif self._has_begun_anew(moment, clock):
                clock.anchor(unit.dts, self.target)
                clock.position = self.target
                self.verdict, self.seen = Verdict.ACCEPTED, self.target
            else:
                self.verdict, self.seen = Verdict.ELSEWHERE, moment
            return True
        if is_near and abs(moment - self.target) <= abs(self._before - self.target):
            # So near that the jump does not show: there it is, by whatever way.
            self.verdict, self.seen = Verdict.VERIFIED, moment
            return True
        return False

    @staticmethod
    def _has_begun_anew(moment: float, clock: RecordingClock) -> bool:
        """Whether time stamps began again as at the start of the session, or went wild."""
        return moment <= clock.start + _AFTER or moment < clock.start


def check_times(start: datetime, end: datetime) -> None:
    """Refuse times that no recording can have.

    Raises:
        ConfigError: A time has no zone, or the end is not after the start.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ConfigError("a recording needs times with a zone, such as tzinfo=UTC")
    if end <= start:
        raise ConfigError(f"the end {end} is not after the start {start}")


def is_normal(cause: Cause) -> bool:
    """Whether a device that has nothing more to send ends like this."""
    return cause.code in (Reason.END_OF_RECORDING, Reason.BYE)


def is_end(tape: Recorded, cause: Cause) -> bool:
    """Whether an end is that of the recording, and nothing was lost."""
    return is_normal(cause) and tape.is_at_end
