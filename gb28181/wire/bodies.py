"""Bends the bodies of a device's messages: XML as its family writes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..habits import Habits

_PROLOG = re.compile(r"\s*<\?xml[^>]*encoding=\"([^\"]*)\"[^>]*\?>\s*")
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?")
_LARGE = 2
"""Items from which on an answer counts as large."""


def bend_body(body: bytes, habits: Habits, *, clock_offset: float = 0.0) -> bytes:
    """Write a MANSCDP body as a device of these habits would.

    Args:
        body: As our own codec wrote it.
        habits: Of the device.
        clock_offset: Seconds that its clock is off by.
    """
    prolog = _PROLOG.match(body[:100].decode("ascii", "replace"))
    declared = prolog[1] if prolog else "GB2312"
    rest = body[prolog.end() :] if prolog else body
    text = rest.decode("utf-8" if declared == "UTF-8" else "gb18030", "replace")
    if clock_offset:
        text = _shift(text, clock_offset)
    for name, bend in _BENDS.items():
        value = getattr(habits, name)
        if value:
            text = bend(text, value)
    if habits.sum_num_surplus and "<CmdType>RecordInfo<" in text:
        text = _surplus(text, r"(<SumNum>)(\d+)", habits.sum_num_surplus)
    return _encode(text, declared, habits)


def is_large(body: bytes) -> bool:
    """Whether a body is an answer of several items."""
    return body.count(b"<Item>") >= _LARGE


def _encode(text: str, declared: str, habits: Habits) -> bytes:
    name = habits.declares_charset if habits.declares_charset is not None else declared
    written = habits.writes_charset or declared
    codec = "utf-8" if written.upper() == "UTF-8" else "gb18030"
    head = f'<?xml version="1.0" encoding="{name}"?>\r\n' if name else ""
    whole = head + text
    if habits.bare_lf:
        whole = "\n" + whole.replace("\r\n", "\n")
    return whole.encode(codec, "replace")


def _shift(text: str, seconds: float) -> str:
    def moved(found: re.Match[str]) -> str:
        try:
            when = datetime(*(int(part) for part in found.groups()))  # type: ignore[arg-type]
        except ValueError:
            return found[0]
        return (when + timedelta(seconds=seconds)).isoformat(timespec="seconds")

    return _TIME.sub(moved, text)


def _raw_address(text: str, value: str) -> str:
    return re.sub(r"(<Address>)[^<]*", lambda found: found[1] + value, text)


def _loses_end_tags(text: str, _: object) -> str:
    if text.count("<Item>") < _LARGE:
        return text
    head, _, tail = text.rpartition("</Name>")
    return head + tail


def _doubles_end_tags(text: str, _: object) -> str:
    return text.replace("</DeviceList>", "</DeviceList>\r\n</DeviceList>")


def _attribute_names(text: str, _: object) -> str:
    found = re.search(r"<CmdType>(\w+)</CmdType>\s*", text)
    serial = re.search(r"<SN>(\d+)</SN>\s*", text)
    if found is None or serial is None:
        return text
    text = text.replace(found[0], "", 1).replace(serial[0], "", 1)
    return re.sub(
        r"<(Notify|Response|Query|Control)>",
        rf'<\1 CmdType="{found[1]}" SN="{serial[1]}">',
        text,
        count=1,
    )


def _status_words(text: str, words: tuple[str, str]) -> str:
    on, off = words
    return text.replace("<Status>ON<", f"<Status>{on}<").replace("<Status>OFF<", f"<Status>{off}<")


def _replaced(name: str) -> Callable[[str, str], str]:
    pattern = re.compile(rf"(<{name}>)[^<]*")
    return lambda text, value: pattern.sub(lambda found: found[1] + value, text)


def _parent_id(text: str, prefix: str) -> str:
    return text.replace("<ParentID>", f"<ParentID>{prefix}")


def _lower_info(text: str, _: object) -> str:
    return text.replace("<Info>", "<info>").replace("</Info>", "</info>")


def _num_blanks(text: str, _: object) -> str:
    text = re.sub(r'Num="(\d+)"', r'Num=" \1 "', text)
    return re.sub(r"<SumNum>(\d+)<", r"<SumNum> \1 <", text)


def _num_surplus(text: str, more: int) -> str:
    return _surplus(text, r'(Num=")(\d+)', more)


def _surplus(text: str, pattern: str, more: int) -> str:
    return re.sub(pattern, lambda found: f"{found[1]}{int(found[2]) + more}", text)


def _date_style(text: str, style: str) -> str:
    def written(found: re.Match[str]) -> str:
        year, month, day, hour, minute, second = found.groups()
        match style:
            case "blank":
                return f"{year}-{month}-{day} {hour}:{minute}:{second}"
            case "short":
                return f"{year}-{int(month)}-{int(day)}T{int(hour)}:{int(minute)}:{int(second)}"
            case "zone":
                return f"{year}-{month}-{day}T{hour}:{minute}:{second}+08:00"
        return f"{year}-{month}-{day}T{hour}:{minute}:{second}.123"

    return _TIME.sub(written, text)


def _heartbeat_parameters(text: str, value: str) -> str:
    return re.sub(r"(<HeartBeat(?:Interval|Count)>)[^<]*", rf"\g<1>{value}", text)


def _config_answer(text: str, name: str) -> str:
    if "<CmdType>ConfigDownload<" not in text or "<Response" not in text:
        return text
    for block in ("BasicParam", "VideoParamOpt", "SVACEncodeConfig", "SVACDecodeConfig"):
        text = text.replace(f"<{block}>", f"<{name}>").replace(f"</{block}>", f"</{name}>")
    return text


def _home_position_answer(text: str, _: object) -> str:
    if "<Response" not in text:
        return text
    return text.replace("<CmdType>HomePositionQuery<", "<CmdType>HomePosition<")


def _position_list(text: str, _: object) -> str:
    if "<CmdType>MobilePosition<" not in text or "<DeviceList" in text:
        return text
    time = re.search(r"<Time>[^<]*</Time>\s*", text)
    place = re.search(r"<Longitude>.*</(?:Altitude|Direction|Speed|Latitude)>\s*", text, re.DOTALL)
    own = re.search(r"<DeviceID>[^<]*</DeviceID>\s*", text)
    if time is None or place is None or own is None:
        return text
    captured = time[0].replace("Time>", "CaptureTime>")
    item = f"<Item>{own[0]}{captured}{place[0]}</Item>"
    bare = text.replace(place[0], "")
    total = f'<SumNum>1</SumNum><DeviceList Num="1">{item}</DeviceList>'
    return bare.replace("</Notify>", f"{total}</Notify>")


# Each takes what its own field holds.
_BENDS: Mapping[str, Callable[[str, Any], str]] = MappingProxyType(
    {
        "raw_address": _raw_address,
        "status_words": _status_words,
        "parental": _replaced("Parental"),
        "civil_code": _replaced("CivilCode"),
        "parent_id": _parent_id,
        "heartbeat_parameters": _heartbeat_parameters,
        "config_answer": _config_answer,
        "home_position_answer": _home_position_answer,
        "position_list": _position_list,
        "date_style": _date_style,
        "num_surplus": _num_surplus,
        "num_blanks": _num_blanks,
        "lower_info": _lower_info,
        "loses_end_tags": _loses_end_tags,
        "doubles_end_tags": _doubles_end_tags,
        "attribute_names": _attribute_names,
    }
)
