"""What an endpoint is protected from: too much, and connections that dawdle or are left idle."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from sip.endpoint import (
    IncomingCall,
    IncomingInvite,
    IncomingRequest,
    IncomingSubscribe,
    SipEndpoint,
)
from sip.flow import Flow
from sip.message import Headers, Request
from sip.overload import OverloadLimits


def message(method: str = "MESSAGE") -> Request:
    return Request(method, "sip:34020000002000000001@3402000000", Headers([]))


OPTIONS = (
    b"OPTIONS sip:34020000002000000001@10.0.0.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/TCP 10.0.0.9;branch=z9hG4bK1\r\n"
    b"From: <sip:a@10.0.0.9>;tag=1\r\nTo: <sip:b@10.0.0.1>\r\nCall-ID: 1\r\n"
    b"CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


@asynccontextmanager
async def simulated(**settings: Any) -> AsyncIterator[tuple[SipEndpoint, SimulatedNetwork]]:
    net = SimulatedNetwork(seed=1)
    with VirtualClock():
        server = SipEndpoint(
            listen=("udp://:5060", "tcp://:5060"), network=net.host("10.0.0.1"), **settings
        )
        await server.start()
        try:
            yield server, net
        finally:
            await server.aclose()


async def raw_connection(net: SimulatedNetwork, received: list[bytes]) -> asyncio.Transport:
    class Client(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            received.append(bytes(data))

        def connection_lost(self, exc: Exception | None) -> None:
            received.append(b"lost")

    transport, _ = await net.host("10.0.0.9").create_connection(Client, "10.0.0.1", 5060)
    assert isinstance(transport, asyncio.Transport)
    return transport


def ok(request: IncomingRequest) -> None:
    request.respond(200)


@asynccontextmanager
async def serving(
    server: SipEndpoint, handle: Callable[[IncomingRequest], None] = ok
) -> AsyncIterator[None]:
    task = asyncio.ensure_future(server.serve(handle))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def accepted(server: SipEndpoint) -> IncomingCall:
    incoming = await anext(aiter(server.requests()))
    assert isinstance(incoming, IncomingInvite)
    return await incoming.accept()


async def speaks_once(net: SimulatedNetwork) -> list[bytes]:
    received: list[bytes] = []
    (await raw_connection(net, received)).write(OPTIONS)
    await asyncio.sleep(1)
    assert received[0].startswith(b"SIP/2.0 200")
    return received


def nobody(flow: Flow) -> bool:
    return False


def closed(endpoint: SipEndpoint) -> int:
    return endpoint.counters["idle_closed"]


async def test_connection_that_a_stranger_leaves_idle_is_closed() -> None:
    async with simulated(is_known=nobody) as (server, net), serving(server):
        received = await speaks_once(net)
        await asyncio.sleep(298)
        assert b"lost" not in received
        await asyncio.sleep(77)
        assert received[-1] == b"lost"
        assert closed(server) == 1
        received = await speaks_once(net)
        await asyncio.sleep(400)
        assert received[-1] == b"lost"
        assert closed(server) == 2


async def test_blank_lines_do_not_keep_the_connection_of_a_stranger() -> None:
    async with simulated(is_known=nobody) as (server, net), serving(server):
        received: list[bytes] = []
        transport = await raw_connection(net, received)
        transport.write(OPTIONS)
        for _ in range(40):
            await asyncio.sleep(10)
            transport.write(b"\r\n\r\n")
        assert received[-1] == b"lost"


async def test_stranger_that_goes_on_speaking_is_kept() -> None:
    async with simulated(is_known=nobody) as (server, net), serving(server):
        received: list[bytes] = []
        transport = await raw_connection(net, received)
        for number in range(10):
            transport.write(OPTIONS.replace(b"bK1", b"bK%d" % number))
            await asyncio.sleep(200)
        assert b"lost" not in received


@pytest.mark.parametrize("is_known", [None, lambda flow: True])
async def test_connection_of_a_known_peer_may_be_idle(
    is_known: Callable[[Flow], bool] | None,
) -> None:
    async with simulated(is_known=is_known) as (server, net), serving(server):
        received = await speaks_once(net)
        await asyncio.sleep(10_000)
        assert b"lost" not in received


async def test_connection_with_a_call_and_one_of_ours_may_be_idle() -> None:
    async with simulated(is_known=nobody) as (server, net), asyncio.TaskGroup() as group:
        client = SipEndpoint(listen=("tcp://:5060",), network=net.host("10.0.0.9"), is_known=nobody)
        await client.start()
        calling = group.create_task(client.invite(message("INVITE"), "tcp://10.0.0.1:5060"))
        accepting = group.create_task(accepted(server))
        call = await calling
        await call.ack()
        theirs = await accepting
        await asyncio.sleep(1000)
        assert closed(server) == 0
        flow = call.flow
        await theirs.bye()
        await asyncio.sleep(400)
        assert closed(server) == 1
        assert closed(client) == 0
        async with serving(client):
            await server.request(message("OPTIONS"), "tcp://10.0.0.9:5060")
            await asyncio.sleep(400)
        assert closed(client) == 1
        assert closed(server) == 1  # it had opened that one
        assert flow.transport == "tcp"
        await client.aclose()


async def test_connection_with_a_subscription_may_be_idle() -> None:
    async with simulated(is_known=nobody) as (server, net), asyncio.TaskGroup() as group:
        client = SipEndpoint(network=net.host("10.0.0.9"))
        await client.start()
        request = message("SUBSCRIBE")
        request.headers.add("Event", "Catalog")
        subscribing = group.create_task(
            client.subscribe(request, "tcp://10.0.0.1:5060", expires=3600)
        )
        incoming = await anext(aiter(server.requests()))
        assert isinstance(incoming, IncomingSubscribe)
        incoming.accept()
        subscription = await subscribing
        await asyncio.sleep(2000)
        assert closed(server) == 0
        await subscription.cancel()
        await asyncio.sleep(400)
        assert closed(server) == 1
        await client.aclose()


async def test_connection_with_an_unanswered_request_is_not_idle() -> None:
    limits = OverloadLimits(stranger_idle=8.0)
    async with simulated(is_known=nobody, overload=limits) as (server, net):
        received: list[bytes] = []
        (await raw_connection(net, received)).write(OPTIONS)
        await asyncio.sleep(20)
        assert received == []
        async with serving(server):
            await asyncio.sleep(1)
            assert received[0].startswith(b"SIP/2.0 200")
            await asyncio.sleep(10)
            assert received[-1] == b"lost"


async def test_connection_that_a_peer_registered_over_is_kept_when_he_goes_on_elsewhere() -> None:
    """Some devices open a connection for each message, and lose heart when the first is closed."""
    known: set[Flow] = set()
    async with simulated(is_known=known.__contains__) as (server, net):

        def serve(request: IncomingRequest) -> None:
            known.clear()
            known.add(request.flow)
            request.respond(200)

        serving_all = asyncio.ensure_future(server.serve(serve))
        received: list[bytes] = []
        (await raw_connection(net, received)).write(OPTIONS)
        await asyncio.sleep(1)
        later: list[bytes] = []
        (await raw_connection(net, later)).write(OPTIONS.replace(b"bK1", b"bK2"))
        await asyncio.sleep(1000)
        assert b"lost" not in received + later
        serving_all.cancel()


@pytest.mark.parametrize("bait", [b"", b"OPTIONS sip:", b"\r\n\r\n"])
async def test_half_open_connection_is_closed(bait: bytes) -> None:
    async with simulated() as (server, net):
        received: list[bytes] = []
        transport = await raw_connection(net, received)
        if bait:
            transport.write(bait)
        await asyncio.sleep(9.5)
        assert b"lost" not in received
        await asyncio.sleep(1)
        assert received[-1] == b"lost"
        assert server.counters["dawdler_closed"] == 1


async def test_connection_that_speaks_stays_and_a_drip_is_closed() -> None:
    async with simulated() as (server, net), serving(server):
        received: list[bytes] = []
        transport = await raw_connection(net, received)
        transport.write(OPTIONS)
        await asyncio.sleep(600)
        assert received[0].startswith(b"SIP/2.0 200")
        assert b"lost" not in received
        for byte in OPTIONS[:35]:
            transport.write(bytes([byte]))
            await asyncio.sleep(1)
        assert received[-1] == b"lost"


async def test_known_peers_pass_the_high_mark_and_strangers_wait() -> None:
    known = {"10.0.0.5"}
    async with simulated(inbox=2, is_known=lambda flow: flow.remote[0] in known) as (server, net):
        stranger = SipEndpoint(network=net.host("10.0.0.9"))
        friend = SipEndpoint(network=net.host("10.0.0.5"))
        async with asyncio.TaskGroup() as group:
            waiting = [
                group.create_task(friend.request(message(), "udp://10.0.0.1:5060"))
                for _ in range(3)
            ]
            await asyncio.sleep(0.1)
            assert len(server._inbox) == 3
            refused = await stranger.request(message(), "udp://10.0.0.1:5060")
            assert (refused.status, refused.headers.get("Retry-After")) == (503, "10")
            async with serving(server):
                assert [(await task).status for task in waiting] == [200, 200, 200]
                answered = await stranger.request(message(), "udp://10.0.0.1:5060")
                assert answered.status == 200
        assert server.counters["overload"] == 1
        await stranger.aclose()
        await friend.aclose()


async def test_who_fails_again_and_again_is_turned_away() -> None:
    def forbid(request: IncomingRequest) -> None:
        request.respond(403)

    limits = OverloadLimits(rate=1.0, burst=10.0)
    async with (
        simulated(is_known=lambda flow: False, overload=limits) as (server, net),
        serving(server, forbid),
    ):
        guesser = SipEndpoint(network=net.host("10.0.0.9"))
        target = "udp://10.0.0.1:5060"
        statuses = [(await guesser.request(message(), target)).status for _ in range(5)]
        assert statuses == [403, 403, 503, 503, 503]
        await asyncio.sleep(60)
        assert (await guesser.request(message(), target)).status == 403
        await guesser.aclose()
