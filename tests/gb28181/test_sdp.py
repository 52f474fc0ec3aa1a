from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.errors import MalformedSdp
from gb28181.sdp import (
    PCMA,
    PS,
    MediaFormat,
    MediaTransport,
    Payload,
    SessionDescription,
    parse_sdp,
)
from gb28181.ssrc import Ssrc

LIVE = """v=0
o=34020000002000000001 0 0 IN IP4 192.0.2.20
s=Play
c=IN IP4 192.0.2.20
t=0 0
m=video 30000 RTP/AVP 96 97 98 100
a=recvonly
a=rtpmap:96 PS/90000
a=rtpmap:97 MPEG4/90000
a=rtpmap:98 H264/90000
a=rtpmap:100 H265/90000
y=0200000001
f=v/2/6/25/1/4096a/1/8/1
"""

WORDS = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True)
FIELDS = st.just("") | st.from_regex(r"[0-9]{1,4}", fullmatch=True)
FORMATS = st.builds(
    MediaFormat,
    video_codec=FIELDS,
    resolution=FIELDS | st.just("1920x1080"),
    frame_rate=FIELDS,
    bit_rate_type=FIELDS,
    bit_rate=FIELDS,
    audio_codec=FIELDS,
    audio_bit_rate=FIELDS,
    audio_sampling=FIELDS,
)
PAYLOADS = st.builds(
    Payload,
    number=st.integers(0, 127),
    name=st.sampled_from(["", "PS/90000", "PCMA/8000", "AAC/8000/1"]),
    parameters=st.sampled_from(["", "mode=AAC-hbr; config=1588"]),
)
DESCRIPTIONS = st.builds(
    SessionDescription,
    origin_id=WORDS,
    address=st.ip_addresses().map(str),
    port=st.integers(0, 65535),
    name=WORDS,
    uri=st.none() | WORDS,
    start=st.integers(0, 2**31),
    end=st.integers(0, 2**31),
    kind=st.sampled_from(["video", "audio"]),
    transport=st.sampled_from(MediaTransport),
    payloads=st.lists(PAYLOADS, max_size=5, unique_by=lambda p: p.number).map(tuple),
    direction=st.sampled_from([None, "recvonly", "sendonly", "sendrecv"]),
    setup=st.sampled_from([None, "active", "passive"]),
    connection=st.sampled_from([None, "new"]),
    ssrc=st.none() | st.integers(0, 2**32 - 1).map(Ssrc),
    format=st.none() | FORMATS.filter(lambda f: f != MediaFormat()),
    attributes=st.dictionaries(
        st.sampled_from(["downloadspeed", "filesize", "streamnumber"]), st.just("") | WORDS
    ),
)


def parse(text: str) -> SessionDescription:
    return parse_sdp(text.replace("\n", "\r\n").encode())


@settings(max_examples=200)
@given(DESCRIPTIONS)
def test_what_is_written_is_read_again(description: SessionDescription) -> None:
    assert parse_sdp(description.to_bytes()) == description


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.text("vosctmaypf=:/ 0123456789\n", max_size=200))
def test_random_input_raises_only_malformed_sdp(noise: bytes | str) -> None:
    body = noise if isinstance(noise, bytes) else noise.encode()
    for data in (body, LIVE.encode() + body, b"m=video 1 RTP/AVP 96\nc=IN IP4 1\n" + body):
        with contextlib.suppress(MalformedSdp):
            assert parse_sdp(data).to_bytes()


def test_the_sample_offer_is_understood() -> None:  # 2022 Annex G
    assert parse(LIVE) == SessionDescription(
        origin_id="34020000002000000001",
        address="192.0.2.20",
        port=30000,
        payloads=(
            PS,
            Payload(number=97, name="MPEG4/90000"),
            Payload(number=98, name="H264/90000"),
            Payload(number=100, name="H265/90000"),
        ),
        direction="recvonly",
        ssrc=Ssrc(200000001),
        format=MediaFormat(
            video_codec="2",
            resolution="6",
            frame_rate="25",
            bit_rate_type="1",
            bit_rate="4096",
            audio_codec="1",
            audio_bit_rate="8",
            audio_sampling="1",
        ),
    )


def test_the_sample_offer_is_written_to_the_letter() -> None:
    assert parse(LIVE).to_bytes().decode() == LIVE.replace("\n", "\r\n")


def test_bare_line_feeds_are_line_ends() -> None:
    assert parse_sdp(LIVE.encode()) == parse(LIVE)


def test_lines_of_the_standard_may_stand_anywhere() -> None:
    moved = LIVE.replace("y=0200000001\n", "").replace("t=0 0", "y=0200000001\nt=0 0")
    assert parse(moved) == parse(LIVE)


def test_the_address_of_the_media_wins() -> None:
    text = LIVE.replace("a=recvonly", "c=IN IP4 192.0.2.99/127\na=recvonly")
    assert parse(text).address == "192.0.2.99"


def test_the_address_of_the_origin_serves_when_there_is_no_other() -> None:
    assert parse(LIVE.replace("c=IN IP4 192.0.2.20\n", "")).address == "192.0.2.20"


def test_the_address_of_the_signalling_serves_an_answer_without_any() -> None:
    # seen: a Hikvision camera, "o=... IN IP4 " and "c=IN IP4 " with nothing behind
    text = LIVE.replace("192.0.2.20", "")
    assert parse_sdp(text.encode(), host="192.0.2.31").address == "192.0.2.31"
    assert parse_sdp(LIVE.encode(), host="192.0.2.31").address == "192.0.2.20"


def test_a_port_behind_the_address_is_left_out() -> None:  # seen: WVP, "c=IN IP4 192.0.2.20:8116"
    assert parse(LIVE.replace("192.0.2.20", "192.0.2.20:8116")).address == "192.0.2.20"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("media.example.com", "media.example.com"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("media..example", "192.0.2.7"),
        ("x" * 64, "192.0.2.7"),
        (".".join(["x" * 60] * 5), "192.0.2.7"),
        ("a\0b", "192.0.2.7"),
        ("::g", "192.0.2.7"),
        ("%", "192.0.2.7"),
    ],
)
def test_an_address_that_no_socket_takes_counts_as_absent(text: str, expected: str) -> None:
    description = LIVE.replace("c=IN IP4 192.0.2.20", f"c=IN IP4 {text}")
    assert parse(description.replace("192.0.2.20", "192.0.2.7")).address == expected


def test_media_that_is_not_rtp_is_passed_over() -> None:  # RFC 3264 6
    other = "m=application 5070 UDP/BFCP *\na=floorctrl:c-s\n"
    assert parse(LIVE.replace("m=video", other + "m=video")).port == 30000
    assert parse(LIVE + other).attributes == parse(LIVE).attributes


def test_an_ipv6_address_is_written_as_such() -> None:
    description = SessionDescription(origin_id="1", address="2001:db8::1", port=1)
    assert b"c=IN IP6 2001:db8::1\r\n" in description.to_bytes()
    assert parse_sdp(description.to_bytes()) == description


@pytest.mark.parametrize(
    ("line", "start", "end"),
    [
        ("1714521600 1714525200", 1714521600, 1714525200),
        ("3923510400 3923514000", 1714521600, 1714525200),
        ("0 0", 0, 0),
        ("1714521600", 1714521600, 0),
        ("now later", 0, 0),
    ],
)
def test_times_are_unix_seconds_also_when_sent_as_ntp(line: str, start: int, end: int) -> None:
    description = parse(LIVE.replace("t=0 0", f"t={line}"))
    assert (description.start, description.end) == (start, end)


@pytest.mark.parametrize(
    ("uri", "channel", "record_type"),
    [
        ("34020000001320000001:3", "34020000001320000001", 3),
        ("34020000001320000001:0", "34020000001320000001", 0),
        ("34020000001320000001", "34020000001320000001", 0),
        ("34020000001320000001:x", "34020000001320000001", 0),
        ("http://34020000001180000001/a/b.ps", None, 0),
    ],
)
def test_the_uri_names_channel_and_record_type(
    uri: str, channel: str | None, record_type: int
) -> None:
    description = parse(LIVE.replace("c=IN", f"u={uri}\nc=IN"))
    assert (description.uri, description.channel_id, description.record_type) == (
        uri,
        channel,
        record_type,
    )


def test_a_live_session_names_no_channel() -> None:
    assert parse(LIVE).channel_id is None


@pytest.mark.parametrize("transport", ["TCP/RTP/AVP", "tcp/rtp/avp", "RTP/AVP/TCP", "TCP/RTP"])
def test_tcp_is_understood_with_its_role(transport: str) -> None:
    text = LIVE.replace("RTP/AVP", transport)
    description = parse(text + "a=Setup:PASSIVE\na=connection:new\n")
    assert description.transport is MediaTransport.TCP
    assert (description.setup, description.connection) == ("passive", "new")


def test_other_attributes_are_kept() -> None:
    description = parse(LIVE + "a=downloadspeed:4\na=filesize:10485760\na=odd\n")
    assert description.attributes == {"downloadspeed": "4", "filesize": "10485760", "odd": ""}


def test_lines_are_read_in_capitals_and_with_a_blank_for_the_colon() -> None:
    text = (
        b"v=0\r\nO=1 0 0 IN IP4 192.0.2.1\r\nS=Play\r\nM=Video 5000 RTP/AVP/UDP 96\r\n"
        b"A=SendOnly\r\na=rtpmap 96 PS/90000\r\nY=0200000001;\r\nF=V/2/6/25/1/4096A/1/8/1\r\n"
    )
    description = parse_sdp(text)
    assert (description.origin_id, description.kind, description.port) == ("1", "video", 5000)
    assert (description.direction, description.payloads) == ("sendonly", (PS,))
    assert description.ssrc == 200000001
    assert str(description.format) == "v/2/6/25/1/4096a/1/8/1"


def test_video_is_read_where_audio_stands_before_it() -> None:
    text = (
        b"v=0\r\no=1 0 0 IN IP4 192.0.2.1\r\nm=audio 5002 RTP/AVP 8\r\na=sendrecv\r\n"
        b"m=video 5000 RTP/AVP 96\r\na=sendonly\r\ny=0200000001\r\n"
    )
    description = parse_sdp(text)
    assert (description.kind, description.port, description.direction) == (
        "video",
        5000,
        "sendonly",
    )


@pytest.mark.parametrize("line", ["y=abc", "y=", "y=99999999999"])
def test_an_unreadable_ssrc_counts_as_absent(line: str) -> None:
    assert parse(LIVE.replace("y=0200000001", line)).ssrc is None


def test_the_first_media_that_is_not_declined_is_read() -> None:
    text = LIVE.replace("m=video 30000", "m=video 0") + "m=audio 20000 RTP/AVP 8\na=sendonly\n"
    description = parse(text)
    assert (description.kind, description.port) == ("audio", 20000)
    assert description.payloads == (Payload(number=8),)
    assert description.direction == "sendonly"
    assert description.ssrc == 200000001


def test_a_declined_description_has_port_zero() -> None:
    assert parse(LIVE.replace("m=video 30000", "m=video 0")).port == 0


def test_encodings_come_from_the_map_or_from_the_standard_but_not_for_99() -> None:
    assert PCMA.encoding == Payload(number=8).encoding == "PCMA"
    assert Payload(number=96).encoding == "PS"
    assert Payload(number=96, name="dahua/90000").encoding == "DAHUA"
    assert Payload(number=99).encoding == ""
    assert parse(LIVE).payload("h265") == Payload(number=100, name="H265/90000")
    assert parse(LIVE).payload("SVAC") is None


def test_session_names_are_compared_without_case() -> None:
    assert parse(LIVE.replace("s=Play", "s= PLAYBACK ")).session == "playback"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"v=0\r\n",
        LIVE.replace("m=video 30000 RTP/AVP 96 97 98 100", "m=video").encode(),
        LIVE.replace("30000", "many").encode(),
        LIVE.replace("30000", "70000").encode(),
        LIVE.replace("RTP/AVP", "tcp").encode(),
        LIVE.replace("192.0.2.20", "").encode(),
        LIVE.replace("192.0.2.20", "a..b").encode(),
        LIVE.encode() + b"a=x\n" * 20_000,
    ],
)
def test_what_cannot_be_used_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedSdp):
        parse_sdp(body)


def test_a_line_break_in_a_value_is_not_written() -> None:
    description = SessionDescription(origin_id="1", address="192.0.2.1", port=1, name="a\r\nm=x")
    with pytest.raises(MalformedSdp, match="line break"):
        description.to_bytes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v/2/6/25/1/4096a///", "v/2/6/25/1/4096a///"),
        ("v/////a/1/8/1", "v/////a/1/8/1"),
        (" v/2/6 /25a/1 ", "v/2/6/25//a/1//"),
        ("v/2/1920x1080/25/1/4096", "v/2/1920x1080/25/1/4096a///"),
        ("a/1/8/1", "v/////a/1/8/1"),
        ("v/2/6/25/1/4096/a/1/8/1", "v/2/6/25/1/4096a/1/8/1"),
    ],
)
def test_a_format_is_read_with_parts_missing(text: str, expected: str) -> None:
    assert str(MediaFormat.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "x", "v/a"])
def test_what_is_no_format_counts_as_absent(text: str) -> None:
    assert MediaFormat.parse(text) is None
