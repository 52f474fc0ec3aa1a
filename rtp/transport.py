"""Media sockets: UDP without asyncio's transports, and framed TCP."""

from __future__ import annotations

import asyncio
import errno
import logging
import select
import socket
import struct
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from .batch import PacketBatch
from .errors import FramingLost
from .framing import Deframer

logger = logging.getLogger("gb28181.rtp")

Address = tuple[str, int]
OnBatch = Callable[[PacketBatch, Address], None]
OnRtcp = Callable[[bytes, Address], None]

RECEIVE_BUFFER = 4 * 1024 * 1024
WRITE_LIMIT = 4 * 1024 * 1024
_PACKETS_A_TURN = 46  # what one UDP_SEGMENT send can carry at 1412 bytes
_LARGEST_DATAGRAM = 65_536
_UDP_SEGMENT = 103  # linux/udp.h
_SO_MEMINFO = 55  # asm-generic/socket.h
_MEMINFO_DROPS = 8  # linux/sock_diag.h: SK_MEMINFO_DROPS
_SEGMENT_SIZE = struct.Struct("=H")
_REFUSED_SEGMENT = {errno.EINVAL, errno.EIO, errno.ENOPROTOOPT, errno.EMSGSIZE, errno.EOPNOTSUPP}
_FULL = {errno.EAGAIN, errno.ENOBUFS}


class MediaSocket(Protocol):
    """A UDP socket for media, real or simulated."""

    counters: Counter[str]
    on_error: Callable[[BaseException], None] | None
    on_rtcp: OnRtcp | None

    @property
    def local(self) -> Address:
        """Where it is bound."""
        ...

    def send(self, data: bytes, remote: Address) -> bool:
        """Send one datagram; false when it was dropped."""
        ...

    def send_batch(self, batch: PacketBatch, remote: Address) -> int:
        """Send every packet; return how many were taken."""
        ...

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped for want of buffer."""
        ...

    def close(self) -> None:
        """Close it; no callback comes afterwards."""
        ...


class MediaNetwork(Protocol):
    """What media needs of a network: the loop's two TCP calls and UDP media sockets."""

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **kw: Any
    ) -> Any:
        """Listen, as ``loop.create_server``."""
        ...

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
        **kw: Any,
    ) -> tuple[Any, Any]:
        """Connect, as ``loop.create_connection``."""
        ...

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> MediaSocket:
        """Open a UDP media socket.

        Raises:
            OSError: The address cannot be bound.
        """
        ...


class UdpMediaSocket:
    """One UDP socket of a ``UdpMediaPoller``.

    Counters: ``packets``, ``bytes``, ``garbage``, ``rtcp`` in; ``sent``, ``dropped``,
    ``send_errors`` out.
    """

    def __init__(self, poller: UdpMediaPoller, sock: socket.socket, on_batch: OnBatch) -> None:
        self.counters: Counter[str] = Counter()
        self.on_error: Callable[[BaseException], None] | None = None
        self.on_rtcp: OnRtcp | None = None
        self._poller = poller
        self._socket = sock
        self._on_batch = on_batch
        self._can_segment = True
        name = sock.getsockname()
        self._local = (str(name[0]), int(name[1]))

    @property
    def local(self) -> Address:
        """Where it is bound."""
        return self._local

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by the owner or after an error."""
        return self._socket.fileno() < 0

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._socket.fileno()

    def send(self, data: bytes, remote: Address) -> bool:
        """Send one datagram; false when it was dropped and counted."""
        try:
            self._socket.sendto(data, remote)
        except OSError as exc:
            self._count_unsent(exc, 1)
            return False
        self.counters["sent"] += 1
        return True

    def send_batch(self, batch: PacketBatch, remote: Address) -> int:
        """Send every packet, runs of one size in one call; return how many the kernel took.

        What a full socket refuses is dropped and counted: media does not wait.
        """
        view, bounds, taken = memoryview(batch.data), batch.bounds, 0
        for first, number, size, contiguous in batch.segments():
            run = bounds[first : first + number]
            if number == 1 or not self._can_segment:
                taken += self._send_each(view, run, remote)
                continue
            if contiguous:
                end = run[-1][0] + run[-1][1]
                pieces = [view[run[0][0] : end]]
            else:
                pieces = [view[offset : offset + length] for offset, length in run]
            ancillary = [(socket.IPPROTO_UDP, _UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]
            try:
                self._socket.sendmsg(pieces, ancillary, 0, remote)
            except OSError as exc:
                if exc.errno not in _REFUSED_SEGMENT:
                    self._count_unsent(exc, number)
                    continue
                # An old kernel, a device without checksum offload, or a smaller MTU.
                self._can_segment = False
                taken += self._send_each(view, run, remote)
            else:
                taken += number
                self.counters["sent"] += number
        return taken

    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped on this socket since it was opened."""
        if self.is_closed:
            return 0
        raw = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
        return int(struct.unpack_from("=I", raw, 4 * _MEMINFO_DROPS)[0])

    def close(self) -> None:
        """Close it; no callback comes afterwards."""
        if not self.is_closed:
            self._poller.forget(self)
            self._socket.close()

    def drain(self, buffer: memoryview, now: float) -> bool:
        """Read until dry; return whether there may be more.

        Called by the poller. Every exception of a callback ends this socket only.
        """
        try:
            return self._drain(buffer, now)
        except Exception as exc:
            on_error = self.on_error
            self.close()
            if on_error is not None:
                on_error(exc)
            else:
                logger.exception("media socket %s:%d closed", *self._local, exc_info=exc)
            return False

    def _drain(self, buffer: memoryview, now: float) -> bool:
        receive = self._socket.recvfrom_into
        bounds: list[tuple[int, int]] = []
        source: Address | None = None
        start = place = 0
        for _ in range(_PACKETS_A_TURN):
            try:
                size, sender = receive(buffer[place:])
            except BlockingIOError:
                break
            except ConnectionError:  # an ICMP error of something sent before
                continue
            if size < 12 or buffer[place] >> 6 != 2 or 200 <= buffer[place + 1] <= 204:
                self._take_other(bytes(buffer[place : place + size]), sender)
                if self.is_closed:
                    return False
                continue
            if sender != source:
                if source is not None:
                    self._hand_out(buffer[start:place], bounds, source, now)
                    if self.is_closed:  # by that callback
                        return False
                    bounds, start = [], place
                source = sender
            bounds.append((place - start, size))
            place += size
            if place >= _LARGEST_DATAGRAM:
                break
        else:
            self._finish(buffer[start:place], bounds, source, now)
            return not self.is_closed
        self._finish(buffer[start:place], bounds, source, now)
        return place >= _LARGEST_DATAGRAM and not self.is_closed

    def _finish(
        self, data: memoryview, bounds: list[tuple[int, int]], source: Address | None, now: float
    ) -> None:
        if source is not None and bounds:
            self._hand_out(data, bounds, source, now)

    def _hand_out(
        self, data: memoryview, bounds: list[tuple[int, int]], source: Address, now: float
    ) -> None:
        if self.is_closed:  # by the callback of the batch before
            return
        self.counters["packets"] += len(bounds)
        self.counters["bytes"] += len(data)
        self._on_batch(PacketBatch(bytearray(data), bounds, now), source[:2])

    def _take_other(self, data: bytes, sender: Address) -> None:
        """Count what is not RTP; hand RTCP on."""
        if len(data) >= 8 and data[0] >> 6 == 2 and 200 <= data[1] <= 204:
            self.counters["rtcp"] += 1
            if self.on_rtcp is not None:
                self.on_rtcp(data, sender[:2])
        else:
            self.counters["garbage"] += 1

    def _send_each(self, view: memoryview, run: list[tuple[int, int]], remote: Address) -> int:
        send, taken = self._socket.sendto, 0
        for offset, length in run:
            try:
                send(view[offset : offset + length], remote)
            except OSError as exc:
                self._count_unsent(exc, 1)
            else:
                taken += 1
        self.counters["sent"] += taken
        return taken

    def _count_unsent(self, error: OSError, packets: int) -> None:
        if error.errno in _FULL:
            self.counters["dropped"] += packets
        else:
            self.counters["send_errors"] += packets


class UdpMediaPoller:
    """Reads all UDP media sockets of a process: one epoll object, watched by the loop.

    With a gather tick the epoll object leaves the loop for ``tick`` seconds after each turn, so
    that packets spread over a frame interval are read together: half the cost, for at most that
    much latency. 0 switches it off.
    """

    def __init__(
        self, *, tick: float = 0.005, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._tick = tick
        self._loop = loop or asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._sockets: dict[int, UdpMediaSocket] = {}
        self._buffer = memoryview(bytearray(2 * _LARGEST_DATAGRAM))
        self._pause: asyncio.TimerHandle | None = None
        self._has_warned = False
        self._loop.add_reader(self._epoll.fileno(), self._turn)

    def __len__(self) -> int:
        return len(self._sockets)

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> UdpMediaSocket:
        """Open a socket whose packets go to ``on_batch``, once for each run of one source.

        Raises:
            OSError: The address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self._check_granted(sock, receive_buffer)
            sock.bind(local)
            media = UdpMediaSocket(self, sock, on_batch)
            self._epoll.register(sock.fileno(), select.EPOLLIN)
        except BaseException:
            sock.close()
            raise
        self._sockets[sock.fileno()] = media
        return media

    def forget(self, media: UdpMediaSocket) -> None:
        """Stop watching a socket that is about to close."""
        if self._sockets.pop(media.fileno(), None) is not None:
            self._epoll.unregister(media.fileno())

    def close(self) -> None:
        """Close every socket."""
        if self._epoll.closed:
            return
        for media in list(self._sockets.values()):
            media.close()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _check_granted(self, sock: socket.socket, wanted: int) -> None:
        # The kernel doubles what it grants, for its own accounting.
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        if granted < wanted and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "receive buffer of %d bytes granted, %d wanted: raise net.core.rmem_max",
                granted,
                wanted,
            )

    def _turn(self) -> None:
        now, sockets, has_more = self._loop.time(), self._sockets, False
        for descriptor, _ in self._epoll.poll(0, max(1, len(sockets))):
            media = sockets.get(descriptor)
            if media is not None and media.drain(self._buffer, now):
                has_more = True
        if self._tick and not has_more and not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._pause = self._loop.call_later(self._tick, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._epoll.fileno(), self._turn)


class TcpMediaConnection(asyncio.Protocol):
    """RTP packets over one TCP connection, both ways.

    Set ``on_batch``, ``on_rtcp`` and ``on_lost`` before the first byte comes: in the callback of
    ``listen_tcp``, or at once after ``connect_tcp``. Counters: ``packets``, ``bytes``,
    ``garbage``, ``rtcp``, ``resyncs`` in; ``sent``, ``dropped`` out.

    Source: RFC 4571.
    """

    def __init__(
        self,
        on_connection: Callable[[TcpMediaConnection], None] | None = None,
        *,
        write_limit: int = WRITE_LIMIT,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.on_batch: OnBatch | None = None
        self.on_rtcp: OnRtcp | None = None
        self.on_lost: Callable[[BaseException | None], None] | None = None
        self.local: Address = ("", 0)
        self.remote: Address = ("", 0)
        self._on_connection = on_connection
        self._write_limit = write_limit
        self._transport: Any = None
        self._deframer = Deframer()
        self._loop = asyncio.get_running_loop()
        self._cause: BaseException | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it is closed or closing."""
        return self._is_closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport (called by asyncio)."""
        self._transport = transport
        if hasattr(transport, "max_size"):
            # asyncio allocates this much for every read.
            transport.max_size = _LARGEST_DATAGRAM
        self.local = _address(transport.get_extra_info("sockname"))
        self.remote = _address(transport.get_extra_info("peername"))
        if self._on_connection is not None:
            self._guarded(partial(self._on_connection, self))

    def data_received(self, data: bytes) -> None:
        """Cut the bytes into packets and hand them on (called by asyncio)."""
        if not self._is_closed:
            self._guarded(partial(self._take, data))

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so to the owner (called by asyncio)."""
        self._is_closed = True
        on_lost, self.on_lost, self.on_batch = self.on_lost, None, None
        if on_lost is not None:
            on_lost(self._cause or exc)

    def send(self, packet: bytes) -> bool:
        """Send one packet; false when the write buffer is full or the connection is gone."""
        return self._write(len(packet).to_bytes(2, "big") + packet, 1)

    def send_batch(self, batch: PacketBatch) -> bool:
        """Send every packet in one write; false, and all dropped, when the buffer is full."""
        return self._write(batch.to_frames(), len(batch))

    def pause_reading(self) -> None:
        """Let the peer wait: backpressure for playback."""
        if not self._is_closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self._is_closed:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close it; what is in the write buffer is still sent. ``on_lost`` comes later."""
        self._is_closed = True
        self.on_batch = None
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close it at once and drop what is in the write buffer."""
        self._is_closed = True
        self.on_batch = None
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes, packets: int) -> bool:
        transport = self._transport
        if self._is_closed or transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(data) > self._write_limit:
            self.counters["dropped"] += packets
            return False
        transport.write(data)
        self.counters["sent"] += packets
        return True

    def _take(self, data: bytes) -> None:
        counters = self.counters
        counters["bytes"] += len(data)
        buffer, bounds = self._deframer.cut(data)
        counters["resyncs"] = self._deframer.resyncs
        kept = []
        for offset, length in bounds:
            if 200 <= buffer[offset + 1] <= 204:
                counters["rtcp"] += 1
                if self.on_rtcp is not None:
                    self.on_rtcp(bytes(buffer[offset : offset + length]), self.remote)
            elif length < 12:
                counters["garbage"] += 1
            else:
                kept.append((offset, length))
        counters["packets"] += len(kept)
        if kept and self.on_batch is not None:
            self.on_batch(PacketBatch(buffer, kept, self._loop.time()), self.remote)

    def _guarded(self, call: Callable[[], None]) -> None:
        """Run a callback; what it raises ends this connection and reaches ``on_lost``."""
        try:
            call()
        except FramingLost as exc:
            self._cause = exc
            self.abort()
        except Exception as exc:
            logger.exception("media connection from %s:%d closed", *self.remote)
            self._cause = exc
            self.abort()


async def listen_tcp(
    network: MediaNetwork,
    local: Address,
    on_connection: Callable[[TcpMediaConnection], None],
    *,
    write_limit: int = WRITE_LIMIT,
) -> Any:
    """Listen for framed media; return the server object of the network.

    Raises:
        OSError: The address cannot be bound.
    """
    return await network.create_server(
        lambda: TcpMediaConnection(on_connection, write_limit=write_limit), *local
    )


async def connect_tcp(
    network: MediaNetwork,
    remote: Address,
    *,
    local: Address | None = None,
    attempts: int = 4,
    pause: float = 1.0,
    on_connection: Callable[[TcpMediaConnection], None] | None = None,
    write_limit: int = WRITE_LIMIT,
) -> TcpMediaConnection:
    """Connect for framed media, trying again ``pause`` seconds after each failure.

    Raises:
        OSError: The last attempt failed too.

    Source: GB/T 28181-2022 Annex D: at least one second apart, at least three more tries.
    """
    while True:
        attempts -= 1
        try:
            _, connection = await network.create_connection(
                lambda: TcpMediaConnection(on_connection, write_limit=write_limit),
                *remote,
                local_addr=local,
            )
        except OSError:
            if attempts <= 0:
                raise
            await asyncio.sleep(pause)
        else:
            assert isinstance(connection, TcpMediaConnection)
            return connection


class SocketNetwork:
    """The real network: the running loop, and a poller for UDP media."""

    def __init__(
        self, *, tick: float = 0.005, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self.poller = UdpMediaPoller(tick=tick, loop=self._loop)

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int, **kw: Any
    ) -> asyncio.Server:
        """Listen, as ``loop.create_server``."""
        return await self._loop.create_server(protocol_factory, host, port, **kw)

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        local_addr: Address | None = None,
        **kw: Any,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Connect, as ``loop.create_connection``."""
        return await self._loop.create_connection(
            protocol_factory, host, port, local_addr=local_addr, **kw
        )

    def open_udp(
        self, local: Address, on_batch: OnBatch, *, receive_buffer: int = RECEIVE_BUFFER
    ) -> UdpMediaSocket:
        """Open a UDP media socket.

        Raises:
            OSError: The address cannot be bound.
        """
        return self.poller.open_udp(local, on_batch, receive_buffer=receive_buffer)

    def close(self) -> None:
        """Close the poller and its sockets; TCP belongs to its owners."""
        self.poller.close()


def open_network(loop: asyncio.AbstractEventLoop | None = None) -> SocketNetwork:
    """Return the real network on ``loop``, by default the running one."""
    return SocketNetwork(loop=loop)


def _address(name: Any) -> Address:
    return (str(name[0]), int(name[1])) if name else ("", 0)
