"""A device that answers commands as a test says, in the newest edition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from gb28181.edition import Edition
from gb28181.link import CONTENT_TYPE
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.schema import Message
from gb28181.platform import Platform
from gb28181.remote_device import RemoteDevice
from gb28181.testing.scripted import ScriptedDevice
from gb28181.testing.simulation import Simulation
from sip.endpoint import IncomingRequest
from sip.message import Headers, Request

Script = Callable[[Any], Iterable[Message] | int]


class AnsweringDevice:
    """Answers a command by the script for its class: messages to send, or a SIP status.

    Attributes:
        scripts: By class; what has none is answered 200 and nothing else.
        asked: The commands that came, in order.
        subscribes: How a SUBSCRIBE is answered.
    """

    def __init__(self, camera: ScriptedDevice, platform: Platform, server: str) -> None:
        self.camera = camera
        self.platform = platform
        self.server = server
        self.scripts: dict[type[Any], Script] = {}
        self.asked: list[Any] = []
        self.subscribes = 405
        camera.on_message = self._serve

    @property
    def id(self) -> str:
        return self.camera.id

    @property
    def remote(self) -> RemoteDevice:
        """The device as its platform sees it."""
        return self.platform.device(self.camera.id)

    def asked_for(self, kind: type[Any]) -> list[Any]:
        """The commands of one class."""
        return [one for one in self.asked if isinstance(one, kind)]

    async def say(self, message: Message | bytes, *, sender: str | None = None) -> int:
        """Send a message, or bytes as they are; return the status."""
        body = message if isinstance(message, bytes) else encode(message, Edition.GB2022)
        server_id = self.platform.id
        domain = server_id[:10]
        headers = Headers(
            [
                ("From", f"<sip:{sender or self.id}@{domain}>"),
                ("To", f"<sip:{server_id}@{domain}>"),
                ("Content-Type", CONTENT_TYPE),
            ]
        )
        request = Request("MESSAGE", f"sip:{server_id}@{domain}", headers, body)
        return (await self.camera.endpoint.request(request, self.server)).status

    async def _serve(self, incoming: IncomingRequest) -> None:
        if incoming.method == "SUBSCRIBE":
            incoming.respond(self.subscribes, headers=[("Expires", "600")])
            return
        command = decode(incoming.request.body).message
        self.asked.append(command)
        script = self.scripts.get(type(command))
        result = [] if script is None else script(command)
        if isinstance(result, int):
            incoming.respond(result)
            return
        incoming.respond(200)
        for message in result:
            await self.say(message)


@pytest.fixture
def answering(gb: Simulation) -> Callable[..., Awaitable[AnsweringDevice]]:
    """Makes a device that answers, registered at a platform that asks nothing by itself."""

    async def make(**settings: Any) -> AnsweringDevice:
        settings.setdefault("edition", Edition.GB2022)
        platform = await gb.platform(asks_catalog=False, **settings)
        server = f"udp://{gb.host_of(platform).address}:5060"
        device = AnsweringDevice(await gb.scripted(platform=platform), platform, server)
        assert (await device.camera.register()).status == 200
        return device

    return make
