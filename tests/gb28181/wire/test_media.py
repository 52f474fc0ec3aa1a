"""Packets and program streams as families of devices send them, read by our own receiver."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from gb28181.habits import Habits
from gb28181.testing.synthetic import synthetic_clip
from gb28181.wire.media import FrameBend, MediaBend
from rtp.access_unit import AccessUnit, Codec
from rtp.framing import Deframer
from rtp.mpegps.demuxer import PsDemuxer
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import parse
from rtp.packetizer import Packetizer

CLIP = synthetic_clip(seed=1, key_size=70_000)


def packets(units: tuple[AccessUnit, ...] = CLIP.units) -> list[bytes]:
    muxer, packetizer = PsMuxer(Codec.H264, None), Packetizer(ssrc=5)
    return [one for unit in units for one in packetizer.push(muxer.push(unit), unit.dts)]


def bent(**habits: Any) -> list[bytes]:
    bend = MediaBend(Habits(**habits))
    return [one for packet in packets() for one in bend.packet(packet)]


def units_of(sent: list[bytes]) -> tuple[list[bytes], dict[str, int]]:
    demuxer = PsDemuxer()
    units = []
    for data in sent:
        packet = parse(data)
        if packet.payload_type != 8:
            units += demuxer.push(packet.payload, timestamp=packet.timestamp, marker=packet.marker)
    units += demuxer.flush()
    return [unit.data for unit in units], dict(demuxer.repairs)


@pytest.mark.parametrize(
    ("habits", "repair"),
    [
        ({"stream_map": "none"}, "codec_guessed"),
        ({"stream_map": "crc"}, "map"),
        ({"stream_map": "length"}, "map"),
        ({"stream_map": "type"}, "codec"),
        ({"bare_pack": True}, "bare_pack"),
        ({"private_packets": True}, "private"),
        ({"pes_length": "zero"}, "pes_unbounded"),
        ({"pes_length": "wrapped"}, "pes_length_wrapped"),
        ({"omits_stamps": True}, "pts_missing"),
    ],
)
def test_the_same_pictures_come_of_a_bent_stream(habits: dict[str, Any], repair: str) -> None:
    found, repairs = units_of(bent(**habits))
    assert found == [unit.data for unit in CLIP.units]
    assert repair in repairs


def test_a_stream_without_habits_is_the_same_stream() -> None:
    assert bent() == packets()


def test_a_map_that_announces_sound_delays_no_picture() -> None:
    found, repairs = units_of(bent(announces_audio=True))
    assert found == [unit.data for unit in CLIP.units]
    assert repairs == {}


def test_parameter_sets_stand_before_every_frame() -> None:
    found, _ = units_of(bent(sets_everywhere=True))
    assert len(found) == len(CLIP.units)
    assert all(data.count(b"\0\0\0\1\x67") == 1 for data in found)


def test_packets_are_bent() -> None:
    def seen(**habits: Any) -> list[Any]:
        return [parse(data) for data in bent(**habits)]

    assert {one.ssrc for one in seen(rtp_ssrc="zero")} == {0}
    assert {one.ssrc for one in seen(rtp_ssrc="own")} != {5}
    assert {one.payload_type for one in seen(payload_type=69)} == {69}
    assert not any(one.marker for one in seen(marker="never"))
    assert all(one.marker for one in seen(marker="always"))
    assert len({one.timestamp for one in seen(same_timestamp=True)}) == 1
    assert {one.payload_type for one in seen(raw_audio=True)} == {96, 8}
    numbers = [one.sequence_number for one in seen(restarts_every=5)]
    assert any((b - a) & 0xFFFF > 1 for a, b in pairwise(numbers))


def test_losses_are_repeatable() -> None:
    def kept(seed: int) -> list[bytes]:
        bend = MediaBend(Habits(), loss=0.2, seed=seed)
        return [one for packet in packets() for one in bend.packet(packet)]

    assert kept(1) == kept(1) != kept(2)
    assert 0 < len(kept(1)) < len(packets())


@pytest.mark.parametrize("framing", ["rtsp", "ehome", None])
def test_frames_of_every_kind_are_read(framing: str | None) -> None:
    bend, deframer = FrameBend(Habits(framing=framing)), Deframer()
    read = deframer.push(b"".join(bend.frame(one) for one in packets()))
    assert read == packets()
    assert deframer.oddity == {"rtsp": "interleaved", "ehome": "ehome", None: ""}[framing]


def test_a_stream_that_begins_in_a_packet_is_found_again() -> None:
    bend, deframer = FrameBend(Habits(starts_in_packet=True)), Deframer()
    read = deframer.push(b"".join(bend.frame(one) for one in packets()))
    assert read == packets()[1:]
    assert deframer.resyncs == 1


def test_a_stream_that_loses_bytes_is_found_again() -> None:
    bend, deframer = FrameBend(Habits(loses_stream_bytes=True)), Deframer()
    sent = packets() * 3
    read = deframer.push(b"".join(bend.frame(one) for one in sent))
    assert deframer.resyncs >= 1
    assert len(sent) - len(read) <= 2 * (len(sent) // 60)
