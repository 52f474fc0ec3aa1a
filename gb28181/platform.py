"""Platform: takes devices in, knows what they have, and plays their channels."""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from sip.auth import DigestServer, Ha1
from sip.overload import (
    DEFAULT_LIMITS,
    DEFAULT_STACK_LIMITS,
    OverloadLimits,
    StackLimits,
)

from .alarms import AlarmHandler, Alarms
from .arming import Arming
from .catalogs import Catalogs
from .channel import Channel
from .commands.commands import PROBE_TIMEOUT, Commands
from .deviations import Watch
from .dispatch import ALLOW, user_of
from .edition import Edition
from .errors import Cause, PlatformFailed
from .events import (
    Alarm,
    AlarmUnkept,
    DeviceOffline,
    DeviceOnline,
    EventReader,
    PlatformEvent,
)
from .identifiers import IdKind, kind_of
from .inbox import Inbox
from .quirks import Quirks, learnt
from .registrar import (
    Moved,
    Offline,
    OfflineCause,
    Refreshed,
    Registered,
    Registrar,
    RegistrarConfig,
    RegistrarEvent,
    Revived,
)
from .remote_device import RemoteDevice
from .sessions.sessions import Sessions
from .sessions.talk import Broadcast, Talks
from .station import DEFAULT_MEDIA_PORTS, Station
from .subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from sip.endpoint import IncomingRequest, Notification
    from sip.flow import Flow
    from sip.timers import Timers
    from sip.tls import TlsSettings
    from sip.trace import TraceRecord

    from .manscdp.catalog import CatalogItem
    from .media.plane import MediaPlane
    from .media.source import MediaSource
    from .sessions.streams import StreamTable
    from .station import RoleNetwork

logger = logging.getLogger("gb28181.platform")

Password = str | Ha1 | None
PasswordLookup = Callable[[str], Password | Awaitable[Password]]

BEIJING = timezone(timedelta(hours=8))
"""The standard's time, written without a zone (9.10.1)."""

_LONGEST_ID = 40
"""Characters of a refused name that are kept."""
_LAST_MINUTES = 120.0
"""Seconds before its end in which a registration is prolonged by a heartbeat, by quirk."""


class Platform:
    """The server for devices and for lower platforms.

    ``async with`` starts and stops it; the caller's block is not part of what it runs. Everything
    that can be told of a device comes out of ``events()``; alarms also go to ``on_alarm`` handlers,
    which are awaited before the device is told that its alarm was taken.
    """

    def __init__(
        self,
        platform_id: str,
        *,
        password_for: PasswordLookup,
        domain: str | None = None,
        listen: Sequence[str] = ("udp://:5060", "tcp://:5060"),
        media_ports: range = DEFAULT_MEDIA_PORTS,
        advertise: Mapping[str, str] | None = None,
        edition: Edition = Edition.GB2016,
        media_mode: str | Callable[[str], str] = "udp",
        shared_media_port: bool | Callable[[str], bool] = False,
        quirks_for: Callable[[str], Quirks] | None = None,
        registrar: RegistrarConfig | None = None,
        answer_timeout: float = 15.0,
        media_timeout: float = 10.0,
        silence: float = 30.0,
        gather_tick: float = 0.005,
        linger: float = 5.0,
        downloads_at_once: int = 2,
        asks_catalog: bool = True,
        catalog_interval: float = 3600.0,
        subscribes_to: Callable[[str], bool] | None = None,
        redirect_to: Callable[[str], str | None] | None = None,
        network: RoleNetwork | None = None,
        plane: MediaPlane | None = None,
        timers: Timers | None = None,
        tls: TlsSettings | None = None,
        limits: StackLimits = DEFAULT_STACK_LIMITS,
        overload: OverloadLimits = DEFAULT_LIMITS,
        tap: Callable[[TraceRecord], None] | None = None,
    ) -> None:
        """Take the settings: no socket, no task, no loop yet.

        Args:
            platform_id: Our 20-digit id.
            password_for: Gives the password or HA1 of a device id, or None to refuse it; sync or
                async.
            domain: The SIP domain; the first ten digits of the id when None.
            listen: SIP addresses.
            media_ports: The pool of media ports.
            advertise: Our host by the peer's network.
            edition: What a device is taken to speak that does not say.
            media_mode: How devices send: ``udp``, ``tcp-passive`` (we listen), ``tcp-active`` (we
                connect); or a callable that decides by device id.
            shared_media_port: Whether devices send to one port for all streams of a mode, told
                apart by SSRC; or a callable that decides by device id.
            quirks_for: The habits of a device by its id.
            registrar: Registration and heartbeat times.
            answer_timeout: Seconds for the final answer to an INVITE.
            media_timeout: Seconds from ACK to the first packet.
            silence: Seconds without media after which a session ends.
            gather_tick: Seconds that media packets are gathered before they are read; 0 reads each
                at once, at up to twice the cost.
            linger: Seconds from the last reader to BYE.
            downloads_at_once: Of one device; more wait for their turn.
            asks_catalog: Whether the catalogue is asked for when a device comes online, and again.
            catalog_interval: Seconds after which it is asked for again.
            subscribes_to: To whose catalogue we subscribe, by device id; to platforms' when None.
            redirect_to: Sends a device that has proved who it is to another platform: gives its
                Contact, ``<sip:id@host:port>``, by device id; None keeps it (2022, 9.1.2.3).
            network: Where sockets are opened; the operating system's when None.
            plane: Where media is handled; this process when None.
            timers: SIP timers.
            tls: Certificates for ``tls://`` addresses.
            limits: Sizes of one SIP message, and how much is kept at once.
            overload: Numbers of the protection against too much.
            tap: Sees every SIP message, credentials blanked.
        """
        self.id = platform_id
        self.domain = domain or platform_id[:10]
        self.edition = edition
        self.devices: dict[str, RemoteDevice] = {}
        self.refused: dict[str, int] = {}
        self.station = Station(
            f"platform {platform_id}",
            user=platform_id,
            listen=listen,
            failure=PlatformFailed,
            media_ports=media_ports,
            advertise=advertise,
            network=network,
            plane=plane,
            timers=timers,
            tap=tap,
            tls=tls,
            limits=limits,
            overload=overload,
            silence=silence,
            gather_tick=gather_tick,
        )
        self.registrar = Registrar(
            registrar or RegistrarConfig(server_id=platform_id),
            DigestServer(self.domain, secrets.token_bytes(32)),
        )
        self.station.knows.append(lambda flow: bool(self.registrar.devices_at(flow)))
        self.commands = Commands(self)
        self.subscriptions = Subscriptions(self)
        self.arming = Arming(self)
        self.alarms = Alarms(self.commands, on_kept=self.arming.kept, on_unkept=self._alarm_unkept)
        self.catalogs = Catalogs(self, interval=catalog_interval)
        self.inbox = Inbox(self)
        self.sessions = Sessions(
            self,
            mode=media_mode,
            shared_port=shared_media_port,
            answer_timeout=answer_timeout,
            media_timeout=media_timeout,
            linger=linger,
            downloads_at_once=downloads_at_once,
        )
        self.talks = Talks(self)
        self.watch = Watch(self.devices, self.registrar.devices_at, self._now)
        self._password_for = password_for
        self._quirks_for = quirks_for or (lambda device_id: Quirks())
        self._asks_catalog = asks_catalog
        self._subscribes_to = subscribes_to or _is_platform
        self._redirect_to = redirect_to
        self._doubted: set[str] = set()
        self._readers: list[EventReader] = []
        self._wake = asyncio.Event()

    # Life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the sockets and begin to serve.

        Raises:
            OSError: An address is in use or not ours.
        """
        await self.station.start()
        self.station.dispatcher.attach(self)
        self.station.endpoint.on_flow_lost(self._flow_lost)
        self.station.endpoint.stack.on_malformed = self.watch.malformed
        self.station.supervisor.spawn(self._timers(), name=f"{self.station.name} timers")
        self.station.supervisor.spawn(self.commands.run(), name=f"{self.station.name} commands")
        if self._asks_catalog:
            name = f"{self.station.name} catalogues"
            self.station.supervisor.spawn(self.catalogs.run(), name=name)

    async def stop(self) -> None:
        """End every session with BYE and close everything. Idempotent."""
        await self.station.stop()
        for reader in tuple(self._readers):
            reader.close()

    async def __aenter__(self) -> Platform:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def check(self) -> None:
        """Raise PlatformFailed when it is not running."""
        self.station.supervisor.check()

    def health(self) -> dict[str, int]:
        """A few numbers of a platform that lives.

        Raises:
            PlatformFailed: It has died (the cause is chained), or was never started.
        """
        self.check()
        online = sum(device.is_online for device in self.devices.values())
        return {
            "devices": len(self.devices),
            "online": online,
            "alarms_unkept": self.alarms.unkept_count,
            **self.open_things(),
        }

    async def wait_closed(self) -> BaseException | None:
        """Wait until it has ended; return what it died of, or None after a normal stop."""
        return await self.station.supervisor.wait_closed()

    def open_things(self) -> dict[str, int]:
        """What is open now, for the leak check."""
        return {
            **self.station.open_things(),
            **self.sessions.open_things(),
            "voices": len(self.talks),
            "commands": self.commands.pending,
        }

    @property
    def unknown_commands(self) -> int:
        """How many commands and answers came that nobody knows or asked for."""
        counters = self.inbox.counters
        return counters["unknown-command"] + counters["unasked-answer"]

    @property
    def streams(self) -> StreamTable:
        """The live streams that run, shared by their viewers."""
        return self.sessions.streams

    def try_another_way(self, channel_id: str, cause: Cause) -> bool:
        """Whether a session without media is worth another try; see ``Sessions``."""
        return self.sessions.try_another_way(channel_id, cause)

    # What a user asks -----------------------------------------------------------------------

    def device(self, device_id: str) -> RemoteDevice:
        """The device of that id, known or not; it may register later."""
        device = self.devices.get(device_id)
        if device is None:
            device = self.devices[device_id] = RemoteDevice(
                device_id, self, self._quirks_for(device_id)
            )
        return device

    def channel(self, channel_id: str) -> Channel:
        """A handle on a camera; valid while its device is away, and after it moved."""
        return Channel(channel_id, self)

    def broadcast(self, channel_ids: Sequence[str], source: MediaSource) -> Broadcast:
        """One voice to the loudspeakers of several cameras: ``async with`` (9.12).

        Args:
            channel_ids: Cameras, devices, or voice outputs (type 137).
            source: Whose G.711 sound is sent; ``gb28181.media.source.voice_clip`` of a file.

        Raises:
            ValueError: The source has no G.711 sound.
        """
        return Broadcast(self, channel_ids, source)

    def channels(self) -> list[tuple[str, CatalogItem]]:
        """All channels of all devices, each with the id of its device."""
        return [(device.id, item) for device in self.devices.values() for item in device.channels]

    def events(self, *, snapshot: bool = False) -> EventReader:
        """Open a reader of events; with ``snapshot`` it first tells who is online now."""
        reader = EventReader(self._readers.remove)
        self._readers.append(reader)
        if snapshot:
            for device in self.devices.values():
                if device.is_online:
                    reader.put(DeviceOnline(device=device))
        return reader

    def on_alarm(self, handler: AlarmHandler) -> AlarmHandler:
        """Register an async handler that every alarm is given to; usable as a decorator.

        ``Response/Alarm`` goes out when all handlers have returned: after an alarm a device stays
        silent until it is reset, so an alarm that nobody kept must not be acknowledged.
        """
        self.alarms.handlers.append(handler)
        return handler

    def owner_of(self, channel_id: str) -> RemoteDevice | None:
        """The device that lists a channel, or the device of that very id."""
        owner = self.catalogs.owners.get(channel_id, channel_id)
        return self.devices.get(owner)

    def channel_item(self, channel_id: str) -> CatalogItem | None:
        """The catalogue's line for a channel."""
        owner = self.owner_of(channel_id)
        return owner.tree.item(channel_id) if owner else None

    def channel_online(self, channel_id: str) -> bool:
        """Whether a channel's device is here and lists it as ON."""
        owner = self.owner_of(channel_id)
        if owner is None or not owner.is_online:
            return False
        item = owner.tree.item(channel_id)
        return item is None or item.status != "OFF"

    # Requests -------------------------------------------------------------------------------

    def claims(self, incoming: IncomingRequest) -> bool:
        """The platform is the role that serves whatever no other role claims."""
        return True

    def handle(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        """Serve one request."""
        match incoming.method:
            case "REGISTER":
                return self._register(incoming)
            case "MESSAGE" | "NOTIFY":
                return self.inbox.take(incoming)
            case "OPTIONS":
                self.watch.saw(user_of(incoming), ["OPTIONS probes"])
                incoming.respond(200, headers=[("Allow", ALLOW)])
            case "INVITE":
                self.talks.handle(incoming)
            case "SUBSCRIBE" | "INFO":
                incoming.respond(403)
            case _:
                incoming.respond(405, headers=[("Allow", ALLOW)])
        return None

    async def _register(self, incoming: IncomingRequest) -> None:
        request, flow = incoming.request, incoming.flow
        device_id = self.registrar.identify(request)
        password = self._password_for(device_id)
        if inspect.isawaitable(password):
            password = await password
        date = None
        if self._quirks_for(device_id).date_header:
            date = datetime.now(BEIJING).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        elsewhere = self._redirect_to(device_id) if self._redirect_to else None
        result = self.registrar.register(
            request, flow, password, self._now(), date=date, redirect=elsewhere
        )
        incoming.respond(result.status, result.reason, headers=result.headers)
        if result.refusal:
            device_id = device_id[:_LONGEST_ID]
            self.refused[device_id] = self.refused.get(device_id, 0) + 1
            if len(self.refused) > 10_000:
                self.refused.pop(next(iter(self.refused)))
            if self.refused[device_id] == 1:
                logger.warning("%s from %s:%d refused: %s", device_id, *flow.remote, result.refusal)
        if result.event is not None:
            self.refused.pop(device_id, None)
            self._apply(result.event)
        self.watch.register(device_id, request, flow)
        self._wake.set()

    def heard(self, sender_id: str, flow: Flow, *, is_large: bool = False) -> int:
        """Note a sign of life; return the status that its sender deserves, 200 or 403."""
        known = self.devices.get(sender_id)
        follow = known is not None and known.quirks.follows_address
        result = self.registrar.touch(
            sender_id, flow, self._now(), follow=follow, is_large=is_large
        )
        if result.event is not None:
            self._apply(result.event)
            self._wake.set()
        return result.status

    def heartbeat(self, device: RemoteDevice) -> None:
        """Take a heartbeat."""
        binding, now = device.binding, self._now()
        if binding is not None:
            self.watch.heartbeat(device.id, binding.keepalive_interval)
            if device.quirks.outlives_expiry and binding.expires_at - now < _LAST_MINUTES:
                self.watch.saw(device.id, ["never registers again"])
                self.registrar.restore([replace(binding, expires_at=now + binding.expires)], now)

    def take_notification(self, device: RemoteDevice, notification: Notification) -> None:
        """Take a NOTIFY of a subscription of ours."""
        self.inbox.take_notification(device, notification)

    # Devices come and go --------------------------------------------------------------------

    def _apply(self, event: RegistrarEvent) -> None:
        match event:
            case Registered():
                device = self.device(event.binding.device_id)
                self._doubted.discard(device.id)
                if event.previous is not None and event.previous.online:
                    moved = Cause(
                        code="registered-elsewhere",
                        sentence=f"{device.id} registered again from another address",
                    )
                    self._end_sessions(device, moved)
                self._came(device)
            case Revived() if event.binding.device_id in self._doubted:
                self._doubted.discard(event.binding.device_id)
            case Revived():
                self._came(self.device(event.binding.device_id))
            case Offline():
                if event.cause is OfflineCause.SILENT:
                    self.watch.silence(event.binding.device_id)
                    if self.device(event.binding.device_id).quirks.asks_the_silent:
                        self._doubt(event)
                        return
                self._doubted.discard(event.binding.device_id)
                self._went(event)
            case Refreshed() | Moved():
                if isinstance(event, Moved):
                    binding = event.binding
                    self.watch.move(binding.device_id, event.previous.flow, binding.flow)
                self.subscriptions.move(self.device(event.binding.device_id))
                self.sessions.move(self.device(event.binding.device_id))
                logger.debug("%s: %s", event.binding.device_id, type(event).__name__)

    def _came(self, device: RemoteDevice) -> None:
        binding = device.binding
        assert binding is not None
        logger.info("%s is online at %s:%d (%s)", device.id, *binding.flow.remote,
                    binding.flow.transport)  # fmt: skip
        device.quirks = learnt(device.quirks, binding.user_agent)
        self.publish(DeviceOnline(device=device))
        self.subscriptions.begin(device, catalog=self._subscribes_to(device.id))
        self.arming.came(device)
        if self.alarms.waits_for(device.id):
            self.station.supervisor.spawn(
                self.alarms.came(device.id), name=f"answers to {device.id}", on_fault=lambda _: None
            )
        if self._asks_catalog:
            self.station.supervisor.spawn(
                self.catalogs.ask(device), name=f"catalogue {device.id}", on_fault=lambda _: None
            )

    def _doubt(self, event: Offline) -> None:
        """Ask a silent device once whether it is there: some send no heartbeats, and do answer."""
        device_id, flow = event.binding.device_id, event.binding.flow
        self._doubted.add(device_id)

        async def ask() -> None:
            # Short against what it had already: 9.6 knows of no second chance.
            within = min(PROBE_TIMEOUT, event.binding.keepalive_interval / 4)
            is_alive = await self.commands.is_alive(device_id, flow, within=within)
            if is_alive and device_id in self._doubted:
                self.heard(device_id, flow)
            if device_id in self._doubted:
                self._doubted.discard(device_id)
                self._went(event)

        name = f"is {device_id} there"
        self.station.supervisor.spawn(ask(), name=name, on_fault=lambda _: None)

    def _went(self, event: Offline) -> None:
        device = self.device(event.binding.device_id)
        cause = Cause(
            code=event.cause.name.lower().replace("_", "-"),
            sentence=event.sentence,
            evidence={"address": "{}:{}".format(*event.binding.flow.remote)},
        )
        logger.warning("%s is offline: %s", device.id, cause.sentence)
        self.commands.peer_lost(device.id)
        self.subscriptions.end(device)
        self._end_sessions(device, cause)
        self.publish(DeviceOffline(device=device, cause=cause))

    def _end_sessions(self, device: RemoteDevice, cause: Cause) -> None:
        self.talks.end_of_device(device, cause)
        self.station.supervisor.spawn(
            self.sessions.end_of_device(device, cause),
            name=f"end sessions of {device.id}",
            on_fault=lambda _: None,
        )

    def _flow_lost(self, flow: Flow) -> None:
        self.registrar.flow_lost(flow, self._now())
        self._wake.set()

    async def _timers(self) -> None:
        while True:
            for event in self.registrar.poll(self._now()):
                self._apply(event)
            self._wake.clear()
            try:
                async with asyncio.timeout_at(self.registrar.next_timeout()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _alarm_unkept(self, alarm: Alarm, reason: str) -> None:
        self.publish(AlarmUnkept(device=alarm.device, notify=alarm.notify, reason=reason))

    def publish(self, event: PlatformEvent) -> None:
        """Give an event to every reader."""
        for reader in tuple(self._readers):
            reader.put(event)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _is_platform(device_id: str) -> bool:
    """A platform's tree changes by itself; a camera's or recorder's is asked for."""
    return kind_of(device_id) is IdKind.SYSTEM
