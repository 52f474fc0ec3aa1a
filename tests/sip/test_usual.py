"""The short way through a head says what the long way says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip import parser
from sip.errors import MalformedMessage
from sip.headers import parse_cseq, parse_name_addr, parse_via
from sip.matching import server_key
from sip.message import Request
from sip.usual import read_usual_head

LINES = (
    "MESSAGE sip:34020000002000000001@3402000000 SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.1:15060;rport;branch=z9hG4bK-1",
    "From: <sip:34020000001320000001@3402000000>;tag=1",
    "To: <sip:34020000002000000001@3402000000>",
    "Call-ID: 1-1234@192.0.2.1",
    "CSeq: 20 MESSAGE",
    "Max-Forwards: 70",
    "Content-Length: 0",
)
ODD = (
    "Via: SIP/2.0/UDP 192.0.2.1:70000;branch=z9hG4bK-1",
    "Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-1;rport",
    "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-2, SIP/2.0/UDP 192.0.2.8",
    "Via: SIP/2.0/UDP 192.0.2.1:05060;branch=z9hG4bK-1",
    "Via: SIP/2.0/UDP 192.0.2.1:0;branch=z9hG4bK-1",
    "Via: SIP/2.0/UDP 192.0.2.1:;branch=z9hG4bK-1",
    "From: sip:34020000001320000001@3402000000",
    "To: <sip:@>",
    "CSeq: 20 INVITE",
    "CSeq: 99999999999 MESSAGE",
    "Content-Length: -1",
    "Content-Length: 7 ",
    " folded",
    "\tfolded",
    "X-Vendor: yes",
    "Call-ID:",
    "i: 7",
    "Max-Forwards : 70",
    "no field",
    "Note: stray\rreturn",
    "Note: r\u00e9sum\u00e9 \u2028 line",
    "",
)


def head(*lines: str) -> str:
    return "\r\n".join(lines)


def test_usual_head_is_read_with_all_that_is_needed() -> None:
    request = read_usual_head(head(*LINES), fields=20)
    assert request is not None
    assert (request.method, request.uri) == ("MESSAGE", "sip:34020000002000000001@3402000000")
    assert request.vias == [parse_via(LINES[1][5:])]
    assert request.cseq == parse_cseq("20 MESSAGE")
    assert (request.from_tag, request.to_tag) == ("1", "")
    assert request.from_ == parse_name_addr(LINES[2][6:])
    assert request.headers.parsed.length == 0


@pytest.mark.parametrize("odd", ODD)
def test_odd_line_is_left_to_the_long_way(odd: str) -> None:
    if not odd.startswith("Note: r"):
        assert read_usual_head(head(*LINES, odd), fields=20) is None


def test_too_many_fields_are_left_to_the_long_way() -> None:
    assert read_usual_head(head(*LINES), fields=6) is None


def read_the_long_way(data: bytes) -> Request | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "read_usual_head", lambda text, *, fields: None)
        return read(data)


def read(data: bytes) -> Request | str:
    try:
        message = parser.parse_datagram(data)
    except MalformedMessage as exc:
        return f"{exc.status} {exc}"
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("via", [line for line in ODD[1:] if line.startswith("Via")])
def test_both_ways_find_the_same_transaction(via: str) -> None:
    data = "\r\n".join((LINES[0], via, *LINES[2:])).encode() + b"\r\n\r\n"
    one, other = read(data), read_the_long_way(data)
    assert isinstance(one, Request)
    assert isinstance(other, Request)
    assert server_key(one) == server_key(other)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(LINES[1:] + ODD), max_size=12), st.booleans())
def test_both_ways_agree(lines: list[str], has_needed: bool) -> None:
    needed = LINES[1:6] if has_needed else ()
    data = "\r\n".join((LINES[0], *needed, *lines)).encode() + b"\r\n\r\n"
    one, other = read(data), read_the_long_way(data)
    assert one == other
    if isinstance(one, Request) and isinstance(other, Request):
        assert (one.vias, one.cseq, one.from_, one.to) == (
            other.vias, other.cseq, other.from_, other.to,
        )  # fmt: skip
        assert (one.call_id, one.from_tag, one.to_tag) == (
            other.call_id, other.from_tag, other.to_tag,
        )  # fmt: skip
        assert server_key(one) == server_key(other)


def test_change_of_a_field_is_seen_in_its_typed_value() -> None:
    request = read_usual_head(head(*LINES), fields=20)
    assert request is not None
    request.headers.set("To", "<sip:34020000002000000001@3402000000>;tag=9")
    request.headers.set("Via", "SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK-7")
    assert (request.to_tag, request.to.tag) == ("9", "9")
    assert request.top_via.transport == "TCP"
    assert request.cseq.number == 20
