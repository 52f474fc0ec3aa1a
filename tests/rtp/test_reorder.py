from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from rtp.packet import RtpPacket
from rtp.reorder import ReorderBuffer


def packet(number: int) -> RtpPacket:
    return RtpPacket(
        payload_type=96, sequence_number=number & 0xFFFF, timestamp=0, ssrc=1, payload=b""
    )


def numbers(out: list[tuple[RtpPacket, int]]) -> list[tuple[int, int]]:
    return [(entry.sequence_number, missing) for entry, missing in out]


def feed(buffer: ReorderBuffer, *order: int, now: float = 0.0) -> list[tuple[int, int]]:
    return [pair for number in order for pair in numbers(buffer.push(packet(number), now))]


def test_packets_in_order_pass_at_once() -> None:
    buffer = ReorderBuffer()
    assert feed(buffer, 65534, 65535, 0, 1) == [(65534, 0), (65535, 0), (0, 0), (1, 0)]
    assert buffer.next_timeout() is None


def test_swapped_packets_come_out_in_order() -> None:
    assert feed(ReorderBuffer(), 1, 3, 2, 4) == [(1, 0), (2, 0), (3, 0), (4, 0)]


def test_a_gap_is_given_up_after_the_wait() -> None:
    buffer = ReorderBuffer(wait=0.2)
    assert feed(buffer, 1, 4, now=1.0) == [(1, 0)]
    assert buffer.next_timeout() == 1.2
    assert buffer.poll(1.19) == []
    assert numbers(buffer.poll(1.2)) == [(4, 2)]
    assert buffer.lost == 2
    assert feed(buffer, 3, 3, now=1.3) == []
    assert (buffer.late, buffer.duplicates) == (1, 1)


def test_a_gap_is_given_up_when_depth_packets_wait() -> None:
    buffer = ReorderBuffer(depth=3)
    assert feed(buffer, 1, 3, 4, 5, 6) == [(1, 0), (3, 1), (4, 0), (5, 0), (6, 0)]


def test_a_repeat_is_dropped_and_counted() -> None:
    buffer = ReorderBuffer()
    assert feed(buffer, 1, 1, 3, 3, 2) == [(1, 0), (2, 0), (3, 0)]
    assert buffer.duplicates == 2


def test_a_jump_forward_starts_again() -> None:
    buffer = ReorderBuffer()
    assert feed(buffer, 1, 3, 20_000, 20_001) == [(1, 0), (3, 1), (20_000, 1), (20_001, 0)]
    assert buffer.restarts == 1


def test_a_jump_backward_starts_again_with_its_second_packet() -> None:
    buffer = ReorderBuffer()
    assert feed(buffer, 20_000, 5, 20_001) == [(20_000, 0), (20_001, 0)]
    assert feed(buffer, 5, 6, 7) == [(6, 1), (7, 0)]


def test_flush_hands_out_what_is_held() -> None:
    buffer = ReorderBuffer()
    feed(buffer, 1, 3, 6)
    assert numbers(buffer.flush()) == [(3, 1), (6, 2)]
    assert len(buffer) == 0


@settings(max_examples=200)
@given(st.integers(0, 0xFFFF), st.permutations(range(60)), st.sets(st.integers(1, 59)))
def test_any_order_and_loss_comes_out_rising_with_every_gap_named(
    start: int, order: list[int], lost: set[int]
) -> None:
    buffer = ReorderBuffer()
    out = buffer.push(packet(start), 0.0)
    for step in order:
        if step and step not in lost:
            out += buffer.push(packet(start + step), 0.0)
    out += buffer.flush()
    at = -1
    for entry, missing in out:
        step = (entry.sequence_number - start) & 0xFFFF
        assert step == at + 1 + missing
        at = step
    assert {(e.sequence_number - start) & 0xFFFF for e, _ in out} == set(range(60)) - lost


def test_a_packet_that_was_very_late_does_not_start_again_by_itself() -> None:
    buffer = ReorderBuffer()
    assert feed(buffer, 20_000, 5, 20_001, 6, 20_002) == [(20_000, 0), (20_001, 0), (20_002, 0)]
    assert buffer.restarts == 0


def test_a_short_jump_backward_starts_again_and_loses_nothing() -> None:
    buffer = ReorderBuffer()
    feed(buffer, *range(500))
    found = feed(buffer, *range(300))
    assert found == [(0, 1), *((number, 0) for number in range(1, 300))]
    assert buffer.restarts == 1


def test_a_run_of_repeats_is_no_new_beginning() -> None:
    buffer = ReorderBuffer()
    feed(buffer, *range(500))
    assert feed(buffer, *range(440, 500), 500, *range(440, 501)) == [(500, 0)]
    assert (buffer.restarts, buffer.duplicates) == (0, 121)


def test_a_number_far_from_those_expected_is_told() -> None:
    buffer = ReorderBuffer()
    assert not buffer.is_far(30_000)  # nothing is expected yet
    feed(buffer, 65_000)
    assert buffer.is_far(30_000)
    assert not buffer.is_far(100)
