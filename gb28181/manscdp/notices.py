"""What a device says of its own accord since 2022: pictures, wish for a stream, upgrade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import RESULT, TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSnapShotFinishedNotify:
    """The pictures have been uploaded; fewer than asked for is a failure in part.

    Source: GB/T 28181-2022 A.2.5, 9.14.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "UploadSnapShotFinished"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    session_id: Annotated[str, Xml("SessionID")]
    files: Annotated[tuple[str, ...], Xml("SnapShotList/SnapShotFileID", keeps_empty=True)] = ()
    """Identifiers of 41 characters."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoUploadNotify:
    """A mobile device wants to be watched: the platform calls it as ever.

    Source: GB/T 28181-2022 A.2.5.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "VideoUploadNotify"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    time: Annotated[str, Xml("Time", TIME)]
    longitude: Annotated[float | None, Xml("Longitude")] = None
    latitude: Annotated[float | None, Xml("Latitude")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUpgradeResultNotify:
    """The upgrade is over; sent after the device has registered again.

    Source: GB/T 28181-2022 A.2.5, 9.13.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "DeviceUpgradeResult"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    session_id: Annotated[str, Xml("SessionID")]
    """As in the command."""
    upgrade_result: Annotated[str, Xml("UpgradeResult", RESULT)] = "OK"
    firmware: Annotated[str | None, Xml("Firmware")] = None
    """The version that runs now."""
    upgrade_failed_reason: Annotated[str | None, Xml("UpgradeFailedReason")] = None
    """``01`` download timed out, ``02`` package damaged, ``03`` system error, ``99`` other."""
    extra: tuple[Element, ...] = ()
