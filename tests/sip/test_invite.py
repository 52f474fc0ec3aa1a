import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.call import INCOMING, OUTGOING, CallInput, CallState
from sip.errors import LocalProtocolError, MalformedMessage
from sip.events import (
    CallAcknowledged,
    CallAnswered,
    CallEnded,
    CallFailed,
    CallKey,
    CallProgress,
    CallRefused,
    CallReleased,
    CallUnacknowledged,
    Event,
    InviteCancelled,
    InviteReceived,
    RequestReceived,
    ResponseReceived,
)
from sip.flow import Flow
from sip.message import Headers, Request, make_response
from sip.parser import parse_datagram
from sip.stack import SipStack

A, B = ("192.0.2.1", 5060), ("192.0.2.10", 5060)


class Pair:
    """Two stacks joined by a list; ``drop`` decides what is lost. Delivery takes no time."""

    def __init__(self, transport: str = "udp") -> None:
        numbers = itertools.count(1)
        self.caller = SipStack(token=lambda: f"a{next(numbers)}")
        self.callee = SipStack(token=lambda: f"b{next(numbers)}")
        self.flow = Flow(transport, A, B)
        self.back = Flow(transport, B, A)
        self.now = 0.0
        self.wire: list[tuple[float, str, str]] = []
        self.drop: Callable[[str, str], bool] = lambda who, what: False
        self.bend: Callable[[bytes], bytes] = lambda data: data
        self.seen: dict[str, list[Event]] = {"caller": [], "callee": []}
        self.bytes: list[bytes] = []

    def settle(self) -> None:
        while True:
            moved = False
            for name, stack, other, back in (
                ("caller", self.caller, self.callee, self.back),
                ("callee", self.callee, self.caller, self.flow),
            ):
                for _, data in stack.outgoing():
                    moved = True
                    what = title(data)
                    self.wire.append((self.now, name, what))
                    self.bytes.append(data)
                    if not self.drop(name, what):
                        other.receive_data(back, self.bend(data), self.now)
                self.seen[name] += stack.events()
            if not moved:
                return

    def run_until(self, end: float) -> None:
        self.settle()
        while True:
            due = [t for s in (self.caller, self.callee) if (t := s.next_timeout()) is not None]
            if not due or min(due) > end:
                break
            self.now = min(due)
            self.caller.handle_timeout(self.now)
            self.callee.handle_timeout(self.now)
            self.settle()
        self.now = end

    def invite(self) -> CallKey:
        request = Request(
            "INVITE",
            "sip:34020000001320000001@192.0.2.10",
            Headers(
                [
                    ("From", "<sip:34020000002000000001@3402000000>;tag=3001"),
                    ("To", "<sip:34020000001320000001@3402000000>"),
                    ("Call-ID", "7001"),
                    ("CSeq", "20 INVITE"),
                    ("Contact", "<sip:34020000002000000001@192.0.2.1:5060>"),
                ]
            ),
            b"offer",
        )
        call = self.caller.calls.invite(request, self.flow, self.now)
        self.settle()
        return call

    def offered(self) -> InviteReceived:
        return [event for event in self.seen["callee"] if isinstance(event, InviteReceived)][-1]

    def respond(self, status: int) -> CallKey:
        offered = self.offered()
        contact = [("Contact", "<sip:34020000001320000001@192.0.2.10:5060>")]
        response = make_response(offered.request, status, to_tag="9001", headers=contact)
        self.callee.calls.respond(offered.call, response, self.now)
        self.settle()
        return offered.call

    def established(self) -> tuple[CallKey, CallKey]:
        ours = self.invite()
        theirs = self.respond(200)
        self.caller.calls.ack(ours, self.now)
        self.settle()
        return ours, theirs

    def sent(self, who: str, what: str) -> list[float]:
        return [when for when, name, sent in self.wire if (name, sent) == (who, what)]

    def kinds(self, who: str) -> list[type[Event]]:
        return [type(event) for event in self.seen[who] if not isinstance(event, CallProgress)]

    def is_clean(self) -> bool:
        return not any(self.caller.pending().values()) and not any(self.callee.pending().values())


def title(data: bytes) -> str:
    """The method of a request; status and method of a response; empty when it is neither."""
    try:
        message = parse_datagram(data)
    except MalformedMessage:
        return ""
    if isinstance(message, Request):
        return message.method
    return f"{message.status} {message.cseq.method}"


@pytest.mark.parametrize(
    ("table", "start"), [(OUTGOING, CallState.CALLING), (INCOMING, CallState.RINGING)]
)
def test_every_state_of_the_table_is_reached_and_can_end(
    table: dict[tuple[CallState, CallInput], tuple[CallState, tuple[object, ...]]],
    start: CallState,
) -> None:
    def walk(begin: CallState) -> set[CallState]:
        reached = {begin}
        for _ in CallState:
            reached |= {after for (state, _), (after, _) in table.items() if state in reached}
        return reached

    assert {state for state, _ in table} <= walk(start)
    for state in walk(start):
        assert CallState.ENDED in walk(state)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_call_without_loss(transport: str) -> None:
    pair = Pair(transport)
    ours, _ = pair.established()
    pair.caller.calls.bye(ours, pair.now, reason="done")
    pair.run_until(100.0)
    assert [(who, what) for _, who, what in pair.wire] == [
        ("caller", "INVITE"),
        ("callee", "100 INVITE"),
        ("callee", "200 INVITE"),
        ("caller", "ACK"),
        ("caller", "BYE"),
        ("callee", "200 BYE"),
    ]
    assert pair.kinds("caller") == [CallAnswered, CallEnded, CallReleased]
    assert pair.kinds("callee") == [InviteReceived, CallAcknowledged, CallEnded, CallReleased]
    ended = pair.seen["callee"][2]
    assert isinstance(ended, CallEnded)
    assert (ended.by, ended.text) == ("remote", "done")
    pair.caller.flow_lost(pair.flow, 100.0)
    pair.callee.flow_lost(pair.back, 100.0)
    assert pair.is_clean()


def test_lost_ack_lets_the_200_be_repeated_and_each_gets_the_same_ack() -> None:  # 13.2.2.4
    pair = Pair()
    pair.drop = lambda who, what: what == "ACK" and pair.now < 3.0
    pair.established()
    pair.run_until(20.0)
    assert pair.sent("callee", "200 INVITE") == [0.0, 0.5, 1.5, 3.5]
    assert pair.sent("caller", "ACK") == [0.0, 0.5, 1.5, 3.5]
    assert len({data for data in pair.bytes if data.startswith(b"ACK")}) == 1
    assert pair.kinds("callee").count(CallAcknowledged) == 1


def test_200_without_any_ack_ends_in_bye() -> None:  # RFC 3261 13.3.1.4
    pair = Pair()
    pair.drop = lambda who, what: what == "ACK"
    pair.established()
    pair.run_until(100.0)
    assert pair.sent("callee", "200 INVITE") == pytest.approx(
        [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    )
    assert pair.sent("callee", "BYE") == [32.0]
    assert CallUnacknowledged in pair.kinds("callee")
    assert pair.is_clean()


def test_cancel_before_the_answer() -> None:  # RFC 3261 9
    pair = Pair()
    ours = pair.invite()
    pair.caller.calls.cancel(ours, 0.0)
    pair.run_until(100.0)
    assert [what for _, _, what in pair.wire] == [
        "INVITE",
        "100 INVITE",
        "CANCEL",
        "200 CANCEL",
        "487 INVITE",
        "ACK",
    ]
    assert pair.kinds("callee") == [InviteReceived, InviteCancelled, CallReleased]
    assert pair.kinds("caller") == [CallRefused, CallReleased]
    assert pair.is_clean()


def test_cancel_waits_for_a_provisional_answer() -> None:  # RFC 3261 9.1
    pair = Pair()
    pair.drop = lambda who, what: who == "callee" and pair.now < 1.0
    ours = pair.invite()
    pair.caller.calls.cancel(ours, 0.0)
    pair.run_until(1.4)
    assert pair.sent("caller", "CANCEL") == []
    pair.run_until(100.0)
    assert pair.sent("caller", "CANCEL") == [1.5]
    assert pair.is_clean()


def test_200_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    pair = Pair()
    ours = pair.invite()
    pair.drop = lambda who, what: what == "200 INVITE" and pair.now < 0.4
    pair.respond(200)
    pair.caller.calls.cancel(ours, 0.0)
    pair.run_until(100.0)
    assert pair.sent("caller", "CANCEL") == [0.0]
    assert pair.sent("caller", "ACK")[:1] == [0.5]
    assert pair.sent("caller", "BYE") == [0.5]
    assert InviteCancelled not in pair.kinds("callee")
    assert CallAnswered not in pair.kinds("caller")
    assert pair.is_clean()


def test_cancelled_call_without_final_answer_is_given_up() -> None:  # RFC 3261 9.1
    pair = Pair()
    ours = pair.invite()
    pair.drop = lambda who, what: who == "callee"
    pair.caller.calls.cancel(ours, 0.0)
    pair.run_until(31.9)
    assert pair.kinds("caller") == []
    pair.run_until(32.0)
    assert pair.kinds("caller") == [CallFailed, CallReleased]


def test_silent_peer_is_given_up_after_timer_b() -> None:
    pair = Pair()
    pair.drop = lambda who, what: True
    pair.invite()
    pair.run_until(32.0)
    assert pair.kinds("caller") == [CallFailed, CallReleased]
    assert pair.is_clean()


def test_invite_that_our_user_forgets_is_refused() -> None:
    pair = Pair()
    pair.invite()
    pair.run_until(300.0)
    assert pair.sent("callee", "408 INVITE") == [180.0]
    assert pair.kinds("caller") == [CallRefused, CallReleased]
    assert pair.is_clean()


def test_both_leave_at_once() -> None:
    pair = Pair()
    ours, theirs = pair.established()
    pair.caller.calls.bye(ours, 0.0)
    pair.callee.calls.bye(theirs, 0.0)
    pair.run_until(100.0)
    for who in ("caller", "callee"):
        assert len(pair.sent(who, "BYE")) == 1
        assert pair.kinds(who).count(CallEnded) == 1
    assert len(pair.sent("caller", "200 BYE") + pair.sent("callee", "200 BYE")) == 2
    assert pair.is_clean()


def test_callee_that_leaves_early_sends_bye_after_the_ack() -> None:  # RFC 3261 15
    pair = Pair()
    ours = pair.invite()
    theirs = pair.respond(200)
    pair.callee.calls.bye(theirs, 0.0)
    pair.settle()
    assert pair.sent("callee", "BYE") == []
    pair.now = 1.0
    pair.caller.calls.ack(ours, 1.0)
    pair.settle()
    assert pair.sent("callee", "BYE") == [1.0]


def test_caller_that_leaves_before_its_ack_sends_ack_and_bye() -> None:
    pair = Pair()
    ours = pair.invite()
    pair.respond(200)
    pair.caller.calls.bye(ours, 0.0)
    pair.run_until(100.0)
    assert [what for _, who, what in pair.wire if who == "caller"] == ["INVITE", "ACK", "BYE"]
    assert pair.is_clean()


def test_requests_within_the_dialog_run_both_ways_with_rising_numbers() -> None:
    pair = Pair()
    ours, theirs = pair.established()
    pair.caller.calls.request(ours, "INFO", 0.0, body=b"PAUSE")
    pair.callee.calls.request(theirs, "MESSAGE", 0.0, body=b"<Notify/>")
    pair.settle()
    info = pair.seen["callee"][-1]
    assert isinstance(info, RequestReceived)
    assert (info.call, str(info.request.cseq)) == (theirs, "21 INFO")
    assert info.request.uri == "sip:34020000001320000001@192.0.2.10:5060"
    message = pair.seen["caller"][-1]
    assert isinstance(message, RequestReceived)
    assert (message.call, str(message.request.cseq)) == (ours, "1 MESSAGE")
    pair.callee.send_response(info.key, make_response(info.request, 200), 0.0)
    pair.settle()
    assert isinstance(pair.seen["caller"][-1], ResponseReceived)


def test_ack_without_our_tag_is_one() -> None:
    pair = Pair()
    ours = pair.invite()
    theirs = pair.respond(200)
    dialog = pair.caller.calls.dialog(ours)
    assert dialog is not None
    ack = dialog.ack(pair.offered().request)
    ack.headers.set("To", "<sip:34020000001320000001@3402000000>")
    ack.headers.prepend("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKack")
    stranger = ack.to_bytes().replace(b";tag=3001", b";tag=3002")
    pair.callee.receive_data(pair.back, stranger, 0.0)
    assert pair.callee.counters["stray_ack"] == 1
    pair.callee.receive_data(pair.back, ack.to_bytes(), 0.0)
    acknowledged = [event for event in pair.callee.events() if isinstance(event, CallAcknowledged)]
    assert [event.call for event in acknowledged] == [theirs]


@pytest.mark.parametrize("method", ["BYE", "INFO"])
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_peer_that_leaves_out_our_tag_is_understood(method: str, who: str) -> None:
    pair = Pair()
    ours, theirs = pair.established()
    peer, us, flow = (
        (pair.caller.calls.dialog(ours), pair.callee, pair.back)
        if who == "caller"
        else (pair.callee.calls.dialog(theirs), pair.caller, pair.flow)
    )
    assert peer is not None
    request = peer.request(method)
    request.headers.set("To", (request.headers.get("To") or "").partition(";tag")[0])
    request.headers.prepend("Via", "SIP/2.0/UDP h;branch=z9hG4bKx")
    us.receive_data(flow, request.to_bytes(), 0.0)
    kinds = [type(event) for event in us.events()]
    assert (CallEnded if method == "BYE" else RequestReceived) in kinds
    assert us.counters["unknown_dialog"] == 0


@pytest.mark.parametrize("tag", [b";tag=other", b""])
def test_device_that_changes_or_loses_its_tag_is_still_understood(tag: bytes) -> None:
    pair = Pair()
    _, theirs = pair.established()
    dialog = pair.callee.calls.dialog(theirs)
    assert dialog is not None
    request = dialog.request("BYE")
    request.headers.prepend("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKbye")
    pair.caller.receive_data(pair.flow, request.to_bytes().replace(b";tag=9001", tag), 0.0)
    assert [parse_datagram(data).cseq.method for _, data in pair.caller.outgoing()] == ["BYE"]
    ended = [event for event in pair.caller.events() if isinstance(event, CallEnded)]
    assert [event.by for event in ended] == ["remote"]


def test_481_within_a_call_ends_it() -> None:  # RFC 3261 12.2.1.2
    pair = Pair()
    ours, _ = pair.established()
    pair.caller.calls.request(ours, "INFO", 0.0)
    pair.settle()
    info = pair.seen["callee"][-1]
    assert isinstance(info, RequestReceived)
    pair.callee.send_response(info.key, make_response(info.request, 481), 0.0)
    pair.settle()
    ended = [event for event in pair.seen["caller"] if isinstance(event, CallEnded)]
    assert [(event.by, event.text) for event in ended] == [("lost", "481 to INFO")]
    with pytest.raises(LocalProtocolError):
        pair.caller.calls.request(ours, "INFO", 0.0)


def test_old_request_within_a_dialog_is_refused() -> None:  # RFC 3261 12.2.2
    pair = Pair()
    ours, _ = pair.established()
    pair.caller.calls.request(ours, "INFO", 0.0)
    dialog = pair.caller.calls.dialog(ours)
    assert dialog is not None
    dialog.local_sequence = 4
    pair.caller.calls.request(ours, "INFO", 0.0)
    pair.settle()
    assert len(pair.sent("callee", "500 INFO")) == 1


def test_reinvite_is_delivered_and_its_200_repeated_until_the_ack() -> None:  # RFC 3261 14.2
    pair = Pair()
    ours, theirs = pair.established()
    dialog = pair.caller.calls.dialog(ours)
    assert dialog is not None
    again = dialog.request("INVITE", body=b"offer")
    pair.caller.send_request(again, pair.flow, 0.0)
    pair.settle()
    incoming = pair.seen["callee"][-1]
    assert isinstance(incoming, RequestReceived)
    assert incoming.call == theirs
    answer = make_response(incoming.request, 200)
    pair.callee.calls.reinvites.answer(theirs, incoming.key, answer, 0.0)
    pair.run_until(1.6)
    assert pair.sent("callee", "200 INVITE")[-3:] == [0.0, 0.5, 1.5]
    pair.caller.send_ack(dialog.ack(again), pair.flow)
    pair.run_until(10.0)
    assert pair.sent("callee", "200 INVITE")[-1] == 1.5


def test_second_reinvite_before_the_first_is_answered_is_refused_for_now() -> None:
    pair = Pair()  # RFC 3261 14.2
    ours, theirs = pair.established()
    dialog = pair.caller.calls.dialog(ours)
    assert dialog is not None
    pair.caller.send_request(dialog.request("INVITE"), pair.flow, 0.0)
    pair.settle()
    first = pair.seen["callee"][-1]
    assert isinstance(first, RequestReceived)
    pair.caller.send_request(dialog.request("INVITE"), pair.flow, 0.0)
    pair.settle()
    refused = pair.seen["caller"][-1]
    assert isinstance(refused, ResponseReceived)
    assert (refused.response.status, refused.response.headers.get("Retry-After")) == (500, "0")
    assert pair.seen["callee"][-1] is first
    answer = make_response(first.request, 488)
    pair.callee.calls.reinvites.answer(theirs, first.key, answer, 0.0)
    pair.caller.send_request(dialog.request("INVITE"), pair.flow, 0.0)
    pair.settle()
    third = pair.seen["callee"][-1]
    assert isinstance(third, RequestReceived)
    assert str(third.request.cseq) == "23 INVITE"


def test_lost_flow_fails_an_unanswered_invite_and_withdraws_it_at_the_other_end() -> None:
    pair = Pair("tcp")
    pair.invite()
    pair.caller.flow_lost(pair.flow, 1.0)
    pair.callee.flow_lost(pair.back, 1.0)
    pair.settle()
    failed = [event for event in pair.seen["caller"] if isinstance(event, CallFailed)]
    assert [event.flow_lost for event in failed] == [True]
    assert InviteCancelled in pair.kinds("callee")
    assert pair.is_clean()


def test_call_survives_its_flow_and_moves_to_the_next() -> None:
    pair = Pair("tcp")
    ours, _ = pair.established()
    pair.now = 1.0
    pair.caller.flow_lost(pair.flow, 1.0)
    pair.caller.calls.move(ours, pair.flow)
    pair.caller.calls.bye(ours, 1.0)
    pair.run_until(100.0)
    assert pair.sent("callee", "200 BYE") == [1.0]


def test_second_answer_from_elsewhere_is_acknowledged_and_left() -> None:  # RFC 3261 13.2.2.4
    pair = Pair()
    pair.established()
    other = make_response(pair.offered().request, 200, to_tag="another")
    pair.caller.receive_data(pair.flow, other.to_bytes(), 0.0)
    sent = [parse_datagram(data) for _, data in pair.caller.outgoing()]
    assert [(m.method, m.to.tag) for m in sent if isinstance(m, Request)] == [
        ("ACK", "another"),
        ("BYE", "another"),
    ]
    assert pair.kinds("caller") == [CallAnswered]


def test_no_request_is_sent_within_a_call_that_does_not_stand() -> None:
    pair = Pair()
    ours = pair.invite()
    with pytest.raises(LocalProtocolError, match="outside an established call"):
        pair.caller.calls.request(ours, "INFO", 0.0)
    theirs = pair.respond(200)
    pair.caller.calls.ack(ours, 0.0)
    pair.settle()
    pair.callee.calls.bye(theirs, 0.0)
    with pytest.raises(LocalProtocolError, match="outside an established call"):
        pair.callee.calls.request(theirs, "INFO", 0.0)
    pair.settle()
    with pytest.raises(LocalProtocolError, match="over"):
        pair.caller.calls.request(ours, "INFO", 0.0)


@pytest.mark.parametrize("method", ["INVITE", "ACK", "BYE", "CANCEL"])
def test_what_has_its_own_verb_is_no_plain_request(method: str) -> None:
    pair = Pair()
    ours, _ = pair.established()
    with pytest.raises(LocalProtocolError, match=method):
        pair.caller.calls.request(ours, method, 0.0)


def test_answer_to_a_call_that_was_cancelled_meanwhile_is_counted() -> None:
    pair = Pair()
    ours = pair.invite()
    pair.caller.calls.cancel(ours, 0.0)
    pair.settle()
    pair.respond(200)
    assert pair.callee.counters["response_without_transaction"] == 1
    assert pair.sent("callee", "200 INVITE") == []


def test_call_that_is_over_takes_everything_and_tells_nothing() -> None:
    pair = Pair()
    ours, _ = pair.established()
    pair.caller.calls.bye(ours, 0.0)
    pair.settle()
    pair.caller.calls.move(ours, pair.flow)
    pair.caller.calls.bye(ours, 1.0)
    pair.caller.calls.cancel(ours, 1.0)
    assert pair.caller.calls.dialog(ours) is None
    assert pair.caller.calls.flow(ours) is None
    assert pair.caller.calls.ack_repeats(ours) == 0
    assert pair.caller.outgoing() == []


def test_ack_with_another_number_is_none_of_the_call() -> None:  # RFC 3261 13.2.2.4
    pair = Pair()
    ours = pair.invite()
    pair.respond(200)
    dialog = pair.caller.calls.dialog(ours)
    assert dialog is not None
    ack = dialog.request("ACK")
    assert str(ack.cseq) == "21 ACK"
    pair.caller.send_ack(ack, pair.flow)
    pair.settle()
    assert pair.callee.counters["stray_ack"] == 1
    assert CallAcknowledged not in pair.kinds("callee")


BROKEN_CONTACTS = ["<sip:34020000001320000001@", "sip:[::1", "<>"]


@pytest.mark.parametrize("contact", BROKEN_CONTACTS)
def test_200_whose_contact_cannot_be_read_is_a_call_at_the_asked_address(contact: str) -> None:
    pair = Pair()
    ours = pair.invite()
    offered = pair.offered()
    response = make_response(offered.request, 200, to_tag="9001", headers=[("Contact", contact)])
    pair.callee.calls.respond(offered.call, response, 0.0)
    pair.settle()
    pair.caller.calls.ack(ours, 0.0)
    pair.settle()
    assert pair.kinds("callee") == [InviteReceived, CallAcknowledged]
    dialog = pair.caller.calls.dialog(ours)
    assert dialog is not None
    assert dialog.remote_target == "sip:34020000001320000001@192.0.2.10"
    pair.caller.calls.bye(ours, 0.0)
    pair.run_until(100.0)
    assert pair.is_clean()


@pytest.mark.parametrize("contact", BROKEN_CONTACTS)
def test_invite_whose_contact_cannot_be_read_is_accepted(contact: str) -> None:
    pair = Pair()
    request = invite_with(contact)
    pair.caller.calls.invite(request, pair.flow, 0.0)
    pair.settle()
    theirs = pair.respond(200)
    dialog = pair.callee.calls.dialog(theirs)
    assert dialog is not None
    assert dialog.remote_target == "sip:34020000002000000001@3402000000"


def invite_with(contact: str) -> Request:
    fields = [
        ("From", "<sip:34020000002000000001@3402000000>;tag=3001"),
        ("To", "<sip:34020000001320000001@3402000000>"),
        ("Call-ID", "7001"),
        ("CSeq", "20 INVITE"),
        ("Contact", contact),
    ]
    return Request("INVITE", "sip:34020000001320000001@192.0.2.10", Headers(fields), b"offer")


_TEXT = st.text(st.characters(blacklist_characters="\r\n", max_codepoint=0x2FFF), max_size=40)
_PIECES = st.lists(
    st.sampled_from(["<", ">", "sip:", "a@b", "[::1]", ";lr", ";tag=1", '"', ",", ":", "@", " "])
).map("".join)


@given(st.sampled_from(["Contact", "Record-Route", "From", "To"]), _TEXT | _PIECES, st.booleans())
def test_no_header_makes_a_call_hang_or_raise(name: str, value: str, in_answer: bool) -> None:
    pair = Pair()

    def bend(data: bytes) -> bytes:
        if not data.startswith(b"SIP/2.0 200" if in_answer else b"INVITE"):
            return data
        head, _, body = data.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.startswith(name.encode() + b":")]
        return b"\r\n".join([*lines, f"{name}: {value}".encode(), b"", body])

    pair.bend = bend
    ours = pair.invite()
    if InviteReceived in pair.kinds("callee"):
        pair.respond(200)
        if CallAnswered in pair.kinds("caller"):
            pair.caller.calls.ack(ours, 0.0)
            pair.settle()
    for stack in (pair.caller, pair.callee):  # one may have been told a target that is none
        stack.calls.cancel(ours, pair.now)
        stack.calls.bye(ours, pair.now)
        pair.run_until(pair.now + 400.0)
    assert pair.is_clean()
