"""The notice that a file has been sent to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from .schema import Element, Xml


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaStatusNotify:
    """The sender of a playback or download has come to the end.

    Source: GB/T 28181-2022 A.2.5.4.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "MediaStatus"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    notify_type: Annotated[str, Xml("NotifyType")] = "121"
    """``121``: end of the historical file."""
    extra: tuple[Element, ...] = ()
