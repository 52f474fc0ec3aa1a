"""A recording played back: where it lands, how fast it runs, and how it ends."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gb28181.errors import CommandFailed, ConfigError, SessionLost
from gb28181.media.packets import Decoder, frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.media.playback import PlaybackLimits
from gb28181.media.stages import Reason
from gb28181.sessions.pace import Verdict
from gb28181.sessions.serving import ServingHabits
from gb28181.testing.simulation import Simulation
from rtp.access_unit import AccessUnit, MediaKind

if TYPE_CHECKING:
    from gb28181.sessions.playback import Playback
    from tests.gb28181.recorded.conftest import Recorder, Recorders


def shown(disk: object, unit: AccessUnit, near: datetime) -> datetime:
    """The moment that the clock in a picture tells."""
    from av.video.frame import VideoFrame

    decoder = Decoder(unit.codec)
    frame = next(iter([*decoder.decode(unit), *decoder.flush()]))
    assert isinstance(frame, VideoFrame)
    counter = read_counter(frame_to_gray(frame))
    assert counter is not None
    moment: datetime = disk.moment_of(counter, near=near)  # type: ignore[attr-defined]
    return moment


async def next_key(tape: Playback) -> AccessUnit:
    async for unit in tape.units():
        if unit.kind is MediaKind.VIDEO and unit.is_key:
            return unit
    raise AssertionError("the recording ended")


async def to_end(tape: Playback) -> list[AccessUnit]:
    return [unit async for unit in tape.units() if unit.kind is MediaKind.VIDEO]


async def ends_clean(gb: Simulation, world: Recorder) -> None:
    await gb.until(lambda: not world.device.role.sessions, within=30)
    await gb.advance(40)
    assert world.platform.sessions.recorded == set()
    assert gb.leaks() == []


def rtcp_to(gb: Simulation, world: Recorder) -> list[bytes]:
    """The RTCP packets that have gone to the device."""
    return [
        packet.data
        for packet in gb.network.trace
        if packet.destination[0] == world.device.host.address and packet.data[1:2] == b"\xc9"
    ]


# Straight through -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["udp", "tcp-passive", "tcp-active"])
async def test_a_recording_is_played_to_its_end(
    gb: Simulation, recorder: Recorders, mode: str
) -> None:
    world = await recorder(mode=mode)
    async with world.channel.play_back(world.at(20), world.at(35)) as tape:
        pictures = await to_end(tape)
        first, last = pictures[0], pictures[-1]
        assert len(pictures) == 15 * world.disk.style.fps
        assert first.is_key
        assert tape.moment_of(first) == world.at(20)
        assert tape.position == tape.moment_of(last) == world.at(34.8)
        assert shown(world.disk, first, world.at(20)) == world.at(20)
        cause = tape.session.cause
    assert cause is not None
    assert cause.code == Reason.END_OF_RECORDING
    assert cause.evidence["told"] == "MediaStatus 121"
    assert world.platform.health()["recorded"] == 0
    await ends_clean(gb, world)


async def test_times_without_a_zone_are_refused(recorder: Recorders) -> None:
    world = await recorder()
    bare = datetime(2026, 1, 5, 10, 0)
    with pytest.raises(ConfigError, match="zone"):
        world.channel.play_back(bare, bare + timedelta(seconds=1))
    with pytest.raises(ConfigError, match="not after"):
        world.channel.play_back(world.at(5), world.at(5))


async def test_what_is_not_on_the_disk_is_refused(gb: Simulation, recorder: Recorders) -> None:
    world = await recorder()
    with pytest.raises(SessionLost) as told:
        await world.channel.play_back(world.at(1000), world.at(1010)).open()
    assert told.value.cause.code == "rejected-404"
    await ends_clean(gb, world)


async def test_a_live_stream_and_two_playbacks_run_side_by_side(
    gb: Simulation, recorder: Recorders
) -> None:
    world = await recorder()
    async with (
        world.channel.play() as live,
        world.channel.play_back(world.at(0), world.at(60)) as one,
        world.channel.play_back(world.at(100), world.at(160)) as other,
    ):
        assert live.session is not one.session is not other.session
        await gb.advance(3)
        assert abs((other.position - one.position).total_seconds() - 100) < 0.5
        assert len(world.device.role.sessions) == 3
    await gb.advance(10)
    await ends_clean(gb, world)


# Jumps ----------------------------------------------------------------------------------------


async def jumps(recorder: Recorders, count: int, length: float, *, mode: str = "udp") -> None:
    world = await recorder((0.0, length), mode=mode)
    chance = random.Random(7)
    async with world.channel.play_back(world.at(0), world.at(length)) as tape:
        await next_key(tape)
        for _ in range(count):
            asked = world.at(chance.uniform(0, length - 5))
            landed = await tape.seek(asked)
            unit = await next_key(tape)
            decoded = shown(world.disk, unit, asked)
            assert abs((decoded - asked).total_seconds()) <= 1.0
            assert landed.outcome is Verdict.VERIFIED
            assert landed.asked == asked
            assert landed.seen == decoded == tape.moment_of(unit)
    assert tape.can["seek"] is Verdict.VERIFIED


@pytest.mark.parametrize("mode", ["udp", "tcp-passive"])
async def test_a_jump_lands_where_it_was_asked_to(recorder: Recorders, mode: str) -> None:
    await jumps(recorder, 6, 300.0, mode=mode)


async def test_fifty_random_jumps_land_within_a_second(recorder: Recorders) -> None:
    await jumps(recorder, 50, 3600.0)


async def test_a_jump_outside_the_recording_is_refused(recorder: Recorders) -> None:
    world = await recorder()
    async with world.channel.play_back(world.at(0), world.at(60)) as tape:
        for seconds in (-1, 60, 100):
            with pytest.raises(ConfigError, match="not between"):
                await tape.seek(world.at(seconds))


async def test_a_jump_into_a_gap_lands_behind_it(gb: Simulation, recorder: Recorders) -> None:
    world = await recorder((0, 20), (100, 120))
    async with world.channel.play_back(world.at(0), world.at(120)) as tape:
        await next_key(tape)
        await gb.advance(2)  # its list of recordings has come
        landed = await tape.seek(world.at(50))
        assert (landed.outcome, landed.seen) == (Verdict.VERIFIED, world.at(100))


# Pause ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["udp", "tcp-passive"])
async def test_a_minute_of_pause_loses_nothing(
    gb: Simulation, recorder: Recorders, mode: str
) -> None:
    world = await recorder(mode=mode, silence=20.0)
    pictures: list[AccessUnit] = []

    async def view(tape: Playback) -> None:
        pictures.extend(await to_end(tape))

    async with world.channel.play_back(world.at(0), world.at(20)) as tape:
        viewer = await gb.start(view(tape))
        await gb.advance(5)
        await tape.pause()
        assert tape.is_paused
        await gb.advance(1)
        before = len(pictures)
        at = tape.position
        reports = tape.statistics.packets, len(rtcp_to(gb, world))
        await gb.advance(60)
        assert tape.statistics.packets == reports[0]
        if mode == "udp":  # a sender that hears nothing may take its receiver for dead
            assert len(rtcp_to(gb, world)) - reports[1] >= 11
        assert len(pictures) == before
        assert tape.position == at
        await tape.resume()
        assert not tape.is_paused
        await asyncio.wait([viewer])
        stages = [stage for stage, _, _ in tape.session.timeline.since_asked()]
    assert len(pictures) == 20 * world.disk.style.fps
    steps = {b.dts - a.dts for a, b in pairwise(pictures)}
    assert steps == {90_000 // world.disk.style.fps}
    assert stages.count("paused") == 1
    assert stages.count("flowing") == 2
    await ends_clean(gb, world)


async def test_a_device_that_ends_a_long_pause_is_told(gb: Simulation, recorder: Recorders) -> None:
    world = await recorder(habits=ServingHabits(bye_after_pause=30.0))
    async with world.channel.play_back(world.at(0), world.at(60)) as tape:
        await next_key(tape)
        await tape.pause()
        await gb.advance(40)
        with pytest.raises(SessionLost) as told:
            await tape.resume()
        assert (told.value.cause.code, told.value.cause.stage) == ("bye", "paused")
    await ends_clean(gb, world)


# Speed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
async def test_the_speed_is_what_was_asked_for(
    gb: Simulation, recorder: Recorders, speed: float
) -> None:
    world = await recorder()
    async with world.channel.play_back(world.at(0), world.at(300)) as tape:
        await next_key(tape)
        await tape.set_speed(speed)
        viewer = await gb.start(ignored(tape))
        pace = await tape.paced()
        viewer.cancel()
        assert pace.verdict is Verdict.VERIFIED
        assert pace.measured == pytest.approx(speed, rel=0.05)
        assert pace.taken == speed
        before, began = tape.position, asyncio.get_running_loop().time()
        await gb.advance(10 / speed)
        passed = (tape.position - before).total_seconds()
        lasted = asyncio.get_running_loop().time() - began
        assert passed / lasted == pytest.approx(speed, rel=0.05)
    await ends_clean(gb, world)


async def ignored(tape: Playback) -> None:
    async for _ in tape.units():
        pass


async def test_in_reverse_groups_come_last_to_first(gb: Simulation, recorder: Recorders) -> None:
    world = await recorder()
    async with world.channel.play_back(world.at(0), world.at(300)) as tape:
        await next_key(tape)
        await tape.seek(world.at(200))
        await tape.set_speed(-2.0)
        viewer = await gb.start(ignored(tape))
        pace = await tape.paced()
        viewer.cancel()
        assert pace.verdict is Verdict.VERIFIED
        assert pace.measured == pytest.approx(-2.0, rel=0.05)
        assert tape.position < world.at(200)
    assert tape.can["reverse"] is Verdict.VERIFIED
    await ends_clean(gb, world)


async def test_a_device_without_reverse_says_so(gb: Simulation, recorder: Recorders) -> None:
    limits = PlaybackLimits(fastest_reverse=0.0)
    world = await recorder(habits=ServingHabits(limits=limits))
    async with world.channel.play_back(world.at(0), world.at(60)) as tape:
        await next_key(tape)
        with pytest.raises(CommandFailed, match="501"):
            await tape.set_speed(-1.0)
        assert tape.pace.asked == 1.0
    await ends_clean(gb, world)


async def test_a_device_that_ignores_the_speed_is_found_out(
    gb: Simulation, recorder: Recorders, caplog: pytest.LogCaptureFixture
) -> None:
    limits = PlaybackLimits(obeys_speed=False)
    world = await recorder(habits=ServingHabits(limits=limits))
    async with world.channel.play_back(world.at(0), world.at(60)) as tape:
        await next_key(tape)
        await tape.set_speed(4.0)
        viewer = await gb.start(ignored(tape))
        pace = await tape.paced()
        viewer.cancel()
        assert pace.verdict is Verdict.IGNORED
        assert pace.measured == pytest.approx(1.0, rel=0.05)
    assert "said yes to a speed of 4" in caplog.text
    assert tape.can["speed"] is Verdict.IGNORED


async def test_a_speed_beyond_all_is_refused(recorder: Recorders) -> None:
    world = await recorder()
    async with world.channel.play_back(world.at(0), world.at(60)) as tape:
        for speed in (0.0, 0.1, 16.0, -9.0):
            with pytest.raises(ConfigError, match="speed"):
                await tape.set_speed(speed)


# The end, and gaps ----------------------------------------------------------------------------


async def test_silence_at_the_end_ends_it(gb: Simulation, recorder: Recorders) -> None:
    world = await recorder(habits=ServingHabits(tells_end=False))
    async with world.channel.play_back(world.at(0), world.at(10)) as tape:
        began = asyncio.get_running_loop().time()
        assert len(await to_end(tape)) == 50
        assert asyncio.get_running_loop().time() - began == pytest.approx(20, abs=2)
        assert tape.session.cause is not None
        assert tape.session.cause.evidence["told"] == "silence at the end"
    await ends_clean(gb, world)


async def test_a_device_that_plays_past_the_end_is_stopped(
    gb: Simulation, recorder: Recorders
) -> None:
    world = await recorder(habits=ServingHabits(overrun=100.0))
    async with world.channel.play_back(world.at(0), world.at(10)) as tape:
        pictures = await to_end(tape)
        assert 50 < len(pictures) < 75
        assert tape.session.cause is not None
        assert tape.session.cause.evidence["told"] == "the end time"
    await ends_clean(gb, world)


@pytest.mark.parametrize("lists", [True, False])
async def test_a_gap_on_the_disk_is_passed_over(
    gb: Simulation, recorder: Recorders, lists: bool
) -> None:
    world = await recorder((0, 10), (60, 70), lists=lists)
    async with world.channel.play_back(world.at(0), world.at(70)) as tape:
        pictures = await to_end(tape)
        assert len(pictures) == 100
        assert shown(world.disk, pictures[50], world.at(60)) == world.at(60)
        assert tape.position == world.at(69.8)
    await ends_clean(gb, world)


async def test_a_device_that_ends_at_a_gap_is_asked_for_the_next_piece(
    gb: Simulation, recorder: Recorders
) -> None:
    world = await recorder((0, 10), (60, 70))
    whole = world.disk.source

    def first_piece(start: datetime, end: datetime, *, kind: str = "all") -> object:
        files = world.disk.find(start, end, kind=kind)
        return whole(start, min(end, files[0].end), kind=kind)

    object.__setattr__(world.disk, "source", first_piece)
    async with world.channel.play_back(world.at(0), world.at(70)) as tape:
        first = tape.session
        pictures = await to_end(tape)
        assert tape.session is not first
        assert len(pictures) == 100
        assert tape.position == world.at(69.8)
    await ends_clean(gb, world)


async def test_an_end_in_the_middle_is_a_loss(gb: Simulation, recorder: Recorders) -> None:
    world = await recorder()

    async with world.channel.play_back(world.at(0), world.at(60)) as tape:
        asyncio.get_running_loop().call_later(
            5.0, lambda: world.device.role.sessions[0].call.hang_up()
        )
        with pytest.raises(SessionLost) as told:
            await to_end(tape)
        assert told.value.cause.code == "bye"
    await ends_clean(gb, world)


async def test_a_jump_back_after_the_end_takes_another_call(
    gb: Simulation, recorder: Recorders
) -> None:
    world = await recorder()
    async with world.channel.play_back(world.at(0), world.at(10)) as tape:
        await to_end(tape)
        landed = await tape.seek(world.at(4))
        assert abs((landed.seen - world.at(4)).total_seconds()) < 1
        assert shown(world.disk, await next_key(tape), world.at(4)) == world.at(4)
    await ends_clean(gb, world)
