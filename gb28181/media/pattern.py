"""The moving test picture and its tone, with a frame counter that machines read."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from rtp.access_unit import AccessUnit, Codec
from rtp.errors import LocalProtocolError

from .packets import G711_RATE, adts_header, open_audio_encoder, open_video_encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_WIDTH = 160
"""Narrower pictures leave too few pixels for one cell of the block code."""
MIN_HEIGHT = 96
"""Lower pictures leave too few pixels for one cell of the block code."""
AAC_RATE = 32_000
"""Samples per second of the tone as AAC: 125 blocks are 4 s, so that a loop has no seam."""
TICKS = 90_000
"""Ticks per second."""
COUNTER_LIMIT = 1 << 16
"""The counter in the picture wraps here."""


def draw_picture(
    counter: int, *, width: int, height: int, fps: int, period: int
) -> NDArray[np.uint8]:
    """Draw one picture as RGB.

    A clock stands in the middle, a bar wanders once across the picture in ``period`` frames and a
    ball runs round; the lamp on the right is lit for the first fifth of each second. The block
    code fills the top rows.

    Args:
        counter: Number of the picture from 0; the clock shows ``counter / fps``.
        width: Pixels, at least ``MIN_WIDTH``.
        height: Pixels, at least ``MIN_HEIGHT``.
        fps: Pictures per second.
        period: Frames after which the movement repeats without a jump.

    Returns:
        An array of shape (height, width, 3).
    """
    picture = _background(width, height)
    phase = (counter % period) / period
    left = int(phase * width)
    bar = max(width // 40, 2)
    picture[height // 2 :, left : left + bar] = (240, 240, 240)
    angle = 2 * math.pi * phase
    radius = height // 16
    x = int(width * (0.5 + 0.4 * math.sin(angle)))
    y = int(height * (0.72 + 0.15 * math.cos(angle)))
    picture[y - radius : y + radius, x - radius : x + radius] = (230, 60, 40)
    if (counter % fps) * 5 < fps:
        picture[height // 4 : height // 4 + 2 * radius, -3 * radius : -radius] = (255, 255, 255)
    _write_text(picture, clock_text(counter, fps), scale=max(width // 160, 1))
    _write_counter(picture, counter % COUNTER_LIMIT)
    return picture


def clock_text(counter: int, fps: int) -> str:
    """Return what the clock of picture ``counter`` shows: hours, minutes, seconds, frames."""
    seconds, frame = divmod(counter, fps)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}.{frame:02d}"


def read_counter(picture: NDArray[np.uint8]) -> int | None:
    """Read the frame counter from a decoded picture.

    The cells are found by their share of the picture, so that a scaled picture reads as well.

    Args:
        picture: Shape (height, width) for grey or (height, width, 3) for RGB or BGR; the grey
            may have the full range or the limited one.

    Returns:
        The counter, or None when the picture holds no block code or one that fails its check.
    """
    grey = picture if picture.ndim == 2 else picture.mean(axis=2)
    height, width = grey.shape[:2]
    if width < _COLUMNS * 2 or height < _BANDS:
        return None
    bits = 0
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            top, bottom, left, right = _cell(row, column, width, height)
            inner_y, inner_x = (bottom - top) // 4, (right - left) // 4
            level = float(
                grey[top + inner_y : bottom - inner_y, left + inner_x : right - inner_x].mean()
            )
            if _DARK < level < _BRIGHT:
                return None
            bits = bits << 1 | (level >= _BRIGHT)
    counter = bits >> 8 & 0xFFFF
    return counter if bits == _code(counter) else None


@cache
def encode_pictures(
    codec: Codec, width: int, height: int, fps: int, seconds: int, gop: int
) -> tuple[AccessUnit, ...]:
    """Draw and encode ``seconds`` of pictures; the first is a key frame. Kept for the next call.

    Raises:
        LocalProtocolError: The codec is not offered, or the size cannot be encoded.
    """
    from av.video.frame import VideoFrame

    if width < MIN_WIDTH or height < MIN_HEIGHT or width % 2 or height % 2:
        raise LocalProtocolError(
            f"the test picture needs even sides of at least {MIN_WIDTH}x{MIN_HEIGHT},"
            f" not {width}x{height}"
        )
    encoder = open_video_encoder(codec, width=width, height=height, fps=Fraction(fps), gop=gop)
    count = fps * seconds
    packets = []
    for counter in range(count):
        picture = draw_picture(counter, width=width, height=height, fps=fps, period=count)
        frame = VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = counter
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    units = []
    for packet in packets:
        assert packet.pts is not None
        pts = packet.pts * TICKS // fps
        units.append(
            AccessUnit(codec=codec, data=bytes(packet), pts=pts, dts=pts, is_key=packet.is_keyframe)
        )
    return tuple(units)


def encode_group(
    codec: Codec, width: int, height: int, fps: int, first: int
) -> tuple[AccessUnit, ...]:
    """Draw and encode one second of pictures that stands alone: a key frame and its followers.

    Args:
        codec: H.264 or H.265.
        width: As in ``draw_picture``.
        height: As in ``draw_picture``.
        fps: Pictures per second.
        first: Number of the first picture; the counter and the clock go on from there.

    Raises:
        LocalProtocolError: The codec is not offered.
    """
    import numpy as np
    from av.video.frame import VideoFrame

    encoder = open_video_encoder(codec, width=width, height=height, fps=Fraction(fps), gop=fps)
    # Grey only: three times as fast as a conversion from colours.
    planes = np.full((height * 3 // 2, width), 128, dtype=np.uint8)
    packets = []
    for place in range(fps):
        picture = draw_picture(first + place, width=width, height=height, fps=fps, period=fps * 4)
        planes[:height] = picture @ _LUMA
        frame = VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = place
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return tuple(
        AccessUnit(
            codec=codec,
            data=bytes(packet),
            pts=place * TICKS // fps,
            dts=place * TICKS // fps,
            is_key=packet.is_keyframe,
        )
        for place, packet in enumerate(packets)
    )


_LUMA = (0.299, 0.587, 0.114)


@cache
def encode_tone(codec: Codec, seconds: int) -> tuple[AccessUnit, ...]:
    """Encode ``seconds`` of the tone, such that the end goes over into the start without a click.

    Raises:
        LocalProtocolError: The codec is not offered.
    """
    from av.audio.frame import AudioFrame

    if codec not in (Codec.PCMA, Codec.PCMU, Codec.AAC):
        raise LocalProtocolError(f"the test tone is not offered as {codec.value}")
    rate, block = (AAC_RATE, 1024) if codec is Codec.AAC else (G711_RATE, G711_RATE // 25)
    encoder = open_audio_encoder(codec, rate=rate)
    tone = _tone(rate, seconds)
    # Two rounds are encoded and the second is kept: its first block goes on from a last block
    # as it does in the loop, and the encoder's start is left behind.
    blocks = len(tone) // block
    packets = []
    for place in range(2 * blocks + 2):
        first = place % blocks * block
        samples = tone[first : first + block].reshape(1, -1)
        if codec is not Codec.AAC:
            samples = (samples * 32767).astype("int16")
        frame = AudioFrame.from_ndarray(samples, format=encoder.format.name, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, place * block, Fraction(1, rate)
        packets += encoder.encode(frame)
    kept = [packet for packet in packets if packet.pts is not None and packet.pts >= blocks * block]
    return tuple(
        AccessUnit(
            codec=codec,
            data=_adts(bytes(packet), rate) if codec is Codec.AAC else bytes(packet),
            pts=place * block * TICKS // rate,
            dts=place * block * TICKS // rate,
            is_key=True,
        )
        for place, packet in enumerate(kept[:blocks])
    )


# The code: two rows of 16 cells, black is 0, white is 1: marker 1010, marker 0101, counter (16
# bits), check (8 bits). The grid is given in shares of the picture.
_COLUMNS, _ROWS, _BANDS = 16, 2, 12
_DARK, _BRIGHT = 100, 156


def _cell(row: int, column: int, width: int, height: int) -> tuple[int, int, int, int]:
    top, bottom = row * height // _BANDS, (row + 1) * height // _BANDS
    return top, bottom, column * width // _COLUMNS, (column + 1) * width // _COLUMNS


def _code(counter: int) -> int:
    return 0b1010_0101 << 24 | counter << 8 | _check(counter)


def _check(counter: int) -> int:
    """CRC-8 (polynomial 0x07) that does not start at 0, so that 0 has a check as well."""
    crc = 0xA5
    for byte in counter.to_bytes(2, "big"):
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


def _write_counter(picture: NDArray[np.uint8], counter: int) -> None:
    height, width = picture.shape[:2]
    code = _code(counter)
    for place in range(_ROWS * _COLUMNS):
        top, bottom, left, right = _cell(place // _COLUMNS, place % _COLUMNS, width, height)
        bit = code >> (_ROWS * _COLUMNS - 1 - place) & 1
        picture[top:bottom, left:right] = 255 if bit else 0


_BAR_COLOURS = (
    (180, 180, 180),
    (180, 180, 16),
    (16, 180, 180),
    (16, 180, 16),
    (180, 16, 180),
    (180, 16, 16),
    (16, 16, 180),
)


def _background(width: int, height: int) -> NDArray[np.uint8]:
    import numpy as np

    picture = np.full((height, width, 3), 32, dtype=np.uint8)
    for place, colour in enumerate(_BAR_COLOURS):
        left = place * width // len(_BAR_COLOURS)
        right = (place + 1) * width // len(_BAR_COLOURS)
        picture[height // 4 : height // 2, left:right] = colour
    return picture


_GLYPH_WIDTH, _GLYPH_HEIGHT = 5, 7
_GLYPHS = {
    "0": ".###. #...# #..## #.#.# ##..# #...# .###.",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": "##### ...#. ..#.. ...#. ....# #...# .###.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": "..##. .#... #.... ####. #...# #...# .###.",
    "7": "##### ....# ...#. ..#.. .#... .#... .#...",
    "8": ".###. #...# #...# .###. #...# #...# .###.",
    "9": ".###. #...# #...# .#### ....# ...#. .##..",
    ":": "..... ..#.. ..#.. ..... ..#.. ..#.. .....",
    ".": "..... ..... ..... ..... ..... .##.. .##..",
}


def _write_text(picture: NDArray[np.uint8], text: str, *, scale: int) -> None:
    """Write ``text`` in white on black, centred below the block code."""
    import numpy as np

    height, width = picture.shape[:2]
    step = (_GLYPH_WIDTH + 1) * scale
    panel = np.zeros(((_GLYPH_HEIGHT + 2) * scale, len(text) * step + scale), dtype=np.uint8)
    for place, letter in enumerate(text):
        rows = [[mark == "#" for mark in row] for row in _GLYPHS[letter].split()]
        glyph = np.kron(np.array(rows, dtype=np.uint8), np.ones((scale, scale), dtype=np.uint8))
        left = place * step + scale
        panel[scale : scale + glyph.shape[0], left : left + glyph.shape[1]] = glyph * 255
    top, left = height * 2 // 8 + height // 24, (width - panel.shape[1]) // 2
    picture[top : top + panel.shape[0], left : left + panel.shape[1]] = panel[:, :, None]


def _tone(rate: int, seconds: int) -> NDArray[np.float32]:
    import numpy as np

    time = np.arange(rate * seconds) / rate
    loudness = np.where(time % 1.0 < 0.2, 0.5, 0.05)
    return (loudness * np.sin(2 * math.pi * 440 * time)).astype(np.float32)


def _adts(block: bytes, rate: int) -> bytes:
    return adts_header(len(block), rate=rate, channels=1) + block
