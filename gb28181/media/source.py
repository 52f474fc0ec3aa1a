"""Media sources: what a sender takes its access units from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
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
