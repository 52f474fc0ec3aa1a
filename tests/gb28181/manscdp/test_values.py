from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.manscdp import values
from gb28181.manscdp.values import format_time, parse_time

MOMENT = datetime(2024, 5, 1, 8, 0, 5)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-05-01T08:00:05", MOMENT),
        ("2024-05-01 08:00:05", MOMENT),
        ("2024-5-1T8:0:5", MOMENT),
        ("2024/05/01 08:00:05", MOMENT),
        ("2024-05-01T08:00:05.250", MOMENT.replace(microsecond=250_000)),
        ("2024-05-01T08:00:05.123456789", MOMENT.replace(microsecond=123_456)),
        ("2024-05-01T08:00:05+08:00", MOMENT),
        ("2024-05-01T00:00:05Z", MOMENT),
        ("2024-04-30T19:00:05-0500", MOMENT),
        ("2024-05-01", datetime(2024, 5, 1)),
        ("1714521605", MOMENT),
    ],
)
def test_times_are_read_in_all_forms_that_devices_write(text: str, moment: datetime) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-13-01T00:00:00", "2024-05-01T25:00:00", "9999-12-31T23:59:59-10:00", "12"],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # of datetime or of ours
        parse_time(text)


@given(st.datetimes())
def test_a_time_that_was_written_is_read_to_the_millisecond(moment: datetime) -> None:
    exact = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert parse_time(format_time(moment)) == exact


def test_a_time_with_a_zone_is_written_in_beijing_time() -> None:
    utc = datetime(2024, 5, 1, 0, 0, 5, tzinfo=UTC)
    assert format_time(utc) == "2024-05-01T08:00:05"
    assert format_time(utc.astimezone(timezone(timedelta(hours=-5)))) == "2024-05-01T08:00:05"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (values.INTEGER, "007", 7),
        (values.INTEGER, "-3", -3),
        (values.INTEGER, "25.0", 25),
        (values.NUMBER, "118.370001", 118.370001),
        (values.NUMBER, "1e-7", 1e-7),
        (values.FLAG, "65535", 1),
        (values.FLAG, "0", 0),
        (values.SWITCH, "online", "ON"),
        (values.SWITCH, "0", "OFF"),
        (values.SWITCH, "DEFECT", "DEFECT"),
        (values.RESULT, "ok", "OK"),
        (values.ONLINE, "On", "ONLINE"),
    ],
)
def test_texts_of_devices_have_a_value(kind: values.Kind, text: str, value: Any) -> None:
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.INTEGER, "1_0"),
        (values.INTEGER, "1.5"),
        (values.INTEGER, "９"),
        (values.INTEGER, "1e30"),
        (values.INTEGER, "9" * 50),
        (values.INTEGER, "inf"),
        (values.NUMBER, "nan"),
        (values.NUMBER, "inf"),
        (values.NUMBER, "1_0.0"),
        (values.NUMBER, "118,37"),
        (values.FLAG, "yes"),
        (values.TIME, "soon"),
    ],
)
def test_texts_without_a_value_are_refused(kind: values.Kind, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the reader reports the text itself
        kind.read(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [(118.37, "118.37"), (90.0, "90"), (-0.5, "-0.5"), (1e-7, "0.0000001"), (0.0, "0")],
)
def test_numbers_are_written_without_exponent(number: float, text: str) -> None:
    assert values.NUMBER.write(number) == text
