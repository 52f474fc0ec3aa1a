"""A simulated host under the real SIP endpoint and beside a real event loop."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.host import SimulatedHost
from gb28181.testing.network import SimulatedNetwork
from sip.endpoint import SipEndpoint
from sip.errors import FlowFailed, TransactionTimeout
from sip.message import Headers, Request
from sip.transport import Network

CAMERA, PLATFORM = "10.0.0.5", "10.0.0.1"


@pytest.fixture(autouse=True)
async def clock() -> AsyncIterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


async def answer(endpoint: SipEndpoint, seen: list[str]) -> None:
    async for incoming in endpoint.requests():
        seen.append(str(incoming.flow))
        incoming.respond(200)


def message() -> Request:
    uri = "sip:34020000002000000001@3402000000"
    return Request("MESSAGE", uri, Headers([("From", f"<{uri}>"), ("To", f"<{uri}>")]), b"")


class Pair:
    """A SIP endpoint on each of two hosts; the platform answers everything with 200."""

    def __init__(self, net: SimulatedNetwork) -> None:
        camera: Network = net.host(CAMERA)
        platform: Network = net.host(PLATFORM)
        self.camera = SipEndpoint(listen=["udp://0.0.0.0:5060"], network=camera)
        self.platform = SipEndpoint(
            listen=["udp://0.0.0.0:5060", "tcp://0.0.0.0:5060"], network=platform
        )
        self.seen: list[str] = []

    async def __aenter__(self) -> "Pair":
        await self.platform.start()
        await self.camera.start()
        self._answering = asyncio.ensure_future(answer(self.platform, self.seen))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.camera.aclose()
        await self.platform.aclose()
        self._answering.cancel()
        await asyncio.wait([self._answering])


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_an_hour_of_sip_over_a_bad_link(clock: VirtualClock, transport: str) -> None:
    net = SimulatedNetwork(seed=4)
    net.link(net.host(CAMERA), net.host(PLATFORM), loss=0.3, duplication=0.1, jitter=0.05)
    async with Pair(net) as pair:
        for _ in range(60):
            response = await pair.camera.request(message(), f"{transport}://{PLATFORM}:5060")
            assert response.status == 200
            await asyncio.sleep(60)
        assert len(pair.seen) == 60  # each once, though many arrived twice
        assert pair.seen[0].startswith(f"{transport}://{CAMERA}:")
    assert clock.time() >= 3600
    await asyncio.sleep(1000)
    assert net.leaks() == []


async def test_a_vanished_platform_ends_a_transaction_by_its_timer(clock: VirtualClock) -> None:
    net = SimulatedNetwork()
    async with Pair(net) as pair:
        net.host(PLATFORM).vanish()
        with pytest.raises(TransactionTimeout):
            await pair.camera.request(message(), f"udp://{PLATFORM}:5060")
        assert clock.time() == pytest.approx(32, abs=0.1)  # timer F
        with pytest.raises(FlowFailed):
            await pair.camera.request(message(), f"tcp://{PLATFORM}:5060")
    assert [packet.kind for packet in net.trace].count("udp") == 11


async def test_sip_follows_a_camera_through_its_translator() -> None:
    net = SimulatedNetwork()
    nat = net.nat(net.host(CAMERA), public="203.0.113.1")
    async with Pair(net) as pair:
        for _ in range(2):
            await pair.camera.request(message(), f"udp://{PLATFORM}:5060")
            nat.rebind()
    assert pair.seen == ["udp://203.0.113.1:20000", "udp://203.0.113.1:20001"]


async def test_on_the_loop_s_own_clock_it_works_as_well(clock: VirtualClock) -> None:
    clock.uninstall()
    async with Pair(SimulatedNetwork()) as pair:
        response = await pair.camera.request(message(), f"udp://{PLATFORM}:5060")
        assert response.status == 200


async def test_ephemeral_ports_are_not_given_twice_and_run_out_with_a_sentence() -> None:
    host = SimulatedNetwork().host(CAMERA)
    ports = {host.open_udp(("", 0), lambda batch, source: None).local[1] for _ in range(16384)}
    assert len(ports) == 16384
    with pytest.raises(OSError, match="no ephemeral port left"):
        host.open_udp(("", 0), lambda batch, source: None)
    host.close()
    assert host.bound() == []


async def test_what_the_network_cannot_do_is_refused() -> None:
    host: SimulatedHost = SimulatedNetwork().host(CAMERA)
    with pytest.raises(ValueError, match="ssl="):
        await host.create_connection(asyncio.Protocol, PLATFORM, 443, ssl=True)
    with pytest.raises(ValueError, match="sock="):
        await host.create_datagram_endpoint(asyncio.DatagramProtocol, sock=object())


async def test_a_cancelled_connect_leaves_nothing() -> None:
    net = SimulatedNetwork()
    await net.host(PLATFORM).create_server(asyncio.Protocol, "", 80)

    async def connect(delay: float) -> None:
        async with asyncio.timeout(delay):
            await net.host(CAMERA).create_connection(asyncio.Protocol, PLATFORM, 80)
            await asyncio.Event().wait()

    for delay in (0.0005, 0.0015, 0.0021):
        with pytest.raises(TimeoutError):
            await connect(delay)
        await asyncio.sleep(1)
    streams = [line for line in net.leaks() if "connected" in line]
    assert len(streams) == 2  # the third was established, and its protocol never closed it


async def test_building_mistakes_are_told() -> None:
    net = SimulatedNetwork()
    net.host(CAMERA)
    net.nat(public="203.0.113.1")
    with pytest.raises(ValueError, match=r"no host 10\.9\.9\.9"):
        net.partition(CAMERA, "10.9.9.9")
    with pytest.raises(ValueError, match="address of a host"):
        net.nat(public=CAMERA)
    with pytest.raises(ValueError, match="public address"):
        net.host("203.0.113.1")


async def test_hosts_behind_two_translators_meet_only_after_both_have_spoken() -> None:
    net = SimulatedNetwork()
    one, two = net.host("192.168.1.2"), net.host("192.168.2.2")
    net.nat(one, public="203.0.113.1")
    net.nat(two, public="203.0.113.2")
    heard: list[tuple[str, int]] = []

    class Ear(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            heard.append(addr)

    first, _ = await one.create_datagram_endpoint(Ear, ("0.0.0.0", 1000))
    second, _ = await two.create_datagram_endpoint(Ear, ("0.0.0.0", 1000))
    first.sendto(b"1", ("203.0.113.2", 20000))
    second.sendto(b"2", ("203.0.113.1", 20000))
    first.sendto(b"3", ("203.0.113.2", 20000))
    await asyncio.sleep(1)
    assert heard == [("203.0.113.2", 20000), ("203.0.113.1", 20000)]
    assert net.counters["nat"] == 1
