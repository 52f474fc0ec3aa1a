from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from gb28181.equipment.recorder import MAX_SPANS, Recorder, drawn_hours, search
from gb28181.equipment.recordings import PatternRecordings
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.config import RecordSchedule, TimeSegment, VideoAlarmRecord, VideoRecordPlan
from gb28181.manscdp.record import RecordInfoQuery
from gb28181.manscdp.values import BEIJING

DEVICE, CAMERA = "34020000001180000001", "34020000001320000001"
ITEM = CatalogItem(device_id=CAMERA, name="East gate", address="East gate, pole 3")
MONDAY = datetime(2024, 4, 29, tzinfo=BEIJING)


class Clock:
    def __init__(self, moment: datetime = MONDAY) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment

    def pass_by(self, **time: float) -> None:
        self.moment += timedelta(**time)


def disk() -> PatternRecordings:
    hours = [(MONDAY + timedelta(hours=n), MONDAY + timedelta(hours=n + 1)) for n in (0, 1, 5)]
    return PatternRecordings(hours, kinds=("time", "alarm", "time"))


def question(**said: Any) -> RecordInfoQuery:
    said.setdefault("start_time", "2024-04-29T00:00:00")
    said.setdefault("end_time", "2024-04-30T00:00:00")
    return RecordInfoQuery(sn="1", device_id=CAMERA, **said)


def kinds(recorder: Recorder, **said: Any) -> list[str | None]:
    return [one.type for one in search(question(**said), ITEM, recorder, DEVICE)]


def test_recording_by_hand_is_an_entry_as_long_as_it_took() -> None:
    clock = Clock()
    recorder = Recorder(None, clock=clock)
    recorder.start()
    recorder.start()  # once is enough
    clock.pass_by(minutes=5)
    assert recorder.is_recording
    (going_on,) = recorder.find(MONDAY, clock.moment)
    assert going_on.end == clock.moment
    recorder.stop()
    clock.pass_by(minutes=5)
    (over,) = recorder.find(MONDAY, clock.moment)
    assert (over.end - over.start, over.kind) == (timedelta(minutes=5), "manual")
    assert not recorder.is_recording


def test_an_alarm_is_recorded_with_what_was_before_and_after() -> None:
    clock = Clock()
    recorder = Recorder(None, clock=clock)
    recorder.note_alarm(VideoAlarmRecord(enable=0, record_time=30, pre_record_time=5))
    assert not recorder.is_recording
    settings = VideoAlarmRecord(enable=1, record_time=30, pre_record_time=5)
    recorder.note_alarm(settings)
    clock.pass_by(seconds=20)
    recorder.note_alarm(settings)  # while it records: longer, not twice
    clock.pass_by(minutes=5)
    (entry,) = recorder.find(MONDAY - timedelta(days=1), clock.moment)
    assert entry.start == MONDAY - timedelta(seconds=5)
    assert (entry.end, entry.kind) == (MONDAY + timedelta(seconds=50), "alarm")


def plan(day: int, start: int, stop: int) -> VideoRecordPlan:
    part = TimeSegment(
        start_hour=start, start_minute=0, start_second=0,
        stop_hour=stop, stop_minute=0, stop_second=0,
    )  # fmt: skip
    return VideoRecordPlan(enable=1, schedules=(RecordSchedule(week_day=day, segments=(part,)),))


def test_a_plan_records_on_its_days_from_when_it_was_set() -> None:
    clock = Clock(MONDAY + timedelta(hours=10))
    recorder = Recorder(None, clock=clock)
    recorder.set_plan(plan(1, 8, 18))
    assert recorder.is_recording
    clock.pass_by(days=8)  # Tuesday a week later
    assert not recorder.is_recording
    found = recorder.find(MONDAY - timedelta(days=99), clock.moment)
    assert [(one.start.day, one.start.hour, one.end.hour) for one in found] == [
        (29, 10, 18),
        (6, 8, 18),
    ]
    # Another plan: what was recorded stays.
    recorder.set_plan(VideoRecordPlan(enable=0))
    clock.pass_by(days=30)
    assert len(recorder.find(MONDAY, clock.moment)) == 2


def test_a_day_of_a_plan_may_end_at_24() -> None:
    clock = Clock()
    recorder = Recorder(None, clock=clock)
    recorder.set_plan(plan(1, 0, 24))
    clock.pass_by(days=2)
    (entry,) = recorder.find(MONDAY, clock.moment)
    assert entry.end - entry.start == timedelta(days=1)


def test_own_entries_stand_among_those_of_the_disk() -> None:
    clock = Clock(MONDAY + timedelta(hours=3))
    recorder = Recorder(disk(), clock=clock)
    recorder.start()
    clock.pass_by(hours=1)
    recorder.stop()
    clock.pass_by(hours=10)
    assert kinds(recorder) == ["time", "alarm", "manual", "time"]
    assert kinds(recorder, type="manual") == ["manual"]
    played = recorder.source(MONDAY + timedelta(hours=3), MONDAY + timedelta(hours=4))
    assert played.duration == pytest.approx(3600.0)
    assert recorder.source(MONDAY, MONDAY + timedelta(hours=1)).duration == pytest.approx(3600.0)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, 3),
        ({"type": "all"}, 3),
        ({"type": "time"}, 2),
        ({"type": "ALARM"}, 1),
        ({"start_time": "2024-04-29T00:30:00", "end_time": "2024-04-29T00:31:00"}, 1),
        ({"start_time": "2024-04-29T02:00:00", "end_time": "2024-04-29T05:00:00"}, 0),
        ({"start_time": "2024-04-29T09:00:00", "end_time": "2024-04-29T01:00:00"}, 0),
        ({"start_time": None, "end_time": None}, 3),
        ({"secrecy": 1}, 0),
        ({"secrecy": 0}, 3),
        ({"stream_number": 1}, 0),
        ({"recorder_id": DEVICE}, 3),
        ({"recorder_id": "34020000001180009999"}, 0),
        ({"address": "East"}, 3),
        ({"address": "West"}, 0),
        ({"alarm_method": "2"}, 1),
        ({"alarm_method": "0"}, 3),
        ({"alarm_type": "6", "type": "time"}, 0),
        ({"file_path": "nowhere"}, 0),
    ],
)
def test_a_search_finds_what_it_asks_for(said: dict[str, Any], found: int) -> None:
    assert len(kinds(Recorder(disk(), clock=Clock()), **said)) == found


def test_an_entry_says_all_that_the_standard_asks() -> None:
    (entry, *_) = search(question(), ITEM, Recorder(disk(), clock=Clock()), DEVICE)
    assert (entry.start_time, entry.end_time) == ("2024-04-29T00:00:00", "2024-04-29T01:00:00")
    assert (entry.secrecy, entry.recorder_id, entry.address) == (0, CAMERA, ITEM.address)
    assert entry.name
    assert entry.file_path
    assert entry.file_size is not None
    assert int(entry.file_size) > 0


def test_it_keeps_only_so_many_entries_of_its_own() -> None:
    clock = Clock()
    recorder = Recorder(None, clock=clock)
    for _ in range(MAX_SPANS + 10):
        recorder.start()
        clock.pass_by(seconds=1)
        recorder.stop()
        clock.pass_by(seconds=1)
    assert len(recorder.find(MONDAY, clock.moment)) == MAX_SPANS


def test_a_drawn_disk_holds_the_whole_hours_up_to_now() -> None:
    disk = drawn_hours(MONDAY + timedelta(minutes=20), 3)
    found = disk.find(MONDAY - timedelta(days=1), MONDAY + timedelta(days=1))
    assert [(one.start, one.end) for one in found] == [
        (MONDAY + timedelta(hours=back), MONDAY + timedelta(hours=back + 1))
        for back in (-3, -2, -1)
    ]
