"""Firmware: fetched, installed by a restart, and told of when the device is back."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ..manscdp.notices import DeviceUpgradeResultNotify
from .web import TransferFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..manscdp.control import DeviceUpgrade
    from .web import Web

logger = logging.getLogger("gb28181.device")


class Firmware:
    """What a device runs, and how that changes.

    Source: GB/T 28181-2022 9.13, A.2.3.1.12, A.2.5.
    """

    def __init__(self, version: str, manufacturer: str, web: Web, *, limit: int) -> None:
        """Take what runs, who made it, and the most bytes of a package."""
        self.version = version
        self._manufacturer = manufacturer
        self._web = web
        self._limit = limit
        self._is_busy = False

    def fault(self, order: DeviceUpgrade) -> str:
        """Say why an upgrade cannot be begun; empty when it can."""
        if self._is_busy:
            return "an upgrade is under way"
        if order.manufacturer.strip().lower() != self._manufacturer.lower():
            return (
                f"the package is by {order.manufacturer[:40]}, the device by {self._manufacturer}"
            )
        if not order.firmware or not order.session_id or len(order.session_id) > 128:
            return "DeviceUpgrade has no Firmware or no SessionID"
        return self._web.fault(order.file_url)

    async def upgrade(
        self,
        order: DeviceUpgrade,
        device_id: str,
        *,
        sn: str,
        restart: Callable[[], Awaitable[None]],
        tell: Callable[[DeviceUpgradeResultNotify], Awaitable[object]],
    ) -> None:
        """Fetch and install a package; tell when the device has registered again.

        Args:
            order: What to install.
            device_id: Whose.
            sn: Of the notice.
            restart: Restarts the device and returns when it is registered.
            tell: Sends the notice.
        """
        self._is_busy = True
        notice = DeviceUpgradeResultNotify(
            sn=sn, device_id=device_id, session_id=order.session_id, upgrade_result="OK"
        )
        try:
            try:
                package = await self._web.fetch(order.file_url, self._limit)
            except TransferFailed as error:
                logger.info("%s: not upgraded: %s", device_id, error)
                notice = replace(notice, upgrade_result="ERROR", upgrade_failed_reason=error.code)
            else:
                logger.info("%s: %d bytes of %s", device_id, len(package), order.firmware)
                self.version = order.firmware
                await restart()
            await tell(replace(notice, firmware=self.version))
        finally:
            self._is_busy = False
