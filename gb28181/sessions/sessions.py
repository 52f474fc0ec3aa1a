"""Sessions: what a platform asks cameras for: who, where, over which transport, with which SSRC."""

from __future__ import annotations

import asyncio
import logging
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..deviations import of_session, of_stream
from ..errors import Gb28181Error, SessionLost
from ..media.diagnosis import of_both
from ..media.moments import joined
from ..media.plan import SessionKind, SessionPlan, stream_attribute
from ..media.session import MediaSession, open_session
from ..media.stages import Reason
from ..ssrc import Ssrc, SsrcPool
from ..station import authority
from .live import lost
from .stale import StaleDialogs
from .streams import StreamKey, StreamTable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from ..errors import Cause
    from ..manscdp.media_status import MediaStatusNotify
    from ..media.moments import Span
    from ..platform import Platform
    from ..remote_device import RemoteDevice
    from .recorded import Wanted

logger = logging.getLogger("gb28181.sessions")

_LOOK_AFTER = 2.5
"""Seconds after which the packets of a stream are looked at."""
_OTHER_WAY = {"udp": "tcp-passive", "tcp-passive": "udp", "tcp-active": "tcp-passive"}
"""What is tried when media does not come the first way."""
_NO_WAY = frozenset(
    {
        Reason.NO_PACKET,
        Reason.NO_CONNECTION,
        Reason.TCP_REFUSED,
        Reason.TRANSPORT_MISMATCH,
        f"{Reason.REJECTED}-488",
        f"{Reason.REJECTED}-606",
    }
)
"""Ends that speak against the transport."""
_BUSY = frozenset(f"{Reason.REJECTED}-{status}" for status in (400, 486, 491, 600))
"""Refusals that a session left standing on the device may be the reason of."""
_REMEMBERED = 3600.0
"""Seconds for which the way that worked is tried first."""
_MOST_REMEMBERED = 10_000
_END_OF_FILE = "121"


class Sessions:
    """The sessions of one platform: opens them, shares the live ones, ends those of a lost device.

    Source: 9.2, 9.8 and 9.9.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        mode: str | Callable[[str], str] = "udp",
        shared_port: bool | Callable[[str], bool] = False,
        answer_timeout: float = 15.0,
        media_timeout: float = 10.0,
        linger: float = 5.0,
        downloads_at_once: int = 2,
    ) -> None:
        """Take the settings; see ``Platform``."""
        self.ssrcs = SsrcPool(platform.id, start=1 + secrets.randbelow(9999))
        self.streams = StreamTable(platform.station.supervisor, self._open_live, linger=linger)
        self.recorded: set[MediaSession] = set()
        """Playbacks and downloads that stand."""
        self.stale = StaleDialogs()
        self._platform = platform
        self._mode = mode
        self._shared_port = shared_port
        self._answer_timeout = answer_timeout
        self._media_timeout = media_timeout
        self._downloads_at_once = downloads_at_once
        self._downloads: dict[str, asyncio.Semaphore] = {}
        self._ways: dict[str, tuple[str, float]] = {}

    def open_things(self) -> dict[str, int]:
        """What is open now, for the leak check."""
        return {
            "streams": len(self.streams),
            "ssrcs": len(self.ssrcs),
            "recorded": len(self.recorded),
        }

    def all(self) -> list[MediaSession]:
        """Every session that stands now."""
        return [*self.streams.running().values(), *self.recorded]

    # ---- what befalls a device ----

    async def end_of_device(self, device: RemoteDevice, cause: Cause) -> None:
        """A device that is gone, or is elsewhere, takes its sessions with it (2022 K b)."""

        def is_its(session: MediaSession) -> bool:
            return self._platform.owner_of(session.channel_id) is device

        await self.streams.close(is_its, cause)
        for session in [one for one in self.recorded if is_its(one)]:
            await session.close(cause)

    def move(self, device: RemoteDevice) -> None:
        """The device is at another address: what is said within its calls goes there now."""
        binding = device.binding
        if binding is None:
            return
        for session in self.all():
            call = session.call
            if call is not None and self._platform.owner_of(session.channel_id) is device:
                call.flow = binding.flow

    def device_of_call(self, call_id: str) -> str | None:
        """The device that a session of that Call-ID is with: it may sign with another id (Q1)."""
        for session in self.recorded:
            if session.call is not None and session.call.call_id == call_id:
                device = self._platform.owner_of(session.channel_id)
                return None if device is None else device.id
        return None

    def media_status(
        self, device: RemoteDevice, notify: MediaStatusNotify, call_id: str | None
    ) -> None:
        """A sender has come to the end of its file: the session ends, with what is on its way.

        The notice is to come within the dialog; some send it outside, under an id that is not the
        channel's (Q1): then the Call-ID says whose it is, else the code in it, else that the device
        has only one such session.

        Source: 9.8.2.1 q, A.2.5.4.
        """
        if notify.notify_type != _END_OF_FILE:
            logger.info("%s: MediaStatus %s is unknown", device.id, notify.notify_type)
            return
        ours = [one for one in self.recorded if self._platform.owner_of(one.channel_id) is device]
        by_call = [one for one in ours if one.call is not None and one.call.call_id == call_id]
        by_channel = [one for one in ours if one.channel_id == notify.device_id]
        meant = by_call or (by_channel if len(by_channel) == 1 else ours if len(ours) == 1 else [])
        if not meant:
            logger.info("%s: MediaStatus 121 fits none of %d sessions", device.id, len(ours))
        for session in meant:
            self.spawn(session.finish("MediaStatus 121"), f"end of {session.channel_id}")

    # ---- what playback and download need ----

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something in the platform's group; its fault is logged and ends it alone."""
        return self._platform.station.supervisor.spawn(work, name=name, on_fault=lambda _: None)

    async def spans(self, channel_id: str, start: float, end: float) -> list[Span]:
        """What is on a channel's disk; empty when its device does not say."""
        device = self._platform.owner_of(channel_id)
        if device is None:
            return []
        begin, until = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
        try:
            found = await device.records(begin, until, target=channel_id)
        except Gb28181Error as error:
            logger.info("%s: its recordings are not known: %s", channel_id, error)
            return []
        spans = [(one.start.timestamp(), one.end.timestamp()) for one in found.items]
        return joined(spans, start, end)

    # ---- opening ----

    def download_slot(self, channel_id: str) -> asyncio.Semaphore:
        """What limits the downloads of the device that a channel belongs to."""
        device = self._platform.owner_of(channel_id)
        name = device.id if device else channel_id
        while len(self._downloads) > _MOST_REMEMBERED:
            del self._downloads[next(iter(self._downloads))]
        return self._downloads.setdefault(name, asyncio.Semaphore(self._downloads_at_once))

    async def open_recorded(self, wanted: Wanted) -> MediaSession:
        """Ask for a recording; returns as soon as the answer is acknowledged.

        Raises:
            SessionLost: With the reason why there is none.
        """
        session = await self._open(wanted.channel_id, wanted=wanted)
        self.recorded.add(session)
        session.ended.add_done_callback(lambda _: self.recorded.discard(session))
        return session

    async def _open_live(self, key: StreamKey) -> MediaSession:
        return await self._open(key.channel_id, number=key.kind.value)

    async def _open(
        self, channel_id: str, *, number: int = 0, wanted: Wanted | None = None
    ) -> MediaSession:
        device = self._online_owner(channel_id)
        try:
            return await self._invite(device, channel_id, number, wanted)
        except SessionLost as error:
            if not await self._is_worth_another(device, channel_id, error.cause):
                raise
            logger.info("%s: tried again: %s", channel_id, error.cause.sentence)
            first = error.cause
        try:
            session = await self._invite(self._online_owner(channel_id), channel_id, number, wanted)
        except SessionLost as second:
            if first.code in _BUSY:
                raise
            raise SessionLost(of_both(first, second.cause)) from second
        session.earlier = None if first.code in _BUSY else first
        return session

    async def _is_worth_another(self, device: RemoteDevice, channel_id: str, cause: Cause) -> bool:
        """Whether something can be changed before a second and last try."""
        if cause.code in _BUSY:
            station, binding = self._platform.station, device.binding
            if binding is None:
                return False
            return await self.stale.clear(channel_id, station.endpoint, binding.flow) > 0
        return self._other_way(device.id, cause)

    def _online_owner(self, channel_id: str) -> RemoteDevice:
        device = self._platform.owner_of(channel_id)
        if device is None:
            raise lost(Reason.UNKNOWN_CHANNEL, f"no device lists {channel_id}")
        if not device.is_online:
            raise lost(Reason.OFFLINE, f"{device.id}, which has {channel_id}, is offline")
        return device

    async def _invite(
        self, device: RemoteDevice, channel_id: str, number: int, wanted: Wanted | None
    ) -> MediaSession:
        station = self._platform.station
        ssrc: Ssrc | None = None
        try:
            ssrc = self.ssrcs.lease(historical=wanted is not None)
            session = await open_session(
                self._plan(device, channel_id, ssrc, number, wanted),
                endpoint=station.endpoint,
                plane=station.plane,
                supervisor=station.supervisor,
                on_closed=self._closed,
            )
            session.ended.add_done_callback(lambda _: self._forget_way(session))
            look = self._look(device, session)
            station.supervisor.spawn(look, name=f"look at {channel_id}", on_fault=lambda _: None)
            return session
        except SessionLost:
            raise
        except (Gb28181Error, OSError) as error:
            if ssrc is not None:
                self.ssrcs.release(ssrc)
            raise lost(Reason.NO_RESOURCES, f"{channel_id}: {error}") from error

    def _plan(
        self,
        device: RemoteDevice,
        channel_id: str,
        ssrc: Ssrc,
        number: int,
        wanted: Wanted | None,
    ) -> SessionPlan:
        platform, flow = self._platform, device.require_binding().flow
        return SessionPlan(
            channel_id=channel_id,
            owner_id=platform.id,
            domain=platform.domain,
            target=flow,
            peer_host=authority(flow),
            ssrc=ssrc,
            mode=self._way(device.id),
            shared_port=self._shares_port(device.id),
            bind_host="0.0.0.0",
            advertised_host=platform.station.host_towards(flow),
            kind=wanted.kind if wanted else SessionKind.LIVE,
            start=wanted.start if wanted else 0,
            end=wanted.end if wanted else 0,
            download_speed=wanted.speed if wanted else 1,
            attributes={} if wanted else stream_attribute(device.quirks.stream_attribute, number),
            adopt_ssrc=device.quirks.adopt_ssrc,
            answer_timeout=self._answer_timeout,
            media_timeout=self._media_timeout,
        )

    def _closed(self, session: MediaSession) -> None:
        self.ssrcs.release(session.plan.ssrc)
        call = session.call
        if call is not None and not call.is_released:
            self.stale.note(session.channel_id, call)
        device = self._platform.owner_of(session.channel_id)
        if device is not None:
            self._platform.watch.saw(device.id, of_session(session))

    async def _look(self, device: RemoteDevice, session: MediaSession) -> None:
        """Look once at the packets and pictures of a stream that runs."""
        await asyncio.wait([session.ended], timeout=_LOOK_AFTER)
        heads = await session.receiver.heads()
        self._platform.watch.saw(device.id, of_stream(session, heads))

    # ---- transport by device, with another way when the first fails ----

    def try_another_way(self, channel_id: str, cause: Cause) -> bool:
        """Whether a session that ended for ``cause`` is worth another try over other transport."""
        device = self._platform.owner_of(channel_id)
        if device is None or not device.is_online or "second try" in cause.evidence:
            return False
        return self._other_way(device.id, cause)

    def _forget_way(self, session: MediaSession) -> None:
        """A way that brought no media is not the one to begin with the next time."""
        cause, device = session.cause, self._platform.owner_of(session.channel_id)
        if cause is None or device is None or cause.code not in _NO_WAY:
            return
        if self._ways.get(device.id, ("", 0.0))[0] == session.plan.mode:
            del self._ways[device.id]

    def _shares_port(self, device_id: str) -> bool:
        shared = self._shared_port
        return shared if isinstance(shared, bool) else shared(device_id)

    def _way(self, device_id: str) -> str:
        wanted = self._mode if isinstance(self._mode, str) else self._mode(device_id)
        mode, until = self._ways.get(device_id, (wanted, 0.0))
        if until and until <= asyncio.get_running_loop().time():
            del self._ways[device_id]
            return wanted
        return mode

    def _other_way(self, device_id: str, cause: Cause) -> bool:
        """Take the other transport for a device, and remember it; its failure forgets it."""
        mode = cause.evidence.get("mode", "")
        if cause.code not in _NO_WAY or mode not in _OTHER_WAY:
            return False
        if self._way(device_id) == mode:
            while len(self._ways) >= _MOST_REMEMBERED:
                del self._ways[next(iter(self._ways))]
            until = asyncio.get_running_loop().time() + _REMEMBERED
            self._ways[device_id] = (_OTHER_WAY[mode], until)
        return True
