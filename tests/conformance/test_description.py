"""The independent description of the program stream."""

import pytest

from conformance.description import (
    MAP,
    SYSTEM,
    NotProgramStream,
    crc_of,
    payload_of,
    read_packs,
)
from conformance.peers.media import Heard, still_picture
from rtp.access_unit import Codec
from rtp.mpegps.muxer import PsMuxer

pytest.importorskip("construct")

# H.264 and G.711A, SCR 90000, PTS 93600: a key picture with sound in one pack, checked by hand.
KEY_PACK = bytes.fromhex(
    "000001BA440016FC840100A003F8"
    "000001BB000C8186A104E17FE0E190C0C020"
    "000001BC0012E0FF000000081BE0000090C00000FEDFB1D7"
    "000001E00021848005210005DB41"
    "0000000167640028ACD90000000168EE3CB000000001658884"
    "000001C00010808005210005DB41D5D5D5D5D5D5D5D5"
)


def test_pack_of_a_key_picture_is_read_bit_by_bit() -> None:
    (pack,) = read_packs(KEY_PACK)
    assert pack.order == (SYSTEM, MAP, 0xE0, 0xC0)
    assert pack.is_key
    _, stream_map, video, audio = pack.units
    assert stream_map.streams == {0xE0: 0x1B, 0xC0: 0x90}
    assert stream_map.is_sound
    assert video.pts == audio.pts == 93600
    assert audio.payload == b"\xd5" * 8


def test_wrong_checksum_is_seen() -> None:
    broken = KEY_PACK.replace(bytes.fromhex("FEDFB1D7"), bytes.fromhex("FEDFB1D8"))
    assert not read_packs(broken)[0].units[1].is_sound


def test_checksum_is_that_of_the_known_map() -> None:
    assert crc_of(bytes.fromhex("000001BC000EE0FF000000041BE00000")) == 0xF4DCBD45


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\1\xe0" + KEY_PACK,
        KEY_PACK[:-1],
        KEY_PACK.replace(b"\0\0\1\xba\x44", b"\0\0\1\xba\x04"),
        KEY_PACK.replace(b"\0\0\1\xe0\0\x21\x84", b"\0\0\1\xe0\0\x21\x04"),
        KEY_PACK + b"\0\0\2",
    ],
)
def test_what_is_no_program_stream_is_refused(data: bytes) -> None:
    with pytest.raises(NotProgramStream):
        read_packs(data)


def test_picture_of_the_kit_is_one_pack_each() -> None:
    muxer = PsMuxer(Codec.H264, None)
    packs = read_packs(b"".join(muxer.push(unit) for unit in still_picture(50)))
    assert len(packs) == 50
    assert [number for number, pack in enumerate(packs) if pack.is_key] == [0, 25]
    assert [pack.video[0].pts for pack in packs[:3]] == [0, 3600, 7200]


def test_rtp_payloads_are_joined_from_the_first_pack_on() -> None:
    header = bytes.fromhex("80600001000000000000002a")
    extended = bytes.fromhex("b0600002000000000000002a") + b"\xbe\xde\0\1abcd"
    heard = [
        Heard(time=0.0, data=header + b"before" + KEY_PACK[:20]),
        Heard(time=0.0, data=b"\x80\xc8" + bytes(26)),
        Heard(time=0.0, data=extended + KEY_PACK[20:] + b"\0\0\3"),
    ]
    assert payload_of(heard) == KEY_PACK


def test_rtp_without_a_pack_is_refused() -> None:
    with pytest.raises(NotProgramStream, match="no pack header"):
        payload_of([Heard(time=0.0, data=bytes.fromhex("80600001000000000000002a") + b"abc")])
