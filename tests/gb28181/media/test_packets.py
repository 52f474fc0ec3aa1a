from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from gb28181.media.packets import (
    Decoder,
    adts_header,
    frame_to_rgb,
    snapshot,
    unit_to_packet,
)
from gb28181.media.pattern import encode_pictures, encode_tone, read_counter
from rtp.access_unit import AccessUnit, Codec
from rtp.errors import LocalProtocolError


def picture_of(jpeg: bytes) -> VideoFrame:
    with av.open(io.BytesIO(jpeg), "r", format="jpeg_pipe") as container:
        return next(container.decode(video=0))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_snapshot_is_a_jpeg_of_the_first_key_frame(codec: Codec) -> None:
    units = encode_pictures(codec, 320, 180, 25, 2, 25)
    jpeg = snapshot(units[10:])
    assert jpeg.startswith(b"\xff\xd8")
    assert jpeg.endswith(b"\xff\xd9")
    picture = picture_of(jpeg)
    assert (picture.width, picture.height) == (320, 180)
    assert read_counter(frame_to_rgb(picture)) == 25


def test_snapshot_takes_a_single_key_frame_and_no_other() -> None:
    units = encode_pictures(Codec.H264, 320, 180, 25, 2, 25)
    assert read_counter(frame_to_rgb(picture_of(snapshot(units[0])))) == 0
    for useless in (units[1:2], (), encode_tone(Codec.PCMA, 1)):
        with pytest.raises(LocalProtocolError, match="key frame"):
            snapshot(useless)


def test_packet_carries_data_times_and_key_flag() -> None:
    unit = AccessUnit(codec=Codec.H264, data=b"\0\0\0\1\x65", pts=7200, dts=3600, is_key=True)
    packet = unit_to_packet(unit)
    assert bytes(packet) == unit.data
    assert (packet.pts, packet.dts, packet.time_base) == (7200, 3600, Fraction(1, 90_000))
    assert packet.is_keyframe


def test_decoded_frames_keep_the_time_of_their_unit() -> None:
    units = encode_pictures(Codec.H264, 320, 180, 25, 2, 25)
    decoder = Decoder(Codec.H264)
    times = [frame.pts for unit in units for frame in decoder.decode(unit)]
    assert times == [unit.pts for unit in units]


def test_broken_unit_gives_no_frame_and_is_counted() -> None:
    decoder = Decoder(Codec.H264)
    broken = AccessUnit(codec=Codec.H264, data=b"\0\0\0\1\x65\xff\xff", pts=0, dts=0, is_key=True)
    assert decoder.decode(broken) == []
    assert decoder.errors == 1


def test_codec_without_decoder_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="SVAC"):
        Decoder(Codec.SVAC)


def test_adts_header_is_that_of_ffmpeg() -> None:  # ISO/IEC 14496-3 1.A.2.2
    written = io.BytesIO()
    with av.open(written, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=32_000, layout="mono")
        frame = AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 32_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = written.getvalue()
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    assert adts_header(length - 7, rate=32_000, channels=1) == data[:7]


def test_adts_header_refuses_a_rate_it_cannot_name() -> None:
    with pytest.raises(LocalProtocolError, match="8001"):
        adts_header(313, rate=8001, channels=1)
