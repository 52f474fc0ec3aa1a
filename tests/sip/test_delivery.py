"""What becomes of events, on a simulated network under a virtual clock."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from sip.endpoint import IncomingInvite, IncomingSubscribe, SipEndpoint
from sip.errors import CallCancelled, FlowFailed, SipError, TransactionTimeout
from sip.flow import Flow
from sip.message import Headers, Request

SERVER = "10.0.0.1:5060"


class Ends:
    """A server and a client that does not listen."""

    def __init__(self, **settings: Any) -> None:
        self.net = SimulatedNetwork(seed=4)
        self.server = SipEndpoint(
            listen=("udp://:5060", "tcp://:5060"), network=self.net.host("10.0.0.1"), **settings
        )
        self.client = SipEndpoint(network=self.net.host("10.0.0.5"), user="34020000001320000001")


@asynccontextmanager
async def ends(**settings: Any) -> AsyncIterator[Ends]:
    with VirtualClock():
        both = Ends(**settings)
        await both.server.start()
        await both.client.start()
        try:
            yield both
        finally:
            await both.client.aclose()
            await both.server.aclose()
    assert both.net.leaks() == []


def message(method: str = "MESSAGE") -> Request:
    fields = [("Event", "presence")] if method == "SUBSCRIBE" else []
    return Request(method, "sip:34020000002000000001@3402000000", Headers(fields))


async def failure(verb: Awaitable[object]) -> SipError:
    try:
        await verb
    except SipError as exc:
        return exc
    raise AssertionError("nothing was raised")


async def test_silence_is_reported_by_the_transaction() -> None:
    async with ends() as both:
        both.net.host("10.0.0.1").vanish()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert isinstance(
            await failure(both.client.request(message(), f"udp://{SERVER}")), TransactionTimeout
        )
        assert loop.time() - began == pytest.approx(32, abs=0.1)
        verb = both.client.invite(message("INVITE"), f"udp://{SERVER}", timeout=100)
        assert isinstance(await failure(verb), TransactionTimeout)
        verb = both.client.subscribe(message("SUBSCRIBE"), f"udp://{SERVER}", timeout=100)  # type: ignore[assignment]  # another result, not looked at
        assert isinstance(await failure(verb), TransactionTimeout)
        both.net.host("10.0.0.1").reappear()


@pytest.mark.parametrize("method", ["MESSAGE", "INVITE", "SUBSCRIBE"])
async def test_lost_connection_fails_what_waits(method: str) -> None:
    async with ends() as both, asyncio.TaskGroup() as group:
        target = f"tcp://{SERVER}"
        verbs: dict[str, Awaitable[object]] = {
            "MESSAGE": both.client.request(message(), target),
            "INVITE": both.client.invite(message("INVITE"), target),
            "SUBSCRIBE": both.client.subscribe(message("SUBSCRIBE"), target),
        }
        chosen = verbs.pop(method)
        for other in verbs.values():
            other.close()  # type: ignore[attr-defined]  # coroutines all
        waiting = group.create_task(failure(chosen))
        await anext(aiter(both.server.requests()))
        await both.server.aclose()
        assert isinstance(await waiting, FlowFailed)


async def test_known_peers_are_turned_away_at_twice_the_high_mark() -> None:
    async with ends(inbox=1, is_known=lambda flow: True) as both, asyncio.TaskGroup() as group:
        waiting = [
            group.create_task(both.client.request(message(), f"udp://{SERVER}")) for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        refused = await both.client.request(message(), f"udp://{SERVER}")
        assert (refused.status, refused.headers.get("Retry-After")) == (503, "10")
        error = await failure(both.client.invite(message("INVITE"), f"udp://{SERVER}"))
        assert "503" in str(error)
        assert both.server.counters["inbox_full"] == 2
        for _ in waiting:
            (await anext(aiter(both.server.requests()))).respond(200)


async def test_closing_frees_caller_and_callee() -> None:
    async with ends() as both, asyncio.TaskGroup() as group:
        calling = group.create_task(
            failure(both.client.invite(message("INVITE"), f"udp://{SERVER}"))
        )
        incoming = await anext(aiter(both.server.requests()))
        assert isinstance(incoming, IncomingInvite)
        await both.client.aclose()
        await both.server.aclose()
        assert isinstance(await calling, FlowFailed)
        with pytest.raises(CallCancelled):
            await incoming.accept()


async def test_progress_is_told() -> None:
    async with ends() as both, asyncio.TaskGroup() as group:
        heard: list[int] = []
        calling = group.create_task(
            failure(
                both.client.invite(
                    message("INVITE"),
                    f"udp://{SERVER}",
                    on_progress=lambda response: heard.append(response.status),
                )
            )
        )
        incoming = await anext(aiter(both.server.requests()))
        assert isinstance(incoming, IncomingInvite)
        incoming.provisional(180)
        incoming.reject(486)
        await calling
        assert heard == [100, 180]


async def test_stream_that_lost_its_frames_is_closed() -> None:
    async with ends() as both:
        closed: list[Flow] = []
        both.server.on_flow_lost(closed.append)
        flow = await both.client._sockets.reach(f"tcp://{SERVER}")
        both.client._sockets.send(flow, b"MESSAGE sip:a SIP/2.0\r\nContent-Length: x\r\n\r\n")
        await asyncio.sleep(1)
        assert len(closed) == 1
        with pytest.raises(FlowFailed):
            await both.client.request(message(), flow)


async def test_news_of_a_subscription_that_was_given_up_are_answered() -> None:
    async with ends() as both, asyncio.TaskGroup() as group:
        asking = group.create_task(
            failure(both.client.subscribe(message("SUBSCRIBE"), f"udp://{SERVER}", timeout=1))
        )
        incoming = await anext(aiter(both.server.requests()))
        assert isinstance(incoming, IncomingSubscribe)
        assert isinstance(await asking, TransactionTimeout)
        subscription = incoming.accept()
        assert (await subscription.notify(b"news")).status == 200
        assert (await subscription.terminated).by == "remote"
        await asyncio.sleep(100)
        assert not any(both.client.stack.pending().values())
