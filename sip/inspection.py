"""What every request is looked at for before it is served: its scheme, and what it requires."""

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

    Source: RFC 3261 sections 8.2.2.1 and 8.2.2.3.
    """
    if not request.uri.startswith(("sip:", "sips:")):
        scheme = SCHEME.match(request.uri)
        # Devices leave the scheme out; a name in its place is one only before no number.
        if scheme and scheme[1].lower() not in _SERVED and not _is_port(request.uri, scheme.end()):
            return 416, []
    if "Require" not in request.headers or request.method == "CANCEL":
        return 0, []
    tags = [tag.strip() for text in request.headers.get_all("Require") for tag in text.split(",")]
    lacking = [tag for tag in tags if tag and tag.lower() not in extensions]
    return (420, [("Unsupported", ", ".join(lacking))]) if lacking else (0, [])


def _is_port(uri: str, place: int) -> bool:
    return uri[place : place + 1].isdigit()
