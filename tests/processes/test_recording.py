"""A gateway that records, with media in its own process and in workers, killed while it does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181.errors import Gb28181Error
from gb28181.gateway.control import call
from gb28181.manscdp.values import BEIJING
from gb28181.media.reading import describe_file

if TYPE_CHECKING:
    from tests.processes.conftest import Village

pytestmark = pytest.mark.slow

COSTS = 1.0
"""Seconds at the end that a crash costs: half a second on the way to the disk, and a fragment."""
GROUP = 2.0
"""Seconds of a group of the test picture."""
SLACK = 0.7
"""Seconds that a busy machine may be late."""


@pytest.mark.parametrize("workers", [0, 2])
async def test_a_killed_gateway_has_recorded_all_but_the_last_second(
    village: Village, workers: int
) -> None:
    channel, folder = village.cameras[0], village.folder / "tapes"
    county = village.folder / "county.toml"
    text = county.read_text().replace("[media]\n", f"[media]\nworkers = {workers}\n")
    text += f'[archive]\nfolder = "{folder}"\nmin_free_gigabytes = 0\n'
    county.write_text(text + f'[[recording]]\nchannels = ["{channel}"]\n')
    await village.start("county")
    await village.start("camera0")
    await village.until(
        "county", lambda state: any(one["packets"] > 500 for one in state["streams"]), within=30
    )
    film, picture = village.folder / "film.mp4", village.folder / "picture.jpg"
    played = await call(
        village.socket("county"), "play",
        channel=channel, seconds=2.0, output=str(film), snapshot=str(picture), retry=0.0,
    )  # fmt: skip
    # Who joins a running stream is given its current group first.
    assert 1.5 <= played["duration"] <= 2.5 + GROUP
    assert picture.read_bytes().startswith(b"\xff\xd8")

    await village.kill("county")
    killed_at = time.time()
    (tape,) = files_in(folder)
    assert killed_at - end_of(tape) < COSTS + SLACK

    await village.start("county")
    await eventually(lambda: len(files_in(folder)) == 2, within=30)
    await eventually(lambda: readable(files_in(folder)[1]), within=10)


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def end_of(tape: Path) -> float:
    """When the last picture of a file was taken: its name says when the first was."""
    began = datetime.strptime(f"{tape.stem}000", "%Y%m%d-%H%M%S-%f").replace(tzinfo=BEIJING)
    return began.timestamp() + (describe_file(tape)[2] or 0.0)


def readable(tape: Path) -> bool:
    with contextlib.suppress(Gb28181Error):
        return describe_file(tape)[2] is not None
    return False


async def eventually(holds: Callable[[], bool], *, within: float) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110  of another process nothing else tells
            await asyncio.sleep(0.1)
