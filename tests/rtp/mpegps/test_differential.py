"""FFmpeg's demultiplexer and ours read the same streams: every unit, PTS and key flag."""

from __future__ import annotations

import io
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import pytest

from rtp import nal
from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.mpegps import syntax
from rtp.mpegps.demuxer import PsDemuxer
from rtp.packet import parse
from rtp.packetizer import Packetizer

av = pytest.importorskip("av", reason="PyAV is not installed")

_START = 90_000
_SOUND = _START + 8 * 3600  # a stream begins with a key picture and its map
_AUDIO = {Codec.PCMA: ("pcm_alaw", 8_000), Codec.AAC: ("aac", 48_000)}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way in which a device may write its stream."""

    video: Codec = Codec.H264
    audio: Codec | None = Codec.PCMA
    b_frames: int = 0
    slices: int = 1
    pes: int = 65_000
    """Most payload of one PES packet."""
    map: str = "key"
    """``key``: before key pictures; ``each``: before each picture; ``once``; ``extended``: with
    descriptors."""
    system: bool = True
    cut: int = 1400
    """Payload of one RTP packet."""

    def __str__(self) -> str:
        audio = self.audio.value if self.audio else "silent"
        return (
            f"{self.video.value}-{audio}-b{self.b_frames}-s{self.slices}-pes{self.pes}-{self.map}"
            f"{'' if self.system else '-bare'}-{self.cut}"
        )


VARIANTS = (
    *(Variant(slices=slices) for slices in (1, 2, 4, 8, 16)),
    *(Variant(b_frames=b_frames, slices=2) for b_frames in (1, 3)),
    *(Variant(pes=pes) for pes in (700, 5_000, 20_000)),
    *(Variant(map=kind) for kind in ("each", "once", "extended")),
    Variant(system=False),
    Variant(audio=None),
    Variant(audio=Codec.AAC),
    Variant(audio=Codec.AAC, b_frames=2, slices=4, pes=5_000),
    Variant(cut=188),
    Variant(cut=8_000),
    *(Variant(video=Codec.H265, slices=slices) for slices in (1, 4)),
    Variant(video=Codec.H265, b_frames=2),
    Variant(video=Codec.H265, audio=Codec.AAC, pes=5_000, map="each"),
    Variant(video=Codec.H265, audio=None, map="extended", cut=188),
)


@cache
def pictures(codec: Codec, b_frames: int, slices: int) -> tuple[AccessUnit, ...]:
    context = av.CodecContext.create("libx264" if codec is Codec.H264 else "libx265", "w")
    context.width, context.height, context.pix_fmt = 320, 320, "yuv420p"
    context.time_base, context.framerate, context.gop_size = Fraction(1, 25), Fraction(25), 6
    if codec is Codec.H264:
        extra = f"qp=8:bframes={b_frames}:slices={slices}:sliced-threads=0:threads=1"
        options = {"preset": "ultrafast", "x264-params": extra}
    else:
        extra = f"log-level=none:repeat-headers=1:keyint=6:qp=8:bframes={b_frames}:slices={slices}"
        options = {"preset": "ultrafast", "x265-params": extra + ":aud=0:info=0:pools=1"}
    context.options = options
    frames: list[object] = []
    for index in range(14):
        frame = av.VideoFrame(320, 320, "yuv420p")
        for number, plane in enumerate(frame.planes):
            step = 2 * index + 3 + number
            plane.update(bytes((at * at * step >> 5) & 0xFF for at in range(plane.buffer_size)))
        frame.pts = index
        frames.append(frame)
    units = []
    for frame in (*frames, None):
        for packet in context.encode(frame):
            data = bytes(packet)
            units.append(
                AccessUnit(
                    codec=codec,
                    data=data,
                    pts=_START + (packet.pts + 4) * 3600,
                    dts=_START + (packet.dts + 4) * 3600,
                    is_key=nal.is_key(codec, data),
                )
            )
    return tuple(units)


@cache
def sound(codec: Codec) -> tuple[AccessUnit, ...]:
    if codec is Codec.PCMA:
        return tuple(
            AccessUnit(
                codec=codec, data=bytes((number * 7 + at) & 0xFF for at in range(320)),
                pts=_SOUND + number * 3600, dts=_SOUND + number * 3600, is_key=True,
            )
            for number in range(14)
        )  # fmt: skip
    context = av.CodecContext.create("aac", "w")
    context.sample_rate, context.layout, context.format = 48_000, "mono", "fltp"
    context.open()
    units: list[AccessUnit] = []
    for number in range(30):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        frame.sample_rate, frame.pts = 48_000, number * 1024
        frame.planes[0].update(array("f", [((at * 37) % 200 - 100) / 200 for at in range(1024)]))
        for packet in context.encode(frame):
            data, at = bytes(packet), _SOUND + len(units) * 1920
            size = len(data) + 7  # ADTS, AAC-LC, 48 kHz, one channel
            head = 0xFFF1_4C40_001F_FC | size << 13
            units.append(
                AccessUnit(
                    codec=codec, data=head.to_bytes(7, "big") + data, pts=at, dts=at, is_key=True
                )
            )  # fmt: skip
    return tuple(units)


def extended_map(streams: dict[int, int]) -> bytes:
    """A map with a descriptor for the program and one for each stream."""
    program = bytes.fromhex("0504474244 31".replace(" ", ""))
    entries = b"".join(
        bytes((kind, stream)) + b"\x00\x04" + b"\x40\x02\xff\xff"
        for stream, kind in streams.items()
    )
    body = b"\xe1\xff" + len(program).to_bytes(2, "big") + program
    body += len(entries).to_bytes(2, "big") + entries
    head = b"\x00\x00\x01\xbc" + (len(body) + 4).to_bytes(2, "big") + body
    return head + syntax.crc32_mpeg2(head).to_bytes(4, "big")


def packs(variant: Variant) -> Iterator[tuple[AccessUnit, bytes]]:
    """The stream of a device: one pack for each unit."""
    video, audio = pictures(variant.video, variant.b_frames, variant.slices), variant.audio
    units = sorted([*video, *(sound(audio) if audio else ())], key=lambda unit: unit.dts)
    streams = {0xE0: syntax.stream_type(variant.video)}
    if audio:
        streams[0xC0] = syntax.stream_type(audio)
    stream_map = syntax.write_map(streams)
    if variant.map == "extended":
        stream_map = extended_map(streams)
    is_first = True
    for unit in units:
        is_video = unit.kind is MediaKind.VIDEO
        pieces = [syntax.write_pack_header(unit.dts)]
        if is_video and (unit.is_key or variant.map == "each"):
            if variant.system:
                system = syntax.write_system_header(has_video=True, has_audio=audio is not None)
                pieces.append(system)
            if variant.map != "once" or is_first:
                pieces.append(stream_map)
            is_first = False
        pts: int | None = unit.pts
        dts = unit.dts if unit.dts != unit.pts else None
        for place in range(0, len(unit.data), variant.pes):
            part = unit.data[place : place + variant.pes]
            pieces.append(syntax.write_pes(0xE0 if is_video else 0xC0, part, pts=pts, dts=dts))
            pts = dts = None
        yield unit, b"".join(pieces)


def read_by_ffmpeg(variant: Variant, stream: bytes) -> list[tuple[MediaKind, int | None, bytes]]:
    found = []
    with av.open(io.BytesIO(stream), format="mpeg") as container:
        for packet in container.demux():
            if not packet.size:
                continue
            kind = MediaKind.VIDEO if packet.stream.type == "video" else MediaKind.AUDIO
            found.append((kind, packet.pts, bytes(packet)))
    return found


def read_by_us(variant: Variant) -> tuple[list[AccessUnit], PsDemuxer]:
    packetizer, demuxer = Packetizer(ssrc=1, payload_size=variant.cut), PsDemuxer()
    units: list[AccessUnit] = []
    for unit, pack in packs(variant):
        for data in packetizer.push(pack, unit.dts):
            packet = parse(data)
            units += demuxer.push(packet.payload, timestamp=packet.timestamp, marker=packet.marker)
    return units + demuxer.flush(), demuxer


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_unit_is_the_one_that_ffmpeg_reads(variant: Variant) -> None:
    ours, demuxer = read_by_us(variant)
    theirs = read_by_ffmpeg(variant, b"".join(pack for _, pack in packs(variant)))
    pictures_of = [unit for unit in ours if unit.kind is MediaKind.VIDEO]
    blocks = [unit for unit in ours if unit.kind is MediaKind.AUDIO]
    video = [(pts, data) for kind, pts, data in theirs if kind is MediaKind.VIDEO]
    assert [unit.data for unit in pictures_of] == [data for _, data in video]
    assert [unit.pts for unit in pictures_of] == [pts for pts, _ in video]
    assert [unit.is_key for unit in pictures_of] == [
        nal.is_key(variant.video, data) for _, data in video
    ]
    if variant.audio is not None:
        # FFmpeg cuts audio where it likes: the bytes are what must be the same.
        audio = [(pts, data) for kind, pts, data in theirs if kind is MediaKind.AUDIO]
        assert b"".join(unit.data for unit in blocks) == b"".join(data for _, data in audio)
        assert blocks[0].pts == audio[0][0]
    assert not any(unit.is_damaged for unit in ours)
    assert demuxer.repairs == {}


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_unit_is_the_one_that_was_encoded(variant: Variant) -> None:
    ours, _ = read_by_us(variant)
    sent = [unit for unit, _ in packs(variant)]
    for kind in MediaKind:
        assert [unit for unit in ours if unit.kind is kind] == [
            unit for unit in sent if unit.kind is kind
        ]


@pytest.mark.parametrize("slices", [1, 2, 4, 8, 16])
def test_the_pictures_have_the_slices_that_were_asked_for(slices: int) -> None:
    found = nal.split(pictures(Codec.H264, 0, slices)[0].data)
    assert sum(nal.nal_type(Codec.H264, unit) == 5 for unit in found) == slices
