"""AnsweringDevice: a device that answers commands as a test says, in the newest edition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sip.message import Headers, Request

from ..edition import Edition
from ..manscdp.codec import CONTENT_TYPE, decode, encode
from ..manscdp.schema import Message

if TYPE_CHECKING:
    from sip.endpoint import IncomingRequest

    from ..platform import Platform
    from ..remote_device import RemoteDevice
    from .scripted import ScriptedDevice
    from .simulation import Simulation

Script = Callable[[Any], Iterable[Message] | int]


class AnsweringDevice:
    """Answers a command by the script for its class: messages to send, or a SIP status.

    Attributes:
        scripts: By class; what has none is answered 200 and nothing else.
        asked: The commands that came, in order.
        subscribes: The status that a SUBSCRIBE is answered with.
    """

    def __init__(self, camera: ScriptedDevice, platform: Platform, server: str) -> None:
        """Take over what a scripted device does with commands."""
        self.camera = camera
        self.platform = platform
        self.server = server
        self.scripts: dict[type[Any], Script] = {}
        self.asked: list[Any] = []
        self.subscribes = 405
        camera.on_message = self._serve

    @property
    def id(self) -> str:
        """Its code."""
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


async def answering_device(gb: Simulation, **settings: Any) -> AnsweringDevice:
    """Make a device that answers, registered at a platform that asks nothing by itself.

    Args:
        gb: The world.
        **settings: Of the platform, which takes devices for those of 2022.
    """
    settings.setdefault("edition", Edition.GB2022)
    platform = await gb.platform(asks_catalog=False, **settings)
    server = f"udp://{gb.host_of(platform).address}:5060"
    device = AnsweringDevice(await gb.scripted(platform=platform), platform, server)
    response = await device.camera.register()
    assert response.status == 200, response.reason
    return device
