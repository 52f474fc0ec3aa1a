"""The sound of an MP4 file: AAC as it was sent, everything else coded anew as AAC."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from rtp.access_unit import AccessUnit, Codec
from rtp.errors import LocalProtocolError

from .packets import ADTS_RATES, G711_RATE, Decoder

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

TAKEN = frozenset({Codec.AAC, Codec.PCMA, Codec.PCMU, Codec.G7231, Codec.G729})
"""What can be sound of a file."""

_SECOND = 90_000
_AAC_BLOCK = 1024
_FIRST_PATIENCE = _SECOND * 3 // 10
"""How far the pictures may come before the track has a block: FFmpeg writes nothing until then."""


class AudioTrack(Protocol):
    """The sound of one file."""

    def takes(self, unit: AccessUnit) -> bool:
        """Whether the unit has the format of this track."""

    def push(self, unit: AccessUnit, time: int) -> Sequence[Packet[Any]]:
        """Take a unit that begins at ``time`` ticks of the file; return what is to be written."""

    def advance(self, time: int) -> Sequence[Packet[Any]]:
        """Say that the pictures have come to ``time``."""

    def flush(self) -> Sequence[Packet[Any]]:
        """Return the rest."""


def open_track(container: OutputContainer, unit: AccessUnit) -> AudioTrack | None:
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


class _CopiedTrack:
    """AAC as it was sent, without its ADTS headers."""

    def __init__(self, container: OutputContainer, unit: AccessUnit) -> None:
        rate, channels, self._first = next(_adts_blocks(unit.data))
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
            packets.append(self._packet(block, start))
            start += _AAC_BLOCK
        return packets

    def advance(self, time: int) -> Sequence[Packet[Any]]:
        if self._end is None and time > _FIRST_PATIENCE:
            return [self._packet(self._first, 0)]  # the sound by which the format was learned
        return []

    def flush(self) -> Sequence[Packet[Any]]:
        return []

    def _packet(self, block: bytes, start: int) -> Packet[Any]:
        from av.packet import Packet

        packet: Packet[Any] = Packet(block)
        packet.time_base = Fraction(1, self._format[0])
        packet.pts = packet.dts = start
        packet.duration = _AAC_BLOCK
        packet.is_keyframe = True
        packet.stream = self._stream
        self._end = start + _AAC_BLOCK
        return packet


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
        missing = 2 * _AAC_BLOCK - self._end  # the first block leaves the encoder with the second
        if missing > 0 and time > _FIRST_PATIENCE:
            self._is_started = True
            self._append(bytes(2 * missing))
            return self._encode()
        # Two seconds behind, none is to be expected.
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


def _tolerance(rate: int) -> int:
    """Samples by which the times of sound may jitter before it is put in its place: 60 ms."""
    return rate * 60 // 1000
