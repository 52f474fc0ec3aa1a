"""Half an hour downloaded from a device that is killed in the middle, on real sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import av
import pytest

from gb28181.equipment.recordings import PatternRecordings
from gb28181.events import CatalogChanged
from gb28181.media.packets import frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.platform import Platform
from gb28181.sessions.download import DownloadProgress

PLATFORM, CAMERA = "34020000002000000001", "34020000001320000001"
START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SPEED = 32


async def start_device(server: str, seconds: float) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("recorder_process.py")),
        *(server, PLATFORM, CAMERA, START.isoformat(), str(seconds)),
    )


def counters(path: Path) -> list[int | None]:
    with av.open(str(path)) as container:
        return [read_counter(frame_to_gray(frame)) for frame in container.decode(video=0)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["udp", "tcp-passive"])
async def test_half_an_hour_survives_a_killed_device(tmp_path: Path, mode: str) -> None:
    await survives(tmp_path, mode, 1800.0)


async def test_a_minute_survives_a_killed_device(tmp_path: Path) -> None:
    await survives(tmp_path, "tcp-passive", 60.0, speed=8)


async def survives(folder: Path, mode: str, seconds: float, *, speed: int = SPEED) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        server = f"udp://127.0.0.1:{probe.getsockname()[1]}"
    platform = Platform(
        PLATFORM, password_for=lambda _: "secret", listen=[server], media_mode=mode,
        media_ports=range(29000, 30000), silence=3.0,
    )  # fmt: skip
    half = asyncio.Event()

    def watch(now: DownloadProgress) -> None:
        if now.fraction > 0.25:
            half.set()

    async with platform, platform.events() as events:
        device = await start_device(server, seconds)
        try:
            async for event in events:
                if isinstance(event, CatalogChanged):
                    break
            work = asyncio.ensure_future(
                platform.channel(CAMERA).download(
                    START, START + timedelta(seconds=seconds),
                    to=folder / "a.mp4", speed=speed, progress=watch,
                )
            )  # fmt: skip
            await half.wait()
            device.send_signal(signal.SIGKILL)
            await device.wait()
            device = await start_device(server, seconds)
            done = await work
        finally:
            device.kill()
            await device.wait()
    assert done.complete
    assert done.parts >= 2
    disk = PatternRecordings([(START, START + timedelta(seconds=seconds))])
    fps = disk.style.fps
    assert done.frames == seconds * fps
    shown = await asyncio.to_thread(counters, done.paths[0])
    first = disk.counter_at(START)
    assert shown == [(first + number) % 65536 for number in range(done.frames)]
