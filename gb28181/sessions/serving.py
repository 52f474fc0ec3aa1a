"""Serving: the sessions that a device serves to whoever invites it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sip.errors import CallCancelled, SipError

from ..dispatch import request_user_of, to_user_of
from ..edition import Edition
from ..errors import Gb28181Error, MalformedSdp, MediaTimeout
from ..manscdp.codec import CONTENT_TYPE, encode
from ..manscdp.media_status import MediaStatusNotify
from ..mansrtsp import CONTENT_TYPE as MANSRTSP
from ..mansrtsp import NOT_VALID_NOW, Answer, MalformedMansrtsp, Pause, parse_control
from ..media.answer import (
    HISTORY,
    LIVE,
    Declined,
    JudgedOffer,
    Subject,
    answer_to,
    judge_offer,
)
from ..media.playback import Ending, PlaybackLimits, PlaybackSender
from ..media.sender import Sender
from ..sdp import parse_sdp
from ..ssrc import Ssrc, SsrcPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from sip.endpoint import IncomingCall, IncomingInvite, IncomingRequest

    from ..equipment.recordings import Recordings
    from ..manscdp.catalog import CatalogItem
    from ..media.relay import MediaSink
    from ..media.source import MediaSource, RecordedSource
    from ..station import Station

logger = logging.getLogger("gb28181.device")

RECORD_KINDS = ("all", "manual", "alarm", "time")
"""What the number behind the colon of ``u=`` means. Source: 2022 G."""
BYE_PATIENCE = 10.0
"""Seconds that the receiver has for its BYE after the end of a recording (spec 07 section 6)."""
SILENT_PATIENCE = 600.0
"""The same of a device that does not tell the end."""
_NOTICE_TIMEOUT = 10.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingHabits:
    """What a device does otherwise in its sessions; the defaults deviate in nothing."""

    media_before_ack: bool = False
    """Media starts with the 200, before the ACK."""
    limits: PlaybackLimits = field(default_factory=PlaybackLimits)
    """At which speeds it plays, and whether it obeys a speed that it answers with 200."""
    tells_end: bool = True
    """Whether it sends MediaStatus 121 at the end of a recording. Without it the session stands
    until the receiver ends it, for ten minutes at most."""
    overrun: float = 0.0
    """Seconds that it goes on sending past the end that was asked for, if it has them."""
    bye_after_pause: float = 0.0
    """Seconds of pause after which it ends the session; 0: never."""


@dataclass(slots=True)
class Outgoing:
    """One viewer that this device sends to."""

    channel_id: str
    subject: Subject
    call: IncomingCall
    sink: MediaSink
    sender: Sender | PlaybackSender
    ssrc: int
    offer: JudgedOffer
    answer: bytes
    sending: asyncio.Task[None]
    faults: list[Exception] = field(default_factory=list)
    """What sending died of."""
    tired: asyncio.TimerHandle | None = None
    """Ends a session that is paused for long, of a device with that habit."""


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
        max_playbacks: int | None = None,
        edition: Edition = Edition.GB2016,
        habits: ServingHabits | None = None,
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
            max_playbacks: Playbacks and downloads among them; ``max_sessions`` when None.
            edition: Which edition of the standard we speak.
            habits: What we do otherwise.
            loss: A fault: the share of RTP packets over UDP that are not sent.
            seed: Makes the fault repeatable.
        """
        self.sessions: list[Outgoing] = []
        self.max_sessions = max_sessions
        self.max_playbacks = max_playbacks
        self.habits = habits or ServingHabits()
        self._device_id = device_id
        self._station = station
        self._channels = channels
        self._edition = edition
        self.loss = loss
        self._seed = seed
        self._ssrcs = SsrcPool(server_id)
        self._sn = 0
        self._accepting: dict[str, asyncio.Future[None]] = {}

    def force_key(self, device_id: str) -> None:
        """Go on with a key frame towards every viewer of a channel, or of all (IFrameCmd)."""
        for outgoing in self.sessions:
            if device_id in (self._device_id, outgoing.channel_id):
                outgoing.sender.force_key()

    async def end(self, reason: str, *, timeout: float) -> None:
        """Say BYE to every viewer."""
        for outgoing in tuple(self.sessions):
            await outgoing.call.bye(reason=reason, timeout=timeout)

    # INVITE ---------------------------------------------------------------------------------

    async def invite(self, incoming: IncomingInvite) -> None:
        """Serve one INVITE until somebody ends the session."""
        subject = Subject.parse(incoming.request.headers.get("Subject"))
        try:
            offer = judge_offer(incoming.request, sessions=LIVE | HISTORY)
            channel = self._asked_channel(incoming, subject, offer)
            recorded = self._recorded(channel, offer) if offer.is_history else None
            await self._make_room(subject, offer)
        except Declined as declined:
            logger.info("%s: INVITE declined: %s", self._device_id, declined)
            warning = str(declined).replace('"', "'")
            incoming.reject(declined.status, headers=[("Warning", f'399 gb28181 "{warning}"')])
            return
        outgoing = await self._accept(incoming, channel, offer, recorded, subject)
        if outgoing is not None:
            await self._serve(outgoing)

    def _asked_channel(
        self, incoming: IncomingInvite, subject: Subject, offer: JudgedOffer
    ) -> DeviceChannel:
        asked = [request_user_of(incoming), to_user_of(incoming), subject.sender_id]
        if offer.is_history and offer.description.channel_id is not None:
            asked.insert(0, offer.description.channel_id)
        for channel_id in asked:
            if channel_id in self._channels:
                return self._channels[channel_id]
        raise Declined(404, f"{self._device_id} has no channel {asked[0]}")

    def _recorded(self, channel: DeviceChannel, offer: JudgedOffer) -> RecordedSource:
        asked, disk = offer.description, channel.recordings
        kind = RECORD_KINDS[asked.record_type]
        start = datetime.fromtimestamp(asked.start, UTC)
        end = datetime.fromtimestamp(asked.end, UTC)
        if disk is None or not disk.find(start, end, kind=kind):
            raise Declined(
                404, f"{channel.item.device_id} has no recording ({kind}) from {start} to {end}"
            )
        return disk.source(start, end + timedelta(seconds=self.habits.overrun), kind=kind)

    async def _make_room(self, subject: Subject, offer: JudgedOffer) -> None:
        """The same sender and receiver part again: the older session gives way (2022 K c)."""
        if subject.sender_serial and subject.receiver_id:
            for outgoing in [one for one in self.sessions if one.subject == subject]:
                await outgoing.call.bye(reason="replaced")
        if len(self.sessions) >= self.max_sessions:
            raise Declined(486, f"{self._device_id} serves {self.max_sessions} viewers already")
        playbacks = sum(one.offer.is_history for one in self.sessions)
        if offer.is_history and self.max_playbacks is not None and playbacks >= self.max_playbacks:
            raise Declined(486, f"{self._device_id} plays {playbacks} recordings already")

    async def _accept(
        self,
        incoming: IncomingInvite,
        channel: DeviceChannel,
        offer: JudgedOffer,
        recorded: RecordedSource | None,
        subject: Subject,
    ) -> Outgoing | None:
        channel_id = channel.item.device_id
        ssrc = offer.description.ssrc
        if ssrc is None:
            ssrc = self._ssrcs.lease(historical=offer.is_history)
        plane = self._station.plane
        try:
            sink = await plane.open_sink(offer.mode, host="0.0.0.0", remote=offer.remote)
        except (Gb28181Error, OSError) as error:
            logger.warning("%s: no resources for %s: %s", self._device_id, channel_id, error)
            self._ssrcs.release(ssrc)
            incoming.reject(486)
            return None
        is_download = offer.description.session == "download"
        answer = answer_to(
            offer,
            origin_id=channel_id,
            host=self._station.host_towards(incoming.flow),
            port=sink.local[1],
            ssrc=Ssrc(ssrc),
            size=recorded.size if recorded is not None and is_download else None,
        ).to_bytes()
        sender = self._sender(channel, offer, recorded, sink, ssrc)
        faults: list[Exception] = []
        sending: asyncio.Task[None] | None = None
        try:
            if self.habits.media_before_ack:
                sending = self._send(channel_id, sender, sink, faults)
            call = await self._acknowledged(incoming, answer)
        except (CallCancelled, SipError) as error:
            logger.info("%s: session of %s not set up: %s", self._device_id, channel_id, error)
            if sending is not None:
                sending.cancel()
            sink.close()
            self._ssrcs.release(ssrc)
            return None
        sending = sending or self._send(channel_id, sender, sink, faults)
        outgoing = Outgoing(
            channel_id, subject, call, sink, sender, ssrc, offer, answer, sending, faults
        )
        self.sessions.append(outgoing)
        return outgoing

    async def _acknowledged(self, incoming: IncomingInvite, answer: bytes) -> IncomingCall:
        call_id = incoming.request.call_id
        accepting = asyncio.get_running_loop().create_future()
        self._accepting[call_id] = accepting
        try:
            return await incoming.accept(body=answer)
        finally:
            self._accepting.pop(call_id, None)
            accepting.set_result(None)

    def _sender(
        self,
        channel: DeviceChannel,
        offer: JudgedOffer,
        recorded: RecordedSource | None,
        sink: MediaSink,
        ssrc: int,
    ) -> Sender | PlaybackSender:
        loss = self.loss if offer.mode == "udp" else 0.0
        if recorded is not None:
            is_download = offer.description.session == "download"
            return PlaybackSender(
                recorded,
                sink,
                ssrc=ssrc,
                payload_type=offer.payload.number,
                origin=datetime.fromtimestamp(offer.description.start, UTC),
                speed=offer.download_speed if is_download else 1.0,
                limits=self.habits.limits,
                loss=loss,
                seed=self._seed,
            )
        make = channel.sub_source if offer.stream_number > 0 else None
        source = (make or channel.source)()
        return Sender(
            source, sink, ssrc=ssrc, payload_type=offer.payload.number,
            loss=loss, seed=self._seed,
        )  # fmt: skip

    def _send(
        self,
        channel_id: str,
        sender: Sender | PlaybackSender,
        sink: MediaSink,
        faults: list[Exception],
    ) -> asyncio.Task[None]:
        async def run() -> None:
            try:
                await sender.run()
            except (MediaTimeout, OSError) as error:
                # A receiver that closes its connection before its BYE: no fault of ours.
                faults.append(error)

        sink.start()
        return self._station.supervisor.spawn(
            run(), name=f"send {channel_id}", on_fault=faults.append
        )

    async def _serve(self, outgoing: Outgoing) -> None:
        call, sink, sending = outgoing.call, outgoing.sink, outgoing.sending
        reason = "end of media"
        try:
            waiting: set[asyncio.Future[Any]] = {call.ended, sink.closed, sending}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if sink.closed.done():
                reason = "media connection lost"
            elif outgoing.faults:
                reason = f"fault: {outgoing.faults[0]}"
            elif not call.is_ended and isinstance(outgoing.sender, PlaybackSender):
                reason = await self._finish(outgoing, outgoing.sender)
        finally:
            sending.cancel()
            await asyncio.wait([sending])
            if outgoing.tired is not None:
                outgoing.tired.cancel()
            self.sessions.remove(outgoing)
            sink.close()
            self._ssrcs.release(outgoing.ssrc)
            if not call.is_ended:
                await call.bye(reason=reason)

    async def _finish(self, outgoing: Outgoing, sender: PlaybackSender) -> str:
        """Tell the end of a recording and leave the receiver time for its BYE.

        Source: 9.8.2.1 q and following: the notice goes within the dialog.
        """
        patience = BYE_PATIENCE
        if sender.ending is Ending.END:
            if self.habits.tells_end:
                await self._tell_end(outgoing)
            else:
                patience = SILENT_PATIENCE
        waiting: set[asyncio.Future[Any]] = {outgoing.call.ended, outgoing.sink.closed}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=patience)
        return sender.ending.value if sender.ending is not None else "end of media"

    async def _tell_end(self, outgoing: Outgoing) -> None:
        self._sn += 1
        notice = MediaStatusNotify(sn=str(self._sn), device_id=outgoing.channel_id)
        try:
            response = await outgoing.call.request(
                "MESSAGE",
                body=encode(notice, self._edition),
                content_type=CONTENT_TYPE,
                timeout=_NOTICE_TIMEOUT,
            )
        except SipError as error:
            logger.info("%s: the end was not told: %s", outgoing.channel_id, error)
        else:
            if response.status >= 300:
                logger.info("%s: end refused with %d", outgoing.channel_id, response.status)

    # Within a dialog ------------------------------------------------------------------------

    async def in_dialog(self, incoming: IncomingRequest) -> None:
        """Serve INFO (playback control) and a repeated INVITE of a session of ours.

        Source: 9.8.2.1, Annex B; RFC 3261 section 14.2.
        """
        call = incoming.call
        if call is not None and call.call_id in self._accepting:
            # It came together with the ACK: the session stands in the loop's next turn.
            await asyncio.wait([self._accepting[call.call_id]])
        outgoing = next((one for one in self.sessions if one.call is call), None)
        if call is None or outgoing is None:
            incoming.respond(481)
        elif incoming.method == "INFO":
            self._control(outgoing, incoming)
        else:
            self._refresh(outgoing, incoming)

    def _control(self, outgoing: Outgoing, incoming: IncomingRequest) -> None:
        try:
            request = parse_control(incoming.request.body)
        except MalformedMansrtsp as error:
            logger.info("%s: control refused: %s", outgoing.channel_id, error)
            if error.answer is None:
                incoming.respond(400)
            else:
                incoming.respond(200, body=error.answer.to_bytes(), content_type=MANSRTSP)
            return
        if isinstance(outgoing.sender, PlaybackSender):
            answer = outgoing.sender.control(request)
            self._watch_pause(outgoing, pauses=isinstance(request, Pause))
        else:
            answer = Answer(status=NOT_VALID_NOW, cseq=request.cseq, version=request.version)
        incoming.respond(200, body=answer.to_bytes(), content_type=MANSRTSP)

    def _watch_pause(self, outgoing: Outgoing, *, pauses: bool) -> None:
        if outgoing.tired is not None and not pauses:
            outgoing.tired.cancel()
            outgoing.tired = None
        if pauses and outgoing.tired is None and self.habits.bye_after_pause > 0:
            outgoing.tired = asyncio.get_running_loop().call_later(
                self.habits.bye_after_pause, outgoing.call.hang_up
            )

    def _refresh(self, outgoing: Outgoing, incoming: IncomingRequest) -> None:
        """A session may be asked for again as it is, but not changed (spec 02 section 7.6)."""
        try:
            same = parse_sdp(incoming.request.body) == outgoing.offer.description
        except MalformedSdp:
            same = False
        if same:
            incoming.respond(200, body=outgoing.answer, content_type="application/sdp")
        else:
            incoming.respond(488)
