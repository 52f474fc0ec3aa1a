import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sip.endpoint import IncomingInvite, IncomingRequest, IncomingSubscribe, SipEndpoint
from sip.errors import FlowFailed
from sip.flow import Flow
from sip.message import Headers, Request
from sip.overload import OverloadLimits
from sip.sockets import Sockets
from sip.transport import parse_address


def message(method: str = "MESSAGE", *, size: int = 0) -> Request:
    headers = [("Event", "presence")] if method == "SUBSCRIBE" else []
    return Request(method, "sip:34020000002000000001@3402000000", Headers(headers), b"x" * size)


@asynccontextmanager
async def server(*listen: str) -> AsyncIterator[tuple[SipEndpoint, list[IncomingRequest]]]:
    opened = SipEndpoint(listen=listen)
    await opened.start()
    heard: list[IncomingRequest] = []

    async def serve(group: asyncio.TaskGroup) -> None:
        async for incoming in opened.requests():
            heard.append(incoming)
            if isinstance(incoming, IncomingInvite):
                group.create_task(incoming.accept())
            elif isinstance(incoming, IncomingSubscribe):
                incoming.accept()
            else:
                incoming.respond(200)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(group))
        try:
            yield opened, heard
        finally:
            await opened.aclose()
            task.cancel()


async def both_transports() -> str:
    """An address that is free for UDP and TCP."""
    probe = SipEndpoint(listen=("udp://127.0.0.1:0",))
    await probe.start()
    ((_, (_, port)),) = probe.listening
    await probe.aclose()
    return f"127.0.0.1:{port}"


async def test_large_request_goes_over_tcp_where_the_peer_takes_it() -> None:  # RFC 3261 18.1.1
    address = await both_transports()
    async with server(f"udp://{address}", f"tcp://{address}") as (_, heard):
        client = SipEndpoint(prefers_tcp=lambda flow: True)
        for size in (10, 1500):
            response = await client.request(message(size=size), f"udp://{address}", timeout=3)
            assert response.status == 200
        assert [incoming.flow.transport for incoming in heard] == ["udp", "tcp"]
        assert heard[1].request.vias[0].transport == "TCP"
        await client.aclose()


async def test_large_request_in_a_call_and_in_a_subscription_goes_over_tcp() -> None:
    address = await both_transports()
    async with server(f"udp://{address}", f"tcp://{address}") as (_, heard):
        client = SipEndpoint(prefers_tcp=lambda flow: True)
        call = await client.invite(message("INVITE"), f"udp://{address}")
        await call.ack()
        assert (await call.request("MESSAGE", body=b"x" * 1500, timeout=3)).status == 200
        assert (await call.request("MESSAGE", body=b"x", timeout=3)).status == 200
        await call.bye()
        subscription = await client.subscribe(message("SUBSCRIBE", size=1500), f"udp://{address}")
        assert subscription.flow.transport == "tcp"
        assert "transport=tcp" in (subscription.request.headers.get("Contact") or "")
        transports = [(incoming.method, incoming.flow.transport) for incoming in heard]
        assert transports == [
            ("INVITE", "udp"),
            ("MESSAGE", "tcp"),
            ("MESSAGE", "udp"),
            ("SUBSCRIBE", "tcp"),
        ]
        await client.aclose()


@pytest.mark.parametrize("prefers", [True, False])
async def test_large_request_goes_over_udp_otherwise(prefers: bool) -> None:
    address = await both_transports()
    async with server(f"udp://{address}") as (_, heard):
        client = SipEndpoint(prefers_tcp=lambda flow: prefers)
        for _ in range(2):
            response = await client.request(message(size=5000), f"udp://{address}", timeout=3)
            assert response.status == 200
        assert [incoming.flow.transport for incoming in heard] == ["udp", "udp"]
        assert len(heard[0].request.body) == 5000
        assert client.counters["tcp_fallback"] == int(prefers)  # asked once, not each time
        await client.aclose()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_ipv6_is_served_and_reached(transport: str) -> None:  # RFC 5118
    async with server(f"{transport}://[::1]:0") as (opened, heard):
        ((_, (host, port)),) = opened.listening
        assert host == "::1"
        client = SipEndpoint(listen=("udp://127.0.0.1:0",), user="34020000001320000001")
        await client.start()
        target = f"{transport}://[::1]:{port}"
        response = await client.request(message(), target, timeout=3)
        assert response.status == 200
        via = heard[0].request.vias[0]
        assert (via.host, via.received) == ("::1", "::1")
        assert heard[0].flow.remote[0] == "::1"
        assert "@[::1]" in client.contact(target)
        call = await client.invite(message("INVITE"), target)
        await call.ack()
        assert "[::1]" in call.dialog.remote_target
        await call.bye()
        await client.aclose()


async def test_ipv4_and_ipv6_wildcards_share_a_port() -> None:
    address = await both_transports()
    port = address.rpartition(":")[2]
    listen = [f"{t}://{host}:{port}" for t in ("udp", "tcp") for host in ("0.0.0.0", "[::]")]
    async with server(*listen) as (_, heard):
        client = SipEndpoint()
        for host in ("127.0.0.1", "[::1]"):
            for transport in ("udp", "tcp"):
                response = await client.request(
                    message(), f"{transport}://{host}:{port}", timeout=3
                )
                assert response.status == 200
        hosts = [incoming.flow.remote[0] for incoming in heard]
        assert hosts == ["127.0.0.1", "127.0.0.1", "::1", "::1"]
        await client.aclose()


async def test_ipv6_port_in_use_is_named() -> None:
    async with server("udp://[::1]:0") as (opened, _):
        ((_, (_, port)),) = opened.listening
        with pytest.raises(OSError, match=rf"udp port {port} on ::1"):
            await SipEndpoint(listen=(f"udp://[::1]:{port}",)).start()


def sockets(*listening: str) -> Sockets:
    made = Sockets(SipEndpoint(), listen=(), network=None, local_host=None, limits=OverloadLimits())
    made.listening += [parse_address(text) for text in listening]
    return made


@pytest.mark.parametrize(
    ("local", "remote", "seen"),
    [
        (("127.0.0.1", 5070), ("127.0.0.1", 9), ("127.0.0.1", 5070)),
        (("::1", 5080), ("::1", 9), ("::1", 5080)),
        (("127.0.0.1", 40000), ("127.0.0.1", 9), ("127.0.0.1", 5060)),
        (("::1", 40000), ("::1", 9), ("::1", 5061)),
        (("", 0), ("::1", 9), ("::1", 5061)),
        (("", 0), ("127.0.0.1", 9), ("127.0.0.1", 5060)),
    ],
)
async def test_peer_sees_the_listening_port_of_its_own_family(
    local: tuple[str, int], remote: tuple[str, int], seen: tuple[str, int]
) -> None:
    made = sockets(
        "tcp://0.0.0.0:5060", "tcp://[::]:5061", "tcp://127.0.0.1:5070", "tcp://[::1]:5080"
    )
    flow = Flow("tcp", local, remote)
    assert made.sent_by(flow) == seen


async def test_closed_sockets_reach_nothing() -> None:
    made = sockets()
    await made.aclose()
    with pytest.raises(FlowFailed):
        await made.reach("udp://127.0.0.1:5060")


async def test_contact_over_tcp_without_a_listening_port_names_the_connection() -> None:
    async with server("tcp://127.0.0.1:0") as (opened, _):
        ((_, (host, port)),) = opened.listening
        target = f"tcp://{host}:{port}"
        client = SipEndpoint(user="34020000001320000001")
        flow = await client.reach(target)
        there = f"<sip:34020000001320000001@127.0.0.1:{flow.local[1]};transport=tcp>"
        assert client.contact(target) == client.contact(flow) == there
        await client.aclose()
        with pytest.raises(FlowFailed):
            await client.reach(target)
