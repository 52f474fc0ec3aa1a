from __future__ import annotations

import pytest

from sip.errors import CallRejected, LocalProtocolError, MalformedMessage, SipError
from sip.fields import header_key
from sip.message import Headers, Request, Response, granted, make_response

VIA = "SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK-1"


def register(*extra: tuple[str, str], body: bytes = b"") -> Request:
    headers = [
        ("Via", VIA),
        ("From", "<sip:1@d>;tag=1001"),
        ("To", "<sip:1@d>"),
        ("Call-ID", "5001@192.0.2.10"),
        ("CSeq", "2 REGISTER"),
    ]
    return Request("REGISTER", "sip:2@d", Headers([*headers, *extra]), body)


def test_names_are_found_in_any_case_and_compact() -> None:
    headers = Headers([("v", "1"), ("VIA", "2"), ("i", "x")])
    assert headers.get("Via") == "1"
    assert headers.get_all("via") == ["1", "2"]
    assert headers.get("Call-ID") == "x"
    assert "call-id" in headers
    assert "To" not in headers
    assert 7 not in headers
    assert headers.get("To", "none") == "none"
    assert headers.get("To") is None


@pytest.mark.parametrize(
    ("compact", "name"),
    [
        ("v", "Via"), ("f", "From"), ("t", "To"), ("i", "Call-ID"), ("m", "Contact"),
        ("l", "Content-Length"), ("c", "Content-Type"), ("s", "Subject"), ("k", "Supported"),
        ("e", "Content-Encoding"), ("o", "Event"), ("u", "Allow-Events"), ("r", "Refer-To"),
        ("x", "Session-Expires"), ("b", "Referred-By"),
    ],
)  # fmt: skip
def test_compact_forms(compact: str, name: str) -> None:
    assert header_key(compact.upper()) == header_key(name) == name.lower()


def test_set_keeps_the_place_of_the_first() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("a", "3")])
    headers.set("A", "9")
    assert list(headers) == [("A", "9"), ("B", "2")]
    headers.set("C", "4")
    assert list(headers)[-1] == ("C", "4")


def test_prepend_add_remove_and_count() -> None:
    headers = Headers([("Via", "2")])
    headers.prepend("Via", "1")
    headers.add("To", "x")
    assert headers.get_all("Via") == ["1", "2"]
    assert headers.count("v") == 2
    assert headers.repeated() == {"via"}
    headers.remove("v")
    headers.remove("never there")
    assert list(headers) == [("To", "x")]
    assert headers.repeated() == frozenset()
    assert len(headers) == 1


def test_a_copy_is_independent() -> None:
    headers = Headers([("To", "x")])
    copied = headers.copy()
    copied.add("From", "y")
    assert len(headers) == 1
    assert repr(headers) == "Headers([('To', 'x')])"


def test_equality_ignores_the_order_of_different_names_only() -> None:  # RFC 3261 7.3.1
    assert Headers([("Via", "1"), ("To", "x")]) == Headers([("t", "x"), ("v", "1")])
    assert Headers([("Via", "1"), ("Via", "2")]) != Headers([("Via", "2"), ("Via", "1")])
    assert Headers() != []


def test_typed_values_follow_a_change_of_the_text() -> None:
    request = register()
    assert request.from_.tag == "1001"
    assert request.cseq.number == 2
    request.headers.set("From", "<sip:1@d>;tag=7")
    request.headers.prepend("Via", "SIP/2.0/TCP h;branch=z9hG4bK-2")
    request.uri = "sip:3@d"
    assert request.from_.tag == "7"
    assert [via.branch for via in request.vias] == ["z9hG4bK-2", "z9hG4bK-1"]
    assert request.request_uri.user == "3"


def test_changing_the_returned_vias_changes_nothing() -> None:
    request = register()
    request.vias.clear()
    assert len(request.vias) == 1


def test_vias_of_one_line_are_cut_apart() -> None:
    request = register(("v", f"{VIA} , {VIA}"))
    assert len(request.vias) == 3


@pytest.mark.parametrize("name", ["Call-ID", "CSeq", "From", "To"])
def test_a_missing_field_is_malformed(name: str) -> None:
    request = register()
    request.headers.remove(name)
    attribute = {"Call-ID": "call_id", "CSeq": "cseq", "From": "from_", "To": "to"}[name]
    with pytest.raises(MalformedMessage, match=name) as caught:
        getattr(request, attribute)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("extra", "seconds"),
    [
        ([], None),
        ([("Expires", "3600")], 3600),
        ([("Expires", " 60 ;x")], 60),
        ([("Expires", "0")], 0),
        ([("Expires", "soon")], None),
        ([("Expires", "-1")], None),
        ([("Expires", "99999999999999")], 2**32 - 1),
        ([("Contact", "<sip:1@h>;expires=60"), ("Expires", "3600")], 60),
        ([("Contact", '<sip:1@h>;expires="60"'), ("Expires", "3600")], 60),
        ([("Contact", "<sip:1@h>;expires=x"), ("Expires", "3600")], 3600),
        ([("Contact", "*"), ("Expires", "0")], 0),
        ([("m", "<sip:1@h>;q=0.5;expires=70,<sip:2@h>;expires=80")], 70),
    ],
)
def test_expires(extra: list[tuple[str, str]], seconds: int | None) -> None:
    assert register(*extra).expires == seconds


@pytest.mark.parametrize("text", ["*", " * ", ""])
def test_no_contact_address(text: str) -> None:
    assert register(("Contact", text)).contact is None


def test_first_contact_is_given() -> None:
    contact = register(("Contact", '"A, B" <sip:1@h>, <sip:2@h>')).contact
    assert contact is not None
    assert contact.uri.user == "1"
    with pytest.raises(MalformedMessage):
        _ = register(("Contact", ",")).contact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Application/MANSCDP+xml", "application/manscdp+xml"),
        ("APPLICATION/SDP ; charset=gb2312", "application/sdp"),
        ("", ""),
    ],
)
def test_content_type_is_lower_case_without_parameters(text: str, expected: str) -> None:
    assert register(("c", text)).content_type == expected
    assert register().content_type == ""


def test_user_agent_or_server() -> None:
    assert register(("User-Agent", "IP Camera")).user_agent == "IP Camera"
    assert Response(200, "OK", Headers([("Server", "S")])).user_agent == "S"
    assert register().user_agent == ""


def test_request_is_written_in_order() -> None:
    request = Request(
        "MESSAGE",
        "sip:1@d",
        Headers([
            ("Content-Type", "Application/MANSCDP+xml"), ("Content-Length", "999"),
            ("X-Last", "x"), ("CSeq", "1 MESSAGE"), ("To", "<sip:1@d>"), ("Max-Forwards", "70"),
            ("From", "<sip:2@d>;tag=1"), ("Call-ID", "7"), ("Via", VIA), ("User-Agent", "u"),
        ]),
        "摄".encode("gb18030"),
    )  # fmt: skip
    assert request.to_bytes() == (
        b"MESSAGE sip:1@d SIP/2.0\r\n"
        b"Via: " + VIA.encode() + b"\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:2@d>;tag=1\r\n"
        b"To: <sip:1@d>\r\n"
        b"Call-ID: 7\r\n"
        b"CSeq: 1 MESSAGE\r\n"
        b"X-Last: x\r\n"
        b"User-Agent: u\r\n"
        b"Content-Type: Application/MANSCDP+xml\r\n"
        b"Content-Length: 2\r\n"
        b"\r\n"
        b"\xc9\xe3"
    )


def test_response_without_anything_is_written() -> None:
    assert Response(200, "OK", Headers()).to_bytes() == (
        b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize(
    "message",
    [
        register(("X", "a\r\nInjected: b")),
        register(("X", "a\nInjected: b")),
        register(("X", "a\rb")),
        register(("X Y", "a")),
        register(("X:", "a")),
        register(("", "a")),
        register(("X", "\ud800")),
        Request("NO METHOD", "sip:1@d", Headers()),
        Request("REGISTER", "", Headers()),
        Request("REGISTER", "sip:1@d SIP/2.0\r\nX: y", Headers()),
        Request("REGISTER", "sip:1@d\r\nX:y", Headers()),
        Response(99, "x", Headers()),
        Response(700, "x", Headers()),
        Response(200, "x\r\nX: y", Headers()),
    ],
)
def test_nothing_that_breaks_the_syntax_is_written(message: Request | Response) -> None:
    with pytest.raises(LocalProtocolError):
        message.to_bytes()


def test_response_copies_what_the_rfc_says() -> None:  # RFC 3261 8.2.6.2
    request = register(("Via", "SIP/2.0/UDP b"), ("Record-Route", "<sip:r;lr>"))
    response = make_response(request, 200, to_tag="9001", headers=[("Expires", "60")], body=b"x")
    assert list(response.headers) == [
        ("Via", VIA),
        ("Via", "SIP/2.0/UDP b"),
        ("Record-Route", "<sip:r;lr>"),
        ("From", "<sip:1@d>;tag=1001"),
        ("To", "<sip:1@d>;tag=9001"),
        ("Call-ID", "5001@192.0.2.10"),
        ("CSeq", "2 REGISTER"),
        ("Expires", "60"),
    ]
    assert (response.status, response.reason, response.body) == (200, "OK", b"x")


def test_a_tag_of_the_request_is_not_replaced() -> None:
    request = register()
    request.headers.set("To", "<sip:1@d>;tag=old")
    assert make_response(request, 200, to_tag="new").to.tag == "old"


def test_a_tag_is_added_after_an_address_without_brackets() -> None:
    request = register()
    request.headers.set("To", "sip:1@d;x=y")
    assert make_response(request, 200, to_tag="new").to.tag == "new"


def test_a_tag_replaces_an_empty_parameter() -> None:
    request = register()
    request.headers.set("To", "<sip:1@d>; ;")
    assert make_response(request, 200, to_tag="new").headers.get("To") == "<sip:1@d>;tag=new"


def test_failures_carry_no_record_route() -> None:
    request = register(("Record-Route", "<sip:r;lr>"))
    assert "Record-Route" not in make_response(request, 404).headers
    assert "Record-Route" not in make_response(request, 100).headers


def test_trying_carries_the_timestamp() -> None:  # RFC 3261 8.2.6.1
    request = register(("Timestamp", "54"))
    assert make_response(request, 100).headers.get("Timestamp") == "54"
    assert "Timestamp" not in make_response(request, 200).headers


def test_reason_phrases() -> None:
    assert make_response(register(), 481).reason == "Call/Transaction Does Not Exist"
    assert make_response(register(), 299).reason == "Unknown"
    assert make_response(register(), 200, "Fine").reason == "Fine"


def test_a_response_to_half_a_request_copies_what_is_there() -> None:
    request = Request("OPTIONS", "sip:1@d", Headers([("Via", VIA), ("CSeq", "1 OPTIONS")]))
    assert [name for name, _ in make_response(request, 400).headers] == ["Via", "CSeq"]


def test_a_rejected_call_says_how() -> None:
    rejected = CallRejected(make_response(register(), 486))
    assert isinstance(rejected, SipError)
    assert str(rejected) == "the call was rejected: 486 Busy Here"
    assert rejected.response.status == 486


@pytest.mark.parametrize(
    ("contact", "seconds"),
    [("<sip:b@h>", 20), ("sip:b@H", 20), ("<sip:c@h>", 10), ("", 10), ("<sip:d@h>", 30)],
)
def test_the_grant_to_one_of_several_bindings(contact: str, seconds: int) -> None:  # RFC 3261 10.3
    bindings = "<sip:a@h>;expires=10, <sip:b@h>;expires=20, <sip:d@h>"
    response = Response(200, "OK", Headers([("Contact", bindings), ("Expires", "30")]))
    assert granted(response, contact) == seconds


def test_a_binding_that_cannot_be_read_says_nothing() -> None:
    response = Response(200, "OK", Headers([("Contact", "<sip:a@"), ("Expires", "30")]))
    assert granted(response, "<sip:a@h>") is None
