"""The notifier's usage: subscriptions that peers have to us."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .core import Core
from .dialog import Dialog, DialogId
from .errors import LocalProtocolError
from .events import (
    Event,
    SubscribeRefreshed,
    SubscriptionEnded,
    SubscriptionKey,
    SubscriptionReleased,
    TransactionKey,
)
from .flow import Flow
from .machine import Machine
from .message import Request, Response, make_response
from .subscription import (
    ENDING_STATUSES,
    NOTIFIER,
    EventId,
    NotifierAction,
    NotifierInput,
    NotifierState,
    is_same_event,
    parse_event,
)
from .timers import TimerHeap

_S, _I, _A = NotifierState, NotifierInput, NotifierAction

NotifierTimer: TypeAlias = tuple[SubscriptionKey, NotifierInput]
Fields: TypeAlias = Iterable[tuple[str, str]]
AnswerMaker: TypeAlias = Callable[[Request], tuple[Fields, bytes]]
"""Makes further header fields and the body of the 200 to a refresh."""


@dataclass(slots=True)
class News:
    """What the next NOTIFY is to say."""

    state: str = "active"
    reason: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    flow: Flow | None = None


class NotifierRecord:
    """All that is known of one subscription to us."""

    __slots__ = (
        "answer",
        "dialog",
        "event",
        "event_text",
        "expires_at",
        "fields",
        "flow",
        "granted",
        "identity",
        "is_once",
        "key",
        "last",
        "machine",
        "next",
        "pending",
        "request",
        "request_key",
        "says_end",
        "text",
    )

    def __init__(
        self,
        key: SubscriptionKey,
        request: Request,
        flow: Flow,
        dialog: Dialog,
        identity: Hashable,
    ) -> None:
        self.key = key
        self.request = request
        """The latest SUBSCRIBE."""
        self.request_key: TransactionKey | None = None
        self.flow = flow
        self.dialog = dialog
        self.identity = identity
        self.event_text = request.headers.get("Event") or ""
        self.event: EventId = parse_event(self.event_text)
        self.granted = 0
        self.expires_at = 0.0
        self.is_once = False
        """Expires was 0: the state is wanted once."""
        self.says_end = True
        self.fields: tuple[tuple[str, str], ...] = ()
        self.answer: AnswerMaker | None = None
        self.machine: Machine[NotifierState, NotifierInput, NotifierAction] = Machine(
            NOTIFIER, _S.ACTIVE
        )
        self.pending: TransactionKey | None = None
        self.next = News()
        self.last = News("terminated", "timeout")
        self.text = ""


class Notifier:
    """All subscriptions to us in one stack.

    Source: RFC 6665 section 4.2.
    """

    __slots__ = (
        "_by_dialog",
        "_by_identity",
        "_by_transaction",
        "_core",
        "_heap",
        "_identity",
        "_records",
        "_serial",
    )

    def __init__(
        self,
        core: Core,
        *,
        heap: TimerHeap[NotifierTimer],
        serial: Callable[[], SubscriptionKey],
        identity: Callable[[Request], Hashable] | None = None,
    ) -> None:
        self._core = core
        self._heap = heap
        self._serial = serial
        self._identity = identity or subscription_identity
        self._records: dict[SubscriptionKey, NotifierRecord] = {}
        self._by_dialog: dict[DialogId, list[NotifierRecord]] = {}
        self._by_identity: dict[Hashable, NotifierRecord] = {}
        self._by_transaction: dict[TransactionKey, NotifierRecord] = {}

    def __len__(self) -> int:
        return len(self._records)

    # What our user asks for.

    def accept(
        self,
        key: TransactionKey,
        request: Request,
        response: Response,
        flow: Flow,
        now: float,
        *,
        fields: Fields = (),
        answer: AnswerMaker | None = None,
        says_end: bool = True,
    ) -> SubscriptionKey:
        """Accept a SUBSCRIBE; an older one of the same subscriber, Event and target is replaced.

        Args:
            key: Of the request's transaction.
            request: The SUBSCRIBE.
            response: The 2xx, with Contact, To tag and the Expires that is granted. 0 means that
                the first NOTIFY is the last one too.
            flow: Where the request came from.
            now: The time.
            fields: Stand in each NOTIFY, for example User-Agent.
            answer: Makes what the 200 to a refresh says.
            says_end: Whether a last NOTIFY tells the end when the peer unsubscribed or the time is
                over (RFC 6665 section 4.2.2).

        Raises:
            LocalProtocolError: It was answered before.
        """
        self._core.send_response(key, response, now)
        dialog = self.dialog_of(request) or Dialog.of_callee(request, response)
        record = NotifierRecord(self._serial(), request, flow, dialog, self._identity(request))
        record.fields, record.answer, record.says_end = tuple(fields), answer, says_end
        record.granted = response.expires or 0
        if record.granted == 0:
            record.is_once = record.says_end = True
        old = self._by_identity.get(record.identity)
        if old is not None:
            self._feed(old, _I.REPLACED, now)
        self._records[record.key] = record
        self._by_dialog.setdefault(dialog.id, []).append(record)
        self._by_identity[record.identity] = record
        self._arm(record, record.granted or self._core.timers.transaction, now)
        return record.key

    def notify(
        self,
        subscription: SubscriptionKey,
        now: float,
        *,
        state: str = "active",
        fields: Fields = (),
        body: bytes = b"",
        flow: Flow | None = None,
    ) -> TransactionKey:
        """Send a NOTIFY; its response is an event.

        ``flow`` is where this one goes, when not where the subscription's NOTIFYs go.

        Raises:
            LocalProtocolError: The subscription is over, or the NOTIFY before has no answer yet.
        """
        record = self._records.get(subscription)
        if record is None:
            raise LocalProtocolError("the subscription is over")
        if record.is_once:
            record.last = News("terminated", "timeout", tuple(fields), body, flow)
            actions = record.machine.command(_I.TERMINATE)
        else:
            record.next = News(state, "", tuple(fields), body, flow)
            actions = record.machine.command(_I.NOTIFY)
        record.text = "once" if record.is_once else record.text
        self._perform(record, actions, now)
        if record.pending is None:
            raise LocalProtocolError("the subscription is over")
        return record.pending

    def terminate(
        self,
        subscription: SubscriptionKey,
        now: float,
        *,
        reason: str = "noresource",
        fields: Fields = (),
        body: bytes = b"",
    ) -> None:
        """End a subscription with a last NOTIFY; one that is over stays so."""
        record = self._records.get(subscription)
        if record is not None:
            record.last = News("terminated", reason, tuple(fields), body)
            record.text, record.says_end = reason, True
            self._feed(record, _I.TERMINATE, now)

    def dialog(self, subscription: SubscriptionKey) -> Dialog | None:
        """Return the dialog; None after the end."""
        record = self._records.get(subscription)
        return None if record is None else record.dialog

    def flow(self, subscription: SubscriptionKey) -> Flow | None:
        """Return where NOTIFYs go; None after the end."""
        record = self._records.get(subscription)
        return None if record is None else record.flow

    def move(self, subscription: SubscriptionKey, flow: Flow) -> None:
        """Send further NOTIFYs over another flow: the peer came back on that one."""
        record = self._records.get(subscription)
        if record is not None:
            record.flow = flow

    def flows(self) -> set[Flow]:
        """Return where the requests of all subscriptions go."""
        return {record.flow for record in self._records.values()}

    # What the stack hands over.

    def find(self, request: Request) -> SubscriptionKey | None:
        """Return the subscription that a SUBSCRIBE within a dialog refreshes.

        Source: RFC 6665 section 4.4.1.
        """
        records = self._by_dialog.get(_dialog_id(request), ())
        event = parse_event(request.headers.get("Event"))
        return next((r.key for r in records if is_same_event(r.event, event)), None)

    def dialog_of(self, request: Request) -> Dialog | None:
        """Return the dialog that stands and that a SUBSCRIBE belongs to."""
        records = self._by_dialog.get(_dialog_id(request)) if request.to_tag else None
        return records[0].dialog if records else None

    def receive(
        self,
        request: Request,
        key: TransactionKey,
        flow: Flow,
        now: float,
        *,
        is_initial: Callable[[Request], bool],
    ) -> bool:
        """Take a SUBSCRIBE with a To tag; False when our user is to have it.

        That is so for a new Event in a dialog that stands, and where ``is_initial`` says so of one
        of no dialog.

        Raises:
            RemoteProtocolError: Its CSeq is out of order.
        """
        subscription = self.find(request)
        if subscription is not None:
            self.receive_subscribe(subscription, request, key, flow, now)
            return True
        dialog = self.dialog_of(request)
        if dialog is not None:
            dialog.accept(request)
        elif not is_initial(request):
            # RFC 6665 section 4.2.1.1: the peer subscribes anew then.
            self._core.count("unknown_dialog")
            self._core.send_response(key, make_response(request, 481), now)
            return True
        return False

    def receive_subscribe(
        self,
        subscription: SubscriptionKey,
        request: Request,
        key: TransactionKey,
        flow: Flow,
        now: float,
    ) -> None:
        """Take a refresh or the end that ``find`` has placed.

        Raises:
            RemoteProtocolError: Its CSeq is out of order.
        """
        record = self._records[subscription]
        record.dialog.accept(request)
        record.request, record.request_key, record.flow = request, key, flow
        wanted = record.granted if request.expires is None else request.expires
        if self._feed(record, _I.REFRESH if wanted else _I.UNSUBSCRIBE, now):
            return
        self._core.send_response(key, make_response(request, 481), now)

    def receive_response(self, key: TransactionKey, response: Response, now: float) -> bool:
        """Take a response to a NOTIFY; False when our user is to have it as well."""
        record = self._by_transaction.get(key)
        if record is None or response.status < 200:
            return False
        del self._by_transaction[key]
        gone = response.status in ENDING_STATUSES or response.status == 408
        if gone:
            record.text = f"{response.status} to NOTIFY"
        record.pending = None
        self._feed(record, _I.GONE if gone else _I.ANSWERED, now)
        return False

    def transaction_failed(self, key: TransactionKey, now: float, *, flow_lost: bool) -> bool:
        """Take a timeout or a lost flow; False when our user is to hear of it as well.

        A lost flow ends nothing: the peer may come back on another one.
        """
        record = self._by_transaction.pop(key, None)
        if record is not None:
            record.text = "no answer to NOTIFY"
            record.pending = None
            self._feed(record, _I.ANSWERED if flow_lost else _I.GONE, now)
        return False

    def transaction_over(self, key: TransactionKey, now: float) -> None:
        """Take the end of a NOTIFY whose answer nobody waits for any more."""
        record = self._by_transaction.pop(key, None)
        if record is not None:
            record.pending = None
            self._feed(record, _I.ANSWERED, now)

    def take_timer(self, subscription: SubscriptionKey, given: NotifierInput, now: float) -> None:
        """Take a timer that fired."""
        record = self._records.get(subscription)
        if record is not None:
            record.text = "not refreshed"
            self._feed(record, given, now)

    # Within.

    def _feed(self, record: NotifierRecord, given: NotifierInput, now: float) -> bool:
        actions = record.machine.receive(given)
        if actions is None:
            self._core.count("subscription_input_dropped")
            return False
        self._perform(record, actions, now)
        return True

    def _perform(
        self, record: NotifierRecord, actions: tuple[NotifierAction, ...], now: float
    ) -> None:
        for action in actions:
            if action in _REPORTS:
                self._core.emit(_REPORTS[action](record))
            else:
                _DO[action](self, record, now)

    def _arm(self, record: NotifierRecord, seconds: float, now: float) -> None:
        record.expires_at = now + seconds
        self._heap.arm((record.key, _I.EXPIRED), record.expires_at)

    def _start_expiry(self, record: NotifierRecord, now: float) -> None:
        wanted = record.request.expires
        # What was granted first is the most that is granted later.
        seconds = record.granted if wanted is None else min(wanted, record.granted)
        self._arm(record, seconds, now)

    def _stop_expiry(self, record: NotifierRecord, now: float) -> None:
        self._heap.cancel((record.key, _I.EXPIRED))

    def _answer(self, record: NotifierRecord, now: float) -> None:
        if record.request_key is None:
            return
        wanted = record.request.expires
        granted = record.granted if wanted is None else min(wanted, record.granted)
        fields: Fields = ()
        body = b""
        if record.answer is not None:
            fields, body = record.answer(record.request)
        response = make_response(
            record.request,
            200,
            headers=[
                ("Contact", record.dialog.local_contact),
                ("Expires", str(granted)),
                *record.fields,
                *fields,
            ],
            body=body,
        )
        self._core.send_response(record.request_key, response, now)

    def _send_notify(self, record: NotifierRecord, now: float) -> None:
        self._send(record, record.next, now)

    def _send_last(self, record: NotifierRecord, now: float) -> None:
        if record.says_end:
            self._send(record, record.last, now)
        else:
            self._feed(record, _I.ANSWERED, now)

    def _send(self, record: NotifierRecord, said: News, now: float) -> None:
        if said.state == "terminated":
            state = f"terminated;reason={said.reason}"
        else:
            state = f"{said.state};expires={max(0, round(record.expires_at - now))}"
        fields = [("Subscription-State", state), *record.fields, *said.fields]
        if record.event_text:
            fields.insert(0, ("Event", record.event_text))
        notify = record.dialog.request("NOTIFY", fields, said.body)
        record.pending = self._core.send_request(notify, said.flow or record.flow, now)
        self._by_transaction[record.pending] = record

    def _release(self, record: NotifierRecord, now: float) -> None:
        self._records.pop(record.key, None)
        others = [r for r in self._by_dialog.pop(record.dialog.id, ()) if r is not record]
        if others:
            self._by_dialog[record.dialog.id] = others
        else:
            self._core.dialog_over(record.dialog)
        if self._by_identity.get(record.identity) is record:
            del self._by_identity[record.identity]
        if record.pending is not None:
            self._by_transaction.pop(record.pending, None)
        self._core.emit(SubscriptionReleased(subscription=record.key))


def subscription_identity(request: Request) -> Hashable:
    """Return what makes two subscriptions the same: subscriber, Event and target.

    Hosts are left out: a peer that was moved or restarted subscribes again from elsewhere.
    """
    event = parse_event(request.headers.get("Event"))
    target = request.uri.partition("@")[0]
    return (request.from_.uri.user or str(request.from_.uri), event, target)


def _dialog_id(request: Request) -> DialogId:
    return (request.call_id, request.to_tag, request.from_tag)


def _ended(by: str) -> Callable[[NotifierRecord], Event]:
    return lambda r: SubscriptionEnded(subscription=r.key, by=by, reason=r.text)


_REPORTS: dict[NotifierAction, Callable[[NotifierRecord], Event]] = {
    _A.REPORT_REFRESHED: lambda r: SubscribeRefreshed(subscription=r.key, request=r.request),
    _A.REPORT_UNSUBSCRIBED: _ended("remote"),
    _A.REPORT_EXPIRED: _ended("expired"),
    _A.REPORT_LEFT: _ended("local"),
    _A.REPORT_GONE: _ended("lost"),
    _A.REPORT_REPLACED: _ended("replaced"),
}

_DO: dict[NotifierAction, Callable[[Notifier, NotifierRecord, float], None]] = {
    _A.SEND_NOTIFY: Notifier._send_notify,
    _A.SEND_LAST: Notifier._send_last,
    _A.ANSWER: Notifier._answer,
    _A.START_EXPIRY: Notifier._start_expiry,
    _A.STOP_EXPIRY: Notifier._stop_expiry,
    _A.RELEASE: Notifier._release,
}
