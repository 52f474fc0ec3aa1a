"""The pytest plug-in, used as a stranger would."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from gb28181.testing.simulation import Simulation

USE = """
import asyncio

async def test_it(gb):
    platform = await gb.platform()
    await gb.device()
    await gb.until(lambda: platform.health()["online"])
    assert gb.leaks() == []
"""


async def test_the_fixture_is_an_empty_world(gb: Simulation) -> None:
    assert isinstance(gb, Simulation)
    assert gb.leaks() == []
    assert gb.events == []
    before = asyncio.get_running_loop().time()
    await gb.advance(minutes=60)
    assert asyncio.get_running_loop().time() - before == 3600


def test_a_project_needs_nothing_but_the_fixture(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(USE)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-o", "asyncio_mode=auto"]
    command += ["-o", "asyncio_default_fixture_loop_scope=function"]
    done = subprocess.run(  # strict mode works too, with a mark on the test
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr
