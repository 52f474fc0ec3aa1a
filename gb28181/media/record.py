"""Recording to MP4: the pictures as they were sent, the sound as AAC."""

from __future__ import annotations

import io
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtp import nal
from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.errors import LocalProtocolError

from .packets import TIME_BASE, ffmpeg_name, unit_to_packet
from .soundtrack import TAKEN, open_track

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

FRAGMENT = 0.5
"""Seconds of a fragment: what a crash costs of the pictures at the end, or five of them if that is
longer."""
LONGEST = 7200.0
"""Seconds of a file, until the next key frame: FFmpeg keeps its index in memory, 8 MB an hour."""

_SECOND = 90_000
_USUAL_STEP = 3600  # 25 pictures a second, until the stream has shown its own
_LISTENING = round((FRAGMENT - 0.2) * _SECOND)
_WRITTEN_AT_ONCE = 1 << 19  # a fragment of 12 Mbit/s: hardly ever torn by a crash
_MAX_WAITING = 120  # pictures, for streams whose time stamps stand still


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
    running, the file consists of fragments of half a second (``FRAGMENT``) and can be played as it
    is. A crash costs the pictures of the last half second at most, or the last five if those take
    longer; of the sound, a second. Closing makes it an ordinary MP4. When the
    codec, the parameter sets or the sound's format change, and after two hours (the index is kept
    in memory until then), a new file is begun (``name-2.mp4``).

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
        # Sound may begin a little later; without any for so long it is a silent stream.
        waited = unit.dts - self._opening.units[0].dts
        if (
            self._sound is not None
            or waited >= _LISTENING
            or len(self._opening.units) >= _MAX_WAITING
        ):
            self._open()

    def _push_audio(self, unit: AccessUnit) -> None:
        if unit.is_damaged or unit.codec not in TAKEN:
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
        if is_other or self._file is None:
            return is_other
        return self._is_sound_changed or self._file.duration >= LONGEST * _SECOND

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


class _Mp4File:
    """One file; its time starts at the ``pts`` of its first picture."""

    def __init__(self, path: Path, opening: _Opening, sound: AccessUnit | None) -> None:
        import av

        self._opening = opening
        self._origin = opening.units[0].pts
        self._last_dts: int | None = None
        self._held: Packet[Any] | None = None
        self.duration = 0
        self._disk = _Disk(path)
        self._container: OutputContainer = av.open(
            self._disk, "w", format="mp4", options=_MP4_OPTIONS, buffer_size=_WRITTEN_AT_ONCE
        )
        with opening.template as template:
            self._video = self._container.add_stream_from_template(template.streams.video[0])
        self._video.time_base = TIME_BASE
        if opening.codec is Codec.H265:
            self._video.codec_context.codec_tag = "hvc1"  # Apple plays no hev1
        self._audio = open_track(self._container, sound) if sound is not None else None

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
        self._mux_held(dts)
        self._held = packet
        if self._audio is not None:
            self._mux(self._audio.advance(dts))

    def write_audio(self, unit: AccessUnit) -> None:
        """Write sound; what lies before the first picture or far from the last is dropped."""
        time = unit.pts - self._origin
        near = self._last_dts is not None and abs(time - self._last_dts) < 10 * _SECOND
        if self._audio is not None and time >= 0 and near:
            self._mux(self._audio.push(unit, time))

    def close(self) -> None:
        """Write the rest and the index."""
        is_told = self._disk.error is not None
        try:
            if not is_told:
                self._mux_held(None)
                if self._audio is not None:
                    self._mux(self._audio.flush())
        finally:
            self._container.close()
            self._disk.close()
        if not is_told:
            self._disk.check()

    def _mux_held(self, following: int | None) -> None:
        """Write the last picture, when the next one has shown how long it stands.

        Else, sound that ends a fragment in a gap has the next picture shown where the gap begins.
        """
        held, self._held = self._held, None
        if held is not None:
            if following is not None:
                assert held.dts is not None
                held.duration = following - held.dts
            self._mux([held])

    def _mux(self, packets: Sequence[Packet[Any]]) -> None:
        self._disk.check()
        self._container.mux(packets)
        self._disk.check()


class _Disk:
    """The file as FFmpeg writes it, which never hears that the disk is full: it would crash.

    From the first failure on, nothing is written any more, so that what is there stays playable.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)  # PyAV asks for it
        self.error: OSError | None = None
        self._file = path.open("wb", buffering=0)
        self._place = self._end = 0  # where FFmpeg is, and how much it has written

    def write(self, data: bytes) -> int:
        """Take some bytes."""
        rest = memoryview(data)
        while rest and self.error is None:
            try:
                rest = rest[self._file.write(rest) :]
            except OSError as error:
                self._fail(error)
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go elsewhere."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        self._place = start + offset
        if self.error is None:
            try:
                self._file.seek(self._place)
            except OSError as error:
                self._fail(error)
        return self._place

    def tell(self) -> int:
        """Say where FFmpeg is."""
        return self._place

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self.error is not None:
            raise OSError(self.error.errno, self.error.strerror, self.name)

    def close(self) -> None:
        """Close the file, after a failure without the fragment that was torn by it."""
        try:
            if self.error is not None:
                self._file.truncate(self._whole())
        except OSError as error:
            self._fail(error)
        finally:
            self._file.close()

    def _whole(self) -> int:
        """The end of the last fragment that is there to its end.

        Source: ISO/IEC 14496-12 clause 4.2 (a box begins with its size and its type).
        """
        place = whole = 0
        with open(self.name, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            while place + 8 <= size:
                file.seek(place)
                head = file.read(8)
                length = int.from_bytes(head[:4], "big")
                place += length
                if length < 8 or place > size:
                    break
                if head[4:] in (b"moov", b"mdat"):
                    whole = place
        return whole

    def _fail(self, error: OSError) -> None:
        self.error = self.error or error


# Fragments while running, an ordinary index over the same data at the end (FFmpeg 7.1 and later).
# A fragment ends with the first picture past its duration, and a picture is held back here and
# one by the interleaver (which would hold all until their sound has come): there is room for both.
_MP4_OPTIONS = {
    "movflags": "frag_keyframe+empty_moov+delay_moov+default_base_moof+hybrid_fragmented",
    "frag_duration": str(round((FRAGMENT - 0.2) * 1e6)),
    "frag_size": "4000000",  # when the time stamps stand still
    "flush_packets": "1",
    "max_interleave_delta": "1",
    "video_track_timescale": "90000",
}


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


def _is_one_clock(step: int) -> bool:
    """Whether two pictures that follow each other can be of one run of time stamps."""
    return -_SECOND <= step <= 60 * _SECOND
