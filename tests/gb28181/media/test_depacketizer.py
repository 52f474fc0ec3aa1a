from __future__ import annotations

import pytest

from gb28181.media.depacketizer import Depacketizer, Form, Picture
from gb28181.media.relay import join
from rtp.access_unit import AccessUnit, Codec
from rtp.batch import PacketBatch
from rtp.mpegps.muxer import PsMuxer
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
