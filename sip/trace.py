"""The tap: what went over the wire, with credentials blanked."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .flow import Flow

# Secrets of Digest and of certificate registration, in Authorization and in its kin.
_SECRET_PARAMETER = re.compile(
    rb"""(?<![\w-])((?:response|rspauth|cryptkey|sign[12]|password)\s{0,8}=\s{0,8}["']?)"""
    rb"""([^"',;\s<>&]+)""",
    re.IGNORECASE,
)
_SECRET_ELEMENT = re.compile(rb"(<(\w{0,32}Password)>)([^<]+)", re.IGNORECASE)
_USERINFO_PASSWORD = re.compile(rb"(sips?:[^\s:@<>;]{1,64}:)([^\s@<>;:]+)(?=@)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRecord:
    """One datagram, or one piece of a stream."""

    time: float
    """When it was read or written, by the clock of the caller."""
    direction: Literal["in", "out"]
    flow: Flow
    data: bytes
    """As on the wire and of the same length; credentials are asterisks."""


class TraceRing:
    """Keeps the latest records, bounded in number and bytes; the oldest go first."""

    def __init__(self, *, records: int = 1000, size: int = 4 * 1024 * 1024) -> None:
        self._records: deque[TraceRecord] = deque()
        self._most = records
        self._size = size
        self._held = 0
        self.dropped = 0
        """How many records had to go."""

    def push(self, record: TraceRecord) -> None:
        """Take a record. One that is larger than the ring is itself dropped."""
        self._records.append(record)
        self._held += len(record.data)
        while len(self._records) > self._most or self._held > self._size:
            self._held -= len(self._records.popleft().data)
            self.dropped += 1

    def __iter__(self) -> Iterator[TraceRecord]:
        return iter(list(self._records))

    def __len__(self) -> int:
        return len(self._records)


def make_record(
    time: float, direction: Literal["in", "out"], flow: Flow, data: bytes
) -> TraceRecord:
    """Build the record of what was read or written, with its credentials blanked."""
    return TraceRecord(time=time, direction=direction, flow=flow, data=blank_credentials(data))


def blank_credentials(data: bytes) -> bytes:
    """Put asterisks in place of digest responses, keys, signatures and passwords.

    The length stays, so that Content-Length and offsets stay true. Passwords are looked for in
    URIs, in header parameters and in XML elements whose name ends in ``Password``.
    """
    data = _SECRET_PARAMETER.sub(_blank, data)
    data = _USERINFO_PASSWORD.sub(_blank, data)
    return _SECRET_ELEMENT.sub(_blank_element, data)


def _blank(matched: re.Match[bytes]) -> bytes:
    return matched[1] + b"*" * len(matched[2])


def _blank_element(matched: re.Match[bytes]) -> bytes:
    return matched[1] + b"*" * len(matched[3])
