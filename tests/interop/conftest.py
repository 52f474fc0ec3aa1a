"""Foreign programs for the interop tests: found, started on free ports, ended by their own pid.

A missing peer skips the test with its name. In CI (the variable ``CI`` is set) it fails instead:
nothing is left out there without being seen.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

HERE = Path(__file__).parent
LOCAL = "127.0.0.1"


class Program(Protocol):
    """What starts a foreign program for one test."""

    async def __call__(
        self, *command: str, output: Path | None = None, errors: Path | None = None
    ) -> asyncio.subprocess.Process:
        """Start it; its output goes to files, or nowhere."""


def missing(what: str, remedy: str) -> None:
    """Skip for want of a peer; in CI fail."""
    reason = f"{what} is missing: {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        missing(name, "run tests/interop/install.sh as root")
    return str(path)


class Ports:
    """Gives out ports that are free, none of them twice in a run."""

    def __init__(self) -> None:
        self._next = 20_000 + os.getpid() % 40 * 200

    def __call__(self, count: int) -> int:
        """Find ``count`` consecutive ports, the first even, free for UDP and for TCP."""
        while self._next + count < 32_000:
            first, self._next = self._next, self._next + count + count % 2
            if self._are_free(range(first, first + count)):
                return first
        raise AssertionError(f"no {count} free ports on {LOCAL}")

    def _are_free(self, ports: range) -> bool:
        with ExitStack() as held:
            try:
                for port in ports:
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        held.enter_context(socket.socket(type=kind)).bind((LOCAL, port))
            except OSError:
                return False
        return True


async def until(
    condition: Callable[[], bool], what: str | Callable[[], str], *, within: float = 10.0
) -> None:
    """Watch what a foreign program does; it cannot wake us, so this looks again and again."""
    try:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110  another process has no event to wait for
                await asyncio.sleep(0.02)
    except TimeoutError:
        told = what if isinstance(what, str) else what()
        raise AssertionError(f"not within {within:g} s: {told}") from None


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a process by its own pid."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(2):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def start(
    *command: str, output: Path | None = None, errors: Path | None = None
) -> asyncio.subprocess.Process:
    """Start a program without a terminal."""
    with ExitStack() as files:
        out = files.enter_context(open(output or os.devnull, "wb"))  # noqa: ASYNC230  no waiting
        err = files.enter_context(open(errors or os.devnull, "wb"))  # noqa: ASYNC230
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C"},
        )


class Sipp:
    """One run of SIPp: a scenario, its logs, and how it ended."""

    def __init__(self, program: str, folder: Path, port: int) -> None:
        self._program = program
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self.port = port

    async def start(self, scenario: str, *options: str, keys: dict[str, str]) -> None:
        """Start a scenario of this folder on ``port`` of the loopback interface."""
        traces = {
            "-trace_logs": ("-log_file", "log"),
            "-trace_err": ("-error_file", "errors"),
            "-trace_msg": ("-message_file", "messages"),
        }
        command = [self._program, "-sf", str(HERE / scenario), "-i", LOCAL, "-p", str(self.port)]
        command += ["-nostdin", "-deadcall_wait", "0", "-cp", str(self.port + 1)]
        command += ["-timeout", "15s", "-timeout_error", *options]
        for name, value in keys.items():
            command += ["-key", name, value]
        for switch, (option, name) in traces.items():
            command += [switch, option, str(self._folder / name)]
        self._process = await start(*command, output=self._folder / "screen")
        await until(self._is_open, lambda: f"SIPp opens {self.port}\n{self.story()}")

    def _is_open(self) -> bool:
        """Whether its port is taken; asked of the kernel, as a try to bind would be in its way."""
        tables = [Path(f"/proc/net/{name}").read_text() for name in ("udp", "tcp")]
        return any(f" 0100007F:{self.port:04X} " in table for table in tables)

    def read(self, name: str) -> str:
        """Read one of its files: ``log``, ``errors``, ``messages`` or ``screen``."""
        path = self._folder / name
        return path.read_bytes().decode("latin-1") if path.exists() else ""

    async def logged(self, pattern: str) -> re.Match[str]:
        """Wait until the scenario has logged a line."""

        def seen() -> bool:
            dead = self._process is not None and self._process.returncode is not None
            return bool(re.search(pattern, self.read("log"))) or dead

        await until(seen, lambda: f"{pattern} in SIPp's log\n{self.story()}")
        match = re.search(pattern, self.read("log"))
        assert match, self.story()
        return match

    async def finished(self, *, stop: bool = False) -> None:
        """Wait for its end and hold it to: every call a success, nothing unexpected.

        Args:
            stop: Ask it to end when the running calls have; a scenario that waits goes on else.
        """
        assert self._process is not None
        if stop and self._process.returncode is None:
            self._process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(10):
            code = await self._process.wait()
        assert code == 0, self.story()
        failed = re.findall(r"Failed call\s*\|\s*\d+\s*\|\s*(\d+)", self.read("screen"))
        assert failed[-1:] == ["0"], self.story()
        errors = self.read("errors")
        assert not re.search("Aborting|Failed regexp|unexpected|timeout", errors), errors

    def story(self) -> str:
        """All that can be told of a failure."""
        return "\n".join(self.read(name) for name in ("log", "errors", "messages"))

    async def close(self) -> None:
        """End the process, however the test went."""
        if self._process is not None:
            await ended(self._process)


@pytest.fixture
async def sipp(tmp_path: Path, ports: Ports) -> AsyncIterator[Sipp]:
    """A SIPp that has not been started."""
    peer = Sipp(_program("sipp"), tmp_path, ports(2))
    yield peer
    await peer.close()


@pytest.fixture(scope="session")
def ports() -> Ports:
    """Finds free ports: ``ports(count)`` is the first of them."""
    return Ports()


@pytest.fixture
def wait_until() -> Callable[..., Awaitable[None]]:
    """Waits for something outside this process."""
    return until


@pytest.fixture
def program() -> Callable[[str], str]:
    """Finds a foreign program by its name, or ends the test."""
    return _program


@pytest.fixture
async def launch() -> AsyncIterator[Program]:
    """Starts programs and ends them after the test."""
    processes: list[asyncio.subprocess.Process] = []

    async def launch(
        *command: str, output: Path | None = None, errors: Path | None = None
    ) -> asyncio.subprocess.Process:
        processes.append(await start(*command, output=output, errors=errors))
        return processes[-1]

    yield launch
    for process in processes:
        await ended(process)


@pytest.fixture
def pjsua2() -> None:
    """The Python module ``pjsua2``, which tests use in a process of its own only."""
    if importlib.util.find_spec("pjsua2") is None:
        missing("pjsua2", "pip install 'gb28181[peer]' (x86_64, Python up to 3.12)")


@pytest.fixture
def av() -> None:
    """PyAV, for test pictures."""
    for module in ("av", "numpy"):
        if importlib.util.find_spec(module) is None:
            missing(module, "pip install 'gb28181[media]'")
