from __future__ import annotations

import dataclasses

import pytest

from gb28181.quirks import Quirks, families, learnt, quirks_for
from gb28181.testing.simulation import Simulation


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


def test_a_family_is_learnt_from_what_a_peer_says_of_itself() -> None:
    assert learnt(Quirks(), "DAHUA IPC").stream_attribute == "streamprofile"
    assert learnt(Quirks(), "nobody knows") == Quirks()
    set_by_hand = Quirks(stream_attribute="stream")
    assert learnt(set_by_hand, "Dahua") is set_by_hand


def test_trust_is_not_learnt_from_a_peers_own_word() -> None:
    assert quirks_for("Huawei").outlives_expiry
    assert learnt(Quirks(), "Huawei") == Quirks()


async def test_the_platform_learns_the_family_of_a_device(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device("dahua-ipc")
    await gb.until(lambda: platform.device(camera.id).info)
    await gb.advance(1)
    assert platform.device(camera.id).quirks.stream_attribute == "streamprofile"
