"""Our TLS transport and the openssl program: each is the other's client and server."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from sip.endpoint import SipEndpoint
from sip.errors import FlowFailed
from sip.message import Headers, Request
from sip.tls import TlsSettings

pytestmark = pytest.mark.interop

OPTIONS = (
    "OPTIONS sip:34020000002000000001@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/TLS 127.0.0.1:5061;rport;branch=z9hG4bK1\r\n"
    "From: <sip:34020000001320000001@3402000000>;tag=1\r\n"
    "To: <sip:34020000002000000001@3402000000>\r\n"
    "Call-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)
ANSWER = (
    "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {sender}\r\nTo: {to};tag=9\r\n"
    "Call-ID: {call}\r\nCSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, str]]:
    """Makes self-signed certificates for this machine, under a common name."""
    folder = tmp_path_factory.mktemp("tls")

    def make(name: str) -> tuple[str, str]:
        files = folder / f"{name}.pem", folder / f"{name}.key"
        if not files[0].exists():
            command = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "30"]
            command += ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
            command += ["-keyout", str(files[1]), "-out", str(files[0])]
            subprocess.run(command, check=True, capture_output=True)
        return str(files[0]), str(files[1])

    return make


@pytest.fixture(autouse=True)
def openssl(program: Callable[[str], str]) -> str:
    return program("openssl")


@asynccontextmanager
async def answering(settings: TlsSettings) -> AsyncIterator[SipEndpoint]:
    endpoint = SipEndpoint(listen=("tls://127.0.0.1:0",), tls=settings)
    await endpoint.start()

    async def serve() -> None:
        async for incoming in endpoint.requests():
            incoming.respond(200)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve())
        try:
            yield endpoint
        finally:
            await endpoint.aclose()
            task.cancel()


@contextmanager
def always_ended(process: asyncio.subprocess.Process) -> Iterator[asyncio.subprocess.Process]:
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()


async def s_client(endpoint: SipEndpoint, *options: str, says: str = OPTIONS) -> str:
    """What ``openssl s_client`` prints, until our answer to what it said, or the end."""
    port = endpoint.listening[0][1][1]
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof", *options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with always_ended(process):
        process.stdin.write(says.encode())
        seen = b""
        async with asyncio.timeout(10):
            while b"Content-Length: 0\r\n\r\n" not in seen:
                piece = await process.stdout.read(65536)
                if not piece:
                    break
                seen += piece
    await process.wait()
    return seen.decode("latin-1")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_s_client_is_answered(made: Callable[[str], tuple[str, str]], version: str) -> None:
    certificate, key = made("platform")
    async with answering(TlsSettings(certificate=certificate, key=key)) as endpoint:
        told = await s_client(endpoint, version, "-CAfile", certificate, "-verify_return_error")
    assert "SIP/2.0 200 OK" in told
    assert "Verify return code: 0 (ok)" in told or "Verification: OK" in told


async def test_old_versions_are_refused(made: Callable[[str], tuple[str, str]]) -> None:
    certificate, key = made("platform")
    async with answering(TlsSettings(certificate=certificate, key=key)) as endpoint:
        told = await s_client(endpoint, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    assert "200 OK" not in told


async def test_s_client_sees_the_reloaded_certificate(
    made: Callable[[str], tuple[str, str]],
) -> None:
    certificate, key = made("platform")
    async with answering(TlsSettings(certificate=certificate, key=key)) as endpoint:
        assert "CN = platform" in (await s_client(endpoint)).replace("CN=", "CN = ")
        certificate, key = made("renewed")
        endpoint.reload_tls(TlsSettings(certificate=certificate, key=key))
        assert "CN = renewed" in (await s_client(endpoint)).replace("CN=", "CN = ")


async def test_name_of_s_client_chooses_the_certificate(
    made: Callable[[str], tuple[str, str]],
) -> None:
    certificate, key = made("platform")
    settings = TlsSettings(certificate=certificate, key=key, names={"city.example": made("city")})
    async with answering(settings) as endpoint:
        told = await s_client(endpoint, "-servername", "city.example")
    assert "CN = city" in told.replace("CN=", "CN = ")


async def test_client_certificate_of_s_client_is_demanded(
    made: Callable[[str], tuple[str, str]],
) -> None:
    certificate, key = made("platform")
    device, device_key = made("device")
    settings = TlsSettings(
        certificate=certificate, key=key, authorities=device, requires_clients=True
    )
    async with answering(settings) as endpoint:
        assert "200 OK" not in await s_client(endpoint)
        assert "200 OK" in await s_client(endpoint, "-cert", device, "-key", device_key)


async def test_our_client_is_served_by_s_server(
    made: Callable[[str], tuple[str, str]], ports: Callable[[int], int]
) -> None:
    certificate, key = made("platform")
    port = ports(2)
    process = await asyncio.create_subprocess_exec(
        *("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet"),
        *("-cert", certificate, "-key", key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    with always_ended(process):
        client = SipEndpoint(tls=TlsSettings(authorities=certificate))
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(answer_once(process))
            response = await reached(client, f"tls://127.0.0.1:{port}")
        assert response == 200
        await client.aclose()
    await process.wait()


async def answer_once(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    head = (await process.stdout.readuntil(b"\r\n\r\n")).decode()
    fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
    answer = ANSWER.format(
        via=fields["Via"],
        sender=fields["From"],
        to=fields["To"],
        call=fields["Call-ID"],
        cseq=fields["CSeq"],
    )
    process.stdin.write(answer.encode())


async def reached(client: SipEndpoint, target: str) -> int:
    request = Request("OPTIONS", "sip:34020000002000000001@127.0.0.1", Headers())
    while True:
        try:
            return (await client.request(request, target)).status
        except FlowFailed:  # the program has not opened its port yet
            await asyncio.sleep(0.05)
