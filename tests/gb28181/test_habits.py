"""The table of device families, and the page that is drawn from it."""

from __future__ import annotations

import importlib.util
from dataclasses import fields
from pathlib import Path
from types import ModuleType

from gb28181.habits import Habits, profiles

DRAWER = Path(__file__).parents[2] / "docs" / "reference" / "draw_profiles.py"


def drawer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_profiles", DRAWER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_says_what_the_table_says() -> None:
    module = drawer()
    assert module.PAGE.read_text("utf-8") == module.draw()


def test_the_page_explains_every_habit() -> None:
    text = drawer().draw()
    for field in fields(Habits):
        (line,) = [one for one in text.splitlines() if one.startswith(f"| `{field.name}` |")]
        explained, shown = line.split("|")[2:4]
        assert len(explained.strip()) > 10
        assert shown.strip()


def test_a_device_without_habits_has_no_names() -> None:
    assert Habits().names == ()
    assert Habits(bare_lf=True, rtp_ssrc="zero").names == ("bare_lf", "rtp_ssrc")
    assert profiles()["plain"].habits == Habits()
