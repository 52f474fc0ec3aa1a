from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip import headers
from sip.errors import MalformedMessage
from sip.headers import (
    Challenge,
    Credentials,
    CSeq,
    NameAddr,
    Via,
    is_token,
    parse_challenge,
    parse_credentials,
    parse_cseq,
    parse_event,
    parse_name_addr,
    parse_parameters,
    parse_via,
    quote,
    split_values,
    unquote,
    with_parameters,
)
from sip.uri import SipUri

_WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
# Text of a header field never holds line breaks; the rest may be anything.
_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
_PARAMETERS = st.dictionaries(_WORD, st.none() | _TEXT, max_size=4)
_PORT = st.none() | st.integers(0, 65535)


@settings(max_examples=200)
@given(
    st.builds(
        Via,
        st.sampled_from(["UDP", "TCP", "TLS", "WS"]),
        st.sampled_from(["192.0.2.10", "2001:db8::1", "host.example"]),
        _PORT,
        _PARAMETERS,
    )
)
def test_a_written_via_is_read_back(via: Via) -> None:
    assert parse_via(str(via)) == via


@settings(max_examples=200)
@given(
    st.builds(
        NameAddr,
        _TEXT,
        st.builds(SipUri, st.just("sip"), _WORD, _WORD, _PORT),
        _PARAMETERS,
    )
)
def test_a_written_address_is_read_back(value: NameAddr) -> None:
    assert parse_name_addr(str(value)) == value


@settings(max_examples=200)
@given(st.dictionaries(_WORD, _TEXT, min_size=1, max_size=6))
def test_written_credentials_are_read_back(parameters: dict[str, str]) -> None:
    assert parse_credentials(str(Credentials("Digest", parameters))).parameters == parameters
    assert parse_challenge(str(Challenge("Digest", parameters))).parameters == parameters


@settings(max_examples=200)
@given(_TEXT)
def test_quoting_is_undone(text: str) -> None:
    assert unquote(quote(text)) == text


@settings(max_examples=200)
@given(st.text(max_size=80), st.sampled_from([parse_via, parse_name_addr, parse_cseq]))
def test_any_text_is_read_or_refused(text: str, parse: Callable[[str], object]) -> None:
    with contextlib.suppress(MalformedMessage):
        assert str(parse(text))


def test_via_parameters_are_understood() -> None:
    via = parse_via("SIP/2.0/udp 192.0.2.10:5060;rport=5061;received=192.0.2.11;branch=z9hG4bK-1")
    assert (via.transport, via.host, via.port) == ("UDP", "192.0.2.10", 5060)
    assert (via.branch, via.received, via.rport) == ("z9hG4bK-1", "192.0.2.11", 5061)
    assert via.sent_by == "192.0.2.10:5060"
    assert via.wants_rport


def test_rport_without_value_is_a_wish() -> None:  # RFC 3581 3
    via = parse_via("SIP/2.0/UDP h;rport")
    assert via.wants_rport
    assert via.rport is None
    assert via.branch == ""
    assert via.received is None


@pytest.mark.parametrize("value", ["x", "99999", "1234567", "-1"])
def test_rport_that_is_no_port_is_none(value: str) -> None:
    assert parse_via(f"SIP/2.0/UDP h;rport={value}").rport is None


def test_blanks_around_every_separator_of_via() -> None:  # RFC 4475 3.1.1.1
    via = parse_via("SIP  /   2.0  / TCP     spindle.example.com   ;  branch  =   z9hG4bK9ikj8 ")
    assert via == Via("TCP", "spindle.example.com", None, {"branch": "z9hG4bK9ikj8"})


def test_ipv6_in_via_loses_and_regains_its_brackets() -> None:  # RFC 5118 4.5
    via = parse_via("SIP/2.0/UDP [2001:db8::9:1]:5060;received=[2001:db8::9:255];branch=z9hG4bK")
    assert (via.host, via.received) == ("2001:db8::9:1", "2001:db8::9:255")
    assert str(via).startswith("SIP/2.0/UDP [2001:db8::9:1]:5060;")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("SIP/2.0/UDP h:0005060;branch=1", "SIP/2.0/UDP h:5060;branch=1"),
        ("SIP/2.0/UDP h:;branch=1", "SIP/2.0/UDP h;branch=1"),
        ("SIP/2.0/UDP h (Acme server)", "SIP/2.0/UDP h"),
        ("SIP/2.0/UDP h;branch=1 (Acme)", "SIP/2.0/UDP h;branch=1"),
    ],
)
def test_old_and_padded_forms_of_via_are_read(text: str, written: str) -> None:
    assert str(parse_via(text)) == written


@pytest.mark.parametrize(
    "text",
    ["", ")", "(a)", "SIP/2.0/UDP", "SIP/x/UDP h", "SIP/2.0/UDP h:99999", "SIP/2.0/UDP h:x",
     "UDP h", "SIP/2.0/UDP [host]", "SIP/2.0/UDP []",
     "SIP/2.0/UDP " + " " * 5000 + "h" + " " * 5000 + "!"],
)  # fmt: skip
def test_broken_via_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_via(text)


@pytest.mark.parametrize(
    ("text", "display", "tag"),
    [
        ("<sip:1@d>;tag=1001", "", "1001"),
        ("<sip:1@d>", "", None),
        ("sip:1@d;tag=1001", "", "1001"),
        ('"A \\"B\\" <C>" <sip:1@d>;tag=x', 'A "B" <C>', "x"),
        ("Camera One <sip:1@d> ; tag = x", "Camera One", "x"),
        ("'Camera' <sip:1@d>;TAG=x", "Camera", "x"),
        ('""<sip:1@d>;tag=x', "", "x"),
        ("< sip:1@d >;tag=x", "", "x"),
        ("摄像机 <sip:1@d>;tag=x", "摄像机", "x"),
        ('<sip:1@d>;tag=x;other="a;b"', "", "x"),
        ("<sip:1@d>;;tag=x;", "", "x"),
        ('sip:1@d;other="<a>;b";tag=x', "", "x"),
        ('A "B" <sip:1@d>;other="c";tag=x', 'A "B"', "x"),
        ("<sip:1@d:0005060>;tag=x", "", "x"),
    ],
)
def test_addresses_of_the_field_are_read(text: str, display: str, tag: str | None) -> None:
    value = parse_name_addr(text)
    assert (value.display, value.uri.user, value.uri.host) == (display, "1", "d")
    assert value.tag == tag


def test_parameters_belong_to_the_uri_only_within_brackets() -> None:  # RFC 3261 20.10
    assert parse_name_addr("<sip:1@d;lr>").uri.parameters == {"lr": None}
    assert parse_name_addr("sip:1@d;lr").parameters == {"lr": None}


@pytest.mark.parametrize(
    "text", ['"open <sip:1@d>', "<sip:1@d", "<sip:1@d>tag=1", '"a" sip:1@d', "", "<>"]
)
def test_broken_addresses_are_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_name_addr(text)


def test_cseq_is_number_and_method() -> None:
    assert parse_cseq("0009  INVITE ") == CSeq(9, "INVITE")
    assert parse_cseq(f"{0:030}9 INVITE") == CSeq(9, "INVITE")
    assert str(CSeq(9, "INVITE")) == "9 INVITE"


@pytest.mark.parametrize(
    "text", ["", "1", "INVITE", "x INVITE", "4294967296 INVITE", "-1 INVITE", "1 A B", "٣ INVITE"]
)
def test_broken_cseq_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_cseq(text)


@pytest.mark.parametrize(
    "text",
    [
        'Digest realm="a, b", nonce="n", qop="auth,auth-int", algorithm=MD5',
        "digest realm='a, b',nonce='n',qop='auth,auth-int',algorithm='MD5'",
        'Digest realm="a, b" nonce="n" qop="auth,auth-int" algorithm="MD5"',
        'Digest  realm = "a, b" , nonce = n , QOP="auth , auth-int",,',
    ],
)
def test_challenges_in_every_quoting_are_the_same(text: str) -> None:
    challenge = parse_challenge(text)
    assert challenge.is_digest
    assert (challenge.realm, challenge.nonce, challenge.algorithm) == ("a, b", "n", "MD5")
    assert challenge.qop == ["auth", "auth-int"]
    assert not challenge.is_stale


def test_stale_is_read_in_any_case() -> None:
    assert parse_challenge('Digest nonce="n", stale=TRUE').is_stale


def test_escaped_quotes_in_a_realm() -> None:
    assert parse_challenge(r'Digest realm="a\"b\\c"').realm == 'a"b\\c'


def test_a_repeated_parameter_of_credentials_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        parse_credentials('Digest username="a", username="b"')


def test_credentials_keep_secrets_out_of_the_representation() -> None:
    credentials = parse_credentials('Digest username="a", response="0123"')
    assert credentials.username == "a"
    assert credentials.is_digest
    assert "0123" not in repr(credentials)


@pytest.mark.parametrize("text", ["", "  ", '"Digest" a=b', "a=b,c"])
def test_credentials_without_scheme_are_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_credentials(text)


def test_long_garbage_in_credentials_is_read_in_linear_time() -> None:
    assert parse_credentials("Digest " + "a" * 200_000).parameters == {}


def test_values_are_cut_only_at_outer_commas() -> None:
    text = '"A, B" <sip:a,b@h>;x="1,2", <sip:c@h>,,sip:d@h'
    assert split_values(text) == ['"A, B" <sip:a,b@h>;x="1,2"', "<sip:c@h>", "sip:d@h"]
    assert split_values(" one ") == ["one"]


def test_first_of_a_repeated_parameter_counts() -> None:
    assert parse_parameters(";tag=1;TAG=2") == {"tag": "1"}


def test_unclosed_quotes_end_with_the_text() -> None:
    assert parse_parameters(';a="b;c') == {"a": "b;c"}
    assert unquote('"') == ""


@pytest.mark.parametrize(("text", "expected"), [("a-b.c!%*_+`'~1", True), ("a b", False), ("", False), ("é", False), ("a:b", False)])  # fmt: skip  # noqa: E501
def test_tokens(text: str, expected: bool) -> None:
    assert is_token(text) is expected


@pytest.mark.parametrize(
    ("text", "package", "number"),
    [
        ("Catalog;id=1894", "Catalog", "1894"),
        ("presence", "presence", ""),
        ("id=1984", "", "1984"),
        (" ;id=7", "", "7"),
        ("Alarm ; ID = 9 ;x", "Alarm", "9"),
    ],
)
def test_events_are_read_with_and_without_a_package(text: str, package: str, number: str) -> None:
    event = parse_event(text)
    assert (event.package, event.id) == (package, number)
    assert parse_event(str(event)) == event


@given(
    st.lists(
        st.sampled_from(
            ["Digest", "username", "NC", "a-b", "=", ",", ", ", ",  ", '"', "'", " ", "\t", "auth",
             "SHA-256", "x y", "sip:a@b;c=d", "\u00e9", '"x"', "q=", 'n="v",', "k=v,", "k=v"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_short_way_through_credentials_says_what_the_long_way_says(parts: list[str]) -> None:
    text = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headers, "read_parameters", lambda text: None)
        slow = credentials_or_fault(text)
    assert credentials_or_fault(text) == slow


def credentials_or_fault(text: str) -> dict[str, str] | str:
    try:
        return parse_credentials(f"Digest {text}").parameters
    except MalformedMessage as exc:
        return str(exc)


@pytest.mark.parametrize("blank", ["\t", "  ", " \t "])
def test_any_blank_stands_behind_the_scheme(blank: str) -> None:
    assert parse_challenge(f'Digest{blank}realm="r"').realm == "r"
    assert parse_credentials(f'Digest{blank}username="u"').username == "u"


def test_parameters_are_written_into_a_value_that_stays_as_it_was() -> None:
    text = 'SIP/2.0/UDP  H ; Branch=x;RPORT;y="a;rport=1"'
    assert with_parameters(text, {"rport": "5", "received": "::1"}) == (
        'SIP/2.0/UDP  H ; Branch=x;y="a;rport=1";rport=5;received=::1'
    )


def test_empty_parameters_are_not_written_again() -> None:
    assert with_parameters("SIP/2.0/UDP h;;branch=x; ;", {"rport": "5"}) == (
        "SIP/2.0/UDP h;branch=x;rport=5"
    )
