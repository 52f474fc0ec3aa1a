"""Each edition is written in its own spelling; all spellings are read from everybody."""

from __future__ import annotations

from typing import Any

import pytest

from gb28181.edition import Edition
from gb28181.manscdp.alarm import AlarmNotify, AlarmQuery
from gb28181.manscdp.catalog import CatalogItem, CatalogResponse
from gb28181.manscdp.codec import Decoded, decode, encode
from gb28181.manscdp.config import BasicParam, SnapShotConfig, VideoParam
from gb28181.manscdp.control import DeviceControl
from gb28181.manscdp.device_config import ConfigDownloadResponse, DeviceConfig
from gb28181.manscdp.device_info import DeviceInfoResponse
from gb28181.manscdp.device_status import AlarmDuty, DeviceStatusResponse
from gb28181.manscdp.editions import lacking_in, messages_for
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.manscdp.position import MobilePositionNotify, PositionItem
from gb28181.manscdp.preset import PresetQuery, PresetResponse
from gb28181.manscdp.record import RecordInfoQuery, RecordInfoResponse
from gb28181.manscdp.schema import Element, Message
from gb28181.manscdp.storage import SdCardStatusQuery

DEVICE = "34020000001180000001"
CAR = "34020000001380000001"


def read(root: str, cmd_type: str, inner: str = "") -> Decoded:
    head = f"<CmdType>{cmd_type}</CmdType><SN>1</SN><DeviceID>{DEVICE}</DeviceID>"
    return decode(f"<{root}>{head}{inner}</{root}>".encode())


def written(message: Any, edition: Edition) -> str:
    return encode(message, edition).decode("gb18030").replace("\r\n", "")


def test_a_position_is_flat_up_to_2016_and_a_list_from_2022_on() -> None:
    flat = MobilePositionNotify(
        sn="1", device_id=CAR, time="2024-05-01T08:00:05", longitude=118.37, latitude=31.33
    )
    item = PositionItem(
        device_id=CAR, capture_time="2024-05-01T08:00:05", longitude=118.37, latitude=31.33
    )
    listed = MobilePositionNotify(
        sn="1", device_id=CAR, time="2024-05-01T08:00:05", sum_num=1, items=(item,)
    )
    assert flat.positions == listed.positions == (item,)
    assert decode(encode(flat, Edition.GB2022)).message == listed
    assert decode(encode(listed, Edition.GB2016)).message == flat
    assert decode(encode(flat, Edition.GB2016)).message == flat
    assert decode(encode(listed, Edition.GB2022)).message == listed


def test_several_positions_stay_a_list_in_every_edition() -> None:
    items = tuple(PositionItem(device_id=str(n), longitude=1.5, latitude=2.5) for n in (1, 2))
    message = MobilePositionNotify(sn="1", device_id=DEVICE, sum_num=2, items=items)
    assert decode(encode(message, Edition.GB2016)).message == message


@pytest.mark.parametrize("name", ["IFameCmd", "IFrameCmd", "iframecmd"])
def test_the_key_frame_command_is_read_in_every_spelling(name: str) -> None:
    decoded = read("Control", "DeviceControl", f"<{name}>Send</{name}>")
    assert decoded.message == DeviceControl(sn="1", device_id=DEVICE, i_frame_cmd="Send")


def test_extension_texts_are_info_up_to_2016_and_extra_info_from_2022_on() -> None:
    message = DeviceControl(sn="1", device_id=DEVICE, tele_boot="Boot", extra_info=("a", "b"))
    assert "<Info>a</Info><Info>b</Info>" in written(message, Edition.GB2016)
    assert "<ExtraInfo>a</ExtraInfo><ExtraInfo>b</ExtraInfo>" in written(message, Edition.GB2022)
    assert decode(encode(message, Edition.GB2016)).message == message
    assert decode(encode(message, Edition.GB2022)).message == message


def test_structured_info_is_told_from_extension_text() -> None:
    inner = "<AlarmCmd>ResetAlarm</AlarmCmd><Info>x</Info><Info><AlarmMethod>2</AlarmMethod></Info>"
    decoded = read("Control", "DeviceControl", inner)
    assert decoded.repairs == ()
    assert decoded.message == DeviceControl(
        sn="1", device_id=DEVICE, alarm_cmd="ResetAlarm", alarm_method="2", extra_info=("x",)
    )


def test_snapshots_are_set_as_snap_shot_config_and_read_as_snap_shot() -> None:
    config = SnapShotConfig(snap_num=3)
    control = DeviceConfig(sn="1", device_id=DEVICE, snapshot_config=config)
    answer = ConfigDownloadResponse(sn="1", device_id=DEVICE, snapshot_config=config)
    assert "<SnapShotConfig>" in written(control, Edition.GB2022)
    assert "<SnapShot>" in written(answer, Edition.GB2022)
    other = written(answer, Edition.GB2022).replace("SnapShot>", "SnapShotConfig>")
    assert decode(other.encode()).message == answer
    other = written(control, Edition.GB2022).replace("SnapShotConfig>", "SnapShot>")
    assert decode(other.encode()).message == control


def test_blocks_of_2022_are_not_sent_to_a_2016_peer() -> None:
    message = DeviceConfig(
        sn="1", device_id=DEVICE, basic_param=BasicParam(name="x"), frame_mirror=1
    )
    assert "FrameMirror" not in written(message, Edition.GB2016)
    assert "BasicParam" in written(message, Edition.GB2016)


def test_several_alarm_methods_are_joined_as_the_edition_does() -> None:
    for text in ("25", "2/5"):
        query = AlarmQuery(sn="1", device_id=DEVICE, alarm_method=text)
        control = DeviceControl(sn="1", device_id=DEVICE, alarm_method=text)
        for message in (query, control):
            assert "<AlarmMethod>25<" in written(message, Edition.GB2016)
            assert "<AlarmMethod>2/5<" in written(message, Edition.GB2022)


def test_the_preset_query_of_2014_is_misspelled() -> None:
    query = PresetQuery(sn="1", device_id=DEVICE)
    answer = PresetResponse(sn="1", device_id=DEVICE)
    for message in (query, answer):
        assert "<CmdType>PersetQuery</CmdType>" in written(message, Edition.GB2011A)
        assert "<CmdType>PresetQuery</CmdType>" in written(message, Edition.GB2016)
        assert decode(encode(message, Edition.GB2011A)).message == message


def test_no_presets_are_an_empty_list() -> None:  # A.2.6.10
    message = PresetResponse(sn="1", device_id=DEVICE, sum_num=0)
    assert '<PresetList Num="0"></PresetList>' in written(message, Edition.GB2022)


def test_the_times_of_an_alarm_query_are_read_under_both_names() -> None:
    inner = "<StartTime>2024-05-01T08:00:00</StartTime><EndAlarmTime>2024-05-02T08:00:00"
    decoded = read("Query", "Alarm", f"{inner}</EndAlarmTime>")
    assert decoded.message == AlarmQuery(
        sn="1", device_id=DEVICE, start_time="2024-05-01T08:00:00", end_time="2024-05-02T08:00:00"
    )


# What the edition of 2011 and its amendment of 2014 do otherwise.


@pytest.mark.parametrize("name", ["Status", "DutyStatus", "StatusDutyStatus"])
@pytest.mark.parametrize("count", ["num", "Num"])
def test_the_duty_of_an_alarm_input_is_read_in_all_forms(name: str, count: str) -> None:
    inner = (
        "<Result>OK</Result><Online>ONLINE</Online><Status>OK</Status>"
        f'<Alarmstatus {count}="1"><Item><DeviceID>7</DeviceID><{name}>ALARM</{name}></Item>'
        "</Alarmstatus>"
    )
    decoded = read("Response", "DeviceStatus", inner)
    assert decoded.repairs == ()
    assert decoded.message == DeviceStatusResponse(
        sn="1", device_id=DEVICE, alarms=(AlarmDuty(device_id="7", duty_status="ALARM"),)
    )


def test_device_info_of_2011_has_other_fields() -> None:
    inner = (
        "<Result>OK</Result><DeviceType>DVR</DeviceType><MaxCamera>8</MaxCamera>"
        "<MaxAlarm>16</MaxAlarm><Channel>8</Channel>"
    )
    assert read("Response", "DeviceInfo", inner).message == DeviceInfoResponse(
        sn="1", device_id=DEVICE, device_type="DVR", channel=8, max_camera=8, max_alarm=16
    )


def test_an_empty_list_of_records_and_a_search_without_times_are_fine() -> None:
    decoded = read("Response", "RecordInfo", '<SumNum>0</SumNum><RecordList Num="0"/>')
    assert decoded.message == RecordInfoResponse(sn="1", device_id=DEVICE, sum_num=0)
    assert decoded.repairs == ()
    decoded = read("Query", "RecordInfo", "<Type>all</Type>")
    assert decoded.message == RecordInfoQuery(sn="1", device_id=DEVICE, type="all")
    assert decoded.repairs == ()


def test_a_notice_of_the_catalogue_with_the_root_response_keeps_its_events() -> None:
    inner = '<SumNum>1</SumNum><DeviceList Num="1"><Item><DeviceID>7</DeviceID><Event>OFF</Event>'
    decoded = read("Response", "Catalog", f"{inner}</Item></DeviceList>")
    item = CatalogItem(device_id="7", event="OFF")
    assert decoded.message == CatalogResponse(sn="1", device_id=DEVICE, sum_num=1, items=(item,))


def test_cmd_type_sn_and_device_id_are_read_from_attributes_and_reported() -> None:
    decoded = decode(
        b'<Notify CmdType="Keepalive" SN="7" DeviceID="2"><Status>OK</Status></Notify>'
    )
    assert decoded.message == KeepaliveNotify(sn="7", device_id="2")
    assert decoded.repairs == (
        "CmdType read from an attribute",
        "SN read from an attribute",
        "DeviceID read from an attribute",
    )


# Nothing is lost.


def test_attributes_that_nobody_knows_are_kept_and_written_again() -> None:
    inner = (
        '<SumNum a="1">1</SumNum><DeviceList Num="1" b="2"><Item Index="1" c="&lt;">'
        '<DeviceID>7</DeviceID><Info d="4"><PTZType>1</PTZType></Info></Item></DeviceList>'
    )
    decoded = read("Response", "Catalog", inner)
    assert decoded.repairs == ()
    text = written(decoded.message, Edition.GB2016)
    for part in ('a="1"', 'b="2"', '<Item Index="1" c="&lt;">', '<Info d="4">'):
        assert part in text
    assert decode(text.encode()).message == decoded.message


def test_a_count_that_contradicts_the_items_is_reported() -> None:
    inner = '<SumNum>1</SumNum><DeviceList Num=" 2 "><Item><DeviceID>7</DeviceID></Item>'
    decoded = read("Response", "Catalog", f"{inner}</DeviceList>")
    assert decoded.repairs == ("DeviceList says Num ' 2 ', has 1",)


def test_items_without_their_list_are_read() -> None:
    decoded = read("Response", "Catalog", "<SumNum>1</SumNum><Item><DeviceID>7</DeviceID></Item>")
    assert decoded.message == CatalogResponse(
        sn="1", device_id=DEVICE, sum_num=1, items=(CatalogItem(device_id="7"),)
    )


def test_text_between_elements_is_reported() -> None:
    decoded = read("Notify", "Keepalive", "x<Status>OK</Status>y")
    assert decoded.repairs == (
        "text between elements dropped: 'x'",
        "text between elements dropped: 'y'",
    )


def test_values_that_cannot_be_read_are_kept_as_they_are() -> None:
    inner = (
        "<AlarmPriority>1</AlarmPriority><AlarmMethod>5</AlarmMethod><AlarmTime>soon</AlarmTime>"
        "<Longitude>E118</Longitude>"
    )
    decoded = read("Notify", "Alarm", inner)
    assert isinstance(decoded.message, AlarmNotify)
    assert decoded.message.extra == (
        Element(name="AlarmTime", text="soon"),
        Element(name="Longitude", text="E118"),
    )
    assert decoded.repairs == (
        "AlarmTime: 'soon' is not a time, kept as text",
        "Longitude: 'E118' is not a number, kept as text",
        "AlarmTime is missing",
    )
    assert decode(encode(decoded.message, Edition.GB2016)).message == decoded.message


@pytest.mark.parametrize(
    ("end", "doubled"),
    [
        ("</Item>", "</Item></Item>"),
        ("</DeviceList>", "</DeviceList></DeviceList>"),
        ("</Name>", "</Name></Name>"),
        ("</Info>", "</Info></Info>"),
        ("</Response>", "</Response></Response>"),
    ],
)
def test_doubled_ends_cost_no_field(end: str, doubled: str) -> None:
    item = (
        "<Item><DeviceID>{0}</DeviceID><Name>东门{0}</Name><Info><PTZType>1</PTZType></Info></Item>"
    )
    text = (
        "<Response><CmdType>Catalog</CmdType><SN>1</SN><DeviceID>2</DeviceID><SumNum>2</SumNum>"
        f'<DeviceList Num="2">{item.format(3)}{item.format(4)}</DeviceList></Response>'
    )
    whole = decode(text.encode("gb18030"))
    broken = decode(text.replace(end, doubled).encode("gb18030"))
    assert broken.message == whole.message
    assert whole.repairs == ()
    assert len(broken.repairs) == 1


def notice(*items: PositionItem) -> MobilePositionNotify:
    return MobilePositionNotify(
        sn="7", device_id="1", time="2024-05-01T08:00:00", sum_num=len(items), items=items
    )


def test_positions_of_several_devices_are_a_notice_each_up_to_2016() -> None:
    both = notice(
        PositionItem(device_id="2", longitude=118.5, latitude=31.5, height=3.0),
        PositionItem(
            device_id="3", capture_time="2024-05-01T07:59:59", longitude=119.5, latitude=32.5
        ),
    )
    assert messages_for(both, Edition.GB2022) == (both,)
    numbers = iter(["8", "9"])
    first, second = messages_for(both, Edition.GB2016, lambda: next(numbers))
    assert first == MobilePositionNotify(
        sn="7", device_id="2", time="2024-05-01T08:00:00", longitude=118.5, latitude=31.5
    )
    assert (second.sn, second.device_id) == ("8", "3")
    assert b"DeviceList" not in encode(second, Edition.GB2016)
    assert isinstance(second, MobilePositionNotify)
    assert second.time == "2024-05-01T07:59:59"


def test_blocks_of_a_configuration_are_an_answer_each() -> None:
    answer = ConfigDownloadResponse(
        sn="7",
        device_id="1",
        basic_param=BasicParam(name="gate"),
        frame_mirror=1,
        video_param_attribute=(VideoParam(stream_number=0),),
    )
    parts = messages_for(answer, Edition.GB2022)
    assert [decode(encode(part, Edition.GB2022)).message for part in parts] == [
        ConfigDownloadResponse(sn="7", device_id="1", basic_param=BasicParam(name="gate")),
        ConfigDownloadResponse(
            sn="7", device_id="1", video_param_attribute=(VideoParam(stream_number=0),)
        ),
        ConfigDownloadResponse(sn="7", device_id="1", frame_mirror=1),
    ]
    refusal = ConfigDownloadResponse(sn="7", device_id="1", result="ERROR")
    assert messages_for(refusal, Edition.GB2016) == (refusal,)


@pytest.mark.parametrize(
    ("message", "edition", "lacks"),
    [
        (DeviceControl(sn="1", device_id="2", format_sd_card=0), Edition.GB2016, "FormatSDCard"),
        (DeviceControl(sn="1", device_id="2", format_sd_card=0), Edition.GB2022, ""),
        (DeviceControl(sn="1", device_id="2", i_frame_cmd="Send"), Edition.GB2011A, "IFrameCmd"),
        (
            DeviceControl(sn="1", device_id="2", ptz_cmd="A50F", preset_name="gate"),
            Edition.GB2016,
            "",
        ),
        (
            DeviceControl(sn="1", device_id="2", record_cmd="Record", stream_number=1),
            Edition.GB2016,
            "",
        ),
        (
            DeviceConfig(sn="1", device_id="2", video_param_attribute=(VideoParam(),)),
            Edition.GB2016,
            "VideoParamAttribute",
        ),
        (SdCardStatusQuery(sn="1", device_id="2"), Edition.GB2016, "SDCardStatus"),
        (DeviceConfig(sn="1", device_id="2"), Edition.GB2011, "DeviceConfig"),
    ],
)
def test_what_an_edition_lacks_is_named(message: Message, edition: Edition, lacks: str) -> None:
    assert lacking_in(message, edition) == lacks
