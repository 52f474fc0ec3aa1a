"""The pool of media ports: even RTP ports with the RTCP port above, and quarantine after use."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush

from ..errors import PortsExhausted

_REFUSED_FOR = 60.0
"""How long a port that the operating system refused is left alone."""


class MediaPorts:
    """Leases even ports of a range; RTCP uses the odd port above.

    A released port rests in quarantine, so that packets still under way to the old session do not
    reach a new one. Ports are leased in rotation, the longest unused first. Pure: time is given.

    Source: RFC 3550 section 11 (even and odd port).
    """

    def __init__(self, ports: range, *, quarantine: float = 5.0) -> None:
        even = [port for port in ports if port % 2 == 0 and port + 1 in ports]
        self._free: deque[int] = deque(even)
        self._leased: set[int] = set()
        self._resting: list[tuple[float, int]] = []
        self._quarantine = quarantine

    @property
    def leased(self) -> int:
        """How many ports are in use."""
        return len(self._leased)

    def quarantined(self, now: float) -> int:
        """Count the ports that rest at ``now``."""
        self._wake(now)
        return len(self._resting)

    def lease(self, now: float, *, usual: int | None = None) -> int:
        """Take a port: the usual one, even from its rest, unless it is in use.

        Raises:
            PortsExhausted: Every port is in use or rests.
        """
        self._wake(now)
        if usual is not None and self._take(usual):
            return usual
        if not self._free:
            used, resting = len(self._leased), len(self._resting)
            raise PortsExhausted(f"no media port left: {used} in use, {resting} in quarantine")
        port = self._free.popleft()
        self._leased.add(port)
        return port

    def release(self, port: int, now: float) -> None:
        """Give a leased port back; it rests first. A port that is not leased is left as it is."""
        self._rest(port, now + self._quarantine)

    def refuse(self, port: int, now: float) -> None:
        """Give back a leased port that somebody else holds; it is left alone for a minute."""
        self._rest(port, now + _REFUSED_FOR)

    def _take(self, port: int) -> bool:
        resting = [entry for entry in self._resting if entry[1] != port]
        if port in self._free:
            self._free.remove(port)
        elif len(resting) < len(self._resting):
            self._resting = resting
            heapify(resting)
        else:
            return False
        self._leased.add(port)
        return True

    def _rest(self, port: int, until: float) -> None:
        if port in self._leased:
            self._leased.remove(port)
            heappush(self._resting, (until, port))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            self._free.append(heappop(self._resting)[1])
