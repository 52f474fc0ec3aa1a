"""HabitualNetwork: the sockets of one simulated device, bent by its habits and faults."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rtp.batch import PacketBatch
from rtp.transport import RECEIVE_BUFFER, MediaSocket, OnBatch, SocketNetwork

from .faults import Faults
from .media import FrameBend, MediaBend
from .signalling import Bent, Piece, Signalling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rtp.transport import Address

    from ..habits import Habits
    from ..station import RoleNetwork

_OVERLAP = 1.0
"""Seconds after which the connection of the message before is closed."""


class SystemNetwork:
    """The operating system's sockets, as a role wants them."""

    def __init__(self) -> None:
        self._media: SocketNetwork | None = None

    async def create_datagram_endpoint(self, *given: Any, **named: Any) -> tuple[Any, Any]:
        """Open a UDP socket, as the loop does."""
        return await asyncio.get_running_loop().create_datagram_endpoint(*given, **named)

    async def create_server(self, *given: Any, **named: Any) -> Any:
        """Listen, as the loop does."""
        return await asyncio.get_running_loop().create_server(*given, **named)

    async def create_connection(self, *given: Any, **named: Any) -> tuple[Any, Any]:
        """Connect, as the loop does."""
        return await asyncio.get_running_loop().create_connection(*given, **named)

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> MediaSocket:
        """Open a UDP media socket.

        Raises:
            OSError: The address cannot be bound.
        """
        if self._media is None:
            self._media = SocketNetwork()
        return self._media.open_udp(local, on_batch, receive_buffer=receive_buffer)

    def address_towards(self, remote: str) -> str:
        """The local address that packets to ``remote`` leave by."""
        family = socket.AF_INET6 if ":" in remote else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))
            return str(probe.getsockname()[0])

    def close(self) -> None:
        """Close the media sockets."""
        if self._media is not None:
            self._media.close()
            self._media = None


class HabitualNetwork:
    """A device's network: the inner one, with what is sent and heard bent on the way.

    Everything a device does passes here as bytes, so no role knows of habits.
    """

    def __init__(
        self,
        inner: RoleNetwork | None,
        habits: Habits,
        *,
        faults: Faults | None = None,
        seed: int = 0,
    ) -> None:
        """Bend what passes.

        Args:
            inner: Opens the sockets; a network of its own, the system's, when None.
            habits: How the family behaves.
            faults: What befalls this device.
            seed: Decides what is lost, repeated and late.
        """
        self.habits = habits
        self.faults = faults or Faults()
        self.signalling = Signalling(
            habits, clock_offset=self.faults.clock, keeps_register=self.faults.flood > 0.0
        )
        self.is_silent = False
        """Dead without a word: nothing comes in or goes out."""
        self.random = random.Random(seed)
        self._own = SystemNetwork() if inner is None else None
        self._inner: RoleNetwork = inner or self._own  # type: ignore[assignment]  # one is there
        self._seed = seed
        self._sockets: list[_Datagrams] = []

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Any = None,
        remote_addr: Any = None,
        **kw: Any,
    ) -> tuple[Any, Any]:
        """Open the UDP socket for SIP."""
        if local_addr is not None and self.faults.address:
            local_addr = (self.faults.address, local_addr[1])
        bent = _Datagrams(self, protocol_factory())
        await bent.open(local_addr)
        self._sockets.append(bent)
        return bent, bent.protocol

    async def create_server(
        self, protocol_factory: Callable[[], Any], host: Any, port: Any, **kw: Any
    ) -> Any:
        """Listen for TCP."""
        return await self._inner.create_server(
            lambda: _Stream(self, protocol_factory()), host, port, **kw
        )

    async def create_connection(
        self, protocol_factory: Callable[[], Any], host: Any, port: Any, **kw: Any
    ) -> tuple[Any, Any]:
        """Connect over TCP."""
        protocol = protocol_factory()
        await self._inner.create_connection(
            lambda: _Stream(self, protocol, (host, port)), host, port, **kw
        )
        return None, protocol

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> MediaSocket:
        """Open a UDP socket for media."""
        inner = self._inner.open_udp(local, on_batch, receive_buffer=receive_buffer)
        return _Media(self, inner, self.media_bend())

    def address_towards(self, remote: str) -> str:
        """The local address that packets to ``remote`` leave by."""
        return self.faults.address or self._inner.address_towards(remote)

    def close(self) -> None:
        """Close the media sockets of its own network; another's are its owner's."""
        if self._own is not None:
            self._own.close()

    def media_bend(self) -> MediaBend:
        """The bending of one more stream."""
        self._seed += 1
        return MediaBend(self.habits, loss=self.faults.loss, seed=self._seed)

    async def rebind(self) -> None:
        """Go on from other ports, as behind an address translator that forgot; nobody is told."""
        for bent in self._sockets:
            await bent.rebind()

    async def move(self, address: str) -> None:
        """Go on from another address.

        Raises:
            OSError: It is not ours.
        """
        self.faults.address = address
        await self.rebind()

    async def open_inner(self, protocol: Any, local: Any) -> Any:
        """Open a socket of the inner network; return its transport."""
        transport, _ = await self._inner.create_datagram_endpoint(
            lambda: protocol, local_addr=local
        )
        return transport

    async def connect_inner(self, protocol: Any, remote: Any) -> Any:
        """Open a connection of the inner network; return its transport."""
        transport, _ = await self._inner.create_connection(lambda: protocol, *remote)
        return transport

    def delays(self) -> list[float]:
        """Draw the fate of one datagram: none when lost, one delay, two when repeated."""
        faults, draw = self.faults, self.random.random
        if self.is_silent or (faults.loss and draw() < faults.loss):
            return []
        copies = 2 if faults.duplicate and draw() < faults.duplicate else 1
        return [draw() * faults.delay if faults.delay else 0.0 for _ in range(copies)]

    def forget(self, bent: _Datagrams) -> None:
        """A socket was closed."""
        if bent in self._sockets:
            self._sockets.remove(bent)


class _Datagrams(asyncio.DatagramProtocol):
    """Stands between the endpoint's protocol and its socket."""

    def __init__(self, network: HabitualNetwork, protocol: Any) -> None:
        self.protocol = protocol
        self._network = network
        self._transport: Any = None
        self._sockname: Any = None
        self._remote: Any = None
        self._is_closing = False
        self._timers: set[asyncio.TimerHandle] = set()
        self._clock: list[asyncio.TimerHandle] = []
        self._moving: asyncio.Task[None] | None = None

    async def open(self, local: Any) -> None:
        self._transport = await self._network.open_inner(self, local)
        self._sockname = self._transport.get_extra_info("sockname")
        self.protocol.connection_made(self)
        habits = self._network.habits
        self._repeat(habits.noise_every or self._network.faults.noise, self._make_noise)
        flood = max(habits.register_flood, self._network.faults.flood)
        self._repeat(1 / flood if flood else 0.0, self._flood)
        self._repeat(habits.options_every, self._probe)
        self._repeat(habits.rebinds_every or self._network.faults.rebind, self._rebind_later)

    async def rebind(self) -> None:
        if self._is_closing:
            return
        old, local = self._transport, self._sockname
        host = self._network.faults.address or local[0]
        self._transport = await self._network.open_inner(self, (host, 0))
        old.abort()

    def _rebind_later(self) -> None:
        self._moving = asyncio.ensure_future(self.rebind())

    def _repeat(self, every: float, act: Callable[[], None]) -> None:
        if not every:
            return
        loop = asyncio.get_running_loop()

        def turn() -> None:
            self._clock[place] = loop.call_later(every, turn)
            act()

        place = len(self._clock)
        self._clock.append(loop.call_later(every, turn))

    def _make_noise(self) -> None:
        if self._remote is not None:
            self._write(self._network.signalling.noise(), self._remote)

    def _flood(self) -> None:
        data = self._network.signalling.surplus_register()
        if data is not None and self._remote is not None:
            self._write(data, self._remote)

    def _probe(self) -> None:
        data = self._network.signalling.probe()
        if data is not None and self._remote is not None:
            self._write(data, self._remote)

    # As the endpoint's transport

    def sendto(self, data: bytes, addr: Any = None) -> None:
        self._remote = addr
        self._carry(self._network.signalling.outgoing(bytes(data)), addr)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sockname":
            return self._sockname
        return self._transport.get_extra_info(name, default)

    def get_write_buffer_size(self) -> int:
        size: int = self._transport.get_write_buffer_size()
        return size

    def is_closing(self) -> bool:
        return self._is_closing

    def abort(self) -> None:
        self.close()

    def close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        for timer in (*self._timers, *self._clock):
            timer.cancel()
        if self._moving is not None:
            self._moving.cancel()
        self._network.forget(self)
        self._transport.abort()
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    # As the socket's protocol

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self._is_closing and not self._network.is_silent:
            self._carry(self._network.signalling.incoming(bytes(data)), addr)

    def error_received(self, exc: Exception) -> None:
        self.protocol.error_received(exc)

    # Between

    def _carry(self, bent: Bent, addr: Any) -> None:
        loop = asyncio.get_running_loop()
        for data in bent.heard:
            loop.call_soon(self._hear, data, addr)
        for piece in bent.sent:
            for delay in self._network.delays():
                self._write_later(piece.delay + delay, piece.data, addr)

    def _hear(self, data: bytes, addr: Any) -> None:
        if not self._is_closing:
            self.protocol.datagram_received(data, addr)

    def _write_later(self, delay: float, data: bytes, addr: Any) -> None:
        if not delay:
            self._write(data, addr)
            return

        def write() -> None:
            self._timers.discard(timer)
            self._write(data, addr)

        timer = asyncio.get_running_loop().call_later(delay, write)
        self._timers.add(timer)

    def _write(self, data: bytes, addr: Any) -> None:
        if not self._is_closing and not self._network.is_silent:
            self._transport.sendto(data, addr)


class _Media:
    """A media socket whose packets are bent."""

    def __init__(self, network: HabitualNetwork, inner: MediaSocket, bend: MediaBend) -> None:
        self._network = network
        self._inner = inner
        self._bend = bend
        self.counters = inner.counters

    @property
    def on_error(self) -> Any:
        return self._inner.on_error

    @on_error.setter
    def on_error(self, callback: Any) -> None:
        self._inner.on_error = callback

    @property
    def on_rtcp(self) -> Any:
        return self._inner.on_rtcp

    @on_rtcp.setter
    def on_rtcp(self, callback: Any) -> None:
        self._inner.on_rtcp = callback

    @property
    def local(self) -> Address:
        return self._inner.local

    def send(self, data: bytes, remote: Address) -> bool:
        if self._network.is_silent:
            return True
        sent = [self._inner.send(one, remote) for one in self._bend.packet(bytes(data))]
        return all(sent)

    def send_batch(self, batch: PacketBatch, remote: Address) -> int:
        return sum(self.send(bytes(packet), remote) for packet in batch.packets())

    def kernel_drops(self) -> int:
        return self._inner.kernel_drops()

    def close(self) -> None:
        self._inner.close()


class _Stream(asyncio.Protocol):
    """Stands between a protocol and its TCP connection."""

    def __init__(self, network: HabitualNetwork, protocol: Any, remote: Any = None) -> None:
        self._network = network
        self._protocol = protocol
        self._remote = remote
        self._transport: Any = None
        self._media: MediaBend | None = None
        self._frames = FrameBend(network.habits)
        self._other: Any = None
        self._others: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    # As the connection's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._protocol.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._network.is_silent:
            return
        bent = self._network.signalling.incoming(data) if data[:1].isalpha() else None
        if bent is None:
            self._protocol.data_received(data)
            return
        self._carry(bent)

    def eof_received(self) -> bool | None:
        answer: bool | None = self._protocol.eof_received()
        return answer

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # As the protocol's transport; what is not bent is the connection's own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: Any) -> None:
        data = bytes(data)
        if self._network.is_silent:
            return
        if data[:1].isalpha() or data[:2] == b"\r\n":
            self._carry(self._network.signalling.outgoing(data))
            return
        if self._media is None:
            self._media = self._network.media_bend()
        for packet in _frames_of(data):
            for one in self._media.packet(packet):
                self._transport.write(self._frames.frame(one))

    def close(self) -> None:
        self._end()
        self._transport.close()

    def abort(self) -> None:
        self._end()
        self._transport.abort()

    def _end(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for task in self._others:
            task.cancel()
        if self._other is not None:
            self._other.close()

    def _carry(self, bent: Bent) -> None:
        loop = asyncio.get_running_loop()
        for data in bent.heard:
            loop.call_soon(self._protocol.data_received, data)
        for piece in bent.sent:
            if piece.delay:
                self._write_later(piece)
            elif piece.own_connection and self._remote is not None:
                task = asyncio.ensure_future(self._write_elsewhere(piece.data))
                self._others.add(task)
                task.add_done_callback(self._others.discard)
            else:
                self._transport.write(piece.data)

    def _write_later(self, piece: Piece) -> None:
        def write() -> None:
            self._timers.discard(timer)
            if not self._transport.is_closing():
                self._transport.write(piece.data)

        timer = asyncio.get_running_loop().call_later(piece.delay, write)
        self._timers.add(timer)

    async def _write_elsewhere(self, data: bytes) -> None:
        """Send through a connection of its own; the answer is heard as if it came here."""
        try:
            transport = await self._network.connect_inner(_Heard(self._protocol), self._remote)
        except OSError:
            return
        transport.write(data)
        await asyncio.sleep(_OVERLAP)
        before, self._other = self._other, transport
        if before is not None:
            before.close()


class _Heard(asyncio.Protocol):
    """The far end of a connection for one message."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)


def _frames_of(data: bytes) -> Iterable[bytes]:
    place = 0
    while place + 2 <= len(data):
        size = int.from_bytes(data[place : place + 2])
        yield data[place + 2 : place + 2 + size]
        place += 2 + size
