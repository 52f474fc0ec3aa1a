from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest

from gb28181.errors import PortsExhausted
from gb28181.media.plane import MODES, LocalMediaPlane
from gb28181.testing.clock import VirtualClock
from gb28181.testing.network import SimulatedNetwork
from rtp.packetizer import Packetizer
from rtp.transport import SocketNetwork

HOST = "127.0.0.1"
NOTHING = {"receivers": 0, "sinks": 0, "leased_ports": 0, "quarantined_ports": 0}


def free_range(pairs: int) -> range:
    """Ports below those that the system gives out, other ones for each process."""
    first = 20_000 + os.getpid() % 500 * 20
    return range(first, first + 2 * pairs)


@pytest.fixture
async def network() -> AsyncIterator[SocketNetwork]:
    network = SocketNetwork(tick=0.0)
    yield network
    network.close()


@pytest.mark.parametrize("mode", MODES)
async def test_no_port_is_leaked_by_opening_and_closing(network: SocketNetwork, mode: str) -> None:
    plane = LocalMediaPlane(network, ports=free_range(10), quarantine=0.0)
    for _ in range(15):  # more often than there are ports
        receiver = await plane.open_receiver(mode, host=HOST)
        sink = await plane.open_sink(mode, host=HOST)
        assert plane.counts()["leased_ports"] == 2
        receiver.close()
        sink.close(OSError("a fault"))
    counts = plane.counts()
    assert (counts["receivers"], counts["sinks"], counts["leased_ports"]) == (0, 0, 0)
    assert len(network.poller) == 0


async def test_a_port_that_somebody_else_holds_is_passed_over(network: SocketNetwork) -> None:
    ports = free_range(3)
    plane = LocalMediaPlane(network, ports=ports)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtcp,
    ):
        rtp.bind((HOST, ports[0]))
        rtcp.bind((HOST, ports[3]))  # only the RTCP port of the second pair
        receiver = await plane.open_receiver("udp", host=HOST)
        assert receiver.local == (HOST, ports[4])
        with pytest.raises(PortsExhausted, match="1 in use, 2 in quarantine"):
            await plane.open_receiver("udp", host=HOST)
    assert len(network.poller) == 2
    await plane.close()
    assert len(network.poller) == 0


async def test_an_address_that_is_not_ours_is_an_error_and_keeps_no_port(
    network: SocketNetwork,
) -> None:
    plane = LocalMediaPlane(network, ports=free_range(2), quarantine=0.0)
    for mode in ("udp", "tcp-passive"):
        with pytest.raises(OSError, match="assign"):
            await plane.open_receiver(mode, host="203.0.113.7")
        with pytest.raises(OSError, match="assign"):
            await plane.open_sink(mode, host="203.0.113.7")
    assert plane.counts()["leased_ports"] == 0


async def test_an_unknown_mode_is_refused(network: SocketNetwork) -> None:
    plane = LocalMediaPlane(network, ports=range(41000, 41010))
    with pytest.raises(ValueError, match="'sctp' is none of udp, tcp-passive, tcp-active"):
        await plane.open_receiver("sctp", host=HOST)
    assert plane.counts() == NOTHING


async def test_closing_the_plane_ends_everything(network: SocketNetwork) -> None:
    plane = LocalMediaPlane(network, ports=free_range(10), quarantine=0.0)
    receivers = [await plane.open_receiver(mode, host=HOST) for mode in MODES]
    sinks = [await plane.open_sink(mode, host=HOST, remote=(HOST, 9)) for mode in MODES]
    for sink in sinks:
        sink.start()
    await plane.close()
    assert all(receiver.closed.done() for receiver in receivers)
    assert all(sink.closed.done() for sink in sinks)
    assert plane.counts() == NOTHING


async def test_ports_rest_after_use_and_nothing_stays_open() -> None:
    with VirtualClock() as clock:
        network = SimulatedNetwork()
        host = network.host("10.0.0.1")
        plane = LocalMediaPlane(host, ports=range(30000, 30004), quarantine=5.0)
        first = await plane.open_receiver("udp", host="10.0.0.1")
        second = await plane.open_receiver("tcp-passive", host="10.0.0.1")
        first.close()
        second.close()
        assert plane.counts() == {**NOTHING, "quarantined_ports": 2}
        with pytest.raises(PortsExhausted, match="0 in use, 2 in quarantine"):
            await plane.open_sink("udp", host="10.0.0.1")
        await asyncio.sleep(5.0)
        sink = await plane.open_sink("udp", host="10.0.0.1")
        assert sink.local == ("10.0.0.1", 30000)
        await plane.close()
        assert clock.time() < 6.0
        assert network.leaks() == []


async def test_drops_of_the_kernel_are_counted_and_said_once(
    network: SocketNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    plane = LocalMediaPlane(network, ports=free_range(2), quarantine=0.0)
    receiver = await plane.open_receiver("udp", host=HOST)
    packet = Packetizer(ssrc=1).push(bytes(1400), 0)[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while not receiver.statistics.kernel_drops:
            for _ in range(5000):  # the loop is held up: nobody reads meanwhile
                sender.sendto(packet, receiver.local)
    for _ in range(3):
        plane.look_at_drops()
    said = [record for record in caplog.records if "the kernel drops packets" in record.message]
    assert len(said) == 1
    assert f"most for {HOST}:{receiver.local[1]}" in said[0].message
    await plane.close()


async def test_a_name_of_the_peer_is_looked_up_before_anything_is_sent(
    network: SocketNetwork,
) -> None:
    plane = LocalMediaPlane(network, ports=free_range(10))
    sink = await plane.open_sink("udp", host=HOST, remote=("localhost", 9000))
    assert sink.remote == (HOST, 9000)
    with pytest.raises(OSError, match="is not known"):
        await plane.open_sink("udp", host=HOST, remote=("a..b", 9000))
    assert plane.counts()["leased_ports"] == 1
    await plane.close()
