"""Reads messages from a tree of XML elements, by the plans of their classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element as Node

from ..errors import MalformedCommand
from .schema import ATTRIBUTE, Element, Group, Plan, Slot, plan_of
from .unknown import UnknownCommand
from .values import EXTENSION, FLAG, INTEGER

MAX_DEPTH = 16
"""Elements nested deeper are refused; the standard needs seven levels."""

_FEW = 4  # values of an instance that is likely to come again


def local_name(node: Node) -> str:
    """Return an element's name without its namespace."""
    tag = node.tag
    return tag.rpartition("}")[2] if tag[0] == "{" else tag


def keep(node: Node, depth: int) -> Element:
    """Turn a tree into elements as they are kept in ``extra``.

    Raises:
        MalformedCommand: It is nested too deep.
    """
    if depth > MAX_DEPTH:
        raise MalformedCommand(f"elements are nested more than {MAX_DEPTH} deep")
    return Element(
        name=local_name(node),
        text=(node.text or "").strip(),
        attributes=tuple((_local(name), text) for name, text in node.items()),
        children=tuple(keep(child, depth + 1) for child in node),
    )


class Reader:
    """Makes one message out of a tree and counts what it had to bend for it."""

    def __init__(self) -> None:
        self.repairs: Counter[str] = Counter()
        self._made: dict[tuple[Any, ...], Any] = {}

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
            self.repairs[f"text between elements dropped: {text.strip()[:40]!r}"] += 1

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
        inner = group.groups.get(name)
        if slot is not None and slot.plan is not None and (holds or node.keys()):
            value = self.read(node, slot.plan, depth)
            if slot.is_many or value is not slot.plan.empty:
                self._put(node, slot, value, values, depth, unknown)
        elif slot is not None and slot.kind is not None and not holds:
            self._leaf(node, slot, values, unknown)
        elif inner is not None and (holds or node.keys()):
            self._inside(node, inner, values, depth, unknown)
        elif (slot is None and inner is None) or holds or (node.text or "").strip():
            if slot is not None and holds and slot.kind is not EXTENSION:
                self.repairs[f"{slot.xml.path} holds elements, kept as an unknown one"] += 1
            unknown.append(keep(node, depth))

    def _leaf(self, node: Node, slot: Slot, values: dict[str, Any], unknown: list[Element]) -> None:
        """Read a text into its field, or keep what cannot be read."""
        if node.keys():
            attributes = tuple((_local(name), text) for name, text in node.items())
            unknown.append(Element(name=local_name(node), attributes=attributes))
        text = (node.text or "").strip()
        kind = slot.kind
        if not text or kind is None:
            return
        try:
            value = kind.read(text)
        except ValueError:
            self.repairs[f"{slot.xml.path}: {text[:40]!r} is not {kind.name}, kept as text"] += 1
            unknown.append(Element(name=local_name(node), text=text))
            return
        if kind.spellings is not None and text not in kind.spellings and value != text:
            self.repairs[f"{slot.xml.path}: {text[:40]!r} read as {value!r}"] += 1
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
            self.repairs[f"{slot.xml.path} is there more than once, the first counts"] += 1
            kept = keep(node, depth)
            unknown.append(Element(name=kept.name, text=kept.text, children=kept.children))

    def _inside(
        self, node: Node, inner: Group, values: dict[str, Any], depth: int, unknown: list[Element]
    ) -> None:
        """Read what stands in an element around fields."""
        before = {
            slot.attribute: len(values.get(slot.attribute, ())) for slot in inner.counts.values()
        }
        rest = self._fill(node, inner, values, depth + 1)
        attributes = []
        for name, text in node.items():
            slot = inner.counts.get(_local(name).lower())
            if slot is None:
                attributes.append((_local(name), text))
                continue
            found = len(values.get(slot.attribute, ())) - before[slot.attribute]
            if text.strip() != str(found):
                self.repairs[
                    f"{local_name(node)} says {_local(name)} {text[:20]!r}, has {found}"
                ] += 1
        if rest or attributes:
            unknown.append(
                Element(name=local_name(node), attributes=tuple(attributes), children=tuple(rest))
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
            self._leaf(leaf, slot, values, kept)
            self.repairs[f"{slot.xml.path} read from an attribute"] += 1
        return kept

    def _missing(self, slot: Slot) -> Any:
        if slot.is_many:
            return ()
        self.repairs[f"{slot.xml.path} is missing"] += 1
        return 0 if slot.kind in (INTEGER, FLAG) else ""


def _local(name: str) -> str:
    return name.rpartition("}")[2]
