"""The platform with real devices, and with scripted ones that misbehave."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from gb28181.commands.moves import Ptz
from gb28181.edition import Edition
from gb28181.errors import NoAnswer, PlatformFailed
from gb28181.events import Alarm, CatalogChanged, DeviceOffline, DeviceOnline
from gb28181.manscdp.alarm import AlarmNotify, AlarmResponse
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.codec import CONTENT_TYPE, decode, encode
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.platform import Platform
from gb28181.quirks import Quirks
from gb28181.registrar import RegistrarConfig
from gb28181.registration import RegistrationState
from gb28181.testing.scripted import ScriptedDevice
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingRequest, SipEndpoint
from sip.errors import FlowFailed
from sip.flow import Flow
from sip.message import Headers, Request


def alarm_of(camera: ScriptedDevice) -> AlarmNotify:
    return AlarmNotify(
        sn="7", device_id=camera.id, priority="1", method="5", time="2026-01-01T00:00:00"
    )


# Registration ---------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_device_with_the_right_password_comes_online(
    gb: Simulation, transport: str
) -> None:
    platform = await gb.platform()
    camera = await gb.device(transport=transport)
    online = await gb.until(DeviceOnline)
    assert online is not None
    assert online.device is platform.device(camera.id)
    binding = online.device.require_binding()
    assert binding.flow.transport == transport
    assert binding.flow.remote[0] == camera.host.address
    assert platform.health()["online"] == 1


async def test_a_wrong_password_is_refused_and_told_once(
    gb: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "gb28181.platform")
    platform = await gb.platform()
    camera = await gb.device(password="wrong", retry=60.0, retry_spread=0.0)
    await gb.advance(minutes=10)
    assert camera.role.link is not None
    assert camera.role.link.state is RegistrationState.BACKING_OFF
    assert "403" in camera.role.link.reason
    assert not platform.device(camera.id).is_online
    assert platform.refused[camera.id] > 1
    lines = [r.getMessage() for r in caplog.records if r.name == "gb28181.platform"]
    assert len(lines) == 1
    assert camera.id in lines[0]
    assert "WRONG" in lines[0]


async def test_a_device_without_a_password_is_refused(gb: Simulation) -> None:
    platform = await gb.platform(password_for=lambda device_id: None)
    stranger = await gb.scripted()
    assert (await stranger.register()).status == 403
    assert platform.health()["online"] == 0


async def test_a_password_may_be_looked_up_by_a_coroutine(gb: Simulation) -> None:
    async def lookup(device_id: str) -> str:
        await asyncio.sleep(0.2)
        return "secret"

    await gb.platform(password_for=lookup)
    await gb.device()
    assert await gb.until(DeviceOnline, within=2.0)


async def test_a_command_of_a_device_that_is_not_registered_is_refused(gb: Simulation) -> None:
    await gb.platform()
    stranger = await gb.scripted()
    assert await stranger.send(alarm_of(stranger)) == 403


async def test_a_device_that_unregisters_is_offline_at_once(gb: Simulation) -> None:
    await gb.platform()
    camera = await gb.device()
    await gb.until(DeviceOnline)
    await camera.stop()
    gone = await gb.until(DeviceOffline, within=5.0)
    assert gone is not None
    assert gone.cause.code == "unregistered"


async def test_a_device_that_falls_silent_is_offline_and_comes_back(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(DeviceOnline)
    camera.vanish()
    gone = await gb.until(DeviceOffline, within=60 * 3 * 1.1 + 65)
    assert gone is not None
    assert gone.cause.code == "silent"
    assert "nothing was heard" in gone.cause.sentence
    camera.reappear()
    assert await gb.until(DeviceOnline, within=300)
    assert platform.device(camera.id).is_online


async def test_a_registration_that_is_not_refreshed_expires(gb: Simulation) -> None:
    config = RegistrarConfig(server_id="34020000002000000001", keepalive_interval=3600.0)
    await gb.platform(registrar=config)
    camera = await gb.scripted()
    assert (await camera.register(expires=120)).status == 200
    gone = await gb.until(DeviceOffline, within=200)
    assert gone is not None
    assert gone.cause.code == "expired"


async def test_a_device_that_boots_again_at_its_address_is_served_again(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    await camera.restart()
    await gb.until(lambda: camera.is_registered, within=5.0)
    async with platform.channel(camera.channels[0]).play() as live:
        assert live.statistics.packets > 0
    await gb.advance(40)
    assert gb.leaks() == []


async def test_devices_register_again_after_the_platform_was_lost(gb: Simulation) -> None:
    first = await gb.platform()
    camera = await gb.device(retry=60.0, retry_spread=30.0)
    await gb.until(CatalogChanged)
    address = gb.host_of(first).address
    await gb.power_off(first)
    await gb.advance(minutes=1)
    second = await gb.platform(first.id, address=address)
    # Three heartbeats missed or refused, then the retry.
    await gb.until(lambda: second.device(camera.id).is_online, within=4 * 60 + 90)
    await gb.until(lambda: second.device(camera.id).channels, within=10)
    async with second.channel(camera.channels[0]).play() as live:
        assert live.statistics.packets > 0
    await gb.advance(40)
    assert gb.leaks() == []


# Alarms ---------------------------------------------------------------------------------------


async def test_an_alarm_is_acknowledged_when_it_was_kept(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()
    kept: list[Alarm] = []
    tries = 0

    @platform.on_alarm
    async def keep(alarm: Alarm) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise OSError("the database is locked")
        kept.append(alarm)

    await camera.register()
    assert await camera.send(alarm_of(camera)) == 200
    await gb.until(lambda: "MESSAGE" in camera.methods())
    answer = decode(camera.received[0].request.body).message
    assert isinstance(answer, AlarmResponse)
    assert (answer.sn, answer.result) == ("7", "OK")
    assert [alarm.notify.sn for alarm in kept] == ["7"]
    told = await gb.until(Alarm)
    assert told is not None
    assert told.device.id == camera.id


async def test_an_alarm_that_nobody_kept_is_not_acknowledged(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    @platform.on_alarm
    async def fail(alarm: Alarm) -> None:
        raise OSError("the disk is full")

    await camera.register()
    await camera.send(alarm_of(camera))
    await gb.advance(minutes=1)
    assert camera.methods() == []
    assert platform.health()["online"] == 1


# Life and death -------------------------------------------------------------------------------


async def test_an_error_of_the_caller_leaves_the_block_bare(gb: Simulation) -> None:
    platform = Platform(
        "34020000002000000001",
        password_for=lambda device_id: "secret",
        network=gb.network.host("10.0.0.1"),
    )
    with pytest.raises(KeyError, match="mine"):
        async with platform:
            raise KeyError("mine")
    await gb.advance(1)
    assert gb.network.leaks() == []


async def test_it_may_be_entered_and_left_in_different_tasks(gb: Simulation) -> None:
    platform = Platform(
        "34020000002000000001",
        password_for=lambda device_id: "secret",
        network=gb.network.host("10.0.0.1"),
    )
    await asyncio.create_task(platform.start())
    assert platform.health()["devices"] == 0
    await asyncio.create_task(platform.stop())
    assert await platform.wait_closed() is None
    await gb.advance(1)
    assert gb.network.leaks() == []
    async with platform:  # and again
        assert platform.health()["devices"] == 0


async def test_a_port_in_use_is_an_os_error_and_leaves_nothing_open(gb: Simulation) -> None:
    platform = await gb.platform()
    host = gb.host_of(platform)
    before = gb.network.leaks()
    other = Platform("34020000002000000009", password_for=lambda device_id: None, network=host)
    with pytest.raises(OSError, match="5060"):
        await other.start()
    assert gb.network.leaks() == before
    with pytest.raises(PlatformFailed, match="not running"):
        other.health()


async def test_the_death_of_something_vital_is_told_to_whoever_waits(
    gb: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    async def silent(incoming: IncomingRequest) -> None:
        incoming.respond(200)

    camera.on_message = silent
    await camera.register()
    asking = asyncio.ensure_future(platform.device(camera.id).device_info())
    await gb.advance(1)
    assert not asking.done()

    async def die() -> None:
        raise RuntimeError("the endpoint broke")

    platform.station.supervisor.spawn(die(), name="endpoint")
    with pytest.raises(PlatformFailed, match="the endpoint broke"):
        await asking
    with pytest.raises(PlatformFailed) as told:
        platform.health()
    assert isinstance(told.value.__cause__, RuntimeError)
    assert isinstance(await platform.wait_closed(), RuntimeError)
    with pytest.raises(PlatformFailed):
        await platform.channel(camera.id).play().open()
    assert [r.name for r in caplog.records if r.levelno == logging.ERROR] == ["gb28181.supervisor"]


async def test_a_verb_of_a_platform_that_stops_does_not_wait_for_ever(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    async def silent(incoming: IncomingRequest) -> None:
        incoming.respond(200)

    camera.on_message = silent
    await camera.register()
    asking = asyncio.ensure_future(platform.device(camera.id).device_info())
    await gb.advance(1)
    await platform.stop()
    async with asyncio.timeout(1):
        with pytest.raises((PlatformFailed, NoAnswer)):
            await asking


async def test_stopping_ends_the_calls(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    await platform.stop()
    assert (await live.session.ended).code == "shutdown"
    await gb.until(lambda: camera.role.sessions == [], within=2)
    await gb.advance(40)
    assert gb.leaks() == []


async def test_the_snapshot_tells_who_is_online_already(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.events(snapshot=True) as events:
        first = await anext(events)
    assert isinstance(first, DeviceOnline)
    assert first.device.id == camera.id


async def test_methods_that_a_platform_does_not_serve(gb: Simulation) -> None:
    from sip.message import Headers, Request

    platform = await gb.platform()
    peer = await gb.scripted()
    statuses = {}
    for method in ("OPTIONS", "SUBSCRIBE", "INFO", "PUBLISH"):
        uri = f"sip:{platform.id}@3402000000"
        headers = Headers([("From", f"<sip:{peer.id}@3402000000>"), ("To", f"<{uri}>")])
        answer = await peer.endpoint.request(
            Request(method, uri, headers), f"udp://{gb.host_of(platform).address}:5060"
        )
        statuses[method] = answer.status
    assert statuses == {"OPTIONS": 200, "SUBSCRIBE": 403, "INFO": 403, "PUBLISH": 405}


async def test_a_body_that_is_no_command_is_refused(gb: Simulation) -> None:
    from sip.message import Headers, Request

    platform = await gb.platform(asks_catalog=False)
    peer: ScriptedDevice = await gb.scripted()
    await peer.register()
    uri = f"sip:{platform.id}@3402000000"
    statuses = []
    for kind, body in (("text/plain", b"x"), ("Application/MANSCDP+xml", b"<<<"), ("", b"")):
        headers = Headers([("From", f"<sip:{peer.id}@3402000000>"), ("To", f"<{uri}>")])
        if kind:
            headers.add("Content-Type", kind)
        answer = await peer.endpoint.request(
            Request("MESSAGE", uri, headers, body), f"udp://{gb.host_of(platform).address}:5060"
        )
        statuses.append(answer.status)
    assert statuses == [415, 400, 200]
    assert platform.health()["online"] == 1


async def test_an_endpoint_that_closes_under_the_platform_is_its_death(gb: Simulation) -> None:
    platform = await gb.platform()
    await platform.station.endpoint.aclose()
    cause = await platform.wait_closed()
    assert isinstance(cause, FlowFailed)
    with pytest.raises(PlatformFailed, match="has closed"):
        platform.health()


# Liveness ---------------------------------------------------------------------------------------


async def test_a_device_that_sends_no_heartbeats_and_answers_stays_online(gb: Simulation) -> None:
    """Hikvision DS-2SE3C144 registers at a 2016 platform and sends none."""
    platform = await gb.platform(
        asks_catalog=False, quirks_for=lambda device_id: Quirks(asks_the_silent=True)
    )
    camera = await gb.scripted()

    async def obey(incoming: IncomingRequest) -> None:
        incoming.respond(405 if incoming.method == "OPTIONS" else 200)

    camera.on_message = obey
    await camera.register()
    await gb.advance(minutes=50)
    assert platform.device(camera.id).is_online
    assert not any(isinstance(event, DeviceOffline) for event in gb.events)
    assert platform.device(camera.id).quirks_seen["no heartbeat at all"] > 3
    assert sum(isinstance(event, DeviceOnline) for event in gb.events) == 1


@pytest.mark.parametrize("asked", [False, True])
async def test_a_device_without_heartbeats_is_offline_also_when_it_answers_others(
    gb: Simulation, asked: bool
) -> None:
    """9.6 knows of no second chance; with the quirk only a device that answers has one."""
    await gb.platform(
        asks_catalog=False, quirks_for=lambda device_id: Quirks(asks_the_silent=asked)
    )
    camera = await gb.scripted()

    async def disown(incoming: IncomingRequest) -> None:
        incoming.respond(404 if asked else 200)

    camera.on_message = disown
    await camera.register()
    gone = await gb.until(DeviceOffline, within=215)
    assert gone is not None
    assert gone.cause.code == "silent"


async def test_an_answer_of_the_device_is_a_sign_of_life(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()
    await camera.register()
    before = platform.device(camera.id).require_binding().last_seen
    await gb.advance(100)
    await platform.device(camera.id).control(Ptz.stop())
    assert platform.device(camera.id).require_binding().last_seen > before + 99


# Redirection ------------------------------------------------------------------------------------


async def test_a_device_is_sent_to_another_platform_once_it_has_proved_who_it_is(
    gb: Simulation,
) -> None:
    """2022, 9.1.2.3."""
    second = await gb.platform("34020000002000000002", address="10.0.0.99")
    first = await gb.platform(
        redirect_to=lambda device_id: f"<sip:{second.id}@10.0.0.99:5060>",
    )
    camera = await gb.device(platform=first)
    await gb.until(lambda: second.device(camera.id).is_online, within=10)
    assert not first.device(camera.id).is_online
    stranger = await gb.scripted(platform=first)
    assert (await stranger.register(password="wrong")).status == 403
    moved = await stranger.register()
    assert moved.status == 302
    assert moved.headers.get("Contact") == f"<sip:{second.id}@10.0.0.99:5060>"
    assert moved.headers.get("X-GB-Ver") == "3.0"
    assert int(moved.headers.get("Expires") or 0) > 0


async def test_the_answer_to_a_registration_has_the_date_and_our_edition(gb: Simulation) -> None:
    """2022, 9.10 and Annex I; the date is a habit that can be switched off."""
    silent = Quirks(date_header=False)
    await gb.platform(
        quirks_for=lambda device_id: silent if device_id.endswith("2") else Quirks(),
        asks_catalog=False,
    )
    answer = await (await gb.scripted()).register()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", answer.headers.get("Date") or "")
    assert answer.headers.get("X-GB-Ver") == "3.0"
    assert (await (await gb.scripted()).register()).headers.get("Date") is None


# Addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("follows", [False, True])
async def test_a_new_address_is_followed_where_it_is_the_devices_habit(
    gb: Simulation, follows: bool
) -> None:
    platform = await gb.platform(
        asks_catalog=False, quirks_for=lambda device_id: Quirks(follows_address=follows)
    )
    camera = await gb.scripted()
    await camera.register()
    elsewhere = SipEndpoint(
        listen=("udp://:5060",), network=gb.network.host("10.0.9.9"), user=camera.id
    )
    await elsewhere.start()
    body = encode(KeepaliveNotify(sn="1", device_id=camera.id, status="OK"), Edition.GB2016)
    headers = Headers(
        [
            ("From", f"<sip:{camera.id}@3402000000>"),
            ("To", f"<sip:{platform.id}@3402000000>"),
            ("Content-Type", CONTENT_TYPE),
        ]
    )
    request = Request("MESSAGE", f"sip:{platform.id}@3402000000", headers, body)
    target = f"udp://{gb.host_of(platform).address}:5060"
    status = (await elsewhere.request(request, target)).status
    device = platform.device(camera.id)
    assert status == (200 if follows else 403)
    assert device.require_binding().flow.remote[0] == (
        "10.0.9.9" if follows else camera.host.address
    )
    assert device.quirks_seen["goes on from another address"] == int(follows)
    await elsewhere.aclose()


async def test_a_circle_of_parents_is_served_and_warned_of_once(
    gb: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    platform = await gb.platform()
    device = platform.device("34020000001180000001")
    first, second = "34020000001320000001", "34020000001320000002"
    items = (
        CatalogItem(device_id=first, parent_id=second),
        CatalogItem(device_id=second, parent_id=first),
    )
    for _ in range(2):
        platform.catalogs.arrived(device, items)
    assert [item.device_id for item in device.channels] == [first, second]
    assert caplog.text.count("circle of parents") == 1
    assert device.quirks_seen["a circle of parents"] == 2


async def test_an_answer_from_an_old_port_does_not_call_the_device_back_there(
    gb: Simulation,
) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    async def slow(incoming: IncomingRequest) -> None:
        await asyncio.sleep(2)
        incoming.respond(200)

    camera.on_message = slow
    await camera.register()
    device = platform.device(camera.id)
    old = device.require_binding().flow
    asking = await gb.start(device.control(Ptz.stop()))
    await gb.advance(1)
    new = Flow(old.transport, old.local, (old.remote[0], 6060))
    assert platform.heard(camera.id, new) == 200
    await asking
    assert device.require_binding().flow == new
