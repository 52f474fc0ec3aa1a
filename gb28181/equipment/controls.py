"""Serves DeviceControl: one method for each command, and whether it has a business answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import MalformedCommand
from ..manscdp.control import DeviceControl, DeviceControlResponse
from ..manscdp.schema import plan_of
from ..ptz import Motion, decode_ptz
from .head import Refused
from .inventory import Tracking

if TYPE_CHECKING:
    from ..manscdp.control import DeviceUpgrade
    from .head import Head
    from .inventory import Inventory, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a command can make the whole device do."""

    force_key: Callable[[str], None]
    """Go on with a key frame towards the viewers of a channel."""
    restart: Callable[[], None]
    """Begin to restart."""
    upgrade: Callable[[DeviceUpgrade], str]
    """Begin to upgrade; says why not, or nothing."""


class Controls:
    """Does what DeviceControl says, out of the device's own state.

    Source: GB/T 28181-2022 A.2.3.1, 9.3.1.
    """

    def __init__(self, inventory: Inventory, hooks: Hooks) -> None:
        self._inventory = inventory
        self._hooks = hooks

    def serve(self, command: DeviceControl, now: float) -> DeviceControlResponse | None:
        """Do it; return the business answer where the standard foresees one."""
        named = [one for one in CONTROLS if getattr(command, one.field) is not None]
        if not named:
            return _answer(command, "no command that is known")
        faults = [self._do(one, command, now) for one in named]
        fault = next((one for one in faults if one), "")
        if fault:
            self._inventory.ignored += 1
        return _answer(command, fault) if any(one.answered for one in named) else None

    def _do(self, control: Control, command: DeviceControl, now: float) -> str:
        """Do one thing; return why it was not done."""
        slot = _SLOTS[control.field]
        edition = self._inventory.edition
        if not slot.xml.is_in(edition):
            return f"{slot.xml.path} is not in edition {edition.version}"
        if not self._inventory.knows(command.device_id):
            return f"there is no {command.device_id[:40]}"
        try:
            control.serve(self, command, now)
        except (Refused, MalformedCommand) as error:
            return str(error)
        return ""

    def _ptz(self, command: DeviceControl, now: float) -> None:
        unit, head = self._head(command)
        given = decode_ptz(command.ptz_cmd or "").command
        if isinstance(given, Motion):
            unit.tracking = None
        head.take(given, now, name=command.preset_name or command.cruise_track_name)

    def _tele_boot(self, command: DeviceControl, now: float) -> None:
        self._hooks.restart()

    def _record(self, command: DeviceControl, now: float) -> None:
        units = self._inventory.meant(command.device_id)
        if not units:
            raise Refused(f"{command.device_id} does not record")
        if command.stream_number:
            raise Refused(f"stream {command.stream_number} is not recorded")
        if command.record_cmd == "StopRecord":
            for unit in units:
                unit.recorder.stop()
            return
        if command.record_cmd != "Record":
            raise Refused(f"{command.record_cmd!r} is not Record or StopRecord")
        if not any(card.status in ("ok", "idle") for card in self._inventory.cards.status(now)):
            raise Refused("there is no card to record on")
        for unit in units:
            unit.recorder.start()

    def _guard(self, command: DeviceControl, now: float) -> None:
        if command.guard_cmd not in ("SetGuard", "ResetGuard"):
            raise Refused(f"{command.guard_cmd!r} is not SetGuard or ResetGuard")
        self._inventory.guard.arm(command.device_id, command.guard_cmd == "SetGuard")

    def _alarm(self, command: DeviceControl, now: float) -> None:
        if command.alarm_cmd != "ResetAlarm":
            raise Refused(f"{command.alarm_cmd!r} is not ResetAlarm")
        self._inventory.guard.reset(command.device_id, command.alarm_method, command.alarm_type)

    def _key_frame(self, command: DeviceControl, now: float) -> None:
        self._hooks.force_key(command.device_id)

    def _drag_in(self, command: DeviceControl, now: float) -> None:
        assert command.drag_zoom_in is not None
        self._head(command)[1].drag(command.drag_zoom_in, now, closer=True)

    def _drag_out(self, command: DeviceControl, now: float) -> None:
        assert command.drag_zoom_out is not None
        self._head(command)[1].drag(command.drag_zoom_out, now, closer=False)

    def _home(self, command: DeviceControl, now: float) -> None:
        assert command.home_position is not None
        self._head(command)[1].set_home(command.home_position, now)

    def _precise(self, command: DeviceControl, now: float) -> None:
        assert command.ptz_precise_ctrl is not None
        unit, head = self._head(command)
        unit.tracking = None
        head.precise(command.ptz_precise_ctrl, now)

    def _upgrade(self, command: DeviceControl, now: float) -> None:
        assert command.device_upgrade is not None
        if command.device_id != self._inventory.device_id:
            raise Refused("only the device itself can be upgraded")
        fault = self._hooks.upgrade(command.device_upgrade)
        if fault:
            raise Refused(fault)

    def _format(self, command: DeviceControl, now: float) -> None:
        assert command.format_sd_card is not None
        if not self._inventory.cards.format(command.format_sd_card, now):
            raise Refused(f"there is no card {command.format_sd_card}")

    def _track(self, command: DeviceControl, now: float) -> None:
        unit, head = self._head(command)
        if command.target_track == "Stop":
            if unit.tracking is not None:
                head.stop(now)
            unit.tracking = None
            return
        mode = command.target_track or ""
        if mode not in ("Auto", "Manual") or (mode == "Manual" and command.target_area is None):
            raise Refused("TargetTrack is Auto, Stop, or Manual with a TargetArea")
        if command.target_area is not None:
            head.drag(command.target_area, now, closer=True)
        else:
            head.follow(now)
        unit.tracking = Tracking(mode=mode, panorama_id=(command.device_id2 or "")[:40])

    def _head(self, command: DeviceControl) -> tuple[Unit, Head]:
        unit = self._inventory.camera(command.device_id)
        if unit is None:
            raise Refused(f"{command.device_id} is not one camera")
        if unit.head is None:
            raise Refused(f"{command.device_id} cannot be turned")
        return unit, unit.head


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One command of DeviceControl."""

    field: str
    """Of ``DeviceControl``."""
    answered: bool
    """Whether there is a ``Response/DeviceControl``."""
    serve: Callable[[Controls, DeviceControl, float], None]
    """Does it, or raises ``Refused``."""


CONTROLS: tuple[Control, ...] = (
    Control(field="ptz_cmd", answered=False, serve=Controls._ptz),
    Control(field="tele_boot", answered=False, serve=Controls._tele_boot),
    Control(field="record_cmd", answered=True, serve=Controls._record),
    Control(field="guard_cmd", answered=True, serve=Controls._guard),
    Control(field="alarm_cmd", answered=True, serve=Controls._alarm),
    Control(field="i_frame_cmd", answered=False, serve=Controls._key_frame),
    Control(field="drag_zoom_in", answered=False, serve=Controls._drag_in),
    Control(field="drag_zoom_out", answered=False, serve=Controls._drag_out),
    Control(field="home_position", answered=True, serve=Controls._home),
    Control(field="ptz_precise_ctrl", answered=False, serve=Controls._precise),
    Control(field="device_upgrade", answered=True, serve=Controls._upgrade),
    Control(field="format_sd_card", answered=False, serve=Controls._format),
    Control(field="target_track", answered=False, serve=Controls._track),
)
"""The commands, and which of them have a business answer.

Source: GB/T 28181-2022 9.3.1 d and e, table 1.
"""

_SLOTS = {slot.attribute: slot for slot in plan_of(DeviceControl).slots}


def _answer(command: DeviceControl, fault: str) -> DeviceControlResponse:
    return DeviceControlResponse(
        sn=command.sn,
        device_id=command.device_id,
        result="ERROR" if fault else "OK",
        reason=fault or None,
    )
