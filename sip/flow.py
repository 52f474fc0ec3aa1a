"""Where a message came from and where its answer goes."""

from __future__ import annotations

from typing import NamedTuple

Address = tuple[str, int]


class Flow(NamedTuple):
    """A transport with its two ends; for TCP and TLS one connection, for UDP a pair of sockets.

    A tuple, because each message makes one and looks it up several times.
    """

    transport: str
    """``udp``, ``tcp`` or ``tls``."""
    local: Address
    """Our end. IPv6 hosts without brackets."""
    remote: Address
    """The peer's end, as its packets show it."""

    @property
    def reliable(self) -> bool:
        """Tell whether the transport itself repeats what is lost (RFC 3261 17)."""
        return self.transport != "udp"

    def __str__(self) -> str:
        host, port = self.remote
        return (
            f"{self.transport}://[{host}]:{port}"
            if ":" in host
            else (f"{self.transport}://{host}:{port}")
        )
