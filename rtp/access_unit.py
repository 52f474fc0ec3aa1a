"""Access units: one coded picture or audio block with its timestamps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class MediaKind(Enum):
    """What an access unit carries."""

    VIDEO = "video"
    AUDIO = "audio"


class Codec(Enum):
    """A coding that the standard names; the value is its name in logs and documents.

    Source: GB/T 28181-2016 Annex C and E, GB/T 28181-2022 Annex C and F.
    """

    MPEG4 = "MPEG-4"
    H264 = "H.264"
    H265 = "H.265"
    SVAC = "SVAC"
    PCMA = "G.711A"
    PCMU = "G.711U"
    G7221 = "G.722.1"
    G7231 = "G.723.1"
    G726 = "G.726"
    G729 = "G.729"
    AAC = "AAC"
    SVAC_AUDIO = "SVAC audio"

    def __init__(self, name: str) -> None:
        is_video = name in ("MPEG-4", "H.264", "H.265", "SVAC")
        self.kind = MediaKind.VIDEO if is_video else MediaKind.AUDIO
        """Whether this is a video or an audio coding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessUnit:
    """One coded picture or audio block: the unit of media inside the process."""

    codec: Codec
    """How ``data`` is coded."""
    data: bytes
    """Annex B for H.264 and H.265, ADTS for AAC, raw samples for G.711."""
    pts: int
    """Presentation time in 90 kHz ticks, unwrapped."""
    dts: int
    """Decoding time in 90 kHz ticks, unwrapped; equal to ``pts`` without reordering."""
    is_key: bool = False
    """Whether decoding can start here. Always true for audio."""
    is_discontinuous: bool = False
    """Whether something between the unit before and this one is missing."""
    is_damaged: bool = False
    """Whether a part of ``data`` is missing; file writers skip to the next key frame."""

    @property
    def kind(self) -> MediaKind:
        """Whether this is video or audio."""
        return self.codec.kind
