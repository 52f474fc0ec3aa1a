"""Upward: tells an upper platform of alarms, positions and finished work below, as it asked."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sip.errors import FlowFailed, LocalProtocolError, SipError, TransactionTimeout

from ..edition import Edition
from ..equipment.known import is_known
from ..equipment.subscribers import INTERVAL, MAX_SUBSCRIPTIONS, wants
from ..errors import Gb28181Error, MalformedCommand
from ..events import Alarm, Notice, Position, PtzPosition
from ..manscdp.alarm import AlarmQuery, AlarmResponse
from ..manscdp.codec import CONTENT_TYPE, decode, encode
from ..manscdp.editions import messages_for
from ..manscdp.notices import VideoUploadNotify
from ..manscdp.position import MobilePositionNotify, MobilePositionQuery, MobilePositionResponse
from ..manscdp.ptz_state import PtzPositionQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from sip.endpoint import IncomingSubscribe, IncomingSubscription
    from sip.message import Request

    from ..manscdp.alarm import AlarmNotify
    from ..manscdp.schema import Message
    from ..platform import Platform
    from ..remote_device import RemoteDevice
    from ..subscriptions import Subscription
    from .link import Link
    from .share import Share

logger = logging.getLogger("gb28181.cascade")

_NOTIFY_TIMEOUT = 10.0
_KINDS = {
    AlarmQuery: "alarm",
    MobilePositionQuery: "position",
    PtzPositionQuery: "ptz-position",
}
_RESULTS: dict[type[Any], type[Any]] = {
    AlarmQuery: AlarmResponse,
    MobilePositionQuery: MobilePositionResponse,
}


@dataclass(slots=True)
class _Wish:
    """What one subscription of the upper asks for."""

    query: Message
    told: dict[str, float] = field(default_factory=dict)
    """When each channel's position was last told."""
    ours: Subscription | None = None
    """The subscription below that we made for it."""


class Upward:
    """Serves an upper's subscriptions to alarms, positions and heads, out of what we hear.

    A channel's device is subscribed to in turn; one for the whole platform is served by what the
    devices tell of their own accord or to us.

    Source: GB/T 28181-2022 9.11, Annex N; the reference, 07 section 7.
    """

    def __init__(
        self,
        platform: Platform,
        share: Share,
        link: Link,
        *,
        sessions: Container[str] = (),
        alarms_by_message: bool = False,
    ) -> None:
        """Take what stands on both sides.

        Args:
            platform: What it hears is told.
            share: What the link shares, under which ids.
            link: To the upper.
            sessions: Snapshots and upgrades that the upper began: their end is told.
            alarms_by_message: Send alarms that nobody subscribed to as MESSAGEs.
        """
        self._platform = platform
        self._share = share
        self._link = link
        self._sessions = sessions
        self._alarms_by_message = alarms_by_message
        self._wishes: dict[IncomingSubscription, _Wish] = {}

    def __len__(self) -> int:
        """Count the subscriptions."""
        return len(self._wishes)

    async def take(self, incoming: IncomingSubscribe, query: Message) -> None:
        """Serve one SUBSCRIBE; only what will really be notified of is accepted."""
        edition = self._link.config.edition
        if type(query) not in _KINDS or not is_known(type(query), edition):
            incoming.respond(489)
        elif query.device_id != self._platform.id and self._owner(query.device_id) is None:
            incoming.respond(404)
        elif len(self._wishes) >= MAX_SUBSCRIPTIONS * len(_KINDS):
            incoming.respond(503, headers=[("Retry-After", "60")])
        else:
            fields, body = self._said(incoming.request)
            subscription = incoming.accept(headers=fields, body=body, answer=self._said)
            self._wishes[subscription] = wish = _Wish(query)
            subscription.on_refresh(lambda request: self._refreshed(wish, request))
            subscription.terminated.add_done_callback(lambda _: self._end(subscription))
            await self._wish_below(wish)

    async def run(self) -> None:
        """Tell what happens, for ever. Runs in the platform's group."""
        async with self._platform.events() as events:
            async for event in events:
                match event:
                    case Alarm():
                        await self._alarm(event.device, event.notify)
                    case Position():
                        await self._position(event)
                    case PtzPosition():
                        await self._head(event)
                    case Notice():
                        await self._notice(event)

    # What happens ---------------------------------------------------------------------------

    async def _alarm(self, device: RemoteDevice, notify: AlarmNotify) -> None:
        published = self._published(device, notify.device_id)
        if published is None:
            return
        notice = replace(notify, sn=self._sn(), device_id=published)
        asked = [
            subscription
            for subscription, wish in self._wishes.items()
            if isinstance(wish.query, AlarmQuery)
            and wish.query.device_id in (self._platform.id, published)
            and wants(wish.query, notice)
        ]
        taken = [await self._notify(subscription, notice) for subscription in asked]
        if not any(taken) and self._alarms_by_message and self._link.is_registered:
            await self._send(notice)

    async def _position(self, event: Position) -> None:
        published = self._published(event.device, event.channel_id)
        if published is None:
            return
        now = asyncio.get_running_loop().time()
        item = replace(event.item, device_id=published)
        for subscription, wish in tuple(self._wishes.items()):
            query = wish.query
            if not isinstance(query, MobilePositionQuery) or query.device_id not in (
                self._platform.id,
                published,
            ):
                continue
            # A little early is in time: our clock and the device's are two.
            pause = 0.9 * float(query.interval or INTERVAL)
            if now - wish.told.get(published, -pause) < pause:
                continue
            wish.told[published] = now
            notice = MobilePositionNotify(
                sn=self._sn(),
                device_id=query.device_id,
                time=item.capture_time,
                sum_num=1,
                items=(item,),
            )
            for message in messages_for(notice, self._link.config.edition, self._sn):
                await self._notify(subscription, message)

    async def _head(self, event: PtzPosition) -> None:
        published = self._published(event.device, event.channel_id)
        for subscription, wish in tuple(self._wishes.items()):
            if isinstance(wish.query, PtzPositionQuery) and wish.query.device_id == published:
                notice = replace(event.notify, sn=self._sn(), device_id=published)
                await self._notify(subscription, notice)

    async def _notice(self, event: Notice) -> None:
        """The end of what the upper began, and the wish of a device to be watched (2022)."""
        notify = event.notify
        published = self._published(event.device, notify.device_id)
        if published is None or self._link.config.edition is not Edition.GB2022:
            return
        if isinstance(notify, VideoUploadNotify) or notify.session_id in self._sessions:
            await self._send(replace(notify, sn=self._sn(), device_id=published))

    # Within ---------------------------------------------------------------------------------

    def _owner(self, published_id: str) -> RemoteDevice | None:
        own_id = self._share.ids.own(published_id)
        item = self._platform.channel_item(own_id)
        shared = item is not None and self._share.publishes(item)
        return self._platform.owner_of(own_id) if shared else None

    def _published(self, device: RemoteDevice, own_id: str) -> str | None:
        """The id above of a source below; None for what is not shared.

        An alarm input that is in no catalogue, and the device itself, are shared with a channel.
        """
        if device.id == self._link.server_id:
            return None  # what came from that platform does not go back to it
        item = device.tree.item(own_id)
        if item is not None:
            return self._share.ids.published(own_id) if self._share.publishes(item) else None
        is_shared = any(self._share.publishes(one) for one in device.channels)
        return self._share.ids.published(own_id) if is_shared else None

    async def _wish_below(self, wish: _Wish) -> None:
        """Subscribe to the channel's device as the upper does to us, unless we do already."""
        owner = self._owner(wish.query.device_id)
        if owner is None:
            return
        kind, target = _KINDS[type(wish.query)], self._share.ids.own(wish.query.device_id)
        known = {(one.kind, one.target) for one in owner.subscriptions}
        if (kind, target) in known or (kind, owner.id) in known:
            return
        interval = getattr(wish.query, "interval", None)
        if kind == "position":
            interval = max(1, int(interval or INTERVAL))
        try:
            wish.ours = await self._platform.subscriptions.want(
                owner, kind, target, interval=interval
            )
        except Gb28181Error as error:
            logger.info("%s: not subscribed to %s: %s", self._link.server_id, target, error)
            return
        if all(one is not wish for one in self._wishes.values()):
            self._release(wish)  # the upper's ended before the device had answered

    def _refreshed(self, wish: _Wish, request: Request) -> None:
        query = _query_of(request)
        if type(query) is type(wish.query) and query is not None:
            wish.query = query

    def _end(self, subscription: IncomingSubscription) -> None:
        wish = self._wishes.pop(subscription, None)
        if wish is not None:
            self._release(wish)

    def _release(self, wish: _Wish) -> None:
        """End the subscription below that nobody above wants any more."""
        supervisor = self._platform.station.supervisor
        if wish.ours is None or not supervisor.is_running:
            return
        if any(one.ours is wish.ours for one in self._wishes.values()):
            return
        supervisor.spawn(
            self._platform.subscriptions.cancel(wish.ours),
            name=f"unsubscribe for {self._link.server_id}",
            on_fault=lambda _: None,
        )

    async def _notify(self, subscription: IncomingSubscription, notice: Message) -> bool:
        try:
            response = await subscription.notify(
                encode(notice, self._link.config.edition), CONTENT_TYPE, timeout=_NOTIFY_TIMEOUT
            )
        except (LocalProtocolError, TransactionTimeout, FlowFailed) as error:
            logger.info("%s: %s not told: %s", self._link.server_id, notice.cmd_type, error)
            return False
        return response.status < 300

    async def _send(self, message: Message) -> None:
        try:
            await self._link.send(encode(message, self._link.config.edition))
        except (SipError, OSError) as error:
            logger.info("%s: %s not told: %s", self._link.server_id, message.cmd_type, error)

    def _said(self, request: Request) -> tuple[list[tuple[str, str]], bytes]:
        """What the 200 to a SUBSCRIBE says: up to 2016 it has a body (J.18 to J.22)."""
        query = _query_of(request)
        cls = _RESULTS.get(type(query))
        if query is None or cls is None or self._link.config.edition > Edition.GB2016:
            return [], b""
        answer = cls(sn=query.sn, device_id=query.device_id, result="OK")
        return [("Content-Type", CONTENT_TYPE)], encode(answer, self._link.config.edition)

    @property
    def _sn(self) -> Callable[[], str]:
        return self._platform.commands.next_sn


def _query_of(request: Request) -> Message | None:
    try:
        return decode(request.body).message
    except MalformedCommand:
        return None
