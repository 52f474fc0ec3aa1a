"""The fault matrix: what a network or a camera does wrong, up to access units."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from gb28181.media.depacketizer import Depacketizer
from gb28181.media.relay import join
from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import RtpPacket, parse
from rtp.packetizer import Packetizer

KEY = bytes.fromhex("0000000167640028acd90000000168ee3cb00000000165888400")
GROUP = 10
Fault = Callable[[list[RtpPacket], random.Random], list[RtpPacket]]


def units(frames: int, *, start: int = 0, size: int = 4000) -> list[AccessUnit]:
    made = []
    for number in range(frames):
        is_key = number % GROUP == 0
        data = (KEY if is_key else b"\x00\x00\x00\x01\x41\x9a") + bytes([0x80 + number])
        data += bytes([0x55 + number % 100]) * size
        at = start + 3600 * number
        made.append(AccessUnit(codec=Codec.H264, data=data, pts=at, dts=at, is_key=is_key))
        made.append(
            AccessUnit(codec=Codec.PCMA, data=bytes([number & 0x7F]) * 320, pts=at, dts=at,
                       is_key=True)
        )  # fmt: skip
    return made


def packets(sent: list[AccessUnit], *, ssrc: int = 1, sequence: int = 65_500) -> list[RtpPacket]:
    muxer = PsMuxer(Codec.H264, Codec.PCMA)
    packetizer = Packetizer(ssrc=ssrc, sequence_number=sequence)
    return [
        parse(data)
        for unit in sent
        for data in packetizer.push(muxer.push(unit), unit.dts & 0xFFFF_FFFF)
    ]


def read(
    came: list[RtpPacket], *, a_batch: int = 7, depacketizer: Depacketizer | None = None
) -> list[AccessUnit]:
    """What comes out, in batches as turns of a socket make them, a millisecond apart."""
    depacketizer = depacketizer or Depacketizer(ordered=False)
    found, now = [], 0.0
    for place in range(0, len(came), a_batch):
        now += 0.001
        batch = join([packet.to_bytes() for packet in came[place : place + a_batch]], now)
        found += depacketizer.push(batch, now)
    return found + depacketizer.flush()


def pictures(found: list[AccessUnit]) -> list[AccessUnit]:
    return [unit for unit in found if unit.kind is MediaKind.VIDEO]


def sound_ones(found: list[AccessUnit]) -> list[bytes]:
    return [unit.data for unit in pictures(found) if not unit.is_damaged]


def lose(share: float) -> Fault:
    return lambda sent, chance: [packet for packet in sent if chance.random() >= share]


def shuffle(span: int) -> Fault:
    def apply(sent: list[RtpPacket], chance: random.Random) -> list[RtpPacket]:
        order = sorted(range(len(sent)), key=lambda index: index + chance.uniform(0, span))
        return [sent[index] for index in order]

    return apply


def repeat(sent: list[RtpPacket], chance: random.Random) -> list[RtpPacket]:
    return [packet for packet in sent for _ in range(1 + (chance.random() < 0.3))]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_whole_pictures_come_through_loss(share: float, seed: int) -> None:
    sent = units(100)
    all_packets = packets(sent)
    came = lose(share)(all_packets, random.Random(seed))
    found = read(came)
    numbers = {packet.sequence_number for packet in came}
    muxer, packetizer = PsMuxer(Codec.H264, Codec.PCMA), Packetizer(ssrc=1, sequence_number=65_500)
    whole, is_known = [], False
    for unit in sent:
        parts = [parse(data) for data in packetizer.push(muxer.push(unit), unit.dts)]
        # Before the first map nobody can know what the stream is.
        is_known |= unit in sent[:: 2 * GROUP] and parts[0].sequence_number in numbers
        is_whole = all(part.sequence_number in numbers for part in parts)
        if unit.kind is MediaKind.VIDEO and is_whole and is_known:
            whole.append(unit.data)
    assert [data for data in sound_ones(found) if data in whole] == whole
    assert set(sound_ones(found)) <= {unit.data for unit in sent}


@pytest.mark.parametrize("span", [2, 10, 50])
@pytest.mark.parametrize("seed", range(3))
def test_reordering_up_to_fifty_packets_changes_nothing(span: int, seed: int) -> None:
    sent = units(60)
    came = shuffle(span)(packets(sent), random.Random(seed))
    # The first packet may be overtaken: what came before it is then late for good.
    first = min(range(len(came)), key=lambda index: came[index].sequence_number != 65_500)
    came.insert(0, came.pop(first))
    found = read(came)
    assert [replace(unit, is_discontinuous=False) for unit in found] == sent


def test_repeated_packets_change_nothing() -> None:
    sent = units(60)
    found = read(repeat(packets(sent), random.Random(1)))
    assert [replace(unit, is_discontinuous=False) for unit in found] == sent


@pytest.mark.parametrize("a_batch", [1, 2, 7, 46])
def test_the_size_of_the_batches_changes_nothing(a_batch: int) -> None:
    sent = units(60)
    found = read(packets(sent), a_batch=a_batch)
    assert [replace(unit, is_discontinuous=False) for unit in found] == sent
    assert [unit.is_discontinuous for unit in found] == [True] + [False] * (len(sent) - 1)


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bits_raise_nothing_and_the_next_key_picture_is_whole(seed: int) -> None:
    chance = random.Random(seed)
    sent = units(40)
    came = packets(sent)
    for _ in range(5):
        index = chance.randrange(len(came) // 2)
        data = bytearray(came[index].payload)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        came[index] = replace(came[index], payload=bytes(data))
    found = pictures(read(came))
    assert sent[2 * 30].data in [unit.data for unit in found if unit.is_key]


def test_truncation_at_every_byte_raises_nothing_and_invents_nothing() -> None:
    sent = units(10, size=300)
    known = {unit.data for unit in sent}
    muxer = PsMuxer(Codec.H264, Codec.PCMA)
    packs = [(muxer.push(unit), unit.dts) for unit in sent]
    total = sum(len(pack) for pack, _ in packs)
    for cut in range(0, total):
        left, packetizer, came = cut, Packetizer(ssrc=1), []
        for pack, at in packs:
            if left <= 0:
                break
            came += [parse(data) for data in packetizer.push(pack[:left], at)]
            left -= len(pack)
        found = read(came, a_batch=46)
        assert {unit.data for unit in pictures(found)[:-1]} <= known


def test_a_change_of_ssrc_with_other_numbers_goes_on_with_its_first_key_picture() -> None:
    sent = units(20)
    came = packets(sent, ssrc=1) + packets(sent, ssrc=2, sequence=20_000)
    found = pictures(read(came))
    assert [unit.data for unit in found if unit.is_key][-2:] == [sent[0].data, sent[20].data]
    assert len(found) >= 39


def test_a_marker_that_is_never_set_delays_but_changes_nothing() -> None:
    sent = units(40)
    found = read([replace(packet, marker=False) for packet in packets(sent)])
    for kind in MediaKind:
        assert [replace(unit, is_discontinuous=False) for unit in found if unit.kind is kind] == [
            unit for unit in sent if unit.kind is kind
        ]


def test_timestamps_that_count_frames_change_nothing() -> None:
    sent = units(40)
    came = [replace(packet, timestamp=packet.timestamp // 3600) for packet in packets(sent)]
    found = read(came)
    assert [replace(unit, is_discontinuous=False) for unit in found] == sent


def test_a_packet_of_another_kind_among_them_takes_the_exact_path() -> None:
    sent = units(20)
    came = [packet.to_bytes() for packet in packets(sent)]
    padded = [bytes((data[0] | 0x20,)) + data[1:] + b"\x00\x00\x03" for data in came]
    depacketizer, found = Depacketizer(ordered=False), []
    for number, data in enumerate(came):
        batch = join([padded[number] if number % 5 == 0 else data], 0.001 * number)
        found += depacketizer.push(batch, 0.001 * number)
    found += depacketizer.flush()
    assert [replace(unit, is_discontinuous=False) for unit in found] == sent


def test_time_goes_on_over_a_day_and_every_wrap() -> None:
    # 24 hours: the sequence number wraps at the end of each stretch, the RTP timestamp (13.3 h)
    # and the 33-bit PTS (26.5 h) once. A stretch of ten frames stands for each half hour.
    start = (1 << 33) - 12 * 3600 * 90_000
    depacketizer, sequence, seen, expected = Depacketizer(ordered=False), 65_530, [], []
    now = 0.0
    for half_hour in range(49):
        at = start + half_hour * 1800 * 90_000
        came = packets(units(10, start=at), sequence=sequence)
        sequence = came[-1].sequence_number + 1 & 0xFFFF
        expected += [at + 3600 * number - start for number in range(10)]
        now += 1800.0
        found = depacketizer.push(join([packet.to_bytes() for packet in came], now), now)
        seen += [unit.pts for unit in pictures(found)]
    assert [pts - seen[0] for pts in seen] == expected
