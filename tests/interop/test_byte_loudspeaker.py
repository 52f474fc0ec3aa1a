"""A loudspeaker typed by hand: sockets and bytes, without a line of this project's own.

It registers, is called by Broadcast, invites as cameras do, and plays what comes: FFmpeg decodes
the payloads, so neither SIP, SDP, RTP nor G.711 is checked against our own reading of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from gb28181 import CatalogChanged, DeviceOnline, Platform
from gb28181.media.voice import ToneSource

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
DEVICE = "34020000001320000009"
PASSWORD = "s3cret"
LOCAL = "127.0.0.1"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class Loudspeaker:
    """One camera with a loudspeaker, on one UDP socket for SIP and one for sound."""

    def __init__(self, server_port: int, *, answers: bool, subject: str) -> None:
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind((LOCAL, 0))
        self.sip.settimeout(5)
        self.sip.connect((LOCAL, server_port))
        self.sound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sound.bind((LOCAL, 0))
        self.sound.settimeout(5)
        self.port = self.sip.getsockname()[1]
        self.answers = answers
        self.subject = subject
        self.payloads: list[bytes] = []
        self.types: set[int] = set()
        self.invite_answer = ""
        self.goodbye = ""

    def close(self) -> None:
        self.sip.close()
        self.sound.close()

    def send(self, text: str, body: str = "") -> None:
        head = text.strip().replace("\n", "\r\n") + f"\r\nContent-Length: {len(body.encode())}"
        self.sip.send((head + "\r\n\r\n" + body).encode())

    def receive(self) -> str:
        return self.sip.recv(65535).decode("utf-8", "replace")

    def head(self, method: str, call_id: str, cseq: int, to: str, tag: str = "") -> str:
        return f"""{method} sip:{to}@3402000000 SIP/2.0
Via: SIP/2.0/UDP {LOCAL}:{self.port};rport;branch=z9hG4bK{method}{cseq}{call_id}
From: <sip:{DEVICE}@3402000000>;tag=hand{call_id}
To: <sip:{to}@3402000000>{tag}
Call-ID: {call_id}
CSeq: {cseq} {method}
Contact: <sip:{DEVICE}@{LOCAL}:{self.port}>
Max-Forwards: 70"""

    def register(self) -> None:
        register = self.head("REGISTER", "reg", 1, DEVICE).replace(DEVICE, PLATFORM, 1)
        self.send(register + "\nExpires: 3600")
        challenge = self.receive()
        assert challenge.startswith("SIP/2.0 401"), challenge
        realm, nonce = re.findall(r'realm="([^"]*)".*nonce="([^"]*)"', challenge)[0]
        uri = f"sip:{PLATFORM}@3402000000"
        response = md5(f"{md5(f'{DEVICE}:{realm}:{PASSWORD}')}:{nonce}:{md5(f'REGISTER:{uri}')}")
        again = self.head("REGISTER", "reg", 2, DEVICE).replace(DEVICE, PLATFORM, 1)
        self.send(
            f'{again}\nExpires: 3600\nAuthorization: Digest username="{DEVICE}",'
            f' realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"'
        )
        assert self.receive().startswith("SIP/2.0 200")

    def reply(self, request: str, status: str = "200 OK") -> None:
        kept = re.findall(r"(?m)^(?:Via|From|To|Call-ID|CSeq):.*$", request)
        self.send("\n".join([f"SIP/2.0 {status}", *(line.rstrip() for line in kept)]))

    def command(self, kind: str) -> re.Match[str]:
        """Answer what comes with 200 until a command of that kind was among it."""
        while True:
            request = self.receive()
            if not request.startswith("MESSAGE"):
                continue
            self.reply(request)
            found = re.search(
                rf"<CmdType>{kind}</CmdType>\s*<SN>(\d+)</SN>(?:.*?<TargetID>(\d+)<)?",
                request,
                re.DOTALL,
            )
            if found:
                return found

    def message(self, number: int, body: str) -> None:
        head = self.head("MESSAGE", f"msg{number}", number, PLATFORM)
        self.send(head + "\nContent-Type: Application/MANSCDP+xml", body)
        answer = self.receive()
        while not answer.startswith("SIP/2.0 200"):
            if answer.startswith("MESSAGE"):
                self.reply(answer)
            answer = self.receive()

    def catalog(self) -> None:
        sn = self.command("Catalog")[1]
        self.message(
            1,
            f'<?xml version="1.0" encoding="GB2312"?><Response><CmdType>Catalog</CmdType>'
            f"<SN>{sn}</SN><DeviceID>{DEVICE}</DeviceID><SumNum>1</SumNum>"
            f'<DeviceList Num="1"><Item><DeviceID>{DEVICE}</DeviceID><Name>horn</Name>'
            f"<Status>ON</Status></Item></DeviceList></Response>",
        )

    def listen(self) -> None:
        """Be called, call back, and hear until BYE."""
        called = self.command("Broadcast")
        sn, target = called[1], called[2]
        if self.answers:
            self.message(
                2,
                f"<Response><CmdType>Broadcast</CmdType><SN>{sn}</SN>"
                f"<DeviceID>{target}</DeviceID><Result>OK</Result></Response>",
            )
        offer = (
            f"v=0\r\no={DEVICE} 0 0 IN IP4 {LOCAL}\r\ns=Play\r\nc=IN IP4 {LOCAL}\r\nt=0 0\r\n"
            f"m=audio {self.sound.getsockname()[1]} RTP/AVP 8 96\r\na=recvonly\r\n"
            f"a=rtpmap:8 PCMA/8000/1\r\na=rtpmap:96 PS/90000\r\n"
            f"y=0200009999\r\nf=v/////a/1/8/1\r\n"
        )
        self.send(
            self.head("INVITE", "voice", 1, PLATFORM)
            + f"\nSubject: {self.subject}\nContent-Type: application/sdp",
            offer,
        )
        answer = self.receive()
        while not answer.startswith("SIP/2.0 200") or "INVITE" not in answer:
            assert not answer.startswith("SIP/2.0 4"), answer
            answer = self.receive()
        self.invite_answer = answer
        tag = re.findall(r"(?m)^To:.*(;tag=[^\s;]+)", answer)[0]
        self.send(self.head("ACK", "voice", 1, PLATFORM, tag))
        self.hear()

    def hear(self) -> None:
        deadline = time.monotonic() + 10
        while not self.goodbye and time.monotonic() < deadline:
            ready, _, _ = select.select([self.sip, self.sound], [], [], 1.0)
            if self.sound in ready:
                self.play(self.sound.recv(2048))
            elif self.sip in ready:
                request = self.receive()
                self.reply(request)
                self.goodbye = request if request.startswith("BYE") else ""

    def play(self, data: bytes) -> None:
        first, kind, number, _, ssrc = struct.unpack_from("!BBHII", data)
        assert (first, ssrc, number) == (0x80, 200009999, len(self.payloads))
        self.types.add(kind & 0x7F)
        self.payloads.append(data[12:])


@pytest.mark.parametrize("answers", [True, False], ids=["Response/Broadcast", "no Response"])
@pytest.mark.parametrize(
    "subject",
    [f"{PLATFORM}:0200009999,{DEVICE}:1", f"{PLATFORM}:1,{DEVICE}:2", "junk"],
    ids=["as the standard", "small serials", "junk"],
)
async def test_a_hand_made_loudspeaker_hears_the_tone(
    ports: Callable[[int], int], answers: bool, subject: str
) -> None:
    port, media = ports(2), ports(20)
    platform = Platform(
        PLATFORM,
        password_for=lambda device_id: PASSWORD,
        listen=(f"udp://{LOCAL}:{port}",),
        media_ports=range(media, media + 20),
    )
    async with platform, platform.events() as events:
        horn = Loudspeaker(port, answers=answers, subject=subject)
        try:
            await asyncio.to_thread(horn.register)
            await anext(one async for one in events if isinstance(one, DeviceOnline))
            await asyncio.to_thread(horn.catalog)
            await anext(one async for one in events if isinstance(one, CatalogChanged))
            listening = asyncio.ensure_future(asyncio.to_thread(horn.listen))
            async with platform.channel(DEVICE).broadcast(ToneSource(1000.0)):
                await asyncio.sleep(2.0)
            await asyncio.wait_for(listening, 10)
        finally:
            horn.close()

    described = horn.invite_answer.split("\r\n\r\n", 1)[1].split("\r\n")
    assert horn.goodbye.startswith("BYE")
    assert "a=sendonly" in described
    assert next(line for line in described if line.startswith("m=")).endswith(" RTP/AVP 8")
    assert "y=0200009999" in described
    assert "f=v/////a/1/8/1" in described
    assert horn.types == {8}
    assert heard_pitch(b"".join(horn.payloads)) == pytest.approx(1000, rel=0.01)
    assert len(b"".join(horn.payloads)) == pytest.approx(16_000, rel=0.15)


def heard_pitch(samples: bytes) -> float:
    """Decode with FFmpeg and count where the wave crosses zero upwards."""
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg is not None, "ffmpeg is missing: run tests/interop/install.sh as root"
    command = [ffmpeg, "-v", "error", "-f", "alaw", "-ar", "8000", "-i", "-", "-f", "s16le", "-"]
    done: Any = subprocess.run(command, input=samples, capture_output=True, timeout=15, check=True)
    wave: tuple[int, ...] = struct.unpack(f"<{len(done.stdout) // 2}h", done.stdout)
    rising = sum(a < 0 <= b for a, b in pairwise(wave))
    return rising * 8000 / len(wave)
