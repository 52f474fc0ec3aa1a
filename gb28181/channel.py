"""Channel: a handle on a camera that stays valid while its device is away or moves."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, Unpack

from .errors import DeviceNotOnline, Gb28181Error, NoAnswer
from .sessions.download import Download
from .sessions.live import Backoff, LiveHost, Play, picture_of
from .sessions.playback import Playback
from .sessions.recorded import RecordingHost
from .sessions.streams import StreamKey, StreamKind
from .sessions.talk import Talk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from pathlib import Path

    from .commands.outcome import Outcome
    from .commands.records import Records
    from .commands.settings import ConfigBlock
    from .manscdp.catalog import CatalogItem
    from .manscdp.config import SnapShotConfig
    from .manscdp.control import DragZoom, HomePosition
    from .manscdp.device_config import ConfigDownloadResponse
    from .manscdp.device_status import DeviceStatusResponse
    from .manscdp.preset import Preset
    from .manscdp.ptz_state import CruiseTrack, CruiseTrackResponse, PtzPositionResponse
    from .manscdp.storage import SdCard
    from .media.source import MediaSource
    from .ptz import PtzCommand
    from .remote_device import RemoteDevice
    from .sessions.download import Downloaded, DownloadProgress
    from .sessions.talk import Broadcast
    from .subscriptions import Subscription
    from .uploads import Uploads

logger = logging.getLogger("gb28181.channel")


class ChannelHost(LiveHost, RecordingHost, Protocol):
    """What a channel needs of its platform."""

    def channel_item(self, channel_id: str) -> CatalogItem | None:
        """The catalogue's line for the channel."""

    def broadcast(self, channel_ids: Sequence[str], source: MediaSource) -> Broadcast:
        """One voice to the loudspeakers of several cameras."""

    def owner_of(self, channel_id: str) -> RemoteDevice | None:
        """The device that lists the channel."""


class Channel:
    """A camera, whether its device is here or not.

    Two handles of one id are interchangeable: they hold no state of their own.
    """

    def __init__(self, channel_id: str, host: ChannelHost) -> None:
        self.id = channel_id
        self._host = host

    def __repr__(self) -> str:
        return f"Channel({self.id!r})"

    @property
    def item(self) -> CatalogItem | None:
        """What the catalogue says of it, or None before a catalogue came."""
        return self._host.channel_item(self.id)

    @property
    def is_online(self) -> bool:
        """Whether its device is registered and lists it as ON."""
        return self._host.channel_online(self.id)

    def play(self, *, stream: StreamKind = StreamKind.MAIN, retry: Backoff | None = None) -> Play:
        """Live video: ``async with`` for once, ``async for`` to be given it again after a loss.

        Args:
            stream: Main or sub stream.
            retry: How to pace the tries of ``async for``; the default is 1 to 30 seconds.
        """
        return Play(self._host, StreamKey(self.id, stream), retry or Backoff())

    def play_back(
        self,
        start: datetime,
        end: datetime,
        *,
        records: Sequence[tuple[datetime, datetime]] | None = None,
    ) -> Playback:
        """A recording on its disk, steered as a tape: ``async with``.

        Args:
            start: Aware; any zone, and that of ``position`` from then on.
            end: Aware.
            records: What is on the disk, when that is known already; else the device is asked.

        Raises:
            ConfigError: A time has no zone, or the end is not after the start.
        """
        return Playback(self._host, self.id, start, end, records=records)

    async def download(
        self,
        start: datetime,
        end: datetime,
        *,
        to: Path | str,
        speed: int = 4,
        progress: Callable[[DownloadProgress], object] | None = None,
        patience: float = 600.0,
    ) -> Downloaded:
        """Fetch a recording from its disk into an MP4 file; resumes after a break. Needs ``media``.

        Args:
            start: Aware; any zone.
            end: Aware.
            to: The file; it can be played while it grows.
            speed: How many times faster than real time the device is asked to send.
            progress: Is called some times a second; must not block.
            patience: Seconds without progress after which it is given up, with what there is.

        Raises:
            ConfigError: A time has no zone, or the end is not after the start.
            SessionLost: Nothing at all could be had.
            OSError: The file cannot be written.
        """
        return await Download(
            self._host, self.id, start, end,
            to=to, speed=speed, progress=progress, patience=patience,
        ).run()  # fmt: skip

    # What RemoteDevice does for its channel; the docstrings are there. Without a device that lists
    # it, each raises DeviceNotOnline.

    async def snapshot(self, *, timeout: float = 30.0, uploads: Uploads | None = None) -> bytes:
        """One picture as JPEG, by the first way that works.

        Those are the stream that runs; a picture that the camera uploads (2022), when ``uploads``
        says where to; and a stream that is asked for. Pictures of a stream need ``media``.

        Args:
            timeout: Seconds for each way.
            uploads: Takes what cameras upload.

        Raises:
            SessionLost: There is no stream.
            NoAnswer: No picture came in time.
        """
        if uploads is not None and not self._host.streams.users(StreamKey(self.id)):
            try:
                return (await uploads.order(self, timeout=timeout))[0]
            except Gb28181Error as error:
                logger.info("%s: no uploaded picture: %s", self.id, error)
        try:
            async with asyncio.timeout(timeout), self.play() as live:
                units = live.units()
                try:
                    return await picture_of(units)
                finally:
                    await units.aclose()
        except TimeoutError:
            raise NoAnswer(f"{self.id}: no picture within {timeout:g} s") from None

    async def records(
        self,
        start: datetime,
        end: datetime,
        *,
        kind: str = "all",
        progress: Callable[[int, int], None] | None = None,
    ) -> Records:
        """Search for recordings: ``.items .complete .gaps .missing``. Times are aware."""
        device = self._device
        return await device.records(start, end, target=self.id, kind=kind, progress=progress)

    async def device_status(self) -> DeviceStatusResponse:
        """Ask for its state."""
        return await self._device.device_status(target=self.id)

    async def presets(self, *, insist: bool = False) -> tuple[Preset, ...]:
        """Ask which presets there are."""
        return await self._device.presets(target=self.id, insist=insist)

    async def home_position(self, *, insist: bool = False) -> HomePosition | None:
        """Ask where it goes when nobody moves it."""
        return await self._device.home_position(target=self.id, insist=insist)

    async def cruise_tracks(self, *, insist: bool = False) -> tuple[CruiseTrack, ...]:
        """Ask which cruise tracks there are."""
        return await self._device.cruise_tracks(target=self.id, insist=insist)

    async def cruise_track(self, number: int, *, insist: bool = False) -> CruiseTrackResponse:
        """Ask for the points of a cruise track, numbered from 0."""
        return await self._device.cruise_track(number, target=self.id, insist=insist)

    async def ptz_position(self, *, insist: bool = False) -> PtzPositionResponse:
        """Ask where it looks."""
        return await self._device.ptz_position(target=self.id, insist=insist)

    async def sd_cards(self, *, insist: bool = False) -> tuple[SdCard, ...]:
        """Ask how its memory cards do."""
        return await self._device.sd_cards(target=self.id, insist=insist)

    async def configuration(self, *blocks: str, insist: bool = False) -> ConfigDownloadResponse:
        """Read blocks of its configuration, by the names of the standard."""
        return await self._device.configuration(*blocks, target=self.id, insist=insist)

    async def control(
        self,
        command: PtzCommand,
        *,
        preset_name: str | None = None,
        cruise_track_name: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Send a command of ``Ptz``, such as ``Ptz.up(speed=64)``."""
        return await self._device.control(
            command,
            target=self.id,
            preset_name=preset_name,
            cruise_track_name=cruise_track_name,
            verify=verify,
            insist=insist,
        )

    async def look_at(
        self,
        *,
        pan: float | None = None,
        tilt: float | None = None,
        zoom: float | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Turn to a position in degrees and times (2022)."""
        return await self._device.look_at(
            pan=pan, tilt=tilt, zoom=zoom, target=self.id, verify=verify, insist=insist
        )

    async def drag_zoom(
        self, box: DragZoom, *, out: bool = False, verify: bool = False, insist: bool = False
    ) -> Outcome:
        """Magnify the box to the window, or with ``out`` shrink the window into the box."""
        device = self._device
        return await device.drag_zoom(box, out=out, target=self.id, verify=verify, insist=insist)

    async def set_home_position(
        self, position: HomePosition, *, verify: bool = False, insist: bool = False
    ) -> Outcome:
        """Set where it goes when nobody moves it, or switch that off."""
        return await self._device.set_home_position(
            position, target=self.id, verify=verify, insist=insist
        )

    async def track(
        self,
        mode: str,
        *,
        area: DragZoom | None = None,
        panorama: str | None = None,
        insist: bool = False,
    ) -> Outcome:
        """Follow a target: ``Auto``, ``Manual`` with an area, or ``Stop`` (2022)."""
        return await self._device.track(
            mode, area=area, panorama=panorama, target=self.id, insist=insist
        )

    async def record(
        self,
        *,
        on: bool = True,
        stream_number: int | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Let the device record it, or stop."""
        return await self._device.record(
            on=on, stream_number=stream_number, target=self.id, verify=verify, insist=insist
        )

    async def guard(
        self, *, on: bool = True, verify: bool = False, insist: bool = False
    ) -> Outcome:
        """Set the guard, or reset it."""
        return await self._device.guard(on=on, target=self.id, verify=verify, insist=insist)

    async def reset_alarm(
        self,
        *,
        method: str | None = None,
        alarm_type: str | None = None,
        verify: bool = False,
        insist: bool = False,
    ) -> Outcome:
        """Reset its alarm."""
        return await self._device.reset_alarm(
            method=method, alarm_type=alarm_type, target=self.id, verify=verify, insist=insist
        )

    async def force_key_frame(self, *, insist: bool = False) -> Outcome:
        """Ask for a key frame at once."""
        return await self._device.force_key_frame(target=self.id, insist=insist)

    async def format_sd_card(
        self, card: int = 0, *, verify: bool = False, insist: bool = False
    ) -> Outcome:
        """Format a memory card, numbered from 1; 0 is all of them (2022)."""
        device = self._device
        return await device.format_sd_card(card, target=self.id, verify=verify, insist=insist)

    async def configure(
        self, *, verify: bool = False, insist: bool = False, **block: Unpack[ConfigBlock]
    ) -> Outcome:
        """Set one block of its configuration, named as in ``DeviceConfig``."""
        return await self._device.configure(target=self.id, verify=verify, insist=insist, **block)

    async def take_snapshots(self, config: SnapShotConfig, *, insist: bool = False) -> Outcome:
        """Let it take pictures and upload them (2022)."""
        return await self._device.take_snapshots(config, target=self.id, insist=insist)

    async def subscribe_position(self, interval: int = 5) -> Subscription:
        """Subscribe to its position, told every ``interval`` seconds."""
        return await self._device.subscribe_position(interval, target=self.id)

    async def subscribe_ptz_position(self) -> Subscription:
        """Subscribe to where it looks (2022)."""
        return await self._device.subscribe_ptz_position(target=self.id)

    @property
    def _device(self) -> RemoteDevice:
        self._host.check()
        device = self._host.owner_of(self.id)
        if device is None:
            raise DeviceNotOnline(self.id, "is listed by no device")
        return device

    def broadcast(self, source: MediaSource) -> Broadcast:
        """Our voice at its loudspeaker: ``async with``; see ``Platform.broadcast``."""
        return self._host.broadcast([self.id], source)

    def talk(self, source: MediaSource) -> Talk:
        """Its picture and sound up, our voice down: ``async with`` (9.12.2).

        Args:
            source: Whose G.711 sound is sent.

        Raises:
            ValueError: The source has no G.711 sound.
        """
        return Talk(self.play().open, self.broadcast(source))
