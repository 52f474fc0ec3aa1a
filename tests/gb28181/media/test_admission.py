from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.media.admission import Admission
from gb28181.media.relay import join
from rtp.batch import PacketBatch
from rtp.packet import RtpPacket

OURS, NAT = ("10.0.0.5", 6000), ("10.0.0.5", 6002)
OTHER = ("10.0.0.66", 6000)


def batch(*ssrcs: int) -> PacketBatch:
    packets = [
        RtpPacket(payload_type=96, sequence_number=n, timestamp=0, ssrc=ssrc, payload=b"x")
        for n, ssrc in enumerate(ssrcs)
    ]
    return join([packet.to_bytes() for packet in packets], 0.0)


def count(admitted: PacketBatch | None) -> int:
    return 0 if admitted is None else len(admitted)


def test_only_the_matching_packets_of_a_mixed_batch_are_let_in() -> None:
    admission = Admission()
    admission.expect(ssrc=1, host=OURS[0], adopt=True)
    assert count(admission.admit(batch(2, 1, 2, 1), OURS, 0.0)) == 2
    assert count(admission.admit(batch(1, 2, 1), OURS, 0.0)) == 2
    assert admission.foreign_ssrc == 3


def test_without_a_promised_ssrc_the_host_decides() -> None:
    admission = Admission()
    admission.expect(ssrc=None, host=OURS[0], adopt=False)
    assert count(admission.admit(batch(1), OTHER, 0.0)) == 0
    assert count(admission.admit(batch(2), OURS, 0.0)) == 1
    assert (admission.ssrc, admission.foreign_source) == (2, 1)


def test_a_host_that_is_no_address_allows_any() -> None:
    for host in (None, "0.0.0.0", "", "camera.example"):
        admission = Admission()
        admission.expect(ssrc=1, host=host, adopt=True)
        assert count(admission.admit(batch(7), OTHER, 0.0)) == 1


def test_a_restarted_connection_begins_a_new_epoch() -> None:
    admission = Admission()
    admission.expect(ssrc=1, host=OURS[0], adopt=False)
    admission.admit(batch(1), OURS, 0.0)
    admission.forget_source(OTHER)
    assert admission.source == OURS
    admission.forget_source(OURS)
    assert count(admission.admit(batch(1), NAT, 0.1)) == 1
    assert admission.epoch == 2


def test_an_answer_that_confirms_what_came_keeps_the_epoch() -> None:
    admission = Admission()
    admission.admit(batch(1), OURS, 0.0)
    admission.expect(ssrc=1, host="192.168.1.64", adopt=False)
    assert count(admission.admit(batch(1), OURS, 0.1)) == 1
    assert (admission.epoch, admission.adopted) == (1, 0)


def test_an_answer_that_names_another_host_lets_the_first_source_go() -> None:
    admission = Admission()
    admission.admit(batch(7), OTHER, 0.0)
    admission.expect(ssrc=1, host=OURS[0], adopt=True)
    assert count(admission.admit(batch(7), OTHER, 0.1)) == 0
    assert count(admission.admit(batch(1), OURS, 0.2)) == 1


def test_now_and_then_another_ssrc_is_no_change() -> None:
    admission = Admission()
    admission.expect(ssrc=1, host=OURS[0], adopt=True)
    for turn in range(100):
        admission.admit(batch(1), OURS, turn * 0.1)
        admission.admit(batch(2), OURS, turn * 0.1)
    assert (admission.ssrc, admission.foreign_ssrc) == (1, 100)


def test_a_change_of_ssrc_loses_none_of_its_packets() -> None:
    admission = Admission()
    admission.expect(ssrc=1, host=OURS[0], adopt=True)
    admission.admit(batch(1), OURS, 0.0)
    # The change is within a turn; what comes of other SSRCs meanwhile is not of it.
    assert count(admission.admit(batch(1, 2, 2), OURS, 0.1)) == 1
    for turn in range(5):
        assert admission.admit(batch(2, 2, 2), OURS, 0.2 + turn) is None
        assert admission.admit(batch(2), OTHER, 0.2 + turn) is None
    admitted = admission.admit(batch(2, 2), OURS, 9.0)
    assert admitted is not None
    assert count(admitted) == 2 + 5 * 3 + 2
    assert {bytes(packet[8:12]) for packet in admitted.packets()} == {b"\0\0\0\2"}
    assert (admission.ssrc, admission.foreign_ssrc, admission.foreign_source) == (2, 0, 5)
    assert count(admission.admit(batch(2), OURS, 9.1)) == 1


def test_what_was_kept_of_a_stray_ssrc_does_not_begin_a_later_change() -> None:
    admission = Admission()
    admission.expect(ssrc=1, host=OURS[0], adopt=True)
    admission.admit(batch(1), OURS, 0.0)
    admission.admit(batch(2, 2, 2), OURS, 0.1)
    admission.admit(batch(1), OURS, 0.2)
    assert count(admission.admit(batch(*[2] * 16), OURS, 60.0)) == 16


@settings(max_examples=200)
@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.sampled_from([OURS, NAT, OTHER]),
            st.lists(st.integers(1, 3), min_size=1, max_size=20),
            st.floats(0, 3),
        )
    ),
)
def test_every_packet_is_let_in_or_counted_and_only_one_ssrc_at_a_time(
    adopt: bool, turns: list[tuple[tuple[str, int], list[int], float]]
) -> None:
    admission = Admission()
    admission.expect(ssrc=1, host=OURS[0], adopt=adopt)
    now, total, let_in = 0.0, 0, 0
    for source, ssrcs, pause in turns:
        now += pause
        admitted = admission.admit(batch(*ssrcs), source, now)
        total += len(ssrcs)
        let_in += count(admitted)
        assert let_in + admission.foreign_ssrc + admission.foreign_source == total
        if admitted is None:
            continue
        inside = {bytes(packet[8:12]) for packet in admitted.packets()}
        assert inside == {(admission.ssrc or 0).to_bytes(4, "big")}
        assert len(admitted) >= ssrcs.count(admission.ssrc or 0)
        assert adopt or admission.ssrc == 1
        assert source == admission.source
