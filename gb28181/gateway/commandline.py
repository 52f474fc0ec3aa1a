"""The verbs of the command line that serve a gateway, or talk to a running one."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any

from sip import parser

from .control import ControlFailed, call, converse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Coroutine
    from datetime import datetime
    from pathlib import Path

    from .config import Config

logger = logging.getLogger("gb28181.gateway")

OK, FAILED, USAGE = 0, 1, 2
_TOLD = ("stages", "last status", "advertised", "answered address", "source", "second try")
"""What of the evidence is shown when a session failed; the control socket gives all of it."""


def serve(options: argparse.Namespace) -> int:
    """Run the gateway until a signal or its death."""
    from .config import DEFAULT_FILE, load, write_default
    from .process import Gateway

    log_to_stderr(verbose=options.verbose)
    path: Path = options.config or DEFAULT_FILE
    if options.config is None and not path.exists():
        password = write_default(path)
        print(f"wrote {path} (readable by you alone)")
        print(f"device password, shown once: {password}")
    config = load(path)
    gateway = Gateway(config, where=path.resolve().parent)
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        return runner.run(_serve(gateway, config))


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes a loop of uvloop, which costs less; None where it is not installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def build() -> str:
    """Say what this process runs: the plain or the compiled modules, and whose loop."""
    modules = "plain" if str(parser.__file__).endswith(".py") else "compiled"
    return f"{modules} with {'asyncio' if fast_loop() is None else 'uvloop'}"


async def _serve(gateway: Any, config: Config) -> int:
    from .process import serve as run

    def ready() -> None:
        # Transactions live for 32 s and none of them is a cycle: the collector would walk over
        # thousands of them, and all of the program, again and again. That took a fifth of the CPU.
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, gateway.reload_certificates)
        print(f"gateway {config.platform.id} on {', '.join(config.platform.listen)}")
        print(f"build: {build()}", flush=True)

    cause = await run(gateway, stop_on_signals(), ready)
    if cause is not None:
        logger.error("the gateway has died: %s", cause)
        return FAILED
    return OK


def check(options: argparse.Namespace) -> int:
    """Say what is wrong with a configuration file, by key."""
    from .config import load
    from .process import Gateway

    config = load(options.config)
    Gateway(config, where=options.config.resolve().parent)
    print(
        f"{options.config}: good. Platform {config.platform.id}, "
        f"{len(config.cascade)} upper platforms, {len(config.device)} devices with settings"
    )
    return OK


def play(options: argparse.Namespace) -> int:
    """Record a channel into an MP4 file."""
    return _ask(_play(options))


async def _play(options: argparse.Namespace) -> int:
    arguments = {
        "channel": options.channel,
        "seconds": options.seconds,
        "output": str(options.output.resolve()),
        "snapshot": str(options.snapshot.resolve()) if options.snapshot else None,
        "retry": options.retry,
    }
    async for message in converse(control_path(options), "play", **arguments):
        if "progress" in message:
            left = message["progress"].get("left", 0.0)
            print(f"\r{options.channel}: {left:4.0f} s left ", end="", file=sys.stderr)
            continue
        done = message["result"]
        print(file=sys.stderr)
        print(
            f"{' '.join(done['paths'])}: {done['video']}"
            + (f" + {done['audio']}" if done["audio"] else "")
            + f", {done['frames']} pictures, {done['duration']:.1f} s, {done['lost']} packets lost"
        )
        for gap in done["gaps"]:
            print(f"  gap of {gap['missing_frames']} pictures")
    return OK


def records(options: argparse.Namespace) -> int:
    """List what a channel has on its disk."""
    return _ask(_records(options))


async def _records(options: argparse.Namespace) -> int:
    found = await call(control_path(options), "records", **_span(options))
    if options.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return OK
    for one in found["records"]:
        size = f"{int(one['size']) / 1e6:9.1f} MB" if _is_number(one["size"]) else " " * 12
        print(f"{one['start']}  {one['end']}  {one['type'] or '-':8}{size}  {one['name'] or ''}")
    for start, end in found["gaps"]:
        print(f"nothing from {start} to {end}")
    if not found["complete"]:
        print("the device did not tell all of them", file=sys.stderr)
    return OK if found["complete"] else FAILED


def download(options: argparse.Namespace) -> int:
    """Fetch a recording into an MP4 file."""
    return _ask(_download(options))


async def _download(options: argparse.Namespace) -> int:
    arguments = _span(options) | {
        "output": str(options.output.resolve()),
        "speed": options.speed,
        "patience": options.patience,
    }
    async for message in converse(control_path(options), "download", **arguments):
        if "progress" in message:
            print(f"\r{bar(message['progress'])} ", end="", file=sys.stderr)
            continue
        done = message["result"]
        print(file=sys.stderr)
        print(
            f"{' '.join(done['paths'])}: {done['frames']} pictures, {done['duration']:.1f} s, "
            f"{done['parts']} parts"
        )
        for start, end in done["missing"]:
            print(f"  missing from {start} to {end}")
        if done["missing"]:
            print(f"  {done['cause']['sentence']}")
        return FAILED if done["missing"] else OK
    return FAILED


def bar(progress: dict[str, Any], *, width: int = 30) -> str:
    """How far a download is, in one line."""
    full = round(width * progress["fraction"])
    speed = f"{progress['speed']:.1f}x" if progress["speed"] else ""
    return (
        f"[{'#' * full}{'.' * (width - full)}] {100 * progress['fraction']:5.1f} %  "
        f"{progress['position'][:19]}  {progress['received'] / 1e6:.1f} MB  {speed:6}"
    )


def _ask(work: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(work)
    except ControlFailed as error:
        print(f"gb28181: {error}", file=sys.stderr)
        for name in _TOLD:
            if name in error.evidence:
                print(f"  {name}: {error.evidence[name]}", file=sys.stderr)
        return USAGE if error.code == "not-running" else FAILED


def _span(options: argparse.Namespace) -> dict[str, object]:
    return {
        "device": options.device,
        "channel": options.channel,
        "start": _aware(options.start),
        "end": _aware(options.end),
    }


def _aware(moment: datetime) -> str:
    """A time without a zone is this machine's."""
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()


def _is_number(text: str | None) -> bool:
    return text is not None and text.isascii() and text.isdigit()


def status(options: argparse.Namespace) -> int:
    """Print what the running gateway does."""
    try:
        state = asyncio.run(call(control_path(options), "status"))
    except ControlFailed as error:
        print(f"gb28181: {error}", file=sys.stderr)
        return USAGE
    if options.json:
        print(json.dumps(state, ensure_ascii=False, indent=2))
    else:
        for line in describe(state):
            print(line)
    return OK


def describe(state: dict[str, Any]) -> list[str]:
    """The status in lines for people."""
    lines = [f"{state['id']} listens on {', '.join(state['listening'])}", "", "devices"]
    for device in state["devices"]:
        mark = "online " if device["online"] else "offline"
        where = f"{device['transport']} {device['address']}" if device["address"] else "-"
        lines.append(f"  {device['id']}  {mark}  {where}  {device['channels']} channels")
    lines.append("streams")
    for stream in state["streams"]:
        rate = f"{stream['frame_rate']:.1f} fps" if stream["frame_rate"] else "-"
        lines.append(
            f"  {stream['channel']}  {stream['stage']}  {stream['mode']}  "
            f"{stream['video'] or '-'}  {rate}  {stream['lost']} lost  {stream['users']} readers"
        )
    lines += [
        f"  {tape['channel']}  {tape['kind']}  {tape['stage']}  {tape['mode']}  "
        f"{tape['bytes'] / 1e6:.1f} MB  {tape['lost']} lost"
        for tape in state.get("recorded", ())
    ]
    if state.get("recordings"):
        lines.append("recordings")
        lines += [
            f"  {one['channel']}  {'running' if one['running'] else one['cause'] or 'beginning'}"
            for one in state["recordings"]
        ]
    lines.append("upper platforms")
    for link in state["cascades"]:
        reason = f" ({link['reason']})" if not link["registered"] and link["reason"] else ""
        lines.append(
            f"  {link['upper']}  {link['server']}  {link['state'].lower()}{reason}  "
            f"{len(link['viewers'])} viewers"
        )
    return lines


def control_path(options: argparse.Namespace) -> Path:
    """The control socket that was asked for, or the one that the configuration names."""
    from pathlib import Path

    if options.control is not None:
        return Path(options.control)
    from .config import DEFAULT_FILE, load

    path: Path = options.config or DEFAULT_FILE
    if not path.exists():
        raise ControlFailed(
            "not-running",
            f"no {path} here: name the control socket with --control, or run in its folder",
        )
    return path.resolve().parent / load(path).control.socket


def stop_on_signals() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            loop.remove_signal_handler(number)
            signal.raise_signal(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    return stop


def log_to_stderr(*, verbose: bool) -> None:
    """Log to stderr, one line an event."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
