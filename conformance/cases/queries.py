"""Queries and their answers. Points GB-QRY."""

from __future__ import annotations

from gb28181.manscdp.catalog import CatalogQuery, CatalogResponse
from gb28181.manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from gb28181.manscdp.device_status import DeviceStatusQuery, DeviceStatusResponse
from gb28181.manscdp.unknown import UnknownCommand

from ..case import Level, NotApplicable, Role, case, check, demand
from ..peers.device import DevicePeer
from ..peers.platform import PlatformPeer
from ..peers.wire import Seen, check_status, is_command

PLATFORM = (Role.PLATFORM,)
DEVICE = (Role.DEVICE,)


@case("GB-QRY-001", roles=PLATFORM, clause="A.2.4.3", level=Level.REQUIRED, needs=("GB-REG-003",))
async def platform_asks_for_the_catalogue(peer: DevicePeer) -> None:
    """A platform asks for the catalogue in a query that a device can answer.

    Demand: a MESSAGE with Query/Catalog, an SN and the DeviceID of the device; the answer, in a
    MESSAGE of its own, is taken with 200.

    Why: the device finds what is asked by DeviceID, the platform its answer by SN.

    Tested: the trigger ``catalog``, or the query that many platforms send on registration; the
    kit's device answers with one camera.

    Fix: send the three elements, and answer the device's MESSAGE with 200 before it is worked on.
    """
    peer.answers_queries = False
    since = peer.wire.now()
    await peer.register()
    asked = peer.trigger("catalog") if "catalog" in peer.target.triggers else None
    seen = await peer.wire.wait_for(
        lambda one: is_command(one, "Query", "Catalog"),
        since=since,
        timeout=peer.target.times.answer,
    )
    if seen is None and asked is None:
        raise NotApplicable("no trigger 'catalog', and no query on registration")
    query = demand(seen, "the platform was asked to query the catalogue and did not").command
    check(isinstance(query, CatalogQuery), "the query cannot be read")
    assert isinstance(query, CatalogQuery)
    check(query.sn.isdigit(), "SN must be a number", seen=query.sn)
    check(query.device_id == peer.id, "DeviceID must be the device's", seen=query.device_id)
    peer.answers_queries = True
    check_status(await peer.send(peer.catalog(query.sn, query.device_id)), 200)


@case("GB-QRY-029", roles=PLATFORM, clause="A.1", level=Level.RECOMMENDED, robustness=True,
      needs=("GB-REG-003",))  # fmt: skip
async def answer_that_nobody_asked_for_is_taken(peer: DevicePeer) -> None:
    """An answer that nobody has asked for is ignored.

    Demand: 200, and nothing else happens.

    Why: answers come late or twice in the field; an error makes some devices register again.

    Tested: a Response/Catalog with an SN that was never used.

    Fix: answer the MESSAGE before the SN is looked for.
    """
    await peer.register()
    check_status(await peer.send(peer.catalog("987654321", peer.id)), 200)


@case("GB-QRY-001", roles=DEVICE, clause="A.2.6.4", level=Level.REQUIRED, needs=("GB-REG-001",))
async def device_lists_its_catalogue(peer: PlatformPeer) -> None:
    """A device answers a catalogue query with all its items.

    Demand: Response/Catalog with the SN and DeviceID of the query, SumNum with the number of all
    items, and a DeviceList whose Num is the number of items in this part.

    Why: the platform counts items against SumNum to know when the answer is complete, and Num
    tells it what this part has.

    Tested: a query for the device; all parts are collected, and their raw XML is looked at.

    Fix: write SumNum with the total into every part, and Num with the items of the part.
    """
    query = CatalogQuery(sn=peer.next_sn(), device_id=peer.target.id)
    parts = await _catalogue(peer, query)
    received = 0
    for seen, part in parts:
        check(part.device_id == query.device_id, "DeviceID must be that of the query",
              seen=part.device_id)  # fmt: skip
        check(part.sum_num == parts[0][1].sum_num, "SumNum must be the same in every part")
        received += len(part.items)
        if part.items:
            _check_num(seen.request.body, len(part.items))
    check(received == parts[0][1].sum_num, "the parts must have SumNum items together",
          seen=f"{received} of {parts[0][1].sum_num}")  # fmt: skip
    listed = {item.device_id for _, part in parts for item in part.items}
    channel = peer.target.channel_id
    check(channel in listed, f"the camera {channel} must be listed", seen=", ".join(sorted(listed)))


@case("GB-QRY-010", roles=DEVICE, clause="spec 10", level=Level.RECOMMENDED, robustness=True,
      needs=("GB-REG-001",))  # fmt: skip
async def catalogue_of_a_stranger_is_empty(peer: PlatformPeer) -> None:
    """A query for a code that the device does not have is answered as empty.

    Demand: SumNum 0 and no list, or 404 by configuration.

    Why: the platform would otherwise wait until its time is over.

    Tested: a Catalog query with an unknown DeviceID.

    Fix: answer every query, also with nothing.
    """
    query = CatalogQuery(sn=peer.next_sn(), device_id=peer.target.unknown_id)
    since = peer.wire.now()
    response = await peer.send(query)
    if response.status == 404:
        return
    check_status(response, 200)
    seen = demand(await peer.answer_to(query, since=since), "no answer came")
    check_empty(seen)


@case("GB-QRY-003", roles=DEVICE, clause="2022 M", level=Level.REQUIRED,
      needs=("GB-QRY-010",))  # fmt: skip
async def empty_catalogue_has_no_list(peer: PlatformPeer) -> None:
    """An empty catalogue says so in one part.

    Demand: one answer with SumNum 0 and without DeviceList.

    Why: the platform waits for a part that brings the sum.

    Tested: a Catalog query with an unknown DeviceID; the raw XML of the answer.

    Fix: send the part with SumNum 0 and leave the list out.
    """
    query = CatalogQuery(sn=peer.next_sn(), device_id=peer.target.unknown_id)
    since = peer.wire.now()
    if (await peer.send(query)).status == 404:
        raise NotApplicable("the device answers 404 for unknown codes")
    seen = demand(await peer.answer_to(query, since=since), "no answer came")
    check_empty(seen)
    check(b"DeviceList" not in seen.request.body, "there must be no DeviceList")


@case("GB-QRY-014", roles=DEVICE, clause="A.2.6.5", level=Level.REQUIRED, needs=("GB-REG-001",))
async def device_says_what_it_is(peer: PlatformPeer) -> None:
    """A device tells its manufacturer, model and firmware.

    Demand: Response/DeviceInfo with Result, Manufacturer, Model, Firmware, and the number of
    channels where it has several.

    Why: platforms choose their workarounds by these.

    Tested: a DeviceInfo query.

    Fix: fill the elements; an empty one counts as absent.
    """
    answer = await peer.ask(DeviceInfoQuery(sn=peer.next_sn(), device_id=peer.target.id))
    check(isinstance(answer, DeviceInfoResponse), "the answer cannot be read",
          seen=_reason(answer))  # fmt: skip
    assert isinstance(answer, DeviceInfoResponse)
    check(answer.device_id == peer.target.id, "DeviceID must be that of the query",
          seen=answer.device_id)  # fmt: skip
    check(answer.result == "OK", "Result must be OK", seen=answer.result)
    for name, value in (
        ("Manufacturer", answer.manufacturer),
        ("Model", answer.model),
        ("Firmware", answer.firmware),
    ):
        check(value, f"{name} must be there")


@case("GB-QRY-015", roles=DEVICE, clause="A.2.6.6", level=Level.REQUIRED, needs=("GB-REG-001",))
async def device_says_how_it_is(peer: PlatformPeer) -> None:
    """A device tells its state.

    Demand: Response/DeviceStatus with Result, Online and Status.

    Why: operators see by it whether encoder and recorder run.

    Tested: a DeviceStatus query.

    Fix: write Online as ONLINE or OFFLINE and Status as OK or ERROR.
    """
    answer = await peer.ask(DeviceStatusQuery(sn=peer.next_sn(), device_id=peer.target.id))
    check(isinstance(answer, DeviceStatusResponse), "the answer cannot be read",
          seen=_reason(answer))  # fmt: skip
    assert isinstance(answer, DeviceStatusResponse)
    check(answer.result == "OK", "Result must be OK", seen=answer.result)
    check(answer.online == "ONLINE", "Online must be ONLINE", seen=answer.online)
    check(answer.status in ("OK", "ERROR"), "Status must be OK or ERROR", seen=answer.status)


async def _catalogue(peer: PlatformPeer, query: CatalogQuery) -> list[tuple[Seen, CatalogResponse]]:
    """Ask and collect parts until they have SumNum items, or no more come."""
    since = peer.wire.now()
    check_status(await peer.send(query), 200)
    parts: list[tuple[Seen, CatalogResponse]] = []
    taken: set[int] = set()

    def is_new(one: Seen) -> bool:
        return id(one) not in taken and is_command(one, "Response", "Catalog", query.sn)

    while True:
        seen = await peer.wire.wait_for(is_new, since=since, timeout=peer.target.times.answer)
        if seen is None:
            break
        taken.add(id(seen))
        answer = seen.command
        check(isinstance(answer, CatalogResponse), "a part cannot be read", seen=_reason(answer))
        assert isinstance(answer, CatalogResponse)
        parts.append((seen, answer))
        if sum(len(part.items) for _, part in parts) >= answer.sum_num:
            break
    check(parts, f"no Response/Catalog with SN {query.sn} came")
    return parts


def _check_num(body: bytes, items: int) -> None:
    begin = body.find(b"<DeviceList")
    tag = body[begin : body.find(b">", begin) + 1].decode("ascii", "replace")
    compact = tag.replace(" ", "").replace("'", '"').lower()
    check(f'num="{items}"' in compact, "DeviceList must have Num with the items of this part",
          seen=tag)  # fmt: skip


def check_empty(seen: Seen) -> None:
    """Fail unless an answer lists nothing."""
    answer = seen.command
    check(isinstance(answer, CatalogResponse), "the answer cannot be read", seen=_reason(answer))
    assert isinstance(answer, CatalogResponse)
    check(answer.sum_num == 0 and not answer.items, "nothing must be listed",
          seen=f"SumNum {answer.sum_num}, {len(answer.items)} items")  # fmt: skip


def _reason(answer: object) -> str:
    return str(answer) if isinstance(answer, UnknownCommand) else type(answer).__name__
