from __future__ import annotations

import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.media.packets import Decoder, frame_to_gray, frame_to_rgb
from gb28181.media.pattern import (
    clock_text,
    draw_picture,
    encode_pictures,
    encode_tone,
    read_counter,
)
from rtp import nal
from rtp.access_unit import Codec
from rtp.errors import LocalProtocolError


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 0xFFFF), st.sampled_from([(160, 96), (322, 182), (640, 360)]))
def test_counter_is_read_from_the_drawn_picture(counter: int, size: tuple[int, int]) -> None:
    picture = draw_picture(counter, width=size[0], height=size[1], fps=25, period=100)
    assert read_counter(picture) == counter
    assert read_counter(picture.mean(axis=2).astype(np.uint8)) == counter


def test_counter_is_read_from_a_scaled_picture() -> None:
    picture = draw_picture(777, width=640, height=360, fps=25, period=100)
    frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(width=352, height=288)
    assert read_counter(frame_to_rgb(frame)) == 777


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_garbage_gives_no_counter(seed: int) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    assert read_counter(noise) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_picture_gives_no_counter(level: int) -> None:
    assert read_counter(np.full((360, 640), level, dtype=np.uint8)) is None
    assert read_counter(np.full((4, 4), level, dtype=np.uint8)) is None


def test_each_single_wrong_cell_is_noticed() -> None:
    for place in range(32):
        picture = draw_picture(4242, width=640, height=360, fps=25, period=100)
        top, left = place // 16 * 30, place % 16 * 40
        picture[top : top + 30, left : left + 40] ^= 255
        assert read_counter(picture) is None


def test_clock_shows_hours_minutes_seconds_and_frames() -> None:
    assert clock_text((3600 + 2 * 60 + 3) * 25 + 4, 25) == "01:02:03.04"


def test_something_moves_outside_clock_and_code() -> None:
    first = draw_picture(0, width=640, height=360, fps=25, period=100)
    second = draw_picture(1, width=640, height=360, fps=25, period=100)
    assert (first[180:] != second[180:]).any()


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_every_decoded_picture_shows_its_counter(codec: Codec) -> None:
    units = encode_pictures(codec, 320, 180, 25, 2, 25)
    decoder = Decoder(codec)
    frames = [frame for unit in units for frame in decoder.decode(unit)] + decoder.flush()
    pictures = [frame for frame in frames if isinstance(frame, VideoFrame)]
    assert [read_counter(frame_to_rgb(frame)) for frame in pictures] == list(range(50))
    assert [read_counter(frame_to_gray(frame)) for frame in pictures] == list(range(50))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_key_frames_stand_at_the_group_length_with_parameter_sets(codec: Codec) -> None:
    units = encode_pictures(codec, 320, 180, 25, 2, 25)
    assert [place for place, unit in enumerate(units) if unit.is_key] == [0, 25]
    assert all(nal.has_parameter_sets(codec, unit.data) == unit.is_key for unit in units)
    assert [unit.dts for unit in units] == [place * 3600 for place in range(50)]
    assert all(unit.pts == unit.dts for unit in units)


def test_encoders_write_nothing_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    encode_pictures(Codec.H264, 160, 96, 25, 1, 25)
    encode_pictures(Codec.H265, 160, 96, 25, 1, 25)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("codec", [Codec.PCMA, Codec.PCMU, Codec.AAC])
def test_tone_is_loud_while_the_lamp_is_lit_and_has_no_hole(codec: Codec) -> None:
    units = encode_tone(codec, 4)
    assert units[-1].pts + units[1].pts == 4 * 90_000
    decoder = Decoder(codec)
    decoder.decode(units[-1])  # the loop before: AAC needs one block to get going
    parts = []
    for unit in units:
        for frame in decoder.decode(unit):
            assert isinstance(frame, AudioFrame)
            samples = frame.to_ndarray().astype(float).reshape(-1)
            parts.append(samples / (1.0 if codec is Codec.AAC else 32768.0))
            rate = frame.sample_rate
    sound = np.concatenate(parts)
    assert len(sound) == 4 * rate
    for second in range(4):
        loud = sound[int((second + 0.05) * rate) : int((second + 0.15) * rate)]
        soft = sound[int((second + 0.3) * rate) : int((second + 0.9) * rate)]
        assert np.sqrt((loud**2).mean()) == pytest.approx(0.5 / 2**0.5, rel=0.1)
        assert np.sqrt((soft**2).mean()) == pytest.approx(0.05 / 2**0.5, rel=0.1)


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="even sides"):
        encode_pictures(Codec.H264, 161, 96, 25, 1, 25)
    with pytest.raises(LocalProtocolError, match=r"only H\.264 and H\.265"):
        encode_pictures(Codec.SVAC, 160, 96, 25, 1, 25)
    with pytest.raises(LocalProtocolError, match=r"G\.729"):
        encode_tone(Codec.G729, 1)
