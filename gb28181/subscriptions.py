"""Subscriptions: what a platform has subscribed to, and what came of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from sip.errors import FlowFailed, SubscriptionRejected, TransactionTimeout
from sip.message import Headers, Request

from .edition import Edition
from .errors import ConfigError, DeviceNotOnline
from .manscdp.alarm import AlarmNotify, AlarmQuery
from .manscdp.catalog import CatalogNotify, CatalogQuery
from .manscdp.codec import CONTENT_TYPE, encode
from .manscdp.position import MobilePositionNotify, MobilePositionQuery
from .manscdp.ptz_state import PtzPositionNotify, PtzPositionQuery
from .station import authority

if TYPE_CHECKING:
    from collections.abc import Callable

    from sip.endpoint import Notification, OutgoingSubscription

    from .manscdp.schema import Message
    from .platform import Platform
    from .remote_device import RemoteDevice

logger = logging.getLogger("gb28181.subscriptions")

EXPIRES = 600
"""Seconds of a catalogue subscription (2022 Annex N)."""
LONG = 3600
"""Seconds of the others, which the standard leaves open."""
RETRY = 60.0
"""Seconds until a subscription that got no answer is tried again."""

_UNSUPPORTED = frozenset({400, 403, 404, 405, 415, 420, 489, 500, 501})


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the four things to subscribe to.

    Source: 2022 Annex N, 9.11; 2016 J.18 to J.22; Event headers as in the reference, 02 section 6.
    """

    query: Callable[[str, str, int | None], Message]
    """Makes the body: serial number, code, interval."""
    event: str
    expires: int
    since: Edition = Edition.GB2011


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "catalog": Kind(
            lambda sn, code, interval: CatalogQuery(sn=sn, device_id=code), "Catalog", EXPIRES
        ),
        "alarm": Kind(
            lambda sn, code, interval: AlarmQuery(
                sn=sn, device_id=code, start_priority=0, end_priority=0, alarm_method="0"
            ),
            "presence",
            LONG,
        ),
        "position": Kind(
            lambda sn, code, interval: MobilePositionQuery(
                sn=sn, device_id=code, interval=interval
            ),
            "presence",
            LONG,
            MobilePositionQuery.since,
        ),
        "ptz-position": Kind(
            lambda sn, code, interval: PtzPositionQuery(sn=sn, device_id=code),
            "presence",
            LONG,
            PtzPositionQuery.since,
        ),
    }
)

_KIND_OF_NOTICE: Mapping[type[object], str] = MappingProxyType(
    {
        CatalogNotify: "catalog",
        AlarmNotify: "alarm",
        MobilePositionNotify: "position",
        PtzPositionNotify: "ptz-position",
    }
)


class Subscription:
    """The ledger of one subscription: what was asked, and what really came.

    Attributes:
        device_id: Whom we subscribe to.
        kind: ``catalog``, ``alarm``, ``position`` or ``ptz-position``.
        target: The code in the query: the device's or a channel's.
        state: ``waiting`` for the device, ``asked``, ``accepted``, ``refused`` (it cannot do it),
            ``lost`` (to be tried again), ``ended`` (by us).
        reason: Why it is refused or lost.
        asked_at: When it was last asked for; times are the loop's.
        accepted_at: When it was first accepted since then.
        first_notified_at: When the first news came; None: accepted, and then nothing.
        last_notified_at: When the last news came.
        notified: Pieces of news since it was last asked for.
        by_message: How many of them came as MESSAGE, outside the subscription.
        renewals: How many renewals were granted.
        losses: How often it was lost.
    """

    def __init__(self, device_id: str, kind: str, target: str, interval: int | None) -> None:
        self.device_id = device_id
        self.kind = kind
        self.target = target
        self.interval = interval
        self.state = "waiting"
        self.reason = ""
        self.asked_at: float | None = None
        self.accepted_at: float | None = None
        self.first_notified_at: float | None = None
        self.last_notified_at: float | None = None
        self.notified = 0
        self.by_message = 0
        self.losses = 0
        self.answered = asyncio.Event()
        self.outgoing: OutgoingSubscription | None = None
        self._renewals = 0
        self._expiry = 0.0

    def __repr__(self) -> str:
        return f"Subscription({self.kind} of {self.target}, {self.state}, notified={self.notified})"

    @property
    def is_notifying(self) -> bool:
        """Whether news came, by NOTIFY or by MESSAGE."""
        return self.notified > 0

    @property
    def expires_at(self) -> float | None:
        """When it ends unless it is renewed; None while it does not stand."""
        return None if self.outgoing is None else self.outgoing.expires_at

    @property
    def renewals(self) -> int:
        """How many renewals were granted."""
        self._count_renewal()
        return self._renewals

    def asked(self, now: float) -> None:
        """Note that a SUBSCRIBE leaves."""
        self.state, self.reason, self.asked_at = "asked", "", now
        self.accepted_at = self.first_notified_at = self.last_notified_at = None
        self.notified = self.by_message = 0

    def accepted(self, outgoing: OutgoingSubscription, now: float) -> None:
        """Note that it was granted."""
        self.state, self.accepted_at, self.outgoing = "accepted", now, outgoing
        self._expiry = outgoing.expires_at or 0.0
        self.answered.set()

    def failed(self, state: str, reason: str) -> None:
        """Note that it was refused or lost."""
        self._count_renewal()
        self.losses += state == "lost" and self.accepted_at is not None
        self.state, self.reason, self.outgoing = state, reason, None
        self.answered.set()

    def heard(self, now: float, *, by_message: bool) -> None:
        """Note a piece of news."""
        self.notified += 1
        self.by_message += by_message
        self.first_notified_at = self.first_notified_at or now
        self.last_notified_at = now
        self._count_renewal()

    def _count_renewal(self) -> None:
        until = self.expires_at
        if until is not None and until > self._expiry + 1.0:
            self._renewals += 1
            self._expiry = until

    def renewing(self) -> None:
        """Note that a renewal leaves: what the last one brought is known now."""
        self._count_renewal()


class Subscriptions:
    """Keeps every subscription that is wanted, while its device is online.

    A device that refuses is not asked again until it registers anew. One that comes back, or moves
    to another address, is subscribed to again.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._wanted: dict[str, dict[tuple[str, str], Subscription]] = {}
        self._tasks: dict[Subscription, asyncio.Task[None]] = {}

    def of(self, device_id: str) -> tuple[Subscription, ...]:
        """The ledger of a device."""
        return tuple(self._wanted.get(device_id, {}).values())

    async def want(
        self, device: RemoteDevice, kind: str, target: str, *, interval: int | None = None
    ) -> Subscription:
        """Subscribe, now and whenever the device comes back; return when it has answered.

        A device that is away is subscribed to when it comes.

        Raises:
            ConfigError: There is no such kind, or the interval is none.
        """
        if kind not in KINDS:
            raise ConfigError(f"{kind!r} is nothing to subscribe to: {', '.join(KINDS)}")
        if interval is not None and interval < 1:
            raise ConfigError(f"an interval of {interval} s")
        known = self._wanted.get(device.id, {}).get((kind, target))
        if known is not None and known.interval != interval:
            self._stop(known)
            known.interval = interval
            known.answered.clear()
        subscription = known or self._note(device.id, kind, target, interval)
        if device.is_online:
            if subscription not in self._tasks:
                self._begin(device, subscription)
            await subscription.answered.wait()
        return subscription

    async def cancel(self, subscription: Subscription) -> None:
        """End a subscription and forget it."""
        wanted = self._wanted.get(subscription.device_id, {})
        if wanted.get((subscription.kind, subscription.target)) is subscription:
            del wanted[(subscription.kind, subscription.target)]
        outgoing = subscription.outgoing
        self._stop(subscription)
        subscription.state = "ended"
        if outgoing is not None and not outgoing.is_terminated:
            await outgoing.cancel()

    def begin(self, device: RemoteDevice, *, catalog: bool) -> None:
        """Subscribe to a device that has come online; what was before is given up."""
        if catalog and ("catalog", device.id) not in self._wanted.get(device.id, {}):
            self._note(device.id, "catalog", device.id, None)
        for subscription in self.of(device.id):
            self._stop(subscription)
            subscription.answered.clear()
            self._begin(device, subscription)

    def end(self, device: RemoteDevice) -> None:
        """Give up the subscriptions to a device that is gone, until it comes back."""
        for subscription in self.of(device.id):
            self._stop(subscription)
            subscription.failed("lost" if subscription.accepted_at else "waiting", "it is offline")

    def move(self, device: RemoteDevice) -> None:
        """Follow a device whose address has another port now."""
        for subscription in self.of(device.id):
            if subscription.outgoing is not None and device.binding is not None:
                subscription.outgoing.flow = device.binding.flow

    def heard(self, device: RemoteDevice, message: Message, *, by_message: bool) -> None:
        """Note news in the ledger: of the code that it names, else of the device."""
        kind = _KIND_OF_NOTICE.get(type(message))
        wanted = self._wanted.get(device.id)
        if kind is None or wanted is None:
            return
        of_kind = [one for one in wanted.values() if one.kind == kind]
        named = [one for one in of_kind if one.target == message.device_id]
        for subscription in named or of_kind:
            subscription.heard(asyncio.get_running_loop().time(), by_message=by_message)
            if by_message and subscription.state == "accepted":
                device.quirks_seen.note(
                    f"{message.cmd_type} told by MESSAGE in place of NOTIFY",
                    asyncio.get_running_loop().time(),
                )

    def _note(self, device_id: str, kind: str, target: str, interval: int | None) -> Subscription:
        subscription = Subscription(device_id, kind, target, interval)
        self._wanted.setdefault(device_id, {})[(kind, target)] = subscription
        return subscription

    def _begin(self, device: RemoteDevice, subscription: Subscription) -> None:
        self._tasks[subscription] = self._platform.station.supervisor.spawn(
            self._keep(device, subscription),
            name=f"subscription to {subscription.kind} of {subscription.target}",
            on_fault=lambda _: subscription.failed("lost", "a fault of ours"),
        )

    def _stop(self, subscription: Subscription) -> None:
        task = self._tasks.pop(subscription, None)
        if task is not None:
            task.cancel()

    async def _keep(self, device: RemoteDevice, subscription: Subscription) -> None:
        loop = asyncio.get_running_loop()
        if device.edition < KINDS[subscription.kind].since:
            subscription.failed("refused", f"it speaks edition {device.edition.version}")
            return
        while True:
            subscription.asked(loop.time())
            try:
                outgoing = await self._subscribe(device, subscription)
            except SubscriptionRejected as error:
                status, reason = error.response.status, error.response.reason
                is_final = status in _UNSUPPORTED
                subscription.failed("refused" if is_final else "lost", f"{status} {reason}")
                device.quirks_seen.note(f"SUBSCRIBE refused with {status}", loop.time())
                logger.info(
                    "%s refused a subscription to %s: %s",
                    device.id, subscription.kind, subscription.reason,
                )  # fmt: skip
                if is_final:
                    return
            except (TransactionTimeout, FlowFailed, DeviceNotOnline) as error:
                subscription.failed("lost", str(error))
            else:
                subscription.accepted(outgoing, loop.time())
                await self._until_over(outgoing)
                subscription.failed("lost", "it ended, or was not renewed")
            await asyncio.sleep(RETRY)

    async def _until_over(self, outgoing: OutgoingSubscription) -> None:
        try:
            await asyncio.wait({outgoing.terminated})
        finally:
            if not outgoing.is_terminated:
                # We are leaving, or the device has: one SUBSCRIBE with Expires 0, not waited for.
                await outgoing.cancel(timeout=0.0)

    async def _subscribe(
        self, device: RemoteDevice, subscription: Subscription
    ) -> OutgoingSubscription:
        platform = self._platform
        binding = device.require_binding()
        kind = KINDS[subscription.kind]

        def body() -> bytes:
            subscription.renewing()
            sn = platform.commands.next_sn()
            query = kind.query(sn, subscription.target, subscription.interval)
            return encode(query, device.edition, device.quirks.charset)

        def take(notification: Notification) -> None:
            platform.take_notification(device, notification)

        headers = Headers(
            [
                ("From", f"<sip:{platform.id}@{platform.domain}>"),
                ("To", f"<sip:{subscription.target}@{platform.domain}>"),
                ("Event", f"{kind.event};id={platform.commands.next_sn()}"),
                ("Content-Type", CONTENT_TYPE),
            ]
        )
        uri = f"sip:{subscription.target}@{authority(binding.flow)}"
        return await platform.station.endpoint.subscribe(
            Request("SUBSCRIBE", uri, headers, body()),
            binding.flow,
            expires=kind.expires,
            body=body,
            on_notify=take,
        )
