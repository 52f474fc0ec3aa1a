"""Both sides of a subscription on two stacks joined by a list, and the tables they walk."""

import itertools
from collections.abc import Callable

import pytest

from sip.errors import LocalProtocolError
from sip.events import (
    Event,
    NotifyReceived,
    RequestReceived,
    ResponseReceived,
    SubscribeRefreshed,
    SubscriptionAccepted,
    SubscriptionEnded,
    SubscriptionFailed,
    SubscriptionKey,
    SubscriptionRefused,
)
from sip.flow import Flow
from sip.message import Headers, Request, Response, make_response
from sip.overload import StackLimits
from sip.parser import parse_datagram
from sip.stack import SipStack
from sip.subscription import (
    NOTIFIER,
    SUBSCRIBER,
    EventId,
    NotifierInput,
    NotifierState,
    SubscriberInput,
    SubscriberState,
    parse_event,
    parse_status,
)

A, B = ("192.0.2.1", 5060), ("192.0.2.10", 5060)


class Pair:
    """A subscriber and a notifier; ``drop`` decides what is lost, ``hold`` what is delayed."""

    def __init__(self, limits: StackLimits | None = None) -> None:
        numbers = itertools.count(1)
        self.subscriber = SipStack(token=lambda: f"a{next(numbers)}")
        self.notifier = SipStack(token=lambda: f"b{next(numbers)}", limits=limits)
        self.flow = Flow("udp", A, B)
        self.back = Flow("udp", B, A)
        self.now = 0.0
        self.wire: list[tuple[float, Request | Response]] = []
        self.drop: Callable[[Request | Response], bool] = lambda message: False
        self.asked: list[Event] = []
        self.told: list[Event] = []

    def settle(self) -> None:
        moved = True
        while moved:
            moved = False
            for stack, other, flow in (
                (self.subscriber, self.notifier, self.back),
                (self.notifier, self.subscriber, self.flow),
            ):
                for _, data in stack.outgoing():
                    moved = True
                    message = parse_datagram(data)
                    self.wire.append((self.now, message))
                    if not self.drop(message):
                        other.receive_data(flow, data, self.now)
            self.answer_notifies()
            self.told += self.notifier.events()

    def answer_notifies(self) -> None:
        for event in self.subscriber.events():
            self.asked.append(event)
            if isinstance(event, NotifyReceived):
                answer = make_response(event.request, 200)
                self.subscriber.send_response(event.key, answer, self.now)

    def run_until(self, end: float) -> None:
        self.settle()
        stacks = (self.subscriber, self.notifier)
        while due := [t for s in stacks if (t := s.next_timeout()) is not None and t <= end]:
            self.now = min(due)
            for stack in stacks:
                stack.handle_timeout(self.now)
            self.settle()
        self.now = end

    def subscribe(
        self,
        event: str = "Catalog;id=1",
        *,
        expires: int = 600,
        number: int = 1,
        call_id: str = "7001",
        tag: str = "3001",
    ) -> SubscriptionKey:
        request = subscribe(event, expires=expires, number=number, call_id=call_id, tag=tag)
        key = self.subscriber.subscriber.subscribe(request, self.flow, self.now)
        self.settle()
        return key

    def accept(self, *, expires: int | None = None, says_end: bool = True) -> SubscriptionKey:
        received = [event for event in self.told if isinstance(event, RequestReceived)][-1]
        granted = expires if expires is not None else received.request.expires
        response = make_response(
            received.request,
            200,
            to_tag=f"9{len(self.wire)}",
            headers=[("Contact", "<sip:camera@192.0.2.10:5060>"), ("Expires", str(granted))],
        )
        key = self.notifier.notifier.accept(
            received.key, received.request, response, received.flow, self.now, says_end=says_end
        )
        self.settle()
        return key

    def notify(self, key: SubscriptionKey, body: bytes = b"news") -> None:
        self.notifier.notifier.notify(key, self.now, body=body)
        self.settle()

    def requests(self, method: str) -> list[tuple[float, Request]]:
        return [
            (when, message)
            for when, message in self.wire
            if isinstance(message, Request) and message.method == method
        ]

    def news(self) -> list[bytes]:
        return [e.request.body for e in self.asked if isinstance(e, NotifyReceived)]

    def ends(self, events: list[Event]) -> list[tuple[str, str]]:
        return [(e.by, e.reason) for e in events if isinstance(e, SubscriptionEnded)]

    def is_clean(self) -> bool:
        self.run_until(self.now + 200)
        return not any([*self.subscriber.pending().values(), *self.notifier.pending().values()])


def subscribe(
    event: str = "Catalog;id=1",
    *,
    expires: int = 600,
    number: int = 1,
    call_id: str = "7001",
    tag: str = "3001",
    user: str = "34020000002000000001",
) -> Request:
    return Request(
        "SUBSCRIBE",
        "sip:34020000001320000001@192.0.2.10",
        Headers(
            [
                ("From", f"<sip:{user}@3402000000>;tag={tag}"),
                ("To", "<sip:34020000001320000001@3402000000>"),
                ("Call-ID", call_id),
                ("CSeq", f"{number} SUBSCRIBE"),
                ("Contact", "<sip:34020000002000000001@192.0.2.1:5060>"),
                ("Event", event),
                ("Expires", str(expires)),
                ("Content-Type", "Application/MANSCDP+xml"),
            ]
        ),
        b"<Query/>",
    )


def state_of(request: Request) -> str:
    return request.headers.get("Subscription-State") or ""


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Catalog;id=1", EventId("Catalog", "1")),
        ("presence", EventId("presence", "")),
        (" id=1984", EventId("", "1984")),
        ("Catalog ; id = 3;x", EventId("Catalog", "3")),
        ("", EventId()),
        (None, EventId()),
    ],
)
def test_any_event_is_read(text: str | None, read: EventId) -> None:
    assert parse_event(text) == read


def test_subscription_state_is_read() -> None:
    status = parse_status("Terminated ;reason=Deactivated;retry-after=5")
    assert (status.state, status.reason, status.retry_after) == ("terminated", "deactivated", 5)
    assert parse_status("active;expires=599").expires == 599
    assert parse_status("active;expires=x").expires is None
    assert parse_status(None).state == "active"


def test_news_arrive_and_carry_event_and_state() -> None:
    pair = Pair()
    pair.subscribe("Catalog;id=1")
    theirs = pair.accept()
    pair.now = 10.0
    pair.notify(theirs)
    assert isinstance(pair.asked[0], SubscriptionAccepted)
    assert pair.news() == [b"news"]
    ((_, notify),) = pair.requests("NOTIFY")
    assert notify.headers.get("Event") == "Catalog;id=1"
    assert state_of(notify) == "active;expires=590"
    assert notify.uri == "sip:34020000002000000001@192.0.2.1:5060"


def test_refresh_comes_at_two_thirds_within_the_dialog_with_the_body() -> None:
    pair = Pair()
    pair.subscribe(expires=600)
    pair.accept(expires=300)
    pair.run_until(450.0)
    (first, *refreshes) = pair.requests("SUBSCRIBE")
    assert [when for when, _ in refreshes] == pytest.approx([200.0, 400.0])
    for number, (_, refresh) in enumerate(refreshes, 2):
        assert refresh.cseq.number == number
        assert refresh.to.tag
        assert refresh.body == first[1].body
        assert refresh.headers.get("Event") == "Catalog;id=1"
        assert refresh.headers.get_all("Expires") == ["600"]
        assert refresh.content_type == "application/manscdp+xml"
    answers = [m for _, m in pair.wire if isinstance(m, Response) and m.cseq.number == 2]
    assert answers[0].expires == 300
    assert sum(isinstance(event, SubscribeRefreshed) for event in pair.told) == 2


def test_cancel_sends_expires_zero_with_its_body_and_absorbs_the_last_news() -> None:
    pair = Pair()
    ours = pair.subscribe()
    pair.accept()
    pair.subscriber.subscriber.cancel(ours, pair.now, body=b"<Bye/>")
    pair.settle()
    (_, cancel) = pair.requests("SUBSCRIBE")[-1]
    assert (cancel.expires, cancel.body) == (0, b"<Bye/>")
    assert cancel.to.tag
    ((_, last),) = pair.requests("NOTIFY")
    assert state_of(last) == "terminated;reason=timeout"
    assert pair.ends(pair.asked) == [("local", "")]
    assert [by for by, _ in pair.ends(pair.told)] == ["remote"]
    pair.subscriber.subscriber.cancel(ours, pair.now)  # a second time does nothing
    assert pair.is_clean()


def test_notifier_may_end_without_a_word() -> None:
    pair = Pair()
    ours = pair.subscribe()
    pair.accept(says_end=False)
    pair.subscriber.subscriber.cancel(ours, pair.now)
    pair.settle()
    assert pair.requests("NOTIFY") == []
    assert pair.is_clean()


def test_notify_before_the_200_is_not_lost() -> None:
    pair = Pair()
    pair.subscribe()
    pair.drop = lambda m: isinstance(m, Response) and m.cseq.method == "SUBSCRIBE"
    theirs = pair.accept()
    pair.notify(theirs, b"first")
    assert pair.news() == [b"first"]
    pair.drop = lambda m: False
    pair.run_until(5.0)  # the SUBSCRIBE is repeated, its 200 comes late
    pair.notify(theirs, b"second")
    assert pair.news() == [b"first", b"second"]
    assert isinstance(pair.asked[1], SubscriptionAccepted)


def test_end_before_the_200_is_told_after_it() -> None:
    pair = Pair()
    pair.subscribe()
    pair.drop = lambda m: isinstance(m, Response) and m.cseq.method == "SUBSCRIBE"
    theirs = pair.accept()
    pair.notifier.notifier.terminate(theirs, 0.0, reason="noresource")
    pair.settle()
    pair.drop = lambda m: False
    pair.run_until(5.0)
    kinds = [type(event) for event in pair.asked]
    assert kinds[:3] == [NotifyReceived, SubscriptionAccepted, SubscriptionEnded]
    assert pair.ends(pair.asked) == [("remote", "noresource")]
    assert pair.is_clean()


def test_peer_ends_with_reason_and_empty_body() -> None:
    pair = Pair()
    pair.subscribe()
    theirs = pair.accept()
    pair.notifier.notifier.terminate(theirs, pair.now, reason="deactivated")
    pair.settle()
    assert pair.ends(pair.asked) == [("remote", "deactivated")]
    assert pair.ends(pair.told) == [("local", "deactivated")]
    assert pair.is_clean()


def test_481_to_a_refresh_ends_the_subscription() -> None:
    pair = Pair()
    pair.subscribe(expires=90)
    pair.accept()
    pair.notifier = SipStack(token=lambda: "c1")  # the peer has restarted
    pair.run_until(61.0)
    assert pair.ends(pair.asked) == [("lost", "481 Call/Transaction Does Not Exist")]
    assert pair.notifier.counters["unknown_dialog"] == 1
    assert pair.is_clean()


def test_refused_refresh_is_tried_again_until_expiry() -> None:
    pair = Pair()
    pair.subscribe(expires=600)
    pair.accept()
    pair.drop = lambda m: isinstance(m, Request) and m.method == "SUBSCRIBE"
    pair.run_until(700.0)
    tries = {request.cseq.number for _, request in pair.requests("SUBSCRIBE")}
    assert len(tries) > 2
    assert pair.ends(pair.asked) == [("expired", "no answer to SUBSCRIBE")]


def test_subscription_without_refresh_expires_at_the_notifier() -> None:
    pair = Pair()
    pair.subscribe(expires=60)
    theirs = pair.accept()
    pair.drop = lambda m: isinstance(m, Request) and m.method == "SUBSCRIBE"
    pair.run_until(60.0)
    assert pair.ends(pair.told) == [("expired", "not refreshed")]
    assert state_of(pair.requests("NOTIFY")[-1][1]) == "terminated;reason=timeout"
    with pytest.raises(LocalProtocolError):
        pair.notifier.notifier.notify(theirs, 61.0)
    assert pair.is_clean()


def test_expiry_in_a_notify_may_shorten_ours() -> None:
    pair = Pair()
    pair.subscribe(expires=600)
    theirs = pair.accept()
    pair.notifier.notifier._records[theirs].expires_at = 90.0
    pair.notify(theirs)
    pair.run_until(61.0)
    assert [when for when, _ in pair.requests("SUBSCRIBE")] == pytest.approx([0.0, 60.0])


def test_next_notify_waits_for_the_answer_to_the_one_before() -> None:
    pair = Pair()
    pair.subscribe()
    theirs = pair.accept()
    pair.drop = lambda m: isinstance(m, Request) and m.method == "NOTIFY"
    pair.notify(theirs)
    with pytest.raises(LocalProtocolError, match="NOTIFYING"):
        pair.notifier.notifier.notify(theirs, pair.now)
    pair.notifier.notifier.terminate(theirs, pair.now)
    pair.drop = lambda m: False
    pair.run_until(5.0)
    states = [state_of(r).partition(";")[0] for _, r in pair.requests("NOTIFY")]
    assert states == ["active", "active", "terminated"]
    assert pair.is_clean()


@pytest.mark.parametrize(("status", "is_over"), [(481, True), (489, True), (503, False)])
def test_answer_to_a_notify_decides(status: int, is_over: bool) -> None:
    pair = Pair()
    pair.subscribe()
    theirs = pair.accept()
    key = pair.notifier.notifier.notify(theirs, 0.0)
    ((_, data),) = pair.notifier.outgoing()
    request = parse_datagram(data)
    assert isinstance(request, Request)
    pair.notifier.receive_data(pair.back, make_response(request, status).to_bytes(), 0.1)
    events = pair.notifier.events()
    assert [e.key for e in events if isinstance(e, ResponseReceived)] == [key]
    assert bool(pair.ends(events)) is is_over
    assert (pair.notifier.pending()["subscriptions"] == 0) is is_over


def test_silence_to_a_notify_ends_the_subscription() -> None:
    pair = Pair()
    pair.subscribe()
    theirs = pair.accept()
    pair.drop = lambda m: isinstance(m, Request) and m.method == "NOTIFY"
    pair.notify(theirs)
    pair.run_until(33.0)
    assert pair.ends(pair.told) == [("lost", "no answer to NOTIFY")]


def test_second_subscribe_outside_the_dialog_replaces_the_first() -> None:
    pair = Pair()
    pair.subscribe()
    first = pair.accept()
    pair.subscribe(call_id="7002", tag="3002")
    second = pair.accept()
    assert pair.ends(pair.told) == [("replaced", "")]
    with pytest.raises(LocalProtocolError):
        pair.notifier.notifier.notify(first, pair.now)
    pair.notify(second)
    assert pair.notifier.pending()["subscriptions"] == 1


def test_another_event_does_not_replace() -> None:
    pair = Pair()
    pair.subscribe("Catalog;id=1")
    pair.accept()
    pair.subscribe("presence", call_id="7002", tag="3002")
    pair.accept()
    assert pair.notifier.pending()["subscriptions"] == 2


def test_two_events_share_a_dialog() -> None:
    pair = Pair()
    one = pair.subscribe("Catalog;id=1")
    pair.notify(pair.accept(), b"one")
    two = pair.subscribe("Catalog;id=2")
    pair.notify(pair.accept(), b"two")
    numbers = [request.cseq.number for _, request in pair.requests("SUBSCRIBE")]
    assert numbers == [1, 2]
    assert len({request.to.tag for _, request in pair.requests("NOTIFY")}) == 1
    heard = [(e.subscription, e.request.body) for e in pair.asked if isinstance(e, NotifyReceived)]
    assert heard == [(one, b"one"), (two, b"two")]
    pair.subscriber.subscriber.cancel(one, pair.now)
    pair.settle()
    assert pair.notifier.pending()["subscriptions"] == 1
    pair.run_until(450.0)
    assert pair.notifier.pending()["subscriptions"] == 1


def test_fetch_ends_with_its_one_notify() -> None:
    pair = Pair()
    pair.subscribe(expires=0)
    theirs = pair.accept()
    pair.notify(theirs, b"state")
    assert pair.news() == [b"state"]
    assert state_of(pair.requests("NOTIFY")[0][1]) == "terminated;reason=timeout"
    assert pair.ends(pair.asked) == [("remote", "timeout")]
    assert pair.is_clean()


def test_refused_subscription_is_told() -> None:
    pair = Pair()
    pair.subscribe()
    (received,) = pair.told
    assert isinstance(received, RequestReceived)
    pair.notifier.send_response(received.key, make_response(received.request, 489), 0.0)
    pair.settle()
    (refused,) = pair.asked[:1]
    assert isinstance(refused, SubscriptionRefused)
    assert refused.response.status == 489
    assert pair.is_clean()


def test_unanswered_subscription_is_told() -> None:
    pair = Pair()
    pair.drop = lambda m: True
    pair.subscribe()
    pair.run_until(33.0)
    (failed,) = [e for e in pair.asked if isinstance(e, SubscriptionFailed)]
    assert not failed.flow_lost
    assert pair.is_clean()


def test_subscription_given_up_before_its_200_is_ended_after_it() -> None:
    pair = Pair()
    ours = pair.subscribe()
    pair.subscriber.subscriber.cancel(ours, pair.now)
    pair.accept()
    assert [request.expires for _, request in pair.requests("SUBSCRIBE")] == [600, 0]
    assert pair.is_clean()


def test_notify_outside_any_subscription_is_an_ordinary_request() -> None:
    pair = Pair()
    notify = subscribe()
    notify.method = "NOTIFY"
    notify.headers.set("CSeq", "1 NOTIFY")
    notify.headers.set("To", "<sip:34020000002000000001@3402000000>;tag=gone")
    pair.notifier.send_request(notify, pair.back, 0.0)
    pair.settle()
    (received,) = pair.asked
    assert isinstance(received, RequestReceived)
    assert received.call is None


def test_device_that_changes_its_tag_and_event_is_still_heard() -> None:
    pair = Pair()
    pair.subscribe("Catalog;id=1")
    theirs = pair.accept()
    record = pair.notifier.notifier._records[theirs]
    record.event_text = "presence"
    record.dialog.local_party = "<sip:34020000001320000001@3402000000>;tag=other"
    pair.notify(theirs)
    assert pair.news() == [b"news"]


def test_old_notify_is_refused() -> None:  # RFC 3261 12.2.2
    pair = Pair()
    pair.subscribe()
    theirs = pair.accept()
    pair.notify(theirs)
    pair.notify(theirs)
    pair.notifier.notifier._records[theirs].dialog.local_sequence = 0
    pair.notify(theirs, b"stale")
    assert b"stale" not in pair.news()
    answers = [m.status for _, m in pair.wire if isinstance(m, Response)]
    assert answers[-1] == 500


def test_too_many_subscriptions_are_turned_away() -> None:
    pair = Pair(StackLimits(subscriptions=1))
    pair.subscribe()
    pair.accept()
    pair.subscribe("presence", call_id="7002", tag="3002")
    (refused,) = [event for event in pair.asked if isinstance(event, SubscriptionRefused)]
    assert refused.response.status == 503


def test_request_that_is_no_subscribe_is_refused() -> None:
    request = subscribe()
    request.headers.remove("Event")
    with pytest.raises(LocalProtocolError):
        SipStack(token=lambda: "1").subscriber.subscribe(request, Flow("udp", A, B), 0.0)


def test_every_state_is_reached_and_every_input_is_named() -> None:
    assert {state for state, _ in SUBSCRIBER.values()} | {SubscriberState.WAITING} == set(
        SubscriberState
    )
    assert {given for _, given in SUBSCRIBER} == set(SubscriberInput)
    assert {state for state, _ in NOTIFIER.values()} == set(NotifierState)
    assert {given for _, given in NOTIFIER} == set(NotifierInput)


def _until_final(request: Request) -> Response:
    contact = [("Contact", "<sip:camera@192.0.2.10:5060>"), ("Expires", "600")]
    return make_response(request, 200, to_tag="9", headers=contact)


@pytest.mark.parametrize(("state", "given"), SUBSCRIBER, ids=lambda part: part.name)
def test_each_row_of_the_subscriber_can_be_walked(
    state: SubscriberState, given: SubscriberInput
) -> None:
    pair = Pair()
    theirs_accepts = state is not SubscriberState.WAITING
    key = pair.subscribe()
    usage = pair.subscriber.subscriber
    record = usage._records[key]
    if theirs_accepts:
        pair.notify(pair.accept())
    record.response = record.response or _until_final(record.request)
    record.machine.state = state
    after, actions = SUBSCRIBER[state, given]
    assert usage._feed(record, given, 1.0) == actions
    assert record.machine.state is after
    assert (key in usage._records) is (after is not SubscriberState.ENDED)
    reports = [e for e in pair.subscriber.events() if not isinstance(e, NotifyReceived)]
    wanted = [a for a in actions if a.name.startswith("REPORT") or a.name == "RELEASE"]
    assert len(reports) == len(wanted)


@pytest.mark.parametrize(("state", "given"), NOTIFIER, ids=lambda part: part.name)
def test_each_row_of_the_notifier_can_be_walked(state: NotifierState, given: NotifierInput) -> None:
    pair = Pair()
    pair.subscribe()
    usage = pair.notifier.notifier
    key = pair.accept()
    record = usage._records[key]
    record.request_key = None  # there is no request to answer
    record.machine.state = state
    after, actions = NOTIFIER[state, given]
    assert usage._feed(record, given, 1.0)
    assert record.machine.state is after
    sent = [parse_datagram(data) for _, data in pair.notifier.outgoing()]
    assert len(sent) == sum(action.name.startswith("SEND") for action in actions)
    reports = sum(a.name.startswith("REPORT") or a.name == "RELEASE" for a in actions)
    assert len(pair.notifier.events()) == reports


def test_shorter_time_at_423_is_asked_for_again() -> None:
    pair = Pair()
    ours = pair.subscribe(expires=60)
    pair.accept()
    record = pair.subscriber.subscriber._records[ours]
    pair.drop = lambda m: isinstance(m, Request) and m.method == "SUBSCRIBE"
    pair.run_until(40.5)
    (_, refresh) = pair.requests("SUBSCRIBE")[-1]
    answer = make_response(refresh, 423, headers=[("Min-Expires", "90")])
    pair.drop = lambda m: False
    pair.subscriber.receive_data(pair.flow, answer.to_bytes(), 40.6)
    pair.run_until(59.0)
    assert record.expires == 90
    assert pair.requests("SUBSCRIBE")[-1][1].expires == 90


def test_refresh_over_a_lost_connection_waits_for_the_next_one() -> None:
    pair = Pair()
    ours = pair.subscribe(expires=60)
    pair.accept()
    pair.drop = lambda m: isinstance(m, Request) and m.method == "SUBSCRIBE"
    pair.run_until(40.1)
    pair.subscriber.flow_lost(pair.flow, 40.2)
    other = Flow("udp", A, ("192.0.2.10", 5070))
    pair.subscriber.subscriber.move(ours, other)
    assert pair.subscriber.subscriber.flow(ours) == other
    pair.drop = lambda m: False
    pair.run_until(59.0)
    assert pair.ends(pair.asked) == []
    pair.run_until(100.0)
    assert pair.ends(pair.asked) == []
