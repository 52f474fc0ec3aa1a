"""What a lower platform shows an upper one: which channels, under which ids, in which tree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from ..catalog import Placement, parents_first, placements
from ..errors import ConfigError
from ..identifiers import IdKind, area_of, kind_of, parent_area
from ..manscdp.catalog import CatalogItem

if TYPE_CHECKING:
    from os import PathLike


class IdMap:
    """A one-to-one map of our channel ids to those published on one link (spec 07 section 3).

    An id without an entry is published as it is.
    """

    def __init__(self, published: Mapping[str, str] | None = None) -> None:
        self._published = dict(published or {})
        self._own = {outer: inner for inner, outer in self._published.items()}
        if len(self._own) != len(self._published):
            raise ConfigError("the id map publishes two channels under one id")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> IdMap:
        """Read a JSON object of own id to published id.

        Raises:
            ConfigError: The file is not such an object.
            OSError: It cannot be read.
        """
        try:
            table = json.loads(Path(path).read_text("utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path}: not JSON: {error}") from error
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise ConfigError(f"{path}: an object of own id to published id is expected")
        return cls(table)

    def published(self, own_id: str) -> str:
        """The id that the upper platform sees."""
        return self._published.get(own_id, own_id)

    def own(self, published_id: str) -> str:
        """Our id of what the upper platform names."""
        if published_id in self._own:
            return self._own[published_id]
        # A mapped channel is not to be had under its own id as well.
        return "" if published_id in self._published else published_id


class TreeStyle(Enum):
    """How the tree is built that an upper platform gets; uppers differ in what they show.

    Source: GB/T 28181-2022 Annex J, A.2.1.9; 2016 Annex O.
    """

    FLAT = "flat"
    """Every item directly below us, whatever its place below."""
    TREE = "tree"
    """Lower platforms, recorders, groups and organisations as they are below."""
    CIVIL = "civil"
    """The same, and the areas that the items lie in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one link shares."""

    wanted: Callable[[CatalogItem], bool] = field(default=lambda item: True)
    """Whether an item of a device below is published."""
    ids: IdMap = field(default_factory=IdMap)
    ptz: bool = True
    """Whether the upper platform may control and configure the cameras."""
    style: TreeStyle = TreeStyle.FLAT
    groups: tuple[CatalogItem, ...] = ()
    """Business groups (type 215) and virtual organisations (216) of our own, whatever the style.
    A group needs no parent: it is ours; an organisation names its ``business_group_id``, and its
    parent when that is an organisation."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The organisations of a channel, by our ids."""
    area_names: Mapping[str, str] = field(default_factory=dict)
    """What areas are called, by civil code; the code itself where nothing is said."""

    def publishes(self, item: CatalogItem) -> bool:
        """Whether the upper platform may see this item."""
        return self.wanted(item)

    def tree(
        self, own: CatalogItem, channels: Iterable[tuple[str, CatalogItem, bool]]
    ) -> list[CatalogItem]:
        """The catalogue as the upper will see it: our system node first, without a parent.

        Areas come next, then lower platforms, groups, organisations and devices, parents before
        their children. A circle of parents is cut: what is in it stands below whose it is.

        Args:
            own: Our own system node.
            channels: Device id, item and whether it can be played now, for each channel below.
        """
        owned: dict[str, list[tuple[CatalogItem, bool]]] = {}
        for owner, item, online in channels:
            if self.publishes(item):
                owned.setdefault(owner, []).append((item, online))
        nodes = [self._group(group, own) for group in self.groups]
        for owner, items in owned.items():
            nodes += self._below(owner, items, own)
        nodes = list({node.device_id: node for node in nodes}.values())
        if self.style is TreeStyle.CIVIL:
            nodes = [*self._areas(nodes, own), *nodes]
        return parents_first([own, *nodes], own.device_id)

    def _below(
        self, owner: str, items: list[tuple[CatalogItem, bool]], own: CatalogItem
    ) -> list[CatalogItem]:
        """The items of one device or lower platform."""
        is_flat = self.style is TreeStyle.FLAT
        places = {} if is_flat else placements([item for item, _ in items], owner)
        top = own.device_id
        nodes = []
        if not is_flat and kind_of(owner) is IdKind.SYSTEM:
            top = self.ids.published(owner)
            nodes.append(self._system(owner, items, own))
        for item, online in items:
            place = places.get(item.device_id)
            parent = None if place is None else place.parent
            inner = top if parent in (None, owner) else self.ids.published(str(parent))
            nodes.append(self._node(item, inner, place, own, online=online))
        return nodes

    def _node(
        self,
        item: CatalogItem,
        parent: str,
        place: Placement | None,
        own: CatalogItem,
        *,
        online: bool,
    ) -> CatalogItem:
        kind = kind_of(item.device_id)
        if kind is IdKind.AREA:
            return CatalogItem(device_id=item.device_id, name=item.name)
        named = [] if place is None else [self.ids.published(one) for one in place.organisations]
        named += [self.ids.published(one) for one in self.members.get(item.device_id, ())]
        if kind is IdKind.ORGANISATION:
            # Directly under its group it names the group in BusinessGroupID alone (2022 J).
            is_inner = kind_of(parent) is IdKind.ORGANISATION
            parent, named = (parent if is_inner else ""), []
        group = item.business_group_id
        return replace(
            item,
            device_id=self.ids.published(item.device_id),
            parent_id="/".join(dict.fromkeys(one for one in (parent, *named) if one)) or None,
            business_group_id=None if group is None else self.ids.published(group),
            civil_code=item.civil_code or own.civil_code,
            status=None if kind in _GROUPS else "ON" if online else "OFF",
            event=None if online else item.event,
            password=None,
            extra=(),
        )

    def _system(
        self, owner: str, items: list[tuple[CatalogItem, bool]], own: CatalogItem
    ) -> CatalogItem:
        """The node of a lower platform: its own line is not among its channels."""
        return replace(
            own,
            device_id=self.ids.published(owner),
            name=owner,
            civil_code=owner[:6],
            parental=1,
            parent_id=own.device_id,
            status="ON" if any(online for _, online in items) else "OFF",
        )

    def _group(self, group: CatalogItem, own: CatalogItem) -> CatalogItem:
        if kind_of(group.device_id) is IdKind.ORGANISATION:
            return group
        return replace(
            group,
            parent_id=group.parent_id or own.device_id,
            civil_code=group.civil_code or own.civil_code,
        )

    def _areas(self, nodes: list[CatalogItem], own: CatalogItem) -> list[CatalogItem]:
        """The areas that items lie in, and those around them as far up as our own."""
        top = _area(own) or ""
        while top.endswith("00") and len(top) > 2:
            top = top[:-2]  # 340200 is the city 3402, and 340203 lies in it
        codes: dict[str, None] = {}
        for node in [own, *nodes]:
            code = None if kind_of(node.device_id) in _PLACELESS else _area(node)
            while code is not None:
                codes[code] = None
                is_below = code.startswith(top) and len(code) > len(top)
                code = parent_area(code) if is_below else None
        known = {node.device_id for node in nodes}
        return [
            CatalogItem(device_id=code, name=self.area_names.get(code, code))
            for code in sorted(codes)
            if code not in known
        ]


def subtree(tree: Sequence[CatalogItem], asked: str) -> list[CatalogItem]:
    """The part of a tree that a query for one of its nodes is answered with, in the tree's order.

    An area stands for the areas in it and all that lies there; a system, a device, a group and an
    organisation for themselves and what is below. An unknown node has nothing.

    Source: GB/T 28181-2022 Annex J.
    """
    if kind_of(asked) is IdKind.AREA:
        return [item for item in tree if _lies_in(item, asked)]
    if tree and tree[0].device_id == asked:
        return list(tree)
    below: dict[str, list[str]] = {}
    for item in tree:
        for parent in _parents(item):
            below.setdefault(parent, []).append(item.device_id)
    found, waiting = set[str](), [asked]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += below.get(one, ())
    return [item for item in tree if item.device_id in found]


def _parents(item: CatalogItem) -> list[str]:
    named = (item.parent_id or "").split("/")
    group = item.business_group_id if kind_of(item.device_id) is IdKind.ORGANISATION else None
    return [one for one in (*named, group) if one and one != item.device_id]


def _lies_in(item: CatalogItem, area: str) -> bool:
    if kind_of(item.device_id) is IdKind.AREA:
        return item.device_id.startswith(area)
    if kind_of(item.device_id) in _PLACELESS or kind_of(item.device_id) is IdKind.SYSTEM:
        return False
    return (_area(item) or "").startswith(area)


def _area(item: CatalogItem) -> str | None:
    return area_of(item.civil_code, item.device_id)


_GROUPS = frozenset({IdKind.GROUP, IdKind.ORGANISATION})
_PLACELESS = frozenset({IdKind.GROUP, IdKind.ORGANISATION, IdKind.AREA})
