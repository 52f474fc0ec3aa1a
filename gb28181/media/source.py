"""Media sources: what a sender takes its access units from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rtp.access_unit import AccessUnit, Codec

if TYPE_CHECKING:
    pass

_TICKS = 90_000


class MediaSource(Protocol):
    """What a sender reads. The sender paces, the source does not."""

    @property
    def video(self) -> Codec | None:
        """The codec of the pictures; None without video."""

    @property
    def audio(self) -> Codec | None:
        """The codec of the sound; None without audio."""

    @property
    def duration(self) -> float | None:
        """Seconds until ``units`` ends; None when it does not end."""

    def units(self) -> AsyncIterator[AccessUnit]:
        """Return the units from the start; ``dts`` begins at 0 and never falls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A key frame and what follows up to the next one: the piece that playback moves by."""

    start: int
    """Ticks from the start of what was asked for."""
    duration: int
    """Ticks that it lasts, at least 1; the next group may begin later, after a gap."""
    units: tuple[AccessUnit, ...]
    """In order of ``dts``, which counts as ``start`` does; the first picture is a key frame."""


class RecordedSource(Protocol):
    """A piece of a recording: media that can be entered anywhere and read backwards."""

    @property
    def video(self) -> Codec | None:
        """The codec of the pictures; None without video."""

    @property
    def audio(self) -> Codec | None:
        """The codec of the sound; None without audio."""

    @property
    def duration(self) -> float:
        """Seconds from the start of what was asked for to the last moment that is recorded."""

    @property
    def size(self) -> int | None:
        """About how many bytes all of it has; None when that is not known."""

    def groups(self, position: float, *, reverse: bool = False) -> AsyncGenerator[Group, None]:
        """Return the groups from the one at or before ``position``, in seconds.

        In a gap it is the next one, or with ``reverse`` the one before. With ``reverse`` the last
        comes first; each group itself runs forward.

        Source: GB/T 28181-2022 B.2.8.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A short piece of media that can be sent in a loop."""

    units: tuple[AccessUnit, ...]
    """In order of ``dts``, which begins at 0; the first picture is a key frame."""
    duration: int
    """Ticks after which the first unit follows again."""
    video: Codec | None
    """The codec of the pictures; None without video."""
    audio: Codec | None
    """The codec of the sound; None without audio."""
    frames: int
    """Number of pictures; the counter in the test picture runs from 0 to ``frames - 1``."""


class ClipSource:
    """Gives the units of a clip from memory, in a loop or once."""

    def __init__(self, clip: Clip, *, loop: bool = True) -> None:
        self.clip = clip
        self.video = clip.video
        self.audio = clip.audio
        self.duration = None if loop else clip.duration / _TICKS
        self._loop = loop

    async def units(self) -> AsyncIterator[AccessUnit]:
        """Return the units; see ``MediaSource``."""
        for unit in looped(self.clip) if self._loop else self.clip.units:
            yield unit


class PatternSource:
    """Gives the built-in moving test picture in an endless loop.

    The clip is encoded at first use, in a thread, and shared by all sources of the process.
    """

    duration = None

    def __init__(
        self,
        *,
        video: Codec | None = Codec.H264,
        audio: Codec | None = Codec.PCMA,
        width: int = 640,
        height: int = 360,
        fps: int = 25,
        seconds: int = 4,
        gop: int = 25,
    ) -> None:
        """Describe the picture; the values are those of ``pattern_clip``."""
        self.video = video
        self.audio = audio
        self._size = (width, height, fps, seconds, gop)

    async def units(self) -> AsyncIterator[AccessUnit]:
        """Return the units; see ``MediaSource``."""
        clip = await asyncio.to_thread(_pattern_clip, self.video, self.audio, *self._size)
        for unit in looped(clip):
            yield unit


class FileSource:
    """Gives the units of a media file, in a loop or once.

    H.264, H.265, G.711A and AAC are given as they are in the file; other pictures are coded anew
    as H.264, other sound as G.711A. Reading and coding run in threads, at most two batches of
    ``BATCH`` units ahead of the reader.
    """

    BATCH = 32

    def __init__(
        self,
        path: Path,
        *,
        video: Codec | None,
        audio: Codec | None,
        length: float | None,
        loop: bool,
        voice: bool = False,
    ) -> None:
        """Describe the file; use ``file_clip`` or ``voice_clip``, which look into it."""
        self.path = path
        self.video = video
        self.audio = audio
        self.duration = None if loop else length
        self._loop = loop
        self._voice = voice

    async def units(self) -> AsyncIterator[AccessUnit]:
        """Return the units; see ``MediaSource``.

        Raises:
            ConfigError: The file can no longer be read.
        """
        reader = _BatchReader(self._read, self.BATCH)
        event_loop = asyncio.get_running_loop()
        upcoming = event_loop.run_in_executor(None, reader.take)
        try:
            while batch := await upcoming:
                upcoming = event_loop.run_in_executor(None, reader.take)
                for unit in batch:
                    yield unit
        finally:
            # Nobody waits for the last batch any more, nor for an error in it.
            upcoming.add_done_callback(lambda batch: batch.cancelled() or batch.exception())
            upcoming.cancel()
            reader.stop()

    def _read(self) -> Generator[AccessUnit, None, None]:
        from .reading import read_file

        offset = 0
        while True:
            end = offset
            for unit, duration in read_file(self.path, voice=self._voice):
                yield _shifted(unit, offset)
                end = max(end, offset + unit.dts + duration)
            if not self._loop or end == offset:
                return
            offset = end


def file_clip(path: Path | str, *, loop: bool = True) -> FileSource:
    """Look into a media file and return it as a source. Blocks while the file is opened.

    Raises:
        ConfigError: The file cannot be read, or has neither pictures nor sound.
    """
    from .reading import describe_file

    video, audio, length = describe_file(Path(path))
    return FileSource(Path(path), video=video, audio=audio, length=length, loop=loop)


def voice_clip(path: Path | str, *, loop: bool = False) -> FileSource:
    """Look into a file with sound and return that alone, as G.711A: an announcement.

    Blocks while the file is opened.

    Raises:
        ConfigError: The file cannot be read, or has no sound.
    """
    from .reading import describe_file

    _, audio, length = describe_file(Path(path), voice=True)
    return FileSource(Path(path), video=None, audio=audio, length=length, loop=loop, voice=True)


def looped(clip: Clip) -> Iterator[AccessUnit]:
    """Return the units of the clip for ever; ``pts`` and ``dts`` go on from loop to loop."""
    offset = 0
    while clip.units:
        for unit in clip.units:
            yield _shifted(unit, offset)
        offset += clip.duration


def pattern_clip(
    *,
    video: Codec | None = Codec.H264,
    audio: Codec | None = Codec.PCMA,
    width: int = 640,
    height: int = 360,
    fps: int = 25,
    seconds: int = 4,
    gop: int = 25,
) -> Clip:
    """Return the moving test picture, encoded once per process for the same arguments.

    Blocks for some tenths of a second at the first call.

    Args:
        video: H.264, H.265 or None.
        audio: G.711A or G.711U in blocks of 40 ms, AAC with ADTS headers at 32 kHz, or None: a
            tone of 440 Hz that is loud while the lamp in the picture is lit, for the first fifth
            of each second.
        width: Pixels, even, at least 160.
        height: Pixels, even, at least 96.
        fps: Pictures per second.
        seconds: Length of the clip. AAC has no seam at multiples of 4.
        gop: Pictures from one key frame to the next.

    Raises:
        LocalProtocolError: A codec that is not offered, or a size that cannot be encoded.
    """
    return _pattern_clip(video, audio, width, height, fps, seconds, gop)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternStyle:
    """How the drawn pictures of a recording look; small, as they are many."""

    video: Codec = Codec.H264
    audio: Codec | None = Codec.PCMA
    """G.711A, G.711U or None."""
    width: int = 160
    height: int = 96
    fps: int = 5


@lru_cache(maxsize=2048)
def pattern_second(style: PatternStyle, second: int) -> tuple[AccessUnit, ...]:
    """Return one second of a drawn recording: a closed group with its sound, from ``dts`` 0 on.

    Blocks for some milliseconds unless the second is among the last 2,048 that were asked for,
    which all sources of the process share.

    Args:
        style: How it looks.
        second: Shown by the clock in the picture; the counter in it goes on from ``second * fps``.
    """
    from .pattern import encode_group, encode_tone

    with _ENCODING:
        pictures = encode_group(
            style.video, style.width, style.height, style.fps, second * style.fps
        )
        sound = encode_tone(style.audio, 1) if style.audio else ()
    joined = [
        replace(part[0], data=b"".join(unit.data for unit in part))
        for part in (sound[n : n + _SOUND_BLOCKS] for n in range(0, len(sound), _SOUND_BLOCKS))
    ]
    return tuple(sorted((*pictures, *joined), key=lambda unit: unit.dts))


_SOUND_BLOCKS = 5
"""Blocks of 40 ms that go into one unit: a recording is sent faster than it was made."""

# Many simulated devices ask for the same clip at once: the first one encodes, the others wait.
_ENCODING = threading.Lock()


def _pattern_clip(
    video: Codec | None,
    audio: Codec | None,
    width: int,
    height: int,
    fps: int,
    seconds: int,
    gop: int,
) -> Clip:
    from .pattern import encode_pictures, encode_tone

    with _ENCODING:
        pictures = encode_pictures(video, width, height, fps, seconds, gop) if video else ()
        sound = encode_tone(audio, seconds) if audio else ()
        units = tuple(sorted((*pictures, *sound), key=lambda unit: unit.dts))
    return Clip(
        units=units,
        duration=seconds * _TICKS,
        video=video,
        audio=audio,
        frames=len(pictures),
    )


def _shifted(unit: AccessUnit, offset: int) -> AccessUnit:
    return replace(unit, pts=unit.pts + offset, dts=unit.dts + offset) if offset else unit


class _BatchReader:
    """Takes units from an iterator in batches, one thread at a time; may be stopped meanwhile."""

    def __init__(self, read: Callable[[], Generator[AccessUnit, None, None]], size: int) -> None:
        self._units = read()
        self._size = size
        self._lock = threading.Lock()
        self._is_stopped = False

    def take(self) -> list[AccessUnit]:
        """Return the next units; none at the end."""
        with self._lock:
            batch = [] if self._is_stopped else list(islice(self._units, self._size))
        if self._is_stopped:
            self.stop()
        return batch

    def stop(self) -> None:
        """Close the file: at once, or when the thread that is reading has its batch."""
        self._is_stopped = True
        if self._lock.acquire(blocking=False):
            try:
                self._units.close()
            finally:
                self._lock.release()
