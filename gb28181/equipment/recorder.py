"""A channel's recorder: records on command, by plan and on alarm, and finds what there is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ..manscdp.record import RecordInfoQuery, RecordItem
from ..manscdp.values import BEIJING, format_time, parse_time
from .recordings import PatternRecordings, RecordedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..manscdp.catalog import CatalogItem
    from ..manscdp.config import TimeSegment, VideoAlarmRecord, VideoRecordPlan
    from ..media.source import RecordedSource
    from .recordings import Recordings

MAX_SPANS = 1000
"""Recordings of its own that are kept; the oldest give way."""
_LONGEST_PLAN = timedelta(days=366)
_ALWAYS = (
    datetime(1970, 1, 2, tzinfo=BEIJING),
    datetime(9998, 12, 31, tzinfo=BEIJING),
)


@dataclass(slots=True)
class _Span:
    start: datetime
    end: datetime | None
    """None while it goes on; may lie ahead for a recording on alarm."""
    kind: str


class Recorder:
    """What a channel has on its disk, and what it records itself; see ``Recordings``.

    What it records itself is drawn when it is played.

    Source: GB/T 28181-2022 9.7, A.2.3.1.4, A.2.3.2.6, A.2.3.2.7.
    """

    __slots__ = ("_clock", "_manual", "_plan", "_plan_since", "_spans", "disk")

    def __init__(self, disk: Recordings | None, *, clock: Callable[[], datetime]) -> None:
        """Take what is on the disk, and the time of day, aware."""
        self.disk = disk
        """What is in it besides what it records itself; another may be put in."""
        self._clock = clock
        self._spans: list[_Span] = []
        self._manual: _Span | None = None
        self._plan: VideoRecordPlan | None = None
        self._plan_since = clock()

    def start(self) -> None:
        """Record by hand until told to stop."""
        if self._manual is None:
            self._manual = _Span(self._clock(), None, "manual")
            self._keep(self._manual)

    def stop(self) -> None:
        """End the recording by hand."""
        if self._manual is not None:
            self._manual.end = self._clock()
            self._manual = None

    def set_plan(self, plan: VideoRecordPlan) -> None:
        """Record by another plan from now on."""
        for start, end in self._planned(*_ALWAYS):
            self._keep(_Span(start, end, "time"))
        self._plan, self._plan_since = plan, self._clock()

    def note_alarm(self, settings: VideoAlarmRecord) -> None:
        """Record on alarm, if it is set so."""
        if not settings.enable:
            return
        now = self._clock()
        start = now - timedelta(seconds=settings.pre_record_time or 0)
        end = now + timedelta(seconds=settings.record_time or 0)
        last = next((one for one in reversed(self._spans) if one.kind == "alarm"), None)
        if last is not None and last.end is not None and last.end >= start:
            last.end = max(last.end, end)
        else:
            self._keep(_Span(start, end, "alarm"))

    @property
    def is_recording(self) -> bool:
        """Whether it records now."""
        now = self._clock()
        if any(one.start <= now and (one.end is None or one.end > now) for one in self._spans):
            return True
        plan = self._plan
        return bool(plan and plan.enable) and any(
            start <= now < end for start, end in _days(plan, now, now)
        )

    # Recordings -----------------------------------------------------------------------------

    def find(self, start: datetime, end: datetime, *, kind: str = "all") -> list[RecordedFile]:
        """Return what overlaps a time, in order."""
        found = [] if self.disk is None else self.disk.find(start, end, kind=kind)
        own = self._own(start, end, kind)
        return sorted((*found, *own), key=lambda one: (one.start, one.end)) if own else found

    def source(self, start: datetime, end: datetime, *, kind: str = "all") -> RecordedSource:
        """Return the media of a time: from the disk where that has any, else what it recorded."""
        if self.disk is not None and self.disk.find(start, end, kind=kind):
            return self.disk.source(start, end, kind=kind)
        own = self._own(start, end, kind)
        drawn = PatternRecordings(
            [(one.start, max(one.end, one.start + timedelta(seconds=1))) for one in own],
            kinds=[one.kind for one in own],
        )
        return drawn.source(start, end, kind=kind)

    def _own(self, start: datetime, end: datetime, kind: str) -> list[RecordedFile]:
        now = self._clock()
        spans = [(one.start, min(one.end or now, now), one.kind) for one in self._spans]
        spans += [(first, last, "time") for first, last in self._planned(start, end)]
        return [
            _file(first, last, what)
            for first, last, what in spans
            if first < end and last > start and first < last and kind in ("all", what)
        ]

    def _planned(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """What the plan in force has recorded up to now."""
        plan = self._plan
        if plan is None or not plan.enable:
            return
        now = self._clock()
        low, high = max(start, self._plan_since), min(end, now)
        low = max(low, high - _LONGEST_PLAN) if high > low else low
        for first, last in _days(plan, low, high):
            first, last = max(first, self._plan_since), min(last, now)
            if first < last:
                yield first, last

    def _keep(self, span: _Span) -> None:
        self._spans.append(span)
        del self._spans[:-MAX_SPANS]


def drawn_hours(until: datetime, hours: int = 24) -> PatternRecordings:
    """A disk with so many whole hours up to a moment; drawn when they are played."""
    last = until.replace(minute=0, second=0, microsecond=0)
    starts = [last - timedelta(hours=back) for back in range(hours, 0, -1)]
    return PatternRecordings([(start, start + timedelta(hours=1)) for start in starts])


def search(
    query: RecordInfoQuery, item: CatalogItem, recorder: Recorder, device_id: str
) -> list[RecordItem]:
    """Find what a question is for on one channel.

    Source: GB/T 28181-2022 A.2.4.5, A.2.1.10, 9.7.
    """
    start = _moment(query.start_time, _ALWAYS[0])
    end = _moment(query.end_time, _ALWAYS[1])
    if not _is_meant(query, item, device_id):
        return []
    kind = (query.type or "all").lower()
    if query.alarm_method not in (None, "0") or query.alarm_type not in (None, "0"):
        if kind not in ("all", "alarm"):
            return []
        kind = "alarm"
    found = recorder.find(start, end, kind=kind)
    return [
        _item(one, item) for one in found if query.file_path is None or query.file_path in one.path
    ]


def _is_meant(query: RecordInfoQuery, item: CatalogItem, device_id: str) -> bool:
    """Nothing on the disk is secret, of another stream than the main one, or of another place."""
    if query.secrecy or query.stream_number:
        return False
    if query.recorder_id not in (None, device_id, item.device_id):
        return False
    return query.address is None or query.address in (item.address or "")


def _item(file: RecordedFile, item: CatalogItem) -> RecordItem:
    return RecordItem(
        device_id=item.device_id,
        name=file.name or item.name or item.device_id,
        file_path=file.path,
        address=item.address,
        start_time=_whole(file.start),
        end_time=_whole(file.end),
        secrecy=0,
        type=file.kind,
        recorder_id=item.device_id,
        file_size=str(file.size),
        stream_number=0,
    )


def _whole(moment: datetime) -> str:
    return format_time(moment.replace(microsecond=0))


def _moment(text: str | None, otherwise: datetime) -> datetime:
    try:
        return parse_time(text).replace(tzinfo=BEIJING) if text else otherwise
    except ValueError:
        return otherwise


def _file(start: datetime, end: datetime, kind: str) -> RecordedFile:
    name = f"{start.astimezone(BEIJING):%Y%m%d%H%M%S}"
    return RecordedFile(
        start=start,
        end=end,
        name=name,
        path=f"/{kind}/{name}.ps",
        size=int((end - start).total_seconds() * 13_000),
        kind=kind,
    )


def _days(
    plan: VideoRecordPlan | None, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The segments of a plan on every day that a time touches."""
    if plan is None or end < start:
        return
    by_day = {day.week_day: day.segments for day in plan.schedules}
    local = start.astimezone(BEIJING)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= end:
        for segment in by_day.get(day.isoweekday(), ()):
            yield _within(day, segment)
        day += timedelta(days=1)


def _within(day: datetime, segment: TimeSegment) -> tuple[datetime, datetime]:
    return (
        day
        + timedelta(
            hours=segment.start_hour, minutes=segment.start_minute, seconds=segment.start_second
        ),
        day
        + timedelta(
            hours=segment.stop_hour, minutes=segment.stop_minute, seconds=segment.stop_second
        ),
    )
