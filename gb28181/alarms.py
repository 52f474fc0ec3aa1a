"""Alarms: gives each alarm to the user's handlers, and tells the device when all have kept it."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .errors import Gb28181Error
from .manscdp.alarm import AlarmResponse

if TYPE_CHECKING:
    from .commands.commands import Commands
    from .events import Alarm

logger = logging.getLogger("gb28181.alarms")

AlarmHandler = Callable[["Alarm"], Awaitable[None]]

TRIES = 3
"""How often a handler that fails or hangs is given the same alarm."""
PATIENCE = 10.0
"""Seconds for one try."""
AT_ONCE = 1000
"""Alarms that are with the handlers at a time; one more is not taken, so it is told again."""
REMEMBERED = 1000
"""Alarms that are known to have been kept, or not, and answers that wait for their device."""

_Key = tuple[str, str, str, str]


class Alarms:
    """An alarm is no queue item: after one a device stays silent until it is reset (A.2.5.3).

    So an alarm that nobody kept must not be acknowledged, and the answer to one that was kept
    waits for a device that went away meanwhile. An alarm that comes twice is handled once.

    Attributes:
        handlers: The user's.
        failures: How often a handler failed or hung.
        unkept: The latest alarms that a handler did not keep, and that were not acknowledged.
        unkept_count: How many there were.
    """

    def __init__(
        self,
        commands: Commands,
        *,
        on_kept: Callable[[Alarm], Awaitable[None]] | None = None,
        on_unkept: Callable[[Alarm, str], None] | None = None,
    ) -> None:
        self.handlers: list[AlarmHandler] = []
        self.failures = 0
        self.unkept: deque[Alarm] = deque(maxlen=REMEMBERED)
        self.unkept_count = 0
        self.turned_away = 0
        self._commands = commands
        self._on_kept = on_kept
        self._on_unkept = on_unkept
        self._running: set[_Key] = set()
        self._kept_before: OrderedDict[_Key, None] = OrderedDict()
        self._unsaid: OrderedDict[_Key, Alarm] = OrderedDict()

    @property
    def pending(self) -> int:
        """Alarms that are with the handlers now."""
        return len(self._running)

    async def take(self, alarm: Alarm, *, acknowledge: bool = True) -> None:
        """Give an alarm to every handler; acknowledge it when all have kept it.

        Args:
            alarm: The alarm.
            acknowledge: Whether it came by MESSAGE, which is answered; a NOTIFY has its SIP 200.
        """
        key = _key(alarm)
        if key in self._running:
            return  # it is told again because the answer takes time
        if key not in self._kept_before:
            if len(self._running) >= AT_ONCE:
                self.turned_away += 1
                return
            self._running.add(key)
            try:
                if not await self._all_kept(alarm):
                    return
            finally:
                self._running.discard(key)
            self._remember(key)
        if acknowledge:
            await self._acknowledge(key, alarm)
        if self._on_kept is not None:
            await self._on_kept(alarm)

    def waits_for(self, device_id: str) -> bool:
        """Whether something is to be said to a device when it comes."""
        return any(key[0] == device_id for key in self._unsaid)

    async def came(self, device_id: str) -> None:
        """Say to a device that has come back what it did not hear."""
        for key, alarm in tuple(self._unsaid.items()):
            if key[0] == device_id and self._unsaid.pop(key, None) is not None:
                await self._acknowledge(key, alarm)

    async def _all_kept(self, alarm: Alarm) -> bool:
        for handler in tuple(self.handlers):
            reason = await self._try(handler, alarm)
            if reason:
                self.unkept.append(alarm)
                self.unkept_count += 1
                if self._on_unkept is not None:
                    self._on_unkept(alarm, reason)
                return False
        return True

    async def _acknowledge(self, key: _Key, alarm: Alarm) -> None:
        response = AlarmResponse(sn=alarm.notify.sn, device_id=alarm.notify.device_id, result="OK")
        try:
            await self._commands.send(alarm.device, response)
        except Gb28181Error as error:
            logger.warning("%s: alarm not acknowledged: %s", alarm.device.id, error)
            self._unsaid[key] = alarm
            if len(self._unsaid) > REMEMBERED:
                self._unsaid.popitem(last=False)

    async def _try(self, handler: AlarmHandler, alarm: Alarm) -> str:
        """Return why a handler did not keep it; nothing when it did."""
        reason = ""
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(PATIENCE):
                    await handler(alarm)
            except Exception as error:  # the user's handler is a boundary
                self.failures += 1
                reason = f"{type(error).__name__}: {error}"
                logger.error(
                    "alarm of %s: handler failed, try %d of %d",
                    alarm.device.id, attempt, TRIES, exc_info=error,
                )  # fmt: skip
                await asyncio.sleep(attempt)
            else:
                return ""
        return reason

    def _remember(self, key: _Key) -> None:
        self._kept_before[key] = None
        if len(self._kept_before) > REMEMBERED:
            self._kept_before.popitem(last=False)


def _key(alarm: Alarm) -> _Key:
    notify = alarm.notify
    return alarm.device.id, notify.sn, notify.device_id, f"{notify.time} {notify.method}"
