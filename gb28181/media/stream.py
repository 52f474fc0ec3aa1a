"""One stream with many readers, of which none can slow the source."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Final, Generic, TypeVar

from rtp.access_unit import AccessUnit, MediaKind
from rtp.batch import PacketBatch

T = TypeVar("T")

GROUP_BYTES: Final = 4 * 1024 * 1024
"""What the cache of the current group may hold. A longer group is not cached at all."""
GROUP_ITEMS: Final = 2000
"""How many items the cache of the current group may hold."""

logger = logging.getLogger("gb28181.media")


class Overflow(Enum):
    """What happens when a reader's queue is full."""

    SKIP_TO_KEY = "skip to key"
    """Clear the queue, drop until the next group starts, count, mark what follows."""
    PAUSE = "pause"
    """Stop reading from the peer until there is room. TCP with a single reader only."""


class Stream(Generic[T]):
    """Publishes items to readers and taps.

    Args:
        starts: Tells whether a group (a key frame and what depends on it) begins with an item.
            Asked once for each item, in order.
        measure: The size of an item for the bound of the group cache.
        mark: Returns the item marked as following a gap.
        own: Returns the item in a form that may be kept after ``publish``; None when every
            item may be. Taps get what was published.
        keep_group: Whether the current group is cached.
        pause: Called with True when a ``PAUSE`` reader is full and with False when it has room
            again; None when the source cannot be stopped.
    """

    def __init__(
        self,
        *,
        starts: Callable[[T], bool],
        measure: Callable[[T], int],
        mark: Callable[[T], T] | None = None,
        own: Callable[[T], T] | None = None,
        keep_group: bool = True,
        pause: Callable[[bool], None] | None = None,
    ) -> None:
        self.on_first_reader: Callable[[], None] | None = None
        self.on_last_reader: Callable[[], None] | None = None
        self._starts = starts
        self._mark = mark
        self._pause = pause
        self._own = own
        self._group: _Group[T] | None = _Group(measure) if keep_group else None
        self._readers: list[Reader[T]] = []
        self._taps: list[_Tap[T]] = []
        self._closed = False
        self._cause: BaseException | None = None

    @property
    def readers(self) -> int:
        """How many readers are open; taps do not count."""
        return len(self._readers)

    @property
    def is_used(self) -> bool:
        """Whether anybody, reader or tap, takes what is published."""
        return bool(self._readers or self._taps)

    @property
    def has_one_tap(self) -> bool:
        """Whether one tap gets what is published as it is, and nobody after it."""
        return len(self._taps) == 1

    @property
    def is_closed(self) -> bool:
        """Whether the stream has ended."""
        return self._closed

    def publish(self, item: T) -> None:
        """Give an item to every reader and tap. Never waits.

        A tap that raises is detached and logged; the stream and the others go on.
        """
        if self._closed:
            return
        if self._group is not None or self._readers:
            starts = self._starts(item)
            kept = item if self._own is None else self._own(item)
            if self._group is not None:
                self._group.add(kept, starts)
            for reader in tuple(self._readers):
                reader._offer(kept, starts)
        for tap in self._taps:
            try:
                tap.take(item)
            except Exception:
                logger.exception("a tap of a media stream failed and was detached")
                self._detach(tap)

    def reader(self, *, size: int = 250, overflow: Overflow = Overflow.SKIP_TO_KEY) -> Reader[T]:
        """Open a reader; it first gets the current group, as far as that is cached.

        Args:
            size: How many items may wait; the cached group is not counted.
            overflow: What happens when they are too many.

        Raises:
            ValueError: ``PAUSE`` for a source that cannot be stopped, or beside another reader.
        """
        if overflow is Overflow.PAUSE and self._pause is None:
            raise ValueError("only a stream received over TCP can be paused")
        others = any(other.overflow is Overflow.PAUSE for other in self._readers)
        if others or (overflow is Overflow.PAUSE and self._readers):
            raise ValueError("a reader that pauses its stream must be the only one")
        reader = Reader(
            self.group(), size=size, overflow=overflow, mark=self._mark,
            pause=self._pause, on_close=self._forget,
        )  # fmt: skip
        if self._closed:
            reader._end(self._cause)
            return reader
        self._readers.append(reader)
        if len(self._readers) == 1 and self.on_first_reader is not None:
            self.on_first_reader()
        return reader

    def attach(
        self,
        callback: Callable[[T], None],
        *,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> Callable[[], None]:
        """Call ``callback`` with every item from now on; return what detaches it.

        The callback must not change the item, and must not wait. ``on_end`` is called with the
        cause when the stream ends first.
        """
        tap = _Tap(callback, on_end)
        self._taps = [*self._taps, tap]  # a new list: publish may be going through the old one
        return lambda: self._detach(tap)

    def group(self) -> list[T]:
        """Return the items of the current group; empty when it is not known or was too long."""
        return [] if self._group is None else list(self._group.items)

    def forget_group(self) -> None:
        """Drop the cached group: what follows does not continue it."""
        if self._group is not None:
            self._group.clear()

    def close(self, cause: BaseException | None = None) -> None:
        """End the stream: readers get what is queued, then end, or raise ``cause``. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._cause = cause
        for reader in self._readers:
            reader._end(cause)
        taps, self._taps = self._taps, []
        self._readers.clear()
        self.forget_group()
        for tap in taps:
            if tap.on_end is not None:
                tap.on_end(cause)

    def _detach(self, tap: _Tap[T]) -> None:
        if tap in self._taps:
            self._taps = [other for other in self._taps if other is not tap]

    def _forget(self, reader: Reader[T]) -> None:
        if reader not in self._readers:
            return
        self._readers.remove(reader)
        if not self._readers and self.on_last_reader is not None:
            self.on_last_reader()


class Reader(Generic[T]):
    """One consumer's bounded view of a stream: an async iterator, and an async context manager.

    Made by ``Stream.reader``. One task may iterate at a time.
    """

    def __init__(
        self,
        group: list[T],
        *,
        size: int,
        overflow: Overflow,
        mark: Callable[[T], T] | None,
        pause: Callable[[bool], None] | None,
        on_close: Callable[[Reader[T]], None],
    ) -> None:
        if size < 1:
            raise ValueError("a reader needs room for at least one item")
        self.overflow = overflow
        self.skipped = 0
        """How many items were dropped because this reader was too slow."""
        self._group = deque(group)
        self._queue: deque[T] = deque()  # bounded by size: see _offer
        self._size = size
        self._mark = mark
        self._pause = pause if overflow is Overflow.PAUSE else None
        self._paused = False
        self._skipping = 0
        self._on_close = on_close
        self._ended = False
        self._cause: BaseException | None = None
        self._changed = asyncio.Event()

    def __aiter__(self) -> Reader[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            if self._group:
                return self._group.popleft()
            if self._queue:
                item = self._queue.popleft()
                if self._paused and len(self._queue) <= self._size // 2:
                    self._set_paused(False)
                return item
            if self._ended:
                if self._cause is not None:
                    raise self._cause
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

    async def __aenter__(self) -> Reader[T]:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """How many items are queued."""
        return len(self._group) + len(self._queue)

    def close(self) -> None:
        """Leave the stream; what is queued is dropped. Idempotent."""
        self._group.clear()
        self._queue.clear()
        self._end(None)
        if self._paused:
            self._set_paused(False)
        self._on_close(self)

    def _offer(self, item: T, starts: bool) -> None:
        if self._skipping:
            if not starts:
                self._skip(1)
                return
            logger.warning("reader too slow: %d items skipped", self._skipping)
            self._skipping = 0
            item = item if self._mark is None else self._mark(item)
        elif self._pause is None and len(self._queue) >= self._size:
            self._overflow(item, starts)
            return
        self._queue.append(item)
        self._changed.set()
        # While the source stops, what one read of its connection brought is still taken in.
        if self._pause is not None and not self._paused and len(self._queue) >= self._size:
            self._set_paused(True)

    def _overflow(self, item: T, starts: bool) -> None:
        self._skip(len(self._group) + len(self._queue))
        self._group.clear()
        self._queue.clear()
        self._offer(item, starts)

    def _skip(self, count: int) -> None:
        self._skipping += count
        self.skipped += count

    def _set_paused(self, paused: bool) -> None:
        self._paused = paused
        if self._pause is not None:
            self._pause(paused)

    def _end(self, cause: BaseException | None) -> None:
        if not self._ended:
            self._ended = True
            self._cause = cause
        self._changed.set()


def unit_stream(
    *, keep_group: bool = True, pause: Callable[[bool], None] | None = None
) -> Stream[AccessUnit]:
    """Make a stream of access units, whose groups begin at key frames.

    Audio begins a group only while no video has been seen.
    """
    return Stream(
        starts=_UnitGroups().starts,
        measure=lambda unit: len(unit.data),
        mark=lambda unit: replace(unit, is_discontinuous=True),
        keep_group=keep_group,
        pause=pause,
    )


def batch_stream(*, keep_group: bool = True) -> Stream[PacketBatch]:
    """Make a stream of packet batches, whose groups begin where a batch holds a group start."""
    return Stream(
        starts=lambda batch: batch.starts_group,
        measure=lambda batch: len(batch.data),
        own=PacketBatch.own,
        keep_group=keep_group,
    )


def current_group(batches: Stream[PacketBatch]) -> list[PacketBatch]:
    """Return the kept group from its very start; empty when none is kept."""
    group = batches.group()
    if group:
        first, start = group[0], group[0].group_start()
        while start is not None:  # one batch may hold the starts of several groups
            first = first.from_index(start)
            more = first.from_index(1).group_start()
            start = None if more is None else more + 1
        group[0] = first
    return group


class _Tap(Generic[T]):
    def __init__(
        self, take: Callable[[T], None], on_end: Callable[[BaseException | None], None] | None
    ) -> None:
        self.take = take
        self.on_end = on_end


class _UnitGroups:
    def __init__(self) -> None:
        self._has_video = False

    def starts(self, unit: AccessUnit) -> bool:
        if unit.kind is MediaKind.VIDEO:
            self._has_video = True
            return unit.is_key
        return not self._has_video


class _Group(Generic[T]):
    """The items since the last group start; empty when they are too many."""

    def __init__(self, measure: Callable[[T], int]) -> None:
        self.items: list[T] = []
        self._measure = measure
        self._size = 0

    def add(self, item: T, starts: bool) -> None:
        if starts:
            self.clear()
        elif not self.items:
            return
        self._size += self._measure(item)
        if self._size > GROUP_BYTES or len(self.items) >= GROUP_ITEMS:
            self.clear()
            return
        self.items.append(item)

    def clear(self) -> None:
        self.items.clear()
        self._size = 0
