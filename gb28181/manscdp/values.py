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


def parse_time(text: str) -> datetime:
    """Read a time as devices write it; without a zone, in Beijing time.

    Takes a blank in place of ``T``, zone suffixes (converted), missing zeros and Unix seconds.

    Raises:
        ValueError: The text is no time.
    """
    digits = text.strip()
    if digits.isascii() and digits.isdigit() and 9 <= len(digits) <= 11:
        return datetime.fromtimestamp(int(digits), BEIJING).replace(tzinfo=None)
    match = _TIME.fullmatch(digits)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a time")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    fraction = int((match[7] or "0")[:6].ljust(6, "0"))
    moment = datetime(year, month, day, hour, minute, second, fraction)
    if not match[8]:
        return moment
    try:
        return (moment - _offset(match[8]) + timedelta(hours=8)).replace(tzinfo=None)
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
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[Tt\s]\s*(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,9}))?)?)?"
    r"\s*(Z|z|[+-]\d{2}:?\d{2})?",
    re.ASCII,
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
    if zone in "Zz":
        return timedelta()
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return timedelta(minutes=-minutes if zone[0] == "-" else minutes)


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
    return format_time(parse_time(text))


def _read_flag(text: str) -> int:
    return 1 if _read_integer(text) else 0


TEXT = Kind("text", str, str)
EXTENSION = Kind("text", str, str)
"""Free text of the element ``Info`` (2016) or ``ExtraInfo`` (2022), at most 1,024 characters.

Source: GB/T 28181-2022 A.2.3 to A.2.6, 2016 the same.
"""
INTEGER = Kind("an integer", _read_integer, str)
NUMBER = Kind("a number", _read_number, _write_number)
FLAG = Kind("0 or 1", _read_flag, str, frozenset({"0", "1"}))
"""Any other number than 0 counts as 1: Hikvision was seen to send Parental 65535."""
TIME = Kind("a time", _read_time, str)
BOOT = _words("Boot", "Boot")
RECORD = _words("Record or StopRecord", "Record", "StopRecord")
GUARD = _words("SetGuard or ResetGuard", "SetGuard", "ResetGuard")
RESET = _words("ResetAlarm", "ResetAlarm")
SEND = _words("Send", "Send")
TRACK = _words("Auto, Manual or Stop", "Auto", "Manual", "Stop")
DUTY = _words("ONDUTY, OFFDUTY or ALARM", "ONDUTY", "OFFDUTY", "ALARM")
RESULT = _word(
    "OK or ERROR",
    {"OK": "OK", "ERROR": "ERROR", "1": "OK", "0": "ERROR", "SUCCESS": "OK", "FAIL": "ERROR"},
)
SWITCH = _word(
    "ON or OFF",
    {
        **dict.fromkeys(("ON", "ONLINE", "OK", "1"), "ON"),
        **dict.fromkeys(("OFF", "OFFLINE", "0"), "OFF"),
    },
)
ONLINE = _word(
    "ONLINE or OFFLINE",
    {
        **dict.fromkeys(("ON", "ONLINE", "OK", "1"), "ONLINE"),
        **dict.fromkeys(("OFF", "OFFLINE", "0"), "OFFLINE"),
    },
)

KINDS: Mapping[object, Kind] = MappingProxyType({str: TEXT, int: INTEGER, float: NUMBER})
"""The kind of a field by its type, where its declaration says no other."""
