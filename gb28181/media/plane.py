"""MediaPlane: where media ends are opened; LocalMediaPlane: in this process."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from rtp.transport import Address, MediaNetwork
from sip.transport import is_literal

from .ends import MediaReceiver, Relaying, RelaySink
from .inputs import ReceiverInputs
from .ports import MediaPorts
from .receiver import Receiver
from .relay import MediaSink as MediaSink
from .relay import Relay
from .shared import SharedPort

MODES = ("udp", "tcp-passive", "tcp-active")
"""How a media end meets its peer: a UDP socket, listening, or connecting."""

RESOLVE_TIMEOUT = 4.0
"""Seconds that the name of a peer of UDP media may take to be looked up."""
_SAID_FOR = 60.0
_TAKEN = {errno.EADDRINUSE, errno.EACCES}

_End = TypeVar("_End", Receiver, MediaSink, SharedPort)

logger = logging.getLogger("gb28181.media")


class MediaPlane(Protocol):
    """Opens the media ends of sessions. The seam for worker processes and media servers."""

    async def open_receiver(self, mode: str, *, host: str, shared: bool = False) -> MediaReceiver:
        """Open the end that an offer names, before the offer is sent."""

    async def open_sink(self, mode: str, *, host: str, remote: Address | None = None) -> MediaSink:
        """Open the end that a sender of this process writes to."""

    async def open_relay_sink(
        self, receiver: MediaReceiver, mode: str, *, host: str, remote: Address | None = None
    ) -> RelaySink:
        """Open the end that a relay of this receiver writes to, where the receiver is."""

    def relay(
        self,
        receiver: MediaReceiver,
        sink: RelaySink,
        *,
        ssrc: int,
        payload_type: int | None = 96,
        timestamp: int | None = None,
    ) -> Relaying:
        """Forward the receiver's packets to a sink that ``open_relay_sink`` opened for it."""

    async def close(self) -> None:
        """End everything that was opened."""

    def counts(self) -> dict[str, int]:
        """Say what is open: nothing, once every session has ended."""


class LocalMediaPlane:
    """Media ends in this process, on its own range of ports.

    Args:
        network: The real or the simulated network. It stays open when the plane is closed.
        ports: The range; each end takes an even port, and the odd one above for RTCP.
        quarantine: Seconds that a port rests after use.
        tick: The gather tick of a real network, for reference; the network is made with it.
        silence: Seconds without RTP after which a receiver ends.
        keep_group: Whether receivers keep the current group for relays and readers that come
            late: up to 4 MiB a stream of packets, and as much of units while somebody reads them.
    """

    def __init__(
        self,
        network: MediaNetwork,
        *,
        ports: range,
        quarantine: float = 5.0,
        tick: float = 0.005,
        silence: float = 30.0,
        keep_group: bool = True,
    ) -> None:
        self.tick = tick
        self._network = network
        self._ports = MediaPorts(ports, quarantine=quarantine)
        self._silence = silence
        self._keep_group = keep_group
        self._receivers: set[Receiver] = set()
        self._sinks: set[MediaSink] = set()
        self._common: dict[tuple[str, str], SharedPort] = {}
        self._usual: dict[tuple[str, str], int] = {}  # where firewalls let the shared one through
        self._opening = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._second: asyncio.TimerHandle | None = None
        self._drops: Counter[Address] = Counter()  # not said yet, by port
        self._said_until = 0.0

    async def open_receiver(self, mode: str, *, host: str, shared: bool = False) -> Receiver:
        """Open the end that an offer names: bound, or listening, when this returns.

        A ``tcp-active`` one only takes a port number for the offer and connects later.

        Args:
            mode: One of ``MODES``.
            host: The local address to bind; ``0.0.0.0`` for all.
            shared: Whether to share one port of this mode with all others that do so: streams
                are told apart by SSRC, then by source. ``tcp-active`` needs no port and takes
                no notice.

        Raises:
            PortsExhausted: No port is left.
            OSError: The address is not ours.
            ValueError: No such mode.
        """

        async def attempt(port: int) -> Receiver:
            receiver = self._receiver(mode, (host, port), None)
            await receiver.open(self._network)
            return receiver

        if shared and mode != "tcp-active":
            common = await self._common_port(mode, host)
            receiver = self._receiver(mode, common.local, common.join)
            await receiver.open(self._network)
        else:
            receiver = await self._open(mode, attempt)
        self._receivers.add(receiver)
        if self._second is None:
            self._second = self._loop.call_later(1.0, self._each_second)
        return receiver

    async def open_sink(self, mode: str, *, host: str, remote: Address | None = None) -> MediaSink:
        """Open the end that a sender or a relay writes to; ``start`` lets it send or connect.

        Args:
            mode: One of ``MODES``.
            host: The local address to bind; ``0.0.0.0`` for all.
            remote: The peer, when it is known already; ``start`` may name it later.

        Raises:
            PortsExhausted: No port is left.
            OSError: The address is not ours, or the peer's name is not known.
            ValueError: No such mode.
        """
        if remote is not None and mode == "udp":
            remote = await self._resolved(remote, host)

        async def attempt(port: int) -> MediaSink:
            sink = MediaSink(mode=mode, local=(host, port), on_closed=self._forget_sink)
            sink.remote = remote
            await sink.open(self._network)
            return sink

        sink = await self._open(mode, attempt)
        self._sinks.add(sink)
        return sink

    async def open_relay_sink(
        self, receiver: MediaReceiver, mode: str, *, host: str, remote: Address | None = None
    ) -> MediaSink:
        """Open the end that a relay writes to: any sink of this process."""
        return await self.open_sink(mode, host=host, remote=remote)

    def relay(
        self,
        receiver: MediaReceiver,
        sink: RelaySink,
        *,
        ssrc: int,
        payload_type: int | None = 96,
        timestamp: int | None = None,
    ) -> Relay:
        """Forward the receiver's packets to a sink, both of this process; see ``Relay``."""
        assert isinstance(receiver, Receiver), "a receiver of another plane"
        assert isinstance(sink, MediaSink), "a sink of another plane"
        return Relay(
            receiver.batches, sink, ssrc=ssrc, payload_type=payload_type, timestamp=timestamp
        )

    async def close(self) -> None:
        """End every receiver and sink. The network stays with its owner."""
        for receiver in tuple(self._receivers):
            receiver.close()
        for sink in tuple(self._sinks):
            sink.close()
        if self._second is not None:
            self._second.cancel()
            self._second = None
        await asyncio.sleep(0)  # cancelled connection attempts and closed transports end

    def counts(self) -> dict[str, int]:
        """Say what is open and how many ports are leased or rest."""
        return {
            "receivers": len(self._receivers),
            "sinks": len(self._sinks),
            "leased_ports": self._ports.leased,
            "quarantined_ports": self._ports.quarantined(self._loop.time()),
        }

    async def _resolved(self, remote: Address, local: str) -> Address:
        """Return the peer with an address in place of a name, which each send would look up."""
        if is_literal(remote[0]):
            return remote
        family = socket.AF_INET6 if ":" in local else socket.AF_INET
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await self._loop.getaddrinfo(remote[0], remote[1], family=family)
        except (TimeoutError, UnicodeError) as exc:
            raise OSError(f"the media's peer {remote[0]} is not known") from exc
        host, port = found[0][4][:2]
        return str(host), int(port)

    async def _open(
        self, mode: str, attempt: Callable[[int], Awaitable[_End]], *, usual: int | None = None
    ) -> _End:
        if mode not in MODES:
            raise ValueError(f"media mode {mode!r} is none of {', '.join(MODES)}")
        while True:
            port = self._ports.lease(self._loop.time(), usual=usual)
            usual = None  # once: somebody else may hold it
            try:
                return await attempt(port)
            except OSError as error:
                if error.errno not in _TAKEN:
                    self._ports.release(port, self._loop.time())
                    raise
                logger.warning("media port %d is held by somebody else", port)
                self._ports.refuse(port, self._loop.time())
            except BaseException:
                self._ports.release(port, self._loop.time())
                raise

    def _receiver(
        self,
        mode: str,
        local: Address,
        inputs: Callable[[Receiver], ReceiverInputs] | None,
    ) -> Receiver:
        return Receiver(
            mode=mode,
            local=local,
            silence=self._silence,
            keep_group=self._keep_group,
            on_closed=self._forget_receiver,
            inputs=inputs,
        )

    async def _common_port(self, mode: str, host: str) -> SharedPort:
        """Return the port that all shared receivers of this mode have."""

        async def attempt(port: int) -> SharedPort:
            common = SharedPort(mode=mode, local=(host, port), on_empty=self._forget_common)
            await common.open(self._network)
            return common

        async with self._opening:  # two at once would open two
            common = self._common.get((mode, host))
            if common is None:
                usual = self._usual.get((mode, host))
                common = await self._open(mode, attempt, usual=usual)
                self._common[mode, host] = common
                self._usual[mode, host] = common.local[1]
        return common

    def _forget_common(self, common: SharedPort) -> None:
        if self._common.pop((common.mode, common.local[0]), None) is not None:
            self._ports.release(common.local[1], self._loop.time())

    def _each_second(self) -> None:
        """Look at what only the kernel knows, as long as there is a receiver."""
        self._second = None
        self.look_at_drops()
        if self._receivers:
            self._second = self._loop.call_later(1.0, self._each_second)

    def look_at_drops(self) -> None:
        """Say when the kernel drops datagrams: for all ports together, and once a minute."""
        for receiver in self._receivers:
            drops = receiver.new_drops()
            if drops:
                self._drops[receiver.local] += drops
        now = self._loop.time()
        if self._drops and now >= self._said_until:
            self._said_until = now + _SAID_FOR
            (where, most), *_ = self._drops.most_common(1)
            logger.warning(
                "the kernel drops packets: %d of %d ports, most for %s:%d with %d; this process is "
                "too slow or net.core.rmem_max too small", self._drops.total(), len(self._drops),
                *where, most,
            )  # fmt: skip
            self._drops.clear()

    def _forget_receiver(self, receiver: Receiver) -> None:
        if receiver in self._receivers:
            self._receivers.remove(receiver)
            if not receiver.is_shared:
                self._ports.release(receiver.local[1], self._loop.time())

    def _forget_sink(self, sink: MediaSink) -> None:
        if sink in self._sinks:
            self._sinks.remove(sink)
            self._ports.release(sink.local[1], self._loop.time())
