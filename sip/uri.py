"""SIP and SIPS URIs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from .errors import MalformedMessage

SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
# What stands between the brackets; some write the zone of a link-local address behind it.
IPV6: Final = r"[0-9A-Fa-f.]*+:[0-9A-Fa-f:.]*+(?:%[\w.\-]++)?+"
_HOST_PORT: Final = re.compile(rf"(?:\[({IPV6})\]|([^\s:;?<>\[\]@\"]+))(?::([0-9]{{0,40}}))?\Z")
# What nearly all URIs look like; the rest takes the longer way.
_USUAL: Final = re.compile(
    r"(sips?):([A-Za-z0-9_.\-+]+)@([A-Za-z0-9.\-]+)(?::(\d{1,4}))?\Z", re.ASCII
)
# Such a URI could not be written into a request line again.
_FORBIDDEN: Final = re.compile(r'[\x00-\x20\x7f<>"]')


@dataclass(frozen=True, slots=True)
class SipUri:
    """A SIP URI, kept as it was written: nothing is unescaped.

    A URI of another scheme (``tel:``, ``urn:``) is kept too: its whole text after the colon is
    ``host``, and the other parts are empty.

    Source: RFC 3261 19.1.
    """

    scheme: str = "sip"
    """Lower case."""
    user: str = ""
    """User part with its escapes, without the password; empty when there is none."""
    host: str = ""
    """Host name or address; IPv6 without brackets."""
    port: int | None = None
    """None when it is not written."""
    parameters: dict[str, str | None] = field(default_factory=dict, hash=False)
    """Names in lower case; a parameter without a value has None."""
    headers: str = ""
    """The text after ``?``, as written."""
    password: str | None = field(default=None, repr=False)
    """The deprecated password in the user part, as written."""

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Read a URI; a missing scheme is taken for ``sip``.

        Raises:
            MalformedMessage: There is no host, or the port is no port.
        """
        return parse(text)

    @property
    def address(self) -> tuple[str, int]:
        """The host, and the port or the scheme's default one."""
        if self.port is not None:
            return self.host, self.port
        return self.host, 5061 if self.scheme == "sips" else 5060

    @property
    def transport(self) -> str | None:
        """The ``transport`` parameter in lower case."""
        value = self.parameters.get("transport")
        return None if value is None else value.lower()

    def is_equivalent(self, other: SipUri) -> bool:
        """Tell whether two URIs mean the same.

        Escapes count as what they stand for, the user part alone is case-sensitive, a default
        port is not the same as none, and most parameters that only one side has mean nothing.

        Source: RFC 3261 19.1.4.
        """
        if self.scheme != other.scheme:
            return False
        if self.scheme not in ("sip", "sips"):
            return _plain(self.host) == _plain(other.host)
        return (
            _plain(self.user) == _plain(other.user)
            and _plain(self.password) == _plain(other.password)
            and self.host.lower() == other.host.lower()
            and self.port == other.port
            and _have_same_meaning(_folded(self.parameters), _folded(other.parameters))
            and _header_pairs(self.headers) == _header_pairs(other.headers)
        )

    def __str__(self) -> str:
        if self.scheme not in ("sip", "sips"):
            return f"{self.scheme}:{self.host}"
        parts = [self.scheme, ":"]
        if self.user or self.password is not None:
            parts.append(self.user)
            if self.password is not None:
                parts += [":", self.password]
            parts.append("@")
        parts.append(f"[{self.host}]" if ":" in self.host else self.host)
        if self.port is not None:
            parts.append(f":{self.port}")
        for name, value in self.parameters.items():
            parts.append(f";{name}" if value is None else f";{name}={value}")
        if self.headers:
            parts += ["?", self.headers]
        return "".join(parts)


def parse(text: str) -> SipUri:
    """Read a URI; see ``SipUri.parse``."""
    usual = _USUAL.match(text)
    if usual is not None:
        scheme, user, host, digits = usual.groups()
        return SipUri(scheme, user, host, None if digits is None else int(digits))
    text = text.strip()
    if _FORBIDDEN.search(text):
        raise MalformedMessage(f"URI with blanks, brackets or quotes: {text[:80]!r}")
    scheme, rest = _split_scheme(text)
    if scheme not in ("sip", "sips"):
        if not rest:
            raise MalformedMessage(f"empty URI: {text[:80]!r}", status=416, reason=_UNSUPPORTED)
        return SipUri(scheme, "", rest)
    # The user part may hold ; and ? unescaped (RFC 3261 19.1.1), so the @ is looked for first.
    userinfo, at, rest = rest.rpartition("@")
    user, colon, password = userinfo.partition(":")
    rest, _, headers = rest.partition("?")
    hostport, semicolon, tail = rest.partition(";")
    matched = _HOST_PORT.match(hostport.strip())
    if matched is None:
        raise MalformedMessage(f"URI without a valid host: {text[:80]!r}")
    port = int(matched[3]) if matched[3] else None
    if port is not None and port > 65535:
        raise MalformedMessage(f"port {port} does not exist")
    return SipUri(
        scheme,
        user if at else "",
        matched[1] or matched[2],
        port,
        _parameters(tail) if semicolon else {},
        headers,
        password if colon else None,
    )


def is_plain(text: str) -> bool:
    """Tell at little cost that a URI is of the usual form, hence valid; False says nothing."""
    return _USUAL.match(text) is not None


_UNSUPPORTED: Final = "Unsupported URI Scheme"

# RFC 3261 19.1.4: where one side has it, the other must have it too.
_WEIGHTY: Final = frozenset({"user", "ttl", "method", "maddr", "transport"})
_ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")
# An escaped one of these is not the same as the character, which would be a delimiter.
_RESERVED: Final = frozenset(";/?:@&=+$,%")


def _plain(text: str | None) -> str | None:
    """Undo the escapes, once, but for those of reserved characters."""
    return None if text is None else _ESCAPE.sub(_unescaped, text)


def _unescaped(matched: re.Match[str]) -> str:
    character = chr(int(matched[1], 16))
    if character in _RESERVED or not character.isascii():
        return matched[0].upper()
    return character


def _folded(parameters: dict[str, str | None]) -> dict[str, str]:
    return {
        (_plain(name) or "").lower(): (_plain(value) or "").lower()
        for name, value in parameters.items()
    }


def _have_same_meaning(one: dict[str, str], other: dict[str, str]) -> bool:
    if any((name in one) != (name in other) for name in _WEIGHTY):
        return False
    return all(other[name] == value for name, value in one.items() if name in other)


def _header_pairs(text: str) -> list[tuple[str, str | None]]:
    pairs = [part.partition("=") for part in text.split("&") if part]
    return sorted((name.lower(), _plain(value)) for name, _, value in pairs)


def _split_scheme(text: str) -> tuple[str, str]:
    matched = SCHEME.match(text)
    if matched is None:
        return "sip", text
    return matched[1].lower(), text[matched.end() :]


def _parameters(text: str) -> dict[str, str | None]:
    parameters: dict[str, str | None] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if name:
            parameters[name] = value.strip() if equals else None
    return parameters
