"""Index: which piece of which channel lies in which file. SQLite; every call blocks."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..media.moments import Span, joined

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TABLES = """
CREATE TABLE IF NOT EXISTS piece (
    id INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    start REAL NOT NULL,      -- Unix seconds
    "end" REAL,               -- NULL while it is being written
    path TEXT NOT NULL,       -- relative to the archive's folder
    "offset" REAL NOT NULL,   -- seconds of the file before the piece begins
    size INTEGER NOT NULL,
    kind TEXT NOT NULL        -- time, alarm
) STRICT;
CREATE INDEX IF NOT EXISTS piece_by_time ON piece (channel, start);
CREATE INDEX IF NOT EXISTS piece_by_path ON piece (path);
CREATE TABLE IF NOT EXISTS absent (   -- asked for, and not on the camera's disk either
    channel TEXT NOT NULL,
    start REAL NOT NULL,
    "end" REAL NOT NULL,
    tries INTEGER NOT NULL,
    tried_at REAL NOT NULL,
    PRIMARY KEY (channel, start)
) STRICT;
CREATE TABLE IF NOT EXISTS alarm (    -- recording that an alarm asked for
    channel TEXT NOT NULL,
    start REAL NOT NULL,
    "end" REAL NOT NULL,
    PRIMARY KEY (channel, start)
) STRICT;
CREATE TABLE IF NOT EXISTS since (    -- when a channel was first to be recorded
    channel TEXT PRIMARY KEY,
    start REAL NOT NULL
) STRICT;
PRAGMA user_version = 1;
"""
_INSERT = (
    'INSERT INTO piece (channel, start, "end", path, "offset", size, kind)'
    " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of one channel's time in one file."""

    id: int
    channel: str
    start: float
    """Unix seconds."""
    end: float | None
    """None while it is being written."""
    path: str
    """Relative to the archive's folder."""
    offset: float = 0.0
    """Seconds of the file before the piece begins."""
    size: int = 0
    """Bytes of the file."""
    kind: str = "time"
    """``time`` or ``alarm``."""


class Index:
    """The table of contents of an archive, kept beside its files.

    One connection, calls in a row. What is committed survives a loss of power.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it.

        Raises:
            OSError: It cannot be opened, or is no index of ours.
        """
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise OSError(f"{path} is no archive index: {error}") from error

    def close(self) -> None:
        """Close it. Idempotent."""
        with self._lock:
            self._database.close()

    def begin(self, channel: str, start: float, path: str, *, kind: str = "time") -> int:
        """Note that a file is being written; return the piece's number."""
        return int(self._run(_INSERT, channel, start, None, path, 0.0, 0, kind)[0][0])

    def finish(self, piece: int, start: float, end: float, size: int) -> None:
        """Note what a file has become."""
        self._run(
            'UPDATE piece SET start = ?, "end" = ?, size = ? WHERE id = ?', start, end, size, piece
        )

    def add(self, pieces: Iterable[Piece]) -> None:
        """Note pieces that are complete; their numbers are given anew."""
        for one in pieces:
            values = (one.channel, one.start, one.end, one.path, one.offset, one.size, one.kind)
            self._run(_INSERT, *values)

    def drop(self, path: str) -> None:
        """Forget every piece of a file."""
        self._run("DELETE FROM piece WHERE path = ?", path)

    def find(self, channel: str, start: float, end: float) -> list[Piece]:
        """The pieces that overlap a time, in order; one being written reaches to its end."""
        return self._pieces(
            'WHERE channel = ? AND start < ? AND coalesce("end", ?) > ? ORDER BY start, id',
            channel, end, end, start,
        )  # fmt: skip

    def covered(self, channel: str, start: float, end: float) -> list[Span]:
        """What is there of a time; pieces that touch within a second are one."""
        pieces = self.find(channel, start, end)
        return joined(
            [(one.start, end if one.end is None else one.end) for one in pieces], start, end
        )

    def unfinished(self) -> list[Piece]:
        """What was being written when a process died."""
        return self._pieces('WHERE "end" IS NULL')

    def before(self, channel: str, moment: float) -> list[Piece]:
        """The complete pieces that had ended at a moment, the oldest first."""
        return self._pieces('WHERE channel = ? AND "end" <= ? ORDER BY "end"', channel, moment)

    def oldest(self, count: int) -> list[Piece]:
        """The oldest complete pieces of all channels."""
        return self._pieces('WHERE "end" IS NOT NULL ORDER BY "end" LIMIT ?', count)

    def channels(self) -> list[str]:
        """Every channel that has, or has lost, something."""
        rows = self._run("SELECT channel FROM piece UNION SELECT channel FROM since")
        return sorted(str(row[0]) for row in rows)

    def paths(self) -> set[str]:
        """Every file that is known."""
        return {str(row[0]) for row in self._run("SELECT DISTINCT path FROM piece")}

    def size(self) -> int:
        """Bytes of all files."""
        rows = self._run(
            "SELECT sum(size) FROM (SELECT max(size) AS size FROM piece GROUP BY path)"
        )
        return int(rows[0][0] or 0)

    # What was wanted, and what cannot be had

    def since(self, channel: str, now: float) -> float:
        """When a channel was first to be recorded; now, when it never was."""
        self._run("INSERT OR IGNORE INTO since VALUES (?, ?)", channel, now)
        return float(str(self._run("SELECT start FROM since WHERE channel = ?", channel)[0][0]))

    def note_alarm(self, channel: str, start: float, end: float) -> None:
        """Note that an alarm asks for a recording."""
        self._run("INSERT OR REPLACE INTO alarm VALUES (?, ?, ?)", channel, start, end)

    def alarms(self, channel: str, start: float, end: float) -> list[Span]:
        """What alarms asked for within a time."""
        rows = self._run(
            'SELECT start, "end" FROM alarm WHERE channel = ? AND start < ? AND "end" > ?',
            channel, end, start,
        )  # fmt: skip
        return joined([_span(row) for row in rows], start, end)

    def forget(self, channel: str, before: float) -> None:
        """Forget what was asked for, and could not be had, before a moment."""
        self._run('DELETE FROM alarm WHERE channel = ? AND "end" <= ?', channel, before)
        self._run('DELETE FROM absent WHERE channel = ? AND "end" <= ?', channel, before)

    def note_absent(self, channel: str, span: Span, now: float) -> None:
        """Note that a stretch is not on the camera's disk."""
        self._run(
            "INSERT INTO absent VALUES (?, ?, ?, 1, ?)"
            ' ON CONFLICT DO UPDATE SET "end" = ?, tries = tries + 1, tried_at = ?',
            channel, span[0], span[1], now, span[1], now,
        )  # fmt: skip

    def absent(self, channel: str, now: float, pauses: Sequence[float]) -> list[Span]:
        """What is not asked for again now: each try is due after a pause of its own."""
        rows = self._run(
            'SELECT start, "end", tries, tried_at FROM absent WHERE channel = ?', channel
        )
        return [
            _span(row[:2])
            for row in rows
            if row[2] > len(pauses) or now < row[3] + pauses[row[2] - 1]
        ]

    def _pieces(self, condition: str, *values: object) -> list[Piece]:
        rows = self._run(
            'SELECT id, channel, start, "end", path, "offset", size, kind FROM piece ' + condition,
            *values,
        )
        return [
            Piece(
                id=row[0], channel=row[1], start=row[2], end=row[3],
                path=row[4], offset=row[5], size=row[6], kind=row[7],
            )
            for row in rows
        ]  # fmt: skip

    def _run(self, statement: str, *values: object) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise OSError(f"the archive's index: {error}") from error


def _span(row: Any) -> Span:
    return (float(row[0]), float(row[1]))


def without(spans: Iterable[Span], taken: Iterable[Span], *, least: float = 0.0) -> list[Span]:
    """What is left of sorted stretches; remainders shorter than ``least`` seconds are dropped."""
    gone = sorted(taken)
    left: list[Span] = []
    for start, end in spans:
        at = start
        for first, last in gone:
            if last <= at or first >= end:
                continue
            if first > at:
                left.append((at, first))
            at = max(at, last)
        if at < end:
            left.append((at, end))
    return [(a, b) for a, b in left if b - a >= least]
