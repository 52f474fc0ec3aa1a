"""Simulation: real platforms, devices and cascades on a simulated network with a virtual clock."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ..cascade import Cascade, Upper
from ..device import Device, Nameplate
from ..habits import Profile, profile
from ..manscdp.catalog import CatalogItem
from ..media.source import ClipSource
from ..platform import Platform
from ..sessions.serving import DeviceChannel
from ..supervisor import Supervisor
from .clock import VirtualClock
from .network import SimulatedNetwork
from .scripted import ScriptedDevice
from .synthetic import synthetic_clip

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    from ..equipment.recordings import Recordings
    from ..events import PlatformEvent
    from ..station import Station
    from ..upper.share import Share
    from .host import SimulatedHost
    from .link import Conditions

E = TypeVar("E")

DOMAIN = "34020000"
PASSWORD = "secret"
SIP_PORT = 5060
_POLL = 0.01
# What a role runs all the time, and what its link sends by itself: no leftovers.
_STANDING = (
    *("link ", "Keepalive ", "REGISTER ", "unregister "),
    *("subscription to ", "publisher for ", "changes for ", "look at "),
)
_LAST_WORDS = ("dispatcher", "timers", "commands", "catalogues")
_LEFTOVERS = ("streams", "ssrcs", "commands", "receivers", "sinks", "leased_ports", "sessions")


class SimulatedDevice:
    """A real ``Device`` on a host of its own, and what can befall it.

    Attributes:
        role: The device itself; another object after ``restart``.
        host: Its host in the simulated network.
    """

    def __init__(self, make: Callable[[], Device], host: SimulatedHost, world: Simulation) -> None:
        self.role = make()
        self.host = host
        self._make = make
        self._world = world

    @property
    def id(self) -> str:
        """Its 20-digit id."""
        return self.role.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The ids of its channels."""
        return tuple(self.role.channels)

    @property
    def is_registered(self) -> bool:
        """Whether it believes to be registered."""
        return self.role.is_registered

    async def registered(self) -> None:
        """Wait until its registration stands."""
        await self.role.registered()

    def vanish(self) -> None:
        """Die silently, as without power: no BYE, no unregistration, no answer."""
        self.host.vanish()

    def reappear(self) -> None:
        """Undo ``vanish``, as when only a cable was pulled."""
        self.host.reappear()

    async def stop(self) -> None:
        """Say goodbye and stop."""
        await self.role.stop()

    async def restart(self) -> None:
        """Lose all state without a goodbye, and boot at the same address."""
        await self._world.power_off(self.role)
        self.role = self._make()
        await self._world.keep(self.role, self.host)


class Simulation:
    """Builds simulated worlds: each role is real, each has a host, time is virtual.

    Enter it with ``async with``; leaving stops every role. The pytest fixture ``gb`` gives one.

    Attributes:
        network: Hosts, links and faults.
        clock: The virtual clock of the running loop.
        events: What all platforms have told so far.
        faults: What the coroutines given to ``start`` died of.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        limit: float = 86_400.0,
    ) -> None:
        """Prepare an empty world.

        Args:
            seed: Decides which packets are lost.
            conditions: Of every link that nothing else is said of.
            limit: Virtual seconds after which a test that still waits fails.
        """
        self.network = (
            SimulatedNetwork(seed)
            if conditions is None
            else SimulatedNetwork(seed, conditions=conditions)
        )
        self.clock = VirtualClock(limit=limit)
        self.events: list[PlatformEvent] = []
        self.faults: list[Exception] = []
        self._seen = 0
        self._supervisor = Supervisor("simulation")
        self._roles: dict[Platform | Device | Cascade, SimulatedHost] = {}
        self._platforms: list[Platform] = []
        self._scripted: list[ScriptedDevice] = []
        self._device_count = 0
        self._host_count = 0

    # -- life

    async def __aenter__(self) -> Self:
        self.clock.install(asyncio.get_running_loop())
        await self._supervisor.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._supervisor.stop()
            for role in reversed(tuple(self._roles)):
                await role.stop()
            for device in self._scripted:
                await device.stop()
            # Closed transports and the last packets on their way end in the next turns.
            await asyncio.sleep(1.0)
        finally:
            self.clock.uninstall()

    # -- building

    async def platform(
        self,
        platform_id: str | None = None,
        *,
        address: str | None = None,
        **settings: Any,
    ) -> Platform:
        """Start a platform that listens on port 5060 of its host, over UDP and TCP.

        Args:
            platform_id: Made up when None.
            address: Of its host; made up when None.
            **settings: Of ``Platform``. Every device has the password ``secret`` unless
                ``password_for`` says otherwise.

        Raises:
            OSError: The ports of that host are in use.
        """
        number = len(self._platforms) + 1
        host = self.network.host(address or self._address("10.0.0"))
        settings.setdefault("password_for", lambda device_id: PASSWORD)
        settings.setdefault("listen", (f"udp://:{SIP_PORT}", f"tcp://:{SIP_PORT}"))
        role = Platform(
            platform_id or f"{DOMAIN}00200{number:07d}",
            network=host,
            **settings,
        )
        await self.keep(role, host)
        return role

    async def device(
        self,
        family: str = "plain",
        *,
        channels: int = 1,
        seed: int = 0,
        platform: Platform | None = None,
        server_address: str | None = None,
        transport: str | None = None,
        address: str | None = None,
        recordings: Recordings | None = None,
        **settings: Any,
    ) -> SimulatedDevice:
        """Start a device that registers at a platform; wait for it with ``until(DeviceOnline)``.

        Args:
            family: One of ``habits.profiles()``: how it presents itself, and its habits.
            channels: How many cameras it has.
            seed: Decides the bytes of its pictures.
            platform: Where it registers; the first one when None.
            server_address: The address it has for the platform; that of its host when None.
            transport: ``udp`` or ``tcp``; what the family is usually set to when None.
            address: Of its host; made up when None.
            recordings: What is on the disk of each of its cameras; nothing when None.
            **settings: Of ``Device``, ``device_id`` among them.

        Raises:
            ValueError: There is no platform yet, or no such family.
        """
        try:
            known = profile(family)
        except KeyError as error:
            raise ValueError(error.args[0]) from None
        platform = platform or self._first_platform()
        self._device_count += 1
        host = self.network.host(address or self._address("10.0.1"))
        device_id = f"{DOMAIN}00{known.type_code}{self._device_count:07d}"
        server = server_address or self.host_of(platform).address
        settings = {
            "device_id": device_id,
            "server": f"{transport or known.transport}://{server}:{SIP_PORT}",
            "server_id": platform.id,
            "password": PASSWORD,
            "nameplate": nameplate_of(known),
            "edition": known.edition,
            "habits": known.habits,
            "seed": seed,
            "channels": [
                replace(one, recordings=recordings)
                for one in self._channels(known, device_id, channels, seed)
            ],
            "network": host,
            **settings,
        }
        simulated = SimulatedDevice(lambda: Device(**settings), host, self)
        await self.keep(simulated.role, host)
        return simulated

    async def scripted(
        self, *, platform: Platform | None = None, device_id: str | None = None
    ) -> ScriptedDevice:
        """Start a device that does what the test says; it registers when told.

        Raises:
            ValueError: There is no platform yet.
        """
        platform = platform or self._first_platform()
        self._device_count += 1
        host = self.network.host(self._address("10.0.2"))
        device = ScriptedDevice(
            device_id or f"{DOMAIN}00132{self._device_count:07d}",
            server=f"udp://{self.host_of(platform).address}:{SIP_PORT}",
            server_id=platform.id,
            password=PASSWORD,
            host=host,
        )
        await device.start()
        self._scripted.append(device)
        return device

    async def cascade(
        self,
        lower: Platform,
        upper: Platform,
        share: Share | None = None,
        *,
        transport: str = "udp",
        nameplate: Nameplate | None = None,
        **settings: Any,
    ) -> Cascade:
        """Register one platform at another and share its channels there.

        Args:
            lower: Who registers.
            upper: Where.
            share: What is shared; everything when None.
            transport: ``udp`` or ``tcp``.
            nameplate: How the lower presents itself.
            **settings: Of ``Upper``.
        """
        settings.setdefault("password", PASSWORD)
        settings.setdefault("server", f"{transport}://{self.host_of(upper).address}:{SIP_PORT}")
        role = Cascade(lower, Upper(id=upper.id, **settings), share, nameplate=nameplate)
        await self.keep(role, self.host_of(lower))
        return role

    async def keep(self, role: Platform | Device | Cascade, host: SimulatedHost) -> None:
        """Start a role that the caller made, and stop it with the simulation."""
        await role.start()
        self._roles[role] = host
        if isinstance(role, Platform):
            self._platforms.append(role)
            self._supervisor.spawn(self._collect(role), name=f"events of {role.id}")
            await asyncio.sleep(0)

    def host_of(self, role: Platform | Device | Cascade) -> SimulatedHost:
        """Return the host that a role runs on."""
        return self._roles[role]

    # -- faults

    async def power_off(self, role: Platform | Device) -> None:
        """Take a role out of the world without a word to anybody; its host can be used again."""
        host = self._roles[role]
        host.vanish()
        for bound in host.bound():
            bound.die()
        dead = [one for one, where in reversed(self._roles.items()) if where is host]
        for one in dead:
            del self._roles[one]
        # Their last words go nowhere, so nobody shall wait for what they bring.
        self._supervisor.spawn(_stop(dead), name="end of the dead", on_fault=self.faults.append)
        host.reappear()

    # -- time

    async def advance(self, seconds: float = 0.0, *, minutes: float = 0.0) -> None:
        """Let virtual time pass.

        Raises:
            Exception: What a coroutine given to ``start`` died of.
        """
        await asyncio.sleep(seconds + 60.0 * minutes)
        self._raise_fault()

    async def until(
        self, what: type[E] | Callable[[], object], *, within: float = 120.0
    ) -> E | None:
        """Wait for an event of that class, or until a function says yes.

        Every event is found once: a second call waits for the next one.

        Args:
            what: A class of ``gb28181.events``, or a function that is asked every 10 ms.
            within: Virtual seconds.

        Returns:
            The event; None for a function.

        Raises:
            TimeoutError: It did not come.
            Exception: What a coroutine given to ``start`` died of.
        """
        sought: type[E] | None = what if isinstance(what, type) else None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            self._raise_fault()
            if sought is not None:
                event = self._next_event(sought)
                if event is not None:
                    return event
            elif not isinstance(what, type) and what():
                return None
            if loop.time() >= deadline:
                name = getattr(what, "__name__", repr(what))
                raise TimeoutError(f"no {name} within {within:g} s; told so far: {self.events}")
            await asyncio.sleep(_POLL)

    async def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[None]:
        """Run the code under test beside the world; its error is raised by what comes next."""
        task = self._supervisor.spawn(
            _ignoring_result(work),
            name=getattr(work, "__qualname__", "started"),
            on_fault=self.faults.append,
        )
        await asyncio.sleep(0)
        return task

    # -- looking

    def leaks(self) -> list[str]:
        """Say what is left open: by a role that runs, beyond what it needs to run; else anything.

        Calls, media ends, ports, SSRCs, pending commands, tasks and sockets are looked at. Hosts
        that have vanished are not.
        """
        found: list[str] = []
        running = {device.host.address for device in self._scripted if device.is_running}
        for role, host in self._roles.items():
            station = _station(role)
            if not station.supervisor.is_running:
                continue
            running.add(host.address)
            if not host.has_vanished:
                found += _left_over(role, station)
        for line in self.network.leaks():
            if line.split(": ", 1)[0] not in running:
                found.append(line)
        return found

    # -- private

    def _first_platform(self) -> Platform:
        if not self._platforms:
            raise ValueError("start a platform first")
        return self._platforms[0]

    def _address(self, network: str) -> str:
        self._host_count += 1
        return f"{network}.{self._host_count}"

    def _channels(
        self, family: Profile, device_id: str, count: int, seed: int
    ) -> list[DeviceChannel]:
        return [
            _channel(
                f"{DOMAIN}00132{self._device_count:03d}{number:04d}",
                device_id,
                family,
                seed * 1000 + number,
            )
            for number in range(1, count + 1)
        ]

    async def _collect(self, platform: Platform) -> None:
        async with platform.events() as events:
            async for event in events:
                self.events.append(event)

    def _next_event(self, kind: type[E]) -> E | None:
        for index in range(self._seen, len(self.events)):
            event = self.events[index]
            if isinstance(event, kind):
                self._seen = index + 1
                return event
        return None

    def _raise_fault(self) -> None:
        if self.faults:
            raise self.faults.pop(0)


def _channel(channel_id: str, device_id: str, family: Profile, seed: int) -> DeviceChannel:
    item = CatalogItem(
        device_id=channel_id,
        name=f"大门摄像机 {channel_id[-4:]}",
        manufacturer=family.manufacturer,
        model=family.model,
        owner="owner",
        civil_code=device_id[:6],
        address="nowhere",
        parental=0,
        parent_id=device_id,
        register_way=1,
        secrecy=0,
        status="ON",
    )
    key_size = family.key_size
    return DeviceChannel(
        item=item, source=lambda: ClipSource(synthetic_clip(seed=seed, key_size=key_size))
    )


def nameplate_of(family: Profile) -> Nameplate:
    """What a device of a family says of itself."""
    return Nameplate(
        name=family.name,
        manufacturer=family.manufacturer,
        model=family.model,
        firmware=family.firmware,
    )


def _station(role: Platform | Device | Cascade) -> Station:
    if isinstance(role, Cascade):
        return role.platform.station
    return role.station


def _left_over(role: Platform | Device | Cascade, station: Station) -> list[str]:
    if isinstance(role, Cascade):
        return [f"{role.upper.id}: viewer of {viewer.channel_id}" for viewer in role.viewers]
    open_things = role.open_things()
    lines = [
        f"{station.name}: {open_things[thing]} {thing}"
        for thing in _LEFTOVERS
        if open_things.get(thing)
    ]
    # Transactions are left to their timers (RFC 3261: 32 s); a call that stands is a leak.
    lines += [f"{station.name}: call {key}" for key in station.endpoint._calls]
    lines += [
        f"{station.name}: task {name!r}"
        for name in station.supervisor.task_names
        if not name.startswith(_STANDING) and not name.endswith(_LAST_WORDS)
    ]
    return lines


async def _ignoring_result(work: Coroutine[Any, Any, Any]) -> None:
    await work


async def _stop(roles: list[Platform | Device | Cascade]) -> None:
    for role in roles:
        await role.stop()
