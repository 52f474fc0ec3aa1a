"""Which messages an edition knows."""

from __future__ import annotations

from ..edition import Edition


def is_known(cls: type, edition: Edition) -> bool:
    """Whether a peer of this edition knows a class of message at all."""
    since: Edition = getattr(cls, "since", Edition.GB2011)
    return since <= edition
