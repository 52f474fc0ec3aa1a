"""Draws the transition tables of ``sip`` as state diagrams.

``python docs/reference/draw_state_machines.py`` writes ``sip-state-machines.md`` beside itself.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path

import sip

PAGE = Path(__file__).with_name("sip-state-machines.md")

AnyTable = Mapping[tuple[Enum, Enum], tuple[Enum, tuple[Enum, ...]]]

_INTRODUCTION = """\
# State machines of `sip`

Drawn from the tables that the code walks, by `docs/reference/draw_state_machines.py`; a test holds
this page to them. Each arrow is an input and, behind the slash, the actions that follow. A pair of
state and input that has no arrow is an error when the caller asked for it; when the network did, it
is counted and dropped. Below each figure stand the inputs that a state takes without effect.
"""


def tables() -> Iterator[tuple[str, str, AnyTable]]:
    """Find every transition table of the package: module, name, table."""
    for module in sorted(info.name for info in pkgutil.iter_modules(sip.__path__)):
        for name, value in vars(importlib.import_module(f"sip.{module}")).items():
            if name.isupper() and not name.startswith("_") and _is_table(value):
                first = next(iter(value))[0]
                if type(first).__module__ == f"sip.{module}":  # not where it is only imported
                    yield module, name, value


def draw() -> str:
    """Write the page."""
    parts = [_INTRODUCTION]
    for module, name, table in tables():
        title = name.replace("_", " ").capitalize()
        parts.append(f"## {title}\n\n`sip.{module}.{name}`\n\n{_figure(table)}{_ignored(table)}")
    return "\n".join(parts)


def _is_table(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(key, tuple) and len(key) == 2 and all(isinstance(part, Enum) for part in key)
            for key in value
        )
    )


def _figure(table: AnyTable) -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(table))[0].name}"]
    for (state, given), (after, actions) in table.items():
        if state is after and not actions:
            continue
        does = ", ".join(action.name for action in actions)
        label = f"{given.name} / {does}" if does else given.name
        lines.append(f"    {state.name} --> {after.name}: {label}")
    left = {state for state, _ in table}
    reached = {after for after, _ in table.values()}
    lines += [f"    {state.name} --> [*]" for state in sorted(reached - left, key=_name)]
    return "\n".join([*lines, "```", ""])


def _ignored(table: AnyTable) -> str:
    idle: dict[str, list[str]] = {}
    for (state, given), (after, actions) in table.items():
        if state is after and not actions:
            idle.setdefault(state.name, []).append(given.name)
    if not idle:
        return ""
    rows = [f"| {state} | {', '.join(inputs)} |" for state, inputs in idle.items()]
    return "\n".join(["", "| state | takes without effect |", "| --- | --- |", *rows, ""])


def _name(state: Enum) -> str:
    return state.name


if __name__ == "__main__":
    PAGE.write_text(draw(), encoding="utf-8")
