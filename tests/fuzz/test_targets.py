"""A short run of the fuzz targets; ``tests/fuzz/run.sh`` is the long one."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_TARGETS = _load("targets")
_RUN = _load("run")
NAMES: list[str] = list(_TARGETS.TARGETS)


def target(name: str) -> Callable[[bytes], None]:
    found: Callable[[bytes], None] = _TARGETS.TARGETS[name]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_no_seed_is_a_finding(name: str) -> None:
    seeds: list[bytes] = _TARGETS.seeds(name)
    assert seeds
    for seed in seeds:
        target(name)(seed)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=500))
def test_any_bytes_raise_only_declared_errors(name: str, data: bytes) -> None:
    target(name)(data)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None)
@given(number=st.integers(0, 2**32))
def test_mutations_raise_only_declared_errors(name: str, number: int) -> None:
    chance = random.Random(number)
    seeds: list[bytes] = _TARGETS.seeds(name)
    target(name)(_RUN.mutated(chance.choice(seeds), chance, seeds))


def test_the_script_names_every_target() -> None:
    assert " ".join(NAMES) in (HERE / "run.sh").read_text(encoding="utf-8")
