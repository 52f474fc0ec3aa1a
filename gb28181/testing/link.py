"""How packets travel between two hosts: delay, loss, repetition, and the order of arrival."""

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from sip.flow import Address

_FIRST_RETRANSMISSION = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a direction of a link does to packets. Shares are between 0.0 and 1.0."""

    latency: float = 0.001
    """Seconds from one host to the other."""
    jitter: float = 0.0
    """Up to so many seconds more, evenly spread. Datagrams overtake each other, TCP data do not."""
    loss: float = 0.0
    """Share of packets lost. TCP sends them again after 0.2, 0.4, 0.8 ... seconds."""
    duplication: float = 0.0
    """Share of datagrams that arrive twice."""
    reordering: float = 0.0
    """Share of datagrams held back for ``hold``, so that later ones overtake them."""
    hold: float = 0.02
    """Seconds, see ``reordering``."""
    segment: int = 1460
    """Largest piece of TCP data that arrives at once."""
    chop: bool = False
    """Cut TCP data at random places, between 1 byte and ``segment``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One packet, as it left its host or as it was found undeliverable."""

    time: float
    source: Address
    """As the receiver sees it, after translation."""
    destination: Address
    kind: str
    """``udp``, or of TCP ``syn``, ``tcp``, ``fin``, ``rst``."""
    data: bytes
    fate: str
    """``sent``, or why it did not arrive: ``lost``, ``filtered``, ``partition``, ``vanished``,
    ``nat``, ``no host``, ``no port``."""

    @property
    def size(self) -> int:
        """Bytes of payload."""
        return len(self.data)


class Path:
    """One direction between two hosts, with its own random numbers.

    The numbers depend on the seed and the two hosts alone, so traffic elsewhere changes nothing.
    """

    def __init__(self, seed: int, source: str, target: str, conditions: Conditions) -> None:
        self.conditions = conditions
        self._random = random.Random(f"{seed}/{source}>{target}")

    def datagram_delays(self) -> list[float]:
        """Draw the fate of a datagram: none when lost, one delay, two when repeated."""
        now, draw = self.conditions, self._random.random
        if now.loss and draw() < now.loss:
            return []
        copies = 2 if now.duplication and draw() < now.duplication else 1
        return [self._datagram_delay() for _ in range(copies)]

    def segment_delay(self) -> float:
        """Draw the time a TCP segment takes, lost copies included."""
        now = self.conditions
        delay, pause = self._delay(), _FIRST_RETRANSMISSION
        while now.loss and pause < 200 and self._random.random() < now.loss:
            delay += pause
            pause *= 2
        return delay

    def segment_size(self) -> int:
        """Draw how many bytes the next TCP segment carries at most."""
        now = self.conditions
        return self._random.randint(1, now.segment) if now.chop else now.segment

    def _datagram_delay(self) -> float:
        now = self.conditions
        is_held = bool(now.reordering) and self._random.random() < now.reordering
        return self._delay() + (now.hold if is_held else 0.0)

    def _delay(self) -> float:
        now = self.conditions
        return now.latency + (self._random.random() * now.jitter if now.jitter else 0.0)


class Wire:
    """Everything under way. Arrivals at the same moment keep the order in which they were sent."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def arrive_at(self, when: float, arrive: Callable[[], None]) -> None:
        """Call ``arrive`` at this time of the running loop."""
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, arrive))
        if self._queue[0][1] == self._count:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._queue[0][0], self._deliver)

    def _deliver(self) -> None:
        # Each arrival is a callback of its own: one that raises is reported and harms no other,
        # and tasks woken by one run before the arrivals of a later moment.
        loop = asyncio.get_running_loop()
        due = self._queue[0][0] if self._queue else 0.0
        limit = max(loop.time(), due)
        while self._queue and self._queue[0][0] <= limit:
            loop.call_soon(heapq.heappop(self._queue)[2])
        self._timer = None
        self._arm()
