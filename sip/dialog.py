"""A dialog: tags, sequence numbers, route set and remote target."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from .errors import MalformedMessage, RemoteProtocolError
from .headers import parse_name_addr, split_values
from .message import Headers, Request, Response

DialogId = tuple[str, str, str]
"""Call-ID, local tag, remote tag."""

LEFT_DIALOGS = 1024
"""Ended dialogs with a tag of the peer's choice that are remembered; the oldest is forgotten."""
_TARGET_REFRESH = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY"})


class Dialog:
    """What both ends of a call remember of each other.

    Source: RFC 3261 section 12.
    """

    __slots__ = (
        "call_id",
        "local_contact",
        "local_party",
        "local_sequence",
        "local_tag",
        "remote_party",
        "remote_sequence",
        "remote_tag",
        "remote_target",
        "route_set",
    )

    def __init__(
        self,
        *,
        call_id: str,
        local_party: str,
        remote_party: str,
        remote_target: str,
        route_set: Iterable[str] = (),
        local_sequence: int = 0,
        remote_sequence: int | None = None,
        local_contact: str = "",
    ) -> None:
        self.call_id = call_id
        self.local_party = local_party
        """Our From or To value, with the tag."""
        self.remote_party = remote_party
        """The peer's From or To value, with the tag when it wrote one."""
        self.local_tag = parse_name_addr(local_party).tag or ""
        self.remote_tag = parse_name_addr(remote_party).tag or ""
        self.remote_target = remote_target
        """Request-URI of the requests within the dialog."""
        self.route_set = tuple(route_set)
        self.local_sequence = local_sequence
        self.remote_sequence = remote_sequence
        self.local_contact = local_contact

    @classmethod
    def of_caller(cls, invite: Request, response: Response) -> "Dialog":
        """Make the dialog of the one who sent the INVITE.

        Devices exist that leave Contact or the To tag out of their 200, or write a Contact that
        cannot be read: the Request-URI and an empty tag stand in.

        Raises:
            MalformedMessage: The response lacks From or To, or they cannot be read.

        Source: RFC 3261 section 12.1.2.
        """
        contact = _target(response)
        return cls(
            call_id=invite.call_id,
            local_party=invite.headers.get("From") or "",
            remote_party=response.headers.get("To") or "",
            remote_target=contact or invite.uri,
            route_set=reversed(_routes(response)),
            local_sequence=invite.cseq.number,
            local_contact=invite.headers.get("Contact") or "",
        )

    @classmethod
    def of_callee(cls, invite: Request, response: Response) -> "Dialog":
        """Make the dialog of the one who answered the INVITE.

        Raises:
            MalformedMessage: The INVITE lacks what a dialog needs.

        Source: RFC 3261 section 12.1.1.
        """
        contact = _target(invite)
        return cls(
            call_id=invite.call_id,
            local_party=response.headers.get("To") or "",
            remote_party=invite.headers.get("From") or "",
            remote_target=contact or str(invite.from_.uri),
            route_set=_routes(invite),
            remote_sequence=invite.cseq.number,
            local_contact=response.headers.get("Contact") or "",
        )

    @property
    def id(self) -> DialogId:
        """What a request of the peer is matched by."""
        return (self.call_id, self.local_tag, self.remote_tag)

    @property
    def local_uri(self) -> str:
        """Our address of record in this call."""
        return str(parse_name_addr(self.local_party).uri)

    @property
    def remote_uri(self) -> str:
        """The peer's address of record in this call."""
        return str(parse_name_addr(self.remote_party).uri)

    def request(
        self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """Make the next request within the dialog; the sequence number rises.

        Source: RFC 3261 section 12.2.1.1.
        """
        self.local_sequence += 1
        return self._make(method, self.local_sequence, headers, body)

    def ack(
        self, invite: Request, headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> Request:
        """Make the ACK to a 2xx: the number of its INVITE, a new branch.

        Source: RFC 3261 section 13.2.2.4.
        """
        return self._make("ACK", invite.cseq.number, headers, body)

    def accept(self, request: Request) -> None:
        """Take a request of the peer: check its number, follow a new target.

        Raises:
            RemoteProtocolError: With status 500, when the number is lower than one seen before.

        Source: RFC 3261 section 12.2.2, RFC 6665 section 4.4.1.
        """
        number = request.cseq.number
        if self.remote_sequence is not None and number < self.remote_sequence:
            raise RemoteProtocolError(
                f"CSeq {number} after {self.remote_sequence}",
                status=500,
                reason="CSeq Out Of Order",
            )
        self.remote_sequence = number
        if request.method in _TARGET_REFRESH:
            self.follow(request)

    def follow(self, message: Request | Response) -> None:
        """Take a new target: from a request of the peer, or from the 2xx to one of ours."""
        self.remote_target = _target(message) or self.remote_target

    def _make(
        self, method: str, number: int, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Request:
        made = Headers(
            [
                ("From", self.local_party),
                ("To", self.remote_party),
                ("Call-ID", self.call_id),
                ("CSeq", f"{number} {method}"),
                ("Max-Forwards", "70"),
            ]
        )
        uri, routes = self.remote_target, self.route_set
        if routes and (strict := _strict_router(routes[0])):
            uri, routes = strict, (*routes[1:], f"<{uri}>")
        for route in routes:
            made.add("Route", route)
        if self.local_contact and method not in ("BYE", "ACK", "MESSAGE"):
            made.add("Contact", self.local_contact)
        for name, value in headers:
            made.add(name, value)
        return Request(method, uri, made, body)


class ForeignTags:
    """Tells which requests with the To tag of no dialog that stands begin one all the same.

    Small devices write a tag of their own into initial requests. What is served so becomes our
    tag of the dialog, and with that it is remembered when the dialog ends: what still comes is
    late then.

    Source: RFC 3261 section 12.2.2.
    """

    __slots__ = ("_accepts", "_left")

    def __init__(self, accepts: Callable[[str], bool] | None) -> None:
        """Take the rule for single tags; without one nothing is served."""
        self._accepts = accepts
        self._left: dict[tuple[str, str], None] = {}

    def leave(self, dialog: Dialog) -> None:
        """Take the end of a dialog; one with a tag of ours need not be remembered."""
        if self._accepts is None or not self._accepts(dialog.local_tag):
            return
        left = (dialog.call_id, dialog.local_tag)
        self._left.pop(left, None)
        self._left[left] = None
        if len(self._left) > LEFT_DIALOGS:
            del self._left[next(iter(self._left))]

    def accepts(self, request: Request) -> bool:
        """Tell whether a request is an initial one although it has a To tag."""
        tag = request.to_tag
        is_left = (request.call_id, tag) in self._left
        return not is_left and self._accepts is not None and self._accepts(tag)


def _target(message: Request | Response) -> str:
    """Return what Contact names; empty without one, and for one that cannot be read."""
    try:
        contact = message.contact
    except MalformedMessage:
        return ""
    return "" if contact is None else str(contact.uri)


def _routes(message: Request | Response) -> list[str]:
    fields = message.headers.get_all("Record-Route")
    return [route for field in fields for route in split_values(field)]


def _strict_router(route: str) -> str:
    """Return what to write as Request-URI for a router without ``lr``, empty for a loose one.

    Source: RFC 3261 section 12.2.1.1.
    """
    try:
        uri = parse_name_addr(route).uri
    except MalformedMessage:
        return ""
    if "lr" in uri.parameters or uri.scheme not in ("sip", "sips"):
        return ""
    kept = {name: value for name, value in uri.parameters.items() if name != "method"}
    return str(replace(uri, parameters=kept, headers=""))
