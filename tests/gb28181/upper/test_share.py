"""What a lower platform shows, and under which ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gb28181.errors import ConfigError
from gb28181.manscdp.catalog import CatalogItem
from gb28181.upper.share import IdMap, Share, TreeStyle, subtree

OWN = CatalogItem(device_id="34020000002000000001", name="county", civil_code="340200")


def item(device_id: str, **fields: str) -> CatalogItem:
    return replace(CatalogItem(device_id=device_id, name=device_id, parent_id="else"), **fields)  # type: ignore[arg-type]


def test_ids_are_mapped_both_ways_and_pass_without_an_entry() -> None:
    ids = IdMap({"inner": "outer"})
    assert (ids.published("inner"), ids.own("outer")) == ("outer", "inner")
    assert (ids.published("other"), ids.own("other")) == ("other", "other")
    assert ids.own("inner") == ""  # not to be had under its own id as well


def test_two_channels_under_one_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="one id"):
        IdMap({"a": "x", "b": "x"})


def test_a_map_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "map.json"
    file.write_text('{"inner": "outer"}', "utf-8")
    assert IdMap.load(file).own("outer") == "inner"
    for wrong in ("[1]", '{"inner": 1}', "{"):
        file.write_text(wrong, "utf-8")
        with pytest.raises(ConfigError, match=r"map\.json"):
            IdMap.load(file)
    with pytest.raises(OSError, match="absent"):
        IdMap.load(tmp_path / "absent.json")


def test_the_tree_begins_with_ourselves_and_tells_no_secrets() -> None:
    share = Share(ids=IdMap({"cam1": "pub1"}))
    below = [
        ("nvr", item("cam1", password="secret", civil_code="371328"), True),
        ("nvr", item("cam2", status="ON"), False),
    ]
    tree = share.tree(OWN, below)
    assert [one.device_id for one in tree] == [OWN.device_id, "pub1", "cam2"]
    assert tree[0].parent_id is None
    assert [one.parent_id for one in tree[1:]] == [OWN.device_id] * 2
    assert [one.status for one in tree[1:]] == ["ON", "OFF"]
    assert [one.civil_code for one in tree[1:]] == ["371328", "340200"]
    assert tree[1].password is None


def test_what_is_not_wanted_is_not_in_the_tree() -> None:
    share = Share(wanted=lambda one: one.device_id != "cam1")
    below = [("nvr", item("cam1"), True), ("nvr", item("cam2"), True)]
    assert [one.device_id for one in share.tree(OWN, below)][1:] == ["cam2"]
    assert not share.publishes(item("cam1"))


GROUP, HALL, ROOM = "34020000002150000001", "34020000002160000001", "34020000002160000002"
NVR, LOWER = "34020000001180000001", "34020300002000000001"
CAMERAS = [f"3402030000132000000{n}" for n in range(1, 5)]


def node(device_id: str, **fields: str) -> CatalogItem:
    return CatalogItem(device_id=device_id, name=f"n{device_id[-1]}", **fields)  # type: ignore[arg-type]


def below() -> list[tuple[str, CatalogItem, bool]]:
    """A recorder, and a lower platform with a group of its own; children before parents."""
    return [
        (NVR, node(CAMERAS[0], parent_id=NVR, civil_code="340203"), True),
        (LOWER, node(CAMERAS[1], parent_id=f"{LOWER}/{ROOM}", civil_code="34020301"), False),
        (LOWER, node(ROOM, parent_id=HALL, business_group_id=GROUP), True),
        (LOWER, node(HALL, business_group_id=GROUP), True),
        (LOWER, node(GROUP, parent_id=LOWER), True),
    ]


def parents(tree: list[CatalogItem]) -> dict[str, str | None]:
    return {one.device_id: one.parent_id for one in tree}


def test_the_places_below_are_kept_and_parents_come_first() -> None:
    tree = Share(style=TreeStyle.TREE).tree(OWN, below())
    assert parents(tree) == {
        OWN.device_id: None,
        LOWER: OWN.device_id,
        GROUP: LOWER,
        HALL: None,  # directly under its group: BusinessGroupID alone
        ROOM: HALL,
        CAMERAS[0]: OWN.device_id,
        CAMERAS[1]: f"{LOWER}/{ROOM}",
    }
    order = [one.device_id for one in tree]
    assert order[:5] == [OWN.device_id, LOWER, GROUP, HALL, ROOM]
    assert [one.status for one in tree[2:5]] == [None] * 3
    assert tree[3].business_group_id == GROUP


def test_areas_reach_up_to_our_own() -> None:
    share = Share(style=TreeStyle.CIVIL, area_names={"3402": "芜湖"})
    tree = share.tree(OWN, below())
    areas = {one.device_id: one for one in tree if len(one.device_id) <= 8}
    assert list(areas) == ["3402", "340200", "340203", "34020301"]
    assert areas["3402"] == CatalogItem(device_id="3402", name="芜湖")


def test_groups_of_our_own_hold_channels_in_any_style() -> None:
    share = Share(
        groups=(node(HALL, business_group_id=GROUP), node(GROUP)),
        members={CAMERAS[0]: (HALL,)},
        ids=IdMap({CAMERAS[0]: "37020300001320000001"}),
    )
    tree = share.tree(OWN, below()[:1])
    assert parents(tree) == {
        OWN.device_id: None,
        GROUP: OWN.device_id,
        HALL: None,
        "37020300001320000001": f"{OWN.device_id}/{HALL}",
    }
    assert tree[1].civil_code == "340200"


def test_mapped_parents_are_published_under_their_map() -> None:
    ids = IdMap({LOWER: "37020000002000000001", ROOM: "37020000002160000001"})
    tree = Share(style=TreeStyle.TREE, ids=ids).tree(OWN, below()[1:])
    assert parents(tree)[CAMERAS[1]] == "37020000002000000001/37020000002160000001"


def test_a_circle_of_parents_is_served_below_its_owner() -> None:
    first, second = node(CAMERAS[0], parent_id=CAMERAS[1]), node(CAMERAS[1], parent_id=CAMERAS[0])
    tree = Share(style=TreeStyle.TREE).tree(OWN, [(NVR, first, True), (NVR, second, True)])
    assert {one.device_id for one in tree[1:]} == set(CAMERAS[:2])
    assert OWN.device_id in parents(tree).values()


def test_part_of_a_tree_is_found_by_any_of_its_nodes() -> None:
    tree = Share(style=TreeStyle.CIVIL).tree(OWN, below())

    def ids(asked: str) -> set[str]:
        return {one.device_id for one in subtree(tree, asked)}

    assert subtree(tree, OWN.device_id) == tree
    assert ids(LOWER) == {LOWER, GROUP, HALL, ROOM, CAMERAS[1]}
    assert ids(GROUP) == {GROUP, HALL, ROOM, CAMERAS[1]}
    assert ids(HALL) == {HALL, ROOM, CAMERAS[1]}
    assert ids(CAMERAS[0]) == {CAMERAS[0]}
    assert ids("340203") == {"340203", "34020301", CAMERAS[0], CAMERAS[1]}
    assert ids("34020301") == {"34020301", CAMERAS[1]}
    assert ids("nothing") == set()
    assert subtree([], "340203") == []


def test_lost_video_and_a_fault_keep_their_name() -> None:
    away = replace(item("cam1", status="OFF"), event="VLOST")
    tree = Share().tree(OWN, [("nvr", away, False), ("nvr", replace(away, device_id="b"), True)])
    assert [(one.status, one.event) for one in tree[1:]] == [("OFF", "VLOST"), ("ON", None)]
