"""The handle on a camera."""

from __future__ import annotations

import asyncio

import pytest

from gb28181.errors import SessionLost
from gb28181.events import CatalogChanged
from gb28181.media.receiver import Receiver
from gb28181.sessions.live import Backoff
from gb28181.testing.simulation import Simulation


def test_the_delay_doubles_up_to_the_longest() -> None:
    backoff = Backoff(1.0, 30.0)
    assert [backoff.delay(n) for n in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert backoff.delay(10_000) == 30


async def test_a_handle_is_valid_before_the_device_came(gb: Simulation) -> None:
    platform = await gb.platform()
    channel = platform.channel("34020000001320010001")
    assert channel.item is None
    assert not channel.is_online
    with pytest.raises(SessionLost) as told:
        await channel.play().open()
    assert (told.value.cause.code, told.value.cause.permanent) == ("unknown-channel", False)
    camera = await gb.device()
    await gb.until(CatalogChanged)
    assert camera.channels == (channel.id,)
    assert channel.is_online
    assert channel.item is not None
    assert channel.item.name is not None
    assert channel.item.name.endswith("0001")
    assert channel.id in repr(channel)
    await camera.stop()
    assert not channel.is_online
    with pytest.raises(SessionLost) as told:
        await channel.play().open()
    assert (told.value.cause.code, told.value.cause.permanent) == ("offline", False)


async def test_a_late_viewer_begins_with_a_key_frame(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    play = platform.channel(camera.channels[0]).play()
    async with play as first:
        units = first.units()
        assert (await anext(units)).is_key
        await gb.advance(0.35)
        async with platform.channel(camera.channels[0]).play() as second:
            late = second.units()
            assert (await anext(late)).is_key
            await late.aclose()
        await units.aclose()


async def test_iterating_gives_the_stream_again_after_a_loss(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    losses: list[str] = []

    async def view() -> None:
        async for live in platform.channel(camera.channels[0]).play(retry=Backoff(1.0, 30.0)):
            try:
                async for _ in live.units():
                    pass
            except SessionLost as lost:
                losses.append(lost.cause.code)

    viewer = await gb.start(view())
    for number in range(3):
        await gb.until(lambda: len(camera.role.sessions) == 1, within=30)
        await gb.advance(2)
        await camera.role.sessions[0].call.bye(reason="again")
        await gb.until(lambda n=number: len(losses) == n + 1, within=5)  # type: ignore[misc]
    assert losses == ["bye"] * 3
    viewer.cancel()
    await gb.advance(60)
    assert gb.leaks() == []


async def test_iterating_waits_for_a_device_that_is_away(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    await camera.stop()
    seen = asyncio.Event()

    async def view() -> None:
        async for live in platform.channel(camera.channels[0]).play():
            async for _ in live.units():
                seen.set()
                return

    await gb.start(view())
    await gb.advance(100)
    assert not seen.is_set()
    await camera.restart()
    await gb.until(seen.is_set, within=40)
    await gb.advance(60)
    assert gb.leaks() == []


async def test_iterating_ends_with_a_permanent_cause(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.scripted()
    await camera.register()
    camera.on_invite = camera.refuse(404)
    with pytest.raises(SessionLost, match="404"):  # noqa: PT012  a loop is what is tested
        async for _ in platform.channel(camera.id).play():
            raise AssertionError("there is nothing to see")
    assert camera.methods().count("INVITE") == 1


async def test_packets_carry_what_the_units_carry(gb: Simulation) -> None:
    pytest.importorskip("av", reason="packets need the extra 'media'")
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    packets = []
    async with platform.channel(camera.channels[0]).play() as live:
        async for packet in live.packets():
            packets.append(packet)
            if len(packets) == 11:
                break
    assert [packet.is_keyframe for packet in packets] == [True, *[False] * 9, True]
    assert packets[1].pts is not None
    assert packets[0].pts is not None
    assert packets[1].pts - packets[0].pts == 9000


async def test_a_reader_that_is_cancelled_leaves_the_session_to_the_others(gb: Simulation) -> None:
    platform = await gb.platform()
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:

        async def read() -> None:
            async for _ in live.units():
                pass

        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read())
            await gb.advance(0.2)
            assert isinstance(live.session.receiver, Receiver)
            live.session.receiver.units.close()  # the units end before the session has
            await gb.advance(0.2)
            reading.cancel()
        assert not live.session.ended.done()
        await camera.stop()
        await gb.advance(1)
        assert live.session.ended.result().code in ("bye", "unregistered")
