"""What all tests share: which files need an extra, and that a file left out is told."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# How long an example takes is the machine's business; a busy one must fail no test.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

TESTS = Path(__file__).parent

# Everything else must pass on a plain install of the wheel.
NEEDED_PACKAGES = {
    "gb28181/archive/test_archive.py": ("av", "numpy"),
    "gb28181/archive/test_upward.py": ("av", "numpy"),
    "gb28181/equipment/test_firmware.py": ("httpx",),
    "gb28181/equipment/test_recordings.py": ("av", "numpy"),
    "gb28181/equipment/test_snapshots.py": ("av", "numpy", "httpx"),
    "gb28181/equipment/test_web.py": ("httpx",),
    "gb28181/manscdp/test_reference.py": ("httpx",),
    "gb28181/media/test_files.py": ("av", "numpy"),
    "gb28181/media/test_packets.py": ("av", "numpy"),
    "gb28181/media/test_pattern.py": ("av", "numpy"),
    "gb28181/media/test_reading.py": ("av", "numpy"),
    "gb28181/media/test_record.py": ("av", "numpy"),
    "gb28181/media/test_source.py": ("av", "numpy"),
    "gb28181/media/test_voice.py": ("av",),
    "gb28181/recorded": ("av", "numpy"),
    "gb28181/test_every_command.py": ("httpx",),
    "gb28181/upper/test_forwarding.py": ("av", "numpy"),
    "gb28181/sessions/test_serving.py": ("av", "numpy"),
    "gb28181/sessions/test_talk.py": ("av", "numpy"),
    "gb28181/test_uploads.py": ("av", "numpy", "httpx"),
    "gb28181/gateway": ("av", "numpy", "pydantic"),
    "gb28181/testing/test_init.py": ("av",),
    "rtp/mpegps/test_ffmpeg.py": ("av",),
    "rtp/mpegps/test_syntax.py": ("construct", "bitstring"),
    "conformance": ("construct",),
    "examples": ("av", "fastapi", "httpx"),
    "processes": ("av", "numpy", "pydantic"),
}


def missing_for(path: Path) -> list[str]:
    """The packages that a test file needs and that are not installed."""
    place = path.relative_to(TESTS).as_posix()
    packages = NEEDED_PACKAGES.get(place, ())
    return [name for name in packages if importlib.util.find_spec(name) is None]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what cannot run here."""
    if TESTS in collection_path.parents and missing_for(collection_path):
        return True
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why."""
    for place in NEEDED_PACKAGES:
        missing = missing_for(TESTS / place)
        if missing:
            terminalreporter.write_line(f"not run: tests/{place} needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModuleType]:
    """Give what a package has in C: that of the compiled build, else compiled here, with traps."""

    @functools.cache
    def load(package: str) -> ModuleType:
        try:
            return importlib.import_module(f"{package}._native")
        except ImportError:
            source = Path(str(importlib.import_module(package).__file__)).with_name("_native.c")
        compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
        include = Path(sysconfig.get_path("include"))
        if shutil.which(compiler) is None or not (include / "Python.h").exists():
            pytest.skip(f"{source.name} needs {compiler} and {include / 'Python.h'}")
        built = (
            tmp_path_factory.mktemp(package) / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
        )
        checks = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-fsanitize=undefined"]
        options = ["-shared", "-fPIC", "-O1", *checks, "-fsanitize-undefined-trap-on-error"]
        subprocess.run([compiler, *options, f"-I{include}", source, "-o", built], check=True)
        spec = importlib.util.spec_from_file_location(f"{package}._native", built)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
