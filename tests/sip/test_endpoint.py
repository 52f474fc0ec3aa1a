import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from sip.endpoint import IncomingInvite, IncomingRequest, RandomTokens, SipEndpoint, is_foreign
from sip.errors import (
    CallCancelled,
    CallRejected,
    FlowFailed,
    LocalProtocolError,
    SipError,
    TransactionTimeout,
)
from sip.flow import Flow
from sip.message import Headers, Request
from sip.overload import DEFAULT_STACK_LIMITS, StackLimits
from sip.parser import Limits
from sip.timers import Timers

FAST = Timers(t1=0.02, t2=0.08, t4=0.1, wait_d=0.5)


def message(method: str = "MESSAGE", body: bytes = b"") -> Request:
    return Request(
        method,
        "sip:34020000002000000001@3402000000",
        Headers(
            [
                ("From", "<sip:34020000001320000001@3402000000>"),
                ("To", "<sip:34020000002000000001@3402000000>"),
            ]
        ),
        body,
    )


def at(endpoint: SipEndpoint, transport: str) -> str:
    for name, (host, port) in endpoint.listening:
        if name == transport:
            return f"{transport}://{host}:{port}"
    raise AssertionError(transport)


@asynccontextmanager
async def endpoint(
    *, timers: Timers = FAST, inbox: int = 100, limits: StackLimits = DEFAULT_STACK_LIMITS
) -> AsyncIterator[SipEndpoint]:
    opened = SipEndpoint(
        listen=("udp://127.0.0.1:0", "tcp://127.0.0.1:0"),
        timers=timers,
        inbox=inbox,
        limits=limits,
        user="34020000002000000001",
    )
    await opened.start()
    try:
        yield opened
    finally:
        await opened.aclose()


@asynccontextmanager
async def serving(
    server: SipEndpoint, handle: Callable[[IncomingRequest], Awaitable[None]]
) -> AsyncIterator[None]:
    async def serve() -> None:
        async for request in server.requests():
            await handle(request)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve())
        yield
        task.cancel()


async def ok(request: IncomingRequest) -> None:
    request.respond(200)


async def first(server: SipEndpoint) -> IncomingRequest:
    return await anext(aiter(server.requests()))


async def first_invite(server: SipEndpoint) -> IncomingInvite:
    incoming = await first(server)
    assert isinstance(incoming, IncomingInvite)
    return incoming


async def failure(verb: Awaitable[object]) -> SipError:
    """A task group would end the test with the error of one of its tasks."""
    try:
        await verb
    except SipError as exc:
        return exc
    raise AssertionError("nothing was raised")


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 - nothing tells that the other side has read
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_request_is_answered(transport: str) -> None:
    async with endpoint() as server, endpoint() as client, serving(server, ok):
        for method in ("REGISTER", "MESSAGE", "OPTIONS"):
            response = await client.request(message(method), at(server, transport), timeout=2)
            assert (response.status, response.cseq.method) == (200, method)
            assert response.to.tag


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_platform_calls_back_over_the_flow_of_the_registration(transport: str) -> None:
    async with endpoint() as server, endpoint() as device:
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(device.request(message("REGISTER"), at(server, transport)))
            registration = await first(server)
            registration.respond(200)
            assert (await asking).status == 200
        async with serving(device, ok):
            response = await server.request(message(), registration.flow, timeout=2)
            assert response.status == 200
            host, port = registration.flow.remote
            again = await server.request(message(), f"{transport}://{host}:{port}", timeout=2)
            assert again.status == 200
        assert "tcp" in server._sockets.streams
        assert len(server._sockets.streams["tcp"]) == (1 if transport == "tcp" else 0)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_call_is_set_up_used_and_ended_by_the_caller(transport: str) -> None:
    async with endpoint() as callee, endpoint() as caller:
        async with asyncio.TaskGroup() as group:
            calling = group.create_task(
                caller.invite(message("INVITE", b"offer"), at(callee, transport))
            )
            incoming = await first_invite(callee)
            incoming.provisional(180)
            accepting = group.create_task(incoming.accept(body=b"answer"))
            call = await calling
            assert call.response.body == b"answer"
            assert call.response.content_type == "application/sdp"
            await call.ack(body=b"late answer", content_type="application/sdp")
            taken = await accepting
        assert taken.ack_body == b"late answer"
        async with serving(callee, ok):
            assert (await call.request("INFO", body=b"PAUSE", timeout=2)).status == 200
        await call.bye(reason="done")
        assert call.ended.result().by == "local"
        end = await taken.ended
        assert (end.by, end.text) == ("remote", 'SIP;cause=200;text="done"')
        await call.bye()  # a second time does nothing


async def test_call_is_ended_by_the_callee() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(caller.invite(message("INVITE"), at(callee, "udp")))
        accepting = group.create_task((await first_invite(callee)).accept())
        call = await calling
        await call.ack()
        await (await accepting).bye()
        assert (await call.ended).by == "remote"
        with pytest.raises(LocalProtocolError):
            await call.request("INFO")


async def test_request_within_a_call_comes_with_its_call() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(caller.invite(message("INVITE"), at(callee, "udp")))
        accepting = group.create_task((await first_invite(callee)).accept())
        call = await calling
        await call.ack()
        taken = await accepting
        sending = group.create_task(
            taken.request("MESSAGE", body=b"<Notify/>", content_type="Application/MANSCDP+xml")
        )
        incoming = await first(caller)
        assert incoming.call is call
        incoming.respond(200)
        assert (await sending).status == 200


async def test_refused_call_raises_with_the_response() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(failure(caller.invite(message("INVITE"), at(callee, "udp"))))
        (await first_invite(callee)).reject(486)
        error = await calling
        assert isinstance(error, CallRejected)
        assert error.response.status == 486
        await settled(lambda: callee.stack.pending()["calls"] == 0)


async def test_call_without_answer_is_cancelled() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(
            failure(caller.invite(message("INVITE"), at(callee, "udp"), timeout=0.1))
        )
        incoming = await first_invite(callee)
        assert isinstance(await calling, TransactionTimeout)
        await incoming.cancelled
        with pytest.raises(CallCancelled):
            await incoming.accept()


async def test_cancelled_caller_sends_cancel() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(caller.invite(message("INVITE"), at(callee, "tcp")))
        incoming = await first_invite(callee)
        await asyncio.sleep(0)
        calling.cancel()
        await incoming.cancelled
        with pytest.raises(CallCancelled):
            await incoming.accept()
        assert calling.cancelled()
        await settled(lambda: caller.stack.pending()["calls"] == 0)


async def test_silent_peer_is_a_timeout_and_leaves_nothing() -> None:
    async with endpoint() as silent, endpoint() as client:
        with pytest.raises(TransactionTimeout):
            await client.request(message(), at(silent, "udp"), timeout=0.1)
        assert client.stack.pending()["client"] == 0
        assert client.stack.pending()["timers"] == 0


async def test_cancelled_request_leaves_nothing() -> None:
    async with endpoint() as silent, endpoint() as client, asyncio.TaskGroup() as group:
        asking = group.create_task(client.request(message(), at(silent, "udp")))
        await first(silent)
        asking.cancel()
        await asyncio.wait([asking])
        assert client.stack.pending()["client"] == 0


async def test_lost_connection_fails_its_requests_at_once() -> None:
    async with endpoint() as client:
        lost: list[Flow] = []
        client.on_flow_lost(lost.append)
        async with endpoint() as server, asyncio.TaskGroup() as group:
            asking = group.create_task(failure(client.request(message(), at(server, "tcp"))))
            request = await first(server)
            await server.aclose()
            assert isinstance(await asking, FlowFailed)
        assert [flow.local for flow in lost] == [request.flow.remote]
        with pytest.raises(FlowFailed):
            await client.request(message(), lost[0])


async def test_closing_fails_what_waits_and_ends_the_iteration() -> None:
    async with endpoint() as server, endpoint() as client, asyncio.TaskGroup() as group:
        asking = group.create_task(failure(client.request(message(), at(server, "udp"))))
        await first(server)
        await client.aclose()
        assert isinstance(await asking, FlowFailed)
        assert [request async for request in client.requests()] == []
    assert {task for task in asyncio.all_tasks() if task is not asyncio.current_task()} == set()


async def test_port_in_use_is_named() -> None:
    async with endpoint() as server:
        for transport in ("udp", "tcp"):
            second = SipEndpoint(listen=(at(server, transport),))
            with pytest.raises(OSError, match=rf"{transport} port \d+"):
                await second.start()


async def test_served_requests_come_in_order_those_that_wait_first() -> None:
    async with endpoint() as server, endpoint() as client, asyncio.TaskGroup() as group:
        served: list[bytes] = []

        def handle(request: IncomingRequest) -> None:
            served.append(request.request.body)
            if request.request.body == b"fault":
                raise RuntimeError("the handler's own fault")
            request.respond(200)

        asked = [group.create_task(client.request(message(), at(server, "udp"), timeout=2))]
        await settled(lambda: len(server._inbox) == 1)
        serving = group.create_task(server.serve(handle))
        for body in (b"2", b"3"):
            sent = message(body=body)
            asked.append(group.create_task(client.request(sent, at(server, "udp"), timeout=2)))
        assert [(await one).status for one in asked] == [200, 200, 200]
        faulty = group.create_task(
            failure(client.request(message(body=b"fault"), at(server, "udp")))
        )
        await settled(lambda: server.counters["fault"] > 0)
        assert served[:4] == [b"", b"2", b"3", b"fault"]
        await server.aclose()
        await serving  # ends with the endpoint
        assert isinstance(await faulty, TransactionTimeout)


async def test_requests_wait_again_when_nobody_serves_any_more() -> None:
    async with endpoint() as server, endpoint() as client, asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(lambda request: request.respond(200)))
        assert (await client.request(message(), at(server, "udp"), timeout=2)).status == 200
        serving.cancel()
        asked = group.create_task(client.request(message(), at(server, "udp"), timeout=2))
        (await first(server)).respond(202)
        assert (await asked).status == 202


async def test_full_inbox_is_answered_503() -> None:
    async with endpoint(inbox=1) as server, endpoint() as client, asyncio.TaskGroup() as group:
        waiting = group.create_task(client.request(message(), at(server, "udp")))
        await settled(lambda: len(server._inbox) == 1)
        response = await client.request(message(), at(server, "udp"))
        assert response.status == 503
        assert "Retry-After" in response.headers
        (await first(server)).respond(200)
        assert (await waiting).status == 200


async def test_sizes_are_a_setting() -> None:
    limits = StackLimits(messages=Limits(head=400, body=10))
    async with endpoint(limits=limits) as server, endpoint() as client, serving(server, ok):
        assert (await client.request(message(), at(server, "udp"))).status == 200
        large = message()
        large.headers.add("Subject", "x" * 400)
        assert (await client.request(large, at(server, "udp"))).status == 513
        large = message()
        large.body = b"x" * 11
        assert (await client.request(large, at(server, "tcp"))).status == 513


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_name_that_cannot_be_one_is_flow_failed(transport: str, host: str) -> None:
    async with endpoint() as client:
        with pytest.raises(FlowFailed):
            await client.request(message(), f"{transport}://{host}:5060")


async def test_refused_tcp_connection_is_flow_failed() -> None:
    async with endpoint() as server, endpoint() as client:
        address = at(server, "tcp")
        await server.aclose()
        with pytest.raises(FlowFailed):
            await client.request(message(), address)


async def test_garbage_is_counted_and_the_endpoint_goes_on() -> None:
    async with endpoint() as server, endpoint() as client, serving(server, ok):
        address = server.listening[0][1]
        flow = Flow("udp", client.listening[0][1], address)
        for garbage in (b"\x00\xff garbage", b"", b"INVITE\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"):
            client._sockets.udp[flow.local].send(flow, garbage)
        assert (await client.request(message(), at(server, "udp"))).status == 200
        assert server.counters["malformed"] >= 2
        assert server.counters["fault"] == 0


async def test_contact_names_the_listening_port_and_transport() -> None:
    async with endpoint() as server:
        (_, (_, udp)), (_, (_, tcp)) = server.listening
        user = "34020000002000000001"
        assert server.contact("udp://127.0.0.1:5060") == f"<sip:{user}@127.0.0.1:{udp}>"
        assert (
            server.contact("tcp://127.0.0.1:5060") == f"<sip:{user}@127.0.0.1:{tcp};transport=tcp>"
        )


async def test_waiting_for_the_end_can_be_given_up() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(caller.invite(message("INVITE"), at(callee, "udp")))
        accepting = group.create_task((await first_invite(callee)).accept())
        call = await calling
        await call.ack()
        await accepting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await call.ended
        assert not call.is_ended
        await call.bye()
        assert (await call.ended).by == "local"


async def test_calls_get_through_a_lossy_network_on_a_virtual_clock() -> None:
    net = SimulatedNetwork(seed=3)
    net.link(net.host("10.0.0.1"), net.host("10.0.0.5"), loss=0.3, duplication=0.2)
    with VirtualClock():
        platform = SipEndpoint(listen=("udp://:5060",), network=net.host("10.0.0.1"))
        device = SipEndpoint(listen=("udp://:5060",), network=net.host("10.0.0.5"))
        await platform.start()
        await device.start()
        async with asyncio.TaskGroup() as group:

            async def serve() -> None:
                async for incoming in device.requests():
                    if isinstance(incoming, IncomingInvite):
                        group.create_task(incoming.accept(body=b"answer"))
                    else:
                        incoming.respond(200)

            serving_device = group.create_task(serve())
            for _ in range(10):
                call = await platform.invite(message("INVITE"), "udp://10.0.0.5:5060", timeout=40)
                await call.ack()
                assert (await call.request("INFO")).status == 200
                await call.bye()
            await asyncio.sleep(100)
            serving_device.cancel()
        for side in (platform, device):
            assert not any(side.stack.pending().values())
            await side.aclose()
    assert net.leaks() == []


async def test_accepted_call_without_ack_is_a_timeout() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(caller.invite(message("INVITE"), at(callee, "udp")))
        accepting = group.create_task(failure((await first_invite(callee)).accept()))
        call = await calling
        assert isinstance(await accepting, TransactionTimeout)
        assert (await call.ended).by == "remote"


async def test_closing_frees_who_waits_for_an_ack() -> None:
    async with endpoint() as callee, endpoint() as caller, asyncio.TaskGroup() as group:
        calling = group.create_task(caller.invite(message("INVITE"), at(callee, "udp")))
        accepting = group.create_task(failure((await first_invite(callee)).accept()))
        await calling
        await callee.aclose()
        assert isinstance(await accepting, FlowFailed)


async def test_endpoint_without_listening_sends_from_a_port_of_its_own() -> None:
    client = SipEndpoint(timers=FAST, user="34020000001320000001")
    await client.start()
    async with endpoint() as server, serving(server, ok):
        response = await client.request(message(), at(server, "udp"), timeout=2)
        assert response.status == 200
        port = response.vias[0].rport
        contact = client.contact(at(server, "udp"))
        assert contact == f"<sip:34020000001320000001@127.0.0.1:{port}>"
        await client.aclose()


async def test_bye_for_a_dialog_that_nobody_knows_is_answered() -> None:
    async with endpoint() as server, endpoint() as client:
        host, port = server.listening[0][1]
        stray = message("BYE")
        stray.headers.set("To", f"{stray.headers.get('To')};tag=nobody")
        response = await client.request(stray, f"udp://{host}:{port}")
        assert response.status == 481


@pytest.mark.parametrize("method", ["INVITE", "ACK", "CANCEL"])
async def test_method_of_a_call_is_not_sent_outside_one(method: str) -> None:
    async with endpoint() as client:
        with pytest.raises(LocalProtocolError):
            await client.request(message(method), "udp://127.0.0.1:9")


async def test_death_of_a_udp_socket_ends_the_endpoint() -> None:
    async with endpoint() as client:
        client.broken("udp port 5060 on 127.0.0.1: no such device")
        assert [request async for request in client.requests()] == []
        for ask in (client.request, client.invite):
            with pytest.raises(FlowFailed):
                await ask(
                    message("INVITE" if ask == client.invite else "MESSAGE"), "udp://127.0.0.1:9"
                )


def test_random_tokens_do_not_repeat() -> None:
    token = RandomTokens()
    made = [token() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {len(one) for one in made} == {17}
    assert not any(is_foreign(one) for one in made)


@pytest.mark.parametrize("tag", ["", "early", "0123456789abcdef", "0123456789ABCDEFz", "9" * 17])
def test_tags_of_others_are_told_from_ours(tag: str) -> None:  # RFC 3261 12.2.2
    assert is_foreign(tag)
