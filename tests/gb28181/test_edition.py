from __future__ import annotations

import pytest

from gb28181.edition import Edition


@pytest.mark.parametrize(
    ("text", "edition"),
    [
        ("1.0", Edition.GB2011),
        ("1.1", Edition.GB2011A),
        ("1.2", Edition.GB2011A),
        ("2.0", Edition.GB2016),
        (" 3.0 ", Edition.GB2022),
        ("3", Edition.GB2022),
        ("4.1", Edition.GB2022),
        ("0.9", Edition.GB2016),
        ("", Edition.GB2016),
        ("new", Edition.GB2016),
        (None, Edition.GB2016),
    ],
)
def test_the_version_header_tells_the_edition(text: str | None, edition: Edition) -> None:
    assert Edition.from_version(text) is edition


def test_a_silent_peer_speaks_what_is_configured() -> None:
    assert Edition.from_version(None, Edition.GB2022) is Edition.GB2022


@pytest.mark.parametrize("edition", Edition)
def test_each_edition_is_found_by_its_own_version(edition: Edition) -> None:
    assert Edition.from_version(edition.version) is edition


def test_editions_are_ordered_by_age() -> None:
    ordered = [Edition.GB2011, Edition.GB2011A, Edition.GB2016, Edition.GB2022]
    mixed = [ordered[2], ordered[0], ordered[3], ordered[1]]
    assert sorted(mixed) == ordered
    assert Edition.GB2022 >= Edition.GB2016 > Edition.GB2011 <= Edition.GB2011


def test_only_2022_declares_gb18030() -> None:
    assert [edition.charset for edition in Edition] == ["GB2312"] * 3 + ["GB18030"]
