"""Every command of the standard, one document each (samples.txt, made by hand from Annex A)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gb28181.edition import Edition
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.schema import Element, plan_of
from gb28181.manscdp.unknown import UnknownCommand

SAMPLES = (Path(__file__).parent / "samples.txt").read_text("utf-8").strip().split("\n\n")
DECLARATION = re.compile(r"\A<\?xml[^>]*\?>\s*")

# What only up to 2016 is written so; all other samples are of both editions or of 2022.
OLD = ("<Owner>", "<SN>5</SN>")


def tree(text: str) -> Any:
    def plain(node: ET.Element) -> Any:
        text = (node.text or "").strip()
        if re.fullmatch(r"-?\d+\.\d+", text):
            text = repr(float(text)).removesuffix(".0")  # 90.0 and 90 are the same double
        return node.tag, text, node.attrib, [plain(c) for c in node]

    return plain(ET.fromstring(DECLARATION.sub("", text)))


def unknown_in(value: Any) -> list[Element]:
    """All elements in a message that no class describes."""
    found = list(getattr(value, "extra", ()))
    for slot in plan_of(type(value)).slots:
        content = getattr(value, slot.attribute)
        if slot.cls is not None and content is not None:
            for item in content if slot.is_many else (content,):
                found += unknown_in(item)
    return found


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_needs_no_repair_and_is_written_as_it_was(sample: str) -> None:
    edition = Edition.GB2016 if any(mark in sample for mark in OLD) else Edition.GB2022
    decoded = decode(sample.encode("gb18030"))
    assert decoded.repairs == ()
    assert not isinstance(decoded.message, UnknownCommand)
    assert unknown_in(decoded.message) == []
    assert tree(encode(decoded.message, edition).decode("gb18030")) == tree(sample)


def test_the_names_of_all_commands_are_there() -> None:
    found = {re.search("<CmdType>(.*?)</CmdType>", sample) for sample in SAMPLES}
    assert len({match[1] for match in found if match}) == 21
