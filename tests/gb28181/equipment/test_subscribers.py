"""Subscriptions to a device: accepted with real notices, refused truthfully, ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gb28181.edition import Edition
from gb28181.equipment.subscribers import MAX_SUBSCRIPTIONS
from gb28181.manscdp.alarm import AlarmQuery, AlarmResponse
from gb28181.manscdp.catalog import CatalogItem, CatalogNotify, CatalogQuery, CatalogResult
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.control import DeviceControl, PtzPrecise
from gb28181.manscdp.device_info import DeviceInfoQuery
from gb28181.manscdp.position import (
    MobilePositionNotify,
    MobilePositionQuery,
    MobilePositionResponse,
)
from gb28181.manscdp.ptz_state import PtzPositionNotify, PtzPositionQuery
from gb28181.media.source import ClipSource
from gb28181.sessions.serving import DeviceChannel
from gb28181.testing.desk import DEVICE_ID, Desk
from gb28181.testing.simulation import Simulation
from gb28181.testing.synthetic import synthetic_clip
from sip.errors import SubscriptionRejected

CAMERA, OTHER = "34020000001320000001", "34020000001320000002"


def desk(gb: Simulation, **settings: Any) -> Desk:
    channels = [
        DeviceChannel(
            item=CatalogItem(device_id=one, name=one[-2:], parent_id=DEVICE_ID, status=status),
            source=lambda: ClipSource(synthetic_clip()),
        )
        for one, status in ((CAMERA, "ON"), (OTHER, "OFF"))
    ]
    return Desk(gb.network, channels, **settings)


def notices(room: Desk, kind: type[Any]) -> list[Any]:
    return [notice for _, notice in room.notified if isinstance(notice, kind)]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("edition", [Edition.GB2016, Edition.GB2022])
async def test_the_catalogue_says_at_once_what_is_off_and_then_what_changes(
    gb: Simulation, edition: Edition, transport: str
) -> None:
    async with desk(gb, edition=edition, transport=transport) as room:
        await room.subscribe(CatalogQuery(sn="1", device_id=DEVICE_ID), event="Catalog;id=7")
        await gb.advance(0.5)
        (first,) = notices(room, CatalogNotify)
        assert [(one.device_id, one.event) for one in first.items] == [(OTHER, "OFF")]
        room.device.change_channel(OTHER, status="ON")
        room.device.change_channel(CAMERA, name="West gate")
        await gb.advance(5)
        events = {one.device_id: one.event for one in notices(room, CatalogNotify)[-1].items}
        assert events == {OTHER: "ON", CAMERA: "UPDATE"}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("edition", [Edition.GB2016, Edition.GB2022])
async def test_a_vehicle_tells_where_it_is_at_the_interval(
    gb: Simulation, edition: Edition, transport: str
) -> None:
    async with desk(gb, edition=edition, transport=transport) as room:
        query = MobilePositionQuery(sn="1", device_id=DEVICE_ID, interval=10)
        await room.subscribe(query)
        await gb.advance(30.5)
        told = notices(room, MobilePositionNotify)
        assert len(told) == 4  # the first at once
        places = [one.positions[0] for one in told]
        assert {one.device_id for one in places} == {DEVICE_ID}
        assert len({one.longitude for one in places}) == 4
        assert bool(told[0].items) is (edition is Edition.GB2022)
        times = [at for at, _ in room.notified]
        assert times[1] - times[0] == pytest.approx(10.0, abs=0.2)


async def test_the_interval_may_change_with_a_refresh(gb: Simulation) -> None:
    async with desk(gb) as room:
        interval = 60

        def body() -> bytes:
            query = MobilePositionQuery(sn="1", device_id=DEVICE_ID, interval=interval)
            return encode(query, Edition.GB2022)

        subscription = await room.subscribe(
            MobilePositionQuery(sn="1", device_id=DEVICE_ID, interval=60), expires=90, body=body
        )
        interval = 2
        await gb.advance(200)
        assert not subscription.is_terminated
        assert len(room.notified) > 40


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_head_tells_where_it_looks_at_once_and_when_it_moves(
    gb: Simulation, transport: str
) -> None:
    async with desk(gb, transport=transport) as room:
        await room.subscribe(PtzPositionQuery(sn="1", device_id=CAMERA))
        await gb.advance(20)
        (first,) = notices(room, PtzPositionNotify)
        assert first.pan == 0.0
        await room.send(
            DeviceControl(sn="2", device_id=CAMERA, ptz_precise_ctrl=PtzPrecise(pan=180.0))
        )
        await gb.advance(20)
        told = notices(room, PtzPositionNotify)
        assert told[-1].pan == 180.0
        assert 2 <= len(told) <= 5
        assert len({one.sn for one in told}) == len(told)


async def test_a_subscription_ends_when_it_is_not_refreshed_or_is_given_up(gb: Simulation) -> None:
    async with desk(gb) as room:
        query = MobilePositionQuery(sn="1", device_id=DEVICE_ID, interval=1)
        subscription = await room.subscribe(query)
        assert len(room.device.subscribers) == 1
        await subscription.cancel()
        await gb.advance(1)
        count = len(room.notified)
        assert len(room.device.subscribers) == 0
        await gb.advance(10)
        assert len(room.notified) == count


async def test_a_platform_that_is_gone_loses_its_subscriptions(gb: Simulation) -> None:
    async with desk(gb) as room:
        await room.subscribe(MobilePositionQuery(sn="1", device_id=DEVICE_ID, interval=5))
        gb.network.partition("10.0.0.1", "10.0.1.1")
        await gb.advance(60)
        assert len(room.device.subscribers) == 0
        gb.network.heal()


@pytest.mark.parametrize(
    ("query", "edition", "status"),
    [
        (CatalogQuery(sn="1", device_id="34020000001180009999"), Edition.GB2022, 404),
        (AlarmQuery(sn="1", device_id="34020000001180009999"), Edition.GB2022, 404),
        (DeviceInfoQuery(sn="1", device_id=DEVICE_ID), Edition.GB2022, 489),
        (PtzPositionQuery(sn="1", device_id=CAMERA), Edition.GB2016, 489),
    ],
)
async def test_only_what_will_be_notified_is_accepted(
    gb: Simulation, query: Any, edition: Edition, status: int
) -> None:
    async with desk(gb, edition=edition) as room:
        with pytest.raises(SubscriptionRejected) as told:
            await room.subscribe(query)
        assert told.value.response.status == status


async def test_rubbish_is_no_subscription(gb: Simulation) -> None:
    async with desk(gb) as room:
        response = await room.request("SUBSCRIBE", b"<Query><SN>1", ("Event", "presence"))
        assert response.status == 400


@pytest.mark.parametrize(
    ("query", "result"),
    [
        (CatalogQuery(sn="5", device_id=DEVICE_ID), CatalogResult),
        (AlarmQuery(sn="5", device_id=DEVICE_ID), AlarmResponse),
        (MobilePositionQuery(sn="5", device_id=DEVICE_ID), MobilePositionResponse),
    ],
)
async def test_up_to_2016_the_answer_has_a_body(
    gb: Simulation, query: Any, result: type[Any]
) -> None:
    for edition in (Edition.GB2016, Edition.GB2022):
        async with desk(gb, edition=edition) as room:
            body = encode(query, edition)
            response = await room.request(
                "SUBSCRIBE", body, ("Event", "presence"), ("Expires", "60")
            )
            assert response.status == 200
            assert response.expires == 60
            if edition is Edition.GB2022:
                assert response.body == b""
                continue
            said = decode(response.body).message
            assert isinstance(said, result)
            assert (said.sn, said.result) == ("5", "OK")
        await asyncio.sleep(40)


async def test_one_subscription_too_many_is_told_to_wait(gb: Simulation) -> None:
    async with desk(gb) as room:
        for number in range(MAX_SUBSCRIPTIONS):
            query = AlarmQuery(sn=str(number), device_id=DEVICE_ID)
            await room.subscribe(query, event=f"presence;id={number}")
        with pytest.raises(SubscriptionRejected) as told:
            await room.subscribe(AlarmQuery(sn="99", device_id=DEVICE_ID), event="presence;id=99")
        assert told.value.response.status == 503


async def test_a_restart_ends_the_subscriptions(gb: Simulation) -> None:
    async with desk(gb) as room:
        subscription = await room.subscribe(AlarmQuery(sn="1", device_id=DEVICE_ID))
        await room.send(DeviceControl(sn="2", device_id=DEVICE_ID, tele_boot="Boot"))
        await asyncio.wait_for(asyncio.shield(subscription.terminated), 10)
        assert len(room.device.subscribers) == 0
