"""What an endpoint hands out: incoming requests and calls, as objects to await."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from .dialog import Dialog
from .errors import CallCancelled, FlowFailed, LocalProtocolError, TransactionTimeout
from .events import CallEnded, CallKey, TransactionKey
from .flow import Flow
from .message import Request, Response, make_response
from .reinvite import glare_pause
from .stack import SipStack

if TYPE_CHECKING:
    from .notification import IncomingSubscription

Fields = Iterable[tuple[str, str]]
HEAD_ROOM = 600
"""Bytes that the head of a request within a dialog takes, about."""
CLOSED = "the endpoint was closed"


class Host(Protocol):
    """What requests and calls need of their endpoint."""

    stack: SipStack
    user_agent: str

    def now(self) -> float:
        """Return the loop's time."""

    def pump(self) -> None:
        """Send and deliver what the stack has."""

    def new_tag(self) -> str:
        """Return a fresh tag."""

    def contact(self, target: Flow | str) -> str:
        """Return our Contact value for a flow."""

    def adopt(self, call: "IncomingCall") -> None:
        """Deliver events of a call to its object from now on."""

    def adopt_subscription(self, subscription: "IncomingSubscription") -> None:
        """Deliver events of a subscription to its object from now on."""

    async def roomy(self, flow: Flow, size: int) -> Flow:
        """Return the flow for a request of this size."""

    async def wait_for_response(self, send: Callable[[float], TransactionKey]) -> Response:
        """Send a request and return its final response."""


class Call:
    """An established call, whoever began it."""

    def __init__(self, host: Host, key: CallKey, invite: Request, flow: Flow) -> None:
        self.key = key
        self.invite = invite
        self.call_id = invite.call_id
        self._ended: asyncio.Future[CallEnded] = asyncio.get_running_loop().create_future()
        self._host = host
        self._flow = flow
        self._dialog: Dialog | None = None
        self._released = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> asyncio.Future[CallEnded]:
        """A future that is done when the call is over, by whomever.

        Each reader gets one of his own, so that one who gives up waiting takes it from nobody.
        """
        return asyncio.shield(self._ended)

    @property
    def is_ended(self) -> bool:
        """Tell whether the call is over: for those who look again and again."""
        return self._ended.done()

    @property
    def is_released(self) -> bool:
        """Tell whether nothing of the call is left: after a BYE of ours, that it was answered."""
        return self._released.done()

    @property
    def ack_repeats(self) -> int:
        """How often the peer repeated its 2xx after our ACK; 0 once the call has ended."""
        return self._host.stack.calls.ack_repeats(self.key)

    @property
    def dialog(self) -> Dialog:
        """The dialog; it stays readable after the end of the call.

        Raises:
            LocalProtocolError: The call is not established.
        """
        self._dialog = self._host.stack.calls.dialog(self.key) or self._dialog
        if self._dialog is None:
            raise LocalProtocolError("the call is not established")
        return self._dialog

    @property
    def flow(self) -> Flow:
        """Where requests of this call go; set it when the peer comes back on another flow."""
        return self._host.stack.calls.flow(self.key) or self._flow

    @flow.setter
    def flow(self, flow: Flow) -> None:
        self._flow = flow
        self._host.stack.calls.move(self.key, flow)

    @property
    def local_uri(self) -> str:
        """Our address of record in this call."""
        return self.dialog.local_uri

    @property
    def remote_uri(self) -> str:
        """The peer's address of record in this call."""
        return self.dialog.remote_uri

    async def request(
        self,
        method: str,
        *,
        headers: Fields = (),
        body: bytes = b"",
        content_type: str | None = None,
        timeout: float | None = None,
    ) -> Response:
        """Send a request within the dialog; return its final response, whatever its status.

        408 and 481 end the call.

        Raises:
            LocalProtocolError: The call is over, or the method has its own verb.
            TransactionTimeout: No final response came.
            FlowFailed: The flow of the call is gone.
        """
        fields = [*headers, *described(content_type)]
        if self._host.user_agent:
            fields.append(("User-Agent", self._host.user_agent))
        try:
            async with asyncio.timeout(timeout):
                flow = await self._host.roomy(self.flow, len(body) + HEAD_ROOM)
                return await self._host.wait_for_response(
                    lambda now: self._host.stack.calls.request(
                        self.key, method, now, headers=fields, body=body, flow=flow
                    )
                )
        except TimeoutError as exc:
            raise TransactionTimeout(f"{method} in a call: no answer in {timeout} s") from exc

    async def reinvite(
        self,
        *,
        body: bytes,
        content_type: str = "application/sdp",
        headers: Fields = (),
        timeout: float = 15.0,
        fraction: Callable[[], float] = random.random,
    ) -> Response:
        """Change the session: send an INVITE with an offer; return its final response.

        A 2xx was acknowledged. Everything else leaves the session as it was, but for 408, 481 and
        silence, which end the call. When the peer is changing it at the same time (491), it is
        tried again after a random wait. A caller that gives up leaves the CANCEL to the stack.

        Args:
            body: The offer.
            content_type: Of the offer.
            headers: Further fields.
            timeout: Seconds for all tries together.
            fraction: Returns a random number from 0 to 1 for each wait.

        Raises:
            LocalProtocolError: The call is not acknowledged yet, or over.
            TransactionTimeout: No final response came.
            FlowFailed: The flow of the call is gone.

        Source: RFC 3261 section 14.1.
        """
        fields = [*headers, *described(content_type)]
        if self._host.user_agent:
            fields.append(("User-Agent", self._host.user_agent))
        try:
            async with asyncio.timeout(timeout):
                while True:
                    if not self._host.stack.calls.reinvites.is_pending(self.key):
                        response = await self._send_invite(fields, body)
                        if response.status != 491:
                            return response
                    await self._wait_out(fraction())
        except TimeoutError as exc:
            raise TransactionTimeout(f"INVITE in a call: no answer in {timeout} s") from exc

    async def bye(self, *, reason: str | None = None, timeout: float = 4.0) -> None:
        """End the call and wait until the peer has answered; a second time does nothing.

        Args:
            reason: Text of a Reason header.
            timeout: Seconds to wait; the stack goes on repeating the BYE behind the scenes.
        """
        value = None
        if reason is not None:
            quoted = reason.replace("\\", "\\\\").replace('"', '\\"')
            value = f'SIP;cause=200;text="{quoted}"'
        self.hang_up(value)
        if not self._released.done():
            await asyncio.wait([self._released], timeout=timeout)

    def hang_up(self, reason: str | None = None) -> None:
        """Send BYE without waiting; ``reason`` is the whole value of the Reason header."""
        self._keep()
        self._host.stack.calls.bye(self.key, self._host.now(), reason=reason)
        self._host.pump()

    def set_ended(self, end: CallEnded) -> None:
        """Note the end; only the first one counts. For the endpoint."""
        self._keep()
        if not self._ended.done():
            self._ended.set_result(end)

    def set_released(self) -> None:
        """Note that nothing of the call is left. For the endpoint."""
        if not self._released.done():
            self._released.set_result(None)

    async def _send_invite(self, fields: Fields, body: bytes) -> Response:
        flow = await self._host.roomy(self.flow, len(body) + HEAD_ROOM)
        return await self._host.wait_for_response(
            lambda now: self._host.stack.calls.reinvite(
                self.key, now, headers=fields, body=body, flow=flow
            )
        )

    async def _wait_out(self, fraction: float) -> None:
        """Wait until another INVITE of the call may be over; not longer than the call lasts."""
        pause = glare_pause(fraction, is_owner=isinstance(self, OutgoingCall))
        await asyncio.wait([self._ended], timeout=pause)

    def _keep(self) -> None:
        self._dialog = self._host.stack.calls.dialog(self.key) or self._dialog


class OutgoingCall(Call):
    """A call that we began; ``response`` is the 2xx."""

    def __init__(
        self, host: Host, key: CallKey, invite: Request, flow: Flow, response: Response
    ) -> None:
        super().__init__(host, key, invite, flow)
        self.response = response
        self._keep()

    async def ack(self, *, body: bytes = b"", content_type: str | None = None) -> None:
        """Acknowledge the 2xx; repetitions of it get the same ACK from the stack.

        Raises:
            LocalProtocolError: It was acknowledged before, or the call is over.
        """
        fields = list(described(content_type))
        if self._host.user_agent:
            fields.append(("User-Agent", self._host.user_agent))
        self._host.stack.calls.ack(self.key, self._host.now(), headers=fields, body=body)
        self._host.pump()


class IncomingCall(Call):
    """A call that we accepted."""

    def __init__(self, host: Host, key: CallKey, invite: Request, flow: Flow) -> None:
        super().__init__(host, key, invite, flow)
        self.ack_body = b""
        """Body of the ACK: the answer, when our 2xx carried the offer."""
        self.acknowledged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """True with the ACK, false when it was given up. For the endpoint."""

    def set_acknowledged(self, ack: Request | None) -> None:
        """Note the ACK, or that none came. For the endpoint."""
        if ack is not None:
            self.ack_body = ack.body
        if not self.acknowledged.done():
            self.acknowledged.set_result(ack is not None)

    def set_ended(self, end: CallEnded) -> None:
        """Note the end, also to the one who still waits for the ACK. For the endpoint."""
        super().set_ended(end)
        if not self.acknowledged.done():
            self.acknowledged.set_result(end.by != "lost")


class IncomingRequest:
    """A request of a peer that is to be answered."""

    def __init__(
        self, host: Host, key: TransactionKey, request: Request, flow: Flow, call: Call | None
    ) -> None:
        self.request = request
        self.flow = flow
        self.call = call
        """The call it belongs to, None outside any."""
        self._host = host
        self._key = key
        self._to_tag = host.new_tag()

    @property
    def method(self) -> str:
        """The method."""
        return self.request.method

    def respond(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: Fields = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> None:
        """Answer, by the flow the request came in on; nothing happens when that is gone.

        Nor does anything when an INVITE within a call was cancelled meanwhile.

        Raises:
            LocalProtocolError: It was answered before.
        """
        response = self.make_response(status, reason, headers, body, content_type)
        now = self._host.now()
        if self.call is not None and self.method == "INVITE":
            if status < 300 and "Contact" not in response.headers:
                response.headers.add("Contact", self._host.contact(self.flow))
            reinvites = self._host.stack.calls.reinvites
            reinvites.answer(self.call.key, self._key, response, now)
        else:
            self._host.stack.send_response(self._key, response, now)
        self._host.pump()

    def make_response(
        self,
        status: int,
        reason: str | None,
        headers: Fields,
        body: bytes = b"",
        content_type: str | None = None,
    ) -> Response:
        """Build a response with what each of ours carries. For its kin."""
        fields = [*headers, *described(content_type)]
        if self._host.user_agent:
            fields.append(("User-Agent", self._host.user_agent))
        tag = None if status == 100 else self._to_tag
        return make_response(self.request, status, reason, to_tag=tag, headers=fields, body=body)


class IncomingInvite(IncomingRequest):
    """Somebody calls. 100 Trying was sent already."""

    def __init__(
        self, host: Host, call_key: CallKey, key: TransactionKey, request: Request, flow: Flow
    ) -> None:
        super().__init__(host, key, request, flow, None)
        self._cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._call_key = call_key

    @property
    def cancelled(self) -> asyncio.Future[None]:
        """A future that is done when the caller took the INVITE back; 487 was sent already."""
        return asyncio.shield(self._cancelled)

    def respond(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: Fields = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> None:
        """Answer provisionally or refuse.

        Raises:
            LocalProtocolError: It was answered before, or the status accepts the call.
        """
        if 200 <= status < 300:
            raise LocalProtocolError("an INVITE is accepted by accept()")
        self._answer(self.make_response(status, reason, headers, body, content_type))

    def provisional(self, status: int, reason: str | None = None) -> None:
        """Send 180 or 183."""
        fields = [("Contact", self._host.contact(self.flow))]
        self._answer(self.make_response(status, reason, fields))

    def reject(self, status: int, reason: str | None = None, *, headers: Fields = ()) -> None:
        """Refuse the call."""
        self.respond(status, reason, headers=headers)

    async def accept(
        self,
        *,
        body: bytes = b"",
        content_type: str | None = "application/sdp",
        headers: Fields = (),
    ) -> IncomingCall:
        """Accept the call; return when the ACK came.

        The 200 is repeated until then. A caller that is cancelled meanwhile ends the call.

        Raises:
            CallCancelled: The peer took the INVITE back before.
            TransactionTimeout: No ACK came within 64 T1; BYE was sent.
            FlowFailed: The endpoint was closed.
        """
        if self._cancelled.done():
            raise CallCancelled("the caller took the INVITE back")
        response = self.make_response(200, None, headers, body, content_type if body else None)
        if "Contact" not in response.headers:
            response.headers.add("Contact", self._host.contact(self.flow))
        call = IncomingCall(self._host, self._call_key, self.request, self.flow)
        self._host.adopt(call)
        self._answer(response)
        try:
            acknowledged = await call.acknowledged
        except asyncio.CancelledError:
            call.hang_up()
            raise
        if not acknowledged:
            if call.is_ended and call.ended.result().text == CLOSED:
                raise FlowFailed(CLOSED)
            raise TransactionTimeout("the call was accepted, but no ACK came")
        return call

    def withdraw(self) -> None:
        """Note that the caller took the INVITE back. For the endpoint."""
        if not self._cancelled.done():
            self._cancelled.set_result(None)

    def _answer(self, response: Response) -> None:
        self._host.stack.calls.respond(self._call_key, response, self._host.now())
        self._host.pump()


class IncomingRequests:
    """The requests of the peers, in order, to walk or to be served; ends with the endpoint.

    ``limit`` is the high mark, from which on strangers are turned away. What passes it has twice
    as much room, requests within calls four times.
    """

    def __init__(self, limit: int) -> None:
        self._waiting: deque[IncomingRequest] = deque()
        self._limit = limit
        self._changed = asyncio.Event()
        self._serve: Callable[[IncomingRequest], None] | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, request: IncomingRequest) -> bool:
        """Take a request; false when too many wait."""
        limit = (2 if request.call is None else 4) * self._limit
        if self._is_closed or len(self._waiting) >= limit:
            return False
        if self._serve is not None and not self._waiting:
            self._serve(request)
            return True
        self._waiting.append(request)
        self._changed.set()
        return True

    async def serve(self, handler: Callable[[IncomingRequest], None]) -> None:
        """Call a function with each request as it comes; see ``SipEndpoint.serve``."""
        self._serve = handler
        try:
            while self._waiting:
                handler(self._waiting.popleft())
            while not self._is_closed:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._serve = None

    def close(self) -> None:
        """End the iteration after what waits."""
        self._is_closed = True
        self._changed.set()

    def __aiter__(self) -> "IncomingRequests":
        return self

    async def __anext__(self) -> IncomingRequest:
        while not self._waiting:
            if self._is_closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()


def described(content_type: str | None) -> list[tuple[str, str]]:
    """Return the Content-Type field of a body."""
    return [] if content_type is None else [("Content-Type", content_type)]
