"""Real processes: a province, a county and cameras, started and killed by the tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gb28181.gateway.control import ControlFailed, call

PROVINCE = "34000000002000000001"
COUNTY = "34020000002000000001"
CAMERAS = ("34020000001320000001", "34020000001320000002")

COMMON = """
[media]
ports = "{ports}"
idle_timeout = 1
silence = 4

[control]
socket = "{name}.sock"
"""


class Village:
    """Three levels of processes; every one can be killed and started again."""

    county = COUNTY
    cameras = CAMERAS

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.province_port, self.county_port = free_port(), free_port()
        (folder / "up").write_text("upper-secret")
        (folder / "down").write_text("device-secret")
        listen = 'listen = ["udp://127.0.0.1:{0}", "tcp://127.0.0.1:{0}"]\n'
        times = "keepalive_interval = 1\nkeepalive_count = 3\n"
        (folder / "province.toml").write_text(
            f'[platform]\nid = "{PROVINCE}"\npassword_file = "up"\n{times}'
            + listen.format(self.province_port)
            + COMMON.format(ports="46000-46099", name="province")
        )
        (folder / "county.toml").write_text(
            f'[platform]\nid = "{COUNTY}"\npassword_file = "down"\n{times}'
            + listen.format(self.county_port)
            + COMMON.format(ports="46100-46199", name="county")
            + f'[[cascade]]\nupper_id = "{PROVINCE}"\nupper = "udp://127.0.0.1:'
            f'{self.province_port}"\npassword_file = "up"\n{times}retry = 2\nretry_spread = 0\n'
        )

    def socket(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    async def start(self, name: str) -> None:
        if name.startswith("camera"):
            index = int(name.removeprefix("camera"))
            arguments = [
                "simulate", "--id", CAMERAS[index], "--server-id", COUNTY,
                "--server", f"udp://127.0.0.1:{self.county_port}",
                "--password-file", str(self.folder / "down"),
                "--keepalive", "1", "--keepalive-count", "3", "--retry", "2",
                "--retry-spread", "0", "--control", str(self.socket(name)),
                "--media-ports", f"{46200 + 100 * index}-{46299 + 100 * index}",
            ]  # fmt: skip
        else:
            arguments = ["serve", str(self.folder / f"{name}.toml")]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gb28181.gateway.cli", *arguments,
                stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip

    async def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def status(self, name: str) -> dict[str, Any]:
        """The status of a process; empty when it does not answer."""
        with contextlib.suppress(ControlFailed):
            return await call(self.socket(name), "status")
        return {}

    async def until(
        self, name: str, holds: Callable[[dict[str, Any]], bool], *, within: float
    ) -> dict[str, Any]:
        """Ask a process until its status is as wanted."""
        state: dict[str, Any] = {}
        try:
            async with asyncio.timeout(within):
                while True:
                    state = await self.status(name)
                    if state and holds(state):
                        return state
                    await asyncio.sleep(0.1)
        except TimeoutError:
            pytest.fail(f"{name} is not as expected after {within} s: {state}\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text('utf-8', 'replace')[-3000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    async def end(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.terminate()
        for name, process in self.processes.items():
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
                pytest.fail(f"{name} did not end on SIGTERM\n{self.logs()}")


def free_port() -> int:
    """A port that is free for UDP and TCP now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            with contextlib.suppress(OSError):
                tcp.bind(("127.0.0.1", port))
                return port


@pytest.fixture
async def village(tmp_path: Path) -> AsyncIterator[Village]:
    os.chmod(tmp_path, 0o700)
    village = Village(tmp_path)
    try:
        yield village
    finally:
        await village.end()
