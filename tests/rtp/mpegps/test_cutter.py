"""Pictures that do not begin where PES packets do, as general multiplexers write them."""

from __future__ import annotations

import pytest

from rtp.access_unit import AccessUnit, Codec
from rtp.mpegps import syntax
from rtp.mpegps.demuxer import PsDemuxer

FRONTS = {
    Codec.H264: bytes.fromhex("0000000167640028acd90000000168ee3cb0"),
    Codec.H265: bytes.fromhex(
        "0000000140010c01ffff00000001420101016000000000014401c0f1".replace(" ", "")
    ),
    Codec.MPEG4: bytes.fromhex("000001b001000001b58913000001000000012000c48d8800f5"),
}
KEYS = {
    Codec.H264: "0000000165888400",
    Codec.H265: "0000000126 01af08",
    Codec.MPEG4: "000001b610c4",
}
OTHERS = {
    Codec.H264: "00000001419a2100",
    Codec.H265: "000000010201d00977",
    Codec.MPEG4: "000001b650c4",
}
CODECS = list(FRONTS)


def pictures(codec: Codec, count: int, size: int) -> list[AccessUnit]:
    made = []
    for number in range(count):
        is_key = number % 5 == 0
        head = bytes.fromhex((KEYS if is_key else OTHERS)[codec].replace(" ", ""))
        data = (FRONTS[codec] if is_key else b"") + head
        data += bytes((0x90 + number % 16,)) * (size + 37 * number)
        at = 90_000 + 3600 * number
        made.append(AccessUnit(codec=codec, data=data, pts=at, dts=at, is_key=is_key))
    return made


def unaligned(units: list[AccessUnit], *, pes: int, video: int) -> list[bytes]:
    """Packs of one PES packet each; the stamp is that of the first picture beginning in it."""
    stream, begins, place = b"", [], 0
    for unit in units:
        begins.append((place, unit.pts))
        place += len(unit.data)
        stream += unit.data
    packs = []
    for start in range(0, len(stream), pes):
        inside = [pts for at, pts in begins if start <= at < start + pes]
        pts = inside[0] if inside else None
        pack = syntax.write_pack_header(90_000 + start)
        if not start:
            pack += syntax.write_map({0xE0: video})
        packs.append(pack + syntax.write_pes(0xE0, stream[start : start + pes], pts=pts))
    return packs


def read(packs: list[bytes], *, lost: int | None = None) -> tuple[list[AccessUnit], PsDemuxer]:
    demuxer, units = PsDemuxer(), []
    for number, pack in enumerate(packs):
        if number != lost:
            missing = int(lost is not None and number == lost + 1)
            units += demuxer.push(pack, timestamp=number // 7 * 3600, missing=missing)
    return units + demuxer.flush(), demuxer


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("pes", [97, 500, 2025])
def test_pictures_over_the_ends_of_pes_packets_come_whole(codec: Codec, pes: int) -> None:
    units = pictures(codec, 20, 2100)
    found, demuxer = read(unaligned(units, pes=pes, video=syntax.stream_type(codec)))
    assert found == units
    assert demuxer.repairs["pictures_unaligned"] == 1


@pytest.mark.parametrize("codec", CODECS)
def test_the_codec_may_be_unknown_when_they_are_seen_first(codec: Codec) -> None:
    units = pictures(codec, 20, 900)
    found, _ = read(unaligned(units, pes=500, video=0x02))
    assert found == units


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("in_one", [2, 3])
def test_several_pictures_in_one_pes_packet_become_units(codec: Codec, in_one: int) -> None:
    units = pictures(codec, 30, 400)
    muxed = []
    for place in range(0, len(units), in_one):
        group = units[place : place + in_one]
        pack = syntax.write_pack_header(group[0].dts)
        pack += syntax.write_map({0xE0: syntax.stream_type(codec)})
        muxed.append(
            pack + syntax.write_pes(0xE0, b"".join(u.data for u in group), pts=group[0].pts)
        )
    found, demuxer = read(muxed)
    assert [(unit.data, unit.is_key) for unit in found] == [(u.data, u.is_key) for u in units]
    # Only the first of them has a stamp; the others follow by the usual step.
    assert [unit.pts for unit in found] == [unit.pts for unit in units]
    assert demuxer.repairs["pictures_unaligned"] == 1


@pytest.mark.parametrize("codec", CODECS)
def test_a_loss_damages_what_it_hit_and_the_next_key_picture_is_whole(codec: Codec) -> None:
    units = pictures(codec, 30, 900)
    muxed = unaligned(units, pes=500, video=syntax.stream_type(codec))
    whole = {unit.data: unit for unit in units}
    for lost in range(5, len(muxed) - 10):
        found, _ = read(muxed, lost=lost)
        sound = [unit for unit in found if not unit.is_damaged]
        assert all(unit.data in whole for unit in sound), lost
        assert len(sound) >= len(units) - 3
        assert sum(unit.is_discontinuous for unit in found) == 1


def test_fields_of_one_picture_are_no_two_pictures() -> None:
    # A sequence parameter set (320 x 224) with frame_mbs_only_flag 0; two fields in each packet.
    bits = "11011010000001010000111001001"
    front = bytes.fromhex("000000016742001e") + (int(bits, 2) << 3).to_bytes(4, "big")
    front += bytes.fromhex("0000000168ee3c")
    data = [front + bytes.fromhex("0000000165888400") + b"\x91" * 50] + [
        bytes.fromhex("00000001419a2100") + bytes((0x92 + n,)) * 50 for n in range(7)
    ]
    packs = []
    for number in range(0, 8, 2):
        pack = syntax.write_pack_header(3600 * number) + syntax.write_map({0xE0: 0x1B})
        both = data[number] + data[number + 1]
        packs.append(pack + syntax.write_pes(0xE0, both, pts=3600 * number))
    found, demuxer = read(packs)
    assert [unit.data for unit in found] == [data[n] + data[n + 1] for n in range(0, 8, 2)]
    assert not demuxer.repairs


def test_an_endless_picture_is_given_up() -> None:
    units = pictures(Codec.H264, 6, 600)
    packs = unaligned(units, pes=500, video=0x1B)
    demuxer = PsDemuxer()
    for pack in packs:
        demuxer.push(pack, timestamp=0)
    noise = b"\xa5" * 60_000
    for number in range(300):
        pack = syntax.write_pack_header(number) + syntax.write_pes(0xE0, noise, pts=None)
        demuxer.push(pack, timestamp=number)
    assert demuxer.repairs["oversize"] >= 1
