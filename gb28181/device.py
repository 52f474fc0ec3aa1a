"""Device: the camera's or recorder's side; the simulator, and what a camera vendor would embed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .addresses import require_address
from .answers import Answers
from .edition import Edition
from .equipment.loudspeaker import Loudspeaker, LoudspeakerSettings
from .errors import RoleFailed
from .link import Link
from .manscdp.broadcast import BroadcastNotify
from .manscdp.catalog import CatalogItem, CatalogQuery
from .manscdp.control import DeviceControl, DeviceControlResponse
from .manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from .manscdp.device_status import DeviceStatusQuery, DeviceStatusResponse
from .registration import RegistrationConfig, RegistrationState
from .serving import DeviceChannel, Outgoing, Serving
from .station import DEFAULT_MEDIA_PORTS, Station

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from sip.endpoint import IncomingRequest
    from sip.timers import Timers
    from sip.tls import TlsSettings
    from sip.trace import TraceRecord

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

    Answers Catalog, DeviceInfo and DeviceStatus out of its own state, and an INVITE with real
    encoded media, over UDP and over TCP in both roles.
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
        loudspeaker: LoudspeakerSettings | None = None,
        loss: float = 0.0,
        seed: int = 0,
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
            loudspeaker: How it asks for the platform's voice.
            loss: A fault: the share of RTP packets over UDP that are not sent.
            seed: Makes the fault repeatable.
            network: Where sockets are opened; the operating system's when None.
            plane: Where media is handled; this process when None.
            timers: SIP timers.
            tls: Certificates for ``tls://`` addresses.
            tap: Sees every SIP message, credentials blanked.

        Raises:
            ConfigError: ``server`` is no address.
        """
        require_address(server, "server")
        self.id = device_id
        self.nameplate = nameplate or Nameplate()
        self.edition = edition
        self.channels = {channel.item.device_id: channel for channel in channels}
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
            keepalive_interval=keepalive_interval,
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
            {
                BroadcastNotify: self.loudspeaker.called,
                CatalogQuery: self._catalog,
                DeviceInfoQuery: self._device_info,
                DeviceStatusQuery: self._device_status,
                DeviceControl: self._control,
            },
            self.serving.invite,
        )
        self.link.start()

    async def stop(self) -> None:
        """End the sessions, unregister, close everything. Idempotent."""
        await self.station.stop(self._goodbye)

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

    # Requests -------------------------------------------------------------------------------

    def claims(self, incoming: IncomingRequest) -> bool:
        """Serve whatever comes from our platform's address; nobody else is answered."""
        assert self.link is not None
        return incoming.call is not None or self.link.is_from_server(incoming.flow)

    def handle(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        """Serve one request."""
        if incoming.method == "INFO" or (incoming.call is not None and incoming.method == "INVITE"):
            self.serving.in_dialog(incoming)
            return None
        return self.answers.handle(incoming)

    @property
    def answers(self) -> Answers:
        """Takes the platform's requests; it exists while the device runs."""
        if self._answers is None:
            self.station.supervisor.check()
        assert self._answers is not None
        return self._answers

    async def _catalog(self, query: CatalogQuery) -> None:
        await self.answers.send_catalog(query, self._listed(query.device_id))

    def _listed(self, device_id: str) -> list[CatalogItem]:
        """The part of the catalogue that a query for ``device_id`` means. Source: 2022 J."""
        if device_id in self.channels and device_id != self.id:
            return [self.channels[device_id].item]
        if device_id == self.id:
            return [channel.item for channel in self.channels.values()]
        return []

    async def _device_info(self, query: DeviceInfoQuery) -> None:
        plate = self.nameplate
        answer = DeviceInfoResponse(
            sn=query.sn,
            device_id=query.device_id,
            device_name=plate.name,
            result="OK",
            manufacturer=plate.manufacturer,
            model=plate.model,
            firmware=plate.firmware,
            channel=len(self.channels),
        )
        await self.answers.send(answer)

    async def _device_status(self, query: DeviceStatusQuery) -> None:
        known = query.device_id == self.id or query.device_id in self.channels
        answer = DeviceStatusResponse(
            sn=query.sn,
            device_id=query.device_id,
            result="OK" if known else "ERROR",
            online="ONLINE" if known else "OFFLINE",
            status="OK" if known else "ERROR",
            encode="ON" if known else "OFF",
            record="OFF",
        )
        await self.answers.send(answer)

    async def _control(self, command: DeviceControl) -> None:
        if command.i_frame_cmd is not None:
            self.serving.force_key(command.device_id)
        elif _wants_response(command):
            # Truthfully: what the simulator has no state for is not "OK".
            await self.answers.send(
                DeviceControlResponse(sn=command.sn, device_id=command.device_id, result="ERROR")
            )

    def _link_state(self, change: StateChanged) -> None:
        # A platform that is gone takes its sessions with it (2022 K b).
        if change.state in (RegistrationState.BACKING_OFF, RegistrationState.REGISTERING):
            self.station.supervisor.spawn(
                self.serving.end("registration lost", timeout=1.0),
                name=f"end sessions of {self.id}",
                on_fault=lambda _: None,
            )

    async def _goodbye(self) -> None:
        await self.serving.end("shutdown", timeout=2.0)
        if self.loudspeaker is not None:
            await self.loudspeaker.end("shutdown", timeout=2.0)
        if self.link is not None:
            await self.link.stop()


def _wants_response(command: DeviceControl) -> bool:
    """Whether the command is one of those with a business answer. Source: 9.3.1 e."""
    named = (command.record_cmd, command.guard_cmd, command.alarm_cmd)
    others = {element.name.lower() for element in command.extra}
    return any(named) or bool(others & {"homeposition", "deviceupgrade"})
