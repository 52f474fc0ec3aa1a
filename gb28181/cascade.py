"""Cascade: the lower platform's role; registers above, and plays upward what is below."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from sip.errors import CallCancelled, SipError

from .addresses import require_address
from .device import Nameplate
from .dispatch import request_user_of, to_user_of, user_of
from .edition import Edition
from .errors import Gb28181Error, SessionLost
from .manscdp.alarm import AlarmResponse
from .manscdp.broadcast import BroadcastNotify
from .manscdp.catalog import CatalogItem, CatalogQuery
from .manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from .manscdp.device_status import DeviceStatusQuery, DeviceStatusResponse
from .media.answer import (
    HISTORY,
    LIVE,
    Declined,
    JudgedOffer,
    Subject,
    answer_to,
    judge_offer,
)
from .registration import RegistrationConfig, RegistrationState, StateChanged
from .sessions.streams import StreamKey, StreamKind
from .upper.answers import Answers
from .upper.archived import Archived
from .upper.downward import FORWARDED, Downward
from .upper.forwarding import Forwarding
from .upper.link import Link
from .upper.publisher import CatalogPublisher
from .upper.share import Share, subtree
from .upper.upward import Upward
from .upper.voice import DownwardVoice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from types import TracebackType
    from typing import Any

    from sip.endpoint import IncomingCall, IncomingInvite, IncomingRequest, IncomingSubscribe

    from .manscdp.schema import Message
    from .media.ends import Relaying, RelaySink
    from .media.session import MediaSession
    from .platform import Platform
    from .sessions.streams import StreamLease
    from .ssrc import Ssrc
    from .upper.archived import RecordingArchive

logger = logging.getLogger("gb28181.cascade")

T = TypeVar("T")

_STATUS = {
    "unknown-channel": 404,
    "offline": 480,
    "unreachable": 480,
    "no-answer": 408,
    "no-resources": 486,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upper:
    """The platform above, and how we register there."""

    id: str
    server: str
    """``udp://``, ``tcp://`` or ``tls://host:port``."""
    password: str = ""
    edition: Edition = Edition.GB2016
    domain: str | None = None
    """Its SIP domain; the first ten digits of its id when None."""
    expires: int = 3600
    keepalive_interval: float = 60.0
    keepalive_count: int = 3
    retry: float = 60.0
    retry_spread: float = 30.0
    refused_retry: float | None = 300.0
    """After 403 and 404: uppers reject until their operator has added us."""
    alarms_by_message: bool = False
    """Send alarms as MESSAGEs when it has not subscribed to them."""
    answer_within: float = 8.0
    """Seconds for the camera's answer: what an upper waits (10) less 2, for every hop."""


@dataclass(slots=True)
class UpperViewer:
    """One stream that goes up."""

    channel_id: str
    subject: Subject
    call: IncomingCall
    lease: StreamLease
    sink: RelaySink
    relay: Relaying


class Cascade:
    """One link to an upper platform: it sees our channels as if we were one large device.

    Media is passed on as it came, payload untouched, with an SSRC of our own; one camera stream
    serves any number of viewers above. Shares the platform's endpoint, so a connection to the
    upper carries requests both ways.
    """

    def __init__(
        self,
        platform: Platform,
        upper: Upper,
        share: Share | None = None,
        *,
        nameplate: Nameplate | None = None,
        archive: RecordingArchive | None = None,
    ) -> None:
        """Prepare the link; nothing is sent before it is entered.

        Args:
            platform: Whose channels are shared.
            upper: Where to register.
            share: Which channels, under which ids.
            nameplate: How we present ourselves in DeviceInfo and as the root of the tree.
            archive: Recordings of our own, which go up beside those of the cameras' disks.

        Raises:
            ConfigError: The upper's ``server`` is no address.
        """
        require_address(upper.server, f"upper platform {upper.id}")
        self.platform = platform
        self.upper = upper
        self.share = share or Share()
        self.nameplate = nameplate or Nameplate(name="gateway", model="gateway")
        self.viewers: list[UpperViewer] = []
        self.forwarding = Forwarding(
            platform.sessions, platform.station, self.share, name=upper.id, edition=upper.edition
        )
        self.archived: Archived | None = None
        if archive is not None:
            self.archived = Archived(
                archive,
                platform.station,
                own_id=platform.id,
                upper_id=upper.id,
                edition=upper.edition,
            )
        self.publisher = CatalogPublisher(platform.id, self._tree, edition=upper.edition)
        self._answers: Answers | None = None
        self._work: list[asyncio.Task[None]] = []
        self.link: Link | None = None
        self.downward: Downward | None = None
        self.voice: DownwardVoice | None = None
        self.upward: Upward | None = None
        self._states: list[asyncio.Queue[StateChanged]] = []

    # Life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to register above; the platform must be running."""
        self.platform.check()
        station = self.platform.station
        config = RegistrationConfig(
            device_id=self.platform.id,
            server_id=self.upper.id,
            domain=self.upper.domain or self.upper.id[:10],
            server=self.upper.server,
            password=self.upper.password,
            expires=self.upper.expires,
            keepalive_interval=self.upper.keepalive_interval,
            keepalive_count=self.upper.keepalive_count,
            retry=self.upper.retry,
            retry_spread=self.upper.retry_spread,
            refused_retry=self.upper.refused_retry,
            edition=self.upper.edition,
        )
        self.link = Link(config, station.endpoint, station.supervisor, on_state=self._link_state)
        self._answers = Answers(
            self.link,
            {
                CatalogQuery: self._catalog,
                DeviceInfoQuery: self._device_info,
                DeviceStatusQuery: self._device_status,
                AlarmResponse: self._alarm_answered,
                BroadcastNotify: self._call_down,
                **dict.fromkeys(FORWARDED, self._forward),
            },
            self._invite,
            self._subscribed,
        )
        self.voice = DownwardVoice(self.platform, self.share, self.link, self._answers.send)
        self.downward = Downward(
            self.platform,
            self.share,
            self._answers,
            edition=self.upper.edition,
            name=self.upper.id,
            own_records=self.archived.find if self.archived else None,
        )
        self.upward = Upward(
            self.platform,
            self.share,
            self.link,
            sessions=self.downward.sessions,
            alarms_by_message=self.upper.alarms_by_message,
        )
        spawn = station.supervisor.spawn
        self._work = [
            spawn(self.publisher.run(), name=f"publisher for {self.upper.id}"),
            spawn(self._look_for_changes(), name=f"changes for {self.upper.id}"),
            spawn(self.upward.run(), name=f"changes for {self.upper.id}"),
        ]
        station.dispatcher.attach(self, first=True)
        station.knows.append(self.link.is_from_server)
        self.link.start()

    async def stop(self) -> None:
        """End what goes up, unregister. Idempotent."""
        if self.link is None or not self.platform.station.supervisor.is_running:
            return
        for task in self._work:
            task.cancel()
        for viewer in tuple(self.viewers):
            await viewer.call.bye(reason="shutdown", timeout=2.0)
        await self.forwarding.end("shutdown", timeout=2.0)
        if self.voice is not None:
            self.voice.end("the link to the upper platform is closed")
        if self.archived is not None:
            await self.archived.end("shutdown", timeout=2.0)
        await self.link.stop()
        self.platform.station.dispatcher.detach(self)
        knows = self.platform.station.knows
        if self.link.is_from_server in knows:
            knows.remove(self.link.is_from_server)

    async def __aenter__(self) -> Cascade:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def is_registered(self) -> bool:
        """Whether the upper holds a registration of ours."""
        return self.link is not None and self.link.is_registered

    async def states(self) -> AsyncIterator[StateChanged]:
        """Every change of the link's state, the present one first. Has no end."""
        queue: asyncio.Queue[StateChanged] = asyncio.Queue(100)  # a reader this late is gone
        if self.link is not None:
            queue.put_nowait(StateChanged(state=self.link.state, reason=self.link.reason))
        self._states.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._states.remove(queue)

    async def preview(self) -> list[CatalogItem]:
        """The tree as the upper platform will see it."""
        return self._tree()

    # Requests of the upper ------------------------------------------------------------------

    def claims(self, incoming: IncomingRequest) -> bool:
        """Serve what comes from the upper: by address, and by its id or its port.

        The id in From alone is not believed: one peer may be upper and lower at once.
        """
        if incoming.method == "REGISTER" or self.link is None:
            return False
        if incoming.call is not None:
            is_live = any(viewer.call is incoming.call for viewer in self.viewers)
            return is_live or self._plays_own(incoming) or self.forwarding.has(incoming.call)
        if not self.link.is_from_server(incoming.flow):
            return False
        port = incoming.flow.remote[1]
        return user_of(incoming) == self.link.server_id or self.link.target.endswith(f":{port}")

    def handle(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        """Serve one request of the upper."""
        if self.archived is not None and self._plays_own(incoming):
            return self.archived.control(incoming)
        if incoming.method == "INFO":
            return self.forwarding.control(incoming)
        return self._require_answers().handle(incoming)

    def _plays_own(self, incoming: IncomingRequest) -> bool:
        return self.archived is not None and self.archived.has(incoming.call)

    async def _catalog(self, query: CatalogQuery) -> None:
        items = [replace(item, event=None) for item in subtree(self._tree(), query.device_id)]
        # One page that fails is sent once more; then the upper's own clock decides (07, 4).
        await self._require_answers().send_catalog(query, items, tries=2)

    async def _subscribed(self, incoming: IncomingSubscribe, query: Message) -> None:
        if not isinstance(query, CatalogQuery):
            assert self.upward is not None, "start the cascade first"
            await self.upward.take(incoming, query)
        elif not subtree(self._tree(), query.device_id):
            incoming.respond(404)
        elif not self.publisher.has_room:
            incoming.respond(503)
        else:
            await self.publisher.add(incoming.accept(), lambda tree: subtree(tree, query.device_id))

    async def _look_for_changes(self) -> None:
        async with self.platform.events() as events:
            async for _ in events:
                self.publisher.note_change()

    def _tree(self) -> list[CatalogItem]:
        plate, own_id = self.nameplate, self.platform.id
        own = CatalogItem(
            device_id=own_id,
            name=plate.name,
            manufacturer=plate.manufacturer,
            model=plate.model,
            owner="gb28181",
            civil_code=own_id[:6],
            address=plate.name,
            register_way=1,
            secrecy=0,
            status="ON",
        )
        below = (
            (device_id, item, self.platform.channel_online(item.device_id))
            for device_id, item in self.platform.channels()
            # Our own node from below, and what came from this upper, are not for it.
            if item.device_id != own_id and device_id != self.upper.id
        )
        return self.share.tree(own, below)

    async def _device_info(self, query: DeviceInfoQuery) -> None:
        item = self._own_item(query.device_id)
        plate = self.nameplate
        answer = DeviceInfoResponse(
            sn=query.sn,
            device_id=query.device_id,
            device_name=item.name if item else plate.name,
            result="OK",
            manufacturer=(item.manufacturer if item else None) or plate.manufacturer,
            model=(item.model if item else None) or plate.model,
            firmware=plate.firmware,
            channel=1 if item else len(self._tree()) - 1,
        )
        await self._require_answers().send(answer)

    async def _device_status(self, query: DeviceStatusQuery) -> None:
        is_us = query.device_id == self.platform.id
        known = is_us or self._own_item(query.device_id) is not None
        online = is_us or self.platform.channel_online(self.share.ids.own(query.device_id))
        answer = DeviceStatusResponse(
            sn=query.sn,
            device_id=query.device_id,
            result="OK" if known else "ERROR",
            online="ONLINE" if known and online else "OFFLINE",
            status="OK" if known else "ERROR",
        )
        await self._require_answers().send(answer)

    async def _forward(self, command: Message) -> None:
        assert self.downward is not None, "start the cascade first"
        await self.downward.take(command)

    async def _call_down(self, notify: BroadcastNotify) -> None:
        assert self.voice is not None, "start the cascade first"
        await self.voice.called(notify)

    async def _alarm_answered(self, answer: AlarmResponse) -> None:
        """The upper has taken an alarm that we sent as a MESSAGE."""
        logger.debug("%s: alarm of %s taken: %s", self.upper.id, answer.device_id, answer.result)

    def _own_item(self, published_id: str) -> CatalogItem | None:
        """The item that the upper means, if it is shared."""
        item = self.platform.channel_item(self.share.ids.own(published_id))
        return item if item is not None and self.share.publishes(item) else None

    def _require_answers(self) -> Answers:
        assert self._answers is not None, "start the cascade first"
        return self._answers

    # Video for the upper --------------------------------------------------------------------

    async def _invite(self, incoming: IncomingInvite) -> None:
        subject = Subject.parse(incoming.request.headers.get("Subject"))
        lease: StreamLease | None = None
        tape: MediaSession | None = None
        kept: JudgedOffer | None = None
        try:
            with _given_up_on_cancel(incoming):
                channel_id, item = self._asked_channel(incoming, subject)
                offer = judge_offer(incoming.request, sessions=LIVE | HISTORY)
                await self._replace(subject)
                is_online = self.platform.channel_online(channel_id)
                if offer.is_history and await self._is_own(channel_id, offer, is_online=is_online):
                    kept = offer
                elif not is_online:
                    raise Declined(480, f"{item.device_id} is offline")
                elif offer.is_history:
                    tape = await self._within(self.forwarding.pull(channel_id, offer), channel_id)
                else:
                    lease = await self._pull(channel_id, offer)
        except Declined as declined:
            logger.info("%s: INVITE declined: %s", self.upper.id, declined)
            incoming.reject(
                declined.status, headers=[("Warning", f'399 gb28181 "{_quotable(declined)}"')]
            )
            return
        if kept is not None and self.archived is not None:
            await self.archived.invite(incoming, item, channel_id, kept)
            return
        if tape is not None:
            await self.forwarding.serve(incoming, offer, subject, tape)
            return
        assert lease is not None
        try:
            await self._serve(incoming, channel_id, subject, offer, lease)
        finally:
            lease.release()

    async def _is_own(self, channel_id: str, offer: JudgedOffer, *, is_online: bool) -> bool:
        if self.archived is None:
            return False
        return await self.archived.serves(channel_id, offer, is_online=is_online)

    def _asked_channel(self, incoming: IncomingInvite, subject: Subject) -> tuple[str, CatalogItem]:
        """The channel that is meant: its own id, and its line as the upper knows it."""
        asked = (request_user_of(incoming), to_user_of(incoming), subject.sender_id)
        for published_id in asked:
            item = self._own_item(published_id)
            if item is not None:
                return self.share.ids.own(published_id), replace(item, device_id=published_id)
        raise Declined(404, f"{asked[0]} is not shared on this link")

    async def _replace(self, subject: Subject) -> None:
        """The same sender and receiver part again: the older session gives way (2022 K c)."""
        if subject.sender_serial and subject.receiver_id:
            for viewer in [one for one in self.viewers if one.subject == subject]:
                await viewer.call.bye(reason="replaced")
            await self.forwarding.replace(subject)

    async def _pull(self, channel_id: str, offer: JudgedOffer) -> StreamLease:
        kind = StreamKind.SUB if offer.stream_number > 0 else StreamKind.MAIN
        key = StreamKey(channel_id, kind)
        return await self._within(self.platform.streams.acquire(key), channel_id)

    async def _within(self, work: Coroutine[Any, Any, T], channel_id: str) -> T:
        """Wait for what a camera is asked for, as long as the upper waits for us."""
        try:
            async with asyncio.timeout(self.upper.answer_within):
                return await work
        except TimeoutError:
            raise Declined(408, f"{channel_id} did not answer in time") from None
        except SessionLost as error:
            raise Declined(_status_for(error), error.cause.sentence) from error

    async def _serve(
        self,
        incoming: IncomingInvite,
        channel_id: str,
        subject: Subject,
        offer: JudgedOffer,
        lease: StreamLease,
    ) -> None:
        station, ssrcs = self.platform.station, self.platform.sessions.ssrcs
        source = lease.session.receiver
        # Another domain's SSRC is chosen by us, the called one (2016 F, 2022 G note 16 b).
        ssrc: Ssrc | None = None
        try:
            ssrc = ssrcs.lease()
            sink = await station.plane.open_relay_sink(
                source, offer.mode, host="0.0.0.0", remote=offer.remote
            )
        except (Gb28181Error, OSError) as error:
            logger.warning("%s: no resources for %s: %s", self.upper.id, channel_id, error)
            if ssrc is not None:
                ssrcs.release(ssrc)
            incoming.reject(486)
            return
        try:
            answer = answer_to(
                offer,
                origin_id=self.share.ids.published(channel_id),
                host=station.host_towards(incoming.flow),
                port=sink.local[1],
                ssrc=ssrc,
            )
            call = await incoming.accept(body=answer.to_bytes())
            relay = station.plane.relay(source, sink, ssrc=ssrc, payload_type=offer.payload.number)
            await self._relay(UpperViewer(channel_id, subject, call, lease, sink, relay))
        except (CallCancelled, SipError) as error:
            logger.info("%s: session of %s not set up: %s", self.upper.id, channel_id, error)
        finally:
            sink.close()
            ssrcs.release(ssrc)

    async def _relay(self, viewer: UpperViewer) -> None:
        call, session = viewer.call, viewer.lease.session
        self.viewers.append(viewer)
        reason = "shutdown"
        try:
            viewer.sink.start()
            waiting: set[asyncio.Future[Any]] = {
                call.ended, session.ended, viewer.sink.closed, viewer.relay.closed,
            }  # fmt: skip
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if session.ended.done():
                reason = session.ended.result().sentence
            elif viewer.sink.closed.done():
                reason = str(viewer.sink.closed.exception() or "media connection closed")
            elif viewer.relay.closed.done():
                reason = str(viewer.relay.closed.exception() or "media ended")
        finally:
            self.viewers.remove(viewer)
            viewer.relay.close()
            if not call.is_ended:
                await call.bye(reason=reason)

    # The link -------------------------------------------------------------------------------

    def _link_state(self, change: StateChanged) -> None:
        for queue in self._states:
            if not queue.full():
                queue.put_nowait(change)
        spawn = self.platform.station.supervisor.spawn
        if change.state in (RegistrationState.BACKING_OFF, RegistrationState.REGISTERING):
            if self.downward is not None:
                spawn(
                    self.downward.let_go(),
                    name=f"stop for {self.upper.id}",
                    on_fault=lambda _: None,
                )
            # The upper is gone: stop media towards it (2022 K b).
            for viewer in tuple(self.viewers):
                spawn(
                    viewer.call.bye(reason="link to the upper platform lost", timeout=1.0),
                    name=f"bye {viewer.channel_id}",
                    on_fault=lambda _: None,
                )
            if self.voice is not None:
                self.voice.end("the link to the upper platform is lost")
            spawn(
                self.forwarding.end("link to the upper platform lost", timeout=1.0),
                name=f"end of recordings for {self.upper.id}",
                on_fault=lambda _: None,
            )


@contextmanager
def _given_up_on_cancel(incoming: IncomingInvite) -> Iterator[None]:
    """A CANCEL of the upper ends the waiting for the camera, whatever it waits for."""
    task = asyncio.current_task()
    assert task is not None

    def give_up(_: object) -> None:
        task.cancel()

    # One future, kept: the property gives another at each look.
    cancelled = incoming.cancelled
    cancelled.add_done_callback(give_up)
    try:
        yield
    finally:
        cancelled.remove_done_callback(give_up)


def _status_for(error: SessionLost) -> int:
    """What a failure below is called above (spec 07 section 5, 3)."""
    code = error.cause.code
    if code.startswith("rejected-"):
        status = int(code.removeprefix("rejected-"))
        return status if status in (404, 408, 480, 486, 488) else 500
    return _STATUS.get(code, 500)


def _quotable(error: Exception) -> str:
    return str(error).replace('"', "'").replace("\r", " ").replace("\n", " ")
