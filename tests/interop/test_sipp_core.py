"""SIPp as caller and callee of the bare stack, over UDP, TCP, and UDP that loses packets.

SIPp itself drops what its option ``-lost`` says, of what it sends and of what it receives. Every
call must end as it would without loss, and no request may reach our user twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from sip.endpoint import Call, IncomingInvite, IncomingRequest, SipEndpoint
from sip.message import Headers, Request
from sip.timers import Timers

if TYPE_CHECKING:
    from tests.interop.conftest import Sipp

pytestmark = pytest.mark.interop

OURS = "34020000002000000001"
THEIRS = "34020000001320000001"
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=Play\r\nt=0 0\r\n"
# Ten times as fast as RFC 3261's, and many attempts within the life of a transaction. SIPp gives up
# before we forget what we have answered.
FAST = Timers(t1=0.05, t2=0.1, t4=0.5, wait_d=3.2)
WAYS = [("udp", 0), ("udp", 10), ("udp", 25), ("tcp", 0)]
IDS = ["udp", "udp-lost-10", "udp-lost-25", "tcp"]
CALLS = 40

Until = Callable[..., Awaitable[None]]


class Callee:
    """Answers whatever comes, and keeps a record of it."""

    def __init__(self, endpoint: SipEndpoint, group: asyncio.TaskGroup) -> None:
        self.delivered: Counter[tuple[str, int, str]] = Counter()
        self.calls: list[Call] = []
        self._endpoint = endpoint
        self._group = group

    async def serve(self) -> None:
        async for incoming in self._endpoint.requests():
            request = incoming.request
            self.delivered[request.call_id, request.cseq.number, request.method] += 1
            if isinstance(incoming, IncomingInvite):
                self._group.create_task(self._accept(incoming))
            else:
                incoming.respond(200)

    def count(self, method: str) -> int:
        """Count the deliveries of a method; none may be a second one."""
        assert set(self.delivered.values()) <= {1}
        return sum(key[2] == method for key in self.delivered)

    async def _accept(self, incoming: IncomingInvite) -> None:
        incoming.provisional(180)
        self.calls.append(await incoming.accept(body=SDP))


@asynccontextmanager
async def opened(transport: str) -> AsyncIterator[SipEndpoint]:
    endpoint = SipEndpoint(listen=(f"{transport}://127.0.0.1:0",), user=OURS, timers=FAST)
    await endpoint.start()
    try:
        yield endpoint
        assert endpoint.counters["malformed"] == endpoint.counters["fault"] == 0
    finally:
        await endpoint.aclose()


@asynccontextmanager
async def answering(transport: str) -> AsyncIterator[tuple[SipEndpoint, Callee]]:
    async with opened(transport) as endpoint, asyncio.TaskGroup() as group:
        callee = Callee(endpoint, group)
        serving = group.create_task(callee.serve())
        yield endpoint, callee
        serving.cancel()


def is_empty(endpoint: SipEndpoint) -> bool:
    """Tell whether nothing is left but what a connection needs."""
    left = endpoint.stack.pending()
    return not any(left[kind] for kind in ("client", "server", "calls", "timers"))


def options(transport: str, lost: int, count: int) -> tuple[str, ...]:
    given = ["-t", f"{transport[0]}1", "-m", str(count), "-r", "50", "-l", str(count)]
    for kind in ("retrans", "invite_retrans", "non_invite_retrans"):
        given += [f"-max_{kind}", "25"]
    return (*given, "-T2", "100", *(("-lost", str(lost)) if lost else ()))


@pytest.mark.parametrize(("transport", "lost"), WAYS, ids=IDS)
async def test_calls_of_sipp_all_end(
    transport: str, lost: int, sipp: Sipp, wait_until: Until
) -> None:
    async with answering(transport) as (endpoint, callee):
        port = endpoint.listening[0][1][1]
        await sipp.start(
            "sipp_core_uac.xml", f"127.0.0.1:{port}", *options(transport, lost, CALLS),
            "-s", OURS, keys={"caller": THEIRS},
        )  # fmt: skip
        await sipp.finished()
        assert callee.count("INVITE") == callee.count("INFO") == CALLS
        assert all(call.is_ended for call in callee.calls)
        assert {call.ended.result().by for call in callee.calls} == {"remote"}
        assert len(callee.calls) == CALLS
        assert bool(endpoint.counters["retransmitted_in"]) == bool(lost)
        await wait_until(lambda: is_empty(endpoint), lambda: str(endpoint.stack.pending()))


@pytest.mark.parametrize(("transport", "lost"), WAYS, ids=IDS)
async def test_messages_of_sipp_are_delivered_once(
    transport: str, lost: int, sipp: Sipp, wait_until: Until
) -> None:
    async with answering(transport) as (endpoint, callee):
        port = endpoint.listening[0][1][1]
        await sipp.start(
            "sipp_core_message_uac.xml", f"127.0.0.1:{port}", *options(transport, lost, 100),
            "-s", OURS, keys={"caller": THEIRS},
        )  # fmt: skip
        await sipp.finished()
        assert callee.count("MESSAGE") == 100
        await wait_until(lambda: is_empty(endpoint), lambda: str(endpoint.stack.pending()))


@pytest.mark.parametrize(("transport", "lost"), WAYS, ids=IDS)
async def test_our_calls_to_sipp_all_end(
    transport: str, lost: int, sipp: Sipp, wait_until: Until
) -> None:
    await sipp.start("sipp_core_uas.xml", *options(transport, lost, CALLS), keys={"callee": THEIRS})
    target = f"{transport}://127.0.0.1:{sipp.port}"
    async with opened(transport) as endpoint:
        async with asyncio.TaskGroup() as group:
            for number in range(CALLS):
                # SIPp takes what comes before the ACK for a mistake, and may have lost the ACK:
                # the 200s that it repeats meanwhile bring one through.
                patience = 2.5 if lost else 0.0
                group.create_task(call_sipp(endpoint, target, number * 0.02, patience))
        await sipp.finished()
        await wait_until(lambda: is_empty(endpoint), lambda: str(endpoint.stack.pending()))
    received = sipp.read("messages")
    assert received.count("INVITE sip:") >= CALLS


async def call_sipp(endpoint: SipEndpoint, target: str, delay: float, patience: float) -> None:
    await asyncio.sleep(delay)
    headers = Headers([("Content-Type", "application/sdp")])
    request = Request("INVITE", f"sip:{THEIRS}@127.0.0.1", headers, SDP)
    call = await endpoint.invite(request, target)
    await call.ack()
    await asyncio.sleep(patience)
    assert (await call.request("INFO")).status == 200
    await call.bye()
    assert call.ended.result().by == "local"


@pytest.mark.parametrize(("transport", "lost"), WAYS, ids=IDS)
async def test_our_messages_to_sipp_are_all_answered(
    transport: str, lost: int, sipp: Sipp, wait_until: Until
) -> None:
    await sipp.start("sipp_core_message_uas.xml", *options(transport, lost, 100), keys={})
    target = f"{transport}://127.0.0.1:{sipp.port}"
    async with opened(transport) as endpoint:
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(message_sipp(endpoint, target))
        await sipp.finished()
        await wait_until(lambda: is_empty(endpoint), lambda: str(endpoint.stack.pending()))


async def message_sipp(endpoint: SipEndpoint, target: str) -> None:
    request = Request("MESSAGE", f"sip:{THEIRS}@127.0.0.1", Headers(), b"news")
    assert (await endpoint.request(request, target)).status == 200


async def test_reinvite_of_sipp_is_refused_and_the_call_goes_on(
    sipp: Sipp,
) -> None:
    async with opened("udp") as endpoint, asyncio.TaskGroup() as group:
        await sipp.start(
            "sipp_core_reinvite.xml", f"127.0.0.1:{endpoint.listening[0][1][1]}",
            "-t", "u1", "-m", "1", "-s", OURS, keys={"caller": THEIRS},
        )  # fmt: skip
        requests = endpoint.requests()
        incoming = await anext(requests)
        assert isinstance(incoming, IncomingInvite)
        accepting = group.create_task(incoming.accept(body=SDP))
        again: IncomingRequest = await anext(requests)
        again.respond(488)
        call = await accepting
        assert again.call is call
        info = await anext(requests)
        assert not call.is_ended
        info.respond(200)
        assert (await call.ended).by == "remote"
        await sipp.finished()
