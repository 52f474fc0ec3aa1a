from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp.access_unit import AccessUnit, Codec
from rtp.batch import PacketBatch
from rtp.framing import Deframer, frame
from rtp.mpegps.muxer import PsMuxer
from rtp.packet import parse
from rtp.packetizer import Packetizer


def make_batch(packets: list[bytes], gap: int = 0) -> PacketBatch:
    data, bounds = bytearray(), []
    for packet in packets:
        data += bytes(gap)
        bounds.append((len(data), len(packet)))
        data += packet
    return PacketBatch(data, bounds, 1.5)


@settings(max_examples=100)
@given(
    sizes=st.lists(st.tuples(st.sampled_from([1, 20, 1400]), st.booleans()), max_size=20),
    gap=st.sampled_from([0, 2]),
    ssrc=st.integers(0, 0xFFFFFFFF),
    sequence=st.integers(0, 0xFFFF),
    ticks=st.integers(-5, 0xFFFFFFFF),
    payload_type=st.sampled_from([None, 33]),
)
def test_rewriting_changes_the_header_of_every_packet_and_nothing_else(
    sizes: list[tuple[int, bool]],
    gap: int,
    ssrc: int,
    sequence: int,
    ticks: int,
    payload_type: int | None,
) -> None:
    packetizer = Packetizer(ssrc=7, sequence_number=0xFFFA)
    stamp, packets = 0xFFFFFF00, []
    for size, is_next in sizes:
        stamp += 3600 * is_next
        packets += packetizer.push(bytes((size & 0xFF,)) * size, stamp)
    batch = make_batch(packets, gap)
    batch.rewrite(
        ssrc=ssrc, sequence_offset=sequence, timestamp_offset=ticks, payload_type=payload_type
    )
    for old, new in zip(packets, batch.packets(), strict=True):
        before, after = parse(old), parse(bytes(new))
        assert after.payload == before.payload
        assert after.marker == before.marker
        assert after.payload_type == (payload_type or 96)
        assert after.ssrc == ssrc
        assert after.sequence_number == (before.sequence_number + sequence) & 0xFFFF
        assert after.timestamp == (before.timestamp + ticks) & 0xFFFFFFFF


def test_a_copy_is_not_touched_by_a_rewrite() -> None:
    batch = make_batch(Packetizer(ssrc=1).push(b"abc", 5))
    copy = batch.copy()
    batch.rewrite(ssrc=2, sequence_offset=0, timestamp_offset=0)
    assert parse(bytes(copy.packets()[0])).ssrc == 1
    assert copy.received == batch.received


def test_frames_are_what_a_deframer_reads() -> None:
    packets = Packetizer(ssrc=1).push(bytes(3000), 5)
    batch = make_batch(packets)
    assert batch.to_frames() == b"".join(frame(packet) for packet in packets)
    assert Deframer().push(bytes(batch.to_frames())) == packets
    assert batch.size == 3000 + 3 * 12


def test_segments_end_with_a_shorter_packet_and_never_hold_a_longer_one() -> None:
    batch = make_batch([bytes(size) for size in (100, 100, 40, 40, 100, 100)])
    assert [(s.first, s.packets, s.size) for s in batch.segments()] == [
        (0, 3, 100),
        (3, 1, 40),
        (4, 2, 100),
    ]


def test_segments_keep_the_limits_of_one_send() -> None:
    batch = make_batch([bytes(1412)] * 100, gap=2)
    segments = list(batch.segments())
    assert [s.packets for s in segments] == [46, 46, 8]
    assert not segments[0].contiguous
    assert make_batch([bytes(20)] * 2).segments()[0].contiguous
    assert [s.packets for s in make_batch([bytes(60_000)] * 2).segments()] == [1, 1]


H264_KEY = bytes.fromhex("00000001676400280000000168ee3cb000000001658884")
H265_KEY = bytes.fromhex("0000000146010000000140010c01000000014201010000000126019900")


@pytest.mark.parametrize("headers", ["all", "map", "none"])
@pytest.mark.parametrize(("codec", "data"), [(Codec.H264, H264_KEY), (Codec.H265, H265_KEY)])
def test_a_group_begins_at_the_key_picture(codec: Codec, data: bytes, headers: str) -> None:
    muxer, packetizer = PsMuxer(codec, Codec.PCMA), Packetizer(ssrc=1)
    key = muxer.push(AccessUnit(codec=codec, data=data, pts=0, dts=0, is_key=True))
    system, video = key.index(b"\0\0\1\xbc"), key.index(b"\0\0\1\xe0")
    if headers != "all":
        key = key[:14] + key[system if headers == "map" else video :]
    other = muxer.push(
        AccessUnit(codec=codec, data=b"\0\0\0\1\x02\x01\xd0" + bytes(3000), pts=0, dts=0)
    )
    packets = packetizer.push(other, 0) + packetizer.push(key, 3600)
    batch = make_batch(packets)
    assert batch.group_start() == 3
    assert batch.starts_group
    assert batch.from_index(3).packets()[0] == packets[3]
    assert not make_batch(packets[:3]).starts_group


def test_a_group_start_is_seen_behind_a_header_extension() -> None:
    head = bytes.fromhex("9060000100000001000000ff") + bytes.fromhex("bede0000")
    pack = bytes.fromhex("000001ba000001bb000c")
    assert not make_batch([bytes.fromhex("9060000100000001000000ffbede0fff")]).starts_group
    assert make_batch([head + pack]).starts_group


@given(st.binary(max_size=60))
def test_any_payload_can_be_asked_for_a_group_start(data: bytes) -> None:
    packet = bytes.fromhex("8060000100000001000000ff") + b"\0\0\1\xba" + data
    assert make_batch([packet]).group_start() in (None, 0)


def test_selected_packets_share_the_buffer() -> None:
    batch = make_batch([bytes(12), bytes(13)])
    kept = batch.select([False, True])
    assert len(kept) == 1
    assert kept.data is batch.data


def strided(packets: list[bytes], stride: int) -> PacketBatch:
    """As they are read from a socket: each a stride after the one before, junk between."""
    data, bounds = bytearray(), []
    for packet in packets:
        bounds.append((len(data), len(packet)))
        data += packet.ljust(stride, b"\xba")
    last, length = bounds[-1]
    return PacketBatch(data[: last + length], bounds, 1.5, stride)


@settings(max_examples=200)
@given(
    sizes=st.lists(st.tuples(st.sampled_from([1, 20, 384]), st.booleans()), min_size=1),
    stride=st.sampled_from([400, 512]),
    start=st.sampled_from([0, 0xFFF8]),
    sequence=st.sampled_from([0, 5, 0xFFF4, -7]),
    ticks=st.integers(-5, 0xFFFFFFFF),
    payload_type=st.sampled_from([None, 33, 96]),
)
def test_the_batch_of_a_socket_is_rewritten_and_cut_as_any_other(
    sizes: list[tuple[int, bool]],
    stride: int,
    start: int,
    sequence: int,
    ticks: int,
    payload_type: int | None,
) -> None:
    packetizer, packets, stamp = Packetizer(ssrc=7, sequence_number=start), [], 0xFFFFFF00
    for size, is_next in sizes:
        stamp += 3600 * is_next
        packets += packetizer.push(b"\x00\x00\x01\xba" + bytes(size - 1), stamp)
    fast, slow = strided(packets, stride), make_batch(packets)
    assert fast.heads == slow.heads
    assert (fast.is_plain, fast.is_run) == (slow.is_plain, slow.is_run)
    for batch in (fast, slow):
        batch.rewrite(
            ssrc=9, sequence_offset=sequence, timestamp_offset=ticks, payload_type=payload_type
        )
    assert list(map(bytes, fast.packets())) == list(map(bytes, slow.packets()))
    assert fast.heads == slow.heads
    assert fast.to_frames() == slow.to_frames()
    ours, theirs = list(fast.segments()), list(slow.segments())
    assert [segment[:3] for segment in ours] == [segment[:3] for segment in theirs]
    for segment in ours:
        if segment.contiguous:
            first = fast.bounds[segment.first][0]
            offset, length = fast.bounds[segment.first + segment.packets - 1]
            whole = b"".join(map(bytes, fast.packets()[segment.first :][: segment.packets]))
            assert bytes(fast.data[first : offset + length]) == whole


@pytest.mark.parametrize("at", [0, 3, 6, None])
def test_a_group_start_is_found_among_packets_of_a_socket(at: int | None) -> None:
    unit = AccessUnit(codec=Codec.H264, data=b"\x00\x00\x01\x65\x88", pts=0, dts=0, is_key=True)
    pack = PsMuxer(Codec.H264, None).push(unit)
    packetizer = Packetizer(ssrc=1)
    payloads = [pack if index == at else b"\x00\x00\x01\xba" for index in range(7)]
    packets = [packetizer.push(payload, 0)[0] for payload in payloads]
    batch = strided(packets, 400)
    assert batch.group_start() == at
    assert batch.copy().group_start() == at
    assert batch.from_index(1).group_start() == (at - 1 if at else None)


def test_audio_of_its_own_payload_type_keeps_it() -> None:
    video, audio = Packetizer(ssrc=1), Packetizer(ssrc=1, payload_type=8, sequence_number=8)
    packets = video.push(bytes(8 * 1400), 0) + audio.push(bytes(160), 0)
    for stride in (0, 1412):
        batch = make_batch(packets)
        batch = PacketBatch(batch.data, batch.bounds, 0.0, stride, None, 9 if stride else None)
        batch.rewrite(ssrc=2, sequence_offset=0, timestamp_offset=0, payload_type=98)
        kinds = [parse(bytes(packet)).payload_type for packet in batch.packets()]
        assert kinds == [98] * 8 + [8]


@settings(max_examples=60)
@given(
    equal=st.integers(0, 9),
    short=st.integers(20, 90),
    tail=st.lists(st.integers(20, 120), max_size=3),
    first=st.sampled_from([0, 65_530]),
)
def test_a_batch_that_is_even_at_its_front_only_reads_and_writes_as_any_other(
    equal: int, short: int, tail: list[int], first: int
) -> None:
    packets = Packetizer(ssrc=9, sequence_number=first).push(bytes(88 * equal + short), 77)
    number = (first + len(packets)) & 0xFFFF
    for at, size in enumerate(tail):
        packets += Packetizer(ssrc=9, sequence_number=number + at).push(bytes(size), 78)
    stream = b"".join(map(frame, packets))
    deframer = Deframer()
    data, bounds = deframer.cut(stream)
    fast = PacketBatch(data, bounds, 0.0, deframer.stride, None, deframer.even)
    slow = PacketBatch(bytearray(data), bounds)
    assert [bytes(p) for p in fast.packets()] == packets
    assert fast.heads == slow.heads
    assert (fast.is_plain, fast.is_run) == (slow.is_plain, slow.is_run)
    copy = fast.copy()
    for batch in (fast, slow, copy):
        batch.rewrite(ssrc=3, sequence_offset=70, timestamp_offset=-80, payload_type=97)
    assert fast.data == slow.data
    assert [bytes(p) for p in copy.packets()] == [bytes(p) for p in slow.packets()]
    assert fast.segments() == slow.segments()
    half = len(packets) // 2
    assert fast.from_index(half).heads == slow.from_index(half).heads


def test_what_is_borrowed_is_copied_before_it_is_kept() -> None:
    batch = make_batch(Packetizer(ssrc=1).push(bytes(3000), 5))
    assert batch.own() is batch
    batch.is_borrowed = True
    kept = batch.own()
    batch.data[:] = bytes(len(batch.data))
    assert kept.heads.sources == (1, 1, 1)
    assert not kept.is_borrowed
