from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.equipment.axis import Axis


def test_it_moves_with_its_speed_until_it_is_stopped() -> None:
    axis = Axis(-30.0, 90.0, at=0.0)
    axis.drive(10.0, 5.0)
    assert axis.at(7.0) == 20.0
    axis.stop(7.5)
    assert axis.at(100.0) == 25.0
    assert not axis.is_moving(100.0)


def test_it_stops_at_its_end() -> None:
    axis = Axis(-30.0, 90.0, at=80.0)
    axis.drive(10.0, 0.0)
    assert axis.is_moving(0.5)
    assert axis.at(60.0) == 90.0
    assert not axis.is_moving(60.0)


def test_a_motion_whose_stop_was_lost_ends_by_itself() -> None:
    axis = Axis(0.0, 360.0, at=0.0, turns=True)
    axis.drive(1.0, 0.0, longest=30.0)
    assert axis.at(1000.0) == 30.0
    assert not axis.is_moving(30.0)


@pytest.mark.parametrize(("here", "there", "halfway"), [(350.0, 10.0, 0.0), (10.0, 350.0, 0.0)])
def test_it_turns_the_shorter_way(here: float, there: float, halfway: float) -> None:
    axis = Axis(0.0, 360.0, at=here, turns=True)
    assert axis.go(there, 10.0, 0.0) == pytest.approx(2.0)
    assert axis.at(1.0) == pytest.approx(halfway)
    assert axis.at(99.0) == pytest.approx(there)


def test_it_goes_as_far_as_it_can() -> None:
    axis = Axis(1.0, 36.0, at=1.0)
    axis.go(72.0, 10.0, 0.0)
    assert axis.at(99.0) == 36.0


@given(
    moves=st.lists(
        st.tuples(st.floats(0, 100), st.floats(-1000, 1000), st.floats(0.1, 500)), max_size=20
    ),
    turns=st.booleans(),
)
def test_it_is_always_within_its_reach(
    moves: list[tuple[float, float, float]], turns: bool
) -> None:
    axis = Axis(0.0, 360.0, at=0.0, turns=turns)
    now = 0.0
    for pause, target, speed in moves:
        now += pause
        axis.go(target, speed, now)
        assert 0.0 <= axis.at(now + pause / 2) <= 360.0
