"""The heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from .schema import Element, Xml
from .values import RESULT


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepaliveNotify:
    """A device says that it lives.

    Source: GB/T 28181-2022 A.2.5.2, 9.6.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "Keepalive"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    status: Annotated[str, Xml("Status", RESULT)] = "OK"
    """``OK`` or ``ERROR``."""
    faulty: Annotated[tuple[str, ...], Xml("Info/DeviceID")] = ()
    """Devices below it that do not work."""
    extra: tuple[Element, ...] = ()
