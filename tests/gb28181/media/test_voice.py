"""Voice: one source, paced once, in the form that each loudspeaker wants."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import av
import pytest
from av.audio.codeccontext import AudioCodecContext

from gb28181.media.voice import ToneSource, VoiceFeed, VoiceLine
from gb28181.sdp import PCMA, PS, Payload
from gb28181.testing.simulation import Simulation
from rtp.access_unit import AccessUnit, Codec
from rtp.g711 import ALAW, MULAW, alaw_as_mulaw
from rtp.packet import parse

SAMPLES = bytes(range(256)) * 32


class Sink:
    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def send_packets(self, packets: list[bytes]) -> bool:
        self.packets += packets
        return True


@pytest.mark.parametrize(("codec", "table"), [("pcm_alaw", ALAW), ("pcm_mulaw", MULAW)])
def test_the_g711_tables_are_those_of_ffmpeg(codec: str, table: tuple[int, ...]) -> None:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.sample_rate = 8000
    decoder.layout = "mono"
    (frame,) = decoder.decode(av.Packet(bytes(range(256))))
    assert frame.to_ndarray().flatten().tolist() == list(table)


@pytest.mark.parametrize("seconds", [0.02, 0.04, 0.1, 0.18])
def test_packets_hold_what_was_asked_for(seconds: float) -> None:
    sink = Sink()
    line = VoiceLine(sink, ssrc=7, payload=PCMA, packet=seconds)
    for start in range(0, len(SAMPLES), 160):
        line.push(SAMPLES[start : start + 160])
    size = round(seconds * 8000)
    packets = [parse(data) for data in sink.packets]
    assert {len(packet.payload) for packet in packets} == {size}
    assert [packet.timestamp for packet in packets] == [n * size for n in range(len(packets))]
    assert [packet.sequence_number for packet in packets] == list(range(len(packets)))
    assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
    assert {(packet.ssrc, packet.payload_type) for packet in packets} == {(7, 8)}
    assert SAMPLES.startswith(b"".join(bytes(packet.payload) for packet in packets))


def test_mulaw_is_sent_under_its_own_number() -> None:
    sink = Sink()
    VoiceLine(sink, ssrc=7, payload=Payload(number=0, name="PCMU/8000")).push(SAMPLES[:320])
    (packet,) = [parse(data) for data in sink.packets]
    assert (packet.payload_type, bytes(packet.payload)) == (0, alaw_as_mulaw(SAMPLES[:320]))


def test_a_program_stream_carries_the_voice_when_that_is_offered() -> None:
    sink = Sink()
    VoiceLine(sink, ssrc=7, payload=PS).push(SAMPLES[:640])
    packets = [parse(data) for data in sink.packets]
    assert [packet.timestamp for packet in packets] == [0, 3600]
    assert all(bytes(packet.payload).startswith(b"\x00\x00\x01\xba") for packet in packets)
    assert SAMPLES[:320] in bytes(packets[0].payload)


def test_what_cannot_be_sent_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="G729"):
        VoiceLine(Sink(), ssrc=7, payload=Payload(number=18, name="G729/8000"))


async def test_a_source_is_paced_by_its_clock_and_not_hurried_after_a_pause(
    gb: Simulation,
) -> None:
    loop = asyncio.get_running_loop()
    feed = VoiceFeed(Halting())
    times: list[float] = []
    feed.attach(lambda samples: times.append(loop.time()))
    started = loop.time()
    await feed.run()
    # Ten units in 200 ms, 3 s of nothing, ten more: none of them bunched.
    steps = [round(b - a, 3) for a, b in itertools.pairwise(times)]
    assert round(times[0] - started, 3) == 0
    assert steps == [0.02] * 9 + [3.0] + [0.02] * 9


class Halting(ToneSource):
    async def units(self) -> AsyncIterator[AccessUnit]:
        number = 0
        async for unit in super().units():
            if number == 10:
                await asyncio.sleep(3.0)
            if number == 20:
                return
            yield unit
            number += 1


def test_a_source_without_g711_is_refused() -> None:
    source = ToneSource()
    source.audio = Codec.AAC
    with pytest.raises(ValueError, match="AAC"):
        VoiceFeed(source)


async def test_a_line_that_left_is_not_fed(gb: Simulation) -> None:
    feed = VoiceFeed(Halting())
    heard: list[bytes] = []
    detach = feed.attach(heard.append)
    detach()
    detach()
    await feed.run()
    assert heard == []
