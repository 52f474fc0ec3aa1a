"""Kinds of messages that other stacks test themselves with, and that RFCs show in their examples.

The texts are our own; each is valid by RFC 3261 or taken for what it means, and each of the broken
ones is refused with the status that RFC 3261 gives.
"""

from __future__ import annotations

import pytest

from sip.dialog import Dialog
from sip.errors import MalformedMessage
from sip.headers import NameAddr, parse_challenge, parse_name_addr, split_values
from sip.message import Request, Response, make_response
from sip.parser import KeepAlive, StreamParser, parse_datagram

NEEDED = {
    "Via": "SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds",
    "From": "Alice <sip:alice@example.com>;tag=1928301774",
    "To": "Bob <sip:bob@example.org>",
    "Call-ID": "a84b4c76e66710@pc33.example.com",
}


def wire(start: str, *fields: str, **given: str) -> bytes:
    """Give a message; ``given`` replaces what is needed, or leaves it out when empty."""
    method = "INVITE" if start.startswith("SIP/") else start.split(" ")[0]
    needed = {**NEEDED, "CSeq": f"1 {method}"}
    needed |= {name.replace("_", "-"): value for name, value in given.items()}
    lines = [start, *(f"{name}: {value}" for name, value in needed.items() if value), *fields]
    return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode()


_INVITE = "INVITE sip:b@h SIP/2.0"
VALID = {
    "options of a phone": wire(
        "OPTIONS sip:carol@example.net SIP/2.0", "Accept: application/sdp", "Accept-Encoding:"
    ),
    "registration of mail": wire(
        "REGISTER sips:example.org SIP/2.0", "Contact: mailto:bob@example.org"
    ),
    "registration of several": wire(
        "REGISTER sip:example.org SIP/2.0",
        'm: "Watson, J." <sip:w@example.org> ;q=0.7; expires=3600,',
        ' "Mr. \\"W\\"" <mailto:w@example.com> ;q=0.1, sip:w2@example.org',
    ),
    "all bindings": wire("REGISTER sip:example.org SIP/2.0", "Contact: *", "Expires: 0"),
    "answers of a proxy": wire(
        "SIP/2.0 407 Proxy Authorization Required",
        'Proxy-Authenticate: Digest realm="r",\r\n qop="auth", nonce="f84f",\r\n\topaque="", '
        "stale=FALSE, algorithm=MD5",
        "Via: SIP/2.0/TLS c:5061\r\n ;branch=z9hG4bK1 ;received=192.0.2.1",
    ),
    "empty list elements": wire(
        "INVITE sip:b@h SIP/2.0",
        "Via: SIP/2.0/TCP 192.0.2.1;branch=d.b;ttl=3;hidden,,SIP/2.0/UDP\r\n 192.0.2.2:5061",
        "Route: ,",
        "Record-Route: sip:192.0.2.3,<sip:192.0.2.4;transport=tcp>,\r\n\t,T <sip:[::12]:5061>;p=1",
    ),
    "another scheme in From": wire("MESSAGE sip:b@h SIP/2.0", From="h<http://www.example.com>"),
    "no tag in From": wire("MESSAGE sip:b@h SIP/2.0", From="sip:alice@example.com"),
    "a transfer": wire(
        "REFER sip:b@h SIP/2.0",
        "Refer-To: <sips:c@d?Replaces=sd%40b.com%3Bto-tag%3D5f%3Bfrom-tag%3D86>",
        "Referred-By: <sips:bob@b>",
        "Target-Dialog: 1;local-tag=2;remote-tag=3",
    ),
    "news of a dialog": wire(
        "NOTIFY sip:b@h SIP/2.0",
        'Event: dialog;call-id="MX..@2001:db8::1~c(0-4)";to-tag=x',
        "Subscription-State: terminated;reason=noresource;retry-after=5",
    ),
    "warnings and comments": wire(
        "SIP/2.0 503 Service Unavailable",
        'Warning: 307 isi.edu "Session parameter \'foo\'", 301 isi.edu "In \\"n\\" address"',
        "Retry-After: 120 (I'm in a meeting);duration=3600",
        'In-Reply-To: {0h!a0i"s}@[k3], 17@h',
        "Server: HomeServer v2 (x)",
    ),
    "a Call-ID of odd signs": wire(
        "INVITE sip:b@h SIP/2.0", Call_ID="w%ZK-!.*_+'@`~)(><:\\/\"][?}{"
    ),
    "numbers with zeros": wire(
        "INVITE sip:b@h:0000005060 SIP/2.0",
        CSeq="000000000000000000001 INVITE",
        Via="SIP/2.0/UDP h:005060;branch=z9hG4bK1",
    ),
    "a comment of the old RFC": wire(
        "INVITE sip:b@h SIP/2.0", Via="SIP/2.0/UDP h;branch=1 (Acme server)"
    ),
    "brackets in a quoted value": wire("INVITE sip:b@h SIP/2.0", From='sip:a@h;x="<y>";tag=1'),
    "a URI with all that is allowed": wire(
        "INVITE sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@h SIP/2.0",
        To="token1~` token2'+_ token3*%!.- <sip:a%20b;p=1:pw@h;lr;x=%21?s=%20&t=>;p*='\"x\"",
    ),
    "an equals sign in the user": wire("INVITE sip:room=12@h;xyz=pqd SIP/2.0"),
    "a URI as the value of a parameter": wire(
        "INVITE sip:annc@192.0.2.1:6666;play=http://192.0.2.2:8080/pin.vxml SIP/2.0"
    ),
    "an address of both versions": wire("INVITE sip:b@[5f1b:df00::20:800:121.12.131.12] SIP/2.0"),
    "a URI in a quoted value": wire(
        "REGISTER sip:h SIP/2.0",
        'Contact: <sip:a@192.0.2.1;pn-tok=fm:APA;app=;ob>;received="sip:192.0.2.9:6;x=y";expires=9',
    ),
    "a display name that looks like an address": wire(
        _INVITE, From='"<sip: a@h>"  <sip:a@h>;tag=1'
    ),
    "an IPv6 address without brackets in received": wire(
        _INVITE, Via="SIP/2.0/TCP h:5090;ttl=200;received=64:ff9b::a3e:de6;branch=z9hG4bK1"
    ),
    "an unknown method": wire("NEWMETHOD.!%*_+`'~ sip:b@h SIP/2.0"),
    "a telephone number": wire(
        "INVITE tel:863-1234;phone-context=+1-914-555 SIP/2.0", To="<tel:(44).1234-*#+Deaf>"
    ),
    "an answer without a phrase": wire("SIP/2.0 200"),
    "a lonely blank behind the status": wire("SIP/2.0 200 "),
    "a phrase of bytes": wire("SIP/2.0 603 \u043d\u0435\u0442"),
}


@pytest.mark.parametrize("name", VALID)
def test_each_is_read_alike_from_datagrams_and_streams(name: str) -> None:
    message = parse_datagram(VALID[name])
    assert [str(via) for via in message.vias]
    assert message.call_id
    assert message.cseq.number == 1
    _ = message.contact, message.expires, message.from_, message.to, message.user_agent
    for bare in (VALID[name], b"\r\n\r\n" + VALID[name], VALID[name].replace(b"\r\n", b"\n")):
        parser = StreamParser()
        taken = [item for byte in bare for item in parser.push(bytes([byte]))]
        assert [item for item in taken if not isinstance(item, KeepAlive)] == [message]
    assert parse_datagram(message.to_bytes()) == message
    if isinstance(message, Request):
        assert make_response(message, 200, to_tag="x").to_bytes()


def values(name: str, field: str) -> list[NameAddr]:
    fields = parse_datagram(VALID[name]).headers.get_all(field)
    return [parse_name_addr(value) for text in fields for value in split_values(text)]


def test_lists_come_apart_at_their_commas_alone() -> None:
    contacts = values("registration of several", "Contact")
    assert [one.display for one in contacts] == ["Watson, J.", 'Mr. "W"', ""]
    assert [one.parameters.get("q") for one in contacts] == ["0.7", "0.1", None]
    assert parse_datagram(VALID["registration of several"]).expires == 3600
    assert [str(one.uri) for one in values("empty list elements", "Record-Route")] == [
        "sip:192.0.2.3", "sip:192.0.2.4;transport=tcp", "sip:[::12]:5061",
    ]  # fmt: skip
    assert values("empty list elements", "Route") == []
    hosts = [via.host for via in parse_datagram(VALID["empty list elements"]).vias]
    assert hosts == ["pc33.example.com", "192.0.2.1", "192.0.2.2"]


def test_what_is_odd_comes_out_as_it_was_meant() -> None:
    challenge = parse_datagram(VALID["answers of a proxy"]).headers.get("Proxy-Authenticate")
    assert challenge is not None
    assert parse_challenge(challenge).parameters["opaque"] == ""
    assert not parse_challenge(challenge).is_stale
    zeros = parse_datagram(VALID["numbers with zeros"])
    assert isinstance(zeros, Request)
    assert (zeros.request_uri.port, zeros.top_via.port) == (5060, 5060)
    assert parse_datagram(VALID["a comment of the old RFC"]).top_via.branch == "1"
    assert parse_datagram(VALID["brackets in a quoted value"]).from_.parameters["x"] == "<y>"
    odd = parse_datagram(VALID["a URI with all that is allowed"])
    assert (odd.to.uri.user, odd.to.uri.password) == ("a%20b;p=1", "pw")
    assert odd.to.uri.headers == "s=%20&t="
    phrase = parse_datagram(VALID["a phrase of bytes"])
    assert isinstance(phrase, Response)
    assert phrase.reason == "\u043d\u0435\u0442"


def test_the_route_of_an_answer_through_two_proxies() -> None:  # RFC 3665 3.2
    invite = parse_datagram(wire("INVITE sip:b@h SIP/2.0"))
    answer = parse_datagram(
        wire(
            "SIP/2.0 200 OK",
            "Record-Route: <sip:ss2.example.org;lr>,\r\n <sip:ss1.example.com;lr>",
            "Contact: <sip:bob@client.example.org;transport=tcp>",
            To="Bob <sip:bob@example.org>;tag=314159",
        )
    )
    assert isinstance(invite, Request)
    assert isinstance(answer, Response)
    ack = Dialog.of_caller(invite, answer).ack(invite)
    assert ack.uri == "sip:bob@client.example.org;transport=tcp"
    routes = ack.headers.get_all("Route")
    assert routes == ["<sip:ss1.example.com;lr>", "<sip:ss2.example.org;lr>"]


BROKEN = {
    "no blank in CSeq": (wire(_INVITE, CSeq="218746INVITE"), 400),
    "a CSeq of seventy bits": (wire(_INVITE, CSeq="21874624876976218746 INVITE"), 400),
    "another method in CSeq": (wire(_INVITE, CSeq="1 BYE"), 400),
    "no Call-ID": (wire(_INVITE, Call_ID=""), 400),
    "no To": (wire(_INVITE, To=""), 400),
    "no From": (wire(_INVITE, From=""), 400),
    "an open quote": (wire(_INVITE, From='"Alice <sip:a@h>;tag=1'), 400),
    "an escaped last quote": (wire(_INVITE, From='"Alice\\" <sip:a@h>;tag=1'), 400),
    "an open bracket": (wire(_INVITE, To="<sip:b@h"), 400),
    "an IPv6 address cut short": (wire(_INVITE, To="<sip:b@[baa>"), 400),
    "an IPv6 address without brackets": (wire("INVITE sip:b@2001:db8::1 SIP/2.0"), 400),
    "a port out of range": (wire("INVITE sip:b@h:65536 SIP/2.0"), 400),
    "a port of words": (wire("INVITE sip:user:password SIP/2.0"), 400),
    "no host": (wire("INVITE sip:user@ SIP/2.0"), 400),
    "nothing but a scheme": (wire("INVITE sip: SIP/2.0"), 400),
    "a URI in brackets": (wire("INVITE <sip:b@h> SIP/2.0"), 400),
    "a name and a URI in brackets": (wire('INVITE "Bob"<sip:b@h> SIP/2.0'), 400),
    "no IPv6 address in its brackets": (wire("INVITE sip:b@[::xyz]:5060 SIP/2.0"), 400),
    "quotes within a URI": (wire('INVITE sip:b@h;thinfo="a=" SIP/2.0'), 400),
    "two addresses in To": (wire(_INVITE, To="<sip:b@h>, <sip:c@h>"), 400),
    "a name between quotes and brackets": (wire(_INVITE, From='"A" B <sip:a@h>;tag=1'), 400),
    "a length of two numbers": (wire(_INVITE, "Content-Length: 0, 0"), 400),
    "a number of other digits": (wire(_INVITE, CSeq="\u0661 INVITE"), 400),
    "no URI": (wire("INVITE SIP/2.0"), 400),
    "blanks in a URI": (wire("INVITE sip:b @h SIP/2.0"), 400),
    "another version": (wire("INVITE sip:b@h SIP/2.1"), 505),
    "two different To": (wire(_INVITE, "t: <sip:c@h>"), 400),
    "two lengths": (wire(_INVITE, "l: 3"), 400),
    "a line without a colon": (wire(_INVITE, "no colon here"), 400),
    "a blank in a name": (wire(_INVITE, "A B: c"), 400),
    "too many fields": (wire(_INVITE, *["A: b"] * 300), 513),
    "too long a field": (wire(_INVITE, "A: " + "b" * 17_000), 513),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_and_can_be_answered(name: str) -> None:
    data, status = BROKEN[name]
    with pytest.raises(MalformedMessage) as caught:
        parse_datagram(data)
    assert caught.value.status == status
    assert caught.value.request is not None
    answer = make_response(caught.value.request, status, to_tag="x").to_bytes()
    assert b"Via: SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds\r\n" in answer
