from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rtp.datagrams import PACKETS_A_READ, Reader, Readers


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_DGRAM) as sender,
        socket.socket(family, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind((request.param, 0))
        receiver.setblocking(False)
        sender.bind((request.param, 0))
        sender.connect(receiver.getsockname())
        yield sender, receiver


@pytest.fixture(params=[True, False], ids=["recvmmsg", "one by one"])
def readers(request: pytest.FixtureRequest) -> Readers:
    return Readers(many=request.param)


def send(sender: socket.socket, sizes: list[int]) -> list[bytes]:
    sent = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    for data in sent:
        sender.send(data)
    return sent


def read(reader: Reader, receiver: socket.socket) -> list[bytes]:
    """What lies in the buffer, by stride and length."""
    count = reader.read(receiver)
    batch = reader.batch(count, reader.name(count) * PACKETS_A_READ, now=1.0)
    assert batch is not None
    assert (batch.stride, batch.received) == (reader.stride, 1.0)
    return [bytes(packet) for packet in batch.packets()]


def test_datagrams_lie_one_stride_apart(
    pair: tuple[socket.socket, socket.socket], readers: Readers
) -> None:
    sender, receiver = pair
    sent = send(sender, [1412, 1412, 700, 12])
    reader = readers.first(receiver.family)
    assert read(reader, receiver) == sent
    assert reader.decode(reader.name(4)) == sender.getsockname()[:2]
    assert reader.datagrams(4) == [(data, sender.getsockname()[:2]) for data in sent]
    assert reader.read(receiver) == 0


def test_datagrams_longer_than_a_slot_are_read_whole(
    pair: tuple[socket.socket, socket.socket], readers: Readers
) -> None:
    sender, receiver = pair
    sent = send(sender, [9000, 0, 2049, 60_000])
    reader = readers.first(receiver.family)
    count = reader.read(receiver)
    assert reader.lengths(count) == [9000, 0, 2049, 60_000]
    assert [data for data, _ in reader.datagrams(count)] == sent


def test_two_sources_in_one_read_are_told_apart(
    pair: tuple[socket.socket, socket.socket], readers: Readers
) -> None:
    sender, receiver = pair
    with socket.socket(receiver.family, socket.SOCK_DGRAM) as other:
        other.connect(receiver.getsockname())
        sender.send(b"a" * 20)
        other.send(b"b" * 20)
        reader = readers.first(receiver.family)
        assert reader.read(receiver) == 2
        assert reader.name(2) == b""
        assert [source for _, source in reader.datagrams(2)] == [
            sender.getsockname()[:2],
            other.getsockname()[:2],
        ]


def test_one_read_takes_no_more_than_a_send_can_carry(
    pair: tuple[socket.socket, socket.socket], readers: Readers
) -> None:
    sender, receiver = pair
    send(sender, [20] * (PACKETS_A_READ + 2))
    reader = readers.first(receiver.family)
    assert reader.read(receiver) == PACKETS_A_READ
    assert reader.read(receiver) == 2


def test_packets_of_the_usual_size_lie_without_a_byte_between(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    sender, receiver = pair
    readers = Readers()
    reader = readers.first(receiver.family)
    for _ in range(2):
        sent = send(sender, [1412] * 5 + [90])
        assert read(reader, receiver) == sent
        reader = readers.choose(receiver.family, reader, [1412] * 5 + [90])
    assert reader.stride == 1412
    reader = readers.choose(receiver.family, reader, [1412, 1440])
    assert reader.stride == 1440


def test_the_readers_of_one_poller_are_few() -> None:
    readers = Readers()
    first = readers.first(socket.AF_INET)
    strides = {readers.choose(socket.AF_INET, first, [size] * 4).stride for size in range(100, 200)}
    assert len(strides) <= 16
    assert first.stride in strides
