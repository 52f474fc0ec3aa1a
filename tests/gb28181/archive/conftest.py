"""A camera with a disk, a platform with an archive, and what befalls them, on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from gb28181.archive.archive import Archive, ArchiveSettings
from gb28181.archive.index import Index
from gb28181.archive.plan import Plan
from gb28181.device import Device
from gb28181.equipment.recordings import RecordedFile
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.moments import Span, joined
from gb28181.media.source import Clip, ClipSource, Group, pattern_clip
from gb28181.platform import Platform
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.simulation import PASSWORD, Simulation
from rtp.access_unit import Codec

BASE = datetime(2024, 5, 1, tzinfo=UTC).timestamp()
CAMERA = "34020000001320000001"
PLATFORM = "34020000002000000001"
TICKS = 90_000
FILE = 600
TICKS = 90_000


def picture() -> Clip:
    """One picture a second, each for itself, so that days of it are cheap."""
    return pattern_clip(video=Codec.H264, audio=None, width=160, height=96, fps=1, seconds=4, gop=1)


class Disk:
    """A camera's own disk: it records whenever the camera has power."""

    def __init__(self, world: World) -> None:
        self.powered: list[Span] = []
        self.since: float | None = None
        self._world = world

    def power(self, *, on: bool) -> None:
        now = self._world.clock()
        if self.since is not None:
            self.powered.append((self.since, now))
        self.since = now if on else None

    def all(self) -> list[Span]:
        running = [] if self.since is None else [(self.since, self._world.clock())]
        return joined([*self.powered, *running], 0, self._world.clock())

    def find(self, start: datetime, end: datetime, *, kind: str = "all") -> list[RecordedFile]:
        found = []
        for first, last in self.all():
            cuts = [first, *range(int(first // FILE + 1) * FILE, int(last), FILE), last]
            for a, b in pairwise(cuts):
                if a < end.timestamp() and b > start.timestamp():
                    found.append(
                        RecordedFile(
                            start=datetime.fromtimestamp(a, UTC),
                            end=datetime.fromtimestamp(b, UTC),
                            name=f"{a:.0f}",
                            path=f"/{a:.0f}",
                            size=1000,
                        )
                    )
        return found

    def source(self, start: datetime, end: datetime, *, kind: str = "all") -> Tape:
        return Tape(self._world.clip, joined(self.all(), start.timestamp(), end.timestamp()), start)


class Tape:
    """Some time of the disk."""

    video = Codec.H264
    audio = None
    size = None

    def __init__(self, clip: Clip, spans: list[Span], start: datetime) -> None:
        self._clip, self._spans, self._start = clip, spans, start.timestamp()
        self.duration = spans[-1][1] - self._start if spans else 0.0

    async def groups(
        self, position: float, *, reverse: bool = False
    ) -> AsyncGenerator[Group, None]:
        at = int(self._start + position)
        for first, last in self._spans:
            for second in range(max(int(first), at), int(last)):
                begin = round((second - self._start) * TICKS)
                unit = self._clip.units[second % 4]
                yield Group(
                    start=begin,
                    duration=TICKS,
                    units=(replace(unit, pts=begin, dts=begin),),
                )


class World:
    """The camera, the platform and the archive, each of which can go and come back."""

    def __init__(self, gb: Simulation, folder: Path, plan: Plan, **settings: float) -> None:
        self.gb = gb
        self._loop = asyncio.get_running_loop()
        self.folder = folder
        self.plan = plan
        self.settings = replace(ArchiveSettings(), length=3600.0, min_free=0, **settings)  # type: ignore[arg-type]
        self.clip = picture()
        self.disk = Disk(self)
        self.refuses: list[Span] = []
        self.camera: Device | None = None
        self.platform: Platform | None = None
        self.archive: Archive | None = None

    def clock(self) -> float:
        return BASE + self._loop.time()  # is asked in threads, too

    async def start_platform(self) -> None:
        host = self.gb.network.host("10.0.0.1")
        self.platform = Platform(
            PLATFORM,
            password_for=lambda device_id: PASSWORD,
            listen=("udp://:5060", "tcp://:5060"),
            network=host,
            media_mode="tcp-passive",
        )
        await self.gb.keep(self.platform, host)
        self.archive = Archive(
            self.platform, self.folder, [self.plan], settings=self.settings, clock=self.clock
        )
        await self.archive.start()

    async def stop_platform(self) -> None:
        assert self.archive is not None
        assert self.platform is not None
        await self.archive.stop()
        await self.gb.power_off(self.platform)

    async def start_camera(self) -> None:
        host = self.gb.network.host("10.0.1.1")
        self.camera = Device(
            CAMERA,
            server="udp://10.0.0.1:5060",
            server_id=PLATFORM,
            password=PASSWORD,
            channels=[
                DeviceChannel(
                    item=CatalogItem(device_id=CAMERA, name="gate", parent_id=CAMERA, status="ON"),
                    source=lambda: ClipSource(self.clip),
                    recordings=self.disk,
                )
            ],
            retry=20.0,
            retry_spread=5.0,
            network=host,
        )
        self.disk.power(on=True)
        await self.gb.keep(self.camera, host)

    async def stop_camera(self) -> None:
        assert self.camera is not None
        self.disk.power(on=False)
        await self.gb.power_off(self.camera)

    # What can befall them

    async def reboot(self, seconds: float) -> None:
        await self.stop_camera()
        await asyncio.sleep(seconds)
        await self.start_camera()

    async def cut_the_link(self, seconds: float) -> None:
        assert self.camera is not None
        host = self.gb.host_of(self.camera)
        host.vanish()
        await asyncio.sleep(seconds)
        host.reappear()

    async def refuse(self, seconds: float) -> None:
        """Busy with somebody else: who watches is thrown out, who asks gets 486."""
        assert self.camera is not None
        serving = self.camera.serving
        limit, serving.max_sessions = serving.max_sessions, 0
        await serving.end("somebody more important", timeout=1.0)
        await asyncio.sleep(seconds)
        serving.max_sessions = limit

    async def restart_platform(self, seconds: float) -> None:
        await self.stop_platform()
        await asyncio.sleep(seconds)
        await self.start_platform()

    def index(self) -> Index:
        assert self.archive is not None
        return self.archive.index


@pytest.fixture
async def gb() -> AsyncIterator[Simulation]:
    async with Simulation(limit=400 * 86_400) as world:
        yield world


@pytest.fixture
def worlds() -> type[World]:
    """``worlds(gb, tmp_path, Plan(...))``."""
    return World
