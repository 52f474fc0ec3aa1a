"""Parts of a download, laid over each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gb28181.media.join import Joiner, missing_of
from gb28181.media.moments import RecordingClock, end_of_span, joined, next_span
from rtp.access_unit import AccessUnit, Codec

STEP = 18_000  # five pictures a second
GROUP = 5


def picture(number: int, *, zero: int = 0, is_damaged: bool = False) -> AccessUnit:
    """The picture of that number, with its time stamp counted from ``zero``."""
    ticks = number * STEP - zero
    return AccessUnit(
        codec=Codec.H264,
        data=b"%d" % number,
        pts=ticks,
        dts=ticks,
        is_key=number % GROUP == 0,
        is_damaged=is_damaged,
    )


def sound(number: int, *, zero: int = 0) -> AccessUnit:
    ticks = number * STEP - zero
    return AccessUnit(codec=Codec.PCMA, data=b"%d" % number, pts=ticks, dts=ticks, is_key=True)


def names(units: list[AccessUnit]) -> list[int]:
    return [int(unit.data) for unit in units]


def push(joiner: Joiner, units: list[AccessUnit]) -> list[AccessUnit]:
    return [out for unit in units for out in joiner.push(unit)]


def test_one_part_goes_through_on_a_time_line_from_zero() -> None:
    joiner = Joiner(1000.0, 1100.0)
    joiner.begin(1000.0)
    out = push(joiner, [picture(n, zero=-77) for n in range(20)])
    assert names(out) == list(range(20))
    assert [unit.dts for unit in out] == [n * STEP for n in range(20)]
    assert joiner.position == pytest.approx(1004.0)
    assert joiner.covered[0] == pytest.approx((1000.0, 1004.0))


@pytest.mark.parametrize("broken_at", [7, 10, 13])
@pytest.mark.parametrize("again", [0, 5])
@pytest.mark.parametrize("zero", [0, 5 * STEP, -123_456])
def test_a_second_part_goes_on_in_the_middle_of_a_group(
    broken_at: int, again: int, zero: int
) -> None:
    joiner = Joiner(1000.0, 1100.0)
    joiner.begin(1000.0)
    out = push(joiner, [picture(n) for n in range(broken_at)])
    joiner.begin(1000.0 + again / 5)
    out += push(joiner, [picture(n, zero=zero) for n in range(again, 30)])
    assert names(out) == list(range(30))
    assert [unit.dts for unit in out] == [n * STEP for n in range(30)]
    assert not any(unit.is_discontinuous for unit in out)


def test_a_device_that_begins_elsewhere_than_asked_is_found_by_its_pictures() -> None:
    joiner = Joiner(1000.0, 1100.0)
    joiner.begin(1000.0)
    out = push(joiner, [picture(n) for n in range(23)])
    joiner.begin(1004.0)  # asked for picture 20, and it begins with 10
    out += push(joiner, [picture(n, zero=10 * STEP) for n in range(10, 40)])
    assert names(out) == list(range(40))


def test_a_part_without_known_pictures_goes_on_by_time_from_a_key_frame() -> None:
    joiner = Joiner(1000.0, 1100.0)
    joiner.begin(1000.0)
    out = push(joiner, [picture(n) for n in range(8)])
    joiner.begin(1004.0)
    out += push(joiner, [picture(n, zero=20 * STEP) for n in range(20, 50)])
    assert names(out)[:8] == list(range(8))
    assert names(out)[8:] == list(range(20, 50))
    assert out[8].is_key
    assert joiner.covered[1][0] == pytest.approx(1004.0)
    (missing,) = missing_of(joiner.covered, 1000.0, 1010.0, ())
    assert missing == pytest.approx((1001.6, 1004.0))


def test_what_is_damaged_is_left_out_and_mended_by_the_next_part() -> None:
    joiner = Joiner(1000.0, 1100.0)
    joiner.begin(1000.0)
    out = push(joiner, [picture(n) for n in range(7)])
    out += push(joiner, [picture(7, is_damaged=True), picture(8), picture(9)])
    assert names(out) == list(range(7))
    joiner.begin(1000.0)
    out += push(joiner, [picture(n) for n in range(15)])
    assert names(out) == list(range(15))


def test_sound_is_not_heard_twice() -> None:
    joiner = Joiner(1000.0, 1100.0)
    joiner.begin(1000.0)
    out = push(joiner, [unit for n in range(7) for unit in (picture(n), sound(n))])
    joiner.begin(1000.0)
    out += push(joiner, [unit for n in range(12) for unit in (picture(n), sound(n))])
    heard = names([unit for unit in out if unit.codec is Codec.PCMA])
    assert heard == list(range(12))


def test_what_lies_behind_the_end_is_left_out() -> None:
    joiner = Joiner(1000.0, 1002.0)
    joiner.begin(1000.0)
    assert names(push(joiner, [picture(n) for n in range(30)])) == list(range(10))


def test_looped_pictures_are_laid_over_the_nearest_of_their_like() -> None:
    loop = [replace(picture(n), data=b"%d" % (n % 10)) for n in range(60)]
    joiner = Joiner(1000.0, 1100.0)
    joiner.begin(1000.0)
    out = push(joiner, loop[:47])
    joiner.begin(1008.0)
    out += push(joiner, loop[40:])
    assert [unit.dts for unit in out] == [n * STEP for n in range(60)]


# Moments --------------------------------------------------------------------------------------


def test_a_gap_that_time_stamps_jump_over_is_known_without_a_list() -> None:
    clock = RecordingClock(1000.0)
    for number in (*range(10), *range(100, 110)):
        clock.note(picture(number))
    assert clock.position == pytest.approx(1000 + 109 / 5)


def test_a_gap_that_time_stamps_run_over_is_known_by_the_list() -> None:
    clock = RecordingClock(1000.0, spans=[(1000.0, 1002.0), (1050.0, 1060.0)])
    for number in range(25):
        clock.note(picture(number))
    assert clock.position is not None
    assert 1050 <= clock.position <= 1054


def test_a_start_in_a_gap_is_the_next_piece() -> None:
    clock = RecordingClock(1000.0, spans=[(1010.0, 1020.0)])
    assert clock.note(picture(0)) == 1010.0


def test_pieces_that_touch_are_one() -> None:
    assert joined([(5, 9), (0, 3), (3.5, 5)], 1, 8) == [(1, 8)]
    assert joined([(0, 2), (5, 9)], 0, 20) == [(0, 2), (5, 9)]
    assert next_span([(0, 2), (5, 9)], 2) == (5, 9)
    assert next_span([(0, 2)], 2) is None
    assert end_of_span([(0, 2), (5, 9)], 6) == 9
    assert end_of_span([(0, 2), (5, 9)], 3) is None


def test_only_what_is_on_the_disk_can_be_missing() -> None:
    covered = [(0.0, 10.0), (60.0, 68.0)]
    assert missing_of(covered, 0, 70, ()) == [(10.0, 60.0), (68.0, 70)]
    assert missing_of(covered, 0, 70, [(0, 10), (60, 70)]) == [(68.0, 70)]
    assert missing_of([], 0, 70, [(20, 30)]) == [(20, 30)]
