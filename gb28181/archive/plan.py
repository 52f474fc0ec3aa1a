"""Plans: what is to be recorded when, and how long it is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time

from ..errors import ConfigError
from ..manscdp.values import BEIJING
from ..media.moments import Span, joined

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<start>\d{1,2}:\d{2})-(?P<end>\d{1,2}:\d{2})\Z"
)
_DAY = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time of the week: days, and from when to when, in minutes of the day.

    A window that ends before it starts goes on into the next day.
    """

    days: frozenset[int]
    """0 is Monday."""
    start: int = 0
    end: int = _DAY

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``mon-fri 08:00-18:00``, ``sat 20:00-06:00`` or ``00:00-24:00``.

        Raises:
            ConfigError: It is none of these.
        """
        match = _WINDOW.match(text.strip().lower())
        if match is None:
            raise ConfigError(f"{text!r} is no time of the week: write mon-fri 08:00-18:00")
        return cls(
            days=_days(match["first"], match["last"], text),
            start=_minutes(match["start"], text),
            end=_minutes(match["end"], text),
        )

    def holds(self, weekday: int, minute: int) -> bool:
        """Whether a minute of a day of the week lies in it."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        return (weekday in self.days and minute >= self.start) or (
            (weekday - 1) % 7 in self.days and minute < self.end
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is recorded of some channels."""

    channels: tuple[str, ...]
    """Their ids, or what those begin with; ``("",)`` is every channel."""
    windows: tuple[Window, ...] = ()
    """When; always when empty, unless only alarms are recorded."""
    on_alarm: float = 0.0
    """Seconds that are recorded after an alarm of the channel; 0: alarms make no difference."""
    alarms_only: bool = False
    keep_days: float = 30.0
    """Days after which a recording is deleted."""
    fills: bool = True
    """Whether what is missing is fetched from the camera's own disk."""

    def covers(self, channel_id: str) -> bool:
        """Whether it is about that channel."""
        return channel_id.startswith(self.channels)

    def wants(self, moment: float) -> bool:
        """Whether recording is wanted at a moment, in Unix seconds; Beijing's clock counts."""
        if self.alarms_only:
            return False
        if not self.windows:
            return True
        local = datetime.fromtimestamp(moment, BEIJING)
        minute = local.hour * 60 + local.minute
        return any(window.holds(local.weekday(), minute) for window in self.windows)

    def spans(self, start: float, end: float) -> list[Span]:
        """When recording is wanted within a time; to the minute where there are windows."""
        if self.alarms_only or end <= start:
            return []
        if not self.windows:
            return [(start, end)]
        minutes = range(int(start // 60), int(end // 60) + 1)
        found = [(minute * 60.0, minute * 60.0 + 60.0) for minute in minutes
                 if self.wants(minute * 60.0)]  # fmt: skip
        return joined(found, start, end)


def plan_for(plans: tuple[Plan, ...], channel_id: str) -> Plan | None:
    """The first plan about a channel, or None."""
    return next((plan for plan in plans if plan.covers(channel_id)), None)


def _days(first: str | None, last: str | None, text: str) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    try:
        start, end = DAYS.index(first), DAYS.index(last or first)
    except ValueError:
        raise ConfigError(f"{text!r}: days are written {', '.join(DAYS)}") from None
    return frozenset((start + step) % 7 for step in range((end - start) % 7 + 1))


def _minutes(text: str, whole: str) -> int:
    hours, _, minutes = text.partition(":")
    if text == "24:00":
        return _DAY
    try:
        at = time(int(hours), int(minutes))
    except ValueError:
        raise ConfigError(f"{whole!r}: {text} is no time of the day") from None
    return at.hour * 60 + at.minute
