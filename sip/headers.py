"""Typed values of header fields, read from their text and written back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .errors import MalformedMessage
from .uri import IPV6, SipUri
from .uri import parse as parse_uri

try:  # the compiled build has them in C
    from ._native import read_address, read_parameters
except ImportError:
    from .usual import read_address, read_parameters

# RFC 3261 25.1. A generic parameter may also be a host, hence the colon and the brackets.
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_PLAIN_VALUE: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~:\[\]/@$&]+\Z")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_BETWEEN_COMMAS: Final = re.compile(r'(?:[^",<]++|"(?:[^"\\]|\\.)*+"?|<[^>]*+>?)++', re.DOTALL)
_BETWEEN_SEMICOLONS: Final = re.compile(r'(?:[^";]++|"(?:[^"\\]|\\.)*+"?)++', re.DOTALL)
_VIA: Final = re.compile(
    rf"\s*SIP\s*/\s*\d\.\d\s*/\s*([^\s/;,]+)\s+(?:\[({IPV6})\]|([^\s;:,\[\]]+))"
    r"\s*+(?::\s*+([0-9]{0,40}+))?+\s*+(?:;(.*))?\Z",
    re.IGNORECASE | re.DOTALL,
)

# What nearly all addresses look like; the rest takes the longer way.
_USUAL_ADDRESS: Final = re.compile(r"<([^<>\"\s]+)>(?:;tag=([A-Za-z0-9\-.!%*_+`'~]+))?\Z")
_CSEQ: Final = re.compile(r"\s*(\d{1,40})\s+([A-Za-z0-9\-.!%*_+`'~]+)\s*\Z", re.ASCII)
# Where a challenge begins: a scheme and its first parameter, or a scheme and its one token.
_CHALLENGE: Final = re.compile(
    r"""\"(?:[^"\\]|\\.)*+"?|'[^',]*+'|(?:\A|,)\s*+([A-Za-z0-9\-]++)[ \t]++(?=[^\s=,"']++)""",
    re.DOTALL,
)
_AUTH_PARAMETER: Final = re.compile(
    r"""(?<![^\s,"'])([^\s=,"']+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|'([^']*)'|([^\s,]*))""", re.DOTALL
)


# Values that messages make by the thousand have constructors of their own: that of a frozen
# dataclass sets each attribute by a call, and costs twenty times as much when compiled.


@dataclass(slots=True, init=False, unsafe_hash=True)
class Via:
    """One hop that a request has taken.

    Source: RFC 3261 20.42, RFC 3581.
    """

    transport: Final[str]
    """Upper case: UDP, TCP, TLS."""
    host: Final[str]
    """The sent-by host; IPv6 without brackets."""
    port: Final[int | None]
    parameters: dict[str, str | None] = field(hash=False)
    """Names in lower case; a parameter without a value has None."""

    def __init__(
        self,
        transport: str,
        host: str,
        port: int | None = None,
        parameters: dict[str, str | None] | None = None,
    ) -> None:
        self.transport = transport
        self.host = host
        self.port = port
        self.parameters = {} if parameters is None else parameters

    @property
    def branch(self) -> str:
        """The branch, empty when there is none (RFC 2543)."""
        return self.parameters.get("branch") or ""

    @property
    def received(self) -> str | None:
        """The address the next hop saw; IPv6 without brackets."""
        value = self.parameters.get("received")
        return None if value is None else value.strip("[]")

    @property
    def wants_rport(self) -> bool:
        """Tell whether the sender asked for the answer at its source port."""
        return "rport" in self.parameters

    @property
    def rport(self) -> int | None:
        """The source port the next hop saw, None while it is not filled in or is no port."""
        value = self.parameters.get("rport")
        if value is None or not (value.isascii() and value.isdigit()) or len(value) > 5:
            return None
        return int(value) if int(value) <= 65535 else None

    @property
    def sent_by(self) -> str:
        """Host and port as written, in lower case: what a transaction is matched by."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host.lower() if self.port is None else f"{host.lower()}:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {host}{port}{format_parameters(self.parameters)}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A From, To, Contact, Route or Record-Route value.

    Source: RFC 3261 20.10.
    """

    display: str
    """Display name without quotes and escapes; empty when there is none."""
    uri: SipUri
    parameters: dict[str, str | None] = field(default_factory=dict, hash=False)
    """Parameters of the header field, not of the URI. Names in lower case."""

    @property
    def tag(self) -> str | None:
        """The tag; None when there is none."""
        return self.parameters.get("tag")

    def __str__(self) -> str:
        display = f"{quote(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{format_parameters(self.parameters)}"


@dataclass(slots=True, init=False, unsafe_hash=True)
class CSeq:
    """A command sequence number and the method it belongs to."""

    number: Final[int]
    method: Final[str]

    def __init__(self, number: int, method: str) -> None:
        self.number = number
        self.method = method

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True, slots=True)
class Event:
    """An Event value: what a subscription is about.

    Source: RFC 6665 8.2.1.
    """

    package: str
    """As written, for example ``Catalog``; empty where a device leaves it out."""
    parameters: dict[str, str | None] = field(default_factory=dict, hash=False)
    """Names in lower case."""

    @property
    def id(self) -> str:
        """The id, empty when there is none."""
        return self.parameters.get("id") or ""

    def __str__(self) -> str:
        return f"{self.package}{format_parameters(self.parameters)}".removeprefix(";")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One WWW-Authenticate value.

    Source: RFC 3261 20.44, RFC 7616 3.3.
    """

    scheme: str
    """As written, for example ``Digest``."""
    parameters: dict[str, str] = field(default_factory=dict, hash=False)
    """Names in lower case, values without quotes."""

    @property
    def is_digest(self) -> bool:
        """Tell whether the scheme is Digest."""
        return self.scheme.lower() == "digest"

    @property
    def realm(self) -> str:
        """The realm, empty when there is none."""
        return self.parameters.get("realm", "")

    @property
    def nonce(self) -> str:
        """The nonce, empty when there is none."""
        return self.parameters.get("nonce", "")

    @property
    def algorithm(self) -> str:
        """The algorithm as written; MD5 when there is none."""
        return self.parameters.get("algorithm") or "MD5"

    @property
    def qop(self) -> list[str]:
        """The offered qualities of protection in lower case; empty for RFC 2069."""
        offered = self.parameters.get("qop", "").lower().split(",")
        return [value.strip() for value in offered if value.strip()]

    @property
    def is_stale(self) -> bool:
        """Tell whether only the nonce was refused, not the password."""
        return self.parameters.get("stale", "").lower() == "true"

    def __str__(self) -> str:
        return f"{self.scheme} {_format_auth_parameters(self.parameters)}"


@dataclass(slots=True, init=False, unsafe_hash=True)
class Credentials:
    """One Authorization value.

    Source: RFC 3261 20.7, RFC 7616 3.4.
    """

    scheme: Final[str]
    """As written, for example ``Digest``."""
    parameters: dict[str, str] = field(hash=False, repr=False)
    """Names in lower case, values without quotes."""

    def __init__(self, scheme: str, parameters: dict[str, str]) -> None:
        self.scheme = scheme
        self.parameters = parameters

    @property
    def is_digest(self) -> bool:
        """Tell whether the scheme is Digest."""
        return self.scheme.lower() == "digest"

    @property
    def username(self) -> str:
        """The user name, empty when there is none."""
        return self.parameters.get("username", "")

    @property
    def algorithm(self) -> str:
        """The algorithm as written; MD5 when there is none."""
        return self.parameters.get("algorithm") or "MD5"

    def __str__(self) -> str:
        return f"{self.scheme} {_format_auth_parameters(self.parameters)}"


def parse_via(text: str) -> Via:
    """Read one Via value; its version is left to the start line.

    Raises:
        MalformedMessage: It is not one.
    """
    if text.endswith(")"):  # RFC 2543 6.40 let a comment stand behind the parameters
        text = text[: max(text.rfind("("), 0)].rstrip()
    matched = _VIA.match(text)
    if matched is None:
        raise MalformedMessage(f"Via is not understood: {text[:80]!r}")
    transport, address, host, port, tail = matched.groups()
    number = int(port) if port else None
    if number is not None and number > 65535:
        raise MalformedMessage(f"port {number} in Via does not exist")
    return Via(transport.upper(), address or host, number, parse_parameters(tail) if tail else {})


def parse_name_addr(text: str) -> NameAddr:
    """Read one name-addr or addr-spec with the parameters of its header field.

    Without angle brackets every parameter belongs to the header field (RFC 3261 20.10).

    Raises:
        MalformedMessage: It is not one.
    """
    usual = _USUAL_ADDRESS.match(text)
    if usual is not None:
        return NameAddr("", parse_uri(usual[1]), {"tag": usual[2]} if usual[2] else {})
    text = text.strip()
    display = ""
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise MalformedMessage(f"display name without closing quote: {text[:80]!r}")
        display = _ESCAPED.sub(r"\1", quoted[1])
        text = text[quoted.end() :].lstrip()
        if not text.startswith("<"):
            raise MalformedMessage(f"display name without <address>: {text[:80]!r}")
    before, opened, rest = text.partition("<")
    bare = before.partition(";")
    if not opened or ('"' in bare[2] and '"' not in bare[0]):  # the < stands in a quoted value
        address, _, tail = text.partition(";")
        return NameAddr("", parse_uri(address), parse_parameters(tail))
    address, closed, tail = rest.partition(">")
    if not closed:
        raise MalformedMessage(f"address without closing bracket: {text[:80]!r}")
    tail = tail.strip()
    if tail and not tail.startswith(";"):
        raise MalformedMessage(f"text after the address: {text[:80]!r}")
    display = display or _unquoted_display(before)
    return NameAddr(display, parse_uri(address), parse_parameters(tail) if tail else {})


def is_plain_address(text: str) -> bool:
    """Tell at little cost that a text is ``<URI>`` without parameters; False says nothing."""
    return text.endswith(">") and read_address(text) is not None


def parse_cseq(text: str) -> CSeq:
    """Read a CSeq value.

    Raises:
        MalformedMessage: It is not one, or the number needs more than 32 bits.
    """
    matched = _CSEQ.match(text)
    if matched is None or int(matched[1]) >= 2**32:
        raise MalformedMessage(f"CSeq is not understood: {text[:80]!r}")
    return CSeq(int(matched[1]), matched[2])


def parse_challenge(text: str) -> Challenge:
    """Read one WWW-Authenticate value; values in single quotes and without commas are taken."""
    scheme, parameters = _parse_auth(text)
    return Challenge(scheme, parameters)


def split_challenges(text: str) -> list[str]:
    """Cut a WWW-Authenticate field that holds several challenges (RFC 7616 3.7)."""
    starts = [found.start(1) for found in _CHALLENGE.finditer(text) if found[1] is not None]
    if len(starts) < 2:
        return [text]
    ends = [*starts[1:], len(text)]
    return [text[start:end].rstrip(" \t,") for start, end in zip(starts, ends, strict=True)]


def parse_event(text: str) -> Event:
    """Read an Event value; a missing package (``Event: id=1984``) is left empty."""
    package, _, tail = text.partition(";")
    if "=" in package:
        package, tail = "", text
    return Event(package.strip(), parse_parameters(tail))


def parse_credentials(text: str) -> Credentials:
    """Read one Authorization value; values in single quotes and without commas are taken."""
    scheme, parameters = _parse_auth(text)
    return Credentials(scheme, parameters)


def parse_parameters(text: str) -> dict[str, str | None]:
    """Read ``;name=value`` lists; a leading semicolon may be missing.

    Names come in lower case, quoted values without quotes. Of a repeated name the first counts.
    """
    parts = _BETWEEN_SEMICOLONS.findall(text) if '"' in text else text.split(";")
    parameters: dict[str, str | None] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if name and name not in parameters:
            parameters[name] = unquote(value.strip()) if equals else None
    return parameters


def format_parameters(parameters: Mapping[str, str | None]) -> str:
    """Write parameters, each with its leading semicolon; values that need it are quoted."""
    written = []
    for name, value in parameters.items():
        if value is None:
            written.append(f";{name}")
        elif _PLAIN_VALUE.match(value):
            written.append(f";{name}={value}")
        else:
            written.append(f";{name}={quote(value)}")
    return "".join(written)


def with_parameters(text: str, written: Mapping[str, str]) -> str:
    """Return a value with some parameters written anew at its end, and all else as it stands.

    Nothing between two semicolons is no parameter (RFC 3261 25.1) and left out.
    """
    parts = _BETWEEN_SEMICOLONS.findall(text) if '"' in text else text.split(";")
    names = [part.partition("=")[0].strip().lower() for part in parts]
    kept = [part for name, part in zip(names, parts, strict=True) if name and name not in written]
    return ";".join([*kept, *(f"{name}={value}" for name, value in written.items())])


def split_values(text: str) -> list[str]:
    """Cut a header field of several values at its commas, not at those within quotes or <>."""
    if "," not in text:
        return [text.strip()]
    return [part.strip() for part in _BETWEEN_COMMAS.findall(text) if part.strip()]


def quote(text: str) -> str:
    """Write a quoted string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquote(text: str) -> str:
    """Take the double quotes and escapes off a quoted string; other text stays as it is."""
    if text[:1] != '"':
        return text
    return _ESCAPED.sub(r"\1", text[1:-1] if len(text) > 1 and text[-1] == '"' else text[1:])


def is_token(text: str) -> bool:
    """Tell whether a text is a token (RFC 3261 25.1)."""
    return _TOKEN.match(text) is not None


def _unquoted_display(text: str) -> str:
    text = text.strip()
    # Single quotes are token characters; devices use them as if they were quotes.
    if len(text) > 1 and text[0] == text[-1] == "'":
        return text[1:-1]
    return text


def _parse_auth(text: str) -> tuple[str, dict[str, str]]:
    if text.startswith("Digest "):
        usual = read_parameters(text[7:])
        if usual is not None:
            return "Digest", usual
    words = text.split(None, 1)
    if not words or not is_token(words[0]):
        raise MalformedMessage("credentials or challenge without a scheme")
    return words[0], _auth_parameters(words[1].rstrip() if len(words) > 1 else "")


def _auth_parameters(text: str) -> dict[str, str]:
    parameters: dict[str, str] = {}
    # Of the three forms only one group is not empty.
    for name, quoted, single, bare in _AUTH_PARAMETER.findall(text):
        key = name.lower()
        if key in parameters:
            # A second value of a parameter would let two readers see different credentials.
            raise MalformedMessage(f"parameter {key[:40]!r} is repeated")
        parameters[key] = (
            _ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted or single or bare
        )
    return parameters


# RFC 7616 3.3 and 3.4: these are written without quotes, all others with.
_UNQUOTED: Final = frozenset({"algorithm", "stale", "nc"})


def _format_auth_parameters(parameters: Mapping[str, str]) -> str:
    return ", ".join(
        f"{name}={value}" if name in _UNQUOTED and is_token(value) else f"{name}={quote(value)}"
        for name, value in parameters.items()
    )
