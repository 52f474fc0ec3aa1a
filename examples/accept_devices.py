"""Accept devices: say who comes, who goes and why, and keep each alarm before it is confirmed.

Run it: ``python examples/accept_devices.py PASSWORD [udp://0.0.0.0:5060 ...]``
"""

import asyncio
import sys
from collections.abc import Callable, Sequence

from gb28181 import Alarm, CatalogChanged, DeviceOffline, DeviceOnline, EventsLost, Platform

PLATFORM_ID = "34020000002000000001"
LISTEN = ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")


async def main(
    password: str, listen: Sequence[str] = LISTEN, say: Callable[[str], None] = print
) -> None:
    async with Platform(
        PLATFORM_ID,
        password_for=lambda device_id: password,  # a password or an HA1; None refuses; may be async
        listen=listen,
    ) as platform:

        @platform.on_alarm
        async def keep(alarm: Alarm) -> None:
            # Awaited before the device is told that its alarm was taken: write it down here.
            say(f"alarm of {alarm.device.id}, priority {alarm.notify.priority}")

        async with platform.events(snapshot=True) as events:
            async for event in events:
                match event:
                    case DeviceOnline(device=device):
                        say(f"{device.id} is online")
                    case CatalogChanged(device=device):
                        for item in device.channels:
                            say(f"{device.id} has {item.device_id} {item.name} {item.status}")
                    case DeviceOffline(device=device, cause=cause):
                        say(f"{device.id} is offline: {cause.sentence}")
                    case EventsLost(count=count):
                        say(f"this reader was too slow for {count} events: read the state again")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:] or LISTEN))
