"""The process that the media benchmark measures: receivers with relays, or with readers of units.

Arguments: WORK MODE PORT STREAMS SECONDS SSRC0 [SINK_PORT]. WORK is ``relay`` or ``ingest``, MODE
``udp`` or ``tcp``. ``TICK_MS`` is the gather tick, by default the 5 ms that ``gb28181 serve`` has;
loop and collector are also set as there. ``GROUP=1`` keeps the group of pictures, ``PROFILE`` names
a file for a profile.
"""

from __future__ import annotations

import asyncio
import cProfile
import gc
import os
import sys
from collections import Counter

from gb28181.gateway.commandline import fast_loop
from gb28181.media.plane import LocalMediaPlane
from gb28181.media.receiver import Receiver
from gb28181.media.relay import MediaSink, Relay
from rtp.access_unit import AccessUnit
from rtp.batch import PacketBatch
from rtp.transport import SocketNetwork

HOST = "127.0.0.1"


def build() -> str:
    """Tell which build this is."""
    module = sys.modules[PacketBatch.__module__]
    return "plain" if str(module.__file__).endswith(".py") else "compiled"


async def run(work: str, mode: str, port: int, streams: int, seconds: float, ssrc: int) -> None:
    tick = float(os.environ.get("TICK_MS", "5")) / 1e3
    network = SocketNetwork(tick=tick)
    plane = LocalMediaPlane(
        network,
        ports=range(port, port + 4 * streams),
        keep_group=os.environ.get("GROUP") == "1",
    )
    receivers: list[Receiver] = []
    sinks: list[MediaSink] = []
    relays: list[Relay] = []
    seen: Counter[str] = Counter()

    def take(unit: AccessUnit) -> None:
        seen["units"] += 1
        seen["bytes"] += len(unit.data)
        seen["damaged"] += unit.is_damaged

    for index in range(streams):
        receiver = await plane.open_receiver("udp" if mode == "udp" else "tcp-passive", host=HOST)
        receiver.expect(ssrc=ssrc + index, host=HOST)
        receivers.append(receiver)
    for index, receiver in enumerate(receivers):
        if work == "ingest":
            receiver.units.attach(take)
            continue
        sink = await plane.open_sink(
            "udp" if mode == "udp" else "tcp-active",
            host=HOST,
            remote=(HOST, int(sys.argv[7])),
        )
        await sink.start()
        sinks.append(sink)
        relays.append(Relay(receiver.batches, sink, ssrc=0x2000_0000 + index, timestamp=1000))
    gc.freeze()  # as ``gb28181 serve`` does
    gc.set_threshold(20_000, 20, 50)
    print("ready", build(), flush=True)
    await asyncio.sleep(seconds)
    statistics = [receiver.statistics for receiver in receivers]
    print(
        f"packets={sum(one.packets for one in statistics)}",
        f"lost={sum(one.lost for one in statistics)}",
        f"kernel_drops={sum(one.kernel_drops for one in statistics)}",
        f"sent={sum(sink.statistics.packets for sink in sinks)}",
        f"dropped={sum(sink.statistics.dropped for sink in sinks)}",
        f"units={seen['units']} damaged={seen['damaged']}",
        flush=True,
    )
    await plane.close()
    network.close()


def main() -> None:
    work, mode = sys.argv[1:3]
    port, streams, seconds, ssrc = (int(argument) for argument in sys.argv[3:7])
    profile = os.environ.get("PROFILE")
    with asyncio.Runner(loop_factory=fast_loop()) as runner:
        main = run(work, mode, port, streams, seconds, ssrc)
        if profile:
            profiler = cProfile.Profile()
            profiler.runcall(runner.run, main)
            profiler.dump_stats(profile)
        else:
            runner.run(main)


if __name__ == "__main__":
    main()
