"""SIPp as a platform: proves that a foreign caller can play, pause and move our device's tape."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181 import Device, DeviceChannel
from gb28181.equipment.recordings import PatternRecordings
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.source import PatternSource, PatternStyle
from rtp.access_unit import Codec

if TYPE_CHECKING:
    from tests.interop.conftest import Sipp

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
CAMERA = "34020000001320000001"
SSRC = 1200000042
EIGHT = datetime(2026, 1, 1, 8, tzinfo=UTC)


def recorder(server: int, own: int, first_media_port: int, video: Codec) -> Device:
    disk = PatternRecordings(
        [(EIGHT, EIGHT + timedelta(hours=1))], style=PatternStyle(video=video, audio=None)
    )
    item = CatalogItem(device_id=CAMERA, name="East gate", status="ON", parent_id=CAMERA)
    return Device(
        CAMERA,
        server=f"udp://127.0.0.1:{server}",
        server_id=PLATFORM,
        channels=[DeviceChannel(item=item, source=PatternSource, recordings=disk)],
        listen=[f"udp://127.0.0.1:{own}"],
        media_ports=range(first_media_port, first_media_port + 8),
    )


def complaints(stream: Path) -> list[str]:
    """What FFmpeg says while it decodes; that time jumps is as it should be."""
    told = subprocess.run(
        ["ffmpeg", "-v", "warning", "-f", "mpeg", "-i", str(stream), "-f", "null", "-"],
        capture_output=True,
        timeout=20,
        check=True,
        text=True,
    )
    return [line for line in told.stderr.splitlines() if "timestamp" not in line.lower()]


@pytest.mark.parametrize("video", [Codec.H264, Codec.H265])
async def test_foreign_platform_plays_pauses_jumps_and_is_told_the_end(
    video: Codec,
    sipp: Sipp,
    ports: Callable[[int], int],
    wait_until: Callable[..., Awaitable[None]],
    av: None,
    tmp_path: Path,
) -> None:
    """SIPp checks answers, RTP-Info and the notice; FFmpeg plays what came without a complaint."""
    first, own = ports(8), ports(2)
    packets: list[tuple[float, bytes]] = []
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        media.setblocking(False)
        loop.add_reader(media, lambda: packets.append((loop.time(), media.recv(2048))))
        try:
            async with recorder(sipp.port, own, first, video) as device:
                keys = {
                    "camera": CAMERA,
                    "media": str(media.getsockname()[1]),
                    "start": str(int(EIGHT.timestamp())),
                    "end": str(int(EIGHT.timestamp()) + 62),
                    "jump": "60",
                }
                options = ("-m", "1", "-s", PLATFORM, f"127.0.0.1:{own}")
                await sipp.start("sipp_playback.xml", *options, keys=keys)
                await sipp.logged("call ended")
                await wait_until(lambda: not device.sessions, "the session ends")
        finally:
            loop.remove_reader(media)
    jumped = await sipp.logged(r"jumped seq=(\d+) rtptime=(\d+)")
    heads = [struct.unpack_from("!BBHII", packet) for _, packet in packets]
    assert {(head[1] & 0x7F, head[4]) for head in heads} == {(96, SSRC)}
    assert [head[2] for head in heads] == list(range(len(heads)))
    # The packet that RTP-Info names is the first after the pause, with the time it says.
    number = int(jumped[1])
    assert heads[number][3] == int(jumped[2])
    assert packets[number][0] - packets[number - 1][0] > 0.6
    assert packets[number][1][12:16] == b"\0\0\1\xba"
    stream = tmp_path / "tape.ps"
    stream.write_bytes(b"".join(packet[12:] for _, packet in packets))
    assert await asyncio.to_thread(complaints, stream) == []
    await sipp.finished()
