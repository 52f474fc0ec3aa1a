"""A large catalogue over a lossy network: whole, or flagged; never smaller than before."""

from __future__ import annotations

import pytest

from gb28181.errors import AnswerIncomplete, NoAnswer
from gb28181.testing.link import Conditions, Traced
from gb28181.testing.simulation import Simulation

LOSSY = Conditions(latency=0.01, loss=0.02)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_a_large_catalogue_is_complete_in_spite_of_loss(transport: str, count: int) -> None:
    async with Simulation(seed=4, conditions=LOSSY) as gb:
        platform = await gb.platform()
        recorder = await gb.device(channels=count, transport=transport)
        device = platform.device(recorder.id)
        await gb.until(lambda: device.channels, within=600)
        assert len(device.channels) == count
        assert {one.device_id for one in device.channels} == set(recorder.channels)
        assert gb.network.counters["lost"] > 0 or transport == "tcp"


async def test_a_catalogue_that_breaks_off_is_flagged_and_the_old_one_stays() -> None:
    async with Simulation(seed=4, conditions=LOSSY) as gb:
        platform = await gb.platform()
        recorder = await gb.device(channels=200)
        device = platform.device(recorder.id)
        await gb.until(lambda: device.channels, within=600)
        passed = 0

        def only_forty_pages(packet: Traced) -> bool:
            nonlocal passed
            is_page = b"<CmdType>Catalog<" in packet.data and b"<Item>" in packet.data
            passed += is_page
            return not is_page or passed <= 40

        gb.network.filter(only_forty_pages)
        told: list[tuple[int, int]] = []
        with pytest.raises((AnswerIncomplete, NoAnswer)) as raised:
            await device.catalog(progress=lambda came, of: told.append((came, of)))
        assert isinstance(raised.value, AnswerIncomplete)
        assert raised.value.expected == 200
        assert 60 < raised.value.received < 200
        assert told[-1][0] <= raised.value.received
        assert len(device.channels) == 200
        assert "fewer items than SumNum" in device.quirks_seen
