"""StreamTable: the running stream of each channel, opened by its first reader, shared by all."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ..errors import Cause, SessionLost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from ..media.session import MediaSession
    from ..supervisor import Supervisor

logger = logging.getLogger("gb28181.streams")


class StreamKind(Enum):
    """Which of a camera's streams; the value is the stream number of 2022 G."""

    MAIN = 0
    SUB = 1


@dataclass(frozen=True, slots=True)
class StreamKey:
    """What is shared: two viewers of one key share one INVITE (2022 L)."""

    channel_id: str
    kind: StreamKind = StreamKind.MAIN


class _Entry:
    def __init__(self) -> None:
        self.users = 0
        self.opening: asyncio.Task[None] | None = None
        self.opened: asyncio.Future[MediaSession] = asyncio.get_running_loop().create_future()
        # Somebody always learns of a failure; nobody waiting any more is no reason for a warning.
        self.opened.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.linger: asyncio.TimerHandle | None = None


class StreamLease:
    """One reader's claim on a running stream; give it back with ``release`` or ``async with``."""

    def __init__(self, session: MediaSession, give_back: Callable[[], None]) -> None:
        self.session = session
        self._give_back: Callable[[], None] | None = give_back

    def release(self) -> None:
        """Give the claim back. Idempotent."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()

    async def __aenter__(self) -> StreamLease:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class StreamTable:
    """Opens a stream with its first reader and ends it some seconds after its last one left."""

    def __init__(
        self,
        supervisor: Supervisor,
        open_stream: Callable[[StreamKey], Awaitable[MediaSession]],
        *,
        linger: float = 5.0,
    ) -> None:
        """Prepare an empty table.

        Args:
            supervisor: Hosts the opening and closing tasks.
            open_stream: Sends the INVITE; raises SessionLost.
            linger: Seconds from the last release to BYE (07 section 5: 5 to 10).
        """
        self._supervisor = supervisor
        self._open_stream = open_stream
        self._linger = linger
        self._entries: dict[StreamKey, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def running(self) -> dict[StreamKey, MediaSession]:
        """The sessions that stand now."""
        return {
            key: entry.opened.result()
            for key, entry in self._entries.items()
            if entry.opened.done() and not entry.opened.cancelled() and not entry.opened.exception()
        }

    def users(self, key: StreamKey) -> int:
        """How many readers hold a claim on ``key``."""
        entry = self._entries.get(key)
        return entry.users if entry else 0

    async def acquire(self, key: StreamKey) -> StreamLease:
        """Claim the stream of ``key``; the first claim sends the INVITE, the others wait for it.

        Returns as soon as the camera's answer is acknowledged.

        Raises:
            SessionLost: With the reason why there is no stream.
        """
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
            entry.opening = self._supervisor.spawn(
                self._open(key, entry), name=f"open {key.channel_id}", on_fault=lambda _: None
            )
        if entry.linger is not None:
            entry.linger.cancel()
            entry.linger = None
        entry.users += 1
        try:
            # Shielded: one viewer that leaves must not take the INVITE from the others.
            session = await asyncio.shield(entry.opened)
        except BaseException:
            self._leave(key, entry)
            raise
        return StreamLease(session, lambda: self._leave(key, entry))

    async def close(self, match: Callable[[MediaSession], bool], cause: Cause) -> None:
        """End the matching sessions for ``cause``: their device is gone or has moved."""
        for key, session in self.running().items():
            if match(session):
                self._forget(key, self._entries.get(key))
                await session.close(cause)

    async def _open(self, key: StreamKey, entry: _Entry) -> None:
        try:
            session = await self._open_stream(key)
        except SessionLost as lost:
            self._forget(key, entry)
            entry.opened.set_exception(lost)
            return
        except BaseException as error:
            self._forget(key, entry)
            if not entry.opened.done():
                sentence = f"{key.channel_id}: opening was abandoned: {error!r}"
                entry.opened.set_exception(SessionLost(Cause(code="fault", sentence=sentence)))
            raise
        entry.opened.set_result(session)
        session.ended.add_done_callback(lambda _: self._forget(key, entry))

    def _leave(self, key: StreamKey, entry: _Entry) -> None:
        entry.users -= 1
        if entry.users > 0 or self._entries.get(key) is not entry:
            return
        if not entry.opened.done():
            # Nobody waits any more: CANCEL goes out with the cancelled opening.
            self._forget(key, entry)
            if entry.opening is not None:
                entry.opening.cancel()
            return
        loop = asyncio.get_running_loop()
        entry.linger = loop.call_later(self._linger, self._expire, key, entry)

    def _expire(self, key: StreamKey, entry: _Entry) -> None:
        if entry.users > 0 or self._entries.get(key) is not entry:
            return
        self._forget(key, entry)
        session = entry.opened.result()
        if self._supervisor.is_running:
            self._supervisor.spawn(
                session.close(Cause(code="no-reader", sentence="its last reader left")),
                name=f"close {key.channel_id}",
                on_fault=lambda _: None,
            )

    def _forget(self, key: StreamKey, entry: _Entry | None) -> None:
        if entry is not None and self._entries.get(key) is entry:
            del self._entries[key]
            if entry.linger is not None:
                entry.linger.cancel()
