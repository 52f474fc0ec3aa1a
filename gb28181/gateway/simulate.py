"""``gb28181 simulate``: a camera or a recorder made of command line options."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from rtp.access_unit import Codec

from ..device import Device, Nameplate
from ..edition import Edition
from ..errors import ConfigError
from ..manscdp.catalog import CatalogItem
from ..media.source import PatternSource, file_clip, pattern_clip
from ..serving import DeviceChannel
from .commandline import FAILED, OK, log_to_stderr, stop_on_signals
from .control import ControlServer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from ..media.source import MediaSource
    from .control import Json, Progress

_VIDEO = {"h264": Codec.H264, "h265": Codec.H265}
_AUDIO = {"pcma": Codec.PCMA, "aac": Codec.AAC, "none": None}
_EDITIONS = {"2016": Edition.GB2016, "2022": Edition.GB2022}


def simulate(options: argparse.Namespace) -> int:
    """Run one simulated device until a signal."""
    log_to_stderr(verbose=options.verbose)
    return asyncio.run(_run(device_of(options), options))


def device_of(options: argparse.Namespace) -> Device:
    """Make the device.

    Raises:
        ConfigError: An option makes no sense; the sentence names it.
    """
    if not (options.device_id.isdigit() and len(options.device_id) == 20):
        raise ConfigError(f"--id: {options.device_id!r} is not a 20-digit code")
    if not 0.0 <= options.loss < 1.0:
        raise ConfigError(f"--loss: {options.loss} is not a share from 0 to 1")
    if not 1 <= options.channels <= 10_000:
        raise ConfigError(f"--channels: {options.channels} is not a number from 1 to 10000")
    if options.file is not None and not options.file.is_file():
        raise ConfigError(f"--file: {options.file} is not a file")
    password = options.password
    if options.password_file is not None:
        password = options.password_file.read_text("utf-8").strip()
    return Device(
        options.device_id,
        server=options.server,
        server_id=options.server_id,
        domain=options.domain,
        password=password,
        channels=_channels(options),
        nameplate=Nameplate(
            name=options.name, model="recorder" if options.channels > 1 else "camera"
        ),
        edition=_EDITIONS[options.edition],
        expires=options.expires,
        keepalive_interval=options.keepalive,
        keepalive_count=options.keepalive_count,
        retry=options.retry,
        retry_spread=options.retry_spread,
        media_ports=_ports(options.media_ports),
        loss=options.loss,
        seed=options.seed,
    )


def _channels(options: argparse.Namespace) -> list[DeviceChannel]:
    source = _source(options)
    if options.channels == 1:
        return [DeviceChannel(item=_item(options, options.device_id, options.name), source=source)]
    # A recorder's cameras: its own code with the type of a camera, numbered from 1.
    base, first = options.device_id[:10] + "132" + options.device_id[13], options.device_id[14:17]
    return [
        DeviceChannel(
            item=_item(options, f"{base}{first}{number:03d}", f"{options.name} {number}"),
            source=source,
        )
        for number in range(1, options.channels + 1)
    ]


def _item(options: argparse.Namespace, channel_id: str, name: str) -> CatalogItem:
    return CatalogItem(
        device_id=channel_id,
        name=name,
        manufacturer="gb28181",
        model="simulator",
        owner="simulator",
        civil_code=options.device_id[:6],
        address=name,
        parental=0,
        parent_id=options.device_id,
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


async def _run(device: Device, options: argparse.Namespace) -> int:
    stop = stop_on_signals()
    if options.file is None:
        # Encoded before anybody can ask for it, so that the first viewer does not wait.
        await asyncio.to_thread(pattern_clip, video=_VIDEO[options.video], audio=_audio(options))
    async with device:
        control: ControlServer | None = None
        if options.control is not None:
            control = ControlServer(
                options.control, {"status": _status_of(device)}, device.supervisor
            )
            await control.start()
        closed = asyncio.ensure_future(device.wait_closed())
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({closed, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return FAILED if closed.done() else OK
        finally:
            closed.cancel()
            stopped.cancel()
            if control is not None:
                await control.stop()


def _status_of(device: Device) -> Any:
    async def status(request: Json, progress: Progress) -> Json:
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

    return status
