"""ScriptedDevice: a device on the bare stack that does what a test says, right or wrong."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from sip.conversation import Fields
from sip.endpoint import IncomingInvite, SipEndpoint
from sip.message import Headers, Request, Response

from ..edition import Edition
from ..manscdp.catalog import CatalogItem, CatalogQuery, CatalogResponse
from ..manscdp.codec import CONTENT_TYPE, decode, encode
from ..media.answer import HISTORY, LIVE, answer_to, judge_offer
from ..proofs import CHALLENGES, Proofs
from ..ssrc import Ssrc
from ..supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sip.endpoint import IncomingCall, IncomingRequest

    from ..manscdp.schema import Message
    from .host import SimulatedHost


class ScriptedDevice:
    """Registers when told, answers a catalogue query with itself, and an INVITE as it is told.

    Attributes:
        received: Every request it was given, in order.
        calls: The calls that it accepted.
        on_invite: What an INVITE meets; 486 at first.
        on_message: What a command meets: 200, and to a catalogue query the catalogue, at first.
    """

    def __init__(
        self, device_id: str, *, server: str, server_id: str, password: str, host: SimulatedHost
    ) -> None:
        self.id = device_id
        self.host = host
        self.received: list[IncomingRequest] = []
        self.calls: list[IncomingCall] = []
        self.on_invite: Callable[[IncomingInvite], Awaitable[None]] = self.refuse(486)
        self.on_message: Callable[[IncomingRequest], Awaitable[None]] = self.serve_command
        self.endpoint = SipEndpoint(
            listen=("udp://:5060",), network=host, user=device_id, user_agent="scripted"
        )
        self._server = server
        self._server_id = server_id
        self._password = password
        self._supervisor = Supervisor(f"scripted {device_id}")

    async def start(self) -> None:
        """Open the socket and serve."""
        await self.endpoint.start()
        await self._supervisor.start()
        self._supervisor.spawn(self._serve(), name=f"serve {self.id}")

    async def stop(self) -> None:
        """Close everything, without a goodbye."""
        await self._supervisor.stop()
        await self.endpoint.aclose()

    @property
    def is_running(self) -> bool:
        """Whether it has been started and not stopped."""
        return self._supervisor.is_running

    async def register(self, *, expires: int = 3600, password: str | None = None) -> Response:
        """Register with a digest; return the final response."""
        call_id = self.endpoint.new_call_id()
        response = await self._send_register(call_id, 1, expires, ())
        proofs = Proofs()
        for number in range(2, 4):
            if response.status not in CHALLENGES or proofs.take(response):
                break
            credentials = proofs.fields(
                username=self.id,
                password=self._password if password is None else password,
                method="REGISTER",
                uri=self._uri,
                cnonce=secrets.token_hex(4),
            )
            response = await self._send_register(call_id, number, expires, credentials)
        return response

    async def send(self, message: Message) -> int:
        """Send a command to the server; return the final status."""
        headers = Headers([*self._addresses(self._server_id), ("Content-Type", CONTENT_TYPE)])
        body = encode(message, Edition.GB2016)
        request = Request("MESSAGE", self._uri, headers, body)
        return (await self.endpoint.request(request, self._server)).status

    def methods(self) -> list[str]:
        """The methods of what it received, in order."""
        return [incoming.method for incoming in self.received]

    # -- scripts

    def refuse(self, status: int) -> Callable[[IncomingInvite], Awaitable[None]]:
        """A script: refuse the INVITE."""

        async def script(incoming: IncomingInvite) -> None:
            incoming.reject(status)

        return script

    async def ring(self, incoming: IncomingInvite) -> None:
        """A script: ring, and never answer."""
        incoming.provisional(180)

    async def accept(self, incoming: IncomingInvite) -> None:
        """A script: accept, and send nothing."""
        offer = judge_offer(incoming.request, sessions=LIVE | HISTORY)
        described = answer_to(
            offer,
            origin_id=self.id,
            host=self.host.address,
            port=40000,
            ssrc=Ssrc(offer.description.ssrc or 1),
        )
        self.calls.append(await incoming.accept(body=described.to_bytes()))

    async def serve_command(self, incoming: IncomingRequest) -> None:
        """A script: take every command, and answer a catalogue query with this one device."""
        incoming.respond(200)
        query = decode(incoming.request.body).message
        if isinstance(query, CatalogQuery):
            item = CatalogItem(device_id=self.id, name="scripted", parent_id=self.id, status="ON")
            await self.send(
                CatalogResponse(sn=query.sn, device_id=query.device_id, sum_num=1, items=(item,))
            )

    # -- private

    @property
    def _uri(self) -> str:
        return f"sip:{self._server_id}@{self._server_id[:10]}"

    def _addresses(self, to: str) -> list[tuple[str, str]]:
        domain = self._server_id[:10]
        return [("From", f"<sip:{self.id}@{domain}>"), ("To", f"<sip:{to}@{domain}>")]

    async def _send_register(
        self, call_id: str, number: int, expires: int, credentials: Fields
    ) -> Response:
        headers = Headers(
            [
                *self._addresses(self.id),
                ("Call-ID", call_id),
                ("CSeq", f"{number} REGISTER"),
                ("Contact", self.endpoint.contact(self._server)),
                ("Expires", str(expires)),
            ]
        )
        for name, value in credentials:
            headers.add(name, value)
        return await self.endpoint.request(Request("REGISTER", self._uri, headers), self._server)

    async def _serve(self) -> None:
        async for incoming in self.endpoint.requests():
            self.received.append(incoming)
            work = (
                self.on_invite(incoming)
                if isinstance(incoming, IncomingInvite)
                else self.on_message(incoming)
            )
            self._supervisor.spawn(_run(work), name=incoming.method)


async def _run(work: Awaitable[None]) -> None:
    await work
