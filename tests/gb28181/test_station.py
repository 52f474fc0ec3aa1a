"""What every role stands on."""

from __future__ import annotations

import pytest

from gb28181.errors import RoleFailed
from gb28181.station import Station, authority, remote_host
from gb28181.testing.simulation import Simulation
from sip.flow import Flow

V4 = Flow("udp", ("10.0.0.1", 5060), ("10.0.0.2", 5061))
V6 = Flow("tcp", ("fd00::1", 5060), ("fd00::2", 5061))


def test_hosts_and_authorities() -> None:
    assert (remote_host(V4), authority(V4)) == ("10.0.0.2", "10.0.0.2:5061")
    assert (remote_host(V6), authority(V6)) == ("fd00::2", "[fd00::2]:5061")
    assert remote_host("udp://[fd00::2]:5060") == "fd00::2"
    assert authority("udp://camera.lan:5060") == "camera.lan:5060"


def station(gb: Simulation, listen: tuple[str, ...] = ("udp://:5060", "tcp://:5060")) -> Station:
    network = gb.network.host("10.0.0.1")
    return Station("role", user="me", listen=listen, failure=RoleFailed, network=network)


async def test_nothing_can_be_had_before_the_start(gb: Simulation) -> None:
    role = station(gb)
    for look in (lambda: role.endpoint, lambda: role.plane, lambda: role.dispatcher):
        with pytest.raises(RoleFailed, match="not running"):
            look()
    await role.stop()


async def test_starting_and_stopping_leave_nothing_open(gb: Simulation) -> None:
    role = station(gb)
    for _ in range(2):
        await role.start()
        assert role.open_things()["tasks"] == 1
        assert role.host_towards("udp://10.0.0.9:5060") == "10.0.0.1"
        assert len(gb.network.leaks()) == 2
        await role.stop()
        await gb.advance(0.1)
        assert gb.network.leaks() == []


async def test_media_that_is_open_is_closed_with_the_role(gb: Simulation) -> None:
    role = station(gb)
    await role.start()
    await role.plane.open_receiver("udp", host="0.0.0.0")
    assert role.open_things()["receivers"] == 1
    await role.stop()
    await gb.advance(0.1)
    assert gb.network.leaks() == []


async def test_an_error_of_the_goodbye_does_not_keep_it_open(gb: Simulation) -> None:
    role = station(gb)
    await role.start()

    async def fail() -> None:
        raise ValueError("no goodbye")

    with pytest.raises(ValueError, match="no goodbye"):
        await role.stop(fail)
    await gb.advance(0.1)
    assert gb.network.leaks() == []


async def test_a_second_address_in_use_closes_the_first(gb: Simulation) -> None:
    role = station(gb)
    await role.start()
    other = station(gb, ("udp://:5070", "tcp://:5060"))
    with pytest.raises(OSError, match="tcp"):
        await other.start()
    await role.stop()
    await gb.advance(0.1)
    assert gb.network.leaks() == []
