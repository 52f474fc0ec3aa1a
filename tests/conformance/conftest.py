from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from conformance.case import Role, Verdict
from conformance.cases import all_cases
from conformance.runner import run, select
from conformance.selftest import own_target
from rtp.transport import SocketNetwork

Change = Callable[[bytes], bytes | None]
Judge = Callable[..., Awaitable[dict[str, Verdict]]]


def unchanged(data: bytes) -> bytes:
    return data


class TamperedNetwork:
    """The real network, but SIP datagrams are changed, or dropped with None, on their way."""

    def __init__(self, sent: Change, received: Change) -> None:
        self._real = SocketNetwork()
        self._sent, self._received = sent, received
        self.create_server: Any = self._real.create_server
        self.create_connection: Any = self._real.create_connection
        self.open_udp = self._real.open_udp
        self.close = self._real.close

    def address_towards(self, remote: str) -> str:
        return "127.0.0.1"

    async def create_datagram_endpoint(
        self,
        protocol_factory: Callable[[], Any],
        local_addr: Any = None,
        remote_addr: Any = None,
        **kw: Any,
    ) -> tuple[Any, Any]:
        import asyncio

        network = self

        class Tampering(asyncio.DatagramProtocol):
            def __init__(self) -> None:
                self.inner = protocol_factory()

            def connection_made(self, transport: Any) -> None:
                self.inner.connection_made(TamperedTransport(transport, network._sent))

            def datagram_received(self, data: bytes, addr: Any) -> None:
                changed = network._received(data)
                if changed is not None:
                    self.inner.datagram_received(changed, addr)

            def error_received(self, exc: Exception) -> None:
                self.inner.error_received(exc)

            def connection_lost(self, exc: Exception | None) -> None:
                self.inner.connection_lost(exc)

        transport, tampering = await asyncio.get_running_loop().create_datagram_endpoint(
            Tampering, local_addr=local_addr, remote_addr=remote_addr, **kw
        )
        return transport, tampering.inner


class TamperedTransport:
    def __init__(self, real: Any, sent: Change) -> None:
        self._real, self._sent = real, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def sendto(self, data: bytes, addr: Any = None) -> None:
        changed = self._sent(bytes(data))
        if changed is not None:
            self._real.sendto(changed, addr)


@pytest.fixture
async def judge() -> AsyncIterator[Judge]:
    """Runs cases against our own role, broken by what changes its datagrams."""
    networks: list[TamperedNetwork] = []

    async def run_cases(
        role: Role, only: list[str], *, sent: Change = unchanged, received: Change = unchanged
    ) -> dict[str, Verdict]:
        networks.append(TamperedNetwork(sent, received))
        cases = select(all_cases(), role, only)
        async with own_target(role, "udp", "2016", networks[-1]) as (target, open_peer):
            results = await run(cases, target, open_peer)
        return {result.case.id: result.verdict for result in results}

    yield run_cases
    for network in networks:
        network.close()
