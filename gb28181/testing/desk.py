"""Desk: a platform on the bare stack that lets one device register and says what a test says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from sip.endpoint import IncomingSubscribe, SipEndpoint
from sip.message import Headers, Request

from ..device import Device
from ..edition import Edition
from ..manscdp.codec import CONTENT_TYPE, decode, encode
from ..supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from sip.endpoint import IncomingRequest, Notification, OutgoingSubscription
    from sip.flow import Flow
    from sip.message import Response

    from ..manscdp.schema import Message
    from ..sessions.serving import DeviceChannel
    from .network import SimulatedNetwork

PLATFORM_ID = "34020000002000000001"
DEVICE_ID = "34020000001180000001"
_PORT = 5060


class Desk:
    """One device before a platform that is nothing but a SIP endpoint. Enter with ``async with``.

    Attributes:
        device: The device; it has registered when the desk has been entered.
        registers: Every REGISTER that came.
        received: Every message of a MESSAGE that came, in order; heartbeats too.
        notified: Every message of a NOTIFY that came, and with it when.
        largest: Bytes of the largest body over UDP.
        answer: What a MESSAGE is answered; 200 unless a test changes it.
        date: What the platform says the time is; nothing when empty.
        refuses_tcp: Whether a MESSAGE over TCP is answered 403.
    """

    def __init__(
        self,
        network: SimulatedNetwork,
        channels: Sequence[DeviceChannel],
        *,
        transport: str = "udp",
        edition: Edition = Edition.GB2022,
        date: str = "",
        **settings: Any,
    ) -> None:
        """Prepare both.

        Args:
            network: Where they meet.
            channels: Of the device.
            transport: ``udp`` or ``tcp``.
            edition: Of the device.
            date: See the attribute.
            **settings: Of ``Device``.
        """
        self.registers: list[Request] = []
        self.received: list[Message] = []
        self.notified: list[tuple[float, Message | None]] = []
        self.largest = 0
        self.answer = 200
        self.date = date
        self.refuses_tcp = False
        self.flow: Flow | None = None
        self.edition = edition
        self.endpoint = SipEndpoint(
            listen=(f"udp://:{_PORT}", f"tcp://:{_PORT}"),
            network=network.host("10.0.0.1"),
            user=PLATFORM_ID,
        )
        self.device = Device(
            **{
                "device_id": DEVICE_ID,
                "server": f"{transport}://10.0.0.1:{_PORT}",
                "server_id": PLATFORM_ID,
                "channels": channels,
                "edition": edition,
                "network": network.host("10.0.1.1"),
                **settings,
            }
        )
        self._supervisor = Supervisor("desk")
        self._sn = 0

    async def __aenter__(self) -> Self:
        await self.endpoint.start()
        await self._supervisor.start()
        self._supervisor.spawn(self._serve(), name="serve the desk")
        await self.device.start()
        await self.device.registered()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.device.stop()
        await self._supervisor.stop()
        await self.endpoint.aclose()

    def next_sn(self) -> str:
        """An SN that was not used yet."""
        self._sn += 1
        return str(self._sn)

    async def send(self, message: Message) -> int:
        """Send a message to the device in a MESSAGE; return the final status."""
        return (await self.request("MESSAGE", encode(message, Edition.GB2022))).status

    async def ask(self, message: Message, *, within: float = 1.0) -> list[Message]:
        """Send a message, let that many seconds pass; return what came with its SN."""
        before = len(self.received)
        status = await self.send(message)
        assert status == 200, status
        await asyncio.sleep(within)
        return [one for one in self.received[before:] if one.sn == message.sn]

    async def subscribe(
        self,
        query: Message,
        *,
        expires: int = 600,
        event: str = "presence",
        body: Callable[[], bytes] | None = None,
    ) -> OutgoingSubscription:
        """Subscribe; ``body`` makes what refreshes say.

        Raises:
            SubscriptionRejected: The device refused.
        """
        assert self.flow is not None, "the device has not registered"
        headers = Headers([*self._addresses(), ("Event", event), ("Content-Type", CONTENT_TYPE)])
        return await self.endpoint.subscribe(
            Request("SUBSCRIBE", self._uri, headers, encode(query, Edition.GB2022)),
            self.flow,
            expires=expires,
            body=body,
            on_notify=self._take_notify,
        )

    async def request(self, method: str, body: bytes, *more: tuple[str, str]) -> Response:
        """Send any request to the device."""
        assert self.flow is not None, "the device has not registered"
        headers = Headers([*self._addresses(), *more, ("Content-Type", CONTENT_TYPE)])
        return await self.endpoint.request(Request(method, self._uri, headers, body), self.flow)

    def of(self, *kinds: type[Any]) -> list[Any]:
        """What has come of these classes, by MESSAGE."""
        return [one for one in self.received if isinstance(one, kinds)]

    async def until(self, what: Callable[[], object], *, within: float = 120.0) -> None:
        """Wait until a function says yes.

        Raises:
            TimeoutError: It did not.
        """
        async with asyncio.timeout(within):
            while not what():  # noqa: ASYNC110 - a test's condition has no event
                await asyncio.sleep(0.01)

    @property
    def _uri(self) -> str:
        return f"sip:{self.device.id}@{PLATFORM_ID[:10]}"

    def _addresses(self) -> list[tuple[str, str]]:
        sender = f"<sip:{PLATFORM_ID}@{PLATFORM_ID[:10]}>"
        return [("From", sender), ("To", f"<{self._uri}>")]

    def _take_notify(self, notification: Notification) -> None:
        body = notification.body
        message = decode(body).message if body else None
        self.notified.append((asyncio.get_running_loop().time(), message))

    async def _serve(self) -> None:
        async for incoming in self.endpoint.requests():
            self._answer(incoming)

    def _answer(self, incoming: IncomingRequest) -> None:
        match incoming.method:
            case "REGISTER":
                self.registers.append(incoming.request)
                self.flow = incoming.flow
                expires = str(incoming.request.expires)
                headers = [("Expires", expires)] + ([("Date", self.date)] if self.date else [])
                incoming.respond(200, headers=headers)
            case "MESSAGE" if self.refuses_tcp and incoming.flow.reliable:
                incoming.respond(403)
            case "MESSAGE":
                if not incoming.flow.reliable:
                    self.largest = max(self.largest, len(incoming.request.body))
                self.received.append(decode(incoming.request.body).message)
                incoming.respond(self.answer)
            case _ if not isinstance(incoming, IncomingSubscribe):
                incoming.respond(200)
            case _:
                incoming.respond(489)
