"""SIPp as a platform: proves that Device satisfies a foreign registrar and a foreign caller."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from gb28181 import Device, DeviceChannel
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.source import PatternSource
from gb28181.registration import RegistrationState
from rtp.access_unit import Codec

if TYPE_CHECKING:
    from tests.interop.conftest import Sipp

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
CAMERA = "34020000001320000001"
SSRC = 200000042


def picture() -> PatternSource:
    return PatternSource(video=Codec.H264, audio=None, seconds=1)


def camera(server: int, first_media_port: int, *, transport: str, password: str) -> Device:
    item = CatalogItem(device_id=CAMERA, name="东门", status="ON", parent_id=CAMERA)
    source = DeviceChannel(item=item, source=picture)
    return Device(
        CAMERA,
        server=f"{transport}://127.0.0.1:{server}",
        server_id=PLATFORM,
        password=password,
        channels=[source],
        keepalive_interval=1.0,
        media_ports=range(first_media_port, first_media_port + 8),
    )


async def start(sipp: Sipp, transport: str, media: int) -> None:
    keys = {"device": CAMERA, "camera": CAMERA, "media": str(media)}
    await sipp.start("sipp_platform.xml", "-t", f"{transport[0]}1", "-s", PLATFORM, keys=keys)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_foreign_platform_registers_asks_and_plays_our_device(
    transport: str,
    sipp: Sipp,
    ports: Callable[[int], int],
    wait_until: Callable[..., Awaitable[None]],
    av: None,
) -> None:
    """SIPp checks the digest, the catalogue, the answer's y= and the goodbye; RTP is read here."""
    first = ports(8)
    with socket.socket(type=socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        media.setblocking(False)
        media.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        await anext(picture().units())  # encoded now, or on a busy machine the call is over first
        await start(sipp, transport, media.getsockname()[1])
        async with camera(sipp.port, first, transport=transport, password="s3cret") as device:
            answered = await sipp.logged(r"answered port=(\d+)")
            assert int(answered[1]) in range(first, first + 8)
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(5):
                packets = [await loop.sock_recv(media, 2048) for _ in range(30)]
            await sipp.logged("call ended")
            await wait_until(lambda: not device.sessions, "the session ends")
            await sipp.logged("message Keepalive")
    heads = [struct.unpack_from("!BBHII", packet) for packet in packets]
    assert {(head[0], head[1] & 0x7F, head[4]) for head in heads} == {(0x80, 96, SSRC)}
    assert [(head[2] - heads[0][2]) & 0xFFFF for head in heads] == list(range(30))
    assert packets[0][12:16] == b"\0\0\1\xba"
    await sipp.logged("unregistered")
    assert "message Catalog sn=4711" in sipp.read("log")
    assert "refused" not in sipp.read("log")
    await sipp.finished(stop=True)


async def test_foreign_registrar_refuses_our_device_with_another_password(
    sipp: Sipp, ports: Callable[[int], int], wait_until: Callable[..., Awaitable[None]]
) -> None:
    """That SIPp computes the digest itself is what makes the other tests worth something."""
    await start(sipp, "udp", 40_000)
    async with camera(sipp.port, ports(8), transport="udp", password="wrong") as device:
        await sipp.logged("refused")
        link = device.link
        assert link is not None
        await wait_until(lambda: link.state is RegistrationState.BACKING_OFF, "it backs off")
        assert not device.is_registered
    await sipp.finished(stop=True)
