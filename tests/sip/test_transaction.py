import pytest

from sip.errors import LocalProtocolError
from sip.flow import Flow
from sip.matching import server_key
from sip.message import Headers, Request, Response, make_response
from sip.timers import TimerHeap, Timers
from sip.transaction import (
    INVITE_CLIENT,
    INVITE_SERVER,
    NON_INVITE_CLIENT,
    NON_INVITE_SERVER,
    TIMER_RULES,
    Action,
    ClientTransaction,
    Input,
    ServerTransaction,
    State,
    Table,
    TransactionClock,
    TransactionTimer,
    cancel_for,
)

TABLES = {
    "invite client": (INVITE_CLIENT, State.CALLING),
    "non-invite client": (NON_INVITE_CLIENT, State.TRYING),
    "invite server": (INVITE_SERVER, State.PROCEEDING),
    "non-invite server": (NON_INVITE_SERVER, State.TRYING),
}
UDP = Flow("udp", ("192.0.2.1", 5060), ("192.0.2.10", 5060))
TCP = Flow("tcp", ("192.0.2.1", 5060), ("192.0.2.10", 40000))


def request(method: str, branch: str = "z9hG4bKone", number: int = 1) -> Request:
    return Request(
        method,
        "sip:34020000001320000001@192.0.2.10",
        Headers(
            [
                ("Via", f"SIP/2.0/UDP 192.0.2.1:5060;rport;branch={branch}"),
                ("From", "<sip:34020000002000000001@3402000000>;tag=3001"),
                ("To", "<sip:34020000001320000001@3402000000>"),
                ("Call-ID", "7001"),
                ("CSeq", f"{number} {method}"),
            ]
        ),
    )


class Client:
    """A client transaction whose timers are fired by a loop over the heap."""

    def __init__(self, method: str, flow: Flow) -> None:
        self.heap: TimerHeap[TransactionTimer] = TimerHeap()
        self.now = 0.0
        self.sent: list[tuple[float, str]] = []
        self.reported: list[Action | int] = []
        self.request = request(method)
        self.transaction = ClientTransaction(
            self.request,
            flow,
            clock=TransactionClock(Timers(), self.heap),
            send=lambda _, data: self.sent.append((self.now, data.split(b" ")[0].decode())),
            report=self._report,
        )
        self.transaction.start(0.0)

    def _report(
        self, _: ClientTransaction, action: Action, response: Response | None, now: float
    ) -> None:
        self.reported.append(action if response is None else response.status)

    def run_until(self, end: float) -> None:
        while (when := self.heap.next_timeout()) is not None and when <= end:
            due = self.heap.pop_due(when)
            assert due is not None
            self.now = when
            self.transaction.take(due[1], when)
        self.now = end

    def state(self) -> State:
        return self.transaction.state

    def answer(self, status: int) -> None:
        self.transaction.receive(make_response(self.request, status, to_tag="9"), self.now)

    def times(self, method: str) -> list[float]:
        return [when for when, sent in self.sent if sent == method]


class Server:
    """A server transaction in the same harness."""

    def __init__(self, method: str, flow: Flow) -> None:
        self.heap: TimerHeap[TransactionTimer] = TimerHeap()
        self.now = 0.0
        self.sent: list[tuple[float, int]] = []
        self.reported: list[Action] = []
        self.request = request(method)
        self.transaction = ServerTransaction(
            self.request,
            flow,
            clock=TransactionClock(Timers(), self.heap),
            send=lambda _, data: self.sent.append((self.now, int(data.split(b" ")[1]))),
            report=lambda _, action, __, ___: self.reported.append(action),
        )
        self.transaction.start(0.0)

    def run_until(self, end: float) -> None:
        while (when := self.heap.next_timeout()) is not None and when <= end:
            due = self.heap.pop_due(when)
            assert due is not None
            self.now = when
            self.transaction.take(due[1], when)
        self.now = end

    def state(self) -> State:
        return self.transaction.state

    def respond(self, status: int) -> None:
        self.transaction.respond(make_response(self.request, status, to_tag="9"), self.now)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reached_and_ends_in_terminated(name: str) -> None:
    table, start = TABLES[name]
    reached = walk(table, start)
    assert {state for state, _ in table} <= reached
    for state in reached - {State.TERMINATED}:
        assert State.TERMINATED in walk(table, state), state


@pytest.mark.parametrize("name", TABLES)
def test_every_armed_timer_has_a_row_where_it_can_fire(name: str) -> None:
    table, _ = TABLES[name]
    for (_, given), (after, actions) in table.items():
        for action in actions:
            rule = TIMER_RULES.get(action)
            if rule is not None:
                assert (after, rule.fires) in table, (given, action)


@pytest.mark.parametrize("name", TABLES)
def test_no_timer_outlives_its_state(name: str) -> None:
    """Where a row leaves the states in which an armed timer has a row, it stops the timers."""
    table, start = TABLES[name]
    seen: set[tuple[State, frozenset[Input]]] = set()
    todo: list[tuple[State, frozenset[Input]]] = [(start, frozenset())]
    while todo:
        state, armed = todo.pop()
        if (state, armed) in seen:
            continue
        seen.add((state, armed))
        if state is State.TERMINATED:
            assert not armed
            continue
        for timer in armed:
            assert (state, timer) in table, (state, timer)
        for (origin, given), (after, actions) in table.items():
            is_timer = given.name.startswith("TIMER_")
            if origin is not state or (is_timer and given not in armed):
                continue
            left = set(armed - {given})
            for action in actions:
                if action is Action.STOP_TIMERS:
                    left.clear()
                elif action in TIMER_RULES:
                    left.add(TIMER_RULES[action].fires)
            todo.append((after, frozenset(left)))


def walk(table: Table, start: State) -> set[State]:
    reached = {start}
    while True:
        more = {after for (state, _), (after, _) in table.items() if state in reached} - reached
        if not more:
            return reached
        reached |= more


def test_request_is_retransmitted_until_timer_f() -> None:  # RFC 3261 17.1.2.2
    client = Client("MESSAGE", UDP)
    client.run_until(40.0)
    assert client.times("MESSAGE") == pytest.approx(
        [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    )
    assert client.reported == [Action.REPORT_TIMEOUT]
    assert client.state() is State.TERMINATED


def test_provisional_response_slows_retransmission_to_t2() -> None:  # RFC 3261 17.1.2.2
    client = Client("MESSAGE", UDP)
    client.run_until(0.6)
    client.answer(100)
    client.run_until(14.0)
    assert client.times("MESSAGE") == pytest.approx([0.0, 0.5, 1.5, 5.5, 9.5, 13.5])


def test_final_response_is_delivered_once() -> None:
    client = Client("MESSAGE", UDP)
    client.answer(200)
    client.answer(200)
    client.run_until(4.9)
    assert client.state() is State.COMPLETED
    client.run_until(5.0)  # timer K
    assert client.state() is State.TERMINATED
    assert client.reported == [200]
    assert client.times("MESSAGE") == [0.0]


def test_nothing_is_retransmitted_and_nothing_waits_on_tcp() -> None:
    client = Client("MESSAGE", TCP)
    client.run_until(31.9)
    assert client.times("MESSAGE") == [0.0]
    client.answer(200)
    assert client.state() is State.TERMINATED
    assert len(client.heap) == 0


def test_invite_is_retransmitted_with_doubling_intervals() -> None:  # RFC 3261 17.1.1.2
    client = Client("INVITE", UDP)
    client.run_until(40.0)
    assert client.times("INVITE") == pytest.approx([0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5])
    assert client.reported == [Action.REPORT_TIMEOUT]


def test_provisional_response_ends_retransmission_of_invite() -> None:
    client = Client("INVITE", UDP)
    client.answer(100)
    client.run_until(100.0)
    assert client.times("INVITE") == [0.0]
    assert client.state() is State.PROCEEDING


def test_each_repeated_refusal_gets_an_ack() -> None:  # RFC 3261 17.1.1.2
    client = Client("INVITE", UDP)
    for _ in range(3):
        client.answer(486)
    assert client.times("ACK") == [0.0, 0.0, 0.0]
    assert client.reported == [486]
    client.run_until(31.9)
    assert client.state() is State.COMPLETED
    client.run_until(32.0)  # timer D
    assert client.state() is State.TERMINATED


def test_repeated_acceptance_reaches_the_user_for_64_t1() -> None:  # RFC 6026 7.2
    client = Client("INVITE", UDP)
    client.answer(200)
    client.run_until(20.0)
    client.answer(200)
    client.run_until(32.0)  # timer M
    assert client.reported == [200, 200]
    assert client.times("ACK") == []
    assert client.state() is State.TERMINATED


def test_refusal_is_repeated_until_its_ack() -> None:  # RFC 3261 17.2.1
    server = Server("INVITE", UDP)
    server.respond(486)
    server.run_until(3.6)
    ack = request("ACK")
    assert server_key(ack) == server.transaction.key
    server.transaction.receive(ack, server.now)
    server.run_until(8.5)
    assert server.sent == [(0.0, 486), (0.5, 486), (1.5, 486), (3.5, 486)]
    server.run_until(8.7)  # timer I
    assert server.state() is State.TERMINATED


def test_refusal_without_ack_is_given_up() -> None:
    server = Server("INVITE", UDP)
    server.respond(486)
    server.run_until(32.0)
    assert [when for when, _ in server.sent] == pytest.approx(
        [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    )
    assert server.reported == [Action.REPORT_TIMEOUT]


def test_repeated_request_gets_the_same_answer() -> None:  # RFC 3261 17.2.2
    server = Server("MESSAGE", UDP)
    server.transaction.receive(server.request, 0.0)
    assert server.sent == []
    server.respond(200)
    server.transaction.receive(server.request, 0.0)
    assert [status for _, status in server.sent] == [200, 200]
    with pytest.raises(LocalProtocolError, match="MESSAGE was answered before"):
        server.respond(404)


def test_request_that_nobody_answers_is_dropped() -> None:
    server = Server("MESSAGE", TCP)
    server.run_until(32.0)
    assert server.state() is State.TERMINATED
    assert server.sent == []


def test_lost_flow_ends_a_transaction_with_a_report() -> None:
    client = Client("MESSAGE", TCP)
    client.transaction.take(Input.FLOW_LOST, 1.0)
    assert client.reported == [Action.REPORT_FLOW_LOST]
    assert len(client.heap) == 0


def test_same_branch_in_another_request_is_another_transaction() -> None:
    assert server_key(request("MESSAGE")) != server_key(request("MESSAGE", number=2))


def test_ack_and_cancel_find_the_invite_without_the_magic_cookie() -> None:  # RFC 3261 17.2.3
    invite = request("INVITE", branch="1")
    ack = request("ACK", branch="1")
    ack.headers.set("To", "<sip:34020000001320000001@3402000000>;tag=9")
    assert server_key(ack) == server_key(invite)
    assert server_key(cancel_for(invite), method="INVITE") == server_key(invite)
    other = request("INVITE", branch="1")
    other.headers.set("From", "<sip:34020000002000000001@3402000000>;tag=other")
    assert server_key(other) != server_key(invite)


def test_cancel_repeats_what_identifies_the_invite() -> None:  # RFC 3261 9.1
    invite = request("INVITE")
    invite.headers.add("Route", "<sip:192.0.2.99;lr>")
    cancel = cancel_for(invite)
    for name in ("Via", "From", "To", "Call-ID", "Route"):
        assert cancel.headers.get_all(name) == invite.headers.get_all(name)
    assert str(cancel.cseq) == "1 CANCEL"
