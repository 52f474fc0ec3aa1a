"""Audio that comes as RTP payload of its own, beside or without a program stream."""

from __future__ import annotations

from .access_unit import AccessUnit, Codec
from .sequence import Unwrapper

PAYLOAD_TYPES: dict[int, Codec] = {0: Codec.PCMU, 8: Codec.PCMA}
"""Static payload types of RFC 3551 table 4 that GB/T 28181 uses."""


class G711Depacketizer:
    """Turns G.711 payloads into audio units.

    Source: RFC 3551 section 4.5.14; the RTP clock is 8 kHz.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._unwrapper = Unwrapper(32)

    def push(
        self, payload: bytes | memoryview, *, timestamp: int, missing: int = 0
    ) -> list[AccessUnit]:
        """Take one payload; return its unit, none when it is empty.

        Args:
            payload: One byte for each sample.
            timestamp: Of the RTP packet, in samples.
            missing: How many packets before this one are lost.
        """
        samples = self._unwrapper.unwrap(timestamp)
        if not payload:
            return []
        pts = samples * 90 // 8
        return [
            AccessUnit(
                codec=self.codec,
                data=bytes(payload),
                pts=pts,
                dts=pts,
                is_key=True,
                is_discontinuous=missing > 0,
            )
        ]
