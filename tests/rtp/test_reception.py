from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp.batch import PacketBatch
from rtp.packet import RtpPacket
from rtp.packetizer import Packetizer
from rtp.reception import Reception


def receive(*numbers: int) -> Reception:
    reception = Reception()
    for number in numbers:
        reception.push(number, 0, 0.0)
    return reception


def test_a_gap_is_lost_packets() -> None:
    reception = receive(65_534, 65_535, 2, 3)
    assert (reception.expected, reception.lost, reception.gaps) == (6, 2, 1)


def test_a_late_packet_fills_its_gap_and_a_repeat_fills_nothing() -> None:
    reception = receive(1, 3, 2, 2, 5)
    assert (reception.late, reception.duplicates, reception.lost) == (1, 1, 1)


def test_a_packet_before_the_first_is_not_lost_either() -> None:
    reception = receive(5, 4, 6)
    assert (reception.expected, reception.lost, reception.late) == (3, 0, 1)


def test_a_restart_of_the_sender_is_not_loss() -> None:
    reception = receive(10, 11, 40_000, 40_001)
    assert (reception.restarts, reception.expected, reception.lost) == (1, 4, 0)


@given(st.permutations(range(30)), st.integers(0, 0xFFFF))
def test_shuffling_and_repeating_loses_nothing(order: list[int], start: int) -> None:
    reception = receive(*((start + n) & 0xFFFF for n in [*order, *order]))
    assert (reception.expected, reception.lost, reception.duplicates) == (30, 0, 30)


def test_steady_arrival_has_no_jitter_and_unsteady_arrival_has() -> None:
    steady, unsteady = Reception(), Reception()
    for index in range(200):
        steady.push(index, index * 3600 & 0xFFFFFFFF, index * 0.04)
        unsteady.push(index, index * 3600, index * 0.04 + (index % 2) * 0.01)
    assert steady.jitter == pytest.approx(0, abs=0.01)
    assert unsteady.jitter == pytest.approx(900, rel=0.01)  # 10 ms at 90 kHz


def test_a_wrap_of_the_timestamp_is_not_jitter() -> None:
    reception = Reception()
    for index in range(10):
        reception.push(index, (0xFFFFFFFF - 7000 + index * 3600) & 0xFFFFFFFF, index * 0.04)
    assert reception.jitter == pytest.approx(0, abs=1)


def test_a_report_counts_since_the_last_one() -> None:
    reception = receive(0, 1, 2, 4)
    first = reception.report(9, 0.0)
    assert (first.ssrc, first.fraction_lost, first.lost, first.highest_sequence) == (9, 51, 1, 4)
    assert reception.report(9, 0.0).fraction_lost == 0


def test_a_report_names_the_senders_report() -> None:
    reception = receive(0)
    reception.take_sender_report(0x0102030405060708, 10.0)
    block = reception.report(9, 10.5)
    assert (block.last_report, block.delay) == (0x03040506, 32_768)


def test_a_batch_counts_like_its_packets() -> None:
    packets = Packetizer(ssrc=1).push(bytes(3000), 7)
    data, bounds = bytearray(), []
    for packet in packets:
        bounds.append((len(data), len(packet)))
        data += packet
    reception = Reception()
    reception.push_batch(PacketBatch(data, bounds, 1.0))
    assert (reception.received, reception.bytes, reception.lost) == (3, 3036, 0)


def state(reception: Reception) -> dict[str, object]:
    """All that it holds, also where it has no ``__dict__``."""
    names = [name for name in dir(reception) if not name.startswith("__")]
    values = {name: getattr(reception, name) for name in names}
    return {name: value for name, value in values.items() if not callable(value)}


def test_batches_count_like_packets_over_loss_repeats_and_the_wrap() -> None:
    numbers = [65_530, 65_531, 65_532, 65_533, 65_535, 0, 1, 2, 3, 3, 5, 4, 6, 7, 8, 9, 5000, 5001]
    packets = [
        RtpPacket(
            payload_type=96, sequence_number=number, timestamp=900 * place, ssrc=1, payload=b"x"
        ).to_bytes()
        for place, number in enumerate(numbers)
    ]
    for size in (1, 2, 3, 4, 18):
        one, all_together = Reception(), Reception()
        for place in range(0, len(packets), size):
            part = packets[place : place + size]
            bounds = [(13 * index, 13) for index in range(len(part))]
            all_together.push_batch(PacketBatch(bytearray(b"".join(part)), bounds, place, 13))
            for index, number in enumerate(numbers[place : place + size], place):
                one.push(number, 900 * index, place, 13)
        assert state(all_together) == state(one)


def test_a_gap_of_seconds_is_loss_and_a_longer_one_a_new_beginning() -> None:
    reception = Reception()
    for number in (1, 2, 2503, 2504, 2505 + 3001):
        reception.push(number, 0, 0.0)
    assert (reception.lost, reception.gaps, reception.restarts) == (2500, 1, 1)
