from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.errors import PortsExhausted
from gb28181.media.ports import MediaPorts


def test_only_even_ports_with_their_rtcp_port_in_the_range_are_leased() -> None:
    ports = MediaPorts(range(30001, 30007))  # 30006 would need 30007
    assert [ports.lease(0.0), ports.lease(0.0)] == [30002, 30004]
    with pytest.raises(PortsExhausted, match="2 in use, 0 in quarantine"):
        ports.lease(0.0)


def test_a_released_port_rests_before_it_is_leased_again() -> None:
    ports = MediaPorts(range(30000, 30002), quarantine=5.0)
    port = ports.lease(0.0)
    ports.release(port, 10.0)
    assert (ports.leased, ports.quarantined(14.9)) == (0, 1)
    with pytest.raises(PortsExhausted, match="1 in quarantine"):
        ports.lease(14.9)
    assert ports.lease(15.0) == port


def test_the_longest_unused_port_is_leased_first() -> None:
    ports = MediaPorts(range(30000, 30006), quarantine=0.0)
    first = ports.lease(0.0)
    ports.release(first, 0.0)
    assert ports.lease(0.0) != first


def test_a_refused_port_is_left_alone_for_a_minute() -> None:
    ports = MediaPorts(range(30000, 30002), quarantine=0.0)
    port = ports.lease(0.0)
    ports.refuse(port, 0.0)
    with pytest.raises(PortsExhausted):
        ports.lease(59.9)
    assert ports.lease(60.0) == port


def test_the_usual_port_is_had_again_at_once_unless_it_is_in_use() -> None:
    ports = MediaPorts(range(30000, 30006), quarantine=5.0)
    usual, other = ports.lease(0.0), ports.lease(0.0)
    ports.release(usual, 0.0)
    assert ports.lease(1.0, usual=usual) == usual
    assert ports.lease(1.0, usual=usual) == 30004
    ports.release(other, 1.0)
    ports.release(usual, 1.0)
    assert ports.lease(60.0, usual=usual) == usual  # rested, and not the longest unused
    assert ports.lease(60.0) == other


def test_a_port_released_twice_is_free_once() -> None:
    ports = MediaPorts(range(30000, 30002), quarantine=0.0)
    port = ports.lease(0.0)
    ports.release(port, 0.0)
    ports.release(port, 0.0)
    ports.release(4, 0.0)
    assert ports.lease(0.0) == port
    with pytest.raises(PortsExhausted):
        ports.lease(0.0)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["lease", "release", "refuse"]), st.floats(0, 10))))
def test_no_port_is_ever_leased_twice_or_lost(steps: list[tuple[str, float]]) -> None:
    ports = MediaPorts(range(30000, 30010), quarantine=5.0)
    now, held = 0.0, set[int]()
    for step, pause in steps:
        now += pause
        if step == "lease":
            if len(held) + ports.quarantined(now) < 5:
                port = ports.lease(now)
                assert port not in held
                held.add(port)
        elif held:
            port = held.pop()
            (ports.release if step == "release" else ports.refuse)(port, now)
        assert ports.leased == len(held)
    for port in held:
        ports.release(port, now)
    assert sorted(ports.lease(now + 100.0) for _ in range(5)) == list(range(30000, 30010, 2))
