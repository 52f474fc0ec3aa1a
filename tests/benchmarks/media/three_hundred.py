"""300 streams of 4 Mbit/s relayed by two media workers for ten minutes, on loopback.

Senders (one C program for each worker) and the sink are on the same machine; their CPU is said
apart. Prints what was lost, and CPU and memory of every process at the start, each minute and at
the end. Prints figures; asserts nothing.
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
    streams, seconds, spread = options.streams, options.seconds, options.spread
    build(folder)
    records = make(folder, seconds=_CLIP, loops=math.ceil((seconds + 2 * _LEAD) / _CLIP) + 1)
    pipe = asyncio.subprocess.PIPE
    sink = await asyncio.create_subprocess_exec(
        folder / "sink", str(SINK_PORT), str(seconds + 300), stdout=pipe
    )
    async with WorkerPlane(
        options.workers, ports=PORTS, tick=0.005, keep_group=options.group
    ) as plane:
        processes = {"first process": os.getpid(), "C sink": sink.pid}
        processes |= {f"worker {number}": pid for number, pid in enumerate(plane.pids)}
        empty = look(processes)
        parts, sinks, relays = await open_streams(plane, streams)
        environment = os.environ | ({"SPREAD_MS": f"{spread:g}"} if spread else {})
        senders = []
        for number, part in enumerate(parts):
            sender = await asyncio.create_subprocess_exec(
                folder / "ps_sender", records, "udp", HOST, str(part.receivers[0].local[1]), "2",
                str(len(part.receivers)), str(part.ssrc), str(seconds + 2 * _LEAD),
                stdout=pipe, env=environment,
            )  # fmt: skip
            senders.append(sender)
            processes[f"C sender {number}"] = sender.pid
        await asyncio.sleep(_LEAD)
        first = before = look(processes)
        while (left := first.at + seconds - time.monotonic()) > 1:
            await asyncio.sleep(min(60.0, left))
            now = look(processes)
            tell(f"after {now.at - first.at:.0f} s", before, now)
            before = now
        sent = [(await sender.communicate())[0].decode() for sender in senders]
        await asyncio.sleep(2.0)  # the last packets, and their counters
        sink.terminate()
        arrived = (await sink.communicate())[0].decode()
        summary(streams, empty, first, now)
        losses(parts, sinks, relays, sent, arrived)


def tell(when: str, before: Look, now: Look) -> None:
    """Print one line of figures."""
    took = now.at - before.at
    shares = ", ".join(
        f"{name} {100 * (now.cpu[name] - before.cpu[name]) / took:.0f} % "
        f"{now.resident[name] / 2**20:.1f} MiB"
        for name in sorted(now.cpu)
    )
    idle = 100 * (now.idle - before.idle) / took
    print(f"{when}: {shares}; {idle:.0f} % of a core idle", flush=True)


def summary(streams: int, empty: Look, first: Look, last: Look) -> None:
    """Print what the whole cost."""
    took = last.at - first.at
    for name in sorted(last.cpu):
        cpu = last.cpu[name] - first.cpu[name]
        idle = f"{empty.resident[name] / 2**20:.1f} MiB idle, " if name in empty.resident else ""
        print(
            f"{name}: {100 * cpu / took:.1f} % of a core, {idle}"
            f"{first.resident[name] / 2**20:.1f} MiB at the start, "
            f"{last.resident[name] / 2**20:.1f} MiB at the end"
        )
    ours = sum(last.cpu[name] - first.cpu[name] for name in last.cpu if not name.startswith("C "))
    theirs = sum(last.cpu[name] - first.cpu[name] for name in last.cpu if name.startswith("C "))
    print(
        f"in all {ours / took / streams * 1e3:.2f} ms of CPU per stream-second here, "
        f"{theirs / took / streams * 1e3:.2f} ms at senders and sink; over {took:.0f} s"
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
    packets = sum(number("pkts", one) for one in sent)
    print(
        f"{packets} packets sent, {sum(one.packets for one in seen)} received, "
        f"{number('udp_pkts', arrived)} arrived: "
        f"{packets - number('udp_pkts', arrived)} lost\n"
        f"  receivers: {sum(one.lost for one in seen)} lost, "
        f"{sum(one.kernel_drops for one in seen)} dropped by the kernel; relays: "
        f"{sum(one.statistics.dropped for one in relays)} dropped; sinks: "
        f"{sum(one.statistics.dropped for one in sinks)} not sent"
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
