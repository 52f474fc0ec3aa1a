"""Pictures ordered by a platform: taken of the channel's own video, uploaded, told of."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from gb28181.equipment.settings import EquipmentSettings
from gb28181.equipment.snapshots import file_id, take_picture
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.config import SnapShotConfig
from gb28181.manscdp.device_config import ConfigDownloadQuery, DeviceConfig
from gb28181.manscdp.notices import UploadSnapShotFinishedNotify
from gb28181.manscdp.values import BEIJING
from gb28181.media.packets import frame_to_rgb
from gb28181.media.pattern import read_counter
from gb28181.media.source import FileSource, PatternSource
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.desk import DEVICE_ID, Desk
from gb28181.testing.simulation import Simulation
from rtp.access_unit import Codec
from rtp.errors import LocalProtocolError

CAMERA = "34020000001320000001"
SESSION = "7f2d5b7e-0000-4a1a-8d3e-112233445566"
MORNING = datetime(2024, 5, 1, 8, 0, 0, 123_000, tzinfo=BEIJING)


def pattern() -> PatternSource:
    return PatternSource(audio=None, width=160, height=96, fps=5, seconds=4, gop=5)


class Uploads:
    """A server that takes pictures, but not those whose number it is told to refuse."""

    def __init__(self, *refused: int) -> None:
        self.bodies: list[bytes] = []
        self._refused = refused

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            piece = await receive()
            body += piece.get("body", b"")
            more = piece.get("more_body", False)
        self.bodies.append(body)
        status = 500 if len(self.bodies) in self._refused else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self))


def desk(gb: Simulation, uploads: Uploads, **settings: Any) -> Desk:
    item = CatalogItem(device_id=CAMERA, name="gate", parent_id=DEVICE_ID, status="ON")
    source = settings.pop("source", pattern)
    equipment = EquipmentSettings(
        web=uploads.client,
        clock=lambda: MORNING + timedelta(seconds=asyncio.get_running_loop().time()),
    )
    channel = DeviceChannel(item=item, source=source)
    return Desk(gb.network, [channel], equipment=equipment, **settings)


def order(number: int = 1, device_id: str = CAMERA) -> DeviceConfig:
    block = SnapShotConfig(
        snap_num=number, interval=2, upload_url="http://192.0.2.1/snap/", session_id=SESSION
    )
    return DeviceConfig(sn="9", device_id=device_id, snapshot_config=block)


def counter_of(jpeg: bytes) -> int | None:
    decoder = av.CodecContext.create("mjpeg", "r")
    (frame,) = decoder.decode(av.Packet(jpeg))
    return read_counter(frame_to_rgb(frame))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("asked", [CAMERA, DEVICE_ID])
async def test_pictures_are_taken_uploaded_and_told_of(
    gb: Simulation, transport: str, asked: str
) -> None:
    uploads = Uploads()
    async with desk(gb, uploads, transport=transport) as room:
        (answer,) = await room.ask(order(3, asked), within=0.5)
        assert answer.result == "OK"  # type: ignore[attr-defined]
        await room.until(lambda: room.of(UploadSnapShotFinishedNotify))
        (notice,) = room.of(UploadSnapShotFinishedNotify)
        assert (notice.device_id, notice.session_id) == (CAMERA, SESSION)
        assert len(notice.files) == 3
        assert all(len(name) == 41 and name.startswith(f"{CAMERA}02") for name in notice.files)
        for number, (name, body) in enumerate(zip(notice.files, uploads.bodies, strict=True)):
            assert f'filename="{name}.jpg"'.encode() in body
            assert SESSION.encode() in body
            jpeg = body[body.index(b"\xff\xd8") : body.rindex(b"\xff\xd9") + 2]
            # Five pictures a second, two seconds between: its own video, at that moment.
            assert counter_of(jpeg) == (number * 10) % 20
        query = ConfigDownloadQuery(sn="10", device_id=CAMERA, config_type="SnapShotConfig")
        (told,) = await room.ask(query)
        assert told.snapshot_config.session_id == SESSION  # type: ignore[attr-defined]


async def test_fewer_files_tell_of_a_failure_in_part(gb: Simulation) -> None:
    uploads = Uploads(2)
    async with desk(gb, uploads) as room:
        await room.ask(order(3))
        await room.until(lambda: room.of(UploadSnapShotFinishedNotify))
        (notice,) = room.of(UploadSnapShotFinishedNotify)
        assert [name[-2:] for name in notice.files] == ["01", "03"]


async def test_a_channel_without_video_gives_no_picture(gb: Simulation) -> None:
    uploads = Uploads()
    async with desk(gb, uploads, source=lambda: PatternSource(video=None)) as room:
        await room.ask(order(1))
        await room.until(lambda: room.of(UploadSnapShotFinishedNotify))
        (notice,) = room.of(UploadSnapShotFinishedNotify)
        assert (notice.files, uploads.bodies) == ((), [])


async def test_a_file_that_has_gone_gives_no_picture(gb: Simulation, tmp_path: Path) -> None:
    gone = FileSource(tmp_path / "gone.mp4", video=Codec.H264, audio=None, length=None, loop=True)
    async with desk(gb, Uploads(), source=lambda: gone) as room:
        await room.ask(order(1))
        await room.until(lambda: room.of(UploadSnapShotFinishedNotify))
        assert room.of(UploadSnapShotFinishedNotify)[0].files == ()


async def test_a_second_order_has_to_wait(gb: Simulation) -> None:
    async with desk(gb, Uploads()) as room:
        answers = await room.ask(order(3), within=0.5) + await room.ask(order(1), within=0.5)
        assert [one.result for one in answers] == ["OK", "ERROR"]  # type: ignore[attr-defined]


def test_the_name_of_a_picture_tells_whose_and_when() -> None:
    assert file_id(CAMERA, MORNING, 1) == f"{CAMERA}022024050108000012301"


async def test_a_source_without_pictures_gives_none() -> None:
    silent = PatternSource(video=None, seconds=4)
    with pytest.raises(LocalProtocolError):
        await take_picture(silent, after=0.0)
