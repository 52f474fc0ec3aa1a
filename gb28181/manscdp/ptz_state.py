"""Where a camera looks: home position, cruise tracks and the exact position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .control import HomePosition
from .schema import Element, Xml
from .values import RESULT


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePositionQuery:
    """Asks for the home position.

    Source: GB/T 28181-2022 A.2.4.10.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "HomePositionQuery"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePositionResponse:
    """Says the home position.

    Source: GB/T 28181-2022 A.2.6.12.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "HomePositionQuery"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    home_position: Annotated[HomePosition | None, Xml("HomePosition")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CruiseTrackListQuery:
    """Asks which cruise tracks there are.

    Source: GB/T 28181-2022 A.2.4.11.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "CruiseTrackListQuery"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CruiseTrack:
    """One cruise track."""

    number: Annotated[int, Xml("Number")]
    """From 0."""
    name: Annotated[str | None, Xml("Name")] = None
    """At most 32 bytes."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CruiseTrackListResponse:
    """Says which cruise tracks there are.

    Source: GB/T 28181-2022 A.2.6.13.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "CruiseTrackListQuery"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    sum_num: Annotated[int, Xml("SumNum")]
    items: Annotated[
        tuple[CruiseTrack, ...],
        Xml(
            "CruiseTrackList/CruiseTrack",
            aliases=("CruiseTrackList/Item", "CruiseTrack", "Item"),
            count=("Num",),
        ),
    ] = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CruiseTrackQuery:
    """Asks for the points of a cruise track.

    Source: GB/T 28181-2022 A.2.4.12.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "CruiseTrackQuery"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    number: Annotated[int, Xml("Number")]
    """From 0."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CruisePoint:
    """One point of a cruise track."""

    preset_index: Annotated[int | None, Xml("PresetIndex")] = None
    stay_time: Annotated[int | None, Xml("StayTime")] = None
    """Seconds."""
    speed: Annotated[int | None, Xml("Speed")] = None
    """1 to 15."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CruiseTrackResponse:
    """Says the points of a cruise track.

    Source: GB/T 28181-2022 A.2.6.14.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "CruiseTrackQuery"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    number: Annotated[int, Xml("Number")]
    name: Annotated[str | None, Xml("Name")] = None
    sum_num: Annotated[int, Xml("SumNum")]
    items: Annotated[
        tuple[CruisePoint, ...],
        Xml(
            "CruisePointList/CruisePoint",
            aliases=("CruisePointList/Item", "CruisePoint", "Item"),
            count=("Num",),
        ),
    ] = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PtzPositionQuery:
    """Asks for the exact position, once or in a subscription.

    Source: GB/T 28181-2022 A.2.4.13.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "PTZPosition"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PtzPositionResponse:
    """Says the exact position.

    Source: GB/T 28181-2022 A.2.6.15.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "PTZPosition"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    pan: Annotated[float | None, Xml("Pan")] = None
    tilt: Annotated[float | None, Xml("Tilt")] = None
    zoom: Annotated[float | None, Xml("Zoom")] = None
    horizontal_field_angle: Annotated[float | None, Xml("HorizontalFieldAngle")] = None
    vertical_field_angle: Annotated[float | None, Xml("VerticalFieldAngle")] = None
    max_view_distance: Annotated[float | None, Xml("MaxViewDistance")] = None
    """Metres."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PtzPositionNotify:
    """Says the exact position to a subscriber.

    Source: GB/T 28181-2022 A.2.5.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "PTZPosition"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    pan: Annotated[float | None, Xml("Pan")] = None
    tilt: Annotated[float | None, Xml("Tilt")] = None
    zoom: Annotated[float | None, Xml("Zoom")] = None
    horizontal_field_angle: Annotated[float | None, Xml("HorizontalFieldAngle")] = None
    vertical_field_angle: Annotated[float | None, Xml("VerticalFieldAngle")] = None
    max_view_distance: Annotated[float | None, Xml("MaxViewDistance")] = None
    """Metres."""
    extra: tuple[Element, ...] = ()
