"""Loudspeaker: a device's ear for the platform's voice; it calls back to whoever calls it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rtp.access_unit import AccessUnit, MediaKind
from sip.errors import SipError
from sip.message import Headers, Request

from ..errors import Gb28181Error, MalformedSdp
from ..manscdp.broadcast import BroadcastNotify, BroadcastResponse
from ..sdp import PCMA, MediaFormat, MediaTransport, Payload, SessionDescription, parse_sdp
from ..ssrc import Ssrc, SsrcPool, format_ssrc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from sip.endpoint import OutgoingCall

    from ..manscdp.schema import Message
    from ..media.ends import MediaReceiver
    from ..station import Station
    from ..upper.link import Link

logger = logging.getLogger("gb28181.device")

_HEARD = 3000
"""Units kept for whoever wants to listen: a minute in packets of 20 ms."""
_G711 = MediaFormat(audio_codec="1", audio_bit_rate="8", audio_sampling="1")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoudspeakerSettings:
    """What a loudspeaker offers, and how it writes it."""

    mode: str = "udp"
    """``udp``, ``tcp-active`` (it connects) or ``tcp-passive`` (it listens)."""
    payloads: tuple[Payload, ...] = (PCMA,)
    """What it can play, in its offer."""
    invites_as: str = "target"
    """Who calls: the ``target`` of the Broadcast, or the ``device`` itself whatever was asked."""
    answers: bool = True
    """Whether ``Response/Broadcast`` is sent before the INVITE."""
    writes_ssrc: bool = True
    """Whether the offer has ``y=``; several devices have none (Q54)."""
    at_once: int = 1
    """Calls at a time; one more is answered ERROR."""
    answer_within: float = 15.0
    """Seconds for the platform's answer to the INVITE."""


@dataclass(slots=True, eq=False)
class Hearing:
    """One call that a loudspeaker listens to."""

    source_id: str
    target_id: str
    call: OutgoingCall
    receiver: MediaReceiver


class Loudspeaker:
    """Serves ``Notify/Broadcast``: says OK, invites the source, and plays what comes.

    Source: 9.12.
    """

    def __init__(
        self,
        device_id: str,
        *,
        station: Station,
        link: Link,
        send: Callable[[Message], Awaitable[bool]],
        knows: Callable[[str], bool],
        settings: LoudspeakerSettings | None = None,
    ) -> None:
        """Take the settings.

        Args:
            device_id: Our id.
            station: Where the call goes out and the voice comes in.
            link: To the platform.
            send: Sends a business answer.
            knows: Whether an id is ours: the device, a channel or an output.
            settings: What is offered.
        """
        self.settings = settings or LoudspeakerSettings()
        self.hearings: list[Hearing] = []
        self.heard: deque[AccessUnit] = deque(maxlen=_HEARD)
        """The last audio units that were played, oldest first."""
        self.on_sound: Callable[[AccessUnit], None] | None = None
        """Is given each unit as it comes: an echo, a recorder."""
        self._device_id = device_id
        self._station = station
        self._link = link
        self._send = send
        self.knows = knows
        self._busy = 0
        self._serial = 0
        self._ssrcs = SsrcPool(link.config.server_id)

    async def called(self, notify: BroadcastNotify) -> None:
        """Serve one Broadcast; returns when the call has ended."""
        is_ours = self.knows(notify.target_id)
        takes = is_ours and self._busy < self.settings.at_once
        if self.settings.answers or not takes:
            await self._send(
                BroadcastResponse(
                    sn=notify.sn,
                    device_id=notify.target_id,
                    result="OK" if takes else "ERROR",
                )
            )
        if not takes:
            logger.info("%s: broadcast to %s refused", self._device_id, notify.target_id)
            return
        self._busy += 1
        try:
            await self.listen(notify)
        finally:
            self._busy -= 1

    async def end(self, reason: str, *, timeout: float) -> None:
        """Say BYE to whoever speaks."""
        for hearing in tuple(self.hearings):
            await hearing.call.bye(reason=reason, timeout=timeout)

    async def listen(
        self, notify: BroadcastNotify, *, answered: asyncio.Future[None] | None = None
    ) -> None:
        """Invite the source of a Broadcast and play what comes, until the call has ended.

        Args:
            notify: Who calls whom.
            answered: Is done when the source has answered our INVITE.
        """
        try:
            await self._listen(notify, answered)
        except (Gb28181Error, SipError, OSError) as error:
            logger.info("%s: no voice from %s: %s", self._device_id, notify.source_id, error)

    async def _listen(self, notify: BroadcastNotify, answered: asyncio.Future[None] | None) -> None:
        settings, station = self.settings, self._station
        caller = self._device_id if settings.invites_as == "device" else notify.target_id
        ssrc = self._ssrcs.lease()
        receiver: MediaReceiver | None = None
        try:
            receiver = await station.plane.open_receiver(settings.mode, host="0.0.0.0")
            endpoint, target = station.endpoint, self._link.target
            offer = self._offer(caller, receiver.local[1], ssrc)
            request = self._request(notify, caller, ssrc, offer.to_bytes())
            call = await endpoint.invite(request, target, timeout=settings.answer_within)
            if answered is not None and not answered.done():
                answered.set_result(None)
            await self._play(Hearing(notify.source_id, notify.target_id, call, receiver), ssrc)
        finally:
            if receiver is not None:
                receiver.close()
            self._ssrcs.release(ssrc)

    async def _play(self, hearing: Hearing, ssrc: Ssrc) -> None:
        call, receiver = hearing.call, hearing.receiver
        self.hearings.append(hearing)
        detach = receiver.units.attach(self._sound)
        reason = "broadcast over"
        try:
            await call.ack()
            answer = parse_sdp(call.response.body)
            receiver.expect(ssrc=answer.ssrc or ssrc, host=None)
            if self.settings.mode == "tcp-active":
                await receiver.connect((answer.address, answer.port))
            waiting: set[asyncio.Future[Any]] = {call.ended, receiver.closed}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not call.is_ended:
                reason = str(receiver.closed.exception() or "media ended")
        except (MalformedSdp, OSError) as error:
            reason = str(error)
            raise
        finally:
            detach()
            self.hearings.remove(hearing)
            if not call.is_ended:
                await call.bye(reason=reason)

    def _sound(self, unit: AccessUnit) -> None:
        if unit.kind is not MediaKind.AUDIO:
            return
        self.heard.append(unit)
        if self.on_sound is not None:
            self.on_sound(unit)

    def _offer(self, caller: str, port: int, ssrc: Ssrc) -> SessionDescription:
        tcp = self.settings.mode != "udp"
        return SessionDescription(
            origin_id=caller,
            address=self._station.host_towards(self._link.target),
            kind="audio",
            port=port,
            transport=MediaTransport.TCP if tcp else MediaTransport.UDP,
            payloads=self.settings.payloads,
            direction="recvonly",
            setup=self.settings.mode.removeprefix("tcp-") if tcp else None,
            connection="new" if tcp else None,
            ssrc=ssrc if self.settings.writes_ssrc else None,
            format=_G711,
        )

    def _request(self, notify: BroadcastNotify, caller: str, ssrc: Ssrc, body: bytes) -> Request:
        self._serial += 1
        domain = self._link.config.domain
        uri = f"sip:{notify.source_id}@{domain}"
        headers = Headers(
            [
                ("From", f"<sip:{caller}@{domain}>"),
                ("To", f"<{uri}>"),
                ("Subject", f"{notify.source_id}:{format_ssrc(ssrc)},{caller}:{self._serial}"),
                ("Content-Type", "application/sdp"),
            ]
        )
        return Request("INVITE", uri, headers, body)
