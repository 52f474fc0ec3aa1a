"""Writes the page of device profiles from the table of the simulator.

``python docs/reference/draw_profiles.py`` writes ``profiles.md`` beside itself.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from gb28181 import habits
from gb28181.habits import Habits, Profile, profiles

PAGE = Path(__file__).with_name("profiles.md")

_INTRODUCTION = """\
# Device profiles of the simulator

Written from the table in `gb28181/habits.py` by `docs/reference/draw_profiles.py`; a test holds
this page to it. `gb28181 simulate --profile NAME`, `gb.device(NAME)` in tests, and
`Device(habits=...)` show them. Everything is bent on the way between the device and its sockets:
the device itself knows nothing of its habits. A profile stands for what devices of a family were
reported to do, not for one firmware.

What the platform saw of a device is in `platform.device(id).quirks_seen`: a name for each habit,
how often, and when last.
"""


def draw() -> str:
    """Return the page."""
    parts = [_INTRODUCTION, "## Profiles\n", *_profiles(), "", "## Habits\n", *_habits(), ""]
    return "\n".join(parts)


def _profiles() -> list[str]:
    rows = [
        "| profile | says it is | edition | SIP | media | habits |",
        "|---|---|---|---|---|---|",
    ]
    return rows + [_profile(name, one) for name, one in profiles().items()]


def _profile(name: str, one: Profile) -> str:
    shown = ", ".join(f"`{habit}`" for habit in one.habits.names) or "none"
    return (
        f"| `{name}` | {one.manufacturer} {one.model} | {one.edition.version} | {one.transport} "
        f"| {one.media_mode} | {shown} |"
    )


def _habits() -> list[str]:
    rows = ["| habit | what the device does | profiles |", "|---|---|---|"]
    said = _docstrings()
    for field in fields(Habits):
        shown = [name for name, one in profiles().items() if field.name in one.habits.names]
        rows.append(f"| `{field.name}` | {said[field.name]} | {', '.join(shown)} |")
    return rows


def _docstrings() -> dict[str, str]:
    """What stands below each field, in one line and without the numbers of our sources."""
    source = inspect.getsource(habits.Habits)
    found = re.findall(
        r"^    (\w+): [^\n]+\n    \"\"\"(.+?)\"\"\"", source, re.MULTILINE | re.DOTALL
    )
    texts = {name: " ".join(text.split()) for name, text in found}
    return {
        name: re.sub(r"\s*\b[FS] Q\d+[a-z]?(, [FS] Q\d+[a-z]?)*\.", "", text).replace("``", "`")
        for name, text in texts.items()
    }


if __name__ == "__main__":
    PAGE.write_text(draw(), "utf-8")
