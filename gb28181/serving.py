"""Serving: the sessions that a device serves to whoever invites it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sip.errors import CallCancelled, SipError

from .dispatch import request_user_of, to_user_of
from .errors import Gb28181Error
from .media.answer import Declined, JudgedOffer, Subject, answer_to, judge_offer
from .media.sender import Sender
from .ssrc import Ssrc, SsrcPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from sip.endpoint import IncomingCall, IncomingInvite

    from .equipment.recordings import Recordings
    from .manscdp.catalog import CatalogItem
    from .media.relay import MediaSink
    from .media.source import MediaSource
    from .station import Station

logger = logging.getLogger("gb28181.device")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChannel:
    """One camera of a device: its line in the catalogue and what it shows."""

    item: CatalogItem
    source: Callable[[], MediaSource]
    """Makes the media of one viewer."""
    sub_source: Callable[[], MediaSource] | None = None
    """Makes the media of a viewer that asks for the sub stream; ``source`` does when None."""
    recordings: Recordings | None = None
    """What it has recorded; nothing when None."""


@dataclass(slots=True)
class Outgoing:
    """One viewer that this device sends to."""

    channel_id: str
    subject: Subject
    call: IncomingCall
    sink: MediaSink
    sender: Sender
    ssrc: int


class Serving:
    """What one device sends to its viewers: each INVITE becomes a dialog, a sink and a sender."""

    def __init__(
        self,
        device_id: str,
        *,
        server_id: str,
        station: Station,
        channels: Mapping[str, DeviceChannel],
        max_sessions: int = 16,
        loss: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Take the settings.

        Args:
            device_id: Our id.
            server_id: The platform's id; SSRCs that an offer does not name are of its domain.
            station: Where calls come in and media goes out.
            channels: What can be asked for, by channel id.
            max_sessions: Viewers at a time; one more gets 486.
            loss: A fault: the share of RTP packets over UDP that are not sent.
            seed: Makes the fault repeatable.
        """
        self.sessions: list[Outgoing] = []
        self.max_sessions = max_sessions
        self._device_id = device_id
        self._station = station
        self._channels = channels
        self.loss = loss
        self._seed = seed
        self._ssrcs = SsrcPool(server_id)

    def force_key(self, device_id: str) -> None:
        """Go on with a key frame towards every viewer of a channel, or of all (IFrameCmd)."""
        for outgoing in self.sessions:
            if device_id in (self._device_id, outgoing.channel_id):
                outgoing.sender.force_key()

    async def end(self, reason: str, *, timeout: float) -> None:
        """Say BYE to every viewer."""
        for outgoing in tuple(self.sessions):
            await outgoing.call.bye(reason=reason, timeout=timeout)

    async def invite(self, incoming: IncomingInvite) -> None:
        """Serve one INVITE until somebody ends the session."""
        subject = Subject.parse(incoming.request.headers.get("Subject"))
        try:
            channel = self._asked_channel(incoming, subject)
            offer = judge_offer(incoming.request)
            await self._make_room(subject)
        except Declined as declined:
            logger.info("%s: INVITE declined: %s", self._device_id, declined)
            incoming.reject(declined.status)
            return
        outgoing = await self._accept(incoming, channel, offer, subject)
        if outgoing is not None:
            await self._serve(outgoing)

    def _asked_channel(self, incoming: IncomingInvite, subject: Subject) -> DeviceChannel:
        asked = (request_user_of(incoming), to_user_of(incoming), subject.sender_id)
        for channel_id in asked:
            if channel_id in self._channels:
                return self._channels[channel_id]
        raise Declined(404, f"{self._device_id} has no channel {asked[0]}")

    async def _make_room(self, subject: Subject) -> None:
        """The same sender and receiver part again: the older session gives way (2022 K c)."""
        if subject.sender_serial and subject.receiver_id:
            for outgoing in [one for one in self.sessions if one.subject == subject]:
                await outgoing.call.bye(reason="replaced")
        if len(self.sessions) >= self.max_sessions:
            raise Declined(486, f"{self._device_id} serves {self.max_sessions} viewers already")

    async def _accept(
        self,
        incoming: IncomingInvite,
        channel: DeviceChannel,
        offer: JudgedOffer,
        subject: Subject,
    ) -> Outgoing | None:
        channel_id = channel.item.device_id
        ssrc = offer.description.ssrc
        if ssrc is None:
            ssrc = self._ssrcs.lease()
        source = channel.source()
        plane = self._station.plane
        try:
            sink = await plane.open_sink(offer.mode, host="0.0.0.0", remote=offer.remote)
        except (Gb28181Error, OSError) as error:
            logger.warning("%s: no resources for %s: %s", self._device_id, channel_id, error)
            self._ssrcs.release(ssrc)
            incoming.reject(486)
            return None
        answer = answer_to(
            offer,
            origin_id=channel_id,
            host=self._station.host_towards(incoming.flow),
            port=sink.local[1],
            ssrc=Ssrc(ssrc),
        )
        try:
            call = await incoming.accept(body=answer.to_bytes())
        except (CallCancelled, SipError) as error:
            logger.info("%s: session of %s not set up: %s", self._device_id, channel_id, error)
            sink.close()
            self._ssrcs.release(ssrc)
            return None
        sender = Sender(
            source, sink, ssrc=ssrc, payload_type=offer.payload.number,
            loss=self.loss if offer.mode == "udp" else 0.0, seed=self._seed,
        )  # fmt: skip
        outgoing = Outgoing(channel_id, subject, call, sink, sender, ssrc)
        self.sessions.append(outgoing)
        return outgoing

    async def _serve(self, outgoing: Outgoing) -> None:
        call, sink = outgoing.call, outgoing.sink
        reason = "end of media"

        def failed(error: Exception) -> None:
            nonlocal reason
            reason = f"fault: {error}"

        sending = self._station.supervisor.spawn(
            outgoing.sender.run(), name=f"send {outgoing.channel_id}", on_fault=failed
        )
        try:
            sink.start()
            waiting: set[asyncio.Future[Any]] = {call.ended, sink.closed, sending}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if sink.closed.done():
                reason = "media connection lost"
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            self.sessions.remove(outgoing)
            sink.close()
            self._ssrcs.release(outgoing.ssrc)
            if not call.is_ended:
                await call.bye(reason=reason)
