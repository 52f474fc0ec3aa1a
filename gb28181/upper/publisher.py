"""CatalogPublisher: tells the subscribers of a tree what changes in it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from sip.errors import FlowFailed, LocalProtocolError, TransactionTimeout

from ..catalog import TCP_BUDGET, UDP_BUDGET
from ..manscdp.catalog import CatalogItem, CatalogNotify
from ..manscdp.codec import CONTENT_TYPE, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sip.endpoint import IncomingSubscription

    from ..edition import Edition

    View = Callable[[list[CatalogItem]], list[CatalogItem]]

logger = logging.getLogger("gb28181.publisher")

MAX_ITEMS = 100
"""Items of one NOTIFY at most (2022 N: batches of, for instance, 100)."""
MAX_SUBSCRIPTIONS = 16
_NOTIFY_TIMEOUT = 10.0


class CatalogPublisher:
    """Keeps the subscriptions to one tree and notifies them of what is new.

    Changes are gathered for ``delay`` seconds, and the last state of an item counts: a device
    that flaps is told of once. The first NOTIFY says what is not ON; the subscriber takes the rest
    to be.

    Source: GB/T 28181-2022 Annex N, 2016 Annex P.
    """

    def __init__(
        self,
        owner_id: str,
        tree: Callable[[], list[CatalogItem]],
        *,
        edition: Edition,
        delay: float = 1.0,
    ) -> None:
        """Take the tree that is published.

        Args:
            owner_id: The DeviceID of the notifications: whose tree it is.
            tree: The tree as it stands.
            edition: What the subscribers speak.
            delay: Seconds in which changes are gathered.
        """
        self.notified = 0
        """Items told, to whomever."""
        self._owner_id = owner_id
        self._tree = tree
        self._edition = edition
        self._delay = delay
        self._told: dict[IncomingSubscription, dict[str, CatalogItem]] = {}
        self._views: dict[IncomingSubscription, View] = {}
        self._sn = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Count the subscriptions."""
        return len(self._told)

    @property
    def views(self) -> list[View]:
        """What each subscription sees of the tree."""
        return list(self._views.values())

    @property
    def has_room(self) -> bool:
        """Whether one more subscription is taken."""
        return len(self._told) < MAX_SUBSCRIPTIONS

    async def add(self, subscription: IncomingSubscription, view: View | None = None) -> None:
        """Keep a subscription that was just accepted; tell it at once what is not ON.

        Args:
            subscription: Whom to tell.
            view: The part of the tree that it asked for; the whole when None.
        """
        self._views[subscription] = view or _whole
        tree = _by_id(self._views[subscription](self._tree()))
        self._told[subscription] = tree
        subscription.terminated.add_done_callback(lambda _: self._forget(subscription))
        away = [_event(item, _state(item)) for item in tree.values() if item.status == "OFF"]
        await self._send(subscription, away)

    def _forget(self, subscription: IncomingSubscription) -> None:
        self._told.pop(subscription, None)
        self._views.pop(subscription, None)

    def note_change(self) -> None:
        """Something below has changed: look at the tree after the delay."""
        self._changed.set()

    async def run(self) -> None:
        """Notify for ever. Runs in the role's group."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(self._delay)
            self._changed.clear()
            whole = self._tree()
            for subscription, told in tuple(self._told.items()):
                tree = _by_id(self._views.get(subscription, _whole)(whole))
                news = _difference(told, tree)
                if news and subscription in self._told:
                    self._told[subscription] = tree
                    await self._send(subscription, news)

    async def _send(self, subscription: IncomingSubscription, items: list[CatalogItem]) -> None:
        """One NOTIFY after the other: the next when the one before is answered (2022 M)."""
        budget = TCP_BUDGET if subscription.flow.reliable else UDP_BUDGET
        for batch in self._batches(items, budget):
            try:
                await subscription.notify(
                    encode(batch, self._edition), CONTENT_TYPE, timeout=_NOTIFY_TIMEOUT
                )
            except LocalProtocolError:
                return  # it ended meanwhile
            except (TransactionTimeout, FlowFailed) as error:
                logger.info("%s: notification not delivered: %s", self._owner_id, error)
                # What it missed is found again by comparing with an older state.
                self._forget(subscription)
                await subscription.terminate("deactivated", timeout=1.0)
                return
            self.notified += len(batch.items)

    def _batches(self, items: list[CatalogItem], budget: int) -> Iterable[CatalogNotify]:
        batch: list[CatalogItem] = []
        size = len(encode(self._notice([]), self._edition))
        used = size
        for item in items:
            needed = len(encode(self._notice([item]), self._edition)) - size
            if batch and (used + needed > budget or len(batch) >= MAX_ITEMS):
                yield self._numbered(batch)
                batch, used = [], size
            batch.append(item)
            used += needed
        yield self._numbered(batch)

    def _numbered(self, items: list[CatalogItem]) -> CatalogNotify:
        self._sn += 1
        return self._notice(items)

    def _notice(self, items: list[CatalogItem]) -> CatalogNotify:
        # In a subscription SumNum counts the items of this message (2022 N.4.3.2).
        return CatalogNotify(
            sn=str(self._sn), device_id=self._owner_id, sum_num=len(items), items=tuple(items)
        )


def _by_id(items: Iterable[CatalogItem]) -> dict[str, CatalogItem]:
    return {item.device_id: item for item in items}


def _difference(old: dict[str, CatalogItem], new: dict[str, CatalogItem]) -> list[CatalogItem]:
    """What to tell: ADD and UPDATE with the whole item, all other events with the id alone."""
    news = [_event(item, "DEL") for item_id, item in old.items() if item_id not in new]
    for item_id, item in new.items():
        before = old.get(item_id)
        if before is None:
            news.append(replace(item, event="ADD"))
        elif before == item:
            continue
        elif replace(before, status=item.status, event=item.event) == item:
            news.append(_event(item, _state(item)))
        else:
            news.append(replace(item, event="UPDATE"))
    return news


def _state(item: CatalogItem) -> str:
    """ON or OFF; lost video and a fault are off with a name of their own."""
    return item.event or "OFF" if item.status == "OFF" else "ON"


def _whole(tree: list[CatalogItem]) -> list[CatalogItem]:
    return tree


def _event(item: CatalogItem, event: str) -> CatalogItem:
    return CatalogItem(device_id=item.device_id, event=event)
