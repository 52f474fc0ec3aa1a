"""The virtual clock of the simulated network."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.testing.clock import ClockRanAway, NothingCanHappen, VirtualClock


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


async def test_an_hour_of_ticks_takes_less_than_a_second(clock: VirtualClock) -> None:
    began, ticks = time.monotonic(), 0
    while clock.time() < 3600:
        await asyncio.sleep(60)
        ticks += 1
    assert ticks == 60
    assert time.monotonic() - began < 1.0


async def test_timers_fire_in_order_and_at_their_exact_time(clock: VirtualClock) -> None:
    loop = asyncio.get_running_loop()
    fired: list[tuple[float, float]] = []

    def fire(delay: float) -> None:
        fired.append((delay, loop.time()))

    for delay in (0.3, 0.1, 86_400 * 3.0, 0.2):
        loop.call_later(delay, fire, delay)
    loop.call_at(0.25, fire, 0.25)
    await asyncio.sleep(86_400 * 3.0 + 1)
    assert [delay for delay, _ in fired] == [0.1, 0.2, 0.25, 0.3, 86_400 * 3.0]
    assert [at for _, at in fired] == pytest.approx([delay for delay, _ in fired], abs=1e-6)


async def test_timeout_and_wait_use_virtual_time(clock: VirtualClock) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.Event().wait()
    assert clock.time() == pytest.approx(30)
    task = asyncio.ensure_future(asyncio.sleep(100))
    done, pending = await asyncio.wait([task], timeout=5)
    assert (done, pending) == (set(), {task})
    assert clock.time() == pytest.approx(35)
    await task
    assert clock.time() == pytest.approx(130)


async def test_ready_callbacks_run_before_the_clock_moves(clock: VirtualClock) -> None:
    times = []
    timer = asyncio.ensure_future(asyncio.sleep(1))
    for _ in range(1000):
        await asyncio.sleep(0)
        times.append(clock.time())
    assert set(times) == {0.0}
    await timer


async def test_a_thread_holds_the_clock(clock: VirtualClock) -> None:
    def work() -> str:
        time.sleep(0.1)
        return "arrived"

    async with asyncio.timeout(10):
        result = await asyncio.to_thread(work)
    assert result == "arrived"
    assert clock.time() == 0.0


async def test_the_thread_of_a_cancelled_call_still_holds_the_clock(clock: VirtualClock) -> None:
    finished = []
    started = threading.Event()

    def work() -> None:
        started.set()
        time.sleep(0.2)
        finished.append("work")

    task = asyncio.ensure_future(asyncio.to_thread(work))
    await asyncio.sleep(0)
    await asyncio.to_thread(started.wait)
    task.cancel()
    await asyncio.sleep(1)
    assert finished == ["work"]


async def test_a_thread_that_waits_for_the_loop_does_not_hold_the_clock_for_ever() -> None:
    with VirtualClock(patience=0.1) as clock:
        gate = threading.Event()
        job = asyncio.ensure_future(asyncio.to_thread(gate.wait))
        await asyncio.sleep(240)
        gate.set()
        assert await job
        assert clock.time() == pytest.approx(240)


async def test_a_real_socket_still_works(clock: VirtualClock) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        thread = threading.Timer(0.05, theirs.sendall, (b"hello",))
        thread.start()
        assert await asyncio.get_running_loop().sock_recv(ours, 10) == b"hello"
        thread.join()


async def test_a_signal_still_arrives(clock: VirtualClock) -> None:
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, arrived.set)
    try:
        loop.call_later(5, signal.raise_signal, signal.SIGUSR1)
        await arrived.wait()
    finally:
        loop.remove_signal_handler(signal.SIGUSR1)
    assert clock.time() == pytest.approx(5)


def test_a_deadlock_is_told_in_a_sentence_with_the_line_that_waits() -> None:
    async def waits_in_vain() -> None:
        VirtualClock().install(asyncio.get_running_loop())
        await inner()

    async def inner() -> None:
        await asyncio.Event().wait()

    with (
        asyncio.Runner() as runner,
        pytest.raises(NothingCanHappen, match=r"nothing can ever happen") as caught,
    ):
        runner.run(waits_in_vain())
    assert "waits_in_vain" in str(caught.value)
    line = inner.__code__.co_firstlineno + 1
    assert f"{__file__}:{line}" in str(caught.value)


def test_a_clock_that_runs_away_stops_the_test() -> None:
    async def keepalives() -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(60)

    async def scenario() -> None:
        VirtualClock(limit=7200).install(asyncio.get_running_loop())
        async with asyncio.TaskGroup() as group:
            group.create_task(keepalives())
            await asyncio.Event().wait()

    with (
        asyncio.Runner() as runner,
        pytest.raises(ClockRanAway, match=r"7200 virtual seconds .*\n(.*\n)*.*keepalives"),
    ):
        runner.run(scenario())


async def test_timers_set_before_keep_their_distance_across_both_ends() -> None:
    loop = asyncio.get_running_loop()
    fired: list[str] = []
    loop.call_later(0.05, fired.append, "short")
    loop.call_later(3600, fired.append, "long")
    real = loop.time()
    with VirtualClock() as clock:
        await asyncio.sleep(1)
        assert fired == ["short"]
        assert clock.time() == pytest.approx(1)
        late = loop.call_later(0.01, fired.append, "after")
    assert 0 <= loop.time() - real < 1
    assert 0 < late.when() - loop.time() <= 0.01
    await asyncio.sleep(0.02)
    assert fired == ["short", "after"]


async def test_two_clocks_on_one_loop_are_refused(clock: VirtualClock) -> None:
    with pytest.raises(RuntimeError, match="another"):
        VirtualClock().install(asyncio.get_running_loop())
    clock.uninstall()
    clock.uninstall()
    with VirtualClock():
        pass


def test_uvloop_is_refused_with_a_sentence() -> None:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        with pytest.raises(TypeError, match=r"uvloop\.Loop"):
            VirtualClock().install(loop)
    finally:
        loop.close()


async def test_the_calendar_follows_the_clock(clock: VirtualClock) -> None:
    await asyncio.sleep(86_400)
    assert clock.utc().isoformat() == "2026-01-02T00:00:00+00:00"
    assert clock.wall_time() == pytest.approx(1_767_225_600 + 86_400)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e3), st.booleans()), min_size=1, max_size=20
    )
)
def test_tasks_wake_at_the_sum_of_their_sleeps_whatever_else_sleeps_or_is_cancelled(
    plans: list[tuple[float, float, bool]],
) -> None:
    async def sleeper(first: float, second: float, woke: list[float]) -> None:
        await asyncio.sleep(first)
        await asyncio.sleep(second)
        woke.append(asyncio.get_running_loop().time())

    async def scenario() -> None:
        with VirtualClock(limit=1e7) as clock:
            woke: list[list[float]] = [[] for _ in plans]
            async with asyncio.TaskGroup() as group:
                for (first, second, is_cancelled), result in zip(plans, woke, strict=True):
                    task = group.create_task(sleeper(first, second, result))
                    if is_cancelled:
                        clock_loop = asyncio.get_running_loop()
                        clock_loop.call_later((first + second) / 2, task.cancel)
            for (first, second, is_cancelled), result in zip(plans, woke, strict=True):
                if not is_cancelled:
                    assert result == [pytest.approx(first + second, abs=1e-6)]
            assert clock.time() <= max(first + second for first, second, _ in plans) + 1e-6

    with asyncio.Runner() as runner:
        runner.run(scenario())
