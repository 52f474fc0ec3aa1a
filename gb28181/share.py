"""What a lower platform shows an upper one: which channels, under which ids, in which tree."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError
from .manscdp.catalog import CatalogItem

if TYPE_CHECKING:
    from os import PathLike


class IdMap:
    """A one-to-one map of our channel ids to those published on one link (spec 07 section 3).

    An id without an entry is published as it is.
    """

    def __init__(self, published: Mapping[str, str] | None = None) -> None:
        self._published = dict(published or {})
        self._own = {outer: inner for inner, outer in self._published.items()}
        if len(self._own) != len(self._published):
            raise ConfigError("the id map publishes two channels under one id")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> IdMap:
        """Read a JSON object of own id to published id.

        Raises:
            ConfigError: The file is not such an object.
            OSError: It cannot be read.
        """
        try:
            table = json.loads(Path(path).read_text("utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path}: not JSON: {error}") from error
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise ConfigError(f"{path}: an object of own id to published id is expected")
        return cls(table)

    def published(self, own_id: str) -> str:
        """The id that the upper platform sees."""
        return self._published.get(own_id, own_id)

    def own(self, published_id: str) -> str:
        """Our id of what the upper platform names."""
        if published_id in self._own:
            return self._own[published_id]
        # A mapped channel is not to be had under its own id as well.
        return "" if published_id in self._published else published_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one link shares."""

    wanted: Callable[[CatalogItem], bool] = field(default=lambda item: True)
    """Whether an item of a device below is published."""
    ids: IdMap = field(default_factory=IdMap)
    ptz: bool = True
    """Whether the upper platform may control the cameras."""

    def publishes(self, item: CatalogItem) -> bool:
        """Whether the upper platform may see this item."""
        return self.wanted(item)

    def tree(
        self, own: CatalogItem, channels: Iterable[tuple[str, CatalogItem, bool]]
    ) -> list[CatalogItem]:
        """The catalogue as the upper will see it: our system node first, without a parent.

        Args:
            own: Our own system node.
            channels: Device id, item and whether it can be played now, for each channel below.
        """
        tree = [own]
        for _, item, online in channels:
            if not self.publishes(item):
                continue
            tree.append(
                replace(
                    item,
                    device_id=self.ids.published(item.device_id),
                    parent_id=own.device_id,
                    civil_code=item.civil_code or own.civil_code,
                    status="ON" if online else "OFF",
                    password=None,
                    extra=(),
                )
            )
        return tree
