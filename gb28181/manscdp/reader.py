"""Reads messages from a tree of XML elements, by the plans of their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from operator import attrgetter
from typing import Any
from xml.etree.ElementTree import Element as Node

from ..errors import MalformedCommand
from .repair import Repairs
from .schema import ATTRIBUTE, Element, Group, Plan, Slot, plan_of
from .unknown import UnknownCommand
from .values import EXTENSION, FLAG, INTEGER, Kind

MAX_DEPTH = 16
"""Elements nested deeper are refused; the standard needs seven levels."""

_AHEAD = 100  # items read at a time
_ITEM_DEPTH = 3
_FEW = 4  # values of an instance that is likely to come again
_MAX_SHAPES = 16  # different sequences of elements in the items of one message
_tag, _text, _tail = attrgetter("tag"), attrgetter("text"), attrgetter("tail")


def local_name(node: Node) -> str:
    """Return an element's name without its namespace."""
    tag = node.tag
    return tag.rpartition("}")[2] if tag[0] == "{" else tag


@dataclass(frozen=True, slots=True)
class _Shape:
    """What to do with each child of an item, when the item before had the same children."""

    steps: tuple[
        tuple[
            Callable[[Any, Any], None],
            Mapping[str, Any] | None,
            Callable[[str], Any],
            Any,
            Plan | None,
        ],
        ...,
    ]
    """For each child: what sets the field; the known texts, ``None`` where the text is the value;
    what reads others; the default, ``MISSING`` where there must be a text; and the plan when it is
    an element with a class."""
    others: tuple[tuple[Callable[[Any, Any], None], Any], ...]
    """What sets the fields without a child, and to what."""


class Reader:
    """Makes one message out of a tree and counts what it had to bend for it."""

    __slots__ = ("_has_attributes", "_made", "_note", "_ready", "_shapes")

    def __init__(self, repairs: Repairs, *, has_attributes: bool = True) -> None:
        """Begin a message.

        Args:
            repairs: Takes what is bent.
            has_attributes: Whether there are attributes elsewhere than on lists of items.
        """
        self._note = repairs.note
        self._made: dict[tuple[Any, ...], Any] = {}
        self._shapes: dict[tuple[Any, ...], _Shape | None] = {}
        self._ready: dict[Node, Any] = {}
        self._has_attributes = has_attributes

    def read(self, node: Node, plan: Plan, depth: int = 1) -> Any:
        """Make an instance of the plan's class.

        Raises:
            MalformedCommand: Elements are nested too deep.
        """
        values: dict[str, Any] = {}
        extra = self._fill(node, plan.group, values, depth + 1)
        if node.keys():
            extra += self._attributes(node, plan.group, values)
        if extra:
            values["extra"] = tuple(extra)
        if not values and plan.empty is not None:
            return plan.empty
        for slot in plan.required:
            if slot.attribute not in values:
                values[slot.attribute] = self._missing(slot)
        for name in plan.many:
            if name in values:
                values[name] = tuple(values[name])
        if plan.lift is not None:
            plan.lift(values)
        return self._make(plan.cls, values) if plan.is_small else plan.cls(**values)

    def read_ahead(self, node: Node, plan: Plan) -> Iterator[None]:
        """Read the items of a message before the message itself, a few between two yields."""
        for around in (node, *node):
            inner = plan.group.groups.get(local_name(around).lower())
            group = plan.group if around is node else inner
            if group is None:
                continue
            for place, item in enumerate(around, start=1):
                slot = group.slots.get(local_name(item).lower())
                if slot is not None and slot.is_many and slot.plan is not None:
                    self._ready[item] = self._item(item, slot.plan, _ITEM_DEPTH)
                if place % _AHEAD == 0:
                    yield

    def _item(self, node: Node, plan: Plan, depth: int) -> Any:
        """Read one of many."""
        item = self._ready.pop(node, None) if self._ready else None
        if item is None:
            item = self._swift(node, plan)
        return self.read(node, plan, depth) if item is None else item

    def _make(self, cls: type[Any], values: dict[str, Any]) -> Any:
        """Make an instance, or take one that is the same: thousands of items differ little."""
        if len(values) > _FEW:
            return cls(**values)
        key = (cls, *values.items())
        made = self._made.get(key)
        if made is None:
            self._made[key] = made = cls(**values)
        return made

    def read_unknown(self, node: Node, root: str, cmd_type: str) -> UnknownCommand:
        """Keep a message that no class describes."""
        message: UnknownCommand = self.read(node, plan_of(UnknownCommand))
        return replace(message, root=root, cmd_type=cmd_type)

    def _swift(self, node: Node, plan: Plan) -> Any:
        """Read what looks like others before it; ``None`` when there is anything odd in it."""
        if self._has_attributes:
            return None
        tags = tuple(map(_tag, node))
        key = (plan.cls, tags)
        try:
            shape = self._shapes[key]
        except KeyError:
            if len(self._shapes) >= _MAX_SHAPES:
                return None
            self._shapes[key] = shape = _shape(plan, tags)
        if shape is None or (node.text or "").strip():
            return None
        if not plan.is_small or len(tags) > _FEW:
            return self._by_shape(node, shape, plan.cls)
        content = (*key, *map(_text, node), *map(_tail, node), *map(len, node))
        made = self._made.get(content)
        if made is None:
            self._made[content] = made = self._by_shape(node, shape, plan.cls)
        return made

    def _by_shape(self, node: Node, shape: _Shape, cls: type[Any]) -> Any:
        made = object.__new__(cls)
        try:
            for child, (put, known, read, default, plan) in zip(node, shape.steps, strict=True):
                if child.tail != "\n" and (child.tail or "").strip():
                    return None
                text = child.text
                if len(child):
                    put(made, self._inner(child, plan, default))
                elif not text or not (text := text.strip()):
                    put(made, _present(default))
                elif known is None:
                    put(made, text)
                else:
                    put(made, known[text] if text in known else read(text))
        except ValueError:
            return None
        for put, default in shape.others:
            put(made, default)
        return made

    def _inner(self, node: Node, plan: Plan | None, default: Any) -> Any:
        value = None if plan is None else self._swift(node, plan)
        if value is None or plan is None:
            return _refuse()
        says_nothing = not (node[0].text or "").strip() and value == plan.empty
        return default if says_nothing else value

    def _fill(self, node: Node, group: Group, values: dict[str, Any], depth: int) -> list[Element]:
        """Read the children into the values; return what nobody knows."""
        unknown: list[Element] = []
        quick, slow = group.quick.get, self._child
        self._stray(node.text)
        for child in node:
            if child.tail != "\n":
                self._stray(child.tail)
            found = quick(child.tag)
            # The short way for most elements: one text, nothing in it, nothing to bend.
            if found is None or len(child) or child.keys():
                slow(child, group, values, depth, unknown)
                continue
            attribute, known, read = found
            text = child.text
            if not text or not (text := text.strip()):
                continue
            if attribute in values:
                slow(child, group, values, depth, unknown)
            elif known is None:
                values[attribute] = text
            elif text in known:
                values[attribute] = known[text]
            elif read is None:
                slow(child, group, values, depth, unknown)
            else:
                try:
                    values[attribute] = read(text)
                except ValueError:
                    slow(child, group, values, depth, unknown)
        return unknown

    def _stray(self, text: str | None) -> None:
        if text and not text.isspace():
            self._note(f"text between elements dropped: {text.strip()[:40]!r}")

    def _child(
        self, node: Node, group: Group, values: dict[str, Any], depth: int, unknown: list[Element]
    ) -> None:
        """Read one element into its field, into those it stands around, or keep it."""
        name = node.tag
        slot = group.slots.get(name)
        if slot is None:
            name = local_name(node).lower()
            slot = group.slots.get(name)
        holds = len(node) > 0
        if holds and slot is not None and slot.is_many and slot.plan is not None:
            values.setdefault(slot.attribute, []).append(self._item(node, slot.plan, depth))
            return
        inner = group.groups.get(name)
        if slot is not None and slot.plan is not None and (holds or node.keys()):
            self._block(node, slot, slot.plan, values, depth, unknown)
        elif inner is not None and (holds or node.keys()):
            self._inside(node, slot, inner, values, depth, unknown)
        elif slot is not None and slot.kind is not None and not holds:
            self._leaf(node, slot, values, unknown)
        elif slot is None and inner is None and holds and _is_wrapper(node, group):
            self._note(f"{local_name(node)}: the element around items ignored")
            unknown += self._fill(node, group, values, depth + 1)
        elif (slot is None and inner is None) or holds or (node.text or "").strip():
            if slot is not None and holds and slot.kind is not EXTENSION:
                self._note(f"{slot.xml.path} holds elements, kept as an unknown one")
            unknown.append(self._keep(node, depth))

    def _block(
        self,
        node: Node,
        slot: Slot,
        plan: Plan,
        values: dict[str, Any],
        depth: int,
        unknown: list[Element],
    ) -> None:
        """Read an element that has a class of its own."""
        if slot.is_many:
            values.setdefault(slot.attribute, []).append(self._item(node, plan, depth))
            return
        value = self.read(node, plan, depth)
        if value is plan.empty:
            return
        before = values.get(slot.attribute)
        both = None if before is None or before == value else _together(before, value, plan)
        if both is not None:
            self._note(f"{slot.xml.path} is there more than once, read as one")
            values[slot.attribute] = both
        else:
            self._put(node, slot, value, values, depth, unknown)

    def _leaf(self, node: Node, slot: Slot, values: dict[str, Any], unknown: list[Element]) -> None:
        """Read a text into its field, or keep what cannot be read."""
        if node.keys():
            attributes = tuple((_local(name), text) for name, text in node.items())
            unknown.append(Element(name=local_name(node), attributes=attributes))
        text = (node.text or "").strip()
        kind = slot.kind
        if not text or kind is None:
            return
        path, is_usual = slot.xml.path, kind.spellings is None or text in kind.spellings
        try:
            value = kind.read(text)
        except ValueError:
            value, is_usual = _mended(kind, text), False
            if value is None:
                self._note(f"{path}: {text[:40]!r} is not {kind.name}, kept as text")
                unknown.append(Element(name=local_name(node), text=text))
                return
        if not is_usual:
            meaning = (
                f"is not {kind.name}, taken as it is" if value == text else f"read as {value!r}"
            )
            self._note(f"{path}: {text[:40]!r} {meaning}")
        self._put(node, slot, value, values, 1, unknown)

    def _put(
        self,
        node: Node,
        slot: Slot,
        value: Any,
        values: dict[str, Any],
        depth: int,
        unknown: list[Element],
    ) -> None:
        if slot.is_many:
            values.setdefault(slot.attribute, []).append(value)
        elif slot.attribute not in values:
            values[slot.attribute] = value
        elif values[slot.attribute] != value:
            self._note(f"{slot.xml.path} is there more than once, the first counts")
            kept = self._keep(node, depth)
            unknown.append(Element(name=kept.name, text=kept.text, children=kept.children))

    def _inside(
        self,
        node: Node,
        slot: Slot | None,
        inner: Group,
        values: dict[str, Any],
        depth: int,
        unknown: list[Element],
    ) -> None:
        """Read what stands in an element around fields."""
        counts = inner.counts
        before = {one.attribute: len(values.get(one.attribute, ())) for one in counts.values()}
        if slot is not None and slot.kind is EXTENSION and (node.text or "").strip():
            self._put(node, slot, (node.text or "").strip(), values, depth, unknown)
            node.text = None
        rest = self._fill(node, inner, values, depth + 1)
        for tag, text in tuple(node.items()):
            counted = counts.get(_local(tag).lower())
            if counted is None:
                continue
            del node.attrib[tag]
            found = len(values.get(counted.attribute, ())) - before[counted.attribute]
            if text.strip() != str(found):
                self._note(f"{local_name(node)} says {_local(tag)} {text[:20]!r}, has {found}")
        kept = self._attributes(node, inner, values) if node.keys() else []
        attributes = tuple((one.name[len(ATTRIBUTE) :], one.text) for one in kept)
        if rest or attributes:
            unknown.append(
                Element(name=local_name(node), attributes=attributes, children=tuple(rest))
            )

    def _attributes(self, node: Node, group: Group, values: dict[str, Any]) -> list[Element]:
        """Read the attributes of an element with a class: fields, or kept as they are."""
        kept: list[Element] = []
        for tag, text in node.items():
            name = _local(tag)
            slot = group.slots.get(name.lower())
            known = slot is not None and slot.kind is not None and not slot.is_many
            if slot is None or not known or slot.attribute in values:
                kept.append(Element(name=ATTRIBUTE + name, text=text))
                continue
            leaf = Node(name)
            leaf.text = text
            found: list[Element] = []
            self._leaf(leaf, slot, values, found)
            kept += (Element(name=ATTRIBUTE + one.name, text=one.text) for one in found)
            self._note(f"{slot.xml.path} read from an attribute")
        return kept

    def _keep(self, node: Node, depth: int) -> Element:
        """Turn a tree into elements as they are kept in ``extra``."""
        if depth > MAX_DEPTH:
            raise MalformedCommand(f"elements are nested more than {MAX_DEPTH} deep")
        for child in node:
            self._stray(child.tail)
        return Element(
            name=local_name(node),
            text=(node.text or "").strip(),
            attributes=tuple((_local(name), text) for name, text in node.items()),
            children=tuple(self._keep(child, depth + 1) for child in node),
        )

    def _missing(self, slot: Slot) -> Any:
        if slot.is_many:
            return ()
        self._note(f"{slot.xml.path} is missing")
        return 0 if slot.kind in (INTEGER, FLAG) else ""


def _shape(plan: Plan, tags: tuple[str, ...]) -> _Shape | None:
    """Find what to do with each child of an item; ``None`` when that depends on more."""
    slots = [plan.group.slots.get(tag) for tag in tags]
    found = [slot for slot in slots if slot is not None and not slot.is_many]
    names = [slot.attribute for slot in found]
    if len(found) < len(tags) or len(set(names)) < len(names) or plan.many or not names:
        return None
    if any(slot.attribute not in names for slot in plan.required):
        return None
    defaults = {one.name: one.default for one in fields(plan.cls)}
    steps = []
    for tag, slot in zip(tags, found, strict=True):
        quick = plan.group.quick.get(tag)
        if quick is None and (slot.plan is None or slot.plan.empty is None):
            return None
        _, known, read = quick or ("", {}, None)
        put = getattr(plan.cls, slot.attribute).__set__
        steps.append((put, known, read or _refuse, defaults[slot.attribute], slot.plan))
    others = [
        (getattr(plan.cls, name).__set__, default)
        for name, default in defaults.items()
        if name not in names
    ]
    return _Shape(tuple(steps), tuple(others))


def _mended(kind: Kind, text: str) -> Any:
    try:
        return None if kind.mend is None else kind.mend(text)
    except ValueError:
        return None


def _refuse(text: str = "") -> Any:
    raise ValueError(text)


def _present(default: Any) -> Any:
    return _refuse() if default is MISSING else default


def _together(first: Any, second: Any, plan: Plan) -> Any:
    """Lay two instances into one where they do not contradict each other; else ``None``."""
    changes: dict[str, Any] = {"extra": first.extra + second.extra}
    for slot in plan.slots:
        old, new = getattr(first, slot.attribute), getattr(second, slot.attribute)
        empty = getattr(plan.empty, slot.attribute, None)
        if new not in (old, empty):
            if old != empty:
                return None
            changes[slot.attribute] = new
    return replace(first, **changes)


def _is_wrapper(node: Node, group: Group) -> bool:
    """Tell whether an unknown element stands around the items that the group has."""
    for child in node:
        slot = group.slots.get(local_name(child).lower())
        if slot is None or not slot.is_many or slot.plan is None:
            return False
    return True


def _local(name: str) -> str:
    return name.rpartition("}")[2]
