"""Subscriptions: what a platform has subscribed to, and what came of each."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sip.errors import FlowFailed, SubscriptionRejected, TransactionTimeout
from sip.message import Headers, Request

from .errors import DeviceNotOnline
from .link import CONTENT_TYPE
from .manscdp.catalog import CatalogQuery
from .manscdp.codec import encode
from .station import authority

if TYPE_CHECKING:
    from sip.endpoint import Notification, OutgoingSubscription

    from .platform import Platform
    from .remote_device import RemoteDevice

logger = logging.getLogger("gb28181.subscriptions")

EXPIRES = 600
"""Seconds of a catalogue subscription (2022 Annex N)."""
RETRY = 60.0
"""Seconds until a subscription that got no answer is tried again."""

_UNSUPPORTED = frozenset({400, 403, 404, 405, 415, 420, 489, 500, 501})


@dataclass(slots=True)
class Ledger:
    """How one subscription stands."""

    state: str = "asked"
    """``asked``, ``accepted``, ``refused`` (the peer cannot do it), ``lost``."""
    reason: str = ""
    notified: int = 0
    """NOTIFYs that came."""


class Subscriptions:
    """Keeps a catalogue subscription to each peer that is a platform, while it is online.

    A peer that refuses is not asked again until it registers anew: its catalogue is asked for by
    interval all the same.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, OutgoingSubscription] = {}
        self.ledger: dict[str, Ledger] = {}

    def begin(self, device: RemoteDevice) -> None:
        """Subscribe to a device that has come online; what was before is given up."""
        self.end(device)
        self._tasks[device.id] = self._platform.station.supervisor.spawn(
            self._keep(device), name=f"subscription to {device.id}", on_fault=lambda _: None
        )

    def end(self, device: RemoteDevice) -> None:
        """Give up the subscription to a device that is gone."""
        task = self._tasks.pop(device.id, None)
        if task is not None:
            task.cancel()

    def move(self, device: RemoteDevice) -> None:
        """Follow a device whose address has another port now."""
        subscription = self._running.get(device.id)
        if subscription is not None and device.binding is not None:
            subscription.flow = device.binding.flow

    async def _keep(self, device: RemoteDevice) -> None:
        while True:
            ledger = self.ledger[device.id] = Ledger()
            try:
                subscription = await self._subscribe(device, ledger)
            except SubscriptionRejected as error:
                status = error.response.status
                ledger.state, ledger.reason = "refused", f"{status} {error.response.reason}"
                logger.info("%s refused a catalogue subscription: %s", device.id, ledger.reason)
                if status in _UNSUPPORTED:
                    return
            except (TransactionTimeout, FlowFailed, DeviceNotOnline) as error:
                ledger.state, ledger.reason = "lost", str(error)
            else:
                ledger.state = "accepted"
                self._running[device.id] = subscription
                try:
                    await self._until_over(subscription)
                finally:
                    del self._running[device.id]
                ledger.state, ledger.reason = "lost", "the peer ended it"
            await asyncio.sleep(RETRY)

    async def _until_over(self, subscription: OutgoingSubscription) -> None:
        try:
            await asyncio.wait({subscription.terminated})
        finally:
            if not subscription.is_terminated:
                # We are leaving, or the device has: one SUBSCRIBE with Expires 0, not waited for.
                await subscription.cancel(timeout=0.0)

    async def _subscribe(self, device: RemoteDevice, ledger: Ledger) -> OutgoingSubscription:
        platform = self._platform
        binding = device.require_binding()

        def body() -> bytes:
            query = CatalogQuery(sn=platform.commands.next_sn(), device_id=device.id)
            return encode(query, device.edition, device.quirks.charset)

        def take(notification: Notification) -> None:
            ledger.notified += 1
            platform.take_notification(device, notification)

        headers = Headers(
            [
                ("From", f"<sip:{platform.id}@{platform.domain}>"),
                ("To", f"<sip:{device.id}@{platform.domain}>"),
                ("Event", f"Catalog;id={platform.commands.next_sn()}"),
                ("Content-Type", CONTENT_TYPE),
            ]
        )
        uri = f"sip:{device.id}@{authority(binding.flow)}"
        return await platform.station.endpoint.subscribe(
            Request("SUBSCRIBE", uri, headers, body()),
            binding.flow,
            expires=EXPIRES,
            body=body,
            on_notify=take,
        )
