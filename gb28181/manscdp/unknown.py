"""Commands that no class describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from .schema import Element, Xml


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownCommand:
    """A message of a CmdType without a class of its own; written again as it came."""

    root: str = ""
    """``Control``, ``Query``, ``Notify`` or ``Response``."""
    cmd_type: str = ""
    sn: Annotated[str, Xml("SN")] = ""
    device_id: Annotated[str, Xml("DeviceID")] = ""
    extra: tuple[Element, ...] = ()
    """All elements but CmdType, SN and DeviceID."""
