from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp.errors import RemoteProtocolError
from rtp.packet import is_rtcp
from rtp.rtcp import (
    BYE,
    RECEIVER_REPORT,
    SENDER_REPORT,
    SOURCE_DESCRIPTION,
    ReportBlock,
    ntp_time,
    parse,
    receiver_report,
    sender_report,
)

WORDS = st.integers(0, 0xFFFFFFFF)
BLOCKS = st.builds(
    ReportBlock,
    ssrc=WORDS,
    fraction_lost=st.integers(0, 255),
    lost=st.integers(-(1 << 23), (1 << 23) - 1),
    highest_sequence=WORDS,
    jitter=WORDS,
    last_report=WORDS,
    delay=WORDS,
)


@given(WORDS, st.lists(BLOCKS, max_size=4), st.text(max_size=20))
def test_a_receiver_report_is_read_as_written(
    ssrc: int, blocks: list[ReportBlock], name: str
) -> None:
    data = receiver_report(ssrc, tuple(blocks), name)
    report, description = parse(data)
    assert is_rtcp(data)
    assert len(data) % 4 == 0
    assert (report.packet_type, report.ssrc, report.blocks) == (
        RECEIVER_REPORT,
        ssrc,
        tuple(blocks),
    )
    assert (description.packet_type, description.ssrc) == (202, ssrc)


def test_a_report_is_written_as_in_the_rfc() -> None:
    assert receiver_report(1, (ReportBlock(ssrc=2, fraction_lost=64, lost=-1),), "ab").hex() == (
        "81c9000700000001" "0000000240ffffff00000000000000000000000000000000"
        "81ca0003000000010102616200000000"
    )  # fmt: skip


def test_a_sender_report_and_a_bye_are_told() -> None:
    data = bytes.fromhex("80c80006000000070102030405060708000000090000000a0000000b81cb000100000007")
    report, bye = parse(data)
    assert (report.packet_type, report.ntp, report.timestamp) == (
        SENDER_REPORT,
        0x0102030405060708,
        9,
    )
    assert (bye.packet_type, bye.ssrc) == (BYE, 7)


@given(st.binary(max_size=80))
def test_random_bytes_raise_only_declared_errors(data: bytes) -> None:
    with suppress(RemoteProtocolError):
        assert len(parse(b"\x81\xc9" + data)) <= len(data)


@pytest.mark.parametrize("text", ["80", "00c90000", "80c90002 00000001"])
def test_a_broken_compound_is_the_fault_of_the_peer(text: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(bytes.fromhex(text))


def test_a_sender_report_says_when_and_how_much() -> None:
    data = sender_report(
        7, ntp=ntp_time(0.5), timestamp=1 << 33 | 90_000, packets=3, octets=4200, name="gateway"
    )
    assert len(data) % 4 == 0
    report, description = parse(data)
    assert (report.packet_type, report.ssrc, report.timestamp) == (SENDER_REPORT, 7, 90_000)
    assert report.ntp == 2_208_988_800 << 32 | 1 << 31
    assert description.packet_type == SOURCE_DESCRIPTION
    assert int.from_bytes(data[20:24], "big") == 3
    assert int.from_bytes(data[24:28], "big") == 4200
