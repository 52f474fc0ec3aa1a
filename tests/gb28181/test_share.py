"""What a lower platform shows, and under which ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gb28181.errors import ConfigError
from gb28181.manscdp.catalog import CatalogItem
from gb28181.share import IdMap, Share

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
