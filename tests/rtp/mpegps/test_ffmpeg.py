"""FFmpeg as the oracle: its encoders write what we mux, its demultiplexer reads it."""

from __future__ import annotations

import io
from fractions import Fraction
from functools import cache

import pytest

from rtp import nal
from rtp.access_unit import AccessUnit, Codec
from rtp.mpegps.demuxer import PsDemuxer
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import parse
from rtp.packetizer import Packetizer

av = pytest.importorskip("av", reason="PyAV is not installed")

ENCODERS = {Codec.H264: "libx264", Codec.H265: "libx265"}


@cache
def encoded(codec: Codec, width: int = 322, height: int = 182) -> tuple[AccessUnit, ...]:
    """Encode a few noisy pictures, the key ones larger than a PES packet may be."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate, context.gop_size = Fraction(1, 25), Fraction(25), 4
    options = {"preset": "ultrafast", "tune": "zerolatency"}
    if codec is Codec.H265:
        options["x265-params"] = "log-level=none:repeat-headers=1:keyint=4:qp=1"
    else:
        options["qp"] = "1"
    context.options = options
    units = []
    for index in range(9):
        frame = av.VideoFrame(width, height, "yuv420p")
        for number, plane in enumerate(frame.planes):
            step = 2 * index + 3 + number
            row = bytes((at * at * step >> 3) & 0xFF for at in range(plane.buffer_size))
            plane.update(row)
        frame.pts = index
        for packet in context.encode(frame):
            data, ticks = bytes(packet), index * 3600
            key = nal.is_key(codec, data)
            units.append(AccessUnit(codec=codec, data=data, pts=ticks, dts=ticks, is_key=key))
    return tuple(units)


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_ffmpeg_reads_the_same_pictures_from_our_stream(codec: Codec) -> None:
    units, muxer = encoded(codec), PsMuxer(codec, Codec.PCMA)
    assert max(len(unit.data) for unit in units) > 65_536
    stream = b""
    for unit in units:
        stream += muxer.push(unit)
        stream += muxer.push(
            AccessUnit(
                codec=Codec.PCMA, data=b"\xd5" * 320, pts=unit.pts, dts=unit.pts, is_key=True
            )
        )
    with av.open(io.BytesIO(stream), format="mpeg") as container:
        video = container.streams.video[0]
        assert video.codec_context.name == ("h264" if codec is Codec.H264 else "hevc")
        read = [(p.pts, bytes(p)) for p in container.demux(video) if p.size]
    assert [data for _, data in read] == [unit.data for unit in units]
    assert [pts for pts, _ in read] == [unit.pts for unit in units]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("marker", [True, False])
def test_encoded_pictures_come_back_from_rtp(codec: Codec, marker: bool) -> None:
    units, muxer, out = encoded(codec), PsMuxer(codec, None), []
    packetizer, demuxer = Packetizer(ssrc=1), PsDemuxer()
    for unit in units:
        for data in packetizer.push(muxer.push(unit), unit.pts):
            packet = parse(data)
            out += demuxer.push(
                packet.payload, timestamp=packet.timestamp, marker=marker and packet.marker
            )
    assert tuple(out + demuxer.flush()) == units
    assert [unit.is_key for unit in units] == [index % 4 == 0 for index in range(9)]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("size", [(322, 182), (640, 360)])
def test_the_picture_size_is_what_was_encoded(codec: Codec, size: tuple[int, int]) -> None:
    sps = [
        unit
        for unit in nal.parameter_sets(codec, encoded(codec, *size)[0].data)
        if nal.nal_type(codec, unit) in (7, 33)
    ]
    assert nal.picture_size(codec, sps[0]) == size
