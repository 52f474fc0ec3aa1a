import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from sip.endpoint import (
    IncomingSubscribe,
    IncomingSubscription,
    Notification,
    OutgoingSubscription,
    SipEndpoint,
)
from sip.errors import (
    FlowFailed,
    LocalProtocolError,
    SipError,
    SubscriptionRejected,
    TransactionTimeout,
)
from sip.flow import Flow
from sip.message import Headers, Request

PLATFORM, DEVICE = "udp://10.0.0.1:5060", "udp://10.0.0.5:5060"


class Ends:
    """A subscriber and a notifier on a simulated network under a virtual clock."""

    def __init__(self, *, loss: float = 0.0) -> None:
        self.net = SimulatedNetwork(seed=5)
        self.platform = SipEndpoint(listen=("udp://:5060",), network=self.net.host("10.0.0.1"))
        self.device = SipEndpoint(listen=("udp://:5060",), network=self.net.host("10.0.0.5"))
        self.net.link(self.net.host("10.0.0.1"), self.net.host("10.0.0.5"), loss=loss)

    async def subscribed(
        self, expires: int = 600
    ) -> tuple[OutgoingSubscription, IncomingSubscription]:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(
                self.platform.subscribe(subscribe(), DEVICE, expires=expires)
            )
            theirs = (await self.asked()).accept()
        return asking.result(), theirs

    async def settle(self, verb: Awaitable[object]) -> None:
        """Let it end one way or the other."""
        with contextlib.suppress(TransactionTimeout):
            await verb

    async def asked(self) -> IncomingSubscribe:
        incoming = await anext(aiter(self.device.requests()))
        assert isinstance(incoming, IncomingSubscribe)
        return incoming


@asynccontextmanager
async def ends(*, loss: float = 0.0) -> AsyncIterator[Ends]:
    with VirtualClock():
        both = Ends(loss=loss)
        await both.platform.start()
        await both.device.start()
        try:
            yield both
        finally:
            await both.platform.aclose()
            await both.device.aclose()
    assert both.net.leaks() == []


def subscribe(event: str = "Catalog;id=1") -> Request:
    return Request(
        "SUBSCRIBE",
        "sip:34020000001320000001@3402000000",
        Headers([("Event", event), ("Content-Type", "Application/MANSCDP+xml")]),
        b"<Query/>",
    )


async def failure(verb: Awaitable[object]) -> SipError:
    try:
        await verb
    except SipError as exc:
        return exc
    raise AssertionError("nothing was raised")


async def test_news_are_read_in_order() -> None:
    async with ends() as both:
        ours, theirs = await both.subscribed()
        assert ours.response.expires == 600
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(theirs.notify(b"<%d/>" % number, "Application/MANSCDP+xml"))
        heard = []
        async for news in ours.notifications():
            heard.append((news.body, news.status.state, news.request.content_type))
            if len(heard) == 3:
                break
        assert heard == [(b"<%d/>" % n, "active", "application/manscdp+xml") for n in range(3)]


async def test_notifies_of_one_subscription_never_overtake_each_other() -> None:
    async with ends(loss=0.3) as both:
        ours, theirs = await both.subscribed()
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(theirs.notify(b"%d" % number))
        heard = [news.body async for news in first(20, ours)]
        assert heard == [b"%d" % number for number in range(20)]


async def first(count: int, of: OutgoingSubscription) -> AsyncIterator[Notification]:
    async for news in of.notifications():
        yield news
        count -= 1
        if not count:
            return


@pytest.mark.parametrize("loss", [0.0, 0.2, 0.4])
async def test_nothing_is_left_whatever_was_lost(loss: float) -> None:
    async with ends(loss=loss) as both:
        for _ in range(5):
            ours, theirs = await both.subscribed(expires=60)
            for number in range(5):
                if not theirs.is_terminated:
                    await both.settle(theirs.notify(b"%d" % number))
            await asyncio.sleep(100)
            await ours.cancel()
            await theirs.terminate()
        await asyncio.sleep(400)
        assert not any(both.platform.stack.pending().values())
        assert not any(both.device.stack.pending().values())
        assert both.platform.counters["fault"] == both.device.counters["fault"] == 0


async def test_subscription_refreshes_itself_with_a_body_made_anew() -> None:
    async with ends() as both:
        serial = iter(range(1, 100))
        bodies: list[bytes] = []
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(
                both.platform.subscribe(
                    subscribe(), DEVICE, expires=60, body=lambda: b"<%d/>" % next(serial)
                )
            )
            theirs = (await both.asked()).accept()
        theirs.on_refresh(lambda request: bodies.append(request.body))
        await asyncio.sleep(100)
        assert bodies == [b"<1/>", b"<2/>"]
        assert theirs.request.body == b"<2/>"
        assert not asking.result().is_terminated


async def test_cancel_ends_both_sides() -> None:
    async with ends() as both:
        ours, theirs = await both.subscribed()
        await ours.cancel(body=b"<Bye/>")
        assert (await ours.terminated).by == "local"
        assert (await theirs.terminated).by == "remote"
        assert theirs.dialog is None or theirs.is_terminated
        assert [news async for news in ours.notifications()] == []
        with pytest.raises(LocalProtocolError):
            await theirs.notify(b"late")
        await ours.cancel()  # a second time does nothing
        await asyncio.sleep(100)
        assert not any(both.platform.stack.pending().values())
        assert not any(both.device.stack.pending().values())


async def test_notifier_ends_with_a_reason() -> None:
    async with ends() as both:
        ours, theirs = await both.subscribed()
        await theirs.terminate("probation", b"last", "text/plain")
        end = await ours.terminated
        assert (end.by, end.reason) == ("remote", "probation")
        assert [news.body async for news in ours.notifications()] == [b"last"]
        assert (await theirs.terminated).by == "local"
        await theirs.terminate()


async def test_notify_to_a_restarted_subscriber_ends_the_subscription() -> None:
    async with ends() as both:
        _, theirs = await both.subscribed()
        both.platform.stack.subscriber._by_set.clear()  # as a restart does
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(theirs.notify(b"news"))
            stray = await anext(aiter(both.platform.requests()))
            assert (stray.method, stray.call) == ("NOTIFY", None)
            stray.respond(481)
        assert telling.result().status == 481
        assert (await theirs.terminated).by == "lost"


async def test_silent_subscriber_ends_the_subscription() -> None:
    async with ends() as both:
        _, theirs = await both.subscribed()
        both.net.host("10.0.0.1").vanish()
        with pytest.raises(TransactionTimeout):
            await theirs.notify(b"news")
        assert (await theirs.terminated).by == "lost"
        both.net.host("10.0.0.1").reappear()


async def test_notify_given_up_lets_the_next_one_go() -> None:
    async with ends() as both:
        ours, theirs = await both.subscribed()
        both.net.host("10.0.0.1").vanish()
        with pytest.raises(TransactionTimeout):
            await theirs.notify(b"one", timeout=2)
        both.net.host("10.0.0.1").reappear()
        assert (await theirs.notify(b"two")).status == 200
        assert [news.body async for news in first(1, ours)] == [b"two"]


async def test_refusal_is_raised_with_the_response() -> None:
    async with ends() as both, asyncio.TaskGroup() as group:
        asking = group.create_task(failure(both.platform.subscribe(subscribe(), DEVICE)))
        (await both.asked()).respond(489)
        error = await asking
        assert isinstance(error, SubscriptionRejected)
        assert error.response.status == 489


async def test_unanswered_subscribe_is_a_timeout_and_is_ended_when_granted_late() -> None:
    async with ends() as both:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(
                failure(both.platform.subscribe(subscribe(), DEVICE, timeout=5))
            )
            incoming = await both.asked()
            assert isinstance(await asking, TransactionTimeout)
        theirs = incoming.accept()
        assert (await theirs.terminated).by == "remote"


async def test_callback_answers_itself_or_200_is_sent() -> None:
    async with ends() as both:
        heard: list[bytes] = []

        def hear(news: Notification) -> None:
            heard.append(news.body)
            if news.body == b"ask":
                news.respond(200, body=b"<Response/>", content_type="text/xml")
            if news.body == b"fault":
                raise ValueError

        async with asyncio.TaskGroup() as group:
            asking = group.create_task(both.platform.subscribe(subscribe(), DEVICE, on_notify=hear))
            theirs = (await both.asked()).accept()
            await asking
        assert (await theirs.notify(b"plain")).body == b""
        assert (await theirs.notify(b"ask")).body == b"<Response/>"
        assert (await theirs.notify(b"fault")).status == 500
        assert heard == [b"plain", b"ask", b"fault"]
        assert both.platform.counters["fault"] == 1


async def test_reader_that_is_too_slow_gets_no_more_until_it_reads() -> None:
    async with ends() as both:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(both.platform.subscribe(subscribe(), DEVICE, backlog=2))
            theirs = (await both.asked()).accept()
        statuses = [(await theirs.notify(b"%d" % number)).status for number in range(3)]
        assert statuses == [200, 200, 503]
        assert not theirs.is_terminated
        assert [news.body async for news in first(2, asking.result())] == [b"0", b"1"]
        assert (await theirs.notify(b"again")).status == 200


async def test_grant_is_never_longer_than_asked_and_body_is_answered() -> None:
    async with ends() as both:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(both.platform.subscribe(subscribe(), DEVICE, expires=90))
            incoming = await both.asked()
            assert (incoming.event.package, incoming.event.id) == ("Catalog", "1")
            incoming.accept(
                3600,
                body=b"<Response/>",
                content_type="text/xml",
                answer=lambda request: ([("Content-Type", "text/xml")], b"<Again/>"),
            )
        response = asking.result().response
        assert (response.expires, response.body) == (90, b"<Response/>")
        with pytest.raises(LocalProtocolError):
            incoming.accept()


async def test_closing_ends_subscriptions() -> None:
    async with ends() as both:
        ours, theirs = await both.subscribed()
        await both.platform.aclose()
        await both.device.aclose()
        assert (await ours.terminated).by == (await theirs.terminated).by == "lost"
        assert [news async for news in ours.notifications()] == []
        with pytest.raises((LocalProtocolError, FlowFailed)):
            await theirs.notify(b"news")


async def test_news_go_where_the_subscription_is_moved_to() -> None:
    async with ends() as both:
        ours, theirs = await both.subscribed()
        assert ours.flow.remote == ("10.0.0.5", 5060)
        right = theirs.flow
        theirs.flow = Flow("udp", right.local, ("10.0.0.1", 5999))
        with pytest.raises(TransactionTimeout):
            await theirs.notify(b"nobody listens there", timeout=1)
        theirs.flow = right
        assert (await theirs.notify(b"news")).status == 200
