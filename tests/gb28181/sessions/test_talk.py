"""Voice from the platform to loudspeakers, and both ways."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest

from gb28181.cascade import Cascade
from gb28181.equipment.loudspeaker import LoudspeakerSettings
from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.manscdp.broadcast import BroadcastNotify, BroadcastResponse
from gb28181.manscdp.codec import decode
from gb28181.media.packets import Decoder
from gb28181.media.source import MediaSource
from gb28181.media.voice import ToneSource
from gb28181.platform import Platform
from gb28181.quirks import Quirks
from gb28181.sdp import PCMA, PS, MediaTransport, Payload, SessionDescription
from gb28181.ssrc import Ssrc
from gb28181.testing.simulation import SimulatedDevice, Simulation
from gb28181.upper.share import IdMap, Share
from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.g711 import ALAW, MULAW
from sip.endpoint import IncomingRequest
from sip.message import Headers, Request

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

PCMU = Payload(number=0, name="PCMU/8000")


def pitch(units: Iterable[AccessUnit]) -> float:
    """The frequency of a tone, by counting where it crosses zero upwards."""
    samples = [
        (ALAW if unit.codec is Codec.PCMA else MULAW)[byte] for unit in units for byte in unit.data
    ]
    rising = sum(a < 0 <= b for a, b in pairwise(samples))
    return rising * 8000 / len(samples)


def ear(camera: SimulatedDevice) -> list[AccessUnit]:
    assert camera.role.loudspeaker is not None
    return list(camera.role.loudspeaker.heard)


@pytest.mark.parametrize("mode", ["udp", "tcp-active", "tcp-passive"])
@pytest.mark.parametrize("payload", [PCMA, PCMU, PS], ids=lambda payload: payload.encoding)
async def test_a_tone_is_heard_at_the_loudspeaker(
    gb: Simulation, mode: str, payload: Payload
) -> None:
    platform = await gb.platform()
    camera = await gb.device(
        loudspeaker=LoudspeakerSettings(mode=mode, payloads=(payload,)), transport="tcp"
    )
    await gb.until(CatalogChanged)

    async with platform.channel(camera.channels[0]).broadcast(ToneSource(1000.0)) as cast:
        await gb.advance(3)
        assert [one.is_flowing for one in cast.speakers.values()] == [True]

    heard = ear(camera)
    assert sum(len(unit.data) for unit in heard) == pytest.approx(24_000, rel=0.1)
    assert pitch(heard) == pytest.approx(1000, rel=0.01)
    await gb.advance(10)
    assert gb.leaks() == []


class WithTone:
    """A camera's picture with a tone for its sound."""

    duration = None
    audio = Codec.PCMA

    def __init__(self, picture: MediaSource, frequency: float) -> None:
        self._picture = picture
        self._tone = ToneSource(frequency)
        self.video = picture.video

    async def units(self) -> AsyncIterator[AccessUnit]:
        tones = self._tone.units()
        tone = await anext(tones)
        async for unit in self._picture.units():
            if unit.kind is MediaKind.AUDIO:
                continue
            while tone.dts <= unit.dts:
                yield tone
                tone = await anext(tones)
            yield unit


async def test_a_loudspeaker_that_knows_aac_alone_hears_the_tone(gb: Simulation) -> None:
    aac = Payload(
        number=102, name="AAC/8000/1",
        parameters="streamtype=5;profile-level-id=16;mode=AAC-hbr;config=1588;"
        "sizeLength=13;indexLength=3;indexDeltaLength=3",
    )  # fmt: skip
    platform = await gb.platform()
    camera = await gb.device(loudspeaker=LoudspeakerSettings(payloads=(aac,)))
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).broadcast(ToneSource(1000.0)):
        await gb.advance(4)
    heard = ear(camera)
    assert {unit.codec for unit in heard} == {Codec.AAC}
    decoder = Decoder(Codec.AAC)
    samples = [
        float(sample)
        for unit in heard
        for frame in decoder.decode(unit)
        for sample in cast("AudioFrame", frame).to_ndarray().flatten()
    ][4096:]
    rising = sum(a < 0 <= b for a, b in pairwise(samples))
    assert rising * 8000 / len(samples) == pytest.approx(1000, rel=0.02)
    await gb.advance(10)
    assert gb.leaks() == []


async def test_both_sides_hear_each_other_within_300_ms(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    (channel_id,) = camera.channels
    own = camera.role.channels[channel_id]
    camera.role.channels[channel_id] = replace(own, source=lambda: WithTone(own.source(), 2000.0))
    await gb.until(CatalogChanged)

    loop = asyncio.get_running_loop()
    sounds: list[AccessUnit] = []
    async with platform.channel(channel_id).talk(ToneSource(1000.0)) as talk:
        spoken_at = loop.time()
        assert camera.role.loudspeaker is not None
        heard_at: list[float] = []
        camera.role.loudspeaker.on_sound = lambda unit: heard_at.append(loop.time())
        async for unit in talk.sounds():
            sounds.append(unit)
            if loop.time() > spoken_at + 3:
                break
        assert heard_at[0] - spoken_at < 0.3

    assert pitch(sounds) == pytest.approx(2000, rel=0.01)
    assert pitch(ear(camera)) == pytest.approx(1000, rel=0.01)
    await gb.advance(40)
    assert gb.leaks() == []


async def test_one_voice_reaches_ten_devices(gb: Simulation) -> None:
    platform = await gb.platform()
    cameras = [await gb.device() for _ in range(10)]
    for _ in cameras:
        await gb.until(CatalogChanged)
    ids = [channel_id for camera in cameras for channel_id in camera.channels]

    async with platform.broadcast(ids, ToneSource(1000.0)) as cast:
        assert [one.is_flowing for one in cast.speakers.values()] == [True] * 10
        await gb.advance(2)

    for camera in cameras:
        heard = ear(camera)
        assert sum(len(unit.data) for unit in heard) == pytest.approx(16_000, rel=0.1)
        assert pitch(heard) == pytest.approx(1000, rel=0.01)
    await gb.advance(10)
    assert gb.leaks() == []


async def test_a_message_of_a_few_seconds_ends_by_itself(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)

    async with platform.channel(camera.channels[0]).broadcast(Spoken(2.0)) as cast:
        (cause,) = (await cast.finished()).values()

    assert cause.code == "end"
    assert sum(len(unit.data) for unit in ear(camera)) == 16_000
    await gb.advance(10)
    assert gb.leaks() == []


class Spoken(ToneSource):
    """A tone that ends."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._last = seconds * 90_000

    async def units(self) -> AsyncIterator[AccessUnit]:
        async for unit in super().units():
            if unit.dts >= self._last:
                return
            yield unit


@pytest.mark.parametrize(
    "settings",
    [
        LoudspeakerSettings(invites_as="device"),
        LoudspeakerSettings(writes_ssrc=False),
        LoudspeakerSettings(answers=False),
        LoudspeakerSettings(payloads=(replace(PCMA, name="PCMA/8000/1"), PS)),
    ],
    ids=["invites as the device", "no y=", "no Response", "PCMA/8000/1 and PS"],
)
async def test_habits_of_loudspeakers(gb: Simulation, settings: LoudspeakerSettings) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=2, loudspeaker=settings)
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[1]).broadcast(ToneSource(1000.0)):
        await gb.advance(1)
    assert pitch(ear(camera)) == pytest.approx(1000, rel=0.02)
    await gb.advance(10)
    assert gb.leaks() == []


async def test_a_device_that_serves_its_own_id_alone_is_asked_by_it(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    speaker = camera.role.loudspeaker
    assert speaker is not None
    speaker.knows = lambda asked: asked == camera.id
    channel = platform.channel(camera.channels[0])

    for seconds in (0.2, 0.1):  # the second time it is asked at once by what worked
        started = asyncio.get_running_loop().time()
        async with channel.broadcast(ToneSource()) as cast:
            (one,) = cast.speakers.values()
            assert one.target_id == camera.id
            assert asyncio.get_running_loop().time() - started < seconds
    await gb.advance(10)
    assert gb.leaks() == []


async def test_a_refusal_says_whom_it_asked_and_what_they_said(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(loudspeaker=LoudspeakerSettings(at_once=0))
    await gb.until(CatalogChanged)
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.channels[0]).broadcast(ToneSource()).open()
    assert told.value.cause.code == "voice-refused"
    assert camera.channels[0] in told.value.cause.evidence["tried"]
    assert "ERROR" in told.value.cause.evidence["tried"]
    await gb.advance(10)
    assert gb.leaks() == []


async def test_a_codec_that_we_cannot_send_gets_488(gb: Simulation) -> None:
    platform = await gb.platform()
    wants = LoudspeakerSettings(payloads=(Payload(number=18, name="G729/8000"),))
    camera = await gb.device(loudspeaker=wants)
    await gb.until(CatalogChanged)
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.channels[0]).broadcast(ToneSource()).open()
    assert told.value.cause.code == "declined-488"
    assert "G729" in told.value.cause.sentence
    await gb.advance(10)
    assert gb.leaks() == []


async def test_a_device_that_says_ok_and_never_calls_is_given_up(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.scripted()
    await camera.register()
    await gb.until(CatalogChanged)

    async def agree(incoming: IncomingRequest) -> None:
        incoming.respond(200)
        notify = decode(incoming.request.body).message
        if isinstance(notify, BroadcastNotify):
            await camera.send(BroadcastResponse(sn=notify.sn, device_id=notify.target_id))

    camera.on_message = agree
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.id).broadcast(ToneSource()).open()
    assert "sent no INVITE within 10 s" in told.value.cause.sentence


async def test_nobody_is_spoken_to_who_was_not_called(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    assert camera.role.loudspeaker is not None
    uncalled = BroadcastNotify(sn="1", source_id=platform.id, target_id=camera.channels[0])
    await camera.role.loudspeaker.called(uncalled)
    assert platform.talks.unasked == 1
    assert ear(camera) == []
    await gb.advance(10)
    assert gb.leaks() == []


async def test_an_invite_with_an_early_to_tag_is_heard(gb: Simulation) -> None:  # spec 09 Q5c
    platform = await gb.platform()
    camera = await gb.device("tp-link")
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).broadcast(ToneSource()) as cast:
        await gb.advance(1)
        assert [one.is_flowing for one in cast.speakers.values()] == [True]
    assert platform.station.endpoint.counters["foreign_to_tag"] == 1
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_loudspeaker_that_hangs_up_is_told_apart(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    assert camera.role.loudspeaker is not None
    async with platform.channel(camera.channels[0]).broadcast(ToneSource()) as cast:
        await gb.advance(1)
        await camera.role.loudspeaker.end("switched off", timeout=2.0)
        (cause,) = (await cast.finished()).values()
        assert (cause.code, cause.stage) == ("bye", "voice flows")
    await gb.advance(10)
    assert gb.leaks() == []


async def test_a_device_that_dies_ends_its_voice_alone(gb: Simulation) -> None:
    platform = await gb.platform()
    cameras = [await gb.device(keepalive_interval=10.0) for _ in range(2)]
    for _ in cameras:
        await gb.until(CatalogChanged)
    ids = [camera.channels[0] for camera in cameras]
    async with platform.broadcast(ids, ToneSource()) as cast:
        cameras[0].vanish()
        dead, alive = (cast.speakers[one] for one in ids)
        await gb.until(dead.ended.done, within=300)
        assert dead.ended.result().code == "silent"
        assert alive.is_flowing
    await gb.advance(60)
    assert [leak for leak in gb.leaks() if cameras[0].host.address not in leak] == []


@pytest.mark.parametrize("after", [0.0, 0.0015, 0.003, 0.005, 0.008, 0.02, 0.1, 1.0])
@pytest.mark.parametrize("mode", ["udp", "tcp-active", "tcp-passive"])
async def test_giving_up_at_any_stage_leaves_nothing(
    gb: Simulation, mode: str, after: float
) -> None:
    platform = await gb.platform()
    camera = await gb.device(loudspeaker=LoudspeakerSettings(mode=mode))
    await gb.until(CatalogChanged)
    broadcast = platform.channel(camera.channels[0]).broadcast(ToneSource())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(after):
            await broadcast.open()
            await asyncio.sleep(after)
    await broadcast.close()
    await gb.advance(40)
    assert gb.leaks() == []
    assert len(platform.talks) == 0
    assert camera.role.loudspeaker is not None
    assert camera.role.loudspeaker.hearings == []


@pytest.mark.parametrize("framed", [True, False])
async def test_packets_over_tcp_have_lengths_unless_the_device_wants_none(
    gb: Simulation, framed: bool
) -> None:
    """A camera that listens for voice, and writes down every byte (Q36)."""
    platform = await gb.platform(quirks_for=lambda device_id: Quirks(voice_framed=framed))
    camera = await gb.scripted()
    await camera.register()
    await gb.until(CatalogChanged)
    heard = bytearray()

    class Ear(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            heard.extend(data)

    server = await camera.host.create_server(Ear, camera.host.address, 40000)

    async def call_back(incoming: IncomingRequest) -> None:
        incoming.respond(200)
        notify = decode(incoming.request.body).message
        if not isinstance(notify, BroadcastNotify):
            return
        offer = SessionDescription(
            origin_id=camera.id, address=camera.host.address, kind="audio", port=40000,
            transport=MediaTransport.TCP, payloads=(PCMA,), direction="recvonly",
            setup="passive", connection="new", ssrc=Ssrc(7),
        )  # fmt: skip
        request = Request(
            "INVITE",
            f"sip:{platform.id}@{platform.domain}",
            Headers(
                [
                    ("From", f"<sip:{camera.id}@{platform.domain}>"),
                    ("To", f"<sip:{platform.id}@{platform.domain}>"),
                    ("Content-Type", "application/sdp"),
                ]
            ),
            offer.to_bytes(),
        )
        call = await camera.endpoint.invite(request, incoming.flow)
        await call.ack()

    camera.on_message = call_back
    async with platform.channel(camera.id).broadcast(ToneSource()):
        await gb.advance(12)
    server.close()

    size = 12 + 320
    if framed:
        assert heard[:2] == size.to_bytes(2, "big")
        del heard[:2]
    step = size + 2 * framed
    first, second = bytes(heard[:12]), bytes(heard[step : step + 12])
    assert (first[0], second[0]) == (0x80, 0x80)
    assert int.from_bytes(second[2:4]) == int.from_bytes(first[2:4]) + 1
    if not framed:
        assert len(heard) % size == 0  # not even a report between them


# Through a cascade ------------------------------------------------------------------------------

PUBLISHED = "37130000001320000077"


@dataclass
class Levels:
    """A province over a county over a camera with a loudspeaker."""

    upper: Platform
    lower: Platform
    camera: SimulatedDevice
    link: Cascade


async def levels(gb: Simulation, *, ptz: bool = True, **device: Any) -> Levels:
    upper, lower = await gb.platform("37130000002000000001"), await gb.platform()
    camera = await gb.device(platform=lower, **device)
    await gb.until(CatalogChanged)
    share = Share(ids=IdMap({camera.channels[0]: PUBLISHED}), ptz=ptz)
    link = await gb.cascade(lower, upper, share)
    await gb.until(lambda: upper.channel(PUBLISHED).is_online, within=200)
    return Levels(upper, lower, camera, link)


async def test_a_voice_goes_down_two_levels(gb: Simulation) -> None:
    world = await levels(gb, loudspeaker=LoudspeakerSettings(mode="tcp-active"), transport="tcp")
    loop = asyncio.get_running_loop()
    heard_at: list[float] = []
    assert world.camera.role.loudspeaker is not None
    world.camera.role.loudspeaker.on_sound = lambda unit: heard_at.append(loop.time())
    async with world.upper.channel(PUBLISHED).broadcast(ToneSource(1000.0)):
        began = loop.time()
        await gb.advance(3)
        (speaker,) = world.lower.talks._speakers
        assert speaker.is_flowing
        assert heard_at[0] - began < 0.3
    assert pitch(ear(world.camera)) == pytest.approx(1000, rel=0.01)
    await gb.advance(40)
    assert world.link.voice is not None
    assert world.link.voice.speakers == []
    assert gb.leaks() == []


async def test_the_camera_is_not_answered_before_the_upper_has_answered(gb: Simulation) -> None:
    world = await levels(gb)
    # Somebody calls in the name of the upper, and does not take the INVITE that comes back.
    assert world.link.voice is not None
    notify = BroadcastNotify(sn="1", source_id=world.upper.id, target_id=PUBLISHED)
    await world.link.voice.called(notify)
    assert world.upper.talks.unasked == 1
    assert ear(world.camera) == []
    assert world.camera.role.loudspeaker is not None
    assert world.camera.role.loudspeaker.hearings == []
    await gb.advance(40)
    assert gb.leaks() == []


@pytest.mark.parametrize("by", ["upper", "camera"])
async def test_either_side_ends_the_whole_chain(gb: Simulation, by: str) -> None:
    world = await levels(gb)
    cast = await world.upper.channel(PUBLISHED).broadcast(ToneSource()).open()
    await gb.advance(1)
    assert world.camera.role.loudspeaker is not None
    if by == "camera":
        await world.camera.role.loudspeaker.end("switched off", timeout=2.0)
        (cause,) = (await cast.finished()).values()
        assert cause.code == "bye"
    await cast.close()
    await gb.until(lambda: len(world.lower.talks) == 0, within=5)
    assert world.camera.role.loudspeaker.hearings == []
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_link_that_may_not_control_may_not_speak(gb: Simulation) -> None:
    world = await levels(gb, ptz=False)
    with pytest.raises(SessionLost) as told:
        await world.upper.channel(PUBLISHED).broadcast(ToneSource()).open()
    assert "ERROR" in told.value.cause.evidence["tried"]
    assert ear(world.camera) == []


async def test_a_camera_that_refuses_is_told_above_as_a_refusal(gb: Simulation) -> None:
    world = await levels(gb, loudspeaker=LoudspeakerSettings(at_once=0))
    with pytest.raises(SessionLost) as told:
        await world.upper.channel(PUBLISHED).broadcast(ToneSource()).open()
    assert told.value.cause.code == "voice-refused"
    await gb.advance(40)
    assert gb.leaks() == []
