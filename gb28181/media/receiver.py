"""Receiver: one incoming RTP stream, from the socket to access units."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.batch import PacketBatch
from rtp.errors import RtpError
from rtp.reception import Reception
from rtp.rtcp import BYE, receiver_report
from rtp.rtcp import parse as parse_rtcp
from rtp.transport import Address, MediaNetwork

from ..errors import MediaConnectionLost, MediaTimeout
from ..sdp import MediaTransport
from .admission import Admission
from .depacketizer import Depacketizer, Picture
from .inputs import Inputs, ReceiverInputs
from .stream import Stream, batch_stream, current_group, unit_stream

REPORT_INTERVAL: Final = 5.0
"""Seconds between two RTCP receiver reports (spec: some devices stop without them)."""
RECONNECT_GRACE: Final = 5.0
"""Seconds that a lost TCP connection may take to come again before the stream ends."""
_ODD_FRAMES: Final = ("ehome", "interleaved")
"""Frames over TCP that are not of RFC 4571."""
logger = logging.getLogger("gb28181.media")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverStatistics:
    """What a receiver has seen so far. Times are loop times."""

    packets: int
    """Packets let in."""
    bytes: int
    """Their bytes, RTP headers included."""
    lost: int
    duplicates: int
    late: int
    """Packets that came when their place in the order had been given up."""
    gaps: int
    """Places where the sequence number jumped forward; what was only late counts, too."""
    jitter: float
    """Seconds (RFC 3550 A.8)."""
    foreign_ssrc: int
    """Packets not let in because of their SSRC."""
    foreign_source: int
    """Packets not let in because of where they came from."""
    last_foreign: str
    """The last one not let in, in words; empty when all were."""
    garbage: int
    """What was neither RTP nor RTCP."""
    resyncs: int
    """How often a TCP frame boundary was searched for."""
    adopted_ssrc: int
    """How often another SSRC than the expected one was taken, on our own port."""
    restarts: int
    """How often the stream began anew: another source, another SSRC, another connection."""
    rtcp: int
    rtcp_byes: int
    kernel_drops: int
    """Datagrams that the kernel dropped for want of buffer."""
    ssrc: int | None
    """The one let in; before the first packet the expected one."""
    source: Address | None
    first_packet_at: float | None
    first_key_at: float | None
    """Only known while somebody reads units."""
    payload: str
    """What the payload is, in words; empty while that is open, or nobody reads units."""
    video: Codec | None
    audio: Codec | None
    frames: int
    """Video units."""
    frame_rate: float | None
    damaged: int
    """Units with a part missing."""
    repairs: dict[str, int]
    """What the demultiplexer had to mend, by kind."""
    width: int | None
    height: int | None


class Receiver:
    """One incoming RTP stream with two taps: ``batches`` as they came, and ``units``.

    Made by the plane. ``mode`` is ``udp``, ``tcp-passive`` (we listen) or ``tcp-active``
    (``connect`` after the answer). Units are made only while somebody takes them.

    A fault of its own, and the loss of media, end this receiver only: ``closed`` carries why, and
    every reader hears it.
    """

    def __init__(
        self,
        *,
        mode: str,
        local: Address,
        silence: float = 30.0,
        keep_group: bool = True,
        on_closed: Callable[[Receiver], None] | None = None,
        inputs: Callable[[Receiver], ReceiverInputs] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.mode = mode
        self.local = local
        self.is_shared = inputs is not None
        """Whether the port is that of other receivers, too."""
        is_udp = mode == "udp"
        self.transport = MediaTransport.UDP if is_udp else MediaTransport.TCP
        self.batches: Stream[PacketBatch] = batch_stream(keep_group=keep_group)
        self.units: Stream[AccessUnit] = unit_stream(
            keep_group=keep_group, pause=None if is_udp else self._set_paused
        )
        self.units.on_first_reader = self._replay
        self.closed: asyncio.Future[None] = self._loop.create_future()
        """Done when the receiver has ended; the exception is the cause."""
        self.closed.add_done_callback(_look_at)
        self.is_closed = False
        """Whether the receiver has ended."""
        self.may_jump = False
        """Whether time stamps may jump back: in a recording, whose viewer does."""
        self.contact_at: float | None = None
        """When the first packet came, let in or not, or the first connection stood."""
        self._on_closed = on_closed
        self._arrived: asyncio.Future[None] = self._loop.create_future()
        self._key_seen: asyncio.Future[None] = self._loop.create_future()
        self._admission = Admission()
        self._depacketizer: Depacketizer | None = None
        self._payload = ""
        self._picture = Picture()
        self._inputs = Inputs(self) if inputs is None else inputs(self)
        self._silence = silence
        self._watch: asyncio.TimerHandle | None = None
        self._watch_paused = False
        self._reorder_timer: asyncio.TimerHandle | None = None
        self._report_timer: asyncio.TimerHandle | None = None
        self._drops = 0
        self._reception: Reception | None = None
        self._packets = 0
        self._counters: Counter[str] = Counter()
        self._repairs: Counter[str] = Counter()
        self._last_packet_at = self._loop.time()
        self._first_packet_at: float | None = None
        self._first_key_at: float | None = None

    # ---- before and during the session ----

    async def open(self, network: MediaNetwork) -> None:
        """Bind the sockets, or listen. The plane does this.

        Raises:
            OSError: An address cannot be bound; nothing stays open.
        """
        await self._inputs.open(network)
        self._report_timer = self._loop.call_later(REPORT_INTERVAL, self._report)

    async def heads(self) -> list[PacketBatch]:
        """Return the packets of the current group; of a worker's, only their headers are known."""
        return self.batches.group()

    def expect(self, *, ssrc: int | None, host: str | None, adopt: bool = True) -> None:
        """Say what the answer promised; from now on silence ends the stream.

        The first packet that fits fixes the source. A packet with the right SSRC fits from
        wherever it comes (NAT); without a known SSRC it must come from ``host``.

        Args:
            ssrc: What the sender said it uses; None when it did not say.
            host: Its media address; None, or one that is not an address, when unknown.
            adopt: Whether another SSRC is taken when it comes from ``host`` to this port.

        Raises:
            MediaTimeout: On a shared port: another receiver has this SSRC.
        """
        self._inputs.expect(ssrc, host if adopt else None)
        self._admission.expect(ssrc=ssrc, host=host, adopt=adopt)
        self._arm_watch()

    async def connect(self, remote: Address) -> None:
        """Connect to the sender (``tcp-active``): four attempts, one second apart.

        Raises:
            MediaTimeout: No attempt succeeded.
        """
        await self._inputs.connect(remote)

    async def first_packet(self, timeout: float) -> None:
        """Wait for the first packet that is let in.

        Raises:
            MediaTimeout: None came, with what was seen instead; or the receiver was closed.
        """
        await self._first(self._arrived, timeout, "RTP packet")

    async def first_key(self, timeout: float) -> None:
        """Wait for the first key frame; makes units while it waits.

        Raises:
            MediaTimeout: None came, with what was seen instead; or the receiver was closed.
        """
        detach = self.units.attach(lambda _: None)
        try:
            await self._first(self._key_seen, timeout, "key frame")
        finally:
            detach()

    def pause_watch(self, paused: bool) -> None:
        """Suspend the watch for silence, for a playback that the viewer has paused."""
        self._watch_paused = paused
        self._arm_watch()

    def new_drops(self) -> int:
        """Return how many datagrams the kernel has dropped since this was asked last."""
        before, self._drops = self._drops, self._inputs.kernel_drops()
        return max(0, self._drops - before)

    def close(self, cause: BaseException | None = None) -> None:
        """End it: the last units go out, readers end, sockets close, the port goes back.

        Idempotent.
        """
        if self.is_closed:
            return
        self.is_closed = True
        for timer in (self._watch, self._reorder_timer, self._report_timer):
            if timer is not None:
                timer.cancel()
        self._inputs.close()
        try:
            self._stop_units()
        except Exception as error:
            logger.exception("receiver %s:%d failed while closing", *self.local)
            cause = cause or error
        # Whoever awaited it and was cancelled may have cancelled it: that must not keep us open.
        if not self.closed.done():
            if cause is None:
                self.closed.set_result(None)
            else:
                self.closed.set_exception(cause)
        self.batches.close(cause)
        self.units.close(cause)
        if self._on_closed is not None:
            self._on_closed(self)

    @property
    def statistics(self) -> ReceiverStatistics:
        """The counters as they stand."""
        admission, picture, reception = self._admission, self._picture, self._reception
        sockets = self._inputs.counters()
        repairs = dict(self._repairs)
        if self._depacketizer is not None:
            repairs = dict(self._repairs + Counter(self._depacketizer.repairs))
        repairs |= {odd: sockets[odd] for odd in _ODD_FRAMES if sockets[odd]}
        return ReceiverStatistics(
            packets=self._packets,
            bytes=self._counters["bytes"] + (reception.bytes if reception else 0),
            lost=self._counters["lost"] + (reception.lost if reception else 0),
            duplicates=self._counters["duplicates"] + (reception.duplicates if reception else 0),
            late=self._counters["late"] + (reception.late if reception else 0),
            gaps=self._counters["gaps"] + (reception.gaps if reception else 0),
            jitter=reception.jitter / 90000 if reception else 0.0,
            foreign_ssrc=admission.foreign_ssrc + sockets["foreign_ssrc"],
            foreign_source=admission.foreign_source,
            last_foreign=admission.last_foreign or self._inputs.last_foreign,
            garbage=sockets["garbage"] + self._counters["garbage"],
            resyncs=sockets["resyncs"],
            adopted_ssrc=admission.adopted,
            restarts=max(0, admission.epoch - 1),
            rtcp=self._counters["rtcp"],
            rtcp_byes=self._counters["rtcp_byes"],
            kernel_drops=sockets["kernel_drops"],
            ssrc=admission.ssrc if admission.ssrc is not None else admission.expected,
            source=admission.source,
            first_packet_at=self._first_packet_at,
            first_key_at=self._first_key_at,
            payload=self._depacketizer.payload if self._depacketizer else self._payload,
            video=picture.video,
            audio=picture.audio,
            frames=picture.frames,
            frame_rate=picture.rate,
            damaged=picture.damaged,
            repairs=repairs,
            width=picture.size[0] if picture.size else None,
            height=picture.size[1] if picture.size else None,
        )

    # ---- what the inputs call ----

    def take(self, batch: PacketBatch, source: Address) -> None:
        """Take what one turn read. Never raises: a fault closes this receiver."""
        if self.is_closed:
            return
        # A named boundary (a stream): a fault in here ends this receiver, not the socket loop.
        try:
            self._take(batch, source)
        except Exception as error:
            logger.exception("receiver %s:%d failed and was closed", *self.local)
            self.close(error)

    def take_rtcp(self, data: bytes, source: Address) -> None:
        """Take RTCP packets: a report is remembered, a BYE noted; the dialog decides the end."""
        self._counters["rtcp"] += 1
        try:
            packets = parse_rtcp(data)
        except RtpError:
            self._counters["garbage"] += 1
            return
        for packet in packets:
            if packet.ssrc != self._admission.ssrc:
                continue
            self._counters["rtcp_byes"] += packet.packet_type == BYE
            if packet.ntp is not None and self._reception is not None:
                self._reception.take_sender_report(packet.ntp, self._loop.time())

    def lost_source(self, remote: Address, cause: BaseException | None) -> None:
        """A TCP connection has ended: wait a little for the next one, if it was ours."""
        was_ours = self._admission.forget_source(remote)
        if self.is_closed or not (was_ours or self.mode == "tcp-active"):
            return
        what = (
            f"TCP media connection from {remote[0]}:{remote[1]} lost: {cause or 'closed by peer'}"
        )
        if self.mode == "tcp-active":
            self.close(MediaConnectionLost(what))
            return
        self._loop.call_later(RECONNECT_GRACE, self._give_up, self._loop.time(), what)

    def _give_up(self, since: float, what: str) -> None:
        if self._last_packet_at <= since:
            lost = f"{what}, and not made again in {RECONNECT_GRACE:g} s"
            self.close(MediaConnectionLost(lost))

    def _take(self, batch: PacketBatch, source: Address) -> None:
        now = self._loop.time()
        if self.contact_at is None:
            self.contact_at = now
        epoch = self._admission.epoch
        admitted = self._admission.admit(batch, source, now)
        if admitted is None:
            return
        if self._admission.epoch != epoch:
            self._begin()
        self._last_packet_at = now
        self._packets += len(admitted)
        assert self._reception is not None
        self._reception.push_batch(admitted)
        if self._first_packet_at is None:
            self._first_packet_at = now
            self._arm_watch()
            self._arrived.set_result(None)
        if admitted.is_borrowed and not self.units.is_used:
            admitted.is_spare = self.batches.has_one_tap
        self.batches.publish(admitted)
        if self.units.is_used:
            self._make_units(admitted, now)
        elif self._depacketizer is not None:
            self._stop_units()
            self.units.forget_group()

    def _begin(self) -> None:
        """Begin anew with another source: nothing of the old order holds."""
        if self._reception is not None:
            self._counters["bytes"] += self._reception.bytes
            self._counters["lost"] += self._reception.lost
            self._counters["duplicates"] += self._reception.duplicates
            self._counters["late"] += self._reception.late
            self._counters["gaps"] += self._reception.gaps
        self._reception = Reception()
        self._stop_units()
        self.units.forget_group()
        self.batches.forget_group()

    # ---- access units ----

    def _make_units(self, batch: PacketBatch, now: float) -> None:
        if self._depacketizer is None:
            self._start_units([batch])
            return
        self._publish(self._depacketizer.push(batch, now))
        self._arm_reorder()

    def _replay(self) -> None:
        """A first reader that comes late sees a picture at once, not with the next packet."""
        group = current_group(self.batches)
        if self.is_closed or self._depacketizer is not None or not group:
            return
        try:
            self._start_units(group)
        except Exception as error:
            logger.exception("receiver %s:%d failed and was closed", *self.local)
            self.close(error)

    def _start_units(self, batches: list[PacketBatch]) -> None:
        self._depacketizer = Depacketizer(ordered=self.mode != "udp", may_jump=self.may_jump)
        now = self._loop.time()
        for batch in batches:
            self._publish(self._depacketizer.push(batch, now))
        self._arm_reorder()

    def _publish(self, units: list[AccessUnit]) -> None:
        for unit in units:
            self._picture.note(unit)
            if unit.is_key and unit.kind is MediaKind.VIDEO and not self._key_seen.done():
                self._first_key_at = self._loop.time()
                self._key_seen.set_result(None)
            self.units.publish(unit)

    def _arm_reorder(self) -> None:
        if self._depacketizer is None or self._reorder_timer is not None:
            return
        when = self._depacketizer.next_timeout()
        if when is not None:
            self._reorder_timer = self._loop.call_at(when, self._poll)

    def _poll(self) -> None:
        self._reorder_timer = None
        if self._depacketizer is None:
            return
        try:
            self._publish(self._depacketizer.poll(self._loop.time()))
        except Exception as error:
            logger.exception("receiver %s:%d failed and was closed", *self.local)
            self.close(error)
            return
        self._arm_reorder()

    def _stop_units(self) -> None:
        old, self._depacketizer = self._depacketizer, None
        if old is None:
            return
        if self._reorder_timer is not None:
            self._reorder_timer.cancel()
            self._reorder_timer = None
        self._publish(old.flush())
        self._repairs.update(old.repairs)
        self._payload = old.payload
        self._counters["garbage"] += old.malformed

    # ---- watching ----

    def _arm_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if not self._watch_paused and not self._inputs.is_paused and not self.is_closed:
            self._last_packet_at = max(self._last_packet_at, self._loop.time())
            self._watch = self._loop.call_later(self._silence, self._look)

    def _look(self) -> None:
        due = self._last_packet_at + self._silence
        if self._loop.time() < due:
            self._watch = self._loop.call_at(due, self._look)
            return
        self._watch = None
        self.close(MediaTimeout(f"no RTP for {self._silence:g} s: {self._seen()}"))

    def _set_paused(self, paused: bool) -> None:
        self._inputs.set_paused(paused)
        self._arm_watch()

    def _report(self) -> None:
        self._report_timer = self._loop.call_later(REPORT_INTERVAL, self._report)
        source, ssrc = self._admission.source, self._admission.ssrc
        if self._reception is None or source is None or ssrc is None:
            return
        block = self._reception.report(ssrc, self._loop.time())
        # Any SSRC but the sender's own serves: nobody else is in this session.
        report = receiver_report(ssrc ^ 0xFFFF_FFFF, (block,), f"gb28181@{self.local[0]}")
        self._inputs.send_rtcp(report, source)

    async def _first(self, event: asyncio.Future[None], timeout: float, what: str) -> None:
        waiting = {event} if self.closed.cancelled() else {event, self.closed}
        await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if event.done():
            return
        if self.is_closed:
            cause = None if self.closed.cancelled() else self.closed.exception()
            raise MediaTimeout(f"no {what}: {cause or 'the receiver was closed'}") from cause
        raise MediaTimeout(f"no {what} within {timeout:g} s: {self._seen()}")

    def _seen(self) -> str:
        """Say in words what has come so far."""
        seen = self.statistics
        host, port = self.local
        parts = []
        if seen.packets and seen.source is not None:
            parts.append(f"{seen.packets} packets from {seen.source[0]}:{seen.source[1]}")
        if seen.payload and not seen.frames:
            parts.append(seen.payload)
        if seen.frames:
            parts.append(f"{seen.frames} pictures")
        refused = seen.foreign_ssrc + seen.foreign_source
        if refused:
            parts.append(f"{refused} packets not let in, the last {seen.last_foreign}")
        if seen.garbage:
            parts.append(f"{seen.garbage} packets that are not RTP")
        if not parts:
            parts.append("nothing arrived" if self._inputs.is_connected else "nobody connected")
        return f"{', '.join(parts)} at {host}:{port} ({self.mode})"


def _look_at(future: asyncio.Future[None]) -> None:
    # A cause that nobody asks for is no fault of its own.
    if not future.cancelled():
        future.exception()
