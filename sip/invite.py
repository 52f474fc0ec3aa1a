"""The INVITE usage: calls from the first INVITE to the last BYE."""

from collections.abc import Callable, Iterable

from .call import INCOMING, OUTGOING, CallAction, CallInput, CallState
from .core import Core
from .dialog import Dialog
from .errors import LocalProtocolError
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
    InviteCancelled,
    InviteReceived,
    RequestReceived,
    TransactionKey,
)
from .flow import Flow
from .machine import Machine
from .matching import is_client_key, sent_method
from .message import Request, Response, make_response
from .reinvite import CallTimer, ReinviteInput, Reinvites
from .timers import TimerHeap, Timers
from .transaction import cancel_for

_S, _I, _A = CallState, CallInput, CallAction

_NEVER_FIRST = frozenset({"ACK", "BYE", "INFO"})
"""Methods that make no sense outside a call."""


class CallRecord:
    """All that is known of one call."""

    __slots__ = (
        "ack",
        "ack_body",
        "ack_headers",
        "ack_repeats",
        "answer",
        "bye_reason",
        "dialog",
        "flow",
        "invite",
        "invite_key",
        "key",
        "machine",
        "peer_request",
        "repeat_interval",
        "response",
        "text",
    )

    def __init__(self, key: CallKey, invite: Request, flow: Flow, state: CallState) -> None:
        self.key = key
        self.invite = invite
        self.invite_key: TransactionKey | None = None
        self.flow = flow
        table = OUTGOING if state is CallState.CALLING else INCOMING
        self.machine: Machine[CallState, CallInput, CallAction] = Machine(table, state)
        self.dialog: Dialog | None = None
        self.response: Response | None = None
        """The response at hand: received by a caller, to be sent by a callee."""
        self.answer: Response | None = None
        """The 2xx."""
        self.ack: bytes | None = None
        self.ack_headers: tuple[tuple[str, str], ...] = ()
        self.ack_body = b""
        self.ack_repeats = 0
        self.peer_request: Request | None = None
        self.bye_reason: str | None = None
        self.text = ""
        self.repeat_interval = 0.0

    @property
    def is_outgoing(self) -> bool:
        """Tell whether the INVITE was ours."""
        return self.invite_key is not None and is_client_key(self.invite_key)


class InviteUsage:
    """All calls of one stack.

    Source: RFC 3261 sections 9, 12, 13, 14 and 15.
    """

    __slots__ = (
        "_by_dialog",
        "_by_peer",
        "_by_transaction",
        "_calls",
        "_core",
        "_heap",
        "_serial",
        "_token",
        "reinvites",
    )

    def __init__(self, core: Core, *, heap: TimerHeap[CallTimer], token: Callable[[], str]) -> None:
        self._core = core
        self._heap = heap
        self._token = token
        self._serial = 0
        self._calls: dict[CallKey, CallRecord] = {}
        self._by_dialog: dict[tuple[str, str], CallRecord] = {}
        """By Call-ID and our tag, which is random: devices change or lose their own."""
        self._by_peer: dict[tuple[str, str], CallRecord] = {}
        """By Call-ID and the tag of the peer, for those that leave out ours."""
        self._by_transaction: dict[TransactionKey, CallRecord] = {}
        self.reinvites = Reinvites(core, heap=heap, end=self._end)

    def __len__(self) -> int:
        return len(self._calls)

    # What our user asks for.

    def invite(self, request: Request, flow: Flow, now: float) -> CallKey:
        """Call somebody; the outcome is an event."""
        record = self._record(request, flow, CallState.CALLING)
        record.invite_key = self._core.send_request(request, flow, now)
        self._by_transaction[record.invite_key] = record
        return record.key

    def ack(
        self,
        call: CallKey,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Acknowledge the 2xx to our INVITE; each repetition of it gets the same ACK.

        Raises:
            LocalProtocolError: The call is not answered, acknowledged already, or over.
        """
        record = self._known(call)
        record.ack_headers, record.ack_body = tuple(headers), body
        self._perform(record, record.machine.command(_I.SEND_ACK), now)

    def cancel(self, call: CallKey, now: float) -> None:
        """Give up an INVITE; one that was answered meanwhile is acknowledged and ended."""
        record = self._calls.get(call)
        if record is not None and record.is_outgoing:
            self._feed(record, _I.CANCEL, now)

    def bye(self, call: CallKey, now: float, *, reason: str | None = None) -> None:
        """End a call; one that is over already stays so.

        Args:
            call: The call.
            now: The time.
            reason: Value of the Reason header.
        """
        record = self._calls.get(call)
        if record is not None:
            record.bye_reason = reason
            self._feed(record, _I.BYE, now)

    def request(
        self,
        call: CallKey,
        method: str,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        flow: Flow | None = None,
    ) -> TransactionKey:
        """Send a request within the dialog; its response is an event.

        ``flow`` is where this one goes, when not where the call's requests go.

        Raises:
            LocalProtocolError: There is no dialog (any more), or the method has its own call.
        """
        record = self._known(call)
        if record.dialog is None or record.machine.state in (_S.LEAVING, _S.ENDED):
            raise LocalProtocolError(f"{method} outside an established call")
        if method in ("INVITE", "ACK", "BYE", "CANCEL"):
            raise LocalProtocolError(f"{method} is not sent as a plain request of a call")
        made = record.dialog.request(method, headers, body)
        key = self._core.send_request(made, flow or record.flow, now)
        self._by_transaction[key] = record
        return key

    def respond(self, call: CallKey, response: Response, now: float) -> None:
        """Answer the INVITE of an incoming call; nothing happens when it was cancelled meanwhile.

        Raises:
            LocalProtocolError: It was answered before.
        """
        record = self._calls.get(call)
        if record is None:
            self._core.count("response_without_transaction")
            return
        given = _I.SEND_FAILURE
        if response.status < 300:
            given = _I.SEND_PROVISIONAL if response.status < 200 else _I.SEND_SUCCESS
        record.response = response
        self._perform(record, record.machine.command(given), now)

    def reinvite(
        self,
        call: CallKey,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        flow: Flow | None = None,
    ) -> TransactionKey:
        """Send an INVITE within the dialog; its final response is an event.

        A 2xx is acknowledged; 408, 481 and silence end the call, everything else leaves the
        session as it was. ``body`` is the offer: there is no ACK that could bring an answer.
        ``stack.abandon`` takes it back. What the peer sends is answered by ``reinvites``.

        Raises:
            LocalProtocolError: The call does not stand, or another INVITE of it is pending.

        Source: RFC 3261 section 14.1.
        """
        record = self._known(call)
        if record.dialog is None or record.machine.state is not _S.CONFIRMED:
            raise LocalProtocolError("INVITE within a call that does not stand")
        key = self.reinvites.send(
            call, record.dialog, flow or record.flow, now, headers=headers, body=body
        )
        self._by_transaction[key] = record
        return key

    def move(self, call: CallKey, flow: Flow) -> None:
        """Send further requests of a call over another flow: its peer came back on that one."""
        record = self._calls.get(call)
        if record is not None:
            record.flow = flow

    def dialog(self, call: CallKey) -> Dialog | None:
        """Return the dialog of a call, None before its 2xx and after its end."""
        record = self._calls.get(call)
        return None if record is None else record.dialog

    def ack_repeats(self, call: CallKey) -> int:
        """Return how often the 2xx came again after its ACK: the peer has not seen that."""
        record = self._calls.get(call)
        return 0 if record is None else record.ack_repeats

    def flow(self, call: CallKey) -> Flow | None:
        """Return where requests of a call go, None after its end."""
        record = self._calls.get(call)
        return None if record is None else record.flow

    def flows(self) -> set[Flow]:
        """Return where the requests of all calls go."""
        return {record.flow for record in self._calls.values()}

    # What the stack hands over.

    def receive_invite(self, request: Request, key: TransactionKey, flow: Flow, now: float) -> None:
        """Take an INVITE outside any dialog: answer 100 and report it."""
        record = self._record(request, flow, CallState.RINGING)
        record.invite_key = key
        self._by_transaction[key] = record
        record.response = make_response(request, 100)
        self._feed(record, _I.SEND_PROVISIONAL, now)
        self._heap.arm((record.key, _I.UNANSWERED), now + self._core.timers.ringing)
        self._core.emit(InviteReceived(call=record.key, key=key, request=request, flow=flow))

    def find(self, request: Request) -> CallKey | None:
        """Return the call whose dialog a request of the peer belongs to.

        Source: RFC 3261 section 12.2.2.
        """
        record = self._by_dialog.get((request.call_id, request.to_tag))
        if record is None and not request.to_tag and request.method in _NEVER_FIRST:
            record = self._by_peer.get((request.call_id, request.from_tag))
        return None if record is None else record.key

    def has_partner(self, request: Request) -> bool:
        """Tell whether a call with the sender stands that has another tag of ours."""
        return (request.call_id, request.from_tag) in self._by_peer

    def receive_request(
        self, call: CallKey, request: Request, key: TransactionKey, flow: Flow, now: float
    ) -> None:
        """Take a request within a dialog.

        Raises:
            RemoteProtocolError: Its CSeq is out of order.
        """
        record = self._calls[call]
        assert record.dialog is not None
        record.dialog.accept(request)
        record.flow = flow
        if request.method == "BYE":
            record.peer_request = request
            self._core.send_response(key, make_response(request, 200), now)
            self._feed(record, _I.PEER_BYE, now)
        elif record.machine.state in (_S.LEAVING, _S.LEAVING_UNACKNOWLEDGED, _S.ENDED):
            self._core.send_response(key, make_response(request, 481), now)
        elif request.method != "INVITE" or self.reinvites.receive(call, request, key, flow, now):
            self._core.emit(RequestReceived(key=key, request=request, flow=flow, call=call))

    def receive_ack(self, request: Request, now: float) -> bool:
        """Take the ACK to a 2xx; False when no call waits for one."""
        call = self.find(request)
        if call is None:
            return False
        record = self._calls[call]
        if self.reinvites.receive_ack(call, request.cseq.number, now):
            return True
        if record.machine.state is _S.ENDED or request.cseq.number != record.invite.cseq.number:
            return False
        record.peer_request = request
        return self._feed(record, _I.PEER_ACK, now)

    def receive_cancel(self, key: TransactionKey, now: float) -> None:
        """Take the CANCEL of the INVITE with this key."""
        record = self._by_transaction.get(key)
        if record is not None:
            self._feed(record, _I.PEER_CANCEL, now)
        else:
            self.reinvites.receive_cancel(key, now)

    def receive_response(self, key: TransactionKey, response: Response, now: float) -> bool:
        """Take a response to a request of a call; False when our user is to have it as well."""
        record = self._by_transaction.get(key)
        if record is None:
            return sent_method(key) == "CANCEL"
        if key == record.invite_key:
            self._receive_answer(record, response, now)
            return True
        method = sent_method(key)
        if method == "INVITE" and self.reinvites.receive_response(key, response, now):
            return True
        if response.status < 200:
            return method == "BYE"
        if method != "INVITE":  # that may have to acknowledge repetitions
            del self._by_transaction[key]
        if method == "BYE":
            self._feed(record, _I.BYE_DONE, now)
            return True
        if response.status in (408, 481):
            # RFC 3261 section 12.2.1.2: the dialog is gone at the other end.
            record.text = f"{response.status} to {method}"
            self._feed(record, _I.DEAD, now)
        return False

    def transaction_failed(self, key: TransactionKey, now: float, *, flow_lost: bool) -> bool:
        """Take a timeout or a lost flow; False when our user is to hear of it as well."""
        record = self._by_transaction.get(key)
        if record is None:
            if not is_client_key(key):
                self.reinvites.transaction_failed(key, ReinviteInput.FLOW_LOST, now)
            return sent_method(key) == "CANCEL"
        if key == record.invite_key:
            record.text = "the flow was lost" if flow_lost else "no answer to INVITE"
            self._feed(record, _I.FLOW_LOST if flow_lost else _I.TIMEOUT, now)
            return True
        del self._by_transaction[key]
        if sent_method(key) == "INVITE":
            given = ReinviteInput.FLOW_LOST if flow_lost else ReinviteInput.TIMEOUT
            self.reinvites.transaction_failed(key, given, now)
        elif sent_method(key) == "BYE":
            self._feed(record, _I.BYE_DONE, now)
            return True
        return False

    def transaction_over(self, key: TransactionKey) -> None:
        """Forget a transaction that reached Terminated."""
        if self._by_transaction.pop(key, None) is not None:
            self.reinvites.transaction_over(key)

    def take_timer(self, call: CallKey, given: CallInput | ReinviteInput, now: float) -> None:
        """Take a timer of a call that fired."""
        if isinstance(given, ReinviteInput):
            self.reinvites.take_timer(call, given, now)
        elif call in self._calls:
            self._feed(self._calls[call], given, now)

    # Within.

    def _record(self, request: Request, flow: Flow, state: CallState) -> CallRecord:
        self._serial += 1
        record = CallRecord(CallKey(self._serial), request, flow, state)
        self._calls[record.key] = record
        return record

    def _known(self, call: CallKey) -> CallRecord:
        record = self._calls.get(call)
        if record is None:
            raise LocalProtocolError("the call is over")
        return record

    def _end(self, call: CallKey, given: CallInput, text: str, now: float) -> None:
        record = self._calls.get(call)
        if record is not None:
            record.text, record.bye_reason = text, None
            self._feed(record, given, now)

    def _receive_answer(self, record: CallRecord, response: Response, now: float) -> None:
        answered = record.dialog
        is_success = 200 <= response.status < 300
        if answered is not None and is_success and answered.remote_tag != (response.to.tag or ""):
            self._leave_fork(record, response, now)
            return
        record.response = response
        if response.status < 200:
            self._feed(record, _I.PROVISIONAL, now)
        elif response.status < 300:
            self._feed(record, _I.SUCCESS, now)
        else:
            self._feed(record, _I.FAILURE, now)

    def _leave_fork(self, record: CallRecord, response: Response, now: float) -> None:
        # RFC 3261 section 13.2.2.4: a second one answered the same INVITE; one call is enough.
        self._core.count("forked_answer")
        other = Dialog.of_caller(record.invite, response)
        self._core.send_ack(other.ack(record.invite), record.flow)
        self._core.send_request(other.request("BYE"), record.flow, now)

    def _feed(self, record: CallRecord, given: CallInput, now: float) -> bool:
        actions = record.machine.receive(given)
        if actions is None:
            self._core.count("call_input_dropped")
            return False
        self._perform(record, actions, now)
        return True

    def _perform(self, record: CallRecord, actions: tuple[CallAction, ...], now: float) -> None:
        for action in actions:
            if action in _REPORTS:
                self._core.emit(_REPORTS[action](record))
            elif action in _TIMER_STARTS:
                given, interval = _TIMER_STARTS[action]
                if given is _I.REPEAT:
                    record.repeat_interval = interval(self._core.timers)
                self._heap.arm((record.key, given), now + interval(self._core.timers))
            else:
                _DO[action](self, record, now)

    def _open_dialog(self, record: CallRecord, now: float) -> None:
        record.answer = response = _seen(record)
        if record.is_outgoing:
            record.dialog = Dialog.of_caller(record.invite, response)
        else:
            record.dialog = Dialog.of_callee(record.invite, response)
        self._by_dialog[record.dialog.id[:2]] = record
        self._by_peer[record.dialog.call_id, record.dialog.remote_tag] = record

    def _send_ack(self, record: CallRecord, now: float) -> None:
        assert record.dialog is not None
        ack = record.dialog.ack(record.invite, record.ack_headers, record.ack_body)
        record.ack = self._core.send_ack(ack, record.flow)

    def _repeat_ack(self, record: CallRecord, now: float) -> None:
        if record.ack is not None:
            self._core.count("ack_repeated")
            record.ack_repeats += 1
            self._core.send_bytes(record.flow, record.ack)

    def _send_bye(self, record: CallRecord, now: float) -> None:
        self.reinvites.call_over(record.key, now)
        assert record.dialog is not None
        headers = [("Reason", record.bye_reason)] if record.bye_reason else []
        bye = record.dialog.request("BYE", headers)
        self._by_transaction[self._core.send_request(bye, record.flow, now)] = record

    def _send_cancel(self, record: CallRecord, now: float) -> None:
        self._core.send_request(cancel_for(record.invite), record.flow, now)

    def _abandon(self, record: CallRecord, now: float) -> None:
        assert record.invite_key is not None
        self._core.abandon(record.invite_key, now)

    def _respond(self, record: CallRecord, now: float) -> None:
        assert record.invite_key is not None
        self._core.send_response(record.invite_key, _seen(record), now)

    def _refuse_487(self, record: CallRecord, now: float) -> None:
        record.text = "cancelled by the caller"
        record.response = make_response(record.invite, 487, to_tag=self._token())
        self._respond(record, now)

    def _refuse_408(self, record: CallRecord, now: float) -> None:
        record.text = "left unanswered"
        record.response = make_response(record.invite, 408, to_tag=self._token())
        self._respond(record, now)

    def _repeat_answer(self, record: CallRecord, now: float) -> None:
        assert record.invite_key is not None
        assert record.answer is not None
        self._core.count("answer_repeated")
        self._core.send_response(record.invite_key, record.answer, now)

    def _double_repeat(self, record: CallRecord, now: float) -> None:
        record.repeat_interval = min(2 * record.repeat_interval, self._core.timers.t2)
        self._heap.arm((record.key, _I.REPEAT), now + record.repeat_interval)

    def _stop_timers(self, record: CallRecord, now: float = 0.0) -> None:
        for given in (_I.REPEAT, _I.NO_ACK, _I.UNANSWERED, _I.GIVE_UP):
            self._heap.cancel((record.key, given))

    def _release(self, record: CallRecord, now: float) -> None:
        self.reinvites.call_over(record.key, now)
        # The client transaction keeps the record until timer M: repeated 2xx still get their ACK.
        self._calls.pop(record.key, None)
        if record.dialog is not None:
            _drop(self._by_dialog, record.dialog.id[:2], record)
            _drop(self._by_peer, (record.dialog.call_id, record.dialog.remote_tag), record)
            self._core.dialog_over(record.dialog)
        if record.invite_key is not None and not record.is_outgoing:
            self._by_transaction.pop(record.invite_key, None)
        self._core.emit(CallReleased(call=record.key))


_DO: dict[CallAction, Callable[[InviteUsage, CallRecord, float], None]] = {
    _A.OPEN_DIALOG: InviteUsage._open_dialog,
    _A.SEND_ACK: InviteUsage._send_ack,
    _A.REPEAT_ACK: InviteUsage._repeat_ack,
    _A.SEND_BYE: InviteUsage._send_bye,
    _A.SEND_CANCEL: InviteUsage._send_cancel,
    _A.ABANDON: InviteUsage._abandon,
    _A.RESPOND: InviteUsage._respond,
    _A.REFUSE_487: InviteUsage._refuse_487,
    _A.REFUSE_408: InviteUsage._refuse_408,
    _A.REPEAT_ANSWER: InviteUsage._repeat_answer,
    _A.DOUBLE_REPEAT: InviteUsage._double_repeat,
    _A.STOP_TIMERS: InviteUsage._stop_timers,
    _A.RELEASE: InviteUsage._release,
}

_TIMER_STARTS: dict[CallAction, tuple[CallInput, Callable[[Timers], float]]] = {
    _A.START_REPEAT: (_I.REPEAT, lambda t: t.t1),
    _A.START_NO_ACK: (_I.NO_ACK, lambda t: t.transaction),
    _A.START_GIVE_UP: (_I.GIVE_UP, lambda t: t.transaction),
}


def _drop(
    records: dict[tuple[str, str], CallRecord], key: tuple[str, str], record: CallRecord
) -> None:
    if records.get(key) is record:  # a peer may use the same tags in a second call
        del records[key]


def _reason(record: CallRecord) -> str:
    request = record.peer_request
    return "" if request is None else request.headers.get("Reason") or ""


def _seen(record: CallRecord) -> Response:
    assert record.response is not None
    return record.response


def _acknowledged(record: CallRecord) -> Event:
    return CallAcknowledged(call=record.key, request=record.peer_request or record.invite)


_REPORTS: dict[CallAction, Callable[[CallRecord], Event]] = {
    _A.REPORT_PROGRESS: lambda r: CallProgress(call=r.key, response=_seen(r)),
    _A.REPORT_ANSWER: lambda r: CallAnswered(call=r.key, response=_seen(r)),
    _A.REPORT_REFUSED: lambda r: CallRefused(call=r.key, response=_seen(r)),
    _A.REPORT_TIMEOUT: lambda r: CallFailed(call=r.key, text=r.text or "cancelled"),
    _A.REPORT_FLOW_LOST: lambda r: CallFailed(call=r.key, text=r.text, flow_lost=True),
    _A.REPORT_CANCELLED: lambda r: InviteCancelled(call=r.key, text=r.text or "the flow was lost"),
    _A.REPORT_ACK: _acknowledged,
    _A.REPORT_NO_ACK: lambda r: CallUnacknowledged(call=r.key),
    _A.REPORT_LEFT: lambda r: CallEnded(call=r.key, by="local", text=r.bye_reason or ""),
    _A.REPORT_REMOTE_BYE: lambda r: CallEnded(call=r.key, by="remote", text=_reason(r)),
    _A.REPORT_DEAD: lambda r: CallEnded(call=r.key, by="lost", text=r.text or "no ACK"),
}
