from __future__ import annotations

import pytest

from gb28181.equipment.guard import Guard

DEVICE, INPUT, CAMERA = "34020000001180000001", "34020000001340000001", "34020000001320000001"


def guard(*, armed: bool = True) -> Guard:
    return Guard(DEVICE, [INPUT], [CAMERA], armed=armed)


def test_after_a_device_alarm_a_source_is_silent_until_it_is_reset() -> None:
    panel = guard()
    assert panel.raise_alarm(INPUT, "2", "1") == ""
    assert panel.sources[INPUT].duty == "ALARM"
    assert panel.raise_alarm(INPUT, "2", "2") == "silent"
    assert panel.raise_alarm(CAMERA, "2", "1") == ""  # another source
    assert panel.reset(INPUT, None, None)
    assert panel.sources[INPUT].duty == "ONDUTY"
    assert panel.raise_alarm(INPUT, "2", "2") == ""


def test_a_video_alarm_silences_nothing() -> None:
    panel = guard()
    assert panel.raise_alarm(CAMERA, "5", "2") == ""
    assert panel.raise_alarm(CAMERA, "5", "2") == ""
    assert panel.raise_alarm(CAMERA, "2", "1") == ""


def test_what_is_not_armed_gives_no_alarm() -> None:
    panel = guard(armed=False)
    assert panel.raise_alarm(INPUT, "2", "1") == "disarmed"
    assert panel.sources[INPUT].duty == "OFFDUTY"
    assert panel.arm(DEVICE, True)  # all of them
    assert panel.raise_alarm(INPUT, "2", "1") == ""


@pytest.mark.parametrize(
    ("methods", "kind", "duty"),
    [
        (None, None, "ONDUTY"),
        ("0", None, "ONDUTY"),
        ("2", None, "ONDUTY"),
        ("1/2", "0", "ONDUTY"),
        ("12", "1", "ONDUTY"),
        ("5", None, "ALARM"),
        ("2", "3", "ALARM"),
    ],
)
def test_a_reset_may_be_for_some_alarms_only(
    methods: str | None, kind: str | None, duty: str
) -> None:
    panel = guard()
    panel.raise_alarm(INPUT, "2", "1")
    assert panel.reset(DEVICE, methods, kind)
    assert panel.sources[INPUT].duty == duty


def test_what_is_not_there_is_neither_armed_nor_reset() -> None:
    panel = guard()
    assert not panel.arm("34020000001349999999", True)
    assert not panel.reset("34020000001349999999", None, None)
    with pytest.raises(KeyError):
        panel.raise_alarm("34020000001349999999", "2", "1")


def test_power_off_ends_the_alarm_and_keeps_the_guard() -> None:
    panel = guard()
    panel.arm(CAMERA, False)
    panel.raise_alarm(INPUT, "2", "1")
    panel.forget()
    assert [one.duty for one in panel.sources.values()] == ["ONDUTY", "ONDUTY", "OFFDUTY"]
