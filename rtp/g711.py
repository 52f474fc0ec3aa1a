"""G.711: the A-law and µ-law samples of ITU-T G.711 as tables."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

RATE: Final = 8000
"""Samples, and bytes, a second."""
ALAW_SILENCE: Final = 0xD5
"""The smallest positive value; what a quiet line carries."""


def _alaw(code: int) -> int:
    code ^= 0x55  # every other bit is inverted on the line
    segment, step = (code & 0x70) >> 4, (code & 0x0F) << 4
    magnitude = step + 8 if segment == 0 else (step + 0x108) << (segment - 1)
    return magnitude if code & 0x80 else -magnitude


def _mulaw(code: int) -> int:
    code = ~code & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)) - 0x84
    return -magnitude if code & 0x80 else magnitude


ALAW: tuple[int, ...] = tuple(map(_alaw, range(256)))
"""The linear value, -32,256 to 32,256, of each A-law byte. Source: ITU-T G.711 table 1."""
MULAW: tuple[int, ...] = tuple(map(_mulaw, range(256)))
"""The linear value, -32,124 to 32,124, of each µ-law byte. Source: ITU-T G.711 table 2."""


class _Encoder:
    """Finds the byte whose value lies nearest."""

    def __init__(self, values: tuple[int, ...]) -> None:
        ordered = sorted(range(256), key=values.__getitem__)
        self._codes = bytes(ordered)
        self._limits = [(values[low] + values[high]) / 2 for low, high in pairwise(ordered)]

    def encode(self, samples: Iterable[int]) -> bytes:
        codes, limits = self._codes, self._limits
        return bytes(codes[bisect_right(limits, sample)] for sample in samples)


_TO_ALAW, _TO_MULAW = _Encoder(ALAW), _Encoder(MULAW)
_ALAW_AS_MULAW: Final = _TO_MULAW.encode(ALAW)
_MULAW_AS_ALAW: Final = _TO_ALAW.encode(MULAW)


def to_alaw(samples: Iterable[int]) -> bytes:
    """Code linear samples, 16 bit; larger ones are clipped."""
    return _TO_ALAW.encode(samples)


def to_mulaw(samples: Iterable[int]) -> bytes:
    """Code linear samples, 16 bit; larger ones are clipped."""
    return _TO_MULAW.encode(samples)


def alaw_as_mulaw(data: bytes) -> bytes:
    """Code A-law bytes as µ-law."""
    return data.translate(_ALAW_AS_MULAW)


def mulaw_as_alaw(data: bytes) -> bytes:
    """Code µ-law bytes as A-law."""
    return data.translate(_MULAW_AS_ALAW)
