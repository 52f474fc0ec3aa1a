"""A network of simulated hosts in one event loop: routing, faults, and what is left open."""

import asyncio
import dataclasses
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from sip.flow import Address

from .host import SimulatedHost
from .link import Conditions, Path, Traced, Wire
from .nat import Nat
from .sockets import LOOPBACKS

_LOOPBACK = Conditions(latency=0.0)


class Filter(Protocol):
    """Decides about a packet before it leaves: true lets it pass."""

    def __call__(self, packet: Traced, /) -> bool:
        """Judge one packet."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """Where a packet goes."""

    target: SimulatedHost
    destination: Address
    """As the target has it, after translation."""
    source: Address
    """As the target sees it."""
    path: Path
    nat: Nat | None
    """The translator between the two, of the source or else of the target."""


class SimulatedNetwork:
    """Joins simulated hosts; stands on the running event loop, with or without a virtual clock.

    The same seed, the same calls: the same packets are lost, repeated and late.

    Attributes:
        counters: Packets by fate: ``sent``, ``lost``, ``duplicated``, ``no port`` and the others
            of `Traced.fate`.
        trace: The last packets, oldest first.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        conditions: Conditions = Conditions(),  # noqa: B008 - frozen
        tick: float = 0.005,
        trace: int = 10_000,
    ) -> None:
        """Make an empty network.

        Args:
            seed: Decides every random draw.
            conditions: Of every link that nothing else is said of.
            tick: The gather tick of media sockets, as in ``rtp.transport``; 0 switches it off.
            trace: How many packets `trace` keeps.
        """
        self.counters: Counter[str] = Counter()
        self.trace: deque[Traced] = deque(maxlen=trace)
        self.wire = Wire()
        self.tick = tick
        self._seed = seed
        self._conditions = conditions
        self._hosts: dict[str, SimulatedHost] = {}
        self._names: dict[str, SimulatedHost] = {}
        self._nats: dict[str, Nat] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        self._cuts: set[frozenset[str]] = set()
        self._filters: list[Filter] = []

    # -- building

    def host(self, address: str, *, name: str | None = None) -> SimulatedHost:
        """Return the host with this address; it is made when first asked for.

        Args:
            address: An IPv4 or IPv6 address, without brackets.
            name: A host name under which others may reach it, too.
        """
        if address in self._nats:
            raise ValueError(f"{address} is the public address of a translator")
        host = self._hosts.get(address)
        if host is None:
            host = self._hosts[address] = SimulatedHost(self, address)
        if name is not None:
            self._names[name] = host
        return host

    def link(
        self,
        first: SimulatedHost | str,
        second: SimulatedHost | str,
        *,
        one_way: bool = False,
        **changes: Any,
    ) -> None:
        """Change the conditions between two hosts, in both directions or from first to second.

        Args:
            first: A host or its address.
            second: Another.
            one_way: Leave the way back as it is.
            **changes: Fields of `Conditions`; what is not named stays as it is.
        """
        one, other = self._known(first), self._known(second)
        for path in [self.path(one, other)] + ([] if one_way else [self.path(other, one)]):
            path.conditions = dataclasses.replace(path.conditions, **changes)

    def nat(self, *hosts: SimulatedHost | str, public: str, lifetime: float | None = None) -> Nat:
        """Put hosts behind one address translator; from outside they are seen by it only.

        Args:
            *hosts: The private side.
            public: The address the world sees.
            lifetime: Seconds without traffic after which a mapping is forgotten; None for never.
        """
        if public in self._hosts:
            raise ValueError(f"{public} is the address of a host")
        nat = self._nats.setdefault(public, Nat(public, lifetime=lifetime))
        for host in hosts:
            self._known(host).nat = nat
        return nat

    # -- faults

    def partition(self, first: SimulatedHost | str, second: SimulatedHost | str) -> None:
        """Cut two hosts from each other; nobody is told."""
        self._cuts.add(frozenset((self._known(first).name, self._known(second).name)))

    def heal(
        self,
        first: SimulatedHost | str | None = None,
        second: SimulatedHost | str | None = None,
    ) -> None:
        """Undo a partition; without hosts, every one."""
        if first is None or second is None:
            self._cuts.clear()
        else:
            self._cuts.discard(frozenset((self._known(first).name, self._known(second).name)))

    def filter(self, judge: Filter) -> Callable[[], None]:
        """Show every packet to a function first, and drop it when that returns false.

        Returns:
            A function that takes the filter away.
        """
        self._filters.append(judge)
        return partial(self._filters.remove, judge)

    # -- looking

    def leaks(self) -> list[str]:
        """Say what is still open, host by host; an empty list is what a test wants to see."""
        return [
            f"{host.address}: {bound.describe()}"
            for host in self._hosts.values()
            for bound in host.bound()
        ]

    def resolve(self, name: str) -> SimulatedHost | Nat | None:
        """Return what stands at this address or host name."""
        return self._hosts.get(name) or self._names.get(name) or self._nats.get(name)

    # -- between hosts and the network

    def path(self, source: SimulatedHost, target: SimulatedHost) -> Path:
        """Return one direction of the link between two hosts."""
        key = source.name, target.name
        path = self._paths.get(key)
        if path is None:
            conditions = _LOOPBACK if source is target else self._conditions
            path = self._paths[key] = Path(self._seed, *key, conditions)
        return path

    def obstacle(self, source: SimulatedHost, target: SimulatedHost) -> str | None:
        """Say why packets do not pass between two hosts; None when they do."""
        if source is target:
            return None
        if source.has_vanished or target.has_vanished:
            return "vanished"
        return "partition" if frozenset((source.name, target.name)) in self._cuts else None

    def route(
        self, kind: str, source: SimulatedHost, local: Address, remote: Address
    ) -> Route | str:
        """Find the way of a packet, through translators; a word says why there is none."""
        now = asyncio.get_running_loop().time()
        if remote[0] in LOOPBACKS:
            inside = (remote[0], local[1])
            return Route(source, remote, inside, self.path(source, source), None)
        origin = (source.source_address(local[0]), local[1])
        found = self.resolve(remote[0])
        if found is None or origin[0] is None:
            return "no host"
        seen: Address = (origin[0], origin[1])
        if isinstance(found, Nat):
            if source.nat is not None:
                seen = source.nat.outward(kind, seen, remote[0], now)
            inner = found.inward(kind, remote[1], seen[0], now)
            target = self._hosts.get(inner[0]) if inner is not None else None
            if inner is None or target is None:
                return "nat"
            return Route(target, inner, seen, self.path(source, target), source.nat or found)
        destination = (found.address, remote[1])
        if source.nat is found.nat or found is source:
            return Route(found, destination, seen, self.path(source, found), None)
        if found.nat is not None:
            return "no host"  # a private address means nothing outside
        assert source.nat is not None
        seen = source.nat.outward(kind, seen, remote[0], now)
        return Route(found, destination, seen, self.path(source, found), source.nat)

    def send_datagram(
        self, source: SimulatedHost, local: Address, remote: Address, data: bytes
    ) -> None:
        """Send a datagram, or drop and count it."""
        route = self.route("udp", source, local, remote)
        if isinstance(route, str):
            self.note("udp", (source.address, local[1]), remote, data, route)
            return
        fate = self.obstacle(source, route.target)
        delays = route.path.datagram_delays() if fate is None else []
        if fate is None:
            fate = "sent" if delays else "lost"
        if not self.note("udp", route.source, remote, data, fate):
            return
        self.counters["duplicated"] += len(delays) - 1
        now = asyncio.get_running_loop().time()
        for delay in delays:
            self.wire.arrive_at(now + delay, partial(self._arrive, source, route, data))

    def note(
        self, kind: str, source: Address, destination: Address, data: bytes, fate: str
    ) -> bool:
        """Record a packet; return whether it goes on its way."""
        now = asyncio.get_running_loop().time()
        packet = Traced(
            time=now, source=source, destination=destination, kind=kind, data=data, fate=fate
        )
        if fate == "sent" and not all(judge(packet) for judge in self._filters):
            packet = dataclasses.replace(packet, fate="filtered")
        self.counters[packet.fate] += 1
        self.trace.append(packet)
        return packet.fate == "sent"

    def changed_address(self, host: SimulatedHost, before: str) -> None:
        """Know a host by its new address from now on."""
        if self._hosts.get(host.address) is not None or host.address in self._nats:
            raise ValueError(f"{host.address} is taken")
        del self._hosts[before]
        self._hosts[host.address] = host

    def _arrive(self, source: SimulatedHost, route: Route, data: bytes) -> None:
        fate = self.obstacle(source, route.target)
        if fate is None:
            fate = route.target.take_datagram(route.destination, data, route.source)
        if fate is not None:
            self.note("udp", route.source, route.destination, data, fate)

    def _known(self, host: SimulatedHost | str) -> SimulatedHost:
        if isinstance(host, SimulatedHost):
            return host
        found = self.resolve(host)
        if not isinstance(found, SimulatedHost):
            raise ValueError(f"no host {host}")
        return found
