"""Reads all media sockets of a process in turns."""

from __future__ import annotations

import asyncio
import select
from typing import Final

from .datagrams import Readers

READ_SIZE: Final = 65_536


class Polled:
    """A socket that a poller watches."""

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        raise NotImplementedError

    def drain(self, now: float) -> bool:
        """Read what is there; return whether there may be more. Raises nothing."""
        raise NotImplementedError

    def flush(self) -> None:
        """Write on: there is room again. Raises nothing."""
        raise NotImplementedError

    def close(self) -> None:
        """Close it."""
        raise NotImplementedError


class MediaPoller:
    """Reads all media sockets of a process: one epoll object, watched by the loop.

    With a gather tick the epoll object leaves the loop for ``tick`` seconds after each turn, so
    that packets spread over a frame interval are read together: half the cost, for at most that
    much latency. 0 switches it off.
    """

    def __init__(
        self, *, tick: float = 0.005, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._tick = tick
        self.loop = loop or asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._sockets: dict[int, Polled] = {}
        self.readers = Readers()
        """What the UDP sockets read with; they share the buffers."""
        self.stream = bytearray(3 * READ_SIZE)
        """What the TCP connections read into, each for the length of one callback."""
        self.has_warned = False
        """Whether it was said that receive buffers are too small."""
        self.is_closing = False
        """Whether it is closed or closing: nothing is waited for any more."""
        self._pause: asyncio.TimerHandle | None = None
        self._is_dry = True
        self.loop.add_reader(self._epoll.fileno(), self._turn)

    def __len__(self) -> int:
        return len(self._sockets)

    def watch(self, media: Polled) -> None:
        """Read ``media`` from now on."""
        self._epoll.register(media.fileno(), select.EPOLLIN)
        self._sockets[media.fileno()] = media

    def change(self, media: Polled, *, reads: bool, writes: bool) -> None:
        """Say what is waited for."""
        events = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if writes else 0)
        self._epoll.modify(media.fileno(), events)

    def forget(self, media: Polled) -> None:
        """Stop watching a socket that is about to close."""
        if self._sockets.pop(media.fileno(), None) is not None:
            self._epoll.unregister(media.fileno())

    def close(self) -> None:
        """Close every socket."""
        if self.is_closing:
            return
        self.is_closing = True
        for media in list(self._sockets.values()):
            media.close()
        if self._pause is not None:
            self._pause.cancel()
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _turn(self) -> None:
        self._drain()
        if self._is_dry and self._tick and not self.is_closing:
            self.loop.remove_reader(self._epoll.fileno())
            self._pause = self.loop.call_later(self._tick, self._resume)

    def _resume(self) -> None:
        """The tick is over: read on, or, when nothing came, have the loop watch again."""
        self._pause = None
        came = self._drain()
        if self.is_closing:
            return
        if came and self._is_dry:
            self._pause = self.loop.call_later(self._tick, self._resume)
        else:
            self.loop.add_reader(self._epoll.fileno(), self._turn)

    def _drain(self) -> int:
        """Serve every socket that is ready; return how many were."""
        now, sockets, self._is_dry = self.loop.time(), self._sockets, True
        ready = self._epoll.poll(0, max(1, len(sockets)))
        for descriptor, events in ready:
            media = sockets.get(descriptor)
            if media is None:
                continue
            if events & select.EPOLLOUT:
                media.flush()
            if events != select.EPOLLOUT and media.drain(now):
                self._is_dry = False
        return len(ready)
