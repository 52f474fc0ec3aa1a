"""The address translator: answers find their way back, nothing else does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.testing.nat import Nat

inside = st.tuples(st.sampled_from(["192.168.1.2", "192.168.1.3"]), st.integers(1, 5))
remote = st.sampled_from(["10.0.0.1", "10.0.0.2"])
kind = st.sampled_from(["udp", "tcp"])


@settings(max_examples=100)
@given(st.lists(st.tuples(kind, inside, remote), min_size=1, max_size=30))
def test_every_answer_reaches_who_asked_and_no_two_share_a_port(
    packets: list[tuple[str, tuple[str, int], str]],
) -> None:
    nat = Nat("203.0.113.1")
    seen: dict[tuple[str, tuple[str, int]], tuple[str, int]] = {}
    for kind, source, target in packets:
        outside = nat.outward(kind, source, target, 0.0)
        assert seen.setdefault((kind, source), outside) == outside
        assert outside[0] == nat.public
        assert nat.inward(kind, outside[1], target, 0.0) == source
    assert len(set(seen.values())) == len(seen)
    asked = {(kind, source, target) for kind, source, target in packets}
    for (kind, source), (_, port) in seen.items():
        for target in ("10.0.0.1", "10.0.0.2"):
            arrives = nat.inward(kind, port, target, 0.0) == source
            assert arrives is ((kind, source, target) in asked)
    nat.rebind()
    for kind, source, target in packets:
        assert nat.inward(kind, seen[kind, source][1], target, 0.0) is None
    for (kind, source), before in seen.items():
        assert nat.outward(kind, source, "10.0.0.1", 0.0) != before
    assert nat.generation == 1


def test_traffic_in_either_direction_keeps_a_mapping() -> None:
    nat = Nat("203.0.113.1", lifetime=60)
    camera = ("192.168.1.2", 5060)
    _, port = nat.outward("udp", camera, "10.0.0.1", 0.0)
    assert nat.inward("udp", port, "10.0.0.1", 60.0) == camera
    assert nat.outward("udp", camera, "10.0.0.1", 120.0)[1] == port
    assert nat.inward("udp", port, "10.0.0.1", 180.5) is None
    assert nat.outward("udp", camera, "10.0.0.1", 180.5)[1] != port
