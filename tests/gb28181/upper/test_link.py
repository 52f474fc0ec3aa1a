"""One registration at a platform above."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest

from gb28181.events import DeviceOnline
from gb28181.registration import RegistrationState
from gb28181.testing.simulation import SimulatedDevice, Simulation
from gb28181.upper.link import Link


def link_of(camera: SimulatedDevice) -> Link:
    assert camera.role.link is not None
    return camera.role.link


async def test_heartbeats_go_out_at_their_interval(gb: Simulation) -> None:
    await gb.platform(asks_catalog=False)
    await gb.device(keepalive_interval=20.0)
    await gb.until(DeviceOnline)
    await gb.advance(minutes=10)
    times = [one.time for one in gb.network.trace if b"<CmdType>Keepalive" in one.data]
    assert len(times) == 30
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps == pytest.approx([20.0] * 29, abs=0.1)


async def test_the_registration_is_refreshed_before_it_expires(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.device(expires=600)
    await gb.until(DeviceOnline)
    await gb.advance(minutes=60)
    assert platform.device(camera.id).is_online
    assert sum(isinstance(event, DeviceOnline) for event in gb.events) == 1
    assert len(gb.events) == 1


async def test_an_outage_is_told_once_and_not_at_every_retry(
    gb: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    platform = await gb.platform()
    camera = await gb.device(retry=60.0, retry_spread=0.0)
    await gb.until(DeviceOnline)
    gb.host_of(platform).vanish()
    with caplog.at_level(logging.INFO, "gb28181.link"):
        await gb.advance(minutes=60)
        gb.host_of(platform).reappear()
        await gb.until(lambda: camera.is_registered, within=100)
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len([r for r in warnings if r.name == "gb28181.link"]) <= 2
    assert [r.getMessage() for r in caplog.records][-1].startswith(f"{camera.id}: REGISTERED")


async def test_a_broken_connection_is_made_again(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(transport="tcp", retry=10.0, retry_spread=0.0)
    await gb.until(DeviceOnline)
    address = gb.host_of(platform).address
    gb.host_of(platform).crash()
    await gb.until(lambda: not camera.is_registered, within=1)
    await gb.power_off(platform)
    second = await gb.platform(platform.id, address=address)
    await gb.until(lambda: second.device(camera.id).is_online, within=20)


async def test_backing_off_may_be_cut_short(gb: Simulation) -> None:
    platform = await gb.platform()
    gb.host_of(platform).vanish()
    camera = await gb.device(retry=3600.0, retry_spread=0.0)
    await gb.until(lambda: link_of(camera).state is RegistrationState.BACKING_OFF)
    gb.host_of(platform).reappear()
    link_of(camera).retry_now()
    async with asyncio.timeout(1):
        await camera.registered()
    link_of(camera).retry_now()  # nothing to cut short
    assert camera.is_registered


async def test_an_unanswered_goodbye_is_bounded(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(DeviceOnline)
    gb.host_of(platform).vanish()
    began = asyncio.get_running_loop().time()
    await camera.stop()
    assert asyncio.get_running_loop().time() - began < 5
    await camera.stop()  # twice is once
    gb.host_of(platform).reappear()
    await gb.advance(1)
    assert [line for line in gb.leaks() if camera.host.address in line] == []


async def test_registration_survives_heavy_loss(gb: Simulation) -> None:
    platform = await gb.platform()
    host = gb.network.host("10.7.7.7")
    gb.network.link(gb.host_of(platform), host, loss=0.2)
    camera = await gb.device(address="10.7.7.7", channels=20, retry=60.0)
    await gb.until(lambda: len(platform.device(camera.id).channels) == 20, within=600)
    await gb.advance(minutes=60)
    assert platform.device(camera.id).is_online


async def test_over_tcp_the_contact_names_the_port_of_the_connection(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device("plain", transport="tcp")
    await camera.registered()
    binding = platform.device(camera.id).require_binding()
    host, port = binding.flow.remote
    assert f"@{host}:{port};transport=tcp>" in binding.contact
