"""Reads messages from a tree of XML elements, by the plans of their classes."""

from __future__ import annotations

from collections import Counter
from typing import Any
from xml.etree.ElementTree import Element as Node

from ..errors import MalformedCommand
from .schema import Element, Group, Plan, Slot, plan_of
from .values import FLAG, INTEGER

MAX_DEPTH = 16
"""Elements nested deeper are refused; the standard needs seven levels."""


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
        attributes=tuple((name.rpartition("}")[2], text) for name, text in node.attrib.items()),
        children=tuple(keep(child, depth + 1) for child in node),
    )


class Reader:
    """Makes one message out of a tree and counts what it had to bend for it."""

    def __init__(self) -> None:
        self.repairs: Counter[str] = Counter()

    def read(self, node: Node, plan: Plan, depth: int = 1) -> Any:
        """Make an instance of the plan's class.

        Raises:
            MalformedCommand: Elements are nested too deep.
        """
        values: dict[str, Any] = {}
        extra = self._fill(node, plan.group, values, depth + 1)
        if extra:
            values["extra"] = tuple(extra)
        for slot in plan.required:
            if slot.attribute not in values:
                values[slot.attribute] = self._missing(slot)
        for name, value in values.items():
            if value.__class__ is list:
                values[name] = tuple(value)
        lift = getattr(plan.cls, "lift", None)
        if lift is not None:
            lift(values)
        return plan.cls(**values)

    def _fill(self, node: Node, group: Group, values: dict[str, Any], depth: int) -> list[Element]:
        """Read the children into the values; return what nobody knows."""
        unknown: list[Element] = []
        for child in node:
            name = local_name(child).lower()
            slot = group.slots.get(name)
            if slot is not None and self._take(child, slot, values, depth):
                continue
            inner = group.groups.get(name)
            if inner is None or not len(child):
                if slot is None and inner is not None and not (child.text or "").strip():
                    continue  # an empty wrapper says nothing
                if slot is None or len(child) or (slot.kind is None and (child.text or "").strip()):
                    unknown.append(keep(child, depth))
                continue
            rest = self._fill(child, inner, values, depth + 1)
            if rest:
                unknown.append(Element(name=local_name(child), children=tuple(rest)))
        return unknown

    def _take(self, node: Node, slot: Slot, values: dict[str, Any], depth: int) -> bool:
        """Read one element into its field; return whether that was possible."""
        if slot.cls is not None:
            if not len(node):
                return False
            value = self.read(node, plan_of(slot.cls), depth)
        else:
            if len(node):
                self.repairs[f"{slot.xml.path} holds elements, kept as an unknown one"] += 1
                return False
            value = self._text(node, slot)
            if value is None:
                return True
        if slot.is_many:
            values.setdefault(slot.attribute, []).append(value)
        elif values.setdefault(slot.attribute, value) != value:
            self.repairs[f"{slot.xml.path} is there more than once, the first counts"] += 1
        return True

    def _text(self, node: Node, slot: Slot) -> Any:
        text = (node.text or "").strip()
        kind = slot.kind
        if not text or kind is None:
            return None
        try:
            value = kind.read(text)
        except ValueError:
            self.repairs[f"{slot.xml.path}: {text[:40]!r} is not {kind.name}, left out"] += 1
            return None
        if kind.spellings is not None and text not in kind.spellings and value != text:
            self.repairs[f"{slot.xml.path}: {text[:40]!r} read as {value!r}"] += 1
        return value

    def _missing(self, slot: Slot) -> Any:
        if slot.is_many:
            return ()
        self.repairs[f"{slot.xml.path} is missing"] += 1
        return 0 if slot.kind in (INTEGER, FLAG) else ""
