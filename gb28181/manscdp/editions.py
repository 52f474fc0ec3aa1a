"""What an edition cannot say of a message, and in how many messages it says the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

from ..edition import Edition
from .control import DeviceControl
from .device_config import ConfigDownloadResponse, DeviceConfig
from .position import MobilePositionNotify
from .schema import Message, plan_of

_BESIDE = frozenset(
    {
        "sn",
        "device_id",
        "result",
        "reason",
        "preset_name",
        "cruise_track_name",
        "stream_number",
        "alarm_method",
        "alarm_type",
        "control_priority",
        "device_id2",
        "target_area",
        "extra_info",
    }
)
"""Fields that say no command of their own: without them a command still means the same."""


def lacking_in(message: Message, edition: Edition) -> str:
    """Tell what of a command the edition does not have; empty when it has all that matters.

    Of a control or a configuration each command counts, not what only refines one: that is left
    out when it is written.

    Returns:
        The CmdType or the element as the standard spells it.
    """
    since: Edition = getattr(message, "since", Edition.GB2011)
    if edition < since:
        return message.cmd_type
    if not isinstance(message, DeviceControl | DeviceConfig):
        return ""
    for slot in plan_of(type(message)).slots:
        is_set = getattr(message, slot.attribute) not in (None, ())
        if is_set and slot.attribute not in _BESIDE and not slot.xml.is_in(edition):
            return slot.xml.path.partition("/")[0]
    return ""


def messages_for(
    message: Message, edition: Edition, next_sn: Callable[[], str] | None = None
) -> tuple[Message, ...]:
    """Split a message into those that the edition can say.

    Positions of several devices are one notice each up to 2016, which has no list; answers with
    several blocks of a configuration are one message each in every edition (A.2.6.9).

    Args:
        message: What there is to say.
        edition: Of the peer.
        next_sn: Numbers the second notice and those after it; the same number for all when None.
    """
    if isinstance(message, MobilePositionNotify) and edition is not Edition.GB2022:
        return _positions(message, next_sn)
    if isinstance(message, ConfigDownloadResponse):
        return _blocks(message)
    return (message,)


def _positions(
    notice: MobilePositionNotify, next_sn: Callable[[], str] | None
) -> tuple[Message, ...]:
    if len(notice.items) < 2:
        return (notice,)
    return tuple(
        MobilePositionNotify(
            sn=notice.sn if place == 0 or next_sn is None else next_sn(),
            device_id=item.device_id or notice.device_id,
            time=item.capture_time or notice.time,
            longitude=item.longitude,
            latitude=item.latitude,
            speed=item.speed,
            direction=item.direction,
            altitude=item.altitude,
            extra=item.extra,
        )
        for place, item in enumerate(notice.items)
    )


def _blocks(answer: ConfigDownloadResponse) -> tuple[Message, ...]:
    empty: dict[str, Any] = {
        one.name: one.default for one in fields(answer) if one.name not in _BESIDE
    }
    empty.pop("extra")
    said = [name for name, default in empty.items() if getattr(answer, name) != default]
    if len(said) < 2:
        return (answer,)
    bare = replace(answer, **empty)
    return tuple(replace(bare, **{name: getattr(answer, name)}) for name in said)
