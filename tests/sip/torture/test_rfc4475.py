"""RFC 4475: what the parser has to say to each of the 49 torture messages.

``rfc4475.txt`` holds the messages, this module the verdicts. What the RFC leaves to the element
that uses the message (an unknown scheme, a missing extension) is accepted and stays recognisable.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sip.errors import MalformedMessage
from sip.message import Request, Response, make_response
from sip.parser import StreamParser, parse_datagram


def _wire(text: str) -> bytes:
    """Make the bytes of a message from the notation of RFC 4475 section 2."""
    text = re.sub(
        r"<allOneLine>\n(.*?)\n</allOneLine>",
        lambda found: found[1].replace("\n", ""),
        text,
        flags=re.DOTALL,
    )
    text = re.sub(
        r"<repeat count=(\d+)>(.*?)</repeat>", lambda found: found[2] * int(found[1]), text
    )
    return re.sub(
        rb"<hex>(.*?)</hex>",
        lambda found: bytes.fromhex(found[1].decode()),
        text.replace("\n", "\r\n").encode(),
        flags=re.DOTALL,
    )


def _read() -> dict[str, bytes]:
    text = (Path(__file__).parent / "rfc4475.txt").read_text(encoding="utf-8")
    parts = re.split(r"^=== \S+ (\S+)\n", text, flags=re.MULTILINE)[1:]
    return {name: _wire(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


MESSAGES = _read()

# 3.1.1, well formed; and what 3.1.2 lets a liberal element take, as it is plain what was meant.
ACCEPTED = [
    "wsinv",
    "intmeth",
    "esc01",
    "escnull",
    "esc02",
    "lwsdisp",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "noreason",
    "lwsstart",
    "trws",
    "baddate",
    "badaspec",
    "baddn",
    "badbranch",
    "inv2543",
]

# 3.1.2 and 3.3: the parser takes them, the element that uses them decides. Its status in the RFC.
LEFT_TO_THE_APPLICATION = {
    "escruri": 400,  # header fields in a Request-URI
    "regbadct": 400,  # a Contact with a question mark and without brackets
    "unkscm": 416,
    "novelsc": 416,
    "unksm2": 400,
    "bext01": 420,
    "invut": 415,
    "regaut01": 401,
    "bcast": None,  # a response for somebody else: dropped by whoever looks at its Via
    "zeromf": 483,  # by a proxy only
    "cparam01": 200,
    "cparam02": 200,
    "regescrt": 200,
    "sdp01": 406,
}

# 3.1.2 and 3.3: broken. A response is dropped, which None stands for.
REFUSED = {
    "badinv01": 400,
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": None,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "badvers": 505,
    "mismatch01": 400,
    "mismatch02": 400,  # or 501; 400 says what is wrong
    "bigcode": None,
    "insuf": 400,
    "multi01": 400,
    "mcl01": 400,
}

TAKEN = [*ACCEPTED, *LEFT_TO_THE_APPLICATION]


def request(name: str) -> Request:
    parsed = parse_datagram(MESSAGES[name])
    assert isinstance(parsed, Request)
    return parsed


def response(name: str) -> Response:
    parsed = parse_datagram(MESSAGES[name])
    assert isinstance(parsed, Response)
    return parsed


def test_each_of_the_49_messages_has_a_verdict() -> None:
    assert len(MESSAGES) == 49
    assert sorted([*TAKEN, *REFUSED]) == sorted(MESSAGES)


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_written_and_read_back(name: str) -> None:
    parsed = parse_datagram(MESSAGES[name])
    assert parsed.call_id
    assert parse_datagram(parsed.to_bytes()) == parsed


@pytest.mark.parametrize("name", [name for name in TAKEN if name != "inv2543"])
def test_what_is_taken_from_a_datagram_is_taken_from_a_stream(name: str) -> None:
    taken = StreamParser().push(MESSAGES[name])
    assert taken[0] == parse_datagram(MESSAGES[name])


@pytest.mark.parametrize(("name", "status"), REFUSED.items())
def test_what_is_broken_is_refused_and_requests_are_answered(name: str, status: int | None) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_datagram(MESSAGES[name])
    fault = caught.value
    if status is None:
        assert fault.request is None
        return
    assert fault.status == status
    assert fault.request is not None
    answer = make_response(fault.request, fault.status, fault.reason, to_tag="x").to_bytes()
    assert answer.startswith(f"SIP/2.0 {status} ".encode())
    assert b"\r\nVia: SIP/" in answer


# 3.1.1, what the RFC says about each


def test_wsinv() -> None:
    parsed = request("wsinv")
    assert parsed.request_uri.parameters == {"unknownparam": None}
    assert parsed.to.tag == "1918181833n"
    assert (parsed.from_.display, parsed.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert parsed.cseq.number == 9
    assert [(via.transport, via.host, via.branch) for via in parsed.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert parsed.headers.get("Subject") == ""
    assert parsed.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert parsed.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert parsed.contact is not None
    assert parsed.contact.display == 'Quoted string ""'
    assert parsed.contact.parameters == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    assert len(parsed.body) == 150


def test_intmeth() -> None:
    parsed = request("intmeth")
    assert parsed.method == parsed.cseq.method == "!interesting-Method0123456789_*+`.%indeed'~"
    uri = parsed.request_uri
    assert uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert uri.host == "example.com"
    assert parsed.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert parsed.to.uri.user == uri.user
    assert parsed.from_.display == "token1~` token2'+_ token3*%!.-"
    assert parsed.from_.parameters == {
        "fromparam''~+*_!.-%": "работающий",
        "tag": "_token~1'+`*%!-.",
    }
    assert parsed.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert parsed.vias[0].branch == "z9hG4bK-.!%66*_+`'~"
    assert parsed.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_esc01_nothing_is_unescaped_twice() -> None:
    parsed = request("esc01")
    assert parsed.request_uri.user == "sips%3Auser%40example.com"
    assert parsed.request_uri.host == "example.net"
    assert parsed.to.uri.is_equivalent(parsed.to.uri.parse("sip:user@example.com"))
    assert parsed.contact is not None
    assert parsed.contact.uri.parameters == {"%6c%72": None, "n%61me": "v%61lue%25%34%31"}
    named = parsed.contact.uri.parse("sip:caller@host5.example.net;lr;name=value%2541")
    assert parsed.contact.uri.is_equivalent(named)
    twice = parsed.contact.uri.parse("sip:caller@host5.example.net;lr;name=valueA")
    assert not parsed.contact.uri.is_equivalent(twice)


def test_escnull_registers_two_contacts() -> None:
    parsed = request("escnull")
    first, second = parsed.headers.get_all("Contact")
    assert (first, second) == ("<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>")
    assert parsed.to.uri.user == "null-%00-null"
    assert b"\0" not in parsed.to_bytes()


def test_esc02_is_not_a_register() -> None:
    parsed = request("esc02")
    assert parsed.method == "RE%47IST%45R"
    assert parsed.to.display == parsed.from_.display == "%Z%45"
    assert len(parsed.headers.get_all("Contact")) == 2


def test_lwsdisp() -> None:
    assert request("lwsdisp").from_.display == "caller"


def test_longreq() -> None:
    parsed = request("longreq")
    assert len(parsed.vias) == 34
    assert parsed.vias[-1].branch == "very" + "long" * 50 + "branchvalue"
    assert parsed.to.uri.port == 6000
    assert parsed.to.display.count("extreme") == 10
    assert parsed.from_.tag == "12" + "982" * 50 + "424"
    assert len(parsed.body) == 150


def test_dblreq_the_rest_of_a_datagram_is_dropped() -> None:
    parsed = request("dblreq")
    assert (parsed.method, parsed.body) == ("REGISTER", b"")
    # On a stream the second message is one of its own.
    second = StreamParser().push(MESSAGES["dblreq"])[-1]
    assert isinstance(second, Request)
    assert (second.method, len(second.body)) == ("INVITE", 150)


def test_semiuri() -> None:
    uri = request("semiuri").request_uri
    assert (uri.user, uri.host, uri.parameters) == ("user;par=u%40example.net", "example.com", {})


def test_transports() -> None:
    transports = [via.transport for via in request("transports").vias]
    assert transports == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_mpart01_keeps_its_binary_body() -> None:
    parsed = request("mpart01")
    assert len(parsed.body) == 553
    assert parsed.body.startswith(b"--7a9cbec02ceef655\r\n")
    assert parsed.body.endswith(b"\x99\xd0\x05\r\n--7a9cbec02ceef655--\r\n")


def test_unreason_and_noreason() -> None:
    parsed = response("unreason")
    assert parsed.reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    parsed = response("noreason")
    assert (parsed.status, parsed.reason) == (100, "")
    assert parsed.to_bytes().startswith(b"SIP/2.0 100 \r\n")


# 3.1.2 to 3.4, what an application has to be able to see


def test_what_a_liberal_element_takes_is_taken_as_it_was_meant() -> None:
    assert request("lwsstart").uri == "sip:user@example.com"
    assert request("trws").uri == "sip:remote-target@example.com"
    assert request("badaspec").to.uri.user == "t.watson"
    assert request("baddn").from_.display == "Bell, Alexander"
    assert '"Bell, Alexander"' in str(request("baddn").from_)  # not passed on as it came


def test_header_fields_in_a_uri_stay_there() -> None:
    assert request("escruri").request_uri.headers == "Route=%3Csip:example.com%3E"
    assert request("escruri").headers.get("Route") is None
    contact = request("regescrt").contact
    assert contact is not None
    assert contact.uri.headers == "Route=%3Csip:sip.example.com%3E"
    contact = request("regbadct").contact
    assert contact is not None
    assert contact.uri.headers == "Route=%3Csip:sip.example.com%3E"


def test_a_branch_that_is_only_the_cookie_is_no_branch_of_rfc_3261() -> None:
    assert request("badbranch").vias[0].branch == "z9hG4bK"


def test_foreign_schemes_are_kept() -> None:
    assert request("unkscm").request_uri.scheme == "nobodyknowsthisscheme"
    assert request("novelsc").request_uri.scheme == "soap.beep"
    parsed = request("unksm2")
    assert parsed.contact is not None
    schemes = (parsed.to.uri.scheme, parsed.from_.uri.scheme, parsed.contact.uri.scheme)
    assert schemes == ("isbn", "http", "name")


def test_the_parameters_of_a_contact_without_brackets_belong_to_the_field() -> None:
    first, second = request("cparam01").contact, request("cparam02").contact
    assert first is not None
    assert second is not None
    assert (first.parameters, first.uri.parameters) == ({"unknownparam": None}, {})
    assert (second.parameters, second.uri.parameters) == ({}, {"unknownparam": None})


def test_inv2543_has_neither_length_nor_tag_nor_branch() -> None:
    parsed = request("inv2543")
    assert parsed.from_.tag is None
    assert parsed.vias[0].branch == ""
    assert parsed.body.endswith(b"m=audio 49217 RTP/AVP 0\r\n")
    assert parsed.to.parameters == {"user": "phone"}
