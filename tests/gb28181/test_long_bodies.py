from __future__ import annotations

import asyncio

import pytest

from gb28181.edition import Edition
from gb28181.errors import MalformedCommand
from gb28181.inbox import decode_long
from gb28181.manscdp.catalog import CatalogItem, CatalogResponse
from gb28181.manscdp.codec import Decoded, decode, encode


def catalogue(count: int) -> bytes:
    items = tuple(
        CatalogItem(device_id=f"3402000000132{n:07d}", name=f"东门{n}", status="ON", parental=0)
        for n in range(count)
    )
    message = CatalogResponse(sn="1", device_id="2", sum_num=count, items=items)
    return encode(message, Edition.GB2016)


async def turns_of_others(body: bytes) -> tuple[Decoded, int]:
    """Read a body, and count how often somebody else was let in meanwhile."""
    reading = asyncio.ensure_future(decode_long(body))
    turns = 0
    while not reading.done():
        turns += 1
        await asyncio.sleep(0)
    return await reading, turns


@pytest.mark.parametrize("damage", [b"", b"A&B<"])
async def test_a_long_body_is_read_as_ever_and_others_run_meanwhile(damage: bytes) -> None:
    body = catalogue(3000).replace(b"<Name>", b"<Name>" + damage, 1)
    decoded, turns = await turns_of_others(body)
    assert decoded == decode(body)
    assert isinstance(decoded.message, CatalogResponse)
    assert len(decoded.message.items) == 3000
    assert turns > 30  # at most a hundred items between two turns


async def test_what_cannot_be_read_is_refused_in_the_end() -> None:
    with pytest.raises(MalformedCommand):
        await decode_long(b"<html>" + b"x" * 100_000 + b"</html>")
