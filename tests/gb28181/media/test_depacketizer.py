from __future__ import annotations

import pytest

from gb28181.media.depacketizer import Depacketizer, Form, Picture
from gb28181.media.relay import join
from rtp.access_unit import AccessUnit, Codec
from rtp.batch import PacketBatch
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import RtpPacket
from rtp.packetizer import Packetizer

KEY = bytes.fromhex("0000000167640028acd90000000168ee3cb00000000165888400")


def unit(number: int) -> AccessUnit:
    is_key = number == 0
    data = (KEY if is_key else b"\x00\x00\x00\x01\x41\x9a") + b"\x55" * 3000
    return AccessUnit(
        codec=Codec.H264, data=data, pts=number * 3600, dts=number * 3600, is_key=is_key
    )


def batches(count: int) -> list[PacketBatch]:
    """One packet each, three to a frame."""
    muxer, packetizer = PsMuxer(Codec.H264, None), Packetizer(ssrc=1)
    packets = (
        packet
        for number in range(count)
        for packet in packetizer.push(muxer.push(unit(number)), number * 3600)
    )
    return [join([packet], 0.0) for packet in packets]


def test_a_missing_packet_is_waited_for_over_udp() -> None:
    depacketizer, sent = Depacketizer(ordered=False), batches(4)
    units = [each for batch in sent[:4] for each in depacketizer.push(batch, 0.0)]
    for batch in sent[5:]:
        assert depacketizer.push(batch, 0.1) == []
    assert depacketizer.next_timeout() == pytest.approx(0.3)
    assert depacketizer.poll(0.2) == []
    units += depacketizer.push(sent[4], 0.25)
    units += depacketizer.flush()
    assert [each.data for each in units] == [unit(number).data for number in range(4)]
    assert depacketizer.gaps == 0


def test_a_packet_that_never_comes_is_given_up_in_time() -> None:
    depacketizer, sent = Depacketizer(ordered=False), batches(4)
    for batch in [*sent[:4], *sent[5:]]:
        depacketizer.push(batch, 0.0)
    units = [*depacketizer.poll(0.2), *depacketizer.flush()]
    assert depacketizer.gaps == 1
    assert depacketizer.next_timeout() is None
    assert units[-1].data == unit(3).data


def test_nothing_is_waited_for_over_tcp() -> None:
    depacketizer, sent = Depacketizer(ordered=True), batches(4)
    for batch in [*sent[:4], *sent[5:]]:
        depacketizer.push(batch, 0.0)
        assert depacketizer.next_timeout() is None
    assert depacketizer.gaps == 1


def test_only_the_first_unit_is_marked_as_following_what_was_not_seen() -> None:
    depacketizer = Depacketizer(ordered=True)
    units = [each for batch in batches(5) for each in depacketizer.push(batch, 0.0)]
    units += depacketizer.flush()
    assert [each.is_discontinuous for each in units] == [True, False, False, False, False]


def test_the_frame_rate_is_that_of_the_latest_pictures() -> None:
    picture = Picture()
    assert picture.rate is None
    for number in range(100):
        picture.note(unit(number + 1))
    assert picture.rate == pytest.approx(25.0)
    assert (picture.frames, picture.video, picture.audio) == (100, Codec.H264, None)


SPS = bytes.fromhex("67640028acd940780227e5c05a808080a0000003002000000651e306324c")


def fed(depacketizer: Depacketizer, payloads: list[bytes], kind: int = 96) -> list[AccessUnit]:
    """Give each payload a packet of its own timestamp and marker."""
    packetizer = Packetizer(ssrc=1, payload_type=kind)
    packets = [
        packet
        for number, payload in enumerate(payloads)
        for packet in packetizer.push(payload, number * 3600)
    ]
    return [unit for packet in packets for unit in depacketizer.push(join([packet], 0.0), 0.0)]


def test_video_without_a_program_stream_is_told_by_its_parameter_sets() -> None:
    depacketizer = Depacketizer(ordered=True)
    payloads = [b"\x41\x9a\x55" * 5, SPS, b"\x68\xee\x3c\xb0", b"\x65\x88\x84", b"\x41\x9a\x55"]
    units = fed(depacketizer, payloads)
    assert depacketizer.form is Form.H264
    assert [unit.is_key for unit in units] == [True, False]
    assert units[0].data.count(b"\x00\x00\x00\x01") == 3


def test_a_program_stream_of_another_payload_type_is_a_program_stream() -> None:
    depacketizer = Depacketizer(ordered=True)
    pack = PsMuxer(Codec.H264, None).push(unit(0))
    fed(depacketizer, [pack[:1400]], kind=98)
    assert depacketizer.payload == "MPEG-PS"


@pytest.mark.parametrize(
    ("head", "name"),
    [(b"IMKH", "Hikvision"), (b"DHAV", "Dahua"), (b"\x99\x88\x77\x66", "99 88 77 66")],
)
def test_a_payload_that_nobody_knows_is_named_and_not_kept(head: bytes, name: str) -> None:
    depacketizer = Depacketizer(ordered=True)
    assert fed(depacketizer, [head + bytes([number % 251]) * 600 for number in range(600)]) == []
    assert name in depacketizer.payload
    assert depacketizer.form is Form.UNKNOWN


def test_aac_of_its_own_payload_type_stands_beside_the_program_stream() -> None:
    depacketizer = Depacketizer(ordered=True)
    units = fed(depacketizer, [b"\x00\x10\x00\xa0" + bytes(20)], kind=102)
    assert [one.codec for one in units] == [Codec.AAC]
    assert depacketizer.form is Form.UNKNOWN


def told(packets: list[bytes], depacketizer: Depacketizer | None = None) -> list[AccessUnit]:
    depacketizer = depacketizer or Depacketizer(ordered=False)
    found = [each for packet in packets for each in depacketizer.push(join([packet], 0.0), 0.0)]
    return found + depacketizer.flush()


def stream_with(kind: int, sound: bytes, *, numbers: int | None = None) -> list[bytes]:
    """Ten pictures as a program stream and a packet of another type behind each of them."""
    muxer, packetizer, packets, number = PsMuxer(Codec.H264, None), Packetizer(ssrc=1), [], 0
    for index in range(10):
        made = packetizer.push(muxer.push(unit(index)), index * 3600)
        number += len(made) + (numbers is None)
        packets += made
        own = number - 1 if numbers is None else numbers + index
        if numbers is None:
            packetizer = Packetizer(ssrc=1, sequence_number=number)
        beside = RtpPacket(
            payload_type=kind, sequence_number=own & 0xFFFF, timestamp=index * 320, ssrc=1,
            payload=sound,
        )  # fmt: skip
        packets.append(beside.to_bytes())
    return packets


@pytest.mark.parametrize(
    ("kind", "codec"),
    [(0, Codec.PCMU), (4, Codec.G7231), (8, Codec.PCMA), (9, Codec.G7221), (18, Codec.G729),
     (20, Codec.SVAC_AUDIO)],
)  # fmt: skip
@pytest.mark.parametrize("numbers", [None, 40_000])
def test_sound_of_its_own_payload_type_leaves_the_pictures_whole(
    kind: int, codec: Codec, numbers: int | None
) -> None:
    found = told(stream_with(kind, b"\x5a" * 320, numbers=numbers))
    pictures = [each for each in found if each.codec is Codec.H264]
    assert [each.data for each in pictures] == [unit(number).data for number in range(10)]
    assert not any(each.is_damaged for each in pictures)
    sound = [each for each in found if each.codec is codec]
    assert [each.pts for each in sound] == [3600 * number for number in range(10)]


def test_a_payload_type_that_is_neither_is_left_out_and_counted() -> None:
    depacketizer = Depacketizer(ordered=False)
    found = told(stream_with(107, b"metadata" * 20), depacketizer)
    assert [each.data for each in found] == [unit(number).data for number in range(10)]
    assert depacketizer.repairs == {"other_payload_type": 10}


@pytest.mark.parametrize("kind", [8, 33, 98])
def test_a_program_stream_under_the_name_of_another_is_told_by_its_packs(kind: int) -> None:
    packets = [bytes(packet) for batch in batches(6) for packet in batch.packets()]
    found = told(
        [packet[:1] + bytes((packet[1] & 0x80 | kind,)) + packet[2:] for packet in packets]
    )
    assert [each.data for each in found] == [unit(number).data for number in range(6)]


def test_a_program_stream_whose_packs_begin_nowhere_is_one_all_the_same() -> None:
    muxer = PsMuxer(Codec.H264, None)
    stream = b"abc" + b"".join(muxer.push(unit(number)) for number in range(12))
    depacketizer = Depacketizer(ordered=False)
    packets = [
        RtpPacket(
            payload_type=96, sequence_number=number, timestamp=0, ssrc=1,
            payload=stream[place : place + 700],
        ).to_bytes()
        for number, place in enumerate(range(0, len(stream), 700))
    ]  # fmt: skip
    found = told(packets, depacketizer)
    assert [each.data for each in found] == [unit(number).data for number in range(12)]
    assert depacketizer.payload == "MPEG-PS"


def test_what_looked_like_video_alone_and_was_none_is_undone_by_a_pack() -> None:
    size = bytes.fromhex("6764001eacd940a02ff9610000030001000003003c8f162d96")
    first = RtpPacket(payload_type=96, sequence_number=0, timestamp=0, ssrc=1, payload=size)
    depacketizer = Depacketizer(ordered=False)
    depacketizer.push(join([first.to_bytes()], 0.0), 0.0)
    assert depacketizer.payload == "H.264 without PS"
    packetizer, muxer = Packetizer(ssrc=1, sequence_number=1), PsMuxer(Codec.H264, None)
    packets = [
        packet
        for number in range(6)
        for packet in packetizer.push(muxer.push(unit(number)), number * 3600)
    ]
    found = told(packets, depacketizer)
    assert depacketizer.payload == "MPEG-PS"
    assert [each.data for each in found] == [unit(number).data for number in range(6)]


def test_what_comes_before_the_sequence_set_of_a_picture_belongs_to_it() -> None:
    units = [
        "40010c01ffff01600000030000030000030000030078959809",  # VPS
        "42010101600000030000030000030000030078a0028080241f265999a4932bc05a800000030080",
        "4401c172b46240",
        "2601af08" + "55" * 40,
    ]
    packets = [
        RtpPacket(
            payload_type=100, sequence_number=number, timestamp=9000, ssrc=1,
            payload=bytes.fromhex(text), marker=number == 3,
        ).to_bytes()
        for number, text in enumerate(units)
    ]  # fmt: skip
    (found,) = told(packets)
    assert found.data == b"".join(b"\0\0\0\1" + bytes.fromhex(text) for text in units)
    assert found.is_key
    assert not found.is_damaged


@pytest.mark.parametrize("size", range(6))
def test_packets_with_next_to_no_payload_are_taken_in_a_run(size: int) -> None:
    whole = PsMuxer(Codec.H264, None).push(unit(0)) + b"\0\0\1\xb9"
    pieces = [whole[:1400], whole[1400 : len(whole) - size], whole[len(whole) - size :]]
    packets = [
        RtpPacket(
            payload_type=96, sequence_number=number, timestamp=0, ssrc=1, payload=piece
        ).to_bytes()
        for number, piece in enumerate(pieces)
    ]
    depacketizer = Depacketizer(ordered=False)
    depacketizer.push(join(packets[:1], 0.0), 0.0)  # now it is known what it is
    depacketizer.push(join(packets[1:], 0.0), 0.0)
    assert [each.data for each in depacketizer.flush()] == [unit(0).data]
