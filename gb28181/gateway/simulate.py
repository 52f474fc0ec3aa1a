"""``gb28181 simulate``: cameras and recorders made of command line options."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rtp.access_unit import Codec

from ..device import Device, Nameplate
from ..edition import Edition
from ..equipment.recorder import drawn_hours
from ..equipment.recordings import FileRecordings
from ..errors import ConfigError
from ..habits import profile, profiles
from ..manscdp.catalog import CatalogItem
from ..manscdp.values import BEIJING
from ..media.source import PatternSource, file_clip, pattern_clip
from ..sessions.serving import DeviceChannel
from ..supervisor import Supervisor
from ..wire.faults import parse_faults
from .commandline import OK, log_to_stderr, stop_on_signals
from .control import ControlServer
from .fleet import Fleet, Ground, Member, make_room, write_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..equipment.recordings import Recordings
    from ..habits import Profile
    from ..media.source import MediaSource
    from ..wire.faults import Faults
    from ..wire.network import HabitualNetwork
    from .control import Json, Progress

_VIDEO = {"h264": Codec.H264, "h265": Codec.H265}
_AUDIO = {"pcma": Codec.PCMA, "aac": Codec.AAC, "none": None}
_EDITIONS = {"2011": Edition.GB2011, "2016": Edition.GB2016, "2022": Edition.GB2022}


def simulate(options: argparse.Namespace) -> int:
    """Run simulated devices until a signal."""
    log_to_stderr(verbose=options.verbose)
    _check(options)
    if options.devices > 1 and not options.verbose:
        for name in ("gb28181.link", "gb28181.device", "gb28181.session"):
            logging.getLogger(name).setLevel(logging.ERROR)  # a line each would be too much
    make_room(options.devices)
    return asyncio.run(_run(options))


def settings_of(
    options: argparse.Namespace, number: int = 0, disk: Recordings | None = None
) -> dict[str, Any]:
    """What ``Device`` is given for the device of that number, but for its network.

    Args:
        options: Of the command line.
        number: Of the device, from 0.
        disk: What is on the disks of its channels; a disk of its own when None.

    Raises:
        ConfigError: An option makes no sense; the sentence names it.
    """
    _check(options)
    family = profile(options.profile)
    device_id = id_of(options, number)
    return {
        "device_id": device_id,
        "server": options.server or f"{family.transport}://127.0.0.1:5060",
        "server_id": options.server_id,
        "domain": options.domain,
        "password": _password(options),
        "channels": _channels(options, device_id, family, disk or _disk(options)),
        "nameplate": _nameplate(options, family),
        "edition": _EDITIONS[options.edition] if options.edition else family.edition,
        "expires": options.expires,
        "keepalive_interval": options.keepalive * family.habits.keepalive_stretch,
        "keepalive_count": options.keepalive_count,
        "retry": options.retry,
        "retry_spread": options.retry_spread,
        "media_ports": _ports(options.media_ports),
        "loss": options.loss,
        "seed": options.seed + number,
    }


def id_of(options: argparse.Namespace, number: int) -> str:
    """The id of a device: that of the first, counted up."""
    first = options.device_id or f"3402000000{profile(options.profile).type_code}0000001"
    return f"{first[:13]}{int(first[13:]) + number:07d}"


def _check(options: argparse.Namespace) -> None:
    device_id = options.device_id
    if device_id and not (device_id.isascii() and device_id.isdigit() and len(device_id) == 20):
        raise ConfigError(f"--id: {device_id!r} is not a 20-digit code")
    if options.profile not in profiles():
        raise ConfigError(f"--profile: {options.profile!r} is none of {', '.join(profiles())}")
    if not 0.0 <= options.loss < 1.0:
        raise ConfigError(f"--loss: {options.loss} is not a share from 0 to 1")
    if not 1 <= options.channels <= 10_000:
        raise ConfigError(f"--channels: {options.channels} is not a number from 1 to 10000")
    if not 1 <= options.devices <= 100_000:
        raise ConfigError(f"--devices: {options.devices} is not a number from 1 to 100000")
    if not 0.1 <= options.rate <= 10_000:
        raise ConfigError(f"--rate: {options.rate} is not a number from 0.1 to 10000")
    if int(id_of(options, options.devices - 1)[13:]) > 9_999_999:
        raise ConfigError("--devices: the ids run over seven digits; begin lower with --id")
    if options.file is not None and not options.file.is_file():
        raise ConfigError(f"--file: {options.file} is not a file")
    if options.recordings is not None and not options.recordings.is_dir():
        raise ConfigError(f"--recordings: {options.recordings} is not a folder")


def _password(options: argparse.Namespace) -> str:
    if options.password_file is not None:
        return str(options.password_file.read_text("utf-8").strip())
    return str(options.password)


def _nameplate(options: argparse.Namespace, family: Profile) -> Nameplate:
    if family.manufacturer == "gb28181":
        model = "recorder" if options.channels > 1 else "camera"
        return Nameplate(name=options.name, model=model)
    return Nameplate(
        name=family.name,
        manufacturer=family.manufacturer,
        model=family.model,
        firmware=family.firmware,
    )


def _channels(
    options: argparse.Namespace, device_id: str, family: Profile, disk: Recordings
) -> list[DeviceChannel]:
    source = _source(options)
    if options.channels == 1:
        item = _item(device_id, device_id, options.name, family)
        return [DeviceChannel(item=item, source=source, recordings=disk)]
    # A recorder's cameras: its own code with the type of a camera, its last digits numbered from
    # 1. The cameras of many recorders follow each other.
    base = device_id[:10] + "132"
    digits = max(3, len(str(options.channels)))
    block, own = 10**digits, int(device_id[13:])
    first = own // block * block if options.devices == 1 else own * block % 10_000_000
    return [
        DeviceChannel(
            item=_item(
                device_id, f"{base}{first + number:07d}", f"{options.name} {number}", family
            ),
            source=source,
            recordings=disk,
        )
        for number in range(1, options.channels + 1)
    ]


def _disk(options: argparse.Namespace) -> Recordings:
    if options.recordings is not None:
        return FileRecordings(options.recordings)
    return drawn_hours(datetime.now(BEIJING))


def _item(device_id: str, channel_id: str, name: str, family: Profile) -> CatalogItem:
    return CatalogItem(
        device_id=channel_id,
        name=name,
        manufacturer=family.manufacturer,
        model=family.model,
        owner="simulator",
        civil_code=device_id[:6],
        address=name,
        parental=0,
        parent_id=device_id,
        safety_way=0,
        register_way=1,
        secrecy=0,
        status="ON",
    )


def _source(options: argparse.Namespace) -> Callable[[], MediaSource]:
    if options.file is not None:
        source = file_clip(options.file)
        return lambda: source
    video, audio = _VIDEO[options.video], _audio(options)
    return lambda: PatternSource(video=video, audio=audio)


def _audio(options: argparse.Namespace) -> Codec | None:
    return _AUDIO[options.audio]


def _ports(text: str) -> range:
    first, _, last = text.partition("-")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last) <= 65535):
        raise ConfigError(f"--media-ports: {text!r} is not first-last")
    return range(int(first), int(last) + 1)


async def _run(options: argparse.Namespace) -> int:
    stop = stop_on_signals()
    if options.file is None:
        # Encoded before anybody can ask for it, so that the first viewer does not wait.
        await asyncio.to_thread(pattern_clip, video=_VIDEO[options.video], audio=_audio(options))
    faults = parse_faults(options.fault)
    habits, ports = profile(options.profile).habits, _ports(options.media_ports)
    ground = Ground(ports=ports, habits=habits, faults=faults, seed=options.seed)

    disk = _disk(options)  # the same for all: what is drawn is drawn once

    def add(number: int) -> Member:
        settings = settings_of(options, number, disk)

        def make(network: HabitualNetwork | None) -> Device:
            return Device(**settings, network=network, plane=ground.plane)

        return Member(number, ground, make)

    fleet = Fleet(options.devices, add, rate=options.rate)
    try:
        return await _serve(fleet, faults, options, stop)
    finally:
        await fleet.stop()
        await ground.close()


async def _serve(
    fleet: Fleet, faults: Faults, options: argparse.Namespace, stop: asyncio.Event
) -> int:
    tasks = {
        asyncio.ensure_future(fleet.start(faults)),
        asyncio.ensure_future(stop.wait()),
        asyncio.ensure_future(_control(fleet, options)),
    }
    if options.devices > 1:
        tasks.add(asyncio.ensure_future(fleet.tell(write_line)))
    try:
        while not stop.is_set():
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
    return OK


async def _control(fleet: Fleet, options: argparse.Namespace) -> None:
    """Answer on the control socket as long as the process runs."""
    if options.control is None:
        return
    supervisor = Supervisor("simulate")
    await supervisor.start()
    control = ControlServer(options.control, {"status": _status_of(fleet, options)}, supervisor)
    try:
        await control.start()
        await asyncio.get_running_loop().create_future()
    finally:
        await control.stop()
        await supervisor.stop()


def _status_of(fleet: Fleet, options: argparse.Namespace) -> Any:
    async def status(request: Json, progress: Progress) -> Json:
        if options.devices > 1:
            sessions = sum(len(one.device.sessions) for one in fleet.members)
            return {
                "devices": options.devices,
                "started": len(fleet.members),
                "registered": fleet.registered,
                "sessions": sessions,
            }
        return _told(fleet.members[0].device) if fleet.members else {}

    return status


def _told(device: Device) -> Json:
    return {
        "id": device.id,
        "registered": device.is_registered,
        "channels": list(device.channels),
        "sessions": [
            {
                "channel": one.channel_id,
                "frames": one.sender.statistics.frames,
                "packets": one.sender.statistics.packets,
                "withheld": one.sender.statistics.dropped_by_fault,
            }
            for one in device.sessions
        ],
    }
