"""Subscribers of a device: to its catalogue, alarms, vehicle and head; each gets what it asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sip.endpoint import IncomingSubscribe
from sip.errors import FlowFailed, LocalProtocolError, TransactionTimeout

from ..edition import Edition
from ..errors import MalformedCommand
from ..manscdp.alarm import AlarmQuery, AlarmResponse
from ..manscdp.catalog import CatalogQuery, CatalogResult
from ..manscdp.codec import CONTENT_TYPE, decode, encode
from ..manscdp.position import MobilePositionQuery, MobilePositionResponse
from ..manscdp.ptz_state import PtzPositionQuery
from ..manscdp.values import parse_time
from .known import is_known

if TYPE_CHECKING:
    from sip.endpoint import IncomingSubscription
    from sip.message import Request

    from ..manscdp.alarm import AlarmNotify
    from ..manscdp.schema import Message
    from ..supervisor import Supervisor
    from ..upper.publisher import CatalogPublisher
    from .inventory import Inventory
    from .queries import Queries

logger = logging.getLogger("gb28181.device")

MAX_SUBSCRIPTIONS = 16
"""Of each kind, beyond the catalogue's, which the publisher counts."""
INTERVAL = 5.0
"""Seconds between positions of the vehicle when nothing is asked.

Source: GB/T 28181-2022 A.2.4.9.
"""
LOOK = 1.0
"""Seconds between two looks at where a head is; a subscriber hears of what has changed."""
MISSES = 2
"""Notices in a row without an answer after which a subscription is ended."""
_NOTIFY_TIMEOUT = 10.0

Notice = Callable[[], "Message | None"]


class Subscribers:
    """Accepts subscriptions and serves them; anything else is refused.

    Source: GB/T 28181-2022 9.11, Annex N; 2016 9.11, J.18 to J.22.
    """

    def __init__(
        self,
        inventory: Inventory,
        queries: Queries,
        publisher: CatalogPublisher,
        supervisor: Supervisor,
    ) -> None:
        """Take what is told of, and who runs what goes on."""
        self._inventory = inventory
        self._queries = queries
        self._publisher = publisher
        self._supervisor = supervisor
        self._publishing: asyncio.Task[None] | None = None
        self._running: dict[IncomingSubscription, type[Any]] = {}
        self._alarms: dict[IncomingSubscription, AlarmQuery] = {}
        self._missed: dict[IncomingSubscription, int] = {}

    def __len__(self) -> int:
        """Count the subscriptions."""
        return len(self._running)

    async def take(self, incoming: IncomingSubscribe, query: Message) -> None:
        """Serve one SUBSCRIBE."""
        serve = _KINDS.get(type(query))
        if serve is None or not is_known(type(query), self._inventory.edition):
            incoming.respond(489)
        elif not self._inventory.knows(query.device_id):
            incoming.respond(404)
        elif self._is_full(type(query)):
            incoming.respond(503, headers=[("Retry-After", "60")])
        else:
            fields, body = self._said(incoming.request)
            subscription = incoming.accept(
                headers=fields, body=body, answer=lambda request: self._said(request)
            )
            self._running[subscription] = type(query)
            over = subscription.terminated
            over.add_done_callback(lambda _: self._forget(subscription))
            await serve(self, subscription, query)

    async def notify_alarm(self, notice: AlarmNotify) -> int:
        """Tell an alarm to the subscribers that want it; return how many have taken it."""
        taken = 0
        for subscription, query in tuple(self._alarms.items()):
            asked = query.device_id
            meant = asked in (self._inventory.device_id, notice.device_id)
            if meant and wants(query, notice) and await self._send(subscription, notice):
                taken += 1
        return taken

    async def drop(self, reason: str) -> None:
        """End every subscription."""
        for subscription in tuple(self._running):
            await subscription.terminate(reason, timeout=1.0)

    # The kinds ------------------------------------------------------------------------------

    async def _catalog(self, subscription: IncomingSubscription, query: CatalogQuery) -> None:
        if self._publishing is None or self._publishing.done():
            self._publishing = self._supervisor.spawn(
                self._publisher.run(), name=f"publisher for {self._inventory.device_id}"
            )
        await self._publisher.add(subscription)

    async def _alarm(self, subscription: IncomingSubscription, query: AlarmQuery) -> None:
        # Nothing has happened yet: the first NOTIFY is the first alarm (9.11.1).
        self._alarms[subscription] = query

        def refreshed(request: Request) -> None:
            again = _query_of(request)
            if isinstance(again, AlarmQuery):
                self._alarms[subscription] = again

        subscription.on_refresh(refreshed)

    async def _vehicle(
        self, subscription: IncomingSubscription, query: MobilePositionQuery
    ) -> None:
        asked = query

        def refreshed(request: Request) -> None:
            nonlocal asked
            again = _query_of(request)
            if isinstance(again, MobilePositionQuery):
                asked = again

        subscription.on_refresh(refreshed)
        self._drive(
            subscription,
            lambda: self._queries.mobile_position(
                query.device_id, self._inventory.next_sn(), _now()
            ),
            lambda: min(max(float(asked.interval or INTERVAL), 1.0), 86_400.0),
        )

    async def _head(self, subscription: IncomingSubscription, query: PtzPositionQuery) -> None:
        told: object = None

        def news() -> Message | None:
            nonlocal told
            notice = self._queries.ptz_notice(query.device_id, "0", _now())
            if notice == told:
                return None
            told = notice
            return self._queries.ptz_notice(query.device_id, self._inventory.next_sn(), _now())

        self._drive(subscription, news, lambda: LOOK)

    # Within ---------------------------------------------------------------------------------

    def _drive(
        self, subscription: IncomingSubscription, news: Notice, pause: Callable[[], float]
    ) -> None:
        self._supervisor.spawn(
            self._tell(subscription, news, pause),
            name=f"publisher for {self._inventory.device_id}",
            on_fault=lambda _: None,
        )

    async def _tell(
        self, subscription: IncomingSubscription, news: Notice, pause: Callable[[], float]
    ) -> None:
        """Tell the news at once, and then again and again as long as the subscription stands."""
        over = subscription.terminated
        while not subscription.is_terminated:
            notice = news()
            if notice is not None:
                await self._send(subscription, notice)
            await asyncio.wait([over], timeout=pause())

    async def _send(self, subscription: IncomingSubscription, notice: Message) -> bool:
        try:
            response = await subscription.notify(
                encode(notice, self._inventory.edition), CONTENT_TYPE, timeout=_NOTIFY_TIMEOUT
            )
        except (LocalProtocolError, TransactionTimeout, FlowFailed) as error:
            logger.info(
                "%s: %s not delivered: %s", self._inventory.device_id, notice.cmd_type, error
            )
            await self._miss(subscription)
            return False
        self._missed.pop(subscription, None)
        return response.status < 300

    async def _miss(self, subscription: IncomingSubscription) -> None:
        """A notice that was not answered may be an accident; a second one is not (RFC 6665)."""
        if subscription.is_terminated:
            return
        self._missed[subscription] = self._missed.get(subscription, 0) + 1
        if self._missed[subscription] >= MISSES:
            await subscription.terminate("deactivated", timeout=1.0)

    def _is_full(self, kind: type[Any]) -> bool:
        if kind is CatalogQuery:
            return not self._publisher.has_room
        return sum(1 for one in self._running.values() if one is kind) >= MAX_SUBSCRIPTIONS

    def _forget(self, subscription: IncomingSubscription) -> None:
        self._running.pop(subscription, None)
        self._alarms.pop(subscription, None)
        self._missed.pop(subscription, None)

    def _said(self, request: Request) -> tuple[list[tuple[str, str]], bytes]:
        """What the 200 says: up to 2016 it has a body (J.18 to J.22)."""
        query = _query_of(request)
        make = _RESULTS.get(type(query))
        if query is None or make is None or self._inventory.edition > Edition.GB2016:
            return [], b""
        body = encode(make(query.sn, query.device_id), self._inventory.edition)
        return [("Content-Type", CONTENT_TYPE)], body


def wants(query: AlarmQuery, notice: AlarmNotify) -> bool:
    """Whether a subscription is for an alarm.

    Source: GB/T 28181-2022 A.2.4.6: 0 or nothing is all; several methods as ``1/2`` or ``12``.
    """
    priority = int(notice.priority) if notice.priority.isdecimal() else 0
    low, high = query.start_priority or 0, query.end_priority or 0
    methods = set((query.alarm_method or "0").replace("/", ""))
    return (
        (not low or priority >= low)
        and (not high or priority <= high)
        and ("0" in methods or notice.method in methods)
        and query.alarm_type in (None, "0", notice.alarm_type)
        and _is_between(notice.time, query.start_time, query.end_time)
    )


def _is_between(moment: str, start: str | None, end: str | None) -> bool:
    try:
        when = parse_time(moment)
        return (start is None or when >= parse_time(start)) and (
            end is None or when <= parse_time(end)
        )
    except ValueError:
        return True


def _query_of(request: Request) -> Message | None:
    try:
        return decode(request.body).message
    except MalformedCommand:
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()


_KINDS: dict[type[Any], Callable[[Subscribers, Any, Any], Awaitable[None]]] = {
    AlarmQuery: Subscribers._alarm,
    CatalogQuery: Subscribers._catalog,
    MobilePositionQuery: Subscribers._vehicle,
    PtzPositionQuery: Subscribers._head,
}
_RESULTS: dict[type[Any], Callable[[str, str], Message]] = {
    AlarmQuery: lambda sn, own: AlarmResponse(sn=sn, device_id=own, result="OK"),
    CatalogQuery: lambda sn, own: CatalogResult(sn=sn, device_id=own, result="OK"),
    MobilePositionQuery: lambda sn, own: MobilePositionResponse(sn=sn, device_id=own, result="OK"),
}
