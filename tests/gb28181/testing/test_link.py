"""Links and the wire: shares, delays, and the order of arrival."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.testing.clock import VirtualClock
from gb28181.testing.link import Conditions, Path, Wire


def path(seed: int = 0, **changes: float) -> Path:
    return Path(seed, "a", "b", Conditions(**changes))  # type: ignore[arg-type]  # only floats


@settings(max_examples=100)
@given(st.integers(0, 100), st.floats(0, 10), st.floats(0, 10))
def test_delays_lie_between_latency_and_latency_plus_jitter(
    seed: int, latency: float, jitter: float
) -> None:
    link = path(seed, latency=latency, jitter=jitter)
    for _ in range(20):
        (delay,) = link.datagram_delays()
        assert latency <= delay <= latency + jitter
        assert latency <= link.segment_delay() <= latency + jitter


def test_a_lost_segment_comes_after_its_retransmissions() -> None:
    link = path(seed=3, latency=0.0, loss=0.5)
    delays = {round(link.segment_delay(), 6) for _ in range(500)}
    assert {0.0, 0.2, 0.6, 1.4, 3.0} <= delays


def test_the_two_directions_draw_different_numbers() -> None:
    conditions = Conditions(loss=0.5)
    there, back = Path(1, "a", "b", conditions), Path(1, "b", "a", conditions)
    lost = [[not link.datagram_delays() for _ in range(64)] for link in (there, back)]
    assert lost[0] != lost[1]


def test_total_loss_of_a_link_ends() -> None:
    assert path(loss=1.0).datagram_delays() == []
    assert path(loss=1.0).segment_delay() > 200


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=60))
def test_arrivals_come_in_order_of_time_and_then_of_sending(
    sent: list[tuple[int, bool]],
) -> None:
    async def scenario() -> list[tuple[float, int]]:
        arrived: list[tuple[float, int]] = []
        with VirtualClock() as clock:
            wire = Wire()
            expected = []
            for number, (delay, wait) in enumerate(sent):
                when = clock.time() + delay / 16  # exact in binary
                expected.append((when, number))

                def arrive(number: int = number) -> None:
                    arrived.append((clock.time(), number))

                wire.arrive_at(when, arrive)
                if wait:
                    await asyncio.sleep(1 / 32)
            await asyncio.sleep(10)
        assert [number for _, number in arrived] == [number for _, number in sorted(expected)]
        for (at, _), (when, _) in zip(arrived, sorted(expected), strict=True):
            assert abs(at - when) < 1e-6
        return arrived

    with asyncio.Runner() as runner:
        assert len(runner.run(scenario())) == len(sent)
