"""Supervisor: the one task that hosts everything a role runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import RoleFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

logger = logging.getLogger("gb28181.supervisor")

T = TypeVar("T")


class Supervisor:
    """Owns the tasks of one role, apart from the code of whoever uses the role.

    The task group lives in a task of its own, so an error of the caller leaves the caller's block
    as it is, entering and leaving may happen in different tasks, and a death inside is told to
    whoever waits instead of being thrown into whatever the caller happens to do.
    """

    def __init__(self, name: str, *, failure: type[RoleFailed] = RoleFailed) -> None:
        self.name = name
        self.faults = 0
        self._failure = failure
        self._group: asyncio.TaskGroup | None = None
        self._main: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._cause: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_running(self) -> bool:
        """Whether tasks can be spawned."""
        if self._main is None or self._main.done() or self._stopping.is_set():
            return False
        return self._cause is None

    @property
    def task_count(self) -> int:
        """How many tasks the role runs now."""
        return len(self._tasks)

    @property
    def task_names(self) -> list[str]:
        """What the role runs now, for the leak check."""
        return sorted(task.get_name() for task in self._tasks)

    async def start(self) -> None:
        """Start the hosting task; a supervisor that was stopped may be started again."""
        if self._main is not None and not self._main.done():
            return
        self._stopping = asyncio.Event()
        self._cause = None
        ready = asyncio.Event()
        self._main = asyncio.get_running_loop().create_task(self._host(ready), name=self.name)
        await ready.wait()

    async def stop(self) -> None:
        """End every task and wait until all have ended. Idempotent."""
        self._stopping.set()
        if self._main is not None:
            await asyncio.wait([self._main])

    async def wait_closed(self) -> BaseException | None:
        """Wait until the role has ended; return what it died of, or None after a normal stop."""
        if self._main is not None:
            await asyncio.wait([self._main])
        return self._cause

    def check(self) -> None:
        """Raise when the role is not running.

        Raises:
            RoleFailed: It died (the cause is chained), was stopped, or was never started.
        """
        if self.is_running:
            return
        if self._cause is not None:
            raise self._failure(f"{self.name} has failed: {self._cause}") from self._cause
        raise self._failure(f"{self.name} is not running: enter it with 'async with' first")

    def spawn(
        self,
        work: Coroutine[Any, Any, None],
        *,
        name: str,
        on_fault: Callable[[Exception], None] | None = None,
    ) -> asyncio.Task[None]:
        """Run ``work`` in the role's group.

        Args:
            work: What to run.
            name: Shown in logs and by the leak check.
            on_fault: With it, an error ends this task alone: it is logged once, counted and handed
                over. Without it, an error ends the role.
        """
        if self._group is None or not self.is_running:
            work.close()
            self.check()
        assert self._group is not None
        task = self._group.create_task(
            work if on_fault is None else self._guard(work, name, on_fault), name=name
        )
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        # A task that is cancelled before its first step has not touched what it should carry.
        task.add_done_callback(lambda _: work.close())
        return task

    async def run(self, work: Coroutine[Any, Any, T], *, name: str) -> T:
        """Run a public verb in the role's group and wait for it.

        The verb's own error reaches the caller bare. When the role dies meanwhile, the caller gets
        the role's failure; when the caller is cancelled, so is the work.
        """
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        try:
            task = self.spawn(_carry(work, outcome), name=name)
        except RoleFailed:
            work.close()
            raise
        try:
            return await outcome
        except asyncio.CancelledError:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
            current = asyncio.current_task()
            if current is not None and current.cancelling() == 0 and not self.is_running:
                self.check()
            raise

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        # Known before the others are cancelled, so that whoever waits for one of them learns why.
        if self._cause is None and not task.cancelled() and task.exception() is not None:
            self._cause = task.exception()

    async def _guard(
        self,
        work: Coroutine[Any, Any, None],
        name: str,
        on_fault: Callable[[Exception], None],
    ) -> None:
        try:
            await work
        except Exception as error:
            self.faults += 1
            logger.exception("%s: %s ended by a fault", self.name, name)
            on_fault(error)

    async def _host(self, ready: asyncio.Event) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                ready.set()
                await self._stopping.wait()
                for task in tuple(self._tasks):
                    task.cancel()
        except BaseExceptionGroup as errors:
            self._cause = self._cause or _first_leaf(errors)
            logger.error("%s has failed: %r", self.name, self._cause, exc_info=self._cause)
        except asyncio.CancelledError as error:
            self._cause = error
            raise
        finally:
            self._group = None


async def _carry(work: Coroutine[Any, Any, T], outcome: asyncio.Future[T]) -> None:
    try:
        result = await work
    except asyncio.CancelledError:
        if not outcome.done():
            outcome.cancel()
        raise
    except Exception as error:  # noqa: BLE001  the verb's caller is its boundary
        if not outcome.done():
            outcome.set_exception(error)
    else:
        if not outcome.done():
            outcome.set_result(result)


def _first_leaf(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    leaf: BaseException = errors
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf
