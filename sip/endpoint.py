"""SipEndpoint: a stack driven by transports and loop timers."""

import asyncio
import logging
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from .conversation import CLOSED, IncomingRequests
from .conversation import Call as Call
from .conversation import IncomingCall as IncomingCall
from .conversation import IncomingInvite as IncomingInvite
from .conversation import IncomingRequest as IncomingRequest
from .conversation import OutgoingCall as OutgoingCall
from .errors import CallRejected, FlowFailed, LocalProtocolError, SipError, TransactionTimeout
from .events import (
    CallAcknowledged,
    CallAnswered,
    CallEnded,
    CallFailed,
    CallKey,
    CallProgress,
    CallRefused,
    CallReleased,
    CallUnacknowledged,
    Event,
    FlowBroken,
    FlowLost,
    InviteCancelled,
    InviteReceived,
    RequestReceived,
    ResponseReceived,
    TransactionFlowLost,
    TransactionKey,
    TransactionTimedOut,
)
from .flow import Address, Flow
from .message import Request, Response
from .stack import DEFAULT_TIMERS, SipStack
from .timers import Timers
from .trace import TraceRecord, make_record
from .transport import (
    Network,
    TcpTransport,
    UdpTransport,
    is_literal,
    is_wildcard,
    parse_address,
    routed_host,
)
from .uri import SipUri

logger = logging.getLogger("gb28181.sip")

RETRY_AFTER = (("Retry-After", "10"),)


def random_token() -> str:
    """Return 64 random bits as text."""
    return secrets.token_hex(8)


class SipEndpoint:
    """Sends and receives requests and calls over UDP and TCP."""

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
        token: Callable[[], str] = random_token,
        user: str = "",
    ) -> None:
        """Make an endpoint that is not open yet.

        Args:
            listen: ``udp://host:port`` and ``tcp://host:port``; empty host for every address,
                port 0 for any.
            network: Opens the sockets; the running loop when None.
            timers: The base timers.
            user_agent: Written into requests and responses; empty leaves it out.
            local_host: Maps a peer's host to our host in Via and Contact; None where it does not
                know: the socket's own or routed address.
            inbox: How many requests may wait to be read; more are answered 503.
            tap: Is given a record of each datagram and piece of a stream.
            token: Returns random text.
            user: User part of our Contact.
        """
        self.listening: list[tuple[str, Address]] = []
        self.stack = SipStack(timers=timers, token=token, sent_by=self._sent_by)
        self.counters: Counter[str] = self.stack.counters
        self.user_agent = user_agent
        self._listen = [parse_address(text) for text in listen]
        self._network = network
        self._local_host = local_host
        self._tap = tap
        self._token = token
        self._user = user
        self._inbox = IncomingRequests(inbox)
        self._udp: dict[Address, UdpTransport] = {}
        self._tcp: TcpTransport | None = None
        self._answers: dict[TransactionKey, asyncio.Future[Response]] = {}
        self._invites: dict[CallKey, PendingInvite] = {}
        self._offered: dict[CallKey, IncomingInvite] = {}
        self._calls: dict[CallKey, Call] = {}
        self._flow_lost: list[Callable[[Flow], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None
        self._opening_udp = asyncio.Lock()
        self._events: deque[Event] = deque()
        self._is_pumping = False
        self._is_closed = False

    # Life.

    async def start(self) -> None:
        """Open the sockets.

        Raises:
            OSError: A port is in use; nothing stays open then.
        """
        self._open_tcp()
        try:
            for transport, (host, port) in self._listen:
                local = (host or "0.0.0.0", port)
                if transport == "udp":
                    actual = await self._bind(local)
                else:
                    actual = await self._open_tcp().listen(local)
                self.listening.append((transport, actual))
        except OSError:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close everything; pending requests raise ``FlowFailed``, calls end as lost."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        closed = FlowFailed(CLOSED)
        for answer in self._answers.values():
            _fail(answer, closed)
        for pending in self._invites.values():
            _fail(pending.answer, closed)
        for offered in list(self._offered.values()):
            offered.withdraw()
        for call in list(self._calls.values()):
            call.set_ended(CallEnded(call=call.key, by="lost", text=CLOSED))
            call.set_released()
        self._calls.clear()
        self._inbox.close()
        if self._tcp is not None:
            await self._tcp.aclose()
        for udp in list(self._udp.values()):
            await udp.aclose()
        self._udp.clear()

    def on_flow_lost(self, callback: Callable[[Flow], None]) -> None:
        """Let a function be called with each connection that ends."""
        self._flow_lost.append(callback)

    # What our user asks for.

    def requests(self) -> AsyncIterator[IncomingRequest]:
        """Return the requests of the peers, but for ACK, CANCEL, and BYE of known calls."""
        return self._inbox

    def new_call_id(self) -> str:
        """Return a fresh Call-ID."""
        return self._token()

    def new_tag(self) -> str:
        """Return a fresh tag."""
        return self._token()

    def contact(self, target: Flow | str) -> str:
        """Return our Contact value as the peer at the other end should see it."""
        if isinstance(target, Flow):
            transport, (host, port) = target.transport, self._sent_by(target)
        else:
            transport, remote = parse_address(target)
            host, port = self._sent_by(Flow(transport, ("", 0), remote))
        parameters: dict[str, str | None] = {"transport": "tcp"} if transport == "tcp" else {}
        return f"<{SipUri('sip', self._user, host, port or None, parameters)}>"

    async def request(
        self, request: Request, target: Flow | str, *, timeout: float | None = None
    ) -> Response:
        """Send a request outside any dialog and return its final response, whatever its status.

        The request given is not changed. A caller that is cancelled leaves nothing behind.

        Args:
            request: Missing Via, From tag, Call-ID, CSeq, Max-Forwards and User-Agent are filled
                in the copy that is sent.
            target: A flow that exists, or ``udp://host:port`` or ``tcp://host:port``.
            timeout: Seconds; None leaves it to the transaction (64 T1).

        Raises:
            TransactionTimeout: No final response came.
            FlowFailed: The flow does not exist, could not be opened, or broke.
        """
        if request.method in ("INVITE", "ACK", "CANCEL"):
            raise LocalProtocolError(f"{request.method} is not sent as a plain request")
        try:
            async with asyncio.timeout(timeout):
                flow = await self._reach(target)
                sent = self._completed(request, flow)
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
        key: CallKey | None = None
        call: OutgoingCall | None = None
        answer: asyncio.Future[OutgoingCall] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                flow = await self._reach(target)
                sent = self._completed(request, flow)
                if "Contact" not in sent.headers:
                    sent.headers.add("Contact", self.contact(flow))
                key = self.stack.calls.invite(sent, flow, self.now())
                self._invites[key] = PendingInvite(sent, flow, answer, on_progress)
                self.pump()
                call = await answer
        except TimeoutError as exc:
            raise TransactionTimeout(f"INVITE: no final answer in {timeout} s") from exc
        finally:
            if answer.done() and not answer.cancelled():
                answer.exception()  # nobody may be left to be told
            if key is not None:
                self._invites.pop(key, None)
                if call is None:
                    self._calls.pop(key, None)
                    self.stack.calls.cancel(key, self.now())
                    self.pump()
        return call

    # What calls and incoming requests use.

    def now(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()

    def adopt(self, call: IncomingCall) -> None:
        """Deliver events of a call to its object from now on."""
        self._offered.pop(call.key, None)
        self._calls[call.key] = call

    async def wait_for_response(self, send: Callable[[float], TransactionKey]) -> Response:
        """Send a request and return its final response."""
        if self._is_closed:
            raise FlowFailed(CLOSED)
        key = send(self.now())
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._answers[key] = answer
        try:
            self.pump()
            return await answer
        finally:
            self._answers.pop(key, None)
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
            while True:
                outgoing = self.stack.outgoing()
                self._events += self.stack.events()
                if not outgoing and not self._events:
                    break
                for flow, data in outgoing:
                    self._write(flow, data)
                while self._events:  # one by one: a user's callback that raises loses no other
                    event = self._events.popleft()
                    _ON[type(event)](self, event)
        finally:
            self._is_pumping = False
        self._arm()

    # What the transports bring.

    def received(self, flow: Flow, data: bytes) -> None:
        """Take a datagram or a piece of a stream."""
        if self._is_closed:
            return
        try:
            self._record("in", flow, data)
            self.stack.receive_data(flow, data, self.now())
            self.pump()
        except Exception:
            # The boundary: one peer's bytes must not end the endpoint of all others.
            self.counters["fault"] += 1
            logger.exception("data from %s could not be handled", flow)

    def lost(self, flow: Flow) -> None:
        """Take the end of a connection."""
        if not self._is_closed:
            self.stack.flow_lost(flow, self.now())
            self.pump()
            for callback in list(self._flow_lost):
                callback(flow)

    # Within.

    async def _reach(self, target: Flow | str) -> Flow:
        if self._is_closed:
            raise FlowFailed(CLOSED)
        if isinstance(target, Flow):
            return target
        transport, (host, port) = parse_address(target)
        if transport == "tcp":
            return await self._open_tcp().connect((host, port))
        host = await self._resolve(host)
        local = next((local for local in self._udp if (":" in local[0]) == (":" in host)), None)
        if local is None:
            local = await self._open_client_udp("::" if ":" in host else "0.0.0.0")
        return Flow("udp", local, (host, port))

    async def _resolve(self, host: str) -> str:
        if is_literal(host):
            return host
        resolve = getattr(self._net(), "getaddrinfo", None)
        if resolve is None:
            return host
        try:
            return str((await resolve(host, None))[0][4][0])
        except OSError as exc:
            raise FlowFailed(f"{host} is not known: {exc}") from exc

    async def _open_client_udp(self, host: str) -> Address:
        async with self._opening_udp:
            for local in self._udp:
                if (":" in local[0]) == (":" in host):
                    return local
            try:
                return await self._bind((host, 0))
            except OSError as exc:
                raise FlowFailed(str(exc)) from exc

    async def _bind(self, local: Address) -> Address:
        udp = await UdpTransport.open(self._net(), self, local)
        if self._is_closed:
            await udp.aclose()
            raise FlowFailed(CLOSED)
        self._udp[udp.local] = udp
        return udp.local

    def _net(self) -> Network:
        # A loop has these methods, with overloads that a Protocol cannot match.
        return self._network or cast("Network", asyncio.get_running_loop())

    def _open_tcp(self) -> TcpTransport:
        if self._tcp is None:
            self._tcp = TcpTransport(self._net(), self)
        return self._tcp

    def _sent_by(self, flow: Flow) -> Address:
        host, port = flow.local
        for transport, (bound, number) in self.listening:
            if transport == flow.transport and (bound == host or is_wildcard(bound) or not host):
                port = number
                host = host or bound
                break
        if not port and flow.transport == "udp" and self._udp:
            port = next(iter(self._udp))[1]
        chosen = self._local_host(flow.remote[0]) if self._local_host is not None else None
        if chosen:
            return chosen, port
        if is_wildcard(host):
            host = routed_host(self._net(), flow.remote[0])
        return host, port

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

    def _write(self, flow: Flow, data: bytes) -> None:
        if flow.transport == "udp":
            udp = self._udp.get(flow.local)
            sent = udp is not None and udp.send(flow, data)
        else:
            sent = self._tcp is not None and self._tcp.send(flow, data)
        if sent:
            self._record("out", flow, data)
        else:
            self.counters["send_failed"] += 1
            self.stack.flow_lost(flow, self.now())

    def _record(self, direction: Literal["in", "out"], flow: Flow, data: bytes) -> None:
        if self._tap is not None:
            self._tap(make_record(self.now(), direction, flow, data))

    def _arm(self) -> None:
        when = self.stack.next_timeout()
        if when == self._armed_for and self._timer is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = when
        loop = asyncio.get_running_loop()
        self._timer = None if when is None else loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # call_at may come a clock tick early; what is due then must not be set again and again.
        self.stack.handle_timeout(max(self.now(), self._armed_for or 0.0))
        self.pump()

    def _on_response(self, event: ResponseReceived) -> None:
        answer = self._answers.get(event.key)
        if answer is not None and not answer.done() and event.response.status >= 200:
            answer.set_result(event.response)

    def _on_timeout(self, event: TransactionTimedOut) -> None:
        if event.key in self._answers:
            _fail(self._answers[event.key], TransactionTimeout(f"{event.method}: no answer"))

    def _on_transaction_lost(self, event: TransactionFlowLost) -> None:
        if event.key in self._answers:
            _fail(self._answers[event.key], FlowFailed(f"{event.flow} was lost"))

    def _on_flow_lost(self, event: FlowLost) -> None:
        """Do nothing: ``lost`` tells our users, and a send to a dead flow is no second loss."""

    def _on_flow_broken(self, event: FlowBroken) -> None:
        logger.warning("%s is closed: %s", event.flow, event.reason)
        if self._tcp is not None:
            self._tcp.close_flow(event.flow)

    def _on_request(self, event: RequestReceived) -> None:
        call = None if event.call is None else self._calls.get(event.call)
        incoming = IncomingRequest(self, event.key, event.request, event.flow, call)
        if not self._inbox.offer(incoming):
            self.counters["inbox_full"] += 1
            incoming.respond(503, headers=RETRY_AFTER)

    def _on_invite(self, event: InviteReceived) -> None:
        incoming = IncomingInvite(self, event.call, event.key, event.request, event.flow)
        self._offered[event.call] = incoming
        if not self._inbox.offer(incoming):
            self.counters["inbox_full"] += 1
            incoming.reject(503, headers=RETRY_AFTER)

    def _on_invite_cancelled(self, event: InviteCancelled) -> None:
        offered = self._offered.pop(event.call, None)
        if offered is not None:
            offered.withdraw()

    def _on_progress(self, event: CallProgress) -> None:
        pending = self._invites.get(event.call)
        if pending is not None and pending.on_progress is not None:
            pending.on_progress(event.response)

    def _on_answered(self, event: CallAnswered) -> None:
        pending = self._invites.get(event.call)
        if pending is None or pending.answer.done():
            self.stack.calls.cancel(event.call, self.now())
            return
        call = OutgoingCall(self, event.call, pending.sent, pending.flow, event.response)
        self._calls[event.call] = call
        pending.answer.set_result(call)

    def _on_refused(self, event: CallRefused) -> None:
        self._fail_invite(event.call, CallRejected(event.response))

    def _on_failed(self, event: CallFailed) -> None:
        error = FlowFailed(event.text) if event.flow_lost else TransactionTimeout(event.text)
        self._fail_invite(event.call, error)

    def _on_acknowledged(self, event: CallAcknowledged | CallUnacknowledged) -> None:
        call = self._calls.get(event.call)
        if isinstance(call, IncomingCall):
            call.set_acknowledged(event.request if isinstance(event, CallAcknowledged) else None)

    def _on_ended(self, event: CallEnded) -> None:
        if event.call in self._calls:
            self._calls[event.call].set_ended(event)

    def _on_released(self, event: CallReleased) -> None:
        self._offered.pop(event.call, None)
        released = self._calls.pop(event.call, None)
        if released is not None:
            released.set_released()

    def _fail_invite(self, key: CallKey, error: SipError) -> None:
        pending = self._invites.get(key)
        if pending is not None:
            _fail(pending.answer, error)


@dataclass(frozen=True, slots=True)
class PendingInvite:
    """An INVITE of ours that somebody waits for."""

    sent: Request
    flow: Flow
    answer: asyncio.Future[OutgoingCall]
    on_progress: Callable[[Response], None] | None


def _fail(future: asyncio.Future[Any], error: SipError) -> None:
    if not future.done():
        future.set_exception(error)


_ON: dict[type[Event], Callable[[SipEndpoint, Any], None]] = {
    ResponseReceived: SipEndpoint._on_response,
    TransactionTimedOut: SipEndpoint._on_timeout,
    TransactionFlowLost: SipEndpoint._on_transaction_lost,
    RequestReceived: SipEndpoint._on_request,
    FlowLost: SipEndpoint._on_flow_lost,
    FlowBroken: SipEndpoint._on_flow_broken,
    InviteReceived: SipEndpoint._on_invite,
    InviteCancelled: SipEndpoint._on_invite_cancelled,
    CallProgress: SipEndpoint._on_progress,
    CallAnswered: SipEndpoint._on_answered,
    CallRefused: SipEndpoint._on_refused,
    CallFailed: SipEndpoint._on_failed,
    CallAcknowledged: SipEndpoint._on_acknowledged,
    CallUnacknowledged: SipEndpoint._on_acknowledged,
    CallEnded: SipEndpoint._on_ended,
    CallReleased: SipEndpoint._on_released,
}
