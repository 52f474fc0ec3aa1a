from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.equipment.route import Route

SQUARE = ((118.37, 31.33), (118.38, 31.33), (118.38, 31.34), (118.37, 31.34))


def test_it_starts_at_the_first_point_towards_the_second() -> None:
    place = Route(SQUARE, speed=36.0).at(0.0)
    assert (place.longitude, place.latitude) == SQUARE[0]
    assert (place.speed, place.direction) == (36.0, 90.0)


def test_ten_metres_a_second() -> None:
    route = Route(SQUARE, speed=36.0)
    # 0.01 degrees of longitude at this latitude are 949.8 m.
    assert route.at(47.49).longitude == pytest.approx(118.375, abs=1e-5)
    corner = route.at(95.5)
    assert corner.longitude == pytest.approx(118.38, abs=1e-6)
    assert corner.direction == pytest.approx(0.0, abs=0.1)


def test_a_single_point_is_a_standstill() -> None:
    place = Route((SQUARE[0],), speed=36.0).at(1e6)
    assert (place.longitude, place.latitude, place.speed) == (118.37, 31.33, 0.0)


@given(st.floats(0, 1e9))
def test_it_never_leaves_the_round(elapsed: float) -> None:
    place = Route(SQUARE).at(elapsed)
    assert 118.37 <= place.longitude <= 118.38
    assert 31.33 <= place.latitude <= 31.34
    assert 0.0 <= place.direction < 360.0
