"""Reports."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from conformance.case import Level, Role, Verdict, case
from conformance.report import (
    has_failed,
    line_of,
    summary_of,
    to_json,
    to_junit,
    to_text,
    write_report,
)
from conformance.runner import Result
from sip.flow import Flow
from sip.trace import TraceRecord


def result(
    verdict: Verdict, level: Level = Level.REQUIRED, reason: str = "", **more: str
) -> Result:
    @case("GB-REG-004", roles=(Role.PLATFORM,), clause="9.1.2.1", level=level)
    async def body(peer: object) -> None:
        """A wrong password is refused."""

    record = TraceRecord(
        time=5.0,
        direction="out",
        flow=Flow("udp", ("127.0.0.1", 1), ("192.0.2.1", 5060)),
        data=b"REGISTER sip:x SIP/2.0\r\nFrom: \xff\x01\r\n\r\n",
    )
    return Result(
        case=body, verdict=verdict, reason=reason, number=41, seconds=0.25, trace=(record,), **more
    )


def test_line_shows_level_clause_verdict_reason_and_trace() -> None:
    failed = result(Verdict.FAIL, reason="must be refused", seen="200 OK")
    said = "GB-REG-004 required 9.1.2.1 fail must be refused; seen: 200 OK; trace 41"
    assert " ".join(line_of(failed).split()) == said


def test_line_of_a_pass_says_no_more() -> None:
    assert line_of(result(Verdict.PASS)).split()[-1] == "pass"


def test_summary_counts_verdicts() -> None:
    results = [result(Verdict.PASS), result(Verdict.PASS), result(Verdict.INCONCLUSIVE)]
    assert summary_of(results) == "2 pass, 0 fail, 1 inconclusive"


@pytest.mark.parametrize(
    ("verdict", "level", "failed"),
    [
        (Verdict.FAIL, Level.REQUIRED, True),
        (Verdict.FAIL, Level.RECOMMENDED, False),
        (Verdict.FAIL, Level.INFO, False),
        (Verdict.ERROR, Level.INFO, True),
        (Verdict.INCONCLUSIVE, Level.REQUIRED, False),
        (Verdict.NOT_APPLICABLE, Level.REQUIRED, False),
    ],
)
def test_only_required_failures_and_kit_faults_count(
    verdict: Verdict, level: Level, failed: bool
) -> None:
    assert has_failed([result(Verdict.PASS), result(verdict, level)]) is failed


def test_self_test_must_also_show_what_is_required() -> None:
    assert has_failed([result(Verdict.INCONCLUSIVE)], must_conclude=True)
    assert not has_failed([result(Verdict.INCONCLUSIVE, Level.INFO)], must_conclude=True)


def test_text_has_the_traces_of_what_did_not_pass() -> None:
    text = to_text([result(Verdict.PASS), result(Verdict.FAIL, reason="why")])
    assert text.count("REGISTER sip:x") == 1
    assert "-> udp 192.0.2.1:5060" in text


def test_json_can_be_read_back() -> None:
    read = json.loads(to_json([result(Verdict.FAIL, reason="why", label="udp")]))
    assert read["failed"] is True
    assert read["summary"]["fail"] == 1
    one = read["results"][0]
    assert (one["id"], one["label"], one["reason"]) == ("GB-REG-004", "udp", "why")
    assert any("REGISTER" in line for line in one["trace"])


def test_junit_has_one_kind_of_element_for_each_verdict() -> None:
    suite = ET.fromstring(to_junit([result(verdict, reason="why") for verdict in Verdict]))
    assert suite.attrib["tests"] == "5"
    assert (suite.attrib["failures"], suite.attrib["errors"]) == ("1", "1")
    assert suite.attrib["skipped"] == "2"
    kinds = [[child.tag for child in test if child.tag != "system-out"] for test in suite]
    assert kinds == [[], ["failure"], ["skipped"], ["skipped"], ["error"]]


@pytest.mark.parametrize("ending", [".txt", ".xml", ".json"])
def test_ending_chooses_the_format(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"report{ending}"
    write_report([result(Verdict.PASS)], path)
    assert path.read_text("utf-8")[0] == {".txt": "G", ".xml": "<", ".json": "{"}[ending]


def test_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.pdf"):
        write_report([], tmp_path / "report.pdf")
