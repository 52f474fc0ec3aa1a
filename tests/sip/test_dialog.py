import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.dialog import LEFT_DIALOGS, Dialog, ForeignTags
from sip.errors import RemoteProtocolError
from sip.events import CallEnded, CallReleased, InviteReceived, RequestReceived
from sip.flow import Flow
from sip.message import Headers, Request, Response, make_response
from sip.overload import StackLimits
from sip.parser import parse_datagram
from sip.stack import SipStack

FLOW = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5060))


def invite() -> Request:
    return Request(
        "INVITE",
        "sip:34020000001320000001@192.0.2.10:5060",
        Headers(
            [
                ("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1"),
                ("Record-Route", "<sip:192.0.2.50;lr>"),
                ("Record-Route", "<sip:192.0.2.51;lr>"),
                ("From", "<sip:34020000002000000001@3402000000>;tag=3001"),
                ("To", "<sip:34020000001320000001@3402000000>"),
                ("Call-ID", "7001"),
                ("CSeq", "20 INVITE"),
                ("Contact", "<sip:34020000002000000001@192.0.2.1:5060>"),
            ]
        ),
    )


def pair() -> tuple[Dialog, Dialog]:
    request = invite()
    contact = [("Contact", "<sip:34020000001320000001@192.0.2.10:5070>")]
    response = make_response(request, 200, to_tag="9001", headers=contact)
    return Dialog.of_caller(request, response), Dialog.of_callee(request, response)


def test_both_ends_have_the_same_dialog_mirrored() -> None:  # RFC 3261 12.1
    caller, callee = pair()
    assert caller.id == ("7001", "3001", "9001")
    assert callee.id == ("7001", "9001", "3001")
    assert caller.remote_target == "sip:34020000001320000001@192.0.2.10:5070"
    assert callee.remote_target == "sip:34020000002000000001@192.0.2.1:5060"
    assert caller.local_uri == callee.remote_uri == "sip:34020000002000000001@3402000000"
    assert caller.route_set == ("<sip:192.0.2.51;lr>", "<sip:192.0.2.50;lr>")
    assert callee.route_set == ("<sip:192.0.2.50;lr>", "<sip:192.0.2.51;lr>")


def test_requests_count_on_from_the_invite_and_ack_repeats_its_number() -> None:
    caller, callee = pair()
    assert str(caller.request("INFO").cseq) == "21 INFO"
    assert str(caller.ack(invite()).cseq) == "20 ACK"
    assert str(caller.request("BYE").cseq) == "22 BYE"
    assert str(callee.request("BYE").cseq) == "1 BYE"


def test_older_request_is_refused_with_500() -> None:  # RFC 3261 12.2.2
    caller, callee = pair()
    first, second = caller.request("INFO"), caller.request("INFO")
    callee.accept(second)
    with pytest.raises(RemoteProtocolError) as caught:
        callee.accept(first)
    assert caught.value.status == 500


def test_reinvite_moves_the_target_and_other_requests_do_not() -> None:  # RFC 3261 12.2.2
    caller, callee = pair()
    caller.local_contact = "<sip:new@192.0.2.2:5080>"
    callee.accept(caller.request("INFO"))
    assert callee.remote_target == "sip:34020000002000000001@192.0.2.1:5060"
    callee.accept(caller.request("INVITE"))
    assert callee.remote_target == "sip:new@192.0.2.2:5080"


def test_answer_without_contact_and_tag_still_makes_a_dialog() -> None:
    request = invite()
    dialog = Dialog.of_caller(request, make_response(request, 200))
    assert dialog.remote_target == request.uri
    assert dialog.remote_tag == ""


def answered(*routes: str) -> Dialog:
    """Give the caller's dialog after an answer that came through these hops, nearest last."""
    fields = [("Contact", "<sip:cam@192.0.2.10>"), *(("Record-Route", route) for route in routes)]
    request = invite()
    request.headers.remove("Record-Route")
    return Dialog.of_caller(request, make_response(request, 200, to_tag="9001", headers=fields))


def test_hops_of_one_field_are_reversed_as_well() -> None:  # RFC 3261 12.1.2, 7.3.1
    dialog = answered("<sip:c;lr>, <sip:b;lr>", '"A, B" <sip:a;lr>;x="y,z"')
    assert dialog.route_set == ('"A, B" <sip:a;lr>;x="y,z"', "<sip:b;lr>", "<sip:c;lr>")
    assert dialog.request("BYE").headers.get_all("Route") == list(dialog.route_set)


def test_strict_router_is_written_into_the_request_line() -> None:  # RFC 3261 12.2.1.1
    bye = answered("<sip:b;lr>", "<sip:a;x=1;method=BYE?s=t>").request("BYE")
    assert bye.uri == "sip:a;x=1"
    assert bye.headers.get_all("Route") == ["<sip:b;lr>", "<sip:cam@192.0.2.10>"]


@pytest.mark.parametrize("route", ["<sip:a;lr>", "<sip:a;lr=on>", "<tel:1>", "<sip:a"])
def test_other_hops_leave_the_request_line_to_the_target(route: str) -> None:
    assert answered(route).request("INFO").uri == "sip:cam@192.0.2.10"


class Callee:
    """A stack whose tags begin with ``our``, and that takes those of others as initial ones."""

    def __init__(self, *, is_tolerant: bool = True, limits: StackLimits | None = None) -> None:
        numbers = itertools.count(1)
        self.stack = SipStack(
            token=lambda: f"our{next(numbers)}",
            accepts_tag=(lambda tag: not tag.startswith("our")) if is_tolerant else None,
            limits=limits,
        )
        self._branches = itertools.count(1)

    def take(
        self, method: str, *, to: str, number: int = 1, call_id: str = "7", expires: int = 600
    ) -> list[int]:
        """Take a request; return the statuses that it is answered with."""
        fields = [
            ("Via", f"SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK{next(self._branches)}"),
            ("From", "<sip:34020000001320000001@3402000000>;tag=theirs"),
            ("To", f"<sip:34020000002000000001@3402000000>;tag={to}"),
            ("Call-ID", call_id),
            ("CSeq", f"{number} {method}"),
            ("Contact", "<sip:34020000001320000001@192.0.2.10:5060>"),
        ]
        if method == "SUBSCRIBE":
            fields += [("Event", "Catalog"), ("Expires", str(expires))]
        request = Request(method, "sip:34020000002000000001@3402000000", Headers(fields))
        self.stack.receive_data(FLOW, request.to_bytes(), 0.0)
        return self.statuses()

    def statuses(self) -> list[int]:
        messages = [parse_datagram(data) for _, data in self.stack.outgoing()]
        return [one.status for one in messages if isinstance(one, Response)]

    def establish(self, *, to: str, call_id: str = "7") -> None:
        """Take an INVITE, accept it, take the ACK."""
        assert self.take("INVITE", to=to, call_id=call_id) == [100]
        (offered,) = self.stack.events()
        assert isinstance(offered, InviteReceived)
        answer = make_response(offered.request, 200, to_tag="our-answer")
        assert answer.to.tag == to
        self.stack.calls.respond(offered.call, answer, 0.0)
        self.take("ACK", to=to, call_id=call_id)
        self.stack.events()

    def subscribed(self, *, to: str) -> RequestReceived:
        """Take a SUBSCRIBE that is our user's to answer."""
        assert self.take("SUBSCRIBE", to=to) == []
        (received,) = self.stack.events()
        assert isinstance(received, RequestReceived)
        return received


def test_initial_invite_with_a_tag_of_the_peer_is_a_call_with_that_tag() -> None:  # spec 09 Q5c
    callee = Callee()
    callee.establish(to="early")
    assert callee.stack.counters["foreign_to_tag"] == 1
    assert callee.take("INFO", to="early", number=2) == []
    (within,) = callee.stack.events()
    assert isinstance(within, RequestReceived)
    assert within.call is not None
    assert callee.take("BYE", to="early", number=3) == [200]
    assert [type(event) for event in callee.stack.events()] == [CallEnded, CallReleased]


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE"])
def test_without_tolerance_a_tag_of_the_peer_is_answered_481(method: str) -> None:
    callee = Callee(is_tolerant=False)
    assert callee.take(method, to="early") == [481]
    assert callee.stack.events() == []


@pytest.mark.parametrize("method", ["INVITE", "SUBSCRIBE"])
def test_tag_of_ours_of_no_dialog_is_answered_481(method: str) -> None:  # RFC 3261 12.2.2
    callee = Callee()
    assert callee.take(method, to="our-of-the-day-before") == [481]
    assert callee.stack.events() == []


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "PRACK"])
def test_no_other_request_begins_a_dialog(method: str) -> None:
    callee = Callee()
    assert callee.take(method, to="early") == [481]
    assert callee.stack.events() == []


def test_reinvite_after_the_bye_is_no_new_call_whoever_chose_the_tag() -> None:
    callee = Callee()
    callee.establish(to="early")
    assert callee.take("BYE", to="early", number=2) == [200]
    callee.stack.events()
    assert callee.take("INVITE", to="early", number=3) == [481]
    assert callee.stack.events() == []


def test_late_reinvite_to_a_call_of_ours_is_no_new_call_whatever_our_tag_was() -> None:
    callee = Callee()
    call = callee.stack.calls.invite(invite(), FLOW, 0.0)
    ((_, data),) = callee.stack.outgoing()
    sent = parse_datagram(data)
    assert isinstance(sent, Request)
    answer = make_response(sent, 200, to_tag="theirs")
    callee.stack.receive_data(FLOW, answer.to_bytes(), 0.0)
    callee.stack.calls.ack(call, 0.0)
    callee.stack.outgoing()
    assert callee.take("BYE", to="3001", call_id="7001") == [200]
    assert callee.take("INVITE", to="3001", number=2, call_id="7001") == [481]


def test_next_call_may_have_the_same_tag_of_the_peer() -> None:
    callee = Callee()
    callee.establish(to="early")
    callee.establish(to="early", call_id="8")
    assert callee.take("BYE", to="early", number=2) == [200]
    callee.stack.events()
    callee.establish(to="early", call_id="9")
    assert len(callee.stack.calls) == 2


def test_reinvite_that_lost_our_tag_is_no_second_call() -> None:
    callee = Callee()
    callee.establish(to="early")
    assert callee.take("INVITE", to="other", number=2) == [481]
    assert len(callee.stack.calls) == 1


def test_two_calls_under_one_name_do_not_end_each_other() -> None:
    callee = Callee()
    for number in (1, 2):
        assert callee.take("INVITE", to="early", number=number) == [100]
    first, second = callee.stack.events()
    for offered in (first, second):
        assert isinstance(offered, InviteReceived)
        callee.stack.calls.respond(offered.call, make_response(offered.request, 200), 0.0)
    assert isinstance(first, InviteReceived)
    callee.stack.calls.bye(first.call, 0.0)
    for now in (40.0, 80.0):  # no ACK, then no answer to BYE
        callee.stack.handle_timeout(now)
        callee.stack.outgoing(), callee.stack.events()
    assert len(callee.stack.calls) == 0  # the second got no ACK either
    assert callee.take("BYE", to="early", number=3) == [481]


def test_subscription_with_a_tag_of_the_peer_stands_and_is_refreshed() -> None:
    callee = Callee()
    received = callee.subscribed(to="early")
    answer = make_response(received.request, 200, headers=[("Expires", "600")])
    key = callee.stack.notifier.accept(received.key, received.request, answer, FLOW, 0.0)
    assert callee.statuses() == [200]
    assert callee.take("SUBSCRIBE", to="early", number=2) == [200]
    callee.stack.events()
    callee.stack.notifier.terminate(key, 1.0)
    callee.stack.handle_timeout(40.0)
    callee.stack.outgoing(), callee.stack.events()
    assert len(callee.stack.notifier) == 0
    assert callee.take("SUBSCRIBE", to="early", number=3) == [481]  # RFC 6665 4.2.1.1


def test_end_of_a_subscription_that_nobody_knows_is_answered_481() -> None:
    callee = Callee()
    assert callee.take("SUBSCRIBE", to="early", expires=0) == [481]


def test_tag_of_the_peer_does_not_open_a_full_stack() -> None:
    callee = Callee(limits=StackLimits(calls=1, subscriptions=0))
    callee.establish(to="early")
    assert callee.take("INVITE", to="early", call_id="8") == [503]
    assert callee.take("SUBSCRIBE", to="early", call_id="9") == [503]


@settings(max_examples=10)
@given(st.lists(st.integers(0, 2 * LEFT_DIALOGS), max_size=50))
def test_memory_of_ended_dialogs_is_bounded_and_knows_the_last(ended: list[int]) -> None:
    tags = ForeignTags(lambda tag: tag == "early")
    for number in [*range(LEFT_DIALOGS), *ended]:
        tags.leave(
            Dialog(
                call_id=str(number),
                local_party="<sip:a>;tag=early",
                remote_party="<sip:b>",
                remote_target="sip:b",
            )
        )
    last = [*range(LEFT_DIALOGS), *ended][-1]
    assert not tags.accepts(late(str(last)))
    known = [not tags.accepts(late(str(n))) for n in range(2 * LEFT_DIALOGS + 1)]
    assert sum(known) == LEFT_DIALOGS


def late(call_id: str) -> Request:
    fields = [("Call-ID", call_id), ("To", "<sip:a>;tag=early")]
    return Request("INVITE", "sip:a", Headers(fields))
