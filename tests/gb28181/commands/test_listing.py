"""Asking for catalogues: complete or told how much, parts asked for again, contradictions noted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gb28181.errors import AnswerIncomplete
from gb28181.manscdp.catalog import CatalogItem, CatalogQuery, CatalogResponse
from gb28181.testing.answering import AnsweringDevice
from gb28181.testing.simulation import Simulation

Make = Callable[..., Awaitable[AnsweringDevice]]


def camera_of(number: int, parent: str) -> CatalogItem:
    return CatalogItem(
        device_id=f"3402000000132{100 + number:07d}", name=f"camera {number}", parent_id=parent
    )


def page(query: CatalogQuery, items: list[CatalogItem], total: int) -> CatalogResponse:
    return CatalogResponse(
        sn=query.sn, device_id=query.device_id, sum_num=total, items=tuple(items)
    )


async def test_the_progress_is_told_part_by_part(answering: Make) -> None:
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(5)]
    device.scripts[CatalogQuery] = lambda query: [
        page(query, cameras[:2], 5),
        page(query, cameras[2:4], 5),
        page(query, cameras[4:], 5),
    ]
    told: list[tuple[int, int]] = []
    answer = await device.remote.catalog(progress=lambda *progress: told.append(progress))
    assert answer.complete
    assert told == [(2, 5), (4, 5), (5, 5)]


async def test_only_silence_ends_the_wait(gb: Simulation, answering: Make) -> None:
    """A catalogue that takes five minutes arrives whole."""
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(12)]

    async def slowly(query: CatalogQuery) -> None:
        for one in cameras:
            await gb.advance(25)
            await device.say(page(query, [one], len(cameras)))

    async def serve() -> None:
        await gb.until(lambda: device.asked)
        await slowly(device.asked[0])

    await gb.start(serve())
    assert len((await device.remote.catalog()).items) == 12
    assert len(device.asked) == 1


async def test_what_is_missing_is_asked_for_by_sub_tree(answering: Make) -> None:
    device = await answering()
    folder = "34020000002150000001"
    empty = "34020000002150000002"
    folders = [
        CatalogItem(device_id=folder, name="gate", parent_id=device.id),
        CatalogItem(device_id=empty, name="yard", parent_id=device.id),
    ]
    inside = [camera_of(number, folder) for number in range(3)]

    def told(query: CatalogQuery) -> list[Any]:
        if query.device_id == folder:
            return [page(query, inside, 3)]
        return [page(query, [*folders, inside[0]], 5)]

    device.scripts[CatalogQuery] = told
    answer = await device.remote.catalog()
    assert answer.complete
    assert [query.device_id for query in device.asked] == [device.id, folder]
    assert len(device.remote.channels) == 5
    assert device.remote.tree.partial is None


async def test_a_flat_catalogue_is_asked_for_once_more_and_the_parts_are_joined(
    answering: Make,
) -> None:
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(4)]
    tries: list[str] = []

    def told(query: CatalogQuery) -> list[Any]:
        tries.append(query.sn)
        return [page(query, cameras[:3] if len(tries) == 1 else cameras[1:], 4)]

    device.scripts[CatalogQuery] = told
    answer = await device.remote.catalog()
    assert (answer.received, answer.expected) == (4, 4)
    assert len(device.remote.channels) == 4


async def test_an_incomplete_catalogue_leaves_the_old_one_and_says_how_much_came(
    answering: Make,
) -> None:
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(52)]
    device.scripts[CatalogQuery] = lambda query: [page(query, cameras, 52)]
    await device.remote.catalog()
    device.scripts[CatalogQuery] = lambda query: [page(query, cameras[:37], 52)]
    with pytest.raises(AnswerIncomplete, match="37 of 52 items"):
        await device.remote.catalog()
    assert len(device.remote.channels) == 52
    assert device.remote.tree.partial == (37, 52)
    assert device.remote.quirks_seen["fewer items than SumNum"] == 2


async def test_a_deletion_needs_two_complete_catalogues(answering: Make) -> None:
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(3)]
    device.scripts[CatalogQuery] = lambda query: [page(query, cameras, len(cameras))]
    await device.remote.catalog()
    del cameras[2]
    await device.remote.catalog()
    assert len(device.remote.channels) == 3
    await device.remote.catalog()
    assert len(device.remote.channels) == 2


async def test_a_sum_that_changes_is_taken_at_its_largest_and_flagged(answering: Make) -> None:
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(4)]
    device.scripts[CatalogQuery] = lambda query: [
        page(query, cameras[:2], 3),
        page(query, cameras[2:], 4),
    ]
    assert len((await device.remote.catalog()).items) == 4
    assert device.remote.quirks_seen["SumNum differs from part to part"] == 1


async def test_more_items_than_announced_and_duplicates_are_taken_and_flagged(
    answering: Make,
) -> None:
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(2)]
    device.scripts[CatalogQuery] = lambda query: [page(query, [*cameras, cameras[0]], 2)]
    answer = await device.remote.catalog()
    assert answer.complete
    assert len(device.remote.channels) == 2
    seen = dict(device.remote.quirks_seen.items())
    assert seen["more items than SumNum"] == 1
    assert seen["an item comes twice"] == 1


async def test_nothing_at_all_is_a_complete_answer(answering: Make) -> None:
    device = await answering()
    device.scripts[CatalogQuery] = lambda query: [page(query, [], 0)]
    assert (await device.remote.catalog()).complete
    assert device.remote.channels == ()


async def test_a_late_part_updates_what_is_known_and_never_replaces_the_tree(
    answering: Make,
) -> None:
    """Tiandy recorders send single items under an old SN."""
    device = await answering()
    cameras = [camera_of(number, device.id) for number in range(3)]
    device.scripts[CatalogQuery] = lambda query: [page(query, cameras, 3)]
    await device.remote.catalog()
    late = CatalogItem(device_id=cameras[0].device_id, name="new name")
    stranger = CatalogItem(device_id="34020000001320000999", name="never heard of")
    query = CatalogQuery(sn="1", device_id=device.id)
    assert await device.say(page(query, [late, stranger], 2)) == 200
    assert [item.name for item in device.remote.channels] == ["new name", "camera 1", "camera 2"]
    assert device.platform.inbox.counters["unasked-answer"] == 1
