"""``gb28181 simulate``: many devices of one process, their ids, and what befalls them."""

from __future__ import annotations

import argparse
import asyncio
import resource
from pathlib import Path
from typing import cast

import pytest

from gb28181.device import Device
from gb28181.equipment.recordings import FileRecordings, PatternRecordings
from gb28181.errors import ConfigError
from gb28181.gateway.cli import _parser
from gb28181.gateway.fleet import Fleet, Ground, Member, make_room
from gb28181.gateway.simulate import id_of, settings_of
from gb28181.habits import Habits, profile
from gb28181.wire.faults import Faults, parse_faults


def options(*arguments: str) -> argparse.Namespace:
    return _parser().parse_args(["simulate", *arguments])


def test_ids_are_counted_up_from_the_first() -> None:
    given = options("--devices", "3", "--id", "34020000001180000009")
    assert [id_of(given, number)[13:] for number in range(3)] == ["0000009", "0000010", "0000011"]


def test_a_profile_decides_id_edition_nameplate_and_pace() -> None:
    settings = settings_of(options("--profile", "4g-camera"))
    assert settings["device_id"] == "34020000001320000001"
    assert settings["nameplate"].manufacturer == "Forward"
    assert settings["keepalive_interval"] == pytest.approx(65.4)
    recorder = settings_of(options("--profile", "huawei-nvr"))
    assert recorder["device_id"][10:13] == "118"
    assert recorder["server"].startswith("tcp://")
    assert settings_of(options("--profile", "plain-2022"))["edition"].version == "3.0"


def test_the_cameras_of_many_recorders_have_ids_of_their_own() -> None:
    given = options("--devices", "50", "--channels", "20", "--id", "34020000001180000001")
    ids = [
        channel.item.device_id
        for number in range(50)
        for channel in settings_of(given, number)["channels"]
    ]
    assert len(set(ids)) == 1000
    assert all(len(one) == 20 for one in ids)


def test_a_folder_is_the_disk_of_every_camera(tmp_path: Path) -> None:
    settings = settings_of(options("--recordings", str(tmp_path), "--channels", "2"))
    assert all(isinstance(one.recordings, FileRecordings) for one in settings["channels"])
    drawn = settings_of(options())["channels"][0].recordings
    assert isinstance(drawn, PatternRecordings)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--profile", "toaster"), "--profile"),
        (("--devices", "0"), "--devices"),
        (("--rate", "0"), "--rate"),
        (("--channels", "0"), "--channels"),
        (("--loss", "1"), "--loss"),
        (("--recordings", "/nowhere/at/all"), "--recordings"),
        (("--id", "123"), "--id"),
        (("--id", "34020000001329999999", "--devices", "2"), "--devices"),
        (("--file", "/nowhere.mp4"), "--file"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_of(options(*arguments))


def test_faults_are_read_with_their_units() -> None:
    faults = parse_faults(["loss=0.02,delay=200ms", "clock=-8h", "rebind=2m", "reboot"])
    assert (faults.loss, faults.delay, faults.clock) == (0.02, 0.2, -28800.0)
    assert (faults.rebind, faults.reboot) == (120.0, 60.0)
    assert not parse_faults([]).is_any


@pytest.mark.parametrize("text", ["toast", "loss=2", "loss=x", "delay=-1", "clock=8 hours"])
def test_a_fault_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--fault"):
        parse_faults([text])


def test_more_devices_than_the_system_has_files_for_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 4096))
    with pytest.raises(ConfigError, match="ulimit -n 10512"):
        make_room(10_000)


class Recorded:
    """Stands where a device would: the fleet's own work is what is tested here."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.is_registered = True
        self.sessions: list[object] = []

    async def start(self) -> None:
        self.did.append("start")

    async def stop(self) -> None:
        self.did.append("stop")


def fleet_of(count: int, made: list[Recorded], ground: Ground) -> Fleet:
    def make(network: object) -> Device:
        made.append(Recorded())
        return cast("Device", made[-1])

    return Fleet(count, lambda number: Member(number, ground, make), rate=10_000)


async def test_a_fleet_starts_tells_and_stops_all() -> None:
    ground = Ground(ports=range(40000, 40010), habits=Habits(), faults=Faults(), seed=0)
    made: list[Recorded] = []
    fleet, said = fleet_of(3, made, ground), cast("list[str]", [])
    await fleet.start(Faults())
    telling = asyncio.ensure_future(fleet.tell(said.append))
    await asyncio.sleep(0)
    telling.cancel()
    await fleet.stop()
    await ground.close()
    assert said == ["registered 3 of 3\n"]
    assert [one.did for one in made] == [["start", "stop"]] * 3


async def test_a_reboot_silences_the_old_device_and_makes_a_new_one() -> None:
    faults = Faults(reboot=60.0)
    ground = Ground(ports=range(40000, 40010), habits=Habits(), faults=faults, seed=0)
    made: list[Recorded] = []
    fleet = fleet_of(1, made, ground)
    await fleet.start(faults)
    (member,) = fleet.members
    before = member.network
    await member.reboot()
    assert before is not None
    assert before.is_silent
    assert member.network is not before
    assert [one.did for one in made] == [["start", "stop"], ["start"]]
    member.vanish()
    assert member.network is not None
    assert member.network.is_silent
    await fleet.stop()
    await ground.close()


def test_every_profile_can_be_simulated() -> None:
    for name in ("plain", "hikvision-ipc", "android"):
        settings = settings_of(options("--profile", name))
        assert settings["nameplate"].manufacturer == profile(name).manufacturer
