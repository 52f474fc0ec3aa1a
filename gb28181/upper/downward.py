"""Downward: passes what an upper platform asks of our cameras down, and the answers up."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ..commands.orders import CONTROLS, rule_of
from ..commands.settings import are_told, wanted_blocks
from ..errors import Gb28181Error, MalformedCommand
from ..identifiers import IdKind, kind_of
from ..manscdp.commands import BY_NAME
from ..manscdp.control import DeviceControl
from ..manscdp.device_config import ConfigDownloadQuery, DeviceConfig
from ..manscdp.editions import lacking_in, messages_for
from ..manscdp.preset import PresetQuery
from ..manscdp.ptz_state import (
    CruiseTrackListQuery,
    CruiseTrackQuery,
    HomePositionQuery,
    PtzPositionQuery,
)
from ..manscdp.record import RecordInfoQuery, RecordInfoResponse, RecordItem
from ..manscdp.schema import plan_of
from ..manscdp.storage import SdCardStatusQuery
from ..manscdp.values import INTEGER
from ..ptz import Motion, decode_ptz, encode_ptz
from .archived import beyond
from .share import TreeStyle

if TYPE_CHECKING:
    from ..edition import Edition
    from ..exchange import ExchangeResult
    from ..manscdp.schema import Message
    from ..platform import Platform
    from ..remote_device import RemoteDevice
    from .answers import Answers
    from .share import Share

logger = logging.getLogger("gb28181.cascade")

FORWARDED: tuple[type[Any], ...] = (
    ConfigDownloadQuery,
    CruiseTrackListQuery,
    CruiseTrackQuery,
    DeviceConfig,
    DeviceControl,
    HomePositionQuery,
    PresetQuery,
    PtzPositionQuery,
    RecordInfoQuery,
    SdCardStatusQuery,
)
"""What goes down to the camera's device; the rest is answered by ourselves."""

OwnRecords = Callable[[RecordInfoQuery, str], Awaitable[list[RecordItem]]]

ANSWER_WITHIN = 10.0
"""Seconds for a device's answer in one message; then the upper gets Result ERROR (07 section 7)."""
_IDS = ("device_id", "device_id2", "recorder_id", "record_location")
_SESSIONS = 1000  # sessions of snapshots and upgrades that are known to be the upper's


class Downward:
    """Re-addresses commands and answers between one upper platform and the devices below.

    Each command gets a serial number of our own, each answer that of the upper. Identifiers are
    mapped both ways. A control is passed only when the link may control.

    Attributes:
        sessions: Snapshots and upgrades that this upper began, by SessionID.
    """

    def __init__(
        self,
        platform: Platform,
        share: Share,
        answers: Answers,
        *,
        edition: Edition,
        name: str,
        own_records: OwnRecords | None = None,
    ) -> None:
        """Take what stands on both sides.

        Args:
            platform: Whose devices are commanded.
            share: What the link shares, under which ids.
            answers: Sends upward.
            edition: What the upper speaks.
            name: Of the upper, for the log.
            own_records: Finds what we have recorded of a channel ourselves.
        """
        self.sessions: OrderedDict[str, None] = OrderedDict()
        self._platform = platform
        self._share = share
        self._answers = answers
        self._edition = edition
        self._name = name
        self._own_records = own_records
        self._moving: dict[str, RemoteDevice] = {}

    async def take(self, command: Message) -> None:
        """Pass a command on and its answer back; say ERROR when there will be none."""
        owner = self._owner(command.device_id)
        refusal = self._refusal(command, owner)
        if owner is None or refusal:
            logger.info("%s: %s refused: %s", self._name, command.cmd_type, refusal)
            await self._refuse(command, refusal)
            return
        passed = self._mapped(command, self._platform.commands.next_sn(), self._share.ids.own)
        self._note(command, passed, owner)
        if isinstance(command, RecordInfoQuery) and self._own_records is not None:
            await self._search_both(command, passed, owner, self._own_records)
            return
        try:
            if is_answered(command):
                await self._bring(command, await self._ask(owner, passed))
            else:
                await self._platform.commands.send(owner, passed)
        except (Gb28181Error, TimeoutError) as error:
            logger.info("%s: %s to %s: %s", self._name, command.cmd_type, owner.id, error)
            await self._refuse(command, str(error) or "no answer in time")

    async def let_go(self) -> None:
        """Stop the cameras that the upper platform was moving: nobody there can do it now."""
        moving, self._moving = self._moving, {}
        for channel_id, owner in moving.items():
            stop = DeviceControl(
                sn=self._platform.commands.next_sn(),
                device_id=channel_id,
                ptz_cmd=encode_ptz(Motion()),
            )
            try:
                await self._platform.commands.send(owner, stop)
            except Gb28181Error as error:
                logger.info("%s: %s not stopped: %s", self._name, channel_id, error)

    def _owner(self, published_id: str) -> RemoteDevice | None:
        """The device to ask about something that is shared: a channel, or a lower platform."""
        own_id = self._share.ids.own(published_id)
        item = self._platform.channel_item(own_id)
        if item is not None:
            return self._platform.owner_of(own_id) if self._share.publishes(item) else None
        is_node = self._share.style is not TreeStyle.FLAT and kind_of(own_id) is IdKind.SYSTEM
        return self._platform.devices.get(own_id) if is_node else None

    def _refusal(self, command: Message, owner: RemoteDevice | None) -> str:
        if owner is None:
            return f"{command.device_id} is not shared"
        if command.root == "Control" and not self._share.ptz:
            return f"{command.device_id} may not be controlled"
        lacking = lacking_in(command, owner.edition)
        return f"{lacking} is not in edition {owner.edition.version} of the device" * bool(lacking)

    async def _search_both(
        self, command: RecordInfoQuery, passed: Message, owner: RemoteDevice, own: OwnRecords
    ) -> None:
        """Tell what we have recorded ourselves, and what only the camera's disk has."""
        kept = await own(command, passed.device_id)
        brought: list[RecordItem] = []
        try:
            result = await self._ask(owner, passed)
        except (Gb28181Error, TimeoutError) as error:
            logger.info("%s: %s to %s: %s", self._name, command.cmd_type, owner.id, error)
            if not kept:
                await self._refuse(command, str(error) or "no answer in time")
                return
        else:
            parts = [part for part in result.parts if isinstance(part, RecordInfoResponse)]
            brought = [
                item
                for part in parts
                for item in self._mapped(part, command.sn, self._share.ids.published).items  # type: ignore[attr-defined]
            ]
        items = sorted([*kept, *beyond(brought, kept)], key=lambda one: one.start_time or "")
        answer = RecordInfoResponse(
            sn=command.sn, device_id=command.device_id, sum_num=len(items), items=()
        )
        await self._answers.send_pages(answer, items, tries=2)

    async def _ask(self, owner: RemoteDevice, passed: Message) -> ExchangeResult:
        commands = self._platform.commands
        if isinstance(passed, RecordInfoQuery):
            return await commands.ask(owner, passed)  # in parts: only silence ends it
        async with asyncio.timeout(ANSWER_WITHIN):
            if not isinstance(passed, ConfigDownloadQuery):
                return await commands.ask(owner, passed)
            names = wanted_blocks(tuple(passed.config_type.split("/")))
            return await commands.ask(owner, passed, enough=partial(are_told, names))

    async def _bring(self, command: Message, result: ExchangeResult) -> None:
        """Send the device's answers up, as answers to the upper's command."""
        expected = _answer_class(command)
        parts = [part for part in result.parts if isinstance(part, expected)]
        if not parts:
            await self._refuse(command, result.sentence or "an answer of another kind")
            return
        brought = [self._mapped(one, command.sn, self._share.ids.published) for one in parts]
        brought = [replace(cast("Any", one), device_id=command.device_id) for one in brought]
        if isinstance(command, RecordInfoQuery):
            await self._bring_records([cast("RecordInfoResponse", one) for one in brought])
            return
        for part in brought:
            for message in messages_for(part, self._edition):
                await self._answers.send(message)

    async def _bring_records(self, parts: list[RecordInfoResponse]) -> None:
        """Put the parts together: SumNum must be the same in all that we send."""
        items = [item for part in parts for item in part.items]
        if not items and parts[0].result == "ERROR":
            await self._answers.send(parts[0])
            return
        empty = replace(parts[0], items=(), sum_num=len(items), result=None)
        await self._answers.send_pages(empty, items, tries=2)

    async def _refuse(self, command: Message, reason: str) -> None:
        """Say ERROR; to what has no answer, nothing (decision, 07 section 7)."""
        if not is_answered(command):
            return
        cls = _answer_class(command)
        said: dict[str, Any] = {
            slot.attribute: 0 if slot.kind is INTEGER else "" for slot in plan_of(cls).required
        }
        said |= {"sn": command.sn, "device_id": command.device_id, "result": "ERROR"}
        await self._answers.send(cls(**said, reason=reason))

    def _mapped(self, message: Message, sn: str, table: Callable[[str], str]) -> Message:
        """A message with its identifiers, and those of its items, as the other side has them."""
        mapped = replace(_with_ids(message, table), sn=sn)
        items = getattr(mapped, "items", None)
        if items and hasattr(items[0], "device_id"):
            mapped = replace(mapped, items=tuple(_with_ids(item, table) for item in items))
        return cast("Message", mapped)

    def _note(self, command: Message, passed: Message, owner: RemoteDevice) -> None:
        """Remember what the upper began: sessions whose end it wants to hear of, and movements."""
        block = getattr(command, "snapshot_config", None) or getattr(
            command, "device_upgrade", None
        )
        if block is not None and block.session_id:
            self.sessions[block.session_id] = None
            while len(self.sessions) > _SESSIONS:
                self.sessions.popitem(last=False)
        if isinstance(passed, DeviceControl) and passed.ptz_cmd:
            moves = _moves(passed.ptz_cmd)
            if moves:
                self._moving[passed.device_id] = owner
            elif moves is not None:
                self._moving.pop(passed.device_id, None)


def is_answered(command: Message) -> bool:
    """Whether a Response follows the SIP 200.

    Source: GB/T 28181-2022 9.3.1 d and e, tables 1 to 3.
    """
    if not isinstance(command, DeviceControl):
        return True
    try:
        return rule_of(command, CONTROLS)[1].is_answered
    except ValueError:
        return False  # a command of somebody's own


def _with_ids(value: Any, table: Callable[[str], str]) -> Any:
    names = {one.name for one in fields(value)}
    changes = {}
    for name in _IDS:
        text = getattr(value, name) if name in names else None
        if text and table(text) not in ("", text):
            changes[name] = table(text)
    return replace(value, **changes) if changes else value


def _answer_class(command: Message) -> type[Any]:
    return BY_NAME["response", command.cmd_type.lower()]


def _moves(ptz_cmd: str) -> bool | None:
    """Whether a PTZCmd sets a camera going; None when it is about something else."""
    try:
        command = decode_ptz(ptz_cmd).command
    except MalformedCommand:
        return None
    if not isinstance(command, Motion):
        return None
    return any((command.pan, command.tilt, command.zoom))
