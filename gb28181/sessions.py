"""Sessions: what a platform asks cameras for, live streams first: who, where, with which SSRC."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from .channel import lost
from .errors import Gb28181Error, SessionLost
from .media.session import MediaSession, SessionPlan, open_session
from .ssrc import Ssrc, SsrcPool
from .station import authority
from .streams import StreamKey, StreamTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import Cause
    from .platform import Platform
    from .remote_device import RemoteDevice


class Sessions:
    """The sessions of one platform: opens them, shares the live ones, ends those of a lost device.

    Source: 9.2, 9.8 and 9.9.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        mode: str | Callable[[str], str] = "udp",
        answer_timeout: float = 15.0,
        media_timeout: float = 10.0,
        linger: float = 5.0,
    ) -> None:
        """Take the settings; see ``Platform``."""
        self.ssrcs = SsrcPool(platform.id, start=1 + secrets.randbelow(9999))
        self.streams = StreamTable(platform.station.supervisor, self._open_live, linger=linger)
        self._platform = platform
        self._mode = mode
        self._answer_timeout = answer_timeout
        self._media_timeout = media_timeout

    def open_things(self) -> dict[str, int]:
        """What is open now, for the leak check."""
        return {"streams": len(self.streams), "ssrcs": len(self.ssrcs)}

    async def end_of_device(self, device: RemoteDevice, cause: Cause) -> None:
        """A device that is gone, or is elsewhere, takes its sessions with it (2022 K b)."""
        await self.streams.close(
            lambda session: self._platform.owner_of(session.channel_id) is device, cause
        )

    async def _open_live(self, key: StreamKey) -> MediaSession:
        platform = self._platform
        device = platform.owner_of(key.channel_id)
        if device is None:
            raise lost("unknown-channel", f"no device lists {key.channel_id}")
        if not device.is_online:
            raise lost("offline", f"{device.id}, which has {key.channel_id}, is offline")
        binding = device.require_binding()
        mode = self._mode
        ssrc: Ssrc | None = None
        try:
            ssrc = self.ssrcs.lease()
            plan = SessionPlan(
                channel_id=key.channel_id,
                owner_id=platform.id,
                domain=platform.domain,
                target=binding.flow,
                peer_host=authority(binding.flow),
                ssrc=ssrc,
                mode=mode if isinstance(mode, str) else mode(device.id),
                bind_host="0.0.0.0",
                advertised_host=platform.station.host_towards(binding.flow),
                stream_number=key.kind.value,
                adopt_ssrc=device.quirks.adopt_ssrc,
                answer_timeout=self._answer_timeout,
                media_timeout=self._media_timeout,
            )
            return await open_session(
                plan,
                endpoint=platform.station.endpoint,
                plane=platform.station.plane,
                supervisor=platform.station.supervisor,
                on_closed=lambda session: self.ssrcs.release(session.plan.ssrc),
            )
        except SessionLost:
            raise
        except Gb28181Error as error:
            if ssrc is not None:
                self.ssrcs.release(ssrc)
            raise lost("no-resources", f"{key.channel_id}: {error}") from error
