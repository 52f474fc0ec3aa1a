"""FFmpeg as a reader: proves that what Sender puts into RTP is a program stream others can play."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gb28181.media.sender import Sender
from gb28181.media.source import Clip, ClipSource, pattern_clip
from rtp.access_unit import Codec

pytestmark = pytest.mark.interop

SSRC = 200000007
NAMES = {
    Codec.H264: "h264",
    Codec.H265: "hevc",
    Codec.AAC: "aac",
}


class Shelf:
    """A sink that keeps every packet."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.ready.set_result(None)
        self.closed: asyncio.Future[None] = loop.create_future()
        self.packets: list[bytes] = []

    def send_packets(self, packets: list[bytes]) -> bool:
        self.packets += packets
        return True


async def sent(video: Codec, audio: Codec | None) -> tuple[bytes, Clip]:
    """Send one second; return the stream in the packets, and what it was made of."""
    clip = await asyncio.to_thread(
        pattern_clip, video=video, audio=audio, width=1280, height=720, seconds=1
    )
    shelf = Shelf()
    async with asyncio.timeout(10):
        await Sender(ClipSource(clip, loop=False), shelf, ssrc=SSRC).run()
    heads = [struct.unpack_from("!BBHII", packet) for packet in shelf.packets]
    assert {(head[0], head[1] & 0x7F, head[4]) for head in heads} == {(0x80, 96, SSRC)}
    assert [head[2] for head in heads] == list(range(len(heads)))
    return b"".join(packet[12:] for packet in shelf.packets), clip


def run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=15, check=True)


@pytest.mark.parametrize("audio", [None, Codec.AAC], ids=["mute", "AAC"])
@pytest.mark.parametrize("video", [Codec.H264, Codec.H265], ids=lambda codec: codec.name)
async def test_ffmpeg_decodes_every_frame_that_is_sent(
    video: Codec,
    audio: Codec | None,
    program: Callable[[str], str],
    tmp_path: Path,
    av: None,
) -> None:
    """The codecs are those of the stream map, the frames are all there, nothing is reported."""
    ffprobe, path = program("ffprobe"), tmp_path / "sent.ps"
    stream, clip = await sent(video, audio)
    path.write_bytes(stream)
    options = ("-v", "warning", "-count_frames", "-show_streams", "-show_packets", "-of", "json")
    done = await asyncio.to_thread(run, ffprobe, *options, str(path))
    assert done.stderr == b"", done.stderr.decode()
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    streams = {stream["codec_type"]: stream for stream in found["streams"]}
    assert streams.keys() == ({"video", "audio"} if audio else {"video"})
    picture = streams["video"]
    assert picture["codec_name"] == NAMES[video]
    assert (picture["width"], picture["height"]) == (1280, 720)
    assert int(picture["nb_read_frames"]) == clip.frames == 25
    if audio:
        assert streams["audio"]["codec_name"] == NAMES[audio]
        assert int(streams["audio"]["nb_read_frames"]) > 25
    times = [int(one["pts"]) for one in found["packets"] if one["codec_type"] == "video"]
    assert {after - before for before, after in pairwise(times)} == {3600}


@pytest.mark.parametrize("audio", [Codec.PCMA, Codec.PCMU], ids=lambda codec: codec.name)
async def test_ffmpeg_finds_the_g711_samples_that_are_sent(
    audio: Codec, program: Callable[[str], str], tmp_path: Path, av: None
) -> None:
    """FFmpeg has no decoder for the stream types 90 and 91; it still cuts their bytes out."""
    ffprobe, path = program("ffprobe"), tmp_path / "sent.ps"
    stream, clip = await sent(Codec.H264, audio)
    path.write_bytes(stream)
    options = ("-v", "fatal", "-select_streams", "a", "-show_packets", "-show_data", "-of", "json")
    done = await asyncio.to_thread(run, ffprobe, *options, str(path))
    packets = json.loads(done.stdout)["packets"]
    # Each line: a place of eight digits, a colon, and up to sixteen bytes in a column of 40.
    lines = [line for packet in packets for line in packet["data"].splitlines() if line]
    found = b"".join(bytes.fromhex(line[10:50]) for line in lines)
    samples = b"".join(unit.data for unit in clip.units if unit.codec is audio)
    assert len(samples) == 8000
    assert found == samples
