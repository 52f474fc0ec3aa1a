"""Devices and cascades over TLS, with certificates that the openssl program makes."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from gb28181.testing.simulation import Simulation
from sip.tls import TlsSettings

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl program makes the certificates"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> TlsSettings:
    """A certificate that is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = str(folder / "server.pem"), str(folder / "server.key")
    hosts = ",".join(f"IP:10.0.0.{number}" for number in range(1, 20))
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-subj", "/CN=platform", "-days", "30", "-addext",
         f"subjectAltName={hosts}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return TlsSettings(certificate=certificate, key=key, authorities=certificate)


async def test_a_camera_registers_and_plays_over_tls(gb: Simulation, server: TlsSettings) -> None:
    platform = await gb.platform(listen=("tls://:5061",), tls=server)
    host = gb.host_of(platform).address
    camera = await gb.device(
        "plain", platform=platform, server=f"tls://{host}:5061",
        tls=TlsSettings(authorities=server.authorities),
    )  # fmt: skip
    await camera.registered()
    binding = platform.device(camera.id).require_binding()
    assert binding.flow.transport == "tls"
    await gb.until(lambda: platform.device(camera.id).channels, within=5)
    async with platform.channel(camera.channels[0]).play() as live:
        unit = await anext(live.units())
    assert unit.is_key
    # Nothing that can be read went over the wire.
    assert not [one for one in gb.network.trace if b"REGISTER" in one.data]


async def test_a_server_that_cannot_prove_itself_is_not_registered_at(
    gb: Simulation, server: TlsSettings
) -> None:
    platform = await gb.platform(listen=("tls://:5061",), tls=server)
    host = gb.host_of(platform).address
    camera = await gb.device("plain", platform=platform, server=f"tls://{host}:5061")
    await gb.advance(minutes=2)
    assert not camera.is_registered
    assert camera.role.link is not None
    assert "CERTIFICATE_VERIFY_FAILED" in camera.role.link.reason
    assert platform.devices == {}


async def test_a_cascade_registers_over_tls(gb: Simulation, server: TlsSettings) -> None:
    upper = await gb.platform(listen=("tls://:5061",), tls=server)
    lower = await gb.platform(tls=TlsSettings(authorities=server.authorities))
    server_uri = f"tls://{gb.host_of(upper).address}:5061"
    link = await gb.cascade(lower, upper, server=server_uri)
    await gb.until(lambda: link.is_registered, within=5)
    await gb.until(lambda: len(link.publisher) == 1, within=5)
