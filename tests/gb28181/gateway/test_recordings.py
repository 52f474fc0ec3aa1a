"""Records and downloads as the control socket and the command line give them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gb28181.equipment.recordings import PatternRecordings
from gb28181.errors import ConfigError
from gb28181.events import CatalogChanged
from gb28181.gateway.cli import _parser
from gb28181.gateway.commandline import bar
from gb28181.gateway.verbs import Verbs
from gb28181.platform import Platform
from gb28181.testing.simulation import SimulatedDevice, Simulation

START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


async def quiet(_: dict[str, Any]) -> None:
    """Progress that nobody watches."""


async def recorder(gb: Simulation) -> tuple[Platform, SimulatedDevice, str]:
    """A platform, and a recorder whose first channel has 10 s, a gap of 20 s, and 10 s."""
    platform = await gb.platform(media_mode="tcp-passive")
    second = timedelta(seconds=1)
    disk = PatternRecordings(
        [(START, START + 10 * second), (START + 30 * second, START + 40 * second)]
    )
    device = await gb.device(recordings=disk)
    await gb.until(CatalogChanged)
    channel_id = device.channels[0]
    return platform, device, channel_id


def request(device: SimulatedDevice, channel_id: str, seconds: float) -> dict[str, Any]:
    return {
        "device": device.id,
        "channel": channel_id,
        "start": START.isoformat(),
        "end": (START + timedelta(seconds=seconds)).isoformat(),
    }


async def test_records_are_listed_with_their_gaps(gb: Simulation) -> None:
    platform, device, channel_id = await recorder(gb)
    found = await Verbs(platform, []).records(request(device, channel_id, 40), quiet)
    assert found["complete"]
    starts = [datetime.fromisoformat(one["start"]) for one in found["records"]]
    assert starts == [START, START + timedelta(seconds=30)]
    assert len(found["gaps"]) == 1


async def test_a_download_tells_how_far_it_is(gb: Simulation, tmp_path: Path) -> None:
    platform, device, channel_id = await recorder(gb)
    told: list[dict[str, Any]] = []

    async def progress(message: dict[str, Any]) -> None:
        told.append(message)

    wanted = request(device, channel_id, 10) | {"output": str(tmp_path / "a.mp4"), "speed": 4}
    work = asyncio.ensure_future(Verbs(platform, []).download(wanted, progress))
    await gb.advance(1.5)
    state = await Verbs(platform, []).status({}, quiet)
    assert [tape["kind"] for tape in state["recorded"]] == ["download"]
    assert state["recorded"][0]["stages"][1][0] == "asked"
    done = await work
    assert done["missing"] == []
    assert done["frames"] == 50
    assert done["paths"] == [str(tmp_path / "a.mp4")]
    assert done["cause"]["code"] == "end-of-recording"
    fractions = [one["fraction"] for one in told]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 1
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_client_that_hangs_up_ends_its_download(gb: Simulation, tmp_path: Path) -> None:
    platform, device, channel_id = await recorder(gb)
    wanted = request(device, channel_id, 10) | {"output": str(tmp_path / "a.mp4"), "speed": 1}
    work = asyncio.ensure_future(Verbs(platform, []).download(wanted, quiet))
    await gb.advance(3)
    work.cancel()
    await asyncio.wait({work})
    assert work.cancelled()
    await gb.advance(40)
    assert device.role.sessions == []
    assert gb.leaks() == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"start": "yesterday"}, "no time"),
        ({"start": "2026-01-05T10:00:00"}, "no zone"),
        ({"device": "34020000001180009999"}, "does not list"),
    ],
)
async def test_a_wrong_request_is_told(
    gb: Simulation, change: dict[str, str], sentence: str
) -> None:
    platform, device, channel_id = await recorder(gb)
    with pytest.raises(ConfigError, match=sentence):
        await Verbs(platform, []).records(request(device, channel_id, 10) | change, quiet)


def test_the_bar_shows_the_share_and_the_speed() -> None:
    line = bar(
        {"fraction": 0.5, "position": START.isoformat(), "received": 2_500_000, "speed": 4.02},
        width=10,
    )
    assert line.startswith("[#####.....]  50.0 %  2026-01-05T10:00:00  2.5 MB  4.0x")


def test_the_program_takes_a_span() -> None:
    options = _parser().parse_args(
        ["download", "1" * 20, "2" * 20, "2026-01-31T08:00:00", "2026-01-31T08:30:00+08:00",
         "-o", "a.mp4"]
    )  # fmt: skip
    assert options.end - options.start.replace(tzinfo=options.end.tzinfo) == timedelta(minutes=30)
