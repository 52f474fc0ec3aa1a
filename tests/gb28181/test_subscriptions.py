"""Subscriptions of a platform, and the ledger that says what really came of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from gb28181.edition import Edition
from gb28181.errors import ConfigError
from gb28181.events import Alarm, Position
from gb28181.manscdp.alarm import AlarmNotify, AlarmQuery
from gb28181.manscdp.codec import CONTENT_TYPE, decode, encode
from gb28181.manscdp.position import MobilePositionNotify, MobilePositionQuery
from gb28181.manscdp.ptz_state import PtzPositionQuery
from gb28181.testing.answering import AnsweringDevice
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingSubscribe

if TYPE_CHECKING:
    from gb28181.manscdp.schema import Message
    from sip.endpoint import IncomingRequest, IncomingSubscription

Make = Callable[..., Awaitable[AnsweringDevice]]


class Publisher:
    """Accepts subscriptions, or refuses them, and notifies when told."""

    def __init__(self, device: AnsweringDevice) -> None:
        self.device = device
        self.status = 200
        self.expires: int | None = None
        self.bodies: list[Message] = []
        self.events: list[str] = []
        self.running: list[IncomingSubscription] = []
        self._others = device.camera.on_message
        device.camera.on_message = self.serve

    async def serve(self, incoming: IncomingRequest) -> None:
        if not isinstance(incoming, IncomingSubscribe):
            await self._others(incoming)
            return
        self.bodies.append(decode(incoming.request.body).message)
        self.events.append(incoming.request.headers.get("Event") or "")
        if self.status != 200:
            incoming.respond(self.status)
            return
        self.running.append(incoming.accept(expires=self.expires))

    async def notify(self, message: Message) -> None:
        await self.running[-1].notify(encode(message, Edition.GB2022), content_type=CONTENT_TYPE)


def alarm(device: AnsweringDevice, sn: str = "7") -> AlarmNotify:
    return AlarmNotify(
        sn=sn, device_id=device.id, priority="1", method="5", time="2024-05-01T08:00:00"
    )


def place(device: AnsweringDevice) -> MobilePositionNotify:
    return MobilePositionNotify(sn="8", device_id=device.id, longitude=118.0, latitude=31.0)


async def test_the_ledger_follows_a_subscription_from_asking_to_its_renewals(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    loop = asyncio.get_running_loop()
    before = loop.time()
    ledger = await device.remote.subscribe_position(interval=10)
    assert (ledger.kind, ledger.target, ledger.state) == ("position", device.id, "accepted")
    assert ledger.asked_at is not None
    assert before <= ledger.asked_at <= loop.time()
    assert ledger.accepted_at is not None
    assert ledger.expires_at == pytest.approx(loop.time() + 3600, abs=1)
    (query,) = publisher.bodies
    assert isinstance(query, MobilePositionQuery)
    assert query.interval == 10
    assert publisher.events[0].startswith("presence")
    # Accepted, and nothing came yet: that is known too.
    assert not ledger.is_notifying
    assert ledger.first_notified_at is None
    await publisher.notify(place(device))
    assert await gb.until(Position)
    assert ledger.is_notifying
    assert (ledger.notified, ledger.by_message) == (1, 0)
    assert ledger.first_notified_at is not None
    assert device.remote.subscriptions == (ledger,)
    for _ in range(130):
        await gb.advance(minutes=1)
        await device.camera.register()
    assert ledger.renewals == 3  # at two thirds of an hour each
    assert ledger.losses == 0
    assert ledger.state == "accepted"


async def test_a_device_that_answers_200_and_then_sends_messages_is_notifying(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    Publisher(device)
    ledger = await device.remote.subscribe_alarms()
    assert await device.say(alarm(device)) == 200
    assert await gb.until(Alarm)
    assert ledger.is_notifying
    assert (ledger.notified, ledger.by_message) == (1, 1)
    assert device.remote.quirks_seen["Alarm told by MESSAGE in place of NOTIFY"] == 1


async def test_an_alarm_by_notify_is_handled_and_has_its_sip_answer_alone(
    gb: Simulation, answering: Make
) -> None:
    """2022 A.2.5.3: Response/Alarm answers what came by MESSAGE."""
    device = await answering()
    publisher = Publisher(device)
    kept: list[str] = []

    @device.platform.on_alarm
    async def keep(alarm: Alarm) -> None:
        kept.append(alarm.notify.sn)

    ledger = await device.remote.subscribe_alarms()
    assert isinstance(publisher.bodies[0], AlarmQuery)
    await publisher.notify(alarm(device))
    assert await gb.until(Alarm)
    await gb.advance(5)
    assert kept == ["7"]
    assert ledger.by_message == 0
    assert "MESSAGE" not in device.camera.methods()


async def test_a_refusal_is_kept_and_not_repeated_until_it_registers_anew(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    publisher.status = 489
    ledger = await device.remote.subscribe_ptz_position()
    assert (ledger.state, ledger.reason) == ("refused", "489 Bad Event")
    assert isinstance(publisher.bodies[0], PtzPositionQuery)
    await gb.advance(minutes=2)
    await device.camera.register()
    await gb.advance(minutes=2)
    assert len(publisher.bodies) == 1
    publisher.status = 200
    await device.camera.register(expires=0)
    await device.camera.register()
    await gb.until(lambda: ledger.state == "accepted", within=5)
    assert len(publisher.bodies) == 2


async def test_one_that_got_no_answer_is_asked_for_again(gb: Simulation, answering: Make) -> None:
    device = await answering()
    publisher = Publisher(device)
    publisher.status = 503
    ledger = await device.remote.subscribe_position()
    assert (ledger.state, ledger.losses) == ("lost", 0)
    publisher.status = 200
    await gb.advance(61)
    assert ledger.state == "accepted"


async def test_a_subscription_outlives_the_absence_of_its_device(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    ledger = await device.remote.subscribe_position()
    await device.camera.register(expires=0)
    await gb.advance(1)
    assert (ledger.state, ledger.losses) == ("lost", 1)
    assert ledger.reason == "it is offline"
    await device.camera.register()
    await gb.until(lambda: ledger.state == "accepted", within=5)
    await publisher.notify(place(device))
    assert await gb.until(Position)
    assert gb.leaks() == []


async def test_what_is_wanted_of_a_device_that_is_away_waits_for_it(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    await device.camera.register(expires=0)
    ledger = await device.remote.subscribe_position()
    assert ledger.state == "waiting"
    assert publisher.bodies == []
    await device.camera.register()
    await gb.until(lambda: ledger.state == "accepted", within=5)


async def test_wanting_twice_is_one_subscription_and_another_interval_a_new_one(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    first = await device.remote.subscribe_position(interval=5)
    assert await device.remote.subscribe_position(interval=5) is first
    assert len(publisher.running) == 1
    assert await device.remote.subscribe_position(interval=30) is first
    await gb.advance(1)
    assert len(publisher.running) == 2
    assert isinstance(publisher.bodies[-1], MobilePositionQuery)
    assert publisher.bodies[-1].interval == 30
    with pytest.raises(ConfigError, match="interval of 0"):
        await device.remote.subscribe_position(interval=0)


async def test_a_cancelled_subscription_ends_at_the_device_too(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    ledger = await device.remote.subscribe_position()
    await device.remote.unsubscribe(ledger)
    assert ledger.state == "ended"
    assert device.remote.subscriptions == ()
    await gb.until(lambda: publisher.running[0].is_terminated, within=5)
    await device.camera.register(expires=0)
    await device.camera.register()
    await gb.advance(minutes=2)
    assert len(publisher.running) == 1
    assert gb.leaks() == []


async def test_two_kinds_at_one_device_do_not_replace_each_other(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    alarms = await device.remote.subscribe_alarms()
    positions = await device.remote.subscribe_position()
    assert len(set(publisher.events)) == 2
    await publisher.running[0].notify(
        encode(alarm(device), Edition.GB2022), content_type=CONTENT_TYPE
    )
    await publisher.running[1].notify(
        encode(place(device), Edition.GB2022), content_type=CONTENT_TYPE
    )
    assert await gb.until(Alarm)
    await gb.advance(1)
    assert (alarms.notified, positions.notified) == (1, 1)


async def test_the_end_by_the_device_is_a_loss_and_is_mended(
    gb: Simulation, answering: Make
) -> None:
    device = await answering()
    publisher = Publisher(device)
    ledger = await device.remote.subscribe_position()
    await publisher.running[0].terminate("timeout")
    await gb.until(lambda: ledger.state == "lost", within=5)
    assert ledger.losses == 1
    await gb.until(lambda: ledger.state == "accepted", within=65)


async def test_what_the_edition_lacks_is_not_asked_for(answering: Make) -> None:
    device = await answering(edition=Edition.GB2016)
    publisher = Publisher(device)
    ledger = await device.remote.subscribe_ptz_position()
    assert ledger.state == "refused"
    assert "2.0" in ledger.reason
    assert publisher.bodies == []
