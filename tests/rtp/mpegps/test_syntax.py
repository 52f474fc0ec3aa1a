from __future__ import annotations

from typing import Any

import bitstring
import construct
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp.access_unit import Codec
from rtp.errors import LocalProtocolError
from rtp.mpegps import syntax

# An independent description of what the writers write: ISO/IEC 13818-1 tables 2-33 and 2-35.
MAP: Any = construct.Struct(
    "start" / construct.Const(b"\0\0\1\xbc"),
    "length" / construct.Int16ub,
    "flags" / construct.BitStruct("current" / construct.Flag, construct.Padding(2, b"\1"),
                                  "version" / construct.BitsInteger(5)),
    "marker" / construct.Const(b"\xff"),
    "information" / construct.Prefixed(construct.Int16ub, construct.GreedyBytes),
    "streams" / construct.Prefixed(construct.Int16ub, construct.GreedyRange(construct.Struct(
        "type" / construct.Int8ub, "id" / construct.Int8ub,
        "information" / construct.Prefixed(construct.Int16ub, construct.GreedyBytes)))),
    "crc" / construct.Int32ub,
    construct.Terminated,
)  # fmt: skip


def fields(data: bytes, *widths: int) -> list[int]:
    bits, place, values = bitstring.Bits.from_bytes(data), 0, []
    for width in widths:
        values.append(int(bits[place : place + width].uint))
        place += width
    return values


def test_the_worked_example_is_written_byte_for_byte() -> None:
    assert syntax.write_pack_header(90_000).hex() == "000001ba440016fc840100a003f8"
    system = syntax.write_system_header(has_video=True, has_audio=True)
    assert system.hex() == "000001bb000c8186a104e17fe0e190c0c020"
    assert (
        syntax.write_map({0xE0: 0x1B, 0xC0: 0x90}).hex()
        == "000001bc0012e0ff000000081be0000090c00000fedfb1d7"
    )
    assert syntax.write_map({0xE0: 0x24, 0xC0: 0x90})[-4:].hex() == "5e5f92c2"
    assert syntax.write_map({0xE0: 0x1B}).hex() == "000001bc000ee0ff000000041be00000f4dcbd45"
    assert (
        syntax.write_pes(0xC0, b"\xd5" * 8, pts=93_600).hex()
        == "000001c00010808005210005db41" + "d5" * 8
    )


@given(st.integers(0, (1 << 33) - 1), st.integers(1, (1 << 22) - 1))
def test_a_pack_header_says_its_clock_and_rate_to_another_reader(scr: int, rate: int) -> None:
    data = syntax.write_pack_header(scr, mux_rate=rate)
    assert fields(data, 32, 2, 3, 1, 15, 1, 15, 1, 9, 1, 22, 2, 5, 3) == [
        0x1BA, 1, scr >> 30, 1, scr >> 15 & 0x7FFF, 1, scr & 0x7FFF, 1, 0, 1, rate, 3, 31, 0,
    ]  # fmt: skip
    assert syntax.pack_header_size(data, 0) == 14


@given(
    st.binary(max_size=40),
    st.integers(0, (1 << 33) - 1),
    st.none() | st.integers(0, (1 << 33) - 1),
)
def test_a_pes_header_says_its_stamps_to_another_reader(
    payload: bytes, pts: int, dts: int | None
) -> None:
    data = syntax.write_pes(0xE0, payload, pts=pts, dts=dts)
    flags, size = (0b10, 5) if dts is None else (0b11, 10)
    expected = [0x1E0, len(data) - 6, 0b10000100, flags, 0, size]
    for prefix, stamp in ((2 if dts is None else 3, pts), (1, dts)):
        if stamp is not None:
            expected += [prefix, stamp >> 30, 1, stamp >> 15 & 0x7FFF, 1, stamp & 0x7FFF, 1]
    widths = (32, 16, 8, 2, 6, 8, *(4, 3, 1, 15, 1, 15, 1) * (size // 5))
    assert fields(data, *widths) == expected
    header = syntax.read_pes_header(data, 0, len(data))
    assert (header.pts, header.dts, header.is_sound) == (pts, dts, True)
    assert data[header.size :] == payload


@given(
    st.dictionaries(st.integers(0xC0, 0xEF), st.integers(0, 255), min_size=1, max_size=8),
    st.integers(0, 31),
)
def test_a_map_is_read_by_us_and_by_another_reader(streams: dict[int, int], version: int) -> None:
    data = syntax.write_map(streams, version=version)
    parsed = MAP.parse(data)
    assert {entry.id: entry.type for entry in parsed.streams} == streams
    assert parsed.flags.version == version
    assert parsed.length == len(data) - 6
    assert syntax.read_map(data, 0, len(data)) == (streams, True)


def test_a_map_with_a_wrong_checksum_is_believed_and_named() -> None:
    data = bytearray(syntax.write_map({0xE0: 0x1B, 0xC0: 0x90}))
    data[-1] ^= 1
    assert syntax.read_map(data, 0, len(data)) == ({0xE0: 0x1B, 0xC0: 0x90}, False)


def test_a_descriptor_over_the_end_of_the_map_keeps_the_entries_so_far() -> None:
    data = bytearray(syntax.write_map({0xE0: 0x1B, 0xC0: 0x90}))
    data[14:16] = b"\x7f\xff"
    assert syntax.read_map(data, 0, len(data)) == ({0xE0: 0x1B}, False)


@pytest.mark.parametrize("length", [1, 4, 8, 0x7FFF])
def test_program_descriptors_that_are_not_there_hide_no_entry(length: int) -> None:
    data = bytearray(syntax.write_map({0xE0: 0x1B, 0xC0: 0x91}))
    data[8:10] = length.to_bytes(2, "big")
    assert syntax.read_map(data, 0, len(data)) == ({0xE0: 0x1B, 0xC0: 0x91}, False)


def test_a_map_whose_lengths_all_contradict_leaves_no_entry() -> None:
    data = bytearray(syntax.write_map({0xE0: 0x1B}))
    data[8:12] = b"\x7f\xff\x7f\xff"
    assert syntax.read_map(data, 0, len(data)) == ({}, False)


@pytest.mark.parametrize(
    ("text", "size", "pts", "dts"),
    [
        ("000001e00008210005db41aabbcc", 11, 93_600, None),
        ("000001e0000dffff310005db4111000 5bf21aa".replace(" ", ""), 18, 93_600, 90_000),
        ("000001e00007ffff60200faabb", 11, None, None),
    ],
)
def test_an_mpeg1_pes_header_is_read(
    text: str, size: int, pts: int | None, dts: int | None
) -> None:
    data = bytes.fromhex(text)
    header = syntax.read_pes_header(data, 0, len(data))
    assert (header.size, header.pts, header.dts, header.is_sound) == (size, pts, dts, True)


@given(st.binary(max_size=40))
def test_no_header_makes_a_reader_fail(data: bytes) -> None:
    whole = b"\0\0\1\xe0" + data
    assert 0 <= syntax.read_pes_header(whole, 0, len(whole)).size <= max(9, len(whole))
    syntax.read_map(whole, 0, len(whole))
    syntax.pack_header_size(whole, 0)


def test_every_codec_has_one_stream_type() -> None:
    assert {syntax.stream_type(codec) for codec in Codec} == set(syntax.STREAM_TYPES)


def test_what_does_not_fit_is_the_fault_of_the_caller() -> None:
    with pytest.raises(LocalProtocolError):
        syntax.write_pes(0xE0, bytes(65_528), pts=0)
    with pytest.raises(LocalProtocolError):
        syntax.write_pack_header(0, mux_rate=0)
