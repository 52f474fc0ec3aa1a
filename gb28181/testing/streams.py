"""TCP of a simulated host: transports with windows, retransmission and resets, and servers."""

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sip.flow import Address

from .sockets import SocketStandIn

_WINDOW = 65536
_LARGEST_READ = 262144
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 120.0
_GIVE_UP = 924.6  # what Linux' tcp_retries2 of 15 comes to

Data = bytes | bytearray | memoryview


class Carrier(Protocol):
    """The network, as one end of a connection sees it."""

    def is_open(self) -> bool:
        """Tell whether packets reach the other host now."""
        ...

    def segment_size(self) -> int:
        """Return how many bytes the next segment may carry."""
        ...

    def carry(self, kind: str, data: bytes, arrive: Callable[[], None]) -> bool:
        """Bring a segment to the other host, after those before it; false when it got lost."""
        ...

    def note(self, kind: str, data: bytes) -> None:
        """Count a segment that does not get through."""
        ...


@dataclass(slots=True, kw_only=True)
class _Segment:
    number: int
    kind: str  # "ack" ends the handshake, "tcp" has data, "fin" is the end
    data: bytes = b""


class SimulatedStreamTransport(asyncio.Transport):
    """One end of a connection; the two ends know each other, the carrier stands between.

    What is written goes out as far as the window of the peer allows; the rest waits in the write
    buffer. While the hosts cannot reach each other, segments are sent again at growing intervals,
    and after about 15 minutes the connection is lost with ``TimeoutError``.
    """

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        local: Address,
        remote: Address,
        *,
        carrier: Carrier,
        forget: Callable[["SimulatedStreamTransport"], None],
        is_server: bool,
    ) -> None:
        socket = SocketStandIn(local, remote)
        super().__init__({"sockname": local, "peername": remote, "socket": socket})
        self.local = local
        self.remote = remote
        self.peer: SimulatedStreamTransport | None = None
        self._protocol = protocol
        self._carrier = carrier
        self._forget = forget
        self._unsent = bytearray()
        self._in_flight = 0
        self._stalled: deque[_Segment] = deque()
        self._stall_pause = 0.0
        self._stalled_since = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._next_number = 0
        self._accept: Callable[[], SimulatedStreamTransport | None] = _nobody
        self._received = bytearray()
        self._expected = 0 if is_server else 1
        self._early: dict[int, _Segment] = {}
        self._has_received_end = False
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._is_end_asked = False
        self._is_end_sent = False
        self._is_closing = False
        self._is_lost = False
        self._is_dead = False
        self._low, self._high = _WINDOW // 4, _WINDOW

    def open(self, accept: Callable[[], "SimulatedStreamTransport | None"]) -> None:
        """Tell the server that the handshake is complete; it accepts when that arrives."""
        self._accept = accept
        self._send(_Segment(number=0, kind="ack"))

    # -- writing

    def write(self, data: Data) -> None:
        """Send data, or keep it until there is room."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        if self._is_end_asked:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_closing or self._is_lost:
            return
        self._unsent += data
        self._pump()
        if len(self._unsent) > self._high and not self._is_writing_paused:
            self._is_writing_paused = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Data]) -> None:
        """Send several pieces as one."""
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Close the sending direction once everything written has gone."""
        if self._is_closing or self._is_end_asked:
            return
        self._is_end_asked = True
        self._pump()

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return the bytes that wait for room in the peer's window."""
        return len(self._unsent)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol is told to resume and to pause writing."""
        if high is None:
            high = 4 * low if low is not None else _WINDOW
        low = high // 4 if low is None else low
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._low, self._high = low, high

    # -- reading

    def pause_reading(self) -> None:
        """Deliver nothing more; the peer can send until the window is full."""
        self._is_reading_paused = True

    def resume_reading(self) -> None:
        """Deliver what has come in the meantime, and go on."""
        if self._is_closing or not self._is_reading_paused:
            return
        self._is_reading_paused = False
        asyncio.get_running_loop().call_soon(self._deliver)

    def is_reading(self) -> bool:
        """Tell whether data are delivered."""
        return not self._is_closing and not self._is_reading_paused

    # -- ending

    def close(self) -> None:
        """Send what is buffered, then the end; ``connection_lost(None)`` follows."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._is_dead:
            self._lose(None)
        else:
            self._pump()

    def abort(self) -> None:
        """Drop what is buffered and close at once."""
        self._unsent.clear()
        if self._is_closing:
            if not self._is_lost:
                self._lose(None)
        elif self._received and not self._is_dead:
            self.reset_peer()  # what Linux does when a socket is closed with data unread
            self._lose(None)
        else:
            self.close()

    def is_closing(self) -> bool:
        """Tell whether it was closed or lost."""
        return self._is_closing

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in use."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what arrives to another protocol."""
        self._protocol = protocol

    def die(self) -> None:
        """Hear and say nothing from now on: the process is gone."""
        self._is_dead = True
        self._unsent.clear()
        self._stalled.clear()
        self._received.clear()
        self._stop_retrying()
        self._forget(self)

    def reset_peer(self) -> None:
        """Send a reset; it is not repeated when it gets lost."""
        peer = self.peer
        if peer is not None and self._carrier.is_open():
            self._carrier.carry("rst", b"", peer.reset)

    def reset(self) -> None:
        """Take a reset from the peer."""
        if not self._is_lost and not self._is_dead:
            self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"))

    def describe(self) -> str:
        """Say what it is, for the list of leaks."""
        return f"tcp {self.local[0]}:{self.local[1]} connected to {self.remote[0]}:{self.remote[1]}"

    # -- the way out

    def _pump(self) -> None:
        while self._unsent and self._in_flight < _WINDOW and not self._is_lost:
            size = min(self._carrier.segment_size(), _WINDOW - self._in_flight)
            data = bytes(self._unsent[:size])
            del self._unsent[:size]
            self._in_flight += len(data)
            self._send_new("tcp", data)
        if self._is_writing_paused and len(self._unsent) <= self._low:
            self._is_writing_paused = False
            self._protocol.resume_writing()
        if self._unsent or self._is_lost:
            return
        if self._is_closing or self._is_end_asked:
            self._send_end()
        if self._is_closing:
            self._lose(None)

    def _send_end(self) -> None:
        if not self._is_end_sent:
            self._is_end_sent = True
            self._send_new("fin")

    def _send_new(self, kind: str, data: bytes = b"") -> None:
        self._next_number += 1
        self._send(_Segment(number=self._next_number, kind=kind, data=data))

    def _send(self, segment: _Segment) -> None:
        carrier, arrive = self._carrier, partial(self._arrived, segment)
        if not (carrier.is_open() and carrier.carry(segment.kind, segment.data, arrive)):
            self._stall(segment)

    def _arrived(self, segment: _Segment) -> None:
        """The segment is at the other host, if that can still be reached."""
        if not self._carrier.is_open() or (self.peer is None and segment.kind != "ack"):
            if not self._is_dead:
                self._stall(segment)
            return
        if self.peer is None:
            self.peer = self._accept()
        if self.peer is not None:
            self.peer.take(segment)
        else:
            self.reset()

    def _stall(self, segment: _Segment) -> None:
        self._carrier.note(segment.kind, segment.data)
        self._stalled.append(segment)
        if self._retry is None:
            loop = asyncio.get_running_loop()
            self._stall_pause = _FIRST_PAUSE
            self._stalled_since = loop.time()
            self._retry = loop.call_later(self._stall_pause, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        loop = asyncio.get_running_loop()
        if self._carrier.is_open():
            waiting, self._stalled = self._stalled, deque()
            for segment in waiting:
                self._send(segment)
        elif loop.time() - self._stalled_since >= _GIVE_UP:
            self._stalled.clear()
            if not self._is_lost:
                self._lose(TimeoutError(errno.ETIMEDOUT, "Connection timed out"))
        else:
            self._stall_pause = min(self._stall_pause * 2, _LONGEST_PAUSE)
            self._retry = loop.call_later(self._stall_pause, self._try_again)

    def _stop_retrying(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def acknowledge(self, size: int) -> None:
        """The peer's protocol has taken so many bytes; the window opens."""
        self._in_flight -= size
        if not self._is_dead:
            self._pump()

    # -- the way in

    def take(self, segment: _Segment) -> None:
        """Take a segment from the network; one that overtook others waits for them."""
        if self._is_closing or self._is_dead:
            if segment.data:
                self.reset_peer()  # nobody reads here any more
            return
        self._early[segment.number] = segment
        while (following := self._early.pop(self._expected, None)) is not None:
            self._expected += 1
            self._received += following.data
            if following.kind == "fin":
                self._has_received_end = True
        self._deliver()

    def _deliver(self) -> None:
        while self._received and self._can_deliver():
            chunk = bytes(self._received[:_LARGEST_READ])
            del self._received[: len(chunk)]
            if not self._give(chunk):
                return
            if self.peer is not None:
                self.peer.acknowledge(len(chunk))
        if self._has_received_end and not self._received and self._can_deliver():
            self._has_received_end = False
            self._give_end()

    def _can_deliver(self) -> bool:
        return not (self._is_reading_paused or self._is_closing or self._is_dead)

    def _give(self, chunk: bytes) -> bool:
        """Hand data to the protocol; an error in it ends the connection, as in asyncio."""
        try:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                _fill(self._protocol, chunk)
            else:
                assert isinstance(self._protocol, asyncio.Protocol)
                self._protocol.data_received(chunk)
        except Exception as error:  # noqa: BLE001 - a fault of the protocol ends its connection
            self._fail(error, "Fatal error: protocol.data_received() call failed.")
            return False
        return True

    def _give_end(self) -> None:
        assert isinstance(self._protocol, asyncio.Protocol | asyncio.BufferedProtocol)
        try:
            keep_open = self._protocol.eof_received()
        except Exception as error:  # noqa: BLE001 - a fault of the protocol ends its connection
            self._fail(error, "Fatal error: protocol.eof_received() call failed.")
            return
        if not keep_open:
            self.close()

    def _fail(self, error: Exception, message: str) -> None:
        context: dict[str, Any] = {
            "message": message,
            "exception": error,
            "transport": self,
            "protocol": self._protocol,
        }
        asyncio.get_running_loop().call_exception_handler(context)
        self.reset_peer()
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        self._is_closing = self._is_lost = True
        self._unsent.clear()
        if error is not None:
            self._stalled.clear()
            self._stop_retrying()
        self._forget(self)
        lost = partial(self._protocol.connection_lost, error)
        asyncio.get_running_loop().call_soon(lost)


def _nobody() -> None:
    """Accept nothing: the end of the server never sends what ends a handshake."""


def _fill(protocol: asyncio.BufferedProtocol, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        buffer = memoryview(protocol.get_buffer(len(view)))
        if not len(buffer):
            raise RuntimeError("get_buffer() returned an empty buffer")
        size = min(len(buffer), len(view))
        buffer[:size] = view[:size]
        protocol.buffer_updated(size)
        view = view[size:]


class SimulatedServer(asyncio.AbstractServer):
    """A listening port of a simulated host."""

    def __init__(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        local: Address,
        *,
        forget: Callable[["SimulatedServer"], None],
    ) -> None:
        self.local = local
        self.protocol_factory = protocol_factory
        self._forget = forget
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._closed = self._loop.create_future()

    @property
    def sockets(self) -> tuple[SocketStandIn, ...]:
        """The listening socket; empty once closed."""
        return (SocketStandIn(self.local),) if self._is_open else ()

    def close(self) -> None:
        """Free the port; connections that exist go on."""
        if not self._is_open:
            return
        self._is_open = False
        self._forget(self)
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        """Return once it is closed."""
        await asyncio.shield(self._closed)

    def is_serving(self) -> bool:
        """Tell whether connections are accepted."""
        return self._is_open

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop it was made in."""
        return self._loop

    async def start_serving(self) -> None:
        """Do nothing: it serves from the start."""

    async def serve_forever(self) -> None:
        """Wait until it is closed."""
        await self.wait_closed()

    def die(self) -> None:
        """The process is gone, and the port with it."""
        self.close()

    def describe(self) -> str:
        """Say what it is, for the list of leaks."""
        return f"tcp {self.local[0]}:{self.local[1]} listening"
