"""Bends the media of a device: its RTP packets, and the program stream in them."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

from rtp.mpegps import syntax

if TYPE_CHECKING:
    from ..habits import Habits

_HEADER = struct.Struct("!BBHII")
_PAYLOAD = 1400
_OWN_SSRC = 0x5A5A_0001
_G711_BLOCK = b"\xd5" * 320
_PRIVATE = b"\x00\x00\x01\xbd\x00\x14" + b"\x80\x00\x00" + b"\x11" * 17
_PARAMETER_SETS = frozenset({7, 8})
_LOSS_EVERY = 60
"""Frames of the TCP stream between two losses."""


class MediaBend:
    """The habits of one outgoing RTP stream. Pure.

    A frame is held until its marker, taken apart, bent and cut into packets again.
    """

    def __init__(self, habits: Habits, *, loss: float = 0.0, seed: int = 0) -> None:
        self._habits = habits
        self._frame: list[bytes] = []
        self._sequence: int | None = None
        self._frames = 0
        self._groups = 0
        self._clock = 0
        self._first_ticks: int | None = None
        self._audio_ticks = 0
        self._maps = 0
        self._loss = loss
        self._chance = random.Random(seed) if loss else None
        self._sets: list[bytes] = []

    def packet(self, data: bytes) -> list[bytes]:
        """Take a packet of the sender; return those that leave now."""
        self._frame.append(data)
        if len(data) < 12 or not data[1] & 0x80:
            return []
        frame, self._frame = self._frame, []
        return self._keep(self._bent(frame))

    def _keep(self, packets: list[bytes]) -> list[bytes]:
        chance = self._chance
        if chance is None:
            return packets
        return [one for one in packets if chance.random() >= self._loss]

    def _bent(self, frame: list[bytes]) -> list[bytes]:
        _, second, number, ticks, ssrc = _HEADER.unpack_from(frame[0])
        if self._sequence is None:
            self._sequence = number
        stream = b"".join(one[12:] for one in frame)
        is_key = syntax.START + bytes((syntax.SYSTEM,)) in stream[:64]
        self._groups += is_key
        self._frames += 1
        stream = self._bent_stream(stream)
        habits = self._habits
        if habits.restarts_every and self._frames % habits.restarts_every == 0:
            self._sequence = (self._sequence + 30_000) & 0xFFFF
            self._clock += 90_000_000
        ticks = self._ticks(ticks)
        packets = self._cut(stream, second & 0x7F, ticks, self._ssrc(ssrc))
        if habits.raw_audio:
            packets.append(self._audio(self._ssrc(ssrc)))
        return packets

    def _ticks(self, ticks: int) -> int:
        if self._first_ticks is None:
            self._first_ticks = ticks
        if self._habits.same_timestamp:
            return self._first_ticks
        return (ticks + self._clock) & 0xFFFF_FFFF

    def _ssrc(self, ssrc: int) -> int:
        match self._habits.rtp_ssrc:
            case "zero":
                return 0
            case "own":
                return _OWN_SSRC
            case "group":
                return _OWN_SSRC + self._groups
        return ssrc

    def _cut(self, stream: bytes, payload_type: int, ticks: int, ssrc: int) -> list[bytes]:
        habits = self._habits
        kind = payload_type if habits.payload_type is None else habits.payload_type
        packets = []
        for start in range(0, len(stream), _PAYLOAD):
            is_last = start + _PAYLOAD >= len(stream)
            marker = {"never": False, "always": True}.get(habits.marker or "", is_last)
            second = kind | (0x80 if marker else 0)
            packets.append(self._packet(second, ticks, ssrc, stream[start : start + _PAYLOAD]))
        return packets

    def _packet(self, second: int, ticks: int, ssrc: int, payload: bytes) -> bytes:
        assert self._sequence is not None
        header = _HEADER.pack(0x80, second, self._sequence, ticks, ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        return header + payload

    def _audio(self, ssrc: int) -> bytes:
        self._audio_ticks = (self._audio_ticks + len(_G711_BLOCK)) & 0xFFFF_FFFF
        return self._packet(0x88, self._audio_ticks, ssrc, _G711_BLOCK)

    # The program stream -------------------------------------------------------------------------

    def _bent_stream(self, stream: bytes) -> bytes:
        parts = list(_parts(stream))
        if not parts:
            return stream
        bent: list[bytes] = []
        for code, part in parts:
            bent += self._bent_part(code, part)
        if self._habits.pes_length == "wrapped":
            bent = _wrapped(bent)
        return b"".join(bent)

    def _bent_part(self, code: int, part: bytes) -> list[bytes]:
        habits = self._habits
        if code == syntax.PACK:
            return [part[:4] if habits.bare_pack else part]
        if code == syntax.SYSTEM:
            return [part]
        if code == syntax.MAP:
            return self._bent_map(part)
        if syntax.VIDEO <= code <= 0xEF:
            part = self._bent_video(part)
        if habits.omits_stamps:
            part = _without_stamps(part)
        if habits.pes_length == "zero" and syntax.VIDEO <= code <= 0xEF:
            part = part[:4] + b"\0\0" + part[6:]
        return [_PRIVATE, part, _PRIVATE] if habits.private_packets else [part]

    def _bent_map(self, part: bytes) -> list[bytes]:
        self._maps += 1
        match self._habits.stream_map:
            case "none":
                return []
            case "once" if self._maps > 1:
                return []
            case "crc":
                return [part[:-1] + bytes((part[-1] ^ 0x55,))]
            case "length":
                return [part[:10] + b"\x00\xff" + part[12:]]
            case "type":
                return [_with_types(part, {0x1B: 0x24, 0x24: 0x1B})]
        if self._habits.announces_audio:
            streams, _ = syntax.read_map(part, 0, len(part))
            return [syntax.write_map({**streams, syntax.AUDIO: 0x90})]
        return [part]

    def _bent_video(self, part: bytes) -> bytes:
        habits = self._habits
        begins = bool(part[7] & 0x80)
        if not begins or not (habits.sets_everywhere or habits.sets_rarely):
            return part
        head = 9 + part[8]
        units = part[head:].split(b"\0\0\0\1")
        sets = [one for one in units if one and one[0] & 0x1F in _PARAMETER_SETS]
        if sets:
            self._sets = sets
        rest = [one for one in units if one and one not in sets]
        if habits.sets_everywhere:
            rest = self._sets + rest
        elif self._groups % habits.sets_rarely == 1:
            rest = sets + rest
        data = b"".join(b"\0\0\0\1" + one for one in rest)
        size = min(head - 6 + len(data), 0xFFFF)
        return part[:4] + size.to_bytes(2, "big") + part[6:head] + data


class FrameBend:
    """The habits of one outgoing TCP media connection: how its packets are framed. Pure."""

    def __init__(self, habits: Habits) -> None:
        self._habits = habits
        self._count = 0

    def frame(self, packet: bytes) -> bytes:
        """Return a packet with what stands before it on the connection."""
        habits, self._count = self._habits, self._count + 1
        length = len(packet).to_bytes(2, "big")
        framed = (b"$\0" if habits.framing == "rtsp" else b"") + length + packet
        if self._count == 1 and habits.framing == "ehome":
            framed = b"\x01\x00\x01" + b"\x00" * 253 + framed
        if self._count == 1 and habits.starts_in_packet:
            framed = framed[-len(packet) // 2 :]
        if habits.loses_stream_bytes and self._count % _LOSS_EVERY == 0:
            framed = framed[: len(framed) // 2]
        return framed


def _parts(stream: bytes) -> list[tuple[int, bytes]]:
    """Take a pack of our own muxer apart; empty when it is not one."""
    found: list[tuple[int, bytes]] = []
    place = 0
    while place + 6 <= len(stream):
        if stream[place : place + 3] != syntax.START:
            return []
        code = stream[place + 3]
        size = 14 if code == syntax.PACK else 6 + int.from_bytes(stream[place + 4 : place + 6])
        found.append((code, stream[place : place + size]))
        place += size
    return found


def _with_types(part: bytes, types: dict[int, int]) -> bytes:
    streams, _ = syntax.read_map(part, 0, len(part))
    return syntax.write_map({one: types.get(kind, kind) for one, kind in streams.items()})


def _without_stamps(part: bytes) -> bytes:
    head = 9 + part[8]
    data = part[head:]
    return part[:4] + (3 + len(data)).to_bytes(2, "big") + part[6:7] + b"\0\0" + data


def _wrapped(parts: list[bytes]) -> list[bytes]:
    """Join the PES packets of one large picture into one whose length has lost its 17th bit."""
    joined: list[bytes] = []
    for part in parts:
        is_more = part[3] == syntax.VIDEO and not part[7] & 0x80
        if is_more and joined and joined[-1][3] == syntax.VIDEO:
            whole = joined[-1] + part[9 + part[8] :]
            length = (len(whole) - 6) & 0xFFFF
            joined[-1] = whole[:4] + length.to_bytes(2, "big") + whole[6:]
        else:
            joined.append(part)
    return joined
