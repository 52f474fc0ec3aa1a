"""What crosses between the first process and a worker comes out as it went in."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gb28181.errors import Gb28181Error, MediaConnectionLost, MediaTimeout, PortsExhausted
from gb28181.media.messages import (
    Pipe,
    pack_error,
    pack_heads,
    pack_statistics,
    pack_unit,
    unpack_error,
    unpack_heads,
    unpack_statistics,
    unpack_unit,
)
from gb28181.media.receiver import Receiver
from rtp.access_unit import AccessUnit, Codec
from rtp.batch import PacketBatch


@pytest.fixture
async def pipes() -> AsyncIterator[tuple[Pipe, Pipe]]:
    near, far = socket.socketpair()
    pair = (
        Pipe(*await asyncio.open_unix_connection(sock=near)),
        Pipe(*await asyncio.open_unix_connection(sock=far)),
    )
    yield pair
    for pipe in pair:
        pipe.close()
    for pipe in pair:
        await pipe.wait_closed()


async def test_messages_arrive_in_order_with_their_bytes(pipes: tuple[Pipe, Pipe]) -> None:
    near, far = pipes
    near.send("one", id=1, host=None)
    near.send("two", b"\x00" * 100_000, id=2)
    near.send("three", b"")
    assert await far.receive() == ({"do": "one", "id": 1, "host": None}, b"")
    assert await far.receive() == ({"do": "two", "id": 2}, bytes(100_000))
    assert await far.receive() == ({"do": "three"}, b"")


async def test_the_end_of_the_other_side_is_seen(pipes: tuple[Pipe, Pipe]) -> None:
    near, far = pipes
    near.close()
    assert await far.receive() is None
    far.send("nobody hears this")


async def test_a_length_that_cannot_be_ends_the_connection() -> None:
    near, far = socket.socketpair()
    pipe = Pipe(*await asyncio.open_unix_connection(sock=far))
    with near:
        near.sendall(struct.pack("!II", 1 << 31, 0))
        assert await pipe.receive() is None
    pipe.close()
    await pipe.wait_closed()


async def test_a_pipe_nobody_reads_says_so(pipes: tuple[Pipe, Pipe]) -> None:
    near, _ = pipes
    assert not near.is_congested
    near.send("unit", bytes(4 << 20))
    assert near.is_congested


@pytest.mark.parametrize(
    "unit",
    [
        AccessUnit(codec=Codec.H265, data=b"abc", pts=2**40, dts=-7, is_key=True),
        AccessUnit(
            codec=Codec.PCMA, data=b"", pts=0, dts=0, is_discontinuous=True, is_damaged=True
        ),
    ],
)
def test_a_unit_comes_out_as_it_went_in(unit: AccessUnit) -> None:
    assert unpack_unit(pack_unit(unit), unit.data) == unit


async def test_statistics_come_out_as_they_went_in(pipes: tuple[Pipe, Pipe]) -> None:
    receiver = Receiver(mode="udp", local=("127.0.0.1", 9))
    seen = replace(
        receiver.statistics, source=("192.0.2.1", 5), video=Codec.H264, repairs={"psm": 3}, lost=9
    )
    near, far = pipes
    near.send("statistics", seen=pack_statistics(seen))
    received = await far.receive()
    assert received is not None
    assert unpack_statistics(received[0]["seen"]) == seen
    receiver.close()


@pytest.mark.parametrize(
    "error",
    [MediaTimeout("no RTP"), MediaConnectionLost("gone"), PortsExhausted("none"), ValueError("no")],
)
def test_an_error_keeps_its_class_and_sentence(error: Exception) -> None:
    back = unpack_error(pack_error(error))
    assert (type(back), str(back)) == (type(error), str(error))


def test_an_error_of_the_system_keeps_its_number() -> None:
    back = unpack_error(pack_error(OSError(errno.EADDRNOTAVAIL, "not ours")))
    assert isinstance(back, OSError)
    assert back.errno == errno.EADDRNOTAVAIL


def test_an_error_of_unknown_class_is_one_of_ours_all_the_same() -> None:
    assert type(unpack_error(pack_error(KeyError("x")))) is Gb28181Error
    assert unpack_error(pack_error(None)) is None


def packets(count: int) -> PacketBatch:
    data, bounds = bytearray(), []
    for number in range(count):
        bounds.append((len(data), 12 + number % 50))
        data += struct.pack("!BBHII", 0x80, 0xE0, number & 0xFFFF, 3600, 7) + bytes(number % 50)
    return PacketBatch(data, bounds)


def test_headers_of_packets_cross_batch_by_batch() -> None:
    batches = [packets(3), packets(1)]
    crossed = unpack_heads(pack_heads(batches))
    assert [batch.heads for batch in crossed] == [batch.heads for batch in batches]


def test_headers_of_a_group_of_tiny_packets_fit_into_a_message() -> None:
    packed = pack_heads([packets(7000) for _ in range(10)])
    assert sum(len(batch) for batch in unpack_heads(packed)) == 10_000
    assert sum(map(len, packed)) < 1 << 19
