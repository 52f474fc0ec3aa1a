"""GB/T 28181 for Python: platform, device and cascade on asyncio."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cascade import Cascade, Upper
    from .channel import Channel
    from .commands.moves import Ptz
    from .commands.outcome import Outcome, Stage
    from .commands.records import Records
    from .device import Device, Nameplate
    from .edition import Edition
    from .equipment.alarms import AlarmFate
    from .equipment.settings import EquipmentSettings, ScheduledAlarm
    from .errors import (
        AnswerIncomplete,
        Cause,
        CommandFailed,
        ConfigError,
        DeviceNotOnline,
        Gb28181Error,
        InvalidIdentifier,
        MalformedCommand,
        MalformedSdp,
        MediaTimeout,
        NoAnswer,
        NotSupported,
        PlatformFailed,
        PortsExhausted,
        RequestRejected,
        RoleFailed,
        SessionLost,
        SsrcsExhausted,
    )
    from .events import (
        Alarm,
        AlarmUnkept,
        CatalogChanged,
        DeviceOffline,
        DeviceOnline,
        EventsLost,
        Notice,
        Position,
        PtzPosition,
        StatusChanged,
        UnknownCommand,
    )
    from .platform import Platform
    from .quirks import Quirks
    from .registrar import RegistrarConfig
    from .remote_device import RemoteDevice
    from .sessions.download import Downloaded
    from .sessions.live import Backoff, Live, Play
    from .sessions.pace import Verdict
    from .sessions.playback import Playback
    from .sessions.serving import DeviceChannel
    from .sessions.streams import StreamKind
    from .sessions.talk import Broadcast, Talk
    from .subscriptions import Subscription
    from .upper.share import IdMap, Share

_HOME = {
    "Alarm": "events",
    "AlarmFate": "equipment.alarms",
    "AlarmUnkept": "events",
    "AnswerIncomplete": "errors",
    "Backoff": "sessions.live",
    "Broadcast": "sessions.talk",
    "Cascade": "cascade",
    "CatalogChanged": "events",
    "Cause": "errors",
    "Channel": "channel",
    "CommandFailed": "errors",
    "ConfigError": "errors",
    "Device": "device",
    "DeviceChannel": "sessions.serving",
    "DeviceNotOnline": "errors",
    "DeviceOffline": "events",
    "DeviceOnline": "events",
    "Downloaded": "sessions.download",
    "Edition": "edition",
    "EquipmentSettings": "equipment.settings",
    "EventsLost": "events",
    "Gb28181Error": "errors",
    "IdMap": "upper.share",
    "InvalidIdentifier": "errors",
    "Live": "sessions.live",
    "MalformedCommand": "errors",
    "MalformedSdp": "errors",
    "MediaTimeout": "errors",
    "Nameplate": "device",
    "NoAnswer": "errors",
    "NotSupported": "errors",
    "Notice": "events",
    "Outcome": "commands.outcome",
    "Platform": "platform",
    "PlatformFailed": "errors",
    "Play": "sessions.live",
    "Playback": "sessions.playback",
    "PortsExhausted": "errors",
    "Position": "events",
    "Ptz": "commands.moves",
    "PtzPosition": "events",
    "Quirks": "quirks",
    "Records": "commands.records",
    "RegistrarConfig": "registrar",
    "RemoteDevice": "remote_device",
    "RequestRejected": "errors",
    "RoleFailed": "errors",
    "ScheduledAlarm": "equipment.settings",
    "SessionLost": "errors",
    "Share": "upper.share",
    "SsrcsExhausted": "errors",
    "Stage": "commands.outcome",
    "StatusChanged": "events",
    "StreamKind": "sessions.streams",
    "Subscription": "subscriptions",
    "Talk": "sessions.talk",
    "UnknownCommand": "events",
    "Upper": "cascade",
    "Verdict": "sessions.pace",
}

__all__ = [
    "Alarm",
    "AlarmFate",
    "AlarmUnkept",
    "AnswerIncomplete",
    "Backoff",
    "Broadcast",
    "Cascade",
    "CatalogChanged",
    "Cause",
    "Channel",
    "CommandFailed",
    "ConfigError",
    "Device",
    "DeviceChannel",
    "DeviceNotOnline",
    "DeviceOffline",
    "DeviceOnline",
    "Downloaded",
    "Edition",
    "EquipmentSettings",
    "EventsLost",
    "Gb28181Error",
    "IdMap",
    "InvalidIdentifier",
    "Live",
    "MalformedCommand",
    "MalformedSdp",
    "MediaTimeout",
    "Nameplate",
    "NoAnswer",
    "NotSupported",
    "Notice",
    "Outcome",
    "Platform",
    "PlatformFailed",
    "Play",
    "Playback",
    "PortsExhausted",
    "Position",
    "Ptz",
    "PtzPosition",
    "Quirks",
    "Records",
    "RegistrarConfig",
    "RemoteDevice",
    "RequestRejected",
    "RoleFailed",
    "ScheduledAlarm",
    "SessionLost",
    "Share",
    "SsrcsExhausted",
    "Stage",
    "StatusChanged",
    "StreamKind",
    "Subscription",
    "Talk",
    "UnknownCommand",
    "Upper",
    "Verdict",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Load a public name when it is first used: importing the package stays cheap."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _check_neighbours()
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def _check_neighbours() -> None:
    """Refuse to run on a foreign distribution's ``sip`` or ``rtp``, which pip may lay over ours."""
    for package in ("sip", "rtp"):
        module = import_module(package)
        if getattr(module, "DISTRIBUTION", None) != "gb28181":
            raise ImportError(
                f"the package {package!r} at {module.__file__} is not the one of gb28181; "
                f"another distribution has replaced it: uninstall that, then reinstall gb28181"
            )
