"""The channel tree of a device: generations, changes, places, and the pages of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from .edition import Edition
from .identifiers import IdKind, area_of, is_area, kind_of, parent_area
from .manscdp.catalog import CatalogItem, CatalogNotify, CatalogResponse
from .manscdp.codec import encode

# A page's Num attribute may have this many digits more than that of the sample page.
_NUM_DIGITS = 4
UDP_BUDGET = 1300
"""Bytes of a page over UDP (RFC 3261 18.1.1; 2022 M)."""
TCP_BUDGET = 64 * 1024
"""Bytes of a page over TCP."""

# Parents before children in what an upper platform gets (spec 07 section 4).
_RANKS = (IdKind.SYSTEM, IdKind.AREA, IdKind.GROUP, IdKind.ORGANISATION, IdKind.DEVICE)
_ORGANISATIONS = (IdKind.GROUP, IdKind.ORGANISATION)
_FIELDS = tuple(one.name for one in fields(CatalogItem) if one.name not in ("event", "extra"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogDifference:
    """The identifiers that a catalogue or a notice added, removed and changed."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an item stands."""

    parent: str | None
    """The one place in the tree; None for what stands at the top."""
    systems: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()
    """Business groups and virtual organisations that it is a member of."""
    area: str | None = None
    pending: tuple[str, ...] = ()
    """Parents that it names and that are not in the catalogue."""
    is_cut: bool = False
    """Its parents led back to itself; the link was cut."""


class Catalog:
    """What one device lists.

    Only complete answers are published. What a complete answer lacks is removed when the next
    complete answer lacks it too: recorders leave channels out while they restart. A notice with
    ``DEL`` removes at once.

    Source: GB/T 28181-2022 9.5, A.2.6.4, Annex N.
    """

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.generation = 0
        """How many complete answers there were."""
        self.partial: tuple[int, int] | None = None
        """Received and expected items of the last answer when that was incomplete."""
        self.strangers = 0
        """Notices of state for items that are not in the catalogue: reason to ask for it."""
        self._items: dict[str, CatalogItem] = {}
        self._missing: set[str] = set()

    @property
    def items(self) -> tuple[CatalogItem, ...]:
        """What is published, in the device's order."""
        return tuple(self._items.values())

    @property
    def missing(self) -> frozenset[str]:
        """What the last complete answer lacked; still published."""
        return frozenset(self._missing)

    def item(self, channel_id: str) -> CatalogItem | None:
        """Return an item."""
        return self._items.get(channel_id)

    def merge(self, items: Iterable[CatalogItem]) -> CatalogDifference:
        """Take a complete answer; of several items with one identifier the last counts."""
        fresh = self._own(items)
        old = self._items
        absent = [one for one in old if one not in fresh]
        removed = tuple(one for one in absent if one in self._missing)
        self._missing = {one for one in absent if one not in self._missing}
        self._items = fresh | {one: old[one] for one in absent if one in self._missing}
        self.generation += 1
        self.partial = None
        self.strangers = 0
        return CatalogDifference(
            added=tuple(one for one in fresh if one not in old),
            removed=removed,
            changed=tuple(one for one in fresh if one in old and old[one] != fresh[one]),
        )

    def note_partial(self, received: int, expected: int) -> None:
        """Note that an answer was incomplete; what is published stays."""
        self.partial = (received, expected)

    def notify(self, message: CatalogNotify) -> CatalogDifference:
        """Take a notice of change."""
        before = dict(self._items)
        for item in message.items:
            if item.device_id:
                self._apply(item)
        after = self._items
        return CatalogDifference(
            added=tuple(one for one in after if one not in before),
            removed=tuple(one for one in before if one not in after),
            changed=tuple(one for one in after if one in before and after[one] != before[one]),
        )

    def _own(self, items: Iterable[CatalogItem]) -> dict[str, CatalogItem]:
        fresh: dict[str, CatalogItem] = {}
        for item in items:
            if item.device_id:
                fresh.pop(item.device_id, None)
                fresh[item.device_id] = item
        if len(fresh) > 1 or kind_of(self.device_id) is IdKind.SYSTEM:
            # Beside others it is the device itself; alone it is a camera that is its own channel,
            # unless it is a platform, which is never one.
            fresh.pop(self.device_id, None)
        return fresh

    def _apply(self, item: CatalogItem) -> None:
        channel_id, event = item.device_id, (item.event or "UPDATE").strip().upper()
        old = self._items.get(channel_id)
        if event == "DEL":
            self._items.pop(channel_id, None)
            self._missing.discard(channel_id)
        elif event in ("ON", "OFF", "VLOST", "DEFECT"):
            if old is None:
                self.strangers += 1
                return
            # Lost video and a fault are off with a reason; ``event`` keeps the reason.
            reason = event if event in ("VLOST", "DEFECT") else None
            status = "ON" if event == "ON" else "OFF"
            self._items[channel_id] = replace(old, status=status, event=reason)
        else:
            self._items[channel_id] = replace(item, event=None) if old is None else _over(old, item)
            self._missing.discard(channel_id)


def placements(items: Sequence[CatalogItem], sender_id: str) -> dict[str, Placement]:
    """Find the place of every item of a catalogue.

    Args:
        items: The whole catalogue, in any order.
        sender_id: Who sent it: the parent of what names no other that is there.

    Source: GB/T 28181-2022 Annex J; the order of the choices is the reference's 01 section 6.
    """
    known = {item.device_id for item in items} | {sender_id}
    places = {item.device_id: _place(item, known, sender_id) for item in items}
    for channel_id in _loops(places):
        places[channel_id] = replace(places[channel_id], parent=sender_id, is_cut=True)
    return places


def circles(items: Sequence[CatalogItem], sender_id: str) -> tuple[str, ...]:
    """Find where a catalogue's parents lead back to themselves: the items whose link was cut."""
    if all(item.parent_id in (None, sender_id) for item in items):
        return ()
    places = placements(items, sender_id)
    return tuple(channel_id for channel_id, place in places.items() if place.is_cut)


def parents_first(items: Sequence[CatalogItem], sender_id: str) -> list[CatalogItem]:
    """Sort a catalogue: systems, areas, groups, organisations, devices; parents before children."""
    depths = _depths(placements(items, sender_id))

    def order(item: CatalogItem) -> tuple[bool, int, int]:
        kind = kind_of(item.device_id)
        rank = _RANKS.index(kind) if kind in _RANKS[:4] else len(_RANKS)
        return item.device_id != sender_id, rank, depths[item.device_id]

    return sorted(items, key=order)


def pages(
    items: Sequence[CatalogItem],
    *,
    sn: str,
    device_id: str,
    budget: int,
    edition: Edition,
    charset: str | None = None,
) -> list[CatalogResponse]:
    """Cut an answer into messages whose bodies fit a budget.

    An item that alone is larger than the budget is a page of its own. No items are one page.

    Args:
        items: The whole answer, in the order to send.
        sn: Of the query.
        device_id: Of the query.
        budget: Bytes of a body.
        edition: Of the peer: what an item contains depends on it.
        charset: Of the peer, when it is not its edition's.

    Source: GB/T 28181-2022 Annex M.
    """
    empty = CatalogResponse(sn=sn, device_id=device_id, sum_num=len(items))
    if not items:
        return [empty]

    def size(*some: CatalogItem) -> int:
        return len(encode(replace(empty, items=some), edition, charset))

    one = size(items[0])
    frame = 2 * one - size(items[0], items[0])
    cut: list[CatalogResponse] = []
    start, used = 0, frame + _NUM_DIGITS
    for place, item in enumerate(items):
        needed = size(item) - frame
        if place > start and used + needed > budget:
            cut.append(replace(empty, items=tuple(items[start:place])))
            start, used = place, frame + _NUM_DIGITS
        used += needed
    cut.append(replace(empty, items=tuple(items[start:])))
    return cut


def _over(old: CatalogItem, new: CatalogItem) -> CatalogItem:
    """Lay what a notice says over what is known; what it leaves out stays."""
    said = {name: getattr(new, name) for name in _FIELDS}
    return replace(
        old,
        event=None,
        extra=new.extra or old.extra,
        **{name: value for name, value in said.items() if value is not None},
    )


def _place(item: CatalogItem, known: set[str], sender_id: str) -> Placement:
    own, kind = item.device_id, kind_of(item.device_id)
    if kind is IdKind.AREA:
        parent = parent_area(own)
        return Placement(parent=parent if parent in known else None)
    named = [part for part in _parts(item.parent_id) if part != own]
    organisations = [part for part in named if kind_of(part) in _ORGANISATIONS]
    if item.business_group_id and not organisations and kind is IdKind.ORGANISATION:
        organisations = [item.business_group_id]
    systems = [part for part in named if kind_of(part) is IdKind.SYSTEM]
    devices = [part for part in named if part not in organisations and part not in systems]
    areas = [part for part in devices if is_area(part)]
    devices = [part for part in devices if not is_area(part)]
    first = organisations if kind in _ORGANISATIONS else devices
    choices = [*first, *systems, sender_id]
    parent = next((part for part in choices if part in known), None)
    return Placement(
        parent=None if own == sender_id else parent,  # 2022 Annex H: the own node is the root
        systems=tuple(systems),
        organisations=tuple(organisations),
        area=areas[0] if areas else area_of(item.civil_code, own),
        pending=tuple(part for part in named if part not in known and not is_area(part)),
    )


def _parts(parent_id: str | None) -> list[str]:
    parts = [part.strip() for part in (parent_id or "").split("/")]
    return list(dict.fromkeys(part for part in parts if part.isascii() and part.isdigit()))


def _depths(places: Mapping[str, Placement]) -> dict[str, int]:
    """Return how far below a root everything stands; linear also for a long chain."""
    depths: dict[str, int] = {}
    for start in places:
        path: list[str] = []
        at: str | None = start
        while at is not None and at not in depths:
            path.append(at)
            at = places[at].parent if at in places else None
        depth = 0 if at is None else depths[at]
        for one in reversed(path):
            depth += 1
            depths[one] = depth
    return depths


def _loops(places: Mapping[str, Placement]) -> list[str]:
    """Return one member of every circle of parents."""
    done: set[str] = set()
    cut: list[str] = []
    for start in places:
        path: dict[str, None] = {}
        at: str | None = start
        while at is not None and at not in done:
            if at in path:
                cut.append(at)
                break
            path[at] = None
            place = places.get(at)
            at = None if place is None else place.parent
        done.update(path)
    return cut
