"""Register a county under a city: the city sees the county's cameras and plays them through it.

Run it: ``python examples/cascade_under_upper.py DEVICE_PASSWORD UPPER_PASSWORD``
"""

import asyncio
import sys
from collections.abc import Callable, Sequence

from gb28181 import Cascade, IdMap, Platform, Share, Upper

COUNTY_ID = "34020000002000000001"
CITY_ID = "34010000002000000001"
CITY = "udp://203.0.113.7:5060"
LISTEN = ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")


async def main(
    device_password: str,
    city_password: str,
    *,
    city: str = CITY,
    listen: Sequence[str] = LISTEN,
    retry: float = 60.0,
    say: Callable[[str], None] = print,
) -> None:
    county = Platform(COUNTY_ID, password_for=lambda _: device_password, listen=listen)
    upper = Upper(id=CITY_ID, server=city, password=city_password, retry=retry)
    share = Share(
        wanted=lambda item: item.device_id.startswith("3402"),  # the others stay unseen
        ids=IdMap({"34020000001320000001": "34010000001320000077"}),  # own id: published id
    )
    async with county, Cascade(county, upper, share) as link:
        # The link never gives up: it backs off, registers again and keeps alive, for ever.
        async for change in link.states():
            say(f"{change.state.name}: {change.reason}")
            for item in await link.preview():  # the tree as the city will see it
                say(f"  {item.device_id} {item.name} {item.status}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
