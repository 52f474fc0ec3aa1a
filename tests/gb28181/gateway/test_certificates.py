"""The gateway's certificates: by the name a client asks for, and read anew while it runs."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from gb28181.gateway.config import load
from gb28181.gateway.process import Gateway

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl program makes the certificates"
)

CONFIG = """
[platform]
id = "34020000002000000001"
password = "12345678"
listen = ["tls://127.0.0.1:{port}"]

[tls]
certificate = "first.pem"
key = "first.key"

[tls.names."Second.Example"]
certificate = "second.pem"
key = "second.key"
"""


def make(folder: Path, file: str, name: str) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:P-256", "-subj", f"/CN={name}", "-days", "30",
         "-keyout", str(folder / f"{file}.key"), "-out", str(folder / f"{file}.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


async def shown(port: int, name: str) -> bytes:
    """The certificate that a client is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    assert isinstance(found, bytes)
    return found


async def test_each_name_has_its_certificate_and_new_files_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "first", "one-of-us")
    make(tmp_path, "second", "second.example")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIG.format(port=port))
    path.chmod(0o600)
    async with Gateway(load(path), where=tmp_path) as gateway:
        assert b"one-of-us" in await shown(port, "other.example")
        assert b"second.example" in await shown(port, "second.example")

        make(tmp_path, "second", "second.example, renewed")
        gateway.reload_certificates()
        assert b"second.example, renewed" in await shown(port, "second.example")

        (tmp_path / "first.pem").write_text("nothing")
        with caplog.at_level(logging.ERROR, "gb28181.gateway"):
            gateway.reload_certificates()
        assert "the old ones stay in use" in caplog.text
        assert b"one-of-us" in await shown(port, "other.example")
