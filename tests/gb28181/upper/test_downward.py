"""What an upper platform asks of a camera two levels below is done there, and answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gb28181.cascade import Cascade
from gb28181.commands.outcome import Outcome, Stage
from gb28181.edition import Edition
from gb28181.equipment.head import View
from gb28181.errors import CommandFailed, Gb28181Error
from gb28181.manscdp.control import DeviceControl, HomePosition
from gb28181.manscdp.device_config import DeviceConfig
from gb28181.manscdp.preset import PresetQuery
from gb28181.platform import Platform
from gb28181.ptz import Motion, Pan, PresetAction, PresetCommand
from gb28181.remote_device import RemoteDevice
from gb28181.testing.simulation import SimulatedDevice, Simulation
from gb28181.upper.downward import FORWARDED, is_answered
from gb28181.upper.share import IdMap, Share, TreeStyle

OUTER = "37020300001320000007"
"""What the upper knows the camera as."""


@dataclass
class World:
    upper: Platform
    lower: Platform
    camera: SimulatedDevice
    link: Cascade

    @property
    def below(self) -> RemoteDevice:
        """The lower platform as the upper sees it."""
        return self.upper.device(self.lower.id)

    @property
    def inner(self) -> str:
        return self.camera.channels[0]

    def view(self) -> View:
        """Where the camera looks now."""
        head = self.camera.role.inventory.units[self.inner].head
        assert head is not None
        return head.view(asyncio.get_running_loop().time())


async def build(
    gb: Simulation,
    *,
    edition: Edition = Edition.GB2022,
    device: Edition = Edition.GB2022,
    transport: str = "udp",
    **share: Any,
) -> World:
    upper = await gb.platform(edition=edition)
    lower = await gb.platform()  # a device that does not say speaks 2016
    camera = await gb.device(platform=lower, edition=device)
    await gb.until(lambda: len(lower.channels()) == 1, within=5)
    share.setdefault("ids", IdMap({camera.channels[0]: OUTER}))
    link = await gb.cascade(lower, upper, Share(**share), transport=transport, edition=edition)
    await gb.until(lambda: upper.device(lower.id).channels, within=10)
    return World(upper, lower, camera, link)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_presets_home_position_and_tracks_pass_both_ways(
    gb: Simulation, transport: str
) -> None:
    world = await build(gb, transport=transport)
    below = world.below
    command = PresetCommand(action=PresetAction.SET, preset=3)
    await below.control(command, target=OUTER, preset_name="大门")
    await gb.advance(seconds=1)
    (preset,) = await below.presets(target=OUTER)
    assert (preset.preset_id, preset.preset_name) == ("3", "大门")
    outcome = await below.set_home_position(
        HomePosition(enabled=1, reset_time=60, preset_index=3), target=OUTER
    )
    assert outcome.stage is Stage.DONE
    home = await below.home_position(target=OUTER)
    assert home is not None
    assert (home.enabled, home.preset_index, home.reset_time) == (1, 3, 60)
    assert await below.cruise_tracks(target=OUTER) == ()
    position = await below.ptz_position(target=OUTER)
    assert position.device_id == OUTER
    assert position.pan is not None
    assert [card.id for card in await below.sd_cards(target=OUTER)] == [1]
    await gb.advance(minutes=1)
    assert gb.leaks() == []


async def test_configuration_is_read_and_set_two_levels_below(gb: Simulation) -> None:
    world = await build(gb)
    outcome = await world.below.configure(target=OUTER, frame_mirror=1)
    assert outcome.stage is Stage.DONE
    told = await world.below.configuration("FrameMirror", "OSDConfig", target=OUTER)
    assert told.frame_mirror == 1
    assert told.osd_config is not None


async def test_records_are_searched_two_levels_below(gb: Simulation) -> None:
    world = await build(gb)
    for on in (True, False, True, False):
        await world.below.record(on=on, target=OUTER)
        await gb.advance(minutes=2)
    now = datetime.now(UTC)
    span = (now - timedelta(days=1), now + timedelta(days=1))
    own = await world.lower.device(world.camera.id).records(*span, target=world.inner)
    records = await world.below.records(*span, target=OUTER)
    assert [(one.start, one.end) for one in records.items] == [
        (one.start, one.end) for one in own.items
    ]
    assert {one.item.device_id for one in records.items} == {OUTER}


async def test_guard_and_alarm_reset_are_answered_by_the_device(gb: Simulation) -> None:
    world = await build(gb)
    for outcome in (
        await world.below.guard(on=True, target=OUTER),
        await world.below.reset_alarm(target=OUTER),
        await world.below.record(on=True, target=OUTER),
    ):
        assert outcome.stage is Stage.DONE, outcome


async def test_the_camera_stops_when_the_upper_that_moves_it_is_gone(gb: Simulation) -> None:
    world = await build(gb)
    await world.below.control(Motion(pan=Pan.LEFT, pan_speed=50), target=OUTER)
    before = world.view()
    await gb.advance(seconds=2)
    assert world.view() != before
    await gb.power_off(world.upper)
    await gb.advance(minutes=5)
    still = world.view()
    await gb.advance(seconds=10)
    assert world.view() == still


async def test_what_is_not_shared_or_not_allowed_is_refused_with_error(gb: Simulation) -> None:
    world = await build(gb, ptz=False)
    for target in (OUTER, "34020000001320009999"):
        outcome = await world.below.guard(on=True, target=target)
        assert outcome.stage is Stage.REFUSED
    with pytest.raises(CommandFailed, match="not shared"):
        await world.below.presets(target="34020000001320009999")
    before = world.view()
    await world.below.control(Motion(pan=Pan.LEFT, pan_speed=50), target=OUTER)
    await gb.advance(seconds=2)
    assert world.view() == before


async def test_a_query_that_the_device_is_too_old_for_is_answered_with_error(
    gb: Simulation,
) -> None:
    world = await build(gb, device=Edition.GB2016)
    with pytest.raises(CommandFailed, match="not in edition"):
        await world.below.home_position(target=OUTER)


async def test_a_device_that_is_away_is_answered_for_with_error(gb: Simulation) -> None:
    world = await build(gb)
    await world.camera.stop()
    with pytest.raises(Gb28181Error):
        await world.below.presets(target=OUTER)


async def test_three_levels_pass_commands_and_records(gb: Simulation) -> None:
    top, middle, bottom = [await gb.platform(edition=Edition.GB2022) for _ in range(3)]
    camera = await gb.device(platform=bottom, edition=Edition.GB2022)
    await gb.until(lambda: len(bottom.channels()) == 1, within=5)
    share = Share(style=TreeStyle.TREE)
    await gb.cascade(bottom, middle, share, edition=Edition.GB2022)
    await gb.until(lambda: middle.device(bottom.id).channels, within=10)
    await gb.cascade(middle, top, share, edition=Edition.GB2022)
    await gb.until(lambda: top.device(middle.id).channels, within=10)
    tree = {item.device_id: item.parent_id for item in top.device(middle.id).channels}
    assert tree == {bottom.id: middle.id, camera.channels[0]: bottom.id}
    below = top.device(middle.id)
    assert isinstance(await below.guard(on=True, target=camera.channels[0]), Outcome)
    assert await below.presets(target=camera.channels[0]) == ()
    end = datetime.now(UTC)
    await below.records(end - timedelta(hours=1), end, target=camera.channels[0])


def test_what_gets_an_answer_is_said_by_the_tables_of_the_standard() -> None:
    def control(**fields: Any) -> DeviceControl:
        return DeviceControl(sn="1", device_id="2", **fields)

    assert not is_answered(control(ptz_cmd="A50F"))
    assert not is_answered(control())
    assert is_answered(control(guard_cmd="SetGuard"))
    assert is_answered(DeviceConfig(sn="1", device_id="2"))
    assert is_answered(PresetQuery(sn="1", device_id="2"))
    assert DeviceControl in FORWARDED
