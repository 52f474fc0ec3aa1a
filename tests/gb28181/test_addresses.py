"""Which address of ours a peer is told."""

from __future__ import annotations

import pytest

from gb28181.addresses import Advertise, route_to
from gb28181.errors import ConfigError


def route(remote: str) -> str:
    return f"route to {remote}"


def test_without_rules_the_route_decides() -> None:
    assert Advertise(route=route).host_for("10.0.0.7") == "route to 10.0.0.7"
    assert Advertise(route=route).host_for("camera.lan") == "route to camera.lan"


def test_the_narrowest_network_speaks_first() -> None:
    rules = {"10.0.0.0/8": "wide", "10.1.0.0/16": "narrow", "*": "rest", "fd00::/8": "six"}
    advertise = Advertise(rules, route=route)
    assert advertise.host_for("10.1.2.3") == "narrow"
    assert advertise.host_for("10.2.2.3") == "wide"
    assert advertise.host_for("192.0.2.1") == "rest"
    assert advertise.host_for("fd00::1") == "six"
    assert advertise.host_for("camera.lan") == "rest"


def test_auto_is_the_route() -> None:
    advertise = Advertise({"10.0.0.0/8": "auto", "*": "rest"}, route=route)
    assert advertise.host_for("10.1.2.3") == "route to 10.1.2.3"
    assert Advertise({"*": "auto"}, route=route).host_for("x") == "route to x"


def test_a_rule_that_names_no_network_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1/8"):
        Advertise({"10.0.0.1/8": "host bits set"})


def test_the_route_to_ourselves() -> None:
    assert route_to("127.0.0.1") == "127.0.0.1"
