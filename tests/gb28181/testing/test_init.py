"""The facade of the test kit."""

import subprocess
import sys

import pytest

import gb28181.testing


def test_every_public_name_is_there() -> None:
    for name in gb28181.testing.__all__:
        assert getattr(gb28181.testing, name).__name__ == name
    assert sorted(gb28181.testing.__all__) == gb28181.testing.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gb28181.testing.nothing  # noqa: B018


def test_the_plug_in_loads_nothing_early() -> None:
    code = (
        "import sys, gb28181.testing.plugin\n"
        "early = {'gb28181.testing.network', 'gb28181.media', 'rtp.transport', 'av', 'numpy'}\n"
        "print(sorted(early & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
