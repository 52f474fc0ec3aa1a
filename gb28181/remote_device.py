"""RemoteDevice: a registered device as its platform sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalog import Catalog
from .errors import AnswerIncomplete, DeviceNotOnline
from .manscdp.catalog import CatalogQuery, CatalogResponse
from .manscdp.device_info import DeviceInfoQuery, DeviceInfoResponse
from .manscdp.device_status import DeviceStatusQuery, DeviceStatusResponse
from .quirks import Quirks
from .sightings import Sightings

if TYPE_CHECKING:
    from .commands import Commands
    from .edition import Edition
    from .manscdp.catalog import CatalogItem
    from .platform import Platform
    from .registrar import Binding


class CatalogAnswer:
    """What a catalogue query brought; published only when complete."""

    def __init__(self, items: tuple[CatalogItem, ...], received: int, expected: int) -> None:
        self.items = items
        self.received = received
        self.expected = expected

    @property
    def complete(self) -> bool:
        """Whether every announced item came."""
        return self.received >= self.expected


class RemoteDevice:
    """One device: its registration, its catalogue, and what can be asked of it.

    The object stays the same while the device goes and comes back.
    """

    def __init__(self, device_id: str, platform: Platform, quirks: Quirks) -> None:
        self.id = device_id
        self.quirks = quirks
        self.charset: str | None = None
        self.info: DeviceInfoResponse | None = None
        self.tree = Catalog(device_id)
        self.quirks_seen = Sightings()
        self._platform = platform

    def __repr__(self) -> str:
        return f"RemoteDevice({self.id!r}, online={self.is_online})"

    @property
    def binding(self) -> Binding | None:
        """Its registration, or None."""
        return self._platform.registrar.binding(self.id)

    @property
    def is_online(self) -> bool:
        """Whether it is registered and heard."""
        binding = self.binding
        return binding is not None and binding.online and binding.flow_lost_at is None

    @property
    def edition(self) -> Edition:
        """Which edition it speaks: what it said, else the platform's default."""
        binding = self.binding
        return (binding.edition if binding else None) or self._platform.edition

    @property
    def channels(self) -> tuple[CatalogItem, ...]:
        """The items of its last complete catalogue."""
        return self.tree.items

    def require_binding(self) -> Binding:
        """The binding of a device that can be asked.

        Raises:
            DeviceNotOnline: It is not registered, or its connection is broken.
        """
        binding = self.binding
        if binding is None:
            raise DeviceNotOnline(self.id)
        if not self.is_online:
            raise DeviceNotOnline(self.id, "is registered but does not answer")
        return binding

    async def catalog(self, *, device_id: str | None = None) -> CatalogAnswer:
        """Ask for the catalogue; the device's tree changes only when the answer is complete.

        Args:
            device_id: The sub-tree to ask for; the whole when None.

        Raises:
            DeviceNotOnline: It is not registered.
            NoAnswer: It took the query and sent nothing.
            RequestRejected: It refused the query.
            AnswerIncomplete: Some items never came; the tree stays as it was.
        """
        query = CatalogQuery(sn=self._commands.next_sn(), device_id=device_id or self.id)
        result = await self._commands.ask(self, query)
        items = tuple(
            item
            for part in result.parts
            if isinstance(part, CatalogResponse)
            for item in part.items
        )
        answer = CatalogAnswer(items, result.received, result.expected)
        if not answer.complete:
            raise AnswerIncomplete(
                f"catalogue of {self.id}", received=result.received, expected=result.expected
            )
        if device_id is None or device_id == self.id:
            self._platform.catalog_arrived(self, items)
        return answer

    async def device_info(self) -> DeviceInfoResponse:
        """Ask for name, manufacturer, model and firmware.

        Raises:
            DeviceNotOnline: It is not registered.
            NoAnswer: It sent no answer.
            RequestRejected: It refused the query.
        """
        query = DeviceInfoQuery(sn=self._commands.next_sn(), device_id=self.id)
        self.info = await self._commands.ask_one(self, query, DeviceInfoResponse)
        return self.info

    async def device_status(self) -> DeviceStatusResponse:
        """Ask for its state. Raises as ``device_info`` does."""
        query = DeviceStatusQuery(sn=self._commands.next_sn(), device_id=self.id)
        return await self._commands.ask_one(self, query, DeviceStatusResponse)

    @property
    def _commands(self) -> Commands:
        return self._platform.commands
