"""Cuts a pack into RTP packets."""

from __future__ import annotations

import struct
from typing import Final

from .errors import LocalProtocolError

_HEADER: Final = struct.Struct("!BBHII")


class Packetizer:
    """Writes one outgoing RTP stream.

    Source: RFC 3550 section 5.1; RFC 2250 section 2 without its four-byte header, as
    GB/T 28181-2016 Annex C.1 has it.
    """

    def __init__(
        self,
        *,
        ssrc: int,
        payload_type: int = 96,
        sequence_number: int = 0,
        payload_size: int = 1400,
    ) -> None:
        if not 0 <= ssrc <= 0xFFFF_FFFF or not 0 <= payload_type <= 0x7F:
            raise LocalProtocolError(f"SSRC {ssrc} or payload type {payload_type} out of range")
        if not 1 <= payload_size <= 65_535 - 12:
            raise LocalProtocolError(f"payload size {payload_size} does not fit a packet")
        self.ssrc = ssrc
        self.sequence_number = sequence_number & 0xFFFF
        self._payload_type = payload_type
        self._payload_size = payload_size

    def push(self, data: bytes, timestamp: int) -> list[bytes]:
        """Cut ``data`` into packets of one timestamp; the last carries the marker.

        Args:
            data: One pack or frame. Nothing gives no packet.
            timestamp: 90 kHz ticks; only its low 32 bits are sent.
        """
        size, number = self._payload_size, self.sequence_number
        ticks, last = timestamp & 0xFFFF_FFFF, len(data) - self._payload_size
        packets = []
        for start in range(0, len(data), size):
            second = self._payload_type | (0x80 if start >= last else 0)
            header = _HEADER.pack(0x80, second, number, ticks, self.ssrc)
            packets.append(header + data[start : start + size])
            number = number + 1 & 0xFFFF
        self.sequence_number = number
        return packets
