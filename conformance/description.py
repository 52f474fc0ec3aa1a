"""MPEG-PS described a second time, with construct: what the library writes is read by another.

Needs the extra ``conformance``.

Source: ISO/IEC 13818-1 clauses 2.5.3 and 2.4.3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from .case import Inconclusive

if TYPE_CHECKING:
    from .peers.media import Heard

PACK = 0xBA
SYSTEM = 0xBB
MAP = 0xBC
VIDEO = range(0xE0, 0xF0)
AUDIO = range(0xC0, 0xE0)
STREAM_TYPES = frozenset({0x10, 0x1B, 0x24, 0x80, 0x90, 0x91, 0x92, 0x93, 0x99, 0x9B, 0x0F})
"""What the standard's table of stream types has (2022 C.1)."""


class NotProgramStream(Exception):
    """Bytes that the description does not fit; the sentence says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A system header, a stream map or a PES packet."""

    stream_id: int
    pts: int | None = None
    payload: bytes = b""
    streams: dict[int, int] = field(default_factory=dict)
    """Of a stream map: stream id to stream type."""
    is_sound: bool = True
    """Of a stream map: whether its CRC is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack header with what follows it."""

    units: tuple[Unit, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The stream ids in order."""
        return tuple(unit.stream_id for unit in self.units)

    @property
    def video(self) -> tuple[Unit, ...]:
        """The video PES packets."""
        return tuple(unit for unit in self.units if unit.stream_id in VIDEO)

    @property
    def is_key(self) -> bool:
        """Whether its video has a key picture of H.264 or H.265."""
        data = b"".join(unit.payload for unit in self.video)
        hevc = any(0x24 in unit.streams.values() for unit in self.units) or b"\0\0\1\x40\1" in data
        begins = (place + 3 for place in _starts(data) if place + 3 < len(data))
        if hevc:
            return any(16 <= data[place] >> 1 & 0x3F <= 21 for place in begins)
        return any(data[place] & 0x1F == 5 for place in begins)


def read_packs(data: bytes) -> list[Pack]:
    """Read a program stream that begins with a pack.

    Raises:
        NotProgramStream: It does not fit the description.
        Inconclusive: The extra ``conformance`` is not installed.
    """
    formats = _formats()
    packs: list[Pack] = []
    place = 0
    while place < len(data):
        if data[place : place + 4] != b"\0\0\1\xba":
            raise NotProgramStream(
                f"no pack header at byte {place}: {data[place : place + 4].hex()}"
            )
        place = _skip_pack_header(formats, data, place)
        units: list[Unit] = []
        while place < len(data) and data[place : place + 4] != b"\0\0\1\xba":
            unit, place = _read_unit(formats, data, place)
            units.append(unit)
        packs.append(Pack(units=tuple(units)))
    return packs


def payload_of(heard: Iterable[Heard]) -> bytes:
    """Join the payloads of RTP packets of payload type 96, from the first pack on.

    Raises:
        NotProgramStream: An RTP packet does not fit its description.
        Inconclusive: The extra ``conformance`` is not installed.
    """
    formats = _formats()
    joined = b""
    for one in heard:
        if not one.is_rtp or 200 <= one.data[1] <= 204:
            continue
        try:
            packet = formats["rtp"].parse(one.data)
        except formats["error"] as error:
            raise NotProgramStream(f"RTP packet {one.data[:12].hex()}: {error}") from error
        joined += packet.payload[: len(packet.payload) - packet.padding_size]
    begin = joined.find(b"\0\0\1\xba")
    if begin < 0:
        raise NotProgramStream("there is no pack header in the RTP payloads")
    return joined[begin:]


def crc_of(data: bytes) -> int:
    """The CRC of a stream map, bit by bit. Source: ISO/IEC 13818-1 Annex A."""
    register = 0xFFFFFFFF
    for bit in (byte >> shift & 1 for byte in data for shift in range(7, -1, -1)):
        top = register >> 31
        register = (register << 1) & 0xFFFFFFFF
        if top ^ bit:
            register ^= 0x04C11DB7
    return register


def _skip_pack_header(formats: dict[str, Any], data: bytes, place: int) -> int:
    try:
        header = formats["pack"].parse(data[place : place + 21])
    except formats["error"] as error:
        raise NotProgramStream(f"pack header at byte {place}: {error}") from error
    return place + 14 + int(header.stuffing_length)


def _read_unit(formats: dict[str, Any], data: bytes, place: int) -> tuple[Unit, int]:
    if data[place : place + 3] != b"\0\0\1" or len(data) < place + 6:
        raise NotProgramStream(f"no start code at byte {place}: {data[place : place + 4].hex()}")
    stream_id, length = data[place + 3], int.from_bytes(data[place + 4 : place + 6], "big")
    end = place + 6 + length
    if end > len(data):
        raise NotProgramStream(f"unit {stream_id:02X} at byte {place} is longer than the data")
    whole = data[place:end]
    try:
        if stream_id == MAP:
            return _read_map(formats, whole), end
        if stream_id in VIDEO or stream_id in AUDIO:
            pes = formats["pes"].parse(whole)
            return Unit(stream_id=stream_id, pts=_pts(pes), payload=pes.payload), end
        if stream_id == SYSTEM:
            formats["system"].parse(whole)
    except formats["error"] as error:
        raise NotProgramStream(f"unit {stream_id:02X} at byte {place}: {error}") from error
    return Unit(stream_id=stream_id), end


def _read_map(formats: dict[str, Any], whole: bytes) -> Unit:
    parsed = formats["map"].parse(whole)
    streams = {int(one.stream_id): int(one.stream_type) for one in parsed.entries}
    return Unit(stream_id=MAP, streams=streams, is_sound=crc_of(whole[:-4]) == parsed.crc)


def _pts(pes: Any) -> int | None:
    if pes.flags.pts_dts < 2 or len(pes.fields) < 5:
        return None
    bits = int.from_bytes(pes.fields[:5], "big")
    return (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF


def _starts(data: bytes) -> Iterable[int]:
    place = data.find(b"\0\0\1")
    while place >= 0:
        yield place
        place = data.find(b"\0\0\1", place + 3)


@cache
def _formats() -> dict[str, Any]:
    """The description itself; made when first used, because construct is an extra."""
    try:
        import construct as c
    except ImportError as error:
        raise Inconclusive("pip install 'gb28181[conformance]' to check program streams") from error
    one = c.Const(1, c.BitsInteger(1))
    clock = c.BitStruct(
        c.Const(0b01, c.BitsInteger(2)), "high" / c.BitsInteger(3), one,
        "middle" / c.BitsInteger(15), one, "low" / c.BitsInteger(15), one,
        "extension" / c.BitsInteger(9), one, "mux_rate" / c.BitsInteger(22),
        c.Const(0b11, c.BitsInteger(2)), c.BitsInteger(5), "stuffing_length" / c.BitsInteger(3),
    )  # fmt: skip
    pack = c.Struct(
        c.Const(b"\0\0\1\xba"), "clock" / clock, "stuffing_length" / c.Computed(
            lambda this: this.clock.stuffing_length), c.Bytes(lambda this: this.stuffing_length),
    )  # fmt: skip
    system = c.Struct(
        c.Const(b"\0\0\1\xbb"), "length" / c.Int16ub,
        "bounds" / c.BitStruct(
            one, "rate_bound" / c.BitsInteger(22), one, "audio_bound" / c.BitsInteger(6),
            c.BitsInteger(4), one, "video_bound" / c.BitsInteger(5), c.BitsInteger(8),
        ),
        "streams" / c.Array(
            lambda this: (this.length - 6) // 3,
            c.BitStruct("stream_id" / c.BitsInteger(8), c.Const(0b11, c.BitsInteger(2)),
                        "scale" / c.BitsInteger(1), "size" / c.BitsInteger(13)),
        ),
        c.Terminated,
    )  # fmt: skip
    entry = c.Struct(
        "stream_type" / c.Int8ub, "stream_id" / c.Int8ub,
        "descriptors" / c.Prefixed(c.Int16ub, c.GreedyBytes),
    )  # fmt: skip
    stream_map = c.Struct(
        c.Const(b"\0\0\1\xbc"), "length" / c.Int16ub, c.Bytes(2),
        "info" / c.Prefixed(c.Int16ub, c.GreedyBytes),
        "entries" / c.Prefixed(c.Int16ub, c.GreedyRange(entry)), "crc" / c.Int32ub, c.Terminated,
    )  # fmt: skip
    pes = c.Struct(
        c.Const(b"\0\0\1"), "stream_id" / c.Int8ub, "length" / c.Int16ub,
        "flags" / c.BitStruct(
            c.Const(0b10, c.BitsInteger(2)), c.BitsInteger(6),
            "pts_dts" / c.BitsInteger(2), c.BitsInteger(6),
        ),
        "fields" / c.Prefixed(c.Int8ub, c.GreedyBytes), "payload" / c.GreedyBytes,
    )  # fmt: skip
    rtp = c.Struct(
        "first" / c.BitStruct(
            c.Const(2, c.BitsInteger(2)), "padding" / c.Flag, "extension" / c.Flag,
            "sources" / c.BitsInteger(4),
        ),
        "second" / c.BitStruct("marker" / c.Flag, "payload_type" / c.BitsInteger(7)),
        "sequence_number" / c.Int16ub, "timestamp" / c.Int32ub, "ssrc" / c.Int32ub,
        c.Array(lambda this: this.first.sources, c.Int32ub),
        "more" / c.If(lambda this: this.first.extension, c.Struct(
            c.Int16ub, "words" / c.Int16ub, c.Bytes(lambda this: 4 * this.words))),
        "payload" / c.GreedyBytes,
        "padding_size" / c.Computed(
            lambda this: this.payload[-1] if this.first.padding and this.payload else 0),
    )  # fmt: skip
    return {"pack": pack, "system": system, "map": stream_map, "pes": pes, "rtp": rtp,
            "error": c.ConstructError}  # fmt: skip
