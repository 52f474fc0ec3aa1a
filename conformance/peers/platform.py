"""A scripted platform that faces a device under test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gb28181.manscdp.schema import Message
from gb28181.sdp import MediaTransport, Payload, SessionDescription, parse_sdp
from gb28181.ssrc import Ssrc
from sip.endpoint import OutgoingCall
from sip.errors import CallRejected, FlowFailed, TransactionTimeout
from sip.flow import Flow
from sip.message import Headers, Request, Response
from sip.trace import TraceRecord

from ..case import Inconclusive, demand
from ..target import Target
from .digest import read_parameters, response_of
from .media import Ear, open_ear
from .wire import NoAnswer, Seen, Wire, is_command, stray_request

PS = Payload(number=96, name="PS/90000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registering:
    """One REGISTER of the device, and what we said to it."""

    time: float
    request: Request
    status: int
    credentials: dict[str, str]
    """Of its Authorization; empty without one."""
    nonce: str
    """The nonce that we had challenged with before."""
    fits: bool
    """Whether the digest is that of the password."""
    granted: int = 0


@dataclass(slots=True)
class Invited:
    """What came of an INVITE of ours."""

    ear: Ear
    offer: SessionDescription
    progress: list[int] = field(default_factory=list)
    """Provisional statuses."""
    status: int = 0
    """The final one; 0 when none came."""
    call: OutgoingCall | None = None
    seconds: float = 0.0
    """From the INVITE to the final answer."""

    def answered(self) -> tuple[OutgoingCall, SessionDescription]:
        """Return the call and its answer; inconclusive without."""
        if self.call is None:
            raise Inconclusive(f"the INVITE was answered {self.status or 'not at all'}")
        return self.call, parse_sdp(self.call.response.body)


class PlatformPeer:
    """A platform that one device registers at; it stays while all cases are run."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.id = target.peer_id
        self.registers: list[Registering] = []
        self.grants: int | None = None
        """Granted in place of what is asked for."""
        self.answers_heartbeats = True
        self.wire = Wire(
            user=self.id,
            listen=target.listen or ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"),
            host=target.host,
            edition=target.edition,
            timeout=target.times.answer,
            serve=self._serve,
        )
        self._nonce = ""
        self._flow: Flow | None = None
        self._calls: list[OutgoingCall] = []
        self._sn = 100
        self._serial = 0

    async def __aenter__(self) -> PlatformPeer:
        await self.wire.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wire.close()

    @asynccontextmanager
    async def turn(self, tap: list[TraceRecord]) -> AsyncIterator[PlatformPeer]:
        """One case's turn: its own trace; calls it leaves are ended, scripts are reset."""
        self.wire.tap = tap.append
        try:
            yield self
        finally:
            self.grants = None
            self.answers_heartbeats = True
            for call in self._calls:
                if not call.is_ended:
                    await call.bye(timeout=1.0)
            self._calls.clear()
            self.wire.tap = None
        self.wire.tasks.check()

    # Registration ---------------------------------------------------------------------------

    @property
    def is_registered(self) -> bool:
        """Whether the device stands registered."""
        return self._flow is not None

    async def registered(self, *, since: float = 0.0) -> Registering:
        """Wait for the device to be registered; return its latest successful REGISTER.

        Args:
            since: What came earlier does not count.

        Raises:
            Inconclusive: It does not come.
        """
        await self.wire.wait_for(
            lambda _: self._latest(since) is not None, timeout=self.target.times.registration
        )
        latest = self._latest(since)
        if latest is None:
            raise Inconclusive("no device has registered at the kit")
        return latest

    def _latest(self, since: float) -> Registering | None:
        if self._flow is None:
            return None
        done = (one for one in reversed(self.registers) if one.granted and one.time >= since)
        return next(done, None)

    async def next_register(self, *, since: float, timeout: float) -> Registering | None:
        """Return the first REGISTER from ``since`` on; None when none comes in time."""
        seen = await self.wire.wait_for(
            lambda one: one.method == "REGISTER", since=since, timeout=timeout
        )
        if seen is None:
            return None
        return next(one for one in self.registers if one.request is seen.request)

    async def flow(self) -> Flow:
        """Where requests to the device go."""
        await self.registered()
        if self._flow is None:
            raise Inconclusive("the device is not registered any more")
        return self._flow

    # Commands -------------------------------------------------------------------------------

    def next_sn(self) -> str:
        """A serial number of ours."""
        self._sn += 1
        return str(self._sn)

    async def send(
        self,
        command: Message | bytes,
        *,
        receiver: str | None = None,
        content_type: str = "Application/MANSCDP+xml",
    ) -> Response:
        """Send a command, or any body, to the device in a MESSAGE."""
        flow = await self.flow()
        request = self.wire.message(
            command,
            sender=self.id,
            receiver=receiver or self.target.id,
            domain=self.target.domain,
            content_type=content_type,
        )
        return await self.wire.send(request, flow)

    async def ask(self, command: Message) -> Message:
        """Send a command that is answered by another; fail when it is not."""
        since = self.wire.now()
        response = await self.send(command)
        if response.status != 200:
            raise Inconclusive(f"the query was refused: {response.status} {response.reason}")
        seen = await self.answer_to(command, since=since)
        answer = demand(seen, f"no Response/{command.cmd_type} with SN {command.sn} came").command
        assert answer is not None
        return answer

    async def answer_to(self, command: Message, *, since: float) -> Seen | None:
        """Wait for the first answer to a command."""
        return await self.wire.wait_for(
            lambda one: is_command(one, "Response", command.cmd_type, command.sn),
            timeout=self.target.times.answer,
            since=since,
        )

    async def options(self) -> Response:
        """Send OPTIONS to the device."""
        flow = await self.flow()
        uri = f"sip:{self.target.id}@{self.target.domain}"
        sender = f"<sip:{self.id}@{self.target.domain}>"
        headers = Headers([("From", sender), ("To", f"<{uri}>")])
        return await self.wire.send(Request("OPTIONS", uri, headers), flow)

    async def bye_without_call(self) -> int:
        """Send a BYE for a dialog that nobody knows; return the status of its answer."""
        return (await self.wire.send(self._stray("BYE"), await self.flow())).status

    async def info_without_call(self) -> int:
        """Send an INFO for a dialog that nobody knows; return the status of its answer."""
        return (await self.wire.send(self._stray("INFO"), await self.flow())).status

    def _stray(self, method: str) -> Request:
        uri = f"sip:{self.target.id}@{self.target.domain}"
        return stray_request(method, uri, f"sip:{self.id}@{self.target.domain}")

    # Sessions -------------------------------------------------------------------------------

    @asynccontextmanager
    async def invite(
        self,
        *,
        channel_id: str | None = None,
        setup: str | None = None,
        payloads: tuple[Payload, ...] = (PS,),
    ) -> AsyncIterator[Invited]:
        """Invite a camera to a port of ours; the call is acknowledged, and ended at the end.

        Args:
            channel_id: Whom; the camera of the device when None.
            setup: ``passive`` or ``active`` for TCP; UDP when None.
            payloads: What is offered.
        """
        flow, channel = await self.flow(), channel_id or self.target.channel_id
        async with open_ear(over_tcp=setup is not None) as ear:
            invited = Invited(ear=ear, offer=self._offer(flow, ear.port, setup, payloads))
            began = self.wire.now()
            try:
                invited.call = await self.wire.endpoint.invite(
                    self._request(channel, invited.offer),
                    flow,
                    timeout=max(self.target.times.answer, 15.0),
                    on_progress=lambda response: invited.progress.append(response.status),
                )
                invited.status = invited.call.response.status
            except CallRejected as refused:
                invited.status = refused.response.status
            except (TransactionTimeout, FlowFailed) as error:
                raise NoAnswer(f"INVITE was not answered: {error}") from error
            invited.seconds = self.wire.now() - began
            if invited.call is not None:
                self._calls.append(invited.call)
                await invited.call.ack()
            try:
                yield invited
            finally:
                if invited.call is not None and not invited.call.is_ended:
                    await invited.call.bye(timeout=2.0)

    def _request(self, channel_id: str, offer: SessionDescription) -> Request:
        uri = f"sip:{channel_id}@{self.target.domain}"
        serial = f"{offer.ssrc:010d}"
        return Request(
            "INVITE",
            uri,
            Headers(
                [
                    ("From", f"<sip:{self.id}@{self.target.domain}>"),
                    ("To", f"<{uri}>"),
                    ("Subject", f"{channel_id}:{serial},{self.id}:{serial}"),
                    ("Content-Type", "application/sdp"),
                ]
            ),
            offer.to_bytes(),
        )

    def _offer(
        self, flow: Flow, port: int, setup: str | None, payloads: tuple[Payload, ...]
    ) -> SessionDescription:
        host = self.wire.endpoint.contact(flow).partition("@")[2].partition(":")[0]
        self._serial += 1
        return SessionDescription(
            origin_id=self.id,
            address=self.target.host or host,
            port=port,
            transport=MediaTransport.UDP if setup is None else MediaTransport.TCP,
            payloads=payloads,
            direction="recvonly",
            setup=setup,
            connection=None if setup is None else "new",
            # 0, then digits 4 to 8 of our id, then a number of the session (spec G, y=).
            ssrc=Ssrc(int(self.id[3:8]) * 10_000 + self._serial),
        )

    # Within ---------------------------------------------------------------------------------

    def _serve(self, seen: Seen) -> None:
        if seen.method == "REGISTER":
            self._register(seen)
        elif not self.answers_heartbeats and is_command(seen, "Notify", "Keepalive"):
            return  # the device is to think that we are gone
        elif seen.method in ("MESSAGE", "NOTIFY", "OPTIONS"):
            seen.incoming.respond(200)
        else:
            seen.incoming.respond(405)

    def _register(self, seen: Seen) -> None:
        request = seen.request
        given = read_parameters(request.headers.get("Authorization") or "")
        fits = (
            bool(given)
            and given.get("nonce") == self._nonce
            and given.get("response")
            == response_of(
                given,
                username=given.get("username", ""),
                password=self.target.password,
                method="REGISTER",
            )
        )
        asked = request.expires
        granted = self._grant(asked)
        status = 200 if fits else 403 if given.get("nonce") == self._nonce != "" else 401
        self.registers.append(
            Registering(
                time=seen.time,
                request=request,
                status=status,
                credentials=given,
                nonce=self._nonce,
                fits=fits,
                granted=granted if fits else 0,
            )
        )
        if status == 401:
            self._nonce = secrets.token_hex(16)
            value = f'Digest realm="{self.target.domain}", nonce="{self._nonce}", algorithm=MD5'
            seen.incoming.respond(401, headers=[("WWW-Authenticate", value)])
            return
        if status == 403:
            seen.incoming.respond(403)
            return
        self._nonce = ""
        self._flow = None if granted == 0 else seen.incoming.flow
        contact = request.headers.get("Contact") or ""
        seen.incoming.respond(200, headers=[("Contact", contact), ("Expires", str(granted))])

    def _grant(self, asked: int | None) -> int:
        if asked == 0:
            return 0
        if self.grants is not None:
            return self.grants
        return 3600 if asked is None else asked
