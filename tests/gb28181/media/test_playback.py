"""Playback control at the sender: where jumps land, how speeds pace, what the numbers tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from gb28181.errors import MediaTimeout
from gb28181.mansrtsp import NOW, Answer, Pause, Play, RtpInfo, Teardown
from gb28181.media.playback import Ending, PlaybackLimits, PlaybackSender
from gb28181.media.source import Group
from gb28181.testing.clock import VirtualClock
from rtp.access_unit import AccessUnit, Codec
from rtp.packet import parse

EIGHT = datetime(2026, 1, 1, 8, tzinfo=UTC)
KEY = bytes.fromhex("0000000167640028acd90000000168ee3cb00000000165888400")
TICKS = 90_000


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


class Disk:
    """A recording of ``seconds``, a group of five pictures each, without those of ``gap``."""

    video = Codec.H264
    audio = None
    size = None

    def __init__(
        self, seconds: int = 60, *, gap: range = range(0), loading: float = 0.0, picture: int = 50
    ) -> None:
        self.duration = float(seconds)
        self._seconds = [second for second in range(seconds) if second not in gap]
        self._loading = loading
        self._picture = picture

    async def groups(
        self, position: float, *, reverse: bool = False
    ) -> AsyncGenerator[Group, None]:
        at = int(position // 1)
        seconds = [one for one in self._seconds if (one <= at if reverse else one >= at)]
        for second in reversed(seconds) if reverse else seconds:
            await asyncio.sleep(self._loading)
            yield Group(start=second * TICKS, duration=TICKS, units=self._units(second))

    def _units(self, second: int) -> tuple[AccessUnit, ...]:
        return tuple(
            AccessUnit(
                codec=Codec.H264,
                data=(KEY if place == 0 else b"\x00\x00\x00\x01\x41\x9a") + b"\x55" * self._picture,
                pts=second * TICKS + place * 18_000,
                dts=second * TICKS + place * 18_000,
                is_key=place == 0,
            )
            for place in range(5)
        )


class Sink:
    """Keeps what was sent, and when."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self.loop.create_future()
        self.closed: asyncio.Future[None] = self.loop.create_future()
        self.ready.set_result(None)
        self.start = self.loop.time()
        self.sent: list[tuple[float, bytes]] = []
        self.unsent = 0

    def send_packets(self, packets: list[bytes]) -> bool:
        self.sent += [(self.loop.time(), packet) for packet in packets]
        return True

    def pictures(self) -> list[tuple[float, float]]:
        """When each picture left, and its moment in the recording."""
        return [
            (round(at - self.start, 4), _pts(packet[12:]) / TICKS)
            for at, packet in self.sent
            if packet[12:16] == b"\x00\x00\x01\xba"
        ]

    def places(self) -> list[float]:
        return [place for _, place in self.pictures()]


def _pts(pack: bytes) -> int:
    """The PTS of the first PES packet of video, as ISO/IEC 13818-1 2.4.3.6 writes it."""
    at = pack.index(b"\x00\x00\x01\xe0") + 9
    bits = int.from_bytes(pack[at : at + 5], "big")
    return (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF


@asynccontextmanager
async def playing(disk: Disk, sink: Sink, **settings: object) -> AsyncIterator[PlaybackSender]:
    sender = PlaybackSender(disk, sink, ssrc=1200000001, origin=EIGHT, **settings)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(sender.run())
        yield sender
        task.cancel()


async def test_it_plays_to_the_end_at_the_pace_of_the_recording(clock: VirtualClock) -> None:
    sink = Sink()
    sender = PlaybackSender(Disk(10), sink, ssrc=1200000001, payload_type=97, origin=EIGHT)
    await sender.run()
    assert sender.ending is Ending.END
    assert [at for at, _ in sink.pictures()] == pytest.approx([n / 5 for n in range(50)])
    assert sink.places() == pytest.approx([n / 5 for n in range(50)])
    assert clock.time() == pytest.approx(10.0)  # the last picture has its time too
    packets = [parse(packet) for _, packet in sink.sent]
    assert {(one.ssrc, one.payload_type) for one in packets} == {(1200000001, 97)}
    assert [one.sequence_number for one in packets] == list(range(len(packets)))
    assert sorted({one.timestamp for one in packets}) == [n * 18_000 for n in range(50)]
    assert sender.statistics.frames == 50
    assert sender.statistics.bytes == sum(len(packet) for _, packet in sink.sent)


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.0, 2.0, 4.0, 8.0])
async def test_media_time_over_wall_time_is_the_speed(clock: VirtualClock, speed: float) -> None:
    sink = Sink()
    async with playing(Disk(100), sink, speed=speed):
        await asyncio.sleep(10.05)
    seen = sink.pictures()
    assert seen[-1][1] / seen[-1][0] == pytest.approx(speed, rel=0.05)
    stamps = [parse(packet).timestamp for _, packet in sink.sent]
    # The packets' clock is the wall's; that of the pictures is the recording's.
    assert stamps[-1] / TICKS == pytest.approx(seen[-1][0], abs=0.01)


async def test_a_pause_loses_and_repeats_nothing(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(20), sink) as sender:
        await asyncio.sleep(3.5)
        paused = sender.control(Pause(cseq=5))
        assert (paused.status, paused.cseq) == (200, 5)
        assert paused.range_start == pytest.approx(3.6)
        sent = len(sink.sent)
        await asyncio.sleep(60)
        assert len(sink.sent) == sent
        assert sender.paused_at == pytest.approx(3.5)
        answer = sender.control(Play(cseq=6, range_start=NOW))
        assert sender.paused_at is None
        assert answer.range_start == pytest.approx(3.6)
        await asyncio.sleep(5)
    assert sink.places() == [pytest.approx(n / 5) for n in range(43)]
    first = parse(sink.sent[sent][1])
    assert answer.rtp_info == RtpInfo(
        sequence_number=first.sequence_number, timestamp=first.timestamp
    )
    assert sink.pictures()[18][0] == pytest.approx(63.6)


async def test_a_jump_lands_on_the_key_frame_before_and_names_the_first_packet(
    clock: VirtualClock,
) -> None:
    sink = Sink()
    async with playing(Disk(60), sink) as sender:
        for cseq, place in enumerate((40.7, 3.0, 57.9, 0.0)):
            await asyncio.sleep(2.05)
            sent = len(sink.sent)
            answer = sender.control(Play(cseq=cseq, range_start=place))
            assert (answer.status, answer.cseq, answer.range_start) == (200, cseq, place)
            await asyncio.sleep(0.01)
            first = parse(sink.sent[sent][1])
            assert answer.rtp_info == RtpInfo(
                sequence_number=first.sequence_number, timestamp=first.timestamp
            )
            assert sink.places()[-1] == int(place)
    stamps = [parse(packet).timestamp for _, packet in sink.sent]
    assert all(a <= b for a, b in pairwise(stamps))
    assert [parse(packet).sequence_number for _, packet in sink.sent] == list(range(len(stamps)))


async def test_a_jump_to_a_moment_of_the_day(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60), sink) as sender:
        answer = sender.control(Play(range_start=EIGHT + timedelta(seconds=30)))
        assert answer.range_start == 30.0
        await asyncio.sleep(0.1)
    assert sink.places() == [30.0]


async def test_a_jump_while_paused_plays_on(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60), sink) as sender:
        await asyncio.sleep(1.05)
        sender.control(Pause())
        sender.control(Pause())
        await asyncio.sleep(5)
        sender.control(Play(range_start=30.0))
        await asyncio.sleep(0.3)
    assert sink.pictures()[6:] == [(6.05, 30.0), (6.25, 30.2)]


async def test_a_speed_is_taken_in_the_middle_of_a_group(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60), sink) as sender:
        await asyncio.sleep(2.5)
        answer = sender.control(Play(cseq=1, scale=4.0))
        assert answer.scale == 4.0
        assert answer.range_start == pytest.approx(2.6)
        await asyncio.sleep(5)
        seen = sink.pictures()
    assert [place for _, place in seen] == [pytest.approx(n / 5) for n in range(len(seen))]
    assert list(seen[13]) == pytest.approx([2.525, 2.6])
    assert seen[-1][1] == pytest.approx(2.5 + 5 * 4, abs=0.3)
    assert sender.scale == 4.0


async def test_a_jump_keeps_the_speed(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60), sink, speed=2.0) as sender:
        sender.control(Play(range_start=10.0))
        await asyncio.sleep(5.05)
    assert sink.places()[-1] == pytest.approx(20.0, abs=0.3)


async def test_reverse_sends_whole_groups_last_to_first(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60), sink) as sender:
        answer = sender.control(Play(scale=-2.0, range_start=30.0))
        assert answer.scale == -2.0
        await asyncio.sleep(1.45)
    assert sink.places() == [
        pytest.approx(second + place / 5) for second in (30, 29, 28) for place in range(5)
    ]
    stamps = [parse(packet).timestamp for _, packet in sink.sent]
    assert stamps == sorted(stamps)


async def test_turning_round_goes_on_from_the_same_place(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60), sink) as sender:
        await asyncio.sleep(3.5)
        sender.control(Play(scale=-1.0))
        await asyncio.sleep(2.1)
        sender.control(Play(scale=1.0))
        await asyncio.sleep(1.1)
    keys = [place for place in sink.places() if place == int(place)]
    assert keys == [0, 1, 2, 3, 3, 2, 1, 1, 2]


async def test_reverse_ends_at_the_start(clock: VirtualClock) -> None:
    sink = Sink()
    sender = PlaybackSender(Disk(60), sink, ssrc=1, origin=EIGHT)
    sender.control(Play(scale=-1.0, range_start=2.5))
    await sender.run()
    assert sender.ending is Ending.END
    assert [place for place in sink.places() if place == int(place)] == [2, 1, 0]
    assert sender.position == 0.0


@pytest.mark.parametrize(
    ("request_", "last"),
    [
        (Play(range_start=10.0, range_end=12.5), 12.4),
        (Play(range_start=20.0, range_end=18.0, scale=-1.0), 18.8),
    ],
)
async def test_the_end_of_a_range_is_a_pause(
    clock: VirtualClock, request_: Play, last: float
) -> None:
    sink = Sink()
    async with playing(Disk(60), sink) as sender:
        sender.control(request_)
        await asyncio.sleep(30)
        assert sink.places()[-1] == pytest.approx(last)
        assert sender.paused_at is not None
        sender.control(Play(range_start=NOW))
        await asyncio.sleep(2.1)
        assert len(sink.places()) > 60 / 5
        assert sink.places()[-1] != pytest.approx(last)


async def test_a_gap_is_passed_over_at_once(clock: VirtualClock) -> None:
    sink = Sink()
    sender = PlaybackSender(Disk(60, gap=range(2, 58)), sink, ssrc=1, origin=EIGHT)
    await sender.run()
    assert clock.time() == pytest.approx(4.0)
    assert [place for place in sink.places() if place == int(place)] == [0, 1, 58, 59]


@pytest.mark.parametrize(
    ("limits", "asked", "taken"),
    [
        (PlaybackLimits(), 16.0, 8.0),
        (PlaybackLimits(), 0.1, 0.25),
        (PlaybackLimits(fastest_reverse=1.0), -4.0, -1.0),
        (PlaybackLimits(obeys_speed=False), 4.0, None),
    ],
)
async def test_the_answer_says_which_speed_was_taken(
    clock: VirtualClock, limits: PlaybackLimits, asked: float, taken: float | None
) -> None:
    async with playing(Disk(60), Sink(), limits=limits) as sender:
        answer = sender.control(Play(scale=asked))
        assert (answer.status, answer.scale) == (200, taken)
        assert sender.scale == (taken or 1.0)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (Play(cseq=3, range_start=60.5), 457),
        (Play(cseq=3, range_start=10.0, range_end=61.0), 457),
        (Play(cseq=3, range_start=EIGHT - timedelta(seconds=1)), 457),
        (Play(cseq=3, scale=-1.0), 501),
    ],
)
async def test_what_cannot_be_done_changes_nothing(
    clock: VirtualClock, request_: Play, status: int
) -> None:
    sink = Sink()
    limits = PlaybackLimits(fastest_reverse=0.0)
    async with playing(Disk(60), sink, limits=limits) as sender:
        await asyncio.sleep(1.05)
        assert sender.control(request_) == Answer(status=status, cseq=3)
        await asyncio.sleep(1.0)
    assert sink.places() == [pytest.approx(n / 5) for n in range(11)]


async def test_teardown_ends_it_even_when_paused(clock: VirtualClock) -> None:
    sink = Sink()
    sender = PlaybackSender(Disk(60), sink, ssrc=1, origin=EIGHT)
    async with asyncio.TaskGroup() as group:
        group.create_task(sender.run())
        await asyncio.sleep(1)
        sender.control(Pause())
        await asyncio.sleep(1)
        assert sender.control(Teardown(cseq=9)).status == 200
    assert sender.ending is Ending.TEARDOWN
    assert sender.control(Play(range_start=0.0)).status == 455


async def test_an_end_of_the_media_connection_ends_it(clock: VirtualClock) -> None:
    sink = Sink()
    sender = PlaybackSender(Disk(60), sink, ssrc=1, origin=EIGHT)
    sender.control(Pause())
    asyncio.get_running_loop().call_later(5, sink.closed.set_exception, MediaTimeout("gone"))
    with pytest.raises(MediaTimeout, match="gone"):
        await sender.run()
    assert sender.ending is Ending.CLOSED


async def test_a_slow_disk_shifts_the_schedule(clock: VirtualClock) -> None:
    sink = Sink()
    sender = PlaybackSender(Disk(4, loading=3.0), sink, ssrc=1, origin=EIGHT)
    await sender.run()
    assert len(sink.places()) == 20
    assert sender.statistics.slipped > 0


async def test_a_jump_while_a_group_is_loaded_is_not_lost(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60, loading=0.5), sink) as sender:
        await asyncio.sleep(0.2)
        sender.control(Play(range_start=30.0))
        await asyncio.sleep(1.0)
    assert sink.places()[0] == 30.0


async def test_a_jump_in_the_middle_of_a_large_picture(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(60, picture=400_000), sink) as sender:
        await asyncio.sleep(0.803)  # the fifth picture is under way
        answer = sender.control(Play(range_start=30.0))
        await asyncio.sleep(0.1)
    assert answer.rtp_info is not None
    assert sink.places()[4:] == [pytest.approx(0.8), 30.0]
    first = next(
        parse(packet) for _, packet in sink.sent
        if parse(packet).sequence_number == answer.rtp_info.sequence_number
    )  # fmt: skip
    assert first.timestamp == answer.rtp_info.timestamp


async def test_the_loss_fault_withholds_packets(clock: VirtualClock) -> None:
    sink = Sink()
    sender = PlaybackSender(Disk(40), sink, ssrc=1, origin=EIGHT, loss=0.2, seed=1)
    await sender.run()
    assert sender.statistics.dropped_by_fault == 200 - len(sink.sent)
    assert 20 < sender.statistics.dropped_by_fault < 60


async def test_a_receiver_over_tcp_that_reads_slowly_is_waited_for(clock: VirtualClock) -> None:
    sink = Sink()
    async with playing(Disk(20), sink, speed=8.0) as sender:
        await asyncio.sleep(0.5)
        sink.unsent = 1_000_000
        count = len(sink.sent)
        await asyncio.sleep(30)
        assert len(sink.sent) <= count + 1
        sink.unsent = 0
        await asyncio.sleep(3)
    assert sink.places() == pytest.approx([n / 5 for n in range(100)])
    assert sender.statistics.slipped == pytest.approx(29, abs=0.5)
