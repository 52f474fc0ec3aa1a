"""Media ends that live in a worker, as this process sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from rtp.access_unit import AccessUnit
from rtp.batch import PacketBatch
from rtp.transport import Address

from ..errors import Gb28181Error, MediaTimeout
from ..sdp import MediaTransport
from .messages import Fields, unpack_error, unpack_heads, unpack_statistics, unpack_unit
from .receiver import ReceiverStatistics
from .relay import RelayStatistics, SinkStatistics
from .stream import Overflow, Reader, Stream, batch_stream, unit_stream


class Line(Protocol):
    """What a remote end needs of the connection to its worker."""

    def tell(self, do: str, **facts: object) -> None:
        """Say something; lost when the worker is gone, which its ends hear of."""

    async def ask(self, do: str, **facts: object) -> Fields:
        """Ask for something and wait for the answer.

        Raises:
            MediaWorkerLost: The worker is gone.
        """

    def number(self) -> int:
        """A number for an end or a question."""


class RemoteUnits:
    """The access units of a worker's receiver: they cross only while somebody takes them."""

    def __init__(
        self, *, on_use: Callable[[bool], None], pause: Callable[[bool], None] | None
    ) -> None:
        self.may_wait = False
        """Whether a reader may pause the stream: that of a recording, over TCP."""
        self.stream: Stream[AccessUnit] = unit_stream(pause=pause)
        self.stream.on_first_reader = self.stream.on_last_reader = self._look
        self._on_use = on_use
        self._is_used = False

    def reader(
        self, *, size: int = 250, overflow: Overflow = Overflow.SKIP_TO_KEY
    ) -> Reader[AccessUnit]:
        """Open a reader, as ``Stream.reader``.

        Raises:
            ValueError: ``PAUSE`` for a stream that is not a recording over TCP.
        """
        if overflow is Overflow.PAUSE and not self.may_wait:
            raise ValueError(
                "in a worker, only a recording that is received over TCP can be paused"
            )
        return self.stream.reader(size=size, overflow=overflow)

    def attach(
        self,
        callback: Callable[[AccessUnit], None],
        *,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> Callable[[], None]:
        """Attach a tap, as ``Stream.attach``."""
        detach = self.stream.attach(callback, on_end=on_end)
        self._look()

        def leave() -> None:
            detach()
            self._look()

        return leave

    def group(self) -> list[AccessUnit]:
        """Return the current group, as far as it has crossed."""
        return self.stream.group()

    def _look(self) -> None:
        is_used = self.stream.is_used and not self.stream.is_closed
        if is_used is not self._is_used:
            self._is_used = is_used
            if not is_used:
                self.stream.forget_group()  # what comes the next time does not continue it
            self._on_use(is_used)


class RemoteBatches:
    """Glimpses of a worker's packets: now and then the fixed header of one that was let in.

    Packets themselves do not leave their worker.
    """

    def __init__(self, *, on_use: Callable[[bool], None]) -> None:
        self.stream: Stream[PacketBatch] = batch_stream(keep_group=False)
        self._on_use = on_use

    def attach(
        self,
        callback: Callable[[PacketBatch], None],
        *,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> Callable[[], None]:
        """Call ``callback`` at the first packet, and from then on every 0.2 s while some come."""
        detach = self.stream.attach(callback, on_end=on_end)
        self._on_use(True)

        def leave() -> None:
            detach()
            if not self.stream.is_used:
                self._on_use(False)

        return leave

    def group(self) -> list[PacketBatch]:
        """Return nothing: the group is in the worker."""
        return []


class RemoteReceiver:
    """A receiver of a worker, with the surface of ``Receiver`` that sessions use.

    ``statistics`` are at most a second old, those of a recording 0.2 s.
    """

    def __init__(
        self,
        line: Line,
        number: int,
        *,
        mode: str,
        opened: Fields,
        is_shared: bool = False,
        on_closed: Callable[[RemoteReceiver], None],
        on_over: Callable[[int], None],
    ) -> None:
        self.number = number
        self.line = line
        self.mode = mode
        self.local: Address = (opened["local"][0], opened["local"][1])
        self.is_shared = is_shared
        self.transport = MediaTransport.UDP if mode == "udp" else MediaTransport.TCP
        self.contact_at: float | None = None
        self.is_closed = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the receiver has ended; the exception is the cause."""
        self.closed.add_done_callback(_look_at)
        self.units = RemoteUnits(
            on_use=self._use_units, pause=None if mode == "udp" else self._hold
        )
        self.batches = RemoteBatches(on_use=self._watch)
        self._on_closed = on_closed
        self._on_over = on_over
        self._may_jump = False
        self._turn = 0
        self._statistics = unpack_statistics(opened["seen"])

    @property
    def statistics(self) -> ReceiverStatistics:
        """The counters, as the worker told them last."""
        return self._statistics

    @property
    def may_jump(self) -> bool:
        """Whether time stamps may jump back: in a recording, whose viewer does."""
        return self._may_jump

    @may_jump.setter
    def may_jump(self, value: bool) -> None:
        if value is not self._may_jump:
            self._may_jump = value
            self.units.may_wait = value and self.mode != "udp"
            self.line.tell("may_jump", id=self.number, value=value)

    def expect(self, *, ssrc: int | None, host: str | None, adopt: bool = True) -> None:
        """Say what the answer promised, as ``Receiver.expect``; a refusal ends the receiver."""
        self.line.tell("expect", id=self.number, ssrc=ssrc, host=host, adopt=adopt)

    async def connect(self, remote: Address) -> None:
        """Connect to the sender, as ``Receiver.connect``.

        Raises:
            MediaTimeout: No attempt succeeded, or the worker is gone.
        """
        await self.line.ask("connect", id=self.number, remote=remote)

    async def first_packet(self, timeout: float) -> None:
        """Wait for the first packet that is let in.

        Raises:
            MediaTimeout: None came; or the receiver was closed, or its worker is gone.
        """
        await self.line.ask("first_packet", id=self.number, timeout=timeout)

    async def first_key(self, timeout: float) -> None:
        """Wait for the first key frame.

        Raises:
            MediaTimeout: None came; or the receiver was closed, or its worker is gone.
        """
        await self.line.ask("first_key", id=self.number, timeout=timeout)

    async def heads(self) -> list[PacketBatch]:
        """Return the fixed headers of the current group's packets; none when the stream ends."""
        try:
            answer = await self.line.ask("heads", id=self.number)
        except (Gb28181Error, OSError):
            return []
        return unpack_heads(answer["heads"])

    async def capture(self, path: Path, *, seconds: float, most: int) -> Fields:
        """Have the worker write a file of what comes, as ``capture`` does; return its counts.

        Raises:
            MediaWorkerLost: The worker is gone.
            OSError: The file cannot be written.
        """
        number = self.line.number()
        where = await asyncio.to_thread(path.absolute)
        facts = {"path": str(where), "seconds": seconds, "most": most}
        try:
            answer = await self.line.ask("capture", id=self.number, capture=number, **facts)
        except asyncio.CancelledError:
            self.line.tell("stop_capture", id=self.number, capture=number)
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None
        return {name: answer[name] for name in ("packets", "size", "left_out")}

    def pause_watch(self, paused: bool) -> None:
        """Suspend the watch for silence, for a playback that the viewer has paused."""
        self.line.tell("pause_watch", id=self.number, paused=paused)

    def close(self, cause: BaseException | None = None) -> None:
        """End it; the last units still come before readers end. Idempotent."""
        if not self.is_closed:
            self.line.tell("close", id=self.number)
            self._settle(cause)

    def take(self, do: str, said: Fields, body: bytes) -> None:
        """Take what the worker says of this receiver."""
        if do == "unit":
            if said["turn"] == self._turn:
                self.units.stream.publish(unpack_unit(said["unit"], body))
            return
        if "seen" in said:
            self._statistics = unpack_statistics(said["seen"])
            self.contact_at = said["contact"]
        if do == "glimpse":
            head = PacketBatch(bytearray(body), [(0, len(body))], said["received"])
            self.batches.stream.publish(head)
        elif do == "ended":
            self.over(unpack_error(said["error"]))

    def over(self, cause: BaseException | None) -> None:
        """It has ended in the worker, or with it."""
        self._settle(cause)
        self._on_over(self.number)
        self.units.stream.close(cause)

    def _settle(self, cause: BaseException | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        settle(self.closed, cause)
        self.batches.stream.close(cause)
        self._on_closed(self)

    def _use_units(self, on: bool) -> None:
        self._turn += on
        self.line.tell("units", id=self.number, on=on, turn=self._turn)

    def _hold(self, on: bool) -> None:
        self.line.tell("hold", id=self.number, on=on)

    def _watch(self, on: bool) -> None:
        self.line.tell("watch", id=self.number, on=on)


class RemoteSink:
    """The outgoing end of a relay in a worker."""

    def __init__(
        self,
        line: Line,
        number: int,
        *,
        mode: str,
        remote: Address | None,
        opened: Fields,
        on_closed: Callable[[RemoteSink], None],
        on_over: Callable[[int], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.line = line
        self.mode = mode
        self.local: Address = (opened["local"][0], opened["local"][1])
        self.remote = remote
        self.ready: asyncio.Future[None] = loop.create_future()
        """Done when packets can leave."""
        self.ready.add_done_callback(_look_at)
        self.closed: asyncio.Future[None] = loop.create_future()
        """Done when the sink has ended; the exception is the cause."""
        self.closed.add_done_callback(_look_at)
        self.is_closed = False
        self._on_closed = on_closed
        self._on_over = on_over
        self._statistics = SinkStatistics(packets=0, bytes=0, dropped=0)

    @property
    def statistics(self) -> SinkStatistics:
        """The counters, as the worker told them last."""
        return self._statistics

    def start(self, remote: Address | None = None) -> asyncio.Future[None]:
        """Say where the packets go, as ``MediaSink.start``."""
        self.remote = remote or self.remote
        self.line.tell("start", id=self.number, remote=remote)
        waitable = asyncio.shield(self.ready)
        waitable.add_done_callback(_look_at)
        return waitable

    def close(self, cause: BaseException | None = None) -> None:
        """Close it and give the port back. Idempotent."""
        if not self.is_closed:
            self.line.tell("close", id=self.number)
            self._settle(cause)

    def take(self, do: str, said: Fields, body: bytes) -> None:
        """Take what the worker says of this sink."""
        if do == "ready":
            remote = said["remote"]
            self.remote = self.remote if remote is None else (remote[0], remote[1])
            settle(self.ready, None)
            return
        if "seen" in said:
            self._statistics = SinkStatistics(**said["seen"])
        if do == "ended":
            self.over(unpack_error(said["error"]))

    def over(self, cause: BaseException | None) -> None:
        """It has ended in the worker, or with it."""
        self._settle(cause)
        self._on_over(self.number)

    def _settle(self, cause: BaseException | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        settle(self.closed, cause)
        settle(self.ready, cause or MediaTimeout("the media sink was closed before it was ready"))
        self._on_closed(self)


class RemoteRelay:
    """What forwards a receiver's packets within a worker."""

    def __init__(self, line: Line, number: int, *, on_over: Callable[[int], None]) -> None:
        self.number = number
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the relay has ended; the exception is the cause."""
        self.closed.add_done_callback(_look_at)
        self.is_closed = False
        self._line = line
        self._on_over = on_over
        self._offsets = (0, 0)
        self._statistics = RelayStatistics(
            packets=0, bytes=0, dropped=0, restarts=0, started_without_group=False
        )

    @property
    def statistics(self) -> RelayStatistics:
        """The counters, as the worker told them last."""
        return self._statistics

    def outgoing(self, sequence_number: int, timestamp: int) -> tuple[int, int]:
        """Return what the numbers of a packet become here, as the worker told last."""
        sequence, ticks = self._offsets
        return sequence_number + sequence & 0xFFFF, timestamp + ticks & 0xFFFF_FFFF

    def close(self, cause: BaseException | None = None) -> None:
        """Stop forwarding. The sink stays as it is. Idempotent."""
        if not self.is_closed:
            self._line.tell("close", id=self.number)
            self._settle(cause)

    def take(self, do: str, said: Fields, body: bytes) -> None:
        """Take what the worker says of this relay."""
        if "seen" in said:
            self._statistics = RelayStatistics(**said["seen"])
            self._offsets = (said["offsets"][0], said["offsets"][1])
        if do == "ended":
            self.over(unpack_error(said["error"]))

    def over(self, cause: BaseException | None) -> None:
        """It has ended in the worker, or with it."""
        self._settle(cause)
        self._on_over(self.number)

    def _settle(self, cause: BaseException | None) -> None:
        if not self.is_closed:
            self.is_closed = True
            settle(self.closed, cause)


RemoteEnd = RemoteReceiver | RemoteSink | RemoteRelay


def settle(future: asyncio.Future[Any], cause: BaseException | None) -> None:
    """Finish a future, unless somebody has."""
    if future.done():
        return
    if cause is None:
        future.set_result(None)
    else:
        future.set_exception(cause)


def _look_at(future: asyncio.Future[None]) -> None:
    # A cause that nobody asks for is no fault of its own.
    if not future.cancelled():
        future.exception()
