"""Voice from the platform to loudspeakers, and both ways."""

import itertools
from collections.abc import Iterable

import pytest

from gb28181.equipment.loudspeaker import LoudspeakerSettings
from gb28181.events import CatalogChanged
from gb28181.media.voice import ToneSource
from gb28181.sdp import PCMA, PS, Payload
from gb28181.testing.simulation import SimulatedDevice, Simulation
from rtp.access_unit import AccessUnit, Codec
from rtp.g711 import ALAW, MULAW

PCMU = Payload(number=0, name="PCMU/8000")


def pitch(units: Iterable[AccessUnit]) -> float:
    """The frequency of a tone, by counting where it crosses zero upwards."""
    samples = [
        (ALAW if unit.codec is Codec.PCMA else MULAW)[byte] for unit in units for byte in unit.data
    ]
    rising = sum(a < 0 <= b for a, b in itertools.pairwise(samples))
    return rising * 8000 / len(samples)


def ear(camera: SimulatedDevice) -> list[AccessUnit]:
    assert camera.role.loudspeaker is not None
    return list(camera.role.loudspeaker.heard)


@pytest.mark.parametrize("mode", ["udp", "tcp-active", "tcp-passive"])
@pytest.mark.parametrize("payload", [PCMA, PCMU, PS], ids=lambda payload: payload.encoding)
async def test_a_tone_is_heard_at_the_loudspeaker(
    gb: Simulation, mode: str, payload: Payload
) -> None:
    platform = await gb.platform()
    camera = await gb.device(
        loudspeaker=LoudspeakerSettings(mode=mode, payloads=(payload,)), transport="tcp"
    )
    await gb.until(CatalogChanged)

    async with platform.channel(camera.channels[0]).broadcast(ToneSource(1000.0)) as cast:
        await gb.advance(3)
        assert [one.is_flowing for one in cast.speakers.values()] == [True]

    heard = ear(camera)
    assert sum(len(unit.data) for unit in heard) == pytest.approx(24_000, rel=0.1)
    assert pitch(heard) == pytest.approx(1000, rel=0.01)
    await gb.advance(10)
    assert gb.leaks() == []
