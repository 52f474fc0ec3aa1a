"""DownwardVoice: the voice of an upper platform, passed on to a loudspeaker below."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from rtp import g711
from rtp.access_unit import AccessUnit, Codec

from ..equipment.loudspeaker import Loudspeaker
from ..errors import Cause
from ..manscdp.broadcast import BroadcastNotify, BroadcastResponse
from ..sessions.talk import Speaker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from ..manscdp.schema import Message
    from ..platform import Platform
    from ..remote_device import RemoteDevice
    from .link import Link
    from .share import Share

logger = logging.getLogger("gb28181.cascade")


class PassedVoice:
    """Samples of one call, handed on as they come."""

    def __init__(self) -> None:
        self._lines: list[Callable[[bytes], None]] = []

    def attach(self, line: Callable[[bytes], None]) -> Callable[[], None]:
        """See ``Feed``."""
        self._lines.append(line)

        def detach() -> None:
            if line in self._lines:
                self._lines.remove(line)

        return detach

    def push(self, unit: AccessUnit) -> None:
        """Take what the upper says; sound that is not G.711 cannot be passed on."""
        if unit.codec not in (Codec.PCMA, Codec.PCMU):
            return
        samples = unit.data if unit.codec is Codec.PCMA else g711.mulaw_as_alaw(unit.data)
        for line in tuple(self._lines):
            line(samples)


class DownwardVoice:
    """Serves the Broadcasts of one upper: a chain of two calls for each.

    The device is called first. When it invites us, we invite the upper, and only when the upper
    has answered, the device is answered.

    Source: 9.12; spec 07 section 7.
    """

    def __init__(
        self,
        platform: Platform,
        share: Share,
        link: Link,
        send: Callable[[Message], Awaitable[bool]],
    ) -> None:
        """Take what stands on both sides.

        Args:
            platform: Whose loudspeakers are called.
            share: What the link shares, and whether it may be controlled.
            link: To the upper.
            send: Sends a business answer upward.
        """
        self.speakers: list[Speaker] = []
        self._platform = platform
        self._share = share
        self._link = link
        self._send = send

    async def called(self, notify: BroadcastNotify) -> None:
        """Serve one Broadcast; returns when both calls have ended."""
        own_id = self._share.ids.own(notify.target_id)
        owner = self._owner(own_id)
        if owner is None:
            await self._answer(notify, "ERROR")
            return
        voice = PassedVoice()
        ear = Loudspeaker(
            self._platform.id,
            station=self._platform.station,
            link=self._link,
            send=self._send,
            knows=lambda _: True,
        )
        ear.on_sound = voice.push
        speaker = Speaker(own_id, owner)
        spawn = self._platform.station.supervisor.spawn
        listening: list[asyncio.Task[None]] = []

        async def permit() -> None:
            answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            listening.append(
                spawn(
                    ear.listen(notify, answered=answered),
                    name=f"voice of {notify.source_id}", on_fault=lambda _: None,
                )
            )  # fmt: skip
            waiting: set[asyncio.Future[Any]] = {answered, listening[0], speaker.ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                raise speaker.lost("no-source", f"{notify.source_id} above did not answer us")

        speaker.permit = permit
        self.speakers.append(speaker)
        calling = spawn(
            self._platform.talks.call(speaker, voice),
            name=f"voice {own_id}", on_fault=lambda _: None,
        )  # fmt: skip
        try:
            await asyncio.wait([speaker.accepted])
            await self._answer(notify, "ERROR" if speaker.ended.done() else "OK")
            while not speaker.ended.done() and not (listening and listening[0].done()):
                ends: set[asyncio.Future[Any]] = {speaker.ended, *listening}
                # What listens appears on the way, so the look is repeated.
                await asyncio.wait(ends, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sentence = f"{own_id}: the platform above has ended its voice"
            speaker.end(Cause(code="bye", sentence=sentence))
            for task in (*listening, calling):
                task.cancel()
            await asyncio.wait([*listening, calling])
            self.speakers.remove(speaker)

    def end(self, sentence: str) -> None:
        """End every voice: the link is gone."""
        for speaker in tuple(self.speakers):
            speaker.end(Cause(code="shutdown", sentence=sentence))

    def _owner(self, own_id: str) -> RemoteDevice | None:
        """The device to call: of a channel that is shared, on a link that may control."""
        item = self._platform.channel_item(own_id)
        if item is None or not self._share.ptz or not self._share.publishes(item):
            logger.info("%s: voice to %s refused", self._link.server_id, own_id)
            return None
        owner = self._platform.owner_of(own_id)
        return owner if owner is not None and owner.is_online else None

    async def _answer(self, notify: BroadcastNotify, result: str) -> None:
        answer = BroadcastResponse(sn=notify.sn, device_id=notify.target_id, result=result)
        await self._send(answer)
