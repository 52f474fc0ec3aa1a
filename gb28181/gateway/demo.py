"""``gb28181 demo``: a village, a county and a province on this machine, with real media.

The parent holds no role: it starts the processes, reads their control sockets, and draws a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .control import ControlFailed, call, converse

if TYPE_CHECKING:
    import argparse

PROVINCE = "34000000002000000001"
COUNTY = "34020000002000000001"

_STARTUP = 40.0
"""Seconds for the catalogue to arrive in the province."""
_GRACE = 8.0
"""Seconds for a process to say goodbye before it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Villager:
    """One simulated device of the demo."""

    id: str
    name: str
    about: str
    options: tuple[str, ...]
    media: str = "udp"
    channels: int = 1

    @property
    def channel_ids(self) -> list[str]:
        """The ids that its catalogue lists."""
        if self.channels == 1:
            return [self.id]
        base = f"{self.id[:10]}132{self.id[13:17]}"
        return [f"{base}{number:03d}" for number in range(1, self.channels + 1)]


VILLAGE = (
    Villager(
        id="34020000001320000001",
        name="East gate",
        about="H.264 + G.711A, UDP",
        options=("--video", "h264", "--audio", "pcma"),
    ),
    Villager(
        id="34020000001320000002",
        name="Village school",
        about="H.265 + AAC, TCP passive",
        options=("--video", "h265", "--audio", "aac"),
        media="tcp-passive",
    ),
    Villager(
        id="34020000001320000003",
        name="Reservoir",
        about="H.264 + AAC, TCP active",
        options=("--video", "h264", "--audio", "aac"),
        media="tcp-active",
    ),
    Villager(
        id="34020000001180001000",
        name="Market",
        about="recorder with four cameras",
        options=("--video", "h264", "--audio", "pcma"),
        channels=4,
    ),
    Villager(
        id="34020000001320000005",
        name="龦㙍村委会东门🎥",
        about="GB 18030 names, H.265 + G.711A",
        options=("--video", "h265", "--audio", "pcma", "--edition", "2022"),
    ),
    Villager(
        id="34020000001320000006",
        name="Bridge, bad line",
        about="loses 2 % of its UDP packets",
        options=("--video", "h264", "--audio", "pcma", "--loss", "0.02", "--seed", "28181"),
    ),
)


@dataclass(slots=True)
class Row:
    """What the table shows of one channel."""

    channel_id: str
    villager: Villager
    name: str = ""
    state: str = "waiting"
    stream: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


class Failed(Exception):
    """The demo cannot go on; the sentence says why."""


def demo(options: argparse.Namespace) -> int:
    """Run the demo; return 0 when every channel was recorded."""
    try:
        return asyncio.run(_Demo(options).run())
    except* Failed as errors:
        for error in errors.exceptions:
            print(f"gb28181 demo: {error}", file=sys.stderr)
    return 1


class _Demo:
    def __init__(self, options: argparse.Namespace) -> None:
        self._once: bool = options.once
        self._output: Path = options.output.resolve()
        self._seconds: float = options.seconds
        self._folder = Path(tempfile.mkdtemp(prefix="gb28181-demo-"))
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._logs: dict[str, Path] = {}
        self._stop = asyncio.Event()
        self._began = time.monotonic()
        self._rows = [
            Row(channel_id=channel_id, villager=villager)
            for villager in VILLAGE
            for channel_id in villager.channel_ids
        ]
        self._drawn = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        try:
            await self._start_all()
            self._say(f"started a province, a county and {len(VILLAGE)} cameras")
            return await self._until_stopped()
        finally:
            await self._end_all()
            shutil.rmtree(self._folder, ignore_errors=True)

    # Processes ------------------------------------------------------------------------------

    async def _start_all(self) -> None:
        self._output.mkdir(parents=True, exist_ok=True)
        province_port, county_port = _free_ports(2)
        upper_password, device_password = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
        (self._folder / "upper.password").write_text(upper_password)
        (self._folder / "device.password").write_text(device_password)
        await self._serve("province", _province(province_port))
        await self._serve("county", _county(county_port, province_port))
        for index, villager in enumerate(VILLAGE):
            await self._start(
                villager.name,
                "simulate", "--id", villager.id, "--name", villager.name,
                "--server", f"udp://127.0.0.1:{county_port}", "--server-id", COUNTY,
                "--password-file", str(self._folder / "device.password"),
                "--channels", str(villager.channels), *villager.options,
                "--media-ports", f"{42000 + index * 100}-{42099 + index * 100}",
                "--keepalive", "5", "--retry", "2", "--retry-spread", "1",
                "--control", str(self._folder / f"camera-{index}.sock"),
            )  # fmt: skip

    async def _serve(self, name: str, config: str) -> None:
        path = self._folder / f"{name}.toml"
        path.write_text(config, "utf-8")
        path.chmod(0o600)
        await self._start(name, "serve", str(path))

    async def _start(self, name: str, *arguments: str) -> None:
        log = self._output / f"{_file_name(name)}.log"
        self._logs[name] = log
        with log.open("wb") as file:
            self._processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gb28181.gateway.cli", *arguments,
                stdout=file, stderr=file, stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    async def _end_all(self) -> None:
        """The village first, so that every goodbye still finds its platform."""
        order = [*(villager.name for villager in VILLAGE), "county", "province"]
        groups = (order[: len(VILLAGE)], ["county"], ["province"])
        for names in groups:
            ending = [self._processes[name] for name in names if name in self._processes]
            for process in ending:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.terminate()
            for process in ending:
                try:
                    async with asyncio.timeout(_GRACE):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            if process.returncode is not None:
                tail = self._logs[name].read_text("utf-8", "replace").strip().splitlines()[-3:]
                raise Failed(f"{name} ended with code {process.returncode}: {' | '.join(tail)}")

    # What it shows --------------------------------------------------------------------------

    async def _until_stopped(self) -> int:
        province = self._folder / "province.sock"
        async with asyncio.TaskGroup() as group:
            await self._catalogue(province)
            self._say(f"the province lists {len(self._rows)} channels")
            self._say(f"recording each for {self._seconds:g} s ...")
            watching = group.create_task(self._watch(province))
            drawing = group.create_task(self._draw_for_ever(province))
            stopping = group.create_task(self._stop.wait())
            recording = group.create_task(self._record_all(province))
            await asyncio.wait({recording, stopping}, return_when=asyncio.FIRST_COMPLETED)
            code = self._report() if recording.done() else 130
            if not self._once and recording.done():
                print("Ctrl-C ends the demo.", flush=True)
                await self._stop.wait()
                code = code or 0
            for task in (watching, drawing, recording, stopping):
                task.cancel()
        return code

    async def _catalogue(self, province: Path) -> None:
        """Wait until the province lists every channel of the village."""
        wanted = {row.channel_id for row in self._rows}
        deadline = time.monotonic() + _STARTUP
        listed: set[str] = set()
        while not wanted <= listed:
            self._check_alive()
            if self._stop.is_set():
                raise Failed("stopped before the village was registered")
            if time.monotonic() > deadline:
                missing = ", ".join(sorted(wanted - listed))
                raise Failed(f"after {_STARTUP:.0f} s the province does not list {missing}")
            with contextlib.suppress(ControlFailed):
                state = await call(province, "status")
                listed = {one["id"] for one in state["channels"] if one["online"]}
                self._take(state)
            self._draw()
            await asyncio.sleep(0.5)

    async def _watch(self, province: Path) -> None:
        channels = [row.channel_id for row in self._rows]
        async for message in converse(province, "watch", channels=channels):
            told = message.get("progress", {})
            row = next((one for one in self._rows if one.channel_id == told.get("channel")), None)
            if row is not None:
                row.failure = "" if told["event"] == "playing" else told.get("sentence", "")

    async def _record_all(self, province: Path) -> None:
        async with asyncio.TaskGroup() as group:
            for row in self._rows:
                group.create_task(self._record(province, row))

    async def _record(self, province: Path, row: Row) -> None:
        stem = self._output / _file_name(f"{row.channel_id} {row.name or row.villager.name}")
        try:
            row.result = await call(
                province, "play",
                channel=row.channel_id, seconds=self._seconds, retry=15.0,
                output=f"{stem}.mp4", snapshot=f"{stem}.jpg",
            )  # fmt: skip
        except ControlFailed as error:
            row.failure = str(error)

    async def _draw_for_ever(self, province: Path) -> None:
        while True:
            try:
                self._take(await call(province, "status"))
            except ControlFailed as error:
                raise Failed(f"the province went away: {error}") from error
            self._check_alive()
            self._draw()
            await asyncio.sleep(1.0)

    def _take(self, state: dict[str, Any]) -> None:
        channels = {one["id"]: one for one in state["channels"]}
        streams = {one["channel"]: one for one in state["streams"]}
        for row in self._rows:
            channel, stream = channels.get(row.channel_id), streams.get(row.channel_id)
            row.name = (channel or {}).get("name") or row.name
            row.stream = stream or {}
            if stream is not None:
                row.state = stream["stage"]
            elif channel is not None:
                row.state = "online" if channel["online"] else "offline"

    def _say(self, sentence: str) -> None:
        """Progress for a log; on a terminal the table shows it."""
        if not sys.stdout.isatty():
            print(f"{time.monotonic() - self._began:5.1f} s  {sentence}", flush=True)

    def _draw(self) -> None:
        lines = [
            f"province {PROVINCE} <- county {COUNTY} <- village    "
            f"{time.monotonic() - self._began:5.0f} s",
            f"{'channel':<20}  {'what':<30}  {'state':<14} {'codec':<14} "
            f"{'fps':>5} {'lost':>5} {'first':>7}",
        ]
        lines += [_line(row) for row in self._rows]
        if sys.stdout.isatty():
            if self._drawn:
                sys.stdout.write(f"\x1b[{self._drawn}F")
            sys.stdout.write("".join(f"\x1b[2K{line}\n" for line in lines))
            self._drawn = len(lines)
            sys.stdout.flush()

    def _report(self) -> int:
        if not sys.stdout.isatty():
            for row in self._rows:
                print(_line(row))
        failed = [row for row in self._rows if not row.result]
        print(f"\n{len(self._rows) - len(failed)} of {len(self._rows)} channels recorded at the "
              f"province, through the county, in {self._output}:")  # fmt: skip
        for row in self._rows:
            if row.result:
                print(f"  {_recorded(row)}")
        (self._output / "report.json").write_text(
            json.dumps([_facts(row) for row in self._rows], ensure_ascii=False, indent=2), "utf-8"
        )
        for row in failed:
            print(f"  {row.channel_id} failed: {row.failure or 'no recording'}")
        print(f"after {time.monotonic() - self._began:.1f} s", flush=True)
        return 1 if failed else 0


def _line(row: Row) -> str:
    stream = row.stream
    codec = "+".join(part for part in (stream.get("video"), stream.get("audio")) if part)
    rate, first = stream.get("frame_rate"), stream.get("first_key")
    return (
        f"{row.channel_id:<20}  {row.villager.about:<30}  {row.state[:14]:<14} {codec or '-':<14} "
        f"{f'{rate:.1f}' if rate else '-':>5} {stream.get('lost', '-'):>5} "
        f"{f'{first * 1000:.0f} ms' if first is not None else '-':>7}"
        + (f"  {row.failure}" if row.failure else "")
    )


def _recorded(row: Row) -> str:
    done = row.result
    gaps = sum(gap["missing_frames"] for gap in done["gaps"])
    return (
        f"{Path(done['paths'][0]).name}  {done['video']}"
        + (f" + {done['audio']}" if done["audio"] else "")
        + f", {done['frames']} pictures, {done['duration']:.1f} s"
        + (f", {gaps} pictures missing in {len(done['gaps'])} gaps" if gaps else "")
    )


def _facts(row: Row) -> dict[str, Any]:
    """One channel of the report for machines."""
    return {
        "channel": row.channel_id,
        "name": row.name,
        "about": row.villager.about,
        "failure": row.failure if not row.result else None,
        **row.result,
    }


def _file_name(text: str) -> str:
    return "".join(one if one.isalnum() else "-" for one in text).strip("-")


def _free_ports(count: int) -> list[int]:
    """Ports that are free for UDP and TCP now; taken by the processes a moment later."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            with contextlib.suppress(OSError):
                tcp.bind(("127.0.0.1", port))
                found.append(port)
    return found


def _province(port: int) -> str:
    return f"""\
[platform]
id = "{PROVINCE}"
name = "province"
password_file = "upper.password"
listen = ["udp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}"]
keepalive_interval = 5

[media]
ports = "33000-33199"
idle_timeout = 3

[control]
socket = "province.sock"
"""


def _county(port: int, province_port: int) -> str:
    devices = "".join(
        f'\n[[device]]\nid = "{villager.id}"\nmedia = "{villager.media}"\n' for villager in VILLAGE
    )
    return f"""\
[platform]
id = "{COUNTY}"
name = "county"
password_file = "device.password"
listen = ["udp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}"]
keepalive_interval = 5

[media]
ports = "31000-31399"
idle_timeout = 3

[control]
socket = "county.sock"

[[cascade]]
upper_id = "{PROVINCE}"
upper = "udp://127.0.0.1:{province_port}"
password_file = "upper.password"
keepalive_interval = 5
retry = 2
retry_spread = 1
{devices}"""
