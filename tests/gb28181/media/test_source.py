from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from gb28181.errors import ConfigError
from gb28181.media.packets import Decoder, frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.media.source import (
    ClipSource,
    FileSource,
    PatternSource,
    _BatchReader,
    file_clip,
    looped,
    pattern_clip,
    voice_clip,
)
from rtp import nal
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


async def _first(source: ClipSource | PatternSource | FileSource, count: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    async for unit in source.units():
        units.append(unit)
        if len(units) == count:
            break
    return units


def write_file(path: Path, pictures: str, sound: str, *options: str) -> None:
    """Let FFmpeg make a file of 2 s with 50 pictures of 176x144 and a tone."""
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=176x144:rate=25"]
    command += ["-f", "lavfi", "-i", "sine=frequency=440", "-t", "2"]
    command += ["-c:v", pictures, "-c:a", sound, "-pix_fmt", "yuv420p", *options, str(path)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("name", "pictures", "sound", "video", "audio"),
    [
        ("a.mp4", "libx264", "aac", Codec.H264, Codec.AAC),
        ("a.mp4", "libx265", "aac", Codec.H265, Codec.AAC),
        ("a.ts", "libx264", "aac", Codec.H264, Codec.AAC),
        ("a.ts", "libx265", "mp2", Codec.H265, Codec.PCMA),
        ("a.mkv", "mpeg4", "pcm_s16le", Codec.H264, Codec.PCMA),
        ("a.avi", "mjpeg", "mp3", Codec.H264, Codec.PCMA),
    ],
)
async def test_file_is_given_as_units_of_the_standard_in_a_loop(
    tmp_path: Path, name: str, pictures: str, sound: str, video: Codec, audio: Codec
) -> None:
    write_file(tmp_path / name, pictures, sound)
    source = file_clip(tmp_path / name)
    assert (source.video, source.audio, source.duration) == (video, audio, None)
    units = await _first(source, 500)
    shown = [unit for unit in units if unit.codec is video]
    heard = [unit for unit in units if unit.codec is audio]
    assert len(shown) + len(heard) == 500
    assert units[0].dts == 0
    assert [unit.dts for unit in units] == sorted(unit.dts for unit in units)
    assert nal.has_parameter_sets(video, shown[0].data)
    assert shown[50].is_key
    decoder = Decoder(video)
    frames = [frame for unit in shown for frame in decoder.decode(unit)] + decoder.flush()
    assert len(frames) == len(shown)
    assert decoder.errors == 0
    seconds = shown[-1].dts / 90_000
    assert len(shown) / 25 == pytest.approx(seconds, abs=0.4)
    ear = Decoder(audio)
    lengths = [
        frame.samples / frame.sample_rate
        for unit in heard
        for frame in ear.decode(unit)
        if isinstance(frame, AudioFrame)
    ]
    assert sum(lengths) == pytest.approx(seconds, abs=0.4)


async def test_file_read_once_ends(tmp_path: Path) -> None:
    write_file(tmp_path / "a.mp4", "libx264", "aac", "-bf", "2")
    source = file_clip(tmp_path / "a.mp4", loop=False)
    units = [unit async for unit in source.units()]
    assert source.duration == pytest.approx(2.0, abs=0.1)
    assert sum(unit.codec is Codec.H264 for unit in units) == 50
    assert all(unit.pts >= unit.dts for unit in units)


async def test_reader_that_leaves_closes_the_file(tmp_path: Path) -> None:
    write_file(tmp_path / "a.mp4", "libx264", "aac")
    closed = threading.Event()

    def read() -> Generator[AccessUnit, None, None]:
        try:
            while True:
                yield AccessUnit(codec=Codec.PCMA, data=b"", pts=0, dts=0)
        finally:
            closed.set()

    reader = _BatchReader(read, 5)
    assert len(reader.take()) == 5
    reader.stop()
    assert closed.is_set()
    assert reader.take() == []
    units = file_clip(tmp_path / "a.mp4").units()
    await anext(units)
    await units.aclose()  # type: ignore[attr-defined]  # the protocol promises an iterator only


def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing of use")
    for name in ("a.mp4", "absent.mp4"):
        with pytest.raises(ConfigError, match=name):
            file_clip(tmp_path / name)


async def test_an_announcement_is_the_sound_of_a_file_as_g711(tmp_path: Path) -> None:
    write_file(tmp_path / "a.mp4", "libx264", "aac")
    source = voice_clip(tmp_path / "a.mp4")
    assert (source.video, source.audio) == (None, Codec.PCMA)
    units = [unit async for unit in source.units()]
    assert {unit.codec for unit in units} == {Codec.PCMA}
    assert source.duration is not None
    assert sum(len(unit.data) for unit in units) / 8000 == pytest.approx(source.duration, abs=0.1)


def test_a_file_without_sound_is_no_announcement(tmp_path: Path) -> None:
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=176x144:d=1"]
    subprocess.run([*command, str(tmp_path / "a.mp4")], check=True, capture_output=True)
    with pytest.raises(ConfigError, match="has no sound"):
        voice_clip(tmp_path / "a.mp4")
