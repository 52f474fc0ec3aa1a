"""Plans: when recording is wanted."""

from __future__ import annotations

from datetime import datetime

import pytest

from gb28181.archive.plan import Plan, Window, plan_for
from gb28181.errors import ConfigError
from gb28181.manscdp.values import BEIJING


def at(day: int, clock: str) -> float:
    """A moment of the week that began on Monday, 2024-04-29, in Beijing."""
    hour, minute = clock.split(":")
    return datetime(2024, 4, 28 + day, int(hour), int(minute), tzinfo=BEIJING).timestamp()


@pytest.mark.parametrize(
    ("window", "inside", "outside"),
    [
        ("mon-fri 08:00-18:00", [(1, "08:00"), (2, "17:59")], [(1, "07:59"), (2, "18:00")]),
        ("SAT 20:00-06:00", [], [(1, "05:00")]),
        ("mon 20:00-06:00", [(1, "20:00"), (2, "05:59")], [(1, "05:59"), (2, "06:00")]),
        ("00:00-24:00", [(1, "00:00"), (2, "23:59")], []),
        ("sun-mon 00:00-24:00", [(1, "12:00")], [(2, "12:00")]),
        ("00:00-00:00", [(1, "00:00"), (2, "13:00")], []),
    ],
)
def test_windows_of_the_week(
    window: str, inside: list[tuple[int, str]], outside: list[tuple[int, str]]
) -> None:
    plan = Plan(channels=("",), windows=(Window.parse(window),))
    assert [moment for moment in inside if not plan.wants(at(*moment))] == []
    assert [moment for moment in outside if plan.wants(at(*moment))] == []


@pytest.mark.parametrize("text", ["", "always", "mon-", "foo 08:00-09:00", "08:00-25:00", "8-9"])
def test_what_is_no_time_of_the_week_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match=repr(text)):
        Window.parse(text)


def test_spans_are_what_is_wanted_of_a_time() -> None:
    plan = Plan(channels=("",), windows=(Window.parse("mon-tue 08:00-09:00"),))
    spans = plan.spans(at(1, "08:30"), at(2, "08:10"))
    assert spans == [(at(1, "08:30"), at(1, "09:00")), (at(2, "08:00"), at(2, "08:10"))]
    assert Plan(channels=("",)).spans(10.0, 20.0) == [(10.0, 20.0)]
    assert Plan(channels=("",), alarms_only=True).spans(10.0, 20.0) == []


def test_the_first_plan_about_a_channel_counts() -> None:
    gate = Plan(channels=("34020000001320000001",), keep_days=90)
    village = Plan(channels=("3402", "3403"))
    assert plan_for((gate, village), "34020000001320000001") is gate
    assert plan_for((gate, village), "34030000001320000002") is village
    assert plan_for((gate, village), "44030000001320000002") is None
