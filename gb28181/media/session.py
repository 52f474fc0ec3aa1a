"""MediaSession: the SDP exchange, the media and the dialog of one INVITE as a whole."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from sip.errors import CallRejected, FlowFailed, SipError, TransactionTimeout
from sip.message import Headers, Request

from ..errors import Cause, Gb28181Error, MalformedSdp, MediaTimeout, SessionLost
from ..sdp import MediaTransport, Payload, SessionDescription, parse_sdp
from ..ssrc import Ssrc, format_ssrc

if TYPE_CHECKING:
    from collections.abc import Callable

    from sip.endpoint import OutgoingCall, SipEndpoint
    from sip.flow import Flow
    from sip.message import Response

    from ..supervisor import Supervisor
    from .plane import MediaPlane
    from .receiver import Receiver

logger = logging.getLogger("gb28181.session")

OFFERED = (
    Payload(number=96, name="PS/90000"),
    Payload(number=98, name="H264/90000"),
    Payload(number=100, name="H265/90000"),
)
"""What a live INVITE asks for: PS first, as every device sends it (2022 G, C.1)."""

_PERMANENT = frozenset({400, 403, 404, 415, 488, 606})
_GOODBYE = 4.0


class Stage(Enum):
    """How far a session has come; a cause names the stage at which it ended."""

    OPENING = "opening the media port"
    INVITED = "INVITE sent"
    PROCEEDING = "provisional answer seen"
    ANSWERED = "200 received"
    CONNECTED = "acknowledged, waiting for media"
    FLOWING = "media flows"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPlan:
    """Everything that one live INVITE says, decided before it is sent."""

    channel_id: str
    """The camera that is asked."""
    owner_id: str
    """Our own id: From, o= and the receiver part of the Subject."""
    domain: str
    """The host part of our From."""
    target: Flow | str
    """Where the request goes: the flow of the device's registration."""
    peer_host: str
    """The host that the peer's URIs are written with, ``host:port``."""
    ssrc: Ssrc
    """What we ask the sender to use; its answer may name another."""
    mode: str
    """``udp``, ``tcp-passive`` (we listen) or ``tcp-active`` (we connect)."""
    bind_host: str
    """The local address of the media socket."""
    advertised_host: str
    """The address that the peer is told to send to."""
    stream_number: int = 0
    """0 main, 1 and up sub streams; written as ``a=streamnumber`` (2022 G) when not 0."""
    adopt_ssrc: bool = True
    """Whether a sender that uses another SSRC than agreed is accepted on its own port."""
    answer_timeout: float = 15.0
    """Seconds for the final answer; then CANCEL (decision, spec 02 section 7.2)."""
    media_timeout: float = 10.0
    """Seconds from ACK to the first packet; then BYE."""

    def offer(self, port: int) -> SessionDescription:
        """The SDP offer for a receiver on ``port``. Source: 2016 F, 2022 G."""
        tcp = self.mode != "udp"
        return SessionDescription(
            origin_id=self.owner_id,
            address=self.advertised_host,
            name="Play",
            start=0,
            end=0,
            kind="video",
            port=port,
            transport=MediaTransport.TCP if tcp else MediaTransport.UDP,
            payloads=OFFERED,
            direction="recvonly",
            setup={"tcp-passive": "passive", "tcp-active": "active"}.get(self.mode),
            connection="new" if tcp else None,
            ssrc=self.ssrc,
            attributes={"streamnumber": str(self.stream_number)} if self.stream_number else {},
        )

    def request(self, body: bytes, contact: str) -> Request:
        """The INVITE itself. Source: 9.2.3; Subject 2016 K, 2022 L."""
        serial = format_ssrc(self.ssrc)
        headers = Headers(
            [
                ("From", f"<sip:{self.owner_id}@{self.domain}>"),
                ("To", f"<sip:{self.channel_id}@{self.peer_host}>"),
                ("Contact", contact),
                ("Subject", f"{self.channel_id}:{serial},{self.owner_id}:{serial}"),
                ("Content-Type", "application/sdp"),
            ]
        )
        return Request("INVITE", f"sip:{self.channel_id}@{self.peer_host}", headers, body)


class MediaSession:
    """One live session that we asked for: its dialog, its receiver, and why it ended.

    Made by ``open_session``. ``ended`` is done once, with the cause; after that nothing of the
    session is left: no dialog, no socket, no port.
    """

    def __init__(
        self,
        plan: SessionPlan,
        receiver: Receiver,
        *,
        on_closed: Callable[[MediaSession], None] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.plan = plan
        self.receiver = receiver
        self.call: OutgoingCall | None = None
        self.stage = Stage.OPENING
        self.invited_at = loop.time()
        self.answered_at: float | None = None
        self.ended: asyncio.Future[Cause] = loop.create_future()
        self._on_closed = on_closed

    @property
    def channel_id(self) -> str:
        """The camera."""
        return self.plan.channel_id

    @property
    def cause(self) -> Cause | None:
        """Why it ended, or None while it stands."""
        return self.ended.result() if self.ended.done() else None

    def evidence(self) -> dict[str, str]:
        """What was seen so far, for a cause or a status page."""
        seen = self.receiver.statistics
        return {
            "local": f"{self.receiver.local[0]}:{self.receiver.local[1]}",
            "mode": self.plan.mode,
            "ssrc": format_ssrc(self.plan.ssrc),
            "packets": str(seen.packets),
            "lost": str(seen.lost),
            "foreign source": str(seen.foreign_source),
            "foreign ssrc": str(seen.foreign_ssrc),
            "garbage": str(seen.garbage),
        }

    async def establish(self, endpoint: SipEndpoint) -> None:
        """Send the INVITE, take the answer and acknowledge it.

        Raises:
            SessionLost: It was refused, not answered, or answered with what cannot be used.
        """
        plan = self.plan
        offer = plan.offer(self.receiver.local[1])
        request = plan.request(offer.to_bytes(), endpoint.contact(plan.target))
        self.stage = Stage.INVITED
        call = await endpoint.invite(
            request, plan.target, timeout=plan.answer_timeout, on_progress=self._progress
        )
        self.call = call
        self.stage = Stage.ANSWERED
        self.answered_at = asyncio.get_running_loop().time()
        answer = self._answer(call.response)
        await call.ack()
        if answer.transport is not offer.transport:
            raise SessionLost(
                Cause(
                    code="transport-mismatch",
                    sentence=(
                        f"{plan.channel_id} answered {answer.transport.value} "
                        f"to an offer of {offer.transport.value}"
                    ),
                    stage=self.stage.value,
                )
            )
        self.receiver.expect(
            ssrc=answer.ssrc if answer.ssrc is not None else plan.ssrc,
            host=self._media_host(answer.address),
            adopt=plan.adopt_ssrc,
        )
        self.stage = Stage.CONNECTED
        if plan.mode == "tcp-active":
            await self.receiver.connect((self._media_host(answer.address), answer.port))

    async def flowing(self) -> None:
        """Wait for the first packet.

        Raises:
            MediaTimeout: None came within the plan's ``media_timeout``.
        """
        await self.receiver.first_packet(self.plan.media_timeout)
        self.stage = Stage.FLOWING

    async def watch(self) -> None:
        """Wait until the call or the media ends, then end the whole. Runs in the role's group."""
        cause = Cause(code="shutdown", sentence="the platform is stopping", stage=self.stage.value)
        try:
            cause = await self._until_end()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            cause = self.why(error)
            raise
        finally:
            await self.close(cause)

    async def _until_end(self) -> Cause:
        assert self.call is not None
        try:
            await self.flowing()
            waiting: set[asyncio.Future[Any]] = {self.call.ended, self.receiver.closed}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except (MediaTimeout, OSError) as error:
            return self.why(error)
        if not self.call.is_ended:
            return self.why(self.receiver.closed.exception() or MediaTimeout("media ended"))
        gone = self.call.ended.result()
        return Cause(
            code="bye" if gone.by == "remote" else "dialog-lost",
            sentence=f"{self.channel_id} ended the call: {gone.text or 'BYE'}",
            stage=self.stage.value,
            evidence=self.evidence(),
        )

    async def close(self, cause: Cause) -> None:
        """End it: stop reading, BYE, close the socket, give back port and SSRC. Idempotent."""
        if self.ended.done():
            return
        self.stage = Stage.ENDED
        self.ended.set_result(cause)
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
            if self._on_closed is not None:
                self._on_closed(self)

    def why(self, error: BaseException) -> Cause:
        """Turn what ended the session into a cause."""
        code, permanent = "fault", False
        sentence = f"{self.channel_id}: {error}"
        match error:
            case SessionLost():
                return error.cause
            case CallRejected():
                status = error.response.status
                code, permanent = f"rejected-{status}", status in _PERMANENT
                warning = error.response.headers.get("Warning")
                sentence = (
                    f"{self.channel_id} refused the INVITE: {status} {error.response.reason}"
                    + (f" ({warning})" if warning else "")
                )
            case TransactionTimeout():
                code = "no-answer"
                sentence = (
                    f"{self.channel_id} did not answer the INVITE within "
                    f"{self.plan.answer_timeout:g} s"
                )
            case FlowFailed():
                code = "unreachable"
            case MalformedSdp():
                code = "bad-answer"
            case MediaTimeout():
                code = "no-media"
            case OSError():
                code = "media-connection"
                sentence = f"{self.channel_id}: media connection failed: {error}"
        return Cause(
            code=code,
            sentence=sentence,
            stage=self.stage.value,
            permanent=permanent,
            evidence=self.evidence(),
        )

    def _answer(self, response: Response) -> SessionDescription:
        return parse_sdp(response.body)

    def _progress(self, response: Response) -> None:
        if response.status > 100:
            self.stage = Stage.PROCEEDING

    def _media_host(self, answered: str) -> str:
        target = self.plan.target
        signalling = (
            self.plan.peer_host.rsplit(":", 1)[0] if isinstance(target, str) else target.remote[0]
        )
        return media_host(answered, signalling)


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
    receiver = await plane.open_receiver(plan.mode, host=plan.bind_host)
    session = MediaSession(plan, receiver, on_closed=on_closed)
    try:
        await session.establish(endpoint)
    except (SipError, Gb28181Error, OSError) as error:
        cause = session.why(error)
        if session.call is not None and error.__class__ is MalformedSdp:
            await session.call.ack()
        await session.close(cause)
        raise SessionLost(cause) from error
    except asyncio.CancelledError:
        await session.close(Cause(code="cancelled", sentence="no longer wanted"))
        raise
    supervisor.spawn(session.watch(), name=f"session {plan.channel_id}", on_fault=lambda _: None)
    return session
