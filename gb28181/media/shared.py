"""One port for many receivers, told apart by SSRC, then by source."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from rtp.batch import PacketBatch
from rtp.transport import Address, MediaNetwork, MediaSocket, TcpMediaConnection, listen_tcp

from ..errors import MediaTimeout
from .inputs import InputsOwner

_MOST_STRANGERS = 16
"""TCP connections that have not said yet whose they are."""


class SourceTable:
    """Finds the receiver of a packet. Pure.

    The SSRC decides. A sender with an SSRC that nobody expects belongs to the one receiver that
    expects something of its address and has had nothing; from then on it is known by its address
    and port. Everything else is foreign.

    Source: GB/T 28181-2022 Annex D (when many devices connect to one port); RFC 3550 section 8.
    """

    def __init__(self) -> None:
        self._by_ssrc: dict[int, InputsOwner] = {}
        self._by_source: dict[Address, InputsOwner] = {}
        self._waiting: dict[InputsOwner, str] = {}
        self.foreign = 0
        self.last_foreign = ""

    def expect(self, owner: InputsOwner, ssrc: int | None, host: str | None) -> None:
        """Lease an SSRC to a receiver, until ``forget``.

        Args:
            owner: The receiver.
            ssrc: What its sender uses; None when that is not known.
            host: Where it may come from with another SSRC; None when it may not.

        Raises:
            MediaTimeout: Another receiver has the SSRC.
        """
        holder = self._by_ssrc.get(ssrc) if ssrc is not None else None
        if holder is not None and holder is not owner:
            raise MediaTimeout(f"SSRC {ssrc:010d} is received at this port already")
        if ssrc is not None:
            self._by_ssrc[ssrc] = owner
        if host is not None:
            self._waiting[owner] = host

    def find(self, ssrc: int, source: Address, packets: int = 1) -> InputsOwner | None:
        """Return whose a packet is; None, and counted, when it is nobody's."""
        owner = self._by_ssrc.get(ssrc) or self._by_source.get(source)
        if owner is None:
            hosts = [one for one, host in self._waiting.items() if host == source[0]]
            owner = hosts[0] if len(hosts) == 1 else None
            if owner is not None:
                self._by_source[source] = owner
        if owner is not None:
            self._waiting.pop(owner, None)
            return owner
        self.foreign += packets
        self.last_foreign = f"with SSRC {ssrc:010d} from {source[0]}:{source[1]}"
        return None

    def forget(self, owner: InputsOwner) -> None:
        """Take back what a receiver has leased and learned."""
        self._waiting.pop(owner, None)
        self._by_ssrc = {ssrc: one for ssrc, one in self._by_ssrc.items() if one is not owner}
        self._by_source = {at: one for at, one in self._by_source.items() if one is not owner}


class SharedPort:
    """The sockets of one port, UDP or TCP, that many receivers share. Made by the plane."""

    def __init__(
        self, *, mode: str, local: Address, on_empty: Callable[[SharedPort], None]
    ) -> None:
        self.mode = mode
        self.local = local
        self.table = SourceTable()
        self._on_empty = on_empty
        self._inputs: dict[InputsOwner, SharedInputs] = {}
        self._udp: MediaSocket | None = None
        self._rtcp: MediaSocket | None = None
        self._server: Any = None
        self._strangers: list[TcpMediaConnection] = []

    async def open(self, network: MediaNetwork) -> None:
        """Bind, or listen.

        Raises:
            OSError: The address cannot be bound; nothing stays open.
        """
        if self.mode != "udp":
            self._server = await listen_tcp(network, self.local, self._on_connection)
            return
        host, port = self.local
        self._udp = network.open_udp(self.local, self._route)
        try:
            self._rtcp = network.open_udp((host, port + 1), self._route, receive_buffer=65536)
        except OSError:
            self._udp.close()
            raise
        self._udp.on_error = self._rtcp.on_error = self._fail
        self._udp.on_rtcp = partial(self._route_rtcp, is_muxed=True)
        self._rtcp.on_rtcp = self._route_rtcp

    def join(self, owner: InputsOwner) -> SharedInputs:
        """Let a receiver share the port."""
        inputs = self._inputs[owner] = SharedInputs(self, owner)
        return inputs

    def leave(self, owner: InputsOwner) -> None:
        """A receiver has ended; the last one closes the port."""
        self.table.forget(owner)
        if self._inputs.pop(owner, None) is not None and not self._inputs:
            self.close()

    def send_rtcp(self, data: bytes, source: Address, *, is_muxed: bool) -> None:
        """Send from the RTCP port to that above the source's, and from port to port when muxed."""
        if self._rtcp is not None:
            self._rtcp.send(data, (source[0], source[1] + 1))
        if self._udp is not None and is_muxed:
            self._udp.send(data, source)

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped, of whomever they were."""
        return 0 if self._udp is None else self._udp.kernel_drops()

    def close(self) -> None:
        """Close the sockets. Idempotent."""
        for end in (self._udp, self._rtcp, self._server, *self._strangers):
            if end is not None:
                end.close()
        self._udp = self._rtcp = self._server = None
        self._strangers.clear()
        on_empty, self._on_empty = self._on_empty, _nothing
        on_empty(self)

    def _fail(self, cause: BaseException) -> None:
        for owner in tuple(self._inputs):
            owner.close(cause)

    def _route(self, batch: PacketBatch, source: Address) -> None:
        """Give each packet to its receiver: nearly always all to one."""
        sources = batch.heads.sources
        if sources.count(sources[0]) == len(sources):
            owner = self.table.find(sources[0], source, len(sources))
            if owner is not None:
                owner.take(batch, source)
            return
        for ssrc in dict.fromkeys(sources):
            owner = self.table.find(ssrc, source, sources.count(ssrc))
            if owner is not None:
                owner.take(batch.select([one == ssrc for one in sources]), source)

    def _route_rtcp(self, data: bytes, source: Address, *, is_muxed: bool = False) -> None:
        owner = self.table.find(int.from_bytes(data[4:8], "big"), source)
        if owner is None:
            return
        if is_muxed:
            self._inputs[owner].muxed = source
        owner.take_rtcp(data, source)

    def _on_connection(self, connection: TcpMediaConnection) -> None:
        if len(self._strangers) >= _MOST_STRANGERS:
            self._strangers.pop(0).close()
        self._strangers.append(connection)
        connection.on_batch = partial(self._introduce, connection)
        connection.on_lost = partial(self._lost_stranger, connection)

    def _introduce(
        self, connection: TcpMediaConnection, batch: PacketBatch, source: Address
    ) -> None:
        """The first packets of a connection say whose it is."""
        owner = self.table.find(batch.heads.sources[0], source, len(batch))
        if owner is None:
            return
        self._strangers.remove(connection)
        self._inputs[owner].take_connection(connection)
        owner.take(batch, source)

    def _lost_stranger(self, connection: TcpMediaConnection, _: BaseException | None) -> None:
        if connection in self._strangers:
            self._strangers.remove(connection)


class SharedInputs:
    """What one receiver sees of a shared port."""

    def __init__(self, port: SharedPort, owner: InputsOwner) -> None:
        self.is_paused = False
        self.muxed: Address | None = None
        """Where a sender is whose reports come from its media port."""
        self._port = port
        self._owner = owner
        self._connections: list[TcpMediaConnection] = []
        self._past: Counter[str] = Counter()

    @property
    def last_foreign(self) -> str:
        """The last packet at this port that was nobody's."""
        return self._port.table.last_foreign

    @property
    def is_connected(self) -> bool:
        """Whether packets could arrive."""
        return self._port.mode == "udp" or bool(self._connections)

    async def open(self, network: MediaNetwork) -> None:
        """Nothing to do: the port is open."""

    async def connect(self, remote: Address) -> None:
        """Refuse: who connects needs no port to be found at."""
        raise ValueError("only an open receiver in the mode tcp-active connects")

    def expect(self, ssrc: int | None, host: str | None) -> None:
        """Lease the SSRC, until the receiver closes.

        Raises:
            MediaTimeout: Another receiver has it.
        """
        self._port.table.expect(self._owner, ssrc, host)

    def send_rtcp(self, data: bytes, source: Address) -> None:
        """Report to a sender."""
        if self._port.mode == "udp":
            self._port.send_rtcp(data, source, is_muxed=self.muxed == source)
        for connection in self._connections:
            if connection.remote == source:
                connection.send(data)

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped at this port, of whomever they were."""
        return self._port.kernel_drops()

    def set_paused(self, paused: bool) -> None:
        """Let the sender wait, or go on."""
        self.is_paused = paused
        for connection in self._connections:
            if paused:
                connection.pause_reading()
            else:
                connection.resume_reading()

    def counters(self) -> Counter[str]:
        """What was counted for this receiver, and at the port what was for nobody."""
        total = self._past.copy()
        for connection in self._connections:
            total.update(connection.counters)
        total["foreign_ssrc"] = self._port.table.foreign
        total["kernel_drops"] += self._port.kernel_drops()
        return total

    def take_connection(self, connection: TcpMediaConnection) -> None:
        """A connection has shown that it is ours."""
        self._connections.append(connection)
        if self._owner.contact_at is None:
            self._owner.contact_at = asyncio.get_running_loop().time()
        connection.on_batch, connection.on_rtcp = self._owner.take, self._owner.take_rtcp
        connection.on_lost = partial(self._on_lost, connection)

    def close(self) -> None:
        """Leave the port."""
        self._past = self.counters()
        connections, self._connections = self._connections, []
        for connection in connections:
            connection.close()
        self._port.leave(self._owner)

    def _on_lost(self, connection: TcpMediaConnection, cause: BaseException | None) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._past.update(connection.counters)
            self._owner.lost_source(connection.remote, cause)


def _nothing(_: SharedPort) -> None:
    """Said already."""
