"""A subscription to the catalogue of a lower platform: what changes below is known above."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gb28181.cascade import Cascade
from gb28181.edition import Edition
from gb28181.manscdp.alarm import AlarmQuery
from gb28181.manscdp.catalog import CatalogItem, CatalogNotify, CatalogQuery
from gb28181.manscdp.codec import encode
from gb28181.manscdp.device_status import DeviceStatusQuery
from gb28181.manscdp.schema import Message
from gb28181.platform import Platform
from gb28181.testing.simulation import SimulatedDevice, Simulation
from sip.endpoint import IncomingRequest, SipEndpoint
from sip.errors import SubscriptionRejected
from sip.message import Headers, Request


class World:
    """An upper, a lower that cascades to it, and a recorder below."""

    def __init__(self, upper: Platform, lower: Platform, camera: SimulatedDevice) -> None:
        self.upper, self.lower, self.camera = upper, lower, camera
        self.link: Cascade

    @property
    def seen(self) -> dict[str, str | None]:
        """What the upper takes each channel to be."""
        return {item.device_id: item.status for item in self.upper.device(self.lower.id).channels}


async def build(gb: Simulation, *, channels: int = 2) -> World:
    upper = await gb.platform(catalog_interval=1e9)
    lower = await gb.platform()
    camera = await gb.device(platform=lower, channels=channels)
    await gb.until(lambda: len(lower.channels()) == channels, within=5)
    world = World(upper, lower, camera)
    world.link = await gb.cascade(lower, upper)
    await gb.until(lambda: len(world.link.publisher) == 1, within=10)
    await gb.until(lambda: len(world.seen) == channels, within=10)
    return world


async def test_a_camera_that_goes_and_comes_is_told_above(gb: Simulation) -> None:
    world = await build(gb)
    channel = world.camera.channels[0]
    assert world.upper.channel(channel).is_online
    await world.camera.stop()
    await gb.until(lambda: set(world.seen.values()) == {"OFF"}, within=5)
    assert not world.upper.channel(channel).is_online
    await world.camera.restart()
    await gb.until(lambda: set(world.seen.values()) == {"ON"}, within=10)
    assert world.upper.channel(channel).is_online


async def test_new_changed_and_removed_channels_are_told_above(gb: Simulation) -> None:
    world = await build(gb)
    remote = world.lower.device(world.camera.id)
    items = remote.channels
    added = replace(items[0], device_id="34020000001320000099", name="新增 & <new>")
    changed = replace(items[1], name="改名")
    world.lower.catalogs.arrived(remote, (items[0], changed, added))
    await gb.until(lambda: len(world.seen) == 3, within=5)
    names = {item.device_id: item.name for item in world.upper.device(world.lower.id).channels}
    assert names[added.device_id] == "新增 & <new>"
    assert names[changed.device_id] == "改名"
    for _ in range(2):  # a deletion needs two complete generations
        world.lower.catalogs.arrived(remote, (items[0],))
    await gb.until(lambda: set(world.seen) == {items[0].device_id}, within=5)


async def test_a_device_that_flaps_is_told_of_once(gb: Simulation) -> None:
    world = await build(gb, channels=1)
    before = world.link.publisher.notified
    remote = world.lower.device(world.camera.id)
    (item,) = remote.channels
    for name in ("a", "b", "c", "d"):
        world.lower.catalogs.arrived(remote, (replace(item, name=name),))
    await gb.until(lambda: _name(world) == "d", within=5)
    assert world.link.publisher.notified == before + 1


async def test_many_changes_are_told_in_several_small_notifications(gb: Simulation) -> None:
    world = await build(gb, channels=40)
    await world.camera.stop()
    await gb.until(lambda: set(world.seen.values()) == {"OFF"}, within=10)
    ledger = world.upper.device(world.lower.id).subscriptions[0]
    assert ledger.notified > 3
    datagrams = [one for one in gb.network.trace if one.kind == "udp" and one.fate == "sent"]
    assert max(one.size for one in datagrams) < 3000


async def test_the_subscription_is_refreshed_and_outlives_its_first_time(gb: Simulation) -> None:
    world = await build(gb, channels=1)
    await gb.advance(minutes=45)
    assert len(world.link.publisher) == 1
    await world.camera.stop()
    await gb.until(lambda: set(world.seen.values()) == {"OFF"}, within=5)
    assert world.upper.device(world.lower.id).subscriptions[0].state == "accepted"


async def test_a_lower_that_restarts_is_subscribed_to_again(gb: Simulation) -> None:
    world = await build(gb, channels=1)
    await world.link.stop()
    await gb.until(lambda: not world.upper.device(world.lower.id).is_online, within=5)
    world.link = await gb.cascade(world.lower, world.upper)
    await gb.until(lambda: len(world.link.publisher) == 1, within=10)
    await world.camera.stop()
    await gb.until(lambda: set(world.seen.values()) == {"OFF"}, within=5)


async def test_a_peer_that_cannot_be_subscribed_to_is_not_asked_again(gb: Simulation) -> None:
    platform = await gb.platform(subscribes_to=lambda device_id: True)
    camera = await gb.scripted()

    async def refuse(incoming: IncomingRequest) -> None:
        incoming.respond(405)

    camera.on_message = refuse
    await camera.register()
    ledger = platform.device(camera.id).subscriptions[0]
    await gb.until(lambda: ledger.state == "refused", within=5)
    assert "405" in ledger.reason
    await gb.advance(minutes=10)
    subscribes = [one for one in gb.network.trace if b"SUBSCRIBE sip:" in one.data[:20]]
    assert len(subscribes) <= 1
    assert gb.leaks() == []


async def subscribed(gb: Simulation, world: World, command: Message) -> int:
    """The status of a SUBSCRIBE that the upper's host sends."""
    endpoint = SipEndpoint(listen=["udp://:7000"], network=gb.host_of(world.upper), user="x")
    await endpoint.start()
    try:
        headers = Headers(
            [
                ("From", f"<sip:{world.upper.id}@3402000000>"),
                ("To", f"<sip:{world.lower.id}@3402000000>"),
                ("Event", "presence"),
                ("Content-Type", "Application/MANSCDP+xml"),
            ]
        )
        request = Request(
            "SUBSCRIBE", f"sip:{world.lower.id}@3402000000", headers,
            encode(command, Edition.GB2016),
        )  # fmt: skip
        port = world.lower.station.endpoint.listening[0][1][1]
        target = f"udp://{gb.host_of(world.lower).address}:{port}"
        try:
            await endpoint.subscribe(request, target)
        except SubscriptionRejected as refused:
            return refused.response.status
        return 200
    finally:
        await endpoint.aclose()


async def test_what_is_not_notified_of_is_not_accepted(gb: Simulation) -> None:
    world = await build(gb, channels=1)
    nothing = "34020000001320009999"
    assert await subscribed(gb, world, DeviceStatusQuery(sn="1", device_id=world.lower.id)) == 489
    assert await subscribed(gb, world, CatalogQuery(sn="1", device_id=nothing)) == 404
    assert await subscribed(gb, world, AlarmQuery(sn="1", device_id=nothing)) == 404


async def test_a_subscriber_to_one_node_is_told_of_that_alone(gb: Simulation) -> None:
    world = await build(gb)
    first, second = world.camera.channels
    query = CatalogQuery(sn="1", device_id=second)
    assert await subscribed(gb, world, query) == 200
    views = [
        {item.device_id for item in view(await world.link.preview())}
        for view in world.link.publisher.views
    ]
    assert sorted(map(len, views)) == [1, 3]
    assert {second} in views
    assert first not in views[-1]


async def test_lost_video_is_told_by_its_name(gb: Simulation) -> None:
    world = await build(gb)
    remote = world.lower.device(world.camera.id)
    lost = CatalogItem(device_id=world.camera.channels[0], event="VLOST")
    notice = CatalogNotify(sn="1", device_id=remote.id, sum_num=1, items=(lost,))
    world.lower.catalogs.changed(remote, remote.tree.notify(notice))
    await gb.until(lambda: world.seen[lost.device_id] == "OFF", within=5)
    item = world.upper.channel_item(lost.device_id)
    assert item is not None
    assert item.event == "VLOST"
    query = await world.upper.device(world.lower.id).catalog()
    assert [one.event for one in query.items if one.device_id == lost.device_id] == [None]


@pytest.mark.parametrize("status", ["ON", "OFF"])
def test_an_event_of_a_state_carries_the_id_alone(status: str) -> None:
    from gb28181.upper.publisher import _difference

    item = CatalogItem(device_id="34020000001320000001", name="gate", status="ON")
    other = replace(item, status="OFF" if status == "ON" else "ON")
    (news,) = _difference({item.device_id: other}, {item.device_id: replace(item, status=status)})
    assert news == CatalogItem(device_id=item.device_id, event=status)


def _name(world: World) -> str | None:
    return world.upper.device(world.lower.id).channels[0].name
