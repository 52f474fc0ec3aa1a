"""The description of a target."""

import sys
from pathlib import Path

import pytest

from conformance.case import Inconclusive, NotApplicable
from conformance.target import BadTarget, Target, Times, load_target

WHOLE = """
[target]
address = "udp://192.0.2.1:5060"
id = "34010000002000000001"
options = ["tcp-media"]
listen = ["udp://0.0.0.0:5061"]

[times]
keepalive_interval = 30
short_expires = 60
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "target.toml"
    path.write_text(text, "utf-8")
    return path


def test_file_gives_what_it_says_and_defaults_for_the_rest(tmp_path: Path) -> None:
    target = load_target(written(tmp_path, WHOLE))
    assert target.address == "udp://192.0.2.1:5060"
    assert target.options == {"tcp-media"}
    assert target.listen == ("udp://0.0.0.0:5061",)
    assert target.times == Times(keepalive_interval=30.0, short_expires=60)
    assert target.edition == "2016"
    assert target.transport == "udp"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[target]\nadress = 'x'", "target.adress"),
        ("[target]\nid = 34", "target.id"),
        ("[target]\noptions = 'tcp-media'", "target.options"),
        ("[times]\nanswer = true", "times.answer"),
        ("[times]\nanswer = '5'", "times.answer"),
        ("[trigger]\ndance = 'true'", "trigger.dance"),
        ("[trigger]\nplay = ''", "trigger.play"),
        ("[other]\n", "other"),
        ("[target", "target.toml"),
    ],
)
def test_mistake_is_named_by_its_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(BadTarget, match=named):
        load_target(written(tmp_path, text))


async def test_trigger_runs_a_command_line_and_takes_its_status(tmp_path: Path) -> None:
    line = f"'{sys.executable} -c \"import sys; sys.exit(sys.argv[1] != chr(55))\" {{channel}}'"
    target = load_target(written(tmp_path, f"[trigger]\nplay = {line}"))
    assert await target.trigger("play", channel="7")
    assert not await target.trigger("play", channel="8")


async def test_trigger_with_an_unknown_place_is_refused(tmp_path: Path) -> None:
    target = load_target(written(tmp_path, "[trigger]\nplay = 'echo {chanel}'"))
    with pytest.raises(BadTarget, match="chanel"):
        await target.trigger("play", channel="7")


async def test_trigger_that_does_not_return_is_ended(tmp_path: Path) -> None:
    line = f"'{sys.executable} -c \"import time; time.sleep(60)\"'"
    text = f"[times]\nanswer = 0.05\nmedia = 0.05\n[trigger]\nplay = {line}"
    with pytest.raises(Inconclusive, match="play"):
        await load_target(written(tmp_path, text)).trigger("play")


async def test_missing_trigger_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no trigger 'play'"):
        await Target().trigger("play")
