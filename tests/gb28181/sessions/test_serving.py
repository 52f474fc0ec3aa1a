"""The device's side of playback and download, as a platform sees it on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gb28181.device import Device
from gb28181.equipment.recordings import PatternRecordings
from gb28181.events import CatalogChanged
from gb28181.manscdp.catalog import CatalogItem
from gb28181.manscdp.codec import decode
from gb28181.manscdp.media_status import MediaStatusNotify
from gb28181.mansrtsp import (
    CONTENT_TYPE,
    NOW,
    Answer,
    Control,
    Pause,
    Play,
    Teardown,
    parse_answer,
)
from gb28181.media.packets import Decoder, frame_to_gray
from gb28181.media.pattern import read_counter
from gb28181.media.plane import LocalMediaPlane
from gb28181.media.playback import PlaybackLimits
from gb28181.media.receiver import Receiver
from gb28181.media.source import ClipSource, PatternStyle
from gb28181.media.stream import Overflow
from gb28181.sdp import MediaTransport, SessionDescription, parse_sdp
from gb28181.sessions.serving import DeviceChannel, ServingHabits
from gb28181.ssrc import Ssrc
from gb28181.supervisor import Supervisor
from gb28181.testing.simulation import Simulation
from gb28181.testing.synthetic import synthetic_clip
from rtp.access_unit import AccessUnit, Codec, MediaKind
from sip.endpoint import OutgoingCall, SipEndpoint
from sip.errors import CallRejected
from sip.message import Headers, Request, Response

PLATFORM = "34020000002000000001"
CAMERA = "34020000001320000001"
EIGHT = datetime(2026, 1, 1, 8, tzinfo=UTC)
HOUR = PatternRecordings([(EIGHT, EIGHT + timedelta(hours=1))])
TORN = PatternRecordings(
    [
        (EIGHT, EIGHT + timedelta(seconds=10)),
        (EIGHT + timedelta(minutes=5), EIGHT + timedelta(seconds=310)),
    ],
    kinds=("time", "alarm"),
)


class Session:
    """One session of the asker: its call, its receiver and the pictures that came."""

    def __init__(self, call: OutgoingCall, receiver: Receiver, answer: SessionDescription) -> None:
        self.call = call
        self.receiver = receiver
        self.answer = answer
        self.units: list[tuple[float, AccessUnit]] = []
        self._cseq = 0

    async def collect(self) -> None:
        loop = asyncio.get_running_loop()
        async for unit in self.receiver.units.reader(size=10_000):
            self.units.append((loop.time(), unit))

    async def info(self, body: bytes) -> Response:
        return await self.call.request("INFO", body=body, content_type=CONTENT_TYPE)

    async def control(self, request: Control) -> Answer:
        self._cseq += 1
        response = await self.info(replace(request, cseq=self._cseq).to_bytes())
        assert response.status == 200
        answer = parse_answer(response.body)
        assert answer.cseq == self._cseq
        return answer

    def moments(self, disk: PatternRecordings, *, since: int = 0) -> list[float]:
        """Seconds after eight o'clock that the decoded pictures show."""
        video = [unit for _, unit in self.units[since:] if unit.kind is MediaKind.VIDEO]
        while video and not video[0].is_key:
            video.pop(0)
        decoder = Decoder(video[0].codec)
        frames = [frame for unit in video for frame in decoder.decode(unit)] + decoder.flush()
        assert decoder.errors == 0
        counters = [read_counter(frame_to_gray(frame)) for frame in frames]  # type: ignore[arg-type]
        assert None not in counters
        near = EIGHT + timedelta(minutes=30)
        return [
            (disk.moment_of(counter, near=near) - EIGHT).total_seconds()
            for counter in counters
            if counter is not None
        ]


class Asker:
    """A platform that does what the test says: it takes every registration and every message."""

    def __init__(self, gb: Simulation) -> None:
        self.host = gb.network.host("10.0.9.1")
        self.endpoint = SipEndpoint(
            listen=("udp://:5060", "tcp://:5060"), network=self.host, user=PLATFORM
        )
        self.plane = LocalMediaPlane(self.host, ports=range(30000, 30200))
        self._ends: list[tuple[MediaStatusNotify, bool]] = []
        self.message_status = 200
        self.supervisor = Supervisor("asker")
        self.target = ""
        self._serial = 0

    async def start(self) -> None:
        await self.endpoint.start()
        await self.supervisor.start()
        self.supervisor.spawn(self._serve(), name="serve")

    async def stop(self) -> None:
        await self.supervisor.stop()
        await self.plane.close()
        await self.endpoint.aclose()

    async def _serve(self) -> None:
        async for incoming in self.endpoint.requests():
            if incoming.method == "REGISTER":
                host, port = incoming.flow.remote
                self.target = f"udp://{host}:{port}"
            status = 200
            if incoming.method == "MESSAGE":
                message = decode(incoming.request.body).message
                if isinstance(message, MediaStatusNotify):
                    self._ends.append((message, incoming.call is not None))
                    status = self.message_status
            incoming.respond(status)

    def ends(self) -> list[tuple[MediaStatusNotify, bool]]:
        """The notices of an end, and whether they came within a call."""
        return self._ends

    def offer(self, port: int, mode: str, **changes: object) -> SessionDescription:
        tcp = mode != "udp"
        described = SessionDescription(
            origin_id=PLATFORM,
            address=self.host.address,
            port=port,
            name="Playback",
            uri=f"{CAMERA}:0",
            start=int(EIGHT.timestamp()),
            end=int(EIGHT.timestamp()) + 3600,
            transport=MediaTransport.TCP if tcp else MediaTransport.UDP,
            direction="recvonly",
            setup={"tcp-passive": "passive", "tcp-active": "active"}.get(mode),
            connection="new" if tcp else None,
            ssrc=Ssrc(1200000001),
        )
        return replace(described, **changes)  # type: ignore[arg-type]

    def request(self, body: bytes, *, channel: str = CAMERA) -> Request:
        self._serial += 1
        uri = f"sip:{channel}@3402000000"
        headers = Headers(
            [
                ("From", f"<sip:{PLATFORM}@3402000000>"),
                ("To", f"<{uri}>"),
                ("Subject", f"{channel}:1{self._serial:09d},{PLATFORM}:{self._serial}"),
                ("Content-Type", "application/sdp"),
            ]
        )
        return Request("INVITE", uri, headers, body)

    async def invite(
        self, *, mode: str = "udp", channel: str = CAMERA, acknowledge: bool = True,
        collect: bool = True,
        **changes: Any,
    ) -> Session:  # fmt: skip
        receiver = await self.plane.open_receiver(mode, host="0.0.0.0")
        offer = self.offer(receiver.local[1], mode, **changes)
        try:
            call = await self.endpoint.invite(
                self.request(offer.to_bytes(), channel=channel), self.target
            )
        except CallRejected:
            receiver.close()
            raise
        answer = parse_sdp(call.response.body)
        session = Session(call, receiver, answer)
        receiver.expect(ssrc=answer.ssrc, host=answer.address)
        if collect:
            self.supervisor.spawn(session.collect(), name="collect")
        if acknowledge:
            await call.ack()
        if mode == "tcp-active":
            await receiver.connect((answer.address, answer.port))
        return session


@pytest.fixture
async def asker(gb: Simulation) -> AsyncIterator[Asker]:
    asker = Asker(gb)
    await asker.start()
    yield asker
    await asker.stop()


async def camera(
    gb: Simulation,
    asker: Asker,
    disk: PatternRecordings | None = HOUR,
    *,
    habits: ServingHabits | None = None,
    **settings: object,
) -> Device:
    device = Device(
        CAMERA,
        server=f"udp://{asker.host.address}:5060",
        server_id=PLATFORM,
        channels=[channel_of(disk)],
        network=gb.network.host("10.0.1.1"),
        **settings,  # type: ignore[arg-type]
    )
    await gb.keep(device, gb.network.host("10.0.1.1"))
    if habits is not None:
        device.serving.habits = habits
    await device.registered()
    return device


def channel_of(disk: PatternRecordings | None, channel_id: str = CAMERA) -> DeviceChannel:
    item = CatalogItem(device_id=channel_id, name="camera", parent_id=CAMERA, status="ON")
    return DeviceChannel(
        item=item,
        source=lambda: ClipSource(synthetic_clip()),
        sub_source=lambda: ClipSource(synthetic_clip(size=50)),
        recordings=disk,
    )


def leaks(gb: Simulation) -> list[str]:
    """What is left open, but for the SIP sockets of the asker, which no role stands for."""
    return [line for line in gb.leaks() if ":5060 " not in line]


async def clean(gb: Simulation, asker: Asker, session: Session) -> None:
    """Nothing may be left on either side."""
    session.receiver.close()
    await gb.advance(40)
    assert leaks(gb) == []
    assert asker.plane.counts()["receivers"] == 0


@pytest.mark.parametrize("mode", ["udp", "tcp-passive", "tcp-active"])
async def test_a_recording_is_played_from_its_start(
    gb: Simulation, asker: Asker, mode: str
) -> None:
    device = await camera(gb, asker)
    session = await asker.invite(mode=mode)
    assert session.answer.session == "playback"
    assert session.answer.ssrc == 1200000001
    assert "filesize" not in session.answer.attributes
    await gb.advance(10)
    moments = session.moments(HOUR)
    assert moments == pytest.approx([n / 5 for n in range(len(moments))])
    assert moments[-1] == pytest.approx(10, abs=0.5)
    assert {unit.codec for _, unit in session.units} == {Codec.H264, Codec.PCMA}
    await session.call.bye()
    await gb.advance(0.1)
    assert device.sessions == []
    await clean(gb, asker, session)


async def test_fifty_jumps_land_within_a_second(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker)
    session = await asker.invite()
    await gb.advance(1)
    for number in range(50):
        wanted = (number * 1237.3) % 3590
        answer = await session.control(Play(range_start=round(wanted, 3)))
        assert answer.status == 200
        assert answer.rtp_info is not None
        await gb.advance(0.3)
        before = len(session.units)
        await gb.advance(1.0)
        shown = session.moments(HOUR, since=before)
        assert shown[0] == pytest.approx(wanted + 1, abs=1.3)
    await session.call.bye()
    await clean(gb, asker, session)


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, 4.0])
async def test_speed_is_seen_in_the_pictures(gb: Simulation, asker: Asker, speed: float) -> None:
    await camera(gb, asker)
    session = await asker.invite()
    await gb.advance(1)
    answer = await session.control(Play(scale=speed))
    assert answer.scale == speed
    await gb.advance(0.5)
    before = len(session.units)
    await gb.advance(20)
    shown = session.moments(HOUR, since=before)
    came = [at for at, unit in session.units if unit.kind is MediaKind.VIDEO][-len(shown) :]
    assert (shown[-1] - shown[0]) / (came[-1] - came[0]) == pytest.approx(speed, rel=0.05)
    await session.call.bye()
    await clean(gb, asker, session)


async def test_a_pause_of_a_minute_loses_nothing(gb: Simulation, asker: Asker) -> None:
    device = await camera(gb, asker)
    session = await asker.invite()
    await gb.advance(5.1)
    await session.control(Pause())
    await gb.advance(1)
    before = len(session.units)
    await gb.advance(20)
    session.receiver.pause_watch(True)
    await gb.advance(40)
    assert len(session.units) <= before + 1
    assert len(device.sessions) == 1
    await session.control(Play(range_start=NOW))
    await gb.advance(5)
    moments = session.moments(HOUR)
    assert moments == pytest.approx([n / 5 for n in range(len(moments))])
    assert moments[-1] == pytest.approx(10, abs=0.7)
    await session.call.bye()
    await clean(gb, asker, session)


async def test_reverse_shows_whole_groups_backwards(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker)
    session = await asker.invite()
    await gb.advance(1)
    answer = await session.control(Play(scale=-1.0, range_start=600.0, range_end=590.0))
    assert answer.scale == -1.0
    await gb.advance(20)
    shown = [round(one, 1) for one in session.moments(HOUR)]
    begin = shown.index(600.0)
    assert shown[begin:] == [
        second + place / 5 for second in range(600, 589, -1) for place in range(5)
    ]
    await session.call.bye()
    await clean(gb, asker, session)


async def test_the_end_is_told_within_the_call_and_then_it_waits_for_bye(
    gb: Simulation, asker: Asker
) -> None:
    device = await camera(gb, asker, TORN)
    session = await asker.invite()
    await gb.until(asker.ends, within=40)
    ((notice, is_in_call),) = asker.ends()
    assert (notice.notify_type, notice.device_id, is_in_call) == ("121", CAMERA, True)
    shown = session.moments(TORN)
    # Both pieces, the gap between them passed over.
    assert shown == pytest.approx([*(n / 5 for n in range(50)), *(300 + n / 5 for n in range(50))])
    assert len(device.sessions) == 1
    assert parse_answer((await session.info(Play(range_start=0.0).to_bytes())).body).status == 455
    await session.call.bye()
    await gb.advance(1)
    assert device.sessions == []
    await clean(gb, asker, session)


@pytest.mark.parametrize("status", [200, 404])
async def test_without_a_bye_it_says_one_itself(gb: Simulation, asker: Asker, status: int) -> None:
    asker.message_status = status
    device = await camera(gb, asker, TORN)
    session = await asker.invite()
    await gb.until(asker.ends, within=40)
    await gb.advance(9)
    assert not session.call.is_ended or status != 200
    await gb.advance(2)
    assert session.call.is_ended
    assert session.call.ended.result().by == "remote"
    assert device.sessions == []
    await clean(gb, asker, session)


@pytest.mark.parametrize("speed", ["4", "99", ""])
async def test_a_download_comes_faster_and_says_its_size(
    gb: Simulation, asker: Asker, speed: str
) -> None:
    await camera(gb, asker)
    start = int(EIGHT.timestamp())
    session = await asker.invite(
        mode="tcp-passive", name="Download", end=start + 60, attributes={"downloadspeed": speed}
    )
    assert session.answer.session == "download"
    assert session.answer.attributes["filesize"] == str(60 * 13_000)
    started = gb.clock.time()
    await gb.until(asker.ends, within=200)
    taken = {"4": 4, "99": 8}.get(speed, 1)
    assert 60 / (gb.clock.time() - started) == pytest.approx(taken, rel=0.05)
    assert session.moments(HOUR) == pytest.approx([n / 5 for n in range(300)])
    assert session.receiver.statistics.bytes == pytest.approx(60 * 13_000, rel=0.1)
    await session.call.bye()
    await clean(gb, asker, session)


async def test_a_slow_reader_over_tcp_slows_the_download_and_loses_nothing(
    gb: Simulation, asker: Asker
) -> None:
    await camera(gb, asker)
    session = await asker.invite(
        mode="tcp-passive",
        name="Download",
        end=int(EIGHT.timestamp()) + 120,
        attributes={"downloadspeed": "8"},
        collect=False,
    )
    seen: list[int] = []
    async with session.receiver.units.reader(size=20, overflow=Overflow.PAUSE) as reader:
        async for unit in reader:
            seen.append(unit.dts)
            await gb.advance(0.05)  # 20 units a second of the 80 that would come
            if len(seen) == 1190:  # the last ones wait for what follows them
                break
    assert [one - seen[0] for one in seen] == [n // 2 * 18_000 for n in range(1190)]
    await session.call.bye()
    await clean(gb, asker, session)


async def test_half_an_hour_at_four_times_the_speed_is_complete(
    gb: Simulation, asker: Asker
) -> None:
    style = PatternStyle(audio=None, fps=1)
    disk = PatternRecordings([(EIGHT, EIGHT + timedelta(hours=1))], style=style)
    await camera(gb, asker, disk)
    session = await asker.invite(
        mode="tcp-passive",
        name="Download",
        end=int(EIGHT.timestamp()) + 1800,
        attributes={"downloadspeed": "4"},
    )
    await gb.until(asker.ends, within=500)
    video = [unit for _, unit in session.units]
    assert [unit.dts - video[0].dts for unit in video] == [n * 90_000 for n in range(1800)]
    await session.call.bye()
    await clean(gb, asker, session)


async def test_teardown_stops_the_media_and_a_bye_follows(gb: Simulation, asker: Asker) -> None:
    device = await camera(gb, asker)
    session = await asker.invite()
    await gb.advance(2)
    assert (await session.control(Teardown())).status == 200
    await gb.advance(1)
    count = len(session.units)
    await gb.advance(8)
    assert len(session.units) <= count + 1
    assert not session.call.is_ended
    await gb.advance(3)
    assert session.call.is_ended
    assert asker.ends() == []
    assert device.sessions == []
    await clean(gb, asker, session)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"start": 1, "end": 2}, 404),
        ({"uri": f"{CAMERA}:2"}, 404),
        ({"uri": f"{CAMERA}:3"}, 200),
        ({"start": 0, "end": 0}, 488),
        ({"start": 5, "end": 4}, 488),
        ({"end": 10**14}, 488),
        ({"name": "Talk"}, 488),
        ({"name": "download"}, 200),
    ],
)
async def test_what_is_not_there_is_refused(
    gb: Simulation, asker: Asker, changes: dict[str, Any], status: int
) -> None:
    await camera(gb, asker)
    if status == 200:
        session = await asker.invite(**changes)
        await session.call.bye()
        await clean(gb, asker, session)
        return
    with pytest.raises(CallRejected) as told:
        await asker.invite(**changes)
    assert told.value.response.status == status
    assert told.value.response.headers.get("Warning") is not None
    await gb.advance(40)
    assert leaks(gb) == []


async def test_a_camera_without_a_disk_has_no_recording(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker, PatternRecordings([]))
    with pytest.raises(CallRejected) as told:
        await asker.invite()
    assert told.value.response.status == 404


async def test_only_alarm_recordings_when_only_they_are_asked_for(
    gb: Simulation, asker: Asker
) -> None:
    await camera(gb, asker, TORN)
    session = await asker.invite(uri=f"{CAMERA}:2")
    await gb.until(asker.ends, within=40)
    assert session.moments(TORN) == pytest.approx([300 + n / 5 for n in range(50)])
    await session.call.bye()
    await clean(gb, asker, session)


async def test_times_in_ntp_seconds_are_understood(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker)
    start = int(EIGHT.timestamp()) + 2_208_988_800
    session = await asker.invite(start=start + 60, end=start + 120)
    await gb.advance(2)
    assert session.moments(HOUR)[0] == 60
    await session.call.bye()
    await clean(gb, asker, session)


@pytest.mark.parametrize(
    ("body", "sip_status", "status"),
    [
        (b"", 400, None),
        (b"nonsense", 400, None),
        (b"RECORD RTSP/1.0\r\nCSeq: 3\r\n\r\n", 200, 501),
        (b"PLAY RTSP/1.0\r\nCSeq: 3\r\nScale: x\r\n\r\n", 200, 400),
        (b"PLAY MANSRTSP/1.0\r\nCSeq: 3\r\nRange: npt=3601-\r\n\r\n", 200, 457),
        (b"PLAY RTSP/1.0\nCSeq: 3\nRange: npt=-5-\n", 200, 457),
    ],
)
async def test_a_control_that_cannot_be_obeyed_leaves_the_session_as_it_is(
    gb: Simulation, asker: Asker, body: bytes, sip_status: int, status: int | None
) -> None:
    await camera(gb, asker)
    session = await asker.invite()
    await gb.advance(2)
    response = await session.info(body)
    assert response.status == sip_status
    if status is not None:
        answer = parse_answer(response.body)
        assert (answer.status, answer.cseq) == (status, 3)
        assert response.body.startswith(body.split()[1])  # the token of the request
        assert response.headers.get("Content-Type") == CONTENT_TYPE
    await gb.advance(2)
    moments = session.moments(HOUR)
    assert moments == pytest.approx([n / 5 for n in range(len(moments))])
    assert moments[-1] > 3.5
    await session.call.bye()
    await clean(gb, asker, session)


async def test_a_control_that_comes_with_the_ack_is_obeyed(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker)
    session = await asker.invite(acknowledge=False)
    async with asyncio.TaskGroup() as group:
        group.create_task(session.call.ack())
        moved = group.create_task(session.control(Play(range_start=600.0)))
    assert moved.result().status == 200
    await gb.advance(2)
    assert session.moments(HOUR)[-1] > 600
    await session.call.bye()
    await clean(gb, asker, session)


async def test_a_control_without_a_session_gets_481(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker)
    headers = Headers(
        [
            ("From", f"<sip:{PLATFORM}@3402000000>;tag=1"),
            ("To", f"<sip:{CAMERA}@3402000000>;tag=2"),
            ("Content-Type", CONTENT_TYPE),
        ]
    )
    request = Request("INFO", f"sip:{CAMERA}@3402000000", headers, Pause().to_bytes())
    assert (await asker.endpoint.request(request, asker.target)).status == 481


async def test_a_live_session_is_not_paused(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker)
    session = await asker.invite(name="Play", start=0, end=0)
    assert (await session.control(Pause())).status == 455
    await session.call.bye()
    await clean(gb, asker, session)


async def test_a_refresh_is_taken_and_a_change_is_not(gb: Simulation, asker: Asker) -> None:
    device = await camera(gb, asker)
    session = await asker.invite()
    same = asker.offer(session.receiver.local[1], "udp")
    # The asker's own stack sends no second INVITE, so another one does, in the same dialog.
    again = SipEndpoint(listen=("udp://:5070",), network=asker.host, user=PLATFORM)
    await again.start()
    statuses = []
    for number, offer in enumerate((same.to_bytes(), replace(same, port=39998).to_bytes(), b"x")):
        request = asker.request(offer)
        request.headers.set("From", str(session.call.invite.headers.get("From")))
        request.headers.set("To", str(session.call.response.headers.get("To")))
        request.headers.set("Call-ID", session.call.call_id)
        request.headers.add("CSeq", f"{number + 50} INVITE")
        try:
            call = await again.invite(request, asker.target)
        except CallRejected as error:
            statuses.append(error.response.status)
        else:
            statuses.append(call.response.status)
            assert call.response.body == session.call.response.body
            await call.ack()
    assert statuses == [200, 488, 488]
    await again.aclose()
    await device.serving.end("test", timeout=2.0)
    await clean(gb, asker, session)


async def test_too_many_playbacks_get_486(gb: Simulation, asker: Asker) -> None:
    device = await camera(gb, asker)
    device.serving.max_playbacks = 1
    session = await asker.invite()
    with pytest.raises(CallRejected) as told:
        await asker.invite()
    assert told.value.response.status == 486
    live = await asker.invite(name="Play", start=0, end=0)
    await gb.advance(0.1)
    assert len(device.sessions) == 2
    await live.call.bye()
    live.receiver.close()
    await session.call.bye()
    await clean(gb, asker, session)


async def test_two_playbacks_of_one_camera_do_not_disturb_each_other(
    gb: Simulation, asker: Asker
) -> None:
    await camera(gb, asker)
    one, two = await asker.invite(), await asker.invite(ssrc=Ssrc(1200000002))
    await one.control(Play(range_start=1000.0))
    await gb.advance(3)
    assert one.moments(HOUR)[-1] > 1000
    assert two.moments(HOUR)[-1] < 5
    await one.call.bye()
    one.receiver.close()
    await two.call.bye()
    await clean(gb, asker, two)


@pytest.mark.parametrize(
    "attributes",
    [{"streamnumber": "1"}, {"stream": "1"}, {"streamprofile": "1"}, {"streamMode": "SUB"}],
)
async def test_the_sub_stream_in_everybodys_words(
    gb: Simulation, asker: Asker, attributes: dict[str, str]
) -> None:
    await camera(gb, asker)
    session = await asker.invite(name="Play", start=0, end=0, attributes=attributes)
    await gb.advance(3)
    assert max(len(unit.data) for _, unit in session.units if not unit.is_key) < 200
    await session.call.bye()
    await clean(gb, asker, session)


# Every way to end, at every stage --------------------------------------------------------------


@pytest.mark.parametrize("stage", ["answered", "playing", "paused", "over"])
@pytest.mark.parametrize("by", ["caller", "device", "vanished"])
@pytest.mark.parametrize("mode", ["udp", "tcp-passive", "tcp-active"])
async def test_nothing_is_left_whoever_ends_it_whenever(
    gb: Simulation, asker: Asker, stage: str, by: str, mode: str
) -> None:
    device = await camera(gb, asker, TORN, keepalive_interval=10.0)
    session = await asker.invite(mode=mode)
    if stage != "answered":
        await gb.advance(3)
    if stage == "paused":
        await session.control(Pause())
    if stage == "over":
        await gb.until(asker.ends, within=40)
    if by == "caller":
        await session.call.bye()
    elif by == "device":
        await device.serving.end("test", timeout=2.0)
    else:
        asker.host.vanish()
    session.receiver.close()
    # Of a caller that vanished before its ACK came: 64 T1 for that, and 64 T1 for the BYE.
    await gb.advance(200 if by == "vanished" else 40)
    assert device.sessions == []
    assert leaks(gb) == []
    asker.host.reappear()


async def test_an_invite_that_is_never_acknowledged_leaves_nothing(
    gb: Simulation, asker: Asker
) -> None:
    device = await camera(gb, asker)
    session = await asker.invite(acknowledge=False)
    await gb.advance(40)
    assert session.units == []
    assert device.sessions == []
    await clean(gb, asker, session)


# Habits ----------------------------------------------------------------------------------------


async def test_media_may_come_before_the_ack(gb: Simulation, asker: Asker) -> None:
    device = await camera(gb, asker, habits=ServingHabits(media_before_ack=True))
    session = await asker.invite(acknowledge=False)
    await gb.advance(3)
    assert session.moments(HOUR)[0] == 0
    await gb.advance(40)  # and it ends with the call that was never acknowledged
    assert device.sessions == []
    await clean(gb, asker, session)


async def test_a_device_may_ignore_the_speed_that_it_accepts(gb: Simulation, asker: Asker) -> None:
    await camera(gb, asker, habits=ServingHabits(limits=PlaybackLimits(obeys_speed=False)))
    session = await asker.invite()
    answer = await session.control(Play(scale=4.0))
    assert (answer.status, answer.scale) == (200, None)
    await gb.advance(10)
    assert session.moments(HOUR)[-1] == pytest.approx(10, abs=0.5)
    await session.call.bye()
    await clean(gb, asker, session)


async def test_a_device_may_lose_patience_in_a_pause(gb: Simulation, asker: Asker) -> None:
    device = await camera(gb, asker, habits=ServingHabits(bye_after_pause=30.0))
    session = await asker.invite()
    await gb.advance(2)
    await session.control(Pause())
    await gb.advance(20)
    await session.control(Play(range_start=NOW))
    await gb.advance(20)
    assert not session.call.is_ended
    await session.control(Pause())
    await gb.advance(31)
    assert session.call.is_ended
    assert device.sessions == []
    await clean(gb, asker, session)


async def test_a_device_may_send_past_the_end_and_not_tell_it(gb: Simulation, asker: Asker) -> None:
    habits = ServingHabits(tells_end=False, overrun=20.0)
    device = await camera(gb, asker, habits=habits)
    session = await asker.invite(end=int(EIGHT.timestamp()) + 10)
    await gb.advance(45)
    assert session.moments(HOUR)[-1] == pytest.approx(29.8)
    assert asker.ends() == []
    assert len(device.sessions) == 1
    await session.call.bye()
    await clean(gb, asker, session)


async def test_a_receiver_that_closes_its_connection_first_is_no_fault(
    gb: Simulation, caplog: pytest.LogCaptureFixture
) -> None:
    platform = await gb.platform(media_mode="tcp-passive")
    camera = await gb.device()
    await gb.until(CatalogChanged)
    async with platform.channel(camera.channels[0]).play() as live:
        await gb.advance(3)
        live.session.receiver.close()
        await gb.until(lambda: camera.role.sessions == [], within=40)
    assert camera.role.station.supervisor.faults == 0
    assert [one for one in caplog.records if "ended by a fault" in one.getMessage()] == []
