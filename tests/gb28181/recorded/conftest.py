"""What several tests of sessions share: a platform, and a recorder with a disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gb28181.channel import Channel
from gb28181.equipment.recordings import PatternRecordings
from gb28181.events import CatalogChanged
from gb28181.platform import Platform
from gb28181.sessions.serving import ServingHabits
from gb28181.testing.simulation import SimulatedDevice, Simulation

HERE = Path(__file__).parent
START = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """A platform, a device, and the channel whose disk is seen."""

    platform: Platform
    device: SimulatedDevice
    channel: Channel
    disk: PatternRecordings

    def at(self, seconds: float) -> datetime:
        """A moment so many seconds after the beginning of the disk."""
        return START + timedelta(seconds=seconds)


class Recorders:
    """Makes recorders in the world of a test."""

    def __init__(self, gb: Simulation) -> None:
        self._gb = gb

    async def __call__(
        self,
        *pieces: tuple[float, float],
        mode: str = "udp",
        habits: ServingHabits | None = None,
        lists: bool = True,
        device: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Recorder:
        """Start both.

        Args:
            *pieces: What is on the disk, in seconds; five minutes when nothing is said.
            mode: How media is sent.
            habits: How the device deviates.
            lists: Whether it lists its recordings.
            device: Settings of the device.
            **settings: Settings of the platform.
        """
        gb = self._gb
        platform = await gb.platform(media_mode=mode, **settings)
        disk = PatternRecordings(
            [(at(first), at(last)) for first, last in pieces or ((0.0, 300.0),)]
        )
        camera = await gb.device(recordings=disk, **(device or {}))
        await gb.until(CatalogChanged)
        if not lists:
            camera.role.inventory.units[camera.channels[0]].recorder.disk = None
            put_in(camera, disk)
        if habits is not None:
            camera.role.serving.habits = habits
        return Recorder(
            platform=platform,
            device=camera,
            channel=platform.channel(camera.channels[0]),
            disk=disk,
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow form to ``make test-sessions``, which asks for it by its mark."""
    if "slow" in config.getoption("markexpr"):
        return
    left = [one for one in items if HERE in one.path.parents and one.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=left)
    items[:] = [one for one in items if one not in left]


def at(seconds: float) -> datetime:
    """A moment so many seconds after the beginning of the disk."""
    return START + timedelta(seconds=seconds)


def put_in(camera: SimulatedDevice, disk: PatternRecordings) -> None:
    """Let the first channel of a device play a disk."""
    role, channel_id = camera.role, camera.channels[0]
    role.channels[channel_id] = replace(role.channels[channel_id], recordings=disk)


@pytest.fixture
def recorder(gb: Simulation) -> Recorders:
    """``await recorder((0, 60), (90, 120), mode="tcp-passive")``."""
    return Recorders(gb)
