"""Gives each incoming SIP request to the role it is meant for; a failed handler becomes one 500."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from sip.errors import FlowFailed, LocalProtocolError, RemoteProtocolError, SipError
from sip.uri import SipUri

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from sip.endpoint import IncomingRequest, SipEndpoint

    from .supervisor import Supervisor

logger = logging.getLogger("gb28181.dispatch")

ALLOW = "INVITE, ACK, INFO, CANCEL, BYE, OPTIONS, MESSAGE, REGISTER, SUBSCRIBE, NOTIFY"
"""The methods we serve. Source: 9.2.3 b."""


class Handler(Protocol):
    """A role, as the dispatcher sees it."""

    def claims(self, incoming: IncomingRequest) -> bool:
        """Whether this role is meant: by the call, by who is asking, then by method."""

    def handle(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        """Serve the request; what takes time is returned as a coroutine and runs in a task."""


class Dispatcher:
    """Walks an endpoint's requests and asks the roles, the first attached first."""

    def __init__(self, endpoint: SipEndpoint, supervisor: Supervisor) -> None:
        self._endpoint = endpoint
        self._supervisor = supervisor
        self._handlers: list[Handler] = []
        self.faults = 0

    def attach(self, handler: Handler, *, first: bool = False) -> None:
        """Add a role; with ``first`` it is asked before those already there."""
        self._handlers.insert(0 if first else len(self._handlers), handler)

    def detach(self, handler: Handler) -> None:
        """Remove a role."""
        if handler in self._handlers:
            self._handlers.remove(handler)

    async def run(self) -> None:
        """Serve as long as the endpoint lives.

        Raises:
            FlowFailed: The endpoint has closed.
        """
        await self._endpoint.serve(self._serve)
        # A normal stop cancels this task first: here the endpoint has closed under the role.
        raise FlowFailed("the SIP endpoint has closed")

    def _serve(self, incoming: IncomingRequest) -> None:
        try:
            handler = next((one for one in self._handlers if one.claims(incoming)), None)
            if handler is None:
                incoming.respond(403)
                return
            work = handler.handle(incoming)
        except Exception as error:  # noqa: BLE001  a request is a named boundary
            self._fail(incoming, error)
            return
        if work is not None:
            self._supervisor.spawn(
                self._carry(incoming, work),
                name=f"{incoming.method} from {incoming.flow.remote[0]}",
            )

    async def _carry(self, incoming: IncomingRequest, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001  a request is a named boundary
            self._fail(incoming, error)

    def _fail(self, incoming: IncomingRequest, error: Exception) -> None:
        if isinstance(error, RemoteProtocolError):
            logger.info("%s from %s: %s", incoming.method, incoming.flow.remote, error)
            status = error.status
        else:
            self.faults += 1
            logger.error("%s from %s failed", incoming.method, incoming.flow.remote, exc_info=error)
            status = 500
        try:
            incoming.respond(status)
        except LocalProtocolError:
            logger.debug("%s had been answered before it failed", incoming.method)


def user_of(incoming: IncomingRequest) -> str:
    """The id in From: who says to be asking."""
    return incoming.request.from_.uri.user or ""


def request_user_of(incoming: IncomingRequest) -> str:
    """The id in the Request-URI; empty when that is no SIP URI."""
    try:
        return SipUri.parse(incoming.request.uri).user or ""
    except SipError:
        return ""


def to_user_of(incoming: IncomingRequest) -> str:
    """The id in To: who is asked."""
    return incoming.request.to.uri.user or ""
