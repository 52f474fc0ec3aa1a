"""What everything that is bound to a port of a simulated host has in common."""

from typing import Protocol

from sip.flow import Address

WILDCARDS = frozenset({"", "0.0.0.0", "::"})
LOOPBACKS = frozenset({"127.0.0.1", "::1", "localhost"})


class Bound(Protocol):
    """A datagram socket, a listening socket or a connection, as its host sees it."""

    @property
    def local(self) -> Address:
        """Where it is bound."""
        ...

    def describe(self) -> str:
        """Say what it is, for the list of leaks."""
        ...

    def die(self) -> None:
        """The process that had it is gone: hear and say nothing from now on."""
        ...


class SocketStandIn:
    """What a simulated transport gives out as its ``socket``: addresses, and options ignored."""

    def __init__(self, local: Address, remote: Address | None = None) -> None:
        self._local = local
        self._remote = remote

    def getsockname(self) -> Address:
        """Return the local address."""
        return self._local

    def getpeername(self) -> Address:
        """Return the remote address.

        Raises:
            OSError: It has none.
        """
        if self._remote is None:
            raise OSError("the simulated socket is not connected")
        return self._remote

    def setsockopt(self, *arguments: object) -> None:
        """Accept any option and do nothing."""

    def getsockopt(self, *arguments: object) -> int:
        """Return 0 for every option."""
        return 0

    def fileno(self) -> int:
        """Return -1: there is no file."""
        return -1
