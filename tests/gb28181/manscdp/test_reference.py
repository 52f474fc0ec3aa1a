"""The page docs/reference/commands.md says what the classes say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from gb28181.manscdp.commands import COMMANDS


def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "commands_reference", Path(__file__).with_name("reference.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date() -> None:
    module = reference()
    assert module.DOCUMENT.read_text("utf-8") == module.document()


def test_the_page_names_every_class_and_has_no_empty_cell() -> None:
    page = reference().document()
    assert all(f"`{cls.__name__}`" in page for cls in COMMANDS)
    assert "|  |" not in page
