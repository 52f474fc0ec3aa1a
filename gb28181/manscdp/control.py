"""Commands to a device, and their result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import BOOT, EXTENSION, FLAG, GUARD, RECORD, RESET, RESULT, SEND, TRACK, methods_in

_NEW = Edition.GB2022
_OLD = Edition.GB2016


@dataclass(frozen=True, slots=True, kw_only=True)
class DragZoom:
    """A box in the window that shows the picture; in pixels from the top left.

    Source: GB/T 28181-2022 A.2.3.1.9.
    """

    length: Annotated[int, Xml("Length")]
    """The window, across."""
    width: Annotated[int, Xml("Width")]
    """The window, down."""
    mid_point_x: Annotated[int, Xml("MidPointX")]
    mid_point_y: Annotated[int, Xml("MidPointY")]
    length_x: Annotated[int, Xml("LengthX")]
    """The box, across."""
    length_y: Annotated[int, Xml("LengthY")]
    """The box, down."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePosition:
    """Where a camera goes when nobody has moved it for a while.

    Source: GB/T 28181-2022 A.2.3.1.10, A.2.6.12.
    """

    enabled: Annotated[int, Xml("Enabled", FLAG)]
    reset_time: Annotated[int | None, Xml("ResetTime")] = None
    """Seconds."""
    preset_index: Annotated[int | None, Xml("PresetIndex")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PtzPrecise:
    """A position in degrees and times; beyond its reach a camera goes as far as it can.

    Source: GB/T 28181-2022 A.2.3.1.11.
    """

    pan: Annotated[float | None, Xml("Pan")] = None
    """0 to 360, clockwise from above."""
    tilt: Annotated[float | None, Xml("Tilt")] = None
    """About -30 to 90, down is positive."""
    zoom: Annotated[float | None, Xml("Zoom")] = None
    """Times, first optical, then digital."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUpgrade:
    """Firmware to be fetched and installed.

    Source: GB/T 28181-2022 A.2.3.1.12, 9.13.
    """

    firmware: Annotated[str, Xml("Firmware")]
    """The version."""
    file_url: Annotated[str, Xml("FileURL")]
    manufacturer: Annotated[str, Xml("Manufacturer")]
    session_id: Annotated[str, Xml("SessionID")]
    """32 to 128 letters, digits and ``-``."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceControl:
    """One command to a device: one of the fields is set, with what belongs to it.

    Source: GB/T 28181-2022 A.2.3.1.
    """

    root: ClassVar[str] = "Control"
    cmd_type: ClassVar[str] = "DeviceControl"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    ptz_cmd: Annotated[str | None, Xml("PTZCmd")] = None
    """16 hexadecimal digits, see ``gb28181.ptz``."""
    preset_name: Annotated[str | None, Xml("PTZCmdParams/PresetName", since=_NEW)] = None
    cruise_track_name: Annotated[str | None, Xml("PTZCmdParams/CruiseTrackName", since=_NEW)] = None
    """At most 32 bytes."""
    tele_boot: Annotated[str | None, Xml("TeleBoot", BOOT)] = None
    """``Boot``."""
    record_cmd: Annotated[str | None, Xml("RecordCmd", RECORD)] = None
    """``Record`` or ``StopRecord``."""
    stream_number: Annotated[int | None, Xml("StreamNumber", since=_NEW)] = None
    """Of a RecordCmd."""
    guard_cmd: Annotated[str | None, Xml("GuardCmd", GUARD)] = None
    """``SetGuard`` or ``ResetGuard``."""
    alarm_cmd: Annotated[str | None, Xml("AlarmCmd", RESET)] = None
    """``ResetAlarm``."""
    i_frame_cmd: Annotated[
        str | None, Xml("IFrameCmd", SEND, spelled=(_OLD, "IFameCmd"), since=_OLD)
    ] = None
    """``Send``. The 2016 edition spells the element ``IFameCmd``."""
    drag_zoom_in: Annotated[DragZoom | None, Xml("DragZoomIn", since=_OLD)] = None
    """Magnifies the box to the window."""
    drag_zoom_out: Annotated[DragZoom | None, Xml("DragZoomOut", since=_OLD)] = None
    """Shrinks the window into the box."""
    home_position: Annotated[HomePosition | None, Xml("HomePosition", since=_OLD)] = None
    ptz_precise_ctrl: Annotated[PtzPrecise | None, Xml("PTZPreciseCtrl", since=_NEW)] = None
    device_upgrade: Annotated[DeviceUpgrade | None, Xml("DeviceUpgrade", since=_NEW)] = None
    format_sd_card: Annotated[int | None, Xml("FormatSDCard", since=_NEW)] = None
    """The number of the card from 1; 0 for all."""
    target_track: Annotated[str | None, Xml("TargetTrack", TRACK, since=_NEW)] = None
    """``Auto``, ``Manual`` or ``Stop``."""
    device_id2: Annotated[str | None, Xml("DeviceID2", since=_NEW)] = None
    """The panorama channel of a TargetTrack."""
    target_area: Annotated[DragZoom | None, Xml("TargetArea", since=_NEW)] = None
    """What a manual TargetTrack follows."""
    alarm_method: Annotated[str | None, Xml("Info/AlarmMethod")] = None
    """Of an AlarmCmd; several as ``1/2`` (2022) or ``12`` (2016)."""
    alarm_type: Annotated[str | None, Xml("Info/AlarmType")] = None
    control_priority: Annotated[str | None, Xml("Info/ControlPriority")] = None
    """Of a PTZCmd in the samples of 2011; many platforms still send it."""
    extra_info: Annotated[tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(_OLD, "Info"))] = ()
    extra: tuple[Element, ...] = ()

    def in_edition(self, edition: Edition) -> DeviceControl:
        """Write several alarm methods as the edition does."""
        return replace(self, alarm_method=methods_in(self.alarm_method, edition))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceControlResponse:
    """The result of a command.

    Source: GB/T 28181-2022 A.2.6.2.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "DeviceControl"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    reason: Annotated[str | None, Xml("Reason")] = None
    extra: tuple[Element, ...] = ()
