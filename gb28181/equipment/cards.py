"""The memory cards of a device: room, state, and formatting that takes its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..manscdp.storage import SdCard

MAX_CARDS = 8
"""Of one answer.

Source: GB/T 28181-2022 A.2.6.16.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSettings:
    """One card as it was put in."""

    name: str = "SD"
    capacity: int = 131_072
    """Megabytes."""
    used: int = 0
    """Megabytes."""
    status: str = "ok"
    """``ok``, ``unformatted``, ``idle`` or ``error``."""


class _Card:
    def __init__(self, number: int, settings: CardSettings) -> None:
        self.number = number
        self.settings = settings
        self.status = settings.status
        self.used = settings.used
        self.format_began: float | None = None


class Cards:
    """All cards of a device, numbered from 1."""

    def __init__(self, cards: Sequence[CardSettings], *, format_time: float = 30.0) -> None:
        """Put the cards in; of more than eight, the first.

        Args:
            cards: In order of their numbers.
            format_time: Seconds that formatting takes.
        """
        self._cards = [_Card(number, one) for number, one in enumerate(cards[:MAX_CARDS], 1)]
        self._format_time = format_time

    def __len__(self) -> int:
        return len(self._cards)

    def status(self, now: float) -> tuple[SdCard, ...]:
        """How they do."""
        return tuple(self._status(card, now) for card in self._cards)

    def format(self, number: int, now: float) -> bool:
        """Begin to format one card, or all with 0; False when there is no such card."""
        meant = [card for card in self._cards if number in (0, card.number)]
        for card in meant:
            self._finish(card, now)
            if card.format_began is None and card.status != "error":
                card.format_began = now
        return bool(meant)

    def restart(self, now: float) -> None:
        """Lose power: a card that was being formatted is not formatted."""
        for card in self._cards:
            self._finish(card, now)
            if card.format_began is not None:
                card.format_began, card.status = None, "unformatted"

    def _finish(self, card: _Card, now: float) -> None:
        if card.format_began is not None and now >= card.format_began + self._format_time:
            card.format_began, card.status, card.used = None, "ok", 0

    def _status(self, card: _Card, now: float) -> SdCard:
        self._finish(card, now)
        settings = card.settings
        if card.format_began is not None:
            done = int(100 * (now - card.format_began) / self._format_time)
            return SdCard(
                id=card.number, name=settings.name, status="formatting",
                format_progress=done, capacity=settings.capacity, free_space=0,
            )  # fmt: skip
        usable = card.status in ("ok", "idle")
        return SdCard(
            id=card.number,
            name=settings.name,
            status=card.status,
            capacity=settings.capacity,
            free_space=max(0, settings.capacity - card.used) if usable else 0,
        )
