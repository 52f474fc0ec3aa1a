"""Commands to a device: what the outcome says, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import pytest

from gb28181.commands.moves import Ptz
from gb28181.commands.orders import BLOCKS, CONTROLS
from gb28181.commands.outcome import Outcome, Stage
from gb28181.edition import Edition
from gb28181.errors import (
    CommandFailed,
    ConfigError,
    DeviceNotOnline,
    NoAnswer,
    NotSupported,
    RequestRejected,
)
from gb28181.manscdp.config import AlarmReport, BasicParam, OsdConfig, OsdText, SnapShotConfig
from gb28181.manscdp.control import (
    DeviceControl,
    DeviceControlResponse,
    DragZoom,
    HomePosition,
)
from gb28181.manscdp.device_config import (
    ConfigDownloadQuery,
    ConfigDownloadResponse,
    DeviceConfig,
    DeviceConfigResponse,
)
from gb28181.manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from gb28181.manscdp.device_status import AlarmDuty, DeviceStatusQuery, DeviceStatusResponse
from gb28181.manscdp.preset import Preset, PresetQuery, PresetResponse
from gb28181.manscdp.ptz_state import (
    HomePositionQuery,
    HomePositionResponse,
    PtzPositionQuery,
    PtzPositionResponse,
)
from gb28181.manscdp.storage import SdCard, SdCardStatusQuery, SdCardStatusResponse
from gb28181.ptz import Focus
from gb28181.remote_device import RemoteDevice
from gb28181.testing.answering import AnsweringDevice
from gb28181.testing.simulation import Simulation

Make = Callable[..., Awaitable[AnsweringDevice]]


CAMERA = "34020000001320000077"
BOX = DragZoom(length=1280, width=720, mid_point_x=640, mid_point_y=360, length_x=320, length_y=180)


def says(result: str, *, reason: str = "") -> Callable[[DeviceControl], list[Any]]:
    def script(command: DeviceControl) -> list[Any]:
        return [
            DeviceControlResponse(
                sn=command.sn, device_id=command.device_id, result=result, reason=reason or None
            )
        ]

    return script


COMMANDS: dict[str, tuple[Callable[[RemoteDevice], Awaitable[Outcome]], bool]] = {
    "PTZCmd": (lambda one: one.control(Ptz.up(), target=CAMERA), False),
    "TeleBoot": (lambda one: one.reboot(target=CAMERA), False),
    "RecordCmd": (lambda one: one.record(target=CAMERA), True),
    "GuardCmd": (lambda one: one.guard(target=CAMERA), True),
    "AlarmCmd": (lambda one: one.reset_alarm(target=CAMERA), True),
    "IFrameCmd": (lambda one: one.force_key_frame(target=CAMERA), False),
    "DragZoomIn": (lambda one: one.drag_zoom(BOX, target=CAMERA), False),
    "DragZoomOut": (lambda one: one.drag_zoom(BOX, out=True, target=CAMERA), False),
    "HomePosition": (
        lambda one: one.set_home_position(HomePosition(enabled=0), target=CAMERA),
        True,
    ),
    "PTZPreciseCtrl": (lambda one: one.look_at(pan=10.0, target=CAMERA), False),
    "DeviceUpgrade": (
        lambda one: one.upgrade("V2", "http://a/b", manufacturer="ACME", target=CAMERA),
        True,
    ),
    "FormatSDCard": (lambda one: one.format_sd_card(1, target=CAMERA), False),
    "TargetTrack": (lambda one: one.track("Manual", area=BOX, target=CAMERA), False),
}


def test_every_control_of_the_standard_has_a_verb() -> None:
    assert {rule.element for rule in CONTROLS.values()} == set(COMMANDS)
    about = {"sn", "device_id", "extra", "extra_info"}
    params = {"preset_name", "cruise_track_name", "stream_number", "device_id2", "target_area"}
    params |= {"alarm_method", "alarm_type", "control_priority"}
    assert {one.name for one in fields(DeviceControl)} - about - params == set(CONTROLS)
    assert {one.name for one in fields(DeviceConfig)} - about == set(BLOCKS)


@pytest.mark.parametrize("element", COMMANDS)
async def test_an_outcome_says_what_the_standard_lets_a_device_say(
    answering: Make, element: str
) -> None:
    """9.3.1 d and e: some commands have a business answer, others the SIP 200 alone."""
    order, is_answered = COMMANDS[element]
    camera = await answering()
    if is_answered:
        camera.scripts[DeviceControl] = says("OK")
    outcome = await order(camera.remote)
    stages = [step.stage for step in outcome.steps]
    assert stages == [Stage.SENT, Stage.ACCEPTED, Stage.DONE][: 3 if is_answered else 2]
    assert outcome
    assert (outcome.command, outcome.target) == (element, CAMERA)
    assert outcome.steps[1].evidence == "200 OK"
    (command,) = camera.asked
    assert command.device_id == CAMERA
    assert camera.camera.received[-1].request.to.uri.user == CAMERA


async def test_a_device_that_says_error_is_believed_with_its_reason(answering: Make) -> None:
    camera = await answering()
    camera.scripts[DeviceControl] = says("ERROR", reason="the disk is full")
    outcome = await camera.remote.record()
    assert outcome.stage is Stage.REFUSED
    assert outcome.evidence == "Result ERROR: the disk is full"
    with pytest.raises(CommandFailed, match="the disk is full"):
        outcome.require()
    # A full disk is no missing capability.
    assert len(camera.remote.capabilities) == 0


async def test_a_missing_business_answer_is_told(answering: Make) -> None:
    camera = await answering()
    outcome = await camera.remote.record()
    assert outcome.stage is Stage.NO_ANSWER
    assert outcome.reached(Stage.ACCEPTED)
    assert not outcome


async def test_a_refusal_by_sip_is_remembered_and_insisting_asks_again(answering: Make) -> None:
    camera = await answering()
    camera.scripts[DeviceControl] = lambda command: 405
    remote = camera.remote
    outcome = await remote.control(Ptz.left())
    assert (outcome.stage, outcome.evidence) == (Stage.REFUSED, "405 Method Not Allowed")
    again = await remote.control(Ptz.right())
    assert again.stage is Stage.UNSUPPORTED
    assert "405" in again.evidence
    assert len(camera.asked) == 1
    # Another camera of the same recorder is another matter, and insisting is heard.
    assert (await remote.control(Ptz.left(), target=CAMERA)).stage is Stage.REFUSED
    camera.scripts.clear()
    assert await remote.control(Ptz.left(), insist=True)


async def test_a_reason_that_speaks_of_support_is_remembered(answering: Make) -> None:
    camera = await answering()
    camera.scripts[DeviceControl] = says("ERROR", reason="设备不支持")
    assert (await camera.remote.guard()).stage is Stage.REFUSED
    assert (await camera.remote.guard()).stage is Stage.UNSUPPORTED


async def test_what_the_edition_lacks_is_not_sent_unless_insisted_on(answering: Make) -> None:
    camera = await answering(edition=Edition.GB2016)
    outcome = await camera.remote.look_at(pan=90.0)
    assert outcome.stage is Stage.UNSUPPORTED
    assert "2.0" in outcome.evidence
    assert "3.0" in outcome.evidence
    assert camera.asked == []
    with pytest.raises(NotSupported, match=r"came with 3\.0"):
        await camera.remote.ptz_position()
    assert await camera.remote.look_at(pan=90.0, insist=True)
    assert camera.asked[0].ptz_precise_ctrl.pan == 90.0


async def test_a_device_that_is_away_is_an_error(answering: Make) -> None:
    camera = await answering()
    with pytest.raises(DeviceNotOnline):
        await camera.platform.device("34020000001320000999").control(Ptz.stop())


async def test_a_device_that_dies_during_the_command_is_no_answer(
    gb: Simulation, answering: Make
) -> None:
    camera = await answering()
    camera.camera.host.vanish()
    outcome = await camera.remote.record()
    assert outcome.stage is Stage.NO_ANSWER
    assert not outcome.reached(Stage.ACCEPTED)


# Verified by state ----------------------------------------------------------------------------


def status(camera: AnsweringDevice, **state: Any) -> None:
    camera.scripts[DeviceStatusQuery] = lambda query: [
        DeviceStatusResponse(sn=query.sn, device_id=query.device_id, **state)
    ]


@pytest.mark.parametrize(("seen", "stage"), [("ON", Stage.VERIFIED), ("OFF", Stage.IGNORED)])
async def test_recording_is_verified_by_the_status(
    answering: Make, seen: str, stage: Stage
) -> None:
    camera = await answering()
    camera.scripts[DeviceControl] = says("OK")
    status(camera, record=seen)
    outcome = await camera.remote.record(verify=True)
    assert outcome.stage is stage
    assert f"record={seen}" in outcome.evidence


async def test_what_was_done_without_an_answer_is_verified_all_the_same(answering: Make) -> None:
    camera = await answering()
    status(camera, record="OFF")
    outcome = await camera.remote.record(on=False, verify=True)
    assert outcome.reached(Stage.NO_ANSWER)
    assert outcome.stage is Stage.VERIFIED


@pytest.mark.parametrize(
    ("on", "duty", "stage"),
    [
        (True, "ONDUTY", Stage.VERIFIED),
        (True, "OFFDUTY", Stage.IGNORED),
        (False, "OFFDUTY", Stage.VERIFIED),
        (False, "ALARM", Stage.IGNORED),
    ],
)
async def test_guard_is_verified_by_the_duty_of_the_input(
    answering: Make, on: bool, duty: str, stage: Stage
) -> None:
    camera = await answering()
    camera.scripts[DeviceControl] = says("OK")
    status(
        camera,
        alarms=(
            AlarmDuty(device_id=CAMERA, duty_status=duty),
            AlarmDuty(device_id="34020000001340000001", duty_status="ALARM"),
        ),
    )
    outcome = await camera.remote.guard(on=on, target=CAMERA, verify=True)
    assert outcome.stage is stage


async def test_a_reset_alarm_is_verified(answering: Make) -> None:
    camera = await answering()
    camera.scripts[DeviceControl] = says("OK")
    status(camera, alarms=(AlarmDuty(device_id=CAMERA, duty_status="ALARM"),))
    assert (await camera.remote.reset_alarm(verify=True)).stage is Stage.IGNORED
    status(camera, alarms=(AlarmDuty(device_id=CAMERA, duty_status="ONDUTY"),))
    assert (await camera.remote.reset_alarm(verify=True)).stage is Stage.VERIFIED


async def test_a_home_position_that_is_accepted_and_not_executed_is_told(answering: Make) -> None:
    """Dahua DH-3H3405: SIP 200, no answer, nothing happens."""
    camera = await answering()
    camera.scripts[HomePositionQuery] = lambda query: [
        HomePositionResponse(
            sn=query.sn, device_id=query.device_id, home_position=HomePosition(enabled=0)
        )
    ]
    wish = HomePosition(enabled=1, reset_time=60, preset_index=1)
    outcome = await camera.remote.set_home_position(wish, verify=True)
    assert outcome.stage is Stage.IGNORED
    assert not outcome
    await camera.remote.set_home_position(wish, verify=True)
    # Twice without effect: it cannot.
    assert (await camera.remote.set_home_position(wish)).stage is Stage.UNSUPPORTED


class Head:
    """A camera's head, which turns or does not."""

    def __init__(self, camera: AnsweringDevice, *, obeys: bool, limit: float = 360.0) -> None:
        self.pan = 10.0
        self.obeys = obeys
        self.limit = limit
        camera.scripts[PtzPositionQuery] = self.told
        camera.scripts[DeviceControl] = self.turned

    def told(self, query: PtzPositionQuery) -> list[Any]:
        return [
            PtzPositionResponse(
                sn=query.sn, device_id=query.device_id, pan=self.pan, tilt=0.0, zoom=1.0
            )
        ]

    def turned(self, command: DeviceControl) -> list[Any]:
        if self.obeys and command.ptz_precise_ctrl is not None:
            assert command.ptz_precise_ctrl.pan is not None
            self.pan = min(self.limit, command.ptz_precise_ctrl.pan)
        elif self.obeys and command.ptz_cmd is not None:
            self.pan += 5.0
        return []


@pytest.mark.parametrize(
    ("obeys", "limit", "stage"),
    [
        (True, 360.0, Stage.VERIFIED),
        (True, 90.0, Stage.VERIFIED),  # A.2.3.1.11: beyond its reach it goes as far as it can
        (False, 360.0, Stage.IGNORED),  # Hikvision DS-2DC2C40MY: SIP 200, and ignored
    ],
)
async def test_a_precise_move_is_verified_by_the_position(
    answering: Make, obeys: bool, limit: float, stage: Stage
) -> None:
    camera = await answering()
    head = Head(camera, obeys=obeys, limit=limit)
    outcome = await camera.remote.look_at(pan=120.0, target=CAMERA, verify=True)
    assert outcome.stage is stage
    assert f"pan={head.pan}" in outcome.evidence


@pytest.mark.parametrize(("obeys", "stage"), [(True, Stage.VERIFIED), (False, Stage.IGNORED)])
async def test_a_motion_is_verified_by_the_position(
    answering: Make, obeys: bool, stage: Stage
) -> None:
    camera = await answering()
    Head(camera, obeys=obeys)
    assert (await camera.remote.control(Ptz.right(), verify=True)).stage is stage
    assert (await camera.remote.control(Ptz.stop(), verify=True)).stage is Stage.VERIFIED


async def test_what_cannot_be_verified_says_why(answering: Make) -> None:
    camera = await answering()
    camera.scripts[PtzPositionQuery] = lambda query: [
        PtzPositionResponse(
            sn=query.sn,
            device_id=query.device_id,
            result="ERROR",
            reason="no encoder",
        )
    ]
    outcome = await camera.remote.control(Ptz.focus(Focus.NEAR), verify=True)
    assert outcome.stage is Stage.ACCEPTED
    assert outcome.remark == "no query of the standard shows its effect"
    outcome = await camera.remote.control(Ptz.up(), verify=True)
    assert outcome.stage is Stage.ACCEPTED
    assert "no encoder" in outcome.remark


async def test_a_preset_is_verified_by_the_list(answering: Make) -> None:
    camera = await answering()
    kept: set[int] = set()

    def move(command: DeviceControl) -> list[Any]:
        assert command.ptz_cmd is not None
        code, number = command.ptz_cmd[6:8], int(command.ptz_cmd[10:12], 16)
        if code == "81":
            assert command.preset_name == "gate"
            kept.add(number)
        return []

    camera.scripts[DeviceControl] = move
    camera.scripts[PresetQuery] = lambda query: [
        PresetResponse(
            sn=query.sn,
            device_id=query.device_id,
            items=tuple(Preset(preset_id=str(number), preset_name="gate") for number in kept),
        )
    ]
    made = await camera.remote.control(Ptz.set_preset(7), preset_name="gate", verify=True)
    assert made.stage is Stage.VERIFIED
    gone = await camera.remote.control(Ptz.delete_preset(7), verify=True)
    assert gone.stage is Stage.IGNORED


async def test_a_formatted_card_is_verified(answering: Make) -> None:
    camera = await answering()
    camera.scripts[SdCardStatusQuery] = lambda query: [
        SdCardStatusResponse(
            sn=query.sn,
            device_id=query.device_id,
            sum_num=2,
            items=(
                SdCard(id=1, status="formatting", format_progress=20),
                SdCard(id=2, status="ok", capacity=100, free_space=40),
            ),
        )
    ]
    assert (await camera.remote.format_sd_card(1, verify=True)).stage is Stage.VERIFIED
    assert (await camera.remote.format_sd_card(2, verify=True)).stage is Stage.IGNORED
    assert [card.id for card in await camera.remote.sd_cards()] == [1, 2]


# Queries --------------------------------------------------------------------------------------


async def test_a_query_that_is_answered_with_error_is_not_asked_again(answering: Make) -> None:
    """Hikvision DS-2DC2C40MY: PTZPosition, Result ERROR with a reason."""
    camera = await answering()
    camera.scripts[ConfigDownloadQuery] = lambda query: [
        ConfigDownloadResponse(
            sn=query.sn,
            device_id=query.device_id,
            result="ERROR",
            reason="not supported",
        )
    ]
    with pytest.raises(CommandFailed, match="Result ERROR: not supported"):
        await camera.remote.configuration("OSDConfig")
    with pytest.raises(NotSupported, match="not supported") as told:
        await camera.remote.configuration("OSDConfig")
    assert told.value.feature == "ConfigDownload"
    assert len(camera.asked) == 1
    with pytest.raises(CommandFailed):
        await camera.remote.configuration("OSDConfig", insist=True)


async def test_a_query_that_times_out_twice_is_not_asked_a_third_time(answering: Make) -> None:
    camera = await answering()
    for _ in range(2):
        with pytest.raises(NoAnswer):
            await camera.remote.presets()
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(NotSupported, match="2 times"):
        await camera.remote.presets()
    assert loop.time() == before
    assert len(camera.asked_for(PresetQuery)) == 2


async def test_what_every_device_must_know_is_always_asked(answering: Make) -> None:
    camera = await answering()
    for _ in range(3):
        with pytest.raises(NoAnswer):
            await camera.remote.device_info()
    assert len(camera.asked_for(DeviceInfoQuery)) == 3


async def test_another_firmware_is_asked_again(answering: Make) -> None:
    camera = await answering()
    firmware = "V1"
    camera.scripts[PresetQuery] = lambda query: 405
    camera.scripts[DeviceInfoQuery] = lambda query: [
        DeviceInfoResponse(sn=query.sn, device_id=query.device_id, firmware=firmware)
    ]
    await camera.remote.device_info()
    with pytest.raises(RequestRejected, match="405"):
        await camera.remote.presets()
    with pytest.raises(NotSupported, match="405"):
        await camera.remote.presets()
    assert len(camera.asked_for(PresetQuery)) == 1
    firmware = "V2"
    await camera.remote.device_info()
    camera.scripts[PresetQuery] = lambda query: [
        PresetResponse(sn=query.sn, device_id=query.device_id)
    ]
    assert await camera.remote.presets() == ()


# Configuration --------------------------------------------------------------------------------


async def test_a_block_is_set_and_read_back(answering: Make) -> None:
    camera = await answering()
    kept: dict[str, OsdConfig | None] = {"osd": None}

    def take(command: DeviceConfig) -> list[Any]:
        kept["osd"] = command.osd_config
        return [DeviceConfigResponse(sn=command.sn, device_id=command.device_id)]

    camera.scripts[DeviceConfig] = take
    camera.scripts[ConfigDownloadQuery] = lambda query: [
        ConfigDownloadResponse(sn=query.sn, device_id=query.device_id, osd_config=kept["osd"])
    ]
    text = OsdConfig(text_enable=1, sum_num=1, items=(OsdText(text="东门", x=20, y=40),))
    outcome = await camera.remote.configure(osd_config=text, target=CAMERA, verify=True)
    assert [step.stage for step in outcome.steps][-2:] == [Stage.DONE, Stage.VERIFIED]
    assert (outcome.command, outcome.target) == ("OSDConfig", CAMERA)
    camera.scripts[DeviceConfig] = lambda command: [
        DeviceConfigResponse(sn=command.sn, device_id=command.device_id)
    ]
    other = OsdConfig(text_enable=0)
    outcome = await camera.remote.configure(osd_config=other, target=CAMERA, verify=True)
    assert outcome.stage is Stage.IGNORED


async def test_the_registration_is_set_at_the_device_whatever_the_channel(
    answering: Make,
) -> None:
    """Uniview logs out when the channel is named (spec 09, Q31)."""
    camera = await answering()
    camera.scripts[DeviceConfig] = lambda command: [
        DeviceConfigResponse(sn=command.sn, device_id=command.device_id)
    ]
    await camera.remote.configure(basic_param=BasicParam(name="NVR"), target=CAMERA)
    await camera.remote.configure(frame_mirror=1, target=CAMERA)
    assert [one.device_id for one in camera.asked] == [camera.id, CAMERA]


async def test_one_block_at_a_time(answering: Make) -> None:
    camera = await answering()
    with pytest.raises(ConfigError, match="one block"):
        await camera.remote.configure()
    with pytest.raises(ConfigError, match="one block"):
        await camera.remote.configure(frame_mirror=1, alarm_report=AlarmReport())
    with pytest.raises(ConfigError, match="'Basic' is no block"):
        await camera.remote.configuration("Basic")


async def test_snapshots_are_ordered(answering: Make) -> None:
    camera = await answering()
    camera.scripts[DeviceConfig] = lambda command: [
        DeviceConfigResponse(sn=command.sn, device_id=command.device_id)
    ]
    wish = SnapShotConfig(
        snap_num=3, interval=1, upload_url="http://192.0.2.1/snap", session_id="a" * 32
    )
    assert await camera.remote.take_snapshots(wish)
    assert camera.asked[0].snapshot_config == wish


@pytest.mark.parametrize("form", ["each alone", "in one", "one missing", "other name"])
async def test_blocks_are_gathered_however_they_come(answering: Make, form: str) -> None:
    camera = await answering()
    name, mirror = BasicParam(name="gate"), 2

    def told(query: ConfigDownloadQuery) -> list[Any]:
        def answer(**block: Any) -> ConfigDownloadResponse:
            return ConfigDownloadResponse(sn=query.sn, device_id=query.device_id, **block)

        match form, query.config_type:
            case "in one", _:
                return [answer(basic_param=name, frame_mirror=mirror)]
            case "one missing", "BasicParam/FrameMirror":
                return [answer(basic_param=name)]
            case "one missing", _:
                return [answer(frame_mirror=mirror)]
            case "other name", _:
                return [answer(basic_param=name), answer(osd_config=OsdConfig(time_enable=1))]
        return [answer(basic_param=name), answer(frame_mirror=mirror)]

    camera.scripts[ConfigDownloadQuery] = told
    whole = await camera.remote.configuration("BasicParam", "FrameMirror")
    assert whole.basic_param == name
    assert whole.frame_mirror == (None if form == "other name" else mirror)
    assert len(camera.asked) == (2 if form == "one missing" else 1)
