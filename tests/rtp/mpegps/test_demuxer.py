from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.mpegps import syntax
from rtp.mpegps.demuxer import MAX_FRAME, PsDemuxer
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import parse
from rtp.packetizer import Packetizer
from rtp.reorder import ReorderBuffer

HEADS = {
    Codec.H264: bytes.fromhex("0000000167640028acd90000000168ee3cb000000001658884"),
    Codec.H265: bytes.fromhex(
        "0000000140010c01ffff00000001420101016000000000014401c0f1000000012601af08"
    ),
}
SLICES = {
    Codec.H264: bytes.fromhex("00000001419a21"),
    Codec.H265: bytes.fromhex("000000010201d00977"),
}
ADTS = bytes.fromhex("fff16c40041ffc") + bytes(25)


def picture(
    index: int, *, codec: Codec = Codec.H264, size: int = 500, key: bool | None = None
) -> AccessUnit:
    is_key = index % 4 == 0 if key is None else key
    head = HEADS[codec] if is_key else SLICES[codec]
    data = head + bytes((0xA0 + index % 16,)) * max(0, size - len(head))
    return AccessUnit(codec=codec, data=data, pts=index * 3600, dts=index * 3600, is_key=is_key)


def sound(index: int, codec: Codec = Codec.PCMA) -> AccessUnit:
    data = ADTS if codec is Codec.AAC else b"\xd5" * 320
    ticks = index * 3600 + 7
    return AccessUnit(codec=codec, data=data, pts=ticks, dts=ticks, is_key=True)


def demux(
    packs: list[tuple[bytes, int]],
    *,
    marker: bool = True,
    size: int = 1400,
    demuxer: PsDemuxer | None = None,
) -> list[AccessUnit]:
    demuxer = demuxer or PsDemuxer()
    packetizer, units = Packetizer(ssrc=1, payload_size=size), []
    for pack, ticks in packs:
        for data in packetizer.push(pack, ticks):
            packet = parse(data)
            units += demuxer.push(
                packet.payload, timestamp=packet.timestamp, marker=marker and packet.marker
            )
    return units + demuxer.flush()


def of(kind: MediaKind, units: list[AccessUnit]) -> list[AccessUnit]:
    return [unit for unit in units if unit.kind is kind]


def muxed(units: list[AccessUnit]) -> list[tuple[bytes, int]]:
    video = next((u.codec for u in units if u.kind is MediaKind.VIDEO), None)
    audio = next((u.codec for u in units if u.kind is MediaKind.AUDIO), None)
    muxer = PsMuxer(video, audio)
    return [(muxer.push(unit), unit.pts) for unit in units]


@settings(max_examples=60, deadline=None)
@given(
    video=st.sampled_from([Codec.H264, Codec.H265]),
    audio=st.sampled_from([Codec.PCMA, Codec.AAC, None]),
    marker=st.booleans(),
    payload_size=st.sampled_from([1, 3, 40, 1400]),
    seed=st.integers(0, 1000),
)
def test_muxing_sending_shuffling_and_demuxing_gives_back_the_units(
    video: Codec, audio: Codec | None, marker: bool, payload_size: int, seed: int
) -> None:
    units = []
    for index in range(6):
        units.append(picture(index, codec=video, size=60 + 40 * index))
        if audio is not None:
            units.append(sound(index, audio))
    packetizer = Packetizer(ssrc=1, payload_size=payload_size, sequence_number=65_500)
    packets = [parse(p) for pack, ticks in muxed(units) for p in packetizer.push(pack, ticks)]
    keys = random.Random(seed)
    order = sorted(range(1, len(packets)), key=lambda at: at + keys.random() * 20)
    reorder, demuxer, out = ReorderBuffer(), PsDemuxer(), []
    for at in [0, *order]:
        for packet, missing in reorder.push(packets[at], 0.0):
            out += demuxer.push(
                packet.payload,
                timestamp=packet.timestamp,
                marker=marker and packet.marker,
                missing=missing,
            )
    out += demuxer.flush()
    for kind in MediaKind:
        assert of(kind, out) == of(kind, units)
    assert demuxer.repairs == {}
    assert (demuxer.video_codec, demuxer.audio_codec) == (video, audio)


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize("size", [65_527, 65_528, 65_522, 65_523, 131_059, 131_060, 300_000])
@pytest.mark.parametrize("has_dts", [True, False])
def test_pictures_at_the_limits_of_a_pes_packet_come_back(
    size: int, has_dts: bool, marker: bool
) -> None:
    units = [picture(index, size=size) for index in range(1, 4)]
    units[0] = picture(0, size=size)
    if has_dts:
        units = [replace(unit, pts=unit.pts + 7200) for unit in units]
    assert demux(muxed(units), marker=marker) == units


def test_a_marked_picture_is_handed_out_without_waiting_for_the_next() -> None:
    demuxer = PsDemuxer()
    pack, ticks = muxed([picture(0)])[0]
    assert demuxer.push(pack[:-5], timestamp=ticks) == []
    assert demuxer.push(pack[-5:], timestamp=ticks, marker=True) == [picture(0)]


def test_a_marker_before_the_pes_lengths_are_satisfied_hands_out_nothing() -> None:
    demuxer = PsDemuxer()
    pack, ticks = muxed([picture(0)])[0]
    assert demuxer.push(pack[:-5], timestamp=ticks, marker=True) == []
    assert demuxer.push(pack[-5:], timestamp=ticks, marker=True) == [picture(0)]


@pytest.mark.parametrize("stuffing", range(8))
def test_pack_stuffing_is_skipped(stuffing: int) -> None:
    packs = muxed([picture(index) for index in range(4)])
    counters = b"\x00\x01\x02\x03\x04\x05\x06"[:stuffing]
    stuffed = [
        (pack[:13] + bytes((0xF8 | stuffing,)) + counters + pack[14:], ticks)
        for pack, ticks in packs
    ]
    assert demux(stuffed) == [picture(index) for index in range(4)]


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize("header", ["000001ba", "000001ba2100010001800001"])
def test_a_bare_pack_start_and_an_mpeg1_pack_header_are_read(header: str, marker: bool) -> None:
    units = [picture(index) for index in range(4)]
    packs = [(bytes.fromhex(header) + pack[14:], ticks) for pack, ticks in muxed(units)]
    assert demux(packs, marker=marker) == units


@pytest.mark.parametrize("marker", [True, False])
def test_pes_packets_without_length_end_with_their_pack(marker: bool) -> None:
    units = [picture(index) for index in range(4)]
    packs = []
    for pack, ticks in muxed(units):
        at = pack.index(b"\0\0\1\xe0")
        packs.append((pack[: at + 4] + b"\0\0" + pack[at + 6 :], ticks))
    demuxer = PsDemuxer()
    assert demux(packs, marker=marker, demuxer=demuxer) == units
    assert demuxer.repairs == {"pes_unbounded": 4}


@pytest.mark.parametrize("marker", [True, False])
def test_a_pes_length_that_lost_its_17th_bit_is_repaired(marker: bool) -> None:
    units = [picture(index, size=100_000) for index in range(4)]
    packs = []
    for unit in units:
        header = syntax.write_pes(0xE0, b"", pts=unit.pts)
        length = (len(unit.data) + 8) & 0xFFFF
        pes = header[:4] + length.to_bytes(2, "big") + header[6:] + unit.data
        maps = syntax.write_map({0xE0: 0x1B})
        packs.append((syntax.write_pack_header(unit.pts) + maps + pes, unit.pts))
    demuxer = PsDemuxer()
    assert demux(packs, marker=marker, demuxer=demuxer) == units
    assert demuxer.repairs == {"pes_length_wrapped": 4}


def test_a_pes_length_that_is_too_short_costs_nothing() -> None:
    units = [picture(index) for index in range(3)]
    packs = muxed(units)
    pack, ticks = packs[1]
    at = pack.index(b"\0\0\1\xe0") + 4
    packs[1] = (pack[:at] + b"\0\x40" + pack[at + 2 :], ticks)
    demuxer = PsDemuxer()
    assert demux(packs, demuxer=demuxer) == units
    assert demuxer.repairs == {"pes_length": 1}


def test_a_pes_length_into_the_next_pes_packet_damages_the_picture() -> None:
    units = [picture(index, size=70_000) for index in range(3)]
    packs = muxed(units)
    pack, ticks = packs[1]
    at = pack.index(b"\0\0\1\xe0")
    first = pack[at + 14 : at + 14 + 30_000]
    rest = pack[at + 14 + 30_000 : at + 14 + 60_000]
    pack = pack[:at] + syntax.write_pes(0xE0, first, pts=ticks)
    pack = pack[: at + 4] + (30_008 + 500).to_bytes(2, "big") + pack[at + 6 :]
    packs[1] = (pack + syntax.write_pes(0xE0, rest, pts=None), ticks)
    assert [unit.is_damaged for unit in demux(packs)] == [False, True, False]


@pytest.mark.parametrize("broken", ["000041", "004001", "800001"])
def test_a_broken_start_code_behind_a_picture_damages_it(broken: str) -> None:
    units = [picture(index) for index in range(3)]
    packs = muxed(units)
    pack, ticks = packs[2]
    packs[2] = (bytes.fromhex(broken) + pack[3:], ticks)
    one = b"".join(pack for pack, _ in packs)
    demuxer = PsDemuxer()
    found = demuxer.push(one, timestamp=0) + demuxer.flush()
    assert [unit.is_damaged for unit in found[:2]] == [False, True]


@pytest.mark.parametrize("marker", [True, False])
def test_a_pes_length_into_the_pack_after_it_gives_way_to_that(marker: bool) -> None:
    units = [unit for index in range(3) for unit in (picture(index), sound(index))]
    packs = []
    for pack, ticks in muxed(units):
        at = pack.find(b"\0\0\1\xe0") + 4
        if at > 4:
            pack = pack[:at] + b"\x02\xff" + pack[at + 2 :]
        packs.append((pack, ticks - ticks % 90))  # sound and picture of one timestamp
    demuxer = PsDemuxer()
    found = demux(packs, marker=marker, demuxer=demuxer)
    assert of(MediaKind.VIDEO, found) == units[::2]
    assert of(MediaKind.AUDIO, found) == units[1::2]
    assert demuxer.repairs == {"pes_too_long": 3}


@pytest.mark.parametrize("header", ["map", "system header"])
@pytest.mark.parametrize("wrong", [-6, -1, 1, 6, 3000])
@pytest.mark.parametrize("size", [40, 1400])
def test_a_wrong_length_of_a_map_or_system_header_costs_no_key_picture(
    header: str, wrong: int, size: int
) -> None:
    units = [picture(index, size=5000) for index in range(8)]
    packs, code = [], b"\0\0\1\xbc" if header == "map" else b"\0\0\1\xbb"
    for pack, ticks in muxed(units):
        at = pack.find(code) + 4
        if at > 4:
            length = int.from_bytes(pack[at : at + 2], "big") + wrong
            pack = pack[:at] + length.to_bytes(2, "big") + pack[at + 2 :]
        packs.append((pack, ticks))
    demuxer = PsDemuxer()
    assert demux(packs, size=size, demuxer=demuxer) == units
    assert demuxer.repairs["header_length"] == 2


@pytest.mark.parametrize("marker", [True, False])
def test_ones_between_packs_are_skipped(marker: bool) -> None:
    units = [picture(index, size=500 + 3 * index) for index in range(6)]
    packs = [(pack + b"\xff" * 12, ticks) for pack, ticks in muxed(units)]
    assert demux(packs, marker=marker) == units


def test_a_pes_length_over_the_end_of_its_pack_gives_way_to_the_next_pack() -> None:
    units = [picture(index) for index in range(3)]
    packs = muxed(units)
    pack, ticks = packs[1]
    at = pack.index(b"\0\0\1\xe0") + 4
    packs[1] = (pack[:at] + b"\x7f\xff" + pack[at + 2 :], ticks)
    demuxer = PsDemuxer()
    assert demux(packs, demuxer=demuxer) == units
    assert demuxer.repairs == {"pes_too_long": 1}


@pytest.mark.parametrize("code", [0xBD, 0xBE, 0xBF, 0xF0, 0xFF])
def test_private_packets_between_video_are_skipped(code: int) -> None:
    unit = picture(0, size=70_000)
    pack = muxed([unit])[0][0]
    second = pack.rindex(b"\0\0\1\xe0")
    private = bytes((0, 0, 1, code, 0, 6)) + b"\0\0\1\xba\0\0"
    assert demux([(pack[:second] + private + pack[second:], 0)]) == [unit]


@pytest.mark.parametrize("marker", [True, False])
def test_one_picture_over_several_packs_of_one_timestamp_is_one_unit(marker: bool) -> None:
    units = [picture(0, size=150_000), picture(1)]
    packs = []
    for unit in units:
        pack = syntax.write_pack_header(unit.pts) + syntax.write_map({0xE0: 0x1B})
        pack += syntax.write_pes(0xE0, unit.data[:60_000], pts=unit.pts)
        for at in range(60_000, len(unit.data), 60_000):
            pack += syntax.write_pack_header(unit.pts)
            pack += syntax.write_pes(0xE0, unit.data[at : at + 60_000], pts=unit.pts)
        packs.append((pack, unit.pts))
    assert demux(packs, marker=marker) == units


def test_a_marker_in_the_middle_of_pictures_is_believed_once_only() -> None:
    demuxer, out = PsDemuxer(), []
    units = [picture(index, key=True) for index in range(3)]
    for unit in units:
        half = len(unit.data) // 2
        pack = syntax.write_pack_header(unit.pts) + syntax.write_map({0xE0: 0x1B})
        first = pack + syntax.write_pes(0xE0, unit.data[:half], pts=unit.pts)
        rest = syntax.write_pes(0xE0, unit.data[half:], pts=None)
        out += demuxer.push(first, timestamp=unit.pts, marker=True)
        out += demuxer.push(rest, timestamp=unit.pts, marker=True)
    out += demuxer.flush()
    assert units[0].data.startswith(out[0].data)
    assert out[1:] == [replace(units[1], is_discontinuous=True), units[2]]
    assert demuxer.repairs == {"marker": 1}


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265])
def test_without_a_map_the_codec_is_guessed(codec: Codec, marker: bool) -> None:
    units = [picture(index, codec=codec) for index in range(4)]
    packs = []
    for pack, ticks in muxed(units):
        packs.append((pack[:14] + pack[pack.index(b"\0\0\1\xe0") :], ticks))
    assert demux(packs, marker=marker) == units


def test_before_the_first_parameter_sets_without_a_map_nothing_is_handed_out() -> None:
    units = [picture(index, key=index == 2) for index in range(4)]
    packs = []
    for pack, ticks in muxed(units):
        packs.append((pack[:14] + pack[pack.index(b"\0\0\1\xe0") :], ticks))
    out = demux(packs)
    assert out == [replace(units[2], is_discontinuous=True), units[3]]


@pytest.mark.parametrize(
    ("hint", "data", "codec"),
    [
        (None, bytes(320), Codec.PCMA),
        (None, ADTS, Codec.AAC),
        (Codec.PCMU, bytes(320), Codec.PCMU),
    ],
)
def test_audio_without_a_map_is_guessed(hint: Codec | None, data: bytes, codec: Codec) -> None:
    pack = syntax.write_pack_header(0) + syntax.write_pes(0xC0, data, pts=90)
    units = demux([(pack, 0)], demuxer=PsDemuxer(audio_hint=hint))
    assert [(unit.codec, unit.data, unit.pts) for unit in units] == [(codec, data, 90)]


def test_video_declared_as_the_other_codec_is_what_its_units_say() -> None:
    units = [picture(index, codec=Codec.H265) for index in range(4)]
    muxer, demuxer = PsMuxer(Codec.H264, None), PsDemuxer()
    packs = [(muxer.push(replace(unit, codec=Codec.H264)), unit.pts) for unit in units]
    assert demux(packs, demuxer=demuxer) == units
    assert demuxer.repairs == {"codec": 1}


def test_a_change_of_the_map_changes_the_codec() -> None:
    first = [picture(index) for index in range(4)]
    second = [picture(index, codec=Codec.H265) for index in range(4, 8)]
    assert demux(muxed(first) + muxed(second)) == first + second


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize("first", [Codec.H264, Codec.H265])
@pytest.mark.parametrize("is_mapped", [True, False])
def test_a_change_of_the_codec_is_seen_with_and_without_a_map(
    first: Codec, marker: bool, is_mapped: bool
) -> None:
    second = Codec.H265 if first is Codec.H264 else Codec.H264
    units = [picture(index, codec=first if index < 8 else second) for index in range(16)]
    packs = muxed(units[:8]) + muxed(units[8:])
    if not is_mapped:
        packs = [(without_map(pack), ticks) for pack, ticks in packs]
    assert demux(packs, marker=marker) == units


def without_map(pack: bytes) -> bytes:
    at = pack.find(b"\0\0\1\xbc")
    return pack if at < 0 else pack[:at] + pack[at + 6 + int.from_bytes(pack[at + 4 : at + 6]) :]


@pytest.mark.parametrize("declared", [Codec.MPEG4, Codec.H265])
def test_h264_under_any_name_is_h264(declared: Codec) -> None:
    units = [picture(index) for index in range(8)]
    muxer = PsMuxer(declared, None)
    packs = [(muxer.push(replace(unit, codec=declared)), unit.pts) for unit in units]
    assert demux(packs) == units


def test_mpeg4_under_the_name_of_h264_is_mpeg4() -> None:
    front = bytes.fromhex("000001b001000001b58913000001000000012000c48d8800f5")
    muxer, packs, sent = PsMuxer(Codec.H264, None), [], []
    for index in range(8):
        is_key = index % 4 == 0
        head = front + bytes.fromhex("000001b610c4") if is_key else bytes.fromhex("000001b650c4")
        unit = picture(index, key=is_key)
        sent.append(replace(unit, codec=Codec.MPEG4, data=head + bytes([0x91 + index]) * 900))
        packs.append((muxer.push(replace(sent[-1], codec=Codec.H264)), unit.pts))
    assert demux(packs) == sent


@pytest.mark.parametrize("marker", [True, False])
def test_a_picture_without_its_first_slice_is_damaged(marker: bool) -> None:
    units = [picture(index) for index in range(6)]
    demuxer, out = PsDemuxer(), []
    for unit in units:
        slices = [unit.data, b"\0\0\0\1\x41\x1a\x21" + bytes(300)]
        for number, data in enumerate(slices):
            if unit is units[2] and number == 0:
                continue  # lost
            head = syntax.write_pack_header(unit.dts) + syntax.write_map({0xE0: 0x1B})
            out += demuxer.push(
                head + syntax.write_pes(0xE0, data, pts=unit.pts),
                timestamp=unit.pts,
                marker=marker and number == 1,
                missing=int(unit is units[2]),
            )
    out += demuxer.flush()
    whole = [unit.pts for unit in units if unit is not units[2]]
    assert [unit.pts for unit in out if not unit.is_damaged] == whole


def test_time_stamps_go_on_over_the_wrap() -> None:
    base = (1 << 33) - 5000
    units = [replace(picture(i), pts=base + i * 3600, dts=base + i * 3600) for i in range(4)]
    assert demux(muxed(units)) == units


@pytest.mark.parametrize("marker", [True, False])
@pytest.mark.parametrize("kind", ["missing", "constant"])
def test_the_rtp_timestamp_replaces_a_useless_pts(kind: str, marker: bool) -> None:
    units = [picture(index) for index in range(8)]
    packs = []
    for unit in units:
        pes = syntax.write_pes(0xE0, unit.data, pts=None if kind == "missing" else 0)
        maps = syntax.write_map({0xE0: 0x1B})
        packs.append((syntax.write_pack_header(0) + maps + pes, unit.pts + 500))
    out = demux(packs, marker=marker)
    assert [unit.data for unit in out] == [unit.data for unit in units]
    assert [b.pts - a.pts for a, b in zip(out, out[1:], strict=False)] == [3600] * 7  # noqa: RUF007


def test_a_pts_that_jumps_back_alone_goes_on_in_its_new_steps() -> None:
    base = 1 << 30
    stamps = [base, base + 3600, 100, 3700, 7300]
    packs = []
    for index, stamp in enumerate(stamps):
        unit = replace(picture(index), pts=stamp, dts=stamp)
        packs.append((muxed([unit])[0][0], index * 3600))
    assert [unit.pts for unit in demux(packs)] == [base + index * 3600 for index in range(5)]


def test_g711_without_pts_goes_on_by_its_samples() -> None:
    demuxer = PsDemuxer(audio_hint=Codec.PCMA)
    first = syntax.write_pack_header(0) + syntax.write_pes(0xC0, bytes(160), pts=1000)
    units = demuxer.push(first, timestamp=0)
    for _ in range(2):
        data = syntax.write_pack_header(0) + syntax.write_pes(0xC0, bytes(320), pts=None)
        units += demuxer.push(data, timestamp=0)
    assert [unit.pts for unit in units] == [1000, 2800, 6400]


def test_adts_frames_are_told_apart_also_over_pes_packets() -> None:
    demuxer = PsDemuxer()
    head = syntax.write_pack_header(0) + syntax.write_map({0xC0: 0x0F})
    data = ADTS * 3
    units = demuxer.push(head + syntax.write_pes(0xC0, data[:70], pts=0), timestamp=0)
    units += demuxer.push(
        syntax.write_pack_header(0) + syntax.write_pes(0xC0, data[70:], pts=None), timestamp=0
    )
    assert [unit.data for unit in units] == [ADTS] * 3
    assert [unit.pts for unit in units] == [0, 11_520, 23_040]


@pytest.mark.parametrize("size", [20, 47, 70, 100])
def test_a_stamp_is_that_of_the_first_adts_frame_that_begins_in_its_packet(size: int) -> None:
    demuxer, units, data = PsDemuxer(), [], ADTS * 12
    head = syntax.write_pack_header(0) + syntax.write_map({0xC0: 0x0F})
    for place in range(0, len(data), size):
        begins = [at for at in range(0, len(data), len(ADTS)) if place <= at < place + size]
        pts = 5000 + begins[0] // len(ADTS) * 11_520 if begins else None
        pes = syntax.write_pes(0xC0, data[place : place + size], pts=pts)
        units += demuxer.push(head + pes, timestamp=0)
    assert [unit.data for unit in units] == [ADTS] * 12
    assert [unit.pts for unit in units] == [5000 + 11_520 * number for number in range(12)]


def lossy(lost: set[int], *, marker: bool = True) -> tuple[list[AccessUnit], list[AccessUnit]]:
    units = [picture(index, size=4000) for index in range(8)]
    packetizer, demuxer, out, number, missing = Packetizer(ssrc=1), PsDemuxer(), [], 0, 0
    for pack, ticks in muxed(units):
        for data in packetizer.push(pack, ticks):
            number, packet = number + 1, parse(data)
            if number - 1 in lost:
                missing += 1
                continue
            out += demuxer.push(
                packet.payload, timestamp=ticks, marker=marker and packet.marker, missing=missing
            )
            missing = 0
    return units, out + demuxer.flush()


@pytest.mark.parametrize("marker", [True, False])
def test_a_packet_lost_in_the_middle_damages_one_picture_and_names_the_break(
    marker: bool,
) -> None:
    units, out = lossy({4}, marker=marker)  # the second of three packets of picture 1
    assert [unit.pts // 3600 for unit in out] == list(range(8))
    assert [unit.is_damaged for unit in out] == [False, True] + [False] * 6
    assert [unit.is_discontinuous for unit in out] == [False] * 2 + [True] + [False] * 5
    assert units[1].data.startswith(out[1].data)
    assert out[3:] == units[3:]


def test_without_markers_a_whole_picture_before_a_loss_is_whole() -> None:
    units = [picture(index, size=4000 + 10 * (index % 3)) for index in range(12)]
    packs = [packet for pack, ticks in muxed(units) for packet in cut_up(pack, ticks)]
    for lost in range(len(packs)):
        owner = packs[lost][2]
        if owner < 4:  # what a sender does at the end of a picture is learnt first
            continue
        demuxer, out = PsDemuxer(), []
        for number, (payload, ticks, _) in enumerate(packs):
            if number != lost:
                missing = int(number == lost + 1)
                out += demuxer.push(payload, timestamp=ticks, missing=missing)
        out += demuxer.flush()
        sound = [unit.data for unit in out if not unit.is_damaged]
        assert sound == [unit.data for unit in units if unit.pts != owner * 3600]


def cut_up(pack: bytes, ticks: int) -> list[tuple[bytes, int, int]]:
    return [(pack[at : at + 1400], ticks, ticks // 3600) for at in range(0, len(pack), 1400)]


def test_without_markers_what_may_go_on_in_another_pes_packet_is_damaged_by_a_loss() -> None:
    units = [picture(index, size=9000) for index in range(6)]
    demuxer, out = PsDemuxer(), []
    for index, unit in enumerate(units):
        pes = [
            syntax.write_pes(0xE0, unit.data[at : at + 3000], pts=None if at else unit.pts)
            for at in range(0, 9000, 3000)
        ]
        head = syntax.write_pack_header(unit.dts) + syntax.write_map({0xE0: 0x1B})
        pieces = [head + pes[0], pes[1], pes[2]]
        if index == 4:
            pieces = pieces[:2]
        for place, piece in enumerate(pieces):
            missing = int(index == 5 and place == 0)
            out += demuxer.push(piece, timestamp=unit.pts, missing=missing)
    out += demuxer.flush()
    assert [unit.is_damaged for unit in out] == [False] * 4 + [True, False]


def test_a_picture_whose_beginning_is_lost_is_dropped() -> None:
    units, out = lossy({3})
    assert out[0] == units[0]
    assert out[1] == replace(units[2], is_discontinuous=True)


def test_the_rest_of_a_picture_after_a_loss_is_damaged() -> None:
    unit = picture(0, size=4000)
    second_slice = bytes.fromhex("00000001651b") + b"\xaa" * 50
    unit = replace(unit, data=unit.data + second_slice)
    head = syntax.write_pack_header(0) + syntax.write_map({0xE0: 0x1B})
    demuxer = PsDemuxer()
    out = demuxer.push(head + syntax.write_pes(0xE0, unit.data[:4000], pts=0)[:3000], timestamp=0)
    rest = syntax.write_pack_header(0) + syntax.write_pes(0xE0, unit.data[4000:], pts=0)
    out += demuxer.push(rest, timestamp=0, missing=1)
    following = picture(1)
    out += demuxer.push(muxed([following])[0][0], timestamp=3600, marker=True)
    assert [u.is_damaged for u in out] == [True, True, False]
    assert out[2].data == following.data


def test_any_single_loss_leaves_undamaged_units_whole() -> None:
    for marker in (True, False):
        for lost in range(24):
            units, out = lossy({lost}, marker=marker)
            whole = {unit.pts: unit.data for unit in units}
            assert all(whole[u.pts] == u.data for u in out if not u.is_damaged)
            assert len(out) >= (6 if lost else 4)  # the map is in the first packet


def test_truncation_anywhere_raises_nothing_and_invents_nothing() -> None:
    units = [picture(0, size=60), sound(0), picture(1, size=40)]
    stream = b"".join(pack for pack, _ in muxed(units))
    for end in range(len(stream) + 1):
        demuxer = PsDemuxer()
        out = demuxer.push(stream[:end], timestamp=0) + demuxer.flush()
        for unit in out:
            source = next(u for u in units if u.kind is unit.kind and u.pts == unit.pts)
            assert source.data.startswith(unit.data)
            assert unit.is_damaged or source.data == unit.data or unit.kind is MediaKind.VIDEO


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=12),
    st.booleans(),
    st.integers(1, 300),
)
def test_flipped_bytes_raise_nothing(
    flips: list[tuple[int, int]], marker: bool, size: int
) -> None:  # fmt: skip
    units = [unit for index in range(4) for unit in (picture(index, size=300), sound(index))]
    stream = bytearray(b"".join(pack for pack, _ in muxed(units)))
    for place, value in flips:
        stream[place % len(stream)] = value
    out = demux([(bytes(stream), 0)], marker=marker, size=size)
    assert sum(len(unit.data) for unit in out) <= len(stream)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"\0\0\1\xba", b"\0\0\1\xe0", b"\0\0\1\xbc", b"\0\0\1\xc0", b"\0\0\1\xe0\0\0\x80",
                 b"\0\0\0", b""]
            ),
            st.binary(max_size=40), st.integers(0, 3), st.booleans(), st.booleans(),
        ),
        max_size=40,
    )
)  # fmt: skip
def test_random_bytes_raise_nothing_and_are_not_hoarded(
    payloads: list[tuple[bytes, bytes, int, bool, bool]],
) -> None:
    demuxer, total, came = PsDemuxer(), 0, 0
    for head, data, ticks, marker, missing in payloads:
        came += len(head + data)
        for unit in demuxer.push(head + data, timestamp=ticks, marker=marker, missing=missing):
            total += len(unit.data)
    total += sum(len(unit.data) for unit in demuxer.flush())
    assert total <= came


def test_a_picture_without_end_is_given_up() -> None:
    demuxer = PsDemuxer()
    pack = syntax.write_pack_header(0) + syntax.write_map({0xE0: 0x1B})
    assert demuxer.push(pack + b"\0\0\1\xe0\0\0\x80\0\0" + HEADS[Codec.H264], timestamp=0) == []
    for _ in range(MAX_FRAME // 60_000 + 2):
        assert demuxer.push(bytes(60_000).replace(b"\0", b"\xaa"), timestamp=0) == []
    assert demuxer.repairs["oversize"] == 1
    unit = picture(4)
    out = demux(muxed([unit]), demuxer=demuxer)
    assert out == [replace(unit, is_discontinuous=True)]


def test_a_start_code_cut_by_two_packets_is_found_after_garbage() -> None:
    pack = muxed([picture(0)])[0][0]
    demuxer = PsDemuxer()
    assert demuxer.push(b"\x12\x34" + pack[:2], timestamp=0) == []
    out = demuxer.push(pack[2:], timestamp=0, marker=True)
    assert [unit.data for unit in out] == [picture(0).data]
    assert out[0].is_discontinuous


def test_parameter_sets_in_a_pack_of_their_own_go_before_their_picture() -> None:
    unit = picture(0)
    cut = unit.data.index(b"\0\0\0\1\x65")
    head = syntax.write_pack_header(0) + syntax.write_map({0xE0: 0x1B})
    packs = [
        (head + syntax.write_pes(0xE0, unit.data[:cut], pts=0), 0),
        (syntax.write_pack_header(0) + syntax.write_pes(0xE0, unit.data[cut:], pts=0), 0),
    ]
    assert demux(packs) == [unit]


def test_zeros_between_packs_are_skipped() -> None:
    units = [picture(index) for index in range(3)]
    packs = [(pack + bytes(5), ticks) for pack, ticks in muxed(units)]
    demuxer = PsDemuxer()
    assert demux(packs, marker=False, demuxer=demuxer) == units
    assert demuxer.repairs == {"padding": 2}


def test_a_second_video_stream_is_left_out() -> None:
    unit = picture(0)
    pack = muxed([unit])[0][0] + syntax.write_pes(0xE1, SLICES[Codec.H264], pts=5)
    assert demux([(pack, 0)]) == [unit]
