"""Alarms that a device gives: who is told, how often, and when it must be silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gb28181.edition import Edition
from gb28181.equipment.alarms import AlarmFate
from gb28181.equipment.settings import EquipmentSettings, ScheduledAlarm
from gb28181.equipment.subscribers import wants
from gb28181.manscdp.alarm import AlarmNotify, AlarmQuery, AlarmResponse
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.codec import encode
from gb28181.manscdp.config import AlarmReport, VideoAlarmRecord
from gb28181.manscdp.control import DeviceControl
from gb28181.manscdp.device_config import DeviceConfig
from gb28181.manscdp.device_status import DeviceStatusQuery
from gb28181.media.source import ClipSource
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.desk import DEVICE_ID, Desk
from gb28181.testing.simulation import Simulation
from gb28181.testing.synthetic import synthetic_clip

CAMERA, INPUT = "34020000001320000001", "34020000001340000001"


def desk(gb: Simulation, **settings: Any) -> Desk:
    item = CatalogItem(device_id=CAMERA, name="gate", parent_id=DEVICE_ID, status="ON")
    channel = DeviceChannel(item=item, source=lambda: ClipSource(synthetic_clip()))
    return Desk(gb.network, [channel], **settings)


async def raised(room: Desk, result: str | None = "OK", **said: Any) -> AlarmFate:
    """Raise an alarm; the platform answers each notice with this result, or not at all."""

    async def answer() -> None:
        seen = len(room.of(AlarmNotify))
        while True:
            while len(room.of(AlarmNotify)) == seen:  # noqa: ASYNC110 - what comes has no event
                await asyncio.sleep(0.01)
            seen += 1
            notice = room.of(AlarmNotify)[-1]
            if result is not None:
                await room.send(
                    AlarmResponse(sn=notice.sn, device_id=notice.device_id, result=result)
                )

    async with asyncio.TaskGroup() as group:
        answering = group.create_task(answer())
        fate = await room.device.raise_alarm(**said)
        answering.cancel()
    return fate


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("edition", [Edition.GB2016, Edition.GB2022])
async def test_an_alarm_is_kept_when_the_platform_says_so(
    gb: Simulation, edition: Edition, transport: str
) -> None:
    async with desk(gb, edition=edition, transport=transport) as room:
        fate = await raised(room, method="5", alarm_type="6", source_id=CAMERA, event_type="1")
        assert fate is AlarmFate.KEPT
        (notice,) = room.of(AlarmNotify)
        assert (notice.device_id, notice.method, notice.alarm_type) == (CAMERA, "5", "6")
        assert notice.event_type == "1"


@pytest.mark.parametrize("result", [None, "ERROR"])
async def test_an_alarm_that_nobody_keeps_is_sent_three_times(
    gb: Simulation, result: str | None
) -> None:
    async with desk(gb) as room:
        assert await raised(room, result) is AlarmFate.UNANSWERED
        notices = room.of(AlarmNotify)
        assert len(notices) == 3
        assert len({notice.sn for notice in notices}) == 1
        assert room.device.alarms.fates == {AlarmFate.UNANSWERED: 1}


async def test_a_platform_that_refuses_the_message_is_asked_again(gb: Simulation) -> None:
    settings = EquipmentSettings(acknowledged_within=1.0)
    async with desk(gb, equipment=settings) as room:
        room.answer = 500
        assert await raised(room, None) is AlarmFate.UNSENT
        assert len(room.of(AlarmNotify)) == 3
        # Nobody knows of it, so nobody would reset it.
        room.answer = 200
        assert await raised(room) is AlarmFate.KEPT


async def test_after_a_device_alarm_it_is_silent_until_the_reset(gb: Simulation) -> None:
    async with desk(gb) as room:
        assert await raised(room) is AlarmFate.KEPT
        assert await raised(room) is AlarmFate.SILENT
        (status,) = await room.ask(DeviceStatusQuery(sn="9", device_id=DEVICE_ID))
        assert status.alarms[0].duty_status == "ALARM"  # type: ignore[attr-defined]
        reset = DeviceControl(sn="10", device_id=INPUT, alarm_cmd="ResetAlarm")
        (answer,) = await room.ask(reset)
        assert answer.result == "OK"  # type: ignore[attr-defined]
        assert await raised(room) is AlarmFate.KEPT
        assert len(room.of(AlarmNotify)) == 2


async def test_what_is_not_armed_or_switched_off_is_not_told(gb: Simulation) -> None:
    async with desk(gb) as room:
        await room.ask(DeviceControl(sn="1", device_id=INPUT, guard_cmd="ResetGuard"))
        assert await raised(room) is AlarmFate.DISARMED
        report = AlarmReport(motion_detection=0)
        await room.ask(DeviceConfig(sn="2", device_id=CAMERA, alarm_report=report))
        motion = {"source_id": CAMERA, "method": "5", "alarm_type": "2"}
        assert await raised(room, **motion) is AlarmFate.SWITCHED_OFF
        assert room.of(AlarmNotify) == []
        await room.ask(DeviceControl(sn="3", device_id=INPUT, guard_cmd="SetGuard"))
        assert await raised(room) is AlarmFate.KEPT


async def test_an_unknown_source_is_an_error_of_the_caller(gb: Simulation) -> None:
    async with desk(gb) as room:
        with pytest.raises(KeyError, match="34020000001349999999"):
            await room.device.raise_alarm("34020000001349999999")


async def test_an_alarm_is_recorded_when_that_is_configured(gb: Simulation) -> None:
    async with desk(gb) as room:
        block = VideoAlarmRecord(enable=1, record_time=20, pre_record_time=0)
        await room.ask(DeviceConfig(sn="1", device_id=CAMERA, video_alarm_record=block))
        await raised(room, source_id=CAMERA, method="5", alarm_type="2")
        assert room.device.inventory.units[CAMERA].recorder.is_recording


async def test_alarms_come_by_schedule(gb: Simulation) -> None:
    schedule = (ScheduledAlarm(every=60.0, source_id=CAMERA, description="motion"),)
    settings = EquipmentSettings(schedule=schedule, acknowledged_within=1.0)
    async with desk(gb, equipment=settings) as room:
        await gb.advance(200)
        assert len({notice.sn for notice in room.of(AlarmNotify)}) == 3
        assert room.of(AlarmNotify)[0].description == "motion"


async def test_a_subscriber_is_notified_in_place_of_the_message(gb: Simulation) -> None:
    async with desk(gb) as room:
        query = AlarmQuery(sn="1", device_id=DEVICE_ID, alarm_method="5", end_priority=2)
        await room.subscribe(query)
        assert room.notified == []
        wanted = {"source_id": CAMERA, "method": "5", "alarm_type": "6", "priority": "2"}
        assert await raised(room, **wanted) is AlarmFate.NOTIFIED
        ((_, notice),) = room.notified
        assert isinstance(notice, AlarmNotify)
        assert (notice.device_id, room.of(AlarmNotify)) == (CAMERA, [])
        # What it has not subscribed to comes by MESSAGE.
        assert await raised(room, **{**wanted, "priority": "3"}) is AlarmFate.KEPT
        assert len(room.notified) == 1


async def test_a_refresh_may_ask_for_other_alarms(gb: Simulation) -> None:
    async with desk(gb) as room:
        method = "2"

        def body() -> bytes:
            query = AlarmQuery(sn="2", device_id=DEVICE_ID, alarm_method=method)
            return encode(query, Edition.GB2022)

        first = AlarmQuery(sn="1", device_id=DEVICE_ID, alarm_method="2")
        await room.subscribe(first, expires=90, body=body)
        method = "5"
        await gb.advance(80)
        motion = {"source_id": CAMERA, "method": "5", "alarm_type": "2"}
        assert await raised(room, **motion) is AlarmFate.NOTIFIED


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({}, True),
        ({"start_priority": 1, "end_priority": 4}, True),
        ({"start_priority": 0, "end_priority": 0}, True),
        ({"start_priority": 3}, False),
        ({"end_priority": 1}, False),
        ({"alarm_method": "0"}, True),
        ({"alarm_method": "1/5"}, True),
        ({"alarm_method": "15"}, True),
        ({"alarm_method": "1/2"}, False),
        ({"alarm_type": "6"}, True),
        ({"alarm_type": "2"}, False),
        ({"start_time": "2024-05-01T00:00:00", "end_time": "2024-05-02T00:00:00"}, True),
        ({"start_time": "2024-05-02T00:00:00"}, False),
        ({"end_time": "2024-04-02T00:00:00"}, False),
        ({"end_time": "rubbish"}, True),
    ],
)
def test_a_subscription_says_which_alarms_it_is_for(said: dict[str, Any], wanted: bool) -> None:
    notice = AlarmNotify(
        sn="1", device_id=CAMERA, priority="2", method="5", time="2024-05-01T08:00:00",
        alarm_type="6",
    )  # fmt: skip
    assert wants(AlarmQuery(sn="1", device_id=CAMERA, **said), notice) is wanted
