"""NAL units of H.264 and H.265 in Annex B byte streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .access_unit import Codec

_START: Final = b"\x00\x00\x01"
_H264_PARAMETERS: Final = frozenset({7, 8})
_H265_PARAMETERS: Final = frozenset({32, 33, 34})
_WITH_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
H264_PROFILES: Final = _WITH_CHROMA | {66, 77, 88}
"""What profile_idc can be. Source: ITU-T H.264 Annex A and clause 7.3.2.1.1."""
_RECOVERY_POINT: Final = 6
_SEI_LOOK: Final = 256
_LAST: Final = b"\x80"  # what ends the messages of a unit


def split(data: bytes) -> list[bytes]:
    """Cut an Annex B byte stream into NAL units without start codes and trailing zeros."""
    return [
        data[start:end].rstrip(b"\x00") if data[end - 1 : end] == b"\x00" else data[start:end]
        for start, end in _bounds(data)
        if end > start
    ]


def nal_type(codec: Codec, nal: bytes) -> int:
    """Return the type of a NAL unit; -1 when it is empty."""
    if not nal:
        return -1
    return nal[0] >> 1 & 0x3F if codec is Codec.H265 else nal[0] & 0x1F


def is_key(codec: Codec, data: bytes) -> bool:
    """Whether the first picture in ``data`` can be decoded without any before it.

    An IDR picture (type 5) in H.264, or one that is announced as a place to begin at: by a
    recovery point, or an intra slice behind a sequence parameter set. Any IRAP picture (types 16
    to 21) in H.265. An intra VOP in MPEG-4. Other codecs: false.

    Source: ITU-T H.264 table 7-1 and clause D.2.8, ITU-T H.265 table 7-1, ISO/IEC 14496-2 clause
    6.3.5.
    """
    return is_key_kind(codec, data, first_picture_type(codec, data))


def is_key_kind(codec: Codec, data: bytes, kind: int) -> bool:
    """Do as ``is_key`` with what ``first_picture_type`` returned."""
    if codec is Codec.H264:
        return kind == 5 or (kind == 1 and _is_entry(data))
    if codec is Codec.MPEG4:
        place = data.find(_START + b"\xb6")
        return place >= 0 and len(data) > place + 4 and data[place + 4] < 0x40
    return codec is Codec.H265 and 16 <= kind <= 21


def is_mpeg4(data: bytes) -> bool:
    """Whether MPEG-4 begins here: a visual object sequence, or a video object with its layer.

    Source: ISO/IEC 14496-2 table 6-3.
    """
    if data[:4] == b"\x00\x00\x01\xb0":
        return True
    is_object = data[:3] == _START and len(data) > 7 and data[3] < 0x20
    return is_object and data[4:7] == _START and 0x20 <= data[7] < 0x30


def first_picture_type(codec: Codec, data: bytes) -> int:
    """Return the type of the first NAL unit that carries picture data; -1 without one.

    Reads no further than that unit's header.
    """
    if codec not in (Codec.H264, Codec.H265):
        return -1
    size, is_h265 = len(data), codec is Codec.H265
    place = data.find(_START) + 3
    while 2 < place < size:
        kind = data[place] >> 1 & 0x3F if is_h265 else data[place] & 0x1F
        if kind <= 31 if is_h265 else 1 <= kind <= 5:
            return kind
        place = data.find(_START, place) + 3
    return -1


def begins_picture(codec: Codec, data: bytes) -> bool:
    """Whether ``data`` starts at a NAL unit and its first picture NAL unit begins a new picture.

    Source: ITU-T H.264 clause 7.4.1.2.4 (first_mb_in_slice equal to 0), ITU-T H.265 clause
    7.3.6.1 (first_slice_segment_in_pic_flag).
    """
    if not data.startswith((_START, b"\x00\x00\x00\x01")):
        return False
    header = 2 if codec is Codec.H265 else 1
    for start in _starts(data):
        if start + header >= len(data):
            break
        if _is_picture(codec, nal_type(codec, data[start : start + 1])):
            # ue(v) 0 is a single 1 bit, so both codecs are told by the same bit.
            return data[start + header] > 0x7F
    return False


def has_parameter_sets(codec: Codec, data: bytes) -> bool:
    """Whether SPS and PPS (and VPS for H.265) all come before the first picture."""
    wanted = set(_H265_PARAMETERS if codec is Codec.H265 else _H264_PARAMETERS)
    for start in _starts(data):
        kind = nal_type(codec, data[start : start + 1])
        wanted.discard(kind)
        if not wanted:
            return True
        if _is_picture(codec, kind):
            return False
    return False


def parameter_sets(codec: Codec, data: bytes) -> list[bytes]:
    """Return the parameter sets in ``data``, in order, without start codes."""
    wanted = _H265_PARAMETERS if codec is Codec.H265 else _H264_PARAMETERS
    return [nal for nal in split(data) if nal_type(codec, nal) in wanted]


def sniff(data: bytes) -> Codec | None:
    """Tell H.264 from H.265 by the parameter sets in ``data``; None when they do not decide.

    A single H.264 slice can look like an H.265 parameter set (``41 01``), so a sequence and a
    picture parameter set of one codec must both be there, and none of the other.
    """
    h264: set[int] = set()
    h265: set[int] = set()
    for start in _starts(data):
        header = data[start : start + 2]
        if len(header) < 2 or header[0] & 0x80:
            continue
        # nuh_layer_id 0 and temporal id 0: parameter sets always have both.
        if header[1] == 1 and not header[0] & 1 and header[0] >> 1 in _H265_PARAMETERS:
            h265.add(header[0] >> 1)
        elif header[0] & 0x1F in _H264_PARAMETERS and header[0] & 0x60:
            h264.add(header[0] & 0x1F)
        elif _is_any_picture(header) and (len(h264) == 2 or len(h265) >= 2):
            break
    if {33, 34} <= h265:
        return Codec.H265
    return Codec.H264 if len(h264) == 2 else None


def starts_with_key(data: bytes) -> bool:
    """Whether ``data`` begins, after delimiters, with parameter sets or a key picture.

    The codec is not known: headers that are likely in only one of the two decide.
    """
    if not data.startswith((_START, b"\x00\x00\x00\x01")):
        return False
    for start in _starts(data):
        header = data[start : start + 2]
        if len(header) < 2:
            return False
        if header[0] & 0x1F == 9 or header == b"\x46\x01":
            continue
        if header[1] == 1 and not header[0] & 1 and header[0] >> 1 in (19, 20, 21, 32, 33):
            return True
        return header[0] < 0x80 and header[0] & 0x60 != 0 and header[0] & 0x1F in (5, 7)
    return False


def to_annex_b(data: bytes, length_size: int = 4) -> bytes:
    """Replace the length before each NAL unit (as in MP4) by a start code.

    A length that runs over the end takes what is there.
    """
    pieces, place = [], 0
    while place + length_size < len(data):
        end = place + length_size + int.from_bytes(data[place : place + length_size], "big")
        pieces.append(b"\x00\x00\x00\x01" + data[place + length_size : end])
        place = end
    return b"".join(pieces)


def picture_size(codec: Codec, sps: bytes) -> tuple[int, int] | None:
    """Return width and height in pixels from a sequence parameter set; None when it is broken.

    Args:
        codec: H.264 or H.265.
        sps: The NAL unit with its header, without start code.

    Source: ITU-T H.264 clause 7.3.2.1.1, ITU-T H.265 clause 7.3.2.2.1.
    """
    reader = _BitReader(sps.replace(b"\x00\x00\x03", b"\x00\x00"))
    try:
        if codec is Codec.H264:
            size = _h264_picture(reader)[:2]
        elif codec is Codec.H265:
            size = _h265_size(reader)
        else:
            return None
    except _EndOfBits:
        return None
    return size if 0 < size[0] <= 16_384 and 0 < size[1] <= 16_384 else None


def is_interlaced(sps: bytes) -> bool:
    """Whether an H.264 sequence parameter set allows pictures that are fields."""
    try:
        return _h264_picture(_BitReader(sps.replace(b"\x00\x00\x03", b"\x00\x00")))[2]
    except _EndOfBits:
        return False


class _EndOfBits(Exception):
    """A parameter set ended early or holds an absurd number."""


class _BitReader:
    """Reads bits and Exp-Golomb numbers."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8

    def bits(self, count: int) -> int:
        if count > self._left:
            raise _EndOfBits
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def unsigned(self) -> int:
        zeros = 0
        while not self.bits(1):
            zeros += 1
            if zeros > 32:
                raise _EndOfBits
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed(self) -> int:
        value = self.unsigned()
        return value + 1 >> 1 if value & 1 else -(value >> 1)


def _h264_picture(reader: _BitReader) -> tuple[int, int, bool]:
    """Width, height, and whether pictures may be fields."""
    reader.bits(8)
    profile = reader.bits(8)
    reader.bits(16)
    reader.unsigned()
    chroma, planes = 1, 0
    if profile in _WITH_CHROMA:
        chroma = reader.unsigned()
        if chroma == 3:
            planes = reader.bits(1)
        reader.unsigned()
        reader.unsigned()
        reader.bits(1)
        if reader.bits(1):
            _skip_scaling_matrices(reader, 12 if chroma == 3 else 8)
    reader.unsigned()
    _skip_picture_order(reader)
    reader.unsigned()
    reader.bits(1)
    width = 16 * (reader.unsigned() + 1)
    units = reader.unsigned() + 1
    frames_only = reader.bits(1)
    height = 16 * units * (2 - frames_only)
    if not frames_only:
        reader.bits(1)
    reader.bits(1)
    if reader.bits(1):
        unit_x = 2 if chroma in (1, 2) and not planes else 1
        unit_y = (2 if chroma == 1 and not planes else 1) * (2 - frames_only)
        width -= unit_x * (reader.unsigned() + reader.unsigned())
        height -= unit_y * (reader.unsigned() + reader.unsigned())
    return width, height, not frames_only


def _skip_picture_order(reader: _BitReader) -> None:
    kind = reader.unsigned()
    if kind == 0:
        reader.unsigned()
    elif kind == 1:
        reader.bits(1)
        reader.signed()
        reader.signed()
        cycle = reader.unsigned()
        if cycle > 255:
            raise _EndOfBits
        for _ in range(cycle):
            reader.signed()


def _skip_scaling_matrices(reader: _BitReader, count: int) -> None:
    for index in range(count):
        if not reader.bits(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + reader.signed()) % 256
            last = following or last


def _h265_size(reader: _BitReader) -> tuple[int, int]:
    reader.bits(16)
    reader.bits(4)
    sub_layers = reader.bits(3)
    reader.bits(1)
    reader.bits(96)  # general_profile_space to general_level_idc
    present = [(reader.bits(1), reader.bits(1)) for _ in range(sub_layers)]
    if sub_layers:
        reader.bits(2 * (8 - sub_layers))
    for profile, level in present:
        reader.bits(88 * profile)
        reader.bits(8 * level)
    reader.unsigned()
    chroma = reader.unsigned()
    planes = reader.bits(1) if chroma == 3 else 0
    width, height = reader.unsigned(), reader.unsigned()
    if reader.bits(1):
        unit_x = 2 if chroma in (1, 2) and not planes else 1
        unit_y = 2 if chroma == 1 and not planes else 1
        width -= unit_x * (reader.unsigned() + reader.unsigned())
        height -= unit_y * (reader.unsigned() + reader.unsigned())
    return width, height


def _is_entry(data: bytes) -> bool:
    """Whether decoding of H.264 may begin at a picture that is no IDR picture."""
    has_set = False
    for start in _starts(data):
        kind = data[start] & 0x1F if start < len(data) else 0
        if 1 <= kind <= 5:
            return has_set and _is_intra_slice(data[start + 1 : start + 12])
        if kind == 6 and _has_recovery_point(data[start + 1 : start + _SEI_LOOK]):
            return True
        has_set |= kind == 7
    return False


def _is_intra_slice(head: bytes) -> bool:
    """Whether slice_type is I. Source: ITU-T H.264 clause 7.3.3, table 7-6."""
    reader = _BitReader(head)
    try:
        reader.unsigned()
        return reader.unsigned() in (2, 7)
    except _EndOfBits:
        return False


def _has_recovery_point(message: bytes) -> bool:
    """Whether an SEI message of payload type 6 is there. Source: ITU-T H.264 clause 7.3.2.3.1."""
    place = 0
    while place + 1 < len(message):
        kind = size = 0
        while place < len(message) and message[place] == 0xFF:
            kind, place = kind + 255, place + 1
        if place >= len(message):
            return False
        kind, place = kind + message[place], place + 1
        while place < len(message) and message[place] == 0xFF:
            size, place = size + 255, place + 1
        if place >= len(message):
            return False
        if kind == _RECOVERY_POINT and message[place]:
            return True
        place += 1 + message[place] + size
        if message[place : place + 1] == _LAST:
            return False
    return False


def _is_picture(codec: Codec, kind: int) -> bool:
    return 0 <= kind <= 31 if codec is Codec.H265 else 1 <= kind <= 5


def _is_any_picture(header: bytes) -> bool:
    return 1 <= header[0] & 0x1F <= 5


def _starts(data: bytes) -> Iterator[int]:
    """Where the NAL units begin, lazily: most callers stop at the first picture."""
    place = data.find(_START)
    while place >= 0:
        yield place + 3
        place = data.find(_START, place + 3)


def _bounds(data: bytes) -> Iterator[tuple[int, int]]:
    previous = -1
    for start in _starts(data):
        if previous >= 0:
            yield previous, start - 3
        previous = start
    if previous >= 0:
        yield previous, len(data)
