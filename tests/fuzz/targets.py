"""What is fuzzed: each target takes any bytes and may raise nothing.

A target suppresses the errors that its subject declares; whatever else comes out is a finding.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from gb28181.edition import Edition
from gb28181.errors import MalformedCommand, MalformedSdp
from gb28181.manscdp.codec import decode, encode
from gb28181.sdp import parse_sdp
from rtp.access_unit import Codec
from rtp.elementary import AacDepacketizer, NalDepacketizer, sniff
from rtp.errors import FramingLost
from rtp.framing import Deframer, frame
from rtp.mpegps.demuxer import PsDemuxer
from rtp.mpegts import TsDemuxer, is_transport
from sip import usual
from sip.auth import DigestServer, answer
from sip.errors import MalformedMessage, UnsupportedChallenge
from sip.headers import (
    parse_challenge,
    parse_cseq,
    parse_event,
    parse_name_addr,
    parse_via,
    split_challenges,
)
from sip.message import Headers, Request, Response, make_response
from sip.parser import Limits, StreamParser, parse_datagram
from sip.trace import blank_credentials

try:
    from sip import _native
except ImportError:
    _native = None  # type: ignore[assignment]  # a plain install has none

TESTS = Path(__file__).parents[1]

_USER = "34020000001320000001"
_NONCE = "44010b73623249f6916a6acf"


def datagram(data: bytes) -> None:
    """A datagram is read whole or refused; what is read can be written and is the same again."""
    assert len(blank_credentials(data)) == len(data)
    try:
        parsed = parse_datagram(data)
    except MalformedMessage as exc:
        _refused(exc)
        return
    _use(parsed)
    assert parse_datagram(parsed.to_bytes()) == parsed
    if isinstance(parsed, Request):
        _answer(parsed)


def stream(data: bytes) -> None:
    """A stream gives the same messages however it is cut."""
    if not data:
        return
    step = 1 + data[0] % 61
    data = data[1:]
    whole, cut = StreamParser(), StreamParser()
    at_once = [_kind(item) for item in whole.push(data)]
    pieces = (data[start : start + step] for start in range(0, len(data), step))
    assert [_kind(item) for piece in pieces for item in cut.push(piece)] == at_once


def usual_heads(data: bytes) -> None:
    """The short way through a head says what the long way says; in C, where it is compiled, too."""
    for limit in (6, 64):
        found = usual.read_head(data, len(data), limit)
        assert _native is None or _native.read_head(data, len(data), limit) == found
    text = data.decode("utf-8", "surrogateescape")
    for part in (text, *text.split("\r\n")[:20]):
        for value in (part, part.partition(": ")[2]):
            address, parameters = usual.read_address(value), usual.read_parameters(value)
            if address is not None:
                long = parse_name_addr(value)
                assert (long.uri.user, long.tag or "") == address
            if _native is not None:
                assert _native.read_address(value) == address
                assert _native.read_parameters(value) == parameters
    if found is None or found[10] > 0:
        return
    request = parse_datagram(data + b"\r\n\r\n", Limits(head=len(data) + 4, line=len(data) + 4))
    assert isinstance(request, Request)
    vias, cseq = [parse_via(found[2]["Via"])], parse_cseq(found[2]["CSeq"])
    assert (request.vias, request.cseq, request.from_tag) == (vias, cseq, found[8])
    fields = request.headers.in_wire_order()
    if _native is not None:
        written = _native.write("SIP/2.0 200 OK", fields, b"body")
        assert written in (None, Response(200, "OK", Headers(fields), b"body").to_bytes())


def digest(data: bytes) -> None:
    """Credentials are judged and challenges answered, or refused as unsupported."""
    server = DigestServer("3402000000", b"0123456789abcdef", qop="auth,auth-int")
    nonce = parse_challenge(server.challenge(_USER, 1.0)[0]).nonce
    # A nonce that is not its own would end the server's work at once.
    text = data.decode("utf-8", "surrogateescape").replace(_NONCE, nonce)
    request = Request("REGISTER", "sip:h", Headers([("Authorization", text)]))
    server.verify(request, _USER, "12345678", 1.0)
    assert "".join(split_challenges(text)) in text or "," in text
    parse_event(text)
    with contextlib.suppress(UnsupportedChallenge):
        answer(
            [text], username=_USER, password="p", method="REGISTER", uri="sip:h", cnonce="0a4f113b"
        )


def sdp(data: bytes) -> None:
    """A session description is read or refused; what is read can be written and read again."""
    with contextlib.suppress(MalformedSdp):
        description = parse_sdp(data)
        parse_sdp(description.to_bytes())


def manscdp(data: bytes) -> None:
    """A command is read or refused; what is read can be written."""
    with contextlib.suppress(MalformedCommand):
        encode(decode(data).message, Edition.GB2016)


def program_stream(data: bytes) -> None:
    """Nothing that a sender of media sends raises an error."""
    demuxer = PsDemuxer()
    for number, (flags, payload) in enumerate(_pieces(data)):
        demuxer.push(
            payload, timestamp=number * 3600, marker=bool(flags & 1), missing=flags >> 1 & 1
        )


def deframer(data: bytes) -> None:
    """A TCP stream of RTP is cut into packets, or lost with the declared error."""
    subject = Deframer(max_resync=2048)
    with contextlib.suppress(FramingLost):
        for _, piece in _pieces(data):
            assert sum(map(len, subject.push(piece))) <= len(data)


def nal_units(data: bytes) -> None:
    """H.264 and H.265 straight in RTP give pictures no larger than what came."""
    for codec in (Codec.H264, Codec.H265):
        subject = NalDepacketizer(codec)
        size = 0
        for number, (flags, payload) in enumerate(_pieces(data)):
            sniff(payload)
            units = subject.push(
                payload, timestamp=number // 2, marker=bool(flags & 1), missing=flags >> 1 & 1
            )
            size += sum(len(unit.data) for unit in units)
        size += sum(len(unit.data) for unit in subject.flush())
        assert size <= 5 * len(data)  # each NAL unit, of an octet at least, gets a start code


def transport_stream(data: bytes) -> None:
    """Nothing in a transport stream raises an error."""
    demuxer = TsDemuxer()
    for number, (flags, payload) in enumerate(_pieces(data)):
        is_transport(payload)
        demuxer.push(payload, timestamp=number * 3600, missing=flags >> 1 & 1)
    demuxer.flush()


def aac(data: bytes) -> None:
    """AAC in RTP gives frames, whatever its headers say."""
    subject = AacDepacketizer()
    for number, (flags, payload) in enumerate(_pieces(data)):
        units = subject.push(payload, timestamp=number * 1024, missing=flags >> 1 & 1)
        assert sum(len(unit.data) for unit in units) <= 8 * len(payload)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "datagram": datagram,
    "stream": stream,
    "usual_heads": usual_heads,
    "digest": digest,
    "sdp": sdp,
    "manscdp": manscdp,
    "program_stream": program_stream,
    "deframer": deframer,
    "nal_units": nal_units,
    "transport_stream": transport_stream,
    "aac": aac,
}


def seeds(name: str) -> list[bytes]:
    """Give what a target's mutations start from."""
    if name in ("datagram", "stream"):
        kept = [*_messages("torture/rfc4475.txt"), *_messages("data/devices.txt")]
        return kept if name == "datagram" else [b"\x10" + one + two for one, two in _pairs(kept)]
    if name == "usual_heads":
        kept = [*_messages("torture/rfc4475.txt"), *_messages("data/devices.txt")]
        return [one.partition(b"\r\n\r\n")[0] for one in kept] + [_DIGEST]
    return list(_SEEDS[name])


_DIGEST = (
    b'Digest username="34020000001320000001", realm="3402000000", nonce="44010b73623249f6916a6acf",'
    b' uri="sip:h", response="da0b48d27ae30f5413ac57acfa686de3", algorithm=MD5, qop=auth,'
    b' nc=00000001, cnonce="0a4f113b", opaque="o"'
)
_SDP = (
    b"v=0\r\no=34020000001310000001 0 0 IN IP4 192.0.2.1\r\ns=Playback\r\n"
    b"u=34020000001310000001:3\r\nc=IN IP4 192.0.2.1\r\nt=1591083900 1591084602\r\n"
    b"m=video 9712 TCP/RTP/AVP 96 98\r\n"
    b"a=setup:passive\r\na=rtpmap:96 PS/90000\r\na=sendonly\r\ny=0100001002\r\n"
    b"f=v/2/5/25/1/4096a/1/8/1\r\n"
)
_XML = (
    '<?xml version="1.0" encoding="GB2312"?>\n<Response><CmdType>Catalog</CmdType><SN>7</SN>'
    '<DeviceID>34020000001320000002</DeviceID><SumNum>1</SumNum><DeviceList Num="1"><Item>'
    "<DeviceID>34020000001310000001</DeviceID><Name>大门 & <1></Name><Status>ON</Status>"
    "<Info><PTZType>3</PTZType></Info></Item></DeviceList></Response>"
)
_PACK = bytes.fromhex("000001ba44000400040100ffff f8")
_MAP = bytes.fromhex("000001bc000ee1ff000000041be0000000000000")
_VIDEO = bytes.fromhex("000001e0001480800521000100010000000167420000000168ce000000016588")
_RTP = bytes.fromhex("80600001000000010000000a") + _PACK + _VIDEO
_TRANSPORT = [
    packet.ljust(188, b"\xff")
    for packet in (
        bytes.fromhex("47400010 00 00b00d0001c10000 0001e100 00000000"),
        bytes.fromhex("47410010 00 02b0120001c10000 e101f000 1be101f000 00000000"),
        bytes.fromhex("47410110") + _VIDEO,
        bytes.fromhex("47010131 1000 000000000000000000000000000000"),
    )
]
_SEEDS = {
    "digest": [
        _DIGEST,
        _DIGEST.replace(b'"', b"'"),
        b'Digest realm="r", nonce="n", qop="auth,auth-int", algorithm=SHA-256, Digest realm="r"',
        b"Basic realm=x, NTLM , Digest realm='r',nonce='n',stale=true",
        b"Catalog;id=1984",
    ],
    "sdp": [_SDP, _SDP.replace(b"\r\n", b"\n")],
    "manscdp": [
        _XML.encode("gb18030"),
        _XML.replace("GB2312", "UTF-8").encode(),
        b"\xef\xbb\xbf<Notify><CmdType>Keepalive</CmdType><SN>1</SN><Status>OK</Status></Notify>",
    ],
    "program_stream": [
        b"\x01\x40" + _PACK + _MAP + _VIDEO,
        b"\x00\x20" + _PACK + b"\x01\x40" + _MAP + _VIDEO * 4,
    ],
    "nal_units": [
        b"\x00\x05\x67\x42\x00\x1e\x8c\x01\x05\x65\x88\x80\x10\x00",
        b"\x00\x0a\x18\x00\x02\x67\x42\x00\x03\x65\x88\x80\x00\x04\x7c\x85\x88\x80\x01\x03\x7c\x45\xff",
        b"\x00\x05\x62\x01\x93\xaf\x08\x01\x04\x62\x01\x53\x10\x01\x08\x60\x01\x00\x04\x42\x01\x01\x01",
    ],
    "transport_stream": [b"".join(b"\x00\xbc" + packet for packet in _TRANSPORT)],
    "aac": [
        b"\x00\x09\x00\x10\x00\x28\x21\x10\x05\x00\xa0",
        b"\x02\x07\x00\x20\x00\x08\x00\x08\x21",
    ],
    "deframer": [b"\x00\xf0" + frame(_RTP) * 5, b"\x00\xf0" + b"$\x00" + frame(_RTP)],
}


def _messages(place: str) -> list[bytes]:
    text = (TESTS / "sip" / place).read_text(encoding="utf-8")
    parts = re.split(r"^===.*\n(?:(?:seen|form|refused): .*\n)*", text, flags=re.MULTILINE)[1:]
    return [part.replace("\n", "\r\n").encode() for part in parts]


def _pairs(items: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return itertools.pairwise(items)


def _pieces(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut data into pieces; two bytes before each say how long it is and carry flags."""
    place = 0
    while place + 2 <= len(data):
        flags, size = data[place], data[place + 1]
        yield flags, data[place + 2 : place + 2 + size]
        place += 2 + size


def _use(message: Request | Response) -> None:
    """Read the typed values, of which those that the parser has not checked may be broken."""
    assert message.vias
    _ = message.call_id, message.from_.tag, message.to.uri, message.cseq
    with contextlib.suppress(MalformedMessage):
        _ = message.contact, message.expires
    _ = message.content_type, message.user_agent
    if isinstance(message, Request):
        with contextlib.suppress(MalformedMessage):
            assert message.request_uri.is_equivalent(message.request_uri)


def _refused(fault: MalformedMessage) -> None:
    assert fault.status in (400, 416, 505, 513)
    if fault.request is not None:
        _answer(fault.request)


def _answer(request: Request) -> None:
    answer = make_response(request, 400, to_tag="x").to_bytes()
    assert answer.startswith(b"SIP/2.0 400 ")


def _kind(item: object) -> object:
    return str(item) if isinstance(item, MalformedMessage) else item
