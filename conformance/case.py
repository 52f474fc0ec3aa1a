"""Cases: what one is, the verdicts, and the checks that quote the clause."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

T = TypeVar("T")

PARTS = ("Demand", "Why", "Tested", "Fix")
"""The four parts of a case's page, each the start of a paragraph of its docstring."""


class Role(Enum):
    """What is under test."""

    PLATFORM = "platform"
    DEVICE = "device"


class Level(Enum):
    """How binding a case is."""

    REQUIRED = "required"
    """The standard says so."""
    RECOMMENDED = "recommended"
    """Good engineering, or what an RFC says that the standard builds on."""
    INFO = "info"
    """One source or an inference; never counts against a target."""


class Verdict(Enum):
    """The outcome of a case, in the words of ISO/IEC 9646."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not applicable"
    ERROR = "error"
    """The kit is at fault, not the target."""


class Failed(Exception):
    """The target did not do what the clause demands."""

    def __init__(self, clause: str, sentence: str, seen: str = "") -> None:
        super().__init__(f"{clause}: {sentence}" + (f"; seen: {seen}" if seen else ""))
        self.clause = clause
        self.sentence = sentence
        self.seen = seen


class Inconclusive(Exception):
    """Nothing can be said: the test could not be carried out to its end."""


class NotApplicable(Exception):
    """The case does not concern this target, for the reason given."""


class CaseRun(Protocol):
    """The body of a case: given the scripted peer that faces the target."""

    def __call__(self, peer: object, /) -> Awaitable[None]:
        """Carry the test out; return for a pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One point of the catalogue as a test of one role."""

    id: str
    """As in the catalogue of points, ``GB-REG-002``."""
    roles: tuple[Role, ...]
    clause: str
    """Where the demand is written."""
    level: Level
    robustness: bool
    """Whether bad input is given."""
    needs: tuple[str, ...]
    """Ids of cases without which this one says nothing."""
    editions: tuple[str, ...]
    """The editions that demand it."""
    option: str
    """What the target must claim to be asked; empty for everybody."""
    run: Callable[..., Awaitable[None]]
    page: str
    """The documentation page: title line, then the four parts."""

    @property
    def title(self) -> str:
        """One line."""
        return self.page.partition("\n")[0]

    @property
    def family(self) -> str:
        """The middle of the id, in lower case: ``reg``."""
        return self.id.split("-")[1].lower()


_running: ContextVar[Case | None] = ContextVar("running case", default=None)


def case(
    case_id: str,
    *,
    roles: tuple[Role, ...],
    clause: str,
    level: Level,
    robustness: bool = False,
    needs: tuple[str, ...] = (),
    editions: tuple[str, ...] = ("2016", "2022"),
    option: str = "",
) -> Callable[[Callable[..., Awaitable[None]]], Case]:
    """Make a case of an async function; its docstring becomes the case's page."""

    def make(run: Callable[..., Awaitable[None]]) -> Case:
        return Case(
            id=case_id,
            roles=roles,
            clause=clause,
            level=level,
            robustness=robustness,
            needs=needs,
            editions=editions,
            option=option,
            run=run,
            page=inspect.getdoc(run) or "",
        )

    return make


async def carry_out(one: Case, peer: object) -> None:
    """Run a case; checks made meanwhile quote its clause."""
    token = _running.set(one)
    try:
        await one.run(peer)
    finally:
        _running.reset(token)


def check(condition: object, sentence: str, *, seen: object = "") -> None:
    """Fail the case with its clause unless the condition holds.

    Args:
        condition: What must be true.
        sentence: What is wrong when it is not.
        seen: What came in its place.

    Raises:
        Failed: It does not hold.
    """
    if not condition:
        running = _running.get()
        raise Failed(running.clause if running else "-", sentence, str(seen))


def demand(value: T | None, sentence: str, *, seen: object = "") -> T:
    """Return a value that must be there; fail the case with its clause when it is not."""
    check(value is not None, sentence, seen=seen)
    assert value is not None
    return value
