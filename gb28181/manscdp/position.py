"""Positions of mobile devices: what a subscription asks for, and the notices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import RESULT, TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilePositionQuery:
    """Asks for positions, in a subscription or by MESSAGE; the answer is a notice.

    Source: GB/T 28181-2022 A.2.4.9.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "MobilePosition"
    since: ClassVar[Edition] = Edition.GB2016
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    interval: Annotated[int | None, Xml("Interval")] = None
    """Seconds between notices; 5 where it is not said."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionItem:
    """The position of one device, as the 2022 edition lists it."""

    device_id: Annotated[str, Xml("DeviceID")]
    capture_time: Annotated[str | None, Xml("CaptureTime", TIME, aliases=("Time",))] = None
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

    Both forms are read from everybody. Written is the edition's own, where that can say it: the
    2016 form has room for one device, and none for its height.

    Source: GB/T 28181-2022 A.2.5, 2016 A.2.5.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "MobilePosition"
    since: ClassVar[Edition] = Edition.GB2016
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    time: Annotated[str | None, Xml("Time", TIME)] = None
    longitude: Annotated[float | None, Xml("Longitude")] = None
    latitude: Annotated[float | None, Xml("Latitude")] = None
    speed: Annotated[float | None, Xml("Speed")] = None
    direction: Annotated[float | None, Xml("Direction")] = None
    altitude: Annotated[float | None, Xml("Altitude")] = None
    sum_num: Annotated[int | None, Xml("SumNum")] = None
    items: Annotated[
        tuple[PositionItem, ...], Xml("DeviceList/Item", aliases=("Item",), count=("Num",))
    ] = ()
    extra: tuple[Element, ...] = ()

    @property
    def positions(self) -> tuple[PositionItem, ...]:
        """All positions, whichever form they came in."""
        if self.items or not self._is_flat:
            return self.items
        return (
            PositionItem(
                device_id=self.device_id,
                capture_time=self.time,
                longitude=self.longitude,
                latitude=self.latitude,
                speed=self.speed,
                direction=self.direction,
                altitude=self.altitude,
            ),
        )

    @property
    def _is_flat(self) -> bool:
        return self.longitude is not None or self.latitude is not None

    def in_edition(self, edition: Edition) -> MobilePositionNotify:
        """Take the form of the edition."""
        if edition is Edition.GB2022 and self._is_flat and not self.items:
            return MobilePositionNotify(
                sn=self.sn,
                device_id=self.device_id,
                time=self.time,
                sum_num=1,
                items=self.positions,
                extra=self.extra,
            )
        if edition is not Edition.GB2022 and len(self.items) == 1 and not self._is_flat:
            (item,) = self.items
            return replace(
                self,
                device_id=item.device_id,
                time=item.capture_time or self.time,
                longitude=item.longitude,
                latitude=item.latitude,
                speed=item.speed,
                direction=item.direction,
                altitude=item.altitude,
                sum_num=None,
                items=(),
                extra=self.extra + item.extra,
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilePositionResponse:
    """A position in answer to a query by MESSAGE: no edition has it, some devices send it."""

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "MobilePosition"
    since: ClassVar[Edition] = Edition.GB2016
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    reason: Annotated[str | None, Xml("Reason")] = None
    time: Annotated[str | None, Xml("Time", TIME)] = None
    longitude: Annotated[float | None, Xml("Longitude")] = None
    latitude: Annotated[float | None, Xml("Latitude")] = None
    speed: Annotated[float | None, Xml("Speed")] = None
    direction: Annotated[float | None, Xml("Direction")] = None
    altitude: Annotated[float | None, Xml("Altitude")] = None
    sum_num: Annotated[int | None, Xml("SumNum")] = None
    items: Annotated[
        tuple[PositionItem, ...], Xml("DeviceList/Item", aliases=("Item",), count=("Num",))
    ] = ()
    extra: tuple[Element, ...] = ()
