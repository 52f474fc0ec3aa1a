"""Reads long bodies a little at a time, so that nobody else has to wait."""

from __future__ import annotations

import asyncio

from .manscdp.codec import Decoded, decode_steps

LONG_BODY = 64 * 1024
"""A longer body is read so: about 130 items, two milliseconds."""


async def decode_long(body: bytes, *, hint_charset: str | None = None) -> Decoded:
    """Read a MANSCDP body; others run every few milliseconds meanwhile.

    Raises:
        MalformedCommand: As ``decode``.
    """
    steps = decode_steps(body, hint_charset=hint_charset)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            decoded: Decoded = end.value
            return decoded
        await asyncio.sleep(0)
