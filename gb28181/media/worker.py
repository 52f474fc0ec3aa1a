"""A media worker: the process that media ends live in, told what to do by the first process."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtp.access_unit import AccessUnit
from rtp.batch import PacketBatch
from rtp.packet import HEADER_SIZE
from rtp.transport import SocketNetwork

from ..errors import Gb28181Error, MediaTimeout
from ..supervisor import Supervisor
from .capture import capture as write_capture
from .messages import Fields, Pipe, pack_error, pack_heads, pack_statistics, pack_unit
from .plane import LocalMediaPlane
from .receiver import Receiver
from .relay import MediaSink, Relay
from .stream import Overflow, Reader

STATISTICS_EVERY = 1.0
"""Seconds between two looks at a live stream; also of the sign of life."""
SOONER = 0.2
"""The same for a recording, whose end shows in them, and between two glimpses of packets."""
_QUEUE = 250
_PR_SET_PDEATHSIG = 1

logger = logging.getLogger("gb28181.media")


class FarReceiver:
    """A receiver, and what the first process is told of it."""

    def __init__(self, number: int, receiver: Receiver, pipe: Pipe, tasks: Supervisor) -> None:
        self.number = number
        self.receiver = receiver
        self._pipe = pipe
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._reader: Reader[AccessUnit] | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._unwatch: Callable[[], None] | None = None
        self._glimpse_at = 0.0
        self._timer = self._loop.call_later(STATISTICS_EVERY, self._look)
        receiver.closed.add_done_callback(self._closed)

    def facts(self) -> Fields:
        """What is known of it now."""
        return {
            "id": self.number,
            "seen": pack_statistics(self.receiver.statistics),
            "contact": self.receiver.contact_at,
        }

    def watch(self, on: bool) -> None:
        """Show packets now and then, or no more."""
        if on and self._unwatch is None:
            self._unwatch = self.receiver.batches.attach(self._glimpse)
        elif not on and self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def units(self, on: bool, turn: int) -> None:
        """Send access units, or no more. ``turn`` tells one time from the next."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if on and not self.receiver.is_closed:
            # What reads a recording over TCP may let it wait; nobody else may.
            waits = self.receiver.may_jump and self.receiver.mode != "udp"
            self._reader = self.receiver.units.reader(
                size=_QUEUE, overflow=Overflow.PAUSE if waits else Overflow.SKIP_TO_KEY
            )
            pump = self._tasks.spawn(
                self._pump(self._reader, turn),
                name=f"units {self.number}",
                on_fault=self.receiver.close,
            )
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    def hold(self, on: bool) -> None:
        """Send no units until there is room again."""
        if on and not self.receiver.is_closed:
            self._goes_on.clear()
        else:
            self._goes_on.set()

    async def _pump(self, reader: Reader[AccessUnit], turn: int) -> None:
        # Whatever ends the stream is told by its own message.
        with contextlib.suppress(Gb28181Error, OSError):
            async for unit in reader:
                await self._goes_on.wait()
                self._pipe.send("unit", unit.data, id=self.number, turn=turn, unit=pack_unit(unit))
                await self._pipe.drain()

    def _look(self) -> None:
        every = SOONER if self.receiver.may_jump else STATISTICS_EVERY
        self._timer = self._loop.call_later(every, self._look)
        if not self._pipe.is_congested:
            self._pipe.send("statistics", **self.facts())

    def _glimpse(self, batch: PacketBatch) -> None:
        now = self._loop.time()
        if now < self._glimpse_at or self._pipe.is_congested:
            return
        self._glimpse_at = now + SOONER
        start = batch.bounds[0][0]
        head = bytes(batch.data[start : start + HEADER_SIZE])
        self._pipe.send("glimpse", head, received=batch.received, **self.facts())

    def _closed(self, closed: asyncio.Future[None]) -> None:
        self._timer.cancel()
        self._goes_on.set()
        if self._tasks.is_running:
            self._tasks.spawn(self._end(closed), name=f"end {self.number}")

    async def _end(self, closed: asyncio.Future[None]) -> None:
        if self._pumps:  # the last units go first
            await asyncio.wait(self._pumps)
        cause = None if closed.cancelled() else closed.exception()
        self._pipe.send("ended", error=pack_error(cause), **self.facts())


class FarSink:
    """A sink, and what the first process is told of it."""

    def __init__(self, number: int, sink: MediaSink, pipe: Pipe) -> None:
        self.number = number
        self.sink = sink
        self._pipe = pipe
        sink.ready.add_done_callback(self._ready)
        sink.closed.add_done_callback(self._closed)

    def _ready(self, ready: asyncio.Future[None]) -> None:
        if ready.exception() is None:
            self._pipe.send("ready", id=self.number, remote=self.sink.remote)

    def _closed(self, closed: asyncio.Future[None]) -> None:
        seen, error = asdict(self.sink.statistics), pack_error(closed.exception())
        self._pipe.send("ended", id=self.number, error=error, seen=seen)


class FarRelay:
    """A relay with its sink's counters, and what the first process is told of them."""

    def __init__(self, number: int, relay: Relay, sink: FarSink, pipe: Pipe) -> None:
        self.number = number
        self.relay = relay
        self._sink = sink
        self._pipe = pipe
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(SOONER, self._look)
        relay.closed.add_done_callback(self._closed)

    def _facts(self) -> Fields:
        seen = asdict(self.relay.statistics)
        return {"id": self.number, "seen": seen, "offsets": self.relay.outgoing(0, 0)}

    def _look(self) -> None:
        self._timer = self._loop.call_later(STATISTICS_EVERY, self._look)
        if not self._pipe.is_congested:
            self._pipe.send("statistics", **self._facts())
            seen = asdict(self._sink.sink.statistics)
            self._pipe.send("statistics", id=self._sink.number, seen=seen)

    def _closed(self, closed: asyncio.Future[None]) -> None:
        self._timer.cancel()
        self._pipe.send("ended", error=pack_error(closed.exception()), **self._facts())


class Worker:
    """Does what the first process says, until that hangs up."""

    def __init__(self, pipe: Pipe, tasks: Supervisor) -> None:
        self._pipe = pipe
        self._tasks = tasks
        self._network: SocketNetwork | None = None
        self._plane: LocalMediaPlane | None = None
        self._receivers: dict[int, FarReceiver] = {}
        self._sinks: dict[int, FarSink] = {}
        self._relays: dict[int, FarRelay] = {}
        self._captures: dict[int, asyncio.Task[Any]] = {}
        self._asked: dict[str, Callable[..., Awaitable[Fields]]] = {
            "setup": self._setup,
            "receiver": self._open_receiver,
            "sink": self._open_sink,
            "connect": self._connect,
            "first_packet": self._first_packet,
            "first_key": self._first_key,
            "heads": self._heads,
            "capture": self._capture,
        }
        self._told: dict[str, Callable[..., None]] = {
            "expect": self._expect,
            "pause_watch": lambda id, paused: self._receivers[id].receiver.pause_watch(paused),
            "may_jump": self._may_jump,
            "watch": lambda id, on: self._receivers[id].watch(on),
            "units": lambda id, on, turn: self._receivers[id].units(on, turn),
            "hold": lambda id, on: self._receivers[id].hold(on),
            "stop_capture": self._stop_capture,
            "start": self._start,
            "relay": self._relay,
            "close": self._close,
        }

    async def run(self) -> None:
        """Read and obey until the other side has gone."""
        try:
            while (message := await self._pipe.receive()) is not None:
                said, _ = message
                do, ask = said.pop("do"), said.pop("ask", None)
                if ask is not None:
                    work = self._answer(ask, self._asked[do](**said))
                    self._tasks.spawn(work, name=f"{do} {ask}")
                    continue
                # An end may have closed by itself while the message was on its way.
                if do in ("relay", "close") or self._has(said["id"]):
                    self._obey(do, said)
        finally:
            if self._plane is not None:
                await self._plane.close()
            if self._network is not None:
                self._network.close()

    def _obey(self, do: str, said: Fields) -> None:
        # A named boundary (a stream): what fails here ends this end, not the worker.
        try:
            self._told[do](**said)
        except Exception:
            logger.exception("%s of the media end %d failed, which is closed", do, said["id"])
            self._close(id=said["id"])

    async def _answer(self, ask: int, work: Awaitable[Fields]) -> None:
        try:
            facts = await work
        except asyncio.CancelledError:
            self._pipe.send("answer", ask=ask, error=pack_error(Gb28181Error("given up")))
            raise
        except (Gb28181Error, OSError, ValueError) as error:
            self._pipe.send("answer", ask=ask, error=pack_error(error))
        except Exception as error:  # the same boundary
            logger.exception("a request failed")
            self._pipe.send("answer", ask=ask, error=pack_error(error))
        else:
            self._pipe.send("answer", ask=ask, **facts)

    def _has(self, number: int) -> bool:
        return number in self._receivers or number in self._sinks or number in self._relays

    async def _setup(self, *, ports: list[int], tick: float, level: int, **facts: Any) -> Fields:
        logging.getLogger().setLevel(level)
        self._network = SocketNetwork(tick=tick)
        self._plane = LocalMediaPlane(self._network, ports=range(*ports), tick=tick, **facts)
        self._live()
        return {}

    def _live(self) -> None:
        """Give a sign of life, and say which ports rest."""
        assert self._plane is not None
        asyncio.get_running_loop().call_later(STATISTICS_EVERY, self._live)
        if not self._pipe.is_congested:
            self._pipe.send("alive", counts=self._plane.counts())

    async def _open_receiver(self, *, id: int, **facts: Any) -> Fields:
        assert self._plane is not None, "set up first"
        far = FarReceiver(id, await self._plane.open_receiver(**facts), self._pipe, self._tasks)
        self._receivers[id] = far
        far.receiver.closed.add_done_callback(lambda _: self._receivers.pop(id, None))
        return {"local": far.receiver.local, **far.facts()}

    async def _open_sink(self, *, id: int, remote: list[Any] | None, **facts: Any) -> Fields:
        assert self._plane is not None, "set up first"
        target = None if remote is None else (str(remote[0]), int(remote[1]))
        sink = await self._plane.open_sink(remote=target, **facts)
        self._sinks[id] = FarSink(id, sink, self._pipe)
        sink.closed.add_done_callback(lambda _: self._sinks.pop(id, None))
        return {"local": sink.local}

    async def _connect(self, *, id: int, remote: list[Any]) -> Fields:
        await self._open(id).connect((remote[0], remote[1]))
        return {}

    async def _first_packet(self, *, id: int, timeout: float) -> Fields:
        await self._open(id).first_packet(timeout)
        return {}

    async def _first_key(self, *, id: int, timeout: float) -> Fields:
        await self._open(id).first_key(timeout)
        return {}

    async def _heads(self, *, id: int) -> Fields:
        return {"heads": pack_heads(self._open(id).batches.group())}

    async def _capture(
        self, *, id: int, capture: int, path: str, seconds: float, most: int
    ) -> Fields:
        task = asyncio.current_task()
        assert task is not None
        self._captures[capture] = task
        try:
            written = await write_capture(self._open(id), Path(path), seconds=seconds, most=most)
        finally:
            del self._captures[capture]
        return {"packets": written.packets, "size": written.size, "left_out": written.left_out}

    def _stop_capture(self, *, id: int, capture: int) -> None:
        if capture in self._captures:  # it may be over already
            self._captures[capture].cancel()

    def _open(self, number: int) -> Receiver:
        if number not in self._receivers:
            raise MediaTimeout("the receiver was closed")
        return self._receivers[number].receiver

    def _expect(self, *, id: int, **facts: Any) -> None:
        receiver = self._receivers[id].receiver
        try:
            receiver.expect(**facts)
        except MediaTimeout as error:  # a shared port, and the SSRC is another's
            receiver.close(error)

    def _may_jump(self, *, id: int, value: bool) -> None:
        self._receivers[id].receiver.may_jump = value

    def _start(self, *, id: int, remote: list[Any] | None) -> None:
        self._sinks[id].sink.start(None if remote is None else (remote[0], remote[1]))

    def _relay(self, *, id: int, receiver: int, sink: int, **facts: Any) -> None:
        source, target = self._receivers.get(receiver), self._sinks.get(sink)
        if source is None or target is None:
            gone = MediaTimeout("the stream, or where it goes, has ended already")
            self._pipe.send("ended", id=id, error=pack_error(gone))
            return
        relay = Relay(source.receiver.batches, target.sink, **facts)
        self._relays[id] = FarRelay(id, relay, target, self._pipe)
        relay.closed.add_done_callback(lambda _: self._relays.pop(id, None))

    def _close(self, *, id: int) -> None:
        if id in self._receivers:
            self._receivers[id].receiver.close()
        elif id in self._sinks:
            self._sinks[id].sink.close()
        elif id in self._relays:
            self._relays[id].relay.close()
        else:  # it ended while this was on its way; that may have been said to nobody
            self._pipe.send("ended", id=id, error=None)


class PipeHandler(logging.Handler):
    """Gives log lines to the first process, whose settings say what becomes of them."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line, with its traceback."""
        if not self._pipe.is_congested:
            text = self.format(record)[:65536]
            self._pipe.send("log", name=record.name, level=record.levelno, text=text)


async def serve(end: socket.socket) -> None:
    """Be a worker at one end of a connection."""
    pipe = Pipe(*await asyncio.open_unix_connection(sock=end))
    logging.basicConfig(handlers=[PipeHandler(pipe)])
    tasks = Supervisor("media worker")
    await tasks.start()
    try:
        await Worker(pipe, tasks).run()
    finally:
        await tasks.stop()
        pipe.close()
        await pipe.wait_closed()


def main() -> None:
    """Run as ``python -m gb28181.media.worker FD``, where FD is a connected Unix socket.

    Signals that a terminal or a service manager sends to the whole group are for the first
    process: it ends this one by hanging up, after its sessions.
    """
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    _die_with_parent()
    # A stream that is relayed has four sockets or more; 1,024 files are usual without this.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(socket.socket(fileno=int(sys.argv[1]))))


def _die_with_parent() -> None:
    """Have the kernel end this process with the first one, for when it cannot hear that hang up."""
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
