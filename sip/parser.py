"""Reads SIP messages from datagrams and byte streams, within limits.

What real devices get wrong and what is plain is read: bare line feeds, folded lines, missing
blanks after the colon, blank lines before a message, a datagram without Content-Length or with a
shorter one. What would let two readers see different messages is refused: stray carriage returns,
contradicting lengths, repeated fields that may stand only once.

Source: RFC 3261 7, 18.3, 25.1; RFC 4475.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .errors import MalformedMessage
from .fields import KNOWN_NAMES, Headers
from .headers import CSeq, is_token, parse_via, split_values
from .message import Request, Response
from .uri import is_plain

try:  # the compiled build has it in C
    from ._native import read_head
except ImportError:
    from .usual import read_head


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may send before it is refused, in bytes or numbers."""

    head: int = 32_768
    """Start line and header fields together. More is answered 513."""
    line: int = 16_384
    """One header field after unfolding."""
    fields: int = 256
    """Number of header fields."""
    body: int = 4 * 1024 * 1024
    """One body on a stream; a datagram has its own limit."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Blank lines between two messages of a stream."""

    is_ping: bool
    """A double CRLF, which asks for a single one as its answer (RFC 5626 3.5.1)."""


DEFAULT_LIMITS: Final = Limits()

_BLANK: Final = 0x20
_BLANK_LINE, _PING = KeepAlive(False), KeepAlive(True)

_SINGLE: Final = frozenset({"call-id", "from", "to", "cseq", "content-length", "max-forwards"})
_STATUS_LINE: Final = re.compile(
    r"SIP/(\d{1,4}\.\d{1,4})[ \t]+(\d{3})(?:[ \t]+(.*))?\Z", re.I | re.ASCII
)
_VERSION: Final = re.compile(r"SIP/\d{1,4}\.\d{1,4}\Z", re.IGNORECASE | re.ASCII)
_FOLD: Final = re.compile(r"(?<![ \t])[ \t]*+\n[ \t]+")
_LENGTH: Final = re.compile(r"\d{1,40}\Z", re.ASCII)


def is_keepalive(data: bytes) -> bool:
    """Tell whether a datagram holds only what keeps a NAT mapping open: blanks or zeros."""
    return not data or (data[0] <= _BLANK and not data.strip(b"\r\n\0 \t"))


def parse_datagram(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Request | Response:
    """Read the one message of a datagram.

    Via, From, To, Call-ID and CSeq are there and well formed in what is returned. Without
    Content-Length the body is the rest; bytes behind its end are dropped (RFC 3261 18.3).

    Raises:
        MalformedMessage: It cannot be read, or Content-Length is longer than the datagram.
    """
    if data and data[0] < _BLANK:
        data = data.lstrip(b"\r\n")
    # A usual head has no blank line before this one, whatever its ends.
    end = data.find(b"\r\n\r\n")
    start = end + 4
    usual = _read_usual(data, end, limits) if end > 0 else None
    message: Request | Response
    fault: MalformedMessage | None = None
    if usual is not None:
        message = usual
    else:
        end, start = _end_of_head(data, 0) or (len(data), len(data))
        message, fault = _read_head(data[:end], limits)
    body = data[start:]
    length = _content_length(message)
    if length is not None and length > len(body):
        fault = MalformedMessage(
            f"Content-Length is {length}, the datagram holds {len(body)} bytes of body"
        )
    message.body = body if length is None else body[:length]
    message.raw = data if length is None else data[: start + length]
    fault = fault or _find_fault(message)
    if fault is not None:
        raise _answerable(fault, message)
    return message


class StreamParser:
    """Cuts a byte stream into messages by Content-Length.

    Source: RFC 3261 7.5, 18.3.
    """

    def __init__(
        self,
        limits: Limits = DEFAULT_LIMITS,
        *,
        wants: Callable[[Request | Response, int], bool] | None = None,
    ) -> None:
        """Begin with a message.

        Args:
            limits: What a peer may send.
            wants: Is given each well-formed message and the length of its body before that is
                read; where it says no, the body is passed over and the message not returned.
        """
        self._limits = limits
        self._wants = wants
        self._passed_over = 0
        self._buffer = bytearray()
        self._searched = 0
        self._blank_lines = 0
        self._head: tuple[Request | Response, MalformedMessage | None, int] | None = None
        self._is_broken = False

    @property
    def is_idle(self) -> bool:
        """Tell whether the stream stands between two messages."""
        return self._head is None and not self._buffer

    def push(self, data: bytes) -> list[Request | Response | KeepAlive | MalformedMessage]:
        """Take bytes as they came from the socket; return what they complete, in order.

        A message that is framed well and broken otherwise is returned as the error, not raised,
        and the stream goes on behind it. After an error with ``is_fatal`` nothing is read any
        more; the connection must be closed.
        """
        taken: list[Request | Response | KeepAlive | MalformedMessage] = []
        if self._is_broken:
            return taken
        self._buffer += data
        try:
            while self._take_head(taken) and self._take_body(taken):
                pass
        except MalformedMessage as exc:
            exc.is_fatal = self._is_broken = True
            exc.raw = bytes(self._buffer)
            self._buffer.clear()
            taken.append(exc)
        return taken

    def _take_head(self, taken: list[Request | Response | KeepAlive | MalformedMessage]) -> bool:
        if self._head is not None:
            return True
        if self._buffer.startswith((b"\r", b"\n")):
            self._take_blank_lines(taken)
        found = _end_of_head(self._buffer, self._searched)
        if found is None:
            # The end may have begun with the last three bytes, of which one belongs to the head.
            self._searched = max(0, len(self._buffer) - 2)
            _check_head_size(self._buffer, len(self._buffer) - 2, self._limits)
            return False
        end, start = found
        message, fault = _read_head(bytes(self._buffer[:end]), self._limits)
        length = _content_length(message)
        if length is None:
            raise _answerable(MalformedMessage("Content-Length is missing on a stream"), message)
        if length > self._limits.body:
            raise _answerable(_too_large(f"a body of {length} bytes"), message)
        message.raw = bytes(self._buffer[:start])
        del self._buffer[:start]
        self._searched = 0
        self._blank_lines = 0
        self._head = message, fault, length
        if length and self._wants is not None and fault is None and _find_fault(message) is None:
            self._passed_over = 0 if self._wants(message, length) else length
        return True

    def _take_body(self, taken: list[Request | Response | KeepAlive | MalformedMessage]) -> bool:
        assert self._head is not None
        message, fault, length = self._head
        if self._passed_over:
            gone = min(self._passed_over, len(self._buffer))
            del self._buffer[:gone]
            self._passed_over -= gone
            self._head = self._head if self._passed_over else None
            return not self._passed_over
        if len(self._buffer) < length:
            return False
        message.body = bytes(self._buffer[:length])
        message.raw += message.body
        del self._buffer[:length]
        self._head = None
        fault = fault or _find_fault(message)
        if fault is not None:
            fault.raw = message.raw
        taken.append(message if fault is None else _answerable(fault, message))
        return True

    def _take_blank_lines(
        self, taken: list[Request | Response | KeepAlive | MalformedMessage]
    ) -> None:
        rest = self._buffer.lstrip(b"\r\n")
        lines = self._buffer.count(b"\n", 0, len(self._buffer) - len(rest))
        # 64 KiB of them must not cost as many objects.
        pair = [_PING, _BLANK_LINE] if self._blank_lines % 2 else [_BLANK_LINE, _PING]
        taken += (pair * (lines // 2 + 1))[:lines]
        self._blank_lines += lines
        self._buffer = rest
        self._searched = 0


def _end_of_head(data: bytes | bytearray, searched: int) -> tuple[int, int] | None:
    """Return where the head ends and where the body starts."""
    usual = data.find(b"\n\r\n", searched)
    # Of LF LF CR LF the first two end the head, however the stream is cut.
    bare = data.find(b"\n\n", searched, usual + 1 if usual >= 0 else len(data))
    if bare >= 0:
        return bare, bare + 2
    return (usual, usual + 3) if usual >= 0 else None


def _check_head_size(head: bytes | bytearray, size: int, limits: Limits) -> None:
    if size <= limits.head:
        return
    fault = _too_large(f"a head of {size} bytes")
    # What fits is looked through for the one who is to be told.
    begin = bytes(head[: limits.head])
    try:
        message, _ = _read_head(begin[: begin.rfind(b"\n") + 1], limits)
    except MalformedMessage as exc:
        fault.request = exc.request
        raise fault from exc
    raise _answerable(fault, message)


def _too_large(what: str) -> MalformedMessage:
    return MalformedMessage(f"{what} is over the limit", status=513, reason="Message Too Large")


def _read_head(head: bytes, limits: Limits) -> tuple[Request | Response, MalformedMessage | None]:
    """Read start line and fields; a fault that leaves the framing intact is returned."""
    _check_head_size(head, len(head), limits)
    usual = _read_usual(head, len(head) - head.endswith(b"\r"), limits)
    if usual is not None:
        return usual, None
    text = head.decode("utf-8", "surrogateescape").replace("\r\n", "\n").rstrip("\r\n")
    refused = None
    if "\r" in text:
        refused = MalformedMessage("a carriage return stands alone in the head")
        text = text.replace("\r", " ")  # the answer repeats what it is given
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\n")
    if len(lines) - 1 > limits.fields:
        refused = _too_large(f"a head of {len(lines) - 1} fields")
        del lines[limits.fields + 1 :]
    headers, fault = _read_fields(lines, limits)
    message, start_line_fault = _read_start_line(lines[0], headers)
    if refused is not None:
        raise _answerable(refused, message)
    return message, start_line_fault or fault


def _read_usual(data: bytes, end: int, limits: Limits) -> Request | None:
    if end > limits.line or end > limits.head:
        return None
    found = read_head(data, end, limits.fields)
    if found is None:
        return None
    method, uri, fields, branch, sent_by, number, call_id, user, tag, to_tag, length = found
    headers = Headers.of_single(fields)
    parsed = headers.parsed
    parsed.branch = branch
    parsed.sent_by = sent_by
    parsed.cseq = CSeq(number, method)
    parsed.call_id = call_id
    parsed.from_user = user
    parsed.from_tag = tag
    parsed.to_tag = to_tag
    parsed.length = None if length < 0 else length
    parsed.is_usual = True
    return Request(method, uri, headers)


def _read_fields(lines: list[str], limits: Limits) -> tuple[Headers, MalformedMessage | None]:
    items: list[tuple[str, str]] = []
    fault = None
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if name not in KNOWN_NAMES:
            name = name.rstrip(" \t")
            if not colon or not is_token(name):
                fault = MalformedMessage(f"no header field: {line[:80]!r}")
                continue
        if len(line) > limits.line:
            fault = _too_large(f"{name} with {len(value)} characters")
        items.append((name, value.strip(" \t")))
    return Headers(items), fault


def _read_start_line(
    line: str, headers: Headers
) -> tuple[Request | Response, MalformedMessage | None]:
    parts = line.split(" ")
    usual = len(parts) == 3 and parts[2] == "SIP/2.0" and "\t" not in line
    if usual and parts[1][:1] not in ("", "<"):
        if not is_token(parts[0]):
            raise MalformedMessage(f"no method: {parts[0][:80]!r}")
        return Request(parts[0], parts[1], headers), None
    matched = _STATUS_LINE.match(line)
    if matched is not None:
        return _response(matched, headers)
    parts = [part for part in line.replace("\t", " ").split(" ") if part]
    if len(parts) < 2 or not is_token(parts[0]) or _VERSION.match(parts[-1]) is None:
        raise MalformedMessage(f"no start line: {line[:80]!r}")
    request = Request(parts[0], " ".join(parts[1:-1]), headers)
    if parts[-1].upper() != "SIP/2.0":
        return request, _unknown_version(parts[-1])
    if len(parts) != 3 or parts[1].startswith("<"):
        return request, MalformedMessage(f"no Request-URI: {request.uri[:80]!r}")
    return request, None


def _response(matched: re.Match[str], headers: Headers) -> tuple[Response, MalformedMessage | None]:
    version, status, reason = matched.groups()
    response = Response(int(status), (reason or "").rstrip(" \t"), headers)
    if version != "2.0":
        return response, _unknown_version(version)
    if not 100 <= response.status <= 699:
        return response, MalformedMessage(f"{status} is no status")
    return response, None


def _unknown_version(version: str) -> MalformedMessage:
    return MalformedMessage(
        f"version {version[:20]} is not spoken here", status=505, reason="Version Not Supported"
    )


def _content_length(message: Request | Response) -> int | None:
    if message.headers.parsed.is_usual:
        return message.headers.parsed.length
    values = message.headers.get_all("Content-Length")
    if not values:
        return None
    length = int(values[0]) if _LENGTH.match(values[0]) else -1
    if length < 0 or any(not _LENGTH.match(value) or int(value) != length for value in values[1:]):
        raise _answerable(MalformedMessage("Content-Length is not understood"), message)
    return length


def _find_fault(message: Request | Response) -> MalformedMessage | None:
    """Look at the fields that every message needs; their parsed values stay with the message."""
    if message.headers.parsed.is_usual:
        return None
    try:
        _check_needed(message)
    except MalformedMessage as exc:
        return exc
    return None


def _check_needed(message: Request | Response) -> None:
    for key in message.headers.repeated():
        if key in _SINGLE and len(set(message.headers.get_all(key))) > 1:
            raise MalformedMessage(f"{key} stands there more than once")
    _ = message.top_via, message.call_id, message.from_tag, message.to_tag, message.cseq
    if not isinstance(message, Request):
        return
    if message.cseq.method != message.method:
        raise MalformedMessage(f"CSeq names {message.cseq.method[:40]}, not {message.method[:40]}")
    if not is_plain(message.uri):
        _ = message.request_uri  # RFC 5118 4.2


def _answerable(fault: MalformedMessage, message: Request | Response) -> MalformedMessage:
    """Attach the request if an answer finds its way: by the topmost Via. ACK is never answered.

    Other fields that are missing or broken do not hinder it (RFC 4475 3.3.1): the answer repeats
    what there is (RFC 3261 8.2.6.2).
    """
    if isinstance(message, Request) and message.method != "ACK":
        vias = _readable_vias(message)
        if vias:
            message.headers.remove("Via")
            for via in reversed(vias):
                message.headers.prepend("Via", via)
            fault.request = message
    return fault


def _readable_vias(message: Request) -> list[str]:
    """Return the Via values up to the first that is broken."""
    vias: list[str] = []
    for text in message.headers.get_all("Via"):
        if "\r" in text:  # it cannot be written again
            return vias
        for value in split_values(text):
            try:
                parse_via(value)
            except MalformedMessage:
                return vias
            vias.append(value)
    return vias
