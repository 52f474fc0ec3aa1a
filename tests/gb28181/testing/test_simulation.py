"""Real roles on a simulated network."""

from __future__ import annotations

import time

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
