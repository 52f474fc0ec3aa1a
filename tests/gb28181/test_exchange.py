"""Answers find their command, parts find each other, and every exchange ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.exchange import ExchangeResult, Exchanges
from gb28181.manscdp.catalog import CatalogItem, CatalogQuery, CatalogResponse, CatalogResult
from gb28181.manscdp.codec import decode
from gb28181.manscdp.config import BasicParam
from gb28181.manscdp.device_config import ConfigDownloadResponse
from gb28181.manscdp.device_info import DeviceInfoResponse
from gb28181.manscdp.schema import Element
from gb28181.manscdp.unknown import UnknownCommand
from sip.errors import LocalProtocolError

PEER = "34020000001180000001"
OTHER = "34020000001180000002"


def info(sn: str = "7", device_id: str = PEER) -> DeviceInfoResponse:
    return DeviceInfoResponse(sn=sn, device_id=device_id, result="OK")


def part(*ids: int, total: int, sn: str = "7") -> CatalogResponse:
    items = tuple(CatalogItem(device_id=f"{number:020}") for number in ids)
    return CatalogResponse(sn=sn, device_id=PEER, sum_num=total, items=items)


def record_part(count: int, total: str | None = "2", text: str = "a") -> UnknownCommand:
    record = Element(name="Item", children=(Element(name="Name", text=text),))
    extra = [Element(name="RecordList", children=(record,) * count)]
    if total is not None:
        extra.append(Element(name="SumNum", text=total))
    return UnknownCommand(
        root="Response", cmd_type="RecordInfo", sn="7", device_id=PEER, extra=tuple(extra)
    )


def opened(cmd_type: str = "Catalog", *, deadline: float | None = None) -> Exchanges:
    exchanges = Exchanges()
    exchanges.open(PEER, cmd_type, "7", 0.0, idle=10.0, deadline=deadline)
    return exchanges


def one(exchanges: Exchanges, now: float) -> ExchangeResult:
    (result,) = exchanges.poll(now)
    assert len(exchanges) == 0
    assert exchanges.next_timeout() is None
    return result


def test_a_single_answer_finishes_its_command() -> None:
    exchanges = opened("DeviceInfo")
    assert exchanges.feed(PEER, info(), 1.0)
    assert exchanges.next_timeout() == 0.0
    result = one(exchanges, 1.0)
    assert result.complete
    assert result.parts == (info(),)


@pytest.mark.parametrize("sn", ["7", "007", " 7 "])
def test_padding_of_the_sn_does_not_matter(sn: str) -> None:
    assert opened("DeviceInfo").feed(PEER, info(sn), 1.0)


def test_the_device_id_of_the_answer_does_not_matter() -> None:
    assert opened("DeviceInfo").feed(PEER, info(device_id=OTHER), 1.0)


def test_an_answer_of_another_peer_command_or_sn_is_nobodys() -> None:
    exchanges = opened("DeviceInfo")
    assert not exchanges.feed(OTHER, info(), 1.0)
    assert not exchanges.feed(PEER, info("8"), 1.0)
    assert not exchanges.feed(PEER, part(1, total=1), 1.0)
    assert exchanges.poll(1.0) == []


def test_a_query_is_no_answer() -> None:
    assert not opened().feed(PEER, CatalogQuery(sn="7", device_id=PEER), 1.0)


def test_a_second_answer_is_nobodys() -> None:
    exchanges = opened("DeviceInfo")
    exchanges.feed(PEER, info(), 1.0)
    assert not exchanges.feed(PEER, info(), 1.1)


def test_two_commands_of_one_sn_to_two_peers_do_not_meet() -> None:
    exchanges = opened("DeviceInfo")
    exchanges.open(OTHER, "DeviceInfo", 7, 0.0, idle=10.0)
    exchanges.feed(OTHER, info(), 1.0)
    (result,) = exchanges.poll(1.0)
    assert result.key.peer == OTHER
    assert len(exchanges) == 1


def test_an_sn_in_use_is_the_callers_mistake() -> None:
    with pytest.raises(LocalProtocolError):
        opened().open(PEER, "Catalog", "07", 1.0, idle=10.0)


def test_parts_are_put_together_until_all_announced_items_came() -> None:
    exchanges = opened()
    exchanges.feed(PEER, part(1, 2, total=3), 1.0)
    assert exchanges.poll(1.0) == []
    exchanges.feed(PEER, part(3, total=3), 9.0)
    result = one(exchanges, 9.0)
    assert (result.received, result.expected, result.complete) == (3, 3, True)
    assert len(result.parts) == 2


def test_a_repeated_part_is_counted_once() -> None:
    exchanges = opened()
    exchanges.feed(PEER, part(1, 2, total=4), 1.0)
    assert exchanges.feed(PEER, part(1, 2, total=4), 1.1)
    assert exchanges.poll(1.1) == []
    assert exchanges.repeated == 1


def test_an_empty_catalogue_is_complete() -> None:
    exchanges = opened()
    exchanges.feed(PEER, part(total=0), 1.0)
    result = one(exchanges, 1.0)
    assert (result.received, result.expected, result.complete) == (0, 0, True)


def test_every_part_gives_the_next_one_its_time() -> None:
    exchanges = opened()
    for number in range(5):
        exchanges.feed(PEER, part(number, total=9), 9.0 * number)
        assert exchanges.poll(9.0 * number) == []
    assert exchanges.poll(45.9) == []
    result = one(exchanges, 46.0)
    assert (result.received, result.expected, result.complete) == (5, 9, False)
    assert result.sentence


def test_the_deadline_ends_it_even_if_parts_still_come() -> None:
    exchanges = opened(deadline=20.0)
    for now in (5.0, 10.0, 15.0, 19.0):
        exchanges.feed(PEER, part(int(now), total=99), now)
    assert one(exchanges, 20.0).received == 4


def test_no_answer_at_all_is_not_complete() -> None:
    exchanges = opened()
    assert exchanges.next_timeout() == 10.0
    result = one(exchanges, 10.0)
    assert (result.parts, result.received, result.expected) == ((), 0, 1)
    assert not result.complete


def test_an_answer_after_its_time_is_nobodys() -> None:
    exchanges = opened()
    assert not exchanges.feed(PEER, part(1, total=1), 10.0)


def test_items_without_a_sum_are_whole_when_no_more_come() -> None:
    exchanges = opened()
    exchanges.feed(PEER, part(1, 2, total=0), 1.0)
    exchanges.feed(PEER, part(3, total=0), 2.0)
    result = one(exchanges, 12.0)
    assert (result.received, result.expected, result.complete) == (3, 3, True)


def test_ok_before_the_catalogue_is_waited_over_and_an_error_ends_it() -> None:
    exchanges = opened()
    exchanges.feed(PEER, CatalogResult(sn="7", device_id=PEER), 1.0)
    assert exchanges.poll(1.0) == []
    exchanges.feed(PEER, CatalogResult(sn="7", device_id=PEER, result="ERROR"), 2.0)
    assert not one(exchanges, 2.0).complete


def test_an_error_in_place_of_records_is_no_empty_answer() -> None:
    exchanges = opened("RecordInfo")
    body = b"<Response><CmdType>RecordInfo</CmdType><SN>7</SN><DeviceID>1</DeviceID>"
    body += b"<Result>ERROR</Result><Reason>disk</Reason></Response>"
    exchanges.feed(PEER, decode(body).message, 1.0)
    result = one(exchanges, 1.0)
    assert (result.complete, result.sentence) == (False, "Result ERROR: disk")


def test_records_are_counted_without_a_class_of_their_own() -> None:
    exchanges = opened("RecordInfo")
    exchanges.feed(PEER, record_part(1), 1.0)
    assert exchanges.poll(1.0) == []
    exchanges.feed(PEER, record_part(1, text="b"), 1.0)
    assert one(exchanges, 1.0).complete


@pytest.mark.parametrize("total", [None, "many", "99999999999"])
def test_a_sum_that_is_no_number_completes_nothing(total: str | None) -> None:
    exchanges = opened("RecordInfo")
    assert exchanges.feed(PEER, record_part(1, total), 1.0)
    assert exchanges.poll(1.0) == []


def test_a_peer_that_goes_offline_ends_its_exchanges_at_once() -> None:
    exchanges = opened()
    exchanges.open(OTHER, "Catalog", "7", 0.0, idle=10.0)
    exchanges.peer_lost(PEER)
    (result,) = exchanges.poll(0.0)
    assert (result.key.peer, result.complete) == (PEER, False)
    assert len(exchanges) == 1


def test_a_closed_exchange_says_nothing_more() -> None:
    exchanges = Exchanges()
    key = exchanges.open(PEER, "Catalog", "7", 0.0, idle=10.0)
    exchanges.close(key)
    exchanges.close(key)
    assert exchanges.poll(99.0) == []
    assert not exchanges.feed(PEER, part(1, total=1), 1.0)


def test_a_reopened_sn_is_not_ended_by_the_time_of_the_one_before() -> None:
    exchanges = Exchanges()
    exchanges.close(exchanges.open(PEER, "Catalog", "7", 0.0, idle=10.0))
    exchanges.open(PEER, "Catalog", "7", 5.0, idle=10.0)
    assert exchanges.poll(10.0) == []
    assert len(exchanges.poll(15.0)) == 1


@given(st.permutations(range(20)), st.integers(1, 7), st.lists(st.integers(0, 19), max_size=5))
@settings(max_examples=100)
def test_any_order_and_repetition_of_the_parts_gives_the_whole(
    order: list[int], size: int, again: list[int]
) -> None:
    exchanges = opened()
    cut = [order[at : at + size] for at in range(0, 20, size)]
    for ids in [*(cut[number % len(cut)] for number in again), *cut]:
        exchanges.feed(PEER, part(*ids, total=20), 1.0)
    result = one(exchanges, 1.0)
    found = [item.device_id for got in result.parts for item in getattr(got, "items", ())]
    assert sorted(found) == [f"{number:020}" for number in range(20)]


def test_ten_thousand_parts_of_one_item_each_are_no_burden() -> None:
    exchanges = opened()
    for number in range(10_000):
        exchanges.feed(PEER, part(number, total=10_000), number / 10_000)
    assert one(exchanges, 1.0).complete


def test_several_answers_without_a_sum_are_gathered_until_they_are_enough() -> None:
    exchanges = Exchanges()
    key = exchanges.open(
        "34020000001180000001", "ConfigDownload", "5", 0.0, idle=10.0, enough=lambda p: len(p) == 2
    )
    first = ConfigDownloadResponse(sn="5", device_id="1", basic_param=BasicParam(name="a"))
    second = ConfigDownloadResponse(sn="5", device_id="1", frame_mirror=1)
    assert exchanges.feed(key.peer, first, 1.0)
    assert exchanges.feed(key.peer, first, 2.0)  # a retransmission is no other answer
    assert exchanges.poll(3.0) == []
    assert exchanges.progress(key) == (1, 0)
    assert exchanges.feed(key.peer, second, 9.0)
    (result,) = exchanges.poll(9.0)
    assert (result.parts, result.complete) == ((first, second), True)
    assert exchanges.progress(key) == (0, 0)
