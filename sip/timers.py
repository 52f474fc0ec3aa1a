"""The timer values of RFC 3261 and a heap of pending timers."""

import heapq
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

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


class Timer:
    """One setting of a timer, to stop it by."""

    __slots__ = ("is_armed", "key", "serial", "when")

    def __init__(self, key: object, when: float, serial: int) -> None:
        self.key = key
        self.when = when
        self.serial = serial
        self.is_armed = True
        """False once it has fired or was stopped."""

    def __lt__(self, other: "Timer") -> bool:
        if self.when == other.when:
            return self.serial < other.serial
        return self.when < other.when


class TimerHeap(Generic[Key]):
    """Pending timers, each under a key of its owner, to stop by key or by the timer itself."""

    __slots__ = ("_by_key", "_heap", "_pending", "_runs", "_serial")

    def __init__(self) -> None:
        self._by_key: dict[Key, Timer] = {}
        self._heap: list[Timer] = []
        self._runs: dict[float, deque[Timer]] = {}
        self._serial = 0
        self._pending = 0

    def __len__(self) -> int:
        return self._pending

    def start(self, key: Key, when: float, *, run: float | None = None) -> Timer:
        """Let ``key`` fire at ``when``; other timers of the same key are not touched.

        Args:
            key: What fires.
            when: The time.
            run: The duration, of the few that most timers have: those of one run become due in
                the order in which they were started, so a queue does for them.
        """
        self._serial += 1
        self._pending += 1
        timer = Timer(key, when, self._serial)
        if run is not None:
            queue = self._runs.get(run)
            if queue is None:
                queue = self._runs[run] = deque()
            if not queue or not timer < queue[-1]:
                queue.append(timer)
                if len(queue) > 2 * self._pending + 64:
                    self._runs[run] = deque([timer for timer in queue if timer.is_armed])
                return timer
        heapq.heappush(self._heap, timer)
        self._compact()
        return timer

    def stop(self, timer: Timer) -> None:
        """Forget a timer; nothing happens when it has fired."""
        if timer.is_armed:
            timer.is_armed = False
            self._pending -= 1

    def arm(self, key: Key, when: float) -> None:
        """Let ``key`` fire at ``when``; an earlier setting of the same key is forgotten."""
        self.cancel(key)
        self._by_key[key] = self.start(key, when)

    def cancel(self, key: Key) -> None:
        """Forget what was armed for ``key``; nothing happens when nothing was."""
        timer = self._by_key.pop(key, None)
        if timer is not None:
            self.stop(timer)

    def next_timeout(self) -> float | None:
        """Return when the earliest timer fires; None when nothing is armed."""
        first = self._first()
        return None if first is None else first.when

    def pop_due(self, now: float) -> Key | None:
        """Take out one timer that is due at ``now``, the earliest first; None when none is."""
        first = self._first()
        if first is None or first.when > now:
            return None
        self.stop(first)  # what is not armed leaves heap and queues when it stands first
        key = cast("Key", first.key)
        if self._by_key.get(key) is first:
            del self._by_key[key]
        return key

    def _first(self) -> Timer | None:
        heap = self._heap
        while heap and not heap[0].is_armed:
            heapq.heappop(heap)
        first = heap[0] if heap else None
        for queue in self._runs.values():
            while queue and not queue[0].is_armed:
                queue.popleft()
            if queue and (first is None or queue[0] < first):
                first = queue[0]
        return first

    def _compact(self) -> None:
        # Stopped timers stay in the heap until they surface; a busy stack stops most of them.
        if len(self._heap) > 64 and len(self._heap) > 2 * self._pending:
            self._heap = [timer for timer in self._heap if timer.is_armed]
            heapq.heapify(self._heap)
