"""SipStack: SIP without sockets, tasks or clocks.

Requests go hop by hop between known addresses: there is no DNS procedure (RFC 3263), no forking
and no proxy here, and the transport is chosen by the one who names the flow.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from typing import TypeAlias

from .call import CallInput
from .dialog import Dialog, ForeignTags
from .errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from .events import (
    CallKey,
    Event,
    FlowBroken,
    FlowLost,
    RequestReceived,
    ResponseReceived,
    SubscriptionKey,
    TransactionFlowLost,
    TransactionKey,
    TransactionTimedOut,
)
from .flow import Address, Flow
from .headers import Via
from .hop import fill_via
from .inspection import refusal
from .invite import InviteUsage
from .matching import MAGIC_COOKIE, is_client_key, response_key, server_key
from .message import Request, Response, make_response
from .notifier import Notifier
from .overload import DEFAULT_STACK_LIMITS, Admission, Held, StackLimits
from .parser import KeepAlive, StreamParser, is_keepalive, parse_datagram
from .reinvite import CallTimer, ReinviteInput
from .subscriber import Subscriber
from .subscription import NotifierInput, SubscriberInput
from .timers import TimerHeap, Timers
from .transaction import (
    Action,
    ClientTransaction,
    Input,
    ServerTransaction,
    State,
    TransactionClock,
)

DEFAULT_TIMERS = Timers()
RETRY_AFTER = 10
UsageInput: TypeAlias = CallInput | ReinviteInput | SubscriberInput | NotifierInput
StackTimer: TypeAlias = (
    tuple[TransactionKey, Input]
    | CallTimer
    | tuple[SubscriptionKey, SubscriberInput]
    | tuple[SubscriptionKey, NotifierInput]
)

_USUAL_HEAD = 4096
"""Bytes of a head that no real request is larger than, and that count as one transaction."""
_DIALOG_METHODS = frozenset({"BYE", "INFO", "INVITE", "UPDATE", "PRACK"})


class SipStack:
    """Parser, transactions, calls and timers joined.

    After each call take ``outgoing()`` and ``events()`` and ask ``next_timeout()``. Input from the
    network never raises: what is malformed or fits nothing is answered where RFC 3261 says so, and
    counted in ``counters``.
    """

    def __init__(
        self,
        *,
        timers: Timers = DEFAULT_TIMERS,
        token: Callable[[], str],
        sent_by: Callable[[Flow], Address] | None = None,
        limits: StackLimits | None = None,
        subscription_identity: Callable[[Request], Hashable] | None = None,
        admission: Admission | None = None,
        extensions: Collection[str] = (),
        accepts_tag: Callable[[str], bool] | None = None,
        counters: Counter[str] | None = None,
    ) -> None:
        """Make an empty stack.

        Args:
            timers: The base timers.
            token: Returns random text fit for tags, branches and Call-IDs.
            sent_by: The address to write into Via for a flow; the flow's own without it.
            limits: Bounds of everything that is kept.
            subscription_identity: What makes a SUBSCRIBE replace an older one outside its dialog;
                the subscriber, the Event and the target when None.
            admission: Is asked before a new request is served, and told how it went.
            extensions: Option tags that our user serves; what requires another is answered 420.
            accepts_tag: Tells of a To tag of no dialog that stands whether its INVITE or SUBSCRIBE
                is taken as an initial one; each is answered 481 when None.
            counters: Where to count; a fresh one when None.
        """
        self.timers = timers
        self.counters: Counter[str] = Counter() if counters is None else counters
        self._token = token
        self._sent_by = sent_by
        self._limits = limits or DEFAULT_STACK_LIMITS
        self._admission = admission
        self._foreign_tags = ForeignTags(accepts_tag)
        self._extensions = frozenset(tag.lower() for tag in extensions)
        self.on_malformed: Callable[[Flow], None] | None = None
        """Is told of each flow that brought what is no SIP message."""
        self.on_received: Callable[[Flow, bytes, float], None] | None = None
        """Is given each datagram, and each message of a stream, whole and before it is acted on."""
        self._outgoing: list[tuple[Flow, bytes]] = []
        self._events: list[Event] = []
        self._heap: TimerHeap[StackTimer] = TimerHeap()
        self._clock = TransactionClock(timers, self._heap)  # type: ignore[arg-type]
        self._clients: dict[TransactionKey, ClientTransaction] = {}
        self._servers: dict[TransactionKey, ServerTransaction] = {}
        # Server transactions with a large head take the room of several.
        self._heavy: Held[TransactionKey] = Held(2 * self._limits.transactions)
        self._by_flow: dict[Flow, set[TransactionKey]] = {}
        # Bound once: each transaction would keep two such objects of its own.
        self._send, self._report = self.send_bytes, self._report_server
        self._parsers: dict[Flow, StreamParser] = {}
        self._reading: tuple[Flow, float] | None = None
        self._announced: Held[Flow] = Held(self._limits.bodies)
        self.calls = InviteUsage(self, heap=self._heap, token=token)  # type: ignore[arg-type]
        numbers = itertools.count(1)
        self.subscriber = Subscriber(
            self,
            heap=self._heap,  # type: ignore[arg-type]
            serial=lambda: SubscriptionKey(next(numbers)),
        )
        self.notifier = Notifier(
            self,
            heap=self._heap,  # type: ignore[arg-type]
            serial=lambda: SubscriptionKey(next(numbers)),
            identity=subscription_identity,
        )

    def receive_data(self, flow: Flow, data: bytes, now: float) -> int:
        """Take a datagram, or what a connection brought; return how many messages it held."""
        if not flow.reliable:
            if self.on_received is not None:
                self.on_received(flow, data, now)
            return self._receive_datagram(flow, data, now)
        parser = self._parsers.get(flow)
        if parser is None:
            parser = StreamParser(self._limits.messages, wants=self._wants_body)
            self._parsers[flow] = parser
        self._reading = flow, now
        messages = 0
        is_pinged = False
        for message in parser.push(data):
            if isinstance(message, KeepAlive):
                self.count("keepalive_in")
                if message.is_ping and not is_pinged:  # one answer to a flood of blank lines
                    is_pinged = True
                    self.send_bytes(flow, b"\r\n")
                continue
            self._announced.end(flow)
            if self.on_received is not None:
                self.on_received(flow, message.raw, now)
            if isinstance(message, MalformedMessage):
                self._refuse(flow, message, now)
                if message.is_fatal:
                    self.emit(FlowBroken(flow=flow, reason=str(message)))
                    break
            else:
                messages += 1
                self._receive_message(flow, message, now)
        return messages

    def is_between_messages(self, flow: Flow) -> bool:
        """Tell whether a connection stands between two messages."""
        parser = self._parsers.get(flow)
        return parser is None or parser.is_idle

    def flows_in_use(self) -> set[Flow]:
        """Return the connections that have a transaction, and the flows of what stands."""
        flows = set(self._by_flow)
        return flows.union(self.calls.flows(), self.subscriber.flows(), self.notifier.flows())

    def flow_lost(self, flow: Flow, now: float) -> None:
        """Take the end of a connection: its transactions fail, its calls wait for another flow."""
        self._parsers.pop(flow, None)
        self._announced.end(flow)
        for key in list(self._by_flow.get(flow, ())):
            transaction = self._find(key)
            if transaction is not None:
                transaction.take(Input.FLOW_LOST, now)
                self._reap(transaction)
        self._by_flow.pop(flow, None)
        self.emit(FlowLost(flow=flow))

    def send_request(self, request: Request, flow: Flow, now: float) -> TransactionKey:
        """Send a request; a missing Via is written.

        Raises:
            LocalProtocolError: The request cannot be written.
        """
        if "Via" not in request.headers:
            request.headers.prepend("Via", self._via(flow))
        transaction = ClientTransaction(
            request, flow, clock=self._clock, send=self._send, report=self._report_client
        )
        self._clients[transaction.key] = transaction
        self._by_flow.setdefault(flow, set()).add(transaction.key)
        transaction.start(now)
        return transaction.key

    def send_response(self, key: TransactionKey, response: Response, now: float) -> None:
        """Answer a request; nothing is sent when its flow is gone.

        Raises:
            LocalProtocolError: It was answered before.
        """
        transaction = self._servers.get(key)
        if transaction is None:
            self.count("response_without_transaction")
            return
        request = transaction.request
        transaction.respond(response, now)
        if self._admission is not None and request is not None and response.status >= 200:
            self._admission.settle(transaction.flow, request, response, now)
        self._reap(transaction)

    def abandon(self, key: TransactionKey, now: float) -> None:
        """Forget a request that nobody waits for any more; an INVITE within a call is cancelled."""
        if self.calls.reinvites.take_back(key, now):
            return
        transaction = self._clients.get(key)
        if transaction is not None:
            transaction.take(Input.ABANDON, now)
            self._reap(transaction)
            self.notifier.transaction_over(key, now)

    def next_timeout(self) -> float | None:
        """Return when ``handle_timeout`` is to be called; None when nothing waits."""
        return self._heap.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Let every timer fire that is due."""
        while (due := self._heap.pop_due(now)) is not None:
            key, given = due
            if isinstance(given, Input):
                transaction = self._find(TransactionKey(str(key)))
                if transaction is not None:
                    transaction.take(given, now)
                    self._reap(transaction)
            else:
                self._take_timer(int(key), given, now)

    @property
    def has_output(self) -> bool:
        """Tell whether ``outgoing()`` or ``events()`` would return anything."""
        return bool(self._outgoing or self._events)

    def outgoing(self) -> list[tuple[Flow, bytes]]:
        """Take out what is to be sent, in order."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def events(self) -> list[Event]:
        """Take out what happened, in order."""
        taken, self._events = self._events, []
        return taken

    def pending(self) -> dict[str, int]:
        """Return how much is kept, by kind."""
        return {
            "client": len(self._clients),
            "server": len(self._servers),
            "calls": len(self.calls),
            "subscriptions": len(self.subscriber) + len(self.notifier),
            "timers": len(self._heap),
            "flows": len(self._by_flow),
            "parsers": len(self._parsers),
        }

    # What the usages call.

    def send_ack(self, request: Request, flow: Flow) -> bytes:
        """Write Via into an ACK to a 2xx, send it, and return its bytes."""
        request.headers.prepend("Via", self._via(flow))
        data = request.to_bytes()
        self.send_bytes(flow, data)
        return data

    def send_bytes(self, flow: Flow, data: bytes) -> None:
        """Send as it is."""
        self._outgoing.append((flow, data))

    def emit(self, event: Event) -> None:
        """Report to our user."""
        self._events.append(event)

    def dialog_over(self, dialog: Dialog) -> None:
        """Take the end of a dialog."""
        self._foreign_tags.leave(dialog)

    def count(self, what: str) -> None:
        """Count something that is not an error."""
        self.counters[what] += 1

    # Within.

    def _take_timer(self, key: int, given: UsageInput, now: float) -> None:
        if isinstance(given, CallInput | ReinviteInput):
            self.calls.take_timer(CallKey(key), given, now)
        elif isinstance(given, SubscriberInput):
            self.subscriber.take_timer(SubscriptionKey(key), given, now)
        elif isinstance(given, NotifierInput):
            self.notifier.take_timer(SubscriptionKey(key), given, now)

    def _via(self, flow: Flow) -> str:
        host, port = self._sent_by(flow) if self._sent_by is not None else flow.local
        parameters: dict[str, str | None] = {
            "rport": None,  # RFC 3581 section 3
            "branch": f"{MAGIC_COOKIE}{self._token()}",
        }
        return str(Via(flow.transport.upper(), host, port, parameters))

    def _receive_datagram(self, flow: Flow, data: bytes, now: float) -> int:
        if is_keepalive(data):
            self.count("keepalive_in")
            return 0
        try:
            message = parse_datagram(data, self._limits.messages)
        except MalformedMessage as exc:
            self._refuse(flow, exc, now)
            return 0
        self._receive_message(flow, message, now)
        return 1

    def _refuse(
        self, flow: Flow, exc: RemoteProtocolError, now: float, request: Request | None = None
    ) -> None:
        self.count("malformed")
        if self.on_malformed is not None:
            self.on_malformed(flow)
        if self._admission is not None and not self._admission.malformed(flow, now):
            return
        request = request or (exc.request if isinstance(exc, MalformedMessage) else None)
        if request is None or request.method == "ACK":
            return
        try:
            fill_via(request, flow)
            answer = make_response(request, exc.status, exc.reason, to_tag=self._token())
            self.send_bytes(flow, answer.to_bytes())
        except (RemoteProtocolError, LocalProtocolError):
            self.count("malformed_unanswered")

    def _wants_body(self, message: Request | Response, length: int) -> bool:
        """Tell whether to read the body of a message; a request that is turned away is answered."""
        assert self._reading is not None
        flow, now = self._reading
        admission = self._admission
        if admission is None or admission.knows(flow):
            return True
        if isinstance(message, Response):
            is_wanted = response_key(message) in self._clients
        else:
            is_wanted = (
                server_key(message) in self._servers
                or self.calls.find(message) is not None
                or (bool(message.to_tag) and self._is_subscribed(message))
                or admission.admits(flow, message, now, is_whole=False)
            )
        if is_wanted and self._announced.take(flow, length):
            return True
        if self.on_received is not None:
            self.on_received(flow, message.raw, now)
        if isinstance(message, Response):
            self.count("stray_response")
        elif message.method != "ACK":
            fill_via(message, flow)
            self._turn_away(flow, message, now)
        return False

    def _receive_message(self, flow: Flow, message: Request | Response, now: float) -> None:
        try:
            if isinstance(message, Request):
                self._receive_request(flow, message, now)
            else:
                self._receive_response(flow, message, now)
        except RemoteProtocolError as exc:
            self._refuse(flow, exc, now, message if isinstance(message, Request) else None)

    def _receive_response(self, flow: Flow, response: Response, now: float) -> None:
        transaction = self._clients.get(response_key(response))
        if transaction is None:
            self.count("stray_response")
        elif not transaction.receive(response, now):
            self.count("response_dropped")
        if transaction is not None:
            self._reap(transaction)

    def _receive_request(self, flow: Flow, request: Request, now: float) -> None:
        if request.cseq.method != request.method:
            raise MalformedMessage("CSeq names another method")
        key = server_key(request)
        known = self._servers.get(key)
        if known is not None:
            self._receive_again(known, request, now)
            return
        if request.method == "ACK":
            if not self.calls.receive_ack(request, now):
                self.count("stray_ack")
            return
        fill_via(request, flow)
        # Both are read here so that a broken one is refused before anything is kept.
        call = self.calls.find(request)
        if self._is_full(flow, request, call) or not (
            call is not None
            or self._admission is None
            or (request.to_tag and self._is_subscribed(request))
            or self._admission.admits(flow, request, now)
        ):
            self._turn_away(flow, request, now)
            return
        self._begin(flow, request, key, call, now)

    def _is_full(self, flow: Flow, request: Request, call: CallKey | None) -> bool:
        kept, most = len(self._servers) + self._heavy.total, self._limits.transactions
        if kept >= most and (
            kept >= 2 * most or self._admission is None or not self._admission.knows(flow)
        ):
            return True
        if call is not None:
            return False
        if request.method == "INVITE":
            return len(self.calls) >= self._limits.calls
        return (
            request.method == "SUBSCRIBE"
            and len(self.notifier) >= self._limits.subscriptions
            and not self._is_subscribed(request)
        )

    def _is_subscribed(self, request: Request) -> bool:
        """Tell whether a request belongs to the dialog of a subscription."""
        if request.method == "NOTIFY":
            return self.subscriber.find(request) is not None
        return request.method == "SUBSCRIBE" and self.notifier.dialog_of(request) is not None

    def _receive_again(self, known: ServerTransaction, request: Request, now: float) -> None:
        if request.method == "ACK" and known.state is State.ACCEPTED:
            # RFC 3261 wants a new branch in the ACK to a 2xx; devices repeat that of the INVITE.
            if not self.calls.receive_ack(request, now):
                self.count("stray_ack")
            return
        if request.method != "ACK":
            self.count("retransmitted_in")
        if not known.receive(request, now):
            self.count("request_dropped")
        self._reap(known)

    def _begin(
        self, flow: Flow, request: Request, key: TransactionKey, call: CallKey | None, now: float
    ) -> None:
        transaction = ServerTransaction(
            request, flow, clock=self._clock, send=self._send, report=self._report, key=key
        )
        self._servers[key] = transaction
        size = len(request.raw) - len(request.body)
        if size > _USUAL_HEAD:
            self._heavy.take(key, size // _USUAL_HEAD)
        if flow.reliable or request.method == "INVITE":  # others over UDP end by themselves
            self._by_flow.setdefault(flow, set()).add(key)
        transaction.start(now)
        try:
            self._deliver(flow, request, key, call, now)
        except RemoteProtocolError as exc:
            # RFC 3261 12.2.2: one that the network let come after a later one is well formed.
            self.count("out_of_order" if exc.status == 500 else "malformed")
            answer = make_response(request, exc.status, exc.reason, to_tag=self._token())
            self.send_response(key, answer, now)

    def _deliver(
        self, flow: Flow, request: Request, key: TransactionKey, call: CallKey | None, now: float
    ) -> None:
        status, fields = refusal(request, self._extensions)
        if status:
            self.count("not_served")
            answer = make_response(request, status, to_tag=self._token(), headers=fields)
            self.send_response(key, answer, now)
        elif request.method == "CANCEL":
            self._receive_cancel(request, key, now)
        elif call is not None:
            self.calls.receive_request(call, request, key, flow, now)
        elif request.method == "BYE" or (
            request.to_tag and request.method in _DIALOG_METHODS and not self._is_initial(request)
        ):
            self.count("unknown_dialog")
            self.send_response(key, make_response(request, 481, to_tag=self._token()), now)
        elif request.method == "INVITE":
            self.calls.receive_invite(request, key, flow, now)
        elif request.method not in ("SUBSCRIBE", "NOTIFY") or not self._receive_subscription(
            flow, request, key, now
        ):
            self.emit(RequestReceived(key=key, request=request, flow=flow))

    def _receive_subscription(
        self, flow: Flow, request: Request, key: TransactionKey, now: float
    ) -> bool:
        if request.method == "NOTIFY":
            return self.subscriber.receive(request, key, flow, now)
        return bool(request.to_tag) and self.notifier.receive(
            request, key, flow, now, is_initial=self._is_initial
        )

    def _is_initial(self, request: Request) -> bool:
        """Tell whether a request of no dialog that stands begins one although it has a To tag."""
        if request.method == "INVITE":
            is_lost = self.calls.has_partner(request)
        else:
            is_lost = request.method != "SUBSCRIBE" or request.expires == 0
        if is_lost or not self._foreign_tags.accepts(request):
            return False
        self.count("foreign_to_tag")
        return True

    def _receive_cancel(self, request: Request, key: TransactionKey, now: float) -> None:
        target = server_key(request, method="INVITE")
        found = target in self._servers
        if not found:
            self.count("unknown_transaction")
        status = 200 if found else 481
        self.send_response(key, make_response(request, status, to_tag=self._token()), now)
        if found:
            self.calls.receive_cancel(target, now)

    def _turn_away(self, flow: Flow, request: Request, now: float) -> None:
        self.count("turned_away")
        if self._admission is not None and not self._admission.may_refuse(now):
            return  # a flood of answers helps nobody, and hits whom the sender names
        seconds = RETRY_AFTER if self._admission is None else self._admission.retry_after
        answer = make_response(
            request, 503, to_tag=self._token(), headers=[("Retry-After", str(seconds))]
        )
        self.send_bytes(flow, answer.to_bytes())

    def _report_client(
        self, transaction: ClientTransaction, action: Action, response: Response | None, now: float
    ) -> None:
        key = transaction.key
        if action is Action.DELIVER and response is not None:
            if not (
                self.calls.receive_response(key, response, now)
                or self.subscriber.receive_response(key, response, now)
                or self.notifier.receive_response(key, response, now)
            ):
                self.emit(ResponseReceived(key=key, response=response, flow=transaction.flow))
            return
        lost = action is Action.REPORT_FLOW_LOST
        self.count("flow_lost_out" if lost else "timeout_out")
        if (
            self.calls.transaction_failed(key, now, flow_lost=lost)
            or self.subscriber.transaction_failed(key, now, flow_lost=lost)
            or self.notifier.transaction_failed(key, now, flow_lost=lost)
        ):
            return
        if lost:
            self.emit(TransactionFlowLost(key=key, flow=transaction.flow))
        else:
            self.emit(TransactionTimedOut(key=key, method=transaction.request.method))

    def _report_server(
        self, transaction: ServerTransaction, action: Action, request: Request | None, now: float
    ) -> None:
        if action is Action.DELIVER and request is not None:
            self.calls.receive_ack(request, now)
        elif action is Action.REPORT_FLOW_LOST:
            self.calls.transaction_failed(transaction.key, now, flow_lost=True)
        elif action is Action.REPORT_TIMEOUT:
            is_invite = transaction.method == "INVITE"
            self.count("unacknowledged_in" if is_invite else "unanswered_in")

    def _find(self, key: TransactionKey) -> ClientTransaction | ServerTransaction | None:
        return self._clients.get(key) if is_client_key(key) else self._servers.get(key)

    def _reap(self, transaction: ClientTransaction | ServerTransaction) -> None:
        if transaction.state is not State.TERMINATED:
            return
        key = transaction.key
        if is_client_key(key):
            self._clients.pop(key, None)
            self.calls.transaction_over(key)
        else:
            self._servers.pop(key, None)
            self._heavy.end(key)
        keys = self._by_flow.get(transaction.flow)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._by_flow[transaction.flow]
