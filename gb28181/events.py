"""What a platform tells its user: events, and the bounded readers that carry them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .errors import Cause
    from .manscdp.alarm import AlarmNotify
    from .manscdp.notices import (
        DeviceUpgradeResultNotify,
        UploadSnapShotFinishedNotify,
        VideoUploadNotify,
    )
    from .manscdp.position import PositionItem
    from .manscdp.ptz_state import PtzPositionNotify
    from .manscdp.unknown import UnknownCommand as UnknownMessage
    from .remote_device import RemoteDevice

_EVENTS_KEPT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOnline:
    """A device has registered."""

    device: RemoteDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOffline:
    """A device is gone: unregistered, expired, silent, or its connection broke."""

    device: RemoteDevice
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogChanged:
    """A complete catalogue, or a notification, changed what a device lists."""

    device: RemoteDevice
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A device reports an alarm."""

    device: RemoteDevice
    notify: AlarmNotify


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmUnkept:
    """A handler failed or hung on every try: the alarm was not acknowledged."""

    device: RemoteDevice
    notify: AlarmNotify
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChanged:
    """A notification says that a channel went on or off, lost its video, or is defect."""

    device: RemoteDevice
    channel_id: str
    status: str
    """``ON``, ``OFF``, ``VLOST`` or ``DEFECT``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a mobile device is."""

    device: RemoteDevice
    channel_id: str
    """The code that it names; the only channel of a device that names itself."""
    item: PositionItem
    """Time, longitude, latitude, speed, direction, altitude."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PtzPosition:
    """Where a camera looks."""

    device: RemoteDevice
    channel_id: str
    notify: PtzPositionNotify


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Pictures are uploaded, an upgrade is over, or a mobile device wants to be watched (2022)."""

    device: RemoteDevice
    notify: UploadSnapShotFinishedNotify | DeviceUpgradeResultNotify | VideoUploadNotify


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownCommand:
    """A device sent a command that the standard does not have; it was answered 200."""

    device: RemoteDevice
    message: UnknownMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsLost:
    """This reader alone was too slow; read the present state again."""

    count: int


PlatformEvent = (
    DeviceOnline
    | DeviceOffline
    | CatalogChanged
    | StatusChanged
    | Alarm
    | AlarmUnkept
    | Position
    | PtzPosition
    | Notice
    | UnknownCommand
    | EventsLost
)


class EventReader:
    """One user's bounded view of a platform's events.

    When more than 10,000 wait, the oldest are dropped and one ``EventsLost`` stands for them.
    """

    def __init__(self, leave: Callable[[EventReader], None]) -> None:
        self._leave = leave
        self._waiting: deque[PlatformEvent] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._closed = False

    def put(self, event: PlatformEvent) -> None:
        """Take an event; never waits."""
        if len(self._waiting) >= _EVENTS_KEPT:
            self._waiting.popleft()
            self._lost += 1
        self._waiting.append(event)
        self._wake.set()

    def close(self) -> None:
        """End the iteration once what waits has been read."""
        if not self._closed:
            self._closed = True
            self._leave(self)
            self._wake.set()

    async def __aenter__(self) -> EventReader:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> EventReader:
        return self

    async def __anext__(self) -> PlatformEvent:
        while True:
            if self._lost:
                lost, self._lost = self._lost, 0
                return EventsLost(count=lost)
            if self._waiting:
                return self._waiting.popleft()
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
