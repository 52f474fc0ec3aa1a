"""Editions of the standard, and which of them a peer speaks."""

from __future__ import annotations

from enum import Enum


class Edition(Enum):
    """An edition of GB/T 28181, by the version string of the ``X-GB-Ver`` header.

    Source: GB/T 28181-2022 Annex I.
    """

    GB2011 = "1.0"
    GB2011A = "1.1"
    GB2016 = "2.0"
    GB2022 = "3.0"

    @property
    def version(self) -> str:
        """The version as ``X-GB-Ver`` writes it."""
        return self.value

    @property
    def charset(self) -> str:
        """The charset that XML bodies of this edition declare.

        Source: 6.10: GB2312 (2016, should), GB 18030 (2022, shall).
        """
        return "GB18030" if self is Edition.GB2022 else "GB2312"

    def __ge__(self, other: Edition) -> bool:
        return self.value >= other.value

    def __gt__(self, other: Edition) -> bool:
        return self.value > other.value

    def __le__(self, other: Edition) -> bool:
        return self.value <= other.value

    def __lt__(self, other: Edition) -> bool:
        return self.value < other.value

    @classmethod
    def from_version(cls, text: str | None, default: Edition | None = None) -> Edition:
        """Tell the edition of a peer from its ``X-GB-Ver`` header.

        Args:
            text: The header's value; ``None`` when the peer sent none.
            default: What a peer speaks that does not say. 2016 unless given.

        Returns:
            The newest edition that is not above the version; ``default`` for what is no version.
        """
        fallback = cls.GB2016 if default is None else default
        major, _, minor = (text or "").strip().partition(".")
        if not (major.isascii() and major.isdigit()):
            return fallback
        number = (int(major[:6]), int(minor[:6]) if minor.isascii() and minor.isdigit() else 0)
        known = [e for e in cls if tuple(int(part) for part in e.value.split(".")) <= number]
        return known[-1] if known else fallback
