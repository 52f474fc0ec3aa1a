"""Talk: the platform's voice at loudspeakers: broadcast to one or many, and talk both ways."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from rtp.access_unit import MediaKind
from sip.endpoint import IncomingInvite
from sip.errors import CallCancelled, SipError

from ..dispatch import to_user_of, user_of
from ..errors import Cause, Gb28181Error, MalformedSdp, SessionLost
from ..identifiers import IdKind, kind_of
from ..manscdp.broadcast import BroadcastNotify, BroadcastResponse
from ..media.answer import Declined, Subject
from ..media.session import media_host
from ..media.voice import SENDABLE, VoiceFeed, VoiceLine
from ..sdp import MediaFormat, MediaTransport, Payload, SessionDescription, parse_sdp
from ..ssrc import Ssrc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Any

    from rtp.access_unit import AccessUnit
    from sip.endpoint import IncomingCall, IncomingRequest
    from sip.message import Request

    from ..media.relay import MediaSink
    from ..media.source import MediaSource
    from ..platform import Platform
    from ..remote_device import RemoteDevice
    from .live import Live

logger = logging.getLogger("gb28181.talk")

ANSWER_WITHIN = 10.0
"""Seconds for ``Response/Broadcast``, and then again for the device's INVITE."""
GATHER = 5.0
"""Seconds that a source waits for the slower of several loudspeakers."""
_DRAIN = 0.3
"""Seconds from a source's end to BYE, so that its last packets are played."""
_G711 = MediaFormat(audio_codec="1", audio_bit_rate="8", audio_sampling="1")
"""What is sent, in an ``f=`` line: some platforms want it (Q-list, voice)."""


class VoiceStage(Enum):
    """How far the way to one loudspeaker has come."""

    ASKED = "Broadcast sent"
    ACCEPTED = "the device says OK"
    INVITED = "INVITE of the device received"
    ANSWERED = "200 sent"
    FLOWING = "voice flows"
    ENDED = "ended"


class Feed(Protocol):
    """Where samples come from: a ``VoiceFeed``, or a voice that is passed on."""

    def attach(self, line: Callable[[bytes], None]) -> Callable[[], None]:
        """Hand every block of A-law samples to ``line``; return what ends that."""


class Speaker:
    """One loudspeaker of a broadcast: how far it has come, and why it ended."""

    def __init__(self, channel_id: str, device: RemoteDevice) -> None:
        loop = asyncio.get_running_loop()
        self.channel_id = channel_id
        self.device = device
        self.target_id = ""
        """The id that the device was asked by: an output, the channel, or the device itself."""
        self.stages: list[tuple[VoiceStage, float]] = []
        self.evidence: dict[str, str] = {}
        self.line: VoiceLine | None = None
        self.settled: asyncio.Future[None] = loop.create_future()
        """Done when voice flows, or never will."""
        self.accepted: asyncio.Future[None] = loop.create_future()
        """Done when the device has said OK or invited us, or never will."""
        self.ended: asyncio.Future[Cause] = loop.create_future()
        self.permit: Callable[[], Awaitable[None]] | None = None
        """Is awaited before the device's INVITE is answered; raises SessionLost to refuse it."""
        self.invite: asyncio.Future[IncomingInvite] = loop.create_future()

    @property
    def stage(self) -> VoiceStage | None:
        """How far it has come; None before it was asked."""
        return self.stages[-1][0] if self.stages else None

    @property
    def is_flowing(self) -> bool:
        """Whether it is being spoken to."""
        return self.stage is VoiceStage.FLOWING

    def reach(self, stage: VoiceStage) -> None:
        """Note a stage and its time."""
        self.stages.append((stage, asyncio.get_running_loop().time()))
        if stage is not VoiceStage.ASKED and not self.accepted.done():
            self.accepted.set_result(None)
        if stage in (VoiceStage.FLOWING, VoiceStage.ENDED) and not self.settled.done():
            self.settled.set_result(None)

    def end(self, cause: Cause) -> None:
        """Note why it is over. The first reason counts."""
        if not self.ended.done():
            self.ended.set_result(cause)
            self.reach(VoiceStage.ENDED)
            logger.info("voice to %s: %s", self.channel_id, cause.sentence)

    def lost(self, code: str, sentence: str) -> SessionLost:
        """What to raise when it cannot go on."""
        return SessionLost(
            Cause(
                code=code,
                sentence=f"{self.channel_id}: {sentence}",
                stage=self.stage.value if self.stage else "",
                evidence=dict(self.evidence),
            )
        )


class Talks:
    """The broadcasts of one platform: asks loudspeakers, and serves the INVITEs they answer with.

    Source: 9.12.
    """

    def __init__(self, platform: Platform) -> None:
        self.unasked = 0
        """INVITEs of devices that nobody had called."""
        self._platform = platform
        self._speakers: list[Speaker] = []
        self._worked: dict[str, str] = {}  # device id -> the kind of target that it invited for

    def __len__(self) -> int:
        return len(self._speakers)

    def handle(self, incoming: IncomingRequest) -> None:
        """Take the INVITE of a device that was called, or refuse it."""
        if not isinstance(incoming, IncomingInvite):
            incoming.respond(488)  # a changed offer within a call: nothing to negotiate
            return
        speaker = self._called(incoming)
        if speaker is None:
            self.unasked += 1
            incoming.reject(403, headers=[("Warning", '399 gb28181 "nobody called this speaker"')])
        elif speaker.invite.done():
            incoming.reject(486)
        else:
            speaker.invite.set_result(incoming)

    def end_of_device(self, device: RemoteDevice, cause: Cause) -> None:
        """A device that is gone takes its loudspeakers with it."""
        for speaker in tuple(self._speakers):
            if speaker.device is device:
                speaker.end(cause)

    def _called(self, incoming: IncomingInvite) -> Speaker | None:
        """Find who is meant: by the channel, then by the device when just one of its is called."""
        subject = Subject.parse(incoming.request.headers.get("Subject"))
        named = {
            user_of(incoming), to_user_of(incoming), subject.sender_id, subject.receiver_id,
        } - {"", self._platform.id}  # fmt: skip
        here = [one for one in self._speakers if self._is_from(one.device, incoming)]
        by_channel = [one for one in here if named & {one.channel_id, one.target_id}]
        waiting = [one for one in here if not one.invite.done()]
        found = by_channel or (waiting if len(waiting) == 1 else [])
        return next((one for one in found if not one.invite.done()), found[0] if found else None)

    @staticmethod
    def _is_from(device: RemoteDevice, incoming: IncomingInvite) -> bool:
        # By address, not by what From says: nobody else is spoken to.
        binding = device.binding
        return binding is not None and binding.flow.remote[0] == incoming.flow.remote[0]

    # One loudspeaker ------------------------------------------------------------------------

    async def call(self, speaker: Speaker, feed: Feed) -> None:
        """Ask a loudspeaker, answer its INVITE and speak until somebody ends it."""
        self._speakers.append(speaker)
        try:
            incoming = await self._asked(speaker)
            if speaker.permit is not None:
                await speaker.permit()
            await self._serve(speaker, incoming, feed)
        except SessionLost as error:
            speaker.end(error.cause)
        except asyncio.CancelledError:
            speaker.end(Cause(code="no-reader", sentence="the broadcast was ended"))
            raise
        except (Gb28181Error, SipError, OSError) as error:
            speaker.end(speaker.lost("fault", str(error)).cause)
        finally:
            self._speakers.remove(speaker)
            if speaker.invite.done() and not speaker.invite.cancelled():
                _withdraw(speaker.invite.result())

    async def _asked(self, speaker: Speaker) -> IncomingInvite:
        refusals: list[str] = []
        for kind, target_id in self._targets(speaker):
            speaker.target_id = target_id
            speaker.evidence["target"] = target_id
            refusal = await self._ask(speaker, target_id)
            if refusal is None:
                self._worked[speaker.device.id] = kind
                speaker.reach(VoiceStage.INVITED)
                return speaker.invite.result()
            refusals.append(f"{target_id} {refusal}")
        speaker.evidence["tried"] = "; ".join(refusals)
        raise speaker.lost("voice-refused", f"no loudspeaker took the call: {'; '.join(refusals)}")

    def _targets(self, speaker: Speaker) -> list[tuple[str, str]]:
        """Whom to ask, in order: what worked last, then by the device's habit (Q19, Q53)."""
        device = speaker.device
        outputs = [
            item.device_id
            for item in device.channels
            if kind_of(item.device_id) is IdKind.VOICE_OUTPUT
            and (item.parent_id or device.id) in (speaker.channel_id, device.id)
        ]
        known = {"output": outputs[:1], "channel": [speaker.channel_id], "device": [device.id]}
        order = sorted(
            device.quirks.voice_targets,
            key=lambda kind: kind != self._worked.get(device.id),
        )
        found: dict[str, str] = {}
        for kind in order:
            for target_id in known.get(kind, ()):
                found.setdefault(target_id, kind)
        return [(kind, target_id) for target_id, kind in found.items()]

    async def _ask(self, speaker: Speaker, target_id: str) -> str | None:
        """Call one target; return why not, or None when its INVITE has come."""
        notify = BroadcastNotify(
            sn=self._platform.commands.next_sn(),
            source_id=self._platform.id,
            target_id=target_id,
        )
        speaker.reach(VoiceStage.ASKED)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._response(speaker.device, notify))
            over: set[asyncio.Future[Any]] = {speaker.invite, speaker.ended}
            await asyncio.wait({asking, *over}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                refusal = asking.result()
                if refusal is not None:
                    return refusal
                speaker.reach(VoiceStage.ACCEPTED)
                await asyncio.wait(over, timeout=ANSWER_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            asking.cancel()
        if speaker.ended.done():
            raise SessionLost(speaker.ended.result())
        return None if speaker.invite.done() else f"sent no INVITE within {ANSWER_WITHIN:g} s"

    async def _response(self, device: RemoteDevice, notify: BroadcastNotify) -> str | None:
        try:
            answer = await self._platform.commands.ask_one(device, notify, BroadcastResponse)
        except Gb28181Error as error:
            return f"did not take it: {error}"
        return None if answer.result.upper() == "OK" else f"answered {answer.result}"

    async def _serve(self, speaker: Speaker, incoming: IncomingInvite, feed: Feed) -> None:
        station, quirks = self._platform.station, speaker.device.quirks
        ssrcs = self._platform.sessions.ssrcs
        try:
            offer = judge_voice(incoming.request)
        except Declined as declined:
            speaker.evidence["offer"] = incoming.request.body.decode("utf-8", "replace")
            incoming.reject(declined.status)
            raise speaker.lost(f"declined-{declined.status}", str(declined)) from declined
        leased = ssrcs.lease() if offer.description.ssrc is None else None
        ssrc = leased if leased is not None else Ssrc(offer.description.ssrc or 0)
        sink: MediaSink | None = None
        try:
            host = media_host(offer.description.address, incoming.flow.remote[0])
            remote = (host, offer.description.port)
            sink = await station.plane.open_sink(offer.mode, host="0.0.0.0", remote=remote)
            sink.framed = quirks.voice_framed
            answer = offer.answer(
                origin_id=self._platform.id,
                host=station.host_towards(incoming.flow),
                port=sink.local[1],
                ssrc=ssrc,
            )
            speaker.evidence["media"] = f"{offer.mode} to {remote[0]}:{remote[1]}"
            speaker.evidence["payload"] = offer.payload.encoding
            speaker.line = VoiceLine(
                sink, ssrc=ssrc, payload=offer.payload, packet=quirks.voice_packet
            )
            await self._speak(speaker, incoming, answer.to_bytes(), sink, feed)
        finally:
            if sink is not None:
                sink.close()
            if leased is not None:
                ssrcs.release(leased)

    async def _speak(
        self,
        speaker: Speaker,
        incoming: IncomingInvite,
        answer: bytes,
        sink: MediaSink,
        feed: Feed,
    ) -> None:
        assert speaker.line is not None
        speaker.reach(VoiceStage.ANSWERED)
        if speaker.device.quirks.voice_starts_on == "200":
            sink.start()
        detach: Callable[[], None] | None = None
        try:
            call = await incoming.accept(body=answer)
        except (CallCancelled, SipError) as error:
            raise speaker.lost("no-ack", f"the call was not set up: {error}") from error
        cause = Cause(code="no-reader", sentence=f"{speaker.channel_id}: the broadcast has ended")
        try:
            sink.start()
            ends: set[asyncio.Future[Any]] = {call.ended, sink.closed, speaker.ended}
            await asyncio.wait({sink.ready, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if not any(one.done() for one in ends):
                detach = feed.attach(speaker.line.push)
                speaker.reach(VoiceStage.FLOWING)
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            cause = self._why(speaker, call, sink)
        finally:
            if detach is not None:
                detach()
            speaker.end(cause)
            if not call.is_ended:
                await call.bye(reason=cause.code)

    @staticmethod
    def _why(speaker: Speaker, call: IncomingCall, sink: MediaSink) -> Cause:
        if speaker.ended.done():
            return speaker.ended.result()
        if call.is_ended:
            gone = call.ended.result()
            code = "bye" if gone.by == "remote" else "dialog-lost"
            return speaker.lost(code, f"the device ended the call: {gone.text or 'BYE'}").cause
        error = sink.closed.exception()
        return speaker.lost("media-connection", f"media connection failed: {error}").cause


class Broadcast:
    """One voice to loudspeakers: ``async with`` calls them and speaks until the block is left.

    Entering waits until each of them is spoken to, or is known not to be.
    """

    def __init__(self, platform: Platform, channel_ids: Sequence[str], source: MediaSource) -> None:
        """Describe the broadcast; see ``Platform.broadcast``."""
        self.speakers: dict[str, Speaker] = {}
        self._platform = platform
        self._channel_ids = tuple(dict.fromkeys(channel_ids))
        self._feed = VoiceFeed(source)
        self._tasks: list[asyncio.Task[None]] = []
        self._over = asyncio.Event()

    async def open(self) -> Broadcast:
        """Call every loudspeaker; return when voice flows to those that can be reached.

        Raises:
            SessionLost: None can be reached; with the reason of the first.
            PlatformFailed: The platform is not running.
        """
        platform, talks = self._platform, self._platform.talks
        platform.check()
        spawn = platform.station.supervisor.spawn
        for channel_id in self._channel_ids:
            speaker = Speaker(channel_id, self._owner_of(channel_id))
            self.speakers[channel_id] = speaker
            self._tasks.append(
                spawn(talks.call(speaker, self._feed), name=f"voice {channel_id}",
                      on_fault=lambda error, one=speaker: one.end(  # type: ignore[misc]
                          one.lost("fault", str(error)).cause))
            )  # fmt: skip
        try:
            await self._settle()
        except BaseException:
            await self.close()
            raise
        self._tasks.append(
            spawn(self._feed_all(), name="voice source", on_fault=lambda _: self._over.set())
        )
        return self

    async def finished(self) -> dict[str, Cause]:
        """Wait until the source or every call has ended; return why, by channel."""
        await self._over.wait()
        ends = [speaker.ended for speaker in self.speakers.values()]
        if ends:
            await asyncio.wait(ends)
        return {one.channel_id: one.ended.result() for one in self.speakers.values()}

    async def close(self) -> None:
        """End every call with BYE. Idempotent."""
        tasks = [task for task in self._tasks if not task.done()]
        for speaker in self.speakers.values():
            speaker.end(Cause(code="no-reader", sentence="the broadcast was ended"))
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._over.set()

    async def __aenter__(self) -> Broadcast:
        return await self.open()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _owner_of(self, channel_id: str) -> RemoteDevice:
        device = self._platform.owner_of(channel_id)
        if device is None or not device.is_online:
            what = f"{device.id} is offline" if device else "no device lists it"
            code = "offline" if device else "unknown-channel"
            raise SessionLost(Cause(code=code, sentence=f"{channel_id}: {what}"))
        return device

    async def _settle(self) -> None:
        waiting: set[asyncio.Future[None]] = {one.settled for one in self.speakers.values()}
        deadline: float | None = None
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=deadline, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break  # the slower ones join while the others already hear
            if any(one.is_flowing for one in self.speakers.values()):
                deadline = GATHER
        if not any(one.is_flowing for one in self.speakers.values()):
            first = next(iter(self.speakers.values()))
            raise SessionLost(first.ended.result())

    async def _feed_all(self) -> None:
        ends = {speaker.ended for speaker in self.speakers.values()}
        async with asyncio.TaskGroup() as group:
            feeding = group.create_task(self._feed.run())
            everybody = group.create_task(_all(ends))
            await asyncio.wait({feeding, everybody}, return_when=asyncio.FIRST_COMPLETED)
            if not everybody.done():
                await asyncio.sleep(_DRAIN)
                for speaker in self.speakers.values():
                    speaker.end(Cause(code="end", sentence="the source has ended"))
            feeding.cancel()
            everybody.cancel()
        self._over.set()


class Talk:
    """A conversation: the camera's sound and picture up, our voice down (9.12.2)."""

    def __init__(self, play: Callable[[], Awaitable[Live]], broadcast: Broadcast) -> None:
        """Describe the conversation; see ``Channel.talk``."""
        self.broadcast = broadcast
        self._play = play
        self._live: Live | None = None

    @property
    def live(self) -> Live:
        """The camera's stream."""
        assert self._live is not None, "enter the talk with 'async with' first"
        return self._live

    async def sounds(self) -> AsyncIterator[AccessUnit]:
        """What the other side says, as audio units. Raises as ``Live.units`` does."""
        async for unit in self.live.units():
            if unit.kind is MediaKind.AUDIO:
                yield unit

    async def __aenter__(self) -> Talk:
        self._live = await self._play()
        try:
            await self.broadcast.open()
        except BaseException:
            self._live.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.broadcast.close()
        finally:
            self.live.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceOffer:
    """What a loudspeaker asks for, and how we can serve it."""

    description: SessionDescription
    mode: str
    """Our side: ``udp``, ``tcp-active`` or ``tcp-passive``."""
    payload: Payload

    def answer(self, *, origin_id: str, host: str, port: int, ssrc: Ssrc) -> SessionDescription:
        """Our answer: the chosen payload alone. Source: 9.12, 2022 G."""
        tcp = self.description.transport is MediaTransport.TCP
        return SessionDescription(
            origin_id=origin_id,
            address=host,
            name=self.description.name or "Play",
            kind=self.description.kind,
            port=port,
            transport=self.description.transport,
            payloads=(self.payload,),
            direction="sendonly",
            setup=None if not tcp else ("active" if self.mode == "tcp-active" else "passive"),
            connection="new" if tcp else None,
            ssrc=ssrc,
            format=_G711 if self.payload.encoding in ("PCMA", "PCMU") else None,
        )


def judge_voice(request: Request) -> VoiceOffer:
    """Read the offer of a loudspeaker.

    Raises:
        Declined: 400 for what is no SDP, 488 for what we cannot send.
    """
    try:
        offer = parse_sdp(request.body)
    except MalformedSdp as error:
        raise Declined(400, str(error)) from error
    payload = next(_offered(offer), None)
    if payload is None:
        names = ", ".join(one.name or str(one.number) for one in offer.payloads)
        raise Declined(488, f"voice is sent as {', '.join(SENDABLE)}, and {names} is offered")
    passive = offer.setup == "active"
    if offer.port == 0 and not (passive and offer.transport is MediaTransport.TCP):
        raise Declined(488, "the offer has port 0")
    if offer.transport is MediaTransport.UDP:
        return VoiceOffer(description=offer, mode="udp", payload=payload)
    mode = "tcp-passive" if passive else "tcp-active"
    return VoiceOffer(description=offer, mode=mode, payload=payload)


def _offered(offer: SessionDescription) -> Iterator[Payload]:
    for encoding in SENDABLE:
        payload = offer.payload(encoding)
        if payload is not None:
            yield payload


def _withdraw(incoming: IncomingInvite) -> None:
    """Refuse an INVITE that came as its caller gave up; one that was answered stays."""
    try:
        incoming.reject(480)
    except SipError:
        logger.debug("the INVITE of %s had been answered", user_of(incoming))


async def _all(futures: set[asyncio.Future[Cause]]) -> None:
    if futures:
        await asyncio.wait(futures)
