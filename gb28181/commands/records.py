"""Records: searches the recordings of a channel for any length of time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import AnswerIncomplete, CommandFailed, ConfigError, NoAnswer
from ..manscdp.record import RecordInfoQuery, RecordInfoResponse
from ..manscdp.values import BEIJING, format_time, parse_time
from .listing import contradictions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..manscdp.record import RecordItem
    from ..remote_device import RemoteDevice
    from .commands import Commands

Progress = Callable[[int, int], None]
"""Is told how many windows have been searched, and how many there are."""

_HALF_DAY = timedelta(hours=12)
_MAX_DAYS = 3660
_TOUCH = timedelta(seconds=2)
"""Recordings that are nearer to each other than this leave no gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One recording of a device."""

    start: datetime
    """Aware, in Beijing time."""
    end: datetime
    item: RecordItem
    """What the device says of it: path, type, size, where it lies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A part of the time for which the device did not tell all of its recordings."""

    start: datetime
    end: datetime
    received: int
    expected: int
    """Of the items; 0 when it told nothing at all."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a search brought."""

    start: datetime
    end: datetime
    items: tuple[Record, ...]
    """Sorted by start, none of them twice."""
    missing: tuple[Missing, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the device told everything."""
        return not self.missing

    @property
    def gaps(self) -> tuple[tuple[datetime, datetime], ...]:
        """The times within the search that no recording covers; see ``missing`` for the doubt."""
        found: list[tuple[datetime, datetime]] = []
        reached = self.start
        for record in self.items:
            if record.start - reached > _TOUCH:
                found.append((reached, min(record.start, self.end)))
            reached = max(reached, record.end)
        if self.end - reached > _TOUCH:
            found.append((reached, self.end))
        return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is searched for."""

    target: str
    start: datetime
    end: datetime
    kind: str = "all"
    """``time``, ``alarm``, ``manual`` or ``all``."""
    secrecy: int = 0
    recorder_id: str | None = None
    file_path: str | None = None
    address: str | None = None
    is_fuzzy: bool = False
    """Search the centre's storage as well as the device's (IndistinctQuery)."""

    def __post_init__(self) -> None:
        if self.start.utcoffset() is None or self.end.utcoffset() is None:
            raise ConfigError("a search needs times with a zone: datetime(..., tzinfo=...)")
        if self.end <= self.start:
            raise ConfigError(f"the search ends at {self.end}, before it starts")
        if self.end - self.start > timedelta(days=_MAX_DAYS):
            raise ConfigError(f"the search is longer than {_MAX_DAYS} days")

    def query(
        self, sn: str, start: datetime, end: datetime, *, names_type: bool
    ) -> RecordInfoQuery:
        """One question of the search; some recorders do not answer without a Type."""
        return RecordInfoQuery(
            sn=sn,
            device_id=self.target,
            start_time=format_time(start),
            end_time=format_time(end),
            file_path=self.file_path,
            address=self.address,
            secrecy=self.secrecy,
            type=self.kind if names_type or self.kind != "all" else None,
            recorder_id=self.recorder_id,
            indistinct_query=1 if self.is_fuzzy else None,
        )


def days_of(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Cut a time at the midnights of Beijing: a day's answer is what devices are built for."""
    first, last = start.astimezone(BEIJING), end.astimezone(BEIJING)
    cuts = [first]
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while midnight < last:
        cuts.append(midnight)
        midnight += timedelta(days=1)
    cuts.append(last)
    return list(pairwise(cuts))


def merged(items: Iterable[RecordItem]) -> tuple[Record, ...]:
    """Put the answers together: sorted, each once; what has no readable time is left out."""
    found: dict[tuple[object, ...], Record] = {}
    for item in items:
        start, end = _moment(item.start_time), _moment(item.end_time)
        if start is None or end is None:
            continue
        key = (item.device_id, start, end, item.file_path, item.type, item.stream_number)
        found.setdefault(key, Record(start=start, end=end, item=item))
    return tuple(sorted(found.values(), key=lambda record: (record.start, record.end)))


async def search_records(
    commands: Commands, device: RemoteDevice, search: Search, progress: Progress | None = None
) -> Records:
    """Search day by day; a day whose answer stays incomplete is asked for in halves.

    Raises:
        DeviceNotOnline: It is not registered, or went away.
        RequestRejected: It refused the query.
        CommandFailed: It answered with something else.
        NoAnswer: It does not answer such queries.
    """
    items: list[RecordItem] = []
    missing: list[Missing] = []
    waiting = days_of(search.start, search.end)[::-1]
    done, is_heard, is_halved = 0, False, False
    while waiting:
        start, end = waiting.pop()
        is_long = end - start > _HALF_DAY
        if is_long and device.halves_searches:
            waiting += _halves(start, end)
            continue
        try:
            items += await _ask(commands, device, search, start, end)
        except (AnswerIncomplete, NoAnswer) as error:
            device.require_binding()
            if is_long:
                # Some firmware breaks its XML when the answer is long (field: over 12 hours).
                is_halved = True
                waiting += _halves(start, end)
                continue
            if isinstance(error, NoAnswer) and not is_heard:
                raise  # it does not answer such queries at all
            missing.append(_missing(start, end, error))
            items += error.items if isinstance(error, _Incomplete) else ()
        else:
            is_heard = True
            device.halves_searches = device.halves_searches or (is_halved and not is_long)
        done += 1
        if progress is not None:
            progress(done, done + len(waiting))
    return Records(
        start=search.start.astimezone(BEIJING),
        end=search.end.astimezone(BEIJING),
        items=merged(items),
        missing=tuple(missing),
    )


def _halves(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    middle = start + (end - start) / 2
    return [(middle, end), (start, middle)]


class _Incomplete(AnswerIncomplete):
    """With what came all the same."""

    def __init__(
        self, sentence: str, items: tuple[RecordItem, ...], *, received: int, expected: int
    ):
        super().__init__(sentence, received=received, expected=expected)
        self.items = items


async def _ask(
    commands: Commands, device: RemoteDevice, search: Search, start: datetime, end: datetime
) -> tuple[RecordItem, ...]:
    query = search.query(commands.next_sn(), start, end, names_type=device.quirks.record_type_all)
    result = await commands.ask(device, query)
    parts = [part for part in result.parts if isinstance(part, RecordInfoResponse)]
    if not parts:
        raise CommandFailed(f"{device.id} answered RecordInfo with", result=result.sentence)
    items = tuple(item for part in parts for item in part.items)
    for contradiction in contradictions(result, items):
        device.quirks_seen.note(contradiction, commands.now())
    if not result.complete:
        sentence = f"recordings of {search.target} from {start} to {end}"
        raise _Incomplete(sentence, items, received=result.received, expected=result.expected)
    return items


def _missing(start: datetime, end: datetime, error: AnswerIncomplete | NoAnswer) -> Missing:
    return Missing(
        start=start,
        end=end,
        received=error.received if isinstance(error, AnswerIncomplete) else 0,
        expected=error.expected if isinstance(error, AnswerIncomplete) else 0,
        reason=str(error),
    )


def _moment(text: str | None) -> datetime | None:
    try:
        return parse_time(text or "").replace(tzinfo=BEIJING)
    except ValueError:
        return None
