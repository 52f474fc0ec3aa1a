"""The kit's ends of a media stream: an ear that records RTP, and a mouth that sends a picture."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rtp.access_unit import AccessUnit, Codec
from rtp.mpegps.muxer import PsMuxer
from rtp.packetizer import Packetizer

# A grey picture of 160 x 96 with one bright block, H.264: parameter sets and a key picture, and a
# picture that repeats it.
_KEY = bytes.fromhex(
    "000000016742c00bda0a3684000003000400000300ca3c50aa800000000168ce039c80000000016588843a26"
    "28000805c9c9c9c9c9c9c9c9c9d75800222222201a20efc7bde0e7abc0011919919190087dcc73d75d75d75d"
    "77802004a52940648e8f3c98f00401290a4390f1e5d75d75d75d75d75d75d75d75d75d75d75d75d75d75d75d"
    "75d75d78"
)
_FRAME_TICKS = 3600
_GROUP = 25
_RTP = struct.Struct("!BBHII")
_CATCH_UP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One RTP packet as it came, read without the library's own parser."""

    time: float
    data: bytes

    @property
    def is_rtp(self) -> bool:
        """Whether it can be RTP: version 2 and a whole header."""
        return len(self.data) >= _RTP.size and self.data[0] >> 6 == 2

    @property
    def payload_type(self) -> int:
        """The payload type."""
        return self.data[1] & 0x7F

    @property
    def timestamp(self) -> int:
        """The timestamp."""
        return int(_RTP.unpack_from(self.data)[3])

    @property
    def ssrc(self) -> int:
        """The source."""
        return int(_RTP.unpack_from(self.data)[4])


class Ear:
    """Records the RTP of one session, over UDP or TCP."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.port = 0
        self.connections = 0
        """TCP connections that the target has opened, or that were opened to it."""
        self.framing_errors = 0
        """Frames over TCP whose content is not RTP or RTCP. Source: RFC 4571."""
        self._rest = b""
        self._arrived = asyncio.Event()

    def take(self, data: bytes) -> None:
        """Record a packet."""
        self.heard.append(Heard(time=asyncio.get_running_loop().time(), data=data))
        self._arrived.set()

    def take_stream(self, data: bytes) -> None:
        """Cut a piece of a TCP stream into frames and record them."""
        self._rest += data
        while len(self._rest) >= 2:
            length = int.from_bytes(self._rest[:2], "big")
            if len(self._rest) < 2 + length:
                return
            packet, self._rest = self._rest[2 : 2 + length], self._rest[2 + length :]
            if packet and packet[0] >> 6 != 2:
                self.framing_errors += 1
            elif packet:
                self.take(packet)

    async def first(self, timeout: float) -> Heard | None:
        """Return the first packet; None when none comes in time."""
        try:
            async with asyncio.timeout(timeout):
                while not self.heard:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        return self.heard[0]

    async def listen_for(self, seconds: float) -> list[Heard]:
        """Return what comes in the next seconds."""
        begin = len(self.heard)
        await asyncio.sleep(seconds)
        return self.heard[begin:]

    async def connect(self, host: str, port: int) -> asyncio.Transport:
        """Connect to the target, which listens.

        Raises:
            OSError: It does not.
        """
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: _Stream(self), host, port
        )
        return transport


@asynccontextmanager
async def open_ear(*, over_tcp: bool, host: str = "0.0.0.0") -> AsyncIterator[Ear]:
    """Listen for one RTP stream on a port of its own."""
    ear, loop = Ear(), asyncio.get_running_loop()
    if over_tcp:
        server = await loop.create_server(lambda: _Stream(ear), host, 0)
        ear.port = server.sockets[0].getsockname()[1]
        try:
            yield ear
        finally:
            server.close()
    else:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(ear.take), local_addr=(host, 0)
        )
        ear.port = transport.get_extra_info("sockname")[1]
        try:
            yield ear
        finally:
            transport.close()


class Mouth:
    """Sends a still picture as PS over RTP until it is cancelled."""

    def __init__(self, *, ssrc: int) -> None:
        self.ssrc = ssrc
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> int:
        """Open a UDP socket and return its port."""
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(lambda _: None), local_addr=("0.0.0.0", 0)
        )
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    async def speak(self, remote: tuple[str, int], *, over_tcp: bool) -> None:
        """Send 25 pictures a second to ``remote``; returns when a TCP peer has left."""
        if not over_tcp:
            datagrams = self._transport
            assert datagrams is not None
            await self._send(lambda packet: datagrams.sendto(packet, remote))
            return
        try:
            _, writer = await asyncio.open_connection(*remote)
        except OSError:
            return  # the case sees that no media came
        try:
            await self._send(lambda packet: writer.write(len(packet).to_bytes(2, "big") + packet))
        finally:
            writer.close()

    async def _send(self, send: Callable[[bytes], None]) -> None:
        muxer, packets = PsMuxer(Codec.H264, None), Packetizer(ssrc=self.ssrc)
        loop, number = asyncio.get_running_loop(), 0
        due = loop.time()
        while True:
            pts = number * _FRAME_TICKS
            unit = AccessUnit(codec=Codec.H264, data=_picture(number), pts=pts, dts=pts,
                              is_key=number % _GROUP == 0)  # fmt: skip
            for packet in packets.push(muxer.push(unit), pts & 0xFFFFFFFF):
                send(packet)
            number += 1
            due = max(due + 0.04, loop.time() - _CATCH_UP)
            await asyncio.sleep(due - loop.time())


def still_picture(frames: int) -> tuple[AccessUnit, ...]:
    """Return the picture that a mouth sends as access units, one key picture a second."""
    return tuple(
        AccessUnit(
            codec=Codec.H264,
            data=_picture(number),
            pts=number * _FRAME_TICKS,
            dts=number * _FRAME_TICKS,
            is_key=number % _GROUP == 0,
        )
        for number in range(frames)
    )


def _picture(number: int) -> bytes:
    place = number % _GROUP
    if place == 0:
        return _KEY
    # The slice header with frame_num in four bits, then a skip run over the whole picture.
    return b"\x00\x00\x00\x01\x41" + (0x9A0281EC | (place % 16) << 21).to_bytes(4, "big")


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data)


class _Stream(asyncio.Protocol):
    def __init__(self, ear: Ear) -> None:
        self._ear = ear

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._ear.connections += 1

    def data_received(self, data: bytes) -> None:
        self._ear.take_stream(data)
