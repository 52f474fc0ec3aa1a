"""Media in processes of their own: the same streams, and what becomes of them when one dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, ExitStack, aclosing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from gb28181.archive.archive import Archive
from gb28181.archive.plan import Plan
from gb28181.cascade import Cascade, Upper
from gb28181.device import Device
from gb28181.equipment.loudspeaker import LoudspeakerSettings
from gb28181.equipment.recordings import PatternRecordings
from gb28181.errors import ConfigError, MediaTimeout, MediaWorkerLost, PortsExhausted, SessionLost
from gb28181.habits import Habits
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.reading import describe_file
from gb28181.media.remote import RemoteReceiver
from gb28181.media.source import PatternSource, PatternStyle
from gb28181.media.stream import Overflow
from gb28181.media.voice import ToneSource
from gb28181.media.workers import WorkerLine, WorkerPlane, shares
from gb28181.platform import Platform
from gb28181.sessions.live import Backoff, Live
from gb28181.sessions.serving import DeviceChannel
from rtp.access_unit import AccessUnit, Codec, MediaKind
from rtp.batch import PACK_START

slow = pytest.mark.slow

EIGHT = datetime(2026, 1, 1, 8, tzinfo=UTC)
DISK = PatternRecordings([(EIGHT, EIGHT + timedelta(minutes=1))], style=PatternStyle(audio=None))
HOST = "127.0.0.1"
PROVINCE, COUNTY = "34000000002000000001", "34020000002000000001"
CAMERA, CHANNEL = "34020000001110000001", "34020000001320000001"


def test_a_range_is_divided_into_shares_that_do_not_meet() -> None:
    parts = shares(range(30001, 30101), 3)
    assert parts[0] == range(30002, 30014)
    assert [len(part) for part in parts[1:]] == [28, 28, 28]
    ports = [port for part in parts for port in part]
    assert len(ports) == len(set(ports))
    assert set(ports) <= set(range(30001, 30101))
    assert all(part.start % 2 == 0 for part in parts)


@pytest.mark.parametrize(("size", "workers"), [(4, 2), (100, 0), (0, 1)])
def test_a_range_that_cannot_be_divided_is_refused(size: int, workers: int) -> None:
    with pytest.raises(ConfigError, match="cannot be divided"):
        shares(range(30000, 30000 + size), workers)
    assert size < 6 or len(shares(range(30000, 30000 + size), 1)) == 2


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


async def until(holds: Callable[[], bool], *, within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110  of other processes nothing else tells
            await asyncio.sleep(0.05)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that waits to be buried has."""
    with contextlib.suppress(FileNotFoundError):
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state == "Z"
    return True


@pytest.fixture
def ports() -> range:
    """A range that nobody else uses, as far as can be seen."""
    for first in range(10_000 + os.getpid() % 50 * 200, 25_000, 200):
        with ExitStack() as stack:
            try:
                for port in range(first, first + 120):
                    one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    one.bind(("0.0.0.0", port))
            except OSError:
                continue
            return range(first, first + 120)
    pytest.fail("no 120 free ports")


@pytest.fixture
async def plane(ports: range) -> AsyncIterator[WorkerPlane]:
    async with WorkerPlane(2, ports=ports, quarantine=0.0) as plane:
        pids = plane.pids
        yield plane
        pids += plane.pids
    assert all(map(is_gone, pids))
    assert plane.counts() == dict.fromkeys(plane.counts(), 0)


class Village:
    """A county whose media is in workers, and a camera."""

    def __init__(self, stack: AsyncExitStack, plane: WorkerPlane) -> None:
        self._stack = stack
        self.plane = plane
        self.port = free_port()
        self.mode = self.speaks_by = "udp"
        self.habits: Habits | None = None
        self.shares = False
        self.county = Platform(
            COUNTY, password_for=lambda _: "secret", listen=[f"udp://{HOST}:{self.port}"],
            plane=plane, linger=0.2, media_mode=lambda _: self.mode,
            shared_media_port=lambda _: self.shares,
        )  # fmt: skip

    async def start(self) -> None:
        await self._stack.enter_async_context(self.county)
        show = PatternSource()
        item = CatalogItem(device_id=CHANNEL, name="gate", status="ON")
        camera = Device(
            CAMERA, server=f"udp://{HOST}:{self.port}", server_id=COUNTY, password="secret",
            channels=[DeviceChannel(item=item, source=lambda: show, recordings=DISK)],
            media_ports=range(44200, 44300), habits=self.habits,
            loudspeaker=LoudspeakerSettings(mode=self.speaks_by),
        )  # fmt: skip
        self.camera = camera
        await self._stack.enter_async_context(camera)
        await until(lambda: self.county.channel_online(CHANNEL))

    def pid_of_stream(self) -> int:
        """The worker that the one stream is in."""
        (session,) = self.county.sessions.all()
        assert isinstance(session.receiver, RemoteReceiver)
        assert isinstance(session.receiver.line, WorkerLine)
        name = session.receiver.line.name
        return next(pid for pid in self.plane.pids if f"process {pid})" in name)


@pytest.fixture
async def village(plane: WorkerPlane, request: pytest.FixtureRequest) -> AsyncIterator[Village]:
    async with AsyncExitStack() as stack:
        village = Village(stack, plane)
        for name, value in getattr(request, "param", {}).items():
            setattr(village, name, value)
        await village.start()
        yield village
    assert (plane.counts()["receivers"], plane.counts()["sinks"]) == (0, 0)
    assert plane.counts()["leased_ports"] == 0


async def pictures(live: Live, count: int) -> list[AccessUnit]:
    found: list[AccessUnit] = []
    async with asyncio.timeout(20), aclosing(live.units()) as units:
        async for unit in units:
            if unit.kind is MediaKind.VIDEO:
                found.append(unit)
            if len(found) == count:
                break
    return found


@slow
@pytest.mark.parametrize("mode", ["udp", "tcp-passive", "tcp-active"])
async def test_a_camera_is_seen_through_a_worker(village: Village, mode: str) -> None:
    village.mode = mode
    async with village.county.channel(CHANNEL).play() as live:
        units = await pictures(live, 30)
        assert units[0].is_key
        assert not any(unit.is_damaged for unit in units)
        steps = {after.pts - before.pts for before, after in pairwise(units)}
        assert steps == {3600}
        await live.session.key_frame()
        await until(lambda: live.statistics.packets > 100)
        assert live.statistics.lost == 0
        assert live.statistics.source is not None
        assert village.plane.counts()["receivers"] == 1
        assert "first key frame" in live.session.evidence()["stages"]
        assert live.session.payload_type == 96


@slow
@pytest.mark.parametrize("mode", ["udp", "tcp-passive"])
async def test_a_worker_has_one_port_for_all_its_cameras_that_share(
    village: Village, ports: range, mode: str
) -> None:
    village.mode, village.shares = mode, True
    firsts = {share.start for share in shares(ports, 2)[1:]}
    others = [
        await village.plane.open_receiver(mode, host="0.0.0.0", shared=True) for _ in range(2)
    ]
    assert {one.local[1] for one in others} == firsts
    async with village.county.channel(CHANNEL).play() as live:
        assert len(await pictures(live, 10)) == 10
        assert live.session.receiver.local[1] in firsts
        again = await village.plane.open_receiver(mode, host="0.0.0.0", shared=True)
        assert again.local[1] in firsts
        for one in (*others, again):
            one.close()
        assert len(await pictures(live, 10)) == 10


@slow
async def test_units_cross_only_while_somebody_reads_them(village: Village) -> None:
    async with village.county.channel(CHANNEL).play() as live:
        await pictures(live, 5)
        receiver = live.session.receiver
        assert isinstance(receiver, RemoteReceiver)
        assert isinstance(receiver.line, WorkerLine)
        await asyncio.sleep(0.3)  # those under way arrive
        before, packets = receiver.line.messages, receiver.statistics.packets
        await until(lambda: receiver.statistics.packets > packets + 50)
        assert receiver.line.messages - before < 10
        assert [unit.is_key for unit in await pictures(live, 3)] == [True, False, False]


@slow
async def test_a_recording_that_is_read_slowly_waits_in_the_worker(village: Village) -> None:
    village.mode = "tcp-passive"
    playback = village.county.channel(CHANNEL).play_back(
        EIGHT, EIGHT + timedelta(seconds=8), records=[(EIGHT, EIGHT + timedelta(minutes=1))]
    )
    async with playback:
        count = 0
        async with aclosing(playback.units()) as units:
            async for unit in units:
                assert not unit.is_damaged
                count += 1
                if count % 10 == 0:
                    await asyncio.sleep(0.2)
    assert count == 40


@slow
async def test_the_province_sees_a_camera_by_a_relay_within_the_worker(village: Village) -> None:
    port = free_port()
    province = Platform(
        PROVINCE, password_for=lambda _: "secret", listen=[f"udp://{HOST}:{port}"],
        media_ports=range(44400, 44500), linger=0.2,
    )  # fmt: skip
    upper = Upper(id=PROVINCE, server=f"udp://{HOST}:{port}", password="secret")
    async with province, Cascade(village.county, upper) as cascade:
        await until(lambda: province.channel_online(CHANNEL))
        async with province.channel(CHANNEL).play() as live:
            units = await pictures(live, 40)
            assert not any(unit.is_damaged for unit in units)
            (viewer,) = cascade.viewers
            await until(lambda: viewer.relay.statistics.packets > 50)
            assert village.plane.counts()["sinks"] == 1
            assert viewer.sink.statistics.dropped == 0
            assert live.statistics.ssrc not in (None, viewer.lease.session.plan.ssrc)

            os.kill(village.pid_of_stream(), signal.SIGKILL)
            with pytest.raises(SessionLost) as caught:
                await pictures(live, 1000)
            assert caught.value.cause.code == "bye"
        async with province.channel(CHANNEL).play() as again:
            assert len(await pictures(again, 10)) == 10


@slow
async def test_a_relay_rewrites_in_the_worker_and_says_how(plane: WorkerPlane) -> None:
    receiver = await plane.open_receiver("udp", host=HOST)
    receiver.expect(ssrc=7, host=HOST)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upper,
    ):
        upper.bind((HOST, 0))
        sink = await plane.open_relay_sink(
            receiver, "udp", host=HOST, remote=(HOST, upper.getsockname()[1])
        )
        relay = plane.relay(receiver, sink, ssrc=99, payload_type=100, timestamp=5000)
        await sink.start()
        packet = struct.pack("!BBHII", 0x80, 96, 1000, 1_000_000, 7) + PACK_START
        packet += b"\x44" + bytes(9) + b"\0\0\x01\xbb" + bytes(8)  # a system header: a group begins
        camera.sendto(packet, receiver.local)
        await receiver.first_packet(5)
        await until(lambda: relay.statistics.packets == 1)
        upper.settimeout(5)
        passed = upper.recv(2000)
        assert passed[1] == 100
        assert passed[8:12] == (99).to_bytes(4, "big")
        assert passed[12:] == packet[12:]
        sequence, ticks = relay.outgoing(1000, 1_000_000)
        assert passed[2:4] == sequence.to_bytes(2, "big")
        assert passed[4:8] == ticks.to_bytes(4, "big") == (5000).to_bytes(4, "big")
    relay.close()
    sink.close()
    receiver.close()


@slow
async def test_a_stream_comes_back_after_its_worker_was_killed(
    village: Village, caplog: pytest.LogCaptureFixture
) -> None:
    codes: list[str] = []
    seen: list[int] = []
    pid = 0
    async for live in village.county.channel(CHANNEL).play(retry=Backoff(first=0.1)):
        seen.append(len(await pictures(live, 10)))
        if len(seen) == 2:
            break
        pid = village.pid_of_stream()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SessionLost) as caught:
            await pictures(live, 1000)
        codes.append(caught.value.cause.code)
        assert f"process {pid}) died: killed by SIGKILL" in caught.value.cause.sentence
    assert (seen, codes) == ([10, 10], ["media-worker-lost"])
    await until(lambda: village.plane.counts()["workers"] == 2)
    assert pid not in village.plane.pids
    assert sum("it is started again" in one.message for one in caplog.records) == 1


@slow
async def test_streams_are_spread_and_a_dead_worker_takes_only_its_own(plane: WorkerPlane) -> None:
    receivers = [await plane.open_receiver("udp", host=HOST) for _ in range(6)]
    lines = [receiver.line for receiver in receivers]
    assert {lines.count(line) for line in lines} == {3}
    assert len({receiver.local for receiver in receivers}) == 6
    os.kill(plane.pids[0], signal.SIGKILL)
    await until(lambda: sum(receiver.is_closed for receiver in receivers) == 3)
    causes = [one.closed.exception() for one in receivers if one.is_closed]
    assert all(isinstance(cause, MediaWorkerLost) for cause in causes)
    assert plane.counts()["receivers"] == plane.counts()["leased_ports"] == 3
    late = await plane.open_receiver("udp", host=HOST)
    assert not late.is_closed
    for receiver in (*receivers, late):
        receiver.close()


@slow
async def test_what_a_worker_lost_is_told_to_whoever_waits(plane: WorkerPlane) -> None:
    receiver = await plane.open_receiver("udp", host=HOST)
    sink = await plane.open_relay_sink(receiver, "udp", host=HOST)
    relay = plane.relay(receiver, sink, ssrc=1)
    reader = receiver.units.reader()
    waiting = asyncio.ensure_future(receiver.first_packet(30))
    await asyncio.sleep(0.1)
    for pid in plane.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(MediaWorkerLost, match="killed by SIGKILL"):
        await waiting
    with pytest.raises(MediaWorkerLost):
        await anext(reader)
    assert sink.is_closed
    assert relay.is_closed
    assert isinstance(relay.closed.exception(), MediaWorkerLost)
    with pytest.raises(MediaWorkerLost):
        await plane.open_relay_sink(receiver, "udp", host=HOST)


@slow
async def test_a_worker_that_hangs_is_killed(
    plane: WorkerPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gb28181.media.workers.LOOK_EVERY", 1.2)
    receiver = await plane.open_receiver("udp", host=HOST)
    assert isinstance(receiver.line, WorkerLine)
    name = receiver.line.name
    os.kill(next(pid for pid in plane.pids if f"process {pid})" in name), signal.SIGSTOP)
    await until(lambda: receiver.is_closed, within=30)


@slow
async def test_errors_of_a_worker_are_those_of_a_plane(plane: WorkerPlane) -> None:
    with pytest.raises(ValueError, match="none of udp"):
        await plane.open_receiver("quic", host=HOST)
    with pytest.raises(OSError, match="ssign"):
        await plane.open_receiver("udp", host="192.0.2.1")
    receiver = await plane.open_receiver("tcp-active", host=HOST)
    with pytest.raises(MediaTimeout, match="no TCP media connection"):
        await receiver.connect((HOST, free_port()))
    receiver.close()
    with pytest.raises(ValueError, match="recording"):
        receiver.units.reader(overflow=Overflow.PAUSE)
    assert plane.counts()["receivers"] == 0


@slow
async def test_ports_of_all_workers_are_used_and_given_back(plane: WorkerPlane) -> None:
    receivers = [await plane.open_receiver("udp", host=HOST) for _ in range(52)]
    with pytest.raises(PortsExhausted):
        await plane.open_receiver("udp", host=HOST)
    assert plane.counts()["leased_ports"] == 52
    for receiver in receivers:
        receiver.close()
    again = await plane.open_receiver("udp", host=HOST)
    again.close()


@slow
async def test_a_receiver_that_nobody_waits_for_any_more_is_closed(plane: WorkerPlane) -> None:
    for _ in range(60):  # more than there are ports
        opening = asyncio.ensure_future(plane.open_receiver("udp", host=HOST))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
    await asyncio.sleep(0.2)
    assert plane.counts()["receivers"] == 0
    receiver = await plane.open_receiver("udp", host=HOST)
    receiver.close()


@slow
async def test_log_lines_of_a_worker_come_through_the_first_process(
    plane: WorkerPlane, ports: range, caplog: pytest.LogCaptureFixture
) -> None:
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with taken:
        taken.bind((HOST, shares(ports, 2)[1].start))
        receiver = await plane.open_receiver("udp", host=HOST)
        await until(lambda: "is held by somebody else" in caplog.text)
    assert "media worker 0 (process" in caplog.text
    assert {one.name for one in caplog.records if "held" in one.message} == {"gb28181.media"}
    receiver.close()


@slow
@pytest.mark.parametrize(
    "village",
    [{"speaks_by": mode} for mode in ("udp", "tcp-active", "tcp-passive")],
    indirect=True,
    ids=lambda given: given["speaks_by"],
)
async def test_a_voice_goes_to_the_loudspeaker_while_its_picture_is_in_a_worker(
    village: Village,
) -> None:
    ear = village.camera.loudspeaker
    assert ear is not None
    async with village.county.channel(CHANNEL).talk(ToneSource(1000.0)) as talk:
        await until(lambda: sum(len(unit.data) for unit in ear.heard) > 8000)
        assert len(await pictures(talk.live, 10)) == 10
        assert village.plane.counts()["receivers"] == village.plane.counts()["sinks"] == 1
    assert not any(unit.is_damaged for unit in ear.heard)


@slow
async def test_a_snapshot_comes_from_a_worker(village: Village) -> None:
    assert (await village.county.channel(CHANNEL).snapshot()).startswith(b"\xff\xd8")


@slow
@pytest.mark.parametrize("mode", ["udp", "tcp-passive"])
async def test_a_recording_is_fetched_through_a_worker(
    village: Village, mode: str, tmp_path: Path
) -> None:
    village.mode = mode
    fetched = await village.county.channel(CHANNEL).download(
        EIGHT, EIGHT + timedelta(seconds=20), to=tmp_path / "a.mp4", speed=8
    )
    assert (fetched.complete, fetched.parts) == (True, 1)
    assert fetched.duration == pytest.approx(20, abs=0.5)


@slow
async def test_a_fetch_goes_on_after_its_worker_was_killed(
    village: Village, tmp_path: Path
) -> None:
    village.mode = "tcp-passive"
    fetching = asyncio.ensure_future(
        village.county.channel(CHANNEL).download(
            EIGHT, EIGHT + timedelta(seconds=40), to=tmp_path / "a.mp4", speed=8
        )
    )
    await until(lambda: (tmp_path / "a.mp4").exists() and size_of(tmp_path / "a.mp4") > 30_000)
    os.kill(village.pid_of_stream(), signal.SIGKILL)
    fetched = await fetching
    assert (fetched.complete, fetched.parts) == (True, 2)
    assert fetched.duration == pytest.approx(40, abs=0.5)


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.mp4"))


def size_of(path: Path) -> int:
    return path.stat().st_size


@slow
async def test_a_playback_is_controlled_through_a_worker(village: Village) -> None:
    playback = village.county.channel(CHANNEL).play_back(
        EIGHT, EIGHT + timedelta(minutes=1), records=[(EIGHT, EIGHT + timedelta(minutes=1))]
    )
    damaged: list[AccessUnit] = []

    async def look() -> None:
        async for unit in playback.units():
            damaged.extend([unit] if unit.is_damaged else [])

    async with playback, asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(look())
        await until(lambda: playback.position > EIGHT + timedelta(seconds=1))
        await playback.pause()
        await playback.resume()
        landed = await playback.seek(EIGHT + timedelta(seconds=40))
        await until(lambda: playback.position > EIGHT + timedelta(seconds=41))
        looking.cancel()
    assert abs(landed.seen - EIGHT - timedelta(seconds=40)) < timedelta(seconds=2)
    assert damaged == []


@slow
async def test_an_archive_goes_on_after_a_worker_was_killed(
    village: Village, tmp_path: Path
) -> None:
    plan = Plan(channels=(CHANNEL,), fills=False)
    async with Archive(village.county, tmp_path, [plan]) as archive:

        def is_running() -> bool:
            return [one.running for one in archive.status()] == [True]

        await until(is_running)
        await asyncio.sleep(1.5)
        os.kill(village.pid_of_stream(), signal.SIGKILL)
        await until(lambda: not is_running())
        await until(is_running)
        await asyncio.sleep(1.5)
    files = files_in(tmp_path)
    assert len(files) == 2
    for path in files:
        video, _, duration = describe_file(path)
        assert video is Codec.H264
        assert duration is not None
        assert duration > 1.0


@slow
@pytest.mark.parametrize("village", [{"habits": Habits(marker="never")}], indirect=True)
async def test_habits_of_packets_are_seen_in_a_worker(village: Village) -> None:
    seen = village.county.devices[CAMERA].quirks_seen
    async with village.county.channel(CHANNEL).play() as live:
        await pictures(live, 1)
        await until(lambda: "no RTP marker" in seen)


@slow
async def test_a_stream_is_captured_by_its_worker(village: Village, tmp_path: Path) -> None:
    async with village.county.channel(CHANNEL).play() as live:
        await pictures(live, 30)  # a whole group has gone
        packets = await live.capture(tmp_path / "a.pcapng", seconds=1.0)
        stream = await live.capture(tmp_path / "a.ps", seconds=1.0)
        assert packets.packets > 25
        assert (packets.size, packets.left_out) == (size_of(packets.path), 0)
        assert describe_file(stream.path)[0] is Codec.H264
        with pytest.raises(ConfigError, match="ends in one of"):
            await live.capture(tmp_path / "a.txt")
        with pytest.raises(OSError, match=r"nowhere/a\.ps"):
            await live.capture(tmp_path / "nowhere" / "a.ps")
        endless = asyncio.ensure_future(live.capture(tmp_path / "b.pcapng", seconds=3600))
        await until(lambda: (tmp_path / "b.pcapng").exists())
        endless.cancel()
        await asyncio.wait([endless])
        await asyncio.sleep(0.5)
        before = size_of(tmp_path / "b.pcapng")
        await asyncio.sleep(1.0)
        assert size_of(tmp_path / "b.pcapng") == before
        await pictures(live, 5)  # and the stream goes on


PARENT = """
import asyncio, sys
from gb28181.media.voice import ToneSource
from gb28181.media.workers import WorkerPlane
async def main():
    async with WorkerPlane(2, ports=range(44600, 44700)) as plane:
        print(*plane.pids, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@slow
@pytest.mark.parametrize("hangs", [False, True])
async def test_workers_end_with_a_first_process_that_is_killed(hangs: bool) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    pids = [int(word) for word in (await process.stdout.readline()).split()]
    assert len(pids) == 2
    for pid in pids:
        os.kill(pid, signal.SIGTERM)  # sent to the whole group: not theirs
        if hangs:
            os.kill(pid, signal.SIGSTOP)
    assert not any(map(is_gone, pids))
    process.kill()
    await process.wait()
    await until(lambda: all(map(is_gone, pids)))
