"""The timer values of RFC 3261 and a heap of pending timers."""

import heapq
from collections import deque
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

    __slots__ = ("_due", "_heap", "_runs", "_serial")

    def __init__(self) -> None:
        self._due: dict[Key, int] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._runs: dict[float, deque[tuple[float, int, Key]]] = {}
        self._serial = 0

    def __len__(self) -> int:
        return len(self._due)

    def arm(self, key: Key, when: float, *, run: float | None = None) -> None:
        """Let ``key`` fire at ``when``; an earlier setting of the same key is forgotten.

        Args:
            key: What fires.
            when: The time.
            run: The duration, of the few that most timers have: those of one run become due in
                the order in which they were armed, so a queue does for them.
        """
        self._serial += 1
        self._due[key] = self._serial
        entry = (when, self._serial, key)
        if run is not None:
            queue = self._runs.get(run)
            if queue is None:
                queue = self._runs[run] = deque()
            if not queue or queue[-1][0] <= when:
                queue.append(entry)
                if len(queue) > 2 * len(self._due) + 64:
                    self._runs[run] = deque(
                        [entry for entry in queue if self._due.get(entry[2]) == entry[1]]
                    )
                return
        heapq.heappush(self._heap, entry)
        self._compact()

    def cancel(self, key: Key) -> None:
        """Forget ``key``; nothing happens when it is not armed."""
        self._due.pop(key, None)

    def next_timeout(self) -> float | None:
        """Return when the earliest timer fires; None when nothing is armed."""
        first = self._first()
        return None if first is None else first[0]

    def pop_due(self, now: float) -> Key | None:
        """Take out one timer that is due at ``now``, the earliest first; None when none is."""
        first = self._first()
        if first is None or first[0] > now:
            return None
        del self._due[first[2]]  # what is not due leaves heap and queues when it stands first
        return first[2]

    def _first(self) -> tuple[float, int, Key] | None:
        due, heap = self._due, self._heap
        while heap and due.get(heap[0][2]) != heap[0][1]:
            heapq.heappop(heap)
        first = heap[0] if heap else None
        for queue in self._runs.values():
            while queue and due.get(queue[0][2]) != queue[0][1]:
                queue.popleft()
            if queue and (first is None or queue[0][:2] < first[:2]):
                first = queue[0]
        return first

    def _compact(self) -> None:
        # Cancelled timers stay in the heap until they surface; a busy stack cancels most of them.
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[1]]
            heapq.heapify(self._heap)
