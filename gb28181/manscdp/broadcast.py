"""Voice broadcast: the call to a speaker, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import RESULT


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastNotify:
    """Asks a speaker to fetch the voice of a source.

    Source: GB/T 28181-2022 A.2.5, 9.12.
    """

    root: ClassVar[str] = "Notify"
    cmd_type: ClassVar[str] = "Broadcast"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    source_id: Annotated[str, Xml("SourceID")]
    target_id: Annotated[str, Xml("TargetID")]
    extra: tuple[Element, ...] = ()

    @property
    def device_id(self) -> str:
        """The target: the standard has no DeviceID here."""
        return self.target_id


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastResponse:
    """Says whether the speaker will.

    Source: GB/T 28181-2022 A.2.6.11.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "Broadcast"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str, Xml("Result", RESULT)] = "OK"
    reason: Annotated[str | None, Xml("Reason")] = None
    extra: tuple[Element, ...] = ()
