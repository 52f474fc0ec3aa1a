"""The bounded readers of a platform's events."""

from __future__ import annotations

import asyncio

from gb28181.events import EventReader, EventsLost

KEPT = 10_000


async def test_a_reader_that_is_too_slow_is_told_how_many_it_lost() -> None:
    reader = EventReader(lambda _: None)
    for number in range(KEPT + 7):
        reader.put(EventsLost(count=number))  # any event will do
    assert await anext(reader) == EventsLost(count=7)
    assert await anext(reader) == EventsLost(count=7)  # the oldest that is left: number 7
    reader.close()
    assert len([event async for event in reader]) == KEPT - 1


async def test_closing_ends_the_iteration_and_leaves_once() -> None:
    left: list[EventReader] = []
    reader = EventReader(left.append)
    async with reader:
        waiting = asyncio.ensure_future(anext(reader, None))
        await asyncio.sleep(0)
        reader.close()
        assert await waiting is None
    assert left == [reader]


async def test_an_event_wakes_who_waits() -> None:
    reader = EventReader(lambda _: None)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    reader.put(EventsLost(count=1))
    assert await waiting == EventsLost(count=1)
