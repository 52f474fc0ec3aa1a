"""Writes messages as XML text, in the order of the schema."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from ..edition import Edition
from .schema import ATTRIBUTE, Element, Message, Slot, plan_of

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile('[&<>\r"]|' + _NOT_XML.pattern)
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;"}
# What could end a name or a tag; the rest is left to whoever made the element.
_NAME = re.compile(r"[^\s\x00-\x1f<>&/=\"'!?\d.-][^\s\x00-\x1f<>&/=\"'!?]*\Z")

END = "\r\n"

# The amendment of 2014 spells it so, in the query and in the answer.
_SPELLED = MappingProxyType({("PresetQuery", Edition.GB2011A): "PersetQuery"})


def write(message: Message, edition: Edition) -> str:
    """Write the root element of a message; what the edition does not have is left out."""
    cmd_type = _SPELLED.get((message.cmd_type, edition), message.cmd_type)
    message = _in_edition(message, edition)
    parts = [
        f"<{message.root}{_attributes_of(message)}>",
        f"<CmdType>{_escape(cmd_type)}</CmdType>",
    ]
    _write_fields(message, edition, parts)
    parts.append(f"</{message.root}>")
    return END.join(parts) + END


def _in_edition(value: Any, edition: Edition) -> Any:
    change = plan_of(value.__class__).in_edition
    return value if change is None else change(value, edition)


def _attributes_of(value: Any) -> str:
    """The attributes of an element with a class: those that its class does not know."""
    return _attributes(
        (element.name[len(ATTRIBUTE) :], element.text)
        for element in getattr(value, "extra", ())
        if element.name.startswith(ATTRIBUTE)
    )


def _attributes(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f' {name}="{_escape_attribute(text)}"' for name, text in pairs if _NAME.match(name)
    )


def _escape(text: str) -> str:
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], ""), text)


def _escape_attribute(text: str) -> str:
    return _escape(text).replace("\n", "&#10;").replace("\t", "&#9;")


def _write_fields(value: Any, edition: Edition, parts: list[str]) -> None:
    opened: list[str] = []
    for slot in plan_of(value.__class__).slots:
        content = getattr(value, slot.attribute)
        if content is None or not slot.xml.is_in(edition):
            continue
        if content == () and not slot.xml.keeps_empty:
            continue
        if content == "" and not slot.is_required:
            continue
        prefix = slot.xml.path.split("/")[:-1]
        _move(opened, prefix, parts, _count(slot, content, edition))
        name = slot.xml.name_in(edition)
        for item in content if slot.is_many else (content,):
            _write_one(name, item, slot, edition, parts)
    _move(opened, [], parts, "")
    _write_elements(getattr(value, "extra", ()), parts)


def _move(opened: list[str], prefix: list[str], parts: list[str], attribute: str) -> None:
    """Close and open elements around fields until the path is the wanted one."""
    while opened and opened != prefix[: len(opened)]:
        parts.append(f"</{opened.pop()}>")
    while len(opened) < len(prefix):
        name = prefix[len(opened)]
        opened.append(name)
        parts.append(f"<{name}{attribute if len(opened) == len(prefix) else ''}>")


def _count(slot: Slot, content: Any, edition: Edition) -> str:
    name = slot.xml.count_in(edition)
    return f' {name}="{len(content)}"' if name else ""


def _write_one(name: str, item: Any, slot: Slot, edition: Edition, parts: list[str]) -> None:
    if slot.kind is not None:
        parts.append(f"<{name}>{_escape(slot.kind.write(item))}</{name}>")
        return
    item = _in_edition(item, edition)
    parts.append(f"<{name}{_attributes_of(item) if item.extra else ''}>")
    _write_fields(item, edition, parts)
    parts.append(f"</{name}>")


def _write_elements(elements: Iterable[Element], parts: list[str]) -> None:
    for element in elements:
        if element.name.startswith(ATTRIBUTE):
            continue
        if _NAME.match(element.name) is None:
            raise ValueError(f"{element.name[:40]!r} is not the name of an element")
        start = f"<{element.name}{_attributes(element.attributes)}>{_escape(element.text)}"
        if not element.children:
            parts.append(f"{start}</{element.name}>")
            continue
        parts.append(start)
        _write_elements(element.children, parts)
        parts.append(f"</{element.name}>")
