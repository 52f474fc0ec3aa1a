"""What devices send a platform: answered by the rules, counted, and told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gb28181.events import (
    CatalogChanged,
    Notice,
    Position,
    PtzPosition,
    StatusChanged,
    UnknownCommand,
)
from gb28181.manscdp.catalog import CatalogItem, CatalogNotify
from gb28181.manscdp.codec import CONTENT_TYPE
from gb28181.manscdp.control import DeviceControlResponse
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.manscdp.notices import (
    DeviceUpgradeResultNotify,
    UploadSnapShotFinishedNotify,
    VideoUploadNotify,
)
from gb28181.manscdp.position import MobilePositionNotify, MobilePositionResponse, PositionItem
from gb28181.manscdp.ptz_state import PtzPositionNotify
from gb28181.testing.answering import AnsweringDevice
from gb28181.testing.simulation import Simulation
from sip.message import Headers, Request

Make = Callable[..., Awaitable[AnsweringDevice]]


CAMERA = "34020000001320000077"


def body(root: str, *elements: str) -> bytes:
    return f'<?xml version="1.0"?>\n<{root}>\n{"".join(elements)}\n</{root}>'.encode()


ALIVE, SN = "<CmdType>Keepalive</CmdType>", "<SN>1</SN>"
ID, OK = f"<DeviceID>{CAMERA}</DeviceID>", "<Status>OK</Status>"


@pytest.mark.parametrize(
    ("said", "status", "counter"),
    [
        (body("Notify", ALIVE, SN, ID, OK), 200, ""),
        (body("Notify", "<CmdType>Weather</CmdType>", SN, ID), 200, "unknown-command"),
        (body("Response", "<CmdType>Catalog</CmdType>", SN, ID, "<SumNum>0</SumNum>"), 200,
         "unasked-answer"),
        (body("Telemetry", ALIVE, SN, ID, OK), 400, "malformed"),
        (body("Notify", SN, ID, OK), 400, "malformed"),
        (body("Notify", ALIVE, ID, OK), 400, "no-sn"),
        (body("Notify", ALIVE, SN, OK), 400, "no-device-id"),
        (body("Response", "<CmdType>DeviceInfo</CmdType>", ID), 400, "no-sn"),
        (b"\xff\xfe\x00nothing of use", 400, "malformed"),
        (b"<Notify", 400, "malformed"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]>' + body("Notify", ALIVE, SN, ID), 400, "malformed"),
    ],
)  # fmt: skip
async def test_bad_input_is_answered_by_the_rules_and_counted(
    gb: Simulation, answering: Make, said: bytes, status: int, counter: str
) -> None:
    device = await answering()
    assert await device.say(said) == status
    assert dict(device.platform.inbox.counters) == ({counter: 1} if counter else {})
    # It lives on, and so does the device.
    assert device.remote.is_online
    assert await device.say(KeepaliveNotify(sn="9", device_id=device.id, status="OK")) == 200


async def test_an_unknown_command_is_an_event_with_all_that_it_said(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    said = body("Notify", "<CmdType>Weather</CmdType>", SN, ID, "<Rain>12</Rain>")
    assert await device.say(said) == 200
    event = await gb.until(UnknownCommand)
    assert event is not None
    assert event.device is device.remote
    assert (event.message.root, event.message.cmd_type) == ("Notify", "Weather")
    assert [(one.name, one.text) for one in event.message.extra] == [("Rain", "12")]
    assert device.remote.quirks_seen["unknown command Notify/Weather"] == 1


async def test_an_answer_where_the_standard_has_none_is_seen_and_harmless(
    answering: Make,
) -> None:
    """Many devices answer PTZCmd with a DeviceControl response."""
    device = await answering()
    answer = DeviceControlResponse(sn="77", device_id=CAMERA)
    assert await device.say(answer) == 200
    assert device.remote.quirks_seen["unasked Response/DeviceControl"] == 1
    assert device.platform.unknown_commands == 1


async def test_a_body_of_another_type_is_415(answering: Make) -> None:
    device = await answering()
    server = device.platform.id
    for content_type, status in (
        ("text/plain", 415),
        (CONTENT_TYPE.upper(), 200),
        (f"{CONTENT_TYPE}; charset=GB2312", 200),
        ("", 200),
    ):
        headers = Headers(
            [
                ("From", f"<sip:{device.id}@3402000000>"),
                ("To", f"<sip:{server}@3402000000>"),
                *([("Content-Type", content_type)] if content_type else []),
            ]
        )
        request = Request(
            "MESSAGE", f"sip:{server}@3402000000", headers, body("Notify", ALIVE, SN, ID, OK)
        )
        response = await device.camera.endpoint.request(request, device.server)
        assert response.status == status
        assert response.headers.get("Accept") == (CONTENT_TYPE if status == 415 else None)
    assert dict(device.platform.inbox.counters) == {"foreign-type": 1}


async def test_a_stranger_is_refused_and_counted(answering: Make) -> None:
    device = await answering()
    stranger = "34020000001320000999"
    await device.camera.register(expires=0)
    notify = KeepaliveNotify(sn="1", device_id=stranger, status="OK")
    assert await device.say(notify, sender=stranger) == 403
    assert device.platform.inbox.counters["not-registered"] == 1
    assert stranger not in device.platform.devices


async def test_a_message_under_another_name_is_known_by_its_address(answering: Make) -> None:
    """Hikvision signs MediaStatus with an id that is not the device's."""
    device = await answering()
    notify = KeepaliveNotify(sn="1", device_id=CAMERA, status="OK")
    assert await device.say(notify, sender=CAMERA) == 200
    assert device.remote.quirks_seen["From is not the device"] == 1


async def test_repairs_are_kept_with_the_device(gb: Simulation, answering: Make) -> None:
    device = await answering()
    await device.say(body("Notify", ALIVE, SN, ID, "<Status>OK</Status>", "<Info>A & B</Info>"))
    assert any("&" in name for name in device.remote.quirks_seen)
    assert await device.say(b"<Notify") == 400
    assert device.remote.quirks_seen["a body that cannot be read"] == 1
    assert device.remote.quirks_seen.last("a body that cannot be read") is not None


# News -----------------------------------------------------------------------------------------


async def news(gb: Simulation, device: AnsweringDevice, message: Any, kind: type[Any]) -> Any:
    assert await device.say(message) == 200
    return await gb.until(kind, within=1)


async def test_positions_of_both_editions_are_events(gb: Simulation, answering: Make) -> None:
    device = await answering()
    flat = MobilePositionNotify(
        sn="1", device_id=CAMERA, time="2024-05-01T08:00:05", longitude=118.37, latitude=31.33
    )
    told = await news(gb, device, flat, Position)
    assert (told.channel_id, told.item.longitude, told.item.latitude) == (CAMERA, 118.37, 31.33)
    items = tuple(
        PositionItem(device_id=f"3402000000138000000{number}", longitude=float(number))
        for number in (1, 2)
    )
    listed = MobilePositionNotify(sn="2", device_id=device.id, sum_num=2, items=items)
    first = await news(gb, device, listed, Position)
    second = await gb.until(Position)
    assert second is not None
    assert [first.channel_id, second.channel_id] == [item.device_id for item in items]
    answer = MobilePositionResponse(sn="3", device_id=CAMERA, longitude=1.0, latitude=2.0)
    told = await news(gb, device, answer, Position)
    assert told.item.latitude == 2.0
    assert device.remote.quirks_seen["MobilePosition told by Response"] == 1


async def test_the_position_of_a_device_with_one_channel_is_that_channels(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    device.platform.catalogs.arrived(device.remote, (CatalogItem(device_id=CAMERA),))
    notify = MobilePositionNotify(sn="1", device_id=device.id, longitude=1.0, latitude=2.0)
    assert (await news(gb, device, notify, Position)).channel_id == CAMERA


async def test_where_a_camera_looks_is_an_event(gb: Simulation, answering: Make) -> None:
    device = await answering()
    told = await news(
        gb, device, PtzPositionNotify(sn="1", device_id=CAMERA, pan=12.5), PtzPosition
    )
    assert (told.channel_id, told.notify.pan) == (CAMERA, 12.5)


@pytest.mark.parametrize(
    "notify",
    [
        UploadSnapShotFinishedNotify(sn="1", device_id=CAMERA, session_id="a" * 32, files=("x",)),
        DeviceUpgradeResultNotify(sn="1", device_id=CAMERA, session_id="a" * 32, firmware="V2"),
        VideoUploadNotify(sn="1", device_id=CAMERA, time="2024-05-01T08:00:00"),
    ],
)
async def test_what_a_device_reports_of_itself_is_a_notice(
    gb: Simulation, answering: Make, notify: Any
) -> None:
    device = await answering()
    told = await news(gb, device, notify, Notice)
    assert told.notify == notify


async def test_a_change_of_state_is_told_once_and_with_its_reason(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    device.platform.catalogs.arrived(device.remote, (CatalogItem(device_id=CAMERA, status="ON"),))
    lost = CatalogNotify(
        sn="1",
        device_id=device.id,
        sum_num=1,
        items=(CatalogItem(device_id=CAMERA, event="VLOST"),),
    )
    told = await news(gb, device, lost, StatusChanged)
    assert (told.channel_id, told.status) == (CAMERA, "VLOST")
    assert not device.platform.channel_online(CAMERA)
    await device.say(lost)
    await gb.advance(1)
    assert sum(isinstance(event, StatusChanged) for event in gb.events) == 1
    assert sum(isinstance(event, CatalogChanged) for event in gb.events) == 2


async def test_ten_thousand_heartbeats_leave_nothing_behind(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    platform = device.platform
    before = (len(platform.registrar._due), platform.station.supervisor.task_count)
    notify = KeepaliveNotify(sn="1", device_id=device.id, status="OK")
    for _ in range(10_000):
        platform.heard(device.id, device.remote.require_binding().flow)
    assert await device.say(notify) == 200
    assert (len(platform.registrar._due), platform.station.supervisor.task_count) == before
    assert len(device.remote.quirks_seen) == 0


async def test_a_heartbeat_that_names_faulty_cameras_tells_once_and_when_they_are_well(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    faulty = KeepaliveNotify(sn="1", device_id=device.id, status="ERROR", faulty=(CAMERA, "东门"))
    told = await news(gb, device, faulty, StatusChanged)
    assert (told.channel_id, told.status) == (CAMERA, "DEFECT")
    assert device.remote.faulty == {CAMERA}
    assert await device.say(faulty) == 200
    well = KeepaliveNotify(sn="2", device_id=device.id, status="OK")
    told = await news(gb, device, well, StatusChanged)
    assert (told.channel_id, told.status) == (CAMERA, "ON")
    assert sum(isinstance(event, StatusChanged) for event in gb.events) == 2
