"""Inventory: all that a device has, and which part of it a command is for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from ..edition import Edition
from ..manscdp.config import BasicParam
from ..manscdp.device_config import DeviceConfig
from ..manscdp.values import BEIJING, parse_time
from .cards import Cards
from .configuration import Configuration, blocks_of, factory_blocks
from .guard import Guard
from .head import Head
from .recorder import Recorder
from .route import Route

if TYPE_CHECKING:
    from ..manscdp.catalog import CatalogItem
    from .recordings import Recordings
    from .settings import EquipmentSettings

_TOLERANCE = timedelta(seconds=1)
_FIXED = "3"
"""PTZType of a camera that cannot be turned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """What a camera follows.

    Source: GB/T 28181-2022 A.2.3.1.14.
    """

    mode: str
    """``Auto`` or ``Manual``."""
    panorama_id: str = ""
    """The channel that the area was seen on."""


class Unit:
    """One camera of a device."""

    __slots__ = ("configuration", "head", "id", "item", "recorder", "tracking")

    def __init__(
        self,
        item: CatalogItem,
        *,
        disk: Recordings | None,
        settings: EquipmentSettings,
        configuration: Configuration,
        clock: Callable[[], datetime],
    ) -> None:
        fixed = item.info is not None and item.info.ptz_type == _FIXED
        self.id = item.device_id
        self.item = item
        """Its line in the catalogue, as it stands."""
        self.head = None if fixed else Head(settings.reach)
        self.recorder = Recorder(disk, clock=clock)
        self.configuration = configuration
        self.tracking: Tracking | None = None


class Inventory:
    """A device's own state: units by channel, cards, alarm sources, configuration, a vehicle."""

    def __init__(
        self,
        device_id: str,
        channels: Iterable[tuple[CatalogItem, Recordings | None]],
        *,
        settings: EquipmentSettings,
        edition: Edition,
        basic: BasicParam,
    ) -> None:
        """Set everything up.

        Args:
            device_id: The device itself.
            channels: Lines of the catalogue, and what is on the disk of each.
            settings: What the device is made of.
            edition: What it speaks.
            basic: Name, registration and heartbeat as they are.
        """
        self.device_id = device_id
        self.edition = edition
        self.settings = settings
        self._sn = itertools.count(1)
        self._ahead = timedelta()
        """What the platform's time of day is ahead of the clock."""
        self.configuration = Configuration(factory_blocks(basic), edition)
        self.units: dict[str, Unit] = {}
        for item, disk in channels:
            own = replace(basic, name=item.name)
            configuration = (
                self.configuration
                if item.device_id == device_id
                else Configuration(factory_blocks(own), edition)
            )
            self.units[item.device_id] = Unit(
                item, disk=disk, settings=settings, configuration=configuration, clock=self.wall
            )
        self.cards = Cards(settings.cards, format_time=settings.format_time)
        inputs = settings.alarm_inputs
        self.guard = Guard(
            device_id,
            (_input_of(device_id),) if inputs is None else inputs,
            self.units,
            armed=settings.armed,
        )
        self.route = _route(settings.route, settings.vehicle_speed)
        self.ignored = 0
        """Commands for what is not there, to which no answer is foreseen."""

    def next_sn(self) -> str:
        """An SN for what it says of its own accord."""
        return str(next(self._sn))

    def wall(self) -> datetime:
        """The device's time of day."""
        clock = self.settings.clock
        return (datetime.now(BEIJING) if clock is None else clock()) + self._ahead

    def set_time(self, text: str) -> None:
        """Take the platform's time of day; what is no time changes nothing.

        Source: GB/T 28181-2022 9.10.1.
        """
        try:
            moment = parse_time(text).replace(tzinfo=BEIJING)
        except ValueError:
            return
        off = moment - self.wall()
        if self.settings.takes_date and abs(off) > _TOLERANCE:
            self._ahead += off

    def knows(self, asked: str) -> bool:
        """Whether there is a device, channel or alarm input of that id."""
        return asked == self.device_id or asked in self.units or asked in self.guard.sources

    def meant(self, asked: str) -> list[Unit]:
        """The units that a command is for: a channel, or all of the device."""
        if asked == self.device_id:
            return list(self.units.values())
        return [self.units[asked]] if asked in self.units else []

    def camera(self, asked: str) -> Unit | None:
        """The one unit that a command is for; the device itself stands for its only one."""
        meant = self.meant(asked)
        return meant[0] if len(meant) == 1 else None

    def configured(self, asked: str) -> Configuration | None:
        """The configuration of a channel, or of the device."""
        if asked == self.device_id:
            return self.configuration
        unit = self.units.get(asked)
        return None if unit is None else unit.configuration

    def config_fault(self, config: DeviceConfig) -> str:
        """Say why blocks cannot be set; empty when they can."""
        configuration = self.configured(config.device_id)
        if configuration is None:
            return f"there is no {config.device_id[:40]}"
        return configuration.fault(config)

    def configure(self, config: DeviceConfig) -> None:
        """Set blocks that have no fault; those for the device hold for all its channels too.

        Its name does not; registration and heartbeat are the device's, whomever they are sent to.
        """
        target = self.configured(config.device_id)
        assert target is not None
        target.set(config)
        common = replace(config, basic_param=None)
        for unit in self.meant(config.device_id):
            if unit.configuration is not target and blocks_of(common):
                unit.configuration.set(common)
        if config.basic_param is not None:
            basic = replace(config.basic_param, name=None)
            timing = DeviceConfig(sn=config.sn, device_id=self.device_id, basic_param=basic)
            for one in (self.configuration, *(unit.configuration for unit in self.units.values())):
                if one is not target:
                    one.set(timing)

    def restart(self, now: float) -> None:
        """Lose power and come back: what is not on a chip or a disk is lost."""
        for unit in self.units.values():
            unit.recorder.stop()
            unit.tracking = None
            if unit.head is not None:
                unit.head.stop(now)
        self.cards.restart(now)
        self.guard.forget()


@lru_cache(maxsize=64)
def _route(points: tuple[tuple[float, float], ...], speed: float) -> Route:
    """Many devices drive the same round."""
    return Route(points, speed=speed)


def _input_of(device_id: str) -> str:
    """An alarm input of its own: the device's code with the type of one."""
    return f"{device_id[:10]}134{device_id[13:]}" if len(device_id) == 20 else device_id
