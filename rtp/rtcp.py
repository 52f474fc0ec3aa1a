"""RTCP: receiver reports out; sender reports, BYE and the rest in."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from .errors import RemoteProtocolError

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
BYE: Final = 203
_HEADER: Final = struct.Struct("!BBHI")
_SENDER: Final = struct.Struct("!QIII")
_BLOCK: Final = struct.Struct("!II IIII")
_MAX_NAME: Final = 255
_NTP_EPOCH: Final = 2_208_988_800  # 1900 to 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBlock:
    """What a receiver says of one source.

    Source: RFC 3550 section 6.4.1.
    """

    ssrc: int
    """The source it is about."""
    fraction_lost: int = 0
    """Of the packets since the last report, in 1/256."""
    lost: int = 0
    """Since the beginning; 24 bits, signed."""
    highest_sequence: int = 0
    """The highest sequence number, with its wraps in the upper 16 bits."""
    jitter: int = 0
    """In 90 kHz ticks."""
    last_report: int = 0
    """The middle 32 bits of the NTP time of the last sender report; 0 without one."""
    delay: int = 0
    """Since that report, in 1/65536 s."""

    def to_bytes(self) -> bytes:
        """Write the 24 bytes."""
        lost = max(-0x80_0000, min(0x7F_FFFF, self.lost)) & 0xFF_FFFF
        return _BLOCK.pack(
            self.ssrc,
            self.fraction_lost << 24 | lost,
            self.highest_sequence & 0xFFFF_FFFF,
            self.jitter & 0xFFFF_FFFF,
            self.last_report,
            self.delay & 0xFFFF_FFFF,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RtcpPacket:
    """One packet of a compound."""

    packet_type: int
    """200 sender report, 201 receiver report, 202 source description, 203 BYE."""
    ssrc: int
    """The sender; for BYE the source that leaves."""
    ntp: int | None = None
    """Of a sender report: its 64-bit NTP time."""
    timestamp: int | None = None
    """Of a sender report: the RTP timestamp of that time."""
    blocks: tuple[ReportBlock, ...] = ()
    """Of a report: what it says of us."""


def receiver_report(ssrc: int, blocks: tuple[ReportBlock, ...], name: str) -> bytes:
    """Write a receiver report with the source description that must follow it.

    Args:
        ssrc: Ours.
        blocks: At most 31.
        name: The canonical name, cut at 255 bytes.

    Source: RFC 3550 sections 6.1, 6.4.2 and 6.5.
    """
    body = b"".join(block.to_bytes() for block in blocks[:31])
    count = len(body) // _BLOCK.size
    report = _HEADER.pack(0x80 | count, RECEIVER_REPORT, 1 + len(body) // 4, ssrc) + body
    return report + _description(ssrc, name)


def sender_report(
    ssrc: int, *, ntp: int, timestamp: int, packets: int, octets: int, name: str
) -> bytes:
    """Write a sender report with the source description that must follow it.

    Args:
        ssrc: Ours.
        ntp: The time now, 64 bits of NTP.
        timestamp: The RTP timestamp of that time.
        packets: Sent since the beginning.
        octets: Of their payloads.
        name: The canonical name, cut at 255 bytes.

    Source: RFC 3550 sections 6.1, 6.4.1 and 6.5.
    """
    low = 0xFFFF_FFFF
    body = _SENDER.pack(ntp, timestamp & low, packets & low, octets & low)
    report = _HEADER.pack(0x80, SENDER_REPORT, 1 + len(body) // 4, ssrc) + body
    return report + _description(ssrc, name)


def ntp_time(seconds: float) -> int:
    """Return 64 bits of NTP for seconds since 1970. Source: RFC 3550 section 4."""
    return round((seconds + _NTP_EPOCH) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def _description(ssrc: int, name: str) -> bytes:
    text = name.encode()[:_MAX_NAME]
    item = bytes((1, len(text))) + text
    item += bytes(4 - len(item) % 4)  # at least one zero ends the list
    return _HEADER.pack(0x81, SOURCE_DESCRIPTION, 1 + len(item) // 4, ssrc) + item


def parse(data: bytes) -> list[RtcpPacket]:
    """Read a compound packet; a first packet that is no report is tolerated.

    Raises:
        RemoteProtocolError: Wrong version or a length over the end.

    Source: RFC 3550 section 6.
    """
    packets, place = [], 0
    while place < len(data):
        if len(data) - place < 4 or data[place] >> 6 != 2:
            raise RemoteProtocolError("RTCP packet too short or not version 2")
        size = 4 * (int.from_bytes(data[place + 2 : place + 4], "big") + 1)
        if place + size > len(data):
            raise RemoteProtocolError("RTCP packet longer than its datagram")
        if size >= _HEADER.size:
            packets.append(_read(data[place : place + size]))
        place += size
    return packets


def _read(data: bytes) -> RtcpPacket:
    first, packet_type, _, ssrc = _HEADER.unpack_from(data)
    ntp = timestamp = None
    place = _HEADER.size
    if packet_type == SENDER_REPORT and len(data) >= place + _SENDER.size:
        ntp, timestamp, _, _ = _SENDER.unpack_from(data, place)
        place += _SENDER.size
    blocks = []
    if packet_type in (SENDER_REPORT, RECEIVER_REPORT):
        for _ in range(first & 0x1F):
            if place + _BLOCK.size > len(data):
                break
            source, loss, highest, jitter, last, delay = _BLOCK.unpack_from(data, place)
            lost = loss & 0xFF_FFFF
            blocks.append(
                ReportBlock(
                    ssrc=source,
                    fraction_lost=loss >> 24,
                    lost=lost - 0x100_0000 if lost & 0x80_0000 else lost,
                    highest_sequence=highest,
                    jitter=jitter,
                    last_report=last,
                    delay=delay,
                )
            )
            place += _BLOCK.size
    return RtcpPacket(
        packet_type=packet_type, ssrc=ssrc, ntp=ntp, timestamp=timestamp, blocks=tuple(blocks)
    )
