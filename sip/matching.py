"""How messages find their transactions: one text for each, made of what RFC 3261 compares."""

from typing import Final

from .events import TransactionKey
from .message import Request, Response

MAGIC_COOKIE: Final = "z9hG4bK"
_OURS: Final = "> "  # no method begins so: a peer cannot make a key of ours


def client_key(request: Request) -> TransactionKey:
    """Return the key of the client transaction of a request that carries our Via."""
    return _client_key(request.branch, request.method)


def response_key(response: Response) -> TransactionKey:
    """Return the key of the client transaction that a response belongs to.

    Source: RFC 3261 section 17.1.3.
    """
    return _client_key(response.branch, response.cseq.method)


def server_key(request: Request, *, method: str | None = None) -> TransactionKey:
    """Return the key of the server transaction that a request belongs to.

    Without the magic cookie the rule of RFC 2543 applies: the branch says nothing, so the
    Request-URI, the From tag and the whole Via stand for it. The To tag is left out, because
    an ACK has one and its INVITE has none.

    Args:
        request: The request, from the wire.
        method: Taken instead of the request's own: a CANCEL asks for its INVITE.

    Source: RFC 3261 section 17.2.3.
    """
    branch = request.branch
    if not branch.startswith(MAGIC_COOKIE) and not branch.lower().startswith(MAGIC_COOKIE.lower()):
        branch = f"{request.uri} {request.from_tag} {branch}"
    own = method or request.method
    if own == "ACK":
        own = "INVITE"
    # The Call-ID and CSeq number are added, because devices exist that write the same branch into
    # every request.
    return TransactionKey(
        f"{own} {request.cseq.number} {request.sent_by} {branch} {request.call_id}"
    )


def is_client_key(key: TransactionKey) -> bool:
    """Tell whether a key is that of a request of ours."""
    return key.startswith(_OURS)


def sent_method(key: TransactionKey) -> str:
    """Return the method of a request of ours."""
    return key.split(" ", 2)[1]


def _client_key(branch: str, method: str) -> TransactionKey:
    return TransactionKey(f"{_OURS}{method} {branch.lower()}")
