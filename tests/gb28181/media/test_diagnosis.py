"""Every way in which a session fails has a reason of its own, and the evidence for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest

from gb28181.errors import Cause, SessionLost
from gb28181.events import CatalogChanged
from gb28181.media.answer import answer_to, judge_offer
from gb28181.platform import Platform
from gb28181.quirks import Quirks
from gb28181.registrar import RegistrarConfig
from gb28181.ssrc import Ssrc
from gb28181.testing.link import Traced
from gb28181.testing.scripted import ScriptedDevice
from gb28181.testing.simulation import Simulation
from gb28181.testing.synthetic import synthetic_clip
from rtp.access_unit import Codec
from rtp.mpegps.muxer import PsMuxer
from rtp.packetizer import Packetizer
from sip.endpoint import IncomingInvite

MEDIA = range(30000, 30500)
Packets = Callable[[int], Iterator[bytes]]


def pictures(*, keys: bool = True, named: bool = False) -> Packets:
    """A stream of pictures for an SSRC, one picture every 0.1 s.

    Args:
        keys: Whether there are key frames.
        named: Whether the coding is named also where there is no key frame.
    """

    def packets(ssrc: int) -> Iterator[bytes]:
        muxer, packetizer = PsMuxer(Codec.H264, None), Packetizer(ssrc=ssrc, payload_type=96)
        units = synthetic_clip().units
        for number in count():
            unit = units[number % len(units)]
            if unit.is_key and not keys:
                unit = replace(units[1], is_key=named)
            for packet in packetizer.push(muxer.push(unit), number * 9000):
                yield bytes(packet)
            yield b""

    return packets


def nonsense(ssrc: int) -> Iterator[bytes]:
    """RTP whose payload is nothing that is known."""
    packetizer = Packetizer(ssrc=ssrc, payload_type=96)
    for number in count():
        for packet in packetizer.push(bytes([number % 251 + 1]) * 900, number * 9000):
            yield bytes(packet)
        yield b""


def chatter(_: int) -> Iterator[bytes]:
    """What is not RTP."""
    while True:
        yield b"hello? is anybody there?"
        yield b""


async def scripted_camera(gb: Simulation, platform: Platform) -> ScriptedDevice:
    camera = await gb.scripted(platform=platform)
    assert (await camera.register()).status == 200
    return camera


def sends(
    gb: Simulation,
    camera: ScriptedDevice,
    packets: Packets,
    *,
    ssrc: int | None = None,
    sender: str | None = None,
    then: str | None = None,
) -> Callable[[IncomingInvite], Awaitable[None]]:
    """A script: accept, and send packets over UDP until the call has ended.

    Args:
        gb: The world.
        camera: Who is asked.
        packets: What it sends; an empty one is a pause of 0.1 s.
        ssrc: Another one than was agreed on.
        sender: Another address to send from.
        then: The address to send from after two seconds.
    """

    async def script(incoming: IncomingInvite) -> None:
        offer = judge_offer(incoming.request)
        agreed = offer.description.ssrc or Ssrc(1)
        body = answer_to(
            offer, origin_id=camera.id, host=camera.host.address, port=40000, ssrc=agreed
        ).to_bytes()
        call = await incoming.accept(body=body)
        camera.calls.append(call)
        if offer.remote is None or offer.mode != "udp":
            return
        places = [sender or camera.host.address, *([then] if then else [])]
        sockets = [
            gb.network.host(place).open_udp((place, 40000 + n), lambda *_: None)
            for n, place in enumerate(places)
        ]
        begun = asyncio.get_running_loop().time()
        try:
            for packet in packets(agreed if ssrc is None else ssrc):
                if call.is_ended:
                    return
                if packet:
                    is_late = asyncio.get_running_loop().time() - begun > 2.0
                    sockets[-1 if is_late else 0].send(packet, offer.remote)
                else:
                    await asyncio.sleep(0.1)
        finally:
            for socket in sockets:
                socket.close()

    return script


async def cause_of(gb: Simulation, platform: Platform, channel_id: str) -> Cause:
    """Play until it fails; afterwards nothing may be left."""
    with pytest.raises(SessionLost) as told:
        await watch(platform, channel_id)
    await gb.advance(45)
    assert gb.leaks() == []
    return told.value.cause


async def watch(platform: Platform, channel_id: str) -> None:
    async with platform.channel(channel_id).play() as live:
        async for _ in live.units():
            pass


def drops(gb: Simulation, judge: Callable[[Traced], bool]) -> None:
    """Lose the packets for which the function is true."""
    gb.network.filter(lambda packet: not judge(packet))


# Before media ---------------------------------------------------------------------------------


async def test_no_answer_at_all(gb: Simulation) -> None:
    platform = await gb.platform(answer_timeout=15.0)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    camera.vanish()
    cause = await cause_of(gb, platform, camera.channels[0])
    assert (cause.code, cause.stage, cause.permanent) == ("no-answer", "asked", False)
    assert "not even 100" in cause.sentence
    assert cause.evidence["offer"].startswith("v=0")
    assert "answer" not in cause.evidence


async def test_no_final_answer_says_which_was_the_last(gb: Simulation) -> None:
    platform = await gb.platform(answer_timeout=10.0)
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.ring
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("no-answer", "ringing")
    assert cause.evidence["last status"] == "180 Ringing"
    stages = cause.evidence["stages"]
    assert stages.index("asked") < stages.index("trying") < stages.index("ringing")


@pytest.mark.parametrize(
    ("status", "permanent", "advice"),
    [
        (400, True, ""),
        (403, True, "does not let us"),
        (404, True, "does not know this channel"),
        (480, False, ""),
        (486, False, "in use"),
        (488, True, "transport"),
        (500, False, "its side"),
        (503, False, "its side"),
        (600, False, "in use"),
    ],
)
async def test_refusals_by_class(gb: Simulation, status: int, permanent: bool, advice: str) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.refuse(status)
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.permanent) == (f"rejected-{status}", permanent)
    assert advice in cause.sentence
    assert cause.evidence["last status"].startswith(str(status))


async def test_a_refusal_carries_warning_and_retry_after(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)

    async def refuse(incoming: IncomingInvite) -> None:
        incoming.reject(
            503, headers=[("Retry-After", "120 (updating)"), ("Warning", '399 cam "no disk"')]
        )

    camera.on_invite = refuse
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.permanent, cause.retry_after) == ("rejected-503", False, 120.0)
    assert cause.evidence["warning"] == '399 cam "no disk"'
    assert "no disk" in cause.sentence


async def test_a_warning_about_the_offer_is_permanent(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)

    async def refuse(incoming: IncomingInvite) -> None:
        incoming.reject(500, headers=[("Warning", '305 cam "incompatible media format"')])

    camera.on_invite = refuse
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.permanent) == ("rejected-500", True)


async def test_an_answer_that_declines_the_media(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)

    async def decline(incoming: IncomingInvite) -> None:
        body = b"v=0\r\ns=Play\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        camera.calls.append(await incoming.accept(body=body))

    camera.on_invite = decline
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("bad-answer", "acknowledged")
    assert "m=video 0" in cause.evidence["answer"]


async def test_the_ack_is_lost(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = sends(gb, camera, pictures())
    drops(gb, lambda packet: packet.data.startswith(b"ACK "))
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.id).play().open()
    cause = told.value.cause
    assert (cause.code, cause.stage) == ("ack-lost", "acknowledged")
    assert int(cause.evidence["200 repeated"]) >= 2
    assert cause.evidence["sip to"] in cause.sentence


# Media does not come ----------------------------------------------------------------------------


async def test_the_port_is_blocked(gb: Simulation) -> None:
    platform = await gb.platform(media_timeout=10.0)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    drops(gb, lambda packet: packet.destination[1] in MEDIA)
    cause = await cause_of(gb, platform, camera.channels[0])
    assert (cause.code, cause.stage) == ("no-packet", "acknowledged")
    assert cause.evidence["packets"] == "0"
    assert cause.evidence["advertised"] in cause.sentence
    assert "no-connection" in cause.sentence  # what became of the try over TCP
    assert "second try" in cause.evidence


async def test_nobody_connects(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-passive")
    camera = await gb.device()
    await gb.until(CatalogChanged)
    drops(gb, lambda packet: packet.destination[1] in MEDIA)
    cause = await cause_of(gb, platform, camera.channels[0])
    assert (cause.code, cause.stage) == ("no-connection", "acknowledged")


async def test_the_device_refuses_the_connection(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-active")
    camera = await scripted_camera(gb, platform)
    camera.on_invite = camera.accept  # and listens nowhere
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("tcp-refused", "acknowledged")
    assert cause.evidence["answered address"] == f"{camera.host.address}:40000"


async def test_a_wrong_ssrc(gb: Simulation) -> None:
    platform = await gb.platform(quirks_for=lambda _: Quirks(adopt_ssrc=False))
    camera = await scripted_camera(gb, platform)
    camera.on_invite = sends(gb, camera, pictures(), ssrc=77)
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("wrong-ssrc", "acknowledged")
    assert "0000000077" in cause.sentence
    assert cause.evidence["ssrc"] in cause.sentence
    assert int(cause.evidence["foreign ssrc"]) > 10


async def test_a_wrong_source(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = sends(gb, camera, pictures(), ssrc=77, sender="10.9.9.9")
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("wrong-source", "acknowledged")
    assert "10.9.9.9" in cause.sentence
    assert camera.host.address in cause.sentence
    assert int(cause.evidence["foreign source"]) > 10


async def test_nothing_but_garbage(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = sends(gb, camera, chatter)
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("garbage", "acknowledged")
    assert int(cause.evidence["garbage"]) > 10


async def test_packets_that_nobody_understands(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = sends(gb, camera, nonsense)
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("not-understood", "SSRC right")
    assert cause.evidence["payload type"] == "96"
    assert "96 PS" in cause.sentence


@pytest.mark.parametrize(("named", "stage"), [(True, "stream understood"), (False, "SSRC right")])
async def test_no_key_frame(gb: Simulation, named: bool, stage: str) -> None:
    platform = await gb.platform()
    camera = await scripted_camera(gb, platform)
    camera.on_invite = sends(gb, camera, pictures(keys=False, named=named))
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("no-key-frame", stage)
    assert cause.evidence.get("video") == ("H.264" if named else None)
    assert int(cause.evidence["packets"]) > 50


# Media ends -------------------------------------------------------------------------------------


async def test_bye_after_some_seconds(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    asyncio.get_running_loop().call_later(
        7.0, lambda: camera.role.sessions[0].call.hang_up('SIP;text="disk full"')
    )
    cause = await cause_of(gb, platform, camera.channels[0])
    assert (cause.code, cause.stage) == ("bye", "flowing")
    assert float(cause.evidence["lasted"]) == pytest.approx(7.0, abs=0.5)
    assert "disk full" in cause.sentence


async def test_media_stops_and_the_device_goes_on(gb: Simulation) -> None:
    platform = await gb.platform(silence=20.0)
    camera = await scripted_camera(gb, platform)

    def few(ssrc: int) -> Iterator[bytes]:
        for number, packet in enumerate(pictures()(ssrc)):
            yield packet if number < 100 else b""

    camera.on_invite = sends(gb, camera, few)
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("media-stopped", "flowing")
    assert int(cause.evidence["packets"]) > 30


async def test_the_device_falls_silent(gb: Simulation) -> None:
    config = RegistrarConfig(server_id="34020000002000000001")
    platform = await gb.platform(silence=3600.0, registrar=config)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    asyncio.get_running_loop().call_later(5.0, camera.vanish)
    with pytest.raises(SessionLost) as told:
        await watch(platform, camera.channels[0])
    assert told.value.cause.code == "silent"


async def test_media_goes_on_from_another_address(gb: Simulation) -> None:
    platform = await gb.platform(silence=20.0)
    camera = await scripted_camera(gb, platform)
    camera.on_invite = sends(gb, camera, pictures(), then="10.9.9.9")
    cause = await cause_of(gb, platform, camera.id)
    assert (cause.code, cause.stage) == ("address-changed", "flowing")
    assert "10.9.9.9" in cause.sentence
    assert cause.evidence["source"].startswith(camera.host.address)


async def test_the_media_connection_breaks(gb: Simulation) -> None:
    platform = await gb.platform(media_mode="tcp-passive")
    camera = await gb.device()
    await gb.until(CatalogChanged)

    def cut() -> None:
        gb.network.partition(gb.host_of(platform), camera.host)

    asyncio.get_running_loop().call_later(3.0, lambda: camera.role.sessions[0].sink.close())
    asyncio.get_running_loop().call_later(3.0, cut)
    with pytest.raises(SessionLost) as told:
        await watch(platform, camera.channels[0])
    assert told.value.cause.code in ("media-connection-lost", "media-stopped")
    assert told.value.cause.stage == "flowing"


async def test_stages_are_passed_in_order_with_their_times(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        await live.session.key_frame()
        passed = live.session.timeline.since_asked()
    assert [stage for stage, _, _ in passed] == [
        "opening", "asked", "trying", "answered", "acknowledged", "transport up", "SSRC right",
        "stream understood", "first key frame", "flowing",
    ]  # fmt: skip
    times = [time for _, time, _ in passed]
    assert times == sorted(times)
    assert times[-1] < 1.0
