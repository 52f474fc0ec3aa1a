from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sip
from sip.errors import MalformedMessage
from sip.message import Headers, Request, Response, make_response
from sip.parser import KeepAlive, Limits, StreamParser, is_keepalive, parse_datagram

NEEDED = (
    "Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK-1\n"
    "From: <sip:34020000001320000001@3402000000>;tag=1001\n"
    "To: <sip:34020000001320000001@3402000000>\n"
    "Call-ID: 5001@192.0.2.10\n"
)


def message(
    *extra: str,
    start: str = "MESSAGE sip:34020000002000000001@3402000000 SIP/2.0",
    body: bytes = b"",
    cseq: str = "CSeq: 1 MESSAGE",
) -> bytes:
    """Give the bytes of a message; what should be wrong with it is passed in."""
    head = "\n".join([start, *(NEEDED + cseq).split("\n"), *extra])
    return head.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def refused(data: bytes) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        parse_datagram(data)
    return caught.value


def request(data: bytes) -> Request:
    parsed = parse_datagram(data)
    assert isinstance(parsed, Request)
    return parsed


# Reading


def test_a_request_is_read() -> None:
    parsed = request(message("Content-Length: 2", body=b"\xc9\xe3"))
    assert (parsed.method, parsed.body) == ("MESSAGE", b"\xc9\xe3")
    assert parsed.request_uri.user == "34020000002000000001"
    assert parsed.vias[0].branch == "z9hG4bK-1"
    assert (parsed.call_id, parsed.cseq.number) == ("5001@192.0.2.10", 1)
    assert parsed.from_.tag == "1001"
    assert parsed.to.tag is None


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("sip/2.0 200 OK", 200, "OK"),
        ("SIP/2.0 200", 200, ""),
        ("SIP/2.0 200 ", 200, ""),
        ("SIP/2.0  481   Call/Transaction Does Not Exist ", 481, "Call/Transaction Does Not Exist"),
        ("SIP/2.0 200 = 2**3 * 5**2 но сто", 200, "= 2**3 * 5**2 но сто"),  # RFC 4475 3.1.1.12
    ],
)
def test_a_response_is_read(line: str, status: int, reason: str) -> None:
    parsed = parse_datagram(message(start=line))
    assert isinstance(parsed, Response)
    assert (parsed.status, parsed.reason) == (status, reason)


def test_bare_line_feeds_and_leading_blank_lines() -> None:
    data = b"\r\n\n\r\n" + message("Content-Length: 1", body=b"x").replace(b"\r\n", b"\n")
    assert request(data).body == b"x"


def test_folded_lines_are_joined() -> None:
    parsed = request(message("Subject: a,\n  b\n\tc ", "X-Last: y"))
    assert parsed.headers.get("Subject") == "a, b c"
    assert parsed.headers.get("X-Last") == "y"


@pytest.mark.parametrize(
    "line", ["Expires:300", "Expires : 300", "expires\t:\t300 ", "EXPIRES:  300"]
)
def test_blanks_around_the_colon_mean_nothing(line: str) -> None:
    assert request(message(line)).expires == 300


def test_trailing_blanks_of_the_request_line() -> None:  # RFC 4475 3.1.2.9, 3.1.2.10
    assert request(message(start="MESSAGE sip:1@d SIP/2.0  ")).uri == "sip:1@d"
    assert request(message(start="MESSAGE  sip:1@d\tsip/2.0")).uri == "sip:1@d"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"From: ", b"From: Bell, Alexander "),  # RFC 4475 3.1.2.15
        (b"To: <sip:34020000001320000001@3402000000>", b'To: "W, T" < sip:t@d >'),  # 3.1.2.14
        (b"To: <sip:34020000001320000001@3402000000>", b"To: isbn:2983792873"),  # 3.3.4
        (b"To: <sip:34020000001320000001@3402000000>", b'To: "a"<sip:null-%00-null@d>'),  # 3.1.1.4
        (b";branch=z9hG4bK-1", b";branch=z9hG4bK"),  # 3.2.1
        (b"Call-ID: ", b"Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"),  # 3.1.1.2
        (b"Content-Length", b"Unknown-%Header"),
    ],
)
def test_what_is_odd_but_plain_is_read(old: bytes, new: bytes) -> None:
    data = message("Content-Length: 0")
    assert old in data
    parsed = request(data.replace(old, new))
    assert make_response(parsed, 200, to_tag="x").to.tag == "x"


@pytest.mark.parametrize("tab", ["MESSAGE sip:\t1@d SIP/2.0", "MESSAGE \t SIP/2.0"])
def test_a_tab_does_not_get_into_the_request_uri(tab: str) -> None:
    assert refused(message(start=tab)).status == 400


def test_bytes_that_are_not_utf_8_survive() -> None:
    data = message("X-Name: \udcc9\udce3")
    assert b"\xc9\xe3" in data
    assert b"X-Name: \xc9\xe3\r\n" in request(data).to_bytes()


def test_unusual_line_separators_end_no_line() -> None:
    value = "a\x0b\x0c\x1c\x85\u2028b"
    assert request(message(f"X-Name: {value}")).headers.get("X-Name") == value


def test_unknown_methods_and_transports_are_read() -> None:  # RFC 4475 3.1.1.2, 3.1.1.10
    data = message(start="!interesting-Method0123456789_*+`.%indeed'~ sip:1@d SIP/2.0",
                   cseq="CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~").replace(
        b"SIP/2.0/UDP", b"SIP/2.0/UNKNOWN")  # fmt: skip
    assert request(data).vias[0].transport == "UNKNOWN"


def test_a_short_tortuous_invite() -> None:  # after RFC 4475 3.1.1.1
    data = (
        "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\n"
        "TO :\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\n"
        'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n'
        "MaX-fOrWaRdS: 0068\n"
        "Call-ID: wsinv.ndaksdj@192.0.2.1\n"
        "Content-Length   : 3\n"
        "cseq: 0009\n  INVITE\n"
        "Via  : SIP  /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\n"
        "s :\n"
        "NewFangledHeader:   newfangled value\n continued newfangled value\n"
        "UnknownHeaderWithUnusualValue: ;;,,;;,;\n"
        "Content-Type: application/sdp\n"
        "Route:\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\n"
        "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\n  branch  =   z9hG4bK9ikj8  ,\n"
        " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\n z9hG4bK30239\n"
        'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\n      newvalue ;\n'
        "  secondparam ; q = 0.33\n"
        "\n"
        "v=0"
    ).replace("\n", "\r\n")
    parsed = request(data.encode())
    assert parsed.to.tag == "1918181833n"
    assert (parsed.from_.display, parsed.from_.tag) == ('J Rosenberg \\"', "98asjd8")
    assert parsed.cseq.number == 9
    assert [via.branch for via in parsed.vias] == ["390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"]
    assert parsed.headers.get("Subject") == ""
    assert parsed.body == b"v=0"
    contact = parsed.contact
    assert contact is not None
    assert contact.parameters == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}


def test_escaped_control_characters_in_a_display_name() -> None:  # RFC 4475 3.1.1.2
    data = message().replace(b"From: ", b'From: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" ')
    assert request(data).from_.display == "BEL:\x07 NUL:\x00 DEL:\x7f"


def test_a_datagram_without_blank_line_is_all_head() -> None:
    assert request(message().removesuffix(b"\r\n\r\n")).body == b""
    assert request(message().removesuffix(b"\r\n")).body == b""


# Length


def test_a_datagram_without_content_length_is_all_body() -> None:
    assert request(message(body=b"abc\r\n\r\n")).body == b"abc\r\n\r\n"


@pytest.mark.parametrize(
    "line", ["Content-Length: 2", "l: 2", "Content-Length:   0002  ", "l:2\nl: 2", f"l: {2:030}"]
)
def test_a_shorter_content_length_counts(line: str) -> None:
    assert request(message(line, body=b"abcdef")).body == b"ab"


def test_a_content_length_beyond_the_datagram_is_answered_400() -> None:  # RFC 3261 18.3
    fault = refused(message("Content-Length: 4", body=b"abc"))
    assert fault.status == 400
    assert fault.request is not None
    assert make_response(fault.request, fault.status, to_tag="x").to_bytes()


@pytest.mark.parametrize("value", ["-1", "x", "", "1 2", "1,1", "0x1", "٣", "99999999999", "+1"])
def test_a_content_length_that_is_no_number_is_refused(value: str) -> None:
    assert refused(message(f"Content-Length: {value}", body=b"abc")).request is not None


def test_contradicting_lengths_are_refused() -> None:
    assert refused(message("l: 1", "Content-Length: 2", body=b"abc")).status == 400


def test_the_head_limit_does_not_depend_on_the_segmentation() -> None:
    data = message("l: 0")
    for size, accepted in ((len(data) - 3, True), (len(data) - 4, False)):
        parser = StreamParser(Limits(head=size))
        items = [item for byte in data for item in parser.push(bytes([byte]))]
        assert [isinstance(item, Request) for item in items] == [accepted]


def test_long_runs_of_blanks_are_read_in_linear_time() -> None:
    parsed = request(message("X: a" + " " * 16_000 + "y", "Z: a\n" + " " * 16_000 + "b"))
    assert parsed.headers.get("Z") == "a b"


# Refusing


@pytest.mark.parametrize(
    "start",
    [
        "INVITE <sip:user@example.com> SIP/2.0",  # RFC 4475 3.1.2.7
        "INVITE sip:user@example.com; lr SIP/2.0",  # RFC 4475 3.1.2.8
        "INVITE SIP/2.0",
        "INVITE  SIP/2.0",
    ],
)
def test_a_broken_request_uri_is_answered_400(start: str) -> None:
    fault = refused(message(start=start, cseq="CSeq: 1 INVITE"))
    assert fault.status == 400
    assert fault.request is not None


def test_a_foreign_version_is_answered_505() -> None:  # RFC 4475 3.1.2.16
    data = message(start="MESSAGE sip:1@d SIP/7.0").replace(b"Via: SIP/2.0", b"Via: SIP/7.0")
    fault = refused(data)
    assert (fault.status, fault.reason) == (505, "Version Not Supported")
    assert fault.request is not None
    assert refused(message(start="SIP/7.0 200 OK")).request is None


@pytest.mark.parametrize(
    "start",
    ["", "GET / HTTP/1.1", "HTTP/1.1 200 OK", "MESSAGE sip:1@d", "SIP/2.0 OK", "SIP/2.0 2000 OK",
     "SIP/2.0 4294967301 better not", "(x) sip:1@d SIP/2.0", "(x) sip:1@d y SIP/2.0",
     " MESSAGE sip:1@d SIP/2.0x"],
)  # fmt: skip
def test_what_has_no_start_line_is_not_answered(start: str) -> None:
    assert refused(message(start=start)).request is None


@pytest.mark.parametrize("status", ["099", "000", "700", "999"])
def test_a_status_out_of_range_is_refused(status: str) -> None:
    assert "status" in str(refused(message(start=f"SIP/2.0 {status} x")))


@pytest.mark.parametrize("name", ["From", "To", "Call-ID", "CSeq"])
def test_a_missing_field_is_answered_400(name: str) -> None:  # RFC 4475 3.3.1
    fault = refused(message().replace(f"{name}: ".encode(), b"X-Other: "))
    assert (fault.status, str(fault)) == (400, f"{name} is missing")
    assert fault.request is not None
    assert make_response(fault.request, 400, to_tag="x").to_bytes()


def test_without_via_there_is_no_way_for_an_answer() -> None:
    fault = refused(message().replace(b"Via: ", b"X-Other: "))
    assert str(fault) == "Via is missing"
    assert fault.request is None


def test_an_answer_takes_the_vias_above_the_broken_one() -> None:
    lines = "Via: SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b, nonsense\r\nVia: SIP/2.0/UDP c\r\nVia:"
    fault = refused(message().replace(b"Via:", lines.encode()))
    assert fault.request is not None
    assert [via.host for via in fault.request.vias] == ["a", "b"]
    answer = make_response(fault.request, 400)
    assert answer.headers.get_all("Via") == ["SIP/2.0/UDP a;branch=1", "SIP/2.0/UDP b"]


def test_a_broken_to_goes_back_as_it_came() -> None:
    fault = refused(message().replace(b"To: <", b'To: "Mr. <'))
    assert fault.request is not None
    answer = make_response(fault.request, 400, to_tag="x")
    assert answer.headers.get("To") == '"Mr. <sip:34020000001320000001@3402000000>'


def test_the_untouched_bytes_stay_with_the_message() -> None:
    data = message("X-Odd :  folded\n  value", "l: 2", body=b"ab")
    assert request(data).raw == data
    assert request(b"\r\n" + data + b"behind").raw == data
    (taken,) = StreamParser().push(data)
    assert isinstance(taken, Request)
    assert taken.raw == data
    assert make_response(taken, 200).raw == b""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Via: SIP/2.0/UDP", b"Via: UDP"),
        (b"From: <sip:", b"From: <sip:a b"),
        (b"To: <", b'To: "Mr. J. User <'),  # RFC 4475 3.1.2.6
        (b"Via: SIP/2.0/UDP", b"Via: SIP/2.0/UDP 192.0.2.15;;,;,,;"),  # RFC 4475 3.1.2.1
        (b"CSeq: 1", b"CSeq: 36893488147419107329"),  # RFC 4475 3.1.2.4
    ],
)
def test_a_broken_field_is_refused(old: bytes, new: bytes) -> None:
    assert old in message()
    assert refused(message().replace(old, new)).status == 400


def test_cseq_must_name_the_method() -> None:  # RFC 4475 3.1.2.17
    fault = refused(message(cseq="CSeq: 8 INVITE"))
    assert fault.status == 400
    assert fault.request is not None


@pytest.mark.parametrize(
    "line",
    ["f: <sip:other@d>;tag=2", "To: <sip:other@d>", "i: other", "CSeq: 2 MESSAGE",
     "Max-Forwards: 5\nMax-Forwards: 6"],
)  # fmt: skip
def test_contradicting_single_fields_are_refused(line: str) -> None:  # RFC 4475 3.3.8
    assert "more than once" in str(refused(message(line)))


def test_an_equal_repeat_of_a_single_field_is_read() -> None:
    assert request(message("i: 5001@192.0.2.10")).call_id == "5001@192.0.2.10"


@pytest.mark.parametrize("line", ["no colon", "X Y: z", ": z", "é: z", "X: a\rInjected: b"])
def test_a_line_that_is_no_field_is_refused(line: str) -> None:
    assert refused(message(line)).status == 400


def test_an_ack_is_never_answered() -> None:
    data = message("no colon", start="ACK sip:1@d SIP/2.0", cseq="CSeq: 1 ACK")
    assert refused(data).request is None


@pytest.mark.parametrize(
    "extra",
    [["X: " + "a" * 70_000], ["X: " + "a" * 20_000], ["X: y"] * 1000, ["X: " + "a" * 200] * 200],
)
def test_what_is_over_a_limit_is_answered_513(extra: list[str]) -> None:
    fault = refused(message(*extra))
    assert (fault.status, fault.reason) == (513, "Message Too Large")
    assert fault.request is not None
    assert fault.request.call_id == "5001@192.0.2.10"
    (fatal,) = StreamParser().push(message(*extra, "l: 0"))
    assert isinstance(fatal, MalformedMessage)
    assert (fatal.status, fatal.request is not None) == (513, True)


def test_what_is_over_a_limit_and_names_no_way_is_not_answered() -> None:
    head = "INVITE sip:a@b SIP/2.0\r\n" + "X: " + "a" * 40_000
    assert refused(head.encode()).request is None
    assert refused(b"x" * 40_000).request is None


def test_a_lone_carriage_return_is_answered_400_and_ends_a_stream() -> None:
    data = message("X: a\rb", "l: 0")
    fault = refused(data)
    assert (fault.status, fault.request is not None) == (400, True)
    (fatal,) = StreamParser().push(data)
    assert isinstance(fatal, MalformedMessage)
    assert (fatal.is_fatal, fatal.request is not None) == (True, True)


def test_limits_can_be_set() -> None:
    data = message("A: b")
    for limits in (Limits(head=len(data) - 5), Limits(line=10), Limits(fields=5)):
        with pytest.raises(MalformedMessage, match="over the limit"):
            parse_datagram(data, limits)
    parse_datagram(data, Limits(head=len(data) - 3, fields=6))


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", True), (b"\r\n\r\n", True), (b"\0\0\0\0", True), (b"x", False)]
)
def test_keepalive_datagrams(data: bytes, expected: bool) -> None:
    assert is_keepalive(data) is expected


# Streams

FIRST = message("Content-Length: 5", body=b"\r\n\r\nx")
SECOND = message("l: 0", start="SIP/2.0 200 OK")
BROKEN = message("no colon", "l: 3", body=b"abc")
STREAM = b"\r\n" + FIRST + b"\r\n\r\n" + BROKEN + SECOND.replace(b"\r\n", b"\n") + FIRST


def kinds(items: list[Request | Response | KeepAlive | MalformedMessage]) -> list[object]:
    return [repr(item) if isinstance(item, MalformedMessage) else item for item in items]


def test_a_stream_is_cut_into_messages() -> None:
    items = StreamParser().push(STREAM)
    assert [type(item).__name__ for item in items] == [
        "KeepAlive", "Request", "KeepAlive", "KeepAlive", "MalformedMessage", "Response", "Request",
    ]  # fmt: skip
    first, fault = items[1], items[4]
    assert isinstance(first, Request)
    assert first.body == b"\r\n\r\nx"
    assert isinstance(fault, MalformedMessage)
    assert fault.request is not None
    assert not fault.is_fatal


@settings(max_examples=200)
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_segmentation_gives_the_same_messages(cuts: list[int]) -> None:
    parser = StreamParser()
    places = [0, *sorted(cuts), len(STREAM)]
    items = [
        item for start, end in itertools.pairwise(places) for item in parser.push(STREAM[start:end])
    ]
    assert kinds(items) == kinds(StreamParser().push(STREAM))
    assert parser.is_idle


def test_byte_by_byte_gives_the_same_messages() -> None:
    parser = StreamParser()
    items = [item for byte in STREAM for item in parser.push(bytes([byte]))]
    assert kinds(items) == kinds(StreamParser().push(STREAM))


@pytest.mark.parametrize("ends", list(itertools.product([b"\r\n", b"\n"], repeat=4)))
def test_mixed_line_ends_close_the_head_at_one_place(ends: tuple[bytes, ...]) -> None:
    lines = SECOND.rstrip(b"\r\n").replace(b"\r\n", b"\n") + b"".join(ends) + FIRST
    parser = StreamParser()
    items = [item for byte in lines for item in parser.push(bytes([byte]))]
    assert kinds(items) == kinds(StreamParser().push(lines))
    assert isinstance(items[0], Response)


def test_each_second_blank_line_is_a_ping() -> None:  # RFC 5626 3.5.1
    parser = StreamParser()
    assert parser.push(b"\r\n") == [KeepAlive(False)]
    assert parser.push(b"\r") == []
    assert parser.push(b"\n") == [KeepAlive(True)]
    assert parser.push(b"\r\n\r\n\r\n") == [KeepAlive(False), KeepAlive(True), KeepAlive(False)]
    assert parser.push(SECOND + b"\r\n")[-1] == KeepAlive(False)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (message(), 400),  # no Content-Length
        (message("Content-Length: x"), 400),
        (message("Content-Length: 4194305"), 513),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"x" * 40_000, 513),
        (message("X: " + "a" * 70_000), 513),
    ],
)
def test_a_lost_frame_boundary_ends_the_stream(data: bytes, status: int) -> None:
    parser = StreamParser()
    *before, fault = parser.push(SECOND + data + SECOND)
    assert len(before) == 1
    assert isinstance(fault, MalformedMessage)
    assert (fault.status, fault.is_fatal) == (status, True)
    assert parser.push(SECOND) == []


def test_a_missing_content_length_can_be_answered() -> None:
    (fault,) = StreamParser().push(message())
    assert isinstance(fault, MalformedMessage)
    assert fault.request is not None


def test_a_stream_in_the_middle_of_a_message_is_not_idle() -> None:
    parser = StreamParser()
    assert parser.is_idle
    parser.push(FIRST[:10])
    assert not parser.is_idle
    parser.push(FIRST[10:-1])
    assert not parser.is_idle
    parser.push(FIRST[-1:])
    assert parser.is_idle


# Properties

_NAME = st.text("ABCdef-", min_size=1, max_size=8).map("X-".__add__)
_VALUE = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=30
).map(lambda text: text.strip(" \t"))
_BYTES = st.binary(max_size=20).map(
    lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"").decode("utf-8", "surrogateescape")
)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(_NAME, _VALUE | _BYTES.map(lambda text: text.strip(" \t"))), max_size=5),
    st.binary(max_size=200),
)
def test_what_is_written_is_read_back(fields: list[tuple[str, str]], body: bytes) -> None:
    needed = [tuple(line.split(": ", 1)) for line in NEEDED.splitlines()]
    headers = Headers([(name, value) for name, value in needed] + fields)
    headers.add("CSeq", "1 MESSAGE")
    headers.add("Content-Length", str(len(body)))
    sent = Request("MESSAGE", "sip:1@d", headers, body)
    assert parse_datagram(sent.to_bytes()) == sent
    assert StreamParser().push(sent.to_bytes()) == [sent]
    answer = make_response(sent, 200, headers=[*fields, ("l", str(len(body)))], body=body)
    assert parse_datagram(answer.to_bytes()) == answer


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        parse_datagram(data)
    StreamParser().push(data)


@settings(max_examples=200)
@given(st.data())
def test_damaged_messages_are_read_or_refused(data: st.DataObject) -> None:
    raw = bytearray(FIRST)
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=8)):
        raw[place] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    # What was understood can be answered; what was accepted can also be written.
    parsed: Request | Response | None
    try:
        parsed = parse_datagram(bytes(raw))
        assert parsed.to_bytes()
    except MalformedMessage as exc:
        parsed = exc.request
    if isinstance(parsed, Request):
        assert make_response(parsed, 400, to_tag="x").to_bytes()


# The package


def test_the_facade_loads_names_when_they_are_used() -> None:
    assert sip.parse_datagram is parse_datagram
    assert sip.DISTRIBUTION == "gb28181"
    assert "SipEndpoint" in dir(sip)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = sip.nothing_of_the_kind


def test_each_name_of_the_facade_is_there() -> None:
    assert all(getattr(sip, name) is not None for name in sip.__all__)
