import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.timers import TimerHeap, Timers


def test_derived_timers_follow_t1() -> None:
    assert Timers().transaction == 32.0
    assert Timers(t1=0.1).transaction == pytest.approx(6.4)


def test_arming_again_moves_the_timer() -> None:
    heap: TimerHeap[str] = TimerHeap()
    heap.arm("a", 1.0)
    heap.arm("a", 3.0)
    assert heap.next_timeout() == 3.0
    assert heap.pop_due(2.0) is None
    assert heap.pop_due(3.0) == "a"
    assert heap.next_timeout() is None


def test_cancelled_timer_does_not_fire() -> None:
    heap: TimerHeap[str] = TimerHeap()
    heap.arm("a", 1.0)
    heap.arm("b", 2.0)
    heap.cancel("a")
    heap.cancel("never armed")
    assert heap.pop_due(9.0) == "b"
    assert heap.pop_due(9.0) is None


def test_heap_stays_bounded_when_everything_is_cancelled() -> None:
    heap: TimerHeap[int] = TimerHeap()
    for key in range(10_000):
        heap.arm(key, float(key))
        heap.cancel(key)
    assert len(heap) == 0
    assert len(heap._heap) <= 65


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 9), st.one_of(st.none(), st.floats(0, 100)))))
def test_heap_agrees_with_a_dict(steps: list[tuple[int, float | None]]) -> None:
    heap: TimerHeap[int] = TimerHeap()
    model: dict[int, float] = {}
    for key, when in steps:
        if when is None:
            heap.cancel(key)
            model.pop(key, None)
        else:
            heap.arm(key, when)
            model[key] = when
        assert heap.next_timeout() == min(model.values(), default=None)
    fired = []
    while (key_due := heap.pop_due(100.0)) is not None:
        fired.append(model[key_due])
    assert fired == sorted(model.values())
