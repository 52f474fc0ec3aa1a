"""Digest authentication: challenge and verify as server, answer as client.

Source: RFC 3261 22, RFC 2617, RFC 7616, RFC 8760.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from .errors import LocalProtocolError, MalformedMessage, UnsupportedChallenge
from .headers import (
    Challenge,
    Credentials,
    parse_challenge,
    parse_credentials,
    quote,
    split_challenges,
)
from .message import Request

# By name in upper case without hyphens; -sess variants use the same hash. SM3 (GB/T 32905) is
# agreed between peers and in no RFC; OpenSSL has it or has it not.
_HASHES: Final = {"MD5": "md5", "SHA256": "sha256", "SHA512256": "sha512_256", "SM3": "sm3"}
_SESSION: Final = "SESS"

_NONCE_COUNT: Final = re.compile(r"[0-9A-Fa-f]{8}\Z")
_CLOCK: Final = 2**40  # milliseconds in five bytes: 34 years before the clock wraps
_NONCE_SIZE: Final = 16
_STAMP_SIZE: Final = 7
_COUNTER_BITS: Final = 16


class Verdict(Enum):
    """What became of a request's credentials."""

    OK = auto()
    NO_CREDENTIALS = auto()
    """No Digest credentials: challenge."""
    STALE = auto()
    """Right credentials with a nonce that is too old or was used: challenge with ``stale``."""
    WRONG = auto()
    """The response does not fit the password, or cannot be checked."""
    FOREIGN_NONCE = auto()
    """A nonce that was not made here for this user: challenge."""
    WRONG_USER = auto()
    """Credentials of another user."""


@dataclass(frozen=True, slots=True)
class Ha1:
    """The hash of user, realm and password, kept in place of the password."""

    digest: str
    """Hexadecimal."""
    algorithm: str = "MD5"
    """The hash it was made with."""


class DigestServer:
    """Challenges requests and checks the answers, with hardly any state.

    A nonce is a MAC over the user, the time and a counter; it is not bound to an address. Only
    the nonces used within their life are remembered, and only after a right password, so that
    nobody without one can fill the memory.
    """

    def __init__(
        self,
        realm: str,
        secret: bytes,
        *,
        nonce_life: float = 60.0,
        algorithms: Sequence[str] = ("MD5",),
        qop: str | None = None,
        remembered: int = 65_536,
    ) -> None:
        """Prepare a server.

        Args:
            realm: As it is challenged with.
            secret: Keeps nonces from being forged; 16 random bytes or more.
            nonce_life: How long a nonce serves, in seconds.
            algorithms: Offered, strongest first: MD5, SHA-256, SM3, each also with ``-sess``.
            qop: ``auth``, ``auth-int``, both with a comma, or None for RFC 2069.
            remembered: How many used nonces are kept. When there are more, all nonces older than
                the one that is forgotten count as stale.

        Raises:
            LocalProtocolError: An algorithm or the qop is not known.
        """
        for algorithm in algorithms:
            if not _hash_name(algorithm):
                raise LocalProtocolError(f"digest algorithm {algorithm} is not known")
            if not _is_supported(algorithm):
                raise LocalProtocolError(f"the OpenSSL of this Python has no {algorithm}")
        if not algorithms or not set(_qop_list(qop)) <= {"auth", "auth-int"}:
            raise LocalProtocolError(f"qop {qop} is not known, or there is no algorithm")
        self._realm = realm
        self._realm_bytes = _bytes(realm) + b"\0"
        # With a key it is a MAC (RFC 7693 section 2.9), in one pass where HMAC takes four.
        self._sealer = hashlib.blake2s(
            key=hashlib.sha256(secret).digest(), digest_size=_NONCE_SIZE - _STAMP_SIZE
        )
        self._life = int(nonce_life * 1000)
        self._algorithms = tuple(algorithms)
        self._greeting = f'Digest realm={quote(realm)}, nonce="'
        self._offer = f', qop="{qop}"' if qop else ""
        self._remembered = remembered
        self._issued = 0
        self._last_a2 = ("", "")  # devices ask the same of the same URI, one after the other
        self._last_ha2 = ""
        self._used: dict[int, int] = {}
        self._in_order: deque[int] = deque()
        self._forgotten_at: int | None = None

    def challenge(self, user: str, now: float, *, stale: bool = False) -> list[str]:
        """Make the WWW-Authenticate values for a 401, one for each algorithm."""
        nonce = self._make_nonce(user, now)
        way = f"{self._offer}, stale=true" if stale else self._offer
        return [
            f'{self._greeting}{nonce}"{way}, algorithm={algorithm}'
            for algorithm in self._algorithms
        ]

    def verify(
        self, request: Request, user: str, password_or_ha1: str | Ha1, now: float
    ) -> Verdict:
        """Check the credentials of a request.

        The ``uri`` parameter is hashed as the client wrote it and not compared with the
        Request-URI: they differ in the field. A nonce serves once; with qop it serves as long as
        ``nc`` rises.

        Args:
            request: With its Authorization.
            user: The user that the nonce was made for and that the credentials must name.
            password_or_ha1: What the user is known by.
            now: The clock that ``challenge`` was called with.
        """
        credentials = _find_credentials(request)
        if credentials is None:
            return Verdict.NO_CREDENTIALS
        if credentials.username != user:
            return Verdict.WRONG_USER
        stamp = self._read_nonce(credentials.parameters.get("nonce", ""), user)
        if stamp is None:
            return Verdict.FOREIGN_NONCE
        if not self._is_right(request, credentials, password_or_ha1):
            return Verdict.WRONG
        return Verdict.OK if self._use(credentials, stamp, now) else Verdict.STALE

    def _is_right(
        self, request: Request, credentials: Credentials, password_or_ha1: str | Ha1
    ) -> bool:
        given = credentials.parameters
        algorithm = self._algorithm_of(credentials)
        if algorithm is None:
            return False
        if isinstance(password_or_ha1, Ha1):
            if _hash_name(password_or_ha1.algorithm) != _hash_name(algorithm):
                return False
            ha1 = password_or_ha1.digest.lower()
        else:
            ha1 = compute_ha1(credentials.username, self._realm, password_or_ha1, algorithm)
        qop = given.get("qop", "").lower()
        if qop not in ("", "auth", "auth-int") or (qop and not _is_nonce_count(given.get("nc"))):
            return False
        a2 = _a2(algorithm, request.method, request.body, given, qop)
        if (algorithm, a2) != self._last_a2:
            self._last_a2, self._last_ha2 = (algorithm, a2), _digest(algorithm, a2)
        expected = _response(ha1, self._last_ha2, algorithm, given, qop)
        return hmac.compare_digest(expected.encode(), _bytes(given.get("response", "").lower()))

    def _algorithm_of(self, credentials: Credentials) -> str | None:
        """Return the offered algorithm that was used; None when it was none of them."""
        if credentials.parameters.get("algorithm") in self._algorithms:
            return credentials.parameters["algorithm"]
        if not credentials.parameters.get("algorithm"):
            # It should mean MD5 (RFC 7616 3.4), yet some clients leave out what was the only one.
            is_md5 = any(_spelling(offered) == "MD5" for offered in self._algorithms)
            return "MD5" if is_md5 else self._algorithms[0]
        asked = _spelling(credentials.algorithm)
        return next((name for name in self._algorithms if _spelling(name) == asked), None)

    def _use(self, credentials: Credentials, stamp: int, now: float) -> bool:
        """Take a nonce that came with a right response; False when it is too old or was used."""
        clock, issued = int(now * 1000) % _CLOCK, _issue_time(stamp)
        if (clock - issued) % _CLOCK > self._life:
            return False
        if self._forgotten_at is not None:
            # Whatever was issued before the youngest forgotten nonce may have been used.
            if (clock - self._forgotten_at) % _CLOCK > self._life:
                self._forgotten_at = None
            elif (clock - issued) % _CLOCK >= (clock - self._forgotten_at) % _CLOCK:
                return False
        count = int(credentials.parameters["nc"], 16) if credentials.parameters.get("qop") else 1
        # Without qop the count stays at 1, so the second use fails; mixing both only costs more.
        if count <= self._used.get(stamp, 0):
            return False
        if stamp not in self._used:
            self._in_order.append(stamp)
        self._used[stamp] = count
        self._forget(clock)
        return True

    def _forget(self, clock: int) -> None:
        while self._in_order:
            oldest = self._in_order[0]
            age = (clock - _issue_time(oldest)) % _CLOCK
            if age <= self._life and len(self._used) <= self._remembered:
                return
            del self._used[self._in_order.popleft()]
            if age <= self._life and (
                self._forgotten_at is None or age < (clock - self._forgotten_at) % _CLOCK
            ):
                self._forgotten_at = _issue_time(oldest)

    def _make_nonce(self, user: str, now: float) -> str:
        self._issued = (self._issued + 1) % 2**_COUNTER_BITS
        number = (int(now * 1000) % _CLOCK) << _COUNTER_BITS | self._issued
        stamp = number.to_bytes(_STAMP_SIZE, "big")
        return (stamp + self._seal(stamp, user)).hex()

    def _read_nonce(self, nonce: str, user: str) -> int | None:
        """Return time and number of a nonce; None when it was not made here for this user."""
        try:
            raw = bytes.fromhex(nonce)
        except ValueError:
            return None
        stamp, seal = raw[:_STAMP_SIZE], raw[_STAMP_SIZE:]
        if len(nonce) != 2 * _NONCE_SIZE or not hmac.compare_digest(seal, self._seal(stamp, user)):
            return None
        return int.from_bytes(stamp, "big")

    def _seal(self, stamp: bytes, user: str) -> bytes:
        sealer = self._sealer.copy()
        sealer.update(stamp + self._realm_bytes + user.encode("utf-8", "surrogateescape"))
        return sealer.digest()


def answer(
    challenges: Sequence[str],
    *,
    username: str,
    password: str | Ha1,
    method: str,
    uri: str,
    body: bytes = b"",
    cnonce: str,
    nonce_count: int = 1,
) -> str:
    """Make the Authorization value for the first challenge that can be answered.

    Args:
        challenges: WWW-Authenticate values in the server's order, which is its preference; one may
            hold several challenges.
        username: As the server knows it.
        password: Or the HA1, which serves only for its algorithm and realm.
        method: Of the request.
        uri: The Request-URI as it is written.
        body: Hashed when only ``auth-int`` is offered.
        cnonce: Fresh random text.
        nonce_count: Which use of this nonce it is, from 1.

    Raises:
        UnsupportedChallenge: None has a known scheme, algorithm and qop.
    """
    challenge, qop = _choose(challenges, password)
    algorithm = challenge.algorithm
    if isinstance(password, Ha1):
        ha1 = password.digest.lower()
    else:
        ha1 = compute_ha1(username, challenge.realm, password, algorithm)
    given = {
        "username": username,
        "realm": challenge.realm,
        "nonce": challenge.nonce,
        "uri": uri,
        "response": "",
        "algorithm": algorithm,
    }
    if "opaque" in challenge.parameters:
        given["opaque"] = challenge.parameters["opaque"]
    if qop:
        given |= {"qop": qop, "nc": f"{nonce_count:08x}"}
    if qop or _is_session(algorithm):
        given["cnonce"] = cnonce
    ha2 = _digest(algorithm, _a2(algorithm, method, body, given, qop))
    given["response"] = _response(ha1, ha2, algorithm, given, qop)
    return _unquoted_qop(Credentials("Digest", given), qop)


def compute_ha1(username: str, realm: str, password: str, algorithm: str = "MD5") -> str:
    """Hash user, realm and password; for a ``-sess`` algorithm without its nonces.

    Raises:
        UnsupportedChallenge: The algorithm is not known.
    """
    return _digest(algorithm, f"{username}:{realm}:{password}")


def _choose(challenges: Sequence[str], password: str | Ha1) -> tuple[Challenge, str]:
    offers, refused = _read_challenges(challenges)
    for challenge in offers:
        algorithm = challenge.algorithm
        if not challenge.is_digest or not _is_supported(algorithm):
            refused.append(f"{challenge.scheme} {algorithm}")
        elif isinstance(password, Ha1) and _hash_name(password.algorithm) != _hash_name(algorithm):
            refused.append(f"{algorithm}, but only the {password.algorithm} hash is known")
        elif not challenge.qop or "auth" in challenge.qop:
            return challenge, "auth" if challenge.qop else ""
        elif "auth-int" in challenge.qop:
            return challenge, "auth-int"
        else:
            refused.append(f"qop {','.join(challenge.qop)}")
    offered = "; ".join(refused) or "nothing"
    raise UnsupportedChallenge(f"no challenge can be answered, offered was: {offered[:200]}")


def _read_challenges(texts: Sequence[str]) -> tuple[list[Challenge], list[str]]:
    challenges: list[Challenge] = []
    unreadable: list[str] = []
    for text in texts:
        for part in split_challenges(text):
            try:
                challenges.append(parse_challenge(part))
            except MalformedMessage:
                unreadable.append("unreadable")
    return challenges, unreadable


def _find_credentials(request: Request) -> Credentials | None:
    """Return the first Digest credentials; unreadable ones count as not there."""
    for text in request.headers.get_all("Authorization"):
        try:
            credentials = parse_credentials(text)
        except MalformedMessage:
            continue
        if credentials.is_digest:
            return credentials
    return None


def _a2(algorithm: str, method: str, body: bytes, given: dict[str, str], qop: str) -> str:
    """Return what the request contributes to the response (RFC 7616 3.4.3)."""
    a2 = f"{method}:{given.get('uri', '')}"
    return f"{a2}:{_digest(algorithm, body)}" if qop == "auth-int" else a2


def _response(ha1: str, ha2: str, algorithm: str, given: dict[str, str], qop: str) -> str:
    """Compute the response (RFC 7616 3.4.1; without qop RFC 2617 3.2.2.1)."""
    nonce, cnonce = given.get("nonce", ""), given.get("cnonce", "")
    if _is_session(algorithm):
        ha1 = _digest(algorithm, f"{ha1}:{nonce}:{cnonce}")
    if not qop:
        return _digest(algorithm, f"{ha1}:{nonce}:{ha2}")
    return _digest(algorithm, f"{ha1}:{nonce}:{given.get('nc', '')}:{cnonce}:{given['qop']}:{ha2}")


def _digest(algorithm: str, data: str | bytes) -> str:
    name = _hash_name(algorithm)
    try:
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        # hashlib.new is slow for the two that every Python has.
        if name == "md5":
            return hashlib.md5(raw, usedforsecurity=False).hexdigest()
        if name == "sha256":
            return hashlib.sha256(raw, usedforsecurity=False).hexdigest()
        return hashlib.new(name, raw, usedforsecurity=False).hexdigest()
    except ValueError as exc:
        raise UnsupportedChallenge(f"this Python has no {algorithm}") from exc


def _hash_name(algorithm: str) -> str:
    if algorithm == "MD5":
        return "md5"
    return _HASHES.get(_spelling(algorithm).removesuffix(_SESSION), "")


def _spelling(algorithm: str) -> str:
    """Return what all spellings of an algorithm share: ``sha256-sess`` is ``SHA-256-SESS``."""
    return algorithm.upper().replace("-", "").replace("_", "")


def _is_session(algorithm: str) -> bool:
    return algorithm != "MD5" and _spelling(algorithm).endswith(_SESSION)


def _is_supported(algorithm: str) -> bool:
    return _hash_name(algorithm) in hashlib.algorithms_available


def _qop_list(qop: str | None) -> list[str]:
    return [] if qop is None else [value.strip() for value in qop.split(",")]


def _is_nonce_count(text: str | None) -> bool:
    return text is not None and _NONCE_COUNT.match(text) is not None


def _issue_time(stamp: int) -> int:
    return stamp >> _COUNTER_BITS


def _unquoted_qop(credentials: Credentials, qop: str) -> str:
    # In a challenge qop is quoted, in credentials it is not (RFC 7616 3.4).
    text = str(credentials)
    return text.replace(f'qop="{qop}"', f"qop={qop}") if qop else text


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
