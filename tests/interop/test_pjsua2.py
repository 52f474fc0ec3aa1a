"""pjsua2 as a device: proves that its digest, its transactions and its UTF-8 MESSAGE are taken."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gb28181 import DeviceOffline, DeviceOnline, Platform

if TYPE_CHECKING:
    from sip.trace import TraceRecord
    from tests.interop.conftest import Program

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
DEVICE = "34020000001320000021"


async def converse(
    launch: Program, folder: Path, port: int, *, transport: str, password: str
) -> list[dict[str, Any]]:
    """Let the peer run to its end; return what it reported."""
    output, errors = folder / "peer", folder / "peer-errors"
    process = await launch(
        sys.executable, str(Path(__file__).parent / "pjsua2_peer.py"),
        "--device", DEVICE, "--server", PLATFORM, "--password", password,
        "--transport", transport, "--port", str(port),
        output=output, errors=errors,
    )  # fmt: skip
    assert await process.wait() == 0, errors.read_text()
    return [json.loads(line) for line in output.read_text().splitlines() if line[:1] == "{"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_pjsua2_registers_reports_and_leaves(
    transport: str,
    ports: Callable[[int], int],
    launch: Program,
    tmp_path: Path,
    pjsua2: None,
) -> None:
    """401 then 200, 200 to a Keepalive in UTF-8, our query delivered, 200 to the goodbye."""
    port = ports(2)
    trace: list[TraceRecord] = []
    platform = Platform(
        PLATFORM,
        password_for={DEVICE: "s3cret"}.get,
        listen=(f"{transport}://127.0.0.1:{port}",),
        tap=trace.append,
    )
    async with platform, platform.events() as events:
        said = await converse(launch, tmp_path, port, transport=transport, password="s3cret")
        assert isinstance(await anext(events), DeviceOnline)
        assert isinstance(await anext(events), DeviceOffline)
        assert (platform.device(DEVICE).charset or "").lower() == "utf-8"
        assert platform.refused == {}
        assert platform.unknown_commands == 0
    kinds = [(one["event"], one.get("status")) for one in said if one["event"] != "received"]
    assert kinds == [("register", 200), ("message", 200), ("register", 200), ("done", None)]
    assert any("<CmdType>Catalog" in one["body"] for one in said if one["event"] == "received")
    taken = [record.data for record in trace if record.direction == "in"]
    assert sum(data.startswith(b"REGISTER") for data in taken) >= 3
    assert any("学校东门".encode() in data for data in taken)


async def test_pjsua2_with_another_password_is_forbidden(
    ports: Callable[[int], int], launch: Program, tmp_path: Path, pjsua2: None
) -> None:
    """403, not one 401 after another."""
    port = ports(2)
    listen = (f"udp://127.0.0.1:{port}",)
    async with Platform(PLATFORM, password_for={DEVICE: "s3cret"}.get, listen=listen) as platform:
        said = await converse(launch, tmp_path, port, transport="udp", password="wrong")
        assert platform.refused == {DEVICE: 1}
        assert not platform.device(DEVICE).is_online
    assert [(one["event"], one.get("status")) for one in said] == [
        ("register", 403),
        ("done", None),
    ]
