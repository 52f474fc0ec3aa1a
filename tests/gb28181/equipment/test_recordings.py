"""The disk of a recorder: what it holds, and whether its pictures tell the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gb28181.equipment.recordings import PatternRecordings
from gb28181.media.packets import Decoder, frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.media.source import Group, PatternStyle, RecordedSource
from rtp.access_unit import Codec, MediaKind

BEIJING = timezone(timedelta(hours=8))
EIGHT = datetime(2026, 1, 1, 8, tzinfo=BEIJING)


def minutes(first: float, last: float) -> tuple[datetime, datetime]:
    return EIGHT + timedelta(minutes=first), EIGHT + timedelta(minutes=last)


async def some(
    source: RecordedSource, position: float, count: int, *, reverse: bool = False
) -> list[Group]:
    groups = []
    async for group in source.groups(position, reverse=reverse):
        groups.append(group)
        if len(groups) == count:
            break
    return groups


def counters(group: Group) -> list[int | None]:
    video = [unit for unit in group.units if unit.kind is MediaKind.VIDEO]
    decoder = Decoder(video[0].codec)
    frames = [frame for unit in video for frame in decoder.decode(unit)] + decoder.flush()
    assert decoder.errors == 0
    return [read_counter(frame_to_gray(frame)) for frame in frames]  # type: ignore[arg-type]


def test_what_overlaps_a_time_is_found_whole_and_in_order() -> None:
    disk = PatternRecordings(
        [minutes(30, 40), minutes(0, 10), minutes(10, 20)], kinds=["alarm", "time", "manual"]
    )
    found = disk.find(*minutes(5, 31))
    assert [(one.start, one.end) for one in found] == [
        minutes(0, 10), minutes(10, 20), minutes(30, 40)
    ]  # fmt: skip
    assert [one.kind for one in disk.find(*minutes(0, 60), kind="alarm")] == ["alarm"]
    assert disk.find(*minutes(20, 30)) == []
    assert found[0].name == "20260101080000-20260101081000"
    assert found[0].size == 600 * 13_000


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
async def test_the_picture_tells_the_moment_of_the_recording(codec: Codec) -> None:
    disk = PatternRecordings([minutes(0, 60)], style=PatternStyle(video=codec))
    source = disk.source(*minutes(10, 20))
    assert source.duration == 600
    (group,) = await some(source, 300.7, 1)
    assert (group.start, group.duration) == (300 * 90_000, 90_000)
    moment = EIGHT + timedelta(minutes=15)
    first = disk.counter_at(moment)
    assert counters(group) == [(first + place) % 65536 for place in range(5)]
    assert disk.moment_of(first, near=moment + timedelta(minutes=90)) == moment
    assert group.units[0].is_key
    assert sum(unit.is_key for unit in group.units if unit.kind is MediaKind.VIDEO) == 1


async def test_each_second_has_its_sound() -> None:
    source = PatternRecordings([minutes(0, 1)]).source(*minutes(0, 1))
    (group,) = await some(source, 7, 1)
    sound = [unit for unit in group.units if unit.kind is MediaKind.AUDIO]
    assert sum(len(unit.data) for unit in sound) == 8000
    assert [unit.dts for unit in sound] == [7 * 90_000 + place * 18_000 for place in range(5)]
    assert [unit.dts for unit in group.units] == sorted(unit.dts for unit in group.units)


async def test_gaps_are_left_out_in_both_directions() -> None:
    disk = PatternRecordings([minutes(0, 1), minutes(2, 3)])
    source = disk.source(*minutes(0, 10))
    assert source.duration == 180
    seconds = [group.start // 90_000 for group in await some(source, 58, 4)]
    assert seconds == [58, 59, 120, 121]
    seconds = [group.start // 90_000 for group in await some(source, 121, 4, reverse=True)]
    assert seconds == [121, 120, 59, 58]
    assert [group.start // 90_000 for group in await some(source, 90, 1)] == [120]
    assert [group.start // 90_000 for group in await some(source, 90, 1, reverse=True)] == [59]
    assert await some(source, 180, 1) == []
    last = await some(source, 900, 1, reverse=True)
    assert last[0].start == 179 * 90_000


async def test_it_ends_where_the_asked_time_ends() -> None:
    source = PatternRecordings([minutes(0, 60)]).source(*minutes(0, 0.1))
    assert source.duration == 6
    assert len(await some(source, 0, 100)) == 6


async def test_overlapping_segments_are_sent_once() -> None:
    source = PatternRecordings([minutes(0, 1), minutes(0.5, 1.5)]).source(*minutes(0, 9))
    assert [group.start // 90_000 for group in await some(source, 28, 5)] == [28, 29, 30, 31, 32]
    assert source.duration == 90


async def test_the_same_moment_has_the_same_bytes() -> None:
    one = await some(PatternRecordings([minutes(0, 1)]).source(*minutes(0, 1)), 5, 1)
    two = await some(PatternRecordings([minutes(0, 5)]).source(*minutes(0, 2)), 5, 1)
    assert one == two


def test_an_empty_disk_has_nothing() -> None:
    disk = PatternRecordings([])
    assert disk.find(*minutes(0, 60)) == []
    assert disk.source(*minutes(0, 60)).duration == 0


@pytest.mark.parametrize(
    ("segment", "kind"),
    [
        (minutes(1, 0), "time"),
        (minutes(0, 1), "all"),
        ((datetime(2026, 1, 1), datetime(2026, 1, 2)), "time"),
    ],
)
def test_an_impossible_segment_is_refused(segment: tuple[datetime, datetime], kind: str) -> None:
    with pytest.raises(ValueError, match=r"lasts from|no time zone"):
        PatternRecordings([segment], kinds=[kind])


def test_the_clock_of_another_zone_is_understood() -> None:
    disk = PatternRecordings([minutes(0, 1)])
    utc = EIGHT.astimezone(UTC)
    assert disk.counter_at(utc) == disk.counter_at(EIGHT) == 8 * 3600 * 5 % 65536
