"""What ``import gb28181`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gb28181


def test_every_public_name_can_be_had() -> None:
    assert sorted(gb28181.__all__) == list(gb28181.__all__)
    assert len(gb28181.__all__) < 60
    for name in gb28181.__all__:
        assert getattr(gb28181, name).__name__ == name
    assert set(gb28181.__all__) <= set(dir(gb28181))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Manager"):
        _ = gb28181.Manager


def test_importing_loads_neither_media_nor_commands_nor_extras() -> None:
    code = (
        "import gb28181, gb28181.testing.plugin, sys; "
        "print(*sorted({'av', 'numpy', 'pydantic', 'fastapi', 'gb28181.manscdp', "
        "'gb28181.platform', 'gb28181.testing.simulation'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_roles_need_no_extra() -> None:
    code = (
        "import sys\n"
        "for name in ('av', 'numpy', 'pydantic', 'fastapi', 'construct', 'bitstring'):\n"
        "    sys.modules[name] = None\n"
        "import gb28181\n"
        "for name in gb28181.__all__: getattr(gb28181, name)\n"
        "import gb28181.testing.simulation\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_foreign_neighbour_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import rtp

    monkeypatch.setattr(rtp, "DISTRIBUTION", "somebody else's")
    with pytest.raises(ImportError, match=r"'rtp' at .*rtp.__init__\.py"):
        _ = gb28181.Platform
