"""Device: the camera's or recorder's side; the simulator, and what a camera vendor would embed."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .addresses import require_address
from .edition import Edition
from .equipment.alarms import AlarmFate, Alarms
from .equipment.configuring import Configuring, Effects
from .equipment.controls import Controls, Hooks
from .equipment.firmware import Firmware
from .equipment.inventory import Inventory
from .equipment.loudspeaker import Loudspeaker, LoudspeakerSettings
from .equipment.queries import Queries
from .equipment.settings import EquipmentSettings
from .equipment.snapshots import Snapshots
from .equipment.subscribers import Subscribers
from .equipment.web import Web
from .errors import RoleFailed
from .manscdp.alarm import AlarmResponse
from .manscdp.broadcast import BroadcastNotify
from .manscdp.catalog import CatalogQuery
from .manscdp.config import BasicParam
from .manscdp.control import DeviceControl
from .manscdp.device_config import ConfigDownloadQuery, DeviceConfig
from .manscdp.device_info import DeviceInfoQuery
from .manscdp.device_status import DeviceStatusQuery
from .manscdp.position import MobilePositionQuery
from .manscdp.preset import PresetQuery
from .manscdp.ptz_state import (
    CruiseTrackListQuery,
    CruiseTrackQuery,
    HomePositionQuery,
    PtzPositionQuery,
)
from .manscdp.record import RecordInfoQuery
from .manscdp.storage import SdCardStatusQuery
from .registration import RegistrationConfig, RegistrationState
from .sessions.serving import DeviceChannel, Outgoing, Serving
from .station import DEFAULT_MEDIA_PORTS, Station
from .upper.answers import Answers
from .upper.link import Link
from .upper.publisher import CatalogPublisher
from .wire.network import HabitualNetwork

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from types import TracebackType

    from sip.endpoint import IncomingRequest
    from sip.timers import Timers
    from sip.tls import TlsSettings
    from sip.trace import TraceRecord

    from .equipment.inventory import Unit
    from .habits import Habits
    from .manscdp.control import DeviceUpgrade
    from .media.plane import MediaPlane
    from .registration import StateChanged
    from .station import RoleNetwork
    from .supervisor import Supervisor

logger = logging.getLogger("gb28181.device")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nameplate:
    """What a device says of itself."""

    name: str = "Camera"
    manufacturer: str = "gb28181"
    model: str = "simulator"
    firmware: str = "0.1.0"


class DeviceFailed(RoleFailed):
    """The device's endpoint has died."""


class Device:
    """A camera, or a recorder with several, that registers at a platform and serves it.

    Answers every command of its edition out of its own state, and an INVITE with real encoded
    media, over UDP and over TCP in both roles. ``inventory`` is that state; ``SERVED`` says which
    method serves which command.
    """

    def __init__(
        self,
        device_id: str,
        *,
        server: str,
        server_id: str,
        password: str = "",
        domain: str | None = None,
        channels: Sequence[DeviceChannel] = (),
        nameplate: Nameplate | None = None,
        edition: Edition = Edition.GB2016,
        expires: int = 3600,
        keepalive_interval: float = 60.0,
        keepalive_count: int = 3,
        retry: float = 60.0,
        retry_spread: float = 30.0,
        listen: Sequence[str] | None = None,
        media_ports: range = DEFAULT_MEDIA_PORTS,
        advertise: Mapping[str, str] | None = None,
        max_sessions: int = 16,
        equipment: EquipmentSettings | None = None,
        loudspeaker: LoudspeakerSettings | None = None,
        loss: float = 0.0,
        seed: int = 0,
        habits: Habits | None = None,
        network: RoleNetwork | None = None,
        plane: MediaPlane | None = None,
        timers: Timers | None = None,
        tls: TlsSettings | None = None,
        tap: Callable[[TraceRecord], None] | None = None,
    ) -> None:
        """Take the settings; nothing is opened yet.

        Args:
            device_id: Our 20-digit id.
            server: The platform's address, ``udp://``, ``tcp://`` or ``tls://host:port``.
            server_id: The platform's id.
            password: For the digest.
            domain: The SIP domain; the first ten digits of the platform's id when None.
            channels: What the catalogue lists and an INVITE plays.
            nameplate: Name, manufacturer, model and firmware.
            edition: Which edition of the standard we speak.
            expires: Seconds of registration to ask for.
            keepalive_interval: Seconds between heartbeats.
            keepalive_count: Unanswered heartbeats after which the platform counts as offline.
            retry: Seconds to wait after a failed registration.
            retry_spread: Up to this many seconds more, at random.
            listen: SIP addresses; a free UDP port when None.
            media_ports: The pool of media ports.
            advertise: Our host by the peer's network.
            max_sessions: Viewers at a time; one more gets 486.
            equipment: What it is made of: heads, cards, alarm inputs, a vehicle.
            loudspeaker: How it asks for the platform's voice.
            loss: A fault: the share of RTP packets over UDP that are not sent.
            seed: Makes the fault repeatable.
            habits: What it does otherwise than the standard; nothing when None.
            network: Where sockets are opened; the operating system's when None.
            plane: Where media is handled; this process when None.
            timers: SIP timers.
            tls: Certificates for ``tls://`` addresses.
            tap: Sees every SIP message, credentials blanked.

        Raises:
            ConfigError: ``server`` is no address.
        """
        require_address(server, "server")
        self._habitual: HabitualNetwork | None = None
        if habits is not None and habits.names:
            network = self._habitual = HabitualNetwork(network, habits, seed=seed)
        self.id = device_id
        self.nameplate = nameplate or Nameplate()
        self.edition = edition
        self.inventory = Inventory(
            device_id,
            [(channel.item, channel.recordings) for channel in channels],
            settings=equipment or EquipmentSettings(),
            edition=edition,
            basic=BasicParam(
                name=self.nameplate.name,
                expiration=expires,
                heartbeat_interval=int(keepalive_interval),
                heartbeat_count=keepalive_count,
            ),
        )
        self.queries = Queries(self.inventory)
        units = self.inventory.units
        self.channels = {
            one.item.device_id: replace(one, recordings=units[one.item.device_id].recorder)
            for one in channels
        }
        self._answers: Answers | None = None
        default_listen = ("udp://0.0.0.0:0",) if server.startswith("udp:") else ()
        self.station = Station(
            f"device {device_id}",
            user=device_id,
            listen=default_listen if listen is None else listen,
            failure=DeviceFailed,
            media_ports=media_ports,
            advertise=advertise,
            network=network,
            plane=plane,
            timers=timers,
            tap=tap,
            tls=tls,
            user_agent=f"{self.nameplate.manufacturer}/{self.nameplate.firmware}",
        )
        self._config = RegistrationConfig(
            device_id=device_id,
            server_id=server_id,
            domain=domain or server_id[:10],
            server=server,
            password=password,
            expires=expires,
            keepalive_interval=keepalive_interval * (habits.keepalive_stretch if habits else 1.0),
            keepalive_count=keepalive_count,
            retry=retry,
            retry_spread=retry_spread,
            edition=edition,
        )
        self.serving = Serving(
            device_id,
            server_id=server_id,
            station=self.station,
            channels=self.channels,
            max_sessions=max_sessions,
            edition=edition,
            loss=loss,
            seed=seed,
        )
        settings = self.inventory.settings
        web = Web(settings.web, timeout=settings.transfer_time)
        self.publisher = CatalogPublisher(
            device_id,
            lambda: [unit.item for unit in self.inventory.units.values()],
            edition=edition,
        )
        self.subscribers = Subscribers(
            self.inventory, self.queries, self.publisher, self.station.supervisor
        )
        self.alarms = Alarms(
            self.inventory,
            send=lambda notice: self.answers.send(notice),
            notify=self.subscribers.notify_alarm,
        )
        self.firmware = Firmware(
            self.nameplate.firmware, self.nameplate.manufacturer, web, limit=settings.max_firmware
        )
        self.snapshots = Snapshots(
            web, clock=self.inventory.wall, tell=lambda notice: self.answers.send(notice)
        )
        self.controls = Controls(
            self.inventory,
            Hooks(
                force_key=self.serving.force_key,
                restart=lambda: self._spawn(self.restart(), "restart"),
                upgrade=self._upgrade,
            ),
        )
        self.configuring = Configuring(
            self.inventory,
            self.snapshots,
            Effects(
                rename=lambda channel_id, name: self.change_channel(channel_id, name=name),
                register_by=self._register_by,
                take_pictures=self._take_pictures,
            ),
        )
        self._is_booting = False
        self._loudspeaker = loudspeaker
        self.loudspeaker: Loudspeaker | None = None
        self.link: Link | None = None

    async def start(self) -> None:
        """Open the sockets and begin to register.

        Raises:
            OSError: An address is in use.
        """
        await self.station.start()
        self.station.dispatcher.attach(self)
        self.link = Link(
            self._config,
            self.station.endpoint,
            self.station.supervisor,
            on_state=self._link_state,
        )
        self.station.knows[:] = [self.link.is_from_server]
        self.loudspeaker = Loudspeaker(
            self.id,
            station=self.station,
            link=self.link,
            send=lambda answer: self.answers.send(answer),
            knows=lambda asked: asked == self.id or asked in self.channels,
            settings=self._loudspeaker,
        )
        self._answers = Answers(
            self.link,
            _Served(self),
            self.serving.invite,
            self.subscribers.take,
        )
        self.link.start()
        for alarm in self.inventory.settings.schedule:
            self._spawn(self.alarms.give(alarm, lambda: self.is_registered), "alarms")

    async def stop(self) -> None:
        """End the sessions, unregister, close everything. Idempotent."""
        await self.station.stop(self._goodbye)
        if self._habitual is not None:
            self._habitual.close()

    async def __aenter__(self) -> Device:
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
        """Whether the platform holds a registration of ours."""
        return self.link is not None and self.link.is_registered

    async def registered(self) -> None:
        """Wait until the registration stands."""
        assert self.link is not None, "start the device first"
        await self.link.registered()

    @property
    def sessions(self) -> list[Outgoing]:
        """What it sends now."""
        return self.serving.sessions

    @property
    def supervisor(self) -> Supervisor:
        """Hosts the device's tasks."""
        return self.station.supervisor

    async def wait_closed(self) -> BaseException | None:
        """Wait until the device has ended; return what it died of."""
        return await self.station.supervisor.wait_closed()

    def open_things(self) -> dict[str, int]:
        """What is open now, for the leak check."""
        return {**self.station.open_things(), "sessions": len(self.sessions)}

    # What can happen to it ------------------------------------------------------------------

    async def raise_alarm(
        self,
        source_id: str | None = None,
        *,
        method: str = "2",
        alarm_type: str | None = None,
        priority: str = "1",
        description: str = "",
        event_type: str | None = None,
    ) -> AlarmFate:
        """Give an alarm; return what became of it.

        Args:
            source_id: An alarm input, a channel, or the device; the first alarm input when None.
            method: 1 phone, 2 device, 3 SMS, 4 GPS, 5 video, 6 device fault, 7 other. After 2 the
                source is silent for alarms of this method until it is reset.
            alarm_type: What happened; its numbers depend on the method.
            priority: ``1`` the most urgent to ``4``.
            description: In words.
            event_type: Of an intrusion: 1 entered the area, 2 left it.

        Raises:
            KeyError: There is no such source.
        """
        inputs = self.inventory.guard.inputs
        return await self.alarms.raise_alarm(
            source_id or (inputs[0] if inputs else self.id),
            method=method,
            alarm_type=alarm_type,
            priority=priority,
            description=description,
            event_type=event_type,
        )

    async def ask_to_be_watched(self, channel_id: str) -> bool:
        """Tell the platform that there is something to see; False when it did not take it.

        Source: GB/T 28181-2022 A.2.5, VideoUploadNotify.
        """
        return await self.answers.send(self.queries.video_upload(channel_id, self._now()))

    def change_channel(self, channel_id: str, **changes: Any) -> None:
        """Change a channel's line in the catalogue, its ``status`` perhaps, and tell subscribers.

        Raises:
            KeyError: There is no such channel.
        """
        unit = self.inventory.units[channel_id]
        unit.item = replace(unit.item, **changes)
        self.channels[channel_id] = replace(self.channels[channel_id], item=unit.item)
        self.publisher.note_change()

    async def restart(self) -> None:
        """Leave the platform, lose what is not on a disk, boot, and register again."""
        link = self.link
        if self._is_booting or link is None:
            return
        self._is_booting = True
        try:
            await self._end_all("restart")
            await link.stop()
            await link.stopped()
            self.inventory.restart(self._now())
            await asyncio.sleep(self.inventory.settings.boot_time)
        finally:
            self._is_booting = False
        link.start()

    # Requests -------------------------------------------------------------------------------

    def claims(self, incoming: IncomingRequest) -> bool:
        """Serve whatever comes from our platform's address; nobody else is answered."""
        assert self.link is not None
        return incoming.call is not None or self.link.is_from_server(incoming.flow)

    def handle(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        """Serve one request; while it boots, none."""
        if self._is_booting and incoming.call is None:
            incoming.respond(503)
            return None
        if incoming.method == "INFO" or (incoming.call is not None and incoming.method == "INVITE"):
            return self.serving.in_dialog(incoming)
        return self.answers.handle(incoming)

    @property
    def answers(self) -> Answers:
        """Takes the platform's requests; it exists while the device runs."""
        if self._answers is None:
            self.station.supervisor.check()
        assert self._answers is not None
        return self._answers

    async def _alarm_answered(self, answer: AlarmResponse) -> None:
        self.alarms.answered(answer)

    async def _broadcast(self, notice: BroadcastNotify) -> None:
        assert self.loudspeaker is not None
        await self.loudspeaker.called(notice)

    async def _catalog(self, query: CatalogQuery) -> None:
        await self.answers.send_pages(*self.queries.catalog(query))

    async def _config_download(self, query: ConfigDownloadQuery) -> None:
        for answer in self.queries.config_download(query):
            await self.answers.send(answer)

    async def _configure(self, config: DeviceConfig) -> None:
        fault = self.configuring.set(config)
        await self.answers.send(self.queries.config_result(config, fault))
        if not fault:
            self.configuring.take_effect(config)

    async def _control(self, command: DeviceControl) -> None:
        answer = self.controls.serve(command, self._now())
        if answer is not None:
            await self.answers.send(answer)

    async def _cruise_track(self, query: CruiseTrackQuery) -> None:
        await self.answers.send(self.queries.cruise_track(query))

    async def _cruise_tracks(self, query: CruiseTrackListQuery) -> None:
        await self.answers.send(self.queries.cruise_tracks(query))

    async def _device_info(self, query: DeviceInfoQuery) -> None:
        answer = self.queries.device_info(query, self.nameplate, self.firmware.version)
        await self.answers.send(answer)

    async def _device_status(self, query: DeviceStatusQuery) -> None:
        await self.answers.send(self.queries.device_status(query))

    async def _home_position(self, query: HomePositionQuery) -> None:
        await self.answers.send(self.queries.home_position(query))

    async def _mobile_position(self, query: MobilePositionQuery) -> None:
        # No edition has an answer to it: the position follows as a notice, as devices do.
        if self.inventory.knows(query.device_id):
            notice = self.queries.mobile_position(query.device_id, query.sn, self._now())
            await self.answers.send(notice)

    async def _presets(self, query: PresetQuery) -> None:
        await self.answers.send(self.queries.presets(query))

    async def _ptz_position(self, query: PtzPositionQuery) -> None:
        await self.answers.send(self.queries.ptz_position(query, self._now()))

    async def _records(self, query: RecordInfoQuery) -> None:
        await self.answers.send_pages(*self.queries.records(query))

    async def _sd_cards(self, query: SdCardStatusQuery) -> None:
        await self.answers.send(self.queries.cards(query, self._now()))

    # Within ---------------------------------------------------------------------------------

    def _register_by(self, basic: BasicParam) -> None:
        """Take other times into force with the next registration, which is now."""
        before = self._config
        self._config = replace(
            before,
            expires=basic.expiration or before.expires,
            keepalive_interval=float(basic.heartbeat_interval or before.keepalive_interval),
            keepalive_count=basic.heartbeat_count or before.keepalive_count,
        )
        if self.link is not None and self._config != before:
            self.link.reconfigure(self._config)

    def _take_pictures(self, unit: Unit) -> None:
        order = unit.configuration.blocks.snapshot_config
        source = self.channels[unit.id].source()
        sn = self.inventory.next_sn()
        self._spawn(self.snapshots.take(unit.id, source, order, sn=sn), "snapshots")

    def _upgrade(self, order: DeviceUpgrade) -> str:
        fault = self.firmware.fault(order)
        if not fault:
            work = self.firmware.upgrade(
                order,
                self.id,
                sn=self.inventory.next_sn(),
                restart=self._restart_registered,
                tell=self.answers.send,
            )
            self._spawn(work, "upgrade")
        return fault

    async def _restart_registered(self) -> None:
        await self.restart()
        await self.registered()

    async def _end_all(self, reason: str) -> None:
        await self.serving.end(reason, timeout=2.0)
        if self.loudspeaker is not None:
            await self.loudspeaker.end(reason, timeout=2.0)
        await self.subscribers.drop("deactivated")

    def _spawn(self, work: Coroutine[Any, Any, None], what: str) -> None:
        self.station.supervisor.spawn(work, name=f"{what} of {self.id}", on_fault=lambda _: None)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _link_state(self, change: StateChanged) -> None:
        if change.state is RegistrationState.REGISTERED and self.link is not None:
            self.inventory.set_time(self.link.registration.server_date or "")
        # A platform that is gone takes its sessions with it (2022 K b).
        if change.state in (RegistrationState.BACKING_OFF, RegistrationState.REGISTERING):
            self.station.supervisor.spawn(
                self.serving.end("registration lost", timeout=1.0),
                name=f"end sessions of {self.id}",
                on_fault=lambda _: None,
            )

    async def _goodbye(self) -> None:
        await self._end_all("shutdown")
        if self.link is not None:
            await self.link.stop()


class _Served:
    """What serves a command of one device; bound when it is asked for, or each kept 9 KB of it."""

    __slots__ = ("_device",)

    def __init__(self, device: Device) -> None:
        self._device = device

    def get(self, kind: type[Any]) -> Callable[[Any], Awaitable[None]] | None:
        """Return what serves a class of commands."""
        serve = SERVED.get(kind)
        return None if serve is None else partial(serve, self._device)


SERVED: Mapping[type[Any], Callable[[Device, Any], Awaitable[None]]] = MappingProxyType(
    {
        AlarmResponse: Device._alarm_answered,
        BroadcastNotify: Device._broadcast,
        CatalogQuery: Device._catalog,
        ConfigDownloadQuery: Device._config_download,
        CruiseTrackListQuery: Device._cruise_tracks,
        CruiseTrackQuery: Device._cruise_track,
        DeviceConfig: Device._configure,
        DeviceControl: Device._control,
        DeviceInfoQuery: Device._device_info,
        DeviceStatusQuery: Device._device_status,
        HomePositionQuery: Device._home_position,
        MobilePositionQuery: Device._mobile_position,
        PresetQuery: Device._presets,
        PtzPositionQuery: Device._ptz_position,
        RecordInfoQuery: Device._records,
        SdCardStatusQuery: Device._sd_cards,
    }
)
"""Which method serves which command. ``equipment.controls.CONTROLS`` goes on with DeviceControl,
and the fields of ``DeviceConfig`` are its blocks."""
