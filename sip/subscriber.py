"""The subscriber's usage: subscriptions of ours, from the first SUBSCRIBE to the last NOTIFY."""

from collections.abc import Callable
from typing import TypeAlias

from .core import Core
from .dialog import Dialog
from .errors import LocalProtocolError
from .events import (
    Event,
    NotifyReceived,
    SubscriptionAccepted,
    SubscriptionEnded,
    SubscriptionFailed,
    SubscriptionKey,
    SubscriptionRefused,
    SubscriptionReleased,
    TransactionKey,
)
from .flow import Flow
from .machine import Machine
from .message import Request, Response, make_response
from .subscription import (
    ENDING_STATUSES,
    SUBSCRIBER,
    EventId,
    SubscriberAction,
    SubscriberInput,
    SubscriberState,
    SubscriptionStatus,
    is_same_event,
    parse_event,
    parse_status,
)
from .timers import TimerHeap

_S, _I, _A = SubscriberState, SubscriberInput, SubscriberAction

SubscriberTimer: TypeAlias = tuple[SubscriptionKey, SubscriberInput]

REFRESH_SHARE = 2 / 3
"""Part of the granted time after which a subscription is refreshed."""
RETRY_INTERVAL = 30.0
"""Seconds after which a refresh that failed is tried again, when so much is left."""

# Written anew into each request, or already there by the dialog.
_OWN_FIELDS = frozenset(
    {"via", "from", "to", "call-id", "cseq", "max-forwards", "contact", "route", "expires"}
)


class SubscriberRecord:
    """All that is known of one subscription of ours."""

    __slots__ = (
        "body",
        "cancel_body",
        "dialog",
        "event",
        "expires",
        "expires_at",
        "flow",
        "heard",
        "key",
        "machine",
        "notify_sequence",
        "pending",
        "request",
        "response",
        "text",
    )

    def __init__(
        self, key: SubscriptionKey, request: Request, flow: Flow, body: Callable[[], bytes]
    ) -> None:
        self.key = key
        self.request = request
        self.flow = flow
        self.body = body
        self.cancel_body: bytes | None = None
        self.event: EventId = parse_event(request.headers.get("Event"))
        self.expires = request.expires or 0
        """What is asked for, in seconds."""
        self.expires_at = 0.0
        self.dialog: Dialog | None = None
        self.machine: Machine[SubscriberState, SubscriberInput, SubscriberAction] = Machine(
            SUBSCRIBER, _S.WAITING
        )
        self.pending: TransactionKey | None = None
        self.response: Response | None = None
        self.heard: NotifyReceived | None = None
        self.notify_sequence: int | None = None
        self.text = ""

    @property
    def status(self) -> SubscriptionStatus:
        """The latest Subscription-State."""
        return SubscriptionStatus() if self.heard is None else self.heard.status


class Subscriber:
    """All subscriptions of ours in one stack.

    Source: RFC 6665 section 4.1.
    """

    __slots__ = ("_by_set", "_by_transaction", "_core", "_heap", "_records", "_serial")

    def __init__(
        self,
        core: Core,
        *,
        heap: TimerHeap[SubscriberTimer],
        serial: Callable[[], SubscriptionKey],
    ) -> None:
        self._core = core
        self._heap = heap
        self._serial = serial
        self._records: dict[SubscriptionKey, SubscriberRecord] = {}
        self._by_set: dict[tuple[str, str], list[SubscriberRecord]] = {}
        self._by_transaction: dict[TransactionKey, SubscriberRecord] = {}

    def __len__(self) -> int:
        return len(self._records)

    # What our user asks for.

    def subscribe(
        self, request: Request, flow: Flow, now: float, *, body: Callable[[], bytes] | None = None
    ) -> SubscriptionKey:
        """Ask for news; the outcome is an event, and so is each NOTIFY.

        A Call-ID and From tag of a subscription that stands put this one into the same dialog.

        Args:
            request: A SUBSCRIBE with From tag, Call-ID, CSeq, Event and Expires.
            flow: Where to.
            now: The time.
            body: Makes the body of each refresh and of the end; the first one again when None.

        Raises:
            LocalProtocolError: It is no SUBSCRIBE, or has no Event.
        """
        if request.method != "SUBSCRIBE" or not request.headers.get("Event"):
            raise LocalProtocolError("a subscription needs a SUBSCRIBE with an Event")
        first = request.body
        record = SubscriberRecord(self._serial(), request, flow, body or (lambda: first))
        dialog_set = (request.call_id, request.from_tag)
        shared = next((r.dialog for r in self._by_set.get(dialog_set, ()) if r.dialog), None)
        if shared is not None:
            record.dialog = shared
            request = self._within(record, request.body, record.expires)
        self._records[record.key] = record
        self._by_set.setdefault(dialog_set, []).append(record)
        self._send(record, request, now)
        return record.key

    def cancel(
        self, subscription: SubscriptionKey, now: float, *, body: bytes | None = None
    ) -> None:
        """End a subscription; one that is over stays so.

        Args:
            subscription: Which.
            now: The time.
            body: Body of the SUBSCRIBE with Expires 0; that of a refresh when None.
        """
        record = self._records.get(subscription)
        if record is not None:
            record.cancel_body = body
            self._feed(record, _I.CANCEL, now)

    def dialog(self, subscription: SubscriptionKey) -> Dialog | None:
        """Return the dialog; None before the 200 and after the end."""
        record = self._records.get(subscription)
        return None if record is None else record.dialog

    def flow(self, subscription: SubscriptionKey) -> Flow | None:
        """Return where requests go; None after the end."""
        record = self._records.get(subscription)
        return None if record is None else record.flow

    def expires_at(self, subscription: SubscriptionKey) -> float | None:
        """Return when it ends unless it is renewed; None after the end."""
        record = self._records.get(subscription)
        return None if record is None else record.expires_at

    def move(self, subscription: SubscriptionKey, flow: Flow) -> None:
        """Send further requests over another flow: the peer came back on that one."""
        record = self._records.get(subscription)
        if record is not None:
            record.flow = flow

    def flows(self) -> set[Flow]:
        """Return where the requests of all subscriptions go."""
        return {record.flow for record in self._records.values()}

    # What the stack hands over.

    def find(self, request: Request) -> SubscriptionKey | None:
        """Return the subscription that a NOTIFY belongs to.

        Our tag is random, so together with the Call-ID it is enough; devices change their own, and
        those that have one subscription echo its Event wrongly. Where there are several, Event
        decides.

        Source: RFC 6665 section 4.4.1.
        """
        records = self._by_set.get((request.call_id, request.to_tag))
        if not records:
            return None
        if len(records) == 1:
            return records[0].key
        event = parse_event(request.headers.get("Event"))
        return next((r.key for r in records if is_same_event(r.event, event)), None)

    def receive(self, request: Request, key: TransactionKey, flow: Flow, now: float) -> bool:
        """Take a NOTIFY; False when it belongs to no subscription of ours.

        Raises:
            RemoteProtocolError: Its CSeq is out of order.
        """
        subscription = self.find(request)
        if subscription is not None:
            self.receive_notify(subscription, request, key, flow, now)
        return subscription is not None

    def receive_notify(
        self,
        subscription: SubscriptionKey,
        request: Request,
        key: TransactionKey,
        flow: Flow,
        now: float,
    ) -> None:
        """Take a NOTIFY that ``find`` has placed.

        Raises:
            RemoteProtocolError: Its CSeq is out of order.
        """
        record = self._records[subscription]
        if record.dialog is not None and record.dialog.remote_tag == request.from_tag:
            record.dialog.accept(request)
        record.notify_sequence = request.cseq.number
        status = parse_status(request.headers.get("Subscription-State"))
        record.heard = NotifyReceived(
            subscription=subscription, key=key, request=request, flow=flow, status=status
        )
        record.flow = flow
        given = _I.NOTIFY_END if status.state == "terminated" else _I.NOTIFY
        actions = self._feed(record, given, now)
        if actions is None or _A.DELIVER not in actions:
            self._core.send_response(key, make_response(request, 200), now)

    def receive_response(self, key: TransactionKey, response: Response, now: float) -> bool:
        """Take a response to a SUBSCRIBE of ours; False when it is not one."""
        record = self._by_transaction.get(key)
        if record is None:
            return False
        if response.status < 200:
            return True
        del self._by_transaction[key]
        if record.pending != key:
            return True  # a refresh that a cancel has overtaken
        record.pending = None
        record.response = response
        record.text = "" if response.status < 300 else f"{response.status} {response.reason}"
        if response.status < 300:
            granted = record.expires if response.expires is None else response.expires
            self._feed(record, _I.ACCEPTED if granted else _I.ACCEPTED_ONCE, now)
        elif response.status in ENDING_STATUSES:
            self._feed(record, _I.GONE, now)
        else:
            self._feed(record, _I.REFUSED, now)
        return True

    def transaction_failed(self, key: TransactionKey, now: float, *, flow_lost: bool) -> bool:
        """Take a timeout or a lost flow; False when it is none of a SUBSCRIBE of ours."""
        record = self._by_transaction.pop(key, None)
        if record is None:
            return False
        if record.pending == key:
            record.pending = None
            record.text = "the flow was lost" if flow_lost else "no answer to SUBSCRIBE"
            self._feed(record, _I.FLOW_LOST if flow_lost else _I.TIMEOUT, now)
        return True

    def take_timer(self, subscription: SubscriptionKey, given: SubscriberInput, now: float) -> None:
        """Take a timer that fired."""
        record = self._records.get(subscription)
        if record is not None:
            self._feed(record, given, now)

    # Within.

    def _feed(
        self, record: SubscriberRecord, given: SubscriberInput, now: float
    ) -> tuple[SubscriberAction, ...] | None:
        actions = record.machine.receive(given)
        if actions is None:
            self._core.count("subscription_input_dropped")
            return None
        for action in actions:
            if action in _REPORTS:
                self._core.emit(_REPORTS[action](record))
            else:
                _DO[action](self, record, now)
        return actions

    def _send(self, record: SubscriberRecord, request: Request, now: float) -> None:
        key = record.pending = self._core.send_request(request, record.flow, now)
        self._by_transaction[key] = record

    def _within(self, record: SubscriberRecord, body: bytes, expires: int) -> Request:
        assert record.dialog is not None
        fields = [(n, v) for n, v in record.request.headers if n.lower() not in _OWN_FIELDS]
        fields.append(("Expires", str(expires)))
        return record.dialog.request("SUBSCRIBE", fields, body)

    def _open_dialog(self, record: SubscriberRecord, now: float) -> None:
        response = record.response
        if response is None:
            return
        if record.dialog is None:
            record.dialog = Dialog.of_caller(record.request, response)
            record.dialog.remote_sequence = record.notify_sequence
        elif response.contact is not None:
            record.dialog.remote_target = str(response.contact.uri)

    def _start_timers(self, record: SubscriberRecord, now: float) -> None:
        granted = record.response.expires if record.response is not None else None
        self._arm(record, record.expires if granted is None else granted, now)

    def _arm(self, record: SubscriberRecord, left: float, now: float) -> None:
        record.expires_at = now + left
        self._heap.arm((record.key, _I.REFRESH), now + left * REFRESH_SHARE)
        self._heap.arm((record.key, _I.EXPIRED), record.expires_at)

    def _take_expiry(self, record: SubscriberRecord, now: float) -> None:
        # RFC 6665 4.1.3: the notifier may shorten; what does not count down is no change.
        left = record.status.expires
        if left and now + left < record.expires_at - 1.0:
            self._arm(record, left, now)

    def _retry_later(self, record: SubscriberRecord, now: float) -> None:
        response = record.response
        if response is not None and response.status == 423:
            minimum = response.headers.get("Min-Expires", "") or ""
            if minimum.strip().isdigit():
                record.expires = max(record.expires, int(minimum))
        wait = min(RETRY_INTERVAL, (record.expires_at - now) / 2)
        self._heap.arm((record.key, _I.REFRESH), now + max(wait, 1.0))

    def _stop_timers(self, record: SubscriberRecord, now: float) -> None:
        for given in (_I.REFRESH, _I.EXPIRED, _I.LINGERED):
            self._heap.cancel((record.key, given))

    def _start_linger(self, record: SubscriberRecord, now: float) -> None:
        self._heap.arm((record.key, _I.LINGERED), now + self._core.timers.transaction)

    def _send_refresh(self, record: SubscriberRecord, now: float) -> None:
        self._send(record, self._within(record, record.body(), record.expires), now)

    def _send_cancel(self, record: SubscriberRecord, now: float) -> None:
        body = record.body() if record.cancel_body is None else record.cancel_body
        self._send(record, self._within(record, body, 0), now)

    def _deliver(self, record: SubscriberRecord, now: float) -> None:
        if record.heard is not None:
            self._core.emit(record.heard)

    def _release(self, record: SubscriberRecord, now: float) -> None:
        self._records.pop(record.key, None)
        dialog_set = (record.request.call_id, record.request.from_tag)
        others = [r for r in self._by_set.pop(dialog_set, ()) if r is not record]
        if others:
            self._by_set[dialog_set] = others
        self._core.emit(SubscriptionReleased(subscription=record.key))


_DO: dict[SubscriberAction, Callable[[Subscriber, SubscriberRecord, float], None]] = {
    _A.OPEN_DIALOG: Subscriber._open_dialog,
    _A.START_TIMERS: Subscriber._start_timers,
    _A.STOP_TIMERS: Subscriber._stop_timers,
    _A.START_LINGER: Subscriber._start_linger,
    _A.SEND_REFRESH: Subscriber._send_refresh,
    _A.RETRY_LATER: Subscriber._retry_later,
    _A.SEND_CANCEL: Subscriber._send_cancel,
    _A.TAKE_EXPIRY: Subscriber._take_expiry,
    _A.DELIVER: Subscriber._deliver,
    _A.RELEASE: Subscriber._release,
}


def _accepted(record: SubscriberRecord) -> Event:
    assert record.response is not None
    return SubscriptionAccepted(subscription=record.key, response=record.response)


def _refused(record: SubscriberRecord) -> Event:
    assert record.response is not None
    return SubscriptionRefused(subscription=record.key, response=record.response)


def _terminated(record: SubscriberRecord) -> Event:
    status = record.status
    return SubscriptionEnded(
        subscription=record.key,
        by="remote",
        reason=status.reason,
        retry_after=status.retry_after,
    )


_REPORTS: dict[SubscriberAction, Callable[[SubscriberRecord], Event]] = {
    _A.REPORT_ACCEPTED: _accepted,
    _A.REPORT_REFUSED: _refused,
    _A.REPORT_TIMEOUT: lambda r: SubscriptionFailed(subscription=r.key, text=r.text),
    _A.REPORT_FLOW_LOST: lambda r: SubscriptionFailed(
        subscription=r.key, text=r.text, flow_lost=True
    ),
    _A.REPORT_LEFT: lambda r: SubscriptionEnded(subscription=r.key, by="local"),
    _A.REPORT_TERMINATED: _terminated,
    _A.REPORT_GONE: lambda r: SubscriptionEnded(subscription=r.key, by="lost", reason=r.text),
    _A.REPORT_EXPIRED: lambda r: SubscriptionEnded(subscription=r.key, by="expired", reason=r.text),
}
