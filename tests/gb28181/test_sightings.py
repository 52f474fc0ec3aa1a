"""What a device was seen doing: counted, dated, bounded."""

from __future__ import annotations

from gb28181.sightings import Sightings


def test_it_counts_and_dates() -> None:
    seen = Sightings()
    seen.note("its address changed", 1.0)
    seen.note("its address changed", 5.0, 2)
    assert seen["its address changed"] == 3
    assert seen["never"] == 0
    assert "never" not in seen
    assert seen.last("its address changed") == 5.0
    assert seen.last("never") is None
    assert list(seen) == ["its address changed"]
    assert repr(seen) == "Sightings({'its address changed': 3})"


def test_repairs_are_named_without_long_quotations_and_with_their_count() -> None:
    seen = Sightings()
    seen.note_repairs(
        (
            "Status: 'ONLINE' read as 'ON' (x3)",
            "text between elements dropped: 'a long piece of it'",
        ),
        1.0,
    )
    seen.note_repairs(("text between elements dropped: 'another long piece'",), 2.0)
    assert dict(seen.items()) == {
        "Status: 'ONLINE' read as 'ON'": 3,
        "text between elements dropped: '...'": 2,
    }


def test_a_device_that_invents_new_faults_fills_no_memory() -> None:
    seen = Sightings()
    seen.note("old", 0.0)
    for number in range(1000):
        seen.note(f"fault {number}", 1.0)
        seen.note("often", 1.0)
    assert len(seen) == 128
    assert seen["often"] == 1000
    assert seen["old"] == 0
