"""Pending commands, and the one or many messages that answer each of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sip.errors import LocalProtocolError

from .manscdp.schema import Element, Message, find

# Answers of these come in parts; SumNum says how many items all parts have together.
_IN_PARTS = frozenset({"catalog", "recordinfo"})
# What is kept of one answer; a peer that sends more than this is not believed.
MAX_ITEMS = 200_000
MAX_PARTS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeKey:
    """What an answer is matched by: never by the SN alone, and not by its DeviceID."""

    peer: str
    cmd_type: str
    """Lower case."""
    sn: str
    """Without leading zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeResult:
    """What answered a command."""

    key: ExchangeKey
    parts: tuple[Message, ...]
    received: int
    """Items for an answer in parts, otherwise messages."""
    expected: int
    """What SumNum announced; 1 as long as nothing is known."""
    complete: bool
    sentence: str = ""
    """Why it is not complete."""


@dataclass(slots=True)
class _Pending:
    idle: float
    deadline: float | None
    idle_at: float
    enough: Callable[[Sequence[Message]], bool] | None = None
    parts: list[Message] = field(default_factory=list)
    seen: set[Message] = field(default_factory=set)
    items: int = 0
    announced: int = 0
    armed: float = 0.0

    @property
    def due(self) -> float:
        return self.idle_at if self.deadline is None else min(self.idle_at, self.deadline)


class Exchanges:
    """Matches answers to commands by peer, CmdType and SN, and puts parts together.

    Finished exchanges come out of ``poll``; call it after ``feed`` and when ``next_timeout`` has
    come.

    Source: GB/T 28181-2022 A.1, A.2.6.4, A.2.6.7; Annex M for parts.
    """

    def __init__(self) -> None:
        self._pending: dict[ExchangeKey, _Pending] = {}
        self._finished: list[ExchangeResult] = []
        self._due: list[tuple[float, int, ExchangeKey]] = []
        self._pushed = 0
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._pending)

    def open(
        self,
        peer: str,
        cmd_type: str,
        sn: str | int,
        now: float,
        *,
        idle: float,
        deadline: float | None = None,
        enough: Callable[[Sequence[Message]], bool] | None = None,
    ) -> ExchangeKey:
        """Expect an answer.

        Args:
            peer: Whom the command goes to.
            cmd_type: Of the command and of its answer.
            sn: Of the command.
            now: The time.
            idle: How many seconds may pass without a part.
            deadline: The time at which it ends even if parts still come.
            enough: Says whether the messages so far are the whole answer, where several answers
                without SumNum may come; the first one is when None.

        Raises:
            LocalProtocolError: The same SN is in use for this peer and command.
        """
        key = _key(peer, cmd_type, str(sn))
        if key in self._pending:
            raise LocalProtocolError(f"{cmd_type} {sn} to {peer} is pending already")
        pending = _Pending(idle=idle, deadline=deadline, idle_at=now + idle, enough=enough)
        self._pending[key] = pending
        self._arm(key, pending)
        return key

    def feed(self, peer: str, message: Message, now: float) -> bool:
        """Take a message of a peer; return whether it is an answer that was expected."""
        if message.root.lower() != "response":
            return False
        key = _key(peer, message.cmd_type, message.sn)
        pending = self._pending.get(key)
        if pending is None or now >= pending.due:
            return False
        if key.cmd_type in _IN_PARTS:
            self._take_part(key, pending, message, now)
        else:
            self._take_answer(key, pending, message, now)
        return True

    def progress(self, key: ExchangeKey) -> tuple[int, int]:
        """Return how many items have come and how many are announced, 0 when that is not known."""
        pending = self._pending.get(key)
        return (0, 0) if pending is None else (pending.items, pending.announced)

    def close(self, key: ExchangeKey) -> None:
        """Forget an exchange whose answer is no longer wanted; it may have ended already."""
        self._pending.pop(key, None)

    def peer_lost(self, peer: str) -> None:
        """End all exchanges with a peer that went offline; they come out of ``poll``."""
        for key in [key for key in self._pending if key.peer == peer]:
            self._give_up(key, "the peer went offline")

    def poll(self, now: float) -> list[ExchangeResult]:
        """Return what finished since the last call: answered, or out of time."""
        while self._drop_stale() and self._due[0][0] <= now:
            _, _, key = heapq.heappop(self._due)
            pending = self._pending[key]
            if pending.due > now:
                self._arm(key, pending)
            elif pending.items and not pending.announced and pending.deadline != pending.due:
                # No SumNum at all: that nothing more comes is the only end there is.
                self._finish(key, received=pending.items, expected=pending.items, complete=True)
            else:
                self._give_up(key, "no more parts came in time")
        finished, self._finished = self._finished, []
        return finished

    def next_timeout(self) -> float | None:
        """Return when ``poll`` wants to be called at the latest, or None."""
        if self._finished:
            return 0.0
        return self._due[0][0] if self._drop_stale() else None

    def _take_answer(
        self, key: ExchangeKey, pending: _Pending, message: Message, now: float
    ) -> None:
        if pending.parts and message in pending.parts:
            self.repeated += 1
            return
        pending.parts.append(message)
        pending.items += 1
        pending.idle_at = now + pending.idle
        if pending.enough is None or pending.enough(pending.parts):
            self._finish(key, received=pending.items, expected=pending.items, complete=True)

    def _take_part(self, key: ExchangeKey, pending: _Pending, message: Message, now: float) -> None:
        if message in pending.seen:
            self.repeated += 1
            return
        pending.seen.add(message)
        announced, items = _measure(message)
        pending.idle_at = now + pending.idle
        if not items and getattr(message, "result", None) == "ERROR":
            pending.parts.append(message)
            reason = getattr(message, "reason", None)
            sentence = f"Result ERROR: {reason}" if reason else "Result ERROR"
            self._finish(key, received=0, expected=1, complete=False, sentence=sentence)
            return
        if announced is None:
            return  # 2016 peers may say OK first
        pending.parts.append(message)
        pending.items += items
        pending.announced = max(pending.announced, announced)
        has_nothing = announced == 0 and pending.items == 0
        if has_nothing or (pending.announced and pending.items >= pending.announced):
            expected = pending.announced
            self._finish(key, received=pending.items, expected=expected, complete=True)
        elif pending.items > MAX_ITEMS or len(pending.parts) > MAX_PARTS:
            self._give_up(key, "the peer sends more than is believed")

    def _give_up(self, key: ExchangeKey, sentence: str) -> None:
        pending = self._pending[key]
        expected = max(1, pending.announced)
        self._finish(
            key, received=pending.items, expected=expected, complete=False, sentence=sentence
        )

    def _finish(
        self,
        key: ExchangeKey,
        *,
        received: int,
        expected: int,
        complete: bool,
        sentence: str = "",
    ) -> None:
        pending = self._pending.pop(key)
        self._finished.append(
            ExchangeResult(
                key=key,
                parts=tuple(pending.parts),
                received=received,
                expected=expected,
                complete=complete,
                sentence=sentence,
            )
        )

    def _arm(self, key: ExchangeKey, pending: _Pending) -> None:
        self._pushed += 1
        pending.armed = pending.due
        heapq.heappush(self._due, (pending.due, self._pushed, key))

    def _drop_stale(self) -> bool:
        while self._due:
            at, _, key = self._due[0]
            pending = self._pending.get(key)
            if pending is not None and pending.armed == at:
                return True
            heapq.heappop(self._due)
        return False


def _key(peer: str, cmd_type: str, sn: str) -> ExchangeKey:
    return ExchangeKey(peer=peer, cmd_type=cmd_type.strip().lower(), sn=_plain(sn))


def _plain(sn: str) -> str:
    """Peers pad an SN with zeros, or take the padding away."""
    text = sn.strip()
    return (text.lstrip("0") or "0") if text.isdecimal() else text


def _measure(message: Message) -> tuple[int | None, int]:
    """Return SumNum, None when there is none, and how many items the part has."""
    announced = getattr(message, "sum_num", None)
    if isinstance(announced, int):
        items = getattr(message, "items", ())
        return announced, len(items)
    extra: tuple[Element, ...] = getattr(message, "extra", ())
    total = find(extra, "SumNum")
    if total is None:
        return None, 0
    number = int(total.text) if total.text.isdecimal() and len(total.text) < 10 else 0
    return number, sum(len(one.children) for one in _lists(extra))


def _lists(elements: Iterable[Element]) -> Iterable[Element]:
    return (one for one in elements if one.name.lower().endswith("list"))
