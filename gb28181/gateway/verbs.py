"""What can be asked of a running gateway over its control socket: status, play, watch."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, Gb28181Error, SessionLost
from ..sessions.live import Backoff, Live
from ..sessions.streams import StreamKey
from ..ssrc import format_ssrc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from rtp.access_unit import AccessUnit

    from ..archive.archive import Archive
    from ..cascade import Cascade
    from ..channel import Channel
    from ..media.record import Mp4Recorder, Recording
    from ..media.session import MediaSession
    from ..platform import Platform
    from ..sessions.download import DownloadProgress
    from .control import Json, Progress, Verb

_TOLD_EVERY = 0.5
"""Seconds between two tidings of a download."""
_PERIOD = 0.25
"""Seconds of units that go to the recorder's thread at once."""


class Verbs:
    """Translates a request of the control socket into calls on the roles."""

    def __init__(
        self, platform: Platform, cascades: list[Cascade], archive: Archive | None = None
    ) -> None:
        self._platform = platform
        self._archive = archive
        self._cascades = cascades

    def table(self) -> dict[str, Verb]:
        """The verbs by name."""
        return {
            "status": self.status,
            "play": self.play,
            "watch": self.watch,
            "records": self.records,
            "download": self.download,
        }

    async def status(self, request: Json, progress: Progress) -> Json:
        """Everything a status page shows: devices, channels, streams, links."""
        platform = self._platform
        return {
            "id": platform.id,
            "health": platform.health(),
            "listening": [
                f"{transport}://{host}:{port}"
                for transport, (host, port) in platform.station.endpoint.listening
            ],
            "devices": [self._device(device_id) for device_id in sorted(platform.devices)],
            "channels": [
                {
                    "id": item.device_id,
                    "device": device_id,
                    "name": item.name,
                    "online": platform.channel_online(item.device_id),
                }
                for device_id, item in platform.channels()
            ],
            "streams": [
                stream_status(key, session, platform.streams.users(key))
                for key, session in platform.streams.running().items()
            ],
            "recorded": [recorded_status(session) for session in platform.sessions.recorded],
            "recordings": [] if self._archive is None else recordings_status(self._archive),
            "cascades": [self._cascade(cascade) for cascade in self._cascades],
            "sip": dict(platform.station.endpoint.counters),
        }

    async def play(self, request: Json, progress: Progress) -> Json:
        """Record a channel for some seconds into an MP4 file, and its first picture as JPEG.

        Takes ``channel``, ``seconds``, and optionally ``output`` and ``snapshot`` (absolute paths)
        and ``retry`` (seconds to try again for).
        """
        channel = self._platform.channel(str(request["channel"]))
        seconds = float(request.get("seconds") or 10.0)
        output, snapshot = request.get("output"), request.get("snapshot")
        async with self._opened(channel.id, float(request.get("retry") or 0.0)) as live:
            return await record(
                live,
                seconds=seconds,
                output=Path(str(output)) if output else None,
                snapshot=Path(str(snapshot)) if snapshot else None,
                progress=progress,
            )

    async def watch(self, request: Json, progress: Progress) -> Json:
        """Keep channels running, and again after every loss, until the client hangs up.

        Takes ``channels``, a list of ids. Losses are told as progress.
        """
        async with asyncio.TaskGroup() as group:
            for channel_id in request["channels"]:
                group.create_task(self._keep(str(channel_id), progress))
        return {}

    async def records(self, request: Json, progress: Progress) -> Json:
        """What a channel has on its disk.

        Takes ``channel``, ``start`` and ``end`` (ISO 8601 with a zone), and optionally ``device``.
        """
        channel = self._channel(request)
        found = await channel.records(_moment(request["start"]), _moment(request["end"]))
        return {
            "channel": channel.id,
            "complete": found.complete,
            "records": [
                {
                    "start": one.start.isoformat(),
                    "end": one.end.isoformat(),
                    "type": one.item.type,
                    "size": one.item.file_size,
                    "name": one.item.name,
                }
                for one in found.items
            ],
            "gaps": [[start.isoformat(), end.isoformat()] for start, end in found.gaps],
        }

    async def download(self, request: Json, progress: Progress) -> Json:
        """Fetch a recording into an MP4 file; progress tells how far it is.

        Takes ``channel``, ``start``, ``end``, ``output`` (an absolute path), and optionally
        ``device``, ``speed`` and ``patience`` (seconds without progress).
        """
        channel = self._channel(request)
        latest: list[DownloadProgress] = []
        task = asyncio.ensure_future(
            channel.download(
                _moment(request["start"]),
                _moment(request["end"]),
                to=str(request["output"]),
                speed=int(request.get("speed") or 4),
                patience=float(request.get("patience") or 600.0),
                progress=lambda now: latest.__setitem__(slice(None), [now]),
            )
        )
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=_TOLD_EVERY)
                if latest:
                    await progress(asdict(latest[0]) | {"position": latest[0].position.isoformat()})
            done = task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})
        return {
            "channel": channel.id,
            "paths": [str(path) for path in done.paths],
            "frames": done.frames,
            "duration": done.duration,
            "parts": done.parts,
            "missing": [[start.isoformat(), end.isoformat()] for start, end in done.missing],
            "cause": asdict(done.cause),
        }

    def _channel(self, request: Json) -> Channel:
        """The channel that is meant; with a device named, one that it lists."""
        channel_id, device_id = str(request["channel"]), request.get("device")
        owner = self._platform.owner_of(channel_id)
        if device_id and (owner is None or owner.id != str(device_id)):
            raise ConfigError(f"the device {device_id} does not list {channel_id}")
        return self._platform.channel(channel_id)

    async def _keep(self, channel_id: str, progress: Progress) -> None:
        retry = Backoff(1.0, 2.0)
        while True:
            try:
                async for live in self._platform.channel(channel_id).play(retry=retry):
                    await progress({"channel": channel_id, "event": "playing"})
                    try:
                        async for _ in live.units():
                            pass
                    except SessionLost as lost:
                        await progress(
                            {"channel": channel_id, "event": "lost", **asdict(lost.cause)}
                        )
            except SessionLost as refused:
                # Permanent for this try; a watcher of the whole village asks again all the same.
                await progress({"channel": channel_id, "event": "refused", **asdict(refused.cause)})
                await asyncio.sleep(retry.longest)

    @contextlib.asynccontextmanager
    async def _opened(self, channel_id: str, patience: float) -> AsyncIterator[Live]:
        loop = asyncio.get_running_loop()
        until = loop.time() + patience
        while True:
            try:
                live = await self._platform.channel(channel_id).play().open()
            except SessionLost:
                if loop.time() >= until:
                    raise
                await asyncio.sleep(1.0)
                continue
            break
        try:
            yield live
        finally:
            live.close()

    def _device(self, device_id: str) -> Json:
        device = self._platform.devices[device_id]
        binding = device.binding
        return {
            "id": device_id,
            "online": device.is_online,
            "address": "{}:{}".format(*binding.flow.remote) if binding else None,
            "transport": binding.flow.transport if binding else None,
            "channels": len(device.channels),
            "manufacturer": device.info.manufacturer if device.info else None,
            "model": device.info.model if device.info else None,
            "refused": self._platform.refused.get(device_id, 0),
            "quirks": dict(device.quirks_seen.items()),
        }

    def _cascade(self, cascade: Cascade) -> Json:
        link = cascade.link
        return {
            "upper": cascade.upper.id,
            "server": cascade.upper.server,
            "registered": cascade.is_registered,
            "state": link.state.name if link else "IDLE",
            "reason": link.reason if link else "",
            "viewers": [
                {"channel": viewer.channel_id, **asdict(viewer.relay.statistics)}
                for viewer in cascade.viewers
            ],
        }


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise ConfigError(f"{text} is no time such as 2026-01-31T08:00:00+08:00") from None
    if moment.tzinfo is None:
        raise ConfigError(f"{text} has no zone: write 2026-01-31T08:00:00+08:00")
    return moment


def session_status(session: MediaSession) -> Json:
    """What every session has, as a status page shows it."""
    seen = session.receiver.statistics
    return {
        "channel": session.channel_id,
        "stage": session.stage.value,
        "stages": session.timeline.since_asked(),
        "mode": session.plan.mode,
        "ssrc": format_ssrc(seen.ssrc or session.plan.ssrc),
        "packets": seen.packets,
        "bytes": seen.bytes,
        "lost": seen.lost,
        "foreign": seen.foreign_ssrc + seen.foreign_source,
    }


def recorded_status(session: MediaSession) -> Json:
    """One playback or download, as a status page shows it."""
    plan = session.plan
    return session_status(session) | {
        "kind": plan.kind.value.lower(),
        "start": plan.start,
        "end": plan.end,
    }


def stream_status(key: StreamKey, session: MediaSession, users: int) -> Json:
    """One running stream, as a status page shows it."""
    seen = session.receiver.statistics
    started = session.invited_at
    return session_status(session) | {
        "kind": key.kind.name.lower(),
        "users": users,
        "video": seen.video.value if seen.video else None,
        "audio": seen.audio.value if seen.audio else None,
        "width": seen.width,
        "height": seen.height,
        "frame_rate": seen.frame_rate,
        "damaged": seen.damaged,
        "first_packet": seen.first_packet_at - started if seen.first_packet_at else None,
        "first_key": seen.first_key_at - started if seen.first_key_at else None,
    }


async def record(
    live: Live,
    *,
    seconds: float,
    output: Path | None,
    snapshot: Path | None,
    progress: Progress,
) -> Json:
    """Write a running stream to files for ``seconds`` of media; return what was written."""
    # Imported here: only a gateway with the extra "media" can record.
    from ..media.record import Mp4Recorder

    recorder = Mp4Recorder(output) if output else None
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    told, pending, saved = loop.time(), list[Any](), False
    try:
        async for unit in live.units():
            pending.append(unit)
            now = loop.time()
            if snapshot and not saved and unit.is_key and _is_picture(unit):
                await asyncio.to_thread(_save_picture, unit, snapshot)
                saved = True
            if now - told >= _PERIOD or now >= until:
                batch, pending, told = pending, [], now
                if recorder is not None:
                    await asyncio.to_thread(_push_all, recorder, batch)
                await progress({"left": max(0.0, until - now), "packets": live.statistics.packets})
            if now >= until:
                break
    finally:
        recording = await asyncio.to_thread(recorder.close) if recorder else None
    return _written(live, recording, snapshot if saved else None)


def _written(live: Live, recording: Recording | None, snapshot: Path | None) -> Json:
    seen, session = live.statistics, live.session
    result: Json = {
        "channel": session.channel_id,
        "snapshot": str(snapshot) if snapshot else None,
        "lost": seen.lost,
        "damaged": seen.damaged,
        "video": seen.video.value if seen.video else None,
        "audio": seen.audio.value if seen.audio else None,
        "first_key": seen.first_key_at - session.invited_at if seen.first_key_at else None,
    }
    if recording is not None:
        if not recording.paths:
            raise Gb28181Error(f"{session.channel_id}: no whole key frame came; nothing recorded")
        result |= {
            "paths": [str(path) for path in recording.paths],
            "frames": recording.frames,
            "duration": recording.duration,
            "gaps": [asdict(gap) for gap in recording.gaps],
        }
    return result


def _is_picture(unit: AccessUnit) -> bool:
    return unit.kind.value == "video" and not unit.is_damaged


def _push_all(recorder: Mp4Recorder, units: list[AccessUnit]) -> None:
    for unit in units:
        recorder.push(unit)


def _save_picture(unit: AccessUnit, path: Path) -> None:
    from ..media.packets import snapshot

    path.write_bytes(snapshot(unit))


def recordings_status(archive: Archive) -> list[Json]:
    """How each wanted recording stands, and why not."""
    return [
        {
            "channel": one.channel,
            "running": one.running,
            "since": one.since,
            "attempts": one.attempts,
            "cause": one.cause.sentence if one.cause else None,
        }
        for one in archive.status()
    ]
