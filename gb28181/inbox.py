"""Inbox: answers the commands that devices send a platform, and hands on what they say."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from .dispatch import user_of
from .errors import MalformedCommand
from .events import (
    Alarm,
    Notice,
    Position,
    PtzPosition,
    StatusChanged,
    UnknownCommand,
)
from .identifiers import IdKind, kind_of
from .manscdp.alarm import AlarmNotify
from .manscdp.catalog import CatalogNotify, CatalogResponse
from .manscdp.codec import ACCEPT, Decoded, decode, decode_steps, is_command
from .manscdp.keepalive import KeepaliveNotify
from .manscdp.media_status import MediaStatusNotify
from .manscdp.notices import (
    DeviceUpgradeResultNotify,
    UploadSnapShotFinishedNotify,
    VideoUploadNotify,
)
from .manscdp.position import MobilePositionNotify, MobilePositionResponse, PositionItem
from .manscdp.ptz_state import PtzPositionNotify
from .manscdp.unknown import UnknownCommand as UnknownMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from sip.endpoint import IncomingRequest, Notification

    from .manscdp.schema import Message
    from .platform import Platform
    from .remote_device import RemoteDevice

logger = logging.getLogger("gb28181.inbox")

_FAULTS_KEPT = 10_000
_STATES = frozenset({"ON", "OFF", "VLOST", "DEFECT"})
_WITHOUT_DEVICE_ID = (MobilePositionNotify,)
"""The schema of 2016 has no DeviceID there."""

LARGE_BODY = 800
"""Bytes of a body whose message may exceed what goes over UDP, with its head: 1,300."""
LONG_BODY = 64 * 1024
"""A longer body is read a little at a time: about 130 items, two milliseconds."""


class Inbox:
    """Answers each MESSAGE and NOTIFY by the rules of the standard, and hands on what it says.

    Attributes:
        counters: What was wrong with what came: ``malformed`` (400), ``no-sn`` and
            ``no-device-id`` (400), ``unknown-command`` (200, an event), ``unasked-answer``,
            ``foreign-type`` (415), ``not-registered`` (403).

    Source: GB/T 28181-2022 9.3.3.1, 9.5.3.1, 9.6.3, A.1; the reference, 02 sections 1, 2 and 9.
    """

    def __init__(self, platform: Platform) -> None:
        self.counters: Counter[str] = Counter()
        self._platform = platform

    def take(self, incoming: IncomingRequest) -> Coroutine[Any, Any, None] | None:
        """Serve a MESSAGE, or a NOTIFY outside any subscription."""
        request, flow = incoming.request, incoming.flow
        sender_id = self._sender_of(incoming)
        is_large = len(request.body) >= LARGE_BODY
        status = self._platform.heard(sender_id, flow, is_large=is_large)
        self._platform.watch.message(sender_id, request, is_trusted=status == 200)
        if status != 200:
            self.counters["not-registered"] += 1
            incoming.respond(status)
            return None
        if not (request.content_type or request.body):
            incoming.respond(200)
            return None
        if not is_command(request.content_type, request.body):
            self.counters["foreign-type"] += 1
            incoming.respond(415, headers=ACCEPT)
            return None
        device = self._platform.device(sender_id)
        if len(request.body) > LONG_BODY:
            return self._later(device, request.body, partial(self._hand_on, device, incoming))
        return self._hand_on(device, incoming, self._read(device, request.body))

    def _hand_on(
        self, device: RemoteDevice, incoming: IncomingRequest, decoded: Decoded | None
    ) -> Coroutine[Any, Any, None] | None:
        if decoded is None:
            incoming.respond(400)
            return None
        # 9.3.3.1: the SIP answer says "received", at once and without a body.
        incoming.respond(200)
        if isinstance(decoded.message, MediaStatusNotify):
            call_id = incoming.request.call_id
            self._platform.sessions.media_status(device, decoded.message, call_id)
            return None
        return self._serve(device, decoded.message, by_message=True)

    def take_notification(self, device: RemoteDevice, notification: Notification) -> None:
        """Take a NOTIFY of a subscription of ours; its sender counts as alive."""
        self._platform.heard(device.id, notification.flow)
        if not notification.body:
            return
        body, take = notification.body, partial(self._notified, device, notification)
        is_long = len(body) > LONG_BODY
        work = self._later(device, body, take) if is_long else take(self._read(device, body))
        if work is not None:
            self._platform.station.supervisor.spawn(
                work, name=f"notification of {device.id}", on_fault=lambda _: None
            )

    def _notified(
        self, device: RemoteDevice, notification: Notification, decoded: Decoded | None
    ) -> Coroutine[Any, Any, None] | None:
        if decoded is None:
            if not notification.is_answered:  # a long one has had its 200
                notification.respond(400)
            return None
        return self._serve(device, decoded.message, by_message=False)

    async def _later(
        self,
        device: RemoteDevice,
        body: bytes,
        take: Callable[[Decoded | None], Coroutine[Any, Any, None] | None],
    ) -> None:
        """Take a long body once it is read; others are served meanwhile."""
        try:
            decoded = await decode_long(body, hint_charset=device.charset)
        except MalformedCommand as error:
            work = take(self._refuse(device, error))
        else:
            work = take(self._note(device, decoded))
        if work is not None:
            await work

    def _sender_of(self, incoming: IncomingRequest) -> str:
        platform = self._platform
        request = incoming.request
        sender_id = platform.sessions.device_of_call(request.call_id) or user_of(incoming)
        if platform.registrar.binding(sender_id) is None:
            # Some recorders sign a message with another id than their own (Q10): the address of
            # a registered device, when it is one device's alone, says who it is.
            there = platform.registrar.devices_at(incoming.flow)
            sender_id = there[0] if len(there) == 1 else sender_id
        return sender_id

    def _read(self, device: RemoteDevice, body: bytes) -> Decoded | None:
        """Decode, and note what had to be bent; None for what deserves a 400."""
        try:
            return self._note(device, decode(body, hint_charset=device.charset))
        except MalformedCommand as error:
            return self._refuse(device, error)

    def _refuse(self, device: RemoteDevice, error: MalformedCommand) -> Decoded | None:
        self.counters["malformed"] += 1
        device.quirks_seen.note("a body that cannot be read", self._now())
        logger.info("%s: command refused: %s", device.id, error)
        return None

    def _note(self, device: RemoteDevice, decoded: Decoded) -> Decoded | None:
        now = self._now()
        device.charset = decoded.charset
        if decoded.repairs:
            device.quirks_seen.note_repairs(decoded.repairs, now)
        message = decoded.message
        lacking = "no-sn" if not message.sn else ""
        if not message.device_id and not isinstance(message, _WITHOUT_DEVICE_ID):
            lacking = lacking or "no-device-id"
        if lacking:
            self.counters[lacking] += 1
            logger.info("%s: %s refused: %s", device.id, message.cmd_type, lacking)
            return None
        return decoded

    def _serve(
        self, device: RemoteDevice, message: Message, *, by_message: bool
    ) -> Coroutine[Any, Any, None] | None:
        if isinstance(message, KeepaliveNotify):
            self._platform.heartbeat(device)
            if message.faulty or device.faulty:
                self._faults(device, frozenset(message.faulty))
            return None
        platform = self._platform
        platform.subscriptions.heard(device, message, by_message=by_message)
        match message:
            case CatalogNotify():
                return self._catalog_notice(device, message)
            case AlarmNotify():
                alarm = Alarm(device=device, notify=message)
                platform.publish(alarm)
                return platform.alarms.take(alarm, acknowledge=by_message)
            case MobilePositionNotify():
                self._positions(device, message.positions, message.device_id)
            case PtzPositionNotify():
                platform.publish(
                    PtzPosition(device=device, channel_id=message.device_id, notify=message)
                )
            case UploadSnapShotFinishedNotify() | DeviceUpgradeResultNotify() | VideoUploadNotify():
                platform.publish(Notice(device=device, notify=message))
            case _:
                self._answer(device, message)
        return None

    def _answer(self, device: RemoteDevice, message: Message) -> None:
        """What answers something of ours, or nothing."""
        if self._platform.commands.feed(device.id, message):
            return
        now = self._now()
        if isinstance(message, UnknownMessage):
            self.counters["unknown-command"] += 1
            name = f"unknown command {message.root}/{message.cmd_type[:40]}"
            if name not in device.quirks_seen:
                logger.info("%s: %s", device.id, name)
            device.quirks_seen.note(name, now)
            self._platform.publish(UnknownCommand(device=device, message=message))
            return
        if isinstance(message, MobilePositionResponse) and message.longitude is not None:
            # No edition has such an answer; the position is good all the same.
            item = PositionItem(
                device_id=message.device_id,
                capture_time=message.time,
                longitude=message.longitude,
                latitude=message.latitude,
                speed=message.speed,
                direction=message.direction,
                altitude=message.altitude,
            )
            device.quirks_seen.note("MobilePosition told by Response", now)
            self._positions(device, (item,), message.device_id)
            return
        self.counters["unasked-answer"] += 1
        device.quirks_seen.note(f"unasked {message.root}/{message.cmd_type}", now)
        if isinstance(message, CatalogResponse):
            self._late_part(device, message)

    def _late_part(self, device: RemoteDevice, message: CatalogResponse) -> None:
        """A part that nobody waits for tells of its items, and never replaces the tree."""
        known = tuple(one for one in message.items if device.tree.item(one.device_id))
        if known:
            news = CatalogNotify(
                sn=message.sn, device_id=message.device_id, sum_num=len(known), items=known
            )
            self._platform.catalogs.changed(device, device.tree.notify(news))

    def _catalog_notice(
        self, device: RemoteDevice, message: CatalogNotify
    ) -> Coroutine[Any, Any, None] | None:
        platform = self._platform
        change = device.tree.notify(message)
        platform.catalogs.changed(device, change)
        for item in message.items:
            state = (item.event or "").strip().upper()
            if state in _STATES and item.device_id in change.changed:
                platform.publish(
                    StatusChanged(device=device, channel_id=item.device_id, status=state)
                )
        # News of what we do not know means that our picture is too old.
        return platform.catalogs.ask(device) if device.tree.strangers else None

    def _faults(self, device: RemoteDevice, faulty: frozenset[str]) -> None:
        """A heartbeat names the devices below that do not work (A.2.5.2); the change is told."""
        codes = sorted(one for one in faulty if kind_of(one) is not IdKind.UNKNOWN)
        known, device.faulty = device.faulty, frozenset(codes[:_FAULTS_KEPT])
        changes = [(one, "DEFECT") for one in sorted(device.faulty - known)]
        changes += [(one, "ON") for one in sorted(known - device.faulty)]
        for channel_id, status in changes:
            self._platform.publish(
                StatusChanged(device=device, channel_id=channel_id, status=status)
            )

    def _positions(self, device: RemoteDevice, items: tuple[PositionItem, ...], named: str) -> None:
        channels = device.channels
        for item in items:
            channel_id = item.device_id or named or device.id
            if channel_id == device.id and len(channels) == 1:
                channel_id = channels[0].device_id  # a device that has one channel means that
            self._platform.publish(Position(device=device, channel_id=channel_id, item=item))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def decode_long(body: bytes, *, hint_charset: str | None = None) -> Decoded:
    """Read a MANSCDP body; others run every few milliseconds meanwhile.

    Raises:
        MalformedCommand: As ``decode``.
    """
    steps = decode_steps(body, hint_charset=hint_charset)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            decoded: Decoded = end.value
            return decoded
        await asyncio.sleep(0)
