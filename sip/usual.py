"""Reads the head of a request as nearly all devices write it, at a fraction of the usual cost.

Whatever deviates is left to ``parser``, which alone decides what is malformed.
"""

from __future__ import annotations

import re
from typing import Final

from .fields import KNOWN_NAMES, Headers, Parsed
from .headers import CSeq, usual_address
from .message import Request

_START: Final = re.compile(
    r"(MESSAGE|REGISTER|NOTIFY|SUBSCRIBE|INVITE|ACK|BYE|INFO|OPTIONS|CANCEL)"
    r" (sips?:[A-Za-z0-9_.\-+]+@[A-Za-z0-9.\-]+(?::\d{1,4})?) SIP/2\.0\Z",
    re.ASCII,
)
_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]+"
_VIA: Final = re.compile(
    r"SIP/2\.0/(?:UDP|TCP|TLS) ([A-Za-z0-9.\-]+)(?::([1-9]\d{0,4}))?"
    rf"(?:;branch=({_TOKEN})(?:;rport)?|;rport;branch=({_TOKEN}))\Z",
    re.ASCII,
)
_NAMES: Final = KNOWN_NAMES.keys()


def read_usual_head(text: str, *, fields: int) -> Request | None:
    """Read a head whose lines end in CRLF; None leaves it to the long way.

    Every field that a request needs is there, once and well formed, in what is returned, and lies
    parsed in ``headers.parsed``.

    Args:
        text: The head without its last line end.
        fields: How many fields it may have.
    """
    lines = text.split("\r\n")
    ends = len(lines) - 1
    started = _START.match(lines[0])
    if started is None or ends > fields or "\t" in text:
        return None
    if text.count("\r") != ends or text.count("\n") != ends:  # one that stands alone
        return None
    del lines[0]
    given: dict[str, str] = {}
    for line in lines:
        colon = line.find(": ")
        if colon < 0:
            return None
        given[line[:colon]] = line[colon + 2 :].strip(" ")
    # Of another name, repeated, or folded: a line that begins with a blank has no such name.
    if len(given) != len(lines) or not given.keys() <= _NAMES:
        return None
    method, uri = started.groups()
    headers = Headers.of_single(given)
    if not _read_needed(method, uri, given, headers.parsed):
        return None
    return Request(method, uri, headers)


def _read_needed(method: str, uri: str, given: dict[str, str], parsed: Parsed) -> bool:
    via = _VIA.match(given.get("Via") or "")
    number, _, of_method = (given.get("CSeq") or "").partition(" ")
    from_, to = given.get("From") or "", given.get("To") or ""
    sender, to_tag = usual_address(from_), _tag(to, from_, uri)
    call_id = given.get("Call-ID")
    if via is None or sender is None or to_tag is None or not call_id or of_method != method:
        return False
    host, port, early_branch, late_branch = via.groups()
    port = port or "5060"
    length = given.get("Content-Length")
    if (
        not _is_number(number)
        or not _is_number(port)
        or int(port) > 65535
        or not (length is None or _is_number(length))
    ):
        return False
    parsed.branch = early_branch or late_branch
    parsed.sent_by = f"{host}:{port}".lower()
    parsed.cseq = CSeq(int(number), method)
    parsed.call_id = call_id
    parsed.from_user, parsed.from_tag = sender
    parsed.to_tag = to_tag
    parsed.length = None if length is None else int(length)
    parsed.is_usual = True
    return True


def _tag(to: str, from_: str, uri: str) -> str | None:
    # A REGISTER is to the address that it is from, other requests are to their URI.
    if to == f"<{uri}>" or (to.endswith(">") and from_.startswith(to)):
        return ""
    usual = usual_address(to)
    return None if usual is None else usual[1]


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) < 10
