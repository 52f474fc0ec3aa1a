"""Arming: guard, subscription and reset, again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gb28181.commands.outcome import Stage
from gb28181.errors import ConfigError
from gb28181.events import Alarm
from gb28181.manscdp.alarm import AlarmNotify, AlarmResponse
from gb28181.manscdp.control import DeviceControl, DeviceControlResponse
from gb28181.testing.answering import AnsweringDevice
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingRequest, IncomingSubscribe

Make = Callable[..., Awaitable[AnsweringDevice]]


class Camera:
    """A camera that tells alarms under guard alone, and each only after the last was reset."""

    def __init__(self, device: AnsweringDevice, *, subscribes: bool = True) -> None:
        self.device = device
        self.guarded = False
        self.alarmed = False
        self.subscribed = 0
        self._others = device.camera.on_message
        self._subscribes = subscribes
        device.camera.on_message = self._serve
        device.scripts[DeviceControl] = self._control

    async def see(self, sn: str) -> bool:
        """See somebody; tell it if it may."""
        if not self.guarded or self.alarmed:
            return False
        self.alarmed = True
        notify = AlarmNotify(
            sn=sn, device_id=self.device.id, priority="1", method="2", time="2024-05-01T08:00:00",
            alarm_type="2",
        )  # fmt: skip
        return await self.device.say(notify) == 200

    def _control(self, command: DeviceControl) -> list[Any]:
        if command.guard_cmd is not None:
            self.guarded = command.guard_cmd == "SetGuard"
        if command.alarm_cmd is not None:
            assert (command.alarm_method, command.alarm_type) == ("2", "2")
            self.alarmed = False
        return [DeviceControlResponse(sn=command.sn, device_id=command.device_id)]

    async def _serve(self, incoming: IncomingRequest) -> None:
        if isinstance(incoming, IncomingSubscribe):
            if self._subscribes:
                self.subscribed += 1
                incoming.accept()
            else:
                incoming.respond(405)
            return
        await self._others(incoming)


async def test_an_armed_camera_tells_one_alarm_after_another(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    camera = Camera(device)
    assert not await camera.see("1")
    armed = await device.remote.arm()
    assert armed
    assert armed.guard is not None
    assert armed.guard.stage is Stage.DONE
    assert armed.subscription is not None
    assert armed.subscription.state == "accepted"
    for sn in ("1", "2", "3"):
        assert await camera.see(sn)
        assert await gb.until(Alarm)
        await gb.until(lambda: not camera.alarmed, within=5)
    assert armed.resets_done == 3
    assert armed.subscription.notified == 3
    assert len(device.asked_for(AlarmResponse)) == 3


async def test_an_alarm_that_was_not_kept_is_not_reset(gb: Simulation, answering: Make) -> None:
    device = await answering()
    camera = Camera(device)

    @device.platform.on_alarm
    async def fail(alarm: Alarm) -> None:
        raise OSError("the disk is full")

    armed = await device.remote.arm()
    assert await camera.see("1")
    await gb.advance(60)
    await device.camera.register()
    assert camera.alarmed
    assert armed.resets_done == 0


async def test_who_wants_to_reset_by_hand_can(gb: Simulation, answering: Make) -> None:
    device = await answering()
    camera = Camera(device)
    await device.remote.arm(resets=False)
    await camera.see("1")
    await gb.advance(5)
    assert camera.alarmed
    assert await device.remote.reset_alarm(method="2", alarm_type="2")
    assert not camera.alarmed


async def test_a_camera_that_comes_back_is_armed_again(gb: Simulation, answering: Make) -> None:
    device = await answering()
    camera = Camera(device)
    await device.remote.arm()
    await device.camera.register(expires=0)
    camera.guarded, subscribed = False, camera.subscribed
    await device.camera.register()
    await gb.until(lambda: camera.guarded, within=5)
    await gb.until(lambda: camera.subscribed > subscribed, within=5)


async def test_one_that_is_away_is_armed_when_it_comes(gb: Simulation, answering: Make) -> None:
    device = await answering()
    camera = Camera(device)
    await device.camera.register(expires=0)
    armed = await device.remote.arm()
    assert not armed
    await device.camera.register()
    await gb.until(lambda: camera.guarded and armed, within=5)


async def test_a_recorder_that_refuses_the_subscription_tells_alarms_all_the_same(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    camera = Camera(device, subscribes=False)
    armed = await device.remote.arm()
    assert armed.subscription is not None
    assert armed.subscription.state == "refused"
    assert armed  # by the guard
    assert await camera.see("1")
    assert await gb.until(Alarm)
    assert armed.subscription.by_message == 1


async def test_disarming_undoes_both(gb: Simulation, answering: Make) -> None:
    device = await answering()
    camera = Camera(device)
    await device.remote.arm()
    assert await device.remote.disarm()
    assert not camera.guarded
    assert device.remote.subscriptions == ()
    with pytest.raises(ConfigError, match="is not armed"):
        await device.remote.disarm()
    await device.camera.register(expires=0)
    await device.camera.register()
    await gb.advance(5)
    assert not camera.guarded
    assert camera.subscribed == 1
