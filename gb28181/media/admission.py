"""Admission: which packets that come to a port belong to its stream."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from rtp.batch import PacketBatch

Address = tuple[str, int]

_CHANGE_AFTER: Final = 16
"""Packets in a row with another SSRC from our own source that count as a change of SSRC."""
_MOST_HELD: Final = 64
_QUIET: Final = 1.0
"""Seconds without packets after which our SSRC may go on from another port of its host."""


class Admission:
    """Decides which packets belong to a stream. Pure.

    - The first packet that fits fixes source and SSRC.
    - With the expected SSRC it fits from anywhere, and takes over from an adopted one.
    - With another one it fits when that may be adopted and comes from the expected host.
    - Our own source may change its SSRC: sixteen packets in a row count as that, and one that
      goes on where our sequence numbers ended. The packets before the sixteenth are let in with it:
      they begin the picture that shows how the stream goes on.
    - Our SSRC may go on from another port of its host when it was quiet for a second.

    Source: GB/T 28181-2022 Annex C.2, E (the y line); RFC 3550 section 8.2.
    """

    def __init__(self) -> None:
        self.expected: int | None = None
        self.ssrc: int | None = None
        self.source: Address | None = None
        self.epoch = 0
        """Counts the sources that were let in."""
        self.adopted = 0
        self.foreign_ssrc = 0
        self.foreign_source = 0
        self.last_foreign = ""
        self._host: str | None = None
        self._adopt = True
        self._is_exact = False
        self._others = 0
        self._last_at = 0.0
        self._next = -1
        self._held: list[bytes] = []  # bounded: _MOST_HELD

    def expect(self, *, ssrc: int | None, host: str | None, adopt: bool) -> None:
        """Take what the answer says; what was let in before and does not fit is let go."""
        self.expected = ssrc
        self._host = _usable(host)
        self._adopt = adopt
        if self.source is None or self.ssrc is None:
            return
        self._is_exact = ssrc is None or self.ssrc == ssrc
        if self._is_exact and ssrc is not None:
            return
        if self._is_from_host(self.source) and (self._is_exact or adopt):
            self.adopted += not self._is_exact
            return
        self.source = self.ssrc = None

    def admit(self, batch: PacketBatch, source: Address, now: float) -> PacketBatch | None:
        """Return the packets of the batch that belong to us; None when none does."""
        if source == self.source and batch.ssrc == self.ssrc:  # the usual case
            self._last_at = now
            self._others = 0
            self._next = batch.last_number + 1 & 0xFFFF
            if self._held:
                self._held = []
            return batch
        is_ours, before = source == self.source, self.ssrc
        admitted: PacketBatch | None = self._decide(batch, source, now)
        if admitted is None:
            return None
        if len(admitted) < len(batch):
            self._refuse_ssrc(batch, len(batch) - len(admitted), source)
            if is_ours and self.ssrc == before:  # the change may be within this turn
                self._hold(batch, batch.heads.sources[-1])
        return self._with_held(admitted)

    def _hold(self, batch: PacketBatch, ssrc: int) -> None:
        """Keep packets that another SSRC of our own source may begin with."""
        if not self._adopt or ssrc == self.ssrc:
            return
        name = ssrc.to_bytes(4, "big")
        if self._held and self._held[0][8:12] != name:
            self._held = []
        self._held += [bytes(packet) for packet in batch.packets() if packet[8:12] == name]
        del self._held[:-_MOST_HELD]

    def _with_held(self, admitted: PacketBatch) -> PacketBatch:
        """Put before a batch what was kept of its SSRC; forget it otherwise."""
        if not self._held:
            return admitted
        held = self._held
        if held[0][8:12] != admitted.packets()[0][8:12]:
            return admitted
        self._held = []
        self.foreign_ssrc -= len(held)
        packets, bounds, place = [*held, *map(bytes, admitted.packets())], [], 0
        for packet in packets:
            bounds.append((place, len(packet)))
            place += len(packet)
        return PacketBatch(bytearray().join(packets), bounds, admitted.received)

    def _decide(self, batch: PacketBatch, source: Address, now: float) -> PacketBatch | None:
        if self.source is None:
            return self._first(batch, source, now)
        if source != self.source:
            return self._from_elsewhere(batch, source, now)
        kept = self._with(batch, self.ssrc)
        if kept is None:
            return self._changed(batch, source, now)
        self._last_at = now
        self._others = 0
        return kept

    def forget_source(self, source: Address) -> bool:
        """The connection from ``source`` has ended; its SSRC may come again from another.

        Returns:
            Whether it was the source that is let in.
        """
        if self.source != source:
            return False
        self.source = None
        return True

    def _first(self, batch: PacketBatch, source: Address, now: float) -> PacketBatch | None:
        if self.expected is not None:
            kept = self._with(batch, self.expected)
            if kept is not None:
                return self._lock(kept, source, self.expected, now)
        if not self._is_from_host(source):
            self._refuse_source(batch, source)
            return None
        if self.expected is not None and not self._adopt:
            self._refuse_ssrc(batch, len(batch), source)
            return None
        return self._lock_any(batch, source, now)

    def _changed(self, batch: PacketBatch, source: Address, now: float) -> PacketBatch | None:
        """None of a batch of our own source has our SSRC."""
        kept = self._with(batch, self.expected)
        if kept is not None and self.expected is not None:
            return self._lock(kept, source, self.expected, now)
        self._others += len(batch)
        goes_on = batch.first_number == self._next
        if self._adopt and (goes_on or self._others >= _CHANGE_AFTER):
            return self._lock_any(batch, source, now)
        self._refuse_ssrc(batch, len(batch), source)
        self._hold(batch, batch.heads.sources[0])
        return None

    def _from_elsewhere(
        self, batch: PacketBatch, source: Address, now: float
    ) -> PacketBatch | None:
        assert self.source is not None
        if not self._is_exact and self.expected is not None:
            kept = self._with(batch, self.expected)
            if kept is not None:
                return self._lock(kept, source, self.expected, now)
        is_quiet = now - self._last_at >= _QUIET and source[0] == self.source[0]
        kept = self._with(batch, self.ssrc) if is_quiet else None
        if kept is None:
            self._refuse_source(batch, source)
            return None
        # The same stream from a new port of a NAT: its order goes on, so no new epoch.
        self.source = source
        self._last_at = now
        return kept

    def _lock_any(self, batch: PacketBatch, source: Address, now: float) -> PacketBatch | None:
        ssrc = batch.heads.sources[0]
        self.adopted += self.expected is not None
        kept = self._with(batch, ssrc)
        assert kept is not None
        return self._lock(kept, source, ssrc, now)

    def _lock(self, kept: PacketBatch, source: Address, ssrc: int, now: float) -> PacketBatch:
        self.source = source
        self.ssrc = ssrc
        self.epoch += 1
        self._is_exact = self.expected is None or ssrc == self.expected
        self._others = 0
        self._last_at = now
        self._next = kept.last_number + 1 & 0xFFFF
        return kept

    def _with(self, batch: PacketBatch, ssrc: int | None) -> PacketBatch | None:
        if ssrc is None:
            return None
        if batch.ssrc == ssrc:
            return batch  # the usual case, for every packet of every stream
        keep = [source == ssrc for source in batch.heads.sources]
        return batch.select(keep) if any(keep) else None

    def _is_from_host(self, source: Address) -> bool:
        return self._host is None or self._host == source[0]

    def _refuse_source(self, batch: PacketBatch, source: Address) -> None:
        self.foreign_source += len(batch)
        self.last_foreign = f"from {source[0]}:{source[1]}"

    def _refuse_ssrc(self, batch: PacketBatch, count: int, source: Address) -> None:
        self.foreign_ssrc += count
        wanted = self.ssrc if self.ssrc is not None else self.expected
        for ssrc in batch.heads.sources:
            if ssrc != wanted:
                self.last_foreign = f"with SSRC {ssrc:010d} from {source[0]}:{source[1]}"
                return


def _usable(host: str | None) -> str | None:
    """Return the host when it is an address that packets can come from."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return None
    return None if address.is_unspecified else str(address)
