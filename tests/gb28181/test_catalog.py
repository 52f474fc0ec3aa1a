"""Generations, notices, places and pages of a catalogue."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gb28181.catalog import (
    Catalog,
    CatalogDifference,
    circles,
    pages,
    parents_first,
    placements,
)
from gb28181.edition import Edition
from gb28181.manscdp.catalog import CatalogItem, CatalogNotify, CatalogResponse
from gb28181.manscdp.codec import decode, encode

NVR = "34020000001180000001"
SYSTEM = "34020000002000000001"
LOWER = "34020100002000000001"
GROUP = "34020000002150000001"
ORGANISATION = "34020000002160000001"
SECOND = "34020000002160000002"


def camera(number: int, **more: object) -> CatalogItem:
    values = {"name": f"camera {number}", "status": "ON", **more}
    return CatalogItem(device_id=f"3402000000132{number:07}", **values)  # type: ignore[arg-type]  # test data


def cid(number: int) -> str:
    return f"3402000000132{number:07}"


def notice(*items: CatalogItem) -> CatalogNotify:
    return CatalogNotify(sn="1", device_id=NVR, sum_num=len(items), items=items)


def filled(*numbers: int) -> Catalog:
    catalog = Catalog(NVR)
    catalog.merge(camera(number) for number in numbers)
    return catalog


def ids(catalog: Catalog) -> list[str]:
    return [item.device_id for item in catalog.items]


# Generations


def test_the_first_complete_answer_is_published_in_its_order() -> None:
    catalog = Catalog(NVR)
    difference = catalog.merge([camera(2), camera(1)])
    assert difference == CatalogDifference(added=(cid(2), cid(1)))
    assert ids(catalog) == [cid(2), cid(1)]
    assert catalog.generation == 1


def test_an_equal_answer_changes_nothing() -> None:
    assert not filled(1, 2).merge([camera(1), camera(2)])


def test_a_changed_item_is_named() -> None:
    catalog = filled(1, 2)
    difference = catalog.merge([camera(1, name="gate"), camera(2), camera(3)])
    assert difference == CatalogDifference(added=(cid(3),), changed=(cid(1),))


def test_an_item_is_removed_when_two_complete_answers_lack_it() -> None:
    catalog = filled(1, 2)
    assert catalog.merge([camera(1)]) == CatalogDifference()
    assert ids(catalog) == [cid(1), cid(2)]
    assert catalog.missing == {cid(2)}
    assert catalog.merge([camera(1)]) == CatalogDifference(removed=(cid(2),))
    assert ids(catalog) == [cid(1)]


def test_an_item_that_comes_back_was_never_gone() -> None:
    catalog = filled(1, 2)
    catalog.merge([camera(1)])
    assert catalog.merge([camera(1), camera(2)]) == CatalogDifference()
    catalog.merge([camera(1)])
    assert cid(2) in ids(catalog)


def test_an_incomplete_answer_leaves_what_is_published() -> None:
    catalog = filled(1, 2)
    catalog.note_partial(1, 2)
    assert catalog.partial == (1, 2)
    assert ids(catalog) == [cid(1), cid(2)]
    catalog.merge([camera(1), camera(2)])
    assert catalog.partial is None


def test_of_a_repeated_item_the_last_counts() -> None:
    catalog = Catalog(NVR)
    catalog.merge([camera(1, name="old"), camera(2), camera(1, name="new")])
    item = catalog.item(cid(1))
    assert item is not None
    assert item.name == "new"
    assert ids(catalog) == [cid(2), cid(1)]


def test_the_device_itself_is_no_channel_unless_it_is_alone() -> None:
    recorder = Catalog(NVR)
    recorder.merge([CatalogItem(device_id=NVR), camera(1), CatalogItem(device_id="")])
    assert ids(recorder) == [cid(1)]
    single = Catalog(cid(1))
    single.merge([camera(1)])
    assert ids(single) == [cid(1)]


# Notices


def test_on_and_off_change_the_status_alone() -> None:
    catalog = filled(1)
    difference = catalog.notify(notice(CatalogItem(device_id=cid(1), event="OFF")))
    item = catalog.item(cid(1))
    assert difference == CatalogDifference(changed=(cid(1),))
    assert item == camera(1, status="OFF")
    catalog.notify(notice(CatalogItem(device_id=cid(1), event="on")))
    assert catalog.item(cid(1)) == camera(1)


def test_lost_video_is_off_with_a_reason_until_it_is_on_again() -> None:
    catalog = filled(1)
    catalog.notify(notice(CatalogItem(device_id=cid(1), event="VLOST")))
    assert catalog.item(cid(1)) == camera(1, status="OFF", event="VLOST")
    catalog.notify(notice(CatalogItem(device_id=cid(1), event="ON")))
    assert catalog.item(cid(1)) == camera(1)


def test_del_removes_at_once() -> None:
    catalog = filled(1, 2)
    deleted = notice(CatalogItem(device_id=cid(1), event="DEL"))
    assert catalog.notify(deleted) == CatalogDifference(removed=(cid(1),))
    assert catalog.notify(deleted) == CatalogDifference()
    assert ids(catalog) == [cid(2)]


def test_add_brings_a_whole_item() -> None:
    catalog = filled(1)
    assert catalog.notify(notice(camera(2, event="ADD"))) == CatalogDifference(added=(cid(2),))
    assert catalog.item(cid(2)) == camera(2)


def test_an_update_keeps_what_it_leaves_out() -> None:
    catalog = Catalog(NVR)
    catalog.merge([camera(1, address="east gate")])
    catalog.notify(notice(CatalogItem(device_id=cid(1), event="UPDATE", name="renamed")))
    assert catalog.item(cid(1)) == camera(1, name="renamed", address="east gate")


def test_an_item_without_event_is_an_update() -> None:
    catalog = filled(1)
    catalog.notify(notice(CatalogItem(device_id=cid(1), status="OFF")))
    assert catalog.item(cid(1)) == camera(1, status="OFF")


def test_the_state_of_a_stranger_is_counted_and_adds_nothing() -> None:
    catalog = filled(1)
    stranger = notice(CatalogItem(device_id=cid(9), event="ON"), CatalogItem(device_id=""))
    assert catalog.notify(stranger) == CatalogDifference()
    assert catalog.strangers == 1


def test_an_update_of_a_missing_item_shows_that_it_is_there() -> None:
    catalog = filled(1, 2)
    catalog.merge([camera(1)])
    catalog.notify(notice(CatalogItem(device_id=cid(2), event="UPDATE", name="here")))
    assert catalog.missing == frozenset()


GENERATION = st.lists(st.integers(1, 6), max_size=6, unique=True)


@given(st.lists(GENERATION, max_size=8))
@settings(max_examples=200)
def test_the_differences_of_any_story_add_up_to_what_is_published(
    story: list[list[int]],
) -> None:
    catalog, seen = Catalog(NVR), set[str]()
    for numbers in story:
        difference = catalog.merge(camera(number) for number in numbers)
        assert not seen & set(difference.added)
        assert seen >= set(difference.removed)
        seen = (seen | set(difference.added)) - set(difference.removed)
        assert seen == set(ids(catalog))
        assert {cid(number) for number in numbers} <= seen


# Places


def test_a_camera_stands_below_the_device_that_it_names() -> None:
    recorder = CatalogItem(device_id=NVR, parent_id=SYSTEM)
    item = camera(1, parent_id=f"{ORGANISATION}/{NVR}", civil_code="340200")
    found = placements([item, recorder], SYSTEM)[cid(1)]
    assert found.parent == NVR
    assert found.organisations == (ORGANISATION,)
    assert found.pending == (ORGANISATION,)
    assert found.area == "340200"


def test_a_camera_that_names_nothing_usable_stands_below_its_sender() -> None:
    for text in (None, "", "null", " / ", cid(1), "34020000001189999999"):
        found = placements([camera(1, parent_id=text, civil_code="null")], NVR)[cid(1)]
        assert found.parent == NVR
        assert found.area == "340200"
        assert not found.is_cut


def test_an_area_as_parent_is_taken_as_the_area() -> None:
    found = placements([camera(1, parent_id="34020301")], NVR)[cid(1)]
    assert (found.parent, found.area, found.pending) == (NVR, "34020301", ())


def test_a_camera_of_a_lower_system_stands_below_it() -> None:
    lower = CatalogItem(device_id=LOWER, parent_id=SYSTEM)
    found = placements([camera(1, parent_id=LOWER), lower], SYSTEM)
    assert found[cid(1)].parent == LOWER
    assert found[LOWER].parent == SYSTEM


def test_organisations_nest_below_their_group() -> None:
    items = [
        CatalogItem(device_id=SECOND, parent_id=ORGANISATION, business_group_id=GROUP),
        CatalogItem(device_id=ORGANISATION, business_group_id=GROUP),
        CatalogItem(device_id=GROUP, parent_id=SYSTEM),
    ]
    found = placements(items, SYSTEM)
    assert found[SECOND].parent == ORGANISATION
    assert found[ORGANISATION].parent == GROUP
    assert found[GROUP].parent == SYSTEM


def test_areas_nest_and_a_province_is_a_root() -> None:
    areas = [CatalogItem(device_id=code) for code in ("34", "3402", "34020301")]
    found = placements(areas, SYSTEM)
    assert [found[item.device_id].parent for item in areas] == [None, "34", None]


def test_the_own_node_is_the_root_whatever_it_names() -> None:
    own = CatalogItem(device_id=SYSTEM, parent_id=LOWER)
    lower = CatalogItem(device_id=LOWER, parent_id=SYSTEM)
    found = placements([own, lower], SYSTEM)
    assert found[SYSTEM].parent is None
    assert found[LOWER].parent == SYSTEM
    assert not any(one.is_cut for one in found.values())


def test_a_circle_of_parents_is_cut_once() -> None:
    items = [camera(1, parent_id=cid(2)), camera(2, parent_id=cid(3)), camera(3, parent_id=cid(1))]
    found = placements(items, NVR)
    assert sum(one.is_cut for one in found.values()) == 1
    assert sum(one.parent == NVR for one in found.values()) == 1


@given(st.lists(st.integers(0, 9), min_size=9, max_size=9))
@settings(max_examples=200)
def test_every_item_reaches_the_root_whatever_it_names(parents: list[int]) -> None:
    items = [camera(n + 1, parent_id=cid(parent)) for n, parent in enumerate(parents)]
    found = placements(items, NVR)
    for item in items:
        at: str | None = item.device_id
        for _ in range(12):
            at = found[at].parent if at in found else None
        assert at is None


def test_parents_go_before_children() -> None:
    items = [
        camera(1, parent_id=NVR),
        CatalogItem(device_id=NVR, parent_id=SYSTEM),
        CatalogItem(device_id=SECOND, parent_id=ORGANISATION, business_group_id=GROUP),
        CatalogItem(device_id=ORGANISATION, business_group_id=GROUP),
        CatalogItem(device_id="3402"),
        CatalogItem(device_id=GROUP),
        CatalogItem(device_id=LOWER),
        CatalogItem(device_id=SYSTEM),
        CatalogItem(device_id="34"),
    ]
    expected = [SYSTEM, LOWER, "34", "3402", GROUP, ORGANISATION, SECOND, NVR, cid(1)]
    assert [item.device_id for item in parents_first(items, SYSTEM)] == expected


def test_a_long_chain_of_parents_is_no_burden() -> None:
    items = [camera(number, parent_id=cid(number + 1)) for number in range(5000)]
    ordered = parents_first(items, NVR)
    assert [item.device_id for item in ordered] == [cid(n) for n in reversed(range(5000))]


# Pages


def cut(items: list[CatalogItem], budget: int = 1300) -> list[CatalogResponse]:
    return pages(items, sn="7", device_id=NVR, budget=budget, edition=Edition.GB2016)


def test_no_items_are_one_page() -> None:
    assert cut([]) == [CatalogResponse(sn="7", device_id=NVR, sum_num=0)]


def test_an_item_above_the_budget_is_a_page_of_its_own() -> None:
    large = {"address": "x" * 3000}
    items = [camera(1, **large), camera(2), camera(3, **large), camera(4)]
    assert [len(page.items) for page in cut(items)] == [1, 1, 1, 1]


def test_the_count_of_a_page_has_room_for_its_digits() -> None:
    items = [camera(number) for number in range(30)]
    for budget in range(2500, 2800):
        assert all(len(encode(page, Edition.GB2016)) <= budget for page in cut(items, budget))


@given(st.lists(st.text("东门a& ", max_size=80), min_size=1, max_size=40), st.integers(600, 4000))
@settings(max_examples=100, deadline=None)
def test_pages_fit_the_budget_and_hold_everything_once(names: list[str], budget: int) -> None:
    items = [camera(number, name=f"n{name}") for number, name in enumerate(names)]
    cut_pages = cut(items, budget)
    assert [item for page in cut_pages for item in page.items] == items
    for page in cut_pages:
        assert page.sum_num == len(items)
        assert page.items
        assert len(encode(page, Edition.GB2016)) <= budget


def test_pages_are_not_smaller_than_they_must_be() -> None:
    items = [camera(number) for number in range(100)]
    cut_pages = cut(items)
    for page, following in pairwise(cut_pages):
        larger = CatalogResponse(
            sn="7", device_id=NVR, sum_num=100, items=(*page.items, following.items[0])
        )
        assert len(encode(larger, Edition.GB2016)) > 1300 - 8


def test_what_was_cut_is_read_again_as_it_was() -> None:
    items = [camera(number, civil_code="340200") for number in range(30)]
    read: list[CatalogItem] = []
    for page in cut(items):
        message = decode(encode(page, Edition.GB2016)).message
        assert isinstance(message, CatalogResponse)
        read += message.items
    assert read == items


def test_the_own_node_of_a_platform_without_cameras_is_no_channel() -> None:
    platform_id = "34020000002000000001"
    catalog = Catalog(platform_id)
    assert not catalog.merge([CatalogItem(device_id=platform_id, name="county")])
    assert catalog.items == ()


def test_a_circle_of_parents_is_named() -> None:
    a, b = "34020000001320000001", "34020000001320000002"
    round_about = [CatalogItem(device_id=a, parent_id=b), CatalogItem(device_id=b, parent_id=a)]
    assert len(circles(round_about, NVR)) == 1
    straight = [CatalogItem(device_id=a, parent_id=NVR), CatalogItem(device_id=b, parent_id=a)]
    assert circles(straight, NVR) == ()
    assert circles(straight[:1], NVR) == ()
