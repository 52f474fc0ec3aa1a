"""A camera's head and lens: they move, remember presets, go on tours and come home."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatchmethod
from typing import TYPE_CHECKING

from ..manscdp.control import HomePosition
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
from .axis import Axis
from .tour import Stop, Tour

if TYPE_CHECKING:
    from ..manscdp.control import DragZoom, PtzPrecise

MAX_POINTS = 64
"""Points of one cruise; more are refused."""
_SPEEDS = 256
_FINE_SPEEDS = 4096
_ZOOM_SPEEDS = 16
_RESET_TIME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a head can do; the values of an ordinary dome."""

    lowest_tilt: float = -30.0
    """Degrees; up is negative."""
    highest_tilt: float = 90.0
    zoom: float = 36.0
    """The most, in times."""
    pan_rate: float = 120.0
    """Degrees per second at full speed, as the next."""
    tilt_rate: float = 80.0
    zoom_rate: float = 12.0
    """Times per second at full speed."""
    lens_rate: float = 0.5
    """Focus and iris, the share of their whole way per second at full speed."""
    field_angle: float = 60.0
    """Degrees that the picture shows across without zoom."""
    view_distance: float = 200.0
    """Metres that it sees without zoom."""
    longest_motion: float = 30.0
    """Seconds after which a motion ends by itself when its stop was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Where a head looks."""

    pan: float = 0.0
    """Degrees from 0 up to 360, clockwise from above."""
    tilt: float = 0.0
    """Degrees, down is positive."""
    zoom: float = 1.0
    """Times."""
    focus: float = 0.5
    """0 near to 1 far."""
    iris: float = 0.5
    """0 closed to 1 open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredView:
    """A preset."""

    name: str
    view: View


@dataclass(frozen=True, slots=True, kw_only=True)
class Cruise:
    """A cruise track."""

    name: str
    points: tuple[int, ...] = ()
    """Presets."""
    speed: int = 2048
    """To 4095."""
    dwell: int = 10
    """Seconds at each point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A scan between two edges, in degrees; all round while one of them is not set."""

    left: float | None = None
    right: float | None = None
    speed: int = 1024
    """To 4095."""


class Refused(Exception):
    """A command that the state of the device does not allow; the text says why."""


class Head:
    """Turns a camera. All times are those of one clock, in seconds, and never fall.

    Source: GB/T 28181-2022 A.3, A.2.3.1.9 to A.2.3.1.11.
    """

    __slots__ = (
        "_busy_until", "_focus", "_iris", "_is_home", "_pan", "_tilt", "_tour", "_zoom",
        "cruises", "home", "ignored", "presets", "reach", "scans", "switches",
    )  # fmt: skip

    def __init__(self, reach: Reach | None = None) -> None:
        self.reach = reach or Reach()
        self.presets: dict[int, StoredView] = {}
        self.cruises: dict[int, Cruise] = {}
        self.scans: dict[int, Scan] = {}
        self.switches: set[int] = set()
        """Auxiliary switches that are on; 1 is the wiper."""
        self.home: HomePosition | None = None
        self.ignored = 0
        """Commands that named what is not there."""
        limits = self.reach
        self._pan = Axis(0.0, 360.0, at=0.0, turns=True)
        self._tilt = Axis(limits.lowest_tilt, limits.highest_tilt, at=0.0)
        self._zoom = Axis(1.0, limits.zoom, at=1.0)
        self._focus = Axis(0.0, 1.0, at=0.5)
        self._iris = Axis(0.0, 1.0, at=0.5)
        self._tour: Tour | None = None
        self._busy_until = 0.0
        self._is_home = False

    # Looking --------------------------------------------------------------------------------

    def view(self, now: float) -> View:
        """Where it looks."""
        self._settle(now)
        return View(
            pan=self._pan.at(now),
            tilt=self._tilt.at(now),
            zoom=self._zoom.at(now),
            focus=self._focus.at(now),
            iris=self._iris.at(now),
        )

    def is_moving(self, now: float) -> bool:
        """Whether it turns or zooms, or is on a tour."""
        self._settle(now)
        return self._tour is not None or any(one.is_moving(now) for one in self._axes)

    def tour(self, now: float) -> tuple[str, int] | None:
        """The kind and number of the tour that it is on."""
        self._settle(now)
        return None if self._tour is None else (self._tour.kind, self._tour.number)

    def field_angles(self, now: float) -> tuple[float, float]:
        """Degrees that the picture shows, across and down."""
        across = self.reach.field_angle / self.view(now).zoom
        return across, across * 9 / 16

    @property
    def _axes(self) -> tuple[Axis, Axis, Axis]:
        return self._pan, self._tilt, self._zoom

    # Commands -------------------------------------------------------------------------------

    def take(self, command: object, now: float, *, name: str | None = None) -> None:
        """Do what eight bytes said; ``name`` is of a preset or cruise that is set."""
        self._settle(now)
        self._take(command, now, name)

    def precise(self, wanted: PtzPrecise, now: float) -> None:
        """Go to an exact position, as near as it can be reached; what is not named stays."""
        view = self.view(now)
        self._begin(now)
        self._go(
            replace(
                view,
                pan=view.pan if wanted.pan is None else wanted.pan,
                tilt=view.tilt if wanted.tilt is None else wanted.tilt,
                zoom=view.zoom if wanted.zoom is None else wanted.zoom,
            ),
            now,
        )

    def drag(self, box: DragZoom, now: float, *, closer: bool) -> None:
        """Look at a box of the picture: magnify it to the window, or shrink the window into it.

        Raises:
            Refused: The window or the box has no size.
        """
        if min(box.length, box.width, box.length_x, box.length_y) <= 0:
            raise Refused("the window and the box must have a size")
        across, down = self.field_angles(now)
        view = self.view(now)
        times = min(box.length / box.length_x, box.width / box.length_y)
        self._begin(now)
        self._go(
            replace(
                view,
                pan=view.pan + (box.mid_point_x / box.length - 0.5) * across,
                tilt=view.tilt + (box.mid_point_y / box.width - 0.5) * down,
                zoom=view.zoom * times if closer else view.zoom / times,
            ),
            now,
        )

    def follow(self, now: float) -> None:
        """Follow somebody who walks to and fro before it."""
        pan = self.view(now).pan
        stops = [Stop(pan=pan + 15.0, speed=0.05), Stop(pan=pan - 15.0, speed=0.05)]
        self._start_tour("track", 0, stops, now)

    def set_home(self, home: HomePosition, now: float) -> None:
        """Set where it goes when nobody has moved it for ``reset_time``, or that it does not.

        Raises:
            Refused: The preset is not set.
        """
        self._settle(now)
        old = self.home or HomePosition(enabled=0)
        index = old.preset_index if home.preset_index is None else home.preset_index
        time = old.reset_time if home.reset_time is None else home.reset_time
        if not home.enabled:
            self.home = replace(old, enabled=0)
            return
        if index is None or index not in self.presets:
            raise Refused(f"preset {index} is not set" if index is not None else "no preset named")
        if time is not None and not 1 <= time <= 86_400:
            raise Refused(f"a reset time of {time} s is not from 1 to 86400")
        self.home = HomePosition(enabled=1, reset_time=time or _RESET_TIME, preset_index=index)
        self._busy_until = max(now, self._busy_until)
        self._is_home = False

    def stop(self, now: float) -> None:
        """End every motion and tour."""
        self._settle(now)
        self._begin(now)
        for axis in (*self._axes, self._focus, self._iris):
            axis.stop(now)

    # The eight bytes ------------------------------------------------------------------------

    @singledispatchmethod
    def _take(self, command: object, now: float, name: str | None) -> None:
        self.ignored += 1

    @_take.register
    def _move(self, command: Motion, now: float, name: str | None) -> None:
        self._begin(now)
        reach = self.reach
        right = {Pan.RIGHT: 1, Pan.LEFT: -1, None: 0}[command.pan]
        down = {Tilt.DOWN: 1, Tilt.UP: -1, None: 0}[command.tilt]
        closer = {Zoom.IN: 1, Zoom.OUT: -1, None: 0}[command.zoom]
        rates = (
            right * reach.pan_rate * _share(command.pan_speed, _SPEEDS),
            down * reach.tilt_rate * _share(command.tilt_speed, _SPEEDS),
            closer * reach.zoom_rate * _share(command.zoom_speed, _ZOOM_SPEEDS),
        )
        for axis, rate in zip(self._axes, rates, strict=True):
            axis.drive(rate, now, longest=reach.longest_motion)
        if any(rates):
            self._busy_until = now + reach.longest_motion

    @_take.register
    def _move_lens(self, command: LensMotion, now: float, name: str | None) -> None:
        rate = self.reach.lens_rate
        far = {Focus.FAR: 1, Focus.NEAR: -1, None: 0}[command.focus]
        wider = {Iris.OPEN: 1, Iris.CLOSE: -1, None: 0}[command.iris]
        longest = self.reach.longest_motion
        focus_rate = far * rate * _share(command.focus_speed, _SPEEDS)
        iris_rate = wider * rate * _share(command.iris_speed, _SPEEDS)
        self._focus.drive(focus_rate, now, longest=longest)
        self._iris.drive(iris_rate, now, longest=longest)

    @_take.register
    def _preset(self, command: PresetCommand, now: float, name: str | None) -> None:
        number = command.preset
        if command.action is PresetAction.SET:
            known = self.presets.get(number)
            own = _cut(name or "", 255) or (known.name if known else f"preset {number}")
            self.presets[number] = StoredView(name=own, view=self.view(now))
        elif number not in self.presets:
            self.ignored += 1
        elif command.action is PresetAction.CALL:
            self._begin(now)
            self._go(self.presets[number].view, now)
        else:
            self._forget_preset(number, now)

    @_take.register
    def _cruise(self, command: CruiseCommand, now: float, name: str | None) -> None:
        number, value = command.cruise, command.value
        cruise = self.cruises.get(number) or Cruise(name=f"cruise {number}")
        if name:
            cruise = replace(cruise, name=_cut(name, 32))
        match command.action:
            case CruiseAction.ADD_POINT if (
                value in self.presets and len(cruise.points) < MAX_POINTS
            ):
                self.cruises[number] = replace(cruise, points=(*cruise.points, value))
            case CruiseAction.SPEED:
                self.cruises[number] = replace(cruise, speed=value)
            case CruiseAction.DWELL:
                self.cruises[number] = replace(cruise, dwell=value)
            case CruiseAction.DELETE_POINT if number in self.cruises:
                left = tuple(point for point in cruise.points if point != value) if value else ()
                self._keep_points(number, left, now)
            case CruiseAction.START if cruise.points:
                self._start_tour("cruise", number, self._cruise_stops(cruise), now)
            case _:
                self.ignored += 1

    @_take.register
    def _scan(self, command: ScanCommand, now: float, name: str | None) -> None:
        scan = self.scans.get(command.scan) or Scan()
        match command.action:
            case ScanAction.LEFT_EDGE:
                scan = replace(scan, left=self.view(now).pan)
            case ScanAction.RIGHT_EDGE:
                scan = replace(scan, right=self.view(now).pan)
            case ScanAction.SPEED:
                scan = replace(scan, speed=command.speed)
            case ScanAction.START:
                self._start_tour("scan", command.scan, _scan_stops(scan), now)
        self.scans[command.scan] = scan

    @_take.register
    def _switch(self, command: SwitchCommand, now: float, name: str | None) -> None:
        if command.action is SwitchAction.ON:
            self.switches.add(command.switch)
        else:
            self.switches.discard(command.switch)

    # Within ---------------------------------------------------------------------------------

    def _forget_preset(self, number: int, now: float) -> None:
        del self.presets[number]
        if self.home is not None and self.home.preset_index == number:
            self.home = replace(self.home, enabled=0)
        for key, cruise in tuple(self.cruises.items()):
            if number in cruise.points:
                left = tuple(point for point in cruise.points if point != number)
                self._keep_points(key, left, now)

    def _keep_points(self, number: int, points: tuple[int, ...], now: float) -> None:
        if self._tour is not None and (self._tour.kind, self._tour.number) == ("cruise", number):
            self._begin(now)
        if points:
            self.cruises[number] = replace(self.cruises[number], points=points)
        else:
            del self.cruises[number]

    def _cruise_stops(self, cruise: Cruise) -> list[Stop]:
        views = [self.presets[point].view for point in cruise.points]
        return [
            Stop(
                pan=view.pan, tilt=view.tilt, zoom=view.zoom,
                stay=cruise.dwell, speed=_share(cruise.speed, _FINE_SPEEDS),
            )
            for view in views
        ]  # fmt: skip

    def _start_tour(self, kind: str, number: int, stops: list[Stop], now: float) -> None:
        self._begin(now)
        self._tour = Tour(stops, kind=kind, number=number)
        self._tour.begin(now, self._go_to_stop)

    def _go_to_stop(self, stop: Stop, now: float) -> float:
        return max(
            axis.go(axis.at(now) if target is None else target, rate * stop.speed, now)
            for axis, target, rate in zip(
                self._axes, (stop.pan, stop.tilt, stop.zoom), self._rates, strict=True
            )
        )

    def _go(self, view: View, now: float) -> None:
        targets = (view.pan, view.tilt, view.zoom)
        self._busy_until = max(
            axis.go(target, rate, now)
            for axis, target, rate in zip(self._axes, targets, self._rates, strict=True)
        )
        for axis, target in ((self._focus, view.focus), (self._iris, view.iris)):
            axis.go(target, self.reach.lens_rate, now)

    @property
    def _rates(self) -> tuple[float, float, float]:
        return self.reach.pan_rate, self.reach.tilt_rate, self.reach.zoom_rate

    def _begin(self, now: float) -> None:
        """A command of its own ends what was before; and nobody has touched it since."""
        self._tour = None
        self._busy_until = now
        self._is_home = False
        for axis in self._axes:
            axis.stop(now)

    def _settle(self, now: float) -> None:
        """Do what has come due since the last look: the legs of a tour, the way home."""
        if self._tour is not None:
            self._tour.advance(now, self._go_to_stop)
            return
        home = self.home
        if home is None or not home.enabled or self._is_home or home.preset_index is None:
            return
        due = self._busy_until + (home.reset_time or _RESET_TIME)
        if now >= due:
            self._go(self.presets[home.preset_index].view, due)
            self._is_home = True


def _share(speed: int, steps: int) -> float:
    """Return the share of full speed; the lowest speed is slow, not none (A.3.2)."""
    return (min(speed, steps - 1) + 1) / steps


def _scan_stops(scan: Scan) -> list[Stop]:
    speed = _share(scan.speed, _FINE_SPEEDS)
    if scan.left is None or scan.right is None:
        # All round, to the left first: in thirds, so that no leg has a shorter way back.
        return [Stop(pan=place, speed=speed) for place in (240.0, 120.0, 0.0)]
    return [Stop(pan=scan.left, speed=speed), Stop(pan=scan.right, speed=speed)]


def _cut(text: str, limit: int) -> str:
    """Cut a text to so many bytes of GB 18030, between characters."""
    while len(text.encode("gb18030", "replace")) > limit:
        text = text[:-1]
    return text
