"""The edge to PyAV: access units as packets, decoders, encoders, and pictures as arrays."""

from __future__ import annotations

from array import array
from fractions import Fraction
from typing import TYPE_CHECKING

from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.errors import LocalProtocolError
from rtp.g711 import ALAW

if TYPE_CHECKING:
    from collections.abc import Sequence

    import av
    import numpy as np
    from av.audio.codeccontext import AudioCodecContext
    from av.audio.frame import AudioFrame
    from av.stream import Stream
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

TIME_BASE = Fraction(1, 90_000)
"""The time base of every access unit."""
G711_RATE = 8000
"""Samples per second of G.711, always mono."""
ADTS_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000),
    *(24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)
"""The sampling rates that ADTS knows, by index. Source: ISO/IEC 14496-3 table 1.18."""

_FFMPEG_NAMES = {
    Codec.H264: "h264",
    Codec.H265: "hevc",
    Codec.MPEG4: "mpeg4",
    Codec.PCMA: "pcm_alaw",
    Codec.PCMU: "pcm_mulaw",
    Codec.AAC: "aac",
    Codec.G7231: "g723_1",
    Codec.G729: "g729",
}


class Decoder:
    """Decodes the access units of one stream, in the order they are pushed.

    A unit that cannot be decoded gives no frame and is counted in ``errors``.
    """

    def __init__(self, codec: Codec) -> None:
        """Open a decoder.

        Raises:
            LocalProtocolError: FFmpeg has no decoder for this codec.
        """
        import av
        from av.audio.codeccontext import AudioCodecContext
        from av.video.codeccontext import VideoCodecContext

        self.codec = codec
        self.errors = 0
        context = av.CodecContext.create(ffmpeg_name(codec), "r")
        if isinstance(context, AudioCodecContext):
            context.sample_rate = G711_RATE
            context.layout = "mono"
        else:
            assert isinstance(context, VideoCodecContext)
            context.thread_count = 1
        self._context = context

    def decode(self, unit: AccessUnit) -> list[VideoFrame | AudioFrame]:
        """Decode one unit; return the frames that are ready, with ``pts`` in 90 kHz ticks."""
        return self._frames(unit_to_packet(unit))

    def flush(self) -> list[VideoFrame | AudioFrame]:
        """Return the frames that the decoder held back; it takes no more units then."""
        return self._frames(None)

    def _frames(self, packet: av.Packet[Stream] | None) -> list[VideoFrame | AudioFrame]:
        from av.error import FFmpegError

        try:
            return list(self._context.decode(packet))
        except FFmpegError:
            self.errors += 1
            return []


def ffmpeg_name(codec: Codec) -> str:
    """Return FFmpeg's name of a codec.

    Raises:
        LocalProtocolError: FFmpeg does not know this codec.
    """
    try:
        return _FFMPEG_NAMES[codec]
    except KeyError:
        raise LocalProtocolError(f"{codec.value} is unknown to FFmpeg") from None


def unit_to_packet(unit: AccessUnit) -> av.Packet[Stream]:
    """Return the unit as a packet in 90 kHz time base; it belongs to no stream."""
    import av

    packet = av.Packet(unit.data)
    packet.time_base = TIME_BASE
    packet.pts = unit.pts
    packet.dts = unit.dts
    packet.is_keyframe = unit.is_key or unit.kind is MediaKind.AUDIO
    return packet


def frame_to_rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return a decoded picture as an array of shape (height, width, 3), red first."""
    return frame.to_ndarray(format="rgb24").astype("uint8", copy=False)


def frame_to_gray(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the luma of a decoded picture as an array of shape (height, width)."""
    return frame.to_ndarray(format="gray").astype("uint8", copy=False)


def snapshot(units: AccessUnit | Sequence[AccessUnit], *, quality: int = 3) -> bytes:
    """Make a JPEG of the first picture that can be decoded.

    Args:
        units: A key frame with its parameter sets, or the units of one stream from a key frame
            on; units before the first undamaged key frame are skipped.
        quality: FFmpeg's scale, 1 (best) to 31.

    Raises:
        LocalProtocolError: No picture can be decoded from the units.
    """
    units = [units] if isinstance(units, AccessUnit) else units
    decoder: Decoder | None = None
    for unit in units:
        if unit.kind is not MediaKind.VIDEO or (
            decoder is None and (not unit.is_key or unit.is_damaged)
        ):
            continue
        decoder = decoder or Decoder(unit.codec)
        for frame in decoder.decode(unit):
            return _jpeg(frame, quality)
    for frame in decoder.flush() if decoder else ():
        return _jpeg(frame, quality)
    raise LocalProtocolError("no picture can be decoded: a whole key frame is needed")


def open_video_encoder(
    codec: Codec, *, width: int, height: int, fps: Fraction, gop: int
) -> VideoCodecContext:
    """Open an encoder for live use: no B-frames, one slice, parameter sets at each key frame.

    Args:
        codec: H.264 or H.265.
        width: Pixels, even.
        height: Pixels, even.
        fps: Pictures per second; a frame's ``pts`` counts pictures.
        gop: Pictures from one key frame to the next.

    Raises:
        LocalProtocolError: The codec is another.
    """
    from av.video.codeccontext import VideoCodecContext

    keys = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:repeat-headers=1:open-gop=0"
    if codec is Codec.H264:
        name, options = "libx264", {"x264-params": f"{keys}:sliced-threads=0:threads=1"}
    elif codec is Codec.H265:
        # log-level: x265 writes to stderr by itself, past FFmpeg's log.
        settings = f"{keys}:log-level=none:frame-threads=1:pools=none:info=0"
        name, options = "libx265", {"x265-params": settings}
    else:
        raise LocalProtocolError(f"cannot encode {codec.value}: only H.264 and H.265")
    try:
        context = VideoCodecContext.create(name, "w")
    except ValueError as error:
        raise LocalProtocolError(
            f"cannot encode {codec.value}: this PyAV is built without {name}"
        ) from error
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate, context.time_base = fps, 1 / fps
    context.gop_size, context.max_b_frames, context.thread_count = gop, 0, 1
    context.options = {"preset": "ultrafast", "tune": "zerolatency", **options}
    return context


def open_audio_encoder(codec: Codec, *, rate: int) -> AudioCodecContext:
    """Open a mono encoder for G.711A, G.711U or AAC; a frame's ``pts`` counts samples.

    AAC gives bare blocks without ADTS headers, and its first block has the ``pts`` -1024.
    """
    from av.audio.codeccontext import AudioCodecContext

    context = AudioCodecContext.create(ffmpeg_name(codec), "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate = rate
    context.layout = "mono"
    context.format = "fltp" if codec is Codec.AAC else "s16"
    context.time_base = Fraction(1, rate)
    if codec is Codec.AAC:
        context.bit_rate = 2 * rate
    return context


class AacEncoder:
    """Codes G.711A as AAC-LC, 8 kHz, mono: what the 2022 edition has for voice (C.2)."""

    BLOCK = 1024
    """Samples of a block."""

    def __init__(self) -> None:
        self._encoder = open_audio_encoder(Codec.AAC, rate=G711_RATE)
        self._samples = 0

    def encode(self, samples: bytes) -> list[bytes]:
        """Take one block of A-law samples; return the bare AAC blocks that are ready."""
        from av.audio.frame import AudioFrame

        frame = AudioFrame(format="fltp", layout="mono", samples=len(samples))
        frame.planes[0].update(array("f", [ALAW[byte] / 32768 for byte in samples]).tobytes())
        frame.sample_rate = G711_RATE
        frame.pts = self._samples
        self._samples += len(samples)
        return [bytes(packet) for packet in self._encoder.encode(frame)]


def adts_header(length: int, *, rate: int, channels: int) -> bytes:
    """Return the header of an AAC-LC block of ``length`` bytes.

    Raises:
        LocalProtocolError: ADTS cannot name this sampling rate.

    Source: ISO/IEC 14496-3 table 1.A.6 (adts_fixed_header, adts_variable_header).
    """
    if rate not in ADTS_RATES:
        raise LocalProtocolError(f"ADTS cannot name a sampling rate of {rate} Hz")
    index, total = ADTS_RATES.index(rate), length + 7
    return bytes(
        (
            0xFF,
            0xF1,
            1 << 6 | index << 2 | channels >> 2,
            (channels & 3) << 6 | total >> 11,
            total >> 3 & 0xFF,
            (total & 7) << 5 | 0x1F,
            0xFC,
        )
    )


def _jpeg(frame: VideoFrame | AudioFrame, quality: int) -> bytes:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

    assert isinstance(frame, VideoFrame)
    encoder = VideoCodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = frame.width, frame.height
    encoder.pix_fmt, encoder.color_range = "yuv420p", _FULL_RANGE
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": str(quality), "qmax": str(quality)}
    picture = frame.reformat(format="yuv420p", dst_color_range="JPEG")
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


_FULL_RANGE = 2  # AVCOL_RANGE_JPEG: a JPEG knows no other.
