from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.errors import MalformedMessage
from sip.uri import SipUri

_WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=20)
_PARAMETERS = st.dictionaries(_WORD, st.none() | _WORD, max_size=4)
_HOST = st.sampled_from(["3402000000", "192.0.2.10", "2001:db8::1", "a-b.example"])


@settings(max_examples=200)
@given(
    st.builds(
        SipUri,
        st.sampled_from(["sip", "sips"]),
        st.just("") | _WORD,
        _HOST,
        st.none() | st.integers(0, 65535),
        _PARAMETERS,
    )
)
def test_what_is_written_is_read_back(uri: SipUri) -> None:
    assert SipUri.parse(str(uri)) == uri


@pytest.mark.parametrize(
    ("text", "user", "host", "port"),
    [
        ("sip:34020000001320000001@3402000000", "34020000001320000001", "3402000000", None),
        ("SIP:34020000001320000001@192.0.2.10:5060", "34020000001320000001", "192.0.2.10", 5060),
        ("sip:3402000000", "", "3402000000", None),
        ("sip:x@[2001:db8::1]:5062", "x", "2001:db8::1", 5062),
        ("sip:[::1]", "", "::1", None),
        ("sip:[fe80::1%eth0]:5062", "", "fe80::1%eth0", 5062),
        ("sip:[::ffff:192.0.2.1]", "", "::ffff:192.0.2.1", None),
        (" sip:x@h ", "x", "h", None),
        ("sip:x@h:", "x", "h", None),
        ("34020000001320000001@3402000000", "34020000001320000001", "3402000000", None),
        ("sip:a;b?c/d@h", "a;b?c/d", "h", None),
    ],
)
def test_user_host_and_port_are_found(text: str, user: str, host: str, port: int | None) -> None:
    uri = SipUri.parse(text)
    assert (uri.scheme, uri.user, uri.host, uri.port) == ("sip", user, host, port)


def test_parameters_and_headers_are_kept() -> None:
    uri = SipUri.parse("sip:x@h;Transport=TCP;lr;x=?Subject=a&b=c")
    assert uri.parameters == {"transport": "TCP", "lr": None, "x": ""}
    assert uri.headers == "Subject=a&b=c"
    assert uri.transport == "tcp"
    assert str(uri) == "sip:x@h;transport=TCP;lr;x=?Subject=a&b=c"


def test_empty_parameters_are_dropped() -> None:
    assert SipUri.parse("sip:h;;a=1;").parameters == {"a": "1"}


def test_escapes_stay_as_written() -> None:  # RFC 4475 3.1.1.3
    text = "sip:sips%3Auser%40example.com@example.net"
    assert SipUri.parse(text).user == "sips%3Auser%40example.com"
    assert str(SipUri.parse(text)) == text


def test_password_stays_out_of_the_representation() -> None:
    uri = SipUri.parse("sip:alice:secret@h")
    assert (uri.user, uri.password) == ("alice", "secret")
    assert "secret" not in repr(uri)
    assert str(uri) == "sip:alice:secret@h"


@pytest.mark.parametrize("text", ["tel:+1-201-555-0123", "nobodyKnowsThisScheme:totallyopaque"])
def test_other_schemes_are_kept_whole(text: str) -> None:
    uri = SipUri.parse(text)
    assert uri.user == ""
    assert str(uri).lower() == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sip:",
        "sip:x@",
        "sip:x@h:99999",
        "sip:x@h:port",
        "sip:x@[::1",
        "sip:x@[::g]",
        "sip:x@[]",
        "sip:x@[12]",
        "sip:x@a b",
        "tel:",
        "sip:a b@h",
    ],
)
def test_what_has_no_host_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        SipUri.parse(text)


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        uri = SipUri.parse("sip:" + text)
    except MalformedMessage:
        return
    assert uri.host


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("sip:x@192.0.2.1", ("192.0.2.1", 5060)),
        ("sips:x@192.0.2.1", ("192.0.2.1", 5061)),
        ("sip:x@192.0.2.1:7000", ("192.0.2.1", 7000)),
    ],
)
def test_address_uses_the_default_port(text: str, address: tuple[str, int]) -> None:
    assert SipUri.parse(text).address == address


def test_equal_uris_have_equal_hashes() -> None:
    assert hash(SipUri.parse("sip:x@h;a=1")) == hash(SipUri.parse("sip:x@h;a=1"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a%3bb@h", "sip:a%3Bb@h"),
        ("sip:x@[2001:DB8::1]", "sip:x@[2001:db8::1]"),
        ("tel:+1-201", "TEL:+1-201"),
    ],
)
def test_equivalent_uris(one: str, other: str) -> None:  # RFC 3261 19.1.4, its examples first
    assert SipUri.parse(one).is_equivalent(SipUri.parse(other))
    assert SipUri.parse(other).is_equivalent(SipUri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a:one@h", "sip:a:two@h"),
        ("sip:a%3bb@h", "sip:a;b@h"),
        ("tel:+1", "tel:+2"),
        ("sip:h;maddr=1.2.3.4", "sip:h"),
    ],
)
def test_uris_that_differ(one: str, other: str) -> None:  # RFC 3261 19.1.4, its examples first
    assert not SipUri.parse(one).is_equivalent(SipUri.parse(other))
    assert not SipUri.parse(other).is_equivalent(SipUri.parse(one))


def test_equivalence_is_not_transitive() -> None:  # RFC 3261 19.1.4
    plain, on, off = (SipUri.parse(f"sip:a@h{tail}") for tail in ("", ";s=on", ";s=off"))
    assert plain.is_equivalent(on)
    assert plain.is_equivalent(off)
    assert not on.is_equivalent(off)
