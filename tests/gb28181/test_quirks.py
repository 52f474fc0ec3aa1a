from __future__ import annotations

import dataclasses

import pytest

from gb28181.quirks import Quirks, families, quirks_for


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("Hikvision", "hikvision"),
        ("Embedded Net DVR/NVR/DVS", "hikvision"),
        ("海康威视", "hikvision"),
        ("DAHUA Technology", "dahua"),
        ("TP-LINK", "tp-link"),
        ("MERCURY", "mercury"),
    ],
)
def test_a_family_is_known_by_what_it_calls_itself(text: str, family: str) -> None:
    assert quirks_for(text) is families()[family]


@pytest.mark.parametrize("text", ["", "ACME", "IP Camera"])
def test_strangers_follow_the_standard(text: str) -> None:
    assert quirks_for(text) == Quirks()


@pytest.mark.parametrize("family", sorted(families()))
def test_a_known_family_differs_from_the_standard(family: str) -> None:
    assert families()[family] != Quirks()


def test_quirks_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Quirks().charset = "GBK"  # type: ignore[misc]  # the point of the test
