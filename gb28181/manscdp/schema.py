"""Declares how the fields of a dataclass map to XML elements.

A message is a frozen dataclass. Each field that travels is ``Annotated`` with an ``Xml``; the field
``extra`` takes what the class does not know. ``plan_of`` compiles the declaration once per class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, Protocol, TypeAlias, Union, get_args, get_origin, get_type_hints

from ..edition import Edition
from .values import INTEGER, KINDS, TEXT, Kind

ATTRIBUTE = "@"
"""Before the name of an ``Element`` that is an attribute of the element around it."""

Quick: TypeAlias = tuple[str, Mapping[str, Any] | None, Callable[[str], Any] | None]
"""A field's name, the texts whose value is known, and what reads the others.

``None`` for the texts: the text is the value.
"""


class Message(Protocol):
    """What all MANSCDP messages have."""

    @property
    def root(self) -> str:
        """``Control``, ``Query``, ``Notify`` or ``Response``."""

    @property
    def cmd_type(self) -> str:
        """The CmdType."""

    @property
    def sn(self) -> str:
        """The SN as text: an answer repeats it to the letter."""

    @property
    def device_id(self) -> str:
        """The DeviceID: whom the message asks or speaks of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """An XML element that no class describes, kept as it came. Text between children is not.

    One whose name begins with ``@`` is an attribute of the element around.
    """

    name: str
    text: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    children: tuple[Element, ...] = ()

    def find(self, path: str) -> Element | None:
        """Find the first element below by its path, such as ``Info/AlarmType``, in any case."""
        return find(self.children, path)


def find(elements: tuple[Element, ...], path: str) -> Element | None:
    """Find the first of the elements, or of what is in them, by its path, in any case."""
    name, _, below = path.partition("/")
    for element in elements:
        if element.name.lower() == name.lower():
            found = element.find(below) if below else element
            if found is not None:
                return found
    return None


@dataclass(frozen=True, slots=True)
class Xml:
    """Where and how one field travels."""

    path: str
    """The element's name, or a path of names below the class's own element."""
    kind: Kind | None = None
    """How the text is read; by the field's type unless given."""
    aliases: tuple[str, ...] = ()
    """Other paths that are accepted on input."""
    since: Edition = Edition.GB2011
    """The first edition that has it; it is not sent below."""
    until: Edition = Edition.GB2022
    """The last edition that has it; it is not sent above."""
    spelled: tuple[Edition, str] | None = None
    """Another last name up to and with that edition."""
    count: tuple[str, ...] = ()
    """For sequences: the attribute of the element around that counts the items, as the newest
    edition spells it, and the spelling up to 2016 when that differs."""
    keeps_empty: bool = False
    """For sequences: the element around is written also when there are no items."""

    def name_in(self, edition: Edition) -> str:
        """The last name of the path as the edition spells it."""
        if self.spelled is not None and edition <= self.spelled[0]:
            return self.spelled[1]
        return self.path.rpartition("/")[2]

    def count_in(self, edition: Edition) -> str:
        """The counting attribute as the edition spells it; empty when there is none."""
        if not self.count:
            return ""
        return self.count[0] if edition is Edition.GB2022 else self.count[-1]

    def is_in(self, edition: Edition) -> bool:
        """Tell whether the edition has the element."""
        return self.since <= edition <= self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One field of a class, compiled."""

    attribute: str
    xml: Xml
    kind: Kind | None
    """How its text is read; ``None`` when the element has a class of its own."""
    cls: type[Any] | None
    plan: Plan | None
    """How to read that class."""
    is_many: bool
    is_required: bool

    @property
    def quick(self) -> Quick | None:
        """How it is read without a remark; ``None`` for what is not a single text."""
        kind = self.kind
        if kind is None or self.is_many:
            return None
        if kind is TEXT:
            return self.attribute, None, None
        if kind is INTEGER:
            return self.attribute, {str(number): number for number in range(128)}, kind.read
        if kind.spellings is None:
            return self.attribute, {}, kind.read
        return self.attribute, {text: kind.read(text) for text in kind.spellings}, None


@dataclass(frozen=True, slots=True)
class Group:
    """What may stand in one element: by name, as the standard spells it and in lower case."""

    slots: dict[str, Slot] = field(default_factory=dict)
    quick: dict[str, Quick] = field(default_factory=dict)
    """The fields that take a single text."""
    groups: dict[str, Group] = field(default_factory=dict)
    counts: dict[str, Slot] = field(default_factory=dict)
    """Sequences by the attribute of this element that counts them, in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A class, compiled for reading and writing."""

    cls: type[Any]
    slots: tuple[Slot, ...]
    group: Group
    required: tuple[Slot, ...]
    many: tuple[str, ...]
    """The fields that are sequences."""
    empty: Any
    """The instance that says nothing; ``None`` when there is something that it must say."""
    is_small: bool
    """It holds single texts alone, so that equal instances are cheap to tell."""
    lift: Callable[[dict[str, Any]], None] | None
    """What the class does with its values before they are its own."""
    in_edition: Callable[[Any, Edition], Any] | None
    """What the class makes of an instance before it is written in an edition."""


def plan_of(cls: Any) -> Plan:
    """Compile the declaration of a class; once per class."""
    return _compile(cls)


@cache
def _compile(cls: Any) -> Plan:
    hints = get_type_hints(cls, include_extras=True)
    slots = []
    for declared in fields(cls):
        hint = hints[declared.name]
        if get_origin(hint) is Annotated:
            required = declared.default is MISSING and declared.default_factory is MISSING
            xml = next(m for m in hint.__metadata__ if isinstance(m, Xml))
            slots.append(_slot(declared.name, hint.__origin__, xml, is_required=required))
    return Plan(
        cls=cls,
        slots=tuple(slots),
        group=_group(slots),
        required=tuple(slot for slot in slots if slot.is_required),
        many=tuple(slot.attribute for slot in slots if slot.is_many),
        empty=None if any(slot.is_required for slot in slots) else cls(),
        is_small=all(slot.quick is not None for slot in slots),
        lift=getattr(cls, "lift", None),
        in_edition=getattr(cls, "in_edition", None),
    )


def _slot(name: str, hint: Any, xml: Xml, *, is_required: bool) -> Slot:
    many = get_origin(hint) is tuple
    bare = get_args(hint)[0] if many else _without_none(hint)
    kind = xml.kind or KINDS.get(bare)
    return Slot(
        attribute=name,
        xml=xml,
        kind=kind,
        cls=bare if kind is None else None,
        plan=plan_of(bare) if kind is None else None,
        is_many=many,
        is_required=is_required,
    )


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


def _group(slots: list[Slot]) -> Group:
    top = Group()
    for slot in slots:
        spelled = () if slot.xml.spelled is None else (slot.xml.spelled[1],)
        for path in (slot.xml.path, *slot.xml.aliases, *spelled):
            group = top
            *prefix, name = path.split("/")
            for part in prefix:
                inner = group.groups.setdefault(part.lower(), Group())
                group = group.groups.setdefault(part, inner)
            for attribute in slot.xml.count if prefix else ():
                group.counts.setdefault(attribute.lower(), slot)
            for key in (name, name.lower()):
                quick = slot.quick
                if group.slots.setdefault(key, slot) is slot and quick is not None:
                    group.quick[key] = quick
    return top
