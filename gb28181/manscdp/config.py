"""The blocks of a device's configuration, as they are set and as they are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..edition import Edition
from .schema import Element, Xml
from .values import FLAG

_NEW = Edition.GB2022
_OLD = Edition.GB2016


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicParam:
    """Name and registration of a device; in force from the next registration on.

    Source: GB/T 28181-2022 A.2.1.11, A.2.3.2.2; the amendment of 2014 has the server as well.
    """

    name: Annotated[str | None, Xml("Name")] = None
    device_id: Annotated[str | None, Xml("DeviceID")] = None
    """Up to 2014, and some devices of 2016: the device's own code."""
    sip_server_id: Annotated[str | None, Xml("SIPServerID")] = None
    sip_server_ip: Annotated[str | None, Xml("SIPServerIP")] = None
    sip_server_port: Annotated[int | None, Xml("SIPServerPort")] = None
    domain_name: Annotated[str | None, Xml("DomainName")] = None
    expiration: Annotated[int | None, Xml("Expiration")] = None
    """Seconds."""
    password: Annotated[str | None, Xml("Password")] = None
    heartbeat_interval: Annotated[int | None, Xml("HeartBeatInterval")] = None
    """Seconds."""
    heartbeat_count: Annotated[int | None, Xml("HeartBeatCount")] = None
    position_capability: Annotated[int | None, Xml("PositionCapability", until=_OLD)] = None
    """0 none, 1 GPS, 2 BeiDou; when read only."""
    longitude: Annotated[float | None, Xml("Longitude", until=_OLD)] = None
    latitude: Annotated[float | None, Xml("Latitude", until=_OLD)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoParamOpt:
    """What a camera can do; when read only.

    Source: GB/T 28181-2022 A.2.6.9.
    """

    download_speed: Annotated[str | None, Xml("DownloadSpeed")] = None
    """``1/2/4``."""
    resolution: Annotated[str | None, Xml("Resolution")] = None
    """Values of the SDP line ``f=``, joined by ``/``."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiItem:
    """One region of interest."""

    sequence: Annotated[int | None, Xml("ROISeq")] = None
    top_left: Annotated[int | None, Xml("TopLeft")] = None
    bottom_right: Annotated[int | None, Xml("BottomRight")] = None
    qp: Annotated[int | None, Xml("ROIQP")] = None
    """0 ordinary to 3 very good."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoiParam:
    """Regions of interest of an SVAC encoder."""

    flag: Annotated[int | None, Xml("ROIFlag", FLAG)] = None
    number: Annotated[int | None, Xml("ROINumber")] = None
    items: Annotated[tuple[RoiItem, ...], Xml("Item")] = ()
    background_qp: Annotated[int | None, Xml("BackGroundQP", until=_OLD)] = None
    background_skip_flag: Annotated[int | None, Xml("BackGroundSkipFlag", FLAG, until=_OLD)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SvcEncodeParam:
    """Scalable coding of an SVAC encoder."""

    space_domain_mode: Annotated[int | None, Xml("SVCSpaceDomainMode")] = None
    time_domain_mode: Annotated[int | None, Xml("SVCTimeDomainMode")] = None
    ssvc_ratio_value: Annotated[str | None, Xml("SSVCRatioValue", since=_NEW)] = None
    space_support_mode: Annotated[int | None, Xml("SVCSpaceSupportMode")] = None
    """When read only, as the next two."""
    time_support_mode: Annotated[int | None, Xml("SVCTimeSupportMode")] = None
    ssvc_ratio_support_list: Annotated[str | None, Xml("SSVCRatioSupportList", since=_NEW)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveillanceEncodeParam:
    """What an SVAC encoder writes into its stream."""

    time_flag: Annotated[int | None, Xml("TimeFlag", FLAG)] = None
    event_flag: Annotated[int | None, Xml("EventFlag", FLAG, until=_OLD)] = None
    alert_flag: Annotated[int | None, Xml("AlertFlag", FLAG, until=_OLD)] = None
    osd_flag: Annotated[int | None, Xml("OSDFlag", FLAG, since=_NEW)] = None
    ai_flag: Annotated[int | None, Xml("AIFlag", FLAG, since=_NEW)] = None
    gis_flag: Annotated[int | None, Xml("GISFlag", FLAG, since=_NEW)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SvacEncodeConfig:
    """An SVAC encoder.

    Source: GB/T 28181-2022 A.2.1.12, 2016 A.2.1.
    """

    roi: Annotated[RoiParam | None, Xml("ROIParam")] = None
    svc: Annotated[SvcEncodeParam | None, Xml("SVCParam")] = None
    surveillance: Annotated[SurveillanceEncodeParam | None, Xml("SurveillanceParam")] = None
    audio_recognition_flag: Annotated[int | None, Xml("AudioParam/AudioRecognitionFlag", FLAG)] = (
        None
    )
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SvcDecodeParam:
    """Scalable coding of an SVAC decoder."""

    stm_mode: Annotated[int | None, Xml("SVCSTMMode")] = None
    space_support_mode: Annotated[int | None, Xml("SVCSpaceSupportMode")] = None
    """When read only, as the next."""
    time_support_mode: Annotated[int | None, Xml("SVCTimeSupportMode")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveillanceDecodeParam:
    """What an SVAC decoder shows of its stream."""

    time_show_flag: Annotated[int | None, Xml("TimeShowFlag", FLAG)] = None
    event_show_flag: Annotated[int | None, Xml("EventShowFlag", FLAG, until=_OLD)] = None
    alert_show_flag: Annotated[
        int | None, Xml("AlerShowtFlag", FLAG, aliases=("AlertShowFlag",), until=_OLD)
    ] = None
    """The 2016 edition misspells the element."""
    osd_show_flag: Annotated[int | None, Xml("OSDShowFlag", FLAG, since=_NEW)] = None
    ai_show_flag: Annotated[int | None, Xml("AIShowFlag", FLAG, since=_NEW)] = None
    gis_show_flag: Annotated[int | None, Xml("GISShowFlag", FLAG, since=_NEW)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SvacDecodeConfig:
    """An SVAC decoder.

    Source: GB/T 28181-2022 A.2.1.13, 2016 A.2.1.
    """

    svc: Annotated[SvcDecodeParam | None, Xml("SVCParam")] = None
    surveillance: Annotated[SurveillanceDecodeParam | None, Xml("SurveillanceParam")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoParam:
    """One video stream, in the values of the SDP line ``f=``.

    Source: GB/T 28181-2022 A.2.3.2.5.
    """

    stream_number: Annotated[int | None, Xml("StreamNumber")] = None
    video_format: Annotated[str | None, Xml("VideoFormat")] = None
    resolution: Annotated[str | None, Xml("Resolution")] = None
    frame_rate: Annotated[str | None, Xml("FrameRate")] = None
    bit_rate_type: Annotated[str | None, Xml("BitRateType")] = None
    video_bit_rate: Annotated[str | None, Xml("VideoBitRate")] = None
    """For a constant rate."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSegment:
    """A part of a day."""

    start_hour: Annotated[int, Xml("StartHour")]
    start_minute: Annotated[int, Xml("StartMin")]
    start_second: Annotated[int, Xml("StartSec")]
    stop_hour: Annotated[int, Xml("StopHour")]
    stop_minute: Annotated[int, Xml("StopMin")]
    stop_second: Annotated[int, Xml("StopSec")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSchedule:
    """When to record on one day of the week."""

    week_day: Annotated[int, Xml("WeekDayNum")]
    """1 Monday to 7 Sunday."""
    segment_sum: Annotated[int | None, Xml("TimeSegmentSumNum")] = None
    segments: Annotated[tuple[TimeSegment, ...], Xml("TimeSegment")] = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRecordPlan:
    """When to record.

    Source: GB/T 28181-2022 A.2.3.2.6.
    """

    enable: Annotated[int | None, Xml("RecordEnable", FLAG)] = None
    schedule_sum: Annotated[int | None, Xml("RecordScheduleSumNum")] = None
    schedules: Annotated[tuple[RecordSchedule, ...], Xml("RecordSchedule")] = ()
    stream_number: Annotated[int | None, Xml("StreamNumber")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoAlarmRecord:
    """Recording on alarm.

    Source: GB/T 28181-2022 A.2.3.2.7.
    """

    enable: Annotated[int | None, Xml("RecordEnable", FLAG)] = None
    record_time: Annotated[int | None, Xml("RecordTime")] = None
    """Seconds after the alarm."""
    pre_record_time: Annotated[int | None, Xml("PreRecordTime")] = None
    """Seconds before the alarm."""
    stream_number: Annotated[int | None, Xml("StreamNumber")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRegion:
    """One covered region."""

    sequence: Annotated[int | None, Xml("Seq")] = None
    """1 to 4."""
    point: Annotated[str | None, Xml("Point")] = None
    """``left,top,right,bottom`` in pixels."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureMask:
    """Regions that the camera covers.

    Source: GB/T 28181-2022 A.2.3.2.8.
    """

    on: Annotated[int | None, Xml("On", FLAG)] = None
    sum_num: Annotated[int | None, Xml("SumNum")] = None
    regions: Annotated[tuple[MaskRegion, ...], Xml("RegionList/Item", count=("Num",))] = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmReport:
    """Which alarms a device reports.

    Source: GB/T 28181-2022 A.2.3.2.10.
    """

    motion_detection: Annotated[int | None, Xml("MotionDetection", FLAG)] = None
    field_detection: Annotated[int | None, Xml("FieldDetection", FLAG)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdText:
    """One line of text on the picture."""

    text: Annotated[str | None, Xml("Text")] = None
    """At most 32 characters."""
    x: Annotated[int | None, Xml("X")] = None
    y: Annotated[int | None, Xml("Y")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdConfig:
    """Time and text on the picture.

    Source: GB/T 28181-2022 A.2.3.2.11.
    """

    length: Annotated[int | None, Xml("Length")] = None
    """Pixels of the window that the positions refer to, across."""
    width: Annotated[int | None, Xml("Width")] = None
    """The same, down."""
    time_x: Annotated[int | None, Xml("TimeX")] = None
    time_y: Annotated[int | None, Xml("TimeY")] = None
    time_enable: Annotated[int | None, Xml("TimeEnable", FLAG)] = None
    time_type: Annotated[int | None, Xml("TimeType")] = None
    """0 ``YYYY-MM-DD HH:MM:SS``, 1 with the Chinese signs for year, month and day."""
    text_enable: Annotated[int | None, Xml("TextEnable", FLAG)] = None
    sum_num: Annotated[int | None, Xml("SumNum")] = None
    items: Annotated[tuple[OsdText, ...], Xml("Item")] = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapShotConfig:
    """Pictures to be taken and uploaded.

    Source: GB/T 28181-2022 A.2.3.2.12, 9.14.
    """

    snap_num: Annotated[int | None, Xml("SnapNum")] = None
    """1 to 10."""
    interval: Annotated[int | None, Xml("Interval")] = None
    """Seconds."""
    upload_url: Annotated[str | None, Xml("UploadURL")] = None
    session_id: Annotated[str | None, Xml("SessionID")] = None
    """32 to 128 letters, digits and ``-``."""
    extra: tuple[Element, ...] = ()
