"""The header fields of a message: their text in order, and what was read of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from .errors import LocalProtocolError
from .headers import CSeq, NameAddr, Via, is_token
from .usual import KNOWN_NAMES as KNOWN_NAMES

# RFC 3261 7.3.3 and the registry of header fields.
_COMPACT: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}

# Fields that hop-by-hop processing needs stand on top (RFC 3261 7.3.1), the body's at the end.
_RANK: Final = {
    "via": 0,
    "route": 1,
    "record-route": 2,
    "max-forwards": 3,
    "from": 4,
    "to": 5,
    "call-id": 6,
    "cseq": 7,
    "contact": 8,
    "content-type": 10,
    "content-length": 11,
}
_RANK_OF_OTHERS: Final = 9
_RANK_OF_LENGTH: Final = 11

_READ_AHEAD: Final = frozenset(
    {"via", "from", "to", "call-id", "cseq", "contact", "content-length"}
)
_SPELLINGS: Final = {key: name for name, key in KNOWN_NAMES.items()}
RANKS: Final = {name: _RANK.get(key, _RANK_OF_OTHERS) for name, key in KNOWN_NAMES.items()}
"""The place of each usual name on the wire."""


class Parsed:
    """What was read of the fields of one message; None is what nobody has asked for yet."""

    __slots__ = (
        "branch",
        "call_id",
        "contact",
        "cseq",
        "from_",
        "from_tag",
        "from_user",
        "is_usual",
        "length",
        "sent_by",
        "to",
        "to_tag",
        "vias",
    )

    def __init__(self) -> None:
        self.vias: list[Via] | None = None
        self.branch: str | None = None
        self.sent_by: str | None = None
        self.cseq: CSeq | None = None
        self.call_id: str | None = None
        self.from_: NameAddr | None = None
        self.from_tag: str | None = None
        self.from_user: str | None = None
        self.to: NameAddr | None = None
        self.to_tag: str | None = None
        self.contact: NameAddr | None = None
        self.length: int | None = None
        self.is_usual = False
        """Every field that a message needs is there and well formed; Content-Length is read."""


class Headers:
    """Header fields in order, with repeats, found without regard to case or compact form.

    Two are equal when each name has the same values in the same order; the order of different
    names means nothing (RFC 3261 7.3.1), and Content-Length counts as part of the body. Text
    holds bytes that are not UTF-8 as surrogate escapes, so that they leave as they came.
    """

    __slots__ = ("_items", "_keys", "_single", "parsed")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = list(items)
        self._keys: list[str] | None = None
        # In place of both, while each name is spelled as usual and stands there once.
        self._single: dict[str, str] | None = None
        self.parsed = Parsed()
        """What was parsed of the fields, for the message; empty after each change."""

    @classmethod
    def of_single(cls, fields: dict[str, str]) -> Headers:
        """Take fields by their ``KNOWN_NAMES``, in order; the dictionary becomes its own."""
        made = cls()
        made._single = fields
        return made

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a name."""
        if self._single is not None:
            value = self._single.get(name)
            if value is None and name not in KNOWN_NAMES:
                value = self._single.get(_usual_spelling(name))
            return default if value is None else value
        try:
            return self._items[self._known_keys().index(_key(name))][1]
        except ValueError:
            return default

    def get_all(self, name: str) -> list[str]:
        """Return the value of each field of a name, as written: not split at commas."""
        if self._single is not None:
            value = self.get(name)
            return [] if value is None else [value]
        key = _key(name)
        keys = self._known_keys()
        return [item[1] for have, item in zip(keys, self._items, strict=True) if have == key]

    def add(self, name: str, value: str) -> None:
        """Append a field after all others."""
        key = _key(name)
        self._known_keys().append(key)
        self._items.append((name, value))
        self._forget(key)

    def set(self, name: str, value: str) -> None:
        """Replace all fields of a name by one at the place of the first, or append it."""
        if self._single is not None and name in KNOWN_NAMES:
            self._single[name] = value
            self._forget(KNOWN_NAMES[name])
            return
        key = _key(name)
        keys = self._known_keys()
        if key not in keys:
            self.add(name, value)
            return
        place = keys.index(key)
        self.remove(name)
        self._items.insert(place, (name, value))
        self._known_keys().insert(place, key)

    def fill_via(self, value: str) -> None:
        """Replace the one Via by what differs from it in ``rport`` and ``received`` alone."""
        parsed = self.parsed
        if self._single is not None:
            self._single["Via"] = value
        else:
            self.set("Via", value)
        parsed.vias, parsed.is_usual = None, False
        self.parsed = parsed

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others."""
        key = _key(name)
        self._known_keys().insert(0, key)
        self._items.insert(0, (name, value))
        self._forget(key)

    def remove(self, name: str) -> None:
        """Drop all fields of a name; it need not be there."""
        key = _key(name)
        keys = self._known_keys()
        self._items = [item for have, item in zip(keys, self._items, strict=True) if have != key]
        self._keys = [have for have in keys if have != key]
        self._forget(key)

    def items(self) -> list[tuple[str, str]]:
        """Return the fields in order; not to be changed."""
        return self._items if self._single is None else list(self._single.items())

    def copy(self) -> Headers:
        """Return an independent copy."""
        return Headers(self)

    def count(self, name: str) -> int:
        """Return the number of fields of a name."""
        return self._known_keys().count(_key(name))

    def repeated(self) -> frozenset[str]:
        """Return the names that stand there more than once: long form, lower case."""
        keys = self._known_keys()
        once = frozenset(keys)
        if len(once) == len(keys):
            return frozenset()
        return frozenset(key for key in once if keys.count(key) > 1)

    def in_wire_order(self) -> list[tuple[str, str]]:
        """Return the fields as they are written, without Content-Length.

        Routing fields stand first, Content-Type last, the others keep their order.

        Raises:
            LocalProtocolError: A name would break the syntax.
        """
        before = 0
        is_sorted = True
        for name, _ in self:
            rank = RANKS.get(name)
            if rank is None:
                if not is_token(name):
                    raise LocalProtocolError(f"{name!r} is no header name")
                rank = _RANK.get(header_key(name), _RANK_OF_OTHERS)
            if rank < before or rank == _RANK_OF_LENGTH:
                is_sorted = False
            before = rank
        if is_sorted and self._single is None:
            return self._items
        ranked = [(_RANK.get(_key(item[0]), _RANK_OF_OTHERS), item) for item in self]
        ranked.sort(key=_rank_of)
        return [item for rank, item in ranked if rank != _RANK_OF_LENGTH]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._items if self._single is None else self._single)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self._by_key() == other._by_key()

    # Mutable, hence without a hash.
    __hash__ = None  # type: ignore[assignment]  # the documented way to say so

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"

    def _known_keys(self) -> list[str]:
        """Return the key of each of ``_items``; from here on they stand for all fields."""
        if self._single is not None:
            self._items, self._keys, self._single = list(self._single.items()), None, None
        if self._keys is None:
            self._keys = [_key(name) for name, _ in self._items]
        return self._keys

    def _forget(self, key: str) -> None:
        if key in _READ_AHEAD:
            self.parsed = Parsed()

    def _by_key(self) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        for name, value in self:
            key = _key(name)
            if key != "content-length":
                values.setdefault(key, []).append(value)
        return values


def header_key(name: str) -> str:
    """Return the name that all spellings of a header field share: long form, lower case."""
    lowered = name.lower()
    return _COMPACT.get(lowered, lowered)


def _key(name: str) -> str:
    return KNOWN_NAMES.get(name) or header_key(name)


def _usual_spelling(name: str) -> str:
    return _SPELLINGS.get(header_key(name), "")


def _rank_of(ranked: tuple[int, tuple[str, str]]) -> int:
    return ranked[0]
