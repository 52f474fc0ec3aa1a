"""Reads XML that no parser takes: lone ``&``, stray ``<``, missing ends, rubbish around."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element as Node

from ..errors import MalformedCommand

ROOTS = frozenset({"control", "query", "notify", "response"})

_TAG = re.compile(r"<(/?)([A-Za-z_][\w.:-]*)(\s[^<>]*)?(/?)>", re.ASCII)
_ATTRIBUTE = re.compile(r"([A-Za-z_][\w.:-]*)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'/]+))")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REFERENCE = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
_LONE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});)")
_MAX_OPEN = 12
_TAGS_AT_A_TIME = 1000
_MAX_SENTENCES = 100
_OTHERS = "other repairs, not listed"


class Repairs:
    """What had to be bent in one body: a sentence for each kind of thing, and how often.

    Of different sentences the first hundred are kept.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __iter__(self) -> Iterator[str]:
        """Give the sentences, each with its count when that is above one."""
        return (f"{what} (x{n})" if n > 1 else what for what, n in self._counts.items())

    def note(self, what: str, times: int = 1) -> None:
        """Count a repair."""
        counts = self._counts
        if what not in counts and len(counts) >= _MAX_SENTENCES:
            what = _OTHERS
        counts[what] = counts.get(what, 0) + times


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The names that the standard uses, in lower case."""

    leaves: frozenset[str]
    """Elements that hold text alone."""
    containers: frozenset[str]
    """Elements that hold elements."""

    def knows(self, name: str) -> bool:
        """Tell whether the standard has an element of that name."""
        return name.lower() in self.leaves or name.lower() in self.containers


def repair(text: str, vocabulary: Vocabulary, repairs: Repairs) -> Generator[None, None, Node]:
    """Build a tree from broken XML, keeping all that can be told apart.

    An ``Item`` that the end of the body cuts off is dropped; the whole ones stay. Yields now and
    then; the tree is what it returns.

    Raises:
        MalformedCommand: There is no root element of the standard.
    """
    cleaned, controls = _CONTROL.subn("", text)
    if controls:
        repairs.note("control characters removed", controls)
    root = yield from _Repair(_without_markup(cleaned), vocabulary, repairs).run()
    if not repairs:
        repairs.note("malformed XML read as far as it goes")
    return root


class _Repair:
    """One pass over the tags of a body, with the open elements on a stack."""

    def __init__(self, text: str, vocabulary: Vocabulary, repairs: Repairs) -> None:
        self._text = text
        self._vocabulary = vocabulary
        self._repairs = repairs
        self._open: list[Node] = []

    def run(self) -> Generator[None, None, Node]:
        start = self._find_root()
        root = Node(_local(start[2]))
        self._open = [root]
        position = start.end()
        for number, tag in enumerate(_TAG.finditer(self._text, position), start=1):
            if number % _TAGS_AT_A_TIME == 0:
                yield
            self._add_text(self._text[position : tag.start()])
            position = tag.end()
            self._tag(tag)
            if not self._open:
                if self._text[position:].strip():
                    self._repairs.note("text after the root element dropped")
                return root
        self._cut_off()
        return root

    def _find_root(self) -> re.Match[str]:
        for tag in _TAG.finditer(self._text):
            if _local(tag[2]).lower() in ROOTS and not tag[1]:
                if self._text[: tag.start()].strip():
                    self._repairs.note("text before the root element dropped")
                return tag
        raise MalformedCommand("the body has no element Control, Query, Notify or Response")

    def _tag(self, tag: re.Match[str]) -> None:
        name, rest = _local(tag[2]), (tag[3] or "").rstrip()
        if tag[1]:
            self._close(name, tag[0])
        elif tag[4] or rest.endswith("/"):
            self._open[-1].append(_node(name, rest))
        else:
            self._start(name, rest, tag[0])

    def _start(self, name: str, rest: str, source: str) -> None:
        known = self._vocabulary.knows(name)
        if known:
            self._leave_leaf()
        if self._open[-1].tag.lower() == name.lower() == "item":
            self._unclosed(self._open.pop())
        if len(self._open) >= _MAX_OPEN:
            self._literal(source)
            return
        node = _node(name, rest)
        self._open[-1].append(node)
        self._open.append(node)

    def _leave_leaf(self) -> None:
        """A known element begins: a leaf that is still open has lost its end."""
        leaves = self._vocabulary.leaves
        while any(node.tag.lower() in leaves for node in self._open):
            self._unclosed(self._open.pop())

    def _close(self, name: str, source: str) -> None:
        lower = name.lower()
        depth = next(
            (i for i in range(len(self._open) - 1, -1, -1) if self._open[i].tag.lower() == lower),
            None,
        )
        if depth is None:
            if self._vocabulary.knows(name):
                self._repairs.note(f"{name}: an end without a start dropped")
            else:
                self._literal(source)
            return
        while len(self._open) > depth + 1:
            self._unclosed(self._open.pop())
        self._open.pop()

    def _unclosed(self, node: Node) -> None:
        """An element had no end: what the standard does not know was text, not a tag."""
        if self._vocabulary.knows(node.tag):
            self._repairs.note(f"{node.tag}: the missing end added")
            if node.tag.lower() in self._vocabulary.leaves:
                self._open[-1].extend(list(node))
                del node[:]
            return
        parent = self._open[-1]
        parent.remove(node)
        parent.text = f"{parent.text or ''}<{node.tag}{_source(node)}>{node.text or ''}"
        parent.extend(list(node))
        self._repairs.note("a stray < read as text")

    def _literal(self, source: str) -> None:
        self._open[-1].text = (self._open[-1].text or "") + source
        self._repairs.note("a stray < read as text")

    def _add_text(self, raw: str) -> None:
        if not raw or raw.isspace():
            return
        stray = raw.count("<")
        if stray:
            self._repairs.note("a stray < read as text", stray)
        lone = len(_LONE.findall(raw))
        if lone:
            self._repairs.note("a lone & read as text", lone)
        top = self._open[-1]
        plain = _unescape(raw)
        if plain.count("\ufffd") > raw.count("\ufffd"):
            self._repairs.note("references to characters that XML forbids became U+FFFD")
        top.text = (top.text or "") + plain

    def _cut_off(self) -> None:
        self._repairs.note("the body is cut off")
        for index, node in enumerate(self._open[1:], start=1):
            if node.tag.lower() == "item" or node.tag.lower() in self._vocabulary.leaves:
                self._open[index - 1].remove(node)
                self._repairs.note(f"{node.tag}: cut off, left out")
                return


def _local(name: str) -> str:
    return name.rstrip(":").rpartition(":")[2]


def _node(name: str, rest: str) -> Node:
    attributes = {
        _local(m[1]): _unescape(m[2] or m[3] or m[4] or "")
        for m in _ATTRIBUTE.finditer(rest)
        if not m[1].startswith("xmlns")
    }
    return Node(name, attributes)


def _source(node: Node) -> str:
    return "".join(f' {name}="{text}"' for name, text in node.attrib.items())


def _unescape(text: str) -> str:
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    if match[1]:
        return html.unescape(match[0])
    number = int(match[2]) if match[2] else int(match[3], 16)
    character = chr(number) if number < 0x110000 else "\ufffd"
    return "\ufffd" if _CONTROL.match(character) else character


def _without_markup(text: str) -> str:
    """Drop comments and processing instructions, and turn CDATA into text; linear in size."""
    text = _replace(text, "<!--", "-->", lambda _: "")
    text = _replace(text, "<?", "?>", lambda _: "")
    return _replace(text, "<![CDATA[", "]]>", _escape)


def _replace(text: str, start: str, end: str, replacement: Callable[[str], str]) -> str:
    parts, position = [], 0
    while (opening := text.find(start, position)) >= 0:
        closing = text.find(end, opening + len(start))
        if closing < 0:
            break
        parts.append(text[position:opening])
        parts.append(replacement(text[opening + len(start) : closing]))
        position = closing + len(end)
    return "".join(parts) + text[position:]


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
