"""What is tested: addresses, ids, passwords, what it claims, and how long to wait for it."""

from __future__ import annotations

import asyncio
import shlex
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from .case import Inconclusive, NotApplicable

Trigger = Callable[[Mapping[str, str]], Awaitable[bool]]
"""Makes the target do something; returns whether it did, or what was asked is so."""

TRIGGERS = ("catalog", "play", "stop", "online", "leave")
"""Ask for a catalogue, play and stop a channel, tell whether a device is online (platform);
unregister (device)."""


class BadTarget(Exception):
    """The description of the target cannot be used; the sentence names the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds that the target was configured with, and that the kit waits."""

    answer: float = 5.0
    """For the SIP answer to a request, and for the command that answers a command."""
    registration: float = 120.0
    """For the device under test to register after the kit was started."""
    keepalive_interval: float = 60.0
    keepalive_count: int = 3
    grace: float = 10.0
    """How much later than configured something may come."""
    expires: int = 86400
    """The registration time that the device under test was configured to ask for."""
    short_expires: int = 90
    """What the kit grants to see a refresh."""
    media: float = 10.0
    """For the first RTP packet."""
    watch: float = 3.0
    """How long media is recorded, and silence is listened to at least a third of it."""
    case: float = 400.0
    """The limit of a single case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The platform or device under test, and the ids and addresses that the kit plays with."""

    address: str = ""
    """Platform under test: where it listens, ``udp://host:port`` or ``tcp://host:port``."""
    id: str = "34020000002000000001"
    """The target's own id; for a device under test the device's."""
    domain: str = "3402000000"
    password: str = "12345678"
    peer_id: str = "34020000001320000001"
    """The id that the kit takes: of a device, or of the platform that the device registers at."""
    channel_id: str = "34020000001320000001"
    """A camera: of the kit's device, or of the device under test."""
    unknown_id: str = "34020000001329999999"
    """An id that the target does not know."""
    listen: tuple[str, ...] = ()
    """Where the kit listens. A device under test registers there."""
    host: str = ""
    """The kit's address as the target sees it; found by the route when empty."""
    edition: str = "2016"
    options: frozenset[str] = frozenset()
    """What the target claims beyond the basics, such as ``tcp-media``."""
    times: Times = field(default_factory=Times)
    triggers: Mapping[str, Trigger] = field(default_factory=dict)

    @property
    def transport(self) -> str:
        """``udp`` or ``tcp``: of the address, or of the first listener."""
        return (self.address or (self.listen or ("udp:",))[0]).partition(":")[0]

    def require_trigger(self, name: str) -> Trigger:
        """Return the way to make the target do something.

        Raises:
            NotApplicable: The target's description says none.
        """
        trigger = self.triggers.get(name)
        if trigger is None:
            raise NotApplicable(f"no trigger {name!r}: the kit cannot make the target do it")
        return trigger

    async def trigger(self, name: str, **values: str) -> bool:
        """Make the target do something.

        Raises:
            NotApplicable: The target's description says no way to.
            Inconclusive: It was not done in time.
        """
        trigger = self.require_trigger(name)
        try:
            async with asyncio.timeout(self.times.answer + self.times.media):
                return await trigger({"id": self.id, "device": self.peer_id, **values})
        except TimeoutError as error:
            raise Inconclusive(f"the trigger {name!r} did not return") from error


def load_target(path: Path) -> Target:
    """Read a target from TOML.

    Tables: ``[target]`` (fields of ``Target``), ``[times]`` and ``[trigger]``, whose values are
    command lines with ``{id}``, ``{device}`` and ``{channel}``. Exit status 0 means yes.

    Raises:
        BadTarget: A key is unknown or has a value of the wrong type.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadTarget(f"{path}: {error}") from error
    unknown = set(tables) - {"target", "times", "trigger"}
    if unknown:
        raise BadTarget(f"{path}: [{sorted(unknown)[0]}] is not a known table")
    target = _checked("target", tables.get("target", {}), Target(), skip=("times", "triggers"))
    times = _checked("times", tables.get("times", {}), Times())
    triggers = {name: _command(name, line) for name, line in tables.get("trigger", {}).items()}
    return Target(**target, times=Times(**times), triggers=triggers)


def _checked(
    name: str, table: object, sample: object, skip: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Compare the keys and types of a table with those of the defaults."""
    if not isinstance(table, Mapping):
        raise BadTarget(f"[{name}] is not a table")
    known = {one.name for one in fields(cast("Any", sample))} - set(skip)
    taken: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise BadTarget(f"{name}.{key} is not known")
        default = getattr(sample, key)
        try:
            taken[key] = _converted(value, default)
        except TypeError as error:
            raise BadTarget(f"{name}.{key}: {error}") from error
    return taken


def _converted(value: object, default: object) -> object:
    match default, value:
        case ((tuple() | frozenset()), list()) if all(isinstance(one, str) for one in value):
            return type(default)(value)
        case float(), (int() | float()) if not isinstance(value, bool):
            return float(value)
        case ((str() | int()), _) if type(value) is type(default):
            return value
    raise TypeError(f"{value!r} is not of the type of {default!r}")


def _command(name: str, line: object) -> Trigger:
    if name not in TRIGGERS:
        raise BadTarget(f"trigger.{name}: known are {', '.join(TRIGGERS)}")
    if not isinstance(line, str) or not line.strip():
        raise BadTarget(f"trigger.{name}: a command line is wanted")
    words = shlex.split(line)

    async def run(values: Mapping[str, str]) -> bool:
        try:
            command = [word.format_map(values) for word in words]
        except (KeyError, ValueError, IndexError) as error:
            raise BadTarget(f"trigger.{name}: {error} is not one of {sorted(values)}") from error
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            return await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return run
