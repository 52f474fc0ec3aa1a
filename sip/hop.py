"""Writes where a request really came from into its top Via."""

from __future__ import annotations

from .flow import Flow
from .headers import split_values, with_parameters
from .message import Request


def fill_via(request: Request, flow: Flow) -> None:
    """Write the source of a request, so that the answer tells the sender how it is seen.

    The address is written whenever it is not the one the sender named, the port when asked for;
    the answer goes back by the flow in any case.

    Source: RFC 3261 section 18.2.1, RFC 3581 section 4.
    """
    host, port = flow.remote
    headers = request.headers
    if headers.parsed.is_usual:  # one Via, of sent-by, branch, and perhaps an rport without value
        text = headers.get("Via") or ""
        place = text.find(";rport")
        if place >= 0:
            place += len(";rport")
            headers.fill_via(f"{text[:place]}={port}{text[place:]};received={host}")
            return
    top = request.top_via
    written: dict[str, str] = {}
    if top.wants_rport:
        written["rport"] = str(port)
    if top.wants_rport or top.host != host:
        written["received"] = host
    if not written:
        return
    # Not from the typed values: each hop gets back what it wrote, to the letter.
    values = [value for field in request.headers.get_all("Via") for value in split_values(field)]
    request.headers.remove("Via")
    for value in reversed([with_parameters(values[0], written), *values[1:]]):
        request.headers.prepend("Via", value)
