"""Makes the stream of the media benchmark: 1080p25 H.264 of 4 Mbit/s and G.711 A as PS records.

A record is u32le RTP timestamp, u32le length, and the program stream bytes of one RTP frame: a
picture, or 40 ms of audio. Key pictures carry system header and stream map.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import av

from rtp import nal
from rtp.access_unit import AccessUnit, Codec
from rtp.mpegps.muxer import PsMuxer

_STEP = 3600
_PICTURES = "testsrc2=s=1920x1080:r=25,noise=alls=8:allf=t"
_ENCODER = (
    "-c:v libx264 -preset ultrafast -tune zerolatency -b:v 3900k -minrate 3900k -maxrate 3900k "
    "-bufsize 2000k -g 50 -bf 0"
)


def make(folder: Path, *, seconds: int = 10, loops: int = 12) -> Path:
    """Return the record file in ``folder``; one made before is used again."""
    records = folder / "stream.rec"
    if records.exists():
        return records
    video, audio = folder / "video.h264", folder / "audio.alaw"
    if not audio.exists():
        _ffmpeg("-f", "lavfi", "-i", _PICTURES, "-t", str(seconds), *_ENCODER.split(), str(video))
        _ffmpeg(
            "-f", "lavfi", "-i", "sine=440:r=8000", "-t", str(seconds),
            "-c:a", "pcm_alaw", "-f", "alaw", str(audio),
        )  # fmt: skip
    with av.open(str(video), format="h264") as container:
        pictures = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    sound = audio.read_bytes()
    muxer = PsMuxer(Codec.H264, Codec.PCMA)
    with records.open("wb") as out:
        for number in range(len(pictures) * loops):
            at = 90_000 + number * _STEP
            picture = pictures[number % len(pictures)]
            block = sound[number * 320 % (len(sound) - 320) :][:320]
            for codec, data in ((Codec.H264, picture), (Codec.PCMA, block)):
                is_key = codec is Codec.PCMA or nal.is_key(codec, data)
                unit = AccessUnit(codec=codec, data=data, pts=at, dts=at, is_key=is_key)
                pack = muxer.push(unit)
                out.write(struct.pack("<II", at & 0xFFFF_FFFF, len(pack)) + pack)
    return records


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
