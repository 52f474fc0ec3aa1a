from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.edition import Edition
from gb28181.equipment.packing import pack
from gb28181.manscdp.codec import encode
from gb28181.manscdp.record import RecordInfoResponse, RecordItem

NAMES = st.lists(st.text(alphabet="aä门<&\U0001f600", min_size=0, max_size=300), max_size=40)


@given(names=NAMES, budget=st.integers(200, 4000), edition=st.sampled_from(list(Edition)))
@settings(max_examples=60)
def test_pages_fit_and_leave_nothing_out(names: list[str], budget: int, edition: Edition) -> None:
    items = [RecordItem(device_id=str(n), name=name) for n, name in enumerate(names)]
    empty = RecordInfoResponse(sn="1", device_id="2", sum_num=len(items))
    pages = list(pack(empty, items, budget=budget, edition=edition))
    assert [item for page in pages for item in page.items] == items
    assert {page.sum_num for page in pages} == {len(items)}
    for page in pages:
        assert len(encode(page, edition)) <= budget or len(page.items) <= 1


def test_nothing_found_is_one_message_without_a_list() -> None:
    empty = RecordInfoResponse(sn="1", device_id="2", sum_num=0)
    assert list(pack(empty, [], budget=1300, edition=Edition.GB2022)) == [empty]
    assert b"RecordList" not in encode(empty, Edition.GB2022)
