"""The credentials of one request: for its server, and for proxies on the way."""

from __future__ import annotations

from dataclasses import dataclass

from sip.auth import answer
from sip.errors import SipError
from sip.headers import parse_challenge, split_challenges
from sip.message import Response

# A challenge with a fresh nonce is answered once more; then the password is taken to be wrong.
MAX_ANSWERS = 2
CHALLENGES = frozenset({401, 407})
# RFC 3261 16.7: a response may hold challenges of both kinds, whatever its status.
_FIELDS = (
    ("WWW-Authenticate", "Authorization", "the server"),
    ("Proxy-Authenticate", "Proxy-Authorization", "a proxy on the way"),
)


@dataclass(slots=True)
class _Challenged:
    """What one kind of challenger asked for."""

    values: list[str]
    nonces: set[str]
    answers: int = 0
    """How many of its challenges were taken."""
    uses: int = 0
    """How often the nonce in force was used."""


class Proofs:
    """Answers the challenges of one request, 401 and 407, until it has passed or is refused.

    Each of the two kinds is answered ``MAX_ANSWERS`` times: a request is sent five times at most.

    Source: RFC 3261 sections 22.2 and 22.3.
    """

    __slots__ = ("_by_field",)

    def __init__(self) -> None:
        self._by_field: dict[str, _Challenged] = {}

    def clear(self) -> None:
        """Begin with another request."""
        self._by_field.clear()

    def take(self, response: Response) -> str:
        """Take a 401 or 407; return why it is not to be answered, empty when it is.

        A nonce that was answered already means that the password is wrong.
        """
        is_challenge = False
        for name, own, who in _FIELDS:
            values = response.headers.get_all(name)
            if not values:
                continue
            is_challenge = True
            nonces = _nonces(values)
            known = self._by_field.get(own)
            if known is not None and (known.answers >= MAX_ANSWERS or nonces & known.nonces):
                return f"{who} does not accept our password"
            answers = 1 if known is None else known.answers + 1
            self._by_field[own] = _Challenged(values, nonces, answers)
        return "" if is_challenge else f"{response.status} without a challenge"

    def fields(
        self, *, username: str, password: str, method: str, uri: str, cnonce: str
    ) -> list[tuple[str, str]]:
        """Return the header fields that answer what was asked for so far.

        Raises:
            UnsupportedChallenge: None of one kind can be answered.
        """
        given = []
        for name, challenged in self._by_field.items():
            challenged.uses += 1
            value = answer(
                challenged.values,
                username=username,
                password=password,
                method=method,
                uri=uri,
                cnonce=cnonce,
                nonce_count=challenged.uses,
            )
            given.append((name, value))
        return given


def _nonces(values: list[str]) -> set[str]:
    nonces = set()
    for value in values:
        for part in split_challenges(value):
            try:
                nonces.add(parse_challenge(part).nonce)
            except SipError:
                continue  # the answer names what is wrong with it
    return nonces
