from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.errors import InvalidIdentifier
from gb28181.identifiers import (
    IdKind,
    area_of,
    domain_of,
    is_area,
    kind_of,
    parent_area,
    parse_id,
)


def code(type_code: str) -> str:
    return f"3402000000{type_code}0000001"


def test_a_code_is_split_into_its_fields() -> None:  # 2022 Annex E
    identifier = parse_id("34020000001320000001")
    assert identifier.centre == "34020000"
    assert identifier.industry == "00"
    assert identifier.type_code == "132"
    assert identifier.network == "0"
    assert identifier.sequence == "000001"
    assert identifier.kind is IdKind.CHANNEL
    assert identifier.domain == "3402000000"


@given(st.from_regex(r"[0-9]{20}", fullmatch=True))
def test_a_split_code_joins_to_what_it_was(text: str) -> None:
    assert str(parse_id(text)) == text
    assert parse_id(text).kind is kind_of(text)


@given(st.text(max_size=24))
def test_any_text_has_a_kind(text: str) -> None:
    assert isinstance(kind_of(text), IdKind)


@pytest.mark.parametrize(
    "text", ["", "3402", "3402000000132000000", "3402000000132000000a", "３" * 20, "1" * 21]
)
def test_what_is_not_20_digits_is_no_code(text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_id(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("34", IdKind.AREA),
        ("34020001", IdKind.AREA),
        ("340", IdKind.UNKNOWN),
        ("3402000000", IdKind.UNKNOWN),
        ("", IdKind.UNKNOWN),
        ("cam", IdKind.UNKNOWN),
        (code("111"), IdKind.DEVICE),
        (code("118"), IdKind.DEVICE),
        (code("130"), IdKind.DEVICE),
        (code("131"), IdKind.CHANNEL),
        (code("132"), IdKind.CHANNEL),
        (code("134"), IdKind.ALARM_INPUT),
        (code("135"), IdKind.ALARM_OUTPUT),
        (code("136"), IdKind.VOICE_INPUT),
        (code("137"), IdKind.VOICE_OUTPUT),
        (code("199"), IdKind.PERIPHERAL),
        (code("200"), IdKind.SYSTEM),
        (code("215"), IdKind.GROUP),
        (code("216"), IdKind.ORGANISATION),
        (code("202"), IdKind.SERVER),
        (code("300"), IdKind.USER),
        (code("499"), IdKind.USER),
        (code("500"), IdKind.EXTERNAL),
        (code("600"), IdKind.EXTENSION),
        (code("110"), IdKind.UNKNOWN),
    ],
)
def test_the_type_digits_tell_the_kind(text: str, kind: IdKind) -> None:
    assert kind_of(text) is kind


def test_areas_lie_in_areas() -> None:
    assert parent_area("340201") == "3402"
    assert parent_area("34") is None
    assert is_area("340201")
    assert not is_area("34020")
    assert not is_area("北京")


@pytest.mark.parametrize(
    ("civil_code", "device_id", "area"),
    [
        ("340201", code("132"), "340201"),
        (" 34020100 ", code("132"), "34020100"),
        ("null", code("132"), "340200"),
        (None, code("132"), "340200"),
        ("34020000001320000001", "11010512001320000001", "11010512"),
        ("", "camera", None),
        ("", "3402", None),
    ],
)
def test_the_area_of_an_item_is_its_civil_code_or_comes_from_its_own(
    civil_code: str | None, device_id: str, area: str | None
) -> None:
    assert area_of(civil_code, device_id) == area


def test_the_domain_is_the_first_ten_digits() -> None:
    assert domain_of("34020000002000000001") == "3402000000"
