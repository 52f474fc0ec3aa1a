"""The platform's outgoing commands."""

from __future__ import annotations

import asyncio

import pytest

from gb28181.errors import CommandFailed, NoAnswer
from gb28181.events import DeviceOnline
from gb28181.manscdp.codec import decode
from gb28181.manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from gb28181.manscdp.device_status import DeviceStatusResponse
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingRequest


async def test_serial_numbers_are_not_repeated(gb: Simulation) -> None:
    platform = await gb.platform()
    numbers = [platform.commands.next_sn() for _ in range(100)]
    assert len(set(numbers)) == 100


async def test_an_answer_may_overtake_the_200(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    async def hasty(incoming: IncomingRequest) -> None:
        query = decode(incoming.request.body).message
        assert isinstance(query, DeviceInfoQuery)
        await camera.send(DeviceInfoResponse(sn=query.sn, device_id=camera.id, result="OK"))
        await asyncio.sleep(0.3)
        incoming.respond(200)

    camera.on_message = hasty
    await camera.register()
    assert (await platform.device(camera.id).device_info()).result == "OK"
    assert platform.commands.pending == 0


async def test_many_queries_at_once_find_their_answers(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.device()
    await gb.until(DeviceOnline)
    device = platform.device(camera.id)
    answers = await asyncio.gather(*(device.device_status() for _ in range(20)))
    assert [answer.result for answer in answers] == ["OK"] * 20


async def test_an_answer_of_another_class_is_a_failure(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.device()
    await gb.until(DeviceOnline)
    query = DeviceInfoQuery(sn=platform.commands.next_sn(), device_id=camera.id)
    with pytest.raises(CommandFailed, match="DeviceInfoResponse"):
        await platform.commands.ask_one(platform.device(camera.id), query, DeviceStatusResponse)


async def test_a_device_that_goes_ends_what_waits_for_it(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    async def silent(incoming: IncomingRequest) -> None:
        incoming.respond(200)

    camera.on_message = silent
    await camera.register()
    asking = asyncio.ensure_future(platform.device(camera.id).device_info())
    await gb.advance(1)
    await camera.register(expires=0)
    await gb.advance(0.1)
    assert asking.done()
    with pytest.raises(NoAnswer):
        await asking
    assert platform.commands.pending == 0


async def test_a_caller_that_gives_up_leaves_nothing(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    async def silent(incoming: IncomingRequest) -> None:
        incoming.respond(200)

    camera.on_message = silent
    await camera.register()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await platform.device(camera.id).device_info()
    assert platform.commands.pending == 0
    await gb.advance(0.1)
    assert gb.leaks() == []
