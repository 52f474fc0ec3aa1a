"""The called side: which offers are served, and how."""

from __future__ import annotations

import pytest

from gb28181.media.answer import HISTORY, LIVE, Declined, Subject, answer_to, judge_offer
from gb28181.sdp import MediaTransport, parse_sdp
from gb28181.ssrc import Ssrc
from sip.message import Headers, Request

UDP = """v=0
o=34020000002000000001 0 0 IN IP4 192.0.2.20
s=Play
c=IN IP4 192.0.2.20
t=0 0
m=video 30000 RTP/AVP 98 97
a=recvonly
a=rtpmap:97 PS/90000
a=rtpmap:98 H264/90000
y=0200000001
"""
TCP = UDP.replace("RTP/AVP", "TCP/RTP/AVP")


def invite(body: str, content_type: str = "APPLICATION/SDP") -> Request:
    headers = Headers([("Content-Type", content_type)] if content_type else [])
    return Request("INVITE", "sip:x@y", headers, body.replace("\n", "\r\n").encode())


def test_ps_is_chosen_wherever_it_stands() -> None:
    offer = judge_offer(invite(UDP))
    assert (offer.mode, offer.payload.number) == ("udp", 97)
    assert offer.remote == ("192.0.2.20", 30000)


@pytest.mark.parametrize(
    ("line", "mode"),
    [("a=setup:passive\n", "tcp-active"), ("a=setup:active\n", "tcp-passive"), ("", "tcp-active")],
)
def test_the_roles_of_tcp_are_the_other_way_round(line: str, mode: str) -> None:
    offer = judge_offer(invite(TCP.replace("y=", line + "y=")))
    assert offer.mode == mode
    answer = answer_to(offer, origin_id="3402", host="192.0.2.1", port=40000, ssrc=Ssrc(7))
    read = parse_sdp(answer.to_bytes())
    assert read.transport is MediaTransport.TCP
    assert read.setup == ("active" if mode == "tcp-active" else "passive")
    assert read.connection == "new"


def test_the_answer_names_one_payload_and_our_ssrc() -> None:
    answer = answer_to(
        judge_offer(invite(UDP)), origin_id="3402", host="192.0.2.1", port=40000, ssrc=Ssrc(7)
    )
    text = answer.to_bytes().decode()
    assert "m=video 40000 RTP/AVP 97\r\n" in text
    assert "a=sendonly\r\n" in text
    assert "y=0000000007\r\n" in text
    assert "a=setup" not in text


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (invite(UDP, "text/plain"), 415),
        (invite("hello"), 400),
        (invite(UDP.replace("s=Play", "s=Playback")), 488),
        (invite(UDP.replace("PS/90000", "AV1/90000")), 488),
        (invite(UDP.replace("30000", "0")), 488),
    ],
)
def test_what_cannot_be_served_is_declined(request_: Request, status: int) -> None:
    with pytest.raises(Declined) as told:
        judge_offer(request_)
    assert told.value.status == status


PLAYBACK = UDP.replace("s=Play", "s=Playback").replace("t=0 0", "t=1714521600 1714525200")
EVERY = LIVE | HISTORY


def test_a_recording_is_played_where_it_is_served() -> None:
    offer = judge_offer(invite(PLAYBACK), sessions=EVERY)
    assert offer.is_history
    answer = answer_to(offer, origin_id="3402", host="192.0.2.1", port=40000, ssrc=Ssrc(7), size=9)
    read = parse_sdp(answer.to_bytes())
    assert (read.name, read.start, read.end) == ("Playback", 1714521600, 1714525200)
    assert read.attributes == {"filesize": "9"}
    assert not judge_offer(invite(UDP), sessions=EVERY).is_history


@pytest.mark.parametrize(
    "times", ["0 0", "5 4", "5 5", "0 9", "5 999999999999999", "5 99999999999999999", "", "a b"]
)
def test_a_recording_needs_a_time_that_can_be(times: str) -> None:
    body = PLAYBACK.replace("1714521600 1714525200", times)
    with pytest.raises(Declined) as told:
        judge_offer(invite(body), sessions=EVERY)
    assert told.value.status == 488


@pytest.mark.parametrize(
    ("line", "speed"),
    [("downloadspeed:4", 4.0), ("downloadspeed: 0.5", 0.5), ("downloadspeed:9999", 64.0),
     ("downloadspeed:0", 1.0), ("downloadspeed:-1", 1.0), ("downloadspeed:x", 1.0), ("x", 1.0)],
)  # fmt: skip
def test_the_speed_of_a_download_is_read(line: str, speed: float) -> None:
    body = PLAYBACK.replace("y=", f"a={line}\ny=")
    assert judge_offer(invite(body), sessions=EVERY).download_speed == speed


@pytest.mark.parametrize(
    ("line", "number"),
    [("streamnumber:1", 1), ("streamnumber:0", 0), ("streamnumber:2", 2), ("stream:1", 1),
     ("streamprofile:1", 1), ("streamMode:SUB", 1), ("streammode:main", 0), ("streamMode:x", 0),
     ("streamnumber:99999999", 99), ("x:1", 0)],
)  # fmt: skip
def test_a_stream_is_selected_in_everybodys_words(line: str, number: int) -> None:
    assert judge_offer(invite(UDP.replace("y=", f"a={line}\ny="))).stream_number == number


def test_an_offer_without_a_content_type_is_read() -> None:
    assert judge_offer(invite(UDP, "")).mode == "udp"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A:1,B:2", ("A", "1", "B", "2")),
        (" A:1 , B:2 ", ("A", "1", "B", "2")),
        ("A", ("A", "", "", "")),
        ("A:1", ("A", "1", "", "")),
        (None, ("", "", "", "")),
    ],
)
def test_a_subject_is_read_leniently(text: str | None, expected: tuple[str, str, str, str]) -> None:
    subject = Subject.parse(text)
    assert expected == (
        subject.sender_id,
        subject.sender_serial,
        subject.receiver_id,
        subject.receiver_serial,
    )
