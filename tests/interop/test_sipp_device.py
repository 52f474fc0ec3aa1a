"""SIPp as a camera: proves that a foreign SIP stack and a foreign muxer get along with Platform.

SIPp registers, reports, answers queries in GB2312 and takes the INVITE. FFmpeg encodes; the
program stream and RTP are written here, byte by byte, without a line of this project's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181 import (
    Alarm,
    CatalogChanged,
    DeviceOffline,
    DeviceOnline,
    Edition,
    Notice,
    Platform,
    Stage,
)
from gb28181.manscdp import SnapShotConfig, UploadSnapShotFinishedNotify
from gb28181.media.voice import ToneSource
from rtp.access_unit import AccessUnit, Codec

if TYPE_CHECKING:
    from tests.interop.conftest import Sipp

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
DEVICE = "34020000001180000001"
CAMERA = "34020000001320000007"
PASSWORD = "s3cret"
TICKS = 3600

ENCODERS = {
    Codec.H264: ("h264", 0x1B, b"\x09", ("-c:v", "libx264", "-x264-params", "aud=1:log-level=-1")),
    Codec.H265: (
        "hevc",
        0x24,
        b"\x46",
        ("-c:v", "libx265", "-x265-params", "aud=1:log-level=none"),
    ),
}


def encode(codec: Codec, ffmpeg: str) -> tuple[list[bytes], int]:
    """Two seconds of pictures, cut at their access unit delimiters, and the PSM's stream type."""
    name, stream_type, delimiter, options = ENCODERS[codec]
    picture = "testsrc2=size=640x360:rate=25,noise=alls=20:allf=t"
    command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", picture, "-frames:v", "50", *options]
    command += ["-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-crf", "26"]
    done = subprocess.run([*command, "-f", name, "-"], capture_output=True, timeout=15, check=True)
    parts = done.stdout.split(b"\0\0\0\1" + delimiter)[1:]
    return [b"\0\0\0\1" + delimiter + part for part in parts], stream_type


def time_bits(prefix: int, ticks: int) -> bytes:
    """A PTS: four bits of prefix, then 3, 15 and 15 bits with a marker after each."""
    high, middle, low = ticks >> 30 & 7, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    return struct.pack("!BHH", prefix << 4 | high << 1 | 1, middle << 1 | 1, low << 1 | 1)


def crc(data: bytes) -> int:
    """CRC-32/MPEG-2, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value


def pack(frame: bytes, ticks: int, stream_type: int, *, key: bool) -> bytes:
    """One frame as a pack, as GB/T 28181-2016 C.1 asks, with six bytes of stuffing."""
    clock = 1 << 46 | (ticks >> 30 & 7) << 43 | 1 << 42 | (ticks >> 15 & 0x7FFF) << 27
    clock |= 1 << 26 | (ticks & 0x7FFF) << 11 | 1 << 10 | 1
    out = b"\0\0\1\xba" + clock.to_bytes(6, "big") + (50_000 << 2 | 3).to_bytes(3, "big")
    out += b"\xfe" + b"\xff" * 6
    if key:
        out += bytes.fromhex("000001bb 0009 8186a1 00e17f e0e190")
        table = struct.pack("!HHBBH", 0, 4, stream_type, 0xE0, 0)
        stream_map = b"\0\0\1\xbc" + struct.pack("!HBB", 14, 0xE0, 0xFF) + table
        out += stream_map + struct.pack("!I", crc(stream_map))
    room = 65_535 - 8
    for start in range(0, len(frame), room):
        stamp = time_bits(0b0010, ticks) if start == 0 else b""
        body = struct.pack("!BBB", 0x80, 0x80 if stamp else 0, len(stamp)) + stamp
        body += frame[start : start + room]
        out += b"\0\0\1\xe0" + struct.pack("!H", len(body)) + body
    return out


async def send(frames: list[bytes], stream_type: int, target: tuple[str, int], ssrc: int) -> None:
    """Send frames over and over as RTP, a little faster than real time, until cancelled."""
    number, count = 65_500, 0
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        while True:
            ticks = 900_000 + count * TICKS
            key = count % 25 == 0
            data = pack(frames[count % len(frames)], ticks, stream_type, key=key)
            for start in range(0, len(data), 1300):
                second = 96 | (0x80 if start + 1300 >= len(data) else 0)
                header = struct.pack("!BBHII", 0x80, second, number & 0xFFFF, ticks, ssrc)
                udp.sendto(header + data[start : start + 1300], target)
                number += 1
            count += 1
            await asyncio.sleep(0.02)


@asynccontextmanager
async def registered(
    sipp: Sipp,
    ports: Callable[[int], int],
    transport: str,
    *,
    asked: str = "sipp_device_asked.xml",
    ready: type[CatalogChanged | DeviceOnline] = CatalogChanged,
    media: int = 40000,
) -> AsyncIterator[Platform]:
    """A platform at which SIPp has registered and told its catalogue."""
    port = ports(32)
    platform = Platform(
        PLATFORM,
        password_for={DEVICE: PASSWORD}.get,
        listen=(f"udp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"),
        media_ports=range(port + 2, port + 32),
        linger=0.0,
        asks_catalog=ready is CatalogChanged,
        edition=Edition.GB2016 if ready is CatalogChanged else Edition.GB2022,
    )
    async with platform, platform.events() as events:
        options = ("-oocsf", str(Path(__file__).parent / asked), "-m", "1")
        await sipp.start(
            "sipp_device.xml", f"127.0.0.1:{port}", *options, "-t", transport,
            "-s", PLATFORM, "-au", DEVICE, "-ap", PASSWORD,
            keys={"device": DEVICE, "media": str(media)},
        )  # fmt: skip
        async with asyncio.timeout(8):
            async for event in events:
                if isinstance(event, ready):
                    break
            yield platform
            async for event in events:
                if isinstance(event, DeviceOffline):
                    break
        assert platform.unknown_commands == 0
        assert platform.refused == {}


async def take(units: AsyncIterator[AccessUnit], count: int) -> list[AccessUnit]:
    taken = []
    async for unit in units:
        taken.append(unit)
        if len(taken) == count:
            break
    return taken


@pytest.mark.parametrize("codec", [Codec.H264, Codec.H265], ids=lambda codec: codec.name)
async def test_platform_plays_a_foreign_camera(
    codec: Codec,
    sipp: Sipp,
    ports: Callable[[int], int],
    program: Callable[[str], str],
    av: None,
) -> None:
    """Signalling by SIPp over UDP, pictures by FFmpeg, PS and RTP by hand."""
    frames, stream_type = await asyncio.to_thread(encode, codec, program("ffmpeg"))
    assert len(frames) == 50
    assert max(map(len, frames)) > 65_535, "no frame needs a second PES packet"
    async with registered(sipp, ports, "u1") as platform, asyncio.TaskGroup() as group:
        opening = group.create_task(platform.channel(CAMERA).play().open())
        invited = await sipp.logged(r"invited port=(\d+) ssrc=(\d{10})")
        await sipp.logged("acknowledged")
        target = ("127.0.0.1", int(invited[1]))
        sending = group.create_task(send(frames, stream_type, target, int(invited[2])))
        live = await opening

        units = await take(live.units(), 60)
        first = frames.index(units[0].data)
        expected = [frames[(first + place) % 50] for place in range(60)]
        assert [unit.data for unit in units] == expected
        assert {unit.codec for unit in units} == {codec}
        assert {b.pts - a.pts for a, b in pairwise(units)} == {TICKS}
        assert not any(unit.is_damaged for unit in units)
        pictures = 0
        async for picture in live.frames():
            assert picture.shape == (360, 640, 3)
            pictures += 1
            if pictures == 10:
                break
        assert live.statistics.ssrc == int(invited[2])
        assert (live.statistics.lost, live.statistics.foreign_ssrc) == (0, 0)
        live.close()
        await sipp.logged("bye")
        sending.cancel()
    await sipp.finished()


async def test_names_of_a_foreign_catalogue_are_read_from_gb2312(
    sipp: Sipp, ports: Callable[[int], int]
) -> None:
    """REGISTER, Keepalive, Catalog, DeviceInfo, INVITE and BYE over one TCP connection."""
    async with registered(sipp, ports, "t1") as platform:
        ((owner, item),) = platform.channels()
        assert (owner, item.device_id, item.name) == (DEVICE, CAMERA, "学校东门")
        assert (item.address, item.parent_id, item.status) == ("中山路1号", DEVICE, "ON")
        binding = platform.device(DEVICE).require_binding()
        assert binding.flow.transport == "tcp"
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            async with asyncio.TaskGroup() as group:
                opening = group.create_task(platform.channel(CAMERA).play().open())
                invited = await sipp.logged(r"invited port=(\d+) ssrc=(\d{10})")
                await sipp.logged("acknowledged")
                header = struct.pack("!BBHII", 0x80, 0xE0, 1, 0, int(invited[2]))
                udp.sendto(header + b"\0\0\1\xba", ("127.0.0.1", int(invited[1])))
                live = await opening
            live.close()
            await sipp.logged("bye")
    log = sipp.read("log")
    assert re.search("keepalive answered, 3600", log)
    assert re.search(r"catalog answered \d+", log)
    assert re.search(r"device info answered \d+", log)
    await sipp.finished()


async def test_alarms_recordings_and_snapshots_of_a_foreign_device(
    sipp: Sipp, ports: Callable[[int], int]
) -> None:
    """SUBSCRIBE and NOTIFY in a dialog, RecordInfo in three parts, SnapShotConfig of 2022."""
    session = "7f2d5b7e-0000-4a1a-8d3e-112233445566"
    asked = "sipp_device_ordered.xml"
    async with registered(sipp, ports, "u1", asked=asked, ready=DeviceOnline) as platform:
        device = platform.device(DEVICE)
        async with platform.events() as events, asyncio.timeout(10):
            ledger = await device.subscribe_alarms()
            async for event in events:
                if isinstance(event, Alarm):
                    break
            assert isinstance(event, Alarm)
            assert (event.notify.description, event.notify.alarm_type) == ("学校东门", "6")
            assert (ledger.state, ledger.notified, ledger.by_message) == ("accepted", 1, 0)
            await device.unsubscribe(ledger)
            await sipp.logged("subscription ended")

            start = datetime(2024, 5, 1, 8, tzinfo=timezone(timedelta(hours=8)))
            found = await device.records(start, start + timedelta(hours=6))
            assert found.complete
            assert [record.start.hour for record in found.items] == [8, 9, 10, 12]
            assert {record.item.name for record in found.items} == {"学校东门"}
            assert [(a.hour, b.hour) for a, b in found.gaps] == [(11, 12), (13, 14)]
            await sipp.logged("three parts told <Type>all</Type>")

            wish = SnapShotConfig(
                snap_num=2, interval=1, upload_url="http://192.0.2.1/", session_id=session
            )
            outcome = await device.take_snapshots(wish)
            assert outcome.stage is Stage.DONE
            async for event in events:
                if isinstance(event, Notice):
                    break
        assert isinstance(event, Notice)
        assert isinstance(event.notify, UploadSnapShotFinishedNotify)
        assert (event.notify.session_id, len(event.notify.files)) == (session, 2)
        await sipp.logged(f"pictures told {session}")
    await sipp.finished()


async def test_a_foreign_loudspeaker_hears_the_platform(
    sipp: Sipp, ports: Callable[[int], int]
) -> None:
    """Broadcast, its answer, and the INVITE that comes back; G.711A as bare RTP."""
    with socket.socket(type=socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.setblocking(False)
        async with registered(
            sipp, ports, "u1",
            asked="sipp_device_called.xml", ready=DeviceOnline, media=ear.getsockname()[1],
        ) as platform:  # fmt: skip
            async with platform.broadcast([DEVICE], ToneSource(1000.0)):
                await asyncio.sleep(1.5)
            await sipp.logged("voice ended")
        heard = []
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.append(ear.recv(2048))
    heads = [struct.unpack_from("!BBHII", packet) for packet in heard]
    assert {(head[0], head[1] & 0x7F, head[4]) for head in heads} == {(0x80, 8, 200007777)}
    assert [head[2] for head in heads] == list(range(len(heads)))
    assert {head[3] - 320 * place for place, head in enumerate(heads)} == {0}
    assert {len(packet) for packet in heard} == {12 + 320}
    assert len(heard) == pytest.approx(1.5 / 0.04, rel=0.2)
    await sipp.finished()
