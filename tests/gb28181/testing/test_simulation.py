"""Real roles on a simulated network."""

from __future__ import annotations

import asyncio
import time

import pytest

from gb28181.events import CatalogChanged, DeviceOffline, DeviceOnline
from gb28181.platform import Platform
from gb28181.testing.simulation import Simulation


class Tickets:
    """What a user's program may be: it opens a ticket for each device that is lost."""

    def __init__(self) -> None:
        self.tickets: list[str] = []

    async def watch(self, platform: Platform) -> None:
        async with platform.events() as events:
            async for event in events:
                if isinstance(event, DeviceOffline):
                    self.tickets.append(event.device.id)


async def test_silent_recorder_opens_a_ticket(gb: Simulation) -> None:
    app, began = Tickets(), time.monotonic()
    platform = await gb.platform()
    nvr = await gb.device("dahua-nvr", channels=4, seed=7)
    await gb.start(app.watch(platform))
    await gb.until(DeviceOnline)
    nvr.vanish()
    await gb.advance(minutes=4)
    assert app.tickets == [nvr.id]
    assert gb.leaks() == []
    assert time.monotonic() - began < 2.0


async def test_play_a_simulated_camera(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    seen = []
    async with platform.channel(camera.channels[0]).play() as live:
        async for unit in live.units():
            seen.append(unit)
            if len(seen) == 30:
                break
        assert gb.leaks() != []
    assert [unit.is_key for unit in seen].count(True) == 3
    await gb.advance(40)
    assert gb.leaks() == []


async def test_an_error_of_the_code_under_test_is_raised_by_what_comes_next(
    gb: Simulation,
) -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError("a bug of mine")

    await gb.start(fail())
    with pytest.raises(ValueError, match="a bug of mine"):
        await gb.advance(2)
    await gb.advance(2)  # told once


async def test_waiting_in_vain_says_what_was_told(gb: Simulation) -> None:
    await gb.platform()
    await gb.device()
    with pytest.raises(TimeoutError, match=r"no DeviceOffline within 5 s.*DeviceOnline"):
        await gb.until(DeviceOffline, within=5)
    with pytest.raises(TimeoutError):
        await gb.until(lambda: False, within=1)


async def test_every_event_is_found_once(gb: Simulation) -> None:
    await gb.platform()
    first = await gb.device()
    await gb.advance(1)
    second = await gb.device()
    one, two = await gb.until(DeviceOnline), await gb.until(DeviceOnline)
    assert one is not None
    assert two is not None
    assert [one.device.id, two.device.id] == [first.id, second.id]


async def test_what_is_missing_is_a_value_error(gb: Simulation) -> None:
    with pytest.raises(ValueError, match="start a platform first"):
        await gb.device()
    await gb.platform()
    with pytest.raises(ValueError, match="plain, plain-2011"):
        await gb.device("toaster")


async def test_a_forgotten_session_and_a_forgotten_socket_are_leaks(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    found = "\n".join(gb.leaks())
    for word in ("1 streams", "1 ssrcs", "1 receivers", "1 sinks", "1 sessions", "call ", "task "):
        assert word in found
    live.close()
    await gb.advance(40)
    assert gb.leaks() == []
    forgotten = gb.network.host("10.5.5.5").open_udp(("0.0.0.0", 7000), lambda batch, source: None)
    assert len(gb.leaks()) == 1
    forgotten.close()


async def test_a_cascade_of_three_platforms(gb: Simulation) -> None:
    top, middle, bottom = await gb.platform(), await gb.platform(), await gb.platform()
    camera = await gb.device(platform=bottom)
    await gb.until(lambda: bottom.channels())
    await gb.cascade(bottom, middle)
    await gb.until(lambda: middle.channel_item(camera.channels[0]))
    await gb.cascade(middle, top)
    await gb.until(lambda: top.channel_item(camera.channels[0]))
    async with top.channel(camera.channels[0]).play() as live:
        await gb.advance(3)
        assert live.statistics.packets > 30
    await gb.advance(60)
    assert gb.leaks() == []


async def test_leaving_stops_every_role() -> None:
    async with Simulation(seed=3) as world:
        platform = await world.platform()
        camera = await world.device()
        await world.until(CatalogChanged)
        await platform.channel(camera.channels[0]).play().open()
    assert world.network.leaks() == []
    assert not platform.station.supervisor.is_running
