"""What nearly all devices write, read at a fraction of the usual cost.

Whatever deviates is left to ``parser``, which alone decides what is malformed. ``_native.c`` has
the same functions for the compiled build.
"""

from __future__ import annotations

import re
from typing import Final

# The usual spellings, so that most names need neither lower() nor a grammar check.
_USUAL_NAMES: Final = """
    Accept Allow Authorization Call-ID Contact Content-Length Content-Type CSeq Date Event
    Expires From Max-Forwards Min-Expires Monitor-User-Identity Note Reason Record-Route
    Require Retry-After Route Server Subject Subscription-State Supported To User-Agent Via
    WWW-Authenticate X-GB-Ver X-PreferredPath X-RoutePath
"""
KNOWN_NAMES: Final = {name: name.lower() for name in _USUAL_NAMES.split()}

Head = tuple[str, str, dict[str, str], str, str, int, str, str, str, str, int]
"""Method, Request-URI, fields by their ``KNOWN_NAMES`` in order, branch, host and port of the Via
in lower case, number of the CSeq, Call-ID, user and tag of From, tag of To, Content-Length (-1
without)."""

_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]+"
# Ports that need no look at their size.
_ADDRESS_OF: Final = r"@[A-Za-z0-9.\-]+(?::(?:[1-5]\d{4}|\d{1,4}))?"
_START: Final = re.compile(
    r"(MESSAGE|REGISTER|NOTIFY|SUBSCRIBE|INVITE|ACK|BYE|INFO|OPTIONS|CANCEL)"
    rf" (sips?:[A-Za-z0-9_.\-+]+{_ADDRESS_OF}) SIP/2\.0\Z",
    re.ASCII,
)
_VIA: Final = re.compile(
    r"SIP/2\.0/(?:UDP|TCP|TLS) ([A-Za-z0-9.\-]+)(?::([1-9]\d{0,4}))?"
    rf"(?:;branch=({_TOKEN})(?:;rport)?|;rport;branch=({_TOKEN}))\Z",
    re.ASCII,
)
_ADDRESS: Final = re.compile(
    rf"<sips?:([A-Za-z0-9_.\-+]+){_ADDRESS_OF}>(?:;tag=({_TOKEN}))?\Z", re.ASCII
)
_NAMES: Final = KNOWN_NAMES.keys()


def read_head(data: bytes, end: int, fields: int, /) -> Head | None:
    """Read an ASCII head whose lines end in CRLF; None leaves it to the long way.

    Every field that a request needs is there, once and well formed, in what is returned.

    Args:
        data: The head and what follows.
        end: Where the head ends, without its last line end.
        fields: How many fields it may have.
    """
    head = data[:end]
    if not head.isascii():
        return None
    text = head.decode("ascii")
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
    return _read_needed(method, uri, given)


def _read_needed(method: str, uri: str, given: dict[str, str]) -> Head | None:
    via = _VIA.match(given.get("Via") or "")
    number, _, of_method = (given.get("CSeq") or "").partition(" ")
    from_, to = given.get("From") or "", given.get("To") or ""
    sender, receiver = read_address(from_), read_address(to)
    call_id = given.get("Call-ID")
    if via is None or sender is None or receiver is None or not call_id or of_method != method:
        return None
    host, port, early_branch, late_branch = via.groups()
    port = port or "5060"
    length = given.get("Content-Length")
    if (
        not _is_number(number)
        or not _is_number(port)
        or int(port) > 65535
        or not (length is None or _is_number(length))
    ):
        return None
    branch, sent_by = early_branch or late_branch, f"{host}:{port}".lower()
    size = -1 if length is None else int(length)
    return method, uri, given, branch, sent_by, int(number), call_id, *sender, receiver[1], size


def read_address(text: str, /) -> tuple[str, str] | None:
    """Return user and tag of ``<URI>;tag=...``, the tag empty without one; None when it is more."""
    usual = _ADDRESS.match(text)
    if usual is None:
        return None
    user, tag = usual.groups()
    return user, tag or ""


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii() and len(text) < 10


_AUTH_NAMES: Final = frozenset(
    [
        "username",
        "realm",
        "nonce",
        "uri",
        "response",
        "algorithm",
        "qop",
        "nc",
        "cnonce",
        "opaque",
        "stale",
        "domain",
    ]
)


def read_parameters(text: str, /) -> dict[str, str] | None:
    """Read ``name="value",name=token`` without escapes; None leaves the text to the long way."""
    if "\\" in text or not text.isascii():
        return None
    parameters: dict[str, str] = {}
    for part in text.split(","):
        equals = part.find("=")
        name = part[: max(equals, 0)].strip(" ")
        if name not in _AUTH_NAMES or name in parameters:
            return None
        value = part[equals + 1 :]
        if value.startswith('"'):
            if len(value) < 2 or not value.endswith('"'):  # a comma stood within the quotes
                return None
            value = value[1:-1]
            if '"' in value:
                return None
        elif not (value.isalnum() or value.replace("-", "").isalnum()):
            return None
        parameters[name] = value
    return parameters
