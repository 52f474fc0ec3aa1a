"""Arming: the recipe by which a device tells its alarms, kept up while the platform runs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ConfigError, Gb28181Error

if TYPE_CHECKING:
    from .commands.outcome import Outcome
    from .events import Alarm
    from .platform import Platform
    from .remote_device import RemoteDevice
    from .subscriptions import Subscription

logger = logging.getLogger("gb28181.arming")

_DEVICE_ALARM = "2"
"""The method after which a device tells no other until it is reset (A.2.5.3)."""


@dataclass(slots=True)
class Armed:
    """A device that is armed, and how that stands."""

    device_id: str
    target: str
    resets: bool
    guard: Outcome | None = None
    """What came of SetGuard; None while the device is away. Recorders tell alarms without it."""
    subscription: Subscription | None = None
    """The ledger of the subscription. Some devices refuse it and tell alarms all the same."""
    resets_done: int = 0
    resets_failed: int = 0

    def __bool__(self) -> bool:
        subscribed = self.subscription is not None and self.subscription.state == "accepted"
        return bool(self.guard) or subscribed


class Arming:
    """Arms devices: SetGuard, then SUBSCRIBE, renewed; and again whenever they come back.

    Source: GB/T 28181-2022 9.4, 9.11, A.2.3.1.5 and A.2.5.3.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._armed: dict[str, dict[str, Armed]] = {}

    def of(self, device_id: str) -> tuple[Armed, ...]:
        """What is armed of a device."""
        return tuple(self._armed.get(device_id, {}).values())

    async def arm(self, device: RemoteDevice, target: str, *, resets: bool) -> Armed:
        """Arm, now if the device is here, and again whenever it comes back."""
        armed = self._armed.setdefault(device.id, {}).setdefault(
            target, Armed(device.id, target, resets)
        )
        armed.resets = resets
        if device.is_online:
            await self._guard(device, armed)
        armed.subscription = await self._platform.subscriptions.want(device, "alarm", target)
        return armed

    async def disarm(self, device: RemoteDevice, target: str) -> Outcome:
        """End the subscription and reset the guard.

        Raises:
            ConfigError: It is not armed.
            DeviceNotOnline: It is away; it is not armed again when it comes.
        """
        armed = self._armed.get(device.id, {}).pop(target, None)
        if armed is None:
            raise ConfigError(f"{target} of {device.id} is not armed")
        if armed.subscription is not None:
            await self._platform.subscriptions.cancel(armed.subscription)
        return await device.guard(on=False, target=target)

    def came(self, device: RemoteDevice) -> None:
        """Set the guard of a device that has come back: it may have lost it. Subscriptions keep
        themselves.
        """
        for armed in self.of(device.id):
            self._platform.station.supervisor.spawn(
                self._guard(device, armed), name=f"arming {armed.target}", on_fault=lambda _: None
            )

    async def kept(self, alarm: Alarm) -> None:
        """Reset an alarm that was kept, where that was asked for: else no other one comes."""
        device = alarm.device
        for armed in self.of(device.id):
            if not armed.resets or alarm.notify.method.strip() != _DEVICE_ALARM:
                continue
            if armed.target not in (device.id, alarm.notify.device_id):
                continue
            try:
                outcome = await device.reset_alarm(
                    target=alarm.notify.device_id or armed.target,
                    method=alarm.notify.method,
                    alarm_type=alarm.notify.alarm_type,
                )
            except Gb28181Error as error:
                logger.warning("%s: alarm not reset: %s", device.id, error)
                outcome = None
            armed.resets_done += bool(outcome)
            armed.resets_failed += not outcome
            return

    async def _guard(self, device: RemoteDevice, armed: Armed) -> None:
        try:
            armed.guard = await device.guard(target=armed.target)
        except Gb28181Error as error:
            armed.guard = None
            logger.info("%s: guard not set: %s", device.id, error)
            return
        if not armed.guard:
            logger.info("%s: guard not set: %s", device.id, armed.guard.evidence)
