import pytest

from sip.dialog import Dialog
from sip.errors import RemoteProtocolError
from sip.message import Headers, Request, make_response


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
