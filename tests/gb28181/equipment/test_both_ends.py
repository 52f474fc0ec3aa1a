"""The platform's verbs against a device: what it says came of a command is what the device did."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from gb28181.commands.moves import Ptz
from gb28181.commands.outcome import Stage
from gb28181.edition import Edition
from gb28181.equipment.alarms import AlarmFate
from gb28181.equipment.recorder import drawn_hours
from gb28181.errors import CommandFailed
from gb28181.events import Alarm, CatalogChanged, DeviceOnline
from gb28181.manscdp.config import AlarmReport, BasicParam, OsdConfig, OsdText, PictureMask
from gb28181.manscdp.control import DragZoom, HomePosition
from gb28181.manscdp.values import BEIJING
from gb28181.remote_device import RemoteDevice
from gb28181.testing.simulation import SimulatedDevice, Simulation

EDITIONS = (Edition.GB2016, Edition.GB2022)
BOX = DragZoom(length=1280, width=720, mid_point_x=960, mid_point_y=360, length_x=320, length_y=180)
MIDNIGHT = datetime(2024, 5, 2, tzinfo=BEIJING)


async def pair(gb: Simulation, **settings: Any) -> tuple[RemoteDevice, SimulatedDevice, str]:
    platform = await gb.platform()
    camera = await gb.device(**settings)
    await gb.until(CatalogChanged)
    return platform.device(camera.id), camera, camera.channels[0]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("edition", EDITIONS)
async def test_what_was_ordered_is_verified(
    gb: Simulation, edition: Edition, transport: str
) -> None:
    device, _, camera = await pair(gb, edition=edition, transport=transport)
    new = edition is Edition.GB2022
    outcomes = [
        await device.control(Ptz.set_preset(7), preset_name="gate", target=camera, verify=True),
        await device.record(target=camera, verify=True),
        await device.guard(on=False, target=camera, verify=True),
        await device.guard(target=camera, verify=True),
    ]
    if new:
        outcomes += [
            await device.control(Ptz.right(200), target=camera, verify=True),
            await device.look_at(pan=90.0, tilt=10.0, zoom=2.0, target=camera, verify=True),
            await device.set_home_position(
                HomePosition(enabled=1, reset_time=60, preset_index=7), target=camera, verify=True
            ),
            await device.format_sd_card(1, target=device.id, verify=True),
        ]
    told = {(one.command, one.stage, one.remark) for one in outcomes if not one}
    assert told == set()
    verified = [one.command for one in outcomes if one.stage is Stage.VERIFIED]
    assert len(verified) >= (6 if new else 2), [(one.command, one.remark) for one in outcomes]


@pytest.mark.parametrize(
    "block",
    [
        {"basic_param": BasicParam(name="东门", heartbeat_interval=30)},
        {"frame_mirror": 2},
        {"alarm_report": AlarmReport(motion_detection=0)},
        {"osd_config": OsdConfig(text_enable=1, items=(OsdText(text="East", x=1, y=2),))},
        {"picture_mask": PictureMask(on=0)},
    ],
    ids=lambda block: next(iter(block)),
)
async def test_what_was_configured_is_verified(gb: Simulation, block: dict[str, Any]) -> None:
    device, _, camera = await pair(gb, edition=Edition.GB2022)
    outcome = await device.configure(target=camera, verify=True, **block)
    assert outcome.stage is Stage.VERIFIED, outcome


async def test_what_the_device_refuses_is_refused_with_its_reason(gb: Simulation) -> None:
    device, _, camera = await pair(gb, edition=Edition.GB2022)
    home = HomePosition(enabled=1, reset_time=60, preset_index=9)
    outcome = await device.set_home_position(home, target=camera)
    assert outcome.stage is Stage.REFUSED
    assert "preset 9" in outcome.evidence
    with pytest.raises(CommandFailed):
        await device.presets(target="34020000001329999999")


async def test_255_presets_come_over_udp_and_tcp(gb: Simulation) -> None:
    device, camera, channel = await pair(gb)
    head = camera.role.inventory.units[channel].head
    assert head is not None
    for number in range(1, 256):
        head.take(Ptz.set_preset(number), 0.0)
    assert len(await device.presets(target=channel)) == 255


async def test_a_day_of_recordings_is_searched_whole(gb: Simulation) -> None:
    device, camera, channel = await pair(gb)
    camera.role.inventory.units[channel].recorder.disk = drawn_hours(MIDNIGHT, 48)
    found = await device.records(MIDNIGHT - timedelta(hours=48), MIDNIGHT, target=channel)
    assert len(found.items) == 48


@pytest.mark.parametrize("edition", EDITIONS)
async def test_armed_alarms_come_are_kept_and_reset(gb: Simulation, edition: Edition) -> None:
    device, camera, _ = await pair(gb, edition=edition)
    kept: list[str] = []

    async def keep(alarm: Alarm) -> None:
        kept.append(alarm.notify.device_id)

    device._platform.on_alarm(keep)
    armed = await device.arm()
    assert armed
    for _ in range(3):
        assert await camera.role.raise_alarm() is AlarmFate.NOTIFIED
        await gb.advance(5)  # the platform resets it
    assert len(kept) == 3


async def test_positions_and_head_are_subscribed_to(gb: Simulation) -> None:
    device, _, camera = await pair(gb, edition=Edition.GB2022)
    position = await device.subscribe_position(5)
    head = await device.subscribe_ptz_position(target=camera)
    await gb.advance(12)
    assert position.notified >= 2
    assert head.notified == 1
    await device.look_at(pan=180.0, target=camera)
    await gb.advance(5)
    assert head.notified >= 2
    await device.unsubscribe(position)
    before = position.notified
    await gb.advance(20)
    assert position.notified == before


async def test_a_rebooted_device_is_back_soon(gb: Simulation) -> None:
    device, _, camera = await pair(gb)
    live = await device._platform.channel(camera).play().open()
    assert await device.reboot()
    await asyncio.sleep(3)
    assert not device.is_online
    live.close()
    await gb.until(DeviceOnline, within=30)
    assert await device.device_info()
    await gb.advance(40)
    assert gb.leaks() == []
