"""Two endpoints on a simulated network that loses, repeats, reorders and delays; clock virtual.

Whatever the network does, each request ends, none reaches its user twice, and in the end nothing
is kept. Delays differ by less than T1: a datagram that is under way for longer than what it
repeats may by RFC 3261 outlive the transaction that would have absorbed it (17.2.2, timer J).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.testing.clock import VirtualClock
from gb28181.testing.link import Conditions
from gb28181.testing.network import SimulatedNetwork
from sip.endpoint import (
    IncomingCall,
    IncomingInvite,
    IncomingRequest,
    IncomingSubscribe,
    Notification,
    SipEndpoint,
)
from sip.errors import SipError, TransactionTimeout
from sip.message import Headers, Request, Response

US, THEM = "192.0.2.1", "192.0.2.10"
SETTLE = 900.0
"""Virtual seconds after which nothing may be left: more than the longest row of timers, behind what
TCP repeats at growing intervals on a bad line."""


class Callee:
    """Does with each request what the user part of its Request-URI says."""

    def __init__(self, endpoint: SipEndpoint, group: asyncio.TaskGroup) -> None:
        self.delivered: Counter[tuple[str, str, str]] = Counter()
        self.accepted = 0
        self.calls: list[IncomingCall] = []
        self._endpoint = endpoint
        self._group = group

    async def serve(self) -> None:
        async for incoming in self._endpoint.requests():
            note(self.delivered, incoming)
            act = self._act(incoming)
            if act is not None:
                self._group.create_task(act)

    def _act(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        if isinstance(incoming, IncomingInvite):
            return self._answer(incoming, incoming.request.uri[4:].partition("@")[0])
        if isinstance(incoming, IncomingSubscribe):
            return self._notify(incoming)
        incoming.respond(200)
        return None

    async def _answer(self, incoming: IncomingInvite, wish: str) -> None:
        incoming.provisional(180)
        if wish == "refuse":
            incoming.reject(486)
        elif wish == "ring":
            await incoming.cancelled
        else:
            with suppress(SipError):
                call = await incoming.accept()
                self.accepted += 1
                self.calls.append(call)
                if wish == "hang-up":
                    await call.bye()
                elif wish == "change":
                    await call.reinvite(body=b"other", timeout=40)

    async def _notify(self, incoming: IncomingSubscribe) -> None:
        subscription = incoming.accept()
        with suppress(SipError):
            for _ in range(3):
                await subscription.notify(b"news")
                await asyncio.sleep(1)


def note(delivered: Counter[tuple[str, str, str]], incoming: IncomingRequest) -> None:
    request = incoming.request
    delivered[request.call_id, f"{request.cseq}", request.from_.tag or ""] += 1


@asynccontextmanager
async def ends(
    network: SimulatedNetwork, transport: str = "udp"
) -> AsyncIterator[tuple[SipEndpoint, Callee]]:
    """Yield a caller and what answers it; hold both to having forgotten everything."""
    numbers = itertools.count(1)
    caller, callee = (
        SipEndpoint(
            listen=(f"{transport}://{host}:5060",),
            network=network.host(host),
            token=lambda: f"t{next(numbers)}",
        )
        for host in (US, THEM)
    )
    await caller.start()
    await callee.start()
    async with asyncio.TaskGroup() as group:
        answering = Callee(callee, group)
        group.create_task(answering.serve())
        back = Callee(caller, group)
        group.create_task(back.serve())
        yield caller, answering
        await asyncio.sleep(SETTLE)
        # Where every BYE was lost the callee still has the call: the standard knows no session
        # timers, and it is for the role to end it when media or heartbeats fail.
        orphans = [call for call in answering.calls if not call.is_ended]
        for call in orphans:
            call.hang_up()
        await asyncio.sleep(SETTLE if orphans else 0)
        left = {name: end.stack.pending() for name, end in (("us", caller), ("them", callee))}
        for kept in left.values():
            del kept["parsers"]  # a connection that stands has one
        assert not any(any(kept.values()) for kept in left.values()), left
        for end, seen in ((caller, back), (callee, answering)):
            assert max(seen.delivered.values(), default=0) <= 1
            assert (end.counters["malformed"], end.counters["fault"]) == (0, 0)
        await caller.aclose()
        await callee.aclose()
    assert network.leaks() == []


def message(wish: str = "answer", method: str = "MESSAGE") -> Request:
    fields = [("Event", "Catalog")] if method == "SUBSCRIBE" else []
    return Request(method, f"sip:{wish}@{THEM}", Headers(fields), b"<Notify/>")


@pytest.mark.parametrize(("count", "loss"), [(10_000, 0.2), (500, 0.7)], ids=["20 %", "70 %"])
async def test_each_message_completes_or_reports_a_timeout(count: int, loss: float) -> None:
    outcomes: Counter[int] = Counter()
    network = SimulatedNetwork(
        seed=28181, conditions=Conditions(loss=loss, latency=0.02), trace=100
    )
    with VirtualClock():
        async with ends(network) as (caller, callee):
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(send(caller, outcomes))
                    await asyncio.sleep(0.005)
            assert outcomes.total() == count
            assert set(outcomes) <= {200, 408}
            assert bool(outcomes[408]) == (loss > 0.5)
            assert len(callee.delivered) >= outcomes[200]
            assert callee.delivered.total() == len(callee.delivered)
            lost = network.counters["lost"] / (network.counters["sent"] + network.counters["lost"])
            assert lost == pytest.approx(loss, abs=0.03)


async def send(caller: SipEndpoint, outcomes: Counter[int]) -> None:
    try:
        response = await caller.request(message(), f"udp://{THEM}:5060")
    except TransactionTimeout:
        outcomes[408] += 1
    else:
        outcomes[response.status] += 1


# Everything else that two endpoints do with each other.


async def call(caller: SipEndpoint, target: str, wish: str) -> None:
    """Call, talk, and leave; or wait for the other side to leave."""
    established = await caller.invite(message(wish, "INVITE"), target, timeout=40)
    await established.ack()
    if wish in ("answer", "change"):
        with suppress(SipError):
            if wish == "answer":
                await established.request("INFO")
            else:  # both sides at once
                await established.reinvite(body=b"other", timeout=40)
        await established.bye(timeout=40)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(60):  # the BYE may never come through
            await established.ended
    await established.bye(timeout=40)


async def cancelled(caller: SipEndpoint, target: str, wish: str) -> None:
    """Take an INVITE back at some moment: before, at or after its answer."""
    rings = asyncio.Event()

    def progress(_: Response) -> None:
        rings.set()

    task = asyncio.ensure_future(
        caller.invite(message(wish, "INVITE"), target, timeout=40, on_progress=progress)
    )
    with suppress(TimeoutError):
        async with asyncio.timeout(3):
            await rings.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await (await task).bye(timeout=40)


async def subscribed(caller: SipEndpoint, target: str, wish: str) -> None:
    """Subscribe, take what comes, and leave."""
    seen: Counter[tuple[str, str, str]] = Counter()

    def take(notification: Notification) -> None:
        note(seen, notification)

    request = message(wish, "SUBSCRIBE")
    subscription = await caller.subscribe(request, target, expires=30, timeout=40, on_notify=take)
    await asyncio.sleep(25)
    await subscription.cancel(timeout=40)
    assert max(seen.values(), default=0) <= 1


async def asked(caller: SipEndpoint, target: str, wish: str) -> None:
    await caller.request(message(wish), target)


ACTS = {
    "ask": (asked, "answer"),
    "call": (call, "answer"),
    "change": (call, "change"),
    "be hung up on": (call, "hang-up"),
    "be refused": (call, "refuse"),
    "ring in vain": (cancelled, "ring"),
    "cancel at the answer": (cancelled, "answer"),
    "subscribe": (subscribed, "answer"),
}

conditions = st.builds(
    Conditions,
    latency=st.sampled_from([0.001, 0.05]),
    jitter=st.sampled_from([0.0, 0.01, 0.25]),
    loss=st.sampled_from([0.0, 0.1, 0.3, 0.6]),
    duplication=st.sampled_from([0.0, 0.3, 1.0]),
    reordering=st.sampled_from([0.0, 0.5]),
    hold=st.sampled_from([0.02, 0.15]),
    chop=st.booleans(),
)


async def act(caller: SipEndpoint, target: str, name: str, after: float) -> None:
    what, wish = ACTS[name]
    await asyncio.sleep(after)
    with suppress(SipError):
        await what(caller, target, wish)


async def act_all(
    weather: Conditions, transport: str, plan: list[tuple[str, float]], seed: int
) -> None:
    network = SimulatedNetwork(seed=seed, conditions=weather, trace=100)
    target = f"{transport}://{THEM}:5060"
    with VirtualClock(limit=3600):
        async with (
            ends(network, transport) as (caller, _),
            asyncio.timeout(600),
            asyncio.TaskGroup() as acting,
        ):
            for name, after in plan:
                acting.create_task(act(caller, target, name, after))


@settings(max_examples=200, deadline=None)
@given(
    conditions,
    st.sampled_from(["udp", "udp", "tcp"]),
    st.lists(
        st.tuples(st.sampled_from(sorted(ACTS)), st.sampled_from([0.0, 0.0, 0.3, 5.0])),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 2**32),
)
def test_whatever_the_network_does_all_ends_and_nothing_comes_twice(
    weather: Conditions, transport: str, plan: list[tuple[str, float]], seed: int
) -> None:
    asyncio.run(act_all(weather, transport, plan, seed))


@pytest.mark.parametrize("name", sorted(ACTS))
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_each_act_does_what_it_says_in_fair_weather(name: str, transport: str) -> None:
    """Else the property above could hold because nothing happens."""
    network = SimulatedNetwork(trace=100)
    what, wish = ACTS[name]
    with VirtualClock():
        async with ends(network, transport) as (caller, callee):
            target = f"{transport}://{THEM}:5060"
            if name == "be refused":
                with pytest.raises(SipError, match="486"):
                    await what(caller, target, wish)
            else:
                await what(caller, target, wish)
            assert len(callee.delivered) == (2 if name in ("call", "change") else 1)
            assert callee.accepted == (name in ("call", "change", "be hung up on"))
