"""What the media plane costs beside C and bare Python that do the same work, in the same run.

60 streams of 4 Mbit/s (and 10) over loopback: relay UDP to UDP with a frame's packets in one burst
and spread over 30 ms, relay TCP to TCP, and ingest to access units. Prints figures; asserts
nothing. CPU is user and system time of the measured process over a window in the middle. With the
interpreter of a compiled install both builds are measured, one after the other; of several rounds
the median counts.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PORT, SINK_PORT, SSRC = 28_000, 27_990, 0x1000_0000
REFERENCE = "reference"
_LEAD = 3.0  # connections are made, the first group has gone through


@dataclass(frozen=True, kw_only=True)
class Case:
    """One way that the streams come and go."""

    work: str
    mode: str
    spread: bool
    tick: bool

    @property
    def name(self) -> str:
        shape = "spread" if self.spread else "burst"
        return f"{self.work} {self.mode} {shape}" + (", 5 ms tick" if self.tick else "")


CASES = (
    Case(work="relay", mode="udp", spread=False, tick=False),
    Case(work="relay", mode="udp", spread=False, tick=True),
    Case(work="relay", mode="udp", spread=True, tick=True),
    Case(work="relay", mode="tcp", spread=False, tick=True),
    Case(work="ingest", mode="udp", spread=False, tick=False),
    Case(work="ingest", mode="udp", spread=False, tick=True),
    Case(work="ingest", mode="udp", spread=True, tick=True),
    Case(work="ingest", mode="tcp", spread=False, tick=True),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run cost."""

    cost: float
    """CPU ms per stream-second."""
    growth: float
    """Resident bytes a stream, over what the process took before it had any traffic."""
    build: str
    """``plain`` or ``compiled``, as the process found it; of the reference, nothing."""
    said: str


def build(folder: Path) -> None:
    for source in HERE.glob("*.c"):
        subprocess.run(["gcc", "-O2", "-o", folder / source.stem, source], check=True)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def subject(case: Case, who: str, folder: Path, streams: int, seconds: int) -> list[str]:
    """The command of the measured process: of the reference, or of an interpreter with ours."""
    if who != REFERENCE:
        command = [who, str(HERE / "gateway.py"), case.work, case.mode]
        return [*command, *map(str, (PORT, streams, seconds, SSRC, SINK_PORT))]
    if case.work == "ingest":
        return [sys.executable, str(HERE / "py_ingest.py"), *map(str, (PORT, 2, streams, seconds))]
    program = "udp_relay_multi" if case.mode == "udp" else "tcp_relay_multi"
    numbers = (PORT, 2, streams, "127.0.0.1", SINK_PORT, seconds, SSRC, 0x2000_0000)
    return [str(folder / program), *map(str, numbers)]


def measure(case: Case, who: str, folder: Path, streams: int, window: float) -> Result:
    total = int(window + _LEAD + 4)
    environment = os.environ | {
        "TICK_MS": "5" if case.tick else "0",
        "TICK_US": "5000" if case.tick else "0",
    }
    sending = os.environ | ({"SPREAD_MS": "30"} if case.spread else {})
    sink = subprocess.Popen(
        [folder / "sink", str(SINK_PORT), str(total + 20)], stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.5)  # the sink listens
    measured = subprocess.Popen(
        subject(case, who, folder, streams, total),
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert measured.stdout is not None
    build = (measured.stdout.readline().split() or [""])[-1]
    idle = memory(measured.pid)
    sender = subprocess.Popen(
        [
            folder / "ps_sender", folder / "stream.rec", case.mode, "127.0.0.1", str(PORT), "2",
            str(streams), str(SSRC), str(window + _LEAD + 1),
        ],
        stdout=subprocess.PIPE, text=True, env=sending,
    )  # fmt: skip
    time.sleep(_LEAD)
    begin, cpu = time.monotonic(), cpu_seconds(measured.pid)
    time.sleep(window)
    cost = (cpu_seconds(measured.pid) - cpu) / (time.monotonic() - begin) / streams * 1e3
    growth = (memory(measured.pid) - idle) / streams
    sent = sender.communicate()[0]
    said = measured.communicate()[0]
    sink.terminate()
    losses = _losses(case, sent, said, sink.communicate()[0])
    return Result(cost=cost, growth=growth, build=build, said=losses)


def _losses(case: Case, sent: str, said: str, arrived: str) -> str:
    """Say what did not arrive."""
    packets, size = _number("pkts", sent), _number("bytes", sent)
    late = re.search(r"worst_late_ms=(\S+)", sent)
    text = f"sender late {late[1] if late else '?'} ms; "
    if case.work == "ingest":
        return text + " ".join(said.split())
    if case.mode == "tcp":
        # What is more than was sent are the RTCP reports between the packets.
        missing = max(0, size + 2 * packets - _number("tcp_bytes", arrived))
        return text + f"{missing} of {size} bytes lost; {' '.join(said.split())}"
    missing = packets - _number("udp_pkts", arrived)
    return text + f"{missing} of {packets} packets lost; {' '.join(said.split())}"


def _number(name: str, text: str) -> int:
    found = re.search(rf"\b{name}=(\d+)", text)
    return int(found[1]) if found else 0


def compare(case: Case, folder: Path, streams: int, options: argparse.Namespace) -> None:
    """Measure the reference and ourselves, one after the other."""
    has_reference = case.work == "relay" or case.mode == "udp"
    who = [sys.executable, *filter(None, [options.compiled])]
    who = [REFERENCE, *who] if has_reference else who
    rounds = [
        [measure(case, one, folder, streams, options.seconds) for one in who]
        for _ in range(options.rounds)
    ]
    print(f"{case.name}, {streams} streams, load {os.getloadavg()[0]:.1f}:")
    for place, one in enumerate(who):
        cost = statistics.median(results[place].cost for results in rounds)
        last = rounds[-1][place]
        name = last.build
        if one == REFERENCE:
            name = "C" if case.work == "relay" else "bare Python"
        text = f"    {name}: {cost:.2f} ms per stream-second"
        if has_reference and one != REFERENCE:
            ratios = [results[place].cost / results[0].cost for results in rounds]
            text += f", ratio {statistics.median(ratios):.2f}"
            if len(ratios) > 1:
                text += f" ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{text}; {last.growth / 2**20:.2f} MiB per stream; {last.said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[60, 10])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--compiled", help="the interpreter of a compiled install, too")
    parser.add_argument("--only", default="", help="a part of the names of the cases to run")
    parser.add_argument("--folder", type=Path, help="keep the stream and the programs here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        build(folder)
        subprocess.run([sys.executable, HERE / "stream_maker.py", folder], check=True)
        for streams in options.streams:
            for case in CASES:
                if options.only in case.name:
                    compare(case, folder, streams, options)


if __name__ == "__main__":
    main()
