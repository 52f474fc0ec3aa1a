"""How fast a recording really runs."""

from __future__ import annotations

import pytest

from gb28181.sessions.pace import PaceMeter, Verdict
from rtp.access_unit import AccessUnit, Codec


def measured(
    asked: float, moments: list[float], *, period: float = 0.2, keys: int = 1, before: float = 0.2
) -> tuple[float | None, Verdict, float]:
    """Feed a meter one picture every ``period`` seconds."""
    meter = PaceMeter(asked, before, 0.0)
    for number, moment in enumerate(moments):
        unit = AccessUnit(codec=Codec.H264, data=b"", pts=0, dts=0, is_key=number % keys == 0)
        if meter.push(unit, moment, number * period):
            break
    return meter.result()


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
def test_a_speed_is_media_time_over_wall_time(speed: float) -> None:
    pace, verdict, factor = measured(speed, [100 + n * 0.2 * speed for n in range(60)])
    assert pace == pytest.approx(speed)
    assert (verdict, factor) == (Verdict.VERIFIED, 1.0)


def test_a_speed_that_is_ignored_is_found_out() -> None:
    pace, verdict, _ = measured(4.0, [100 + n * 0.2 for n in range(60)])
    assert pace == pytest.approx(1.0)
    assert verdict is Verdict.IGNORED


def test_time_stamps_that_follow_the_wall_are_stretched() -> None:
    """Four times as many pictures a second, each a quarter of the time after the one before."""
    pace, verdict, factor = measured(4.0, [100 + n * 0.05 for n in range(200)], period=0.05)
    assert pace == pytest.approx(4.0)
    assert (verdict, factor) == (Verdict.VERIFIED, 4.0)


def test_key_frames_alone_are_enough() -> None:
    pace, verdict, _ = measured(8.0, [100 + n * 4.0 for n in range(60)], period=0.5)
    assert pace == pytest.approx(8.0)
    assert verdict is Verdict.VERIFIED


def test_in_reverse_only_key_frames_count() -> None:
    moments = [200 - group + place * 0.2 for group in range(20) for place in range(5)]
    pace, verdict, _ = measured(-1.0, moments, keys=5)
    assert pace == pytest.approx(-1.0)
    assert verdict is Verdict.VERIFIED


def test_nothing_seen_is_no_verdict_against_the_device() -> None:
    assert measured(4.0, []) == (None, Verdict.ACCEPTED, 1.0)
