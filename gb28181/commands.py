"""Commands: sends MANSCDP to devices and waits for what they answer."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, TypeVar

from sip.errors import FlowFailed, TransactionTimeout
from sip.message import Headers, Request

from .errors import CommandFailed, DeviceNotOnline, NoAnswer, RequestRejected
from .exchange import ExchangeKey, ExchangeResult, Exchanges
from .link import CONTENT_TYPE
from .manscdp.codec import encode
from .station import authority

if TYPE_CHECKING:
    from .manscdp.schema import Message
    from .platform import Platform
    from .remote_device import RemoteDevice

M = TypeVar("M")

REQUEST_TIMEOUT = 10.0
"""Seconds for the SIP answer of a MESSAGE (decision, spec 02 section 12)."""
ANSWER_IDLE = 10.0
"""Seconds for the business answer."""
PART_IDLE = 30.0
"""Seconds of silence that end an answer in parts; large catalogues over UDP take minutes."""

_IN_PARTS = frozenset({"Catalog", "RecordInfo"})


class Commands:
    """The platform's outgoing commands and the answers they wait for."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._exchanges = Exchanges()
        self._waiting: dict[ExchangeKey, asyncio.Future[ExchangeResult]] = {}
        self._sn = secrets.randbelow(1_000_000) + 1
        self._wake = asyncio.Event()

    @property
    def pending(self) -> int:
        """How many commands wait for an answer."""
        return len(self._exchanges)

    def next_sn(self) -> str:
        """A serial number that no pending command has (decision: rising from a random start)."""
        self._sn = self._sn % (2**31 - 1) + 1
        return str(self._sn)

    async def send(self, device: RemoteDevice, message: Message) -> None:
        """Send a command; return when the device's SIP side has taken it.

        Raises:
            DeviceNotOnline: It is not registered, or cannot be reached.
            NoAnswer: It did not answer within 10 s, nor when asked once more.
            RequestRejected: It refused the request.
            PlatformFailed: The platform is not running, or died meanwhile.
        """
        supervisor = self._platform.station.supervisor
        await supervisor.run(self._send(device, message), name=f"{message.cmd_type} {device.id}")

    async def _send(self, device: RemoteDevice, message: Message) -> None:
        binding = device.require_binding()
        body = encode(message, device.edition, device.quirks.charset)
        station = self._platform.station
        for last_try in (False, True):
            request = self._request(device, body, authority(binding.flow))
            try:
                response = await station.endpoint.request(
                    request, binding.flow, timeout=REQUEST_TIMEOUT
                )
            except TransactionTimeout as error:
                if last_try:
                    sentence = f"{device.id} did not answer {message.cmd_type}"
                    raise NoAnswer(sentence) from error
                binding = device.require_binding()
                continue
            except FlowFailed as error:
                raise DeviceNotOnline(device.id, f"cannot be reached: {error}") from error
            if response.status >= 300:
                raise RequestRejected(
                    f"{device.id} refused {message.cmd_type}",
                    status=response.status,
                    reason=response.reason,
                )
            return

    async def ask(self, device: RemoteDevice, message: Message) -> ExchangeResult:
        """Send a command and wait for its whole answer, or for what came of it.

        Raises:
            NoAnswer: Nothing came at all.
            DeviceNotOnline: As ``send``.
            RequestRejected: As ``send``.
            PlatformFailed: As ``send``.
        """
        supervisor = self._platform.station.supervisor
        return await supervisor.run(
            self._ask(device, message), name=f"ask {message.cmd_type} {device.id}"
        )

    async def _ask(self, device: RemoteDevice, message: Message) -> ExchangeResult:
        idle = PART_IDLE if message.cmd_type in _IN_PARTS else ANSWER_IDLE
        loop = asyncio.get_running_loop()
        # The answer may overtake the 200, so it is expected before the command leaves.
        key = self._exchanges.open(
            device.id, message.cmd_type, message.sn, loop.time(), idle=idle + REQUEST_TIMEOUT
        )
        future: asyncio.Future[ExchangeResult] = loop.create_future()
        self._waiting[key] = future
        self._wake.set()
        try:
            await self._send(device, message)
            result = await future
        finally:
            self._waiting.pop(key, None)
            self._exchanges.close(key)
        if not result.parts:
            raise NoAnswer(f"{device.id} took {message.cmd_type} and sent no answer")
        return result

    async def ask_one(self, device: RemoteDevice, message: Message, kind: type[M]) -> M:
        """Ask for an answer that is one message of a known class.

        Raises:
            CommandFailed: The answer is of another class.
            NoAnswer: As ``ask``.
            DeviceNotOnline: As ``send``.
            RequestRejected: As ``send``.
        """
        result = await self.ask(device, message)
        answer = result.parts[0]
        if not isinstance(answer, kind):
            raise CommandFailed(
                f"{device.id} answered {message.cmd_type} with", result=type(answer).__name__
            )
        return answer

    def feed(self, device_id: str, message: Message) -> bool:
        """Take a message of a device; return whether it answers something."""
        taken = self._exchanges.feed(device_id, message, asyncio.get_running_loop().time())
        if taken:
            self._settle()
        return taken

    def peer_lost(self, device_id: str) -> None:
        """End what waits for a device that is gone."""
        self._exchanges.peer_lost(device_id)
        self._settle()

    async def run(self) -> None:
        """End what waited too long. Runs as long as the platform."""
        while True:
            self._settle()
            self._wake.clear()
            try:
                async with asyncio.timeout_at(self._exchanges.next_timeout()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _settle(self) -> None:
        for result in self._exchanges.poll(asyncio.get_running_loop().time()):
            future = self._waiting.pop(result.key, None)
            if future is not None and not future.done():
                future.set_result(result)

    def _request(self, device: RemoteDevice, body: bytes, peer: str) -> Request:
        platform = self._platform
        headers = Headers(
            [
                ("From", f"<sip:{platform.id}@{platform.domain}>"),
                ("To", f"<sip:{device.id}@{platform.domain}>"),
                ("Content-Type", CONTENT_TYPE),
            ]
        )
        return Request("MESSAGE", f"sip:{device.id}@{peer}", headers, body)
