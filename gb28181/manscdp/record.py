"""Recordings: the search, and the parts of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from ..edition import Edition
from .schema import Element, Xml
from .values import EXTENSION, RESULT, TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordInfoQuery:
    """Asks which recordings there are.

    Source: GB/T 28181-2022 A.2.4, 9.7.
    """

    root: ClassVar[str] = "Query"
    cmd_type: ClassVar[str] = "RecordInfo"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    start_time: Annotated[str | None, Xml("StartTime", TIME)] = None
    """Mandatory from 2016 on."""
    end_time: Annotated[str | None, Xml("EndTime", TIME)] = None
    file_path: Annotated[str | None, Xml("FilePath")] = None
    address: Annotated[str | None, Xml("Address")] = None
    """Found also by a part of it."""
    secrecy: Annotated[int | None, Xml("Secrecy")] = None
    type: Annotated[str | None, Xml("Type")] = None
    """``time``, ``alarm``, ``manual`` or ``all``. Some recorders do not answer without it."""
    recorder_id: Annotated[str | None, Xml("RecorderID")] = None
    indistinct_query: Annotated[int | None, Xml("IndistinctQuery", since=Edition.GB2011A)] = None
    """1 searches the centre and the device, 0 by what the path says."""
    stream_number: Annotated[int | None, Xml("StreamNumber", since=Edition.GB2022)] = None
    alarm_method: Annotated[str | None, Xml("AlarmMethod", since=Edition.GB2022)] = None
    alarm_type: Annotated[str | None, Xml("AlarmType", since=Edition.GB2022)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordItem:
    """One recording.

    Source: GB/T 28181-2022 A.2.1.10.
    """

    device_id: Annotated[str, Xml("DeviceID")]
    name: Annotated[str | None, Xml("Name")] = None
    file_path: Annotated[str | None, Xml("FilePath")] = None
    address: Annotated[str | None, Xml("Address")] = None
    start_time: Annotated[str | None, Xml("StartTime", TIME)] = None
    end_time: Annotated[str | None, Xml("EndTime", TIME)] = None
    secrecy: Annotated[int | None, Xml("Secrecy")] = None
    type: Annotated[str | None, Xml("Type")] = None
    """``time``, ``alarm`` or ``manual``."""
    recorder_id: Annotated[str | None, Xml("RecorderID")] = None
    file_size: Annotated[str | None, Xml("FileSize")] = None
    """Bytes, as text."""
    record_location: Annotated[str | None, Xml("RecordLocation", since=Edition.GB2022)] = None
    stream_number: Annotated[int | None, Xml("StreamNumber", since=Edition.GB2022)] = None
    extra: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordInfoResponse:
    """One part of the recordings found.

    Source: GB/T 28181-2022 A.2.6.7, Annex M.
    """

    root: ClassVar[str] = "Response"
    cmd_type: ClassVar[str] = "RecordInfo"
    sn: Annotated[str, Xml("SN")]
    device_id: Annotated[str, Xml("DeviceID")]
    result: Annotated[str | None, Xml("Result", RESULT)] = None
    """Not in the schema: what peers send that cannot answer, as ``reason``."""
    reason: Annotated[str | None, Xml("Reason")] = None
    name: Annotated[str | None, Xml("Name")] = None
    sum_num: Annotated[int, Xml("SumNum")]
    """How many items all parts have together."""
    items: Annotated[
        tuple[RecordItem, ...], Xml("RecordList/Item", aliases=("Item",), count=("Num",))
    ] = ()
    extra_info: Annotated[
        tuple[str, ...], Xml("ExtraInfo", EXTENSION, spelled=(Edition.GB2016, "Info"))
    ] = ()
    extra: tuple[Element, ...] = ()
