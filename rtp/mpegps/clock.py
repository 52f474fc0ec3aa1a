"""Time stamps of access units from PTS and RTP timestamps, of which either may be useless."""

from __future__ import annotations

from typing import Final

from ..sequence import Unwrapper
from .syntax import TIMESTAMP_BITS

_JUMP: Final = 10 * 90_000
_LEAST_RUN: Final = 450  # 5 ms between two frames: less is no clock


class Clock:
    """Chooses, per stream, between the 33-bit PTS and the RTP timestamp.

    PTS is taken when it is there and moves; the RTP timestamp, shifted to the last good PTS,
    when PTS is missing, stands still, or jumps by more than ten seconds alone. In a recording
    that is steered PTS may jump: there it is taken as it is.
    """

    def __init__(self, *, may_jump: bool = False) -> None:
        self._may_jump = may_jump
        self._pts = Unwrapper(TIMESTAMP_BITS)
        self._rtp = Unwrapper(32)
        self._offset: int | None = None
        self._shift = 0
        self._tracks: dict[int, _Track] = {}

    def resolve(
        self, track: int, pts: int | None, dts: int | None, timestamp: int
    ) -> tuple[int, int, str | None]:
        """Return pts and dts, unwrapped, and the repair that was needed if any.

        Args:
            track: Any number that tells the streams apart.
            pts: As the PES header has it.
            dts: As the PES header has it.
            timestamp: Of the RTP packet in which the unit began.
        """
        known = self._tracks.setdefault(track, _Track())
        rtp = self._rtp.unwrap(timestamp)
        if pts is None:
            value, repair = self._from_rtp(known, rtp), "pts_missing"
        elif pts == known.raw and rtp != known.rtp:
            value, repair = self._from_rtp(known, rtp), "pts_constant"
        else:
            return self._from_pts(known, pts, dts, rtp)
        known.raw, known.rtp, known.value = pts, rtp, value
        return value, value, repair

    def follow(self, track: int, ticks: int) -> tuple[int, int] | None:
        """Return the time ``ticks`` after the track's unit before; None when there is none."""
        known = self._tracks.get(track)
        if known is None or known.value is None:
            return None
        known.value += ticks
        return known.value, known.value

    def _from_rtp(self, known: _Track, rtp: int) -> int:
        if self._offset is None:
            self._offset = 0
        value = rtp + self._offset
        if known.value is not None and rtp == known.rtp and value <= known.value:
            return known.value + 1  # both clocks stand still; order is all that is left
        return value

    def _from_pts(
        self, known: _Track, pts: int, dts: int | None, rtp: int
    ) -> tuple[int, int, str | None]:
        repair = None
        value = self._pts.unwrap(pts) + self._shift
        if known.value is not None and known.rtp is not None and self._is_alone(known, value, rtp):
            # The RTP clock ran on: go on from there, in the steps of the new PTS.
            should_be = known.value + rtp - known.rtp
            self._shift += should_be - value
            value, repair = should_be, "pts_jump"
        self._offset = value - rtp
        known.raw, known.rtp, known.value = pts, rtp, value
        if dts is None:
            return value, value, repair
        lead = (pts - dts) % (1 << TIMESTAMP_BITS)
        return value, value - lead if lead < _JUMP else value, repair

    def _is_alone(self, known: _Track, value: int, rtp: int) -> bool:
        """Whether PTS jumped without the RTP clock.

        A forward jump may be a pause of the stream where the RTP clock only counts frames.
        """
        if self._may_jump or known.value is None or known.rtp is None:
            return False
        ran = rtp - known.rtp
        if value < known.value - _JUMP:
            return 0 <= ran < _JUMP
        return value > known.value + _JUMP and _LEAST_RUN <= ran < _JUMP


class _Track:
    """The last unit of one stream."""

    __slots__ = ("raw", "rtp", "value")

    def __init__(self) -> None:
        self.raw: int | None = None
        self.rtp: int | None = None
        self.value: int | None = None
