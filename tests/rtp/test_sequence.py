from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rtp.sequence import Unwrapper, distance, is_newer


@given(st.integers(0, 0xFFFF), st.lists(st.integers(-0x7FFF, 0x7FFF), max_size=50))
def test_unwrapping_restores_every_walk_in_steps_below_half(start: int, steps: list[int]) -> None:
    unwrapper, value = Unwrapper(16), start
    assert unwrapper.unwrap(start) == start
    for step in steps:
        value += step
        assert unwrapper.unwrap(value & 0xFFFF) == value


def test_after_a_reset_the_next_value_stands_for_itself() -> None:
    unwrapper = Unwrapper(33)
    unwrapper.unwrap((1 << 33) - 1)
    assert unwrapper.unwrap(3) == (1 << 33) + 3
    unwrapper.reset()
    assert unwrapper.unwrap(3) == 3


def test_serial_order_goes_over_the_wrap() -> None:
    assert distance(2, 0xFFFF) == 3
    assert distance(0xFFFF, 2) == -3
    assert is_newer(0, 0xFFFFFFFF, 32)
    assert not is_newer(7, 7)
