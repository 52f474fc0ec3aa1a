"""Station: what every role stands on: endpoint, media plane and dispatcher under one supervisor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from rtp.transport import SocketNetwork
from sip.endpoint import SipEndpoint, is_foreign
from sip.flow import Flow
from sip.overload import (
    DEFAULT_LIMITS,
    DEFAULT_STACK_LIMITS,
    OverloadLimits,
    StackLimits,
)
from sip.timers import Timers
from sip.transport import Network

from .addresses import Advertise
from .dispatch import Dispatcher
from .media.plane import LocalMediaPlane
from .supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sip.tls import TlsSettings
    from sip.trace import TraceRecord

    from .errors import RoleFailed
    from .media.plane import MediaPlane

from rtp.transport import MediaNetwork

DEFAULT_MEDIA_PORTS = range(30000, 30500)


class RoleNetwork(Network, MediaNetwork, Protocol):
    """Where a role opens its sockets; the simulated network offers one for each of its hosts."""

    def address_towards(self, remote: str) -> str:
        """The local address that packets to ``remote`` leave by."""


class Station:
    """Opens and closes, in order, what one role needs to talk and to send and receive media."""

    def __init__(
        self,
        name: str,
        *,
        user: str,
        listen: Sequence[str],
        failure: type[RoleFailed],
        media_ports: range = DEFAULT_MEDIA_PORTS,
        advertise: Mapping[str, str] | None = None,
        network: RoleNetwork | None = None,
        plane: MediaPlane | None = None,
        timers: Timers | None = None,
        tap: Callable[[TraceRecord], None] | None = None,
        tls: TlsSettings | None = None,
        limits: StackLimits = DEFAULT_STACK_LIMITS,
        overload: OverloadLimits = DEFAULT_LIMITS,
        silence: float = 30.0,
        gather_tick: float = 0.005,
        user_agent: str = "gb28181/0.1",
    ) -> None:
        """Take the settings; nothing is opened and no loop is needed yet.

        Args:
            name: Shown in logs and in the names of tasks.
            user: Our id, the user part of Contact.
            listen: SIP addresses, ``udp://host:port`` and ``tcp://host:port``.
            failure: The error that verbs raise when the role has died.
            media_ports: The pool of media ports.
            advertise: Our host by the peer's network; see ``Advertise``.
            network: Where sockets are opened; the operating system's when None.
            plane: Where media is handled; this process when None.
            timers: SIP timers.
            tap: Sees every SIP message, credentials blanked.
            tls: Certificates for ``tls://`` addresses, ours and those of peers.
            limits: Sizes of one SIP message, and how much is kept at once.
            overload: Numbers of the protection against too much.
            silence: Seconds without media after which a receiver ends.
            gather_tick: Seconds that packets are gathered before they are read; 0 reads at once.
            user_agent: What we call ourselves.
        """
        self.name = name
        self.supervisor = Supervisor(name, failure=failure)
        self.advertise = Advertise(advertise, route=network.address_towards if network else None)
        self.knows: list[Callable[[Flow], bool]] = []
        """Who vouches for a flow: such peers are served even when there is too much to do."""
        self._user = user
        self._listen = tuple(listen)
        self._media_ports = media_ports
        self._network = network
        self._given_plane = plane
        self._timers = timers or Timers()
        self._tap = tap
        self._tls = tls
        self._limits = limits
        self._overload = overload
        self._silence = silence
        self._gather_tick = gather_tick
        self._user_agent = user_agent
        self._sockets: SocketNetwork | None = None
        self._endpoint: SipEndpoint | None = None
        self._plane: MediaPlane | None = plane
        self._dispatcher: Dispatcher | None = None

    @property
    def endpoint(self) -> SipEndpoint:
        """The SIP endpoint; it exists while the role runs."""
        if self._endpoint is None:
            self.supervisor.check()
        assert self._endpoint is not None
        return self._endpoint

    @property
    def plane(self) -> MediaPlane:
        """The media plane; it exists while the role runs."""
        if self._plane is None:
            self.supervisor.check()
        assert self._plane is not None
        return self._plane

    @property
    def dispatcher(self) -> Dispatcher:
        """Gives requests to the role, and to those attached to it."""
        if self._dispatcher is None:
            self.supervisor.check()
        assert self._dispatcher is not None
        return self._dispatcher

    async def start(self) -> None:
        """Open everything.

        Raises:
            OSError: An address is in use or not ours; nothing stays open.
        """
        endpoint = SipEndpoint(
            listen=self._listen,
            network=self._network,
            timers=self._timers,
            user=self._user,
            user_agent=self._user_agent,
            local_host=self.advertise.host_for,
            tap=self._tap,
            tls=self._tls,
            limits=self._limits,
            overload=self._overload,
            accepts_tag=is_foreign,  # spec 09 Q5c: initial requests of small devices have one
            is_known=lambda flow: any(knows(flow) for knows in self.knows),
        )
        await endpoint.start()
        await self.supervisor.start()
        self._endpoint = endpoint
        if self._given_plane is None:
            media_network: MediaNetwork
            if self._network is None:
                media_network = self._sockets = SocketNetwork(tick=self._gather_tick)
            else:
                media_network = self._network
            self._plane = LocalMediaPlane(
                media_network, ports=self._media_ports, silence=self._silence
            )
        self._dispatcher = Dispatcher(endpoint, self.supervisor)
        self.supervisor.spawn(self._dispatcher.run(), name=f"{self.name} dispatcher")

    async def stop(self, goodbye: Callable[[], Awaitable[None]] | None = None) -> None:
        """Say goodbye, end every task, close every socket. Idempotent."""
        try:
            if goodbye is not None and self.supervisor.is_running:
                await goodbye()
        finally:
            await asyncio.shield(asyncio.ensure_future(self._close()))

    async def _close(self) -> None:
        await self.supervisor.stop()
        plane = self._plane
        if plane is not None and self._given_plane is None:
            self._plane = None
            await plane.close()
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None
        if self._endpoint is not None:
            endpoint, self._endpoint = self._endpoint, None
            await endpoint.aclose()
        self._dispatcher = None

    def host_towards(self, target: Flow | str) -> str:
        """Our address as the peer behind ``target`` is to be told."""
        return self.advertise.host_for(remote_host(target))

    def open_things(self) -> dict[str, int]:
        """What is open now, for status pages and the leak check."""
        counts = {"tasks": self.supervisor.task_count}
        if self._plane is not None:
            counts.update(self._plane.counts())
        return counts


def remote_host(target: Flow | str) -> str:
    """The host of a flow, or of ``udp://host:port``."""
    if isinstance(target, Flow):
        return target.remote[0]
    return target.split("//", 1)[-1].rsplit(":", 1)[0].strip("[]")


def authority(target: Flow | str) -> str:
    """``host:port`` of a flow or a target, as it is written into a SIP URI."""
    if isinstance(target, Flow):
        host, port = target.remote
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return target.split("//", 1)[-1]
