"""What an upper platform sees of our own recordings: searched, played back, downloaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181.archive.plan import Plan
from gb28181.cascade import Cascade, Upper
from gb28181.channel import Channel
from gb28181.errors import SessionLost
from gb28181.testing.simulation import PASSWORD, Simulation
from gb28181.upper.share import IdMap, Share

if TYPE_CHECKING:
    from tests.gb28181.archive.conftest import World

CAMERA = "34020000001320000001"
PUBLISHED = "37130000001320000077"
BASE = datetime(2024, 5, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BASE + timedelta(seconds=seconds)


class Above:
    """The world with a platform above that knows the camera by another id."""

    def __init__(self, gb: Simulation, world: World, link: Cascade, channel: Channel) -> None:
        self.gb = gb
        self.world = world
        self.link = link
        self.channel = channel


@pytest.fixture
async def above(gb: Simulation, worlds: type[World], tmp_path: Path) -> AsyncIterator[Above]:
    """Ten minutes are recorded, of which the camera's own disk lacks nothing."""
    world = worlds(gb, tmp_path, Plan(channels=("",), fills=False))
    upper = await gb.platform("37130000002000000001", address="10.0.9.1", media_mode="tcp-passive")
    await world.start_platform()
    await world.start_camera()
    assert world.platform is not None
    link = Cascade(
        world.platform,
        Upper(
            id=upper.id,
            server=f"udp://{gb.host_of(upper).address}:5060",
            password=PASSWORD,
        ),
        Share(ids=IdMap({CAMERA: PUBLISHED})),
        archive=world.archive,
    )
    await gb.keep(link, gb.host_of(world.platform))
    await gb.until(lambda: upper.channel(PUBLISHED).is_online, within=200)
    await asyncio.sleep(600)
    yield Above(gb, world, link, upper.channel(PUBLISHED))
    assert world.archive is not None
    await world.archive.stop()


async def test_both_our_own_and_the_cameras_recordings_are_found_once(above: Above) -> None:
    world = above.world
    await world.cut_the_link(200)
    await asyncio.sleep(200)
    found = await above.channel.records(at(0), at(1000))
    assert found.complete
    assert found.gaps == ()
    own = [one for one in found.items if (one.item.name or "").startswith("2024")]
    others = [one for one in found.items if one not in own]
    assert len(own) == 2  # before and after the cut
    assert len(others) >= 1  # what only the camera's disk has
    assert {one.item.device_id for one in found.items} == {PUBLISHED}


async def test_a_recording_of_ours_is_played_while_the_camera_is_gone(above: Above) -> None:
    await above.world.stop_camera()
    await asyncio.sleep(300)  # also above it is offline now
    found = await above.channel.records(at(100), at(200))
    assert len(found.items) == 1
    async with above.channel.play_back(at(100), at(200)) as tape:
        seen = 0
        async for unit in tape.units():
            assert unit.is_key
            seen += 1
            if seen == 30:
                break
        assert tape.position is not None
        assert abs((tape.position - at(130)).total_seconds()) < 3
        landed = await tape.seek(at(180))
        assert landed.seen is not None
        assert abs((landed.seen - at(180)).total_seconds()) <= 1.5
    await above.gb.advance(60)
    assert above.link.archived is not None
    assert not above.link.archived.has(None)


async def test_a_download_of_ours_is_whole(above: Above, tmp_path: Path) -> None:
    done = await above.channel.download(at(60), at(180), to=tmp_path / "up.mp4", speed=8)
    assert done.complete
    assert done.duration == pytest.approx(120, abs=2)
    assert above.world.camera is not None
    assert above.world.camera.sessions != []  # the live recording; no playback was asked of it
    assert len(above.world.camera.sessions) == 1


async def test_what_is_mostly_not_ours_comes_from_the_cameras_disk(above: Above) -> None:
    world = above.world
    await world.cut_the_link(300)
    await asyncio.sleep(100)
    async with above.channel.play_back(at(620), at(880)) as tape:
        async for _ in tape.units():
            break
        assert len(above.link.forwarding.tapes) == 1


async def test_what_nobody_has_is_refused(above: Above) -> None:
    await above.world.stop_camera()
    await asyncio.sleep(300)
    with pytest.raises(SessionLost) as told:
        async with above.channel.play_back(at(5000), at(5100)):
            pass
    assert told.value.cause.code.startswith("rejected-4")
