"""The eight bytes of PTZCmd: pan, tilt and zoom, lens, presets, cruises, scans and switches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar

from .errors import ConfigError, MalformedCommand

_START = 0xA5
_BETWEEN = re.compile(r"0[xX]|[\s,:-]")  # what some write before or between the bytes
_Direction = TypeVar("_Direction", "Pan", "Tilt", "Zoom", "Focus", "Iris")


class Pan(Enum):
    """Where the picture goes, left or right."""

    RIGHT = 0x01
    LEFT = 0x02


class Tilt(Enum):
    """Where the picture goes, up or down."""

    DOWN = 0x04
    UP = 0x08


class Zoom(Enum):
    """Closer or wider."""

    IN = 0x10
    OUT = 0x20


class Focus(Enum):
    """Farther or nearer."""

    FAR = 0x01
    NEAR = 0x02


class Iris(Enum):
    """Wider or smaller."""

    OPEN = 0x04
    CLOSE = 0x08


class PresetAction(Enum):
    """What to do with a preset."""

    SET = 0x81
    CALL = 0x82
    DELETE = 0x83


class CruiseAction(Enum):
    """What to do with a cruise."""

    ADD_POINT = 0x84
    DELETE_POINT = 0x85
    SPEED = 0x86
    DWELL = 0x87
    START = 0x88


class ScanAction(Enum):
    """What to do with a scan."""

    START = 0x8900
    LEFT_EDGE = 0x8901
    RIGHT_EDGE = 0x8902
    SPEED = 0x8A00


class SwitchAction(Enum):
    """What to do with an auxiliary switch."""

    ON = 0x8C
    OFF = 0x8D


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Moves a camera until the next command; without directions all stops, cruise and scan too.

    Source: GB/T 28181-2022 A.3.2.
    """

    pan: Pan | None = None
    tilt: Tilt | None = None
    zoom: Zoom | None = None
    pan_speed: int = 0
    """0 to 255."""
    tilt_speed: int = 0
    """0 to 255."""
    zoom_speed: int = 0
    """0 to 15."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LensMotion:
    """Moves focus and iris until the next command; without directions they stop.

    Source: GB/T 28181-2022 A.3.3.
    """

    focus: Focus | None = None
    iris: Iris | None = None
    focus_speed: int = 0
    """0 to 255."""
    iris_speed: int = 0
    """0 to 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetCommand:
    """Sets, calls or deletes a preset.

    Source: GB/T 28181-2022 A.3.4.
    """

    action: PresetAction
    preset: int
    """1 to 255."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CruiseCommand:
    """Makes or starts a cruise; a ``Motion()`` stops it.

    Source: GB/T 28181-2022 A.3.5.
    """

    action: CruiseAction
    cruise: int
    """0 to 255."""
    value: int = 0
    """The preset of a point, 0 to delete the whole cruise; the speed, or the dwell in seconds, to
    4095."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCommand:
    """Makes or starts a scan; a ``Motion()`` stops it.

    Source: GB/T 28181-2022 A.3.6.
    """

    action: ScanAction
    scan: int
    """0 to 255."""
    speed: int = 0
    """0 to 4095, for ``SPEED``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchCommand:
    """Turns an auxiliary switch; one step of what is no switch.

    Source: GB/T 28181-2022 A.3.7.
    """

    action: SwitchAction
    switch: int
    """0 to 255; 1 is the wiper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPtzCommand:
    """A command code of no group; to be ignored."""

    code: int
    data1: int = 0
    data2: int = 0
    data3: int = 0
    """0 to 15."""


PtzCommand: TypeAlias = (
    Motion
    | LensMotion
    | PresetCommand
    | CruiseCommand
    | ScanCommand
    | SwitchCommand
    | UnknownPtzCommand
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedPtz:
    """A command, and how it came."""

    command: PtzCommand
    address: int = 0
    """Not used: the DeviceID says which camera. Some platforms write 1."""
    remarks: tuple[str, ...] = ()
    """What was wrong with it, one sentence each."""


def encode_ptz(command: PtzCommand, *, address: int = 0) -> str:
    """Write a command as the 16 hexadecimal digits of a PTZCmd.

    Raises:
        ConfigError: A number is out of its range.

    Source: GB/T 28181-2022 A.3.1.
    """
    code, data1, data2, data3 = _bytes_of(command)
    _check("address", address, 0, 0xFFF)
    frame = [_START, 0x0F, address & 0xFF, code, data1, data2, data3 << 4 | address >> 8]
    return bytes([*frame, sum(frame) & 0xFF]).hex().upper()


def decode_ptz(text: str) -> DecodedPtz:
    """Read a PTZCmd; the address is of no effect.

    Raises:
        MalformedCommand: It has not 16 hexadecimal digits, blanks between them aside; does not
            begin with ``A5``; or its checksum is wrong: nothing must move.

    Source: GB/T 28181-2022 A.3.1.
    """
    frame = _frame(text)
    remarks = []
    version = frame[1] >> 4
    if frame[1] & 0x0F != (0xA + 0x5 + version) & 0x0F:
        remarks.append(f"the check of byte 2 is wrong: {frame[1]:02X}")
    code, data3 = frame[3], frame[6] >> 4
    command = _command(code, frame[4], frame[5], data3, remarks)
    address = (frame[6] & 0x0F) << 8 | frame[2]
    return DecodedPtz(command=command, address=address, remarks=tuple(remarks))


def _frame(text: str) -> bytes:
    digits = _BETWEEN.sub("", text[:100])
    try:
        frame = bytes.fromhex(digits) if len(digits) == 16 and digits.isalnum() else b""
    except ValueError:
        frame = b""
    if len(frame) != 8:
        raise MalformedCommand(f"{text[:40]!r} is not 16 hexadecimal digits")
    if frame[0] != _START:
        raise MalformedCommand(f"{text[:40]!r} does not begin with A5")
    if frame[7] != sum(frame[:7]) & 0xFF:
        raise MalformedCommand(f"the checksum of {text[:40]!r} is wrong")
    return frame


def _check(name: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise ConfigError(f"{name} is {number}, not {low} to {high}")


def _bytes_of(command: PtzCommand) -> tuple[int, int, int, int]:
    """Return the command's code and its three data."""
    match command:
        case Motion():
            return _motion_bytes(command)
        case LensMotion():
            _check("focus_speed", command.focus_speed, 0, 0xFF)
            _check("iris_speed", command.iris_speed, 0, 0xFF)
            code = 0x40 | _bits(command.focus) | _bits(command.iris)
            return code, command.focus_speed, command.iris_speed, 0
        case PresetCommand():
            _check("preset", command.preset, 1, 0xFF)
            return command.action.value, 0, command.preset, 0
        case CruiseCommand():
            return _cruise_bytes(command)
        case ScanCommand():
            _check("scan", command.scan, 0, 0xFF)
            _check("speed", command.speed, 0, 0xFFF if command.action is ScanAction.SPEED else 0)
            code, data2 = divmod(command.action.value, 0x100)
            return code, command.scan, data2 | command.speed & 0xFF, command.speed >> 8
        case SwitchCommand():
            _check("switch", command.switch, 0, 0xFF)
            return command.action.value, command.switch, 0, 0
        case UnknownPtzCommand():
            _check("code", command.code, 0, 0xFF)
            _check("data1", command.data1, 0, 0xFF)
            _check("data2", command.data2, 0, 0xFF)
            _check("data3", command.data3, 0, 0x0F)
            return command.code, command.data1, command.data2, command.data3


def _bits(direction: Pan | Tilt | Zoom | Focus | Iris | None) -> int:
    return 0 if direction is None else direction.value


def _motion_bytes(command: Motion) -> tuple[int, int, int, int]:
    _check("pan_speed", command.pan_speed, 0, 0xFF)
    _check("tilt_speed", command.tilt_speed, 0, 0xFF)
    _check("zoom_speed", command.zoom_speed, 0, 0x0F)
    code = _bits(command.pan) | _bits(command.tilt) | _bits(command.zoom)
    return code, command.pan_speed, command.tilt_speed, command.zoom_speed


def _cruise_bytes(command: CruiseCommand) -> tuple[int, int, int, int]:
    _check("cruise", command.cruise, 0, 0xFF)
    low, high = {
        CruiseAction.ADD_POINT: (1, 0xFF),
        CruiseAction.DELETE_POINT: (0, 0xFF),
        CruiseAction.SPEED: (0, 0xFFF),
        CruiseAction.DWELL: (0, 0xFFF),
        CruiseAction.START: (0, 0),
    }[command.action]
    _check("value", command.value, low, high)
    return command.action.value, command.cruise, command.value & 0xFF, command.value >> 8


def _command(code: int, data1: int, data2: int, data3: int, remarks: list[str]) -> PtzCommand:
    """Read the command by its code.

    Source: GB/T 28181-2022 A.3.2 to A.3.7.
    """
    if code & 0xC0 == 0:
        return Motion(
            pan=_direction(Pan, code, remarks),
            tilt=_direction(Tilt, code, remarks),
            zoom=_direction(Zoom, code, remarks),
            pan_speed=data1,
            tilt_speed=data2,
            zoom_speed=data3,
        )
    if code & 0xF0 == 0x40:
        return LensMotion(
            focus=_direction(Focus, code, remarks),
            iris=_direction(Iris, code, remarks),
            focus_speed=data1,
            iris_speed=data2,
        )
    known = _numbered(code, data1, data2, data3)
    return known or UnknownPtzCommand(code=code, data1=data1, data2=data2, data3=data3)


def _numbered(code: int, data1: int, data2: int, data3: int) -> PtzCommand | None:
    """Read a command that speaks of a number; ``None`` when it is none."""
    if 0x81 <= code <= 0x83 and data2:
        return PresetCommand(action=PresetAction(code), preset=data2)
    if code in (0x84, 0x85) and (data2 or code == 0x85):
        return CruiseCommand(action=CruiseAction(code), cruise=data1, value=data2)
    if code in (0x86, 0x87):
        return CruiseCommand(action=CruiseAction(code), cruise=data1, value=data3 << 8 | data2)
    if code == 0x88:
        return CruiseCommand(action=CruiseAction.START, cruise=data1)
    if code == 0x89 and data2 <= 0x02:
        return ScanCommand(action=ScanAction(0x8900 | data2), scan=data1)
    if code == 0x8A:
        return ScanCommand(action=ScanAction.SPEED, scan=data1, speed=data3 << 8 | data2)
    if code in (0x8C, 0x8D):
        return SwitchCommand(action=SwitchAction(code), switch=data1)
    return None


def _direction(axis: type[_Direction], code: int, remarks: list[str]) -> _Direction | None:
    """Read one axis; both directions at once are none."""
    found = [direction for direction in axis if code & direction.value]
    if len(found) > 1:
        remarks.append(f"{axis.__name__} in both directions at once: it stops")
        return None
    return found[0] if found else None
