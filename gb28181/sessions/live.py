"""Live: one viewer's share of a running stream, once or again after every loss."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from rtp.access_unit import MediaKind

from ..errors import Cause, Gb28181Error, SessionLost
from ..media.capture import capture
from ..media.diagnosis import of_both
from ..media.stages import Reason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path
    from types import TracebackType
    from typing import Any

    import av
    import av.stream
    import numpy as np

    from rtp.access_unit import AccessUnit

    from ..media.capture import Captured
    from ..media.receiver import ReceiverStatistics
    from ..media.session import MediaSession
    from ..media.stream import Reader
    from .streams import StreamKey, StreamLease, StreamTable


_DECODER_DELAY = 16
"""Pictures that a decoder may hold back before it gives the first."""


class LiveHost(Protocol):
    """What live viewing needs of its platform."""

    @property
    def streams(self) -> StreamTable:
        """The live streams that run, shared by their viewers."""

    def try_another_way(self, channel_id: str, cause: Cause) -> bool:
        """Whether a session that ended for ``cause`` is worth another try over other transport."""

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


class Live:
    """One viewer's share of a running stream. Leaving its block gives the share back."""

    def __init__(self, lease: StreamLease) -> None:
        self._lease = lease
        self.session: MediaSession = lease.session

    @property
    def statistics(self) -> ReceiverStatistics:
        """What the receiver has counted so far."""
        return self.session.receiver.statistics

    async def units(self) -> AsyncGenerator[AccessUnit, None]:
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
        async for packet in packets_of(self.units()):
            yield packet

    async def frames(self) -> AsyncIterator[np.ndarray[Any, Any]]:
        """Decoded pictures as numpy arrays, height x width x 3, rgb24. Needs ``media``.

        Decoding starts at a key frame and runs in a thread, one unit at a time.
        """
        async for frame in frames_of(self.units()):
            yield frame

    async def capture(self, path: Path, *, seconds: float = 10.0) -> Captured:
        """Write what comes into a file for support: ``.pcapng`` packets, or ``.ps`` the stream.

        Raises:
            ConfigError: Another kind of file.
            MediaWorkerLost: The worker of the stream died; what it wrote stays.
            OSError: The file cannot be written.
        """
        return await capture(self.session.receiver, path, seconds=seconds)

    def close(self) -> None:
        """Give the share back. Idempotent."""
        self._lease.release()

    async def _cause(self) -> Cause:
        # Shielded: one reader that is cancelled here must not cancel it for the session itself.
        return await asyncio.shield(self.session.ended)


class Play:
    """What ``Channel.play`` returns: a live session to enter once, or to iterate over."""

    def __init__(self, host: LiveHost, key: StreamKey, retry: Backoff) -> None:
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
            return Live(await self._flowing())
        except SessionLost:
            self._host.check()  # a platform that died is what the caller is to be told
            raise

    async def _flowing(self) -> StreamLease:
        try:
            return await self._tried()
        except SessionLost as first:
            if not self._host.try_another_way(self._key.channel_id, first.cause):
                raise
            try:
                return await self._tried()
            except SessionLost as second:
                raise SessionLost(of_both(first.cause, second.cause)) from second

    async def _tried(self) -> StreamLease:
        lease = await self._host.streams.acquire(self._key)
        try:
            await lease.session.flowing()
        except BaseException:
            lease.release()
            raise
        return lease

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
                # Who says when to come again (503 with Retry-After) is not asked before.
                asked = lost.cause.retry_after or 0.0
                await asyncio.sleep(max(asked, self._retry.delay(attempt)))
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


async def picture_of(units: AsyncIterator[AccessUnit]) -> bytes:
    """The first picture that can be decoded, as JPEG; made in a thread.

    Raises:
        SessionLost: The units ended before.
    """
    from rtp.errors import LocalProtocolError

    from ..media.packets import snapshot

    group: list[AccessUnit] = []
    async for unit in units:
        if unit.kind is not MediaKind.VIDEO or not (group or unit.is_key):
            continue
        group = [unit] if unit.is_key and not unit.is_damaged else [*group, unit]
        if len(group) > _DECODER_DELAY:
            continue
        try:
            return await asyncio.to_thread(snapshot, tuple(group))
        except LocalProtocolError:
            continue  # a decoder may want more than the key frame, or the key frame is no good
    raise lost(Reason.NO_KEY_FRAME, "the stream ended before a picture could be decoded")


async def packets_of(
    units: AsyncIterator[AccessUnit],
) -> AsyncIterator[av.Packet[av.stream.Stream]]:
    """Units as ``av.Packet`` objects."""
    from ..media.packets import unit_to_packet

    async for unit in units:
        yield unit_to_packet(unit)


async def frames_of(units: AsyncIterator[AccessUnit]) -> AsyncIterator[np.ndarray[Any, Any]]:
    """The pictures of units, decoded in a thread from a key frame on."""
    from ..media.packets import Decoder, frame_to_rgb

    decoder: Decoder | None = None
    async for unit in units:
        if unit.kind is not MediaKind.VIDEO:
            continue
        if decoder is None or decoder.codec is not unit.codec or unit.is_discontinuous:
            if not unit.is_key:
                continue
            decoder = Decoder(unit.codec)
        for frame in await asyncio.to_thread(decoder.decode, unit):
            yield frame_to_rgb(cast("av.VideoFrame", frame))  # a video decoder gives no other


def lost(code: str, sentence: str, *, permanent: bool = False) -> SessionLost:
    """A session that could not even be tried."""
    return SessionLost(Cause(code=code, sentence=sentence, permanent=permanent))
