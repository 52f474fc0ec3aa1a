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
    from .control import DeviceControl, DeviceControlResponse
    from .device_info import DeviceInfoQuery, DeviceInfoResponse
    from .device_status import AlarmDuty, DeviceStatusQuery, DeviceStatusResponse
    from .keepalive import KeepaliveNotify
    from .media_status import MediaStatusNotify
    from .position import MobilePositionNotify, MobilePositionQuery, PositionItem
    from .preset import Preset, PresetQuery, PresetResponse
    from .record import RecordInfoQuery, RecordInfoResponse, RecordItem
    from .schema import Element, Message
    from .unknown import UnknownCommand
    from .values import format_time, parse_time

_MODULES = {
    "AlarmDuty": "device_status",
    "AlarmNotify": "alarm",
    "AlarmQuery": "alarm",
    "AlarmResponse": "alarm",
    "BroadcastNotify": "broadcast",
    "BroadcastResponse": "broadcast",
    "CatalogInfo": "catalog",
    "CatalogItem": "catalog",
    "CatalogNotify": "catalog",
    "CatalogQuery": "catalog",
    "CatalogResponse": "catalog",
    "CatalogResult": "catalog",
    "Decoded": "codec",
    "DeviceControl": "control",
    "DeviceControlResponse": "control",
    "DeviceInfoQuery": "device_info",
    "DeviceInfoResponse": "device_info",
    "DeviceStatusQuery": "device_status",
    "DeviceStatusResponse": "device_status",
    "Element": "schema",
    "KeepaliveNotify": "keepalive",
    "MediaStatusNotify": "media_status",
    "Message": "schema",
    "MobilePositionNotify": "position",
    "MobilePositionQuery": "position",
    "PositionItem": "position",
    "Preset": "preset",
    "PresetQuery": "preset",
    "PresetResponse": "preset",
    "RecordInfoQuery": "record",
    "RecordInfoResponse": "record",
    "RecordItem": "record",
    "UnknownCommand": "unknown",
    "decode": "codec",
    "encode": "codec",
    "format_time": "values",
    "parse_time": "values",
}

__all__ = [
    "AlarmDuty",
    "AlarmNotify",
    "AlarmQuery",
    "AlarmResponse",
    "BroadcastNotify",
    "BroadcastResponse",
    "CatalogInfo",
    "CatalogItem",
    "CatalogNotify",
    "CatalogQuery",
    "CatalogResponse",
    "CatalogResult",
    "Decoded",
    "DeviceControl",
    "DeviceControlResponse",
    "DeviceInfoQuery",
    "DeviceInfoResponse",
    "DeviceStatusQuery",
    "DeviceStatusResponse",
    "Element",
    "KeepaliveNotify",
    "MediaStatusNotify",
    "Message",
    "MobilePositionNotify",
    "MobilePositionQuery",
    "PositionItem",
    "Preset",
    "PresetQuery",
    "PresetResponse",
    "RecordInfoQuery",
    "RecordInfoResponse",
    "RecordItem",
    "UnknownCommand",
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
