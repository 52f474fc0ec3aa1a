"""Catalogues: asks devices for what they have, and knows which device lists which channel."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from .catalog import circles
from .deviations import of_items
from .errors import Gb28181Error, NoAnswer
from .events import CatalogChanged
from .quirks import learnt

if TYPE_CHECKING:
    from .catalog import CatalogDifference
    from .manscdp.catalog import CatalogItem
    from .platform import Platform
    from .remote_device import RemoteDevice

logger = logging.getLogger("gb28181.catalogs")

AT_ONCE = 32
"""How many catalogues are asked for at a time, when a whole county registers at once."""


class Catalogs:
    """The catalogues of all devices of one platform.

    Attributes:
        owners: The device that lists a channel, by the channel's id.
    """

    def __init__(self, platform: Platform, *, interval: float) -> None:
        self.owners: dict[str, str] = {}
        self._platform = platform
        self._interval = interval
        self._asking = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Ask every device in turn: what no subscription told is learnt in the end all the same."""
        while True:
            await asyncio.sleep(self._interval)
            for device in tuple(self._platform.devices.values()):
                if device.is_online:
                    await self.ask(device)

    async def ask(self, device: RemoteDevice) -> None:
        """Ask for the catalogue, and once for the device's own data, in turn with other devices."""
        try:
            async with self._asking:
                await self._of(device)
                if device.info is None or device.capabilities:
                    info = await device.device_info()
                    device.quirks = learnt(device.quirks, info.manufacturer or "")
        except Gb28181Error as error:
            logger.warning("%s: %s", device.id, error)

    def arrived(self, device: RemoteDevice, items: tuple[CatalogItem, ...]) -> None:
        """Take a complete catalogue of a device."""
        watch = self._platform.watch
        watch.saw(device.id, of_items(items))
        change = device.tree.merge(items)
        for item in device.channels:
            self.owners[item.device_id] = device.id
        self.changed(device, change)
        circle = circles(items, device.id)
        if circle and "a circle of parents" not in device.quirks_seen:
            logger.warning("%s: its catalogue has a circle of parents: %s", device.id, circle[0])
        if circle:
            watch.saw(device.id, ["a circle of parents"])

    def changed(self, device: RemoteDevice, change: CatalogDifference) -> None:
        """Note what a catalogue or a notification changed, and tell the readers."""
        for channel_id in change.removed:
            if self.owners.get(channel_id) == device.id:
                del self.owners[channel_id]
        for channel_id in change.added:
            self.owners[channel_id] = device.id
        if change:
            self._platform.publish(
                CatalogChanged(
                    device=device,
                    added=change.added,
                    removed=change.removed,
                    changed=change.changed,
                )
            )

    async def _of(self, device: RemoteDevice) -> None:
        """Ask twice: of a recorder's first answer every part may have been spoilt (F Q3)."""
        try:
            await device.catalog()
        except NoAnswer as error:
            logger.info("%s: asked again: %s", device.id, error)
            await device.catalog()
