from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from gb28181.errors import ConfigError
from gb28181.gateway.config import Config, load, write_default
from gb28181.gateway.process import Gateway
from sip.overload import OverloadLimits, StackLimits
from sip.parser import Limits

MINIMAL = '[platform]\nid = "34020000002000000001"\npassword = "x"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "gateway.toml"
    path.write_text(text, "utf-8")
    return path


def test_only_the_platform_section_is_needed(tmp_path: Path) -> None:
    config = load(written(tmp_path, MINIMAL))
    assert config.platform.listen == ("udp://0.0.0.0:5060", "tcp://0.0.0.0:5060")
    assert config.media.port_range == range(30000, 31000)
    assert config.cascade == ()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[platform]\nid = "34020000002000000001"\npasword = "x"', "platform.pasword"),
        ('[platform]\nid = "3402"', "platform.id"),
        ("", "platform"),
        (MINIMAL + 'listen = ["udp:5060"]', "platform.listen"),
        (MINIMAL + "keepalive_interval = 0", "platform.keepalive_interval"),
        (MINIMAL + '[media]\nmode = "rtmp"', "media.mode"),
        (MINIMAL + '[media]\nports = "30000"', "media.ports"),
        (MINIMAL + '[media]\nports = "80-90"', "media.ports"),
        (MINIMAL + '[media]\nports = "40000-30000"', "media.ports"),
        (
            MINIMAL + '[[cascade]]\nupper_id = "34010000002000000001"\nupper = "tcp://:5060"',
            "cascade.0.upper",
        ),
        (MINIMAL + '[[device]]\nid = "34020000001320000001"\n' * 2, "device"),
        (MINIMAL + '[[recording]]\nwindows = ["at night"]', "recording.0.windows"),
        (MINIMAL + "[archive]\nlength = 1", "archive.length"),
        (MINIMAL + "[sip]\nhead = 10", "sip.head"),
    ],
)
def test_a_wrong_key_is_named_with_its_path(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(written(tmp_path, text))
    assert f"gateway.toml: {key}" in str(caught.value)


def test_limits_of_sip_reach_the_platform(tmp_path: Path) -> None:
    given = "\n[sip]\nhead = 2000\nline = 300\nfields = 20\nbody = 70000\nretry_after = 7\n"
    sip = load(written(tmp_path, MINIMAL + given)).sip
    assert sip.limits.messages == Limits(head=2000, line=300, fields=20, body=70_000)
    assert (sip.overload.retry_after, sip.overload.connections_per_source) == (7, 4096)
    unsaid = load(written(tmp_path, MINIMAL)).sip
    assert (unsaid.limits, unsaid.overload) == (StackLimits(), OverloadLimits())


def test_what_is_no_toml_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not TOML"):
        load(written(tmp_path, "[platform\n"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")


def test_the_written_file_is_private_and_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    password = write_default(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path).platform.password == password
    assert len(password) == 16


def test_each_written_file_has_a_password_of_its_own(tmp_path: Path) -> None:
    assert write_default(tmp_path / "a.toml") != write_default(tmp_path / "b.toml")


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    with pytest.raises(FileExistsError):
        write_default(path)
    assert path.read_text() == MINIMAL


def test_the_comments_of_the_written_file_are_true(tmp_path: Path) -> None:
    """Every commented setting can be uncommented, and shows the default."""
    path = tmp_path / "gateway.toml"
    write_default(path)
    lines = path.read_text("utf-8").splitlines()
    settings = [line[2:] if line.startswith("# ") and "=" in line else line for line in lines[2:]]
    settings = [line[2:] if line.startswith("# [") else line for line in settings]
    (tmp_path / "upper.password").write_text("secret")
    table = tomllib.loads("\n".join(settings))
    config = Config.model_validate(table)
    plain = load(path)
    assert config.media == plain.media
    assert config.control == plain.control
    assert config.platform.model_dump(exclude={"domain"}) == plain.platform.model_dump(
        exclude={"domain"}
    )
    assert config.cascade[0].expires == 3600


def test_a_gateway_without_any_password_is_refused(tmp_path: Path) -> None:
    config = load(written(tmp_path, '[platform]\nid = "34020000002000000001"\n'))
    with pytest.raises(ConfigError, match=r"platform\.password"):
        Gateway(config, where=tmp_path)


def test_a_missing_password_file_is_named(tmp_path: Path) -> None:
    text = '[platform]\nid = "34020000002000000001"\npassword_file = "secret"\n'
    with pytest.raises(ConfigError, match="password_file"):
        Gateway(load(written(tmp_path, text)), where=tmp_path)


def test_recordings_become_plans_and_nothing_is_recorded_without(tmp_path: Path) -> None:
    assert Gateway(load(written(tmp_path, MINIMAL)), where=tmp_path).archive is None
    text = (
        MINIMAL
        + """
        [archive]
        folder = "tapes"
        max_gigabytes = 2.5
        [[recording]]
        channels = ["34020000001320000001"]
        windows = ["mon-fri 08:00-18:00"]
        on_alarm = 60
    """
    )
    archive = Gateway(load(written(tmp_path, text)), where=tmp_path).archive
    assert archive is not None
    assert archive.folder == tmp_path / "tapes"
    assert archive.settings.max_bytes == 2_500_000_000
    (plan,) = archive.plans
    assert plan.channels == ("34020000001320000001",)
    assert plan.on_alarm == 60.0
    assert [(window.start, window.end) for window in plan.windows] == [(480, 1080)]


def test_a_port_of_all_streams_is_chosen_by_device_or_for_all(tmp_path: Path) -> None:
    first, second = "34020000001320000001", "34020000001320000002"
    text = MINIMAL + f'[[device]]\nid = "{first}"\nmedia_port = "shared"\n'
    shares = Gateway(load(written(tmp_path, text)), where=tmp_path).platform.sessions._shares_port
    assert [shares(first), shares(second)] == [True, False]
    text = (
        MINIMAL + f'[media]\nsingle_port = true\n[[device]]\nid = "{first}"\nmedia_port = "own"\n'
    )
    shares = Gateway(load(written(tmp_path, text)), where=tmp_path).platform.sessions._shares_port
    assert [shares(first), shares(second)] == [False, True]
