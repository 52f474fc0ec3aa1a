"""Files as a tape: where reading begins, what a group holds, backwards, and from file to file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gb28181.equipment.recordings import FileRecordings
from gb28181.errors import ConfigError
from gb28181.manscdp.values import BEIJING
from gb28181.media.files import FileTape, TapeFile
from gb28181.media.packets import Decoder, frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.media.playback import PlaybackSender
from gb28181.media.record import Mp4Recorder
from gb28181.media.source import Group, PatternStyle, RecordedSource, pattern_second
from gb28181.testing.clock import VirtualClock
from rtp.access_unit import Codec, MediaKind
from rtp.mpegps.demuxer import PsDemuxer
from rtp.packet import parse

STYLE = PatternStyle(audio=None)
EIGHT = datetime(2026, 1, 1, 8, tzinfo=BEIJING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("disk")
    _write(folder / "20260101080000-20260101080010.mp4", range(10))
    _write(folder / "gate_2026-01-01_08-01-00.mp4", range(60, 66))
    (folder / "20260101090000.mp4").write_bytes(b"this is no film")
    (folder / "notes.txt").write_text("neither is this")
    return folder


def _write(path: Path, seconds: Sequence[int], codec: Codec = Codec.H264) -> None:
    """A file whose pictures show the seconds after eight o'clock."""
    recorder = Mp4Recorder(path)
    for place, second in enumerate(seconds):
        for unit in pattern_second(PatternStyle(audio=None, video=codec), second):
            at = unit.dts + place * 90_000
            recorder.push(type(unit)(
                codec=unit.codec, data=unit.data, pts=at, dts=at, is_key=unit.is_key
            ))  # fmt: skip
    recorder.close()


def tape(folder: Path, first: float, last: float) -> RecordedSource:
    disk = FileRecordings(folder)
    return disk.source(EIGHT + timedelta(seconds=first), EIGHT + timedelta(seconds=last))


async def groups(
    source: RecordedSource, position: float, *, reverse: bool = False, count: int = 100
) -> list[Group]:
    found: list[Group] = []
    async for group in source.groups(position, reverse=reverse):
        found.append(group)
        if len(found) == count:
            break
    return found


def shown(group: Group) -> list[float]:
    decoder = Decoder(group.units[0].codec)
    video = [unit for unit in group.units if unit.kind is MediaKind.VIDEO]
    frames = [frame for unit in video for frame in decoder.decode(unit)] + decoder.flush()
    counters = [read_counter(frame_to_gray(frame)) for frame in frames]  # type: ignore[arg-type]
    return [counter / STYLE.fps for counter in counters if counter is not None]


def test_files_are_found_by_the_times_in_their_names(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FileRecordings(folder)
    found = disk.find(EIGHT, EIGHT + timedelta(hours=2))
    assert [(one.start, one.name) for one in found] == [
        (EIGHT, "20260101080000-20260101080010"),
        (EIGHT + timedelta(seconds=60), "gate_2026-01-01_08-01-00"),
    ]
    assert found[0].end == EIGHT + timedelta(seconds=10)
    assert (found[1].end - found[1].start).total_seconds() == pytest.approx(6.0, abs=0.1)
    assert found[0].size == (folder / "20260101080000-20260101080010.mp4").stat().st_size
    assert "20260101090000.mp4" in caplog.text
    assert disk.find(EIGHT + timedelta(seconds=20), EIGHT + timedelta(seconds=50)) == []
    assert disk.find(EIGHT, EIGHT + timedelta(hours=2), kind="alarm") == []


def test_a_file_without_a_time_in_its_name_ends_when_it_was_changed(tmp_path: Path) -> None:
    _write(tmp_path / "20261399250000.mp4", range(3))
    os.utime(tmp_path / "20261399250000.mp4", (EIGHT.timestamp(), EIGHT.timestamp()))
    (found,) = FileRecordings(tmp_path, zone=UTC).find(
        EIGHT - timedelta(hours=1), EIGHT + timedelta(hours=1)
    )
    assert found.end == EIGHT
    assert (EIGHT - found.start).total_seconds() == pytest.approx(3.0, abs=0.1)


def test_a_new_file_is_seen_after_a_refresh(tmp_path: Path) -> None:
    disk = FileRecordings(tmp_path)
    day = (EIGHT, EIGHT + timedelta(hours=1))
    assert disk.find(*day) == []
    assert disk.source(*day).duration == 0
    _write(tmp_path / "20260101080000.mp4", range(2))
    disk.refresh()
    (found,) = disk.find(*day)
    disk.refresh()
    assert disk.find(*day) == [found]


async def test_groups_lie_where_the_recording_does(folder: Path) -> None:
    source = tape(folder, 0, 3600)
    assert source.duration == pytest.approx(66, abs=0.1)
    found = await groups(source, 0)
    assert [round(group.start / 90_000) for group in found] == [*range(10), *range(60, 66)]
    for group in found:
        start = group.start / 90_000
        assert shown(group) == pytest.approx([start + place / 5 for place in range(5)], abs=0.01)
        assert group.duration == pytest.approx(90_000, abs=200)
        assert [unit.dts for unit in group.units] == sorted(unit.dts for unit in group.units)


@pytest.mark.parametrize(("position", "first"), [(3.9, 3), (0.0, 0), (9.99, 9), (30, 60), (64, 64)])
async def test_it_is_entered_at_the_key_frame_before(
    folder: Path, position: float, first: int
) -> None:
    (group,) = await groups(tape(folder, 0, 3600), position, count=1)
    assert shown(group)[0] == first


async def test_backwards_the_last_group_comes_first(folder: Path) -> None:
    found = await groups(tape(folder, 0, 3600), 62.5, reverse=True)
    assert [shown(group)[0] for group in found] == [62, 61, 60, *range(9, -1, -1)]
    assert shown(found[0]) == pytest.approx([62 + place / 5 for place in range(5)])


async def test_a_piece_is_cut_at_both_ends(folder: Path) -> None:
    source = tape(folder, 4.5, 8.0)
    found = await groups(source, 0)
    # The group that is under way at the start comes whole, its head without taking time.
    assert shown(found[0]) == pytest.approx([4.0, 4.2, 4.4, 4.6, 4.8])
    assert (found[0].start, found[0].duration) == (0, 45_000)
    assert [round(group.start / 90_000, 1) for group in found] == [0, 0.5, 1.5, 2.5]
    assert source.duration == 3.5
    back = await groups(source, 2.6, reverse=True)
    assert [shown(group)[0] for group in back] == [7, 6, 5, 4]


async def test_a_tape_says_about_how_large_it_is(folder: Path) -> None:
    whole = (folder / "20260101080000-20260101080010.mp4").stat().st_size
    assert tape(folder, 0, 10).size == whole
    assert tape(folder, 0, 5).size == whole // 2


async def test_a_file_that_has_gone_is_an_error_with_its_name(tmp_path: Path) -> None:
    gone = TapeFile(path=tmp_path / "gone.mp4", start=0, end=10, size=1)
    source = FileTape([gone], end=10, video=Codec.H264, audio=None)
    with pytest.raises(ConfigError, match=r"gone\.mp4"):
        await groups(source, 0)


async def test_files_of_two_codecs_are_sent_one_after_the_other(tmp_path: Path) -> None:
    _write(tmp_path / "20260101080000.mp4", range(2))
    _write(tmp_path / "20260101080002.mp4", range(2, 4), Codec.H265)
    sent: list[bytes] = []
    with VirtualClock():
        loop = asyncio.get_running_loop()
        sink = Sink(ready=loop.create_future(), closed=loop.create_future(), sent=sent)
        sink.ready.set_result(None)
        await PlaybackSender(tape(tmp_path, 0, 60), sink, ssrc=1, origin=EIGHT).run()
    demuxer, codecs = PsDemuxer(), []
    for packet in map(parse, sent):
        units = demuxer.push(packet.payload, timestamp=packet.timestamp, marker=packet.marker)
        codecs += [unit.codec for unit in units]
    assert codecs == [Codec.H264] * 10 + [Codec.H265] * 10


@dataclass
class Sink:
    """Keeps what was sent."""

    ready: asyncio.Future[None]
    closed: asyncio.Future[None]
    sent: list[bytes]
    unsent: int = 0

    def send_packets(self, packets: list[bytes]) -> bool:
        self.sent += packets
        return True
