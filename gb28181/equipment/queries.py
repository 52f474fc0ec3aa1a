"""Answers queries out of a device's own state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..manscdp.catalog import CatalogResponse
from ..manscdp.device_config import ConfigDownloadResponse, DeviceConfigResponse
from ..manscdp.device_info import DeviceInfoResponse
from ..manscdp.device_status import AlarmDuty, DeviceStatusResponse
from ..manscdp.notices import VideoUploadNotify
from ..manscdp.position import MobilePositionNotify, PositionItem
from ..manscdp.preset import Preset, PresetResponse
from ..manscdp.ptz_state import (
    CruisePoint,
    CruiseTrack,
    CruiseTrackListResponse,
    CruiseTrackResponse,
    HomePositionResponse,
    PtzPositionNotify,
    PtzPositionResponse,
)
from ..manscdp.record import RecordInfoResponse
from ..manscdp.storage import SdCardStatusResponse
from ..manscdp.values import format_time
from .recorder import search

if TYPE_CHECKING:
    from ..manscdp.catalog import CatalogItem, CatalogQuery
    from ..manscdp.device_config import ConfigDownloadQuery, DeviceConfig
    from ..manscdp.device_info import DeviceInfoQuery
    from ..manscdp.device_status import DeviceStatusQuery
    from ..manscdp.preset import PresetQuery
    from ..manscdp.ptz_state import (
        CruiseTrackListQuery,
        CruiseTrackQuery,
        HomePositionQuery,
        PtzPositionQuery,
    )
    from ..manscdp.record import RecordInfoQuery, RecordItem
    from ..manscdp.storage import SdCardStatusQuery
    from .head import Cruise, Head
    from .inventory import Inventory

_PositionT = TypeVar("_PositionT", PtzPositionResponse, PtzPositionNotify)


class Nameplate(Protocol):
    """What a device says of itself."""

    @property
    def manufacturer(self) -> str:
        """Who made it."""

    @property
    def model(self) -> str:
        """What it is."""


class Queries:
    """Makes the answers; one method for each query.

    Where the question was wrong, the answer is empty and has a Result and a Reason, also where the
    schema foresees none: nobody shall take it for "there are none".

    Source: GB/T 28181-2022 A.2.4, A.2.6.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def catalog(self, query: CatalogQuery) -> tuple[CatalogResponse, list[CatalogItem]]:
        """The answer without its items, and the part of the catalogue it is for (2022 J)."""
        asked = query.device_id
        items = [unit.item for unit in self._inventory.meant(asked)]
        known = self._inventory.knows(asked)
        empty = CatalogResponse(
            sn=query.sn,
            device_id=asked,
            sum_num=len(items),
            result=None if known else "ERROR",
            reason=None if known else _no(asked),
        )
        return empty, items

    def device_info(
        self, query: DeviceInfoQuery, plate: Nameplate, firmware: str
    ) -> DeviceInfoResponse:
        """What the device is, or one of its cameras."""
        known = self._inventory.knows(query.device_id)
        unit = self._inventory.units.get(query.device_id)
        is_part = unit is not None and query.device_id != self._inventory.device_id
        name = self._inventory.configuration.blocks.basic_param.name
        if unit is not None and is_part:
            name = unit.item.name
        return DeviceInfoResponse(
            sn=query.sn,
            device_id=query.device_id,
            device_name=name if known else None,
            result="OK" if known else "ERROR",
            reason=None if known else _no(query.device_id),
            manufacturer=plate.manufacturer if known else None,
            model=plate.model if known else None,
            firmware=firmware if known else None,
            channel=(1 if is_part else len(self._inventory.units)) if known else None,
        )

    def device_status(self, query: DeviceStatusQuery) -> DeviceStatusResponse:
        """How the device does, or one of its cameras or alarm inputs."""
        inventory = self._inventory
        if not inventory.knows(query.device_id):
            return DeviceStatusResponse(
                sn=query.sn, device_id=query.device_id, result="ERROR", online="OFFLINE",
                status="ERROR", reason=_no(query.device_id),
            )  # fmt: skip
        units = inventory.meant(query.device_id)
        off = [unit for unit in units if unit.item.status == "OFF"]
        is_away = bool(off) and query.device_id != inventory.device_id
        recording = any(unit.recorder.is_recording for unit in units)
        guard = inventory.guard
        # The device tells of its alarm inputs; a camera, or an input, of itself.
        is_whole = query.device_id == inventory.device_id
        inputs = guard.inputs if is_whole else (query.device_id,)
        return DeviceStatusResponse(
            sn=query.sn,
            device_id=query.device_id,
            result="OK",
            online="OFFLINE" if is_away else "ONLINE",
            status="ERROR" if off else "OK",
            reason=f"no video from {off[0].id}" if off else None,
            encode="OFF" if units and len(off) == len(units) else "ON",
            record="ON" if recording else "OFF",
            device_time=format_time(inventory.wall().replace(microsecond=0)),
            alarms=tuple(
                AlarmDuty(device_id=one, duty_status=guard.sources[one].duty) for one in inputs
            ),
        )

    def records(self, query: RecordInfoQuery) -> tuple[RecordInfoResponse, list[RecordItem]]:
        """The answer without its items, and the items."""
        found: list[RecordItem] = []
        units = self._inventory.meant(query.device_id)
        for unit in units:
            found += search(query, unit.item, unit.recorder, self._inventory.device_id)
        found.sort(key=lambda one: one.start_time or "")
        empty = RecordInfoResponse(
            sn=query.sn,
            device_id=query.device_id,
            name=(units[0].item.name if len(units) == 1 else None)
            or self._inventory.configuration.blocks.basic_param.name
            or query.device_id,
            sum_num=len(found),
            result=None if units else "ERROR",
            reason=None if units else _no(query.device_id),
        )
        return empty, found

    def config_download(self, query: ConfigDownloadQuery) -> list[ConfigDownloadResponse]:
        """The blocks that were asked for, one message for each."""
        configuration = self._inventory.configured(query.device_id)
        if configuration is not None:
            return configuration.answers(query)
        reason = _no(query.device_id)
        return [
            ConfigDownloadResponse(
                sn=query.sn, device_id=query.device_id, result="ERROR", reason=reason
            )
        ]

    def config_result(self, config: DeviceConfig, fault: str) -> DeviceConfigResponse:
        """What came of setting blocks."""
        return DeviceConfigResponse(
            sn=config.sn,
            device_id=config.device_id,
            result="ERROR" if fault else "OK",
            reason=fault or None,
        )

    def presets(self, query: PresetQuery) -> PresetResponse:
        """The presets of a camera."""
        head = self._head(query.device_id)
        presets = {} if head is None else head.presets
        return PresetResponse(
            sn=query.sn,
            device_id=query.device_id,
            sum_num=len(presets),
            items=tuple(
                Preset(preset_id=str(number), preset_name=presets[number].name)
                for number in sorted(presets)
            ),
            result="ERROR" if head is None else None,
            reason=self._unless_head(query.device_id),
        )

    def home_position(self, query: HomePositionQuery) -> HomePositionResponse:
        """The home position of a camera."""
        head = self._head(query.device_id)
        return HomePositionResponse(
            sn=query.sn,
            device_id=query.device_id,
            home_position=None if head is None else head.home,
            result="ERROR" if head is None else None,
            reason=self._unless_head(query.device_id),
        )

    def cruise_tracks(self, query: CruiseTrackListQuery) -> CruiseTrackListResponse:
        """The cruise tracks of a camera: those that have points."""
        head = self._head(query.device_id)
        cruises = self._cruises(query.device_id)
        return CruiseTrackListResponse(
            sn=query.sn,
            device_id=query.device_id,
            sum_num=len(cruises),
            items=tuple(
                CruiseTrack(number=number, name=cruises[number].name) for number in sorted(cruises)
            ),
            result="ERROR" if head is None else None,
            reason=self._unless_head(query.device_id),
        )

    def cruise_track(self, query: CruiseTrackQuery) -> CruiseTrackResponse:
        """The points of one cruise track."""
        cruise = self._cruises(query.device_id).get(query.number)
        points = () if cruise is None else cruise.points
        reason = self._unless_head(query.device_id) or f"there is no cruise track {query.number}"
        return CruiseTrackResponse(
            sn=query.sn,
            device_id=query.device_id,
            number=query.number,
            name=None if cruise is None else cruise.name,
            sum_num=len(points),
            items=tuple(
                CruisePoint(
                    preset_index=point,
                    stay_time=cruise.dwell,
                    speed=1 + cruise.speed * 15 // 4096,
                )
                for point in points
                if cruise is not None
            ),
            result="ERROR" if cruise is None else None,
            reason=reason if cruise is None else None,
        )

    def ptz_position(self, query: PtzPositionQuery, now: float) -> PtzPositionResponse:
        """Where a camera looks."""
        answer = PtzPositionResponse(sn=query.sn, device_id=query.device_id)
        return self._position(answer, now)

    def ptz_notice(self, device_id: str, sn: str, now: float) -> PtzPositionNotify:
        """The same, for a subscriber."""
        return self._position(PtzPositionNotify(sn=sn, device_id=device_id), now)

    def cards(self, query: SdCardStatusQuery, now: float) -> SdCardStatusResponse:
        """How the cards do."""
        known = self._inventory.knows(query.device_id)
        items = self._inventory.cards.status(now) if known else ()
        return SdCardStatusResponse(
            sn=query.sn,
            device_id=query.device_id,
            sum_num=len(items),
            items=items,
            result=None if known else "ERROR",
            reason=None if known else _no(query.device_id),
        )

    def mobile_position(self, device_id: str, sn: str, now: float) -> MobilePositionNotify:
        """Where the vehicle is."""
        place = self._inventory.route.at(now)
        time = format_time(self._inventory.wall().replace(microsecond=0))
        item = PositionItem(
            device_id=device_id,
            capture_time=time,
            longitude=place.longitude,
            latitude=place.latitude,
            speed=place.speed,
            direction=place.direction,
            altitude=place.altitude,
        )
        return MobilePositionNotify(
            sn=sn, device_id=device_id, time=time, sum_num=1, items=(item,)
        ).in_edition(self._inventory.edition)

    def video_upload(self, channel_id: str, now: float) -> VideoUploadNotify:
        """The wish to be watched."""
        place = self._inventory.route.at(now)
        return VideoUploadNotify(
            sn=self._inventory.next_sn(),
            device_id=channel_id,
            time=format_time(self._inventory.wall().replace(microsecond=0)),
            longitude=place.longitude,
            latitude=place.latitude,
        )

    def _position(self, empty: _PositionT, now: float) -> _PositionT:
        head = self._head(empty.device_id)
        if head is None:
            if isinstance(empty, PtzPositionNotify):
                return empty
            return replace(empty, result="ERROR", reason=self._unless_head(empty.device_id))
        view = head.view(now)
        across, down = head.field_angles(now)
        return replace(
            empty,
            pan=round(view.pan, 2) % 360,
            tilt=round(view.tilt, 2),
            zoom=round(view.zoom, 2),
            horizontal_field_angle=round(across, 2),
            vertical_field_angle=round(down, 2),
            max_view_distance=round(head.reach.view_distance * view.zoom, 1),
        )

    def _head(self, asked: str) -> Head | None:
        unit = self._inventory.camera(asked)
        return None if unit is None else unit.head

    def _cruises(self, asked: str) -> dict[int, Cruise]:
        head = self._head(asked)
        every = {} if head is None else head.cruises
        return {number: one for number, one in every.items() if one.points}

    def _unless_head(self, asked: str) -> str | None:
        if self._head(asked) is not None:
            return None
        if not self._inventory.knows(asked):
            return _no(asked)
        return f"{asked[:40]} is not one camera that turns"


def _no(asked: str) -> str:
    return f"there is no {asked[:40]}"
