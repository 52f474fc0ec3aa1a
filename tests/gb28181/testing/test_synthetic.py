"""Media made of nothing survives the program stream."""

from __future__ import annotations

from gb28181.testing.synthetic import synthetic_clip
from rtp.access_unit import Codec
from rtp.mpegps.demuxer import PsDemuxer
from rtp.mpegps.muxer import PsMuxer
from rtp.nal import is_key, parameter_sets, picture_size


def test_the_clip_goes_through_the_program_stream_unchanged() -> None:
    clip = synthetic_clip(seed=7)
    muxer, demuxer = PsMuxer(Codec.H264, None), PsDemuxer()
    units = []
    for unit in clip.units:
        units += demuxer.push(muxer.push(unit), timestamp=unit.dts, marker=True)
    units += demuxer.flush()
    assert [unit.data for unit in units] == [unit.data for unit in clip.units]
    assert [unit.is_key for unit in units] == [True] + [False] * 9


def test_the_key_frame_can_be_recognised_and_measured() -> None:
    first, second = synthetic_clip().units[:2]
    assert is_key(Codec.H264, first.data)
    assert not is_key(Codec.H264, second.data)
    assert picture_size(Codec.H264, parameter_sets(Codec.H264, first.data)[0]) == (128, 96)


def test_the_seed_decides_the_bytes() -> None:
    assert synthetic_clip(seed=1) is synthetic_clip(seed=1)
    assert synthetic_clip(seed=1).units != synthetic_clip(seed=2).units
