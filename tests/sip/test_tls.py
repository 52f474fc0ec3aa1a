"""TLS with certificates that the openssl program makes for the test."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from sip.endpoint import IncomingInvite, SipEndpoint
from sip.errors import FlowFailed
from sip.flow import Flow
from sip.message import Headers, Request
from sip.tls import TlsContexts, TlsSession, TlsSettings


class Authority:
    """Signs certificates; its files lie in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = str(folder / "ca.pem")
        self._key = str(folder / "ca.key")
        _openssl(
            *("req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", "/CN=test authority", "-days", "30"),
            *("-keyout", self._key, "-out", self.certificate),
        )

    def issue(self, name: str, *alternatives: str) -> tuple[str, str]:
        """Make a certificate and its key; return the names of their files."""
        files = str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")
        _openssl(
            *("req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", f"/CN={name}", "-days", "30", "-addext", "basicConstraints=CA:FALSE"),
            *("-addext", "subjectAltName=" + ",".join(alternatives or ("IP:127.0.0.1",))),
            *("-CA", self.certificate, "-CAkey", self._key),
            *("-keyout", files[1], "-out", files[0]),
        )
        return files


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def served(authority: Authority) -> tuple[str, str]:
    return authority.issue("server", "IP:127.0.0.1", "IP:::1", "DNS:localhost", "IP:10.0.0.1")


def der(file: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Path(file).read_text())


def message() -> Request:
    return Request("MESSAGE", "sip:34020000002000000001@3402000000", Headers())


@asynccontextmanager
async def tls_server(settings: TlsSettings, *listen: str) -> AsyncIterator[SipEndpoint]:
    opened = SipEndpoint(listen=listen or ("tls://127.0.0.1:0",), tls=settings)
    await opened.start()

    async def serve(group: asyncio.TaskGroup) -> None:
        async for incoming in opened.requests():
            if isinstance(incoming, IncomingInvite):
                group.create_task(incoming.accept(body=b"answer"))
            else:
                incoming.respond(200)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(serve(group))
        try:
            yield opened
        finally:
            await opened.aclose()
            task.cancel()


@asynccontextmanager
async def tls_client(settings: TlsSettings) -> AsyncIterator[SipEndpoint]:
    opened = SipEndpoint(tls=settings)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.aclose()


def at(server: SipEndpoint, host: str = "127.0.0.1") -> str:
    return f"tls://{host}:{server.listening[0][1][1]}"


def paired(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str
) -> tuple[TlsSession, TlsSession]:
    """Two sessions whose handshake is over, byte by byte."""
    near, far = TlsSession(client, server_hostname=name), TlsSession(server)
    near.start()
    while True:
        there, back = near.outgoing(), far.outgoing()
        if not there and not back:
            return near, far
        for byte in there:
            far.receive(bytes([byte]))
        for byte in back:
            near.receive(bytes([byte]))


def test_session_carries_bytes_in_any_pieces(authority: Authority, served: tuple[str, str]) -> None:
    server = TlsContexts(TlsSettings(certificate=served[0], key=served[1])).server
    client = TlsContexts(TlsSettings(authorities=authority.certificate)).client
    assert server is not None
    near, far = paired(server, client, "localhost")
    assert near.is_ready
    assert far.is_ready
    near.send(b"x" * 100_000)
    data = near.outgoing()
    got = b"".join(far.receive(data[i : i + 997]) for i in range(0, len(data), 997))
    assert got == b"x" * 100_000
    assert b"xxxx" not in data
    near.close()
    assert far.receive(near.outgoing()) == b""
    assert far.is_closed


def test_garbage_is_a_protocol_error(served: tuple[str, str]) -> None:
    server = TlsContexts(TlsSettings(certificate=served[0], key=served[1])).server
    assert server is not None
    with pytest.raises(ssl.SSLError):
        TlsSession(server).receive(b"OPTIONS sip:a SIP/2.0\r\n\r\n" * 5)


async def test_request_and_call_go_over_tls(authority: Authority, served: tuple[str, str]) -> None:
    async with (
        tls_server(TlsSettings(certificate=served[0], key=served[1])) as server,
        tls_client(TlsSettings(authorities=authority.certificate)) as client,
    ):
        response = await client.request(message(), at(server), timeout=3)
        assert response.status == 200
        assert response.vias[0].transport == "TLS"
        call = await client.invite(
            Request("INVITE", "sip:34020000001320000001@3402000000", Headers()), at(server)
        )
        await call.ack()
        assert call.flow.transport == "tls"
        assert call.dialog.remote_target.endswith(";transport=tls")
        await call.bye()
        assert len(server._sockets.streams["tls"]) == 1
        certificate = client.certificate(call.flow)
        assert certificate == der(served[0])


async def test_server_calls_back_over_the_connection_of_the_client(
    authority: Authority, served: tuple[str, str]
) -> None:
    server = SipEndpoint(
        listen=("tls://127.0.0.1:0",), tls=TlsSettings(certificate=served[0], key=served[1])
    )
    await server.start()
    async with (
        tls_client(TlsSettings(authorities=authority.certificate)) as client,
        asyncio.TaskGroup() as group,
    ):
        asking = group.create_task(client.request(message(), at(server), timeout=3))
        incoming = await anext(aiter(server.requests()))
        incoming.respond(200)
        await asking
        back = group.create_task(server.request(message(), incoming.flow, timeout=3))
        (await anext(aiter(client.requests()))).respond(200)
        assert (await back).status == 200
    await server.aclose()


async def test_server_that_nobody_vouches_for_is_refused(served: tuple[str, str]) -> None:
    async with tls_server(TlsSettings(certificate=served[0], key=served[1])) as server:
        async with tls_client(TlsSettings()) as client:
            with pytest.raises(FlowFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await client.request(message(), at(server), timeout=3)
        async with tls_client(TlsSettings(verifies_servers=False)) as client:
            assert (await client.request(message(), at(server), timeout=3)).status == 200


async def test_certificate_of_another_host_is_refused(authority: Authority) -> None:
    certificate, key = authority.issue("other", "DNS:other.example")
    trusting = TlsSettings(authorities=authority.certificate)
    async with tls_server(TlsSettings(certificate=certificate, key=key)) as server:
        async with tls_client(trusting) as client:
            with pytest.raises(FlowFailed, match="CERTIFICATE_VERIFY_FAILED"):
                await client.request(message(), at(server), timeout=3)
        named = TlsSettings(authorities=authority.certificate, server_name="other.example")
        async with tls_client(named) as client:
            assert (await client.request(message(), at(server), timeout=3)).status == 200


async def test_host_name_is_checked_and_its_connection_found_again(
    authority: Authority, served: tuple[str, str]
) -> None:
    async with (
        tls_server(TlsSettings(certificate=served[0], key=served[1])) as server,
        tls_client(TlsSettings(authorities=authority.certificate)) as client,
    ):
        for _ in range(2):
            response = await client.request(message(), at(server, "localhost"), timeout=3)
            assert response.status == 200
        assert len(client._sockets.streams["tls"]) == 1


async def test_name_asked_for_chooses_the_certificate(
    authority: Authority, served: tuple[str, str]
) -> None:
    second = authority.issue("second", "DNS:second.example")
    settings = TlsSettings(certificate=served[0], key=served[1], names={"second.example": second})
    async with tls_server(settings) as server:
        for name, shown in (("second.example", second[0]), ("localhost", served[0])):
            asking = TlsSettings(authorities=authority.certificate, server_name=name)
            async with tls_client(asking) as client:
                await client.request(message(), at(server), timeout=3)
                (flow,) = client._sockets.streams["tls"]._connections
                expected = der(shown)
                assert client.certificate(flow) == expected


async def test_client_certificate_is_demanded_and_seen(
    authority: Authority, served: tuple[str, str]
) -> None:
    certificate, key = authority.issue("client", "DNS:client.example")
    settings = TlsSettings(
        certificate=served[0],
        key=served[1],
        authorities=authority.certificate,
        requires_clients=True,
    )
    async with tls_server(settings) as server:
        async with tls_client(TlsSettings(authorities=authority.certificate)) as client:
            with pytest.raises(FlowFailed):
                await client.request(message(), at(server), timeout=3)
        known = TlsSettings(authorities=authority.certificate, certificate=certificate, key=key)
        async with tls_client(known) as client:
            assert (await client.request(message(), at(server), timeout=3)).status == 200
            (flow,) = server._sockets.streams["tls"]._connections
            assert server.certificate(flow) == der(certificate)


async def test_client_certificate_may_be_optional(
    authority: Authority, served: tuple[str, str]
) -> None:
    settings = TlsSettings(
        certificate=served[0], key=served[1], authorities=authority.certificate, asks_clients=True
    )
    async with (
        tls_server(settings) as server,
        tls_client(TlsSettings(authorities=authority.certificate)) as client,
    ):
        assert (await client.request(message(), at(server), timeout=3)).status == 200
        (flow,) = server._sockets.streams["tls"]._connections
        assert server.certificate(flow) is None


async def test_certificates_are_reloaded_without_restart(
    authority: Authority, served: tuple[str, str]
) -> None:
    fresh = authority.issue("fresh", "IP:127.0.0.1")
    trusting = TlsSettings(authorities=authority.certificate)
    async with tls_server(TlsSettings(certificate=served[0], key=served[1])) as server:
        async with tls_client(trusting) as before:
            assert (await before.request(message(), at(server), timeout=3)).status == 200
            with pytest.raises(OSError, match=r".*"):
                server.reload_tls(TlsSettings(certificate="missing.pem"))
            with pytest.raises(OSError, match="no certificate"):
                server.reload_tls(TlsSettings())
            server.reload_tls(TlsSettings(certificate=fresh[0], key=fresh[1]))
            assert (await before.request(message(), at(server), timeout=3)).status == 200
            (flow,) = before._sockets.streams["tls"]._connections
            old = der(served[0])
            assert before.certificate(flow) == old
        async with tls_client(trusting) as after:
            await after.request(message(), at(server), timeout=3)
            (flow,) = after._sockets.streams["tls"]._connections
            new = der(fresh[0])
            assert after.certificate(flow) == new


async def test_given_contexts_are_used(authority: Authority, served: tuple[str, str]) -> None:
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(*served)
    client_context = ssl.create_default_context(cafile=authority.certificate)
    async with (
        tls_server(TlsSettings(server_context=server_context)) as server,
        tls_client(TlsSettings(client_context=client_context)) as client,
    ):
        assert (await client.request(message(), at(server), timeout=3)).status == 200


async def test_tls_over_ipv6(authority: Authority, served: tuple[str, str]) -> None:
    settings = TlsSettings(certificate=served[0], key=served[1])
    async with (
        tls_server(settings, "tls://[::1]:0") as server,
        tls_client(TlsSettings(authorities=authority.certificate)) as client,
    ):
        assert (await client.request(message(), at(server, "[::1]"), timeout=3)).status == 200


async def test_listening_needs_a_certificate() -> None:
    with pytest.raises(OSError, match="no certificate"):
        await SipEndpoint(listen=("tls://127.0.0.1:0",)).start()


async def test_plain_text_to_a_tls_port_is_counted_and_closed(served: tuple[str, str]) -> None:
    async with tls_server(TlsSettings(certificate=served[0], key=served[1])) as server:
        host, port = server.listening[0][1]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"OPTIONS sip:a SIP/2.0\r\n\r\n" * 5)
        await reader.read()
        writer.close()
        assert server.counters["tls_failed"] == 1
        assert server.counters["malformed"] == 0


async def test_silent_tls_server_is_given_up_and_silent_client_closed(
    authority: Authority, served: tuple[str, str]
) -> None:
    net = SimulatedNetwork(seed=2)
    with VirtualClock():
        server = SipEndpoint(
            listen=("tls://:5061", "tcp://:5060"),
            network=net.host("10.0.0.1"),
            tls=TlsSettings(certificate=served[0], key=served[1]),
        )
        await server.start()
        client = SipEndpoint(
            network=net.host("10.0.0.5"), tls=TlsSettings(authorities=authority.certificate)
        )
        with pytest.raises(FlowFailed):  # a port that speaks no TLS
            await client.request(message(), "tls://10.0.0.1:5060")
        await net.host("10.0.0.5").create_connection(asyncio.Protocol, "10.0.0.1", 5061)
        await asyncio.sleep(11)
        assert server.counters["dawdler_closed"] >= 1
        assert len(server._sockets.streams["tls"]) == 0
        await client.aclose()
        await server.aclose()
    assert net.leaks() == []


async def test_tls_is_not_reused_towards_who_connected_to_us(
    authority: Authority, served: tuple[str, str]
) -> None:
    # Its certificate was not checked: what is sent to that address needs a connection of ours.
    async with (
        tls_server(TlsSettings(certificate=served[0], key=served[1])) as server,
        tls_client(TlsSettings(authorities=authority.certificate)) as client,
    ):
        await client.request(message(), at(server), timeout=3)
        (flow,) = server._sockets.streams["tls"]._connections
        host, port = flow.remote
        with pytest.raises(FlowFailed):
            await server.request(message(), f"tls://{host}:{port}", timeout=3)
        assert flow == Flow("tls", flow.local, (host, port))


@pytest.mark.parametrize("host", ["", ".example", "a" * 64 + ".example"])
async def test_host_that_no_certificate_can_be_for_is_flow_failed(host: str) -> None:
    async with tls_client(TlsSettings()) as client:
        with pytest.raises(FlowFailed):
            await client.request(message(), f"tls://{host}:5061", timeout=3)


def test_session_that_broke_sends_no_more(served: tuple[str, str]) -> None:
    server = TlsContexts(TlsSettings(certificate=served[0], key=served[1])).server
    client = TlsContexts(TlsSettings(verifies_servers=False)).client
    assert server is not None
    near, far = paired(server, client, "localhost")
    near.send(b"hello")
    with pytest.raises(ssl.SSLError):
        far.receive(b"\x00" * 5 + near.outgoing())
    with pytest.raises(ssl.SSLError):
        far.send(b"answer")


async def test_connection_whose_session_broke_is_closed_by_the_next_send(
    authority: Authority, served: tuple[str, str]
) -> None:
    async with (
        tls_server(TlsSettings(certificate=served[0], key=served[1])) as server,
        tls_client(TlsSettings(authorities=authority.certificate)) as client,
    ):
        assert (await client.request(message(), at(server), timeout=3)).status == 200
        (connection,) = client._sockets.streams["tls"]._connections.values()
        assert connection.tls is not None
        with pytest.raises(ssl.SSLError):
            connection.tls.receive(bytes(64))
        with pytest.raises(FlowFailed):
            await client.request(message(), at(server), timeout=3)
        assert client.counters["tls_failed"] == 1
