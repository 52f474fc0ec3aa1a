from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp import strides

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


@pytest.fixture(scope="module", params=["python", "C"])
def form(request: pytest.FixtureRequest, native: Callable[[str], ModuleType]) -> ModuleType:
    return strides if request.param == "python" else native("rtp")


def lay(heads: Sequence[tuple[int, ...]], start: int, stride: int) -> bytearray:
    data = bytearray(b"\xaa" * (start + stride * len(heads)))
    for index, head in enumerate(heads):
        struct.pack_into("!BBHII", data, start + index * stride, *head)
    return data


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
        kinds[0] & 0x7F if len({one & 0x7F for one in kinds}) == 1 else -1,
    )


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


def frames(packets: list[bytes]) -> list[tuple[bytes, int, int, bool]]:
    """Say packet by packet what belongs together."""
    parts: list[list[bytes]] = []
    for packet in packets:
        before = parts[-1] if parts else [packet]
        is_cut = len(before[-1]) != len(before[0]) and packet[15:16] == b"\xba"
        is_other = before[-1][4:8] != packet[4:8] or before[-1][1] >= 0x80
        if not parts or is_cut or is_other:
            parts.append([])
        parts[-1].append(packet)
    ends = itertools.accumulate(map(len, parts))
    return [
        (
            b"".join(packet[12:] for packet in part),
            end,
            int.from_bytes(part[0][4:8], "big"),
            part[-1][1] >= 0x80,
        )
        for part, end in zip(parts, ends, strict=True)
    ]


@pytest.mark.parametrize("has_bounds", [False, True])
@given(
    packets=st.lists(
        st.tuples(
            st.sampled_from([96, 96, 96, 224]),
            st.sampled_from([900, 900, 900, 0xFFFFFFFF]),
            st.sampled_from([b"\0\0\1\xba", b"\0\0\1\xe0", b"\0\0\1", b"", b"\0\0\1\xbatail"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_payloads_are_joined_frame_by_frame(
    form: ModuleType, has_bounds: bool, packets: list[tuple[int, int, bytes]]
) -> None:
    heads = [(0x80, second, number, ticks, 7) for number, (second, ticks, _) in enumerate(packets)]
    stride = 20
    data = lay(heads, 3, stride)
    bounds = [(3 + stride * index, 12 + len(one[2])) for index, one in enumerate(packets)]
    for (offset, length), (_, _, payload) in zip(bounds, packets, strict=True):
        data[offset + 12 : offset + length] = payload
    lengths, given_bounds = [length for _, length in bounds], bounds if has_bounds else None
    found, end = [], 0
    while end < len(packets):
        found.append(form.join(data, 3, stride, lengths, given_bounds, end))
        end = found[-1][1]
    assert found == frames([bytes(data[offset : offset + length]) for offset, length in bounds])


@pytest.mark.parametrize(
    ("lengths", "bounds", "first"),
    [
        ([12, 12], None, 2),
        ([12, 12], None, -1),
        ([12, 24], None, 0),
        ([11], None, 0),
        ([-1], None, 0),
        ([12, 12], [(0, 12)], 0),
        ([12], [(-1, 12)], 0),
        ([12], [(24, 12)], 0),
        ([2**62], [(2**62, 2**62)], 0),
        ([12], [7], 0),
        ([None], None, 0),
    ],
)
def test_no_payload_outside_of_the_buffer_is_joined(
    native: Callable[[str], ModuleType],
    lengths: list[int],
    bounds: list[tuple[int, int]] | None,
    first: int,
) -> None:  # the form in Python leaves that to the interpreter
    with pytest.raises(ValueError, match=r"outside of the buffer|no such packet"):
        native("rtp").join(bytearray(35), 0, 12, lengths, bounds, first)
