"""Orders: sends a command, tells what came of it step by step, and checks the effect if asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..edition import Edition
from ..errors import (
    AnswerMissing,
    CommandFailed,
    DeviceNotOnline,
    Gb28181Error,
    NoAnswer,
    NotSupported,
    RequestRejected,
)
from .checks import told
from .outcome import Outcome, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sip.message import Response

    from ..exchange import ExchangeResult
    from ..manscdp.schema import Message
    from ..remote_device import RemoteDevice
    from .checks import Check
    from .commands import Commands

A = TypeVar("A")


class Question(Protocol):
    """A query, as it is told apart by."""

    @property
    def cmd_type(self) -> str:
        """The CmdType."""

    @property
    def device_id(self) -> str:
        """Whom it asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What the standard says of one command."""

    element: str
    """Its element, as the newest edition spells it."""
    since: Edition = Edition.GB2011
    """The first edition that has it."""
    is_answered: bool = False
    """Whether a Response follows the SIP 200."""


# Of DeviceControl, by its field. Which are answered: 9.3.1 d and e, tables 1 to 3 of 2022; the
# same in every edition that has the command.
CONTROLS: Mapping[str, Rule] = MappingProxyType(
    {
        "ptz_cmd": Rule(element="PTZCmd"),
        "tele_boot": Rule(element="TeleBoot"),
        "record_cmd": Rule(element="RecordCmd", is_answered=True),
        "guard_cmd": Rule(element="GuardCmd", is_answered=True),
        "alarm_cmd": Rule(element="AlarmCmd", is_answered=True),
        "i_frame_cmd": Rule(element="IFrameCmd", since=Edition.GB2016),
        "drag_zoom_in": Rule(element="DragZoomIn", since=Edition.GB2016),
        "drag_zoom_out": Rule(element="DragZoomOut", since=Edition.GB2016),
        "home_position": Rule(element="HomePosition", since=Edition.GB2016, is_answered=True),
        "ptz_precise_ctrl": Rule(element="PTZPreciseCtrl", since=Edition.GB2022),
        "device_upgrade": Rule(element="DeviceUpgrade", since=Edition.GB2022, is_answered=True),
        "format_sd_card": Rule(element="FormatSDCard", since=Edition.GB2022),
        "target_track": Rule(element="TargetTrack", since=Edition.GB2022),
    }
)

# Of DeviceConfig, by its field; every one is answered (A.2.6.8).
BLOCKS: Mapping[str, Rule] = MappingProxyType(
    {
        field: Rule(element=element, since=since, is_answered=True)
        for field, element, since in (
            ("basic_param", "BasicParam", Edition.GB2011A),
            ("svac_encode_config", "SVACEncodeConfig", Edition.GB2011A),
            ("svac_decode_config", "SVACDecodeConfig", Edition.GB2011A),
            ("video_param_attribute", "VideoParamAttribute", Edition.GB2022),
            ("video_record_plan", "VideoRecordPlan", Edition.GB2022),
            ("video_alarm_record", "VideoAlarmRecord", Edition.GB2022),
            ("picture_mask", "PictureMask", Edition.GB2022),
            ("frame_mirror", "FrameMirror", Edition.GB2022),
            ("alarm_report", "AlarmReport", Edition.GB2022),
            ("osd_config", "OSDConfig", Edition.GB2022),
            ("snapshot_config", "SnapShotConfig", Edition.GB2022),
        )
    }
)

_CANNOT = frozenset({405, 415, 420, 489, 501})
"""Final statuses that say: this peer has no such thing."""
_SAYS_NO = re.compile(r"unsupport|not?[- ]*support|not implement|不支持|未实现|无此", re.IGNORECASE)


def rule_of(message: Message, rules: Mapping[str, Rule]) -> tuple[str, Rule]:
    """Find which of its commands a message gives: the field that is set, and its rule."""
    for field, rule in rules.items():
        if getattr(message, field) not in (None, ()):
            return field, rule
    raise ValueError(f"{message.cmd_type} without a command")


class Orders:
    """What is asked and demanded of one device."""

    __slots__ = ("_commands", "_device")

    def __init__(self, device: RemoteDevice, commands: Commands) -> None:
        self._device = device
        self._commands = commands

    def next_sn(self) -> str:
        """A serial number that no pending command has."""
        return self._commands.next_sn()

    async def order(
        self,
        message: Message,
        rule: Rule,
        *,
        check: Check[Any] | None,
        verify: bool,
        insist: bool,
    ) -> Outcome:
        """Send a control or a configuration.

        Args:
            message: The command.
            rule: Of the command.
            check: What shows its effect, if anything does.
            verify: Whether to look.
            insist: Send it whatever is known against it, as the edition writes it that has it.

        Raises:
            DeviceNotOnline: It is not registered, or cannot be reached: nothing was sent.
            ConfigError: A value is out of its range.
            PlatformFailed: The platform is not running.
        """
        self._device.require_binding()
        outcome = Outcome(command=rule.element, target=message.device_id)
        against = "" if insist else self._against(message.device_id, rule.element, rule.since)
        if against:
            return outcome.then(Stage.UNSUPPORTED, self._now(), against)
        if not verify or check is None:
            outcome = await self._carry(outcome, message, rule)
            if verify:
                outcome = _remarked(outcome, "no query of the standard shows its effect")
        else:
            outcome = await self._verified(outcome, message, rule, check)
        self._learn(outcome)
        return outcome

    async def query(
        self,
        message: Message,
        kind: type[A],
        *,
        insist: bool,
        enough: Callable[[Sequence[Message]], bool] | None = None,
    ) -> list[A]:
        """Ask for something that is answered in one message, or in several without a sum.

        Raises:
            NotSupported: It cannot; nothing was sent.
            CommandFailed: It answered with Result ERROR, or with something else.
            NoAnswer: It sent no answer.
            RequestRejected: It refused the query.
            DeviceNotOnline: It is not registered.
        """
        feature, target = message.cmd_type, message.device_id
        since: Edition = getattr(message, "since", Edition.GB2011)
        against = "" if insist else self._against(target, feature, since)
        if against:
            raise NotSupported(self._device.id, feature, evidence=against)
        memory, is_basic = self._device.capabilities, since is Edition.GB2011
        try:
            result = await self._commands.ask(
                self._device, message, edition=self._edition(since), enough=enough
            )
        except AnswerMissing as error:
            if not is_basic:
                memory.failed(target, feature, str(error), self._now())
            raise
        except RequestRejected as error:
            if error.status in _CANNOT and not is_basic:
                memory.refused(target, feature, str(error), self._now())
            raise
        answers = [part for part in result.parts if isinstance(part, kind)]
        good: list[A] = [one for one in answers if getattr(one, "result", "OK") != "ERROR"]
        if not good:
            sentence = _refusal(result)
            # Result ERROR is the only way that the standard has to say "I cannot".
            if not is_basic:
                memory.refused(target, feature, sentence, self._now())
            raise CommandFailed(f"{self._device.id} answered {feature} with", result=sentence)
        memory.worked(target, feature)
        return good

    async def _verified(
        self, outcome: Outcome, message: Message, rule: Rule, check: Check[Any]
    ) -> Outcome:
        device, target = self._device, message.device_id
        before = None
        if check.needs_before:
            try:
                before = await check.look(device, target)
            except Gb28181Error as error:
                return _remarked(await self._carry(outcome, message, rule), str(error))
        outcome = await self._carry(outcome, message, rule)
        if not (outcome.reached(Stage.ACCEPTED) and outcome.stage is not Stage.REFUSED):
            return outcome
        for last in range(check.tries):
            if last:
                await asyncio.sleep(check.pause)
            try:
                after = await check.look(device, target)
            except Gb28181Error as error:
                return _remarked(outcome, str(error))
            if check.judge(before, after):
                return outcome.then(Stage.VERIFIED, self._now(), told(after))
        if check.settles is not None and check.settles(before, after):
            return outcome.then(Stage.VERIFIED, self._now(), told(after))
        return outcome.then(Stage.IGNORED, self._now(), told(after))

    async def _carry(self, outcome: Outcome, message: Message, rule: Rule) -> Outcome:
        """Send it and wait for what the standard has as its answer."""
        outcome = outcome.then(Stage.SENT, self._now(), f"MESSAGE, SN {message.sn}")
        taken: list[Outcome] = []

        def accepted(response: Response) -> None:
            line = f"{response.status} {response.reason}"
            taken.append(outcome.then(Stage.ACCEPTED, self._now(), line))

        edition = self._edition(rule.since)
        try:
            if not rule.is_answered:
                accepted(await self._commands.send(self._device, message, edition=edition))
                return taken[-1]
            result = await self._commands.ask(
                self._device, message, edition=edition, accepted=accepted
            )
        except RequestRejected as error:
            return outcome.then(Stage.REFUSED, self._now(), f"{error.status} {error.reason}")
        except DeviceNotOnline as error:
            return outcome.then(Stage.NO_ANSWER, self._now(), str(error))
        except NoAnswer as error:
            last = taken[-1] if taken else outcome
            return last.then(Stage.NO_ANSWER, self._now(), str(error))
        said = getattr(result.parts[0], "result", "OK")
        stage = Stage.REFUSED if said == "ERROR" else Stage.DONE
        evidence = _refusal(result) if said == "ERROR" else f"Result {said}"
        # The answer may overtake the SIP 200; it proves that as well.
        last = taken[-1] if taken else outcome.then(Stage.ACCEPTED, self._now(), "answered")
        return last.then(stage, self._now(), evidence)

    def _learn(self, outcome: Outcome) -> None:
        memory, now = self._device.capabilities, self._now()
        target, feature, evidence = outcome.target, outcome.command, outcome.evidence
        if outcome.stage is Stage.IGNORED:
            accepted = next(step for step in outcome.steps if step.stage is Stage.ACCEPTED)
            memory.failed(target, feature, f"{accepted.evidence}, then {evidence}", now)
        elif outcome.stage is Stage.REFUSED:
            status = evidence.partition(" ")[0]
            if _SAYS_NO.search(evidence) or (status.isdecimal() and int(status) in _CANNOT):
                memory.refused(target, feature, evidence, now)
        elif outcome.stage in (Stage.DONE, Stage.VERIFIED):
            memory.worked(target, feature)

    def _against(self, target: str, feature: str, since: Edition) -> str:
        """What speaks against a try."""
        device = self._device
        found = device.capabilities.lack(target, feature, self._now())
        if found is not None:
            return f"{found.evidence} ({self._now() - found.since:.0f} s ago)"
        if device.edition < since:
            return (
                f"it speaks edition {device.edition.version}, {feature} came with {since.version}"
            )
        return ""

    def _edition(self, since: Edition) -> Edition:
        return self._device.edition if self._device.edition >= since else since

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _refusal(result: ExchangeResult) -> str:
    """What an answer says against it, in its own words."""
    part = result.parts[0]
    said = getattr(part, "result", None)
    if said is None:
        return f"{part.root}/{part.cmd_type} without a Result"
    reason: str | None = getattr(part, "reason", None)
    return f"Result {said}: {reason}" if reason else f"Result {said}"


def _remarked(outcome: Outcome, remark: str) -> Outcome:
    return Outcome(
        command=outcome.command, target=outcome.target, steps=outcome.steps, remark=remark
    )
