from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gb28181.errors import ConfigError
from gb28181.media.capture import Captured, capture
from gb28181.media.plane import LocalMediaPlane
from gb28181.media.receiver import Receiver
from rtp.access_unit import AccessUnit, Codec
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import RtpPacket
from rtp.packetizer import Packetizer
from rtp.transport import SocketNetwork

HOST, SSRC = "127.0.0.1", 200000001
KEY = bytes.fromhex("0000000167640028acd90000000168ee3cb00000000165888400")


def packs() -> list[bytes]:
    muxer, made = PsMuxer(Codec.H264, None), []
    for number in range(20):
        data = (KEY if number % 10 == 0 else b"\0\0\0\1\x41\x9a\x80") + bytes([90 + number]) * 2500
        unit = AccessUnit(
            codec=Codec.H264, data=data, pts=3600 * number, dts=3600 * number,
            is_key=number % 10 == 0,
        )  # fmt: skip
        made.append(muxer.push(unit))
    return made


def packets() -> list[bytes]:
    packetizer = Packetizer(ssrc=SSRC, sequence_number=65_530)
    return [
        packet for number, pack in enumerate(packs()) for packet in packetizer.push(pack, number)
    ]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    network = SocketNetwork(tick=0.0)
    plane = LocalMediaPlane(network, ports=range(41600, 41700), quarantine=0.0)
    receiver = await plane.open_receiver("udp", host=HOST)
    receiver.expect(ssrc=SSRC, host=HOST)
    yield receiver
    await plane.close()
    network.close()


async def captured(
    receiver: Receiver, path: Path, sent: list[bytes], *, before: int = 0, most: int = 1 << 20
) -> Captured:
    """Capture while ``sent`` comes; the first ``before`` packets come before that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera:

        async def send(some: list[bytes]) -> None:
            for packet in some:
                camera.sendto(packet, receiver.local)
            async with asyncio.timeout(5):
                while receiver.statistics.packets < sent.index(some[-1]) + 1:  # noqa: ASYNC110
                    await asyncio.sleep(0)

        if before:
            await send(sent[:before])
        running = asyncio.ensure_future(capture(receiver, path, seconds=60, most=most))
        await asyncio.sleep(0)
        await send(sent[before:])
        receiver.close()
        return await running


def read_pcapng(data: bytes) -> list[bytes]:
    """Read the datagrams of the packet blocks by another way than they were written."""
    found, place = [], 0
    while place < len(data):
        kind, length = struct.unpack_from("<II", data, place)
        if kind == 6:
            (size,) = struct.unpack_from("<I", data, place + 20)
            found.append(data[place + 28 : place + 28 + size][28:])  # without IP and UDP
        place += length
    return found


async def test_every_packet_stands_in_the_capture_as_it_came(
    receiver: Receiver, tmp_path: Path
) -> None:
    sent = packets()
    done = await captured(receiver, tmp_path / "camera.pcapng", sent)
    data = done.path.read_bytes()
    assert read_pcapng(data) == sent
    assert (done.packets, done.size, done.left_out) == (len(sent), len(data), 0)


async def test_the_program_stream_is_dumped_in_order_without_sound_beside_it(
    receiver: Receiver, tmp_path: Path
) -> None:
    sent = packets()
    last = int.from_bytes(sent[-1][2:4], "big")
    sound = RtpPacket(
        payload_type=8, sequence_number=last + 1, timestamp=0, ssrc=SSRC, payload=bytes(160)
    )
    came = [*sent[:5], sent[6], sent[5], *sent[7:], sound.to_bytes()]
    done = await captured(receiver, tmp_path / "camera.ps", came)
    assert done.path.read_bytes() == b"".join(packs())


async def test_a_capture_begins_with_the_kept_group(receiver: Receiver, tmp_path: Path) -> None:
    sent = packets()
    done = await captured(receiver, tmp_path / "camera.ps", sent, before=len(sent) - 3)
    assert done.path.read_bytes() == b"".join(packs()[10:])


async def test_a_capture_is_bounded(receiver: Receiver, tmp_path: Path) -> None:
    sent = packets()
    done = await captured(receiver, tmp_path / "camera.pcapng", sent, most=5000)
    assert done.size <= 5000
    assert done.left_out == len(sent)


async def test_another_kind_of_file_is_refused(receiver: Receiver, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"camera\.avi: the name of a capture ends in one of"):
        await capture(receiver, tmp_path / "camera.avi")
    assert receiver.batches.is_used is False


async def test_a_file_that_cannot_be_written_leaves_nothing_attached(
    receiver: Receiver, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await capture(receiver, tmp_path / "missing" / "camera.ps")
    assert receiver.batches.is_used is False
