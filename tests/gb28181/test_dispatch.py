"""Requests find their role; a role that fails costs one 500."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from gb28181.dispatch import Dispatcher, request_user_of, to_user_of, user_of
from gb28181.supervisor import Supervisor
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingRequest, SipEndpoint
from sip.errors import RemoteProtocolError
from sip.message import Headers, Request, Response


class Role:
    """Claims one method and does as it is told."""

    def __init__(self, method: str, error: Exception | None = None, *, late: bool = False) -> None:
        self.method = method
        self.error = error
        self.late = late

    def claims(self, incoming: IncomingRequest) -> bool:
        return incoming.method == self.method

    def handle(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        if self.error is not None and not self.late:
            raise self.error
        if self.late:
            return self._late(incoming)
        incoming.respond(200)
        return None

    async def _late(self, incoming: IncomingRequest) -> None:
        incoming.respond(202)
        if self.error is not None:
            raise self.error


class Bench:
    def __init__(self, gb: Simulation) -> None:
        self.server = SipEndpoint(listen=("udp://:5060",), network=gb.network.host("10.0.0.1"))
        self.client = SipEndpoint(listen=("udp://:5060",), network=gb.network.host("10.0.0.2"))
        self.supervisor = Supervisor("bench")
        self.dispatcher = Dispatcher(self.server, self.supervisor)

    async def ask(self, method: str, uri: str = "sip:asked@3402000000") -> Response:
        headers = Headers([("From", "<sip:asking@3402000000>"), ("To", "<sip:to@3402000000>")])
        return await self.client.request(Request(method, uri, headers), "udp://10.0.0.1:5060")


@pytest.fixture
async def bench(gb: Simulation) -> AsyncIterator[Bench]:
    bench = Bench(gb)
    await bench.server.start()
    await bench.client.start()
    await bench.supervisor.start()
    bench.supervisor.spawn(bench.dispatcher.run(), name="dispatcher")
    yield bench
    await bench.supervisor.stop()
    await bench.server.aclose()
    await bench.client.aclose()


async def test_nobody_claims_it(bench: Bench) -> None:
    assert (await bench.ask("OPTIONS")).status == 403


async def test_the_first_that_claims_it_serves_it(bench: Bench) -> None:
    last, first = Role("OPTIONS", ValueError("never asked")), Role("OPTIONS")
    bench.dispatcher.attach(last)
    bench.dispatcher.attach(first, first=True)
    assert (await bench.ask("OPTIONS")).status == 200
    bench.dispatcher.detach(first)
    bench.dispatcher.detach(first)  # twice is once
    assert (await bench.ask("OPTIONS")).status == 500


async def test_a_fault_costs_one_500_and_one_log_line(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.dispatcher.attach(Role("INFO", ValueError("broken")))
    bench.dispatcher.attach(Role("OPTIONS"))
    assert (await bench.ask("INFO")).status == 500
    assert (await bench.ask("OPTIONS")).status == 200
    assert bench.dispatcher.faults == 1
    assert [r.levelno for r in caplog.records] == [logging.ERROR]


async def test_a_fault_after_the_answer_is_counted(bench: Bench) -> None:
    bench.dispatcher.attach(Role("MESSAGE", ValueError("broken"), late=True))
    assert (await bench.ask("MESSAGE")).status == 202
    assert bench.dispatcher.faults == 1
    assert bench.supervisor.is_running


async def test_a_fault_of_the_peer_is_not_ours(bench: Bench) -> None:
    bench.dispatcher.attach(Role("MESSAGE", RemoteProtocolError("what?", status=415)))
    assert (await bench.ask("MESSAGE")).status == 415
    assert bench.dispatcher.faults == 0


async def test_who_asks_and_who_is_asked(bench: Bench) -> None:
    seen: list[tuple[str, str, str]] = []

    class Watch(Role):
        def handle(self, incoming: IncomingRequest) -> None:
            seen.append((user_of(incoming), request_user_of(incoming), to_user_of(incoming)))
            incoming.respond(200)

    bench.dispatcher.attach(Watch("MESSAGE"))
    await bench.ask("MESSAGE")
    await bench.ask("MESSAGE", "tel:123")
    assert seen == [("asking", "asked", "to"), ("asking", "", "to")]
