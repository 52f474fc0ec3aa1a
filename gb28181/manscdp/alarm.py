"""Alarms: the notice, its acknowledgement, and what a subscription asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import EXTENSION, RESULT, TIME, methods_in


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmQuery:
    """Says which alarms a subscription wants.

    Source: GB/T 28181-2022 A.2.4; the 2016 sample writes StartTime and EndTime.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "Alarm"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    start_priority: Annotated[int | None, Xml("StartAlarmPriority")] = None
    """0 all, 1 the most urgent to 4."""
    end_priority: Annotated[int | None, Xml("EndAlarmPriority")] = None
    alarm_method: Annotated[str | None, Xml("AlarmMethod")] = None
    """0 all; several as ``1/2`` (2022) or ``12`` (2016)."""
    alarm_type: Annotated[str | None, Xml("AlarmType")] = None
    start_time: Annotated[str | None, Xml("StartAlarmTime", TIME, aliases=("StartTime",))] = None
    end_time: Annotated[str | None, Xml("EndAlarmTime", TIME, aliases=("EndTime",))] = None
    extra: tuple[Element, ...] = ()

    def in_edition(self, edition: Edition) -> AlarmQuery:
        """Write several alarm methods as the edition does."""
        return replace(self, alarm_method=methods_in(self.alarm_method, edition))


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmNotify:
    """An alarm; ``device_id`` is its source.

    Source: GB/T 28181-2022 A.2.5.3.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "Alarm"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    priority: Annotated[str, Xml("AlarmPriority")]
    """``1`` the most urgent to ``4``."""
    method: Annotated[str, Xml("AlarmMethod")]
    """1 phone, 2 device, 3 SMS, 4 GPS, 5 video, 6 device fault, 7 other."""
    time: Annotated[str, Xml("AlarmTime", TIME)]
    description: Annotated[str | None, Xml("AlarmDescription")] = None
    longitude: Annotated[float | None, Xml("Longitude")] = None
    latitude: Annotated[float | None, Xml("Latitude")] = None
    alarm_type: Annotated[str | None, Xml("Info/AlarmType", aliases=("AlarmType",))] = None
    """What happened; its numbers depend on the method."""
    event_type: Annotated[
        str | None,
        Xml("Info/AlarmTypeParam/EventType", aliases=("AlarmTypeParam/EventType",)),
    ] = None
    """1 entered the area, 2 left it."""
    extra_info: Annotated[
        tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(Edition.GB2016, "Info"))
    ] = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmResponse:
    """Acknowledges an alarm that came by MESSAGE.

    Source: GB/T 28181-2022 A.2.6.3.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "Alarm"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    reason: Annotated[str | None, Xml("Reason")] = None
    extra: tuple[Element, ...] = ()
