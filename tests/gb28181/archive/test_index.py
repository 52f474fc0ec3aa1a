"""The index: what is there, what is asked for, and what is hopeless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gb28181.archive.index import Index, Piece, without


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    index = Index(tmp_path / "index.db")
    yield index
    index.close()


def piece(start: float, end: float, path: str = "a.mp4", **more: object) -> Piece:
    values = {"id": 0, "channel": "one", "start": start, "end": end, "path": path, "size": 10}
    return Piece(**{**values, **more})  # type: ignore[arg-type]


def test_pieces_that_touch_cover_one_stretch(index: Index) -> None:
    index.add([piece(0, 10), piece(10.5, 20, "b.mp4"), piece(30, 40, "c.mp4")])
    index.add([piece(0, 100, channel="two")])
    assert index.covered("one", 5, 50) == [(5, 20), (30, 40)]
    assert index.covered("one", 22, 28) == []


def test_what_is_being_written_reaches_to_now(index: Index) -> None:
    number = index.begin("one", 100.0, "a.mp4")
    assert index.covered("one", 0, 160) == [(100, 160)]
    assert [one.id for one in index.unfinished()] == [number]
    index.finish(number, 100.5, 150.0, 77)
    assert index.covered("one", 0, 160) == [(100.5, 150)]
    assert index.unfinished() == []
    assert index.size() == 77


def test_a_file_of_several_pieces_counts_once_and_goes_as_a_whole(index: Index) -> None:
    index.add([piece(0, 10), piece(12, 20, offset=12.0)])
    assert index.size() == 10
    index.drop("a.mp4")
    assert index.find("one", 0, 100) == []


def test_the_index_is_there_again_after_a_restart(tmp_path: Path) -> None:
    first = Index(tmp_path / "index.db")
    first.add([piece(0, 10)])
    assert first.since("one", 5.0) == 5.0
    first.close()
    again = Index(tmp_path / "index.db")
    assert again.covered("one", 0, 100) == [(0, 10)]
    assert again.since("one", 500.0) == 5.0
    assert again.channels() == ["one"]
    again.close()


def test_what_a_disk_lacks_is_asked_for_less_and_less_and_then_never(index: Index) -> None:
    span = (10.0, 20.0)
    asked = []
    now = 0.0
    for _ in range(100):
        if index.absent("one", now, (300.0, 3600.0)) == []:
            index.note_absent("one", span, now)
            asked.append(now)
        now += 100.0
    assert asked == [0.0, 300.0, 3900.0]
    assert index.absent("one", 1e9, (300.0, 3600.0)) == [span]


def test_alarms_ask_for_what_plans_do_not(index: Index) -> None:
    index.note_alarm("one", 100, 160)
    index.note_alarm("one", 150, 210)
    assert index.alarms("one", 120, 1000) == [(120, 210)]
    index.forget("one", 160)
    assert index.alarms("one", 0, 1000) == [(150, 210)]


def test_a_file_that_is_no_index_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "index.db").write_bytes(b"nothing of use" * 100)
    with pytest.raises(OSError, match=r"index\.db is no archive index"):
        Index(tmp_path / "index.db")


SPANS = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 40)).map(lambda p: (p[0], p[0] + p[1])),
    max_size=8,
)


@given(SPANS, SPANS)
def test_without_leaves_what_is_in_one_and_not_in_the_other(
    spans: list[tuple[int, int]], taken: list[tuple[int, int]]
) -> None:
    def seconds(of: list[tuple[float, float]]) -> set[int]:
        return {second for a, b in of for second in range(int(a), int(b))}

    left = without([(float(a), float(b)) for a, b in spans], taken)
    assert seconds(left) == seconds(list(spans)) - seconds(list(taken))
