"""Every verb of a channel, with a real device at the other end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gb28181.channel import Channel
from gb28181.commands.moves import Ptz
from gb28181.commands.outcome import Outcome, Stage
from gb28181.edition import Edition
from gb28181.errors import DeviceNotOnline
from gb28181.events import CatalogChanged
from gb28181.manscdp.config import BasicParam, OsdConfig, OsdText
from gb28181.manscdp.control import HomePosition
from gb28181.testing.simulation import Simulation


async def camera_of(gb: Simulation) -> Channel:
    platform = await gb.platform(edition=Edition.GB2022)
    device = await gb.device(edition=Edition.GB2022)
    await gb.until(CatalogChanged)
    return platform.channel(device.channels[0])


VERIFIED: dict[str, Callable[[Channel], Awaitable[Outcome]]] = {
    "motion": lambda camera: camera.control(Ptz.right(200), verify=True),
    "preset": lambda camera: camera.control(Ptz.set_preset(3), preset_name="gate", verify=True),
    "precise": lambda camera: camera.look_at(pan=90.0, tilt=5.0, zoom=2.0, verify=True),
    "home": lambda camera: camera.set_home_position(
        HomePosition(enabled=1, reset_time=60, preset_index=1), verify=True
    ),
    "record": lambda camera: camera.record(verify=True),
    "osd": lambda camera: camera.configure(
        osd_config=OsdConfig(text_enable=1, sum_num=1, items=(OsdText(text="东门", x=1, y=2),)),
        verify=True,
    ),
    "name": lambda camera: camera.configure(basic_param=BasicParam(name="gate"), verify=True),
    "mirror": lambda camera: camera.configure(frame_mirror=2, verify=True),
}


@pytest.mark.parametrize("verb", VERIFIED)
async def test_what_a_device_does_is_verified(gb: Simulation, verb: str) -> None:
    camera = await camera_of(gb)
    await camera.control(Ptz.set_preset(1))
    outcome = await VERIFIED[verb](camera)
    assert outcome.stage is Stage.VERIFIED, outcome


async def test_queries_of_a_channel_are_answered(gb: Simulation) -> None:
    camera = await camera_of(gb)
    await camera.control(Ptz.set_preset(3), preset_name="gate")
    await camera.control(Ptz.add_cruise_point(0, 3))
    assert [one.preset_id for one in await camera.presets()] == ["3"]
    assert [one.number for one in await camera.cruise_tracks()] == [0]
    assert [one.preset_index for one in (await camera.cruise_track(0)).items] == [3]
    assert (await camera.ptz_position()).pan is not None
    assert (await camera.device_status()).online == "ONLINE"
    assert [card.id for card in await camera.sd_cards()] == [1]
    assert (await camera.configuration("BasicParam")).basic_param is not None


DELEGATED: dict[str, Callable[[Channel], Awaitable[Any]]] = {
    "focus": lambda camera: camera.control(Ptz.lens_stop()),
    "force_key_frame": lambda camera: camera.force_key_frame(),
    "guard": lambda camera: camera.guard(),
    "reset_alarm": lambda camera: camera.reset_alarm(),
    "track": lambda camera: camera.track("Auto"),
    "format_sd_card": lambda camera: camera.format_sd_card(),
}


@pytest.mark.parametrize("verb", DELEGATED)
async def test_a_command_reaches_the_device_under_the_channels_code(
    gb: Simulation, verb: str
) -> None:
    camera = await camera_of(gb)
    outcome = await DELEGATED[verb](camera)
    assert outcome.target == camera.id
    assert outcome.reached(Stage.ACCEPTED)
    sent = [one.data for one in gb.network.trace if b"<Control>" in one.data]
    assert len(sent) == 1
    assert f"<DeviceID>{camera.id}</DeviceID>".encode() in sent[0]
    assert sent[0].startswith(f"MESSAGE sip:{camera.id}@".encode())


async def test_a_channel_that_nobody_lists_has_no_verbs(gb: Simulation) -> None:
    platform = await gb.platform()
    with pytest.raises(DeviceNotOnline, match="is listed by no device"):
        await platform.channel("34020000001320000999").control(Ptz.stop())


async def test_subscriptions_to_a_real_device_bring_news(gb: Simulation) -> None:
    camera = await camera_of(gb)
    ledger = await camera.subscribe_ptz_position()
    assert ledger.state == "accepted", ledger.reason
    await camera.look_at(pan=45.0)
    await gb.until(lambda: ledger.is_notifying, within=30)
    assert ledger.by_message == 0
    assert asyncio.get_running_loop().time() > (ledger.accepted_at or 0)
