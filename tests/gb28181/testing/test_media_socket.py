"""The simulated media socket behaves as the real one."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gb28181.testing.clock import VirtualClock
from gb28181.testing.media_socket import SimulatedMediaSocket
from gb28181.testing.network import SimulatedNetwork
from rtp.batch import PacketBatch
from rtp.transport import MediaSocket

RTP = b"\x80\x60" + bytes(10)
RTCP = b"\x80\xc9" + bytes(10)
Source = tuple[str, int]


@pytest.fixture(autouse=True)
async def clock() -> AsyncIterator[VirtualClock]:
    with VirtualClock() as clock:
        yield clock


def pair(on_batch: Any, *, tick: float = 0.005) -> tuple[MediaSocket, SimulatedMediaSocket]:
    net = SimulatedNetwork(tick=tick)
    sender: MediaSocket = net.host("10.0.0.5").open_udp(("", 30000), on_batch)
    return sender, net.host("10.0.0.1").open_udp(("0.0.0.0", 30000), on_batch)


TARGET = ("10.0.0.1", 30000)


async def test_one_batch_for_each_run_of_a_source() -> None:
    net = SimulatedNetwork()
    got: list[tuple[int, Source]] = []

    def take(batch: PacketBatch, source: Source) -> None:
        got.append((len(batch), source))

    net.host("10.0.0.1").open_udp(("", 30000), take)
    senders = [net.host(host).open_udp(("", 9), take) for host in ("10.0.0.2", "10.0.0.3")]
    for sender in (0, 0, 1, 0):
        senders[sender].send(RTP, TARGET)
    await asyncio.sleep(1)
    assert got == [(2, ("10.0.0.2", 9)), (1, ("10.0.0.3", 9)), (1, ("10.0.0.2", 9))]


async def test_without_a_tick_each_packet_comes_at_once(clock: VirtualClock) -> None:
    times: list[float] = []
    sender, _ = pair(lambda batch, source: times.append(round(clock.time(), 4)), tick=0)
    for _ in range(3):
        sender.send(RTP, TARGET)
        await asyncio.sleep(0.001)
    await asyncio.sleep(1)
    assert times == [0.001, 0.002, 0.003]


async def test_closed_by_its_own_callback_it_hears_nothing_more() -> None:
    got: list[int] = []

    def take(batch: PacketBatch, source: Source) -> None:
        got.append(len(batch))
        receiver.close()

    sender, receiver = pair(take)
    for _ in range(60):
        sender.send(RTP, TARGET)
    await asyncio.sleep(1)
    assert got == [46]
    assert receiver.is_closed
    receiver.close()
    assert not receiver.send(RTP, TARGET)
    assert receiver.counters["send_errors"] == 1


async def test_rtcp_that_nobody_wants_is_counted_only() -> None:
    sender, receiver = pair(lambda batch, source: None)
    sender.send(RTCP, TARGET)
    await asyncio.sleep(1)
    assert receiver.counters == {"rtcp": 1}


async def test_a_fault_that_nobody_asked_for_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def take(batch: PacketBatch, source: Source) -> None:
        raise RuntimeError("broken")

    sender, receiver = pair(take)
    sender.send(RTP, TARGET)
    with caplog.at_level(logging.ERROR, "gb28181.testing"):
        await asyncio.sleep(1)
    assert receiver.is_closed
    assert "media socket 0.0.0.0:30000 closed" in caplog.text


async def test_after_a_crash_it_takes_and_gives_nothing() -> None:
    net = SimulatedNetwork()
    got: list[int] = []
    host = net.host("10.0.0.1")
    receiver = host.open_udp(("", 30000), lambda batch, source: got.append(len(batch)))
    sender = net.host("10.0.0.5").open_udp(("", 9), lambda batch, source: None)
    sender.send(RTP, TARGET)
    await asyncio.sleep(0.0015)
    sender.send(RTP, TARGET)
    host.crash()
    assert receiver.send(RTP, ("10.0.0.5", 9))  # the object does not know
    await asyncio.sleep(1)
    assert got == [1]
    assert net.counters == {"sent": 2, "no port": 1, "duplicated": 0}
    receiver.close()
