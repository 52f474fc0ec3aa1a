"""Reads the head of a request as nearly all devices write it, at a fraction of the usual cost.

Whatever deviates is left to ``parser``, which alone decides what is malformed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from .headers import CSeq, Via, usual_tag
from .message import KNOWN_NAMES, Headers, Request

_START: Final = re.compile(
    r"(MESSAGE|REGISTER|NOTIFY|SUBSCRIBE|INVITE|ACK|BYE|INFO|OPTIONS|CANCEL)"
    r" (sips?:[A-Za-z0-9_.\-+]+@[A-Za-z0-9.\-]+(?::\d{1,4})?) SIP/2\.0\Z",
    re.ASCII,
)
_TOKEN: Final = r"[A-Za-z0-9\-.!%*_+`'~]+"
_VIA: Final = re.compile(
    r"SIP/2\.0/(UDP|TCP|TLS) ([A-Za-z0-9.\-]+)(?::(\d{1,5}))?"
    rf"(;rport)?;branch=({_TOKEN})(;rport)?\Z",
    re.ASCII,
)
_CSEQ: Final = re.compile(r"(\d{1,9}) ([A-Z]+)\Z", re.ASCII)
_LENGTH: Final = re.compile(r"\d{1,9}\Z", re.ASCII)


def read_usual_head(text: str, *, fields: int) -> Request | None:
    """Read a head whose lines end in line feeds; None leaves it to the long way.

    Every field that a request needs is there, once and well formed, in what is returned, and lies
    parsed in ``headers.typed``: Via, CSeq, Call-ID, the tags, and Content-Length as a number.

    Args:
        text: The head without its last line end.
        fields: How many fields it may have.
    """
    lines = text.split("\n")
    started = _START.match(lines[0])
    if started is None or "\r" in text or len(lines) - 1 > fields:
        return None
    del lines[0]
    items: list[tuple[str, str]] = []
    given: dict[str, str] = {}
    for line in lines:
        colon = line.find(":")
        name = line[: max(colon, 0)]
        key = KNOWN_NAMES.get(name)
        if key is None or key in given:  # of another name, repeated, folded, or no field at all
            return None
        value = line[colon + 1 :].strip(" \t")
        given[key] = value
        items.append((name, value))
    method, uri = started.groups()
    typed = _read_needed(method, given)
    if typed is None:
        return None
    return Request(method, uri, Headers.of_known(items, list(given), typed))


def _read_needed(method: str, given: dict[str, str]) -> dict[str, Any] | None:
    via = _VIA.match(given.get("via", ""))
    cseq = _CSEQ.match(given.get("cseq", ""))
    call_id = given.get("call-id")
    from_tag, to_tag = usual_tag(given.get("from", "")), usual_tag(given.get("to", ""))
    if via is None or cseq is None or not call_id or from_tag is None or to_tag is None:
        return None
    transport, host, port, rport, branch, late_rport = via.groups()
    length = given.get("content-length")
    if (
        cseq[2] != method
        or (rport and late_rport)
        or (port is not None and int(port) > 65535)
        or (length is not None and _LENGTH.match(length) is None)
    ):
        return None
    parameters: dict[str, str | None] = {"rport": None} if rport else {}
    parameters["branch"] = branch
    if late_rport:
        parameters["rport"] = None
    return {
        "Via": [Via(transport, host, None if port is None else int(port), parameters)],
        "CSeq": CSeq(int(cseq[1]), method),
        "Call-ID": call_id,
        "From tag": from_tag,
        "To tag": to_tag,
        "Content-Length": None if length is None else int(length),
    }
