from __future__ import annotations

import asyncio

import pytest

from gb28181.media.stream import GROUP_ITEMS, Overflow, Reader, unit_stream
from rtp.access_unit import AccessUnit, Codec


def video(number: int, *, key: bool = False, size: int = 10) -> AccessUnit:
    pts = number * 3600
    return AccessUnit(codec=Codec.H264, data=bytes(size), pts=pts, dts=pts, is_key=key)


def audio(number: int) -> AccessUnit:
    pts = number * 3600
    return AccessUnit(codec=Codec.PCMA, data=bytes(320), pts=pts, dts=pts, is_key=True)


async def drain(reader: Reader[AccessUnit]) -> list[int]:
    return [unit.pts // 3600 async for unit in reader]


async def test_every_reader_gets_every_unit() -> None:
    stream = unit_stream()
    readers = [stream.reader(), stream.reader()]
    for number in range(5):
        stream.publish(video(number, key=number == 0))
    stream.close()
    assert [await drain(reader) for reader in readers] == [list(range(5))] * 2


async def test_a_waiting_reader_wakes_when_a_unit_is_published() -> None:
    stream = unit_stream()
    async with asyncio.TaskGroup() as group, stream.reader() as reader:
        waiting = group.create_task(anext(reader))
        await asyncio.sleep(0)
        stream.publish(video(7))
        assert (await waiting).pts == 7 * 3600


async def test_a_late_reader_first_gets_the_current_group() -> None:
    stream = unit_stream()
    for number in range(6):
        stream.publish(video(number, key=number % 4 == 0))
    reader = stream.reader(size=1)
    stream.publish(video(6))
    stream.close()
    assert await drain(reader) == [4, 5, 6]


async def test_a_group_longer_than_the_cache_is_not_given_in_part() -> None:
    stream = unit_stream()
    stream.publish(video(0, key=True))
    for number in range(1, GROUP_ITEMS + 1):
        stream.publish(video(number))
    assert stream.group() == []
    stream.publish(video(1000, key=True, size=3 * 1024 * 1024))
    assert len(stream.group()) == 1
    stream.publish(video(1001, size=2 * 1024 * 1024))
    assert stream.group() == []


async def test_a_slow_reader_skips_to_the_next_key_frame_and_is_told() -> None:
    stream = unit_stream()
    slow, quick = stream.reader(size=3), stream.reader(size=100)
    for number in range(8):
        stream.publish(video(number, key=number in (0, 6)))
    stream.close()
    units = [unit async for unit in slow]
    assert [unit.pts // 3600 for unit in units] == [6, 7]
    assert [unit.is_discontinuous for unit in units] == [True, False]
    assert slow.skipped == 6
    assert await drain(quick) == list(range(8))
    assert quick.skipped == 0


async def test_a_slow_reader_of_audio_alone_skips_to_any_unit() -> None:
    stream = unit_stream()
    reader = stream.reader(size=2)
    for number in range(3):
        stream.publish(audio(number))
    stream.close()
    assert await drain(reader) == [2]


async def test_audio_does_not_end_the_skip_of_a_stream_with_video() -> None:
    stream = unit_stream()
    reader = stream.reader(size=1)
    for unit in (video(0, key=True), video(1), audio(2), video(3), video(4, key=True)):
        stream.publish(unit)
    stream.close()
    assert await drain(reader) == [4]


async def test_a_pausing_reader_stops_the_source_and_loses_nothing() -> None:
    paused: list[bool] = []
    stream = unit_stream(pause=paused.append)
    reader = stream.reader(size=4, overflow=Overflow.PAUSE)
    for number in range(6):
        stream.publish(video(number))
    assert paused == [True]
    assert [(await anext(reader)).pts // 3600 for _ in range(3)] == [0, 1, 2]
    assert paused == [True]
    await anext(reader)
    assert paused == [True, False]
    assert reader.skipped == 0


async def test_a_reader_that_leaves_lets_the_source_go_on() -> None:
    paused: list[bool] = []
    stream = unit_stream(pause=paused.append)
    async with stream.reader(size=1, overflow=Overflow.PAUSE):
        stream.publish(video(0))
    assert paused == [True, False]


async def test_pausing_needs_a_source_that_can_stop_and_no_other_reader() -> None:
    with pytest.raises(ValueError, match="TCP"):
        unit_stream().reader(overflow=Overflow.PAUSE)
    stream = unit_stream(pause=lambda _: None)
    reader = stream.reader()
    with pytest.raises(ValueError, match="only one"):
        stream.reader(overflow=Overflow.PAUSE)
    reader.close()
    stream.reader(overflow=Overflow.PAUSE)
    with pytest.raises(ValueError, match="only one"):
        stream.reader()


async def test_readers_get_what_is_queued_and_then_the_cause() -> None:
    stream = unit_stream()
    reader = stream.reader()
    stream.publish(video(0))
    stream.close(OSError("gone"))
    stream.publish(video(1))
    assert (await anext(reader)).pts == 0
    with pytest.raises(OSError, match="gone"):
        await anext(reader)
    with pytest.raises(OSError, match="gone"):
        await anext(stream.reader())


async def test_the_owner_hears_of_the_first_and_the_last_reader() -> None:
    stream, heard = unit_stream(), list[str]()
    stream.on_first_reader = lambda: heard.append("first")
    stream.on_last_reader = lambda: heard.append("last")
    one, two = stream.reader(), stream.reader()
    assert stream.readers == 2
    one.close()
    assert heard == ["first"]
    two.close()
    two.close()
    assert heard == ["first", "last"]
    assert not stream.is_used


async def test_a_tap_that_fails_is_detached_and_the_others_go_on() -> None:
    stream, seen = unit_stream(), list[int]()

    def broken(_: AccessUnit) -> None:
        raise RuntimeError

    stream.attach(broken)
    detach = stream.attach(lambda unit: seen.append(unit.pts))
    stream.publish(video(0))
    stream.publish(video(1))
    assert seen == [0, 3600]
    assert stream.is_used
    detach()
    detach()
    assert not stream.is_used
