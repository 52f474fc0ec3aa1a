"""Writes docs/reference/commands.md from the classes: run it after a change of the commands."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from gb28181.edition import Edition
from gb28181.manscdp.commands import COMMANDS
from gb28181.manscdp.control import DeviceControl
from gb28181.manscdp.device_config import ConfigDownloadResponse, DeviceConfig
from gb28181.manscdp.schema import Slot, plan_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "commands.md"
ROOTS = ("Control", "Query", "Notify", "Response")
YEARS = {
    Edition.GB2011: "2011",
    Edition.GB2011A: "2014",
    Edition.GB2016: "2016",
    Edition.GB2022: "2022",
}
# What goes with a command and is none itself.
_PARTS = {
    "SN",
    "DeviceID",
    "Result",
    "Reason",
    "PTZCmdParams",
    "StreamNumber",
    "Info",
    "ExtraInfo",
    "DeviceID2",
    "TargetArea",
}

_HEAD = """\
# Commands

The commands of MANSCDP, and the class of `gb28181.manscdp` that reads and writes each. Everything
is read from everybody; to a peer of an edition the elements that the edition lacks are not
written. This page is made from the classes and the tests by
`tests/gb28181/manscdp/reference.py`.
"""

_EVERY = """\
Every command is carried out by `tests/gb28181/test_every_command.py` between a `Platform` and a
`Device`: over each transport that the table names, in each edition that has the command. What is
sent is a method of `RemoteDevice`, and of `Channel` where a camera can be meant.
"""


def document() -> str:
    """Write the whole page."""
    return "\n".join(
        [
            _HEAD,
            "## Who does what, and what is tested",
            "",
            _EVERY,
            *_table(("Command", "Platform", "Device", *YEARS.values()), _every()),
            "",
            "## By CmdType and root element",
            "",
            *_table(("CmdType", *YEARS.values(), *ROOTS), _commands()),
            "",
            "## What a DeviceControl can ask for",
            "",
            *_table(("Element", *YEARS.values(), "Field"), _elements(DeviceControl)),
            "",
            "## What a DeviceConfig can set",
            "",
            *_table(("Block", *YEARS.values(), "Field"), _elements(DeviceConfig)),
            "",
            "## What a ConfigDownload can tell",
            "",
            *_table(("Block", *YEARS.values(), "Field"), _elements(ConfigDownloadResponse)),
            "",
        ]
    )


def _every() -> list[tuple[str, ...]]:
    module = _load(Path(__file__).with_name("every_command.py"))
    tested = ", ".join(transport.upper() for transport in module.TRANSPORTS)
    return [
        (
            case.command,
            case.platform,
            case.device,
            *(tested if case.is_in(edition) else "not in it" for edition in YEARS),
        )
        for case in module.all_cases()
    ]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _commands() -> list[tuple[str, ...]]:
    rows = []
    for cmd_type in sorted({cls.cmd_type for cls in COMMANDS}):
        found = [cls for cls in COMMANDS if cls.cmd_type == cmd_type]
        since = min((_since(cls) for cls in found), key=lambda edition: edition.value)
        classes = [
            "<br>".join(f"`{cls.__name__}`" for cls in found if cls.root == root) or "-"
            for root in ROOTS
        ]
        rows.append((f"`{cmd_type}`", *_years(since, Edition.GB2022), *classes))
    return rows


def _since(cls: Any) -> Edition:
    since = getattr(cls, "since", Edition.GB2011)
    assert isinstance(since, Edition)
    return since


def _elements(cls: Any) -> list[tuple[str, ...]]:
    return [
        (_names(slot), *_years(max(slot.xml.since, _since(cls), key=_value), slot.xml.until), field)
        for slot in plan_of(cls).slots
        if slot.xml.path.split("/")[0] not in _PARTS
        for field in [f"`{slot.attribute}`"]
    ]


def _names(slot: Slot) -> str:
    name = f"`{slot.xml.path.split('/')[0]}`"
    return name if slot.xml.spelled is None else f"{name}, `{slot.xml.spelled[1]}` before"


def _value(edition: Edition) -> str:
    return edition.value


def _years(since: Edition, until: Edition) -> list[str]:
    return ["yes" if since <= edition <= until else "no" for edition in YEARS]


if __name__ == "__main__":
    sys.stdout.write(f"{DOCUMENT}: {DOCUMENT.write_text(document(), 'utf-8')} characters\n")
