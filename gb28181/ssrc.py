"""SSRC values of media sessions and their allocation within a domain."""

from __future__ import annotations

from typing import NewType

from .errors import InvalidIdentifier, SsrcsExhausted

Ssrc = NewType("Ssrc", int)

_NUMBERS = 10_000


def format_ssrc(ssrc: int) -> str:
    """Write an SSRC as the ``y=`` line does: ten digits, zero padded."""
    return f"{ssrc:010d}"


def parse_ssrc(text: str) -> Ssrc:
    """Read the value of a ``y=`` line, of any number of digits.

    Raises:
        InvalidIdentifier: Not decimal digits, or more than 32 bits.
    """
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 64:
        raise InvalidIdentifier(f"{digits[:40]!r} is not an SSRC")
    value = int(digits)
    if value > 0xFFFFFFFF:
        raise InvalidIdentifier(f"{digits} is more than an SSRC can hold")
    return Ssrc(value)


class SsrcPool:
    """Leases the SSRC values of one domain: 9,999 for live and as many for historical media.

    A value comes back only by ``release``, and is then used as late as possible.

    Source: GB/T 28181-2022 Annex G (2016 Annex F): first digit 0 live, 1 historical; digits
    2-6 are digits 4-8 of the domain's code; the last four are unique within the domain.
    """

    def __init__(self, domain_id: str, *, start: int = 1) -> None:
        """Open the pool.

        Args:
            domain_id: The platform's code, or at least its first eight digits.
            start: The number to begin with, so that a restarted process does not lease
                at once what its predecessor's devices may still be sending.

        Raises:
            InvalidIdentifier: The code has no eight digits.
        """
        area = domain_id[3:8]
        if len(area) != 5 or not (area.isascii() and area.isdigit()):
            raise InvalidIdentifier(f"{domain_id!r} has no digits 4 to 8 to make an SSRC of")
        self._bases = {False: int("0" + area) * _NUMBERS, True: int("1" + area) * _NUMBERS}
        self._next = {False: start % _NUMBERS, True: start % _NUMBERS}
        self._leased: set[int] = set()

    def __len__(self) -> int:
        """Count the values in use."""
        return len(self._leased)

    def lease(self, historical: bool = False) -> Ssrc:
        """Take a value that nobody in the domain uses.

        Args:
            historical: For playback and download; otherwise for live media.

        Raises:
            SsrcsExhausted: All values of the kind are in use.
        """
        base, number = self._bases[historical], self._next[historical]
        for _ in range(_NUMBERS):
            ssrc, last = base + number, number
            number = (number + 1) % _NUMBERS
            # 0000 is left out: a peer may take an SSRC that ends in zeros for none at all.
            if last and ssrc not in self._leased:
                self._leased.add(ssrc)
                self._next[historical] = number
                return Ssrc(ssrc)
        kind = "historical" if historical else "live"
        raise SsrcsExhausted(f"all {_NUMBERS - 1} SSRC values for {kind} media are in use")

    def release(self, ssrc: int) -> None:
        """Give a value back. What the pool has not leased (a peer's own choice) is ignored."""
        self._leased.discard(ssrc)
