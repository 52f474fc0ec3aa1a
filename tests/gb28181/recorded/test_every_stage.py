"""A session of any kind, cut off at every packet of its life: nothing is left on either side."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gb28181.errors import Gb28181Error
from gb28181.testing.link import Traced
from gb28181.testing.simulation import Simulation

if TYPE_CHECKING:
    from tests.gb28181.recorded.conftest import Recorder, Recorders

Viewer = Callable[["Recorder", Path], Awaitable[None]]


async def live(world: Recorder, folder: Path) -> None:
    async with world.channel.play() as stream:
        seen = 0
        async for _unit in stream.units():
            seen += 1
            if seen == 5:
                return


async def playback(world: Recorder, folder: Path) -> None:
    async with world.channel.play_back(world.at(0), world.at(60)) as tape:
        units = tape.units()
        for _ in range(3):
            await anext(units)
        await tape.pause()
        await asyncio.sleep(1)
        await tape.resume()
        await tape.seek(world.at(30))
        await tape.set_speed(4.0)
        for _ in range(3):
            await anext(units)


async def download(world: Recorder, folder: Path) -> None:
    await world.channel.download(
        world.at(0), world.at(2), to=folder / "a.mp4", speed=8, patience=30.0
    )


KINDS: dict[str, Viewer] = {"live": live, "playback": playback, "download": download}


def at_packet(gb: Simulation, world: Recorder, number: int, act: Callable[[], None]) -> None:
    """Do something when so many packets have passed between the two since now."""
    hosts = {gb.host_of(world.platform).address, world.device.host.address}
    count = 0
    loop = asyncio.get_running_loop()

    def judge(packet: Traced) -> bool:
        nonlocal count
        if {packet.source[0], packet.destination[0]} == hosts:
            count += 1
            if count == number:
                loop.call_soon(act)
        return True

    gb.network.filter(judge)


async def cut_off(
    gb: Simulation, world: Recorder, kind: str, fault: str, number: int, folder: Path
) -> None:
    work = asyncio.ensure_future(KINDS[kind](world, folder))
    hosts = gb.host_of(world.platform), world.device.host

    def hang_up() -> None:
        for session in tuple(world.device.role.sessions):
            session.call.hang_up()

    def partition() -> None:
        gb.network.partition(*hosts)

    def act() -> None:
        if fault == "cancel":
            work.cancel()
        elif fault == "bye":
            hang_up()
        else:
            partition()

    at_packet(gb, world, number, act)
    await asyncio.wait({work}, timeout=200)
    if not work.done():
        work.cancel()
        await asyncio.wait({work})
    if not work.cancelled() and work.exception() is not None:
        assert isinstance(work.exception(), (Gb28181Error, StopAsyncIteration))
    gb.network.heal()
    # Both sides give up by themselves: transactions 32 s, silence 20 s, the linger of a stream.
    await gb.advance(150)
    assert world.device.role.sessions == []
    assert world.platform.sessions.recorded == set()
    assert gb.leaks() == []


def stages_at_the_end(text: str) -> set[str]:
    """The last stage of each session before it ended, from the log."""
    found = re.findall(r"([\w ]+?) [\d.]+(?: \([^)]*\))?, ending", text)
    return {stage.strip() for stage in found}


async def step_through(
    gb: Simulation,
    recorder: Recorders,
    folder: Path,
    way: tuple[str, str, str, str],
    packets: Iterable[int],
) -> None:
    kind, fault, transport, mode = way
    world = await recorder(mode=mode, silence=20.0, device={"transport": transport})
    await gb.advance(5)
    for number in packets:
        await cut_off(gb, world, kind, fault, number, folder)
        await gb.until(lambda: world.channel.is_online, within=300)


WAYS = [
    (kind, fault, transport, mode)
    for kind in KINDS
    for fault in ("cancel", "bye", "loss")
    for transport, mode in (("udp", "udp"), ("tcp", "tcp-passive"))
]


@pytest.mark.parametrize("way", [one for one in WAYS if one[2] == "udp"], ids="-".join)
async def test_nothing_is_left_wherever_a_session_is_cut_off(
    gb: Simulation,
    recorder: Recorders,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    way: tuple[str, str, str, str],
) -> None:
    caplog.set_level(logging.INFO, "gb28181.session")
    await step_through(gb, recorder, tmp_path, way, (1, 2, 3, 5, 9))
    assert len(stages_at_the_end(caplog.text)) >= (1 if way[1] == "bye" else 2)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids="-".join)
async def test_nothing_is_left_at_any_packet_at_all(
    gb: Simulation,
    recorder: Recorders,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    way: tuple[str, str, str, str],
) -> None:
    caplog.set_level(logging.INFO, "gb28181.session")
    # Over TCP acknowledgements pass as well: what comes late in a session comes later there.
    later = way[2] != "udp" and way[1] != "loss"
    numbers = (*range(1, 24), *(range(24, 100, 4) if later else ()))
    await step_through(gb, recorder, tmp_path, way, numbers)
    stages = stages_at_the_end(caplog.text)
    assert "flowing" in stages
    if way[1] == "cancel":
        assert stages & {"asked", "trying"}
        # A stream that nobody reads any more lingers, and is flowing when it ends.
        assert way[0] == "live" or stages & {"acknowledged", "answered"}
    # Nothing passes in a pause, so a link is cut before or after it; see test_serving for within.
    if way[0] == "playback" and way[1] != "loss":
        assert "paused" in stages
