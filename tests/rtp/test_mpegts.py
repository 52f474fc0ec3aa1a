"""Transport streams that FFmpeg wrote, read by FFmpeg and by us."""

from __future__ import annotations

import io

import pytest

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.mpegts import SIZE, TsDemuxer, is_transport

av = pytest.importorskip("av", reason="PyAV is not installed")


def written(codec: str) -> bytes:
    """Two seconds of video and AAC."""
    out = io.BytesIO()
    with av.open(out, "w", format="mpegts") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        video.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
        sound = container.add_stream("aac", rate=48_000)
        for number in range(50):
            frame = av.VideoFrame(320, 240, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes((number * 3 & 0xFF,)) * plane.buffer_size)
            frame.pts = number
            container.mux(video.encode(frame))
            silence = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            silence.sample_rate, silence.pts = 48_000, number * 1024
            container.mux(sound.encode(silence))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))
    return out.getvalue()


def demultiplexed(stream: bytes, lost: int = -1) -> tuple[list[AccessUnit], TsDemuxer]:
    subject, units = TsDemuxer(), list[AccessUnit]()
    payloads = [stream[at : at + 7 * SIZE] for at in range(0, len(stream), 7 * SIZE)]
    for number, payload in enumerate(payloads):
        assert is_transport(payload)
        if number != lost:
            units += subject.push(payload, timestamp=number, missing=int(number == lost + 1 > 0))
    return units + subject.flush(), subject


@pytest.mark.parametrize(("name", "codec"), [("libx264", Codec.H264), ("libx265", Codec.H265)])
def test_every_unit_is_the_one_that_ffmpeg_reads(name: str, codec: Codec) -> None:
    stream = written(name)
    units, _ = demultiplexed(stream)
    with av.open(io.BytesIO(stream), format="mpegts") as container:
        packets = [packet for packet in container.demux() if packet.size]
        for kind in ("video", "audio"):
            theirs = [p for p in packets if p.stream.type == kind]
            ours = [u for u in units if u.kind is MediaKind(kind)]
            assert [u.pts for u in ours] == [p.pts for p in theirs]
            assert [u.data for u in ours] == [bytes(p) for p in theirs]
            assert [u.is_key for u in ours] == [p.is_keyframe for p in theirs]
    assert {u.codec for u in units} == {codec, Codec.AAC}


def test_a_lost_packet_damages_one_picture_and_those_after_it_come() -> None:
    stream = written("libx264")
    whole, _ = demultiplexed(stream)
    units, _ = demultiplexed(stream, lost=9)
    pictures = [unit for unit in units if unit.kind is MediaKind.VIDEO]
    known = {unit.pts: unit.data for unit in whole if unit.kind is MediaKind.VIDEO}
    sound = [unit for unit in pictures if not unit.is_damaged]
    assert all(known[unit.pts] == unit.data for unit in sound)
    assert len(known) - 8 <= len(sound) < len(known)
    assert any(unit.is_discontinuous for unit in pictures[1:])


def test_a_map_that_names_other_streams_ends_those_before() -> None:
    stream = written("libx264")
    units, subject = [], TsDemuxer()
    for at in range(0, len(stream), SIZE):
        packet = bytearray(stream[at : at + SIZE])
        if at > len(stream) // 2:
            place = packet.find(b"\x1b\xe1\x00")  # H.264 is at 0x100
            packet[place + 2 : place + 3] = b"\x07" if place >= 0 else packet[place + 2 : place + 3]
        units += subject.push(bytes(packet), timestamp=at)
    assert 10 < sum(unit.kind is MediaKind.VIDEO for unit in units) < 40
    subject.flush()


def test_what_is_no_transport_stream_is_not_taken_for_one() -> None:
    assert not is_transport(b"")
    assert not is_transport(b"\x47" + bytes(186))
    assert not is_transport(b"\x47" + bytes(187) + bytes(188))
    assert is_transport(b"\x47" + bytes(187))
