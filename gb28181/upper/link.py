"""Link: one registration at a platform above, kept alive for ever; of a device or of a cascade."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from typing import TYPE_CHECKING

from sip.errors import SipError
from sip.flow import Flow
from sip.message import Headers, Request
from sip.transport import is_literal

from ..catalog import UDP_BUDGET
from ..manscdp.codec import CONTENT_TYPE, encode
from ..manscdp.keepalive import KeepaliveNotify
from ..registration import (
    Registration,
    RegistrationState,
    SendKeepalive,
    SendRegister,
    StateChanged,
)
from ..station import remote_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from sip.endpoint import SipEndpoint

    from ..registration import Action, RegistrationConfig
    from ..supervisor import Supervisor

logger = logging.getLogger("gb28181.link")

_GOODBYE = 3.0
_TCP_ATTEMPT = 3.0
_TCP_REFUSED = 600.0
"""Seconds until a server that takes no TCP is tried again."""


class Link:
    """Drives a ``Registration`` over an endpoint: sends what it asks, tells it what came back.

    It never gives up: timers do not depend on answers, and every failure ends in another attempt.
    """

    def __init__(
        self,
        config: RegistrationConfig,
        endpoint: SipEndpoint,
        supervisor: Supervisor,
        *,
        on_state: Callable[[StateChanged], None] | None = None,
        request_timeout: float | None = None,
    ) -> None:
        """Prepare a link.

        Args:
            config: Who we are and where the server is.
            endpoint: Sends the requests.
            supervisor: Hosts the link's tasks.
            on_state: Told of every change of state.
            request_timeout: Seconds to wait for an answer; the transaction's own 32 when None.
        """
        self.config = config
        self.registration = Registration(
            config, token=lambda: secrets.token_hex(8), jitter=random.random
        )
        self.state = RegistrationState.IDLE
        self.reason = ""
        self._told = ""
        self._endpoint = endpoint
        self._supervisor = supervisor
        self._on_state = on_state
        self._request_timeout = request_timeout
        self._hosts = frozenset({remote_host(config.server)})
        self._no_tcp_until = 0.0
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_registered(self) -> bool:
        """Whether the server holds a registration of ours."""
        return self.registration.registered

    @property
    def target(self) -> str:
        """Where requests to the server go, ``udp://host:port``; moves with a redirect."""
        return self.registration.target

    @property
    def server_id(self) -> str:
        """The id of the server that we are registered at; moves with a redirect."""
        return self.registration.server_id

    def start(self) -> None:
        """Begin to register; a link that was stopped may be started again."""
        if not self._stopped.is_set():
            self._endpoint.on_flow_lost(self._flow_lost)
        self._stopped.clear()
        self._act(self.registration.start(self._now()))
        self._supervisor.spawn(self._run(), name=f"link {self.config.device_id}")

    async def stop(self) -> None:
        """Unregister, for at most a few seconds."""
        if self.state in (RegistrationState.IDLE, RegistrationState.STOPPED):
            return
        self._act(self.registration.stop(self._now()))
        try:
            async with asyncio.timeout(_GOODBYE):
                await self._stopped.wait()
        except TimeoutError:
            logger.info("%s: unregistering was not answered", self.config.device_id)

    async def stopped(self) -> None:
        """Wait until the registration is over, however long the goodbye takes."""
        await self._stopped.wait()

    def is_from_server(self, flow: Flow) -> bool:
        """Whether a request came from an address of the server that we register at."""
        return flow.remote[0] in self._hosts

    async def registered(self) -> None:
        """Wait until the registration stands."""
        while not self.is_registered:
            self._changed.clear()
            await self._changed.wait()

    async def send(self, body: bytes, *, timeout: float | None = 10.0) -> int:
        """Send a MANSCDP body to the server in a MESSAGE; return the final status.

        Raises:
            SipError: No answer, or no way to the server.
        """
        target = await self._roomy(len(body))
        response = await self._endpoint.request(self.message(body), target, timeout=timeout)
        if response.status >= 400 and isinstance(target, Flow):
            # Some servers know us only by the flow that we registered over.
            self._no_tcp_until = self._now() + _TCP_REFUSED
            message = self.message(body)
            response = await self._endpoint.request(message, self.target, timeout=timeout)
        return response.status

    async def _roomy(self, size: int) -> Flow | str:
        """Where a body of this size goes: over TCP when it is large and the server takes it.

        Source: RFC 3261 section 18.1.1; GB/T 28181-2022 Annex M.
        """
        target = self.target
        if size <= UDP_BUDGET or not target.startswith("udp") or self._now() < self._no_tcp_until:
            return target
        try:
            async with asyncio.timeout(_TCP_ATTEMPT):
                return await self._endpoint.reach("tcp" + target[3:])
        except (SipError, OSError, TimeoutError):
            self._no_tcp_until = self._now() + _TCP_REFUSED
            return target

    def message(self, body: bytes) -> Request:
        """A MESSAGE from us to the server."""
        config = self.config
        uri = f"sip:{self.server_id}@{config.domain}"
        headers = Headers(
            [
                ("From", f"<sip:{config.device_id}@{config.domain}>"),
                ("To", f"<{uri}>"),
                ("Content-Type", CONTENT_TYPE),
            ]
        )
        return Request("MESSAGE", uri, headers, body)

    def reconfigure(self, config: RegistrationConfig) -> None:
        """Go on with other settings: register with them at once, without leaving before."""
        self.config = config
        self.registration.reconfigure(config, self._now())
        self._wake.set()

    def retry_now(self) -> None:
        """Try at once when backing off."""
        if self.state is RegistrationState.BACKING_OFF:
            self._act(self.registration.start(self._now()))

    async def _run(self) -> None:
        while self.state is not RegistrationState.STOPPED:
            self._act(self.registration.poll(self._now()))
            due = self.registration.next_timeout()
            self._wake.clear()
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                continue
        self._stopped.set()

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SendRegister():
                    self._spawn(self._send_register(action), "REGISTER")
                case SendKeepalive():
                    self._spawn(self._send_keepalive(action), "Keepalive")
                case StateChanged():
                    self._note(action)
        self._wake.set()

    def _spawn(self, work: object, what: str) -> None:
        self._supervisor.spawn(work, name=f"{what} {self.config.device_id}")  # type: ignore[arg-type]

    def _note(self, change: StateChanged) -> None:
        previous, self.state, self.reason = self.state, change.state, change.reason
        if change.state is RegistrationState.BACKING_OFF:
            # Once per reason: a server that stays away is not news at every retry.
            logger.log(
                logging.DEBUG if change.reason == self._told else logging.WARNING,
                "%s is not registered at %s: %s",
                self.config.device_id, self.target, change.reason,
            )  # fmt: skip
            self._told = change.reason
        elif change.state is not previous:
            if change.state is RegistrationState.REGISTERED:
                self._told = ""
            logger.info("%s: %s (%s)", self.config.device_id, change.state.name, change.reason)
        self._changed.set()
        if self._on_state is not None:
            self._on_state(change)

    async def _resolve(self) -> None:
        """Learn the addresses that a host name stands for; again at each registration."""
        host = remote_host(self.target)
        found = {host}
        if not is_literal(host):
            try:
                answers = await asyncio.get_running_loop().getaddrinfo(host, None)
            except OSError as error:
                logger.warning("%s: %s cannot be resolved: %s", self.config.device_id, host, error)
            else:
                found.update(str(answer[4][0]) for answer in answers)
        self._hosts = frozenset(found)

    async def _send_register(self, action: SendRegister) -> None:
        await self._resolve()
        request = action.request
        try:
            # Connected first: only then is it known which port of ours the Contact has to name.
            flow = await self._endpoint.reach(action.target)
            request.headers.set("Contact", self._endpoint.contact(flow))
            response = await self._endpoint.request(request, flow, timeout=self._request_timeout)
        except (SipError, OSError) as error:
            self._act(self.registration.request_failed(str(error), self._now(), request=request))
            return
        self._act(self.registration.receive(response, self._now()))

    async def _send_keepalive(self, action: SendKeepalive) -> None:
        body = encode(
            KeepaliveNotify(sn=str(action.sn), device_id=self.config.device_id, status="OK"),
            self.config.edition,
        )
        # A heartbeat that is answered later than the next one is due counts as missed.
        timeout = max(1.0, self.config.keepalive_interval)
        try:
            response = await self._endpoint.request(
                self.message(body), action.target, timeout=timeout
            )
        except (SipError, OSError):
            self._act(self.registration.keepalive_failed(self._now(), sn=action.sn))
            return
        self._act(self.registration.keepalive_answered(response.status, self._now(), sn=action.sn))

    def _flow_lost(self, flow: Flow) -> None:
        is_ours = self.is_from_server(flow) and self.target.endswith(f":{flow.remote[1]}")
        # While a REGISTER is under way its own failure says why.
        if is_ours and flow.reliable and self.is_registered:
            self._act(self.registration.flow_lost(self._now()))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
