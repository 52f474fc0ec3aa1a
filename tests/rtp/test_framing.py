from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp.errors import FramingLost, LocalProtocolError
from rtp.framing import Deframer, frame
from rtp.packetizer import Packetizer

PACKETS = Packetizer(ssrc=0x05F5E101, payload_size=50).push(bytes(range(256)) * 2, 90)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@settings(max_examples=150)
@given(
    st.lists(st.integers(0, 5000), max_size=30),
    st.sampled_from(["plain", "mid-packet", "garbage", "interleaved", "prefixed"]),
)
def test_any_segmentation_gives_the_same_packets(places: list[int], kind: str) -> None:
    frames = [frame(packet) for packet in PACKETS]
    if kind == "mid-packet":
        frames[0] = frames[0][5:]
    elif kind == "garbage":
        frames.insert(3, bytes.fromhex("004011223344") * 9)
    elif kind == "interleaved":
        frames = [b"$\0" + frame(packet) for packet in PACKETS]
    elif kind == "prefixed":
        frames.insert(0, b"\x01\x00\x01" + bytes(253))
    data = b"".join(frames)
    whole = Deframer().push(data)
    deframer = Deframer()
    out = [packet for piece in cut(data, places) for packet in deframer.push(piece)]
    assert out == whole
    expected = PACKETS[1:] if kind == "mid-packet" else PACKETS
    assert whole == expected
    assert deframer.resyncs == (kind in ("mid-packet", "garbage"))


def test_empty_frames_are_dropped() -> None:
    assert Deframer().push(b"\0\0\0\0" + frame(PACKETS[0]) + b"\0\0") == PACKETS[:1]


def test_a_length_that_looks_like_a_dollar_is_a_length() -> None:
    packet = b"\x80\x60" + bytes(0x2401 - 2)
    assert Deframer().push(frame(packet) * 2) == [packet, packet]


def test_a_receiver_report_between_packets_is_handed_out() -> None:
    report = bytes.fromhex("80c9000100000001")
    assert Deframer().push(frame(PACKETS[0]) + frame(report)) == [PACKETS[0], report]


def test_a_search_is_given_up_after_max_resync_bytes() -> None:
    deframer = Deframer(max_resync=1000)
    deframer.push(frame(PACKETS[0]))
    garbage = bytes.fromhex("0040112233") * 20
    for _ in range(9):
        assert deframer.push(garbage) == []
    with pytest.raises(FramingLost):
        deframer.push(garbage * 2)


@pytest.mark.parametrize("style", ["plain", "interleaved"])
@pytest.mark.parametrize("begin", [1, 2, 3, 5, 30, 63, 64, 200, 1000])
@pytest.mark.parametrize("chunk", [1, 50, 700, 100_000])
def test_a_connection_that_begins_within_a_packet_is_read_from_the_next(
    style: str, begin: int, chunk: int
) -> None:
    packets = [
        packet
        for number in range(30)
        for packet in Packetizer(
            ssrc=0x0BEBC201, payload_size=50 + 40 * (number % 3), sequence_number=9 * number
        ).push(bytes((number * 37 + at * at) & 0x3F for at in range(300)), 3600 * number)
    ]
    prefix = b"$\0" if style == "interleaved" else b""
    stream = b"".join(prefix + frame(packet) for packet in packets)[begin:]
    deframer, found = Deframer(), []
    for place in range(0, len(stream), chunk):
        found += deframer.push(stream[place : place + chunk])
    assert found == packets[len(packets) - len(found) :]
    assert len(found) >= len(packets) - 2 - begin // 50
    assert deframer.oddity == (style if prefix else "")


@pytest.mark.parametrize("style", ["plain", "interleaved"])
@pytest.mark.parametrize("lost", [1, 2, 5, 100, 1000])
def test_lost_bytes_cost_the_packets_they_were_of(style: str, lost: int) -> None:
    packets = Packetizer(ssrc=0x0BEBC201).push(bytes((at * at) & 0xFF for at in range(400_000)), 0)
    prefix = b"$\0" if style == "interleaved" else b""
    stream = b"".join(prefix + frame(packet) for packet in packets)
    for begin in range(20_000, 30_000, 331):
        deframer, found = Deframer(), []
        rest = stream[:begin] + stream[begin + lost :]
        for place in range(0, len(rest), 1460):
            found += deframer.push(rest[place : place + 1460])
        wrong = [packet for packet in found if packet not in packets]
        assert len(wrong) <= 1  # the one that the loss began in
        assert len(found) - len(wrong) >= len(packets) - 4, begin


def test_another_ssrc_at_a_boundary_is_no_loss() -> None:
    first = Packetizer(ssrc=5).push(bytes(9000), 0)
    second = Packetizer(ssrc=7, sequence_number=900).push(bytes(9000), 0)
    deframer, found = Deframer(), []
    for packet in [*first, *second]:
        found += deframer.push(frame(packet))
    assert found == [*first, *second]
    assert deframer.skipped == 0


def test_sound_of_its_own_ssrc_between_packets_is_no_loss() -> None:
    video = Packetizer(ssrc=5).push(bytes(90_000), 0)
    sound = Packetizer(ssrc=7, payload_size=160).push(bytes(160 * len(video)), 0)
    mixed = [packet for pair in zip(video, sound, strict=True) for packet in pair]
    deframer, found = Deframer(), []
    for packet in mixed:
        found += deframer.push(frame(packet))
    assert found == mixed[:-1]  # the last waits for what follows it
    assert deframer.skipped == 0


def test_the_packets_of_another_source_do_not_end_a_search() -> None:
    deframer = Deframer()
    deframer.push(frame(PACKETS[0]))
    other = [frame(packet) for packet in Packetizer(ssrc=9).push(bytes(4000), 0)]
    ours = [frame(packet) for packet in PACKETS[1:]]
    assert deframer.push(b"\0\x40\x11\x22" + b"".join(other + ours)) == PACKETS[1:]
    assert deframer.skipped > 4000


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=3000), max_size=30))
def test_random_bytes_raise_only_framing_lost_and_are_not_kept(pieces: list[bytes]) -> None:
    deframer = Deframer(max_resync=500)
    total = 0
    try:
        for piece in pieces:
            total += sum(len(packet) for packet in deframer.push(piece))
    except FramingLost:
        pass
    assert total <= sum(len(piece) for piece in pieces)


def test_a_packet_over_16_bits_does_not_fit_a_frame() -> None:
    with pytest.raises(LocalProtocolError):
        frame(bytes(65_536))


@pytest.mark.parametrize("style", ["plain", "interleaved"])
@pytest.mark.parametrize("cut", [1, 7, 100, 65_536])
def test_runs_of_equal_frames_and_what_breaks_them_are_cut_alike(style: str, cut: int) -> None:
    def packet(number: int, size: int, first: int = 0x80) -> bytes:
        return bytes((first, 96)) + number.to_bytes(2, "big") + bytes(4) + b"SSRC" + bytes(size)

    packets = [packet(number, 300) for number in range(20)]
    packets += [packet(20, 17), *[packet(number, 300) for number in range(21, 40)]]
    packets += [packet(40, 300, 0x90), packet(41, 556), packet(42, 44), packet(43, 300)]
    packets += [packet(number, 300) for number in range(44, 60)]
    prefix = b"$\x00" if style == "interleaved" else b""
    stream = b"".join(prefix + frame(data) for data in packets)
    deframer, found = Deframer(), []
    for place in range(0, len(stream), cut):
        found += deframer.push(stream[place : place + cut])
    assert found == packets
    assert deframer.resyncs == 0


@pytest.mark.parametrize("equal", [1, 2, 5, 9])
@pytest.mark.parametrize("size", [100, 150])
def test_what_looks_like_an_equal_frame_by_chance_is_none(equal: int, size: int) -> None:
    def packet(length: int) -> bytes:
        head = Packetizer(ssrc=0x3E3E3E3E).push(b"\x3e" * (length - 12), 0x3E3E3E3E)[0]
        assert len(head) == length
        return head

    # The shorter frames are 62 (0x3E) bytes long, and so says nearly every byte of the others.
    packets = [*[packet(62)] * equal, *[packet(size)] * 40]
    assert Deframer().push(b"".join(map(frame, packets))) == packets
