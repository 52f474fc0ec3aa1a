"""The tasks that a peer runs beside a case, with one owner that ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Owns tasks; a fault in one of them is the kit's and is raised when they are closed."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._faults: list[BaseException] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until it ends or the tasks are closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Cancel what runs and wait for it."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def check(self) -> None:
        """Raise the first fault, once."""
        if self._faults:
            fault, self._faults = self._faults[0], []
            raise fault

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._faults.append(fault)
