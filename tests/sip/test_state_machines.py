"""Every row of every transition table is walked, and the figures in the docs are theirs."""

from __future__ import annotations

import importlib.util
from collections import deque
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest

from sip.flow import Flow
from sip.machine import Machine
from sip.message import Headers, Request, make_response
from sip.timers import TimerHeap, Timers
from sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    Action,
    ClientTransaction,
    Input,
    ServerTransaction,
    State,
    Table,
    TransactionClock,
    TransactionTimer,
)

DRAWER = Path(__file__).parents[2] / "docs" / "reference" / "draw_state_machines.py"
UDP = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5060))

if not DRAWER.exists():
    pytest.skip("the documentation is not here", allow_module_level=True)


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_state_machines", DRAWER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_DRAW = _load()
_TABLES = {name: table for _, name, table in _DRAW.tables()}
_TRANSACTIONS: dict[str, Table] = {
    "INVITE_CLIENT": INVITE_CLIENT,
    "NON_INVITE_CLIENT": NON_INVITE_CLIENT,
    "INVITE_SERVER": INVITE_SERVER,
    "NON_INVITE_SERVER": NON_INVITE_SERVER,
}
_STATUS = {Input.PROVISIONAL: 180, Input.SUCCESS: 200, Input.FAILURE: 486}


def way(table: dict[tuple[Enum, Enum], tuple[Enum, tuple[Enum, ...]]], goal: Enum) -> list[Enum]:
    """Find the inputs that lead from the first state of a table to another."""
    start = next(iter(table))[0]
    seen: dict[Enum, list[Enum]] = {start: []}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        for (before, given), (after, _) in table.items():
            if before is state and after not in seen:
                seen[after] = [*seen[state], given]
                waiting.append(after)
    return seen[goal]


def test_the_page_is_up_to_date() -> None:
    assert _DRAW.PAGE.read_text(encoding="utf-8") == _DRAW.draw()


def test_all_tables_of_the_package_are_found() -> None:
    assert {*_TRANSACTIONS, "OUTGOING", "INCOMING", "SUBSCRIBER", "NOTIFIER"} <= set(_TABLES)


@pytest.mark.parametrize(
    ("name", "state", "given"), [(name, *row) for name, table in _TABLES.items() for row in table]
)
def test_each_row_of_each_table_is_reached_from_the_start(
    name: str, state: Enum, given: Enum
) -> None:
    table = _TABLES[name]
    machine: Machine[Enum, Enum, Enum] = Machine(table, next(iter(table))[0])
    for step in way(table, state):
        assert machine.receive(step) is not None
    assert machine.state is state
    after, actions = table[state, given]
    assert machine.receive(given) == actions
    assert machine.state is after


class Owner:
    """One transaction of either side on UDP, fed with the inputs of its table."""

    def __init__(self, name: str) -> None:
        self.sent = 0
        self.reported: list[Action] = []
        self.heap: TimerHeap[TransactionTimer] = TimerHeap()
        self.request = request("INVITE" if name.startswith("INVITE") else "MESSAGE")
        self.client: ClientTransaction | None = None
        self.server: ServerTransaction | None = None
        clock = TransactionClock(Timers(), self.heap)
        if name.endswith("CLIENT"):
            self.client = ClientTransaction(
                self.request, UDP, clock=clock, send=self._send,
                report=lambda _, action, __, ___: self.reported.append(action),
            )  # fmt: skip
        else:
            self.server = ServerTransaction(
                self.request, UDP, clock=clock, send=self._send,
                report=lambda _, action, __, ___: self.reported.append(action),
            )  # fmt: skip
        self._either.start(0.0)

    @property
    def _either(self) -> ClientTransaction | ServerTransaction:
        either = self.client or self.server
        assert either is not None
        return either

    @property
    def state(self) -> State:
        return self._either.state

    def take(self, given: Input) -> None:
        if given is Input.START:
            return  # done when it was made
        if given in _STATUS:
            response = make_response(self.request, _STATUS[given], to_tag="x")
            if self.client is not None:
                assert self.client.receive(response, 1.0)
            else:
                assert self.server is not None
                self.server.respond(response, 1.0)
        elif given in (Input.REPEAT, Input.ACK):
            assert self.server is not None
            again = request("ACK") if given is Input.ACK else self.request
            assert self.server.receive(again, 1.0)
        else:
            assert self._either.take(given, 1.0)

    def _send(self, flow: Flow, data: bytes) -> None:
        assert flow is UDP
        assert data
        self.sent += 1


def request(method: str) -> Request:
    return Request(
        method,
        "sip:34020000001320000001@192.0.2.10",
        Headers(
            [
                ("Via", "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKone"),
                ("From", "<sip:34020000002000000001@3402000000>;tag=3001"),
                ("To", "<sip:34020000001320000001@3402000000>"),
                ("Call-ID", "7001"),
                ("CSeq", f"1 {method}"),
            ]
        ),
    )


@pytest.mark.parametrize(
    ("name", "state", "given"),
    [(name, *row) for name, table in _TRANSACTIONS.items() for row in table],
)
def test_a_transaction_does_what_each_row_of_its_table_says(
    name: str, state: State, given: Input
) -> None:
    table = _TRANSACTIONS[name]
    owner = Owner(name)
    for step in way(_TABLES[name], state):
        assert isinstance(step, Input)
        owner.take(step)
    assert owner.state is state
    after, actions = table[state, given]
    sent_before = 0 if given is Input.START else owner.sent
    owner.reported.clear()
    owner.take(given)
    assert owner.state is after
    sends = [action for action in actions if action in (Action.SEND, Action.SEND_ACK)]
    # Before its first response a server has nothing that it could repeat.
    has_nothing = (name, state, given) == ("INVITE_SERVER", State.PROCEEDING, Input.REPEAT)
    assert owner.sent - sent_before == (0 if has_nothing else len(sends))
    told = {Action.DELIVER, Action.REPORT_TIMEOUT, Action.REPORT_FLOW_LOST}
    assert [action for action in owner.reported if action in told] == [
        action for action in actions if action in told
    ]
    if Action.STOP_TIMERS in actions and after is State.TERMINATED:
        assert owner.heap.next_timeout() is None
