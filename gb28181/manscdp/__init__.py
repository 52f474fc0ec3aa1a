"""MANSCDP, the command set in XML: messages as dataclasses, and their codec.

The names are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .alarm import AlarmNotify, AlarmQuery, AlarmResponse
    from .broadcast import BroadcastNotify, BroadcastResponse
    from .catalog import (
        CatalogInfo,
        CatalogItem,
        CatalogNotify,
        CatalogQuery,
        CatalogResponse,
        CatalogResult,
    )
    from .codec import Decoded, decode, encode
    from .config import (
        AlarmReport,
        BasicParam,
        MaskRegion,
        OsdConfig,
        OsdText,
        PictureMask,
        RecordSchedule,
        RoiItem,
        RoiParam,
        SnapShotConfig,
        SurveillanceDecodeParam,
        SurveillanceEncodeParam,
        SvacDecodeConfig,
        SvacEncodeConfig,
        SvcDecodeParam,
        SvcEncodeParam,
        TimeSegment,
        VideoAlarmRecord,
        VideoParam,
        VideoParamOpt,
        VideoRecordPlan,
    )
    from .control import (
        DeviceControl,
        DeviceControlResponse,
        DeviceUpgrade,
        DragZoom,
        HomePosition,
        PtzPrecise,
    )
    from .device_config import (
        ConfigDownloadQuery,
        ConfigDownloadResponse,
        DeviceConfig,
        DeviceConfigResponse,
    )
    from .device_info import DeviceInfoQuery, DeviceInfoResponse
    from .device_status import AlarmDuty, DeviceStatusQuery, DeviceStatusResponse
    from .keepalive import KeepaliveNotify
    from .media_status import MediaStatusNotify
    from .notices import DeviceUpgradeResultNotify, UploadSnapShotFinishedNotify, VideoUploadNotify
    from .position import (
        MobilePositionNotify,
        MobilePositionQuery,
        MobilePositionResponse,
        PositionItem,
    )
    from .preset import Preset, PresetQuery, PresetResponse
    from .ptz_state import (
        CruisePoint,
        CruiseTrack,
        CruiseTrackListQuery,
        CruiseTrackListResponse,
        CruiseTrackQuery,
        CruiseTrackResponse,
        HomePositionQuery,
        HomePositionResponse,
        PtzPositionNotify,
        PtzPositionQuery,
        PtzPositionResponse,
    )
    from .record import RecordInfoQuery, RecordInfoResponse, RecordItem
    from .schema import Element, Message
    from .storage import SdCard, SdCardStatusQuery, SdCardStatusResponse
    from .unknown import UnknownCommand
    from .values import format_time, parse_time

_MODULES = {
    "AlarmDuty": "device_status",
    "AlarmNotify": "alarm",
    "AlarmQuery": "alarm",
    "AlarmReport": "config",
    "AlarmResponse": "alarm",
    "BasicParam": "config",
    "BroadcastNotify": "broadcast",
    "BroadcastResponse": "broadcast",
    "CatalogInfo": "catalog",
    "CatalogItem": "catalog",
    "CatalogNotify": "catalog",
    "CatalogQuery": "catalog",
    "CatalogResponse": "catalog",
    "CatalogResult": "catalog",
    "ConfigDownloadQuery": "device_config",
    "ConfigDownloadResponse": "device_config",
    "CruisePoint": "ptz_state",
    "CruiseTrack": "ptz_state",
    "CruiseTrackListQuery": "ptz_state",
    "CruiseTrackListResponse": "ptz_state",
    "CruiseTrackQuery": "ptz_state",
    "CruiseTrackResponse": "ptz_state",
    "Decoded": "codec",
    "DeviceConfig": "device_config",
    "DeviceConfigResponse": "device_config",
    "DeviceControl": "control",
    "DeviceControlResponse": "control",
    "DeviceInfoQuery": "device_info",
    "DeviceInfoResponse": "device_info",
    "DeviceStatusQuery": "device_status",
    "DeviceStatusResponse": "device_status",
    "DeviceUpgrade": "control",
    "DeviceUpgradeResultNotify": "notices",
    "DragZoom": "control",
    "Element": "schema",
    "HomePosition": "control",
    "HomePositionQuery": "ptz_state",
    "HomePositionResponse": "ptz_state",
    "KeepaliveNotify": "keepalive",
    "MaskRegion": "config",
    "MediaStatusNotify": "media_status",
    "Message": "schema",
    "MobilePositionNotify": "position",
    "MobilePositionQuery": "position",
    "MobilePositionResponse": "position",
    "OsdConfig": "config",
    "OsdText": "config",
    "PictureMask": "config",
    "PositionItem": "position",
    "Preset": "preset",
    "PresetQuery": "preset",
    "PresetResponse": "preset",
    "PtzPositionNotify": "ptz_state",
    "PtzPositionQuery": "ptz_state",
    "PtzPositionResponse": "ptz_state",
    "PtzPrecise": "control",
    "RecordInfoQuery": "record",
    "RecordInfoResponse": "record",
    "RecordItem": "record",
    "RecordSchedule": "config",
    "RoiItem": "config",
    "RoiParam": "config",
    "SdCard": "storage",
    "SdCardStatusQuery": "storage",
    "SdCardStatusResponse": "storage",
    "SnapShotConfig": "config",
    "SurveillanceDecodeParam": "config",
    "SurveillanceEncodeParam": "config",
    "SvacDecodeConfig": "config",
    "SvacEncodeConfig": "config",
    "SvcDecodeParam": "config",
    "SvcEncodeParam": "config",
    "TimeSegment": "config",
    "UnknownCommand": "unknown",
    "UploadSnapShotFinishedNotify": "notices",
    "VideoAlarmRecord": "config",
    "VideoParam": "config",
    "VideoParamOpt": "config",
    "VideoRecordPlan": "config",
    "VideoUploadNotify": "notices",
    "decode": "codec",
    "encode": "codec",
    "format_time": "values",
    "parse_time": "values",
}

__all__ = [
    "AlarmDuty",
    "AlarmNotify",
    "AlarmQuery",
    "AlarmReport",
    "AlarmResponse",
    "BasicParam",
    "BroadcastNotify",
    "BroadcastResponse",
    "CatalogInfo",
    "CatalogItem",
    "CatalogNotify",
    "CatalogQuery",
    "CatalogResponse",
    "CatalogResult",
    "ConfigDownloadQuery",
    "ConfigDownloadResponse",
    "CruisePoint",
    "CruiseTrack",
    "CruiseTrackListQuery",
    "CruiseTrackListResponse",
    "CruiseTrackQuery",
    "CruiseTrackResponse",
    "Decoded",
    "DeviceConfig",
    "DeviceConfigResponse",
    "DeviceControl",
    "DeviceControlResponse",
    "DeviceInfoQuery",
    "DeviceInfoResponse",
    "DeviceStatusQuery",
    "DeviceStatusResponse",
    "DeviceUpgrade",
    "DeviceUpgradeResultNotify",
    "DragZoom",
    "Element",
    "HomePosition",
    "HomePositionQuery",
    "HomePositionResponse",
    "KeepaliveNotify",
    "MaskRegion",
    "MediaStatusNotify",
    "Message",
    "MobilePositionNotify",
    "MobilePositionQuery",
    "MobilePositionResponse",
    "OsdConfig",
    "OsdText",
    "PictureMask",
    "PositionItem",
    "Preset",
    "PresetQuery",
    "PresetResponse",
    "PtzPositionNotify",
    "PtzPositionQuery",
    "PtzPositionResponse",
    "PtzPrecise",
    "RecordInfoQuery",
    "RecordInfoResponse",
    "RecordItem",
    "RecordSchedule",
    "RoiItem",
    "RoiParam",
    "SdCard",
    "SdCardStatusQuery",
    "SdCardStatusResponse",
    "SnapShotConfig",
    "SurveillanceDecodeParam",
    "SurveillanceEncodeParam",
    "SvacDecodeConfig",
    "SvacEncodeConfig",
    "SvcDecodeParam",
    "SvcEncodeParam",
    "TimeSegment",
    "UnknownCommand",
    "UploadSnapShotFinishedNotify",
    "VideoAlarmRecord",
    "VideoParam",
    "VideoParamOpt",
    "VideoRecordPlan",
    "VideoUploadNotify",
    "decode",
    "encode",
    "format_time",
    "parse_time",
]


if not TYPE_CHECKING:  # else a misspelled name would pass the type check

    def __getattr__(name: str) -> object:
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return __all__
