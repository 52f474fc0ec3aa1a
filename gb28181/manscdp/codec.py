"""Bytes of a body to a message and back: charset, limits, repair, and the choice of the class."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, TypeVar, cast
from xml.etree import ElementTree as ET

from ..edition import Edition
from ..errors import ConfigError, MalformedCommand
from .catalog import CatalogResponse, CatalogResult
from .charset import codec_of, decode_text, is_known
from .commands import BY_NAME, COMMANDS
from .reader import Reader, local_name
from .repair import ROOTS, Repairs, Vocabulary, repair
from .schema import Group, Message, plan_of
from .writer import END, write

T = TypeVar("T")

CONTENT_TYPE = "Application/MANSCDP+xml"
"""What a body of ours is called."""
CONTENT_TYPES = frozenset({"application/manscdp+xml", "manscdp+xml", "application/xml", "text/xml"})
"""What peers call a MANSCDP body; the first is the standard's (Q9)."""
ACCEPT = (("Accept", CONTENT_TYPE),)
"""What goes with a 415. Source: RFC 3261 section 8.2.3."""

MAX_SIZE = 10 * 1024 * 1024
"""A longer body is refused."""
MAX_TAGS = 1_500_000
"""A body with more ``<`` is refused: room for 10,000 records with all their fields."""

_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_FORBIDDEN = re.compile(r"<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)\b", re.IGNORECASE)

# Lists whose count is the only attribute of most bodies.
_COUNTED = ("<DeviceList Num=", "<RecordList Num=")
_HEAD = 1000  # characters within which the list begins
_AT_A_TIME = 64 * 1024  # characters that are parsed between two yields

_CAPITALS: Mapping[str, str] = MappingProxyType({root: root.capitalize() for root in ROOTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What a body said, and how it had to be read."""

    message: Message
    charset: str
    """``UTF-8`` or ``GB18030``: worth remembering as the ``hint_charset`` of the peer."""
    repairs: tuple[str, ...] = ()
    """One sentence for each kind of thing that had to be bent, with the count when above one."""


def is_command(content_type: str, body: bytes) -> bool:
    """Tell whether a body is to be read as MANSCDP: by its type, or by its looks without one."""
    return content_type in CONTENT_TYPES or (not content_type and body.lstrip()[:1] == b"<")


def decode(body: bytes, *, hint_charset: str | None = None) -> Decoded:
    """Read a MANSCDP body, repairing what can be repaired.

    Args:
        body: The body of a SIP message.
        hint_charset: What is known of the peer; decides only where the body leaves it open.

    Returns:
        The message, of the class for its root element and CmdType, or an ``UnknownCommand``.

    Raises:
        MalformedCommand: It is no MANSCDP, too large, nested too deep, or has a DTD.

    Source: GB/T 28181-2022 Annex A, 2016 Annex A.
    """
    sentences: list[str] = []
    repairs = Repairs()
    text, charset = _open(body, hint_charset, sentences)
    try:
        node, has_attributes = ET.fromstring(text), _has_attributes(text)
    except (ET.ParseError, UnicodeEncodeError):
        node, has_attributes = _last(repair(text, _vocabulary(), repairs)), True
    node, cls, cmd_type = _command(node, repairs)
    reader = Reader(repairs, has_attributes=has_attributes)
    return _decoded(_message(reader, node, cls, cmd_type), charset, sentences, repairs)


def decode_steps(body: bytes, *, hint_charset: str | None = None) -> Generator[None, None, Decoded]:
    """Read as ``decode`` does, but yield after every few milliseconds of work.

    So a long body is read without keeping others waiting: 10,000 items take a fifth of a second,
    and some seconds when the XML is broken.

    Raises:
        MalformedCommand: As ``decode``.
    """
    sentences: list[str] = []
    repairs = Repairs()
    text, charset = _open(body, hint_charset, sentences)
    yield
    parser = ET.XMLParser()
    try:
        for start in range(0, len(text), _AT_A_TIME):
            parser.feed(text[start : start + _AT_A_TIME])
            yield
        node, has_attributes = parser.close(), _has_attributes(text)
    except (ET.ParseError, UnicodeEncodeError):
        node = yield from repair(text, _vocabulary(), repairs)
        has_attributes = True
    node, cls, cmd_type = _command(node, repairs)
    reader = Reader(repairs, has_attributes=has_attributes)
    if cls is not None:
        yield from reader.read_ahead(node, plan_of(cls))
    return _decoded(_message(reader, node, cls, cmd_type), charset, sentences, repairs)


def encode(message: Message, edition: Edition, charset: str | None = None) -> bytes:
    """Write a message as a body.

    Args:
        message: The message. Elements that the edition does not have are left out.
        edition: The edition that the peer speaks.
        charset: What the peer wants in place of the edition's charset. GB2312 and GBK are
            written as GB 18030 under their own name, so that no character is lost.

    Raises:
        ConfigError: The charset is not one of UTF-8, GB2312, GBK, GB18030.
    """
    name = edition.charset if charset is None else charset.upper()
    if not is_known(name):
        raise ConfigError(f"{charset!r} is not a charset for MANSCDP")
    declaration = f'<?xml version="1.0" encoding="{name}"?>{END}'
    return (declaration + write(message, edition)).encode(codec_of(name))


def _open(body: bytes, hint_charset: str | None, sentences: list[str]) -> tuple[str, str]:
    """Decode the bytes, refuse what is dangerous, and drop the declaration."""
    if len(body) > MAX_SIZE:
        raise MalformedCommand(f"the body has {len(body)} bytes, more than {MAX_SIZE}")
    text, charset = decode_text(body.strip(b"\0 \t\r\n"), hint_charset, sentences)
    if len(text) > MAX_TAGS and text.count("<") > MAX_TAGS:
        raise MalformedCommand(f"the body has more than {MAX_TAGS} tags")
    if "!" in text and _FORBIDDEN.search(text):
        raise MalformedCommand("the body has a document type definition")
    if text.startswith(("<?", " ", "\r", "\n")) and (declaration := _DECLARATION.match(text)):
        text = text[declaration.end() :]
    return text, charset


def _has_attributes(text: str) -> bool:
    """Tell whether there are attributes elsewhere than on lists of items."""
    # Only what is long has items enough for it to matter.
    return len(text) < _HEAD or text.count("=") > sum(map(text[:_HEAD].count, _COUNTED))


def _last(steps: Generator[None, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("T", end.value)


def _message(reader: Reader, node: ET.Element, cls: type[Any] | None, cmd_type: str) -> Message:
    if cls is not None:
        return cast("Message", reader.read(node, plan_of(cls)))
    root = _CAPITALS[local_name(node).lower()]
    return cast("Message", reader.read_unknown(node, root, cmd_type))


def _decoded(message: Message, charset: str, sentences: list[str], repairs: Repairs) -> Decoded:
    if sentences or repairs:
        return Decoded(message=message, charset=charset, repairs=(*sentences, *repairs))
    return Decoded(message=message, charset=charset)


def _command(node: ET.Element, repairs: Repairs) -> tuple[ET.Element, type[Any] | None, str]:
    """Find the message's element, its class and its CmdType."""
    root = local_name(node).lower()
    if root not in ROOTS:
        inner = next((one for one in node if local_name(one).lower() in ROOTS), None)
        if inner is None:
            raise MalformedCommand(f"{local_name(node)[:40]!r} is not a root element of MANSCDP")
        repairs.note(f"{local_name(node)[:40]}: the element around the message ignored")
        node, root = inner, local_name(inner).lower()
    cmd_type = _pop(node, "cmdtype") or _pop_attribute(node, repairs)
    if not cmd_type:
        raise MalformedCommand("the body has no CmdType")
    cls = BY_NAME.get((root, cmd_type.lower()))
    return node, CatalogResult if cls is CatalogResponse and _is_result(node) else cls, cmd_type


def _pop(node: ET.Element, name: str) -> str:
    """Take the first element of that name out of the tree and return its text."""
    for child in node:
        if local_name(child).lower() == name:
            node.remove(child)
            return (child.text or "").strip()
    return ""


def _pop_attribute(node: ET.Element, repairs: Repairs) -> str:
    for name, text in node.items():
        if name.lower() == "cmdtype":
            repairs.note("CmdType read from an attribute")
            del node.attrib[name]
            return text.strip()
    return ""


def _is_result(node: ET.Element) -> bool:
    """Tell the 2016 answer to a catalogue NOTIFY from a part of a catalogue."""
    names = {local_name(child).lower() for child in node}
    return "result" in names and not names & {"sumnum", "devicelist", "item"}


@cache
def _vocabulary() -> Vocabulary:
    leaves, containers = {"cmdtype", "sn", "deviceid"}, set(ROOTS)
    for name, is_leaf in _names():
        (leaves if is_leaf else containers).add(name)
    return Vocabulary(leaves=frozenset(leaves - containers), containers=frozenset(containers))


def _names() -> Iterator[tuple[str, bool]]:
    groups: list[Group] = [plan_of(cls).group for cls in COMMANDS]
    while groups:
        group = groups.pop()
        for name, slot in group.slots.items():
            yield name.lower(), slot.cls is None
            if slot.cls is not None:
                groups.append(plan_of(slot.cls).group)
        for name, inner in group.groups.items():
            yield name.lower(), False
            groups.append(inner)
