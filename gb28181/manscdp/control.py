"""Commands to a device, and their result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import RESULT


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceControl:
    """One command to a device: one of the fields is set. Others are in ``extra``.

    Source: GB/T 28181-2022 A.2.3.1.
    """

    root: ClassVar[str] = "Control"
    cmd_type: ClassVar[str] = "DeviceControl"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    ptz_cmd: Annotated[str | None, Xml("PTZCmd")] = None
    """16 hexadecimal digits."""
    preset_name: Annotated[str | None, Xml("PTZCmdParams/PresetName", since=Edition.GB2022)] = None
    cruise_track_name: Annotated[
        str | None, Xml("PTZCmdParams/CruiseTrackName", since=Edition.GB2022)
    ] = None
    tele_boot: Annotated[str | None, Xml("TeleBoot")] = None
    """``Boot``."""
    record_cmd: Annotated[str | None, Xml("RecordCmd")] = None
    """``Record`` or ``StopRecord``."""
    stream_number: Annotated[int | None, Xml("StreamNumber", since=Edition.GB2022)] = None
    guard_cmd: Annotated[str | None, Xml("GuardCmd")] = None
    """``SetGuard`` or ``ResetGuard``."""
    alarm_cmd: Annotated[str | None, Xml("AlarmCmd")] = None
    """``ResetAlarm``."""
    alarm_method: Annotated[str | None, Xml("Info/AlarmMethod")] = None
    alarm_type: Annotated[str | None, Xml("Info/AlarmType")] = None
    i_frame_cmd: Annotated[str | None, Xml("IFrameCmd", spelled=(Edition.GB2016, "IFameCmd"))] = (
        None
    )
    """``Send``. The 2016 edition spells the element ``IFameCmd``."""
    extra: tuple[Element, ...] = ()


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
    extra: tuple[Element, ...] = ()
