"""A router that translates addresses, as it stands before many cameras."""

from dataclasses import dataclass, field

from sip.flow import Address

_FIRST_PORT = 20000


class Nat:
    """Maps private addresses to ports of one public address.

    One mapping per inside address and port, whatever the destination; what comes from a host that
    nothing was sent to is dropped, and so is what comes after `rebind` or after ``lifetime``
    seconds without traffic.

    Attributes:
        public: The address that the world outside sees.
    """

    def __init__(self, public: str, *, lifetime: float | None = None) -> None:
        self.public = public
        self.generation = 0
        self._lifetime = lifetime
        self._next_port = _FIRST_PORT
        self._by_inside: dict[tuple[str, Address], _Mapping] = {}
        self._by_port: dict[tuple[str, int], _Mapping] = {}

    def rebind(self) -> None:
        """Forget every mapping, as after a restart: the next packets come from other ports.

        TCP connections through it are dead from now on, and nobody is told.
        """
        self.generation += 1
        self._by_inside.clear()
        self._by_port.clear()

    def outward(self, kind: str, inside: Address, remote: str, now: float) -> Address:
        """Translate the source of a packet on its way out; return the public one."""
        mapping = self._by_inside.get((kind, inside))
        if mapping is None or self._is_stale(mapping, now):
            mapping = _Mapping(inside=inside, port=self._next_port)
            self._next_port += 1
            self._by_inside[kind, inside] = mapping
            self._by_port[kind, mapping.port] = mapping
        mapping.used = now
        mapping.contacted.add(remote)
        return self.public, mapping.port

    def inward(self, kind: str, port: int, remote: str, now: float) -> Address | None:
        """Translate the destination of a packet on its way in; None when it is dropped."""
        mapping = self._by_port.get((kind, port))
        if mapping is None or self._is_stale(mapping, now) or remote not in mapping.contacted:
            return None
        mapping.used = now
        return mapping.inside

    def _is_stale(self, mapping: "_Mapping", now: float) -> bool:
        return self._lifetime is not None and now - mapping.used > self._lifetime


@dataclass(slots=True, kw_only=True)
class _Mapping:
    inside: Address
    port: int
    used: float = 0.0
    contacted: set[str] = field(default_factory=set)
