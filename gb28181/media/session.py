"""MediaSession: the SDP exchange, the media and the dialog of one INVITE as a whole."""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from rtp.access_unit import MediaKind
from sip.errors import CallRejected, SipError

from ..errors import Cause, Gb28181Error, MediaTimeout, SessionLost
from ..sdp import SessionDescription, parse_sdp
from ..ssrc import Ssrc, format_ssrc
from .diagnosis import cause_of, made, of_both
from .stages import Reason, Stage, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtp.access_unit import AccessUnit
    from rtp.batch import PacketBatch
    from sip.endpoint import OutgoingCall, SipEndpoint
    from sip.message import Response

    from ..supervisor import Supervisor
    from .ends import MediaReceiver
    from .plan import SessionPlan
    from .plane import MediaPlane

logger = logging.getLogger("gb28181.session")

_GOODBYE = 4.0
_QUIET = 0.3
"""Seconds without a packet after which what was on its way at the end has come."""
_LONGEST_DRAIN = 5.0


class MediaSession:
    """One session that we asked for: its dialog, its receiver, its stages, and why it ended.

    Made by ``open_session``. ``ended`` is done once, with the cause; after that nothing of the
    session is left: no dialog, no socket, no port.
    """

    def __init__(
        self,
        plan: SessionPlan,
        receiver: MediaReceiver,
        *,
        on_closed: Callable[[MediaSession], None] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.plan = plan
        self.receiver = receiver
        self.call: OutgoingCall | None = None
        self.timeline = Timeline(loop.time())
        self.ended: asyncio.Future[Cause] = loop.create_future()
        self.offer: SessionDescription | None = None
        self.answer: SessionDescription | None = None
        self.last_status = ""
        """The last status line that the INVITE met."""
        self.earlier: Cause | None = None
        """Why a first try over other transport failed, when this is the second."""
        self.payload_type: int | None = None
        """As the first packet let in has it."""
        self.foreign_at_first = 0
        """Packets not let in before the first one that was."""
        self._loop = loop
        self._answer_body = b""
        self._warning = ""
        self._ack_repeats = 0
        self._on_closed = on_closed
        self._media: asyncio.Future[None] = loop.create_future()
        self._key: asyncio.Future[None] = loop.create_future()
        self._has_video = False
        self._detach_units: Callable[[], None] | None = None
        receiver.may_jump = plan.is_historical
        self._detach_batches = receiver.batches.attach(self._first_batch)

    # ---- what it is and how far it has come ----

    @property
    def channel_id(self) -> str:
        """The camera."""
        return self.plan.channel_id

    @property
    def stage(self) -> Stage:
        """How far it has come."""
        return self.timeline.stage

    @property
    def invited_at(self) -> float:
        """When the INVITE went out, by the loop's clock; before that, when it was prepared."""
        return self.timeline.when(Stage.ASKED) or self.timeline.entries[0].time

    @property
    def cause(self) -> Cause | None:
        """Why it ended, or None while it stands."""
        return self.ended.result() if self.ended.done() else None

    @property
    def expected_ssrc(self) -> str:
        """The SSRC agreed on: the answer's, else the offer's."""
        agreed = self.answer.ssrc if self.answer is not None else None
        return format_ssrc(agreed if agreed is not None else self.plan.ssrc)

    @property
    def expected_host(self) -> str:
        """Where media is expected from; empty before the answer."""
        return "" if self.answer is None else self._media_host(self.answer.address)

    @property
    def announced_size(self) -> int | None:
        """The bytes of the file, by ``a=filesize`` of the answer; None when it does not say."""
        text = "" if self.answer is None else self.answer.attributes.get("filesize", "").strip()
        return int(text[:18]) if text.isascii() and text.isdigit() else None

    @property
    def ack_repeats(self) -> int:
        """How often the peer repeated its 200 after our ACK."""
        if self.call is not None:
            self._ack_repeats = max(self._ack_repeats, self.call.ack_repeats)
        return self._ack_repeats

    def evidence(self) -> dict[str, str]:
        """What was seen so far, for a cause or a status page; what is not known is left out."""
        seen = self.receiver.statistics
        said = self.answer
        facts = {
            "kind": self.plan.kind.value,
            "mode": self.plan.mode,
            "stages": str(self.timeline),
            "sip to": self.plan.peer_host,
            "last status": self.last_status,
            "warning": self._warning,
            "200 repeated": str(self.ack_repeats or ""),
            "offer": self.offer.to_bytes().decode() if self.offer else "",
            "answer": self._answer_body.decode("utf-8", "replace"),
            "local": f"{self.receiver.local[0]}:{self.receiver.local[1]}",
            "advertised": f"{self.plan.advertised_host}:{self.receiver.local[1]}",
            "answered address": f"{said.address}:{said.port}" if said else "",
            "source": "{}:{}".format(*seen.source) if seen.source else "",
            "ssrc": self.expected_ssrc,
            "ssrc seen": format_ssrc(Ssrc(seen.ssrc)) if seen.packets and seen.ssrc else "",
            "payload type": "" if self.payload_type is None else str(self.payload_type),
            "video": seen.video.value if seen.video else "",
            "audio": seen.audio.value if seen.audio else "",
            "packets": str(seen.packets),
            "lost": str(seen.lost),
            "foreign source": str(seen.foreign_source),
            "foreign ssrc": str(seen.foreign_ssrc),
            "last foreign": seen.last_foreign,
            "garbage": str(seen.garbage),
        }
        return {name: value for name, value in facts.items() if value}

    def why(self, error: BaseException) -> Cause:
        """Turn what ended the session into a cause."""
        return cause_of(self, error)

    # ---- the way up ----

    async def establish(self, endpoint: SipEndpoint) -> None:
        """Send the INVITE, take the answer and acknowledge it.

        Raises:
            SessionLost: It was answered with what cannot be used.
            SipError: It was refused or not answered.
        """
        plan = self.plan
        offer = self.offer = plan.offer(self.receiver.local[1])
        request = plan.request(offer.to_bytes(), endpoint.contact(plan.target))
        self._reach(Stage.ASKED)
        call = await endpoint.invite(
            request, plan.target, timeout=plan.answer_timeout, on_progress=self._progress
        )
        self.call = call
        self._note_status(call.response)
        self._answer_body = call.response.body
        self._reach(Stage.ANSWERED)
        # A device may send as soon as it has answered, so the ACK is not waited with.
        await call.ack()
        self._reach(Stage.ACKNOWLEDGED)
        # Some cameras leave the address out; that of their signalling serves then.
        answer = self.answer = parse_sdp(call.response.body, host=self._signalling_host)
        self._check(offer, answer)
        self.receiver.expect(
            ssrc=answer.ssrc if answer.ssrc is not None else plan.ssrc,
            host=self._media_host(answer.address),
            adopt=plan.adopt_ssrc,
        )
        if plan.mode == "tcp-active":
            await self.receiver.connect((self._media_host(answer.address), answer.port))
            self._reach(Stage.TRANSPORT)

    async def flowing(self) -> None:
        """Wait for the first packet.

        Raises:
            SessionLost: The session ended before one came.
        """
        waiting: set[asyncio.Future[Any]] = {self._media, self.ended}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self._media.done():
            raise SessionLost(self.ended.result())

    async def key_frame(self) -> None:
        """Wait until a key frame has come, or the stream turned out to have no pictures.

        Raises:
            SessionLost: The session ended before.
        """
        waiting: set[asyncio.Future[Any]] = {self._key, self.ended}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self._key.done():
            raise SessionLost(self.ended.result())

    # ---- while it stands ----

    def pause(self, paused: bool) -> None:
        """Note that the viewer has paused a playback, or goes on: silence is right meanwhile."""
        self.receiver.pause_watch(paused)
        self._reach(Stage.PAUSED if paused else Stage.FLOWING)

    async def drain(self) -> None:
        """Wait until no packet comes any more: what was sent before the end is still to be had."""
        until = self._loop.time() + _LONGEST_DRAIN
        packets = -1
        while self._loop.time() < until and not self.receiver.is_closed:
            before, packets = packets, self.receiver.statistics.packets
            if packets == before:
                return
            await asyncio.sleep(_QUIET)

    # ---- the end ----

    async def finish(self, told_by: str, *, drains: bool = True) -> None:
        """End a recording that has come to its end, as a rule after what is still on its way."""
        if drains:
            await self.drain()
        sentence = f"the recording has come to its end, by {told_by}"
        await self.close(
            made(self, Reason.END_OF_RECORDING, sentence, permanent=True, told=told_by)
        )

    async def watch(self) -> None:
        """Wait until the call or the media ends, then end the whole. Runs in the role's group."""
        cause = made(self, Reason.SHUTDOWN, "our side is stopping")
        try:
            cause = await self._until_end()
            if self.earlier is not None and self.timeline.when(Stage.SSRC) is None:
                cause = of_both(self.earlier, cause)
        except Exception as error:
            cause = self.why(error)
            raise
        finally:
            await self.close(cause)

    async def _until_end(self) -> Cause:
        assert self.call is not None
        gone = self.call.ended
        plan = self.plan
        ends: set[asyncio.Future[Any]] = {gone, self.receiver.closed}
        waiting: set[asyncio.Future[Any]] = {self._media, *ends}
        await asyncio.wait(waiting, timeout=plan.media_timeout, return_when=asyncio.FIRST_COMPLETED)
        if self._media.done():
            waiting = {self._key, *ends}
            await asyncio.wait(
                waiting, timeout=plan.key_timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if not self._key.done() and not any(one.done() for one in ends):
                fault = self._without_key()
                if fault is not None:
                    return fault
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            return await self._left()
        if not self.receiver.closed.done():
            return self.why(MediaTimeout(f"no RTP packet within {plan.media_timeout:g} s"))
        return self.why(self.receiver.closed.exception() or MediaTimeout("media ended"))

    def _without_key(self) -> Cause | None:
        """Packets come, and after the time for it there is no key frame: say why, if it is bad."""
        after = f"{self.plan.key_timeout:g} s after the first packet"
        seen = self.receiver.statistics
        if self.timeline.when(Stage.UNDERSTOOD) is None:
            unknown = seen.repairs.get("codec_unknown", 0)
            if unknown:
                # A program stream names its coding beside key frames only.
                sentence = f"{unknown} pictures of an unknown coding, and no key frame, {after}"
                return made(self, Reason.NO_KEY_FRAME, sentence)
            said = "" if self.answer is None else ", ".join(
                f"{one.number} {one.encoding}".strip() for one in self.answer.payloads
            )  # fmt: skip
            sentence = (
                f"{seen.packets} packets of payload type {self.payload_type} (answered: {said}) "
                f"and nothing in them that can be read, {after}"
            )
            return made(self, Reason.NOT_UNDERSTOOD, sentence)
        if self._has_video:
            sentence = f"no key frame {after}, though {seen.frames} pictures came"
            return made(self, Reason.NO_KEY_FRAME, sentence)
        self._understood()  # sound alone is a stream, too
        return None

    async def _left(self) -> Cause:
        """The peer has ended the call, or knows nothing of it."""
        assert self.call is not None
        gone = self.call.ended.result()
        began = self.timeline.when(Stage.SSRC)
        lasted = "" if began is None else f"{self._loop.time() - began:.1f}"
        if self.plan.is_historical:
            await self.drain()
        after = f" after {lasted} s of media" if lasted else " before any media"
        if gone.by == "remote":
            sentence = f"the device ended the call{after}: {gone.text or 'BYE'}"
            return made(self, Reason.BYE, sentence, lasted=lasted)
        return made(
            self, Reason.DIALOG_LOST, f"the call is gone{after}: {gone.text}", lasted=lasted
        )

    async def close(self, cause: Cause) -> None:
        """End it: stop reading, BYE, close the socket, give back port and SSRC. Idempotent."""
        if self.ended.done():
            return
        _ = self.ack_repeats  # not known any more once the call has ended
        self._reach(Stage.ENDING, cause.code)
        self.ended.set_result(cause)
        self._detach_batches()
        if self._detach_units is not None:
            self._detach_units()
        self.receiver.close(None)
        try:
            if self.call is not None and not self.call.is_ended:
                # Shielded under its own time limit: a cancelled caller cannot skip the goodbye.
                await asyncio.shield(
                    asyncio.ensure_future(self.call.bye(reason=cause.code, timeout=_GOODBYE))
                )
        except SipError as error:
            logger.info("%s: BYE was not answered: %s", self.channel_id, error)
        finally:
            self._reach(Stage.ENDED)
            logger.info(
                "%s: %s ended: %s (%s) [%s]", self.channel_id, self.plan.kind.value,
                cause.code, cause.sentence, self.timeline,
            )  # fmt: skip
            if self._on_closed is not None:
                self._on_closed(self)

    # ---- what it sees ----

    def _first_batch(self, batch: PacketBatch) -> None:
        """The first packets that were let in: from now on somebody looks at units, too."""
        self._detach_batches()
        self.payload_type = batch.heads.seconds[0] & 0x7F
        seen = self.receiver.statistics
        self.foreign_at_first = seen.foreign_source + seen.foreign_ssrc
        contact = self.receiver.contact_at or self._loop.time()
        if self.timeline.when(Stage.TRANSPORT) is None:
            self.timeline.reach(Stage.TRANSPORT, contact, self.plan.mode)
        detail = f"{format_ssrc(Ssrc(batch.heads.sources[0]))}"
        if seen.adopted_ssrc:
            detail += f" in place of {self.expected_ssrc}"
        self._reach(Stage.SSRC, detail)
        self._detach_units = self.receiver.units.attach(self._saw)
        if not self._media.done():
            self._media.set_result(None)

    def _saw(self, unit: AccessUnit) -> None:
        """A unit, up to the first key frame."""
        if self.timeline.when(Stage.UNDERSTOOD) is None:
            self._reach(Stage.UNDERSTOOD, unit.codec.value)
        if unit.kind is MediaKind.VIDEO:
            self._has_video = True
            if unit.is_key:
                self._reach(Stage.KEY)
                self._understood()

    def _understood(self) -> None:
        """Nothing is missing any more; units are made for readers only from now on."""
        if self._detach_units is not None:
            self._detach_units()
            self._detach_units = None
        self._reach(Stage.FLOWING)
        if not self._key.done():
            self._key.set_result(None)
        logger.info("%s: %s flows [%s]", self.channel_id, self.plan.kind.value, self.timeline)

    def _reach(self, stage: Stage, detail: str = "") -> None:
        self.timeline.reach(stage, self._loop.time(), detail)

    def _progress(self, response: Response) -> None:
        self._note_status(response)
        self._reach(Stage.RINGING if response.status > 100 else Stage.TRYING, self.last_status)

    def _note_status(self, response: Response) -> None:
        self.last_status = f"{response.status} {response.reason}"
        self._warning = response.headers.get("Warning") or self._warning

    def refused_by(self, error: CallRejected) -> None:
        """Note the final answer that refused it."""
        self._note_status(error.response)

    def _check(self, offer: SessionDescription, answer: SessionDescription) -> None:
        if answer.transport is not offer.transport:
            sentence = f"answered {answer.transport.value} to an offer of {offer.transport.value}"
            raise SessionLost(made(self, Reason.TRANSPORT_MISMATCH, sentence))
        if answer.port == 0:
            raise SessionLost(
                made(self, Reason.BAD_ANSWER, "its answer declines the media (port 0)")
            )

    @property
    def _signalling_host(self) -> str:
        target = self.plan.target
        return (
            self.plan.peer_host.rsplit(":", 1)[0] if isinstance(target, str) else target.remote[0]
        )

    def _media_host(self, answered: str) -> str:
        return media_host(answered, self._signalling_host)


def media_host(answered: str, signalling: str) -> str:
    """Where a peer's media comes from, or is to be fetched: what its ``c=`` says, if that can be.

    A camera behind an address translation writes its private address, and some write 0.0.0.0; then
    the address that its signalling comes from is the best guess (Q48).
    """
    try:
        claimed = ip_address(answered)
    except ValueError:
        return answered or signalling  # a name, which the connection resolves
    if claimed.is_unspecified:
        return signalling
    try:
        seen = ip_address(signalling)
    except ValueError:
        return answered
    return signalling if claimed.is_private and not seen.is_private else answered


async def open_session(
    plan: SessionPlan,
    *,
    endpoint: SipEndpoint,
    plane: MediaPlane,
    supervisor: Supervisor,
    on_closed: Callable[[MediaSession], None] | None = None,
) -> MediaSession:
    """Open the media port, invite the camera, and watch over the session from then on.

    Returns as soon as the answer is acknowledged; ``session.flowing()`` waits for media.

    Raises:
        SessionLost: With the cause and the stage at which it failed. Nothing is left behind.
    """
    receiver = await plane.open_receiver(plan.mode, host=plan.bind_host, shared=plan.shared_port)
    session = MediaSession(plan, receiver, on_closed=on_closed)
    try:
        await session.establish(endpoint)
    except (SipError, Gb28181Error, OSError) as error:
        if isinstance(error, CallRejected):
            session.refused_by(error)
        cause = session.why(error)
        await session.close(cause)
        raise SessionLost(cause) from error
    except asyncio.CancelledError:
        await session.close(made(session, Reason.CANCELLED, "no longer wanted"))
        raise
    supervisor.spawn(session.watch(), name=f"session {plan.channel_id}", on_fault=lambda _: None)
    return session
