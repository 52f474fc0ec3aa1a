from __future__ import annotations

import json
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.video.frame import VideoFrame

from gb28181.media.packets import frame_to_gray
from gb28181.media.pattern import encode_pictures, read_counter
from gb28181.media.record import FRAGMENT, Gap, Mp4Recorder, Recording
from gb28181.media.source import looped, pattern_clip
from rtp import nal
from rtp.access_unit import AccessUnit, Codec
from rtp.errors import LocalProtocolError

VIDEO = (Codec.H264, Codec.H265)


def stream(
    loops: float = 2, video: Codec = Codec.H264, audio: Codec | None = None
) -> list[AccessUnit]:
    clip = pattern_clip(video=video, audio=audio)
    return list(islice(looped(clip), int(loops * len(clip.units))))


def record(path: Path, units: Iterable[AccessUnit]) -> Recording:
    recorder = Mp4Recorder(path)
    _push_all(recorder, units)
    return recorder.close()


def without(units: list[AccessUnit], first: int, last: int) -> list[AccessUnit]:
    """Drop pictures ``first`` to ``last`` as a lossy network does: the next one is marked."""
    kept, place, lost = [], -1, False
    for unit in units:
        place += unit.codec in VIDEO
        if unit.codec in VIDEO and first <= place <= last:
            lost = True
            continue
        kept.append(replace(unit, is_discontinuous=True) if lost and unit.codec in VIDEO else unit)
        lost = lost and unit.codec not in VIDEO
    return kept


def pictures(path: Path) -> list[tuple[int | None, float]]:
    """Counter and time of each picture, as a player gets them."""
    with av.open(str(path), "r") as container:
        return [
            (read_counter(frame_to_gray(frame)), round(frame.time or 0.0, 3))
            for frame in container.decode(video=0)
            if isinstance(frame, VideoFrame)
        ]


def counters_until_torn(path: Path) -> list[int | None]:
    """Counters of the pictures of a file whose last fragment may be there in part."""
    counters = []
    with av.open(str(path), "r") as container, suppress(FFmpegError):
        for frame in container.decode(video=0):
            assert isinstance(frame, VideoFrame)
            counters.append(read_counter(frame_to_gray(frame)))
    return counters


def probe(path: Path) -> dict[str, dict[str, str]]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return {stream["codec_type"]: stream for stream in json.loads(result.stdout)["streams"]}


def complaints(path: Path) -> str:
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


@pytest.mark.parametrize(
    ("video", "audio", "name", "tag"),
    [
        (Codec.H264, Codec.PCMA, "h264", "avc1"),
        (Codec.H265, Codec.AAC, "hevc", "hvc1"),
        (Codec.H265, Codec.PCMA, "hevc", "hvc1"),
        (Codec.H264, Codec.AAC, "h264", "avc1"),
        (Codec.H264, None, "h264", "avc1"),
    ],
)
@pytest.mark.parametrize("loss", [False, True])
def test_file_is_clean_and_names_its_codecs(
    tmp_path: Path, video: Codec, audio: Codec | None, name: str, tag: str, loss: bool
) -> None:
    units = stream(2, video, audio)[30:]
    recording = record(tmp_path / "a.mp4", without(units, 60, 63) if loss else units)
    assert (recording.video, recording.audio) == (video, audio)
    assert complaints(tmp_path / "a.mp4") == ""
    tracks = probe(tmp_path / "a.mp4")
    assert (tracks["video"]["codec_name"], tracks["video"]["codec_tag_string"]) == (name, tag)
    assert float(tracks["video"]["start_time"]) == 0.0
    assert tracks.get("audio", {}).get("codec_name") == ("aac" if audio else None)
    assert int(tracks["video"]["nb_frames"]) == recording.frames
    assert float(tracks["video"]["duration"]) == pytest.approx(recording.duration)


@pytest.mark.parametrize("video", VIDEO)
def test_recording_starts_at_the_first_key_frame_with_time_0(tmp_path: Path, video: Codec) -> None:
    recording = record(tmp_path / "a.mp4", stream(1, video)[10:])
    assert pictures(tmp_path / "a.mp4") == [(place, (place - 25) / 25) for place in range(25, 100)]
    assert (recording.frames, recording.duration, recording.gaps) == (75, 3.0, ())


@pytest.mark.parametrize("video", VIDEO)
@pytest.mark.parametrize("audio", [None, Codec.PCMA, Codec.AAC])
def test_gap_names_exactly_the_missing_frames_and_ends_at_a_key_frame(
    tmp_path: Path, video: Codec, audio: Codec | None
) -> None:
    recording = record(tmp_path / "a.mp4", without(stream(2, video, audio), 40, 44))
    assert recording.gaps == (Gap(after_pts=39 * 3600, before_pts=50 * 3600, missing_frames=10),)
    shown = pictures(tmp_path / "a.mp4")
    counters = [counter for counter, _ in shown]
    assert counters == [*range(40), *range(50, 100), *range(100)]
    assert shown[40] == (50, 2.0)
    assert recording.frames == 190


def test_lost_stretch_that_ends_at_a_key_frame_costs_nothing_more(tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", without(stream(1), 45, 49))
    assert [gap.missing_frames for gap in recording.gaps] == [5]


def test_damaged_picture_is_left_out_up_to_the_next_key_frame(tmp_path: Path) -> None:
    units = stream(1)
    units[30] = replace(units[30], is_damaged=True)
    units[50] = replace(units[50], is_damaged=True)  # a key frame
    recording = record(tmp_path / "a.mp4", units)
    assert recording.gaps == (Gap(after_pts=29 * 3600, before_pts=75 * 3600, missing_frames=45),)
    assert [counter for counter, _ in pictures(tmp_path / "a.mp4")] == [*range(30), *range(75, 100)]


def test_discontinuity_without_loss_is_no_gap(tmp_path: Path) -> None:
    units = stream(1)
    units[50] = replace(units[50], is_discontinuous=True)
    assert record(tmp_path / "a.mp4", units).gaps == ()


def test_hole_that_nobody_marked_is_reported(tmp_path: Path) -> None:
    units = stream(1)
    recording = record(tmp_path / "a.mp4", units[:30] + units[60:])
    assert [gap.missing_frames for gap in recording.gaps] == [30]


def test_gap_at_the_end_is_reported(tmp_path: Path) -> None:
    units = stream(1)[:40]
    units[35] = replace(units[35], is_discontinuous=True)
    assert record(tmp_path / "a.mp4", units).gaps == (
        Gap(after_pts=34 * 3600, before_pts=None, missing_frames=5),
    )


@pytest.mark.parametrize("jump", [-3_000_000, 90_000 * 3600])
def test_new_run_of_time_stamps_goes_on_where_the_file_is(tmp_path: Path, jump: int) -> None:
    units = [replace(u, pts=u.pts + 4_000_000, dts=u.dts + 4_000_000) for u in stream(1)]
    units[50:] = [replace(u, pts=u.pts + jump, dts=u.dts + jump) for u in units[50:]]
    recording = record(tmp_path / "a.mp4", units)
    assert pictures(tmp_path / "a.mp4") == [(place, place / 25) for place in range(100)]
    assert [gap.missing_frames for gap in recording.gaps] == [0]


def test_repeated_time_stamp_does_not_stop_the_recording(tmp_path: Path) -> None:
    units = stream(1)
    units[7] = replace(units[7], pts=units[6].pts, dts=units[6].dts)
    record(tmp_path / "a.mp4", units)
    assert [counter for counter, _ in pictures(tmp_path / "a.mp4")] == list(range(100))


@pytest.mark.parametrize("video", VIDEO)
@pytest.mark.parametrize("audio", [None, Codec.PCMA, Codec.AAC])
def test_file_can_be_played_while_it_is_written(
    tmp_path: Path, video: Codec, audio: Codec | None
) -> None:
    recorder = Mp4Recorder(tmp_path / "a.mp4")
    for unit in stream(2, video, audio):
        recorder.push(unit)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "killed.mp4")
    recorder.close()
    assert complaints(tmp_path / "killed.mp4") == ""
    shown = [counter for counter, _ in pictures(tmp_path / "killed.mp4")]
    assert len(shown) >= 200 - FRAGMENT * 25
    assert shown == [place % 100 for place in range(len(shown))]


@pytest.mark.parametrize("audio", [None, Codec.PCMA, Codec.AAC])
@pytest.mark.parametrize("fps", [1, 5, 8, 10, 15, 50])
def test_at_any_rate_half_a_second_is_not_yet_on_the_disk_or_five_pictures(
    tmp_path: Path, fps: int, audio: Codec | None
) -> None:
    clip = pattern_clip(audio=audio, width=160, height=96, fps=fps, gop=2 * fps)
    path, given = tmp_path / "a.mp4", 0
    recorder = Mp4Recorder(path)
    for unit in islice(looped(clip), 2 * len(clip.units)):
        recorder.push(unit)
        given += unit.codec is Codec.H264
        assert given - pictures_on_disk(path) <= max(5, FRAGMENT * fps)
    recorder.close()


def pictures_on_disk(path: Path) -> int:
    """Pictures of whole fragments, by the boxes of the file (ISO/IEC 14496-12 8.8)."""
    data = path.read_bytes() if path.exists() else b""
    count = told = 0
    for kind, body, end in boxes(data, 0, len(data)):
        if kind == b"moof" and end <= len(data):
            told = samples_of_video(data, body, end)
        elif kind == b"mdat" and end <= len(data):
            count, told = count + told, 0
    return count


def samples_of_video(data: bytes, first: int, last: int) -> int:
    count = 0
    for _, traf, traf_end in (box for box in boxes(data, first, last) if box[0] == b"traf"):
        inner = list(boxes(data, traf, traf_end))
        (track,) = (data[body + 4 : body + 8] for kind, body, _ in inner if kind == b"tfhd")
        for kind, body, _ in inner:
            if kind == b"trun" and track == b"\0\0\0\1":
                count += int.from_bytes(data[body + 4 : body + 8], "big")
    return count


def boxes(data: bytes, place: int, last: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box."""
    while place + 8 <= min(last, len(data)):
        end = place + max(8, int.from_bytes(data[place : place + 4], "big"))
        yield data[place + 4 : place + 8], place + 8, end
        place = end


@pytest.mark.parametrize("audio", [Codec.PCMA, Codec.AAC])
def test_sound_that_stops_does_not_hold_the_pictures_back(tmp_path: Path, audio: Codec) -> None:
    recorder = Mp4Recorder(tmp_path / "a.mp4")
    for unit in stream(3, Codec.H264, audio):
        if unit.codec is Codec.H264 or unit.pts < 90_000:
            recorder.push(unit)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "killed.mp4")
    recorder.close()
    assert len(pictures(tmp_path / "killed.mp4")) >= 200
    assert complaints(tmp_path / "a.mp4") == ""


@pytest.mark.parametrize("audio", [Codec.PCMA, Codec.AAC])
@pytest.mark.parametrize("start", [0, 37])
def test_sound_keeps_to_the_picture(tmp_path: Path, audio: Codec, start: int) -> None:
    units = stream(2, Codec.H264, audio)[start:]
    # A second of sound is lost, later a stretch of pictures.
    units = [u for u in units if u.codec is Codec.H264 or not 265_000 <= u.pts < 350_000]
    record(tmp_path / "a.mp4", without(units, 110, 115))
    first = next(u.pts for u in units if u.is_key and u.codec is Codec.H264) / 90_000
    loud = [time + first for time in loud_moments(tmp_path / "a.mp4")]
    begins = [now for before, now in zip([-1.0, *loud], loud, strict=False) if now - before > 0.4]
    expected = [second for second in (0, 1, 2, 4, 5, 6, 7) if second >= first]
    assert begins == pytest.approx(expected, abs=0.06)


def loud_moments(path: Path) -> list[float]:
    """Times of the 10 ms stretches in which the tone is loud."""
    moments = []
    with av.open(str(path), "r") as container:
        for frame in container.decode(audio=0):
            assert isinstance(frame, AudioFrame)
            size = frame.sample_rate // 100
            samples = frame.to_ndarray().reshape(-1)
            moments += [
                (frame.time or 0.0) + place / frame.sample_rate
                for place in range(0, len(samples), size)
                if np.abs(samples[place : place + size]).max() > 0.2
            ]
    return moments


def test_other_parameter_sets_begin_a_new_file(tmp_path: Path) -> None:
    first = encode_pictures(Codec.H264, 320, 180, 25, 1, 25)
    second = encode_pictures(Codec.H264, 160, 96, 25, 1, 25)
    later = [replace(u, pts=u.pts + 90_000, dts=u.dts + 90_000) for u in second]
    recording = record(tmp_path / "a.mp4", [*first, *later])
    assert recording.paths == (tmp_path / "a.mp4", tmp_path / "a-2.mp4")
    assert (recording.frames, recording.duration, recording.gaps) == (50, 2.0, ())
    for path in recording.paths:
        assert complaints(path) == ""
        assert pictures(path) == [(place, place / 25) for place in range(25)]


def test_other_codec_begins_a_new_file_at_its_key_frame(tmp_path: Path) -> None:
    units = stream(1)[:50] + stream(1, Codec.H265)[60:]
    recording = record(tmp_path / "a.mp4", units)
    assert [probe(path)["video"]["codec_name"] for path in recording.paths] == ["h264", "hevc"]
    assert [gap.missing_frames for gap in recording.gaps] == [25]
    assert recording.video is Codec.H265


def test_sound_that_comes_late_begins_a_new_file(tmp_path: Path) -> None:
    units = [u for u in stream(2, audio=Codec.PCMA) if u.codec is Codec.H264 or u.pts > 180_000]
    recording = record(tmp_path / "a.mp4", units)
    assert ["audio" in probe(path) for path in recording.paths] == [False, True]
    assert (recording.frames, recording.gaps) == (200, ())


def test_parameter_sets_sent_once_serve_all_key_frames(tmp_path: Path) -> None:
    units = stream(1)
    bare = [nal.split(units[25].data)[place] for place in (-1,)]
    units[25] = replace(units[25], data=b"".join(b"\0\0\0\1" + part for part in bare))
    recording = record(tmp_path / "a.mp4", units)
    assert (recording.frames, len(recording.paths)) == (100, 1)
    assert record(tmp_path / "b.mp4", units[25:50]).paths == ()


def test_unreadable_key_frame_is_passed_over(tmp_path: Path) -> None:
    units = stream(1)
    broken = b"\0\0\0\1\x67\xff\0\0\0\1\x68\xff\0\0\0\1\x65\xff"
    units[0] = replace(units[0], data=broken)
    recording = record(tmp_path / "a.mp4", units)
    assert [counter for counter, _ in pictures(tmp_path / "a.mp4")] == list(range(25, 100))
    assert len(recording.paths) == 1


def test_sound_that_cannot_be_recorded_leaves_the_pictures(tmp_path: Path) -> None:
    sound = [replace(u, codec=Codec.SVAC_AUDIO) for u in stream(1, audio=Codec.PCMA)[1::2]]
    units = sorted([*stream(1), *sound], key=lambda unit: unit.dts)
    recording = record(tmp_path / "a.mp4", units)
    assert (recording.frames, recording.audio, len(recording.paths)) == (100, None, 1)


def test_without_a_key_frame_no_file_is_made(tmp_path: Path) -> None:
    recording = record(tmp_path / "a.mp4", stream(1, audio=Codec.PCMA)[2:40])
    assert (recording.paths, recording.frames, recording.gaps) == ((), 0, ())
    assert list(tmp_path.iterdir()) == []


def test_close_may_be_repeated_and_ends_the_recording(tmp_path: Path) -> None:
    recorder = Mp4Recorder(tmp_path / "a.mp4")
    for unit in stream(1):
        recorder.push(unit)
    assert recorder.close() is recorder.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        recorder.push(stream(1)[0])


def test_unwritable_place_and_foreign_codec_are_said(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        record(tmp_path / "nowhere" / "a.mp4", stream(1))
    svac = AccessUnit(codec=Codec.SVAC, data=b"", pts=0, dts=0, is_key=True)
    with pytest.raises(LocalProtocolError, match="SVAC"):
        record(tmp_path / "a.mp4", [svac])


def test_nothing_is_written_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "a.mp4", stream(1, Codec.H265, Codec.PCMA))
    assert capfd.readouterr() == ("", "")


def test_sound_in_another_format_begins_a_new_file(tmp_path: Path) -> None:
    units = [u for u in stream(2, audio=Codec.PCMA) if u.codec is Codec.H264 or u.pts < 180_000]
    units += [u for u in stream(2, audio=Codec.AAC) if u.codec is Codec.AAC and u.pts >= 180_000]
    units.sort(key=lambda unit: unit.dts)
    recording = record(tmp_path / "a.mp4", units)
    rates = [probe(path)["audio"]["sample_rate"] for path in recording.paths]
    assert rates == ["8000", "32000"]
    assert (recording.frames, recording.audio) == (200, Codec.AAC)
    assert [complaints(path) for path in recording.paths] == ["", ""]


@pytest.mark.parametrize("audio", [Codec.PCMA, Codec.AAC])
def test_trembling_and_repeated_sound_stays_clean(tmp_path: Path, audio: Codec) -> None:
    units = []
    for place, unit in enumerate(stream(2, audio=audio)):
        if unit.codec is audio:
            shake = (place * 7919) % 3600 - 1800
            units.append(replace(unit, pts=unit.pts + shake, dts=unit.dts + shake))
            if place % 50 == 0:
                units.append(replace(unit, pts=unit.pts - 90_000, dts=unit.dts - 90_000))
        else:
            units.append(unit)
    record(tmp_path / "a.mp4", units)
    assert complaints(tmp_path / "a.mp4") == ""
    loud = loud_moments(tmp_path / "a.mp4")
    begins = [now for before, now in zip([-1.0, *loud], loud, strict=False) if now - before > 0.4]
    assert begins == pytest.approx(range(8), abs=0.1)


def test_time_stamps_that_stand_still_do_not_pile_up_pictures(tmp_path: Path) -> None:
    recorder = Mp4Recorder(tmp_path / "a.mp4")
    for unit in stream(1.5):
        recorder.push(replace(unit, pts=0, dts=0))
    assert (tmp_path / "a.mp4").exists()
    assert recorder.close().frames == 150


def test_full_disk_is_said_and_the_recording_can_be_closed() -> None:
    recorder = Mp4Recorder("/dev/full")
    with pytest.raises(OSError, match="No space"):
        _push_all(recorder, stream(2, audio=Codec.PCMA))
    assert recorder.close().paths == (Path("/dev/full"),)


@pytest.mark.parametrize("audio", [None, Codec.PCMA])
def test_disk_that_fills_up_at_any_moment_leaves_what_was_written(
    tmp_path: Path, audio: Codec | None
) -> None:
    units = stream(1, audio=audio)
    record(tmp_path / "whole.mp4", units)
    whole = (tmp_path / "whole.mp4").stat().st_size
    shown = []
    for limit in (whole // 3, whole // 2, whole - 4000, whole - 1):  # the last: within the index
        path = tmp_path / f"{limit}.mp4"
        recorder = Mp4Recorder(path)
        with file_size_limit(limit):
            with pytest.raises(OSError, match=path.name):
                push_and_close(recorder, units)
            recorder.close()
            with pytest.raises(LocalProtocolError, match="closed"):
                recorder.push(units[0])
        assert complaints(path) == ""
        shown.append([counter for counter, _ in pictures(path)])
        assert shown[-1] == list(range(len(shown[-1])))
    assert len(shown[0]) < len(shown[1]) < len(shown[2]) <= len(shown[3]) == 100


def push_and_close(recorder: Mp4Recorder, units: Iterable[AccessUnit]) -> None:
    _push_all(recorder, units)
    recorder.close()


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("audio", [Codec.PCMA, Codec.AAC])
@pytest.mark.parametrize("heard", [0, 1])
def test_sound_that_is_announced_and_then_absent_holds_nothing_back(
    tmp_path: Path, audio: Codec, heard: int
) -> None:
    """FFmpeg writes nothing at all before each track has something."""
    units = stream(2, audio=audio)
    sound = [unit for unit in units if unit.codec is audio][: 1 + heard]
    recorder = Mp4Recorder(tmp_path / "a.mp4")
    for unit in [*sound[:1], units[0], *sound[1:], *units[1:]]:
        if unit.codec is Codec.H264 or unit in sound:
            recorder.push(unit)
    shutil.copy(tmp_path / "a.mp4", tmp_path / "killed.mp4")
    recorder.close()
    for name in ("killed.mp4", "a.mp4"):
        assert complaints(tmp_path / name) == ""
        shown = pictures(tmp_path / name)
        assert shown == [(place % 100, place / 25) for place in range(len(shown))]
        assert len(shown) >= 200 - FRAGMENT * 25


def test_file_is_two_hours_long_at_most(tmp_path: Path) -> None:
    units = [
        replace(unit, pts=place * 4_500_000 + unit.pts % 90_000, dts=place * 4_500_000)
        for place in range(150)
        for unit in stream(1)[25:26]
    ]
    recording = record(tmp_path / "a.mp4", units)
    assert [len(pictures(path)) for path in recording.paths] == [145, 5]


def _push_all(recorder: Mp4Recorder, units: Iterable[AccessUnit]) -> None:
    for unit in units:
        recorder.push(unit)


RECORDER = """
import os, sys, time
from gb28181.media.record import Mp4Recorder
from gb28181.media.source import looped, pattern_clip
from rtp.access_unit import Codec, MediaKind

path, video, audio, times = sys.argv[1:]
clip = pattern_clip(video=Codec[video], audio=None if audio == "none" else Codec[audio])
given = os.open(path + ".given", os.O_CREAT | os.O_WRONLY)
recorder, pictures = Mp4Recorder(path), 0
print("ready", flush=True)
for unit in looped(clip):
    recorder.push(unit)
    if unit.kind is MediaKind.VIDEO:
        pictures += 1
        os.pwrite(given, pictures.to_bytes(4, "big"), 0)
        time.sleep(0.04 / float(times))
"""


@pytest.mark.slow
@pytest.mark.parametrize("video", VIDEO)
@pytest.mark.parametrize("audio", [None, Codec.PCMA, Codec.AAC])
def test_a_recorder_that_is_killed_leaves_all_but_the_last_fragment(
    tmp_path: Path, video: Codec, audio: Codec | None
) -> None:
    moments = random.Random(f"{video} {audio}")
    for moment in (moments.uniform(0.02, 0.2), moments.uniform(0.2, 0.6), moments.uniform(0.6, 1)):
        path = tmp_path / f"{moment:.3f}.mp4"
        given = killed_recorder(path, video, audio, moment)
        if given <= FRAGMENT * 25:
            continue  # a file without a fragment is no file yet
        said = complaints(path).splitlines()
        assert all(TORN.search(line) for line in said), said
        shown = counters_until_torn(path)
        assert shown == [number % 100 for number in range(len(shown))]
        assert len(shown) >= given - FRAGMENT * 25, f"{len(shown)} of {given} at {moment:.3f} s"


TORN = re.compile(
    "partial file|Invalid NAL unit size|missing picture|Error splitting the input into NAL units"
    "|Error while decoding stream|Truncating packet|Input buffer exhausted|after EOF"
)
"""What FFmpeg says of a fragment that was being written."""


@pytest.mark.parametrize("video", VIDEO)
@pytest.mark.parametrize("audio", [None, Codec.PCMA, Codec.AAC])
def test_a_fragment_that_was_being_written_hides_none_before_it(
    tmp_path: Path, video: Codec, audio: Codec | None
) -> None:
    recorder = Mp4Recorder(tmp_path / "a.mp4")
    _push_all(recorder, stream(1, video, audio))
    data = (tmp_path / "a.mp4").read_bytes()
    recorder.close()
    moments = random.Random(f"{video} {audio}")
    for _ in range(6):
        torn = tmp_path / "torn.mp4"
        torn.write_bytes(data[: moments.randrange(len(data) // 3, len(data))])
        assert all(TORN.search(line) for line in complaints(torn).splitlines()), complaints(torn)
        shown = counters_until_torn(torn)
        # The decoder may fail for what is torn before it has given the last whole picture.
        assert len(shown) >= pictures_on_disk(torn) - 1
        assert shown == list(range(len(shown)))


def killed_recorder(path: Path, video: Codec, audio: Codec | None, moment: float) -> int:
    """Record at ten times the usual speed and kill it; return how many pictures it was given."""
    order = [str(path), video.name, audio.name if audio else "none", "10"]
    with subprocess.Popen(
        [sys.executable, "-c", RECORDER, *order], stdout=subprocess.PIPE
    ) as recorder:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == b"ready\n"
        time.sleep(moment)  # of another process's life nothing else tells
        recorder.kill()  # SIGKILL: nothing is written any more
    return int.from_bytes(Path(f"{path}.given").read_bytes(), "big")
