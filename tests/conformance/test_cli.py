"""The program."""

import json
from pathlib import Path

import pytest

from conformance.cli import OK, USAGE, main


def test_list_shows_every_family(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == OK
    said = capsys.readouterr().out
    assert {"GB-REG-002", "GB-LIV-004", "GB-PS-001"} <= set(said.split())


def test_list_of_one_case_shows_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--only", "GB-REG-004"]) == OK
    said = capsys.readouterr().out
    assert "Why: " in said
    assert "Fix: " in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["platform"],
        ["platform", "--self-test", "--only", "GB-XYZ-001"],
        ["platform", "--self-test", "--report", "report.pdf"],
        ["device", "--target", "missing.toml"],
        ["list", "--only", "nothing"],
    ],
)
def test_bad_usage_is_said_in_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == USAGE
    assert capsys.readouterr().err.strip()


def test_self_test_of_a_platform_passes_and_writes_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    arguments = ["platform", "--self-test", "--only", "GB-REG-004,GB-LIV-014"]
    assert main([*arguments, "--report", str(path)]) == OK
    results = json.loads(path.read_text("utf-8"))["results"]
    assert {one["label"] for one in results} == {"udp", "tcp"}
    assert {one["verdict"] for one in results} == {"pass"}
    assert "GB-LIV-014" in capsys.readouterr().out


@pytest.mark.slow
def test_self_test_of_a_device_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "--self-test", "--only", "GB-PS-001,GB-LIV-018"]) == OK
    assert "fail" not in capsys.readouterr().out.rsplit("\n", 2)[0]


def test_platform_that_is_not_there_is_inconclusive_not_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target.toml"
    target.write_text('[target]\naddress = "tcp://127.0.0.1:1"\nhost = "127.0.0.1"\n', "utf-8")
    assert main(["platform", "--target", str(target), "--only", "GB-REG-002"]) == OK
    said = capsys.readouterr().out
    assert "inconclusive" in said
