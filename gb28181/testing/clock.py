"""A clock for an event loop that jumps to the next timer instead of waiting for it."""

import asyncio
import functools
import heapq
import selectors
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

_SLICE = 0.05
_BUSY_SHARE = 0.1
_STALLED_PAUSE = 0.001
_MORE_AFTER_LIMIT = 3600.0

_ASYNCIO = asyncio.__file__.removesuffix("__init__.py")

_Events = list[tuple[selectors.SelectorKey, int]]


class NothingCanHappen(RuntimeError):
    """Every task waits, no timer is set and no thread works: the loop would wait for ever."""


class ClockRanAway(RuntimeError):
    """The virtual clock passed its limit: something ticks on while the test waits in vain."""


class VirtualClock:
    """Replaces the time of one selector event loop, so that hours pass in milliseconds.

    While callbacks are ready, the clock stands. When the loop would wait for a timer, the clock is
    set to that timer. While a job runs in an executor (``asyncio.to_thread``), the clock stands and
    the loop waits really; a job that keeps the whole process idle for ``patience`` is taken to wait
    for the loop itself and holds the clock no longer. Real sockets and signals work, but time does
    not wait for a foreign process.

    Attributes:
        jumps: How often the clock was set forward.
    """

    def __init__(
        self,
        *,
        start: float = 0.0,
        epoch: float = 1_767_225_600.0,
        patience: float = 1.0,
        limit: float = 7 * 86_400.0,
    ) -> None:
        """Prepare a clock; nothing is replaced before `install`.

        Args:
            start: ``loop.time()`` at the moment of installation.
            epoch: What `wall_time` says at that moment; 2026-01-01T00:00:00Z by default.
            patience: Real seconds that an idle thread, or a real socket with nothing else left to
                wait for, may keep the clock standing.
            limit: Virtual seconds after which the clock raises `ClockRanAway`.
        """
        self.jumps = 0
        self._now = self._start = start
        self._epoch = epoch
        self._patience = patience
        self._limit = start + limit
        self._loop: asyncio.SelectorEventLoop | None = None
        self._selector: _JumpingSelector | None = None
        self._jobs: set[_Job] = set()

    def __enter__(self) -> Self:
        """Install on the running loop."""
        self.install(asyncio.get_running_loop())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give the loop its own time back."""
        self.uninstall()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Replace the time of this loop. Timers that are set already keep their distance.

        Raises:
            TypeError: The loop is not one of asyncio's selector loops (uvloop, for example).
            RuntimeError: This clock is installed already, or the loop has a virtual clock.
        """
        if not isinstance(loop, asyncio.SelectorEventLoop):
            kind = f"{type(loop).__module__}.{type(loop).__qualname__}"
            raise TypeError(
                f"a virtual clock needs asyncio's own selector event loop, this is {kind}; "
                "run these tests with the default event loop policy"
            )
        if self._loop is not None or isinstance(_inner(loop), _JumpingSelector):
            raise RuntimeError("this event loop or this clock has been joined to another already")
        offset = self._now - loop.time()
        self._loop = loop
        self._selector = _JumpingSelector(_inner(loop), self._wait)
        _shift_timers(loop, offset)
        vars(loop).update(
            _selector=self._selector,
            time=self.time,
            run_in_executor=functools.partial(self._run_in_executor, loop.run_in_executor),
        )

    def uninstall(self) -> None:
        """Give the loop its own time back; nothing happens when the clock is not installed."""
        loop, selector = self._loop, self._selector
        if loop is None or selector is None:
            return
        self._loop = self._selector = None
        attributes = vars(loop)
        del attributes["time"], attributes["run_in_executor"]
        attributes["_selector"] = selector.inner
        _shift_timers(loop, loop.time() - self._now)

    def time(self) -> float:
        """Return the loop's time."""
        return self._now

    def wall_time(self) -> float:
        """Return seconds since 1970 as the simulated world sees them."""
        return self._epoch + (self._now - self._start)

    def utc(self) -> datetime:
        """Return the date and time of the simulated world."""
        return datetime.fromtimestamp(self.wall_time(), UTC)

    def _run_in_executor(
        self,
        run: Callable[..., asyncio.Future[Any]],
        executor: Any,
        func: Callable[..., Any],
        *args: Any,
    ) -> asyncio.Future[Any]:
        job = _Job()
        if executor is None or isinstance(executor, ThreadPoolExecutor):
            job.future = run(executor, job.run, func, *args)
        else:  # a process pool must be able to pickle the function
            job.future = run(executor, func, *args)
        self._jobs.add(job)
        return job.future

    def _wait(self, inner: selectors.BaseSelector, timeout: float | None) -> _Events:
        """Do what the loop's selector does, with virtual time."""
        if timeout is not None and timeout <= 0:
            return inner.select(0)
        self._jobs = {job for job in self._jobs if not job.is_over}
        events = inner.select(_STALLED_PAUSE if self._jobs and not self._working() else 0)
        if not events and self._working():
            events = self._wait_for_threads(inner)
        if events:
            return events
        if timeout is not None:
            self._jump(timeout)
            return []
        return self._wait_for_outside(inner)

    def _working(self) -> bool:
        return any(not job.is_stalled and not job.is_over for job in self._jobs)

    def _wait_for_threads(self, inner: selectors.BaseSelector) -> _Events:
        """Wait until something happens, or until the process has been idle for ``patience``."""
        idle = 0.0
        while self._working():
            wall, cpu = time.monotonic(), time.process_time()
            events = inner.select(_SLICE)
            if events:
                return events
            spent = time.monotonic() - wall
            is_busy = time.process_time() - cpu > spent * _BUSY_SHARE
            idle = 0.0 if is_busy else idle + spent
            if idle >= self._patience:
                for job in self._jobs:
                    job.is_stalled = True
        return inner.select(0)

    def _jump(self, timeout: float) -> None:
        if self._now + timeout > self._limit:
            passed = self._now - self._start
            self._limit = self._now + timeout + _MORE_AFTER_LIMIT  # what tidies up may still wait
            raise ClockRanAway(
                f"{passed:.0f} virtual seconds have passed and the test still waits:\n"
                + self._waiting_tasks()
            )
        self._now += timeout
        self.jumps += 1

    def _wait_for_outside(self, inner: selectors.BaseSelector) -> _Events:
        """No timer is set: only a thread, a real socket or a signal can wake the loop."""
        is_open = bool(self._jobs) or len(inner.get_map() or ()) > 1 or self._has_signals()
        events = inner.select(self._patience if is_open else _SLICE)
        if events:
            return events
        raise NothingCanHappen(
            "nothing can ever happen: no callback is ready, no timer is set, no thread works; "
            "these tasks wait for ever:\n" + self._waiting_tasks()
        )

    def _has_signals(self) -> bool:
        return bool(getattr(self._loop, "_signal_handlers", None))

    def _waiting_tasks(self) -> str:
        lines = []
        for task in sorted(asyncio.all_tasks(self._loop), key=lambda task: task.get_name()):
            place = _innermost_line(task.get_coro())
            coroutine = getattr(task.get_coro(), "__qualname__", "?")
            lines.append(f"  {task.get_name()} ({coroutine}) at {place}")
        return "\n".join(lines)


class _Job:
    """A call that an executor was asked to make."""

    __slots__ = ("finished", "future", "is_stalled", "started")

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] | None = None
        self.started = self.finished = self.is_stalled = False

    def run(self, func: Callable[..., Any], *args: Any) -> Any:
        self.started = True
        try:
            return func(*args)
        finally:
            self.finished = True

    @property
    def is_over(self) -> bool:
        # A cancelled future says nothing of the thread, which goes on with what it has begun.
        if self.future is None or not self.future.done():
            return False
        return self.finished or not self.started


class _JumpingSelector(selectors.BaseSelector):
    """Stands in front of the loop's selector and lets the clock decide about waiting."""

    def __init__(
        self,
        inner: selectors.BaseSelector,
        wait: Callable[[selectors.BaseSelector, float | None], _Events],
    ) -> None:
        self.inner = inner
        self._wait = wait

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self.inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self.inner.modify(fileobj, events, data)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self.inner.get_key(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self.inner.get_map() or {}

    def select(self, timeout: float | None = None) -> _Events:
        return self._wait(self.inner, timeout)

    def close(self) -> None:
        self.inner.close()


def _inner(loop: asyncio.AbstractEventLoop) -> selectors.BaseSelector:
    selector = vars(loop)["_selector"]
    assert isinstance(selector, selectors.BaseSelector)
    return selector


def _shift_timers(loop: asyncio.AbstractEventLoop, offset: float) -> None:
    timers = vars(loop)["_scheduled"]
    for timer in timers:
        timer._when += offset
    heapq.heapify(timers)


def _innermost_line(awaitable: object) -> str:
    """Say where a suspended coroutine waits: the last line that is not asyncio's own."""
    place = "?"
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        is_ours = frame is not None and not frame.f_code.co_filename.startswith(_ASYNCIO)
        if frame is not None and (is_ours or place == "?"):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)
    return place
