"""Alarms: handed to the user, acknowledged when kept, never lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gb28181.events import Alarm, AlarmUnkept
from gb28181.manscdp.alarm import AlarmNotify, AlarmResponse
from gb28181.testing.answering import AnsweringDevice
from gb28181.testing.simulation import Simulation

Make = Callable[..., Awaitable[AnsweringDevice]]


def alarm(device: AnsweringDevice, sn: str = "7") -> AlarmNotify:
    return AlarmNotify(
        sn=sn, device_id=device.id, priority="1", method="5", time="2024-05-01T08:00:00"
    )


def answers(device: AnsweringDevice) -> list[str]:
    return [one.sn for one in device.asked_for(AlarmResponse)]


async def test_a_handler_that_hangs_is_tried_again_counted_and_told(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    platform = device.platform

    @platform.on_alarm
    async def hang(alarm: Alarm) -> None:
        await asyncio.Event().wait()

    assert await device.say(alarm(device)) == 200
    told = await gb.until(AlarmUnkept, within=40)
    assert told is not None
    assert told.notify.sn == "7"
    assert told.reason.startswith("TimeoutError")
    await gb.advance(3)
    assert platform.alarms.failures == 3
    assert [one.notify.sn for one in platform.alarms.unkept] == ["7"]
    assert platform.health()["alarms_unkept"] == 1
    assert answers(device) == []
    assert gb.leaks() == []


async def test_an_alarm_that_was_not_kept_may_be_told_again(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    is_broken = True

    @device.platform.on_alarm
    async def keep(alarm: Alarm) -> None:
        if is_broken:
            raise OSError("the disk is full")

    await device.say(alarm(device))
    await gb.until(AlarmUnkept, within=40)
    is_broken = False
    await device.say(alarm(device))
    await gb.until(lambda: answers(device) == ["7"], within=5)


async def test_an_alarm_that_is_told_twice_is_kept_once_and_answered_twice(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    kept: list[str] = []

    @device.platform.on_alarm
    async def keep(alarm: Alarm) -> None:
        await asyncio.sleep(2)
        kept.append(alarm.notify.sn)

    await device.say(alarm(device))
    await device.say(alarm(device))  # it has no patience
    await gb.until(lambda: answers(device) == ["7"], within=5)
    await device.say(alarm(device))  # the answer was lost
    await gb.until(lambda: answers(device) == ["7", "7"], within=5)
    assert kept == ["7"]
    # The same number after a restart of the device is another alarm.
    await device.say(replace(alarm(device), time="2024-05-02T08:00:00"))
    await gb.until(lambda: len(kept) == 2, within=5)


async def test_the_answer_waits_for_a_device_that_went_away(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    kept: list[str] = []

    @device.platform.on_alarm
    async def keep(alarm: Alarm) -> None:
        await asyncio.sleep(3)
        kept.append(alarm.notify.sn)

    await device.say(alarm(device))
    await device.camera.register(expires=0)
    await gb.advance(5)
    assert kept == ["7"]
    assert answers(device) == []
    await device.camera.register()
    await gb.until(lambda: answers(device) == ["7"], within=5)
    await device.camera.register(expires=0)
    await device.camera.register()
    await gb.advance(5)
    assert answers(device) == ["7"]


async def test_a_flood_of_alarms_is_bounded_and_what_is_turned_away_comes_again(
    gb: Simulation, answering: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gb28181.alarms.AT_ONCE", 3)
    device = await answering()
    release = asyncio.Event()

    @device.platform.on_alarm
    async def keep(alarm: Alarm) -> None:
        await release.wait()

    for number in range(5):
        assert await device.say(alarm(device, sn=str(number))) == 200
    alarms = device.platform.alarms
    assert (alarms.pending, alarms.turned_away) == (3, 2)
    release.set()
    await gb.until(lambda: len(answers(device)) == 3, within=5)
    await device.say(alarm(device, sn="4"))
    await gb.until(lambda: "4" in answers(device), within=5)


async def test_all_handlers_are_given_it_and_all_must_keep_it(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    given: list[str] = []

    @device.platform.on_alarm
    async def first(alarm: Alarm) -> None:
        given.append("first")

    @device.platform.on_alarm
    async def second(alarm: Alarm) -> None:
        given.append("second")

    await device.say(alarm(device))
    await gb.until(lambda: answers(device) == ["7"], within=5)
    assert given == ["first", "second"]
