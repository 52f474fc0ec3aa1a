from __future__ import annotations

import pytest

from rtp.mpegps.clock import Clock


def test_pts_and_dts_are_unwrapped_for_all_tracks_together() -> None:
    clock, top = Clock(), 1 << 33
    assert clock.resolve(0, top - 10, top - 20, 0) == (top - 10, top - 20, None)
    assert clock.resolve(1, 5, None, 15) == (top + 5, top + 5, None)
    assert clock.resolve(0, 30, top - 5, 40) == (top + 30, top - 5, None)


def test_an_absurd_dts_is_left_out() -> None:
    assert Clock().resolve(0, 90_000, 180_000, 0) == (90_000, 90_000, None)


def test_a_missing_pts_follows_the_rtp_timestamp_from_the_last_one() -> None:
    clock = Clock()
    clock.resolve(0, 1000, None, 500)
    assert clock.resolve(0, None, None, 4100) == (4600, 4600, "pts_missing")


def test_with_both_clocks_still_the_order_is_kept() -> None:
    clock = Clock()
    stamps = [clock.resolve(0, None, None, 7)[0] for _ in range(3)]
    assert stamps == [7, 8, 9]


def test_a_jump_of_both_clocks_is_believed() -> None:
    clock = Clock()
    clock.resolve(0, 1 << 30, None, 1 << 30)
    assert clock.resolve(0, 100, None, 100) == (100, 100, None)


def test_following_needs_a_unit_before() -> None:
    clock = Clock()
    assert clock.follow(1, 900) is None
    clock.resolve(1, 100, None, 0)
    assert clock.follow(1, 900) == (1000, 1000)


@pytest.mark.parametrize("jump", [3600 * 90_000, -1800 * 90_000])
def test_a_jump_of_pts_alone_is_bridged_for_all_tracks(jump: int) -> None:
    clock, begin = Clock(), 1 << 31
    stamps = []
    for number in range(8):
        at = begin + 3600 * number + (jump if number >= 4 else 0)
        stamps.append(clock.resolve(0, at, None, 3600 * number))
        clock.resolve(1, at + 7, None, 3600 * number + 7)
    assert [pts for pts, _, _ in stamps] == [begin + 3600 * number for number in range(8)]
    assert [repair for _, _, repair in stamps] == [None] * 4 + ["pts_jump"] + [None] * 3


def test_a_jump_of_pts_is_a_pause_where_the_rtp_clock_counts_frames() -> None:
    clock = Clock()
    clock.resolve(0, 90_000, None, 1)
    assert clock.resolve(0, 90_000 + 30 * 90_000, None, 2) == (31 * 90_000, 31 * 90_000, None)


def test_a_tape_may_jump() -> None:
    clock = Clock(may_jump=True)
    clock.resolve(0, 90_000, None, 0)
    assert clock.resolve(0, 90_000 * 3600, None, 3600)[0] == 90_000 * 3600


def test_a_missing_pts_follows_the_rtp_timestamp_over_its_wrap() -> None:
    clock, begin = Clock(), (1 << 32) - 5000
    stamps = [clock.resolve(0, None, None, (begin + 3600 * n) % (1 << 32))[0] for n in range(4)]
    assert stamps == [begin + 3600 * number for number in range(4)]
