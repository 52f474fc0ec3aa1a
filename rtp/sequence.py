"""Serial numbers that wrap: RTP sequence numbers, RTP timestamps, 33-bit MPEG time stamps."""

from __future__ import annotations


class Unwrapper:
    """Turns wrapping values into integers that go on rising, or falling, without a wrap.

    Each value is taken as the one nearest to the value before it, in either direction.

    Source: RFC 1982 section 3.
    """

    def __init__(self, bits: int) -> None:
        self._modulus = 1 << bits
        self._half = 1 << (bits - 1)
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """Return the unwrapped value; the first one comes back as it is."""
        last = self._last
        if last is None:
            self._last = value
            return value
        half = self._half
        self._last = last = last + ((value - last + half) % self._modulus) - half
        return last

    def reset(self) -> None:
        """Forget the past: the next value comes back as it is."""
        self._last = None


def distance(value: int, reference: int, bits: int = 16) -> int:
    """Return the signed way from ``reference`` to ``value``; positive when it is newer."""
    half = 1 << (bits - 1)
    return ((value - reference + half) & ((1 << bits) - 1)) - half


def is_newer(value: int, reference: int, bits: int = 16) -> bool:
    """Whether ``value`` comes after ``reference`` in serial order."""
    return distance(value, reference, bits) > 0
