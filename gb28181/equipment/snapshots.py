"""Snapshots: pictures of a channel's own video, uploaded as a platform has ordered."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rtp.access_unit import MediaKind
from rtp.errors import LocalProtocolError

from ..errors import Gb28181Error
from ..manscdp.notices import UploadSnapShotFinishedNotify
from ..manscdp.values import BEIJING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from rtp.access_unit import AccessUnit

    from ..manscdp.config import SnapShotConfig
    from ..media.source import MediaSource
    from .web import Web

logger = logging.getLogger("gb28181.device")

_MAX_UNITS = 20_000
"""Units looked at for one picture."""
_GROUP = 64
"""Units from a key frame on that a decoder is given."""


class Snapshots:
    """Takes pictures and uploads them, one order after the other for each channel.

    Source: GB/T 28181-2022 9.14, A.2.3.2.12, A.2.5.
    """

    def __init__(
        self,
        web: Web,
        *,
        clock: Callable[[], datetime],
        tell: Callable[[UploadSnapShotFinishedNotify], Awaitable[object]],
    ) -> None:
        """Take the way out.

        Args:
            web: Uploads.
            clock: The device's time of day, for the names of the pictures.
            tell: Sends the notice when all is done.
        """
        self._web = web
        self._clock = clock
        self._tell = tell
        self._busy: set[str] = set()

    def fault(self, channel_id: str, order: SnapShotConfig) -> str:
        """Say why an order cannot be carried out; empty when it can."""
        if channel_id in self._busy:
            return "the pictures ordered before are not all taken yet"
        return self._web.fault(order.upload_url or "")

    async def take(
        self, channel_id: str, source: MediaSource, order: SnapShotConfig, *, sn: str
    ) -> None:
        """Take the pictures, upload each, and tell under ``sn`` which of them arrived."""
        self._busy.add(channel_id)
        try:
            files = await self._all(channel_id, source, order)
        finally:
            self._busy.discard(channel_id)
        await self._tell(
            UploadSnapShotFinishedNotify(
                sn=sn,
                device_id=channel_id,
                session_id=order.session_id or "",
                files=tuple(files),
            )
        )

    async def _all(self, channel_id: str, source: MediaSource, order: SnapShotConfig) -> list[str]:
        files: list[str] = []
        interval = order.interval or 1
        for number in range(1, (order.snap_num or 1) + 1):
            if number > 1:
                await asyncio.sleep(interval)
            name = file_id(channel_id, self._clock(), number)
            try:
                picture = await take_picture(source, after=(number - 1) * interval)
                fields = {
                    "SessionID": order.session_id or "",
                    "DeviceID": channel_id,
                    "SnapShotFileID": name,
                }
                await self._web.upload(order.upload_url or "", fields, f"{name}.jpg", picture)
            except (Gb28181Error, LocalProtocolError, ImportError, OSError) as error:
                logger.info("%s: picture %d not delivered: %s", channel_id, number, error)
            else:
                files.append(name)
        return files


def file_id(channel_id: str, moment: datetime, number: int) -> str:
    """The name of a picture: the channel, 02, the time to the millisecond, and its number.

    Source: GB/T 28181-2022 A.2.5.
    """
    local = moment.astimezone(BEIJING)
    return f"{channel_id}02{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}{number:02d}"


async def take_picture(source: MediaSource, *, after: float) -> bytes:
    """Make a JPEG of the first key frame after so many seconds of a source.

    Raises:
        LocalProtocolError: There is no picture in it that can be decoded.
        ImportError: Pictures need the extra ``media``.
    """
    from ..media.packets import snapshot

    group: list[AccessUnit] = []
    seen = 0
    units = source.units()
    async for unit in units:
        seen += 1
        is_picture = unit.kind is MediaKind.VIDEO
        if is_picture and unit.is_key:
            if group and group[0].dts >= after * 90_000:
                break
            group = []
        if is_picture and (group or unit.is_key):
            group.append(unit)
        if seen >= _MAX_UNITS or (
            group and group[0].dts >= after * 90_000 and len(group) >= _GROUP
        ):
            break
    if hasattr(units, "aclose"):
        await units.aclose()
    return await asyncio.to_thread(snapshot, group)
