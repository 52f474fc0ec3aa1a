"""What devices of the field send is read: ``tests/sip/data/devices.txt`` says where it was seen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from sip.errors import MalformedMessage
from sip.headers import parse_challenge, parse_event
from sip.message import Request, Response, make_response
from sip.parser import StreamParser, parse_datagram


@dataclass(frozen=True)
class Sample:
    wire: bytes
    refused: str


def _sample(text: str) -> Sample:
    notes, wire = {}, text
    while found := re.match(r"(seen|form|refused): (.*)\n", wire):
        notes[found[1]] = found[2]
        wire = wire[found.end() :]
    assert notes["seen"], text[:80]
    assert notes["form"], text[:80]
    if not notes["form"].startswith("LF"):
        wire = wire.replace("\n", "\r\n")
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda byte: bytes.fromhex(byte[1].decode()), wire.encode())
    gap = b"\n\n" if b"\r" not in raw else b"\r\n\r\n"
    body = raw.partition(gap)[2]
    raw = raw.replace(b"{}", str(len(body)).encode(), 1)
    return Sample(raw, notes.get("refused", ""))


def _read() -> dict[str, Sample]:
    text = (Path(__file__).parents[1] / "data" / "devices.txt").read_text(encoding="utf-8")
    parts = re.split(r"^=== (\S+)\n", text, flags=re.MULTILINE)[1:]
    return {name: _sample(part) for name, part in zip(parts[::2], parts[1::2], strict=True)}


SAMPLES = _read()
READ = [name for name, sample in SAMPLES.items() if not sample.refused]


def parsed(name: str) -> Request | Response:
    return parse_datagram(SAMPLES[name].wire)


def test_there_are_forty_and_more() -> None:
    assert len(READ) >= 40


@pytest.mark.parametrize("name", READ)
def test_each_is_read_used_and_written_again(name: str) -> None:
    message = parsed(name)
    assert message.vias[0].host
    assert message.cseq.number
    _ = message.expires, message.contact, message.user_agent, message.content_type
    assert parse_datagram(message.to_bytes()) == message
    if isinstance(message, Request):
        assert make_response(message, 200, to_tag="x").to_bytes()


# Without a length or without a blank line a stream has to wait.
_WITHOUT_END = {"gosip-401-dahua", "hikvision-dvr-no-blank-line"}


@pytest.mark.parametrize("name", [name for name in READ if name not in _WITHOUT_END])
def test_each_with_an_end_is_read_from_a_stream(name: str) -> None:
    taken = StreamParser().push(SAMPLES[name].wire)
    assert taken[-1] == parsed(name)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in READ])
def test_what_is_broken_is_refused_for_the_reason_that_is_noted(name: str) -> None:
    status, reason = SAMPLES[name].refused.split(" ", 1)
    with pytest.raises(MalformedMessage) as caught:
        parsed(name)
    assert caught.value.status == int(status)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "users"),
    [
        ("hikvision-platform-18-digits", ("130909115229300920", "130909113319427420")),
        ("hikvision-ncg-16-digits-lf", ("0000042001000001", "34020000001320001234")),
        ("dahua-register", ("34020000001320000002", "34020000001320000002")),
        ("tel-uri-from-a-pbx", ("", "")),
    ],
)
def test_users_of_any_length(name: str, users: tuple[str, str]) -> None:
    message = parsed(name)
    assert (message.from_.uri.user, message.to.uri.user) == users


def test_what_is_odd_comes_out_as_it_was_meant() -> None:
    assert parsed("egw-register-no-cookie").vias[0].branch == "596eab56eaa1b5fa7"
    assert parsed("srs-200-invite-branch").vias[0].branch == "SrsGbB56116414"
    assert parsed("notify-event-without-package").expires == 300
    event = parsed("notify-event-without-package").headers.get("Event")
    assert event is not None
    assert (parse_event(event).package, parse_event(event).id) == ("", "1984")
    challenge = parsed("livegbs-401-single-quotes").headers.get("WWW-Authenticate")
    assert challenge is not None
    assert parse_challenge(challenge).realm == "3402000000"
    assert parsed("hikvision-register-huge-expires").expires == 2**32 - 1
    assert parsed("hikvision-ncg-invite").body.startswith(b"\r\nv=0")
    assert parsed("ipv6-device").vias[0].sent_by == "[2001:db8::5]:5060"
    assert parsed("utf-8-in-the-head").from_.display == "大门"
    odd = parsed("undeclared-bytes-in-the-head")
    assert odd.from_.display.encode("utf-8", "surrogateescape") == b"\xb4\xf3\xc3\xc5"
    assert odd.to.display == odd.from_.display
    assert b"User-Agent: \xb4\xf3\xbb\xaa IPC\r\n" in odd.to_bytes()
    assert str(parsed("tel-uri-from-a-pbx").from_.uri) == "tel:+861012345678"
    assert parsed("unregister-star").contact is None
