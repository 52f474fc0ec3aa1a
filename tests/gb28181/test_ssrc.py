from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.errors import InvalidIdentifier, SsrcsExhausted
from gb28181.ssrc import SsrcPool, format_ssrc, parse_ssrc

PLATFORM = "34020000002000000001"


@given(st.integers(0, 2**32 - 1))
def test_what_is_written_is_read_again(ssrc: int) -> None:
    assert parse_ssrc(format_ssrc(ssrc)) == ssrc
    assert len(format_ssrc(ssrc)) == 10


@pytest.mark.parametrize(
    ("text", "ssrc"), [("100000001", 100000001), (" 000200000001 ", 200000001), ("0", 0)]
)
def test_any_number_of_digits_is_read(text: str, ssrc: int) -> None:
    assert parse_ssrc(text) == ssrc


@pytest.mark.parametrize("text", ["", "abc", "-1", "4294967296", "１２", "9" * 5000])
def test_what_is_no_ssrc_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdentifier):
        parse_ssrc(text)


def test_a_lease_carries_digits_4_to_8_of_the_domain() -> None:  # 2022 Annex G
    pool = SsrcPool(PLATFORM)
    assert format_ssrc(pool.lease()) == "0200000001"
    assert format_ssrc(pool.lease(historical=True)) == "1200000001"
    assert format_ssrc(SsrcPool("13010000002000000001").lease()) == "0100000001"


def test_no_two_leases_are_equal_and_none_ends_in_zeros() -> None:
    pool = SsrcPool(PLATFORM, start=9_990)
    leased = {pool.lease() for _ in range(9_999)}
    assert len(leased) == len(pool) == 9_999
    assert 200_000_000 not in leased


def test_an_empty_pool_says_so_for_its_kind_only() -> None:
    pool = SsrcPool(PLATFORM)
    for _ in range(9_999):
        pool.lease(historical=True)
    with pytest.raises(SsrcsExhausted, match="historical"):
        pool.lease(historical=True)
    assert pool.lease() == 200_000_001


def test_a_released_value_is_used_again_as_late_as_possible() -> None:
    pool = SsrcPool(PLATFORM)
    first = pool.lease()
    pool.release(first)
    others = [pool.lease() for _ in range(9_998)]
    assert first not in others
    assert pool.lease() == first


def test_releasing_a_strange_value_changes_nothing() -> None:
    pool = SsrcPool(PLATFORM)
    pool.release(0)
    assert len(pool) == 0


@pytest.mark.parametrize("domain", ["", "3402000", "340abcde00"])
def test_a_domain_without_eight_digits_has_no_pool(domain: str) -> None:
    with pytest.raises(InvalidIdentifier):
        SsrcPool(domain)
