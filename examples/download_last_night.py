"""Download last night of one camera into an MP4, going on after every break.

Run it: ``python examples/download_last_night.py PASSWORD [CHANNEL]``
Needs the extra ``media``.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from gb28181 import CatalogChanged, Platform, SessionLost

PLATFORM_ID = "34020000002000000001"
CHANNEL_ID = "34020000001320000001"
LISTEN = ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")


def last_night(now: datetime) -> tuple[datetime, datetime]:
    """From ten in the evening to six in the morning, in the zone of ``now``."""
    morning = now.replace(hour=6, minute=0, second=0, microsecond=0)
    if morning > now:
        morning -= timedelta(days=1)
    return morning - timedelta(hours=8), morning


async def main(
    password: str,
    channel_id: str = CHANNEL_ID,
    *,
    span: tuple[datetime, datetime] | None = None,
    to: str = "last-night.mp4",
    listen: Sequence[str] = LISTEN,
    say: Callable[[str], None] = print,
) -> None:
    start, end = span or last_night(datetime.now().astimezone())
    async with Platform(PLATFORM_ID, password_for=lambda _: password, listen=listen) as platform:
        async with platform.events() as events:
            async for event in events:
                if isinstance(event, CatalogChanged) and channel_id in event.added:
                    break
        try:
            done = await platform.channel(channel_id).download(
                start, end, to=to, speed=8,
                progress=lambda now: say(f"{now.fraction:6.1%}  {now.position:%H:%M:%S}"),
            )  # fmt: skip
        except SessionLost as lost:
            say(f"nothing could be had: {lost.cause.sentence}")
            return
        say(f"{done.paths[0]}: {done.frames} pictures, {done.duration:.0f} s")
        for first, last in done.missing:
            say(f"missing from {first:%H:%M:%S} to {last:%H:%M:%S}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
