"""Every command of the standard, and how a platform and a device really carry it out.

``test_every_command`` runs each case over UDP and TCP in each edition that has the command;
``reference`` makes the table of docs/reference/commands.md of the same cases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from gb28181.commands.orders import BLOCKS, CONTROLS
from gb28181.commands.settings import READABLE
from gb28181.device import SERVED, Device
from gb28181.edition import Edition
from gb28181.equipment.controls import CONTROLS as SERVED_CONTROLS
from gb28181.equipment.settings import EquipmentSettings
from gb28181.events import Alarm, CatalogChanged, Notice, Position, PtzPosition
from gb28181.manscdp.broadcast import BroadcastNotify
from gb28181.manscdp.commands import BY_NAME
from gb28181.manscdp.config import (
    AlarmReport,
    BasicParam,
    MaskRegion,
    OsdConfig,
    PictureMask,
    RoiParam,
    SnapShotConfig,
    SvacDecodeConfig,
    SvacEncodeConfig,
    SvcDecodeParam,
    VideoAlarmRecord,
    VideoParam,
    VideoRecordPlan,
)
from gb28181.manscdp.control import DeviceControl, DragZoom, HomePosition
from gb28181.manscdp.device_config import ConfigDownloadQuery, DeviceConfig
from gb28181.manscdp.media_status import MediaStatusNotify
from gb28181.manscdp.notices import DeviceUpgradeResultNotify, UploadSnapShotFinishedNotify
from gb28181.manscdp.schema import plan_of
from gb28181.platform import Platform
from gb28181.ptz import CruiseAction, CruiseCommand, Motion, Pan, PresetAction, PresetCommand
from gb28181.remote_device import RemoteDevice
from gb28181.subscriptions import KINDS
from gb28181.testing.simulation import SimulatedDevice, Simulation

TRANSPORTS = ("udp", "tcp")
SESSION = "0f8c2a7e-5d41-4b0e-9d3a-7a6d1c22b901"
BOX = DragZoom(length=1280, width=720, mid_point_x=960, mid_point_y=360, length_x=320, length_y=180)


@dataclass
class World:
    """A platform and a device of one edition, over one transport."""

    gb: Simulation
    platform: Platform
    simulated: SimulatedDevice

    @property
    def remote(self) -> RemoteDevice:
        return self.platform.device(self.simulated.id)

    @property
    def device(self) -> Device:
        return self.simulated.role

    @property
    def camera(self) -> str:
        return self.simulated.channels[0]

    async def until(self, kind: type[Any]) -> bool:
        """Whether an event of the kind comes, or has come."""
        await self.gb.until(lambda: any(isinstance(e, kind) for e in self.gb.events), within=70)
        return True


async def build(gb: Simulation, edition: Edition, transport: str) -> World:
    """Start both; what the device fetches and uploads goes to a web server of its own."""

    def web() -> httpx.AsyncClient:
        answer = httpx.MockTransport(lambda request: httpx.Response(200, content=b"firmware"))
        return httpx.AsyncClient(transport=answer)

    platform = await gb.platform(edition=edition)
    simulated = await gb.device(
        platform=platform,
        edition=edition,
        transport=transport,
        equipment=EquipmentSettings(web=web, boot_time=1.0),
    )
    await gb.until(lambda: platform.device(simulated.id).channels, within=10)
    return World(gb, platform, simulated)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One command, and what carries it out; a true result is a success."""

    command: str
    """As the table names it."""
    on_the_wire: str
    """A part of the message that must be seen."""
    run: Callable[[World], Awaitable[object]]
    platform: str
    """What the platform does: a verb of ``RemoteDevice``, or that it takes what comes."""
    device: str
    """What the device does."""
    since: Edition = Edition.GB2011
    until: Edition = field(default=Edition.GB2022)

    def is_in(self, edition: Edition) -> bool:
        """Whether the edition has it."""
        return self.since <= edition <= self.until


# Controls ---------------------------------------------------------------------------------------

Run = Callable[[World], Awaitable[object]]

CONTROL_RUNS: dict[str, tuple[str, Run]] = {
    "ptz_cmd": (
        "control",
        lambda w: w.remote.control(Motion(pan=Pan.RIGHT, pan_speed=64), target=w.camera),
    ),
    "tele_boot": ("reboot", lambda w: w.remote.reboot()),
    "record_cmd": ("record", lambda w: w.remote.record(on=True, target=w.camera)),
    "guard_cmd": ("guard", lambda w: w.remote.guard(on=True, target=w.camera)),
    "alarm_cmd": ("reset_alarm", lambda w: w.remote.reset_alarm(target=w.camera)),
    "i_frame_cmd": ("force_key_frame", lambda w: w.remote.force_key_frame(target=w.camera)),
    "drag_zoom_in": ("drag_zoom", lambda w: w.remote.drag_zoom(BOX, target=w.camera)),
    "drag_zoom_out": (
        "drag_zoom",
        lambda w: w.remote.drag_zoom(BOX, out=True, target=w.camera),
    ),
    "home_position": ("set_home_position", lambda w: _home(w)),
    "ptz_precise_ctrl": (
        "look_at",
        lambda w: w.remote.look_at(pan=10.0, target=w.camera),
    ),
    "device_upgrade": (
        "upgrade",
        lambda w: w.remote.upgrade("V2", "http://192.0.2.1/fw", manufacturer="gb28181"),
    ),
    "format_sd_card": ("format_sd_card", lambda w: w.remote.format_sd_card(1)),
    "target_track": ("track", lambda w: w.remote.track("Auto", target=w.camera)),
}


async def _home(world: World) -> object:
    preset = PresetCommand(action=PresetAction.SET, preset=1)
    await world.remote.control(preset, target=world.camera)
    home = HomePosition(enabled=1, reset_time=60, preset_index=1)
    return await world.remote.set_home_position(home, target=world.camera)


def controls() -> list[Case]:
    """All that DeviceControl can ask for."""
    slots = {slot.attribute: slot.xml for slot in plan_of(DeviceControl).slots}
    answered = {one.field: one.answered for one in SERVED_CONTROLS}
    cases = []
    for name, rule in CONTROLS.items():
        verb, run = CONTROL_RUNS[name]
        cases.append(
            Case(
                command=f"DeviceControl `{rule.element}`",
                # 2016 spells it IFameCmd.
                on_the_wire="ameCmd" if name == "i_frame_cmd" else rule.element,
                run=run,
                platform=_verb(verb),
                device="does it, answers" if answered[name] else "does it; no answer is due",
                since=max(rule.since, slots[name].since, key=_value),
            )
        )
    return cases


# Configuration ----------------------------------------------------------------------------------

BLOCK_VALUES: dict[str, Any] = {
    "basic_param": BasicParam(
        name="gate", expiration=3600, heartbeat_interval=60, heartbeat_count=3
    ),
    "svac_encode_config": SvacEncodeConfig(roi=RoiParam(flag=0, number=0)),
    "svac_decode_config": SvacDecodeConfig(svc=SvcDecodeParam(stm_mode=1)),
    "video_param_attribute": (
        VideoParam(
            stream_number=0, video_format="5", resolution="6", frame_rate="25",
            bit_rate_type="1", video_bit_rate="4096",
        ),
    ),
    "video_record_plan": VideoRecordPlan(enable=0, schedule_sum=0, stream_number=0),
    "video_alarm_record": VideoAlarmRecord(
        enable=1, record_time=60, pre_record_time=10, stream_number=0
    ),
    "picture_mask": PictureMask(
        on=1, sum_num=1, regions=(MaskRegion(sequence=1, point="20,30,50,60"),)
    ),
    "frame_mirror": 3,
    "alarm_report": AlarmReport(motion_detection=0, field_detection=1),
    "osd_config": OsdConfig(
        length=1920, width=1080, time_x=30, time_y=40, time_enable=1, time_type=1, text_enable=0,
        sum_num=0,
    ),
    "snapshot_config": SnapShotConfig(
        snap_num=1, interval=1, upload_url="http://192.0.2.1/", session_id=SESSION
    ),
}  # fmt: skip


def blocks() -> list[Case]:
    """All that DeviceConfig can set, and all that ConfigDownload can tell."""
    assert DeviceConfig in SERVED
    assert ConfigDownloadQuery in SERVED
    setting = [
        Case(
            command=f"DeviceConfig `{rule.element}`",
            on_the_wire=rule.element,
            run=lambda w, name=name: w.remote.configure(  # type: ignore[misc]
                target=w.camera, **{name: BLOCK_VALUES[name]}
            ),
            platform=_verb("take_snapshots" if name == "snapshot_config" else "configure"),
            device="does it, answers",
            since=rule.since,
        )
        for name, rule in BLOCKS.items()
    ]
    asking = [
        Case(
            command=f"ConfigDownload `{element}`",
            on_the_wire=f"<ConfigType>{element}</ConfigType>",
            run=lambda w, element=element, name=name: _told(w, element, name),  # type: ignore[misc]
            platform=_verb("configuration"),
            device="answers",
            since=BLOCKS[name].since if name in BLOCKS else ConfigDownloadQuery.since,
        )
        for element, name in READABLE.items()
    ]
    return setting + asking


async def _told(world: World, element: str, name: str) -> object:
    if name == "snapshot_config":
        await world.remote.configure(target=world.camera, snapshot_config=BLOCK_VALUES[name])
    answer = await world.remote.configuration(element, target=world.camera)
    return getattr(answer, name) not in (None, ()) and answer.result == "OK"


# Queries and subscriptions ----------------------------------------------------------------------

QUERY_RUNS: dict[str, tuple[str, Run]] = {
    "Catalog": ("catalog", lambda w: _whole(w)),
    "DeviceInfo": ("device_info", lambda w: w.remote.device_info()),
    "DeviceStatus": ("device_status", lambda w: w.remote.device_status()),
    "RecordInfo": ("records", lambda w: _records(w)),
    "PresetQuery": ("presets", lambda w: _presets(w)),
    "MobilePosition": ("request_position", lambda w: _position(w)),
    "HomePositionQuery": ("home_position", lambda w: _home_told(w)),
    "CruiseTrackListQuery": ("cruise_tracks", lambda w: _tracks(w)),
    "CruiseTrackQuery": ("cruise_track", lambda w: _track(w)),
    "PTZPosition": ("ptz_position", lambda w: w.remote.ptz_position(target=w.camera)),
    "SDCardStatus": ("sd_cards", lambda w: w.remote.sd_cards()),
}


async def _whole(world: World) -> object:
    return (await world.remote.catalog()).complete


async def _records(world: World) -> object:
    now = datetime.now(UTC)
    span = (now - timedelta(hours=2), now + timedelta(hours=2))
    return (await world.remote.records(*span, target=world.camera)).missing == ()


async def _presets(world: World) -> object:
    preset = PresetCommand(action=PresetAction.SET, preset=7)
    await world.remote.control(preset, target=world.camera)
    return await world.remote.presets(target=world.camera)


async def _position(world: World) -> object:
    return await world.remote.request_position() and await world.until(Position)


async def _home_told(world: World) -> object:
    await _home(world)
    return await world.remote.home_position(target=world.camera)


async def _tracks(world: World) -> object:
    preset = PresetCommand(action=PresetAction.SET, preset=7)
    await world.remote.control(preset, target=world.camera)
    point = CruiseCommand(action=CruiseAction.ADD_POINT, cruise=1, value=7)
    await world.remote.control(point, target=world.camera)
    return await world.remote.cruise_tracks(target=world.camera)


async def _track(world: World) -> object:
    await _tracks(world)
    return (await world.remote.cruise_track(1, target=world.camera)).items


SUBSCRIPTION_RUNS: dict[str, Run] = {
    "catalog": lambda w: w.platform.subscriptions.want(w.remote, "catalog", w.remote.id),
    "alarm": lambda w: w.remote.subscribe_alarms(),
    "position": lambda w: w.remote.subscribe_position(5),
    "ptz-position": lambda w: w.remote.subscribe_ptz_position(target=w.camera),
}
SUBSCRIPTION_VERBS = {
    "catalog": "Platform(subscribes_to)",
    "alarm": "subscribe_alarms",
    "position": "subscribe_position",
    "ptz-position": "subscribe_ptz_position",
}


def queries() -> list[Case]:
    """All queries by MESSAGE, and all that can be subscribed to."""
    asking = []
    for cmd_type, (verb, run) in QUERY_RUNS.items():
        cls = BY_NAME["query", cmd_type.lower()]
        assert cls in SERVED
        asking.append(
            Case(
                command=f"Query `{cmd_type}`",
                # The amendment of 2014 spells it PersetQuery.
                on_the_wire="setQuery" if cmd_type == "PresetQuery" else cmd_type,
                run=run,
                platform=_verb(verb),
                device="tells by a notice" if cmd_type == "MobilePosition" else "answers",
                since=getattr(cls, "since", Edition.GB2011),
            )
        )
    subscribing = []
    for name, kind in KINDS.items():
        query = kind.query("1", "2", 5)
        subscribing.append(
            Case(
                command=f"SUBSCRIBE `{query.cmd_type}`",
                on_the_wire="SUBSCRIBE sip:",
                run=lambda w, run=SUBSCRIPTION_RUNS[name]: _accepted(run(w)),  # type: ignore[misc]
                platform=_verb(SUBSCRIPTION_VERBS[name]),
                device="accepts, notifies",
                since=kind.since,
            )
        )
    return asking + subscribing


async def _accepted(subscribed: Awaitable[Any]) -> object:
    return (await subscribed).state == "accepted"


# Notices ----------------------------------------------------------------------------------------


async def _keepalive(world: World) -> object:
    await world.gb.advance(seconds=65)
    return world.remote.is_online


async def _alarm(world: World) -> object:
    fate = await world.device.raise_alarm(world.camera, method="5", alarm_type="2")
    return bool(fate) and await world.until(Alarm)


async def _catalog_notice(world: World) -> object:
    await world.platform.subscriptions.want(world.remote, "catalog", world.remote.id)
    world.gb.events.clear()
    world.device.change_channel(world.camera, status="OFF")
    return await world.until(CatalogChanged)


async def _head_notice(world: World) -> object:
    await world.remote.subscribe_ptz_position(target=world.camera)
    return await world.until(PtzPosition)


async def _media_status(world: World) -> object:
    return await world.device.answers.send(MediaStatusNotify(sn="9", device_id=world.camera))


async def _snapshots(world: World) -> object:
    notice = UploadSnapShotFinishedNotify(sn="9", device_id=world.camera, session_id=SESSION)
    return await world.device.answers.send(notice) and await world.until(Notice)


async def _upgraded(world: World) -> object:
    notice = DeviceUpgradeResultNotify(
        sn="9", device_id=world.device.id, session_id=SESSION, firmware="V2"
    )
    return await world.device.answers.send(notice) and await world.until(Notice)


async def _wish(world: World) -> object:
    return await world.device.ask_to_be_watched(world.camera) and await world.until(Notice)


async def _broadcast(world: World) -> object:
    notice = BroadcastNotify(
        sn=world.platform.commands.next_sn(), source_id=world.platform.id, target_id=world.camera
    )
    result = await world.platform.commands.ask(world.remote, notice)
    return getattr(result.parts[0], "result", None) == "OK"


NOTICE_RUNS: dict[str, tuple[str, str, Run]] = {
    "Alarm": ("takes, acknowledges: `on_alarm()`", "tells: `raise_alarm()`", _alarm),
    "Broadcast": ("sends: `Channel.broadcast()`", "answers, fetches the voice", _broadcast),
    "Catalog": ("takes: event `CatalogChanged`", "tells: `change_channel()`", _catalog_notice),
    "DeviceUpgradeResult": ("takes: event `Notice`", "tells after an upgrade", _upgraded),
    "Keepalive": ("takes: liveness", "tells every minute", _keepalive),
    "MediaStatus": ("takes: end of a playback", "tells at the end of a file", _media_status),
    "MobilePosition": ("takes: event `Position`", "tells where it is", _position),
    "PTZPosition": ("takes: event `PtzPosition`", "tells where it looks", _head_notice),
    "UploadSnapShotFinished": ("takes: event `Notice`", "tells after snapshots", _snapshots),
    "VideoUploadNotify": ("takes: event `Notice`", "tells: `ask_to_be_watched()`", _wish),
}


def notices() -> list[Case]:
    """All notices."""
    return [
        Case(
            command=f"Notify `{cmd_type}`",
            on_the_wire=cmd_type,
            run=run,
            platform=platform,
            device=device,
            since=getattr(BY_NAME["notify", cmd_type.lower()], "since", Edition.GB2011),
        )
        for cmd_type, (platform, device, run) in NOTICE_RUNS.items()
    ]


def all_cases() -> list[Case]:
    """Every command."""
    return [*controls(), *blocks(), *queries(), *notices()]


def _verb(name: str) -> str:
    if "(" in name:
        return f"sends: `{name}`"
    assert callable(getattr(RemoteDevice, name)), name
    return f"sends: `{name}()`"


def _value(edition: Edition) -> str:
    return edition.value
