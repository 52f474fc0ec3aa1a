"""Every command to a device, over UDP and TCP, in both editions: what is answered, what is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.device import SERVED
from gb28181.edition import Edition
from gb28181.equipment.controls import CONTROLS, Controls, Hooks
from gb28181.equipment.inventory import Inventory
from gb28181.equipment.known import is_known
from gb28181.equipment.queries import Queries
from gb28181.equipment.settings import EquipmentSettings
from gb28181.manscdp.catalog import CatalogItem, CatalogQuery, CatalogResponse
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.config import (
    AlarmReport,
    BasicParam,
    MaskRegion,
    OsdConfig,
    OsdText,
    PictureMask,
    RecordSchedule,
    RoiItem,
    RoiParam,
    SnapShotConfig,
    SvacDecodeConfig,
    SvacEncodeConfig,
    SvcDecodeParam,
    TimeSegment,
    VideoAlarmRecord,
    VideoParam,
    VideoRecordPlan,
)
from gb28181.manscdp.control import (
    DeviceControl,
    DeviceControlResponse,
    DeviceUpgrade,
    DragZoom,
    HomePosition,
    PtzPrecise,
)
from gb28181.manscdp.device_config import (
    ConfigDownloadQuery,
    ConfigDownloadResponse,
    DeviceConfig,
    DeviceConfigResponse,
)
from gb28181.manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from gb28181.manscdp.device_status import DeviceStatusQuery, DeviceStatusResponse
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.manscdp.notices import VideoUploadNotify
from gb28181.manscdp.position import MobilePositionNotify, MobilePositionQuery
from gb28181.manscdp.preset import PresetQuery, PresetResponse
from gb28181.manscdp.ptz_state import (
    CruiseTrackListQuery,
    CruiseTrackListResponse,
    CruiseTrackQuery,
    CruiseTrackResponse,
    HomePositionQuery,
    HomePositionResponse,
    PtzPositionQuery,
    PtzPositionResponse,
)
from gb28181.manscdp.record import RecordInfoQuery, RecordInfoResponse
from gb28181.manscdp.schema import Element, Message, plan_of
from gb28181.manscdp.storage import SdCardStatusQuery, SdCardStatusResponse
from gb28181.manscdp.unknown import UnknownCommand
from gb28181.manscdp.values import BEIJING
from gb28181.media.source import ClipSource
from gb28181.ptz import (
    CruiseAction,
    CruiseCommand,
    Motion,
    Pan,
    PresetAction,
    PresetCommand,
    encode_ptz,
)
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.desk import DEVICE_ID, Desk
from gb28181.testing.simulation import Simulation
from gb28181.testing.synthetic import synthetic_clip
from gb28181.upper.answers import MAX_BUSY

CAMERA = "34020000001320000001"
ALARM_INPUT = "34020000001340000001"
NOBODY = "34020000001320009999"
EDITIONS = (Edition.GB2016, Edition.GB2022)
BOX = DragZoom(length=1280, width=720, mid_point_x=960, mid_point_y=360, length_x=320, length_y=180)


def channel(channel_id: str = CAMERA, **more: Any) -> DeviceChannel:
    item = CatalogItem(
        device_id=channel_id, name=f"camera {channel_id[-2:]}", civil_code="340200",
        address="East gate", parental=0, parent_id=DEVICE_ID, register_way=1, secrecy=0,
        status="ON", **more,
    )  # fmt: skip
    return DeviceChannel(item=item, source=lambda: ClipSource(synthetic_clip()))


def desk(gb: Simulation, **more: Any) -> Desk:
    return Desk(gb.network, more.pop("channels", [channel()]), **more)


def control(**said: Any) -> DeviceControl:
    return DeviceControl(sn="17", device_id=said.pop("to", CAMERA), **said)


def ptz(command: Any, **said: Any) -> DeviceControl:
    return control(ptz_cmd=encode_ptz(command), **said)


def head_of(room: Desk) -> Any:
    return room.device.inventory.units[CAMERA].head


def now() -> float:
    return asyncio.get_running_loop().time()


# Controls ---------------------------------------------------------------------------------------


@dataclass
class Done:
    """A control, and how one sees that it was done."""

    command: DeviceControl
    seen: Callable[[Desk], object]
    before: tuple[DeviceControl, ...] = field(default=())


PRESET = ptz(PresetCommand(action=PresetAction.SET, preset=1))

CONTROL_CASES = {
    "ptz_cmd": Done(
        ptz(Motion(pan=Pan.RIGHT, pan_speed=255)), lambda room: head_of(room).view(now()).pan > 50
    ),
    "tele_boot": Done(control(to=DEVICE_ID, tele_boot="Boot"), lambda room: room.registers[2:]),
    "record_cmd": Done(
        control(record_cmd="Record"),
        lambda room: room.device.inventory.units[CAMERA].recorder.is_recording,
    ),
    "guard_cmd": Done(
        control(guard_cmd="ResetGuard"),
        lambda room: room.device.inventory.guard.sources[CAMERA].duty == "OFFDUTY",
    ),
    "alarm_cmd": Done(
        control(to=ALARM_INPUT, alarm_cmd="ResetAlarm"),
        lambda room: room.device.inventory.guard.sources[ALARM_INPUT].duty == "ONDUTY",
    ),
    "i_frame_cmd": Done(control(i_frame_cmd="Send"), lambda room: True),
    "drag_zoom_in": Done(
        control(drag_zoom_in=BOX), lambda room: head_of(room).view(now()).zoom == pytest.approx(4)
    ),
    "drag_zoom_out": Done(
        control(drag_zoom_out=BOX),
        lambda room: head_of(room).view(now()).zoom == pytest.approx(1),
        before=(control(drag_zoom_in=BOX),),
    ),
    "home_position": Done(
        control(home_position=HomePosition(enabled=1, reset_time=60, preset_index=1)),
        lambda room: head_of(room).home.preset_index == 1,
        before=(PRESET,),
    ),
    "ptz_precise_ctrl": Done(
        control(ptz_precise_ctrl=PtzPrecise(pan=100.5, tilt=-10.0, zoom=4.0)),
        lambda room: head_of(room).view(now()).pan == pytest.approx(100.5),
    ),
    "device_upgrade": Done(
        control(
            to=DEVICE_ID,
            device_upgrade=DeviceUpgrade(
                firmware="V2", file_url="ftp://192.0.2.1/a", manufacturer="gb28181",
                session_id="0f8c2a7e-5d41-4b0e-9d3a-7a6d1c22b901",
            ),
        ),
        lambda room: True,
    ),
    "format_sd_card": Done(
        control(to=DEVICE_ID, format_sd_card=1),
        lambda room: room.device.inventory.cards.status(now())[0].status == "formatting",
    ),
    "target_track": Done(
        control(target_track="Manual", device_id2=CAMERA, target_area=BOX),
        lambda room: room.device.inventory.units[CAMERA].tracking.mode == "Manual",  # type: ignore[union-attr]
    ),
}  # fmt: skip
REFUSED = {"device_upgrade"}
"""What this case cannot do; test_firmware does it."""


def test_there_is_a_case_for_every_control() -> None:
    assert set(CONTROL_CASES) == {one.field for one in CONTROLS}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", CONTROL_CASES)
async def test_a_control_is_done_and_answered_where_the_standard_says(
    gb: Simulation, name: str, edition: Edition, transport: str
) -> None:
    case = CONTROL_CASES[name]
    answered = next(one.answered for one in CONTROLS if one.field == name)
    slot = next(one for one in plan_of(DeviceControl).slots if one.attribute == name)
    async with desk(gb, edition=edition, transport=transport) as room:
        for command in case.before:
            await room.ask(command)
        answers = await room.ask(case.command, within=8.0)
        if not slot.xml.is_in(edition):
            assert [one.result for one in answers] == (["ERROR"] if answered else [])  # type: ignore[attr-defined]
            return
        assert case.seen(room)
        expected = ["ERROR" if name in REFUSED else "OK"] if answered else []
        assert [one.result for one in answers] == expected  # type: ignore[attr-defined]
        assert all(one.device_id == case.command.device_id for one in answers)


@pytest.mark.parametrize("name", CONTROL_CASES)
async def test_a_control_for_what_is_not_there_is_an_error_or_nothing(
    gb: Simulation, name: str
) -> None:
    case = CONTROL_CASES[name]
    answered = next(one.answered for one in CONTROLS if one.field == name)
    async with desk(gb) as room:
        answers = await room.ask(replace(case.command, device_id=NOBODY))
        assert [one.result for one in answers] == (["ERROR"] if answered else [])  # type: ignore[attr-defined]
        assert all(NOBODY in one.reason for one in answers)  # type: ignore[attr-defined]
        assert room.device.inventory.ignored == 1


async def test_a_fixed_camera_has_no_home(gb: Simulation) -> None:
    from gb28181.manscdp.catalog import CatalogInfo

    async with desk(gb, channels=[channel(info=CatalogInfo(ptz_type="3"))]) as room:
        command = control(home_position=HomePosition(enabled=0))
        (answer,) = await room.ask(command)
        assert isinstance(answer, DeviceControlResponse)
        assert answer.result == "ERROR"
        (where,) = await room.ask(PtzPositionQuery(sn="3", device_id=CAMERA))
        assert isinstance(where, PtzPositionResponse)
        assert where.pan is None


async def test_a_control_that_says_nothing_known_is_an_error(gb: Simulation) -> None:
    async with desk(gb) as room:
        (answer,) = await room.ask(control())
        assert isinstance(answer, DeviceControlResponse)
        assert answer.result == "ERROR"


@pytest.mark.parametrize("bad", ["A50F0001", "A50F00011F0000D5", "zz"])
async def test_eight_bytes_that_are_wrong_move_nothing(gb: Simulation, bad: str) -> None:
    async with desk(gb) as room:
        assert await room.ask(control(ptz_cmd=bad)) == []
        assert head_of(room).is_moving(now()) is False
        assert room.device.inventory.ignored == 1


async def test_a_home_that_is_no_preset_is_refused(gb: Simulation) -> None:
    async with desk(gb) as room:
        command = control(home_position=HomePosition(enabled=1, reset_time=60, preset_index=9))
        (answer,) = await room.ask(command)
        assert isinstance(answer, DeviceControlResponse)
        assert answer.result == "ERROR"
        assert head_of(room).home is None


# Queries ----------------------------------------------------------------------------------------

DAY = ("2024-05-01T00:00:00", "2024-05-01T23:59:59")
QUERY_CASES: dict[type[Any], tuple[Any, type[Any]]] = {
    CatalogQuery: (CatalogQuery(sn="21", device_id=DEVICE_ID), CatalogResponse),
    ConfigDownloadQuery: (
        ConfigDownloadQuery(sn="22", device_id=CAMERA, config_type="BasicParam"),
        ConfigDownloadResponse,
    ),
    CruiseTrackListQuery: (
        CruiseTrackListQuery(sn="23", device_id=CAMERA),
        CruiseTrackListResponse,
    ),
    CruiseTrackQuery: (
        CruiseTrackQuery(sn="24", device_id=CAMERA, number=0),
        CruiseTrackResponse,
    ),
    DeviceInfoQuery: (DeviceInfoQuery(sn="25", device_id=DEVICE_ID), DeviceInfoResponse),
    DeviceStatusQuery: (DeviceStatusQuery(sn="26", device_id=DEVICE_ID), DeviceStatusResponse),
    HomePositionQuery: (HomePositionQuery(sn="27", device_id=CAMERA), HomePositionResponse),
    MobilePositionQuery: (MobilePositionQuery(sn="28", device_id=CAMERA), MobilePositionNotify),
    PresetQuery: (PresetQuery(sn="29", device_id=CAMERA), PresetResponse),
    PtzPositionQuery: (PtzPositionQuery(sn="30", device_id=CAMERA), PtzPositionResponse),
    RecordInfoQuery: (
        RecordInfoQuery(sn="31", device_id=CAMERA, start_time=DAY[0], end_time=DAY[1]),
        RecordInfoResponse,
    ),
    SdCardStatusQuery: (SdCardStatusQuery(sn="32", device_id=DEVICE_ID), SdCardStatusResponse),
}


def test_there_is_a_case_for_every_query() -> None:
    assert set(QUERY_CASES) == {cls for cls in SERVED if cls.root == "Query"}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("cls", QUERY_CASES, ids=lambda cls: cls.__name__)
async def test_a_query_has_an_answer_in_the_editions_that_have_the_query(
    gb: Simulation, cls: type[Any], edition: Edition, transport: str
) -> None:
    query, answer = QUERY_CASES[cls]
    async with desk(gb, edition=edition, transport=transport) as room:
        answers = await room.ask(query)
        assert [type(one) for one in answers] == ([answer] if is_known(cls, edition) else [])
        assert all(one.device_id == query.device_id for one in answers)
        unknown = {} if is_known(cls, edition) else {f"Query/{cls.cmd_type}": 1}
        assert dict(room.device.answers.unknown) == unknown


@pytest.mark.parametrize("cls", QUERY_CASES, ids=lambda cls: cls.__name__)
async def test_a_query_for_an_unknown_id_is_never_ok(gb: Simulation, cls: type[Any]) -> None:
    query = QUERY_CASES[cls][0]
    async with desk(gb) as room:
        answers = await room.ask(replace(query, device_id=NOBODY))
        assert len(answers) == (0 if cls is MobilePositionQuery else 1)
        for one in answers:
            assert one.result == "ERROR"  # type: ignore[attr-defined]
            assert NOBODY in one.reason  # type: ignore[attr-defined]
            assert getattr(one, "items", ()) == ()
            assert getattr(one, "pan", None) is None


# Configuration ----------------------------------------------------------------------------------

SEGMENT = TimeSegment(
    start_hour=8, start_minute=0, start_second=0, stop_hour=18, stop_minute=0, stop_second=0
)


def planned(day: RecordSchedule, *, times: int = 1) -> VideoRecordPlan:
    return VideoRecordPlan(enable=1, schedules=(day,) * times)


def day_until(hour: int, minute: int) -> RecordSchedule:
    segment = replace(SEGMENT, stop_hour=hour, stop_minute=minute)
    return RecordSchedule(week_day=1, segments=(segment,))


CONFIG_CASES: dict[str, tuple[str, Any]] = {
    "basic_param": (
        "BasicParam",
        BasicParam(name="NVR", expiration=1800, heartbeat_interval=20, heartbeat_count=5),
    ),
    "svac_encode_config": (
        "SVACEncodeConfig",
        SvacEncodeConfig(
            roi=RoiParam(
                flag=1,
                number=1,
                items=(RoiItem(sequence=1, top_left=10, bottom_right=200, qp=2),),
            )
        ),
    ),
    "svac_decode_config": ("SVACDecodeConfig", SvacDecodeConfig(svc=SvcDecodeParam(stm_mode=1))),
    "video_param_attribute": (
        "VideoParamAttribute",
        (
            VideoParam(
                stream_number=0, video_format="5", resolution="6", frame_rate="25",
                bit_rate_type="1", video_bit_rate="4096",
            ),
        ),
    ),
    "video_record_plan": (
        "VideoRecordPlan",
        VideoRecordPlan(
            enable=1,
            schedule_sum=1,
            schedules=(RecordSchedule(week_day=1, segment_sum=1, segments=(SEGMENT,)),),
            stream_number=0,
        ),
    ),
    "video_alarm_record": (
        "VideoAlarmRecord",
        VideoAlarmRecord(enable=1, record_time=60, pre_record_time=10, stream_number=0),
    ),
    "picture_mask": (
        "PictureMask",
        PictureMask(on=1, sum_num=1, regions=(MaskRegion(sequence=1, point="20,30,50,60"),)),
    ),
    "frame_mirror": ("FrameMirror", 3),
    "alarm_report": ("AlarmReport", AlarmReport(motion_detection=0, field_detection=1)),
    "osd_config": (
        "OSDConfig",
        OsdConfig(
            length=1920, width=1080, time_x=30, time_y=40, time_enable=1, time_type=1,
            text_enable=1, sum_num=1, items=(OsdText(text="东门", x=20, y=1000),),
        ),
    ),
    "snapshot_config": (
        "SnapShotConfig",
        SnapShotConfig(snap_num=1, interval=1, upload_url="ftp://192.0.2.1/", session_id="s" * 32),
    ),
}  # fmt: skip


def test_there_is_a_case_for_every_block() -> None:
    known = {one.name for one in fields(DeviceConfig)}
    assert set(CONFIG_CASES) == known - {"sn", "device_id", "extra_info", "extra"}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("edition", EDITIONS)
@pytest.mark.parametrize("name", CONFIG_CASES)
async def test_a_block_is_set_kept_and_read_back(
    gb: Simulation, name: str, edition: Edition, transport: str
) -> None:
    block, value = CONFIG_CASES[name]
    slot = next(one for one in plan_of(DeviceConfig).slots if one.attribute == name)
    async with desk(gb, edition=edition, transport=transport) as room:
        config = DeviceConfig(sn="41", device_id=CAMERA, **{name: value})
        (answer,) = await room.ask(config)
        assert isinstance(answer, DeviceConfigResponse)
        # Pictures go nowhere by ftp: it must not say that they would.
        expected = "OK" if slot.xml.is_in(edition) and name != "snapshot_config" else "ERROR"
        assert answer.result == expected
        query = ConfigDownloadQuery(sn="42", device_id=CAMERA, config_type=block)
        (told,) = await room.ask(query)
        assert isinstance(told, ConfigDownloadResponse)
        assert told.result == ("OK" if slot.xml.is_in(edition) else "ERROR")
        if expected == "OK" and name == "svac_encode_config":
            assert told.svac_encode_config is not None
            assert told.svac_encode_config.roi == value.roi
        elif expected == "OK" and name == "svac_decode_config":
            assert told.svac_decode_config is not None
            assert told.svac_decode_config.svc is not None
            assert told.svac_decode_config.svc.stm_mode == 1
        elif expected == "OK":
            assert getattr(told, name) == value


async def test_several_types_are_answered_one_by_one(gb: Simulation) -> None:
    async with desk(gb) as room:
        query = ConfigDownloadQuery(
            sn="43", device_id=DEVICE_ID, config_type="BasicParam/VideoParamOpt/Weather/SnapShot"
        )
        answers = await room.ask(query)
        assert all(isinstance(one, ConfigDownloadResponse) for one in answers)
        assert [one.result for one in answers] == ["OK", "OK", "ERROR", "OK"]  # type: ignore[attr-defined]
        assert answers[1].video_param_opt.download_speed == "1/2/4"  # type: ignore[attr-defined]


async def test_expiry_and_heartbeat_take_effect(gb: Simulation) -> None:
    async with desk(gb) as room:
        config = DeviceConfig(
            sn="44",
            device_id=DEVICE_ID,
            basic_param=BasicParam(name="门", expiration=900, heartbeat_interval=7),
        )
        (answer,) = await room.ask(config)
        assert answer.result == "OK"  # type: ignore[attr-defined]
        first, again = room.registers
        assert (first.expires, again.expires) == (3600, 900)
        assert first.call_id == again.call_id  # a refresh: it was never away
        before = len(room.of(KeepaliveNotify))
        await gb.advance(71)
        assert len(room.of(KeepaliveNotify)) - before == 10
        (info,) = await room.ask(DeviceInfoQuery(sn="45", device_id=DEVICE_ID))
        assert info.device_name == "门"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"basic_param": BasicParam(expiration=1)},
        {"frame_mirror": 4},
        {"video_record_plan": VideoRecordPlan(enable=1, schedules=(RecordSchedule(week_day=8),))},
        {"osd_config": OsdConfig(items=(OsdText(text="x"),) * 9)},
        {"picture_mask": PictureMask(on=1, regions=(MaskRegion(sequence=1, point="1,2"),))},
        {"snapshot_config": SnapShotConfig(snap_num=11, upload_url="http://a/", session_id="s")},
        {"video_alarm_record": VideoAlarmRecord(enable=1, record_time=-1)},
        {"frame_mirror": 1, "basic_param": BasicParam(heartbeat_count=0)},
        {"basic_param": BasicParam(name="x" * 256)},
        {"video_param_attribute": (VideoParam(stream_number=1),) * 2},
        {"video_param_attribute": (VideoParam(stream_number=8),)},
        {"video_record_plan": planned(RecordSchedule(week_day=1, segments=(SEGMENT,)), times=2)},
        {"video_record_plan": planned(RecordSchedule(week_day=1))},
        {"video_record_plan": planned(day_until(8, 0))},
        {"video_record_plan": planned(day_until(24, 30))},
        {"video_record_plan": planned(day_until(17, 60))},
        {"picture_mask": PictureMask(regions=(MaskRegion(sequence=1, point="1,2,3,4"),) * 5)},
        {"picture_mask": PictureMask(regions=(MaskRegion(sequence=5, point="1,2,3,4"),))},
        {"osd_config": OsdConfig(items=(OsdText(text="x" * 33),))},
        {"osd_config": OsdConfig(time_type=2)},
        {"snapshot_config": SnapShotConfig(snap_num=1)},
        {"snapshot_config": SnapShotConfig(upload_url="http://a/", session_id="s" * 129)},
    ],
)
async def test_what_cannot_be_set_is_an_error_and_changes_nothing(
    gb: Simulation, bad: dict[str, Any]
) -> None:
    async with desk(gb) as room:
        blocks = room.device.inventory.units[CAMERA].configuration.blocks
        (answer,) = await room.ask(DeviceConfig(sn="46", device_id=CAMERA, **bad))
        assert isinstance(answer, DeviceConfigResponse)
        assert answer.result == "ERROR"
        assert answer.reason
        assert room.device.inventory.units[CAMERA].configuration.blocks == blocks


async def test_what_is_set_for_the_device_holds_for_its_channels(gb: Simulation) -> None:
    both = [channel(), channel("34020000001320000002")]
    async with desk(gb, channels=both) as room:
        await room.ask(DeviceConfig(sn="47", device_id=DEVICE_ID, frame_mirror=2))
        for asked in (DEVICE_ID, CAMERA, "34020000001320000002"):
            query = ConfigDownloadQuery(sn="48", device_id=asked, config_type="FrameMirror")
            (told,) = await room.ask(query)
            assert told.frame_mirror == 2  # type: ignore[attr-defined]


# What is asked, out of the state ----------------------------------------------------------------


async def test_presets_and_cruises_are_told_as_they_were_made(gb: Simulation) -> None:
    async with desk(gb) as room:
        await room.ask(
            ptz(PresetCommand(action=PresetAction.SET, preset=3), preset_name="东门"), within=0.1
        )
        for action, value in (
            (CruiseAction.ADD_POINT, 3),
            (CruiseAction.SPEED, 4095),
            (CruiseAction.DWELL, 20),
        ):
            command = CruiseCommand(action=action, cruise=0, value=value)
            await room.ask(ptz(command, cruise_track_name="night"), within=0.1)
        (presets,) = await room.ask(PresetQuery(sn="1", device_id=CAMERA))
        assert isinstance(presets, PresetResponse)
        assert [(one.preset_id, one.preset_name) for one in presets.items] == [("3", "东门")]
        (tracks,) = await room.ask(CruiseTrackListQuery(sn="2", device_id=CAMERA))
        assert isinstance(tracks, CruiseTrackListResponse)
        assert [(one.number, one.name) for one in tracks.items] == [(0, "night")]
        (track,) = await room.ask(CruiseTrackQuery(sn="3", device_id=CAMERA, number=0))
        assert isinstance(track, CruiseTrackResponse)
        (point,) = track.items
        assert (point.preset_index, point.stay_time, point.speed) == (3, 20, 15)


async def test_the_status_tells_of_recording_alarm_inputs_and_lost_video(gb: Simulation) -> None:
    async with desk(gb) as room:
        query = DeviceStatusQuery(sn="4", device_id=DEVICE_ID)
        (status,) = await room.ask(query)
        assert isinstance(status, DeviceStatusResponse)
        assert (status.record, status.status, status.encode) == ("OFF", "OK", "ON")
        assert [(one.device_id, one.duty_status) for one in status.alarms] == [
            (ALARM_INPUT, "ONDUTY")
        ]
        await room.ask(control(to=DEVICE_ID, record_cmd="Record"))
        await room.ask(control(to=DEVICE_ID, guard_cmd="ResetGuard"))
        room.device.change_channel(CAMERA, status="OFF")
        (status,) = await room.ask(query)
        assert isinstance(status, DeviceStatusResponse)
        assert (status.record, status.status, status.encode) == ("ON", "ERROR", "OFF")
        assert status.alarms[0].duty_status == "OFFDUTY"


async def test_a_recording_by_hand_is_found_afterwards(gb: Simulation) -> None:
    began = datetime(2024, 5, 1, 8, tzinfo=BEIJING)
    equipment = EquipmentSettings(clock=lambda: began + timedelta(seconds=now()))
    async with desk(gb, equipment=equipment) as room:
        await room.ask(control(record_cmd="Record"))
        await gb.advance(60)
        await room.ask(control(record_cmd="StopRecord"))
        await gb.advance(60)
        query = RecordInfoQuery(
            sn="5", device_id=CAMERA, start_time=DAY[0], end_time=DAY[1], type="manual"
        )
        (answer,) = await room.ask(query)
        assert isinstance(answer, RecordInfoResponse)
        (found,) = answer.items
        assert (found.type, found.secrecy, found.address) == ("manual", 0, "East gate")
        assert found.start_time is not None
        assert found.end_time is not None
        length = datetime.fromisoformat(found.end_time) - datetime.fromisoformat(found.start_time)
        assert 60 <= length.total_seconds() <= 63


# Pages ------------------------------------------------------------------------------------------


class ManyFiles:
    """A disk with an entry for every minute of a day."""

    def find(self, start: datetime, end: datetime, *, kind: str = "all") -> list[Any]:
        from gb28181.equipment.recordings import RecordedFile

        first = datetime(2024, 5, 1, tzinfo=BEIJING)
        every = [
            RecordedFile(
                start=first + timedelta(minutes=n), end=first + timedelta(minutes=n + 1),
                name=f"录像{n:04d}", path=f"/rec/{n:04d}", size=1000 + n,
            )
            for n in range(1440)
        ]  # fmt: skip
        return [one for one in every if one.start < end and one.end > start]

    def source(self, start: datetime, end: datetime, *, kind: str = "all") -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(("transport", "most"), [("udp", 720), ("tcp", 10)])
async def test_a_day_of_recordings_comes_in_pages_that_fit(
    gb: Simulation, transport: str, most: int
) -> None:
    disk = replace(channel(), recordings=ManyFiles())
    async with desk(gb, channels=[disk], transport=transport) as room:
        query = RecordInfoQuery(sn="6", device_id=CAMERA, start_time=DAY[0], end_time=DAY[1])
        answers = await room.ask(query, within=60.0)
        assert {one.sum_num for one in answers} == {1440}  # type: ignore[attr-defined]
        names = [item.name for one in answers for item in one.items]  # type: ignore[attr-defined]
        assert names == [f"录像{n:04d}" for n in range(1440)]
        assert 2 < len(answers) <= most
        assert room.largest <= 1300


async def test_too_many_long_answers_at_once_are_refused(gb: Simulation) -> None:
    async with desk(gb, channels=[replace(channel(), recordings=ManyFiles())]) as room:
        query = RecordInfoQuery(sn="7", device_id=CAMERA, start_time=DAY[0], end_time=DAY[1])
        statuses = [await room.send(query) for _ in range(MAX_BUSY + 2)]
        assert statuses == [200] * MAX_BUSY + [503] * 2


async def test_the_rest_is_not_sent_when_a_page_is_refused(gb: Simulation) -> None:
    async with desk(gb, channels=[replace(channel(), recordings=ManyFiles())]) as room:
        room.answer = 500
        query = RecordInfoQuery(sn="7", device_id=CAMERA, start_time=DAY[0], end_time=DAY[1])
        assert len(await room.ask(query, within=30.0)) == 1


async def test_an_answer_that_cannot_be_cut_and_is_large_goes_over_tcp(gb: Simulation) -> None:
    async with desk(gb) as room:
        head = head_of(room)
        for number in range(1, 256):
            head.take(PresetCommand(action=PresetAction.SET, preset=number), now())
        (presets,) = await room.ask(PresetQuery(sn="8", device_id=CAMERA), within=2.0)
        assert isinstance(presets, PresetResponse)
        assert len(presets.items) == 255
        assert room.largest <= 1300


@pytest.mark.parametrize("takes_tcp", [True, False])
async def test_a_platform_that_refuses_tcp_gets_a_large_answer_over_udp(
    gb: Simulation, takes_tcp: bool
) -> None:
    """It may know the device only by the flow it registered over, or listen on UDP alone."""
    async with desk(gb) as room:
        if takes_tcp:
            room.refuses_tcp = True
        else:
            gb.network.filter(lambda packet: packet.kind == "udp")
        head = head_of(room)
        for number in range(1, 256):
            head.take(PresetCommand(action=PresetAction.SET, preset=number), now())
        answers = await room.ask(PresetQuery(sn="8", device_id=CAMERA), within=15.0)
        assert [len(one.items) for one in answers] == [255]  # type: ignore[attr-defined]
        assert room.largest > 1300


# Time and what must not be believed ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "hour"),
    [("2024-05-01T12:00:00.500", 12), ("Wed, 01 May 2024 04:00:00 GMT", 8), ("", 8)],
)
async def test_it_takes_the_time_of_day_from_the_platform(
    gb: Simulation, said: str, hour: int
) -> None:
    morning = datetime(2024, 5, 1, 8, tzinfo=BEIJING)
    equipment = EquipmentSettings(clock=lambda: morning + timedelta(seconds=now()))
    async with desk(gb, equipment=equipment, date=said) as room:
        (status,) = await room.ask(DeviceStatusQuery(sn="1", device_id=DEVICE_ID))
        assert isinstance(status, DeviceStatusResponse)
        assert status.device_time is not None
        assert status.device_time.startswith(f"2024-05-01T{hour:02d}:00:0")


async def test_a_configuration_that_is_too_large_is_not_kept(gb: Simulation) -> None:
    async with desk(gb, transport="tcp") as room:
        rubbish = (Element(name="Rubbish", text="x" * 20_000),)
        config = DeviceConfig(sn="1", device_id=CAMERA, osd_config=OsdConfig(extra=rubbish))
        (answer,) = await room.ask(config)
        assert isinstance(answer, DeviceConfigResponse)
        assert answer.result == "ERROR"


async def test_an_unknown_command_is_counted_by_a_short_name(gb: Simulation) -> None:
    async with desk(gb, transport="tcp") as room:
        command = UnknownCommand(root="Query", cmd_type="W" * 5000, sn="1", device_id=DEVICE_ID)
        assert await room.ask(command) == []
        (name,) = room.device.answers.unknown
        assert len(name) == 80


async def test_a_target_is_followed_until_it_is_left(gb: Simulation) -> None:
    async with desk(gb) as room:
        await room.ask(control(target_track="Auto"), within=5)
        assert head_of(room).tour(now()) == ("track", 0)
        await room.ask(control(target_track="Stop"))
        assert not head_of(room).is_moving(now())
        assert room.device.inventory.units[CAMERA].tracking is None
        # Without an area there is nothing to follow by hand.
        await room.ask(control(target_track="Manual"))
        assert room.device.inventory.units[CAMERA].tracking is None


NUMBERS = st.one_of(st.none(), st.integers(-(2**62), 2**62))
BOXES = st.builds(
    DragZoom,
    length=st.integers(-(2**62), 2**62),
    width=st.integers(-5, 5),
    mid_point_x=st.integers(-(2**62), 2**62),
    mid_point_y=st.integers(-(2**62), 2**62),
    length_x=st.integers(-5, 5),
    length_y=st.integers(-(2**62), 2**62),
)
REALS = st.one_of(st.none(), st.floats(-1e15, 1e15))
COMMANDS = st.builds(
    DeviceControl,
    sn=st.just("1"),
    device_id=st.sampled_from([CAMERA, DEVICE_ID, ALARM_INPUT, NOBODY, ""]),
    ptz_cmd=st.one_of(st.none(), st.text(max_size=20), st.just("A50F008100010036")),
    preset_name=st.one_of(st.none(), st.text(max_size=400)),
    record_cmd=st.sampled_from([None, "Record", "StopRecord", "Perhaps"]),
    stream_number=NUMBERS,
    guard_cmd=st.sampled_from([None, "SetGuard", "ResetGuard", "?"]),
    alarm_cmd=st.sampled_from([None, "ResetAlarm", "?"]),
    drag_zoom_in=st.one_of(st.none(), BOXES),
    drag_zoom_out=st.one_of(st.none(), BOXES),
    home_position=st.one_of(
        st.none(),
        st.builds(
            HomePosition, enabled=st.integers(0, 1), reset_time=NUMBERS, preset_index=NUMBERS
        ),
    ),
    ptz_precise_ctrl=st.one_of(st.none(), st.builds(PtzPrecise, pan=REALS, tilt=REALS, zoom=REALS)),
    format_sd_card=NUMBERS,
    target_track=st.sampled_from([None, "Auto", "Manual", "Stop", "?"]),
    target_area=st.one_of(st.none(), BOXES),
    alarm_method=st.one_of(st.none(), st.text(max_size=9)),
)


@given(commands=st.lists(st.tuples(COMMANDS, st.floats(0, 1e7)), max_size=12))
@settings(max_examples=40, deadline=None)
def test_whatever_is_ordered_the_state_can_be_told(
    commands: list[tuple[DeviceControl, float]],
) -> None:
    inventory = Inventory(
        DEVICE_ID,
        [(channel().item, None)],
        settings=EquipmentSettings(),
        edition=Edition.GB2022,
        basic=BasicParam(name="x"),
    )
    hooks = Hooks(force_key=lambda _: None, restart=lambda: None, upgrade=lambda _: "no")
    controls, queries, moment = Controls(inventory, hooks), Queries(inventory), 0.0
    for command, pause in commands:
        answer = controls.serve(command, moment)
        assert answer is None or answer.result in ("OK", "ERROR")
        moment += pause
        where = queries.ptz_position(PtzPositionQuery(sn="1", device_id=CAMERA), moment)
        told: list[Message] = [
            where,
            queries.presets(PresetQuery(sn="1", device_id=CAMERA)),
            queries.home_position(HomePositionQuery(sn="1", device_id=CAMERA)),
            queries.cards(SdCardStatusQuery(sn="1", device_id=CAMERA), moment),
            queries.device_status(DeviceStatusQuery(sn="1", device_id=DEVICE_ID)),
        ]
        for one in told:
            assert decode(encode(one, Edition.GB2022)).repairs == ()
        assert where.pan is not None
        assert 0.0 <= where.pan < 360.0


async def test_it_may_ask_to_be_watched(gb: Simulation) -> None:
    async with desk(gb) as room:
        assert await room.device.ask_to_be_watched(CAMERA)
        (notice,) = room.of(VideoUploadNotify)
        assert (notice.device_id, notice.longitude) == (CAMERA, pytest.approx(118.37, abs=0.01))


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({"to": ALARM_INPUT, "record_cmd": "Record"}, "does not record"),
        ({"record_cmd": "Record", "stream_number": 1}, "stream 1"),
        ({"record_cmd": "Perhaps"}, "Perhaps"),
        ({"guard_cmd": "Perhaps"}, "Perhaps"),
        ({"alarm_cmd": "Perhaps"}, "Perhaps"),
    ],
)
async def test_a_word_that_means_nothing_is_refused(
    gb: Simulation, command: dict[str, Any], reason: str
) -> None:
    async with desk(gb) as room:
        (answer,) = await room.ask(control(**command))
        assert isinstance(answer, DeviceControlResponse)
        assert answer.result == "ERROR"
        assert answer.reason is not None
        assert reason in answer.reason


async def test_with_several_cameras_the_device_is_not_one_of_them(gb: Simulation) -> None:
    both = [channel(), channel("34020000001320000002")]
    async with desk(gb, channels=both) as room:
        home = HomePosition(enabled=0)
        (answer,) = await room.ask(control(to=DEVICE_ID, home_position=home))
        assert answer.result == "ERROR"  # type: ignore[attr-defined]
        (presets,) = await room.ask(PresetQuery(sn="2", device_id=DEVICE_ID))
        assert presets.result == "ERROR"  # type: ignore[attr-defined]
        order = SnapShotConfig(snap_num=1, upload_url="http://192.0.2.1/", session_id="s" * 32)
        (answer,) = await room.ask(DeviceConfig(sn="3", device_id=DEVICE_ID, snapshot_config=order))
        assert answer.result == "ERROR"  # type: ignore[attr-defined]
