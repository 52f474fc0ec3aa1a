"""The main job, as a newcomer starts it: every camera of the village recorded in the province."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from gb28181.media.packets import frame_to_gray
from gb28181.media.pattern import read_counter

pytestmark = pytest.mark.slow

LOOP = 100
"""Pictures of the test picture's loop."""
LOSSY = "34020000001320000006"
SENT = {
    "34020000001320000001": "h264",
    "34020000001320000002": "hevc",
    "34020000001320000003": "h264",
    "34020000001320001001": "h264",
    "34020000001320001002": "h264",
    "34020000001320001003": "h264",
    "34020000001320001004": "h264",
    "34020000001320000005": "hevc",
    LOSSY: "h264",
}


@dataclass(frozen=True)
class Demo:
    folder: Path
    seconds: float
    code: int
    output: str
    report: dict[str, dict[str, Any]]

    def file(self, channel: str) -> Path:
        return Path(self.report[channel]["paths"][0])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "gb28181.gateway.cli", "demo", "--once", "--output", str(folder)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    report = json.loads((folder / "report.json").read_text("utf-8"))
    return Demo(
        folder, time.monotonic() - began, done.returncode, done.stdout + done.stderr,
        {row["channel"]: row for row in report},
    )  # fmt: skip


def pictures(path: Path) -> list[tuple[int, bool]]:
    """The counter in each decoded picture, and whether it is a key frame."""
    seen = []
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            counter = read_counter(frame_to_gray(frame))
            assert counter is not None, f"{path.name}: a picture without a counter"
            seen.append((counter, bool(frame.key_frame)))
    return seen


def test_the_demo_ends_well_and_leaves_nothing_behind(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    assert set(demo.report) == set(SENT)
    assert demo.seconds < 120
    commands = Path("/proc").glob("[0-9]*/cmdline")
    left = [one for one in map(_command, commands) if str(demo.folder) in one]
    assert left == []


@pytest.mark.parametrize("channel", SENT)
def test_each_recording_has_the_codec_that_was_sent_and_decodes_cleanly(
    demo: Demo, channel: str
) -> None:
    path = demo.file(channel)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == SENT[channel]
        assert container.streams.audio[0].codec_context.name == "aac"
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed: tests/interop/install.sh installs it")
    said = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert said.stdout + said.stderr == ""
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=codec_name",
         "-of", "csv=p=0", str(path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert probed.stdout.strip() == SENT[channel]


@pytest.mark.parametrize("channel", [one for one in SENT if one != LOSSY])
def test_no_picture_is_missing_on_a_good_line(demo: Demo, channel: str) -> None:
    counters = [counter for counter, _ in pictures(demo.file(channel))]
    assert len(counters) > 200
    steps = {(after - before) % LOOP for before, after in itertools.pairwise(counters)}
    assert steps == {1}
    assert demo.report[channel]["gaps"] == []


def test_on_a_bad_line_each_gap_is_reported_and_ends_at_a_key_frame(demo: Demo) -> None:
    assert demo.report[LOSSY]["lost"] > 0
    seen = pictures(demo.file(LOSSY))
    missing = []
    for (before, _), (after, is_key) in itertools.pairwise(seen):
        step = (after - before) % LOOP
        if step != 1:
            assert is_key, f"the picture {after} after a gap is no key frame"
            missing.append(step - 1)
    reported = demo.report[LOSSY]["gaps"]
    between = [gap["missing_frames"] for gap in reported if gap["before_pts"] is not None]
    assert missing == [gap % LOOP for gap in between]
    assert missing


def test_each_channel_has_a_picture(demo: Demo) -> None:
    for channel in SENT:
        data = Path(demo.report[channel]["snapshot"]).read_bytes()
        assert data.startswith(b"\xff\xd8")
        with av.open(demo.report[channel]["snapshot"]) as container:
            frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == (640, 360)


def _command(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
