"""CPU of a transaction: our stack and registrar beside Kamailio, under SIPp load, in the same run.

Both serve the same scenarios from the same SIPp on loopback: REGISTER with digest (two messages
each way) and the Keepalive MESSAGE, which Kamailio answers unread: ours does so too, and once more
reading its body. The figure is the CPU time of the serving process for each transaction, where a
registration with its challenge counts as one. Rounds alternate between the servers, and the median
is what counts: a single round moves by a third with what else the machine does. At a busier rate
the same costs less, because code and data stay in the caches.
With ``--compiled`` the interpreter of a compiled install is measured after the plain one, and both
serve with uvloop where it is installed, as ``gb28181 serve`` does; each line says so.
Prints figures; asserts nothing. Needs sip-tester and kamailio.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from statistics import median

SCENARIOS = Path(__file__).parent / "sip"
PASSWORD = "12345678"
SERVER = Path(__file__).parent / "registrar_server.py"


@dataclass(frozen=True)
class Load:
    """One scenario under SIPp."""

    name: str
    scenario: str
    rate: int
    options: tuple[str, ...] = ()
    """For our server."""
    is_heavy: bool = False
    """More than a plain install can serve."""


@dataclass
class Figures:
    """What one server needed, round by round."""

    microseconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """Of each round, to the peer in the same one."""
    failed: int = 0

    def __str__(self) -> str:
        low, high = min(self.microseconds), max(self.microseconds)
        text = f"{median(self.microseconds):.0f} us ({low:.0f} to {high:.0f}, {self.failed} failed)"
        if not self.ratios:
            return text
        return (
            f"{text}, {median(self.ratios):.2f} times Kamailio"
            f" ({min(self.ratios):.2f} to {max(self.ratios):.2f})"
        )


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def users(folder: Path, count: int) -> Path:
    path = folder / "users.csv"
    lines = [
        f"3402000000132{number:07d};[authentication username=3402000000132{number:07d} "
        f"password={PASSWORD}]"
        for number in range(1, count + 1)
    ]
    path.write_text("SEQUENTIAL\n" + "\n".join(lines) + "\n")
    return path


def family(pid: int) -> list[int]:
    """A process and its children: Kamailio forks."""
    found = [pid]
    for one in found:
        children = Path(f"/proc/{one}/task/{one}/children")
        found += [int(child) for child in children.read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    # Not from the ticks of ``stat``: one of them is three per cent of a run.
    threads = [thread for one in family(pid) for thread in Path(f"/proc/{one}/task").iterdir()]
    return sum(int((one / "schedstat").read_text().split()[0]) for one in threads) / 1e9


def sipp(port: int, load: Load, csv: Path, *, calls: int, rate: int) -> int:
    """Run SIPp; return how many calls failed."""
    done = subprocess.run(
        ["sipp", f"127.0.0.1:{port}", "-sf", str(SCENARIOS / load.scenario), "-inf", str(csv),
         "-m", str(calls), "-r", str(rate), "-l", "4000", "-nostdin", "-i", "127.0.0.1",
         "-timeout", "120s", "-trace_stat", "-stf", str(csv.parent / "stat.csv"), "-fd", "600"],
        cwd=csv.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=180,
        check=False,
    )  # fmt: skip
    rows = (csv.parent / "stat.csv").read_text().strip().splitlines()
    (csv.parent / "stat.csv").unlink()
    names, last = rows[0].split(";"), rows[-1].split(";")
    failed = int(last[names.index("FailedCall(C)")])
    return failed if done.returncode in (0, 1) else calls


def measure(pid: int, port: int, load: Load, csv: Path, calls: int, into: Figures) -> None:
    sipp(port, load, csv, calls=2000, rate=load.rate)  # warm: every user is known from here on
    before = cpu_seconds(pid)
    into.failed += sipp(port, load, csv, calls=calls, rate=load.rate)
    into.microseconds.append((cpu_seconds(pid) - before) / calls * 1e6)


def kamailio(folder: Path, port: int, *, auth: bool) -> subprocess.Popen[bytes]:
    text = (SCENARIOS / "kamailio.cfg").read_text().replace("KAMAILIO_PORT", str(port))
    (folder / "kamailio.cfg").write_text(text)
    options = ["-A", "WITH_AUTH"] if auth else []
    return subprocess.Popen(
        ["kamailio", "-f", str(folder / "kamailio.cfg"), *options, "-DD", "-E", "-Y", str(folder),
         "-m", "256"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def ours(
    python: str, port: int, *, peers: int, options: tuple[str, ...] = ()
) -> subprocess.Popen[bytes]:
    # -P: a compiled install must not be hidden by the checkout.
    command = [python, "-P", str(SERVER), str(port), "--peers", str(peers), *options]
    return subprocess.Popen(command)


def build_of(python: str) -> str:
    """Whether an interpreter has the compiled modules and uvloop, by its own word."""
    code = "from gb28181.gateway.commandline import build; print(build())"
    said = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def resident(pid: int) -> int:
    """Bytes that a process keeps in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def idle_memory(python: str, counts: list[int]) -> None:
    """Print what one more idle device costs the process, registrar and stack together."""
    sizes = []
    for count in counts:
        port = free_port()
        process = ours(python, port, peers=count)
        wait_until_served(port)
        sizes.append(resident(process.pid))
        process.terminate()
        process.wait(timeout=20)
    (few, small), (many, large) = (counts[0], sizes[0]), (counts[-1], sizes[-1])
    each = (large - small) / (many - few)
    print(f"Memory, {build_of(python)}: {each:.0f} bytes for each idle device", flush=True)


def wait_until_served(port: int) -> None:
    """Until the server has taken its port: it does so when all peers are known."""
    deadline = time.monotonic() + 120  # a hundred thousand peers register first
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                time.sleep(0.3)
                return
        time.sleep(0.1)


def run(
    process: subprocess.Popen[bytes], port: int, load: Load, csv: Path, calls: int, into: Figures
) -> None:
    try:
        wait_until_served(port)
        measure(process.pid, port, load, csv, calls, into)
    finally:
        process.terminate()
        process.wait(timeout=20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default="1000", help="known peers before the run, a,b,c")
    parser.add_argument("--loads", type=int, default=4, help="only the first so many scenarios")
    parser.add_argument("--only-compiled", action="store_true", help="leave out the plain install")
    parser.add_argument("--compiled", help="the interpreter of a compiled install, measured too")
    options = parser.parse_args()
    missing = [name for name in ("sipp", "kamailio") if shutil.which(name) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)} missing: apt-get install sip-tester kamailio")
    loads = (
        Load("REGISTER with digest", "register.xml", 800),
        Load("MESSAGE", "keepalive.xml", 1500),
        Load("MESSAGE, its body read by ours alone", "keepalive.xml", 1500, ("--decode",)),
        Load("REGISTER with digest, 4,000 a second", "register.xml", 4000, is_heavy=True),
    )
    pythons = [] if options.only_compiled else [sys.executable]
    pythons += [options.compiled] if options.compiled else []
    builds = {python: build_of(python) for python in pythons}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csv = users(folder, 2000)
        counts = list(map(int, options.peers.split(",")))
        if len(counts) > 1:
            idle_memory(pythons[-1], counts)
        # The plain install with many peers would take longer than all the rest.
        servers = [*product(pythons[:-1], counts[:1]), *product(pythons[-1:], counts)]
        for load in loads[: options.loads]:
            serving = [one for one in servers if not load.is_heavy or one[0] == options.compiled]
            theirs, own = Figures(), {server: Figures() for server in serving}
            for number in range(1, options.rounds + 1):
                print(f"{load.name}: round {number} of {options.rounds}", file=sys.stderr)
                port = free_port()
                run(kamailio(folder, port, auth=True), port, load, csv, options.calls, theirs)
                for (python, peers), figures in own.items():
                    port = free_port()
                    server = ours(python, port, peers=peers, options=load.options)
                    run(server, port, load, csv, options.calls, figures)
                    figures.ratios.append(figures.microseconds[-1] / theirs.microseconds[-1])
            print(f"{load.name}: Kamailio {theirs}")
            for (python, peers), figures in own.items():
                build = builds[python]
                print(f"{load.name}: ours, {build}, {peers} known peers: {figures}", flush=True)


if __name__ == "__main__":
    main()
