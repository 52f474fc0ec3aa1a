"""The UDP media socket of a simulated host."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable

from rtp.batch import PacketBatch
from rtp.transport import OnBatch, OnRtcp
from sip.flow import Address

from .datagrams import LARGEST_DATAGRAM

logger = logging.getLogger("gb28181.testing")

_PACKETS_A_TURN = 46


class SimulatedMediaSocket:
    """Does what ``rtp.transport.UdpMediaSocket`` does, over the network that made it.

    What arrives is handed out at once, then the socket rests for ``tick`` seconds and hands out
    what has gathered, at most 46 packets a batch and one batch for each run of one source.
    """

    def __init__(
        self,
        local: Address,
        on_batch: OnBatch,
        *,
        tick: float,
        receive_buffer: int,
        send: Callable[[Address, Address, bytes], None],
        forget: Callable[["SimulatedMediaSocket"], None],
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.on_error: Callable[[BaseException], None] | None = None
        self.on_rtcp: OnRtcp | None = None
        self._local = local
        self._on_batch = on_batch
        self._tick = tick
        self._room = receive_buffer
        self._send = send
        self._forget = forget
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._rest: asyncio.Handle | None = None
        self._kernel_drops = 0
        self._is_closed = False
        self._is_dead = False

    @property
    def local(self) -> Address:
        """Where it is bound."""
        return self._local

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by the owner or after an error."""
        return self._is_closed

    def send(self, data: bytes, remote: Address) -> bool:
        """Send one datagram; false when it was dropped and counted."""
        if self._is_closed or len(data) > LARGEST_DATAGRAM:
            self.counters["send_errors"] += 1
            return False
        self.counters["sent"] += 1
        if not self._is_dead:
            self._send(self._local, remote, bytes(data))
        return True

    def send_batch(self, batch: PacketBatch, remote: Address) -> int:
        """Send every packet; return how many were taken."""
        return sum(self.send(bytes(packet), remote) for packet in batch.packets())

    def kernel_drops(self) -> int:
        """Datagrams for which the receive buffer had no room."""
        return self._kernel_drops

    def close(self) -> None:
        """Close it; no callback comes afterwards."""
        if self._is_closed:
            return
        self._is_closed = True
        self._quieten()
        self._forget(self)

    def receive(self, data: bytes, source: Address) -> None:
        """Take a datagram that arrived at this port."""
        if self._is_closed or self._is_dead:
            return
        if len(data) > self._room:
            self._kernel_drops += 1
            return
        self._room -= len(data)
        self._waiting.append((data, source))
        if self._rest is None:
            self._rest = asyncio.get_running_loop().call_soon(self._turn)

    def die(self) -> None:
        """The process that had it is gone: hear and say nothing from now on."""
        self._is_dead = True
        self._quieten()
        self._forget(self)

    def describe(self) -> str:
        """Say what it is, for the list of leaks."""
        return f"udp media {self._local[0]}:{self._local[1]} open"

    def _quieten(self) -> None:
        self._waiting.clear()
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    def _turn(self) -> None:
        self._rest = None
        try:
            self._hand_out_waiting()
        except Exception as error:
            on_error = self.on_error
            self.close()
            if on_error is None:
                logger.exception("media socket %s:%d closed", *self._local, exc_info=error)
            else:
                on_error(error)
        if self._is_closed or self._is_dead:
            return
        loop = asyncio.get_running_loop()
        if self._waiting:
            self._rest = loop.call_soon(self._turn)
        elif self._tick:
            self._rest = loop.call_later(self._tick, self._wake)

    def _wake(self) -> None:
        self._rest = None
        if self._waiting:
            self._turn()

    def _hand_out_waiting(self) -> None:
        data, bounds = bytearray(), list[tuple[int, int]]()
        source: Address | None = None
        for _ in range(min(_PACKETS_A_TURN, len(self._waiting))):
            if not self._waiting:  # closed by a callback
                return
            packet, sender = self._waiting.popleft()
            self._room += len(packet)
            if len(packet) < 12 or packet[0] >> 6 != 2 or 200 <= packet[1] <= 204:
                self._take_other(packet, sender)
                continue
            if source is not None and sender != source:
                self._hand_out(data, bounds, source)
                data, bounds = bytearray(), []
            source = sender
            bounds.append((len(data), len(packet)))
            data += packet
        if source is not None:
            self._hand_out(data, bounds, source)

    def _hand_out(self, data: bytearray, bounds: list[tuple[int, int]], source: Address) -> None:
        if self._is_closed:  # by the callback of the batch before
            return
        self.counters["packets"] += len(bounds)
        self.counters["bytes"] += len(data)
        now = asyncio.get_running_loop().time()
        self._on_batch(PacketBatch(data, bounds, now), source)

    def _take_other(self, data: bytes, sender: Address) -> None:
        if len(data) >= 8 and data[0] >> 6 == 2 and 200 <= data[1] <= 204:
            self.counters["rtcp"] += 1
            if self.on_rtcp is not None:
                self.on_rtcp(data, sender)
        else:
            self.counters["garbage"] += 1
