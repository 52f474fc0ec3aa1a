"""A peer of plain sockets and MD5 tries to register at a real platform with what is not its own.

Nothing of ours is on the peer's side: each request is written byte by byte, so that neither a
mistake nor a kindness of our own stack can help.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from gb28181 import Platform
from sip.timers import Timers

pytestmark = pytest.mark.interop

PLATFORM = "34020000002000000001"
DOMAIN = "3402000000"
CAMERA = "34020000001320000001"
THIEF = "34020000001320000002"
PASSWORDS = {CAMERA: "camera's", THIEF: "thief's"}
# Ten times as fast as RFC 3261's: what a transaction remembers is forgotten after 3.2 s.
FAST = Timers(t1=0.05, t2=0.4, t4=0.5)

Until = Callable[..., Awaitable[None]]

branches = itertools.count(1)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def credentials(
    nonce: str, user: str, password: str, *, method: str = "REGISTER", realm: str = DOMAIN
) -> str:
    """Compute the Authorization of RFC 2617 3.2.2 without qop."""
    uri = f"sip:{PLATFORM}@{DOMAIN}"
    response = md5(f"{md5(f'{user}:{realm}:{password}')}:{nonce}:{md5(f'{method}:{uri}')}")
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", '
        f'uri="{uri}", response="{response}", algorithm=MD5\r\n'
    )


class Peer:
    """One socket, and a device id that it claims to be."""

    def __init__(self, port: int, transport: str, user: str, address: str = "127.0.0.1") -> None:
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.socket = socket.socket(type=kind)
        self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.user = user
        self._transport = transport.upper()
        self._number = 0
        self._read = b""

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()
        return str(host), int(port)

    def register(self, authorization: str = "", *, expires: int = 3600, to: str = "") -> bytes:
        self._number += 1
        host = "{}:{}".format(*self.address)
        return (
            f"REGISTER sip:{PLATFORM}@{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self._transport} {host};rport;branch=z9hG4bK{next(branches)}\r\n"
            f"From: <sip:{self.user}@{DOMAIN}>;tag=1\r\nTo: <sip:{to or self.user}@{DOMAIN}>\r\n"
            f"Call-ID: {self.user}\r\nCSeq: {self._number} REGISTER\r\n"
            f"Contact: <sip:{self.user}@{host}>\r\nMax-Forwards: 70\r\nExpires: {expires}\r\n"
            f"{authorization}Content-Length: 0\r\n\r\n"
        ).encode()

    async def send(self, request: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, request)

    async def ask(self, request: bytes) -> str:
        """Send a request; return its response."""
        await self.send(request)
        branch = re.search(r"branch=\w+", request.decode())
        assert branch
        async with asyncio.timeout(5):
            while True:
                response = await self._response()
                if re.search(rf"{branch[0]}\b", response):
                    return response

    async def _response(self) -> str:
        """Take the next response; none of those here has a body."""
        while b"\r\n\r\n" not in self._read:
            self._read += await asyncio.get_running_loop().sock_recv(self.socket, 65_536)
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        return head.decode()

    async def nonce(self) -> str:
        """Let the platform challenge us."""
        challenge = await self.ask(self.register())
        assert challenge.startswith("SIP/2.0 401 ")
        return found(challenge)

    async def enter(self, *, expires: int = 3600) -> bytes:
        """Register with our own password; return the request that did it."""
        request = self.register(
            credentials(await self.nonce(), self.user, PASSWORDS[self.user]), expires=expires
        )
        assert (await self.ask(request)).startswith("SIP/2.0 200 ")
        return request


def found(challenge: str) -> str:
    match = re.search(r'WWW-Authenticate: Digest .*nonce="([^"]+)"', challenge)
    assert match, challenge
    return match[1]


def challenged_anew(response: str, nonce: str) -> bool:
    """Tell whether the answer is 401 with a nonce that differs from the one that was sent."""
    return response.startswith("SIP/2.0 401 ") and found(response) != nonce


@pytest.fixture(params=["udp", "tcp"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def platform_at(port: int) -> AsyncIterator[Platform]:
    platform = Platform(
        PLATFORM,
        password_for=PASSWORDS.get,
        listen=(f"udp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"),
        asks_catalog=False,
        timers=FAST,
    )
    async with platform:
        yield platform


@pytest.fixture
async def platform(ports: Callable[[int], int]) -> AsyncIterator[tuple[Platform, int]]:
    port = ports(2)
    async with platform_at(port) as platform:
        yield platform, port


@pytest.fixture
def peer(platform: tuple[Platform, int], transport: str) -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(user: str, address: str = "127.0.0.1", port: int = platform[1]) -> Peer:
        peers.append(Peer(port, transport, user, address))
        return peers[-1]

    yield make
    for one in peers:
        one.socket.close()


def where(platform: Platform, user: str) -> tuple[str, int] | None:
    binding = platform.registrar.binding(user)
    return None if binding is None else binding.flow.remote


def nonce_in(request: bytes) -> str:
    match = re.search(rb'nonce="([^"]+)"', request)
    assert match
    return match[1].decode()


async def test_repeated_register_moves_nothing(
    platform: tuple[Platform, int], peer: Callable[..., Peer], wait_until: Until
) -> None:
    """The same bytes from elsewhere: at most what was answered already, and later a challenge."""
    camera, thief = peer(CAMERA), peer(CAMERA, "127.0.0.2")
    said = await camera.enter()
    await thief.send(said)
    await thief.nonce()  # answered after what came before it
    assert where(platform[0], CAMERA) == camera.address
    stack = platform[0].station.endpoint.stack
    await wait_until(lambda: stack.pending()["server"] == 0, "transactions are forgotten")
    again = await thief.ask(said)
    assert challenged_anew(again, nonce_in(said))
    assert "stale=true" in again
    assert where(platform[0], CAMERA) == camera.address


async def test_replayed_register_with_a_new_branch_is_challenged(
    platform: tuple[Platform, int], peer: Callable[..., Peer]
) -> None:
    """RFC 7616 5.12: the credentials are right, but their nonce has served."""
    camera, thief = peer(CAMERA), peer(CAMERA, "127.0.0.2")
    said = await camera.enter()
    authorization = re.search(rb"Authorization: .*\r\n", said)
    assert authorization
    again = await thief.ask(thief.register(authorization[0].decode()))
    assert challenged_anew(again, nonce_in(said))
    assert "stale=true" in again
    assert where(platform[0], CAMERA) == camera.address


async def test_replayed_farewell_does_not_unregister(
    platform: tuple[Platform, int], peer: Callable[..., Peer]
) -> None:
    camera, thief = peer(CAMERA), peer(CAMERA, "127.0.0.2")
    await camera.enter()
    farewell = await camera.enter(expires=0)
    assert where(platform[0], CAMERA) is None
    await camera.enter()
    again = await thief.ask(re.sub(rb"branch=\w+", b"branch=z9hG4bKagain", farewell))
    assert challenged_anew(again, nonce_in(farewell))
    assert where(platform[0], CAMERA) == camera.address


async def test_stolen_nonce_opens_nothing(
    platform: tuple[Platform, int], peer: Callable[..., Peer]
) -> None:
    """A nonce is made for one device; another one with a password of its own cannot use it."""
    camera, thief = peer(CAMERA), peer(THIEF, "127.0.0.2")
    nonce = await camera.nonce()
    stolen = thief.register(credentials(nonce, THIEF, PASSWORDS[THIEF]))
    assert challenged_anew(await thief.ask(stolen), nonce)
    assert where(platform[0], THIEF) is None
    # Nor does it serve one who says that he is the camera, and has to guess.
    guesser = peer(CAMERA, "127.0.0.2")
    refusal = await guesser.ask(guesser.register(credentials(nonce, CAMERA, "guess")))
    assert refusal.startswith("SIP/2.0 403 ")
    assert where(platform[0], CAMERA) is None
    # The camera may still use it: a failure does not spend it.
    entering = camera.register(credentials(nonce, CAMERA, PASSWORDS[CAMERA]))
    assert (await camera.ask(entering)).startswith("SIP/2.0 200 ")
    assert where(platform[0], CAMERA) == camera.address


async def test_nonce_of_another_server_is_challenged(
    platform: tuple[Platform, int], peer: Callable[..., Peer], ports: Callable[[int], int]
) -> None:
    """The other server has the same id, domain and passwords, and its own secret."""
    port = ports(2)
    async with platform_at(port):
        nonce = await peer(CAMERA, port=port).nonce()
    camera = peer(CAMERA)
    foreign = camera.register(credentials(nonce, CAMERA, PASSWORDS[CAMERA]))
    assert challenged_anew(await camera.ask(foreign), nonce)
    assert where(platform[0], CAMERA) is None


@pytest.mark.parametrize("change", ["none", "first", "last", "all", "longer", "no hex"])
async def test_nonce_that_was_made_up_is_challenged(
    change: str, platform: tuple[Platform, int], peer: Callable[..., Peer]
) -> None:
    camera = peer(CAMERA)
    real = await camera.nonce()
    nonce = {
        "none": "",
        "first": ("1" if real[0] == "0" else "0") + real[1:],  # issued at another time
        "last": real[:-1] + ("1" if real[-1] == "0" else "0"),
        "all": "0" * len(real),
        "longer": real + "00",
        "no hex": "dcd98b7102dd2f0e8b11d0f600bfb0zz",
    }[change]
    made_up = camera.register(credentials(nonce, CAMERA, PASSWORDS[CAMERA]))
    assert challenged_anew(await camera.ask(made_up), nonce)
    assert where(platform[0], CAMERA) is None


async def test_credentials_of_another_user_are_refused(
    platform: tuple[Platform, int], peer: Callable[..., Peer]
) -> None:
    """The thief is known here, and proves it; that makes it no camera."""
    camera, thief = peer(CAMERA), peer(CAMERA, "127.0.0.2")
    await camera.enter()
    for nonce in (await thief.nonce(), await peer(THIEF, "127.0.0.2").nonce()):
        as_camera = thief.register(credentials(nonce, THIEF, PASSWORDS[THIEF]))
        refusal = await thief.ask(as_camera)
        assert refusal.startswith("SIP/2.0 403 ")
        assert "WWW-Authenticate" not in refusal
    assert where(platform[0], CAMERA) == camera.address
    assert where(platform[0], THIEF) is None


async def test_own_credentials_do_not_register_another(
    platform: tuple[Platform, int], peer: Callable[..., Peer]
) -> None:
    """From is the thief, and rightly so; To is the camera."""
    camera, thief = peer(CAMERA), peer(THIEF, "127.0.0.2")
    await camera.enter()
    authorization = credentials(await thief.nonce(), THIEF, PASSWORDS[THIEF])
    await thief.ask(thief.register(authorization, to=CAMERA))
    assert where(platform[0], CAMERA) == camera.address


async def test_answer_for_another_method_or_realm_is_refused(
    platform: tuple[Platform, int], peer: Callable[..., Peer]
) -> None:
    camera = peer(CAMERA)
    for detail in ({"method": "MESSAGE"}, {"realm": "elsewhere"}):
        nonce = await camera.nonce()
        answer = credentials(nonce, CAMERA, PASSWORDS[CAMERA], **detail)
        refusal = await camera.ask(camera.register(answer))
        assert refusal.startswith("SIP/2.0 403 ")
    assert where(platform[0], CAMERA) is None
