"""Messages between the first process and a media worker: a JSON object, and bytes behind it."""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import fields
from typing import Any

from rtp.access_unit import AccessUnit, Codec
from rtp.batch import PacketBatch
from rtp.packet import HEADER_SIZE

from ..errors import (
    Gb28181Error,
    MediaConnectionLost,
    MediaTimeout,
    MediaWorkerLost,
    PortsExhausted,
)
from .receiver import ReceiverStatistics

Fields = dict[str, Any]

_LENGTHS = struct.Struct("!II")
_MOST_HEAD, _MOST_BODY = 1 << 20, 64 << 20
_CONGESTED = 1 << 20
_MOST_PACKETS = 10_000  # 240 kB as text
_NAMES = tuple(field.name for field in fields(ReceiverStatistics))
_ERRORS: dict[str, type[Exception]] = {
    one.__name__: one
    for one in (
        Gb28181Error, MediaConnectionLost, MediaTimeout, MediaWorkerLost, PortsExhausted,
        ValueError, ConnectionRefusedError,
    )
}  # fmt: skip


class Pipe:
    """One end of the connection between two processes of the same program.

    Nothing is read from it that is not of this module on the other side, so what does not fit ends
    the connection.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def is_congested(self) -> bool:
        """Whether the other side is late, so that what can be left out should be."""
        return self._writer.transport.get_write_buffer_size() > _CONGESTED

    def send(self, do: str, body: bytes = b"", /, **facts: object) -> None:
        """Send a message, or nothing when the connection has ended."""
        if self._writer.transport.is_closing():
            return
        head = json.dumps({"do": do, **facts}, separators=(",", ":")).encode()
        self._writer.write(_LENGTHS.pack(len(head), len(body)) + head)
        if body:
            self._writer.write(body)

    async def drain(self) -> None:
        """Wait until the other side has taken most of it.

        Raises:
            OSError: The connection has ended.
        """
        await self._writer.drain()

    async def receive(self) -> tuple[Fields, bytes] | None:
        """Return the next message; None when the other side has gone."""
        try:
            head, body = _LENGTHS.unpack(await self._reader.readexactly(_LENGTHS.size))
            if head > _MOST_HEAD or body > _MOST_BODY:
                return None
            said = json.loads(await self._reader.readexactly(head))
            return said, await self._reader.readexactly(body) if body else b""
        except (asyncio.IncompleteReadError, OSError):
            return None

    def close(self) -> None:
        """End the connection; the other side hears it. Idempotent."""
        self._writer.close()

    async def wait_closed(self) -> None:
        """Wait until nothing of it is left."""
        try:
            await self._writer.wait_closed()
        except OSError:
            return


def pack_error(error: BaseException | None) -> list[Any] | None:
    """An error as it crosses: its class, as far as the other side knows that, and its sentence."""
    if error is None:
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return ["OSError", error.strerror or str(error), error.errno]
    return [type(error).__name__, str(error), None]


def unpack_error(packed: list[Any] | None) -> Exception | None:
    """The error that ``pack_error`` was given, or one like it."""
    if packed is None:
        return None
    name, sentence, number = packed
    if number is not None:
        return OSError(number, sentence)
    return _ERRORS.get(name, Gb28181Error)(sentence)


def pack_statistics(seen: ReceiverStatistics) -> Fields:
    """Statistics as they cross."""
    packed: Fields = {name: getattr(seen, name) for name in _NAMES}
    packed["video"] = seen.video and seen.video.name
    packed["audio"] = seen.audio and seen.audio.name
    return packed


def unpack_statistics(packed: Fields) -> ReceiverStatistics:
    """The statistics that ``pack_statistics`` was given."""
    for name in ("video", "audio"):
        packed[name] = packed[name] and Codec[packed[name]]
    packed["source"] = packed["source"] and tuple(packed["source"])
    return ReceiverStatistics(**packed)


def pack_unit(unit: AccessUnit) -> list[Any]:
    """A unit as it crosses, but for its data."""
    flags = unit.is_key | unit.is_discontinuous << 1 | unit.is_damaged << 2
    return [unit.codec.name, unit.pts, unit.dts, flags]


def unpack_unit(packed: list[Any], data: bytes) -> AccessUnit:
    """The unit that ``pack_unit`` was given."""
    codec, pts, dts, flags = packed
    return AccessUnit(
        codec=Codec[codec],
        data=data,
        pts=pts,
        dts=dts,
        is_key=bool(flags & 1),
        is_discontinuous=bool(flags & 2),
        is_damaged=bool(flags & 4),
    )


def pack_heads(batches: list[PacketBatch]) -> list[str]:
    """The fixed headers of packets as they cross, batch by batch, as far as there is room."""
    room, packed = _MOST_PACKETS, list[str]()
    for batch in batches:
        bounds = batch.bounds[:room]
        room -= len(bounds)
        heads = (bytes(batch.data[start : start + HEADER_SIZE]) for start, _ in bounds)
        packed.append(b"".join(heads).hex())
    return packed


def unpack_heads(packed: list[str]) -> list[PacketBatch]:
    """Batches of the headers that ``pack_heads`` was given."""
    batches = []
    for text in packed:
        data = bytearray.fromhex(text)
        bounds = [(start, HEADER_SIZE) for start in range(0, len(data), HEADER_SIZE)]
        if bounds:
            batches.append(PacketBatch(data, bounds))
    return batches
