"""The fixed headers of packets that lie one stride apart: read and rewritten in one go.

``_native.c`` has the same functions for the compiled build.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from .packet import HEADER_SIZE, RTCP_TYPES

FIELDS: Final = 5
"""Fields of a fixed header: the first two bytes, sequence number, timestamp, SSRC."""
Facts = tuple[bool, bool, bool, int, int, int, int, int, int, int]
"""Is RTP, is plain, is a run, SSRC, timestamp (both -1 when there are several), first and last
sequence number, first and last timestamp, payload type (-1 when there are several)."""
_HEAD: Final = struct.Struct("!BBHII")
_FOURTH: Final = HEADER_SIZE + 3
_PACK: Final = 0xBA
_REST: Final = struct.Struct("!BHII")
_STRIDED_FROM: Final = 6  # below this many packets the slices cost more than they save
_MOST: Final = 256
"""Packets that slices rewrite."""
_COUNTING: Final = bytes(range(256)) * (_MOST // 256 + 1)
_SAME: Final = [bytes((value,)) * _MOST for value in range(256)]
_AUDIO_TYPES: Final = frozenset({0, 4, 8, 9, 18, 20})
"""Static payload types of audio (GB/T 28181-2016 and 2022 C.2)."""


def scan(data: bytearray, start: int, stride: int, count: int, /) -> Facts:
    """See what holds for all of ``count`` packets, of which the first begins at ``start``."""
    fields = rows(stride, count).unpack_from(data, start)
    numbers, ticks, sources = fields[2::FIELDS], fields[3::FIELDS], fields[4::FIELDS]
    versions, first = fields[0::FIELDS], numbers[0]
    seconds = fields[1::FIELDS]
    kind = seconds[0] & 0x7F
    is_plain = versions.count(0x80) == count
    is_second = is_plain or (min(versions) >= 0x80 and max(versions) < 0xC0)
    return (
        is_second and RTCP_TYPES.isdisjoint(seconds),
        is_plain,
        numbers == tuple(range(first, first + count)),
        sources[0] if sources.count(sources[0]) == count else -1,
        ticks[0] if ticks.count(ticks[0]) == count else -1,
        first,
        numbers[-1],
        ticks[0],
        ticks[-1],
        kind if seconds.count(kind) + seconds.count(kind | 0x80) == count else -1,
    )


def join(
    data: bytearray,
    start: int,
    stride: int,
    lengths: list[int],
    bounds: list[tuple[int, int]] | None,
    first: int,
    /,
) -> tuple[bytes, int, int, bool]:
    """Put the payloads of a frame's packets together; as ``PacketBatch.join``.

    Without ``bounds`` the packets lie ``stride`` apart from ``start`` on.
    """
    view, pieces = memoryview(data), []
    second, ticks, index, count = 0, 0, first, len(lengths)
    while index < count:
        length = lengths[index]
        offset = start + index * stride if bounds is None else bounds[index][0]
        _, following, _, stamp, _ = _HEAD.unpack_from(data, offset)
        if index == first:
            ticks = stamp
        elif (
            second >= 0x80
            or stamp != ticks
            # A pack behind a packet that is cut short is to be seen as one.
            or (lengths[index - 1] != lengths[first] and _seems_pack(data, offset, length))
        ):
            break
        pieces.append(view[offset + HEADER_SIZE : offset + length])
        second = following
        index += 1
    return b"".join(pieces), index, ticks, second >= 0x80


def rewrite(
    data: bytearray,
    start: int,
    stride: int,
    count: int,
    ssrc: int,
    sequence_offset: int,
    timestamp_offset: int,
    payload_type: int,
    /,
) -> None:
    """Write a new header into every packet; as ``PacketBatch.rewrite``, where -1 keeps the type."""
    fields = rows(stride, count).unpack_from(data, start)
    first = fields[2]
    if _STRIDED_FROM <= count <= _MOST and fields[2::FIELDS] == tuple(range(first, first + count)):
        end = start + stride * (count - 1) + HEADER_SIZE
        _retype(data, start, end, stride, payload_type, fields[1::FIELDS])
        _renumber(data, start, end, stride, count, first + sequence_offset & 0xFFFF)
        if timestamp_offset & 0xFFFF_FFFF:
            _shift(data, start, end, stride, timestamp_offset, fields[3::FIELDS])
        for place in range(4):
            value = ssrc >> 24 - 8 * place & 0xFF
            data[start + 8 + place : end : stride] = _SAME[value][:count]
        return
    write = _REST.pack_into
    for index in range(0, FIELDS * count, FIELDS):
        second = fields[index + 1]
        write(
            data,
            start + 1,
            second if payload_type < 0 else _typed(second, payload_type),
            fields[index + 2] + sequence_offset & 0xFFFF,
            fields[index + 3] + timestamp_offset & 0xFFFF_FFFF,
            ssrc,
        )
        start += stride


@lru_cache(maxsize=512)
def rows(stride: int, count: int) -> struct.Struct:
    """The fixed headers of ``count`` packets, ``stride`` bytes apart."""
    return struct.Struct("!" + f"BBHII{stride - HEADER_SIZE}x" * (count - 1) + "BBHII")


def _seems_pack(data: bytearray, offset: int, length: int) -> bool:
    """Whether a payload begins with a pack header, as far as its fourth byte tells."""
    return length > _FOURTH and data[offset + _FOURTH] == _PACK


def _retype(
    data: bytearray, start: int, end: int, stride: int, kind: int, seconds: tuple[int, ...]
) -> None:
    if kind >= 0 and seconds.count(kind) + seconds.count(kind | 0x80) != len(seconds):
        data[start + 1 : end : stride] = bytes([_typed(second, kind) for second in seconds])


def _renumber(data: bytearray, start: int, end: int, stride: int, count: int, first: int) -> None:
    low = first & 0xFF
    data[start + 3 : end : stride] = _COUNTING[low : low + count]
    if low + count <= 256:
        data[start + 2 : end : stride] = _SAME[first >> 8][:count]
    else:
        numbers = range(first, first + count)
        data[start + 2 : end : stride] = bytes([number >> 8 & 0xFF for number in numbers])


def _shift(
    data: bytearray, start: int, end: int, stride: int, offset: int, ticks: tuple[int, ...]
) -> None:
    raw = struct.pack(f"!{len(ticks)}I", *[one + offset & 0xFFFF_FFFF for one in ticks])
    for place in range(4):
        data[start + 4 + place : end : stride] = raw[place::4]


def _typed(second: int, payload_type: int) -> int:
    """Put another payload type into the second byte of a header, unless it is audio."""
    return second if second & 0x7F in _AUDIO_TYPES else second & 0x80 | payload_type
