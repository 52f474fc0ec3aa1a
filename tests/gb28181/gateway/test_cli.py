from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gb28181.gateway.cli import main
from gb28181.gateway.commandline import build
from sip import parser

MINIMAL = '[platform]\nid = "34020000002000000001"\npassword = "x"\n'


def test_help_imports_nothing_heavy() -> None:
    heavy = "av numpy pydantic fastapi asyncio gb28181.platform gb28181.manscdp"
    code = (
        "import sys\nfrom gb28181.gateway.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "simulate" in done.stdout
    assert done.stderr.strip() == "[]"


def test_importing_the_library_loads_neither_av_nor_manscdp() -> None:
    code = "import gb28181, sys; print('av' in sys.modules, 'gb28181.manscdp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_check_accepts_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.toml"
    path.write_text(MINIMAL)
    assert main(["check", str(path)]) == 0
    assert "good" in capsys.readouterr().out


def test_check_names_the_wrong_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "g.toml"
    path.write_text(MINIMAL + "[media]\nmodus = 1\n")
    assert main(["check", str(path)]) == 2
    said = capsys.readouterr().err
    assert "media.modus: there is no such key" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--file", "nowhere.mp4"], "--file: nowhere.mp4 is not a file"),
        (["--id", "12"], "--id: '12' is not a 20-digit code"),
        (["--loss", "2"], "--loss: 2.0"),
        (["--server", "foo"], "server: 'foo'"),
        (["--server", "udp://127.0.0.1:99999"], "server: "),
        (["--media-ports", "9-1"], "--media-ports"),
        (["--password-file", "nowhere"], "nowhere: No such file"),
    ],
)
def test_a_wrong_option_of_the_simulator_is_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said


def test_a_port_in_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        path = tmp_path / "g.toml"
        path.write_text(MINIMAL + f'listen = ["udp://127.0.0.1:{port}"]\n')
        assert main(["serve", str(path)]) == 2
    said = capsys.readouterr().err
    assert f"udp port {port}" in said
    assert "in use" in said
    assert "Traceback" not in said


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    """Without pydantic the program says which extra brings it."""
    path = tmp_path / "g.toml"
    path.write_text(MINIMAL)
    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        "from gb28181.gateway.cli import main\n"
        f"sys.exit(main(['check', {str(path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'gb28181[gateway]'" in done.stderr


def test_a_missing_codec_is_named() -> None:
    code = (
        "import sys\nimport av.video.codeccontext as codecs\n"
        "class Without:\n"
        "    @staticmethod\n"
        "    def create(name, mode): raise ValueError(name)\n"
        "codecs.VideoCodecContext = Without\n"
        "from gb28181.gateway.cli import main\n"
        "sys.exit(main(['simulate', '--video', 'h265']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot encode H.265: this PyAV is built without libx265" in done.stderr
    assert "Traceback" not in done.stderr


def test_status_without_a_gateway_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 2
    assert "--control" in capsys.readouterr().err


def test_version_lists_the_optional_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert "gb28181 0." in capsys.readouterr().out


def test_the_build_is_told_as_it_is() -> None:
    modules, _, loop = build().partition(" with ")
    assert (modules == "plain") == str(parser.__file__).endswith(".py")
    assert (loop == "uvloop") == (importlib.util.find_spec("uvloop") is not None)
