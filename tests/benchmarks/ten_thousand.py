"""Ten thousand simulated devices of one process at one platform process, on loopback.

They register, answer Catalog and DeviceInfo, and keep alive. Prints the time to register, the CPU
of both processes for a registration (with catalogue and device data) and for a keepalive, and the
memory for each device on both sides. Prints figures; asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from pathlib import Path
from typing import Any

from gb28181.gateway.control import ControlFailed, call
from tests.benchmarks.county import config, cpu_seconds, free_port, memory, start

PLATFORM = "34020000002000000001"


async def state(socket: Path) -> dict[str, Any]:
    with contextlib.suppress(ControlFailed, OSError):
        return dict(await call(socket, "status"))
    return {}


async def until(socket: Path, reached: Any, limit: float) -> dict[str, Any]:
    """Ask seldom: an answer about ten thousand devices is work of its own."""
    end = time.monotonic() + limit
    seen: dict[str, Any] = {}
    while time.monotonic() < end and not (seen and reached(seen)):
        await asyncio.sleep(2.0)
        seen = await state(socket) or seen
    return seen


async def measure(devices: int, rate: float, keepalive: float, seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        (folder / "p.toml").write_text(config(PLATFORM, port, "p", "47000-47199", "udp"))
        platform = await start(folder, "p", "serve", str(folder / "p.toml"))
        await until(folder / "p.sock", lambda seen: True, 20)
        empty = memory(platform.pid), cpu_seconds(platform.pid)
        simulator = await start(
            folder, "s", "simulate", "--devices", str(devices), "--rate", str(rate),
            "--server", f"udp://127.0.0.1:{port}", "--password", "bench", "--retry", "5",
            "--keepalive", str(keepalive), "--control", str(folder / "s.sock"),
        )  # fmt: skip
        try:
            began = time.monotonic()
            await until(folder / "s.sock", lambda seen: True, 20)
            bare = memory(simulator.pid)
            await until(
                folder / "s.sock",
                lambda seen: seen["registered"] == devices,
                120 + 10 * devices / rate,
            )
            registered = time.monotonic() - began
            said = await until(
                folder / "p.sock", lambda seen: len(seen["channels"]) == devices, 120
            )
            cpu = cpu_seconds(platform.pid) - empty[1], cpu_seconds(simulator.pid)
            print(
                f"{said['health']['online']:,} of {devices:,} devices online after "
                f"{registered:.0f} s (started {rate:g} a second), {len(said['channels']):,} "
                f"channels listed"
            )
            print(
                f"registration, catalogue and device data: {cpu[0] / devices * 1e3:.2f} ms of CPU "
                f"at the platform, {cpu[1] / devices * 1e3:.2f} ms at the simulator"
            )
            before = cpu_seconds(platform.pid), cpu_seconds(simulator.pid)
            await asyncio.sleep(seconds)
            spent = [cpu_seconds(one.pid) - was for one, was in
                     zip((platform, simulator), before, strict=True)]  # fmt: skip
            beats = devices * seconds / keepalive
            said = await state(folder / "p.sock")
            print(
                f"keepalives, {beats / seconds:.0f} a second: "
                f"{spent[0] / beats * 1e6:.0f} us of CPU each at the platform "
                f"({spent[0] / seconds * 100:.0f} % of a core), {spent[1] / beats * 1e6:.0f} us at "
                f"the simulator ({spent[1] / seconds * 100:.0f} %); "
                f"{said['health']['online']:,} online at the end"
            )
            print(
                f"memory for each device: {(memory(platform.pid) - empty[0]) / devices / 1024:.1f} "
                f"KiB at the platform ({memory(platform.pid) / 2**20:.0f} MiB in all), "
                f"{(memory(simulator.pid) - bare) / devices / 1024:.1f} KiB at the simulator "
                f"({memory(simulator.pid) / 2**20:.0f} MiB in all)"
            )
        finally:
            for process in (simulator, platform):
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(60):
                        await process.wait()
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=150.0)
    parser.add_argument("--keepalive", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    asyncio.run(measure(options.devices, options.rate, options.keepalive, options.seconds))


if __name__ == "__main__":
    main()
