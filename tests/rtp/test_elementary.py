from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp.access_unit import Codec
from rtp.elementary import (
    PAYLOAD_TYPES,
    AacDepacketizer,
    NalDepacketizer,
    SoundDepacketizer,
    sniff,
)
from rtp.mpegts import TsDemuxer


def test_samples_become_ticks_of_90_khz_over_the_wrap() -> None:
    depacketizer = SoundDepacketizer(PAYLOAD_TYPES[8])
    first = depacketizer.push(bytes(160), timestamp=0xFFFFFFFF - 159)
    second = depacketizer.push(memoryview(bytes(160)), timestamp=0, missing=2)
    assert depacketizer.push(b"", timestamp=160) == []
    assert second[0].pts - first[0].pts == 1800
    assert (second[0].codec, second[0].data) == (Codec.PCMA, bytes(160))
    assert [first[0].is_discontinuous, second[0].is_discontinuous] == [False, True]


SPS = bytes.fromhex("67640028acd940780227e5c05a808080a0000003002000000651e306324c")
PPS = bytes.fromhex("68ee3cb0")
VPS5, PPS5 = bytes.fromhex("40010c01ffff"), bytes.fromhex("4401c172b46240")
SPS5 = bytes.fromhex(
    "42010101600000030090000003000003005da00280802d16595e4b2bc05a020000030002000003003c10"
)
START = b"\x00\x00\x00\x01"


def fragments(codec: Codec, unit: bytes, size: int = 100) -> list[bytes]:
    """RFC 6184 section 5.8 and RFC 7798 section 4.4.3, written once more."""
    head = 2 if codec is Codec.H265 else 1
    kind = unit[0] >> 1 & 0x3F if codec is Codec.H265 else unit[0] & 0x1F
    if codec is Codec.H265:
        front = bytes((unit[0] & 0x81 | 49 << 1, unit[1]))
    else:
        front = bytes((unit[0] & 0xE0 | 28,))
    body = unit[head:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    flags = [kind] * len(pieces)
    flags[0] |= 0x80
    flags[-1] |= 0x40
    return [front + bytes((flag,)) + piece for flag, piece in zip(flags, pieces, strict=True)]


def aggregate(codec: Codec, units: list[bytes]) -> bytes:
    front = b"\x60\x01" if codec is Codec.H265 else b"\x78"
    return front + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


@pytest.mark.parametrize(
    ("codec", "sets", "key", "other"),
    [
        (Codec.H264, [SPS, PPS], b"\x65\x88" + bytes(range(250)), b"\x41\x9a\x55"),
        (Codec.H265, [VPS5, SPS5, PPS5], b"\x26\x01\xaf" + bytes(range(250)), b"\x02\x01\xd0\x55"),
    ],
)
def test_single_aggregated_and_fragmented_units_become_pictures(
    codec: Codec, sets: list[bytes], key: bytes, other: bytes
) -> None:
    depacketizer = NalDepacketizer(codec)
    assert depacketizer.push(aggregate(codec, sets), timestamp=0) == []
    units = []
    parts = fragments(codec, key)
    for part in parts:
        units += depacketizer.push(part, timestamp=0, marker=part is parts[-1])
    units += depacketizer.push(other, timestamp=3600)
    units += depacketizer.push(other, timestamp=7200)
    assert [(u.pts, u.is_key, u.is_damaged) for u in units] == [
        (0, True, False),
        (3600, False, False),
    ]
    assert units[0].data == b"".join(START + unit for unit in [*sets, key])
    assert units[1].data == START + other
    assert [u.pts for u in depacketizer.flush()] == [7200]


def test_a_picture_with_a_part_missing_is_damaged_and_the_next_is_not() -> None:
    depacketizer = NalDepacketizer(Codec.H264)
    parts = fragments(Codec.H264, b"\x65\x88" + bytes(range(250)) * 2)
    units = depacketizer.push(parts[0], timestamp=0)
    units += depacketizer.push(parts[2], timestamp=0, missing=1)
    units += depacketizer.push(b"\x41\x9a\x55", timestamp=3600, marker=True, missing=1)
    units += depacketizer.push(parts[3], timestamp=7200, marker=True, missing=1)
    units += depacketizer.push(b"\x41\x9a\x55", timestamp=9000, marker=True)
    assert [(u.pts, u.is_damaged) for u in units] == [(0, True), (3600, False), (9000, True)]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_a_sequence_parameter_set_tells_the_codec_and_nothing_else_does(codec: Codec) -> None:
    sets = [VPS5, SPS5, PPS5] if codec is Codec.H265 else [SPS, PPS]
    sps = sets[-2]
    assert sniff(sps) is codec
    assert sniff(START + sps) is codec
    assert sniff(aggregate(codec, sets)) is codec
    assert sniff(sets[-1]) is None
    assert sniff(sps[:6]) is None
    assert sniff(b"") is None


@settings(max_examples=200)
@given(st.lists(st.tuples(st.binary(max_size=80), st.booleans(), st.integers(0, 3)), max_size=30))
def test_any_payloads_raise_nothing(pieces: list[tuple[bytes, bool, int]]) -> None:
    subjects = [NalDepacketizer(Codec.H264), NalDepacketizer(Codec.H265)]
    audio, transport = AacDepacketizer(), TsDemuxer()
    for number, (payload, marker, missing) in enumerate(pieces):
        sniff(payload)
        for subject in subjects:
            subject.push(payload, timestamp=number // 3, marker=marker, missing=missing)
        audio.push(payload, timestamp=number, missing=missing)
        packet = b"\x47" + payload + bytes(187)
        transport.push(packet[:188], timestamp=number, missing=missing)
    for subject in subjects:
        subject.flush()
    transport.flush()


def test_aac_frames_get_headers_that_say_8_khz_mono() -> None:
    depacketizer = AacDepacketizer()
    frames = [bytes(range(20)), bytes(range(35))]
    headers = b"".join((len(frame) << 3).to_bytes(2, "big") for frame in frames)
    units = depacketizer.push(b"\x00\x20" + headers + b"".join(frames), timestamp=8000)
    assert [unit.data[7:] for unit in units] == frames
    assert [unit.pts for unit in units] == [90_000, 90_000 + 1024 * 90 // 8]
    header = units[1].data[:7]
    assert header[:2] == b"\xff\xf1"
    assert header[2] >> 2 & 15 == 11
    assert (header[2] & 1) << 2 | header[3] >> 6 == 1
    assert (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5 == 42
    assert depacketizer.push(b"\x00\x10\xff\xff", timestamp=9024) == []
