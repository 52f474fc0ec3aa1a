"""Recording to MP4: the pictures as they were sent, the sound as AAC."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rtp import nal
from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.errors import LocalProtocolError

from .packets import ADTS_RATES, G711_RATE, TIME_BASE, Decoder, ffmpeg_name, unit_to_packet

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_SECOND = 90_000
_USUAL_STEP = 3600  # 25 pictures a second, until the stream has shown its own
_MAX_WAITING = 120  # pictures, for streams whose time stamps stand still
_AAC_BLOCK = 1024
_SOUND = frozenset({Codec.AAC, Codec.PCMA, Codec.PCMU, Codec.G7231, Codec.G729})


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of pictures that is not in the recording."""

    after_pts: int
    """``pts`` of the last picture written before, as it was pushed."""
    before_pts: int | None
    """``pts`` of the key frame the recording goes on with; None when it ended in the gap."""
    missing_frames: int
    """Pictures that fit between, by the usual step; 0 when the time stamps started anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a recorder has written."""

    paths: tuple[Path, ...]
    """The files in order; empty when no key frame came."""
    frames: int
    """Pictures written."""
    duration: float
    """Seconds of all files together."""
    gaps: tuple[Gap, ...]
    """In order of time."""
    video: Codec | None
    """The codec of the pictures in the last file."""
    audio: Codec | None
    """The codec of the sound as it was sent; None when the last file has no sound."""


class Mp4Recorder:
    """Writes the access units of one stream to an MP4 file.

    The file begins with the first whole key frame, at time 0; sound before it is dropped. From a
    damaged or discontinuous picture on, everything is left out up to the next key frame. Sound
    keeps its own time: holes are filled with silence (G.711) or left open (AAC). While it is
    running, the file consists of fragments of half a second and can be played as it is, even after
    a crash, which costs a second at most; closing makes it an ordinary MP4. When the codec, the
    parameter sets or the sound's format change, a new file is begun (``name-2.mp4``).

    Everything blocks on the disk; calls from several threads are put in a row.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        self._gate = _KeyGate()
        self._opening: _Opening | None = None
        self._file: _Mp4File | None = None
        self._sets: dict[Codec, tuple[bytes, ...]] = {}
        self._sound: AccessUnit | None = None
        self._refused: set[Codec] = set()
        self._is_sound_changed = False
        self._paths: list[Path] = []
        self._frames = 0
        self._duration = 0
        self._codecs: tuple[Codec | None, Codec | None] = (None, None)
        self._result: Recording | None = None

    def push(self, unit: AccessUnit) -> None:
        """Take the next unit.

        Raises:
            LocalProtocolError: The recording is closed, or the picture's codec is neither H.264
                nor H.265.
            OSError: The file cannot be written.
        """
        with self._lock:
            if self._result is not None:
                raise LocalProtocolError(f"the recording {self._path} is closed")
            if unit.kind is MediaKind.VIDEO:
                self._push_video(unit)
            else:
                self._push_audio(unit)

    def close(self) -> Recording:
        """Finish the file and say what was recorded. A second call says the same.

        Raises:
            OSError: The rest cannot be written; a second call says what was recorded.
        """
        with self._lock:
            if self._result is None:
                self._gate.end()
                try:
                    self._open()
                finally:
                    try:
                        self._close_file()
                    finally:
                        self._result = self._summary()
            return self._result

    def _summary(self) -> Recording:
        return Recording(
            paths=tuple(self._paths),
            frames=self._frames,
            duration=self._duration / _SECOND,
            gaps=tuple(self._gate.gaps),
            video=self._codecs[0],
            audio=self._codecs[1],
        )

    def _push_video(self, unit: AccessUnit) -> None:
        if unit.codec not in (Codec.H264, Codec.H265):
            raise LocalProtocolError(f"cannot record {unit.codec.value}: only H.264 and H.265")
        if unit.is_key:
            unit = self._with_parameter_sets(unit)
        if not self._gate.admit(unit):
            return
        if unit.is_key and self._must_begin_anew(unit) and not self._begin(unit):
            self._gate.reject()
            return
        if self._opening is None:
            self._write(unit)
            return
        self._opening.units.append(unit)
        # Sound may begin a little later; without any for a second it is a silent stream.
        waited = unit.dts - self._opening.units[0].dts
        if self._sound is not None or waited >= _SECOND or len(self._opening.units) >= _MAX_WAITING:
            self._open()

    def _push_audio(self, unit: AccessUnit) -> None:
        if unit.is_damaged or unit.codec not in _SOUND:
            return
        self._sound = unit
        if self._opening is not None:
            self._opening.units.append(unit)
            self._open()
        elif self._file is not None:
            if self._file.takes(unit):
                self._file.write_audio(unit)
            elif unit.codec not in self._refused:
                self._is_sound_changed = True

    def _with_parameter_sets(self, unit: AccessUnit) -> AccessUnit:
        """Some devices send the parameter sets once only: repeat them at each key frame."""
        if nal.has_parameter_sets(unit.codec, unit.data):
            if not unit.is_damaged:
                self._sets[unit.codec] = tuple(nal.parameter_sets(unit.codec, unit.data))
            return unit
        known = self._sets.get(unit.codec)
        if known is None:
            return replace(unit, is_key=False)
        data = b"".join(b"\0\0\0\1" + parameters for parameters in known) + unit.data
        return replace(unit, data=data)

    def _must_begin_anew(self, unit: AccessUnit) -> bool:
        current = self._file or self._opening
        if current is None:
            return True
        is_other = not current.continues(unit.codec, self._sets[unit.codec])
        return is_other or (self._file is not None and self._is_sound_changed)

    def _begin(self, unit: AccessUnit) -> bool:
        """Finish the file and prepare the next one; false when the key frame is unreadable."""
        template = _picture_template(unit)
        if template is None:
            return False
        self._open()
        self._close_file()
        self._opening = _Opening(template, unit.codec, self._sets[unit.codec])
        return True

    def _open(self) -> None:
        opening, self._opening = self._opening, None
        if opening is None:
            return
        first, sound = opening.units[0], self._sound
        if sound is not None and abs(sound.pts - first.pts) > 5 * _SECOND:
            sound = None
        number = len(self._paths) + 1
        path = self._path
        if number > 1:
            path = path.with_name(f"{path.stem}-{number}{path.suffix}")
        file = _Mp4File(path, opening, sound)
        self._file = file
        self._paths.append(path)
        self._is_sound_changed = False
        if sound is not None and not file.takes(sound):
            self._refused.add(sound.codec)
            sound = None
        self._codecs = (first.codec, sound.codec if sound else None)
        for unit in opening.units:
            if unit.kind is MediaKind.VIDEO:
                self._write(unit)
            elif file.takes(unit):
                file.write_audio(unit)

    def _write(self, unit: AccessUnit) -> None:
        assert self._file is not None
        self._file.write_video(unit, self._gate.usual_step)
        self._frames += 1

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            self._duration += file.duration
            file.close()


class _KeyGate:
    """Decides which pictures are written, and keeps the list of gaps."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self._steps: deque[int] = deque(maxlen=50)
        self._is_waiting = True
        self._codec: Codec | None = None
        self._written: AccessUnit | None = None
        self._before: AccessUnit | None = None
        self._seen: AccessUnit | None = None

    @property
    def usual_step(self) -> int:
        """The usual ticks from picture to picture."""
        return sorted(self._steps)[len(self._steps) // 2] if self._steps else _USUAL_STEP

    def reject(self) -> None:
        """Take the last admission back: that key frame turned out to be unreadable."""
        self._is_waiting, self._written = True, self._before

    def admit(self, unit: AccessUnit) -> bool:
        """Whether this picture is to be written."""
        self._seen = unit
        broken = unit.is_discontinuous or unit.is_damaged or unit.codec is not self._codec
        resumes = self._is_waiting or broken
        self._is_waiting = resumes and (unit.is_damaged or not unit.is_key)
        if self._is_waiting:
            return False
        if self._written is not None:
            self._measure(self._written, unit, resumes=resumes)
        self._before, self._written, self._codec = self._written, unit, unit.codec
        return True

    def end(self) -> None:
        """Report a gap that is still open at the end."""
        if self._is_waiting and self._written is not None and self._seen is not None:
            missing = round((self._seen.dts - self._written.dts) / self.usual_step)
            self._report(self._written, None, max(missing, 1))

    def _measure(self, last: AccessUnit, unit: AccessUnit, *, resumes: bool) -> None:
        step = unit.dts - last.dts
        if not _is_one_clock(step):
            self._report(last, unit, 0)
        elif resumes or step > max(4 * self.usual_step, _SECOND // 2):
            missing = round(step / self.usual_step) - 1
            if missing > 0:
                self._report(last, unit, missing)
        elif step > 0:
            self._steps.append(step)

    def _report(self, last: AccessUnit, unit: AccessUnit | None, missing: int) -> None:
        before = None if unit is None else unit.pts
        self.gaps.append(Gap(after_pts=last.pts, before_pts=before, missing_frames=missing))


class _Opening:
    """A file to be: its first units wait until it is known whether there is sound."""

    def __init__(self, template: InputContainer, codec: Codec, sets: tuple[bytes, ...]) -> None:
        self.template = template
        self.codec = codec
        self.sets = frozenset(sets)
        self.units: list[AccessUnit] = []

    def continues(self, codec: Codec, sets: tuple[bytes, ...]) -> bool:
        """Whether a key frame with these parameter sets belongs into this file."""
        return codec is self.codec and frozenset(sets) == self.sets


class _AudioTrack(Protocol):
    def takes(self, unit: AccessUnit) -> bool:
        """Whether the unit has the format of this track."""

    def push(self, unit: AccessUnit, time: int) -> Sequence[Packet[Any]]:
        """Take a unit that begins at ``time`` ticks of the file; return what is to be written."""

    def advance(self, time: int) -> Sequence[Packet[Any]]:
        """Say that the pictures have come to ``time``."""

    def flush(self) -> Sequence[Packet[Any]]:
        """Return the rest."""


class _Mp4File:
    """One file; its time starts at the ``pts`` of its first picture."""

    def __init__(self, path: Path, opening: _Opening, sound: AccessUnit | None) -> None:
        import av

        self._opening = opening
        self._origin = opening.units[0].pts
        self._last_dts: int | None = None
        self.duration = 0
        path.write_bytes(b"")  # PyAV opens it at the first packet, and its error names no file
        self._container: OutputContainer = av.open(
            str(path), "w", format="mp4", options=_MP4_OPTIONS
        )
        with opening.template as template:
            self._video = self._container.add_stream_from_template(template.streams.video[0])
        self._video.time_base = TIME_BASE
        if opening.codec is Codec.H265:
            self._video.codec_context.codec_tag = "hvc1"  # Apple plays no hev1
        self._audio = _audio_track(self._container, sound) if sound is not None else None

    def continues(self, codec: Codec, sets: tuple[bytes, ...]) -> bool:
        """Whether a key frame with these parameter sets belongs into this file."""
        return self._opening.continues(codec, sets)

    def takes(self, unit: AccessUnit) -> bool:
        """Whether this sound has a track in the file."""
        return self._audio is not None and self._audio.takes(unit)

    def write_video(self, unit: AccessUnit, step: int) -> None:
        """Write a picture; ``step`` is the usual time to the next one."""
        dts = unit.dts - self._origin
        if self._last_dts is not None:
            if not _is_one_clock(dts - self._last_dts):
                self._origin += dts - self._last_dts - step
                dts = self._last_dts + step
            dts = max(dts, self._last_dts + 1)
        self._last_dts = dts
        packet = unit_to_packet(unit)
        packet.dts, packet.pts = dts, max(unit.pts - self._origin, dts)
        packet.duration = step
        packet.stream = self._video
        self.duration = max(self.duration, packet.pts + step)
        self._container.mux(packet)
        if self._audio is not None:
            self._container.mux(self._audio.advance(dts))

    def write_audio(self, unit: AccessUnit) -> None:
        """Write sound; what lies before the first picture or far from the last is dropped."""
        time = unit.pts - self._origin
        near = self._last_dts is not None and abs(time - self._last_dts) < 10 * _SECOND
        if self._audio is not None and time >= 0 and near:
            self._container.mux(self._audio.push(unit, time))

    def close(self) -> None:
        """Write the rest and the index."""
        try:
            if self._audio is not None:
                self._container.mux(self._audio.flush())
        finally:
            self._container.close()


# Fragments while running, an ordinary index over the same data at the end (FFmpeg 7.1 and later).
# The interleaver would keep pictures back as long as no sound comes.
_MP4_OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+delay_moov+default_base_moof+hybrid_fragmented",
    "frag_duration": "500000",
    "flush_packets": "1",
    "max_interleave_delta": "500000",
    "video_track_timescale": "90000",
}


class _CopiedTrack:
    """AAC as it was sent, without its ADTS headers."""

    def __init__(self, container: OutputContainer, unit: AccessUnit) -> None:
        rate, channels, _ = next(_adts_blocks(unit.data))
        self._format = (rate, channels)
        self._end: int | None = None
        with _aac_template(unit.data) as template:
            self._stream: AudioStream = container.add_stream_from_template(
                template.streams.audio[0]
            )

    def takes(self, unit: AccessUnit) -> bool:
        if unit.codec is not Codec.AAC:
            return False
        return all(
            (rate, channels) == self._format for rate, channels, _ in _adts_blocks(unit.data)
        )

    def push(self, unit: AccessUnit, time: int) -> list[Packet[Any]]:
        from av.packet import Packet

        rate = self._format[0]
        start = time * rate // _SECOND
        packets: list[Packet[Any]] = []
        for _, _, block in _adts_blocks(unit.data):
            if self._end is not None:
                if start < self._end - _tolerance(rate):
                    start += _AAC_BLOCK
                    continue
                if start < self._end + _tolerance(rate):
                    start = self._end
            packet = Packet(block)
            packet.time_base = Fraction(1, rate)
            packet.pts = packet.dts = start
            packet.duration = _AAC_BLOCK
            packet.is_keyframe = True
            packet.stream = self._stream
            packets.append(packet)
            start = self._end = start + _AAC_BLOCK
        return packets

    def advance(self, time: int) -> Sequence[Packet[Any]]:
        return []

    def flush(self) -> Sequence[Packet[Any]]:
        return []


class _TranscodedTrack:
    """Sound of 8 kHz coded anew as AAC, with silence where nothing came."""

    def __init__(self, container: OutputContainer, unit: AccessUnit) -> None:
        self._codec = unit.codec
        self._decoder = Decoder(unit.codec)
        self._stream = container.add_stream(
            "aac", rate=G711_RATE, layout="mono", bit_rate=4 * G711_RATE
        )
        self._samples = bytearray()  # 16 bits each, not yet encoded
        self._end = 0  # of the samples taken, in samples from the start of the file
        self._encoded = 0
        self._is_started = False

    def takes(self, unit: AccessUnit) -> bool:
        return unit.codec is self._codec

    def push(self, unit: AccessUnit, time: int) -> Sequence[Packet[Any]]:
        from av.audio.frame import AudioFrame

        sound = b"".join(
            frame.to_ndarray().astype("<i2").tobytes()
            for frame in self._decoder.decode(unit)
            if isinstance(frame, AudioFrame)
        )
        distance = time * G711_RATE // _SECOND - self._end
        if not self._is_started or abs(distance) > _tolerance(G711_RATE):
            sound = sound[-2 * distance :] if distance < 0 else bytes(2 * distance) + sound
            self._is_started = True
        self._append(sound)
        return self._encode()

    def advance(self, time: int) -> Sequence[Packet[Any]]:
        # The interleaver waits for sound: two seconds behind, none is to be expected.
        distance = (time - 2 * _SECOND) * G711_RATE // _SECOND - self._end
        if distance < G711_RATE // 2:
            return []
        self._append(bytes(2 * distance))
        return self._encode()

    def flush(self) -> Sequence[Packet[Any]]:
        self._samples += bytes(-len(self._samples) % (2 * _AAC_BLOCK))
        return [*self._encode(), *self._stream.encode(None)]

    def _append(self, sound: bytes) -> None:
        self._samples += sound
        self._end += len(sound) // 2

    def _encode(self) -> Sequence[Packet[Any]]:
        import numpy as np
        from av.audio.frame import AudioFrame

        packets: list[Packet[Any]] = []
        size = 2 * _AAC_BLOCK
        while len(self._samples) >= size:
            block = np.frombuffer(bytes(self._samples[:size]), dtype="<i2")
            del self._samples[:size]
            samples = (block.astype(np.float32) / 32768).reshape(1, -1)
            frame = AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = G711_RATE, Fraction(1, G711_RATE)
            frame.pts = self._encoded
            self._encoded += _AAC_BLOCK
            packets += self._stream.encode(frame)
        return packets


def _picture_template(unit: AccessUnit) -> InputContainer | None:
    """Open a key frame as a file: its stream has picture size and parameter sets.

    None when the key frame is unreadable.
    """
    import av
    from av.error import InvalidDataError

    try:
        container = av.open(io.BytesIO(unit.data), "r", format=ffmpeg_name(unit.codec))
    except InvalidDataError:
        return None
    if container.streams.video and container.streams.video[0].width:
        return container
    container.close()
    return None


def _audio_track(container: OutputContainer, unit: AccessUnit) -> _AudioTrack | None:
    """Add a track for this sound; None when it cannot be recorded."""
    from av.error import InvalidDataError

    if unit.codec is Codec.AAC and next(_adts_blocks(unit.data), None) is None:
        return None
    try:
        if unit.codec is Codec.AAC:
            return _CopiedTrack(container, unit)
        return _TranscodedTrack(container, unit)
    except (LocalProtocolError, InvalidDataError):
        return None


def _adts_blocks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield sampling rate, channel configuration and block of each ADTS frame.

    Source: ISO/IEC 14496-3 table 1.A.6.
    """
    place = 0
    while place + 7 <= len(data) and data[place] == 0xFF and data[place + 1] & 0xF6 == 0xF0:
        header = 7 if data[place + 1] & 1 else 9
        index = data[place + 2] >> 2 & 0xF
        channels = (data[place + 2] & 1) << 2 | data[place + 3] >> 6
        length = (data[place + 3] & 3) << 11 | data[place + 4] << 3 | data[place + 5] >> 5
        if length <= header or place + length > len(data) or index >= len(ADTS_RATES):
            return
        yield ADTS_RATES[index], channels, data[place + header : place + length]
        place += length


def _aac_template(data: bytes) -> InputContainer:
    """Return an MP4 in memory whose one stream describes the ADTS sound ``data``.

    The muxer of a fragmented file needs the AudioSpecificConfig before the first block; FFmpeg
    makes it from ADTS when it writes an ordinary file.
    """
    import av

    written = io.BytesIO()
    with (
        av.open(io.BytesIO(data), "r", format="aac") as source,
        av.open(written, "w", format="mp4") as target,
    ):
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    written.seek(0)
    return av.open(written, "r", format="mp4")


def _is_one_clock(step: int) -> bool:
    """Whether two pictures that follow each other can be of one run of time stamps."""
    return -_SECOND <= step <= 60 * _SECOND


def _tolerance(rate: int) -> int:
    """Samples by which the times of sound may jitter before it is put in its place: 60 ms."""
    return rate * 60 // 1000
