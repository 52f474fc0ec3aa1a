"""Answers: what a device, or a lower platform, answers to the requests of the platform above."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from sip.endpoint import IncomingInvite, IncomingSubscribe
from sip.errors import SipError

from ..catalog import TCP_BUDGET, UDP_BUDGET
from ..equipment.known import is_known
from ..equipment.packing import PageT, pack
from ..errors import MalformedCommand
from ..manscdp.catalog import CatalogResponse
from ..manscdp.codec import ACCEPT, decode, encode, is_command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from sip.endpoint import IncomingRequest

    from ..manscdp.catalog import CatalogItem, CatalogQuery
    from ..manscdp.schema import Message
    from .link import Link

logger = logging.getLogger("gb28181.answers")

ALLOW = "INVITE, ACK, INFO, CANCEL, BYE, OPTIONS, MESSAGE"
"""The methods that are served for the platform above. Source: 9.2.3 b."""
MAX_BUSY = 64
"""Commands that may be served at once, long answers among them; one more gets 503."""
_UNKNOWN_KEPT = 1000


class Served(Protocol):
    """What serves commands, by their class: a dict is one."""

    def get(self, kind: type[Any], /) -> Callable[[Any], Awaitable[None]] | None:
        """Return what serves a class of commands; None when nothing does."""


class Answers:
    """One role's answers over one link.

    Source: 9.3 to 9.5: the SIP answer says "received", at once; the business answer is a MESSAGE
    of its own.
    """

    def __init__(
        self,
        link: Link,
        commands: Served,
        invite: Callable[[IncomingInvite], Coroutine[Any, Any, None]],
        subscribe: Callable[[IncomingSubscribe, Message], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        """Take the role's table.

        Args:
            link: Where commands come from and answers go.
            commands: What serves a command, by its class.
            invite: Serves an INVITE.
            subscribe: Serves a SUBSCRIBE with what it asks; nobody can subscribe when None.
        """
        self.unknown: Counter[str] = Counter()
        # RFC 3261 8.2.1: what a 405 refuses does not stand in it.
        self._allow = [("Allow", ALLOW if subscribe is None else f"{ALLOW}, SUBSCRIBE")]
        self._busy = 0
        self._link = link
        self._commands = commands
        self._invite = invite
        self._subscribe = subscribe

    def handle(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        """Serve one request of the platform above."""
        if isinstance(incoming, IncomingInvite):
            return self._invite(incoming)
        if isinstance(incoming, IncomingSubscribe) and self._subscribe is not None:
            return self._subscription(incoming, self._subscribe)
        match incoming.method:
            case "MESSAGE":
                return self._message(incoming)
            case "OPTIONS":
                incoming.respond(200, headers=self._allow)
            case _:
                incoming.respond(405, headers=self._allow)
        return None

    async def send(self, answer: Message) -> bool:
        """Send an answer; False, and a line in the log, when it was not taken."""
        own_id = self._link.config.device_id
        try:
            status = await self._link.send(encode(answer, self._link.config.edition))
        except (SipError, OSError) as error:
            logger.info("%s: %s not delivered: %s", own_id, answer.cmd_type, error)
            return False
        if status >= 300:
            logger.info("%s: %s refused with %d", own_id, answer.cmd_type, status)
        return status < 300

    async def send_catalog(
        self, query: CatalogQuery, items: Sequence[CatalogItem], *, tries: int = 1
    ) -> None:
        """Send a catalogue page by page, each after the answer to the one before (2022 M).

        Args:
            query: What is answered.
            items: The whole answer.
            tries: How often a page is sent before the rest is given up.
        """
        empty = CatalogResponse(sn=query.sn, device_id=query.device_id, sum_num=len(items))
        await self.send_pages(empty, items, tries=tries)

    async def send_pages(self, empty: PageT, items: Sequence[Any], *, tries: int = 1) -> None:
        """Send an answer with many items page by page, each after the answer to the one before.

        Args:
            empty: The answer without its items.
            items: All of them.
            tries: How often a page is sent before the rest is given up.

        Source: GB/T 28181-2022 Annex M.
        """
        over_udp = self._link.target.startswith("udp")
        budget = UDP_BUDGET if over_udp else TCP_BUDGET
        for page in pack(empty, items, budget=budget, edition=self._link.config.edition):
            for _ in range(tries):
                if await self.send(page):
                    break
            else:
                return

    async def _subscription(
        self,
        incoming: IncomingSubscribe,
        subscribe: Callable[[IncomingSubscribe, Message], Coroutine[Any, Any, None]],
    ) -> None:
        """Only what will really be notified of is accepted (2016 J.18 to J.22, 2022 N)."""
        try:
            command = decode(incoming.request.body).message
        except MalformedCommand as error:
            logger.info("%s: subscription refused: %s", self._link.config.device_id, error)
            incoming.respond(400)
            return
        await subscribe(incoming, command)

    async def _message(self, incoming: IncomingRequest) -> None:
        if not is_command(incoming.request.content_type, incoming.request.body):
            incoming.respond(415, headers=ACCEPT)
            return
        own_id = self._link.config.device_id
        try:
            command = decode(incoming.request.body).message
        except MalformedCommand as error:
            logger.info("%s: command refused: %s", own_id, error)
            incoming.respond(400)
            return
        if self._busy >= MAX_BUSY:
            incoming.respond(503, headers=[("Retry-After", "10")])
            return
        incoming.respond(200)
        serve = self._commands.get(type(command))
        if serve is not None and is_known(type(command), self._link.config.edition):
            self._busy += 1
            try:
                await serve(command)
            finally:
                self._busy -= 1
            return
        name = f"{command.root}/{command.cmd_type}"[:80]
        if name not in self.unknown and len(self.unknown) < _UNKNOWN_KEPT:
            logger.info("%s: %s is not served", own_id, name)
        if name in self.unknown or len(self.unknown) < _UNKNOWN_KEPT:
            self.unknown[name] += 1
