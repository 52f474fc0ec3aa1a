"""Shelf: what the archive has of one channel's time, in the form in which recordings are served."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ..equipment.recordings import RecordedFile
from ..media.files import FileTape, TapeFile
from ..media.reading import describe_file
from .index import Index, Piece

if TYPE_CHECKING:
    from rtp.access_unit import Codec

    from ..media.moments import Span
    from ..media.source import RecordedSource


class Shelf:
    """``Recordings`` of an archive: a picture of the index, taken once, of a limited time.

    Where two pieces overlap, a moment is played from the one that began first.
    """

    def __init__(self, folder: Path, pieces: list[Piece], *, now: float) -> None:
        """Take pieces in order; blocks while one file is looked into.

        Args:
            folder: The archive's.
            pieces: Of one channel.
            now: Unix seconds: the end of what is being written.
        """
        self._entries = [(one, _entry(folder, one, now)) for one in pieces]
        self._codecs: tuple[Codec | None, Codec | None] = (None, None)
        if pieces:
            self._codecs = describe_file(folder / pieces[0].path)[:2]

    @classmethod
    def of(cls, index: Index, folder: Path, channel: str, span: Span, *, now: float) -> Shelf:
        """What there is of a channel's time. Blocks.

        Raises:
            OSError: The index or a file cannot be read.
        """
        return cls(folder, index.find(channel, *span), now=now)

    def find(self, start: datetime, end: datetime, *, kind: str = "all") -> list[RecordedFile]:
        """See ``Recordings``."""
        return [entry for _, entry in self._found(start, end, kind)]

    def source(self, start: datetime, end: datetime, *, kind: str = "all") -> RecordedSource:
        """See ``Recordings``."""
        base = start.timestamp()
        files: list[TapeFile] = []
        for piece, entry in self._found(start, end, kind):
            begin = piece.start - piece.offset - base
            if files and entry.end.timestamp() - base <= files[-1].end:
                continue  # it lies within the one before
            until = entry.end.timestamp() - base
            path = Path(entry.path)
            files.append(TapeFile(path=path, start=begin, end=until, size=entry.size))
        video, audio = self._codecs
        return FileTape(files, end=(end - start).total_seconds(), video=video, audio=audio)

    def _found(self, start: datetime, end: datetime, kind: str) -> list[tuple[Piece, RecordedFile]]:
        return [
            (piece, entry)
            for piece, entry in self._entries
            if entry.start < end and entry.end > start and kind in ("all", piece.kind)
        ]


def _entry(folder: Path, piece: Piece, now: float) -> RecordedFile:
    start = datetime.fromtimestamp(piece.start, UTC)
    end = datetime.fromtimestamp(now if piece.end is None else piece.end, UTC)
    path = folder / piece.path
    return RecordedFile(
        start=start,
        end=max(end, start),
        name=path.stem,
        path=str(path),
        size=piece.size or path.stat().st_size,
        kind=piece.kind,
    )
