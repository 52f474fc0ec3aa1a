"""The four transactions of SIP as tables, and the two classes that walk them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from .errors import LocalProtocolError
from .events import TransactionKey
from .flow import Flow
from .matching import client_key, server_key
from .message import Headers, Request, Response
from .timers import Timer, TimerHeap, Timers


class State(Enum):
    """States of RFC 3261 figures 5 to 8 and of RFC 6026."""

    __hash__ = object.__hash__  # members are single; Enum's own is slow, and tables hash them

    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    ACCEPTED = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    TERMINATED = auto()


class Input(Enum):
    """What can happen to a transaction."""

    __hash__ = object.__hash__

    START = auto()
    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    REPEAT = auto()
    ACK = auto()
    ABANDON = auto()
    FLOW_LOST = auto()
    TIMER_A = auto()
    TIMER_B = auto()
    TIMER_D = auto()
    TIMER_E = auto()
    TIMER_F = auto()
    TIMER_G = auto()
    TIMER_H = auto()
    TIMER_I = auto()
    TIMER_J = auto()
    TIMER_K = auto()
    TIMER_L = auto()
    TIMER_M = auto()
    TIMER_UNANSWERED = auto()


class Action(Enum):
    """What a row asks for."""

    __hash__ = object.__hash__

    SEND = auto()
    SEND_ACK = auto()
    DELIVER = auto()
    REPORT_TIMEOUT = auto()
    REPORT_FLOW_LOST = auto()
    STOP_TIMERS = auto()
    START_A = auto()
    DOUBLE_A = auto()
    START_B = auto()
    START_D = auto()
    START_E = auto()
    DOUBLE_E = auto()
    SLOW_E = auto()
    START_F = auto()
    START_G = auto()
    DOUBLE_G = auto()
    START_H = auto()
    START_I = auto()
    START_J = auto()
    START_K = auto()
    START_L = auto()
    START_M = auto()
    START_UNANSWERED = auto()


Table = dict[tuple[State, Input], tuple[State, tuple[Action, ...]]]

# RFC 3261 figure 5 with RFC 6026 section 7.2 (Accepted, timer M).
INVITE_CLIENT: Final[Table] = {
    (State.CALLING, Input.START): (
        State.CALLING,
        (Action.SEND, Action.START_A, Action.START_B),  # 17.1.1.2
    ),
    (State.CALLING, Input.TIMER_A): (State.CALLING, (Action.SEND, Action.DOUBLE_A)),
    (State.CALLING, Input.TIMER_B): (
        State.TERMINATED,
        (Action.STOP_TIMERS, Action.REPORT_TIMEOUT),
    ),
    (State.CALLING, Input.PROVISIONAL): (State.PROCEEDING, (Action.STOP_TIMERS, Action.DELIVER)),
    (State.CALLING, Input.SUCCESS): (
        State.ACCEPTED,
        (Action.STOP_TIMERS, Action.START_M, Action.DELIVER),  # RFC 6026 7.2
    ),
    (State.CALLING, Input.FAILURE): (
        State.COMPLETED,
        (Action.STOP_TIMERS, Action.SEND_ACK, Action.DELIVER, Action.START_D),
    ),
    (State.CALLING, Input.ABANDON): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.CALLING, Input.FLOW_LOST): (
        State.TERMINATED,
        (Action.STOP_TIMERS, Action.REPORT_FLOW_LOST),  # 17.1.4
    ),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.DELIVER,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (Action.START_M, Action.DELIVER)),
    (State.PROCEEDING, Input.FAILURE): (
        State.COMPLETED,
        (Action.SEND_ACK, Action.DELIVER, Action.START_D),
    ),
    (State.PROCEEDING, Input.ABANDON): (State.TERMINATED, ()),  # 9.1: 64 T1 after a CANCEL
    (State.PROCEEDING, Input.FLOW_LOST): (State.TERMINATED, (Action.REPORT_FLOW_LOST,)),
    (State.COMPLETED, Input.FAILURE): (State.COMPLETED, (Action.SEND_ACK,)),  # 17.1.1.2
    (State.COMPLETED, Input.PROVISIONAL): (State.COMPLETED, ()),
    (State.COMPLETED, Input.SUCCESS): (State.COMPLETED, ()),
    (State.COMPLETED, Input.TIMER_D): (State.TERMINATED, ()),
    (State.COMPLETED, Input.ABANDON): (State.COMPLETED, ()),
    (State.COMPLETED, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (Action.DELIVER,)),  # RFC 6026 7.2
    (State.ACCEPTED, Input.PROVISIONAL): (State.ACCEPTED, ()),
    (State.ACCEPTED, Input.FAILURE): (State.ACCEPTED, ()),
    (State.ACCEPTED, Input.TIMER_M): (State.TERMINATED, ()),
    (State.ACCEPTED, Input.ABANDON): (State.ACCEPTED, ()),
    (State.ACCEPTED, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
}

_FINAL_TO_CLIENT: Final = (
    State.COMPLETED,
    (Action.STOP_TIMERS, Action.DELIVER, Action.START_K),
)

# RFC 3261 figure 6.
NON_INVITE_CLIENT: Final[Table] = {
    (State.TRYING, Input.START): (
        State.TRYING,
        (Action.SEND, Action.START_E, Action.START_F),  # 17.1.2.2
    ),
    (State.TRYING, Input.TIMER_E): (State.TRYING, (Action.SEND, Action.DOUBLE_E)),
    (State.TRYING, Input.TIMER_F): (State.TERMINATED, (Action.STOP_TIMERS, Action.REPORT_TIMEOUT)),
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (Action.DELIVER,)),
    (State.TRYING, Input.SUCCESS): _FINAL_TO_CLIENT,
    (State.TRYING, Input.FAILURE): _FINAL_TO_CLIENT,
    (State.TRYING, Input.ABANDON): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.TRYING, Input.FLOW_LOST): (
        State.TERMINATED,
        (Action.STOP_TIMERS, Action.REPORT_FLOW_LOST),  # 17.1.4
    ),
    (State.PROCEEDING, Input.TIMER_E): (State.PROCEEDING, (Action.SEND, Action.SLOW_E)),
    (State.PROCEEDING, Input.TIMER_F): (
        State.TERMINATED,
        (Action.STOP_TIMERS, Action.REPORT_TIMEOUT),
    ),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.DELIVER,)),
    (State.PROCEEDING, Input.SUCCESS): _FINAL_TO_CLIENT,
    (State.PROCEEDING, Input.FAILURE): _FINAL_TO_CLIENT,
    (State.PROCEEDING, Input.ABANDON): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.PROCEEDING, Input.FLOW_LOST): (
        State.TERMINATED,
        (Action.STOP_TIMERS, Action.REPORT_FLOW_LOST),
    ),
    (State.COMPLETED, Input.PROVISIONAL): (State.COMPLETED, ()),
    (State.COMPLETED, Input.SUCCESS): (State.COMPLETED, ()),  # 17.1.2.2: absorbed
    (State.COMPLETED, Input.FAILURE): (State.COMPLETED, ()),
    (State.COMPLETED, Input.TIMER_K): (State.TERMINATED, ()),
    (State.COMPLETED, Input.ABANDON): (State.COMPLETED, ()),
    (State.COMPLETED, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
}

# RFC 3261 figure 7 with RFC 6026 section 7.1 (Accepted, timer L). PROVISIONAL, SUCCESS and FAILURE
# are responses of our user here. An unanswered INVITE is ended by the usage, which sends 408.
INVITE_SERVER: Final[Table] = {
    (State.PROCEEDING, Input.START): (State.PROCEEDING, ()),
    (State.PROCEEDING, Input.REPEAT): (State.PROCEEDING, (Action.SEND,)),  # 17.2.1
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.SUCCESS): (State.ACCEPTED, (Action.SEND, Action.START_L)),
    (State.PROCEEDING, Input.FAILURE): (
        State.COMPLETED,
        (Action.SEND, Action.START_G, Action.START_H),
    ),
    (State.PROCEEDING, Input.ACK): (State.PROCEEDING, ()),
    (State.PROCEEDING, Input.FLOW_LOST): (State.TERMINATED, (Action.REPORT_FLOW_LOST,)),
    (State.COMPLETED, Input.REPEAT): (State.COMPLETED, (Action.SEND,)),
    (State.COMPLETED, Input.TIMER_G): (State.COMPLETED, (Action.SEND, Action.DOUBLE_G)),
    (State.COMPLETED, Input.TIMER_H): (
        State.TERMINATED,
        (Action.STOP_TIMERS, Action.REPORT_TIMEOUT),
    ),
    (State.COMPLETED, Input.ACK): (State.CONFIRMED, (Action.STOP_TIMERS, Action.START_I)),
    (State.COMPLETED, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.CONFIRMED, Input.REPEAT): (State.CONFIRMED, ()),
    (State.CONFIRMED, Input.ACK): (State.CONFIRMED, ()),
    (State.CONFIRMED, Input.TIMER_I): (State.TERMINATED, ()),
    (State.CONFIRMED, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.ACCEPTED, Input.REPEAT): (State.ACCEPTED, ()),  # RFC 6026 7.1: absorbed
    (State.ACCEPTED, Input.SUCCESS): (State.ACCEPTED, (Action.SEND,)),  # 13.3.1.4, by the usage
    (State.ACCEPTED, Input.ACK): (State.ACCEPTED, (Action.DELIVER,)),
    (State.ACCEPTED, Input.TIMER_L): (State.TERMINATED, ()),
    (State.ACCEPTED, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
}

_FINAL_FROM_SERVER: Final = (State.COMPLETED, (Action.STOP_TIMERS, Action.SEND, Action.START_J))

# RFC 3261 figure 8. A request that our user forgets is dropped when the client has given up too
# (RFC 4320 section 4.2: nobody waits for a 408 then).
NON_INVITE_SERVER: Final[Table] = {
    (State.TRYING, Input.START): (State.TRYING, (Action.START_UNANSWERED,)),
    (State.TRYING, Input.REPEAT): (State.TRYING, ()),  # 17.2.2: discarded
    (State.TRYING, Input.PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
    (State.TRYING, Input.SUCCESS): _FINAL_FROM_SERVER,
    (State.TRYING, Input.FAILURE): _FINAL_FROM_SERVER,
    (State.TRYING, Input.TIMER_UNANSWERED): (State.TERMINATED, (Action.REPORT_TIMEOUT,)),
    (State.TRYING, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.PROCEEDING, Input.REPEAT): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.PROVISIONAL): (State.PROCEEDING, (Action.SEND,)),
    (State.PROCEEDING, Input.SUCCESS): _FINAL_FROM_SERVER,
    (State.PROCEEDING, Input.FAILURE): _FINAL_FROM_SERVER,
    (State.PROCEEDING, Input.TIMER_UNANSWERED): (State.TERMINATED, (Action.REPORT_TIMEOUT,)),
    (State.PROCEEDING, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
    (State.COMPLETED, Input.REPEAT): (State.COMPLETED, (Action.SEND,)),
    (State.COMPLETED, Input.TIMER_J): (State.TERMINATED, ()),
    (State.COMPLETED, Input.FLOW_LOST): (State.TERMINATED, (Action.STOP_TIMERS,)),
}


class OnReliable(Enum):
    """What a timer does on a transport that loses nothing."""

    NOT_USED = auto()
    AT_ONCE = auto()
    SAME = auto()


@dataclass(frozen=True, slots=True)
class TimerRule:
    """Which timer an action arms, and for how long."""

    fires: Input
    first: Callable[[Timers], float]
    reliable: OnReliable
    growth: float = 0.0
    """Factor on the interval before; 0 starts anew from ``first``."""
    longest: Callable[[Timers], float] | None = None


# RFC 3261 table 4, RFC 6026 section 7.
TIMER_RULES: Final[dict[Action, TimerRule]] = {
    Action.START_A: TimerRule(Input.TIMER_A, lambda t: t.t1, OnReliable.NOT_USED),
    Action.DOUBLE_A: TimerRule(Input.TIMER_A, lambda t: t.t1, OnReliable.NOT_USED, 2.0),
    Action.START_B: TimerRule(Input.TIMER_B, lambda t: t.transaction, OnReliable.SAME),
    Action.START_D: TimerRule(Input.TIMER_D, lambda t: t.wait_d, OnReliable.AT_ONCE),
    Action.START_E: TimerRule(Input.TIMER_E, lambda t: t.t1, OnReliable.NOT_USED),
    Action.DOUBLE_E: TimerRule(
        Input.TIMER_E, lambda t: t.t1, OnReliable.NOT_USED, 2.0, lambda t: t.t2
    ),
    Action.SLOW_E: TimerRule(Input.TIMER_E, lambda t: t.t2, OnReliable.NOT_USED),
    Action.START_F: TimerRule(Input.TIMER_F, lambda t: t.transaction, OnReliable.SAME),
    Action.START_G: TimerRule(Input.TIMER_G, lambda t: t.t1, OnReliable.NOT_USED),
    Action.DOUBLE_G: TimerRule(
        Input.TIMER_G, lambda t: t.t1, OnReliable.NOT_USED, 2.0, lambda t: t.t2
    ),
    Action.START_H: TimerRule(Input.TIMER_H, lambda t: t.transaction, OnReliable.SAME),
    Action.START_I: TimerRule(Input.TIMER_I, lambda t: t.t4, OnReliable.AT_ONCE),
    Action.START_J: TimerRule(Input.TIMER_J, lambda t: t.transaction, OnReliable.AT_ONCE),
    Action.START_K: TimerRule(Input.TIMER_K, lambda t: t.t4, OnReliable.AT_ONCE),
    Action.START_L: TimerRule(Input.TIMER_L, lambda t: t.transaction, OnReliable.SAME),
    Action.START_M: TimerRule(Input.TIMER_M, lambda t: t.transaction, OnReliable.SAME),
    Action.START_UNANSWERED: TimerRule(
        Input.TIMER_UNANSWERED, lambda t: t.transaction, OnReliable.SAME
    ),
}

TransactionTimer = tuple[TransactionKey, Input]
Send = Callable[[Flow, bytes], None]


class TransactionClock:
    """The timers of all transactions of one stack."""

    __slots__ = ("_first", "_heap", "_longest")

    def __init__(self, timers: Timers, heap: TimerHeap[TransactionTimer]) -> None:
        self._heap = heap
        rules = TIMER_RULES.items()
        self._first = {action: rule.first(timers) for action, rule in rules}
        self._longest = {action: rule.longest(timers) for action, rule in rules if rule.longest}

    def arm(self, transaction: "Transaction", action: Action, now: float) -> Input | None:
        """Arm what ``action`` names; return the input of a timer that is over at once."""
        rule = TIMER_RULES[action]
        if transaction.flow.reliable and rule.reliable is not OnReliable.SAME:
            return rule.fires if rule.reliable is OnReliable.AT_ONCE else None
        interval = self._first[action]
        if rule.growth:
            interval = transaction.interval * rule.growth
            if action in self._longest:
                interval = min(interval, self._longest[action])
        if rule.reliable is OnReliable.NOT_USED:
            transaction.interval = interval
        timer = self._heap.start((transaction.key, rule.fires), now + interval, run=interval)
        if transaction.armed is not None and transaction.armed.is_armed:
            transaction.armed_before = (transaction.armed, *transaction.armed_before)
        transaction.armed = timer
        return None

    def stop(self, transaction: "Transaction") -> None:
        """Cancel every timer of a transaction."""
        if transaction.armed is not None:
            self._heap.stop(transaction.armed)
            transaction.armed = None
        for timer in transaction.armed_before:
            self._heap.stop(timer)
        transaction.armed_before = ()


class Transaction:
    """What all four have: a place in their table, and timers.

    Tens of thousands of answered ones wait at once, so each is a single object.
    """

    __slots__ = (
        "_clock", "_send", "_table", "armed", "armed_before", "flow", "interval", "key", "state",
    )  # fmt: skip

    def __init__(
        self,
        table: Table,
        state: State,
        flow: Flow,
        key: TransactionKey,
        clock: TransactionClock,
        send: Send,
    ) -> None:
        self._table = table
        self.state = state
        """The state of the figure."""
        self.flow = flow
        self.key = key
        self._clock = clock
        self._send = send
        self.armed: Timer | None = None
        """The timer that was started last. For the clock."""
        self.armed_before: tuple[Timer, ...] = ()
        """Those that were started before and may be armed still. For the clock."""
        self.interval = 0.0
        """The last one of timer A, E or G, in seconds: only one is used. For the clock."""

    def _step(self, given: Input) -> tuple[Action, ...] | None:
        """Take an input; return the actions of its row, None when the state has none for it."""
        row = self._table.get((self.state, given))
        if row is None:
            return None
        self.state = row[0]
        return row[1]


class ClientTransaction(Transaction):
    """A request of ours on its way to a final response.

    Source: RFC 3261 section 17.1, RFC 6026 section 7.2.
    """

    __slots__ = ("_ack", "_data", "_report", "request")

    def __init__(
        self,
        request: Request,
        flow: Flow,
        *,
        clock: TransactionClock,
        send: Send,
        report: Callable[["ClientTransaction", Action, Response | None, float], None],
    ) -> None:
        if request.method == "INVITE":
            table, state = INVITE_CLIENT, State.CALLING
        else:
            table, state = NON_INVITE_CLIENT, State.TRYING
        super().__init__(table, state, flow, client_key(request), clock, send)
        self.request = request
        self._data = request.to_bytes()
        self._ack: bytes | None = None
        self._report = report

    def start(self, now: float) -> None:
        """Send the request for the first time."""
        self._take(Input.START, None, now)

    def receive(self, response: Response, now: float) -> bool:
        """Take a response that matches; False when the state has no row for it."""
        return self._take(status_input(response.status), response, now)

    def take(self, given: Input, now: float) -> bool:
        """Take a timer, ``ABANDON`` or ``FLOW_LOST``; False when the state has no row for it."""
        return self._take(given, None, now)

    def _take(self, given: Input, response: Response | None, now: float) -> bool:
        actions = self._step(given)
        if actions is None:
            return False
        self._perform(actions, response, now)
        return True

    def _perform(self, actions: tuple[Action, ...], response: Response | None, now: float) -> None:
        over: Input | None = None
        for action in actions:
            if action is Action.SEND:
                self._send(self.flow, self._data)
            elif action is Action.SEND_ACK and response is not None:
                if self._ack is None:
                    self._ack = refusal_ack(self.request, response).to_bytes()
                self._send(self.flow, self._ack)
            elif action is Action.STOP_TIMERS:
                self._clock.stop(self)
            elif action in TIMER_RULES:
                over = self._clock.arm(self, action, now) or over
            else:
                self._report(self, action, response, now)
        if over is not None:
            self._take(over, None, now)


class ServerTransaction(Transaction):
    """A request of a peer and our responses to it.

    Source: RFC 3261 section 17.2, RFC 6026 section 7.1.
    """

    __slots__ = ("_data", "_report", "method", "request")

    def __init__(
        self,
        request: Request,
        flow: Flow,
        *,
        clock: TransactionClock,
        send: Send,
        report: Callable[["ServerTransaction", Action, Request | None, float], None],
        key: TransactionKey | None = None,
    ) -> None:
        if request.method == "INVITE":
            table, state = INVITE_SERVER, State.PROCEEDING
        else:
            table, state = NON_INVITE_SERVER, State.TRYING
        super().__init__(table, state, flow, key or server_key(request), clock, send)
        self.method = request.method
        self.request: Request | None = request
        """None after the final response: thousands of answered transactions wait for timer J."""
        self._data: bytes | None = None
        self._report = report

    def start(self, now: float) -> None:
        """Begin; delivering the request is the stack's part."""
        self.take(Input.START, now)

    def receive(self, request: Request, now: float) -> bool:
        """Take the same request once more, or its ACK; False when there is no row for it."""
        given = Input.ACK if request.method == "ACK" else Input.REPEAT
        actions = self._step(given)
        if actions is None:
            return False
        self._perform(actions, request, now)
        return True

    def respond(self, response: Response, now: float) -> None:
        """Send a response.

        Raises:
            LocalProtocolError: A final response was sent before.
        """
        given = status_input(response.status)
        actions = self._step(given)
        if actions is None:
            raise LocalProtocolError(
                f"{self.method} was answered before: {response.status} is too late"
            )
        self._data = response.to_bytes()
        if given is not Input.PROVISIONAL:
            self.request = None
        self._perform(actions, None, now)

    def take(self, given: Input, now: float) -> bool:
        """Take a timer or ``FLOW_LOST``; False when the state has no row for it."""
        actions = self._step(given)
        if actions is None:
            return False
        self._perform(actions, None, now)
        return True

    def _perform(self, actions: tuple[Action, ...], request: Request | None, now: float) -> None:
        over: Input | None = None
        for action in actions:
            if action is Action.SEND:
                if self._data is not None:
                    self._send(self.flow, self._data)
            elif action is Action.STOP_TIMERS:
                self._clock.stop(self)
            elif action in TIMER_RULES:
                over = self._clock.arm(self, action, now) or over
            else:
                self._report(self, action, request, now)
        if over is not None:
            self.take(over, now)


def status_input(status: int) -> Input:
    """Return the input that a response of this status is."""
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE


def refusal_ack(invite: Request, response: Response) -> Request:
    """Return the ACK to a final response of 300 or above.

    Source: RFC 3261 section 17.1.1.3.
    """
    headers = _within(invite, "ACK")
    to = response.headers.get("To")
    if to is not None:
        headers.set("To", to)
    return Request("ACK", invite.uri, headers)


def cancel_for(invite: Request) -> Request:
    """Return the CANCEL of an INVITE.

    Source: RFC 3261 section 9.1.
    """
    return Request("CANCEL", invite.uri, _within(invite, "CANCEL"))


def _within(invite: Request, method: str) -> Headers:
    headers = Headers([("Via", str(invite.vias[0]))])
    for name in ("From", "To", "Call-ID", "User-Agent"):
        value = invite.headers.get(name)
        if value is not None:
            headers.add(name, value)
    headers.add("CSeq", f"{invite.cseq.number} {method}")
    headers.add("Max-Forwards", "70")
    for route in invite.headers.get_all("Route"):
        headers.add("Route", route)
    return headers
