"""Puts RTP packets back in order."""

from __future__ import annotations

from typing import Final

from .packet import RtpPacket
from .sequence import distance

_RESTART: Final = 1000
_OLD_RUN: Final = 64
"""Packets in order with old numbers that are a new beginning: no network repeats so many."""


class ReorderBuffer:
    """Holds packets back while one before them may still come.

    A gap is given up once ``depth`` packets wait behind it, or ``wait`` seconds after the first
    of them came.
    """

    def __init__(self, depth: int = 100, wait: float = 0.2) -> None:
        self.duplicates = 0
        """Packets that were there already."""
        self.late = 0
        """Packets that came after their place was given up."""
        self.lost = 0
        """Places that were given up."""
        self.restarts = 0
        """Jumps that were taken as a new beginning."""
        self._depth = depth
        self._wait = wait
        self._expected: int | None = None
        self._held: dict[int, tuple[RtpPacket, float]] = {}
        self._skipped: dict[int, None] = {}
        self._stray: int | None = None
        self._old: list[RtpPacket] = []  # bounded: _OLD_RUN

    def __len__(self) -> int:
        return len(self._held)

    def push(self, packet: RtpPacket, now: float) -> list[tuple[RtpPacket, int]]:
        """Take a packet; return those whose turn it is, each with the number missing before it.

        A jump of more than 1000 starts again at once when forward, and on the second packet in
        a row when backward (one alone is a packet that was very late). A jump back by less starts
        again once 64 packets came that follow each other; none of these is lost. What was held
        comes out first. The number missing is then unknown and given as 1.
        """
        number = packet.sequence_number
        if number == self._expected and not self._held:  # the usual case
            self._expected = number + 1 & 0xFFFF
            self._stray = None
            if self._old:
                self._old = []
            return [(packet, 0)]
        if self._expected is None:
            self._expected = number + 1 & 0xFFFF
            return [(packet, 0)]
        ahead = distance(number, self._expected)
        if ahead > _RESTART or (ahead < -_RESTART and self._stray is not None):
            return self._restart(packet)
        if ahead < 0:
            self._count_old(number, ahead)
            return self._take_old(packet)
        self._stray = None
        self._old = []
        if number in self._held:
            self.duplicates += 1
            return []
        self._held[number] = (packet, now)
        return self._release(now)

    def is_far(self, number: int) -> bool:
        """Whether a number is no neighbour of those that are expected."""
        return self._expected is not None and abs(distance(number, self._expected)) > _RESTART

    def pass_run(self, first: int, count: int) -> bool:
        """Take ``count`` packets that follow each other, when it is their turn; else take none.

        Returns:
            Whether they were taken: then they are in order and nothing is missing before them.
        """
        if self._held or (self._expected is not None and self._expected != first):
            return False
        self._expected = first + count & 0xFFFF
        self._stray = None
        if self._old:
            self._old = []
        return True

    def poll(self, now: float) -> list[tuple[RtpPacket, int]]:
        """Give up gaps that were waited for long enough; return what they held back."""
        return self._release(now) if self._held else []

    def next_timeout(self) -> float | None:
        """When ``poll`` is due; None while nothing is held."""
        if not self._held:
            return None
        return next(iter(self._held.values()))[1] + self._wait  # the first that came

    def flush(self) -> list[tuple[RtpPacket, int]]:
        """Return everything that is held, at the end of the stream."""
        out: list[tuple[RtpPacket, int]] = []
        while self._held:
            out += self._skip_gap()
        return out

    def _restart(self, packet: RtpPacket) -> list[tuple[RtpPacket, int]]:
        out = self.flush()
        self.restarts += 1
        self._skipped.clear()
        self._stray = None
        self._old = []
        self._expected = packet.sequence_number + 1 & 0xFFFF
        return [*out, (packet, 1)]

    def _take_old(self, packet: RtpPacket) -> list[tuple[RtpPacket, int]]:
        """Keep a packet with an old number: with enough that follow it, it was a new beginning."""
        run = self._old
        if run and packet.sequence_number != run[-1].sequence_number + 1 & 0xFFFF:
            run.clear()
        run.append(packet)
        if len(run) < _OLD_RUN:
            return []
        self._old = []
        out = self._restart(run[0])
        self._expected = packet.sequence_number + 1 & 0xFFFF
        return out + [(later, 0) for later in run[1:]]

    def _count_old(self, number: int, ahead: int) -> None:
        if ahead < -_RESTART:
            self._stray = number
        if number in self._skipped:
            del self._skipped[number]
            self.late += 1
        else:
            self.duplicates += 1

    def _release(self, now: float) -> list[tuple[RtpPacket, int]]:
        out = self._take_run(0)
        while self._held:
            due = self.next_timeout()
            if len(self._held) < self._depth and due is not None and now < due:
                break
            out += self._skip_gap()
        return out

    def _skip_gap(self) -> list[tuple[RtpPacket, int]]:
        assert self._expected is not None
        expected = self._expected
        missing = min(distance(number, expected) for number in self._held)
        for step in range(missing):
            self._skipped[expected + step & 0xFFFF] = None
        while len(self._skipped) > _RESTART:
            del self._skipped[next(iter(self._skipped))]
        self.lost += missing
        self._expected = expected + missing & 0xFFFF
        return self._take_run(missing)

    def _take_run(self, missing: int) -> list[tuple[RtpPacket, int]]:
        """Take what follows without a gap."""
        out: list[tuple[RtpPacket, int]] = []
        while self._expected is not None:
            entry = self._held.pop(self._expected, None)
            if entry is None:
                break
            out.append((entry[0], missing))
            missing = 0
            self._expected = self._expected + 1 & 0xFFFF
        return out
