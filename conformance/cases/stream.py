"""The program stream that a device sends. Points GB-PS and GB-RTP."""

from __future__ import annotations

import asyncio

from ..case import Inconclusive, Level, Role, case, check, demand
from ..description import (
    MAP,
    PACK,
    STREAM_TYPES,
    SYSTEM,
    VIDEO,
    NotProgramStream,
    Pack,
    payload_of,
    read_packs,
)
from ..peers.media import Heard
from ..peers.platform import PlatformPeer

DEVICE = (Role.DEVICE,)
NEEDS = ("GB-LIV-004",)


@case("GB-PS-001", roles=DEVICE, clause="C.1", level=Level.REQUIRED, needs=NEEDS)
async def key_picture_has_its_headers(peer: PlatformPeer) -> None:
    """A key picture's pack begins with its headers.

    Demand: pack header, system header, program stream map, PES packets, in this order.

    Why: a viewer who joins learns from the map what is sent.

    Tested: the media of ``times.watch``, read by an independent description of the program stream.

    Fix: write both headers before the PES packets of every key picture.
    """
    packs = await _packs(peer)
    keys = [pack for pack in packs if pack.is_key]
    if not keys:
        raise Inconclusive("no key picture came; is times.watch longer than a group of pictures?")
    for pack in keys:
        names = " ".join(f"{stream_id:02X}" for stream_id in (PACK, *pack.order))
        check(pack.order[:2] == (SYSTEM, MAP) and len(pack.order) > 2,
              "a key picture's pack is BA BB BC and then PES packets", seen=names)  # fmt: skip


@case("GB-PS-002", roles=DEVICE, clause="C.1", level=Level.REQUIRED, needs=NEEDS)
async def picture_is_one_pack(peer: PlatformPeer) -> None:
    """One picture is one pack.

    Demand: every video frame is one pack, and no pack has two.

    Why: receivers cut frames at pack headers.

    Tested: the media of ``times.watch``; the presentation times of the video PES packets.

    Fix: begin a pack with each picture, not with each 64 KiB of it.
    """
    packs = [pack for pack in await _packs(peer) if pack.video]
    if len(packs) < 2:
        raise Inconclusive("fewer than two pictures came")
    before: int | None = None
    for pack in packs:
        times = {unit.pts for unit in pack.video if unit.pts is not None}
        check(len(times) <= 1, "a pack must have one picture", seen=f"{len(times)} times in a pack")
        check(times, "the picture's first PES packet must have a PTS")
        check(times != {before}, "a picture must not be spread over packs", seen=f"PTS {before}")
        before = next(iter(times))


@case("GB-PS-003", roles=DEVICE, clause="C.1", level=Level.REQUIRED, needs=NEEDS)
async def streams_are_those_of_the_table(peer: PlatformPeer) -> None:
    """Video is stream E0, audio stream C0, with the stream types of the table.

    Demand: the map declares E0 and C0 only with the types of the standard, and what is sent is
    declared.

    Why: the type says which decoder to use.

    Tested: all maps of ``times.watch``, and the stream ids of the PES packets.

    Fix: declare exactly what is sent, for example 1B for H.264 and 24 for H.265.
    """
    packs = await _packs(peer)
    declared: dict[int, int] = {}
    for unit in (unit for pack in packs for unit in pack.units):
        declared |= unit.streams
    check(declared, "there must be a program stream map")
    for stream_id, stream_type in declared.items():
        check(stream_id in (0xE0, 0xC0), "video is E0, audio C0", seen=f"{stream_id:02X}")
        check(stream_type in STREAM_TYPES, "the stream type must be of the table",
              seen=f"{stream_type:02X}")  # fmt: skip
    sent = {unit.stream_id for pack in packs for unit in pack.units if unit.pts is not None}
    check(sent <= set(declared), "what is sent must be declared",
          seen=", ".join(f"{stream_id:02X}" for stream_id in sorted(sent)))  # fmt: skip


@case("GB-PS-004", roles=DEVICE, clause="ISO/IEC 13818-1 2.5.4.2", level=Level.RECOMMENDED,
      needs=NEEDS)  # fmt: skip
async def map_has_its_checksum(peer: PlatformPeer) -> None:
    """The checksum of the stream map is right.

    Demand: CRC-32/MPEG-2 over the whole map.

    Why: decoders that check it drop the map, and with it the stream.

    Tested: all maps of ``times.watch``.

    Fix: polynomial 04C11DB7, start at all ones, nothing reflected, no final xor.
    """
    maps = [unit for pack in await _packs(peer) for unit in pack.units if unit.stream_id == MAP]
    if not maps:
        raise Inconclusive("no stream map came")
    check(all(one.is_sound for one in maps), "the CRC must fit the map")


@case("GB-LIV-029", roles=DEVICE, clause="2022 4.3.6", level=Level.REQUIRED, needs=NEEDS)
async def timestamp_is_of_the_frame(peer: PlatformPeer) -> None:
    """All packets of a frame have one timestamp, and no two frames share it.

    Demand: the same RTP timestamp within a frame, a different one for the next.

    Why: receivers find the end of a frame by it.

    Tested: the media of ``times.watch``; in each run of packets with one timestamp at most one
    video pack may begin, and a pack may only begin where the timestamp changes.

    Fix: take the timestamp from the picture, not from the clock when a packet is sent.
    """
    heard = await _heard(peer)
    runs: list[list[Heard]] = []
    for one in (one for one in heard if one.is_rtp):
        if runs and runs[-1][0].timestamp == one.timestamp:
            runs[-1].append(one)
        else:
            runs.append([one])
    for run in runs[1:-1]:
        try:
            packs = read_packs(payload_of(run))
        except NotProgramStream as error:
            check(condition=False, sentence="a timestamp must carry whole packs", seen=error)
            raise
        pictures = sum(any(unit.stream_id in VIDEO for unit in pack.units) for pack in packs)
        check(pictures <= 1, "two frames must not share a timestamp", seen=f"{pictures} frames")


async def _heard(peer: PlatformPeer) -> list[Heard]:
    async with peer.invite() as invited:
        invited.answered()
        timeout = peer.target.times.media
        demand(await invited.ear.first(timeout), f"no RTP came within {timeout:g} s")
        await asyncio.sleep(peer.target.times.watch)
        return list(invited.ear.heard)


async def _packs(peer: PlatformPeer) -> list[Pack]:
    """Record media and read it; the last pack, which may be cut, is left out."""
    try:
        data = payload_of(await _heard(peer))
        end = data.rfind(b"\0\0\1\xba")
        return read_packs(data[:end]) if end > 0 else []
    except NotProgramStream as error:
        check(condition=False, sentence="the stream must be a program stream", seen=error)
        raise
