"""Every case of the kit is whole."""

from collections import Counter

import pytest

from conformance.case import PARTS, Case, Role
from conformance.cases import all_cases


def name_of(one: Case) -> str:
    return f"{one.id}-{one.roles[0].value}"


@pytest.mark.parametrize("one", all_cases(), ids=name_of)
def test_page_has_its_four_parts_in_order(one: Case) -> None:
    places = [one.page.find(f"\n\n{part}: ") for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)
    assert one.title.endswith(".")


@pytest.mark.parametrize("role", list(Role))
def test_id_stands_once_for_a_role(role: Role) -> None:
    counts = Counter(one.id for one in all_cases() if role in one.roles)
    assert {case_id for case_id, count in counts.items() if count > 1} == set()


def test_needs_are_cases_of_the_same_role() -> None:
    for one in all_cases():
        for role in one.roles:
            ids = {other.id for other in all_cases() if role in other.roles}
            assert set(one.needs) <= ids, one.id


def test_first_points_of_both_roles_are_there() -> None:
    by_role = {role: {one.id for one in all_cases() if role in one.roles} for role in Role}
    assert len(by_role[Role.PLATFORM]) >= 12
    assert len(by_role[Role.DEVICE]) >= 12
