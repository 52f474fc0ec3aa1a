"""300 streams of 4 Mbit/s relayed by two media workers for ten minutes, on loopback.

Senders (one C program for each worker) and the sink are on the same machine; their CPU is said
apart. Prints CPU and memory of every process on the way and at the end, and what was lost: by the
sequence numbers of each stream at the sink, and whose loss it was (the sender's own failures, the
kernel before a worker, a worker, the kernel before the sink). Prints figures; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gb28181.media.remote import RemoteReceiver, RemoteRelay, RemoteSink
from gb28181.media.workers import WorkerPlane
from tests.benchmarks.media.media import build, cpu_seconds, memory
from tests.benchmarks.media.stream_maker import make

HOST = "127.0.0.1"
PORTS, SINK_PORT, SSRC = range(20_000, 27_000), 19_990, 0x1000_0000
_LEAD = 5.0  # every stream flows, and its first group has gone through
_CLIP = 10


@dataclass(kw_only=True)
class Part:
    """The streams of one worker."""

    receivers: list[RemoteReceiver]
    ssrc: int


@dataclass(frozen=True, kw_only=True)
class Look:
    """CPU and memory of every process at one time."""

    at: float
    cpu: dict[str, float]
    resident: dict[str, int]
    idle: float


def look(processes: dict[str, int]) -> Look:
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return Look(
        at=time.monotonic(),
        cpu={name: cpu_seconds(pid) for name, pid in processes.items()},
        resident={name: memory(pid) for name, pid in processes.items()},
        idle=int(fields[4]) / os.sysconf("SC_CLK_TCK"),
    )


async def open_streams(
    plane: WorkerPlane, streams: int
) -> tuple[list[Part], list[RemoteSink], list[RemoteRelay]]:
    """Open receivers, worker by worker on neighbouring ports, and a relay for each."""
    opened = [await plane.open_receiver("udp", host=HOST) for _ in range(streams)]
    parts: dict[object, Part] = {}
    for receiver in opened:
        empty = Part(receivers=[], ssrc=SSRC + (len(parts) << 16))
        part = parts.setdefault(receiver.line, empty)
        receiver.expect(ssrc=part.ssrc + len(part.receivers), host=HOST)
        part.receivers.append(receiver)
    sinks: list[RemoteSink] = []
    relays: list[RemoteRelay] = []
    for number, receiver in enumerate(opened):
        sink = await plane.open_relay_sink(receiver, "udp", host=HOST, remote=(HOST, SINK_PORT))
        relays.append(plane.relay(receiver, sink, ssrc=0x2000_0000 + number, timestamp=1000))
        await sink.start()
        sinks.append(sink)
    for part in parts.values():
        ports = [receiver.local[1] for receiver in part.receivers]
        steps = range(ports[0], ports[0] + 2 * len(ports), 2)
        assert ports == list(steps), "somebody else holds a port of the range"
    return list(parts.values()), sinks, relays


async def run(options: argparse.Namespace, folder: Path) -> None:
    build(folder)
    loops = math.ceil((options.seconds + 2 * _LEAD) / _CLIP) + 1
    records = make(folder, seconds=_CLIP, loops=loops)
    programs: list[asyncio.subprocess.Process] = []
    try:
        # Bounded, whatever becomes of a worker or of a program beside it.
        async with asyncio.timeout(options.seconds + 2 * _LEAD + 120.0):
            await measure(options, folder, records, programs)
    finally:
        for program in programs:
            if program.returncode is None:
                program.kill()
                await program.wait()


async def measure(
    options: argparse.Namespace,
    folder: Path,
    records: Path,
    programs: list[asyncio.subprocess.Process],
) -> None:
    streams, seconds = options.streams, options.seconds
    sink = await start(programs, folder / "sink", SINK_PORT, seconds + 300)
    async with WorkerPlane(
        options.workers, ports=PORTS, tick=0.005, keep_group=options.group
    ) as plane:
        processes = {"first process": os.getpid(), "C sink": sink.pid}
        processes |= {f"worker {number}": pid for number, pid in enumerate(plane.pids)}
        empty = look(processes)
        parts, sinks, relays = await open_streams(plane, streams)
        senders = []
        for number, part in enumerate(parts):
            sender = await start(
                programs, folder / "ps_sender", records, "udp", HOST, part.receivers[0].local[1],
                2, len(part.receivers), part.ssrc, seconds + 2 * _LEAD, spread=options.spread,
            )  # fmt: skip
            senders.append(sender)
            processes[f"C sender {number}"] = sender.pid
        await asyncio.sleep(_LEAD)
        first = before = now = look(processes)
        while (left := first.at + seconds - time.monotonic()) > 1:
            await asyncio.sleep(min(60.0 if seconds > 120 else 10.0, left))
            now = look(processes)
            tell(f"after {now.at - first.at:.0f} s", before, now)
            progress(parts, relays)
            before = now
        sent = [(await sender.communicate())[0].decode() for sender in senders]
        await settled(parts)
        sink.terminate()
        arrived = (await sink.communicate())[0].decode()
        summary(streams, empty, first, now)
        losses(parts, sinks, relays, sent, arrived)


async def start(
    programs: list[asyncio.subprocess.Process], *command: object, spread: float = 0.0
) -> asyncio.subprocess.Process:
    """Start one of the C programs, which end with this process at the latest."""
    program = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | ({"SPREAD_MS": f"{spread:g}"} if spread else {}),
    )
    programs.append(program)
    return program


async def settled(parts: list[Part]) -> None:
    """Wait for the last packets and their counters; workers that are late take their time."""
    before = -1
    for _ in range(20):
        await asyncio.sleep(2.0)
        seen = [receiver.statistics for part in parts for receiver in part.receivers]
        now = sum(one.packets + one.kernel_drops for one in seen)
        if now == before:
            return
        before = now


def progress(parts: list[Part], relays: list[RemoteRelay]) -> None:
    """Print how it stands, by the workers' own counters, which are a second old at most."""
    seen = [receiver.statistics for part in parts for receiver in part.receivers]
    print(
        f"  {sum(one.packets for one in seen)} packets received, "
        f"{sum(one.lost for one in seen)} lost before, "
        f"{sum(one.kernel_drops for one in seen)} of them dropped by the kernel; "
        f"{sum(one.statistics.packets for one in relays)} relayed; "
        f"{sum(receiver.is_closed for part in parts for receiver in part.receivers)} streams ended",
        flush=True,
    )


def tell(when: str, before: Look, now: Look) -> None:
    """Print one line of figures."""
    took = now.at - before.at
    shares = ", ".join(
        f"{name} {100 * (now.cpu[name] - before.cpu[name]) / took:.0f} % "
        f"{now.resident[name] / 2**20:.1f} MiB"
        for name in sorted(now.cpu)
    )
    idle = 100 * (now.idle - before.idle) / took
    print(
        f"{when}: {shares}; {idle:.0f} % of a core idle, {strangers(before, now):.0f} % by others",
        flush=True,
    )


def strangers(before: Look, now: Look) -> float:
    """Percent of a core that was not ours: a run beside others says little."""
    took, ours = now.at - before.at, sum(now.cpu.values()) - sum(before.cpu.values())
    busy = (os.cpu_count() or 1) * took - (now.idle - before.idle)
    return max(0.0, 100 * (busy - ours) / took)


def summary(streams: int, empty: Look, first: Look, last: Look) -> None:
    """Print what the whole cost."""
    took = last.at - first.at
    for name in sorted(last.cpu):
        cpu = last.cpu[name] - first.cpu[name]
        idle = f"{empty.resident[name] / 2**20:.1f} MiB idle, " if name in empty.resident else ""
        print(
            f"{name}: {100 * cpu / took:.1f} % of a core, {idle}"
            f"{first.resident[name] / 2**20:.1f} MiB at the start, "
            f"{last.resident[name] / 2**20:.1f} MiB at the end "
            f"({(last.resident[name] - first.resident[name]) / 2**20:+.1f})"
        )
    ours = sum(last.cpu[name] - first.cpu[name] for name in last.cpu if not name.startswith("C "))
    theirs = sum(last.cpu[name] - first.cpu[name] for name in last.cpu if name.startswith("C "))
    print(
        f"in all {ours / took / streams * 1e3:.2f} ms of CPU per stream-second here, "
        f"{theirs / took / streams * 1e3:.2f} ms at senders and sink; over {took:.0f} s; "
        f"{strangers(first, last):.0f} % of a core was by others"
    )


def losses(
    parts: list[Part],
    sinks: list[RemoteSink],
    relays: list[RemoteRelay],
    sent: list[str],
    arrived: str,
) -> None:
    """Print what did not arrive, and where it went."""
    seen = [receiver.statistics for part in parts for receiver in part.receivers]
    packets, arrivals = sum(number("pkts", one) for one in sent), number("udp_pkts", arrived)
    missing = number("missing", arrived) - number("late", arrived)
    print(
        f"{packets} packets sent, {sum(one.packets for one in seen)} received, "
        f"{sum(one.statistics.packets for one in relays)} relayed, {arrivals} arrived: "
        f"{packets - arrivals} lost\n"
        f"  senders: {sum(number('errs', one) for one in sent)} could not be sent (not counted)\n"
        f"  before the workers: {sum(one.lost for one in seen)} lost, of them "
        f"{sum(one.kernel_drops for one in seen)} dropped by the kernel\n"
        f"  in the workers: {sum(one.statistics.dropped for one in relays)} dropped by relays, "
        f"{sum(one.statistics.dropped for one in sinks)} not sent by their sinks\n"
        f"  at the C sink: {missing} missing by the sequence numbers of {number('ssrcs', arrived)} "
        f"streams, in {number('gap_streams', arrived)} of them; {number('kernel_drops', arrived)} "
        f"dropped by the kernel; {number('fewest', arrived)} to {number('most', arrived)} packets "
        "of a stream"
    )
    for one in (*sent, arrived):
        print(f"  {one.strip()}")


def number(name: str, text: str) -> int:
    found = re.search(rf"\b{name}=(\d+)", text)
    return int(found[1]) if found else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--spread", type=float, default=0.0, help="ms that a picture is sent over")
    parser.add_argument(
        "--group", action=argparse.BooleanOptionalAction, default=True,
        help="keep the current group of each stream, as a gateway does",
    )  # fmt: skip
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    main()
