"""The catalogue: its query, the parts of the answer, and the notices of change."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from ..edition import Edition
from .schema import Element, Xml, plan_of
from .values import EXTENSION, FLAG, RESULT, SWITCH, TIME

_NEW = Edition.GB2022
_OLD = Edition.GB2016


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogQuery:
    """Asks for the catalogue below an identifier.

    Source: GB/T 28181-2022 A.2.4, Annex J.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "Catalog"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    start_time: Annotated[str | None, Xml("StartTime", TIME)] = None
    """Only what was added since."""
    end_time: Annotated[str | None, Xml("EndTime", TIME)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogInfo:
    """The block ``Info`` of a catalogue item.

    Source: GB/T 28181-2022 A.2.1.9, 2016 A.2.1.
    """

    ptz_type: Annotated[str | None, Xml("PTZType")] = None
    """1 dome, 2 half dome, 3 fixed, 4 remote box, 5 remote half dome, 6 panorama, 7 split."""
    position_type: Annotated[str | None, Xml("PositionType", until=_OLD)] = None
    """1-10, the kind of place."""
    room_type: Annotated[str | None, Xml("RoomType")] = None
    """1 outdoor, 2 indoor."""
    use_type: Annotated[str | None, Xml("UseType", until=_OLD)] = None
    supply_light_type: Annotated[str | None, Xml("SupplyLightType")] = None
    """1 none, 2 infrared, 3 white, 4 laser, 9 other."""
    direction_type: Annotated[str | None, Xml("DirectionType")] = None
    """1 E, 2 W, 3 S, 4 N, 5 SE, 6 NE, 7 SW, 8 NW."""
    resolution: Annotated[str | None, Xml("Resolution")] = None
    """Values of the SDP line ``f=``, joined by ``/``."""
    download_speed: Annotated[str | None, Xml("DownloadSpeed")] = None
    svc_space_support_mode: Annotated[int | None, Xml("SVCSpaceSupportMode")] = None
    svc_time_support_mode: Annotated[int | None, Xml("SVCTimeSupportMode")] = None
    photoelectric_imaging_type: Annotated[
        str | None, Xml("PhotoelectricImagingType", since=_NEW)
    ] = None
    """1 visible, 2 thermal, 3 radar, 4 X-ray, 5 depth, 9 other, joined by ``/``."""
    capture_position_type: Annotated[str | None, Xml("CapturePositionType", since=_NEW)] = None
    """Seven digits of Annex O."""
    stream_number_list: Annotated[str | None, Xml("StreamNumberList", since=_NEW)] = None
    ssvc_ratio_support_list: Annotated[str | None, Xml("SSVCRatioSupportList", since=_NEW)] = None
    mobile_device_type: Annotated[str | None, Xml("MobileDeviceType", since=_NEW)] = None
    """1 robot, 2 body camera, 3 portable, 4 vehicle, 5 drone, 9 other."""
    horizontal_field_angle: Annotated[float | None, Xml("HorizontalFieldAngle", since=_NEW)] = None
    vertical_field_angle: Annotated[float | None, Xml("VerticalFieldAngle", since=_NEW)] = None
    max_view_distance: Annotated[float | None, Xml("MaxViewDistance", since=_NEW)] = None
    """Metres."""
    grassroots_code: Annotated[str | None, Xml("GrassrootsCode", since=_NEW)] = None
    """Township 3 and village 3 digits; ``000000`` elsewhere."""
    point_type: Annotated[str | None, Xml("PointType", since=_NEW)] = None
    """Class 1, 2, 3, or 9 for others."""
    point_common_name: Annotated[str | None, Xml("PointCommonName", since=_NEW)] = None
    mac: Annotated[str | None, Xml("MAC", since=_NEW)] = None
    function_type: Annotated[str | None, Xml("FunctionType", since=_NEW)] = None
    encode_type: Annotated[str | None, Xml("EncodeType", since=_NEW)] = None
    install_time: Annotated[str | None, Xml("InstallTime", since=_NEW)] = None
    management_unit: Annotated[str | None, Xml("ManagementUnit", since=_NEW)] = None
    contact_info: Annotated[str | None, Xml("ContactInfo", since=_NEW)] = None
    record_save_days: Annotated[str | None, Xml("RecordSaveDays", since=_NEW)] = None
    industrial_classification: Annotated[
        str | None, Xml("IndustrialClassification", since=_NEW)
    ] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogItem:
    """A device, channel, system, area, group or organisation in a catalogue.

    Source: GB/T 28181-2022 A.2.1.9 and Annex J, 2016 A.2.1 and Annex O.
    """

    device_id: Annotated[str, Xml("DeviceID")]
    event: Annotated[str | None, Xml("Event")] = None
    """In notices only: ``ON``, ``OFF``, ``VLOST``, ``DEFECT``, ``ADD``, ``DEL``, ``UPDATE``."""
    name: Annotated[str | None, Xml("Name")] = None
    manufacturer: Annotated[str | None, Xml("Manufacturer")] = None
    model: Annotated[str | None, Xml("Model")] = None
    owner: Annotated[str | None, Xml("Owner", until=_OLD)] = None
    civil_code: Annotated[str | None, Xml("CivilCode")] = None
    block: Annotated[str | None, Xml("Block")] = None
    address: Annotated[str | None, Xml("Address")] = None
    parental: Annotated[int | None, Xml("Parental", FLAG)] = None
    """1 has children, 0 has none."""
    parent_id: Annotated[str | None, Xml("ParentID")] = None
    """One or several identifiers, joined by ``/``."""
    safety_way: Annotated[int | None, Xml("SafetyWay", until=_OLD)] = None
    register_way: Annotated[int | None, Xml("RegisterWay")] = None
    cert_num: Annotated[str | None, Xml("CertNum", until=_OLD)] = None
    certifiable: Annotated[int | None, Xml("Certifiable", until=_OLD)] = None
    err_code: Annotated[int | None, Xml("ErrCode", until=_OLD)] = None
    end_time: Annotated[str | None, Xml("EndTime", TIME, until=_OLD)] = None
    security_level_code: Annotated[str | None, Xml("SecurityLevelCode", since=_NEW)] = None
    """``A``, ``B`` or ``C``: the level of GB 35114."""
    secrecy: Annotated[int | None, Xml("Secrecy")] = None
    ip_address: Annotated[str | None, Xml("IPAddress")] = None
    port: Annotated[int | None, Xml("Port")] = None
    password: Annotated[str | None, Xml("Password")] = None
    """Never to be sent to an upper platform."""
    status: Annotated[str | None, Xml("Status", SWITCH)] = None
    """``ON`` or ``OFF``."""
    longitude: Annotated[float | None, Xml("Longitude")] = None
    latitude: Annotated[float | None, Xml("Latitude")] = None
    business_group_id: Annotated[str | None, Xml("BusinessGroupID")] = None
    """Of a virtual organisation. The 2016 schema has it in ``Info``; it is read there too."""
    info: Annotated[CatalogInfo | None, Xml("Info")] = None
    extra: tuple[Element, ...] = ()

    @staticmethod
    def lift(values: dict[str, Any]) -> None:
        """Take the BusinessGroupID of the 2016 schema out of ``Info``, and other fields into it."""
        if "extra" in values:
            _fill_info(values)
        info = values.get("info")
        if info is None or not info.extra or "business_group_id" in values:
            return
        for element in info.extra:
            if element.name.lower() == "businessgroupid" and element.text:
                rest = tuple(e for e in info.extra if e is not element)
                moved = replace(info, extra=rest)
                values["business_group_id"] = element.text
                values["info"] = None if moved == CatalogInfo() else moved
                return


def _fill_info(values: dict[str, Any]) -> None:
    """Read what belongs into ``Info`` and stands beside it."""
    info, rest = values.get("info") or CatalogInfo(), []
    slots = plan_of(CatalogInfo).group.slots
    for element in values["extra"]:
        slot = slots.get(element.name.lower())
        is_free = slot is not None and getattr(info, slot.attribute) is None
        if (
            slot is None
            or slot.kind is None
            or not is_free
            or element != Element(name=element.name, text=element.text)
        ):
            rest.append(element)
            continue
        try:
            info = replace(info, **{slot.attribute: slot.kind.read(element.text)})
        except ValueError:
            rest.append(element)
    if len(rest) < len(values["extra"]):
        values["info"], values["extra"] = info, tuple(rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogResponse:
    """One part of a catalogue.

    Source: GB/T 28181-2022 A.2.6.4, Annex M.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "Catalog"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    sum_num: Annotated[int, Xml("SumNum")]
    """How many items all parts have together."""
    items: Annotated[
        tuple[CatalogItem, ...], Xml("DeviceList/Item", aliases=("Item",), count=("Num",))
    ] = ()
    extra_info: Annotated[tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(_OLD, "Info"))] = ()
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogResult:
    """The body that a 2016 subscriber may answer a catalogue notice with.

    Source: GB/T 28181-2016 Annex P.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "Catalog"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    reason: Annotated[str | None, Xml("Reason")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogNotify:
    """Changes of a catalogue.

    Source: GB/T 28181-2022 A.2.5, Annex N; the 2016 sample has a Status before SumNum.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "Catalog"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    status: Annotated[str | None, Xml("Status", RESULT, until=_OLD)] = None
    sum_num: Annotated[int, Xml("SumNum")]
    """The items of this message."""
    items: Annotated[
        tuple[CatalogItem, ...], Xml("DeviceList/Item", aliases=("Item",), count=("Num",))
    ] = ()
    """An item without an event is an ``UPDATE``."""
    extra_info: Annotated[tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(_OLD, "Info"))] = ()
    extra: tuple[Element, ...] = ()
