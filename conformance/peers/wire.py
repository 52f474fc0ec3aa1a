"""The kit's end of the SIP connection: sends, records what comes, and waits for what should."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from gb28181.edition import Edition
from gb28181.errors import MalformedCommand
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.schema import Message
from sip.endpoint import IncomingRequest, SipEndpoint
from sip.errors import FlowFailed, TransactionTimeout
from sip.flow import Flow
from sip.message import Headers, Request, Response
from sip.trace import TraceRecord

from ..case import Inconclusive, check
from .tasks import Tasks

CONTENT_TYPE = "Application/MANSCDP+xml"
_EDITIONS = {"2011": Edition.GB2011, "2016": Edition.GB2016, "2022": Edition.GB2022}


class NoAnswer(Inconclusive):
    """The target sent no final response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request that came from the target."""

    time: float
    incoming: IncomingRequest
    command: Message | None
    """Its MANSCDP body; None when it has none that can be read."""

    @property
    def request(self) -> Request:
        """The request."""
        return self.incoming.request

    @property
    def method(self) -> str:
        """Its method."""
        return self.incoming.method


Tap = Callable[[TraceRecord], None]


class Wire:
    """A SIP endpoint whose incoming requests are recorded and then served by a function."""

    def __init__(
        self,
        *,
        user: str,
        listen: tuple[str, ...],
        host: str,
        edition: str,
        timeout: float,
        serve: Callable[[Seen], None],
    ) -> None:
        self.endpoint = SipEndpoint(
            listen=listen,
            user=user,
            user_agent="gb28181-conformance/0.1",
            local_host=(lambda _: host) if host else None,
            tap=self._record,
        )
        self.tasks = Tasks()
        self.seen: list[Seen] = []
        self.tap: Tap | None = None
        self._edition = _EDITIONS[edition]
        self._timeout = timeout
        self._serve = serve
        self._arrived = asyncio.Event()

    async def start(self) -> None:
        """Open the sockets and begin to record."""
        await self.endpoint.start()
        self.tasks.spawn(self._read())

    async def close(self) -> None:
        """End the tasks and close the sockets."""
        await self.tasks.close()
        await self.endpoint.aclose()

    @staticmethod
    def now() -> float:
        """The loop's time."""
        return asyncio.get_running_loop().time()

    async def send(self, request: Request, target: Flow | str) -> Response:
        """Send a request out of dialog and return its final response.

        Raises:
            NoAnswer: None came, or the target cannot be reached.
        """
        try:
            return await self.endpoint.request(request, target, timeout=self._timeout)
        except (TransactionTimeout, FlowFailed) as error:
            raise NoAnswer(f"{request.method} was not answered: {error}") from error

    def message(
        self,
        command: Message | bytes,
        *,
        sender: str,
        receiver: str,
        domain: str,
        content_type: str = CONTENT_TYPE,
    ) -> Request:
        """Write a MESSAGE."""
        body = command if isinstance(command, bytes) else encode(command, self._edition)
        uri = f"sip:{receiver}@{domain}"
        headers = Headers(
            [
                ("From", f"<sip:{sender}@{domain}>"),
                ("To", f"<{uri}>"),
                ("Content-Type", content_type),
            ]
        )
        return Request("MESSAGE", uri, headers, body)

    async def wait_for(
        self, match: Callable[[Seen], bool], *, timeout: float, since: float = 0.0
    ) -> Seen | None:
        """Return the first request that matches, from ``since`` on; None when none comes in time.

        Args:
            match: What is waited for.
            timeout: Seconds from now.
            since: What came earlier is not looked at.
        """
        begin = 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for seen in self.seen[begin:]:
                        if seen.time >= since and match(seen):
                            return seen
                    begin = len(self.seen)
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None

    async def _read(self) -> None:
        async for incoming in self.endpoint.requests():
            seen = Seen(time=self.now(), incoming=incoming, command=_command_of(incoming.request))
            self.seen.append(seen)
            self._arrived.set()
            self._serve(seen)

    def _record(self, record: TraceRecord) -> None:
        if self.tap is not None:
            self.tap(record)


def is_command(seen: Seen, root: str, cmd_type: str, sn: str | None = None) -> bool:
    """Whether a request carries a certain command."""
    command = seen.command
    return (
        command is not None
        and (command.root, command.cmd_type) == (root, cmd_type)
        and (sn is None or command.sn == sn)
    )


def check_status(response: Response, *wanted: int) -> None:
    """Fail unless the response has one of the statuses."""
    names = " or ".join(str(status) for status in wanted)
    check(
        response.status in wanted,
        f"{names} is demanded",
        seen=f"{response.status} {response.reason}",
    )


def stray_request(method: str, uri: str, sender: str) -> Request:
    """Write a request of a dialog that nobody knows."""
    return Request(
        method,
        uri,
        Headers(
            [
                ("From", f"<{sender}>;tag=stranger"),
                ("To", f"<{uri}>;tag=nobody"),
                ("Call-ID", secrets.token_hex(8)),
                ("CSeq", f"2 {method}"),
            ]
        ),
    )


def _command_of(request: Request) -> Message | None:
    if request.method not in ("MESSAGE", "NOTIFY") or not request.body:
        return None
    try:
        return decode(request.body).message
    except MalformedCommand:
        return None
