"""Commands: sends MANSCDP to devices and waits for what they answer."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, TypeVar

from sip.errors import FlowFailed, TransactionTimeout
from sip.message import Headers, Request

from ..errors import AnswerMissing, CommandFailed, DeviceNotOnline, NoAnswer, RequestRejected
from ..exchange import ExchangeKey, ExchangeResult, Exchanges
from ..manscdp.codec import CONTENT_TYPE, encode
from ..station import authority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sip.flow import Flow
    from sip.message import Response

    from ..edition import Edition
    from ..manscdp.schema import Message
    from ..platform import Platform
    from ..remote_device import RemoteDevice

M = TypeVar("M")

REQUEST_TIMEOUT = 10.0
"""Seconds for the SIP answer of a MESSAGE (decision, spec 02 section 12)."""
PROBE_TIMEOUT = 8.0
"""Seconds that a silent device has at most to show that it is there."""
ANSWER_IDLE = 10.0
"""Seconds for the business answer."""
PART_IDLE = 30.0
"""Seconds of silence that end an answer in parts; large catalogues over UDP take minutes."""
ANSWER_TOTAL = 7200.0
"""Seconds after which an answer ends even if parts still come."""

_IN_PARTS = frozenset({"Catalog", "RecordInfo"})


class Commands:
    """The platform's outgoing commands and the answers they wait for."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._exchanges = Exchanges()
        self._waiting: dict[ExchangeKey, asyncio.Future[ExchangeResult]] = {}
        self._sn = secrets.randbelow(1_000_000) + 1
        self._wake = asyncio.Event()
        self._progress: dict[ExchangeKey, Callable[[int, int], None]] = {}

    @property
    def pending(self) -> int:
        """How many commands wait for an answer."""
        return len(self._exchanges)

    def next_sn(self) -> str:
        """A serial number that no pending command has (decision: rising from a random start)."""
        self._sn = self._sn % (2**31 - 1) + 1
        return str(self._sn)

    async def send(
        self, device: RemoteDevice, message: Message, *, edition: Edition | None = None
    ) -> Response:
        """Send a command; return the answer of the device's SIP side, which has taken it.

        Args:
            device: Who shall do it.
            message: The command.
            edition: Write it as this edition has it, not as the device's.

        Raises:
            DeviceNotOnline: It is not registered, or cannot be reached.
            NoAnswer: It did not answer within 10 s, nor when asked once more.
            RequestRejected: It refused the request.
            PlatformFailed: The platform is not running, or died meanwhile.
        """
        supervisor = self._platform.station.supervisor
        return await supervisor.run(
            self._send(device, message, edition), name=f"{message.cmd_type} {device.id}"
        )

    async def _send(
        self, device: RemoteDevice, message: Message, edition: Edition | None
    ) -> Response:
        binding = device.require_binding()
        body = encode(message, edition or device.edition, device.quirks.charset)
        addressee = _addressee(device, message)
        station = self._platform.station
        for last_try in (False, True):
            request = self._request(addressee, body, authority(binding.flow))
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
            # What answers from where the device is now is the device, and alive.
            now_at = device.binding
            if now_at is not None and now_at.flow == binding.flow:
                self._platform.heard(device.id, binding.flow)
            if response.status >= 300:
                raise RequestRejected(
                    f"{device.id} refused {message.cmd_type}",
                    status=response.status,
                    reason=response.reason,
                )
            return response
        raise AssertionError("the second try returns or raises")

    async def is_alive(self, device_id: str, flow: Flow, *, within: float) -> bool:
        """Whether a device answers OPTIONS in time, be it by saying that it has no such method."""
        request = Request("OPTIONS", f"sip:{device_id}@{authority(flow)}", self._fields(device_id))
        try:
            response = await self._platform.station.endpoint.request(request, flow, timeout=within)
        except (TransactionTimeout, FlowFailed):
            return False
        return response.status < 300 or response.status in (405, 501)

    async def ask(
        self,
        device: RemoteDevice,
        message: Message,
        *,
        edition: Edition | None = None,
        enough: Callable[[Sequence[Message]], bool] | None = None,
        progress: Callable[[int, int], None] | None = None,
        accepted: Callable[[Response], None] | None = None,
    ) -> ExchangeResult:
        """Send a command and wait for its whole answer, or for what came of it.

        Args:
            device: Who is asked.
            message: The command.
            edition: Write it as this edition has it, not as the device's.
            enough: As ``Exchanges.open`` takes it.
            progress: Told how many items have come, and how many are announced, part by part.
            accepted: Told of the SIP answer.

        Raises:
            AnswerMissing: The command was taken, and nothing came.
            NoAnswer: Not even a SIP answer came.
            DeviceNotOnline: As ``send``.
            RequestRejected: As ``send``.
            PlatformFailed: As ``send``.
        """
        supervisor = self._platform.station.supervisor
        work = self._ask(device, message, edition, enough, progress, accepted)
        return await supervisor.run(work, name=f"ask {message.cmd_type} {device.id}")

    async def _ask(
        self,
        device: RemoteDevice,
        message: Message,
        edition: Edition | None,
        enough: Callable[[Sequence[Message]], bool] | None,
        progress: Callable[[int, int], None] | None,
        accepted: Callable[[Response], None] | None,
    ) -> ExchangeResult:
        idle = PART_IDLE if message.cmd_type in _IN_PARTS else ANSWER_IDLE
        loop = asyncio.get_running_loop()
        now = loop.time()
        # The answer may overtake the 200, so it is expected before the command leaves.
        key = self._exchanges.open(
            device.id,
            message.cmd_type,
            message.sn,
            now,
            idle=idle + REQUEST_TIMEOUT,
            deadline=now + ANSWER_TOTAL,
            enough=enough,
        )
        future: asyncio.Future[ExchangeResult] = loop.create_future()
        self._waiting[key] = future
        if progress is not None:
            self._progress[key] = progress
        self._wake.set()
        try:
            response = await self._send(device, message, edition)
            if accepted is not None:
                accepted(response)
            result = await future
        finally:
            self._waiting.pop(key, None)
            self._progress.pop(key, None)
            self._exchanges.close(key)
        if not result.parts:
            device.quirks_seen.note(f"no answer to {message.cmd_type}", loop.time())
            raise AnswerMissing(f"{device.id} took {message.cmd_type} and sent no answer")
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

    @staticmethod
    def now() -> float:
        """The loop's time, by which everything is dated."""
        return asyncio.get_running_loop().time()

    def feed(self, device_id: str, message: Message) -> bool:
        """Take a message of a device; return whether it answers something."""
        taken = self._exchanges.feed(device_id, message, asyncio.get_running_loop().time())
        if taken:
            if self._progress:
                self._tell_progress(device_id, message)
            self._settle()
        return taken

    def _tell_progress(self, device_id: str, message: Message) -> None:
        for key, progress in tuple(self._progress.items()):
            if key.peer == device_id and key.cmd_type == message.cmd_type.lower():
                received, announced = self._exchanges.progress(key)
                if received:
                    progress(received, announced)

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

    def _request(self, addressee: str, body: bytes, peer: str) -> Request:
        headers = self._fields(addressee)
        headers.add("Content-Type", CONTENT_TYPE)
        return Request("MESSAGE", f"sip:{addressee}@{peer}", headers, body)

    def _fields(self, addressee: str) -> Headers:
        platform = self._platform
        return Headers(
            [
                ("From", f"<sip:{platform.id}@{platform.domain}>"),
                ("To", f"<sip:{addressee}@{platform.domain}>"),
            ]
        )


def _addressee(device: RemoteDevice, message: Message) -> str:
    """Whose code To has: a camera's for what controls it (decision, spec 02 section 5)."""
    if message.cmd_type == "DeviceControl" and device.quirks.control_target == "channel":
        return message.device_id
    return device.id
