from __future__ import annotations

import pytest

from rtp.access_unit import AccessUnit, Codec
from rtp.errors import LocalProtocolError
from rtp.mpegps.muxer import PsMuxer

KEY = bytes.fromhex("0000000167640028acd90000000168ee3cb000000001658884")


def video(data: bytes, *, pts: int = 93_600, dts: int | None = None) -> AccessUnit:
    return AccessUnit(
        codec=Codec.H264, data=data, pts=pts, dts=pts if dts is None else dts, is_key=True
    )


def test_the_worked_example_is_written_byte_for_byte() -> None:
    muxer = PsMuxer(Codec.H264, Codec.PCMA)
    pack = muxer.push(video(KEY, dts=93_600))
    assert pack[14:].hex() == (
        "000001bb000c8186a104e17fe0e190c0c020"
        "000001bc0012e0ff000000081be0000090c00000fedfb1d7"
        "000001e00021848005210005db41" + KEY.hex()
    )
    audio = AccessUnit(codec=Codec.PCMA, data=b"\xd5" * 8, pts=93_600, dts=93_600, is_key=True)
    assert muxer.push(audio)[14:].hex() == "000001c00010808005210005db41" + "d5" * 8


@pytest.mark.parametrize(
    ("size", "dts", "lengths"),
    [
        (65_527, None, [65_535]),
        (65_528, None, [65_535, 4]),
        (65_522, 0, [65_535]),
        (65_523, 0, [65_535, 4]),
        (131_059, None, [65_535, 65_535]),
        (131_060, None, [65_535, 65_535, 4]),
        (0, None, [8]),
    ],
)
def test_a_picture_fills_its_pes_packets_to_the_limit(
    size: int, dts: int | None, lengths: list[int]
) -> None:
    pack = PsMuxer(Codec.H264, None).push(video(b"\xab" * size, dts=dts))
    place, found = pack.index(b"\0\0\1\xe0"), []
    while place < len(pack):
        assert pack[place : place + 4] == b"\0\0\1\xe0"
        found.append(int.from_bytes(pack[place + 4 : place + 6], "big"))
        place += 6 + found[-1]
    assert found == lengths


def test_a_change_of_tracks_gives_the_map_a_new_version() -> None:
    muxer = PsMuxer(Codec.H264, None)
    muxer.set_tracks(Codec.H264, None)
    first = muxer.push(video(KEY))
    muxer.set_tracks(Codec.H264, Codec.AAC)
    second = muxer.push(video(KEY))
    assert first[first.index(b"\0\0\1\xbc") + 6] == 0xE0
    assert second[second.index(b"\0\0\1\xbc") + 6] == 0xE1


def test_a_stream_of_audio_alone_carries_its_headers_in_every_pack() -> None:
    unit = AccessUnit(codec=Codec.PCMU, data=bytes(160), pts=0, dts=0, is_key=True)
    assert b"\0\0\1\xbc" in PsMuxer(None, Codec.PCMU).push(unit)


def test_a_unit_of_another_codec_is_refused() -> None:
    with pytest.raises(LocalProtocolError):
        PsMuxer(Codec.H265, None).push(video(KEY))
    with pytest.raises(LocalProtocolError):
        PsMuxer(None, None)
    with pytest.raises(LocalProtocolError):
        PsMuxer(Codec.PCMA, None)
