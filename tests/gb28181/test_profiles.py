"""Every family of devices: it registers, is listed, is played, and its habits are on record."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest

from gb28181.equipment.settings import EquipmentSettings
from gb28181.errors import Gb28181Error, SessionLost
from gb28181.habits import Habits, profile, profiles
from gb28181.manscdp.config import BasicParam
from gb28181.manscdp.values import BEIJING
from gb28181.platform import Platform
from gb28181.quirks import quirks_for
from gb28181.remote_device import RemoteDevice
from gb28181.testing.simulation import SimulatedDevice, Simulation

CHANNELS = 3
DAY = timedelta(hours=20)


# What each habit leaves in the record of the device, as a pattern.
SHOWS: Mapping[str, str] = MappingProxyType(
    {
        "contact_host": "Contact names another address",
        "omits_rport": "Via without rport",
        "route_header": "REGISTER with a Route",
        "notify_from": "From is not the device",
        "early_to_tag": "To tag in an initial request",
        "content_type": "Content-Type written otherwise",
        "date_style": "times written otherwise",
        "register_flood": "REGISTER floods",
        "silent_after_register": "no heartbeat at all",
        "keepalive_stretch": "heartbeats come late",
        "registers_once": "never registers again",
        "rebinds_every": "goes on from another port",
        "connection_per_message": "goes on from another connection",
        "options_every": "OPTIONS probes",
        "noise_every": "no SIP",
        "heartbeat_parameters": "heartbeat parameters that make no sense",
        "writes_charset": "declared as .* read as|without an XML declaration",
        "declares_charset": "declared as .* read as|without an XML declaration",
        "bare_lf": "LF alone",
        "raw_address": "a lone & read as text",
        "loses_end_tags": "missing end added",
        "doubles_end_tags": "an end without a start",
        "attribute_names": "CmdType read from an attribute",
        "status_words": "Status: .* read as",
        "parental": "Parental: .* read as",
        "parent_id": "ParentID of several parts",
        "civil_code": "CivilCode that is no code",
        "num_surplus": "DeviceList says Num",
        "late_duplicate": "unasked Response/Catalog",
        "sum_num_surplus": "fewer items than SumNum",
        "config_answer": "another block than asked for",
        "home_position_answer": "no answer to HomePositionQuery",
        "silent_commands": "no answer to",
        "refuses_subscribe": "SUBSCRIBE refused with",
        "invite_refusals": "INVITE refused with",
        "cuts_catalog": "no SIP",
        "corrupts_catalog": "undecodable|missing end|stray",
        "omits_trying": "no provisional answer",
        "answer_delay": "slow to answer",
        "answer_contact": "without Contact|Contact of the 200",
        "answer_y": "y=",
        "answer_host": "c= names another address",
        "answer_payloads": "several payload types",
        "answer_udp": "names another transport",
        "answer_filesize": "a file size below nothing",
        "rtp_ssrc": "another SSRC",
        "payload_type": "another payload type",
        "marker": "RTP marker",
        "same_timestamp": "timestamps that do not move",
        "restarts_every": "sequence numbers jump",
        "raw_audio": "audio in packets of its own",
        "framing": "mended: (ehome|interleaved)",
        "starts_in_packet": "framing over TCP was lost",
        "loses_stream_bytes": "framing over TCP was lost",
        "bare_pack": "mended: bare_pack",
        "private_packets": "mended: private",
        "pes_length": "mended: pes_(unbounded|length_wrapped)",
        "omits_stamps": "mended: pts_missing",
        "sets_everywhere": "parameter sets before every frame",
        "sets_rarely": "a key frame without parameter sets",
    }
)

# Habits that leave nothing to see when the platform does what they need, and what that is.
UNSEEN: Mapping[str, str] = MappingProxyType(
    {
        "arms_first": "the recipe of arming sends SetGuard first",
        "record_needs_type": "every RecordInfo query says its Type",
        "config_needs_device": "a configuration of the device carries the device's id",
        "largest_request": "no request over UDP is as large",
        "ignores_speed": "the pace of the packets tells it, in a playback",
        "media_before_ack": "media is received from the INVITE on",
        "bye_status": "any final answer to BYE ends the call",
        "num_blanks": "numbers are read with blanks around them",
        "lower_info": "names are read in any case",
        "position_list": "both forms are read in every edition",
        "announces_audio": "pictures do not wait for sound",
        "stream_map": "a map that is missing later, or from the start, is done without",
    }
)


async def _status(device: RemoteDevice, simulated: SimulatedDevice) -> None:
    await device.device_status()


async def _configuration(device: RemoteDevice, simulated: SimulatedDevice) -> None:
    await device.configuration("BasicParam")


async def _records(device: RemoteDevice, simulated: SimulatedDevice) -> None:
    wall = simulated.role.inventory.wall()
    unit = simulated.role.inventory.units[simulated.channels[0]]
    unit.recorder.start()
    found = await device.records(wall - DAY, wall + DAY, target=unit.id)
    assert not found.complete


async def _home(device: RemoteDevice, simulated: SimulatedDevice) -> None:
    await device.home_position(insist=True)


async def _subscription(device: RemoteDevice, simulated: SimulatedDevice) -> None:
    await device.subscribe_alarms()


async def _commands(device: RemoteDevice, simulated: SimulatedDevice) -> None:
    with suppress(Gb28181Error):
        await device.configure(basic_param=BasicParam(name="x"))
    for ask in (device.ptz_position, device.cruise_tracks):
        with suppress(Gb28181Error):
            await ask(insist=True)


# What has to be asked before a habit can be seen.
ASKED: Mapping[str, Callable[[RemoteDevice, SimulatedDevice], Awaitable[None]]] = MappingProxyType(
    {
        "date_style": _status,
        "heartbeat_parameters": _configuration,
        "config_answer": _configuration,
        "sum_num_surplus": _records,
        "home_position_answer": _home,
        "refuses_subscribe": _subscription,
        "silent_commands": _commands,
    }
)


# A time of day whose numbers have one digit: some ways to write a time show in these alone.
EARLY = EquipmentSettings(
    clock=lambda: datetime(2024, 5, 1, 8, 5, 3, tzinfo=BEIJING), takes_date=False
)


async def _world(gb: Simulation, name: str) -> tuple[Platform, SimulatedDevice, RemoteDevice]:
    family = profile(name)
    platform = await gb.platform(
        media_mode=family.media_mode,
        answer_timeout=30.0,
        quirks_for=lambda device_id: quirks_for(family.manufacturer),
    )
    settings: dict[str, Any] = {"equipment": EARLY} if family.habits.date_style else {}
    simulated = await gb.device(
        name, channels=CHANNELS, expires=600, keepalive_interval=60.0, **settings
    )
    await gb.until(lambda: platform.channels(), within=200)
    return platform, simulated, platform.device(simulated.id)


async def _units(platform: Platform, channel_id: str, count: int) -> int:
    """Play until so many pictures have come; a camera that refuses once is asked again."""
    for attempt in range(2):
        try:
            async with platform.channel(channel_id).play() as live:
                seen = 0
                async for unit in live.units():
                    seen += len(unit.data) > 0
                    if seen == count:
                        return seen
        except SessionLost:
            if attempt:
                raise
    return 0


@pytest.mark.parametrize("name", profiles())
async def test_every_profile_is_registered_listed_played_and_seen(
    gb: Simulation, name: str
) -> None:
    platform, simulated, device = await _world(gb, name)
    habits = profile(name).habits
    assert sorted(item.device_id for item in device.channels) == sorted(simulated.channels)
    assert (
        {item.name for item in device.channels}
        == {f"大门摄像机 {channel_id[-4:]}" for channel_id in simulated.channels}
        or habits.corrupts_catalog
        or habits.loses_end_tags
    )
    assert await _units(platform, simulated.channels[0], 45) == 45
    for habit in habits.names:
        if habit in ASKED:
            with suppress(Gb28181Error):
                await ASKED[habit](device, simulated)
    await gb.advance(640)
    seen = list(device.quirks_seen)
    unseen = [
        habit
        for habit in habits.names
        if habit not in UNSEEN and not any(re.search(SHOWS[habit], one) for one in seen)
    ]
    assert unseen == [], seen
    assert bool(seen) == bool(set(habits.names) - set(UNSEEN))


def test_every_habit_is_in_a_profile_and_can_be_told_how_it_shows() -> None:
    known = {one.name for one in fields(Habits)}
    assert known == set(SHOWS) | set(UNSEEN)
    assert set(SHOWS) & set(UNSEEN) == set()
    assert known == {habit for one in profiles().values() for habit in one.habits.names}
    assert set(ASKED) <= known


def test_an_unknown_profile_names_those_that_there_are() -> None:
    with pytest.raises(KeyError, match="hikvision-ipc"):
        profile("toaster")
