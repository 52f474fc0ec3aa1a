"""The device: what it serves, and to whom."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gb28181.equipment.settings import EquipmentSettings
from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged, DeviceOnline
from gb28181.manscdp.codec import decode
from gb28181.manscdp.control import DeviceControl, DeviceControlResponse
from gb28181.registration import RegistrationState
from gb28181.testing.simulation import Simulation
from sip.endpoint import SipEndpoint
from sip.message import Headers, Request


async def test_viewers_of_two_platforms_are_not_mixed_up(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=2)
    await gb.until(CatalogChanged)
    one = await platform.channel(camera.channels[0]).play().open()
    two = await platform.channel(camera.channels[1]).play().open()
    assert [session.channel_id for session in camera.role.sessions] == list(camera.channels)
    assert camera.role.open_things()["sessions"] == 2
    one.close()
    two.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_one_viewer_too_many_gets_486(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=2, max_sessions=1)
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.channels[1]).play().open()
    assert told.value.cause.code == "rejected-486"
    live.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_an_unknown_channel_gets_404(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    # Its catalogue does not list its own id, and it plays only what it lists.
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.id).play().open()
    assert told.value.cause.code == "rejected-404"


async def test_a_stranger_is_not_served(gb: Simulation) -> None:
    await gb.platform()
    camera = await gb.device()
    await gb.until(DeviceOnline)
    binding = gb.events[0].device.require_binding()  # type: ignore[union-attr]
    stranger = SipEndpoint(listen=("udp://:5060",), network=gb.network.host("10.9.9.9"))
    await stranger.start()
    uri = f"sip:{camera.id}@3402000000"
    headers = Headers([("From", "<sip:34020000002000000001@3402000000>"), ("To", f"<{uri}>")])
    host, port = binding.flow.remote
    response = await stranger.request(Request("OPTIONS", uri, headers), f"udp://{host}:{port}")
    assert response.status == 403
    await stranger.aclose()


async def test_a_platform_that_is_gone_takes_its_sessions_with_it(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(keepalive_interval=20.0)
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    gb.host_of(platform).vanish()
    assert len(camera.role.sessions) == 1
    await gb.until(lambda: camera.role.sessions == [], within=3 * 20 + 60)
    live.close()


async def test_a_device_says_goodbye(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    await camera.stop()
    assert "shutdown" in (await live.session.ended).sentence
    assert not platform.device(camera.id).is_online
    assert await camera.role.wait_closed() is None
    live.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_control_that_its_state_forbids_is_not_ok(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(equipment=EquipmentSettings(cards=()))
    await gb.until(DeviceOnline)
    control = DeviceControl(sn="55", device_id=camera.id, record_cmd="Record")
    await platform.commands.send(platform.device(camera.id), control)
    await gb.advance(0.1)
    answers = [
        decode(one.data.split(b"\r\n\r\n", 1)[1]).message
        for one in gb.network.trace
        if one.data.startswith(b"MESSAGE") and b"<Response>" in one.data
    ]
    found = [a for a in answers if isinstance(a, DeviceControlResponse)]
    assert [(a.sn, a.result) for a in found] == [("55", "ERROR")]


async def test_a_key_frame_may_be_asked_for(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    asked: list[str] = []
    session = camera.role.sessions[0]
    session.sender.force_key = lambda: asked.append(session.channel_id)  # type: ignore[method-assign]
    control = DeviceControl(sn="1", device_id=camera.channels[0], i_frame_cmd="Send")
    await platform.commands.send(platform.device(camera.id), control)
    await platform.commands.send(
        platform.device(camera.id), replace(control, sn="2", device_id="34020000001320009999")
    )
    await gb.advance(0.1)
    assert asked == [camera.channels[0]]
    live.close()


async def test_the_loss_fault_withholds_packets(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(loss=0.3, seed=0)
    camera_seed = camera.role.serving.loss
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        await gb.advance(5)
        lost = camera.role.sessions[0].sender.statistics.dropped_by_fault
        assert camera_seed == 0.3
        assert lost > 0
        assert 0 < live.statistics.lost <= lost
    await gb.advance(40)
    assert gb.leaks() == []


async def test_it_waits_between_attempts_and_never_gives_up(gb: Simulation) -> None:
    platform = await gb.platform()
    gb.host_of(platform).vanish()
    camera = await gb.device(retry=60.0, retry_spread=0.0)
    await gb.advance(minutes=30)
    assert camera.role.link is not None
    assert camera.role.link.state is not RegistrationState.REGISTERED
    sent = [one for one in gb.network.trace if one.data.startswith(b"REGISTER")]
    ids = {one.data.split(b"Call-ID: ")[1].split(b"\r\n")[0] for one in sent}
    assert 15 <= len(ids) <= 21  # each takes 32 s of trying and 60 s of waiting
    gb.host_of(platform).reappear()
    async with asyncio.timeout(100):
        await camera.registered()


async def test_the_same_subject_again_replaces_the_older_session(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    plan, endpoint = live.session.plan, platform.station.endpoint
    again = plan.request(plan.offer(39000).to_bytes(), endpoint.contact(plan.target))
    call = await endpoint.invite(again, plan.target)
    await call.ack()
    await gb.advance(0.1)
    await gb.until(live.session.ended.done, within=2)
    assert "replaced" in live.session.ended.result().sentence
    assert len(camera.role.sessions) == 1
    await call.bye()
    live.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_without_a_free_media_port_a_device_is_busy(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=2, media_ports=range(40000, 40002))
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.channels[1]).play().open()
    assert told.value.cause.code == "rejected-486"
    live.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_requests_that_a_device_does_not_serve(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    flow = platform.device(camera.id).require_binding().flow
    statuses = []
    for method, kind, body in (
        ("OPTIONS", "", b""),
        ("PUBLISH", "", b""),
        ("REGISTER", "", b""),
        ("NOTIFY", "", b""),
        ("MESSAGE", "text/plain", b"hello"),
        ("MESSAGE", "Application/MANSCDP+xml", b"<<<"),
    ):
        uri = f"sip:{camera.id}@3402000000"
        headers = Headers([("From", f"<sip:{platform.id}@3402000000>"), ("To", f"<{uri}>")])
        if kind:
            headers.add("Content-Type", kind)
        answer = await platform.station.endpoint.request(Request(method, uri, headers, body), flow)
        statuses.append(answer.status)
        if answer.status == 405:  # RFC 3261 8.2.1
            assert method not in (answer.headers.get("Allow") or "").split(", ")
    assert statuses == [200, 405, 405, 405, 415, 400]
