"""Recordings of a platform over days: whatever happens, nothing of what can be had is missing."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181.archive.archive import Archive, has_pictures
from gb28181.archive.index import Index, without
from gb28181.archive.plan import Plan, Window
from gb28181.edition import Edition
from gb28181.events import CatalogChanged
from gb28181.manscdp.alarm import AlarmNotify
from gb28181.manscdp.codec import encode
from gb28181.media.moments import joined
from gb28181.media.reading import describe_file
from gb28181.testing.simulation import Simulation
from rtp.access_unit import Codec

if TYPE_CHECKING:
    from tests.gb28181.archive.conftest import World

BASE = datetime(2024, 5, 1, tzinfo=UTC).timestamp()
CAMERA = "34020000001320000001"
TICKS = 90_000
PLATFORM = "34020000002000000001"
DAYS = float(os.environ.get("GB28181_ARCHIVE_DAYS", "0.3"))
"""Virtual days; a day takes about half a minute."""


async def test_nothing_that_can_be_had_is_missing_after_days_of_trouble(
    gb: Simulation, worlds: type[World], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    chance = random.Random(20240501)
    world = worlds(gb, tmp_path, Plan(channels=("",), keep_days=400), fill_days=400.0)
    await world.start_platform()
    await world.start_camera()
    await gb.until(CatalogChanged)
    began = world.clock()
    kinds = [world.reboot, world.cut_the_link, world.refuse, world.restart_platform]
    faults = 0
    while world.clock() < began + DAYS * 86_400:
        await asyncio.sleep(chance.uniform(600, 4 * 3600))
        # Each kind at least once in four, and in any order after that.
        kind = kinds[faults] if faults < len(kinds) else chance.choice(kinds)
        await kind(chance.choice([5.0, 45.0, 200.0, 1500.0]))
        faults += 1
    await asyncio.sleep(3 * 3600)
    assert faults >= 4

    end = world.clock() - 300
    index = world.index()
    had = joined(world.disk.all(), began, end)
    covered = await asyncio.to_thread(index.covered, CAMERA, began, end)
    missing = without(had, covered)
    assert [span for span in missing if span[1] - span[0] >= 1.0] == []

    # The index is not believed: what it says lies in the files.
    pieces = await asyncio.to_thread(index.find, CAMERA, began, end)
    for piece in pieces:
        length = (await asyncio.to_thread(describe_file, tmp_path / piece.path))[2]
        assert length is not None
        if piece.end is not None:
            assert length == pytest.approx(piece.offset + piece.end - piece.start, abs=2.0)
    await world.archive.stop()  # type: ignore[union-attr]


async def test_only_the_time_of_the_plan_is_recorded_and_filled(
    gb: Simulation, worlds: type[World], tmp_path: Path
) -> None:
    # 2024-05-01 08:00 in Beijing: a Wednesday.
    plan = Plan(channels=(CAMERA,), windows=(Window.parse("wed 08:10-08:20"),))
    world = worlds(gb, tmp_path, plan)
    await world.start_platform()
    await world.start_camera()
    await asyncio.sleep(15 * 60)
    await world.cut_the_link(120)
    await asyncio.sleep(30 * 60)
    index = world.index()
    covered = await asyncio.to_thread(index.covered, CAMERA, BASE, BASE + 3600)
    ((start, end),) = covered
    assert start == pytest.approx(BASE + 600, abs=6)
    assert end == pytest.approx(BASE + 1200, abs=6)
    assert world.archive is not None
    assert world.archive.filled > 60
    assert world.archive.status() == []
    await world.archive.stop()


async def test_an_alarm_begins_a_recording_and_its_end_ends_it(
    gb: Simulation, worlds: type[World], tmp_path: Path
) -> None:
    plan = Plan(channels=(CAMERA,), alarms_only=True, on_alarm=60.0)
    world = worlds(gb, tmp_path, plan)
    await world.start_platform()
    await world.start_camera()
    assert world.platform is not None
    assert world.archive is not None
    await gb.until(CatalogChanged)
    await asyncio.sleep(100)
    assert world.archive.status() == []
    at = world.clock()
    assert world.camera is not None
    assert world.camera.link is not None
    alarm = AlarmNotify(
        sn="1", device_id=CAMERA, priority="1", method="2", time="2024-05-01T08:01:40"
    )
    await world.camera.link.send(encode(alarm, Edition.GB2016))
    await asyncio.sleep(5)
    assert [one.running for one in world.archive.status()] == [True]
    await asyncio.sleep(115)
    assert world.archive.status() == []
    index = world.index()
    pieces = await asyncio.to_thread(index.find, CAMERA, BASE, BASE + 3600)
    assert [one.kind for one in pieces] == ["alarm"]
    assert pieces[0].start == pytest.approx(at, abs=3)
    assert (pieces[0].end or 0) - pieces[0].start == pytest.approx(60, abs=8)
    await world.archive.stop()


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.mp4")}


async def test_what_is_too_old_or_too_much_is_deleted_with_its_files(
    gb: Simulation, worlds: type[World], tmp_path: Path
) -> None:
    plan = Plan(channels=(CAMERA,), keep_days=0.05)
    world = worlds(gb, tmp_path, plan, fill_days=0.02)
    world.settings = replace(world.settings, length=300.0)
    await world.start_platform()
    await world.start_camera()
    await asyncio.sleep(0.08 * 86_400)
    assert world.archive is not None
    index = world.index()
    now = world.clock()
    pieces = await asyncio.to_thread(index.find, CAMERA, BASE, now)
    assert now - pieces[0].start == pytest.approx(0.05 * 86_400, abs=1200)
    assert await asyncio.to_thread(files_in, tmp_path) == {piece.path for piece in pieces}
    assert world.archive.deleted > 5

    world.archive.settings = replace(world.settings, max_bytes=index.size() // 2)
    await asyncio.sleep(600)
    assert await asyncio.to_thread(index.size) <= world.archive.settings.max_bytes * 1.2  # type: ignore[operator]
    await world.archive.stop()


async def test_what_a_crash_left_unfinished_is_as_long_as_its_file(
    gb: Simulation, worlds: type[World], tmp_path: Path
) -> None:
    world = worlds(gb, tmp_path, Plan(channels=("",)))
    await world.start_platform()
    await world.start_camera()
    await asyncio.sleep(400)
    assert world.archive is not None
    index = world.index()
    (piece,) = await asyncio.to_thread(index.find, CAMERA, BASE, BASE + 400)
    assert piece.end is None
    # What a killed process leaves: the files as they are now, and an index that says "unfinished".
    copy = tmp_path / "copy"
    await asyncio.to_thread(shutil.copytree, tmp_path / CAMERA, copy / CAMERA)
    left = await asyncio.to_thread(Index, copy / "index.db")
    await asyncio.to_thread(left.begin, CAMERA, piece.start, piece.path)
    await asyncio.to_thread(left.begin, CAMERA, piece.start + 900, f"{CAMERA}/gone.mp4")
    await asyncio.to_thread(left.close)
    assert world.platform is not None
    after = Archive(world.platform, copy, [], clock=world.clock)
    async with after:
        (mended,) = await asyncio.to_thread(after.index.find, CAMERA, BASE, BASE + 2000)
        assert mended.end == pytest.approx(BASE + 400, abs=15)
    await world.archive.stop()


async def test_what_the_cameras_disk_lacks_too_is_not_asked_for_over_and_over(
    gb: Simulation, worlds: type[World], tmp_path: Path
) -> None:
    world = worlds(gb, tmp_path, Plan(channels=("",)))
    await world.start_platform()
    await world.start_camera()
    await asyncio.sleep(300)
    await world.reboot(200)
    await asyncio.sleep(600)
    assert world.camera is not None
    assert world.archive is not None
    missing = await asyncio.to_thread(world.archive.missing, CAMERA, BASE, world.clock() - 60)
    assert [round(b - a) for a, b in missing] == [pytest.approx(200, abs=4)]
    hopeless = await asyncio.to_thread(world.index().absent, CAMERA, world.clock(), (300.0,))
    assert [round(b - a) for a, b in hopeless] == [pytest.approx(200, abs=4)]
    await world.archive.stop()


async def test_a_full_disk_stops_the_recording_and_says_so_until_there_is_room(
    gb: Simulation, worlds: type[World], tmp_path: Path
) -> None:
    world = worlds(gb, tmp_path, Plan(channels=("",), fills=False))
    await world.start_platform()
    await world.start_camera()
    await asyncio.sleep(60)
    assert world.archive is not None
    # A file where the folder of the next day should be: it cannot be made.
    blocked = tmp_path / CAMERA
    await asyncio.to_thread(shutil.rmtree, blocked)
    await asyncio.to_thread(blocked.write_bytes, b"")
    await world.refuse(5)
    await asyncio.sleep(60)
    (status,) = world.archive.status()
    assert not status.running
    assert status.cause is not None
    assert status.cause.code == "disk"
    await asyncio.to_thread(blocked.unlink)
    await asyncio.sleep(30)
    (status,) = world.archive.status()
    assert status.running
    await world.archive.stop()


async def test_what_was_recorded_is_given_back_by_its_time(
    gb: Simulation, worlds: type[World], tmp_path: Path
) -> None:
    world = worlds(gb, tmp_path, Plan(channels=("",), fills=False))
    world.settings = replace(world.settings, length=60.0)
    await world.start_platform()
    await world.start_camera()
    await asyncio.sleep(300)
    assert world.archive is not None
    start = datetime.fromtimestamp(BASE + 100, UTC)
    end = datetime.fromtimestamp(BASE + 200, UTC)
    shelf = await asyncio.to_thread(world.archive.shelf, CAMERA, BASE + 100, BASE + 200)
    found = shelf.find(start, end)
    assert found[0].start <= start
    assert found[-1].end >= end
    assert shelf.find(start, end, kind="alarm") == []

    tape = shelf.source(start, end)
    assert tape.video is Codec.H264
    places = [group.start / TICKS async for group in tape.groups(0.0)]
    assert places[0] <= 0.5
    assert [round(b - a, 2) for a, b in pairwise(places)] == [1.0] * (len(places) - 1)
    assert len(places) == pytest.approx(100, abs=1)
    later = [group.start / TICKS async for group in tape.groups(70.0)]
    assert later[0] == pytest.approx(70, abs=1.01)
    backwards = [group.start / TICKS async for group in tape.groups(50.0, reverse=True)]
    assert backwards == sorted(backwards, reverse=True)
    assert len(backwards) == pytest.approx(50, abs=2)
    await world.archive.stop()


@pytest.mark.parametrize(
    ("channel_id", "expected"),
    [
        ("34020000001320000001", True),
        ("34020000001310000001", True),
        ("34020000001340000001", True),
        ("34020000001180000001", True),
        ("camera-1", True),
        ("340200", False),
        ("34020000002000000001", False),
        ("34020000002150000001", False),
        ("34020000002160000001", False),
        ("34020000001370000001", False),
    ],
)
def test_only_what_may_have_pictures_is_recorded_by_prefix(channel_id: str, expected: bool) -> None:
    assert has_pictures(channel_id) is expected
