"""Compiles the hot pure modules when ``GB28181_COMPILE=1`` is set; else the wheel is plain Python.

The modules stand in pyproject.toml under ``[tool.hatch.build.targets.wheel.hooks.custom]``. The
wheel holds each of them twice: the interpreter takes the compiled one, tracebacks and readers the
source.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VARIABLE = "GB28181_COMPILE"
TOOLS = ["mypy>=1.19", "setuptools>=77"]
"""What compiling needs of Python packages; pip brings them, for a compiled build only."""


class CompiledModules(BuildHookInterface[Any]):
    """Adds the compiled modules to the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what the build needs besides hatchling."""
        return TOOLS if is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together.

        Raises:
            SystemExit: Something that compiling needs is missing; the text says what.
        """
        if not is_wanted():
            return
        if version == "editable":
            sys.exit(f"{VARIABLE}: an editable install is never compiled: use pip install .")
        missing = find_missing()
        if missing:
            sys.exit(f"{VARIABLE}=1 needs {missing}; without it the install is plain Python")
        self._folder = tempfile.mkdtemp(prefix="gb28181-compiled-")
        modules, sources = self.config["modules"], self.config["sources"]
        for built in compile_modules(Path(self.root), modules, sources, Path(self._folder)):
            build_data["force_include"][str(built)] = str(built.relative_to(self._folder))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: the wheel has it now."""
        if is_wanted():
            shutil.rmtree(self._folder)


def is_wanted() -> bool:
    """Tell whether the user asked for a compiled build."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def find_missing() -> str:
    """Return what a compiled build lacks on this machine; empty when nothing is missing."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"the C compiler {compiler} (Debian: apt-get install gcc)"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return f"Python.h in {sysconfig.get_path('include')} (Debian: apt-get install python3-dev)"
    return ""


def compile_modules(root: Path, modules: list[str], sources: list[str], target: Path) -> list[Path]:
    """Compile modules with mypyc into one extension and a stub for each module.

    Args:
        root: The checkout or the unpacked source distribution.
        modules: Paths below ``root``.
        sources: Paths of extension modules in C, also below ``root``.
        target: Takes the shared objects, each below its package's folder.

    Returns:
        The shared objects.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    with tempfile.TemporaryDirectory() as scratch:
        here = Path.cwd()
        os.chdir(root)  # mypy names modules after their path from here
        try:
            extensions = mypycify(
                [
                    "--config-file=",
                    f"--cache-dir={scratch}/mypy",
                    "--explicit-package-bases",
                    "--follow-imports=silent",  # the rest of a package is looked at, not judged
                    "--ignore-missing-imports",
                    *modules,
                ],
                opt_level="2",  # bearable, because each module is a C file of its own
                debug_level="0",
                multi_file=True,
                target_dir=f"{scratch}/c",
                group_name="gb28181",
            )
            extensions += [
                Extension(str(Path(source).with_suffix("")).replace("/", "."), [source])
                for source in sources
            ]
            if sys.platform == "linux":  # calls from one module to another go straight there
                for extension in extensions:
                    extension.extra_compile_args = [*extension.extra_compile_args, "-fno-plt"]
                    extension.extra_link_args = ["-Wl,-Bsymbolic"]
            command = build_ext(Distribution({"name": "gb28181", "ext_modules": extensions}))
            command.build_lib, command.build_temp = str(target), f"{scratch}/objects"
            command.ensure_finalized()
            command.run()
        finally:
            os.chdir(here)
    return sorted(target.rglob("*" + sysconfig.get_config_var("EXT_SUFFIX")))
