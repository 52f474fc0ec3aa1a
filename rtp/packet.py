"""The RTP packet."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from .errors import LocalProtocolError, RemoteProtocolError

HEADER_SIZE: Final = 12
RTCP_TYPES: Final = frozenset(range(200, 205))
"""What the second byte of an RTCP packet may be (RFC 3550 section 12.1)."""
_HEADER: Final = struct.Struct("!BBHII")
_MAX_16: Final = 0xFFFF
_MAX_32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class RtpPacket:
    """One RTP packet without its header extension, contributing sources and padding.

    Source: RFC 3550 section 5.1.
    """

    payload_type: int
    """0 to 127; 96 is the usual one for PS."""
    marker: bool = False
    """Last packet of a frame. A hint: some senders never set it."""
    sequence_number: int
    """16 bits, wraps."""
    timestamp: int
    """90 kHz ticks for PS and video, 32 bits, wraps."""
    ssrc: int
    """32 bits."""
    payload: bytes | memoryview
    """What follows the header."""

    def to_bytes(self) -> bytes:
        """Write the packet: 12 bytes of header, then the payload.

        Raises:
            LocalProtocolError: A field does not fit its bits.
        """
        try:
            header = _HEADER.pack(
                0x80,
                self.marker << 7 | self.payload_type,
                self.sequence_number,
                self.timestamp,
                self.ssrc,
            )
        except struct.error as exc:
            raise LocalProtocolError(f"RTP header field out of range: {exc}") from exc
        if self.payload_type > 0x7F:
            raise LocalProtocolError(f"RTP payload type {self.payload_type} is over 127")
        return header + self.payload


def parse(data: bytes | bytearray | memoryview) -> RtpPacket:
    """Read one RTP packet; the payload is a view when ``data`` is one, else bytes.

    Raises:
        RemoteProtocolError: Too short, not version 2, or lengths that contradict each other.

    Source: RFC 3550 sections 5.1 and 5.3.1.
    """
    if len(data) < HEADER_SIZE:
        raise RemoteProtocolError(f"RTP packet of {len(data)} bytes")
    first, second, sequence_number, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise RemoteProtocolError(f"RTP version {first >> 6}")
    start, end = HEADER_SIZE, len(data)
    if first & 0x3F:
        start, end = payload_bounds(data, 0, end)
    payload = data[start:end]
    return RtpPacket(
        payload_type=second & 0x7F,
        marker=second > 0x7F,
        sequence_number=sequence_number,
        timestamp=timestamp,
        ssrc=ssrc,
        payload=bytes(payload) if isinstance(payload, bytearray) else payload,
    )


def payload_bounds(
    data: bytes | bytearray | memoryview, offset: int, length: int
) -> tuple[int, int]:
    """Find where the payload of the packet at ``offset`` begins and ends in ``data``.

    Raises:
        RemoteProtocolError: The contributing sources, extension or padding do not fit.
    """
    first = data[offset]
    start, end = offset + HEADER_SIZE + 4 * (first & 0x0F), offset + length
    if first & 0x10:
        if start + 4 > end:
            raise RemoteProtocolError("RTP header extension outside the packet")
        start += 4 + 4 * (data[start + 2] << 8 | data[start + 3])
    if start > end:
        raise RemoteProtocolError("RTP header longer than the packet")
    if first & 0x20:
        padding = data[end - 1] if end > start else 0
        # A count of zero is forbidden but harmless: such senders set P without padding.
        if padding > end - start:
            raise RemoteProtocolError("RTP padding longer than the payload")
        end -= padding
    return start, end


def is_rtcp(data: bytes | bytearray | memoryview) -> bool:
    """Tell RTCP from RTP on a shared port or connection.

    Source: RFC 5761 section 4; packet types 200 to 204 of RFC 3550 section 12.1.
    """
    return len(data) >= 2 and data[0] >> 6 == 2 and data[1] in RTCP_TYPES
