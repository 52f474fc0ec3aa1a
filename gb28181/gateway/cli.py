"""The ``gb28181`` program: serve, simulate, play, records, download, status, demo and more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

# Only argparse here: --help must answer at once, and a plain install must run what it can.

_EXTRAS = {
    "av": "media",
    "numpy": "media",
    "pydantic": "gateway",
    "httpx": "simulate",
}

USAGE = 2
"""The exit code for a wrong setting or argument, a port in use, or a missing extra."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit code."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        return _fail(
            f"'gb28181 {options.verb}' needs the package {error.name!r}: "
            f"pip install 'gb28181[{extra}]'"
        )
    except OSError as error:
        sentence = error.strerror or str(error)
        return _fail(f"{error.filename}: {sentence}" if error.filename else sentence)
    except Exception as error:
        if _is_told_in_a_sentence(error):
            return _fail(str(error))
        raise


def _is_told_in_a_sentence(error: Exception) -> bool:
    from rtp.errors import RtpError
    from sip.errors import SipError

    from ..errors import Gb28181Error

    return isinstance(error, (Gb28181Error, RtpError, SipError))


def _fail(sentence: str) -> int:
    print(f"gb28181: {sentence}", file=sys.stderr)
    return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gb28181",
        description="GB/T 28181: gateway, device simulator and tools.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_serve(verbs)
    _add_simulate(verbs)
    _add_clients(verbs)
    demo = verbs.add_parser("demo", help="a village, a county and a province on this machine")
    demo.add_argument("--once", action="store_true", help="end after the recordings")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), help="where files go")
    demo.add_argument("--seconds", type=float, default=10.0, help="length of each recording")
    demo.set_defaults(run=_demo)
    version = verbs.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _add_serve(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = verbs.add_parser(
        "serve",
        help="run the gateway",
        description="Run the gateway. Without CONFIG it uses ./gateway.toml; when there is none "
        "it writes one with a random device password, prints that once, and starts.",
    )
    serve.add_argument("config", nargs="?", type=Path, metavar="CONFIG")
    serve.add_argument("--verbose", action="store_true", help="log everything")
    serve.set_defaults(run=_serve)
    check = verbs.add_parser("check", help="check a configuration file")
    check.add_argument("config", type=Path, metavar="CONFIG")
    check.set_defaults(run=_check)


def _add_simulate(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    simulate = verbs.add_parser(
        "simulate",
        help="run simulated cameras or recorders",
        description="Devices that register at a platform and send real encoded video.",
    )
    add = simulate.add_argument
    add("--profile", default="plain", help="the family of devices; see the page on profiles")
    add("--devices", type=int, default=1, help="so many devices, their ids counted up")
    add("--rate", type=float, default=100.0, help="devices started in a second")
    add(
        "--fault", action="append", default=[], metavar="NAME=VALUE,...",
        help="loss, duplicate, delay, rebind, move, clock, reboot, flood, vanish, noise",
    )  # fmt: skip
    add("--server", help="udp://host:port or tcp://host:port; 127.0.0.1:5060 when left out")
    add("--server-id", default="34020000002000000001", help="the platform's id")
    add("--domain", help="the SIP domain; the first ten digits of the server id")
    add("--id", dest="device_id", help="the (first) device's id; by the profile when left out")
    add("--password", default="", help="better: --password-file, which 'ps' does not show")
    add("--password-file", type=Path, help="a file with the password")
    add("--channels", type=int, default=1, help="a recorder with this many cameras")
    add("--name", default="Camera", help="the name, or its beginning with several channels")
    add("--video", choices=("h264", "h265"), default="h264")
    add("--audio", choices=("pcma", "aac", "none"), default="pcma")
    add("--file", type=Path, help="send this video file, looped, instead of the test picture")
    add("--recordings", type=Path, help="play back the files of this folder, by their names' times")
    add("--edition", choices=("2011", "2016", "2022"), help="that of the profile when left out")
    add("--expires", type=int, default=3600, help="seconds of registration to ask for")
    add("--keepalive", type=float, default=60.0, help="seconds between heartbeats")
    add("--keepalive-count", type=int, default=3, help="missed heartbeats until re-registration")
    add("--retry", type=float, default=60.0, help="seconds to wait after a failed registration")
    add("--retry-spread", type=float, default=30.0, help="up to this many more, at random")
    add("--loss", type=float, default=0.0, help="share of UDP media packets not sent, 0 to 1")
    add("--seed", type=int, default=0, help="makes faults and losses repeatable")
    add("--media-ports", default="40000-40999", help="first-last")
    add("--control", type=Path, help="a control socket for 'gb28181 status'")
    add("--verbose", action="store_true", help="log everything")
    simulate.set_defaults(run=_simulate)


def _add_clients(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    play = verbs.add_parser("play", help="record a channel of the running gateway into an MP4")
    play.add_argument("channel", metavar="CHANNEL", help="the channel's 20-digit id")
    play.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.mp4")
    play.add_argument("--seconds", type=float, default=10.0, help="how long (default 10)")
    play.add_argument("--snapshot", type=Path, metavar="FILE.jpg", help="also the first picture")
    play.add_argument("--retry", type=float, default=0.0, help="seconds to try again for")
    play.set_defaults(run=_play)
    records = verbs.add_parser("records", help="list what a channel has recorded on its disk")
    _add_span(records)
    records.add_argument("--json", action="store_true", help="everything, as JSON")
    records.set_defaults(run=_records)
    download = verbs.add_parser("download", help="fetch a recording from a device into an MP4")
    _add_span(download)
    download.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.mp4")
    download.add_argument("--speed", type=int, default=4, help="times real time (default 4)")
    download.add_argument(
        "--patience", type=float, default=600.0, help="seconds without progress to go on for"
    )
    download.set_defaults(run=_download)
    status = verbs.add_parser("status", help="what the running gateway does")
    status.add_argument("--json", action="store_true", help="everything, as JSON")
    status.set_defaults(run=_status)
    for verb in (play, records, download, status):
        verb.add_argument("--control", type=Path, help="the gateway's control socket")
        verb.add_argument("--config", type=Path, help="its configuration (./gateway.toml)")


def _add_span(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("device", metavar="DEVICE", help="the device's 20-digit id")
    verb.add_argument("channel", metavar="CHANNEL", help="the channel's 20-digit id")
    for name in ("start", "end"):
        verb.add_argument(
            name,
            metavar=name.upper(),
            type=datetime.fromisoformat,
            help="2026-01-31T08:00:00, in this machine's time unless it has a zone",
        )


def _serve(options: argparse.Namespace) -> int:
    from .commandline import serve

    return serve(options)


def _check(options: argparse.Namespace) -> int:
    from .commandline import check

    return check(options)


def _simulate(options: argparse.Namespace) -> int:
    from .simulate import simulate

    return simulate(options)


def _play(options: argparse.Namespace) -> int:
    from .commandline import play

    return play(options)


def _records(options: argparse.Namespace) -> int:
    from .commandline import records

    return records(options)


def _download(options: argparse.Namespace) -> int:
    from .commandline import download

    return download(options)


def _status(options: argparse.Namespace) -> int:
    from .commandline import status

    return status(options)


def _demo(options: argparse.Namespace) -> int:
    from .demo import demo

    return demo(options)


def _version(options: argparse.Namespace) -> int:
    from importlib.metadata import PackageNotFoundError, version

    from .. import __version__

    print(f"gb28181 {__version__} on Python {sys.version.split()[0]}")
    for package in ("av", "numpy", "pydantic", "fastapi", "aiortc", "asyncpg"):
        try:
            print(f"  {package} {version(package)}")
        except PackageNotFoundError:
            print(f"  {package} not installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
