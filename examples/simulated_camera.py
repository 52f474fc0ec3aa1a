"""Run a simulated camera: it registers, keeps alive, answers a catalogue and sends real video.

Run it: ``python examples/simulated_camera.py PASSWORD [udp://127.0.0.1:5060 [street.mp4]]``
Needs the extra ``media``.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from gb28181 import Device, DeviceChannel, Nameplate
from gb28181.manscdp import CatalogItem
from gb28181.media.source import MediaSource, PatternSource, file_clip
from rtp.access_unit import Codec

CAMERA_ID = "34020000001320000001"
SERVER_ID = "34020000002000000001"
SERVER = "udp://127.0.0.1:5060"


async def main(
    password: str,
    server: str = SERVER,
    file: str | None = None,
    *,
    say: Callable[[str], None] = print,
) -> None:
    show: MediaSource = PatternSource(video=Codec.H264, audio=Codec.PCMA)
    if file is not None:
        show = file_clip(Path(file))
    item = CatalogItem(device_id=CAMERA_ID, name="东门 East gate", parent_id=CAMERA_ID, status="ON")
    camera = Device(
        CAMERA_ID,
        server=server,
        server_id=SERVER_ID,
        password=password,
        channels=[DeviceChannel(item=item, source=lambda: show)],
        nameplate=Nameplate(name="East gate"),
        media_ports=range(40000, 40500),
    )
    async with camera:
        await camera.registered()
        say(f"{camera.id} is registered at {server}")
        if cause := await camera.wait_closed():
            raise cause


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
