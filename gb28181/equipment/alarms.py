"""Alarms of a device: told to its subscribers or by MESSAGE, again until somebody keeps them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING

from ..manscdp.alarm import AlarmNotify
from ..manscdp.values import format_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..manscdp.alarm import AlarmResponse
    from .inventory import Inventory
    from .settings import ScheduledAlarm

logger = logging.getLogger("gb28181.device")

TRIES = 3
MAX_WAITING = 64
"""Alarms that may wait for their answer at once; one more is not told."""
# What AlarmReport switches: the method and type of video alarms.
_REPORTS = {("5", "2"): "motion_detection", ("5", "6"): "field_detection"}


class AlarmFate(Enum):
    """What became of an alarm."""

    KEPT = "kept"
    """Sent by MESSAGE, and Response/Alarm says OK."""
    NOTIFIED = "notified"
    """Taken by at least one subscriber."""
    UNANSWERED = "unanswered"
    """Sent several times, and nobody has said OK."""
    UNSENT = "unsent"
    """Taken by nobody; the source is not silenced by it."""
    DISARMED = "disarmed"
    """Not told: the source is not armed."""
    SWITCHED_OFF = "switched off"
    """Not told: AlarmReport leaves this kind out."""
    SILENT = "silent"
    """Not told: the source gave a device alarm and waits for ResetAlarm."""


class Alarms:
    """Tells the alarms of one device.

    Source: GB/T 28181-2022 9.4, A.2.5.3, A.2.6.3.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        send: Callable[[AlarmNotify], Awaitable[bool]],
        notify: Callable[[AlarmNotify], Awaitable[int]],
    ) -> None:
        """Take the ways out.

        Args:
            inventory: Whose sources give alarm.
            send: Sends a MESSAGE; True when it was taken.
            notify: Notifies the subscribers that want it; returns how many have taken it.
        """
        self.fates: Counter[AlarmFate] = Counter()
        self._inventory = inventory
        self._send = send
        self._notify = notify
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def raise_alarm(
        self,
        source_id: str,
        *,
        method: str,
        alarm_type: str | None,
        priority: str,
        description: str,
        event_type: str | None = None,
    ) -> AlarmFate:
        """Give an alarm, unless the state of the device forbids to tell it.

        Raises:
            KeyError: There is no such source.
        """
        fate = self._forbidden(source_id, method, alarm_type or "")
        if fate is None:
            self._record(source_id)
            fate = await self._tell(
                AlarmNotify(
                    sn=self._inventory.next_sn(),
                    device_id=source_id,
                    priority=priority,
                    method=method,
                    time=format_time(self._inventory.wall().replace(microsecond=0)),
                    description=description or None,
                    alarm_type=alarm_type,
                    event_type=event_type,
                )
            )
            if fate is AlarmFate.UNSENT:
                self._inventory.guard.withdraw(source_id, method, alarm_type or "")
        self.fates[fate] += 1
        return fate

    async def give(self, alarm: ScheduledAlarm, may_tell: Callable[[], bool]) -> None:
        """Give an alarm again and again, whenever ``may_tell`` says so."""
        inputs = self._inventory.guard.inputs
        while True:
            await asyncio.sleep(max(alarm.every, 1.0))
            if may_tell():
                await self.raise_alarm(
                    alarm.source_id or (inputs[0] if inputs else self._inventory.device_id),
                    method=alarm.method,
                    alarm_type=alarm.alarm_type,
                    priority=alarm.priority,
                    description=alarm.description,
                )

    def answered(self, answer: AlarmResponse) -> None:
        """Take a Response/Alarm."""
        waiting = self._waiting.get(answer.sn.strip().lstrip("0"))
        if waiting is not None and not waiting.done():
            waiting.set_result(answer.result)

    def _forbidden(self, source_id: str, method: str, alarm_type: str) -> AlarmFate | None:
        guard = self._inventory.guard
        if source_id not in guard.sources:
            raise KeyError(f"{source_id} is not a source of alarms of {self._inventory.device_id}")
        configuration = self._inventory.configured(source_id) or self._inventory.configuration
        report = _REPORTS.get((method, alarm_type))
        if report is not None and getattr(configuration.blocks.alarm_report, report) == 0:
            return AlarmFate.SWITCHED_OFF
        reason = guard.raise_alarm(source_id, method, alarm_type)
        return AlarmFate(reason) if reason else None

    def _record(self, source_id: str) -> None:
        """An alarm of a camera is recorded by it; of an input or the device, by all."""
        units = self._inventory.units
        meant = [units[source_id]] if source_id in units else list(units.values())
        for unit in meant:
            unit.recorder.note_alarm(unit.configuration.blocks.video_alarm_record)

    async def _tell(self, notice: AlarmNotify) -> AlarmFate:
        if await self._notify(notice):
            return AlarmFate.NOTIFIED
        if len(self._waiting) >= MAX_WAITING:
            return AlarmFate.UNSENT
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[notice.sn] = answer
        was_taken = False
        patience = self._inventory.settings.acknowledged_within
        try:
            for _ in range(TRIES):
                began = asyncio.get_running_loop().time()
                was_taken |= await self._send(notice)
                left = patience - (asyncio.get_running_loop().time() - began)
                await asyncio.wait([answer], timeout=max(0.0, left))
                if answer.done() and answer.result() == "OK":
                    return AlarmFate.KEPT
                if answer.done():
                    answer = self._waiting[notice.sn] = asyncio.get_running_loop().create_future()
        finally:
            self._waiting.pop(notice.sn, None)
        logger.warning("%s: nobody has kept alarm %s", notice.device_id, notice.sn)
        return AlarmFate.UNANSWERED if was_taken else AlarmFate.UNSENT
