"""What was received of one source: loss, repeats, jitter."""

from __future__ import annotations

from typing import Final

from .batch import PacketBatch
from .rtcp import ReportBlock

_CLOCK: Final = 90_000
_RESTART: Final = 1000
_DROPOUT: Final = 3000  # a longer gap is a new beginning (RFC 3550 Annex A.1)
_WINDOW: Final = 1024


class Reception:
    """Counts the packets of one source.

    Source: RFC 3550 Annexes A.1, A.3 and A.8.
    """

    def __init__(self) -> None:
        self.received = 0
        """Packets, repeats included."""
        self.bytes = 0
        """Of whole RTP packets."""
        self.duplicates = 0
        """Packets that came before."""
        self.late = 0
        """Packets that came after one with a higher number."""
        self.gaps = 0
        """How often the number jumped forward."""
        self.restarts = 0
        """Jumps of more than 3000 forward, or more than 1000 back."""
        self.jitter = 0.0
        """Interarrival jitter in 90 kHz ticks."""
        self._base: int | None = None
        self._highest = 0
        self._past = 0
        self._seen = 0  # bit n: whether highest - in_row - n came
        self._in_row = 0  # how many came one after the other, up to the highest
        self._transit: float | None = None
        self._last_timestamp: int | None = None
        self._reported = (0, 0)
        self._report: tuple[int, float] | None = None

    @property
    def expected(self) -> int:
        """Packets the source sent, by its numbers, from the first that came."""
        return self._past + (0 if self._base is None else self._highest - self._base + 1)

    @property
    def lost(self) -> int:
        """Packets that never came."""
        return max(0, self.expected - (self.received - self.duplicates))

    def push_batch(self, batch: PacketBatch) -> None:
        """Count every packet of a batch; all must be of one source."""
        count = len(batch.lengths)
        if (
            batch.is_run
            and self._base is not None
            and batch.first_number == self._highest + 1 & 0xFFFF
        ):  # the usual case
            self.received += count
            self.bytes += batch.size
            self._highest += count
            self._in_row += count
            ticks = batch.timestamp
            if ticks < 0:
                for timestamp in batch.heads.ticks:
                    if timestamp != self._last_timestamp:
                        self._take_time(timestamp, batch.received)
            elif ticks != self._last_timestamp:
                self._take_time(ticks, batch.received)
            return
        heads = batch.heads
        for number, timestamp, length in zip(
            heads.numbers, heads.ticks, batch.lengths, strict=True
        ):
            self.push(number, timestamp, batch.received, length)

    def push(self, sequence_number: int, timestamp: int, now: float, size: int = 0) -> None:
        """Count one packet of ``size`` bytes that came at ``now``."""
        self.received += 1
        self.bytes += size
        if self._base is None:
            self._begin(sequence_number)
        else:
            step = ((sequence_number - self._highest + 0x8000) & 0xFFFF) - 0x8000
            if step == 1:
                self._highest += 1
                self._in_row += 1
            else:
                self._place(sequence_number, step)
        if timestamp != self._last_timestamp:
            self._take_time(timestamp, now)

    def take_sender_report(self, ntp: int, now: float) -> None:
        """Remember the sender's report for the next one of ours."""
        self._report = (ntp >> 16 & 0xFFFF_FFFF, now)

    def report(self, ssrc: int, now: float) -> ReportBlock:
        """Make the report block about this source; the fraction is since the last call."""
        expected, unique = self.expected, self.received - self.duplicates
        new, came = expected - self._reported[0], unique - self._reported[1]
        self._reported = (expected, unique)
        fraction = max(0, min(255, (new - came) * 256 // new)) if new > 0 else 0
        last, delay = 0, 0
        if self._report is not None:
            last, delay = self._report[0], int((now - self._report[1]) * 65_536)
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=fraction,
            lost=expected - unique,
            highest_sequence=self._highest & 0xFFFF_FFFF,
            jitter=int(self.jitter),
            last_report=last,
            delay=delay,
        )

    def _begin(self, sequence_number: int) -> None:
        self._base = self._highest = sequence_number
        self._seen, self._in_row = 1, 0

    def _place(self, sequence_number: int, step: int) -> None:
        """Count a packet that is not the next one."""
        row = min(self._in_row, _WINDOW)
        self._seen = (self._seen << row | (1 << row) - 1) & _MASK
        self._in_row = 0
        if step > _DROPOUT or step < -_RESTART:
            self.restarts += 1
            self._past = self.expected
            self._begin(sequence_number)
        elif step > 0:
            self.gaps += 1
            self._highest += step
            self._seen = self._seen << step & _MASK | 1
        elif self._seen >> -step & 1:
            self.duplicates += 1
        else:
            self._seen |= 1 << -step
            self.late += 1
            if self._base is not None:
                self._base = min(self._base, self._highest + step)

    def _take_time(self, timestamp: int, now: float) -> None:
        """Update the jitter, once for each timestamp: its packets leave together."""
        self._last_timestamp = timestamp
        transit = now * _CLOCK - timestamp
        if self._transit is not None:
            change = (transit - self._transit + (1 << 31)) % (1 << 32) - (1 << 31)
            if abs(change) < 10 * _CLOCK:  # a wrap or a new time base says nothing of the network
                self.jitter += (abs(change) - self.jitter) / 16
        self._transit = transit


_MASK: Final = (1 << _WINDOW) - 1
