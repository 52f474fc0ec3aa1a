"""Play a camera for ever: every loss has a cause, and the stream is opened again by itself.

Run it: ``python examples/play_with_reconnection.py PASSWORD [CHANNEL]``
Needs the extra ``media``.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence

from gb28181 import Backoff, CatalogChanged, Platform, SessionLost

PLATFORM_ID = "34020000002000000001"
CHANNEL_ID = "34020000001320000001"
LISTEN = ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")


async def listed(platform: Platform, channel_id: str) -> None:
    """Wait until a device lists the channel: before that, playing it is an error for good."""
    async with platform.events() as events:
        async for event in events:
            if isinstance(event, CatalogChanged) and channel_id in event.added:
                return


async def main(
    password: str,
    channel_id: str = CHANNEL_ID,
    *,
    listen: Sequence[str] = LISTEN,
    retry: Backoff = Backoff(1.0, 30.0),  # noqa: B008 - frozen
    say: Callable[[str], None] = print,
) -> None:
    async with Platform(PLATFORM_ID, password_for=lambda _: password, listen=listen) as platform:
        await listed(platform, channel_id)
        camera = platform.channel(channel_id)  # valid while its device is away, or after it moved
        async for live in camera.play(retry=retry):
            first = True
            try:
                async for packet in live.packets():  # av.Packet, time base 1/90000
                    if first:
                        say(f"plays: first packet has {packet.size} bytes, pts {packet.pts}")
                        first = False
            except SessionLost as lost:
                say(f"lost ({lost.cause.code}): {lost.cause.sentence}")
                if lost.cause.permanent:  # no such channel, no right: trying again is useless
                    break


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
