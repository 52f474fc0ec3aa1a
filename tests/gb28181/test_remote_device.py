"""A device as its platform sees it: what can be asked of it."""

from __future__ import annotations

import pytest

from gb28181.errors import AnswerIncomplete, DeviceNotOnline, NoAnswer, RequestRejected
from gb28181.events import CatalogChanged, DeviceOnline
from gb28181.manscdp.catalog import CatalogItem, CatalogQuery, CatalogResponse
from gb28181.manscdp.codec import decode
from gb28181.testing.scripted import ScriptedDevice
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingRequest


async def test_a_catalogue_of_many_pages_arrives_whole(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=60)
    changed = await gb.until(CatalogChanged)
    assert changed is not None
    assert set(changed.added) == set(camera.channels)
    pages = [
        one
        for one in gb.network.trace
        if one.source[0] == camera.host.address and b"<SumNum>60</SumNum>" in one.data
    ]
    assert len(pages) > 10
    assert max(page.size for page in pages) < 2000
    assert len(platform.channels()) == 60
    assert platform.owner_of(camera.channels[7]) is platform.device(camera.id)
    # Asked again, nothing has changed and nobody is told.
    answer = await platform.device(camera.id).catalog()
    assert (answer.complete, answer.received, answer.expected) == (True, 60, 60)
    assert sum(isinstance(event, CatalogChanged) for event in gb.events) == 1


async def test_a_part_of_the_catalogue_does_not_replace_the_whole(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device(channels=3)
    await gb.until(CatalogChanged)
    answer = await platform.device(camera.id).catalog(device_id=camera.channels[1])
    assert [item.device_id for item in answer.items] == [camera.channels[1]]
    assert len(platform.device(camera.id).channels) == 3


async def test_a_catalogue_that_stays_incomplete_changes_nothing(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.scripted()

    async def half(incoming: IncomingRequest) -> None:
        incoming.respond(200)
        query = decode(incoming.request.body).message
        assert isinstance(query, CatalogQuery)
        item = CatalogItem(device_id=camera.id, name="one of two")
        await camera.send(
            CatalogResponse(sn=query.sn, device_id=query.device_id, sum_num=2, items=(item,))
        )

    camera.on_message = half
    await camera.register()
    with pytest.raises(AnswerIncomplete) as told:
        await platform.device(camera.id).catalog()
    assert (told.value.received, told.value.expected) == (1, 2)
    assert "1 of 2 items" in str(told.value)
    assert platform.device(camera.id).channels == ()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_what_a_device_says_of_itself(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device("dahua-nvr", channels=2)
    await gb.until(CatalogChanged)
    device = platform.device(camera.id)
    info = await device.device_info()
    assert (info.manufacturer, info.channel) == ("Dahua", 2)
    status = await device.device_status()
    assert (status.result, status.online) == ("OK", "ONLINE")
    assert "online=True" in repr(device)


async def asked(gb: Simulation, status: int | None) -> ScriptedDevice:
    camera = await gb.scripted()

    async def answer(incoming: IncomingRequest) -> None:
        if status is not None:
            incoming.respond(status)

    camera.on_message = answer
    await camera.register()
    return camera


async def test_a_query_that_is_refused(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await asked(gb, 501)
    with pytest.raises(RequestRejected) as told:
        await platform.device(camera.id).catalog()
    assert told.value.status == 501


async def test_a_query_that_is_taken_and_not_answered(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await asked(gb, 200)
    with pytest.raises(NoAnswer, match="sent no answer"):
        await platform.device(camera.id).device_info()


async def test_a_query_that_reaches_nobody(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await asked(gb, None)
    with pytest.raises(NoAnswer, match="did not answer DeviceInfo"):
        await platform.device(camera.id).device_info()
    await gb.advance(0.1)
    assert gb.leaks() == []


async def test_a_device_that_never_registered_cannot_be_asked(gb: Simulation) -> None:
    platform = await gb.platform()
    with pytest.raises(DeviceNotOnline, match="is not registered"):
        await platform.device("34020000001320000009").catalog()


async def test_a_device_behind_a_broken_connection_cannot_be_asked(gb: Simulation) -> None:
    platform = await gb.platform(asks_catalog=False)
    camera = await gb.device(transport="tcp", retry=60.0)
    await gb.until(DeviceOnline)
    camera.host.crash()
    await gb.advance(0.1)
    device = platform.device(camera.id)
    assert not device.is_online
    with pytest.raises(DeviceNotOnline, match="does not answer"):
        await device.device_info()
