"""Messages of devices and platforms of the field (field.txt says where each form was seen)."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gb28181.edition import Edition
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.schema import Element
from gb28181.manscdp.unknown import UnknownCommand

BLOCKS = (Path(__file__).parent / "field.txt").read_text("utf-8").strip().split("\n\n")
NUMBER = re.compile(r"-?\d+\.\d+")


def fields(text: str) -> Counter[tuple[str, str]]:
    """All texts and attributes that are not empty, by their path."""
    found: Counter[tuple[str, str]] = Counter()

    def walk(node: ET.Element, path: str) -> None:
        here = f"{path}/{node.tag}"
        for name, value in node.items():
            # The count of an empty list says what its absence says.
            if value and (name.lower(), value) != ("num", "0"):
                found[f"{here}@{name}", value] += 1
        value = (node.text or "").strip()
        if value:
            is_number = NUMBER.fullmatch(value) is not None
            found[here, repr(float(value)).removesuffix(".0") if is_number else value] += 1
        for child in node:
            walk(child, here)

    walk(ET.fromstring(re.sub(r"^<\?xml.*?\?>", "", text)), "")
    return found


def parts(block: str) -> tuple[str, Edition, str]:
    comment, _, text = block.partition("\n")
    edition = {"1.1": Edition.GB2011A, "2022": Edition.GB2022}.get(
        comment.split()[1], Edition.GB2016
    )
    return comment, edition, text


@pytest.mark.parametrize("block", BLOCKS, ids=[block.partition("\n")[0][2:60] for block in BLOCKS])
def test_every_field_is_kept_in_its_class(block: str) -> None:
    _, edition, text = parts(block)
    for codec in ("utf-8", "gb18030"):
        decoded = decode(text.encode(codec))
        assert not isinstance(decoded.message, UnknownCommand)
        again = encode(decoded.message, edition).decode("gb18030")
        assert not fields(text) - moved(fields(again), text)
        assert decode(encode(decoded.message, edition)).message == decoded.message


def moved(found: Counter[tuple[str, str]], text: str) -> Counter[tuple[str, str]]:
    """Put back what is written at the standard's own place."""
    if "<Info>motion</Info>" in text:
        found["/Notify/AlarmType", "1"] += 1  # read beside Info, written in it
    if "<CmdType>DeviceStatus</CmdType>" in text and "<Status>ON</Status>" in text:
        found["/Response/Status", "ON"] += 1  # OK or ERROR by the standard, and a remark
    if "<PTZType>" in text and "<Info>" not in text:
        found["/Response/DeviceList/Item/PTZType", "1"] += 1  # read beside Info, written in it
    return found


def test_there_are_enough_of_them_and_each_says_where_it_is_from() -> None:
    assert len(BLOCKS) >= 40
    assert all(block.startswith("# ") for block in BLOCKS)


TAG = re.compile(r"(</?)([A-Za-z][\w.]*)")
LEAF = re.compile(r">([^<>\s][^<>]*)<")
HEAD = re.compile(r"<(CmdType|SN|DeviceID)>\s*([^<>]*?)\s*</\1>")


def with_attributes(text: str) -> str:
    """CmdType, SN and DeviceID of the message as attributes of its root."""
    head, rest = {}, text
    for name in ("CmdType", "SN", "DeviceID"):
        found = next((one for one in HEAD.finditer(rest) if one[1] == name), None)
        if found is not None:
            head[name] = found[2]
            rest = rest[: found.start()] + rest[found.end() :]
    written = "".join(f' {name}="{value}"' for name, value in head.items())
    return re.sub(r"<(\w+)", rf"<\1{written}", rest, count=1)


def in_cdata(match: re.Match[str]) -> str:
    plain = match[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return f"><![CDATA[{plain}]]><"


DRESSES: dict[str, Callable[[str], str]] = {
    "small letters": lambda text: TAG.sub(lambda m: m[1] + m[2].lower(), text),
    "capitals": lambda text: TAG.sub(lambda m: m[1] + m[2].upper(), text),
    "namespace": lambda text: TAG.sub(r"\1gb:\2", text).replace(">", ' xmlns:gb="urn:x">', 1),
    "prefix of nothing": lambda text: TAG.sub(r"\1gb:\2", text),
    "CDATA": lambda text: LEAF.sub(in_cdata, text),
    "comments": lambda text: re.sub(r"(</\w+>)", r"\1<!-- c -->", text),
    "padding": lambda text: LEAF.sub(r">  \1\r\n <", text),
    "one line": lambda text: re.sub(r">\s+<", "><", text),
    "attributes": with_attributes,
    "cut off": lambda text: text[:-3],
    "closed twice": lambda text: text + text[text.rfind("</") :],
    "inside another": lambda text: f"<Body>{text}</Body>",
}


def plain(value: Any) -> Any:
    """A message with the names of unknown elements in small letters."""
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    if isinstance(value, Element):
        attributes = tuple((name.lower(), text) for name, text in value.attributes)
        return (value.name.lower(), value.text, attributes, plain(value.children))
    if dataclasses.is_dataclass(value):
        return (type(value), *(plain(getattr(value, f.name)) for f in dataclasses.fields(value)))
    return value


@pytest.mark.parametrize("dress", DRESSES)
def test_every_field_is_found_in_whatever_dress(dress: str) -> None:
    for block in BLOCKS:
        text = re.sub(r"^\s*<\?xml.*?\?>", "", parts(block)[2]).strip()
        dressed = decode(DRESSES[dress](text).encode())
        assert plain(dressed.message) == plain(decode(text.encode()).message), block[:80]
