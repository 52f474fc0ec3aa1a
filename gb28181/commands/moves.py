"""Ptz: the commands that move a camera, by name."""

from __future__ import annotations

from ..ptz import (
    CruiseAction,
    CruiseCommand,
    Focus,
    Iris,
    LensMotion,
    Motion,
    Pan,
    PresetAction,
    PresetCommand,
    ScanAction,
    ScanCommand,
    SwitchAction,
    SwitchCommand,
    Tilt,
    Zoom,
)

_WIPER = 1


class Ptz:
    """Makes commands for ``control()``: ``camera.control(Ptz.up(speed=64))``.

    A motion goes on until ``stop()``, that of the lens until ``lens_stop()``. Speeds are 0 to 255
    for pan, tilt, focus and iris, 0 to 15 for the zoom. Numbers out of range raise ``ConfigError``
    when the command is sent. Directions are those of the picture.

    Source: GB/T 28181-2022 A.3.
    """

    @staticmethod
    def move(
        *,
        pan: Pan | None = None,
        tilt: Tilt | None = None,
        zoom: Zoom | None = None,
        speed: int = 128,
        zoom_speed: int = 8,
    ) -> Motion:
        """Several directions at once."""
        # Both speeds always: the examples of 2016 have their bytes the other way round (A.3.2).
        turns = speed if pan or tilt else 0
        return Motion(
            pan=pan,
            tilt=tilt,
            zoom=zoom,
            pan_speed=turns,
            tilt_speed=turns,
            zoom_speed=zoom_speed if zoom else 0,
        )

    @staticmethod
    def up(speed: int = 128) -> Motion:
        """Up."""
        return Ptz.move(tilt=Tilt.UP, speed=speed)

    @staticmethod
    def down(speed: int = 128) -> Motion:
        """Down."""
        return Ptz.move(tilt=Tilt.DOWN, speed=speed)

    @staticmethod
    def left(speed: int = 128) -> Motion:
        """To the left."""
        return Ptz.move(pan=Pan.LEFT, speed=speed)

    @staticmethod
    def right(speed: int = 128) -> Motion:
        """To the right."""
        return Ptz.move(pan=Pan.RIGHT, speed=speed)

    @staticmethod
    def zoom_in(speed: int = 8) -> Motion:
        """Closer; the speed is 0 to 15."""
        return Ptz.move(zoom=Zoom.IN, zoom_speed=speed)

    @staticmethod
    def zoom_out(speed: int = 8) -> Motion:
        """Wider; the speed is 0 to 15."""
        return Ptz.move(zoom=Zoom.OUT, zoom_speed=speed)

    @staticmethod
    def stop() -> Motion:
        """Stop pan, tilt, zoom, cruise and scan."""
        return Motion()

    @staticmethod
    def focus(direction: Focus, speed: int = 128) -> LensMotion:
        """Focus nearer or farther."""
        return LensMotion(focus=direction, focus_speed=speed)

    @staticmethod
    def iris(direction: Iris, speed: int = 128) -> LensMotion:
        """Open or close the iris."""
        return LensMotion(iris=direction, iris_speed=speed)

    @staticmethod
    def lens_stop() -> LensMotion:
        """Stop focus and iris."""
        return LensMotion()

    @staticmethod
    def set_preset(preset: int) -> PresetCommand:
        """Keep the present position under a number, 1 to 255."""
        return PresetCommand(action=PresetAction.SET, preset=preset)

    @staticmethod
    def call_preset(preset: int) -> PresetCommand:
        """Go to a preset."""
        return PresetCommand(action=PresetAction.CALL, preset=preset)

    @staticmethod
    def delete_preset(preset: int) -> PresetCommand:
        """Forget a preset."""
        return PresetCommand(action=PresetAction.DELETE, preset=preset)

    @staticmethod
    def add_cruise_point(cruise: int, preset: int) -> CruiseCommand:
        """Append a preset to a cruise, 0 to 255."""
        return CruiseCommand(action=CruiseAction.ADD_POINT, cruise=cruise, value=preset)

    @staticmethod
    def delete_cruise_point(cruise: int, preset: int) -> CruiseCommand:
        """Take a preset out of a cruise."""
        return CruiseCommand(action=CruiseAction.DELETE_POINT, cruise=cruise, value=preset)

    @staticmethod
    def delete_cruise(cruise: int) -> CruiseCommand:
        """Forget a whole cruise."""
        return CruiseCommand(action=CruiseAction.DELETE_POINT, cruise=cruise)

    @staticmethod
    def cruise_speed(cruise: int, speed: int) -> CruiseCommand:
        """Set the speed of a cruise, 0 to 4095."""
        return CruiseCommand(action=CruiseAction.SPEED, cruise=cruise, value=speed)

    @staticmethod
    def cruise_dwell(cruise: int, seconds: int) -> CruiseCommand:
        """Set how long a cruise stays at each point."""
        return CruiseCommand(action=CruiseAction.DWELL, cruise=cruise, value=seconds)

    @staticmethod
    def start_cruise(cruise: int) -> CruiseCommand:
        """Start a cruise; ``stop()`` ends it."""
        return CruiseCommand(action=CruiseAction.START, cruise=cruise)

    @staticmethod
    def start_scan(scan: int) -> ScanCommand:
        """Start an automatic scan; ``stop()`` ends it."""
        return ScanCommand(action=ScanAction.START, scan=scan)

    @staticmethod
    def scan_left_edge(scan: int) -> ScanCommand:
        """Make the present position the left edge of a scan."""
        return ScanCommand(action=ScanAction.LEFT_EDGE, scan=scan)

    @staticmethod
    def scan_right_edge(scan: int) -> ScanCommand:
        """Make the present position the right edge of a scan."""
        return ScanCommand(action=ScanAction.RIGHT_EDGE, scan=scan)

    @staticmethod
    def scan_speed(scan: int, speed: int) -> ScanCommand:
        """Set the speed of a scan, 0 to 4095."""
        return ScanCommand(action=ScanAction.SPEED, scan=scan, speed=speed)

    @staticmethod
    def switch(number: int, *, on: bool) -> SwitchCommand:
        """Turn an auxiliary switch, 0 to 255."""
        return SwitchCommand(action=SwitchAction.ON if on else SwitchAction.OFF, switch=number)

    @staticmethod
    def wiper(*, on: bool) -> SwitchCommand:
        """Turn the wiper: switch 1."""
        return Ptz.switch(_WIPER, on=on)
