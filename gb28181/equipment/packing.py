"""Packing: cuts an answer with many items into messages that fit a budget of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ..edition import Edition
from ..manscdp.catalog import CatalogResponse
from ..manscdp.codec import encode
from ..manscdp.record import RecordInfoResponse

MAX_ITEMS = 10_000
"""Of one message.

Source: GB/T 28181-2022 Annex M.
"""
_NUM_DIGITS = 4

PageT = TypeVar("PageT", CatalogResponse, RecordInfoResponse)


def pack(
    empty: PageT, items: Sequence[Any], *, budget: int, edition: Edition, charset: str | None = None
) -> Iterator[PageT]:
    """Yield the messages one after the other, each made when it is asked for.

    An item that alone is larger than the budget has a message of its own. No items are one
    message without a list.

    Args:
        empty: The message without items; its ``sum_num`` counts those of all messages.
        items: In the order to send.
        budget: Bytes of a body.
        edition: Of the peer.
        charset: Of the peer, when it is not its edition's.

    Source: GB/T 28181-2022 Annex M.
    """
    if not items:
        yield empty
        return

    def size(*some: Any) -> int:
        return len(encode(replace(empty, items=some), edition, charset))

    frame = 2 * size(items[0]) - size(items[0], items[0])
    start, used = 0, frame + _NUM_DIGITS
    for place, item in enumerate(items):
        needed = size(item) - frame
        if place > start and (used + needed > budget or place - start >= MAX_ITEMS):
            yield replace(empty, items=tuple(items[start:place]))
            start, used = place, frame + _NUM_DIGITS
        used += needed
    yield replace(empty, items=tuple(items[start:]))
