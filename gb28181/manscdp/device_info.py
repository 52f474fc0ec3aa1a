"""What a device is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import EXTENSION, RESULT


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfoQuery:
    """Asks what a device is.

    Source: GB/T 28181-2022 A.2.4.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "DeviceInfo"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfoResponse:
    """Says what a device is.

    Source: GB/T 28181-2022 A.2.6.5.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "DeviceInfo"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    device_name: Annotated[str | None, Xml("DeviceName", since=Edition.GB2011A)] = None
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    reason: Annotated[str | None, Xml("Reason")] = None
    device_type: Annotated[str | None, Xml("DeviceType")] = None
    """In the edition of 2011, as ``max_camera`` and ``max_alarm``; many devices still send them."""
    manufacturer: Annotated[str | None, Xml("Manufacturer")] = None
    model: Annotated[str | None, Xml("Model")] = None
    firmware: Annotated[str | None, Xml("Firmware")] = None
    channel: Annotated[int | None, Xml("Channel")] = None
    """The number of video inputs."""
    max_camera: Annotated[int | None, Xml("MaxCamera")] = None
    max_alarm: Annotated[int | None, Xml("MaxAlarm")] = None
    extra_info: Annotated[
        tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(Edition.GB2016, "Info"))
    ] = ()
    extra: tuple[Element, ...] = ()
