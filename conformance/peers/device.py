"""A scripted device that faces a platform under test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gb28181.errors import MalformedSdp
from gb28181.manscdp.catalog import CatalogItem, CatalogQuery, CatalogResponse
from gb28181.manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.manscdp.schema import Message
from gb28181.sdp import MediaTransport, SessionDescription, parse_sdp
from sip.endpoint import IncomingCall, IncomingInvite
from sip.errors import SipError
from sip.message import Headers, Request, Response
from sip.trace import TraceRecord

from ..case import Inconclusive, demand
from ..target import Target
from .digest import authorization
from .media import Mouth
from .wire import NoAnswer, Seen, Wire, stray_request


class DevicePeer:
    """A device with one camera; what it says of its registration is up to the case.

    Catalogue and information queries are answered, an INVITE is accepted and served with a still
    picture, unless the case says otherwise.
    """

    def __init__(self, target: Target, tap: list[TraceRecord]) -> None:
        self.target = target
        self.id = target.peer_id
        self.calls: list[IncomingCall] = []
        self._acknowledged = asyncio.Event()
        self.answers_queries = True
        self.serves_media = True
        listen = target.listen or (("udp://0.0.0.0:0",) if target.transport == "udp" else ())
        self.wire = Wire(
            user=self.id,
            listen=listen,
            host=target.host,
            edition=target.edition,
            timeout=target.times.answer,
            serve=self._serve,
        )
        self.wire.tap = tap.append
        self._series = 0
        self._call_id = ""
        self._tag = ""
        self._is_registered = False
        self._sn = 0

    async def __aenter__(self) -> DevicePeer:
        await self.wire.start()
        self._call_id, self._tag = self.wire.endpoint.new_call_id(), self.wire.endpoint.new_tag()
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            for call in self.calls:
                if not call.is_ended:
                    await call.bye(timeout=1.0)
            if self._is_registered:
                await self.unregister()
        except (Inconclusive, SipError):
            pass  # the goodbye is a courtesy; the case has its verdict
        finally:
            await self.wire.close()
        self.wire.tasks.check()

    # Registration ---------------------------------------------------------------------------

    async def send_register(
        self,
        *,
        expires: int | None = 3600,
        credentials: str | None = None,
        device_id: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Response:
        """Send one REGISTER as told; no ``Expires`` at all with None."""
        target, user = self.target, device_id or self.id
        self._series += 1
        uri = self.register_uri
        address = f"<sip:{user}@{target.domain}>"
        fields = [
            ("From", f"{address};tag={self._tag}"),
            ("To", address),
            ("Call-ID", self._call_id if user == self.id else f"{self._call_id}-{user}"),
            ("CSeq", f"{self._series} REGISTER"),
            ("Contact", self.wire.endpoint.contact(target.address).replace(self.id, user)),
        ]
        if expires is not None:
            fields.append(("Expires", str(expires)))
        if credentials is not None:
            fields.append(("Authorization", credentials))
        if target.edition == "2022":
            fields.append(("X-GB-Ver", "3.0"))
        request = Request("REGISTER", uri, Headers([*fields, *headers]))
        return await self.wire.send(request, target.address)

    @property
    def register_uri(self) -> str:
        """The Request-URI of our REGISTER."""
        return f"sip:{self.target.id}@{self.target.domain}"

    async def challenge(self, *, expires: int | None = 3600, device_id: str | None = None) -> str:
        """Send a REGISTER without credentials and return the challenge of its 401."""
        response = await self.send_register(expires=expires, device_id=device_id)
        value = response.headers.get("WWW-Authenticate")
        if response.status != 401 or value is None:
            raise Inconclusive(f"no challenge: {response.status} {response.reason}")
        return value

    def credentials(
        self,
        challenge: str,
        *,
        password: str | None = None,
        username: str | None = None,
        nonce: str | None = None,
    ) -> str:
        """Answer a challenge, rightly or as told."""
        return authorization(
            challenge,
            username=username or self.id,
            password=self.target.password if password is None else password,
            method="REGISTER",
            uri=self.register_uri,
            nonce=nonce,
        )

    async def try_register(
        self,
        *,
        expires: int | None = 3600,
        password: str | None = None,
        username: str | None = None,
        nonce: str | None = None,
        device_id: str | None = None,
    ) -> Response:
        """Register by challenge and answer, and return what came of it."""
        challenge = await self.challenge(expires=expires, device_id=device_id)
        response = await self.send_register(
            expires=expires,
            device_id=device_id,
            credentials=self.credentials(
                challenge, password=password, username=username or device_id, nonce=nonce
            ),
        )
        if response.status == 200 and device_id is None:
            self._is_registered = expires != 0
        return response

    async def register(self, *, expires: int | None = 3600) -> Response:
        """Register rightly; the case is inconclusive when that is refused."""
        response = await self.try_register(expires=expires)
        if response.status != 200:
            raise Inconclusive(f"not registered: {response.status} {response.reason}")
        return response

    async def unregister(self) -> Response:
        """Register for 0 seconds, rightly."""
        return await self.try_register(expires=0)

    async def is_online(self) -> bool:
        """Ask the target's own interface whether it takes us to be online."""
        return await self.target.trigger("online")

    async def becomes(self, *, online: bool, within: float) -> bool:
        """Wait until the target takes us to be online, or not, for at most ``within`` seconds."""
        deadline = self.wire.now() + within
        while await self.is_online() is not online:
            if self.wire.now() > deadline:
                return False
            await asyncio.sleep(min(0.2, within / 10))
        return True

    # Commands -------------------------------------------------------------------------------

    def next_sn(self) -> str:
        """A serial number of ours."""
        self._sn += 1
        return str(self._sn)

    async def send(
        self, command: Message | bytes, *, content_type: str = "Application/MANSCDP+xml"
    ) -> Response:
        """Send a command, or any body, in a MESSAGE."""
        request = self.wire.message(
            command,
            sender=self.id,
            receiver=self.target.id,
            domain=self.target.domain,
            content_type=content_type,
        )
        return await self.wire.send(request, self.target.address)

    async def heartbeat(self) -> Response:
        """Send one heartbeat."""
        return await self.send(KeepaliveNotify(sn=self.next_sn(), device_id=self.id))

    async def options(self) -> Response:
        """Send OPTIONS."""
        uri = f"sip:{self.target.id}@{self.target.domain}"
        request = Request("OPTIONS", uri, Headers(self._parties(uri)))
        return await self.wire.send(request, self.target.address)

    async def bye_without_call(self) -> int:
        """Send a BYE for a dialog that nobody knows; return the status of its answer."""
        return (await self.wire.send(self._stray("BYE"), self.target.address)).status

    async def info_without_call(self) -> int:
        """Send an INFO for a dialog that nobody knows; return the status of its answer."""
        return (await self.wire.send(self._stray("INFO"), self.target.address)).status

    def trigger(self, name: str, **values: str) -> asyncio.Future[bool]:
        """Make the target do something while the case goes on; its fault ends the case."""
        result: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                outcome = await self.target.trigger(name, **values)
            except Exception as error:  # noqa: BLE001  handed to the case, which awaits it
                if not result.done():
                    result.set_exception(error)
                    result.exception()
            else:
                if not result.done():
                    result.set_result(outcome)

        # At once, so that the case does not wait for what cannot come.
        self.target.require_trigger(name)
        self.wire.tasks.spawn(run())
        return result

    async def invited(self) -> Seen:
        """Make the target play our camera; return its INVITE.

        Raises:
            NotApplicable: There is no way to make it.
        """
        since = self.wire.now()
        played = self.trigger("play", channel=self.target.channel_id)
        seen = await self.wire.wait_for(
            lambda one: one.method == "INVITE",
            timeout=self.target.times.answer + self.target.times.media,
            since=since,
        )
        if seen is None and played.done() and played.exception() is not None:
            raise Inconclusive(f"the trigger 'play' failed: {played.exception()}")
        return demand(seen, "the platform was asked to play and sent no INVITE")

    async def acknowledged(self) -> IncomingCall | None:
        """Return the call that the target has acknowledged; None when it does not in time."""
        try:
            async with asyncio.timeout(self.target.times.answer):
                await self._acknowledged.wait()
        except TimeoutError:
            return None
        return self.calls[-1]

    # Within ---------------------------------------------------------------------------------

    def _stray(self, method: str) -> Request:
        uri = f"sip:{self.target.id}@{self.target.domain}"
        return stray_request(method, uri, f"sip:{self.id}@{self.target.domain}")

    def _parties(self, uri: str) -> list[tuple[str, str]]:
        return [("From", f"<sip:{self.id}@{self.target.domain}>"), ("To", f"<{uri}>")]

    def _serve(self, seen: Seen) -> None:
        incoming = seen.incoming
        if isinstance(incoming, IncomingInvite):
            self.wire.tasks.spawn(self._accept(incoming))
            return
        incoming.respond(200)
        if self.answers_queries and isinstance(seen.command, CatalogQuery | DeviceInfoQuery):
            self.wire.tasks.spawn(self._answer(seen.command))

    async def _answer(self, query: CatalogQuery | DeviceInfoQuery) -> None:
        try:
            if isinstance(query, CatalogQuery):
                await self.send(self.catalog(query.sn, query.device_id))
            else:
                info = DeviceInfoResponse(
                    sn=query.sn,
                    device_id=query.device_id,
                    result="OK",
                    manufacturer="kit",
                    model="peer",
                    firmware="0.1.0",
                    channel=1,
                )
                await self.send(info)
        except NoAnswer:
            pass  # the case that looks at this sends its answers itself

    def catalog(self, sn: str, device_id: str) -> CatalogResponse:
        """Our catalogue as an answer: one camera."""
        item = CatalogItem(
            device_id=self.target.channel_id, name="Camera", manufacturer="kit", model="peer",
            owner="kit", civil_code=self.id[:6], address="here", parental=0, parent_id=self.id,
            safety_way=0, register_way=1, secrecy=0, status="ON",
        )  # fmt: skip
        return CatalogResponse(sn=sn, device_id=device_id, sum_num=1, items=(item,))

    async def _accept(self, incoming: IncomingInvite) -> None:
        try:
            offer = parse_sdp(incoming.request.body)
        except MalformedSdp:
            incoming.reject(488)
            return
        over_tcp = offer.transport is MediaTransport.TCP
        mouth = Mouth(ssrc=int(offer.ssrc or 0))
        try:
            port = await mouth.open()
            answer = self._answer_to(offer, incoming, port)
            call = await incoming.accept(body=answer.to_bytes())
        except SipError:
            mouth.close()
            return
        self.calls.append(call)
        self._acknowledged.set()
        if self.serves_media:
            self.wire.tasks.spawn(self._speak(mouth, (offer.address, offer.port), over_tcp, call))
        else:
            mouth.close()

    async def _speak(
        self, mouth: Mouth, remote: tuple[str, int], over_tcp: bool, call: IncomingCall
    ) -> None:
        speaking = asyncio.ensure_future(mouth.speak(remote, over_tcp=over_tcp))
        try:
            waiting: set[asyncio.Future[object]] = {speaking, call.ended}  # type: ignore[arg-type]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            speaking.cancel()
            mouth.close()

    def _answer_to(
        self, offer: SessionDescription, incoming: IncomingInvite, port: int
    ) -> SessionDescription:
        over_tcp = offer.transport is MediaTransport.TCP
        host = self.wire.endpoint.contact(incoming.flow).partition("@")[2].partition(":")[0]
        return SessionDescription(
            origin_id=self.target.channel_id, address=self.target.host or host, port=port,
            transport=offer.transport, direction="sendonly", ssrc=offer.ssrc,
            setup="active" if over_tcp else None, connection="new" if over_tcp else None,
        )  # fmt: skip
