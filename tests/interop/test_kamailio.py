"""Kamailio as registrar for our client, and as a record-routing proxy between two of our stacks.

A request within a dialog passes this Kamailio only with the route that it wrote into the dialog:
that it arrives proves that the route set was kept, turned round and sent (RFC 3261 12.1, 16.12).
Over TLS each side shows the other a certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181 import Device
from gb28181.registration import RegistrationState
from sip.auth import answer
from sip.conversation import Call
from sip.endpoint import IncomingInvite, IncomingRequest, IncomingSubscribe, SipEndpoint
from sip.errors import CallRejected, FlowFailed, TransactionTimeout
from sip.message import Headers, Request, Response
from sip.tls import TlsSettings

if TYPE_CHECKING:
    from tests.interop.conftest import Program, Sipp

pytestmark = pytest.mark.interop

DOMAIN = "3402000000"
PLATFORM = "34020000002000000001"
CAMERA = "34020000001320000001"
CLIENT = "34020000002000000009"
GUARDED = "34020000001320000407"
PASSWORD = "s3cret"
SDP = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=Play\r\nt=0 0\r\n"
PAIRS = [("udp", "udp"), ("tcp", "tcp"), ("udp", "tls"), ("tls", "tcp"), ("tls", "tls")]

Until = Callable[..., Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Kamailio:
    """A running Kamailio."""

    port: int
    log: Path
    certificate: str
    own: tuple[str, str]

    def target(self, transport: str) -> str:
        return f"{transport}://127.0.0.1:{self.port + 1 if transport == 'tls' else self.port}"

    def count(self, line: str) -> int:
        text = self.log.read_text(errors="replace")
        return len(re.findall(rf"<script>: {line}$", text, re.MULTILINE))

    def settings(self) -> TlsSettings:
        """Both ways: we believe Kamailio's certificate only, and want to see it as a server too."""
        certificate, key = self.own
        return TlsSettings(
            certificate=certificate, key=key, authorities=self.certificate, requires_clients=True
        )


def certify(folder: Path, name: str) -> tuple[str, str]:
    files = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(files[1]), "-out", str(files[0])]
    subprocess.run(command, check=True, capture_output=True)
    return str(files[0]), str(files[1])


@pytest.fixture
def certificates(program: Callable[[str], str], tmp_path: Path) -> dict[str, tuple[str, str]]:
    program("openssl")
    return {name: certify(tmp_path, name) for name in ("kamailio", "ours", "strange")}


def configure(folder: Path, port: int, algorithm: str, files: dict[str, tuple[str, str]]) -> Path:
    certificate, key = files["kamailio"]
    own = f"method = TLSv1.2+\nprivate_key = {key}\ncertificate = {certificate}\n"
    own += f"verify_certificate = yes\nrequire_certificate = yes\nca_list = {files['ours'][0]}\n"
    (folder / "tls.cfg").write_text(f"[server:default]\n{own}\n[client:default]\n{own}")
    text = (Path(__file__).parent / "kamailio.cfg").read_text()
    for name, value in (
        ("TLS_CONFIG", str(folder / "tls.cfg")),
        ("TLS_PORT", str(port + 1)),
        ("ALGORITHM", algorithm),
        (":PORT", f":{port}"),
    ):
        text = text.replace(name, value)
    (folder / "kamailio.cfg").write_text(text)
    return folder / "kamailio.cfg"


@pytest.fixture
def algorithm() -> str:
    return "MD5"


@pytest.fixture
async def kamailio(
    algorithm: str,
    program: Callable[[str], str],
    ports: Callable[[int], int],
    launch: Program,
    tmp_path: Path,
    wait_until: Until,
    certificates: dict[str, tuple[str, str]],
) -> AsyncIterator[Kamailio]:
    """A registrar and proxy that serves UDP, TCP and TLS."""
    found, port, log = program("kamailio"), ports(2), tmp_path / "kamailio.log"
    if not has_tls():
        program("kamailio-tls-modules")  # no program of that name either: tells what is missing
    config = configure(tmp_path, port, algorithm, certificates)
    process = await launch(
        found, "-f", str(config), "-DD", "-E", "-Y", str(tmp_path), "-m", "64", errors=log
    )

    def is_up() -> bool:
        assert process.returncode is None, log.read_text()
        listens = f" 0100007F:{port + 1:04X} 00000000:0000 0A "
        return listens in Path("/proc/net/tcp").read_text()

    await wait_until(is_up, lambda: f"Kamailio opens {port}\n{log.read_text()}", within=30.0)
    yield Kamailio(
        port=port, log=log, certificate=certificates["kamailio"][0], own=certificates["ours"]
    )
    told = log.read_text()  # its processes complain of each other when they end
    await end(process, config)
    assert "CRITICAL" not in told


def has_tls() -> bool:
    return any(Path("/usr").glob("lib*/*/kamailio/modules/tls.so")) or any(
        Path("/usr").glob("lib*/kamailio/modules/tls.so")
    )


def family(config: Path) -> list[int]:
    """Find the processes that were started with a configuration, orphans too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(config).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


async def end(process: asyncio.subprocess.Process, config: Path) -> None:
    """End it and its children; now and then one of them waits for ever for another."""
    assert process.returncode is None, "Kamailio has died"
    process.terminate()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            await process.wait()
    for pid in family(config):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await process.wait()


# Our client at the registrar.


class Client:
    """An endpoint with a registration, by hand: what a user of ``sip`` alone would write."""

    def __init__(self, endpoint: SipEndpoint, user: str, registrar: str) -> None:
        self.endpoint = endpoint
        self.user = user
        self.registrar = registrar
        self.challenges: list[str] = []
        self._call_id = endpoint.new_call_id()
        self._number = 0

    async def send(self, expires: int, authorization: str | None = None) -> Response:
        own = f"<sip:{self.user}@{DOMAIN}>"
        self._number += 1
        fields = [("From", own), ("To", own), ("Call-ID", self._call_id)]
        fields += [("CSeq", f"{self._number} REGISTER"), ("Expires", str(expires))]
        fields += [("Contact", self.endpoint.contact(self.registrar))]
        if authorization is not None:
            fields.append(("Authorization", authorization))
        request = Request("REGISTER", f"sip:{DOMAIN}", Headers(fields))
        return await self.endpoint.request(request, self.registrar, timeout=5)

    async def register(self, *, expires: int = 60, password: str = PASSWORD) -> Response:
        challenged = await self.send(expires)
        assert challenged.status == 401
        self.challenges = challenged.headers.get_all("WWW-Authenticate")
        return await self.send(expires, self.answer(password))

    def answer(self, password: str = PASSWORD, count: int = 1) -> str:
        return answer(
            self.challenges,
            username=self.user,
            password=password,
            method="REGISTER",
            uri=f"sip:{DOMAIN}",
            cnonce=secrets.token_hex(8),
            nonce_count=count,
        )


@asynccontextmanager
async def client(
    kamailio: Kamailio, transport: str, user: str = CLIENT, *, listens: bool = True
) -> AsyncIterator[Client]:
    endpoint = SipEndpoint(
        listen=(f"{transport}://127.0.0.1:0",) if listens else (),
        user=user,
        tls=kamailio.settings(),
    )
    await endpoint.start()
    try:
        yield Client(endpoint, user, kamailio.target(transport))
        assert endpoint.counters["malformed"] == 0
        assert endpoint.counters["fault"] == 0
    finally:
        await endpoint.aclose()


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_client_registers_refreshes_and_leaves(
    transport: str, kamailio: Kamailio, wait_until: Until
) -> None:
    async with client(kamailio, transport) as ours:
        first = await ours.register()
        assert first.status == 200
        assert first.expires == 60
        assert first.contact is not None
        assert str(first.contact.uri) in ours.endpoint.contact(ours.registrar)
        refreshed = await ours.register(expires=30)
        assert (refreshed.status, refreshed.expires) == (200, 30)
        gone = await ours.register(expires=0)
        assert (gone.status, gone.contact) == (200, None)
    for what in ("inserted", "updated", "deleted"):
        await wait_until(lambda said=what: kamailio.count(f"{said} {CLIENT}") == 1, what)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_client_with_another_password_is_refused(transport: str, kamailio: Kamailio) -> None:
    async with client(kamailio, transport) as ours:
        refused = await ours.register(password="wrong")
        assert refused.status == 403
    assert kamailio.count(f"refused {CLIENT}") == 1
    assert kamailio.count(f"inserted {CLIENT}") == 0


async def test_nonce_count_is_honoured_by_a_foreign_server(kamailio: Kamailio) -> None:
    """RFC 7616 3.4: with qop a nonce serves again while nc rises, and a repetition does not."""
    async with client(kamailio, "udp") as ours:
        assert (await ours.register()).status == 200
        assert (await ours.send(60, ours.answer(count=2))).status == 200
        assert (await ours.send(60, ours.answer(count=2))).status == 401


async def test_client_without_a_certificate_that_is_asked_for_is_turned_away(
    kamailio: Kamailio,
) -> None:
    settings = TlsSettings(authorities=kamailio.certificate)
    endpoint = SipEndpoint(user=CLIENT, tls=settings)
    await endpoint.start()
    ours = Client(endpoint, CLIENT, kamailio.target("tls"))
    with pytest.raises((FlowFailed, TransactionTimeout)):
        await ours.register()
    await endpoint.aclose()
    assert kamailio.count(f"inserted {CLIENT}") == 0


async def test_registrar_with_a_certificate_of_a_stranger_is_not_believed(
    kamailio: Kamailio, certificates: dict[str, tuple[str, str]]
) -> None:
    settings = TlsSettings(authorities=certificates["strange"][0])
    endpoint = SipEndpoint(user=CLIENT, tls=settings)
    await endpoint.start()
    with pytest.raises(FlowFailed, match="CERTIFICATE_VERIFY_FAILED"):
        await Client(endpoint, CLIENT, kamailio.target("tls")).register()
    await endpoint.aclose()


def camera(
    kamailio: Kamailio, transport: str, password: str = PASSWORD, device_id: str = CAMERA
) -> Device:
    return Device(
        device_id,
        server=kamailio.target(transport),
        server_id=PLATFORM,
        password=password,
        expires=2,
        keepalive_interval=0.5,
    )


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_device_registers_refreshes_keeps_alive_and_leaves(
    transport: str, kamailio: Kamailio, wait_until: Until
) -> None:
    async with camera(kamailio, transport) as device:
        async with asyncio.timeout(5):
            await device.registered()
        await wait_until(lambda: kamailio.count(f"updated {CAMERA}") >= 2, "two refreshes")
        assert device.is_registered
    await wait_until(lambda: kamailio.count(f"deleted {CAMERA}") == 1, "the farewell")
    assert kamailio.count(f"inserted {CAMERA}") == 1


async def test_device_behind_a_proxy_that_asks_for_a_password_registers(
    kamailio: Kamailio, wait_until: Until
) -> None:
    """407 by the proxy, then 401 by the registrar: the third REGISTER answers both."""
    async with camera(kamailio, "udp", device_id=GUARDED) as device:
        async with asyncio.timeout(5):
            await device.registered()
        await wait_until(lambda: kamailio.count(f"updated {GUARDED}") >= 1, "a refresh")
    await wait_until(lambda: kamailio.count(f"deleted {GUARDED}") == 1, "the farewell")
    registered = 1 + kamailio.count(f"updated {GUARDED}") + 1
    assert kamailio.count(f"proxy asked {GUARDED}") == registered
    assert kamailio.count(f"proxy passed {GUARDED}") == 2 * registered


async def test_device_with_another_password_backs_off(
    kamailio: Kamailio, wait_until: Until
) -> None:
    async with camera(kamailio, "udp", "wrong") as device:
        link = device.link
        assert link is not None
        await wait_until(lambda: link.state is RegistrationState.BACKING_OFF, "it backs off")
        assert not device.is_registered
    assert kamailio.count(f"refused {CAMERA}") == 1


# Two of our stacks with the proxy between them.


@dataclass(frozen=True, kw_only=True)
class Ends:
    """A caller and a registered callee; each knows nothing but the proxy."""

    caller: SipEndpoint
    callee: SipEndpoint
    proxy: str

    @property
    def routes(self) -> int:
        """How many Record-Routes the proxy writes: one for each transport (its double RR)."""
        return len({end.listening[0][0] for end in (self.caller, self.callee)})

    def request(self, method: str, *fields: tuple[str, str], body: bytes = b"") -> Request:
        uri = f"sip:{CAMERA}@{DOMAIN}"
        headers = [("From", f"<sip:{CLIENT}@{DOMAIN}>"), ("To", f"<{uri}>"), *fields]
        return Request(method, uri, Headers(headers), body)

    def invite(self) -> Request:
        return self.request("INVITE", ("Content-Type", "application/sdp"), body=SDP)

    async def incoming(self) -> IncomingRequest:
        async with asyncio.timeout(5):
            return await anext(self.callee.requests())

    async def ringing(self) -> IncomingInvite:
        incoming = await self.incoming()
        assert isinstance(incoming, IncomingInvite)
        incoming.provisional(180)
        return incoming

    def is_idle(self) -> bool:
        """Tell whether neither side keeps a call; finished transactions linger on UDP."""
        kinds = ("calls", "subscriptions")
        return not any(
            end.stack.pending()[kind] for end in (self.caller, self.callee) for kind in kinds
        )


@asynccontextmanager
async def joined(kamailio: Kamailio, transports: tuple[str, str]) -> AsyncIterator[Ends]:
    outer, inner = transports
    async with client(kamailio, outer) as caller, client(kamailio, inner, CAMERA) as callee:
        assert (await callee.register()).status == 200
        yield Ends(caller=caller.endpoint, callee=callee.endpoint, proxy=kamailio.target(outer))


def came_through(incoming: IncomingRequest, routes: int) -> None:
    """Hold a request within a dialog to what a loose router leaves of it (RFC 3261 16.4, 16.6)."""
    assert "Route" not in incoming.request.headers
    assert len(incoming.request.vias) == 2
    assert incoming.request.headers.get("Max-Forwards") == "69"
    assert incoming.call is not None
    assert len(incoming.call.dialog.route_set) == routes


@pytest.mark.parametrize("transports", PAIRS, ids="-".join)
@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_call_passes_the_proxy(
    who: str, transports: tuple[str, str], kamailio: Kamailio
) -> None:
    async with joined(kamailio, transports) as ends, asyncio.TaskGroup() as group:
        progress: list[int] = []
        calling = group.create_task(
            ends.caller.invite(
                ends.invite(), ends.proxy, on_progress=lambda said: progress.append(said.status)
            )
        )
        accepting = group.create_task((await ends.ringing()).accept(body=SDP))
        call = await calling
        assert (call.response.status, call.response.body) == (200, SDP)
        assert 180 in progress
        await call.ack(body=b"offer and answer")
        answered = await accepting
        assert answered.ack_body == b"offer and answer"
        assert len(call.dialog.route_set) == ends.routes
        assert call.dialog.route_set == tuple(reversed(answered.dialog.route_set))
        assert all(";lr" in route for route in call.dialog.route_set)
        for sender, receiver, method in (
            (call, ends.callee, "INFO"),
            (answered, ends.caller, "INFO"),
            (answered, ends.caller, "MESSAGE"),
        ):
            sending = group.create_task(sender.request(method, body=b"x", content_type="a/b"))
            async with asyncio.timeout(5):
                incoming = await anext(receiver.requests())
            assert (incoming.method, incoming.request.body) == (method, b"x")
            came_through(incoming, ends.routes)
            incoming.respond(200, body=b"y", content_type="a/b")
            assert (await sending).body == b"y"
        leaver, left = (call, answered) if who == "caller" else (answered, call)
        await leaver.bye(reason="done")
        async with asyncio.timeout(5):
            end = await left.ended
        assert (end.by, end.text) == ("remote", 'SIP;cause=200;text="done"')
        assert ends.is_idle()
    assert kamailio.count("routed ACK") == kamailio.count("routed BYE") == 1
    assert kamailio.count("routed INFO") == 2
    assert kamailio.count("without route .*") == 0


@asynccontextmanager
async def standing(ends: Ends) -> AsyncIterator[tuple[Call, Call]]:
    """Yield both ends of a call, which is ended behind."""
    async with asyncio.TaskGroup() as group:
        calling = group.create_task(ends.caller.invite(ends.invite(), ends.proxy))
        accepting = group.create_task((await ends.ringing()).accept(body=SDP))
        call = await calling
        await call.ack()
        yield call, await accepting
        await call.bye()


@pytest.mark.parametrize("transports", PAIRS, ids="-".join)
async def test_reinvite_passes_the_proxy_from_either_side(
    transports: tuple[str, str], kamailio: Kamailio
) -> None:
    async with joined(kamailio, transports) as ends, standing(ends) as (call, answered):
        for asking, receiver in ((call, ends.callee), (answered, ends.caller)):
            changing = asyncio.ensure_future(asking.reinvite(body=b"other"))
            async with asyncio.timeout(5):
                incoming = await anext(receiver.requests())
                assert (incoming.method, incoming.request.body) == ("INVITE", b"other")
                came_through(incoming, ends.routes)
                incoming.respond(200, body=b"agreed", content_type="application/sdp")
                response = await changing
            assert (response.status, response.body) == (200, b"agreed")
        assert not call.is_ended
    assert kamailio.count("routed INVITE") == 2
    assert kamailio.count("routed ACK") == 3
    assert kamailio.count("without route .*") == 0


@pytest.mark.parametrize("transports", [("udp", "udp"), ("tcp", "tls")], ids="-".join)
async def test_cancel_of_a_reinvite_passes_the_proxy(
    transports: tuple[str, str], kamailio: Kamailio, wait_until: Until
) -> None:
    async with joined(kamailio, transports) as ends, standing(ends) as (call, answered):
        changing = asyncio.ensure_future(call.reinvite(body=b"other"))
        incoming = await ends.incoming()
        changing.cancel()
        ours, theirs = (end.stack.calls.reinvites for end in (ends.caller, ends.callee))
        await wait_until(lambda: not theirs.is_pending(answered.key), "487 is sent")
        await wait_until(lambda: not ours.is_pending(call.key), "487 came")
        incoming.respond(200)  # too late: nothing happens
        assert not call.is_ended
        assert not answered.is_ended


@pytest.mark.parametrize("transports", PAIRS, ids="-".join)
async def test_cancel_passes_the_proxy(
    transports: tuple[str, str], kamailio: Kamailio, wait_until: Until
) -> None:
    async with joined(kamailio, transports) as ends:
        rings = asyncio.Event()

        def progress(said: Response) -> None:
            if said.status == 180:
                rings.set()

        calling = asyncio.ensure_future(
            ends.caller.invite(ends.invite(), ends.proxy, on_progress=progress)
        )
        incoming = await ends.ringing()
        async with asyncio.timeout(5):
            await rings.wait()
            calling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await calling
            await incoming.cancelled
        await wait_until(ends.is_idle, "the call is forgotten on both sides")
    assert kamailio.count("routed ACK") == 0, "the ACK to a 487 goes no further than one hop"


@pytest.mark.parametrize("transports", PAIRS, ids="-".join)
async def test_refusal_passes_the_proxy(
    transports: tuple[str, str], kamailio: Kamailio, wait_until: Until
) -> None:
    async with joined(kamailio, transports) as ends, asyncio.TaskGroup() as group:
        calling = group.create_task(refused(ends))
        (await ends.ringing()).reject(486)
        assert await calling == 486
        await wait_until(ends.is_idle, "the call is forgotten on both sides")


async def refused(ends: Ends) -> int:
    with pytest.raises(CallRejected) as caught:
        await ends.caller.invite(ends.invite(), ends.proxy)
    return caught.value.response.status


@pytest.mark.parametrize("transports", PAIRS, ids="-".join)
async def test_subscription_passes_the_proxy(
    transports: tuple[str, str], kamailio: Kamailio, wait_until: Until
) -> None:
    async with joined(kamailio, transports) as ends, asyncio.TaskGroup() as group:
        request = ends.request("SUBSCRIBE", ("Event", "Catalog;id=7"))
        subscribing = group.create_task(ends.caller.subscribe(request, ends.proxy, expires=60))
        incoming = await ends.incoming()
        assert isinstance(incoming, IncomingSubscribe)
        theirs = incoming.accept(60)
        ours = await subscribing
        assert ours.dialog is not None
        assert theirs.dialog is not None
        assert len(ours.dialog.route_set) == ends.routes
        assert ours.dialog.route_set == tuple(reversed(theirs.dialog.route_set))
        news = ours.notifications()
        for body in (b"first", b"second"):
            assert (await theirs.notify(body, "text/plain")).status == 200
            async with asyncio.timeout(5):
                told = await anext(news)
            assert (told.body, told.status.state) == (body, "active")
            assert "Route" not in told.request.headers
            assert len(told.request.vias) == 2
        await ours.cancel()
        async with asyncio.timeout(5):
            assert (await theirs.terminated).by == "remote"
        await wait_until(ends.is_idle, "both have forgotten the subscription", within=40.0)
    assert kamailio.count("routed NOTIFY") == 3
    assert kamailio.count("routed SUBSCRIBE") == 1
    assert kamailio.count("without route .*") == 0


@pytest.mark.parametrize("transports", PAIRS, ids="-".join)
async def test_message_passes_the_proxy(transports: tuple[str, str], kamailio: Kamailio) -> None:
    async with joined(kamailio, transports) as ends, asyncio.TaskGroup() as group:
        body = "<?xml version='1.0'?><名 />".encode("gb18030") + bytes(range(256)) * 4
        request = ends.request("MESSAGE", ("Content-Type", "Application/MANSCDP+xml"), body=body)
        sending = group.create_task(ends.caller.request(request, ends.proxy))
        incoming = await ends.incoming()
        assert incoming.request.body == body
        assert len(incoming.request.vias) == 2
        incoming.respond(200)
        assert (await sending).status == 200
        lost = Request("MESSAGE", f"sip:nobody@{DOMAIN}", Headers())
        assert (await ends.caller.request(lost, ends.proxy)).status == 404


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_peer_without_a_port_of_its_own_is_reached_by_its_connection(
    transport: str, kamailio: Kamailio
) -> None:
    """Connection reuse: the proxy knows the registered client by the connection that it opened."""
    async with (
        client(kamailio, "udp") as caller,
        client(kamailio, transport, CAMERA, listens=False) as callee,
        asyncio.TaskGroup() as group,
    ):
        assert (await callee.register()).status == 200
        ends = Ends(caller=caller.endpoint, callee=callee.endpoint, proxy=kamailio.target("udp"))
        sending = group.create_task(ends.caller.request(ends.request("MESSAGE"), ends.proxy))
        incoming = await ends.incoming()
        incoming.respond(200)
        assert (await sending).status == 200


@pytest.mark.parametrize("transports", [("udp", "udp"), ("tcp", "tls")], ids="-".join)
async def test_refused_reinvite_leaves_the_call_as_it_was(
    transports: tuple[str, str], kamailio: Kamailio, sipp: Sipp
) -> None:
    """SIPp sends the re-INVITE through the proxy; our stack has none to send."""
    outer, inner = transports
    async with client(kamailio, inner, CAMERA) as callee, asyncio.TaskGroup() as group:
        assert (await callee.register()).status == 200
        await sipp.start(
            "sipp_core_reinvite.xml", f"127.0.0.1:{kamailio.port}", "-m", "1",
            "-t", f"{outer[0]}1", "-s", CAMERA, keys={"caller": CLIENT},
        )  # fmt: skip
        requests = callee.endpoint.requests()
        async with asyncio.timeout(10):
            incoming = await anext(requests)
            assert isinstance(incoming, IncomingInvite)
            accepting = group.create_task(incoming.accept(body=SDP))
            again = await anext(requests)
            came_through(again, 1 if outer == inner else 2)
            assert (again.method, again.request.cseq.number) == ("INVITE", 2)
            again.respond(488)
            call = await accepting
            info = await anext(requests)
            assert (info.method, info.call) == ("INFO", call)
            assert not call.is_ended
            info.respond(200)
            assert (await call.ended).by == "remote"
        await sipp.finished()
    assert kamailio.count("without route .*") == 0
