"""The simple types of MANSCDP: how the text of an element is read and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

from ..edition import Edition

BEIJING = timezone(timedelta(hours=8))
"""The zone of all times that say no other.

Source: 9.10.1.
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """One simple type."""

    name: str
    read: Callable[[str], Any]
    """Takes text that is not empty, without blanks around; raises ValueError."""
    write: Callable[[Any], str]
    spellings: frozenset[str] | None = None
    """What needs no remark when read; ``None``: anything that can be read."""
    mend: Callable[[str], Any] | None = None
    """Reads, with a remark, what ``read`` refuses: units, words for numbers, odd times."""


def parse_time(text: str) -> datetime:
    """Read a time as devices write it; without a zone, in Beijing time.

    Takes a blank in place of ``T``, other signs between the numbers or none, Chinese signs, zone
    suffixes (converted), missing zeros, hour 24, second 60, and Unix seconds or milliseconds.

    Raises:
        ValueError: The text is no time.
    """
    digits = text.strip()
    if digits.isascii() and digits.isdigit() and len(digits) in (9, 10, 11, 13):
        seconds = int(digits) // (1000 if len(digits) == 13 else 1)
        return datetime.fromtimestamp(seconds, BEIJING).replace(tzinfo=None)
    forms = (_TIME, *_ODD_TIMES) if len(digits) < 64 else ()
    match = next((found for form in forms if (found := form.fullmatch(digits))), None)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a time")
    part = match.groupdict()
    hour, second = int(part["hour"] or 0), int(part["second"] or 0)
    # Hour 24 is the end of the day (ISO 8601), second 60 a leap second.
    over = timedelta(hours=hour == 24, seconds=second == 60)
    moment = datetime(
        int(part["year"]),
        int(part["month"]),
        int(part["day"]),
        hour - (hour == 24),
        int(part["minute"] or 0),
        second - (second == 60),
        int((part["fraction"] or "0")[:6].ljust(6, "0")),
    )
    shift = timedelta(hours=8) - _offset(part["zone"]) if part["zone"] else timedelta()
    try:
        return moment + over + shift
    except OverflowError:
        raise ValueError(f"{text[:40]!r} is not a time") from None


def format_time(moment: datetime) -> str:
    """Write a time as ``2024-05-01T08:00:00``, with milliseconds when it has any.

    A time with a zone is converted to Beijing time.
    """
    local = moment.astimezone(BEIJING) if moment.tzinfo is not None else moment
    digits = f".{local.microsecond // 1000:03d}" if local.microsecond >= 1000 else ""
    return (
        f"{local.year:04d}-{local.month:02d}-{local.day:02d}"
        f"T{local.hour:02d}:{local.minute:02d}:{local.second:02d}{digits}"
    )


_TIME = re.compile(
    r"(?P<year>\d{4})[-/](?P<month>\d{1,2})[-/](?P<day>\d{1,2})"
    r"(?:[Tt\s]\s*(?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
    r"(?::(?P<second>\d{1,2})(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
)
_ODD_END = (
    r"(?:[.,:](?P<fraction>\d{1,9}))?"
    r"\s?(?:CST|(?P<zone>Z|z|GMT|UTC|(?:GMT|UTC|CST)?[+-]\d{1,2}(?::?\d{2})?))?"
)
_ODD_TIMES = (
    re.compile(
        r"(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?"
        r"(?:[Tt\s_]{0,2}(?P<hour>\d{1,2})[-:时](?P<minute>\d{1,2})"
        r"(?:[-:分](?P<second>\d{1,2}))?[分秒]?)?" + _ODD_END,
        re.ASCII,
    ),
    re.compile(
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
        r"(?:[Tt\s_]?(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?)?" + _ODD_END,
        re.ASCII,
    ),
)


def methods_in(text: str | None, edition: Edition) -> str | None:
    """Write a set of alarm methods as the edition does: ``1/2`` from 2022 on, ``12`` before.

    Source: GB/T 28181-2022 A.2.4; 2016 and before, A.2.4.
    """
    if text is None or _METHODS.fullmatch(text) is None:
        return text
    return ("/" if edition is Edition.GB2022 else "").join(text.replace("/", ""))


_METHODS = re.compile(r"[0-7](?:/[0-7])+|[0-7]{2,8}")


def _offset(zone: str) -> timedelta:
    sign, digits = -1 if "-" in zone else 1, "".join(c for c in zone if c.isdigit())
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "")
    return sign * timedelta(hours=int(hours or 0), minutes=int(minutes or 0))


def _read_integer(text: str) -> int:
    if text.isdigit() and text.isascii() and len(text) < 16:
        return int(text)
    if len(text) > 20 or not text.isascii() or "_" in text:
        raise ValueError(text)
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer() or abs(number) > 2**63:
            raise
        return int(number)


def _read_number(text: str) -> float:
    number = float(text)
    # A NaN fails the comparison as well.
    if not -1e15 <= number <= 1e15 or "_" in text or not text.isascii():
        raise ValueError(text)
    return number


def _write_number(number: float) -> str:
    text = repr(float(number))
    if "e" in text:
        text = f"{number:.20f}".rstrip("0")
    return text.removesuffix(".0").removesuffix(".") or "0"


def _word(name: str, meanings: Mapping[str, str]) -> Kind:
    """Make a type with a closed set of words and what devices write in their place."""
    known = frozenset(meanings.values())

    def read(text: str) -> str:
        return meanings.get(text.upper(), text)

    return Kind(name, read, str, known)


def _words(name: str, *words: str) -> Kind:
    """Make a type with a closed set of words, read in any case."""
    return _word(name, {word.upper(): word for word in words})


def _read_time(text: str) -> str:
    if len(text) == 19 and text[4:11:3] == "--T" and text[13] == text[16] == ":":
        try:
            datetime.fromisoformat(text)
        except ValueError:
            pass
        else:
            return text
    match = _TIME.fullmatch(text)
    if match is None or (match["zone"] and _offset(match["zone"]) != timedelta(hours=8)):
        raise ValueError(text)
    return format_time(parse_time(text))


def _mend_time(text: str) -> str:
    return format_time(parse_time(text))


def _read_flag(text: str) -> int:
    return 1 if _read_integer(text) else 0


def _mend_integer(text: str) -> int:
    word = _TRUTH.get(text.upper())
    if word is None and "," in text:
        raise ValueError(text)  # a comma may stand before decimals, or between thousands
    return int(_mend_number(text)) if word is None else word


def _mend_flag(text: str) -> int:
    return 1 if _mend_integer(text) else 0


def _mend_number(text: str) -> float:
    match = _MEASURE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    if match[3]:
        return _read_number(str(int(match[3], 16)))
    number = _read_number(match[1].replace(",", "."))
    return -number if match[2] in {"W", "S"} else number


_TRUTH: Mapping[str, int] = MappingProxyType(
    {"TRUE": 1, "ON": 1, "YES": 1, "FALSE": 0, "OFF": 0, "NO": 0}
)
# A number with its unit, the side of the globe, or in hexadecimal.
_MEASURE = re.compile(
    r"([+-]?\d{1,15}(?:[.,]\d{1,15})?)\s?([A-Za-z/%°℃\u4e00-\u9fff]{0,8})|0[xX]([0-9A-Fa-f]{1,12})"
)

TEXT = Kind("text", str, str)
EXTENSION = Kind("text", str, str)
"""Free text of the element ``Info`` (2016) or ``ExtraInfo`` (2022), at most 1,024 characters.

Source: GB/T 28181-2022 A.2.3 to A.2.6, 2016 the same.
"""
INTEGER = Kind("an integer", _read_integer, str, mend=_mend_integer)
NUMBER = Kind("a number", _read_number, _write_number, mend=_mend_number)
FLAG = Kind("0 or 1", _read_flag, str, frozenset({"0", "1"}), _mend_flag)
"""Any other number than 0 counts as 1: Hikvision was seen to send Parental 65535."""
TIME = Kind("a time", _read_time, str, mend=_mend_time)
BOOT = _words("Boot", "Boot")
RECORD = _words("Record or StopRecord", "Record", "StopRecord")
GUARD = _words("SetGuard or ResetGuard", "SetGuard", "ResetGuard")
RESET = _words("ResetAlarm", "ResetAlarm")
SEND = _words("Send", "Send")
TRACK = _words("Auto, Manual or Stop", "Auto", "Manual", "Stop")
DUTY = _words("ONDUTY, OFFDUTY or ALARM", "ONDUTY", "OFFDUTY", "ALARM")
RESULT = _word(
    "OK or ERROR",
    {
        **dict.fromkeys(("OK", "1", "SUCCESS", "SUCCEED", "TRUE", "ON", "ONLINE", "NORMAL"), "OK"),
        **dict.fromkeys(("ERROR", "0", "FAIL", "FAILED", "FALSE", "OFF", "OFFLINE"), "ERROR"),
    },
)
SWITCH = _word(
    "ON or OFF",
    {
        **dict.fromkeys(("ON", "ONLINE", "OK", "1", "TRUE", "YES"), "ON"),
        **dict.fromkeys(("OFF", "OFFLINE", "0", "FALSE", "NO"), "OFF"),
        "VLOST": "VLOST",  # words for an event, which some write here
        "DEFECT": "DEFECT",
    },
)
ONLINE = _word(
    "ONLINE or OFFLINE",
    {
        **dict.fromkeys(("ON", "ONLINE", "OK", "1", "TRUE", "YES"), "ONLINE"),
        **dict.fromkeys(("OFF", "OFFLINE", "0", "FALSE", "NO"), "OFFLINE"),
    },
)

KINDS: Mapping[object, Kind] = MappingProxyType({str: TEXT, int: INTEGER, float: NUMBER})
"""The kind of a field by its type, where its declaration says no other."""
