from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.flow import Flow
from sip.trace import (
    PcapngWriter,
    TraceRecord,
    TraceRing,
    blank_credentials,
    encode_hep,
    make_record,
)

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
        (b"a=username:1\r\na=password:abcd\r\n", b"a=username:1\r\na=password:****\r\n"),
        (b"rtsp://admin:abc@192.0.2.1:554/1", b"rtsp://admin:***@192.0.2.1:554/1"),
        (b"x\r\nAuthorization: Basic YWI=\r\n", b"x\r\nAuthorization: Basic ****\r\n"),
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


# pcapng


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """Cut a pcapng file into its blocks."""
    found = []
    while data:
        kind, size = struct.unpack_from("<II", data)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, size - 4) == (size,)
        found.append((kind, data[8 : size - 4]))
        data = data[size:]
    return found


def packets(data: bytes) -> list[bytes]:
    taken = []
    for kind, body in blocks(data):
        if kind == 6:
            length, original = struct.unpack_from("<II", body, 12)
            assert length == original
            taken.append(body[20 : 20 + length])
    return taken


def sums_up(data: bytes) -> bool:
    """Tell whether the internet checksum over data that holds its checksum is right."""
    data += bytes(len(data) % 2)
    words: tuple[int, ...] = struct.unpack(f">{len(data) // 2}H", data)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def test_a_pcapng_file_begins_with_section_and_interface() -> None:
    (first, section), (second, interface) = blocks(PcapngWriter().header)
    assert (first, section[:4]) == (0x0A0D0D0A, b"\x4d\x3c\x2b\x1a")
    assert (second, struct.unpack_from("<H", interface)) == (1, (101,))


@pytest.mark.parametrize("size", [0, 1, 2, 1000, 65_487, 70_000])
@pytest.mark.parametrize(
    ("flow", "is_old"),
    [
        (FLOW, True),
        (Flow("udp", ("::1", 5060), ("2001:db8::9", 5061)), False),
        (Flow("udp", ("0.0.0.0", 5060), ("fe80::1%eth0", 5061)), False),
        (Flow("udp", ("camera.example", 5060), ("192.0.2.1", 70_000)), True),
    ],
)
def test_a_datagram_gets_right_ip_and_udp_headers(flow: Flow, is_old: bool, size: int) -> None:
    taken = TraceRecord(time=1.5, direction="in", flow=flow, data=b"x" * size)
    (packet,) = packets(PcapngWriter().packet(taken, epoch=1_700_000_000.0))
    head = 20 if is_old else 40
    assert len(packet) <= 65_535 + (0 if is_old else 40)
    assert packet[0] >> 4 == (4 if is_old else 6)
    if is_old:
        assert sums_up(packet[:20])
        assert struct.unpack_from(">H", packet, 2) == (len(packet),)
    ends = packet[12:20] if is_old else packet[8:40]
    segment = packet[head:]
    assert sums_up(ends + struct.pack(">II", len(segment), 17) + segment)
    source, target, length = struct.unpack_from(">HHH", segment)
    assert (source, target) == (flow.remote[1] & 0xFFFF, flow.local[1])
    assert length == len(segment)
    assert segment[8:] == taken.data[: len(segment) - 8]


def test_the_time_is_in_microseconds_since_1970() -> None:
    taken = record(b"x")
    (_, body), *_ = blocks(PcapngWriter().packet(taken, epoch=1_700_000_000.25))
    high, low = struct.unpack_from("<II", body, 4)
    assert (high << 32) + low == 1_700_000_001_250_000


def test_a_connection_counts_its_bytes_in_both_directions() -> None:
    writer = PcapngWriter()
    flow = Flow("tls", ("192.0.2.1", 5061), ("192.0.2.10", 40_000))
    seen = []
    for direction, size in (("in", 10), ("out", 100_000), ("in", 5)):
        taken = make_record(1.0, direction, flow, b"x" * size)  # type: ignore[arg-type]  # literal
        for packet in packets(writer.packet(taken)):
            source, _, sent, heard = struct.unpack_from(">HHII", packet, 20)
            seen.append((source, sent, heard, len(packet) - 40))
            assert sums_up(packet[12:20] + struct.pack(">II", len(packet) - 20, 6) + packet[20:])
    assert seen == [
        (40_000, 1, 1, 10),
        (5061, 1, 11, 65_475),
        (5061, 65_476, 11, 34_525),
        (40_000, 11, 100_001, 5),
    ]


# HEPv3


def chunks(packet: bytes) -> dict[int, bytes]:
    assert packet[:4] == b"HEP3"
    assert struct.unpack_from(">H", packet, 4) == (len(packet),)
    place, found = 6, {}
    while place < len(packet):
        vendor, kind, size = struct.unpack_from(">HHH", packet, place)
        assert (vendor, kind in found) == (0, False)
        found[kind] = packet[place + 6 : place + size]
        place += size
    return found


def test_a_hep_record_names_both_ends_and_the_time() -> None:
    packet = encode_hep(record(b"OPTIONS"), epoch=1_700_000_000.5, capture_id=7, password="secret")
    assert chunks(packet) == {
        1: b"\x02",
        2: b"\x11",
        3: bytes([192, 0, 2, 10]),
        4: bytes([192, 0, 2, 1]),
        7: (5060).to_bytes(2, "big"),
        8: (5060).to_bytes(2, "big"),
        9: (1_700_000_001).to_bytes(4, "big"),
        10: (500_000).to_bytes(4, "big"),
        11: b"\x01",
        12: (7).to_bytes(4, "big"),
        14: b"secret",
        15: b"OPTIONS",
    }


def test_a_hep_record_of_ipv6_over_tcp() -> None:
    flow = Flow("tcp", ("192.0.2.1", 1), ("2001:db8::2", 2))
    found = chunks(encode_hep(make_record(1.0, "out", flow, b"x" * 70_000)))
    assert (found[1], found[2]) == (b"\x0a", b"\x06")
    assert found[5] == bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1])
    assert found[6].hex() == "20010db8000000000000000000000002"
    assert 14 not in found
    assert 65_000 < len(found[15]) < 65_535


def test_no_writer_shows_credentials() -> None:
    taken = record(b'Authorization: Digest username="u", response="0123456789abcdef"')
    for written in (PcapngWriter().packet(taken), encode_hep(taken)):
        assert b"0123456789abcdef" not in written
        assert b'response="****************"' in written
