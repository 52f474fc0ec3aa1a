"""SIP messages: Request and Response."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .errors import LocalProtocolError, MalformedMessage
from .fields import KNOWN_NAMES as KNOWN_NAMES
from .fields import Headers as Headers
from .headers import (
    CSeq,
    NameAddr,
    Via,
    is_token,
    parse_cseq,
    parse_name_addr,
    parse_via,
    split_values,
)
from .uri import SipUri

try:  # the compiled build has them in C
    from . import _native
    from ._native import read_address
except ImportError:
    _native = None  # type: ignore[assignment]  # a plain install has none
    from .usual import read_address

REASONS: Final = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Moved Temporarily",
    305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    412: "Conditional Request Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    485: "Ambiguous",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    493: "Undecipherable",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
"""Reason phrases by status. Source: RFC 3261 21, RFC 3265, RFC 3903, RFC 4028."""

_COPIED: Final = ("From", "To", "Call-ID", "CSeq")
_LONGEST_EXPIRY: Final = 2**32 - 1
_DIGITS: Final = re.compile(r"\s*(\d+)", re.ASCII)


class _Typed:
    """The typed values that requests and responses share.

    Each is parsed at its first use and again only when the headers have changed. All raise
    ``MalformedMessage`` where the text is missing or broken.
    """

    __slots__ = ()

    headers: Headers

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        parsed = self.headers.parsed
        if parsed.call_id is None:
            parsed.call_id = self._required("Call-ID")
        return parsed.call_id

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        parsed = self.headers.parsed
        if parsed.cseq is None:
            parsed.cseq = parse_cseq(self._required("CSeq"))
        return parsed.cseq

    @property
    def from_(self) -> NameAddr:
        """The From address."""
        parsed = self.headers.parsed
        if parsed.from_ is None:
            parsed.from_ = parse_name_addr(self._required("From"))
        return parsed.from_

    @property
    def from_tag(self) -> str:
        """The tag in From, empty when there is none; cheaper than the whole address."""
        parsed = self.headers.parsed
        if parsed.from_tag is None:
            usual = read_address(self._required("From"))
            parsed.from_tag = self.from_.tag or "" if usual is None else usual[1]
        return parsed.from_tag

    @property
    def from_user(self) -> str:
        """The user in From, empty when there is none; cheaper than the whole address."""
        parsed = self.headers.parsed
        if parsed.from_user is None:
            usual = read_address(self._required("From"))
            parsed.from_user = self.from_.uri.user if usual is None else usual[0]
        return parsed.from_user

    @property
    def to(self) -> NameAddr:
        """The To address."""
        parsed = self.headers.parsed
        if parsed.to is None:
            parsed.to = parse_name_addr(self._required("To"))
        return parsed.to

    @property
    def to_tag(self) -> str:
        """The tag in To, empty when there is none; cheaper than the whole address."""
        parsed = self.headers.parsed
        if parsed.to_tag is None:
            usual = read_address(self._required("To"))
            parsed.to_tag = self.to.tag or "" if usual is None else usual[1]
        return parsed.to_tag

    @property
    def vias(self) -> list[Via]:
        """All Via values, topmost first. Empty when there are none."""
        parsed = self.headers.parsed
        if parsed.vias is None:
            parsed.vias = _parse_vias(self.headers.get_all("Via"))
        return list(parsed.vias)

    @property
    def top_via(self) -> Via:
        """The topmost Via."""
        vias = self.headers.parsed.vias or self.vias
        if not vias:
            raise MalformedMessage("Via is missing")
        return vias[0]

    @property
    def branch(self) -> str:
        """The branch of the topmost Via, empty when there is none; cheaper than the whole."""
        parsed = self.headers.parsed
        if parsed.branch is None:
            parsed.branch = self.top_via.branch
        return parsed.branch

    @property
    def sent_by(self) -> str:
        """Host and port of the topmost Via in lower case; cheaper than the whole."""
        parsed = self.headers.parsed
        if parsed.sent_by is None:
            via = self.top_via
            parsed.sent_by = f"{via.host}:{via.port or 5060}".lower()
        return parsed.sent_by

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact; None when there is none, and for ``*``."""
        text = self.headers.get("Contact")
        if text is None or text.strip() in ("", "*"):
            return None
        parsed = self.headers.parsed
        if parsed.contact is None:
            parsed.contact = _parse_first_name_addr(text)
        return parsed.contact

    @property
    def expires(self) -> int | None:
        """Seconds from the Contact's ``expires``, else from Expires; None when neither is there.

        What is no number counts as not there. Values above 32 bits are cut.
        """
        text = self.headers.get("Contact")
        # Without parameters it need not be taken apart.
        contact = self.contact if text is not None and ";" in text else None
        if contact is not None:
            seconds = _seconds(contact.parameters.get("expires"))
            if seconds is not None:
                return seconds
        return _seconds(self.headers.get("Expires"))

    @property
    def content_type(self) -> str:
        """The media type in lower case without parameters; empty when there is none."""
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def user_agent(self) -> str:
        """User-Agent, else Server; empty when there is neither."""
        return self.headers.get("User-Agent") or self.headers.get("Server") or ""

    def _required(self, name: str) -> str:
        text = self.headers.get(name)
        if not text:
            raise MalformedMessage(f"{name} is missing")
        return text


@dataclass(slots=True, init=False)
class Request(_Typed):
    """A SIP request."""

    method: str
    """As written; methods are case-sensitive."""
    uri: str
    """The Request-URI as written."""
    headers: Headers
    body: bytes
    raw: bytes = field(repr=False, compare=False)
    """The bytes that it was read from, to the end of its body; empty when it was made here."""
    _uri: tuple[str, SipUri] | None = field(repr=False, compare=False)

    def __init__(self, method: str, uri: str, headers: Headers, body: bytes = b"") -> None:
        self.method = method
        self.uri = uri
        self.headers = headers
        self.body = body
        self.raw = b""
        self._uri = None

    @property
    def request_uri(self) -> SipUri:
        """The Request-URI, parsed."""
        if self._uri is None or self._uri[0] != self.uri:
            self._uri = (self.uri, SipUri.parse(self.uri))
        return self._uri[1]

    def to_bytes(self) -> bytes:
        """Write the message; Content-Length is always that of the body.

        Raises:
            LocalProtocolError: The method, the URI, a name or a value would break the syntax.
        """
        if not is_token(self.method) or not self.uri or " " in self.uri or "\t" in self.uri:
            raise LocalProtocolError(f"no request line can be made of {self.method} {self.uri!r}")
        return _write(f"{self.method} {self.uri} SIP/2.0", self.headers, self.body)


@dataclass(slots=True, init=False)
class Response(_Typed):
    """A SIP response."""

    status: int
    reason: str
    headers: Headers
    body: bytes
    raw: bytes = field(repr=False, compare=False)
    """The bytes that it was read from, to the end of its body; empty when it was made here."""

    def __init__(self, status: int, reason: str, headers: Headers, body: bytes = b"") -> None:
        self.status = status
        self.reason = reason
        self.headers = headers
        self.body = body
        self.raw = b""

    def to_bytes(self) -> bytes:
        """Write the message; Content-Length is always that of the body.

        Raises:
            LocalProtocolError: The status, a name or a value would break the syntax.
        """
        if not 100 <= self.status <= 699:
            raise LocalProtocolError(f"{self.status} is no status")
        return _write(f"SIP/2.0 {self.status} {self.reason}", self.headers, self.body)


def make_response(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """Build the response to a request, with its Via, From, To, Call-ID and CSeq as written.

    Args:
        request: What is answered.
        status: 100 to 699.
        reason: The usual phrase of the status when None.
        to_tag: Added to To when the request had no tag there.
        headers: Further fields, after the copied ones.
        body: With a Content-Type in ``headers``.

    Source: RFC 3261 8.2.6.2; 12.1.1 for Record-Route.
    """
    given = request.headers
    copied: list[tuple[str, str]] = [("Via", value) for value in given.get_all("Via")]
    if 100 < status < 300 and "Record-Route" in given:
        copied += [("Record-Route", value) for value in given.get_all("Record-Route")]
    for name in _COPIED:
        value = given.get(name)
        if value is None:
            continue
        if name == "To" and to_tag is not None and _lacks_tag(request):
            value = value.rstrip("; \t")  # an empty parameter is none (RFC 3261 25.1)
            value = f"{value};tag={to_tag}"
        copied.append((name, value))
    if status == 100 and (timestamp := request.headers.get("Timestamp")) is not None:
        copied.append(("Timestamp", timestamp))  # RFC 3261 8.2.6.1
    copied += headers
    phrase = REASONS.get(status, "Unknown") if reason is None else reason
    return Response(status, phrase, Headers(copied), body)


def _lacks_tag(request: Request) -> bool:
    try:
        if request.to_tag:
            return False
    except MalformedMessage:
        return False  # it goes back as it came, in the 400 that says so
    text = request.headers.get("To") or ""
    return "tag" not in text.lower() or request.to.tag is None  # an empty one is one


def _write(start_line: str, headers: Headers, body: bytes) -> bytes:
    if _native is not None:
        written = _native.write(start_line, headers.items(), body)
        if written is not None:
            return written
    pieces = [start_line, "\r\n"]
    for name, value in headers.in_wire_order():
        pieces.append(name)
        pieces.append(": ")
        pieces.append(value)
        pieces.append("\r\n")
    given = "".join(pieces[::2])
    # A line break within a value would start a header field of the caller's input.
    if "\n" in given or "\r" in given:
        raise LocalProtocolError("a line break stands within a header value or the start line")
    pieces.append(f"Content-Length: {len(body)}\r\n\r\n")
    try:
        return "".join(pieces).encode("utf-8", "surrogateescape") + body
    except UnicodeEncodeError as exc:
        raise LocalProtocolError("a header value holds text that cannot be written") from exc


def granted(response: Response, contact: str) -> int | None:
    """Return the seconds that a 200 to REGISTER grants to our Contact; None when it does not say.

    A registrar names all bindings of a user; where ours is not among them, another address was
    written in its place, and the first counts.

    Source: RFC 3261 section 10.3.
    """
    try:
        ours = parse_name_addr(contact or "<sip:nobody.invalid>").uri
        for text in response.headers.get_all("Contact"):
            for value in split_values(text):
                binding = parse_name_addr(value)
                if binding.uri.is_equivalent(ours):
                    said = binding.parameters.get("expires") or response.headers.get("Expires")
                    return _seconds(said)
        return response.expires
    except MalformedMessage:
        return None  # what cannot be read grants what was asked for


def _parse_vias(texts: list[str]) -> list[Via]:
    return [parse_via(value) for text in texts for value in split_values(text)]


def _parse_first_name_addr(text: str) -> NameAddr:
    values = split_values(text)
    return parse_name_addr(values[0] if values else "")


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdecimal() and text.isascii() and len(text) <= 10:
        return int(text)
    matched = _DIGITS.match(text)
    if matched is None:
        return None
    return int(matched[1]) if len(matched[1]) <= 10 else _LONGEST_EXPIRY
