import pytest

from sip.errors import LocalProtocolError
from sip.fields import Headers


def single() -> Headers:
    return Headers.of_single({"Via": "one", "To": "<sip:a@b>", "Content-Length": "0"})


def test_single_fields_are_found_under_every_spelling() -> None:
    headers = single()
    assert (headers.get("Via"), headers.get("v"), headers.get("VIA")) == ("one", "one", "one")
    assert (headers.get("X-Other"), headers.get("From", "none")) == (None, "none")
    assert (headers.get_all("t"), headers.get_all("From")) == (["<sip:a@b>"], [])
    assert "to" in headers
    assert "From" not in headers
    assert len(headers) == 3


def test_single_fields_are_equal_to_the_same_in_a_list() -> None:
    listed = Headers([("To", "<sip:a@b>"), ("v", "one")])
    assert single() == listed
    assert list(single()) == [("Via", "one"), ("To", "<sip:a@b>"), ("Content-Length", "0")]
    assert single().copy() == listed


def test_single_field_is_replaced_in_its_place() -> None:
    headers = single()
    headers.set("To", "<sip:c@d>")
    headers.set("From", "<sip:e@f>")
    headers.set("v", "two")
    assert [name for name, _ in headers] == ["v", "To", "Content-Length", "From"]
    assert (headers.get("Via"), headers.get("To")) == ("two", "<sip:c@d>")


def test_a_second_field_of_a_name_makes_a_list_of_single_ones() -> None:
    headers = single()
    headers.prepend("Via", "zero")
    headers.add("Note", "last")
    assert headers.get_all("Via") == ["zero", "one"]
    assert headers.repeated() == {"via"}
    headers.remove("v")
    assert [name for name, _ in headers] == ["To", "Content-Length", "Note"]


def test_filled_via_forgets_only_how_it_was_read() -> None:
    headers = single()
    parsed = headers.parsed
    parsed.call_id, parsed.is_usual = "7", True
    headers.fill_via("one;received=192.0.2.1")
    assert headers.get("Via") == "one;received=192.0.2.1"
    assert headers.parsed.call_id == "7"
    assert not headers.parsed.is_usual


def test_fields_are_written_in_the_order_of_the_rfc() -> None:
    headers = Headers(
        [("Content-Type", "a/b"), ("X-Own", "1"), ("To", "t"), ("l", "9"), ("Via", "v")]
    )
    assert [name for name, _ in headers.in_wire_order()] == ["Via", "To", "X-Own", "Content-Type"]
    assert [name for name, _ in single().in_wire_order()] == ["Via", "To"]


def test_name_that_is_no_token_is_not_written() -> None:
    with pytest.raises(LocalProtocolError, match="no header name"):
        Headers([("No Name", "1")]).in_wire_order()
