"""Which address of ours a peer is told: by the peer's network, else by the route to it."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING

from sip.transport import parse_address

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

AUTOMATIC = "auto"


class Advertise:
    """Chooses the host written into Contact, Via and SDP for a peer.

    Three notions are kept apart: the address we bind, the one a peer is told, the one a viewer is
    told. This is the second. Rules map a network of the peer to a host of ours; ``"*"`` is any
    peer, and ``"auto"`` means the address that the route to the peer leaves by.
    """

    def __init__(
        self,
        rules: Mapping[str, str] | None = None,
        *,
        route: Callable[[str], str] | None = None,
    ) -> None:
        self._route = route or route_to
        self._rules: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, str]] = []
        self._default = AUTOMATIC
        for network, host in (rules or {}).items():
            if network == "*":
                self._default = host
                continue
            try:
                self._rules.append((ipaddress.ip_network(network), host))
            except ValueError as error:
                raise ConfigError(f"advertise: {network!r} is not a network: {error}") from error
        # The narrowest network speaks first, whatever the order in the file.
        self._rules.sort(key=lambda rule: rule[0].prefixlen, reverse=True)

    def host_for(self, remote: str) -> str:
        """Return our host as the peer at ``remote`` is to be told."""
        try:
            address = ipaddress.ip_address(remote)
        except ValueError:
            return self._route(remote) if self._default == AUTOMATIC else self._default
        for network, host in self._rules:
            if address.version == network.version and address in network:
                return self._route(remote) if host == AUTOMATIC else host
        return self._route(remote) if self._default == AUTOMATIC else self._default


def require_address(text: str, what: str) -> None:
    """Refuse what is no SIP address of ours or of a peer.

    Raises:
        ConfigError: ``text`` is none of ``udp://``, ``tcp://`` and ``tls://host:port``; the
            sentence begins with ``what``.
    """
    try:
        _, (host, port) = parse_address(text)
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from error
    if not host or port == 0:
        raise ConfigError(f"{what}: {text!r} names no host and port")


def route_to(remote: str) -> str:
    """Return the local address that packets to ``remote`` leave by; nothing is sent."""
    try:
        family = socket.AF_INET6 if ":" in remote else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((remote, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
