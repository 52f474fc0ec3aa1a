"""RTP over TCP: one framed connection, listening and connecting."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from .batch import PacketBatch
from .errors import FramingLost
from .framing import Deframer
from .network import Address, MediaNetwork, OnBatch, OnRtcp, StreamProtocol
from .packet import HEADER_SIZE

logger = logging.getLogger("gb28181.rtp")

WRITE_LIMIT: Final = 4 * 1024 * 1024


class TcpMediaConnection(StreamProtocol):
    """RTP packets over one TCP connection, both ways.

    Set ``on_batch``, ``on_rtcp`` and ``on_lost`` before the first byte comes: in the callback of
    ``listen_tcp``, or at once after ``connect_tcp``. Counters: ``packets``, ``bytes``,
    ``garbage``, ``rtcp``, ``resyncs`` in; ``sent``, ``dropped`` out.

    Source: RFC 4571.
    """

    def __init__(
        self,
        on_connection: Callable[[TcpMediaConnection], None] | None = None,
        *,
        write_limit: int = WRITE_LIMIT,
    ) -> None:
        self._counters: Counter[str] = Counter()
        self._packets = self._bytes = self._sent = 0
        self.on_batch: OnBatch | None = None
        self.on_rtcp: OnRtcp | None = None
        self.on_lost: Callable[[BaseException | None], None] | None = None
        self.framed = True
        """Whether each packet we send has its length before it; some loudspeakers want none."""
        self.local: Address = ("", 0)
        self.remote: Address = ("", 0)
        self._on_connection = on_connection
        self._write_limit = write_limit
        self._transport: Any = None
        self._deframer = Deframer()
        self._loop = asyncio.get_running_loop()
        self._cause: BaseException | None = None
        self._is_closed = False

    @property
    def counters(self) -> Counter[str]:
        """What came and left so far."""
        counters = self._counters.copy()
        counters.update(packets=self._packets, bytes=self._bytes, sent=self._sent)
        if self._deframer.resyncs:
            counters["resyncs"] = self._deframer.resyncs
        if self._deframer.oddity:
            counters[self._deframer.oddity] = 1
        return counters

    @property
    def is_closed(self) -> bool:
        """Whether it is closed or closing."""
        return self._is_closed

    @property
    def unsent(self) -> int:
        """Bytes that wait until the peer reads."""
        if self._transport is None:
            return 0
        size: int = self._transport.get_write_buffer_size()
        return size

    def connection_made(self, transport: Any) -> None:
        """Take the transport (called by asyncio)."""
        self._transport = transport
        self.local = _address(transport.get_extra_info("sockname"))
        self.remote = _address(transport.get_extra_info("peername"))
        if self._on_connection is not None:
            self._guarded(partial(self._on_connection, self))

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into packets and hand them on (called by a simulated network)."""
        if not self._is_closed:
            buffer = bytearray(self._deframer.rest)
            buffer += data
            self._guarded(partial(self._take, buffer, len(buffer), self._loop.time(), False))

    def unfinished(self) -> bytes:
        """Return the beginning of a frame that the read before ended with."""
        return self._deframer.rest

    def buffer_received(self, buffer: bytearray, size: int, now: float) -> None:
        """Cut what the poller read into packets and hand them on."""
        if self._is_closed:
            return
        try:
            self._take(buffer, size, now, True)
        except Exception as exc:  # noqa: BLE001  a stream's boundary: it ends this one only
            self._fail(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so to the owner (called by asyncio)."""
        self._is_closed = True
        on_lost, self.on_lost, self.on_batch = self.on_lost, None, None
        if on_lost is not None:
            on_lost(self._cause or exc)

    def send(self, packet: bytes) -> bool:
        """Send one packet; false when the write buffer is full or the connection is gone."""
        return self._write(len(packet).to_bytes(2, "big") + packet if self.framed else packet, 1)

    def send_batch(self, batch: PacketBatch) -> bool:
        """Send every packet in one write; false, and all dropped, when the buffer is full."""
        data = batch.to_frames() if self.framed else b"".join(batch.packets())
        return self._write(data, len(batch))

    def pause_reading(self) -> None:
        """Let the peer wait: backpressure for playback."""
        if not self._is_closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self._is_closed:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close it; what is in the write buffer is still sent. ``on_lost`` comes later."""
        self._is_closed = True
        self.on_batch = None
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once and drop what is in the write buffer."""
        self._is_closed = True
        self.on_batch = None
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes | memoryview, packets: int) -> bool:
        transport = self._transport
        if self._is_closed or transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(data) > self._write_limit:
            self._counters["dropped"] += packets
            return False
        transport.write(data)
        self._sent += packets
        return True

    def _take(self, buffer: bytearray, size: int, now: float, is_borrowed: bool) -> None:
        deframer = self._deframer
        self._bytes += size - len(deframer.rest)
        bounds = deframer.cut_buffer(buffer, size)
        if not bounds:
            return
        batch = PacketBatch(buffer, bounds, now, deframer.stride, None, deframer.even)
        batch.is_borrowed = is_borrowed
        if min(batch.lengths) < HEADER_SIZE or not batch.is_rtp:
            self._take_mixed(buffer, bounds, now)
            return
        self._packets += len(bounds)
        end = bounds[-1][0] + bounds[-1][1]
        # Every packet has its two bytes of length before it; nothing else may be there.
        batch.is_framed = end - bounds[0][0] == batch.size + 2 * (len(bounds) - 1)
        if self.on_batch is not None:
            self.on_batch(batch, self.remote)

    def _take_mixed(self, buffer: bytearray, bounds: list[tuple[int, int]], now: float) -> None:
        """Sort out RTCP and what is neither."""
        counters = self._counters
        kept = []
        for offset, length in bounds:
            if 200 <= buffer[offset + 1] <= 204:
                counters["rtcp"] += 1
                if self.on_rtcp is not None:
                    self.on_rtcp(bytes(buffer[offset : offset + length]), self.remote)
            elif length < HEADER_SIZE:
                counters["garbage"] += 1
            else:
                kept.append((offset, length))
        self._packets += len(kept)
        if kept and self.on_batch is not None:
            batch = PacketBatch(buffer, kept, now)
            batch.is_borrowed = True
            self.on_batch(batch, self.remote)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Run a callback; what it raises ends this connection and reaches ``on_lost``."""
        try:
            call()
        except Exception as exc:  # noqa: BLE001  a stream's boundary: it ends this one only
            self._fail(exc)

    def _fail(self, cause: Exception) -> None:
        if not isinstance(cause, FramingLost):
            logger.error("media connection from %s:%d closed", *self.remote, exc_info=cause)
        self._cause = cause
        self.abort()


async def listen_tcp(
    network: MediaNetwork,
    local: Address,
    on_connection: Callable[[TcpMediaConnection], None],
    *,
    write_limit: int = WRITE_LIMIT,
) -> Any:
    """Listen for framed media; return the server object of the network.

    Raises:
        OSError: The address cannot be bound.
    """
    return await network.create_server(
        lambda: TcpMediaConnection(on_connection, write_limit=write_limit), *local
    )


async def connect_tcp(
    network: MediaNetwork,
    remote: Address,
    *,
    local: Address | None = None,
    attempts: int = 4,
    pause: float = 1.0,
    on_connection: Callable[[TcpMediaConnection], None] | None = None,
    write_limit: int = WRITE_LIMIT,
) -> TcpMediaConnection:
    """Connect for framed media, trying again ``pause`` seconds after each failure.

    Raises:
        OSError: The last attempt failed too.

    Source: GB/T 28181-2022 Annex D: at least one second apart, at least three more tries.
    """
    while True:
        attempts -= 1
        try:
            _, connection = await network.create_connection(
                lambda: TcpMediaConnection(on_connection, write_limit=write_limit),
                *remote,
                local_addr=local,
            )
        except OSError:
            if attempts <= 0:
                raise
            await asyncio.sleep(pause)
        else:
            assert isinstance(connection, TcpMediaConnection)
            return connection


def _address(name: Any) -> Address:
    return (str(name[0]), int(name[1])) if name else ("", 0)
