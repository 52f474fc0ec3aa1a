"""The program ``gb28181-conformance``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .case import Case, Role
from .cases import all_cases
from .peers.device import DevicePeer
from .peers.platform import PlatformPeer
from .report import FORMATS, has_failed, line_of, summary_of, write_report
from .runner import Result, UnknownCase, run, select
from .target import BadTarget, Target, load_target

OK, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return 0 when nothing required failed, 1 when it did, 2 for bad usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.CRITICAL)
    try:
        if options.command == "list":
            return _list(options.only)
        role = Role(options.command)
        cases = select(all_cases(), role, options.only)
        if options.report is not None and options.report.suffix not in FORMATS:
            raise BadTarget(f"--report: the ending must be one of {', '.join(FORMATS)}")
        results = asyncio.run(_run(role, cases, options))
    except (BadTarget, UnknownCase) as error:
        print(error, file=sys.stderr)
        return USAGE
    except OSError as error:
        print(f"cannot listen: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return FAILED
    print(summary_of(results))
    if options.report is not None:
        write_report(results, options.report)
    return FAILED if has_failed(results, must_conclude=options.self_test) else OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gb28181-conformance",
        description="Shows whether a platform or a device keeps to GB/T 28181.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("platform", "test a platform: the kit plays a device"),
        ("device", "test a device: the kit plays the platform that it registers at"),
        ("list", "list the cases, or show the pages of those named with --only"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "--only", type=lambda text: text.split(","), default=[], metavar="ID,FAMILY",
            help="cases (GB-REG-002) or families (reg); what they need is run too",
        )  # fmt: skip
        command.add_argument("--verbose", action="store_true", help="log everything to stderr")
        if name == "list":
            continue
        command.add_argument("--target", type=Path, help="the description of the target, TOML")
        command.add_argument("--edition", choices=("2016", "2022"), help="overrides the target's")
        command.add_argument(
            "--listen", action="append", metavar="ADDRESS", help="where the kit listens"
        )
        command.add_argument("--report", type=Path, metavar="FILE.(xml|json|txt)")
        command.add_argument(
            "--self-test", action="store_true",
            help="start our own target on 127.0.0.1 and test it over UDP and TCP",
        )  # fmt: skip
    return parser


async def _run(role: Role, cases: list[Case], options: argparse.Namespace) -> list[Result]:
    def show(result: Result) -> None:
        print(line_of(result), flush=True)

    if options.self_test:
        from .selftest import self_test

        return await self_test(role, cases, options.edition or "2016", show)
    target = _target(role, options)
    if role is Role.PLATFORM:
        return await run(cases, target, lambda trace: DevicePeer(target, trace), on_result=show)
    async with PlatformPeer(target) as peer:
        listening = ", ".join(
            f"{transport}://{host}:{port}"
            for transport, (host, port) in peer.wire.endpoint.listening
        )
        print(f"waiting for {target.id} to register at {listening} as {peer.id}", flush=True)
        return await run(cases, target, peer.turn, on_result=show)


def _target(role: Role, options: argparse.Namespace) -> Target:
    if options.target is None and role is Role.PLATFORM:
        raise BadTarget("--target or --self-test is needed")
    # Without a description a device under test has the codes of the standard's own examples.
    target = (
        load_target(options.target)
        if options.target is not None
        else Target(id="34020000001320000001", peer_id="34020000002000000001")
    )
    if role is Role.PLATFORM and not target.address:
        raise BadTarget("target.address is needed: where the platform listens")
    if options.listen:
        target = replace(target, listen=tuple(options.listen))
    if options.edition:
        target = replace(target, edition=options.edition)
    return target


def _list(only: Sequence[str]) -> int:
    cases: dict[int, Case] = {}
    for role in Role:
        try:
            cases |= {id(one): one for one in select(all_cases(), role, only)}
        except UnknownCase:
            continue
    if not cases:
        raise UnknownCase(f"{', '.join(only)}: no case of that name")
    for one in cases.values():
        roles = " ".join(role.value for role in one.roles)
        level = "robustness" if one.robustness else one.level.value
        print(f"{one.id:<12} {level:<12} {one.clause:<24} {roles:<16} {one.title}")
        if only:
            print(f"\n{one.page}\n")
    return OK


if __name__ == "__main__":
    sys.exit(main())
