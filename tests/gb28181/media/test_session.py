"""One INVITE as a whole: what it says, what it meets, and what is left of it."""

from __future__ import annotations

import asyncio

import pytest

from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.media.receiver import Receiver
from gb28181.media.session import media_host
from gb28181.platform import Platform
from gb28181.sdp import MediaTransport, parse_sdp
from gb28181.sessions.live import Live
from gb28181.testing.scripted import ScriptedDevice
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingInvite


async def scripted_camera(gb: Simulation, platform: Platform) -> ScriptedDevice:
    camera = await gb.scripted(platform=platform)
    assert (await camera.register()).status == 200
    return camera


async def lost_by(platform: Platform, channel_id: str) -> SessionLost:
    with pytest.raises(SessionLost) as told:
        await platform.channel(channel_id).play().open()
    return told.value


async def read(live: Live, count: int) -> None:
    seen = 0
    async for _ in live.units():
        seen += 1
        if seen == count:
            return


@pytest.mark.parametrize("mode", ["udp", "tcp-passive", "tcp-active"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_live_media_flows_and_leaves_nothing(
    gb: Simulation, mode: str, transport: str
) -> None:
    platform = await gb.platform(media_mode=mode)
    camera = await gb.device(transport=transport)
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        await read(live, 25)
        assert live.statistics.lost == 0
        assert live.statistics.ssrc == live.session.plan.ssrc
        assert live.session.evidence()["mode"] == mode
    await gb.advance(40)
    assert camera.role.sessions == []
    assert gb.leaks() == []


async def test_the_invite_says_what_the_standard_asks(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-passive")
    camera = await scripted_camera(gb, platform)
    await lost_by(platform, camera.id)
    request = next(one.request for one in camera.received if one.method == "INVITE")
    offer = parse_sdp(request.body)
    assert request.uri == f"sip:{camera.id}@{camera.host.address}:5060"
    assert request.headers.get("Subject") == (
        f"{camera.id}:{offer.ssrc:010d},{platform.id}:{offer.ssrc:010d}"
    )
    assert offer.origin_id == platform.id
    assert offer.address == gb.host_of(platform).address
    assert (offer.transport, offer.setup) == (MediaTransport.TCP, "passive")
    assert offer.payload("PS") is not None
    assert f"{offer.ssrc:010d}"[:6] == "020000"  # live, and digits 4 to 8 of the platform's id


@pytest.mark.parametrize(("status", "permanent"), [(404, True), (486, False), (488, True)])
async def test_a_refusal_is_a_cause(gb: Simulation, status: int, permanent: bool) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.refuse(status)
    lost = await lost_by(platform, camera.id)
    assert lost.cause.code == f"rejected-{status}"
    assert lost.cause.permanent is permanent
    assert str(status) in lost.cause.sentence
    assert camera.id in lost.cause.sentence
    await gb.advance(40)
    assert gb.leaks() == []


async def test_no_answer_ends_with_cancel(gb: Simulation) -> None:
    platform = await gb.platform(answer_timeout=10.0)
    camera = await scripted_camera(gb, platform)
    cancelled: list[float] = []

    async def ring(incoming: IncomingInvite) -> None:
        await camera.ring(incoming)
        await incoming.cancelled
        cancelled.append(asyncio.get_running_loop().time())

    camera.on_invite = ring
    began = asyncio.get_running_loop().time()
    lost = await lost_by(platform, camera.id)
    assert (lost.cause.code, lost.cause.permanent) == ("no-answer", False)
    assert lost.cause.stage == "ringing"
    await gb.until(lambda: cancelled, within=1)
    assert cancelled[0] - began == pytest.approx(10.0, abs=0.1)
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_viewer_that_gives_up_takes_the_invite_back(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    gave_up = asyncio.Event()

    async def ring(incoming: IncomingInvite) -> None:
        await camera.ring(incoming)
        await incoming.cancelled
        gave_up.set()

    camera.on_invite = ring
    viewer = asyncio.ensure_future(platform.channel(camera.id).play().open())
    await gb.advance(2)
    viewer.cancel()
    await asyncio.wait([viewer])
    assert viewer.cancelled()
    await gb.until(gave_up.is_set, within=1)
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_device_that_is_gone_answers_nothing(gb: Simulation) -> None:
    platform = await gb.platform(answer_timeout=15.0)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    camera.vanish()
    lost = await lost_by(platform, camera.channels[0])
    assert lost.cause.code == "no-answer"
    assert lost.cause.stage == "asked"
    await gb.advance(40)
    assert gb.leaks() == []


async def test_an_answer_without_media_ends_with_bye(gb: Simulation) -> None:
    platform = await gb.platform(media_timeout=10.0)
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.accept
    lost = await lost_by(platform, camera.id)
    assert (lost.cause.code, lost.cause.permanent) == ("no-packet", False)
    assert "packet" in lost.cause.sentence
    assert lost.cause.evidence["packets"] == "0"
    await gb.until(lambda: camera.calls[0].is_ended, within=1)
    end = await camera.calls[0].ended
    assert end.by == "remote"
    assert "no-packet" in end.text
    await gb.advance(40)
    assert gb.leaks() == []


async def test_an_answer_that_is_no_sdp_ends_with_bye(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)

    async def nonsense(incoming: IncomingInvite) -> None:
        camera.calls.append(await incoming.accept(body=b"what?"))

    camera.on_invite = nonsense
    lost = await lost_by(platform, camera.id)
    assert lost.cause.code == "bad-answer"
    await gb.until(lambda: camera.calls and camera.calls[0].is_ended, within=5)
    await gb.advance(40)
    assert gb.leaks() == []


async def test_an_answer_over_another_transport_ends_with_bye(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-passive")
    camera = await scripted_camera(gb, platform)

    async def answer_udp(incoming: IncomingInvite) -> None:
        body = incoming.request.body.replace(b"TCP/RTP/AVP", b"RTP/AVP")
        camera.calls.append(await incoming.accept(body=body))

    camera.on_invite = answer_udp
    lost = await lost_by(platform, camera.id)
    assert lost.cause.code == "transport-mismatch"
    assert "no packet" in lost.cause.evidence["second try"]  # over UDP
    await gb.until(lambda: len(camera.calls) == 2 and camera.calls[1].is_ended, within=5)
    assert "transport-mismatch" in (await camera.calls[0].ended).text
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_peer_that_nobody_can_connect_to(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-active")
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.accept  # and listens nowhere
    lost = await lost_by(platform, camera.id)
    assert lost.cause.code in ("tcp-refused", "no-connection")
    await gb.until(lambda: camera.calls[0].is_ended, within=5)
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_bye_of_the_device_ends_the_session(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        await read(live, 3)
        await camera.role.sessions[0].call.bye(reason="switched off")
        with pytest.raises(SessionLost) as told:
            await read(live, 10_000)
    assert told.value.cause.code == "bye"
    assert "switched off" in told.value.cause.sentence
    assert told.value.cause.stage == "flowing"
    await gb.advance(40)
    assert gb.leaks() == []


async def test_silence_ends_the_session_with_bye(gb: Simulation) -> None:
    platform = await gb.platform(silence=20.0)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        await read(live, 3)
        camera.vanish()
        began = asyncio.get_running_loop().time()
        with pytest.raises(SessionLost) as told:
            await read(live, 10_000)
        assert asyncio.get_running_loop().time() - began == pytest.approx(20.0, abs=5.0)
    assert told.value.cause.code == "media-stopped"
    await gb.advance(minutes=5)
    assert gb.leaks() == []


async def test_a_lost_media_connection_ends_the_session(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-passive")
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        await read(live, 3)
        camera.role.sessions[0].sink.close()
        with pytest.raises(SessionLost):
            await read(live, 10_000)
    await gb.advance(40)
    assert gb.leaks() == []


async def test_keepalive_loss_ends_the_sessions_of_that_device(gb: Simulation) -> None:
    platform = await gb.platform(silence=3600.0)
    camera = await gb.device()
    other = await gb.device()
    await gb.until(lambda: len(platform.channels()) == 2)
    live = await platform.channel(camera.channels[0]).play().open()
    kept = await platform.channel(other.channels[0]).play().open()
    camera.vanish()
    cause = await live.session.ended
    assert cause.code == "silent"
    assert not kept.session.ended.done()
    await read(kept, 10)
    live.close()
    kept.close()
    await gb.advance(minutes=1)
    assert gb.leaks() == []


async def test_a_fault_in_one_stream_ends_that_stream_alone(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=2)
    await gb.until(CatalogChanged)
    first = await platform.channel(camera.channels[0]).play().open()
    second = await platform.channel(camera.channels[1]).play().open()

    receiver = first.session.receiver
    assert isinstance(receiver, Receiver)
    receiver._first_packet_at = None  # a fault of ours: what waits for it is told a second time
    await gb.until(first.session.ended.done, within=5)
    assert "invalid state" in first.session.ended.result().sentence.lower()
    await read(second, 30)
    assert platform.health()["streams"] == 1
    await gb.until(lambda: len(camera.role.sessions) == 1, within=2)
    first.close()
    second.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_calls_end_well_although_every_fifth_datagram_is_lost(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    gb.network.link(gb.host_of(platform), camera.host, loss=0.2)
    for _ in range(5):
        async with platform.channel(camera.channels[0]).play() as live:
            await read(live, 20)
        await gb.until(lambda: camera.role.sessions == [], within=60)
    gb.network.link(gb.host_of(platform), camera.host, loss=0.0)
    await gb.advance(minutes=2)
    assert gb.leaks() == []
    assert platform.health()["online"] == 1


@pytest.mark.parametrize(
    ("answered", "signalling", "host"),
    [
        ("10.1.1.5", "10.1.1.5", "10.1.1.5"),
        ("192.168.1.64", "203.0.114.9", "203.0.114.9"),  # behind an address translation
        ("192.168.1.64", "10.0.0.9", "192.168.1.64"),  # a media address of its own in one network
        ("8.8.4.4", "9.9.9.9", "8.8.4.4"),
        ("0.0.0.0", "203.0.114.9", "203.0.114.9"),
        ("", "203.0.114.9", "203.0.114.9"),
        ("camera.lan", "203.0.114.9", "camera.lan"),
    ],
)
def test_media_is_expected_from_where_it_can_come(
    answered: str, signalling: str, host: str
) -> None:
    assert media_host(answered, signalling) == host
