"""The tap: what went over the wire, with credentials blanked; as a ring, pcapng or HEPv3.

The writers make bytes and open nothing: a pcapng file begins with ``PcapngWriter.header``, a HEPv3
record is one datagram for a capture server.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .flow import Address, Flow

# Secrets of Digest and of certificate registration, in Authorization and in its kin.
_SECRET_PARAMETER = re.compile(
    rb"""(?<![\w-])((?:response|rspauth|cryptkey|sign[12]|password)\s{0,8}[=:]\s{0,8}["']?)"""
    rb"""([^"',;\s<>&]+)""",
    re.IGNORECASE,
)
_SECRET_ELEMENT = re.compile(rb"(<(\w{0,32}Password)>)([^<]+)", re.IGNORECASE)
_LINKTYPE_RAW = 101  # packets begin with their IP header
_TCP, _UDP = 6, 17
_LARGEST_DATAGRAM = 65_535 - 40 - 8
_LARGEST_SEGMENT = 65_535 - 40 - 20
_END_OF_OPTIONS = bytes(4)
_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_USERINFO_PASSWORD = re.compile(
    rb"((?:sips?:|://)[^\s:@<>;/]{1,64}:)([^\s@<>;:/]+)(?=@)", re.IGNORECASE
)
# Schemes whose whole credentials are one word.
_SECRET_WORD = re.compile(
    rb"((?:\n|\A)(?:proxy-)?authorization\s{0,8}:\s{0,8}(?:basic|bearer)\s{1,8})(\S+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRecord:
    """One datagram, or one message of a stream."""

    time: float
    """When it was read or written, by the clock of the caller."""
    direction: Literal["in", "out"]
    flow: Flow
    data: bytes
    """As on the wire and of the same length; credentials are asterisks."""


class TraceRing:
    """Keeps the latest records, bounded in number and bytes; the oldest go first."""

    def __init__(self, *, records: int = 1000, size: int = 4 * 1024 * 1024) -> None:
        self._records: deque[TraceRecord] = deque()
        self._most = records
        self._size = size
        self._held = 0
        self.dropped = 0
        """How many records had to go."""

    def push(self, record: TraceRecord) -> None:
        """Take a record. One that is larger than the ring is itself dropped."""
        self._records.append(record)
        self._held += len(record.data)
        while len(self._records) > self._most or self._held > self._size:
            self._held -= len(self._records.popleft().data)
            self.dropped += 1

    def __iter__(self) -> Iterator[TraceRecord]:
        return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)


class PcapngWriter:
    """Makes a pcapng file of records, block by block; packet analysers read the SIP in it.

    Ethernet is left out, IP and UDP or TCP headers are made up from the flow. A TCP connection
    has neither handshake nor end; its sequence numbers count the bytes that were seen. TLS is
    written as the TCP that it carries.

    Source: draft-ietf-opsawg-pcapng sections 4.1, 4.2 and 4.3.
    """

    header: bytes
    """What the file begins with."""

    def __init__(self, *, application: str = "gb28181") -> None:
        section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _option(4, application.encode())
        # if_tsresol 6 is the default of microseconds; said for readers that do not know defaults.
        interface = struct.pack("<HHI", _LINKTYPE_RAW, 0, 0) + _option(9, b"\x06")
        self.header = _block(0x0A0D0D0A, section + _END_OF_OPTIONS)
        self.header += _block(1, interface + _END_OF_OPTIONS)
        self._sent: dict[tuple[Address, Address], int] = {}

    def packet(self, record: TraceRecord, *, epoch: float = 0.0) -> bytes:
        """Write one record.

        Args:
            record: A host that is no IP address is written as 0.0.0.0. What is longer than an IP
                packet is cut for UDP and becomes several packets for TCP.
            epoch: Added to the record's time, to make seconds since 1970 of it.
        """
        time = max(0, int((record.time + epoch) * 1_000_000))
        written = []
        for packet in self._packets(record):
            fixed = struct.pack(
                "<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(packet), len(packet)
            )
            # epb_flags: inbound or outbound, as the interface saw it.
            flags = _option(2, struct.pack("<I", 1 if record.direction == "in" else 2))
            written.append(_block(6, fixed + _padded(packet) + flags + _END_OF_OPTIONS))
        return b"".join(written)

    def _packets(self, record: TraceRecord) -> list[bytes]:
        source, target = _ends(record)
        if record.flow.transport == "udp":
            data = record.data[:_LARGEST_DATAGRAM]
            head = struct.pack(">HHHH", source[1], target[1], 8 + len(data), 0)
            return [_ip_packet(source, target, _UDP, head + data, checksum_at=6)]
        packets = []
        for start in range(0, len(record.data) or 1, _LARGEST_SEGMENT):
            data = record.data[start : start + _LARGEST_SEGMENT]
            sent = self._sent.get((source, target), 1)
            heard = self._sent.get((target, source), 1)
            self._sent[source, target] = (sent + len(data)) % 2**32
            head = struct.pack(
                ">HHIIBBHHH", source[1], target[1], sent, heard, 5 << 4, 0x18, 65_535, 0, 0
            )
            packets.append(_ip_packet(source, target, _TCP, head + data, checksum_at=16))
        return packets


def encode_hep(
    record: TraceRecord, *, epoch: float = 0.0, capture_id: int = 0, password: str = ""
) -> bytes:
    """Write a record as one HEPv3 packet for a capture server.

    Args:
        record: Cut at the 65,535 bytes that a chunk can hold.
        epoch: Added to the record's time, to make seconds since 1970 of it.
        capture_id: Names this agent to the server.
        password: Of the server; left out when empty.

    Source: HEP3 protocol specification, revision 36, chunk types of vendor 0.
    """
    source, target = _ends(record)
    addresses = [_address(source[0]), _address(target[0])]
    is_old = all(address.version == 4 for address in addresses)
    if not is_old:
        addresses = [_as_ipv6(address) for address in addresses]
    time = max(0, int((record.time + epoch) * 1_000_000))
    chunks = [
        _chunk(1, bytes([2 if is_old else 10])),
        _chunk(2, bytes([_UDP if record.flow.transport == "udp" else _TCP])),
        _chunk(3 if is_old else 5, addresses[0].packed),
        _chunk(4 if is_old else 6, addresses[1].packed),
        _chunk(7, struct.pack(">H", source[1])),
        _chunk(8, struct.pack(">H", target[1])),
        _chunk(9, struct.pack(">I", time // 1_000_000 % 2**32)),
        _chunk(10, struct.pack(">I", time % 1_000_000)),
        _chunk(11, b"\x01"),  # SIP
        _chunk(12, struct.pack(">I", capture_id)),
    ]
    if password:
        chunks.append(_chunk(14, password.encode()))
    head = b"".join(chunks)
    room = 65_535 - 6 - 6 - len(head)
    packet = head + _chunk(15, record.data[:room])
    return b"HEP3" + struct.pack(">H", 6 + len(packet)) + packet


def make_record(
    time: float, direction: Literal["in", "out"], flow: Flow, data: bytes
) -> TraceRecord:
    """Build the record of what was read or written, with its credentials blanked."""
    return TraceRecord(time=time, direction=direction, flow=flow, data=blank_credentials(data))


def blank_credentials(data: bytes) -> bytes:
    """Put asterisks in place of digest responses, keys, signatures and passwords.

    The length stays, so that Content-Length and offsets stay true. Passwords are looked for in
    URIs, in header parameters, in SDP attributes and in XML elements whose name ends in
    ``Password``.
    """
    data = _SECRET_PARAMETER.sub(_blank, data)
    data = _USERINFO_PASSWORD.sub(_blank, data)
    data = _SECRET_WORD.sub(_blank, data)
    return _SECRET_ELEMENT.sub(_blank_element, data)


def _blank(matched: re.Match[bytes]) -> bytes:
    return matched[1] + b"*" * len(matched[2])


def _blank_element(matched: re.Match[bytes]) -> bytes:
    return matched[1] + b"*" * len(matched[3])


def _ends(record: TraceRecord) -> tuple[Address, Address]:
    flow = record.flow
    local = (flow.local[0], flow.local[1] & 0xFFFF)
    remote = (flow.remote[0], flow.remote[1] & 0xFFFF)
    return (remote, local) if record.direction == "in" else (local, remote)


def _address(host: str) -> _IpAddress:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ipaddress.IPv4Address(0)


def _as_ipv6(address: _IpAddress) -> ipaddress.IPv6Address:
    if isinstance(address, ipaddress.IPv6Address):
        return address
    return ipaddress.IPv6Address(f"::ffff:{address}" if int(address) else "::")


def _ip_packet(
    source: Address, target: Address, protocol: int, segment: bytes, *, checksum_at: int
) -> bytes:
    """Put IP around a segment and fill in both checksums (RFC 791, RFC 8200)."""
    one, other = _address(source[0]), _address(target[0])
    if one.version != other.version:
        one, other = _as_ipv6(one), _as_ipv6(other)
    ends = one.packed + other.packed
    checksum = _checksum(ends + struct.pack(">II", len(segment), protocol) + segment)
    checksum = checksum or 0xFFFF  # for UDP zero means none
    segment = segment[:checksum_at] + struct.pack(">H", checksum) + segment[checksum_at + 2 :]
    if one.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(segment), protocol, 64) + ends + segment
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, protocol, 0)
    head = head[:10] + struct.pack(">H", _checksum(head + ends)) + ends
    return head + segment


def _checksum(data: bytes) -> int:
    """Compute the internet checksum (RFC 1071)."""
    # 2**16 is 1 modulo 65535, so the ones' complement sum is a remainder.
    total = int.from_bytes(data + b"\0" * (len(data) % 2), "big")
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _chunk(kind: int, value: bytes) -> bytes:
    return struct.pack(">HHH", 0, kind, 6 + len(value)) + value
