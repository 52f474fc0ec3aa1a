"""A lower platform below an upper one, with real roles and scripted cameras."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from gb28181.cascade import Cascade
from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.control import DeviceControl
from gb28181.manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from gb28181.manscdp.device_status import DeviceStatusQuery, DeviceStatusResponse
from gb28181.platform import Platform
from gb28181.registration import RegistrationState
from gb28181.sessions.live import Live
from gb28181.testing.link import Traced
from gb28181.testing.scripted import ScriptedDevice
from gb28181.testing.simulation import SimulatedDevice, Simulation
from gb28181.upper.share import IdMap, Share
from rtp.packet import RtpPacket, parse
from sip.endpoint import IncomingInvite
from sip.message import Headers, Request


@dataclass
class World:
    """An upper, a lower, a camera below, and the link."""

    gb: Simulation
    upper: Platform
    lower: Platform
    camera: SimulatedDevice
    link: Cascade

    def camera_items(self) -> list[CatalogItem]:
        return [channel.item for channel in self.camera.role.channels.values()]

    async def ends_clean(self) -> None:
        await self.gb.advance(minutes=1)
        assert self.link.viewers == []
        assert self.gb.leaks() == []


async def build(
    gb: Simulation,
    *,
    up: str = "udp",
    low: str = "udp",
    transport: str = "udp",
    channels: int = 1,
    share: Share | None = None,
    silence: float = 30.0,
    media_ports: range = range(30000, 30500),
    **settings: Any,
) -> World:
    upper = await gb.platform(media_mode=up)
    lower = await gb.platform(media_mode=low, silence=silence, media_ports=media_ports)
    camera = await gb.device(platform=lower, channels=channels)
    await gb.until(lambda: len(lower.channels()) == channels, within=5)
    link = await gb.cascade(lower, upper, share, transport=transport, **settings)
    await gb.until(lambda: upper.device(lower.id).channels, within=10)
    return World(gb, upper, lower, camera, link)


async def read(live: Live, count: int) -> list[bytes]:
    seen = []
    async for unit in live.units():
        seen.append(unit.data)
        if len(seen) == count:
            break
    return seen


async def lost_by(platform: Platform, channel_id: str) -> SessionLost:
    with pytest.raises(SessionLost) as told:
        await platform.channel(channel_id).play().open()
    return told.value


def rtp(packets: Iterable[Traced], source: str, target: str) -> list[RtpPacket]:
    """The RTP packets from one host to another, of UDP."""
    return [
        parse(one.data)
        for one in packets
        if (one.kind, one.fate, one.source[0], one.destination[0])
        == ("udp", "sent", source, target)
        and (one.data[0] >> 6, one.data[1] & 0x7F) == (2, 96)
    ]


# Catalogue --------------------------------------------------------------------------------------


async def test_the_upper_sees_the_tree_below(gb: Simulation) -> None:
    world = await build(gb, channels=30)  # several pages over UDP
    items = world.upper.device(world.lower.id).channels
    assert {item.device_id for item in items} == set(world.camera.channels)
    assert {item.parent_id for item in items} == {world.lower.id}
    assert {item.name for item in items} == {item.name for item in world.camera_items()}
    tree = await world.link.preview()
    assert (tree[0].device_id, tree[0].parent_id) == (world.lower.id, None)
    await world.ends_clean()
    info = world.upper.device(world.lower.id).info
    assert info is not None
    assert info.channel == 30


async def test_a_camera_that_is_away_is_published_as_off(gb: Simulation) -> None:
    world = await build(gb)
    await world.camera.stop()
    await gb.until(lambda: not world.lower.channel_online(world.camera.channels[0]), within=5)
    await world.upper.device(world.lower.id).catalog()
    item = world.upper.channel_item(world.camera.channels[0])
    assert item is not None
    assert item.status == "OFF"
    await world.ends_clean()


async def test_ids_and_filter_of_the_link(gb: Simulation) -> None:
    first, second = "34020000001320010001", "34020000001320010002"
    published = "37130000001320000001"

    def wanted(item: CatalogItem) -> bool:
        return item.device_id != second

    world = await build(gb, channels=3, share=Share(wanted=wanted, ids=IdMap({first: published})))
    seen = {item.device_id for item in world.upper.device(world.lower.id).channels}
    assert seen == {published, "34020000001320010003"}
    async with world.upper.channel(published).play() as live:
        await read(live, 12)
        assert world.camera.role.sessions[0].channel_id == first
    # Neither the hidden one nor the mapped one's own id can be had.
    for hidden in (second, first):
        world.upper.catalogs.owners[hidden] = world.lower.id
        lost = await lost_by(world.upper, hidden)
        assert lost.cause.code == "rejected-404"
    await world.ends_clean()


async def test_questions_are_answered_for_the_cameras_and_for_ourselves(gb: Simulation) -> None:
    world = await build(gb)
    commands, lower = world.upper.commands, world.upper.device(world.lower.id)
    channel = world.camera.channels[0]

    async def status(device_id: str) -> tuple[str | None, str | None]:
        query = DeviceStatusQuery(sn=commands.next_sn(), device_id=device_id)
        answer = await commands.ask_one(lower, query, DeviceStatusResponse)
        return answer.result, answer.online

    assert await status(world.lower.id) == ("OK", "ONLINE")
    assert await status(channel) == ("OK", "ONLINE")
    assert await status("34020000001320009999") == ("ERROR", "OFFLINE")
    await world.camera.stop()
    assert await status(channel) == ("OK", "OFFLINE")
    query = DeviceInfoQuery(sn=commands.next_sn(), device_id=channel)
    info = await commands.ask_one(lower, query, DeviceInfoResponse)
    assert (info.device_name, info.channel) == (world.camera_items()[0].name, 1)
    part = await lower.catalog(device_id=channel)
    assert [item.device_id for item in part.items] == [channel]
    await world.ends_clean()


@pytest.mark.parametrize("ptz", [True, False])
async def test_a_control_is_passed_down_with_an_own_number(gb: Simulation, ptz: bool) -> None:
    ids = IdMap({"34020000001320010001": "37130000001320000001"})
    world = await build(gb, share=Share(ids=ids, ptz=ptz))
    control = DeviceControl(
        sn="777777777", device_id="37130000001320000001", ptz_cmd="A50F0108FF0000BC"
    )
    await world.upper.commands.send(world.upper.device(world.lower.id), control)
    await gb.advance(1)
    passed = [
        one.data
        for one in gb.network.trace
        if one.destination[0] == world.camera.host.address and b"A50F0108FF0000BC" in one.data
    ]
    assert len(passed) == ptz
    if passed:
        assert b"<DeviceID>34020000001320010001<" in passed[0]
        assert b"777777777" not in passed[0]
    await world.ends_clean()


# Media ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", ["udp", "tcp-passive", "tcp-active"])
@pytest.mark.parametrize("low", ["udp", "tcp-passive", "tcp-active"])
async def test_media_is_relayed_over_any_transport(gb: Simulation, up: str, low: str) -> None:
    world = await build(gb, up=up, low=low, transport="tcp" if up == "udp" else "udp")
    async with world.upper.channel(world.camera.channels[0]).play() as live:
        units = await read(live, 25)
        below = next(iter(world.lower.streams.running().values()))
        assert live.statistics.ssrc != below.receiver.statistics.ssrc
        assert live.statistics.lost == 0
        assert units[0] == units[10] == units[20]  # the clip's key frame, as it was sent
    await gb.until(lambda: world.link.viewers == [], within=10)
    await gb.until(lambda: world.camera.role.sessions == [], within=20)
    await world.ends_clean()


async def test_the_payload_is_untouched_and_the_ssrc_is_ours(gb: Simulation) -> None:
    world = await build(gb)
    async with world.upper.channel(world.camera.channels[0]).play() as live:
        await read(live, 25)
    lower, upper = gb.host_of(world.lower).address, gb.host_of(world.upper).address
    below = rtp(gb.network.trace, world.camera.host.address, lower)
    above = rtp(gb.network.trace, lower, upper)
    assert len(above) > 30
    sent = [bytes(packet.payload) for packet in below]
    passed = [bytes(packet.payload) for packet in above]
    start = sent.index(passed[0])
    assert sent[start : start + len(passed)] == passed
    assert {packet.ssrc for packet in above}.isdisjoint({packet.ssrc for packet in below})
    assert len({packet.ssrc for packet in above}) == 1
    await world.ends_clean()


async def test_one_camera_stream_serves_several_viewers_above(gb: Simulation) -> None:
    world = await build(gb)
    other = await gb.platform()
    second = await gb.cascade(world.lower, other)
    await gb.until(lambda: other.device(world.lower.id).channels, within=10)
    channel = world.camera.channels[0]
    async with world.upper.channel(channel).play() as one, other.channel(channel).play() as two:
        assert await read(one, 12)
        assert await read(two, 12)
        assert len(world.camera.role.sessions) == 1
        assert (len(world.link.viewers), len(second.viewers)) == (1, 1)
        assert one.statistics.ssrc != two.statistics.ssrc
    await gb.until(lambda: world.camera.role.sessions == [], within=20)
    await world.ends_clean()


async def test_a_bye_from_above_ends_the_camera_after_the_linger(gb: Simulation) -> None:
    world = await build(gb)
    live = await world.upper.channel(world.camera.channels[0]).play().open()
    await live.session.close(live.session.why(TimeoutError("enough")))
    await gb.until(lambda: world.link.viewers == [], within=2)
    assert len(world.camera.role.sessions) == 1  # lingers
    await gb.until(lambda: world.camera.role.sessions == [], within=7)
    live.close()
    await world.ends_clean()


async def test_a_bye_from_below_ends_the_call_above(gb: Simulation) -> None:
    world = await build(gb)
    live = await world.upper.channel(world.camera.channels[0]).play().open()
    await world.camera.role.sessions[0].call.bye(reason="privacy")
    await gb.until(live.session.ended.done, within=5)
    cause = live.session.ended.result()
    assert cause.code == "bye"
    assert "privacy" in cause.sentence
    live.close()
    await world.ends_clean()


async def test_a_camera_that_vanishes_ends_the_call_above_with_a_reason(gb: Simulation) -> None:
    world = await build(gb, silence=10.0)
    live = await world.upper.channel(world.camera.channels[0]).play().open()
    world.camera.vanish()
    await gb.until(live.session.ended.done, within=20)
    cause = live.session.ended.result()
    assert cause.code == "bye"
    assert "no RTP" in cause.sentence
    assert any(
        one.data.startswith(b"BYE ") and b"\r\nReason: " in one.data
        for one in gb.network.trace
        if one.destination[0] == gb.host_of(world.upper).address
    )
    live.close()
    await gb.advance(minutes=5)
    await world.ends_clean()


async def test_an_upper_that_is_gone_ends_the_relay(gb: Simulation) -> None:
    world = await build(gb, retry=60.0, retry_spread=0.0)
    live = await world.upper.channel(world.camera.channels[0]).play().open()
    live.close()
    assert len(world.link.viewers) == 1
    gb.host_of(world.upper).vanish()
    await gb.until(lambda: world.link.viewers == [], within=6 * 60)
    await gb.until(lambda: world.camera.role.sessions == [], within=20)
    gb.host_of(world.upper).reappear()
    await gb.until(lambda: world.link.is_registered, within=200)
    async with world.upper.channel(world.camera.channels[0]).play() as again:
        await read(again, 5)
    await world.ends_clean()


async def test_stopping_the_link_says_goodbye_above(gb: Simulation) -> None:
    world = await build(gb)
    live = await world.upper.channel(world.camera.channels[0]).play().open()
    await world.link.stop()
    assert live.session.ended.done()
    await gb.until(lambda: not world.upper.device(world.lower.id).is_online, within=5)
    live.close()
    await world.ends_clean()


# Refusals and CANCEL ------------------------------------------------------------------------------


async def scripted_below(world: World) -> ScriptedDevice:
    camera = await world.gb.scripted(platform=world.lower)
    await camera.register()
    await world.gb.until(lambda: world.lower.channel_item(camera.id), within=5)
    await world.upper.device(world.lower.id).catalog()
    return camera


@pytest.mark.parametrize(
    ("below", "above"), [(404, 404), (480, 480), (486, 486), (488, 488), (408, 408), (603, 500)]
)
async def test_a_refusal_below_is_told_above(gb: Simulation, below: int, above: int) -> None:
    world = await build(gb)
    camera = await scripted_below(world)
    camera.on_invite = camera.refuse(below)
    lost = await lost_by(world.upper, camera.id)
    assert lost.cause.code == f"rejected-{above}"
    assert str(below) in lost.cause.sentence  # the Warning says what happened below
    await world.ends_clean()


async def test_a_camera_that_does_not_answer_is_408_above(gb: Simulation) -> None:
    world = await build(gb, answer_within=4.0)
    camera = await scripted_below(world)
    camera.on_invite = camera.ring
    lost = await lost_by(world.upper, camera.id)
    assert lost.cause.code == "rejected-408"
    await world.ends_clean()


async def test_a_camera_that_is_offline_is_480_above(gb: Simulation) -> None:
    world = await build(gb)
    camera = await scripted_below(world)
    await camera.register(expires=0)
    lost = await lost_by(world.upper, camera.id)
    assert lost.cause.code == "rejected-480"
    await world.ends_clean()


@pytest.mark.parametrize("delay", [0.0005, 0.0015, 0.0025, 0.0035, 0.0045, 0.005, 0.006, 1.0])
async def test_a_cancel_at_any_stage_leaves_nothing(gb: Simulation, delay: float) -> None:
    world = await build(gb)
    viewer = asyncio.ensure_future(world.upper.channel(world.camera.channels[0]).play().open())
    await gb.advance(delay)
    viewer.cancel()
    await asyncio.wait([viewer])
    if not viewer.cancelled():
        viewer.result().close()
    await gb.until(lambda: world.link.viewers == [], within=40)
    await gb.until(lambda: world.camera.role.sessions == [], within=40)
    await world.ends_clean()


async def test_a_cancel_while_the_camera_rings_is_passed_down(gb: Simulation) -> None:
    world = await build(gb)
    camera = await scripted_below(world)
    gave_up = asyncio.Event()

    async def ring(incoming: IncomingInvite) -> None:
        await camera.ring(incoming)
        await incoming.cancelled
        gave_up.set()

    camera.on_invite = ring
    viewer = asyncio.ensure_future(world.upper.channel(camera.id).play().open())
    await gb.advance(1)
    viewer.cancel()
    await asyncio.wait([viewer])
    await gb.until(gave_up.is_set, within=2)
    await world.ends_clean()


# The link -----------------------------------------------------------------------------------------


async def test_the_states_of_a_link(gb: Simulation) -> None:
    upper = await gb.platform(password_for=lambda device_id: None)
    lower = await gb.platform()
    states: list[RegistrationState] = []

    async def record(link: Cascade) -> None:
        async for change in link.states():
            states.append(change.state)  # noqa: PERF401  it has no end

    link = await gb.cascade(lower, upper, refused_retry=100.0, retry_spread=0.0)
    await gb.start(record(link))
    await gb.advance(50)
    assert not link.is_registered
    assert states[-1] is RegistrationState.BACKING_OFF
    upper._password_for = lambda device_id: "secret"  # the operator has added us
    await gb.until(lambda: link.is_registered, within=110)
    await gb.advance(0.1)
    assert states[-1].name == "REGISTERED"


async def test_an_upper_that_boots_again_is_registered_at_again(gb: Simulation) -> None:
    world = await build(gb, retry=60.0, retry_spread=30.0)
    address = gb.host_of(world.upper).address
    await gb.power_off(world.upper)
    second = await gb.platform(world.upper.id, address=address)
    await gb.until(lambda: second.device(world.lower.id).channels, within=3 * 60 + 90 + 60)
    async with second.channel(world.camera.channels[0]).play() as live:
        await read(live, 5)
    await world.ends_clean()


async def test_a_lower_that_boots_again_serves_again(gb: Simulation) -> None:
    world = await build(gb)
    channel = world.camera.channels[0]
    live = await world.upper.channel(channel).play().open()
    address = gb.host_of(world.lower).address
    await gb.power_off(world.lower)
    again = await gb.platform(world.lower.id, address=address)
    link = await gb.cascade(again, world.upper)
    await gb.until(live.session.ended.done, within=60)  # silence, at the latest
    live.close()
    await gb.until(lambda: again.channel_online(channel), within=4 * 60 + 90)
    await gb.until(lambda: link.is_registered)
    async with world.upper.channel(channel).play() as anew:
        await read(anew, 5)
    await gb.advance(minutes=1)
    assert gb.leaks() == []


async def test_a_lossy_link_above_ends_well(gb: Simulation) -> None:
    world = await build(gb)
    gb.network.link(gb.host_of(world.upper), gb.host_of(world.lower), loss=0.2)
    for _ in range(4):
        with suppress(SessionLost):  # media may be lost altogether, or start too late
            async with world.upper.channel(world.camera.channels[0]).play() as live:
                await read(live, 12)
    await gb.until(lambda: world.link.viewers == [], within=120)
    gb.network.link(gb.host_of(world.upper), gb.host_of(world.lower), loss=0.0)
    await gb.advance(minutes=2)
    await world.ends_clean()


async def test_the_catalogue_event_comes_once_for_the_link(gb: Simulation) -> None:
    world = await build(gb)
    told = [e for e in gb.events if isinstance(e, CatalogChanged) and e.device.id == world.lower.id]
    assert len(told) == 1


async def test_the_same_subject_again_replaces_the_older_session(gb: Simulation) -> None:
    world = await build(gb)
    live = await world.upper.channel(world.camera.channels[0]).play().open()
    plan, endpoint = live.session.plan, world.upper.station.endpoint
    again = plan.request(plan.offer(39000).to_bytes(), endpoint.contact(plan.target))
    call = await endpoint.invite(again, plan.target)
    await call.ack()
    await gb.advance(0.1)
    await gb.until(live.session.ended.done, within=2)
    assert "replaced" in live.session.ended.result().sentence
    assert (len(world.link.viewers), len(world.camera.role.sessions)) == (1, 1)
    await call.bye()
    live.close()
    await world.ends_clean()


async def test_without_a_free_media_port_the_upper_is_told_486(gb: Simulation) -> None:
    world = await build(gb, media_ports=range(30000, 30002))
    lost = await lost_by(world.upper, world.camera.channels[0])
    assert lost.cause.code == "rejected-486"
    await world.ends_clean()


async def test_requests_of_the_upper_that_are_not_served(gb: Simulation) -> None:
    world = await build(gb)
    flow = world.upper.device(world.lower.id).require_binding().flow
    statuses = []
    for method, kind, body in (
        ("OPTIONS", "", b""),
        ("PUBLISH", "", b""),
        ("MESSAGE", "text/plain", b"hello"),
        ("MESSAGE", "Application/MANSCDP+xml", b"<<<"),
    ):
        uri = f"sip:{world.lower.id}@3402000000"
        headers = Headers([("From", f"<sip:{world.upper.id}@3402000000>"), ("To", f"<{uri}>")])
        if kind:
            headers.add("Content-Type", kind)
        request = Request(method, uri, headers, body)
        statuses.append((await world.upper.station.endpoint.request(request, flow)).status)
    assert statuses == [200, 405, 415, 400]
