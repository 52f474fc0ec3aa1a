"""CPU and memory of a county gateway that relays ten cameras to its province.

Three processes on loopback: a province that watches, the county that is measured, and a recorder
with ten cameras. Prints figures; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from pathlib import Path

from gb28181.gateway.control import ControlFailed, call, converse

PROVINCE, COUNTY, RECORDER = "34000000002000000001", "34020000002000000001", "34020000001180001000"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def start(folder: Path, name: str, *arguments: str) -> asyncio.subprocess.Process:
    with (folder / f"{name}.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gb28181.gateway.cli", *arguments, stdout=log, stderr=log
        )


def config(platform_id: str, port: int, name: str, ports: str, mode: str) -> str:
    return (
        f'[platform]\nid = "{platform_id}"\npassword = "bench"\n'
        f'listen = ["udp://127.0.0.1:{port}"]\n[media]\nports = "{ports}"\nmode = "{mode}"\n'
        f'[control]\nsocket = "{name}.sock"\n'
    )


async def measure(streams: int, seconds: float, mode: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        up, down = free_port(), free_port()
        (folder / "p.toml").write_text(config(PROVINCE, up, "p", "47000-47199", mode))
        (folder / "c.toml").write_text(
            config(COUNTY, down, "c", "47200-47399", mode)
            + f'[[cascade]]\nupper_id = "{PROVINCE}"\nupper = "udp://127.0.0.1:{up}"\n'
            + 'password = "bench"\nretry = 1\nretry_spread = 0\n'
        )
        processes = [
            await start(folder, "p", "serve", str(folder / "p.toml")),
            await start(folder, "c", "serve", str(folder / "c.toml")),
            await start(
                folder, "r", "simulate", "--id", RECORDER, "--server", f"udp://127.0.0.1:{down}",
                "--server-id", COUNTY, "--password", "bench", "--channels", str(streams),
                "--retry", "1", "--media-ports", "47400-47599",
            ),
        ]  # fmt: skip
        try:
            await _measure(folder, processes[1].pid, streams, seconds, mode)
        finally:
            for process in reversed(processes):
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()


async def _measure(folder: Path, pid: int, streams: int, seconds: float, mode: str) -> None:
    channels: list[str] = []
    while len(channels) < streams:
        await asyncio.sleep(0.5)
        with contextlib.suppress(ControlFailed):
            state = await call(folder / "p.sock", "status")
            channels = [one["id"] for one in state["channels"]]
    idle = memory(pid)
    watching = asyncio.create_task(_watch(folder / "p.sock", channels))
    await asyncio.sleep(5)
    before = await call(folder / "p.sock", "status")
    cpu = cpu_seconds(pid)
    await asyncio.sleep(seconds)
    cpu = cpu_seconds(pid) - cpu
    after = await call(folder / "p.sock", "status")
    watching.cancel()
    packets = sum(one["packets"] for one in after["streams"]) - sum(
        one["packets"] for one in before["streams"]
    )
    lost = sum(one["lost"] for one in after["streams"])
    firsts = sorted(one["first_key"] for one in after["streams"])
    print(
        f"county, {len(after['streams'])} streams {mode}, {packets / seconds / streams:.0f} "
        f"packets/s each: {cpu / seconds * 100:.1f} % of a core, "
        f"{cpu / seconds / streams * 1000:.2f} ms per stream-second, "
        f"{memory(pid) / 2**20:.0f} MiB ({idle / 2**20:.0f} idle), {lost} packets lost, "
        f"first key frame after {firsts[len(firsts) // 2] * 1000:.0f} ms "
        f"(longest {firsts[-1] * 1000:.0f})"
    )


async def _watch(socket: Path, channels: list[str]) -> None:
    async for _ in converse(socket, "watch", channels=channels):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    for mode in ("udp", "tcp-passive"):
        asyncio.run(measure(options.streams, options.seconds, mode))


if __name__ == "__main__":
    main()
