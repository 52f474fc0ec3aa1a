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
