"""Test your own code against a real platform and a recorder that dies, without a socket.

Run it: ``pytest examples/test_with_simulated_network.py``
The fixture ``gb`` comes with the package; coroutine tests need pytest-asyncio in its auto mode.
"""

from gb28181 import CatalogChanged, DeviceOffline, DeviceOnline, Platform
from gb28181.testing import Simulation


class Tickets:
    """The code under test: a recorder that goes away opens a ticket, its return closes it."""

    def __init__(self) -> None:
        self.open: list[str] = []

    async def watch(self, platform: Platform) -> None:
        """Run as long as the platform does."""
        async with platform.events(snapshot=True) as events:
            async for event in events:
                if isinstance(event, DeviceOffline):
                    self.open.append(event.device.id)
                elif isinstance(event, DeviceOnline) and event.device.id in self.open:
                    self.open.remove(event.device.id)


async def test_silent_recorder_opens_a_ticket_until_it_is_back(gb: Simulation) -> None:
    tickets = Tickets()
    platform = await gb.platform()  # the real Platform, on a host of its own
    recorder = await gb.device("dahua-nvr", channels=4, seed=7)  # the real Device
    await gb.start(tickets.watch(platform))
    await gb.until(CatalogChanged)
    assert len(platform.channels()) == 4

    recorder.vanish()  # as without power: no BYE, no unregistration
    await gb.advance(minutes=4)  # heartbeats are missed; milliseconds of wall time
    assert tickets.open == [recorder.id]

    await recorder.restart()
    await gb.until(DeviceOnline)
    await gb.advance(seconds=1)
    assert tickets.open == []
    assert gb.leaks() == []  # no dialog, port, SSRC or task was left behind
