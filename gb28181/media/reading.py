"""Media files as access units: copied where the standard knows the codec, else coded anew."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rtp import nal
from rtp.access_unit import AccessUnit, Codec, MediaKind

from ..errors import ConfigError
from .packets import ADTS_RATES, G711_RATE, adts_header, open_audio_encoder, open_video_encoder

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

_TICKS = 90_000
_LEAD = 200  # units that one stream may be ahead of the other in a badly interleaved file

Timed = tuple[AccessUnit, int]
"""A unit and how long it lasts, in ticks."""


def describe_file(
    path: Path, *, voice: bool = False
) -> tuple[Codec | None, Codec | None, float | None]:
    """Return the codecs that ``read_file`` will give, and the length in seconds if known.

    Raises:
        ConfigError: The file cannot be read, or has neither pictures nor sound.
    """
    with _open(path) as container:
        tracks = _tracks(container, path, voice=voice)
        length = container.duration
    codecs = {track.codec.kind: track.codec for track in tracks.values()}
    return (
        codecs.get(MediaKind.VIDEO),
        codecs.get(MediaKind.AUDIO),
        None if length is None else length / 1_000_000,
    )


def read_file(path: Path, *, voice: bool = False) -> Generator[Timed, None, None]:
    """Read a file once; ``dts`` begins at 0 and never falls.

    What cannot be decoded, and what lies before the first key frame, is left out. With ``voice``
    only the sound is read, and always as G.711A.

    Raises:
        ConfigError: The file cannot be read.
    """
    from av.error import FFmpegError

    with _open(path) as container:
        tracks = _tracks(container, path, voice=voice)
        try:
            units = _merged(_demuxed(container, tracks), len(tracks))
            has_video = any(track.codec.kind is MediaKind.VIDEO for track in tracks.values())
            yield from _from_zero(units, has_video=has_video)
        except FFmpegError as error:
            raise ConfigError(f"{path} cannot be read to its end: {error}") from error


def read_groups(path: Path, start: float = 0.0) -> Generator[list[Timed], None, None]:
    """Read a file from the key frame at or before ``start``, group by group.

    A group ends with the next key frame; without pictures it is a second of sound. ``dts`` counts
    from the first key frame of the file.

    Args:
        path: The file.
        start: Seconds from that key frame.

    Raises:
        ConfigError: The file cannot be read.
    """
    from av.error import FFmpegError

    with _open(path) as container:
        tracks = _tracks(container, path, voice=False)
        has_video = any(track.codec.kind is MediaKind.VIDEO for track in tracks.values())
        try:
            base = _first_key(container, tracks, has_video=has_video)
            tracks = _tracks(container, path, voice=False)  # these remember nothing yet
            container.seek(
                round((base / _TICKS + start) * 1_000_000) if start > 0 else 0,
                backward=True,
                any_frame=False,
            )
            units = _merged(_demuxed(container, tracks), len(tracks))
            yield from _grouped(_from_zero(units, has_video=has_video, base=base), has_video)
        except FFmpegError as error:
            raise ConfigError(f"{path} cannot be read to its end: {error}") from error


def key_times(path: Path) -> list[float]:
    """Return where the groups of a file begin, in seconds from the first; reads all of it.

    Raises:
        ConfigError: The file cannot be read.
    """
    return [group[0][0].dts / _TICKS for group in read_groups(path)]


class _Track(Protocol):
    codec: Codec

    def push(self, packet: Packet[Any]) -> list[Timed]:
        """Take a packet of the file, the empty one at the end too."""


class _CopiedVideo:
    """H.264 or H.265, as Annex B with parameter sets at each key frame."""

    def __init__(self, stream: VideoStream, codec: Codec) -> None:
        from av.bitstream import BitStreamFilterContext

        self.codec = codec
        name = "h264_mp4toannexb" if codec is Codec.H264 else "hevc_mp4toannexb"
        self._filter = BitStreamFilterContext(name, stream)
        self._step = int(_TICKS / (stream.average_rate or Fraction(25)))
        self._sets: bytes | None = None

    def push(self, packet: Packet[Any]) -> list[Timed]:
        if packet.size == 0:
            return []
        units = []
        is_key, time_base = packet.is_keyframe, packet.time_base  # the filter empties the packet
        for part in self._filter.filter(packet):
            part.time_base = time_base
            unit = _unit(self.codec, bytes(part), part, is_key=is_key)
            if unit is not None:
                units.append((self._completed(unit), self._step))
        return units

    def _completed(self, unit: AccessUnit) -> AccessUnit:
        if not unit.is_key:
            return unit
        if nal.has_parameter_sets(self.codec, unit.data):
            sets = nal.parameter_sets(self.codec, unit.data)
            self._sets = b"".join(b"\0\0\0\1" + part for part in sets)
            return unit
        return replace(unit, data=self._sets + unit.data) if self._sets else unit


class _CodedVideo:
    """Any other pictures, as H.264."""

    codec = Codec.H264

    def __init__(self, stream: VideoStream) -> None:
        rate = (stream.average_rate or Fraction(25)).limit_denominator(1001)
        self._rate = max(min(rate, Fraction(60)), Fraction(1))
        self._size = (max(stream.width & ~1, 2), max(stream.height & ~1, 2))
        self._encoder = open_video_encoder(
            Codec.H264,
            width=self._size[0],
            height=self._size[1],
            fps=self._rate,
            gop=max(round(self._rate), 1),
        )
        self._last = -1

    def push(self, packet: Packet[Any]) -> list[Timed]:
        coded = []
        for frame in packet.decode():
            if frame.pts is None or frame.time_base is None:
                continue
            place = round(frame.pts * frame.time_base * self._rate)
            if place <= self._last:
                continue
            width, height = self._size
            picture = frame.reformat(width=width, height=height, format="yuv420p")
            picture.pts = self._last = place
            picture.time_base = 1 / self._rate
            picture.pict_type = 0
            coded += self._encoder.encode(picture)
        if _is_end(packet):
            coded += self._encoder.encode(None)
        step = int(_TICKS / self._rate)
        units = [_unit(self.codec, bytes(p), p, is_key=p.is_keyframe) for p in coded]
        return [(unit, step) for unit in units if unit is not None]


class _CopiedAudio:
    """G.711A as it is, AAC with ADTS headers."""

    def __init__(self, stream: AudioStream, codec: Codec) -> None:
        self.codec = codec
        self._rate = stream.rate
        self._channels = stream.channels

    def push(self, packet: Packet[Any]) -> list[Timed]:
        data = bytes(packet)
        if not data:
            return []
        duration = len(data) * _TICKS // self._rate
        if self.codec is Codec.AAC:
            duration = 1024 * _TICKS // self._rate
            if data[0] != 0xFF or data[1] & 0xF6 != 0xF0:
                data = adts_header(len(data), rate=self._rate, channels=self._channels) + data
        unit = _unit(self.codec, data, packet, is_key=True)
        return [] if unit is None else [(unit, duration)]


class _CodedAudio:
    """Any other sound, as G.711A in blocks of 40 ms."""

    codec = Codec.PCMA

    def __init__(self, stream: AudioStream) -> None:
        from av.audio.resampler import AudioResampler

        self._stream = stream
        self._resampler = AudioResampler(
            format="s16", layout="mono", rate=G711_RATE, frame_size=G711_RATE // 25
        )
        self._encoder = open_audio_encoder(Codec.PCMA, rate=G711_RATE)

    def push(self, packet: Packet[Any]) -> list[Timed]:
        decoded = self._stream.decode(packet)
        frames = [part for frame in decoded for part in self._resampler.resample(frame)]
        if _is_end(packet):
            frames += self._resampler.resample(None)
        units = []
        for frame in frames:
            for coded in self._encoder.encode(frame):
                unit = _unit(self.codec, bytes(coded), coded, is_key=True)
                if unit is not None:
                    units.append((unit, len(unit.data) * _TICKS // G711_RATE))
        return units


def _open(path: Path) -> InputContainer:
    import av
    from av.error import FFmpegError

    try:
        return av.open(str(path), "r")
    except FFmpegError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error


def _tracks(container: InputContainer, path: Path, *, voice: bool) -> dict[int, _Track]:
    """Choose the first pictures and the first sound; the key is the stream's index."""
    tracks: dict[int, _Track] = {}
    for video in container.streams.video[: 0 if voice else 1]:
        copied = {"h264": Codec.H264, "hevc": Codec.H265}.get(video.codec_context.name)
        tracks[video.index] = _CopiedVideo(video, copied) if copied else _CodedVideo(video)
    for audio in container.streams.audio[:1]:
        name = audio.codec_context.name
        if name == "pcm_alaw" and (audio.rate, audio.channels) == (G711_RATE, 1):
            tracks[audio.index] = _CopiedAudio(audio, Codec.PCMA)
        elif name == "aac" and not voice and audio.rate in ADTS_RATES and audio.channels < 7:
            tracks[audio.index] = _CopiedAudio(audio, Codec.AAC)
        else:
            tracks[audio.index] = _CodedAudio(audio)
    if not tracks:
        what = "no sound" if voice else "neither pictures nor sound"
        raise ConfigError(f"{path} has {what}")
    return tracks


def _demuxed(container: InputContainer, tracks: dict[int, _Track]) -> Iterator[Timed]:
    from av.error import InvalidDataError

    for packet in container.demux(*(container.streams[index] for index in tracks)):
        try:
            yield from tracks[packet.stream.index].push(packet)
        except InvalidDataError:
            continue


def _merged(units: Iterator[Timed], tracks: int) -> Iterator[Timed]:
    """Put the units of the streams in order of ``dts``."""
    waiting: dict[MediaKind, deque[Timed]] = {}
    for timed in units:
        waiting.setdefault(timed[0].kind, deque()).append(timed)
        while (len(waiting) == tracks and all(waiting.values())) or any(
            len(queue) > _LEAD for queue in waiting.values()
        ):
            yield min((q for q in waiting.values() if q), key=_first_dts).popleft()
    yield from heapq.merge(*waiting.values(), key=lambda timed: timed[0].dts)


def _first_dts(queue: deque[Timed]) -> int:
    return queue[0][0].dts


def _first_key(container: InputContainer, tracks: dict[int, _Track], *, has_video: bool) -> int:
    """The ``dts`` at which the file begins for us."""
    for unit, _ in _merged(_demuxed(container, tracks), len(tracks)):
        if unit.is_key and (unit.kind is MediaKind.VIDEO or not has_video):
            return unit.dts
    return 0


def _grouped(units: Iterator[Timed], has_video: bool) -> Iterator[list[Timed]]:
    group: list[Timed] = []
    for timed in units:
        unit = timed[0]
        if has_video:
            is_new = unit.kind is MediaKind.VIDEO and unit.is_key
        else:
            is_new = bool(group) and unit.dts - group[0][0].dts >= _TICKS
        if is_new and group:
            yield group
            group = []
        group.append(timed)
    if group:
        yield group


def _from_zero(
    units: Iterator[Timed], *, has_video: bool, base: int | None = None
) -> Iterator[Timed]:
    """Start at a key frame, with ``dts`` 0 unless ``base`` is 0; without pictures at a sound."""
    is_begun = False
    last = 0
    for unit, duration in units:
        if not is_begun:
            if has_video and (unit.kind is MediaKind.AUDIO or not unit.is_key):
                continue
            is_begun = True
            base = unit.dts if base is None else base
        assert base is not None
        if unit.dts < base:
            continue
        last = max(last, unit.dts - base)
        yield replace(unit, dts=last, pts=max(unit.pts - base, last)), duration


def _is_end(packet: Packet[Any]) -> bool:
    """Whether this is the packet that ends a stream; a dropped picture is empty but has a time."""
    return packet.size == 0 and packet.pts is None and packet.dts is None


def _unit(codec: Codec, data: bytes, packet: Packet[Any], *, is_key: bool) -> AccessUnit | None:
    if packet.pts is None or packet.time_base is None:
        return None
    scale = packet.time_base * _TICKS
    dts = packet.pts if packet.dts is None else packet.dts
    return AccessUnit(
        codec=codec, data=data, pts=int(packet.pts * scale), dts=int(dts * scale), is_key=is_key
    )
