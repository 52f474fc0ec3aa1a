from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from av.video.frame import VideoFrame

from gb28181.media.packets import Decoder, frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.media.source import ClipSource, PatternSource, looped, pattern_clip
from rtp.access_unit import AccessUnit, Codec


@pytest.mark.parametrize("video", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("audio", [Codec.PCMA, Codec.AAC, None])
def test_counters_and_times_run_on_over_loops(video: Codec, audio: Codec | None) -> None:
    clip = pattern_clip(video=video, audio=audio)
    units = list(islice(looped(clip), 3 * len(clip.units) + 10))
    pictures = [unit for unit in units if unit.codec is video]
    decoder = Decoder(video)
    counters = [
        read_counter(frame_to_gray(frame))
        for unit in pictures
        for frame in decoder.decode(unit)
        if isinstance(frame, VideoFrame)
    ]
    assert counters == [place % 100 for place in range(len(pictures))]
    assert [unit.pts for unit in pictures] == [place * 3600 for place in range(len(pictures))]
    assert [unit.dts for unit in units] == sorted(unit.dts for unit in units)


@pytest.mark.parametrize(("audio", "step"), [(Codec.PCMA, 3600), (Codec.AAC, 2880)])
def test_sound_goes_on_over_loops_without_a_hole(audio: Codec, step: int) -> None:
    clip = pattern_clip(audio=audio)
    times = [
        unit.pts for unit in islice(looped(clip), 2 * len(clip.units) + 9) if unit.codec is audio
    ]
    assert times == [place * step for place in range(len(times))]


def test_clip_is_encoded_once_also_when_many_ask_at_once() -> None:
    with ThreadPoolExecutor(4) as threads:
        clips = list(threads.map(lambda _: pattern_clip(width=176, height=144), range(4)))
    assert all(
        left is right
        for clip in clips
        for left, right in zip(clip.units, clips[0].units, strict=True)
    )


def test_clip_describes_itself() -> None:
    clip = pattern_clip(audio=None)
    assert (clip.video, clip.audio, clip.duration, clip.frames) == (Codec.H264, None, 360_000, 100)


async def test_clip_source_ends_unless_it_loops() -> None:
    clip = pattern_clip()
    once = ClipSource(clip, loop=False)
    assert once.duration == 4.0
    assert [unit async for unit in once.units()] == list(clip.units)
    endless = ClipSource(clip)
    assert endless.duration is None
    assert (await _first(endless, 250))[200].pts == 360_000


async def test_pattern_source_gives_the_clip_in_a_loop() -> None:
    source = PatternSource(video=Codec.H265, audio=Codec.AAC)
    assert (source.video, source.audio, source.duration) == (Codec.H265, Codec.AAC, None)
    clip = pattern_clip(video=Codec.H265, audio=Codec.AAC)
    assert await _first(source, 500) == list(islice(looped(clip), 500))


def test_module_needs_neither_pyav_nor_numpy_to_be_imported() -> None:
    modules = "gb28181.media.source, gb28181.media.pattern, gb28181.media.packets"
    code = f"import sys, {modules}; sys.exit('av' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def _first(source: ClipSource | PatternSource, count: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    async for unit in source.units():
        units.append(unit)
        if len(units) == count:
            break
    return units
