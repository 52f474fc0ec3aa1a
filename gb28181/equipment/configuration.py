"""Configuration: the blocks that are set, kept and read back, of a device or of one channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from ..edition import Edition
from ..manscdp.codec import encode
from ..manscdp.config import (
    AlarmReport,
    BasicParam,
    OsdConfig,
    OsdText,
    PictureMask,
    SnapShotConfig,
    SvacDecodeConfig,
    SvacEncodeConfig,
    SvcDecodeParam,
    SvcEncodeParam,
    VideoAlarmRecord,
    VideoParam,
    VideoParamOpt,
    VideoRecordPlan,
)
from ..manscdp.device_config import (
    ConfigDownloadQuery,
    ConfigDownloadResponse,
    DeviceConfig,
)
from ..manscdp.schema import plan_of

MAX_SIZE = 16 * 1024
"""Bytes of a configuration; a larger one is not kept."""
MAX_TEXTS = 8
MAX_REGIONS = 4
MAX_SNAPSHOTS = 10
_ANSWER_SLOTS = {
    slot.xml.path.partition("/")[0]: slot
    for slot in plan_of(ConfigDownloadResponse).slots
    if slot.attribute not in ("sn", "device_id", "result", "reason", "extra_info")
}
TYPES: Mapping[str, str] = MappingProxyType(
    {
        **{name.lower(): slot.attribute for name, slot in _ANSWER_SLOTS.items()},
        # The block has one name in the question of some platforms, another in the answer.
        "snapshotconfig": "snapshot_config",
    }
)
"""The fields that can be asked for, by the name of the block in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """A configuration, by the fields of ``ConfigDownloadResponse``."""

    basic_param: BasicParam
    video_param_opt: VideoParamOpt
    svac_encode_config: SvacEncodeConfig
    svac_decode_config: SvacDecodeConfig
    video_param_attribute: tuple[VideoParam, ...]
    video_record_plan: VideoRecordPlan
    video_alarm_record: VideoAlarmRecord
    picture_mask: PictureMask
    frame_mirror: int
    alarm_report: AlarmReport
    osd_config: OsdConfig
    snapshot_config: SnapShotConfig


def factory_blocks(basic: BasicParam) -> Blocks:
    """A configuration that nobody has changed yet."""
    return replace(_factory(), basic_param=basic)


@cache
def _factory() -> Blocks:
    stream = VideoParam(
        stream_number=0, video_format="2", resolution="5", frame_rate="25",
        bit_rate_type="1", video_bit_rate="2048",
    )  # fmt: skip
    encoding = SvcEncodeParam(
        space_domain_mode=0, time_domain_mode=0, space_support_mode=0, time_support_mode=0
    )
    decoding = SvcDecodeParam(stm_mode=0, space_support_mode=0, time_support_mode=0)
    return Blocks(
        basic_param=BasicParam(),
        video_param_opt=VideoParamOpt(download_speed="1/2/4", resolution="5/6"),
        svac_encode_config=SvacEncodeConfig(svc=encoding, audio_recognition_flag=0),
        svac_decode_config=SvacDecodeConfig(svc=decoding),
        video_param_attribute=(stream,),
        video_record_plan=VideoRecordPlan(enable=0, schedule_sum=0, stream_number=0),
        video_alarm_record=VideoAlarmRecord(
            enable=0, record_time=30, pre_record_time=5, stream_number=0
        ),
        picture_mask=PictureMask(on=0, sum_num=0),
        frame_mirror=0,
        alarm_report=AlarmReport(motion_detection=1, field_detection=1),
        osd_config=OsdConfig(
            length=1920, width=1080, time_x=20, time_y=20, time_enable=1, time_type=0,
            text_enable=1, sum_num=0,
        ),
        snapshot_config=SnapShotConfig(snap_num=1, interval=1),
    )  # fmt: skip


class Configuration:
    """The blocks of one device or channel.

    Source: GB/T 28181-2022 A.2.3.2, A.2.4.7, A.2.6.8, A.2.6.9.
    """

    __slots__ = ("_edition", "blocks")

    def __init__(self, blocks: Blocks, edition: Edition) -> None:
        """Begin with these blocks; what the edition does not have cannot be set or read."""
        self.blocks = blocks
        self._edition = edition

    def fault(self, config: DeviceConfig) -> str:
        """Say why a configuration cannot be set; empty when it can, as a whole."""
        named = blocks_of(config)
        if not named:
            return "no block of the configuration that is known"
        if len(encode(config, Edition.GB2022)) > MAX_SIZE:
            return f"the configuration has more than {MAX_SIZE} bytes"
        for slot in plan_of(DeviceConfig).slots:
            if slot.attribute in named and not slot.xml.is_in(self._edition):
                return f"{slot.xml.path} is not in edition {self._edition.version}"
        for name in named:
            check = _CHECKS.get(name)
            fault = check(getattr(config, name)) if check is not None else ""
            if fault:
                return fault
        return ""

    def set(self, config: DeviceConfig) -> tuple[str, ...]:
        """Set what has no fault; return the fields that were set."""
        named = blocks_of(config)
        changes: dict[str, Any] = {}
        for name in named:
            new = getattr(config, name)
            old = getattr(self.blocks, name)
            changes[name] = _over(old, new) if hasattr(new, "__dataclass_fields__") else new
        changes.update(_recounted(changes))
        self.blocks = replace(self.blocks, **changes)
        return named

    def answers(self, query: ConfigDownloadQuery) -> list[ConfigDownloadResponse]:
        """Answer a question: one message for each block that was asked for."""
        names = list(dict.fromkeys(name.strip() for name in query.config_type.split("/")))
        names = [name for name in names if name]
        answers = [self._answer(query, name) for name in names[: len(TYPES)]]
        return answers or [_refusal(query, "no ConfigType named")]

    def _answer(self, query: ConfigDownloadQuery, name: str) -> ConfigDownloadResponse:
        field = TYPES.get(name.lower())
        if field is None:
            return _refusal(query, f"there is no block {name[:40]}")
        slot = next(one for one in _ANSWER_SLOTS.values() if one.attribute == field)
        if not slot.xml.is_in(self._edition):
            return _refusal(query, f"{name} is not in edition {self._edition.version}")
        block: dict[str, Any] = {field: getattr(self.blocks, field)}
        return ConfigDownloadResponse(sn=query.sn, device_id=query.device_id, result="OK", **block)


def blocks_of(config: DeviceConfig) -> tuple[str, ...]:
    """The fields that a configuration sets."""
    return tuple(
        name
        for name in dict.fromkeys(TYPES.values())
        if getattr(config, name, None) not in (None, ())
    )


def _refusal(query: ConfigDownloadQuery, reason: str) -> ConfigDownloadResponse:
    return ConfigDownloadResponse(
        sn=query.sn,
        device_id=query.device_id,
        result="ERROR",
        reason=reason,
    )


def _over(old: Any, new: Any) -> Any:
    """Lay what is said over what stands; lists are replaced as a whole."""
    said = {
        name: getattr(new, name)
        for name in new.__dataclass_fields__
        if getattr(new, name) is not None
    }
    for name, value in said.items():
        known = getattr(old, name)
        if hasattr(value, "__dataclass_fields__") and known is not None:
            said[name] = _over(known, value)
    return replace(old, **said)


def _recounted(changes: dict[str, Any]) -> dict[str, Any]:
    """What is counted in a block is counted by us: senders contradict themselves."""
    fresh: dict[str, Any] = {}
    mask, osd = changes.get("picture_mask"), changes.get("osd_config")
    plan = changes.get("video_record_plan")
    if mask is not None:
        fresh["picture_mask"] = replace(mask, sum_num=len(mask.regions))
    if osd is not None:
        fresh["osd_config"] = replace(osd, sum_num=len(osd.items))
    if plan is not None:
        days = tuple(replace(day, segment_sum=len(day.segments)) for day in plan.schedules)
        fresh["video_record_plan"] = replace(plan, schedules=days, schedule_sum=len(days))
    return fresh


def _outside(name: str, number: int | None, low: int, high: int) -> str:
    if number is None or low <= number <= high:
        return ""
    return f"{name} {number} is not from {low} to {high}"


def _check_basic(block: BasicParam) -> str:
    if block.name is not None and len(block.name) > 255:
        return "Name is longer than 255 characters"
    return (
        _outside("Expiration", block.expiration, 10, 604_800)
        or _outside("HeartBeatInterval", block.heartbeat_interval, 1, 86_400)
        or _outside("HeartBeatCount", block.heartbeat_count, 1, 100)
    )


def _check_streams(streams: tuple[VideoParam, ...]) -> str:
    numbers = [stream.stream_number for stream in streams]
    if len(set(numbers)) < len(numbers) or len(numbers) > 8:
        return "VideoParamAttribute names a stream twice, or more than 8"
    return next((_outside("StreamNumber", one, 0, 7) for one in numbers if one), "")


def _check_plan(plan: VideoRecordPlan) -> str:
    days = [day.week_day for day in plan.schedules]
    if len(days) > 7 or len(set(days)) < len(days):
        return "VideoRecordPlan names a day twice"
    for day in plan.schedules:
        if not 1 <= day.week_day <= 7:
            return f"WeekDayNum {day.week_day} is not from 1 to 7"
        if not 1 <= len(day.segments) <= 8:
            return "a day of VideoRecordPlan has no segments, or more than 8"
        for part in day.segments:
            start = (part.start_hour, part.start_minute, part.start_second)
            stop = (part.stop_hour, part.stop_minute, part.stop_second)
            within = (0, 0, 0) <= start < stop <= (24, 0, 0)
            if not within or min(*start, *stop) < 0 or max(*start[1:], *stop[1:]) > 59:
                return "a segment of VideoRecordPlan is not within a day"
    return ""


def _check_alarm_record(block: VideoAlarmRecord) -> str:
    return _outside("RecordTime", block.record_time, 0, 3600) or _outside(
        "PreRecordTime", block.pre_record_time, 0, 3600
    )


def _check_mask(mask: PictureMask) -> str:
    if len(mask.regions) > MAX_REGIONS:
        return f"PictureMask has {len(mask.regions)} regions, more than {MAX_REGIONS}"
    for region in mask.regions:
        fault = _outside("Seq", region.sequence, 1, MAX_REGIONS)
        corners = (region.point or "").split(",")
        if fault or len(corners) != 4 or not all(one.strip().isdecimal() for one in corners):
            return fault or f"Point {(region.point or '')[:40]!r} is not left,top,right,bottom"
    return ""


def _check_osd(osd: OsdConfig) -> str:
    if len(osd.items) > MAX_TEXTS:
        return f"OSDConfig has {len(osd.items)} texts, more than {MAX_TEXTS}"
    return next((fault for fault in map(_check_text, osd.items) if fault), "") or _outside(
        "TimeType", osd.time_type, 0, 1
    )


def _check_text(text: OsdText) -> str:
    return "a text of OSDConfig is longer than 32 characters" if len(text.text or "") > 32 else ""


def _check_snapshot(block: SnapShotConfig) -> str:
    if not block.upload_url or not block.session_id:
        return "SnapShotConfig has no UploadURL or no SessionID"
    if len(block.session_id) > 128:
        return "SessionID is longer than 128 characters"
    return _outside("SnapNum", block.snap_num, 1, MAX_SNAPSHOTS) or _outside(
        "Interval", block.interval, 1, 3600
    )


_CHECKS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "basic_param": _check_basic,
        "video_param_attribute": _check_streams,
        "video_record_plan": _check_plan,
        "video_alarm_record": _check_alarm_record,
        "picture_mask": _check_mask,
        "frame_mirror": lambda mirror: _outside("FrameMirror", mirror, 0, 3),
        "osd_config": _check_osd,
        "snapshot_config": _check_snapshot,
    }
)
