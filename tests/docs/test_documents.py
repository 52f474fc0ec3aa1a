"""The documents say what is true: blocks run, names exist, options and settings are accepted."""

from __future__ import annotations

import ast
import re
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

import gb28181

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^(?:<!-- (?P<mark>runnable(?:: pytest)?) -->\n)?```(?P<language>\w+)\n", re.M)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a document."""

    place: str
    language: str
    mark: str
    text: str


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text("utf-8")
    return [
        Block(
            place=f"{document.relative_to(ROOT)}:{text.count(chr(10), 0, fence.end()) + 1}",
            language=fence["language"],
            mark=fence["mark"] or "",
            text=text[fence.end() : text.index("\n```", fence.end()) + 1],
        )
        for fence in _FENCE.finditer(text)
    ]


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]


def blocks(language: str, mark: str | None = None) -> pytest.MarkDecorator:
    chosen = [one for one in BLOCKS if one.language == language and mark in (None, one.mark)]
    assert chosen, f"no {language} block is marked {mark!r}"
    return pytest.mark.parametrize("block", chosen, ids=lambda block: block.place)


def with_free_port(text: str) -> str:
    """The block with a port of the loopback that is free now in place of 5060."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return text.replace(":5060", f":{one.getsockname()[1]}")


def run(*arguments: str, folder: Path) -> str:
    outcome = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout


@blocks("python")
def test_python_block_compiles_and_imports_what_exists(block: Block) -> None:
    tree = compile(
        block.text, block.place, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    compile(block.text, block.place, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("gb28181", "sip", "rtp")
        ):
            module = import_module(node.module or "")
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{node.module} has no {missing}"


@blocks("python", "runnable")
def test_runnable_block_runs(block: Block, tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "block.py").write_text(with_free_port(block.text), "utf-8")
    assert run("block.py", folder=tmp_path).strip(), "it shows nothing"


@blocks("python", "runnable: pytest")
def test_runnable_test_passes(block: Block, tmp_path: Path) -> None:
    (tmp_path / "test_block.py").write_text(block.text, "utf-8")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
    )
    output = run("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=tmp_path)
    assert "passed" in output


@blocks("toml")
def test_configuration_is_accepted(block: Block, tmp_path: Path) -> None:
    pytest.importorskip("pydantic")
    from conformance.target import load_target
    from gb28181.gateway.config import load

    path = tmp_path / "settings.toml"
    path.write_text(block.text, "utf-8")
    if block.text.startswith("# target.toml"):
        load_target(path)
    else:
        load(path)


@blocks("console")
def test_commands_have_the_verbs_and_options_that_are_shown(
    block: Block, capsys: pytest.CaptureFixture[str]
) -> None:
    from conformance.cli import _parser as conformance_parser
    from gb28181.gateway.cli import _parser as gateway_parser

    parsers = {"gb28181": gateway_parser, "gb28181-conformance": conformance_parser}
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M)
    for line in block.text.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        match words:
            case [program, *arguments] if line.startswith("$ ") and program in parsers:
                try:
                    parsers[program]().parse_args(arguments)
                except SystemExit:
                    pytest.fail(f"{line}: {capsys.readouterr().err}")
            case ["make", target, *_] if line.startswith("$ "):
                assert target in targets


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: str(one.relative_to(ROOT)))
def test_relative_links_lead_to_what_is_there(document: Path) -> None:
    for link in _LINK.finditer(_CODE.sub("", document.read_text("utf-8"))):
        target, _, anchor = link["target"].partition("#")
        if "://" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{document.name} links to {link['target']}"
        if anchor:
            assert anchor in anchors_of(path), f"{path.name} has no heading for #{anchor}"


def anchors_of(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_reference_page_has_every_public_name_once_and_no_other() -> None:
    page = (ROOT / "docs/reference/api.md").read_text("utf-8")
    names = re.findall(r"^\| `(\w+)` \|", page, re.M)
    assert sorted(names) == sorted(gb28181.__all__)


def test_public_names_stay_few_and_exist() -> None:
    assert len(set(gb28181.__all__)) == len(gb28181.__all__) < 60
    for name in gb28181.__all__:
        assert getattr(gb28181, name).__doc__, f"{name} has no docstring"


def test_every_page_can_be_reached_from_the_index() -> None:
    docs = ROOT / "docs"
    seen: set[Path] = set()
    waiting = [docs / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        for link in _LINK.finditer(_CODE.sub("", page.read_text("utf-8"))):
            target = (page.parent / link["target"].partition("#")[0]).resolve()
            if target.suffix == ".md" and target.is_relative_to(docs) and target.exists():
                waiting.append(target)
    assert set(docs.rglob("*.md")) - seen == set()


def test_both_readmes_show_the_same_blocks_of_code() -> None:
    def code(name: str) -> list[str]:
        shown = [one for one in blocks_of(ROOT / name) if one.language in ("python", "text")]
        return [re.sub(r"#.*", "", one.text) for one in shown]

    assert code("README.md") == code("README.zh-CN.md")


def test_reference_has_every_setting_of_every_section_and_no_other() -> None:
    pytest.importorskip("pydantic")
    from gb28181.gateway.config import Config

    page = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    shown: dict[str, set[str]] = {}
    for part in page.split("\n## ")[1:]:
        rows = re.findall(r"^\| (`.*?`) \|", part, re.M)
        shown[part[: part.index("\n")].strip("`[]")] = set(re.findall(r"`(\w+)`", " ".join(rows)))
    schema = Config.model_json_schema()
    known = {}
    for name, field in schema["properties"].items():
        reference = field.get("$ref") or field["items"]["$ref"]
        known[name] = set(schema["$defs"][reference.rpartition("/")[2]]["properties"])
    assert shown == known


def test_causes_page_has_every_reason_why_a_device_is_offline() -> None:
    from gb28181.registrar import OfflineCause

    page = (ROOT / "docs/reference/causes.md").read_text("utf-8")
    table = page[page.index("## Of a device") : page.index("## Of a session")]
    codes = {one.name.lower().replace("_", "-") for one in OfflineCause}
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.M)) == codes


def test_causes_page_has_every_reason_why_a_session_ends() -> None:
    from gb28181.media.stages import Reason, Stage
    from gb28181.registrar import OfflineCause

    page = (ROOT / "docs/reference/causes.md").read_text("utf-8")
    part = page[page.index("## Of a session") : page.index("### Refusals")]
    rows = re.findall(r"^\| (`[^|]*) \|", part, re.M)
    shown = {code.rstrip("-") for row in rows for code in re.findall(r"`([\w-]+)`", row)}
    offline = {one.name.lower().replace("_", "-") for one in OfflineCause}
    assert shown == {str(reason) for reason in Reason} | offline
    stages = set(re.findall(r"`([\w ]+)`", part[: part.index("`evidence`")]))
    assert {stage.value for stage in Stage} - {"opening"} <= stages


def test_sample_of_the_demo_shows_the_village_that_it_starts() -> None:
    pytest.importorskip("pydantic")
    from gb28181.gateway.demo import VILLAGE

    sample = next(one.text for one in blocks_of(ROOT / "README.md") if one.language == "text")
    expected = [f"{channel}  {one.about}" for one in VILLAGE for channel in one.channel_ids]
    rows = sample.splitlines()[2:]
    assert len(rows) == len(expected)
    assert all(row.startswith(start) for row, start in zip(rows, expected, strict=True))
