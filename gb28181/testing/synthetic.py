"""Media made of nothing: access units with valid NAL headers, without an encoder."""

from __future__ import annotations

import functools
import random

from rtp.access_unit import AccessUnit, Codec

from ..media.source import Clip

_START = b"\x00\x00\x00\x01"
# 128 x 96, baseline; picture_size() reads it.
_SPS = bytes.fromhex("6742000af841a2")
_PPS = bytes.fromhex("68ce3880")
_CLOCK = 90_000


@functools.cache
def synthetic_clip(
    *, seed: int = 0, fps: int = 10, gop: int = 10, key_size: int = 4000, size: int = 600
) -> Clip:
    """Return one group of pictures of H.264: what a player could not show, and a relay can carry.

    Args:
        seed: Decides the bytes.
        fps: Pictures per second.
        gop: Pictures of the clip; the first is the key frame.
        key_size: Bytes of the key frame.
        size: Bytes of each other picture.
    """
    numbers = random.Random(seed)
    step = _CLOCK // fps
    units = tuple(
        AccessUnit(
            codec=Codec.H264,
            data=_picture(numbers, is_key=number == 0, size=key_size if number == 0 else size),
            pts=number * step,
            dts=number * step,
            is_key=number == 0,
        )
        for number in range(gop)
    )
    return Clip(units=units, duration=gop * step, video=Codec.H264, audio=None, frames=gop)


def _picture(numbers: random.Random, *, is_key: bool, size: int) -> bytes:
    # No zero byte, so no start code; the first byte's top bit says: first macroblock of a picture.
    slice_data = bytes(numbers.randrange(1, 256) for _ in range(size))
    if is_key:
        return _START + _SPS + _START + _PPS + _START + b"\x65\x88" + slice_data
    return _START + b"\x41\x9a" + slice_data
