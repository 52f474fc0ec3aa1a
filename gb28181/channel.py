"""Channel: a handle on a camera that stays valid while its device is away or moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from rtp.access_unit import MediaKind

from .errors import Cause, Gb28181Error, MediaTimeout, SessionLost
from .streams import StreamKey, StreamKind
from .talk import Talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType
    from typing import Any

    import av
    import av.stream
    import numpy as np

    from rtp.access_unit import AccessUnit

    from .manscdp.catalog import CatalogItem
    from .media.receiver import ReceiverStatistics
    from .media.session import MediaSession
    from .media.source import MediaSource
    from .media.stream import Reader
    from .streams import StreamLease, StreamTable
    from .talk import Broadcast


class ChannelHost(Protocol):
    """What a channel needs of its platform."""

    @property
    def streams(self) -> StreamTable:
        """The live streams that run, shared by their viewers."""

    def channel_item(self, channel_id: str) -> CatalogItem | None:
        """The catalogue's line for the channel."""

    def channel_online(self, channel_id: str) -> bool:
        """Whether its device is registered and lists it as ON."""

    def broadcast(self, channel_ids: Sequence[str], source: MediaSource) -> Broadcast:
        """One voice to the loudspeakers of several cameras."""

    def check(self) -> None:
        """Raise when the platform is not running."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next try: doubling from ``first`` to ``longest`` seconds."""

    first: float = 1.0
    longest: float = 30.0

    def delay(self, attempt: int) -> float:
        """Seconds before try number ``attempt`` (1 is the first repetition)."""
        return float(min(self.longest, self.first * 2 ** min(attempt - 1, 30)))


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


class Live:
    """One viewer's share of a running stream. Leaving its block gives the share back."""

    def __init__(self, lease: StreamLease) -> None:
        self._lease = lease
        self.session: MediaSession = lease.session

    @property
    def statistics(self) -> ReceiverStatistics:
        """What the receiver has counted so far."""
        return self.session.receiver.statistics

    async def units(self) -> AsyncIterator[AccessUnit]:
        """Access units as they come, from the current group of pictures on. Needs no PyAV.

        Raises:
            SessionLost: The stream ended without being asked to.
        """
        reader: Reader[AccessUnit] = self.session.receiver.units.reader()
        try:
            async for unit in reader:
                yield unit
        except (Gb28181Error, OSError):
            raise SessionLost(await self._cause()) from None
        finally:
            reader.close()
        raise SessionLost(await self._cause())

    async def packets(self) -> AsyncIterator[av.Packet[av.stream.Stream]]:
        """``av.Packet`` objects with a time base of 1/90000. Needs the extra ``media``."""
        from .media.packets import unit_to_packet

        async for unit in self.units():
            yield unit_to_packet(unit)

    async def frames(self) -> AsyncIterator[np.ndarray[Any, Any]]:
        """Decoded pictures as numpy arrays, height x width x 3, rgb24. Needs ``media``.

        Decoding starts at a key frame and runs in a thread, one unit at a time.
        """
        from .media.packets import Decoder, frame_to_rgb

        decoder: Decoder | None = None
        async for unit in self.units():
            if unit.kind is not MediaKind.VIDEO:
                continue
            if decoder is None or decoder.codec is not unit.codec or unit.is_discontinuous:
                if not unit.is_key:
                    continue
                decoder = Decoder(unit.codec)
            for frame in await asyncio.to_thread(decoder.decode, unit):
                yield frame_to_rgb(cast("av.VideoFrame", frame))  # a video decoder gives no other

    def close(self) -> None:
        """Give the share back. Idempotent."""
        self._lease.release()

    async def _cause(self) -> Cause:
        # Shielded: one reader that is cancelled here must not cancel it for the session itself.
        return await asyncio.shield(self.session.ended)


class Play:
    """What ``Channel.play`` returns: a live session to enter once, or to iterate over."""

    def __init__(self, host: ChannelHost, key: StreamKey, retry: Backoff) -> None:
        self._host = host
        self._key = key
        self._retry = retry
        self._live: Live | None = None

    async def open(self) -> Live:
        """Open, or join, the stream and wait for its first packet.

        Raises:
            SessionLost: With the cause, the stage and the evidence.
            PlatformFailed: The platform is not running.
        """
        self._host.check()
        try:
            lease = await self._host.streams.acquire(self._key)
        except SessionLost:
            self._host.check()  # a platform that died is what the caller is to be told
            raise
        try:
            await lease.session.flowing()
        except MediaTimeout as error:
            lease.release()
            cause = await lease.session.ended if lease.session.ended.done() else None
            raise SessionLost(cause or lease.session.why(error)) from error
        except BaseException:
            lease.release()
            raise
        return Live(lease)

    async def __aenter__(self) -> Live:
        self._live = await self.open()
        return self._live

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None

    async def __aiter__(self) -> AsyncIterator[Live]:
        attempt = 0
        while True:
            try:
                live = await self.open()
            except SessionLost as lost:
                if lost.cause.permanent:
                    raise
                attempt += 1
                await asyncio.sleep(self._retry.delay(attempt))
                continue
            opened_at = asyncio.get_running_loop().time()
            try:
                yield live
            finally:
                live.close()
            # A stream that stood for a while starts the pacing anew.
            lasted = asyncio.get_running_loop().time() - opened_at
            attempt = 1 if lasted > self._retry.longest else attempt + 1
            await asyncio.sleep(self._retry.delay(attempt))


def lost(code: str, sentence: str, *, permanent: bool = False) -> SessionLost:
    """A session that could not even be tried."""
    return SessionLost(Cause(code=code, sentence=sentence, permanent=permanent))
