"""Forwarding: playbacks and downloads of an upper platform, passed on to the camera's disk."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sip.errors import CallCancelled, SipError, TransactionTimeout

from ..errors import Cause, Gb28181Error
from ..manscdp.codec import CONTENT_TYPE, encode
from ..manscdp.media_status import MediaStatusNotify
from ..mansrtsp import (
    MalformedMansrtsp,
    Pause,
    Play,
    RtpInfo,
    parse_answer,
    parse_control,
)
from ..media.answer import answer_to
from ..media.plan import SessionKind
from ..media.stages import Reason
from ..sessions.recorded import Wanted

if TYPE_CHECKING:
    from typing import Any

    from sip.endpoint import Call, IncomingCall, IncomingInvite, IncomingRequest

    from ..edition import Edition
    from ..media.answer import JudgedOffer, Subject
    from ..media.ends import Relaying, RelaySink
    from ..media.session import MediaSession
    from ..sessions.sessions import Sessions
    from ..ssrc import Ssrc
    from ..station import Station
    from .share import Share

logger = logging.getLogger("gb28181.cascade")

BYE_PATIENCE = 10.0
"""Seconds that the upper has for its BYE after it was told the end (spec 07 section 6)."""
_CONTROL_TIMEOUT = 8.0
_NOTICE_TIMEOUT = 10.0


@dataclass(slots=True)
class ForwardedTape:
    """One recording that goes up."""

    channel_id: str
    subject: Subject
    call: IncomingCall
    session: MediaSession
    sink: RelaySink
    relay: Relaying


class Forwarding:
    """The recordings that go up one link: each has a session of its own with the disk below.

    Media is relayed as it came, control passes through in both directions, and so does the end.

    Source: 9.8, 9.9; spec 07 section 6.
    """

    def __init__(
        self, sessions: Sessions, station: Station, share: Share, *, name: str, edition: Edition
    ) -> None:
        """Take what is needed.

        Args:
            sessions: Of our platform: they reach the disks.
            station: Where calls come in and media goes out.
            share: Under which ids the upper knows our channels.
            name: Of the upper, for the log.
            edition: Which edition the upper speaks.
        """
        self.tapes: list[ForwardedTape] = []
        self._sessions = sessions
        self._station = station
        self._share = share
        self._name = name
        self._edition = edition
        self._sn = 0
        self._accepting: dict[str, asyncio.Future[None]] = {}

    def has(self, call: Call) -> bool:
        """Whether a call is one of these, or is about to be: a request may come with its ACK."""
        return call.call_id in self._accepting or any(tape.call is call for tape in self.tapes)

    async def pull(self, channel_id: str, offer: JudgedOffer) -> MediaSession:
        """Ask the disk for what the upper asks us for; never shared.

        Raises:
            SessionLost: With the reason why there is none.
        """
        asked = offer.description
        is_download = asked.session == "download"
        return await self._sessions.open_recorded(
            Wanted(
                channel_id=channel_id,
                start=asked.start,
                end=asked.end,
                kind=SessionKind.DOWNLOAD if is_download else SessionKind.PLAYBACK,
                speed=max(1, round(offer.download_speed)) if is_download else 1,
            )
        )

    async def serve(
        self,
        incoming: IncomingInvite,
        offer: JudgedOffer,
        subject: Subject,
        session: MediaSession,
    ) -> None:
        """Answer the upper, and pass on until one side ends it. The session ends with it."""
        ssrcs = self._sessions.ssrcs
        ssrc: Ssrc | None = None
        sink: RelaySink | None = None
        try:
            # Another domain's SSRC is chosen by us, the called one (2016 F, 2022 G note 16 b).
            ssrc = ssrcs.lease(historical=True)
            sink = await self._station.plane.open_relay_sink(
                session.receiver, offer.mode, host="0.0.0.0", remote=offer.remote
            )
            await self._accept(incoming, offer, subject, session, sink, ssrc)
        except (CallCancelled, SipError) as error:
            logger.info("%s: %s not forwarded: %s", self._name, session.channel_id, error)
        except (Gb28181Error, OSError) as error:
            logger.warning("%s: no resources for %s: %s", self._name, session.channel_id, error)
            incoming.reject(486)
        finally:
            if sink is not None:
                sink.close()
            if ssrc is not None:
                ssrcs.release(ssrc)
            await session.close(Cause(code=Reason.NO_READER, sentence="the upper's call is over"))

    async def _accept(
        self,
        incoming: IncomingInvite,
        offer: JudgedOffer,
        subject: Subject,
        session: MediaSession,
        sink: RelaySink,
        ssrc: Ssrc,
    ) -> None:
        answer = answer_to(
            offer,
            origin_id=self._share.ids.published(session.channel_id),
            host=self._station.host_towards(incoming.flow),
            port=sink.local[1],
            ssrc=ssrc,
            size=session.announced_size,
        )
        relay = self._station.plane.relay(
            session.receiver, sink, ssrc=ssrc, payload_type=offer.payload.number
        )
        try:
            call = await self._acknowledged(incoming, answer.to_bytes())
            tape = ForwardedTape(session.channel_id, subject, call, session, sink, relay)
            await self._pass_on(tape)
        finally:
            relay.close()

    async def _acknowledged(self, incoming: IncomingInvite, answer: bytes) -> IncomingCall:
        call_id = incoming.request.call_id
        self._accepting[call_id] = accepting = asyncio.get_running_loop().create_future()
        try:
            return await incoming.accept(body=answer)
        finally:
            self._accepting.pop(call_id, None)
            accepting.set_result(None)

    async def _pass_on(self, tape: ForwardedTape) -> None:
        call, session = tape.call, tape.session
        self.tapes.append(tape)
        reason = "shutdown"
        try:
            tape.sink.start()
            waiting: set[asyncio.Future[Any]] = {call.ended, session.ended, tape.sink.closed}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if session.ended.done():
                cause = session.ended.result()
                reason = cause.sentence
                if cause.code == Reason.END_OF_RECORDING and not call.is_ended:
                    await self._tell_end(tape)
            elif tape.sink.closed.done():
                reason = str(tape.sink.closed.exception() or "media connection closed")
        finally:
            self.tapes.remove(tape)
            if not call.is_ended:
                await call.bye(reason=reason)

    async def _tell_end(self, tape: ForwardedTape) -> None:
        """Pass the end on within the upper's dialog, and leave it time for its BYE."""
        self._sn += 1
        notice = MediaStatusNotify(
            sn=str(self._sn), device_id=self._share.ids.published(tape.channel_id)
        )
        try:
            await tape.call.request(
                "MESSAGE",
                body=encode(notice, self._edition),
                content_type=CONTENT_TYPE,
                timeout=_NOTICE_TIMEOUT,
            )
        except SipError as error:
            logger.info("%s: end of %s not told: %s", self._name, tape.channel_id, error)
        waiting: set[asyncio.Future[Any]] = {tape.call.ended, tape.sink.closed}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=BYE_PATIENCE)

    # Control --------------------------------------------------------------------------------

    async def control(self, incoming: IncomingRequest) -> None:
        """Pass an INFO on as it is, and what became of it back: status and body.

        Only ``RTP-Info`` is written anew: packets have other numbers above than below.
        """
        call = incoming.call
        if call is not None and call.call_id in self._accepting:
            await asyncio.wait([self._accepting[call.call_id]])
        tape = next((one for one in self.tapes if one.call is call), None)
        lower = None if tape is None else tape.session.call
        if tape is None or lower is None or tape.session.ended.done():
            incoming.respond(481)
            return
        body = incoming.request.body
        try:
            response = await lower.request(
                "INFO",
                body=body,
                content_type=incoming.request.headers.get("Content-Type"),
                timeout=_CONTROL_TIMEOUT,
            )
        except TransactionTimeout:
            incoming.respond(408)
            return
        except SipError as error:
            logger.info("%s: control of %s failed: %s", self._name, tape.channel_id, error)
            incoming.respond(480)
            return
        if response.status < 300:
            _note(tape, body)
        incoming.respond(
            response.status,
            body=_renumbered(response.body, tape.relay),
            content_type=response.headers.get("Content-Type") if response.body else None,
        )

    async def replace(self, subject: Subject) -> None:
        """The same sender and receiver part again: the older session gives way (2022 K c)."""
        for tape in [one for one in self.tapes if one.subject == subject]:
            await tape.call.bye(reason="replaced")

    async def end(self, reason: str, *, timeout: float) -> None:
        """End all of them."""
        for tape in tuple(self.tapes):
            await tape.call.bye(reason=reason, timeout=timeout)


def _note(tape: ForwardedTape, body: bytes) -> None:
    """Silence is right while the upper's viewer pauses."""
    try:
        request = parse_control(body)
    except MalformedMansrtsp:
        return
    if isinstance(request, Pause | Play) and not tape.session.ended.done():
        tape.session.pause(isinstance(request, Pause))


def _renumbered(body: bytes, relay: Relaying) -> bytes:
    try:
        answer = parse_answer(body)
    except MalformedMansrtsp:
        return body
    if answer.rtp_info is None:
        return body
    number, ticks = relay.outgoing(answer.rtp_info.sequence_number, answer.rtp_info.timestamp)
    return replace(answer, rtp_info=RtpInfo(sequence_number=number, timestamp=ticks)).to_bytes()
