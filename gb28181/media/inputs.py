"""Inputs: where the packets of a receiver come from."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import Any, Protocol

from rtp.batch import PacketBatch
from rtp.transport import (
    Address,
    MediaNetwork,
    MediaSocket,
    TcpMediaConnection,
    connect_tcp,
    listen_tcp,
)

from ..errors import MediaTimeout

_MOST_CONNECTIONS = 4
"""Connections held at once on a passive port; the camera's may not be the first."""


class InputsOwner(Protocol):
    """What inputs know of their receiver."""

    mode: str
    local: Address
    is_closed: bool
    contact_at: float | None

    def take(self, batch: PacketBatch, source: Address) -> None:
        """Take what one turn read."""

    def take_rtcp(self, data: bytes, source: Address) -> None:
        """Take RTCP packets."""

    def lost_source(self, remote: Address, cause: BaseException | None) -> None:
        """A TCP connection has ended."""

    def close(self, cause: BaseException | None = None) -> None:
        """End the receiver."""


class ReceiverInputs(Protocol):
    """What a receiver needs of its inputs."""

    is_paused: bool

    @property
    def last_foreign(self) -> str:
        """The last packet at this port that was nobody's, in words."""

    @property
    def is_connected(self) -> bool:
        """Whether packets could arrive."""

    async def open(self, network: MediaNetwork) -> None:
        """Bind, or listen."""

    async def connect(self, remote: Address) -> None:
        """Connect to the sender."""

    def expect(self, ssrc: int | None, host: str | None) -> None:
        """Say what tells the packets of this receiver from others."""

    def send_rtcp(self, data: bytes, source: Address) -> None:
        """Report to a sender."""

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped."""

    def set_paused(self, paused: bool) -> None:
        """Let the sender wait, or go on."""

    def counters(self) -> Counter[str]:
        """What the sockets have counted."""

    def close(self) -> None:
        """Close everything."""


class Inputs:
    """The sockets of one receiver: two UDP sockets, or TCP connections."""

    last_foreign = ""

    def __init__(self, owner: InputsOwner) -> None:
        self.is_paused = False
        self._owner = owner
        self._network: MediaNetwork | None = None
        self._rtp: MediaSocket | None = None
        self._rtcp: MediaSocket | None = None
        self._muxed: Address | None = None
        self._server: Any = None
        self._connections: list[TcpMediaConnection] = []
        self._past: Counter[str] = Counter()

    @property
    def is_connected(self) -> bool:
        """Whether packets could arrive."""
        return self._rtp is not None or bool(self._connections)

    async def open(self, network: MediaNetwork) -> None:
        """Bind, or listen."""
        owner = self._owner
        self._network = network
        if owner.mode == "udp":
            host, port = owner.local
            self._rtp = network.open_udp(owner.local, owner.take)
            try:
                self._rtcp = network.open_udp(
                    (host, port + 1), lambda _batch, _source: None, receive_buffer=65536
                )
            except OSError:
                self._rtp.close()
                raise
            self._rtp.on_error = self._rtcp.on_error = owner.close
            self._rtp.on_rtcp, self._rtcp.on_rtcp = self._take_muxed, owner.take_rtcp
        elif owner.mode == "tcp-passive":
            self._server = await listen_tcp(network, owner.local, self._on_connection)

    async def connect(self, remote: Address) -> None:
        """Connect to the sender."""
        if self._network is None or self._owner.mode != "tcp-active":
            raise ValueError("only an open receiver in the mode tcp-active connects")
        try:
            await connect_tcp(self._network, remote, on_connection=self._on_connection)
        except OSError as error:
            host, port = remote
            raise MediaTimeout(f"no TCP media connection to {host}:{port}: {error}") from error

    def expect(self, ssrc: int | None, host: str | None) -> None:
        """Nothing to do: what comes to these sockets is for this receiver."""

    def send_rtcp(self, data: bytes, source: Address) -> None:
        """Report to a sender: to the port above its own, or between the frames of its TCP.

        One that sends its own reports from where its media comes hears ours there, too: behind an
        address translation the port above is somebody else's (RFC 5761).
        """
        if self._rtcp is not None:
            self._rtcp.send(data, (source[0], source[1] + 1))
        if self._rtp is not None and self._muxed == source:
            self._rtp.send(data, source)
        for connection in self._connections:
            if connection.remote == source:
                connection.send(data)

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped."""
        return 0 if self._rtp is None else self._rtp.kernel_drops()

    def set_paused(self, paused: bool) -> None:
        """Let the sender wait, or go on."""
        self.is_paused = paused
        for connection in self._connections:
            if paused:
                connection.pause_reading()
            else:
                connection.resume_reading()

    def counters(self) -> Counter[str]:
        """What the sockets have counted."""
        total = self._past.copy()
        for connection in self._connections:
            total.update(connection.counters)
        if self._rtp is not None:
            total.update(self._rtp.counters)
            total["kernel_drops"] += self._rtp.kernel_drops()
        return total

    def close(self) -> None:
        """Close everything."""
        self._past = self.counters()
        for end in (self._rtp, self._rtcp, self._server, *self._connections):
            if end is not None:
                end.close()
        self._rtp = self._rtcp = self._server = None
        self._connections.clear()

    def _take_muxed(self, data: bytes, source: Address) -> None:
        self._muxed = source
        self._owner.take_rtcp(data, source)

    def _on_connection(self, connection: TcpMediaConnection) -> None:
        if self._owner.is_closed or len(self._connections) >= _MOST_CONNECTIONS:
            connection.close()
            return
        self._connections.append(connection)
        if self._owner.contact_at is None:
            self._owner.contact_at = asyncio.get_running_loop().time()
        connection.on_batch = self._owner.take
        connection.on_rtcp = self._owner.take_rtcp
        connection.on_lost = partial(self._on_lost, connection)

    def _on_lost(self, connection: TcpMediaConnection, cause: BaseException | None) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._past.update(connection.counters)
            self._owner.lost_source(connection.remote, cause)
