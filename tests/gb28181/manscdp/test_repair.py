from __future__ import annotations

import pytest

from gb28181.errors import MalformedCommand
from gb28181.manscdp.catalog import CatalogItem, CatalogResponse
from gb28181.manscdp.codec import Decoded, decode
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.manscdp.schema import Element

HEAD = "<CmdType>Catalog</CmdType><SN>1</SN><DeviceID>2</DeviceID><SumNum>2</SumNum>"


def read(items: str) -> Decoded:
    text = f"<Response>{HEAD}<DeviceList Num='2'>{items}</DeviceList></Response>"
    return decode(text.encode("gb18030"))


def items_of(decoded: Decoded) -> tuple[CatalogItem, ...]:
    assert isinstance(decoded.message, CatalogResponse)
    return decoded.message.items


def item(inner: str) -> str:
    return f"<Item><DeviceID>3</DeviceID>{inner}</Item>"


@pytest.mark.parametrize(
    ("raw", "expected", "repair"),
    [
        ("A&B", "A&B", "a lone & read as text"),
        ("A&amp;B&C", "A&B&C", "a lone & read as text"),
        ("A & B && C", "A & B && C", "a lone & read as text (x3)"),
        ("3<5 号", "3<5 号", "a stray < read as text"),
        ("A<东门>B", "A<东门>B", "a stray < read as text"),
        ("A<b road", "A<b road", "a stray < read as text"),
        ("A<b>C", "A<b>C", "a stray < read as text"),
        ("A</b>C", "A</b>C", "a stray < read as text"),
        ("A\x01\x02B", "AB", "control characters removed (x2)"),
        ("A&#1;B", "A\ufffdB", "references to characters that XML forbids became U+FFFD"),
    ],
)
def test_broken_text_is_kept_whole_and_the_repair_reported(
    raw: str, expected: str, repair: str
) -> None:
    decoded = read(item(f"<Address>{raw}</Address><Name>n</Name>") + item("<Name>m</Name>"))
    assert items_of(decoded) == (
        CatalogItem(device_id="3", address=expected, name="n"),
        CatalogItem(device_id="3", name="m"),
    )
    assert decoded.repairs == (repair,)


def test_a_leaf_without_end_ends_where_the_next_begins() -> None:
    decoded = read(item("<Address>A<b>c<Name>n</Name>") + item("<Name>m</Name>"))
    assert items_of(decoded)[0] == CatalogItem(device_id="3", address="A<b>c", name="n")
    assert items_of(decoded)[1] == CatalogItem(device_id="3", name="m")
    assert "Address: the missing end added" in decoded.repairs


def test_an_item_without_end_ends_where_the_next_begins() -> None:
    decoded = read("<Item><DeviceID>3</DeviceID><Item><DeviceID>4</DeviceID></Item>")
    assert [i.device_id for i in items_of(decoded)] == ["3", "4"]
    assert decoded.repairs == ("Item: the missing end added",)


def test_an_end_without_start_is_dropped() -> None:
    decoded = read(item("</Name>") + item(""))
    assert len(items_of(decoded)) == 2
    assert decoded.repairs == ("Name: an end without a start dropped",)


def test_a_cut_off_catalogue_keeps_its_whole_items() -> None:
    whole = item("<Name>n</Name>")
    text = f"<Response>{HEAD}<DeviceList>{whole}{whole}<Item><DeviceID>4</DeviceID><Name>half"
    decoded = decode(text.encode())
    assert items_of(decoded) == (CatalogItem(device_id="3", name="n"),) * 2
    assert decoded.repairs == ("the body is cut off", "Item: cut off, left out")


def test_a_cut_off_value_is_left_out() -> None:
    decoded = decode(b"<Notify><CmdType>Keepalive</CmdType><SN>1</SN><DeviceID>3402000000")
    assert decoded.message == KeepaliveNotify(sn="1", device_id="")
    assert decoded.repairs == (
        "the body is cut off",
        "DeviceID: cut off, left out",
        "DeviceID is missing",
    )


KEEPALIVE = "<Notify><CmdType>Keepalive</CmdType><SN>1</SN><DeviceID>2</DeviceID></Notify>"


@pytest.mark.parametrize(
    ("text", "repairs"),
    [
        (KEEPALIVE + "Notify>", ("text after the root element dropped",)),
        (KEEPALIVE + "<x>", ("text after the root element dropped",)),
        ("Content: 1\r\n" + KEEPALIVE, ("text before the root element dropped",)),
        ("<!-- a --- b -->" + KEEPALIVE, ("malformed XML read as far as it goes",)),
        (KEEPALIVE.replace("<SN>1</SN>", "<SN><![CDATA[1]]>&</SN>"), None),
    ],
)
def test_rubbish_around_the_message_does_not_matter(
    text: str, repairs: tuple[str, ...] | None
) -> None:
    decoded = decode(text.encode())
    if repairs is None:
        assert decoded.message == KeepaliveNotify(sn="1&", device_id="2")
    else:
        assert decoded.message == KeepaliveNotify(sn="1", device_id="2")
        assert decoded.repairs == repairs


def test_an_attribute_of_a_text_is_kept_beside_it() -> None:
    decoded = decode(KEEPALIVE.replace("<SN>", "<SN a=1 b>").encode())
    kept = Element(name="SN", attributes=(("a", "1"),))
    assert decoded.message == KeepaliveNotify(sn="1", device_id="2", extra=(kept,))


def test_a_declaration_without_its_end_is_passed_over() -> None:
    text = '<?xml version="1.0" encoding="GB2312">' + KEEPALIVE
    decoded = decode(text.encode())
    assert decoded.message == KeepaliveNotify(sn="1", device_id="2")
    assert decoded.repairs == ("text before the root element dropped",)


def test_attributes_survive_a_repair() -> None:
    text = KEEPALIVE.replace("</Notify>", "<V a='1' b=\"&amp;2\" c=3/>&</Notify>")
    message = decode(text.encode()).message
    assert isinstance(message, KeepaliveNotify)
    assert message.extra[0].attributes == (("a", "1"), ("b", "&2"), ("c", "3"))


def test_a_flood_of_tag_like_text_is_no_deep_tree() -> None:
    decoded = read(item("<Address>" + "<b>" * 1000 + "</Address>"))
    assert items_of(decoded)[0].address == "<b>" * 1000


def test_text_without_a_root_element_is_refused() -> None:
    with pytest.raises(MalformedCommand, match="Control, Query, Notify or Response"):
        decode(b"<Item>&</Item>")


def test_time_to_repair_grows_with_the_size_only() -> None:
    """Unclosed comments, tags and references by the hundred thousand: linear, or this hangs."""
    for piece in ("<!--", "<![CDATA[", "<?", "<a ", "&#", "</b>", "<b>"):
        text = f"<Notify><CmdType>Keepalive</CmdType><SN>1</SN><Name>{piece * 100_000}"
        assert decode(text.encode()).message.sn == "1"


def test_prefixes_of_names_are_dropped() -> None:
    text = KEEPALIVE.replace("<SN>1</SN>", "<gb:SN xmlns:gb='u'>1</gb:SN><x: xmlns='u'>y</x:>")
    text = text.replace("Notify>", "gb:Notify>")
    message = decode(text.encode()).message
    assert isinstance(message, KeepaliveNotify)
    assert message.sn == "1"
    assert message.extra == (Element(name="x", text="y"),)
