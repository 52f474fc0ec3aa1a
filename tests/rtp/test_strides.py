from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp import strides

try:  # the compiled build has both
    from rtp import _native
except ImportError:
    FORMS: list[ModuleType] = [strides]
else:
    FORMS = [strides, _native]

HEADS = st.tuples(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
)
USUAL = st.integers(0, 0xFFFF).flatmap(
    lambda first: st.integers(1, 20).map(
        lambda count: [(0x80, 96, first + index & 0xFFFF, 900, 7) for index in range(count)]
    )
)


def lay(heads: Sequence[tuple[int, ...]], start: int, stride: int) -> bytearray:
    data = bytearray(b"\xaa" * (start + stride * len(heads)))
    for index, head in enumerate(heads):
        struct.pack_into("!BBHII", data, start + index * stride, *head)
    return data


@pytest.mark.parametrize("form", FORMS)
@given(heads=st.lists(HEADS, min_size=1, max_size=20) | USUAL, stride=st.sampled_from([12, 15]))
def test_facts_are_those_of_every_packet(
    form: ModuleType, heads: list[tuple[int, ...]], stride: int
) -> None:
    versions, kinds, numbers, ticks, sources = zip(*heads, strict=True)
    assert form.scan(lay(heads, 3, stride), 3, stride, len(heads)) == (
        all(one >> 6 == 2 for one in versions) and all(not 200 <= one <= 204 for one in kinds),
        set(versions) == {0x80},
        all(after == before + 1 for before, after in itertools.pairwise(numbers)),
        sources[0] if len(set(sources)) == 1 else -1,
        ticks[0] if len(set(ticks)) == 1 else -1,
        numbers[0],
        numbers[-1],
        ticks[0],
        ticks[-1],
    )


@pytest.mark.parametrize("form", FORMS)
@given(
    heads=st.lists(HEADS, min_size=1, max_size=20) | USUAL,
    stride=st.sampled_from([12, 15]),
    ssrc=st.integers(0, 0xFFFFFFFF),
    sequence=st.integers(-0xFFFF, 0xFFFF),
    ticks=st.integers(-0xFFFFFFFF, 0xFFFFFFFF),
    kind=st.sampled_from([-1, 33, 96]),
)
def test_headers_are_rewritten_and_nothing_else(
    form: ModuleType,
    heads: list[tuple[int, ...]],
    stride: int,
    ssrc: int,
    sequence: int,
    ticks: int,
    kind: int,
) -> None:
    data = lay(heads, 3, stride)
    form.rewrite(data, 3, stride, len(heads), ssrc, sequence, ticks, kind)
    wanted = [
        (
            version,
            second if kind < 0 or second & 0x7F in (0, 4, 8, 9, 18, 20) else second & 0x80 | kind,
            number + sequence & 0xFFFF,
            stamp + ticks & 0xFFFFFFFF,
            ssrc,
        )
        for version, second, number, stamp, _ in heads
    ]
    assert data == lay(wanted, 3, stride)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [(0, 12, 3), (-1, 12, 1), (25, 12, 1), (0, 2**40, 2**40)])
def test_nothing_outside_of_the_buffer_is_read_or_written(
    form: ModuleType, place: tuple[int, int, int]
) -> None:
    data = bytearray(35)
    with pytest.raises((ValueError, struct.error, MemoryError, OverflowError)):
        form.scan(data, *place)
    with pytest.raises((ValueError, struct.error, MemoryError, OverflowError)):
        form.rewrite(data, *place, 1, 1, 1, -1)
    assert data == bytearray(35)
