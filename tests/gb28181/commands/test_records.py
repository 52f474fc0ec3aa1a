"""Searching recordings: cut by day, put together, and honest about what is missing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gb28181.commands.records import days_of
from gb28181.errors import ConfigError, DeviceNotOnline, NoAnswer
from gb28181.manscdp.record import RecordInfoQuery, RecordInfoResponse, RecordItem
from gb28181.manscdp.values import BEIJING, format_time, parse_time
from gb28181.testing.answering import AnsweringDevice
from gb28181.testing.simulation import Simulation

Make = Callable[..., Awaitable[AnsweringDevice]]


CAMERA = "34020000001320000077"


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2024, 5, day, hour, minute, tzinfo=BEIJING)


def file(start: datetime, end: datetime, **more: Any) -> RecordItem:
    return RecordItem(
        device_id=CAMERA,
        name="gate",
        start_time=format_time(start),
        end_time=format_time(end),
        secrecy=0,
        type="time",
        **more,
    )


class Disk:
    """The recordings of a device, and how it answers for them.

    Attributes:
        longest: A search over more than this is answered with broken XML, or with the half.
        silent: Windows that begin on these days are not answered.
        page: Items in one message.
    """

    def __init__(self, camera: AnsweringDevice, files: list[RecordItem]) -> None:
        self.files = files
        self.longest = timedelta(days=1)
        self.half = False
        self.silent: set[int] = set()
        self.page = 100
        self.camera = camera
        camera.scripts[RecordInfoQuery] = self.answer

    def answer(self, query: RecordInfoQuery) -> list[Any]:
        assert query.start_time is not None
        assert query.end_time is not None
        start, end = parse_time(query.start_time), parse_time(query.end_time)
        if start.day in self.silent:
            return []
        found = [
            one
            for one in self.files
            if parse_time(one.start_time or "") < end and parse_time(one.end_time or "") > start
        ]
        sent = found
        if end - start > self.longest:
            sent = found[: len(found) // 2] if self.half else []
            if not sent:
                return []
        pages = [tuple(sent[i : i + self.page]) for i in range(0, len(sent), self.page)] or [()]
        return [
            RecordInfoResponse(
                sn=query.sn,
                device_id=query.device_id,
                name="gate",
                sum_num=len(found),
                items=page,
            )
            for page in pages
        ]


def hours(first: datetime, last: datetime) -> list[RecordItem]:
    count = int((last - first) / timedelta(hours=1))
    starts = [first + timedelta(hours=number) for number in range(count)]
    return [file(one, one + timedelta(hours=1)) for one in starts]


def test_a_search_is_cut_at_the_midnights_of_beijing() -> None:
    start = datetime(2024, 5, 1, 15, 30, tzinfo=UTC)  # 23:30 there
    cuts = days_of(start, start + timedelta(days=1, hours=1))
    assert [(format_time(a), format_time(b)) for a, b in cuts] == [
        ("2024-05-01T23:30:00", "2024-05-02T00:00:00"),
        ("2024-05-02T00:00:00", "2024-05-03T00:00:00"),
        ("2024-05-03T00:00:00", "2024-05-03T00:30:00"),
    ]


async def test_three_days_come_as_one_answer_without_duplicates(answering: Make) -> None:
    camera = await answering()
    disk = Disk(camera, hours(at(1), at(4)))
    # One file reaches over midnight: two days have it.
    disk.files[23:25] = [file(at(1, 23), at(2, 1))]
    told: list[tuple[int, int]] = []
    found = await camera.remote.records(
        at(1), at(4), target=CAMERA, progress=lambda *progress: told.append(progress)
    )
    assert found.complete
    assert len(found.items) == 71
    assert found.gaps == ()
    assert found.items[0].start == at(1)
    assert found.items[0].start.utcoffset() == timedelta(hours=8)
    assert found.items[23].end - found.items[23].start == timedelta(hours=2)
    assert told == [(1, 3), (2, 3), (3, 3)]
    queries = camera.asked_for(RecordInfoQuery)
    assert [query.start_time for query in queries] == [
        "2024-05-01T00:00:00",
        "2024-05-02T00:00:00",
        "2024-05-03T00:00:00",
    ]
    # Dahua recorders do not answer without a Type.
    assert {(query.type, query.secrecy, query.device_id) for query in queries} == {
        ("all", 0, CAMERA)
    }


async def test_an_answer_in_three_parts_is_put_together(answering: Make) -> None:
    camera = await answering()
    disk = Disk(camera, hours(at(1), at(1, 6)))
    disk.page = 2
    found = await camera.remote.records(at(1), at(1, 12))
    assert [record.start.hour for record in found.items] == list(range(6))
    assert found.gaps == ((at(1, 6), at(1, 12)),)


async def test_times_of_any_zone_are_asked_for_in_beijing_time(answering: Make) -> None:
    camera = await answering()
    Disk(camera, [])
    start = datetime(2024, 5, 1, 4, tzinfo=UTC)
    found = await camera.remote.records(start, start + timedelta(hours=2))
    (query,) = camera.asked
    assert (query.start_time, query.end_time) == ("2024-05-01T12:00:00", "2024-05-01T14:00:00")
    assert found.items == ()
    assert found.complete
    assert found.gaps == ((start, start + timedelta(hours=2)),)


async def test_a_device_whose_long_answers_are_broken_is_asked_by_half_days(
    answering: Make,
) -> None:
    """Hikvision DS-2CD7027: more than 12 hours yield malformed XML."""
    camera = await answering()
    disk = Disk(camera, hours(at(1), at(3)))
    disk.longest = timedelta(hours=12)
    found = await camera.remote.records(at(1), at(3))
    assert found.complete
    assert len(found.items) == 48
    # The first day is asked for in vain; of the second it is known.
    assert len(camera.asked) == 5
    assert camera.remote.halves_searches


async def test_what_a_device_does_not_tell_is_missing_and_no_gap_is_claimed_for_sure(
    answering: Make,
) -> None:
    camera = await answering()
    disk = Disk(camera, hours(at(1), at(4)))
    disk.silent = {2}
    found = await camera.remote.records(at(1), at(4))
    assert not found.complete
    assert len(found.items) == 48
    assert [(one.start, one.end, one.received) for one in found.missing] == [
        (at(2), at(2, 12), 0),
        (at(2, 12), at(3), 0),
    ]
    assert found.gaps == ((at(2), at(3)),)


async def test_the_half_of_an_answer_is_kept_and_told(answering: Make) -> None:
    camera = await answering()
    disk = Disk(camera, hours(at(1), at(1, 4)))
    disk.longest, disk.half = timedelta(hours=1), True
    found = await camera.remote.records(at(1), at(1, 4))
    assert len(found.items) == 2
    (missing,) = found.missing
    assert (missing.received, missing.expected) == (2, 4)
    assert "2 of 4 items" in missing.reason
    assert camera.remote.quirks_seen["fewer items than SumNum"] == 1


async def test_a_device_that_never_answers_is_an_error_and_soon(
    gb: Simulation, answering: Make
) -> None:
    camera = await answering()
    with pytest.raises(NoAnswer):
        await camera.remote.records(at(1), at(20))
    assert len(camera.asked) == 2


async def test_a_device_that_goes_during_the_search_is_an_error(
    gb: Simulation, answering: Make
) -> None:
    camera = await answering()
    disk = Disk(camera, [])
    disk.silent = {2}

    async def leave() -> None:
        await gb.advance(5)
        await camera.camera.register(expires=0)

    await gb.start(leave())
    with pytest.raises(DeviceNotOnline):
        await camera.remote.records(at(1), at(4))


async def test_times_that_cannot_be_read_are_left_out(answering: Make) -> None:
    camera = await answering()
    broken = RecordItem(device_id=CAMERA, start_time="yesterday", end_time="2024-05-01T02:00:00")
    camera.scripts[RecordInfoQuery] = lambda query: [
        RecordInfoResponse(
            sn=query.sn,
            device_id=query.device_id,
            sum_num=2,
            items=(broken, file(at(1), at(1, 1))),
        )
    ]
    found = await camera.remote.records(at(1), at(1, 2))
    assert [record.start for record in found.items] == [at(1)]


@pytest.mark.parametrize(
    ("start", "end", "sentence"),
    [
        (datetime(2024, 5, 1), at(2), "zone"),
        (at(2), at(1), "before it starts"),
        (at(1), at(1) + timedelta(days=4000), "longer than"),
    ],
)
async def test_a_search_that_makes_no_sense_is_refused(
    answering: Make, start: datetime, end: datetime, sentence: str
) -> None:
    camera = await answering()
    with pytest.raises(ConfigError, match=sentence):
        await camera.remote.records(start, end)
