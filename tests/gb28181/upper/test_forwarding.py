"""Recordings through a cascade: what an upper platform sees of a disk two levels below."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from gb28181.cascade import Cascade
from gb28181.equipment.recordings import PatternRecordings
from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.mansrtsp import CONTENT_TYPE, Play, parse_answer
from gb28181.media.packets import Decoder, frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.media.plan import SessionKind, SessionPlan
from gb28181.media.source import PatternStyle
from gb28181.platform import Platform
from gb28181.sessions.playback import Playback
from gb28181.sessions.recorded import Wanted
from gb28181.ssrc import Ssrc
from gb28181.testing.simulation import SimulatedDevice, Simulation
from gb28181.upper.share import IdMap, Share
from rtp.access_unit import AccessUnit, MediaKind

EIGHT = datetime(2026, 1, 1, 8, tzinfo=UTC)
NINE = EIGHT + timedelta(hours=1)
PUBLISHED = "34020000001310009999"


@dataclass
class World:
    """An upper, a lower, a camera with a disk below, and the link."""

    gb: Simulation
    upper: Platform
    lower: Platform
    camera: SimulatedDevice
    link: Cascade
    disk: PatternRecordings

    def play_back(self, start: datetime = EIGHT, end: datetime = NINE) -> Playback:
        return self.upper.channel(PUBLISHED).play_back(start, end, records=[(EIGHT, NINE)])

    async def ends_clean(self) -> None:
        await self.gb.advance(minutes=1)
        assert self.link.forwarding.tapes == []
        assert self.gb.leaks() == []


@pytest.fixture
async def world(gb: Simulation) -> World:
    upper, lower = await gb.platform(), await gb.platform()
    disk = PatternRecordings([(EIGHT, NINE)], style=PatternStyle(audio=None))
    camera = await gb.device(platform=lower, recordings=disk)
    await gb.until(CatalogChanged)
    share = Share(ids=IdMap({camera.channels[0]: PUBLISHED}))
    link = await gb.cascade(lower, upper, share)
    await gb.until(lambda: upper.channel(PUBLISHED).is_online, within=200)
    return World(gb, upper, lower, camera, link, disk)


async def take(playback: Playback, count: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    async with aclosing(playback.units()) as arriving:
        async for unit in arriving:
            units.append(unit)
            if len(units) == count:
                break
    return units


def shown(world: World, units: list[AccessUnit]) -> list[float]:
    """Seconds after eight that the pictures show."""
    while not units[0].is_key:
        units.pop(0)
    decoder = Decoder(units[0].codec)
    video = [unit for unit in units if unit.kind is MediaKind.VIDEO]
    frames = [frame for unit in video for frame in decoder.decode(unit)] + decoder.flush()
    counters = [read_counter(frame_to_gray(frame)) for frame in frames]  # type: ignore[arg-type]
    return [
        (world.disk.moment_of(counter, near=EIGHT) - EIGHT).total_seconds()
        for counter in counters
        if counter is not None
    ]


async def test_a_recording_is_seen_from_above(world: World) -> None:
    async with world.play_back() as playback:
        units = await take(playback, 40)
        assert shown(world, units) == pytest.approx([n / 5 for n in range(40)])
        (tape,) = world.link.forwarding.tapes
        assert tape.channel_id == world.camera.channels[0]
        assert len(world.camera.role.sessions) == 1
        assert playback.session.expected_ssrc.startswith("1")
    await world.gb.advance(1)
    assert world.camera.role.sessions == []
    await world.ends_clean()


async def test_control_passes_through_both_levels(world: World) -> None:
    async with world.play_back() as playback:
        await take(playback, 5)
        sender = world.camera.role.sessions[0].sender
        landed = asyncio.ensure_future(playback.seek(EIGHT + timedelta(minutes=20)))
        units = await take(playback, 40)
        assert (await landed).seen == EIGHT + timedelta(minutes=20)
        assert 1200.0 in shown(world, units)
        await playback.pause()
        assert sender.paused_at is not None  # type: ignore[union-attr]
        await world.gb.advance(60)
        await playback.resume()
        assert len(await take(playback, 10)) == 10
        await playback.set_speed(4.0)
        assert sender.scale == 4.0  # type: ignore[union-attr]
        assert playback.pace.taken == 4.0
    await world.ends_clean()


async def test_the_numbers_of_the_first_packet_are_those_that_come_up(world: World) -> None:
    async with world.play_back() as playback:
        await take(playback, 5)
        call = playback.session.call
        assert call is not None
        heads: list[tuple[int, int]] = []
        playback.session.receiver.batches.attach(
            lambda batch: heads.extend(zip(batch.heads.numbers, batch.heads.ticks, strict=True))
        )
        body = Play(range_start=600.0, cseq=77).to_bytes()
        response = await call.request("INFO", body=body, content_type=CONTENT_TYPE)
        answer = parse_answer(response.body)
        assert (answer.status, answer.cseq, answer.range_start) == (200, 77, 600.0)
        await world.gb.advance(1)
        assert answer.rtp_info is not None
        named = (answer.rtp_info.sequence_number, answer.rtp_info.timestamp)
        assert named in heads
        assert dict(heads)[named[0]] == named[1]
    await world.ends_clean()


async def test_a_control_that_comes_with_the_ack_is_passed_on(world: World) -> None:
    platform, lower = world.upper, world.gb.host_of(world.lower).address
    start = int(EIGHT.timestamp())
    plan = SessionPlan(
        channel_id=PUBLISHED, owner_id=platform.id, domain=platform.domain,
        target=f"udp://{lower}:5060", peer_host=f"{lower}:5060", ssrc=Ssrc(1200000077), mode="udp",
        bind_host="0.0.0.0", advertised_host=world.gb.host_of(platform).address,
        kind=SessionKind.PLAYBACK, start=start, end=start + 600,
    )  # fmt: skip
    endpoint = platform.station.endpoint
    request = plan.request(plan.offer(39_000).to_bytes(), endpoint.contact(plan.target))
    call = await endpoint.invite(request, plan.target)
    body = Play(range_start=300.0, cseq=1).to_bytes()
    async with asyncio.TaskGroup() as group:
        group.create_task(call.ack())
        told = group.create_task(call.request("INFO", body=body, content_type=CONTENT_TYPE))
    assert parse_answer(told.result().body).range_start == 300.0
    assert len(world.link.forwarding.tapes) == 1
    await call.bye()
    await world.ends_clean()


@pytest.mark.parametrize("body", [b"nonsense", b"RECORD RTSP/1.0\r\nCSeq: 1\r\n\r\n"])
async def test_a_refusal_of_the_camera_passes_up_as_it_is(world: World, body: bytes) -> None:
    async with world.play_back() as playback:
        await take(playback, 5)
        assert playback.session.call is not None
        response = await playback.session.call.request("INFO", body=body, content_type=CONTENT_TYPE)
        if body == b"nonsense":
            assert response.status == 400
        else:
            assert parse_answer(response.body).status == 501
        assert len(await take(playback, 5)) == 5
    await world.ends_clean()


async def test_the_end_is_told_above_and_everything_ends(world: World) -> None:
    async with world.play_back(end=EIGHT + timedelta(seconds=12)) as playback:
        units = await take(playback, 1000)
        assert shown(world, units) == pytest.approx([n / 5 for n in range(60)])
        cause = await asyncio.shield(playback.session.ended)
        assert (cause.code, cause.evidence["told"]) == ("end-of-recording", "MediaStatus 121")
    await world.ends_clean()


async def test_a_download_says_its_size_and_speed_through_both_levels(world: World) -> None:
    start = int(EIGHT.timestamp())
    wanted = Wanted(
        channel_id=PUBLISHED, start=start, end=start + 60, kind=SessionKind.DOWNLOAD, speed=4
    )
    began = world.gb.clock.time()
    session = await world.upper.sessions.open_recorded(wanted)
    assert session.announced_size == 60 * 13_000
    cause = await asyncio.shield(session.ended)
    assert cause.code == "end-of-recording"
    assert world.gb.clock.time() - began == pytest.approx(60 / 4, abs=2)
    await world.ends_clean()


async def test_what_the_camera_does_not_have_is_refused_above(world: World) -> None:
    with pytest.raises(SessionLost) as told:
        await world.play_back(NINE, NINE + timedelta(hours=1)).open()
    assert told.value.cause.code == "rejected-404"
    await world.ends_clean()


@pytest.mark.parametrize("by", ["camera", "camera vanishes", "lower", "upper vanishes"])
async def test_nothing_is_left_whoever_ends_it(world: World, by: str) -> None:
    playback = await world.play_back().open()
    await take(playback, 10)
    if by == "camera":
        await world.camera.role.serving.end("test", timeout=2.0)
    elif by == "camera vanishes":
        world.camera.vanish()
    elif by == "lower":
        await world.link.forwarding.end("test", timeout=2.0)
    else:
        world.gb.host_of(world.upper).vanish()
    if by == "upper vanishes":
        await world.gb.until(lambda: not world.link.forwarding.tapes, within=600)
        world.gb.host_of(world.upper).reappear()
    else:
        await asyncio.shield(playback.session.ended)
        if by == "camera vanishes":
            await world.gb.advance(minutes=5)
    await playback.close()
    await world.gb.advance(40)
    await world.ends_clean()
