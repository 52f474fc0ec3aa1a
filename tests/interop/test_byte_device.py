"""A device typed by hand: a socket and bytes, without a line of this project's own.

It registers at a real platform and is the other side of an alarm subscription, of a search for
recordings that is answered in three parts, and of the snapshots of the 2022 edition.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone

import pytest

from gb28181 import (
    Alarm,
    DeviceOnline,
    Edition,
    Notice,
    Platform,
    RemoteDevice,
    Stage,
    UnknownCommand,
)
from gb28181.manscdp import SnapShotConfig, UploadSnapShotFinishedNotify

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
DEVICE = "34020000001320000009"
PASSWORD = "s3cret"
LOCAL = "127.0.0.1"
CHINA = timezone(timedelta(hours=8))

PICTURE = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"
PICTURE_ID = "34020000001320000009022024050108000012301"
NAME = b"\xb6\xab\xc3\xc5"  # East gate, in GB 2312


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def field(head: bytes, name: bytes) -> bytes:
    found = re.search(rb"(?im)^" + name + rb":[ \t]*(.*?)\r$", head)
    assert found, (name, head)
    return found[1]


def element(body: bytes, name: bytes) -> bytes:
    found = re.search(b"<" + name + b">(.*?)</" + name + b">", body, re.S)
    assert found, (name, body)
    return found[1]


class ByteDevice:
    """One UDP socket. What it is asked is kept in ``heard``; nothing is sent twice."""

    def __init__(self, server_port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((LOCAL, 0))
        self.socket.connect((LOCAL, server_port))
        self.socket.settimeout(8)
        self.port = self.socket.getsockname()[1]
        self.heard: list[bytes] = []
        self._count = 0
        self._held: list[bytes] = []

    def close(self) -> None:
        self.socket.close()

    def register(self) -> None:
        """Register with a digest by hand."""
        challenge = self._register(1, b"")
        assert challenge.startswith(b"SIP/2.0 401 "), challenge
        asked = field(challenge, b"WWW-Authenticate").decode()
        realm = re.search('realm="([^"]*)"', asked)
        nonce = re.search('nonce="([^"]*)"', asked)
        assert realm
        assert nonce
        uri = f"sip:{PLATFORM}@3402000000"
        response = md5(
            f"{md5(f'{DEVICE}:{realm[1]}:{PASSWORD}')}:{nonce[1]}:{md5(f'REGISTER:{uri}')}"
        )
        proof = (
            f'Authorization: Digest username="{DEVICE}", realm="{realm[1]}", nonce="{nonce[1]}", '
            f'uri="{uri}", response="{response}", algorithm=MD5\r\n'
        )
        granted = self._register(2, proof.encode())
        assert granted.startswith(b"SIP/2.0 200 "), granted
        assert field(granted, b"Expires") == b"3600"
        assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", field(granted, b"Date")), (
            granted
        )
        assert field(granted, b"X-GB-Ver") == b"3.0"

    def ask(self, method: bytes) -> tuple[bytes, bytes]:
        """Wait for a request of that method, answer it 200, and return head and body."""
        while True:
            head, body = self._next()
            assert head.startswith(method + b" sip:"), head
            more = b"Expires: 600\r\n" if method == b"SUBSCRIBE" else b""
            self.answer(head, more)
            return head, body

    def answer(self, head: bytes, more: bytes = b"") -> None:
        """Answer a request with 200 and no body."""
        own = b";tag=device1" if b";tag=" not in field(head, b"To") else b""
        self.socket.send(
            b"SIP/2.0 200 OK\r\n"
            b"Via: " + field(head, b"Via") + b"\r\n"
            b"From: " + field(head, b"From") + b"\r\n"
            b"To: " + field(head, b"To") + own + b"\r\n"
            b"Call-ID: " + field(head, b"Call-ID") + b"\r\n"
            b"CSeq: " + field(head, b"CSeq") + b"\r\n"
            b"Contact: <sip:34020000001320000009@127.0.0.1:" + str(self.port).encode() + b">\r\n"
            + more + b"Content-Length: 0\r\n\r\n"
        )  # fmt: skip

    def message(self, body: bytes) -> bytes:
        """Send a MESSAGE and wait for its answer."""
        self._count += 1
        serial = str(self._count).encode()
        return self.request(
            b"MESSAGE",
            b"From: <sip:" + DEVICE.encode() + b"@3402000000>;tag=m" + serial + b"\r\n"
            b"To: <sip:" + PLATFORM.encode() + b"@3402000000>\r\n"
            b"Call-ID: message" + serial + b"@127.0.0.1\r\n"
            b"CSeq: 1 MESSAGE\r\n",
            body,
        )

    def request(self, method: bytes, fields: bytes, body: bytes) -> bytes:
        """Send a request and wait for its answer; a request that comes meanwhile is kept."""
        self._count += 1
        self.socket.send(
            method + b" sip:34020000002000000001@3402000000 SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP 127.0.0.1:" + str(self.port).encode()
            + b";rport;branch=z9hG4bKb" + str(self._count).encode() + b"\r\n"
            + fields + b"Max-Forwards: 70\r\n"
            b"Content-Type: Application/MANSCDP+xml\r\n"
            b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
        )  # fmt: skip
        while True:
            datagram = self.socket.recv(65_535)
            if datagram.startswith(b"SIP/2.0 "):
                return datagram
            self._held.append(datagram)

    def _next(self) -> tuple[bytes, bytes]:
        datagram = self._held.pop(0) if self._held else self.socket.recv(65_535)
        head, _, body = datagram.partition(b"\r\n\r\n")
        self.heard.append(datagram)
        return head + b"\r\n", body

    def _register(self, number: int, more: bytes) -> bytes:
        self.socket.send(
            b"REGISTER sip:34020000002000000001@3402000000 SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP 127.0.0.1:" + str(self.port).encode()
            + b";rport;branch=z9hG4bKr" + str(number).encode() + b"\r\n"
            b"From: <sip:34020000001320000009@3402000000>;tag=reg1\r\n"
            b"To: <sip:34020000001320000009@3402000000>\r\n"
            b"Call-ID: register@127.0.0.1\r\n"
            b"CSeq: " + str(number).encode() + b" REGISTER\r\n"
            b"Contact: <sip:34020000001320000009@127.0.0.1:" + str(self.port).encode() + b">\r\n"
            + more + b"Max-Forwards: 70\r\nExpires: 3600\r\nX-GB-Ver: 3.0\r\n"
            b"Content-Length: 0\r\n\r\n"
        )  # fmt: skip
        return self.socket.recv(65_535)


@asynccontextmanager
async def registered(
    ports: Callable[[int], int],
) -> AsyncIterator[tuple[Platform, RemoteDevice, ByteDevice]]:
    """A platform at which the device typed by hand is online."""
    port = ports(32)
    platform = Platform(
        PLATFORM,
        password_for={DEVICE: PASSWORD}.get,
        listen=(f"udp://{LOCAL}:{port}",),
        media_ports=range(port + 2, port + 32),
        asks_catalog=False,
        edition=Edition.GB2022,
    )
    async with platform, platform.events() as events:
        device = ByteDevice(port)
        try:
            await asyncio.to_thread(device.register)
            async with asyncio.timeout(5):
                async for event in events:
                    if isinstance(event, DeviceOnline):
                        break
            yield platform, platform.device(DEVICE), device
        finally:
            device.close()
    assert platform.refused == {}


async def test_alarm_subscription(ports: Callable[[int], int]) -> None:
    """Guard, SUBSCRIBE, one alarm by NOTIFY, one by MESSAGE that is acknowledged, and a reset."""
    kept: list[tuple[str, str | None]] = []

    def alarm(sn: bytes) -> bytes:
        return (
            b'<?xml version="1.0" encoding="GB2312"?>\n<Notify>\n<CmdType>Alarm</CmdType>\n'
            b"<SN>" + sn + b"</SN>\n<DeviceID>34020000001320000009</DeviceID>\n"
            b"<AlarmPriority>1</AlarmPriority>\n<AlarmMethod>2</AlarmMethod>\n"
            b"<AlarmTime>2024-05-01T08:00:01</AlarmTime>\n"
            b"<AlarmDescription>" + NAME + b"</AlarmDescription>\n"
            b"<Info><AlarmType>2</AlarmType></Info>\n</Notify>\n"
        )

    def script() -> None:
        _, guard = device.ask(b"MESSAGE")
        assert element(guard, b"GuardCmd") == b"SetGuard"
        assert device.message(
            b'<?xml version="1.0"?>\n<Response>\n<CmdType>DeviceControl</CmdType>\n'
            b"<SN>" + element(guard, b"SN") + b"</SN>\n"
            b"<DeviceID>34020000001320000009</DeviceID>\n<Result>OK</Result>\n</Response>\n"
        ).startswith(b"SIP/2.0 200 ")
        head, body = device.ask(b"SUBSCRIBE")
        assert element(body, b"CmdType") == b"Alarm"
        assert field(head, b"Event").startswith(b"presence")
        told = device.request(
            b"NOTIFY",
            b"From: " + field(head, b"To") + b";tag=device1\r\n"
            b"To: " + field(head, b"From") + b"\r\n"
            b"Call-ID: " + field(head, b"Call-ID") + b"\r\nCSeq: 1 NOTIFY\r\n"
            b"Event: " + field(head, b"Event") + b"\r\n"
            b"Subscription-State: active;expires=600\r\n"
            b"Contact: <sip:34020000001320000009@127.0.0.1:" + str(device.port).encode() + b">\r\n",
            alarm(b"11"),
        )
        assert told.startswith(b"SIP/2.0 200 "), told
        _, reset = device.ask(b"MESSAGE")
        assert element(reset, b"AlarmCmd") == b"ResetAlarm"
        assert device.message(alarm(b"12")).startswith(b"SIP/2.0 200 ")
        _, answer = device.ask(b"MESSAGE")
        assert answer.count(b"<Response>") == 1, answer
        assert (element(answer, b"CmdType"), element(answer, b"SN")) == (b"Alarm", b"12")
        assert element(answer, b"Result") == b"OK"

    async with registered(ports) as (platform, remote, device):

        @platform.on_alarm
        async def keep(alarm: Alarm) -> None:
            kept.append((alarm.notify.sn, alarm.notify.description))

        async with asyncio.TaskGroup() as group, asyncio.timeout(10):
            group.create_task(asyncio.to_thread(script))
            armed = await remote.arm()
        assert armed.guard is not None
        assert armed.guard.stage is Stage.DONE
        ledger = armed.subscription
        assert ledger is not None
        assert (ledger.state, ledger.notified, ledger.by_message) == ("accepted", 2, 1)
    assert kept == [("11", "东门"), ("12", "东门")]


async def test_record_info_in_three_parts(ports: Callable[[int], int]) -> None:
    """Two, one and one of four; the second is sent twice, as a device does that got no 200."""

    def item(hour: int) -> bytes:
        return (
            b"<Item><DeviceID>34020000001320000009</DeviceID><Name>" + NAME + b"</Name>"
            b"<FilePath>/rec/%02d</FilePath><StartTime>2024-05-01T%02d:00:00</StartTime>"
            b"<EndTime>2024-05-01T%02d:00:00</EndTime><Secrecy>0</Secrecy><Type>time</Type></Item>\n"
            % (hour, hour, hour + 1)
        )

    def part(sn: bytes, *hours: int) -> bytes:
        return (
            b'<?xml version="1.0" encoding="GB2312"?>\n<Response>\n<CmdType>RecordInfo</CmdType>\n'
            b"<SN>" + sn + b"</SN>\n<DeviceID>34020000001320000009</DeviceID>\n"
            b"<Name>" + NAME + b"</Name>\n<SumNum>4</SumNum>\n"
            b'<RecordList Num="%d">\n'
            % len(hours)
            + b"".join(map(item, hours))
            + b"</RecordList>\n</Response>\n"
        )

    def script() -> None:
        _, query = device.ask(b"MESSAGE")
        assert element(query, b"CmdType") == b"RecordInfo"
        assert element(query, b"StartTime") == b"2024-05-01T08:00:00"
        assert element(query, b"EndTime") == b"2024-05-01T14:00:00"
        assert element(query, b"Type") == b"all"
        sn = element(query, b"SN")
        for hours in ((8, 9), (10,), (10,), (12,)):
            assert device.message(part(sn, *hours)).startswith(b"SIP/2.0 200 ")

    start = datetime(2024, 5, 1, 8, tzinfo=CHINA)
    async with (
        registered(ports) as (_, remote, device),
        asyncio.timeout(10),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(asyncio.to_thread(script))
        found = await remote.records(start.astimezone(UTC), start + timedelta(hours=6))
    assert found.complete
    assert [record.start.hour for record in found.items] == [8, 9, 10, 12]
    assert {record.item.name for record in found.items} == {"东门"}
    assert [(a.hour, b.hour) for a, b in found.gaps] == [(11, 12), (13, 14)]


async def test_snapshot_of_2022(ports: Callable[[int], int]) -> None:
    """SnapShotConfig, its answer, one picture by HTTP, and the notice that it is there."""
    posted: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        posted.append(head)
        posted.append(await reader.readexactly(int(field(head, b"Content-Length"))))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    def script() -> None:
        _, order = device.ask(b"MESSAGE")
        assert element(order, b"CmdType") == b"DeviceConfig"
        wish = element(order, b"SnapShotConfig")
        assert (element(wish, b"SnapNum"), element(wish, b"Interval")) == (b"1", b"1")
        assert device.message(
            b'<?xml version="1.0"?>\n<Response>\n<CmdType>DeviceConfig</CmdType>\n'
            b"<SN>" + element(order, b"SN") + b"</SN>\n"
            b"<DeviceID>34020000001320000009</DeviceID>\n<Result>OK</Result>\n</Response>\n"
        ).startswith(b"SIP/2.0 200 ")
        url = re.fullmatch(rb"http://127\.0\.0\.1:(\d+)(/.*)", element(wish, b"UploadURL"))
        assert url
        with socket.create_connection((LOCAL, int(url[1])), timeout=5) as http:
            http.sendall(
                b"POST " + url[2] + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: %d\r\n\r\n" % len(PICTURE) + PICTURE
            )
            assert http.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert device.message(
            b'<?xml version="1.0"?>\n<Notify>\n<CmdType>UploadSnapShotFinished</CmdType>\n'
            b"<SN>9</SN>\n<DeviceID>34020000001320000009</DeviceID>\n"
            b"<SessionID>" + element(wish, b"SessionID") + b"</SessionID>\n"
            b"<SnapShotList>\n<SnapShotFileID>" + PICTURE_ID.encode() + b"</SnapShotFileID>\n"
            b"</SnapShotList>\n</Notify>\n"
        ).startswith(b"SIP/2.0 200 ")

    session = "7f2d5b7e-0000-4a1a-8d3e-112233445566"
    server = await asyncio.start_server(take, LOCAL, 0)
    port = server.sockets[0].getsockname()[1]
    async with server, registered(ports) as (platform, remote, device):
        wish = SnapShotConfig(
            snap_num=1, interval=1, upload_url=f"http://{LOCAL}:{port}/snap/", session_id=session
        )
        async with platform.events() as events, asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(script))
            outcome = await remote.take_snapshots(wish)
            async for event in events:
                if isinstance(event, Notice):
                    break
    assert outcome.stage is Stage.DONE
    assert isinstance(event, Notice)
    assert isinstance(event.notify, UploadSnapShotFinishedNotify)
    assert (event.notify.session_id, event.notify.files) == (session, (PICTURE_ID,))
    assert posted[1] == PICTURE


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (
            b"<Notify>\n<CmdType>Weather</CmdType>\n<SN>1</SN>\n<DeviceID>1</DeviceID>\n</Notify>",
            200,
        ),
        (b"<Telemetry>\n<CmdType>Keepalive</CmdType>\n</Telemetry>", 400),
        (b"<Notify>\n<CmdType>Keepalive</CmdType>\n<DeviceID>1</DeviceID>\n</Notify>", 400),
        (b"\x00\x01\x02\xff" * 50, 400),
        (b"<Notify>" * 5000, 400),
    ],
)
async def test_bytes_that_are_no_command(
    ports: Callable[[int], int], body: bytes, status: int
) -> None:
    """They are answered, and the next word of the device is heard as ever."""
    async with registered(ports) as (platform, remote, device):
        async with platform.events() as events:
            said = await asyncio.to_thread(device.message, body)
            assert said.startswith(f"SIP/2.0 {status} ".encode()), said
            alive = (
                b"<Notify>\n<CmdType>Keepalive</CmdType>\n<SN>2</SN>\n"
                b"<DeviceID>34020000001320000009</DeviceID>\n<Status>OK</Status>\n</Notify>"
            )
            assert (await asyncio.to_thread(device.message, alive)).startswith(b"SIP/2.0 200 ")
            if status == 200:
                async for event in events:
                    if isinstance(event, UnknownCommand):
                        break
        assert remote.is_online
        assert sum(platform.inbox.counters.values()) == 1
