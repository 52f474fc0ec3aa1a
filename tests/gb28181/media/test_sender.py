from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest

from gb28181.errors import MediaTimeout
from gb28181.media.sender import Sender
from gb28181.testing.clock import VirtualClock
from rtp.access_unit import AccessUnit, Codec
from rtp.mpegps.demuxer import PsDemuxer
from rtp.packet import parse

KEY = bytes.fromhex("0000000167640028acd90000000168ee3cb00000000165888400")


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


def video(
    number: int, *, size: int = 500, key: bool | None = None, dts: int | None = None
) -> AccessUnit:
    is_key = number % 25 == 0 if key is None else key
    data = (KEY if is_key else b"\x00\x00\x00\x01\x41\x9a") + b"\x55" * size
    at = number * 3600 if dts is None else dts
    return AccessUnit(codec=Codec.H264, data=data, pts=at, dts=at, is_key=is_key)


class Units:
    """A source that is always ready."""

    video = Codec.H264
    audio = None
    duration = None

    def __init__(self, *units: AccessUnit) -> None:
        self._units = units
        self.forced = 0

    def force_key(self) -> None:
        self.forced += 1

    async def units(self) -> AsyncIterator[AccessUnit]:
        for unit in self._units:
            yield unit


class Sink:
    """Keeps what was sent, and when."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.ready.set_result(None)
        self.sent: list[tuple[float, list[bytes]]] = []

    def send_packets(self, packets: list[bytes]) -> bool:
        self.sent.append((self.loop.time(), packets))
        return True

    @property
    def packets(self) -> list[bytes]:
        return [packet for _, packets in self.sent for packet in packets]

    def frame_times(self) -> list[float]:
        """When the last packet of each frame left."""
        return [at for at, packets in self.sent if parse(packets[-1]).marker]


def demultiplexed(packets: list[bytes]) -> Iterator[AccessUnit]:
    demuxer = PsDemuxer()
    for data in packets:
        packet = parse(data)
        yield from demuxer.push(packet.payload, timestamp=packet.timestamp, marker=packet.marker)
    yield from demuxer.flush()


async def test_units_leave_as_program_stream_with_the_agreed_ssrc(clock: VirtualClock) -> None:
    units, sink = [video(number) for number in range(30)], Sink()
    sender = Sender(Units(*units), sink, ssrc=100000001, payload_type=98)
    await sender.run()
    assert [unit.data for unit in demultiplexed(sink.packets)] == [unit.data for unit in units]
    headers = [parse(packet) for packet in sink.packets]
    assert {(header.ssrc, header.payload_type) for header in headers} == {(100000001, 98)}
    assert [header.sequence_number for header in headers] == list(range(len(headers)))
    assert {header.timestamp for header in headers} == {unit.dts for unit in units}
    seen = sender.statistics
    assert (seen.frames, seen.packets) == (30, len(sink.packets))
    assert seen.bytes == sum(map(len, sink.packets))


async def test_an_hour_of_units_is_paced_without_drift(clock: VirtualClock) -> None:
    units = [video(number * 250, key=True, dts=number * 900_000) for number in range(361)]
    sink = Sink()
    start = clock.time()
    await Sender(Units(*units), sink, ssrc=1).run()
    times = [at - start for at in sink.frame_times()]
    assert times == pytest.approx([number * 10.0 for number in range(361)], abs=1e-6)


async def test_a_short_stall_is_caught_up_at_four_times_real_time(clock: VirtualClock) -> None:
    class Stalling(Units):
        async def units(self) -> AsyncIterator[AccessUnit]:
            async for unit in super().units():
                if unit.dts == 25 * 3600:
                    await asyncio.sleep(0.84)  # 0.8 s later than this unit is due
                yield unit

    sink = Sink()
    start = clock.time()
    sender = Sender(Stalling(*(video(number) for number in range(80))), sink, ssrc=1)
    await sender.run()
    late = [at - start - number * 0.04 for number, at in enumerate(sink.frame_times())]
    assert max(late) == pytest.approx(0.8)
    gaps = [b - a for a, b in pairwise(sink.frame_times())]
    assert min(gaps) == pytest.approx(0.01)
    assert late[-1] == pytest.approx(0.0)
    assert sender.statistics.slipped == 0.0


async def test_what_a_stall_lasts_beyond_a_second_is_not_caught_up(clock: VirtualClock) -> None:
    class Stalling(Units):
        async def units(self) -> AsyncIterator[AccessUnit]:
            async for unit in super().units():
                if unit.dts == 10 * 3600:
                    await asyncio.sleep(5.04)
                yield unit

    sink = Sink()
    start = clock.time()
    sender = Sender(Stalling(*(video(number) for number in range(100))), sink, ssrc=1)
    await sender.run()
    assert sender.statistics.slipped == pytest.approx(4.0)
    assert sink.frame_times()[-1] - start == pytest.approx(99 * 0.04 + 4.0)


@pytest.mark.parametrize("jump", [-400_000, 90_000 * 3600])
async def test_a_new_clock_of_the_source_is_no_pause(clock: VirtualClock, jump: int) -> None:
    before = [video(number, dts=1_000_000 + number * 3600) for number in range(10)]
    after = [video(number, dts=1_000_000 + jump * 3 + number * 3600) for number in range(10)]
    sink = Sink()
    start = clock.time()
    await Sender(Units(*before, *after), sink, ssrc=1).run()
    times = [at - start for at in sink.frame_times()]
    assert times == pytest.approx([number * 0.04 for number in range(20)])


async def test_a_large_frame_leaves_in_bursts(clock: VirtualClock) -> None:
    sink = Sink()
    await Sender(Units(video(0, size=200_000), video(1)), sink, ssrc=1).run()
    assert max(len(packets) for _, packets in sink.sent) == 46
    bursts = [at for at, _ in sink.sent][:4]
    assert [b - a for a, b in pairwise(bursts)] == pytest.approx([0.002] * 3)
    assert sink.frame_times()[1] - bursts[0] == pytest.approx(0.04)


async def test_the_loss_fault_drops_the_same_packets_for_the_same_seed(clock: VirtualClock) -> None:
    async def run(seed: int) -> tuple[list[int], int]:
        sink = Sink()
        units = (video(number, size=5000) for number in range(250))
        sender = Sender(Units(*units), sink, ssrc=1, loss=0.1, seed=seed)
        await sender.run()
        numbers = [parse(packet).sequence_number for packet in sink.packets]
        return numbers, sender.statistics.dropped_by_fault

    first, dropped = await run(1)
    assert (first, dropped) == await run(1)
    assert first != (await run(2))[0]
    assert dropped + len(first) == 1000
    assert 60 < dropped < 140


async def test_nothing_is_sent_before_the_sink_is_ready(clock: VirtualClock) -> None:
    sink = Sink()
    sink.ready = sink.loop.create_future()
    async with asyncio.TaskGroup() as group:
        group.create_task(Sender(Units(video(0), video(1)), sink, ssrc=1).run())
        await asyncio.sleep(3.0)
        assert sink.sent == []
        sink.ready.set_result(None)
    assert sink.frame_times() == pytest.approx([clock.time() - 0.04, clock.time()])


async def test_a_closed_sink_ends_the_sender(clock: VirtualClock) -> None:
    sink = Sink()
    async with asyncio.TaskGroup() as group:
        group.create_task(Sender(Units(*map(video, range(1000))), sink, ssrc=1).run())
        await asyncio.sleep(1.0)
        sink.closed.set_result(None)
    assert clock.time() < 1.1


async def test_a_lost_sink_ends_the_sender_with_its_cause(clock: VirtualClock) -> None:
    sink = Sink()
    sink.closed.set_exception(MediaTimeout("TCP media connection lost"))
    with pytest.raises(MediaTimeout, match="connection lost"):
        await Sender(Units(video(0)), sink, ssrc=1).run()


async def test_force_key_is_passed_to_a_source_that_can(clock: VirtualClock) -> None:
    source = Units(video(0))
    Sender(source, Sink(), ssrc=1).force_key()
    assert source.forced == 1
