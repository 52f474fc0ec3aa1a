"""PlaybackSender: a recording, sent at any speed and either way, from wherever it is told to."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.mpegps.muxer import PsMuxer
from rtp.packetizer import Packetizer

from ..mansrtsp import (
    INVALID_RANGE,
    NOT_IMPLEMENTED,
    NOT_VALID_NOW,
    Answer,
    Now,
    Pause,
    Play,
    RtpInfo,
    Teardown,
)
from .sender import SenderStatistics

if TYPE_CHECKING:
    from ..mansrtsp import Control, Moment
    from .source import Group, RecordedSource

_CLOCK = 90_000
_CATCH_UP = 1.0
"""What a sender that was held up still catches up; the rest of the delay stays."""
_BURST = 46
"""Packets that leave at once; a larger frame is spread, or small receive buffers lose it."""
_BURST_PAUSE = 0.002
_FULL = 256 * 1024
"""Bytes unread by a peer over TCP, above which it is waited for."""
_ROOM_POLL = 0.02


class PatientSink(Protocol):
    """What this sender needs of its outgoing end; ``MediaSink`` is the one there is."""

    ready: asyncio.Future[None]
    closed: asyncio.Future[None]

    @property
    def unsent(self) -> int:
        """Bytes that wait until the peer reads; 0 where nobody can tell."""

    def send_packets(self, packets: list[bytes]) -> bool:
        """Send now or drop; never wait."""


class Ending(Enum):
    """Why a sender has nothing more to send."""

    END = "end of the recording"
    TEARDOWN = "TEARDOWN"
    CLOSED = "the media end was closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackLimits:
    """What a recorder can do; a speed beyond it becomes the nearest one within.

    Source: 2016 B.2.3 (0.25 to 4 shall be there), 2022 B.2.8.
    """

    slowest: float = 0.25
    fastest: float = 8.0
    fastest_reverse: float = 8.0
    """0: it cannot play in reverse."""
    obeys_speed: bool = True
    """Whether a speed that is answered with 200 is taken at all."""


class PlaybackSender:
    """Sends a recording to a sink as program stream, and obeys while it does.

    Sequence numbers and timestamps go on through pauses and jumps. The RTP timestamp follows the
    wall clock, that is media time / speed; the PTS in the program stream follows media time. A
    jump lands on the key frame at or before it, gaps in the recording are passed over at once, and
    in reverse the groups come last to first, each running forward, no picture left out. Over TCP a
    receiver that reads slowly is waited for: nothing of a download is lost.

    Source: GB/T 28181-2016 Annex B, GB/T 28181-2022 Annex B with B.2.8; RFC 2326 Appendix B.
    """

    def __init__(
        self,
        source: RecordedSource,
        sink: PatientSink,
        *,
        ssrc: int,
        payload_type: int = 96,
        origin: datetime,
        speed: float = 1.0,
        limits: PlaybackLimits | None = None,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Prepare to send from the start.

        Args:
            source: What is sent.
            sink: Where the packets go; ``run`` waits until it is ready.
            ssrc: Of the packets.
            payload_type: Of the packets.
            origin: The moment of position 0, aware; absolute ranges are counted from it.
            speed: To begin with: that of a download.
            limits: What speeds are possible.
            loss: The share of packets to withhold, 0 to 1: a fault for simulators.
            seed: Of the choice which packets are withheld.
        """
        self.duration = source.duration
        self.ending: Ending | None = None
        """Why ``run`` has returned; None while it has not."""
        self._source = source
        self._sink = sink
        self._origin = origin
        self._limits = limits or PlaybackLimits()
        self._codecs: dict[MediaKind, Codec] = {
            codec.kind: codec for codec in (source.video, source.audio) if codec is not None
        }
        self._muxer = PsMuxer(source.video, source.audio)
        self._packetizer = Packetizer(ssrc=ssrc, payload_type=payload_type)
        self._loss = loss
        self._chance = random.Random(seed)
        self._scale = self._possible(speed) or 1.0
        self._group: Group | None = None
        self._next = 0
        """Index in the group of what is sent next."""
        self._place = 0.0
        """Where to go on, in seconds, when no group is at hand."""
        self._stop_at: float | None = None
        self._due = 0.0
        """Loop time at which the group, or the next one, begins."""
        self._paused_at: float | None = None
        self._is_moved = True
        self._is_torn_down = False
        self._wake: asyncio.Future[None] | None = None
        self._begun: float | None = None  # loop time of timestamp 0
        self._ticks = -1
        self._packets = self._bytes = self._frames = self._dropped = 0
        self._slipped = 0.0

    @property
    def statistics(self) -> SenderStatistics:
        """The counters as they stand."""
        return SenderStatistics(
            packets=self._packets,
            bytes=self._bytes,
            frames=self._frames,
            dropped_by_fault=self._dropped,
            slipped=self._slipped,
        )

    @property
    def scale(self) -> float:
        """The speed, negative in reverse."""
        return self._scale

    @property
    def paused_at(self) -> float | None:
        """The loop time since which nothing is sent; None while it plays."""
        return self._paused_at

    @property
    def position(self) -> float:
        """Seconds from the start of what is sent next."""
        group = self._group
        if group is None or self._next >= len(group.units):
            return max(0.0, self._place)
        return max(0.0, group.units[self._next].dts / _CLOCK)

    def force_key(self) -> None:
        """Nothing: a recording has its key frames where it has them."""

    async def run(self) -> None:
        """Send until ``ending`` says why no more. The owner runs this as a task.

        Raises:
            MediaTimeout: The sink's connection could not be made, or was lost.
            OSError: The sink's socket failed.
            ConfigError: The recording can no longer be read.
        """
        ready: set[asyncio.Future[None]] = {self._sink.ready, self._sink.closed}
        await asyncio.wait(ready, return_when=asyncio.FIRST_COMPLETED)
        self._sink.closed.add_done_callback(self._interrupt)
        if self._begun is None:
            self._begun = self._due = asyncio.get_running_loop().time()
        while not self._is_over():
            self._is_moved = False
            await self._send_on()
        if self._sink.closed.done() and not self._sink.closed.cancelled():
            cause = self._sink.closed.exception()
            if cause is not None:
                raise cause

    def control(self, request: Control) -> Answer:
        """Obey a request; say what became of it.

        Source: GB/T 28181-2016 Annex B, GB/T 28181-2022 B.2.1, B.2.8.
        """
        answer = self._obey(request)
        self._interrupt()
        return answer

    # Obeying --------------------------------------------------------------------------------

    def _obey(self, request: Control) -> Answer:
        now = asyncio.get_running_loop().time()
        match request:
            case Play():
                if self.ending is not None:
                    return _refusal(request, NOT_VALID_NOW)
                return self._play(request, now)
            case Pause():
                if self._paused_at is None:
                    self._paused_at = now
            case Teardown():
                self._is_torn_down = True
        return Answer(cseq=request.cseq, version=request.version, range_start=self.position)

    def _play(self, request: Play, now: float) -> Answer:
        scale = self._scale
        if request.scale is not None:
            possible = self._possible(request.scale)
            if possible is None:
                return _refusal(request, NOT_IMPLEMENTED)
            scale = possible if self._limits.obeys_speed else scale
        start = self._seconds(request.range_start)
        stop = self._seconds(request.range_end)
        if not self._is_within(start) or not self._is_within(stop):
            return _refusal(request, INVALID_RANGE)
        position = self.position
        if self._paused_at is not None:
            self._due += now - self._paused_at
            self._paused_at = None
        if request.range_start is not None:
            self._stop_at = stop
        if start is not None:
            self._jump(start, scale, now)
        elif scale * self._scale < 0:
            self._jump(position, scale, now)
        elif scale != self._scale:
            # What of the group has been played stays played: only the rest is faster or slower.
            self._due = now - (now - self._due) * self._scale / scale
            self._scale = scale
        return Answer(
            cseq=request.cseq,
            version=request.version,
            scale=None if request.scale is None else scale if self._limits.obeys_speed else None,
            range_start=position if start is None else start,
            rtp_info=self._upcoming(now),
        )

    def _jump(self, position: float, scale: float, now: float) -> None:
        self._group, self._next = None, 0
        self._place, self._scale, self._due = position, scale, now
        self._is_moved = True

    def _possible(self, scale: float) -> float | None:
        limits = self._limits
        fastest = limits.fastest if scale > 0 else limits.fastest_reverse
        if fastest <= 0:
            return None
        size = min(max(abs(scale), min(limits.slowest, fastest)), fastest)
        return size if scale > 0 else -size

    def _seconds(self, moment: Moment | Now | None) -> float | None:
        if isinstance(moment, datetime):
            return (moment - self._origin).total_seconds()
        return None if isinstance(moment, Now) else moment

    def _is_within(self, position: float | None) -> bool:
        return position is None or 0.0 <= position <= self.duration

    def _upcoming(self, now: float) -> RtpInfo:
        group = self._group
        due = self._due
        if group is not None and self._next < len(group.units):
            due = self._due_of(group.units[self._next], group)
        return RtpInfo(
            sequence_number=self._packetizer.sequence_number,
            timestamp=self._ticks_at(max(due, now)) & 0xFFFF_FFFF,
        )

    # Sending --------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        if self._sink.closed.done():
            self.ending = Ending.CLOSED
        elif self._is_torn_down:
            self.ending = Ending.TEARDOWN
        return self.ending is not None

    async def _send_on(self) -> None:
        """Send from the present place until somebody interferes, or there is nothing more."""
        groups = self._source.groups(self._place, reverse=self._scale < 0)
        async with aclosing(groups):
            async for group in groups:
                if self._is_moved or self._is_over():
                    return
                if not self._is_in_range(group):
                    await self._hold()
                if self._is_moved or not await self._send_group(group):
                    return
        # The last picture is seen for as long as any other, and read, before the end is told.
        while not self._is_moved and not self._is_over():
            now = asyncio.get_running_loop().time()
            if self._paused_at is not None:
                await self._until(None)
            elif now < self._due:
                await self._until(self._due)
            elif self._sink.unsent > 0:
                await self._until(now + _ROOM_POLL)
            else:
                self.ending = Ending.END

    async def _send_group(self, group: Group) -> bool:
        """Send a group; false when it was left for something else."""
        self._group, self._next = group, 0
        for unit in group.units:  # the next file may be coded otherwise
            self._codecs[unit.kind] = unit.codec
        self._muxer.set_tracks(self._codecs.get(MediaKind.VIDEO), self._codecs.get(MediaKind.AUDIO))
        while self._next < len(group.units):
            unit = group.units[self._next]
            if not await self._is_due(unit, group):
                return False
            await self._send(unit, self._due_of(unit, group))
        self._due += group.duration / _CLOCK / abs(self._scale)
        self._place = (group.start + (group.duration if self._scale > 0 else -1)) / _CLOCK
        self._group = None
        return True

    async def _is_due(self, unit: AccessUnit, group: Group) -> bool:
        """Wait until a unit may leave; false when it shall not leave at all."""
        loop = asyncio.get_running_loop()
        if self._stop_at is not None and self._scale > 0 and unit.dts / _CLOCK >= self._stop_at:
            await self._hold()
        while not self._is_moved and not self._is_over():
            if self._paused_at is not None:
                await self._until(None)
                continue
            now, due = loop.time(), self._due_of(unit, group)
            late = now - due
            if late > _CATCH_UP:
                self._slipped += late - _CATCH_UP
                self._due += late - _CATCH_UP
            if self._sink.unsent > _FULL:
                await self._until(max(due, now + _ROOM_POLL))
            elif due <= now:
                await asyncio.sleep(0)  # a source that is always ready must not hold the loop
                if self._paused_at is None and not self._is_moved:
                    return True
            else:
                await self._until(due)
        return False

    def _is_in_range(self, group: Group) -> bool:
        """Whether playing in reverse has not passed the end of the range."""
        return (
            self._stop_at is None
            or self._scale > 0
            or group.start + group.duration > self._stop_at * _CLOCK
        )

    async def _hold(self) -> None:
        """The end of a range is a pause, that of the recording is the end."""
        self._stop_at = None
        if self._paused_at is None:
            self._paused_at = asyncio.get_running_loop().time()
        while self._paused_at is not None and not self._is_moved and not self._is_over():
            await self._until(None)

    def _due_of(self, unit: AccessUnit, group: Group) -> float:
        return self._due + (unit.dts - group.start) / _CLOCK / abs(self._scale)

    def _ticks_at(self, due: float) -> int:
        begun = due if self._begun is None else self._begun
        return max(self._ticks + 1, round((due - begun) * _CLOCK))

    async def _send(self, unit: AccessUnit, due: float) -> None:
        self._ticks = self._ticks_at(due)
        packets = self._packetizer.push(self._muxer.push(unit), self._ticks & 0xFFFF_FFFF)
        self._next += 1
        if unit.kind is MediaKind.VIDEO:
            self._frames += 1
        if self._loss > 0.0:
            kept = [packet for packet in packets if self._chance.random() >= self._loss]
            self._dropped += len(packets) - len(kept)
            packets = kept
        for start in range(0, len(packets), _BURST):
            if start:
                await asyncio.sleep(_BURST_PAUSE)
            part = packets[start : start + _BURST]
            self._sink.send_packets(part)
            self._packets += len(part)
            self._bytes += sum(map(len, part))

    async def _until(self, when: float | None) -> None:
        """Wait for a loop time, or only for an interruption when None."""
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = None if when is None else loop.call_at(when, self._interrupt)
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()

    def _interrupt(self, _: object = None) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def _refusal(request: Control, status: int) -> Answer:
    return Answer(status=status, cseq=request.cseq, version=request.version)
