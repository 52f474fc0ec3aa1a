"""Presets of a camera that can be turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import RESULT


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetQuery:
    """Asks which presets there are.

    Source: GB/T 28181-2022 A.2.4; peers of the 2014 amendment write ``PersetQuery``.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "PresetQuery"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One preset."""

    preset_id: Annotated[str, Xml("PresetID")]
    preset_name: Annotated[str | None, Xml("PresetName")] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetResponse:
    """Says which presets there are.

    Source: GB/T 28181-2022 A.2.6.10.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "PresetQuery"
    since: ClassVar[Edition] = Edition.GB2011A
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    sum_num: Annotated[int | None, Xml("SumNum", since=Edition.GB2022)] = None
    items: Annotated[
        tuple[Preset, ...],
        Xml("PresetList/Item", aliases=("Item",), count=("Num",), keeps_empty=True),
    ] = ()
    extra: tuple[Element, ...] = ()
