"""Downloads: complete to the picture, whatever happens on the way, and honest about the rest."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from gb28181.errors import SessionLost
from gb28181.media.packets import frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.sessions.download import Downloaded, DownloadProgress
from gb28181.sessions.serving import ServingHabits
from gb28181.testing.simulation import Simulation

if TYPE_CHECKING:
    from tests.gb28181.recorded.conftest import Recorder, Recorders


def moments(path: Path, world: Recorder) -> list[datetime]:
    """What the clock in each picture of a file shows."""
    found: list[datetime] = []
    near = world.at(0)
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            counter = read_counter(frame_to_gray(frame))
            assert counter is not None
            near = world.disk.moment_of(counter, near=near)
            found.append(near)
    return found


def every_picture(world: Recorder, first: float, last: float) -> list[datetime]:
    """The moments that a complete file shows."""
    fps = world.disk.style.fps
    return [world.at(first + number / fps) for number in range(round((last - first) * fps))]


async def ends_clean(gb: Simulation, world: Recorder) -> None:
    await gb.until(lambda: not world.device.role.sessions, within=60)
    await gb.advance(40)
    assert world.platform.sessions.recorded == set()
    assert gb.leaks() == []


@pytest.mark.parametrize(
    ("mode", "speed"), [("udp", 1), ("udp", 8), ("tcp-passive", 4), ("tcp-active", 4)]
)
async def test_a_download_is_complete_to_the_picture(
    gb: Simulation, recorder: Recorders, tmp_path: Path, mode: str, speed: int
) -> None:
    world = await recorder(mode=mode)
    seen: list[DownloadProgress] = []
    began = asyncio.get_running_loop().time()
    done = await world.channel.download(
        world.at(10), world.at(40), to=tmp_path / "a.mp4", speed=speed, progress=seen.append
    )
    lasted = asyncio.get_running_loop().time() - began
    assert (done.complete, done.missing, done.parts) == (True, (), 1)
    assert lasted == pytest.approx(30 / speed, abs=2)
    assert done.frames == 150
    assert done.duration == pytest.approx(30, abs=0.3)
    assert moments(done.paths[0], world) == every_picture(world, 10, 40)
    assert [one.fraction for one in seen] == sorted(one.fraction for one in seen)
    assert seen[-1].fraction == 1.0
    assert seen[-1].frames == 150
    assert seen[len(seen) // 2].speed == pytest.approx(speed, rel=0.15)
    assert seen[-1].size == 30 * 13_000
    assert done.cause.evidence["told"] == "MediaStatus 121"
    await ends_clean(gb, world)


@pytest.mark.parametrize(
    ("mode", "after"), [("udp", 0.05), ("udp", 9.9), ("tcp-passive", 1.23), ("tcp-passive", 9.9)]
)
async def test_a_broken_link_is_gone_on_from_where_it_broke(
    gb: Simulation, recorder: Recorders, tmp_path: Path, mode: str, after: float
) -> None:
    world = await recorder(mode=mode, silence=10.0)
    work = asyncio.ensure_future(
        world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4")
    )
    await gb.advance(after)
    world.device.vanish()
    await gb.advance(90)
    world.device.reappear()
    done = await work
    assert done.complete
    assert done.parts == 2
    assert moments(done.paths[0], world) == every_picture(world, 0, 60)
    assert len(done.paths) == 1
    await ends_clean(gb, world)


async def test_a_device_that_reboots_is_waited_for(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder(mode="tcp-passive", silence=10.0)
    work = asyncio.ensure_future(
        world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4")
    )
    for _ in range(2):
        await gb.advance(5)
        await world.device.restart()
        await gb.advance(60)
    done = await work
    assert done.complete
    assert done.parts >= 2
    assert moments(done.paths[0], world) == every_picture(world, 0, 60)


async def test_packets_lost_on_the_way_are_said_to_be_missing(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder(mode="udp")
    count = 0

    def loses_some(packet: object) -> bool:
        nonlocal count
        if getattr(packet, "destination", ("", 0))[1] in range(30000, 30500):
            count += 1
            return not 100 <= count < 130
        return True

    gb.network.filter(loses_some)
    done = await world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4")
    assert len(done.missing) == 1
    first, last = done.missing[0]
    assert timedelta(seconds=1) < last - first < timedelta(seconds=10)
    shown = set(moments(done.paths[0], world))
    lost = [one for one in every_picture(world, 0, 60) if one not in shown]
    assert first - timedelta(seconds=1) <= lost[0]
    assert lost[-1] <= last
    await ends_clean(gb, world)


async def test_a_gap_on_the_disk_is_not_missing(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder((0, 10), (60, 70))
    done = await world.channel.download(world.at(0), world.at(70), to=tmp_path / "a.mp4")
    assert done.frames == 100
    assert moments(done.paths[0], world) == (
        every_picture(world, 0, 10) + every_picture(world, 60, 70)
    )
    assert done.complete
    await ends_clean(gb, world)


async def test_a_disk_that_ends_early_is_said(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder((0, 20), lists=False)
    done = await world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4")
    assert done.frames == 100
    assert done.missing == ((world.at(20), world.at(60)),)
    assert not done.complete
    await ends_clean(gb, world)


async def test_a_disk_whose_list_says_that_it_ends_early_is_complete(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder((0, 20))
    done = await world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4")
    assert (done.frames, done.complete, done.parts) == (100, True, 1)
    await ends_clean(gb, world)


async def test_a_device_that_does_not_tell_the_end(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder(habits=ServingHabits(tells_end=False))
    done = await world.channel.download(world.at(0), world.at(20), to=tmp_path / "a.mp4")
    assert (done.frames, done.complete) == (100, True)
    assert done.cause.evidence["told"] == "silence at the end"
    await ends_clean(gb, world)


async def test_a_device_that_sends_past_the_end(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder(habits=ServingHabits(overrun=60.0))
    done = await world.channel.download(world.at(0), world.at(20), to=tmp_path / "a.mp4")
    assert moments(done.paths[0], world) == every_picture(world, 0, 20)
    assert done.cause.evidence["told"] == "the end time"
    await ends_clean(gb, world)


async def test_a_bye_in_the_middle_is_gone_on_from(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder(mode="tcp-passive")
    work = asyncio.ensure_future(
        world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4")
    )
    await gb.advance(5)
    world.device.role.sessions[0].call.hang_up()
    done = await work
    assert (done.complete, done.parts) == (True, 2)
    assert moments(done.paths[0], world) == every_picture(world, 0, 60)
    await ends_clean(gb, world)


async def test_patience_ends(gb: Simulation, recorder: Recorders, tmp_path: Path) -> None:
    world = await recorder(mode="udp", silence=10.0)
    work = asyncio.ensure_future(
        world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4", patience=120.0)
    )
    await gb.advance(5)
    world.device.vanish()
    began = asyncio.get_running_loop().time()
    done = await work
    assert 100 < asyncio.get_running_loop().time() - began < 300
    assert not done.complete
    assert done.missing[-1][1] == world.at(60)
    assert 0 < done.frames < 300
    assert done.cause.code in ("offline", "no-answer")


async def test_nothing_at_all_is_an_error(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder()
    with pytest.raises(SessionLost) as told:
        await world.channel.download(world.at(900), world.at(960), to=tmp_path / "a.mp4")
    assert told.value.cause.code == "rejected-404"
    await ends_clean(gb, world)


async def test_several_at_once_wait_for_their_turn(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder(mode="tcp-passive")
    most = 0

    async def one(number: int) -> Downloaded:
        return await world.channel.download(
            world.at(20 * number), world.at(20 * number + 20), to=tmp_path / f"{number}.mp4"
        )

    work = [asyncio.ensure_future(one(number)) for number in range(5)]
    while not all(task.done() for task in work):
        await gb.advance(0.5)
        most = max(most, len(world.device.role.sessions))
    assert most == 2
    for number, task in enumerate(work):
        done = task.result()
        first = 20 * number
        assert moments(done.paths[0], world) == every_picture(world, first, first + 20)
    await ends_clean(gb, world)


async def test_a_cancelled_download_leaves_a_file_that_plays(
    gb: Simulation, recorder: Recorders, tmp_path: Path
) -> None:
    world = await recorder()
    work = asyncio.ensure_future(
        world.channel.download(world.at(0), world.at(60), to=tmp_path / "a.mp4")
    )
    await gb.advance(5)
    work.cancel()
    await asyncio.wait({work})
    assert work.cancelled()
    shown = moments(tmp_path / "a.mp4", world)
    assert shown == every_picture(world, 0, 60)[: len(shown)]
    assert len(shown) > 50
    await ends_clean(gb, world)
