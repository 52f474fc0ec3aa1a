from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp.errors import LocalProtocolError, RemoteProtocolError
from rtp.packet import RtpPacket, is_rtcp, parse

PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    marker=st.booleans(),
    sequence_number=st.integers(0, 0xFFFF),
    timestamp=st.integers(0, 0xFFFFFFFF),
    ssrc=st.integers(0, 0xFFFFFFFF),
    payload=st.binary(max_size=64),
)


@given(PACKETS)
def test_parsing_gives_back_what_was_written(packet: RtpPacket) -> None:
    assert parse(packet.to_bytes()) == packet


def test_header_is_written_as_in_the_rfc() -> None:
    packet = RtpPacket(
        payload_type=96,
        marker=True,
        sequence_number=0x1234,
        timestamp=0x01020304,
        ssrc=0x0A0B0C0D,
        payload=b"xy",
    )
    assert packet.to_bytes().hex() == "80e01234010203040a0b0c0d7879"


def test_contributing_sources_extension_and_padding_are_left_out() -> None:
    head = bytes.fromhex("b260000100000001000000ff")
    sources, extension = bytes(8), bytes.fromhex("bede000101020304")
    assert parse(head + sources + extension + b"media" + b"\0\0\3").payload == b"media"


def test_padding_flag_without_padding_keeps_the_payload() -> None:
    data = bytes.fromhex("a060000100000001000000ff") + b"abc\0"
    assert parse(data).payload == b"abc\0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes(12),
        bytes.fromhex("4060000100000001000000ff"),
        bytes.fromhex("8f60000100000001000000ff"),
        bytes.fromhex("9060000100000001000000ff"),
        bytes.fromhex("9060000100000001000000ffbede0009"),
        bytes.fromhex("a060000100000001000000ff09"),
    ],
)
def test_a_broken_packet_is_the_fault_of_the_peer(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(data)


@given(st.binary(max_size=100))
@settings(max_examples=200)
def test_random_bytes_raise_only_declared_errors(data: bytes) -> None:
    try:
        packet = parse(b"\xb5" + data)
    except RemoteProtocolError:
        return
    assert len(packet.payload) <= len(data)


def test_a_field_out_of_range_is_the_fault_of_the_caller() -> None:
    for payload_type, number in ((96, 1 << 16), (200, 0)):
        packet = RtpPacket(
            payload_type=payload_type, sequence_number=number, timestamp=0, ssrc=0, payload=b""
        )
        with pytest.raises(LocalProtocolError):
            packet.to_bytes()


def test_a_view_stays_a_view_and_a_bytearray_is_copied() -> None:
    data = bytearray.fromhex("8060000100000001000000ff616263")
    assert isinstance(parse(memoryview(bytes(data))).payload, memoryview)
    packet = parse(data)
    data[12] = 0
    assert packet.payload == b"abc"


@pytest.mark.parametrize(
    ("second", "expected"), [(200, True), (204, True), (205, False), (96, False)]
)
def test_rtcp_is_told_by_its_packet_type(second: int, expected: bool) -> None:
    assert is_rtcp(bytes((0x80, second))) is expected
    assert not is_rtcp(bytes((0x40, second)))
