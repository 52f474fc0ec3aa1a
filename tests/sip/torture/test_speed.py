"""No input of 64 KiB costs the parser more than 20 ms, and stack and trace no more either.

The worst texts that are known: each grammar's delimiters, repeated to every limit. CPU time is
measured, of the best of a few runs, so that a busy machine does not matter.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable

import pytest

from sip.auth import DigestServer, answer
from sip.errors import MalformedMessage, UnsupportedChallenge
from sip.headers import quote
from sip.message import Headers, Request
from sip.parser import StreamParser, parse_datagram
from sip.trace import blank_credentials

# Tracing, as for coverage, makes Python several times as dear; without it the limit holds.
LIMIT = 0.020 if sys.gettrace() is None else 0.080
SIZE = 65_536
LINE = 16_000

_HEAD = (
    "REGISTER sip:1@d SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:1@d>;tag=1\r\n"
    "To: <sip:1@d>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n"
)
_PIECES = [
    "a", " ", ",", ";", '"', '\\"', "<", ">", "=", "a=b,", "a=b;", '"a",', "<a>,", "\\", "@", ":",
    "[", "'", "a ", "a, ", '="', "%41", "x@", "x y=z ,", "='", 'a="', "Digest ", "response=",
    "sip:a:", "<aPassword>b", "SIP/2.0/UDP h,",
]  # fmt: skip


def cost(work: Callable[[], object]) -> float:
    """Measure the CPU seconds of the best of five runs; the first good one is enough."""
    best = LIMIT
    for _ in range(5):
        start = time.process_time()
        with contextlib.suppress(MalformedMessage, UnsupportedChallenge):
            work()
        best = min(best, time.process_time() - start)
        if best < LIMIT:
            break
    return best


def check(data: bytes) -> None:
    assert len(data) <= SIZE

    def use() -> None:
        message = parse_datagram(data)
        _ = message.contact, message.expires, message.content_type

    assert cost(use) < LIMIT
    assert cost(lambda: StreamParser().push(data)) < LIMIT
    assert cost(lambda: blank_credentials(data)) < LIMIT


def with_field(name: str, value: str) -> bytes:
    head = re.sub(rf"{name}: .*\r\n", "", _HEAD)
    return f"{head}{name}: {value}\r\nl: 0\r\n\r\n".encode()


@pytest.mark.parametrize("piece", _PIECES)
def test_repeated_delimiters_in_each_field(piece: str) -> None:
    long = piece * (LINE // len(piece))
    for name, start in [
        ("Via", "SIP/2.0/UDP h;"),
        ("From", "<sip:1@d>;"),
        ("To", '"'),
        ("CSeq", "1 "),
        ("Contact", "<sip:1@d>;"),
        ("X", ""),
    ]:
        check(with_field(name, long))
        check(with_field(name, start + long))
    word = re.sub(r"\s", "", long)
    check(_HEAD.replace("1@d SIP", f"{word}@d SIP").encode() + b"\r\n")
    check((piece * (30_000 // len(piece))).encode())
    check(("SIP/2.0 " + piece * (30_000 // len(piece))).encode())
    check(_HEAD.encode() + b"l: 0\r\n\r\n" + piece.encode() * (65_000 // len(piece)))


@pytest.mark.parametrize("piece", ['"', "\\", '\\"'])
def test_a_text_of_quotes_is_quoted_in_time(piece: str) -> None:
    text = piece * (SIZE // len(piece))
    assert cost(lambda: quote(text)) < LIMIT


@pytest.mark.parametrize("piece", _PIECES)
def test_repeated_delimiters_in_credentials(piece: str) -> None:
    for start in ("", "Digest ", 'Digest a="'):
        text = start + piece * (LINE // len(piece))
        request = Request("REGISTER", "sip:h", Headers([("Authorization", text)]))
        server = DigestServer("r", b"0123456789abcdef")
        assert cost(lambda given=request, by=server: by.verify(given, "u", "p", 1.0)) < LIMIT  # type: ignore[misc]  # bound at once
        assert cost(lambda given=text: _answer(given)) < LIMIT  # type: ignore[misc]  # bound at once


def _answer(text: str) -> str:
    return answer([text], username="u", password="p", method="M", uri="u", cnonce="c")


@pytest.mark.parametrize(
    "data",
    [
        b"\n" * SIZE,
        b"\r\n" * (SIZE // 2),
        b"\r" * SIZE,
        b"\0" * SIZE,
        _HEAD.encode() + b"X: a" + b"\r\n " * 10_000 + b"\r\n\r\n",
        _HEAD.encode() + b"X: a" + b" \n " * 10_000 + b"\r\n\r\n",
        _HEAD.encode() + b"X: a" + b"\t" * 30_000 + b"\r\n\r\n",
        _HEAD.encode() + b"a:b\r\n" * 249 + b"\r\n",
        _HEAD.encode() + b"v: SIP/2.0/UDP h;a=b\r\n" * 240 + b"\r\n",
        _HEAD.encode() + (b"v: " + b"SIP/2.0/UDP h;a=b," * 880 + b"x\r\n") * 2 + b"\r\n",
        _HEAD.encode() + b"Call-ID: 1\r\n" * 249 + b"\r\n",
        _HEAD.encode() + b"".join(b"a%d: b\r\nA%d: c\r\n" % (n, n) for n in range(120)) + b"\r\n",
        _HEAD.encode() + b"Via: SIP/2.0/UDP h\r\n" * 2900,
        b"a" * 30_000 + b" " + b"b" * 30_000,
    ],
    ids=range(14),
)
def test_repeated_lines(data: bytes) -> None:
    check(data)


def test_a_stream_that_comes_byte_by_byte_is_not_searched_again_and_again() -> None:
    data = _HEAD.encode() + b"X: " + b"a" * 16_000 + b"\r\nl: 45000\r\n\r\n" + b"x" * 45_000
    assert len(data) <= SIZE

    def drip(size: int) -> float:
        parser = StreamParser()
        start = time.process_time()
        for place in range(0, size):
            parser.push(data[place : place + 1])
        return time.process_time() - start

    # Linear: eight times the bytes take about eight times as long, not sixty-four.
    assert min(drip(len(data)) for _ in range(3)) < 32 * min(drip(len(data) // 8) for _ in range(3))
