"""A recorder in a process of its own, with half an hour on its disk; for a test that kills it."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timedelta

from gb28181.device import Device
from gb28181.equipment.recordings import PatternRecordings
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.playback import PlaybackLimits
from gb28181.media.source import PatternSource
from gb28181.sessions.serving import DeviceChannel, ServingHabits


async def main(server: str, server_id: str, camera: str, start: str, seconds: str) -> None:
    """Serve until killed."""
    begin = datetime.fromisoformat(start)
    disk = PatternRecordings([(begin, begin + timedelta(seconds=float(seconds)))])
    item = CatalogItem(device_id=camera, name="gate", parent_id=camera, status="ON")
    device = Device(
        camera,
        server=server,
        server_id=server_id,
        password="secret",
        channels=[DeviceChannel(item=item, source=PatternSource, recordings=disk)],
        listen=("udp://127.0.0.1:0",),
        media_ports=range(28000, 29000),
        retry=0.5,
        retry_spread=0.0,
    )
    device.serving.habits = ServingHabits(limits=PlaybackLimits(fastest=64.0))
    async with device:
        await device.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:6]))
