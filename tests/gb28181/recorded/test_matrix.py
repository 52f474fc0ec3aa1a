"""Every kind of session, over every transport, with every family of devices, ended by each side.

The short form takes each combination of two once or more; ``GB28181_SESSIONS=full`` takes all.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from gb28181.channel import Channel
from gb28181.equipment.loudspeaker import LoudspeakerSettings
from gb28181.equipment.recordings import PatternRecordings
from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.habits import profiles
from gb28181.media.voice import ToneSource
from gb28181.testing.simulation import SimulatedDevice, Simulation
from rtp.access_unit import AccessUnit

START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
END = START + timedelta(seconds=60)

MODES = ("udp", "tcp-passive", "tcp-active")
FAMILIES = (
    "hikvision-ipc", "hikvision-nvr", "dahua-ipc", "dahua-nvr", "uniview", "plain-2016",
    "plain-2022",
)  # fmt: skip
ENDS = ("platform", "device")
MIRROR = {"udp": "udp", "tcp-passive": "tcp-active", "tcp-active": "tcp-passive"}

Until = Callable[[], Awaitable[None]]


async def live(channel: Channel, camera: SimulatedDevice, end: Until, _: Path) -> None:
    async with channel.play() as stream:
        units = stream.units()
        await some(units)
        await end()
        await _until_over(units, camera)


async def playback(channel: Channel, camera: SimulatedDevice, end: Until, _: Path) -> None:
    async with channel.play_back(START, END) as tape:
        units = tape.units()
        await some(units)
        assert tape.position is not None
        assert START <= tape.position < END
        await end()
        await _until_over(units, camera)


async def some(units: AsyncIterator[AccessUnit]) -> None:
    """Read a few units: media flows."""
    seen = 0
    async for _unit in units:
        seen += 1
        if seen == 20:
            return
    raise AssertionError(f"the stream ended after {seen} units")


async def _until_over(units: AsyncIterator[AccessUnit], camera: SimulatedDevice) -> None:
    """When the device has ended it, the reader is told why."""
    if camera.role.sessions:
        return
    with pytest.raises(SessionLost) as told:
        async for _unit in units:
            pass
    assert told.value.cause.code == "bye"


async def download(channel: Channel, camera: SimulatedDevice, end: Until, folder: Path) -> None:
    work = asyncio.ensure_future(
        channel.download(START, END, to=folder / "a.mp4", speed=2, patience=120.0)
    )
    await asyncio.sleep(5)
    await end()
    if camera.role.sessions:
        work.cancel()
        await asyncio.wait({work})
        return
    done = await work  # a device that hangs up is asked again, and the file is whole
    assert done.complete
    assert done.duration == pytest.approx(60, abs=1.5)


async def broadcast(channel: Channel, camera: SimulatedDevice, end: Until, _: Path) -> None:
    async with channel.broadcast(ToneSource()) as cast:
        await asyncio.sleep(1)
        await end()
        (speaker,) = cast.speakers.values()
        assert camera.role.loudspeaker is not None
        assert len(camera.role.loudspeaker.heard) >= 5
        if not camera.role.loudspeaker.hearings:
            assert speaker.ended.result().code == "bye"


async def talk(channel: Channel, camera: SimulatedDevice, end: Until, _: Path) -> None:
    async with channel.talk(ToneSource()) as both:
        units = both.live.units()
        await some(units)
        await end()
        assert camera.role.loudspeaker is not None
        assert len(camera.role.loudspeaker.heard) >= 5


KINDS = {"live": live, "playback": playback, "download": download, "broadcast": broadcast,
         "talk": talk}  # fmt: skip


def combinations() -> list[tuple[str, str, str, str]]:
    every = list(product(KINDS, MODES, FAMILIES, ENDS))
    if os.environ.get("GB28181_SESSIONS") == "full":
        return every
    # Every pair of kind and family and every pair of kind and mode, both ends in turn.
    return [
        (kind, MODES[(a + b) % 3], family, ENDS[(a + b) % 2])
        for a, kind in enumerate(KINDS)
        for b, family in enumerate(FAMILIES)
    ]


@pytest.mark.parametrize(("kind", "mode", "family", "ended_by"), combinations())
async def test_a_session_stands_and_ends_without_a_trace(
    gb: Simulation, tmp_path: Path, kind: str, mode: str, family: str, ended_by: str
) -> None:
    platform = await gb.platform(media_mode=mode)
    camera = await gb.device(
        family,
        recordings=PatternRecordings([(START, END)]),
        loudspeaker=LoudspeakerSettings(mode=MIRROR[mode]),
    )
    await gb.until(CatalogChanged)
    channel = platform.channel(camera.channels[0])

    async def end() -> None:
        if ended_by == "platform":
            return  # by leaving the block
        await camera.role.serving.end("switched off", timeout=2.0)
        assert camera.role.loudspeaker is not None
        await camera.role.loudspeaker.end("switched off", timeout=2.0)
        await asyncio.sleep(0.5)

    # Some recorders refuse the first INVITEs: they believe in a dialog that is long gone (Q29).
    for _ in profiles()[family].habits.invite_refusals:
        with pytest.raises(SessionLost, match="refused the INVITE"):
            await channel.play().open()
    await KINDS[kind](channel, camera, end, tmp_path)
    await gb.advance(60)
    assert camera.role.sessions == []
    assert gb.leaks() == []
