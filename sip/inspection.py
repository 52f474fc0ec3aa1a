"""What every request is looked at for before it is served: scheme, requirements and encoding."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .message import Request
from .uri import SCHEME

_SERVED: Final = frozenset({"sip", "sips", "tel"})


def refusal(request: Request, extensions: Collection[str]) -> tuple[int, list[tuple[str, str]]]:
    """Return the status and the fields to refuse a request with; status 0 when it may be served.

    Args:
        request: From the wire; CANCEL requires nothing.
        extensions: Option tags that are served, in lower case.

    Source: RFC 3261 sections 8.2.2.1, 8.2.2.3 and 8.2.3.
    """
    if not request.uri.startswith(("sip:", "sips:")):
        scheme = SCHEME.match(request.uri)
        # Devices leave the scheme out; a name in its place is one only before no number.
        if scheme and scheme[1].lower() not in _SERVED and not _is_port(request.uri, scheme.end()):
            return 416, []
    if "Require" in request.headers and request.method != "CANCEL":
        lacking = [tag for tag in _tags(request, "Require") if tag.lower() not in extensions]
        if lacking:
            return 420, [("Unsupported", ", ".join(lacking))]
    # Nothing here is unpacked for our user, who would take the bytes for what they are not.
    if request.body and {tag.lower() for tag in _tags(request, "Content-Encoding")} - {"identity"}:
        return 415, [("Accept-Encoding", "identity")]
    return 0, []


def _tags(request: Request, name: str) -> list[str]:
    tags = [tag.strip() for text in request.headers.get_all(name) for tag in text.split(",")]
    return [tag for tag in tags if tag]


def _is_port(uri: str, place: int) -> bool:
    return uri[place : place + 1].isdigit()
