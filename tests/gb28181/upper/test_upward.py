"""Alarms, positions and finished work of devices below are told above, as the upper asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gb28181.cascade import Cascade
from gb28181.edition import Edition
from gb28181.events import Alarm, Notice, Position, PtzPosition
from gb28181.manscdp.alarm import AlarmNotify
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.notices import DeviceUpgradeResultNotify, VideoUploadNotify
from gb28181.manscdp.position import PositionItem
from gb28181.platform import Platform
from gb28181.ptz import Motion, Pan
from gb28181.remote_device import RemoteDevice
from gb28181.testing.simulation import SimulatedDevice, Simulation
from gb28181.upper.share import IdMap, Share

OUTER = "37020300001320000007"


@dataclass
class World:
    upper: Platform
    lower: Platform
    camera: SimulatedDevice
    link: Cascade

    @property
    def below(self) -> RemoteDevice:
        return self.upper.device(self.lower.id)

    @property
    def inner(self) -> str:
        return self.camera.channels[0]

    def heard(self, gb: Simulation, kind: type[Any]) -> list[Any]:
        """What the upper was told of the kind."""
        return [e for e in gb.events if isinstance(e, kind) and e.device is self.below]


async def build(
    gb: Simulation, *, edition: Edition = Edition.GB2022, shares: bool = True, **upper_settings: Any
) -> World:
    upper = await gb.platform(edition=edition)
    lower = await gb.platform(edition=Edition.GB2022)
    camera = await gb.device(platform=lower, edition=Edition.GB2022)
    await gb.until(lambda: len(lower.channels()) == 1, within=5)

    def wanted(item: CatalogItem) -> bool:
        return shares

    share = Share(ids=IdMap({camera.channels[0]: OUTER}), wanted=wanted)
    link = await gb.cascade(lower, upper, share, edition=edition, **upper_settings)
    await gb.until(lambda: link.is_registered and upper.device(lower.id).is_online, within=10)
    await gb.advance(seconds=2)
    return World(upper, lower, camera, link)


async def test_an_alarm_below_reaches_a_subscriber_above(gb: Simulation) -> None:
    world = await build(gb)
    await world.below.subscribe_alarms()
    await world.camera.role.raise_alarm(world.inner, method="5", alarm_type="6")
    await gb.advance(seconds=2)
    (alarm,) = world.heard(gb, Alarm)
    assert (alarm.notify.device_id, alarm.notify.alarm_type) == (OUTER, "6")
    await gb.advance(minutes=1)
    assert gb.leaks() == []


async def test_an_alarm_goes_up_by_message_only_when_the_link_says_so(gb: Simulation) -> None:
    for by_message in (False, True):
        world = await build(gb, alarms_by_message=by_message)
        await world.camera.role.raise_alarm(world.inner, method="5", alarm_type="2")
        await gb.advance(seconds=2)
        assert len(world.heard(gb, Alarm)) == by_message


async def test_an_alarm_of_what_is_not_shared_stays_below(gb: Simulation) -> None:
    world = await build(gb, shares=False, alarms_by_message=True)
    await world.below.subscribe_alarms()
    await world.camera.role.raise_alarm(world.inner, method="5")
    await gb.advance(seconds=2)
    assert world.heard(gb, Alarm) == []


async def test_positions_are_told_at_the_interval_that_the_upper_asks_for(gb: Simulation) -> None:
    world = await build(gb)
    await world.below.subscribe_position(10, target=OUTER)
    await gb.advance(seconds=35)
    told = world.heard(gb, Position)
    assert {position.channel_id for position in told} == {OUTER}
    assert 3 <= len(told) <= 5
    assert told[0].item.longitude is not None


async def test_a_position_is_flat_for_an_upper_of_2016(gb: Simulation) -> None:
    world = await build(gb, edition=Edition.GB2016)
    await world.below.subscribe_position(5)
    world.lower.publish(
        Position(
            device=world.lower.device(world.camera.id),
            channel_id=world.inner,
            item=PositionItem(device_id=world.inner, longitude=118.5, latitude=31.5),
        )
    )
    await gb.advance(seconds=1)
    (position,) = world.heard(gb, Position)
    assert (position.channel_id, position.item.longitude) == (OUTER, 118.5)


async def test_where_a_head_looks_is_told_above(gb: Simulation) -> None:
    world = await build(gb)
    await world.below.subscribe_ptz_position(target=OUTER)
    await world.below.control(Motion(pan=Pan.RIGHT, pan_speed=100), target=OUTER)
    await gb.advance(seconds=5)
    told = world.heard(gb, PtzPosition)
    assert len(told) > 1
    assert {notice.channel_id for notice in told} == {OUTER}


async def test_the_subscription_below_ends_with_the_one_above(gb: Simulation) -> None:
    world = await build(gb)
    subscription = await world.below.subscribe_position(10, target=OUTER)
    own = world.lower.device(world.camera.id)
    assert [one.kind for one in own.subscriptions if one.target == world.inner] == ["position"]
    await world.below.unsubscribe(subscription)
    await gb.advance(seconds=2)
    assert [one.kind for one in own.subscriptions if one.target == world.inner] == []
    assert world.link.upward is not None
    assert len(world.link.upward) == 0


async def test_a_subscription_to_what_is_not_shared_is_refused(gb: Simulation) -> None:
    world = await build(gb)
    subscription = await world.below.subscribe_position(5, target="34020000001320009999")
    assert subscription.state == "refused"


async def test_only_the_end_of_what_the_upper_began_is_told_to_it(gb: Simulation) -> None:
    world = await build(gb)
    assert world.link.downward is not None
    world.link.downward.sessions["theirs"] = None
    device = world.lower.device(world.camera.id)
    for session in ("ours", "theirs"):
        notify = DeviceUpgradeResultNotify(sn="1", device_id=world.inner, session_id=session)
        world.lower.publish(Notice(device=device, notify=notify))
    wish = VideoUploadNotify(sn="1", device_id=world.inner, time="2024-05-01T08:00:00")
    world.lower.publish(Notice(device=device, notify=wish))
    await gb.advance(seconds=1)
    told = [event.notify for event in world.heard(gb, Notice)]
    assert [one.device_id for one in told] == [OUTER, OUTER]
    assert getattr(told[0], "session_id", None) == "theirs"


async def test_an_alarm_input_that_no_catalogue_lists_is_told_with_its_device(
    gb: Simulation,
) -> None:
    world = await build(gb, alarms_by_message=True)
    source = "34020000001340000009"
    notify = AlarmNotify(
        sn="1", device_id=source, priority="1", method="2", time="2024-05-01T08:00:00"
    )
    world.lower.publish(Alarm(device=world.lower.device(world.camera.id), notify=notify))
    await gb.advance(seconds=1)
    (alarm,) = world.heard(gb, Alarm)
    assert alarm.notify.device_id == source


async def test_the_200_to_an_upper_of_2016_has_a_body(gb: Simulation) -> None:  # 2016 J.18 to J.22
    world = await build(gb, edition=Edition.GB2016)
    gb.network.trace.clear()
    assert (await world.below.subscribe_alarms()).state == "accepted"
    assert (await world.below.subscribe_position(5)).state == "accepted"
    said = [
        one.data
        for one in gb.network.trace
        if one.data.startswith(b"SIP/2.0 200") and b"SUBSCRIBE\r\n" in one.data
    ]
    assert [b"<Result>OK</Result>" in data for data in said] == [True, True]


async def test_an_alarm_that_the_upper_did_not_ask_for_is_not_told(gb: Simulation) -> None:
    world = await build(gb)
    await world.below.subscribe_alarms(target=OUTER)
    await world.camera.role.raise_alarm(world.camera.role.id, method="2")
    await gb.advance(seconds=2)
    assert world.heard(gb, Alarm) == []
    await world.camera.role.raise_alarm(world.inner, method="5", alarm_type="2")
    await gb.advance(seconds=2)
    assert len(world.heard(gb, Alarm)) == 1
