"""Wireshark's reader and FFmpeg read what is captured of a running stream."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gb28181.media.capture import capture
from gb28181.media.plane import LocalMediaPlane
from rtp.access_unit import Codec
from rtp.mpegps.muxer import PsMuxer
from rtp.packetizer import Packetizer
from rtp.transport import SocketNetwork

pytest.importorskip("av", reason="PyAV is not installed")

from gb28181.media.pattern import encode_group

pytestmark = pytest.mark.interop
HOST, SSRC = "127.0.0.1", 200000001


async def run(*command: str) -> list[str]:
    text = await asyncio.to_thread(subprocess.check_output, command, text=True)
    return str(text).split()


async def test_tshark_and_ffmpeg_read_a_capture(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    tshark, ffprobe = program("tshark"), program("ffprobe")
    network = SocketNetwork(tick=0.0)
    plane = LocalMediaPlane(network, ports=range(41700, 41720), quarantine=0.0)
    receiver = await plane.open_receiver("udp", host=HOST)
    receiver.expect(ssrc=SSRC, host=HOST)
    muxer, packetizer = PsMuxer(Codec.H264, None), Packetizer(ssrc=SSRC)
    units = encode_group(Codec.H264, 320, 240, 25, 0)
    packets = [data for unit in units for data in packetizer.push(muxer.push(unit), unit.dts)]
    paths = [tmp_path / "camera.pcapng", tmp_path / "camera.ps"]
    running = [asyncio.ensure_future(capture(receiver, path, seconds=60)) for path in paths]
    await asyncio.sleep(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera:
        for packet in packets:
            camera.sendto(packet, receiver.local)
    async with asyncio.timeout(5):
        while receiver.statistics.packets < len(packets):  # noqa: ASYNC110
            await asyncio.sleep(0)
    port = receiver.local[1]
    await plane.close()
    network.close()
    assert [done.packets for done in await asyncio.gather(*running)] == [len(packets)] * 2
    numbers = await run(
        tshark, "-r", str(paths[0]), "-n", "-d", f"udp.port=={port},rtp", "-Y", "rtp",
        "-T", "fields", "-e", "rtp.seq", "-o", "udp.check_checksum:TRUE",
    )  # fmt: skip
    assert [int(number) for number in numbers] == list(range(len(packets)))
    sizes = await run(
        ffprobe, "-v", "error", "-select_streams", "v", "-show_entries", "packet=size",
        "-of", "csv=p=0", str(paths[1]),
    )  # fmt: skip
    assert [int(size.strip(",")) for size in sizes] == [len(unit.data) for unit in units]
