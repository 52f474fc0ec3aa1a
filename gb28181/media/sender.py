"""Sender: access units of a source, as a program stream, paced by their own clock."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rtp.access_unit import AccessUnit, MediaKind
from rtp.mpegps.muxer import PsMuxer
from rtp.packetizer import Packetizer

if TYPE_CHECKING:
    from .source import MediaSource

_CLOCK = 90000
_CATCH_UP = 1.0
"""What a sender that was held up still catches up; the rest of the delay stays."""
_CATCH_UP_SPEED = 4
"""How much faster than real time it catches up."""
_JUMP = 10.0
"""A step of the source's clock beyond this is no pause but another clock."""
_BURST = 46
"""Packets that leave at once; a larger frame is spread, or small receive buffers lose it."""
_BURST_PAUSE = 0.002


class PacketSink(Protocol):
    """What a sender needs of its outgoing end; ``MediaSink`` is the one there is."""

    ready: asyncio.Future[None]
    closed: asyncio.Future[None]

    def send_packets(self, packets: list[bytes]) -> bool:
        """Send now or drop; never wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStatistics:
    """What a sender has done so far."""

    packets: int
    """Packets given to the sink."""
    bytes: int
    """Their bytes, RTP headers included."""
    frames: int
    """Video units sent."""
    dropped_by_fault: int
    """Packets withheld by the ``loss`` fault."""
    slipped: float
    """Seconds by which the schedule was moved back because the sender was held up too long."""


class Sender:
    """Sends a source's units to a sink at the pace of their ``dts``.

    The schedule is absolute: a late unit does not delay those after it. After a stall the sender
    catches up at most one second, at four times real time; the rest of the delay stays.

    Args:
        source: Where the units come from.
        sink: Where the packets go; ``run`` waits until it is ready.
        ssrc: Of the packets.
        payload_type: Of the packets.
        loss: The share of packets to withhold, 0 to 1: a fault for simulators.
        seed: Of the choice which packets are withheld.

    Source: GB/T 28181-2016 Annex C.1, C.2.
    """

    def __init__(
        self,
        source: MediaSource,
        sink: PacketSink,
        *,
        ssrc: int,
        payload_type: int = 96,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._source = source
        self._sink = sink
        self._muxer = PsMuxer(source.video, source.audio)
        self._packetizer = Packetizer(ssrc=ssrc, payload_type=payload_type)
        self._loss = loss
        self._chance = random.Random(seed)
        self._pace = _Pace()
        self._packets = 0
        self._bytes = 0
        self._frames = 0
        self._dropped = 0

    @property
    def statistics(self) -> SenderStatistics:
        """The counters as they stand."""
        return SenderStatistics(
            packets=self._packets,
            bytes=self._bytes,
            frames=self._frames,
            dropped_by_fault=self._dropped,
            slipped=self._pace.slipped,
        )

    def force_key(self) -> None:
        """Go on with the source's next key frame at once (IFrameCmd), where the source can."""
        force = getattr(self._source, "force_key", None)
        if force is not None:
            force()

    async def run(self) -> None:
        """Send until the source or the sink ends. The owner runs this as a task.

        Raises:
            MediaTimeout: The sink's connection could not be made, or was lost.
            OSError: The sink's socket failed.
        """
        if not await self._sink_is_ready():
            return
        async for unit in self._source.units():
            await self._send(unit)
            if self._sink.closed.done():
                break
        self._raise_cause()

    async def _sink_is_ready(self) -> bool:
        waiting: set[asyncio.Future[None]] = {self._sink.ready, self._sink.closed}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self._raise_cause()
        return not self._sink.closed.done()

    def _raise_cause(self) -> None:
        if self._sink.closed.done() and not self._sink.closed.cancelled():
            cause = self._sink.closed.exception()
            if cause is not None:
                raise cause

    async def _send(self, unit: AccessUnit) -> None:
        loop = asyncio.get_running_loop()
        await _until(loop, self._pace.due(unit, loop.time()))
        packets = self._packetizer.push(self._muxer.push(unit), unit.dts & 0xFFFFFFFF)
        if unit.kind is MediaKind.VIDEO:
            self._frames += 1
        if self._loss > 0.0:
            packets = self._withhold(packets)
        for start in range(0, len(packets), _BURST):
            if start:
                await _until(loop, loop.time() + _BURST_PAUSE)
            part = packets[start : start + _BURST]
            self._sink.send_packets(part)
            self._packets += len(part)
            self._bytes += sum(map(len, part))

    def _withhold(self, packets: list[bytes]) -> list[bytes]:
        kept = [packet for packet in packets if self._chance.random() >= self._loss]
        self._dropped += len(packets) - len(kept)
        return kept


class _Pace:
    """Turns the source's clock into loop times."""

    def __init__(self) -> None:
        self.slipped = 0.0
        self.interval = _CLOCK // 25
        """Ticks between the last two video frames."""
        self._offset: float | None = None  # loop time of dts 0
        self._dts = 0
        self._video_dts: int | None = None
        self._sent = 0.0

    def due(self, unit: AccessUnit, now: float) -> float:
        step = (unit.dts - self._dts) / _CLOCK
        if self._offset is None:
            due = now
            self._offset = now - unit.dts / _CLOCK
        elif abs(step) > _JUMP:
            due = max(now, self._sent + self.interval / _CLOCK)
            self._offset = due - unit.dts / _CLOCK
        else:
            due = self._scheduled(self._offset + unit.dts / _CLOCK, step, now)
        self._dts = unit.dts
        self._sent = max(due, now)
        self._measure(unit)
        return due

    def _scheduled(self, due: float, step: float, now: float) -> float:
        if now - due > _CATCH_UP:
            slip = now - due - _CATCH_UP
            self.slipped += slip
            self._offset = (self._offset or 0.0) + slip
            due += slip
        if due >= now:
            return due
        # Late: units do not leave closer together than at four times real time.
        return max(due, self._sent + max(0.0, step) / _CATCH_UP_SPEED)

    def _measure(self, unit: AccessUnit) -> None:
        if unit.kind is not MediaKind.VIDEO:
            return
        if self._video_dts is not None and 0 < unit.dts - self._video_dts < _CLOCK:
            self.interval = unit.dts - self._video_dts
        self._video_dts = unit.dts


async def _until(loop: asyncio.AbstractEventLoop, when: float) -> None:
    # call_at keeps the schedule absolute; asyncio.sleep would add what the loop was late.
    if when <= loop.time():
        await asyncio.sleep(0)  # a source that is always ready must not hold the loop
        return
    reached: asyncio.Future[None] = loop.create_future()
    timer = loop.call_at(when, reached.set_result, None)
    try:
        await reached
    finally:
        timer.cancel()
