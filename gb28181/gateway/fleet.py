"""Fleet: many simulated devices in one process, started at a pace, and what befalls them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import sys
from typing import TYPE_CHECKING

from rtp.transport import SocketNetwork

from ..errors import ConfigError
from ..media.plane import LocalMediaPlane
from ..wire.network import HabitualNetwork, SystemNetwork

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from ..device import Device
    from ..habits import Habits
    from ..media.plane import MediaPlane
    from ..wire.faults import Faults

logger = logging.getLogger("gb28181.simulate")

SPARE_FILES = 512
"""Open files for media, logs and the interpreter, beside one socket for each device."""
_TELL = 1.0
_GOODBYES = 200
"""Devices that say goodbye at a time."""


class Ground:
    """What the devices of a process share: one media plane, or the system's sockets."""

    def __init__(self, *, ports: range, habits: Habits, faults: Faults, seed: int) -> None:
        """Open what is shared; must be called in the loop.

        Args:
            ports: The pool of media ports.
            habits: Of every device.
            faults: Of every device.
            seed: Decides what is lost, with the number of the device.
        """
        self._habits = habits
        self._faults = faults
        self._seed = seed
        self._sockets = SocketNetwork()
        self._system = SystemNetwork()
        self.plane: MediaPlane | None = None
        if not self.bends:
            self.plane = LocalMediaPlane(self._sockets, ports=ports)

    @property
    def bends(self) -> bool:
        """Whether anything of what a device sends is bent."""
        return bool(self._habits.names) or self._faults.is_any

    def network(self, number: int) -> HabitualNetwork | None:
        """The network of one device; None for the system's own."""
        if not self.bends:
            return None
        return HabitualNetwork(
            self._system, self._habits, faults=self._faults.copy(), seed=self._seed + number
        )

    async def close(self) -> None:
        """Close what was shared."""
        if self.plane is not None:
            await self.plane.close()
        self._sockets.close()
        self._system.close()


class Member:
    """One device of a fleet, and what befalls it."""

    def __init__(
        self, number: int, ground: Ground, make: Callable[[HabitualNetwork | None], Device]
    ) -> None:
        self.number = number
        self._ground = ground
        self._make = make
        self.network = ground.network(number)
        self.device = make(self.network)

    async def start(self) -> None:
        """Start it."""
        await self.device.start()

    async def stop(self) -> None:
        """Say goodbye and stop."""
        await self.device.stop()

    async def reboot(self) -> None:
        """Lose all state without a goodbye, in the middle of calls, and begin anew."""
        old, network = self.device, self.network
        self.network = self._ground.network(self.number)
        self.device = self._make(self.network)
        if network is not None:
            network.is_silent = True
        await self.device.start()
        await old.stop()

    async def move(self) -> None:
        """Go on from another address of this machine; nobody is told."""
        if self.network is not None:
            high, low = divmod(self.number + 1, 250)
            await self.network.move(f"127.1.{high % 250}.{low + 1}")

    def vanish(self) -> None:
        """Die without a word."""
        if self.network is not None:
            self.network.is_silent = True


class Fleet:
    """Starts its members one after the other, tells how far it is, and lets faults befall them."""

    def __init__(self, count: int, add: Callable[[int], Member], *, rate: float) -> None:
        """Take who is to be started.

        Args:
            count: How many devices.
            add: Makes one, by its number from 0.
            rate: Devices started in a second.
        """
        self.members: list[Member] = []
        self._count = count
        self._add = add
        self._rate = rate
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def registered(self) -> int:
        """How many believe to be registered."""
        return sum(one.device.is_registered for one in self.members)

    async def start(self, faults: Faults) -> None:
        """Start all, at the pace; returns when the last one has begun to register.

        Raises:
            OSError: A socket cannot be opened.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(self._count):
            wait = began + number / self._rate - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            member = self._add(number)
            await member.start()
            self.members.append(member)
            self._plan(member, faults)

    async def tell(self, write: Callable[[str], object]) -> None:
        """Write how many are registered, whenever that has changed. Runs until cancelled."""
        told = -1
        while True:
            now = self.registered
            if now != told:
                write(f"registered {now:,} of {self._count:,}\n")
                told = now
            await asyncio.sleep(_TELL)

    async def stop(self) -> None:
        """Let all say goodbye, and stop."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        for first in range(0, len(self.members), _GOODBYES):
            stops = [
                asyncio.ensure_future(one.stop()) for one in self.members[first : first + _GOODBYES]
            ]
            await asyncio.wait(stops)

    def _plan(self, member: Member, faults: Faults) -> None:
        if faults.move:
            self._begin(_after(faults.move, member.move))
        if faults.reboot:
            self._begin(_every(faults.reboot, member.reboot))
        if faults.vanish:
            asyncio.get_running_loop().call_later(faults.vanish, member.vanish)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.warning("a fault could not be played: %s", task.exception())


def make_room(devices: int) -> None:
    """Let the process open a socket for each device.

    Raises:
        ConfigError: The system does not allow that many.
    """
    needed = devices + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise ConfigError(
                f"--devices {devices} needs {needed} open files and the limit is {hard}: "
                f"raise it with 'ulimit -n {needed}', or start several processes"
            )
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def write_line(text: str) -> None:
    """Write a line of progress."""
    sys.stderr.write(text)
    sys.stderr.flush()


async def _after(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(seconds)
    await act()


async def _every(seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        await act()
