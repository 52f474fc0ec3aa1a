"""How a device does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import DUTY, EXTENSION, ONLINE, RESULT, SWITCH, TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatusQuery:
    """Asks how a device does.

    Source: GB/T 28181-2022 A.2.4.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "DeviceStatus"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmDuty:
    """The duty of one alarm input."""

    device_id: Annotated[str, Xml("DeviceID")]
    duty_status: Annotated[
        str | None, Xml("DutyStatus", DUTY, aliases=("Status", "StatusDutyStatus"))
    ] = None
    """``ONDUTY``, ``OFFDUTY`` or ``ALARM``."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatusResponse:
    """Says how a device does.

    Source: GB/T 28181-2022 A.2.6.6; 2016 writes the attribute ``num``.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "DeviceStatus"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    online: Annotated[str, Xml("Online", ONLINE)] = "ONLINE"
    """``ONLINE`` or ``OFFLINE``."""
    status: Annotated[str, Xml("Status", RESULT)] = "OK"
    """``OK`` or ``ERROR``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    encode: Annotated[str | None, Xml("Encode", SWITCH)] = None
    record: Annotated[str | None, Xml("Record", SWITCH)] = None
    device_time: Annotated[str | None, Xml("DeviceTime", TIME)] = None
    alarms: Annotated[tuple[AlarmDuty, ...], Xml("Alarmstatus/Item", count=("Num", "num"))] = ()
    extra_info: Annotated[
        tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(Edition.GB2016, "Info"))
    ] = ()
    extra: tuple[Element, ...] = ()
