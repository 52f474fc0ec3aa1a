"""Alarms: gives each alarm to the user's handlers, and tells the device when all have kept it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .errors import Gb28181Error
from .manscdp.alarm import AlarmResponse

if TYPE_CHECKING:
    from .commands import Commands
    from .events import Alarm

logger = logging.getLogger("gb28181.alarms")

AlarmHandler = Callable[["Alarm"], Awaitable[None]]

TRIES = 3
"""How often a handler that fails or hangs is given the same alarm."""
PATIENCE = 10.0
"""Seconds for one try."""


class Alarms:
    """An alarm is no queue item: after one a device stays silent until it is reset (A.2.5.3).

    So an alarm that nobody kept must not be acknowledged.
    """

    def __init__(self, commands: Commands) -> None:
        self.handlers: list[AlarmHandler] = []
        self.unkept = 0
        """Alarms that a handler did not keep, and that were not acknowledged."""
        self._commands = commands

    async def take(self, alarm: Alarm) -> None:
        """Give an alarm to every handler; acknowledge it when all have kept it."""
        for handler in tuple(self.handlers):
            if not await self._kept(handler, alarm):
                self.unkept += 1
                return
        response = AlarmResponse(sn=alarm.notify.sn, device_id=alarm.notify.device_id, result="OK")
        try:
            await self._commands.send(alarm.device, response)
        except Gb28181Error as error:
            logger.warning("%s: alarm not acknowledged: %s", alarm.device.id, error)

    async def _kept(self, handler: AlarmHandler, alarm: Alarm) -> bool:
        for attempt in range(1, TRIES + 1):
            try:
                async with asyncio.timeout(PATIENCE):
                    await handler(alarm)
            except Exception as error:  # the user's handler is a boundary
                logger.error(
                    "alarm of %s: handler failed, try %d of %d",
                    alarm.device.id, attempt, TRIES, exc_info=error,
                )  # fmt: skip
                await asyncio.sleep(attempt)
            else:
                return True
        return False
