"""tshark listens in: proves that Wireshark reads our roles' bytes as SIP, SDP and RTP.

A device, its platform and a platform above it run here; dumpcap takes their packets off the
loopback interface, and everything asserted is what tshark made of them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181 import Cascade, CatalogChanged, Device, DeviceChannel, Platform, Upper
from gb28181.manscdp.catalog import CatalogItem
from gb28181.media.source import PatternSource
from rtp.access_unit import Codec

if TYPE_CHECKING:
    from tests.interop.conftest import Program

pytestmark = pytest.mark.interop

PROVINCE = "34010000002000000001"
COUNTY = "34020000002000000001"
CAMERA = "34020000001320000001"
FIELDS = (
    "frame.protocols",
    "sip.Method",
    "sip.Status-Code",
    "sip.CSeq.method",
    "sip.auth.digest.response",
    "sdp.owner.username",
    "sdp.media.port",
    "sdp.media.proto",
    "sdp.unknown",
    "rtp.version",
    "rtp.p_type",
    "rtp.ssrc",
    "rtp.payload",
    "_ws.malformed",
    "_ws.expert.message",
    "_ws.expert.severity",
    "_ws.expert.group",
    "tcp.srcport",
    "tcp.dstport",
    "udp.dstport",
)
WARNING = 0x600000
"""A severity of Wireshark; notes and chats are below."""
SEQUENCE = 0x2000000
"""The group of remarks on lost or repeated TCP segments: the kernel's work, not ours."""
Row = dict[str, str]


class Capture:
    """A running dumpcap, and the places of the ports that it listens to."""

    def __init__(self, path: Path, first: int, last: int) -> None:
        self.path = path
        self.first = first
        self.last = last

    def mark(self, text: bytes) -> Callable[[], bool]:
        """Put a datagram on the wire; return what tells whether it has been recorded."""

        def recorded() -> bool:
            with socket.socket(type=socket.SOCK_DGRAM) as udp:
                udp.sendto(text, ("127.0.0.1", self.last))
            return self.path.exists() and text in self.path.read_bytes()

        return recorded


@asynccontextmanager
async def capturing(
    first: int,
    last: int,
    folder: Path,
    dumpcap: str,
    launch: Program,
    wait_until: Callable[..., Awaitable[None]],
) -> AsyncIterator[Capture]:
    """Record what passes ports ``first`` to ``last``; skip where that is not permitted."""
    capture = Capture(folder / "loopback.pcapng", first, last)
    errors = folder / "dumpcap"
    process = await launch(
        dumpcap, "-i", "lo", "-f", f"portrange {first}-{last}", "-w", str(capture.path),
        "-a", "duration:18", "-q",
        errors=errors,
    )  # fmt: skip
    started = capture.mark(b"start of the test")
    await wait_until(lambda: process.returncode is not None or started(), "dumpcap records")
    if process.returncode is not None:
        pytest.skip(f"capturing is not permitted here: {errors.read_text().strip()[:300]}")
    yield capture
    await wait_until(capture.mark(b"end of the test"), "dumpcap has recorded all")
    process.terminate()
    await process.wait()


def dissect(tshark: str, capture: Capture, signalling: range, media: range) -> list[Row]:
    """Let tshark read the capture."""
    # Its RFC 4571 dissector is called "rtp" up to some version, and then by its own name.
    choice = [tshark, "-d", "tcp.port==1,help"]
    known = subprocess.run(choice, capture_output=True, timeout=10, check=False).stderr
    framed = "rtp.rfc4571" if b"rtp.rfc4571" in known else "rtp"
    command = [tshark, "-r", str(capture.path), "-n", "-T", "fields", "-E", "separator=/t"]
    for port in signalling:
        command += ["-d", f"udp.port=={port},sip", "-d", f"tcp.port=={port},sip"]
    for port in media[::2]:
        command += ["-d", f"udp.port=={port},rtp", "-d", f"tcp.port=={port},{framed}"]
    for field in FIELDS:
        command += ["-e", field]
    command += ["-Y", 'not frame contains "of the test"']
    done = subprocess.run(command, capture_output=True, timeout=15, check=True)
    text = done.stdout.decode("utf-8", "replace")
    rows = (line.split("\t") for line in text.splitlines())
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def values(rows: list[Row], field: str) -> set[str]:
    """All values of a field; one TCP segment can carry several."""
    return {value for row in rows for value in row[field].split(",") if value}


def is_complaint(row: Row) -> bool:
    """Whether Wireshark has a warning or an error on a packet."""
    found = (row["_ws.expert.severity"], row["_ws.expert.group"])
    pairs = zip(*(text.split(",") for text in found), strict=True)
    return any(level and int(level) >= WARNING and int(kind) != SEQUENCE for level, kind in pairs)


@asynccontextmanager
async def cascade_of_three(first: int, transport: str, mode: str) -> AsyncIterator[Platform]:
    """Camera, platform and platform above; yields the one above when it knows the camera."""
    item = CatalogItem(device_id=CAMERA, name="东门", status="ON", parent_id=CAMERA)
    source = DeviceChannel(item=item, source=lambda: PatternSource(audio=Codec.PCMA))
    province, county = (
        Platform(
            identity,
            password_for=lambda device_id: "s3cret",
            listen=(f"udp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"),
            media_ports=range(media, media + 8),
            media_mode=mode,
            linger=0.0,
        )
        for identity, port, media in ((PROVINCE, first, first + 4), (COUNTY, first + 1, first + 12))
    )
    camera = Device(
        CAMERA,
        server=f"{transport}://127.0.0.1:{first + 1}",
        server_id=COUNTY,
        password="s3cret",
        channels=[source],
        listen=(f"{transport}://127.0.0.1:{first + 2}",),
        media_ports=range(first + 20, first + 28),
    )
    upper = Upper(id=PROVINCE, server=f"{transport}://127.0.0.1:{first}", password="s3cret")
    async with province, county, camera, province.events() as events:
        await camera.registered()
        async with asyncio.timeout(5):
            while not county.channels():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with Cascade(county, upper), asyncio.timeout(10):
            async for event in events:
                if isinstance(event, CatalogChanged) and province.channel(CAMERA).item:
                    break
            yield province


async def watch(first: int, transport: str, mode: str) -> None:
    """What is captured: a viewer above sees forty units of the camera, then all of it ends."""
    async with (
        cascade_of_three(first, transport, mode) as province,
        province.channel(CAMERA).play() as live,
    ):
        count = 0
        async for _ in live.units():
            count += 1
            if count == 40:
                break


@pytest.mark.parametrize(("transport", "mode"), [("udp", "udp"), ("tcp", "tcp-passive")])
async def test_wireshark_reads_a_cascade_without_complaint(
    transport: str,
    mode: str,
    ports: Callable[[int], int],
    program: Callable[[str], str],
    launch: Program,
    wait_until: Callable[..., Awaitable[None]],
    tmp_path: Path,
    av: None,
) -> None:
    """Registration, catalogue, INVITE with y=, RTP on both hops, BYE; nothing malformed."""
    tshark, dumpcap = program("tshark"), program("dumpcap")
    if os.geteuid() != 0:
        pytest.skip("capturing the loopback interface needs root")
    first = ports(30)
    async with capturing(first, first + 29, tmp_path, dumpcap, launch, wait_until) as capture:
        await watch(first, transport, mode)
    signalling, media = range(first, first + 3), range(first + 4, first + 28)
    rows = await asyncio.to_thread(dissect, tshark, capture, signalling, media)

    sip = [row for row in rows if "sip" in row["frame.protocols"].split(":")]
    methods = {"REGISTER", "MESSAGE", "SUBSCRIBE", "NOTIFY", "INVITE", "ACK", "BYE"}
    assert values(sip, "sip.Method") == methods
    assert values(sip, "sip.Status-Code") == {"100", "200", "401"}
    assert len(values(sip, "sip.auth.digest.response")) == 4, "two register and unregister"

    sdp = [row for row in rows if "sdp" in row["frame.protocols"].split(":")]
    assert len(sdp) == 4, "two offers and two answers"
    assert values(sdp, "sdp.owner.username") == {PROVINCE, COUNTY, CAMERA}
    assert values(sdp, "sdp.media.proto") == {"RTP/AVP" if mode == "udp" else "TCP/RTP/AVP"}
    offered = {row["sdp.media.port"] for row in sdp if "INVITE" in row["sip.Method"].split(",")}
    agreed = {int(line[2:]) for line in values(sdp, "sdp.unknown") if line.startswith("y=")}
    assert all("y=" in row["sdp.unknown"] for row in sdp)

    rtp = [row for row in rows if row["rtp.version"]]
    assert values(rtp, "rtp.version") == {"2"}
    assert values(rtp, "rtp.p_type") == {"96"}
    assert values(rtp, "udp.dstport" if mode == "udp" else "tcp.dstport") == offered
    assert len(values(rtp, "rtp.ssrc")) == 2, "each hop has its own"
    assert {int(ssrc, 16) for ssrc in values(rtp, "rtp.ssrc")} <= agreed
    assert any(payload.startswith("000001ba") for payload in values(rtp, "rtp.payload"))

    assert values(rows, "_ws.malformed") == set()
    assert [row["_ws.expert.message"] for row in rows if is_complaint(row)] == []
    remarks = {remark for remark in values(sip, "_ws.expert.message") if "SIP" in remark}
    assert remarks == {"Unrecognised SIP header (x-gb-ver)"}
