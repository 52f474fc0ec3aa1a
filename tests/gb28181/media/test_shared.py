"""Many receivers at one port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gb28181.errors import MediaTimeout
from gb28181.media.plane import LocalMediaPlane
from gb28181.media.receiver import Receiver
from gb28181.testing.clock import VirtualClock
from gb28181.testing.host import SimulatedHost
from gb28181.testing.network import SimulatedNetwork
from rtp.framing import frame
from rtp.packetizer import Packetizer
from rtp.rtcp import parse, sender_report

SERVER, FIRST, SECOND = "10.0.0.1", "10.0.0.5", "10.0.0.6"


class World:
    def __init__(self) -> None:
        self.network = SimulatedNetwork()
        self.plane = LocalMediaPlane(
            self.network.host(SERVER), ports=range(30000, 30020), quarantine=0.0
        )
        self.hosts = {name: self.network.host(name) for name in (FIRST, SECOND)}
        self.heard: list[tuple[bytes, tuple[str, int]]] = []

    async def receiver(self, ssrc: int | None, host: str, mode: str = "udp") -> Receiver:
        receiver = await self.plane.open_receiver(mode, host=SERVER, shared=True)
        receiver.expect(ssrc=ssrc, host=host)
        return receiver

    async def send(
        self, host: str, target: Receiver, ssrc: int, *, port: int = 6000, count: int = 3
    ) -> None:
        sock = self.hosts[host].open_udp((host, port), lambda _batch, _source: None)
        for packet in Packetizer(ssrc=ssrc).push(bytes(1400 * count), 0):
            sock.send(packet, target.local)
        await asyncio.sleep(0.1)
        sock.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with VirtualClock():
        world = World()
        yield world
        await world.plane.close()
        await asyncio.sleep(1.0)  # the other ends hear of it
        assert world.plane.counts()["leased_ports"] == 0
        assert world.network.leaks() == []


async def test_streams_at_one_port_are_told_apart_by_ssrc(world: World) -> None:
    one, two = await world.receiver(11, FIRST), await world.receiver(22, SECOND)
    assert one.local == two.local
    assert world.plane.counts()["leased_ports"] == 1
    await world.send(FIRST, one, 11, count=3)
    await world.send(FIRST, one, 22, port=6002, count=5)
    assert (one.statistics.packets, two.statistics.packets) == (3, 5)
    assert (one.statistics.ssrc, two.statistics.ssrc) == (11, 22)


async def test_an_ssrc_of_its_own_choice_is_told_by_its_address(world: World) -> None:
    one, two = await world.receiver(11, FIRST), await world.receiver(22, SECOND)
    await world.send(SECOND, two, 0)
    await world.send(FIRST, one, 11)
    assert (one.statistics.packets, two.statistics.packets) == (3, 3)
    assert two.statistics.adopted_ssrc == 1


async def test_what_is_nobodys_is_counted_and_named(world: World) -> None:
    one, two = await world.receiver(11, FIRST), await world.receiver(22, FIRST)
    await world.send(SECOND, one, 33)
    await world.send(FIRST, one, 44)  # two are expected from there: nobody knows whose it is
    for receiver in (one, two):
        assert receiver.statistics.packets == 0
        assert receiver.statistics.foreign_ssrc == 6
        assert receiver.statistics.last_foreign == "with SSRC 0000000044 from 10.0.0.5:6000"


async def test_an_ssrc_belongs_to_one_receiver_until_that_is_closed(world: World) -> None:
    one = await world.receiver(11, FIRST)
    two = await world.plane.open_receiver("udp", host=SERVER, shared=True)
    with pytest.raises(MediaTimeout, match="SSRC 0000000011 is received at this port already"):
        two.expect(ssrc=11, host=SECOND)
    one.close()
    two.expect(ssrc=11, host=SECOND)
    await world.send(SECOND, two, 11)
    assert two.statistics.packets == 3


async def test_the_last_receiver_gives_the_port_back(world: World) -> None:
    one, two = await world.receiver(11, FIRST), await world.receiver(22, SECOND)
    one.close()
    assert world.plane.counts()["leased_ports"] == 1
    two.close()
    assert world.plane.counts()["leased_ports"] == 0
    again = await world.receiver(11, FIRST)
    await world.send(FIRST, again, 11)
    assert again.statistics.packets == 3


@pytest.mark.parametrize("mode", ["udp", "tcp-passive"])
async def test_the_port_stays_the_same_for_whoever_comes_later(world: World, mode: str) -> None:
    """A firewall lets that one through."""
    one = await world.receiver(11, FIRST, mode)
    one.close()
    await asyncio.sleep(0.1)
    own = await world.plane.open_receiver(mode, host=SERVER)
    again = await world.receiver(22, FIRST, mode)
    assert again.local == one.local != own.local


async def connect(host: SimulatedHost, receiver: Receiver) -> asyncio.Transport:
    transport, _ = await host.create_connection(asyncio.Protocol, *receiver.local)
    assert isinstance(transport, asyncio.Transport)
    return transport


async def test_connections_to_one_port_are_told_apart_by_their_first_packets(
    world: World,
) -> None:
    one = await world.receiver(11, FIRST, "tcp-passive")
    two = await world.receiver(22, FIRST, "tcp-passive")
    assert one.local == two.local
    for ssrc, count in ((22, 4), (11, 2), (33, 6)):
        camera = await connect(world.hosts[FIRST], one)
        packets = Packetizer(ssrc=ssrc).push(bytes(1400 * count), 0)
        camera.write(b"".join(map(frame, packets)))
        await asyncio.sleep(0.1)
    assert (one.statistics.packets, two.statistics.packets) == (2, 4)
    assert one.statistics.foreign_ssrc == 6
    two.close()
    assert not one.is_closed


async def test_reports_of_a_sender_reach_its_receiver_and_are_answered(world: World) -> None:
    one, two = await world.receiver(11, FIRST), await world.receiver(22, SECOND)
    await world.send(FIRST, one, 11)
    sock = world.hosts[FIRST].open_udp((FIRST, 6001), lambda _batch, _source: None)
    heard: list[bytes] = []
    sock.on_rtcp = lambda data, _source: heard.append(data)
    report = sender_report(11, ntp=1, timestamp=0, packets=3, octets=4200, name="camera")
    sock.send(report, (SERVER, one.local[1] + 1))
    await asyncio.sleep(6.0)
    sock.close()
    assert (one.statistics.rtcp, two.statistics.rtcp) == (1, 0)
    assert [packet.blocks[0].ssrc for packet in parse(heard[0]) if packet.blocks] == [11]


async def test_a_sender_that_reports_from_its_media_port_hears_reports_there(world: World) -> None:
    one = await world.receiver(11, FIRST)
    sock = world.hosts[FIRST].open_udp((FIRST, 6000), lambda _batch, _source: None)
    heard: list[bytes] = []
    sock.on_rtcp = lambda data, _source: heard.append(data)
    packet = b"\x80\x60\x00\x01" + bytes(4) + (11).to_bytes(4, "big") + bytes(20)
    sock.send(packet, one.local)
    sock.send(sender_report(11, ntp=1, timestamp=0, packets=3, octets=4, name="c"), one.local)
    await asyncio.sleep(6.0)
    sock.close()
    assert [packet.blocks[0].ssrc for packet in parse(heard[0]) if packet.blocks] == [11]
