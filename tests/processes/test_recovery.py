"""Each level killed during live video: the others notice, say why, and all comes back by itself."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gb28181.gateway.control import ControlFailed, converse

if TYPE_CHECKING:
    from tests.processes.conftest import Village

pytestmark = pytest.mark.slow

RECOVERY = 20.0
"""Seconds from a restart until the picture is back."""


class Watcher:
    """A viewer in the province that wants both cameras, for ever."""

    def __init__(self, village: Village) -> None:
        self._village = village
        self.told: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                socket = self._village.socket("province")
                async for message in converse(
                    socket, "watch", channels=list(self._village.cameras)
                ):
                    self.told.append(message["progress"])
                    self._news.set()
            except ControlFailed:
                await asyncio.sleep(0.2)

    def forget(self) -> None:
        self.told.clear()

    async def hears(self, event: str, channel: str, *, within: float) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while True:
                for told in self.told:
                    if told["event"] == event and told["channel"] == channel:
                        return told
                self._news.clear()
                await self._news.wait()


async def everything(village: Village) -> None:
    for name in ("province", "county", "camera0", "camera1"):
        await village.start(name)
    await village.until("province", lambda state: len(state["channels"]) == 2, within=20)


def frames_of(state: dict[str, Any], channel: str) -> int:
    return next((one["packets"] for one in state["streams"] if one["channel"] == channel), 0)


async def pictures_flow(village: Village, channel: str, *, within: float) -> None:
    """Packets of the channel reach the province, and go on reaching it."""
    state = await village.until(
        "province", lambda state: frames_of(state, channel) > 0, within=within
    )
    before = frames_of(state, channel)
    await village.until("province", lambda now: frames_of(now, channel) > before + 20, within=10)


async def test_a_killed_camera_is_noticed_and_comes_back(village: Village) -> None:
    await everything(village)
    watcher = Watcher(village)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watcher.run())
        await pictures_flow(village, village.cameras[0], within=10)
        await pictures_flow(village, village.cameras[1], within=10)
        watcher.forget()
        await village.kill("camera0")
        lost = await watcher.hears("lost", village.cameras[0], within=12)
        # The reason of the county's BYE is heard in the province.
        assert "no RTP" in lost["sentence"] or "heartbeat" in lost["sentence"], lost
        state = await village.until(
            "county", lambda now: not online(now, village.cameras[0]), within=12
        )
        assert online(state, village.cameras[1])
        assert not [one for one in watcher.told if one["channel"] == village.cameras[1]]
        await village.start("camera0")
        await pictures_flow(village, village.cameras[0], within=RECOVERY)
        watching.cancel()


@pytest.mark.parametrize("workers", [0, 2])
async def test_a_killed_county_is_noticed_on_both_sides_and_comes_back(
    village: Village, workers: int
) -> None:
    county = village.folder / "county.toml"
    county.write_text(county.read_text().replace("[media]\n", f"[media]\nworkers = {workers}\n"))
    await everything(village)
    pids = workers_of(village.processes["county"].pid)
    assert len(pids) == workers
    watcher = Watcher(village)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watcher.run())
        await pictures_flow(village, village.cameras[0], within=10)
        watcher.forget()
        await village.kill("county")
        lost = await watcher.hears("lost", village.cameras[0], within=12)
        assert village.county in lost["sentence"] or "no RTP" in lost["sentence"], lost
        await village.until("province", lambda state: not online(state, village.county), within=12)
        assert not any(map(is_there, pids))  # no orphans
        camera = await village.until("camera0", lambda now: not now["registered"], within=12)
        assert camera["sessions"] == []
        await village.start("county")
        for channel in village.cameras:
            await pictures_flow(village, channel, within=RECOVERY)
        watching.cancel()


async def test_a_killed_province_is_noticed_and_comes_back(village: Village) -> None:
    await everything(village)
    watcher = Watcher(village)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watcher.run())
        await pictures_flow(village, village.cameras[0], within=10)
        await village.kill("province")
        state = await village.until(
            "county", lambda state: not state["cascades"][0]["registered"], within=12
        )
        assert "heartbeat" in state["cascades"][0]["reason"]
        await village.until("county", lambda state: not state["streams"], within=8)
        camera = await village.until("camera0", lambda state: not state["sessions"], within=5)
        assert camera["registered"]
        await village.start("province")
        for channel in village.cameras:
            await pictures_flow(village, channel, within=RECOVERY)
        watching.cancel()


def online(state: dict[str, Any], device_id: str) -> bool:
    return any(one["online"] for one in state["devices"] if one["id"] == device_id)


def workers_of(pid: int) -> list[int]:
    """The media workers of a gateway."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    command_of = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in children}
    return [one for one, command in command_of.items() if b"media.worker" in command]


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_killed_media_workers_are_started_again_and_the_streams_come_back(
    village: Village,
) -> None:
    county = village.folder / "county.toml"
    county.write_text(county.read_text().replace("[media]\n", "[media]\nworkers = 2\n"))
    await everything(village)
    pid = village.processes["county"].pid
    workers = workers_of(pid)
    assert len(workers) == 2
    watcher = Watcher(village)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watcher.run())
        for channel in village.cameras:
            await pictures_flow(village, channel, within=10)
        watcher.forget()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        for channel in village.cameras:
            lost = await watcher.hears("lost", channel, within=12)
            # The reason of the county's BYE is heard in the province.
            assert "died: killed by SIGKILL" in lost["sentence"], lost
        for channel in village.cameras:
            await pictures_flow(village, channel, within=RECOVERY)
        state = await village.status("county")
        assert state["health"]["workers"] == 2
        assert not set(workers) & set(workers_of(pid))
        watching.cancel()
    await village.until("county", lambda state: not state["streams"], within=8)
    health = (await village.status("county"))["health"]
    assert (health["receivers"], health["sinks"], health["leased_ports"]) == (0, 0, 0)
