"""Pictures that cameras upload: ordered, taken by an address of their own, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from gb28181.channel import Channel
from gb28181.commands.outcome import Outcome, Stage
from gb28181.edition import Edition
from gb28181.equipment.settings import EquipmentSettings
from gb28181.errors import CommandFailed, NoAnswer
from gb28181.events import CatalogChanged
from gb28181.media.source import PatternSource
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.simulation import Simulation
from gb28181.uploads import Uploads


def pattern_channel(channel: DeviceChannel) -> DeviceChannel:
    return replace(
        channel,
        source=lambda: PatternSource(audio=None, width=160, height=96, fps=5, seconds=4, gop=5),
    )


JPEG = b"\xff\xd8\xff\xe0 picture \xff\xd9"


class Camera(Channel):
    """Takes every order, and uploads as the test says."""

    def __init__(self, upload: Callable[[str], object] | None, *, takes: bool = True) -> None:
        self.id = "34020000001320000001"
        self._upload = upload
        self._takes = takes

    async def take_snapshots(self, config, *, insist: bool = False) -> Outcome:  # type: ignore[no-untyped-def]
        if self._upload is not None:
            asyncio.get_running_loop().call_soon(self._upload, config.upload_url)
        outcome = Outcome(command="SnapShotConfig", target=self.id)
        return outcome.then(Stage.DONE if self._takes else Stage.REFUSED, 0.0, "Result ERROR")


def client(uploads: Uploads) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(uploads))


async def answer_of(uploads: Uploads, method: str, **content: object) -> tuple[int, list[bytes]]:
    """Order a picture, upload once, and return the status and what came."""
    statuses: list[int] = []
    tasks: list[asyncio.Future[None]] = []

    async def upload(url: str) -> None:
        async with client(uploads) as http:
            response = await http.request(method, url, **content)  # type: ignore[arg-type]
            statuses.append(response.status_code)

    camera = Camera(lambda url: tasks.append(asyncio.ensure_future(upload(url))))
    try:
        pictures = await uploads.order(camera, timeout=0.2)
    except NoAnswer:
        pictures = []
    await asyncio.gather(*tasks)
    return statuses[0], pictures


@pytest.mark.parametrize(
    ("method", "content"),
    [
        ("POST", {"content": JPEG}),
        ("PUT", {"content": JPEG, "headers": {"Content-Type": "image/jpeg"}}),
        ("POST", {"files": {"anything": ("a.jpg", JPEG, "application/octet-stream")}}),
        (
            "POST",
            {"data": {"SessionID": "x"}, "files": {"file": ("a.jpg", JPEG, "image/jpeg")}},
        ),
    ],
    ids=["POST", "PUT", "form", "form with fields"],
)
async def test_a_picture_is_taken_in_every_form(method: str, content: dict[str, object]) -> None:
    uploads = Uploads("http://192.0.2.1:8080/snapshots")
    assert await answer_of(uploads, method, **content) == (200, [JPEG])
    assert uploads.refused == 0


@pytest.mark.parametrize(
    ("method", "content", "status"),
    [
        ("GET", {}, 405),
        ("POST", {"content": b"GIF89a"}, 415),
        ("POST", {"content": b""}, 415),
        ("POST", {"content": JPEG + bytes(5000)}, 413),
        ("POST", {"files": {"file": ("a.exe", b"MZ", "image/jpeg")}}, 415),
        ("POST", {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 415),
    ],
    ids=["GET", "no JPEG", "empty", "too large", "a form without a picture", "no boundary"],
)
async def test_what_is_no_picture_is_refused_and_counted(
    method: str, content: dict[str, object], status: int
) -> None:
    uploads = Uploads("http://192.0.2.1:8080/snapshots", max_bytes=4000)
    assert await answer_of(uploads, method, **content) == (status, [])
    assert uploads.refused == 1


async def test_nobody_uploads_without_an_order_or_after_it() -> None:
    uploads = Uploads("http://192.0.2.1:8080/snapshots/")
    urls: list[str] = []
    with pytest.raises(NoAnswer, match="uploaded nothing"):
        await uploads.order(Camera(urls.append), timeout=0.01)
    async with client(uploads) as http:
        for url in (*urls, "http://192.0.2.1:8080/snapshots/", "http://192.0.2.1:8080/"):
            assert (await http.post(url, content=JPEG)).status_code == 404
    assert urls[0].startswith("http://192.0.2.1:8080/snapshots/")


async def test_a_refused_order_is_an_error_at_once() -> None:
    uploads = Uploads("http://192.0.2.1:8080/snapshots")
    with pytest.raises(CommandFailed, match="SnapShotConfig"):
        await uploads.order(Camera(None, takes=False), timeout=100)


async def test_a_camera_of_2022_uploads_its_own_pictures(gb: Simulation) -> None:
    uploads = Uploads("http://192.0.2.1:8080/snapshots")
    platform = await gb.platform()
    camera = await gb.device(
        edition=Edition.GB2022, equipment=EquipmentSettings(web=lambda: client(uploads))
    )
    (channel_id,) = camera.channels
    camera.role.channels[channel_id] = pattern_channel(camera.role.channels[channel_id])
    await gb.until(CatalogChanged)
    pictures = await uploads.order(platform.channel(channel_id), count=3, interval=2)
    assert [picture[:3] for picture in pictures] == [JPEG[:3]] * 3
    one = await platform.channel(channel_id).snapshot(uploads=uploads)
    assert one.startswith(JPEG[:3])
    assert camera.role.sessions == []  # no INVITE was needed


async def test_a_camera_of_2016_is_asked_for_its_stream_instead(gb: Simulation) -> None:
    uploads = Uploads("http://192.0.2.1:8080/snapshots")
    platform = await gb.platform()
    camera = await gb.device(edition=Edition.GB2016)
    (channel_id,) = camera.channels
    camera.role.channels[channel_id] = pattern_channel(camera.role.channels[channel_id])
    await gb.until(CatalogChanged)
    picture = await platform.channel(channel_id).snapshot(uploads=uploads)
    assert picture.startswith(JPEG[:3])
    assert uploads.refused == 0
