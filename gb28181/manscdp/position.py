"""Positions of mobile devices: what a subscription asks for, and the notices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from .schema import Element, Xml
from .values import TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilePositionQuery:
    """Asks for positions, in a subscription or by MESSAGE; the answer is a notice.

    Source: GB/T 28181-2022 A.2.4.9.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "MobilePosition"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    interval: Annotated[int | None, Xml("Interval")] = None
    """Seconds between notices; 5 where it is not said."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionItem:
    """The position of one device, as the 2022 edition lists it."""

    device_id: Annotated[str, Xml("DeviceID")]
    capture_time: Annotated[str | None, Xml("CaptureTime", TIME)] = None
    longitude: Annotated[float | None, Xml("Longitude")] = None
    latitude: Annotated[float | None, Xml("Latitude")] = None
    speed: Annotated[float | None, Xml("Speed")] = None
    """Kilometres per hour."""
    direction: Annotated[float | None, Xml("Direction")] = None
    """Degrees, clockwise from north."""
    altitude: Annotated[float | None, Xml("Altitude")] = None
    """Metres."""
    height: Annotated[float | None, Xml("Height")] = None
    """Metres above the ground."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilePositionNotify:
    """Positions: of one device in the fields themselves (2016), or of several in items (2022).

    Some devices speak the other edition's form, so each field is written in every edition.

    Source: GB/T 28181-2022 A.2.5, 2016 A.2.5.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "MobilePosition"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    time: Annotated[str | None, Xml("Time", TIME)] = None
    longitude: Annotated[float | None, Xml("Longitude")] = None
    latitude: Annotated[float | None, Xml("Latitude")] = None
    speed: Annotated[float | None, Xml("Speed")] = None
    direction: Annotated[float | None, Xml("Direction")] = None
    altitude: Annotated[float | None, Xml("Altitude")] = None
    sum_num: Annotated[int | None, Xml("SumNum")] = None
    items: Annotated[tuple[PositionItem, ...], Xml("DeviceList/Item", count=("Num",))] = ()
    extra: tuple[Element, ...] = ()
