"""Outcome: what came of a command, step by step, and what a device turned out not to support."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from ..errors import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stage(Enum):
    """How far a command came. The last stage of an ``Outcome`` is what came of it."""

    SENT = "sent"
    """It left; no SIP answer yet."""
    ACCEPTED = "accepted"
    """The device's SIP side took it: 200. For many commands the standard has no other answer."""
    DONE = "done"
    """The device says OK."""
    REFUSED = "refused"
    """The device says ERROR, or its SIP side refused it."""
    VERIFIED = "verified"
    """A query showed the effect."""
    IGNORED = "ignored"
    """A query showed that nothing happened, whatever the device said."""
    UNSUPPORTED = "unsupported"
    """Not sent: its edition has no such command, or it showed before that it cannot do it."""
    NO_ANSWER = "no-answer"
    """No SIP answer, or none of the answers that the standard demands."""


_WORKED = frozenset({Stage.ACCEPTED, Stage.DONE, Stage.VERIFIED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happened to a command."""

    stage: Stage
    at: float
    """The loop's time."""
    evidence: str
    """What was seen: a status line, a Result, the state that a query told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one command; true when it worked as far as can be known.

    Source: GB/T 28181-2022 9.3.1 d and e: which commands have an answer besides the SIP 200.
    """

    command: str
    """The element of the standard: ``PTZCmd``, ``RecordCmd``, ``OSDConfig``, ..."""
    target: str
    """The code that it was meant for."""
    steps: tuple[Step, ...] = ()
    remark: str = ""
    """Why the effect could not be verified although that was asked for."""

    def __bool__(self) -> bool:
        return self.stage in _WORKED

    @property
    def stage(self) -> Stage:
        """How far it came."""
        return self.steps[-1].stage if self.steps else Stage.SENT

    @property
    def evidence(self) -> str:
        """What the last step rests on."""
        return self.steps[-1].evidence if self.steps else ""

    def reached(self, stage: Stage) -> bool:
        """Whether it came through that stage."""
        return any(step.stage is stage for step in self.steps)

    def then(self, stage: Stage, at: float, evidence: str) -> Outcome:
        """The outcome with one step more."""
        return replace(self, steps=(*self.steps, Step(stage=stage, at=at, evidence=evidence)))

    def require(self) -> Outcome:
        """Return it when it worked.

        Raises:
            CommandFailed: It did not.
        """
        if not self:
            sentence = f"{self.command} of {self.target} {self.stage.value}"
            raise CommandFailed(sentence, result=self.evidence)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """Something that a device turned out not to support."""

    target: str
    """The code that was asked: a recorder's cameras differ."""
    feature: str
    evidence: str
    since: float
    """The loop's time of the evidence."""
    until: float
    """When it is forgotten."""


class Capabilities:
    """What a device turned out not to support, with evidence, for a day.

    One clear refusal is enough; of silence and of commands without effect it takes two in a row,
    as a datagram may be lost. Whatever works is forgotten, and everything is when the device
    comes back with another firmware.
    """

    __slots__ = ("_lacks", "_strikes", "firmware")

    LASTS = 24 * 3600.0
    """Seconds until a device is asked again."""
    STRIKES = 2
    KEPT = 4096
    """Entries of one device; the oldest go first."""

    def __init__(self) -> None:
        self.firmware: str | None = None
        self._lacks: dict[tuple[str, str], Lack] = {}
        self._strikes: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._lacks)

    def lack(self, target: str, feature: str, now: float) -> Lack | None:
        """What is known against a feature; None when it is worth a try."""
        found = self._lacks.get((target, feature))
        if found is not None and now >= found.until:
            del self._lacks[(target, feature)]
            return None
        return found

    def lacks(self, now: float) -> Iterator[Lack]:
        """All that it does not support, as far as is known now."""
        return (one for one in tuple(self._lacks.values()) if now < one.until)

    def refused(self, target: str, feature: str, evidence: str, now: float) -> None:
        """Note that it said clearly that it cannot."""
        key = (target, feature)
        self._strikes.pop(key, None)
        self._lacks.pop(key, None)
        self._lacks[key] = Lack(
            target=target, feature=feature, evidence=evidence, since=now, until=now + self.LASTS
        )
        if len(self._lacks) > self.KEPT:
            del self._lacks[next(iter(self._lacks))]

    def failed(self, target: str, feature: str, evidence: str, now: float) -> None:
        """Note that it did not answer, or that nothing happened; the second time it counts."""
        key = (target, feature)
        count = self._strikes.pop(key, 0) + 1
        if count >= self.STRIKES:
            self.refused(target, feature, f"{evidence}, {count} times", now)
            return
        self._strikes[key] = count
        if len(self._strikes) > self.KEPT:
            del self._strikes[next(iter(self._strikes))]

    def worked(self, target: str, feature: str) -> None:
        """Forget what spoke against a feature."""
        self._lacks.pop((target, feature), None)
        self._strikes.pop((target, feature), None)

    def note_firmware(self, firmware: str | None) -> None:
        """Take the firmware that it runs; another one may do what the last did not."""
        if firmware and self.firmware and firmware != self.firmware:
            self._lacks.clear()
            self._strikes.clear()
        self.firmware = firmware or self.firmware
