"""How long a picture takes: from the INVITE to the first key frame, over many calls.

One process with a platform and a camera on real sockets of the loopback, one call after the other.
Prints figures; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
from statistics import median

from gb28181.device import Device
from gb28181.events import CatalogChanged
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.plane import MODES
from gb28181.media.source import ClipSource
from gb28181.media.stages import Stage
from gb28181.platform import Platform
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.synthetic import synthetic_clip

PLATFORM, CAMERA = "34020000002000000001", "34020000001320000001"
STAGES = (Stage.TRYING, Stage.ANSWERED, Stage.TRANSPORT, Stage.KEY)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def share(values: list[float], part: float) -> float:
    """The value that ``part`` of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


async def measure(calls: int, mode: str) -> dict[Stage, list[float]]:
    address = f"udp://127.0.0.1:{free_port()}"
    clip = synthetic_clip(fps=25, gop=25, key_size=40_000, size=4_000)
    item = CatalogItem(device_id=CAMERA, name="gate", parent_id=CAMERA, status="ON")
    platform = Platform(
        PLATFORM, password_for=lambda _: "bench", listen=[address], media_mode=mode, linger=0.0,
        media_ports=range(20000, 24000),
    )  # fmt: skip
    device = Device(
        CAMERA, server=address, server_id=PLATFORM, password="bench",
        channels=[DeviceChannel(item=item, source=lambda: ClipSource(clip))],
        listen=("udp://127.0.0.1:0",), media_ports=range(24000, 28000),
    )  # fmt: skip
    times: dict[Stage, list[float]] = {stage: [] for stage in STAGES}
    async with platform, platform.events() as events, device:
        async for event in events:
            if isinstance(event, CatalogChanged):
                break
        for _ in range(calls):
            async with platform.channel(CAMERA).play() as live:
                await live.session.key_frame()
                timeline = live.session.timeline
                asked = timeline.when(Stage.ASKED) or 0.0
                for stage in STAGES:
                    times[stage].append((timeline.when(stage) or 0.0) - asked)
            await live.session.ended
    return times


async def main(calls: int) -> None:
    logging.disable(logging.ERROR)  # a media port in use is told, and tried around
    print(f"{calls} calls each; milliseconds since the INVITE: p50 / p99")
    for mode in MODES:
        times = await measure(calls, mode)
        shown = "  ".join(
            f"{stage.value} {median(values) * 1000:.1f} / {share(values, 0.99) * 1000:.1f}"
            for stage, values in times.items()
        )
        print(f"{mode:12} {shown}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    asyncio.run(main(parser.parse_args().calls))
