"""What becomes of the events of a stack: futures are resolved, requests and calls handed out."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .conversation import (
    CLOSED,
    Call,
    Host,
    IncomingCall,
    IncomingInvite,
    IncomingRequest,
    IncomingRequests,
    OutgoingCall,
)
from .errors import (
    CallRejected,
    FlowFailed,
    SipError,
    SubscriptionRejected,
    TransactionTimeout,
)
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
    NotifyReceived,
    RequestReceived,
    ResponseReceived,
    SubscribeRefreshed,
    SubscriptionAccepted,
    SubscriptionEnded,
    SubscriptionFailed,
    SubscriptionKey,
    SubscriptionRefused,
    SubscriptionReleased,
    TransactionFlowLost,
    TransactionKey,
    TransactionTimedOut,
)
from .flow import Flow
from .message import Request, Response, make_response
from .notification import IncomingSubscribe, IncomingSubscription, OutgoingSubscription

logger = logging.getLogger("gb28181.sip")

RETRY_AFTER = (("Retry-After", "10"),)


@dataclass(frozen=True, slots=True)
class PendingInvite:
    """An INVITE of ours that somebody waits for."""

    sent: Request
    flow: Flow
    answer: asyncio.Future[OutgoingCall]
    on_progress: Callable[[Response], None] | None


class Delivery:
    """Who waits for what: each event finds its future, its call or the inbox."""

    def __init__(self, host: Host, *, inbox: int, close_flow: Callable[[Flow], None]) -> None:
        self.inbox = IncomingRequests(inbox)
        self.answers: dict[TransactionKey, asyncio.Future[Response]] = {}
        self.invites: dict[CallKey, PendingInvite] = {}
        self.offered: dict[CallKey, IncomingInvite] = {}
        self.calls: dict[CallKey, Call] = {}
        self.outgoing: dict[SubscriptionKey, OutgoingSubscription] = {}
        self.incoming: dict[SubscriptionKey, IncomingSubscription] = {}
        self._host = host
        self._close_flow = close_flow

    def deliver(self, event: Event) -> None:
        """Act on an event; a callback of our user may raise."""
        if isinstance(event, RequestReceived):  # nearly all of them
            self._on_request(event)
        else:
            _ON[type(event)](self, event)

    def close(self) -> None:
        """Fail whatever is waited for: the endpoint is closed."""
        closed = FlowFailed(CLOSED)
        for answer in self.answers.values():
            _fail(answer, closed)
        for pending in self.invites.values():
            _fail(pending.answer, closed)
        for offered in list(self.offered.values()):
            offered.withdraw()
        for call in list(self.calls.values()):
            call.set_ended(CallEnded(call=call.key, by="lost", text=CLOSED))
            call.set_released()
        self.calls.clear()
        for outgoing in list(self.outgoing.values()):
            outgoing.refuse(closed)
            outgoing.set_ended(_closed(outgoing.key))
            outgoing.set_released()
        for incoming in list(self.incoming.values()):
            incoming.set_ended(_closed(incoming.key))
            incoming.set_released()
        self.outgoing.clear()
        self.incoming.clear()
        self.inbox.close()

    def _on_response(self, event: ResponseReceived) -> None:
        answer = self.answers.get(event.key)
        if answer is not None and not answer.done() and event.response.status >= 200:
            answer.set_result(event.response)

    def _on_timeout(self, event: TransactionTimedOut) -> None:
        if event.key in self.answers:
            _fail(self.answers[event.key], TransactionTimeout(f"{event.method}: no answer"))

    def _on_transaction_lost(self, event: TransactionFlowLost) -> None:
        if event.key in self.answers:
            _fail(self.answers[event.key], FlowFailed(f"{event.flow} was lost"))

    def _on_flow_lost(self, event: FlowLost) -> None:
        """Do nothing: ``lost`` tells our users, and a send to a dead flow is no second loss."""

    def _on_flow_broken(self, event: FlowBroken) -> None:
        logger.warning("%s is closed: %s", event.flow, event.reason)
        self._close_flow(event.flow)

    def _on_request(self, event: RequestReceived) -> None:
        call: Call | None = None
        if event.call is not None:
            call = self.calls.get(event.call)
        incoming: IncomingRequest
        if event.request.method == "SUBSCRIBE" and call is None:
            incoming = IncomingSubscribe(self._host, event.key, event.request, event.flow, call)
        else:
            incoming = IncomingRequest(self._host, event.key, event.request, event.flow, call)
        if not self.inbox.offer(incoming):
            self._host.stack.counters["inbox_full"] += 1
            incoming.respond(503, headers=RETRY_AFTER)

    def _on_invite(self, event: InviteReceived) -> None:
        incoming = IncomingInvite(self._host, event.call, event.key, event.request, event.flow)
        self.offered[event.call] = incoming
        if not self.inbox.offer(incoming):
            self._host.stack.counters["inbox_full"] += 1
            incoming.reject(503, headers=RETRY_AFTER)

    def _on_invite_cancelled(self, event: InviteCancelled) -> None:
        offered = self.offered.pop(event.call, None)
        if offered is not None:
            offered.withdraw()

    def _on_progress(self, event: CallProgress) -> None:
        pending = self.invites.get(event.call)
        if pending is not None and pending.on_progress is not None:
            pending.on_progress(event.response)

    def _on_answered(self, event: CallAnswered) -> None:
        pending = self.invites.get(event.call)
        if pending is None or pending.answer.done():
            self._host.stack.calls.cancel(event.call, self._host.now())
            return
        call = OutgoingCall(self._host, event.call, pending.sent, pending.flow, event.response)
        self.calls[event.call] = call
        pending.answer.set_result(call)

    def _on_refused(self, event: CallRefused) -> None:
        self._fail_invite(event.call, CallRejected(event.response))

    def _on_failed(self, event: CallFailed) -> None:
        error = FlowFailed(event.text) if event.flow_lost else TransactionTimeout(event.text)
        self._fail_invite(event.call, error)

    def _on_acknowledged(self, event: CallAcknowledged | CallUnacknowledged) -> None:
        call = self.calls.get(event.call)
        if isinstance(call, IncomingCall):
            call.set_acknowledged(event.request if isinstance(event, CallAcknowledged) else None)

    def _on_ended(self, event: CallEnded) -> None:
        if event.call in self.calls:
            self.calls[event.call].set_ended(event)

    def _on_released(self, event: CallReleased) -> None:
        self.offered.pop(event.call, None)
        released = self.calls.pop(event.call, None)
        if released is not None:
            released.set_released()

    def _on_subscribed(self, event: SubscriptionAccepted) -> None:
        if event.subscription in self.outgoing:
            self.outgoing[event.subscription].set_accepted(event.response)

    def _on_not_subscribed(self, event: SubscriptionRefused | SubscriptionFailed) -> None:
        outgoing = self.outgoing.get(event.subscription)
        if outgoing is None:
            return
        if isinstance(event, SubscriptionRefused):
            outgoing.refuse(SubscriptionRejected(event.response))
        else:
            kind = FlowFailed if event.flow_lost else TransactionTimeout
            outgoing.refuse(kind(event.text))

    def _on_notify(self, event: NotifyReceived) -> None:
        outgoing = self.outgoing.get(event.subscription)
        if outgoing is not None:
            outgoing.take(event)
        else:  # it was given up
            answer = make_response(event.request, 200)
            self._host.stack.send_response(event.key, answer, self._host.now())

    def _on_refreshed(self, event: SubscribeRefreshed) -> None:
        if event.subscription in self.incoming:
            self.incoming[event.subscription].set_refreshed(event.request)

    def _on_subscription_ended(self, event: SubscriptionEnded) -> None:
        if event.subscription in self.outgoing:
            self.outgoing[event.subscription].set_ended(event)
        elif event.subscription in self.incoming:
            self.incoming[event.subscription].set_ended(event)

    def _on_subscription_released(self, event: SubscriptionReleased) -> None:
        outgoing = self.outgoing.pop(event.subscription, None)
        incoming = self.incoming.pop(event.subscription, None)
        if outgoing is not None:
            outgoing.set_released()
        if incoming is not None:
            incoming.set_released()

    def _fail_invite(self, key: CallKey, error: SipError) -> None:
        pending = self.invites.get(key)
        if pending is not None:
            _fail(pending.answer, error)


def _closed(subscription: SubscriptionKey) -> SubscriptionEnded:
    return SubscriptionEnded(subscription=subscription, by="lost", reason=CLOSED)


def _fail(future: asyncio.Future[Any], error: SipError) -> None:
    if not future.done():
        future.set_exception(error)


_ON: dict[type[Event], Callable[[Delivery, Any], None]] = {
    ResponseReceived: Delivery._on_response,
    TransactionTimedOut: Delivery._on_timeout,
    TransactionFlowLost: Delivery._on_transaction_lost,
    FlowLost: Delivery._on_flow_lost,
    FlowBroken: Delivery._on_flow_broken,
    InviteReceived: Delivery._on_invite,
    InviteCancelled: Delivery._on_invite_cancelled,
    CallProgress: Delivery._on_progress,
    CallAnswered: Delivery._on_answered,
    CallRefused: Delivery._on_refused,
    CallFailed: Delivery._on_failed,
    CallAcknowledged: Delivery._on_acknowledged,
    CallUnacknowledged: Delivery._on_acknowledged,
    CallEnded: Delivery._on_ended,
    CallReleased: Delivery._on_released,
    SubscriptionAccepted: Delivery._on_subscribed,
    SubscriptionRefused: Delivery._on_not_subscribed,
    SubscriptionFailed: Delivery._on_not_subscribed,
    NotifyReceived: Delivery._on_notify,
    SubscribeRefreshed: Delivery._on_refreshed,
    SubscriptionEnded: Delivery._on_subscription_ended,
    SubscriptionReleased: Delivery._on_subscription_released,
}
