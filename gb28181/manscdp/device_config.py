"""Setting and reading the configuration of a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .config import (
    AlarmReport,
    BasicParam,
    OsdConfig,
    PictureMask,
    SnapShotConfig,
    SvacDecodeConfig,
    SvacEncodeConfig,
    VideoAlarmRecord,
    VideoParam,
    VideoParamOpt,
    VideoRecordPlan,
)
from .schema import Element, Xml
from .values import EXTENSION, RESULT

_NEW = Edition.GB2022
_OLD = Edition.GB2016

# The blocks are the same when set and when read, but for the name of the last one.
_Basic = Annotated[BasicParam | None, Xml("BasicParam")]
_SvacEncode = Annotated[SvacEncodeConfig | None, Xml("SVACEncodeConfig")]
_SvacDecode = Annotated[SvacDecodeConfig | None, Xml("SVACDecodeConfig")]
_Video = Annotated[
    tuple[VideoParam, ...], Xml("VideoParamAttribute/Item", count=("Num",), since=_NEW)
]
_RecordPlan = Annotated[VideoRecordPlan | None, Xml("VideoRecordPlan", since=_NEW)]
_AlarmRecord = Annotated[VideoAlarmRecord | None, Xml("VideoAlarmRecord", since=_NEW)]
_Mask = Annotated[PictureMask | None, Xml("PictureMask", since=_NEW)]
_Mirror = Annotated[int | None, Xml("FrameMirror", since=_NEW)]
_Report = Annotated[AlarmReport | None, Xml("AlarmReport", since=_NEW)]
_Osd = Annotated[OsdConfig | None, Xml("OSDConfig", since=_NEW)]
_Extension = Annotated[tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(_OLD, "Info"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """Sets blocks of the configuration; usually one.

    Source: GB/T 28181-2022 A.2.3.2.
    """

    root: ClassVar[str] = "Control"
    cmd_type: ClassVar[str] = "DeviceConfig"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    basic_param: _Basic = None
    svac_encode_config: _SvacEncode = None
    svac_decode_config: _SvacDecode = None
    video_param_attribute: _Video = ()
    video_record_plan: _RecordPlan = None
    video_alarm_record: _AlarmRecord = None
    picture_mask: _Mask = None
    frame_mirror: _Mirror = None
    """0 none, 1 horizontal, 2 vertical, 3 both."""
    alarm_report: _Report = None
    osd_config: _Osd = None
    snapshot_config: Annotated[
        SnapShotConfig | None, Xml("SnapShotConfig", aliases=("SnapShot",), since=_NEW)
    ] = None
    extra_info: _Extension = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfigResponse:
    """The result of setting blocks.

    Source: GB/T 28181-2022 A.2.6.8.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "DeviceConfig"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    reason: Annotated[str | None, Xml("Reason")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDownloadQuery:
    """Asks for blocks of the configuration.

    Source: GB/T 28181-2022 A.2.4.7.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "ConfigDownload"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    config_type: Annotated[str, Xml("ConfigType")]
    """Names of blocks, joined by ``/``, such as ``BasicParam/VideoParamOpt``."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDownloadResponse:
    """Blocks of the configuration: one, with several answers to a question for several.

    Source: GB/T 28181-2022 A.2.6.9, which calls the last block ``SnapShot``.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "ConfigDownload"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    reason: Annotated[str | None, Xml("Reason")] = None
    basic_param: _Basic = None
    video_param_opt: Annotated[VideoParamOpt | None, Xml("VideoParamOpt")] = None
    svac_encode_config: _SvacEncode = None
    svac_decode_config: _SvacDecode = None
    video_param_attribute: _Video = ()
    video_record_plan: _RecordPlan = None
    video_alarm_record: _AlarmRecord = None
    picture_mask: _Mask = None
    frame_mirror: _Mirror = None
    alarm_report: _Report = None
    osd_config: _Osd = None
    snapshot_config: Annotated[
        SnapShotConfig | None, Xml("SnapShot", aliases=("SnapShotConfig",), since=_NEW)
    ] = None
    extra_info: _Extension = ()
    extra: tuple[Element, ...] = ()
