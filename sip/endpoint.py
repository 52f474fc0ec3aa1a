"""SipEndpoint: a stack driven by transports and loop timers."""

import asyncio
import logging
import os
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import ExitStack

from .conversation import CLOSED
from .conversation import Call as Call
from .conversation import IncomingCall as IncomingCall
from .conversation import IncomingInvite as IncomingInvite
from .conversation import IncomingRequest as IncomingRequest
from .conversation import OutgoingCall as OutgoingCall
from .delivery import Delivery, PendingInvite
from .errors import FlowFailed, LocalProtocolError, TransactionTimeout
from .events import CallKey, Event, SubscriptionKey, TransactionKey
from .flow import Address, Flow
from .message import Request, Response
from .notification import IncomingSubscribe as IncomingSubscribe
from .notification import IncomingSubscription as IncomingSubscription
from .notification import Notification as Notification
from .notification import OutgoingSubscription as OutgoingSubscription
from .overload import (
    DEFAULT_LIMITS,
    DEFAULT_STACK_LIMITS,
    Dawdlers,
    Gate,
    OverloadLimits,
    StackLimits,
)
from .sockets import Sockets
from .stack import DEFAULT_TIMERS, SipStack
from .timers import Timers
from .tls import TlsSettings
from .trace import TraceRecord, make_record
from .transport import Network

logger = logging.getLogger("gb28181.sip")


VIA_ROOM = 120
"""Bytes that Via and Contact add to a request, about."""
_NEEDS_A_CALL = frozenset({"INVITE", "ACK", "CANCEL"})


_MARK = "z"
_MADE = re.compile(f"[0-9a-f]{{16}}{_MARK}")


class RandomTokens:
    """Makes texts of 64 random bits, of which the system is asked for many at a time.

    They end with a mark, so that ``is_foreign`` knows a tag of ours even after a restart.

    Source: RFC 3261 section 12.2.2, which has To tags made so that a user agent knows its own.
    """

    __slots__ = ("_bits", "_place")

    def __init__(self) -> None:
        self._bits = ""
        self._place = 0

    def __call__(self) -> str:
        """Return the next one."""
        if self._place == len(self._bits):
            self._bits = os.urandom(1024).hex(_MARK, 8) + _MARK
            self._place = 0
        self._place += 17
        return self._bits[self._place - 17 : self._place]


def is_foreign(tag: str) -> bool:
    """Tell whether a tag is none that ``RandomTokens`` made, here or in another process."""
    return _MADE.fullmatch(tag) is None


class SipEndpoint:
    """Sends and receives requests, calls and subscriptions over UDP, TCP and TLS."""

    def __init__(
        self,
        *,
        listen: Sequence[str] = (),
        network: Network | None = None,
        timers: Timers = DEFAULT_TIMERS,
        user_agent: str = "gb28181/0.1",
        local_host: Callable[[str], str | None] | None = None,
        inbox: int = 4096,
        tap: Callable[[TraceRecord], None] | None = None,
        token: Callable[[], str] | None = None,
        user: str = "",
        subscription_identity: Callable[[Request], Hashable] | None = None,
        tls: TlsSettings | None = None,
        prefers_tcp: Callable[[Flow], bool] | None = None,
        is_known: Callable[[Flow], bool] | None = None,
        overload: OverloadLimits = DEFAULT_LIMITS,
        limits: StackLimits = DEFAULT_STACK_LIMITS,
        accepts_tag: Callable[[str], bool] | None = None,
    ) -> None:
        """Make an endpoint that is not open yet.

        Args:
            listen: ``udp://``, ``tcp://`` and ``tls://host:port``; empty host for every IPv4
                address, ``[::]`` for every IPv6 one, port 0 for any.
            network: Opens the sockets; the running loop when None.
            timers: The base timers.
            user_agent: Written into requests and responses; empty leaves it out.
            local_host: Maps a peer's host to our host in Via and Contact; None where it does not
                know: the socket's own or routed address.
            inbox: How many requests may wait to be read before new ones of strangers are answered
                503; known peers have twice as much room.
            tap: Is given a record of each datagram and of each message of a stream, both ways.
            token: Returns random text; 64 random bits when None.
            user: User part of our Contact.
            subscription_identity: What makes a SUBSCRIBE replace an older one that it does not
                share a dialog with; the subscriber, the Event and the target when None.
            tls: Certificates; a listening ``tls://`` needs one.
            prefers_tcp: Tells whether the peer of a UDP flow takes requests above 1,300 bytes over
                TCP at the same address; nobody does when None.
            is_known: Tells whether a flow belongs to a peer that has proved who it is: such are
                served under overload and never charged for. When None nobody is charged at all.
            overload: Numbers of the protection against too much.
            limits: Sizes of one message, and how much is kept at once.
            accepts_tag: Tells of a To tag of no dialog that stands whether its INVITE or SUBSCRIBE
                is taken as an initial one, for example ``is_foreign``; each is answered 481 when
                None. What belongs to a dialog that has ended is answered 481 either way.
        """
        self._sockets = Sockets(
            self,
            listen=listen,
            network=network,
            local_host=local_host,
            limits=overload,
            tls=tls,
            prefers_tcp=prefers_tcp,
        )
        self.listening: list[tuple[str, Address]] = self._sockets.listening
        self.counters: Counter[str] = Counter()
        self._delivery = Delivery(self, inbox=inbox, close_flow=self._sockets.close_flow)
        self._inbox = self._delivery.inbox
        self._calls = self._delivery.calls
        self._dawdlers = Dawdlers(overload)
        self._patience = overload.stranger_idle
        self._is_known = is_known
        self._token = RandomTokens() if token is None else token
        self.stack = SipStack(
            timers=timers,
            token=self._token,
            sent_by=self._sockets.sent_by,
            limits=limits,
            subscription_identity=subscription_identity,
            counters=self.counters,
            accepts_tag=accepts_tag,
            admission=Gate(
                overload,
                high=inbox,
                waiting=self._inbox.__len__,
                counters=self.counters,
                is_known=is_known,
                on_proved=self._dawdlers.trust,
            ),
        )
        self.user_agent = user_agent
        self._tap = tap
        if tap is not None:
            self.stack.on_received = self._trace
        self._user = user
        self._flow_lost: list[Callable[[Flow], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._time: Callable[[], float] | None = None
        self._received_at = -1.0  # while something is being received: asking the loop is dear
        self._events: deque[Event] = deque()
        self._is_pumping = False
        self._is_closed = False

    # Life.

    async def start(self) -> None:
        """Open the sockets.

        Raises:
            OSError: A port is in use; nothing stays open then.
        """
        try:
            await self._sockets.start()
        except OSError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close everything; pending requests raise ``FlowFailed``, calls end as lost."""
        self._close()
        await self._sockets.aclose()

    def on_flow_lost(self, callback: Callable[[Flow], None]) -> None:
        """Let a function be called with each connection that ends."""
        self._flow_lost.append(callback)

    def reload_tls(self, settings: TlsSettings | None = None) -> None:
        """Read the certificates anew; connections that stand keep what they have.

        Args:
            settings: Other files from now on; the same ones when None. Contexts that were given in
                the settings are used again as they are.

        Raises:
            OSError: A file cannot be read or is no certificate; the old ones stay in use.
        """
        self._sockets.reload_tls(settings)

    def certificate(self, flow: Flow) -> bytes | None:
        """Return the certificate (DER) that the peer of a TLS flow has shown, None without one."""
        return self._sockets.certificate(flow)

    # What our user asks for.

    def requests(self) -> AsyncIterator[IncomingRequest]:
        """Return the requests of the peers, but for ACK, CANCEL, and BYE of known calls."""
        return self._inbox

    async def serve(self, handler: Callable[[IncomingRequest], None]) -> None:
        """Call a function with each request of ``requests()`` until the endpoint is closed.

        It is called while the request is being read, which saves the turns of the loop between.
        What it raises is logged and counted, and leaves its request unanswered.
        """
        await self._inbox.serve(handler)

    def new_call_id(self) -> str:
        """Return a fresh Call-ID."""
        return self._token()

    def new_tag(self) -> str:
        """Return a fresh tag."""
        return self._token()

    def contact(self, target: Flow | str) -> str:
        """Return our Contact value as the peer at the other end should see it."""
        return self._sockets.contact(self._user, target)

    async def reach(self, target: Flow | str) -> Flow:
        """Return the flow to a target; a connection is opened when there is none.

        Without a listening TCP or TLS port ``contact`` knows only then where we can be reached.

        Raises:
            FlowFailed: It cannot be opened, or the endpoint is closed.
        """
        return await self._sockets.reach(target)

    async def request(
        self, request: Request, target: Flow | str, *, timeout: float | None = None
    ) -> Response:
        """Send a request outside any dialog and return its final response, whatever its status.

        The request given is not changed. A caller that is cancelled leaves nothing behind.

        Args:
            request: Missing Via, From tag, Call-ID, CSeq, Max-Forwards and User-Agent are filled
                in the copy that is sent.
            target: A flow that exists, or ``udp://``, ``tcp://`` or ``tls://host:port``.
            timeout: Seconds; None leaves it to the transaction (64 T1).

        Raises:
            LocalProtocolError: INVITE, ACK and CANCEL belong to a call.
            TransactionTimeout: No final response came.
            FlowFailed: The flow does not exist, could not be opened, or broke.
        """
        if request.method in _NEEDS_A_CALL:
            raise LocalProtocolError(f"{request.method} is not sent as a plain request")
        try:
            async with asyncio.timeout(timeout):
                flow = await self._sockets.reach(target)
                sent = self._completed(request, flow)
                flow = await self._moved(sent, flow)
                return await self.wait_for_response(
                    lambda now: self.stack.send_request(sent, flow, now)
                )
        except TimeoutError as exc:
            raise TransactionTimeout(f"{request.method}: no answer in {timeout} s") from exc

    async def invite(
        self,
        request: Request,
        target: Flow | str,
        *,
        timeout: float = 15.0,
        on_progress: Callable[[Response], None] | None = None,
    ) -> OutgoingCall:
        """Call somebody; the call that comes back waits for ``ack()``.

        A caller that gives up leaves the CANCEL, and ACK and BYE to a late 200, to the stack.

        Args:
            request: As in ``request``; a missing Contact is filled in too.
            target: As in ``request``.
            timeout: Seconds until the final answer.
            on_progress: Is called with each provisional response.

        Raises:
            CallRejected: The final answer was 300 or above.
            TransactionTimeout: There was none.
            FlowFailed: The flow does not exist, could not be opened, or broke.
        """
        answer: asyncio.Future[OutgoingCall] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                flow = await self._sockets.reach(target)
                sent = self._completed(request, flow)
                flow = await self._moved(sent, flow)
                if "Contact" not in sent.headers:
                    sent.headers.add("Contact", self.contact(flow))
                key = self.stack.calls.invite(sent, flow, self.now())
                with ExitStack() as undo:
                    undo.callback(self._take_back, key, answer)
                    self._delivery.invites[key] = PendingInvite(sent, flow, answer, on_progress)
                    self.pump()
                    call = await answer
                    undo.pop_all()
                self._delivery.invites.pop(key, None)
                return call
        except TimeoutError as exc:
            raise TransactionTimeout(f"INVITE: no final answer in {timeout} s") from exc

    async def subscribe(
        self,
        request: Request,
        target: Flow | str,
        *,
        expires: int = 600,
        timeout: float = 15.0,
        body: Callable[[], bytes] | None = None,
        on_notify: Callable[[Notification], None] | None = None,
        backlog: int = 256,
    ) -> OutgoingSubscription:
        """Subscribe; the subscription that comes back refreshes itself at 2/3 of its time.

        A caller that gives up leaves a subscription that was granted meanwhile to the stack, which
        ends it.

        Args:
            request: A SUBSCRIBE with Event, otherwise as in ``invite``.
            target: As in ``request``.
            expires: Seconds to ask for; 0 asks for the state once.
            timeout: Seconds until the final answer.
            body: Makes the body of each refresh and of the end; the first one again when None.
            on_notify: Is called with each NOTIFY in place of ``notifications()``. It may answer
                itself; else 200 is sent when it returns.
            backlog: NOTIFYs that may wait in ``notifications()``; more are answered 503.

        Raises:
            SubscriptionRejected: The final answer was 300 or above.
            TransactionTimeout: There was none.
            FlowFailed: The flow does not exist, could not be opened, or broke.
        """
        try:
            async with asyncio.timeout(timeout):
                flow = await self._sockets.reach(target)
                sent = self._completed(request, flow)
                sent.headers.set("Expires", str(expires))
                flow = await self._moved(sent, flow)
                if "Contact" not in sent.headers:
                    sent.headers.add("Contact", self.contact(flow))
                key = self.stack.subscriber.subscribe(sent, flow, self.now(), body=body)
                subscription = OutgoingSubscription(
                    self, key, sent, flow, on_notify=on_notify, backlog=backlog
                )
                with ExitStack() as undo:
                    undo.callback(self._leave, key)
                    self._delivery.outgoing[key] = subscription
                    self.pump()
                    await subscription.accepted
                    undo.pop_all()
                return subscription
        except TimeoutError as exc:
            raise TransactionTimeout(f"SUBSCRIBE: no final answer in {timeout} s") from exc

    # What calls and incoming requests use.

    def now(self) -> float:
        """Return the loop's time; while something is being received, when that began."""
        if self._received_at >= 0.0:
            return self._received_at
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()

    def adopt(self, call: IncomingCall) -> None:
        """Deliver events of a call to its object from now on."""
        self._delivery.offered.pop(call.key, None)
        self._calls[call.key] = call

    def adopt_subscription(self, subscription: IncomingSubscription) -> None:
        """Deliver events of a subscription to its object from now on."""
        self._delivery.incoming[subscription.key] = subscription

    async def roomy(self, flow: Flow, size: int) -> Flow:
        """Return the flow for a request of this size; another than given only for a large one."""
        return await self._sockets.roomy(flow, size)

    async def wait_for_response(self, send: Callable[[float], TransactionKey]) -> Response:
        """Send a request and return its final response."""
        if self._is_closed:
            raise FlowFailed(CLOSED)
        key = send(self.now())
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._delivery.answers[key] = answer
        try:
            self.pump()
            return await answer
        finally:
            self._delivery.answers.pop(key, None)
            if answer.done() and not answer.cancelled():
                answer.exception()
            else:
                self.stack.abandon(key, self.now())
                self.pump()

    def pump(self) -> None:
        """Send and deliver what the stack has, and set the timer anew."""
        if self._is_pumping or self._is_closed:
            return
        self._is_pumping = True
        try:
            while self.stack.has_output or self._events:
                outgoing = self.stack.outgoing()
                self._events += self.stack.events()
                for flow, data in outgoing:
                    self._write(flow, data)
                while self._events:  # one by one: a user's callback that raises loses no other
                    event = self._events.popleft()
                    self._delivery.deliver(event)
        finally:
            self._is_pumping = False
        self._arm()

    # What the transports bring.

    def received(self, flow: Flow, data: bytes) -> None:
        """Take a datagram or a piece of a stream."""
        if self._is_closed:
            return
        try:
            now = self._received_at = self.now()
            messages = self.stack.receive_data(flow, data, now)
            if flow.reliable:
                is_idle = self.stack.is_between_messages(flow)
                self._dawdlers.progressed(flow, messages, is_idle=is_idle, now=now)
            self.pump()
        except Exception:
            # The boundary: one peer's bytes must not end the endpoint of all others.
            self.counters["fault"] += 1
            logger.exception("data from %s could not be handled", flow)
        finally:
            self._received_at = -1.0

    def accepted(self, flow: Flow) -> None:
        """Take a connection that a peer has opened."""
        if not self._is_closed:
            self._dawdlers.accepted(flow, self.now())
            self._arm()
            self._arm_sweeper()

    def lost(self, flow: Flow) -> None:
        """Take the end of a connection."""
        self._dawdlers.gone(flow)
        if not self._is_closed:
            self.stack.flow_lost(flow, self.now())
            self.pump()
            for callback in list(self._flow_lost):
                callback(flow)

    def broken(self, reason: str) -> None:
        """Take the death of a UDP socket: ``requests()`` ends, whoever waits is told."""
        if not self._is_closed:
            logger.error("the endpoint is closed: %s", reason)
            self._close()

    # Within.

    def _close(self) -> None:
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._sockets.bar()
        self._delivery.close()

    def _take_back(self, key: CallKey, answer: asyncio.Future[OutgoingCall]) -> None:
        if answer.done() and not answer.cancelled():
            answer.exception()  # nobody may be left to be told
        self._delivery.invites.pop(key, None)
        self._calls.pop(key, None)
        self.stack.calls.cancel(key, self.now())
        self.pump()

    def _leave(self, key: SubscriptionKey) -> None:
        self._delivery.outgoing.pop(key, None)
        self.stack.subscriber.cancel(key, self.now())
        self.pump()

    async def _moved(self, sent: Request, flow: Flow) -> Flow:
        if flow.reliable or not self._sockets.may_move:
            return flow
        return await self.roomy(flow, len(sent.to_bytes()) + VIA_ROOM)

    def _completed(self, request: Request, flow: Flow) -> Request:
        headers = request.headers.copy()
        sender = headers.get("From")
        if sender is None:
            sender = self.contact(flow)
        sent = Request(request.method, request.uri, headers, request.body)
        if "From" not in headers or sent.from_.tag is None:
            headers.set("From", f"{sender};tag={self.new_tag()}")
        if "To" not in headers:
            headers.add("To", f"<{request.uri}>")
        if "Call-ID" not in headers:
            headers.add("Call-ID", self.new_call_id())
        if "CSeq" not in headers:
            headers.add("CSeq", f"1 {request.method}")
        if "Max-Forwards" not in headers:
            headers.add("Max-Forwards", "70")
        if "User-Agent" not in headers and self.user_agent:
            headers.add("User-Agent", self.user_agent)
        return sent

    def _trace(self, flow: Flow, data: bytes, now: float) -> None:
        assert self._tap is not None
        self._tap(make_record(now, "in", flow, data))

    def _write(self, flow: Flow, data: bytes) -> None:
        if self._sockets.send(flow, data):
            if self._tap is not None:
                self._tap(make_record(self.now(), "out", flow, data))
        else:
            self.counters["send_failed"] += 1
            self.stack.flow_lost(flow, self.now())

    def _arm(self) -> None:
        when = self.stack.next_timeout()
        if len(self._dawdlers):
            watched = self._dawdlers.next_timeout()
            if when is None or (watched is not None and watched < when):
                when = watched
        if self._timer is not None:
            # One that comes too early costs less than setting it anew with each message.
            if when is not None and self._armed_for <= when:
                return
            self._timer.cancel()
            self._timer = None
        if when is not None:
            self._armed_for = when
            self._timer = asyncio.get_running_loop().call_at(when, self._on_timer)

    def _arm_sweeper(self) -> None:
        # A timer of its own, and few of its rounds: nothing is done for it with each message.
        if self._sweeper is None and self._is_known is not None and self._dawdlers.has_accepted:
            loop = asyncio.get_running_loop()
            self._sweeper = loop.call_later(self._patience / 4, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        self._arm_sweeper()
        silent = self._dawdlers.idle(self.now())
        used = self.stack.flows_in_use() if silent else set()
        for flow in silent:
            if flow not in used and not (self._is_known is not None and self._is_known(flow)):
                self.counters["idle_closed"] += 1
                self._sockets.close_flow(flow, at_once=True)

    def _on_timer(self) -> None:
        self._timer = None
        # call_at may come a clock tick early; what is due then must not be set again and again.
        now = max(self.now(), self._armed_for)
        self.stack.handle_timeout(now)
        for flow in self._dawdlers.overdue(now):
            self.counters["dawdler_closed"] += 1
            self._sockets.close_flow(flow, at_once=True)
        self.pump()
