from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp import nal
from rtp.access_unit import Codec

H264 = bytes.fromhex("0000000167640028acd90000000168ee3cb0000001658884")
H265 = bytes.fromhex(
    "0000000140010c01ffff00000001420101016000000000014401c0f10000000126 01af08".replace(" ", "")
)


def test_units_are_cut_at_start_codes_of_three_and_four_bytes() -> None:
    assert [unit.hex() for unit in nal.split(H264)] == ["67640028acd9", "68ee3cb0", "658884"]
    assert nal.split(b"") == []


@pytest.mark.parametrize(("codec", "data"), [(Codec.H264, H264), (Codec.H265, H265)])
def test_a_key_picture_is_told_with_its_parameter_sets(codec: Codec, data: bytes) -> None:
    assert nal.is_key(codec, data)
    assert nal.sniff(data) is codec
    assert nal.has_parameter_sets(codec, data)
    assert nal.begins_picture(codec, data)
    assert nal.starts_with_key(data)
    assert len(nal.parameter_sets(codec, data)) == (2 if codec is Codec.H264 else 3)


@pytest.mark.parametrize(
    ("codec", "text"), [(Codec.H264, "00000001419a21"), (Codec.H265, "000000010201d009")]
)
def test_a_slice_alone_is_no_key_and_decides_nothing(codec: Codec, text: str) -> None:
    data = bytes.fromhex(text)
    assert not nal.is_key(codec, data)
    assert nal.sniff(data) is None
    assert not nal.has_parameter_sets(codec, data)
    assert nal.begins_picture(codec, data)
    assert not nal.starts_with_key(data)


def test_an_h264_slice_that_looks_like_an_h265_parameter_set_does_not_decide() -> None:
    assert nal.sniff(bytes.fromhex("0000000141010203000000014401aabb")) is None


def test_a_second_slice_begins_no_picture() -> None:
    assert not nal.begins_picture(Codec.H264, bytes.fromhex("0000000141 1a21".replace(" ", "")))
    assert not nal.begins_picture(Codec.H264, bytes.fromhex("419a21"))


def test_lengths_become_start_codes() -> None:
    data = bytes.fromhex("0000000265880000000141")
    assert nal.to_annex_b(data).hex() == "0000000165880000000141"


@pytest.mark.parametrize(
    ("codec", "text", "size"),
    [
        (Codec.H264, "6764001facd9405005bb011000000300100000030320f1831960", (1280, 720)),
        (Codec.H264, "67", None),
        (Codec.H265, "4201", None),
        (Codec.AAC, "67640028", None),
    ],
)
def test_the_picture_size_stands_in_the_parameter_set(
    codec: Codec, text: str, size: tuple[int, int] | None
) -> None:
    assert nal.picture_size(codec, bytes.fromhex(text)) == size


@given(st.binary(max_size=80), st.sampled_from([Codec.H264, Codec.H265]))
def test_random_bytes_raise_nothing(data: bytes, codec: Codec) -> None:
    nal.picture_size(codec, data)
    nal.sniff(b"\0\0\1" + data)
    nal.starts_with_key(b"\0\0\1" + data)
    nal.begins_picture(codec, b"\0\0\1" + data)
    nal.to_annex_b(data)
    assert b"".join(nal.split(data)).count(b"\0\0\1") == 0


@pytest.mark.parametrize(
    ("text", "is_key"),
    [
        ("0000000167640028acd9 0000000168ee3cb0 0000000141888400", True),  # sets and an I slice
        ("0000000167640028acd9 0000000168ee3cb0 00000001419a2100", False),  # sets before a P slice
        ("0000000106060184 80 00000001419a2100", True),  # a recovery point
        ("000000010605021122 06018480 00000001419a2100", True),  # behind other messages
        ("00000001060502112280 00000001419a2100", False),
        ("000000010606 00000001419a2100", False),  # cut off
        ("0000000141888400", False),  # an I slice without sets
    ],
)
def test_decoding_of_h264_may_begin_at_pictures_that_are_no_idr(text: str, is_key: bool) -> None:
    assert nal.is_key(Codec.H264, bytes.fromhex(text)) is is_key


def test_an_intra_picture_of_mpeg4_is_a_key_picture() -> None:
    front = bytes.fromhex("000001b001000001b58913000001000000012000c48d8800f5")
    assert nal.is_mpeg4(front)
    assert nal.is_mpeg4(front[11:])
    assert not nal.is_mpeg4(bytes.fromhex("0000000167640028acd9"))
    assert nal.is_key(Codec.MPEG4, front + bytes.fromhex("000001b610c4"))
    assert not nal.is_key(Codec.MPEG4, bytes.fromhex("000001b650c4"))
    assert not nal.is_key(Codec.MPEG4, bytes.fromhex("000001b6"))
