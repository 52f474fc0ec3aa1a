"""Messages of devices and platforms of the field (field.txt says where each form was seen)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gb28181.edition import Edition
from gb28181.manscdp.codec import decode, encode
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
