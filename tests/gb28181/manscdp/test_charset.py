from __future__ import annotations

import random

import pytest

from gb28181.edition import Edition
from gb28181.manscdp.catalog import CatalogItem, CatalogResponse
from gb28181.manscdp.charset import decode_text
from gb28181.manscdp.codec import decode, encode

NAME = "学校"


def body(name: bytes, declared: str = "") -> bytes:
    prolog = f'<?xml version="1.0" encoding="{declared}"?>' if declared else '<?xml version="1.0"?>'
    head = "<Response><CmdType>Catalog</CmdType><SN>1</SN><DeviceID>2</DeviceID><SumNum>1</SumNum>"
    start = f"{prolog}{head}<DeviceList><Item><DeviceID>3</DeviceID><Name>"
    return start.encode() + name + b"</Name></Item></DeviceList></Response>"


def name_of(data: bytes, hint: str | None = None) -> tuple[str | None, str, tuple[str, ...]]:
    decoded = decode(data, hint_charset=hint)
    assert isinstance(decoded.message, CatalogResponse)
    return decoded.message.items[0].name, decoded.charset, decoded.repairs


@pytest.mark.parametrize("declared", ["", "GB2312", "gbk", "GB18030"])
def test_gb_bodies_are_read_as_gb18030(declared: str) -> None:
    assert name_of(body("镕𠮷学".encode("gb18030"), declared)) == ("镕𠮷学", "GB18030", ())


def test_a_name_that_is_valid_in_both_charsets_is_read_as_gb() -> None:
    data = NAME.encode("gb18030")
    assert data.decode("utf-8") != NAME  # valid UTF-8, of Latin and Arabic letters
    assert name_of(body(data, "GB2312")) == (NAME, "GB18030", ())


def test_declared_utf8_is_read_as_such() -> None:
    assert name_of(body("Łódź".encode(), "utf-8")) == ("Łódź", "UTF-8", ())


def test_utf8_behind_a_gb_declaration_is_found_and_reported() -> None:
    found = name_of(body("东门（一）".encode(), "GB2312"))
    assert found == ("东门（一）", "UTF-8", ("declared as GB2312, read as UTF-8",))


def test_gb_behind_a_utf8_declaration_is_found_and_reported() -> None:
    found = name_of(body("东门口".encode("gb18030"), "UTF-8"))
    assert found == ("东门口", "GB18030", ("declared as UTF-8, read as GB18030",))


def test_a_byte_order_mark_means_utf8() -> None:
    data = b"\xef\xbb\xbf" + body("é".encode(), "GB2312")
    assert name_of(data)[:2] == ("é", "UTF-8")


def test_the_hint_decides_what_the_body_leaves_open() -> None:
    assert name_of(body("é è".encode()), "UTF-8")[0] == "é è"
    assert name_of(body("é è".encode()), None)[0] != "é è"


def test_the_hint_does_not_overrule_the_declaration() -> None:
    assert name_of(body(NAME.encode("gb18030"), "GB2312"), "UTF-8")[0] == NAME


def test_undecodable_bytes_are_replaced_and_reported() -> None:
    found = name_of(body("东门".encode("gb18030") + b"\xff", "GB2312"))
    assert found == ("东门\ufffd", "GB18030", ("undecodable bytes became U+FFFD (x1)",))


def test_utf8_with_one_broken_character_stays_utf8() -> None:
    name, charset, repairs = name_of(body("东门入口".encode() + b"\xe4\xb8" + b"\xff", "UTF-8"))
    assert (name or "").startswith("东门入口")
    assert charset == "UTF-8"
    assert len(repairs) == 1


@pytest.mark.parametrize(
    ("declared", "hint", "expected"),
    [
        ("", None, "GB18030"),
        ("GB2312", None, "GB18030"),
        ("UTF-8", None, "UTF-8"),
        ("", "utf-8", "UTF-8"),
        ("", "GBK", "GB18030"),
        ("ISO-8859-1", "UTF-8", "UTF-8"),
    ],
)
def test_ascii_says_as_much_as_its_declaration(
    declared: str, hint: str | None, expected: str
) -> None:
    assert name_of(body(b"x", declared), hint) == ("x", expected, ())


def test_two_character_names_of_gb2312_are_hardly_ever_taken_for_utf8() -> None:
    """A fixed sample of the pairs of GB 2312's 6,763 ideographs."""
    ideographs = [
        bytes((high, low)).decode("gb2312")
        for high in range(0xB0, 0xF8)
        for low in range(0xA1, 0xFF)
        if not (high == 0xD7 and low > 0xF9)
    ]
    step = 7919
    count = 4000
    wrong = 0
    for number in range(count):
        first = ideographs[number * step % len(ideographs)]
        second = ideographs[number * number * 31 % len(ideographs)]
        wrong += name_of(body((first + second).encode("gb18030")))[0] != first + second
    assert wrong == 0


def test_a_utf8_peer_gets_what_it_declares() -> None:
    message = CatalogResponse(
        sn="1", device_id="2", sum_num=1, items=(CatalogItem(device_id="3", name="é"),)
    )
    data = encode(message, Edition.GB2016, "utf-8")
    assert data.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    assert decode(data).message == message


COUNT = 100_000


@pytest.mark.parametrize(
    ("alphabet", "count"), [("GB 2312", COUNT), ("first level", COUNT), ("GBK", COUNT)]
)
@pytest.mark.parametrize(
    ("codec", "declared"),
    [
        ("gb18030", None),
        ("gb18030", "UTF-8"),
        ("gb18030", "ISO-8859-1"),
        ("utf-8", None),
        ("utf-8", "GB2312"),
        ("utf-8", "GB18030"),
    ],
)
def test_of_100_000_names_under_a_wrong_declaration_ten_are_misread_at_most(
    alphabet: str, count: int, codec: str, declared: str | None
) -> None:
    characters = ideographs(alphabet)
    chance = random.Random(20261121)
    head = f'<?xml version="1.0" encoding="{declared}"?>' if declared else '<?xml version="1.0"?>'
    start, end = f"{head}<Name>".encode(), b"</Name>"
    wrong = 0
    for _ in range(count):
        name = "".join(chance.choices(characters, k=chance.randint(2, 8)))
        text, _ = decode_text(start + name.encode(codec) + end, None, [])
        wrong += text[-len(name) - 7 : -7] != name
    assert wrong <= count // 10_000, f"{wrong} of {count} names misread"


def ideographs(alphabet: str) -> list[str]:
    """The 20,902 ideographs of GBK, the 6,763 of GB 2312, or its 3,755 most frequent."""
    if alphabet == "GBK":
        return [chr(code) for code in range(0x4E00, 0x9FA6)]
    last = 0xD7 if alphabet == "first level" else 0xF7
    return [
        bytes((high, low)).decode("gb2312")
        for high in range(0xB0, last + 1)
        for low in range(0xA1, 0xFF)
        if not (high == 0xD7 and low > 0xF9)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "Café 3",
        "Ürümqi",
        "Привет мир",
        "ئۈرۈمچى",
        "Αθήνα",
        "10°C",
        "A·B",
        "Zürich–Süd",
        "Łódź",
        "Öğle",
    ],
)
def test_other_scripts_are_read_as_declared(name: str) -> None:
    assert name_of(body(name.encode(), "UTF-8")) == (name, "UTF-8", ())


def test_gb_bytes_under_a_declaration_of_utf8_are_reported() -> None:
    assert name_of(body("学校".encode("gb18030"), "UTF-8")) == (
        "学校",
        "GB18030",
        ("declared as UTF-8, read as GB18030",),
    )
