"""Pack header, system header, stream map and PES header: reading and writing them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ..access_unit import Codec
from ..errors import LocalProtocolError

START: Final = b"\x00\x00\x01"
PACK: Final = 0xBA
SYSTEM: Final = 0xBB
MAP: Final = 0xBC
PRIVATE_1: Final = 0xBD
PADDING: Final = 0xBE
PRIVATE_2: Final = 0xBF
END: Final = 0xB9
AUDIO: Final = 0xC0
VIDEO: Final = 0xE0
PACK_START: Final = START + bytes((PACK,))
MAX_PES_LENGTH: Final = 0xFFFF
TIMESTAMP_BITS: Final = 33

STREAM_TYPES: dict[int, Codec] = {
    0x10: Codec.MPEG4,
    0x1B: Codec.H264,
    0x24: Codec.H265,
    0x80: Codec.SVAC,
    0x90: Codec.PCMA,
    0x91: Codec.PCMU,
    0x92: Codec.G7221,
    0x93: Codec.G7231,
    0x96: Codec.G726,
    0x99: Codec.G729,
    0x9B: Codec.SVAC_AUDIO,
    0x0F: Codec.AAC,
}
"""PSM stream_type to codec.

Source: GB/T 28181-2016 Annex C.1, GB/T 28181-2022 Annex C.1 (0x0F, 0x24 and 0x91 are new there);
0x96 stands in neither, and is what cameras with G.726 write.
"""

_TYPE_OF: Final = {codec: stream_type for stream_type, codec in STREAM_TYPES.items()}
_PES_LENGTH: Final = struct.Struct("!H")


# ``Final`` and a constructor of its own in place of ``frozen``: the constructor of a frozen
# dataclass sets each attribute by a call, and costs twenty times as much when compiled.
@dataclass(slots=True, init=False, unsafe_hash=True)
class PesHeader:
    """What a PES packet says before its payload.

    Source: ISO/IEC 13818-1 clause 2.4.3.7.
    """

    stream_id: Final[int]
    """0xE0 to 0xEF video, 0xC0 to 0xDF audio."""
    size: Final[int]
    """Bytes from the start code to the payload."""
    pts: Final[int | None]
    """33 bits, or None when absent."""
    dts: Final[int | None]
    """33 bits, or None when absent."""
    is_sound: Final[bool]
    """False when the header could not be read and the payload was only guessed."""

    def __init__(
        self,
        *,
        stream_id: int,
        size: int,
        pts: int | None = None,
        dts: int | None = None,
        is_sound: bool = True,
    ) -> None:
        self.stream_id = stream_id
        self.size = size
        self.pts = pts
        self.dts = dts
        self.is_sound = is_sound


def stream_type(codec: Codec) -> int:
    """Return the PSM stream_type of a codec."""
    return _TYPE_OF[codec]


def crc32_mpeg2(data: bytes) -> int:
    """Return the CRC of a program stream map.

    Source: ISO/IEC 13818-1 Annex A: polynomial 0x04C11DB7, start at all ones, nothing reflected.
    """
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C1_1DB7 if crc & 0x8000_0000 else crc << 1) & 0xFFFF_FFFF
    return crc


def write_pack_header(scr: int, *, mux_rate: int = 10_240) -> bytes:
    """Write an MPEG-2 pack header without stuffing.

    Args:
        scr: System clock reference in 90 kHz ticks, taken modulo 2^33; its extension is 0.
        mux_rate: In units of 50 bytes a second, 22 bits, not 0.

    Source: ISO/IEC 13818-1 clause 2.5.3.3.
    """
    if not 0 < mux_rate < 1 << 22:
        raise LocalProtocolError(f"program_mux_rate {mux_rate} does not fit 22 bits")
    value = 0b01 << 3 | scr >> 30 & 0x7
    value = value << 1 | 1
    value = value << 15 | scr >> 15 & 0x7FFF
    value = value << 1 | 1
    value = value << 15 | scr & 0x7FFF
    value = value << 1 | 1
    value = value << 9 << 1 | 1  # extension 0
    return PACK_START + value.to_bytes(6, "big") + (mux_rate << 2 | 3).to_bytes(3, "big") + b"\xf8"


def write_system_header(*, has_video: bool, has_audio: bool, rate_bound: int = 50_000) -> bytes:
    """Write a system header that declares stream E0, C0 or both.

    Source: ISO/IEC 13818-1 clause 2.5.3.5.
    """
    body = (1 << 23 | rate_bound << 1 | 1).to_bytes(3, "big")
    body += bytes((has_audio << 2, 0xE0 | has_video, 0x7F))
    if has_video:
        body += bytes((VIDEO,)) + (0b11 << 14 | 1 << 13 | 400).to_bytes(2, "big")
    if has_audio:
        body += bytes((AUDIO,)) + (0b11 << 14 | 32).to_bytes(2, "big")
    return START + bytes((SYSTEM,)) + _PES_LENGTH.pack(len(body)) + body


def write_map(streams: dict[int, int], *, version: int = 0) -> bytes:
    """Write a program stream map without descriptors.

    Args:
        streams: stream_id to stream_type, in the order to write.
        version: Modulo 32.

    Source: ISO/IEC 13818-1 clause 2.5.4.1.
    """
    entries = b"".join(bytes((kind, stream_id, 0, 0)) for stream_id, kind in streams.items())
    body = bytes((0xE0 | version & 0x1F, 0xFF, 0, 0)) + _PES_LENGTH.pack(len(entries)) + entries
    whole = START + bytes((MAP,)) + _PES_LENGTH.pack(len(body) + 4) + body
    return whole + crc32_mpeg2(whole).to_bytes(4, "big")


def write_pes(
    stream_id: int, payload: bytes | memoryview, *, pts: int | None, dts: int | None = None
) -> bytes:
    """Write one PES packet; with ``pts`` it also says that an access unit begins in it.

    Raises:
        LocalProtocolError: The payload does not fit 16 bits of length.

    Source: ISO/IEC 13818-1 clause 2.4.3.6.
    """
    stamps, flags = b"", 0
    if pts is not None:
        flags = 0x80 if dts is None else 0xC0
        stamps = _write_stamp(0b0010 if dts is None else 0b0011, pts)
        if dts is not None:
            stamps += _write_stamp(0b0001, dts)
    length = 3 + len(stamps) + len(payload)
    if length > MAX_PES_LENGTH:
        raise LocalProtocolError(f"PES payload of {len(payload)} bytes")
    is_video = VIDEO <= stream_id <= 0xEF
    first = 0x84 if is_video and pts is not None else 0x80
    return b"".join(
        (
            START,
            bytes((stream_id,)),
            _PES_LENGTH.pack(length),
            bytes((first, flags, len(stamps))),
            stamps,
            payload,
        )
    )


def pack_header_size(data: bytes | bytearray, start: int) -> int | None:
    """Return the bytes of the pack header at ``start``; None while too few are there to tell.

    A pack start code followed at once by another start code counts as 4 bytes (seen from H.265
    cameras), anything that is no pack header of MPEG-1 or MPEG-2 as well.
    """
    left = len(data) - start
    if left < 5:
        return None
    kind = data[start + 4]
    if kind >> 6 == 0b01:
        return 14 + (data[start + 13] & 7) if left >= 14 else None
    return 12 if kind >> 4 == 0b0010 else 4


def read_map(data: bytes | bytearray, start: int, end: int) -> tuple[dict[int, int], bool]:
    """Read the stream map between ``start`` (its start code) and ``end``.

    Only the map's length and that of its program descriptors are believed, the latter unless the
    entries show that there are none; entries that run over the end are left out.

    Returns:
        stream_id to stream_type, and whether checksum and lengths were as they should be.
    """
    streams: dict[int, int] = {}
    if end - start < 16:
        return streams, False
    information = data[start + 8] << 8 | data[start + 9]
    place, stop = start + 12 + information, end - 4
    is_sound = _entries_fill(data, place, stop)
    if (not is_sound or place == stop) and _entries_fill(data, start + 12, stop):
        place = start + 12  # descriptors that are announced and not there
    while place + 4 <= stop:
        streams[data[place + 1]] = data[place]
        place += 4 + (data[place + 2] << 8 | data[place + 3])
    is_sound = is_sound and place == stop
    return streams, is_sound and crc32_mpeg2(bytes(data[start:end])) == 0


def _entries_fill(data: bytes | bytearray, place: int, stop: int) -> bool:
    """Whether the length before the entries of a map is that up to its checksum."""
    return place <= stop and place + (data[place - 2] << 8 | data[place - 1]) == stop


def read_pes_header(data: bytes | bytearray, start: int, end: int) -> PesHeader:
    """Read the header of the PES packet between ``start`` (its start code) and ``end``.

    Never fails: a header that contradicts itself has ``is_sound`` false and the payload behind
    the first plausible place.
    """
    stream_id, place = data[start + 3], start + 6
    if end - place >= 3 and data[place] >> 6 == 0b10:
        flags, size = data[place + 1], 9 + data[place + 2]
        if start + size > end:
            return PesHeader(stream_id=stream_id, size=min(9, end - start), is_sound=False)
        pts = dts = None
        if flags & 0x80 and size >= 14:
            pts = _read_stamp(data, place + 3)
            if flags & 0x40 and size >= 19:
                dts = _read_stamp(data, place + 8)
        return PesHeader(stream_id=stream_id, pts=pts, dts=dts, size=size)
    return _read_mpeg1_header(data, start, end)


def _read_mpeg1_header(data: bytes | bytearray, start: int, end: int) -> PesHeader:
    """Read the older PES header: stuffing, buffer size, time stamps.

    Source: ISO/IEC 11172-1 clause 2.4.3.3.
    """
    stream_id, place = data[start + 3], start + 6
    while place < end and data[place] == 0xFF and place - start < 22:
        place += 1
    if place + 1 < end and data[place] >> 6 == 0b01:
        place += 2
    kind = data[place] >> 4 if place < end else -1
    if kind == 0b0010 and place + 5 <= end:
        pts = _read_stamp(data, place)
        return PesHeader(stream_id=stream_id, pts=pts, size=place + 5 - start)
    if kind == 0b0011 and place + 10 <= end:
        pts, dts = _read_stamp(data, place), _read_stamp(data, place + 5)
        return PesHeader(stream_id=stream_id, pts=pts, dts=dts, size=place + 10 - start)
    if place < end and data[place] == 0x0F:
        return PesHeader(stream_id=stream_id, size=place + 1 - start)
    return PesHeader(stream_id=stream_id, size=6, is_sound=False)


def _write_stamp(prefix: int, value: int) -> bytes:
    bits = prefix << 3 | value >> 30 & 0x7
    bits = bits << 1 | 1
    bits = bits << 15 | value >> 15 & 0x7FFF
    bits = bits << 1 | 1
    bits = bits << 15 | value & 0x7FFF
    return (bits << 1 | 1).to_bytes(5, "big")


def _read_stamp(data: bytes | bytearray, place: int) -> int:
    return (
        (data[place] >> 1 & 0x7) << 30
        | data[place + 1] << 22
        | data[place + 2] >> 1 << 15
        | data[place + 3] << 7
        | data[place + 4] >> 1
    )
