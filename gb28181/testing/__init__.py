"""A simulated network, a virtual clock and faults, for tests of whatever uses this library."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .clock import ClockRanAway, NothingCanHappen, VirtualClock
    from .host import SimulatedHost
    from .link import Conditions, Traced
    from .nat import Nat
    from .network import SimulatedNetwork
    from .simulation import SimulatedDevice, Simulation
    from .synthetic import synthetic_clip

__all__ = [
    "ClockRanAway",
    "Conditions",
    "Nat",
    "NothingCanHappen",
    "SimulatedDevice",
    "SimulatedHost",
    "SimulatedNetwork",
    "Simulation",
    "Traced",
    "VirtualClock",
    "synthetic_clip",
]

_MODULES = {
    "ClockRanAway": "clock",
    "Conditions": "link",
    "Nat": "nat",
    "NothingCanHappen": "clock",
    "SimulatedDevice": "simulation",
    "SimulatedHost": "host",
    "SimulatedNetwork": "network",
    "Simulation": "simulation",
    "Traced": "link",
    "VirtualClock": "clock",
    "synthetic_clip": "synthetic",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
