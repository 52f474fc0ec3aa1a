"""Listing: asks a device for its catalogue, and for what is missing once more, part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import AnswerIncomplete, Gb28181Error
from ..identifiers import IdKind, kind_of
from ..manscdp.catalog import CatalogQuery, CatalogResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..exchange import ExchangeResult
    from ..manscdp.catalog import CatalogItem
    from ..remote_device import RemoteDevice
    from .commands import Commands

Progress = Callable[[int, int], None]
"""Is told how many items have come, and how many are announced (0: not known)."""

_BRANCHES = 64
"""How many sub-trees are asked for again at most."""
_FOLDERS = frozenset({IdKind.SYSTEM, IdKind.AREA, IdKind.GROUP, IdKind.ORGANISATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogAnswer:
    """What a catalogue query brought; published only when complete."""

    items: tuple[CatalogItem, ...]
    received: int
    expected: int

    @property
    def complete(self) -> bool:
        """Whether every announced item came."""
        return self.received >= self.expected


async def list_catalog(
    commands: Commands, device: RemoteDevice, device_id: str, progress: Progress | None = None
) -> CatalogAnswer:
    """Ask for a catalogue or a sub-tree until it is whole, or no more comes.

    What an incomplete answer lacks is asked for again: first below each folder that came, then the
    whole once more. The wait ends by silence alone.

    Raises:
        AnswerIncomplete: Some items never came.
        NoAnswer: Nothing came at all.
        RequestRejected: It refused the query.
        DeviceNotOnline: It is not registered.
    """
    first = await _ask(commands, device, device_id, progress)
    if first.complete:
        return first
    found = {item.device_id: item for item in first.items}
    expected = first.expected
    for branch in _branches(first.items, device_id):
        try:
            answer = await _ask(commands, device, branch, None)
        except Gb28181Error:
            break  # it does not answer for a folder: no use to ask for the next
        found.update((item.device_id, item) for item in answer.items)
        if progress is not None:
            progress(len(found), expected)
        if len(found) >= expected:
            return _whole(found, expected)
    try:
        answer = await _ask(commands, device, device_id, progress)
    except Gb28181Error:
        pass
    else:
        if answer.complete:
            return answer
        found.update((item.device_id, item) for item in answer.items)
        if len(found) >= expected:
            return _whole(found, expected)
    raise AnswerIncomplete(f"catalogue of {device_id}", received=len(found), expected=expected)


def _whole(found: dict[str, CatalogItem], expected: int) -> CatalogAnswer:
    return CatalogAnswer(items=tuple(found.values()), received=len(found), expected=expected)


async def _ask(
    commands: Commands, device: RemoteDevice, device_id: str, progress: Progress | None
) -> CatalogAnswer:
    query = CatalogQuery(sn=commands.next_sn(), device_id=device_id)
    result = await commands.ask(device, query, progress=progress)
    parts = [part for part in result.parts if isinstance(part, CatalogResponse)]
    items = tuple(item for part in parts for item in part.items)
    for contradiction in contradictions(result, (item.device_id for item in items)):
        device.quirks_seen.note(contradiction, commands.now())
    if progress is not None:
        progress(result.received, result.expected)
    received = min(result.received, result.expected - 1) if not result.complete else result.received
    return CatalogAnswer(items=items, received=received, expected=result.expected)


def contradictions(result: ExchangeResult, keys: Iterable[object]) -> list[str]:
    """Say where an answer in parts contradicts itself.

    The rule: complete is what has as many items as SumNum says, of several SumNum the largest;
    items that come twice count, and the later one is kept.

    Source: GB/T 28181-2022 Annex M.
    """
    found = []
    sums = {getattr(part, "sum_num", None) for part in result.parts}
    if len(sums - {None}) > 1:
        found.append("SumNum differs from part to part")
    if result.received > result.expected:
        found.append("more items than SumNum")
    elif not result.complete and result.received:
        found.append("fewer items than SumNum")
    if any(count > 1 for count in Counter(keys).values()):
        found.append("an item comes twice")
    return found


def _branches(items: tuple[CatalogItem, ...], device_id: str) -> list[str]:
    """The folders whose content may be asked for by itself."""
    parents = {part for item in items for part in (item.parent_id or "").split("/")}
    folders = [
        item.device_id
        for item in items
        if item.device_id != device_id
        and (kind_of(item.device_id) in _FOLDERS or item.parental or item.device_id in parents)
    ]
    return folders[:_BRANCHES]
