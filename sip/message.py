"""SIP messages: Request, Response and their Headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from .errors import LocalProtocolError, MalformedMessage
from .headers import (
    CSeq,
    NameAddr,
    Via,
    is_token,
    parse_cseq,
    parse_name_addr,
    parse_via,
    split_values,
    usual_tag,
)
from .uri import SipUri

_S = TypeVar("_S")
_T = TypeVar("_T")

# RFC 3261 7.3.3 and the registry of header fields.
_COMPACT: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

# The usual spellings, so that most names need neither lower() nor a grammar check.
_USUAL_NAMES: Final = """
    Accept Allow Authorization Call-ID Contact Content-Length Content-Type CSeq Date Event
    Expires From Max-Forwards Min-Expires Monitor-User-Identity Note Reason Record-Route
    Require Retry-After Route Server Subject Subscription-State Supported To User-Agent Via
    WWW-Authenticate X-GB-Ver X-PreferredPath X-RoutePath
"""
KNOWN_NAMES: Final = {name: name.lower() for name in _USUAL_NAMES.split()}

# Fields that hop-by-hop processing needs stand on top (RFC 3261 7.3.1), the body's at the end.
_RANK: Final = {
    "via": 0,
    "route": 1,
    "record-route": 2,
    "max-forwards": 3,
    "from": 4,
    "to": 5,
    "call-id": 6,
    "cseq": 7,
    "contact": 8,
    "content-type": 10,
}
_RANK_OF_OTHERS: Final = 9

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

_TYPED_KEYS: Final = frozenset({"from", "to", "call-id", "cseq", "contact", "content-length"})
_LONGEST_EXPIRY: Final = 2**32 - 1
_DIGITS: Final = re.compile(r"\s*(\d+)", re.ASCII)


class Headers:
    """Header fields in order, with repeats, found without regard to case or compact form.

    Two are equal when each name has the same values in the same order; the order of different
    names means nothing (RFC 3261 7.3.1), and Content-Length counts as part of the body. Text
    holds bytes that are not UTF-8 as surrogate escapes, so that they leave as they came.
    """

    __slots__ = ("_items", "_keys", "typed")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = list(items)
        self._keys = [KNOWN_NAMES.get(name) or header_key(name) for name, _ in self._items]
        self.typed: dict[str, Any] = {}
        """What was parsed of the fields, for the message; empty after each change."""

    @classmethod
    def of_known(
        cls, items: list[tuple[str, str]], keys: list[str], typed: dict[str, Any]
    ) -> Headers:
        """Take fields that the caller has looked through already; what is given becomes its own."""
        made = cls()
        made._items, made._keys, made.typed = items, keys, typed
        return made

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a name."""
        try:
            return self._items[self._keys.index(KNOWN_NAMES.get(name) or header_key(name))][1]
        except ValueError:
            return default

    def get_all(self, name: str) -> list[str]:
        """Return the value of each field of a name, as written: not split at commas."""
        key = KNOWN_NAMES.get(name) or header_key(name)
        count = self._keys.count(key)
        if count < 2:
            return [self._items[self._keys.index(key)][1]] if count else []
        return [item[1] for have, item in zip(self._keys, self._items, strict=True) if have == key]

    def add(self, name: str, value: str) -> None:
        """Append a field after all others."""
        key = KNOWN_NAMES.get(name) or header_key(name)
        self._items.append((name, value))
        self._keys.append(key)
        self._forget(key)

    def set(self, name: str, value: str) -> None:
        """Replace all fields of a name by one at the place of the first, or append it."""
        key = KNOWN_NAMES.get(name) or header_key(name)
        if key not in self._keys:
            self.add(name, value)
            return
        place = self._keys.index(key)
        if self._keys.count(key) > 1:
            self.remove(name)
            self._items.insert(place, (name, value))
            self._keys.insert(place, key)
        self._items[place] = (name, value)
        self._forget(key)

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others."""
        key = KNOWN_NAMES.get(name) or header_key(name)
        self._items.insert(0, (name, value))
        self._keys.insert(0, key)
        self._forget(key)

    def remove(self, name: str) -> None:
        """Drop all fields of a name; it need not be there."""
        key = header_key(name)
        self._items = [
            item for have, item in zip(self._keys, self._items, strict=True) if have != key
        ]
        self._keys = [have for have in self._keys if have != key]
        self._forget(key)

    def _forget(self, key: str) -> None:
        if key == "via":
            self.typed.pop("Via", None)
        elif key in _TYPED_KEYS:
            self.typed.clear()

    def copy(self) -> Headers:
        """Return an independent copy."""
        return Headers(self._items)

    def count(self, name: str) -> int:
        """Return the number of fields of a name."""
        return self._keys.count(KNOWN_NAMES.get(name) or header_key(name))

    def repeated(self) -> frozenset[str]:
        """Return the names that stand there more than once: long form, lower case."""
        once = frozenset(self._keys)
        if len(once) == len(self._keys):
            return frozenset()
        return frozenset(key for key in once if self._keys.count(key) > 1)

    def in_wire_order(self) -> list[tuple[str, str]]:
        """Return the fields as they are written, without Content-Length.

        Routing fields stand first, Content-Type last, the others keep their order.
        """
        ranks = [_RANK.get(key, _RANK_OF_OTHERS) for key in self._keys]
        items = self._items
        if ranks != sorted(ranks):
            items = [items[place] for place in sorted(range(len(ranks)), key=ranks.__getitem__)]
        if "content-length" in self._keys:
            items = [item for item in items if header_key(item[0]) != "content-length"]
        return items

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (KNOWN_NAMES.get(name) or header_key(name)) in self._keys

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._by_key() == other._by_key()

    # Mutable, hence without a hash.
    __hash__ = None  # type: ignore[assignment]  # the documented way to say so

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"

    def _by_key(self) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for key, (_, value) in zip(self._keys, self._items, strict=True):
            if key != "content-length":
                values.setdefault(key, []).append(value)
        return values


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
        known: str | None = self.headers.typed.get("Call-ID")
        return known or self._read("Call-ID", self._required("Call-ID"), str)

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        known: CSeq | None = self.headers.typed.get("CSeq")
        return known or self._read("CSeq", self._required("CSeq"), parse_cseq)

    @property
    def from_(self) -> NameAddr:
        """The From address."""
        known: NameAddr | None = self.headers.typed.get("From")
        return known or self._read("From", self._required("From"), parse_name_addr)

    @property
    def from_tag(self) -> str:
        """The tag in From, empty when there is none; cheaper than the whole address."""
        known: str | None = self.headers.typed.get("From tag")
        return self._tag("From") if known is None else known

    @property
    def to(self) -> NameAddr:
        """The To address."""
        known: NameAddr | None = self.headers.typed.get("To")
        return known or self._read("To", self._required("To"), parse_name_addr)

    @property
    def to_tag(self) -> str:
        """The tag in To, empty when there is none; cheaper than the whole address."""
        known: str | None = self.headers.typed.get("To tag")
        return self._tag("To") if known is None else known

    @property
    def vias(self) -> list[Via]:
        """All Via values, topmost first. Empty when there are none."""
        known: list[Via] | None = self.headers.typed.get("Via")
        return list(known or self._read("Via", self.headers.get_all("Via"), _parse_vias))

    @property
    def top_via(self) -> Via:
        """The topmost Via."""
        known: list[Via] | None = self.headers.typed.get("Via")
        vias = known or self._read("Via", self.headers.get_all("Via"), _parse_vias)
        if not vias:
            raise MalformedMessage("Via is missing")
        return vias[0]

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact; None when there is none, and for ``*``."""
        text = self.headers.get("Contact")
        if text is None or text.strip() in ("", "*"):
            return None
        known: NameAddr | None = self.headers.typed.get("Contact")
        return known or self._read("Contact", text, _parse_first_name_addr)

    @property
    def expires(self) -> int | None:
        """Seconds from the Contact's ``expires``, else from Expires; None when neither is there.

        What is no number counts as not there. Values above 32 bits are cut.
        """
        text = self.headers.get("Contact")
        # The usual form has no parameters, and need not be taken apart.
        contact = self.contact if text is not None and usual_tag(text) is None else None
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

    def _tag(self, name: str) -> str:
        text = self._required(name)
        tag = usual_tag(text)
        if tag is None:
            tag = self._read(name, text, parse_name_addr).tag or ""
        self.headers.typed[f"{name} tag"] = tag
        return tag

    def _read(self, name: str, source: _S, parse: Callable[[_S], _T]) -> _T:
        value = parse(source)
        self.headers.typed[name] = value
        return value


@dataclass(slots=True)
class Request(_Typed):
    """A SIP request."""

    method: str
    """As written; methods are case-sensitive."""
    uri: str
    """The Request-URI as written."""
    headers: Headers
    body: bytes = b""
    raw: bytes = field(default=b"", init=False, repr=False, compare=False)
    """The bytes that it was read from, to the end of its body; empty when it was made here."""
    _uri: tuple[str, SipUri] | None = field(default=None, init=False, repr=False, compare=False)

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


@dataclass(slots=True)
class Response(_Typed):
    """A SIP response."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""
    raw: bytes = field(default=b"", init=False, repr=False, compare=False)
    """The bytes that it was read from, to the end of its body; empty when it was made here."""

    def to_bytes(self) -> bytes:
        """Write the message; Content-Length is always that of the body.

        Raises:
            LocalProtocolError: The status, a name or a value would break the syntax.
        """
        if not 100 <= self.status <= 699:
            raise LocalProtocolError(f"{self.status} is no status")
        return _write(f"SIP/2.0 {self.status} {self.reason}", self.headers, self.body)


def header_key(name: str) -> str:
    """Return the name that all spellings of a header field share: long form, lower case."""
    lowered = name.lower()
    return _COMPACT.get(lowered, lowered)


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
    for name in ("From", "To", "Call-ID", "CSeq"):
        value = given.get(name)
        if value is None:
            continue
        if name == "To" and to_tag is not None and _lacks_tag(request):
            value = f"{value};tag={to_tag}"
        copied.append((name, value))
    if status == 100 and (timestamp := request.headers.get("Timestamp")) is not None:
        copied.append(("Timestamp", timestamp))  # RFC 3261 8.2.6.1
    phrase = REASONS.get(status, "Unknown") if reason is None else reason
    return Response(status, phrase, Headers([*copied, *headers]), body)


def _lacks_tag(request: Request) -> bool:
    try:
        if request.to_tag:
            return False
    except MalformedMessage:
        return False  # it goes back as it came, in the 400 that says so
    text = request.headers.get("To") or ""
    return "tag" not in text.lower() or request.to.tag is None  # an empty one is one


def _write(start_line: str, headers: Headers, body: bytes) -> bytes:
    items = headers.in_wire_order()
    for name, _ in items:
        if name not in KNOWN_NAMES and not is_token(name):
            raise LocalProtocolError(f"{name!r} is no header name")
    lines = [start_line, *(f"{name}: {value}" for name, value in items)]
    lines.append(f"Content-Length: {len(body)}\r\n\r\n")
    text = "\r\n".join(lines)
    # A line break within a value would start a header field of the caller's input.
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1:
        raise LocalProtocolError("a line break stands within a header value or the start line")
    try:
        return text.encode("utf-8", "surrogateescape") + body
    except UnicodeEncodeError as exc:
        raise LocalProtocolError("a header value holds text that cannot be written") from exc


def _parse_vias(texts: list[str]) -> list[Via]:
    return [parse_via(value) for text in texts for value in split_values(text)]


def _parse_first_name_addr(text: str) -> NameAddr:
    values = split_values(text)
    return parse_name_addr(values[0] if values else "")


def _seconds(text: str | None) -> int | None:
    matched = None if text is None else _DIGITS.match(text)
    if matched is None:
        return None
    return int(matched[1]) if len(matched[1]) <= 10 else _LONGEST_EXPIRY
