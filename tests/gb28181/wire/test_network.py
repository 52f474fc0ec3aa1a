"""Habits and faults at the sockets: on the simulated network, and on this machine's own."""

from __future__ import annotations

import asyncio

import pytest

from gb28181.device import Device
from gb28181.events import CatalogChanged, DeviceOffline, DeviceOnline
from gb28181.habits import Habits
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.source import ClipSource
from gb28181.platform import Platform
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.network import SimulatedNetwork
from gb28181.testing.simulation import Simulation
from gb28181.testing.synthetic import synthetic_clip
from gb28181.wire.faults import Faults
from gb28181.wire.network import HabitualNetwork, SystemNetwork

PLATFORM, CAMERA = "34020000002000000001", "34020000001320000001"


def wired(network: SimulatedNetwork, faults: Faults, *, seed: int = 0) -> HabitualNetwork:
    return HabitualNetwork(network.host("10.9.0.1"), Habits(), faults=faults, seed=seed)


async def test_a_device_survives_loss_repetition_and_disorder(gb: Simulation) -> None:
    platform = await gb.platform()
    faults = Faults(loss=0.1, duplicate=0.2, delay=0.3)
    network = wired(gb.network, faults, seed=3)
    camera = await gb.device(channels=40, network=network)
    await gb.until(lambda: platform.channels(), within=300)
    assert len(platform.channels()) == 40
    await gb.advance(minutes=10)
    assert platform.device(camera.id).is_online


async def test_a_rebinding_device_is_followed(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(network=wired(gb.network, Faults(rebind=90.0)))
    await gb.until(DeviceOnline)
    before = platform.device(camera.id).require_binding().flow.remote
    await gb.advance(minutes=5)
    device = platform.device(camera.id)
    assert device.is_online
    assert device.require_binding().flow.remote != before
    assert device.quirks_seen["goes on from another port"] >= 2
    assert not any(isinstance(event, DeviceOffline) for event in gb.events)


async def test_a_device_that_is_silenced_is_offline(gb: Simulation) -> None:
    platform = await gb.platform()
    network = wired(gb.network, Faults())
    camera = await gb.device(network=network)
    await gb.until(DeviceOnline)
    network.is_silent = True
    await gb.until(DeviceOffline, within=600)
    assert not platform.device(camera.id).is_online


async def test_noise_and_floods_are_noted_and_harmless(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(network=wired(gb.network, Faults(noise=5.0, flood=2.0)))
    await gb.until(DeviceOnline)
    await gb.advance(minutes=3)
    seen = platform.device(camera.id).quirks_seen
    assert seen["bytes on the SIP port that are no SIP"] > 10
    assert seen["REGISTER floods"] > 100
    assert platform.device(camera.id).is_online


async def test_the_same_seed_gives_the_same_fate() -> None:
    def fates(seed: int) -> list[list[float]]:
        network = HabitualNetwork(
            SystemNetwork(), Habits(), faults=Faults(loss=0.3, duplicate=0.3, delay=0.1), seed=seed
        )
        return [network.delays() for _ in range(50)]

    assert fates(1) == fates(1)
    assert fates(1) != fates(2)


@pytest.mark.parametrize("mode", ["udp", "tcp-passive", "tcp-active"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_device_with_habits_is_played_over_real_sockets(mode: str, transport: str) -> None:
    item = CatalogItem(device_id=CAMERA, name="门", parent_id=CAMERA, status="ON")
    channel = DeviceChannel(item=item, source=lambda: ClipSource(synthetic_clip()))
    platform = Platform(
        PLATFORM,
        password_for=lambda device_id: "secret",
        listen=("udp://127.0.0.1:0", "tcp://127.0.0.1:0"),
        media_ports=range(48200, 48240),
        media_mode=mode,
        linger=0.0,
    )
    async with platform:
        ports = {kind: local[1] for kind, local in platform.station.endpoint.listening}
        camera = Device(
            CAMERA,
            server=f"{transport}://127.0.0.1:{ports[transport]}",
            server_id=PLATFORM,
            password="secret",
            channels=[channel],
            habits=Habits(parental="65535", rtp_ssrc="own", private_packets=True, framing="rtsp"),
            media_ports=range(48240, 48280),
        )
        async with asyncio.timeout(30), platform.events() as events, camera:
            async for event in events:
                if isinstance(event, CatalogChanged):
                    break
            async with platform.channel(CAMERA).play() as live:
                async for unit in live.units():
                    assert unit.data
                    break
    seen = platform.device(CAMERA).quirks_seen  # all of it is known once the platform has stopped
    assert "media mended: private" in seen
    assert "RTP with another SSRC than agreed" in seen
    assert ("media mended: interleaved" in seen) == (mode != "udp")
