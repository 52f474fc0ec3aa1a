"""The task that hosts what a role runs."""

from __future__ import annotations

import asyncio
import inspect
import logging

import pytest

from gb28181.errors import PlatformFailed, RoleFailed
from gb28181.supervisor import Supervisor


async def fail() -> None:
    raise RuntimeError("broken")


async def wait() -> None:
    await asyncio.Event().wait()


async def answer() -> int:
    return 42


async def test_a_task_ends_with_the_supervisor() -> None:
    supervisor = Supervisor("role")
    await supervisor.start()
    task = supervisor.spawn(wait(), name="waiter")
    assert supervisor.task_names == ["waiter"]
    await supervisor.stop()
    assert task.cancelled()
    assert supervisor.task_count == 0
    assert await supervisor.wait_closed() is None


async def test_a_fault_with_a_boundary_ends_its_task_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = Supervisor("role")
    await supervisor.start()
    other = supervisor.spawn(wait(), name="waiter")
    seen: list[Exception] = []
    await asyncio.wait([supervisor.spawn(fail(), name="weak", on_fault=seen.append)])
    assert [str(error) for error in seen] == ["broken"]
    assert supervisor.faults == 1
    assert supervisor.is_running
    assert not other.done()
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    await supervisor.stop()


async def test_a_fault_without_a_boundary_ends_the_role() -> None:
    supervisor = Supervisor("role", failure=PlatformFailed)
    await supervisor.start()
    other = supervisor.spawn(wait(), name="waiter")
    supervisor.spawn(fail(), name="vital")
    cause = await supervisor.wait_closed()
    assert isinstance(cause, RuntimeError)
    assert other.cancelled()
    with pytest.raises(PlatformFailed, match="role has failed: broken") as told:
        supervisor.check()
    assert told.value.__cause__ is cause
    work = wait()
    with pytest.raises(PlatformFailed):
        supervisor.spawn(work, name="late")


async def test_before_the_start_nothing_can_be_spawned() -> None:
    with pytest.raises(RoleFailed, match="not running"):
        Supervisor("role").spawn(wait(), name="early")
    with pytest.raises(RoleFailed, match="not running"):
        await Supervisor("role").run(answer(), name="early")


async def test_a_verb_gives_its_result_or_its_bare_error() -> None:
    supervisor = Supervisor("role")
    await supervisor.start()
    assert await supervisor.run(answer(), name="verb") == 42
    with pytest.raises(RuntimeError, match="broken"):
        await supervisor.run(fail(), name="verb")
    assert supervisor.is_running
    await supervisor.stop()


async def test_a_verb_learns_that_the_role_died() -> None:
    supervisor = Supervisor("role", failure=PlatformFailed)
    await supervisor.start()
    verb = asyncio.ensure_future(supervisor.run(wait(), name="verb"))
    await asyncio.sleep(0)
    supervisor.spawn(fail(), name="vital")
    with pytest.raises(PlatformFailed, match="broken"):
        await verb


async def test_a_verb_learns_that_the_role_was_stopped() -> None:
    supervisor = Supervisor("role")
    await supervisor.start()
    verb = asyncio.ensure_future(supervisor.run(wait(), name="verb"))
    await asyncio.sleep(0)
    await supervisor.stop()
    with pytest.raises(RoleFailed):
        await verb


async def test_a_cancelled_caller_takes_its_verb_along() -> None:
    supervisor = Supervisor("role")
    await supervisor.start()
    verb = asyncio.ensure_future(supervisor.run(wait(), name="verb"))
    await asyncio.sleep(0)
    verb.cancel()
    with pytest.raises(asyncio.CancelledError):
        await verb
    assert supervisor.task_count == 0
    assert supervisor.is_running
    await supervisor.stop()


async def test_it_can_be_started_again() -> None:
    supervisor = Supervisor("role")
    await supervisor.start()
    supervisor.spawn(fail(), name="vital")
    await supervisor.wait_closed()
    await supervisor.start()
    assert supervisor.is_running
    await supervisor.start()  # twice is once
    await supervisor.stop()
    await supervisor.stop()


async def test_a_task_that_is_cancelled_before_it_began_leaves_no_warning() -> None:
    supervisor = Supervisor("test")
    await supervisor.start()
    begun = False

    async def work() -> None:
        nonlocal begun
        begun = True

    carried = work()
    supervisor.spawn(carried, name="never", on_fault=lambda _: None).cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not begun
    assert inspect.getcoroutinestate(carried) == inspect.CORO_CLOSED
    await supervisor.stop()
