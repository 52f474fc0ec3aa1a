"""Bodies as families of devices write them."""

from __future__ import annotations

from typing import Any

import pytest

from gb28181.habits import Habits
from gb28181.wire.bodies import bend_body, is_large
from gb28181.wire.description import bend_answer

ITEM = (
    "<Item><DeviceID>1</DeviceID><Name>门</Name><Address>a</Address><Parental>0</Parental>"
    "<ParentID>2</ParentID><CivilCode>340200</CivilCode><Status>ON</Status></Item>"
)
BODY = (
    '<?xml version="1.0" encoding="GB2312"?>\r\n<Response>\r\n<CmdType>Catalog</CmdType>\r\n'
    "<SN>17</SN>\r\n<SumNum>2</SumNum>\r\n<Time>2026-01-02T03:04:05</Time>\r\n"
    f'<DeviceList Num="2">{ITEM}{ITEM}</DeviceList>\r\n<Info>x</Info>\r\n</Response>\r\n'
).encode("gb18030")


@pytest.mark.parametrize(
    ("habits", "found"),
    [
        ({"raw_address": "A & B <x\x01"}, "<Address>A & B <x\x01</Address>"),
        ({"status_words": ("OK", "OFFLINE")}, "<Status>OK</Status>"),
        ({"parental": "65535"}, "<Parental>65535</Parental>"),
        ({"parent_id": "9/"}, "<ParentID>9/2</ParentID>"),
        ({"civil_code": "null"}, "<CivilCode>null</CivilCode>"),
        ({"lower_info": True}, "<info>x</info>"),
        ({"num_blanks": True}, 'Num=" 2 "'),
        ({"num_surplus": 3}, 'Num="5"'),
        ({"doubles_end_tags": True}, "</DeviceList>\r\n</DeviceList>"),
        ({"attribute_names": True}, '<Response CmdType="Catalog" SN="17">'),
        ({"date_style": "blank"}, ">2026-01-02 03:04:05<"),
        ({"date_style": "short"}, ">2026-1-2T3:4:5<"),
        ({"date_style": "zone"}, ">2026-01-02T03:04:05+08:00<"),
        ({"date_style": "ms"}, ">2026-01-02T03:04:05.123<"),
    ],
)
def test_a_body_is_bent(habits: dict[str, Any], found: str) -> None:
    text = bend_body(BODY, Habits(**habits)).decode("gb18030")
    assert found in text
    assert found not in BODY.decode("gb18030")


def test_an_end_tag_is_lost_in_large_answers_alone() -> None:
    bent = bend_body(BODY, Habits(loses_end_tags=True)).decode("gb18030")
    assert (bent.count("<Name>"), bent.count("</Name>")) == (2, 1)
    small = BODY.replace(ITEM.encode("gb18030"), b"", 1)
    assert is_large(BODY)
    assert not is_large(small)
    assert bend_body(small, Habits(loses_end_tags=True)) == small


def test_charsets_are_written_and_declared_apart() -> None:
    lying = bend_body(BODY, Habits(writes_charset="UTF-8"))
    assert b'encoding="GB2312"' in lying
    assert "门".encode() in lying
    bare = bend_body(BODY, Habits(declares_charset=""))
    assert bare.startswith(b"<Response>")
    assert b"GB18030" in bend_body(BODY, Habits(declares_charset="GB18030"))


def test_lines_end_with_lf_alone_and_one_stands_before() -> None:
    bent = bend_body(BODY, Habits(bare_lf=True))
    assert bent.startswith(b"\n<?xml")
    assert b"\r" not in bent


def test_a_clock_that_is_off_shifts_every_time() -> None:
    assert b">2026-01-01T19:04:05<" in bend_body(BODY, Habits(), clock_offset=-8 * 3600.0)


def test_a_sum_is_wrong_for_searches_alone() -> None:
    habits = Habits(sum_num_surplus=2)
    assert b"<SumNum>2<" in bend_body(BODY, habits)
    assert b"<SumNum>4<" in bend_body(BODY.replace(b">Catalog<", b">RecordInfo<"), habits)


def test_a_position_gets_the_form_of_2022() -> None:
    body = (
        b'<?xml version="1.0" encoding="GB2312"?>\r\n<Notify><CmdType>MobilePosition</CmdType>'
        b"<SN>1</SN><DeviceID>34020000001320000001</DeviceID><Time>2026-01-02T03:04:05</Time>"
        b"<Longitude>118.3</Longitude><Latitude>31.3</Latitude><Speed>36</Speed></Notify>"
    )
    bent = bend_body(body, Habits(position_list=True))
    assert b'<SumNum>1</SumNum><DeviceList Num="1"><Item>' in bent
    assert b"<CaptureTime>2026-01-02T03:04:05</CaptureTime>" in bent
    assert bent.count(b"<Longitude>") == 1


def test_answers_to_queries_are_named_otherwise() -> None:
    download = b"<Response><CmdType>ConfigDownload</CmdType><BasicParam></BasicParam></Response>"
    assert b"<VideoParamOpt>" in bend_body(download, Habits(config_answer="VideoParamOpt"))
    home = b"<Response><CmdType>HomePositionQuery</CmdType></Response>"
    assert b"<CmdType>HomePosition<" in bend_body(home, Habits(home_position_answer=True))


SDP = (
    b"v=0\r\no=1 0 0 IN IP4 10.0.0.9\r\ns=Play\r\nc=IN IP4 10.0.0.9\r\nt=0 0\r\n"
    b"m=video 30000 TCP/RTP/AVP 96\r\na=rtpmap:96 PS/90000\r\ny=0200000001\r\n"
)


@pytest.mark.parametrize(
    ("habits", "found"),
    [
        ({"answer_y": "0000000000"}, b"y=0000000000"),
        ({"answer_y": "own"}, b"y=0987654321"),
        ({"answer_host": "0.0.0.0"}, b"c=IN IP4 0.0.0.0"),
        ({"answer_payloads": True}, b"AVP 96 98 97 8\r\n"),
        ({"answer_udp": True}, b"m=video 30000 RTP/AVP 96"),
        ({"answer_filesize": True}, b"a=filesize:-1"),
    ],
)
def test_an_answer_is_bent(habits: dict[str, Any], found: bytes) -> None:
    assert found in bend_answer(SDP, Habits(**habits))
    assert found not in SDP


def test_an_answer_may_lack_its_y() -> None:
    assert b"y=" not in bend_answer(SDP, Habits(answer_y=""))
    assert bend_answer(SDP, Habits()) == SDP
