"""The table of running streams."""

from __future__ import annotations

import asyncio

import pytest

from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.sdp import parse_sdp
from gb28181.sessions.streams import StreamKey, StreamKind
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingInvite


async def test_two_viewers_share_one_invite(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    key = StreamKey(camera.channels[0])
    channel = platform.channel(camera.channels[0])
    first, second = await asyncio.gather(channel.play().open(), channel.play().open())
    assert first.session is second.session
    assert len(camera.role.sessions) == 1
    assert platform.streams.users(key) == 2
    first.close()
    first.close()  # twice is once
    assert platform.streams.users(key) == 1
    second.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_stream_lingers_and_then_ends_with_bye(gb: Simulation) -> None:
    platform = await gb.platform(linger=5.0)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    live.close()
    await gb.advance(4.5)
    assert len(camera.role.sessions) == 1
    await gb.advance(1.0)
    assert camera.role.sessions == []
    assert (await live.session.ended).code == "no-reader"
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_viewer_within_the_linger_finds_the_stream_running(gb: Simulation) -> None:
    platform = await gb.platform(linger=5.0)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    channel = platform.channel(camera.channels[0])
    first = await channel.play().open()
    first.close()
    await gb.advance(4)
    second = await channel.play().open()
    assert second.session is first.session
    await gb.advance(10)
    assert not second.session.ended.done()
    second.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_main_and_sub_stream_are_two_invites(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.scripted()
    await camera.register()
    offers: list[dict[str, str]] = []

    async def note(incoming: IncomingInvite) -> None:
        offers.append(dict(parse_sdp(incoming.request.body).attributes))
        incoming.reject(486)

    camera.on_invite = note
    for kind in StreamKind:
        with pytest.raises(SessionLost):
            await platform.channel(camera.id).play(stream=kind).open()
    assert [offer.get("streamnumber") for offer in offers] == [None, "1"]


async def test_all_who_wait_learn_of_one_refusal(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.scripted()
    await camera.register()
    channel = platform.channel(camera.id)
    results = await asyncio.gather(
        *(channel.play().open() for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [SessionLost] * 3
    assert camera.methods().count("INVITE") == 1
    assert len(platform.streams) == 0


async def test_one_viewer_that_leaves_does_not_take_the_invite_from_the_others(
    gb: Simulation,
) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    channel = platform.channel(camera.channels[0])
    first = asyncio.ensure_future(channel.play().open())
    second = asyncio.ensure_future(channel.play().open())
    await asyncio.sleep(0)
    first.cancel()
    live = await second
    assert live.statistics.packets > 0
    live.close()
    await gb.advance(40)
    assert gb.leaks() == []


async def test_a_lease_may_be_a_block(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    key = StreamKey(camera.channels[0])
    async with await platform.streams.acquire(key) as lease:
        assert platform.streams.running() == {key: lease.session}
    assert platform.streams.users(key) == 0
    assert platform.streams.users(StreamKey("another")) == 0


async def test_without_a_free_media_port_there_is_no_stream(gb: Simulation) -> None:
    platform = await gb.platform(media_ports=range(30000, 30002))
    camera = await gb.device(channels=2)
    await gb.until(CatalogChanged)
    live = await platform.channel(camera.channels[0]).play().open()
    with pytest.raises(SessionLost) as told:
        await platform.channel(camera.channels[1]).play().open()
    assert told.value.cause.code == "no-resources"
    live.close()
    await gb.advance(40)
    assert gb.leaks() == []
    async with platform.channel(camera.channels[1]).play():
        assert len(platform.sessions.ssrcs) == 1
