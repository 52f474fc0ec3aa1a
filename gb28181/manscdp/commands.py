"""All commands: which class reads which root element and CmdType."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .alarm import (
    AlarmNotify,
    AlarmQuery,
    AlarmResponse,
)
from .broadcast import (
    BroadcastNotify,
    BroadcastResponse,
)
from .catalog import (
    CatalogNotify,
    CatalogQuery,
    CatalogResponse,
    CatalogResult,
)
from .control import (
    DeviceControl,
    DeviceControlResponse,
)
from .device_config import (
    ConfigDownloadQuery,
    ConfigDownloadResponse,
    DeviceConfig,
    DeviceConfigResponse,
)
from .device_info import (
    DeviceInfoQuery,
    DeviceInfoResponse,
)
from .device_status import (
    DeviceStatusQuery,
    DeviceStatusResponse,
)
from .keepalive import (
    KeepaliveNotify,
)
from .media_status import (
    MediaStatusNotify,
)
from .notices import (
    DeviceUpgradeResultNotify,
    UploadSnapShotFinishedNotify,
    VideoUploadNotify,
)
from .position import (
    MobilePositionNotify,
    MobilePositionQuery,
    MobilePositionResponse,
)
from .preset import (
    PresetQuery,
    PresetResponse,
)
from .ptz_state import (
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
from .record import (
    RecordInfoQuery,
    RecordInfoResponse,
)
from .storage import (
    SdCardStatusQuery,
    SdCardStatusResponse,
)

COMMANDS: tuple[type[Any], ...] = (
    AlarmNotify,
    AlarmQuery,
    AlarmResponse,
    BroadcastNotify,
    BroadcastResponse,
    CatalogNotify,
    CatalogQuery,
    CatalogResponse,
    CatalogResult,
    ConfigDownloadQuery,
    ConfigDownloadResponse,
    CruiseTrackListQuery,
    CruiseTrackListResponse,
    CruiseTrackQuery,
    CruiseTrackResponse,
    DeviceConfig,
    DeviceConfigResponse,
    DeviceControl,
    DeviceControlResponse,
    DeviceInfoQuery,
    DeviceInfoResponse,
    DeviceStatusQuery,
    DeviceStatusResponse,
    DeviceUpgradeResultNotify,
    HomePositionQuery,
    HomePositionResponse,
    KeepaliveNotify,
    MediaStatusNotify,
    MobilePositionNotify,
    MobilePositionQuery,
    MobilePositionResponse,
    PresetQuery,
    PresetResponse,
    PtzPositionNotify,
    PtzPositionQuery,
    PtzPositionResponse,
    RecordInfoQuery,
    RecordInfoResponse,
    SdCardStatusQuery,
    SdCardStatusResponse,
    UploadSnapShotFinishedNotify,
    VideoUploadNotify,
)
"""The class of every message of the standard, of all editions."""

BY_NAME: Mapping[tuple[str, str], type[Any]] = MappingProxyType(
    {
        # The 2016 answer to a notice bears the name of the catalogue: told apart by its elements.
        **{(c.root.lower(), c.cmd_type.lower()): c for c in COMMANDS if c is not CatalogResult},
        # The amendment of 2014 spells it so.
        ("query", "persetquery"): PresetQuery,
        ("response", "persetquery"): PresetResponse,
        # A Dahua camera of 2022 answers so.
        ("query", "homeposition"): HomePositionQuery,
        ("response", "homeposition"): HomePositionResponse,
    }
)
"""The classes by root element and CmdType, both in lower case."""
