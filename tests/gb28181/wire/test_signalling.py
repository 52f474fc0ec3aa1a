"""What a device with habits sends and hears, message by message."""

from __future__ import annotations

import pytest

from gb28181.edition import Edition
from gb28181.habits import Habits
from gb28181.manscdp.alarm import AlarmNotify
from gb28181.manscdp.catalog import CatalogItem, CatalogResponse
from gb28181.manscdp.codec import encode
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.wire.draft import Draft
from gb28181.wire.signalling import Signalling

DEVICE, CHANNEL, SERVER = "34020000001320000001", "34020000001320000002", "34020000002000000001"


def message(
    method: str, body: bytes = b"", *, to: str = SERVER, tag: str = "", extra: str = ""
) -> bytes:
    head = (
        f"{method} sip:{to}@3402000000 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 10.0.0.9:5060;rport;branch=z9hG4bK1\r\n"
        f"From: <sip:{DEVICE}@3402000000>;tag=1\r\n"
        f"To: <sip:{to}@3402000000>{tag}\r\n"
        f"Call-ID: call\r\nCSeq: 7 {method}\r\n"
        f"Contact: <sip:{DEVICE}@10.0.0.9:5060>\r\n{extra}"
        f"Content-Type: Application/MANSCDP+xml\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def response(method: str, status: int = 200, body: bytes = b"") -> bytes:
    draft = Draft.parse(message(method, body))
    assert draft is not None
    draft.start = f"SIP/2.0 {status} Whatever"
    draft.set("To", f"{draft.get('To')};tag=2")
    return draft.to_bytes()


def keepalive() -> bytes:
    body = encode(KeepaliveNotify(sn="4", device_id=DEVICE, status="OK"), Edition.GB2016)
    return message("MESSAGE", body)


def catalog(count: int = 3) -> bytes:
    items = tuple(CatalogItem(device_id=f"3402000000132{n:07d}", name="门") for n in range(count))
    answer = CatalogResponse(sn="9", device_id=DEVICE, sum_num=count, items=items)
    return message("MESSAGE", encode(answer, Edition.GB2016))


def query(cmd_type: str, rest: str = "", target: str = DEVICE, root: str = "Query") -> bytes:
    body = (
        f'<?xml version="1.0"?>\r\n<{root}><CmdType>{cmd_type}</CmdType><SN>1</SN>'
        f"<DeviceID>{target}</DeviceID>{rest}</{root}>"
    )
    return message("MESSAGE", body.encode(), to=DEVICE)


def sent(habits: Habits, data: bytes) -> Draft:
    (piece,) = Signalling(habits).outgoing(data).sent
    draft = Draft.parse(piece.data)
    assert draft is not None
    return draft


def test_a_device_without_habits_passes_every_byte() -> None:
    for data in (keepalive(), catalog(), b"\r\n\r\n", b"\x00\x01", response("INVITE")):
        bent = Signalling(Habits()).outgoing(data)
        assert [piece.data for piece in bent.sent] == [data]
        assert bent.heard == []
        assert Signalling(Habits()).incoming(data).heard == [data]


def test_headers_are_bent_where_the_habit_says() -> None:
    register = message("REGISTER")
    moved = sent(Habits(contact_host="192.168.1.64"), register)
    assert moved.get("Contact") == f"<sip:{DEVICE}@192.168.1.64:5060>"
    assert moved.get("Via").startswith("SIP/2.0/UDP 192.168.1.64:5060;")
    assert "rport" not in sent(Habits(omits_rport=True), register).get("Via")
    assert sent(Habits(route_header=True), register).get("Route").endswith(";lr>")
    assert sent(Habits(early_to_tag=True), register).get("To").endswith(";tag=early")
    other = sent(Habits(notify_from=CHANNEL), keepalive())
    assert CHANNEL in other.get("From")
    assert sent(Habits(content_type="text/xml"), keepalive()).get("Content-Type") == "text/xml"


def test_a_heartbeat_that_is_not_sent_is_answered_to_the_device() -> None:
    bent = Signalling(Habits(silent_after_register=True)).outgoing(keepalive())
    assert bent.sent == []
    (heard,) = bent.heard
    assert heard.startswith(b"SIP/2.0 200 OK")
    assert b"CSeq: 7 MESSAGE" in heard


def test_a_second_registration_stays_inside() -> None:
    wire = Signalling(Habits(registers_once=True))
    assert wire.outgoing(message("REGISTER")).sent
    wire.incoming(response("REGISTER"))
    again = wire.outgoing(message("REGISTER"))
    assert again.sent == []
    assert again.heard[0].startswith(b"SIP/2.0 200")
    (heard,) = wire.incoming(response("MESSAGE", 403)).heard
    assert heard.startswith(b"SIP/2.0 200")


def test_no_alarm_before_the_guard_is_set() -> None:
    wire = Signalling(Habits(arms_first=True))
    notice = AlarmNotify(
        sn="1", device_id=DEVICE, priority="1", method="2", time="2026-01-01T00:00:00"
    )
    alarm = message("MESSAGE", encode(notice, Edition.GB2016))
    assert wire.outgoing(alarm).sent == []
    wire.incoming(query("DeviceControl", "<GuardCmd>SetGuard</GuardCmd>", root="Control"))
    assert len(wire.outgoing(alarm).sent) == 1


def test_a_search_without_a_type_is_not_answered() -> None:
    wire = Signalling(Habits(record_needs_type=True))
    refused = wire.incoming(query("RecordInfo"))
    assert refused.heard == []
    assert refused.sent[0].data.startswith(b"SIP/2.0 200")
    assert wire.incoming(query("RecordInfo", "<Type>all</Type>")).heard


def test_a_configuration_for_a_channel_is_not_answered() -> None:
    wire = Signalling(Habits(config_needs_device=True))
    assert wire.incoming(query("DeviceConfig", target=CHANNEL, root="Control")).heard == []
    assert wire.incoming(query("DeviceConfig", root="Control")).heard


def test_commands_that_it_does_not_know_are_taken_and_forgotten() -> None:
    wire = Signalling(Habits(silent_commands=frozenset({"PTZPosition"})))
    assert wire.incoming(query("PTZPosition")).heard == []
    assert wire.incoming(query("Catalog")).heard


def test_what_is_too_large_is_lost() -> None:
    wire = Signalling(Habits(largest_request=400))
    assert wire.incoming(query("Catalog", "x" * 400)).heard == []
    assert wire.incoming(query("Catalog", "x" * 400)).sent == []


def test_a_speed_is_taken_and_ignored() -> None:
    wire = Signalling(Habits(ignores_speed=True))
    fast = message("INFO", b"PLAY RTSP/1.0\r\nCSeq: 2\r\nScale: 4.0\r\n\r\n", tag=";tag=5")
    assert wire.incoming(fast).heard == []
    assert wire.incoming(fast).sent[0].data.startswith(b"SIP/2.0 200")
    pause = message("INFO", b"PAUSE RTSP/1.0\r\nCSeq: 3\r\n\r\n", tag=";tag=5")
    assert wire.incoming(pause).heard == [pause]


def test_the_first_calls_are_refused_and_their_acks_swallowed() -> None:
    wire = Signalling(Habits(invite_refusals=("486 Busy Here;one viewer",)))
    refused = wire.incoming(message("INVITE"))
    assert refused.heard == []
    assert refused.sent[0].data.startswith(b"SIP/2.0 486 Busy Here")
    assert b'Warning: 399 device "one viewer"' in refused.sent[0].data
    assert wire.incoming(message("ACK")).heard == []
    second = message("INVITE").replace(b"Call-ID: call", b"Call-ID: other")
    assert wire.incoming(second).heard == [second]


def test_a_subscription_is_refused() -> None:
    bent = Signalling(Habits(refuses_subscribe=489)).incoming(message("SUBSCRIBE"))
    assert bent.heard == []
    assert bent.sent[0].data.startswith(b"SIP/2.0 489")


def test_a_bye_is_answered_as_told() -> None:
    assert sent(Habits(bye_status=481), response("BYE")).status == 481
    assert sent(Habits(bye_status=481), response("MESSAGE")).status == 200


def test_a_call_is_answered_late_and_without_a_word_before() -> None:
    wire = Signalling(Habits(omits_trying=True, answer_delay=12.0))
    assert wire.outgoing(response("INVITE", 100)).sent == []
    (piece,) = wire.outgoing(response("INVITE")).sent
    assert piece.delay == 12.0


def test_media_starts_with_the_answer() -> None:
    bent = Signalling(Habits(media_before_ack=True)).outgoing(response("INVITE"))
    (heard,) = bent.heard
    assert heard.startswith(b"ACK ")
    assert b"CSeq: 7 ACK" in heard
    assert bent.sent[0].delay > 0


@pytest.mark.parametrize(
    ("contact", "found"), [("", ""), ("<sip:x@192.168.0.2>", "<sip:x@192.168.0.2>")]
)
def test_the_contact_of_an_answer(contact: str, found: str) -> None:
    assert sent(Habits(answer_contact=contact), response("INVITE")).get("Contact") == found


def test_the_first_large_answer_is_cut_and_its_repetition_too() -> None:
    wire = Signalling(Habits(cuts_catalog=True))
    first = wire.outgoing(catalog())
    assert len(first.sent) == 2
    assert Draft.parse(first.sent[1].data) is None
    assert len(wire.outgoing(catalog()).sent) == 2
    later = catalog().replace(b"branch=z9hG4bK1", b"branch=z9hG4bK2")
    assert len(wire.outgoing(later).sent) == 1


def test_the_first_large_answer_is_corrupted() -> None:
    (piece,) = Signalling(Habits(corrupts_catalog=True)).outgoing(catalog()).sent
    assert b"\xff\xfe" in piece.data


def test_an_item_comes_again_under_the_number_before() -> None:
    now, late = Signalling(Habits(late_duplicate=True)).outgoing(catalog()).sent
    assert late.delay > 0
    assert b"<SN>8</SN>" in late.data
    assert b"<SN>9</SN>" in now.data
    assert b"Call-ID: callx1" in late.data


def test_what_it_says_unasked() -> None:
    wire = Signalling(Habits(register_flood=1.0))
    assert wire.surplus_register() is None
    assert wire.probe() is None
    wire.outgoing(message("REGISTER"))
    first, second = wire.surplus_register(), wire.surplus_register()
    assert first is not None
    assert first != second
    probe = wire.probe()
    assert probe is not None
    assert probe.startswith(b"OPTIONS ")
    assert b"CSeq: 1 OPTIONS" in probe
    assert Draft.parse(wire.noise()) is None
