"""Runs cases in the order of their needs, each with a trace and a verdict of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from sip.trace import TraceRecord

from .case import Case, Failed, Inconclusive, NotApplicable, Role, Verdict, carry_out
from .target import Target

OpenPeer = Callable[[list[TraceRecord]], AbstractAsyncContextManager[object]]
"""Opens the peer of one case; what it sends and receives is put into the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one case."""

    case: Case
    verdict: Verdict
    reason: str = ""
    """One sentence; empty for a pass."""
    seen: str = ""
    """What the target did in place of what was expected."""
    seconds: float = 0.0
    number: int = 0
    """Of the trace."""
    trace: tuple[TraceRecord, ...] = ()
    label: str = ""
    """Tells runs apart, such as ``udp``."""


class UnknownCase(Exception):
    """A selection that names no case."""


def select(cases: Iterable[Case], role: Role, only: Sequence[str] = ()) -> list[Case]:
    """Return the cases of a role, or those that ``only`` names, with what they need, in order.

    Args:
        cases: All that there are.
        role: What is under test.
        only: Ids (``GB-REG-002``) or families (``reg``); everything when empty.

    Raises:
        UnknownCase: A name matches nothing.
    """
    known = {one.id: one for one in cases if role in one.roles}
    wanted: list[Case] = []
    for name in only or ("",):
        matching = [
            one
            for one in known.values()
            if not name or name.upper() == one.id or name.lower() == one.family
        ]
        if not matching:
            raise UnknownCase(f"{name}: no case of that name for a {role.value}")
        wanted += matching
    ordered: dict[str, Case] = {}

    def place(one: Case) -> None:
        for need in one.needs:
            if need in known and need not in ordered:
                place(known[need])
        ordered.setdefault(one.id, one)

    for one in wanted:
        place(one)
    return list(ordered.values())


async def run(
    cases: Sequence[Case],
    target: Target,
    open_peer: OpenPeer,
    *,
    label: str = "",
    on_result: Callable[[Result], None] | None = None,
) -> list[Result]:
    """Run cases one after the other and judge them.

    Args:
        cases: In order, as ``select`` returns them.
        target: What is under test.
        open_peer: Makes the peer of a case.
        label: Put into every result.
        on_result: Told of each result as it comes.
    """
    results: dict[str, Result] = {}
    for number, one in enumerate(cases, 1):
        result = _excused(one, target, results)
        if result is None:
            result = await _judged(one, target, open_peer)
        results[one.id] = replace(result, number=number, label=label)
        if on_result is not None:
            on_result(results[one.id])
    return list(results.values())


def _excused(one: Case, target: Target, results: dict[str, Result]) -> Result | None:
    """Return the result of a case that need not be run."""
    if target.edition not in one.editions:
        sentence = f"not in the edition of {target.edition}"
        return Result(case=one, verdict=Verdict.NOT_APPLICABLE, reason=sentence)
    if one.option and one.option not in target.options:
        sentence = f"the target does not claim {one.option!r}"
        return Result(case=one, verdict=Verdict.NOT_APPLICABLE, reason=sentence)
    for need in one.needs:
        before = results.get(need)
        if before is not None and before.verdict is not Verdict.PASS:
            sentence = f"needs {need}, whose verdict is {before.verdict.value}"
            return Result(case=one, verdict=Verdict.INCONCLUSIVE, reason=sentence)
    return None


async def _judged(one: Case, target: Target, open_peer: OpenPeer) -> Result:
    loop, trace = asyncio.get_running_loop(), list[TraceRecord]()
    began = loop.time()
    verdict, reason, seen = Verdict.PASS, "", ""
    limit = asyncio.timeout(target.times.case)
    try:
        async with limit, open_peer(trace) as peer:
            await carry_out(one, peer)
    except Failed as failed:
        verdict, reason, seen = Verdict.FAIL, failed.sentence, failed.seen
    except NotApplicable as why:
        verdict, reason = Verdict.NOT_APPLICABLE, str(why)
    except Inconclusive as why:
        verdict, reason = Verdict.INCONCLUSIVE, str(why)
    except Exception as error:  # noqa: BLE001  a case is a boundary: this fault is the kit's
        if isinstance(error, TimeoutError) and limit.expired():
            verdict = Verdict.INCONCLUSIVE
            reason = f"not finished within {target.times.case:g} s"
        else:
            verdict, reason = Verdict.ERROR, f"fault of the kit: {type(error).__name__}: {error}"
    return Result(
        case=one,
        verdict=verdict,
        reason=reason,
        seen=seen,
        seconds=loop.time() - began,
        trace=tuple(trace),
    )
