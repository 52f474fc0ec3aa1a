"""The kit's first targets: our own platform and device, with short times, on the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from gb28181.device import Device
from gb28181.edition import Edition
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.source import Clip, ClipSource
from gb28181.platform import Platform
from gb28181.registrar import RegistrarConfig
from gb28181.sessions.live import Live
from gb28181.sessions.serving import DeviceChannel
from rtp.access_unit import Codec

from .case import Case, Role
from .peers.device import DevicePeer
from .peers.media import still_picture
from .peers.platform import PlatformPeer
from .runner import OpenPeer, Result, run
from .target import Target, Times, Trigger

if TYPE_CHECKING:
    from gb28181.station import RoleNetwork

HOST = "127.0.0.1"
PLATFORM_ID = "34020000002000000001"
DEVICE_ID = "34020000001180000001"
CHANNEL_ID = "34020000001320000001"
PASSWORD = "12345678"
TRANSPORTS = ("udp", "tcp")
_EDITIONS = {"2016": Edition.GB2016, "2022": Edition.GB2022}
_TIMES = Times(
    answer=3.0,
    registration=5.0,
    keepalive_interval=1.0,
    keepalive_count=2,
    grace=1.0,
    expires=3600,
    short_expires=3,
    media=3.0,
    watch=1.5,
    case=20.0,
)


class OwnPlatform:
    """Our platform, with triggers for what a person does with it."""

    def __init__(self, transport: str, edition: str, network: RoleNetwork | None = None) -> None:
        self.platform = Platform(
            PLATFORM_ID,
            password_for=lambda device_id: PASSWORD if device_id == DEVICE_ID else None,
            listen=(f"{transport}://{HOST}:0",),
            edition=_EDITIONS[edition],
            registrar=RegistrarConfig(
                server_id=PLATFORM_ID, keepalive_interval=_TIMES.keepalive_interval,
                keepalive_count=_TIMES.keepalive_count, grace=0.1,
            ),
            linger=0.2,
            network=network,
            media_timeout=_TIMES.media,
        )  # fmt: skip
        self._watching: list[Live] = []
        self._transport = transport
        self._edition = edition

    def target(self) -> Target:
        """Describe it; it must be running."""
        listening = self.platform.station.endpoint.listening
        port = next(address[1] for name, address in listening if name == self._transport)
        return Target(
            address=f"{self._transport}://{HOST}:{port}",
            id=PLATFORM_ID,
            domain=PLATFORM_ID[:10],
            password=PASSWORD,
            peer_id=DEVICE_ID,
            channel_id=CHANNEL_ID,
            listen=(f"udp://{HOST}:0",) if self._transport == "udp" else (),
            host=HOST,
            edition=self._edition,
            times=_TIMES,
            triggers={
                "catalog": self.catalog,
                "play": self.play,
                "stop": self.stop,
                "online": self.online,
            },
        )

    async def catalog(self, values: Mapping[str, str]) -> bool:
        """Ask a device for its catalogue."""
        answer = await self.platform.device(values["device"]).catalog()
        return answer.complete

    async def play(self, values: Mapping[str, str]) -> bool:
        """Watch a channel, which the platform must know by then."""
        if self.platform.owner_of(values["channel"]) is None:
            await self.catalog(values)
        self._watching.append(await self.platform.channel(values["channel"]).play().open())
        return True

    async def stop(self, values: Mapping[str, str]) -> bool:
        """Watch nothing any more."""
        while self._watching:
            self._watching.pop().close()
        return True

    async def online(self, values: Mapping[str, str]) -> bool:
        """Tell whether a device is online."""
        return self.platform.device(values["device"]).is_online


class OwnDevice:
    """Our device; the trigger ``leave`` stops it and starts it anew."""

    def __init__(self, server: str, edition: str, network: RoleNetwork | None = None) -> None:
        self._server = server
        self._edition = edition
        self._network = network
        self._device: Device | None = None

    async def start(self) -> None:
        """Make and start the device."""
        self._device = make_device(self._server, self._edition, self._network)
        await self._device.start()

    async def stop(self) -> None:
        """Stop it."""
        if self._device is not None:
            await self._device.stop()

    async def leave(self, values: Mapping[str, str]) -> bool:
        """Stop the device and start another of the same id."""
        await self.stop()
        await self.start()
        return True


def make_device(server: str, edition: str, network: RoleNetwork | None = None) -> Device:
    """Our device with one camera and short times."""
    units = still_picture(25)
    clip = Clip(units=units, duration=90_000, video=Codec.H264, audio=None, frames=len(units))
    item = CatalogItem(
        device_id=CHANNEL_ID, name="Camera", manufacturer="gb28181", model="simulator",
        owner="owner", civil_code="340200", address="here", parental=0, parent_id=DEVICE_ID,
        safety_way=0, register_way=1, secrecy=0, status="ON",
    )  # fmt: skip
    return Device(
        DEVICE_ID,
        server=server,
        server_id=PLATFORM_ID,
        password=PASSWORD,
        channels=[DeviceChannel(item=item, source=lambda: ClipSource(clip))],
        edition=_EDITIONS[edition],
        expires=_TIMES.expires,
        keepalive_interval=_TIMES.keepalive_interval,
        retry=1.0,
        retry_spread=0.0,
        network=network,
    )


def device_target(transport: str, edition: str, triggers: Mapping[str, Trigger]) -> Target:
    """Describe the target that a device of ours is."""
    return Target(
        id=DEVICE_ID,
        domain=PLATFORM_ID[:10],
        password=PASSWORD,
        peer_id=PLATFORM_ID,
        channel_id=CHANNEL_ID,
        listen=(f"{transport}://{HOST}:0",),
        host=HOST,
        edition=edition,
        options=frozenset({"tcp-media"}),
        times=_TIMES,
        triggers=triggers,
    )


@asynccontextmanager
async def own_target(
    role: Role, transport: str, edition: str, network: RoleNetwork | None = None
) -> AsyncIterator[tuple[Target, OpenPeer]]:
    """Start our own platform or device; yield what the runner needs to face it.

    Args:
        role: Which of the two.
        transport: ``udp`` or ``tcp``.
        edition: Which edition it speaks.
        network: Where it opens its sockets; a test breaks the target on purpose by this.
    """
    if role is Role.PLATFORM:
        own = OwnPlatform(transport, edition, network)
        async with own.platform:
            target = own.target()
            yield target, lambda trace: DevicePeer(target, trace)
        return
    async with AsyncExitStack() as stack:
        triggers: dict[str, Trigger] = {}
        target = device_target(transport, edition, triggers)
        peer = await stack.enter_async_context(PlatformPeer(target))
        port = peer.wire.endpoint.listening[0][1][1]
        device = OwnDevice(f"{transport}://{HOST}:{port}", edition, network)
        triggers["leave"] = device.leave
        await device.start()
        stack.push_async_callback(device.stop)
        yield target, peer.turn


async def self_test(
    role: Role,
    cases: list[Case],
    edition: str,
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run cases against our own role, over UDP and then over TCP."""
    results: list[Result] = []
    for transport in TRANSPORTS:
        async with own_target(role, transport, edition) as (target, open_peer):
            results += await run(cases, target, open_peer, label=transport, on_result=on_result)
    return results
