"""WorkerPlane: media ends in processes of their own, so that media has more than one core."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from rtp.transport import Address, SocketNetwork

from ..errors import ConfigError, Gb28181Error, MediaWorkerLost, PortsExhausted
from ..supervisor import Supervisor
from .messages import Fields, Pipe, unpack_error
from .plane import LocalMediaPlane
from .relay import MediaSink
from .remote import RemoteEnd, RemoteReceiver, RemoteRelay, RemoteSink

if TYPE_CHECKING:
    from types import TracebackType

    from .ends import MediaReceiver, RelaySink

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before a worker that died is started again: doubling."""
STOOD = 60.0
"""Seconds after which a worker that dies has stood: the delays begin anew."""
START_PATIENCE = 30.0
"""Seconds that a process may take until it answers."""
WAIT_FOR_WORKER = 3.0
"""Seconds that a new stream waits while no worker runs."""
LOOK_EVERY, MOST_SILENT = 5.0, 3
"""A worker that says nothing at so many looks hangs, and is killed."""
STOP_PATIENCE = 5.0
"""Seconds that a worker may take to end."""

_End = TypeVar("_End", RemoteReceiver, RemoteSink)

logger = logging.getLogger("gb28181.media")


class WorkerLine:
    """The connection to one worker, from its start to its death."""

    def __init__(self, name: str, pipe: Pipe) -> None:
        self.name = name
        self.messages = 0
        """How many have come."""
        self.receivers = 0
        self.resting = 0
        """Ports in quarantine, as told last."""
        self.is_ready = self.is_lost = False
        self._ends: dict[int, RemoteEnd] = {}
        self._asks: dict[int, asyncio.Future[Fields]] = {}
        self._numbers = count(1)
        self._pipe = pipe

    def number(self) -> int:
        """A number for an end or a question."""
        return next(self._numbers)

    def tell(self, do: str, **facts: object) -> None:
        """Say something; lost when the worker is gone, which its ends hear of."""
        self._pipe.send(do, **facts)

    async def ask(self, do: str, **facts: object) -> Fields:
        """Ask for something and wait for the answer.

        Raises:
            MediaWorkerLost: The worker is gone.
            Gb28181Error, OSError, ValueError: What it failed with there.
        """
        answer = self.question(do, **facts)
        return await answer

    def question(self, do: str, **facts: object) -> asyncio.Future[Fields]:
        """Ask for something; the future is the answer."""
        answer: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()
        if self.is_lost:
            answer.set_exception(MediaWorkerLost(f"{self.name} is gone"))
            return answer
        number = self.number()
        self._asks[number] = answer
        self._pipe.send(do, ask=number, **facts)
        return answer

    def add(self, end: RemoteEnd) -> None:
        """Let an end hear what the worker says of it."""
        if self.is_lost:
            end.over(MediaWorkerLost(f"{self.name} is gone"))
        else:
            self._ends[end.number] = end

    def forget(self, number: int) -> None:
        """An end is over."""
        self._ends.pop(number, None)

    async def run(self) -> None:
        """Take what the worker says until it is gone."""
        while (message := await self._pipe.receive()) is not None:
            self.messages += 1
            said, body = message
            self._take(said.pop("do"), said, body)

    def lose(self, error: Exception) -> None:
        """Tell everything that lived in the worker that it does not any more."""
        self.is_lost = True
        asks, self._asks = self._asks, {}
        for answer in asks.values():
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # whoever asked may be gone
        for end in tuple(self._ends.values()):
            end.over(error)

    def close(self) -> None:
        """Hang up, which the worker takes as its end."""
        self._pipe.close()

    async def wait_closed(self) -> None:
        """Wait until nothing of the connection is left."""
        await self._pipe.wait_closed()

    def _take(self, do: str, said: Fields, body: bytes) -> None:
        if do == "answer":
            answer = self._asks.pop(said["ask"], None)
            error = unpack_error(said.get("error"))
            if answer is not None and not answer.done():
                if error is None:
                    answer.set_result(said)
                else:
                    answer.set_exception(error)
                    answer.exception()
        elif do == "log":
            text = f"{self.name}: {said['text']}"
            logging.getLogger(said["name"]).log(said["level"], "%s", text)
        elif do == "alive":
            self.resting = said["counts"]["quarantined_ports"]
        elif said["id"] in self._ends:
            self._ends[said["id"]].take(do, said, body)


class WorkerPlane:
    """A media plane of several processes; ``async with`` starts and ends them.

    A stream lives in one worker with all that touches its packets: its receiver, its relays and
    their sinks. Here, only access units are seen, while somebody reads them. What is sent from
    here, the voice of a talk or a simulated camera, has its sinks here.

    A worker that dies takes its streams with it: their ``closed`` say so, and it is started again.

    Args:
        workers: How many processes.
        ports: The range; an eighth stays here, each worker has an equal part of the rest.
        quarantine: Seconds that a port rests after use.
        tick: The gather tick of the workers' sockets, in seconds.
        silence: Seconds without RTP after which a receiver ends.
        keep_group: Whether receivers keep the current group for relays that come late.

    Raises:
        ConfigError: The range is too small, or no worker is wanted.
    """

    def __init__(
        self,
        workers: int,
        *,
        ports: range,
        quarantine: float = 5.0,
        tick: float = 0.005,
        silence: float = 30.0,
        keep_group: bool = True,
    ) -> None:
        self._here, *self._shares = shares(ports, workers)
        self._facts: dict[str, Any] = {
            "quarantine": quarantine, "tick": tick, "silence": silence, "keep_group": keep_group,
        }  # fmt: skip
        self._supervisor = Supervisor("media workers")
        self._lines: dict[int, WorkerLine] = {}
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._network: SocketNetwork | None = None
        self._local: LocalMediaPlane | None = None
        self._receivers: set[RemoteReceiver] = set()
        self._sinks: set[RemoteSink] = set()

    async def start(self) -> None:
        """Start the processes and wait until they answer.

        Raises:
            MediaWorkerLost: One of them did not.
        """
        self._closing.clear()
        self._network = SocketNetwork(tick=self._facts["tick"])
        self._local = LocalMediaPlane(self._network, ports=self._here, **self._facts)
        await self._supervisor.start()
        self._keepers = [
            self._supervisor.spawn(self._keep(index), name=f"media worker {index}")
            for index in range(len(self._shares))
        ]
        try:
            async with asyncio.timeout(START_PATIENCE):
                while len(self._ready()) < len(self._shares):
                    await self._changed()
        except TimeoutError:
            await self.close()
            raise MediaWorkerLost(
                f"not every media worker answered within {START_PATIENCE:g} s; the log says why"
            ) from None
        except BaseException:
            await self.close()
            raise

    async def __aenter__(self) -> WorkerPlane:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def open_receiver(self, mode: str, *, host: str, shared: bool = False) -> RemoteReceiver:
        """Open the end that an offer names, in the worker with the fewest streams.

        A shared port is that of one worker: streams are spread over as many ports as workers.

        Raises:
            PortsExhausted: No worker has a port left.
            MediaWorkerLost: No worker runs, or it died meanwhile.
            OSError: The address is not ours.
            ValueError: No such mode.
        """
        await self._somebody()
        lines = sorted(self._ready(), key=lambda line: line.receivers)
        for line in lines:
            try:
                return await self._open_receiver(line, mode, host, shared)
            except (PortsExhausted, MediaWorkerLost):
                if line is lines[-1]:
                    raise
        raise MediaWorkerLost("no media worker runs")

    async def open_sink(self, mode: str, *, host: str, remote: Address | None = None) -> MediaSink:
        """Open the end that a sender of this process writes to, as ``LocalMediaPlane``."""
        return await self._here_plane().open_sink(mode, host=host, remote=remote)

    async def open_relay_sink(
        self, receiver: MediaReceiver, mode: str, *, host: str, remote: Address | None = None
    ) -> RemoteSink:
        """Open the end that a relay of this receiver writes to, in the receiver's worker.

        Raises:
            PortsExhausted: That worker has no port left.
            MediaWorkerLost: It died.
            OSError: The address is not ours.
            ValueError: No such mode.
        """
        source = _ours(receiver)
        line = self._line_of(source)
        number = line.number()
        opened = await self._opened(line, number, "sink", mode=mode, host=host, remote=remote)
        sink = RemoteSink(
            line, number, mode=mode, remote=remote, opened=opened,
            on_closed=self._sinks.discard, on_over=line.forget,
        )  # fmt: skip
        self._sinks.add(sink)
        line.add(sink)
        return sink

    def relay(
        self,
        receiver: MediaReceiver,
        sink: RelaySink,
        *,
        ssrc: int,
        payload_type: int | None = 96,
        timestamp: int | None = None,
    ) -> RemoteRelay:
        """Forward a receiver's packets to a sink of ``open_relay_sink``, within their worker."""
        source = _ours(receiver)
        assert isinstance(sink, RemoteSink), "a relay's sink comes from open_relay_sink"
        line = self._line_of(source)
        relay = RemoteRelay(line, line.number(), on_over=line.forget)
        line.add(relay)
        line.tell(
            "relay", id=relay.number, receiver=source.number, sink=sink.number,
            ssrc=ssrc, payload_type=payload_type, timestamp=timestamp,
        )  # fmt: skip
        return relay

    async def close(self) -> None:
        """End every stream and every process. Idempotent."""
        self._closing.set()
        for receiver in tuple(self._receivers):
            receiver.close()
        for sink in tuple(self._sinks):
            sink.close()
        for line in self._lines.values():
            line.close()
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=STOP_PATIENCE + 1)
        await self._supervisor.stop()
        self._keepers.clear()
        if self._local is not None:
            await self._local.close()
        if self._network is not None:
            self._network.close()
        self._local = self._network = None

    def counts(self) -> dict[str, int]:
        """Say what is open, here and in the workers, and how many of them run."""
        here = {} if self._local is None else self._local.counts()
        own_ports = sum(not receiver.is_shared for receiver in self._receivers)
        resting = sum(line.resting for line in self._lines.values())
        return {
            "workers": len(self._ready()),
            "receivers": len(self._receivers),
            "sinks": len(self._sinks) + here.get("sinks", 0),
            "leased_ports": own_ports + len(self._sinks) + here.get("leased_ports", 0),
            "quarantined_ports": resting + here.get("quarantined_ports", 0),
        }

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [process.pid for process in self._processes.values()]

    # ---- ends ----

    async def _open_receiver(
        self, line: WorkerLine, mode: str, host: str, shared: bool
    ) -> RemoteReceiver:
        number = line.number()
        line.receivers += 1  # at once: the next that is opened goes elsewhere
        try:
            opened = await self._opened(
                line, number, "receiver", mode=mode, host=host, shared=shared
            )
        except BaseException:
            line.receivers -= 1
            raise

        def gone(receiver: RemoteReceiver) -> None:
            line.receivers -= 1
            self._receivers.discard(receiver)

        receiver = RemoteReceiver(
            line, number, mode=mode, opened=opened, on_closed=gone, on_over=line.forget,
            is_shared=shared and mode != "tcp-active",
        )  # fmt: skip
        self._receivers.add(receiver)
        line.add(receiver)
        return receiver

    async def _opened(self, line: WorkerLine, number: int, what: str, **facts: Any) -> Fields:
        answer = line.question(what, id=number, **facts)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # It will be open all the same, and nobody wants it.
            answer.add_done_callback(lambda _: line.tell("close", id=number))
            raise

    def _line_of(self, receiver: RemoteReceiver) -> WorkerLine:
        line = receiver.line
        assert isinstance(line, WorkerLine)
        return line

    def _here_plane(self) -> LocalMediaPlane:
        if self._local is None:
            raise Gb28181Error("the media workers are not running: enter them with 'async with'")
        return self._local

    async def _somebody(self) -> None:
        self._here_plane()
        try:
            async with asyncio.timeout(WAIT_FOR_WORKER):
                while not self._ready():
                    await self._changed()
        except TimeoutError:
            raise MediaWorkerLost("no media worker runs; the log says why they died") from None

    def _ready(self) -> list[WorkerLine]:
        return [line for line in self._lines.values() if line.is_ready]

    async def _changed(self) -> None:
        self._news.clear()
        await self._news.wait()

    # ---- processes ----

    async def _keep(self, index: int) -> None:
        """Keep one worker running."""
        loop = asyncio.get_running_loop()
        delay = FIRST_DELAY
        while not self._closing.is_set():
            began = loop.time()
            # A named boundary (a worker): what fails about one ends that one, not the others.
            try:
                await self._live(index)
            except Exception:
                logger.exception("media worker %d was lost by a fault", index)
            if loop.time() - began > STOOD:
                delay = FIRST_DELAY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._closing.wait()
            delay = min(LONGEST_DELAY, 2 * delay)

    async def _live(self, index: int) -> None:
        """One life of a worker, from its start to its end."""
        near, far = socket.socketpair()
        with far:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "gb28181.media.worker", str(far.fileno()),
                    pass_fds=(far.fileno(),), stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
            except OSError as error:
                near.close()
                logger.error("media worker %d cannot be started: %s", index, error)
                return
        name = f"media worker {index} (process {process.pid})"
        self._processes[index] = process
        line: WorkerLine | None = None
        try:
            pipe = Pipe(*await asyncio.open_unix_connection(sock=near))
            line = self._lines[index] = WorkerLine(name, pipe)
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(_pass_on(name, process.stdout)),
                    tasks.create_task(_watch(line, process)),
                    tasks.create_task(self._set_up(self._shares[index], line)),
                ]
                await line.run()
                line.is_ready = False
                line.close()
                await _ended(process)
                await asyncio.wait(helpers[:1], timeout=1.0)  # its last words
                for helper in helpers:
                    helper.cancel()
        finally:
            self._lines.pop(index, None)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            if line is not None:
                self._lost(line, process)
                line.close()
                await line.wait_closed()
            await process.wait()
            self._processes.pop(index, None)

    async def _set_up(self, share: range, line: WorkerLine) -> None:
        level = logging.getLogger("gb28181").getEffectiveLevel()
        try:
            await line.ask("setup", ports=[share.start, share.stop], level=level, **self._facts)
        except (Gb28181Error, OSError) as error:
            logger.error("%s cannot be used: %s", line.name, error)
            return
        line.is_ready = True
        self._news.set()
        logger.info("%s runs, with the ports %d to %d", line.name, share.start, share.stop - 1)

    def _lost(self, line: WorkerLine, process: asyncio.subprocess.Process) -> None:
        sentence = f"{line.name} died: {_how(process.returncode)}"
        if self._closing.is_set():
            sentence = f"{line.name} was ended"
        else:
            logger.error("%s; %d streams end, it is started again", sentence, line.receivers)
        line.lose(MediaWorkerLost(sentence))


def shares(ports: range, workers: int) -> list[range]:
    """Divide a range of ports: an eighth for this process, the rest evenly for workers.

    Raises:
        ConfigError: The range is too small, or no worker is wanted.
    """
    first = ports.start + ports.start % 2
    pairs = max(0, ports.stop - first) // 2
    here = max(1, pairs // 8)
    each = (pairs - here) // workers if workers > 0 else 0
    if each < 1:
        raise ConfigError(
            f"media ports {ports.start}-{ports.stop - 1} cannot be divided among {workers} workers"
        )
    starts = [first, *(first + 2 * (here + each * index) for index in range(workers))]
    sizes = [here, *[each] * workers]
    return [range(start, start + 2 * size) for start, size in zip(starts, sizes, strict=True)]


def _ours(receiver: MediaReceiver) -> RemoteReceiver:
    assert isinstance(receiver, RemoteReceiver), "a receiver of another plane"
    return receiver


async def _pass_on(name: str, output: asyncio.StreamReader | None) -> None:
    """Log what a worker prints: the last words of one that dies, as a rule."""
    assert output is not None
    while True:
        try:
            line = await output.readline()
        except ValueError:  # a line without an end
            continue
        if not line:
            return
        logger.warning("%s: %s", name, line.decode("utf-8", "replace").rstrip())


async def _watch(line: WorkerLine, process: asyncio.subprocess.Process) -> None:
    """Kill a worker that hangs. Looks, not a time limit: this process may have stood still."""
    before, silent = -1, 0
    while True:
        await asyncio.sleep(LOOK_EVERY)
        silent = silent + 1 if line.messages == before else 0
        before = line.messages
        if silent >= MOST_SILENT and process.returncode is None:
            logger.error("%s hangs and is killed", line.name)
            process.kill()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the end of a worker that was hung up on, or that hung up."""
    try:
        async with asyncio.timeout(STOP_PATIENCE):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _how(code: int | None) -> str:
    if code is None:
        return "killed, because it did not end"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
