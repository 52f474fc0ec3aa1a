"""RFC 5118: what the parser has to say to each of the IPv6 torture messages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sip.errors import MalformedMessage
from sip.message import Request, make_response
from sip.parser import StreamParser, parse_datagram


def _read() -> dict[str, bytes]:
    text = (Path(__file__).parent / "rfc5118.txt").read_text(encoding="utf-8")
    parts = re.split(r"^=== \S+ (\S+)\n", text, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: body.replace("\n", "\r\n").encode() for name, body in pairs}


MESSAGES = _read()


def request(name: str) -> Request:
    parsed = parse_datagram(MESSAGES[name])
    assert isinstance(parsed, Request)
    return parsed


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "ipv6-bad"])
def test_each_but_one_is_accepted_and_read_back(name: str) -> None:
    parsed = request(name)
    assert parse_datagram(parsed.to_bytes()) == parsed
    assert StreamParser().push(MESSAGES[name]) == [parsed]
    assert [str(via) for via in parsed.vias] == parsed.headers.get_all("Via")


def test_a_reference_without_brackets_is_answered_400() -> None:  # 4.2
    with pytest.raises(MalformedMessage) as caught:
        parse_datagram(MESSAGES["ipv6-bad"])
    assert caught.value.status == 400
    assert caught.value.request is not None
    assert make_response(caught.value.request, 400, to_tag="x").to_bytes()


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("ipv6-good", "2001:db8::10", None),
        ("port-ambiguous", "2001:db8::10:5070", None),  # 4.3: all of it is the address
        ("port-unambiguous", "2001:db8::10", 5070),
        ("ipv6-bug-abnf-3-colons", "2001:db8:::192.0.2.1", None),
        ("ipv6-correct-abnf-2-colons", "2001:db8::192.0.2.1", None),
    ],
)
def test_host_and_port_of_the_request_uri(name: str, host: str, port: int | None) -> None:
    uri = request(name).request_uri
    assert (uri.host, uri.port) == (host, port)


@pytest.mark.parametrize(
    "name", ["via-received-param-with-delim", "via-received-param-no-delim"]
)  # fmt: skip
def test_received_is_read_with_and_without_brackets(name: str) -> None:  # 4.5
    assert request(name).vias[0].received == "2001:db8::9:255"


def test_both_families_in_one_message() -> None:  # 4.7
    vias = request("mult-ip-in-header").vias
    assert [(via.host, via.port) for via in vias] == [
        ("2001:db8::9:1", 6050),
        ("192.0.2.1", None),
        ("2001:db8::9:255", None),
    ]
    assert vias[2].received == "192.0.2.200"


def test_mapped_addresses() -> None:  # 4.9
    parsed = request("ipv4-mapped-ipv6")
    assert [via.sent_by for via in parsed.vias] == [
        "[::ffff:192.0.2.10]:19823",
        "[::ffff:192.0.2.2]",
    ]
    assert parsed.contact is not None
    assert parsed.contact.uri.host == "::ffff:192.0.2.2"


@pytest.mark.parametrize("name", ["ipv6-in-sdp", "mult-ip-in-sdp", "ipv4-mapped-ipv6"])
def test_bodies_come_whole(name: str) -> None:  # 4.6, 4.8, 4.9
    assert request(name).body.endswith(b"\r\na=rtpmap:107 H263-1998/90000\r\n")
