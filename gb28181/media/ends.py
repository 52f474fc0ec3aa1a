"""What the roles need of media ends, wherever these live: in this process or in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from rtp.access_unit import AccessUnit
    from rtp.batch import PacketBatch
    from rtp.transport import Address

    from .receiver import ReceiverStatistics
    from .relay import RelayStatistics, SinkStatistics
    from .stream import Overflow, Reader

T = TypeVar("T")


class Taps(Protocol[T]):
    """What a receiver publishes."""

    def attach(
        self,
        callback: Callable[[T], None],
        *,
        on_end: Callable[[BaseException | None], None] | None = None,
    ) -> Callable[[], None]:
        """Call ``callback`` with items from now on; return what detaches it."""

    def group(self) -> list[T]:
        """Return the items of the current group; empty when it is not known here."""


class Units(Taps["AccessUnit"], Protocol):
    """Access units: for readers, too."""

    def reader(self, *, size: int = ..., overflow: Overflow = ...) -> Reader[AccessUnit]:
        """Open a reader; it first gets the current group, as far as that is cached."""


class MediaReceiver(Protocol):
    """One incoming stream; ``Receiver`` says more of each."""

    mode: str
    local: Address
    is_closed: bool
    closed: asyncio.Future[None]

    @property
    def contact_at(self) -> float | None:
        """When the first packet came, let in or not, or the first connection stood."""

    @property
    def may_jump(self) -> bool:
        """Whether time stamps may jump back."""

    @may_jump.setter
    def may_jump(self, value: bool) -> None: ...

    @property
    def statistics(self) -> ReceiverStatistics:
        """The counters, as far as they are known here."""

    @property
    def units(self) -> Units:
        """Access units, made only while somebody takes them."""

    @property
    def batches(self) -> Taps[PacketBatch]:
        """Packets as they came; of a worker's receiver a glimpse of them now and then."""

    async def heads(self) -> list[PacketBatch]:
        """Return the packets of the current group, of those of a worker the fixed headers only."""

    def expect(self, *, ssrc: int | None, host: str | None, adopt: bool = True) -> None:
        """Say what the answer promised; from now on silence ends the stream."""

    async def connect(self, remote: Address) -> None:
        """Connect to the sender (``tcp-active``)."""

    async def first_packet(self, timeout: float) -> None:
        """Wait for the first packet that is let in."""

    async def first_key(self, timeout: float) -> None:
        """Wait for the first key frame."""

    def pause_watch(self, paused: bool) -> None:
        """Suspend the watch for silence."""

    def close(self, cause: BaseException | None = None) -> None:
        """End it. Idempotent."""


class RelaySink(Protocol):
    """The outgoing end of a relay; ``MediaSink`` says more of each."""

    mode: str
    local: Address
    remote: Address | None
    ready: asyncio.Future[None]
    closed: asyncio.Future[None]
    is_closed: bool

    @property
    def statistics(self) -> SinkStatistics:
        """The counters, as far as they are known here."""

    def start(self, remote: Address | None = None) -> asyncio.Future[None]:
        """Say where the packets go; over ``tcp-active`` connect there in the background."""

    def close(self, cause: BaseException | None = None) -> None:
        """Close sockets and connections and give the port back. Idempotent."""


class Relaying(Protocol):
    """What forwards a receiver's packets to a sink; ``Relay`` says more of each."""

    closed: asyncio.Future[None]
    is_closed: bool

    @property
    def statistics(self) -> RelayStatistics:
        """The counters, as far as they are known here."""

    def outgoing(self, sequence_number: int, timestamp: int) -> tuple[int, int]:
        """Return what the numbers of a packet of the source become here, as things stand."""

    def close(self, cause: BaseException | None = None) -> None:
        """Stop forwarding. The sink stays as it is. Idempotent."""
