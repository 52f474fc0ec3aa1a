"""Configuring: what a device does with blocks beyond keeping them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..manscdp.config import BasicParam
    from ..manscdp.device_config import DeviceConfig
    from .inventory import Inventory, Unit
    from .snapshots import Snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a configuration can make the whole device do."""

    rename: Callable[[str, str], None]
    """Give a channel another name."""
    register_by: Callable[[BasicParam], None]
    """Register and keep alive by other times."""
    take_pictures: Callable[[Unit], None]
    """Begin to take the pictures that a camera was ordered to."""


class Configuring:
    """Judges a configuration, sets it, and lets it take effect.

    Source: GB/T 28181-2022 A.2.3.2.
    """

    def __init__(self, inventory: Inventory, snapshots: Snapshots, effects: Effects) -> None:
        self._inventory = inventory
        self._snapshots = snapshots
        self._effects = effects

    def set(self, config: DeviceConfig) -> str:
        """Set all of it, or nothing; return why nothing."""
        fault = self._inventory.config_fault(config) or self._picture_fault(config)
        if not fault:
            self._inventory.configure(config)
        return fault

    def take_effect(self, config: DeviceConfig) -> None:
        """Do what was set; after the answer, for it may interrupt the connection."""
        inventory, effects = self._inventory, self._effects
        units = inventory.meant(config.device_id)
        basic = config.basic_param
        if basic is not None:
            if basic.name is not None and config.device_id in inventory.units:
                effects.rename(config.device_id, basic.name)
            effects.register_by(inventory.configuration.blocks.basic_param)
        if config.video_record_plan is not None:
            for unit in units:
                unit.recorder.set_plan(unit.configuration.blocks.video_record_plan)
        if config.snapshot_config is not None:
            effects.take_pictures(units[0])

    def _picture_fault(self, config: DeviceConfig) -> str:
        if config.snapshot_config is None:
            return ""
        unit = self._inventory.camera(config.device_id)
        if unit is None:
            return f"{config.device_id} is not one camera"
        return self._snapshots.fault(unit.id, config.snapshot_config)
