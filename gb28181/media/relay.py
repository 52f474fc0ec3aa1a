"""Relay: packet batches of a receiver to another party, rewritten, payload untouched."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from rtp.batch import PacketBatch
from rtp.errors import RtpError
from rtp.packet import HEADER_SIZE, parse
from rtp.rtcp import ntp_time, sender_report
from rtp.rtcp import parse as parse_rtcp
from rtp.transport import (
    Address,
    MediaNetwork,
    MediaSocket,
    TcpMediaConnection,
    connect_tcp,
    listen_tcp,
)

from ..errors import MediaTimeout
from .stream import Stream, current_group

REPORT_INTERVAL: Final = 5.0
"""Seconds between two RTCP sender reports."""
SEND_AT_ONCE: Final = 64 * 1024
"""Bytes of a cached group that leave in one turn of the loop."""
SEND_PAUSE: Final = 0.005
"""Seconds between two such turns: about 100 Mbit/s while a new target catches up."""
BACKLOG_BYTES: Final = 8 * 1024 * 1024
"""What may wait behind a cached group. Beyond it all is dropped up to the next group start."""
CONNECT_PATIENCE: Final = 30.0
"""How long a passive sink waits for its peer, once started."""
GROUP_PATIENCE: Final = 5.0
"""How long a group start is waited for before anything is sent that comes."""

_SINK_BUFFER: Final = 64 * 1024  # nothing but stray packets comes to a sender's port
_CLOSE_GRACE: Final = 1.0
_JUMP: Final = 1000  # packets; more is a restart of the source (RFC 3550 A.1 has 3000 and 100)
_CLOCK: Final = 90000

logger = logging.getLogger("gb28181.media")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatistics:
    """What an outgoing end has done so far."""

    packets: int
    """Packets that the socket or the connection took."""
    bytes: int
    """Their bytes, RTP headers included."""
    dropped: int
    """Packets that found no connection, no room, or came before the group after such a loss."""
    reported_lost: int | None = None
    """What the receiver says that it lost, by its last RTCP report; None without one."""


class MediaSink:
    """The outgoing end of one RTP stream: a UDP socket or a TCP connection. Made by the plane.

    ``mode`` is ``udp``, ``tcp-active`` (we connect) or ``tcp-passive`` (the first connection
    wins, later ones are closed at once). Sending never waits: a peer over TCP whose write buffer
    is full loses everything up to the next group start.
    """

    def __init__(
        self, *, mode: str, local: Address, on_closed: Callable[[MediaSink], None] | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.mode = mode
        self.local = local
        self.remote: Address | None = None
        """Where the packets go; None as long as that is not known."""
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when packets can leave."""
        self.ready.add_done_callback(_look_at)
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the sink has ended; the exception is the cause."""
        self.closed.add_done_callback(_look_at)
        self.is_closed = False
        """Whether the sink has ended."""
        self.framed = True
        """Whether packets over TCP have their length before them (RFC 4571). Before ``start``."""
        self._on_closed = on_closed
        self._network: MediaNetwork | None = None
        self._udp: MediaSocket | None = None
        self._server: Any = None
        self._connection: TcpMediaConnection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._dropping_since: float | None = None
        self._dropped_before = 0
        self._rtcp: MediaSocket | None = None
        self._report_at = self._loop.time() + REPORT_INTERVAL
        self._reported_lost: int | None = None
        self._packets = 0
        self._bytes = 0
        self._dropped = 0

    @property
    def statistics(self) -> SinkStatistics:
        """The counters as they stand."""
        unsent = 0
        if self._udp is not None:
            unsent = self._udp.counters["dropped"] + self._udp.counters["send_errors"]
        return SinkStatistics(
            packets=self._packets - unsent,
            bytes=self._bytes,
            dropped=self._dropped + unsent,
            reported_lost=self._reported_lost,
        )

    @property
    def unsent(self) -> int:
        """Bytes that wait until a peer over TCP reads; a sender that can wait looks at it."""
        return 0 if self._connection is None else self._connection.unsent

    async def open(self, network: MediaNetwork) -> None:
        """Bind the socket, or listen. The plane does this.

        Raises:
            OSError: The address cannot be bound.
        """
        self._network = network
        if self.mode == "udp":
            self._udp = network.open_udp(self.local, _ignore, receive_buffer=_SINK_BUFFER)
            self.local = self._udp.local
            host, port = self.local
            try:
                self._rtcp = network.open_udp(
                    (host, port + 1), _ignore, receive_buffer=_SINK_BUFFER
                )
            except OSError:
                self._udp.close()
                raise
            self._udp.on_error = self._rtcp.on_error = self.close
            self._udp.on_rtcp = self._rtcp.on_rtcp = self._take_rtcp
        elif self.mode == "tcp-passive":
            self._server = await listen_tcp(network, self.local, self._on_connection)

    def start(self, remote: Address | None = None) -> asyncio.Future[None]:
        """Say where the packets go; over ``tcp-active`` connect there in the background.

        Four attempts, one second apart; when all fail, ``closed`` carries the reason. Over
        ``tcp-passive`` the peer has 30 seconds from now to connect.

        Args:
            remote: The peer; None keeps what ``open_sink`` was given.

        Returns:
            What is done when ``ready`` is; waiting is not needed, and may be cancelled.
        """
        self.remote = remote or self.remote
        if self.is_closed or (self.remote is None and self.mode != "tcp-passive"):
            return self._waitable()
        if self.mode == "udp":
            _settle(self.ready, None)
        elif self.mode == "tcp-active" and self._connecting is None and self.remote is not None:
            # The sink owns this task: it is referenced here and cancelled by close().
            self._connecting = self._loop.create_task(self._connect(self.remote))
        elif self.mode == "tcp-passive" and self._patience is None:
            self._patience = self._loop.call_later(CONNECT_PATIENCE, self._give_up)
        return self._waitable()

    def send_batch(self, batch: PacketBatch) -> bool:
        """Send now or drop; never wait. False when something was dropped."""
        if self._udp is not None and self.remote is not None and not self.is_closed:
            count = len(batch)
            self._packets += count
            self._bytes += batch.size
            if batch.received >= self._report_at:
                self._report(batch)
            return self._udp.send_batch(batch, self.remote) == count
        return self._send_framed(batch)

    def send_packets(self, packets: list[bytes]) -> bool:
        """Send whole RTP packets, as ``send_batch``."""
        return self.send_batch(join(packets, self._loop.time()))

    def close(self, cause: BaseException | None = None) -> None:
        """Close sockets and connections and give the port back. Idempotent.

        What the TCP write buffer holds is still sent, for a second at most.
        """
        if self.is_closed:
            return
        self.is_closed = True
        _settle(self.closed, cause)
        if self._connecting is not None:
            self._connecting.cancel()
        if self._patience is not None:
            self._patience.cancel()
        for listening in (self._udp, self._rtcp, self._server):
            if listening is not None:
                listening.close()
        if self._connection is not None:
            self._leave(self._connection)
        _settle(self.ready, cause or MediaTimeout("the media sink was closed before it was ready"))
        if self._on_closed is not None:
            self._on_closed(self)

    def _waitable(self) -> asyncio.Future[None]:
        waitable = asyncio.shield(self.ready)
        waitable.add_done_callback(_look_at)
        return waitable

    async def _connect(self, remote: Address) -> None:
        assert self._network is not None
        try:
            await connect_tcp(self._network, remote, on_connection=self._on_connection)
        except OSError as error:
            host, port = remote
            failed = MediaTimeout(f"no TCP media connection to {host}:{port}: {error}")
            failed.__cause__ = error
            self.close(failed)

    def _give_up(self) -> None:
        if self._connection is None:
            host, port = self.local
            sentence = f"nobody connected for media to {host}:{port} in {CONNECT_PATIENCE:g} s"
            self.close(MediaTimeout(sentence))

    def _on_connection(self, connection: TcpMediaConnection) -> None:
        if self._connection is not None or self.is_closed:
            connection.close()
            return
        self._connection = connection
        connection.framed = self.framed
        self.remote = connection.remote
        connection.on_lost = self._on_lost
        connection.on_rtcp = self._take_rtcp
        _settle(self.ready, None)

    def _on_lost(self, error: BaseException | None) -> None:
        host, port = self.remote or ("", 0)
        lost = MediaTimeout(f"TCP media connection with {host}:{port} lost: {error or 'closed'}")
        lost.__cause__ = error
        self.close(lost)

    def _leave(self, connection: TcpMediaConnection) -> None:
        if self._dropping_since is not None:  # the peer does not read
            connection.abort()
            return
        connection.close()
        self._loop.call_later(_CLOSE_GRACE, connection.abort)

    def _send_framed(self, batch: PacketBatch) -> bool:
        connection = self._connection
        if connection is None or self.is_closed:
            self._dropped += len(batch)
            return False
        now = self._loop.time()
        if self._dropping_since is not None:
            start = batch.group_start()
            if start is None and now - self._dropping_since < GROUP_PATIENCE:
                self._dropped += len(batch)
                return False
            if start:  # what comes before it in the batch depends on what was dropped
                self._dropped += start
                batch = batch.from_index(start)
            self._recover()
        if batch.received >= self._report_at and self.framed:
            self._report(batch)
        if connection.send_batch(batch):
            self._packets += len(batch)
            self._bytes += batch.size
            return True
        self._dropping_since = now
        self._dropped_before = self._dropped
        self._dropped += len(batch)
        return False

    def _recover(self) -> None:
        """Begin again with a group, and say what was lost: once, not for each packet."""
        self._dropping_since = None
        text = "the receiver at %s:%d reads too slowly: %d packets dropped, up to a key frame"
        logger.warning(text, *(self.remote or ("", 0)), self._dropped - self._dropped_before)

    def _report(self, batch: PacketBatch) -> None:
        """Send a sender report, by the last packet that leaves now (RFC 3550 section 6.4.1)."""
        self._report_at = batch.received + REPORT_INTERVAL
        last = parse(bytes(batch.packets()[-1]))
        report = sender_report(
            last.ssrc,
            ntp=ntp_time(time.time()),
            timestamp=last.timestamp,
            packets=self._packets,
            octets=self._bytes - HEADER_SIZE * self._packets,
            name=f"gb28181@{self.local[0]}",
        )
        if self._rtcp is not None and self.remote is not None:
            self._rtcp.send(report, (self.remote[0], self.remote[1] + 1))
        elif self._connection is not None:
            self._connection.send(report)

    def _take_rtcp(self, data: bytes, source: Address) -> None:
        """Remember what the receiver reports."""
        try:
            packets = parse_rtcp(data)
        except RtpError:
            return
        for packet in packets:
            for block in packet.blocks:
                self._reported_lost = max(0, block.lost)


class BatchSink(Protocol):
    """What a relay needs of its outgoing end; ``MediaSink`` is the one there is."""

    ready: asyncio.Future[None]
    closed: asyncio.Future[None]

    def send_batch(self, batch: PacketBatch) -> bool:
        """Send now or drop; never wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatistics:
    """What a relay has done so far."""

    packets: int
    """Packets given to the sink, those included that it could not send."""
    bytes: int
    """Their bytes, RTP headers included."""
    dropped: int
    """Packets not forwarded: before the first group start, or behind an overlong backlog."""
    restarts: int
    """How often the source began anew; the outgoing numbering went on."""
    started_without_group: bool
    """Whether no group start came in time, so that sending began with whatever came."""


class Relay:
    """Forwards batches to one target with its own SSRC, sequence numbers and timestamp base.

    It starts with the cached current group, or at the next group start, or after five seconds
    with whatever comes. What the source lost stays a gap in the outgoing numbering. Every relay
    works on a copy, or on what nobody else needs, so any number of them may share a receiver.

    Args:
        batches: A receiver's batches.
        sink: Where they go; nothing is sent before it is ready.
        ssrc: Of the outgoing packets.
        payload_type: Of the outgoing packets; None keeps the source's.
        sequence_number: Of the first outgoing packet.
        timestamp: Of the first outgoing packet; None keeps the source's base.

    Source: GB/T 28181-2022 Annex L (one upstream request, many receivers).
    """

    def __init__(
        self,
        batches: Stream[PacketBatch],
        sink: BatchSink,
        *,
        ssrc: int,
        payload_type: int | None = 96,
        sequence_number: int = 0,
        timestamp: int | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._batches = batches
        self._sink = sink
        self._rewriter = _Rewriter(ssrc, payload_type, sequence_number, timestamp)
        self._backlog: deque[PacketBatch] = deque()  # bounded: BACKLOG_BYTES
        self._backlog_size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_started = self._is_ready = False
        self._without_group = False
        self._waiting_since: float | None = None
        self._packets = 0
        self._bytes = 0
        self._dropped = 0
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the relay has ended; the exception is the cause."""
        self.is_closed = False
        """Whether the relay has ended."""
        self.closed.add_done_callback(_look_at)
        self._detach: Callable[[], None] = batches.attach(self._take, on_end=self.close)
        sink.ready.add_done_callback(self._on_ready)
        sink.closed.add_done_callback(self._on_sink_closed)

    @property
    def statistics(self) -> RelayStatistics:
        """The counters as they stand."""
        return RelayStatistics(
            packets=self._packets,
            bytes=self._bytes,
            dropped=self._dropped,
            restarts=self._rewriter.restarts,
            started_without_group=self._without_group,
        )

    def outgoing(self, sequence_number: int, timestamp: int) -> tuple[int, int]:
        """Return what the numbers of a packet of the source become here, as things stand."""
        return self._rewriter.outgoing(sequence_number, timestamp)

    def close(self, cause: BaseException | None = None) -> None:
        """Stop forwarding. The sink stays as it is. Idempotent."""
        if self.is_closed:
            return
        self.is_closed = True
        self._detach()
        if self._timer is not None:
            self._timer.cancel()
        self._drop_backlog()
        _settle(self.closed, cause)

    def _on_ready(self, ready: asyncio.Future[None]) -> None:
        if self.is_closed or ready.cancelled() or ready.exception() is not None:
            return
        self._is_ready = True
        group = current_group(self._batches)
        if group and not self._is_started:
            self._is_started = True
            for batch in group:
                self._enqueue(batch)
            self._flush()

    def _on_sink_closed(self, closed: asyncio.Future[None]) -> None:
        self.close(None if closed.cancelled() else closed.exception())

    def _take(self, batch: PacketBatch) -> None:
        if self.is_closed:
            return
        # A named boundary (a stream): what fails here ends this relay, not its source.
        try:
            if self._is_started and not self._backlog and self._is_ready:  # the usual case
                self._send(batch if batch.is_spare else compact(batch))
            else:
                self._forward(batch)
        except Exception as error:
            logger.exception("a relay failed and was closed")
            self.close(error)

    def _forward(self, batch: PacketBatch) -> None:
        if not self._sink.ready.done():
            self._dropped += len(batch)
            return
        if not self._is_started:
            trimmed = self._first(batch)
            if trimmed is None:
                self._dropped += len(batch)
                return
            self._dropped += len(batch) - len(trimmed)
            batch = trimmed
            self._is_started = True
        if self._backlog:
            self._enqueue(compact(batch))
        else:
            self._send(compact(batch))

    def _first(self, batch: PacketBatch) -> PacketBatch | None:
        index = batch.group_start()
        if index is not None:
            return batch.from_index(index)
        now = self._loop.time()
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since < GROUP_PATIENCE:
            return None
        self._without_group = True
        return batch

    def _enqueue(self, batch: PacketBatch) -> None:
        if self._backlog_size + batch.size > BACKLOG_BYTES:
            self._dropped += len(batch)
            self._drop_backlog()
            self._is_started = False
            self._waiting_since = None
            return
        self._backlog.append(batch)
        self._backlog_size += batch.size

    def _drop_backlog(self) -> None:
        self._dropped += sum(map(len, self._backlog))
        self._backlog.clear()
        self._backlog_size = 0

    def _flush(self) -> None:
        self._timer = None
        sent = 0
        try:
            while self._backlog and sent < SEND_AT_ONCE:
                batch = self._backlog.popleft()
                self._backlog_size -= batch.size
                sent += batch.size
                self._send(compact(batch))
        except Exception as error:
            logger.exception("a relay failed and was closed")
            self.close(error)
            return
        if self._backlog and not self.is_closed:
            self._timer = self._loop.call_later(SEND_PAUSE, self._flush)

    def _send(self, batch: PacketBatch) -> None:
        self._rewriter.rewrite(batch, batch.received)
        self._packets += len(batch)
        self._bytes += batch.size
        self._sink.send_batch(batch)


class _Rewriter:
    """Keeps the outgoing numbering in one piece while the source may begin anew."""

    def __init__(
        self, ssrc: int, payload_type: int | None, sequence_number: int, timestamp: int | None
    ) -> None:
        self.restarts = 0
        self._ssrc = ssrc
        self._payload_type = payload_type
        self._next_sequence = sequence_number
        self._timestamp = timestamp
        self._is_first = True
        self._source: int | None = None
        self._sequence_offset = 0
        self._timestamp_offset = 0
        self._last_in = 0
        self._last_out_ticks = 0
        self._last_at = 0.0

    def rewrite(self, batch: PacketBatch, now: float) -> None:
        """Rewrite in place; all packets of a batch are of one source, as receivers publish."""
        sequence, ticks, source = batch.first_number, batch.first_ticks, batch.ssrc
        step = (sequence - self._last_in + 0x8000 & 0xFFFF) - 0x8000
        if source != self._source or abs(step) > _JUMP:
            self._begin(source, sequence, ticks, now)
        self._last_in = batch.last_number
        self._last_out_ticks = batch.last_ticks + self._timestamp_offset & 0xFFFF_FFFF
        self._next_sequence = self._last_in + self._sequence_offset + 1 & 0xFFFF
        self._last_at = now
        batch.rewrite(
            ssrc=self._ssrc,
            sequence_offset=self._sequence_offset,
            timestamp_offset=self._timestamp_offset,
            payload_type=self._payload_type,
        )

    def outgoing(self, sequence: int, ticks: int) -> tuple[int, int]:
        """Return sequence number and timestamp as they leave."""
        return (
            sequence + self._sequence_offset & 0xFFFF,
            ticks + self._timestamp_offset & 0xFFFF_FFFF,
        )

    def _begin(self, source: int, sequence: int, ticks: int, now: float) -> None:
        if not self._is_first:
            self.restarts += 1
            elapsed = max(1, round((now - self._last_at) * _CLOCK))
            self._timestamp_offset = self._last_out_ticks + elapsed - ticks
        elif self._timestamp is not None:
            self._timestamp_offset = self._timestamp - ticks
        self._is_first = False
        self._source = source
        self._sequence_offset = self._next_sequence - sequence


def compact(batch: PacketBatch) -> PacketBatch:
    """Return a copy of the packets; of a buffer that holds little else, a copy of all."""
    if batch.stride or batch.is_framed or 4 * batch.size >= 3 * len(batch.data):
        return batch.copy()
    return join(batch.packets(), batch.received)


def join(packets: Sequence[bytes | memoryview], now: float) -> PacketBatch:
    """Make a batch of packets."""
    bounds, place = [], 0
    for packet in packets:
        bounds.append((place, len(packet)))
        place += len(packet)
    return PacketBatch(bytearray().join(packets), bounds, now)


def _ignore(batch: PacketBatch, source: Address) -> None:
    """Drop what comes to a sender's port; the socket has counted it."""


def _look_at(future: asyncio.Future[None]) -> None:
    # A cause that nobody asks for is no fault of its own.
    if not future.cancelled():
        future.exception()


def _settle(future: asyncio.Future[None], cause: BaseException | None) -> None:
    if future.done():
        return
    if cause is None:
        future.set_result(None)
    else:
        future.set_exception(cause)
