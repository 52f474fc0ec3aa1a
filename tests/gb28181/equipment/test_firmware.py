"""Restart and upgrade: the device really goes and comes back, with what it runs then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gb28181.edition import Edition
from gb28181.equipment.settings import EquipmentSettings
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.codec import encode
from gb28181.manscdp.control import DeviceControl, DeviceUpgrade, PtzPrecise
from gb28181.manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from gb28181.manscdp.notices import DeviceUpgradeResultNotify
from gb28181.manscdp.ptz_state import PtzPositionQuery, PtzPositionResponse
from gb28181.media.source import ClipSource
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.desk import DEVICE_ID, Desk
from gb28181.testing.simulation import Simulation
from gb28181.testing.synthetic import synthetic_clip

CAMERA = "34020000001320000001"
SESSION = "0f8c2a7e-5d41-4b0e-9d3a-7a6d1c22b901"
App = Callable[[Any, Any, Any], Awaitable[None]]


def app(status: int = 200, body: bytes = b"firmware", wait: float = 0.0) -> App:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(wait)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return serve


def desk(gb: Simulation, web: App | None = None, **settings: Any) -> Desk:
    item = CatalogItem(device_id=CAMERA, name="gate", parent_id=DEVICE_ID, status="ON")
    channel = DeviceChannel(item=item, source=lambda: ClipSource(synthetic_clip()))

    def client() -> httpx.AsyncClient:
        assert web is not None
        return httpx.AsyncClient(transport=httpx.ASGITransport(web))

    equipment = EquipmentSettings(web=client if web else None, max_firmware=1000, boot_time=5.0)
    return Desk(gb.network, [channel], equipment=equipment, **settings)


def upgrade(sn: str = "1", **said: Any) -> DeviceControl:
    order = {
        "firmware": "V5.2.1", "file_url": "http://192.0.2.1/fw.bin", "manufacturer": "GB28181",
        "session_id": SESSION, **said,
    }  # fmt: skip
    return DeviceControl(sn=sn, device_id=DEVICE_ID, device_upgrade=DeviceUpgrade(**order))


async def firmware_of(room: Desk) -> str | None:
    (info,) = await room.ask(DeviceInfoQuery(sn=room.next_sn() + "00", device_id=DEVICE_ID))
    assert isinstance(info, DeviceInfoResponse)
    return info.firmware


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_upgrade_is_fetched_installed_and_told_after_the_restart(
    gb: Simulation, transport: str
) -> None:
    async with desk(gb, app(), transport=transport) as room:
        assert await firmware_of(room) == "0.1.0"
        (answer,) = await room.ask(upgrade())
        assert answer.result == "OK"  # type: ignore[attr-defined]
        await room.until(lambda: room.of(DeviceUpgradeResultNotify))
        (notice,) = room.of(DeviceUpgradeResultNotify)
        assert (notice.session_id, notice.upgrade_result) == (SESSION, "OK")
        assert (notice.firmware, notice.upgrade_failed_reason) == ("V5.2.1", None)
        assert [request.expires for request in room.registers] == [3600, 0, 3600]
        assert await firmware_of(room) == "V5.2.1"


@pytest.mark.parametrize(
    ("web", "reason"),
    [
        (app(wait=100.0), "01"),
        (app(body=b"x" * 2000), "02"),
        (app(body=b""), "02"),
        (app(status=404), "99"),
    ],
)
async def test_an_upgrade_that_fails_says_why_and_changes_nothing(
    gb: Simulation, web: App, reason: str
) -> None:
    async with desk(gb, web) as room:
        await room.ask(upgrade())
        await room.until(lambda: room.of(DeviceUpgradeResultNotify))
        (notice,) = room.of(DeviceUpgradeResultNotify)
        assert (notice.upgrade_result, notice.upgrade_failed_reason) == ("ERROR", reason)
        assert notice.firmware == "0.1.0"
        assert len(room.registers) == 1
        # And it may be tried again.
        answer, *_ = await room.ask(upgrade("2"), within=0.5)
        assert answer.result == "OK"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "said",
    [
        {"file_url": "ftp://192.0.2.1/fw.bin"},
        {"manufacturer": "ACME"},
        {"session_id": "s" * 129},
    ],
)
async def test_an_upgrade_that_cannot_be_begun_is_an_error(
    gb: Simulation, said: dict[str, Any]
) -> None:
    async with desk(gb, app()) as room:
        (answer,) = await room.ask(upgrade(**said))
        assert answer.result == "ERROR"  # type: ignore[attr-defined]
        await gb.advance(30)
        assert room.of(DeviceUpgradeResultNotify) == []


async def test_a_second_upgrade_has_to_wait(gb: Simulation) -> None:
    async with desk(gb, app(wait=20.0)) as room:
        answers = await room.ask(upgrade()) + await room.ask(upgrade("2"))
        assert [one.result for one in answers] == ["OK", "ERROR"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("edition", [Edition.GB2016, Edition.GB2022])
async def test_a_restart_leaves_is_silent_and_comes_back_with_what_is_on_its_disk(
    gb: Simulation, edition: Edition
) -> None:
    async with desk(gb, edition=edition) as room:
        move = DeviceControl(sn="1", device_id=CAMERA, record_cmd="Record")
        await room.ask(move)
        recorder = room.device.inventory.units[CAMERA].recorder
        assert recorder.is_recording
        boot = DeviceControl(sn="2", device_id=DEVICE_ID, tele_boot="Boot")
        assert await room.ask(boot) == []
        assert not room.device.is_registered
        assert not recorder.is_recording
        query = DeviceInfoQuery(sn="3", device_id=DEVICE_ID)
        assert (await room.request("MESSAGE", encode(query, edition))).status == 503
        await room.until(lambda: room.device.is_registered)
        assert [request.expires for request in room.registers] == [3600, 0, 3600]
        calls = {request.call_id for request in room.registers}
        assert len(calls) == 2
        # And once more.
        await room.ask(boot)
        await gb.advance(10)
        assert len(room.registers) == 5
        assert await room.ask(query)


async def test_a_restart_whose_goodbye_is_lost_comes_back_all_the_same(gb: Simulation) -> None:
    async with desk(gb) as room:
        await room.send(DeviceControl(sn="1", device_id=DEVICE_ID, tele_boot="Boot"))
        gb.network.partition("10.0.0.1", "10.0.1.1")
        await gb.advance(120)
        gb.network.heal()
        await room.until(lambda: room.device.is_registered, within=120)


async def test_a_head_stands_where_it_was_after_a_restart(gb: Simulation) -> None:
    async with desk(gb) as room:
        precise = PtzPrecise(pan=90.0)
        await room.ask(DeviceControl(sn="1", device_id=CAMERA, ptz_precise_ctrl=precise), within=5)
        await room.ask(DeviceControl(sn="2", device_id=DEVICE_ID, tele_boot="Boot"), within=20)
        (where,) = await room.ask(PtzPositionQuery(sn="3", device_id=CAMERA))
        assert isinstance(where, PtzPositionResponse)
        assert where.pan == 90.0
