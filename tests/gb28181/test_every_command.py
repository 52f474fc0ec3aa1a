"""Every command of the standard, between a platform and a device, over UDP and over TCP."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gb28181.commands.orders import BLOCKS, CONTROLS
from gb28181.edition import Edition
from gb28181.manscdp.commands import COMMANDS
from gb28181.testing.simulation import Simulation


def cases() -> ModuleType:
    path = Path(__file__).parent / "manscdp" / "every_command.py"
    spec = importlib.util.spec_from_file_location("every_command", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["every_command"] = module
    spec.loader.exec_module(module)
    return module


EVERY = cases()
CASES = {case.command: case for case in EVERY.all_cases()}
NAMES = list(CASES)
ROWS = [
    pytest.param(name, edition, id=f"{name.replace('`', '')} {edition.name}")
    for name, case in CASES.items()
    for edition in Edition
    if case.is_in(edition)
]


@pytest.mark.parametrize("transport", EVERY.TRANSPORTS)
@pytest.mark.parametrize(("command", "edition"), ROWS)
async def test_a_command_is_carried_out(
    gb: Simulation, command: str, edition: Edition, transport: str
) -> None:
    case = CASES[command]
    world = await EVERY.build(gb, edition, transport)
    gb.network.trace.clear()
    assert await case.run(world)
    seen = {one.kind for one in gb.network.trace if case.on_the_wire.encode() in one.data}
    assert transport in seen
    assert not world.device.answers.unknown


def test_there_is_a_case_for_every_command() -> None:
    text = " ".join(NAMES)
    assert len(set(NAMES)) == len(NAMES)
    for rule in (*CONTROLS.values(), *BLOCKS.values()):
        assert f"`{rule.element}`" in text
    for cls in COMMANDS:
        if cls.root == "Query" and cls.cmd_type != "ConfigDownload":
            assert f"Query `{cls.cmd_type}`" in text or f"SUBSCRIBE `{cls.cmd_type}`" in text
        elif cls.root == "Notify":
            assert f"Notify `{cls.cmd_type}`" in text
