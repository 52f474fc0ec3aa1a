from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp.errors import LocalProtocolError
from rtp.packet import parse
from rtp.packetizer import Packetizer


@given(st.binary(max_size=500), st.integers(1, 600), st.integers(0, 1 << 40))
def test_a_pack_is_cut_and_its_last_packet_is_marked(data: bytes, size: int, ticks: int) -> None:
    packetizer = Packetizer(ssrc=5, sequence_number=0xFFFE, payload_size=size)
    packets = [parse(packet) for packet in packetizer.push(data, ticks)]
    assert b"".join(packet.payload for packet in packets) == data
    assert all(len(packet.payload) <= size for packet in packets)
    assert [p.marker for p in packets] == [False] * (len(packets) - 1) + [True] * bool(packets)
    assert {packet.timestamp for packet in packets} <= {ticks & 0xFFFFFFFF}
    numbers = [packet.sequence_number for packet in packets]
    assert numbers == [(0xFFFE + step) & 0xFFFF for step in range(len(packets))]


@pytest.mark.parametrize(
    "options", [{"ssrc": -1}, {"ssrc": 1, "payload_type": 128}, {"ssrc": 1, "payload_size": 0}]
)
def test_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError):
        Packetizer(**options)
