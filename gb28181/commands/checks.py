"""Checks: which query shows the effect of a command, and how to read it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..ptz import CruiseAction, CruiseCommand, LensMotion, Motion, PresetAction, PresetCommand

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..manscdp.control import DeviceControl, HomePosition, PtzPrecise
    from ..manscdp.device_config import ConfigDownloadResponse, DeviceConfig
    from ..manscdp.device_status import DeviceStatusResponse
    from ..manscdp.preset import Preset
    from ..manscdp.ptz_state import CruiseTrackResponse, PtzPositionResponse
    from ..manscdp.storage import SdCard
    from ..ptz import PtzCommand
    from ..remote_device import RemoteDevice

T = TypeVar("T")

_DEGREES = 1.0
"""How near a camera must come to the angle that it was sent to."""
_TIMES = 0.3
"""The same for the zoom."""
_SHOWN = 200
_UNSAID = frozenset({"sn", "device_id", "extra", "extra_info"})


@dataclass(frozen=True, slots=True)
class Check(Generic[T]):
    """How to see whether a command had its effect."""

    look: Callable[[RemoteDevice, str], Awaitable[T]]
    """Asks the device."""
    judge: Callable[[T | None, T], bool]
    """Whether the effect is there, from the state before, if that was asked for, and now."""
    needs_before: bool = False
    settles: Callable[[T | None, T], bool] | None = None
    """Whether what is there after the last look may pass as the effect."""
    tries: int = 3
    pause: float = 1.0
    """Seconds between the looks."""


def check_of_control(message: DeviceControl, command: PtzCommand | None) -> Check[Any] | None:
    """Find what shows the effect of a control; None when the standard has nothing that does."""
    if message.record_cmd is not None:
        return _record(on=message.record_cmd == "Record")
    if message.guard_cmd is not None:
        return _duty(message.device_id, on=message.guard_cmd == "SetGuard")
    if message.alarm_cmd is not None:
        return _reset(message.device_id)
    if message.home_position is not None:
        return _home(message.home_position)
    if message.ptz_precise_ctrl is not None:
        return _precise(message.ptz_precise_ctrl)
    if message.drag_zoom_in is not None or message.drag_zoom_out is not None:
        return _moved()
    if message.format_sd_card is not None:
        return _card(message.format_sd_card)
    return None if command is None else _check_of_ptz(command)


def check_of_config(name: str, message: DeviceConfig, attribute: str) -> Check[Any]:
    """Read a block of the configuration back and compare what was set."""
    wanted = getattr(message, attribute)

    async def look(device: RemoteDevice, target: str) -> ConfigDownloadResponse:
        return await device.configuration(name, target=target)

    def judge(before: ConfigDownloadResponse | None, after: ConfigDownloadResponse) -> bool:
        return _covers(getattr(after, attribute), wanted)

    return Check(look, judge)


def told(state: object) -> str:
    """Say a state in a line: the fields that it has."""
    if isinstance(state, tuple):
        return f"{len(state)}: " + ", ".join(told(one) for one in state)[:_SHOWN]
    if not hasattr(state, "__dataclass_fields__"):
        return str(state)[:_SHOWN]
    known: Any = state
    parts = [
        f"{one.name}={getattr(known, one.name)}"
        for one in fields(known)
        if one.name not in _UNSAID and getattr(known, one.name) not in (None, ())
    ]
    return f"{getattr(known, 'cmd_type', type(known).__name__)} {', '.join(parts)}"[:_SHOWN]


def _check_of_ptz(command: PtzCommand) -> Check[Any] | None:
    match command:
        case PresetCommand(action=PresetAction.SET, preset=number):
            return _preset(number, present=True)
        case PresetCommand(action=PresetAction.DELETE, preset=number):
            return _preset(number, present=False)
        case CruiseCommand(action=CruiseAction.ADD_POINT, cruise=cruise, value=preset):
            return _cruise(cruise, preset, present=True)
        case CruiseCommand(action=CruiseAction.DELETE_POINT, cruise=cruise, value=preset):
            return _cruise(cruise, preset, present=False) if preset else None
        case CruiseCommand(action=CruiseAction.START):
            return _moved()
        case Motion(pan=None, tilt=None, zoom=None):
            return _stands()
        case Motion():
            return _moved()
        case LensMotion():
            return None
    return None


def _record(*, on: bool) -> Check[DeviceStatusResponse]:
    return Check(_status, lambda before, after: after.record == ("ON" if on else "OFF"))


def _duty(target: str, *, on: bool) -> Check[DeviceStatusResponse]:
    wanted = ("ONDUTY", "ALARM") if on else ("OFFDUTY",)

    def judge(before: DeviceStatusResponse | None, after: DeviceStatusResponse) -> bool:
        duties = _duties(after, target)
        return bool(duties) and all(duty in wanted for duty in duties)

    return Check(_status, judge)


def _reset(target: str) -> Check[DeviceStatusResponse]:
    return Check(_status, lambda before, after: "ALARM" not in _duties(after, target))


def _duties(status: DeviceStatusResponse, target: str) -> list[str | None]:
    """The duty of the input that was named, else of all."""
    own = [alarm.duty_status for alarm in status.alarms if alarm.device_id == target]
    return own or [alarm.duty_status for alarm in status.alarms]


def _home(wanted: HomePosition) -> Check[HomePosition | None]:
    async def look(device: RemoteDevice, target: str) -> HomePosition | None:
        return await device.home_position(target=target)

    return Check(look, lambda before, after: _covers(after, wanted))


def _preset(number: int, *, present: bool) -> Check[tuple[Preset, ...]]:
    async def look(device: RemoteDevice, target: str) -> tuple[Preset, ...]:
        return await device.presets(target=target)

    def judge(before: tuple[Preset, ...] | None, after: tuple[Preset, ...]) -> bool:
        numbers = {one.preset_id.strip().lstrip("0") for one in after}
        return (str(number) in numbers) is present

    return Check(look, judge)


def _cruise(cruise: int, preset: int, *, present: bool) -> Check[CruiseTrackResponse]:
    async def look(device: RemoteDevice, target: str) -> CruiseTrackResponse:
        return await device.cruise_track(cruise, target=target)

    def judge(before: CruiseTrackResponse | None, after: CruiseTrackResponse) -> bool:
        return (preset in {point.preset_index for point in after.items}) is present

    return Check(look, judge)


def _precise(wanted: PtzPrecise) -> Check[PtzPositionResponse]:
    def judge(before: PtzPositionResponse | None, after: PtzPositionResponse) -> bool:
        return (
            _near(after.pan, wanted.pan, _DEGREES, circle=360.0)
            and _near(after.tilt, wanted.tilt, _DEGREES)
            and _near(after.zoom, wanted.zoom, _TIMES)
        )

    # Beyond its reach a camera goes as far as it can (A.2.3.1.11): that it went must do.
    return Check(_position, judge, needs_before=True, settles=_has_moved, tries=10)


def _moved() -> Check[PtzPositionResponse]:
    return Check(_position, _has_moved, needs_before=True)


def _stands() -> Check[tuple[PtzPositionResponse, PtzPositionResponse]]:
    async def look(
        device: RemoteDevice, target: str
    ) -> tuple[PtzPositionResponse, PtzPositionResponse]:
        return await _position(device, target), await _position(device, target)

    return Check(look, lambda before, after: not _has_moved(*after))


def _card(number: int) -> Check[tuple[SdCard, ...]]:
    async def look(device: RemoteDevice, target: str) -> tuple[SdCard, ...]:
        return await device.sd_cards(target=target)

    def judge(before: tuple[SdCard, ...] | None, after: tuple[SdCard, ...]) -> bool:
        cards = [card for card in after if number in (0, card.id)]
        return bool(cards) and all(
            card.status == "formatting" or card.free_space == card.capacity for card in cards
        )

    return Check(look, judge)


async def _status(device: RemoteDevice, target: str) -> DeviceStatusResponse:
    return await device.device_status(target=target)


async def _position(device: RemoteDevice, target: str) -> PtzPositionResponse:
    return await device.ptz_position(target=target)


def _has_moved(before: PtzPositionResponse | None, after: PtzPositionResponse) -> bool:
    if before is None:
        return False
    return any(getattr(before, axis) != getattr(after, axis) for axis in ("pan", "tilt", "zoom"))


def _near(
    seen: float | None, wanted: float | None, tolerance: float, *, circle: float | None = None
) -> bool:
    if wanted is None:
        return True
    if seen is None:
        return False
    distance = abs(seen - wanted)
    return (min(distance, circle - distance) if circle else distance) <= tolerance


def _covers(seen: object, wanted: object) -> bool:
    """Whether what was read has all that was set; what the wish leaves open may be anything."""
    if wanted is None or wanted == ():
        return True
    if isinstance(wanted, tuple):
        return (
            isinstance(seen, tuple)
            and len(seen) == len(wanted)
            and all(_covers(*pair) for pair in zip(seen, wanted, strict=True))
        )
    if hasattr(wanted, "__dataclass_fields__"):
        known: Any = wanted
        return seen is not None and all(
            _covers(getattr(seen, one.name, None), getattr(wanted, one.name))
            for one in fields(known)
            if one.name not in _UNSAID
        )
    return seen == wanted
