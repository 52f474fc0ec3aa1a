from __future__ import annotations

import contextlib
import dataclasses
import functools
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from gb28181.edition import Edition
from gb28181.errors import ConfigError, MalformedCommand
from gb28181.manscdp import commands, values
from gb28181.manscdp.alarm import AlarmNotify
from gb28181.manscdp.catalog import (
    CatalogInfo,
    CatalogItem,
    CatalogNotify,
    CatalogQuery,
    CatalogResponse,
    CatalogResult,
)
from gb28181.manscdp.codec import decode, encode
from gb28181.manscdp.control import DeviceControl
from gb28181.manscdp.device_status import DeviceStatusResponse
from gb28181.manscdp.keepalive import KeepaliveNotify
from gb28181.manscdp.preset import PresetQuery
from gb28181.manscdp.schema import Element, Slot, find, plan_of
from gb28181.manscdp.unknown import UnknownCommand

DEVICE = "34020000001180000001"
CHANNEL = "34020000001320000001"

CHARACTERS = st.characters(
    codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"
)
TEXTS = st.text(CHARACTERS, min_size=1, max_size=12).map(str.strip).filter(bool)
NAMES = st.from_regex(r"Zq[A-Za-z0-9]{0,8}", fullmatch=True)


def keepalive(**changes: Any) -> KeepaliveNotify:
    return dataclasses.replace(KeepaliveNotify(sn="1", device_id=DEVICE), **changes)


def notify(inner: str, cmd_type: str = "Keepalive") -> bytes:
    head = f"<CmdType>{cmd_type}</CmdType><SN>1</SN><DeviceID>{DEVICE}</DeviceID>"
    return f"<Notify>{head}{inner}</Notify>".encode("gb18030")


def catalog(items: str, count: int = 2) -> bytes:
    head = f"<CmdType>Catalog</CmdType><SN>1</SN><DeviceID>{DEVICE}</DeviceID>"
    text = f"<Response>{head}<SumNum>{count}</SumNum><DeviceList>{items}</DeviceList></Response>"
    return text.encode("gb18030")


def items_of(body: bytes) -> tuple[CatalogItem, ...]:
    message = decode(body).message
    assert isinstance(message, CatalogResponse)
    return message.items


def elements() -> st.SearchStrategy[Element]:
    attributes = st.lists(st.tuples(NAMES, TEXTS), max_size=2, unique_by=lambda a: a[0]).map(tuple)
    leaf = st.builds(Element, name=NAMES, text=st.just("") | TEXTS, attributes=attributes)
    branch = st.builds(
        Element, name=NAMES, attributes=attributes, children=st.lists(leaf, max_size=2).map(tuple)
    )
    return leaf | branch


def content(slot: Slot) -> st.SearchStrategy[Any]:
    cls: Any = slot.cls
    if cls is not None:
        return instances(cls).filter(lambda value: value != type(value)(**required(value)))
    if slot.kind is values.TIME:
        return st.datetimes().map(values.format_time)
    if slot.kind is values.FLAG:
        return st.integers(0, 1)
    if slot.kind is values.INTEGER:
        return st.integers(-(2**31), 2**63)
    if slot.kind is values.NUMBER:
        return st.floats(-1e6, 1e6).map(lambda number: round(number, 9) + 0.0)
    if slot.kind is not None and slot.kind.spellings is not None:
        return st.sampled_from(sorted(slot.kind.spellings))
    return TEXTS


def required(value: Any) -> dict[str, Any]:
    return {s.attribute: getattr(value, s.attribute) for s in plan_of(type(value)).required}


@functools.cache
def instances(cls: Any) -> st.SearchStrategy[Any]:
    given_fields: dict[str, st.SearchStrategy[Any]] = {
        "extra": st.lists(elements(), max_size=2).map(tuple)
    }
    for slot in plan_of(cls).slots:
        strategy = content(slot)
        if slot.is_many:
            strategy = st.lists(strategy, max_size=3).map(tuple)
        elif not slot.is_required:
            default = next(f.default for f in dataclasses.fields(cls) if f.name == slot.attribute)
            strategy = st.just(default) | strategy
        given_fields[slot.attribute] = strategy
    return st.fixed_dictionaries(given_fields).map(lambda fields: cls(**fields))


def restricted(value: Any, edition: Edition) -> Any:
    """What an edition can say of a message."""
    change = plan_of(type(value)).in_edition
    if change is not None:
        value = change(value, edition)
    changes: dict[str, Any] = {}
    for slot in plan_of(type(value)).slots:
        current = getattr(value, slot.attribute)
        if not slot.xml.is_in(edition):
            field = next(f for f in dataclasses.fields(value) if f.name == slot.attribute)
            changes[slot.attribute] = field.default
        elif slot.cls is not None and current is not None:
            inner = (
                tuple(restricted(item, edition) for item in current)
                if slot.is_many
                else restricted(current, edition)
            )
            changes[slot.attribute] = None if is_empty(inner) else inner
    return dataclasses.replace(value, **changes)


def is_empty(value: Any) -> bool:
    """An element of which the edition has nothing is not there when it is read again."""
    if isinstance(value, tuple) or plan_of(type(value)).required:
        return False
    return bool(value == type(value)())


COMMANDS_OF_ALL_EDITIONS: tuple[Any, ...] = commands.COMMANDS

MESSAGES = st.one_of(
    *(instances(cls) for cls in COMMANDS_OF_ALL_EDITIONS),
    st.builds(
        UnknownCommand,
        root=st.sampled_from(["Control", "Query", "Notify", "Response"]),
        cmd_type=NAMES,
        sn=TEXTS,
        device_id=TEXTS,
        extra=st.lists(elements(), max_size=3).map(tuple),
    ),
)


@settings(max_examples=200, deadline=None)
@given(
    MESSAGES, st.sampled_from(Edition), st.sampled_from([None, "UTF-8", "GBK", "GB2312", "GB18030"])
)
def test_what_is_written_is_read_again(message: Any, edition: Edition, charset: str | None) -> None:
    body = encode(message, edition, charset)
    if not body.isascii():
        assume(not (is_text(body, "utf-8") and is_text(body, "gb18030")))  # see test_charset
    decoded = decode(body)
    assert decoded.message == restricted(message, edition)
    assert decoded.repairs == ()


@pytest.mark.parametrize("edition", Edition)
@pytest.mark.parametrize("cls", commands.COMMANDS, ids=lambda cls: cls.__name__)
@settings(
    max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_every_command_is_read_again_in_every_edition(
    cls: Any, edition: Edition, data: st.DataObject
) -> None:
    message = data.draw(instances(cls))
    body = b"\xef\xbb\xbf" + encode(message, edition, "UTF-8")
    assert decode(body).message == restricted(message, edition)


@pytest.mark.parametrize("charset", ["GB2312", "GB18030", "UTF-8"])
@pytest.mark.parametrize("cls", commands.COMMANDS, ids=lambda cls: cls.__name__)
@settings(
    max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.data())
def test_every_command_is_read_again_in_every_charset(
    cls: Any, charset: str, data: st.DataObject
) -> None:
    message = data.draw(instances(cls))
    body = encode(message, Edition.GB2022, charset)
    assert f'encoding="{charset}"'.encode() in body
    if not body.isascii():
        assume(not (is_text(body, "utf-8") and is_text(body, "gb18030")))  # see test_charset
    decoded = decode(body)
    assert decoded.message == restricted(message, Edition.GB2022)
    assert decoded.repairs == ()


def is_text(body: bytes, charset: str) -> bool:
    try:
        body.decode(charset)
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_only_malformed_command(body: bytes) -> None:
    with pytest.raises(MalformedCommand):
        decode(b"\x00" + body)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_body_with_random_damage_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(encode(data.draw(MESSAGES), Edition.GB2022))
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.integers(0, 8))
        body[start:end] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"<", b">", b"&", b"</", b"<Item>", b"<!--"])
        )
    with contextlib.suppress(MalformedCommand):
        assert decode(bytes(body)).message.cmd_type


def test_a_keepalive_is_written_in_the_order_of_the_schema() -> None:
    body = encode(keepalive(faulty=(CHANNEL,)), Edition.GB2016)
    assert body.decode("ascii").split("\r\n") == [
        '<?xml version="1.0" encoding="GB2312"?>',
        "<Notify>",
        "<CmdType>Keepalive</CmdType>",
        "<SN>1</SN>",
        f"<DeviceID>{DEVICE}</DeviceID>",
        "<Status>OK</Status>",
        "<Info>",
        f"<DeviceID>{CHANNEL}</DeviceID>",
        "</Info>",
        "</Notify>",
        "",
    ]


def test_the_2022_edition_declares_gb18030() -> None:
    assert b'encoding="GB18030"' in encode(keepalive(), Edition.GB2022)


def test_characters_outside_gb2312_are_not_lost_in_a_body_that_declares_it() -> None:
    item = CatalogItem(device_id=CHANNEL, name="镕喆𠮷")
    message = CatalogResponse(sn="1", device_id=DEVICE, sum_num=1, items=(item,))
    body = encode(message, Edition.GB2016)
    assert b"GB2312" in body
    assert items_of(body)[0].name == "镕喆𠮷"


def test_a_charset_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigError, match="latin1"):
        encode(keepalive(), Edition.GB2016, "latin1")


def test_2022_elements_are_not_sent_to_a_2016_peer() -> None:
    info = CatalogInfo(ptz_type="1", grassroots_code="000000")
    item = CatalogItem(device_id=CHANNEL, owner="x", info=info)
    message = CatalogResponse(sn="1", device_id=DEVICE, sum_num=1, items=(item,))
    assert b"Grassroots" not in encode(message, Edition.GB2016)
    assert b"Owner" in encode(message, Edition.GB2016)
    assert b"Grassroots" in encode(message, Edition.GB2022)
    assert b"Owner" not in encode(message, Edition.GB2022)


def test_the_key_frame_command_is_misspelled_up_to_2016_and_read_in_both_spellings() -> None:
    command = DeviceControl(sn="1", device_id=CHANNEL, i_frame_cmd="Send")
    assert b"<IFameCmd>Send</IFameCmd>" in encode(command, Edition.GB2016)
    assert b"<IFrameCmd>Send</IFrameCmd>" in encode(command, Edition.GB2022)
    assert decode(encode(command, Edition.GB2016)).message == command
    assert decode(encode(command, Edition.GB2022)).message == command


def test_names_are_read_in_any_case() -> None:
    body = notify("<status>OK</status><info><deviceid>7</deviceid></info>", "KEEPALIVE")
    assert decode(body).message == keepalive(faulty=("7",))


def test_namespaces_are_ignored() -> None:
    body = notify("<Status>OK</Status>").replace(b"<Notify>", b'<Notify xmlns="urn:x">')
    assert decode(body).message == keepalive()


def test_empty_elements_count_as_absent() -> None:
    (item,) = items_of(catalog(f"<Item><DeviceID>{CHANNEL}</DeviceID><Name/><Info> </Info></Item>"))
    assert item == CatalogItem(device_id=CHANNEL)


def test_unknown_elements_are_kept_at_their_level() -> None:
    body = catalog(
        f"<Item><DeviceID>{CHANNEL}</DeviceID><Vendor a='1'><X>y</X></Vendor>"
        "<Info><PTZType>1</PTZType><Z>w</Z></Info></Item>"
    )
    (item,) = items_of(body)
    vendor = Element(
        name="Vendor", attributes=(("a", "1"),), children=(Element(name="X", text="y"),)
    )
    assert item.extra == (vendor,)
    assert item.info == CatalogInfo(ptz_type="1", extra=(Element(name="Z", text="w"),))
    assert vendor.find("x") == Element(name="X", text="y")


def test_extension_text_in_info_is_kept_beside_the_structured_block() -> None:
    body = notify("<Status>OK</Status><Info>note</Info><Info><DeviceID>7</DeviceID></Info>")
    assert decode(body).message == keepalive(
        faulty=("7",), extra=(Element(name="Info", text="note"),)
    )


def test_an_unknown_command_keeps_all_its_elements() -> None:
    message = decode(notify("<Interval>5</Interval>", "Strange")).message
    assert message == UnknownCommand(
        root="Notify",
        cmd_type="Strange",
        sn="1",
        device_id=DEVICE,
        extra=(Element(name="Interval", text="5"),),
    )
    assert decode(encode(message, Edition.GB2016)).message == message


def test_the_sn_is_echoed_to_the_letter() -> None:
    body = notify("").replace(b"<SN>1</SN>", b"<SN>00017</SN>")
    assert decode(body).message.sn == "00017"


def test_a_missing_sn_is_reported() -> None:
    decoded = decode(notify("<Status>OK</Status>").replace(b"<SN>1</SN>", b""))
    assert decoded.message == keepalive(sn="")
    assert decoded.repairs == ("SN is missing",)


def test_status_words_of_devices_are_mapped_and_reported_with_their_count() -> None:
    one = "<Item><DeviceID>1</DeviceID><Status>{}</Status></Item>"
    decoded = decode(catalog(one.format("ONLINE") * 2 + one.format("Off") + one.format("VLOST")))
    assert isinstance(decoded.message, CatalogResponse)
    assert [item.status for item in decoded.message.items] == ["ON", "ON", "OFF", "VLOST"]
    assert decoded.repairs == (
        "Status: 'ONLINE' read as 'ON' (x2)",
        "Status: 'Off' read as 'OFF'",
    )


def test_parental_65535_is_one() -> None:
    body = catalog("<Item><DeviceID>1</DeviceID><Parental>65535</Parental></Item>")
    assert items_of(body)[0].parental == 1


def test_an_unreadable_number_is_kept_as_text_and_reported() -> None:
    decoded = decode(
        catalog("<Item><DeviceID>1</DeviceID><Longitude>E118</Longitude><Port>a</Port></Item>")
    )
    assert isinstance(decoded.message, CatalogResponse)
    assert decoded.message.items == (
        CatalogItem(
            device_id="1",
            extra=(Element(name="Longitude", text="E118"), Element(name="Port", text="a")),
        ),
    )
    assert decoded.repairs == (
        "Longitude: 'E118' is not a number, kept as text",
        "Port: 'a' is not an integer, kept as text",
    )


def test_a_repeated_element_is_reported_and_the_first_counts() -> None:
    decoded = decode(catalog("<Item><DeviceID>1</DeviceID><Name>a</Name><Name>b</Name></Item>"))
    assert isinstance(decoded.message, CatalogResponse)
    assert decoded.message.items[0].name == "a"
    assert decoded.message.items[0].extra == (Element(name="Name", text="b"),)
    assert decoded.repairs == ("Name is there more than once, the first counts",)


def test_the_business_group_is_read_inside_info_and_written_beside_it() -> None:  # 2016 A.2.1
    body = catalog(
        "<Item><DeviceID>1</DeviceID><Info><BusinessGroupID>9</BusinessGroupID></Info></Item>"
    )
    (item,) = items_of(body)
    assert item == CatalogItem(device_id="1", business_group_id="9")


def test_an_alarm_type_is_found_beside_info_as_well() -> None:
    inner = "<AlarmPriority>1</AlarmPriority><AlarmMethod>5</AlarmMethod>"
    inner += "<AlarmTime>2024-5-1 8:00:00</AlarmTime><AlarmType>6</AlarmType>"
    message = decode(notify(inner, "Alarm")).message
    assert isinstance(message, AlarmNotify)
    assert (message.alarm_type, message.time) == ("6", "2024-05-01T08:00:00")


def test_the_alarm_duty_list_is_counted_as_each_edition_spells_it() -> None:
    body = (
        f"<Response><CmdType>DeviceStatus</CmdType><SN>1</SN><DeviceID>{DEVICE}</DeviceID>"
        "<Result>OK</Result><Online>ONLINE</Online><Status>OK</Status>"
        "<Alarmstatus Num='1'><Item><DeviceID>1</DeviceID><DutyStatus>ONDUTY</DutyStatus></Item>"
        "</Alarmstatus></Response>"
    )
    message = decode(body.encode()).message
    assert isinstance(message, DeviceStatusResponse)
    assert b'<Alarmstatus num="1">' in encode(message, Edition.GB2016)
    assert b'<Alarmstatus Num="1">' in encode(message, Edition.GB2022)


def test_the_2016_answer_to_a_catalogue_notice_is_no_catalogue() -> None:
    head = b"<CmdType>Catalog</CmdType><SN>1</SN><DeviceID>2</DeviceID>"
    body = b"<Response>" + head + b"<Result>OK</Result></Response>"
    assert decode(body).message == CatalogResult(sn="1", device_id="2")


def test_a_catalogue_without_items_is_whole() -> None:
    body = re.sub(rb"<DeviceList>.*</DeviceList>", b"", catalog("", 0))
    assert decode(body).message == CatalogResponse(sn="1", device_id=DEVICE, sum_num=0)


def test_a_notice_of_change_reads_its_events() -> None:
    body = notify(
        "<SumNum>1</SumNum><DeviceList Num='1'><Item><Name>a</Name><DeviceID>1</DeviceID>"
        "<Event>OFF</Event></Item></DeviceList>",
        "Catalog",
    )
    item = CatalogItem(device_id="1", event="OFF", name="a")
    assert decode(body).message == CatalogNotify(sn="1", device_id=DEVICE, sum_num=1, items=(item,))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="no XML"),
        pytest.param(b"<html><body/></html>", id="another root"),
        pytest.param(b"<Notify><SN>1</SN></Notify>", id="no CmdType"),
        pytest.param(b'<!DOCTYPE x [<!ENTITY a "b">]><Notify>&a;</Notify>', id="DTD"),
        pytest.param(
            b"<!doctype x><Notify><CmdType>Keepalive</CmdType>", id="DTD in small letters"
        ),
        pytest.param(notify("<x>" * 20 + "</x>" * 20), id="too deep"),
        pytest.param(notify("<x>" * 50_000 + "</x>" * 50_000), id="far too deep"),
        pytest.param(notify("<x/>" * 1_600_000), id="too many tags"),
        pytest.param(b" " + b"x" * (10 * 1024 * 1024), id="too large"),
    ],
)
def test_what_is_no_command_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedCommand):
        decode(body)


def test_no_entity_is_expanded() -> None:
    decoded = decode(catalog("<Item><DeviceID>1</DeviceID><Name>&a;</Name></Item>"))
    assert isinstance(decoded.message, CatalogResponse)
    assert decoded.message.items[0].name == "&a;"


def test_nul_bytes_around_a_body_do_not_matter() -> None:
    assert decode(b"\r\n" + notify("") + b"\0\0\r\n").message == keepalive()


def test_a_catalogue_query_reads_unix_seconds() -> None:
    head = b"<CmdType>Catalog</CmdType><SN>1</SN><DeviceID>2</DeviceID>"
    body = b"<Query>" + head + b"<StartTime>1714521600</StartTime></Query>"
    assert decode(body).message == CatalogQuery(
        sn="1", device_id="2", start_time="2024-05-01T08:00:00"
    )


def test_a_leaf_that_holds_elements_is_kept_aside_and_reported() -> None:
    decoded = decode(catalog("<Item><DeviceID>1</DeviceID><Name>a<b>c</b></Name></Item>"))
    assert isinstance(decoded.message, CatalogResponse)
    kept = Element(name="Name", text="a", children=(Element(name="b", text="c"),))
    assert decoded.message.items == (CatalogItem(device_id="1", extra=(kept,)),)
    assert decoded.repairs == ("Name holds elements, kept as an unknown one",)


def test_elements_with_chinese_names_are_written_again() -> None:
    message = keepalive(extra=(Element(name="扩展·一", text="x"),))
    assert decode(encode(message, Edition.GB2022)).message == message


@pytest.mark.parametrize("name", ["", "a b", "a>", "1a", "a/", "!a"])
def test_an_element_whose_name_would_break_the_document_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="name of an element"):
        encode(keepalive(extra=(Element(name=name),)), Edition.GB2022)


def test_text_is_written_so_that_it_cannot_become_markup() -> None:
    item = CatalogItem(device_id="1", name="]]><Item>&\r\n\x00x")
    message = CatalogResponse(sn="1", device_id=DEVICE, sum_num=1, items=(item,))
    assert items_of(encode(message, Edition.GB2022))[0].name == "]]><Item>&\r\nx"


def test_a_broadcast_speaks_of_its_target() -> None:
    body = b"<Notify><CmdType>Broadcast</CmdType><SN>1</SN><SourceID>2</SourceID>"
    decoded = decode(body + b"<TargetID>3</TargetID></Notify>")
    assert decoded.message.device_id == "3"
    assert decoded.repairs == ()


def test_the_preset_query_of_2014_is_understood() -> None:
    body = b"<Query><CmdType>PersetQuery</CmdType><SN>1</SN><DeviceID>2</DeviceID></Query>"
    assert decode(body).message == PresetQuery(sn="1", device_id="2")


def test_elements_are_found_by_their_path_in_any_case() -> None:
    inner = Element(name="AlarmType", text="6")
    elements = (Element(name="Info"), Element(name="info", children=(inner,)))
    assert find(elements, "Info/alarmtype") is inner
    assert find(elements, "Info/Other") is None
