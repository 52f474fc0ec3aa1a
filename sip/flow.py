"""Where a message came from and where its answer goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

Address = tuple[str, int]


@dataclass(slots=True, init=False, eq=False)
class Flow:
    """A transport with its two ends; for TCP and TLS one connection, for UDP a pair of sockets.

    Each message makes one and looks it up several times, hence the constructor and the hash.
    """

    transport: Final[str]
    """``udp``, ``tcp`` or ``tls``."""
    local: Final[Address]
    """Our end. IPv6 hosts without brackets."""
    remote: Final[Address]
    """The peer's end, as its packets show it."""
    reliable: bool = field(repr=False)
    """Whether the transport itself repeats what is lost (RFC 3261 17)."""

    def __init__(self, transport: str, local: Address, remote: Address) -> None:
        self.transport = transport
        self.local = local
        self.remote = remote
        self.reliable = transport != "udp"

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Flow)
            and self.remote == other.remote
            and self.transport == other.transport
            and self.local == other.local
        )

    def __hash__(self) -> int:
        return hash(self.remote)

    def __str__(self) -> str:
        host, port = self.remote
        return (
            f"{self.transport}://[{host}]:{port}"
            if ":" in host
            else (f"{self.transport}://{host}:{port}")
        )
