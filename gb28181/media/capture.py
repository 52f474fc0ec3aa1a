"""Capture: what comes of a running stream, in a file for those who are asked for help."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from rtp.batch import PACK_START, PacketBatch
from rtp.errors import RtpError
from rtp.packet import RtpPacket, parse
from rtp.reorder import ReorderBuffer
from sip.flow import Flow
from sip.trace import PcapngWriter, TraceRecord

from ..errors import ConfigError
from .receiver import Receiver
from .remote import RemoteReceiver
from .stream import current_group

if TYPE_CHECKING:
    from rtp.transport import Address

    from .ends import MediaReceiver

_EACH: Final = 0.25
"""Seconds of packets that are written at once."""
_MOST_WAITING: Final = 8 * 1024 * 1024
"""Bytes that may wait for the disk; what comes beyond is left out and counted."""
_PROGRAM_STREAMS: Final = (".ps", ".mpg", ".mpeg")
_CAPTURES: Final = (".pcapng",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a capture has written."""

    path: Path
    packets: int
    """Packets that came, those of the kept group included."""
    size: int
    """Bytes of the file."""
    left_out: int
    """Packets that found no room, because the disk is too slow or the limit was reached."""


class _Form(Protocol):
    def begin(self) -> bytes:
        """What the file begins with."""

    def write(self, batch: PacketBatch) -> bytes:
        """What the packets become."""

    def end(self) -> bytes:
        """What is left at the end."""


async def capture(
    receiver: MediaReceiver,
    path: Path,
    *,
    seconds: float = 10.0,
    most: int = 256 * 1024 * 1024,
) -> Captured:
    """Write what a receiver lets in to a file, from the kept group of pictures on.

    Args:
        receiver: Of a running stream; that of a worker is captured there.
        path: ``.pcapng``: every RTP packet as it came, as a datagram to our port, those over TCP
            too, so that analysers read them all alike. ``.ps``, ``.mpg``, ``.mpeg``: the program
            stream in them, in order, which players read.
        seconds: How long.
        most: Bytes of the file.

    Raises:
        ConfigError: Another kind of file.
        MediaWorkerLost: The stream's worker died; what it wrote stays.
        OSError: The file cannot be written.
    """
    form = _form(receiver, path)
    if isinstance(receiver, RemoteReceiver):
        return Captured(path=path, **await receiver.capture(path, seconds=seconds, most=most))
    assert isinstance(receiver, Receiver)
    until = asyncio.get_running_loop().time() + seconds
    waiting = _Waiting()
    for batch in current_group(receiver.batches):
        waiting.take(batch)
    detach = receiver.batches.attach(waiting.take)
    try:
        file = await asyncio.to_thread(path.open, "wb")
        try:
            size = await _write(file, form, receiver, waiting, until=until, most=most)
        finally:
            await asyncio.shield(asyncio.to_thread(file.close))
    finally:
        detach()
    return Captured(path=path, packets=waiting.packets, size=size, left_out=waiting.left_out)


class _Waiting:
    """Batches on their way to the disk."""

    def __init__(self) -> None:
        self.packets = 0
        self.left_out = 0
        self._batches: list[PacketBatch] = []
        self._held = 0

    def take(self, batch: PacketBatch) -> None:
        """Keep a batch as long as there is room."""
        self.packets += len(batch)
        if self._held + batch.size > _MOST_WAITING:
            self.left_out += len(batch)
            return
        self._held += batch.size
        self._batches.append(batch.copy())

    def give(self) -> list[PacketBatch]:
        """Return what there is, and forget it."""
        batches, self._batches, self._held = self._batches, [], 0
        return batches


async def _write(
    file: BinaryIO, form: _Form, receiver: Receiver, waiting: _Waiting, *, until: float, most: int
) -> int:
    """Write what comes until the time or the stream is over; return the bytes of the file."""
    loop = asyncio.get_running_loop()
    size = await asyncio.to_thread(file.write, form.begin())
    is_over = False
    while not is_over:
        left = until - loop.time()
        await asyncio.wait({receiver.closed}, timeout=max(0.0, min(_EACH, left)))
        is_over = receiver.is_closed or loop.time() >= until
        batches = waiting.give()
        data = b"".join(form.write(batch) for batch in batches)
        if size + len(data) > most:
            waiting.left_out += sum(map(len, batches))
            break
        size += await asyncio.to_thread(file.write, data)
    return size + await asyncio.to_thread(file.write, form.end())


def _form(receiver: MediaReceiver, path: Path) -> _Form:
    kind = path.suffix.lower()
    if kind not in (*_PROGRAM_STREAMS, *_CAPTURES):
        known = ", ".join((*_CAPTURES, *_PROGRAM_STREAMS))
        raise ConfigError(f"{path}: the name of a capture ends in one of {known}")
    if kind in _PROGRAM_STREAMS:
        return _ProgramStream(is_ordered=receiver.mode != "udp")
    source = receiver.statistics.source or ("0.0.0.0", 0)
    epoch = time.time() - asyncio.get_running_loop().time()
    return _Packets(source, receiver.local, epoch)


class _Packets:
    """A pcapng file."""

    def __init__(self, source: Address, local: Address, epoch: float) -> None:
        self._writer = PcapngWriter()
        self._flow = Flow("udp", local, source)
        self._epoch = epoch

    def begin(self) -> bytes:
        return self._writer.header

    def write(self, batch: PacketBatch) -> bytes:
        return b"".join(
            self._writer.packet(
                TraceRecord(
                    time=batch.received, direction="in", flow=self._flow, data=bytes(packet)
                ),
                epoch=self._epoch,
            )
            for packet in batch.packets()
        )

    def end(self) -> bytes:
        return b""


class _ProgramStream:
    """The payloads in order, from the first pack on."""

    def __init__(self, *, is_ordered: bool) -> None:
        self._order = ReorderBuffer(wait=0.0) if is_ordered else ReorderBuffer()
        self._types: set[int] = set()

    def begin(self) -> bytes:
        return b""

    def write(self, batch: PacketBatch) -> bytes:
        written = []
        for data in batch.packets():
            try:
                packet = parse(bytes(data))
            except RtpError:
                continue
            written += self._payloads(self._order.push(packet, batch.received))
        return b"".join(written)

    def end(self) -> bytes:
        return b"".join(self._payloads(self._order.flush()))

    def _payloads(self, entries: list[tuple[RtpPacket, int]]) -> list[bytes]:
        payloads = []
        for packet, _ in entries:
            payload = bytes(packet.payload)
            if payload.startswith(PACK_START):
                self._types.add(packet.payload_type)
            if packet.payload_type in self._types:  # not the sound beside it
                payloads.append(payload)
        return payloads
