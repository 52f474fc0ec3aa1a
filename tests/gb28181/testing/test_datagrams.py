"""The simulated datagram transport behaves as asyncio's own."""

import asyncio

import pytest

from gb28181.testing.network import SimulatedNetwork


async def open_transport() -> asyncio.DatagramTransport:
    host = SimulatedNetwork().host("10.0.0.5")
    transport, _ = await host.create_datagram_endpoint(asyncio.DatagramProtocol, ("0.0.0.0", 5060))
    assert isinstance(transport, asyncio.DatagramTransport)
    return transport


async def test_wrong_arguments_are_refused() -> None:
    transport = await open_transport()
    with pytest.raises(TypeError, match="bytes-like"):
        transport.sendto("text", ("10.0.0.1", 1))  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="destination"):
        transport.sendto(b"x")


async def test_its_socket_tells_its_address() -> None:
    transport = await open_transport()
    socket = transport.get_extra_info("socket")
    assert socket.getsockname() == transport.get_extra_info("sockname") == ("0.0.0.0", 5060)
    socket.setsockopt(1, 2, 3)
    assert (socket.getsockopt(1, 2), socket.fileno()) == (0, -1)
    with pytest.raises(OSError, match="not connected"):
        socket.getpeername()


async def test_closing_twice_tells_the_protocol_once() -> None:
    lost: list[Exception | None] = []

    class Protocol(asyncio.DatagramProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.append(exc)

    transport = await open_transport()
    transport.set_protocol(protocol := Protocol())
    assert transport.get_protocol() is protocol
    transport.abort()
    transport.close()
    transport.sendto(b"unheard", ("10.0.0.1", 1))
    await asyncio.sleep(0.01)
    assert transport.is_closing()
    assert lost == [None]
