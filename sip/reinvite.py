"""INVITE within the dialog of a call, in both directions, as two tables and what walks them."""

from collections.abc import Callable, Iterable
from enum import Enum, auto
from typing import TypeAlias

from .call import CallInput
from .core import Core
from .dialog import Dialog
from .errors import LocalProtocolError
from .events import CallKey, InviteCancelled, TransactionKey, TransactionTimedOut
from .flow import Flow
from .machine import Machine
from .message import Request, Response, make_response
from .timers import TimerHeap
from .transaction import cancel_for


class ReinviteState(Enum):
    """Where an INVITE within a dialog is."""

    SENT = auto()
    PROGRESSING = auto()
    CANCEL_PENDING = auto()
    CANCELLING = auto()
    ASKED = auto()
    ANSWERED = auto()
    OVER = auto()


class ReinviteInput(Enum):
    """What can happen to it."""

    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    TIMEOUT = auto()
    FLOW_LOST = auto()
    CANCEL = auto()
    GIVE_UP = auto()
    SEND_PROVISIONAL = auto()
    SEND_SUCCESS = auto()
    SEND_FAILURE = auto()
    PEER_CANCEL = auto()
    PEER_ACK = auto()
    PEER_NEXT = auto()
    REPEAT = auto()
    NO_ACK = auto()
    UNANSWERED = auto()
    CALL_OVER = auto()


class ReinviteAction(Enum):
    """What a row asks for."""

    REFRESH_TARGET = auto()
    SEND_ACK = auto()
    REPEAT_ACK = auto()
    SEND_CANCEL = auto()
    START_GIVE_UP = auto()
    STOP_GIVE_UP = auto()
    ABANDON = auto()
    END_CALL = auto()
    RESPOND = auto()
    REPEAT_ANSWER = auto()
    START_REPEAT = auto()
    DOUBLE_REPEAT = auto()
    START_NO_ACK = auto()
    STOP_TIMERS = auto()
    REFUSE_487 = auto()
    REFUSE_500 = auto()
    REPORT_CANCELLED = auto()
    LEAVE_CALL = auto()


ReinviteTable: TypeAlias = dict[
    tuple[ReinviteState, ReinviteInput], tuple[ReinviteState, tuple[ReinviteAction, ...]]
]
CallTimer: TypeAlias = tuple[CallKey, CallInput] | tuple[CallKey, ReinviteInput]

_S, _I, _A = ReinviteState, ReinviteInput, ReinviteAction
_CHANGED = (_S.OVER, (_A.STOP_GIVE_UP, _A.REFRESH_TARGET, _A.SEND_ACK))
_UNCHANGED = (_S.OVER, (_A.STOP_GIVE_UP,))  # 14.1: the session stays as it was
_TAKEN_BACK = (_S.CANCELLING, (_A.SEND_CANCEL, _A.START_GIVE_UP))

# Ours, RFC 3261 sections 9.1 and 14.1.
REINVITE_SENT: ReinviteTable = {
    (_S.SENT, _I.PROVISIONAL): (_S.PROGRESSING, ()),
    (_S.SENT, _I.SUCCESS): _CHANGED,
    (_S.SENT, _I.FAILURE): _UNCHANGED,
    (_S.SENT, _I.TIMEOUT): (_S.OVER, (_A.STOP_GIVE_UP, _A.END_CALL)),  # 12.2.1.2
    (_S.SENT, _I.FLOW_LOST): _UNCHANGED,
    (_S.SENT, _I.CANCEL): (_S.CANCEL_PENDING, ()),  # 9.1: not before a provisional answer
    (_S.SENT, _I.GIVE_UP): (_S.CANCEL_PENDING, ()),
    (_S.PROGRESSING, _I.PROVISIONAL): (_S.PROGRESSING, ()),
    (_S.PROGRESSING, _I.SUCCESS): _CHANGED,
    (_S.PROGRESSING, _I.FAILURE): _UNCHANGED,
    (_S.PROGRESSING, _I.FLOW_LOST): _UNCHANGED,
    (_S.PROGRESSING, _I.CANCEL): _TAKEN_BACK,
    (_S.PROGRESSING, _I.GIVE_UP): _TAKEN_BACK,
    (_S.CANCEL_PENDING, _I.PROVISIONAL): _TAKEN_BACK,
    (_S.CANCEL_PENDING, _I.SUCCESS): _CHANGED,
    (_S.CANCEL_PENDING, _I.FAILURE): _UNCHANGED,
    (_S.CANCEL_PENDING, _I.TIMEOUT): (_S.OVER, (_A.STOP_GIVE_UP, _A.END_CALL)),
    (_S.CANCEL_PENDING, _I.FLOW_LOST): _UNCHANGED,
    (_S.CANCEL_PENDING, _I.CANCEL): (_S.CANCEL_PENDING, ()),
    (_S.CANCEL_PENDING, _I.GIVE_UP): (_S.CANCEL_PENDING, ()),
    (_S.CANCELLING, _I.PROVISIONAL): (_S.CANCELLING, ()),
    (_S.CANCELLING, _I.SUCCESS): _CHANGED,  # 9.1: the 200 crossed the CANCEL
    (_S.CANCELLING, _I.FAILURE): _UNCHANGED,
    (_S.CANCELLING, _I.FLOW_LOST): _UNCHANGED,
    (_S.CANCELLING, _I.CANCEL): (_S.CANCELLING, ()),
    (_S.CANCELLING, _I.GIVE_UP): (_S.OVER, (_A.ABANDON,)),  # 9.1: 64 T1 after CANCEL
    (_S.OVER, _I.SUCCESS): (_S.OVER, (_A.REPEAT_ACK,)),  # 13.2.2.4
}

# The peer's, RFC 3261 sections 9.2 and 14.2.
REINVITE_RECEIVED: ReinviteTable = {
    (_S.ASKED, _I.SEND_PROVISIONAL): (_S.ASKED, (_A.RESPOND,)),
    (_S.ASKED, _I.SEND_SUCCESS): (
        _S.ANSWERED,
        (_A.STOP_TIMERS, _A.RESPOND, _A.START_REPEAT, _A.START_NO_ACK),
    ),
    (_S.ASKED, _I.SEND_FAILURE): (_S.OVER, (_A.STOP_TIMERS, _A.RESPOND)),
    (_S.ASKED, _I.PEER_CANCEL): (
        _S.OVER,
        (_A.STOP_TIMERS, _A.REFUSE_487, _A.REPORT_CANCELLED),
    ),
    # Not 408: that would end the call at the other end (12.2.1.2).
    (_S.ASKED, _I.UNANSWERED): (_S.OVER, (_A.STOP_TIMERS, _A.REFUSE_500, _A.REPORT_CANCELLED)),
    (_S.ASKED, _I.FLOW_LOST): (_S.OVER, (_A.STOP_TIMERS, _A.REPORT_CANCELLED)),
    (_S.ASKED, _I.CALL_OVER): (_S.OVER, (_A.STOP_TIMERS, _A.REFUSE_487)),  # 15.1.2
    (_S.ANSWERED, _I.PEER_ACK): (_S.OVER, (_A.STOP_TIMERS,)),
    (_S.ANSWERED, _I.PEER_CANCEL): (_S.ANSWERED, ()),  # 9.2: too late, no effect
    (_S.ANSWERED, _I.PEER_NEXT): (_S.OVER, (_A.STOP_TIMERS,)),  # the peer has the 2xx then
    (_S.ANSWERED, _I.REPEAT): (_S.ANSWERED, (_A.REPEAT_ANSWER, _A.DOUBLE_REPEAT)),
    (_S.ANSWERED, _I.NO_ACK): (_S.OVER, (_A.STOP_TIMERS, _A.LEAVE_CALL)),  # 13.3.1.4
    (_S.ANSWERED, _I.CALL_OVER): (_S.OVER, (_A.STOP_TIMERS,)),
}


class Reinvite:
    """One INVITE within a dialog."""

    __slots__ = (
        "ack",
        "call",
        "dialog",
        "flow",
        "interval",
        "key",
        "machine",
        "request",
        "response",
    )

    def __init__(
        self,
        call: CallKey,
        key: TransactionKey,
        request: Request,
        flow: Flow,
        *,
        dialog: Dialog | None = None,
    ) -> None:
        """Take an INVITE; ``dialog`` is that of one of ours."""
        self.call = call
        self.key = key
        self.request = request
        self.flow = flow
        self.dialog = dialog
        self.machine: Machine[ReinviteState, ReinviteInput, ReinviteAction] = (
            Machine(REINVITE_RECEIVED, _S.ASKED)
            if dialog is None
            else Machine(REINVITE_SENT, _S.SENT)
        )
        self.response: Response | None = None
        """The final response, received or to be sent."""
        self.ack: bytes | None = None
        self.interval = 0.0


class Reinvites:
    """The INVITEs within the dialogs of all calls of one stack.

    One at a time in each call: what comes while ours has no final answer gets 491.

    Source: RFC 3261 section 14.
    """

    __slots__ = ("_by_key", "_core", "_end", "_heap", "_ours", "_theirs")

    def __init__(
        self,
        core: Core,
        *,
        heap: TimerHeap[CallTimer],
        end: Callable[[CallKey, CallInput, str, float], None],
    ) -> None:
        """Take what is needed; ``end`` ends a call by an input, with a text."""
        self._core = core
        self._heap = heap
        self._end = end
        self._ours: dict[CallKey, Reinvite] = {}
        self._theirs: dict[CallKey, Reinvite] = {}
        self._by_key: dict[TransactionKey, Reinvite] = {}
        """Ours until their transaction is over: repeated 2xx get their ACK."""

    def is_pending(self, call: CallKey) -> bool:
        """Tell whether one of a call has no final answer yet, or no ACK."""
        return call in self._ours or call in self._theirs

    # What our user asks for.

    def send(
        self,
        call: CallKey,
        dialog: Dialog,
        flow: Flow,
        now: float,
        *,
        headers: Iterable[tuple[str, str]],
        body: bytes,
    ) -> TransactionKey:
        """Send one of ours; its final response is an event.

        Raises:
            LocalProtocolError: Another one of the call is pending.
        """
        if self.is_pending(call):
            raise LocalProtocolError("another INVITE of the call is pending")
        request = dialog.request("INVITE", headers, body)
        key = self._core.send_request(request, flow, now)
        self._ours[call] = self._by_key[key] = Reinvite(call, key, request, flow, dialog=dialog)
        self._heap.arm((call, _I.GIVE_UP), now + self._core.timers.ringing)
        return key

    def take_back(self, key: TransactionKey, now: float) -> bool:
        """Cancel one of ours that nobody waits for any more; False when it is none."""
        ours = self._by_key.get(key)
        if ours is not None and ours.machine.state is not _S.OVER:
            self._feed(ours, _I.CANCEL, now)
        return ours is not None

    def answer(self, call: CallKey, key: TransactionKey, response: Response, now: float) -> None:
        """Answer one of the peer; nothing happens when it was cancelled meanwhile.

        Raises:
            LocalProtocolError: It was answered before.
        """
        theirs = self._theirs.get(call)
        if theirs is None or theirs.key != key:
            self._core.count("response_without_transaction")
            return
        given = _I.SEND_FAILURE
        if response.status < 300:
            given = _I.SEND_PROVISIONAL if response.status < 200 else _I.SEND_SUCCESS
        actions = theirs.machine.command(given)
        theirs.response = response
        self._perform(theirs, actions, now)

    # What the calls hand over.

    def receive(
        self, call: CallKey, request: Request, key: TransactionKey, flow: Flow, now: float
    ) -> bool:
        """Take one of the peer; False when it was refused because another one is pending.

        Source: RFC 3261 section 14.2.
        """
        if call in self._ours:
            self._core.count("glare")
            self._core.send_response(key, make_response(request, 491), now)
            return False
        theirs = self._theirs.get(call)
        if theirs is not None and not self._feed(theirs, _I.PEER_NEXT, now):
            # The wait is to differ from call to call.
            wait = [("Retry-After", str(request.cseq.number % 11))]
            self._core.send_response(key, make_response(request, 500, headers=wait), now)
            return False
        self._theirs[call] = self._by_key[key] = Reinvite(call, key, request, flow)
        self._core.send_response(key, make_response(request, 100), now)
        self._heap.arm((call, _I.UNANSWERED), now + self._core.timers.transaction)
        return True

    def receive_ack(self, call: CallKey, number: int, now: float) -> bool:
        """Take the ACK to a 2xx of ours; False when it is for another INVITE."""
        theirs = self._theirs.get(call)
        if theirs is None or theirs.request.cseq.number != number:
            return False
        return self._feed(theirs, _I.PEER_ACK, now)

    def receive_cancel(self, key: TransactionKey, now: float) -> None:
        """Take the CANCEL of the INVITE with this key."""
        theirs = self._by_key.get(key)
        if theirs is not None:
            self._feed(theirs, _I.PEER_CANCEL, now)

    def receive_response(self, key: TransactionKey, response: Response, now: float) -> bool:
        """Take a response to one of ours; False when our user is to have it as well."""
        ours = self._by_key.get(key)
        if ours is None:
            return True
        is_repeated = ours.machine.state is _S.OVER
        if response.status < 200:
            self._feed(ours, _I.PROVISIONAL, now)
        else:
            ours.response = response
            self._feed(ours, _I.SUCCESS if response.status < 300 else _I.FAILURE, now)
        return is_repeated

    def transaction_failed(self, key: TransactionKey, given: ReinviteInput, now: float) -> None:
        """Take the timeout or the lost flow of the one with this key, whoever sent it."""
        reinvite = self._by_key.pop(key, None)
        if reinvite is not None:
            self._feed(reinvite, given, now)

    def transaction_over(self, key: TransactionKey) -> None:
        """Forget one of ours whose transaction reached Terminated."""
        self._by_key.pop(key, None)

    def call_over(self, call: CallKey, now: float) -> None:
        """Take the end of a call, or that we are leaving it."""
        ours, theirs = self._ours.get(call), self._theirs.get(call)
        if ours is not None:
            self._feed(ours, _I.CANCEL, now)
        if theirs is not None:
            self._feed(theirs, _I.CALL_OVER, now)

    def take_timer(self, call: CallKey, given: ReinviteInput, now: float) -> None:
        """Take a timer that fired."""
        reinvite = (self._ours if given is _I.GIVE_UP else self._theirs).get(call)
        if reinvite is not None:
            self._feed(reinvite, given, now)

    # Within.

    def _feed(self, reinvite: Reinvite, given: ReinviteInput, now: float) -> bool:
        actions = reinvite.machine.receive(given)
        if actions is None:
            self._core.count("call_input_dropped")
            return False
        self._perform(reinvite, actions, now)
        return True

    def _perform(self, reinvite: Reinvite, actions: tuple[ReinviteAction, ...], now: float) -> None:
        if reinvite.machine.state is _S.OVER:
            if reinvite.dialog is None:
                self._by_key.pop(reinvite.key, None)
            for pending in (self._ours, self._theirs):
                if pending.get(reinvite.call) is reinvite:
                    del pending[reinvite.call]
        for action in actions:
            _DO[action](self, reinvite, now)

    def _refresh_target(self, reinvite: Reinvite, now: float) -> None:
        assert reinvite.dialog is not None
        assert reinvite.response is not None
        reinvite.dialog.follow(reinvite.response)

    def _send_ack(self, reinvite: Reinvite, now: float) -> None:
        assert reinvite.dialog is not None
        ack = reinvite.dialog.ack(reinvite.request)
        reinvite.ack = self._core.send_ack(ack, reinvite.flow)

    def _repeat_ack(self, reinvite: Reinvite, now: float) -> None:
        if reinvite.ack is not None:
            self._core.count("ack_repeated")
            self._core.send_bytes(reinvite.flow, reinvite.ack)

    def _send_cancel(self, reinvite: Reinvite, now: float) -> None:
        self._core.send_request(cancel_for(reinvite.request), reinvite.flow, now)

    def _start_give_up(self, reinvite: Reinvite, now: float) -> None:
        self._heap.arm((reinvite.call, _I.GIVE_UP), now + self._core.timers.transaction)

    def _stop_give_up(self, reinvite: Reinvite, now: float) -> None:
        self._heap.cancel((reinvite.call, _I.GIVE_UP))

    def _abandon(self, reinvite: Reinvite, now: float) -> None:
        del self._by_key[reinvite.key]
        self._core.abandon(reinvite.key, now)
        self._core.emit(TransactionTimedOut(key=reinvite.key, method="INVITE"))

    def _end_call(self, reinvite: Reinvite, now: float) -> None:
        self._end(reinvite.call, CallInput.DEAD, "no answer to INVITE", now)

    def _leave_call(self, reinvite: Reinvite, now: float) -> None:
        self._end(reinvite.call, CallInput.BYE, "", now)

    def _respond(self, reinvite: Reinvite, now: float) -> None:
        assert reinvite.response is not None
        self._core.send_response(reinvite.key, reinvite.response, now)

    def _repeat_answer(self, reinvite: Reinvite, now: float) -> None:
        self._core.count("answer_repeated")
        self._respond(reinvite, now)

    def _start_repeat(self, reinvite: Reinvite, now: float) -> None:
        reinvite.interval = self._core.timers.t1
        self._heap.arm((reinvite.call, _I.REPEAT), now + reinvite.interval)

    def _double_repeat(self, reinvite: Reinvite, now: float) -> None:
        reinvite.interval = min(2 * reinvite.interval, self._core.timers.t2)
        self._heap.arm((reinvite.call, _I.REPEAT), now + reinvite.interval)

    def _start_no_ack(self, reinvite: Reinvite, now: float) -> None:
        self._heap.arm((reinvite.call, _I.NO_ACK), now + self._core.timers.transaction)

    def _stop_timers(self, reinvite: Reinvite, now: float) -> None:
        for given in (_I.REPEAT, _I.NO_ACK, _I.UNANSWERED):
            self._heap.cancel((reinvite.call, given))

    def _refuse_487(self, reinvite: Reinvite, now: float) -> None:
        self._core.send_response(reinvite.key, make_response(reinvite.request, 487), now)

    def _refuse_500(self, reinvite: Reinvite, now: float) -> None:
        self._core.send_response(reinvite.key, make_response(reinvite.request, 500), now)

    def _report_cancelled(self, reinvite: Reinvite, now: float) -> None:
        self._core.emit(InviteCancelled(call=reinvite.call, text="an INVITE within the call"))


_DO: dict[ReinviteAction, Callable[[Reinvites, Reinvite, float], None]] = {
    _A.REFRESH_TARGET: Reinvites._refresh_target,
    _A.SEND_ACK: Reinvites._send_ack,
    _A.REPEAT_ACK: Reinvites._repeat_ack,
    _A.SEND_CANCEL: Reinvites._send_cancel,
    _A.START_GIVE_UP: Reinvites._start_give_up,
    _A.STOP_GIVE_UP: Reinvites._stop_give_up,
    _A.ABANDON: Reinvites._abandon,
    _A.END_CALL: Reinvites._end_call,
    _A.RESPOND: Reinvites._respond,
    _A.REPEAT_ANSWER: Reinvites._repeat_answer,
    _A.START_REPEAT: Reinvites._start_repeat,
    _A.DOUBLE_REPEAT: Reinvites._double_repeat,
    _A.START_NO_ACK: Reinvites._start_no_ack,
    _A.STOP_TIMERS: Reinvites._stop_timers,
    _A.REFUSE_487: Reinvites._refuse_487,
    _A.REFUSE_500: Reinvites._refuse_500,
    _A.REPORT_CANCELLED: Reinvites._report_cancelled,
    _A.LEAVE_CALL: Reinvites._leave_call,
}


def glare_pause(fraction: float, *, is_owner: bool) -> float:
    """Return how long to wait after a 491 before the next try, in steps of 10 ms.

    Args:
        fraction: A random number from 0 to 1.
        is_owner: Whether the Call-ID is ours: the first INVITE of the call was.

    Source: RFC 3261 section 14.1.
    """
    return round(2.1 + 1.9 * fraction if is_owner else 2.0 * fraction, 2)
