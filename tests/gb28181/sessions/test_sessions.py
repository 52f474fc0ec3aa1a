"""What a platform decides around an INVITE: stream, transport, second tries, old dialogs."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from gb28181.edition import Edition
from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.manscdp.codec import encode
from gb28181.manscdp.media_status import MediaStatusNotify
from gb28181.media.plan import stream_attribute
from gb28181.platform import Platform
from gb28181.quirks import Quirks
from gb28181.sdp import MediaTransport, SessionDescription, parse_sdp
from gb28181.sessions.live import Backoff
from gb28181.sessions.recorded import Wanted
from gb28181.sessions.streams import StreamKind
from gb28181.testing.scripted import ScriptedDevice
from gb28181.testing.simulation import Simulation
from rtp.packetizer import Packetizer
from sip.endpoint import IncomingInvite

DAY = 1_767_607_200


async def scripted_camera(gb: Simulation, platform: Platform) -> ScriptedDevice:
    camera = await gb.scripted(platform=platform)
    assert (await camera.register()).status == 200
    return camera


def offers(camera: ScriptedDevice) -> list[SessionDescription]:
    return [parse_sdp(one.request.body) for one in camera.received if one.method == "INVITE"]


async def fails(platform: Platform, channel_id: str) -> SessionLost:
    with pytest.raises(SessionLost) as told:
        await platform.channel(channel_id).play().open()
    return told.value


# Which stream ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "lines"),
    [
        ("streamnumber", 0, {}),
        ("streamnumber", 1, {"streamnumber": "1"}),
        ("stream", 0, {"stream": "0"}),
        ("stream", 1, {"stream": "1"}),
        ("streamprofile", 1, {"streamprofile": "1"}),
        ("streamMode", 0, {"streamMode": "MAIN"}),
        ("streamMode", 1, {"streamMode": "SUB"}),
    ],
)
def test_a_stream_is_named_as_the_family_does(
    name: str, number: int, lines: dict[str, str]
) -> None:
    assert stream_attribute(name, number) == lines


async def test_the_offer_for_a_sub_stream_names_it(gb: Simulation) -> None:
    platform = await gb.platform(quirks_for=lambda _: Quirks(stream_attribute="streamMode"))
    camera = await scripted_camera(gb, platform)
    with pytest.raises(SessionLost):
        await platform.channel(camera.id).play(stream=StreamKind.SUB).open()
    assert offers(camera)[0].attributes["streamMode"] == "SUB"


# Over which transport -------------------------------------------------------------------------


async def test_the_other_transport_is_tried_and_remembered(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="udp")
    camera = await gb.device()
    await gb.until(CatalogChanged)
    gb.network.filter(
        lambda packet: packet.kind != "udp" or packet.destination[1] not in range(30000, 30500)
    )
    play = platform.channel(camera.channels[0]).play()
    began = asyncio.get_running_loop().time()
    async with play as live:
        assert live.session.plan.mode == "tcp-passive"
        assert live.statistics.packets > 0
    assert asyncio.get_running_loop().time() - began > 9  # the time that UDP was waited for
    await gb.advance(10)
    began = asyncio.get_running_loop().time()
    async with play as live:
        assert live.session.plan.mode == "tcp-passive"
    assert asyncio.get_running_loop().time() - began < 1
    await gb.advance(minutes=61)
    assert platform.sessions._way(camera.id) == "udp"
    assert gb.leaks() == []


async def test_a_488_is_asked_again_over_the_other_transport(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-passive")
    camera = await scripted_camera(gb, platform)

    async def udp_only(incoming: IncomingInvite) -> None:
        if parse_sdp(incoming.request.body).transport is MediaTransport.TCP:
            incoming.reject(488)
        else:
            await camera.accept(incoming)

    camera.on_invite = udp_only
    lost = await fails(platform, camera.id)  # it accepts, and sends nothing
    assert [one.transport.value for one in offers(camera)] == ["TCP/RTP/AVP", "RTP/AVP"]
    assert lost.cause.code == "rejected-488"
    assert "no packet" in lost.cause.evidence["second try"]
    assert platform.sessions._ways == {}  # neither way worked: nothing to remember


@pytest.mark.parametrize("mode", ["udp", "tcp-passive"])
async def test_two_cameras_are_live_through_one_port(gb: Simulation, mode: str) -> None:
    platform = await gb.platform(media_mode=mode, shared_media_port=True)
    first, second = await gb.device(seed=1), await gb.device(seed=2)
    for _ in range(2):
        await gb.until(CatalogChanged)
    one, two = (platform.channel(camera.channels[0]).play() for camera in (first, second))
    async with one as left, two as right:
        ends = [live.session.receiver for live in (left, right)]
        assert ends[0].local == ends[1].local
        host, port = gb.host_of(platform).address, ends[0].local[1]
        for receiver in ends:
            receiver.units.attach(lambda unit: None)
        await gb.advance(5)
        if mode == "udp":
            stranger = gb.network.host("10.0.9.9").open_udp(("10.0.9.9", 6000), lambda *_: None)
            for packet in Packetizer(ssrc=77).push(bytes(4000), 0):
                assert stranger.send(packet, (host, port))
            await gb.advance(1)
            stranger.close()
        for live, receiver in zip((left, right), ends, strict=True):
            seen = receiver.statistics
            assert seen.frames >= 50
            assert (seen.lost, seen.damaged) == (0, 0)
            assert seen.ssrc == int(live.session.plan.ssrc)
            assert seen.foreign_ssrc == (3 if mode == "udp" else 0)
    await gb.advance(10)
    assert gb.leaks() == []


async def test_a_port_of_its_own_can_be_kept_for_a_device(gb: Simulation) -> None:
    alone: set[str] = set()
    platform = await gb.platform(shared_media_port=lambda device_id: device_id not in alone)
    cameras = [await gb.device() for _ in range(3)]
    alone.add(cameras[2].id)
    for _ in range(3):
        await gb.until(CatalogChanged)
    plays = [platform.channel(camera.channels[0]).play() for camera in cameras]
    async with plays[0] as one, plays[1] as two, plays[2] as three:
        ports = [live.session.receiver.local[1] for live in (one, two, three)]
    assert ports[0] == ports[1] != ports[2]


async def test_a_404_is_not_asked_again(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.refuse(404)
    await fails(platform, camera.id)
    assert len(offers(camera)) == 1


# Busy, and when to come again -----------------------------------------------------------------


async def test_a_dialog_left_standing_is_ended_when_the_device_is_busy(gb: Simulation) -> None:
    """Its BYE was lost with the network; the device still counts it, and answers 486."""
    platform = await gb.platform()
    camera = await gb.device(max_sessions=1)
    await gb.until(CatalogChanged)
    channel = platform.channel(camera.channels[0])
    stop = gb.network.filter(lambda packet: not packet.data.startswith(b"BYE "))
    async with channel.play() as live:
        old = live.session
    await gb.until(lambda: old.ended.done(), within=30)
    await gb.advance(60)
    assert len(camera.role.sessions) == 1  # it knows nothing of the end
    assert len(platform.sessions.stale) == 1
    stop()
    async with channel.play() as live:
        assert live.statistics.packets > 0
        assert len(camera.role.sessions) == 1
    assert len(platform.sessions.stale) == 0
    await gb.advance(60)
    assert gb.leaks() == []


async def test_a_busy_device_without_old_dialogs_is_not_asked_twice(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.refuse(486)
    lost = await fails(platform, camera.id)
    assert (lost.cause.code, lost.cause.permanent) == ("rejected-486", False)
    assert len(offers(camera)) == 1


async def test_retry_after_is_waited_for(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    times: list[float] = []

    async def later(incoming: IncomingInvite) -> None:
        times.append(asyncio.get_running_loop().time())
        incoming.reject(503, headers=[("Retry-After", "45")])

    camera.on_invite = later

    async def view() -> None:
        async for _ in platform.channel(camera.id).play(retry=Backoff(1.0, 4.0)):
            pass

    viewer = await gb.start(view())
    await gb.advance(100)
    viewer.cancel()
    assert [round(b - a) for a, b in pairwise(times)] == [45, 45]


# Where the device is --------------------------------------------------------------------------


async def test_a_call_follows_its_device_to_another_port(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        call = live.session.call
        assert call is not None
        before = call.flow
        device = platform.device(camera.id)
        moved = before.__class__(before.transport, before.local, ("10.0.1.99", 5060))
        binding = device.require_binding()
        object.__setattr__(binding, "flow", moved)
        platform.sessions.move(device)
        assert call.flow == moved
        object.__setattr__(binding, "flow", before)
        platform.sessions.move(device)


# The end of a recording -----------------------------------------------------------------------


async def recording(gb: Simulation, platform: Platform, camera: ScriptedDevice) -> str:
    """Open a playback at a camera that sends nothing; return its Call-ID."""
    session = await platform.sessions.open_recorded(
        Wanted(channel_id=camera.id, start=DAY, end=DAY + 60)
    )
    await gb.until(lambda: camera.calls, within=1)
    assert session.call is not None
    return session.call.call_id


async def test_a_recording_is_asked_for_as_the_standard_says(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.accept
    await recording(gb, platform, camera)
    offer = offers(camera)[0]
    assert (offer.session, offer.uri) == ("playback", f"{camera.id}:0")
    assert (offer.start, offer.end) == (DAY, DAY + 60)
    assert f"{offer.ssrc:010d}"[0] == "1"  # historical
    invite = next(one.request for one in camera.received if one.method == "INVITE")
    assert f"{camera.id}:1" in (invite.headers.get("Subject") or "")


@pytest.mark.parametrize("within", [True, False])
async def test_the_notice_of_the_end_is_found_in_and_out_of_the_dialog(
    gb: Simulation, within: bool
) -> None:
    platform = await gb.platform(media_timeout=100.0)
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.accept
    await recording(gb, platform, camera)
    notice = MediaStatusNotify(sn="9", device_id=camera.id if within else "34020000001310000099")
    if within:
        response = await camera.calls[0].request(
            "MESSAGE",
            body=encode(notice, Edition.GB2016),
            content_type="Application/MANSCDP+xml",
        )
        assert response.status == 200
    else:
        assert await camera.send(notice) == 200
    await gb.until(lambda: camera.calls[0].is_ended, within=10)
    assert (await camera.calls[0].ended).by == "remote"
    await gb.advance(40)
    assert platform.sessions.recorded == set()
    assert gb.leaks() == []


async def test_another_status_ends_nothing(gb: Simulation) -> None:
    platform = await gb.platform(media_timeout=100.0)
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.accept
    await recording(gb, platform, camera)
    await camera.send(MediaStatusNotify(sn="9", device_id=camera.id, notify_type="122"))
    await gb.advance(20)
    assert not camera.calls[0].is_ended


async def test_downloads_of_a_device_are_limited(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=2)
    await gb.until(CatalogChanged)
    first, second = (platform.sessions.download_slot(one) for one in camera.channels)
    assert first is second
    await first.acquire()
    await first.acquire()
    assert second.locked()
