from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.flow import Flow
from sip.trace import TraceRecord, TraceRing, blank_credentials, make_record

FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5060))


def record(data: bytes) -> TraceRecord:
    return make_record(1.0, "in", FLOW, data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'Digest response="abcd", a=b', b'Digest response="****", a=b'),
        (b"Digest RESPONSE = abcd,a=b", b"Digest RESPONSE = ****,a=b"),
        (b"Authorization: Digest response='abcd'", b"Authorization: Digest response='****'"),
        (b'x cryptkey="abc=", sign2="d+/="', b'x cryptkey="****", sign2="****"'),
        (b"<Password>12345678</Password>", b"<Password>********</Password>"),
        (b"<FtpPassword>1</FtpPassword>", b"<FtpPassword>*</FtpPassword>"),
        (b"To: <sip:1:secret@d>", b"To: <sip:1:******@d>"),
        (b"To: <sip:1@d:5060>", b"To: <sip:1@d:5060>"),
        (b"my-response=1", b"my-response=1"),
        (b"<Response>", b"<Response>"),
    ],
)  # fmt: skip
def test_secrets_become_asterisks(data: bytes, expected: bytes) -> None:
    assert blank_credentials(data) == expected


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_blanking_keeps_the_length(data: bytes) -> None:
    assert len(blank_credentials(data)) == len(data)


def test_a_record_is_blanked_when_it_is_made() -> None:
    taken = record(b'response="abcd"')
    assert taken == TraceRecord(time=1.0, direction="in", flow=FLOW, data=b'response="****"')


def test_the_oldest_records_go_first() -> None:
    ring = TraceRing(records=2)
    for data in (b"1", b"2", b"3"):
        ring.push(record(data))
    assert [kept.data for kept in ring] == [b"2", b"3"]
    assert (len(ring), ring.dropped) == (2, 1)


def test_the_ring_is_bounded_in_bytes() -> None:
    ring = TraceRing(size=10)
    ring.push(record(b"x" * 6))
    ring.push(record(b"y" * 6))
    assert [kept.data for kept in ring] == [b"y" * 6]
    ring.push(record(b"z" * 11))
    assert len(ring) == 0
    assert ring.dropped == 3


@pytest.mark.parametrize(
    ("flow", "text", "reliable"),
    [
        (FLOW, "udp://192.0.2.10:5060", False),
        (Flow("tcp", ("::1", 1), ("2001:db8::1", 2)), "tcp://[2001:db8::1]:2", True),
        (Flow("tls", ("::1", 1), ("192.0.2.1", 2)), "tls://192.0.2.1:2", True),
    ],
)
def test_a_flow_names_its_peer(flow: Flow, text: str, reliable: bool) -> None:
    assert str(flow) == text
    assert flow.reliable is reliable
    assert len({flow, Flow(flow.transport, flow.local, flow.remote)}) == 1
