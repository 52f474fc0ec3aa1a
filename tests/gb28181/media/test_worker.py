"""What a worker does when it is told to, here in the process of the test."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gb28181.media.messages import Fields, Pipe
from gb28181.media.worker import PipeHandler, Worker
from gb28181.supervisor import Supervisor

HOST = "127.0.0.1"


class First:
    """The first process, as a worker sees it."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe

    async def hears(self, do: str, **facts: object) -> Fields:
        """The next message of this kind and these facts."""
        async with asyncio.timeout(5):
            while (message := await self.pipe.receive()) is not None:
                said = message[0]
                if said["do"] == do and facts.items() <= said.items():
                    return said
        raise AssertionError("the worker hung up")

    async def asks(self, do: str, **facts: object) -> Fields:
        self.pipe.send(do, ask=7, **facts)
        return await self.hears("answer", ask=7)


@pytest.fixture
async def first() -> AsyncIterator[First]:
    near, far = socket.socketpair()
    pipe = Pipe(*await asyncio.open_unix_connection(sock=near))
    other = Pipe(*await asyncio.open_unix_connection(sock=far))
    tasks = Supervisor("worker")
    await tasks.start()
    running = asyncio.ensure_future(Worker(other, tasks).run())
    one = First(pipe)
    settings: dict[str, Any] = {
        "ports": [18_000, 18_040], "tick": 0.0, "level": logging.WARNING, "quarantine": 0.0,
        "silence": 5.0, "keep_group": True,
    }  # fmt: skip
    level = logging.getLogger().level
    await one.asks("setup", **settings)
    yield one
    logging.getLogger().setLevel(level)
    pipe.close()
    async with asyncio.timeout(5):
        await running
    await tasks.stop()
    other.close()
    await pipe.wait_closed()
    await other.wait_closed()


async def test_what_is_opened_is_closed_and_the_end_is_told_once(first: First) -> None:
    opened = await first.asks("receiver", id=1, mode="udp", host=HOST)
    assert opened["local"][1] in range(18_000, 18_040)
    assert opened["seen"]["packets"] == 0
    first.pipe.send("close", id=1)
    assert (await first.hears("ended", id=1))["error"] is None
    again = await first.asks("receiver", id=2, mode="udp", host=HOST)
    assert again["id"] == 2


async def test_a_request_that_fails_is_answered_with_its_error(first: First) -> None:
    refused = await first.asks("receiver", id=1, mode="quic", host=HOST)
    assert refused["error"][0] == "ValueError"
    unknown = await first.asks("first_packet", id=99, timeout=1)
    assert unknown["error"][:2] == ["MediaTimeout", "the receiver was closed"]


async def test_an_order_that_fails_ends_its_stream_and_no_other(first: First) -> None:
    await first.asks("receiver", id=1, mode="udp", host=HOST)
    await first.asks("receiver", id=2, mode="udp", host=HOST)
    first.pipe.send("expect", id=1, nonsense=True)
    await first.hears("ended", id=1)
    first.pipe.send("watch", id=2, on=True)
    assert (await first.hears("statistics", id=2))["seen"]["packets"] == 0


async def test_orders_to_what_has_ended_are_dropped(first: First) -> None:
    first.pipe.send("units", id=5, on=True, turn=1)
    first.pipe.send("start", id=5, remote=None)
    first.pipe.send("close", id=5)
    assert await first.hears("ended", id=5) == {"do": "ended", "id": 5, "error": None}


async def test_a_relay_of_what_has_ended_says_so(first: First) -> None:
    await first.asks("receiver", id=1, mode="udp", host=HOST)
    first.pipe.send("relay", id=3, receiver=1, sink=2, ssrc=1)
    assert "ended already" in (await first.hears("ended", id=3))["error"][1]


async def test_a_relay_ends_with_its_sink_and_the_receiver_goes_on(first: First) -> None:
    await first.asks("receiver", id=1, mode="udp", host=HOST)
    await first.asks("sink", id=2, mode="udp", host=HOST, remote=[HOST, 9])
    first.pipe.send("relay", id=3, receiver=1, sink=2, ssrc=1)
    first.pipe.send("start", id=2, remote=None)
    assert (await first.hears("ready", id=2))["remote"] == [HOST, 9]
    first.pipe.send("close", id=2)
    await first.hears("ended", id=3)
    first.pipe.send("watch", id=1, on=True)
    await first.hears("statistics", id=1)


async def test_a_log_line_crosses_with_its_name_and_level() -> None:
    near, far = socket.socketpair()
    pipe = Pipe(*await asyncio.open_unix_connection(sock=near))
    handler = PipeHandler(Pipe(*await asyncio.open_unix_connection(sock=far)))
    handler.emit(logging.LogRecord("gb28181.media", logging.ERROR, "", 0, "x %d", (3,), None))
    received = await pipe.receive()
    assert received is not None
    assert received[0] == {"do": "log", "name": "gb28181.media", "level": 40, "text": "x 3"}
    handler._pipe.close()
    pipe.close()
    await pipe.wait_closed()
