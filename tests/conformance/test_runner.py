"""Verdicts, order and selection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from conformance.case import (
    Case,
    Inconclusive,
    Level,
    NotApplicable,
    Role,
    Verdict,
    case,
    check,
    demand,
)
from conformance.runner import Result, UnknownCase, run, select
from conformance.target import Target, Times
from sip.flow import Flow
from sip.trace import TraceRecord

DEVICE = (Role.DEVICE,)


def make(
    case_id: str, body: Callable[[object], Awaitable[None]] | None = None, **settings: object
) -> Case:
    async def passes(peer: object) -> None:
        """A title."""

    decorate = case(case_id, roles=DEVICE, clause="9.1", level=Level.REQUIRED, **settings)  # type: ignore[arg-type]  # settings of one test
    return decorate(body or passes)


@asynccontextmanager
async def peer_of(trace: list[TraceRecord]) -> AsyncIterator[object]:
    flow = Flow("udp", ("127.0.0.1", 1), ("127.0.0.1", 2))
    trace.append(TraceRecord(time=0.0, direction="in", flow=flow, data=b"OPTIONS"))
    yield object()


async def judged(one: Case, target: Target | None = None) -> Result:
    return (await run([one], target or Target(), peer_of))[0]


async def test_case_that_returns_is_passed_and_keeps_its_trace() -> None:
    result = await judged(make("GB-REG-001"))
    assert result.verdict is Verdict.PASS
    assert [record.data for record in result.trace] == [b"OPTIONS"]


async def test_check_that_does_not_hold_fails_with_the_clause_and_what_was_seen() -> None:
    async def body(peer: object) -> None:
        check(condition=False, sentence="the sky must be blue", seen="grey")

    result = await judged(make("GB-REG-001", body))
    assert (result.verdict, result.reason, result.seen) == (
        Verdict.FAIL,
        "the sky must be blue",
        "grey",
    )


async def test_failure_quotes_the_clause_of_the_running_case() -> None:
    said: list[str] = []

    async def body(peer: object) -> None:
        try:
            check(condition=False, sentence="wrong")
        except Exception as error:
            said.append(str(error))
            raise

    await judged(make("GB-REG-001", body))
    assert said == ["9.1: wrong"]


async def test_demand_fails_for_none_and_returns_anything_else() -> None:
    async def body(peer: object) -> None:
        assert demand(0, "a zero is there") == 0
        demand(None, "nothing is there")

    assert (await judged(make("GB-REG-001", body))).reason == "nothing is there"


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Inconclusive("why"), Verdict.INCONCLUSIVE),
        (NotApplicable("why"), Verdict.NOT_APPLICABLE),
    ],
)
async def test_case_says_itself_that_nothing_can_be_said(
    error: Exception, verdict: Verdict
) -> None:
    async def body(peer: object) -> None:
        raise error

    result = await judged(make("GB-REG-001", body))
    assert (result.verdict, result.reason) == (verdict, "why")


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), TimeoutError("oops")])
async def test_fault_of_the_kit_is_an_error_and_no_failure_of_the_target(error: Exception) -> None:
    async def body(peer: object) -> None:
        raise error

    result = await judged(make("GB-REG-001", body))
    assert result.verdict is Verdict.ERROR
    assert "fault of the kit" in result.reason


async def test_peer_that_cannot_be_opened_is_an_error() -> None:
    @asynccontextmanager
    async def closed(trace: list[TraceRecord]) -> AsyncIterator[object]:
        raise OSError("address in use")
        yield

    result = (await run([make("GB-REG-001")], Target(), closed))[0]
    assert result.verdict is Verdict.ERROR


async def test_case_that_does_not_end_is_inconclusive() -> None:
    async def body(peer: object) -> None:
        await asyncio.Event().wait()

    result = await judged(make("GB-REG-001", body), Target(times=Times(case=0.01)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "not finished within 0.01 s" in result.reason


async def test_case_is_not_run_when_what_it_needs_did_not_pass() -> None:
    async def fails(peer: object) -> None:
        check(condition=False, sentence="no")

    cases = [make("GB-REG-001", fails), make("GB-REG-002", needs=("GB-REG-001",))]
    results = await run(cases, Target(), peer_of)
    assert results[1].verdict is Verdict.INCONCLUSIVE
    assert results[1].reason == "needs GB-REG-001, whose verdict is fail"
    assert not results[1].trace


async def test_case_of_another_edition_is_not_applicable() -> None:
    result = await judged(make("GB-REG-001", editions=("2022",)), Target(edition="2016"))
    assert result.verdict is Verdict.NOT_APPLICABLE


async def test_case_of_an_option_is_only_for_targets_that_claim_it() -> None:
    one = make("GB-REG-001", option="tcp-media")
    assert (await judged(one)).verdict is Verdict.NOT_APPLICABLE
    claims = Target(options=frozenset({"tcp-media"}))
    assert (await judged(one, claims)).verdict is Verdict.PASS


async def test_results_are_told_as_they_come() -> None:
    told: list[str] = []
    cases = [make("GB-REG-001"), make("GB-REG-002")]
    await run(cases, Target(), peer_of, on_result=lambda result: told.append(result.case.id))
    assert told == ["GB-REG-001", "GB-REG-002"]


def test_selection_puts_what_is_needed_first() -> None:
    cases = [make("GB-REG-002", needs=("GB-KA-001",)), make("GB-KA-001"), make("GB-KA-002")]
    assert [one.id for one in select(cases, Role.DEVICE, ["GB-REG-002"])] == [
        "GB-KA-001",
        "GB-REG-002",
    ]


def test_selection_by_family_takes_the_whole_family() -> None:
    cases = [make("GB-REG-001"), make("GB-KA-001"), make("GB-KA-002")]
    assert [one.id for one in select(cases, Role.DEVICE, ["ka"])] == ["GB-KA-001", "GB-KA-002"]


def test_selection_of_what_does_not_exist_is_refused() -> None:
    with pytest.raises(UnknownCase, match="xyz"):
        select([make("GB-REG-001")], Role.DEVICE, ["xyz"])
    with pytest.raises(UnknownCase):
        select([make("GB-REG-001")], Role.PLATFORM)
