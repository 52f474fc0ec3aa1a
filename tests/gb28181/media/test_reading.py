from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gb28181.errors import ConfigError
from gb28181.media.reading import describe_file, read_file
from gb28181.media.record import Mp4Recorder
from gb28181.media.source import pattern_clip
from rtp.access_unit import Codec


def ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("video", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("audio", [Codec.AAC, None])
def test_recording_read_again_gives_the_units_that_were_sent(
    tmp_path: Path, video: Codec, audio: Codec | None
) -> None:
    clip = pattern_clip(video=video, audio=audio)
    recorder = Mp4Recorder(tmp_path / "a.mp4")
    for unit in clip.units:
        recorder.push(unit)
    recorder.close()
    *codecs, length = describe_file(tmp_path / "a.mp4")
    assert codecs == [video, audio]
    assert length == pytest.approx(4.0, abs=0.05)
    read = [unit for unit, _ in read_file(tmp_path / "a.mp4")]
    times = [(unit.codec, unit.pts, unit.is_key) for unit in read]
    assert times == [(unit.codec, unit.pts, unit.is_key) for unit in clip.units]
    sound = [unit.data for unit in read if unit.codec is audio]
    assert sound == [unit.data for unit in clip.units if unit.codec is audio]


def test_g711a_is_copied_and_other_sound_coded_anew(tmp_path: Path) -> None:
    tone = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=8000", "-t", "1")
    ffmpeg(*tone, "-c:a", "pcm_alaw", str(tmp_path / "a.wav"))
    ffmpeg("-i", str(tmp_path / "a.wav"), "-f", "alaw", str(tmp_path / "a.raw"))
    read = list(read_file(tmp_path / "a.wav"))
    assert b"".join(unit.data for unit, _ in read) == (tmp_path / "a.raw").read_bytes()
    assert sum(duration for _, duration in read) == 90_000
    ffmpeg(*tone, "-c:a", "pcm_mulaw", str(tmp_path / "u.wav"))
    assert describe_file(tmp_path / "u.wav")[:2] == (None, Codec.PCMA)
    coded = [unit for unit, _ in read_file(tmp_path / "u.wav")]
    assert [unit.pts for unit in coded] == [place * 3600 for place in range(25)]
    assert {len(unit.data) for unit in coded} == {320}


def test_pictures_in_another_order_keep_their_times(tmp_path: Path) -> None:
    source = ("-f", "lavfi", "-i", "testsrc=size=176x144:rate=25", "-t", "1", "-pix_fmt", "yuv420p")
    ffmpeg(*source, "-c:v", "libx264", "-bf", "2", str(tmp_path / "a.mp4"))
    units = [unit for unit, _ in read_file(tmp_path / "a.mp4")]
    first = min(unit.pts for unit in units)
    assert sorted(unit.pts - first for unit in units) == [place * 3600 for place in range(25)]
    assert [unit.dts for unit in units] == [place * 3600 for place in range(25)]


def test_file_without_pictures_and_sound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    with pytest.raises(ConfigError, match="neither pictures nor sound"):
        describe_file(tmp_path / "a.srt")
