"""Channel: a handle on a camera that stays valid while its device is away or moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .live import Backoff, LiveHost, Play
from .streams import StreamKey, StreamKind
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .manscdp.catalog import CatalogItem
    from .media.source import MediaSource
    from .talk import Broadcast


class ChannelHost(LiveHost, Protocol):
    """What a channel needs of its platform."""

    def channel_item(self, channel_id: str) -> CatalogItem | None:
        """The catalogue's line for the channel."""

    def channel_online(self, channel_id: str) -> bool:
        """Whether its device is registered and lists it as ON."""

    def broadcast(self, channel_ids: Sequence[str], source: MediaSource) -> Broadcast:
        """One voice to the loudspeakers of several cameras."""


class Channel:
    """A camera, whether its device is here or not.

    Two handles of one id are interchangeable: they hold no state of their own.
    """

    def __init__(self, channel_id: str, host: ChannelHost) -> None:
        self.id = channel_id
        self._host = host

    def __repr__(self) -> str:
        return f"Channel({self.id!r})"

    @property
    def item(self) -> CatalogItem | None:
        """What the catalogue says of it, or None before a catalogue came."""
        return self._host.channel_item(self.id)

    @property
    def is_online(self) -> bool:
        """Whether its device is registered and lists it as ON."""
        return self._host.channel_online(self.id)

    def play(self, *, stream: StreamKind = StreamKind.MAIN, retry: Backoff | None = None) -> Play:
        """Live video: ``async with`` for once, ``async for`` to be given it again after a loss.

        Args:
            stream: Main or sub stream.
            retry: How to pace the tries of ``async for``; the default is 1 to 30 seconds.
        """
        return Play(self._host, StreamKey(self.id, stream), retry or Backoff())

    def broadcast(self, source: MediaSource) -> Broadcast:
        """Our voice at its loudspeaker: ``async with``; see ``Platform.broadcast``."""
        return self._host.broadcast([self.id], source)

    def talk(self, source: MediaSource) -> Talk:
        """Its picture and sound up, our voice down: ``async with`` (9.12.2).

        Args:
            source: Whose G.711 sound is sent.

        Raises:
            ValueError: The source has no G.711 sound.
        """
        return Talk(self.play().open, self.broadcast(source))
