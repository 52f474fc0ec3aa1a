"""Faults: what befalls a simulated device, as ``--fault`` names it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..errors import ConfigError

_SHARES = frozenset({"loss", "duplicate"})
_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
_VALUE = re.compile(r"([+-]?\d+(?:\.\d+)?)(ms|s|m|h)?\Z")


@dataclass(slots=True, kw_only=True)
class Faults:
    """The faults of one device; zero and empty: none. All are seconds but for the shares."""

    loss: float = 0.0
    """Share of datagrams that are lost on their way out, of signalling and of media."""
    duplicate: float = 0.0
    """Share of SIP datagrams that leave twice."""
    delay: float = 0.0
    """SIP datagrams leave up to so much later, so that they overtake each other."""
    rebind: float = 0.0
    """Every so often UDP goes on from another port."""
    move: float = 0.0
    """After this the device goes on from another address."""
    clock: float = 0.0
    """Its clock is off by this."""
    reboot: float = 0.0
    """Every so often it loses all state, in the middle of calls, and registers anew."""
    flood: float = 0.0
    """So many surplus REGISTERs a second."""
    vanish: float = 0.0
    """After this it is dead without a word."""
    noise: float = 0.0
    """Seconds between datagrams on the SIP port that are no SIP."""
    address: str | None = None
    """Where it has moved to."""

    def copy(self) -> Faults:
        """The same for another device."""
        return replace(self)

    @property
    def is_any(self) -> bool:
        """Whether there is any."""
        return self != Faults()


_DEFAULTS = {
    "loss": 0.02, "duplicate": 0.02, "delay": 0.2, "rebind": 120.0, "move": 60.0,
    "clock": -8 * 3600.0, "reboot": 60.0, "flood": 10.0, "vanish": 60.0, "noise": 10.0,
}  # fmt: skip


def parse_faults(texts: Iterable[str]) -> Faults:
    """Read ``--fault`` options: ``loss=0.02,delay=200ms``, ``clock=-8h``, ``reboot``.

    A name without a value takes the usual one.

    Raises:
        ConfigError: A name is not known or a value makes no sense; the sentence names it.
    """
    faults = Faults()
    for part in (part.strip() for text in texts for part in text.split(",")):
        if not part:
            continue
        name, _, value = part.partition("=")
        if name not in _DEFAULTS:
            raise ConfigError(f"--fault: {name!r} is none of {', '.join(_DEFAULTS)}")
        setattr(faults, name, _number(name, value) if value else _DEFAULTS[name])
    return faults


def _number(name: str, value: str) -> float:
    found = _VALUE.match(value)
    if found is None:
        raise ConfigError(f"--fault: {name}={value} is no number with ms, s, m or h")
    number = float(found[1]) * _UNITS[found[2] or ""]
    if name in _SHARES and not 0.0 <= number < 1.0:
        raise ConfigError(f"--fault: {name}={value} is not a share from 0 to 1")
    if number < 0 and name != "clock":
        raise ConfigError(f"--fault: {name}={value} is negative")
    return number
