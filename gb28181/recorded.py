"""Recorded."""

from __future__ import annotations

from dataclasses import dataclass

from .media.plan import SessionKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of a camera's disk."""

    channel_id: str
    start: int
    end: int
    kind: SessionKind = SessionKind.PLAYBACK
    speed: int = 1
