import asyncio
import errno
import socket

from sip.datagrams import BATCH, PATIENCE, DrainedSocket


class Taker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.errors: list[Exception] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.taken.append(data)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Full:
    """A socket that has no room at first."""

    def __init__(self, real: socket.socket) -> None:
        self._real = real
        self.refusals = 1
        self.error: OSError | None = None

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        if self.refusals:
            self.refusals -= 1
            raise BlockingIOError
        if self.error is not None:
            raise self.error
        return self._real.sendto(data, address)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.bind(("127.0.0.1", 0))
    return made


async def turn() -> None:
    for _ in range(5):  # the flush, the selector's word that there is room, the rest
        await asyncio.sleep(0)


async def test_more_is_read_in_one_turn_as_long_as_more_is_there() -> None:
    taker = Taker()
    drained = DrainedSocket(asyncio.get_running_loop(), taker, bound())
    turns = []
    with bound() as peer:
        for number in range(3 * PATIENCE + 4):
            peer.sendto(b"%d" % number, drained.get_extra_info("sockname"))
        while len(taker.taken) < 3 * PATIENCE + 4:
            before = len(taker.taken)
            drained._read()
            turns.append(len(taker.taken) - before)
    assert turns == [1] * PATIENCE + [2] * PATIENCE + [4] * 1
    assert taker.taken == [b"%d" % number for number in range(len(taker.taken))]
    drained.abort()
    drained.abort()
    assert drained.is_closing()
    assert await taker.lost is None


async def test_one_turn_does_not_read_for_ever() -> None:
    taker = Taker()
    drained = DrainedSocket(asyncio.get_running_loop(), taker, bound())
    with bound() as peer:
        for _ in range(8 * PATIENCE):
            for _ in range(BATCH):
                peer.sendto(b"x", drained.get_extra_info("sockname"))
            before = len(taker.taken)
            drained._read()
    assert len(taker.taken) - before == BATCH
    drained.abort()
    await taker.lost


async def test_what_finds_no_room_waits_in_order() -> None:
    full = Full(bound())
    drained = DrainedSocket(asyncio.get_running_loop(), Taker(), full)  # type: ignore[arg-type]  # stands for a socket
    with bound() as peer:
        for data in (b"one", b"two"):
            drained.sendto(data, peer.getsockname())
        assert drained.get_write_buffer_size() == 6
        await turn()
        assert [peer.recv(10), peer.recv(10)] == [b"one", b"two"]
        assert drained.get_write_buffer_size() == 0
    drained.abort()


async def test_icmp_error_is_told_and_a_dead_socket_is_closed() -> None:
    full, taker = Full(bound()), Taker()
    full.refusals = 0
    drained = DrainedSocket(asyncio.get_running_loop(), taker, full)  # type: ignore[arg-type]  # stands for a socket
    full.error = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    drained.sendto(b"x", ("127.0.0.1", 9))
    await turn()
    assert len(taker.errors) == 1
    assert not drained.is_closing()
    full.error = OSError(errno.ENODEV, "gone")
    drained.sendto(b"x", ("127.0.0.1", 9))
    await turn()
    assert drained.is_closing()
    assert await taker.lost is full.error


async def test_what_was_sent_leaves_before_the_socket_closes() -> None:
    drained = DrainedSocket(asyncio.get_running_loop(), Taker(), bound())
    with bound() as peer:
        drained.sendto(b"goodbye", peer.getsockname())
        drained.abort()
        assert peer.recv(10) == b"goodbye"
    await turn()


async def test_what_is_sent_while_reading_leaves_before_the_next_turn() -> None:
    class Echo(Taker):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            drained.sendto(data, addr)

    drained = DrainedSocket(asyncio.get_running_loop(), Echo(), bound())
    with bound() as peer:
        for data in (b"one", b"two"):
            peer.sendto(data, drained.get_extra_info("sockname"))
            drained._read()
        assert [peer.recv(10), peer.recv(10)] == [b"one", b"two"]
    drained.abort()
