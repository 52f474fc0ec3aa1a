"""The cases, one module for each family of points."""

from __future__ import annotations

from importlib import import_module

from ..case import Case

FAMILIES = ("identifiers", "registration", "keepalive", "basics", "queries", "live", "stream")
"""The modules, in the order in which their cases are run."""


def all_cases() -> tuple[Case, ...]:
    """Return every case of the kit."""
    return tuple(
        value
        for family in FAMILIES
        for value in vars(import_module(f".{family}", __name__)).values()
        if isinstance(value, Case)
    )
