"""The pytest plug-in: fixtures for tests against simulated roles. It imports nothing early."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

try:
    from pytest_asyncio import fixture
except ImportError:  # another plug-in for coroutines takes a plain fixture
    from pytest import fixture  # type: ignore[no-redef]  # noqa: PT013

if TYPE_CHECKING:
    from .simulation import Simulation


@fixture
async def gb() -> AsyncIterator[Simulation]:
    """An empty world with a virtual clock: real roles on a simulated network.

    ``await gb.platform()``, ``await gb.device()``, ``await gb.until(DeviceOnline)``; what was
    started is stopped at the end of the test.
    """
    from .simulation import Simulation

    async with Simulation() as simulation:
        yield simulation
