"""What several tests of the platform share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from gb28181.testing.answering import AnsweringDevice, answering_device
from gb28181.testing.simulation import Simulation


@pytest.fixture
def answering(gb: Simulation) -> Callable[..., Awaitable[AnsweringDevice]]:
    """Makes a device that answers as the test says, registered at a platform."""
    return partial(answering_device, gb)
