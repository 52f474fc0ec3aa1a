"""The timer values of RFC 3261 and a heap of pending timers."""

import heapq
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """The base timers, and what follows from them.

    Source: RFC 3261 table 4, RFC 6026 section 7.
    """

    t1: float = 0.5
    """Seconds; estimate of the round trip time."""
    t2: float = 4.0
    """Seconds; longest interval between retransmissions."""
    t4: float = 5.0
    """Seconds; how long a message stays in the network."""
    wait_d: float = 32.0
    """Seconds; how long a refused INVITE absorbs repeated answers on UDP (timer D)."""
    ringing: float = 180.0
    """Seconds; an INVITE that our user leaves unanswered is then refused with 408 (timer C)."""

    @property
    def transaction(self) -> float:
        """Seconds after which a transaction gives up: timers B, F, H, J, L and M."""
        return 64 * self.t1


class TimerHeap(Generic[Key]):
    """Pending timers, each under a key of its owner; arming a key again moves its timer."""

    __slots__ = ("_due", "_heap", "_serial")

    def __init__(self) -> None:
        self._due: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._due)

    def arm(self, key: Key, when: float) -> None:
        """Let ``key`` fire at ``when``; an earlier setting of the same key is forgotten."""
        self._serial += 1
        self._due[key] = (when, self._serial)
        heapq.heappush(self._heap, (when, self._serial, key))
        self._compact()

    def cancel(self, key: Key) -> None:
        """Forget ``key``; nothing happens when it is not armed."""
        self._due.pop(key, None)

    def next_timeout(self) -> float | None:
        """Return when the earliest timer fires; None when nothing is armed."""
        while self._heap:
            when, serial, key = self._heap[0]
            if self._due.get(key) == (when, serial):
                return when
            heapq.heappop(self._heap)
        return None

    def pop_due(self, now: float) -> Key | None:
        """Take out one timer that is due at ``now``, the earliest first; None when none is."""
        when = self.next_timeout()
        if when is None or when > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        return key

    def _compact(self) -> None:
        # Cancelled timers stay in the heap until they surface; a busy stack cancels most of them.
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[:2]]
            heapq.heapify(self._heap)
