"""Whom to serve when there is too much to do: admission, charges, and connections that dawdle."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .flow import Flow
from .message import Request, Response
from .parser import DEFAULT_LIMITS as MESSAGE_LIMITS
from .parser import Limits
from .timers import TimerHeap

K = TypeVar("K")

ALWAYS_SERVED = frozenset({"ACK", "BYE", "CANCEL"})
"""Methods that end work instead of making it."""

# What a peer has to answer for; busy, cancelled or challenged for the first time is no offence.
_OFFENCES = frozenset({400, 403, 404, 405, 413, 414, 416, 420, 481, 482, 483, 489, 501, 505, 513})


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadLimits:
    """Numbers of the protection against too much."""

    rate: float = 50.0
    """Tokens that a source address gets back per second."""
    burst: float = 1000.0
    """Most tokens of a source: a thousand devices behind one address may come back at once."""
    failure_cost: float = 5.0
    """Tokens that a failed request costs; one of a stranger costs one until he is known by it."""
    sources: int = 65_536
    """Source addresses that are kept; the oldest is forgotten."""
    refusals: int = 10_000
    """503s per second; what else is turned away gets no answer."""
    retry_after: int = 10
    """Seconds in the Retry-After of a 503."""
    first_message: float = 10.0
    """Seconds an accepted connection has for its first whole message, a TLS handshake included."""
    whole_message: float = 30.0
    """Seconds from the first to the last byte of a message on a connection."""
    stranger_idle: float = 300.0
    """Seconds after its last message that a connection is kept which a peer has opened that has
    never proved on it who he is, and that has nothing under way, no call and no subscription; it
    is closed within a quarter more."""
    connections: int = 16_384
    """Connections at once, of TCP and of TLS each."""
    connections_per_source: int = 4_096
    """The same from one address: nobody takes the room of all others."""


DEFAULT_LIMITS = OverloadLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class StackLimits:
    """How much a stack keeps at once; what goes beyond is answered 503."""

    transactions: int = 65_536
    """Server transactions; known peers have twice as much room. A non-INVITE one on UDP lives
    32 s after its answer."""
    calls: int = 8_192
    subscriptions: int = 65_536
    """Subscriptions of peers to us."""
    bodies: int = 256 * 1024 * 1024
    """Bytes of bodies that are waited for at once on connections of strangers."""
    messages: Limits = MESSAGE_LIMITS
    """Sizes of one message."""


DEFAULT_STACK_LIMITS = StackLimits()


class Admission(Protocol):
    """Who decides whether a new request outside any dialog is served: ``Gate`` is one."""

    @property
    def retry_after(self) -> int:
        """Seconds for the Retry-After of a refusal."""

    def knows(self, flow: Flow) -> bool:
        """Tell whether a flow belongs to a peer that has proved who it is."""

    def admits(self, flow: Flow, request: Request, now: float, *, is_whole: bool = True) -> bool:
        """Tell whether a new request is served; its body may be still to come."""

    def may_refuse(self, now: float) -> bool:
        """Tell whether a request that is turned away is to be told so."""

    def settle(self, flow: Flow, request: Request, response: Response, now: float) -> None:
        """Take the outcome of a request."""

    def malformed(self, flow: Flow, now: float) -> bool:
        """Take bytes that are no message; false when they are not to be answered."""


class Gate:
    """Decides which new requests are served, by how much waits and by who is asking.

    BYE, CANCEL and the requests of known peers always pass; responses, ACK and the requests within
    dialogs that stand are not asked about.
    Without ``is_known`` nobody is charged, and only the high mark counts.
    """

    __slots__ = (
        "_buckets",
        "_counters",
        "_high",
        "_is_known",
        "_limits",
        "_on_proved",
        "_refusals",
        "_waiting",
    )

    def __init__(
        self,
        limits: OverloadLimits = DEFAULT_LIMITS,
        *,
        high: int,
        waiting: Callable[[], int],
        counters: Counter[str],
        is_known: Callable[[Flow], bool] | None = None,
        on_proved: Callable[[Flow], None] | None = None,
    ) -> None:
        """Make a gate.

        Args:
            limits: The numbers.
            high: Waiting requests from which on strangers are turned away.
            waiting: Returns how many requests wait.
            counters: Counts ``overload``, ``charged_out``, ``charged`` and ``refused_silently``.
            is_known: Tells whether a flow belongs to a peer that has proved who it is.
            on_proved: Is told of a flow whose peer has become known by a request.
        """
        self._limits = limits
        self._on_proved = on_proved
        self._high = high
        self._waiting = waiting
        self._counters = counters
        self._is_known = is_known
        self._buckets: dict[str, tuple[float, float]] = {}
        self._refusals = (0.0, 0)  # since when, how many

    def __len__(self) -> int:
        return len(self._buckets)

    @property
    def retry_after(self) -> int:
        """Seconds for the Retry-After of a refusal."""
        return self._limits.retry_after

    def knows(self, flow: Flow) -> bool:
        """Tell whether a flow belongs to a peer that has proved who it is."""
        return self._is_known is not None and self._is_known(flow)

    def admits(self, flow: Flow, request: Request, now: float, *, is_whole: bool = True) -> bool:
        """Tell whether a new request is served; nothing but its head is looked at.

        With ``is_whole`` false its body is still to come: it is not charged for yet.
        """
        if request.method in ALWAYS_SERVED or self.knows(flow):
            return True
        if self._waiting() >= self._high:
            self._counters["overload"] += 1
            return False
        if self._is_known is None:
            return True
        if self._tokens(flow.remote[0], now) < 1.0:
            self._counters["charged_out"] += 1
            return False
        if is_whole:
            self._charge(flow.remote[0], 1.0, now)
        return True

    def may_refuse(self, now: float) -> bool:
        """Tell whether a request that is turned away is to be told so: not in a storm."""
        since, count = self._refusals
        if now - since >= 1.0:
            since, count = now, 0
        self._refusals = since, count + 1
        if count < self._limits.refusals:
            return True
        self._counters["refused_silently"] += 1
        return False

    def settle(self, flow: Flow, request: Request, response: Response, now: float) -> None:
        """Take the outcome: who is known by it gets back what he paid before, failure costs."""
        if self._is_known is None:
            return
        if response.status < 300:
            # Success alone proves nothing: everybody is answered an OPTIONS.
            if response.status >= 200 and flow.remote[0] in self._buckets and self.knows(flow):
                # Two: the request that was challenged was paid for as well.
                self._charge(flow.remote[0], -2.0, now)
                if self._on_proved is not None:
                    self._on_proved(flow)
        elif is_offence(request, response):
            self._counters["charged"] += 1
            self._charge(flow.remote[0], self._limits.failure_cost, now)

    def malformed(self, flow: Flow, now: float) -> bool:
        """Take bytes that are no message; false when their source is owed no answer any more."""
        if self._is_known is None:
            return True
        is_solvent = self._tokens(flow.remote[0], now) >= 1.0
        self._counters["charged"] += 1
        self._charge(flow.remote[0], self._limits.failure_cost, now)
        return is_solvent

    def _tokens(self, source: str, now: float) -> float:
        kept = self._buckets.get(source)
        if kept is None:
            return self._limits.burst
        tokens, since = kept
        return min(self._limits.burst, tokens + (now - since) * self._limits.rate)

    def _charge(self, source: str, cost: float, now: float) -> None:
        left = self._tokens(source, now) - cost
        self._buckets.pop(source, None)  # the dict keeps the order of the last charge
        if left >= self._limits.burst:
            return
        # A debt is paid back within as long as a full bucket takes to fill.
        self._buckets[source] = (max(left, -self._limits.burst), now)
        if len(self._buckets) > self._limits.sources:
            del self._buckets[next(iter(self._buckets))]


class Held(Generic[K]):
    """Sizes of what is held for peers, by whom or what it is held for."""

    __slots__ = ("_most", "_sizes", "total")

    def __init__(self, most: int) -> None:
        self.total = 0
        self._most = most
        self._sizes: dict[K, int] = {}

    def take(self, key: K, size: int) -> bool:
        """Hold something more; false when that is too much."""
        if self.total + size > self._most:
            return False
        self.end(key)
        self._sizes[key] = size
        self.total += size
        return True

    def end(self, key: K) -> None:
        """Note that it is held no longer; it need not be known."""
        if self._sizes:
            self.total -= self._sizes.pop(key, 0)


class _Watched:
    """What is known of one connection."""

    __slots__ = ("has_spoken", "is_accepted", "is_timed", "is_trusted", "spoken_at")

    def __init__(self, now: float, *, is_accepted: bool) -> None:
        self.is_accepted = is_accepted
        """The peer has opened it."""
        self.is_timed = False
        """A message has to become whole in time."""
        self.is_trusted = False
        """Its peer has proved here who he is, and may go on over other connections."""
        self.has_spoken = False
        self.spoken_at = now
        """When its last message was whole, or when it was opened."""


class Dawdlers:
    """Watches connections: half-open ones, messages that never become whole, and idle ones."""

    __slots__ = ("_heap", "_limits", "_watched")

    def __init__(self, limits: OverloadLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._heap: TimerHeap[Flow] = TimerHeap()
        self._watched: dict[Flow, _Watched] = {}

    def __len__(self) -> int:
        return len(self._heap)

    def accepted(self, flow: Flow, now: float) -> None:
        """Take a new connection of a peer."""
        watched = self._watched[flow] = _Watched(now, is_accepted=True)
        watched.is_timed = True
        self._heap.arm(flow, now + self._limits.first_message)

    def progressed(self, flow: Flow, messages: int, *, is_idle: bool, now: float) -> None:
        """Take what bytes of a connection have brought.

        Args:
            flow: The connection.
            messages: How many whole messages.
            is_idle: Whether the stream stands between two messages now.
            now: The time.
        """
        watched = self._watched.get(flow)
        if watched is None:  # one of ours
            if is_idle:
                return
            watched = self._watched[flow] = _Watched(now, is_accepted=False)
            watched.has_spoken = True
        if messages:
            watched.has_spoken = True
            watched.spoken_at = now
        elif not watched.has_spoken:
            return  # still the time of the first message; CRLF does not prolong it
        if not is_idle:
            if messages or not watched.is_timed:
                watched.is_timed = True
                self._heap.arm(flow, now + self._limits.whole_message)
        elif watched.is_timed:
            watched.is_timed = False
            self._heap.cancel(flow)
            if not watched.is_accepted:
                del self._watched[flow]

    def trust(self, flow: Flow) -> None:
        """Let a connection be idle for as long as its peer likes."""
        watched = self._watched.get(flow)
        if watched is not None:
            watched.is_trusted = True

    def gone(self, flow: Flow) -> None:
        """Forget a connection."""
        self._watched.pop(flow, None)
        self._heap.cancel(flow)

    def next_timeout(self) -> float | None:
        """Return when ``overdue`` is to be asked; None when nothing is timed."""
        return self._heap.next_timeout()

    def overdue(self, now: float) -> list[Flow]:
        """Take out the connections whose time for a whole message is over."""
        taken: list[Flow] = []
        while (flow := self._heap.pop_due(now)) is not None:
            self._watched.pop(flow, None)
            taken.append(flow)
        return taken

    @property
    def has_accepted(self) -> bool:
        """Tell whether there are connections that may turn out to be idle."""
        return bool(self._watched)

    def idle(self, now: float) -> list[Flow]:
        """Return the connections that peers have opened and that were silent for too long.

        Whether they are owed patience is for the caller to know.
        """
        last = now - self._limits.stranger_idle
        return [
            flow
            for flow, watched in self._watched.items()
            if watched.spoken_at <= last
            and watched.is_accepted
            and not (watched.is_timed or watched.is_trusted)
        ]


def is_offence(request: Request, response: Response) -> bool:
    """Tell whether a refusal is the peer's own fault."""
    if response.status in (401, 407):
        name, challenge = (
            ("Authorization", "WWW-Authenticate")
            if response.status == 401
            else ("Proxy-Authorization", "Proxy-Authenticate")
        )
        offered = ",".join(response.headers.get_all(challenge)).lower().replace(" ", "")
        return name in request.headers and "stale=true" not in offered
    return response.status in _OFFENCES
