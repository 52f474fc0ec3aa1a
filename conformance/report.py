"""Reports: a table of text, JUnit XML and JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from .case import Level, Verdict
from .runner import Result

FORMATS = (".txt", ".xml", ".json")
_ORDER = (
    Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE, Verdict.ERROR,
)  # fmt: skip
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def has_failed(results: Sequence[Result], *, must_conclude: bool = False) -> bool:
    """Whether something required failed, or the kit was at fault.

    Args:
        results: Of a whole run.
        must_conclude: Whether what is required and inconclusive counts as failed: for a target
            that is known to be there and to answer.
    """
    bad = {Verdict.FAIL, Verdict.INCONCLUSIVE} if must_conclude else {Verdict.FAIL}
    return any(
        one.verdict is Verdict.ERROR or (one.verdict in bad and one.case.level is Level.REQUIRED)
        for one in results
    )


def line_of(one: Result) -> str:
    """One result as a line of the table."""
    label = f"{one.label:4} " if one.label else ""
    level = "robustness" if one.case.robustness else one.case.level.value
    said = sentence_of(one)
    if said and one.trace:
        said += f"; trace {one.number}"
    text = f"{label}{one.case.id:<12} {level:<12} {one.case.clause:<15} {one.verdict.value:<15}"
    return f"{text} {said}".rstrip()


def sentence_of(one: Result) -> str:
    """Why a case did not pass, with what was seen."""
    return one.reason + (f"; seen: {one.seen}" if one.seen else "")


def summary_of(results: Sequence[Result]) -> str:
    """The counts of the verdicts, in one line."""
    counts = Counter(one.verdict for one in results)
    return ", ".join(
        f"{counts[verdict]} {verdict.value}"
        for verdict in _ORDER
        if counts[verdict] or verdict in (Verdict.PASS, Verdict.FAIL)
    )


def to_text(results: Sequence[Result]) -> str:
    """The table, the summary, and the traces of what did not pass."""
    lines = [line_of(one) for one in results]
    lines += [summary_of(results)]
    for one in results:
        if one.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR) and one.trace:
            lines += ["", f"Trace {one.number} {one.label}: {one.case.id}", trace_of(one)]
    return "\n".join(lines) + "\n"


def to_json(results: Sequence[Result]) -> str:
    """All results as a JSON object with ``summary`` and ``results``."""
    return json.dumps(
        {
            "summary": {
                verdict.value: sum(one.verdict is verdict for one in results) for verdict in _ORDER
            },
            "failed": has_failed(results),
            "results": [
                {
                    "id": one.case.id,
                    "title": one.case.title,
                    "label": one.label,
                    "clause": one.case.clause,
                    "level": one.case.level.value,
                    "robustness": one.case.robustness,
                    "verdict": one.verdict.value,
                    "reason": one.reason,
                    "seen": one.seen,
                    "seconds": round(one.seconds, 3),
                    "trace": [] if one.verdict is Verdict.PASS else trace_of(one).splitlines(),
                }
                for one in results
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


def to_junit(results: Sequence[Result]) -> str:
    """All results as JUnit XML: inconclusive and not applicable are skipped tests there."""
    suite = ET.Element(
        "testsuite",
        name="gb28181-conformance",
        tests=str(len(results)),
        failures=str(sum(one.verdict is Verdict.FAIL for one in results)),
        errors=str(sum(one.verdict is Verdict.ERROR for one in results)),
        skipped=str(
            sum(one.verdict in (Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE) for one in results)
        ),
        time=f"{sum(one.seconds for one in results):.3f}",
    )
    elements = {Verdict.FAIL: "failure", Verdict.ERROR: "error"}
    for one in results:
        name = f"{one.case.id} {one.case.title}" + (f" [{one.label}]" if one.label else "")
        test = ET.SubElement(
            suite,
            "testcase",
            name=name,
            classname=f"conformance.{one.case.family}",
            time=f"{one.seconds:.3f}",
        )
        if one.verdict is Verdict.PASS:
            continue
        said = f"{one.verdict.value}: {one.case.clause}: {sentence_of(one)}"
        ET.SubElement(test, elements.get(one.verdict, "skipped"), message=_xml_text(said))
        if one.trace:
            ET.SubElement(test, "system-out").text = _xml_text(trace_of(one))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def trace_of(one: Result) -> str:
    """The messages of a case as text."""
    if not one.trace:
        return ""
    began = one.trace[0].time
    pieces = []
    for record in one.trace:
        arrow = "<-" if record.direction == "in" else "->"
        host, port = record.flow.remote
        head = f"{record.time - began:8.3f} {arrow} {record.flow.transport} {host}:{port}"
        pieces.append(f"{head}\n{record.data.decode('utf-8', 'replace').strip()}")
    return "\n\n".join(pieces)


def write_report(results: Sequence[Result], path: Path) -> None:
    """Write a report in the format that the file's ending names.

    Raises:
        ValueError: The ending is none of ``FORMATS``.
    """
    writers = {".txt": to_text, ".xml": to_junit, ".json": to_json}
    if path.suffix not in writers:
        raise ValueError(f"{path}: the ending must be one of {', '.join(FORMATS)}")
    path.write_text(writers[path.suffix](results), "utf-8")


def _xml_text(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)
