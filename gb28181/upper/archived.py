"""Archived: what a cascade serves upward from the platform's own recordings."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from ..errors import Gb28181Error
from ..manscdp.record import RecordInfoQuery, RecordItem
from ..manscdp.values import BEIJING, format_time, parse_time
from ..media.moments import Span, joined
from ..sessions.serving import DeviceChannel, Serving

if TYPE_CHECKING:
    from sip.endpoint import IncomingInvite, IncomingRequest

    from ..edition import Edition
    from ..equipment.recordings import RecordedFile, Recordings
    from ..manscdp.catalog import CatalogItem
    from ..media.answer import JudgedOffer
    from ..media.source import MediaSource
    from ..station import Station

logger = logging.getLogger("gb28181.cascade")

ENOUGH = 0.5
"""The share of a time that must lie in the archive for a playback to come from there while the
camera can be asked."""


class RecordingArchive(Protocol):
    """Who keeps recordings; ``gb28181.archive.archive.Archive``."""

    def shelf(self, channel_id: str, start: float, end: float) -> Recordings:
        """What there is of a channel's time. Blocks."""


class Archived:
    """The recordings of our own that go up one link, to play back and to download.

    Source: 9.7 to 9.9.
    """

    def __init__(
        self,
        archive: RecordingArchive,
        station: Station,
        *,
        own_id: str,
        upper_id: str,
        edition: Edition,
    ) -> None:
        """Take what is needed.

        Args:
            archive: Who keeps the recordings.
            station: Where calls come in and media goes out.
            own_id: Our id.
            upper_id: The platform above.
            edition: Which edition it speaks.
        """
        self._archive = archive
        self._channels: dict[str, DeviceChannel] = {}
        self._serving = Serving(
            own_id, server_id=upper_id, station=station, channels=self._channels, edition=edition
        )

    def has(self, call: object) -> bool:
        """Whether a call is one of these."""
        return any(session.call is call for session in self._serving.sessions)

    async def control(self, incoming: IncomingRequest) -> None:
        """Serve playback control within a call."""
        await self._serving.in_dialog(incoming)

    async def end(self, reason: str, *, timeout: float) -> None:
        """Say BYE to every viewer."""
        await self._serving.end(reason, timeout=timeout)

    async def serves(self, channel_id: str, offer: JudgedOffer, *, is_online: bool) -> bool:
        """Whether a recording is to come from here rather than from the camera."""
        span = (float(offer.description.start), float(offer.description.end))
        covered = await self._covered(channel_id, span)
        return covered >= ENOUGH if is_online else covered > 0

    async def invite(
        self, incoming: IncomingInvite, item: CatalogItem, channel_id: str, offer: JudgedOffer
    ) -> None:
        """Serve one playback or download until somebody ends it.

        Args:
            incoming: The upper's INVITE.
            item: The channel as the upper knows it.
            channel_id: The channel's own id.
            offer: What it asks for.
        """
        start, end = float(offer.description.start), float(offer.description.end)
        shelf = await asyncio.to_thread(self._archive.shelf, channel_id, start, end)
        self._channels[item.device_id] = DeviceChannel(
            item=item, source=_nothing_live, recordings=shelf
        )
        await self._serving.invite(incoming)

    async def find(self, query: RecordInfoQuery, channel_id: str) -> list[RecordItem]:
        """What the archive has of what the upper searches; under the id of its question."""
        try:
            start, end = _moment(query.start_time), _moment(query.end_time)
        except ValueError:
            return []
        kind = (query.type or "all").lower()
        found: list[RecordedFile] = []
        try:
            shelf = await asyncio.to_thread(
                self._archive.shelf, channel_id, start.timestamp(), end.timestamp()
            )
            found = shelf.find(start, end, kind=kind)
        except (Gb28181Error, OSError) as error:
            logger.error("%s: the archive cannot be searched: %s", channel_id, error)
        return [_item(one, query.device_id) for one in found]

    async def _covered(self, channel_id: str, span: Span) -> float:
        """The share of a time that lies in the archive."""
        if span[1] <= span[0]:
            return 0.0
        try:
            shelf = await asyncio.to_thread(self._archive.shelf, channel_id, *span)
        except (Gb28181Error, OSError) as error:
            logger.error("%s: the archive cannot be read: %s", channel_id, error)
            return 0.0
        files = shelf.find(*(datetime.fromtimestamp(moment, UTC) for moment in span))
        pieces = joined([(one.start.timestamp(), one.end.timestamp()) for one in files], *span)
        return sum(b - a for a, b in pieces) / (span[1] - span[0])


def beyond(items: list[RecordItem], own: list[RecordItem]) -> list[RecordItem]:
    """The camera's recordings that are not wholly in the archive, so that nothing is told twice."""
    have = joined([_span(one) for one in own], 0, float("inf"))
    return [
        one
        for one in items
        if not any(start <= _span(one)[0] and _span(one)[1] <= end for start, end in have)
    ]


def _span(item: RecordItem) -> Span:
    try:
        return (_moment(item.start_time).timestamp(), _moment(item.end_time).timestamp())
    except ValueError:
        return (0.0, float("inf"))  # what cannot be compared is told


def _moment(text: str | None) -> datetime:
    return parse_time(text or "").replace(tzinfo=BEIJING)


def _item(file: RecordedFile, device_id: str) -> RecordItem:
    return RecordItem(
        device_id=device_id,
        name=file.name,
        file_path=file.name,  # no path of ours leaves this machine
        start_time=format_time(file.start.replace(microsecond=0)),
        end_time=format_time(file.end.replace(microsecond=0)),
        secrecy=0,
        type=file.kind,
        file_size=str(file.size),
    )


def _nothing_live() -> MediaSource:
    raise AssertionError("live streams are relayed, not served from the archive")
