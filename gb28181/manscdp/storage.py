"""The memory cards of a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import RESULT


@dataclass(frozen=True, slots=True, kw_only=True)
class SdCardStatusQuery:
    """Asks how the memory cards do.

    Source: GB/T 28181-2022 A.2.4.14.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "SDCardStatus"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SdCard:
    """One memory card."""

    id: Annotated[int, Xml("ID")]
    """From 1."""
    name: Annotated[str | None, Xml("HddName")] = None
    status: Annotated[str | None, Xml("Status")] = None
    """``ok``, ``formatting``, ``unformatted``, ``idle`` or ``error``."""
    format_progress: Annotated[int | None, Xml("FormatProgress")] = None
    """Percent."""
    capacity: Annotated[int | None, Xml("Capacity")] = None
    """Megabytes."""
    free_space: Annotated[int | None, Xml("FreeSpace")] = None
    """Megabytes."""
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SdCardStatusResponse:
    """Says how the memory cards do.

    Source: GB/T 28181-2022 A.2.6.16.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "SDCardStatus"
    since: ClassVar[Edition] = Edition.GB2022
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    sum_num: Annotated[int, Xml("SumNum")]
    items: Annotated[
        tuple[SdCard, ...], Xml("SDCardStatusInfo/Item", aliases=("Item",), count=("Num",))
    ] = ()
    extra: tuple[Element, ...] = ()
