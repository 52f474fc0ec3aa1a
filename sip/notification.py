"""What an endpoint hands out of subscriptions, ours and those of peers, as objects to await."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from .conversation import HEAD_ROOM, Fields, Host, IncomingRequest, described
from .dialog import Dialog
from .errors import LocalProtocolError, SipError, TransactionTimeout
from .events import NotifyReceived, SubscriptionEnded, SubscriptionKey
from .flow import Flow
from .message import Request, Response
from .notifier import AnswerMaker
from .subscription import EventId, SubscriptionStatus, parse_event

DEFAULT_EXPIRES = 600
"""Seconds granted to a SUBSCRIBE that names none."""
RETRY_AFTER = (("Retry-After", "10"),)


class Notification(IncomingRequest):
    """One NOTIFY of a subscription of ours; 200 is sent when nobody answers it otherwise."""

    def __init__(self, host: Host, event: NotifyReceived) -> None:
        super().__init__(host, event.key, event.request, event.flow, None)
        self.status: SubscriptionStatus = event.status
        self.body = event.request.body
        self.is_answered = False

    def respond(
        self,
        status: int,
        reason: str | None = None,
        *,
        headers: Fields = (),
        body: bytes = b"",
        content_type: str | None = None,
    ) -> None:
        """Answer in place of the 200 without a body."""
        self.is_answered = True
        super().respond(status, reason, headers=headers, body=body, content_type=content_type)


class _End:
    """The end of a subscription, for those who wait for it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.told: asyncio.Future[SubscriptionEnded] = loop.create_future()
        self.released: asyncio.Future[None] = loop.create_future()


class OutgoingSubscription:
    """A subscription of ours. It refreshes itself until it is cancelled or ended by the peer."""

    def __init__(
        self,
        host: Host,
        key: SubscriptionKey,
        request: Request,
        flow: Flow,
        *,
        on_notify: Callable[[Notification], None] | None = None,
        backlog: int = 256,
    ) -> None:
        self.key = key
        self.request = request
        """The first SUBSCRIBE."""
        self.event: EventId = parse_event(request.headers.get("Event"))
        self.accepted: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        """The first 200. For the endpoint."""
        self._host = host
        self._flow = flow
        self._on_notify = on_notify
        self._backlog = backlog
        self._waiting: deque[Notification] = deque()
        self._changed = asyncio.Event()
        self._end = _End()

    @property
    def response(self) -> Response:
        """The 200 to the first SUBSCRIBE."""
        return self.accepted.result()

    @property
    def terminated(self) -> asyncio.Future[SubscriptionEnded]:
        """A future that is done when the subscription is over; each reader gets one of his own."""
        return asyncio.shield(self._end.told)

    @property
    def is_terminated(self) -> bool:
        """Tell whether the subscription is over."""
        return self._end.told.done()

    @property
    def dialog(self) -> Dialog | None:
        """The dialog; None after the end."""
        return self._host.stack.subscriber.dialog(self.key)

    @property
    def expires_at(self) -> float | None:
        """When it ends unless it is renewed; None after the end."""
        return self._host.stack.subscriber.expires_at(self.key)

    @property
    def flow(self) -> Flow:
        """Where refreshes go; set it when the peer comes back on another flow."""
        return self._host.stack.subscriber.flow(self.key) or self._flow

    @flow.setter
    def flow(self, flow: Flow) -> None:
        self._flow = flow
        self._host.stack.subscriber.move(self.key, flow)

    def notifications(self) -> AsyncIterator[Notification]:
        """Yield the NOTIFYs in order, from before the 200 on; end with the subscription."""
        return _Notifications(self)

    async def take_next(self) -> Notification:
        """Return the next NOTIFY, or raise ``StopAsyncIteration``. For ``notifications``."""
        while not self._waiting:
            if self.is_terminated:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    async def cancel(self, *, body: bytes | None = None, timeout: float = 4.0) -> None:
        """End the subscription within its dialog and wait for the answer; idempotent.

        Args:
            body: Of the SUBSCRIBE with Expires 0; that of a refresh when None.
            timeout: Seconds to wait; the stack goes on behind the scenes.
        """
        self._host.stack.subscriber.cancel(self.key, self._host.now(), body=body)
        self._host.pump()
        if not self._end.told.done():
            await asyncio.wait([self._end.told], timeout=timeout)

    def set_accepted(self, response: Response) -> None:
        """Note the 200. For the endpoint."""
        if not self.accepted.done():
            self.accepted.set_result(response)

    def refuse(self, error: SipError) -> None:
        """Note that it was not granted. For the endpoint."""
        if not self.accepted.done():
            self.accepted.set_exception(error)

    def take(self, event: NotifyReceived) -> None:
        """Take a NOTIFY. For the endpoint."""
        notification = Notification(self._host, event)
        if self._on_notify is None:
            self._keep(notification)
            return
        try:
            self._on_notify(notification)
        except Exception:
            if not notification.is_answered:
                notification.respond(500)
            raise
        if not notification.is_answered:
            notification.respond(200)

    def set_ended(self, end: SubscriptionEnded) -> None:
        """Note the end; only the first one counts. For the endpoint."""
        if not self._end.told.done():
            self._end.told.set_result(end)
        self._changed.set()

    def set_released(self) -> None:
        """Note that nothing is left. For the endpoint."""
        if not self._end.released.done():
            self._end.released.set_result(None)

    def _keep(self, notification: Notification) -> None:
        if self.is_terminated:
            notification.respond(200)  # nobody reads on after the end
        elif len(self._waiting) >= self._backlog:
            self._host.stack.count("notify_refused")
            notification.respond(503, headers=RETRY_AFTER)
        else:
            notification.respond(200)
            self._waiting.append(notification)
            self._changed.set()


class _Notifications:
    """One walk through the NOTIFYs of a subscription."""

    def __init__(self, of: OutgoingSubscription) -> None:
        self._of = of

    def __aiter__(self) -> "_Notifications":
        return self

    async def __anext__(self) -> Notification:
        return await self._of.take_next()


class IncomingSubscribe(IncomingRequest):
    """A peer subscribes. ``respond`` refuses, ``accept`` grants."""

    @property
    def event(self) -> EventId:
        """What it is about; both parts may be empty."""
        return parse_event(self.request.headers.get("Event"))

    def accept(
        self,
        expires: int | None = None,
        *,
        headers: Fields = (),
        body: bytes = b"",
        content_type: str | None = None,
        answer: AnswerMaker | None = None,
        says_end: bool = True,
    ) -> "IncomingSubscription":
        """Grant it; the peer expects a first ``notify`` at once (RFC 6665 section 4.2.1.2).

        Args:
            expires: Seconds; never more than the peer asked for, which is what None grants.
            headers: Further fields of the 200.
            body: Body of the 200.
            content_type: Of the body.
            answer: Makes further fields and the body of the 200 to each refresh and to the end.
            says_end: Whether a last NOTIFY tells the end when the peer unsubscribed or the time
                is over.

        Raises:
            LocalProtocolError: It was answered before.
        """
        wanted = self.request.expires
        if expires is None:
            expires = DEFAULT_EXPIRES if wanted is None else wanted
        granted = expires if wanted is None else min(expires, wanted)
        response = self.make_response(200, None, headers, body, content_type)
        response.headers.set("Expires", str(granted))
        if "Contact" not in response.headers:
            response.headers.add("Contact", self._host.contact(self.flow))
        agent = [("User-Agent", self._host.user_agent)] if self._host.user_agent else []
        key = self._host.stack.notifier.accept(
            self._key,
            self.request,
            response,
            self.flow,
            self._host.now(),
            fields=agent,
            answer=answer,
            says_end=says_end,
        )
        subscription = IncomingSubscription(self._host, key, self.request, self.flow)
        self._host.adopt_subscription(subscription)
        self._host.pump()
        return subscription


class IncomingSubscription:
    """A subscription that a peer has to us."""

    def __init__(self, host: Host, key: SubscriptionKey, request: Request, flow: Flow) -> None:
        self.key = key
        self.request = request
        """The latest SUBSCRIBE."""
        self.event: EventId = parse_event(request.headers.get("Event"))
        self._host = host
        self._flow = flow
        self._turn = asyncio.Lock()
        self._on_refresh: Callable[[Request], None] | None = None
        self._end = _End()

    @property
    def terminated(self) -> asyncio.Future[SubscriptionEnded]:
        """A future that is done when the subscription is over; each reader gets one of his own."""
        return asyncio.shield(self._end.told)

    @property
    def is_terminated(self) -> bool:
        """Tell whether the subscription is over."""
        return self._end.told.done()

    @property
    def dialog(self) -> Dialog | None:
        """The dialog; None after the end."""
        return self._host.stack.notifier.dialog(self.key)

    @property
    def flow(self) -> Flow:
        """Where NOTIFYs go; set it when the peer comes back on another flow."""
        return self._host.stack.notifier.flow(self.key) or self._flow

    @flow.setter
    def flow(self, flow: Flow) -> None:
        self._flow = flow
        self._host.stack.notifier.move(self.key, flow)

    def on_refresh(self, callback: Callable[[Request], None]) -> None:
        """Let a function be called with each SUBSCRIBE that prolongs this one."""
        self._on_refresh = callback

    async def notify(
        self,
        body: bytes = b"",
        content_type: str | None = None,
        *,
        state: str = "active",
        headers: Fields = (),
        timeout: float | None = None,
    ) -> Response:
        """Send a NOTIFY once the one before is answered; return the final response.

        481 and its kin, and silence, end the subscription. To a SUBSCRIBE with Expires 0 the first
        NOTIFY is the last.

        Args:
            body: The news.
            content_type: Of the body.
            state: ``active`` or ``pending``; ``terminate`` ends.
            headers: Further fields.
            timeout: Seconds, the wait for the turn included; None leaves it to the transaction.

        Raises:
            LocalProtocolError: The subscription is over.
            TransactionTimeout: No final response came.
            FlowFailed: The flow is gone; the subscription stands, and may be given another one.
        """
        fields = [*headers, *described(content_type if body else None)]
        try:
            async with asyncio.timeout(timeout), self._turn:
                if self.is_terminated:
                    raise LocalProtocolError("the subscription is over")
                flow = await self._host.roomy(self.flow, len(body) + HEAD_ROOM)
                return await self._host.wait_for_response(
                    lambda now: self._host.stack.notifier.notify(
                        self.key, now, state=state, fields=fields, body=body, flow=flow
                    )
                )
        except TimeoutError as exc:
            raise TransactionTimeout(f"NOTIFY: no answer in {timeout} s") from exc

    async def terminate(
        self,
        reason: str = "noresource",
        body: bytes = b"",
        content_type: str | None = None,
        *,
        timeout: float = 4.0,
    ) -> None:
        """End the subscription by a last NOTIFY and wait for its answer; idempotent.

        Args:
            reason: ``deactivated`` asks the peer to subscribe again at once, ``probation`` later,
                ``noresource`` not at all (RFC 6665 section 4.1.3).
            body: The last news.
            content_type: Of the body.
            timeout: Seconds to wait; the stack goes on behind the scenes.
        """
        self._host.stack.notifier.terminate(
            self.key,
            self._host.now(),
            reason=reason,
            fields=described(content_type if body else None),
            body=body,
        )
        self._host.pump()
        if not self._end.released.done():
            await asyncio.wait([self._end.released], timeout=timeout)

    def set_refreshed(self, request: Request) -> None:
        """Note a refresh. For the endpoint."""
        self.request = request
        if self._on_refresh is not None:
            self._on_refresh(request)

    def set_ended(self, end: SubscriptionEnded) -> None:
        """Note the end; only the first one counts. For the endpoint."""
        if not self._end.told.done():
            self._end.told.set_result(end)

    def set_released(self) -> None:
        """Note that nothing is left. For the endpoint."""
        if not self._end.released.done():
            self._end.released.set_result(None)
