"""sipsak asks our platform and our device for their options, as operators do to see who lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from gb28181 import Device, Platform

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.conftest import Program

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
CAMERA = "34020000001320000001"
PASSWORD = "s3cret"


async def asked(
    launch: Program, sipsak: str, folder: Path, uri: str, transport: str
) -> tuple[int, str]:
    """Return what sipsak says to itself and how it ended: 0 means that 200 came."""
    output = folder / "sipsak"
    # No host name of this machine in what is sent, and a last word on each answer.
    options = ("-vv", "-H", "127.0.0.1", "-E", transport)
    process = await launch(sipsak, *options, "-s", uri, output=output)
    async with asyncio.timeout(15):
        code = await process.wait()
    return code, output.read_text()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_platform_answers_options(
    transport: str,
    program: Callable[[str], str],
    ports: Callable[[int], int],
    launch: Program,
    tmp_path: Path,
) -> None:
    sipsak, port = program("sipsak"), ports(2)
    platform = Platform(
        PLATFORM,
        password_for={CAMERA: PASSWORD}.get,
        listen=(f"udp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"),
    )
    async with platform:
        uri = f"sip:{PLATFORM}@127.0.0.1:{port}"
        code, said = await asked(launch, sipsak, tmp_path, uri, transport)
    assert code == 0, said
    assert "SIP/2.0 200 OK" in said
    assert "Allow: " in said


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_device_answers_options(
    transport: str,
    program: Callable[[str], str],
    ports: Callable[[int], int],
    launch: Program,
    tmp_path: Path,
) -> None:
    """A device answers its platform's host alone; here that is where sipsak asks from."""
    sipsak, first = program("sipsak"), ports(4)
    platform = Platform(
        PLATFORM,
        password_for={CAMERA: PASSWORD}.get,
        listen=(f"udp://127.0.0.1:{first}",),
        asks_catalog=False,
    )
    device = Device(
        CAMERA,
        server=f"udp://127.0.0.1:{first}",
        server_id=PLATFORM,
        password=PASSWORD,
        listen=(f"udp://127.0.0.1:{first + 2}", f"tcp://127.0.0.1:{first + 2}"),
    )
    async with platform, device:
        async with asyncio.timeout(5):
            await device.registered()
        uri = f"sip:{CAMERA}@127.0.0.1:{first + 2}"
        code, said = await asked(launch, sipsak, tmp_path, uri, transport)
    assert code == 0, said
    assert "SIP/2.0 200 OK" in said
    assert "Allow: " in said
