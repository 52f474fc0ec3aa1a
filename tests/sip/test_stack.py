import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.errors import LocalProtocolError
from sip.events import (
    CallAcknowledged,
    CallAnswered,
    FlowBroken,
    FlowLost,
    InviteReceived,
    RequestReceived,
    ResponseReceived,
    TransactionFlowLost,
    TransactionTimedOut,
)
from sip.flow import Flow
from sip.message import Headers, Request, Response, make_response
from sip.overload import StackLimits
from sip.parser import parse_datagram
from sip.stack import SipStack

UDP = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5062))
TCP = Flow("tcp", ("192.0.2.1", 5060), ("192.0.2.10", 40000))
BACK = Flow("udp", UDP.remote, UDP.local)


def stack(limits: StackLimits | None = None) -> SipStack:
    numbers = itertools.count(1)
    return SipStack(token=lambda: f"t{next(numbers)}", limits=limits)


def message(method: str = "MESSAGE", *, to: str = "", number: int = 1) -> Request:
    return Request(
        method,
        "sip:34020000002000000001@3402000000",
        Headers(
            [
                ("From", "<sip:34020000001320000001@3402000000>;tag=1001"),
                ("To", f"<sip:34020000002000000001@3402000000>{to}"),
                ("Call-ID", "5001"),
                ("CSeq", f"{number} {method}"),
            ]
        ),
    )


def on_wire(request: Request, via: str = "SIP/2.0/UDP 10.0.0.8:5060;branch=z9hG4bK1") -> bytes:
    request.headers.prepend("Via", via)
    return request.to_bytes()


def only_response(of: SipStack) -> Response:
    ((_, data),) = of.outgoing()
    response = parse_datagram(data)
    assert isinstance(response, Response)
    return response


def test_request_and_answer() -> None:
    client, server = stack(), stack()
    key = client.send_request(message("REGISTER"), UDP, 0.0)
    ((flow, data),) = client.outgoing()
    assert flow == UDP
    server.receive_data(BACK, data, 0.0)
    (received,) = server.events()
    assert isinstance(received, RequestReceived)
    server.send_response(received.key, make_response(received.request, 401, to_tag="9"), 0.0)
    ((flow, data),) = server.outgoing()
    assert flow == BACK
    client.receive_data(UDP, data, 0.1)
    (answered,) = client.events()
    assert isinstance(answered, ResponseReceived)
    assert (answered.key, answered.response.status) == (key, 401)
    client.handle_timeout(100.0)
    server.handle_timeout(100.0)
    assert not any(client.pending().values())
    assert not any(server.pending().values())


def test_via_asks_for_rport_and_has_a_fresh_branch() -> None:  # RFC 3581 3, RFC 3261 8.1.1.7
    client = stack()
    client.send_request(message(), UDP, 0.0)
    client.send_request(message(number=2), UDP, 0.0)
    vias = [parse_datagram(data).vias[0] for _, data in client.outgoing()]
    assert all(via.wants_rport and via.branch.startswith("z9hG4bK") for via in vias)
    assert (vias[0].host, vias[0].port, vias[0].transport) == ("192.0.2.1", 5060, "UDP")
    assert vias[0].branch != vias[1].branch


@pytest.mark.parametrize(
    ("via", "answered"),
    [
        ("10.0.0.8:5060;rport;branch=z9hG4bK1", ("192.0.2.10", "5062")),
        ("10.0.0.8:5060;branch=z9hG4bK1", ("192.0.2.10", None)),
        ("192.0.2.10:5062;branch=z9hG4bK1", (None, None)),
        ("192.0.2.10:5060;rport;branch=z9hG4bK1", ("192.0.2.10", "5062")),
    ],
)
def test_source_is_written_into_the_via(via: str, answered: tuple[str | None, str | None]) -> None:
    server = stack()  # RFC 3261 18.2.1, RFC 3581 4
    request = message()
    request.headers.add("Via", "SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKolder")
    server.receive_data(UDP, on_wire(request, f"SIP/2.0/UDP {via}"), 0.0)
    (received,) = server.events()
    assert isinstance(received, RequestReceived)
    server.send_response(received.key, make_response(received.request, 200), 0.0)
    top, older = only_response(server).vias
    assert (top.parameters.get("received"), top.parameters.get("rport")) == answered
    assert older.branch == "z9hG4bKolder"


def test_each_hop_gets_its_via_back_to_the_letter() -> None:  # RFC 3261 8.2.6.2
    server = stack()
    request = message()
    request.headers.add("v", "SIP/2.0/UDP 10.9.9.9:5060 ;Branch=z9hG4bKb;X=y, SIP / 2.0 / TCP c")
    server.receive_data(UDP, on_wire(request, "SIP/2.0/UDP h ;Branch=z9hG4bKa;rport=;hidden"), 0.0)
    (received,) = server.events()
    assert isinstance(received, RequestReceived)
    server.send_response(received.key, make_response(received.request, 200), 0.0)
    assert only_response(server).headers.get_all("Via") == [
        "SIP/2.0/UDP h ;Branch=z9hG4bKa;hidden;rport=5062;received=192.0.2.10",
        "SIP/2.0/UDP 10.9.9.9:5060 ;Branch=z9hG4bKb;X=y",
        "SIP / 2.0 / TCP c",
    ]


def test_repeated_request_is_delivered_once_and_answered_again() -> None:
    server = stack()
    data = on_wire(message())
    server.receive_data(UDP, data, 0.0)
    server.receive_data(UDP, data, 0.5)
    (received,) = server.events()
    assert server.outgoing() == []
    assert isinstance(received, RequestReceived)
    server.send_response(received.key, make_response(received.request, 200), 1.0)
    server.receive_data(UDP, data, 1.5)
    assert len(server.outgoing()) == 2
    assert server.counters["retransmitted_in"] == 2


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE"])
def test_request_for_an_unknown_dialog_is_answered_481(method: str) -> None:
    server = stack()
    server.receive_data(UDP, on_wire(message(method, to=";tag=77")), 0.0)
    assert only_response(server).status == 481
    assert server.events() == []


def test_message_and_options_with_an_unknown_tag_are_delivered() -> None:
    server = stack()
    for number, method in enumerate(("MESSAGE", "OPTIONS", "NOTIFY")):
        server.receive_data(UDP, on_wire(message(method, to=";tag=77", number=number)), 0.0)
    assert len(server.events()) == 3


@pytest.mark.parametrize("method", ["MESSAGE", "INVITE", "BYE", "OPTIONS"])
def test_what_requires_an_unknown_extension_is_answered_420(method: str) -> None:
    server = stack()  # RFC 3261 8.2.2.3, RFC 4475 3.3.6
    request = message(method)
    request.headers.add("Require", "100rel, nothingSupportsThis")
    request.headers.add("Require", "Timer")
    server.receive_data(UDP, on_wire(request), 0.0)
    response = only_response(server)
    assert response.status == 420
    assert response.headers.get_all("Unsupported") == ["100rel, nothingSupportsThis, Timer"]
    assert response.to_tag
    assert server.events() == []


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [("gzip", b"\x1f\x8b", 415), ("identity, GZIP", b"x", 415), ("identity", b"x", 0),
     ("gzip", b"", 0), ("", b"x", 0)],
)  # fmt: skip
def test_packed_body_is_answered_415(encoding: str, body: bytes, status: int) -> None:
    server = stack()  # RFC 3261 8.2.3
    request = message()
    request.headers.add("e", encoding)
    request.body = body
    server.receive_data(UDP, on_wire(request), 0.0)
    assert bool(server.events()) == (status == 0)
    if status:
        response = only_response(server)
        assert response.status == status
        assert response.headers.get("Accept-Encoding") == "identity"


def test_extensions_that_our_user_serves_may_be_required() -> None:
    server = SipStack(token=lambda: "t", extensions=["Timer", "100rel"])
    request = message()
    request.headers.add("Require", "timer,100REL")
    server.receive_data(UDP, on_wire(request), 0.0)
    assert [type(event) for event in server.events()] == [RequestReceived]


@pytest.mark.parametrize(
    ("uri", "is_served"),
    [
        ("nobodyKnowsThisScheme:totallyopaquecontent", False),
        ("soap.beep://192.0.2.103:3002", False),
        ("http://h", False),
        ("tel:+1-201-555-0123", True),
        ("SIP:a@h", True),
        ("34020000002000000001@3402000000", True),
        ("34020000002000000001@192.0.2.1:5060", True),
        ("platform:5060", True),
        ("3402000000", True),
    ],
)
def test_unknown_scheme_is_answered_416(uri: str, is_served: bool) -> None:
    server = stack()  # RFC 3261 8.2.2.1, RFC 4475 3.3.2 and 3.3.3
    request = message()
    request.uri = uri
    server.receive_data(UDP, on_wire(request), 0.0)
    assert bool(server.events()) is is_served
    if not is_served:
        assert only_response(server).status == 416


def test_cancel_of_nothing_is_answered_481_and_a_stray_ack_is_dropped() -> None:
    server = stack()
    server.receive_data(UDP, on_wire(message("CANCEL")), 0.0)
    assert only_response(server).status == 481
    server.receive_data(UDP, on_wire(message("ACK", to=";tag=77", number=2)), 0.0)
    assert server.outgoing() == []
    assert server.counters["stray_ack"] == 1


def test_stray_response_is_counted() -> None:
    client = stack()
    request = message()
    on_wire(request)
    client.receive_data(UDP, make_response(request, 200).to_bytes(), 0.0)
    assert client.counters["stray_response"] == 1
    assert client.events() == []


def test_malformed_request_is_answered_400() -> None:
    server = stack()
    data = on_wire(message()).replace(b"CSeq: 1 MESSAGE", b"CSeq: 1 INVITE")
    server.receive_data(UDP, data, 0.0)
    assert only_response(server).status == 400
    assert server.counters["malformed"] == 1


def test_too_many_transactions_are_turned_away() -> None:
    server = stack(StackLimits(transactions=1))
    server.receive_data(UDP, on_wire(message()), 0.0)
    server.receive_data(UDP, on_wire(message(number=2)), 0.0)
    response = only_response(server)
    assert (response.status, response.headers.get("Retry-After")) == (503, "10")
    assert len(server.events()) == 1


class Doorman:
    """An admission that knows one flow, and turns nobody away itself."""

    retry_after = 10

    def knows(self, flow: Flow) -> bool:
        return flow == UDP

    def admits(self, flow: Flow, request: Request, now: float, *, is_whole: bool = True) -> bool:
        return "Busy" not in request.headers

    def may_refuse(self, now: float) -> bool:
        return now < 50.0

    def settle(self, flow: Flow, request: Request, response: Response, now: float) -> None:
        """Not looked at."""

    def malformed(self, flow: Flow, now: float) -> bool:
        return True


def test_strangers_do_not_take_the_room_of_known_peers() -> None:
    server = SipStack(token=lambda: "t", limits=StackLimits(transactions=2), admission=Doorman())
    other = Flow("udp", UDP.local, ("192.0.2.66", 5060))
    for number, (flow, is_served) in enumerate(
        [(other, True), (other, True), (other, False), (UDP, True), (UDP, True), (UDP, False)], 1
    ):
        server.receive_data(flow, on_wire(message(number=number)), 0.0)
        assert bool(server.events()) is is_served, number


def test_storm_of_refusals_is_not_answered() -> None:
    server = guarded(transactions=0)
    server.receive_data(TCP, on_wire(message()), 0.0)
    assert only_response(server).status == 503
    server.receive_data(TCP, on_wire(message(number=2)), 60.0)
    assert server.outgoing() == []


def test_large_heads_take_the_room_of_several() -> None:
    server = stack(StackLimits(transactions=8))
    for number in range(1, 5):
        request = message(number=number)
        request.headers.add("Subject", "x" * 12_300)
        server.receive_data(UDP, on_wire(request), 0.0)
    assert len(server.events()) == 2
    server.handle_timeout(100.0)
    for number in range(11, 19):
        server.receive_data(UDP, on_wire(message(number=number)), 100.0)
    assert len(server.events()) == 8


def guarded(**limits: int) -> SipStack:
    return SipStack(token=lambda: "t", limits=StackLimits(**limits), admission=Doorman())  # type: ignore[arg-type]  # numbers


def test_who_is_turned_away_hears_so_before_his_body_is_read() -> None:
    server = guarded()
    busy = message()
    busy.headers.add("Busy", "yes")
    busy.body = bytes(3000)
    data, after = on_wire(busy), on_wire(message(number=2))
    head = data.index(b"\r\n\r\n") + 4
    server.receive_data(TCP, data[:head], 0.0)
    response = only_response(server)
    assert (response.status, response.headers.get("Retry-After")) == (503, "10")
    assert not server.is_between_messages(TCP)
    for place in range(head, len(data), 1000):
        server.receive_data(TCP, data[place : place + 1000], 0.0)
    assert server.is_between_messages(TCP)
    server.receive_data(TCP, after, 0.0)
    assert [type(event) for event in server.events()] == [RequestReceived]


def test_strangers_announce_no_more_than_there_is_room_for() -> None:
    server = guarded(bodies=5000)
    request = message()
    request.body = bytes(3000)
    data = on_wire(request)
    flows = [Flow("tcp", TCP.local, (TCP.remote[0], port)) for port in range(3)]
    for flow in flows[:2]:
        server.receive_data(flow, data[:-1], 0.0)
    assert only_response(server).status == 503  # to the second
    assert server.events() == []
    server.flow_lost(flows[0], 0.0)
    server.receive_data(flows[2], data, 0.0)
    assert RequestReceived in [type(event) for event in server.events()]


def test_body_of_an_answer_to_nothing_is_not_read() -> None:
    server = guarded()
    request = message()
    on_wire(request)
    stray = make_response(request, 200, body=bytes(100_000)).to_bytes()
    server.receive_data(TCP, stray[:500], 0.0)
    assert server.counters["stray_response"] == 1
    server.receive_data(TCP, stray[500:] + on_wire(message(number=2)), 0.0)
    assert len(server.events()) == 1


def test_body_of_an_answer_that_is_waited_for_is_read() -> None:
    client = guarded()
    key = client.send_request(message(), TCP, 0.0)
    ((_, data),) = client.outgoing()
    sent = parse_datagram(data)
    assert isinstance(sent, Request)
    client.receive_data(TCP, make_response(sent, 200, body=bytes(3000)).to_bytes(), 0.0)
    (received,) = client.events()
    assert isinstance(received, ResponseReceived)
    assert (received.key, len(received.response.body)) == (key, 3000)


def test_busy_stack_reads_what_belongs_to_a_call_or_a_subscription() -> None:
    server = guarded()
    for number, method in enumerate(("INVITE", "SUBSCRIBE"), 1):
        begin = message(method, number=number)
        begin.headers.set("Call-ID", method)
        begin.headers.add("Expires", "600")
        server.receive_data(TCP, on_wire(begin), 0.0)
        (event,) = server.events()
        answer = make_response(begin, 200, to_tag="ours", headers=[("Expires", "600")])
        if isinstance(event, InviteReceived):
            server.calls.respond(event.call, answer, 0.0)
        else:
            assert isinstance(event, RequestReceived)
            server.notifier.accept(event.key, event.request, answer, TCP, 0.0)
        server.outgoing()
        within = message("INFO" if method == "INVITE" else method, to=";tag=ours", number=3)
        within.headers.set("Call-ID", method)
        within.headers.add("Busy", "yes")
        within.body = bytes(3000)
        server.receive_data(TCP, on_wire(within), 0.0)
        assert "turned_away" not in server.counters
        assert len(server.events()) == 1


def test_to_tag_alone_does_not_get_past_the_doorman() -> None:
    server = guarded()
    for number, method in enumerate(("MESSAGE", "INFO", "SUBSCRIBE", "NOTIFY", "INVITE")):
        request = message(method, to=";tag=made-up", number=number)
        request.headers.add("Busy", "yes")
        server.receive_data(UDP, on_wire(request), 0.0)
        assert only_response(server).status == 503, method
    assert server.events() == []


class Deaf(Doorman):
    """An admission that owes nobody an answer to garbage."""

    def malformed(self, flow: Flow, now: float) -> bool:
        return False


def test_garbage_of_a_source_that_sent_too_much_of_it_is_not_answered() -> None:
    server = SipStack(token=lambda: "t", admission=Deaf())
    seen: list[Flow] = []
    server.on_malformed = seen.append
    server.receive_data(UDP, on_wire(message()).replace(b"1 MESSAGE", b"1 INVITE"), 0.0)
    assert server.outgoing() == []
    assert seen == [UDP]


def test_ack_that_repeats_the_branch_of_its_invite_is_one() -> None:
    server = stack()
    invite = message("INVITE")
    data = on_wire(invite)
    server.receive_data(UDP, data, 0.0)
    (offered,) = server.events()
    assert isinstance(offered, InviteReceived)
    server.calls.respond(offered.call, make_response(invite, 200, to_tag="ours"), 0.0)
    ack = on_wire(message("ACK", to=";tag=ours"))
    server.receive_data(UDP, ack.replace(b"tag=ours", b"tag=theirs"), 0.0)
    assert server.counters["stray_ack"] == 1
    server.receive_data(UDP, ack, 0.0)
    assert [type(event) for event in server.events()] == [CallAcknowledged]


def test_second_final_answer_is_an_error_and_one_after_the_end_is_counted() -> None:
    server = stack()
    server.receive_data(UDP, on_wire(message()), 0.0)
    (received,) = server.events()
    assert isinstance(received, RequestReceived)
    response = make_response(received.request, 200)
    server.send_response(received.key, response, 0.0)
    with pytest.raises(LocalProtocolError):
        server.send_response(received.key, response, 0.0)
    server.handle_timeout(32.0)
    server.send_response(received.key, response, 33.0)
    assert server.counters["response_without_transaction"] == 1


def test_blank_lines_keep_a_flow_alive() -> None:  # RFC 5626 3.5.1
    server = stack()
    server.receive_data(TCP, b"\r\n\r\n", 0.0)
    assert server.outgoing() == [(TCP, b"\r\n")]
    server.receive_data(UDP, b"\r\n\r\n", 0.0)
    server.receive_data(UDP, b"\0\0\0\0", 0.0)
    assert server.outgoing() == []
    assert server.counters["malformed"] == 0


def test_each_message_is_shown_whole_however_it_came() -> None:
    server, shown = stack(), list[bytes]()
    server.on_received = lambda flow, data, now: shown.append(data)
    good, broken = on_wire(message()), on_wire(message(number=2)).replace(b"CSeq: 2", b"CSeq: x")
    data = b"\r\n\r\n" + good + broken + b"no SIP\r\n\r\n"
    for place in range(len(data)):
        server.receive_data(TCP, data[place : place + 1], 0.0)
    assert shown == [good, broken, b"no SIP\r\n\r\n"]
    shown.clear()
    server.receive_data(UDP, good + b"tail", 0.0)
    assert shown == [good + b"tail"]


def test_flood_of_blank_lines_is_answered_once() -> None:
    server = stack()
    server.receive_data(TCP, b"\r\n" * 1000, 0.0)
    assert server.outgoing() == [(TCP, b"\r\n")]


def test_stream_is_cut_into_messages_wherever_the_segments_end() -> None:
    server = stack()
    data = on_wire(message()) + b"\r\n" + on_wire(message(number=2))
    for place in range(len(data)):
        server.receive_data(TCP, data[place : place + 1], 0.0)
    assert len(server.events()) == 2


def test_broken_framing_closes_the_flow() -> None:
    server = stack()
    data = on_wire(message()).replace(b"Content-Length: 0", b"Content-Length: x")
    server.receive_data(TCP, data, 0.0)
    assert [type(event) for event in server.events()] == [FlowBroken]


def test_lost_flow_fails_what_is_under_way_on_it_alone() -> None:
    client = stack()
    lost = client.send_request(message(), TCP, 0.0)
    client.send_request(message(number=2), UDP, 0.0)
    client.flow_lost(TCP, 1.0)
    assert client.events() == [
        TransactionFlowLost(key=lost, flow=TCP),
        FlowLost(flow=TCP),
    ]
    assert client.pending()["client"] == 1


def test_request_without_answer_times_out() -> None:
    client = stack()
    key = client.send_request(message(), UDP, 0.0)
    while (when := client.next_timeout()) is not None:
        client.handle_timeout(when)
    assert client.events() == [TransactionTimedOut(key=key, method="MESSAGE")]
    assert len(client.outgoing()) == 11
    assert not any(client.pending().values())


def test_abandoned_request_is_silent() -> None:
    client = stack()
    client.abandon(client.send_request(message(), UDP, 0.0), 0.1)
    assert client.next_timeout() is None
    assert not any(client.pending().values())


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.2, 0.6]),
    st.sampled_from(["MESSAGE", "INVITE"]),
    st.sampled_from([200, 486]),
)
def test_any_loss_and_duplication_ends_with_nothing_left(
    seed: int, loss: float, method: str, status: int
) -> None:
    chance = random.Random(seed)
    client, server = stack(), stack()
    request = message(method)
    call = None
    if method == "INVITE":
        call = client.calls.invite(request, UDP, 0.0)
    else:
        client.send_request(request, UDP, 0.0)
    now, steps = 0.0, 0
    wire: list[Packet] = []
    while steps < 2000:
        steps += 1
        for sender, receiver, flow in ((client, server, BACK), (server, client, UDP)):
            for _, data in sender.outgoing():
                for _ in range(chance.choice((1, 1, 2))):
                    if chance.random() >= loss:
                        delay = chance.uniform(0.001, 0.3)
                        wire.append((now + delay, len(wire) + steps, receiver, flow, data))
        answer_events(client, server, status, now)
        if client._outgoing or server._outgoing:
            continue
        times = [when for when, *_ in wire]
        times += [when for s in (client, server) if (when := s.next_timeout()) is not None]
        if not times:
            if call is None:
                break
            # Between 100 and a final answer that is lost a caller waits until he gives up.
            client.calls.cancel(call, now)
            call = None
            continue
        now = max(now, min(times))
        deliver(wire, now)
        client.handle_timeout(now)
        server.handle_timeout(now)
    assert not any(client.pending().values())
    assert not any(server.pending().values())
    assert client.counters["malformed"] == server.counters["malformed"] == 0


Packet = tuple[float, int, SipStack, Flow, bytes]


def deliver(wire: list[Packet], now: float) -> None:
    for packet in sorted(wire, key=lambda p: p[:2]):
        if packet[0] <= now:
            wire.remove(packet)
            packet[2].receive_data(packet[3], packet[4], now)


def answer_events(client: SipStack, server: SipStack, status: int, now: float) -> None:
    for event in server.events():
        if isinstance(event, RequestReceived):
            server.send_response(event.key, make_response(event.request, status), now)
        elif isinstance(event, InviteReceived):
            response = make_response(event.request, status, to_tag="9")
            server.calls.respond(event.call, response, now)
        elif isinstance(event, CallAcknowledged):
            server.calls.bye(event.call, now)
    for answered in client.events():
        if isinstance(answered, CallAnswered):
            client.calls.ack(answered.call, now)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans(), st.randoms(use_true_random=False))
def test_no_bytes_make_a_stack_raise(junk: bytes, is_stream: bool, chance: random.Random) -> None:
    flow = TCP if is_stream else UDP
    server = stack()
    data = bytearray(on_wire(message(chance.choice(["INVITE", "ACK", "BYE", "CANCEL", "INFO"]))))
    for byte in junk:
        data[chance.randrange(len(data))] = byte
    server.receive_data(flow, bytes(data), 0.0)
    server.receive_data(flow, junk, 0.0)
    server.handle_timeout(1000.0)
