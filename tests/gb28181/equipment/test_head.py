from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.equipment.head import MAX_POINTS, Head, Refused
from gb28181.errors import MalformedCommand
from gb28181.manscdp.control import DragZoom, HomePosition, PtzPrecise
from gb28181.ptz import (
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
    UnknownPtzCommand,
    Zoom,
    decode_ptz,
)


def preset(action: PresetAction, number: int = 1) -> PresetCommand:
    return PresetCommand(action=action, preset=number)


def cruise(action: CruiseAction, value: int = 0, number: int = 0) -> CruiseCommand:
    return CruiseCommand(action=action, cruise=number, value=value)


def head_with_presets(*pans: float) -> Head:
    head = Head()
    for number, pan in enumerate(pans, 1):
        head.precise(PtzPrecise(pan=pan), 0.0)
        head.take(Motion(), 100.0 * number)
        head = _at(head, pan, 100.0 * number, number)
    return head


def _at(head: Head, pan: float, now: float, number: int) -> Head:
    head.precise(PtzPrecise(pan=pan), now)
    head.take(preset(PresetAction.SET, number), now + 50.0)
    return head


# Motion -----------------------------------------------------------------------------------------


def test_full_speed_to_the_right_is_the_rate_of_the_head() -> None:
    head = Head()
    head.take(Motion(pan=Pan.RIGHT, pan_speed=255), 10.0)
    assert head.view(11.0).pan == pytest.approx(head.reach.pan_rate)
    head.take(Motion(), 11.0)
    assert head.view(60.0).pan == pytest.approx(head.reach.pan_rate)


def test_the_lowest_speed_is_slow_and_not_none() -> None:
    head = Head()
    head.take(Motion(tilt=Tilt.UP, tilt_speed=0), 0.0)
    assert -1.0 < head.view(1.0).tilt < 0.0


def test_all_axes_move_together_and_a_cleared_bit_stops_its_axis() -> None:
    head = Head()
    both = Motion(
        pan=Pan.LEFT, tilt=Tilt.DOWN, zoom=Zoom.IN, pan_speed=127, tilt_speed=127, zoom_speed=15
    )
    head.take(both, 0.0)
    view = head.view(0.5)
    assert (view.pan > 300, view.tilt > 0, view.zoom > 1) == (True, True, True)
    head.take(Motion(pan=Pan.LEFT, pan_speed=127), 0.5)
    later = head.view(1.0)
    assert (later.tilt, later.zoom) == (view.tilt, view.zoom)
    assert later.pan < view.pan


def test_the_lens_has_a_stop_of_its_own() -> None:
    head = Head()
    head.take(LensMotion(focus=Focus.FAR, iris=Iris.CLOSE, focus_speed=127, iris_speed=127), 0.0)
    head.take(Motion(), 0.2)
    assert head.view(0.4).focus == pytest.approx(0.6)
    assert head.view(0.4).iris == pytest.approx(0.4)
    head.take(LensMotion(), 0.4)
    assert head.view(9.0).focus == pytest.approx(0.6)


def test_a_motion_ends_by_itself_when_its_stop_was_lost() -> None:
    head = Head()
    head.take(Motion(pan=Pan.RIGHT, pan_speed=0), 0.0)
    assert head.is_moving(29.0)
    assert not head.is_moving(31.0)


def test_switches_and_what_is_unknown() -> None:
    head = Head()
    head.take(SwitchCommand(action=SwitchAction.ON, switch=1), 0.0)
    head.take(SwitchCommand(action=SwitchAction.ON, switch=5), 0.0)
    head.take(SwitchCommand(action=SwitchAction.OFF, switch=5), 0.0)
    head.take(UnknownPtzCommand(code=0x60), 0.0)
    assert (head.switches, head.ignored) == ({1}, 1)


# Exact positions --------------------------------------------------------------------------------


def test_an_exact_position_is_reached_and_the_rest_stays() -> None:
    head = Head()
    head.precise(PtzPrecise(pan=120.5, zoom=4.0), 0.0)
    assert head.is_moving(0.01)
    view = head.view(10.0)
    assert (view.pan, view.tilt, view.zoom) == pytest.approx((120.5, 0.0, 4.0))


def test_beyond_its_reach_it_goes_as_far_as_it_can() -> None:
    head = Head()
    head.precise(PtzPrecise(pan=725.0, tilt=200.0, zoom=72.0), 0.0)
    view = head.view(60.0)
    assert (view.pan, view.tilt, view.zoom) == pytest.approx((5.0, 90.0, 36.0))


BOX = DragZoom(length=1280, width=720, mid_point_x=960, mid_point_y=180, length_x=320, length_y=180)


def test_dragging_in_brings_the_box_to_the_middle_and_out_undoes_the_zoom() -> None:
    head = Head()
    head.drag(BOX, 0.0, closer=True)
    view = head.view(60.0)
    # A quarter of 60 degrees to the right, a quarter of 33.75 up, four times.
    assert (view.pan, view.tilt, view.zoom) == pytest.approx((15.0, -8.4375, 4.0))
    head.drag(BOX, 60.0, closer=False)
    assert head.view(120.0).zoom == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["length", "width", "length_x", "length_y"])
def test_a_box_without_size_is_refused(name: str) -> None:
    sides: dict[str, Any] = {name: 0}
    box = replace(BOX, **sides)
    with pytest.raises(Refused):
        Head().drag(box, 0.0, closer=True)


# Presets, cruises, scans ------------------------------------------------------------------------


def test_a_preset_is_come_back_to() -> None:
    head = head_with_presets(40.0)
    head.precise(PtzPrecise(pan=200.0), 500.0)
    head.take(preset(PresetAction.CALL), 600.0)
    assert head.view(700.0).pan == pytest.approx(40.0)
    assert head.presets[1].name == "preset 1"
    head.take(preset(PresetAction.SET), 700.0, name="gate")
    head.take(preset(PresetAction.SET), 701.0)
    assert head.presets[1].name == "gate"


def test_a_preset_that_is_not_there_moves_nothing() -> None:
    head = Head()
    head.take(preset(PresetAction.CALL, 9), 0.0)
    head.take(preset(PresetAction.DELETE, 9), 0.0)
    assert (head.is_moving(0.1), head.ignored) == (False, 2)


def cruising(head: Head, dwell: int = 10) -> Head:
    for number in sorted(head.presets):
        head.take(cruise(CruiseAction.ADD_POINT, number), 1000.0)
    head.take(cruise(CruiseAction.SPEED, 4095), 1000.0)
    head.take(cruise(CruiseAction.DWELL, dwell), 1000.0)
    head.take(cruise(CruiseAction.START), 1000.0)
    return head


def test_a_cruise_goes_round_and_stays_at_each_point() -> None:
    head = cruising(head_with_presets(0.0, 120.0))
    assert head.tour(1000.0) == ("cruise", 0)
    # It stands at 120 degrees, so: 1 s to the first point, 10 s there, 1 s to the second, 10 s.
    seen = [head.view(1000.0 + second).pan for second in (0.5, 5.0, 11.5, 15.0, 22.5, 25.0)]
    assert seen == pytest.approx([60.0, 0.0, 60.0, 120.0, 60.0, 0.0])
    head.take(Motion(), 1026.0)
    assert head.tour(1026.0) is None
    assert not head.is_moving(1026.0)


def test_a_cruise_that_nobody_watched_for_years_is_caught_up_at_once() -> None:
    head = cruising(head_with_presets(0.0, 0.0), dwell=0)
    assert head.tour(1e9) == ("cruise", 0)
    assert 0.0 <= head.view(1e9).pan < 360.0


def test_a_deleted_preset_leaves_the_cruise_and_an_empty_cruise_is_none() -> None:
    head = cruising(head_with_presets(0.0, 120.0))
    head.take(preset(PresetAction.DELETE, 1), 1001.0)
    assert head.cruises[0].points == (2,)
    assert head.tour(1001.0) is None
    head.take(cruise(CruiseAction.DELETE_POINT, 2), 1002.0)
    assert head.cruises == {}
    head.take(cruise(CruiseAction.START), 1003.0)
    assert head.tour(1003.0) is None


def test_a_whole_cruise_is_deleted_by_point_0() -> None:
    head = cruising(head_with_presets(0.0, 120.0))
    head.take(cruise(CruiseAction.DELETE_POINT, 0), 1001.0)
    assert head.cruises == {}


def test_a_cruise_takes_only_presets_that_are_set_and_not_too_many() -> None:
    head = head_with_presets(0.0)
    for _ in range(MAX_POINTS + 5):
        head.take(cruise(CruiseAction.ADD_POINT, 1), 0.0)
    head.take(cruise(CruiseAction.ADD_POINT, 200), 0.0)
    assert len(head.cruises[0].points) == MAX_POINTS
    assert head.ignored == 6


def test_the_name_of_a_cruise_is_cut_to_32_bytes() -> None:
    head = head_with_presets(0.0)
    head.take(cruise(CruiseAction.ADD_POINT, 1), 0.0, name="夜" * 20)
    assert head.cruises[0].name == "夜" * 16


def test_a_scan_swings_between_its_edges() -> None:
    head = Head()
    for action, pan, at in (
        (ScanAction.RIGHT_EDGE, 60.0, 100.0),
        (ScanAction.LEFT_EDGE, 0.0, 200.0),
    ):
        head.precise(PtzPrecise(pan=pan), at - 50)
        head.take(ScanCommand(action=action, scan=1), at)
    head.take(ScanCommand(action=ScanAction.SPEED, scan=1, speed=4095), 300.0)
    head.take(ScanCommand(action=ScanAction.START, scan=1), 300.0)
    assert head.tour(300.0) == ("scan", 1)
    pans = {round(head.view(300.0 + step / 10).pan) for step in range(100)}
    assert min(pans) == 0
    assert max(pans) == 60


def test_a_scan_without_edges_goes_all_round_to_the_left() -> None:
    head = Head()
    head.take(ScanCommand(action=ScanAction.SPEED, scan=0, speed=4095), 0.0)
    head.take(ScanCommand(action=ScanAction.START, scan=0), 0.0)
    pans = [head.view(second / 2).pan for second in range(1, 7)]
    assert pans == pytest.approx([300.0, 240.0, 180.0, 120.0, 60.0, 0.0], abs=1e-6)


# Home -------------------------------------------------------------------------------------------


def test_it_comes_home_when_nobody_has_touched_it_for_long_enough() -> None:
    head = head_with_presets(40.0)
    head.precise(PtzPrecise(pan=200.0), 1000.0)
    head.set_home(HomePosition(enabled=1, reset_time=60, preset_index=1), 1010.0)
    assert head.view(1069.0).pan == pytest.approx(200.0)
    assert head.view(1075.0).pan == pytest.approx(40.0)
    # Touched again: again after the time.
    head.take(Motion(pan=Pan.RIGHT, pan_speed=255), 1100.0)
    head.take(Motion(), 1101.0)
    assert head.view(1160.0).pan == pytest.approx(160.0)
    assert head.view(1170.0).pan == pytest.approx(40.0)


def test_it_does_not_go_home_from_a_tour_or_when_switched_off() -> None:
    head = cruising(head_with_presets(0.0, 120.0))
    head.set_home(HomePosition(enabled=1, reset_time=1, preset_index=2), 1000.0)
    assert head.tour(2000.0) == ("cruise", 0)
    head.take(Motion(), 2000.0)
    head.set_home(HomePosition(enabled=0), 2000.0)
    here = head.view(2000.0).pan
    assert head.view(9000.0).pan == here
    assert head.home == HomePosition(enabled=0, reset_time=1, preset_index=2)


@pytest.mark.parametrize(
    "home",
    [
        HomePosition(enabled=1, reset_time=60, preset_index=7),
        HomePosition(enabled=1, reset_time=60),
        HomePosition(enabled=1, reset_time=0, preset_index=1),
    ],
)
def test_a_home_that_cannot_be_is_refused(home: HomePosition) -> None:
    head = head_with_presets(40.0)
    with pytest.raises(Refused):
        head.set_home(home, 200.0)
    assert head.home is None


def test_a_deleted_home_is_no_home() -> None:
    head = head_with_presets(40.0)
    head.set_home(HomePosition(enabled=1, reset_time=1, preset_index=1), 200.0)
    head.take(preset(PresetAction.DELETE, 1), 200.0)
    assert head.home is not None
    assert head.home.enabled == 0
    assert head.view(9000.0).pan == pytest.approx(40.0)


@given(st.lists(st.tuples(st.binary(min_size=6, max_size=6), st.floats(0, 1e6)), max_size=30))
def test_whatever_bytes_come_it_stays_within_its_reach(
    frames: list[tuple[bytes, float]],
) -> None:
    head, now = Head(), 0.0
    for body, pause in frames:
        frame = b"\xa5" + body
        text = (frame + bytes([sum(frame) & 0xFF])).hex()
        try:
            command = decode_ptz(text).command
        except MalformedCommand:
            continue
        now += pause
        head.take(command, now)
        view = head.view(now + pause)
        assert 0.0 <= view.pan <= 360.0
        assert -30.0 <= view.tilt <= 90.0
        assert 1.0 <= view.zoom <= 36.0
        now += pause
