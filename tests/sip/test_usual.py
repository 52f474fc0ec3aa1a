"""The short way through a head says what the long way says, in Python and in C."""

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip import parser, usual
from sip.errors import MalformedMessage
from sip.fields import RANKS, Headers
from sip.headers import parse_cseq, parse_name_addr, parse_via
from sip.matching import server_key
from sip.message import Request, Response

HERE = Path(__file__).parent
LINES = (
    "MESSAGE sip:34020000002000000001@3402000000 SIP/2.0",
    "Via: SIP/2.0/UDP 192.0.2.1:15060;rport;branch=z9hG4bK-1",
    "From: <sip:34020000001320000001@3402000000>;tag=1",
    "To: <sip:34020000002000000001@3402000000>",
    "Call-ID: 1-1234@192.0.2.1",
    "CSeq: 20 MESSAGE",
    "Max-Forwards: 70",
    "Content-Length: 0",
)
ODD = (
    "Via: SIP/2.0/UDP 192.0.2.1:70000;branch=z9hG4bK-1",
    "Via: SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK-1;rport",
    "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK-2, SIP/2.0/UDP 192.0.2.8",
    "Via: SIP/2.0/UDP 192.0.2.1:05060;branch=z9hG4bK-1",
    "Via: SIP/2.0/UDP 192.0.2.1:0;branch=z9hG4bK-1",
    "Via: SIP/2.0/UDP 192.0.2.1:;branch=z9hG4bK-1",
    "From: sip:34020000001320000001@3402000000",
    "To: <sip:@>",
    "CSeq: 20 INVITE",
    "CSeq: 99999999999 MESSAGE",
    "Content-Length: -1",
    "Content-Length: 7 ",
    " folded",
    "\tfolded",
    "X-Vendor: yes",
    "Call-ID:",
    "i: 7",
    "Max-Forwards : 70",
    "no field",
    "Note: stray\rreturn",
    "Note: r\u00e9sum\u00e9 \u2028 line",
    "",
)


@pytest.fixture(scope="module", params=["python", "C"])
def form(request: pytest.FixtureRequest, native: Callable[[str], ModuleType]) -> ModuleType:
    return usual if request.param == "python" else native("sip")


@pytest.fixture(scope="module")
def in_c(native: Callable[[str], ModuleType]) -> ModuleType:
    return native("sip")


def head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def test_usual_head_is_read_with_all_that_is_needed(form: ModuleType) -> None:
    data = head(*LINES)
    assert form.read_head(data + b"\r\n\r\nbody", len(data), 20) == (
        "MESSAGE",
        "sip:34020000002000000001@3402000000",
        {line.partition(": ")[0]: line.partition(": ")[2] for line in LINES[1:]},
        "z9hG4bK-1",
        "192.0.2.1:15060",
        20,
        "1-1234@192.0.2.1",
        "34020000001320000001",
        "1",
        "",
        0,
    )


def test_parsed_values_are_those_of_the_long_way() -> None:
    request = read(head(*LINES) + b"\r\n\r\n")
    assert isinstance(request, Request)
    assert request.vias == [parse_via(LINES[1][5:])]
    assert request.cseq == parse_cseq("20 MESSAGE")
    assert (request.from_tag, request.to_tag) == ("1", "")
    assert request.from_ == parse_name_addr(LINES[2][6:])
    assert request.headers.parsed.length == 0


@pytest.mark.parametrize("odd", ODD)
def test_odd_line_is_left_to_the_long_way(form: ModuleType, odd: str) -> None:
    data = head(*LINES, odd)
    assert form.read_head(data, len(data), 20) is None


def test_too_many_fields_are_left_to_the_long_way(form: ModuleType) -> None:
    data = head(*LINES)
    assert form.read_head(data, len(data), 7) is not None
    assert form.read_head(data, len(data), 6) is None


SEEDS = [head(*LINES, "Contact: <sip:34020000001320000001@192.0.2.1>", "Content-Type: a/b")] + [
    head(*LINES[:place], line, *LINES[place + 1 :])
    for place, line in (
        (0, "REGISTER sips:a@b.example:5061 SIP/2.0"),
        (0, "REGISTER sip:a@b.example:15061 SIP/2.0"),
        (1, "Via: SIP/2.0/TCP Host.example;branch=z9hG4bK-2;rport"),
        (1, "Via: SIP/2.0/TLS h:65535;branch=z9"),
        (2, "From: <sips:a.b_c+d@H:1>;tag=~!%*`'"),
        (3, "To: <sip:a@b>;tag=x"),
        (5, "CSeq: 000000001 MESSAGE"),
        (7, "Content-Length: 123456789"),
    )
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\r\n ", b"\t", b" ", b"\0", b"\xff", b":", b": ", b";", b"=",
    b"<", b">", b"@", b"0", b"65536", b"1234567890", b"Via", b"To: ", b";tag=", b";rport",
    b";branch=", b"sips:", b"sip:", b"SIP/2.0", b"X-GB-Ver: 3.0\r\n", b"A", b'"', b",", b"-", b"%",
]  # fmt: skip


@settings(max_examples=2000)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(
        st.tuples(st.integers(0, 700), st.integers(0, 3), st.sampled_from(PIECES)), max_size=3
    ),
    fields=st.integers(5, 12),
    cut=st.integers(0, 3),
)
def test_both_forms_read_the_same_heads(
    in_c: ModuleType,
    seed: bytes,
    changes: list[tuple[int, int, bytes]],
    fields: int,
    cut: int,
) -> None:
    data = bytearray(seed)
    for place, gone, piece in changes:
        data[place % (len(data) + 1) : place % (len(data) + 1) + gone] = piece
    end = len(data) - cut
    assert in_c.read_head(bytes(data), end, fields) == usual.read_head(bytes(data), end, fields)


def test_both_forms_read_real_messages_alike(in_c: ModuleType) -> None:
    texts = [path.read_bytes() for path in sorted(HERE.rglob("*.txt"))]
    messages = [
        piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n").strip()
        for text in texts
        for piece in re.split(rb"\n(?=[A-Z]+ sips?:)", text)
    ]
    usual_ones = 0
    for message in messages:
        end = message.find(b"\r\n\r\n")
        found = usual.read_head(message, end, 64)
        assert in_c.read_head(message, end, 64) == found
        usual_ones += found is not None
    assert usual_ones > 10


@pytest.mark.parametrize("end", [-1, 0, 1, 10**6])
def test_no_byte_behind_the_end_is_read(in_c: ModuleType, end: int) -> None:
    data = head(*LINES)
    assert (in_c.read_head(data, end, 20) is None) == (0 <= end < len(data))


@pytest.mark.parametrize("given", [(), (b"", 0), ("", 0, 0), (b"", "", 0), (b"", 2**70, 0)])
def test_other_arguments_are_refused(in_c: ModuleType, given: tuple[object, ...]) -> None:
    with pytest.raises((TypeError, OverflowError)):
        in_c.read_head(*given)


ADDRESSES = [
    ("<sip:34020000001320000001@3402000000>;tag=1", ("34020000001320000001", "1")),
    ("<sips:a@b:5061>", ("a", "")),
    ("<sip:a@b>;tag=", None),
    ("<sip:a@b:59999>;tag=2", ("a", "2")),
    ("<sip:a@b:60000>", None),
    ("<sip:a@b:01234>", None),
    ("<sip:a@b:123456>", None),
    ("<sip:a@b:>", None),
    ("<sip:@b>", None),
    ("<sip:a@b> ", None),
    ("<sip:a@b>;tag=1;x", None),
    ('"Gate" <sip:a@b>', None),
    ("sip:a@b", None),
    ("<sip:\u00e9@b>", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "found"), ADDRESSES)
def test_address(form: ModuleType, text: str, found: tuple[str, str] | None) -> None:
    assert form.read_address(text) == found


@given(st.lists(st.sampled_from([*'<>;:@=" .9aZ_\t', "sip:", "sips:", ";tag=", "a@b", "é"])))
def test_both_forms_read_the_same_addresses(in_c: ModuleType, pieces: list[str]) -> None:
    for text in ("".join(pieces), "<sip:a@b" + "".join(pieces), "<sip:a@b>;tag=" + "".join(pieces)):
        assert in_c.read_address(text) == usual.read_address(text)


PARAMETERS = [
    'username="1"', ' realm="x y"', "nonce=ab-1", "nc=00000001", 'uri="sip:a@b"', "qop=auth", "",
    'response=""', "opaque=", "x=1", "Nonce=1", 'cnonce="a,b"', 'stale="a\\"b"', "-", "=", '"',
    " algorithm = MD5", "algorithm=MD5 ", 'domain="é"', "realm=--", 'nonce=a"',
]  # fmt: skip


@settings(max_examples=500)
@given(
    parts=st.lists(st.sampled_from(PARAMETERS)), separator=st.sampled_from([",", ", ", " ,", ";"])
)
def test_both_forms_read_the_same_parameters(
    in_c: ModuleType, parts: list[str], separator: str
) -> None:
    text = separator.join(parts)
    assert in_c.read_parameters(text) == usual.read_parameters(text)


def test_parameters(form: ModuleType) -> None:
    text = 'username="1", realm="x y",nonce=ab-1, uri="sip:a@b:1", response=""'
    assert form.read_parameters(text) == {
        "username": "1", "realm": "x y", "nonce": "ab-1", "uri": "sip:a@b:1", "response": "",
    }  # fmt: skip
    assert form.read_parameters(text + ', realm="y"') is None
    assert form.read_parameters("") is None


def test_names_and_their_order_are_the_same_in_c(in_c: ModuleType) -> None:
    for name, rank in RANKS.items():
        written = in_c.write("a", [(name, "1")], b"")
        if name == "Content-Length":  # it is that of the body
            assert written is None
        else:
            assert written == f"a\r\n{name}: 1\r\nContent-Length: 0\r\n\r\n".encode()
        for other, higher in RANKS.items():
            if "Content-Length" not in (name, other):
                both = in_c.write("a", [(other, "1"), (name, "2")], b"")
                assert (both is None) == (higher > rank)
    assert in_c.write("a", [("X-Other", "1")], b"") is None


FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Via", "From", "To", "Call-ID", "CSeq", "Note", "via", "X-Y", "No te", ""]
        ),
        st.sampled_from(["", "x", "a b", "é", "\udcff", "a\r\nb", "\n", "\ud800"]),
    ),
    max_size=6,
)


@settings(max_examples=500)
@given(fields=FIELDS, reason=st.sampled_from(["OK", "", "é", "a\nb"]), body=st.binary(max_size=9))
def test_what_is_written_in_c_is_what_is_written_else(
    in_c: ModuleType, fields: list[tuple[str, str]], reason: str, body: bytes
) -> None:
    written = in_c.write(f"SIP/2.0 200 {reason}", fields, body)
    if written is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sip.message._native", None)
            assert written == Response(200, reason, Headers(fields), body).to_bytes()


@pytest.mark.parametrize("given", [(), ("a", [], ""), ("a", (), b""), (b"a", [], b"")])
def test_other_arguments_are_not_written(in_c: ModuleType, given: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        in_c.write(*given)
    assert in_c.write("a", [("Via",)], b"") is None
    assert in_c.write("a", [("Via", 1)], b"") is None
    assert in_c.write("a", ["Via"], b"") is None


def read_the_long_way(data: bytes) -> Request | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "read_head", lambda data, end, fields: None)
        return read(data)


def read(data: bytes) -> Request | str:
    try:
        message = parser.parse_datagram(data)
    except MalformedMessage as exc:
        return f"{exc.status} {exc}"
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize("via", [line for line in ODD[1:] if line.startswith("Via")])
def test_both_ways_find_the_same_transaction(via: str) -> None:
    data = "\r\n".join((LINES[0], via, *LINES[2:])).encode() + b"\r\n\r\n"
    one, other = read(data), read_the_long_way(data)
    assert isinstance(one, Request)
    assert isinstance(other, Request)
    assert server_key(one) == server_key(other)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(LINES[1:] + ODD), max_size=12), st.booleans())
def test_both_ways_agree(lines: list[str], has_needed: bool) -> None:
    needed = LINES[1:6] if has_needed else ()
    data = "\r\n".join((LINES[0], *needed, *lines)).encode() + b"\r\n\r\n"
    one, other = read(data), read_the_long_way(data)
    assert one == other
    if isinstance(one, Request) and isinstance(other, Request):
        assert (one.vias, one.cseq, one.from_, one.to) == (
            other.vias, other.cseq, other.from_, other.to,
        )  # fmt: skip
        assert (one.call_id, one.from_tag, one.to_tag) == (
            other.call_id, other.from_tag, other.to_tag,
        )  # fmt: skip
        assert server_key(one) == server_key(other)


def test_change_of_a_field_is_seen_in_its_typed_value() -> None:
    request = read(head(*LINES) + b"\r\n\r\n")
    assert isinstance(request, Request)
    request.headers.set("To", "<sip:34020000002000000001@3402000000>;tag=9")
    request.headers.set("Via", "SIP/2.0/TCP 192.0.2.7;branch=z9hG4bK-7")
    assert (request.to_tag, request.to.tag) == ("9", "9")
    assert request.top_via.transport == "TCP"
    assert request.cseq.number == 20
