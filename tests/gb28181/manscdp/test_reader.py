"""Odd forms of real messages: every field is found, and every bend is told."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.manscdp.catalog import CatalogInfo, CatalogItem, CatalogResponse
from gb28181.manscdp.codec import Decoded, decode
from gb28181.manscdp.ptz_state import CruiseTrack, HomePositionResponse, PtzPositionResponse
from gb28181.manscdp.reader import Reader
from gb28181.manscdp.record import RecordInfoQuery, RecordInfoResponse
from gb28181.manscdp.repair import Repairs
from gb28181.manscdp.schema import Element, plan_of
from gb28181.manscdp.storage import SdCard


def read(root: str, cmd_type: str, inner: str) -> Decoded:
    head = f"<CmdType>{cmd_type}</CmdType><SN>1</SN><DeviceID>2</DeviceID>"
    return decode(f"<{root}>{head}{inner}</{root}>".encode())


def fields(decoded: Decoded, *names: str) -> tuple[Any, ...]:
    return tuple(getattr(decoded.message, name) for name in names)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("20240501080000", "2024-05-01T08:00:00"),
        ("20240501T080000", "2024-05-01T08:00:00"),
        ("1714521600", "2024-05-01T08:00:00"),
        ("1714521600000", "2024-05-01T08:00:00"),
        ("2024年5月1日 08:00:00", "2024-05-01T08:00:00"),
        ("2024年05月01日8时00分00秒", "2024-05-01T08:00:00"),
        ("2024.05.01 08:00:00", "2024-05-01T08:00:00"),
        ("2024-05-01T08-00-00", "2024-05-01T08:00:00"),
        ("2024-05-01T08:00:00:250", "2024-05-01T08:00:00.250"),
        ("2024-05-01T00:00:00Z", "2024-05-01T08:00:00"),
        ("2024-05-01T08:00:00+8", "2024-05-01T08:00:00"),
        ("2024-05-01 08:00:00 CST", "2024-05-01T08:00:00"),
        ("2024-05-01T08:00:00GMT+8", "2024-05-01T08:00:00"),
    ],
)
def test_odd_times_are_read_and_told(written: str, value: str) -> None:
    decoded = read("Query", "RecordInfo", f"<StartTime>{written}</StartTime>")
    assert fields(decoded, "start_time", "extra") == (value, ())
    assert f"StartTime: {written!r} read as {value!r}" in decoded.repairs


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2024-05-01 08:00:00", "2024-05-01T08:00:00"),
        ("2024-5-1T8:0:0", "2024-05-01T08:00:00"),
        ("2024-05-01T08:00:00.000", "2024-05-01T08:00:00"),
        ("2024-05-01T08:00:00+08:00", "2024-05-01T08:00:00"),
        ("2024-05-01T24:00:00", "2024-05-02T00:00:00"),
        ("2024-05-01T23:59:60", "2024-05-02T00:00:00"),
    ],
)
def test_usual_times_need_no_remark(written: str, value: str) -> None:
    decoded = read("Query", "RecordInfo", f"<EndTime>{written}</EndTime>")
    assert decoded.message == RecordInfoQuery(sn="1", device_id="2", end_time=value)
    assert decoded.repairs == ()


@pytest.mark.parametrize(
    "written", ["N/A", "0000-00-00T00:00:00", "2024-05-01T25:00:00", "2024-05-01T08"]
)
def test_what_is_no_time_is_kept_as_text(written: str) -> None:
    decoded = read("Query", "RecordInfo", f"<StartTime>{written}</StartTime>")
    assert fields(decoded, "start_time", "extra") == (
        None,
        (Element(name="StartTime", text=written),),
    )
    assert decoded.repairs == (f"StartTime: {written!r} is not a time, kept as text",)


def test_numbers_with_units_are_read_and_told() -> None:
    decoded = read(
        "Response",
        "SDCardStatus",
        "<SumNum>1</SumNum><SDCardStatusInfo Num='1'><Item><ID>0x2</ID><Status>ok</Status>"
        "<FormatProgress>50 %</FormatProgress><Capacity>131072MB</Capacity>"
        "<FreeSpace>655.5</FreeSpace></Item></SDCardStatusInfo>",
    )
    card = SdCard(id=2, status="ok", format_progress=50, capacity=131072, free_space=655)
    assert fields(decoded, "items") == ((card,),)
    assert decoded.repairs == (
        "ID: '0x2' read as 2",
        "FormatProgress: '50 %' read as 50",
        "Capacity: '131072MB' read as 131072",
        "FreeSpace: '655.5' read as 655",
    )


def test_positions_with_units_and_sides_are_read_and_told() -> None:
    decoded = read(
        "Notify",
        "MobilePosition",
        "<Longitude>118.37W</Longitude><Latitude>31,33</Latitude><Speed>12.5km/h</Speed>"
        "<Direction>N/A</Direction>",
    )
    assert fields(decoded, "longitude", "latitude", "speed") == (-118.37, 31.33, 12.5)
    assert fields(decoded, "direction", "extra") == (None, (Element(name="Direction", text="N/A"),))
    assert len(decoded.repairs) == 4


def test_words_for_flags_are_read_and_told() -> None:
    item = "<Item><DeviceID>3</DeviceID><Parental>TRUE</Parental><Secrecy>no</Secrecy></Item>"
    decoded = read("Response", "Catalog", f"<SumNum>1</SumNum><DeviceList>{item}</DeviceList>")
    assert fields(decoded, "items") == ((CatalogItem(device_id="3", parental=1, secrecy=0),),)
    assert "Parental: 'TRUE' read as 1" in decoded.repairs


def test_a_word_outside_a_closed_set_is_taken_and_told() -> None:
    decoded = read("Response", "DeviceStatus", "<Online>MAYBE</Online>")
    assert fields(decoded, "online") == ("MAYBE",)
    assert decoded.repairs == ("Online: 'MAYBE' is not ONLINE or OFFLINE, taken as it is",)


def test_what_belongs_into_info_is_read_beside_it() -> None:
    item = "<Item><DeviceID>3</DeviceID><PTZType>1</PTZType><Vendor>x</Vendor></Item>"
    decoded = read("Response", "Catalog", f"<SumNum>1</SumNum><DeviceList>{item}</DeviceList>")
    vendor = Element(name="Vendor", text="x")
    item_read = CatalogItem(device_id="3", info=CatalogInfo(ptz_type="1"), extra=(vendor,))
    assert fields(decoded, "items") == ((item_read,),)


def test_two_blocks_of_one_name_are_read_as_one_unless_they_disagree() -> None:
    start = "<SumNum>1</SumNum><DeviceList Num='1'><Item><DeviceID>3</DeviceID>"
    end = "</Item></DeviceList>"
    one, other = "<Info><PTZType>1</PTZType></Info>", "<Info><RoomType>2</RoomType></Info>"
    decoded = read("Response", "Catalog", start + one + other + end)
    assert fields(decoded, "items")[0][0].info == CatalogInfo(ptz_type="1", room_type="2")
    assert decoded.repairs == ("Info is there more than once, read as one",)
    decoded = read("Response", "Catalog", start + one + one.replace("1", "3") + end)
    assert fields(decoded, "items")[0][0].info == CatalogInfo(ptz_type="1")
    assert decoded.repairs == ("Info is there more than once, the first counts",)


def test_an_attribute_in_place_of_an_element_is_read_also_below_the_message() -> None:
    decoded = read(
        "Notify",
        "Alarm",
        "<AlarmPriority>1</AlarmPriority><AlarmMethod>2</AlarmMethod>"
        "<AlarmTime>2024-05-01T08:00:00</AlarmTime><Info AlarmType='6' Level='3'>note</Info>",
    )
    assert fields(decoded, "alarm_type", "extra_info") == ("6", ("note",))
    assert fields(decoded, "extra") == ((Element(name="Info", attributes=(("Level", "3"),)),),)
    assert decoded.repairs == ("Info/AlarmType read from an attribute",)


@pytest.mark.parametrize(
    "inner",
    [
        "<SumNum>1</SumNum><RecordList Num='1'><Item><DeviceID>3</DeviceID></Item></RecordList>",
        "<SumNum>1</SumNum><Item><DeviceID>3</DeviceID></Item>",
        "<SumNum>1</SumNum><RecordList><Items><Item><DeviceID>3</DeviceID></Item></Items>"
        "</RecordList>",
        "<SumNum>1</SumNum><RecordInfoList><Item><DeviceID>3</DeviceID></Item></RecordInfoList>",
        "<SumNum>1</SumNum><recordlist><ITEM DeviceID='3'/></recordlist>",
    ],
)
def test_items_are_found_whatever_stands_around_them(inner: str) -> None:
    message = read("Response", "RecordInfo", inner).message
    assert isinstance(message, RecordInfoResponse)
    assert [item.device_id for item in message.items] == ["3"]


def test_tracks_called_items_are_found() -> None:
    track = "<Item><Number>1</Number><Name>n</Name></Item>"
    decoded = read(
        "Response",
        "CruiseTrackListQuery",
        f"<SumNum>1</SumNum><CruiseTrackList Num='1'>{track}</CruiseTrackList>",
    )
    assert fields(decoded, "items") == ((CruiseTrack(number=1, name="n"),),)
    assert decoded.repairs == ()


def test_a_message_inside_another_element_is_found() -> None:
    inner = "<Notify><CmdType>Keepalive</CmdType><SN>1</SN><DeviceID>2</DeviceID></Notify>"
    decoded = decode(f"<Message>{inner}</Message>".encode())
    assert decoded.message.cmd_type == "Keepalive"
    assert decoded.repairs == ("Message: the element around the message ignored",)


def test_why_a_query_failed_is_read() -> None:
    inner = "<Result>ERROR</Result><Reason>not supported</Reason>"
    assert read("Response", "PTZPosition", inner).message == PtzPositionResponse(
        sn="1", device_id="2", result="ERROR", reason="not supported"
    )


def test_the_home_position_is_read_under_its_short_name() -> None:
    inner = "<HomePosition><Enabled>1</Enabled></HomePosition>"
    assert isinstance(read("Response", "HomePosition", inner).message, HomePositionResponse)


def test_text_that_has_no_place_is_told() -> None:
    decoded = read("Notify", "Keepalive", "<Vendor>a<X>1</X>tail</Vendor>")
    assert decoded.repairs == ("text between elements dropped: 'tail'",)


def test_a_message_full_of_faults_has_a_bounded_list_of_them() -> None:
    items = "".join(f"<Item><DeviceID>{n}</DeviceID><Port>x{n}</Port></Item>" for n in range(5000))
    decoded = read("Response", "Catalog", f"<SumNum>1</SumNum><DeviceList>{items}</DeviceList>")
    assert len(decoded.repairs) == 101
    assert decoded.repairs[-1] == "other repairs, not listed (x4900)"


NAMES = ("DeviceID", "Name", "Status", "Parental", "Longitude", "Port", "EndTime", "Info", "Zq")
CONTENTS = st.sampled_from(
    ["", "1", " 2 ", "ON", "Online", "x", "1.5", "65535", "12 m", "2024-05-01T08:00:00"]
) | st.sampled_from(
    ["<PTZType>1</PTZType>", "<PTZType>2</PTZType>stray", "<Zq>1</Zq>", "<RoomType/>\r\n"]
)
CHILDREN = st.lists(st.tuples(st.sampled_from(NAMES), CONTENTS), max_size=6)


@settings(max_examples=300, deadline=None)
@given(st.lists(CHILDREN, max_size=4), st.sampled_from(["", "\r\n", " ", "stray"]))
def test_items_are_read_in_a_row_as_they_are_one_by_one(
    items: list[list[tuple[str, str]]], between: str
) -> None:
    body = "".join(
        f"<Item>{''.join(f'<{name}>{text}</{name}>{between}' for name, text in item)}</Item>" * 2
        for item in items
    )
    text = f"<Response><SN>1</SN><SumNum>0</SumNum><DeviceList>{body}</DeviceList></Response>"
    results = []
    for has_attributes in (True, False):
        repairs = Repairs()
        reader = Reader(repairs, has_attributes=has_attributes)
        message = reader.read(ET.fromstring(text), plan_of(CatalogResponse))
        results.append((message, tuple(repairs)))
    assert results[0] == results[1]
