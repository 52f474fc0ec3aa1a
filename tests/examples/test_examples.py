"""Every example runs here against real roles on the loopback, as a user would run it."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gb28181.device import Device
from gb28181.edition import Edition
from gb28181.equipment.recordings import PatternRecordings
from gb28181.events import CatalogChanged, DeviceOnline
from gb28181.manscdp.alarm import AlarmNotify
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.codec import encode
from gb28181.media.source import PatternSource
from gb28181.platform import Platform
from gb28181.sessions.live import Backoff
from gb28181.sessions.serving import DeviceChannel

if TYPE_CHECKING:
    from gb28181.equipment.recordings import Recordings
    from rtp.access_unit import AccessUnit

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))

COUNTY = "34020000002000000001"
CITY = "34010000002000000001"
CAMERA = "34020000001320000001"
PUBLISHED = "34010000001320000077"
SECRET = "secret"
MEDIA_PORTS = range(44000, 44400)


class Said:
    """What an example printed, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    async def until(self, part: str, times: int = 1) -> str:
        """Wait until so many lines have had ``part`` in them; return the last one."""
        async with asyncio.timeout(20.0):
            while len(found := [line for line in self.lines if part in line]) < times:
                self._more.clear()
                await self._more.wait()
        return found[-1]


@pytest.fixture
def said() -> Said:
    return Said()


def load(name: str) -> ModuleType:
    path = next(one for one in EXAMPLES if one.stem == name)
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_address() -> str:
    """An address on the loopback that nobody listens at now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return f"udp://127.0.0.1:{one.getsockname()[1]}"


@asynccontextmanager
async def running(main: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run an example beside the block and end it as Ctrl-C would; its own errors fail the test."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(main)
        try:
            yield
        finally:
            task.cancel()


def camera_at(server: str, *, recordings: Recordings | None = None) -> Device:
    item = CatalogItem(device_id=CAMERA, name="东门 East gate", parent_id=CAMERA, status="ON")
    return Device(
        CAMERA,
        server=server,
        server_id=COUNTY,
        password=SECRET,
        channels=[DeviceChannel(item=item, source=PatternSource, recordings=recordings)],
        listen=("udp://127.0.0.1:0",),
        media_ports=MEDIA_PORTS,
        retry=0.2,
        retry_spread=0.0,
    )


async def some_units(platform: Platform, channel_id: str, count: int) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    async with asyncio.timeout(20.0), platform.channel(channel_id).play() as live:
        async for unit in live.units():
            units.append(unit)
            if len(units) == count:
                break
    return units


async def listed(platform: Platform, channel_id: str) -> None:
    async with asyncio.timeout(20.0), platform.events() as events:
        async for event in events:
            if isinstance(event, CatalogChanged) and channel_id in event.added:
                return


async def test_accept_devices_tells_of_a_device_and_of_its_alarm(said: Said) -> None:
    address = free_address()
    example = load("accept_devices")
    async with running(example.main(SECRET, [address], say=said)):
        async with camera_at(address) as camera:
            await said.until(f"{CAMERA} has {CAMERA} 东门 East gate ON")
            alarm = AlarmNotify(
                sn="1", device_id=CAMERA, priority="1", method="5", time="2024-05-01T08:00:00"
            )
            assert camera.link is not None
            assert await camera.link.send(encode(alarm, Edition.GB2016)) == 200
            await said.until(f"alarm of {CAMERA}, priority 1")
        await said.until(f"{CAMERA} is offline: the device unregistered")
    assert said.lines[0] == f"{CAMERA} is online"


async def test_play_with_reconnection_plays_again_when_the_camera_is_back(said: Said) -> None:
    address = free_address()
    example = load("play_with_reconnection")
    main = example.main(SECRET, listen=[address], retry=Backoff(0.1, 0.2), say=said)
    async with running(main):
        async with camera_at(address):
            await said.until("plays: first packet has")
        await said.until("lost (")
        async with camera_at(address):
            await said.until("plays: first packet has", times=2)


async def test_download_last_night_fetches_what_the_camera_has(said: Said, tmp_path: Path) -> None:
    address = free_address()
    start = datetime(2026, 1, 5, 22, 0, tzinfo=UTC)
    span = (start, start + timedelta(seconds=8))
    example = load("download_last_night")
    main = example.main(SECRET, span=span, to=str(tmp_path / "a.mp4"), listen=[address], say=said)
    async with running(main), camera_at(address, recordings=PatternRecordings([span])):
        await said.until("a.mp4: 40 pictures, 8 s")
    assert "missing" not in said.lines[-1]
    night = example.last_night(datetime(2026, 1, 6, 3, 0, tzinfo=UTC))
    assert [one.isoformat() for one in night] == [
        "2026-01-04T22:00:00+00:00", "2026-01-05T06:00:00+00:00",
    ]  # fmt: skip


async def test_cascade_shows_and_plays_the_camera_at_the_city(said: Said) -> None:
    county_address, city_address = free_address(), free_address()
    city = Platform(
        CITY,
        password_for=lambda _: "upper",
        listen=[city_address],
        media_ports=MEDIA_PORTS,
        catalog_interval=0.2,
    )
    example = load("cascade_under_upper")
    main = example.main(
        SECRET, "upper", city=city_address, listen=[county_address], retry=0.2, say=said
    )
    async with city:
        listing = asyncio.ensure_future(listed(city, PUBLISHED))
        async with running(main), camera_at(county_address):
            await said.until("REGISTERED")
            await listing
            assert city.channel(CAMERA).item is None
            units = await some_units(city, PUBLISHED, 20)
    assert units[0].is_key
    assert f"  {COUNTY} gateway ON" in said.lines


@pytest.fixture
async def county() -> AsyncIterator[Platform]:
    """A platform that is not started; what was opened is closed in the end."""
    platform = Platform(COUNTY, password_for=lambda _: SECRET, listen=[free_address()])
    yield platform
    await platform.stop()


async def test_fastapi_application_serves_the_devices(county: Platform) -> None:
    app = load("embed_in_fastapi").create_app(county)
    async with app.router.lifespan_context(app), client_of(app) as client:
        host, port = county.station.endpoint.listening[0][1]
        events = county.events()
        async with asyncio.timeout(20.0), camera_at(f"udp://{host}:{port}"):
            assert isinstance(await anext(events), DeviceOnline)
            assert isinstance(await anext(events), CatalogChanged)
            health = await client.get("/health")
            devices = await client.get("/devices")
        events.close()
    assert (health.status_code, health.json()["online"]) == (200, 1)
    assert devices.json() == [{"id": CAMERA, "online": True, "channels": 1}]


async def test_fastapi_health_is_503_with_the_cause_when_the_platform_has_died(
    county: Platform,
) -> None:
    async def die() -> None:
        raise RuntimeError("the endpoint fell over")

    app = load("embed_in_fastapi").create_app(county)
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.get("/health")).status_code == 200
        county.station.supervisor.spawn(die(), name="a part that the platform cannot live without")
        await county.wait_closed()
        health = await client.get("/health")
    assert health.status_code == 503
    assert "the endpoint fell over" in health.json()["cause"]


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://county")


async def test_simulated_camera_registers_and_sends_video(said: Said) -> None:
    address = free_address()
    platform = Platform(
        COUNTY, password_for=lambda _: SECRET, listen=[address], media_ports=MEDIA_PORTS
    )
    example = load("simulated_camera")
    async with platform:
        listing = asyncio.ensure_future(listed(platform, CAMERA))
        async with running(example.main(SECRET, address, say=said)):
            await listing
            units = await some_units(platform, CAMERA, 20)
    assert units[0].is_key
    assert said.lines == [f"{CAMERA} is registered at {address}"]


def test_simulated_network_example_passes_as_a_users_test_would() -> None:
    path = next(one for one in EXAMPLES if one.stem == "test_with_simulated_network")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)],
        cwd=path.parents[1],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "1 passed" in outcome.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short_and_has_a_test(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < 60
    assert f'"{path.stem}"' in Path(__file__).read_text("utf-8")
