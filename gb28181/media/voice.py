"""Voice: sound of one source, paced once, to any number of loudspeakers, each in its own form."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Protocol

from rtp import g711
from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import RtpPacket
from rtp.packetizer import Packetizer

if TYPE_CHECKING:
    from ..sdp import Payload
    from .packets import AacEncoder
    from .source import MediaSource

_CLOCK = 90_000
_BLOCK = 160
"""Samples of a tone's unit: 20 ms."""
_LATE = 0.5
"""A source that is this late has paused: its clock is taken anew, and nothing is hurried."""
_BACKLOG = 2 * g711.RATE
"""Samples that a line gathers at most before it sends; 2 s, far above any packet."""

SENDABLE = ("PCMA", "PCMU", "PS", "AAC", "MPEG4-GENERIC")
"""The encodings that a voice is sent in, the standard's first (9.12, Annex G). AAC needs the extra
``media``."""
_AAC = frozenset({"AAC", "MPEG4-GENERIC"})


class VoiceSink(Protocol):
    """What a line needs of its outgoing end; ``MediaSink`` is the one there is."""

    def send_packets(self, packets: list[bytes]) -> bool:
        """Send now or drop; never wait."""


class ToneSource:
    """A sine tone in G.711A without end; for tests of a line, and of the ear."""

    video = None
    audio = Codec.PCMA
    duration = None

    def __init__(self, frequency: float = 1000.0, *, level: float = 0.5) -> None:
        """Describe the tone.

        Args:
            frequency: Hertz, below 4,000.
            level: 1.0 is as loud as a sample can be.
        """
        self.frequency = frequency
        self.level = level

    async def units(self) -> AsyncIterator[AccessUnit]:
        """Return units of 20 ms; see ``MediaSource``."""
        step = 2 * math.pi * self.frequency / g711.RATE
        amplitude = 32_000 * self.level
        number = 0
        while True:
            first = number * _BLOCK
            samples = (round(amplitude * math.sin(step * (first + i))) for i in range(_BLOCK))
            at = _ticks(first)
            yield AccessUnit(
                codec=Codec.PCMA, data=g711.to_alaw(samples), pts=at, dts=at, is_key=True
            )
            number += 1


class VoiceLine:
    """Sends G.711A samples to one loudspeaker, in packets and an encoding that suit it.

    Source: 9.12; 2022 Annex C: 20 to 180 ms of sound in a packet.
    """

    def __init__(
        self, sink: VoiceSink, *, ssrc: int, payload: Payload, packet: float = 0.04
    ) -> None:
        """Prepare a line.

        Args:
            sink: Where packets go.
            ssrc: Of the packets.
            payload: One of the offer's whose encoding is in ``SENDABLE``.
            packet: Seconds of sound in a packet.

        Raises:
            ValueError: The encoding is not one we can send.
            ImportError: AAC needs the extra ``media``.
        """
        if payload.encoding not in SENDABLE:
            raise ValueError(f"voice cannot be sent as {payload.encoding or payload.number}")
        self.packets = 0
        self._sink = sink
        self._ssrc = ssrc
        self._payload = payload
        self._size = min(max(round(packet * g711.RATE), _BLOCK), _BACKLOG)
        self._waiting = bytearray()
        self._sent = 0  # samples
        self._sequence = 0
        self._muxer: PsMuxer | None = None
        self._aac: AacEncoder | None = None
        if payload.encoding in _AAC:
            from .packets import AacEncoder

            self._aac = AacEncoder()
            self._size = AacEncoder.BLOCK
        if payload.encoding == "PS":
            self._muxer = PsMuxer(None, Codec.PCMA)
            self._packetizer = Packetizer(ssrc=ssrc, payload_type=payload.number)

    def push(self, samples: bytes) -> None:
        """Take A-law samples; send what makes whole packets."""
        self._waiting += samples
        while len(self._waiting) >= self._size:
            part = bytes(self._waiting[: self._size])
            del self._waiting[: self._size]
            packets = self._packed(part)
            self._sent += len(part)
            self.packets += len(packets)
            self._sink.send_packets(packets)

    def _packed(self, samples: bytes) -> list[bytes]:
        if self._muxer is not None:
            at = _ticks(self._sent)
            unit = AccessUnit(codec=Codec.PCMA, data=samples, pts=at, dts=at, is_key=True)
            return self._packetizer.push(self._muxer.push(unit), at & 0xFFFFFFFF)
        if self._aac is not None:
            return [self._packet(_access_unit(one)) for one in self._aac.encode(samples)]
        if self._payload.encoding == "PCMU":
            samples = g711.alaw_as_mulaw(samples)
        return [self._packet(samples)]

    def _packet(self, payload: bytes) -> bytes:
        packet = RtpPacket(
            payload_type=self._payload.number,
            # RFC 3551 4.1: the first packet after a silence; RFC 3640 3.1: a whole access unit.
            marker=self._sent == 0 or self._aac is not None,
            sequence_number=self._sequence,
            timestamp=self._sent & 0xFFFFFFFF,
            ssrc=self._ssrc,
            payload=payload,
        )
        self._sequence = self._sequence + 1 & 0xFFFF
        return packet.to_bytes()


class VoiceFeed:
    """Reads a source at the pace of its own clock and hands its samples to every line."""

    def __init__(self, source: MediaSource) -> None:
        """Take the source.

        Raises:
            ValueError: Its sound is not G.711.
        """
        if source.audio not in (Codec.PCMA, Codec.PCMU):
            heard = source.audio.value if source.audio else "no sound"
            raise ValueError(f"a voice needs G.711 sound, and the source has {heard}")
        self._source = source
        self._lines: list[Callable[[bytes], None]] = []

    def attach(self, line: Callable[[bytes], None]) -> Callable[[], None]:
        """Hand every block of A-law samples to ``line``; return what ends that."""
        self._lines.append(line)

        def detach() -> None:
            if line in self._lines:
                self._lines.remove(line)

        return detach

    async def run(self) -> None:
        """Read until the source ends."""
        loop = asyncio.get_running_loop()
        start: float | None = None
        async for unit in self._source.units():
            if unit.kind is not MediaKind.AUDIO:
                continue
            now = loop.time()
            due = now if start is None else start + unit.dts / _CLOCK
            if start is None or not -_LATE < due - now < 10 * _LATE:
                start, due = now - unit.dts / _CLOCK, now
            # Also without a wait: a source that is always ready must not hold the loop.
            await asyncio.sleep(max(0.0, due - now))
            samples = unit.data if unit.codec is Codec.PCMA else g711.mulaw_as_alaw(unit.data)
            for line in tuple(self._lines):
                line(samples)


def _ticks(samples: int) -> int:
    return samples * _CLOCK // g711.RATE  # 11.25 each


def _access_unit(block: bytes) -> bytes:
    """An AAC block with its header of 16 bits. Source: RFC 3640 sections 3.2.1 and 3.3.6."""
    return b"\x00\x10" + (len(block) << 3 & 0xFFFF).to_bytes(2, "big") + block
